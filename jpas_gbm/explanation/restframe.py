"""Rest frame: what bands say against the wavelength at which the quasar sent the light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..survey.bands import BandSystem
from .class_means import Means, masked_means
from .lines import FEATURES

NEAR = 0.02
"""Bands within this of a line, in ln wavelength, are on it: about one narrow band to either side. A broad band
is on every line that it holds."""

_LOW, _HIGH, _STEP = 700.0, 12_000.0, 0.02
_FEWEST = 5


def rest_edges() -> np.ndarray:
    """Return edges in Å of bins of equal width in ln wavelength, about one narrow band each."""
    number = int(np.ceil(np.log(_HIGH / _LOW) / _STEP))
    return _LOW * np.exp(_STEP * np.arange(number + 1))


def spectrum_columns(bands: BandSystem) -> np.ndarray:
    """Return the columns of the bands that resolve a spectrum, by rising wavelength: the narrow ones, or all."""
    return bands.indices(bands.narrow if len(bands.narrow) >= 8 else bands.by_wavelength)


@dataclass(frozen=True, eq=False)
class RestSpectrum:
    """Mean attribution at rest wavelengths, over observed bands of rows with known redshift.

    Parameters
    ----------
    edges : array, shape (r + 1,)
        Å.
    mean, low, high : array, shape (r,)
        NaN in bins with fewer than five rows.
    count : array of int, shape (r,)
        Rows in each bin.
    """

    edges: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


def _binned(
    values: np.ndarray, z: np.ndarray, observed: np.ndarray, pivots: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return per row the mean over its observed bands in each bin, (n, r), and where there is one."""
    rest = pivots[None, :] / (1.0 + z[:, None])
    place = np.searchsorted(edges, rest, side="right") - 1
    good = observed & (place >= 0) & (place < len(edges) - 1)
    row = np.broadcast_to(np.arange(len(z))[:, None], place.shape)
    width = len(edges) - 1
    flat = row[good] * width + place[good]
    total = np.bincount(flat, weights=values[good], minlength=len(z) * width).reshape(len(z), width)
    count = np.bincount(flat, minlength=len(z) * width).reshape(len(z), width)
    return total / np.maximum(count, 1), count > 0


def rest_spectrum(
    values: np.ndarray,
    z: np.ndarray,
    observed: np.ndarray,
    bands: BandSystem,
    groups: np.ndarray,
    resamples: int,
    seed: int,
) -> RestSpectrum:
    """Return mean attributions against λ/(1 + z).

    Parameters
    ----------
    values : array, shape (n, b)
        Attribution of each band.
    z : array, shape (n,)
        Redshifts, all known.
    observed : array of bool, shape (n, b)
    bands : BandSystem
    groups : array of int, shape (n,)
        Objects, for the intervals.
    resamples, seed : int
    """
    edges = rest_edges()
    columns = spectrum_columns(bands)
    per_row, there = _binned(values[:, columns], z, observed[:, columns], bands.pivots[columns], edges)
    means, count = masked_means(per_row, there, groups, resamples, seed)
    few = count < _FEWEST
    low, high = _bounds(means)
    mean, low, high = (np.where(few, np.nan, one) for one in (means.mean, low, high))
    return RestSpectrum(edges, mean, low, high, count)


def _bounds(means: Means) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array(means.interval(), dtype=np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def line_table(
    values: np.ndarray,
    z: np.ndarray,
    observed: np.ndarray,
    bands: BandSystem,
    groups: np.ndarray,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return what bands on each line say, and what all other bands of the same rows say.

    Parameters
    ----------
    values, z, observed, bands, groups, resamples, seed
        As for :func:`rest_spectrum`.

    Returns
    -------
    list of dict
        For each line and break that any row shows: ``name``, ``label``, ``wavelength``, ``kind``, ``n`` rows, ``on``
        and ``off`` (mean attribution of a band on the line and of one elsewhere), ``interval`` (of on),
        ``excess`` (on - off) and ``excess_interval``.
    """
    columns = spectrum_columns(bands)
    values, observed = values[:, columns], observed[:, columns]
    rest = np.log(bands.pivots[columns][None, :] / (1.0 + z[:, None]))
    reach = np.maximum(NEAR, bands.widths[columns] / bands.pivots[columns] / 2)
    table = []
    for feature in FEATURES:
        near = observed & (np.abs(rest - np.log(feature.wavelength)) < reach)
        rows = np.flatnonzero(near.any(axis=1) & (observed & ~near).any(axis=1))
        if len(rows) < _FEWEST:
            continue
        on = (values * near)[rows].sum(axis=1) / near[rows].sum(axis=1)
        away = (observed & ~near)[rows]
        off = (values[rows] * away).sum(axis=1) / away.sum(axis=1)
        stacked = np.stack([on, off, on - off], axis=1)
        means, _ = masked_means(stacked, np.ones(stacked.shape, dtype=bool), groups[rows], resamples, seed)
        intervals = means.interval()
        table.append(
            {
                **feature.to_dict(),
                "n": len(rows),
                "on": float(means.mean[0]),
                "interval": intervals[0],
                "off": float(means.mean[1]),
                "excess": float(means.mean[2]),
                "excess_interval": intervals[2],
            }
        )
    return table
