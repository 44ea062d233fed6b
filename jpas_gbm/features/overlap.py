"""Overlap: whether a row looks like anything that trained, told by its features alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .bases import Stored

COMPONENTS = 120
RARE = 0.0025
"""Share of judged rows beyond each of the two limits."""

MARGIN = 1e-6
"""By how much a distance must exceed its limit. The limit is the distance of a row itself, and the last
bits of a matrix product depend on how many rows are multiplied at once."""

_CLIP = 4.0
_MOST = 20_000


@dataclass(frozen=True, eq=False, repr=False)
class Overlap(Stored):
    """Distance of a row to the training rows, and the limits beyond which it is unlike them.

    Features are centred and scaled robustly (missing values stand at the centre) and projected on
    the leading principal components of the training rows. A row is far if it is far from every class
    there (Mahalanobis, class means and covariances; Lee et al. 2018), or if too much of it lies
    outside that space (the Q statistic; Jackson and Mudholkar 1979).

    Parameters
    ----------
    centre, scale : array of float64, shape (f,)
        Robust middle and spread of each feature.
    components : array of float64, shape (d, f)
        Orthonormal rows.
    means : array of float64, shape (c, d)
        Of the classes that trained.
    whiteners : array of float64, shape (c, d, d)
        Inverse square roots of their covariances.
    limits : array of float64, shape (2,)
        Of both distances: what 99.75 % of validation rows keep to.
    """

    centre: np.ndarray
    scale: np.ndarray
    components: np.ndarray
    means: np.ndarray
    whiteners: np.ndarray
    limits: np.ndarray

    stored_as: ClassVar[str] = "overlap"

    def distances(self, X: np.ndarray) -> np.ndarray:
        """Return mean squared distance to the nearest class, and mean square left out, float64 (n, 2).

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.

        Returns
        -------
        array of float64, shape (n, 2)
            In units of the scale, squared.
        """
        z = _scaled(X, self.centre, self.scale)
        inside = z @ self.components.T
        near = np.full(len(z), np.inf)
        for mean, whitener in zip(self.means, self.whiteners, strict=True):
            near = np.minimum(near, np.square((inside - mean) @ whitener).mean(axis=1))
        outside = np.maximum(np.square(z).sum(axis=1) - np.square(inside).sum(axis=1), 0) / z.shape[1]
        return np.stack([near, outside], axis=1)

    def low(self, X: np.ndarray) -> np.ndarray:
        """Return which rows are unlike the training rows, bool (n,); the same however they are cut into chunks.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.

        Returns
        -------
        array of bool, shape (n,)
        """
        limits = self.limits * (1 + MARGIN) + MARGIN
        far = np.zeros(len(X), dtype=bool)
        for start in range(0, len(X), _MOST):
            rows = slice(start, start + _MOST)
            far[rows] = np.any(self.distances(X[rows]) > limits, axis=1)
        return far


def _scaled(X: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    z = (X.astype(np.float64) - centre) / scale
    return np.clip(np.nan_to_num(z, nan=0.0, posinf=_CLIP, neginf=-_CLIP), -_CLIP, _CLIP)


def learn_overlap(
    X: np.ndarray, y: np.ndarray, judged: np.ndarray, *, components: int = COMPONENTS, seed: int = 0
) -> Overlap | None:
    """Learn what training rows look like.

    Parameters
    ----------
    X : array of float32, shape (n, f)
        Features of the rows that trained.
    y : array of int, shape (n,)
        Their classes.
    judged : array of float32, shape (m, f)
        Features of rows that did not train, which set the limits: of the sky, if there are any.
    components : int
        Most principal components.
    seed : int
        Of the sample of at most 20,000 rows of each.

    Returns
    -------
    Overlap or None
        None where there are too few rows to say.
    """
    rng = np.random.default_rng(seed)
    X, y = _sample(rng, X, y)
    judged = _sample(rng, judged)[0]
    components = min(components, X.shape[1], len(X) // 10)
    if components < 2 or len(judged) < 100:
        return None
    known = np.isfinite(X).any(axis=0)
    centre, low, high = np.zeros(X.shape[1]), np.zeros(X.shape[1]), np.zeros(X.shape[1])
    centre[known], low[known], high[known] = np.nanquantile(X[:, known], [0.5, 0.1, 0.9], axis=0)
    scale = np.where(high > low, (high - low) / 2.563, 1.0)
    z = _scaled(X, centre, scale)
    covariance = np.cov(z, rowvar=False)
    vectors = np.linalg.eigh(covariance)[1][:, ::-1][:, :components].T
    inside = z @ vectors.T
    pooled = np.cov(inside, rowvar=False)
    means, whiteners = [], []
    for c in np.unique(y):
        own = inside[y == c]
        # A class of few rows has the covariance of all.
        trust = len(own) / (len(own) + 10.0 * components)
        spread = trust * np.cov(own, rowvar=False) + (1 - trust) * pooled if len(own) > 1 else pooled
        values, axes = np.linalg.eigh(spread)
        means.append(own.mean(axis=0))
        whiteners.append(axes / np.sqrt(np.maximum(values, 1e-6)))
    made = Overlap(centre, scale, vectors, np.stack(means), np.stack(whiteners), np.full(2, np.inf))
    limits = np.quantile(made.distances(judged), 1 - RARE, axis=0)
    return Overlap(centre, scale, vectors, made.means, made.whiteners, limits)


def _sample(rng: np.random.Generator, *arrays: np.ndarray) -> list[np.ndarray]:
    n = len(arrays[0])
    rows = np.sort(rng.choice(n, _MOST, replace=False)) if n > _MOST else slice(None)
    return [array[rows] for array in arrays]
