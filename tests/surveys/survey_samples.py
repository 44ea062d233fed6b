"""Small catalogues, labels and files that the tests of data sets are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from jpas_gbm.surveys.bands import Band, BandSystem
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.imaging import ImagingTable
from jpas_gbm.surveys.labels import LabelTable

ARCSEC = 1.0 / 3600.0
THREE = BandSystem("three", (Band("a", 4000.0, 100.0), Band("b", 5000.0, 100.0), Band("c", 6000.0, 100.0)))


def catalogue(n: int, *, seed: int = 0, bands: BandSystem = THREE, tile: int = 7, **fields: object) -> Catalogue:
    """n sources on a grid 20 arcsec apart, keyed by TILE_ID and NUMBER."""
    rng = np.random.default_rng(seed)
    flux = rng.uniform(1, 100, (n, len(bands)))
    given = {
        "key": {"TILE_ID": np.full(n, tile), "NUMBER": np.arange(n)},
        "ra": 150.0 + 20 * ARCSEC * (np.arange(n) % 100),
        "dec": 2.0 + 20 * ARCSEC * (np.arange(n) // 100),
        "mag": rng.uniform(18, 24, n),
        "survey": "tests",
        "photometry": "APER",
    }
    return Catalogue(bands=bands, flux=flux, flux_err=0.1 * flux, **(given | fields))


def mocks(n: int, *, first_id: int = 10_000, seed: int = 1, **fields: object) -> Catalogue:
    """n mock rows, two to an object, of four classes, keyed by row number."""
    given = {
        "key": {"ROW": np.arange(n)},
        "object_id": first_id + np.arange(n) // 2,
        "label": (np.arange(n) // 2 % 4).astype(np.int8),
        "z": np.linspace(0, 4, n),
        "ra": np.full(n, np.nan),
        "dec": np.full(n, np.nan),
        "survey": "mocks",
    }
    return catalogue(n, seed=seed, **(given | fields))


def labels_of(
    target: Catalogue, rows: np.ndarray, *, first_id: int = 1, shift: float = 0.1, **fields: object
) -> LabelTable:
    """Labels for some rows of a catalogue, `shift` arcsec north of them."""
    rows = np.asarray(rows)
    given = {
        "object_id": first_id + rows,
        "ra": target.ra[rows],
        "dec": target.dec[rows] + shift * ARCSEC,
        "label": rows % 4,
        "z": np.linspace(0, 3, len(rows)),
        "mag": np.full(len(rows), 20.0),
    }
    return LabelTable(**(given | fields))


def imaging_of(target: Catalogue, rows: np.ndarray, *, shift: float = 0.05) -> ImagingTable:
    """An imaging table of some rows of a catalogue, `shift` arcsec north of them."""
    n = len(rows)
    return ImagingTable(
        target.ra[rows], target.dec[rows] + shift * ARCSEC, np.full(n, 21.0), np.full(n, 2), {"ID": np.arange(n)}
    )


def write_sdss(path: Path, n: int, *, seed: int = 0, prefix: str = "dered_", **fields: object) -> Path:
    """A CSV as CasJobs gives it: n sources of three spectral classes."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 4
    columns = {
        "ra": 180.0 + 30 * ARCSEC * np.arange(n),
        "dec": np.full(n, 1.0),
        **{f"{prefix}{band}": rng.uniform(16, 20, n) for band in "ugriz"},
        "class": np.array(["QSO", "QSO", "GALAXY", "STAR"])[kind],
        "redshift": np.array([2.5, 1.0, 0.2, 0.0])[kind],
        "plate": np.full(n, 300 + seed),
        "mjd": np.full(n, 51_000),
        "fiberid": np.arange(n),
    }
    pd.DataFrame(columns | fields).to_csv(path, index=False)
    return path
