"""Class balance: how many rows of each class mocks and sky have at each magnitude."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..survey.catalogue import Catalogue
from ..survey.dataset import Dataset

_MOST_BINS = 9
_OUTSIDE = 0.002


def balance_edges(mag: np.ndarray, most: int = _MOST_BINS) -> np.ndarray:
    """Return edges of magnitude bins, whole or half magnitudes wide or more, that hold all but a few stragglers.

    Parameters
    ----------
    mag : array, shape (n,)
        NaN counts nowhere.
    most : int
        Largest number of bins.

    Returns
    -------
    array, shape (bins + 1,)
        Empty where no magnitude is known.
    """
    known = np.asarray(mag, dtype=np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return np.empty(0)
    low, high = np.quantile(known, [_OUTSIDE, 1 - _OUTSIDE])
    for width in (0.5, 1.0, 2.0, 4.0, 8.0):
        first, last = np.floor(low / width), max(np.ceil(high / width), np.floor(low / width) + 1)
        if last - first <= most:
            break
    return width * np.arange(first, last + 1)


def _counts(rows: Catalogue, edges: np.ndarray, k: int) -> list[list[int]]:
    """Count rows by class and bin; those outside the bins go to the nearest, those without magnitude nowhere."""
    used = (rows.label >= 0) & np.isfinite(rows.mag)
    place = np.clip(np.searchsorted(edges, rows.mag[used], side="left") - 1, 0, len(edges) - 2)
    counts = np.zeros((k, len(edges) - 1), dtype=np.int64)
    np.add.at(counts, (rows.label[used].astype(np.int64), place), 1)
    return counts.tolist()


def class_balance(dataset: Dataset) -> dict[str, Any]:
    """Count the labelled rows of both domains by class and magnitude.

    Parameters
    ----------
    dataset : Dataset
        Twins, which never train, are not counted.

    Returns
    -------
    dict
        ``classes``, ``edges`` (a bin holds lower < m <= upper; the end bins hold what lies beyond),
        ``source`` and ``target``: survey, rows, ``without_magnitude`` and ``counts`` by class and bin;
        ``unlabelled``: the number of unlabelled target rows.
    """
    classes = dataset.scheme.classes
    labelled = dataset.target.take(dataset.target.label >= 0)
    source = dataset.source.take(dataset.source.label >= 0)
    edges = balance_edges(np.concatenate([source.mag, labelled.mag]))
    sides = {}
    for name, rows in (("source", source), ("target", labelled)):
        sides[name] = {
            "survey": rows.survey,
            "rows": len(rows),
            "without_magnitude": int((~np.isfinite(rows.mag)).sum()),
            "classes": dataset.scheme.counts(rows.label),
            "counts": _counts(rows, edges, len(classes)) if len(edges) > 1 else [],
        }
    unlabelled = int((dataset.target.label < 0).sum())
    return {"classes": list(classes), "edges": edges.tolist(), **sides, "unlabelled": unlabelled}
