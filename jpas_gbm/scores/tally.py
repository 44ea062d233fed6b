"""Tally: the sums over rows that most figures are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .calibration_error import BINS, top_label_parts, width_bins

FLOOR = 1e-15
"""Probabilities below this count as this in the log loss."""


@dataclass(frozen=True, eq=False)
class Tally:
    """Row sums of one classification, kept as a sparse matrix so that reweighting is one product.

    Parameters
    ----------
    matrix : sparse array, shape (m, n)
        What each of the n rows adds to each of the m sums.
    spans : dict of str to (slice, tuple of int)
        The rows of `matrix` that hold a statistic, and its shape.
    """

    matrix: sparse.csr_array
    spans: dict[str, tuple[slice, tuple[int, ...]]]

    @classmethod
    def of(
        cls,
        y: np.ndarray,
        p: np.ndarray,
        thresholds: np.ndarray | None = None,
        stratum: np.ndarray | None = None,
        n_strata: int = 0,
    ) -> Tally:
        """Tally true classes `y` (n,) against probabilities `p` (n, k).

        Parameters
        ----------
        thresholds : array, shape (k,), optional
            Decision weights: the class of a row is the largest of p x thresholds. Adds the
            statistics whose names begin with ``thresholded``.
        stratum : array of int, shape (n,), optional
            Magnitude bin of each row; rows outside ``range(n_strata)`` join none.
        """
        parts = dict(_whole(y, p))
        strata = dict(_by_stratum(y, p, np.argmax(p, axis=1), stratum, n_strata))
        if thresholds is not None:
            decided = np.argmax(p * thresholds, axis=1)
            k = p.shape[1]
            parts["thresholded_confusion"] = _cells(y, decided, k)
            strata |= {f"thresholded_{n}": v for n, v in _by_stratum(y, p, decided, stratum, n_strata) if "conf" in n}
        return cls._stack(parts | strata, len(y))

    @classmethod
    def _stack(cls, parts: dict[str, _Part], n: int) -> Tally:
        spans: dict[str, tuple[slice, tuple[int, ...]]] = {}
        rows, columns, values, start = [], [], [], 0
        for name, part in parts.items():
            size = int(np.prod(part.shape))
            spans[name] = (slice(start, start + size), part.shape)
            rows.append(part.place + start)
            columns.append(part.row)
            values.append(part.value)
            start += size
        placed = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return cls(sparse.csr_array(sparse.coo_array(placed, shape=(start, n))), spans)

    def sums(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return each statistic for B weightings of the rows, shape (\\*its shape, B).

        Parameters
        ----------
        weights : array, shape (n, B)
        """
        totals = self.matrix @ weights
        return {name: totals[span].reshape(*shape, -1) for name, (span, shape) in self.spans.items()}


@dataclass(frozen=True, eq=False)
class _Part:
    """One statistic: row `row[i]` of the data adds `value[i]` at flat place `place[i]` of its shape."""

    shape: tuple[int, ...]
    place: np.ndarray
    row: np.ndarray
    value: np.ndarray


def _part(shape: tuple[int, ...], place: np.ndarray, value: np.ndarray | float = 1.0) -> _Part:
    return _Part(shape, place, np.arange(len(place)), np.broadcast_to(np.asarray(value, np.float64), place.shape))


def _cells(y: np.ndarray, decided: np.ndarray, k: int) -> _Part:
    return _part((k, k), y.astype(np.intp) * k + decided)


def losses(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's log loss (nats) and multiclass Brier score (sum over classes, 0 to 2)."""
    own = p[np.arange(len(y)), y]
    brier = np.square(p).sum(axis=1) - 2 * own + 1
    return -np.log(np.clip(own, FLOOR, 1.0)), brier


def _whole(y: np.ndarray, p: np.ndarray) -> Iterator[tuple[str, _Part]]:
    n, k = p.shape
    one = np.zeros(n, dtype=np.intp)
    log_loss, brier = losses(y, p)
    yield "confusion", _cells(y, np.argmax(p, axis=1), k)
    yield "log_loss", _part((1,), one, log_loss)
    yield "brier", _part((1,), one, brier)
    confidence, hit = top_label_parts(y, p)
    yield "ece", _part((BINS,), width_bins(confidence), hit - confidence)
    place = (np.arange(k) * BINS + width_bins(p)).ravel()
    gap = (y[:, None] == np.arange(k)) - p
    yield "class_ece", _Part((k, BINS), place, np.repeat(np.arange(n), k), gap.ravel())


def _by_stratum(
    y: np.ndarray, p: np.ndarray, decided: np.ndarray, stratum: np.ndarray | None, n_strata: int
) -> Iterator[tuple[str, _Part]]:
    if stratum is None or n_strata == 0:
        return
    k = p.shape[1]
    rows = np.flatnonzero((stratum >= 0) & (stratum < n_strata))
    at = stratum[rows].astype(np.intp)
    cell = (at * k + y[rows]) * k + decided[rows]
    yield "strata_confusion", _Part((n_strata, k, k), cell, rows, np.ones(len(rows)))
    yield "strata_log_loss", _Part((n_strata,), at, rows, losses(y[rows], p[rows])[0])
