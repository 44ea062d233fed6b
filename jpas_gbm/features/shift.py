"""The shift between mocks and sky, measured on objects that both have seen; how unlike the mocks a row is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from scipy.stats import norm

from ..surveys.catalogue import Catalogue
from .bases import Stored

FEWEST_TWINS = 100
"""Fewer twins measure nothing that is worth correcting."""

_FLOOR = 0.05
"""Scatter of flux ratios beyond their errors that weights allow for."""
_TILE_SHRINKAGE = 1.5
_CLASS_SHRINKAGE = 10.0
_MODE_SHARE = 0.02
"""A mode must hold this share of a class's residual variance."""
_CLIP = 3.0
_QUANTILES = 501
_WIDEST_PULL = 6.0


@dataclass(frozen=True, eq=False, repr=False)
class DomainShift(Stored):
    """What turns noise-free mock fluxes into the sky's, up to the row's own level.

    Parameters
    ----------
    bands : tuple of str
        Names of the b bands.
    tiles : array of int64, shape (t,)
        Tiles with zero points of their own, ascending; empty where the survey names none.
    zero_points : array of float64, shape (t, b)
        Sky over mock flux of the anchor class in each tile.
    common : array of float64, shape (b,)
        The same for tiles not listed.
    offsets : array of float64, shape (k, b)
        Ratio of each class to the anchor class: apertures that lose light of extended sources, say.
    modes : array of float64, shape (k, m, b)
        Relative variations (1 σ) that the objects of a class show together in several bands: variability
        between trays, colour gradients within apertures. Zero where there are fewer than m.
    scatter : float
        1 σ of the zero points' own error, relative.
    pulls : array of float64, shape (q,)
        Quantiles of the noise in units of the stated error, from faint fluxes of twins: its width says
        how far errors are understated, its tails how far from normal they are.
    outlier_rate : float
        Share of well-measured fluxes far off their twin in that band alone.
    outliers : array of float64, shape (o,)
        Ratios of such fluxes to what the twin promises, a sample.
    """

    bands: tuple[str, ...]
    tiles: np.ndarray
    zero_points: np.ndarray
    common: np.ndarray
    offsets: np.ndarray
    modes: np.ndarray
    scatter: float
    pulls: np.ndarray
    outlier_rate: float
    outliers: np.ndarray

    stored_as: ClassVar[str] = "shift"

    @property
    def error_factor(self) -> float:
        """Root mean square of the pulls: true over stated errors."""
        return float(np.sqrt(np.mean(self.pulls**2)))

    def factors(self, tile: np.ndarray | None, n: int) -> np.ndarray:
        """Return sky over mock flux of the anchor class for n rows of given tiles, float64 (n, b).

        Parameters
        ----------
        tile : array of int, shape (n,), optional
            Tile of each row.
        n : int
            Number of rows.

        Returns
        -------
        array of float64, shape (n, b)
        """
        if tile is None or not len(self.tiles):
            return np.broadcast_to(self.common, (n, len(self.common)))
        place = np.minimum(np.searchsorted(self.tiles, tile), len(self.tiles) - 1)
        known = self.tiles[place] == tile
        return np.where(known[:, None], self.zero_points[place], self.common)

    def correct(self, catalogue: Catalogue) -> Catalogue:
        """Return sky photometry in the mocks' calibration, with errors as wide as the noise.

        Zero points are divided out, by tile where it is known; errors are scaled by :attr:`error_factor`.

        Parameters
        ----------
        catalogue : Catalogue
            Rows of the sky in the b bands.

        Returns
        -------
        Catalogue
        """
        factors = self.factors(catalogue.key.get("TILE_ID"), len(catalogue))
        return catalogue.replace(
            flux=(catalogue.flux / factors).astype(np.float32),
            flux_err=(catalogue.flux_err * (self.error_factor / factors)).astype(np.float32),
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, for a file; scatter and outlier rate stand in one of them.

        Returns
        -------
        dict of str to array
        """
        arrays = super().to_arrays()
        return arrays | {"numbers": np.array([arrays.pop("scatter"), arrays.pop("outlier_rate")])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from :meth:`to_arrays`.

        Parameters
        ----------
        arrays : mapping of str to array
            What was written.

        Returns
        -------
        DomainShift

        Raises
        ------
        BundleError
            If an array is missing or does not fit its field.
        """
        numbers = zip(("scatter", "outlier_rate"), arrays.get("numbers", ()), strict=False)
        return super().from_arrays({**arrays, **dict(numbers)})

    def to_dict(self) -> dict[str, object]:
        """Return a summary for the model card.

        Returns
        -------
        dict
        """
        return {
            "tiles": len(self.tiles),
            "zero_point_scatter": float(np.std(self.zero_points)) if len(self.tiles) else None,
            "largest_common_zero_point": float(np.max(np.abs(self.common - 1))),
            "largest_class_offset": float(np.max(np.abs(self.offsets - 1))),
            "mode_strength": np.sqrt(np.square(self.modes).sum(axis=1).mean(axis=1)),
            "zero_point_error": self.scatter,
            "error_factor": self.error_factor,
            "outlier_rate": self.outlier_rate,
        }


def learn_shift(sky: Catalogue, twin_flux: np.ndarray, families: np.ndarray, most_modes: int = 6) -> DomainShift | None:
    """Measure the shift on labelled objects that the mocks hold too.

    The ratio of sky to noise-free mock flux of one object knows nothing of populations: what is common
    to a tile is calibration, what is common to a class is aperture, what varies together within a
    class is variability. Three rounds of clipped weighted means part them, each shrunk by its counts.

    Parameters
    ----------
    sky : Catalogue
        Labelled target rows of the train split.
    twin_flux : array, shape (n, b)
        Noise-free mock flux of the same object in the same bands; NaN rows where there is none.
    families : array of int, shape (k,)
        A number for each class; classes of one number (both of quasars, say) share offsets and modes.
    most_modes : int
        Most modes kept of a class.

    Returns
    -------
    DomainShift or None
        None where fewer than :data:`FEWEST_TWINS` rows have a twin.
    """
    twin = np.asarray(twin_flux, dtype=np.float64)
    rows = np.flatnonzero((np.isfinite(twin) & (twin > 0)).any(axis=1) & (sky.label >= 0))
    if len(rows) < FEWEST_TWINS or not sky.has_errors:
        return None
    sky, twin = sky.take(rows), twin[rows]
    family = np.asarray(families, dtype=np.intp)
    kind = family[sky.label]
    tile = sky.key.get("TILE_ID", np.zeros(len(sky), dtype=np.int64))
    tiles, place = np.unique(tile, return_inverse=True)
    flux, err = sky.flux.astype(np.float64), sky.flux_err.astype(np.float64)
    usable = np.isfinite(flux) & (twin > 0)
    offsets, local = np.ones((family.max() + 1, flux.shape[1])), np.ones((len(tiles), flux.shape[1]))
    for _ in range(3):
        expected, ratio, error = _relative(flux, err, twin, twin * offsets[kind] * local[place], usable)
        _group_means(ratio / local[place], error, kind, _CLASS_SHRINKAGE, offsets)
        _group_means(ratio / offsets[kind], error, place, _TILE_SHRINKAGE, local)
    residual = ratio / (offsets[kind] * local[place]) - 1
    anchor = _anchor(residual, error, kind)
    local, offsets = local * offsets[anchor], offsets / offsets[anchor]
    modes = np.stack([_modes(residual[kind == c], error[kind == c], most_modes) for c in range(len(offsets))])
    rate, outliers = _outliers(residual, error)
    named = "TILE_ID" in sky.key
    return DomainShift(
        bands=sky.bands.names,
        tiles=tiles if named else np.empty(0, np.int64),
        zero_points=local if named else np.empty((0, flux.shape[1])),
        common=np.median(local, axis=0),
        offsets=offsets[family],
        modes=modes[family],
        scatter=float(_FLOOR / np.sqrt(max(len(rows) / len(local), 1.0))),
        pulls=_pulls(flux, err, expected * offsets[kind] * local[place]),
        outlier_rate=rate,
        outliers=outliers,
    )


def _relative(
    flux: np.ndarray, err: np.ndarray, twin: np.ndarray, model: np.ndarray, usable: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the levelled twin, flux over it and the ratio's error; NaN where that error is above 15 %."""
    f = np.where(usable, flux, 0.0)
    weight = np.where(usable, 1.0 / (np.where(usable, err, 1.0) ** 2 + (0.03 * model) ** 2), 0.0)
    level = (weight * f * model).sum(axis=1) / np.maximum((weight * model**2).sum(axis=1), 1e-300)
    expected = np.where(usable & (level > 0)[:, None], np.maximum(level, 0)[:, None] * twin, np.nan)
    error = err / expected
    good = error < 0.15
    return expected, np.where(good, flux / expected, np.nan), np.where(good, error, np.nan)


def _group_means(ratio: np.ndarray, error: np.ndarray, group: np.ndarray, shrinkage: float, means: np.ndarray) -> None:
    """Fill the rows of `means` (g, b) of the groups that rows (n, b) have with :func:`_group_mean`."""
    for g in np.unique(group):
        mine = group == g
        means[g] = _group_mean(ratio[mine], error[mine], shrinkage)


def _group_mean(ratio: np.ndarray, error: np.ndarray, shrinkage: float) -> np.ndarray:
    """Return a clipped weighted mean over rows, shrunk towards 1, shape (b,)."""
    good = np.isfinite(ratio)
    centre = np.ones(ratio.shape[1])
    filled, wide = np.where(good, ratio, 1.0), np.where(good, error, 1.0)
    for _ in range(2):
        kept = good & (np.abs(filled - centre) < _CLIP * np.sqrt(wide**2 + _FLOOR**2 + 0.05**2))
        weight = np.where(kept, 1.0 / (wide**2 + _FLOOR**2), 0.0)
        total = weight.sum(axis=0)
        centre = np.where(total > 0, (weight * filled).sum(axis=0) / np.maximum(total, 1e-300), 1.0)
    count = total * _FLOOR**2
    return 1 + (centre - 1) * count / (count + shrinkage)


def _anchor(residual: np.ndarray, error: np.ndarray, kind: np.ndarray) -> int:
    """Return the family whose well-measured ratios scatter least beyond their errors: it carries calibration."""
    spread = {}
    for c in np.unique(kind):
        well = (kind == c)[:, None] & (error < 0.05)
        if well.sum() >= FEWEST_TWINS:
            spread[int(c)] = (1.4826 * np.median(np.abs(residual[well]))) ** 2 - np.median(error[well]) ** 2
    return min(spread, key=lambda c: spread[c]) if spread else int(np.bincount(kind).argmax())


def _pulls(flux: np.ndarray, err: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return quantiles of (flux - twin) / error of fluxes so faint that only noise counts."""
    with np.errstate(invalid="ignore"):
        faint = np.isfinite(flux) & (expected > 0) & (err > 0.5 * expected)
    if faint.sum() < FEWEST_TWINS:
        return norm.ppf((np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    pull = np.clip((flux[faint] - expected[faint]) / err[faint], -_WIDEST_PULL, _WIDEST_PULL)
    # The noise is made symmetric: what shifts the middle is an error of the level, not of the band.
    return np.quantile(np.concatenate([pull, -pull]), (np.arange(_QUANTILES) + 0.5) / _QUANTILES)


def _outliers(residual: np.ndarray, error: np.ndarray) -> tuple[float, np.ndarray]:
    """Return how often, and by what ratios, one well-measured band is off while its neighbours are not."""
    well = np.isfinite(residual) & (error < 0.05)
    if well.sum() < 100 * FEWEST_TWINS:
        return 0.0, np.empty(0)
    some = well.any(axis=1)
    residual, well = residual[some], well[some]
    middle = np.nanmedian(np.where(well, residual, np.nan), axis=1, keepdims=True)
    off = well & (np.abs(residual - middle) > 0.5)
    ratios = residual[off] + 1
    return float(off.sum() / well.sum()), np.quantile(ratios, np.linspace(0, 1, 64)) if len(ratios) else np.empty(0)


def _modes(residual: np.ndarray, error: np.ndarray, most: int) -> np.ndarray:
    """Return the leading eigenvectors, times their σ, of a noise-corrected covariance, shape (most, b)."""
    b = residual.shape[1]
    modes = np.zeros((most, b))
    good = np.isfinite(residual) & (np.abs(residual) < 0.6)
    if good.sum() < 20 * b:
        return modes
    weight = np.where(good, 1.0 / (np.where(good, error, 1.0) ** 2 + 0.1**2), 0.0)
    r = np.where(good, residual, 0.0)
    pairs = weight.T @ weight
    covariance = (weight * r).T @ (weight * r) / np.maximum(pairs, 1e-300)
    noise = (weight**2 * np.where(good, error, 0.0) ** 2).sum(axis=0) / np.maximum(np.diag(pairs), 1e-300)
    covariance[np.diag_indices(b)] -= noise
    values, vectors = np.linalg.eigh(covariance)
    total = np.clip(values, 0, None).sum()
    # Of pure scatter the largest eigenvalue stands out by chance as much as the smallest falls short.
    chance = max(-values[0], _MODE_SHARE * total)
    for i, j in enumerate(np.argsort(-values)[:most]):
        if values[j] > chance:
            modes[i] = vectors[:, j] * np.sqrt(values[j])
    return modes


COMPONENTS = 120


RARE = 0.0025
"""Share of judged rows beyond each of the two limits."""


MARGIN = 1e-6
"""By how much a distance must exceed its limit. The limit is the distance of a row itself, and the last
bits of a matrix product depend on how many rows are multiplied at once."""


_WIDEST = 4.0


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
    return np.clip(np.nan_to_num(z, nan=0.0, posinf=_WIDEST, neginf=-_WIDEST), -_WIDEST, _WIDEST)


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
