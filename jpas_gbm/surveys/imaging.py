"""Imaging: magnitude and morphology that an imaging survey gives to any source, attached by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CatalogueError
from ..store import native
from .catalogue import MORPHOLOGIES, Catalogue
from .positions import SkyIndex

RADIUS = 1.0
"""Largest separation in arcsec of a row from its imaging source."""


def checked_column(owner: str, name: str, value: Any, dtype: type, n: int) -> np.ndarray:
    """Return a column of a table as a read-only array of n values, masked entries NaN.

    Raises
    ------
    CatalogueError
        If it has another length.
    """
    if isinstance(value, np.ma.MaskedArray) and np.issubdtype(dtype, np.floating):
        value = np.ma.filled(value.astype(dtype), np.nan)
    array: np.ndarray = np.ascontiguousarray(native(np.asarray(value)), dtype=dtype)
    if array.shape != (n,):
        raise CatalogueError(f"{owner}: column '{name}' has shape {array.shape}, expected ({n},).")
    array = array.view()
    array.flags.writeable = False
    return array


def check_morphology(owner: str, morphology: np.ndarray) -> None:
    """Refuse codes that stand for no morphological type.

    Raises
    ------
    CatalogueError
        If there is one.
    """
    if len(morphology) and not (morphology.min() >= 0 and morphology.max() < len(MORPHOLOGIES)):
        raise CatalogueError(f"{owner}: morphology codes must be 0 to {len(MORPHOLOGIES) - 1}.")


@dataclass(frozen=True, eq=False)
class ImagingTable:
    """Magnitude and morphology that an imaging survey gives to any source, labelled or not.

    Parameters
    ----------
    ra, dec : array of float64, shape (n,)
        ICRS degrees.
    mag : array of float32, shape (n,)
        AB magnitude (r); NaN where not measured.
    morphology : array of int8, shape (n,)
        Codes of :data:`~jpas_gbm.surveys.catalogue.MORPHOLOGIES`; 0 is unknown.
    key : mapping of str to array of int64, shape (n,)
        The columns that name a row, such as BRICKID and OBJID.

    Raises
    ------
    CatalogueError
        If a column has another length, or a morphology code does not exist.
    """

    ra: np.ndarray
    dec: np.ndarray
    mag: np.ndarray
    morphology: np.ndarray
    key: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.ra)
        dtypes: dict[str, type] = {"ra": np.float64, "dec": np.float64, "mag": np.float32, "morphology": np.int8}
        for name, dtype in dtypes.items():
            object.__setattr__(self, name, checked_column("imaging table", name, getattr(self, name), dtype, n))
        key = {name: checked_column("imaging table", name, value, np.int64, n) for name, value in self.key.items()}
        object.__setattr__(self, "key", key)
        check_morphology("imaging table", self.morphology)

    def __len__(self) -> int:
        return len(self.ra)

    def attach(self, catalogue: Catalogue, rows: np.ndarray, matched: np.ndarray) -> Catalogue:
        """Return a catalogue in which some rows have the magnitude and morphology of their imaging source.

        Parameters
        ----------
        catalogue : Catalogue
        rows : array of intp, shape (k,)
            Rows of the catalogue.
        matched : array of intp, shape (k,)
            Their rows here.

        Returns
        -------
        Catalogue
            `mag` keeps its value where the source has no magnitude.
        """
        names = ("mag", "imaging_mag", "morphology")
        mag, imaging_mag, morphology = (np.array(getattr(catalogue, name)) for name in names)
        imaging_mag[rows], morphology[rows] = self.mag[matched], self.morphology[matched]
        mag[rows] = np.where(np.isfinite(self.mag[matched]), self.mag[matched], mag[rows])
        return catalogue.replace(mag=mag, imaging_mag=imaging_mag, morphology=morphology)

    @staticmethod
    def concat(tables: Sequence[ImagingTable]) -> ImagingTable:
        """Return several tables as one; keys that not all share are dropped."""
        if len(tables) == 1:
            return tables[0]
        shared = [name for name in tables[0].key if all(name in table.key for table in tables)]
        names = ("ra", "dec", "mag", "morphology")
        columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
        key = {name: np.concatenate([table.key[name] for table in tables]) for name in shared}
        return ImagingTable(columns["ra"], columns["dec"], columns["mag"], columns["morphology"], key)


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

    def __init__(self, table: ImagingTable, radius: float = RADIUS) -> None:
        self.table, self.radius, self.matched = table, radius, 0
        self._index = SkyIndex(table.ra, table.dec)

    def attach(self, catalogue: Catalogue, threads: int = 1) -> Catalogue:
        """Return the catalogue with magnitude and morphology of the matched rows.

        Parameters
        ----------
        catalogue : Catalogue
        threads : int
            Threads of the search.

        Returns
        -------
        Catalogue
        """
        rows, matched, _ = self._index.nearest(catalogue.ra, catalogue.dec, self.radius, threads=threads)
        self.matched += len(rows)
        return self.table.attach(catalogue, rows, matched)

    def require_matches(self, path: str | Path, rows: int) -> None:
        """Refuse an imaging table that has none of the catalogue's sources.

        Parameters
        ----------
        path : path
            Of the catalogue, for the message.
        rows : int
            Its rows.

        Raises
        ------
        CatalogueError
            If no row was matched.
        """
        if rows and not self.matched:
            raise CatalogueError(
                f"{path}: none of its {rows:,} rows lies within {self.radius:g} arcsec of the "
                f"{len(self._index.rows):,} sources of the imaging table. Check that both cover the same field, or "
                "leave out --legacy."
            )
