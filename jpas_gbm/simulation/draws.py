"""Random numbers of the shapes that populations have; distances and ages in a flat universe."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri


def lognormal(rng: np.random.Generator, median: np.ndarray, scatter: float | np.ndarray) -> np.ndarray:
    """Return values about `median`, with `scatter` the standard deviation of their decimal logarithm.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    median : array, shape (n,)
        Medians.
    scatter : float or array, shape (n,)
        Standard deviation of the decimal logarithm.

    Returns
    -------
    array of float64, shape (n,)
    """
    return median * 10.0 ** (scatter * rng.standard_normal(np.shape(median)))


def truncated_normal(
    rng: np.random.Generator, n: int, mean: float, scatter: float, limits: tuple[float, float]
) -> np.ndarray:
    """Return n normal values between two limits, shape (n,).

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    n : int
        How many.
    mean, scatter : float
        Of the distribution before it is truncated.
    limits : tuple of float
        Least and largest value.

    Returns
    -------
    array of float64, shape (n,)
    """
    low, high = ndtr((np.array(limits) - mean) / scatter)
    share = low + (high - low) * rng.random(n)
    return np.clip(mean + scatter * ndtri(np.clip(share, 1e-12, 1 - 1e-12)), *limits)


def normal_share(mean: float, scatter: float, limits: tuple[float, float]) -> float:
    """Return the share of a normal distribution that lies between two limits.

    Parameters
    ----------
    mean, scatter : float
        Of the distribution.
    limits : tuple of float
        Least and largest value.

    Returns
    -------
    float
    """
    low, high = ndtr((np.array(limits) - mean) / scatter)
    return float(high - low)


def power_counts(
    rng: np.random.Generator, n: int, slope: float, bright: float, faint: float, limits: tuple[float, float]
) -> np.ndarray:
    """Return n magnitudes of a sample whose counts go as 10^(slope m) from `bright` to `faint`.

    Only those between `limits` are drawn; where none are, all are the nearest magnitude.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    n : int
        How many.
    slope : float
        Of the decimal logarithm of the counts, per magnitude.
    bright, faint : float
        Limits of the sample, mag.
    limits : tuple of float
        Brightest and faintest magnitude that is drawn.

    Returns
    -------
    array of float64, shape (n,)
        Magnitudes.
    """
    low, high = np.clip([bright, faint], *limits)
    share = 10.0 ** (slope * (low - high))
    return high + np.log10(share + (1.0 - share) * rng.random(n)) / slope


def power_share(slope: float, bright: float, faint: float, limits: tuple[float, float]) -> float:
    """Return the share of the sample of :func:`power_counts` that lies between two limits.

    Parameters
    ----------
    slope : float
        Of the decimal logarithm of the counts, per magnitude.
    bright, faint : float
        Limits of the sample, mag.
    limits : tuple of float
        Brightest and faintest magnitude.

    Returns
    -------
    float
    """
    low, high = np.clip([bright, faint], *limits)
    if high <= low:
        return 0.0
    edges = 10.0 ** (slope * (np.array([bright, low, high]) - faint))
    return float((edges[2] - edges[1]) / (1.0 - edges[0]))


def deal(n: int, mix: np.ndarray) -> np.ndarray:
    """Return how many of n things each share of `mix` gets: largest remainders, and at least one if any share.

    Parameters
    ----------
    n : int
        Things to deal.
    mix : array, shape (k,)
        Weights, not all zero.

    Returns
    -------
    array of int64, shape (k,)
        Counts that sum to n.
    """
    mix = np.asarray(mix, dtype=float)
    exact = n * mix / mix.sum()
    counts = np.floor(exact).astype(np.int64)
    for place in np.argsort(counts - exact, kind="stable")[: n - counts.sum()]:
        counts[place] += 1
    for place in np.flatnonzero((counts == 0) & (mix > 0)):
        if counts.max() > 1:
            counts[np.argmax(counts)] -= 1
            counts[place] = 1
    return counts


# astropy.cosmology gives the same to 5e-5 mag and 1e-4 Gyr (a test), but other bits at 40 times the time: what a seed
# means would change.
_H0, _MATTER = 67.7, 0.31  # km/s/Mpc; Planck Collaboration (2020), rounded
_GYR_PER_HUBBLE = 977.8 / _H0


@lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, np.ndarray]:
    z = np.linspace(0.0, 6.0, 3001)
    rate = np.sqrt(_MATTER * (1 + z) ** 3 + 1 - _MATTER)
    step = np.diff(z) * 0.5 * (1 / rate[1:] + 1 / rate[:-1])
    return z, np.append(0.0, np.cumsum(step)) * 299792.458 / _H0


def distance_modulus(z: np.ndarray) -> np.ndarray:
    """Return the distance modulus, mag, for 0 < z < 6.

    Parameters
    ----------
    z : array, shape (n,)
        Redshifts.

    Returns
    -------
    array of float64, shape (n,)
        mag
    """
    grid, comoving = _table()
    return 5.0 * np.log10((1.0 + z) * np.interp(z, grid, comoving) + 1e-6) + 25.0


def cosmic_age(z: np.ndarray) -> np.ndarray:
    """Return the age of the universe in Gyr.

    Parameters
    ----------
    z : array, shape (n,)
        Redshifts.

    Returns
    -------
    array of float64, shape (n,)
        Gyr
    """
    ratio = np.sqrt((1 - _MATTER) / _MATTER) * (1.0 + z) ** -1.5
    return _GYR_PER_HUBBLE * 2.0 / (3.0 * np.sqrt(1 - _MATTER)) * np.arcsinh(ratio)
