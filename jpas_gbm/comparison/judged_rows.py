"""The rows that judge a model: held out, of a brightness, in bins; and label budgets among the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from ..adaptation.rows import get_regime
from ..errors import DatasetError
from ..surveys.catalogue import UNLABELLED, Catalogue
from ..surveys.dataset import Dataset

_LABELLED = (0, 1)  # train and validation
Domain = Literal["target", "source"]
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


def brighter(mag: np.ndarray, cut: float | None) -> np.ndarray:
    """Return which rows are not fainter than the cut; rows without a magnitude are left out.

    Without a cut (None, or inf) every row stays, also those without a magnitude.

    Parameters
    ----------
    mag : array, shape (n,)
        Magnitudes.
    cut : float or None
        Faintest magnitude.

    Returns
    -------
    array of bool, shape (n,)
        True for rows that stay.

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

    Parameters
    ----------
    dataset : Dataset
        With labels.
    split : str
        Name of the split.
    domain : {"target", "source"}
        The sky or the mocks.

    Returns
    -------
    Catalogue
        Rows with a class.

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
    """Return redshifts of the rows whose spectral type the z cut parts (quasars), NaN for others.

    Parameters
    ----------
    rows : Catalogue
        n rows of the data set.
    dataset : Dataset
        Gives the classes.

    Returns
    -------
    array of float64, shape (n,)
        Redshifts.
    """
    parted = [dataset.scheme.code(c) for of in dataset.scheme.spectypes.values() if len(of) == 2 for c in of]
    return np.where(np.isin(rows.label, parted), rows.z, np.nan)


def label_order(dataset: Dataset, seed: int) -> np.ndarray:
    """Return the objects with train or validation labels in an order whose every beginning is stratified.

    Within each split and class the objects are shuffled and spread evenly over the order, so the first
    n of them have the splits' and classes' natural shares, and contain the first m < n.

    Parameters
    ----------
    dataset : Dataset
        With labelled target rows.
    seed : int
        Seed of the shuffle: another draw.

    Returns
    -------
    array of int64
        Object ids.
    """
    rows = np.flatnonzero(np.isin(dataset.target_split, _LABELLED) & (dataset.target.label >= 0))
    ids, first = np.unique(dataset.target.object_id[rows], return_index=True)
    stratum = dataset.target_split[rows][first].astype(np.int64) * 128 + dataset.target.label[rows][first]
    rng = np.random.default_rng(np.random.SeedSequence([seed, 71]))
    place = np.empty(len(ids))
    for value in np.unique(stratum):
        members = rng.permutation(np.flatnonzero(stratum == value))
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return ids[np.argsort(place, kind="stable")]


def thin_labels(dataset: Dataset, keep: np.ndarray) -> Dataset:
    """Return the data set as if only some train and validation objects had been labelled.

    The others join the unlabelled rows: photometry stays, label and redshift go, and so do their
    twins among the mocks, which know both. Test rows stay as they are.

    Parameters
    ----------
    dataset : Dataset
        With labelled target rows.
    keep : array of int64
        Ids of the objects that keep their labels.

    Returns
    -------
    Dataset
        With fewer labels.
    """
    target = dataset.target
    lost = np.isin(dataset.target_split, _LABELLED) & ~np.isin(target.object_id, keep)
    thinned = target.replace(
        label=np.where(lost, np.int8(UNLABELLED), target.label), z=np.where(lost, np.nan, target.z)
    )
    twins = dataset.twins
    return replace(
        dataset,
        target=thinned,
        target_split=np.where(lost, np.int8(-1), dataset.target_split),
        twins=twins.take(~np.isin(twins.object_id, target.object_id[lost])),
    )


def uses_labels(regime: str) -> bool:
    """Return whether a regime trains or calibrates with target labels.

    Parameters
    ----------
    regime : str
        Its name.

    Returns
    -------
    bool
        Whether its models change with the labels.
    """
    known = get_regime(regime)
    return known.target_labels or known.calibration == "target"
