"""Selection: which field rows a rule takes, and what it may promise of them.

Rule: what a candidate list must satisfy, and which rows it may hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from ..boosting.ensemble import HeldOut
from ..config import Options
from ..errors import ConfigError, TargetError
from .conformal import covariate_weights, select_conformal
from .mix import Mix, ratio_of
from .yields import Yields, draw_yields

Kind = Literal["purity", "completeness", "number", "density", "fdr"]
KINDS: tuple[Kind, ...] = ("purity", "completeness", "number", "density", "fdr")
Shift = Literal["label", "covariate", "none"]


class TargetOptions(Options):
    """One candidate list: exactly one of the five rules, and its limits."""

    target: str = Field("QSO_high", description="The class wanted.")
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

    @model_validator(mode="after")
    def _sensible(self) -> TargetOptions:
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
        return f"{self.target}: {words}" + (" in each magnitude bin" if self.bin_edges else "")


def given_prior(prior: tuple[tuple[float, ...], ...], edges: tuple[float, ...], classes: tuple[str, ...]) -> None:
    """Check a class mix that the user gives.

    Raises
    ------
    TargetError
        If it has not one share for each class and bin, or a row does not sum to 1.
    """
    if len(prior) != len(edges) + 1:
        raise TargetError(
            f"the prior has {len(prior)} row(s) for {len(edges) + 1} magnitude bin(s) (edges {list(edges)}). "
            "Give one row of shares for each bin."
        )
    for number, row in enumerate(prior, start=1):
        where = f"prior row {number} ({', '.join(f'{v:g}' for v in row)})"
        if len(row) != len(classes):
            raise TargetError(f"{where}: {len(row)} shares for {len(classes)} classes. Order: {', '.join(classes)}.")
        if not all(math.isfinite(share) and share >= 0 for share in row):
            raise TargetError(f"{where}: shares must be numbers, and not negative.")
        if abs(sum(row) - 1) > 1e-3:
            raise TargetError(
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
    told : dict
        ``size``, ``expected_true``, ``interval`` (of the true members, 95 %), ``purity``,
        ``purity_interval``, ``completeness``, ``completeness_interval``, ``threshold``, ``naive_size``.
    """

    rows: np.ndarray
    promise: str
    told: dict[str, Any]


def select(
    mix: Mix,
    labelled: HeldOut,
    p: np.ndarray,
    mag: np.ndarray,
    column: int,
    options: TargetOptions,
    *,
    area: float | None = None,
    seed: int = 0,
    where: str = "the field",
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
    options : TargetOptions
    area : float, optional
        Square degrees, for a density.
    seed : int
    where : str
        What the rows are called in messages.

    Raises
    ------
    TargetError
        If there are no rows or the promise cannot be kept by any list.
    """
    if not len(p):
        raise TargetError(f"{where} has no rows: widen the magnitude limits or check the predictions.")
    yields = draw_yields(mix, labelled, p, mag, column, seed=seed)
    if options.kind == "fdr":
        found = _conformal(mix, labelled, p, mag, column, options, seed, where)
        size = len(found)
        promise = _fdr_promise(options)
    else:
        size = _size(yields, options, area, where)
        found = yields.order[:size]
        promise = _promise(options)
    return Selection(found, promise, _told(yields, found, mix.correct(p[found], mag[found])[:, column], options))


def rows_wanted(options: TargetOptions, area: float | None) -> int | None:
    """Return how many rows a rule of number or density asks for; None for the other rules."""
    if options.kind == "number":
        return int(options.value)
    return round(min(options.value * float(area or 0), _MOST)) if options.kind == "density" else None


def _size(yields: Yields, options: TargetOptions, area: float | None, where: str) -> int:
    kind, value = options.kind, options.value
    wanted = rows_wanted(options, area)
    if wanted is not None:
        if wanted < 1:
            raise TargetError(
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
    raise TargetError(
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
    options: TargetOptions,
    seed: int,
    where: str,
) -> np.ndarray:
    own, field = mix.correct(labelled.p, labelled.mag), mix.correct(p, mag)
    other = labelled.label != column
    if not other.any() or other.all():
        raise TargetError(
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
        raise TargetError(
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


def _told(yields: Yields, rows: np.ndarray, corrected: np.ndarray, options: TargetOptions) -> dict[str, Any]:
    size = len(rows)
    place = yields.at(size)
    scale = size / yields.size[place]
    true, total = yields.true[:, place] * scale, np.maximum(yields.total, 1)
    naive = {}
    if options.kind in ("purity", "fdr"):
        wanted = options.value if options.kind == "purity" else 1 - options.value
        reached = np.flatnonzero(yields.expected / yields.size >= wanted)
        naive = {"mean_probability_size": int(yields.size[reached[-1]]) if len(reached) else 0}

    def interval(values: np.ndarray) -> list[float]:
        return [float(v) for v in np.quantile(values, [0.025, 0.975])]

    return {
        "size": size,
        "expected_true": float(corrected.sum()),
        "interval": interval(true),
        "purity": float(corrected.mean()),
        "purity_interval": interval(true / size),
        "completeness": float(np.mean(true / total)),
        "completeness_interval": interval(np.minimum(true / total, 1)),
        "threshold": float(corrected.min()),
        **naive,
    }


_LABEL = "features of a class are spread alike among labelled rows and field (label shift)"


def _promise(options: TargetOptions) -> str:
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
    return "No promise of purity: the yield is expected from the probabilities."


def _fdr_promise(options: TargetOptions) -> str:
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
