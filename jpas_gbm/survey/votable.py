"""VOTables, as the archives' query services give them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import CatalogueError
from ..files import native
from .blocks import Block, stack_rows
from .tables import Column, Want

LIMIT_BYTES = 2 << 30
"""Largest VOTable that is read: the format must be held in memory whole, at several times its size."""


class VoTable:
    """The first table of a VOTable file, held in memory.

    Raises
    ------
    CatalogueError
        If it is damaged, holds no table, or is larger than 2 GiB.
    """

    format = "VOTable"

    def __init__(self, path: Path) -> None:
        from astropy.io.votable import parse

        if path.stat().st_size > LIMIT_BYTES:
            raise CatalogueError(
                f"{path}: is a VOTable of {path.stat().st_size / 2**30:.1f} GiB; those above "
                f"{LIMIT_BYTES / 2**30:.0f} GiB are not read, since the format must be held in memory whole. "
                "Ask the archive for FITS, or convert it to Parquet."
            )
        self.path = path
        self.place = path.name
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
        self._values: dict[str, Any] = {field.name: table.array[field.ID] for field in table.fields}
        self.rows: int = len(table.array)
        self.cards: Mapping[str, str] = {param.name: str(param.value) for param in table.params}
        self.columns: Mapping[str, Column] = {
            field.name: _column(field.name, self._values[field.name], field.unit) for field in table.fields
        }

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns of all rows as one block."""
        if self.rows:
            yield {name: self._decoded(name) for name in want}

    def _decoded(self, name: str) -> np.ndarray:
        values, column = self._values[name], self.columns[name]
        if column.kind == "text":
            return _text(values)
        if column.kind == "object":
            mask = np.ma.getmaskarray(values)
            rows = [None if np.all(hidden) else row for row, hidden in zip(np.ma.getdata(values), mask, strict=True)]
            return stack_rows(rows, name, self.place)
        plain = native(np.ma.getdata(values))
        mask = np.ma.getmaskarray(values)
        return np.ma.MaskedArray(plain, mask) if mask.any() else plain


def _text(values: Any) -> np.ndarray:
    filled = np.where(np.ma.getmaskarray(values), "", np.ma.getdata(values))
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in filled]
    return np.strings.strip(np.array(texts, dtype=str))


def _column(name: str, values: Any, unit: Any) -> Column:
    data = np.ma.getdata(values)
    unit = None if unit is None else str(unit)
    kinds: dict[str, Literal["float", "int", "bool", "text"]] = {
        "f": "float", "i": "int", "u": "int", "b": "bool", "U": "text", "S": "text",
    }  # fmt: skip
    if data.dtype.kind in kinds:
        return Column(name, kinds[data.dtype.kind], int(np.prod(data.shape[1:])) if data.ndim > 1 else None, unit)
    first = next((row for row in data if row is not None), None)
    if first is None or isinstance(first, str | bytes):
        return Column(name, "text", None, unit)
    return Column(name, "object", 0, unit)
