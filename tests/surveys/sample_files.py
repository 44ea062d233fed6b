"""Small survey files in the archives' formats, for tests of the readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from jpas_gbm.surveys.bands import band_system

UNIT = "10**-19 erg Angstrom-1 s-1 cm-2"
FLUX, ERROR = "FLUX_APER_COR_3_0", "FLUX_RELERR_APER_COR_3_0"


def idr_columns(rows: int = 12, system: str = "jpas57", seed: int = 1) -> dict[str, np.ndarray]:
    """Columns of a J-PAS extract; each value of the fluxes tells its row and band."""
    width = len(band_system(system))
    rng = np.random.default_rng(seed)
    flux = (100.0 + np.arange(rows)[:, None] + np.arange(width) / 100).astype(np.float32)
    return {
        "TILE_ID": np.repeat(np.arange(2241, 2241 + -(-rows // 4)), 4)[:rows].astype(np.int32),
        "NUMBER": (np.arange(rows, dtype=np.int32) % 4) + 1,
        "ALPHA_J2000": 150.0 + rng.random(rows),
        "DELTA_J2000": 30.0 + rng.random(rows),
        FLUX: flux,
        ERROR: np.full((rows, width), 0.1, dtype=np.float32),
        "FLAGS": np.zeros((rows, width), dtype=np.int16),
        "MASK_FLAGS": np.zeros((rows, width), dtype=np.int16),
        "MAG_AUTO": np.linspace(18, 22, rows).astype(np.float32),
        "CLASS_STAR": np.linspace(0, 1, rows).astype(np.float32),
    }


def write_fits(
    path: Path,
    columns: dict[str, np.ndarray],
    *,
    bands: tuple[str, ...] | None = None,
    name: str = "FLAMBDADUALOBJ",
    units: dict[str, str] | None = None,
    checksum: bool = False,
    first: fits.BinTableHDU | None = None,
) -> Path:
    """Write columns as a binary table, with BANDn cards where `bands` are given."""
    unit = fits.BinTableHDU(Table(columns), name=name)
    for column, text in (units or {}).items():
        unit.columns[column].unit = text
    for i, band in enumerate(bands or ()):
        unit.header[f"BAND{i}"] = band
    hdus = [fits.PrimaryHDU(), *([first] if first is not None else []), unit]
    fits.HDUList(hdus).writeto(path, checksum=checksum, overwrite=True)
    return path


def write_idr(path: Path, rows: int = 12, **options: Any) -> Path:
    """Write a small J-PAS FITS file."""
    system = options.pop("system", "jpas57")
    changes = options.pop("changes", {})
    columns = idr_columns(rows, system) | changes
    columns = {name: value for name, value in columns.items() if value is not None}
    options.setdefault("bands", band_system(system).names)
    return write_fits(path, columns, units={FLUX: UNIT} if FLUX in columns else {}, **options)


def write_mocks(folder: Path, rows: int = 10, stem: str = "Mock_train", **changes: Any) -> Path:
    """Write the paper's pair of files; return the path of the array."""
    rng = np.random.default_rng(2)
    mean = (50 + rng.random((rows, 57)) * 100).astype(np.float32)
    cube = changes.pop("cube", np.stack([mean, mean * 0.7, np.full_like(mean, 0.05)], axis=2))
    path = folder / f"{stem}_FLUX+NOISE.npy"
    np.save(path, cube)
    n = changes.pop("property_rows", rows)
    names = "SURVEY,PROGRAM,HEALPIX,TARGETID,RA,DEC,DESI_FLUX_G,DESI_FLUX_R,DESI_FLUX_Z,EBV,MORPHTYPE,SPECTYPE,REDSHIFT"
    names += ",ISINJPAS,TILE_ID,NUMBER,NOISE_SEED,NOISE_TILE"
    types = ["QSO", "QSO", "GALAXY", "STAR"]
    shapes = ["PSF", "", "REX", "DEV", "EXP", "SER", "COMP", "XYZ"]
    lines = [names]
    for i in range(n):
        z = (2.5, 1.0, 0.4, 0.0)[i % 4]
        lines.append(
            f"main,dark,{i},{39633000000000001 + i // 2},{10.5 + i},{-5.25 + i},1.0,{10.0 + i},2.0,0.02,"
            f"{shapes[i % 8]},{types[i % 4]},{z},{i % 2},0,0,s{1220 + i},{i % 3}"
        )
    (folder / f"{stem}_PROPS.csv").write_text("\n".join(lines) + "\n")
    return path


def write_zcat(path: Path, **changes: Any) -> Path:
    """Write a DESI redshift catalogue of eight rows, five of which are trusted."""
    columns: dict[str, Any] = {
        "TARGETID": np.array([39633000000000001 + i for i in range(6)] + [-5, 39633000000000001], dtype=np.int64),
        "TARGET_RA": 150 + np.arange(8) / 10,
        "TARGET_DEC": 30 + np.arange(8) / 10,
        "Z": np.array([2.1, 2.0999, 0.5, 0.0, 3.0, 1.0, 0.0, 2.1]),
        "ZWARN": np.array([0, 0, 0, 0, 0, 4, 0, 0], dtype=np.int64),
        "SPECTYPE": np.array(["QSO   ", "QSO", "GALAXY", "STAR", "QSO", "QSO", "GALAXY", "QSO"]),
        "OBJTYPE": np.array(["TGT"] * 6 + ["SKY", "TGT"]),
        "ZCAT_PRIMARY": np.array([True] * 7 + [False]),
        "COADD_FIBERSTATUS": np.zeros(8, dtype=np.int32),
        "MORPHTYPE": np.array(["PSF", "", "REX ", "PSF", "DEV", "PSF", "PSF", "PSF"]),
        "FLUX_R": np.array([1.0, 10.0, 100.0, 0.0, -1.0, 1.0, 1.0, 1.0], dtype=np.float32),
    }
    columns |= changes
    return write_fits(path, {k: v for k, v in columns.items() if v is not None}, name="ZCATALOG")


def write_tractor(path: Path, **changes: Any) -> Path:
    """Write a Tractor table of six rows."""
    columns: dict[str, Any] = {
        "BRICKID": np.full(6, 330001, dtype=np.int32),
        "OBJID": np.arange(6, dtype=np.int32),
        "RA": 150 + np.arange(6) / 10,
        "DEC": 30 + np.arange(6) / 10,
        "TYPE": np.array(["PSF", "REX", "DEV ", "EXP", "DUP", "COMP"]),
        "FLUX_R": np.array([1.0, 10.0, 100.0, 0.0, -1.0, np.nan], dtype=np.float32),
    }
    return write_fits(path, {k: v for k, v in (columns | changes).items() if v is not None}, name="TRACTOR")


SDSS = """objid,ra,dec,dered_u,dered_g,dered_r,dered_i,dered_z,specobjid,class,redshift,plate,mjd,fiberid,probPSF,mode
1237655348351730428,230.088750799723,53.5302460007544,19.1,18.7,18.4,18.3,18.2,7559433644827498496,GALAXY,0.56,6714,56447,515,0,1
1237655348351795637,230.150416502954,53.334603595561,22.4,22.2,20.6,19.6,19.2,7559434194583312384,QSO,2.5,6714,56447,517,1,1
1237655348351861356,230.580282689097,53.3069559278039,-9999,18.0,18.0,18.0,18.0,14190000000000000000,STAR,0.0,6714,56447,518,-9999,1
"""
