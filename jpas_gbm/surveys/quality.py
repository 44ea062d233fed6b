"""Spreads, shares and boxes: what columns come to in a few numbers.

What was thrown away, mended or doubted while reading, and how often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Literal

import numpy as np

from ..errors import BundleError
from .catalogue import MORPHOLOGIES

Unit = Literal["fluxes", "rows"]


class QualityBit(IntFlag):
    """Bits of the column QUALITY: what to know before a probability is believed."""

    FLAGGED = 1
    """A measured flux of this row was rejected because of its flags or its mask."""
    FEW_BANDS = 2
    """Fewer bands were observed than the survey file asks for (``quality: min_bands``)."""
    NO_IMAGING = 4
    """No magnitude of the imaging survey."""
    OUTSIDE_MAGNITUDES = 8
    """Fainter or brighter than what the model was trained on."""
    LOW_OVERLAP = 16
    """Unlike the training rows."""
    UNKNOWN_MORPHOLOGY = 32
    """No morphological type."""


@dataclass(frozen=True)
class QualityCount:
    """How often one declared rule applied to one file.

    Parameters
    ----------
    rule : str
        Short name, such as ``flag_FLAGS``.
    sentence : str
        What the rule does, for a person: "rejected by FLAGS bit 4 (corrupted)".
    count : int
        Fluxes or rows to which it applied.
    unit : {"fluxes", "rows"}
        What is counted.
    """

    rule: str
    sentence: str
    count: int
    unit: Unit = "fluxes"


@dataclass(frozen=True)
class FileQuality:
    """The counts of one file.

    Parameters
    ----------
    rows : int
        Rows read.
    bands : int
        Bands read; 0 for a table without photometry.
    counts : mapping of str to QualityCount
        By rule, in the order in which the rules were applied.
    """

    rows: int
    bands: int = 0
    counts: Mapping[str, QualityCount] = field(default_factory=dict)

    def __add__(self, other: FileQuality) -> FileQuality:
        counts = dict(self.counts)
        for rule, count in other.counts.items():
            before = counts[rule].count if rule in counts else 0
            counts[rule] = QualityCount(rule, count.sentence, before + count.count, count.unit)
        return FileQuality(self.rows + other.rows, max(self.bands, other.bands), counts)

    def share(self, count: QualityCount) -> float:
        """Return a count as a share of all fluxes, or of all rows."""
        total = self.rows * (self.bands if count.unit == "fluxes" else 1)
        return count.count / total if total else 0.0


@dataclass(frozen=True)
class QualityReport:
    """Counts per rule per file; reports add up.

    Parameters
    ----------
    files : mapping of str to FileQuality
        By file name.

    Examples
    --------
    >>> report = QualityReport.of("a.fits", 4, bands=5, counts=[QualityCount("inf", "infinite", 2)])
    >>> (report + report).count("inf")
    4
    >>> print(report.lines()[1])
      2 of 20 fluxes (10.00 %): infinite
    """

    files: Mapping[str, FileQuality] = field(default_factory=dict)

    @classmethod
    def of(cls, file: str, rows: int, *, bands: int = 0, counts: Iterable[QualityCount] = ()) -> QualityReport:
        """Return the report of one file."""
        return cls({file: FileQuality(rows, bands, {count.rule: count for count in counts})})

    def __add__(self, other: QualityReport) -> QualityReport:
        files = dict(self.files)
        for name, quality in other.files.items():
            files[name] = files[name] + quality if name in files else quality
        return QualityReport(files)

    merge = __add__

    @staticmethod
    def total(reports: Iterable[QualityReport]) -> QualityReport:
        """Return the sum of several reports."""
        result = QualityReport()
        for report in reports:
            result = result + report
        return result

    def count(self, rule: str, file: str | None = None) -> int:
        """Return how often a rule applied, in one file or in all."""
        chosen = self.files.values() if file is None else [self.files[file]]
        return sum(quality.counts[rule].count for quality in chosen if rule in quality.counts)

    def lines(self) -> list[str]:
        """Return the report as lines for a person; rules that never applied are left out."""
        lines = []
        for name, quality in self.files.items():
            head = f"{name}: {quality.rows:,} rows"
            lines.append(head + (f", {quality.bands} bands" if quality.bands else ""))
            shown = [count for count in quality.counts.values() if count.count]
            for count in shown:
                total = quality.rows * (quality.bands if count.unit == "fluxes" else 1)
                share = f"{100 * quality.share(count):.2f} %"
                lines.append(f"  {count.count:,} of {total:,} {count.unit} ({share}): {count.sentence}")
            if not shown:
                lines.append("  nothing was rejected or mended")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold; rules that never applied are kept, with 0."""
        return {
            name: {
                "rows": quality.rows,
                "bands": quality.bands,
                "counts": {
                    rule: {"count": count.count, "unit": count.unit, "sentence": count.sentence}
                    for rule, count in quality.counts.items()
                },
            }
            for name, quality in self.files.items()
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> QualityReport:
        """Rebuild a report from :meth:`to_dict`.

        Raises
        ------
        BundleError
            If the value is not what :meth:`to_dict` makes.
        """
        try:
            return cls(
                {
                    name: FileQuality(
                        int(part["rows"]),
                        int(part["bands"]),
                        {
                            rule: QualityCount(rule, count["sentence"], int(count["count"]), count["unit"])
                            for rule, count in part["counts"].items()
                        },
                    )
                    for name, part in value.items()
                }
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BundleError(f"the quality report is damaged ({error!r}): prepare the data set again.") from error


def sky_box(ra: np.ndarray, dec: np.ndarray) -> dict[str, Any] | None:
    """Return the box on the sky; where RA runs through 0, `ra` begins before and ends after it."""
    good = np.isfinite(ra) & np.isfinite(dec)
    if not good.any():
        return None
    turned = np.sort(np.mod(ra[good], 360.0))
    # The box is what the widest empty stretch of the circle leaves over.
    gaps = np.diff(np.append(turned, turned[0] + 360.0))
    widest = int(gaps.argmax())
    start, stop = turned[(widest + 1) % len(turned)], turned[widest]
    low, high = np.sin(np.deg2rad([dec[good].min(), dec[good].max()]))
    width = np.deg2rad((stop - start) % 360.0)
    return {
        "ra": [float(start), float(stop)],
        "dec": [float(dec[good].min()), float(dec[good].max())],
        "box_square_degrees": float(np.rad2deg(width) * np.rad2deg(1.0) * (high - low)),
        "without_position": int((~good).sum()),
    }


def spread(values: np.ndarray) -> dict[str, Any] | None:
    """Return count, extremes and percentiles of the finite values, or None if there is none."""
    good = values[np.isfinite(values)]
    if len(good) == 0:
        return None
    low, p5, median, p95, high = np.percentile(good, [0, 5, 50, 95, 100])
    return {
        "count": len(good),
        "min": float(low),
        "p5": float(p5),
        "median": float(median),
        "p95": float(p95),
        "max": float(high),
    }


def extra_facts(values: np.ndarray) -> dict[str, Any] | None:
    """Return the share of 1 of a flag, the number of values of a text or integer, the spread of a number."""
    if values.dtype.kind not in "fiub":
        return {"values": len(np.unique(values))}
    numbers = values[np.isfinite(values)].astype(np.float64)
    if len(numbers) and np.isin(numbers, (0, 1)).all():
        return {"share": float(numbers.mean())}
    if len(numbers) and (numbers == np.round(numbers)).all():
        return {"values": len(np.unique(numbers))}
    return spread(numbers)


def shape_counts(codes: np.ndarray) -> dict[str, int]:
    """Return how many sources each morphological type has, without the types that none has."""
    counts = np.bincount(codes, minlength=len(MORPHOLOGIES))
    return {name: int(count) for name, count in zip(MORPHOLOGIES, counts, strict=True) if count}


def share_of(part: np.ndarray, whole: np.ndarray) -> float:
    """Return the share of `whole` (a mask) that is also `part`; 0 where nothing is."""
    total = int(whole.sum())
    return float((part & whole).sum()) / total if total else 0.0
