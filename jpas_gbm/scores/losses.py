"""Losses of probabilities and scores of decisions, each defined once for every room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..run import Later
from ..text import count

if TYPE_CHECKING:
    from scipy import special
else:
    special = Later("scipy.special")

FLOOR = 1e-15
"""Probabilities below this count as this in a logarithm."""
_BIN_WIDTH = 0.5
_FEWEST_IN_BIN = 100


def softmax(margins: np.ndarray) -> np.ndarray:
    """Return probabilities of margins, rows summing to 1.

    Parameters
    ----------
    margins : array, shape (n, k)

    Returns
    -------
    array, shape (n, k)
    """
    return special.softmax(margins, axis=1)


def log_softmax(margins: np.ndarray) -> np.ndarray:
    """Return log-probabilities of margins, floored at log 1e-15.

    Parameters
    ----------
    margins : array, shape (n, k)

    Returns
    -------
    array of float64, shape (n, k)
    """
    logs = special.log_softmax(np.asarray(margins, dtype=np.float64), axis=1)
    return np.maximum(logs, np.log(FLOOR))


def log_p(p: np.ndarray) -> np.ndarray:
    """Return the logarithm of probabilities, floored at log 1e-15.

    Parameters
    ----------
    p : array
        Of any shape.

    Returns
    -------
    array of float64, of the shape of `p`
    """
    return np.log(np.maximum(np.asarray(p, dtype=np.float64), FLOOR))


def log_losses(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the log loss of each row, float64 (n,).

    Parameters
    ----------
    p : array, shape (n, k)
        Probabilities, floored at 1e-15.
    y : array of int, shape (n,)
        True classes.

    Returns
    -------
    array of float64, shape (n,)
        -log p of the true class, nats.
    """
    return -log_p(p[np.arange(len(y)), y])


def log_loss(p: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the weighted mean over rows of :func:`log_losses`.

    Parameters
    ----------
    p : array, shape (n, k)
        Probabilities.
    y : array of int, shape (n,)
        True classes.
    weight : array, shape (n,), optional

    Returns
    -------
    float
        Nats.
    """
    return float(np.average(log_losses(p, y), weights=weight))


def margin_loss(margins: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the weighted mean log loss (nats) of margins, without a floor: what trees are grown to lessen.

    Parameters
    ----------
    margins : array of float64, shape (n, k)
        Logs of unnormalised probabilities.
    y : array of int, shape (n,)
        True classes.
    weight : array, shape (n,), optional

    Returns
    -------
    float
    """
    logs = special.log_softmax(margins, axis=1)
    return float(np.average(-logs[np.arange(len(y)), y], weights=weight))


def brier_scores(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the multiclass Brier score of each row (Brier 1950): the sum over classes, 0 to 2.

    Parameters
    ----------
    p : array, shape (n, k)
        Probabilities.
    y : array of int, shape (n,)
        True classes.

    Returns
    -------
    array of float64, shape (n,)
    """
    return np.square(p).sum(axis=1) - 2 * p[np.arange(len(y)), y] + 1


def confusion_matrix(y: np.ndarray, predicted: np.ndarray, k: int) -> np.ndarray:
    """Return counts of true classes (rows) and predicted ones (columns).

    Parameters
    ----------
    y : array of int, shape (n,)
        True classes.
    predicted : array of int, shape (n,)
    k : int
        Number of classes.

    Returns
    -------
    array of int, shape (k, k)
    """
    return np.bincount(y.astype(np.intp) * k + predicted, minlength=k * k).reshape(k, k)


def f1_scores(confusion: np.ndarray) -> np.ndarray:
    """Return the F1 of each class.

    Parameters
    ----------
    confusion : array, shape (k, k, ...)
        Counts, true classes along the first axis, predicted ones along the second.

    Returns
    -------
    array of float64, shape (k, ...)
        NaN where a class has no true row.
    """
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    hit = np.moveaxis(np.diagonal(confusion), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true > 0, 2 * hit / (true + predicted), np.nan)


AREA_TRIALS = 4
"""Near 1 an area varies as a proportion of two (Hanley and McNeil 1982) to six times the rows of the rarer side."""


def trials(confusion: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Return of how many rows the accuracy and each class's figures are proportions.

    An area under a ROC curve is as sure as a proportion of :data:`AREA_TRIALS` times the rows of the rarer side at
    most, an average precision as one of the rows of the class. F1 is 2J / (1 + J) of the share J of right rows among
    those that are of the class or are said to be: near 0 and near 1 it varies as a proportion of half and of twice as
    many rows.

    Parameters
    ----------
    confusion : array of int, shape (k, k)
        Counts, true classes along the first axis.
    classes : sequence of str
        Names of the k classes.

    Returns
    -------
    dict of str to float
        By dotted name; 0 where the figure is not defined.
    """
    found = {"accuracy": float(confusion.sum())}
    for i, name in enumerate(classes):
        true, said = float(confusion[i].sum()), float(confusion[:, i].sum())
        both = (true + said) / (1 if confusion[i, i] else 2)
        found[f"per_class.{name}.recall"] = true
        found[f"per_class.{name}.precision"] = said if true else 0.0
        found[f"per_class.{name}.f1"] = both if true else 0.0
        found[f"per_class.{name}.auroc"] = AREA_TRIALS * min(true, float(confusion.sum()) - true)
        found[f"per_class.{name}.average_precision"] = true
    return found


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Return the mean F1 over the classes with true rows.

    Parameters
    ----------
    confusion : array, shape (k, k, ...)
        As for :func:`f1_scores`.

    Returns
    -------
    array of float64, shape (...)
    """
    return mean_defined(f1_scores(confusion))


def mean_defined(values: np.ndarray, of: int | None = None) -> np.ndarray:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is.

    Parameters
    ----------
    values : array, shape (n, ...)
    of : int, optional
        How many there are to be; NaN where fewer are known.

    Returns
    -------
    array, shape (...)
    """
    known = np.isfinite(values)
    enough = known.sum(axis=0) > 0 if of is None else known.sum(axis=0) == of
    with np.errstate(invalid="ignore"):
        return np.where(enough, np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0), np.nan)


def wilson(hits: np.ndarray | int, n: np.ndarray | int, level: float) -> np.ndarray:
    """Return Wilson's interval (1927) of plain shares, at a level of confidence, shape (2, ...): lower and upper ends.

    Parameters
    ----------
    hits, n : array of int or int
    level : float

    Returns
    -------
    array
    """
    from astropy.stats import binom_conf_interval

    return np.array(binom_conf_interval(hits, n, confidence_level=level, interval="wilson"))


BINS = 10
"""Equal-width bins of the expected calibration error."""


ABOVE = 0.05
"""Calibration slopes are fitted to rows whose probability exceeds this."""


_CLIP = 1e-6


_FEWEST_ROWS = 20


_FEWEST_OF_A_KIND = 5


_STEPS = 25


def width_bins(p: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return the equal-width bin, closed above as in Guo et al. (2017), of each probability.

    Parameters
    ----------
    p : array
        Probabilities, of any shape.
    bins : int
        Number of bins of (0, 1].

    Returns
    -------
    array of int, of the shape of `p`
    """
    return np.clip(np.ceil(p * bins).astype(np.intp) - 1, 0, bins - 1)


def magnitude_edges(mag: np.ndarray, width: float = _BIN_WIDTH, fewest: int = _FEWEST_IN_BIN) -> np.ndarray:
    """Return the edges of magnitude bins, multiples of `width`, that hold `fewest` rows or more each.

    Parameters
    ----------
    mag : array, shape (n,)
        Magnitudes; NaN counts nowhere.
    width : float
        Width of a bin before sparse ones are merged with the next fainter.
    fewest : int
        Least number of rows in a bin.

    Returns
    -------
    array, shape (bins + 1,)
        Empty where no magnitude is known.
    """
    mag = np.asarray(mag, dtype=np.float64)
    mag = mag[np.isfinite(mag)]
    if not len(mag):
        return np.empty(0)
    first, last = np.floor(mag.min() / width), np.ceil(mag.max() / width)
    edges = width * np.arange(first - (mag.min() == first * width), last + 1)
    edges = edges if len(edges) > 1 else np.array([edges[0], edges[0] + width])
    counts = np.bincount(magnitude_bins(mag, edges), minlength=len(edges) - 1)
    kept, waiting = [edges[0]], 0
    for upper, n in zip(edges[1:], counts, strict=True):
        waiting += n
        if waiting >= fewest:
            kept.append(upper)
            waiting = 0
    if waiting:
        kept[len(kept) - 1 if len(kept) > 1 else 1 :] = [edges[-1]]
    return np.array(kept)


def magnitude_bins(mag: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bin of each magnitude, lower < m <= upper; -1 for none.

    Parameters
    ----------
    mag, edges : array, shape (n,) and (b + 1,)
        Magnitudes, and rising ones.

    Returns
    -------
    array of int, shape (n,)
        From 0.
    """
    if len(edges) < 2:
        return np.full(len(mag), -1, dtype=np.int64)
    place = np.searchsorted(edges, mag, side="left") - 1
    return np.where(np.isfinite(mag) & (place < len(edges) - 1), place, -1)


def top_label_parts(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's largest probability and whether that class is the true one.

    Parameters
    ----------
    y : array of int, shape (n,)
        True classes.
    p : array, shape (n, k)

    Returns
    -------
    confidence : array, shape (n,)
        The largest probability.
    hit : array of float64, shape (n,)
        1 where its class is the true one.
    """
    return p.max(axis=1), (np.argmax(p, axis=1) == y).astype(np.float64)


@dataclass(frozen=True, eq=False)
class SlopeRows:
    """Rows on which the calibration slope of one class is fitted.

    Parameters
    ----------
    row : array of int, shape (r,)
        Rows whose probability of the class exceeds the limit.
    p : array, shape (r,)
        That probability.
    hit : array, shape (r,)
        1 where the class is the true one.
    bin : array of int, shape (r,)
        Equal-count bin of each row by probability.
    """

    row: np.ndarray
    p: np.ndarray
    hit: np.ndarray
    bin: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, p: np.ndarray, column: int, above: float = ABOVE) -> SlopeRows:
        """Choose the rows of class `column` with probability over `above`.

        Parameters
        ----------
        y : array of int, shape (n,)
            True classes.
        p : array, shape (n, k)
        column : int
            The class.
        above : float

        Returns
        -------
        SlopeRows
        """
        row = np.flatnonzero(p[:, column] > above)
        chosen = p[row, column].astype(np.float64)
        bins = int(np.clip(len(row) // _FEWEST_ROWS, 2, BINS))
        rank = np.argsort(np.argsort(chosen, kind="stable"), kind="stable")
        return cls(row, chosen, (y[row] == column).astype(np.float64), rank * bins // max(len(row), 1))

    @property
    def problem(self) -> str | None:
        """Why no slope can be fitted, or None."""
        hits = int(self.hit.sum())
        if len(self.row) < _FEWEST_ROWS or min(hits, len(self.row) - hits) < _FEWEST_OF_A_KIND:
            return f"{count(len(self.row), 'row')}, {hits} of the class"
        return None

    def logistic(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return intercept and slope of a logistic recalibration.

        Parameters
        ----------
        weights : array, shape (r, B)
            Weights of the chosen rows.

        Returns
        -------
        intercept : array, shape (B,)
            NaN where no fit is possible.
        slope : array, shape (B,)
        """
        if self.problem:
            nothing = np.full(weights.shape[1], np.nan)
            return nothing, nothing
        x = np.log(np.clip(self.p, _CLIP, 1 - _CLIP) / np.clip(1 - self.p, _CLIP, 1 - _CLIP))
        return _newton(x[:, None], self.hit[:, None], np.asarray(weights, dtype=np.float64))

    def binned(self, weights: np.ndarray) -> np.ndarray:
        """Return the slope of true fraction on mean probability over equal-count bins.

        Parameters
        ----------
        weights : array, shape (r, B)
            Weights of the chosen rows.

        Returns
        -------
        array, shape (B,)
            NaN where there are too few rows.
        """
        if self.problem:
            return np.full(weights.shape[1], np.nan)
        member = (self.bin == np.arange(self.bin.max() + 1)[:, None]).astype(np.float64)
        weight = member @ weights
        with np.errstate(invalid="ignore", divide="ignore"):
            mean_p = np.where(weight > 0, (member * self.p) @ weights / weight, 0)
            truth = np.where(weight > 0, (member * self.hit) @ weights / weight, 0)
            x = mean_p - (weight * mean_p).sum(axis=0) / weight.sum(axis=0)
            return (weight * x * truth).sum(axis=0) / (weight * x * x).sum(axis=0)


def _newton(x: np.ndarray, hit: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weighted logistic fits, side by side; NaN where the likelihood has no maximum within reach.

    Newton steps of all weightings at once: scipy.optimize takes 4 times as long, fit by fit, scikit-learn 15 times.
    """
    intercept, slope = np.zeros(weights.shape[1]), np.ones(weights.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(_STEPS):
            fitted = 1 / (1 + np.exp(-np.clip(intercept + slope * x, -40, 40)))
            residual = weights * (hit - fitted)
            curvature = weights * fitted * (1 - fitted)
            g0, g1 = residual.sum(axis=0), (residual * x).sum(axis=0)
            h00, h01, h11 = curvature.sum(axis=0), (curvature * x).sum(axis=0), (curvature * x * x).sum(axis=0)
            determinant = h00 * h11 - h01 * h01
            step0 = (h11 * g0 - h01 * g1) / determinant
            step1 = (h00 * g1 - h01 * g0) / determinant
            size = np.maximum(np.abs(step0), np.abs(step1))
            damp = np.minimum(1.0, 2 / np.maximum(size, 1.0))
            intercept, slope = intercept + damp * step0, slope + damp * step1
            if not (size > 1e-8).any():
                break
        lost = ~(np.abs(slope) < 30) | ~(size <= 1e-4)
    return np.where(lost, np.nan, intercept), np.where(lost, np.nan, slope)
