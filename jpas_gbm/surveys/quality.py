"""What was thrown away, mended or doubted while reading, and how often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Literal

from ..errors import BundleError
from ..store import damage, from_plain, to_plain

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
        plain: dict[str, Any] = to_plain(self)["files"]
        for part in plain.values():
            for count in part["counts"].values():
                del count["rule"]
        return plain

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> QualityReport:
        """Rebuild a report from :meth:`to_dict`.

        Raises
        ------
        BundleError
            If the value is not what :meth:`to_dict` makes.
        """
        try:
            named = {
                name: {**part, "counts": {rule: {"rule": rule, **count} for rule, count in part["counts"].items()}}
                for name, part in value.items()
            }
            return from_plain(cls, {"files": named})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BundleError(
                f"the quality report is damaged ({damage(error)}): prepare the data set again."
            ) from error
