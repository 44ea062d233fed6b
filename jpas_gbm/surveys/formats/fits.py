"""Binary tables of FITS files, read in blocks and checked against their checksums."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.io import fits

from ...errors import CatalogueError, did_you_mean
from ...store import native
from ..tables import BLOCK_BYTES, FORMATS, Block, Column, Extension, Kind, RawTable, Want, stack_rows

_UNSIGNED = {"B": (np.int8, -128), "I": (np.uint16, 1 << 15), "J": (np.uint32, 1 << 31), "K": (np.uint64, 1 << 63)}
_KINDS: dict[str, Kind] = {
    "L": "bool", "A": "text", "B": "int", "I": "int", "J": "int", "K": "int", "E": "float", "D": "float",
}  # fmt: skip
_ONES = 0xFFFFFFFF


def _ones_complement(total: int) -> int:
    """Fold a sum of 32-bit words into 32 bits, carries added at the low end."""
    while total > _ONES:
        total = (total & _ONES) + (total >> 32)
    return total


def _sum_words(stream: IO[bytes], start: int, size: int) -> int:
    """Return the ones' complement sum of the big-endian 32-bit words of part of a file."""
    stream.seek(start)
    total = 0
    while size > 0:
        block = stream.read(min(size, BLOCK_BYTES))
        if not block:
            break
        size -= len(block)
        words = np.frombuffer(block + b"\0" * (-len(block) % 4), dtype=">u4")
        total = _ones_complement(total + int(words.sum(dtype=np.uint64)))
    return total


@FORMATS.register("fits")
class FitsTable(RawTable):
    """A binary table of a FITS file.

    Rows are read from the file in blocks, so a table of any length needs the memory of one block.
    Where CHECKSUM and DATASUM cards exist they are verified when the table is opened: astropy
    by itself reads damaged data without a word.

    Parameters
    ----------
    path : Path
        May be gzipped.
    hdu : int, str or sequence of str, optional
        Number or name of an extension, or names to prefer; default: the first binary table.

    Raises
    ------
    CatalogueError
        If the file is no FITS file, is truncated or damaged, or has no such table.
    """

    format = "FITS"
    suffixes = (".fits", ".fit", ".fz")

    def __init__(self, path: Path, hdu: Extension = None) -> None:
        self.path = path
        with path.open("rb") as stream:
            self._gzipped = stream.read(2) == b"\x1f\x8b"
        try:
            with self._opened() as hdus:
                span = self._understand(hdus, hdu)
        except (fits.VerifyError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CatalogueError(f"{path}: has a damaged header ({error}). Fetch or copy it again.") from error
        self._check_size()
        self._check_sums(span)
        self.columns = {name: self._column(name) for name in self._definitions}

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes is a FITS file."""
        return head.startswith(b"SIMPLE  =")

    def _understand(self, hdus: fits.HDUList, wanted: Extension) -> int:
        """Note where the rows stand and what their columns are; return the size of the data in bytes."""
        self._hdu = self._choose(hdus, wanted)
        unit = hdus[self._hdu]
        self.place = f"{self.path.name}[{unit.name or self._hdu}]"
        self._check_type(unit)
        self.others = tuple(u.name for u in hdus if isinstance(u, fits.BinTableHDU) and u is not unit and u.name)
        self.cards = {card.keyword: str(card.value).strip() for card in unit.header.cards}
        self.rows = self._rows = int(unit.header["NAXIS2"])
        place = unit.fileinfo()
        self._header, self._start = place["hdrLoc"], place["datLoc"]
        self._record = unit.columns.dtype.newbyteorder(">")
        self._definitions = {column.name: column for column in unit.columns}
        if self._record.itemsize != unit.header["NAXIS1"]:
            raise ValueError(f"rows of {unit.header['NAXIS1']} bytes, columns of {self._record.itemsize}")
        return int(place["datSpan"])

    def _opened(self) -> fits.HDUList:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                hdus = fits.open(self.path, memmap=not self._gzipped)
                len(hdus)
        except (OSError, EOFError, ValueError, KeyError, TypeError, fits.VerifyError) as error:
            raise CatalogueError(
                f"{self.path}: is not a readable FITS file ({error}). It may be truncated: fetch it again."
            ) from error
        return hdus

    def _choose(self, hdus: fits.HDUList, wanted: Extension) -> int:
        names = [unit.name for unit in hdus]
        listed = ", ".join(f"{i} {unit.name or '(no name)'}" for i, unit in enumerate(hdus))
        if isinstance(wanted, str) and wanted.isdigit():
            wanted = int(wanted)
        if isinstance(wanted, int):
            if not 0 <= wanted < len(names):
                raise CatalogueError(f"{self.path}: has no extension {wanted}. It has: {listed}.")
            return wanted
        if isinstance(wanted, str):
            if wanted.upper() not in names:
                hint = did_you_mean(wanted.upper(), names)
                raise CatalogueError(f"{self.path}: has no extension '{wanted}'.{hint} It has: {listed}.")
            return names.index(wanted.upper())
        for name in wanted or ():
            if name.upper() in names:
                return names.index(name.upper())
        tables = [i for i, unit in enumerate(hdus) if isinstance(unit, fits.BinTableHDU)]
        if not tables:
            raise CatalogueError(
                f"{self.path}: holds no binary table, only {listed}. A catalogue is needed, no image; or the file ends "
                "before its table: fetch it again."
            )
        return tables[0]

    def _check_type(self, unit: Any) -> None:
        if not isinstance(unit, fits.BinTableHDU):
            raise CatalogueError(
                f"{self.place}: is no binary table but {type(unit).__name__}. Name the extension that holds the "
                "catalogue, or leave it out to take the first table."
            )

    def _stream(self) -> IO[bytes]:
        return gzip.open(self.path, "rb") if self._gzipped else open(self.path, "rb")  # type: ignore[return-value]

    def _check_size(self) -> None:
        needed = self._start + self._record.itemsize * self._rows
        if not self._gzipped and self.path.stat().st_size < needed:
            raise CatalogueError(
                f"{self.path}: is truncated: {self.path.stat().st_size:,} bytes, the table {self.place} needs "
                f"{needed:,}. Fetch or copy it again."
            )

    def _check_sums(self, span: int) -> None:
        if "DATASUM" not in self.cards and "CHECKSUM" not in self.cards:
            return
        try:
            with self._stream() as stream:
                header = _sum_words(stream, self._header, self._start - self._header)
                data = _sum_words(stream, self._start, span)
        except (EOFError, OSError) as error:
            raise CatalogueError(f"{self.path}: is truncated ({error}). Fetch or copy it again.") from error
        stated = self.cards.get("DATASUM", "")
        wrong_data = stated.isdigit() and int(stated) % _ONES != data % _ONES
        whole = self.cards.get("CHECKSUM", "0").strip("0")
        if wrong_data or (whole and _ones_complement(header + data) % _ONES):
            part = "data do" if wrong_data else "header does"
            raise CatalogueError(
                f"{self.place}: the {part} not match its checksum (CHECKSUM and DATASUM cards). The file was changed "
                "or damaged: fetch it again. If you changed it on purpose, write it again with fresh checksums "
                "(astropy: checksum=True) or without those cards."
            )

    def _letter(self, name: str) -> str:
        return self._definitions[name].format.format

    def _column(self, name: str) -> Column:
        definition = self._definitions[name]
        letter = self._letter(name)
        if letter in "PQ":
            return Column(name, "object", 0, definition.unit)
        shape = self._record[name].shape
        kind = _KINDS.get(letter, "object")
        if kind == "int" and self._scaled(name) and not self._unsigned(name):
            kind = "float"
        return Column(name, kind, int(np.prod(shape)) if shape else None, definition.unit)

    def _scaled(self, name: str) -> bool:
        definition = self._definitions[name]
        return definition.bscale not in ("", None, 1) or definition.bzero not in ("", None, 0)

    def _unsigned(self, name: str) -> bool:
        definition = self._definitions[name]
        return (
            definition.bscale in ("", None, 1) and definition.bzero == _UNSIGNED.get(self._letter(name), (None, 0))[1]
        )

    def _decoded(self, name: str, raw: np.ndarray) -> np.ndarray:
        letter, definition = self._letter(name), self._definitions[name]
        if raw.ndim > 2:
            raw = raw.reshape(len(raw), -1)
        if letter == "L":
            return raw.view(np.uint8) == ord("T")
        if letter == "A":
            text = np.char.decode(raw, "latin-1")
            return np.strings.strip(np.strings.rstrip(text, "\0"))
        values = native(raw) if not raw.dtype.isnative else raw.copy()
        null = definition.null
        missing = values == null if null not in ("", None) and values.dtype.kind in "iu" else None
        if self._scaled(name):
            values = self._rescaled(name, values)
        return values if missing is None or not missing.any() else np.ma.MaskedArray(values, missing)

    def _rescaled(self, name: str, values: np.ndarray) -> np.ndarray:
        definition = self._definitions[name]
        if self._unsigned(name):
            dtype, offset = _UNSIGNED[self._letter(name)]
            # Adding 2^(bits-1) modulo 2^bits turns the sign bit.
            turned = values.view(np.dtype(f"u{values.itemsize}")) ^ np.array(abs(offset), dtype=f"u{values.itemsize}")
            return turned.view(dtype)
        scale = 1.0 if definition.bscale in ("", None) else float(definition.bscale)
        zero = 0.0 if definition.bzero in ("", None) else float(definition.bzero)
        return values * scale + zero

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows."""
        size = self._record.itemsize
        step = max(1, BLOCK_BYTES // max(size, 1))
        varying = self._varying([name for name in want if self._letter(name) in "PQ"])
        with self._stream() as stream:
            stream.seek(self._start)
            for start in range(0, self._rows, step):
                count = min(step, self._rows - start)
                try:
                    content = stream.read(count * size)
                except (OSError, EOFError) as error:
                    raise CatalogueError(f"{self.path}: is truncated ({error}). Fetch it again.") from error
                if len(content) < count * size:
                    raise CatalogueError(
                        f"{self.path}: is truncated: it ends within row {start + len(content) // size}."
                    )
                records = np.frombuffer(content, dtype=self._record)
                yield {
                    name: stack_rows(varying[name][start : start + count], name, self.place, start)
                    if name in varying
                    else self._decoded(name, records[name])
                    for name in want
                }

    def _varying(self, names: Sequence[str]) -> dict[str, Any]:
        """Return columns of varying length, whose values stand in the heap behind the table."""
        if not names:
            return {}
        with self._opened() as hdus:
            data = hdus[self._hdu].data
            return {name: [np.array(row) for row in data.field(name)] for name in names}
