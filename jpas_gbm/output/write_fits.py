"""A FITS binary table, written row by row to a length not known before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..store import dump_json
from .write_columns import record_type
from .writers import Card, Head, Writer, plain_letters, register_writer

if TYPE_CHECKING:
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
        primary.add_checksum()
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
        self._stream.seek(self._start)
        self._stream.write(self._header.tostring().encode("ascii"))
        self._stream.flush()
        # The data are never loaded: astropy sums a memory map block by block and mends two cards in place.
        with fits.open(self._stream.name, mode="update", memmap=True) as file:
            file[1].add_checksum()


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
