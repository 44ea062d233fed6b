"""SimulatedSurvey: mocks, the catalogue of the sky with labels for some of its sources, and the shift between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..options import SimulateOptions
from ..run import Progress
from ..surveys.catalogue import UNLABELLED, Catalogue
from .draws import deal
from .observe import Observed, Shift, Tiles, draw_shift, draw_tiles, mock_means, observe_mock, observe_sky
from .sources import AB_NANOJANSKY, GALAXY, QSO_HIGH, QSO_LOW, STAR, Objects, Universe
from .throughput import Instrument, load_instrument

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
    shift, instrument, options
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
    tiles = shift.tiles
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
    seen = _observe_chunks(noise, truth, tile, shift, instrument)
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
    stream: np.random.SeedSequence, objects: Objects, tile: np.ndarray, shift: Shift, instrument: Instrument
) -> Observed:
    starts = range(0, max(len(objects), 1), CHUNK)
    parts = [
        observe_sky(
            np.random.default_rng(own), objects.take(slice(start, start + CHUNK)), tile[start : start + CHUNK],
            shift, instrument,
        )
        for start, own in zip(starts, stream.spawn(len(starts)), strict=True)
    ]  # fmt: skip
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


_FIRST_ID = 39_627_000_000_000_000  # as DESI's: above 2^53, and neighbours closer than a float64 can tell


@dataclass(frozen=True, eq=False)
class Truth:
    """What a survey would give much to know: to judge by, never to train on.

    Parameters
    ----------
    label : array of int8, shape (n,)
        True classes, also of unlabelled rows.
    z : array of float64, shape (n,)
        True redshifts.
    """

    label: np.ndarray
    z: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def __repr__(self) -> str:
        return f"Truth({len(self)} rows)"

    def take(self, rows: np.ndarray) -> Truth:
        """Return the truth of some rows.

        Parameters
        ----------
        rows : array of bool, shape (n,), or of int, shape (m,)

        Returns
        -------
        Truth
        """
        return Truth(self.label[rows], self.z[rows])


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedSurvey:
    """A survey whose truth is known.

    Parameters
    ----------
    source : Catalogue
        Mocks with classes, redshifts and `flux_mean`; twins of labelled target objects stand among them
        (``extra["ISINJPAS"]`` is 1).
    target : Catalogue
        The sky: labels where a spectrum was taken, -1 elsewhere. Objects in the overlap of two tiles
        stand twice, under one object id.
    truth : Truth
        Of every row of the target.
    flags : array of int16, shape (rows of target, bands)
        FLAGS of the target; corrupted values are NaN in its fluxes.
    shift : Shift
        What is different on the sky, as drawn.
    options : SimulateOptions
    seed : int
    """

    source: Catalogue
    target: Catalogue
    truth: Truth
    flags: np.ndarray
    shift: Shift
    options: SimulateOptions
    seed: int

    def __repr__(self) -> str:
        return f"SimulatedSurvey({len(self.source)} mock rows, {len(self.target)} target rows, seed {self.seed})"

    @property
    def twins(self) -> np.ndarray:
        """Which source rows are mocks of labelled target objects, bool (n,)."""
        return np.asarray(self.source.extra["ISINJPAS"]) == 1


def simulate_survey(options: SimulateOptions, seed: int, progress: Progress | None = None) -> SimulatedSurvey:
    """Simulate a survey. The same options and seed give the same bits.

    Parameters
    ----------
    options : SimulateOptions
        How many rows of what, and how strong the shift.
    seed : int
        Every random stream is spawned from it.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Raises
    ------
    ConfigError
        If the bands or the planted line are unknown.
    """
    streams = np.random.SeedSequence(seed).spawn(6)
    instrument = load_instrument(options.bands)
    universe = Universe(instrument, options.magnitudes, options.planted)
    rng = np.random.default_rng(streams[0])
    tiles = draw_tiles(rng, tile_numbers(options), instrument, options, sky=True)
    mock_tiles = draw_tiles(rng, np.arange(MOCK_TILES), instrument, options, sky=False)
    shift = draw_shift(rng, tiles, instrument, options)
    labels = _target_labels(np.random.default_rng(streams[1]), options)
    objects = _draw_all(universe, labels, streams[2], progress)
    ids = _object_ids(np.random.default_rng(streams[3]), len(objects) + options.n_source)
    target, truth, flags = sky_catalogue(streams[4], objects, ids[: len(objects)], shift, instrument, options)
    wrong = np.unique(target.object_id[(target.label != UNLABELLED) & (target.label != truth.label)])
    rows = MockRows(_mock_count(options), instrument)
    _fill_mocks(rows, streams[5], universe, objects, ids, mock_tiles, shift, options, progress)
    return SimulatedSurvey(
        source=rows.catalogue(),
        target=target,
        truth=Truth(truth.label, truth.z),
        flags=flags,
        shift=replace(shift, wrong_labels=wrong),
        options=options,
        seed=seed,
    )


def _object_ids(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.permutation(_FIRST_ID + np.cumsum(rng.integers(1, 16, n, dtype=np.int64)))


def _mix(weights: tuple[float, ...], quasar_factor: float) -> np.ndarray:
    return np.array(weights) * np.array([quasar_factor, quasar_factor, 1.0, 1.0])


def _shuffled_labels(rng: np.random.Generator, n: int, mix: np.ndarray) -> np.ndarray:
    return rng.permutation(np.repeat(np.arange(len(mix), dtype=np.int8), deal(n, mix)))


def _target_labels(rng: np.random.Generator, options: SimulateOptions) -> np.ndarray:
    """True classes of the labelled objects, then of the unlabelled ones."""
    known = _shuffled_labels(rng, options.n_labelled, _mix(options.class_mix, options.quasar_factor_labelled))
    other = _shuffled_labels(rng, options.n_unlabelled, _mix(options.class_mix, options.quasar_factor_unlabelled))
    return np.concatenate([known, other])


def _draw_all(
    universe: Universe, labels: np.ndarray, stream: np.random.SeedSequence, progress: Progress | None
) -> Objects:
    starts = range(0, max(len(labels), 1), CHUNK)
    parts = []
    for start, own in zip(starts, stream.spawn(len(starts)), strict=True):
        parts.append(universe.draw(np.random.default_rng(own), labels[start : start + CHUNK]))
        if progress:
            progress("simulating the sky", min(start + CHUNK, len(labels)), len(labels))
    return Objects.concat(parts)


def _new_objects(options: SimulateOptions) -> int:
    return -(-options.n_source // options.realisations)


def _mock_count(options: SimulateOptions) -> int:
    return (_new_objects(options) + options.n_labelled * options.twins) * options.realisations


def _fill_mocks(
    rows: MockRows,
    stream: np.random.SeedSequence,
    universe: Universe,
    sky: Objects,
    ids: np.ndarray,
    tiles: Tiles,
    shift: Shift,
    options: SimulateOptions,
    progress: Progress | None,
) -> None:
    """Draw new objects and take the labelled ones as twins, chunk by chunk, and strew their rows."""
    own, chunks = stream.spawn(2)
    rng = np.random.default_rng(own)
    n_new = _new_objects(options)
    labels = _shuffled_labels(rng, n_new, _mix(options.class_mix_source, options.quasar_factor_source))
    place = rng.permutation(len(rows)).reshape(-1, options.realisations)
    all_ids = np.concatenate([ids[len(sky) :][:n_new], ids[: len(place) - n_new]])
    starts = [*range(0, n_new, CHUNK), *range(n_new, len(place), CHUNK)]
    for start, chunk in zip(starts, chunks.spawn(len(starts)), strict=True):
        rng = np.random.default_rng(chunk)
        end = min(start + CHUNK, n_new if start < n_new else len(place))
        twin = start >= n_new
        objects = sky.take(np.arange(start - n_new, end - n_new)) if twin else universe.draw(rng, labels[start:end])
        rows.fill(rng, place[start:end], objects, all_ids[start:end], twin, tiles, shift)
        if progress:
            progress("simulating mocks", end, len(place))
