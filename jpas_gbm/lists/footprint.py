"""Where on the sky rows lie, how large that is, and which of them are one source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from ..errors import ListError
from ..surveys.packing import as_text
from ..surveys.positions import SkyIndex
from ..surveys.quality import QualityBit, refuse_frame
from ..surveys.recognition import as_table
from ..surveys.spelling import degrees_per_unit, unit_of
from ..surveys.tables import RawTable
from ..text import count
from .predicted import Predicted, column_numbers
from .records import FootprintSize

if TYPE_CHECKING:
    from astropy_healpix import HEALPix

    from ..surveys.recognition import Source

SKY = 4 * np.pi * (180 / np.pi) ** 2
"""Square degrees of the whole sky."""

_PER_CELL = 10
_FINEST = 14
_INNER = 20
_LACKS = 0.15
_WIDEST = 20.0


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
        If a file is missing or no such map.
    """
    from astropy import units as u
    from mocpy import MOC

    found, known = np.zeros(len(ra), dtype=bool), np.isfinite(ra) & np.isfinite(dec)
    for path in maps:
        if not Path(path).is_file():
            raise ListError(f"--exclude {path}: there is no such file. Give a coverage map (a MOC, FITS or JSON).")
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


def _outlines(ra: np.ndarray, dec: np.ndarray, tile: np.ndarray) -> tuple[float, float]:
    """Return the area within the outlines of tiles, and by what share it is too small.

    An outline is the convex hull of a tile's rows: it lies within the tile, and lacks 8 ln n / (3 n) of the area of a
    square in which n rows lie at random (Rényi and Sulanke 1963, Z. Wahrscheinlichkeitstheorie 2, 75).
    """
    from scipy.spatial import ConvexHull, QhullError

    whole = lacking = 0.0
    order = np.argsort(tile, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(tile[order])) + 1):
        n = len(rows)
        middle = np.deg2rad(np.median(dec[rows]))
        plane = np.stack([((ra[rows] - ra[rows[0]] + 180) % 360 - 180) * np.cos(middle), dec[rows]], axis=1)
        if np.ptp(plane, axis=0).max() > _WIDEST:  # no tile: the plane would not hold it
            return np.inf, 1.0
        try:
            hull = ConvexHull(plane).volume if n > 2 else 0.0
        except QhullError:  # rows on a line
            hull = 0.0
        whole += hull
        lacking += max(hull, 1e-9) * 8 * np.log(max(n, 2)) / (3 * n)
    # Rounded, so that positions on either side of RA 0 and in either convention have one area to the last digit.
    return round(float(whole), 9), float(min(lacking / max(whole, 1e-9), 1.0))


def footprint(ra: np.ndarray, dec: np.ndarray, tile: np.ndarray | None = None) -> Footprint:
    """Measure the footprint of positions.

    Where the rows are too few for cells of their own size, it is the area within the outlines of tiles, or of all rows:
    never above that of the tiles.

    Parameters
    ----------
    ra, dec : array, shape (n,)
        ICRS degrees; rows without a position are left out.
    tile : array, shape (n,), optional
        The tile of each row.

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
    tiles = np.zeros(n, dtype=np.intp) if tile is None else np.unique(tile[known], return_inverse=True)[1]
    outlined, lacks = _outlines(ra[known], dec[known], tiles)
    if inner.sum() >= _INNER:
        whole_cells = float(n / (count[inner].mean() / cell))
        return Footprint(order, cells, min(whole_cells, whole, outlined or whole), whole, measured)
    return Footprint(order, cells, min(outlined, whole), whole, measured and lacks <= _LACKS and outlined > 0)


def measured_area(field: Predicted, area: float | None = None, *, needed: bool = False) -> tuple[Footprint | None, str]:
    """Measure the footprint of a field, as far as it can be.

    Parameters
    ----------
    field : Predicted
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
        found = footprint(field.ra, field.dec, field.ids.get("TILE_ID"))
    except ListError:
        if needed and area is None:
            raise
        note = "no row has a position: no footprint, no yield per square degree."
        return None if area is None else Footprint(0, np.zeros(0, dtype=np.int64), area, area), note
    if area is not None:
        return replace(found, area=area), ""
    if found.measured:
        return found, ""
    placed = count(int(np.isfinite(field.ra).sum()), "row with a position is", "rows with a position are")
    few = f"{placed} too few to measure a footprint"
    if needed:
        raise ListError(f"--density: {few}. Give its square degrees with --area, or ask for a --number.")
    return None, f"{few}: no yield per square degree. --area gives one."


RADIUS = 0.5
"""Rows of different tiles nearer than this are one source, in arcsec."""


_TWICE = 0.01


def without_repeats(predicted: Predicted, radius: float = RADIUS) -> tuple[Predicted, tuple[str, ...]]:
    """Return the rows with one row for each source, and what is to be said of it.

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
    notes : tuple of str
        How many rows were left out, and whether a tile seems to be given twice.
    """
    pairs, notes = SkyIndex(predicted.ra, predicted.dec).pairs(radius), []
    tile = predicted.ids.get("TILE_ID")
    if tile is not None:
        same = tile[pairs[:, 0]] == tile[pairs[:, 1]]
        twice = len(np.unique(pairs[same]))
        if twice > max(_TWICE * len(predicted), 20):
            notes.append(
                f"{twice:,} rows stand within {radius:g} arcsec of another row of the same tile, which no catalogue "
                "has so often: are tiles given twice, under other numbers? Then class mix and yield count them twice."
            )
        pairs = pairs[~same]
    if not len(pairs):
        return predicted, tuple(notes)
    doubts = np.bitwise_count(predicted.quality.astype(np.uint32) & ~np.uint32(QualityBit.NO_IMAGING))
    rank = np.empty(len(predicted), dtype=np.intp)
    rank[np.lexsort((np.arange(len(predicted)), doubts))] = np.arange(len(predicted))
    worse = np.where(rank[pairs[:, 0]] > rank[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    keep = np.ones(len(predicted), dtype=bool)
    keep[worse] = False
    notes.append(
        f"{count(int((~keep).sum()), 'row repeats', 'rows repeat')} a source of an overlapping tile: left out."
    )
    return predicted.take(keep), tuple(notes)


def column_words(column: pd.Series) -> np.ndarray:
    """Return the words of a column of a table; blank where there is none.

    Parameters
    ----------
    column : Series

    Returns
    -------
    array of str
    """
    return np.where(column.isna(), "", as_text(column.to_numpy(object)))


def sky_places(table: object, frame: pd.DataFrame, ra: str, dec: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of another's table in degrees, whatever unit it states; NaN where there is none.

    Parameters
    ----------
    table : path, DataFrame, Table or RawTable
        States units, but for a DataFrame.
    frame : DataFrame
        Its n rows.
    ra, dec : str
        Names of the columns: numbers, or words in degrees or in hours and degrees as SIMBAD writes them.
    name : str
        What the table is called in messages.

    Returns
    -------
    ra, dec : array of float64, shape (n,)

    Raises
    ------
    CatalogueError, ListError
        If the frame is not ICRS, a unit no angle, a word no position, or a number none that can be.
    """
    states = isinstance(table, str | Path | RawTable) or hasattr(table, "itercols")
    stated = as_table(cast("Source", table)) if states else None
    if stated is not None:
        refuse_frame(stated.cards, ra, name)
    if frame[ra].dtype.kind in "fiu" and frame[dec].dtype.kind in "fiu":
        found = np.stack([column_numbers(frame, one, name) * _degrees(stated, one, name) for one in (ra, dec)])
    else:
        found = _spelt(frame, ra, dec, name)
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero((np.abs(found[1]) > 90) | (found[0] < -360) | (found[0] > 720))
    if len(wrong):
        place = f"{found[0][wrong[0]]:g}, {found[1][wrong[0]]:g}"
        raise ListError(
            f"{name}: {len(wrong):,} of {len(frame):,} rows have a position in {ra} and {dec} that is none ({place} "
            "deg, say). Check the columns and their units."
        )
    return found[0], found[1]


def _degrees(table: RawTable | None, column: str, name: str) -> float:
    """Return the degrees in one of the unit that a table states of a column; no unit is degrees."""
    stated = table.columns.get(column) if table else None
    degrees = degrees_per_unit(unit := unit_of(column, stated.unit if stated else None, name))
    if degrees is None:
        raise ListError(
            f"{name}: the unit of {column} is '{unit}', which is no angle that is read here: positions are ICRS in "
            "deg, rad, arcmin, arcsec or hours."
        )
    return degrees


def _spelt(frame: pd.DataFrame, ra: str, dec: str, name: str) -> np.ndarray:
    """Return positions in words as degrees (2, n); NaN where blank."""
    words = np.stack([column_words(frame[ra]), column_words(frame[dec])])
    given, places = (words != "").all(axis=0), np.full(words.shape, np.nan)
    try:
        places[:, given] = words[:, given].astype(np.float64)
        return places
    except ValueError:
        pass
    from astropy.coordinates import SkyCoord

    try:
        found = SkyCoord(*words[:, given].tolist(), unit=("hourangle", "deg"))
    except ValueError as error:
        raise ListError(
            f"{name}: positions in {ra} and {dec} are neither degrees nor hours and degrees such as 12 34 56.7, "
            f"+01 23 45 ({error})."
        ) from error
    places[:, given] = found.ra.deg, found.dec.deg
    return places
