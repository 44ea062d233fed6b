"""Footprint: where on the sky the predictions lie, how large that is, and its MOC.

HEALPix cells of sky positions, nested scheme: what footprints are made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import atomic_file
from ..errors import TargetError

SKY = 4 * np.pi * (180 / np.pi) ** 2
"""Square degrees of the whole sky."""


def cell_area(order: int) -> float:
    """Return the area of a cell in square degrees."""
    return SKY / (12 * 4**order)


def cells_of(ra: np.ndarray, dec: np.ndarray, order: int) -> np.ndarray:
    """Return the nested cell of each position, int64 (n,).

    Górski et al. (2005), ApJ 622, 759, section 5; written here since the reference code is GPL.

    Parameters
    ----------
    ra, dec : array, shape (n,)
        ICRS degrees, finite.
    order : int
        0 to 29; a side of a base cell has 2^order cells.
    """
    face, x, y = face_xy(ra, dec, order)
    return (face << (2 * order)) | _spread(x) | (_spread(y) << 1)


def face_xy(ra: np.ndarray, dec: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return base cell (0 to 11) and column and row in it, int64 (n,) each, of each position."""
    side = 1 << order
    z = np.sin(np.deg2rad(np.asarray(dec, dtype=np.float64)))
    # Longitude in quarter turns, 0 <= tt < 4.
    tt = np.mod(np.asarray(ra, dtype=np.float64), 360.0) / 90.0
    tt = np.where(tt >= 4, 0.0, tt)
    belt = np.abs(z) <= 2 / 3
    # Around the equator: lines of constant slope through the cells.
    jp = np.floor(side * (0.5 + tt - z * 0.75)).astype(np.int64)
    jm = np.floor(side * (0.5 + tt + z * 0.75)).astype(np.int64)
    ifp, ifm = jp >> order, jm >> order
    face_belt = np.where(ifp == ifm, (ifp & 3) + 4, np.where(ifp < ifm, ifp & 3, (ifm & 3) + 8))
    x_belt, y_belt = jm & (side - 1), side - 1 - (jp & (side - 1))
    # Polar caps.
    quarter = np.minimum(tt.astype(np.int64), 3)
    tp = tt - quarter
    # 1 - |z| by the half angle, which keeps its digits at the poles.
    colatitude = np.deg2rad(90 - np.abs(np.asarray(dec, dtype=np.float64)))
    reach = side * np.sqrt(6.0) * np.sin(colatitude / 2)
    jp = np.minimum(np.floor(tp * reach).astype(np.int64), side - 1)
    jm = np.minimum(np.floor((1 - tp) * reach).astype(np.int64), side - 1)
    north = z >= 0
    face = np.where(belt, face_belt, np.where(north, quarter, quarter + 8))
    x = np.where(belt, x_belt, np.where(north, side - jm - 1, jp))
    y = np.where(belt, y_belt, np.where(north, side - jp - 1, jm))
    return face, x, y


def _spread(value: np.ndarray) -> np.ndarray:
    """Put a zero bit between the bits of numbers below 2^29."""
    value = value.astype(np.int64)
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        value = (value | (value << shift)) & mask
    return value


_PER_CELL = 10
_FINEST = 14
_INNER = 20


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
        Square degrees: rows over the mean density of cells whose eight neighbours are occupied,
        which cells cut by the edge do not bias; the area of all cells where too few are such.
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

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers in a form that JSON can hold."""
        return {"order": self.order, "cells": len(self.cells), "area_deg2": self.area, "cells_deg2": self.cells_area}

    def write_moc(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the footprint as a Multi-Order Coverage map (IVOA MOC 2.0, FITS, NUNIQ)."""
        from astropy.io import fits

        uniq = _uniq(self.cells, self.order)
        table = fits.BinTableHDU.from_columns([fits.Column("UNIQ", "1K", array=uniq)])
        for name, value, comment in (
            ("MOCVERS", "2.0", "MOC version"),
            ("MOCDIM", "SPACE", "physical dimension"),
            ("ORDERING", "NUNIQ", "coding"),
            ("COORDSYS", "C", "ICRS"),
            ("MOCORD_S", self.order, "finest order"),
            ("MOCORDER", self.order, "finest order (MOC 1.1)"),
            ("PIXTYPE", "HEALPIX", "HEALPix magic code"),
            ("MOCTOOL", "jpas-gbm", "software"),
        ):
            table.header[name] = (value, comment)
        with atomic_file(path, overwrite=overwrite) as temporary:
            fits.HDUList([fits.PrimaryHDU(), table]).writeto(temporary, checksum=True)


def _uniq(cells: np.ndarray, order: int) -> np.ndarray:
    """Return cells as NUNIQ numbers, four of one parent merged as often as it goes; rising."""
    found = []
    cells = np.unique(cells)
    while order > 0 and len(cells):
        parent, count = np.unique(cells >> 2, return_counts=True)
        whole = parent[count == 4]
        left = cells[~np.isin(cells >> 2, whole)]
        found.append(left + (4 << (2 * order)))
        cells, order = whole, order - 1
    found.append(cells + (4 << (2 * order)))
    return np.sort(np.concatenate(found))


def footprint(ra: np.ndarray, dec: np.ndarray) -> Footprint:
    """Measure the footprint of positions.

    Parameters
    ----------
    ra, dec : array, shape (n,)
        ICRS degrees; rows without a position are left out.

    Raises
    ------
    TargetError
        If no row has a position.
    """
    known = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    ra, dec = ra[known], dec[known]
    if not len(ra):
        raise TargetError(
            "the footprint is empty: no row of the predictions has a position (RA and DEC in degrees). "
            "Predict a catalogue with positions, or give --area."
        )
    order, measured, finest = 0, False, cells_of(ra, dec, _FINEST)
    for candidate in range(_FINEST, -1, -1):
        if len(ra) >= _PER_CELL * len(np.unique(finest >> (2 * (_FINEST - candidate)))):
            order, measured = candidate, True
            break
    cells, count = np.unique(finest >> (2 * (_FINEST - order)), return_counts=True)
    whole = len(cells) * cell_area(order)
    inner = _inner(ra, dec, order)
    dense = count[np.isin(cells, inner)]
    area = len(ra) / (np.mean(dense) / cell_area(order)) if len(inner) >= _INNER else whole
    return Footprint(order, cells, min(float(area), whole), whole, measured)


def _inner(ra: np.ndarray, dec: np.ndarray, order: int) -> np.ndarray:
    """Return the occupied cells whose eight neighbours in the same base cell are occupied."""
    face, x, y = face_xy(ra, dec, order)
    side = 1 << order
    # A frame of one cell around each base cell: cells at its edge never count as inner.
    wide = side + 2
    place = np.unique((face * wide + x + 1) * wide + y + 1)
    kept = place
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            kept = kept[np.isin(kept + dx * wide + dy, place)]
    at = np.isin((face * wide + x + 1) * wide + y + 1, kept)
    return np.unique(cells_of(ra[at], dec[at], order))
