"""The built-in simulated survey as a data set, so that everything runs on a bare machine.

A whole simulated survey: mocks, the sky, and the recorded shift between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..options import PlantedLine, ShiftOptions, SimulateOptions
from ..run import Progress
from ..surveys.assembly import assemble
from ..surveys.bands import band_system
from ..surveys.catalogue import UNLABELLED, Catalogue
from ..surveys.dataset import Dataset
from .draws import deal
from .observe import Shift, Tiles, draw_shift, draw_tiles
from .sources import Objects, Universe
from .survey import CHUNK, MOCK_TILES, MockRows, sky_catalogue, tile_numbers
from .throughput import load_instrument

__all__ = ["PlantedLine", "ShiftOptions", "SimulateOptions", "SimulatedSurvey", "simulate_survey"]

_FIRST_ID = 39_627_000_000_000_000  # as DESI's: above 2^53, and neighbours closer than a float64 can tell


@dataclass(frozen=True)
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
    truth_label : array of int8, shape (rows of target,)
        True classes, also of unlabelled rows: to judge by, never to train on.
    truth_z : array of float64, shape (rows of target,)
        True redshifts.
    flags : array of int16, shape (rows of target, bands)
        FLAGS of the target; corrupted values are NaN in its fluxes.
    shift : dict
        What is different on the sky, as drawn.
    options : SimulateOptions
    seed : int
    """

    source: Catalogue
    target: Catalogue
    truth_label: np.ndarray
    truth_z: np.ndarray
    flags: np.ndarray
    shift: dict[str, Any]
    options: SimulateOptions
    seed: int

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
    target, truth, flags = sky_catalogue(streams[4], objects, ids[: len(objects)], tiles, shift, instrument, options)
    wrong = np.unique(target.object_id[(target.label != UNLABELLED) & (target.label != truth.label)])
    rows = MockRows(_mock_count(options), instrument)
    _fill_mocks(rows, streams[5], universe, objects, ids, mock_tiles, shift, options, progress)
    return SimulatedSurvey(
        source=rows.catalogue(),
        target=target,
        truth_label=truth.label,
        truth_z=truth.z,
        flags=flags,
        shift={"scale": options.shift, **shift.to_dict(tiles, instrument), "wrong_labels": wrong},
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


BANDS = "jpas55"


def builtin_dataset(
    seed: int = 0, options: SimulateOptions | None = None, progress: Progress | None = None
) -> tuple[Dataset, SimulatedSurvey]:
    """Simulate a survey and make a data set of it.

    Parameters
    ----------
    seed : int
        Seed of the simulation.
    options : SimulateOptions, optional
        Its size and shift.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    dataset : Dataset
        Twins of labelled target objects are kept out of the mocks that train.
    survey : SimulatedSurvey
        With the truth, which the data set does not hold.
    """
    survey = simulate_survey(options or SimulateOptions(), seed, progress=progress)
    bands = band_system(BANDS)
    told = {"simulated": True, "seed": seed, "shift": survey.shift}
    dataset = assemble(survey.source.select_bands(bands), survey.target.select_bands(bands), provenance=told)
    return dataset, survey


def open_dataset(data: Dataset | str | Path | None, seed: int = 0, progress: Progress | None = None) -> Dataset:
    """Return the data set that a verb was given.

    Parameters
    ----------
    data : Dataset, path or None
        A data set, a folder that holds one, or nothing: the built-in simulated survey.
    seed : int
        Seed of the built-in survey.
    progress : callable, optional
        Called as ``progress(stage, done, total)`` while that is simulated.

    Returns
    -------
    Dataset
        The data set.

    Raises
    ------
    BundleError
        If a folder holds no whole data set.
    """
    if data is None:
        return builtin_dataset(seed, progress=progress)[0]
    return data if isinstance(data, Dataset) else Dataset.load(data)
