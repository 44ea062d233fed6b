"""Means over the rows of classes, with intervals over objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..scores.bootstrap import LEVEL, resample_weights


@dataclass(frozen=True, eq=False)
class Means:
    """A mean per column, and the same on bootstrap resamples of objects.

    Parameters
    ----------
    mean : array, shape (b,)
        NaN where no row counts.
    draws : array, shape (resamples, b)
    """

    mean: np.ndarray
    draws: np.ndarray

    def interval(self, level: float = LEVEL) -> list[list[float | None]]:
        """Return the percentile interval of each column, [low, high], with None where there is none."""
        if len(self.draws) < 2:
            return [[None, None] for _ in self.mean]
        tail = (1 - level) / 2
        spans: list[list[float | None]] = []
        for column in self.draws.T:
            known = column[np.isfinite(column)]
            spans.append(np.quantile(known, [tail, 1 - tail]).tolist() if len(known) > 1 else [None, None])
        return spans


def class_means(
    values: np.ndarray, y: np.ndarray, codes: Sequence[int], groups: np.ndarray, resamples: int, seed: int
) -> Means:
    """Return the mean over classes of the means over the rows of each.

    A class weighs as much as another, however many rows it has; classes without a row count nowhere.

    Parameters
    ----------
    values : array, shape (n, b)
    y : array of int, shape (n,)
        Class of each row.
    codes : sequence of int
        The classes that count.
    groups : array of int, shape (n,)
        Object of each row: resamples draw objects.
    resamples : int
    seed : int
    """
    values = np.asarray(values, dtype=np.float64)
    present = [code for code in codes if (y == code).any()]
    if not present:
        return Means(np.full(values.shape[1], np.nan), np.empty((0, values.shape[1])))
    mean = np.mean([values[y == code].mean(axis=0) for code in present], axis=0)
    counted = np.isin(y, present)
    return Means(mean, _draws(values[counted], y[counted], present, groups[counted], resamples, seed))


def _draws(
    values: np.ndarray, y: np.ndarray, codes: Sequence[int], groups: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    found = []
    for weights in resample_weights(groups, resamples, seed):
        parts = []
        for code in codes:
            mine = weights[y == code].astype(np.float64)
            total = mine.sum(axis=0)
            with np.errstate(invalid="ignore", divide="ignore"):
                parts.append(np.where(total > 0, values[y == code].T @ mine / total, np.nan))
        found.append(_mean_known(np.stack(parts)).T)
    return np.concatenate(found) if found else np.empty((0, values.shape[1]))


def _mean_known(parts: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is not NaN."""
    known = np.isfinite(parts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, parts, 0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)


def masked_means(
    values: np.ndarray, mask: np.ndarray, groups: np.ndarray, resamples: int, seed: int
) -> tuple[Means, np.ndarray]:
    """Return the mean of each column over the entries that a mask lets in, and how many these are.

    Parameters
    ----------
    values : array, shape (n, b)
    mask : array of bool, shape (n, b)
    groups : array of int, shape (n,)
    resamples : int
    seed : int

    Returns
    -------
    Means, array of int, shape (b,)
    """
    filled, inside = np.where(mask, values, 0.0).astype(np.float64), mask.astype(np.float64)
    count = mask.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, filled.sum(axis=0) / count, np.nan)
        draws = [
            ((filled.T @ weights) / (inside.T @ weights)).T
            for weights in resample_weights(groups, resamples, seed)
            if len(filled)
        ]
    return Means(mean, np.concatenate(draws) if draws else np.empty((0, values.shape[1]))), count
