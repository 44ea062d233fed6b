"""Rows of a long run on disk until all are there: what was interrupted goes on, and the parts of a run are joined."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..atomic import clear_leftovers, lock_file
from ..errors import BundleError, ConfigError, OutputError
from ..features.sky_sums import joined
from ..output.hats import partition_file
from ..output.writers import Column, record_type
from ..predictions import mixed_ids
from ..store import dump_json, from_plain, made_now, read_json, to_plain, write_json
from .passing import MAIN, Partition, Pixel, Tally

log = logging.getLogger("jpas_gbm")

Plan = Mapping[str, object]
"""What a run is known again by: model, files, options; as JSON holds it."""

_HEAD, _ROWS, _KEYS, _JOURNAL, _LOCK = "head.json", "rows.bin", "keys.bin", "journal.jsonl", "lock"


@dataclass(frozen=True)
class Shard:
    """Which part of a run a job does, in whole chunks.

    Parameters
    ----------
    number, of : int
        The job, from 1, and how many there are.
    """

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """Return the shard that an option names.

        Parameters
        ----------
        text : str
            Such as ``3/16``.

        Returns
        -------
        Shard

        Raises
        ------
        ConfigError
            If it is something else.
        """
        found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", str(text))
        if not found or not 1 <= int(found.group(1)) <= int(found.group(2)):
            raise ConfigError(f"--shard {text}: write I/N, the I-th of N jobs, from 1/N to N/N, of 999,999 at most.")
        return cls(int(found.group(1)), int(found.group(2)))

    def part(self, rows: int, chunk_rows: int) -> tuple[int, int]:
        """Return the first row of its part of a table, and the row behind its last.

        Parameters
        ----------
        rows, chunk_rows : int
            Rows of the table, and of a chunk.

        Returns
        -------
        tuple of int
        """
        chunks = -(-rows // chunk_rows)
        first, last = ((number * chunks) // self.of * chunk_rows for number in (self.number - 1, self.number))
        return min(first, rows), min(last, rows)

    def folder(self, out: str | Path) -> Path:
        """Return where its rows are kept beside an output.

        Parameters
        ----------
        out : path
            Of the whole run.

        Returns
        -------
        Path
        """
        return Path(f"{out}.shard-{self.number}-of-{self.of}")

    def __str__(self) -> str:
        return f"shard {self.number} of {self.of}"


class Spool:
    """A folder with the chunks of a run that are done: raw rows, the hashes of their keys, a journal of checksums.

    A folder of the same plan is taken up behind its last whole chunk; one of another plan only gives way to
    `overwrite`, a damaged one is begun anew.

    Parameters
    ----------
    folder : path
        Made when the first chunk is added.
    plan : Plan
        What the run is.
    fresh : bool
        Whether it may begin anew.
    overwrite : bool
        Whether the rows of another plan may be lost.

    Attributes
    ----------
    columns, key : tuple of Column, tuple of str
        Of the rows, and the names of those that name a row.
    made, tally, taken : str, Tally, int
        When the run began (UTC, ISO 8601), what was counted of all chunks, rows that an earlier run left.

    Raises
    ------
    OutputError
        If another process is at work in it, something else or rows of another plan stand there, or it cannot be
        written.
    """

    def __init__(self, folder: str | Path, plan: Plan, *, fresh: bool = True, overwrite: bool = False) -> None:
        self.folder, self.plan = Path(folder), json.loads(dump_json(dict(plan)))
        self.columns: tuple[Column, ...] = ()
        self.key: tuple[str, ...] = ()
        self.made, self.tally, self.taken = made_now(), Tally(), 0
        self._chunks: list[tuple[int, int]] = []
        self._lock: int | None = None
        if not os.path.lexists(self.folder):
            return
        if not self.folder.is_dir() or _strangers(self.folder, {_HEAD, _ROWS, _KEYS, _JOURNAL, _LOCK}):
            raise OutputError(
                f"{self.folder}: is no unfinished run of this package, and rows would wait there. Move it away, or "
                "give another --out; nothing was done."
            )
        self._lock = _locked(self.folder)
        clear_leftovers(self.folder / _HEAD)
        if self._take_up() or not fresh:
            return
        if (others := changed_of(self.folder, self.plan)) and not overwrite:
            self.release()
            raise OutputError(
                f"{self.folder}: holds rows of a run with other {', '.join(others)}. Go on with that run's command, or "
                "add --overwrite to do this one in its place; nothing was done."
            )
        log.warning("%s: what another run left there is done anew.", self.folder)
        self.remove()

    def _take_up(self) -> bool:
        """Take up what is whole of the same plan; return whether there is anything."""
        try:
            head = read_json(self.folder / _HEAD)
            if head["plan"] != self.plan:
                return False
            columns = tuple(Column(**column) for column in head["columns"])
            # What stands behind the last end of a line was torn.
            lines = (self.folder / _JOURNAL).read_bytes().split(b"\n")[:-1]
            streams = [open(self.folder / name, "rb") for name in (_ROWS, _KEYS)]  # noqa: SIM115
            self.made, self.key = str(head["made"]), tuple(map(str, head["key"]))
        except (BundleError, OSError, ValueError, KeyError, TypeError):
            return False
        self.columns = columns
        with streams[0], streams[1]:
            for line in lines:
                try:
                    entry = json.loads(line[8:]) if zlib.crc32(line[8:]) == int(line[:8], 16) else {}
                    tally = from_plain(Tally, entry["tally"])
                    sizes = (entry["size"], 8 * (tally.rows - self.tally.rows))
                    found = [zlib.crc32(stream.read(size)) for stream, size in zip(streams, sizes, strict=True)]
                    if found != [entry["crc"], entry["keys"]]:
                        break
                except (ValueError, KeyError, TypeError):
                    break
                self.tally = replace(tally, sky=joined(self.tally.sky, tally.sky))
                self._chunks.append((entry["size"], entry["crc"]))
        self.taken = self.tally.rows
        os.truncate(self.folder / _ROWS, sum(size for size, _ in self._chunks))
        os.truncate(self.folder / _KEYS, 8 * self.tally.rows)
        os.truncate(self.folder / _JOURNAL, sum(len(line) + 1 for line in lines[: len(self._chunks)]))
        return True

    def begin(self, columns: Sequence[Column], key: Sequence[str]) -> None:
        """Make the folder.

        Parameters
        ----------
        columns : sequence of Column
            Of the rows.
        key : sequence of str
            Columns that name a row.
        """
        self._lock = _locked(self.folder)
        if (self.folder / _HEAD).exists():
            self.release()
            raise OutputError(f"{self.folder}: another run began here at the same time. Run the command again.")
        self.columns, self.key = tuple(columns), tuple(key)
        for name in (_ROWS, _KEYS, _JOURNAL):
            (self.folder / name).write_bytes(b"")
        head = {"plan": self.plan, "columns": [one.to_dict() for one in columns], "key": self.key, "made": self.made}
        write_json(self.folder / _HEAD, head, overwrite=True, sealed=True)

    def add(self, rows: np.ndarray, tally: Tally) -> None:
        """Append a chunk: its rows and keys, then the line that makes it count.

        Parameters
        ----------
        rows : structured array, shape (n,)
            Of the columns' record type.
        tally : Tally
            What was counted of all rows with these, but `sky` of these alone: the journal would grow with its square.
        """
        content, keys = rows.tobytes(), mixed_ids(rows, self.key).tobytes()
        sums = {"size": len(content), "crc": zlib.crc32(content), "keys": zlib.crc32(keys)}
        line = json.dumps({**sums, "tally": to_plain(tally)}, separators=(",", ":")).encode()
        line = b"%08x%b\n" % (zlib.crc32(line), line)
        for name, added in ((_ROWS, content), (_KEYS, keys), (_JOURNAL, line)):
            with open(self.folder / name, "ab") as stream:
                stream.write(added)
        self._chunks.append((len(content), zlib.crc32(content)))
        self.tally = replace(tally, sky=joined(self.tally.sky, tally.sky))

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the chunks in order.

        Yields
        ------
        structured array, shape (n,)
            Of the columns' record type.

        Raises
        ------
        OutputError
            If one is not as it was written.
        """
        if not self._chunks:
            return
        dtype = record_type(self.columns)
        with open(self.folder / _ROWS, "rb") as stream:
            for size, crc in self._chunks:
                content = stream.read(size)
                if zlib.crc32(content) != crc:
                    raise OutputError(f"{self.folder}: is damaged. Remove it and run its command again.")
                yield np.frombuffer(content, dtype=dtype)

    def hashes(self) -> Iterator[np.ndarray]:
        """Yield the hashes of the keys in pieces.

        Yields
        ------
        array of uint64, shape (n,)
        """
        with open(self.folder / _KEYS, "rb") as stream:
            while content := stream.read(8 << 20):
                yield np.frombuffer(content, dtype=np.uint64)

    def release(self) -> None:
        """Let another process go on."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Remove the folder, if it is this run that holds it."""
        if self._lock is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.release()
        self._chunks, self.tally, self.columns, self.key, self.taken, self.made = [], Tally(), (), (), 0, made_now()


def _locked(folder: Path) -> int:
    """Make a folder and lock it, or refuse it; one that the run which held it removes just now is made again."""
    while True:
        with suppress(FileNotFoundError):
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            free = lock_file(lock) is not False
            with suppress(FileNotFoundError):
                if free and os.path.samestat(os.fstat(lock), os.stat(folder / _LOCK)):
                    return lock
            os.close(lock)
            if not free:
                raise OutputError(f"{folder}: another run is at work here now. Wait for it, or give another --out.")


def _strangers(folder: Path, own: set[str]) -> set[str]:
    """Return what stands in a folder that no run put there; a killed one may have been at work on its head."""
    return {name for name in os.listdir(folder) if name not in own and not name.startswith(f".{_HEAD}.")}


def changed_of(folder: Path, plan: Plan) -> list[str]:
    """Return what differs between a plan and that of the rows of a folder.

    Parameters
    ----------
    folder : Path
        Of a spool; one without a head differs in nothing.
    plan : Plan

    Returns
    -------
    list of str
        Names in a plan.
    """
    try:
        theirs = read_json(folder / _HEAD)["plan"]
        return [name for name in {**plan, **theirs} if plan.get(name) != theirs.get(name)]
    except (BundleError, OSError, ValueError, KeyError, TypeError):
        return []


def shards_of(out: str | Path, plan: Plan) -> list[Spool]:
    """Return the finished shards of a run, in order.

    Parameters
    ----------
    out : path
        Of the whole run; its shards stand beside it.
    plan : Plan
        Of the whole run.

    Returns
    -------
    list of Spool

    Raises
    ------
    OutputError
        If one is missing, unfinished, doubled or of another run.
    """
    out = Path(out)
    pattern = re.compile(re.escape(out.name) + r"\.shard-(\d+)-of-(\d+)")
    beside = out.parent.iterdir() if out.parent.is_dir() else ()
    found = [Shard(int(at.group(1)), int(at.group(2))) for path in beside if (at := pattern.fullmatch(path.name))]
    if not found:
        raise OutputError(f"{out}: no shard stands beside it ({out.name}.shard-1-of-N). Run --shard 1/N to N/N first.")
    counts = sorted({shard.of for shard in found})
    if len(counts) > 1:
        raise OutputError(
            f"{out}: shards of {' and of '.join(map(str, counts))} stand beside it, so rows would be there twice. "
            "Remove those of one kind."
        )
    lost = sorted(set(range(1, counts[0] + 1)) - {shard.number for shard in found})
    if lost:
        named = ", ".join(map(str, lost[:10])) + (f" and {len(lost) - 10} more" if len(lost) > 10 else "")
        raise OutputError(f"{out}: shard {named} of {counts[0]} is missing. Run it, then --merge again.")
    spools: list[Spool] = []
    try:
        spools += (_finished(shard, shard.folder(out), plan) for shard in sorted(found, key=lambda shard: shard.number))
    except BaseException:
        for spool in spools:
            spool.release()
        raise
    return spools


def _finished(shard: Shard, folder: Path, plan: Plan) -> Spool:
    """Return a shard that is whole and of a plan."""
    again = f"--shard {shard.number}/{shard.of}"
    wanted = json.loads(dump_json({**plan, "shard": [shard.number, shard.of]}))
    try:
        theirs = read_json(folder / _HEAD)["plan"]
    except (BundleError, OSError, ValueError, KeyError, TypeError):
        raise OutputError(f"{folder}: was not finished, or is damaged. Run {again} again.") from None
    if theirs.get("shard") != wanted["shard"]:
        number = "/".join(map(str, theirs.get("shard") or ["?"]))
        raise OutputError(
            f"{folder}: holds the rows of shard {number}: a copy under another name would double them. Remove it and "
            f"run {again}."
        )
    if changed := changed_of(folder, wanted):
        raise OutputError(
            f"{folder}: is of another run, with other {', '.join(changed)} than this command has. Merge with the "
            "command of the shards, or run them again."
        )
    spool = Spool(folder, wanted, fresh=False)
    first, last = shard.part(int(str(plan["rows"])), int(str(plan["chunk_rows"])))
    if spool.tally.rows != last - first:
        rows = spool.tally.rows
        spool.release()
        raise OutputError(
            f"{folder}: was not finished, {rows:,} of {last - first:,} rows. Run {again} again: it goes on from there."
        )
    return spool


def replace_file(place: Path, content: bytes) -> None:
    """Write a small file in one step.

    Parameters
    ----------
    place, content : Path, bytes
    """
    mine = place.with_name(f".{place.name}.{uuid.uuid4().hex}.partial")
    mine.write_bytes(content)
    os.replace(mine, place)


class Room:
    """The folder beside an output in which partitions are gathered; a run that stopped goes on from there.

    Parameters
    ----------
    folder : path
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock: int | None = None
        self.made = ""

    def record(self, side: str, pixel: Pixel) -> Path:
        """Return the file that makes a partition count.

        Parameters
        ----------
        side, pixel : str, (order, number)

        Returns
        -------
        Path
        """
        return self.folder / f"{side}-{pixel[0]}-{pixel[1]}.json"

    def claim(self, plan: Plan, overwrite: bool) -> None:
        """Lock the folder for a plan; take up what is there of the same plan.

        Parameters
        ----------
        plan : Plan
        overwrite : bool
            Whether the rows of another plan may be lost.
        """
        plan = json.loads(dump_json(dict(plan)))
        head = self.folder / "head.json"
        if self.folder.exists() and not head.is_file() and _strangers(self.folder, {_LOCK}):
            raise OutputError(
                f"{self.folder}: is no unfinished run of this package, and partitions would wait there. Move it away, "
                "or give another --out; nothing was done."
            )
        self._lock = _locked(self.folder)
        if head.is_file() and (others := changed_of(self.folder, plan)):
            if not overwrite:
                self.release()
                raise OutputError(
                    f"{self.folder}: holds rows of a run with other {', '.join(others)}. Go on with that run's "
                    "command, or add --overwrite to do this one in its place; nothing was done."
                )
            for path in {*self.folder.iterdir()} - {self.folder / _LOCK}:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if head.is_file():
            self.made = json.loads(head.read_text(encoding="utf-8"))["made"]
            return
        self.made = made_now()
        replace_file(head, dump_json({"plan": plan, "made": self.made}).encode())

    def done(self, side: str, pixel: Pixel) -> Partition | None:
        """Return what was done of a partition, or None where it is not whole.

        Parameters
        ----------
        side, pixel : str, (order, number)

        Returns
        -------
        Partition or None
        """
        try:
            told = json.loads(self.record(side, pixel).read_text(encoding="utf-8"))
            if not told["rows"]:
                return Partition(pixel, Tally(), (), (), Path(), Path())
            file = partition_file(self.folder / side, pixel)
            keys = self.record(side, pixel).with_suffix(".keys")
            if file.stat().st_size != told["size"] or (side == MAIN and keys.stat().st_size != 8 * told["rows"]):
                return None
            columns = tuple(Column(**column) for column in told["columns"])
            tally = from_plain(Tally, told["tally"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Partition(pixel, tally, columns, tuple(told["key"]), file, keys)

    def release(self) -> None:
        """Let another process go on."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
