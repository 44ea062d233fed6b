"""CandidateList: what a list of candidates promises, as ``targets`` saved it beside the list.

Saved values: what JSON holds, checked while it is read, so that drawing meets no surprise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Interval = tuple[float, float]


def real(value: Any) -> float | None:
    """Return a number or None, as JSON writes what is not finite.

    Raises
    ------
    TypeError, ValueError
        If it is neither.
    """
    return None if value is None else float(value)


def interval(value: Any) -> Interval | None:
    """Return both ends of an interval, or None where it, or an end, is not known.

    Raises
    ------
    TypeError, ValueError
        If it is not a pair of numbers.
    """
    if value is None:
        return None
    low, high = value
    return None if low is None or high is None else (float(low), float(high))


def row(values: Sequence[Any], length: int | None = None) -> np.ndarray:
    """Return numbers as float64, NaN for None.

    Raises
    ------
    TypeError, ValueError
        If one is no number, or there are not `length` of them.
    """
    found = np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
    if length is not None and len(found) != length:
        raise ValueError(f"{len(found)} values where {length} belong")
    return found


def within(values: Mapping[str, Any], *names: str) -> Any:
    """Return what is under nested names, or None where one is absent."""
    found: Any = values
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


_TELLING = ("rule", "promise", "parts")
_KINDS = ("purity", "completeness", "number", "density", "fdr")


def is_list(told: Any) -> bool:
    """Return whether what a JSON file holds is of a candidate list."""
    return isinstance(told, Mapping) and all(name in told for name in _TELLING)


class Part(NamedTuple):
    """The candidates of one magnitude bin; intervals are 95 %, `naive` is the size of the naive list."""

    magnitudes: str
    field_rows: int
    size: int
    expected: float
    expected_interval: Interval | None
    purity: float | None
    purity_interval: Interval | None
    completeness: float | None
    completeness_interval: Interval | None
    threshold: float | None
    naive: int | None


class Banded(NamedTuple):
    """A curve and the ends of its 95 % interval, each of shape (n,)."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


class ByThreshold(NamedTuple):
    """What a cut in probability selects among labelled rows, of which `members` are of the class."""

    rows: int
    members: int
    threshold: np.ndarray
    purity: Banded
    completeness: Banded


class BySize(NamedTuple):
    """What the likeliest rows of the field hold, against their number."""

    size: np.ndarray
    true: Banded
    purity: Banded
    completeness: Banded


class ClassMix(NamedTuple):
    """Class shares of the labelled rows and of the field, shape (bins, classes) each.

    `estimated` is false where the field's were given; then there is no interval.
    """

    source: str
    estimated: bool
    bins: tuple[str, ...]
    labelled: np.ndarray
    field: Banded


class Trust(NamedTuple):
    """Whether the class mix that EM found is to be trusted, why not, and ``(gap, chance)`` of each test."""

    trusted: bool
    reasons: tuple[str, ...]
    tests: Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True, eq=False)
class CandidateList:
    """A candidate list.

    Parameters
    ----------
    name : str
        The file's, without suffix.
    rule, promise : str
        In sentences; the promise says what it assumes.
    target : str
        The class wanted.
    classes : tuple of str
    limits : tuple of float or None
        Brightest and faintest magnitude.
    rows : int
        Candidates.
    parts : tuple of Part
    mix : ClassMix or None
    trust : Trust or None
        None where the mix was given, not estimated.
    area, per_deg2 : float or None
        Footprint in square degrees, and members expected on one.
    by_size : BySize or None
    before, after : mapping of str to ByThreshold
        By magnitude bin and for ``all``: with probabilities as the model gave them, and corrected to the field's mix.
    coverage : float or None
        Of the conformal sets.
    labels : mapping of str to int
        Labels that calibrate, by class.
    notes : tuple of str
    record : mapping
        Provenance.
    """

    name: str
    rule: str
    promise: str
    target: str
    classes: tuple[str, ...]
    limits: tuple[float | None, float | None]
    rows: int
    parts: tuple[Part, ...]
    mix: ClassMix | None = None
    trust: Trust | None = None
    area: float | None = None
    per_deg2: float | None = None
    by_size: BySize | None = None
    before: Mapping[str, ByThreshold] = field(default_factory=dict)
    after: Mapping[str, ByThreshold] = field(default_factory=dict)
    coverage: float | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, name: str, told: Mapping[str, Any]) -> CandidateList:
        """Return a list from what the JSON beside it holds; curves and class mix may be absent.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError
            If it holds something else.
        """
        bright, faint = told.get("magnitudes") or (None, None)
        classes = tuple(map(str, told.get("classes") or ()))
        curves = told.get("curves") or {}
        labelled = curves.get("labelled") or {}
        return cls(
            name,
            str(told["rule"]),
            str(told["promise"]),
            str(told["class"]),
            classes,
            (real(bright), real(faint)),
            int(told["rows"]),
            tuple(_part(one) for one in told["parts"]),
            _mix(told.get("mix"), len(classes)),
            _trust(within(told, "mix", "trust")),
            real(within(told, "footprint", "area_deg2")),
            real(told.get("per_deg2")),
            _by_size(curves.get("field")),
            {str(bin_): _by_threshold(one["before"]) for bin_, one in labelled.items()},
            {str(bin_): _by_threshold(one["after"]) for bin_, one in labelled.items()},
            real(told.get("coverage_of_sets")),
            {str(c): int(n) for c, n in (told.get("calibration_labels") or {}).items()},
            tuple(map(str, told.get("notes") or [])),
            dict(told.get("provenance") or {}),
        )

    @property
    def kind(self) -> str | None:
        """Which rule made the list, where the provenance tells."""
        return next((one for one in _KINDS if within(self.record, "options", one) is not None), None)

    def wanted(self, figure: str) -> float | None:
        """Return the purity or completeness that the rule asks for, if it asks for that."""
        value = None if self.kind is None else real(self.record["options"][self.kind])
        if self.kind == "fdr" and figure == "purity" and value is not None:
            return 1 - value
        return value if self.kind == figure else None

    def threshold_at(self, bin_: str) -> float | None:
        """Return the threshold of the list in a magnitude bin of the curves, or None where it has none."""
        parts = {part.magnitudes: part.threshold for part in self.parts}
        if bin_ == "all" and len(parts) == 1 and len(self.after) < 2:
            return next(iter(parts.values()))
        return parts.get(bin_)

    @property
    def expected(self) -> float:
        """Expected number of true members."""
        return sum(part.expected for part in self.parts)


def _part(one: Mapping[str, Any]) -> Part:
    naive = one.get("mean_probability_size")
    return Part(
        str(one["magnitudes"]),
        int(one["field_rows"]),
        int(one["size"]),
        float(one["expected_true"]),
        interval(one.get("interval")),
        real(one.get("purity")),
        interval(one.get("purity_interval")),
        real(one.get("completeness")),
        interval(one.get("completeness_interval")),
        real(one.get("threshold")),
        None if naive is None else int(naive),
    )


def _mix(one: Mapping[str, Any] | None, n_classes: int) -> ClassMix | None:
    if not one:
        return None
    bins = tuple(map(str, one["bins"]))

    def shares(values: Any) -> np.ndarray:
        found = np.stack([row(line, n_classes) for line in values])
        if len(found) != len(bins):
            raise ValueError(f"shares of {len(found)} magnitude bins where {len(bins)} belong")
        return found

    field_ = Banded(*(shares(one[name]) for name in ("new", "low", "high")))
    source = str(one["source"])
    return ClassMix(source, not source.startswith("given"), bins, shares(one["old"]), field_)


def _trust(one: Mapping[str, Any] | None) -> Trust | None:
    if not one:
        return None
    tests = {str(of): (real(test.get("gap")), real(test.get("chance"))) for of, test in one.get("tests", {}).items()}
    return Trust(bool(one["trusted"]), tuple(map(str, one.get("reasons", ()))), tests)


def _by_threshold(one: Mapping[str, Any]) -> ByThreshold:
    threshold = row(one.get("threshold", ()))
    n = len(threshold)

    def banded(name: str) -> Banded:
        return Banded(*(row(one[part] if n else (), n) for part in (name, f"{name}_low", f"{name}_high")))

    return ByThreshold(int(one["rows"]), int(one["members"]), threshold, banded("purity"), banded("completeness"))


def _by_size(one: Mapping[str, Any] | None) -> BySize | None:
    if not one or not one.get("size"):
        return None
    size = row(one["size"])

    def banded(name: str) -> Banded:
        low, high = one[f"{name}_interval"]
        return Banded(row(one[name], len(size)), row(low, len(size)), row(high, len(size)))

    return BySize(size, banded("true"), banded("purity"), banded("completeness"))
