"""Which pairs of bands decide together: exact interactions of features, folded to bands.

A feature's share of a band (:mod:`~jpas_gbm.explanation.blocks`) says how much of its contribution the band gets. Of an
interaction of two features a pair of bands gets the product of their shares; of what a feature gives alone likewise,
so that half of a colour's own contribution belongs to its two bands together and a quarter to each alone. Over all
pairs with a band the sum is the band's attribution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import ExplanationError
from ..run import Run
from ..scores.bootstrap import mean_over
from .attributions import Attributions, corrected, evenly
from .blocks import Interval, Number, Section
from .contributions import TreeContributions, tolerance

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 25
"""Rows in memory at a time: a few MB each."""

_TOP = 20


class PairMeans(Section):
    """What two bands give together.

    Parameters
    ----------
    bands : (str, str)
        Bands, or features of no band.
    mean_abs : float
        Mean absolute attribution, in units of the log-odds.
    interval : (float, float) or None
    mean : dict of str to float
        Signed mean over the rows of each class of the pair.
    """

    bands: tuple[str, str]
    mean_abs: Number
    interval: Interval
    mean: dict[str, Number]


class BandPairs(Section):
    """Pairs of bands that decide together.

    Parameters
    ----------
    defined : bool
        True.
    n : dict of str to int
        Rows of each class of the pair of classes.
    names : tuple of str
        Bands and features of no band, as ``band_pairs`` of the arrays counts them.
    joint : float
        Share of the interactions of different features in the sum of all absolute values.
    top : tuple of PairMeans
        The pairs of largest `mean_abs`.
    """

    defined: Literal[True] = True
    n: dict[str, int]
    names: tuple[str, ...]
    joint: Number
    top: tuple[PairMeans, ...]

    def table(self) -> pd.DataFrame:
        """Return the top pairs, a row each: both bands, mean |attribution|, its interval, and the mean by class.

        Returns
        -------
        DataFrame
        """
        import pandas as pd

        rows = []
        for pair in self.top:
            low, high = pair.interval or (np.nan, np.nan)
            facts = {"first": pair.bands[0], "second": pair.bands[1], "mean_abs": pair.mean_abs, "low": low}
            rows.append(facts | {"high": high} | {f"mean over {name}": value for name, value in pair.mean.items()})
        return pd.DataFrame(rows)


def band_pairs(found: Attributions, y: np.ndarray, rows: int, resamples: int, run: Run) -> tuple[BandPairs, np.ndarray]:
    """Return what pairs of bands give together, as a section and as a map.

    Parameters
    ----------
    found : Attributions
        Of n rows.
    y : array of int, shape (n,)
        Class that each row counts as.
    rows, resamples : int
        Most rows of each class of the pair; of the bootstrap over objects.
    run : Run
        Seed, threads; progress is told as ``("interactions", rows done, rows)``.

    Returns
    -------
    BandPairs
    array, shape (2, c, c)
        For the rows of each class of the pair the mean attribution of each pair of c bands and features of no band,
        symmetric, half of a pair's in either place; NaN where a class has no row.

    Raises
    ------
    UnpackableError
        If the splits of the model's trees are not known.
    ExplanationError
        If the pairs with a band do not sum to its attribution.

    References
    ----------
    Lundberg et al. 2020, Nature Machine Intelligence 2, 56.
    """
    names = (*found.model.recipe.bands.names, *found.rule.own_names)
    sides = [np.flatnonzero(y == code) for code in (found.pair.a, found.pair.b)]
    chosen = [side[evenly(len(side), rows)] for side in sides]
    places = np.concatenate(chosen)
    folded, joint = _folded(found, places, run)
    sets = [np.isin(places, of)[:, None] for of in chosen]
    nothing = np.full(folded.shape[1:], np.nan)
    maps = np.stack([folded[inside[:, 0]].mean(axis=0) if inside.any() else nothing for inside in sets])
    i, j = np.triu_indices(len(names), 1)
    values, groups = np.abs(2 * folded[:, i, j]), found.rows.object_id[places]
    size = mean_over(values, sets, groups).mean
    top = np.argsort(-np.nan_to_num(size), kind="stable")[:_TOP]
    spans = mean_over(values[:, top], sets, groups, resamples, run.seed).interval
    section = BandPairs(
        n={name: len(of) for name, of in zip(found.pair.names, chosen, strict=True)},
        names=names,
        joint=joint,
        top=tuple(
            PairMeans(
                bands=(names[i[at]], names[j[at]]),
                mean_abs=size[at],
                interval=interval,
                mean=dict(zip(found.pair.names, 2 * maps[:, i[at], j[at]], strict=True)),
            )
            for at, interval in zip(top, spans, strict=True)
        ),
    )
    return section, maps


def _folded(found: Attributions, places: np.ndarray, run: Run) -> tuple[np.ndarray, float]:
    """Return interactions by pair of bands, (n, c, c), and the share of |values| that is of different features."""
    model = found.model
    trees = TreeContributions(model.members, run.threads)
    parts, apart, whole = [], 0.0, 0.0
    for start in range(0, len(places), _ROWS):
        rows = corrected(model, found.rows.take(places[start : start + _ROWS]))
        made = model.recipe.compute(rows, run.threads, compare=True)
        shares = found.rule.of_rows(rows, run.threads, made.compared)
        values = trees.interactions(made.X, found.pair.a, found.pair.b)
        size = np.abs(values)
        whole += float(size.sum())
        apart += float(size.sum() - np.trace(size, axis1=1, axis2=2).sum())
        for _ in range(2):
            values = np.concatenate(shares.share(values), axis=2).transpose(0, 2, 1)
        _check(found, places[start : start + _ROWS], values)
        parts.append(values)
        run.report("interactions", min(start + _ROWS, len(places)), len(places))
    return np.concatenate(parts), apart / max(whole, 1e-300)


def _check(found: Attributions, places: np.ndarray, values: np.ndarray) -> None:
    """Refuse pairs of bands (n, c, c) of some rows that do not sum to the attributions of these bands."""
    told = np.hstack([found.pair_bands[places], found.pair_own[places]])
    allowed, _ = tolerance({member.booster.backend for member in found.model.members})
    rounding = np.finfo(found.bands.dtype).eps * np.abs(told).sum(axis=1, keepdims=True)
    worst = float((np.abs(values.sum(axis=2) - told) - rounding).max(initial=0.0))
    if not worst <= allowed:
        raise ExplanationError(
            f"pairs of bands miss the attributions that they sum to by {worst:.3g}; {allowed:g} is allowed."
        )
