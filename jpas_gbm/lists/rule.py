"""The rule of a candidate list and its limits: options, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from pydantic import Field, model_validator

from ..config import Options, parse_options, read_yaml
from ..errors import ConfigError, ListError
from ..text import count
from .conformal import NoiseSource
from .predicted import Predicted, Tables

Kind = Literal["purity", "completeness", "number", "density", "fdr"]
KINDS: tuple[Kind, ...] = ("purity", "completeness", "number", "density", "fdr")
Shift = Literal["both", "label", "covariate", "none"]


class ListOptions(Options):
    """One candidate list: exactly one of the five rules, and its limits."""

    cls: str = Field("QSO_high", description="The class wanted.")
    purity: float | None = Field(None, gt=0, lt=1, description="Least share of true members in the list.")
    completeness: float | None = Field(None, gt=0, lt=1, description="Least share of the field's members in the list.")
    number: int | None = Field(None, ge=1, description="Rows of the list.")
    density: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Rows per square degree of the footprint."
    )
    fdr: float | None = Field(None, gt=0, lt=1, description="Largest expected share of false members in the list.")
    confidence: float = Field(0.9, gt=0, lt=1, description="How sure purity or completeness is to be reached.")
    magnitudes: tuple[float | None, float | None] = Field(
        (None, None), description="Brightest and faintest magnitude of the list, AB."
    )
    redshifts: tuple[float | None, float | None] = Field(
        (None, None), description="Lowest and highest photometric redshift of the list: the median, were it a quasar."
    )
    bin_edges: tuple[float, ...] = Field((), description="Magnitudes between bins in which the rule holds by itself.")
    prior: tuple[tuple[float, ...], ...] = Field(
        (), description="Class mix of the field, one row for each prior bin; empty: estimated by EM."
    )
    prior_edges: tuple[float, ...] = Field((), description="Magnitudes between bins of the class mix.")
    correct: bool = Field(True, description="Correct probabilities to the field's class mix.")
    shift: Shift = Field(
        "both",
        description="How labels stand for the field: same spectra per class (label), same class per spectrum "
        "(covariate: labels weighed by selection), by both, or no shift (none, of --fdr).",
    )
    coverage: float = Field(0.9, gt=0, lt=1, description="Coverage of the conformal sets, for each class.")
    draws: int = Field(200, ge=20, description="Bootstrap draws of labels, field and yield.")
    area: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Area of the footprint in square degrees; empty: measured."
    )
    noise_draws: int = Field(0, ge=0, description="How often the candidates are predicted again with noise added.")
    flag_known: bool = Field(False, description="Keep known sources, flagged, in place of leaving them out.")
    exclude: tuple[str, ...] = Field((), description="Coverage maps (MOC) of regions that are not observed.")

    @model_validator(mode="after")
    def _sensible(self) -> ListOptions:
        given = [name for name in KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(
                f"a list needs one rule of purity, completeness, number, density, fdr; given: "
                f"{' and '.join(given) or 'none'}."
            )
        for name in ("bin_edges", "prior_edges"):
            edges = getattr(self, name)
            if any(b <= a for a, b in pairwise(edges)):
                words = ", ".join(f"{edge:g}" for edge in edges)
                raise ConfigError(f"{name} must be numbers that rise, such as 20, 21.5; not {words}.")
        ends = [end for end in self.magnitudes if end is not None]
        if len(ends) == 2 and ends[0] >= ends[1]:
            raise ConfigError(
                f"magnitudes must be the brightest and the faintest, such as 17, 22.5; not {ends[0]:g}, {ends[1]:g}."
            )
        ends = [end for end in self.redshifts if end is not None]
        if any(end < 0 for end in ends) or (len(ends) == 2 and ends[0] >= ends[1]):
            words = ":".join("" if end is None else f"{end:g}" for end in self.redshifts)
            raise ConfigError(f"--z {words}: write the lowest and the highest redshift, such as 2.1:3.5 or 2.1:.")
        if self.prior and not self.correct:
            raise ConfigError(
                "a prior corrects probabilities, as-labelled says that nothing is to be corrected. Give one of them."
            )
        return self

    @property
    def kind(self) -> Kind:
        """Which rule was given."""
        return next(name for name in KINDS if getattr(self, name) is not None)

    @property
    def value(self) -> float:
        """The number of the rule."""
        return float(getattr(self, self.kind))

    def check_subset(self, size: int | None) -> None:
        """Refuse a subset that is larger than the list that the rule asks for.

        Parameters
        ----------
        size : int or None
            Candidates of the subset.

        Raises
        ------
        ListError
            If the rule's own number is smaller.
        """
        if size is not None and self.number is not None and not self.bin_edges and size > self.number:
            raise ListError(f"--subset {size}: --number {self.number} makes a list of so many rows. Ask for fewer.")

    @property
    def sentence(self) -> str:
        """The rule in words."""
        sure = f" with {100 * self.confidence:g} % confidence"
        words = {
            "purity": f"the longest list of purity {self.value:g} or more{sure}",
            "completeness": f"the shortest list of completeness {self.value:g} or more{sure}",
            "number": f"the likeliest {self.value:.0f}",
            "density": f"the likeliest {self.value:g} per square degree",
            "fdr": f"false-discovery rate of {self.value:g} or less in expectation",
        }[self.kind]
        z = "" if self.redshifts == (None, None) else f" of {limits_in_words(self.redshifts, 'z')}"
        return f"{self.cls}: {words}{z}" + (" in each magnitude bin" if self.bin_edges else "")

    @property
    def within_words(self) -> str:
        """The rows of the limits in words; empty without limits."""
        given = ((self.magnitudes, "magnitude"), (self.redshifts, "median z"))
        words = [limits_in_words(limits, of) for limits, of in given if limits != (None, None)]
        return f"rows of {' and '.join(words)}" if words else ""

    def inside(self, rows: Predicted) -> np.ndarray:
        """Return which rows are within the limits of magnitude and redshift.

        Parameters
        ----------
        rows : Predicted
            n rows.

        Returns
        -------
        array of bool, shape (n,)

        Raises
        ------
        ListError
            If none is, or redshifts are asked for and the predictions have none.
        """
        inside = within(rows.mag, self.magnitudes)
        if not inside.any():
            raise ListError(
                f"no row of the predictions has a magnitude within {limits_in_words(self.magnitudes)} (they have "
                f"{_range(rows.mag)}). Widen --mag, or predict with --legacy so that magnitudes are known."
            )
        if self.redshifts == (None, None):
            return inside
        if MEDIAN_Z not in rows.more:
            raise ListError(
                f"--z: the predictions have no column {MEDIAN_Z}, the median of redshift densities. Fit again with "
                "this version (densities need template features, bands with errors), and predict."
            )
        near = within(np.asarray(rows.more[MEDIAN_Z], dtype=np.float64), self.redshifts)
        if not (inside & near).any():
            raise ListError(
                f"no row of the predictions has a redshift within {limits_in_words(self.redshifts, 'z')} (they have "
                f"{_range(rows.more[MEDIAN_Z])}). Widen --z."
            )
        return inside & near


def numbers(words: str, option: str, example: str = "20,21.5") -> tuple[float, ...]:
    """Return the numbers of ``20,21.5``.

    Parameters
    ----------
    words : str
    option : str
        The option that they were given for.
    example : str
        What to write.

    Returns
    -------
    tuple of float

    Raises
    ------
    ConfigError
        If a word is no number.
    """
    try:
        return tuple(float(word) for word in words.split(",") if word.strip())
    except ValueError as error:
        raise ConfigError(f"{option} {words}: write numbers with commas, such as {example}.") from error


def _limits(ends: Sequence[str], asked: str, option: str, example: str) -> tuple[float | None, float | None]:
    """Return two limits, of which either may be empty."""
    if len(ends) != 2:
        raise ConfigError(f"{asked}, such as {example}.")
    low, high = (numbers(word, option, example) for word in ends)
    return low[0] if low else None, high[0] if high else None


def magnitude_limits(words: str) -> tuple[float | None, float | None]:
    """Return the limits of ``17,22.5``; either may be empty, as in ``,22.5``.

    Parameters
    ----------
    words : str

    Returns
    -------
    (float or None, float or None)

    Raises
    ------
    ConfigError
        If there are not two, or one is no number.
    """
    return _limits(words.split(","), f"--mag {words}: write BRIGHTEST,FAINTEST", "--mag", "17,22.5 or ,22.5")


def redshift_limits(words: str) -> tuple[float | None, float | None]:
    """Return the limits of ``2.1:3.5``; either may be empty, as in ``2.1:``.

    Parameters
    ----------
    words : str

    Returns
    -------
    (float or None, float or None)

    Raises
    ------
    ConfigError
        If there are not two, or one is no number.
    """
    ends = words.split(":") if words.strip(": ") else []
    return _limits(ends, f"--z {words}: write LOWEST:HIGHEST", "--z", "2.1:3.5 or 2.1:")


MEDIAN_Z = "Z_QSO_50"
"""Column of predictions that limits of redshift are of."""


def within(values: np.ndarray, limits: tuple[float | None, float | None]) -> np.ndarray:
    """Return which values are within limits; without limits, NaN is.

    Parameters
    ----------
    values : array, shape (n,)
    limits : (float or None, float or None)
        Lowest and highest.

    Returns
    -------
    array of bool, shape (n,)
    """
    low, high = limits
    inside = np.ones(len(values), dtype=bool)
    if low is not None:
        inside &= values >= low
    if high is not None:
        inside &= values <= high
    return inside


def limits_in_words(limits: tuple[float | None, float | None], of: str = "magnitude") -> str:
    """Return limits in words, such as ``magnitude 17 to 22.5``.

    Parameters
    ----------
    limits : (float or None, float or None)
    of : str
        What is limited.

    Returns
    -------
    str
    """
    low, high = limits
    if low is None and high is None:
        return f"all {of}s"
    return f"{of} {'' if low is None else f'{low:g} '}to {'any' if high is None else f'{high:g}'}"


def _range(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return f"{known.min():.2f} to {known.max():.2f}, {len(known)} of {len(values)} known" if len(known) else "none"


Prior = tuple[tuple[float, ...], ...]


def read_prior(
    prior: str | Path | Sequence[float] | Sequence[Sequence[float]] | None,
) -> tuple[Prior, tuple[float, ...]]:
    """Return a class mix that the user gives, and the magnitudes between its bins.

    Parameters
    ----------
    prior : path, str or sequence
        A YAML file with ``shares`` and ``edges``, ``0.01,0.03,0.72,0.24``, shares, or a row of shares for each bin.

    Returns
    -------
    shares : tuple of tuple of float
        A row for each bin.
    edges : tuple of float
        None but from a file.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if prior is None:
        return (), ()
    if isinstance(prior, str | Path) and not Path(prior).is_file():
        example = "0.01,0.03,0.72,0.24, one share for each class, or name a YAML file that is there"
        shares = numbers(str(prior), "--prior", example)
        if not shares:
            raise ConfigError(f"--prior {prior}: is empty. Write numbers with commas, such as {example}.")
        return (shares,), ()
    if not isinstance(prior, str | Path):
        return tuple(tuple(row) for row in np.atleast_2d(np.asarray(prior, dtype=np.float64)).tolist()), ()
    value = read_yaml(prior)
    try:
        rows = tuple(tuple(map(float, row)) for row in value["shares"])
        edges = tuple(map(float, value.get("edges", ())))
        if not rows or set(value) > {"shares", "edges"}:
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{prior}: a prior file has 'shares', a list with one row of class shares for each bin, and 'edges', the "
            "magnitudes between bins; and nothing else."
        ) from error
    return rows, edges


def check_prior(prior: Sequence[Sequence[float]], edges: Sequence[float], classes: Sequence[str]) -> None:
    """Check a class mix that the user gives.

    Parameters
    ----------
    prior : sequence of sequence of float
        A row of shares for each bin.
    edges : sequence of float
        Magnitudes between bins.
    classes : sequence of str

    Raises
    ------
    ListError
        If it has not one share for each class and bin, or a row does not sum to 1.
    """
    if len(prior) != len(edges) + 1:
        raise ListError(
            f"the prior has {count(len(prior), 'row')} for {count(len(edges) + 1, 'magnitude bin')} (edges "
            f"{list(edges)}). Give one row of shares for each bin."
        )
    for number, row in enumerate(prior, start=1):
        where = f"prior row {number} ({', '.join(f'{v:g}' for v in row)})"
        if len(row) != len(classes):
            raise ListError(f"{where}: {len(row)} shares for {len(classes)} classes. Order: {', '.join(classes)}.")
        if not all(math.isfinite(share) and share >= 0 for share in row):
            raise ListError(f"{where}: shares must be numbers, and not negative.")
        if abs(sum(row) - 1) > 1e-3:
            raise ListError(
                f"{where}: the shares sum to {sum(row):.6g}, not to 1. Order: {', '.join(classes)}. "
                f"Divided by their sum they would be {', '.join(f'{v / sum(row):.4g}' for v in row)}."
                if sum(row) > 0
                else f"{where}: the shares sum to 0, not to 1."
            )


class ListKeywords(TypedDict, total=False):
    """Further options of :func:`targets`; those without a comment are fields of :class:`ListOptions`.

    Parameters
    ----------
    confidence, correct, shift, coverage, draws, area, flag_known
        As for :class:`ListOptions`.
    magnitudes : (float or None, float or None) or str
        Brightest and faintest magnitude of the list, or both as ``17,22.5``.
    redshifts : (float or None, float or None) or str
        Lowest and highest photometric redshift, or both as ``2.1:3.5``.
    bin_edges, prior_edges : sequence of float or str
        Magnitudes between bins, or ``20,21.5``.
    prior : path, str or sequence
        Class mix of the field: shares as ``0.01,0.03,0.72,0.24``, a row of them for each bin, or a YAML file.
    catalogue : path
        The catalogue that was predicted, for `noise_draws`.
    legacy : path or sequence of path
        Its Tractor tables.
    noise_draws : int
        How often the candidates are predicted again with noise added.
    moc : path
        Where the coverage map of the footprint goes, beside `out`.
    observed : path, DataFrame, Table or sequence of these
        Results of candidates that were observed: left out as known sources are, and mix, purity and list are updated.
    exclude : path or sequence of path
        Coverage maps (MOC) of regions that are not observed: around bright stars, say.
    separation, subset, reserve, priorities, density_map, table_format
        As for :class:`~jpas_gbm.lists.observing.ObservingOptions`.
    """

    confidence: float
    magnitudes: tuple[float | None, float | None] | str | None
    redshifts: tuple[float | None, float | None] | str | None
    bin_edges: Sequence[float] | str
    prior: str | Path | Sequence[float] | Sequence[Sequence[float]] | None
    prior_edges: Sequence[float] | str
    correct: bool
    shift: str
    coverage: float
    draws: int
    area: float | None
    flag_known: bool
    catalogue: str | Path | None
    legacy: str | Path | Sequence[str | Path] | None
    noise_draws: int
    moc: str | Path | None
    observed: Tables | None
    exclude: str | Path | Sequence[str | Path] | None
    separation: float | None
    subset: int | None
    reserve: int
    priorities: int | None
    density_map: str | Path | None
    table_format: str | Path | None


_NOISE = ("catalogue", "legacy", "moc", "observed")


def list_options(
    cls: str, rule: Mapping[str, float | None], cut: float | None, more: ListKeywords
) -> tuple[ListOptions, NoiseSource | None]:
    """Return the options of a list, and where its noise draws are from.

    Parameters
    ----------
    cls : str
        The class wanted.
    rule : mapping of str to float or None
        The five rules, of which one is given.
    cut : float, optional
        Faintest magnitude.
    more : ListKeywords
        The other options.

    Returns
    -------
    ListOptions
    NoiseSource or None

    Raises
    ------
    ConfigError
        If an option is unknown or wrong, or options do not belong together.
    """
    given: dict[str, Any] = {name: value for name, value in more.items() if name not in _NOISE}
    asked = (given.get(name) for name in ("magnitudes", "redshifts"))
    limits, z = ((None, None) if one is None or not len(one) else one for one in asked)
    bright, faint = magnitude_limits(limits) if isinstance(limits, str) else limits
    if cut is not None and faint is not None:
        raise ConfigError(f"cut {cut:g} and the faintest of the magnitudes, {faint:g}, are the same thing. Give one.")
    given["redshifts"] = redshift_limits(z) if isinstance(z, str) else tuple(z)
    shares, edges = read_prior(given.get("prior"))
    if edges and given.get("prior_edges"):
        raise ConfigError(f"--prior-edges: {given['prior']} has edges of its own. Leave one of them out.")
    for name, option in (("bin_edges", "--bins"), ("prior_edges", "--prior-edges")):
        value = given.get(name, ())
        given[name] = numbers(value, option) if isinstance(value, str) else tuple(value)
    given |= {"prior": shares, "prior_edges": edges or given["prior_edges"]}
    maps = given.pop("exclude", None) or ()
    given["exclude"] = tuple(str(one) for one in ([maps] if isinstance(maps, str | Path) else maps))
    given |= {"cls": cls, **rule, "magnitudes": (bright, faint if cut is None else cut)}
    noise = NoiseSource.of(given.get("noise_draws", 0), more.get("catalogue"), more.get("legacy"))
    return parse_options(ListOptions, given, "targets"), noise
