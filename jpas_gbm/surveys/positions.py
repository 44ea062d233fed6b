"""Which rows of two tables are the same object: by position, or by id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CatalogueError, ConfigError
from .catalogue import Catalogue

if TYPE_CHECKING:
    from scipy.spatial import cKDTree


_ARCSEC = np.pi / (180.0 * 3600.0)
_CROWD = 1000
_WIDEST = 3600.0


def _on_sky(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    return np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90.0)


def _unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    lon, lat = np.deg2rad(ra), np.deg2rad(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _chord(radius: float) -> float:
    """Length of the chord under an angle in arcsec on the unit sphere."""
    if not 0 <= radius <= _WIDEST:
        raise ConfigError(
            f"a match within {radius:g} arcsec is none: sources of the same sky position are wanted. Give a radius of "
            f"{_WIDEST:g} arcsec or less."
        )
    return float(2.0 * np.sin(0.5 * radius * _ARCSEC))


def _tree(ra: np.ndarray, dec: np.ndarray) -> tuple[cKDTree, np.ndarray]:
    """Build a tree of the rows that have a position; return it and those rows."""
    from scipy.spatial import cKDTree

    rows = np.flatnonzero(_on_sky(ra, dec))
    # A tree of sky positions needs no balance or tight boxes, and builds twice as fast without.
    return cKDTree(_unit_vectors(ra[rows], dec[rows]), balanced_tree=False, compact_nodes=False), rows


def match_sky(
    ra1: np.ndarray, dec1: np.ndarray, ra2: np.ndarray, dec2: np.ndarray, radius: float, threads: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair the rows of two tables that are each other's nearest within a radius.

    Positions become unit vectors in a k-d tree, so poles and RA = 0 are nothing special, and n rows
    cost n log n. Rows without a position match nothing.

    Parameters
    ----------
    ra1, dec1 : array, shape (n,)
        ICRS degrees.
    ra2, dec2 : array, shape (m,)
        ICRS degrees.
    radius : float
        Largest separation in arcsec.
    threads : int
        Threads of the search.

    Returns
    -------
    i1, i2 : array of intp, shape (k,)
        Row numbers of the pairs, by increasing `i1`; a row stands in one pair at most.
    separation : array of float64, shape (k,)
        In arcsec.
    """
    tree1, rows1 = _tree(np.asarray(ra1, dtype=np.float64), np.asarray(dec1, dtype=np.float64))
    tree2, rows2 = _tree(np.asarray(ra2, dtype=np.float64), np.asarray(dec2, dtype=np.float64))
    if len(rows1) == 0 or len(rows2) == 0:
        none = np.empty(0, dtype=np.intp)
        return none, none, np.empty(0)
    limit = np.nextafter(_chord(radius), np.inf)
    distance, there = tree2.query(tree1.data, distance_upper_bound=limit, workers=threads)
    here = np.flatnonzero(np.isfinite(distance))
    there = there[here]
    _, back = tree1.query(tree2.data[there], workers=threads)
    mutual = back == here
    here, there = here[mutual], there[mutual]
    separation = 2.0 * np.arcsin(0.5 * distance[here]) / _ARCSEC
    return rows1[here], rows2[there], separation


def match_ids(ids1: np.ndarray, ids2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find, for each row of the first table, the row of the second that has its id.

    Parameters
    ----------
    ids1 : array of int64, shape (n,)
        May repeat.
    ids2 : array of int64, shape (m,)
        Of ids that repeat here, the first row counts.

    Returns
    -------
    i1, i2 : array of intp, shape (k,)
        Row numbers of the pairs, by increasing `i1`.
    """
    known, first = np.unique(ids2, return_index=True)
    place = np.searchsorted(known, ids1)
    place[place == len(known)] = 0
    found = np.flatnonzero(known[place] == ids1) if len(known) else np.empty(0, dtype=np.intp)
    return found, first[place[found]]


def close_pairs(ra: np.ndarray, dec: np.ndarray, radius: float) -> np.ndarray:
    """Return all pairs of rows of one table nearer than `radius` arcsec, shape (k, 2).

    Raises
    ------
    CatalogueError
        If more than a thousand rows stand at one position: it is a placeholder.
    """
    tree, rows = _tree(ra, dec)
    if len(rows) < 2:
        return np.empty((0, 2), dtype=np.intp)
    # Pairs of n rows at one place are n²/2: they would fill the memory.
    places, crowd = np.unique(ra[rows] + 1j * dec[rows], return_counts=True)
    most = int(crowd.argmax())
    if crowd[most] > _CROWD:
        raise CatalogueError(
            f"{crowd[most]:,} rows stand at RA {places[most].real:g}, Dec {places[most].imag:g}: a placeholder and not "
            "a position, by which no object can be told. Give their positions, or leave the columns empty."
        )
    return rows[tree.query_pairs(_chord(radius), output_type="ndarray")]


def position_groups(ra: np.ndarray, dec: np.ndarray, radius: float) -> np.ndarray:
    """Give rows nearer than `radius` to each other, also by steps, one number.

    Parameters
    ----------
    ra, dec : array, shape (n,)
        ICRS degrees; a row without a position is a group of its own.
    radius : float
        Linking length in arcsec.

    Returns
    -------
    array of int64, shape (n,)
        For each row the number of the first row of its group.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(ra)
    pairs = close_pairs(ra, dec, radius)
    links = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, component = connected_components(links, directed=False)
    _, first, group = np.unique(component, return_index=True, return_inverse=True)
    return first[group].astype(np.int64)


def _observation_rank(catalogue: Catalogue) -> np.ndarray:
    """Rank the rows, 0 the best observed: more bands, then higher median S/N, then the earlier row."""
    bands = catalogue.observed.sum(axis=1)
    with np.errstate(invalid="ignore"):
        snr = np.nan_to_num(catalogue.flux / catalogue.flux_err, nan=0.0)
    order = np.lexsort([np.arange(len(catalogue)), -np.median(snr, axis=1), -bands])
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    return rank


def overlap_duplicates(catalogue: Catalogue, radius: float, tile: str = "TILE_ID") -> np.ndarray:
    """Say which rows to keep so that each source stands once where tiles overlap.

    Rows of *different* tiles within `radius` are one source, observed twice; rows of one tile are
    neighbours that its detection told apart. The best observed row of a source stays.

    Parameters
    ----------
    catalogue : Catalogue
        n rows.
    radius : float
        In arcsec; 0 keeps every row.
    tile : str
        Key column that names the tile, in any case. Without it nothing is merged.

    Returns
    -------
    array of bool, shape (n,)
        False for the rows to drop.
    """
    keep = np.ones(len(catalogue), dtype=bool)
    tiles = next((column for name, column in catalogue.key.items() if name.upper() == tile.upper()), None)
    if radius <= 0 or tiles is None:
        return keep
    pairs = close_pairs(catalogue.ra, catalogue.dec, radius)
    pairs = pairs[tiles[pairs[:, 0]] != tiles[pairs[:, 1]]]
    if len(pairs) == 0:
        return keep
    involved, position = np.unique(pairs, return_inverse=True)
    rank = _observation_rank(catalogue.take(involved))
    ranked = np.sort(rank[position.reshape(-1, 2)], axis=1)
    kept = np.ones(len(involved), dtype=bool)
    # From the best row down: a row already dropped drops no other, so chains do not eat neighbours.
    for better, worse in ranked[np.lexsort([ranked[:, 1], ranked[:, 0]])].tolist():
        if kept[better]:
            kept[worse] = False
    keep[involved] = kept[rank]
    return keep


def ids_from_key(key: Mapping[str, np.ndarray], salt: int = 0) -> np.ndarray:
    """Make an object id from a row key: the same in every run, negative, so never a TARGETID.

    DESI's targets have positive ids. A source without one gets a number below -2^62, mixed from its
    key columns (Steele et al. 2014, SplitMix64) and not glued from their digits. Two keys share one
    with odds of n² / 2^63; they would then count as one object, which no split can leak.

    Parameters
    ----------
    key : mapping of str to array of int64, shape (n,)
        The columns whose tuple names a row.
    salt : int
        Tells apart tables whose keys are alike and mean nothing to each other, such as row numbers.

    Returns
    -------
    array of int64, shape (n,)
        In [-2^63, -2^62).
    """
    columns = [np.ascontiguousarray(column, dtype=np.int64).view(np.uint64) for column in key.values()]
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in (np.full(len(mixed), salt, dtype=np.uint64), *columns):
        mixed += column + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(2)).view(np.int64) + np.iinfo(np.int64).min


def nearest_within(
    ra1: np.ndarray, dec1: np.ndarray, ra2: np.ndarray, dec2: np.ndarray, radius: float, threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Find for each row of a table the nearest row of another within `radius` arcsec; rows may share it."""
    tree1, rows1 = _tree(ra1, dec1)
    tree2, rows2 = _tree(ra2, dec2)
    if len(rows1) == 0 or len(rows2) == 0:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    distance, there = tree2.query(tree1.data, distance_upper_bound=_chord(radius), workers=threads)
    here = np.flatnonzero(np.isfinite(distance))
    return rows1[here], rows2[there[here]]
