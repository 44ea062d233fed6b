"""The ladder: which trials are worth more work, by successive halving and by the mean over folds so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
