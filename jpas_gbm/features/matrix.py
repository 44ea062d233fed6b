"""FeatureMatrix: what the trees are given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """Features of n rows.

    Parameters
    ----------
    X : array of float32, shape (n, f)
        C-contiguous; NaN where missing, never infinite.
    names : tuple of str
        Names of the f features.
    recipe_hash : str
        Of the recipe that made them (:attr:`FeatureRecipe.hash`).
    """

    X: np.ndarray
    names: tuple[str, ...]
    recipe_hash: str

    def __len__(self) -> int:
        return len(self.X)
