"""A simulated survey as a folder of files in the formats of the archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import OutputError
from ..files import atomic_folder, write_json
from ..provenance import provenance
from ..survey.catalogue import MORPHOLOGIES, UNLABELLED, Catalogue
from ..survey.classes import CLASSES
from ..survey.splits import split_objects
from .simulate import SimulatedSurvey
from .write_tables import SPECTYPES, first_rows, write_imaging, write_labels, write_target

TARGET, LABELS, IMAGING = "jpas_idr.fits", "desi_zcat.fits", "legacy_tractor.fits"
"""Names of the tables in the folder; mocks are Mock_{train,valid,test}_FLUX+NOISE.npy beside their PROPS.csv."""

PARTS = ("train", "valid", "test")
_UNIT = 100.0  # nJy in 1e-30 erg/s/cm2/Hz
_CHUNK = 65536
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
        write_json(temporary / "shift.json", {**survey.shift, "provenance": made})
        told.append(("shift.json", "what differs between mocks and sky, as drawn, and how all this was made"))
        lines = "".join(f"| {name} | {what} |\n" for name, what in told)
        head = _HEAD.format(version=made["version"], seed=survey.seed)
        whole = {TARGET, LABELS}.issubset(name for name, _ in told) and len(survey.source) > 0
        how = _PREPARE.format(target=TARGET, labels=LABELS, imaging=IMAGING) if whole else ""
        (temporary / "README.md").write_text(head + lines + how)


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
            f"the catalogue of the sky (J-PAS, dual mode): {len(target)} rows, {repeats} of them second sightings",
        ),
        (IMAGING, "the imaging survey (Tractor): morphology and r of nearly all sources"),
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
    return [("Mock_*_FLUX+NOISE.npy", f"the mocks: {len(source)} rows, {twins} of them twins of labelled objects")]


def _write_mocks(source: Catalogue, rows: np.ndarray, folder: Path, stem: str) -> None:
    """Write mean, noisy flux and relative noise by chunks, and the properties beside them."""
    shape = (len(rows), len(source.bands), 3)
    path = folder / f"{stem}_FLUX+NOISE.npy"
    if len(rows) == 0:
        np.save(path, np.zeros(shape, dtype=np.float32))
    else:
        planes = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        for start in range(0, len(rows), _CHUNK):
            planes[start : start + _CHUNK] = mock_planes(source, rows[start : start + _CHUNK])
        planes.flush()
        del planes
    _properties(source, rows).to_csv(folder / f"{stem}_PROPS.csv", index=False)


def mock_planes(source: Catalogue, rows: np.ndarray) -> np.ndarray:
    """Return the three planes of some mock rows, float32 (n, b, 3), in 1e-30 erg/s/cm2/Hz."""
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
            "TRUE_CLASS": names[survey.truth_label[rows]],
            "LABEL": names[target.label[rows]],
            "Z": survey.truth_z[rows],
            "R": 22.5 - 2.5 * np.log10(target.extra["FLUX_R"][rows].astype(float)),
            "IN_DESI": labelled,
        }
    )
