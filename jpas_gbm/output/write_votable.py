"""A VOTable, written row by row in the BINARY2 serialisation."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from ..store import dump_json
from .write_columns import Column, record_type

_TYPES = {"i8": "long", "i4": "int", "f8": "double", "f4": "float"}
_LINE = 57  # bytes that make one base64 line of 76 characters


class VOTableWriter:
    """Writes VOTable 1.4 with units, UCDs, ICRS positions and provenance as INFO elements.

    Parameters
    ----------
    stream : binary file
        Open for writing, empty.
    columns : sequence of Column
        What every row has.
    header : mapping
        Provenance.
    """

    def __init__(self, stream: BinaryIO, columns: Sequence[Column], header: Mapping[str, Any]) -> None:
        # Before each row BINARY2 has one bit a column that says null; NaN says it for floats already.
        flags = ("_nulls", "u1", ((len(columns) + 7) // 8,))
        self._dtype = np.dtype([flags, *record_type(columns).newbyteorder(">").descr])
        self._names = [column.name for column in columns]
        self._rest = b""
        self._stream = stream
        self._stream.write("".join(f"{line}\n" for line in _head(columns, header)).encode())

    def write(self, rows: np.ndarray) -> None:
        """Append rows."""
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

    def release(self) -> None:
        """Do nothing."""


def _head(columns: Sequence[Column], header: Mapping[str, Any]) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
    yield '<RESOURCE type="results">'
    yield '<COOSYS ID="icrs" system="ICRS"/>'
    for name in ("software", "version", "made"):
        if header.get(name) is not None:
            yield f"<INFO name={quoteattr(name)} value={quoteattr(str(header[name]))}/>"
    told = json.dumps(json.loads(dump_json(dict(header))), separators=(",", ":"))
    yield f'<INFO name="provenance" value={quoteattr(told)}/>'
    yield '<TABLE name="predictions">'
    for column in columns:
        size = "" if column.dtype in _TYPES else f' arraysize="{column.dtype[1:]}"'
        unit = f" unit={quoteattr(column.unit)}" if column.unit else ""
        frame = ' ref="icrs"' if column.ucd.startswith("pos.eq") else ""
        yield (
            f'<FIELD name={quoteattr(column.name)} datatype="{_TYPES.get(column.dtype, "char")}"{size}{unit} '
            f"ucd={quoteattr(column.ucd)}{frame}><DESCRIPTION>{escape(column.description)}</DESCRIPTION></FIELD>"
        )
    yield '<DATA><BINARY2><STREAM encoding="base64">'
