"""Exact TreeSHAP contributions of small trees by tables.

What a tree of n nodes says depends on the outcomes of its n comparisons alone. For each of the 2^n patterns of outcomes
the contributions are worked out once (as Yang 2021 does for paths); a row then looks them up. Contributions are those
of path-dependent TreeSHAP (Lundberg et al. 2020): a leaf of value v, reached through D features, gives feature i

    v (o_i - z_i) sum over S of |S|! (D - 1 - |S|)! / D! prod(o_j for j in S) prod(z_j for the others),

S running over the sets of other features, o_j being 1 if the row takes all turns of feature j towards the leaf and z_j
the share of training rows that does.

What a leaf gives two features together (Fujimoto et al. 2006; Lundberg et al. 2020 give half of it to either order) is

    v (o_i - z_i) (o_j - z_j) / 2 sum over S of |S|! (D - 2 - |S|)! / (D - 1)! prod(o_k for k in S) prod(z_k, others).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import factorial

import numpy as np

from .backend import NUMBER, RIGHT, Forest, UnpackableError
from .kernel import LANES, PLANE, compiled_loop

MOST_LEAVES = 8
_SHARED = 8
"""Features whose contributions are written together: a line of the cache."""


def _set_weights(most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of sets of s other features among D, (D, s): of one feature, and of two in one order."""
    alone, together = np.zeros((most, most)), np.zeros((most, most))
    for d in range(1, most):
        for s in range(d):
            alone[d, s] = factorial(s) * factorial(d - 1 - s) / factorial(d)
            if s < d - 1:
                together[d, s] = factorial(s) * factorial(d - 2 - s) / factorial(d - 1) / 2
    return alone, together


_WEIGHT = _set_weights(MOST_LEAVES)[0]


@dataclass(frozen=True, eq=False)
class Tables:
    """Contributions of the trees of a forest for every pattern of comparisons.

    Entries are pairs of a tree and a feature that it reads; they come by output, then feature, then tree.

    Parameters
    ----------
    node_start : array of int32, shape (t + 1,)
        Where the nodes of each tree begin.
    group_start : array of int32, shape (g + 1,)
        Where the entries of each output and feature begin.
    target : array of int64, shape (g,)
        Where they go among a row's contributions, output by output, each with the bias behind its features.
    tree : array of int32, shape (e,)
        The tree of each entry.
    table_start : array of int64, shape (e,)
        Where its table begins.
    table : array of float64
        The contributions, by pattern: bit j says that the row goes right at node j.
    bias : array of float64, shape (outputs,)
        What the trees say of no row in particular: the mean over training rows.
    """

    node_start: np.ndarray
    group_start: np.ndarray
    target: np.ndarray
    tree: np.ndarray
    table_start: np.ndarray
    table: np.ndarray
    bias: np.ndarray


def tabulate(forest: Forest, features: int) -> Tables:
    """Work out the contributions of every tree.

    Parameters
    ----------
    forest : Forest
    features : int
        How many there are.

    Returns
    -------
    Tables

    Raises
    ------
    UnpackableError
        If trees have too many leaves for tables.
    """
    if forest.leaves.max() > MOST_LEAVES:
        raise UnpackableError(f"a tree of {forest.leaves.max()} leaves; tables are made of at most {MOST_LEAVES}")
    node_start = np.concatenate([[0], np.cumsum(forest.leaves - 1)]).astype(np.int32)
    keys = np.stack([forest.tree % forest.outputs, forest.feature, forest.tree])
    kinds, entry = np.unique(keys, axis=1, return_inverse=True)
    groups, first = np.unique(kinds[:2], axis=1, return_index=True)
    size = 2 ** (forest.leaves[kinds[2]].astype(np.int64) - 1)
    table_start = np.cumsum(size) - size
    table, bias = np.zeros(int(size.sum())), np.zeros(len(forest.leaves))
    _fill_tables(
        forest.leaves, node_start, forest.left, forest.right, forest.value.astype(np.float64), forest.cover,
        forest.node_cover, entry.ravel().astype(np.int32), table_start, _WEIGHT, table, bias,
    )  # fmt: skip
    return Tables(
        node_start=node_start,
        group_start=np.concatenate([first, [kinds.shape[1]]]).astype(np.int32),
        target=groups[0] * (features + 1) + groups[1],
        tree=kinds[2].astype(np.int32),
        table_start=table_start,
        table=table,
        bias=bias.reshape(-1, forest.outputs).sum(axis=0),
    )


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
class Walk:
    """Packed trees on columns of bins: what the kernel takes.

    Parameters
    ----------
    planes : int
    start, column, cut, mask, value : array
        As :class:`PackedTrees`, with the column and the cut of each comparison.
    outputs : int
    forest : Forest
        The trees.
    node_column, node_cut : array, shape (m,)
        Column and cut of each node of the forest.
    features : int
        How many the trees are given.
    """

    planes: int
    start: np.ndarray
    column: np.ndarray
    cut: np.ndarray
    mask: np.ndarray
    value: np.ndarray
    outputs: int
    forest: Forest
    node_column: np.ndarray
    node_cut: np.ndarray
    features: int

    @cached_property
    def tables(self) -> Tables:
        """Contributions by pattern of comparisons."""
        return tabulate(self.forest, self.features)


def bound(forest: Forest, features: int, column: np.ndarray, cut: np.ndarray) -> Walk:
    """Bind trees to columns of bins.

    Parameters
    ----------
    forest : Forest
    features : int
        How many the trees are given.
    column, cut : array, shape (m,)
        Of each node.

    Returns
    -------
    Walk
    """
    packed = pack(forest)
    there = packed.node >= 0
    node = np.where(there, packed.node, 0)
    some = len(column) > 0
    return Walk(
        packed.planes,
        packed.start,
        np.where(there, column[node], 0).astype(np.int32) if some else np.zeros(len(node), np.int32),
        np.where(there, cut[node], 127).astype(np.int8) if some else np.full(len(node), 127, np.int8),
        packed.mask,
        packed.value,
        forest.outputs,
        forest,
        column,
        cut,
        features,
    )


@compiled_loop
def _fill_tables(leaves, node_start, left, right, value, cover, node_cover, entry, table_start, weight, table, bias):  # type: ignore[no-untyped-def]
    """Add what each leaf of each tree gives to `table`, and the mean of each tree to `bias`."""
    parent, share = np.empty(16, dtype=np.int64), np.empty(16)
    owner, must, must_not = np.empty(8, dtype=np.int64), np.empty(8, dtype=np.int64), np.empty(8, dtype=np.int64)
    z, given, o, product = np.empty(8), np.empty((128, 8)), np.empty(8), np.empty(9)
    for t in range(len(leaves)):
        n, first = leaves[t] - 1, node_start[t]
        leaf0 = first + t
        if n == 0:
            bias[t] = value[leaf0]
            continue
        _lay_parents(n, first, leaf0, left, right, cover, node_cover, 8, parent, share)
        for leaf in range(n + 1):
            v = value[leaf0 + leaf]
            bias[t] += cover[leaf0 + leaf] / node_cover[first] * v
            features = _climb(8 + leaf, parent, share, entry[first : first + n], owner, z, must, must_not)
            _share_out(v, features, z, weight, o, product, given)
            for pattern in range(1 << n):
                met = 0
                for k in range(features):
                    met |= _is_met(pattern, must[k], must_not[k]) << k
                for k in range(features):
                    table[table_start[owner[k]] + pattern] += given[met, k]


@compiled_loop
def _lay_parents(n, first, leaf0, left, right, cover, node_cover, leaves, parent, share):  # type: ignore[no-untyped-def]
    """Note of each node, and of each leaf from place `leaves` on, its parent, twice, plus 1 on the right, and share."""
    for j in range(n):
        for side in range(2):
            child = right[first + j] if side else left[first + j]
            rows = node_cover[first + child] if child >= 0 else cover[leaf0 - 1 - child]
            place = child if child >= 0 else leaves - 1 - child
            parent[place] = 2 * j + side
            share[place] = rows / node_cover[first + j]


@compiled_loop
def _is_met(pattern, must, must_not):  # type: ignore[no-untyped-def]
    """Return whether the turns of a row, by bits of nodes, hold those to the right and lack those to the left."""
    return (pattern & must) == must and (pattern & must_not) == 0


@compiled_loop
def _climb(place, parent, share, entry, owner, z, must, must_not):  # type: ignore[no-untyped-def]
    """Go up from a leaf; return how many features are met, and note each one's entry, share and turns."""
    features = 0
    while True:
        j, side = parent[place] >> 1, parent[place] & 1
        k = 0
        while k < features and owner[k] != entry[j]:
            k += 1
        if k == features:
            owner[k], z[k], must[k], must_not[k] = entry[j], 1.0, 0, 0
            features += 1
        z[k] *= share[place]
        if side:
            must[k] |= 1 << j
        else:
            must_not[k] |= 1 << j
        if j == 0:
            return features
        place = j


@compiled_loop
def _share_out(v, features, z, weight, o, product, given):  # type: ignore[no-untyped-def]
    """Write what a leaf of value v gives each feature above it, for each set of features that lead to it."""
    for met in range(1 << features):
        for k in range(features):
            o[k] = met >> k & 1
        for k in range(features):
            given[met, k] = v * (o[k] - z[k]) * _sum_over_sets(features, k, k, z, o, weight, product)


@compiled_loop
def add_contributions(bins, column, cut, node_start, group_start, target, tree, table_start, table, out):  # type: ignore[no-untyped-def]
    """Write the contributions of each row to `out` (n, outputs * (features + 1)), where they are not 0.

    `column` and `cut` are those of each node; the other arrays are those of :class:`Tables`.
    """
    n, trees = len(out), len(node_start) - 1
    patterns = np.empty((trees, LANES), dtype=np.uint8)
    # Rows a line longer than a power of 2, which would share a set of the cache.
    sums = np.empty((_SHARED, LANES + 8))
    for tile in range(len(bins)):
        b = bins[tile]
        start = tile * LANES
        rows = min(LANES, n - start)
        for t in range(trees):
            pattern = patterns[t]
            for r in range(LANES):
                pattern[r] = 0
            for i in range(node_start[t], node_start[t + 1]):
                j, u, bit = column[i], cut[i], np.uint8(1 << (i - node_start[t]))
                for r in range(LANES):
                    pattern[r] |= bit if b[j, r] > u else np.uint8(0)
        for g0 in range(0, len(target), _SHARED):
            count = min(_SHARED, len(target) - g0)
            for g in range(count):
                total = sums[g]
                for r in range(LANES):
                    total[r] = 0.0
                for e in range(group_start[g0 + g], group_start[g0 + g + 1]):
                    pattern, at = patterns[tree[e]], np.uint64(table_start[e])
                    for r in range(LANES):
                        total[r] += table[at + np.uint64(pattern[r])]
            where = target[g0 : g0 + count]
            for r in range(rows):
                row = out[start + r]
                for g in range(count):
                    row[np.uint64(where[g])] = sums[g, r]


def add_interactions(forest: Forest, X: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """Add exact Shapley interaction values of the trees' outputs, each times its weight.

    Parameters
    ----------
    forest : Forest
    X : array of float32, shape (n, f)
        Features, as the trees read them.
    weight : array of float64, shape (outputs,)
        Of each output in the sum that is explained.
    out : array of float64, shape (n, f, f)
        Added to. Symmetric; a row's sum is the contribution of its feature, the diagonal what it gives alone.

    References
    ----------
    Fujimoto, Kojadinovic & Marichal 2006, Games and Economic Behavior 55, 72; Lundberg et al. 2020, Nature Machine
    Intelligence 2, 56.
    """
    node_start = np.concatenate([[0], np.cumsum(forest.leaves - 1)]).astype(np.int64)
    most = int(forest.leaves.max())
    alone, together = _set_weights(most)
    of_tree = weight[np.arange(len(forest.leaves)) % forest.outputs]
    _add_interactions(
        X, np.float32(forest.tiny), forest.leaves, node_start, forest.feature, forest.cut, forest.nan, forest.zero,
        forest.left, forest.right, forest.value.astype(np.float64), forest.cover, forest.node_cover, of_tree, alone,
        together, out,
    )  # fmt: skip


@compiled_loop
def _goes_right(x, tiny, cut, nan, zero):  # type: ignore[no-untyped-def]
    """Return whether a number turns right at a node."""
    if x != x:
        if nan != NUMBER:
            return nan == RIGHT
        x = np.float32(0)
    if abs(x) <= tiny:
        if zero != NUMBER:
            return zero == RIGHT
        x = np.float32(0)
    return x > cut


@compiled_loop
def _add_interactions(  # type: ignore[no-untyped-def]
    X, tiny, leaves, node_start, feature, cut, nan, zero, left, right, value, cover, node_cover, weight, alone,
    together, out,
):  # fmt: skip
    most = len(alone)
    parent, share = np.empty(2 * most, dtype=np.int64), np.empty(2 * most)
    owner, must, must_not = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    z, o, product = np.empty(most), np.empty(most), np.empty(most + 1)
    patterns = np.empty(len(X), dtype=np.int64)
    for t in range(len(leaves)):
        n, first = leaves[t] - 1, node_start[t]
        leaf0 = first + t
        if n == 0 or weight[t] == 0:
            continue
        _lay_parents(n, first, leaf0, left, right, cover, node_cover, most, parent, share)
        for i in range(len(X)):
            patterns[i] = 0
            for j in range(n):
                at = first + j
                patterns[i] |= np.int64(_goes_right(X[i, feature[at]], tiny, cut[at], nan[at], zero[at])) << j
        for leaf in range(n + 1):
            v = weight[t] * value[leaf0 + leaf]
            features = _climb(most + leaf, parent, share, feature[first : first + n], owner, z, must, must_not)
            for i in range(len(X)):
                for k in range(features):
                    o[k] = _is_met(patterns[i], must[k], must_not[k])
                _give_pairs(v, features, owner, z, o, alone, together, product, out[i])


@compiled_loop
def _give_pairs(v, features, owner, z, o, alone, together, product, out):  # type: ignore[no-untyped-def]
    """Add what a leaf of value v gives each pair of the features above it; the rest of a feature's is its own."""
    for a in range(features):
        own = v * (o[a] - z[a]) * _sum_over_sets(features, a, a, z, o, alone, product)
        for b in range(features):
            if b != a:
                both = _sum_over_sets(features, a, b, z, o, together, product)
                given = v * (o[a] - z[a]) * (o[b] - z[b]) * both
                out[owner[a], owner[b]] += given
                own -= given
        out[owner[a], owner[a]] += own


@compiled_loop
def _sum_over_sets(features, a, b, z, o, weight, product):  # type: ignore[no-untyped-def]
    """Return the sum over sets of features other than a and b, by their size: coefficients of prod(z + o y)."""
    product[0], degree = 1.0, 0
    for other in range(features):
        if other != a and other != b:
            degree += 1
            product[degree] = 0.0
            for s in range(degree, 0, -1):
                product[s] = product[s] * z[other] + product[s - 1] * o[other]
            product[0] *= z[other]
    total = 0.0
    for s in range(degree + 1):
        total += weight[features, s] * product[s]
    return total
