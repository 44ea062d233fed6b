"""BinnedMatrix: features binned once, to train on again and again."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FitError
from .matrix import stand_ins
from .staged import StagedBooster

if TYPE_CHECKING:
    from .growth import TreeBackend


@dataclass(frozen=True, eq=False)
class BinnedMatrix:
    """Features binned once by one library.

    Parameters
    ----------
    backend : TreeBackend
        Whose bins these are.
    X : array of float32, shape (n, f)
        The features; referred to, not copied.
    feature_names : tuple of str
    max_bin : int
        Most bins of a feature.
    fill : array of float32, shape (f,)
        Medians of features that are never missing here, NaN elsewhere.
    handle : object
        The library's own data set.
    cuts : object
        The same object for all that share bins: validation rows must share those of training.
    """

    backend: TreeBackend = field(repr=False)
    X: np.ndarray = field(repr=False)
    feature_names: tuple[str, ...] = field(repr=False)
    max_bin: int
    fill: np.ndarray = field(repr=False)
    handle: Any = field(repr=False)
    cuts: object = field(default_factory=object, repr=False)
    _margins: weakref.WeakKeyDictionary[StagedBooster, np.ndarray] = field(
        default_factory=weakref.WeakKeyDictionary, repr=False
    )

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: np.ndarray, threads: int = 1) -> BinnedMatrix:
        """Return the rows given by a mask or by increasing indices, in the same bins."""
        rows = np.asarray(rows)
        chosen = np.flatnonzero(rows) if rows.dtype == bool else np.sort(rows)
        if rows.dtype != bool and not np.array_equal(chosen, rows):
            raise FitError(
                "rows of binned features are taken in increasing order: sort the indices (and labels) first."
            )
        X = self.X[chosen]
        handle = self.backend.subset(self, X, chosen, threads)
        return BinnedMatrix(self.backend, X, self.feature_names, self.max_bin, stand_ins(X), handle, self.cuts)

    def margins(self, booster: StagedBooster, threads: int) -> np.ndarray:
        """Return the margins of a booster on these rows, kept as long as the booster lives."""
        if booster not in self._margins:
            self._margins[booster] = booster.margins(self.X, threads=threads)
        return self._margins[booster]
