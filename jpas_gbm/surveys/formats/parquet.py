"""Parquet files, read in blocks."""

from __future__ import annotations

import json
import pickletools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from ...errors import CatalogueError
from ...store import native
from ...text import short
from ..batches import Block, stack_rows
from ..packing import is_packed
from ..spelling import repeated_names
from ..tables import FORMATS, Column, Extension, Kind, RawTable, Want, cards_of

if TYPE_CHECKING:
    import pandas as pd


@FORMATS.register("parquet")
class ParquetTable(RawTable):
    """A Parquet file, read by row groups.

    Parameters
    ----------
    path : Path
        The file.
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
        if is_packed(path):
            raise CatalogueError(f"{path}: is a packed Parquet file, which is not read here. Unpack it first.")
        try:
            with pq.ParquetFile(path) as file:
                schema, self.rows = file.schema_arrow, file.metadata.num_rows
                metadata = {**(file.metadata.metadata or {}), **(schema.metadata or {})}
            units, self.cards = units_of(schema), _cards(metadata)
            fields = [replace(column_of(field), unit=units.get(field.name)) for field in schema]
        except (pa.ArrowException, OSError, ValueError, OverflowError, TypeError) as error:
            raise CatalogueError(
                f"{path}: is not a readable Parquet file ({first_line(error)}). It may be truncated: fetch it again."
            ) from error
        self.columns = {field.name: field for field in reversed(fields)}
        self.columns = {field.name: self.columns[field.name] for field in fields}
        self.repeated = repeated_names([field.name for field in fields])

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes is a Parquet file."""
        return head.startswith(b"PAR1")

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows."""
        return self.blocks_from(want, 0)

    def blocks_from(self, want: Mapping[str, Want], start: int) -> Iterator[Block]:
        """Yield the wanted columns of row `start` and those behind it; row groups before it are not read."""
        left, start = start, 0
        try:
            with pq.ParquetFile(self.path) as file:
                for group in range(file.metadata.num_row_groups):
                    if left >= (rows := file.metadata.row_group(group).num_rows):
                        left, start = left - rows, start + rows
                        continue
                    # One row group at a time: one call for all of them holds what it has read until the end.
                    batches = file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(want), use_threads=False)
                    for batch in batches:
                        if left < len(batch):
                            yield block_of(batch.slice(left), want, self.place, start + left)
                        left, start = max(0, left - len(batch)), start + len(batch)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise CatalogueError(
                f"{self.path}: is damaged near row {start} ({first_line(error)}). Fetch or write it again."
            ) from error


BATCH_ROWS = 65_536


def _kind(of: pa.DataType) -> Kind:
    if pa.types.is_dictionary(of):
        return _kind(of.value_type)
    if pa.types.is_decimal(of) and of.scale == 0:
        return "int"
    if pa.types.is_floating(of) or pa.types.is_decimal(of) or pa.types.is_null(of):
        return "float"
    if pa.types.is_integer(of):
        return "int"
    if pa.types.is_boolean(of):
        return "bool"
    return "text"


def _is_list(of: pa.DataType) -> bool:
    return pa.types.is_list(of) or pa.types.is_large_list(of) or pa.types.is_fixed_size_list(of)


_NAMED_UNIT = re.compile(r"\{name: *([^,}]+),[^{}]*?\bunit: *([^,}]+)")


def header_units(text: str) -> dict[str, str]:
    """Return the units of columns that astropy's header of an ECSV or Parquet table states, by name.

    Parameters
    ----------
    text : str
        Lines such as ``- {name: flux, unit: Jy, datatype: float64}``; others are passed over.

    Returns
    -------
    dict of str to str
    """
    return {name.strip("'\""): unit.strip().strip("'\"") for name, unit in _NAMED_UNIT.findall(text)}


def _frame_attributes(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Return the ``attrs`` that pandas wrote with a DataFrame."""
    try:
        found = json.loads(metadata.get(b"pandas", b"{}")).get("attributes")
    except (ValueError, AttributeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _attributed(attrs: Mapping[Any, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the units and the cards in the ``attrs`` of a DataFrame, such as :func:`attributes` makes."""
    units, cards = (cards_of(of if isinstance(of := attrs.get(key), Mapping) else {}) for key in ("units", "cards"))
    return units, cards_of(attrs) | cards


def _cards(metadata: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return what a file states beside its columns: itself, as astropy writes it, or as pandas does."""
    try:
        about = ecsv_header(metadata.get(b"table_meta_yaml", b"").decode("utf-8", "replace").splitlines()) or {}
        meta = dict(about.get("meta") or {})
    except (AttributeError, TypeError, ValueError):
        meta = {}
    plain = {name.decode("utf-8", "replace"): of for name, of in metadata.items() if name not in _ENCODED}
    return cards_of(plain) | cards_of(meta) | _attributed(_frame_attributes(metadata))[1]


_ENCODED = (b"ARROW:schema", b"pandas", b"table_meta_yaml")


def units_of(schema: pa.Schema) -> dict[str, str]:
    """Return the units of columns that a schema states: of each field, or as astropy or pandas writes them.

    Parameters
    ----------
    schema : pyarrow.Schema

    Returns
    -------
    dict of str to str
        By name; columns without a unit are left out.
    """
    astropy = header_units((schema.metadata or {}).get(b"table_meta_yaml", b"").decode("utf-8", "replace"))
    pandas = _attributed(_frame_attributes(schema.metadata or {}))[0]
    return astropy | pandas | {field.name: unit for field in schema if (unit := column_of(field).unit)}


def column_of(field: pa.Field) -> Column:
    """Say what an Arrow field is as a column.

    Parameters
    ----------
    field : pyarrow.Field
        Name, type and metadata.

    Returns
    -------
    Column
        Text for what is no number.
    """
    unit = (field.metadata or {}).get(b"unit")
    unit = unit.decode("utf-8", "replace") if unit else None
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
        try:
            text = pc.fill_null(values.cast(pa.string()), "").to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:  # bytes that are no UTF-8, which other formats hold too
            text = np.array([(one or b"").decode("utf-8", "replace") for one in values.to_pylist()], dtype=object)
        return np.strings.strip(text.astype(str)) if len(text) else np.array([], dtype="U1")
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.int64())
    missing = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
    filled = pc.fill_null(values, False if kind == "bool" else 0).to_numpy(zero_copy_only=False)
    return filled if missing is None else np.ma.MaskedArray(filled, missing)


def _lists(values: pa.Array, name: str, place: str, start: int) -> np.ndarray:
    """Return an Arrow array of lists as (n, width)."""
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    if values.null_count or len(lengths) == 0 or (lengths != lengths[0]).any():
        return stack_rows(values.to_pylist(), name, place, start)
    return _plain(values.flatten()).reshape(len(values), int(lengths[0]))


def block_of(batch: pa.RecordBatch, names: Mapping[str, Want], place: str, start: int) -> Block:
    """Return the named columns of a batch as arrays; `start` is the number of its first row, for messages.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        Some rows.
    names : mapping of str to Want
        The columns wanted.
    place : str
        The table, for messages.
    start : int
        Number of the first row.

    Returns
    -------
    dict of str to array
        Plain columns (n,), lists (n, width).

    Raises
    ------
    CatalogueError
        If lists of a column differ in length, or it holds mappings or lists of lists.
    """
    block = {}
    for name in names:
        values = batch.column(batch.schema.get_field_index(name))
        held = values.type.value_type if _is_list(values.type) else values.type
        if pa.types.is_nested(getattr(held, "storage_type", held)):
            raise CatalogueError(
                f"{place}[{name}]: holds {short(str(values.type))} in a row, where one value or a list of numbers is "
                "needed. Keep the one that is meant, in a column of its own."
            )
        block[name] = _lists(values, name, place, start) if _is_list(values.type) else _plain(values)
    return block


_MOST_ECSV = 1 << 18


class _Loader(yaml.SafeLoader):
    """Reads the header of an ECSV file; objects of astropy in it stay plain mappings.

    It is Python's: the loader in C ends the interpreter on deep nesting.
    """


def ecsv_header(lines: Sequence[str]) -> Any:
    """Return what the header of an ECSV file says, which astropy also writes beside tables in HDF5.

    Parameters
    ----------
    lines : sequence of str
        Without their comment signs.

    Returns
    -------
    dict
        Keys and values; other types where the header holds other YAML.

    Raises
    ------
    ValueError
        If it cannot be understood.
    """
    if sum(map(len, lines)) > _MOST_ECSV:
        raise ValueError(f"it has more than {_MOST_ECSV:,} letters")
    try:
        return yaml.load("\n".join(lines), _Loader)
    except (yaml.YAMLError, RecursionError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(first_line(error)) from error


def _untagged(loader: Any, suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _untagged)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message.

    Parameters
    ----------
    error : Exception
        Any.

    Returns
    -------
    str
        The name of its type where it has no message.
    """
    return (str(error).splitlines() or [type(error).__name__])[0]


def _is_native(of: object) -> bool:
    return bool(getattr(of, "isnative", True))


def attributes(table: RawTable) -> dict[str, dict[str, str]]:
    """Return what a file states besides its rows, for the ``attrs`` of a DataFrame of them.

    Parameters
    ----------
    table : RawTable

    Returns
    -------
    dict
        ``units`` by column, ``cards`` by name.
    """
    units = {name: column.unit for name, column in table.columns.items() if column.unit}
    return {"units": units, "cards": dict(table.cards)}


def index_name(info: bytes) -> str:
    """Return what the index of a DataFrame in pandas' table format is called, by its attribute ``info``.

    Parameters
    ----------
    info : bytes
        A pickled dictionary, which is not executed: the word behind ``index_name`` is taken.

    Returns
    -------
    str
        ``index`` where it has no name, or nothing can be read.
    """
    with suppress(ValueError):
        said = [word for code, word, _ in pickletools.genops(info) if "PUT" not in code.name and code.name != "MEMOIZE"]
        if "index_name" in said[:-1] and isinstance(name := said[said.index("index_name") + 1], str):
            return name
    return "index"


def _is_mixed(column: pd.Series) -> bool:
    """Return whether a column holds numbers and text, as a spreadsheet's does: text that reads as what it says."""
    if column.dtype != object:
        return False
    kinds = set(map(type, column[column.notna()]))
    return (
        len(kinds) > 1 and str in kinds and all(issubclass(kind, (str, bool, int, float, np.generic)) for kind in kinds)
    )


def _as_text(column: pd.Series) -> pd.Series:
    return column.where(column.isna(), column.map(str))


_UNTAKEN = (pa.ArrowException, TypeError, ValueError, OverflowError)


def _untaken(columns: pd.DataFrame) -> str:
    """Return why Arrow does not take columns, such as one of objects; empty where it does."""
    try:
        pa.Table.from_pandas(columns, preserve_index=False)
    except _UNTAKEN as error:
        return str(error.args[0]) if error.args else first_line(error)
    return ""


class FrameTable(RawTable):
    """A pandas DataFrame; levels of its index that have names are columns too, and else it is not looked at.

    A column of numbers and text is read as text, number by number where one is wanted.

    Parameters
    ----------
    frame : DataFrame
        Of numbers, text, and lists or arrays of numbers. Its ``attrs`` may hold what :func:`attributes` returns.

    Raises
    ------
    CatalogueError
        If a column that is read is named as another, or holds neither numbers, text nor lists of numbers.
    """

    format = "pandas DataFrame"

    def __init__(self, frame: pd.DataFrame) -> None:
        self.path, self.place = Path("DataFrame"), "DataFrame"
        import pandas as pd

        names = pd.Index(map(str, frame.columns))
        self.repeated = repeated_names(list(names))
        frame = frame.loc[:, ~names.duplicated()] if self.repeated else frame
        # FITS columns are big-endian, which Arrow does not take.
        swapped = {name: native(frame[name].to_numpy()) for name in frame.columns if not _is_native(frame[name].dtype)}
        try:
            plain = frame.assign(**{str(name): values for name, values in swapped.items()}).rename(columns=str)
            levels = {str(n): i for i, n in enumerate(plain.index.names) if n is not None and str(n) not in plain}
            beside = pd.DataFrame({name: plain.index.get_level_values(i) for name, i in levels.items()}, plain.index)
            plain = pd.concat([plain, beside], axis=1) if levels else plain
            plain = plain.assign(**{str(name): _as_text(plain[name]) for name in plain if _is_mixed(plain[name])})
        except (TypeError, ValueError) as error:
            raise CatalogueError(f"DataFrame: holds what no table can ({first_line(error)}).") from error
        self._odd: dict[str, str] = {}
        try:
            taken = pa.Table.from_pandas(plain, preserve_index=False)
        except _UNTAKEN:
            self._odd = {str(name): why for name in plain if (why := _untaken(plain[[name]]))}
            taken = pa.Table.from_pandas(plain.drop(columns=list(self._odd)), preserve_index=False)
        self._table = taken.combine_chunks()
        self.rows = len(plain)
        units, self.cards = _attributed(frame.attrs)
        fields = {field.name: replace(column_of(field), unit=units.get(field.name)) for field in self._table.schema}
        self.columns = {name: fields.get(name) or Column(name, "float") for name in map(str, plain)}

    @property
    def files(self) -> tuple[Path, ...]:
        """None: the table is in memory."""
        return ()

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows."""
        start = 0
        for name in filter(self._odd.get, want):
            raise CatalogueError(f"{self.place}: holds what no table can in the column {name} ({self._odd[name]}).")
        for batch in self._table.to_batches(BATCH_ROWS):
            yield block_of(batch, want, self.place, start)
            start += len(batch)
