"""simulate and mocks: the built-in survey as a data set, and mocks made of real spectra."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from ..atomic import atomic_folder
from ..config import options_of, override
from ..errors import ConfigError, DatasetError
from ..options import PrepareOptions, ShiftOptions, SimulateOptions
from ..run import Progress, Run, claim_folder
from ..store import Provenance, provenance, write_json
from ..surveys.assembly import assemble
from ..surveys.audit import NO_SPLIT, split_objects
from ..surveys.bands import Band, band_system
from ..surveys.catalogue import UNLABELLED, Catalogue
from ..surveys.dataset import Dataset
from ..surveys.positions import SkyIndex
from ..surveys.reader import read_labels
from ..surveys.schema import load_schema
from ..surveys.scheme import CLASSES
from ..text import count
from .kinds import KIND, KINDS
from .observe import Shift, Tiles, camera_with, draw_shift, draw_tiles, mock_means, observe_mock
from .parents import WINDOW, ParentLight, Parents, learn_parents
from .sources import MocksOptions, Objects, SkyWeights, shuffled_labels
from .spectra_files import read_spectra, spectra_paths
from .survey import MOCK_TILES, SimulatedSurvey, Truth, imaging_fluxes, optional_bands, simulate_survey
from .throughput import WAVELENGTH, Curve, Instrument, band_operator, find_curves, instrument_curves, read_curve
from .write import MockFiles, write_survey

BANDS = "jpas55"
"""Band system of the data set: the narrow bands that every J-PAS catalogue has."""


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedDataset(Dataset):
    """A data set of a simulated survey: a :class:`~jpas_gbm.surveys.dataset.Dataset` whose truth is known.

    Twins of labelled target objects are kept out of the mocks that train. Saved and loaded again, and in the view
    that training gets, it is a plain data set.

    Parameters
    ----------
    made_from : SimulatedSurvey
        The survey.
    """

    made_from: SimulatedSurvey | None = field(default=None)

    @property
    def survey(self) -> SimulatedSurvey:
        """The survey that the data set was made from, with its options and its seed.

        Raises
        ------
        DatasetError
            If it was taken away; so do `truth` and `shift`.
        """
        if self.made_from is None:
            raise DatasetError("this data set knows no survey that it was made from. Use the one that simulate gave.")
        return self.made_from

    @cached_property
    def truth(self) -> Truth:
        """True class and redshift of every target row, labelled or not."""
        ids, first = np.unique(self.survey.target.object_id, return_index=True)
        return self.survey.truth.take(first[np.searchsorted(ids, self.target.object_id)])

    @property
    def shift(self) -> Shift:
        """What is different on the sky, as drawn."""
        return self.survey.shift

    def for_training(self) -> Dataset:
        """Return the view that fitting and tuning get: test labels are masked, and the truth is gone.

        Returns
        -------
        Dataset
        """
        plain = {of.name: getattr(self, of.name) for of in fields(Dataset)}
        return Dataset(**plain).for_training()


def simulate(
    seed: int = 0,
    *,
    rows: int | None = None,
    labelled: int | None = None,
    unlabelled: int | None = None,
    config: SimulateOptions | Mapping[str, object] | str | Path | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SimulatedDataset:
    """Simulate a survey: mocks, sky, labels, imaging and truth, with a recorded shift.

    The same options and seed give the same bits.

    Parameters
    ----------
    seed : int
        Every random stream is spawned from it.
    rows : int, optional
        Mock rows, not counting twins of labelled objects.
    labelled, unlabelled : int, optional
        Target objects with and without a label.
    config : SimulateOptions, mapping or path, optional
        Options, some of them by name, a file of them, or the name of shipped ones; by default those of
        :class:`~jpas_gbm.options.SimulateOptions`.
    out : path, optional
        Folder that the survey is written to as well, in the formats of the archives: what ``prepare`` reads.
    overwrite : bool
        Whether a folder that is there may be replaced.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    SimulatedDataset
        With the truth, which its files do not hold.

    Raises
    ------
    ConfigError
        If an option is wrong, or the bands or the planted line are unknown.
    OutputError
        If the folder exists and may not be replaced, or cannot be written.
    DatasetError
        If the survey has too few rows of two classes to train on; its files are written all the same.
    """
    options = options_of(SimulateOptions, SimulateOptions() if config is None else config, "")
    options = override(options, n_source=rows, n_labelled=labelled, n_unlabelled=unlabelled)
    seed = Run.start(seed).seed
    if out is not None:
        claim_folder(out, "simulated survey", overwrite, [config if isinstance(config, str | Path) else None])
    survey = simulate_survey(options, seed, progress=progress)
    if out is not None:
        write_survey(survey, out, overwrite=overwrite)
    plain = _assembled(survey)
    return SimulatedDataset(**{of.name: getattr(plain, of.name) for of in fields(plain)}, made_from=survey)


def _assembled(survey: SimulatedSurvey) -> Dataset:
    """Return the survey as a data set; one of mocks alone, or of the sky alone, is split and nothing else."""
    bands = band_system(BANDS)
    source, target = (side.select_bands(bands) for side in (survey.source, survey.target))
    made: Provenance = {"simulated": True, "magnitude": "r (Legacy Surveys)", "seed": survey.seed}
    made["shift"] = survey.shift.to_dict()
    if len(source) and len(target):
        return assemble(source, target, provenance=made)
    shares = PrepareOptions().splits
    source_split = split_objects(source.object_id, shares.source, shares.seed)
    target_split = split_objects(target.object_id, shares.target, shares.seed)
    target_split[target.label == UNLABELLED] = NO_SPLIT
    return Dataset(source, source_split, target, target_split, source.take(slice(0, 0)), provenance=made)


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
        return simulate(seed, progress=progress)
    return data if isinstance(data, Dataset) else Dataset.load(data)


_CHUNK = 2048
"""Objects that are made at once: it bounds the memory, and is part of what a seed means."""


_FIRST_ID = 1 << 60  # of templates, which have no TARGETID; observed objects stay below


@dataclass(frozen=True)
class Mocks:
    """Mocks that were made of spectra.

    Parameters
    ----------
    out : str
        Their folder.
    rows : dict of str to int
        By class.
    parents : dict of str to int
        Parents used, by class.
    effective : dict of str to float
        (Σ n)² / Σ n² of the rows n of each parent, by class: so many parents they are worth.
    effective_rows : dict of str to float
        (Σ w)² / Σ w² of the rows' weights w toward the sky, by class: so many rows of the sky they are worth.
    left_out : dict of str to int
        Spectra that make no mocks, by reason.
    missing : float
        Share of the fluxes that are missing.
    """

    out: str
    rows: dict[str, int]
    parents: dict[str, int]
    effective: dict[str, float]
    effective_rows: dict[str, float]
    left_out: dict[str, int]
    missing: float

    def to_dict(self) -> dict[str, object]:
        """Return the fields by name.

        Returns
        -------
        dict
            As ``mocks.json`` holds it.
        """
        return dict(vars(self))

    def lines(self) -> list[str]:
        """Return a line for each class, and what was left out.

        Returns
        -------
        list of str
            Without line breaks.
        """
        made = [
            f"{name}: {count(many, 'row')} of {count(self.parents[name], 'parent')} (worth {self.effective[name]:.0f})"
            f", weighted to the sky worth {count(round(self.effective_rows[name]), 'row')}"
            for name, many in self.rows.items()
        ]
        left = [f"left out: {many} {why}" for why, many in self.left_out.items()]
        return [*made, *left, f"missing fluxes: {100 * self.missing:.1f} %"]


def mocks(
    spectra: Sequence[str | Path],
    out: str | Path,
    *,
    bands: str = "jpas55",
    curves: str | Path | None = None,
    depths: str | Path | None = None,
    apart: Sequence[str | Path] | None = None,
    rows: int | None = None,
    config: MocksOptions | Mapping[str, object] | str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Mocks:
    """Make mocks of real spectra and templates, as ``prepare`` and ``fit`` take them.

    A mock is the fit of a spectrum, varied. It bears the id of this parent: mocks of one fall into one split.

    Parameters
    ----------
    spectra : sequence of path
        Spectra and templates (:func:`~jpas_gbm.simulation.spectra_files.read_spectra`).
    out : path
        Folder for the paper's array (J-PAS bands), ``mocks.parquet``, ``parents.csv`` and ``mocks.json``.
    bands : str
        Band system, or a survey file (YAML) that defines bands of its own.
    curves : path, optional
        Folder of throughput curves, a file for each band; default: the built-in model curves of J-PAS.
    depths : path, optional
        Table of 5 σ depths (``name``, ``depth``), or of tiles; default: the built-in depths of J-PAS.
    apart : sequence of path, optional
        Label tables of the target: its objects, by id or within 1 arcsec, are no parents.
    rows : int, optional
        How many rows; default: that of the options.
    config : MocksOptions, mapping or path, optional
        Options, or a file of them.
    seed : int
        Every random stream is spawned from it.
    overwrite : bool
        Whether a folder that is there may be replaced.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Mocks

    Raises
    ------
    JpasGbmError
        If a file is not understood, none can be a parent, an option is wrong, or the folder may not be written.
    """
    options = _with_offset(options_of(MocksOptions, MocksOptions() if config is None else config, ""), rows, depths)
    seed, inputs = Run.start(seed).seed, [path for path, _ in spectra_paths(spectra)]
    claim_folder(out, "mocks", overwrite, [*inputs, curves, depths, *(apart or [])])
    camera, tiles = camera_with(_system(bands), depths, options.depth_offset or 0.0)
    seen = _curves(camera, curves)
    parents = _kept_apart(learn_parents(read_spectra(spectra)), apart or [])
    with atomic_folder(out, overwrite=overwrite) as folder:
        return _write(folder, str(out), ParentLight(parents, seen, options), camera, tiles, seed, inputs, progress)


def _with_offset(options: MocksOptions, rows: int | None, depths: str | Path | None) -> MocksOptions:
    """Return options that say what is added to depths: a table says what is meant, and the built-in are miniJPAS's."""
    own = SimulateOptions().depth_offset if depths is None else 0.0
    given = own if options.depth_offset is None else options.depth_offset
    return override(options, rows=rows, depth_offset=given)


def _system(bands: str) -> str:
    """Return the name of a band system: itself, or what a survey file calls its own."""
    system = load_schema(bands).default_bands if Path(bands).suffix.lower() in (".yaml", ".yml") else bands
    if system is None:
        raise ConfigError(
            f"{bands}: names no bands, so no mocks can be made for it. Give the survey file of a catalogue."
        )
    return system


def _write(
    folder: Path, out: str, light: ParentLight, camera: Instrument, tiles: Tiles | None, seed: int,
    inputs: list[Path], progress: Progress | None,
) -> Mocks:  # fmt: skip
    """Make the rows and write all files."""
    files = MockFiles(folder, camera.system, light.options.rows)
    weigher = SkyWeights(light.options.magnitudes)
    used, missing = _make(light, camera, tiles, light.options, seed, files, weigher, progress)
    files.close()
    result = _told(out, light, used, missing, weigher)
    _list_parents(light.parents, used.sum(axis=1), folder / "parents.csv")
    made = provenance(seed=seed, options=light.options.model_dump(mode="json"), inputs=inputs)
    write_json(folder / "mocks.json", {**result.to_dict(), "bands": camera.system.name, "provenance": made})
    return result


def _curves(camera: Instrument, folder: str | Path | None) -> list[Curve]:
    """Return the curves of the bands, measured or modelled, then those of the imaging survey."""
    if folder is not None:
        files = find_curves(folder, camera.system.names)
        own = [_curve_of(band, files[band.name]) for band in camera.system]
    elif all(item.rise for item in camera.filters):
        own = list(instrument_curves(camera.filters))
    else:
        raise ConfigError(f"bands '{camera.system.name}' have no built-in curves. Give a folder of them: --curves DIR.")
    seen = band_operator(own, WAVELENGTH[WINDOW:])[1] > 0.97
    if not seen.all():
        dark = ", ".join(name for name, here in zip(camera.system.names, seen, strict=True) if not here)
        told = f"spectra are made from {WAVELENGTH[WINDOW]:.0f} to {WAVELENGTH[-1]:.0f} Å, and {dark} reach beyond"
        if not seen.any():
            raise ConfigError(f"{told}: no band is left. Give bands inside.")
        logging.getLogger("jpas_gbm").warning("%s: no mock has a flux there.", told)
    return [*own, *instrument_curves(camera.imaging)]


def _curve_of(band: Band, path: Path) -> Curve:
    """Return the curve of a band; its pivot wavelength tells those of other bands."""
    curve = read_curve(path, band.name)
    if abs(curve.pivot - band.pivot) > max(0.5 * band.width, 0.02 * band.pivot):
        raise ConfigError(
            f"{path}: its pivot wavelength is {curve.pivot:.0f} Å, and that of {band.name} is {band.pivot:.0f} Å in "
            "the band system. Give the curve of this band, or mend the survey file."
        )
    return curve


def _kept_apart(parents: Parents, tables: Sequence[str | Path]) -> Parents:
    """Return the parents without those that the target's label tables name, or that stand at their positions."""
    for path in tables:
        labels, _ = read_labels(path)
        ids = np.array([parent.object_id for parent in parents.all])
        ra, dec = (np.array([getattr(parent, name) for parent in parents.all]) for name in ("ra", "dec"))
        gone = np.isin(ids, labels.all_ids) & (ids > 0)
        gone[SkyIndex(labels.ra, labels.dec).nearest(ra, dec, 1.0)[0]] = True
        if gone.any():
            parents.left_out["that are objects of the target"] = int(gone.sum())
        parents.all = [parent for parent, out in zip(parents.all, gone, strict=True) if not out]
    parents.require()
    return parents


def _make(
    light: ParentLight, camera: Instrument, tiles: Tiles | None, options: MocksOptions, seed: int,
    files: MockFiles, weigher: SkyWeights, progress: Progress | None,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """Make all rows; return how many of each class each parent has, int (parents, 4), and the share missing."""
    first, *streams = np.random.SeedSequence(seed).spawn(1 + -(-options.rows // (_CHUNK * options.realisations)))
    rng = np.random.default_rng(first)
    warp, offset = ShiftOptions(warp=options.warp), options.depth_offset or 0.0
    simulated = SimulateOptions(bands="jpas57", depth_offset=offset, shift=options.shift, shifts=warp)
    tiles = tiles or draw_tiles(rng, np.arange(MOCK_TILES), camera, simulated, sky=False)
    shift = draw_shift(rng, tiles, camera, simulated)
    objects_wanted = -(-options.rows // options.realisations)
    mix = tuple(share if code in light.codes else 0.0 for code, share in enumerate(options.class_mix))
    if not any(mix):
        raise ConfigError("class_mix asks for no class that the spectra can make. Give other shares or more spectra.")
    labels = shuffled_labels(rng, objects_wanted, mix, 1.0)
    weigher.learn(labels)
    used, missing, done = np.zeros((len(light.parents.all), len(CLASSES)), dtype=np.int64), 0, 0
    for start, stream in zip(range(0, objects_wanted, _CHUNK), streams, strict=True):
        rng = np.random.default_rng(stream)
        objects, parent = light.draw(rng, labels[start : start + _CHUNK])
        mean, imaging = mock_means(rng, objects.flux, shift), imaging_fluxes(rng, objects, camera)
        infrared = np.random.default_rng(stream.spawn(1)[0])
        more = optional_bands(infrared, objects, imaging) if options.wise else {}
        for again in range(options.realisations):
            n = min(len(objects), options.rows - done)
            tile = rng.integers(0, len(tiles), len(objects))
            flux, error = observe_mock(rng, mean, tile, tiles, shift, camera)
            chunk = _catalogue(light, objects, parent, mean, flux, error, imaging, tile, camera, more)
            about = [light.parents.all[i] for i in parent]
            own = (objects.kind > 0) & (objects.kind != KIND["red quasar"])  # which have no light of their parent
            columns = {
                "SUBTYPE": np.where(objects.kind > 0, np.array(KINDS)[objects.kind], [p.subtype for p in about]),
                "PARENT": np.where(own, "built-in", [p.name for p in about]),
                "PARENT_Z": np.array([p.z for p in about]),
                "OBJECT": start + np.arange(len(objects)),
                "REALISATION": np.full(len(objects), again),
                "ROW": done + np.arange(len(objects)),
                "WEIGHT": weigher.weights(objects, n),
            }
            kept = np.arange(n)
            files.add(chunk.take(kept), {name: values[:n] for name, values in columns.items()})
            np.add.at(used, (parent[:n], objects.label[:n]), 1)
            missing += int(np.isnan(flux[:n]).sum())
            done += n
        if progress:
            progress("making mocks", done, options.rows)
    return used, missing / (options.rows * len(camera.filters))


def _catalogue(
    light: ParentLight, objects: Objects, parent: np.ndarray, mean: np.ndarray, flux: np.ndarray, error: np.ndarray,
    imaging: np.ndarray, tile: np.ndarray, camera: Instrument, more: dict[str, np.ndarray],
) -> Catalogue:  # fmt: skip
    """Return rows as a catalogue, under the ids and at the places of their parents."""
    about = light.parents.all
    ids = light.parents.object_ids(_FIRST_ID)
    ra, dec = (np.array([getattr(p, name) for p in about])[parent] for name in ("ra", "dec"))
    return Catalogue(
        bands=camera.system,
        flux=flux,
        flux_err=error,
        flux_mean=mean,
        key={"ROW": np.arange(len(objects))},
        object_id=ids[parent],
        ra=ra,
        dec=dec,
        mag=22.5 - 2.5 * np.log10(imaging[:, 1]),
        morphology=objects.morphology,
        label=objects.label,
        z=objects.z,
        survey="jpas_mocks",
        photometry="FLUX+NOISE",
        extra={
            "ISINJPAS": np.zeros(len(objects), dtype=np.int8),
            "NOISE_TILE": tile.astype(np.int16),
            "EBV": objects.reddening,
            **{f"DESI_FLUX_{band}": imaging[:, i] for i, band in enumerate("GRZ")},
            **more,
        },
    )


def _told(out: str, light: ParentLight, used: np.ndarray, missing: float, weigher: SkyWeights) -> Mocks:
    names = [name for code, name in enumerate(CLASSES) if used[:, code].any()]
    by = {name: used[:, CLASSES.index(name)] for name in names}
    return Mocks(
        out,
        {name: int(n.sum()) for name, n in by.items()},
        {name: int((n > 0).sum()) for name, n in by.items()},
        {name: float(n.sum() ** 2 / (n.astype(float) ** 2).sum()) for name, n in by.items()},
        {name: weigher.effective(CLASSES.index(name)) for name in by},
        dict(light.parents.left_out),
        missing,
    )


def _list_parents(parents: Parents, rows: np.ndarray, path: Path) -> None:
    """Write what each parent is, how well its templates fit, and how many rows it has."""
    import pandas as pd

    names = ("name", "file", "object_id", "spectype", "subtype", "z", "ra", "dec", "misfit")
    table = pd.DataFrame({name: [getattr(parent, name) for parent in parents.all] for name in names})
    table.assign(rows=rows).to_csv(path, index=False, float_format="%.6g")
