"""How well probabilities rank and select: areas under curves for many weightings of rows, and curves as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import numpy as np

from ..run import compiled
from .losses import BINS, width_bins, wilson


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
        """Sort rows by the probability of each class.

        Parameters
        ----------
        y : array of int, shape (n,)
            True classes.
        p : array, shape (n, k)

        Returns
        -------
        Ranking
        """
        order = np.argsort(p.T, axis=1, kind="stable")
        ordered = np.take_along_axis(p.T, order, axis=1)
        stop = np.stack([np.searchsorted(row, row, side="right") for row in ordered])
        return cls(np.ascontiguousarray(y, dtype=np.int64), order, stop)

    def areas(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return areas under ROC and precision-recall curves for B weightings of the rows.

        One sort serves every weighting: a pair's area is the weighted count of rows of b below each
        row of a, ties counting one half (Mann and Whitney's statistic). Own code because scikit-learn
        takes 4,000 times as long for each weighting (3,000 rows of 4 classes, 64 weightings).

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
            _walk(single, self.label, self.order, self.stop, total, above, average)
        above[np.arange(k), np.arange(k)] = 0
        with np.errstate(invalid="ignore", divide="ignore"):
            pairs = above / (total[:, None] * total[None, :])
            pairs[np.arange(k), np.arange(k)] = np.nan
            rest = above.sum(axis=1) / (total * (total.sum(axis=0) - total))
            average = average / total
        return {"pairs": pairs, "rest": rest, "precision": average}


@compiled
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


_POINTS = 400
_MOST_POINTS = 5000
_DIGITS = 6
_ONE_SIGMA = 0.6826894921370859
"""Probability of a normal deviate within one sigma."""


class RocCurve(NamedTuple):
    """False-positive rate, true-positive rate and threshold, by falling threshold.

    Parameters
    ----------
    false_positive, true_positive : array of float64, shape (n,)
        Rates.
    threshold : array of float64, shape (n,)
        Least score taken.
    """

    false_positive: np.ndarray
    true_positive: np.ndarray
    threshold: np.ndarray


class PurityCurve(NamedTuple):
    """Purity, completeness and size of the sample above each threshold, by falling threshold.

    Parameters
    ----------
    purity, completeness : array of float64, shape (n,)
        Shares.
    selected : array of int, shape (n,)
        Rows above the threshold.
    threshold : array of float64, shape (n,)
        Least probability taken.
    """

    purity: np.ndarray
    completeness: np.ndarray
    selected: np.ndarray
    threshold: np.ndarray


class ReliabilityCurve(NamedTuple):
    """For each bin of probability: rows, mean probability, true fraction and its 68 % interval.

    Parameters
    ----------
    n : array of int, shape (b,)
        Rows.
    mean_p : array of float64, shape (b,)
        Mean probability.
    fraction : array of float64, shape (b,)
        Share of true members.
    low, high : array of float64, shape (b,)
        Ends of its interval.
    """

    n: np.ndarray
    mean_p: np.ndarray
    fraction: np.ndarray
    low: np.ndarray
    high: np.ndarray


class BinnedQuantiles(NamedTuple):
    """For each bin of x: its edges, rows, and median, 16 % and 84 % points of the values.

    Parameters
    ----------
    lower, upper : array of float64, shape (b,)
        Edges.
    n : array of int, shape (b,)
        Rows.
    median : array of float64, shape (b,)
        50 % point.
    low, high : array of float64, shape (b,)
        16 % and 84 % points.
    """

    lower: np.ndarray
    upper: np.ndarray
    n: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray


def _thin(length: int, measure: np.ndarray, points: int) -> np.ndarray:
    """Choose at most about `points` places, evenly in `measure` and evenly in rank; the ends stay."""
    if length <= points:
        return np.arange(length)
    wanted = np.linspace(measure[0], measure[-1], points // 2)
    by_measure = np.clip(np.searchsorted(measure, wanted), 0, length - 1)
    by_rank = np.unique(np.geomspace(1, length, points // 2).astype(np.intp)) - 1
    return np.unique(np.concatenate([by_measure, by_rank, [0, length - 1]]))


def _at_thresholds(y: np.ndarray, p: np.ndarray, column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of the class and of others at or above each distinct probability of it, by falling probability."""
    from sklearn.metrics import confusion_matrix_at_thresholds

    _, false, _, true, threshold = confusion_matrix_at_thresholds(y == column, p[:, column])
    return true, false, threshold


def roc(y: np.ndarray, p: np.ndarray, column: int, points: int = _POINTS) -> RocCurve:
    """Return the ROC curve of one class against the others.

    Parameters
    ----------
    y : array of int, shape (n,)
        True classes.
    p : array, shape (n, k)
        Probabilities.
    column : int
        The class.
    points : int
        Thin the curve to about this many points, dense at low false-positive rates.

    Returns
    -------
    RocCurve
        Begins at (0, 0) with threshold inf; NaN rates where a side has no row.
    """
    true, false, threshold = _at_thresholds(y, p, column)
    with np.errstate(invalid="ignore"):
        tpr, fpr = np.append(0.0, true / true[-1]), np.append(0.0, false / false[-1])
    keep = _thin(len(tpr), tpr, points)
    return RocCurve(fpr[keep], tpr[keep], np.append(np.inf, threshold)[keep])


def purity_completeness(y: np.ndarray, p: np.ndarray, column: int, points: int = _POINTS) -> PurityCurve:
    """Return what a cut in the probability of one class selects (the precision-recall curve).

    Parameters
    ----------
    y : array of int, shape (n,)
        True classes.
    p : array, shape (n, k)
        Probabilities.
    column : int
        The class.
    points : int
        Thin the curve to about this many points.

    Returns
    -------
    PurityCurve
    """
    true, false, threshold = _at_thresholds(y, p, column)
    with np.errstate(invalid="ignore"):
        completeness = true / true[-1]
    keep = _thin(len(true), true, points)
    selected = true + false
    return PurityCurve((true / selected)[keep], completeness[keep], selected[keep], threshold[keep])


def reliability(
    y: np.ndarray, p: np.ndarray, column: int | None = None, bins: int = BINS, equal_count: bool = False
) -> ReliabilityCurve:
    """Return true fraction against mean probability; bins without rows are left out.

    Parameters
    ----------
    y : array of int, shape (n,)
        True classes.
    p : array, shape (n, k)
        Probabilities.
    column : int, optional
        The class; default: the top label, as in the expected calibration error.
    bins : int
        Number of bins.
    equal_count : bool
        Bins of equal numbers of rows instead of equal width.

    Returns
    -------
    ReliabilityCurve

    Notes
    -----
    The interval is Wilson's (1927) at one sigma.
    """
    if column is None:
        score, hit = p.max(axis=1), np.argmax(p, axis=1) == y
    else:
        score, hit = p[:, column], y == column
    if equal_count:
        rank = np.argsort(np.argsort(score, kind="stable"), kind="stable")
        place = rank * bins // max(len(score), 1)
    else:
        place = width_bins(score, bins)
    n = np.bincount(place, minlength=bins)
    used = n > 0
    n = n[used]
    mean_p = np.bincount(place, weights=score, minlength=bins)[used] / n
    hits = np.bincount(place, weights=hit, minlength=bins)[used]
    low, high = wilson(hits, n, _ONE_SIGMA)
    return ReliabilityCurve(n, mean_p, hits / n, low, high)


def binned_quantiles(x: np.ndarray, values: np.ndarray, edges: np.ndarray) -> BinnedQuantiles:
    """Return median and central 68 % of values in bins of x (a class's probability against redshift, say).

    Parameters
    ----------
    x, values : array, shape (n,)
        Rows where either is NaN are left out.
    edges : array, shape (bins + 1,)
        Rising; a bin holds lower <= x < upper. Quantiles of an empty bin are NaN.

    Returns
    -------
    BinnedQuantiles
    """
    edges = np.asarray(edges, dtype=np.float64)
    fine = np.isfinite(x) & np.isfinite(values)
    x, values = x[fine], values[fine]
    place = np.searchsorted(edges, x, side="right") - 1
    bins = len(edges) - 1
    quantiles = np.full((3, bins), np.nan)
    n = np.zeros(bins, dtype=np.int64)
    for b in range(bins):
        inside = values[place == b]
        n[b] = len(inside)
        if len(inside):
            quantiles[:, b] = np.quantile(inside, [0.5, 0.16, 0.84])
    return BinnedQuantiles(edges[:-1], edges[1:], n, *quantiles)


Columns = dict[str, list[float | None]]


class CurveSet(TypedDict, total=False):
    """Curves of one model, in a form that JSON can hold.

    ``roc``, ``purity`` and ``reliability`` have columns by class (``reliability`` also of the ``top`` label);
    ``redshift`` has z, true class (``label``) and probabilities (``p_NAME``) of up to 5,000 rows with a redshift.
    """

    roc: dict[str, Columns]
    purity: dict[str, Columns]
    reliability: dict[str, Columns]
    redshift: Columns


def curve_set(
    y: np.ndarray, p: np.ndarray, classes: Sequence[str], z: np.ndarray | None = None, points: int = 200
) -> CurveSet:
    """Return the curves of one model in a form that JSON can hold: what a report draws.

    Parameters
    ----------
    y : array of int, shape (n,)
        True classes.
    p : array, shape (n, k)
        Probabilities.
    classes : sequence of str
        Names of the classes.
    z : array, shape (n,), optional
        Redshifts, NaN for rows that are not to be shown against redshift.
    points : int
        Thin curves to about this many points.

    Returns
    -------
    CurveSet
    """
    found: CurveSet = {
        "roc": {c: _plain(roc(y, p, i, points)) for i, c in enumerate(classes)},
        "purity": {c: _plain(purity_completeness(y, p, i, points)) for i, c in enumerate(classes)},
        "reliability": {c: _plain(reliability(y, p, i)) for i, c in enumerate(classes)},
    }
    found["reliability"]["top"] = _plain(reliability(y, p))
    if z is not None and np.isfinite(z).any():
        rows = np.flatnonzero(np.isfinite(z))
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_POINTS)).astype(np.intp)]
        found["redshift"] = {"z": _rounded(z[rows]), "label": y[rows].tolist()} | {
            f"p_{c}": _rounded(p[rows, i]) for i, c in enumerate(classes)
        }
    return found


def _plain(curve: Any) -> Columns:
    return {name: _rounded(value) for name, value in curve._asdict().items()}


def _rounded(values: np.ndarray) -> list[float | None]:
    return [float(f"{v:.{_DIGITS}g}") if np.isfinite(v) else None for v in np.asarray(values, dtype=np.float64)]


def linear_auc(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """Return the AUC of Fisher's discriminant between samples, fitted on one half and judged on the other, in turns.

    Values and their squares are its features, centred and scaled robustly; what is missing stands at the centre.

    Parameters
    ----------
    ours, theirs : array, shape (n, d), array, shape (m, d)
        NaN is missing.

    Returns
    -------
    float or None
        None for fewer than 40 rows of a side.
    """
    if min(len(ours), len(theirs)) < 40:
        return None
    values = np.concatenate([ours, theirs]).astype(np.float64)
    known = np.isfinite(values)
    columns = np.flatnonzero(known[: len(ours)].any(axis=0) & known[len(ours) :].any(axis=0))
    if not len(columns):
        return None
    values = values[:, columns]
    low, middle, high = np.nanquantile(values[: len(ours)], [0.16, 0.5, 0.84], axis=0)
    z = np.clip(np.nan_to_num((values - middle) / np.where(high > low, (high - low) / 2, 1.0)), -4, 4)
    x, y = np.concatenate([z, np.square(z) - 1], axis=1), np.arange(len(values)) >= len(ours)
    half, scores = np.arange(len(values)) % 2 == 0, np.zeros(len(values))
    for fit in (half, ~half):
        means = [x[fit & (y == side)].mean(axis=0) for side in (False, True)]
        spread = np.cov(x[fit] - np.where(y[fit, None], means[1], means[0]), rowvar=False)
        spread += np.eye(len(spread)) * (0.3 * np.trace(spread) / len(spread) + 1e-9)
        scores[~fit] = (x[~fit] - 0.5 * (means[0] + means[1])) @ np.linalg.solve(spread, means[1] - means[0])
    areas = [rank_auc(scores[part & ~y], scores[part & y]) for part in (half, ~half)]
    return round(float(np.mean(areas)), 3)


def rank_auc(negative: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC of one score, ties counted half (Mann-Whitney); NaNs rank lowest.

    Parameters
    ----------
    negative : array, shape (n,)
        Scores of one class.
    positive : array, shape (m,)
        Scores of the other.

    Returns
    -------
    float
    """
    below, above = (np.nan_to_num(np.asarray(one, dtype=np.float64), nan=-np.inf, neginf=-1e300, posinf=1e300)
                    for one in (negative, positive))  # fmt: skip
    below, n, m = np.sort(below), len(below), len(above)
    wins = np.searchsorted(below, above, "left").sum() + np.searchsorted(below, above, "right").sum()
    return float(wins / 2 / (n * m)) if n and m else float("nan")
