"""Writing prediction tables piece by piece: FITS, Parquet, VOTable, CSV or ECSV by suffix."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from ..errors import OutputError, did_you_mean
from ..store import atomic_file, dump_json
from .write_columns import Column

SUFFIXES = {
    ".fits": "fits",
    ".fit": "fits",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".csv": "csv",
    ".ecsv": "ecsv",
}
"""Output format by suffix."""

_ECSV_TYPES = {"i8": "int64", "i4": "int32", "f8": "float64", "f4": "float32"}


class Writer(Protocol):
    """Takes rows in order; the file is whole after `close`."""

    def write(self, rows: np.ndarray) -> None:
        """Append rows, a structured array of the columns' record type."""

    def close(self) -> None:
        """Finish the file; the stream stays open."""

    def release(self) -> None:
        """Let go of what is held, whether the file is whole or not."""


def output_format(path: str | Path) -> str:
    """Return the format of an output file by its suffix.

    Raises
    ------
    OutputError
        If the suffix is not known.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(
            f"{path}: cannot tell the format by the suffix '{suffix}'.{did_you_mean(suffix, SUFFIXES)} "
            f"Known: {', '.join(SUFFIXES)}."
        )
    return SUFFIXES[suffix]


@contextmanager
def table_writer(
    path: str | Path, columns: Sequence[Column], header: Mapping[str, Any], *, overwrite: bool = False
) -> Iterator[Writer]:
    """Open a table for writing; it moves into place, whole, when the block ends well.

    Memory holds one piece of rows at a time, whatever the format.

    Parameters
    ----------
    path : path
        The suffix chooses the format. A ``.csv`` has a companion ``.csv.json`` with units, UCDs and
        provenance, since plain CSV has no place for them; ``.ecsv`` carries them itself.
    columns : sequence of Column
        What every row has.
    header : mapping
        Provenance, as JSON can hold it.
    overwrite : bool
        Whether a file that is there may be replaced.

    Yields
    ------
    Writer

    Raises
    ------
    OutputError
        If the suffix is unknown, the file exists, or it cannot be written.
    """
    made = output_format(path)
    with ExitStack() as stack:
        if made == "csv":
            companion = stack.enter_context(atomic_file(f"{path}.json", overwrite=overwrite))
            about = {"columns": [column.to_dict() for column in columns], "provenance": dict(header)}
            companion.write_text(dump_json(about), encoding="utf-8")
        temporary = stack.enter_context(atomic_file(path, overwrite=overwrite))
        writer = _open(made, stack.enter_context(open(temporary, "w+b")), columns, header)
        stack.callback(writer.release)
        yield writer
        writer.close()


def _open(made: str, stream: BinaryIO, columns: Sequence[Column], header: Mapping[str, Any]) -> Writer:
    if made == "fits":
        from .write_fits import FitsWriter

        return FitsWriter(stream, columns, header)
    if made == "votable":
        from .write_votable import VOTableWriter

        return VOTableWriter(stream, columns, header)
    if made == "parquet":
        return ParquetWriter(stream, columns, header)
    return CsvWriter(stream, columns, header if made == "ecsv" else None)


def _arrow(rows: np.ndarray, columns: Sequence[Column], missing: bool) -> list[Any]:
    import pyarrow as pa

    arrays = []
    for column in columns:
        values = rows[column.name]
        if values.dtype.kind == "S":
            # Few distinct names: decode those, not every row.
            names, which = np.unique(values, return_inverse=True)
            words = pa.array([name.decode() for name in names], pa.string())
            arrays.append(pa.DictionaryArray.from_arrays(pa.array(which, pa.int32()), words).cast(pa.string()))
        else:
            values = np.ascontiguousarray(values)
            nothing = np.isnan(values) if missing and values.dtype.kind == "f" else None
            arrays.append(pa.array(values, mask=nothing))
    return arrays


class ParquetWriter:
    """Parquet by row groups, one for each piece; units and UCDs are field metadata."""

    def __init__(self, stream: BinaryIO, columns: Sequence[Column], header: Mapping[str, Any]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"i8": pa.int64(), "i4": pa.int32(), "f8": pa.float64(), "f4": pa.float32()}
        fields = [
            pa.field(
                column.name,
                kinds.get(column.dtype, pa.string()),
                metadata={name: value for name, value in column.to_dict().items() if name not in ("name", "dtype")},
            )
            for column in columns
        ]
        self._columns = columns
        self._schema = pa.schema(fields, metadata={"jpas_gbm": dump_json(dict(header))})
        words = [column.name for column in columns if column.dtype.startswith("S")]
        floats = [column.name for column in columns if column.dtype.startswith("f")]
        # Dictionaries make noisy floats larger than raw; they are right for class names.
        self._writer = pq.ParquetWriter(
            stream,
            self._schema,
            compression="zstd",
            use_dictionary=words,
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        )

    def write(self, rows: np.ndarray) -> None:
        """Append rows as a row group."""
        import pyarrow as pa

        if len(rows):
            self._writer.write_table(pa.table(_arrow(rows, self._columns, missing=False), schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()

    def release(self) -> None:
        """Close the library's writer, which otherwise tries to when it is collected."""
        with suppress(Exception):
            self._writer.close()


class CsvWriter:
    """CSV with a line of names; a missing number is an empty field.

    With a header it is ECSV 1.0, as astropy and TOPCAT read it: units, UCDs and provenance stand in
    comment lines above the names.
    """

    def __init__(self, stream: BinaryIO, columns: Sequence[Column], header: Mapping[str, Any] | None) -> None:
        self._columns = columns
        self._stream = stream
        if header is not None:
            self._stream.write("".join(f"# {line}\n" for line in self._ecsv(header)).encode())
        self._stream.write((",".join(column.name for column in columns) + "\n").encode())

    def _ecsv(self, header: Mapping[str, Any]) -> Iterator[str]:
        yield "%ECSV 1.0"
        yield "---"
        yield "delimiter: ','"
        yield "datatype:"
        for column in self._columns:
            told = {
                "name": column.name,
                "datatype": _ECSV_TYPES.get(column.dtype, "string"),
                "description": column.description,
                "meta": {"ucd": column.ucd},
            }
            # JSON is YAML's flow style.
            yield "- " + json.dumps(told | ({"unit": column.unit} if column.unit else {}))
        yield "meta: " + json.dumps({"provenance": json.loads(dump_json(dict(header)))})
        yield "schema: astropy-2.0"

    def write(self, rows: np.ndarray) -> None:
        """Append rows."""
        import pyarrow as pa
        import pyarrow.csv as pc

        if len(rows):
            table = pa.table(_arrow(rows, self._columns, missing=True), names=[c.name for c in self._columns])
            pc.write_csv(table, self._stream, pc.WriteOptions(include_header=False, quoting_style="none"))

    def close(self) -> None:
        """Do nothing: the file is whole after every row."""

    def release(self) -> None:
        """Do nothing."""
