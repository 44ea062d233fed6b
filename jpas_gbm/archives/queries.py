"""The rows of a part of the sky in blocks of tiles, each whole and once, and kept so that it is asked for once.

An answer that was found whole is kept under its query, with a checksum: a run that was stopped goes on where it was,
and a second one asks nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import atomic_files, clear_leftovers
from ..errors import ArchiveError, BundleError, CatalogueError, OutputError
from ..run import Progress
from ..sealed import read_companion, seal_companion
from ..store import from_plain, sha256, to_plain
from ..surveys.formats.votable import VoTable
from ..surveys.schema import load_schema
from ..surveys.spelling import ColumnNames, canonical
from .areas import Area, Block, Counts
from .releases import Release, SkyTable, band_order
from .tap import Archive, Mode, QueryRefused

log = logging.getLogger("jpas_gbm")

_PROBE = 200  # rows by which the order of the bands is found


@dataclass(frozen=True)
class Query:
    """A query that was asked, or would be.

    Parameters
    ----------
    adql : str
        Or the address of a file.
    rows : int or None
        Rows that it gives, where they were counted.
    received : str
        When the answer came (UTC); empty where it was not asked.
    answer : str
        SHA-256 of the answer as it came.
    """

    adql: str
    rows: int | None = None
    received: str = ""
    answer: str = ""


@dataclass(frozen=True)
class Kept:
    """What is known of an answer in the cache.

    Parameters
    ----------
    answer : str
        SHA-256 of the answer as it came.
    rows : int, optional
        Where they were counted.
    release : str
    received : str
        When it came (UTC).
    """

    answer: str
    rows: int | None = None
    release: str = ""
    received: str = ""


class Cache:
    """Answers by query, each with a companion that holds its checksum.

    Parameters
    ----------
    folder : path, optional
        Default: what the environment variable JPAS_GBM_CACHE names, else ``jpas-gbm/archive`` in the user's cache.
    offline : bool
        Whether what is not here is an error.
    refresh : bool
        Whether to ask for what is here, too.
    """

    def __init__(self, folder: str | Path | None = None, offline: bool = False, refresh: bool = False) -> None:
        usual = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        named = folder or os.environ.get("JPAS_GBM_CACHE")
        self.folder = Path(named) if named else Path(usual) / "jpas-gbm" / "archive"
        self.offline, self.refresh = offline, refresh
        self._fresh: set[Path] = set()

    def _place(self, url: str, query: str, suffix: str) -> Path:
        key = hashlib.sha256(f"{url}\n{query}".encode()).hexdigest()
        return self.folder / key[:2] / f"{key}{suffix}"

    def has(self, url: str, query: str, suffix: str) -> bool:
        """Return whether an answer is here and would be taken, unless it turns out to be damaged.

        Parameters
        ----------
        url, query, suffix : str
            What is asked, of whom, and the form of the answer.

        Returns
        -------
        bool
        """
        place = self._place(url, query, suffix)
        return place.is_file() and (not self.refresh or place in self._fresh)

    def drop(self, url: str, query: str, suffix: str) -> None:
        """Forget an answer.

        Parameters
        ----------
        url, query, suffix : str
            What was asked, of whom, and the form of the answer.
        """
        self._place(url, query, suffix).unlink(missing_ok=True)

    def get(self, url: str, query: str, suffix: str, what: str, write: Callable[[Path], Kept]) -> tuple[Path, Kept]:
        """Return the file of an answer and what is known of it; ask for it where it is not here, or is damaged.

        Parameters
        ----------
        url, query : str
            What it is an answer to.
        suffix : str
            Of the file.
        what : str
            What is asked for, for messages.
        write : callable
            Writes the answer, whole, to a path and returns what is to be known of it.

        Returns
        -------
        path : Path
        kept : Kept

        Raises
        ------
        ArchiveError
            If it is not here and nothing may be asked.
        OutputError
            If it cannot be written: a full disk, say.
        """
        place = self._place(url, query, suffix)
        companion = place.with_name(place.name + ".json")
        if self.has(url, query, suffix):
            for path in (place, companion):  # a run that was killed after it had kept the answer
                clear_leftovers(path)
            try:
                return place, from_plain(Kept, read_companion(companion, place))
            except (BundleError, ValueError) as error:
                if self.offline:
                    text = f"{what}: the copy in the cache is damaged, and with --offline nothing is asked ({error})"
                    raise ArchiveError(text) from error
                log.warning("%s: the copy in the cache is damaged and is asked for again.", what)
        elif self.offline:
            raise ArchiveError(
                f"{what}: is not in the cache ({self.folder}), and with --offline nothing is asked. The query: {query}"
            )
        try:
            with atomic_files(place, companion, overwrite=True) as (made, beside):
                kept = replace(write(made), received=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
                seal_companion(beside, {**to_plain(kept), "url": url, "query": query}, made)
        except OutputError as error:
            raise OutputError(str(error).replace("another --out", "another --cache")) from error
        self._fresh.add(place)
        return place, kept


class _Overflow(Exception):
    """There are more rows of a block than the archive gives at once."""


class Fetcher:
    """Asks one release for the rows of an area.

    Parameters
    ----------
    name : str
        Of the release.
    release : Release
    area : Area
    cache : Cache
        Of answers.
    mode : {"sync", "async"}
    """

    def __init__(self, name: str, release: Release, area: Area, cache: Cache, mode: Mode) -> None:
        self.name, self.release, self.area, self.cache, self.mode = name, release, area, cache, mode
        self.schema = load_schema(release.survey)
        self.queries: list[Query] = []
        self.table = ""
        self._archive: Archive | None = None

    @property
    def archive(self) -> Archive:
        """The connection, made when it is first needed: never where all is in the cache."""
        if self._archive is None:
            self._archive = Archive(self.name, self.release)
        return self._archive

    def small(self, adql: str, what: str) -> VoTable:
        """Return the answer to a query of few rows.

        Parameters
        ----------
        adql, what : str
            The query, and what it is called in messages.

        Returns
        -------
        VoTable
        """

        def write(place: Path) -> Kept:
            if self.archive.ask(adql, place, what)[1]:
                raise ArchiveError(
                    f"{self.name}: {what}: the archive gives fewer rows than there are. Ask for less of the sky."
                )
            return Kept(sha256(place), release=self.name)

        place, kept = self.cache.get(self.release.url, adql, ".vot", f"{self.name}: {what}", write)
        self.queries.append(Query(adql, None, kept.received, kept.answer))
        return VoTable(place)

    def understand(self) -> SkyTable:
        """Return the first table of the release that has the columns of the survey file.

        Returns
        -------
        SkyTable
        """
        problems = []
        for name in self.release.tables:
            try:
                table = self.small(f"SELECT TOP 5 * FROM {name}", f"columns of {name}")
                table.place = self.table = name
                if not table.rows:
                    raise CatalogueError(f"{name}: has no rows.")
                keys = (self.release.tile, self.release.number)
                return SkyTable.of(name, table, self.schema, self._cards(name, table), keys)
            except (QueryRefused, CatalogueError) as error:
                problems.append(str(error))
        raise ArchiveError(
            f"{self.name}: none of its tables ({', '.join(self.release.tables)}) can be read as '{self.schema.name}'.\n"
            + "\n".join(problems)
        )

    def _cards(self, name: str, table: VoTable) -> dict[str, str]:
        """Return cards BAND0, BAND1, ... of array columns, in the order in which the archive itself picks a band."""
        names = ColumnNames(tuple(table.columns), name)
        pairs = [(rule.flux, rule.error) for rule in self.schema.photometry]
        found = [names.find((f,)) for f, e in pairs if isinstance(f, str) and isinstance(e, str) and names.find((e,))]
        column = next((theirs for theirs in found if theirs and table.columns[theirs].width is not None), None)
        if column is None:
            return {}
        if not (self.release.filters and self.release.macro):
            raise ArchiveError(
                f"{self.name}: {name}[{column}] is an array, and nothing says which entry is which band. Give the "
                "release its 'filters' and 'macro'."
            )
        known = table.columns[column]
        table.columns = {**table.columns, column: replace(known, unit=known.unit or self.release.units.get(name))}
        filters, flux = self.small(f"SELECT * FROM {self.release.filters}", "bands"), canonical(column)
        rows = self._columns(filters, {"FILTER_ID": "int", "NAME": "text"}, self.release.filters)
        bands = [str(rows["NAME"][row]) for row in np.argsort(rows["FILTER_ID"])]
        picks = {f"B{i}": f"{flux}[{self.release.macro}::{band}]" for i, band in enumerate(bands)}
        picked = ", ".join(f"{pick} AS {label}" for label, pick in picks.items())
        most = min(_PROBE, self.release.rows_sync // 2)
        probe = self.small(f"SELECT TOP {most} {flux}, {picked} FROM {name}", "order of the bands")
        rows = self._columns(probe, dict.fromkeys((flux, *picks), "float"), name)
        values = {label: np.ma.filled(column.astype(np.float32), np.nan) for label, column in rows.items()}
        try:
            order = band_order(values.pop(flux), [column.reshape(len(column)) for column in values.values()], bands)
        except CatalogueError as error:
            raise ArchiveError(
                f"{self.name}: {name}: the order of the bands in {flux} cannot be told: {error}."
            ) from error
        return {f"BAND{i}": band for i, band in enumerate(order)}

    def _columns(self, table: VoTable, want: Mapping[str, Any], name: str) -> dict[str, np.ndarray]:
        """Return columns of an answer under the names that they were asked by."""
        spelt = ColumnNames(tuple(table.columns), name)
        theirs = {ours: spelt.find((ours,)) for ours in want}
        lacking = [ours for ours, found in theirs.items() if found is None]
        if lacking:
            raise ArchiveError(
                f"{self.name}: {name}: the answer lacks {', '.join(lacking)}; it has {', '.join(table.columns)}. The "
                "archive speaks another dialect than is known here: mend the entry of the release (--config)."
            )
        rows = next(table.blocks({str(theirs[ours]): kind for ours, kind in want.items()}), None)
        return {ours: np.empty(0) if rows is None else rows[str(theirs[ours])] for ours in want}

    def count_query(self, table: str, where: str) -> str:
        """Return the query that counts the rows of each tile.

        Parameters
        ----------
        table, where : str
            Name of the table, and the condition of the area.

        Returns
        -------
        str
        """
        tile, number = self.release.tile, self.release.number
        return (
            f"SELECT {tile}, COUNT(*) AS N_ROWS, MIN({number}) AS N_LOW, MAX({number}) AS N_HIGH FROM {table}"
            f"{where and f' WHERE {where}'} GROUP BY {tile}"
        )

    def count(self, table: SkyTable) -> Counts:
        """Ask how many rows each tile has in the area.

        Parameters
        ----------
        table : SkyTable

        Returns
        -------
        Counts
        """
        answer = self.small(self.count_query(table.name, self.where(table)), "number of rows")
        want = dict.fromkeys((self.release.tile, "N_ROWS", "N_LOW", "N_HIGH"), "int")
        columns = self._columns(answer, want, table.name).values()
        tiles, n, low, high = (np.ma.getdata(column).astype(np.int64).tolist() for column in columns)
        return Counts(dict(zip(tiles, n, strict=True)), dict(zip(tiles, zip(low, high, strict=True), strict=True)))

    def where(self, table: SkyTable) -> str:
        """Return the condition of the area in the names of the table.

        Parameters
        ----------
        table : SkyTable

        Returns
        -------
        str
            ADQL, without WHERE.
        """
        ra, dec = (table.theirs(names[0]) for names in (self.schema.ra, self.schema.dec))
        return self.area.condition(self.release.tile, ra, dec)

    def adql(self, table: SkyTable, block: Block) -> str:
        """Return the query of a block.

        Parameters
        ----------
        table : SkyTable
        block : Block

        Returns
        -------
        str
        """
        where = "" if self.area.tiles else self.where(table)
        mine = block.condition(self.release.tile, self.release.number)
        return (
            f"SELECT {', '.join(map(canonical, table.names))} FROM {table.name} WHERE {where and f'{where} AND '}{mine}"
        )

    @property
    def most(self) -> int:
        """Rows that are asked for at once."""
        return self.release.rows_sync if self.mode == "sync" else self.release.rows_async

    def kept(self, table: SkyTable, block: Block) -> bool:
        """Return whether a block is in the cache.

        Parameters
        ----------
        table : SkyTable
        block : Block

        Returns
        -------
        bool
        """
        return self.cache.has(self.release.url, self.adql(table, block), ".npy")

    def rows(
        self, table: SkyTable, counts: Counts, progress: Progress | None, *, again: bool = True
    ) -> list[np.ndarray]:
        """Return the rows of all blocks, whole and once, as arrays that are mapped into memory.

        Parameters
        ----------
        table : SkyTable
        counts : Counts
            Rows of each tile that are due.
        progress : callable, optional
        again : bool
            Whether tiles whose rows do not add up are asked for once more.

        Returns
        -------
        list of array
        """
        tile = next(ours for theirs, ours in table.names.items() if canonical(theirs) == canonical(self.release.tile))
        blocks, pieces = deque(counts.blocks(self.most)), list[np.ndarray]()
        asked: dict[int, list[str]] = {}
        held, done, before = dict.fromkeys(counts.rows, 0), 0, len(self.queries)
        while blocks:
            block = blocks.popleft()
            if progress is not None:
                progress(f"{self.name}: rows", done, counts.total)
            got = self._block(table, block)
            if got is None:
                halves = block.halves(counts)
                if not halves:
                    raise ArchiveError(
                        f"{self.name}: tile {block.tiles[0]} has {self.most:,} rows or more of one "
                        f"{self.release.number}, more than the archive gives at once. Ask with --mode async."
                    )
                blocks.extendleft(reversed(halves))
                continue
            pieces += [got] if len(got) else []
            done += len(got)
            for number in block.tiles:
                asked.setdefault(number, []).append(self.adql(table, block))
                held[number] += int(np.count_nonzero(got[tile] == number))
        wrong = [number for number, n in counts.rows.items() if held[number] != n]
        if not wrong:
            return pieces
        text = (
            f"{self.name}: the archive counted {counts.rows[wrong[0]]:,} rows of tile {wrong[0]} and sent "
            f"{held[wrong[0]]:,} ({len(wrong)} such tiles)"
        )
        for query in {query for number in wrong for query in asked.get(number, ())}:
            self.cache.drop(self.release.url, query, ".npy")
        if not again:
            raise ArchiveError(f"{text}, twice. The others are kept: run the same command later, with --refresh.")
        log.warning("%s; asking for them again.", text)
        self.queries = self.queries[:before]
        return self.rows(table, counts, progress, again=False)

    def _block(self, table: SkyTable, block: Block) -> np.ndarray | None:
        """Return the rows of a block, or None if there are more than the archive gives at once."""
        what = f"tile {block.tiles[0]}" + (f" and {len(block.tiles) - 1} more" if len(block.tiles) > 1 else "")
        adql, checked = self.adql(table, block), dict[str, np.ndarray]()

        def write(place: Path) -> Kept:
            raw, check = place.with_name("answer.vot"), partial(self._check, table, block, checked)
            if self.archive.ask(adql, raw, what, mode=self.mode, rows=self.most, check=check)[1]:
                raise _Overflow
            with open(place, "wb") as stream:
                np.save(stream, checked["rows"], allow_pickle=False)
            kept = Kept(sha256(raw), len(checked["rows"]), self.name)
            raw.unlink()
            return kept

        try:
            place, kept = self.cache.get(self.release.url, adql, ".npy", f"{self.name}: {what}", write)
        except _Overflow:
            log.info("%s: %s: more rows than are given at once; asking for the halves.", self.name, what)
            return None
        self.queries.append(Query(adql, kept.rows, kept.received, kept.answer))
        loaded: np.ndarray = np.load(place, mmap_mode="r" if kept.rows else None, allow_pickle=False)
        return loaded

    def _check(self, table: SkyTable, block: Block, checked: dict[str, np.ndarray], answer: VoTable) -> None:
        """Keep the rows of an answer in the order of their keys, if they are those that were asked for, each once."""
        spelt = ColumnNames(tuple(answer.columns), table.name)
        theirs = {name: spelt.find((canonical(name),)) for name in table.names}
        lacking = [canonical(name) for name, found in theirs.items() if found is None]
        if lacking:
            raise CatalogueError(f"it lacks {', '.join(lacking)}; the table changed")
        n = answer.rows or 0
        if block.rows is not None and n != block.rows:
            raise CatalogueError(f"it has {n:,} rows, {block.rows:,} were counted")
        names = {name: str(found) for name, found in theirs.items()}
        rows = next(answer.blocks({names[name]: table.want[name] for name in table.names}), None)
        if rows is None:
            rows = {names[name]: np.zeros(0, dtype=np.int64) for name in table.names}
        records = table.records(rows, names)
        widths = {records[name].shape[1] for name in records.dtype.names or () if records[name].ndim > 1}
        if len(records) and table.cards and widths != {len(table.cards)}:
            raise CatalogueError(f"it has arrays of {sorted(widths)} values, {len(table.cards)} bands are known")
        ours = {canonical(name): records[own] for name, own in table.names.items()}
        tile, number = (ours[canonical(name)] for name in (self.release.tile, self.release.number))
        order = np.lexsort((number, tile))
        if not np.isin(tile, block.tiles).all():
            raise CatalogueError("it has rows of tiles that were not asked for")
        tile, number = tile[order], number[order]
        if self.schema.kind == "catalogue" and ((tile[1:] == tile[:-1]) & (number[1:] == number[:-1])).any():
            raise CatalogueError("it has a row twice")
        checked["rows"] = records[order]
