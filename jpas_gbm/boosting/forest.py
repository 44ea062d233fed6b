"""Forest: the trees of a booster as plain arrays, and the same trees packed as bit vectors over bins.

In a packed tree the leaves stand in order from left to right, a bit each. A node that sends a row right strikes out
the leaves of its left side; of the leaves that are left when all nodes have spoken, in any order, the first is the
row's (Lucchese et al. 2015). Values are compared as bins: how many of the cuts of a feature lie below them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

MOST_LEAVES = 64
PLANE = 8
"""Leaves of one byte of a bit vector."""
CUTS = 255
"""Cuts of one column of bins; a feature with more takes several columns."""

LEFT, RIGHT, NUMBER = -1, -2, -3
"""Where a node sends NaN (or 0): left, right, or where a number goes."""


class UnpackableError(ValueError):
    """Trees that no kernel walks; the message says what they have."""


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees of numerical splits, whichever library grew them; arrays of nodes and leaves run tree by tree.

    Parameters
    ----------
    outputs : int
        Trees of a round: tree t adds to output t modulo `outputs`.
    leaves : array of int32, shape (t,)
        Leaves of each tree; a tree of l leaves has l - 1 nodes, the first of which is its root.
    feature : array of int32, shape (m,)
        Feature that a node reads.
    cut : array of float32, shape (m,)
        A number goes left if it is at most the cut.
    nan, zero : array of int8, shape (m,)
        Where NaN and 0 go: :data:`LEFT`, :data:`RIGHT` or as a number (NaN as the number 0).
    left, right : array of int32, shape (m,)
        Children: a node of the tree, counted from 0, or minus 1 minus a leaf.
    value : array of float64 or float32, shape (m + t,)
        Values of leaves, in the type that margins are added up in.
    cover : array of float64, shape (m + t,)
        Training rows of each leaf.
    node_cover : array of float64, shape (m,)
        Training rows of each node.
    tiny : float
        Numbers of at most this size are read as 0.
    """

    outputs: int
    leaves: np.ndarray
    feature: np.ndarray = field(repr=False)
    cut: np.ndarray = field(repr=False)
    nan: np.ndarray = field(repr=False)
    zero: np.ndarray = field(repr=False)
    left: np.ndarray = field(repr=False)
    right: np.ndarray = field(repr=False)
    value: np.ndarray = field(repr=False)
    cover: np.ndarray = field(repr=False)
    node_cover: np.ndarray = field(repr=False)
    tiny: float = 0.0

    def __post_init__(self) -> None:
        if not len(self.leaves) or len(self.leaves) % self.outputs:
            raise UnpackableError(f"{len(self.leaves)} trees for {self.outputs} outputs")
        if self.leaves.max() > MOST_LEAVES:
            raise UnpackableError(f"a tree of {self.leaves.max()} leaves; at most {MOST_LEAVES} are packed")
        if np.isnan(self.cut).any():
            raise UnpackableError("a cut that is not a number")
        place = self.place
        if (np.maximum(self.left, self.right) >= self.leaves[self.tree] - 1).any() or any(
            ((child >= 0) & (child <= place)).any() for child in (self.left, self.right)
        ):
            raise UnpackableError("nodes that do not follow their parents")

    @cached_property
    def tree(self) -> np.ndarray:
        """The tree of each node, int (m,)."""
        return np.repeat(np.arange(len(self.leaves)), self.leaves - 1)

    @cached_property
    def place(self) -> np.ndarray:
        """Each node's place in its tree, int (m,)."""
        return np.arange(len(self.feature)) - (np.cumsum(self.leaves - 1) - (self.leaves - 1))[self.tree]

    @cached_property
    def digest(self) -> str:
        """The same for the same trees."""
        made = hashlib.sha256(f"{self.outputs} {self.tiny} {self.value.dtype}".encode())
        for part in (self.leaves, self.feature, self.cut, self.nan, self.zero, self.left, self.right, self.value):
            made.update(np.ascontiguousarray(part).tobytes())
        return made.hexdigest()

    def leaf_order(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Put the leaves of each tree in order from left to right.

        Returns
        -------
        first, size : array of int, shape (m,)
            The leaves below the left child of each node: the place of the first of them, and their number.
        order : array of int, shape (m + t,)
            The place of each leaf in its tree.
        """
        trees, nodes = len(self.leaves), int(self.leaves.max()) - 1
        child = np.zeros((2, trees, max(nodes, 1)), dtype=np.int64)
        there = np.zeros(child.shape[1:], dtype=bool)
        child[0, self.tree, self.place], child[1, self.tree, self.place] = self.left, self.right
        there[self.tree, self.place] = True
        size = np.ones((2, trees, max(nodes, 1)), dtype=np.int64)
        every = np.arange(trees)
        for j in reversed(range(nodes)):
            for side in (0, 1):
                below = child[side, :, j]
                inner = size[:, every, np.maximum(below, 0)].sum(axis=0)
                size[side, :, j] = np.where(below >= 0, inner, 1)
        first = np.zeros((trees, max(nodes, 1)), dtype=np.int64)
        order = np.zeros((trees, nodes + 1), dtype=np.int64)
        for j in range(nodes):
            for side, start in ((0, first[:, j]), (1, first[:, j] + size[0, :, j])):
                below = child[side, :, j]
                inner, leaf = there[:, j] & (below >= 0), there[:, j] & (below < 0)
                first[every[inner], below[inner]] = start[inner]
                order[every[leaf], -1 - below[leaf]] = start[leaf]
        kept = np.arange(nodes + 1)[None, :] < self.leaves[:, None]
        return first[self.tree, self.place], size[0, self.tree, self.place], order[kept]


@dataclass(frozen=True, eq=False)
class PackedTrees:
    """Trees as lists of comparisons, for each byte of the bit vector of each tree.

    Parameters
    ----------
    planes : int
        Bytes of a bit vector.
    start : array of int32, shape (t * planes + 1,)
        Where the comparisons of each byte begin; their number is a multiple of 4, and not 0.
    node : array of int32, shape (c,)
        The node that each comparison is of; -1 for one that strikes nothing out.
    mask : array of uint8, shape (c,)
        Leaves struck out if the row goes right.
    value : array, shape (t, l)
        Values of the leaves from left to right; l is 8, or a multiple of 16 that holds the largest tree.
    """

    planes: int
    start: np.ndarray
    node: np.ndarray
    mask: np.ndarray
    value: np.ndarray


def pack(forest: Forest) -> PackedTrees:
    """Pack trees.

    Parameters
    ----------
    forest : Forest

    Returns
    -------
    PackedTrees
    """
    trees, planes = len(forest.leaves), -(-int(forest.leaves.max()) // PLANE)
    first, size, order = forest.leaf_order()
    value = np.zeros((trees, PLANE * (planes + planes % 2 if planes > 1 else 1)), dtype=forest.value.dtype)
    value[np.repeat(np.arange(trees), forest.leaves), order] = forest.value
    offsets = PLANE * np.arange(planes)
    low = np.clip(first[:, None] - offsets, 0, PLANE)
    high = np.clip((first + size)[:, None] - offsets, 0, PLANE)
    masks = (1 << high) - (1 << low)
    node, plane = np.nonzero(masks)
    slot = forest.tree[node] * planes + plane
    by_slot = np.argsort(slot, kind="stable")
    count = np.bincount(slot, minlength=trees * planes)
    room = np.maximum(4, 4 * -(-count // 4))
    start = np.concatenate([[0], np.cumsum(room)]).astype(np.int32)
    at = np.arange(len(slot)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start[:-1], count)
    nodes, mask = np.full(start[-1], -1, dtype=np.int32), np.zeros(start[-1], dtype=np.uint8)
    nodes[at], mask[at] = node[by_slot], masks[node, plane][by_slot]
    return PackedTrees(planes, start, nodes, mask, value)


@dataclass(frozen=True, eq=False)
class Columns:
    """How features become columns of bins.

    A column of a feature holds, less 128, how many of 255 of its cuts lie below the value, so that a row goes right
    at cut i if its bin is larger than i. Columns of one feature differ in the cuts, and in what stands for NaN and 0.

    Parameters
    ----------
    feature : array of int32, shape (u,)
        The features that are read, ascending.
    cut_start, cut_count : array of int32, shape (u,)
        Where the cuts of each begin, and how many it has.
    cuts : array of float32, shape (v,)
        Ascending; filled up with infinities to a power of 2 beyond their number, for searches by halving.
    column_start : array of int32, shape (u + 1,)
        Where the columns of each feature begin.
    offset : array of int32, shape (w,)
        The first cut of each column.
    nan, zero : array of int32, shape (w,)
        What stands for NaN, and for 0 (:data:`NUMBER`: its own bin).
    """

    feature: np.ndarray
    cut_start: np.ndarray
    cut_count: np.ndarray
    cuts: np.ndarray
    column_start: np.ndarray
    offset: np.ndarray
    nan: np.ndarray
    zero: np.ndarray

    def within(self, low: int, high: int) -> slice:
        """Return which of `feature` are at least `low` and below `high`.

        Parameters
        ----------
        low, high : int

        Returns
        -------
        slice
        """
        return slice(*np.searchsorted(self.feature, [low, high]).tolist())


def snapped(cut: np.ndarray, tiny: float) -> np.ndarray:
    """Return cuts that part numbers alike where those of at most `tiny` are read as 0: no cut lies among these.

    Parameters
    ----------
    cut : array of float32
    tiny : float

    Returns
    -------
    array of float32
    """
    edge = np.float32(tiny)
    above = np.where((cut >= 0) & (cut <= edge), np.float32(0), cut)
    return np.where((above < 0) & (above >= -edge), -edge if tiny else above, above).astype(np.float32)


def lay_columns(
    feature: np.ndarray, cut: np.ndarray, nan: np.ndarray, zero: np.ndarray, fill: np.ndarray, tiny: float
) -> tuple[Columns, np.ndarray, np.ndarray]:
    """Lay out columns of bins for the nodes of trees.

    Parameters
    ----------
    feature, cut, nan, zero : array, shape (m,)
        As in :class:`Forest`.
    fill : array of float32, shape (m,)
        What stands for NaN before the trees see it; NaN where nothing does.
    tiny : float
        As in :class:`Forest`.

    Returns
    -------
    columns : Columns
    column : array of int32, shape (m,)
        The column that each node reads.
    cut : array of int8, shape (m,)
        A row goes right if its bin there is larger.
    """
    cut = snapped(cut, tiny) + np.float32(0)
    known, inverse = np.unique(feature, return_inverse=True)
    value, count, place = _ranked(inverse, cut, len(known))
    ends = np.cumsum(count)
    # What stands for NaN, as a number of cuts below it.
    filled = np.where(np.isnan(fill), np.float32(0), fill)
    filled[np.abs(filled) <= tiny] = 0
    stand_in = np.empty(len(cut), dtype=np.int64)
    for i in range(len(known)):
        mine = np.flatnonzero(inverse == i)
        stand_in[mine] = np.searchsorted(value[ends[i] - count[i] : ends[i]], filled[mine])
    # NaN goes its own way unless something stands for it; where 0 has a way of its own, so has a 0 that stands for NaN.
    as_number = ~np.isnan(fill) | (nan == NUMBER)
    way = np.where(as_number & (filled == 0) & (zero != NUMBER), zero, np.where(as_number, stand_in, nan))
    keys = np.stack([inverse, place // CUTS, way, zero.astype(np.int64)])
    kinds, column = np.unique(keys, axis=1, return_inverse=True)
    room = np.array([max(4, 1 << int(n).bit_length()) for n in count], dtype=np.int64)
    starts = np.cumsum(room) - room
    filled_up = np.full(room.sum(), np.inf, dtype=np.float32)
    filled_up[np.repeat(starts - (ends - count), count) + np.arange(len(value))] = value
    offset = kinds[1] * CUTS
    columns = Columns(
        feature=known.astype(np.int32),
        cut_start=starts.astype(np.int32),
        cut_count=count.astype(np.int32),
        cuts=filled_up,
        column_start=np.searchsorted(kinds[0], np.arange(len(known) + 1)).astype(np.int32),
        offset=offset.astype(np.int32),
        nan=_code(kinds[2], offset),
        zero=np.where(kinds[3] == NUMBER, NUMBER, _code(kinds[3], offset)).astype(np.int32),
    )
    return columns, column.ravel().astype(np.int32), (place % CUTS - 128).astype(np.int8)


def _ranked(owner: np.ndarray, cut: np.ndarray, owners: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the different cuts, ascending for each owner in turn; how many each has; and the rank of each cut."""
    order = np.lexsort([cut, owner])
    fresh = np.ones(len(cut), dtype=bool)
    whose, what = owner[order], cut[order]
    fresh[1:] = (whose[1:] != whose[:-1]) | (what[1:] != what[:-1])
    count = np.bincount(whose[fresh], minlength=owners)
    place = np.empty(len(cut), dtype=np.int64)
    place[order] = np.cumsum(fresh) - 1
    return what[fresh], count, place - (np.cumsum(count) - count)[owner]


def _code(way: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return the bin of a way (left, right or a number of cuts below), in 0 ... 255."""
    number = np.clip(way - offset, 0, CUTS)
    return np.where(way == LEFT, 0, np.where(way == RIGHT, CUTS, number)).astype(np.int32)
