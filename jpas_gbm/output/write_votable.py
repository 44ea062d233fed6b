"""A VOTable, written row by row in the BINARY2 serialisation."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import BinaryIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from ..store import dump_json
from .write_columns import Column, record_type
from .writers import Head, Writer, register_writer

_TYPES = {"i8": "long", "i4": "int", "i2": "short", "f8": "double", "f4": "float"}
_LINE = 57  # bytes that make one base64 line of 76 characters


@register_writer(".vot", ".votable", ".xml")
class VOTableWriter(Writer):
    """Writes VOTable 1.4 with units, UCDs, ICRS positions, and cards and provenance as INFO elements.

    Parameters
    ----------
    stream : binary file
        Open for writing, empty.
    head : Head
        Columns, name, cards and provenance.
    """

    def __init__(self, stream: BinaryIO, head: Head) -> None:
        # Before each row BINARY2 has one bit a column that says null; NaN says it for floats already.
        flags = ("_nulls", "u1", ((len(head.columns) + 7) // 8,))
        self._dtype = np.dtype([flags, *record_type(head.columns).newbyteorder(">").descr])
        self._names = [column.name for column in head.columns]
        self._rest = b""
        self._stream = stream
        self._stream.write("".join(f"{line}\n" for line in _opening(head)).encode())

    def write(self, rows: np.ndarray) -> None:
        """Append rows.

        Parameters
        ----------
        rows : structured array, shape (n,)
            Of the columns' record type.
        """
        packed = np.zeros(len(rows), dtype=self._dtype)
        for name in self._names:
            packed[name] = rows[name]
        content = self._rest + packed.tobytes()
        whole = len(content) - len(content) % _LINE
        self._stream.write(base64.encodebytes(content[:whole]))
        self._rest = content[whole:]

    def close(self) -> None:
        """Write what is left and close the elements."""
        self._stream.write(base64.encodebytes(self._rest))
        self._stream.write(b"</STREAM></BINARY2></DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n")


def _opening(head: Head) -> Iterator[str]:
    """Yield the lines above the rows; the schema wants INFO elements before COOSYS."""
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
    yield '<RESOURCE type="results">'
    provenance = json.dumps(json.loads(dump_json(dict(head.provenance))), separators=(",", ":"))
    for name, value in {**head.facts(), "provenance": provenance}.items():
        yield f"<INFO name={quoteattr(name)} value={quoteattr(str(value))}/>"
    yield '<COOSYS ID="icrs" system="ICRS"/>'
    yield f"<TABLE name={quoteattr(head.name.lower())}>"
    for column in head.columns:
        yield _field(column)
    yield '<DATA><BINARY2><STREAM encoding="base64">'


def _field(column: Column) -> str:
    size = "" if column.dtype in _TYPES else f' arraysize="{column.dtype[1:]}"'
    unit = f" unit={quoteattr(column.unit)}" if column.unit else ""
    ucd = f" ucd={quoteattr(column.ucd)}" if column.ucd else ""
    frame = ' ref="icrs"' if column.ucd.startswith("pos.eq") else ""
    return (
        f'<FIELD name={quoteattr(column.name)} datatype="{_TYPES.get(column.dtype, "char")}"{size}{unit}{ucd}{frame}>'
        f"<DESCRIPTION>{escape(column.description)}</DESCRIPTION></FIELD>"
    )
