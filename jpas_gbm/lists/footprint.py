"""Where on the sky rows lie, how large that is, and which of them are one source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ListError
from ..surveys.audit import QualityBit
from ..surveys.positions import SkyIndex
from .predicted import Predicted
from .records import FootprintSize

if TYPE_CHECKING:
    from astropy_healpix import HEALPix

SKY = 4 * np.pi * (180 / np.pi) ** 2
"""Square degrees of the whole sky."""

_PER_CELL = 10
_FINEST = 14
_INNER = 20


def _healpix(order: int) -> HEALPix:
    """Return the nested HEALPix tessellation of an order (Górski et al. 2005, ApJ 622, 759)."""
    from astropy_healpix import HEALPix

    return HEALPix(nside=1 << order, order="nested")


def cells_of(ra: np.ndarray, dec: np.ndarray, order: int) -> np.ndarray:
    """Return the HEALPix cell of each position.

    Parameters
    ----------
    ra, dec : array, shape (n,)
        ICRS degrees.
    order : int

    Returns
    -------
    array of int64, shape (n,)
        Nested scheme.
    """
    from astropy import units as u

    return _healpix(order).lonlat_to_healpix(ra * u.deg, dec * u.deg).astype(np.int64)


def cell_places(cells: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres of HEALPix cells.

    Parameters
    ----------
    cells : array of int64, shape (n,)
        Nested scheme.
    order : int

    Returns
    -------
    ra, dec : array of float64, shape (n,)
        ICRS degrees.
    """
    lon, lat = _healpix(order).healpix_to_lonlat(cells)
    return lon.deg, lat.deg


def excluded(ra: np.ndarray, dec: np.ndarray, maps: Sequence[str]) -> np.ndarray:
    """Return which positions lie in regions that are not to be observed, bool (n,).

    Parameters
    ----------
    ra, dec : array, shape (n,)
        ICRS degrees.
    maps : sequence of str
        Multi-Order Coverage maps (FITS or JSON).

    Returns
    -------
    array of bool, shape (n,)

    Raises
    ------
    ListError
        If a file is no such map.
    """
    from astropy import units as u
    from mocpy import MOC

    found, known = np.zeros(len(ra), dtype=bool), np.isfinite(ra) & np.isfinite(dec)
    for path in maps:
        try:
            moc = MOC.load(path, format="json" if path.endswith(".json") else "fits")
        except Exception as error:  # mocpy raises errors of its Rust core, of astropy and plain ValueErrors
            raise ListError(f"--exclude {path}: is no coverage map (a MOC, FITS or JSON): {error}") from error
        found[known] |= moc.contains_lonlat(ra[known] * u.deg, dec[known] * u.deg)
    return found


@dataclass(frozen=True, eq=False)
class Footprint:
    """The cells that hold rows.

    Parameters
    ----------
    order : int
        HEALPix order of the cells: the finest with some ten rows in an occupied cell.
    cells : array of int64
        Occupied cells, nested scheme, rising.
    area : float
        Square degrees: rows over the mean density of cells whose neighbours are occupied, which
        cells cut by the edge do not bias; the area of all cells where too few are such.
    cells_area : float
        Square degrees of all occupied cells.
    measured : bool
        Whether the rows are many enough for cells of their own size; if not, the area is that of base cells of the
        sky and says nothing.
    """

    order: int
    cells: np.ndarray
    area: float
    cells_area: float
    measured: bool = True

    @property
    def size(self) -> FootprintSize:
        """The numbers without the cells."""
        return FootprintSize(self.order, len(self.cells), self.area, self.cells_area)

    def write_moc(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the footprint as a Multi-Order Coverage map (IVOA MOC 2.0, FITS, NUNIQ).

        Parameters
        ----------
        path : path
        overwrite : bool
            Whether a file that is there may be replaced.
        """
        from mocpy import MOC

        order = np.full(len(self.cells), self.order, dtype=np.uint8)
        moc = MOC.from_healpix_cells(self.cells.astype(np.uint64), order, max_depth=self.order)
        moc.save(str(path), format="fits", overwrite=overwrite, fits_keywords={"MOCTOOL": "jpas-gbm"})


def footprint(ra: np.ndarray, dec: np.ndarray) -> Footprint:
    """Measure the footprint of positions.

    Parameters
    ----------
    ra, dec : array, shape (n,)
        ICRS degrees; rows without a position are left out.

    Returns
    -------
    Footprint

    Raises
    ------
    ListError
        If no row has a position.
    """
    known = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    n = int(known.sum())
    if not n:
        raise ListError(
            "the footprint is empty: no row of the predictions has a position (RA and DEC in degrees). "
            "Predict a catalogue with positions, or give --area."
        )
    finest = cells_of(ra[known], dec[known], _FINEST)
    measured, order = False, 0
    for order in range(_FINEST, -1, -1):
        cells, count = np.unique(finest >> (2 * (_FINEST - order)), return_counts=True)
        measured = n >= _PER_CELL * len(cells)
        if measured:
            break
    healpix = _healpix(order)
    cell = float(healpix.pixel_area.to_value("deg2"))
    whole = len(cells) * cell
    with np.errstate(invalid="ignore"):  # a cell at a corner of a base cell has seven neighbours: -1 is the eighth
        around = healpix.neighbours(cells)
    inner = (np.isin(around, cells) | (around < 0)).all(axis=0)
    area = n / (count[inner].mean() / cell) if inner.sum() >= _INNER else whole
    return Footprint(order, cells, min(float(area), whole), whole, measured)


def measured_area(
    ra: np.ndarray, dec: np.ndarray, area: float | None = None, *, needed: bool = False
) -> tuple[Footprint | None, str]:
    """Measure the footprint of a field, as far as it can be.

    Parameters
    ----------
    ra, dec : array, shape (n,)
        ICRS degrees.
    area : float, optional
        Square degrees, where they are known: these count.
    needed : bool
        Whether an area must be known.

    Returns
    -------
    footprint : Footprint or None
        None where the area is neither known nor measured.
    note : str
        What is not known, or nothing.

    Raises
    ------
    ListError
        If an area is needed and there is none.
    """
    try:
        found = footprint(ra, dec)
    except ListError:
        if needed and area is None:
            raise
        note = "no row has a position: no footprint, no yield per square degree."
        return None if area is None else Footprint(0, np.zeros(0, dtype=np.int64), area, area), note
    if area is not None:
        return replace(found, area=area), ""
    if found.measured:
        return found, ""
    few = f"{int(np.isfinite(ra).sum())} row(s) with a position are too few to measure a footprint"
    if needed:
        raise ListError(f"--density: {few}. Give its square degrees with --area, or ask for a --number.")
    return None, f"{few}: no yield per square degree. --area gives one."


RADIUS = 0.5
"""Rows of different tiles nearer than this are one source, in arcsec."""


def without_repeats(predicted: Predicted, radius: float = RADIUS) -> tuple[Predicted, int]:
    """Return the rows with one row for each source, and how many were left out.

    Rows within the radius are one source if they are of different tiles, where TILE_ID is known, and
    at all otherwise: one fibre each is enough. The row kept has fewer quality bits, then comes first:
    a choice by probability would favour lucky noise.

    Parameters
    ----------
    predicted : Predicted
    radius : float
        In arcsec.

    Returns
    -------
    Predicted
    int
    """
    pairs = SkyIndex(predicted.ra, predicted.dec).pairs(radius)
    tile = predicted.ids.get("TILE_ID")
    if tile is not None:
        pairs = pairs[tile[pairs[:, 0]] != tile[pairs[:, 1]]]
    if not len(pairs):
        return predicted, 0
    doubts = np.bitwise_count(predicted.quality.astype(np.uint32) & ~np.uint32(QualityBit.NO_IMAGING))
    rank = np.empty(len(predicted), dtype=np.intp)
    rank[np.lexsort((np.arange(len(predicted)), doubts))] = np.arange(len(predicted))
    worse = np.where(rank[pairs[:, 0]] > rank[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    keep = np.ones(len(predicted), dtype=bool)
    keep[worse] = False
    return predicted.take(keep), int((~keep).sum())
