"""Observing: noise from the depth of a tile, and what the sky does to fluxes that mocks know nothing of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .instrument import Instrument
from .objects import AB_NANOJANSKY, QSO_LOW, Objects
from .shift import Shift, Tiles, mock_levels, mock_warp

HARMLESS, CORRUPTED = 3, 4
"""Values of FLAGS: near neighbours and blends, and a flux that must not be used."""

_HARMLESS_SHARE, _CORRUPTED_SHARE = 0.02, 0.003


@dataclass(frozen=True)
class Observed:
    """Fluxes as measured.

    Parameters
    ----------
    flux, error : array of float32, shape (n, b)
        nJy; NaN where the band is missing or its value corrupted.
    flags : array of int16, shape (n, b)
        0, :data:`HARMLESS` or :data:`CORRUPTED`.
    """

    flux: np.ndarray
    error: np.ndarray
    flags: np.ndarray


def noise_of(flux: np.ndarray, sky_noise: np.ndarray, instrument: Instrument) -> np.ndarray:
    """Return the standard deviation of a measured flux, nJy.

    Sky noise of the aperture, photon noise of the source (as the sky's, in proportion to its flux over
    the flux of the sky in the aperture) and a calibration floor, in quadrature.

    Parameters
    ----------
    flux : array, shape (n, b)
        True flux in nJy.
    sky_noise : array, shape (n, b)
        1 σ of an empty aperture in nJy.
    instrument : Instrument
        Brightness of the sky and the floor.
    """
    sky = np.float32(10.0 ** (-0.4 * (instrument.facts.sky_aperture - AB_NANOJANSKY)))
    floor = np.float32(instrument.facts.error_floor)
    return np.sqrt(sky_noise**2 * (1.0 + np.maximum(flux, 0.0) / sky) + (floor * flux) ** 2)


def observe_sky(
    rng: np.random.Generator, objects: Objects, tile: np.ndarray, tiles: Tiles, shift: Shift, instrument: Instrument
) -> Observed:
    """Observe objects through the telescope, one row each.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where noise, variability and flags come from.
    objects : Objects
        n objects.
    tile : array of int, shape (n,)
        Which of `tiles` observes each.
    tiles : Tiles
        Depth, seeing and missing filters.
    shift : Shift
        What the mocks do not know.
    instrument : Instrument
        Trays and noise.
    """
    magnitudes = shift.zero_point[tile]
    magnitudes = magnitudes + objects.extended[:, None] * (shift.aperture[tile] + shift.tilt)
    quasar = objects.label <= QSO_LOW
    if shift.strength.variability > 0 and quasar.any():
        magnitudes[quasar] += _variability(rng, objects.z[quasar], shift.strength.variability, instrument)
    true = objects.flux * np.exp(np.float32(-0.921034) * magnitudes)
    sigma = noise_of(true, tiles.sky_noise[tile], instrument)
    flux = true + sigma * rng.standard_normal(true.shape, dtype=np.float32)
    uneven = np.float32(0.06 * shift.strength.errors) * rng.standard_normal(true.shape, dtype=np.float32)
    error = sigma / shift.error_factor[tile] * np.maximum(1.0 + uneven, 0.1)
    dice = rng.random(true.shape, dtype=np.float32)
    flags = np.where(dice < _CORRUPTED_SHARE, CORRUPTED, np.where(dice > 1 - _HARMLESS_SHARE, HARMLESS, 0))
    flags[tiles.missing[tile]] = 0
    gone = tiles.missing[tile] | (flags == CORRUPTED)
    flux[gone] = np.nan
    error[gone] = np.nan
    return Observed(flux, np.maximum(error, 1e-3), flags.astype(np.int16))


def _variability(rng: np.random.Generator, z: np.ndarray, strength: float, instrument: Instrument) -> np.ndarray:
    """Magnitudes by which quasars changed between the nights of the trays; more to the blue.

    Bluer light varies more, with about the inverse square root of the rest wavelength (Vanden Berk et al. 2004).
    """
    trays, place = np.unique(instrument.trays, return_inverse=True)
    change = strength * rng.standard_normal((len(z), len(trays)), dtype=np.float32)
    rest = instrument.system.pivots[None, :] / (1.0 + z[:, None])
    return change[:, place] * np.clip(rest / 4000.0, 0.2, 2.5).astype(np.float32) ** -0.5


def mock_means(rng: np.random.Generator, flux: np.ndarray, shift: Shift) -> np.ndarray:
    """Return the mean fluxes of mocks of objects: their light with the errors of a spectrograph's calibration."""
    return flux * mock_warp(rng, len(flux), shift)


def observe_mock(
    rng: np.random.Generator, mean: np.ndarray, tile: np.ndarray, tiles: Tiles, shift: Shift, instrument: Instrument
) -> tuple[np.ndarray, np.ndarray]:
    """Make noisy mock rows of mean fluxes.

    Returns
    -------
    flux : array of float32, shape (n, b)
        level x mean + noise, nJy.
    error : array of float32, shape (n, b)
        σ of that noise.
    """
    true = mean * mock_levels(rng, len(mean), shift)[:, None]
    sigma = noise_of(true, tiles.sky_noise[tile], instrument)
    return true + sigma * rng.standard_normal(true.shape, dtype=np.float32), sigma
