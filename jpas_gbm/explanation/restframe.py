"""Rest frame: what bands say against the wavelength at which the source sent the light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..surveys.bands import BandSystem
from .attributions import Attributions
from .blocks import LINES, NEAR, spectrum_columns
from .content import LineMeans
from .summary import mean_over

_LOW, _HIGH, _STEP = 700.0, 12_000.0, 0.02
_FEWEST = 5


@dataclass(frozen=True, eq=False)
class RedshiftRows:
    """Attributions of n rows whose redshift is known.

    Parameters
    ----------
    bands : BandSystem
    values : array, shape (n, b)
        Attribution of the pair's log-odds to each band.
    z : array, shape (n,)
    observed : array of bool, shape (n, b)
    object_id : array of int64, shape (n,)
        The bootstrap draws objects.
    """

    bands: BandSystem
    values: np.ndarray
    z: np.ndarray
    observed: np.ndarray
    object_id: np.ndarray

    def __len__(self) -> int:
        return len(self.z)

    @classmethod
    def of(cls, found: Attributions, chosen: np.ndarray) -> RedshiftRows:
        """Return the rows of attributions that a mask (n,) chooses and whose redshift is known."""
        bands = found.model.recipe.bands
        rows = found.rows.select_bands(bands)
        chosen = np.flatnonzero(chosen & np.isfinite(rows.z) & (rows.z > -1))
        return cls(bands, found.pair_bands[chosen], rows.z[chosen], rows.observed[chosen], rows.object_id[chosen])

    def take(self, rows: np.ndarray) -> RedshiftRows:
        """Return the rows chosen by a mask or indices.

        Parameters
        ----------
        rows : array of bool, shape (n,), or of int

        Returns
        -------
        RedshiftRows
        """
        return RedshiftRows(self.bands, self.values[rows], self.z[rows], self.observed[rows], self.object_id[rows])


def rest_edges() -> np.ndarray:
    """Return edges in Å of bins of equal width in ln wavelength, about one narrow band each, shape (r + 1,).

    Returns
    -------
    array of float64, shape (r + 1,)
    """
    number = int(np.ceil(np.log(_HIGH / _LOW) / _STEP))
    return _LOW * np.exp(_STEP * np.arange(number + 1))


class RestSpectrum(NamedTuple):
    """Mean attribution in each of r bins, its interval, and the rows there; NaN with fewer than five rows."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rows: np.ndarray


def rest_spectrum(rows: RedshiftRows, resamples: int, seed: int) -> RestSpectrum:
    """Return mean attributions of a band against λ/(1 + z), over observed bands, in the bins of :func:`rest_edges`.

    Parameters
    ----------
    rows : RedshiftRows
    resamples, seed : int
        Of the intervals over objects.

    Returns
    -------
    RestSpectrum
    """
    edges, columns = rest_edges(), spectrum_columns(rows.bands)
    n, width = len(rows), len(edges) - 1
    place = np.searchsorted(edges, rows.bands.pivots[columns][None, :] / (1.0 + rows.z[:, None]), side="right") - 1
    good = rows.observed[:, columns] & (place >= 0) & (place < width)
    cell = (np.arange(n)[:, None] * width + place)[good]
    total = np.bincount(cell, weights=rows.values[:, columns][good], minlength=n * width).reshape(n, width)
    count = np.bincount(cell, minlength=n * width).reshape(n, width)
    there = count > 0
    means = mean_over(total / np.maximum(count, 1), [there], rows.object_id, resamples, seed)
    few = there.sum(axis=0) < _FEWEST
    mean, low, high = (np.where(few, np.nan, column) for column in (means.mean, *means.interval.T))
    return RestSpectrum(mean, low, high, there.sum(axis=0))


def line_table(rows: RedshiftRows, resamples: int, seed: int) -> tuple[LineMeans, ...]:
    """Return what bands on each line say, and what all other bands of the same rows say.

    Parameters
    ----------
    rows : RedshiftRows
    resamples, seed : int
        Of the intervals over objects.

    Returns
    -------
    tuple of LineMeans
        One for each line and break that at least five rows show.
    """
    columns = spectrum_columns(rows.bands)
    values, observed = rows.values[:, columns], rows.observed[:, columns]
    rest = np.log(rows.bands.pivots[columns][None, :] / (1.0 + rows.z[:, None]))
    reach = np.maximum(NEAR, rows.bands.widths[columns] / rows.bands.pivots[columns] / 2)
    table = []
    for line in LINES:
        near = observed & (np.abs(rest - np.log(line.wavelength)) < reach)
        far = observed & ~near
        shown = np.flatnonzero(near.any(axis=1) & far.any(axis=1))
        if len(shown) < _FEWEST:
            continue
        on, off = ((values * side)[shown].sum(axis=1) / side[shown].sum(axis=1) for side in (near, far))
        every = np.ones((len(shown), 1), dtype=bool)
        means = mean_over(np.stack([on, off, on - off], axis=1), [every], rows.object_id[shown], resamples, seed)
        span = means.interval
        table.append(
            LineMeans(
                **dict(line),
                n=len(shown),
                on=means.mean[0],
                interval=span[0],
                off=means.mean[1],
                excess=means.mean[2],
                excess_interval=span[2],
            )
        )
    return tuple(table)
