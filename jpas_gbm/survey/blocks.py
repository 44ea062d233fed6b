"""Consecutive rows of a table, as arrays by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import CatalogueError

Block = dict[str, np.ndarray]
"""Some rows of some columns: plain columns (n,), array columns (n, width); missing is NaN or masked."""


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
    stacked = np.full((len(values), width), np.nan)
    for i in np.flatnonzero(lengths):
        row = values[int(i)]
        if isinstance(row, np.ma.MaskedArray):
            row = np.ma.filled(row.astype(np.float64), np.nan)
        stacked[i] = np.asarray(row, dtype=np.float64)
    return stacked


def _absent(row: object) -> bool:
    return row is None or row is np.ma.masked


def rebatch(blocks: Iterator[Block], rows: int) -> Iterator[Block]:
    """Cut a stream of blocks into blocks of exactly `rows` rows (the last may be shorter)."""
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
    """Return the number of rows of a block."""
    return len(next(iter(block.values())))


def join_blocks(blocks: Sequence[Block]) -> Block:
    """Return blocks as one; masks are kept."""
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
