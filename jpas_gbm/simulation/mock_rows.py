"""The mocks of a simulated survey: many noisy rows of objects whose class is known."""

from __future__ import annotations

import numpy as np

from ..options import SimulateOptions
from ..run import Progress
from ..surveys.catalogue import Catalogue
from .draws import deal
from .observe import Shift, Tiles, mock_means, observe_mock
from .sources import AB_NANOJANSKY, Objects, Universe
from .throughput import Instrument

CHUNK = 16384
"""Objects that are drawn and observed at once: it bounds the memory, and is part of what a seed means."""

MOCK_TILES = 40
"""Tiles whose depths the noise of mocks is drawn from."""

_BLANK = 0.02  # of mock objects have no morphology
_LOST = 0.0004  # of the values of the noisy plane
_PLANES = ("flux", "flux_err", "flux_mean")
_VECTORS = {"object_id": "i8", "ra": "f8", "dec": "f8", "z": "f8", "mag": "f4", "label": "i1", "morphology": "i1"}
_EXTRA = {"ISINJPAS": "i1", "NOISE_TILE": "i2", "EBV": "f4", **{f"DESI_FLUX_{band}": "f4" for band in "GRZ"}}


def shuffled_labels(rng: np.random.Generator, n: int, weights: tuple[float, ...], quasar_factor: float) -> np.ndarray:
    """Return classes in the shares of a mix, in random order.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the order comes from.
    n : int
        How many.
    weights : tuple of float
        Of the four classes.
    quasar_factor : float
        By how much those of the two classes of quasars are raised.

    Returns
    -------
    array of int8, shape (n,)
    """
    mix = np.array(weights) * np.array([quasar_factor, quasar_factor, 1.0, 1.0])
    return rng.permutation(np.repeat(np.arange(len(mix), dtype=np.int8), deal(n, mix)))


def imaging_fluxes(rng: np.random.Generator, objects: Objects, instrument: Instrument) -> np.ndarray:
    """Return g, r, z of the imaging survey with its noise.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the noise comes from.
    objects : Objects
        n objects.
    instrument : Instrument
        Depths of the imaging survey.

    Returns
    -------
    array of float32, shape (n, 3)
        Positive, in nanomaggies (AB 22.5).
    """
    depth = np.array([item.depth for item in instrument.imaging])
    flux = objects.imaging * np.float32(10.0 ** (-0.4 * (AB_NANOJANSKY - 22.5)))
    sigma = (10.0 ** (-0.4 * (depth - 22.5)) / 5.0).astype(np.float32)
    return np.maximum(flux + sigma * rng.standard_normal(flux.shape, dtype=np.float32), 0.01 * sigma)


class MockRows:
    """The columns of the mock catalogue while they are filled: each stands in memory once.

    Parameters
    ----------
    options : SimulateOptions
        How many rows of what.
    instrument : Instrument
        Bands and noise.
    tiles : Tiles
        Whose depths the noise is drawn from.
    shift : Shift
        Errors of the mocks' calibration and scatter of their levels.
    """

    def __init__(self, options: SimulateOptions, instrument: Instrument, tiles: Tiles, shift: Shift) -> None:
        self._options, self._instrument, self._tiles, self._shift = options, instrument, tiles, shift
        self._new = -(-options.n_source // options.realisations)
        n = (self._new + options.n_labelled * options.twins) * options.realisations
        self._columns = {name: np.empty(n, dtype=of) for name, of in (_VECTORS | _EXTRA).items()}
        self._columns |= {name: np.empty((n, len(instrument.filters)), dtype=np.float32) for name in _PLANES}

    def __len__(self) -> int:
        return len(self._columns["flux"])

    def make(
        self,
        stream: np.random.SeedSequence,
        universe: Universe,
        sky: Objects,
        ids: np.ndarray,
        progress: Progress | None = None,
    ) -> Catalogue:
        """Draw new objects and take the labelled ones as twins, chunk by chunk, in random rows.

        Parameters
        ----------
        stream : numpy.random.SeedSequence
            Where everything random comes from.
        universe : Universe
            Draws new objects.
        sky : Objects
            Of the target, the labelled ones first.
        ids : array of int64, shape (len(sky) + new objects,)
            Object ids of the sky, then of new objects.
        progress : callable, optional
            Called as ``progress(stage, done, total)``.

        Returns
        -------
        Catalogue
        """
        own, chunks = stream.spawn(2)
        rng, options, new = np.random.default_rng(own), self._options, self._new
        labels = shuffled_labels(rng, new, options.class_mix_source, options.quasar_factor_source)
        place = rng.permutation(len(self)).reshape(-1, options.realisations)
        all_ids = np.concatenate([ids[len(sky) :][:new], ids[: len(place) - new]])
        starts = [*range(0, new, CHUNK), *range(new, len(place), CHUNK)]
        for start, chunk in zip(starts, chunks.spawn(len(starts)), strict=True):
            rng = np.random.default_rng(chunk)
            end = min(start + CHUNK, new if start < new else len(place))
            twin = start >= new
            objects = sky.take(slice(start - new, end - new)) if twin else universe.draw(rng, labels[start:end])
            self._fill(rng, place[start:end], objects, all_ids[start:end], twin)
            if progress:
                progress("simulating mocks", end, len(place))
        columns = self._columns
        return Catalogue(
            bands=self._instrument.system,
            **{name: columns[name] for name in (*_PLANES, *_VECTORS)},
            imaging_mag=columns["mag"],
            key={"ROW": np.arange(len(self))},
            survey="jpas_mocks",
            photometry="FLUX+NOISE",
            extra={name: columns[name] for name in _EXTRA},
        )

    def _fill(self, rng: np.random.Generator, place: np.ndarray, objects: Objects, ids: np.ndarray, twin: bool) -> None:
        """Make all noisy rows of n objects, and put them in their places, int (n, realisations)."""
        n = len(objects)
        columns = {"object_id": ids, "z": objects.z, "label": objects.label, "EBV": objects.reddening, "ISINJPAS": twin}
        columns["flux_mean"] = mean = mock_means(rng, objects.flux, self._shift)
        imaging = imaging_fluxes(rng, objects, self._instrument)
        columns["morphology"] = np.where(rng.random(n) < _BLANK, 0, objects.morphology)
        columns["ra"], columns["dec"] = 360.0 * rng.random(n), np.rad2deg(np.arcsin(rng.uniform(-0.17, 0.87, n)))
        columns |= {f"DESI_FLUX_{band}": imaging[:, i] for i, band in enumerate("GRZ")}
        columns["mag"] = 22.5 - 2.5 * np.log10(imaging[:, 1])
        for rows in place.T:
            columns["NOISE_TILE"] = tile = rng.integers(0, len(self._tiles), n)
            flux, error = observe_mock(rng, mean, tile, self._tiles, self._shift, self._instrument)
            flux[rng.random(flux.shape, dtype=np.float32) < _LOST] = np.nan
            for name, values in (columns | {"flux": flux, "flux_err": error}).items():
                self._columns[name][rows] = values
