"""Losses of probabilities and scores of decisions, each defined once for every room."""

from __future__ import annotations

import numpy as np
from scipy import special

FLOOR = 1e-15
"""Probabilities below this count as this in a logarithm."""


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


def mean_defined(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is.

    Parameters
    ----------
    values : array, shape (n, ...)

    Returns
    -------
    array, shape (...)
    """
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)
