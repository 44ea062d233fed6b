"""Tables held in memory as arrays: VOTables, as the archives' query services give them, and astropy's tables."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import CatalogueError
from ...store import native
from ..tables import FORMATS, Block, Column, Extension, Kind, RawTable, Want, stack_rows

if TYPE_CHECKING:
    from astropy.table import Table

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
        """Return an astropy table as it stands; units of its columns are kept."""
        values, units = {}, {}
        for name in table.colnames:
            column = table[name]
            plain = column.value if hasattr(column, "value") else column
            values[name] = plain if isinstance(plain, np.ma.MaskedArray) else np.asarray(plain)
            units[name] = None if column.unit is None else str(column.unit)
        cards = {str(key): str(value) for key, value in table.meta.items() if np.isscalar(value)}
        return cls(Path("astropy Table"), values, units, cards)

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
        from astropy.io.votable import parse

        if path.stat().st_size > LIMIT_BYTES:
            raise CatalogueError(
                f"{path}: is a VOTable of {path.stat().st_size / 2**30:.1f} GiB; those above "
                f"{LIMIT_BYTES / 2**30:.0f} GiB are not read, since the format must be held in memory whole. "
                "Ask the archive for FITS, or convert it to Parquet."
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = parse(path, verify="ignore").get_first_table()
        except Exception as error:
            # The parser raises its own errors, expat's, struct's and plain IndexErrors on damaged files.
            raise CatalogueError(
                f"{path}: is not a readable VOTable ({(str(error).splitlines() or [type(error).__name__])[0]}). "
                "It may be truncated: fetch it again."
            ) from error
        values = {field.name: table.array[field.ID] for field in table.fields}
        units = {field.name: None if field.unit is None else str(field.unit) for field in table.fields}
        super().__init__(path, values, units, {param.name: str(param.value) for param in table.params})

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes is a VOTable."""
        return b"<VOTABLE" in head.upper() or b":VOTABLE" in head.upper()


def _text(values: Any) -> np.ndarray:
    """Return strings and bytes as stripped text, masked entries empty."""
    filled = np.where(np.ma.getmaskarray(values), "", np.ma.getdata(values))
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in filled]
    return np.strings.strip(np.array(texts, dtype=str))


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
