"""The shift measured on twins: labelled objects that the mocks hold too."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from ..surveys.catalogue import Catalogue
from .shift import DomainShift

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
    modes = np.stack([excess_modes(residual[kind == c], error[kind == c], most_modes) for c in range(len(offsets))])
    rate, outliers = outlying(residual, error)
    named = "TILE_ID" in sky.key
    return DomainShift(
        bands=sky.bands.names,
        tiles=tiles if named else np.empty(0, np.int64),
        zero_points=local if named else np.empty((0, flux.shape[1])),
        common=np.median(local, axis=0),
        offsets=offsets[family],
        modes=modes[family],
        scatter=float(_FLOOR / np.sqrt(max(len(rows) / len(local), 1.0))),
        pulls=pull_quantiles(flux, err, expected * offsets[kind] * local[place]),
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


def standard_pulls() -> np.ndarray:
    """Return quantiles of normal noise, float64 (q,).

    Returns
    -------
    array of float64, shape (q,)
    """
    return np.asarray(norm.ppf((np.arange(_QUANTILES) + 0.5) / _QUANTILES))


def pull_quantiles(flux: np.ndarray, err: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return quantiles of (flux - twin) / error of fluxes so faint that only noise counts.

    Parameters
    ----------
    flux, err, expected : array, shape (n, b)
        Observed fluxes, NaN where missing, their errors, and the twins' fluxes.

    Returns
    -------
    array of float64, shape (q,)
        Symmetric; normal where there are too few such fluxes.
    """
    with np.errstate(invalid="ignore"):
        faint = np.isfinite(flux) & (expected > 0) & (err > 0.5 * expected)
    if faint.sum() < FEWEST_TWINS:
        return standard_pulls()
    pull = np.clip((flux[faint] - expected[faint]) / err[faint], -_WIDEST_PULL, _WIDEST_PULL)
    # The noise is made symmetric: what shifts the middle is an error of the level, not of the band.
    return np.quantile(np.concatenate([pull, -pull]), (np.arange(_QUANTILES) + 0.5) / _QUANTILES)


def outlying(residual: np.ndarray, error: np.ndarray) -> tuple[float, np.ndarray]:
    """Return how often, and by what ratios, one well-measured band is off while its neighbours are not.

    Parameters
    ----------
    residual, error : array, shape (n, b)
        Flux over what is expected, less 1, and its error; NaN where not known.

    Returns
    -------
    rate : float
        Share of the well-measured fluxes.
    ratios : array of float64, shape (o,)
        A sample of flux over what is expected of these.
    """
    well = np.isfinite(residual) & (error < 0.05)
    if well.sum() < 100 * FEWEST_TWINS:
        return 0.0, np.empty(0)
    some = well.any(axis=1)
    residual, well = residual[some], well[some]
    middle = np.nanmedian(np.where(well, residual, np.nan), axis=1, keepdims=True)
    off = well & (np.abs(residual - middle) > 0.5)
    ratios = residual[off] + 1
    return float(off.sum() / well.sum()), np.quantile(ratios, np.linspace(0, 1, 64)) if len(ratios) else np.empty(0)


def excess_modes(
    residual: np.ndarray, error: np.ndarray, most: int, beside: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Return the leading eigenvectors, times their σ, of a noise-corrected covariance.

    Parameters
    ----------
    residual, error : array, shape (n, b)
        Flux over what is expected, less 1, and its error; NaN where not known.
    most : int
        Modes wanted.
    beside : pair of arrays, shape (m, b), optional
        Residuals and errors of rows without the shift: what these show is taken away.

    Returns
    -------
    array of float64, shape (most, b)
        Zero where there are fewer.
    """
    b = residual.shape[1]
    modes = np.zeros((most, b))
    covariance = _covariance(residual, error)
    if covariance is None:
        return modes
    if beside is not None:
        other = _covariance(*beside)
        covariance = covariance - other if other is not None else covariance
    values, vectors = np.linalg.eigh(covariance)
    total = np.clip(values, 0, None).sum()
    # Of pure scatter the largest eigenvalue stands out by chance as much as the smallest falls short.
    chance = max(-values[0], _MODE_SHARE * total)
    for i, j in enumerate(np.argsort(-values)[:most]):
        if values[j] > chance:
            modes[i] = vectors[:, j] * np.sqrt(values[j])
    return modes


def _covariance(residual: np.ndarray, error: np.ndarray) -> np.ndarray | None:
    """Return the noise-corrected covariance (b, b) of residuals; None where there are too few."""
    b = residual.shape[1]
    good = np.isfinite(residual) & (np.abs(residual) < 0.6)
    if good.sum() < 20 * b:
        return None
    weight = np.where(good, 1.0 / (np.where(good, error, 1.0) ** 2 + 0.1**2), 0.0)
    r = np.where(good, residual, 0.0)
    pairs = weight.T @ weight
    covariance = (weight * r).T @ (weight * r) / np.maximum(pairs, 1e-300)
    noise = (weight**2 * np.where(good, error, 0.0) ** 2).sum(axis=0) / np.maximum(np.diag(pairs), 1e-300)
    covariance[np.diag_indices(b)] -= noise
    return covariance
