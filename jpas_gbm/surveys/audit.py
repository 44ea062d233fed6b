"""What reading threw away, mended or doubted; splits by object, and the audit that no object stands in two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Literal

import numpy as np

from ..errors import BundleError, CatalogueError, ConfigError, LeakError, did_you_mean
from ..store import damage, from_plain, to_plain
from ..text import listed
from .catalogue import Catalogue

SPLITS = ("train", "val", "test")
"""The splits; the code of a split is its place here."""

NO_SPLIT = -1
"""The code of rows that belong to no split: unlabelled ones."""


def check_shares(shares: Sequence[float]) -> None:
    """Check that shares of train, validation and test are three parts of a whole.

    Raises
    ------
    ConfigError
        If they are not.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or not np.isclose(sum(shares), 1.0, atol=1e-6):
        raise ConfigError(
            f"the shares of {', '.join(SPLITS)} are {tuple(shares)}: three numbers from 0 to 1 that sum to 1 are "
            "needed, such as [0.3, 0.3, 0.4]."
        )


def split_objects(object_id: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Deal objects to training, validation and test.

    The sorted unique ids are permuted by ``numpy.random.default_rng(seed)`` and cut at the rounded
    cumulated shares, so a split depends on the ids alone and not on the order of the rows.

    Parameters
    ----------
    object_id : array of int64, shape (n,)
        Rows of one id go together.
    shares : sequence of three floats
        For train, validation, test; not negative, summing to 1.
    seed : int
        Of the permutation.

    Returns
    -------
    array of int8, shape (n,)
        Codes into :data:`SPLITS`.

    Raises
    ------
    ConfigError
        If the shares are not three shares of a whole.
    """
    check_shares(shares)
    objects, row = np.unique(object_id, return_inverse=True)
    ends = np.rint(np.cumsum(shares) * len(objects)).astype(int)
    dealt = np.searchsorted(ends, np.arange(len(objects)), side="right").clip(max=len(SPLITS) - 1)
    code = np.empty(len(objects), dtype=np.int8)
    code[np.random.default_rng(seed).permutation(len(objects))] = dealt
    return code[row]


def split_codes(names: Iterable[str], allowed: Sequence[str] = SPLITS) -> list[int]:
    """Return the codes of splits named; ``unlabelled`` is -1.

    Raises
    ------
    ConfigError
        If a name is none of `allowed`.
    """
    codes = []
    for name in names:
        if name not in allowed:
            raise ConfigError(
                f"there is no split '{name}'.{did_you_mean(name, allowed)} Allowed: {', '.join(allowed)}."
            )
        codes.append(SPLITS.index(name) if name in SPLITS else NO_SPLIT)
    return codes


@dataclass(frozen=True)
class LeakCheck:
    """One question of the audit.

    Parameters
    ----------
    name : str
        Short name, such as ``source_in_target``.
    sentence : str
        What was looked for.
    count : int
        Objects found; 0 is clean.
    allowed : bool
        Whether the options ask for it all the same.
    examples : tuple of int
        Some of the object ids found.
    """

    name: str
    sentence: str
    count: int
    allowed: bool = False
    examples: tuple[int, ...] = ()


@dataclass(frozen=True)
class LeakAudit:
    """What was checked before a data set was let out, and what was found.

    Parameters
    ----------
    checks : tuple of LeakCheck
        One for each question.
    """

    checks: tuple[LeakCheck, ...] = ()

    @property
    def leaks(self) -> tuple[LeakCheck, ...]:
        """The checks that found something that the options do not allow."""
        return tuple(check for check in self.checks if check.count and not check.allowed)

    @property
    def clean(self) -> bool:
        """Whether no object stands on two sides, other than those allowed."""
        return not self.leaks

    def require_clean(self) -> None:
        """Raise if an object stands on two sides.

        Raises
        ------
        LeakError
            Naming each check that failed, and some of the objects.
        """
        if self.clean:
            return
        found = "; ".join(
            f"{check.count:,} {check.sentence} (object {', '.join(map(str, check.examples))})" for check in self.leaks
        )
        raise LeakError(
            f"objects stand on two sides: {found}. Scores would be measured on what was trained on. Split by object "
            "id, and leave out of the mocks every object of the label catalogue."
        )

    def lines(self) -> list[str]:
        """Return the audit as lines for a person."""
        state = "clean" if self.clean else "LEAKING"
        notes = [
            f"  {check.count:,} {check.sentence}{', as the options allow' if check.allowed else ''}"
            for check in self.checks
            if check.count
        ]
        return [f"Leak audit: {state} ({len(self.checks)} checks)", *notes]

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold: the checks by name, ids as text."""
        plain = [to_plain(check) | {"examples": list(map(str, check.examples))} for check in self.checks]
        return {check.pop("name"): check for check in plain}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> LeakAudit:
        """Rebuild an audit from :meth:`to_dict`.

        Raises
        ------
        BundleError
            If the value is not what :meth:`to_dict` makes.
        """
        try:
            return from_plain(cls, {"checks": [{"name": name, **check} for name, check in value.items()]})
        except (TypeError, AttributeError, ValueError) as error:
            raise BundleError(f"the leak audit is damaged ({damage(error)}): prepare the data set again.") from error


def leak_check(name: str, sentence: str, ids: np.ndarray, allowed: bool = False) -> LeakCheck:
    """Return a check with the number of different ids found, and some of them."""
    found = np.unique(ids)
    return LeakCheck(name, sentence, len(found), allowed, tuple(int(i) for i in found[:3]))


def in_several_splits(object_id: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Return the ids whose rows are not all of one split, unlabelled rows (-1) left aside."""
    chosen = split >= 0
    ids, codes = object_id[chosen], split[chosen]
    seen = [np.unique(ids[codes == code]) for code in range(len(SPLITS))]
    pairs = [np.intersect1d(seen[i], seen[j], assume_unique=True) for i in range(len(seen)) for j in range(i)]
    return np.unique(np.concatenate(pairs))


def audit_leaks(
    source: Catalogue,
    source_split: np.ndarray,
    target: Catalogue,
    target_split: np.ndarray,
    *,
    known_ids: np.ndarray | None = None,
    near_target: Iterable[int] | np.ndarray | None = None,
    allow_twins: bool = False,
) -> LeakAudit:
    """Look for objects on two sides, from the finished arrays and not from how they were made.

    Parameters
    ----------
    source, target : Catalogue
        With object ids of one id space.
    source_split, target_split : array of int8
        Codes of splits; -1 for unlabelled rows.
    known_ids : array of int64, optional
        Every id of the label catalogue, also of rows whose label was rejected.
    near_target : array of int64, optional
        Ids of source rows found at the position of a target row, where ids are not shared.
    allow_twins : bool
        Whether the options ask for mocks of target objects in training.

    Returns
    -------
    LeakAudit
    """
    checks = [
        leak_check(
            "target_splits",
            "target objects in more than one split",
            in_several_splits(target.object_id, target_split),
        ),
        leak_check(
            "source_splits",
            "source objects in more than one split",
            in_several_splits(source.object_id, source_split),
        ),
        leak_check(
            "source_in_target",
            "source objects that are target objects",
            np.intersect1d(source.object_id, target.object_id),
            allow_twins,
        ),
    ]
    if known_ids is not None:
        named = np.intersect1d(source.object_id, known_ids)
        checks.append(leak_check("source_in_labels", "source objects named in the label catalogue", named, allow_twins))
    if "ISINJPAS" in source.extra:
        says = source.object_id[np.asarray(source.extra["ISINJPAS"]) == 1]
        checks.append(leak_check("source_says_so", "source objects that say ISINJPAS = 1", says, allow_twins))
    if near_target is not None:
        near = np.asarray(near_target, dtype=np.int64)
        checks.append(
            leak_check("source_at_target", "source objects at the position of a target object", near, allow_twins)
        )
    return LeakAudit(tuple(checks))


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
        """Return the report of one file."""
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
        """Return what is to be known of the files, each sentence with the name of its file."""
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
            lines += [f"  note: {note}" for note in quality.notes]
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
