"""The rule of a candidate list: which rows of the field it takes, and what may be promised of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..boosting.ensemble import HeldOut
from ..errors import ListError
from .conformal import covariate_weights, select_conformal
from .mix import Mix, ratio_of
from .records import Part
from .rule import ListOptions
from .yields import Yields, draw_yields

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
    """Return how many rows a rule of number or density asks for; None for the other rules.

    Parameters
    ----------
    options : ListOptions
    area : float or None
        Square degrees.

    Returns
    -------
    int or None
    """
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

    Parameters
    ----------
    mix : Mix
    new : array, shape (bins, k)
        Shares of the field.
    p : array, shape (n, k)
    mag : array, shape (n,)
    column : int
        The class.

    Returns
    -------
    array of float64, shape (n,)
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
