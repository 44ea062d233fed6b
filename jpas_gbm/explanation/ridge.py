"""The ridge: the strongest stretch of the spectrum moves redward with z as Lyα does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..scores.bootstrap import LEVEL, resample_rows
from ..surveys.bands import BandSystem
from .blocks import Block, spectral_feature, spectrum_columns, strongest

_STEP = 0.1
_FEWEST = 3
_FEWEST_ROWS = 10
_FEWEST_PEAKS = 5
_ON_LINE = 0.03


@dataclass(frozen=True, eq=False)
class RidgeMap:
    """Mean attribution of each band in bins of redshift.

    Parameters
    ----------
    edges : array, shape (r + 1,)
        Of redshift.
    mean : array, shape (r, b)
        NaN in bins with fewer than three rows.
    count : array of int, shape (r,)
    """

    edges: np.ndarray
    mean: np.ndarray
    count: np.ndarray


def _edges(z: np.ndarray) -> np.ndarray:
    return _STEP * np.arange(max(int(np.floor(z.max() / _STEP)) + 1, 1) + 1)


def _bin_of(z: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(edges, z, side="right") - 1, 0, len(edges) - 2)


def ridge_map(values: np.ndarray, z: np.ndarray) -> RidgeMap:
    """Return mean attributions (n, b) in bins of redshift."""
    edges = _edges(z)
    place = _bin_of(z, edges)
    count = np.bincount(place, minlength=len(edges) - 1)
    total = np.zeros((len(edges) - 1, values.shape[1]))
    np.add.at(total, place, values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count[:, None] >= _FEWEST, total / count[:, None], np.nan)
    return RidgeMap(edges, mean, count)


def top_wavelengths(
    values: np.ndarray, sums: np.ndarray, blocks: Sequence[Block], bands: BandSystem
) -> tuple[np.ndarray, np.ndarray]:
    """Return where each row's attribution is strongest, in Å.

    Parameters
    ----------
    values : array, shape (n, b)
        Pair attribution of bands.
    sums : array, shape (n, blocks)
        Of the blocks along the spectrum.
    blocks : sequence of Block
    bands : BandSystem

    Returns
    -------
    by_block, by_band : array, shape (n,)
        Centre of the strongest positive block, and within it of the strongest band; NaN where none is positive.
    """
    top = strongest(sums)
    centres = np.array([block.centre for block in blocks])
    by_block = np.where(top >= 0, centres[top], np.nan)
    columns = spectrum_columns(bands)
    pivots = bands.pivots[columns]
    inside = np.stack([block.holds(pivots) for block in blocks])[top]
    best = np.where(inside, values[:, columns], -np.inf).argmax(axis=1)
    return by_block, np.where(top >= 0, pivots[best], np.nan)


def ridge_peaks(values: np.ndarray, z: np.ndarray, pivots: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return redshift, wavelength and rows of the band of largest mean attribution in each bin of redshift.

    Parameters
    ----------
    values : array, shape (n, b)
    z : array, shape (n,)
    pivots : array, shape (b,)
        Å.
    """
    ridge = ridge_map(values, z)
    full = np.flatnonzero(ridge.count >= _FEWEST)
    centres = np.bincount(_bin_of(z, ridge.edges), weights=z, minlength=len(ridge.count))[full] / ridge.count[full]
    return centres, pivots[ridge.mean[full].argmax(axis=1)], ridge.count[full]


def ridge_slope(z: np.ndarray, wavelength: np.ndarray) -> float:
    """Return d ln λ / d ln(1 + z) of peaks, by Theil and Sen: 1 for a line, 0 for a band; NaN below five peaks."""
    from scipy.stats import theilslopes

    return float(theilslopes(np.log(wavelength), np.log1p(z))[0]) if len(z) >= _FEWEST_PEAKS else np.nan


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation; 0 where either does not vary."""
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]) if np.ptp(a) and np.ptp(b) else 0.0


def ridge_summary(
    values: np.ndarray,
    by_block: np.ndarray,
    z: np.ndarray,
    groups: np.ndarray,
    bands: BandSystem,
    resamples: int,
    seed: int,
) -> dict[str, Any] | None:
    """Return how the strongest wavelength moves with redshift.

    Parameters
    ----------
    values : array, shape (n, b)
        Pair attribution of the bands.
    by_block : array, shape (n,)
        Centre of each row's strongest block (:func:`top_wavelengths`), NaN where it has none.
    z : array, shape (n,)
    groups : array of int, shape (n,)
        Objects, for the intervals.
    bands : BandSystem
    resamples, seed : int

    Returns
    -------
    dict or None
        None with fewer than ten rows. ``n``; ``rank_correlation`` of the strongest block's wavelength with z, and its
        ``interval``; ``slope``: d ln λ / d ln(1 + z) of the peaks of the mean attribution in bins of redshift (1 for a
        line), and ``slope_interval``; ``on_lya``: share of rows in bins whose peak is a band that holds Lyα or
        lies within 3 % of it; ``bins``: ``z``, ``n``, ``peak``, ``lya`` (Å) and the quartiles ``low``, ``block``,
        ``high`` of strongest blocks.
    """
    there = np.isfinite(by_block)
    if len(z) < _FEWEST_ROWS or there.sum() < _FEWEST_ROWS:
        return None
    columns = spectrum_columns(bands)
    values, pivots = values[:, columns], bands.pivots[columns]
    centres, peaks, count = ridge_peaks(values, z, pivots)
    if not len(centres):
        return None
    rng = np.random.default_rng(np.random.SeedSequence([seed, 47]))
    draws = np.full((resamples, 2), np.nan)
    for i, rows in enumerate(resample_rows(groups, resamples, rng)):
        seen = rows[there[rows]]
        draws[i] = (
            rank_correlation(by_block[seen], z[seen]),
            ridge_slope(*ridge_peaks(values[rows], z[rows], pivots)[:2]),
        )
    lya = spectral_feature("Lya").observed(centres)
    reach = np.maximum(_ON_LINE, bands.widths[columns] / pivots / 2)[np.searchsorted(pivots, peaks)]
    on_line = np.abs(np.log(peaks / lya)) < reach
    return {
        "n": len(z),
        "rank_correlation": rank_correlation(by_block[there], z[there]),
        "interval": _interval(draws[:, 0]),
        "slope": ridge_slope(centres, peaks),
        "slope_interval": _interval(draws[:, 1]),
        "on_lya": float(count[on_line].sum() / count.sum()),
        "bins": _ridge_bins(by_block, z, centres, peaks, lya),
    }


def _interval(draws: np.ndarray) -> list[float] | None:
    draws = draws[np.isfinite(draws)]
    if len(draws) < 2:
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return [float(low), float(high)]


def _ridge_bins(
    by_block: np.ndarray, z: np.ndarray, centres: np.ndarray, peaks: np.ndarray, lya: np.ndarray
) -> list[dict[str, float | int | None]]:
    place = _bin_of(z, _edges(z))
    numbers = [number for number in np.unique(place) if (place == number).sum() >= _FEWEST]
    bins: list[dict[str, float | int | None]] = []
    for number, centre, peak, line in zip(numbers, centres, peaks, lya, strict=True):
        own = by_block[place == number]
        quartiles = np.nanquantile(own, [0.25, 0.5, 0.75]) if np.isfinite(own).any() else [None, None, None]
        low, block, high = quartiles
        bins.append(
            {
                "z": float(centre),
                "n": len(own),
                "peak": float(peak),
                "lya": float(line),
                "low": low,
                "block": block,
                "high": high,
            }
        )
    return bins
