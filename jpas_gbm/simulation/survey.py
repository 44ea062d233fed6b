"""SimulatedSurvey: its mocks, its sky with labels for some sources, and the shift between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..options import SimulateOptions
from ..run import Progress
from ..surveys.catalogue import IMAGING_EXTRA, UNLABELLED, Catalogue
from .kinds import GALAXY, QSO_HIGH, QSO_LOW, STAR
from .observe import Observed, Shift, Tiles, draw_shift, draw_tiles, mock_means, observe_mock, observe_sky
from .sources import AB_ZERO_POINT, Objects, Universe, shuffled_labels
from .spectra import spectra_file
from .throughput import Instrument, load_instrument

_CORNER = (150.0, 30.0)  # of the survey: tiles of one square degree from here


def tile_numbers(options: SimulateOptions) -> np.ndarray:
    """Return TILE_ID of the tiles of a survey; 224 and 2241 are among them, so that glued keys collide.

    Parameters
    ----------
    options : SimulateOptions
        Sizes.

    Returns
    -------
    array of int64, shape (t,)
    """
    n = options.n_tiles or int(np.clip((options.n_labelled + options.n_unlabelled) // 400, 6, 48))
    return np.append(224, 2241 + np.arange(n - 1))


def sky_catalogue(
    stream: np.random.SeedSequence, objects: Objects, ids: np.ndarray,
    shift: Shift, instrument: Instrument, options: SimulateOptions,
) -> tuple[Catalogue, Objects, np.ndarray]:  # fmt: skip
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
    own, noise, more = stream.spawn(3)
    rng, n = np.random.default_rng(own), len(objects)
    label, z = _spectroscopic(rng, objects, options.n_labelled, shift.strength.wrong_labels)
    imaging = light = imaging_fluxes(rng, objects, instrument)
    ra, dec, tile = _positions(rng, n, len(shift.tiles))
    mag_auto, class_star = _detection(rng, objects, instrument)
    typed = np.where(rng.random(n) < options.imaging_share, objects.morphology, -1)
    rows, tile = _sightings(rng, tile, options.overlap, len(shift.tiles))
    truth, imaging, has_imaging = objects.take(rows), imaging[rows], typed[rows] >= 0
    seen = _observe_chunks(noise, truth, tile, shift, instrument)
    mag = 22.5 - 2.5 * np.log10(imaging[:, 1])
    labelled = label[rows] != UNLABELLED
    jitter = 0.05 / 3600.0 * rng.standard_normal((2, len(rows)))
    catalogue = Catalogue(
        bands=instrument.system,
        flux=seen.flux,
        flux_err=seen.error,
        key={"TILE_ID": shift.tiles.number[tile], "NUMBER": _numbers(tile)},
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
    bands = optional_bands(np.random.default_rng(more), objects, light) if options.wise else {}
    there = {name: np.where(has_imaging, mag[rows], np.float32(np.nan)) for name, mag in bands.items()}
    return catalogue.replace(extra={**catalogue.extra, **there}), truth, seen.flags


def _sightings(rng: np.random.Generator, tile: np.ndarray, overlap: float, tiles: int) -> tuple[np.ndarray, np.ndarray]:
    """Object and tile of each row: objects near the edge of a tile are observed again from the next one."""
    n = len(tile)
    again = np.sort(rng.permutation(n)[: round(overlap * n)]) if tiles > 1 else np.empty(0, dtype=int)
    order = rng.permutation(n + len(again))
    rows = np.concatenate([np.arange(n), again])[order]
    return rows, np.concatenate([tile, (tile[again] + 1) % tiles])[order]


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
        auto = AB_ZERO_POINT - 2.5 * np.log10(objects.flux[:, column])
    auto = auto + 0.03 * rng.standard_normal(n) * 10.0 ** (0.2 * (auto - 20.0))
    auto[rng.random(n) < 0.005] = np.nan
    point = np.clip(1.0 - 2.0 * objects.extended - 0.25 * np.clip(objects.mag - 20.5, 0, 2), 0.02, 0.98)
    star = np.clip(point + 0.08 * rng.standard_normal(n), 0.0, 1.0)
    return auto.astype(np.float32), star.astype(np.float32)


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
            Which rows.

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
        What was asked for.
    seed : int
        Every random draw is made from it.
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

    Returns
    -------
    SimulatedSurvey

    Raises
    ------
    ConfigError
        If the bands or the planted line are unknown.
    """
    streams = np.random.SeedSequence(seed).spawn(6)
    instrument = load_instrument(options.bands)
    universe = Universe(instrument, options.magnitudes, options.planted, kinds=options.kinds)
    rng = np.random.default_rng(streams[0])
    tiles = draw_tiles(rng, tile_numbers(options), instrument, options, sky=True)
    mock_tiles = draw_tiles(rng, np.arange(MOCK_TILES), instrument, options, sky=False)
    shift = draw_shift(rng, tiles, instrument, options)
    labels = _target_labels(np.random.default_rng(streams[1]), options)
    other = options.shift * options.shifts.population
    sky = Universe(instrument, options.magnitudes, options.planted, other, options.kinds) if other else universe
    objects = _draw_all(sky, labels, streams[2], progress)
    ids = _object_ids(np.random.default_rng(streams[3]), len(objects) + options.n_source)
    target, truth, flags = sky_catalogue(streams[4], objects, ids[: len(objects)], shift, instrument, options)
    wrong = np.unique(target.object_id[(target.label != UNLABELLED) & (target.label != truth.label)])
    rows = MockRows(options, instrument, mock_tiles, shift)
    return SimulatedSurvey(
        source=rows.make(streams[5], universe, objects, ids, progress),
        target=target,
        truth=Truth(truth.label, truth.z),
        flags=flags,
        shift=replace(shift, wrong_labels=wrong),
        options=options,
        seed=seed,
    )


def _object_ids(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.permutation(_FIRST_ID + np.cumsum(rng.integers(1, 16, n, dtype=np.int64)))


def _target_labels(rng: np.random.Generator, options: SimulateOptions) -> np.ndarray:
    """True classes of the labelled objects, then of the unlabelled ones."""
    known = shuffled_labels(rng, options.n_labelled, options.class_mix, options.quasar_factor_labelled)
    other = shuffled_labels(rng, options.n_unlabelled, options.class_mix, options.quasar_factor_unlabelled)
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


CHUNK = 16384
"""Objects that are drawn and observed at once: it bounds the memory, and is part of what a seed means."""

MOCK_TILES = 40
"""Tiles whose depths the noise of mocks is drawn from."""

_BLANK = 0.02  # of mock objects have no morphology
_LOST = 0.0004  # of the values of the noisy plane
_PLANES = ("flux", "flux_err", "flux_mean")
_VECTORS = {"object_id": "i8", "ra": "f8", "dec": "f8", "z": "f8", "mag": "f4", "label": "i1", "morphology": "i1"}
_EXTRA = {"ISINJPAS": "i1", "NOISE_TILE": "i2", "EBV": "f4", **{f"DESI_FLUX_{band}": "f4" for band in "GRZ"}}


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
    flux = objects.imaging * np.float32(10.0 ** (-0.4 * (AB_ZERO_POINT - 22.5)))
    sigma = (10.0 ** (-0.4 * (depth - 22.5)) / 5.0).astype(np.float32)
    return np.maximum(flux + sigma * rng.standard_normal(flux.shape, dtype=np.float32), 0.01 * sigma)


_WISE = (20.7, 20.0)  # AB magnitudes of 5 σ in W1 and W2 of the Legacy Surveys (Dey et al. 2019), from memory


def optional_bands(rng: np.random.Generator, objects: Objects, imaging: np.ndarray) -> dict[str, np.ndarray]:
    """Return G, Z, and W1 and W2 with the noise of WISE, as a catalogue holds them.

    Colours scatter about those that the tables ``infrared_*`` of ``configs/spectra.yaml`` give by redshift or r - z.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where scatter and noise come from.
    objects : Objects
        n objects.
    imaging : array of float32, shape (n, 3)
        Their g, r, z with noise, nanomaggies.

    Returns
    -------
    dict of str to array of float32, shape (n,)
        AB magnitudes by name of the column; NaN where the flux is not positive or hangs on a band that is missing.
    """
    facts, n = spectra_file(), len(objects)
    r, z = (AB_ZERO_POINT - 2.5 * np.log10(np.maximum(objects.imaging[:, band], 1e-6)) for band in (1, 2))
    quasar, star = np.array(facts.infrared_quasars).T, np.array(facts.infrared_stars).T
    at, blue, red, blue_rz, red_rz, second = np.array(facts.infrared_galaxies).T
    part = (r - z - np.interp(objects.z, at, blue_rz)) / np.interp(objects.z, at, red_rz - blue_rz)
    galaxy = np.interp(objects.z, at, blue) + np.clip(part, -0.3, 1.2) * np.interp(objects.z, at, red - blue)
    which = [objects.label <= QSO_LOW, objects.label == GALAXY]
    colour = np.select(which, [np.interp(objects.z, *quasar[:2]), galaxy], np.interp(r - z, *star[:2]))
    more = [np.interp(objects.z, quasar[0], quasar[2]), np.interp(objects.z, at, second)]
    between = np.select(which, more, np.interp(r - z, star[0], star[2]))
    spread = np.select([mask[:, None] for mask in which], [[0.35, 0.15], [0.20, 0.10]], [0.06, 0.04])
    first = np.where(which[0], r, z) - colour + spread[:, 0] * rng.standard_normal(n)
    mag = np.stack([first, first - between + spread[:, 1] * rng.standard_normal(n)], axis=1)
    seen, sky = 10.0 ** (-0.4 * (mag - 22.5)), 10.0 ** (-0.4 * (np.array(_WISE) - 22.5)) / 5.0
    wise = seen + np.hypot(sky, 0.02 * seen) * rng.standard_normal(seen.shape)
    flux = {"G": imaging[:, 0], "Z": imaging[:, 2], "W1": wise[:, 0], "W2": wise[:, 1]}
    return {
        f"{IMAGING_EXTRA}{name}": (22.5 - 2.5 * np.log10(np.where(f > 0, f, np.nan))).astype(np.float32)
        for name, f in flux.items()
    }


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
        if options.wise:
            self._columns |= {f"{IMAGING_EXTRA}{band}": np.empty(n, dtype="f4") for band in ("G", "Z", "W1", "W2")}
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
            self._fill(rng, place[start:end], objects, all_ids[start:end], twin, chunk)
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
            extra={name: columns[name] for name in columns if name in _EXTRA or name.startswith(IMAGING_EXTRA)},
        )

    def _fill(
        self, rng: np.random.Generator, place: np.ndarray, objects: Objects, ids: np.ndarray, twin: bool,
        chunk: np.random.SeedSequence,
    ) -> None:  # fmt: skip
        """Make all noisy rows of n objects, and put them in their places, int (n, realisations)."""
        n = len(objects)
        columns = {"object_id": ids, "z": objects.z, "label": objects.label, "EBV": objects.reddening, "ISINJPAS": twin}
        columns["flux_mean"] = mean = mock_means(rng, objects.flux, self._shift)
        imaging = imaging_fluxes(rng, objects, self._instrument)
        columns["morphology"] = np.where(rng.random(n) < _BLANK, 0, objects.morphology)
        columns["ra"], columns["dec"] = 360.0 * rng.random(n), np.rad2deg(np.arcsin(rng.uniform(-0.17, 0.87, n)))
        columns |= {f"DESI_FLUX_{band}": imaging[:, i] for i, band in enumerate("GRZ")}
        columns["mag"] = 22.5 - 2.5 * np.log10(imaging[:, 1])
        if self._options.wise:
            columns |= optional_bands(np.random.default_rng(chunk.spawn(1)[0]), objects, imaging)
        for rows in place.T:
            columns["NOISE_TILE"] = tile = rng.integers(0, len(self._tiles), n)
            flux, error = observe_mock(rng, mean, tile, self._tiles, self._shift, self._instrument)
            flux[rng.random(flux.shape, dtype=np.float32) < _LOST] = np.nan
            for name, values in (columns | {"flux": flux, "flux_err": error}).items():
                self._columns[name][rows] = values
