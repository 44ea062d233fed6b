"""A FITS binary table, written row by row to a length not known before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from ..store import dump_json
from .write_columns import Column, record_type

_BLOCK = 2880
_FORMATS = {"i8": "K", "i4": "J", "f8": "D", "f4": "E"}


class FitsWriter:
    """Writes a primary header and one binary table, PREDICTIONS, with units, UCDs and checksums.

    Rows are appended as they come; NAXIS2, the padding and the CHECKSUM and DATASUM cards of both
    headers are set at the end. The cards TUCDn are written by hand: astropy does not.

    Parameters
    ----------
    stream : binary file
        Open for reading and writing, empty.
    columns : sequence of Column
        What every row has.
    header : mapping
        Provenance: a few cards, and the whole as JSON in the long string card PROVENAN.
    """

    def __init__(self, stream: BinaryIO, columns: Sequence[Column], header: Mapping[str, Any]) -> None:
        from astropy.io import fits

        self._dtype = record_type(columns).newbyteorder(">")
        self._header = self._table_header(columns, header)
        self._rows = 0
        primary = fits.PrimaryHDU()
        primary.add_checksum()
        self._stream = stream
        self._stream.write(primary.header.tostring().encode("ascii"))
        self._start = self._stream.tell()
        self._stream.write(self._header.tostring().encode("ascii"))

    def _table_header(self, columns: Sequence[Column], header: Mapping[str, Any]) -> Any:
        from astropy.io import fits

        made = [
            fits.Column(
                name=column.name,
                format=_FORMATS.get(column.dtype, f"{column.dtype[1:]}A"),
                unit=column.unit or None,
            )
            for column in columns
        ]
        cards = fits.BinTableHDU.from_columns(made, nrows=0, name="PREDICTIONS").header
        for number, column in enumerate(columns, start=1):
            cards[f"TUCD{number}"] = column.ucd
            cards[f"TCOMM{number}"] = column.description
        cards["RADESYS"] = ("ICRS", "frame of RA and DEC")
        for name, value, comment in _short_cards(header):
            cards[name] = (value, comment)
        # json keeps to ASCII, which cards need.
        cards["PROVENAN"] = json.dumps(json.loads(dump_json(dict(header))), separators=(",", ":"))
        cards["CHECKSUM"] = ("0" * 16, "HDU checksum")
        cards["DATASUM"] = ("0", "data unit checksum")
        return cards

    def write(self, rows: np.ndarray) -> None:
        """Append rows."""
        self._stream.write(rows.astype(self._dtype).tobytes())
        self._rows += len(rows)

    def close(self) -> None:
        """Pad the data, set the number of rows and the checksums."""
        from astropy.io import fits

        self._stream.write(b"\0" * (-self._stream.tell() % _BLOCK))
        self._header["NAXIS2"] = self._rows
        self._stream.seek(self._start)
        self._stream.write(self._header.tostring().encode("ascii"))
        self._stream.flush()
        # The data are never loaded: astropy sums a memory map block by block and mends two cards in place.
        with fits.open(self._stream.name, mode="update", memmap=True) as file:
            file[1].add_checksum()

    def release(self) -> None:
        """Do nothing."""


def _short_cards(header: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    model = header.get("model") or {}
    found = [
        ("ORIGIN", f"{header.get('software', 'jpas-gbm')} {header.get('version', '')}".strip(), "software"),
        # FITS knows no time zone: the string ends with the seconds.
        ("DATE", (header.get("made") or "")[:19] or None, "when the file was made (UTC)"),
        ("REGIME", model.get("regime"), "how the model was trained"),
        ("RULE", model.get("rule"), "decision chosen on validation"),
        ("MODSEED", model.get("seed"), "seed of the training"),
    ]
    return [(name, value, comment) for name, value, comment in found if value is not None]
