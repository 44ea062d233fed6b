"""The ladder: which trials are worth more work, by successive halving and by the mean over folds so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

FEWEST = 5
"""Trials that must have come as far before a trial is given up between folds."""


def climbs(loss: float, others: Sequence[float], keep: float, among: int = 0) -> bool:
    """Return whether a trial goes on to the next rung: whether it is in the best share of those that came here.

    Parameters
    ----------
    loss : float
        Its loss on this rung.
    others : sequence of float
        Losses of the other trials on this rung, in the order they were begun.
    keep : float
        The share that climbs.
    among : int
        How many of the others it is ranked with, the latest; 0: all.

    Notes
    -----
    Asynchronous successive halving (Li et al. 2020, MLSys 2, 230): no trial waits for others. There a
    sampler draws at random; one that learns would let nearly every late trial climb past the early ones.
    """
    if not math.isfinite(loss):
        return False
    latest = others[-among:] if among else others
    better = sum(other < loss for other in latest)
    return better < max(1, math.floor(keep * (len(latest) + 1)))


def hopeless(mean_so_far: float, others: Sequence[float]) -> bool:
    """Return whether a trial is given up between two folds: its mean so far is above the median of the others'."""
    if not math.isfinite(mean_so_far):
        return True
    ranked = sorted(others)
    return len(ranked) >= FEWEST and mean_so_far > ranked[len(ranked) // 2]


def earliest_as_good(losses: Mapping[int, Sequence[float]]) -> int:
    """Return the first trial whose mean over seeds is as good as the lowest, as far as the seeds tell.

    Parameters
    ----------
    losses : mapping of int to sequence of float
        Losses of each trial, by its number, with the same seeds in the same order.

    Notes
    -----
    As good is within one standard error of the paired difference: the rule of Breiman et al. (1984, Classification and
    Regression Trees, 3.4.3), with the order of trials as what is simple. The earlier trial was best among fewer.
    """
    lowest = min((np.asarray(each, dtype=np.float64) for each in losses.values()), key=np.mean)

    def as_good(each: Sequence[float]) -> bool:
        worse = np.asarray(each) - lowest
        error = np.std(worse, ddof=1) / math.sqrt(len(worse)) if len(worse) > 1 else 0.0
        return bool(worse.mean() <= error)

    return next(number for number in sorted(losses) if as_good(losses[number]))
