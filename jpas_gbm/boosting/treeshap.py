"""Exact TreeSHAP contributions of small trees by tables.

What a tree of n nodes says depends on the outcomes of its n comparisons alone. For each of the 2^n patterns of outcomes
the contributions are worked out once (as Yang 2021 does for paths); a row then looks them up. Contributions are those
of path-dependent TreeSHAP (Lundberg et al. 2020): a leaf of value v, reached through D features, gives feature i

    v (o_i - z_i) sum over S of |S|! (D - 1 - |S|)! / D! prod(o_j for j in S) prod(z_j for the others),

S running over the sets of other features, o_j being 1 if the row takes all turns of feature j towards the leaf and z_j
the share of training rows that does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import factorial

import numpy as np

from .backend import Forest, UnpackableError
from .kernel import LANES, WIDE, add_looked_up, compiled_loop, pack

MOST_LEAVES = 8
_SHARED = 8
"""Features whose contributions are written together: a line of the cache."""

# Weight of a set of s other features among D, by D and s.
_WEIGHT = np.array(
    [
        [factorial(s) * factorial(max(d - 1 - s, 0)) / factorial(d) for s in range(MOST_LEAVES)]
        for d in range(MOST_LEAVES)
    ]
)


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
class Walk:
    """Packed trees on columns of bins: what the kernel takes.

    Parameters
    ----------
    planes : int
    start, column, cut, mask, value : array
        As :class:`~jpas_gbm.boosting.kernel.PackedTrees`, with the column and the cut of each comparison.
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
    z, given = np.empty(8), np.empty((128, 8))
    for t in range(len(leaves)):
        n, first = leaves[t] - 1, node_start[t]
        leaf0 = first + t
        if n == 0:
            bias[t] = value[leaf0]
            continue
        # Above each node, and above each leaf from place 8 on: its parent, twice, plus 1 on the right; and its share.
        for j in range(n):
            for side in range(2):
                child = right[first + j] if side else left[first + j]
                rows = node_cover[first + child] if child >= 0 else cover[leaf0 - 1 - child]
                place = child if child >= 0 else 7 - child
                parent[place] = 2 * j + side
                share[place] = rows / node_cover[first + j]
        for leaf in range(n + 1):
            v = value[leaf0 + leaf]
            bias[t] += cover[leaf0 + leaf] / node_cover[first] * v
            features = _climb(8 + leaf, parent, share, entry[first : first + n], owner, z, must, must_not)
            _share_out(v, features, z, weight, given)
            for pattern in range(1 << n):
                met = 0
                for k in range(features):
                    met |= ((pattern & must[k]) == must[k] and (pattern & must_not[k]) == 0) << k
                for k in range(features):
                    table[table_start[owner[k]] + pattern] += given[met, k]


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
def _share_out(v, features, z, weight, given):  # type: ignore[no-untyped-def]
    """Write what a leaf of value v gives each feature above it, for each set of features that lead to it."""
    product = np.empty(9)
    for met in range(1 << features):
        for k in range(features):
            # The sum over sets by their size: coefficients of the product of (z + o y).
            product[0], degree = 1.0, 0
            for other in range(features):
                if other != k:
                    o = met >> other & 1
                    degree += 1
                    product[degree] = 0.0
                    for s in range(degree, 0, -1):
                        product[s] = product[s] * z[other] + product[s - 1] * o
                    product[0] *= z[other]
            total = 0.0
            for s in range(features):
                total += weight[features, s] * product[s]
            given[met, k] = v * ((met >> k & 1) - z[k]) * total


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
                    pattern, at = patterns[tree[e]], table_start[e]
                    if WIDE:
                        for r in range(0, LANES, 8):
                            add_looked_up(total, r, table, at, pattern)
                    else:
                        for r in range(LANES):
                            total[r] += table[at + pattern[r]]
            where = target[g0 : g0 + count]
            for r in range(rows):
                row = out[start + r]
                for g in range(count):
                    row[np.uint64(where[g])] = sums[g, r]
