"""Imaging magnitudes and morphology for catalogue rows that pass by in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import CatalogueError
from ..survey.catalogue import Catalogue
from ..survey.labels import ImagingTable
from ..survey.readers import read_imaging


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
