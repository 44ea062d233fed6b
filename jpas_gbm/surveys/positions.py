"""Which rows of two tables are the same object, by position or by id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import CatalogueError, ConfigError
from .catalogue import Catalogue

_ARCSEC = np.pi / (180.0 * 3600.0)
_CROWD = 1000
_WIDEST = 3600.0


def _unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Return positions in degrees as unit vectors, float64 (n, 3)."""
    lon, lat = np.deg2rad(ra), np.deg2rad(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _chord(radius: float) -> float:
    """Return the length of the chord under an angle in arcsec on the unit sphere."""
    if not 0 <= radius <= _WIDEST:
        raise ConfigError(
            f"a match within {radius:g} arcsec is none: sources of the same sky position are wanted. Give a radius "
            f"of 0 to {_WIDEST:g} arcsec."
        )
    return float(np.nextafter(2.0 * np.sin(0.5 * radius * _ARCSEC), np.inf))


class SkyIndex:
    """Positions on the sky, searched for the nearest ones: built once, asked any number of times.

    Positions become unit vectors in a k-d tree, so poles and RA = 0 are nothing special, and m searches
    among n rows cost m log n. Rows without a position (NaN, or a declination beyond a pole) are near
    nothing. The matching of astropy.coordinates uses the same tree, but refuses such rows, wraps
    each call in coordinate objects, and offers neither a radius nor threads.

    Parameters
    ----------
    ra, dec : array, shape (n,)
        ICRS degrees.

    Attributes
    ----------
    rows : array of intp, shape (m,)
        Numbers of the rows that have a position.
    """

    def __init__(self, ra: np.ndarray, dec: np.ndarray) -> None:
        from scipy.spatial import cKDTree

        self.rows, self._vectors = self._placed(ra, dec)
        self._places = np.asarray(ra)[self.rows] + 1j * np.asarray(dec)[self.rows]
        # A tree of sky positions needs no balance or tight boxes, and builds twice as fast without.
        self._tree = cKDTree(self._vectors, balanced_tree=False, compact_nodes=False)

    @staticmethod
    def _placed(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that have a position, and their unit vectors."""
        ra, dec = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
        rows = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90.0))
        return rows, _unit_vectors(ra[rows], dec[rows])

    def nearest(
        self, ra: np.ndarray, dec: np.ndarray, radius: float, *, mutual: bool = False, threads: int = 1
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find for each position the nearest row within a radius.

        Parameters
        ----------
        ra, dec : array, shape (m,)
            ICRS degrees.
        radius : float
            Largest separation in arcsec.
        mutual : bool
            Whether the position must be the nearest to that row, too: then a row stands in one pair at
            most. Otherwise several positions may share a row.
        threads : int
            Threads of the search.

        Returns
        -------
        here, there : array of intp, shape (k,)
            Numbers of the positions and of their rows, by increasing `here`.
        separation : array of float64, shape (k,)
            In arcsec.

        Raises
        ------
        ConfigError
            If the radius is negative or above a degree.
        """
        from scipy.spatial import cKDTree

        limit = _chord(radius)
        placed, vectors = self._placed(ra, dec)
        if len(placed) == 0 or len(self.rows) == 0:
            none = np.empty(0, dtype=np.intp)
            return none, none, np.empty(0)
        distance, there = self._tree.query(vectors, distance_upper_bound=limit, workers=threads)
        here = np.flatnonzero(np.isfinite(distance))
        there = there[here]
        if mutual:
            tree = cKDTree(vectors, balanced_tree=False, compact_nodes=False)
            chosen = tree.query(self._vectors[there], workers=threads)[1] == here
            here, there = here[chosen], there[chosen]
        return placed[here], self.rows[there], 2.0 * np.arcsin(0.5 * distance[here]) / _ARCSEC

    def pairs(self, radius: float) -> np.ndarray:
        """Return all pairs of rows nearer to each other than `radius` arcsec, intp (k, 2).

        Parameters
        ----------
        radius : float
            Arcsec.

        Returns
        -------
        array of intp, shape (k, 2)
            Row numbers, each pair once.

        Raises
        ------
        CatalogueError
            If more than a thousand rows stand at one position: it is a placeholder.
        """
        if len(self.rows) < 2:
            return np.empty((0, 2), dtype=np.intp)
        # Pairs of n rows at one place are n²/2: they would fill the memory.
        places, crowd = np.unique(self._places, return_counts=True)
        place = places[crowd.argmax()]
        if crowd.max() > _CROWD:
            raise CatalogueError(
                f"{crowd.max():,} rows stand at RA {place.real:g}, Dec {place.imag:g}: a placeholder and not a "
                "position, by which no object can be told. Give their positions, or leave the columns empty."
            )
        return self.rows[self._tree.query_pairs(_chord(radius), output_type="ndarray")]


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
    pairs = SkyIndex(ra, dec).pairs(radius)
    return _linked(pairs[:, 0], pairs[:, 1], len(ra))


_SPECTRA_OF_ONE = 20


def objects_of(ids: np.ndarray, ra: np.ndarray, dec: np.ndarray, alike: np.ndarray, first: int) -> np.ndarray:
    """Return the object of each of some spectra: those of one id, within 1 arcsec or exactly alike are one's.

    Parameters
    ----------
    ids : array of int64, shape (n,)
        Not above 0 where there is none.
    ra, dec : array, shape (n,)
        ICRS degrees; 0, 0 and places of more than 20 spectra are placeholders.
    alike : array of int64, shape (n,)
        One number for those that are the same.
    first : int
        What objects without an id are numbered from.

    Returns
    -------
    array of int64, shape (n,)
        The least id of any of its spectra.
    """
    rows = np.arange(len(ids))
    _, of, many = np.unique(np.stack([ra, dec]), axis=1, return_inverse=True, return_counts=True)
    nowhere = (many[of.ravel()] > _SPECTRA_OF_ONE) | (ra == 0) & (dec == 0)
    near = position_groups(np.where(nowhere, np.nan, ra), dec, 1.0)
    keys = (
        np.unique(key, return_index=True, return_inverse=True) for key in (np.where(ids > 0, ids, -1 - rows), alike)
    )
    joined = [near, *(index[group] for _, index, group in keys)]
    group = _linked(np.tile(rows, 3), np.concatenate(joined), len(rows))
    known = np.where(ids > 0, ids, first + rows)
    np.minimum.at(known, group, known.copy())
    return known[group]


def _linked(one: np.ndarray, other: np.ndarray, n: int) -> np.ndarray:
    """Return for each of n rows the number of the first row that pairs of rows link it to."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(n, n))
    _, component = connected_components(links, directed=False)
    _, first, group = np.unique(component, return_index=True, return_inverse=True)
    return first[group].astype(np.int64)


PLACEHOLDER = "of unlike brightness at one exact place, taken as a placeholder: they join nothing"


def unlike_places(
    ra: np.ndarray, dec: np.ndarray, brightness: Callable[[np.ndarray], np.ndarray], least: int = 3, span: float = 1.0
) -> np.ndarray:
    """Return the rows whose place is no position: that of several rows which are not of one source.

    Detections of a source in several images differ in their last digits, and forced ones are alike in brightness.

    Parameters
    ----------
    ra, dec : array, shape (n,)
        ICRS degrees.
    brightness : callable
        Gives the magnitudes of the rows of an array of row numbers; NaN where not known.
    least : int
        Rows at one exact place from which it is looked at.
    span : float
        Magnitudes by which they differ.

    Returns
    -------
    array of intp
        Row numbers.
    """
    rows = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    _, group, count = np.unique(ra[rows] + 1j * dec[rows], return_inverse=True, return_counts=True)
    crowded = count[group] >= least
    rows, group = rows[crowded], group[crowded]
    if len(rows) == 0:
        return rows
    faintest, brightest = np.full(len(count), -np.inf), np.full(len(count), np.inf)
    values = brightness(rows)
    np.fmax.at(faintest, group, values)
    np.fmin.at(brightest, group, values)
    return rows[(faintest - brightest)[group] > span]


def made_here(ids: np.ndarray) -> np.ndarray:
    """Return which ids :func:`ids_from_key` made, so that no other table has them.

    Parameters
    ----------
    ids : array of int64, shape (n,)

    Returns
    -------
    array of bool, shape (n,)
    """
    return ids < -(1 << 62)


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
    pairs = SkyIndex(catalogue.ra, catalogue.dec).pairs(radius)
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


def equal_fluxes(catalogue: Catalogue) -> np.ndarray:
    """Return the group of each row: those whose fluxes are the same bit for bit, at least five of them known.

    Parameters
    ----------
    catalogue : Catalogue
        n rows.

    Returns
    -------
    array of int64, shape (n,)
        -1 for rows with fewer fluxes.
    """
    rows = np.flatnonzero(catalogue.observed.sum(axis=1) >= min(5, len(catalogue.bands)))
    words = np.ascontiguousarray(np.nan_to_num(catalogue.flux[rows], nan=-1.0)).view(np.uint8)
    found = np.full(len(catalogue), -1, dtype=np.int64)
    if len(rows):
        words = words.reshape(len(rows), -1)
        found[rows] = np.unique(words.view(f"V{words.shape[1]}").reshape(-1), return_inverse=True)[1]
    return found


def _scattered(values: np.ndarray) -> np.ndarray:
    """Scatter every bit of uint64 values: a step and the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def mixed_columns(columns: Iterable[np.ndarray], rows: int) -> np.ndarray:
    """Return a hash of some integer columns of each row; of one column no two values have the same.

    Parameters
    ----------
    columns : iterable of array of int, shape (n,)
        In an order that counts.
    rows : int
        Their n.

    Returns
    -------
    array of uint64, shape (n,)
        Looks random; 0 without a column.
    """
    found = np.zeros(rows, dtype=np.uint64)
    for column in columns:
        found = _scattered(found ^ np.ascontiguousarray(column).astype(np.int64).view(np.uint64))
    return found


def ids_from_key(key: Mapping[str, np.ndarray], salt: int = 0) -> np.ndarray:
    """Make an object id from a row key: the same in every run, negative, so never a TARGETID.

    DESI's targets have positive ids. A source without one gets a number below -2^62, mixed from its
    key columns (SplitMix64) and not glued from their digits. Two keys share one
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
        mixed = _scattered(mixed + column)
    return (mixed >> np.uint64(2)).view(np.int64) + np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class TwinFinder:
    """Knows the objects of the target, and finds them among source rows.

    Parameters
    ----------
    known_ids : array of int64
        Ids that must not train: of target rows, and of the whole label catalogue. Sorted, unique.
    target : Catalogue, optional
        Given where source and target share no ids: then its positions decide.
    radius : float
        Of a match by position, arcsec.
    """

    known_ids: np.ndarray
    target: Catalogue | None = None
    radius: float = 1.0

    def identify(self, source: Catalogue, ids_name_objects: bool) -> Catalogue:
        """Give source rows that stand where a target row stands the id of its object.

        Where ids are shared the source comes back as it is.

        Parameters
        ----------
        source : Catalogue
            n rows, of all files together.
        ids_name_objects : bool
            Whether the ids of the source name its objects; if not, its rows at one position become
            one object.

        Returns
        -------
        Catalogue
            With the object ids of the target where they stand at one place.
        """
        if self.target is None:
            return source
        if ids_name_objects:
            _, first, group = np.unique(source.object_id, return_index=True, return_inverse=True)
            first = first[group]
        else:
            first = position_groups(source.ra, source.dec, self.radius)
        ids = source.object_id[first]
        index = SkyIndex(self.target.ra, self.target.dec)
        here, there, _ = index.nearest(source.ra, source.dec, self.radius)
        # Rows of one object may lie on both sides of the radius: all of them are the target's.
        partner = np.full(len(source), -1, dtype=np.intp)
        partner[first[here]] = there
        partner = partner[first]
        ids[partner >= 0] = self.target.object_id[partner[partner >= 0]]
        return source.replace(object_id=ids)

    def find(self, source: Catalogue) -> dict[str, np.ndarray]:
        """Say which source rows are twins, and how that is known.

        Parameters
        ----------
        source : Catalogue
            n rows, as :meth:`identify` returned them.

        Returns
        -------
        dict of str to array of bool, shape (n,)
            ``by_id`` or ``by_position``: the object is in the target or its label catalogue.
            ``says_so``: the row says ISINJPAS = 1, and nothing else tells.
        """
        rows, _ = match_ids(source.object_id, self.known_ids)
        known = np.zeros(len(source), dtype=bool)
        known[rows] = True
        says = np.asarray(source.extra.get(IN_TARGET, np.zeros(len(source)))) == 1
        return {"by_id" if self.target is None else "by_position": known, "says_so": says & ~known}


SAME_SOURCE = 0.5
"""Rows nearer than this, in arcsec, are taken for one source where nothing else names it."""


IN_TARGET = "ISINJPAS"
"""Column by which a mock says that its object is in the target."""
