"""Tables read through Arrow: Parquet and CSV files in blocks, and pandas' tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ...errors import CatalogueError
from ..tables import Block, Column, Extension, Kind, RawTable, Want, peek, register_format, stack_rows

if TYPE_CHECKING:
    import pandas as pd

_BATCH_ROWS = 65_536
_CSV_BYTES = 4 << 20
_NULLS = ["", "NaN", "nan", "NAN", "NULL", "null", "None", "none", "N/A", "n/a", "NA", "--", "masked"]
_CSV_TYPES: dict[Want, pa.DataType] = {"float": pa.float64(), "int": pa.int64(), "text": pa.string()}


def _kind(of: pa.DataType) -> Kind:
    if pa.types.is_dictionary(of):
        return _kind(of.value_type)
    if pa.types.is_floating(of) or pa.types.is_decimal(of) or pa.types.is_null(of):
        return "float"
    if pa.types.is_integer(of):
        return "int"
    if pa.types.is_boolean(of):
        return "bool"
    return "text"


def _is_list(of: pa.DataType) -> bool:
    return pa.types.is_list(of) or pa.types.is_large_list(of) or pa.types.is_fixed_size_list(of)


def _column(field: pa.Field) -> Column:
    unit = (field.metadata or {}).get(b"unit")
    unit = unit.decode() if unit else None
    if _is_list(field.type):
        width = field.type.list_size if pa.types.is_fixed_size_list(field.type) else 0
        return Column(field.name, _kind(field.type.value_type), width, unit)
    return Column(field.name, _kind(field.type), None, unit)


def _plain(values: pa.Array) -> np.ndarray:
    """Return a flat Arrow array as NumPy: missing numbers NaN or masked, missing text empty."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = _kind(values.type)
    if kind == "float":
        if not pa.types.is_floating(values.type):
            values = values.cast(pa.float64())
        return np.asarray(values.to_numpy(zero_copy_only=False))
    if kind == "text":
        text = pc.fill_null(values.cast(pa.string()), "").to_numpy(zero_copy_only=False)
        return np.strings.strip(text.astype(str)) if len(text) else np.array([], dtype="U1")
    missing = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
    filled = pc.fill_null(values, False if kind == "bool" else 0).to_numpy(zero_copy_only=False)
    return filled if missing is None else np.ma.MaskedArray(filled, missing)


def _lists(values: pa.Array, name: str, place: str, start: int) -> np.ndarray:
    """Return an Arrow array of lists as (n, width)."""
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    if values.null_count or len(lengths) == 0 or (lengths != lengths[0]).any():
        return stack_rows(values.to_pylist(), name, place, start)
    return _plain(values.flatten()).reshape(len(values), int(lengths[0]))


def _block(batch: pa.RecordBatch, names: Mapping[str, Want], place: str, start: int) -> Block:
    block = {}
    for name in names:
        values = batch.column(batch.schema.get_field_index(name))
        block[name] = _lists(values, name, place, start) if _is_list(values.type) else _plain(values)
    return block


class FrameTable(RawTable):
    """A pandas DataFrame; its index is not looked at.

    Parameters
    ----------
    frame : DataFrame
        Of numbers, text, and lists or arrays of numbers.

    Raises
    ------
    CatalogueError
        If a column holds values of several kinds, or its name stands twice.
    """

    format = "pandas DataFrame"

    def __init__(self, frame: pd.DataFrame) -> None:
        self.path, self.place = Path("DataFrame"), "DataFrame"
        twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
        if twice:
            raise CatalogueError(f"DataFrame: has the column {', '.join(twice)} more than once. Rename or drop one.")
        try:
            self._table = pa.Table.from_pandas(frame.rename(columns=str), preserve_index=False).combine_chunks()
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise CatalogueError(f"DataFrame: holds what no table can ({_first_line(error)}).") from error
        self.rows = self._table.num_rows
        self.columns = {field.name: _column(field) for field in self._table.schema}

    @property
    def files(self) -> tuple[Path, ...]:
        """None: the table is in memory."""
        return ()

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows."""
        start = 0
        for batch in self._table.to_batches(_BATCH_ROWS):
            yield _block(batch, want, self.place, start)
            start += len(batch)


@register_format
class ParquetTable(RawTable):
    """A Parquet file, read by row groups.

    Parameters
    ----------
    path : Path
    hdu : Extension
        Without meaning here.

    Raises
    ------
    CatalogueError
        If it is damaged or truncated.
    """

    format = "Parquet"
    suffixes = (".parquet",)

    def __init__(self, path: Path, hdu: Extension = None) -> None:
        self.path, self.place = path, path.name
        try:
            with pq.ParquetFile(path) as file:
                schema, self.rows = file.schema_arrow, file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise CatalogueError(
                f"{path}: is not a readable Parquet file ({_first_line(error)}). It may be truncated: fetch it again."
            ) from error
        self.columns = {field.name: _column(field) for field in schema}
        self.cards = {
            key.decode(): value.decode("utf-8", "replace")
            for key, value in (schema.metadata or {}).items()
            if len(value) < 80
        }

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes is a Parquet file."""
        return head.startswith(b"PAR1")

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows."""
        start = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for group in range(file.metadata.num_row_groups):
                    # One row group at a time: one call for all of them holds what it has read until the end.
                    batches = file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=list(want), use_threads=False)
                    for batch in batches:
                        yield _block(batch, want, self.place, start)
                        start += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise CatalogueError(
                f"{self.path}: is damaged near row {start} ({_first_line(error)}). Fetch or write it again."
            ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@register_format
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
            raise CatalogueError(f"{self.path}: is not a readable CSV table ({_first_line(error)}).") from error
        names = [field.name for field in fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CatalogueError(
                f"{self.path}: the header names {', '.join(twice)} more than once. Rename or drop one."
            )
        return {field.name: _column(field) for field in fields}

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows."""
        start = 0
        try:
            with self._reader(want) as reader:
                for batch in reader:
                    if len(batch):
                        yield _block(batch, want, self.place, start)
                    start += len(batch)
        except pa.ArrowInvalid as error:
            raise self._explained(error, start, want) from error

    def _explained(self, error: pa.ArrowInvalid, row: int, want: Mapping[str, Want]) -> CatalogueError:
        text = _first_line(error)
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
