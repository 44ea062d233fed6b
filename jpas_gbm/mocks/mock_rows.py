"""The mocks of a simulated survey: many noisy rows of objects whose class is known."""

from __future__ import annotations

import numpy as np

from ..survey.catalogue import Catalogue
from .instrument import Instrument
from .objects import Objects
from .observe import mock_means, observe_mock
from .shift import Shift, Tiles
from .sky import imaging_fluxes

MOCK_TILES = 40
"""Tiles whose depths the noise of mocks is drawn from."""

_BLANK = 0.02  # of mock objects have no morphology
_LOST = 0.0004  # of the values of the noisy plane


class MockRows:
    """The arrays of the mock catalogue while they are filled: each stands in memory once.

    Parameters
    ----------
    n : int
        Rows.
    instrument : Instrument
        Bands and noise.
    """

    def __init__(self, n: int, instrument: Instrument) -> None:
        shape = (n, len(instrument.filters))
        self._instrument = instrument
        self.flux, self.error, self.mean = (np.empty(shape, dtype=np.float32) for _ in range(3))
        self.object_id = np.empty(n, dtype=np.int64)
        self.ra, self.dec, self.z = (np.empty(n) for _ in range(3))
        self.mag, self.reddening = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)
        self.label, self.morphology, self.twin = (np.empty(n, dtype=np.int8) for _ in range(3))
        self.tile = np.empty(n, dtype=np.int16)
        self.imaging = np.empty((n, 3), dtype=np.float32)

    def __len__(self) -> int:
        return len(self.flux)

    def fill(
        self,
        rng: np.random.Generator,
        place: np.ndarray,
        objects: Objects,
        ids: np.ndarray,
        twin: bool,
        tiles: Tiles,
        shift: Shift,
    ) -> None:
        """Make all noisy rows of some objects, and put them in their places, int (n, realisations)."""
        n = len(objects)
        mean = mock_means(rng, objects.flux, shift)
        imaging = imaging_fluxes(rng, objects, self._instrument)
        typed = np.where(rng.random(n) < _BLANK, 0, objects.morphology)
        ra, dec = 360.0 * rng.random(n), np.rad2deg(np.arcsin(rng.uniform(-0.17, 0.87, n)))
        for rows in place.T:
            self.tile[rows] = tile = rng.integers(0, len(tiles), n)
            flux, error = observe_mock(rng, mean, tile, tiles, shift, self._instrument)
            gone = rng.random(flux.shape, dtype=np.float32) < _LOST
            flux[gone] = np.nan
            self.flux[rows], self.error[rows], self.mean[rows] = flux, error, mean
            self.object_id[rows], self.ra[rows], self.dec[rows], self.z[rows] = ids, ra, dec, objects.z
            self.imaging[rows], self.mag[rows] = imaging, 22.5 - 2.5 * np.log10(imaging[:, 1])
            self.label[rows], self.morphology[rows], self.twin[rows] = objects.label, typed, twin
            self.reddening[rows] = objects.reddening

    def catalogue(self) -> Catalogue:
        """Return the mocks as a catalogue."""
        return Catalogue(
            bands=self._instrument.system,
            flux=self.flux,
            flux_err=self.error,
            flux_mean=self.mean,
            key={"ROW": np.arange(len(self))},
            object_id=self.object_id,
            ra=self.ra,
            dec=self.dec,
            mag=self.mag,
            imaging_mag=self.mag,
            morphology=self.morphology,
            label=self.label,
            z=self.z,
            survey="jpas_mocks",
            photometry="FLUX+NOISE",
            extra={
                "ISINJPAS": self.twin,
                "NOISE_TILE": self.tile,
                "EBV": self.reddening,
                "DESI_FLUX_G": self.imaging[:, 0],
                "DESI_FLUX_R": self.imaging[:, 1],
                "DESI_FLUX_Z": self.imaging[:, 2],
            },
        )
