"""The rule of a candidate list: which rows of the field it takes, and what may be promised of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..boosting.ensemble import HeldOut
from ..config import Options, read_yaml
from ..errors import ConfigError, ListError
from .conformal import covariate_weights, select_conformal
from .mix import Mix, ratio_of
from .records import Part
from .yields import Yields, draw_yields

Kind = Literal["purity", "completeness", "number", "density", "fdr"]
KINDS: tuple[Kind, ...] = ("purity", "completeness", "number", "density", "fdr")
Shift = Literal["label", "covariate", "none"]


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
    bin_edges: tuple[float, ...] = Field((), description="Magnitudes between bins in which the rule holds by itself.")
    prior: tuple[tuple[float, ...], ...] = Field(
        (), description="Class mix of the field, one row for each prior bin; empty: estimated by EM."
    )
    prior_edges: tuple[float, ...] = Field((), description="Magnitudes between bins of the class mix.")
    correct: bool = Field(True, description="Correct probabilities to the field's class mix.")
    shift: Shift = Field(
        "label", description="What --fdr assumes: same spectra per class, same class per spectrum, or no shift."
    )
    coverage: float = Field(0.9, gt=0, lt=1, description="Coverage of the conformal sets, for each class.")
    draws: int = Field(200, ge=20, description="Bootstrap draws of labels, field and yield.")
    area: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Area of the footprint in square degrees; empty: measured."
    )
    noise_draws: int = Field(0, ge=0, description="How often the candidates are predicted again with noise added.")

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
            if not all(map(math.isfinite, edges)) or any(b <= a for a, b in pairwise(edges)):
                words = ", ".join(f"{edge:g}" for edge in edges)
                raise ConfigError(f"{name} must be numbers that rise, such as 20, 21.5; not {words}.")
        bright, faint = self.magnitudes
        ends = [end for end in self.magnitudes if end is not None]
        if any(map(math.isnan, ends)) or (len(ends) == 2 and ends[0] >= ends[1]):
            raise ConfigError(
                f"magnitudes must be the brightest and the faintest, such as 17, 22.5; not {bright:g}, {faint:g}."
                if len(ends) == 2
                else "a limit of the magnitudes is no number."
            )
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
        return f"{self.cls}: {words}" + (" in each magnitude bin" if self.bin_edges else "")


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
    ends = words.split(",")
    if len(ends) != 2:
        raise ConfigError(f"--mag {words}: write BRIGHTEST,FAINTEST, such as 17,22.5 or ,22.5.")
    bright, faint = (numbers(word, "--mag", "17,22.5 or ,22.5") for word in ends)
    return bright[0] if bright else None, faint[0] if faint else None


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

    Raises
    ------
    ListError
        If it has not one share for each class and bin, or a row does not sum to 1.
    """
    if len(prior) != len(edges) + 1:
        raise ListError(
            f"the prior has {len(prior)} row(s) for {len(edges) + 1} magnitude bin(s) (edges {list(edges)}). "
            "Give one row of shares for each bin."
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


_MOST = 10**15


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows taken from one part of the field.

    Parameters
    ----------
    rows : array of intp
        Places in the field given, by falling probability.
    promise : str
        What holds of them, and under which assumption.
    part : Part
        Size, yield, purity, completeness and threshold.
    """

    rows: np.ndarray
    promise: str
    part: Part


def select(
    mix: Mix,
    labelled: HeldOut,
    p: np.ndarray,
    mag: np.ndarray,
    column: int,
    options: ListOptions,
    *,
    area: float | None = None,
    seed: int = 0,
    magnitudes: str = "",
) -> Selection:
    """Apply the rule to field rows.

    Parameters
    ----------
    mix : Mix
        Correction of probabilities to the field's mix, with draws.
    labelled : HeldOut
        Rows with labels, of the same magnitudes as the field rows.
    p : array, shape (n, k)
        Probabilities of the field, as the model gave them.
    mag : array, shape (n,)
    column : int
        The class wanted.
    options : ListOptions
    area : float, optional
        Square degrees, for a density.
    seed : int
    magnitudes : str
        What magnitudes the rows have, in words.

    Returns
    -------
    Selection

    Raises
    ------
    ListError
        If there are no rows or the promise cannot be kept by any list.
    """
    where = f"the field ({magnitudes})" if magnitudes else "the field"
    if not len(p):
        raise ListError(f"{where} has no rows: widen the magnitude limits or check the predictions.")
    yields = draw_yields(mix, labelled, p, mag, column, seed=seed)
    if options.kind == "fdr":
        rows = _conformal(mix, labelled, p, mag, column, options, seed, where)
    else:
        rows = yields.order[: _size(yields, options, area, where)]
    corrected = mix.correct(p[rows], mag[rows])[:, column]
    return Selection(rows, _promise(options), _part(yields, corrected, options, magnitudes))


def rows_wanted(options: ListOptions, area: float | None) -> int | None:
    """Return how many rows a rule of number or density asks for; None for the other rules."""
    if options.kind == "number":
        return int(options.value)
    return round(min(options.value * float(area or 0), _MOST)) if options.kind == "density" else None


def _size(yields: Yields, options: ListOptions, area: float | None, where: str) -> int:
    kind, value = options.kind, options.value
    wanted = rows_wanted(options, area)
    if wanted is not None:
        if wanted < 1:
            raise ListError(
                f"{value:g} per square degree on {area or 0:.3g} square degrees is less than one row of {where}. Ask "
                "for a larger --density, or check --area."
            )
        return min(wanted, len(yields.order))
    bound = (
        yields.purity_bound(options.confidence) if kind == "purity" else yields.completeness_bound(options.confidence)
    )
    reached = np.flatnonzero(bound >= value)
    if len(reached):
        return int(yields.size[reached[-1] if kind == "purity" else reached[0]])
    best = int(np.flatnonzero(bound >= bound.max() - 1e-9)[-1])
    raise ListError(
        f"{kind} {value:g} with {100 * options.confidence:g} % confidence cannot be reached in {where}: the best is "
        f"{np.floor(1000 * bound[best]) / 1000:.3f}, by the likeliest {yields.size[best]} row(s). Ask for less, lower "
        "--confidence, or narrow the magnitude limits."
    )


def _conformal(
    mix: Mix,
    labelled: HeldOut,
    p: np.ndarray,
    mag: np.ndarray,
    column: int,
    options: ListOptions,
    seed: int,
    where: str,
) -> np.ndarray:
    own, field = mix.correct(labelled.p, labelled.mag), mix.correct(p, mag)
    other = labelled.label != column
    if not other.any() or other.all():
        raise ListError(
            f"--fdr needs calibration labels of the class and of others in {where}: there are "
            f"{int((~other).sum())} and {int(other.sum())}. Widen the magnitude limits or bins."
        )
    ours: np.ndarray | None = None
    theirs: np.ndarray | None = None
    total = None
    if options.shift == "label":
        # The shares of the other classes are known within their intervals: the upper ends count.
        upper = mix.interval()[1]
        ours = null_weights(mix, upper, labelled.p, labelled.mag, column)[other]
        theirs = null_weights(mix, upper, p, mag, column)
        total = float(null_weights(mix, mix.new, labelled.p, labelled.mag, column)[other].sum())
    elif options.shift == "covariate":
        ours, theirs = covariate_weights(labelled.p, labelled.mag, p, mag, seed=seed)
        ours = ours[other]
    level, scores = options.value, (_log_odds(own, column)[other], _log_odds(field, column))
    found = select_conformal(*scores, level, ours, theirs, total=total, seed=seed)
    if not found.selected.any():
        least = found.p_value.min()
        raise ListError(
            f"no list of {where} has a false-discovery rate of {level:g}: the most convincing row has a conformal "
            f"p-value of {least:.2g}, and {int(other.sum())} calibration labels of other classes cannot tell it from "
            f"chance among {len(p)} rows. Allow a larger --fdr, narrow the magnitude limits, or label more."
        )
    chosen = np.flatnonzero(found.selected)
    return chosen[np.argsort(-field[chosen, column], kind="stable")]


def null_weights(mix: Mix, new: np.ndarray, p: np.ndarray, mag: np.ndarray, column: int) -> np.ndarray:
    """Return, for rows that are not of the class, how much commoner their features are in the field.

    Where p(features | class) is the same in both samples, that ratio is the mean of new / old shares
    over the other classes, weighted by their probabilities. Shape (n,).
    """
    ratio = ratio_of(mix.old, new)[mix.place(mag)]
    corrected = mix.bias.apply(p)
    corrected[:, column] = 0
    return (corrected * ratio).sum(axis=1) / np.maximum(corrected.sum(axis=1), 1e-300)


def _log_odds(p: np.ndarray, column: int) -> np.ndarray:
    rest = np.delete(p, column, axis=1).sum(axis=1)
    return np.log(np.maximum(p[:, column], 1e-300)) - np.log(np.maximum(rest, 1e-300))


def _part(yields: Yields, corrected: np.ndarray, options: ListOptions, magnitudes: str) -> Part:
    """Measure a list by the probabilities of its rows and the draws of the yield."""
    size = len(corrected)
    place = yields.at(size)
    true, total = yields.true[:, place] * (size / yields.size[place]), np.maximum(yields.total, 1)
    naive = None
    if options.kind in ("purity", "fdr"):
        wanted = options.value if options.kind == "purity" else 1 - options.value
        reached = np.flatnonzero(yields.expected / yields.size >= wanted)
        naive = int(yields.size[reached[-1]]) if len(reached) else 0

    def interval(values: np.ndarray) -> tuple[float, float]:
        low, high = np.quantile(values, [0.025, 0.975])
        return float(low), float(high)

    return Part(
        magnitudes=magnitudes,
        field_rows=len(yields.order),
        size=size,
        expected_true=float(corrected.sum()),
        interval=interval(true),
        purity=float(corrected.mean()),
        purity_interval=interval(true / size),
        completeness=float(np.mean(true / total)),
        completeness_interval=interval(np.minimum(true / total, 1)),
        threshold=float(corrected.min()),
        mean_probability_size=naive,
    )


_LABEL = "features of a class are spread alike among labelled rows and field (label shift)"


def _promise(options: ListOptions) -> str:
    """Return what the rule promises and what that assumes."""
    if options.kind == "purity":
        return (
            f"Purity of {options.value:g} or more with {100 * options.confidence:g} % confidence, by bootstrap over "
            f"labels, field and chance, checked by the labelled rows themselves. Assumes that {_LABEL}."
        )
    if options.kind == "completeness":
        return (
            f"Completeness of {options.value:g} or more with {100 * options.confidence:g} % confidence, by bootstrap "
            f"over labels, field and chance. Assumes that {_LABEL} and that probabilities are calibrated."
        )
    if options.kind != "fdr":
        return "No promise of purity: the yield is expected from the probabilities."
    assumption = {
        "label": f"{_LABEL}, and that the shares of the other classes are within their 95 % intervals",
        "covariate": "a row's class given its features is spread alike in both (covariate shift), and the density "
        "ratio is known",
        "none": "labelled rows and field are one population",
    }[options.shift]
    return (
        f"Expected share of false members at most {options.value:g} for any classifier and finite samples, by weighted "
        f"conformal selection (Jin and Candès 2023). Assumes that {assumption}. A single list may hold more."
    )
