"""Parquet, CSV and ECSV tables, written piece by piece by way of Arrow arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..store import dump_json
from .write_columns import Column
from .writers import Head, Writer, register_writer

if TYPE_CHECKING:
    import pyarrow as pa

_TYPES = {"i8": "int64", "i4": "int32", "i2": "int16", "f8": "float64", "f4": "float32"}
"""Names of number types, for Arrow and ECSV alike; anything else is text."""


def _arrays(rows: np.ndarray, columns: Sequence[Column], missing: bool) -> list[pa.Array]:
    """Return the columns of rows as Arrow arrays; with `missing`, NaN is null."""
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


@register_writer(".parquet", ".pq")
class ParquetWriter(Writer):
    """Parquet by row groups, one for each piece; units and UCDs are field metadata, cards those of the schema.

    Parameters
    ----------
    stream : binary file
        Open for writing, empty.
    head : Head
        The provenance goes, as JSON, into the schema's metadata under ``jpas_gbm``.
    """

    def __init__(self, stream: BinaryIO, head: Head) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        fields = [
            pa.field(
                column.name,
                getattr(pa, _TYPES.get(column.dtype, "string"))(),
                metadata={name: value for name, value in column.to_dict().items() if name not in ("name", "dtype")},
            )
            for column in head.columns
        ]
        facts = {name: str(value) for name, value in head.facts().items()}
        self._columns = head.columns
        self._schema = pa.schema(fields, metadata={**facts, "jpas_gbm": dump_json(dict(head.provenance))})
        floats = [column.name for column in head.columns if column.dtype.startswith("f")]
        # Dictionaries make noisy floats larger than raw; they are right for class names.
        self._writer = pq.ParquetWriter(
            stream,
            self._schema,
            compression="zstd",
            use_dictionary=[column.name for column in head.columns if column.dtype.startswith("S")],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        )

    def write(self, rows: np.ndarray) -> None:
        """Append rows as a row group.

        Parameters
        ----------
        rows : structured array, shape (n,)
            Of the columns' record type.
        """
        import pyarrow as pa

        if len(rows):
            self._writer.write_table(pa.table(_arrays(rows, self._columns, missing=False), schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()

    def release(self) -> None:
        """Close the library's writer, which otherwise tries to when it is collected."""
        with suppress(Exception):
            self._writer.close()


@register_writer(".csv")
class CsvWriter(Writer):
    """CSV with a line of names; a missing number is an empty field.

    Parameters
    ----------
    stream : binary file
        Open for writing, empty.
    head : Head
        Columns; the rest goes into the companion.
    """

    companion = True

    def __init__(self, stream: BinaryIO, head: Head) -> None:
        self._columns = head.columns
        self._stream = stream
        self._stream.write((",".join(column.name for column in self._columns) + "\n").encode())

    def write(self, rows: np.ndarray) -> None:
        """Append rows.

        Parameters
        ----------
        rows : structured array, shape (n,)
            Of the columns' record type.
        """
        import pyarrow as pa
        import pyarrow.csv as pc

        if len(rows):
            table = pa.table(_arrays(rows, self._columns, missing=True), names=[c.name for c in self._columns])
            pc.write_csv(table, self._stream, pc.WriteOptions(include_header=False, quoting_style="none"))

    def close(self) -> None:
        """Do nothing: the file is whole after every row."""


@register_writer(".ecsv")
class EcsvWriter(CsvWriter):
    """ECSV 1.0, as astropy and TOPCAT read it: units, UCDs, cards and provenance in comment lines above the names.

    Parameters
    ----------
    stream : binary file
        Open for writing, empty.
    head : Head
        Columns, cards and provenance.
    """

    companion = False

    def __init__(self, stream: BinaryIO, head: Head) -> None:
        stream.write("".join(f"# {line}\n" for line in _ecsv_lines(head)).encode())
        super().__init__(stream, head)


def _ecsv_lines(head: Head) -> Iterator[str]:
    yield "%ECSV 1.0"
    yield "---"
    yield "delimiter: ','"
    yield "datatype:"
    for column in head.columns:
        entry = {
            "name": column.name,
            "datatype": _TYPES.get(column.dtype, "string"),
            "description": column.description,
            "meta": {"ucd": column.ucd},
        }
        # JSON is YAML's flow style.
        yield "- " + json.dumps(entry | ({"unit": column.unit} if column.unit else {}))
    yield "meta: " + json.dumps(json.loads(dump_json({**head.facts(), "provenance": dict(head.provenance)})))
    yield "schema: astropy-2.0"
