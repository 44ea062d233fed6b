"""Rows of a table in blocks: stacked, cut to a size, joined; their columns as plain numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import CatalogueError
from ..run import Later
from ..text import short
from .packing import BOOLEANS, words_as_numbers
from .spelling import NULLS, says_nothing

if TYPE_CHECKING:
    import pyarrow.parquet as pq
else:
    pq = Later("pyarrow.parquet")


def stack_rows(values: Sequence[object], name: str, place: str, start: int = 0) -> np.ndarray:
    """Return rows that are sequences of numbers, or None, as one float array, missing entries NaN.

    Parameters
    ----------
    values : sequence
        One sequence a row, as long as most; entries, or a whole row, may be None or masked.
    name, place : str
        The column and the table, for messages.
    start : int
        Row number of the first, for messages.

    Returns
    -------
    array of float64, shape (len(values), width)
        NaN where a row or an entry is missing.

    Raises
    ------
    CatalogueError
        If a row is shorter or longer than the others.
    """
    lengths = np.array([0 if row is None or row is np.ma.masked else np.size(row) for row in values])  # type: ignore[arg-type]
    filled = lengths[lengths > 0]
    width = int(np.bincount(filled).argmax()) if len(filled) else 0
    odd = np.flatnonzero((lengths != width) & (lengths > 0))
    if len(odd):
        raise CatalogueError(
            f"{place}[{name}]: row {start + odd[0]} has {lengths[odd[0]]} values, the others {width} "
            f"({len(odd)} such rows). An array column needs one value a band in every row, empty ones as NaN."
        )
    if len(values) * width > MOST_STACKED:
        raise CatalogueError(f"{place}[{name}]: rows of {width:,} values are not read here.")
    stacked = np.full((len(values), width), np.nan)
    for i in np.flatnonzero(lengths):
        row = values[int(i)]
        if isinstance(row, np.ma.MaskedArray):
            row = np.ma.filled(row.astype(np.float64), np.nan)
        try:
            stacked[i] = np.asarray(row, dtype=np.float64).reshape(width)
        except (ValueError, TypeError) as error:
            raise CatalogueError(
                f"{place}[{name}]: row {start + int(i)} holds what are no numbers ({short(row)})."
            ) from error
    return stacked


BLOCK = 16_384
"""Rows that are worked on at a time where a whole catalogue would need as much memory again."""


def slices(rows: int, size: int = BLOCK) -> list[slice]:
    """Return the slices that cut rows into blocks.

    Parameters
    ----------
    rows : int
        Rows altogether.
    size : int
        Rows of a block, but for the last.

    Returns
    -------
    list of slice
        Rising; none where there are no rows.
    """
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def read_plane(file: pq.ParquetFile, name: str, width: int) -> np.ndarray:
    """Read a column of fixed-size lists block by block into its array: a whole column would be there twice.

    Parameters
    ----------
    file : pyarrow.parquet.ParquetFile
        Open.
    name : str
        The column.
    width : int
        Numbers in each of its lists.

    Returns
    -------
    array of float32, shape (n, width)

    Raises
    ------
    ValueError
        If a row has another number of values.
    """
    plane, done = np.empty((file.metadata.num_rows, width), dtype=np.float32), 0
    for batch in file.iter_batches(BLOCK, columns=[name]):
        block = slice(done, done := done + len(batch))
        plane[block] = batch.column(0).flatten().to_numpy(zero_copy_only=False).reshape(len(batch), width)
    return plane


def rebatch(blocks: Iterator[Block], rows: int) -> Iterator[Block]:
    """Cut a stream of blocks into blocks of exactly `rows` rows (the last may be shorter).

    Parameters
    ----------
    blocks : iterator of dict
        Blocks of any number of rows.
    rows : int
        Rows of each new block.

    Yields
    ------
    dict of str to array
        The next block.
    """
    held: list[Block] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += block_rows(block)
        while count >= rows:
            whole = join_blocks(held)
            yield {name: value[:rows] for name, value in whole.items()}
            held = [{name: value[rows:] for name, value in whole.items()}]
            count -= rows
    if count:
        yield join_blocks(held)


def block_rows(block: Block) -> int:
    """Return the number of rows of a block.

    Parameters
    ----------
    block : dict of str to array
        Its columns.

    Returns
    -------
    int
        The length of its columns; 0 where it has none.
    """
    return len(next(iter(block.values()), ()))


def join_blocks(blocks: Sequence[Block]) -> Block:
    """Return blocks as one; masks are kept.

    Parameters
    ----------
    blocks : sequence of dict
        One or more, of the same columns.

    Returns
    -------
    dict of str to array
        Rows in the order of the blocks.
    """
    if len(blocks) == 1:
        return blocks[0]
    names = blocks[0]
    return {
        name: np.ma.concatenate([block[name] for block in blocks])
        if any(isinstance(block[name], np.ma.MaskedArray) for block in blocks)
        else np.concatenate([block[name] for block in blocks])
        for name in names
    }


MOST_STACKED = 1 << 28
"""Values of one column that are held at a time."""


Block = dict[str, np.ndarray]
"""Some rows of some columns: plain columns (n,), array columns (n, width); missing is NaN or masked."""


def as_float(values: np.ndarray) -> np.ndarray:
    """Return a fresh floating array, masked entries NaN; float32 stays float32.

    Parameters
    ----------
    values : array of any shape
        Numbers, masked or not.

    Returns
    -------
    array of float32 or float64
        A copy.
    """
    dtype = values.dtype if values.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    filled = np.array(np.ma.getdata(values), dtype=dtype)
    if isinstance(values, np.ma.MaskedArray):
        filled[np.ma.getmaskarray(values)] = np.nan
    return filled


MOST_MAGNITUDES = 50.0


def is_magnitude(values: np.ndarray) -> np.ndarray:
    """Return which AB magnitudes are between 0 and 50; no source of any survey is beyond: what is stands for missing.

    Parameters
    ----------
    values : array of any shape
        NaN where missing.

    Returns
    -------
    array of bool
        False for NaN.
    """
    with np.errstate(invalid="ignore"):
        return (values > 0) & (values < MOST_MAGNITUDES)


def flag_bits(values: np.ndarray, name: str, place: str) -> np.ndarray:
    """Return flags as integers; missing ones are 0.

    Parameters
    ----------
    values : array, shape (n,) or (n, b)
        Integers, or floats without fractions.
    name, place : str
        The column and the table, for messages.

    Returns
    -------
    array of integer
        Of the same shape.

    Raises
    ------
    CatalogueError
        If they hold fractions.
    """
    if values.dtype.kind in "iub":
        return np.ma.filled(values, 0)
    numbers = np.nan_to_num(as_float(values), nan=0.0)
    if (numbers != np.round(numbers)).any():
        raise CatalogueError(f"{place}[{name}]: holds fractions; flags are integers made of bits.")
    return numbers.astype(np.int64)


def without_hidden(values: np.ndarray, mask: np.ndarray, column: str) -> np.ndarray:
    """Return values without those that a column of booleans beside them hides: masked, or blank where text.

    Parameters
    ----------
    values : array, shape (n, ...)
    mask : array of bool or str, shape (n, ...)
        True where there is no value; text tables spell it, and a blank hides.
    column : str
        That of the mask, for messages.

    Returns
    -------
    array, shape (n, ...)

    Raises
    ------
    CatalogueError
        If a word is neither true nor false.
    """
    if mask.dtype.kind in "USO":
        words = np.ma.filled(mask, "").reshape(-1)
        mask = words_as_numbers(words, BOOLEANS, column, "true or false is expected, of values that are hidden") != 0
    hidden = np.ma.filled(mask, True).astype(bool).reshape(values.shape) | np.ma.getmaskarray(values)
    if values.dtype.kind in "US":
        return np.where(hidden, "", np.ma.getdata(values))
    return np.ma.MaskedArray(np.ma.getdata(values), hidden)


@dataclass
class Spelt:
    """As what a column of a text table is read so that its numbers keep their digits.

    Parameters
    ----------
    whole : bool
        Whether all words are integers of 64 bits, written without a needless zero or sign.
    real : bool
        Whether all are numbers that floating point has with all digits that are written.
    missing : bool
        Whether any word stands for none.
    """

    whole: bool = True
    real: bool = True
    missing: bool = False

    def hear(self, words: np.ndarray) -> None:
        """Take in the words of a block.

        Parameters
        ----------
        words : array of str, shape (n,)
        """
        blank = np.isin(words, NULLS)
        self.missing = self.missing or bool(blank.any())
        words = words[~blank]
        with suppress(ValueError, OverflowError):
            if ((integers := words.astype(np.int64)).astype(str) == words).all():
                self.real = self.real and bool((np.abs(integers.astype(float)) < 2.0**53).all())
                return
        self.whole = False
        if not self.real:
            return
        bare = np.strings.lstrip(words, "+-")
        digits = np.strings.isdigit(bare)
        odd = digits & np.strings.startswith(bare, "0") & (np.strings.str_len(bare) > 1)
        odd |= (digits & np.strings.startswith(words, "+")) | (np.strings.find(words, "_") >= 0)
        self.real = False
        with suppress(ValueError):
            odd |= digits & (np.abs(numbers := words.astype(np.float64)) >= 2.0**53)
            self.real = not odd.any() and not _lose_digits(words, numbers)

    @property
    def want(self) -> Literal["int", "float", "text"]:
        """What keeps every digit."""
        return "int" if self.whole else "float" if self.real else "text"


def _lose_digits(words: np.ndarray, numbers: np.ndarray) -> bool:
    """Return whether any word would be another were its number written with as many digits; 15 are always kept."""
    size = np.abs(numbers)
    long = (np.strings.str_len(words) > 15) | np.isinf(size) | (size < 1e-300)
    for number, word in zip(numbers[long].tolist(), words[long].tolist(), strict=True):
        # Most programs write what repr does, and that is asked at once.
        digits = "" if repr(number) == word else re.sub(r"[eE].*|[^\d]", "", word).strip("0")
        if digits and f"{number:.{len(digits) - 1}e}".partition("e")[0].replace(".", "").strip("-0") != digits:
            return True
    return False


_WHOLE = re.compile(r"[+-]?\d{1,30}")
_PACKED = {
    "scale": ("scale_factor", "tscal", "scale"),
    "zero": ("add_offset", "tzero", "offset"),
    "missing": ("_fillvalue", "missing_value", "fill_value", "tnull"),
}
"""Words of netCDF, FITS and others in lower case. Some multiply by what they call scale, others divide by it."""


def is_packing(word: str) -> bool:
    """Return whether an attribute of this name states how numbers are packed.

    Parameters
    ----------
    word : str

    Returns
    -------
    bool
    """
    return any(word.lower() in words for words in _PACKED.values())


@dataclass(frozen=True, eq=False)
class NumberPacking:
    """How numbers are stored: times the scale plus the zero they are those meant, but for those that stand for none.

    Parameters
    ----------
    scale, zero : array, shape (1,) or (width,), optional
        Of the row or of each of its values; None for 1 and 0. Zeros are Python's numbers, integers of any size.
    missing : tuple of int or float
        As stored.
    """

    scale: np.ndarray | None = None
    zero: np.ndarray | None = None
    missing: tuple[float, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether integers stay integers."""
        return self.scale is None and (self.zero is None or all(one == int(one) for one in self.zero))

    @classmethod
    def of(cls, attributes: Mapping[str, object], width: int | None) -> NumberPacking:
        """Return what attributes state of the packing of a column.

        Parameters
        ----------
        attributes : mapping of str to object
            By names that :func:`is_packing` knows.
        width : int or None
            Values a row.

        Returns
        -------
        NumberPacking

        Raises
        ------
        CatalogueError
            If one of them says nothing that can be meant; the column is not named.
        """
        missing = [number for numbers in _stated(attributes, "missing").values() for number in numbers]
        return cls(_factor(attributes, "scale", 1.0, width), _factor(attributes, "zero", 0.0, width), tuple(missing))

    def unpacked(self, values: np.ndarray, column: str) -> np.ndarray:
        """Return the numbers that are meant by those stored, masked where they stand for none.

        Parameters
        ----------
        values : array, shape (n,) or (n, width)
        column : str
            For the message where integers lie beyond 64 bits.

        Returns
        -------
        array of that shape
        """
        hidden = np.isin(values, self._none(values.dtype))
        if self.whole and self.zero is not None and values.dtype.kind in "iu":
            values = _moved(np.where(hidden, 0, values), self.zero, column)
        else:
            values = values if self.scale is None else values * self.scale
            values = values if self.zero is None else values + self.zero.astype(float)
        return np.ma.MaskedArray(values, hidden) if hidden.any() else values

    def _none(self, dtype: np.dtype) -> np.ndarray:
        """Return the numbers that stand for none as stored ones may be: rounded to a float, or whole."""
        if dtype.kind not in "iu":
            return np.array(self.missing, dtype)
        limits = np.iinfo(dtype)
        whole = [int(one) for one in self.missing if limits.min <= one <= limits.max and int(one) == one]
        return np.array(whole, dtype)


def _moved(values: np.ndarray, zero: np.ndarray, column: str) -> np.ndarray:
    """Return integers plus whole numbers, exactly, in one type for all blocks of a column."""
    by = np.array([int(one) for one in zero], dtype=object)
    kind = np.uint64 if min(by) >= 0 and (values.dtype == np.uint64 or max(by) >= 1 << 63) else np.int64
    ends = [edge.astype(object) + by for edge in (values.min(axis=0), values.max(axis=0))] if values.size else []
    if any(not np.iinfo(kind).min <= end <= np.iinfo(kind).max for end in np.ravel(ends)):
        raise CatalogueError(
            f"{column}: its integers with the offset {short(max(by, key=abs))} lie beyond {np.dtype(kind)}. Mend it."
        )
    # Modulo 2^64, whatever the sign.
    return (values.astype(kind).view(np.uint64) + (by % (1 << 64)).astype(np.uint64)).view(kind)


def _stated(attributes: Mapping[str, object], what: str) -> dict[str, list[float]]:
    """Return the numbers that attributes state of a packing, by their names; refuse what is no number."""
    found: dict[str, list[float]] = {}
    given = {name: of for name, of in attributes.items() if getattr(of, "shape", ()) is not None}  # HDF5's own empty
    for word in (name for name in given if name.lower() in _PACKED[what]):
        for one in np.ravel(np.asarray(attributes[word])).tolist():
            text = one.decode("utf-8", "replace").strip() if isinstance(one, bytes) else str(one).strip()
            if isinstance(one, bytes | str) and (says_nothing(text) or text.lower() == "linear"):
                continue
            try:
                number = one if isinstance(one, int | float) else int(text) if _WHOLE.fullmatch(text) else float(text)
            except ValueError:
                raise CatalogueError(f"its attribute {word} is '{text}', where a number is expected") from None
            found.setdefault(word, []).append(number)
    return found


def _factor(attributes: Mapping[str, object], what: str, neutral: float, width: int | None) -> np.ndarray | None:
    """Return the scale or the zero of a row, shape (1,), or of each of its values; None where nothing is to be done."""
    found = _stated(attributes, what)
    for word, numbers in ((word, np.array(given, dtype=float)) for word, given in found.items()):
        if not np.isfinite(numbers).all() or (what == "scale" and (numbers == 0).any()):
            wrong = numbers[~np.isfinite(numbers) | (numbers == 0)][0]
            raise CatalogueError(f"its attribute {word} is {wrong:g}, by which nothing can be unpacked")
        if len(numbers) not in (1, width or 1):
            raise CatalogueError(f"its attribute {word} has {len(numbers)} values, and a row of it {width or 1}")
        if word.lower() in ("scale", "offset") and (numbers != neutral).any():
            raise CatalogueError(f"its attribute {word} is {numbers[0]:g}, and how it is meant is not known")
        if any(found[word] != other for other in found.values()):
            raise CatalogueError(f"its attributes {' and '.join(found)} differ")
    kind = float if what == "scale" else object
    return next((np.array(given, dtype=kind) for given in found.values() if set(given) != {neutral}), None)
