"""Rows that are one source, and sources that a catalogue has already: by id and position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import ListError
from ..surveys.imaging import RADIUS as MATCH_RADIUS
from ..surveys.positions import SkyIndex
from ..surveys.quality import QualityBit
from ..surveys.tables import ColumnNames
from .predicted import Predicted, Tables, as_frame, column_numbers, each

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


_POSITIONS = (
    ("RA", "TARGET_RA", "MEAN_FIBER_RA", "RAJ2000", "RA_ICRS", "ALPHA_J2000"),
    ("DEC", "TARGET_DEC", "MEAN_FIBER_DEC", "DEJ2000", "DE_ICRS", "DELTA_J2000"),
)
_OBJECT = "TARGETID"


def drop_known(predicted: Predicted, known: Tables, radius: float = MATCH_RADIUS) -> tuple[Predicted, dict[str, int]]:
    """Leave out rows that are sources of a catalogue, by id or position.

    A row is known if the catalogue has its object id, all columns that name the row with the same
    numbers, or a source within the radius.

    Parameters
    ----------
    predicted : Predicted
    known : path, DataFrame, Table or sequence of these
        Catalogues with positions (RA, DEC in degrees) or ids.
    radius : float
        In arcsec.

    Returns
    -------
    Predicted
        The other rows.
    dict of str to int
        How many rows each catalogue has, by its name; of rows that several have the first counts.

    Raises
    ------
    ListError
        If a catalogue has neither positions nor ids of these rows.
    """
    left = np.ones(len(predicted), dtype=bool)
    counts: dict[str, int] = {}
    for number, one in enumerate(each(known), start=1):
        name = Path(one).name if isinstance(one, str | Path) else f"known table {number}"
        found = _rows_of(predicted, as_frame(one), name, radius) & left
        counts[name] = counts.get(name, 0) + int(found.sum())
        left &= ~found
    return predicted.take(left), counts


def _rows_of(predicted: Predicted, table: pd.DataFrame, name: str, radius: float) -> np.ndarray:
    """Return which rows a catalogue has, bool (n,)."""
    names = ColumnNames(tuple(table.columns), name)
    rows = tuple(one for one in predicted.ids if one != _OBJECT)
    found = np.zeros(len(predicted), dtype=bool)
    usable = []
    for ids in ((_OBJECT,), rows):
        theirs = [names.find((one,)) for one in ids]
        if not ids or None in theirs or not set(ids) <= set(predicted.ids):
            continue
        usable.append(ids)
        here = pd.MultiIndex.from_arrays([predicted.ids[one] for one in ids])
        found |= here.isin(pd.MultiIndex.from_arrays([table[one] for one in theirs]))
    ra, dec = (names.find(spellings) for spellings in _POSITIONS)
    if ra is not None and dec is not None:
        usable.append((ra, dec))
        theirs_ra, theirs_dec = (column_numbers(table, one, name) for one in (ra, dec))
        found[SkyIndex(theirs_ra, theirs_dec).nearest(predicted.ra, predicted.dec, radius)[0]] = True
    if not usable:
        raise ListError(
            f"{name}: has neither positions (RA and DEC) nor ids of the predictions ({', '.join(predicted.ids)}): none "
            f"of its sources can be found. It has: {', '.join(table.columns)}."
        )
    return found
