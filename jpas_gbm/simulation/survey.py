"""The mocks of a simulated survey: many noisy rows of objects whose class is known.

The sky of a simulated survey: its catalogue, with labels for some of its sources.
"""

from __future__ import annotations

import numpy as np

from ..options import SimulateOptions
from ..surveys.catalogue import UNLABELLED, Catalogue
from .observe import Observed, Shift, Tiles, mock_means, observe_mock, observe_sky
from .sources import AB_NANOJANSKY, GALAXY, QSO_HIGH, QSO_LOW, STAR, Objects
from .throughput import Instrument

CHUNK = 16384
"""Objects that are drawn and observed at once: it bounds the memory, and is part of what a seed means."""

# Positions of the survey: tiles of one square degree from here.
_CORNER = (150.0, 30.0)


def tile_numbers(options: SimulateOptions) -> np.ndarray:
    """Return TILE_ID of the tiles of a survey; 224 and 2241 are among them, so that glued keys collide."""
    n = options.n_tiles or int(np.clip((options.n_labelled + options.n_unlabelled) // 400, 6, 48))
    return np.append(224, 2241 + np.arange(n - 1))


def sky_catalogue(
    stream: np.random.SeedSequence,
    objects: Objects,
    ids: np.ndarray,
    tiles: Tiles,
    shift: Shift,
    instrument: Instrument,
    options: SimulateOptions,
) -> tuple[Catalogue, Objects, np.ndarray]:
    """Observe objects, some from two tiles, and give the first ones labels.

    Parameters
    ----------
    stream : numpy.random.SeedSequence
        Where everything random comes from.
    objects : Objects
        Those with a spectrum first.
    ids : array of int64, shape (len(objects),)
        Their object ids.
    tiles, shift, instrument, options
        Of the survey.

    Returns
    -------
    catalogue : Catalogue
        In random order.
    truth : Objects
        The object of each row.
    flags : array of int16, shape (rows, b)
        FLAGS of each value.
    """
    own, noise = stream.spawn(2)
    rng = np.random.default_rng(own)
    n = len(objects)
    label, z = _spectroscopic(rng, objects, options.n_labelled, shift.strength.wrong_labels)
    imaging = imaging_fluxes(rng, objects, instrument)
    ra, dec, tile = _positions(rng, n, len(tiles))
    mag_auto, class_star = _detection(rng, objects, instrument)
    typed = np.where(rng.random(n) < options.imaging_share, objects.morphology, -1)
    # Objects near the edge of a tile are observed again from the next one.
    again = np.sort(rng.permutation(n)[: round(options.overlap * n)]) if len(tiles) > 1 else np.empty(0, dtype=int)
    rows = np.concatenate([np.arange(n), again])
    tile = np.concatenate([tile, (tile[again] + 1) % len(tiles)])
    order = rng.permutation(len(rows))
    rows, tile = rows[order], tile[order]
    truth, imaging, has_imaging = objects.take(rows), imaging[rows], typed[rows] >= 0
    seen = _observe_chunks(noise, truth, tile, tiles, shift, instrument)
    mag = 22.5 - 2.5 * np.log10(imaging[:, 1])
    labelled = label[rows] != UNLABELLED
    jitter = 0.05 / 3600.0 * rng.standard_normal((2, len(rows)))
    catalogue = Catalogue(
        bands=instrument.system,
        flux=seen.flux,
        flux_err=seen.error,
        key={"TILE_ID": tiles.number[tile], "NUMBER": _numbers(tile)},
        object_id=ids[rows],
        ra=ra[rows] + jitter[0],
        dec=dec[rows] + jitter[1],
        mag=np.where(has_imaging | labelled, mag, np.nan),
        imaging_mag=np.where(has_imaging, mag, np.nan),
        morphology=np.where(has_imaging, typed[rows], 0),
        label=label[rows],
        z=z[rows],
        survey="jpas_idr202406",
        photometry="FLUX_APER_COR_3_0",
        extra={"MAG_AUTO": mag_auto[rows], "CLASS_STAR": class_star[rows], "EBV": truth.reddening}
        | {f"FLUX_{band.upper()}": imaging[:, i] for i, band in enumerate(instrument.facts.imaging)},
    )
    return catalogue, truth, seen.flags


def _observe_chunks(
    stream: np.random.SeedSequence,
    objects: Objects,
    tile: np.ndarray,
    tiles: Tiles,
    shift: Shift,
    instrument: Instrument,
) -> Observed:
    starts = range(0, max(len(objects), 1), CHUNK)
    parts = [
        observe_sky(
            np.random.default_rng(own),
            objects.take(np.arange(start, min(start + CHUNK, len(objects)))),
            tile[start : start + CHUNK],
            tiles,
            shift,
            instrument,
        )
        for start, own in zip(starts, stream.spawn(len(starts)), strict=True)
    ]
    return Observed(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("flux", "error", "flags")))


def _spectroscopic(
    rng: np.random.Generator, objects: Objects, n_labelled: int, wrong_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Classes and redshifts as the pipeline gives them: unknown for most of the sky, wrong for a few."""
    n = len(objects)
    label, z = np.full(n, UNLABELLED, dtype=np.int8), np.full(n, np.nan)
    label[:n_labelled], z[:n_labelled] = objects.label[:n_labelled], objects.z[:n_labelled]
    wrong = np.flatnonzero(rng.random(n_labelled) < wrong_share)
    for row in wrong:
        is_quasar = label[row] <= QSO_LOW
        others = [GALAXY, STAR] if is_quasar else [QSO_HIGH, QSO_LOW, GALAXY + STAR - label[row]]
        label[row] = rng.choice(others)
        spans = {QSO_HIGH: (2.1, 3.5), QSO_LOW: (0.3, 2.09), GALAXY: (0.05, 1.3), STAR: (0.0, 0.0)}
        z[row] = rng.uniform(*spans[int(label[row])])
    return label, z


def imaging_fluxes(rng: np.random.Generator, objects: Objects, instrument: Instrument) -> np.ndarray:
    """Return g, r, z of the imaging survey in nanomaggies (AB 22.5) with its noise, positive, float32 (n, 3)."""
    depth = np.array([item.depth for item in instrument.imaging])
    flux = objects.imaging * np.float32(10.0 ** (-0.4 * (AB_NANOJANSKY - 22.5)))
    sigma = (10.0 ** (-0.4 * (depth - 22.5)) / 5.0).astype(np.float32)
    return np.maximum(flux + sigma * rng.standard_normal(flux.shape, dtype=np.float32), 0.01 * sigma)


def _positions(rng: np.random.Generator, n: int, n_tiles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places in a block of tiles of one square degree, and the tile of each."""
    columns = int(np.ceil(np.sqrt(3.0 * n_tiles)))
    tile = rng.integers(0, n_tiles, n)
    dec = _CORNER[1] + tile // columns + rng.random(n)
    ra = _CORNER[0] + (tile % columns + rng.random(n)) / np.cos(np.deg2rad(_CORNER[1] + tile // columns))
    return ra, dec, tile


def _numbers(tile: np.ndarray) -> np.ndarray:
    """Number the sources of each tile from 1."""
    order = np.argsort(tile, kind="stable")
    first = np.searchsorted(tile[order], tile[order])
    numbers = np.empty(len(tile), dtype=np.int64)
    numbers[order] = np.arange(len(tile)) - first + 1
    return numbers


def _detection(rng: np.random.Generator, objects: Objects, instrument: Instrument) -> tuple[np.ndarray, np.ndarray]:
    """MAG_AUTO (i band, NaN where not detected) and CLASS_STAR of the detection image."""
    n = len(objects)
    bands = instrument.system
    column = bands.index("iSDSS") if "iSDSS" in bands else len(bands) // 2
    with np.errstate(divide="ignore"):
        auto = AB_NANOJANSKY - 2.5 * np.log10(objects.flux[:, column])
    auto = auto + 0.03 * rng.standard_normal(n) * 10.0 ** (0.2 * (auto - 20.0))
    auto[rng.random(n) < 0.005] = np.nan
    point = np.clip(1.0 - 2.0 * objects.extended - 0.25 * np.clip(objects.mag - 20.5, 0, 2), 0.02, 0.98)
    star = np.clip(point + 0.08 * rng.standard_normal(n), 0.0, 1.0)
    return auto.astype(np.float32), star.astype(np.float32)


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
