"""Tables held in memory as arrays: VOTables, as the archives' query services give them, and astropy's tables."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ...errors import CatalogueError
from ...store import native
from ..batches import Block, stack_rows
from ..packing import is_packed, open_content
from ..spelling import repeated_names
from ..tables import FORMATS, Column, Extension, Kind, RawTable, Want, cards_of

if TYPE_CHECKING:
    from astropy.table import Table

_ROWS = re.compile(rb"\bnrows\s*=\s*[\"'](\d{1,18})", re.IGNORECASE)
_WIDTHS = re.compile(rb"\barraysize\s*=\s*[\"']([\dx]{1,60})", re.IGNORECASE)
_DIGITS = re.compile(rb"\d+")
_ELSEWHERE = re.compile(rb"<(?:\w+:)?STREAM[^>]*\bhref|<!ENTITY", re.IGNORECASE)

LIMIT_BYTES = 2 << 30
"""Largest VOTable that is read: the format must be held in memory whole, at several times its size."""


class ArrayTable(RawTable):
    """A table whose columns are arrays in memory, masked where entries are missing.

    Parameters
    ----------
    path : Path
        The file that they are from, or the name of the table.
    values : mapping of str to array, shape (n, ...)
        By column; entries may be strings, bytes or arrays of varying length.
    units : mapping of str to str or None
        As they are stated.
    cards : mapping of str to str
        Keywords.
    """

    format = "astropy Table"

    def __init__(
        self,
        path: Path,
        values: Mapping[str, Any],
        units: Mapping[str, str | None],
        cards: Mapping[str, str],
    ) -> None:
        self.path, self.place, self.cards, self._values = path, path.name, cards, values
        self.rows = len(next(iter(values.values()), ()))
        self.columns = {name: _column(name, value, units.get(name)) for name, value in values.items()}

    @property
    def files(self) -> tuple[Path, ...]:
        """None: the table is in memory."""
        return ()

    @classmethod
    def of(cls, table: Table) -> ArrayTable:
        """Return an astropy table as it stands; units are kept, and a SkyCoord becomes columns as it does in files.

        Parameters
        ----------
        table : astropy.table.Table
            Its columns may be masked, or have units.
        """
        from astropy.table.serialize import represent_mixins_as_columns
        from astropy.units import Quantity

        values, units = {}, {}
        if not all(hasattr(column, "unit") for column in table.itercols()):
            table = represent_mixins_as_columns(table, exclude_classes=(Quantity,))
        for name in table.colnames:
            column = table[name]
            plain = column.value if hasattr(column, "value") else column
            if hasattr(plain, "unmasked"):  # a Quantity whose mask is of astropy's own kind
                plain = np.ma.MaskedArray(plain.unmasked, plain.mask)
            values[name] = plain if isinstance(plain, np.ma.MaskedArray) else np.asarray(plain)
            units[name] = None if column.unit is None else str(column.unit)
        return cls(Path("astropy Table"), values, units, cards_of(table.meta))

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns of all rows as one block."""
        if self.rows:
            yield {name: self._decoded(name) for name in want}

    def _decoded(self, name: str) -> np.ndarray:
        values, column = self._values[name], self.columns[name]
        if column.kind == "text":
            return _text(values)
        mask = np.ma.getmaskarray(values)
        if column.kind == "object":
            rows = [None if np.all(hidden) else row for row, hidden in zip(np.ma.getdata(values), mask, strict=True)]
            return stack_rows(rows, name, self.place)
        plain = native(np.ma.getdata(values))
        plain = plain.reshape(len(plain), -1) if plain.ndim > 2 else plain
        return np.ma.MaskedArray(plain, mask) if mask.any() else plain


@FORMATS.register("votable")
class VoTable(ArrayTable):
    """The first table of a VOTable file, held in memory.

    Parameters
    ----------
    path : Path
        The file.
    hdu : Extension
        Without meaning here.

    Raises
    ------
    CatalogueError
        If it is damaged, holds no table, or is larger than 2 GiB.
    """

    format = "VOTable"
    suffixes = (".vot", ".votable")

    def __init__(self, path: Path, hdu: Extension = None) -> None:
        self._check_head(path)
        try:
            with warnings.catch_warnings(), open_content(path) as content:
                warnings.simplefilter("ignore")
                # The parser goes back and forth, which no packed stream can.
                stream = io.BytesIO(content.read()) if is_packed(path) else content
                called, table, others, equal, infos, fields, params = _parsed(stream)
        except CatalogueError:
            raise
        except Exception as error:
            # The parser raises its own errors, expat's, struct's and plain IndexErrors on damaged files.
            raise CatalogueError(
                f"{path}: is not a readable VOTable ({(str(error).splitlines() or [type(error).__name__])[0]}). "
                "It may be truncated: fetch it again."
            ) from error
        status = [(value.strip().upper(), words.strip()) for name, value, words in infos if name == "QUERY_STATUS"]
        failed = next((words for value, words in status if value == "ERROR"), None)
        if failed is not None:
            raise CatalogueError(
                f"{path}: is no table but the answer to a query that failed: {failed or 'no reason is given'!r}."
            )
        if table is None:
            raise CatalogueError(f"{path}: is a VOTable that holds no table with columns. Fetch it again.")
        values: dict[str, Any] = {}
        for name, identifier, _ in fields:
            values.setdefault(name, table[identifier])
        units = {name: unit for name, _, unit in reversed(fields)}
        super().__init__(path, values, units, {**{name: value for name, value, _ in infos}, **params})
        self.place = f"{path.name}[{called}]" if called else path.name
        self.repeated = repeated_names([name for name, _, _ in fields])
        self.others = others
        self.note_equals(equal)
        if any(value == "OVERFLOW" for value, _ in status):
            self._notes += (
                f"the server cut the answer short (QUERY_STATUS OVERFLOW): it has {self.rows:,} rows, the query more",
            )

    @staticmethod
    def _check_head(path: Path) -> None:
        """Check what the file asks for before memory is given, and that it asks for no other file."""
        if path.stat().st_size > LIMIT_BYTES:
            raise CatalogueError(
                f"{path}: is a VOTable of {path.stat().st_size / 2**30:.1f} GiB; those above "
                f"{LIMIT_BYTES / 2**30:.0f} GiB are not read, since the format must be held in memory whole. "
                "Ask the archive for FITS, or convert it to Parquet."
            )
        rows, width, size, tail = 0, 0, 0, b""
        with open_content(path) as stream:
            while content := stream.read(1 << 22):
                size += len(content)
                if size > LIMIT_BYTES:
                    raise CatalogueError(f"{path}: unpacks to a VOTable above {LIMIT_BYTES / 2**30:.0f} GiB.")
                whole = tail + content
                if _ELSEWHERE.search(whole):
                    raise CatalogueError(
                        f"{path}: is a VOTable whose values stand in another file or entity, which is not read here. "
                        "Ask the archive for the table itself."
                    )
                rows = max([rows, *(int(n) for n in _ROWS.findall(whole))])
                width += whole.upper().count(b"FIELD ") + sum(map(_product, _WIDTHS.findall(whole)))
                tail = content[-200:] if len(content) > 200 else content
        if rows > size or max(rows, 1) * width * 8 > 100 * size + (256 << 20):
            raise CatalogueError(
                f"{path}: is a VOTable that promises {rows:,} rows of {width:,} values, which {size:,} bytes cannot "
                "hold. It is truncated or damaged: fetch it again."
            )

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes is a VOTable."""
        return b"<VOTABLE" in head.upper() or b":VOTABLE" in head.upper()


def _product(sizes: bytes) -> int:
    return int(np.prod([int(n) for n in _DIGITS.findall(sizes)], dtype=object))


_Field = tuple[str, str, str | None]


def _parsed(
    stream: BinaryIO,
) -> tuple[str, Any, tuple[str, ...], list[str], list[tuple[str, str, str]], list[_Field], dict[str, str]]:
    """Return name and array of the first table that has rows, or else columns; names of others, and of those that have
    the same columns and rows; infos, fields and parameters.
    """
    from astropy.io.votable import parse

    document = parse(stream, verify="ignore")
    infos = [(str(i.name), str(i.value), str(i.content or "")) for i in _infos(document)]
    tables = [table for table in document.iter_tables() if table.fields]
    tables.sort(key=lambda table: len(table.array) == 0)
    if not tables:
        return "", None, (), [], infos, [], {}
    first = tables[0]
    fields = [(str(f.name), str(f.ID), None if f.unit is None else str(f.unit)) for f in first.fields]
    params = {str(param.name): str(param.value) for param in first.params}
    params |= _frames(document, first)
    others = tuple(str(table.name or table.ID) for table in tables[1:] if table.name or table.ID)
    same = [field.name for field in first.fields]
    equal = [
        str(table.name or table.ID or number)
        for number, table in enumerate(tables[1:], 2)
        if len(table.array) and [field.name for field in table.fields] == same
    ]
    return str(first.name or first.ID or ""), first.array, others, equal, infos, fields, params


def _frames(document: Any, table: Any) -> dict[str, str]:
    """Return as cards the frame and equinox of each column that refers to a COOSYS, itself or in a GROUP, and of all
    others where the document has but one.
    """
    systems = {one.ID: (str(one.system).removeprefix("eq_"), str(one.equinox or "")) for one in document.iter_coosys()}
    groups = ((group.ref, entry) for group in table.iter_groups() for entry in group.entries)
    of = {str(entry.ref): ref for ref, entry in groups if hasattr(entry, "ref")}
    refs = {str(field.name): field.ref or of.get(str(field.ID)) for field in table.fields}
    stated = {name: systems[ref] for name, ref in refs.items() if ref in systems}
    cards = {f"frame of {name}": frame for name, (frame, _) in stated.items()}
    cards |= {f"equinox of {name}": equinox for name, (_, equinox) in stated.items() if equinox}
    if len(frames := set(systems.values())) == 1:
        cards["RADESYS"], cards["EQUINOX"] = frames.pop()
    return cards


def _infos(element: Any) -> Iterator[Any]:
    """Yield what a document or a resource, and those in it, say of themselves."""
    yield from getattr(element, "infos", ())
    for table in getattr(element, "tables", ()):
        yield from getattr(table, "infos", ())
    for resource in getattr(element, "resources", ()):
        yield from _infos(resource)


def _text(values: Any) -> np.ndarray:
    """Return strings and bytes as stripped text, masked entries empty."""
    filled = np.where(np.ma.getmaskarray(values), "", np.ma.getdata(values))
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in filled.flat]
    return np.strings.strip(np.array(texts, dtype=str)).reshape(filled.shape)


_KINDS: dict[str, Kind] = {"f": "float", "i": "int", "u": "int", "b": "bool", "U": "text", "S": "text"}


def _column(name: str, values: Any, unit: str | None) -> Column:
    """Say what an array is as a column."""
    data = np.ma.getdata(values)
    if data.dtype.kind in _KINDS:
        return Column(name, _KINDS[data.dtype.kind], int(np.prod(data.shape[1:])) if data.ndim > 1 else None, unit)
    first = next((row for row in data if row is not None), None)
    if first is None or isinstance(first, str | bytes):
        return Column(name, "text", None, unit)
    return Column(name, "object", 0, unit)
