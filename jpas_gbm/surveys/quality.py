"""Quality bits of rows, and what was rejected or mended of each file, counted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any

import numpy as np

from ..errors import BundleError, CatalogueError
from ..store import damage, from_plain, to_plain
from ..text import count as counted
from ..text import listed
from .audit import Unit
from .bands import AB_ZERO_POINT
from .packing import as_text
from .spelling import NULLS


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
    UNKNOWN_TILE = 64
    """The model has no zero point of the row's tile: ``jpas-gbm calibrate-tiles`` measures it."""
    NO_PHOTOMETRY = 128
    """No band of the model was observed: there are no probabilities and no class."""


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
    notes : tuple of str
        What a person must know of the file: what was not checked, that its checksums are stale.
    simulated : bool
        Whether the file says that it is simulated.
    magnitude : str
        What its magnitude is, for people; empty where it has none.
    """

    rows: int
    bands: int = 0
    counts: Mapping[str, QualityCount] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    simulated: bool = False
    magnitude: str = ""

    def __add__(self, other: FileQuality) -> FileQuality:
        counts = dict(self.counts)
        for rule, count in other.counts.items():
            before = counts[rule].count if rule in counts else 0
            counts[rule] = QualityCount(rule, count.sentence, before + count.count, count.unit)
        notes = tuple(dict.fromkeys((*self.notes, *other.notes)))
        simulated = self.simulated or other.simulated
        magnitude = self.magnitude or other.magnitude
        return FileQuality(self.rows + other.rows, max(self.bands, other.bands), counts, notes, simulated, magnitude)

    def share(self, count: QualityCount) -> float:
        """Return a count as a share of all fluxes, or of all rows.

        Parameters
        ----------
        count : QualityCount
            One of this file.

        Returns
        -------
        float
            From 0 to 1; 0 where the file has no row.
        """
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
    def of(
        cls,
        file: str,
        rows: int,
        *,
        bands: int = 0,
        counts: Iterable[QualityCount] = (),
        notes: Iterable[str] = (),
        simulated: bool = False,
    ) -> QualityReport:
        """Return the report of one file.

        Parameters
        ----------
        file : str
        rows, bands : int
        counts : iterable of QualityCount
        notes : iterable of str
        simulated : bool

        Returns
        -------
        QualityReport
        """
        return cls({file: FileQuality(rows, bands, {count.rule: count for count in counts}, tuple(notes), simulated)})

    @property
    def simulated(self) -> bool:
        """Whether any of the files says that it is simulated."""
        return any(quality.simulated for quality in self.files.values())

    @property
    def magnitude(self) -> str:
        """What the magnitudes of the files are, for people: ``r (Legacy Surveys)``; empty where they have none."""
        return listed(list(dict.fromkeys(q.magnitude for q in self.files.values() if q.magnitude)), "or")

    def notes(self) -> list[str]:
        """Return what is to be known of the files, each sentence with the name of its file.

        Returns
        -------
        list of str
        """
        return [f"{name}: {note}" for name, quality in self.files.items() for note in quality.notes]

    def refuse_notes(self) -> None:
        """Refuse files of which there is anything to note, as ``--strict`` asks.

        Raises
        ------
        CatalogueError
            Quoting the notes.
        """
        if self.notes():
            raise CatalogueError(f"{'; '.join(self.notes())}. With --strict such files are not read.")

    def __add__(self, other: QualityReport) -> QualityReport:
        files = dict(self.files)
        for name, quality in other.files.items():
            files[name] = files[name] + quality if name in files else quality
        return QualityReport(files)

    merge = __add__

    @staticmethod
    def total(reports: Iterable[QualityReport]) -> QualityReport:
        """Return the sum of several reports.

        Parameters
        ----------
        reports : iterable of QualityReport

        Returns
        -------
        QualityReport
        """
        result = QualityReport()
        for report in reports:
            result = result + report
        return result

    def count(self, rule: str, file: str | None = None) -> int:
        """Return how often a rule applied, in one file or in all.

        Parameters
        ----------
        rule : str
            Its name.
        file : str, optional
            Name of the file; default: all files.

        Returns
        -------
        int
            Fluxes or rows; 0 for a rule that never applied.
        """
        chosen = self.files.values() if file is None else [self.files[file]]
        return sum(quality.counts[rule].count for quality in chosen if rule in quality.counts)

    def lines(self) -> list[str]:
        """Return the report as lines for a person; rules that never applied are left out.

        Returns
        -------
        list of str
        """
        lines = []
        for name, quality in self.files.items():
            head = f"{name}: {counted(quality.rows, 'row')}"
            lines.append(head + (f", {counted(quality.bands, 'band')}" if quality.bands else ""))
            shown = [count for count in quality.counts.values() if count.count]
            for count in shown:
                total = quality.rows * (quality.bands if count.unit == "fluxes" else 1)
                share = f"{100 * quality.share(count):.2f} %"
                whole = counted(total, "flux", "fluxes") if count.unit == "fluxes" else counted(total, "row")
                lines.append(f"  {count.count:,} of {whole} ({share}): {count.sentence}")
            if not shown:
                lines.append("  nothing was rejected or mended")
            lines += [f"  note: {note}" for note in quality.notes]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold; rules that never applied are kept, with 0.

        Returns
        -------
        dict
        """
        plain: Any = to_plain(self)["files"]
        for part in plain.values():
            for count in part["counts"].values():
                del count["rule"]
        return plain

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> QualityReport:
        """Rebuild a report from :meth:`to_dict`.

        Parameters
        ----------
        value : mapping

        Returns
        -------
        QualityReport

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


_DEPTHS = (5.0, 32.0)
"""AB magnitudes between which the 5σ depth of any survey lies; space telescopes reach 31."""


def doubted_depth(flux: np.ndarray, error: np.ndarray, taken: str) -> list[str]:
    """Return a note where fluxes are of a depth that no survey has: their unit is another, most likely.

    Parameters
    ----------
    flux, error : array, shape (n, b)
        nJy; NaN where missing. Without errors, the fluxes themselves are looked at.
    taken : str
        In what unit they were read and who said so, for people.

    Returns
    -------
    list of str
        One note, or none.
    """
    rows = slice(None, None, max(1, len(flux) // 1000))
    sigma, level = 5 * error[rows], np.abs(flux[rows])
    what, values = ("5σ depth", sigma) if np.isfinite(sigma).any() else ("brightness", level)
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return []
    depth = AB_ZERO_POINT - 2.5 * np.log10(float(np.median(values)))
    if _DEPTHS[0] <= depth <= _DEPTHS[1]:
        return []
    side = f"brighter than {_DEPTHS[0]:g}" if depth < _DEPTHS[0] else f"fainter than {_DEPTHS[1]:g}"
    return [
        f"its {what} is {side} AB magnitudes, which no survey has: the fluxes were read in {taken}, and are in another "
        "unit, it seems. State theirs: in the file (TUNIT, or in brackets behind the names of the columns), or as "
        "'unit' and 'scale' under 'photometry' of a survey file of your own (--survey)"
    ]


_FILLERS = np.array([0.0, 99.0, 99.9, 99.99, 999.0, 999.9, 999.99, 9999.0, 9999.9])


def seem_magnitudes(values: np.ndarray, errors: np.ndarray | None) -> tuple[float, float] | None:
    """Return the least and the largest of numbers that are magnitudes, it seems, though fluxes are expected.

    Fluxes of many rows scatter around 0, or span decades. Numbers of 20 rows and 5 bands, 200 in all, that lie between
    8 and 35, with errors below 1 for most, are no fluxes. Of each band one number in fifty may lie elsewhere, or one;
    what stands for missing is not counted: 0, 99 and its like, and the number or two elsewhere that are far the most
    frequent; nor are negative magnitudes, which are limits, up to half as many, in bands and rows that
    have magnitudes.

    Parameters
    ----------
    values : array, shape (n, b)
        As the file has them; NaN where missing.
    errors : array, shape (n, b), optional

    Returns
    -------
    tuple of two floats, or None
    """
    like = (values >= 8) & (values <= 35)
    if like.sum() < 200 or like.any(axis=1).sum() < 20 or like.any(axis=0).sum() < 5:
        return None
    stated = np.zeros(0) if errors is None else np.abs(errors[like & np.isfinite(errors)])
    if len(stated) and np.median(stated) >= 1:
        return None
    limits = (values <= -8) & (values >= -35)
    limits &= like.any(axis=0) & like.any(axis=1, keepdims=True) & (limits.sum() <= like.sum() // 2)
    other = np.isfinite(values) & ~like & ~limits
    rounded = np.round(values[other].astype(np.float64), 2)
    numbers, times = np.unique(rounded[~np.isin(np.abs(rounded), _FILLERS)], return_counts=True)
    order = np.argsort(-times, kind="stable")
    most, second, third = (*times[order][:3], 0, 0, 0)[:3]
    often = numbers[order][: 2 if second > max(1, 5 * third) else int(most > 1)]  # not the tail of whole numbers
    other[other] = ~np.isin(np.abs(rounded), _FILLERS) & ~np.isin(rounded, often)
    if (other.sum(axis=0) > np.maximum(1, like.sum(axis=0) // 50)).any() or other.sum() > like.sum() // 50:
        return None
    return float(values[like].min()), float(values[like].max())


def is_blank(values: Any) -> np.ndarray:
    """Return where a column says nothing: masked, NaN, or text that is blank or a word such as "null".

    Parameters
    ----------
    values : array, shape (n,)
        Of any type.

    Returns
    -------
    array of bool, shape (n,)
    """
    masked, plain = np.ma.getmaskarray(values), np.asarray(np.ma.getdata(values))
    if plain.dtype.kind in "OSU":
        return masked | np.isin(np.char.lower(as_text(plain)), list(map(str.lower, NULLS)))
    return masked | (plain != plain)


def one_a_row(values: np.ndarray, column: str) -> np.ndarray:
    """Return a column of one value a row as (n,), or refuse one that holds several.

    Parameters
    ----------
    values : array, shape (n,) or (n, 1)
    column : str
        The table and the column, for messages.

    Returns
    -------
    array, shape (n,)

    Raises
    ------
    CatalogueError
        Saying its shape.
    """
    values = values.reshape(-1) if values.shape[1:] == (1,) else values
    if values.ndim > 1:
        raise CatalogueError(
            f"{column}: has the shape {values.shape}, where one value a row is needed. Keep the one that is meant, in "
            "a column of its own."
        )
    return values


_NO_ERROR = re.compile(r"(?<![a-z])(?:(ivar|invvar|inv_?variance|weight)|(var|variance)|(snr|s2n))(?![a-z])", re.I)


def calls_itself_no_error(column: str) -> tuple[str, str] | None:
    """Return by what word a column beside fluxes calls itself other than their errors, and how these are had of it.

    Parameters
    ----------
    column : str

    Returns
    -------
    tuple of str, or None
        Such as IVAR, and "1/sqrt of it"; None for what may be errors.
    """
    found = _NO_ERROR.search(column)
    if found is None:
        return None
    return found[0], ("1/sqrt of it", "sqrt of it", "the flux over it")[(found.lastindex or 1) - 1]


OTHER_FRAMES = re.compile(r"(eq_)?fk4|(super)?galactic|ecl|barycentrictrueecl|gappt|cirs|tete|altaz", re.IGNORECASE)
"""Names of frames of the sky that are not ICRS, by how they begin."""

CONVERT = "Convert them, with SkyCoord(...).icrs of astropy say"


def refuse_frame(cards: Mapping[str, str], ra: str, place: str) -> None:
    """Refuse positions that a file states to be of another frame than ICRS, or FK5 of 2000, which is as good here.

    Parameters
    ----------
    cards : mapping of str to str
        What the file states beside its columns.
    ra : str
        The column of right ascensions.
    place : str
        The table, for messages.

    Raises
    ------
    CatalogueError
        Saying the frame.
    """
    own = next((name for name in (ra, ra.rpartition(".")[0]) if cards.get(f"frame of {name}")), None)
    named = ("RADESYS", "RADECSYS") if own is None else (f"frame of {own}",)
    frame = next((cards[card] for card in named if cards.get(card)), "")
    digits = re.search(r"\d{4}(\.\d+)?", cards.get("EQUINOX" if own is None else f"equinox of {own}", ""))
    equinox = float(digits[0]) if digits else 2000.0
    if OTHER_FRAMES.match(frame) or (equinox != 2000.0 and frame.upper() == "FK5") or (equinox < 1984.0 and not frame):
        stated = f"{frame or 'no frame'}{f', equinox {equinox:g}' if digits else ''}"
        raise CatalogueError(
            f"{place}: states that its positions are of {stated}; ICRS (or FK5 of 2000) is read. {CONVERT}, or mend "
            "what is stated (RADESYS and EQUINOX, COOSYS) where it is wrong."
        )
