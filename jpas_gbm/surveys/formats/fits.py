"""Tables of FITS files, read in blocks and checked against their checksums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ...errors import CatalogueError, did_you_mean
from ...store import native
from ..batches import Block, NumberPacking, stack_rows
from ..packing import is_packed, open_content, skip
from ..spelling import angstroms, repeated_names
from ..tables import BLOCK_BYTES, FORMATS, Column, Extension, RawTable, Want
from ._headers import MOST_ROW, SIZES, TYPES, Field, HeaderError, Part, ascii_fields, binary_fields, read_parts

if TYPE_CHECKING:
    from astropy.io.fits import Header

_ONES = 0xFFFFFFFF
_OWN = ("CHECKSUM", "DATASUM", "ORIGIN", "NROWS", "NCOLS", "EXTNAME")
"""Cards of the primary header that speak of it alone."""
_SIGNS = {"B": (np.int8, 1 << 7), "I": (np.uint16, 1 << 15), "J": (np.uint32, 1 << 31), "K": (np.uint64, 1 << 63)}

MOST_VALUES = 1 << 20
"""Values that a row of a column of varying length may have."""


def _ones_complement(total: int) -> int:
    """Fold a sum of 32-bit words into 32 bits, carries added at the low end."""
    while total > _ONES:
        total = (total & _ONES) + (total >> 32)
    return total


class _WordSum:
    """The ones' complement sum of the big-endian 32-bit words of bytes that come in pieces."""

    def __init__(self) -> None:
        self.total, self.size, self._rest = 0, 0, b""

    def add(self, content: bytes) -> None:
        """Take in the next bytes."""
        self.size += len(content)
        content = self._rest + content if self._rest else content
        whole = len(content) // 4
        words = np.frombuffer(content, dtype=">u4", count=whole)
        self.total = _ones_complement(self.total + int(words.sum(dtype=np.uint64)))
        self._rest = content[4 * whole :]

    def read(self, stream: BinaryIO, size: int) -> int:
        """Take in the bytes of a stream up to `size` bytes of all, and return the sum."""
        while self.size < size and (block := stream.read(min(size - self.size, BLOCK_BYTES))):
            self.add(block)
        self.add(b"\0" * (-self.size % 4))
        return self.total


@FORMATS.register("fits")
class FitsTable(RawTable):
    """A binary or ASCII table of a FITS file.

    Rows are read from the file in blocks, so a table of any length needs the memory of one block. Where CHECKSUM and
    DATASUM cards exist they are compared while the rows are read, or when `notes` or `verified` are asked for before:
    a table that other software cut keeps those of the whole, which is noted.
    A table of one row whose cells are whole columns (colfits) is read as those columns.

    Parameters
    ----------
    path : Path
        May be packed.
    hdu : int, str or sequence of str, optional
        Number or name of an extension (``NAME``, ``NAME,VERSION``; digits alone are a number), or names to prefer;
        default: the first table.

    Raises
    ------
    CatalogueError
        If the file is no FITS file, is truncated or damaged, or has no such table.
    """

    format = "FITS"
    suffixes = (".fits", ".fit", ".fz")

    def __init__(self, path: Path, hdu: Extension = None) -> None:
        self.path, self.place = path, path.name
        self._packed = is_packed(path)
        parts = read_parts(path)
        part = self._choose(parts, hdu)
        self.place = f"{path.name}[{_called(part, parts)}]"
        self._check_type(part)
        self.others = tuple(_called(p, parts) for p in parts if p.is_table and p is not part)
        self.cards = {**{name: of for name, of in parts[0].cards.items() if name not in _OWN}, **part.cards}
        try:
            self._understand(part)
        except HeaderError as error:
            raise CatalogueError(f"{path}: has a damaged header ({error}). Fetch or copy it again.") from error
        self.columns = {name: self._column(field) for name, field in self._fields.items()}
        filled = [p for p in parts if p.is_table and p is not part and p.cards.get("NAXIS2") != "0"]
        wanted = [p for p in filled if not isinstance(hdu, int | str) or p.name == str(hdu).upper()]
        self.note_equals([p.label if "," in p.label else _called(p, parts) for p in wanted if p.names == part.names])
        self._check_size()
        self._part = part
        self._verified: bool | None = None if "DATASUM" in self.cards or "CHECKSUM" in self.cards else False

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes is a FITS file."""
        return head.startswith(b"SIMPLE  =")

    def _understand(self, part: Part) -> None:
        """Note where the rows stand and what their columns are."""
        if part.problem:
            raise HeaderError(part.problem)
        if part.whole("NAXIS") != 2:
            raise HeaderError(f"NAXIS is {part.whole('NAXIS')}, a table has 2")
        self._text = part.kind == "TABLE"
        fields = ascii_fields(part) if self._text else binary_fields(part)
        self._data, self._width = part.data, part.whole("NAXIS1")
        self._heap = (part.whole("THEAP", part.whole("NAXIS1") * part.whole("NAXIS2")), part.whole("PCOUNT", 0))
        self.rows = self._rows = part.whole("NAXIS2", most=1 << 48)
        self._turned = self._rows == 1 and not self._text and _is_turned(fields)
        if self._turned:
            self.rows = self._rows = fields[0].axes[-1]
        elif self._width > MOST_ROW:
            raise HeaderError(f"NAXIS1 is {self._width}, rows of up to {MOST_ROW:,} bytes are read")
        self.repeated = repeated_names([field.name for field in fields])
        self._fields = {field.name: field for field in reversed(fields)}
        self._fields = {field.name: self._fields[field.name] for field in fields}

    def _choose(self, parts: Sequence[Part], wanted: Extension) -> Part:
        names = [part.name for part in parts]
        several = {name for name in names if name and names.count(name) > 1}
        told = [part.name + (f",{part.version}" if part.name in several else "") or "(no name)" for part in parts]
        listed = ", ".join(f"{part.number} {name}" for part, name in zip(parts, told, strict=True))
        if isinstance(wanted, int | str):
            word = str(wanted).upper()
            name, comma, version = word.rpartition(",")
            found = [part for part in parts if comma and part.name == name.strip() and part.version == version.strip()]
            found = found or [part for part in parts if word in (str(part.number) if word.isdigit() else part.name,)]
            if found:
                return found[0]
            hint = did_you_mean(word, names)
            raise CatalogueError(f"{self.path}: has no extension {wanted!r}.{hint} It has: {listed}.")
        tables = [part for part in parts if part.is_table]
        for name in wanted or ():
            if name.upper() in names and parts[names.index(name.upper())].is_table:
                return parts[names.index(name.upper())]
        if tables:
            return tables[0]
        broken = next((part for part in parts if part.problem), None)
        if broken is not None:
            raise CatalogueError(f"{self.path}: has a damaged header ({broken.problem}). Fetch or copy it again.")
        if "BASIS_VECTORS" in names:
            raise CatalogueError(
                f"{self.path}: is a set of templates of spectra (redrock's basis vectors), no catalogue. "
                f"It has: {listed}."
            )
        raise CatalogueError(
            f"{self.path}: holds no table, only {listed or 'a header that is cut short'}. A catalogue is needed, no "
            "image; or the file ends before its table (truncated): fetch it again."
        )

    def _check_type(self, part: Part) -> None:
        if not part.is_table:
            raise CatalogueError(
                f"{self.place}: is no table but an image ({part.kind}). Name the extension that holds the "
                f"catalogue ('{self.path.name}[NAME]'), or leave it out to take the first table."
            )
        if part.cards.get("ZTABLE") == "True":
            raise CatalogueError(
                f"{self.place}: is a compressed table (ZTABLE, made by fpack), which is not read here. Unpack it "
                "with funpack first."
            )

    def _check_size(self) -> None:
        start = self._data
        needed = start + (self._width if self._turned else self._width * self._rows)
        if not self._packed and self.path.stat().st_size < needed:
            raise CatalogueError(
                f"{self.path}: is truncated: {self.path.stat().st_size:,} bytes, the table {self.place} needs "
                f"{needed:,}. Fetch or copy it again."
            )

    @property
    def verified(self) -> bool:
        """Whether the file has checksums and they are right; they are compared now, unless reading did."""
        if self._verified is None:
            with open_content(self.path) as stream:
                skip(stream, self._data)
                self._compare(_WordSum().read(stream, self._part.size))
        return bool(self._verified)

    def _compare(self, data: int) -> None:
        """Compare the sum of the data, and that of the header, with the cards."""
        with open_content(self.path) as stream:
            skip(stream, self._part.header)
            header = _WordSum().read(stream, self._data - self._part.header)
        stated = self.cards.get("DATASUM", "")
        known = stated.isdigit() and len(stated) < 12
        wrong_data = known and int(stated) % _ONES != data % _ONES
        whole = self.cards.get("CHECKSUM", "0").strip("0")
        wrong = wrong_data or bool(whole and _ones_complement(header + data) % _ONES)
        self._verified = (known or bool(whole)) and not wrong
        if wrong:
            self.stale(f"the {'data do' if wrong_data else 'header does'} not match the CHECKSUM and DATASUM cards")

    def _column(self, field: Field) -> Column:
        count = field.count if field.letter != "A" else field.words
        if self._turned:
            count //= self._rows
            return Column(field.name, field.kind, count if len(field.axes) > (1 + (field.letter == "A")) else None,
                          field.unit)  # fmt: skip
        if field.letter in "PQ":
            return Column(field.name, field.kind, None if field.kind == "text" else 0, field.unit)
        return Column(field.name, field.kind, count if count != 1 or _is_array(field) else None, field.unit)

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows; when the last is due, checksums are compared."""
        return self.blocks_from(want, 0)

    def blocks_from(self, want: Mapping[str, Want], start: int) -> Iterator[Block]:
        """Yield the wanted columns of row `start` and those behind it."""
        fields = {name: self._fields[name] for name in want}
        for field in fields.values():
            if field.problem:
                raise CatalogueError(f"{self.place}[{field.name}]: {field.problem}. Write the table again without it.")
        if self._turned:
            yield from self._turned_blocks(fields, start)
            return
        heap = self._opened_heap() if any(field.letter in "PQ" for field in fields.values()) else None
        step = max(1, BLOCK_BYTES // max(self._width, 1))
        with open_content(self.path) as stream:
            skip(stream, self._data + start * self._width)
            sums = _WordSum() if start == 0 and self._verified is None else None
            for at in range(start, self._rows, step):
                count = min(step, self._rows - at)
                content = stream.read(count * self._width)
                if len(content) < count * self._width:
                    row = at + len(content) // max(self._width, 1)
                    raise CatalogueError(f"{self.path}: is truncated: it ends within row {row}. Fetch it again.")
                if sums is not None:
                    sums.add(content)
                    if at + count == self._rows:
                        self._compare(sums.read(stream, self._part.size))
                table = np.frombuffer(content, dtype=np.uint8).reshape(count, self._width)
                yield {name: self._values(field, table, heap, at) for name, field in fields.items()}

    def _values(self, field: Field, table: np.ndarray, heap: np.ndarray | None, start: int) -> np.ndarray:
        cells = np.ascontiguousarray(table[:, field.at : field.at + field.size])
        if self._text:
            return self._from_text(field, cells, start)
        if field.letter in "PQ":
            assert heap is not None
            return self._varying(field, cells.view(TYPES[field.letter]).reshape(len(cells), -1), heap, start)
        shape = (len(cells), field.words if field.letter == "A" else field.count)
        values = _decoded(field, field.letter, cells, shape, self.place)
        return values if shape[1] != 1 or _is_array(field) else values.reshape(-1)

    def _turned_blocks(self, fields: Mapping[str, Field], first: int) -> Iterator[Block]:
        """Yield the columns of a table whose one row holds whole columns, from row `first` on."""
        sizes = {name: field.size // self._rows for name, field in fields.items()}
        step = max(1, BLOCK_BYTES // max(1, sum(sizes.values())))
        if self._packed:
            raise CatalogueError(f"{self.path}: is a packed column-oriented table, which is not read here. Unpack it.")
        with open_content(self.path) as stream:
            for start in range(first, self._rows, step):
                count, block = min(step, self._rows - start), Block()
                for name, field in fields.items():
                    stream.seek(self._data + field.at + start * sizes[name])
                    content = stream.read(count * sizes[name])
                    cells = np.frombuffer(content, dtype=np.uint8).reshape(count, sizes[name])
                    width = self.columns[name].width
                    values = _decoded(field, field.letter, cells, (count, width or 1), self.place)
                    block[name] = values.reshape(-1) if width is None else values
                yield block

    def _opened_heap(self) -> np.ndarray:
        """Return the bytes behind the rows, where values of varying length stand."""
        offset, size = self._heap[0], self._heap[1] - (self._heap[0] - self._width * self._rows)
        if size <= 0:
            return np.zeros(0, dtype=np.uint8)
        if self._packed:
            with open_content(self.path) as stream:
                skip(stream, self._data + offset)
                return np.frombuffer(stream.read(min(size, 1 << 30)), dtype=np.uint8)
        size = min(size, self.path.stat().st_size - self._data - offset)
        if size <= 0:
            return np.zeros(0, dtype=np.uint8)
        return np.memmap(self.path, dtype=np.uint8, mode="r", offset=self._data + offset, shape=(size,))

    def _varying(self, field: Field, descriptors: np.ndarray, heap: np.ndarray, start: int) -> np.ndarray:
        """Return a column of varying length, whose rows say how many values stand where in the heap."""
        if descriptors.shape[1] == 0:
            return np.full((len(descriptors), 0), np.nan)
        counts, offsets = descriptors.astype(np.int64).T
        each = SIZES[field.element]
        sizes = -(-counts // 8) if field.element == "X" else counts * each
        wrong = (counts < 0) | (counts > MOST_VALUES) | (offsets < 0) | (offsets > len(heap) - sizes)
        wrong &= counts != 0
        if wrong.any():
            raise CatalogueError(
                f"{self.place}[{field.name}]: the values of row {start + int(wrong.argmax())} lie beyond the end of "
                "the file or of its table. It is truncated or damaged: fetch it again."
            )
        if field.kind == "text":
            rows = [heap[a : a + n].tobytes().split(b"\0")[0] for a, n in zip(offsets, sizes, strict=True)]
            return np.strings.strip(np.array([row.decode("latin-1") for row in rows], dtype=str))
        # Rows of equal length, which is usual, are gathered at once; and memory is asked for by blocks.
        if len(counts) and counts[0] > 0 and (counts == counts[0]).all() and len(counts) * sizes[0] <= 4 * BLOCK_BYTES:
            cells = heap[offsets[:, None] + np.arange(sizes[0])]
            return _decoded(field, field.element, cells, (len(counts), int(counts[0])), self.place)
        if int(sizes.sum()) > 16 * BLOCK_BYTES:
            raise CatalogueError(f"{self.place}[{field.name}]: rows of {counts.max():,} values are not read here.")
        parts = [
            _decoded(field, field.element, heap[a : a + size].reshape(1, -1), (1, int(n)), self.place)[0] if n else None
            for a, size, n in zip(offsets, sizes, counts, strict=True)
        ]
        return stack_rows(parts, field.name, self.place, start)

    def _from_text(self, field: Field, cells: np.ndarray, start: int) -> np.ndarray:
        """Return a column of an ASCII table."""
        if field.size == 0:
            return np.full(len(cells), "" if field.letter == "A" else np.nan)
        words = np.strings.strip(np.char.decode(cells.view(f"S{field.size}").reshape(-1), "latin-1"))
        if field.letter == "A":
            return words
        missing = (words == "") | (words == (field.text_null or ""))
        words = np.where(missing, "0", np.strings.replace(np.strings.upper(words), "D", "E"))
        try:
            values: np.ndarray = words.astype(np.int64 if field.letter == "K" else np.float64)
        except (ValueError, OverflowError) as error:
            raise CatalogueError(
                f"{self.place}[{field.name}]: holds what is no number after row {start} ({error}). Fetch it again."
            ) from error
        if field.scaled and field.whole and field.letter == "K":
            values = NumberPacking(zero=np.array([field.zero], dtype=object)).unpacked(
                values, f"{self.place}[{field.name}]"
            )
        elif field.scaled:
            values = values * field.scale + field.zero
        return np.ma.MaskedArray(values, missing) if missing.any() else values


def _called(part: Part, parts: Sequence[Part]) -> str:
    """Return by what a part is chosen: its name if it is the first of it, else its number, as where it has none."""
    first = next(one for one in parts if one.name == part.name)
    return part.name if part.name and first is part and not part.name.isdigit() else str(part.number)


def _is_array(field: Field) -> bool:
    """Return whether a column of one value a row is declared as an array."""
    return field.letter not in "APQ" and len(field.axes) > 0


def _is_turned(fields: Sequence[Field]) -> bool:
    """Return whether the one row of a table holds whole columns, all of one length."""
    lengths = {field.axes[-1] if field.axes else 0 for field in fields}
    if len(lengths) != 1 or min(lengths) < 2:
        return False
    return all(field.letter not in "XPQ" and field.count == int(np.prod(field.axes, dtype=object)) for field in fields)


def _decoded(field: Field, letter: str, cells: np.ndarray, shape: tuple[int, int], place: str) -> np.ndarray:
    """Return bytes of some rows as values of a shape: text stripped, scaled, masked where the file says so."""
    place = f"{place}[{field.name}]"
    if shape[1] == 0:
        return np.full(shape, np.nan)
    if letter == "L":
        missing = (cells != ord("T")) & (cells != ord("F"))
        values = (cells == ord("T")).reshape(shape)
        return np.ma.MaskedArray(values, missing.reshape(shape)) if missing.any() else values
    if letter == "X":
        return np.unpackbits(cells, axis=1)[:, : shape[1]].astype(bool)
    if letter == "A" and cells.shape[1] == 0:
        return np.full(shape, "")
    if letter == "A":
        size = cells.shape[1] // shape[1]
        raw = np.ascontiguousarray(cells).view(f"S{size}").reshape(shape)
        return np.strings.strip(np.strings.rstrip(np.char.decode(raw, "latin-1"), "\0"))
    stored = np.ascontiguousarray(cells).view(TYPES[letter]).reshape(shape)
    values = native(stored) if not stored.dtype.isnative else stored.copy()
    hidden = values == field.null if field.null is not None and values.dtype.kind in "iu" else None
    if field.scaled and field.unsigned:
        dtype, turn = _SIGNS[letter]
        # Adding 2^(bits-1) modulo 2^bits turns the sign bit.
        bits = np.dtype(f"u{values.itemsize}")
        values = (values.view(bits) ^ np.array(turn, dtype=bits)).view(dtype)
    elif field.scaled and field.whole and values.dtype.kind in "iu":
        missing = () if field.null is None else (field.null,)
        return NumberPacking(None, np.array([field.zero], dtype=object), missing).unpacked(values, place)
    elif field.scaled:
        values = values * float(field.scale) + float(field.zero)
    return values if hidden is None or not hidden.any() else np.ma.MaskedArray(values, hidden)


def pixel_wavelengths(header: Header, n: int, path: Path) -> np.ndarray:
    """Return the wavelengths of the pixels of an image of one row, linear or logarithmic.

    Parameters
    ----------
    header : Header
        Of the image: CRVAL1 with CDELT1 (or CD1_1), CRPIX1, CTYPE1, CUNIT1; or SDSS's COEFF0, COEFF1.
    n : int
        How many pixels there are.
    path : Path
        For messages.

    Returns
    -------
    array of float64, shape (n,)
        Å, in the medium that CTYPE1 names.

    Raises
    ------
    CatalogueError
        If there are none, or none of a kind that is known.

    References
    ----------
    Greisen et al. (2006), A&A 446, 747 (WAVE, AWAV and their logarithms); IRAF's DC-FLAG and SDSS's COEFF0 are
    decimal logarithms of Å.
    """
    if "COEFF0" in header:
        return np.asarray(10.0 ** (header["COEFF0"] + header["COEFF1"] * np.arange(n)))
    kind = str(header.get("CTYPE1", "")).strip().upper()
    step = header.get("CDELT1", header.get("CD1_1"))
    if "CRVAL1" not in header or not step:
        raise CatalogueError(f"{path}: is an image whose header gives no wavelengths (CRVAL1 with CDELT1, or COEFF0).")
    at = (np.arange(1, n + 1) - float(header.get("CRPIX1", 1.0))) * float(step)
    first = float(header["CRVAL1"])
    if step == 1 and first + at[0] in (0, 1):
        raise CatalogueError(f"{path}: its header numbers the pixels (CRVAL1, CDELT1) and gives no wavelengths.")
    named = kind in ("LOGLAM", "LOGLAMBDA", "LOG-LAMBDA", "LOGWAVE")
    logs = named or header.get("DC-FLAG") == 1
    if kind in ("WAVE-LOG", "AWAV-LOG"):
        wave = first * np.exp(at / first)
    elif named or kind in ("", "WAVE", "AWAV", "LINEAR", "LAMBDA", "WAVELENGTH", "PIXEL"):
        wave = first + at
    else:
        raise CatalogueError(f"{path}: its first axis is {kind!r}, which is not read here; wavelengths are expected.")
    if logs:
        with np.errstate(over="ignore"):
            return np.asarray(10.0**wave)
    return np.asarray(angstroms(header.get("CUNIT1"), path) * wave)
