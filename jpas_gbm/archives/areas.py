"""Parts of the sky that are asked for, and the blocks in which they are."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError

if TYPE_CHECKING:
    from mocpy import MOC

_MARGIN = 0.01  # degrees around a file of a mirror
_CIRCLES, _FINEST = 48, 11  # most circles in the condition of a MOC, and the finest order of the cells in them


def _numbers(value: str | Sequence[float], option: str, names: str) -> tuple[float, ...]:
    """Return the numbers of an option, given as such or as text with commas."""
    words = value.replace(",", " ").split() if isinstance(value, str) else list(value)
    try:
        numbers = tuple(float(word) for word in words)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != len(names.split(",")) or not np.isfinite(numbers).all():
        raise ConfigError(f"--{option} {value}: write {names}, numbers in degrees that commas part.")
    return numbers


def _plain(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Area:
    """The part of the sky that is wanted: tiles, a box, a cone, a MOC or all of a release.

    Parameters
    ----------
    tiles : tuple of int
        Numbers of tiles.
    box : tuple of 4 floats, or empty
        RA from, RA to, Dec from, Dec to, in degrees; RA from above RA to is a box across 0.
    cone : tuple of 3 floats, or empty
        RA, Dec, radius, in degrees.
    moc : MOC, optional
    name : str
        What was given, for people.
    """

    tiles: tuple[int, ...] = ()
    box: tuple[float, ...] = ()
    cone: tuple[float, ...] = ()
    moc: MOC | None = None
    name: str = ""

    @classmethod
    def of(
        cls,
        tiles: Sequence[int | str] | str | None = None,
        box: str | Sequence[float] | None = None,
        cone: str | Sequence[float] | None = None,
        moc: str | Path | MOC | None = None,
    ) -> Area:
        """Return what the options of a user name.

        Parameters
        ----------
        tiles : sequence of int, or "all", optional
        box, cone : text with commas or sequence of float, optional
        moc : path or MOC, optional
            A Multi-Order Coverage map, as FITS or JSON.

        Returns
        -------
        Area

        Raises
        ------
        ConfigError
            If none or several are given, or one is wrong.
        """
        given = [name for name, value in (("tiles", tiles), ("box", box), ("cone", cone), ("moc", moc)) if value]
        if len(given) != 1:
            raise ConfigError(
                f"{'--' + ' and --'.join(given) + ' were given' if given else 'no part of the sky was named'}: "
                "give one of --tiles, --box, --cone and --moc. --tiles all is the whole release."
            )
        if tiles:
            return cls._of_tiles(tiles)
        if box:
            ra1, ra2, dec1, dec2 = numbers = _numbers(box, "box", "RA1,RA2,DEC1,DEC2")
            if not (0 <= ra1 <= 360 and 0 <= ra2 <= 360 and -90 <= dec1 < dec2 <= 90 and ra1 != ra2):
                raise ConfigError(f"--box {box}: RA is from 0 to 360, Dec rises and is from -90 to 90.")
            return cls(box=numbers, name=f"box {','.join(map(_plain, numbers))}")
        if cone:
            ra, dec, radius = numbers = _numbers(cone, "cone", "RA,DEC,RADIUS")
            if not (0 <= ra <= 360 and -90 <= dec <= 90 and 0 < radius <= 90):
                raise ConfigError(
                    f"--cone {cone}: RA is from 0 to 360, Dec from -90 to 90, the radius above 0 up to 90."
                )
            return cls(cone=numbers, name=f"cone {','.join(map(_plain, numbers))}")
        return cls._of_moc(moc)

    @classmethod
    def _of_tiles(cls, tiles: Sequence[int | str] | str) -> Area:
        words = tiles.replace(",", " ").split() if isinstance(tiles, str) else [str(tile) for tile in tiles]
        words = [part for word in words for part in word.split(",") if part]
        if words == ["all"]:
            return cls(name="all tiles")
        wrong = [word for word in words if not word.lstrip("-").isdecimal()]
        if wrong:
            raise ConfigError(f"--tiles {wrong[0]}: is no number of a tile. Give whole numbers, or 'all'.")
        numbers = tuple(sorted({int(word) for word in words}))
        return cls(tiles=numbers, name=f"tiles {', '.join(map(str, numbers))}")

    @classmethod
    def _of_moc(cls, moc: Any) -> Area:
        from mocpy import MOC

        name = "MOC"
        if not isinstance(moc, MOC):
            path = Path(moc)
            if not path.is_file():
                raise ConfigError(f"--moc {moc}: there is no such file.")
            name = f"MOC {path.name}"
            try:
                moc = MOC.load(str(path), format="json" if path.suffix.lower() == ".json" else "fits")
            except Exception as error:  # mocpy raises errors of its Rust core, of astropy and plain ValueErrors
                raise ConfigError(f"--moc {path}: is no MOC in FITS or JSON ({error}).") from error
        if moc.empty():
            raise ConfigError("--moc: the map is empty, it covers nothing.")
        return cls(moc=moc, name=name)

    def condition(self, tile: str, ra: str, dec: str) -> str:
        """Return the condition of ADQL that rows of the area meet; others may, too, of a MOC.

        Parameters
        ----------
        tile, ra, dec : str
            Names of the columns.

        Returns
        -------
        str
            Empty for a whole release.
        """
        if self.tiles:
            return f"{tile} IN ({', '.join(map(str, self.tiles))})"
        if self.box:
            ra1, ra2, dec1, dec2 = map(_plain, self.box)
            around = f"({ra} >= {ra1} OR {ra} <= {ra2})" if self.box[0] > self.box[1] else ""
            return f"{around or f'{ra} BETWEEN {ra1} AND {ra2}'} AND {dec} BETWEEN {dec1} AND {dec2}"
        circles = [self.cone] if self.cone else self._cover
        parts = [
            f"1 = CONTAINS(POINT('ICRS', {ra}, {dec}), CIRCLE('ICRS', {', '.join(map(_plain, circle))}))"
            for circle in circles
        ]
        return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})" if parts else ""

    @cached_property
    def _cover(self) -> list[tuple[float, float, float]]:
        """Circles (RA, Dec, radius) that together cover the MOC, a few dozen at most."""
        if self.moc is None:
            return []
        from astropy import units as u
        from astropy.coordinates import SkyCoord
        from astropy_healpix import HEALPix

        order, cells = 0, self.moc.degrade_to_order(0).flatten()
        for finer in range(1, min(self.moc.max_order, _FINEST) + 1):
            parts = self.moc.degrade_to_order(finer).flatten()
            if len(parts) > _CIRCLES:
                break
            order, cells = finer, parts
        cells = cells.astype(np.int64)
        grid = HEALPix(nside=1 << order, order="nested", frame="icrs")
        centre = grid.healpix_to_skycoord(cells)
        edge = SkyCoord(*grid.boundaries_lonlat(cells, step=4), frame="icrs")
        radius = centre[:, None].separation(edge).max(axis=1).to_value(u.deg) * 1.001
        return list(zip(centre.ra.deg.tolist(), centre.dec.deg.tolist(), radius.tolist(), strict=True))

    def inside(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return which positions lie in the area, where :meth:`condition` lets others in, too.

        Parameters
        ----------
        ra, dec : array, shape (n,)
            ICRS degrees.

        Returns
        -------
        array of bool, shape (n,)
        """
        if self.moc is None:
            return np.ones(len(ra), dtype=bool)
        from astropy import units as u

        found = np.zeros(len(ra), dtype=bool)
        known = np.isfinite(ra) & np.isfinite(dec)
        found[known] = self.moc.contains_lonlat(ra[known] * u.deg, dec[known] * u.deg)
        return found


@dataclass(frozen=True)
class Block:
    """Rows that are asked for at once: some tiles whole, or a range of the rows of one.

    Parameters
    ----------
    tiles : tuple of int
    low, high : int
        First and last NUMBER, of a part of a tile; both 0 where tiles are whole.
    rows : int, optional
        As they were counted; None for a part of a tile.
    """

    tiles: tuple[int, ...]
    low: int = 0
    high: int = 0
    rows: int | None = None

    def condition(self, tile: str, number: str) -> str:
        """Return its condition of ADQL, in these names of the columns.

        Parameters
        ----------
        tile, number : str
            Names of the columns.

        Returns
        -------
        str
        """
        if self.rows is not None:
            return f"{tile} IN ({', '.join(map(str, self.tiles))})"
        return f"{tile} = {self.tiles[0]} AND {number} BETWEEN {self.low} AND {self.high}"

    def halves(self, counts: Counts) -> list[Block]:
        """Return two blocks of the same rows, for a service that gives fewer at once than it should.

        Parameters
        ----------
        counts : Counts

        Returns
        -------
        list of Block
            Empty if the block is a single row number.
        """
        if len(self.tiles) > 1:
            middle = len(self.tiles) // 2
            parts = self.tiles[:middle], self.tiles[middle:]
            return [replace(self, tiles=part, rows=sum(counts.rows[tile] for tile in part)) for part in parts]
        low, high = counts.span[self.tiles[0]] if self.rows is not None else (self.low, self.high)
        if low >= high:
            return []
        middle = (low + high) // 2
        return [Block(self.tiles, low, middle), Block(self.tiles, middle + 1, high)]


@dataclass(frozen=True)
class Counts:
    """What an archive says that it has of an area.

    Parameters
    ----------
    rows : dict of int to int
        By tile.
    span : dict of int to (int, int)
        Smallest and largest NUMBER by tile.
    """

    rows: dict[int, int]
    span: dict[int, tuple[int, int]]

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.rows.values())

    def blocks(self, most: int) -> list[Block]:
        """Return blocks of fewer than so many rows each, as far as counts can tell.

        Parameters
        ----------
        most : int
            An answer of so many rows would count as cut short.

        Returns
        -------
        list of Block
            By rising tile.
        """
        blocks: list[Block] = []
        tiles: list[int] = []
        held = 0
        for tile in sorted(self.rows):
            n = self.rows[tile]
            if tiles and held + n >= most:
                blocks.append(Block(tuple(tiles), rows=held))
                tiles, held = [], 0
            if n >= most:
                blocks += self._parts(tile, -(-n * 5 // (4 * (most - 1))))
            else:
                tiles.append(tile)
                held += n
        return [*blocks, Block(tuple(tiles), rows=held)] if tiles else blocks

    def _parts(self, tile: int, parts: int) -> list[Block]:
        low, high = self.span[tile]
        edges = [low + (high - low + 1) * part // parts for part in range(parts + 1)]
        return [Block((tile,), first, last - 1) for first, last in itertools.pairwise(edges) if first < last]


def may_hold(name: str, ra: np.ndarray, dec: np.ndarray) -> bool:
    """Return whether a file of a mirror can hold sources at some positions, as far as its name tells.

    Parameters
    ----------
    name : str
        Path or address; sweeps of the Legacy Surveys name their box, leaves of a HATS catalogue their HEALPix cell.
    ra, dec : array, shape (n,)
        ICRS degrees.

    Returns
    -------
    bool
    """
    sweep = re.search(r"sweep-(\d{3})([pm])(\d{3})-(\d{3})([pm])(\d{3})", name)
    if sweep:
        ra1, sign1, dec1, ra2, sign2, dec2 = sweep.groups()
        low, high = (float(d) * (1 if s == "p" else -1) for d, s in ((dec1, sign1), (dec2, sign2)))
        near = (dec > low - _MARGIN) & (dec < high + _MARGIN)
        wide = _MARGIN / np.cos(np.deg2rad(np.clip(dec, -89.9, 89.9)))
        turns = (near & (ra > float(ra1) - wide + turn) & (ra < float(ra2) + wide + turn) for turn in (-360, 0, 360))
        return any(bool(inside.any()) for inside in turns)
    leaf = re.search(r"Norder=(\d+)/(?:Dir=\d+/)?Npix=(\d+)", name)
    if leaf:
        from astropy import units as u
        from astropy_healpix import HEALPix

        grid = HEALPix(nside=1 << int(leaf.group(1)), order="nested")
        for step in (-_MARGIN, 0.0, _MARGIN):
            wide = step / np.cos(np.deg2rad(np.clip(dec, -89.9, 89.9)))
            for lon, lat in ((ra + wide, dec), (ra, np.clip(dec + step, -90, 90))):
                if (grid.lonlat_to_healpix(np.mod(lon, 360) * u.deg, lat * u.deg) == int(leaf.group(2))).any():
                    return True
        return False
    return True
