"""Footprint: where on the sky rows lie in HEALPix cells, how large that is, and its coverage map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ListError
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
    from astropy import units as u

    known = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    n = int(known.sum())
    if not n:
        raise ListError(
            "the footprint is empty: no row of the predictions has a position (RA and DEC in degrees). "
            "Predict a catalogue with positions, or give --area."
        )
    finest = _healpix(_FINEST).lonlat_to_healpix(ra[known] * u.deg, dec[known] * u.deg).astype(np.int64)
    measured, order = False, 0
    for order in range(_FINEST, -1, -1):
        cells, count = np.unique(finest >> (2 * (_FINEST - order)), return_counts=True)
        measured = n >= _PER_CELL * len(cells)
        if measured:
            break
    healpix = _healpix(order)
    cell = float(healpix.pixel_area.to_value(u.deg**2))
    whole = len(cells) * cell
    around = healpix.neighbours(cells)
    # A cell at a corner of a base cell has seven neighbours: -1 stands for the eighth.
    inner = (np.isin(around, cells) | (around < 0)).all(axis=0)
    area = n / (count[inner].mean() / cell) if inner.sum() >= _INNER else whole
    return Footprint(order, cells, min(float(area), whole), whole, measured)
