"""Footprint: where on the sky the predictions lie, how large that is, and its MOC."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TargetError
from ..files import atomic_file
from .healpix import cell_area, cells_of, face_xy

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
