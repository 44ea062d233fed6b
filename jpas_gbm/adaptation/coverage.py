"""Coverage: how unlike the mocks a part of the sky is, how many mocks lie there, and how good the model is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from ..boosting.decision import decide
from .validation import macro_f1, mean_interval

STRATA = 5
FEWEST = 20
"""Rows of the sky that a stratum holds at least: with fewer rows there are fewer strata."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Rows of known class, and what a model that was not fitted to them says.

    Parameters
    ----------
    y : array of int8, shape (n,)
        True classes.
    p : array of float64, shape (n, k)
        Probabilities, calibrated by cross-fitting.
    groups : array of int64, shape (n,)
        The object of each row.
    classes : tuple of str
        Names of the classes.
    """

    y: np.ndarray
    p: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]

    def figures(self, rows: np.ndarray, seed: int) -> dict[str, Any]:
        """Return how good the model is on rows chosen by a mask.

        Returns
        -------
        dict
            ``classes`` (rows of each), ``log_loss`` (nats), its 95 % bootstrap ``interval`` over objects (None
            with fewer than two), ``accuracy`` and ``macro_f1`` over the classes that are there.
        """
        y, p, groups = self.y[rows], self.p[rows], self.groups[rows]
        losses = -np.log(np.maximum(p[np.arange(len(y)), y], 1e-15))
        decided = decide(p, None)
        k = len(self.classes)
        several = len(np.unique(groups)) > 1
        return {
            "classes": dict(zip(self.classes, np.bincount(y, minlength=k).tolist(), strict=True)),
            "log_loss": float(losses.mean()),
            "interval": list(mean_interval(losses, groups, seed)) if several else None,
            "accuracy": float((decided == y).mean()),
            "macro_f1": macro_f1(y, decided, k),
        }


def stratum_edges(log_odds: np.ndarray, most: int = STRATA) -> np.ndarray:
    """Return the odds that part rows into strata of like number; rows of equal odds stay together.

    Parameters
    ----------
    log_odds : array of float64, shape (n,)
    most : int
        Strata, where there are :data:`FEWEST` rows for each.

    Returns
    -------
    array of float64, shape (s - 1,)
        Rising. A stratum begins at its edge; the first is open below, the last above. None is empty.
    """
    count = max(1, min(most, len(log_odds) // FEWEST))
    if count == 1:
        return np.zeros(0)
    # An edge is one of the odds, so that the stratum which begins there holds at least that row.
    edges = np.unique(np.quantile(log_odds, np.arange(1, count) / count, method="higher"))
    return edges[edges > log_odds.min()]


def coverage(log_odds: np.ndarray, mocks: np.ndarray, answers: Answers | None = None, seed: int = 0) -> dict[str, Any]:
    """Part sky rows by how unlike the mocks they are; say how many mocks lie in each part, and how good a model is.

    Parameters
    ----------
    log_odds : array of float64, shape (n,)
        Cross-fitted log p(sky | x) / p(mock | x) of sky rows, with equal prior of the domains.
    mocks : array of float64, shape (m,)
        The same of the mocks that train.
    answers : Answers, optional
        Of those sky rows, where their classes are known.
    seed : int
        Seed of the resamples.

    Returns
    -------
    dict
        ``n`` sky rows and ``mocks`` in all, the figures of all rows, and ``strata`` by rising odds, each with
        ``n``, ``p_sky`` (least and largest P(sky) of its rows), ``mocks`` of odds in its range, and its figures
        (:meth:`Answers.figures`), which need answers.

    Notes
    -----
    Strata of the propensity to be in a sample are those of StratLearn (Autenrieth, van Dyk, Trotta and Stenning
    2024, Stat. Anal. Data Min. 17, e11643): within one, source and target are alike, so a stratum
    without mocks is a part of the sky that they cannot teach.
    """
    edges = stratum_edges(log_odds)
    place = np.searchsorted(edges, log_odds, side="right")
    found = np.bincount(np.searchsorted(edges, mocks, side="right"), minlength=len(edges) + 1)
    strata = []
    for i in range(len(edges) + 1):
        rows = place == i
        mine = expit(log_odds[rows])
        one = {"n": int(rows.sum()), "p_sky": [float(mine.min()), float(mine.max())], "mocks": int(found[i])}
        strata.append(one | ({} if answers is None else answers.figures(rows, seed)))
    whole = {} if answers is None else answers.figures(np.ones(len(log_odds), dtype=bool), seed)
    return {"n": len(log_odds), "mocks": len(mocks), **whole, "strata": strata}
