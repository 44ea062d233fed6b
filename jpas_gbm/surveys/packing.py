"""What files hold, made plain: streams unpacked within bounds; text that spells numbers, booleans or quoted strings."""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import lzma
import os
import pickletools
import re
import stat
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import CatalogueError
from ..text import short
from .spelling import SEXAGESIMAL, SEXAGESIMAL_HINT

_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}

_UNREAD = {
    b"PK\x03\x04": ("a zip archive", "unzip"),
    b"\x28\xb5\x2f\xfd": ("packed with Zstandard", "zstd -d"),
    b"\x1f\x9d": ("packed with compress", "uncompress"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x"),
    b"\x04\x22\x4d\x18": ("packed with LZ4", "lz4 -d"),
}

FREE_BYTES = 64 << 20
"""Unpacked bytes up to which any packing is believed."""

MOST_TIMES = 250
"""Beyond :data:`FREE_BYTES` a file may unpack to this many times its size; tables stay far below."""

_FAULTS = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)


def _packing(head: bytes) -> bytes | None:
    """Return the magic bytes of the packing that is read here of a file that begins so, or None."""
    return next((magic for magic in _OPENERS if head.startswith(magic)), None)


def check_file(path: Path) -> bytes:
    """Check that a path names a regular file with content, and return its first bytes as they are stored.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bytes
        Up to 512.

    Raises
    ------
    CatalogueError
        If it is missing, a folder, a pipe or a device, empty, unreadable or packed in a way that is not read here.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise CatalogueError(f"{path}: is a folder, a table file is needed. Name the file in it.")
        if not stat.S_ISREG(mode):
            raise CatalogueError(
                f"{path}: is no regular file but a pipe or a device, which cannot be read twice. Save what it gives "
                "as a file and name that."
            )
        with open(path, "rb") as stream:
            head = stream.read(512)
    except FileNotFoundError as error:
        raise CatalogueError(f"{path}: there is no such file.") from error
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{path}: cannot be read ({error}).") from error
    if not head:
        raise CatalogueError(f"{path}: is empty (no content). Copy or download it again.")
    if head.startswith(b"PK\x03\x04") and path.suffix.lower() == ".npz":
        raise CatalogueError(f"{path}: is a bundle of NumPy arrays (.npz), such as spectra or templates, no catalogue.")
    for magic, (what, tool) in _UNREAD.items():
        if head.startswith(magic):
            raise CatalogueError(f"{path}: is {what}, which is not read here. Unpack it first ({tool}).")
    if head[257:262] == b"ustar":
        raise CatalogueError(f"{path}: is a tar archive, which is not read here. Unpack it first (tar -xf).")
    return head


def is_several(path: str | Path) -> bool:
    """Return whether a path names a folder or, with a wildcard, any number of files.

    Parameters
    ----------
    path : path
        As it was given.

    Returns
    -------
    bool
        False for the name of a file, even where it has the letters of a wildcard.
    """
    return os.path.isdir(path) or (glob.has_magic(str(path)) and not os.path.exists(path))


def is_packed(path: Path) -> bool:
    """Return whether a file is packed with gzip, bzip2 or xz, whatever its name; see :func:`check_file`.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool
        False for other packings, which are refused.
    """
    return _packing(check_file(path)) is not None


class Unpacked(io.RawIOBase):
    """The content of a packed file as a stream that is read forward, within bounds.

    Parameters
    ----------
    path : Path
        Packed with gzip, bzip2 or xz.

    Raises
    ------
    CatalogueError
        While it is read: if the packing is damaged or ends early, or unpacks to more than any table would.
    """

    def __init__(self, path: Path) -> None:
        magic = _packing(check_file(path))
        assert magic is not None
        self._path = path
        self._most = max(FREE_BYTES, MOST_TIMES * path.stat().st_size)
        self._done = 0
        self._stream = _OPENERS[magic](path, "rb")

    def readable(self) -> bool:
        """Return True.

        Returns
        -------
        bool
            True.
        """
        return True

    def tell(self) -> int:
        """Return the bytes that were unpacked.

        Returns
        -------
        int
            From the beginning of the content.
        """
        return self._done

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read into a buffer; return how many bytes, 0 at the end.

        Parameters
        ----------
        buffer : writable buffer
            Is filled from its beginning.

        Returns
        -------
        int
            Bytes that were read.

        Raises
        ------
        CatalogueError
            If the packing is damaged, or unpacks to more than any table would.
        """
        try:
            content = self._stream.read(len(buffer))
        except _FAULTS as error:
            raise CatalogueError(
                f"{self._path}: cannot be unpacked ({error}). It is truncated or damaged: fetch it again."
            ) from error
        self._done += len(content)
        if self._done > self._most:
            raise CatalogueError(
                f"{self._path}: unpacks to more than {MOST_TIMES} times its size, which no table does. Fetch it "
                "again; if it is right, unpack it first."
            )
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._stream.close()
        super().close()


def open_content(path: Path) -> BinaryIO:
    """Open the content of a file, unpacked where it is packed, for reading forward.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    binary file

    Raises
    ------
    CatalogueError
        As for :func:`check_file`, and while reading as for :class:`Unpacked`.
    """
    if is_packed(path):
        return io.BufferedReader(Unpacked(path), 1 << 18)
    return open(path, "rb")


def skip(stream: BinaryIO, size: int) -> int:
    """Pass over bytes of a stream; return how many there were.

    Parameters
    ----------
    stream : binary file
        As :func:`open_content` returns it.
    size : int
        Bytes to pass.

    Returns
    -------
    int
        `size`, or less at the end.
    """
    if isinstance(getattr(stream, "raw", None), Unpacked):
        passed = 0
        while passed < size and (content := stream.read(min(size - passed, 1 << 20))):
            passed += len(content)
        return passed
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    return stream.seek(min(end, here + size)) - here


_QUOTED = re.compile(r"b?(['\"])(.*)\1")


def unquoted(values: np.ndarray) -> np.ndarray:
    """Return text without the quotes of Python's bytes and strings: ``b'QSO'`` and ``'QSO'`` become ``QSO``.

    Parameters
    ----------
    values : array of str, masked or not

    Returns
    -------
    array of str
        Of the same shape; `values` itself where nothing is quoted.
    """
    text = np.ma.getdata(values).astype(str)
    some = np.flatnonzero(np.logical_or.reduce([np.strings.startswith(text, sign) for sign in ("b'", 'b"', "'", '"')]))
    found = [(row, match[2].strip()) for row in some.tolist() if (match := _QUOTED.fullmatch(str(text.flat[row])))]
    if not found:
        return values
    for row, inner in found:
        text.flat[row] = inner
    return np.ma.MaskedArray(text, np.ma.getmaskarray(values)) if isinstance(values, np.ma.MaskedArray) else text


def spelt_numbers(values: np.ndarray, whole: bool, place: str, start: int) -> np.ndarray:
    """Return text that spells numbers as numbers; what is blank is missing.

    Parameters
    ----------
    values : array of str, shape (n,) or (n, width), masked or not
    whole : bool
        Whether integers are wanted.
    place : str
        Table and column, for messages.
    start : int
        Number of the first row, for messages.

    Returns
    -------
    array of float64, int64 or uint64
        Of the same shape.

    Raises
    ------
    CatalogueError
        If something spells no number.
    """
    words = np.strings.strip(np.ma.getdata(values).astype(str))
    missing = (words == "") | np.ma.getmaskarray(values)
    filled = np.where(missing, "0", words)
    for dtype in (np.int64, np.uint64, int) if whole else (float,):
        with suppress(ValueError, OverflowError):
            numbers = _spelt(filled, dtype)
            if not whole:
                return np.where(missing, np.nan, numbers)
            return np.ma.MaskedArray(numbers, missing) if missing.any() else numbers
    row = next(i for i, word in enumerate(filled.reshape(len(filled), -1)) if not _spells(word, whole))
    hint = SEXAGESIMAL_HINT if SEXAGESIMAL.fullmatch(str(filled[row])) else ""
    if whole and _spells(filled[row], False):
        hint = " It is stored as floating point, which drops digits and corrupts ids above 2^53: write whole numbers."
    said = f"row {start + row} holds {short(str(filled[row]))} where {'an integer' if whole else 'a number'} is needed"
    raise CatalogueError(f"{place}: {said}.{hint}")


def _spelt(words: np.ndarray, dtype: type) -> np.ndarray:
    """Return words as numbers; as int also what floating point holds exactly and writes as 2245.0."""
    if dtype is not int:
        return words.astype(dtype)
    head, point, tail = np.strings.partition(words, ".")
    pointed = (point != "") & (np.strings.strip(tail, "0") == "")
    numbers = np.where(pointed, head, words).astype(np.int64)
    if (np.abs(numbers[pointed].astype(float)) >= 2.0**53).any():
        raise OverflowError
    return numbers


def _spells(words: np.ndarray, whole: bool) -> bool:
    for dtype in (np.uint64, int) if whole else (float,):
        with suppress(ValueError, OverflowError):
            return _spelt(np.asarray(words), dtype).size > 0
    return False


_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0", ".true.", "on"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0", ".false.", "off"})
BLANK = frozenset({"", "nan", "none", "null", "--", "n/a", "<na>"})


def as_text(values: np.ndarray) -> np.ndarray:
    """Return values as stripped text; FITS gives padded bytes.

    Parameters
    ----------
    values : array, shape (n,)
        Text, bytes or objects.

    Returns
    -------
    array of str, shape (n,)
        Stripped.
    """
    if values.dtype.kind == "S":
        return np.char.strip(np.char.decode(values, "utf-8", "replace"))
    if values.dtype.kind == "O":
        values = np.array([v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values], dtype=object)
    return np.char.strip(values.astype(str))


def words_as_numbers(values: np.ndarray, known: Mapping[str, float], column: str, asked: str) -> np.ndarray:
    """Return text as numbers: those that it spells, or those of known words; NaN where it is blank.

    Parameters
    ----------
    values : array of str, shape (n,)
        Text.
    known : mapping of str to float
        Words in lower case, and their numbers.
    column : str
        Its name, for messages.
    asked : str
        What is asked of the column, for messages.

    Returns
    -------
    array of float64, shape (n,)
        NaN where blank.

    Raises
    ------
    CatalogueError
        If a value is neither.
    """
    words, which = np.unique(np.char.lower(as_text(values)), return_inverse=True)
    numbers = np.full(len(words), np.nan)
    for i, word in enumerate(words):
        if word in BLANK:
            continue
        try:
            numbers[i] = known[word] if word in known else float(word)
        except ValueError:
            raise CatalogueError(f"column {column}: holds '{as_text(values)[which == i][0]}', and {asked}.") from None
    return numbers[which]


BOOLEANS = dict.fromkeys(_TRUE, 1.0) | dict.fromkeys(_FALSE, 0.0)
"""Words for true and false, in lower case."""


@dataclass
class _Call:
    """What a pickle would have called, and never does here."""

    name: str = ""
    state: Any = None


class _Inert:
    """A stack machine that builds the lists, tuples and strings of a pickle; a call stays a mark and is not made."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._marks: list[int] = []

    def take(self, code: str, argument: Any) -> None:
        """Do what one instruction says.

        Raises
        ------
        ValueError
            If it is none of those that such values need.
        """
        if code in _PASSED:
            return
        if code.endswith("PUT") or code == "MEMOIZE":
            self._memo[len(self._memo) if argument is None else int(argument)] = self.stack[-1]
        elif code.endswith("GET"):
            self.stack.append(self._memo[int(argument)])
        elif code in _MADE:
            self.stack.append(_MADE[code]())
        elif code == "GLOBAL":
            self.stack.append(_Call(str(argument)))
        elif code in _GATHERED:
            self.stack.append(_GATHERED[code](self._above()))
        elif code in _COUNTED:
            count, make = _COUNTED[code]
            values = [self.stack.pop() for _ in range(count)][::-1]
            self.stack.append(make(values))
        elif code == "MARK":
            self._marks.append(len(self.stack))
        elif code in ("APPEND", "APPENDS"):
            values = self._above() if code == "APPENDS" else [self.stack.pop()]
            self.stack[-1].extend(values)
        elif code == "BUILD":
            state = self.stack.pop()
            self.stack[-1].state = state
        elif any(word in code for word in _PLAIN):
            self.stack.append(argument)
        else:
            raise ValueError(f"{code} in a pickle")

    def _above(self) -> list[Any]:
        """Return what stands above the last mark, and take it away."""
        at = self._marks.pop()
        values = self.stack[at:]
        del self.stack[at:]
        return values


_PASSED = ("PROTO", "FRAME", "STOP")
_PLAIN = ("UNICODE", "INT", "LONG", "FLOAT", "STRING", "BYTES")
_MADE: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False
}  # fmt: skip
_GATHERED: dict[str, Callable[[list[Any]], Any]] = {"LIST": list, "TUPLE": tuple}
_COUNTED: dict[str, tuple[int, Callable[[list[Any]], Any]]] = {
    **{f"TUPLE{n}": (n, tuple) for n in (1, 2, 3)},
    "STACK_GLOBAL": (2, lambda names: _Call(".".join(map(str, names)))),
    "REDUCE": (2, lambda called: _Call(getattr(called[0], "name", ""))),
}


def inert(content: bytes) -> Any:
    """Return what a pickle of lists, tuples and strings holds, without executing it.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    object
        Lists, tuples, strings and numbers.

    Raises
    ------
    ValueError
        If it holds anything else, or is damaged.
    """
    machine = _Inert()
    for code, argument, _ in pickletools.genops(content):
        machine.take(code.name, argument)
    return machine.stack[-1]
