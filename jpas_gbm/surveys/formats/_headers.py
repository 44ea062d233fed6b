"""Headers of FITS files: what each part of a file is and where, believed only as far as the file bears it out."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits

from ...errors import CatalogueError
from ..packing import open_content, skip
from ..tables import Kind, cards_of

BLOCK = 2880
"""Bytes of a FITS block."""

MOST_HEADER = 4 << 20
MOST_PARTS = 10_000
MOST_ROW = 256 << 20
MOST_COLUMNS = 999

SIZES = {"L": 1, "X": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
TYPES = {"L": "u1", "X": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "P": ">i4"}
TYPES["Q"] = ">i8"
KINDS: dict[str, Kind] = {"L": "bool", "X": "bool", "A": "text", "E": "float", "D": "float"}
KINDS |= dict.fromkeys("BIJK", "int")


class HeaderError(ValueError):
    """A header says what cannot be."""


@dataclass(frozen=True)
class Part:
    """A header of a FITS file and the data that follow it.

    Parameters
    ----------
    number : int
        From 0.
    kind : str
        ``PRIMARY``, ``IMAGE``, ``BINTABLE``, ``TABLE`` or what the header says.
    cards : mapping of str to str
        By keyword.
    header, data : int
        Where the header and the data begin, in bytes.
    size : int
        Bytes of the data, padding included.
    problem : str
        Why its header cannot be understood; empty if it can.
    """

    number: int
    kind: str
    cards: Mapping[str, str]
    header: int
    data: int
    size: int = 0
    problem: str = ""

    @property
    def name(self) -> str:
        """Name in capitals, as extensions are asked for; empty if it has none."""
        return self.cards.get("EXTNAME", "PRIMARY" if self.kind == "PRIMARY" else "").upper()

    @property
    def version(self) -> str:
        """Which it is of those of its name; 1 where nothing is stated."""
        return self.cards.get("EXTVER", "1")

    @property
    def is_table(self) -> bool:
        """Whether it is a table and no packed image."""
        return self.kind in ("BINTABLE", "TABLE", "A3DTABLE") and self.cards.get("ZIMAGE") != "True"

    @property
    def label(self) -> str:
        """Name, or number where it has none, with its version where the file states one."""
        return (self.name or str(self.number)) + (f",{self.cards['EXTVER']}" if "EXTVER" in self.cards else "")

    @property
    def names(self) -> list[str]:
        """Names of its columns."""
        return [value for card, value in self.cards.items() if re.fullmatch(r"TTYPE\d+", card)]

    def whole(self, keyword: str, default: int | None = None, most: int = 1 << 62) -> int:
        """Return an integer of the header, checked.

        Parameters
        ----------
        keyword : str
            Such as NAXIS1.
        default : int, optional
            Value where the keyword is missing; without it, it must be there.
        most : int
            Largest value allowed.

        Returns
        -------
        int
            0 or more.

        Raises
        ------
        HeaderError
            If it is missing, no integer, negative or above `most`.
        """
        text = self.cards.get(keyword)
        if text is None and default is not None:
            return default
        if text is None or not re.fullmatch(r"[+-]?\d{1,20}", text):
            raise HeaderError(f"{keyword} is {text!r}, a whole number is needed")
        value = int(text)
        if not 0 <= value <= most:
            raise HeaderError(f"{keyword} is {value}, from 0 to {most} is possible")
        return value


def _cards(text: str) -> dict[str, str]:
    """Return the cards of a header as text; one that is no FITS is kept as it is spelt and condemns nothing.

    What astropy says in comments of columns that were one object, such as a SkyCoord, is among them.
    """
    found: dict[str, str] = {}
    texts: dict[str, list[str]] = {"COMMENT": [], "HISTORY": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cards = fits.Header.fromstring(text).cards
        for i in range(len(cards)):
            try:
                card = cards[i]
            except Exception:
                # The library raises errors of many kinds on damaged cards.
                continue
            try:
                name, value = str(card.keyword), str(card.value).strip()
            except Exception:
                image = str(getattr(card, "_image", "") or "")
                name, value = image[:8].strip().upper(), image[10:].split("/")[0].strip().strip("'").strip()
            if name in texts:
                texts[name].append(f"{card.value!s:72}")
            elif name:
                found.setdefault(name, value)
    # A full card goes on in the next one.
    whole = {name: "".join(lines).rstrip() for name, lines in texts.items() if lines}
    return _serialized([line.rstrip() for line in texts["COMMENT"]]) | whole | found


_SERIALIZED = re.compile(r"--BEGIN-ASTROPY-SERIALIZED-COLUMNS--\n(.*)\n--END-ASTROPY-SERIALIZED-COLUMNS--", re.DOTALL)


def _serialized(comments: list[str]) -> dict[str, str]:
    """Return as cards what astropy wrote into comments; lines of more than a card end in a backslash."""
    text = _SERIALIZED.search("\n".join(comments))
    if text is None:
        return {}
    from .parquet import ecsv_header

    try:
        return cards_of(dict(ecsv_header(text[1].replace("\\\n", "").splitlines()).get("meta") or {}))
    except (AttributeError, TypeError, ValueError):
        # A comment condemns no table.
        return {}


def _read_header(stream: BinaryIO) -> tuple[str, int] | None:
    """Return the text of the next header and its bytes, or None where no header follows."""
    blocks: list[bytes] = []
    while True:
        block = stream.read(BLOCK)
        if len(block) < BLOCK or (not blocks and not block.startswith((b"SIMPLE  ", b"XTENSION"))):
            return None
        blocks.append(block)
        if any(block[at : at + 8] == b"END     " for at in range(0, BLOCK, 80)):
            break
        if len(blocks) * BLOCK > MOST_HEADER:
            return None
    content = b"".join(blocks)
    return content.decode("latin-1"), len(content)


def _data_size(part: Part) -> int:
    """Return the bytes of the data of a part, padding included."""
    bits = part.cards.get("BITPIX", "")
    if bits not in ("8", "16", "32", "64", "-32", "-64"):
        raise HeaderError(f"BITPIX is {bits or 'missing'}")
    axes = [part.whole(f"NAXIS{i + 1}") for i in range(part.whole("NAXIS", most=999))]
    if axes and axes[0] == 0 and part.cards.get("GROUPS") == "True":
        axes = axes[1:]
    values = 1 if axes else 0
    for axis in axes:
        values *= axis
    size = abs(int(bits)) // 8 * part.whole("GCOUNT", 1) * (part.whole("PCOUNT", 0) + values)
    if size > 1 << 62:
        raise HeaderError(f"its data would have {size:,} bytes")
    return -(-size // BLOCK) * BLOCK


def read_parts(path: Path) -> list[Part]:
    """Return the parts of a FITS file, as far as they can be told.

    Parameters
    ----------
    path : Path
        May be packed.

    Returns
    -------
    list of Part
        The last has a `problem` where its header cannot be understood; what follows is not known then.
    """
    parts: list[Part] = []
    at = 0
    with open_content(path) as stream:
        while len(parts) < MOST_PARTS and (found := _read_header(stream)) is not None:
            text, size = found
            cards = _cards(text)
            kind = "PRIMARY" if not parts else cards.get("XTENSION", "").strip().upper()
            part = Part(len(parts), kind, cards, at, at + size)
            try:
                part = Part(len(parts), kind, cards, at, at + size, _data_size(part))
            except HeaderError as error:
                parts.append(Part(len(parts), kind, cards, at, at + size, problem=str(error)))
                break
            parts.append(part)
            at = part.data + part.size
            try:
                if skip(stream, part.size) < part.size:
                    break
            except CatalogueError:
                # A packed file that ends early is told when its rows are read, with their number.
                break
    return parts


@dataclass(frozen=True)
class Field:
    """A column of a FITS table.

    Parameters
    ----------
    name, unit : str or None
        As the header states them.
    letter : str
        Its type, as in TFORM; ``A`` to ``X``, ``P`` or ``Q`` for a varying length.
    count : int
        Values in a row; of text, characters.
    at, size : int
        Its first byte in a row, and its bytes.
    element : str
        Type of the values of a column of varying length.
    words : int
        Texts in a row; 1 but for arrays of text.
    scale, zero : float
        TSCAL and TZERO; `zero` is an integer where it is one.
    null : int or None
        TNULL.
    axes : tuple of int
        TDIM.
    problem : str
        Why it cannot be read; empty if it can.
    text_null : str or None
        TNULL of an ASCII table.
    """

    name: str
    unit: str | None
    letter: str
    count: int
    at: int
    size: int
    element: str = ""
    words: int = 1
    scale: float = 1.0
    zero: float | int = 0
    null: int | None = None
    axes: tuple[int, ...] = ()
    problem: str = ""
    text_null: str | None = None

    @property
    def kind(self) -> Kind:
        """What it holds."""
        if self.letter in "PQ":
            return "text" if self.element == "A" else "object"
        kind = KINDS.get(self.letter, "object")
        return "float" if kind == "int" and not self.whole else kind

    @property
    def scaled(self) -> bool:
        """Whether stored values are not the meant ones."""
        return self.scale != 1 or self.zero != 0

    @property
    def whole(self) -> bool:
        """Whether integers stay integers."""
        return self.scale == 1 and self.zero == int(self.zero)

    @property
    def unsigned(self) -> bool:
        """Whether TZERO only turns signed integers into unsigned ones, or bytes into signed ones."""
        offsets = {"B": -128, "I": 1 << 15, "J": 1 << 31, "K": 1 << 63}
        letter = self.element or self.letter
        return self.scale == 1 and self.zero == offsets.get(letter, 0) != 0


def _number(part: Part, keyword: str, default: float) -> float | int:
    text = part.cards.get(keyword, "").strip()
    if not text:
        return default
    if re.fullmatch(r"[+-]?\d{1,30}", text):
        return int(text)
    try:
        value = float(text.upper().replace("D", "E"))
    except ValueError:
        raise HeaderError(f"{keyword} is {text!r}, a number is needed") from None
    if not np.isfinite(value):
        raise HeaderError(f"{keyword} is {text!r}, a finite number is needed")
    return value


def _axes(part: Part, i: int) -> tuple[int, ...]:
    found = re.fullmatch(r"\s*\(([\d\s,]+)\)\s*", part.cards.get(f"TDIM{i}", ""))
    numbers = [word.strip() for word in found.group(1).split(",")] if found else []
    return tuple(map(int, numbers)) if numbers and all(0 < len(word) < 16 for word in numbers) else ()


def _field(part: Part, i: int, at: int) -> Field:
    """Return column `i`, from 1, of a binary table, which begins at byte `at` of a row."""
    form = part.cards.get(f"TFORM{i}", "")
    found = re.match(r"\s*(\d{0,12})([LXBIJKAEDCMPQ])\s*(.*)", form.upper())
    if not found:
        raise HeaderError(f"TFORM{i} is {form!r}, which is no type of a binary table")
    count, letter, rest = int(found.group(1) or 1), found.group(2), found.group(3)
    size = -(-count // 8) if letter == "X" else count * SIZES[letter]
    name, unit = part.cards.get(f"TTYPE{i}", f"col{i}"), part.cards.get(f"TUNIT{i}") or None
    problem, element, words, axes = "", "", 1, _axes(part, i)
    scale, zero, null = 1.0, 0.0, None
    try:
        scale, zero = _number(part, f"TSCAL{i}", 1.0), _number(part, f"TZERO{i}", 0)
        null = None if f"TNULL{i}" not in part.cards else int(_number(part, f"TNULL{i}", 0))
    except HeaderError as error:
        problem = str(error)
    if letter in "PQ":
        element = rest[:1]
        if count > 1 or element not in TYPES | {"A": ""} or element in "PQ":
            problem = f"TFORM{i} is {form!r}, of which no values are read here"
    if letter in "CM":
        problem = f"TFORM{i} is {form!r}: complex numbers are not read here"
    if letter == "A" and len(axes) > 1 and axes[0] and int(np.prod(axes, dtype=object)) == count:
        words = count // axes[0]
    return Field(name, unit, letter, count, at, size, element, words, scale, zero, null, axes, problem)


def binary_fields(part: Part) -> list[Field]:
    """Return the columns of a binary table.

    Parameters
    ----------
    part : Part
        Header of a binary table.

    Returns
    -------
    list of Field
        In the order of the file.

    Raises
    ------
    HeaderError
        If they cannot be told, or do not fill the rows.
    """
    fields: list[Field] = []
    at = 0
    for i in range(1, part.whole("TFIELDS", most=MOST_COLUMNS) + 1):
        fields.append(_field(part, i, at))
        at += fields[-1].size
    width = part.whole("NAXIS1")
    if at != width:
        raise HeaderError(f"rows of {width} bytes, columns of {at}")
    return fields


def ascii_fields(part: Part) -> list[Field]:
    """Return the columns of an ASCII table, whose letters are A, K or D.

    Parameters
    ----------
    part : Part
        Header of an ASCII table.

    Returns
    -------
    list of Field
        In the order of the file.

    Raises
    ------
    HeaderError
        If they cannot be told, or lie beyond the rows.
    """
    fields: list[Field] = []
    width = part.whole("NAXIS1", most=MOST_ROW)
    for i in range(1, part.whole("TFIELDS", most=MOST_COLUMNS) + 1):
        form = part.cards.get(f"TFORM{i}", "")
        found = re.fullmatch(r"\s*([AIFED])\s*(\d{1,6})?(?:\.(\d{1,6}))?\s*", form.upper())
        if not found:
            raise HeaderError(f"TFORM{i} is {form!r}, which is no type of an ASCII table")
        at, size = part.whole(f"TBCOL{i}") - 1, int(found.group(2) or 1)
        if at < 0 or at + size > width:
            raise HeaderError(f"column {i} ends at character {at + size} of rows of {width}")
        letter = {"A": "A", "I": "K"}.get(found.group(1), "D")
        name, unit = part.cards.get(f"TTYPE{i}", f"col{i}"), part.cards.get(f"TUNIT{i}") or None
        scale, zero = _number(part, f"TSCAL{i}", 1.0), _number(part, f"TZERO{i}", 0)
        null = part.cards.get(f"TNULL{i}")
        count = size if letter == "A" else 1
        fields.append(Field(name, unit, letter, count, at, size, scale=scale, zero=zero, text_null=null))
    return fields
