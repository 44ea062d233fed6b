"""Inputs of a model: files of a survey as catalogues that it can classify, with imaging by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import CatalogueError, FeatureMismatch
from .model import Model
from .surveys.catalogue import Catalogue
from .surveys.labels import ImagingTable
from .surveys.reader import CatalogueReader, read_imaging
from .surveys.schema import SurveySchema


def _unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    lon, lat = np.deg2rad(ra), np.deg2rad(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


class ImagingIndex:
    """An imaging table, searched by position: built once, asked for each chunk.

    Each row takes the nearest imaging source within the radius. Unlike the mutual match that makes
    a data set (where overlaps are merged first), rows may share a source: a source seen on two
    overlapping tiles has two rows, and both are given its magnitude. So the answer for a row
    depends on that row alone, and not on the size of the chunks.

    Parameters
    ----------
    table : ImagingTable
        Magnitude and morphology by position.
    radius : float
        In arcsec.
    """

    def __init__(self, table: ImagingTable, radius: float) -> None:
        from scipy.spatial import cKDTree

        self.rows = np.flatnonzero(np.isfinite(table.ra) & np.isfinite(table.dec))
        self.table = table
        self.radius = radius
        self.matched = 0
        # A tree of sky positions needs no balance or tight boxes, and builds twice as fast without.
        vectors = _unit_vectors(table.ra[self.rows], table.dec[self.rows])
        self._tree = cKDTree(vectors, balanced_tree=False, compact_nodes=False)

    @classmethod
    def read(cls, paths: Sequence[str | Path], radius: float) -> ImagingIndex:
        """Read Tractor tables (or others of kind imaging) and index them."""
        return cls(ImagingTable.concat([read_imaging(path)[0] for path in paths]), radius)

    def attach(self, catalogue: Catalogue, threads: int = 1) -> Catalogue:
        """Return the catalogue with magnitude and morphology of the matched rows."""
        here = np.flatnonzero(np.isfinite(catalogue.ra) & np.isfinite(catalogue.dec))
        chord = 2 * np.sin(np.deg2rad(self.radius / 3600) / 2)
        vectors = _unit_vectors(catalogue.ra[here], catalogue.dec[here])
        distance, place = self._tree.query(vectors, distance_upper_bound=chord, workers=threads)
        near = np.isfinite(distance)
        here, there = here[near], self.rows[place[near]]
        self.matched += len(here)
        mag, imaging_mag = catalogue.mag.copy(), catalogue.imaging_mag.copy()
        morphology = catalogue.morphology.copy()
        imaging_mag[here], morphology[here] = self.table.mag[there], self.table.morphology[there]
        mag[here] = np.where(np.isfinite(self.table.mag[there]), self.table.mag[there], mag[here])
        return catalogue.replace(mag=mag, imaging_mag=imaging_mag, morphology=morphology)

    def require_matches(self, path: str | Path, rows: int) -> None:
        """Refuse an imaging table that has none of the catalogue's sources.

        Raises
        ------
        CatalogueError
            If no row was matched.
        """
        if rows and not self.matched:
            raise CatalogueError(
                f"{path}: none of its {rows:,} rows lies within {self.radius:g} arcsec of the {len(self.rows):,} "
                "sources of the imaging table. Check that both cover the same field, or leave out --legacy."
            )


CHUNK_ROWS = 50_000
"""Rows in memory at a time."""

RADIUS = 1.0
"""Largest separation in arcsec of a row from its imaging source."""


def open_for(model: Model, path: str | Path, survey: str | None = None) -> CatalogueReader:
    """Open a catalogue for a model, or refuse it.

    Parameters
    ----------
    model : Model
        The model.
    path : path
        The catalogue.
    survey : str, optional
        Name of the survey file, where the catalogue does not give itself away.

    Raises
    ------
    CatalogueError
        If the file cannot be understood.
    FeatureMismatch
        If it is of another survey than the model, lacks bands or has another photometry.
    """
    reader = CatalogueReader(path, survey)
    check_survey(model, reader.schema, path)
    missing = [name for name in model.bands.names if name not in reader.bands]
    if missing:
        # The survey file's default may leave out bands that the file has and the model needs.
        try:
            return CatalogueReader(path, reader.schema.name if survey is None else survey, model.bands.name)
        except CatalogueError as error:
            raise FeatureMismatch(
                f"{error} The model was trained on the {len(model.bands)} bands of '{model.bands.name}': refusing to "
                "predict. Fit a model on the bands that the catalogue has."
            ) from error
    return reader


def check_survey(model: Model, schema: SurveySchema, path: str | Path) -> None:
    """Refuse a catalogue of another survey than the model was trained for.

    Raises
    ------
    FeatureMismatch
        If the model's card names its survey and the catalogue is of another.
    """
    known = model.card.get("survey")
    if known is not None and schema.name != known:
        raise FeatureMismatch(
            f"{path}: is read as a catalogue of '{schema.name}', the model was trained for '{known}'. Bands, depths "
            f"and photometry differ: refusing to predict. Fit a model on '{schema.name}'; if the file is of "
            f"'{known}' after all, say so with --survey {known}."
        )


def about_model(model: Model) -> dict[str, Any]:
    """Return what a prediction file says of the model that made it."""
    made: Mapping[str, Any] = model.card.get("provenance") or {}
    return {
        "regime": model.card.get("regime"),
        "chosen": model.card.get("chosen"),
        "rule": str(model.rule),
        "classes": list(model.classes),
        "thresholds": np.asarray(model.thresholds).tolist(),
        "bands": list(model.bands.names),
        "photometry": model.photometry,
        "features": model.card.get("features"),
        "version": made.get("version"),
        "made": made.get("made"),
        "seed": made.get("seed"),
        "inputs": made.get("inputs"),
        "simulated": bool((made.get("data") or {}).get("simulated")),
    }
