"""The shipped formats, written row by row to a length not known before: FITS, VOTable (BINARY2), Parquet, CSV, ECSV."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from ..store import dump_json
from .writers import Card, Column, Head, Writer, plain_letters, record_type, register_writer, to_table

if TYPE_CHECKING:
    import pyarrow as pa
    from astropy.io.fits import Header

_BLOCK = 2880
_FORMATS = {"i8": "K", "i4": "J", "i2": "I", "f8": "D", "f4": "E"}


@register_writer(".fits", ".fit")
class FitsWriter(Writer):
    """Writes a primary header and one binary table with units, UCDs and checksums.

    Rows are appended as they come; NAXIS2, the padding and the CHECKSUM and DATASUM cards of both
    headers are set at the end. The cards TUCDn are written by hand: astropy does not.

    Parameters
    ----------
    stream : binary file
        Open for reading and writing, empty.
    head : Head
        The provenance goes, as JSON, into the long string card PROVENAN.
    """

    def __init__(self, stream: BinaryIO, head: Head) -> None:
        from astropy.io import fits

        self._dtype = record_type(head.columns).newbyteorder(">")
        self._header = _table_header(head)
        self._rows = 0
        primary = fits.PrimaryHDU()
        # What astropy says of a checksum is when it was made: that is when the rows were, so that runs compare.
        self._when = f"of {head.facts().get('DATE', 'this file')}"
        primary.add_checksum(when=self._when)
        self._stream = stream
        self._stream.write(primary.header.tostring().encode("ascii"))
        self._start = self._stream.tell()
        self._stream.write(self._header.tostring().encode("ascii"))

    def write(self, rows: np.ndarray) -> None:
        """Append rows.

        Parameters
        ----------
        rows : structured array, shape (n,)
            Of the columns' record type.
        """
        self._stream.write(rows.astype(self._dtype).tobytes())
        self._rows += len(rows)

    def close(self) -> None:
        """Pad the data, set the number of rows and the checksums."""
        from astropy.io import fits

        self._stream.write(b"\0" * (-self._stream.tell() % _BLOCK))
        self._header["NAXIS2"] = self._rows
        for name, value in self.closing.items():
            self._header[name] = value
        self._stream.seek(self._start)
        self._stream.write(self._header.tostring().encode("ascii"))
        self._stream.flush()
        # The data are never loaded: astropy sums a memory map block by block.
        with fits.open(self._stream.name, memmap=True) as file:
            file[1].add_checksum(when=self._when)
            header = file[1].header.tostring().encode("ascii")
        self._stream.seek(self._start)
        self._stream.write(header)


def _table_header(head: Head) -> Header:
    """Return the header of the table, without its number of rows and checksums."""
    from astropy.io import fits

    made = [fits.Column(column.name, _form(column.dtype), unit=column.unit or None) for column in head.columns]
    cards = fits.BinTableHDU.from_columns(made, nrows=0, name=head.name).header
    for number, column in enumerate(head.columns, start=1):
        if column.ucd:
            cards[f"TUCD{number}"] = column.ucd
        cards[f"TCOMM{number}"] = plain_letters(column.description)
    cards["RADESYS"] = ("ICRS", "frame of RA and DEC")
    for name, card in head.cards.items():
        cards[name] = _plain(card)
    for name, comment in head.closing.items():
        cards[name] = (0, comment)
    # json keeps to ASCII, which cards need.
    cards["PROVENAN"] = json.dumps(json.loads(dump_json(dict(head.provenance))), separators=(",", ":"))
    cards["CHECKSUM"] = ("0" * 16, "HDU checksum")
    cards["DATASUM"] = ("0", "data unit checksum")
    return cards


def _form(dtype: str) -> str:
    """Return the TFORM of a column; ``(57,)f4`` is an array of 57 values a row."""
    width, _, kind = dtype.lstrip("(").rpartition(",)")
    return width + _FORMATS.get(kind, f"{kind[1:]}A")


def _plain(card: Card) -> Card:
    """Return a card in the letters that FITS can hold."""
    value, comment = card if isinstance(card, tuple) else (card, "")
    return plain_letters(value) if isinstance(value, str) else value, comment


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
        wide = [replace(c, dtype="S2") if c.dtype == "S1" else c for c in head.columns]
        self._dtype = np.dtype([flags, *record_type(wide).newbyteorder(">").descr])
        self._names = [column.name for column in head.columns]
        self._rest = b""
        self._stream = stream
        opening = (*_opening(head), '<DATA><BINARY2><STREAM encoding="base64">')
        self._stream.write("".join(f"{line}\n" for line in opening).encode())

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
        self._stream.write(b"</STREAM></BINARY2></DATA>\n</TABLE>\n")
        for name, value in self.closing.items():
            self._stream.write(f"<INFO name={quoteattr(name)} value={quoteattr(str(value))}/>\n".encode())
        self._stream.write(f"{_END}\n".encode())


_END = "</RESOURCE>\n</VOTABLE>"


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


def _field(column: Column) -> str:
    # One letter is written as two: an arraysize of 1 is deprecated, and none makes tools wonder.
    size = "" if column.dtype in _TYPES else f' arraysize="{max(int(column.dtype[1:]), 2)}"'
    unit = f" unit={quoteattr(column.unit)}" if column.unit else ""
    ucd = f" ucd={quoteattr(column.ucd)}" if column.ucd else ""
    frame = ' ref="icrs"' if column.ucd.startswith("pos.eq") else ""
    return (
        f'<FIELD name={quoteattr(column.name)} datatype="{_TYPES.get(column.dtype, "char")}"{size}{unit}{ucd}{frame}>'
        f"<DESCRIPTION>{escape(column.description)}</DESCRIPTION></FIELD>"
    )


_ARROW_TYPES = {"i8": "int64", "i4": "int32", "i2": "int16", "f8": "float64", "f4": "float32"}
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


_VO = "IVOA.VOTable-Parquet"


def _without_rows(head: Head) -> str:
    """Return what a VOTable says above its rows, as a document; text may have any letters."""
    opening = (line.replace('datatype="char"', 'datatype="unicodeChar"') for line in _opening(head))
    return "\n".join([*opening, "</TABLE>", _END])


def _for_astropy(columns: Sequence[Column]) -> dict[str, str]:
    """Return what astropy's own Parquet format reads: units, descriptions and UCDs as YAML, and lengths of text."""
    from astropy.table import meta

    lines = meta.get_yaml_from_table(to_table(columns, np.zeros(0, dtype=record_type(columns))))
    lengths = {f"table::len::{c.name}": c.dtype[1:] for c in columns if c.dtype.startswith("S")}
    return {"table_meta_yaml": "\n".join(lines), **lengths}


@register_writer(".parquet", ".pq")
class ParquetWriter(Writer):
    """Parquet by row groups, one for each piece; units and UCDs are field metadata, cards those of the schema.

    The same stand as a VOTable without rows in the file's metadata (VOParquet 1.0), which astropy's format
    ``parquet.votable``, TOPCAT and archives read.

    Parameters
    ----------
    stream : binary file
        Open for writing, empty.
    head : Head
        The provenance goes, as JSON, into the schema's metadata under ``jpas_gbm``.

    References
    ----------
    Taylor et al. 2025, Parquet in the VO, IVOA Note 1.0.
    """

    def __init__(self, stream: BinaryIO, head: Head) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        fields = [
            pa.field(
                column.name,
                getattr(pa, _ARROW_TYPES.get(column.dtype, "string"))(),
                metadata={name: value for name, value in column.to_dict().items() if name not in ("name", "dtype")},
            )
            for column in head.columns
        ]
        facts = {name: str(value) for name, value in head.facts().items()}
        facts |= {f"{_VO}.version": "1.0", f"{_VO}.content": _without_rows(head), **_for_astropy(head.columns)}
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
        self._writer.add_key_value_metadata({name: str(value) for name, value in self.closing.items()})
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

        if len(rows):
            table = pa.table(_arrays(rows, self._columns, missing=True), names=[c.name for c in self._columns])
            self._stream.write(_csv_lines(table))

    def close(self) -> None:
        """Do nothing: the file is whole after every row."""


def _csv_lines(table: pa.Table) -> bytes:
    """Return rows as lines of CSV, text in quotes only where it holds commas, quotes or line ends."""
    import pyarrow as pa
    import pyarrow.csv as pc

    for quoting in ("none", "needed"):
        sink = pa.BufferOutputStream()
        try:
            pc.write_csv(table, sink, pc.WriteOptions(include_header=False, quoting_style=quoting))
        except pa.ArrowInvalid:
            continue
        return bytes(sink.getvalue())
    raise ValueError("text that CSV cannot hold")


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
        header = "".join(f"# {line}\n" for line in _ecsv_lines(head)).encode()
        self._blanks = {name: header.index(f"{name}{_BLANK}".encode()) + len(name) for name in head.closing}
        stream.write(header)
        super().__init__(stream, head)

    def close(self) -> None:
        """Write what is known at the end into its place in the header."""
        for name, value in self.closing.items():
            self._stream.seek(self._blanks[name])
            self._stream.write(f'": "{value}"'.ljust(len(_BLANK)).encode())


_BLANK = '": "' + " " * 20 + '"'
"""What stands in the header of an ECSV file, behind the name, for a value that is known at the end."""


def _ecsv_lines(head: Head) -> Iterator[str]:
    yield "%ECSV 1.0"
    yield "---"
    yield "delimiter: ','"
    yield "datatype:"
    for column in head.columns:
        entry = {
            "name": column.name,
            "datatype": _ARROW_TYPES.get(column.dtype, "string"),
            "description": column.description,
            "meta": {"ucd": column.ucd},
        }
        # JSON is YAML's flow style.
        yield "- " + json.dumps(entry | ({"unit": column.unit} if column.unit else {}))
    yield "meta: " + json.dumps(
        json.loads(
            dump_json({**head.facts(), **dict.fromkeys(head.closing, " " * 20), "provenance": dict(head.provenance)})
        )
    )
    yield "schema: astropy-2.0"
