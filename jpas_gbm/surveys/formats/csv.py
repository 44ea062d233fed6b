"""Text tables with a header line, read in blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from ...errors import CatalogueError
from ..tables import FORMATS, Block, Column, Extension, RawTable, Want, peek
from ._arrow import block_of, column_of, first_line

_CSV_BYTES = 4 << 20
_NULLS = ["", "NaN", "nan", "NAN", "NULL", "null", "None", "none", "N/A", "n/a", "NA", "--", "masked"]
_CSV_TYPES: dict[Want, pa.DataType] = {"float": pa.float64(), "int": pa.int64(), "text": pa.string()}


@FORMATS.register("csv")
class CsvTable(RawTable):
    """A text table with a header line; lines that begin with # before it are skipped.

    Columns are separated by comma, semicolon, tab or bar, whichever the header has most of. Numbers
    are read as 64-bit floats unless an integer is asked for, which then must be one in every row.

    Parameters
    ----------
    path : Path
    hdu : Extension
        Without meaning here.

    Raises
    ------
    CatalogueError
        If there is no header line, or names repeat.
    """

    format = "CSV"

    def __init__(self, path: Path, hdu: Extension = None) -> None:
        self.path, self.place = path, path.name
        lines = peek(path, 1 << 20).decode("utf-8-sig", "replace").splitlines()
        self._skip = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
        if self._skip == len(lines):
            raise CatalogueError(f"{path}: has comment lines only, no header line with column names.")
        header = lines[self._skip]
        self._delimiter = max(",;\t|", key=header.count)
        self.columns = self._sniffed()

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes may be a text table."""
        return b"\0" not in head and not head.lstrip().startswith(b"<")

    def _reader(self, want: Mapping[str, Want] | None) -> pacsv.CSVStreamingReader:
        convert: dict[str, Any] = {"null_values": _NULLS}
        if want is not None:
            convert["include_columns"] = list(want)
            convert["column_types"] = {name: self._type(name, kind) for name, kind in want.items()}
        return pacsv.open_csv(
            self.path,
            read_options=pacsv.ReadOptions(use_threads=False, skip_rows=self._skip, block_size=_CSV_BYTES),
            parse_options=pacsv.ParseOptions(delimiter=self._delimiter),
            convert_options=pacsv.ConvertOptions(**convert),
        )

    def _type(self, name: str, want: Want) -> pa.DataType:
        if want != "any":
            return _CSV_TYPES[want]
        # Types are told from the first block only: an integer may be followed by 1.5 further down.
        kind = self.columns[name].kind
        return pa.float64() if kind in ("int", "float") else pa.string()

    def _sniffed(self) -> dict[str, Column]:
        try:
            with self._reader(None) as reader:
                fields = list(reader.schema)
        except pa.ArrowInvalid as error:
            raise CatalogueError(f"{self.path}: is not a readable CSV table ({first_line(error)}).") from error
        names = [field.name for field in fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CatalogueError(
                f"{self.path}: the header names {', '.join(twice)} more than once. Rename or drop one."
            )
        return {field.name: column_of(field) for field in fields}

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows."""
        start = 0
        try:
            with self._reader(want) as reader:
                for batch in reader:
                    if len(batch):
                        yield block_of(batch, want, self.place, start)
                    start += len(batch)
        except pa.ArrowInvalid as error:
            raise self._explained(error, start, want) from error

    def _explained(self, error: pa.ArrowInvalid, row: int, want: Mapping[str, Want]) -> CatalogueError:
        text = first_line(error)
        found = re.search(
            r"CSV column #(\d+):(?: Row #(\d+):)? CSV conversion error to (\w+): invalid value '(.*)'", text
        )
        if not found:
            return CatalogueError(
                f"{self.path}: is damaged after row {row} ({text}). Each line needs as many values as the header."
            )
        name = list(self.columns)[int(found.group(1))]
        line = f" (line {int(found.group(2)) + self._skip})" if found.group(2) else ""
        value, wanted = found.group(4), "an integer" if found.group(3) == "int64" else "a number"
        hint = ""
        if re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", value):
            hint = " It is stored as floating point, which corrupts ids above 2^53: export it as a 64-bit integer."
        return CatalogueError(f"{self.path}[{name}]: holds {value!r}{line} where {wanted} is needed.{hint}")
