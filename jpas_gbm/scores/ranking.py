"""How well scores rank classes: areas under curves, for many weightings of the rows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True, eq=False)
class Ranking:
    """Rows sorted once by each class's probability, ready for any weights.

    Parameters
    ----------
    label : array of int, shape (n,)
        True classes.
    order : array of int, shape (k, n)
        Rows by increasing probability of each class.
    stop : array of int, shape (k, n)
        For each place in `order`, where the run of equal probabilities that it is in ends.
    """

    label: np.ndarray
    order: np.ndarray
    stop: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, p: np.ndarray) -> Ranking:
        """Sort the rows of true classes `y` (n,) by each column of the probabilities `p` (n, k)."""
        order = np.argsort(p.T, axis=1, kind="stable")
        ordered = np.take_along_axis(p.T, order, axis=1)
        stop = np.stack([np.searchsorted(row, row, side="right") for row in ordered])
        return cls(np.ascontiguousarray(y, dtype=np.int64), order, stop)

    def areas(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return areas under ROC and precision-recall curves for B weightings of the rows.

        One sort serves every weighting: a pair's area is the weighted count of rows of b below each
        row of a, ties counting one half (Mann and Whitney's statistic).

        Parameters
        ----------
        weights : array, shape (n, B)
            Non-negative row weights, one column a weighting (used in single precision: counts are exact).

        Returns
        -------
        dict
            ``pairs`` (k, k, B): AUROC of class a against b by the probability of a; ``rest`` (k, B):
            of a against all others; ``precision`` (k, B): average precision of a. NaN where a class
            has no weight.
        """
        k, size = len(self.order), weights.shape[1]
        total = np.zeros((k, size))
        for a in range(k):
            total[a] = weights[self.label == a].sum(axis=0, dtype=np.float64)
        above, average = np.zeros((k, k, size)), np.zeros((k, size))
        if len(self.label):
            single = np.ascontiguousarray(weights, dtype=np.float32)  # one compilation serves all callers
            _kernel()(single, self.label, self.order, self.stop, total, above, average)
        above[np.arange(k), np.arange(k)] = 0
        with np.errstate(invalid="ignore", divide="ignore"):
            pairs = above / (total[:, None] * total[None, :])
            pairs[np.arange(k), np.arange(k)] = np.nan
            rest = above.sum(axis=1) / (total * (total.sum(axis=0) - total))
            average = average / total
        return {"pairs": pairs, "rest": rest, "precision": average}


@cache
def _kernel() -> Callable[..., None]:
    """Compile the walk when it is first needed; keep it on disk where that can be written."""
    import numba

    try:
        compiled: Callable[..., None] = numba.njit(cache=True, nogil=True)(_walk)
    except RuntimeError:  # no folder for the cache can be written
        compiled = numba.njit(nogil=True)(_walk)
    return compiled


def _walk(
    weights: np.ndarray,
    label: np.ndarray,
    order: np.ndarray,
    stop: np.ndarray,
    total: np.ndarray,
    above: np.ndarray,
    average: np.ndarray,
) -> None:
    """Walk the rows of each order upwards, adding to `above` (k, k, B) and `average` (k, B).

    Loops are spelt out over the weightings, innermost, so that they become vector instructions.
    """
    k, n = order.shape
    size = weights.shape[1]
    all_weight = np.zeros(size)
    for c in range(k):
        all_weight += total[c]
    for a in range(k):
        below = np.zeros((k, size))
        left = all_weight.copy()
        start = 0
        while start < n:
            end = stop[a, start]
            for place in range(start, end):
                row = order[a, place]
                if label[row] == a:
                    for j in range(size):
                        average[a, j] += weights[row, j] * (total[a, j] - below[a, j]) / max(left[j], 1e-300)
                    for b in range(k):
                        for j in range(size):
                            above[a, b, j] += weights[row, j] * below[b, j]
            if end > start + 1:
                tied = np.zeros((k, size))
                for place in range(start, end):
                    row = order[a, place]
                    for j in range(size):
                        tied[label[row], j] += weights[row, j]
                for b in range(k):
                    for j in range(size):
                        above[a, b, j] += 0.5 * tied[a, j] * tied[b, j]
            for place in range(start, end):
                row = order[a, place]
                c = label[row]
                for j in range(size):
                    below[c, j] += weights[row, j]
                    left[j] -= weights[row, j]
            start = end
