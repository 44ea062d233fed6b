"""Rows of a table in blocks: stacked, cut to a size, joined; their columns as plain numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CatalogueError
from ..run import Later
from ..text import short

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
    lengths = np.array([0 if _absent(row) else np.size(row) for row in values])  # type: ignore[arg-type]
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


def _absent(row: object) -> bool:
    return row is None or row is np.ma.masked


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
        One column or more.

    Returns
    -------
    int
        The length of its columns.
    """
    return len(next(iter(block.values())))


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
        if _masked(blocks, name)
        else np.concatenate([block[name] for block in blocks])
        for name in names
    }


def _masked(blocks: Sequence[Block], name: str) -> bool:
    return any(isinstance(block[name], np.ma.MaskedArray) for block in blocks)


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
    if isinstance(values, np.ma.MaskedArray):
        filled = np.array(np.ma.getdata(values), dtype=dtype)
        filled[np.ma.getmaskarray(values)] = np.nan
        return filled
    return np.array(values, dtype=dtype)


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


def without_hidden(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return values without those that a column of booleans beside them hides: masked, or blank where text.

    Parameters
    ----------
    values : array, shape (n, ...)
    mask : array of bool or str, shape (n, ...)
        True where there is no value; text tables spell it, and a blank hides.

    Returns
    -------
    array, shape (n, ...)
    """
    if mask.dtype.kind in "US":
        mask = ~np.isin(np.strings.lower(np.ma.filled(mask, "")), ("false", "f", "0"))
    hidden = np.ma.filled(mask, True).astype(bool).reshape(values.shape) | np.ma.getmaskarray(values)
    if values.dtype.kind in "US":
        return np.where(hidden, "", np.ma.getdata(values))
    return np.ma.MaskedArray(np.ma.getdata(values), hidden)
