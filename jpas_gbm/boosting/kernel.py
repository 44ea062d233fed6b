"""Trees packed as bit vectors over bins, and the compiled loops that walk them.

In a packed tree the leaves stand in order from left to right, a bit each. A node that sends a row right strikes out
the leaves of its left side; of the leaves that are left when all nodes have spoken, in any order, the first is the
row's (Lucchese et al. 2015). Values are compared as bins: how many of the cuts of a feature lie below them.

Rows pass in tiles of :data:`LANES`, a tile being a table of columns by rows. One comparison of a tree is made on all
rows of a tile at once, 64 bytes at a time; a tree of 8 leaves costs a row a sixth of a nanosecond, where LightGBM
takes 20 (benchmarks/kernel.py). Leaves are added up in the order of the trees, as the libraries do: same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..run import Later, compiled
from . import backend
from .backend import LEFT, NUMBER, RIGHT

if TYPE_CHECKING:
    from llvmlite import binding, ir
    from numba import extending
    from numba.core import cgutils, config, types
else:
    ir, binding = Later("llvmlite.ir"), Later("llvmlite.binding")
    extending, config = Later("numba.extending"), Later("numba.core.config")
    cgutils, types = Later("numba.core.cgutils"), Later("numba.core.types")

LANES = 1024
PLANE = 8
"""Leaves of one byte of a bit vector."""
CUTS = 255
"""Cuts of one column of bins; a feature with more takes several columns."""
_ABREAST = 64
"""Rows of one instruction of a comparison."""
_TREE = 128
"""Fewer cuts of a feature than so many are searched by a tree in registers, where these are wide; else by halving."""

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled_loop(function: _Function) -> _Function:
    """Decorate a loop, to be compiled when it is first called, as :func:`~jpas_gbm.run.compiled` does.

    Parameters
    ----------
    function : callable

    Returns
    -------
    callable
    """
    return compiled(function, __file__, backend.__file__)


def _wide_registers() -> bool:
    """Whether code is made for this very processor and it has AVX-512, whose permutations look leaves up."""
    as_is = config.CPU_NAME is None and config.CPU_FEATURES is None
    return as_is and bool(binding.get_host_cpu_features().get("avx512f"))


WIDE: Any = Later(_wide_registers)


def _vector(context: Any, builder: Any, kind: Any, array: Any, at: Any, element: Any, count: int = 8) -> Any:
    """Return elements of an array from a place on, and where they lie."""
    data = context.make_array(kind)(context, builder, array).data
    place = builder.bitcast(builder.gep(data, [at]), ir.VectorType(element, count).as_pointer())
    loaded = builder.load(place)
    loaded.align = 1
    return loaded, place


def _constant(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """Return an element of an array that no loop changes."""
    loaded = builder.load(builder.gep(context.make_array(kind)(context, builder, array).data, [at]))
    loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
    return loaded


def _splat(builder: Any, number: Any, count: int = 8) -> Any:
    """Return a vector of so many times the same number."""
    i32 = ir.IntType(32)
    none = ir.Constant(ir.VectorType(number.type, count), ir.Undefined)
    one = builder.insert_element(none, number, ir.Constant(i32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(i32, count), [0] * count))


def _find_leaf_code(typing, leaf, to, bins, r, column, cut, mask, first, nodes):  # type: ignore[no-untyped-def]
    """Set ``leaf.flat[to + r + i]``, i < 64, to the first leaf that no node of a tree of 8 leaves strikes out.

    Of each of `nodes`, a tuple of numbers from `first` on, the mask is struck out where bins[column, r + i] > cut.
    """
    quick = _wide_registers() and bool(binding.get_host_cpu_features().get("gfni"))

    def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
        i8, i64 = ir.IntType(8), ir.IntType(64)
        bytes_ = ir.VectorType(i8, _ABREAST)
        turned, counted = ir.FunctionType(bytes_, [bytes_, bytes_, i8]), ir.FunctionType(bytes_, [bytes_])
        if quick:
            turn = cgutils.get_or_insert_function(builder.module, turned, "llvm.x86.vgf2p8affineqb.512")
        count = cgutils.get_or_insert_function(builder.module, counted, f"llvm.ctpop.v{_ABREAST}i8")
        left = ir.Constant(bytes_, [-1] * _ABREAST)
        for node in range(len(nodes)):
            at = builder.add(args[7], ir.Constant(i64, node))
            j, u, m = (
                _constant(context, builder, *one, at) for one in zip((column, cut, mask), args[4:7], strict=True)
            )
            where = builder.add(builder.mul(builder.sext(j, i64), ir.Constant(i64, LANES)), args[3])
            values, _ = _vector(context, builder, bins, args[2], where, i8, _ABREAST)
            right, stay = builder.icmp_signed(">", values, _splat(builder, u, _ABREAST)), builder.not_(m)
            if quick:
                # A product with a matrix of bits can be made for some bytes alone, which "and" cannot.
                every = builder.mul(builder.zext(stay, i64), ir.Constant(i64, 0x0101010101010101))
                matrix = _splat(builder, builder.and_(every, ir.Constant(i64, 0x0102040810204080)))
                there = builder.call(turn, [left, builder.bitcast(matrix, bytes_), ir.Constant(i8, 0)])
            else:
                there = builder.and_(left, _splat(builder, stay, _ABREAST))
            left = builder.select(right, there, left)
        below = builder.and_(builder.not_(left), builder.sub(left, ir.Constant(bytes_, [1] * _ABREAST)))
        _, place = _vector(context, builder, leaf, args[0], builder.add(args[1], args[3]), i8, _ABREAST)
        builder.store(builder.call(count, [below]), place).align = 1
        return context.get_dummy_value()

    return types.void(leaf, types.int64, bins, types.int64, column, cut, mask, types.int64, nodes), code


def _descend_code(typing, below, r, value, trees, at, levels):  # type: ignore[no-untyped-def]
    """Set ``below[r + i]``, i < 16, to the number of cuts below ``value[r + i]``, by a search tree of cuts.

    The tree of `levels`, a tuple, begins at `at` of the flat array `trees`: the root is its element 1, and the sons of
    element k are 2 k and 2 k + 1. Whole levels lie in registers, where a permutation looks them up.
    """

    def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
        f32, i32, i64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
        floats, numbers = ir.VectorType(f32, 16), ir.VectorType(i32, 16)
        one_of, two_of = (ir.FunctionType(floats, given) for given in ([floats, numbers], [floats, numbers, floats]))
        pick_one = cgutils.get_or_insert_function(builder.module, one_of, "llvm.x86.avx512.permvar.sf.512")
        pick_two = cgutils.get_or_insert_function(builder.module, two_of, "llvm.x86.avx512.vpermi2var.ps.512")

        def part(place):  # type: ignore[no-untyped-def]
            where = builder.add(args[4], ir.Constant(i64, place))
            loaded, _ = _vector(context, builder, trees, args[3], where, f32, 16)
            loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
            return loaded

        x, _ = _vector(context, builder, value, args[2], args[1], f32, 16)
        k = ir.Constant(numbers, [0] * 16)
        for level in range(len(levels)):
            parts = [part((1 << level) + 16 * i) for i in range(max(1, (1 << level) // 16))]
            if len(parts) == 1:
                cuts = builder.call(pick_one, [parts[0], k])
            else:
                cuts = builder.call(pick_two, [parts[0], k, parts[1]])
            if len(parts) == 4:
                later = builder.icmp_unsigned(">", k, ir.Constant(numbers, [31] * 16))
                cuts = builder.select(later, builder.call(pick_two, [parts[2], k, parts[3]]), cuts)
            right = builder.zext(builder.fcmp_ordered(">", x, cuts), numbers)
            k = builder.or_(builder.add(k, k), right)
        _, place = _vector(context, builder, below, args[0], args[1], i32, 16)
        builder.store(k, place).align = 4
        return context.get_dummy_value()

    return types.void(below, types.int64, value, trees, types.int64, levels), code


def _count_bits_code(typing, bits):  # type: ignore[no-untyped-def]
    """Return how many bits of a byte are set."""
    return bits(bits), lambda context, builder, signature, args: builder.ctpop(args[0])


def _add_eight_code(typing, total, r, value, first, step, leaf, at, trees):  # type: ignore[no-untyped-def]
    """Add to ``total[r + i]``, i < 8, what some trees of 8 leaves say there: ``leaf.flat[at + LANES * t + r + i]``.

    t runs over `trees`, a tuple; values begin at `first`, `step` apart. They and the sums stay in registers.
    """

    def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
        double, i64 = ir.DoubleType(), ir.IntType(64)
        numbers, doubles = ir.VectorType(i64, 8), ir.VectorType(double, 8)
        kind = ir.FunctionType(doubles, [doubles, numbers])
        pick = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.permvar.df.512")
        leaves_at = context.make_array(leaf)(context, builder, args[5]).data
        sums, place = _vector(context, builder, total, args[0], args[1], double)
        for t in range(len(trees)):
            where = builder.add(args[3], builder.mul(args[4], ir.Constant(i64, t)))
            table, _ = _vector(context, builder, value, args[2], where, double)
            table.set_metadata("invariant.load", builder.module.add_metadata([]))
            # Only the lowest 3 bits of each number count: 8 bytes, each shifted down to where they lie.
            data = builder.gep(leaves_at, [builder.add(builder.add(args[1], args[6]), ir.Constant(i64, t * LANES))])
            bytes_ = builder.load(builder.bitcast(data, i64.as_pointer()))
            bytes_.align = 1
            leaves = builder.lshr(_splat(builder, bytes_), ir.Constant(numbers, list(range(0, 64, 8))))
            sums = builder.fadd(sums, builder.call(pick, [table, leaves]))
        builder.store(sums, place).align = 8
        return context.get_dummy_value()

    return types.void(total, types.int64, value, types.int64, types.int64, leaf, types.int64, trees), code


_descend: Any = Later(lambda: extending.intrinsic(_descend_code))
_find_leaf: Any = Later(lambda: extending.intrinsic(_find_leaf_code))
_count_bits: Any = Later(lambda: extending.intrinsic(_count_bits_code))
_add_eight: Any = Later(lambda: extending.intrinsic(_add_eight_code))


def loaded() -> bool:
    """Return whether the compiler of the loops is there in this process.

    Returns
    -------
    bool
    """
    return not isinstance(sum_leaves, Later) or "made" in vars(sum_leaves)


@compiled_loop
def bin_tiles(  # type: ignore[no-untyped-def]
    X, tiny, feature, cut_start, cut_count, cuts, trees, column_start, offset, nan, zero, first, bins, missing
):  # fmt: skip
    """Fill columns of `bins` (tiles, columns, LANES) from `first` on; note in `missing` which features hold NaN.

    X is (n, f) float32, `feature` counts its columns; the other arrays are those of :class:`Columns`.
    """
    n = len(X)
    # A row more than a power of 2: columns of a tile would fall on the same few lines of the cache.
    values = np.zeros((len(feature), LANES + 16), dtype=np.float32)
    below = np.empty(LANES, dtype=np.uint32)
    one = np.uint32(1)
    for tile in range(len(bins)):
        start = tile * LANES
        rows = min(LANES, n - start)
        for r in range(rows):
            for i in range(len(feature)):
                values[i, r] = X[start + r, feature[i]]
        for i in range(len(feature)):
            value = values[i]
            gone = np.int32(0)
            for r in range(LANES):
                x = value[r]
                gone |= np.int32(x != x)
                value[r] = np.float32(0) if abs(x) <= tiny else x
            missing[i] |= gone != 0
            a, count = cut_start[i], cut_count[i]
            if WIDE and count < 64:
                for r in range(0, LANES, 16):
                    _descend(below, r, value, trees, i * _TREE, (0, 1, 2, 3, 4, 5))
            elif WIDE and count < _TREE:
                for r in range(0, LANES, 16):
                    _descend(below, r, value, trees, i * _TREE, (0, 1, 2, 3, 4, 5, 6))
            else:
                below[:] = 0
                step = one
                while 2 * step <= count:
                    step = np.uint32(2 * step)
                while step > 0:
                    for r in range(LANES):
                        at = below[r]
                        below[r] = at + step if value[r] > cuts[a + at + step - one] else at
                    step >>= one
            for c in range(column_start[i], column_start[i + 1]):
                low, of_nan, of_zero = np.int32(offset[c]), np.int32(nan[c]), zero[c]
                column = bins[tile, first + c]
                for r in range(LANES):
                    x = value[r]
                    above = np.int32(min(max(np.int32(np.int32(below[r]) - low), np.int32(0)), np.int32(CUTS)))
                    column[r] = np.int8((above if x == x else of_nan) - np.int32(128))
                if of_zero != NUMBER:
                    for r in range(LANES):
                        if value[r] == 0:
                            column[r] = of_zero - 128


@compiled_loop
def _find_leaves(bins, planes, start, t, column, cut, mask, struck, leaf):  # type: ignore[no-untyped-def]
    """Write the leaf of each row of a tile in one tree: the first that is not struck out."""
    none, one = np.uint8(0), np.uint8(1)
    for plane in range(planes - 1, -1, -1):
        slot, place = t * planes + plane, np.uint8(PLANE * plane)
        keep = none
        for i in range(start[slot], start[slot + 1], 4):
            j0, j1, j2, j3 = column[i], column[i + 1], column[i + 2], column[i + 3]
            u0, u1, u2, u3 = cut[i], cut[i + 1], cut[i + 2], cut[i + 3]
            m0, m1, m2, m3 = mask[i], mask[i + 1], mask[i + 2], mask[i + 3]
            for r in range(LANES):
                s = (m0 if bins[j0, r] > u0 else none) | (m1 if bins[j1, r] > u1 else none)
                s |= (m2 if bins[j2, r] > u2 else none) | (m3 if bins[j3, r] > u3 else none)
                struck[r] = s | (struck[r] & keep)
            keep = np.uint8(255)
        last = plane == planes - 1
        for r in range(LANES):
            s = struck[r]
            found = np.uint8(_count_bits(np.uint8(s & ~np.uint8(s + one))) + place)
            leaf[r] = leaf[r] if s == np.uint8(255) and not last else found


@compiled_loop
def sum_leaves(bins, planes, start, column, cut, mask, value, outputs, margins):  # type: ignore[no-untyped-def]
    """Write the sums of the trees' leaves of each row to `margins` (n, outputs).

    The arrays are those of :class:`~jpas_gbm.boosting.treeshap.Walk`.
    """
    n, struck = len(margins), np.empty(LANES, dtype=np.uint8)
    leaves = np.empty((4, LANES), dtype=np.uint8)
    leaf = leaves[0]
    total = np.empty(LANES, dtype=value.dtype)
    width, one = value.shape[1], np.uint64(1)
    small = WIDE and width == PLANE
    for tile in range(len(bins)):
        b = bins[tile]
        rows = min(LANES, n - tile * LANES)
        for output in range(outputs):
            for r in range(LANES):
                total[r] = 0
            for t in range(output, len(value), outputs if not small else 4 * outputs):
                if small:
                    # Four trees at a time: sums are read and written once for all of them.
                    several = min(4, (len(value) - t + outputs - 1) // outputs)
                    for k in range(several):
                        slot = np.uint64(t + k * outputs)
                        i = start[slot]
                        if start[slot + one] == i + 4:
                            for r in range(0, LANES, _ABREAST):
                                _find_leaf(leaves, k * LANES, b, r, column, cut, mask, i, (0, 1, 2, 3))
                        else:
                            for r in range(0, LANES, _ABREAST):
                                _find_leaf(leaves, k * LANES, b, r, column, cut, mask, i, (0, 1, 2, 3, 4, 5, 6))
                    for k in range(several if several < 4 else 0):
                        for r in range(0, LANES, 8):
                            _add_eight(total, r, value, (t + k * outputs) * width, 0, leaves, k * LANES, (0,))
                    for r in range(0, LANES if several == 4 else 0, 8):
                        _add_eight(total, r, value, t * width, outputs * width, leaves, 0, (0, 1, 2, 3))
                    continue
                _find_leaves(b, planes, start, t, column, cut, mask, struck, leaf)
                values = value[t]
                for r in range(LANES):
                    total[r] += values[np.uint64(leaf[r])]
            for r in range(rows):
                margins[tile * LANES + r, output] = total[r]


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
    trees : array of float32, shape (u, 128)
        Search trees of them: element k parts at the cut there, its sons are 2 k and 2 k + 1; of features with fewer
        than 128 cuts.
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
    trees: np.ndarray
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
        trees=_search_trees(filled_up, starts, count),
        column_start=np.searchsorted(kinds[0], np.arange(len(known) + 1)).astype(np.int32),
        offset=offset.astype(np.int32),
        nan=_code(kinds[2], offset),
        zero=np.where(kinds[3] == NUMBER, NUMBER, _code(kinds[3], offset)).astype(np.int32),
    )
    return columns, column.ravel().astype(np.int32), (place % CUTS - 128).astype(np.int8)


def _search_trees(cuts: np.ndarray, starts: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the cuts of each feature as a search tree of as many levels as :func:`bin_tiles` goes down."""
    trees = np.full((len(starts), _TREE), np.inf, dtype=np.float32)
    for tree, start, many in zip(trees, starts, count, strict=True):
        if many < _TREE:
            levels = 6 if many < 64 else 7
            ascending = np.full((1 << levels) - 1, np.inf, dtype=np.float32)
            ascending[:many] = cuts[start : start + many]
            for level in range(levels):
                step = 1 << (levels - 1 - level)
                tree[1 << level : 2 << level] = ascending[step - 1 :: 2 * step]
    return trees


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
