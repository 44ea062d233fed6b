"""The rows that are scored: labelled rows of a split, their cut in magnitude, and bins of magnitude."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..errors import DatasetError
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset

Domain = Literal["target", "source"]

CUT = 22.5
"""Faintest magnitude of test rows unless another is asked for: the paper's r <= 22.5."""

_BIN_WIDTH = 0.5
_FEWEST_IN_BIN = 100


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
    for upper, count in zip(edges[1:], counts, strict=True):
        waiting += count
        if waiting >= fewest:
            kept.append(upper)
            waiting = 0
    if waiting:
        kept[len(kept) - 1 if len(kept) > 1 else 1 :] = [edges[-1]]
    return np.array(kept)


def magnitude_bins(mag: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bin of each magnitude, lower < m <= upper; -1 for none."""
    if len(edges) < 2:
        return np.full(len(mag), -1, dtype=np.int64)
    place = np.searchsorted(edges, mag, side="left") - 1
    return np.where(np.isfinite(mag) & (place < len(edges) - 1), place, -1)


def brighter(mag: np.ndarray, cut: float | None) -> np.ndarray:
    """Return which rows are not fainter than the cut; rows without a magnitude are left out.

    Without a cut (None, or inf) every row stays, also those without a magnitude.

    Raises
    ------
    DatasetError
        If no row is left.
    """
    if cut is None or np.isposinf(cut):
        return np.ones(len(mag), dtype=bool)
    mag = np.asarray(mag, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        keep = mag <= cut
    if len(mag) and not keep.any():
        known = mag[np.isfinite(mag)]
        found = f"they reach from {known.min():.2f} to {known.max():.2f}" if len(known) else "none of them is known"
        raise DatasetError(
            f"no held-out row has a magnitude of {cut} or brighter: {found}. Give another --cut; "
            "--cut inf takes all rows."
        )
    return keep


def held_out(dataset: Dataset, split: str = "test", domain: Domain = "target") -> Catalogue:
    """Return the labelled rows of a split.

    Raises
    ------
    DatasetError
        If there are none.
    """
    rows = dataset.target_rows(split) if domain == "target" else dataset.source_rows(split)
    rows = rows.take(rows.label >= 0)
    if not len(rows):
        raise DatasetError(
            f"the {domain} has no labelled row in the split '{split}'. Prepare it with labels, and a share of them "
            "for that split."
        )
    return rows


def shown_redshifts(rows: Catalogue, dataset: Dataset) -> np.ndarray:
    """Return redshifts of the rows whose spectral type the z cut parts (quasars), NaN for others."""
    parted = [dataset.scheme.code(c) for of in dataset.scheme.spectypes.values() if len(of) == 2 for c in of]
    return np.where(np.isin(rows.label, parted), rows.z, np.nan)
