"""Folds that keep an object whole and every class in each."""

from __future__ import annotations

import numpy as np

from ..errors import FitError


def stratified_folds(labels: np.ndarray, folds: int, *, seed: int = 0, groups: np.ndarray | None = None) -> np.ndarray:
    """Deal rows to folds: rows of one object together, each class as evenly as its objects allow.

    Parameters
    ----------
    labels : array of int, shape (n,)
        Codes >= 0. An object's class is that of its first row.
    folds : int
        Number of folds; fewer if there are fewer objects.
    seed : int
        Seed of the deal.
    groups : array, shape (n,), optional
        Names the object of each row; default each row its own.

    Returns
    -------
    array of int, shape (n,)
        Fold numbers, counted from 0.

    Raises
    ------
    FitError
        If there are not two objects.
    """
    labels = np.asarray(labels)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    if len(first) < 2 or folds < 2:
        raise FitError(f"{len(first)} object(s) cannot be dealt to {folds} folds; at least 2 of each are needed.")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(first))
    order = shuffled[np.argsort(labels[first][shuffled], kind="stable")]
    # Dealing goes on from class to class, so that folds stay even when classes are tiny.
    fold = np.empty(len(first), dtype=np.intp)
    fold[order] = np.arange(len(first)) % min(folds, len(first))
    return fold[member.ravel()]
