"""Raw tables: named columns of any file format, read in blocks of rows, before anything is understood."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np

from ..config import Registry
from ..errors import CatalogueError
from ..text import named_table
from .batches import Block, block_rows, rebatch, without_hidden
from .packing import is_several, open_content, spelt_numbers, unquoted

Want = Literal["float", "int", "text", "any"]

Kind = Literal["float", "int", "bool", "text", "object"]

Extension = int | str | Sequence[str] | None
"""Extension of a FITS file: a number or a name that must be there, or names to prefer."""

ARRAY = "FLUX+NOISE"
"""Name under which the paper's array of fluxes stands among the columns of its properties."""

MASK = ".mask"
"""Ending of the columns in which astropy writes which values of another are missing: what stands there is no value."""

BLOCK_BYTES = 32 << 20
"""About how much of a file is held while it is read, in bytes."""

MOST_CARD = 4_000
"""Letters of a card; a list of all bands has some hundreds."""

MOST_COLUMNS = 5_000
"""Columns that a table may have; the widest public ones have some hundreds."""


@dataclass(frozen=True)
class Column:
    """What a file says of one column.

    Parameters
    ----------
    name : str
        As the file spells it.
    kind : {"float", "int", "bool", "text", "object"}
        What it holds; object is an array of varying length.
    width : int or None
        Values a row; None for a plain column, 0 where rows may differ.
    unit : str or None
        As the file states it.
    """

    name: str
    kind: Kind
    width: int | None = None
    unit: str | None = None


def cards_of(meta: Mapping[Any, object]) -> dict[str, str]:
    """Return what a file states beside its columns as cards: text and numbers as words, lists of them with commas.

    Parameters
    ----------
    meta : mapping
        Keys and values of any kind; values of other kinds are left out.

    Returns
    -------
    dict of str to str
    """
    cards = {}
    for name, value in meta.items():
        for column, one in value.items() if isinstance(value, Mapping) else ():
            if isinstance(one, Mapping) and "frame" in one:  # positions that are one object to astropy
                cards[f"frame of {column}"] = str(one["frame"])
                time = one.get("equinox")  # astropy's, or what a file says of it
                days = [time.get(n) if isinstance(time, Mapping) else getattr(time, n, None) for n in ("jd1", "jd2")]
                if len(jd := [day for day in days if isinstance(day, int | float)]) == 2:
                    cards[f"equinox of {column}"] = f"{2000 + (sum(jd) - 2451545) / 365.25:.1f}"
        items = list(value.reshape(-1)) if isinstance(value, np.ndarray) else value
        items = items if isinstance(items, list | tuple) else [items]
        if items and all(np.isscalar(one) for one in items):
            words = (one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in items)
            cards[str(name)] = ",".join(word.strip() for word in words)
    return {name: value for name, value in cards.items() if len(value) <= MOST_CARD}


class RawTable(ABC):
    """A table in some file format or in memory: its columns, and its rows in blocks.

    A file of the folder ``formats`` that registers a subclass under its own name in :data:`FORMATS` adds a format.

    Attributes
    ----------
    path : Path
        The file.
    place : str
        The file and the table in it, for messages.
    format : str
        Name of the format, such as FITS.
    suffixes : tuple of str
        Of file names that promise this format.
    columns : mapping of str to Column
        By name, in the order of the file.
    rows : int or None
        Number of rows, where it is known before reading.
    cards : mapping of str to str
        Keywords of the table, such as BAND0.
    others : tuple of str
        Further tables that the file holds, each as ``FILE[NAME]`` names it.
    chosen : str
        How this one was named so, or its number; empty where it was not.
    planes : int
        Values a band and row of the paper's array; 0 where there is none.
    repeated : frozenset of str
        Names that stand more than once; `columns` has the first of each, and none is read.
    """

    format: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    path: Path
    place: str
    columns: Mapping[str, Column]
    rows: int | None = None
    cards: Mapping[str, str] = MappingProxyType({})
    others: tuple[str, ...] = ()
    chosen: str = ""
    planes: int = 0
    repeated: frozenset[str] = frozenset()
    _notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        return (self.path,)

    @property
    def inputs(self) -> list[Path]:
        """The files that are read, each with the table in it that was named."""
        return [Path(f"{file}[{self.chosen}]") if self.chosen else file for file in self.files]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person must know of the file, though it can be read."""
        self.verified  # noqa: B018 - what checksums say is noted
        return self._notes

    @property
    def verified(self) -> bool:
        """Whether the file has checksums and they are right; they are compared now, unless reading did."""
        return False

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these (unpacked) bytes is in this format.

        Parameters
        ----------
        head : bytes
            Some first bytes of the content.

        Returns
        -------
        bool
            False for what has no file.
        """
        return False

    @abstractmethod
    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows.

        Plain columns have shape (n,), array columns (n, width); missing entries are NaN or masked,
        text is stripped.

        Parameters
        ----------
        want : mapping of str to {"float", "int", "text", "any"}
            Columns of the table, and what they must be.

        Yields
        ------
        dict of str to array
            The next rows.
        """

    def blocks_from(self, want: Mapping[str, Want], start: int) -> Iterator[Block]:
        """Yield what :meth:`blocks` yields, without the first `start` rows.

        Parameters
        ----------
        want : mapping of str to Want
            As for :meth:`blocks`.
        start : int

        Yields
        ------
        Block
        """
        for block in self.blocks(want):
            rows = block_rows(block)
            if rows > start:
                yield {name: values[start:] for name, values in block.items()}
            start = max(0, start - rows)

    def read(self, want: Mapping[str, Want], start: int = 0) -> Iterator[Block]:
        """Yield the wanted columns as :meth:`blocks` does from row `start` on, and numbers where numbers are wanted.

        Parameters
        ----------
        want : mapping of str to Want
            As for :meth:`blocks`.
        start : int

        Yields
        ------
        Block

        Raises
        ------
        CatalogueError
            If the file is damaged, a name stands more than once, or text spells no number where one is wanted.
        """
        self.refuse_repeated(want)
        masks = {name: f"{name}{MASK}" for name in want if f"{name}{MASK}" in self.columns}
        both: dict[str, Want] = {**want, **dict.fromkeys(masks.values(), "any")}
        for block in self.blocks_from(both, start) if start else self.blocks(both):
            hidden = {name: block.pop(mask) for name, mask in masks.items()}
            for name, mask in hidden.items():
                block[name] = without_hidden(block[name], mask, f"{self.place}[{masks[name]}]")
            for name, kind in want.items():
                if block[name].dtype.kind in "US":
                    block[name] = unquoted(block[name])
                if kind in ("float", "int") and block[name].dtype.kind in "USO":
                    block[name] = spelt_numbers(block[name], kind == "int", f"{self.place}[{name}]", start)
            yield block
            start += block_rows(block)

    def refuse_repeated(self, names: Iterable[str]) -> None:
        """Refuse to read columns whose name stands more than once.

        Parameters
        ----------
        names : iterable of str
            The columns to be read.

        Raises
        ------
        CatalogueError
            Naming them.
        """
        twice = sorted(self.repeated.intersection(names))
        if twice:
            raise CatalogueError(
                f"{self.place}: has the column {', '.join(twice)} more than once, so what is meant is not known. "
                "Rename or drop one."
            )

    def note_equals(self, names: Sequence[str]) -> None:
        """Note the further tables of a file that have the columns of this one: more rows, it may be.

        Parameters
        ----------
        names : sequence of str
            Of the tables; may be empty.
        """
        named = ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])
        self._notes += (f"has further tables of the same columns, which are not read: {named}",) if names else ()

    def refuse_notes(self) -> None:
        """Refuse a file of which there is anything to note, as ``--strict`` asks.

        Raises
        ------
        CatalogueError
            Quoting the notes.
        """
        if self.notes:
            raise CatalogueError(f"{self.place}: {'; '.join(self.notes)}. With --strict such a file is not read.")

    @property
    def simulated(self) -> bool:
        """Whether the file says that it is simulated (SIMULATD)."""
        return self.cards.get("SIMULATD", "").strip().lower() in ("true", "t", "1", "yes", "y")

    def stale(self, what: str) -> None:
        """Note that checksums do not fit a table that is sound otherwise, as after other software cut it.

        Parameters
        ----------
        what : str
            Which checksums do not fit, for people.

        Raises
        ------
        CatalogueError
            If the table is whole and of this package: it is damaged then.
        """
        own = self.cards.get("ORIGIN", "").startswith("jpas-gbm")
        whole = (self.cards.get("NROWS"), self.cards.get("NCOLS")) == (str(self.rows), str(len(self.columns)))
        if own and whole:
            raise CatalogueError(
                f"{self.place}: {what}, and it has all its {self.rows:,} rows: it is damaged. Make or fetch it again."
            )
        self._notes += (f"{what}: the table was changed after they were made, or is damaged",)


class BesideTable(RawTable):
    """Two tables of one file whose rows are of the same things, side by side.

    Parameters
    ----------
    first, second : RawTable
        A column that both have is taken from the first.

    Raises
    ------
    CatalogueError
        If they have not as many rows, or name other targets in a row.
    """

    format = ""

    def __init__(self, first: RawTable, second: RawTable) -> None:
        self.first, self.second = first, second
        self.path, self.place, self.format = first.path, first.place, first.format  # type: ignore[misc]
        self.rows, self.cards, self.others, self.chosen = first.rows, first.cards, first.others, first.chosen
        self.repeated = first.repeated | second.repeated
        self.columns = {**second.columns, **first.columns}
        if first.rows != second.rows:
            raise CatalogueError(f"{self.place}: has {first.rows} rows, {second.place} beside it {second.rows}.")
        if "TARGETID" in first.columns and "TARGETID" in second.columns:
            pairs = zip(*(table.read({"TARGETID": "int"}) for table in (first, second)), strict=True)
            if not all(np.array_equal(a["TARGETID"], b["TARGETID"]) for a, b in pairs):
                raise CatalogueError(f"{self.place}: its TARGETIDs are not those of {second.place}, row by row.")

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the first."""
        return self.first.notes

    @property
    def verified(self) -> bool:
        """Whether both have checksums and they are right."""
        return self.first.verified and self.second.verified

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns of both."""
        ours = {name: kind for name, kind in want.items() if name in self.first.columns}
        theirs = {name: kind for name, kind in want.items() if name not in ours}
        parts = [table.read(part) for table, part in ((self.first, ours), (self.second, theirs)) if part]
        if len(parts) == 1:
            yield from parts[0]
        else:
            for mine, other in zip(*(rebatch(part, 1 << 14) for part in parts), strict=True):
                yield {**mine, **other}


def peek(path: Path, size: int = 4096) -> bytes:
    """Return the first bytes of the content of a file, unpacked if it is packed.

    Parameters
    ----------
    path : Path
        The file.
    size : int
        Bytes wanted.

    Returns
    -------
    bytes
        Fewer where the content is shorter.

    Raises
    ------
    CatalogueError
        If the file is missing, no regular file, empty, unreadable or packed in a way that is not read here.
    """
    with open_content(path) as stream:
        head = stream.read(size)
    if not head.strip():
        raise CatalogueError(f"{path}: is empty (no content). Copy or download it again.")
    return head


FORMATS: Registry[type[RawTable]] = Registry("file format", "surveys.formats")
"""The table classes of all formats that are read, each made of a path and an :data:`Extension`."""

SEVERAL = "several"
"""Under which of :data:`FORMATS` several files are one table; it has no first bytes to be told by."""


def _formats() -> list[type[RawTable]]:
    """Return the table classes in the order in which they are asked for a file."""
    # Any text may be a CSV table, so that format is asked last.
    names = [name for name in FORMATS.names() if name != SEVERAL]
    return sorted(map(FORMATS.get, names), key=lambda table: (table.format == "CSV", table.format))


def find_format(path: str | Path) -> type[RawTable]:
    """Return the table class that reads a file, told by its content and not by its name.

    Parameters
    ----------
    path : path
        May be gzipped.

    Returns
    -------
    type of RawTable
        One of :data:`FORMATS`.

    Raises
    ------
    CatalogueError
        If it is in no format that is read here.
    """
    path = Path(path)
    head = peek(path)
    start = head.lstrip()[:40].decode("ascii", "replace").splitlines()[0]
    suffixes = {suffix.lower() for suffix in path.suffixes}
    *others, text = _formats()
    found = next((table for table in others if table.begins(head)), None)
    if found is not None:
        return found
    for table in others:
        for suffix in suffixes.intersection(table.suffixes):
            raise CatalogueError(
                f"{path}: is named {suffix} but is not {table.format}; it begins with {start!r}. "
                "It may be a damaged or an unfinished download: fetch it again."
            )
    if not text.begins(head):
        raise CatalogueError(
            f"{path}: is in no format that is read here (it begins with {start!r}). "
            f"{', '.join(table.format for table in others)} and {text.format} are."
        )
    return text


def open_table(path: str | Path, hdu: Extension = None) -> RawTable:
    """Open a table of any format that is read here.

    Parameters
    ----------
    path : path
        The format is told by content; ``FILE[NAME]`` and ``FILE[2]`` name a table of a FITS or HDF5 file.
    hdu : int or str or sequence of str, optional
        Such a name or number, which must be there, or names to prefer. Default: the first binary table.

    Returns
    -------
    RawTable
        Its columns are known, its rows are not read yet.

    Raises
    ------
    CatalogueError
        If it cannot be read; the message says why.
    """
    if not str(path).strip():
        raise CatalogueError("the name of a table is empty. Name a file, a folder of files or a wildcard.")
    file, name = named_table(path)
    if name is not None and isinstance(hdu, int | str):
        raise CatalogueError(f"{path}: names a table, and hdu={hdu!r} is given too. Give one of both.")
    hdu = hdu if name is None else name
    table = FORMATS.get(SEVERAL)(file, hdu) if is_several(file) else open_file(file, hdu)  # type: ignore[call-arg]
    table.chosen = str(hdu) if isinstance(hdu, int | str) else ""
    if name is not None and not table.format.startswith(("FITS", "HDF5")):
        raise CatalogueError(f"{path}: is {table.format}, of which no table is chosen by name. Leave out [{name}].")
    return table


def open_file(path: str | Path, hdu: Extension = None) -> RawTable:
    """Open a table in a file of its own, as :func:`open_table` does.

    Parameters
    ----------
    path : path
    hdu : Extension

    Returns
    -------
    RawTable
    """
    table = find_format(path)(Path(path), hdu)  # type: ignore[call-arg]
    if len(table.columns) > MOST_COLUMNS:
        raise CatalogueError(
            f"{path}: has {len(table.columns):,} columns; tables of up to {MOST_COLUMNS:,} are read. Keep those that "
            "are needed."
        )
    return table
