"""The parts of a saved candidate list: made where their numbers are measured, drawn by the page.

Each is a frozen dataclass that :func:`jpas_gbm.store.to_plain` turns into what the JSON beside the list holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import PlainSerializer, PlainValidator

Interval = tuple[float | None, float | None]
"""Both ends of an interval; None where one is not known."""


def _floats(values: object) -> np.ndarray:
    """Return numbers as float64, NaN for None."""
    return np.array(values, dtype=np.float64)


def _no_floats() -> np.ndarray:
    return np.zeros(0)


Floats = Annotated[np.ndarray, PlainValidator(_floats), PlainSerializer(np.ndarray.tolist)]
"""An array of float64 that JSON holds as a list, NaN as null."""


class Banded(NamedTuple):
    """A curve and both ends of its 95 % interval, each of shape (n,).

    Parameters
    ----------
    value : array, shape (n,)
        The curve.
    low, high : array, shape (n,)
        Ends of its interval.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Reading:
    """What one assumption alone says of a list.

    Parameters
    ----------
    size : int
        Length of the list that this assumption alone would allow.
    purity : float
        Of the list that was made.
    interval : (float, float)
        Of `purity`, 95 %.
    """

    size: int
    purity: float
    interval: Interval


_FEWEST, _UNLIKE = 10.0, 0.1
"""Fewest labels of the class, weighed, and largest share of a list beyond labels with which a promise is trusted."""


@dataclass(frozen=True)
class SelectionWeights:
    """How labelled rows stand for the field when each is weighed by the inverse of its chance to be labelled.

    Parameters
    ----------
    effective : float
        Labelled rows of equal weight that would tell as much.
    members : float
        The same of the class wanted.
    clipped : float
        Share of the list whose weight was clipped: hardly any label is of its kind.
    most : float
        Largest weight, in units of the smallest.
    """

    effective: float
    members: float
    clipped: float
    most: float

    @property
    def trusted(self) -> bool:
        """Whether labels like the list are enough."""
        return self.members >= _FEWEST and self.clipped <= _UNLIKE

    @property
    def doubt(self) -> str:
        """Why they are not, in words."""
        return (
            "labels hardly stand for this field: weighed by selection, those of the class count as "
            f"{self.members:.0f}{self._unlike(', and {} is of a kind that hardly any label is of')}; "
            "its promise is not to be trusted. Label some of the list's own kind."
        )

    def _unlike(self, words: str) -> str:
        """Return words with the share of the list that labels are not like, or nothing where they all are."""
        share = f"{100 * self.clipped:.0f}"
        return "" if share == "0" else words.format(f"{share} % of the list")

    def sentences(self, rows: int) -> list[str]:
        """Return it in words, with the doubt where there is one.

        Parameters
        ----------
        rows : int
            Labelled rows.

        Returns
        -------
        list of str
        """
        told = (
            f"weighed by selection, {rows:,} labelled rows count as {self.effective:,.0f}, those of the class as "
            f"{self.members:.0f}{self._unlike('; hardly any label is like {}')}."
        )
        return [told] if self.trusted else [told, self.doubt]


@dataclass(frozen=True)
class Part:
    """The candidates of one magnitude bin of the rule; intervals are 95 %, by bootstrap.

    Parameters
    ----------
    magnitudes : str
        The bin in words.
    field_rows : int
        Rows of the field that the rule chose from.
    size : int
        Candidates.
    expected_true : float
        True members expected: the mean of the draws that intervals are of, by the reading that ranks the rows.
    interval : (float, float), optional
        Of the number of true members.
    purity : float, optional
        Share of true members in the list.
    purity_interval : (float, float), optional
        Of `purity`.
    completeness : float, optional
        Share of the field's members that the list holds.
    completeness_interval : (float, float), optional
        Of `completeness`.
    threshold : float, optional
        Least probability.
    mean_probability_size : int, optional
        Length of the naive list: the longest whose mean probability reaches the purity asked for.
    by_mix, by_selection : Reading, optional
        The list as class mix alone, and as labels weighed by selection alone, read it; where both are asked for.
    """

    magnitudes: str
    field_rows: int
    size: int
    expected_true: float
    interval: Interval | None = None
    purity: float | None = None
    purity_interval: Interval | None = None
    completeness: float | None = None
    completeness_interval: Interval | None = None
    threshold: float | None = None
    mean_probability_size: int | None = None
    by_mix: Reading | None = None
    by_selection: Reading | None = None

    def readings(self) -> list[str]:
        """Return what each assumption alone says of the list, in words.

        Returns
        -------
        list of str
            Empty where one was asked for.
        """
        if self.by_mix is None or self.by_selection is None:
            return []
        named = (("class mix", self.by_mix), ("labels weighed by selection", self.by_selection))
        words = [
            f"{name} alone: purity {one.purity:.3f} [{one.interval[0]:.3f}, {one.interval[1]:.3f}], "
            f"{one.size:,} allowed"
            for name, one in named
        ]
        return [f"{self.magnitudes}, by {words[0]}; by {words[1]}"]


@dataclass(frozen=True)
class SpreadTest:
    """How labelled rows, weighted to the field's class mix, compare with the field in cells, by chi².

    Parameters
    ----------
    gap : float
        Share of the rows that are in other cells.
    chance : float
        Of a larger statistic.
    chi2, freedom : float
        Statistic and degrees of freedom.
    """

    gap: float
    chance: float
    chi2: float
    freedom: float


@dataclass(frozen=True)
class Trust:
    """Whether the class mix that EM found is to be trusted.

    Parameters
    ----------
    trusted : bool
    reasons : tuple of str
        Why not.
    tests : mapping of str to SpreadTest
    """

    trusted: bool
    reasons: tuple[str, ...] = ()
    tests: Mapping[str, SpreadTest] = field(default_factory=dict)

    @property
    def doubt(self) -> str:
        """Why it is not, in words; empty where it is."""
        reasons = "; ".join(reason.removesuffix(".") for reason in self.reasons)
        return "" if self.trusted else f"the class mix found by EM is not to be trusted: {reasons}."


@dataclass(frozen=True, eq=False)
class ClassMix:
    """Class shares of the labelled rows and of the field by magnitude bin.

    Parameters
    ----------
    source : str
        Where the field's shares are from.
    bins : tuple of str
        Names of the b bins.
    old, new : array of float64, shape (b, k)
        Shares of the labelled rows and of the field.
    low, high : array of float64, shape (b, k)
        Ends of the 95 % intervals of the field's shares; those of a given mix are the shares themselves.
    temperature : float, optional
    bias : array of float64, shape (k,)
        Bias-corrected temperature of the probabilities.
    trust : Trust, optional
        None where the mix was given.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """

    source: str
    bins: tuple[str, ...]
    old: Floats
    new: Floats
    low: Floats
    high: Floats
    temperature: float | None = None
    bias: Floats = field(default_factory=_no_floats)
    trust: Trust | None = None

    def __post_init__(self) -> None:
        if len({part.shape for part in (self.old, self.new, self.low, self.high)}) > 1 or self.old.ndim != 2:
            raise ValueError("the class shares do not belong together")
        if len(self.old) != len(self.bins):
            raise ValueError(f"shares of {len(self.old)} magnitude bins where {len(self.bins)} belong")

    @property
    def estimated(self) -> bool:
        """Whether the field's shares were estimated, not given."""
        return not self.source.startswith("given")


class _Curve:
    """A curve of several figures, each with the ends of its interval."""

    def __post_init__(self) -> None:
        lengths = {getattr(self, one.name).shape[-1] for one in fields(self) if one.type == "Floats"}  # type: ignore[arg-type]
        if len(lengths - {0}) > 1:
            raise ValueError("the parts of a curve are not of one length")


@dataclass(frozen=True, eq=False)
class ThresholdCurve(_Curve):
    """What a cut in probability selects among labelled rows.

    Parameters
    ----------
    rows, members : int
        Labelled rows, and those of them that are of the class; of none there is no curve.
    threshold : array of float64, shape (n,)
        Falling.
    purity, purity_low, purity_high : array of float64, shape (n,)
        And the ends of its 95 % interval.
    completeness, completeness_low, completeness_high : array of float64, shape (n,)
        And the ends of its 95 % interval.
    """

    rows: int
    members: int
    threshold: Floats = field(default_factory=_no_floats)
    purity: Floats = field(default_factory=_no_floats)
    purity_low: Floats = field(default_factory=_no_floats)
    purity_high: Floats = field(default_factory=_no_floats)
    completeness: Floats = field(default_factory=_no_floats)
    completeness_low: Floats = field(default_factory=_no_floats)
    completeness_high: Floats = field(default_factory=_no_floats)

    def banded(self, figure: str) -> Banded:
        """Return purity or completeness with its interval.

        Parameters
        ----------
        figure : {"purity", "completeness"}

        Returns
        -------
        Banded
        """
        return Banded(*(getattr(self, figure + end) for end in ("", "_low", "_high")))


@dataclass(frozen=True, eq=False)
class SizeCurve(_Curve):
    """What the likeliest rows of the field hold, against their number.

    Parameters
    ----------
    size, threshold : array of float64, shape (n,)
        Of the lists, by rising size.
    true, true_interval, purity, purity_interval, completeness, completeness_interval : array of float64
        What is expected, shape (n,), and the lower and upper ends of 95 %, shape (2, n).
    true_per_deg2 : array of float64, shape (n,), optional
        Where the area is known.
    """

    size: Floats
    threshold: Floats
    true: Floats
    true_interval: Floats
    purity: Floats
    purity_interval: Floats
    completeness: Floats
    completeness_interval: Floats
    true_per_deg2: Floats = field(default_factory=_no_floats)

    def banded(self, figure: str) -> Banded:
        """Return true members, purity or completeness with the interval.

        Parameters
        ----------
        figure : {"true", "purity", "completeness"}

        Returns
        -------
        Banded
        """
        return Banded(getattr(self, figure), *getattr(self, f"{figure}_interval"))


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """Curves of labelled rows with probabilities as the model gave them, and corrected to the field's class mix.

    Parameters
    ----------
    before : ThresholdCurve
        Uncorrected.
    after : ThresholdCurve
        Corrected.
    """

    before: ThresholdCurve
    after: ThresholdCurve


@dataclass(frozen=True, eq=False)
class Curves:
    """Every curve of a class.

    Parameters
    ----------
    labelled : mapping of str to BeforeAfter
        Of labelled rows, for ``all`` and by magnitude bin.
    field : SizeCurve, optional
        Of the field.
    """

    labelled: Mapping[str, BeforeAfter] = field(default_factory=dict)
    field: SizeCurve | None = None


@dataclass(frozen=True)
class FootprintSize:
    """How large a footprint is.

    Parameters
    ----------
    order, cells : int
        HEALPix order, and number of occupied cells.
    area_deg2, cells_deg2 : float
        Square degrees of the footprint, and of all its cells.
    """

    order: int
    cells: int
    area_deg2: float
    cells_deg2: float


@dataclass(frozen=True)
class KnownCount:
    """How many rows of a field a catalogue of known sources has.

    Parameters
    ----------
    name : str
        Of the catalogue; of rows that several have the first counts.
    rows : int
        In the field.
    listed : int
        In the list, where known sources are flagged and not left out.
    """

    name: str
    rows: int
    listed: int = 0


def bin_names(edges: tuple[float, ...]) -> list[str]:
    """Return names of magnitude bins: ``< 20``, ``20 to 21``, ``>= 21``.

    Parameters
    ----------
    edges : tuple of float

    Returns
    -------
    list of str
    """
    inner = [f"{a:g} to {b:g}" for a, b in pairwise(edges)]
    return [f"< {edges[0]:g}", *inner, f">= {edges[-1]:g}"] if edges else ["all"]


def stacked(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Return rows of a list one after the other, in the columns of the first.

    Parameters
    ----------
    first, then : structured array, shape (n,) and (m,)
        What the second lack, columns of known sources and of noise, is empty there.

    Returns
    -------
    structured array, shape (n + m,)
    """
    theirs, wide = then.dtype.names or (), {name: first.dtype[name] for name in first.dtype.names or ()}
    wide |= {name: max(wide[name], then.dtype[name], key=lambda of: of.itemsize) for name in wide if name in theirs}
    rows = np.zeros(len(first) + len(then), dtype=list(wide.items()))
    for name, of in wide.items():
        rows[name][: len(first)] = first[name]
        rows[name][len(first) :] = then[name] if name in theirs else np.nan if of.kind == "f" else np.zeros((), of)
    return rows


@dataclass(frozen=True)
class Slice:
    """Agreement in a bin of magnitude.

    Parameters
    ----------
    rows : str
    n : int
    agree, interval : float, (float, float)
        Share of equal classes, with Wilson's 95 % interval; None in older results.
    """

    rows: str
    n: int
    agree: float
    interval: tuple[float, float] | None = None
