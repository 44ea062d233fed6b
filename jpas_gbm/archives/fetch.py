"""fetch: from an archive to files that `prepare` and `predict` take as they are."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ..atomic import atomic_folder
from ..errors import ArchiveError, CatalogueError, ConfigError, OutputError, did_you_mean
from ..run import Progress, claim_folder
from ..sealed import Form, seal
from ..store import Made, Provenance, provenance, sha256, to_plain
from ..surveys.columns import find_layout
from ..surveys.conversion import position
from ..surveys.positions import SkyIndex
from ..surveys.recognition import open_survey
from ..surveys.schema import Kind, load_schema
from ..text import count
from .areas import Area, Counts, may_hold
from .queries import Cache, Fetcher, Kept, Query
from .releases import Release, SkyTable, find_release, releases
from .tap import LARGE, Archive, Mode

if TYPE_CHECKING:
    from mocpy import MOC

log = logging.getLogger("jpas_gbm")

NEAR = 5.0
"""Arcsec around the sources within which rows of labels and imaging are kept; matches are made within 1."""

_TEXT = 3.0  # bytes of an answer for one byte of a row
_KINDS: dict[str, Kind] = {"labels": "labels", "legacy": "imaging"}
_TABLES = (".fits", ".fit", ".fz", ".gz", ".parquet", ".vot", ".csv")
Words = str | Path | Sequence[str | Path]
_Near = tuple[SkyTable, list[np.ndarray], int, tuple[Query, ...], str]


@dataclass(frozen=True)
class Part:
    """One file that was fetched.

    Parameters
    ----------
    role : str
        ``catalogue``, ``labels`` or ``legacy``, with a number where there are several.
    source : str
        A table of a release, or files.
    rows : int
        Rows of the file.
    looked_at : int
        Rows that were fetched or read for it.
    queries : tuple of Query
    """

    role: str
    source: str
    rows: int
    looked_at: int
    queries: tuple[Query, ...] = ()


@dataclass(frozen=True)
class Fetched:
    """What was fetched, or would be.

    Parameters
    ----------
    release, area, mode : str
    parts : tuple of Part
        The catalogue first.
    empty_tiles : tuple of int
        Tiles that were asked for and have no rows.
    provenance : Provenance
    out : str
        The folder; empty in a dry run.
    bytes : int
        About how much the archive sends for the catalogue.
    """

    release: str
    area: str
    mode: str
    parts: tuple[Part, ...]
    empty_tiles: tuple[int, ...] = ()
    provenance: Made = field(default_factory=Provenance)
    out: str = ""
    bytes: int = 0

    @property
    def files(self) -> dict[str, str]:
        """The files by role; none in a dry run."""
        return {part.role: str(Path(self.out) / f"{part.role}.fits") for part in self.parts} if self.out else {}

    def lines(self) -> list[str]:
        """Return what to say of it; of a dry run, all queries.

        Returns
        -------
        list of str
        """
        main, *more = self.parts
        empty = [f"tiles without rows: {', '.join(map(str, self.empty_tiles))}"] if self.empty_tiles else []
        if not self.out:
            asked = [
                f"{query.adql};" + ("" if query.rows is None else f"  -- {count(query.rows, 'row')}")
                for query in main.queries
            ]
            size = f"about {self.bytes / 1e6:,.0f} MB to be sent"
            total = f"{self.release}, {self.area}: {count(main.rows, 'row')}, {size}"
            return [*asked, *empty, total, "dry run: no rows were fetched"]
        lines = [f"{self.release}, {self.area}: {count(main.rows, 'row')} of {main.source}", *empty]
        lines += [
            f"{part.role}: {part.rows:,} of {part.looked_at:,} rows of {part.source} lie near a source" for part in more
        ]
        options = {"catalogue": "--target", "labels": "--labels", "legacy": "--legacy"}
        given = " ".join(f"{options[role.partition('_')[0]]} {file}" for role, file in self.files.items())
        return [*lines, f"next: jpas-gbm prepare --source MOCKS {given} --out data"]

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold.

        Returns
        -------
        dict
        """
        return {**to_plain(self), "files": self.files}


FORM = Form("fetched sky", "fetch.json", 1, Fetched, "Make one with jpas-gbm fetch.")


def _catalogue(
    fetcher: Fetcher, dry_run: bool, progress: Progress | None
) -> tuple[SkyTable, Counts, list[np.ndarray], int]:
    """Return the rows of a release in an area and about how many bytes are sent for them; in a dry run no rows."""
    table = fetcher.understand()
    counts = fetcher.count(table)
    if not counts.total:
        raise ArchiveError(f"{fetcher.name}: the archive answers that {table.name} has no rows in {fetcher.area.name}.")
    blocks = counts.blocks(fetcher.most)
    if not dry_run:
        blocks = [block for block in blocks if not fetcher.kept(table, block)]
    # Parts of a tile are not counted one by one.
    n = sum(counts.rows[tile] for tile in {tile for block in blocks for tile in block.tiles})
    size = 4 * n * table.values
    sent = int(_TEXT * size)
    if dry_run:
        fetcher.queries += [Query(fetcher.adql(table, block), block.rows) for block in blocks]
        return table, counts, [], sent
    if blocks:
        text = "%s: %d rows in %d blocks are to be fetched, about %.0f MB."
        log.log(logging.WARNING if sent > LARGE else logging.INFO, text, fetcher.name, n, len(blocks), sent / 1e6)
        folder = next(parent for parent in fetcher.cache.folder.absolute().parents if parent.exists())
        free = shutil.disk_usage(folder).free
        if size > free:
            raise OutputError(
                f"{fetcher.cache.folder}: about {size / 1e6:,.0f} MB are needed, and the disk has room for "
                f"{free / 1e6:,.0f}. Free some space or choose another --cache."
            )
    pieces = fetcher.rows(table, counts, progress)
    if fetcher.area.moc is not None:
        pieces = [piece[fetcher.area.inside(*table.positions(piece))] for piece in pieces]
        pieces = [piece for piece in pieces if len(piece)]
    if not pieces:
        raise ArchiveError(f"{fetcher.name}: {table.name} has no rows in {fetcher.area.name}, only near it.")
    return table, counts, pieces, sent


def table_files(place: Path) -> list[Path]:
    """Return the tables in a folder that mirrors a release, or the file itself.

    Parameters
    ----------
    place : Path

    Returns
    -------
    list of Path

    Raises
    ------
    CatalogueError
        If there is no such file, or no table in the folder.
    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise CatalogueError(f"{place}: there is no such file or folder, and no release of that name.")
    files = [
        p for p in sorted(place.rglob("*")) if p.suffix.lower() in _TABLES and p.name[0] not in "_." and p.is_file()
    ]
    if not files:
        raise CatalogueError(f"{place}: holds no table ({', '.join(_TABLES)}).")
    return files


def urls_of(word: str) -> Iterator[str]:
    """Yield the addresses that a word names: itself, or the lines of a list.

    Parameters
    ----------
    word : str
        An address, or the path of a text file with one a line; ``#`` begins a comment.

    Yields
    ------
    str
    """
    if re.match("https?://", word):
        yield word
    elif Path(word).suffix in (".txt", ".lst") and Path(word).is_file():
        for line in Path(word).read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                yield line.split()[0]


def rows_near(path: Path, kind: Kind, index: SkyIndex, radius: float) -> tuple[SkyTable, list[np.ndarray], int]:
    """Return the rows of a table of labels or imaging that lie near given positions.

    Parameters
    ----------
    path : Path
    kind : {"labels", "imaging"}
        What it must be.
    index : SkyIndex
        The positions.
    radius : float
        In arcsec.

    Returns
    -------
    table : SkyTable
    pieces : list of structured array
    rows : int
        Rows that were looked at.

    Raises
    ------
    CatalogueError
        If it is a table of another kind, or damaged.
    """
    table, schema = open_survey(path, None, kind)
    layout = find_layout(table, schema)
    sky = SkyTable.of(table.place, table, schema, {})
    pieces, looked_at = list[np.ndarray](), 0
    for rows in table.blocks(sky.want):
        ra, dec, _ = position({ours: rows[theirs] for ours, theirs in layout.names.items()}, layout)
        near = np.unique(index.nearest(ra, dec, radius)[0])
        records = sky.records({name: values[near] for name, values in rows.items()})
        if len(records) or not pieces:
            pieces.append(records)
        looked_at += len(ra)
    return sky, pieces, looked_at


@dataclass(frozen=True)
class _Companions:
    """Labels or imaging for the sky of a catalogue, from releases, addresses, mirrors and files."""

    role: str
    ra: np.ndarray
    dec: np.ndarray
    index: SkyIndex
    cache: Cache
    config: str | Path | None
    mode: Mode
    progress: Progress | None

    def find(self, word: str) -> _Near:
        """Return the rows near the sources, how many were looked at, what was asked, and where they are from."""
        known = releases(self.config)
        if word in known:
            return self._from_release(word, known[word])
        queries: list[Query] = []
        pieces: list[np.ndarray] = []
        looked_at, files, sky = 0, list(self._files(word, queries)), None
        for path in files:
            table, more, rows = rows_near(path, _KINDS[self.role], self.index, NEAR)
            if sky is not None and dict(table.names).keys() ^ dict(sky.names).keys():
                odd = ", ".join(sorted(table.names.keys() ^ sky.names.keys()))
                raise CatalogueError(
                    f"{path}: is of another form than {files[0]}, they differ in {odd}: name them apart."
                )
            sky, looked_at, pieces = sky or table, looked_at + rows, [*pieces, *(piece for piece in more if len(piece))]
        if sky is None or not pieces:
            raise CatalogueError(
                f"--{self.role} {word}: none of its {looked_at:,} rows lies within {NEAR:g} arcsec of a source of the "
                f"catalogue. Check that both cover the same sky, or leave out --{self.role}."
            )
        source = files[0].name if len(files) == 1 else f"{len(files)} files of {Path(word).name}"
        return sky, pieces, looked_at, tuple(queries), source

    def _from_release(
        self, word: str, release: Release
    ) -> tuple[SkyTable, list[np.ndarray], int, tuple[Query, ...], str]:
        from astropy import units as u
        from mocpy import MOC

        moc = MOC.from_lonlat(self.ra * u.deg, self.dec * u.deg, max_norder=11)
        fetcher = Fetcher(word, release, Area(moc=moc, name="the sky of the catalogue"), self.cache, self.mode)
        # Sources at an edge have neighbours beyond it: rows are chosen by distance and not by the map.
        table = fetcher.understand()
        pieces = fetcher.rows(table, fetcher.count(table), self.progress)
        rows = sum(map(len, pieces))
        near = [piece[np.unique(self.index.nearest(*table.positions(piece), NEAR)[0])] for piece in pieces]
        near = [piece for piece in near if len(piece)]
        if not near:
            raise CatalogueError(f"--{self.role} {word}: none of {rows:,} rows lies near a source of the catalogue.")
        return table, near, rows, tuple(fetcher.queries), f"{word} ({table.name})"

    def _files(self, word: str, queries: list[Query]) -> Sequence[Path]:
        """Return the tables that a word names and that may hold rows near the sources; addresses are downloaded."""
        urls = list(urls_of(word))
        if not urls:
            return [path for path in table_files(Path(word)) if may_hold(path.as_posix(), self.ra, self.dec)]
        files = []
        for url in urls:
            if not may_hold(url, self.ra, self.dec):
                continue
            release = Release(title=url, url=url, survey="desi_dr1", tables=("file",))

            def write(place: Path, url: str = url, release: Release = release) -> Kept:
                Archive("download", release).download(url, place, url)
                return Kept(sha256(place))

            name = url.partition("?")[0].rstrip("/").rpartition("/")[2]
            path, kept = self.cache.get(url, "file", f"-{name}", url, write)
            queries.append(Query(url, None, kept.received, kept.answer))
            files.append(path)
        return files


def _words(given: Words | None) -> list[str]:
    if given is None:
        return []
    return [str(given)] if isinstance(given, str | Path) else [str(word) for word in given]


def _check_words(role: str, words: Sequence[str], config: str | Path | None) -> None:
    """Refuse what cannot be read before anything is fetched."""
    known = releases(config)
    for word in words:
        if word in known:
            kind = load_schema(known[word].survey).kind
            if kind != _KINDS[role]:
                raise ConfigError(f"--{role} {word}: is a release of kind '{kind}', one of '{_KINDS[role]}' is needed.")
        elif not any(urls_of(word)):
            files = table_files(Path(word))
            if not Path(word).is_dir():
                open_survey(files[0], None, _KINDS[role])


def fetch(
    release: str,
    out: str | Path = "sky",
    *,
    tiles: Sequence[int | str] | str | None = None,
    box: str | Sequence[float] | None = None,
    cone: str | Sequence[float] | None = None,
    moc: str | Path | MOC | None = None,
    labels: Words | None = None,
    legacy: Words | None = None,
    mode: str = "sync",
    dry_run: bool = False,
    offline: bool = False,
    refresh: bool = False,
    cache: str | Path | None = None,
    config: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Fetched:
    """Fetch a part of the sky from an archive, with labels and imaging of its sources.

    Rows come in blocks, each checked and kept under its query: a run that was stopped goes on where it was.

    Parameters
    ----------
    release : str
        Such as ``jpas-edr``.
    out : path
        Folder for ``catalogue.fits``, ``labels.fits``, ``legacy.fits``, ``fetch.json``.
    tiles, box, cone, moc : sequence of int or "all", 4 floats, 3 floats, path or MOC
        The part of the sky, by one of the four. A box is RA from, RA to, Dec from, Dec to; a cone RA, Dec, radius.
    labels, legacy : path, str, or a sequence of these, optional
        Spectroscopic labels, imaging: a file, a folder that mirrors a release, an address, a ``.txt`` list of these,
        or a release of that kind. Rows within 5 arcsec of a source are kept.
    mode : {"sync", "async"}
        Whether the archive answers at once or runs jobs that are waited for; both give the same rows.
    dry_run, offline, refresh, cache : bool, bool, bool, path
        Return queries and counts alone; ask nothing, all is in the cache; ask for what is there, too; where it is.
    config, overwrite, progress : path, bool, callable
        A file of releases; default: ``archives.yaml``. Whether `out` may be replaced; ``progress(stage, done, total)``.

    Returns
    -------
    Fetched

    Raises
    ------
    ArchiveError, OutputError
        If the archive is silent, refuses, has no such rows or sends no whole table; if `out` exists or a disk is full.
    ConfigError, CatalogueError
        If an option is wrong, or a file of labels or imaging cannot be read or has no row near a source.
    """
    if mode not in get_args(Mode):
        raise ConfigError(f"--mode {mode}: is neither sync nor async.{did_you_mean(mode, get_args(Mode))}")
    found, area, store = find_release(release, config), Area.of(tiles, box, cone, moc), Cache(cache, offline, refresh)
    fetcher = Fetcher(release, found, area, store, "async" if mode == "async" else "sync")
    if dry_run:
        return _result(fetcher, *_catalogue(fetcher, True, progress)[1:])
    words = {"labels": _words(labels), "legacy": _words(legacy)}
    return _written(fetcher, Path(out), words, config, overwrite, progress)


def _result(
    fetcher: Fetcher, counts: Counts, pieces: Sequence[np.ndarray], size: int, more: Sequence[Part] = (), out: str = ""
) -> Fetched:
    """Return what was fetched, or would be, with how."""
    name, area, mode = fetcher.name, fetcher.area, fetcher.mode
    rows = sum(map(len, pieces)) if out else counts.total
    part = Part("catalogue", fetcher.table, rows, counts.total, tuple(fetcher.queries))
    empty = tuple(tile for tile in area.tiles if tile not in counts.rows)
    about = provenance(
        options={"release": name, "area": area.name, "mode": mode}, url=fetcher.release.url, title=fetcher.release.title
    )
    return Fetched(name, area.name, mode, (part, *more), empty, about, out, size)


def _written(
    fetcher: Fetcher,
    out: Path,
    words: dict[str, list[str]],
    config: str | Path | None,
    overwrite: bool,
    progress: Progress | None,
) -> Fetched:
    """Fetch the rows of the area and those near its sources, and write them."""
    claim_folder(out, FORM.kind, overwrite, [word for given in words.values() for word in given])
    for role, given in words.items():
        _check_words(role, given, config)
    table, counts, pieces, size = _catalogue(fetcher, False, progress)
    files, parts = {"catalogue": (table, pieces)}, list[Part]()
    ra, dec = (np.concatenate(column) for column in zip(*map(table.positions, pieces), strict=True))
    known = np.isfinite(ra) & np.isfinite(dec)
    ra, dec = ra[known], dec[known]
    for role, given in words.items():
        near = _Companions(role, ra, dec, SkyIndex(ra, dec), fetcher.cache, config, fetcher.mode, progress)
        for number, word in enumerate(given, start=1):
            name = f"{role}_{number}" if len(given) > 1 else role
            sky, records, looked_at, queries, source = near.find(word)
            files[name] = (sky, records)
            parts.append(Part(name, source, sum(map(len, records)), looked_at, queries))
    result = _result(fetcher, counts, pieces, size, parts, str(out))
    with atomic_folder(out, overwrite=overwrite) as folder:
        for name, (sky, records) in files.items():
            sky.write(folder / f"{name}.fits", records, result.provenance)
        seal(folder, FORM, result)
    return result
