"""A simulated survey as a folder of files in the formats of the archives: CEFCA, DESI, Legacy Surveys, mocks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..atomic import atomic_folder
from ..errors import OutputError
from ..store import provenance, write_json
from ..surveys.audit import split_objects
from ..surveys.bands import BandSystem, band_system, own_table
from ..surveys.catalogue import IMAGING_EXTRA, MORPHOLOGIES, UNLABELLED, Catalogue
from ..surveys.scheme import CLASSES
from ..text import count
from .observe import CORRUPTED
from .survey import SimulatedSurvey

SPECTYPES = np.array(["QSO", "QSO", "GALAXY", "STAR"])
"""SPECTYPE of each class code."""

_LIGHT = 2.99792458e18  # Å/s
_ASTROMETRY = 0.08 / 3600.0  # degrees, in each direction
_BLANK = 0.02  # share of label rows without a morphology
_FAILED, _REPEATED, _SKY, _BAD_FIBRE = 0.025, 0.035, 0.02, 0.004  # shares of the number of labelled objects
_TYPES = np.array(["", *MORPHOLOGIES[1:]])


def first_rows(catalogue: Catalogue) -> np.ndarray:
    """Return the first row of each object, in row order: overlaps stand twice in a catalogue of the sky.

    Parameters
    ----------
    catalogue : Catalogue
        n rows.

    Returns
    -------
    array of int, shape (m,)
    """
    return np.sort(np.unique(catalogue.object_id, return_index=True)[1])


def _column(name: str, form: str, values: np.ndarray, unit: str | None = None) -> Any:
    from astropy.io import fits

    return fits.Column(name=name, format=form, array=values, unit=unit)


def _write(path: Path, name: str, columns: list[Any], cards: dict[str, Any] | None = None) -> None:
    from astropy.io import fits

    table = fits.BinTableHDU.from_columns(columns, name=name)
    table.header["SIMULATD"] = (True, "simulated by jpas-gbm, not data of the survey")
    for key, value in (cards or {}).items():
        table.header[key] = value
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, checksum=True)


def write_target(survey: SimulatedSurvey, path: Path) -> None:
    """Write the sky as an FLambdaDualObj extract: f_λ, relative errors with the sign of the flux, flags.

    Parameters
    ----------
    survey : SimulatedSurvey
        The survey.
    path : Path
        FITS file to write.
    """
    target = survey.target
    rng = np.random.default_rng([survey.seed, 1])
    unit = (1e-32 * _LIGHT / target.bands.pivots**2 / 1e-19).astype(np.float64)  # nJy to 1e-19 erg/s/cm2/Å
    corrupted = survey.flags == CORRUPTED
    missing = np.isnan(target.flux) & ~corrupted
    flux, error = target.flux * unit, target.flux_err * unit
    wild = np.nanmedian(np.abs(flux), axis=1)[:, None] * 10.0 ** rng.uniform(0.5, 2.0, flux.shape)
    flux = np.where(corrupted, wild, flux)
    relative = np.where(corrupted, 0.1, error / np.where(flux == 0, 1.0, flux))
    b = len(target.bands)
    auto = np.where(np.isnan(target.extra["MAG_AUTO"]), 99.0, target.extra["MAG_AUTO"])
    columns = [
        _column("TILE_ID", "J", target.key["TILE_ID"]),
        _column("NUMBER", "J", target.key["NUMBER"]),
        _column("ALPHA_J2000", "D", target.ra, "deg"),
        _column("DELTA_J2000", "D", target.dec, "deg"),
        _column("FLUX_APER_COR_3_0", f"{b}E", flux.astype(np.float32), "10**-19 erg Angstrom-1 s-1 cm-2"),
        _column("FLUX_RELERR_APER_COR_3_0", f"{b}E", relative.astype(np.float32)),
        _column("FLAGS", f"{b}I", survey.flags),
        _column("MASK_FLAGS", f"{b}I", missing.astype(np.int16)),
        _column("MAG_AUTO", "E", auto.astype(np.float32), "mag"),
        _column("CLASS_STAR", "E", target.extra["CLASS_STAR"]),
    ]
    _write(path, "FLAMBDADUALOBJ", columns, {f"BAND{i}": name for i, name in enumerate(target.bands.names)})


def _elsewhere(rng: np.random.Generator, target: Catalogue, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the same sources in another survey's astrometry, 0.1 arcsec away."""
    ra, dec = _ASTROMETRY * rng.standard_normal((2, len(rows)))
    return target.ra[rows] + ra / np.cos(np.deg2rad(target.dec[rows])), target.dec[rows] + dec


def _spectra_taken(survey: SimulatedSurvey, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Which rows of the target the zcatalogue lists and in which state: labels, failures, repeats, bad fibres."""
    target = survey.target
    rows = first_rows(target)
    labelled = rows[target.label[rows] != UNLABELLED]
    other = rng.permutation(rows[target.label[rows] == UNLABELLED])
    failed = other[: min(round(_FAILED * len(labelled)), len(other) // 5)]
    bad = other[len(failed) :][: min(round(_BAD_FIBRE * len(labelled)), len(other) // 10)]
    repeated = rng.permutation(labelled)[: round(_REPEATED * len(labelled))]
    parts = [labelled, failed, bad, repeated]
    state = np.repeat(np.arange(4), [len(part) for part in parts])
    row = np.concatenate(parts)
    order = rng.permutation(len(row))
    return {"row": row[order], "state": state[order]}


def write_labels(survey: SimulatedSurvey, path: Path) -> None:
    """Write a DESI zcatalogue of the labelled objects, with what such a file also holds.

    Redshift failures (ZWARN 4, wrong types), second spectra (ZCAT_PRIMARY false), bad fibres
    (COADD_FIBERSTATUS 8) and sky fibres (OBJTYPE SKY, negative TARGETID): none of these is a label.

    Parameters
    ----------
    survey : SimulatedSurvey
        The survey.
    path : Path
        FITS file to write.
    """
    target = survey.target
    rng = np.random.default_rng([survey.seed, 2])
    taken = _spectra_taken(survey, rng)
    row, state = taken["row"], taken["state"]
    n, n_sky = len(row), round(_SKY * int((state == 0).sum()))
    trusted = target.label[row] != UNLABELLED
    # What a failed spectrum was taken for means nothing.
    guess = rng.integers(0, len(CLASSES), n)
    label = np.where(trusted, target.label[row], guess)
    z = np.where(trusted, target.z[row], np.where(SPECTYPES[label] == "STAR", 0.0, rng.uniform(0.0, 4.0, n)))
    spectype = SPECTYPES[label]
    morphology = _TYPES[np.where(rng.random(n) < _BLANK, 0, target.morphology[row])]
    flux = np.stack([target.extra[f"FLUX_{band}"][row] for band in "GRZ"])

    ra, dec = _elsewhere(rng, target, row)

    def both(values: np.ndarray, sky: Any) -> np.ndarray:
        return np.concatenate([values, np.broadcast_to(np.asarray(sky), n_sky)])

    columns = [
        _column("TARGETID", "K", both(target.object_id[row], -np.arange(1, n_sky + 1))),
        _column("SURVEY", "7A", both(np.full(n, "main"), "main")),
        _column("PROGRAM", "6A", both(np.where(flux[1] > 10.0, "bright", "dark"), "dark")),
        _column("TARGET_RA", "D", both(ra, rng.uniform(150.0, 152.0, n_sky)), "deg"),
        _column("TARGET_DEC", "D", both(dec, rng.uniform(30.0, 31.0, n_sky)), "deg"),
        _column("Z", "D", both(z, 0.0)),
        _column("ZERR", "D", both(np.full(n, 1e-4), 1e-4)),
        _column("ZWARN", "K", both(np.where(state == 1, 4, 0), 2053)),
        _column("SPECTYPE", "6A", both(spectype, "GALAXY")),
        _column("DELTACHI2", "D", both(np.where(state == 1, 5.0, 40.0) + 200.0 * rng.exponential(1.0, n), 3.0)),
        _column("OBJTYPE", "3A", both(np.full(n, "TGT"), "SKY")),
        _column("ZCAT_PRIMARY", "L", both(state != 3, False)),
        _column("COADD_FIBERSTATUS", "J", both(np.where(state == 2, 8, 0), 0)),
        _column("MORPHTYPE", "4A", both(morphology, "")),
        *(_column(f"FLUX_{band}", "E", both(flux[i], 0.1), "nanomaggy") for i, band in enumerate("GRZ")),
        _column("EBV", "E", both(target.extra["EBV"][row], 0.02), "mag"),
    ]
    _write(path, "ZCATALOG", columns)


def write_imaging(survey: SimulatedSurvey, path: Path) -> None:
    """Write a Tractor table of nearly all sources: positions, shapes and fluxes in nanomaggies.

    Parameters
    ----------
    survey : SimulatedSurvey
        The survey.
    path : Path
        FITS file to write.
    """
    target = survey.target
    rows = first_rows(target)
    rows = rows[np.isfinite(target.imaging_mag[rows])]
    ra, dec = _elsewhere(np.random.default_rng([survey.seed, 3]), target, rows)
    columns = [
        _column("BRICKID", "J", 330000 + (target.key["TILE_ID"][rows] % 97)),
        _column("OBJID", "J", np.arange(len(rows))),
        _column("RA", "D", ra, "deg"),
        _column("DEC", "D", dec, "deg"),
        _column("TYPE", "4A", _TYPES[target.morphology[rows]]),
        *(_column(f"FLUX_{band}", "E", target.extra[f"FLUX_{band}"][rows], "nanomaggy") for band in "GRZ"),
        *(_column(f"FLUX_{band}", "E", flux, "nanomaggy") for band, flux in _wise(target, rows).items()),
        _column("FLUX_IVAR_R", "E", np.full(len(rows), 2500.0, dtype=np.float32), "1/nanomaggy^2"),
    ]
    _write(path, "TRACTOR", columns)


def _wise(target: Catalogue, rows: np.ndarray) -> dict[str, np.ndarray]:
    """W1 and W2 in nanomaggies where they are simulated; 0 where no positive flux was measured."""
    mags = {band: target.extra.get(f"{IMAGING_EXTRA}{band}") for band in ("W1", "W2")}
    with np.errstate(over="ignore"):
        flux = {band: 10.0 ** (-0.4 * (mag[rows] - 22.5)) for band, mag in mags.items() if mag is not None}
    return {band: np.nan_to_num(values).astype(np.float32) for band, values in flux.items()}


TARGET, LABELS, IMAGING = "jpas_idr.fits", "desi_zcat.fits", "legacy_tractor.fits"
"""Names of the tables in the folder; mocks are Mock_{train,valid,test}_FLUX+NOISE.npy beside their PROPS.csv."""

PARTS = ("train", "valid", "test")
_UNIT = 100.0  # nJy in 1e-30 erg/s/cm2/Hz
_CHUNK, _GROUP = 65536, 32768
_SENTINEL = 99.0
_HEAD = """# A simulated survey

Made by jpas-gbm {version} with seed {seed}. Nothing here was observed; scores on it are not scores on the sky.

| file | stands for |
|---|---|
"""
_PREPARE = """
    jpas-gbm prepare --source Mock_train_FLUX+NOISE.npy --source Mock_valid_FLUX+NOISE.npy \\
        --source Mock_test_FLUX+NOISE.npy --target {target} --labels {labels} --legacy {imaging} --out DATA
"""


def write_survey(survey: SimulatedSurvey, folder: str | Path, overwrite: bool = False) -> None:
    """Write a simulated survey as files that the readers of this package read again.

    Parameters
    ----------
    survey : SimulatedSurvey
        In the 57 bands of J-PAS, whose mocks have a fixed format.
    folder : path
        Made whole or not at all.
    overwrite : bool
        Whether a folder that is there may be replaced.

    Raises
    ------
    OutputError
        If the survey has other bands, or the folder cannot be written.
    """
    if survey.source.bands.name != "jpas57":
        raise OutputError(
            f"{folder}: a survey in the bands '{survey.source.bands.name}' cannot be written: the format of the mocks "
            "has the 57 bands of J-PAS and no names. Simulate with bands: jpas57."
        )
    made = provenance(seed=survey.seed, options=survey.options.model_dump(mode="json"))
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        told = _write_sky(survey, temporary) + _write_source(survey, temporary)
        write_json(temporary / "shift.json", {**survey.shift.to_dict(), "provenance": made})
        told.append(("shift.json", "what differs between mocks and sky, as drawn, and how all this was made"))
        lines = "".join(f"| {name} | {what} |\n" for name, what in told)
        head = _HEAD.format(version=made["version"], seed=survey.seed)
        whole = {TARGET, LABELS}.issubset(name for name, _ in told) and len(survey.source) > 0
        how = _PREPARE.format(target=TARGET, labels=LABELS, imaging=IMAGING) if whole else ""
        (temporary / "README.md").write_text(head + lines + how, encoding="utf-8")


def _write_sky(survey: SimulatedSurvey, folder: Path) -> list[tuple[str, str]]:
    """Write the tables of the sky; a table without rows is left out. Return what each file is."""
    target = survey.target
    if len(target) == 0:
        return []
    repeats = len(target) - len(first_rows(target))
    write_target(survey, folder / TARGET)
    write_imaging(survey, folder / IMAGING)
    _truth(survey).to_csv(folder / "truth.csv", index=False)
    told = [
        (
            TARGET,
            f"the catalogue of the sky (J-PAS, dual mode): {count(len(target), 'row')}, {repeats} of them seen twice",
        ),
        (IMAGING, "the imaging survey (Tractor): morphology, r, g and z of nearly all sources"),
        ("truth.csv", "the true class and redshift of every source of the sky: to judge by, never an input"),
    ]
    if (target.label != UNLABELLED).any():
        write_labels(survey, folder / LABELS)
        told.append((LABELS, "the spectroscopic labels (DESI zcatalogue), failures and sky fibres included"))
    return told


def _write_source(survey: SimulatedSurvey, folder: Path) -> list[tuple[str, str]]:
    """Write the mocks in three parts, no object in two of them."""
    source = survey.source
    if len(source) == 0:
        return []
    split = split_objects(source.object_id, (0.7, 0.15, 0.15), survey.seed)
    for code, part in enumerate(PARTS):
        _write_mocks(source, np.flatnonzero(split == code), folder, f"Mock_{part}")
    twins = int(survey.twins.sum())
    return [
        ("Mock_*_FLUX+NOISE.npy", f"the mocks: {count(len(source), 'row')}, {twins} of them twins of labelled objects")
    ]


def _begin_planes(path: Path, shape: tuple[int, int, int]) -> None:
    """Begin an array of float32 in a file; a map of it into memory would end the process where the disk is full."""
    head = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": shape}
    with open(path, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, head)


def _add_planes(path: Path, planes: np.ndarray) -> None:
    with open(path, "ab") as stream:
        stream.write(np.ascontiguousarray(planes, dtype=np.float32).tobytes())


def _write_mocks(source: Catalogue, rows: np.ndarray, folder: Path, stem: str) -> None:
    """Write mean, noisy flux and relative noise by chunks, and the properties beside them."""
    shape = (len(rows), len(source.bands), 3)
    path = folder / f"{stem}_FLUX+NOISE.npy"
    if len(rows) == 0:
        np.save(path, np.zeros(shape, dtype=np.float32))
    else:
        _begin_planes(path, shape)
        for start in range(0, len(rows), _CHUNK):
            _add_planes(path, mock_planes(source, rows[start : start + _CHUNK]))
    _properties(source, rows).to_csv(folder / f"{stem}_PROPS.csv", index=False)


def mock_planes(source: Catalogue, rows: np.ndarray) -> np.ndarray:
    """Return the three planes of some mock rows, float32 (n, b, 3), in 1e-30 erg/s/cm2/Hz.

    Parameters
    ----------
    source : Catalogue
        The mocks, with mean fluxes.
    rows : array of int, shape (n,)
        Which of them.

    Returns
    -------
    array of float32, shape (n, b, 3)
        Mean flux, noisy flux, σ over mean flux.
    """
    if source.flux_mean is None:
        raise OutputError("the mocks have no mean fluxes, which their format needs.")
    mean, noisy, sigma = (plane[rows] / np.float32(_UNIT) for plane in (source.flux_mean, source.flux, source.flux_err))
    # Values that a pipeline lost stand as 99 or -99 among the noisy ones.
    sign = np.where((np.arange(len(source.bands)) % 2)[None, :] == 0, _SENTINEL, -_SENTINEL)
    noisy = np.where(np.isnan(noisy), sign, noisy)
    return np.stack([mean, noisy, sigma / np.maximum(np.abs(mean), np.float32(1e-6))], axis=2, dtype=np.float32)


def _properties(source: Catalogue, rows: np.ndarray) -> pd.DataFrame:
    n, extra = len(rows), source.extra
    types = np.array(["", *MORPHOLOGIES[1:]])
    faint = extra["DESI_FLUX_R"][rows] < 10.0
    return pd.DataFrame(
        {
            "SURVEY": np.full(n, "main"),
            "PROGRAM": np.where(faint, "dark", "bright"),
            "HEALPIX": source.object_id[rows] % 49152,
            "TARGETID": source.object_id[rows],
            "RA": source.ra[rows],
            "DEC": source.dec[rows],
            **{f"DESI_FLUX_{band}": extra[f"DESI_FLUX_{band}"][rows] for band in "GRZ"},
            **{f"DESI_FLUX_{band}": flux for band, flux in _wise(source, rows).items()},
            "EBV": extra["EBV"][rows],
            "MORPHTYPE": types[source.morphology[rows]],
            "SPECTYPE": SPECTYPES[source.label[rows]],
            "REDSHIFT": source.z[rows],
            "ISINJPAS": extra["ISINJPAS"][rows],
            "TILE_ID": np.zeros(n, dtype=int),
            "NUMBER": np.zeros(n, dtype=int),
            "NOISE_SEED": np.char.add("s", rows.astype(str)),
            "NOISE_TILE": extra["NOISE_TILE"][rows],
        }
    )


def _truth(survey: SimulatedSurvey) -> pd.DataFrame:
    target = survey.target
    rows = first_rows(target)
    names = np.array([*CLASSES, ""])
    labelled = target.label[rows] != UNLABELLED
    return pd.DataFrame(
        {
            "TILE_ID": target.key["TILE_ID"][rows],
            "NUMBER": target.key["NUMBER"][rows],
            "TARGETID": np.where(labelled, target.object_id[rows], -1),
            "TRUE_CLASS": names[survey.truth.label[rows]],
            "LABEL": names[target.label[rows]],
            "Z": survey.truth.z[rows],
            "R": 22.5 - 2.5 * np.log10(target.extra["FLUX_R"][rows].astype(float)),
            "IN_DESI": labelled,
        }
    )


class MockFiles:
    """The files of mocks made of spectra, written chunk by chunk: each row stands in memory once, for a while.

    Parameters
    ----------
    folder : Path
        Where they go.
    bands : BandSystem
        Of the rows.
    rows : int
        How many there will be.
    """

    def __init__(self, folder: Path, bands: BandSystem, rows: int) -> None:
        self._folder, self.bands, self._done = folder, bands, 0
        self._frame = band_system("jpas57")
        self._table: Any = None
        self._waiting: list[Any] = []
        self.names = ["mocks.parquet"]
        if set(bands.names) <= set(self._frame.names):
            # The paper's arrays have no band names: they hold all 57, NaN where these mocks have none.
            shape = (rows, len(self._frame), 3)
            self.names = ["Mock_spectra_FLUX+NOISE.npy", "Mock_spectra_PROPS.csv", *self.names]
            _begin_planes(folder / self.names[0], shape)

    def add(self, chunk: Catalogue, columns: Mapping[str, np.ndarray]) -> None:
        """Write some rows, with more columns of theirs.

        Parameters
        ----------
        chunk : Catalogue
            The rows.
        columns : mapping of str to array, shape (n,)
            Further columns, by name.
        """
        import pyarrow as pa

        rows = np.arange(len(chunk))
        table = _properties(chunk, rows).assign(**columns)
        if len(self.names) > 1:
            place = self._frame.indices(self.bands.names)
            whole = np.full((len(chunk), len(self._frame), 3), np.nan, dtype=np.float32)
            whole[:, place] = mock_planes(chunk, rows)
            _add_planes(self._folder / self.names[0], whole)
            table.to_csv(self._folder / self.names[1], mode="a", header=self._done == 0, index=False)
        planes_of = (("FLUX", chunk.flux), ("ERR", chunk.flux_err), ("MEAN", chunk.flux_mean))
        light = {f"{what}_{band}": of[:, i] for what, of in planes_of if of is not None
                 for i, band in enumerate(self.bands.names)}  # fmt: skip
        self._waiting.append(
            pa.Table.from_pandas(pd.concat([table, pd.DataFrame(light)], axis=1), preserve_index=False)
        )
        self._done += len(chunk)
        if sum(map(len, self._waiting)) >= _GROUP:
            self._write_waiting()

    def _write_waiting(self) -> None:
        """Write the rows that wait as one group; what a writer remembers of each column of a group stays in memory."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._waiting:
            table, self._waiting = pa.concat_tables(self._waiting), []
            if self._table is None:
                words = [column.name for column in table.schema if not pa.types.is_floating(column.type)]
                path = self._folder / "mocks.parquet"
                self._table = pq.ParquetWriter(path, table.schema, use_dictionary=words)
            self._table.write_table(table)

    def close(self) -> None:
        """End the table, and write the survey file that reads it."""
        import yaml

        self._write_waiting()
        if self._table is not None:
            self._table.close()
        own = own_table(self.bands.name)
        known = {
            "title": "mocks made of spectra, one column for each band",
            "kind": "catalogue",
            "key": [["ROW"]],
            "object_id": "TARGETID",
            "ra": "RA",
            "dec": "DEC",
            "bands": {"system": self.bands.name, **({"table": own} if own else {})},
            "photometry": [
                {
                    "name": "MOCKS", "flux": "FLUX_{band}", "error": "ERR_{band}", "unit": "f_nu", "scale": 1e-32,
                    "error_kind": "absolute",
                }
            ],
            "quality": {"zero_flux": "observed", "min_bands": min(5, len(self.bands))},
            "magnitude": {
                "column": "DESI_FLUX_R", "unit": "nanomaggies", "imaging": True, "name": "r (Legacy Surveys)",
            },
            "morphology": "MORPHTYPE",
            "optional": {
                band: {"column": f"DESI_FLUX_{band}", "unit": "nanomaggies"} for band in ("G", "Z", "W1", "W2")
            },
            "labels": {"spectype": "SPECTYPE", "z": "REDSHIFT"},
        }  # fmt: skip
        (self._folder / "survey.yaml").write_text(yaml.safe_dump(known, sort_keys=False), encoding="utf-8")
