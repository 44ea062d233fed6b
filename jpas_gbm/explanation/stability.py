"""Stability: would another seed, or another draw of rows, have said the same?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ..fitted import FittedClassifier
from ..survey.catalogue import Catalogue
from .attributions import Attributions, Progress, attribute
from .class_means import class_means
from .options import ExplainOptions
from .pairs import Pair

STEADY = 0.3
"""A band is stable if its importance scatters by less than this share of its mean from fit to fit."""


def unit_importances(told: Attributions, y: np.ndarray) -> np.ndarray:
    """Return mean |pair attribution| of each band in each seed of the ensemble, float64 (u, b)."""
    kept = y[told.detail]
    codes, groups = (told.pair.a, told.pair.b), told.rows.object_id[told.detail]
    return np.array([class_means(np.abs(unit), kept, codes, groups, 0, 0).mean for unit in told.units])


def refit_importances(
    refit: Callable[[int], FittedClassifier],
    number: int,
    rows: Catalogue,
    y: np.ndarray,
    pair: Pair,
    options: ExplainOptions,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return mean |pair attribution| of each band in models fitted again, float64 (number, b).

    Parameters
    ----------
    refit : callable
        ``refit(i)`` gives the i-th model, fitted with another seed or on resampled objects.
    number : int
        How many.
    rows : Catalogue
        The rows explained, the same for all.
    y : array of int, shape (n,)
        Class that each row counts as.
    pair : Pair
    options : ExplainOptions
    threads : int
    progress : callable, optional
    """
    found = []
    for i in range(number):
        if progress is not None:
            progress("refits", i, number)
        told = attribute(refit(i), rows, pair, options, threads=threads)
        found.append(class_means(np.abs(told.pair_bands), y, (pair.a, pair.b), rows.object_id, 0, 0).mean)
    if progress is not None:
        progress("refits", number, number)
    return np.array(found)


def stability(importances: np.ndarray, source: str) -> dict[str, Any]:
    """Return how far fits agree on which bands matter.

    Parameters
    ----------
    importances : array, shape (u, b)
        Mean |attribution| of each band in each fit.
    source : str
        What the fits differ by, in words.

    Returns
    -------
    dict
        ``defined``, ``fits``, ``source``; with two fits or more ``rank_correlation`` (mean over pairs of fits),
        ``least_rank_correlation``, and for each band ``mean``, ``low``, ``high`` (over fits), ``scatter`` (standard
        deviation over mean), ``stable`` and ``values``.
    """
    if len(importances) < 2:
        why = (
            "there is one fit: whether another seed would name the same bands was not measured. Fit with --seeds 2 or "
            "more, or explain with --refits."
        )
        return {"defined": False, "fits": len(importances), "source": source, "why": why}
    mean = importances.mean(axis=0)
    scatter = importances.std(axis=0, ddof=1) / np.maximum(mean, 1e-300)
    pairs = rank_correlations(importances)
    return {
        "defined": True,
        "fits": len(importances),
        "source": source,
        "rank_correlation": float(np.mean(pairs)),
        "least_rank_correlation": float(np.min(pairs)),
        "mean": mean,
        "low": importances.min(axis=0),
        "high": importances.max(axis=0),
        "scatter": scatter,
        "stable": (scatter < STEADY).tolist(),
        "steady_below": STEADY,
        "values": importances,
    }


def rank_correlations(importances: np.ndarray) -> Sequence[float]:
    """Return Spearman's rank correlation of each pair of rows of (u, b)."""
    from scipy.stats import rankdata

    ranks = np.array([rankdata(one) for one in importances])
    return [float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else 1.0 for a, b in combinations(ranks, 2)]
