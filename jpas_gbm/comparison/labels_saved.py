"""How many labels a regime saves: where another regime's learning curve reaches the same score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..scores.bootstrap import Replicates

_FALLING = ("log_loss", "brier", "ece")


def savings_of(
    curves: Mapping[tuple[str, int], Replicates],
    regimes: Sequence[str],
    against_regimes: Sequence[str],
    sizes: tuple[int, ...],
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Return with how many labels other regimes are as good as a regime is at each budget.

    Parameters
    ----------
    curves : mapping of (str, int) to Replicates
        Mean figures of each regime at each budget.
    regimes : sequence of str
        Whose labels are counted.
    against_regimes : sequence of str
        With which they are compared.
    sizes : tuple of int
        The budgets.
    names : sequence of str
        Dotted names of figures.
    """
    savings = []
    for regime in regimes:
        for against in against_regimes:
            known = [size for size in sizes if (against, size) in curves]
            if against == regime or len(known) < 2:
                continue
            for name in names:
                for size in (size for size in sizes if (regime, size) in curves):
                    own, other = curves[regime, size], [curves[against, n] for n in known]
                    told = _labels_saved(name, own, other, np.array(known, dtype=np.float64))
                    head = {"regime": regime, "against": against, "figure": name, "budget": size}
                    savings.append({**head, **told, "ratio": told["equals"] / size if told["equals"] else None})
    return savings


def _labels_saved(name: str, own: Replicates, other: Sequence[Replicates], labels: np.ndarray) -> dict[str, Any]:
    sign = -1.0 if name in _FALLING else 1.0
    goal = sign * np.concatenate([own.point[name], own.draws[name][0]])
    curve = sign * np.stack([np.concatenate([one.point[name], one.draws[name][0]]) for one in other])
    equals = equal_labels(goal, curve, labels)
    value, draws = equals[0], equals[1:]
    bound = "more" if value == np.inf else "fewer" if value == 0 else None
    draws = draws[~np.isnan(draws)]
    interval = None
    if len(draws) > 1:
        # Plain order statistics: the ends may be 0 or infinite, between which nothing can be interpolated.
        ordered = np.sort(draws)[[int(np.floor(q * (len(draws) - 1) + 0.5)) for q in (0.025, 0.975)]]
        interval = [float(end) if np.isfinite(end) else None for end in ordered]
    return {
        "equals": float(value) if bound is None and np.isfinite(value) else None,
        "interval": interval,
        "bound": bound,
    }


def equal_labels(goal: np.ndarray, curve: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return with how many labels a learning curve reaches a goal, by interpolation in log labels.

    Parameters
    ----------
    goal : array, shape (B,)
        Scores to reach, higher is better.
    curve : array, shape (s, B)
        Scores of the other regime at `labels`; taken as never falling (running maximum).
    labels : array, shape (s,)
        Rising.

    Returns
    -------
    array, shape (B,)
        0 where the first point is better already, inf where none reaches it, NaN where unknown.
    """
    rising = np.maximum.accumulate(curve, axis=0)
    reached = rising >= goal
    upper = np.argmax(reached, axis=0)
    at = np.arange(len(goal))
    lower = np.maximum(upper - 1, 0)
    low, high = rising[lower, at], rising[upper, at]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(high > low, (goal - low) / (high - low), 0.0)
        found = np.exp(np.log(labels[lower]) + share * (np.log(labels[upper]) - np.log(labels[lower])))
    found = np.where(upper == 0, np.where(rising[0] > goal, 0.0, labels[0]), found)
    found = np.where(reached.any(axis=0), found, np.inf)
    return np.where(np.isnan(goal) | np.isnan(curve).any(axis=0), np.nan, found)
