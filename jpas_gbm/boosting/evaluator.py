"""Evaluator: boosters that read the same rows, walked together by the compiled kernel, each set of trees once.

Its margins are those of the libraries to the last bit. It proves that on rows made for it, values on cuts and beside
them among others, before it is used; where trees cannot be packed or the proof fails, the library walks them itself,
and the log says so.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from . import kernel
from .backend import Forest, UnpackableError, centred, two_margins
from .kernel import Columns, lay_columns
from .matrix import UnseenMissingWarning, fill_message, filled
from .treeshap import Walk, add_contributions, bound

if TYPE_CHECKING:
    from .backend import Backend
    from .booster import Stage

log = logging.getLogger("jpas_gbm")

_BLOCK = 4096
_CHECKED_ROWS = 384
_LIBRARY, _START, _PACKING = 3e-8, 1.0, 1e-4
"""Seconds: of the library for a tree and row, to load the compiler, and to pack and prove a tree."""
_FEWEST = 16
_CONTRIBUTED = 256
"""So many rows pay for packing: the library's contributions cost 15 times its margins."""
_CHECKED_CONTRIBUTIONS, _NEAR = 24, 1e-9


@dataclass(frozen=True, eq=False)
class Reader:
    """A booster and what it reads: the features, and the centred margins of another reader if `base` is given.

    Parameters
    ----------
    library : Backend
    n_classes : int
        k.
    names : tuple of str
        Of what it reads.
    stages : tuple of Stage
    base : int, optional
        Place of that reader, before this one.
    """

    library: Backend
    n_classes: int
    names: tuple[str, ...]
    stages: tuple[Stage, ...]
    base: int | None = None

    @property
    def trees(self) -> int:
        """How many trees it has."""
        return (1 if self.n_classes == 2 else self.n_classes) * sum(stage.rounds for stage in self.stages)

    def chosen(self, only: Collection[int] | None) -> list[int]:
        """Return the numbers of stages in order, only those asked for.

        Parameters
        ----------
        only : collection of int, optional
            Numbers of stages; default: all.

        Returns
        -------
        list of int
            Ascending.
        """
        return [number for number in range(len(self.stages)) if only is None or number in only]

    def library_margins(self, X: np.ndarray, only: Collection[int] | None = None, threads: int = 1) -> np.ndarray:
        """Return margins as the library itself makes them.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            All that it reads.
        only : collection of int, optional
            Only these stages.
        threads : int

        Returns
        -------
        array of float64, shape (n, k)
        """
        total = np.zeros((len(X), self.n_classes))
        for number in self.chosen(only):
            stage = self.stages[number]
            if stage.rounds and len(X):
                rows, message = filled(X, stage.fill, self.names)
                if message:
                    warnings.warn(message, UnseenMissingWarning, stacklevel=4)
                total += self.library.raw_margins(stage.trees, rows, self.n_classes, threads)
            total += stage.intercept
        return total


@dataclass(frozen=True, eq=False)
class _Sheet:
    """Columns of one input (the features, or the margins that one reader takes), at their place among all."""

    tiny: float
    columns: Columns
    first: int
    reader: int | None = None


@dataclass(eq=False)
class _Seen:
    """Which features were NaN in the rows so far."""

    features: set[int] = field(default_factory=set)


_FORESTS: WeakKeyDictionary[Stage, Forest | str] = WeakKeyDictionary()


def forest_of(library: Backend, stage: Stage) -> Forest:
    """Return the trees of a stage as arrays, made once.

    Parameters
    ----------
    library : Backend
    stage : Stage
        With trees.

    Returns
    -------
    Forest

    Raises
    ------
    UnpackableError
        If no kernel walks them.
    """
    if stage not in _FORESTS:
        try:
            _FORESTS[stage] = library.forest(stage.trees)
        except UnpackableError as error:
            _FORESTS[stage] = str(error)
    known = _FORESTS[stage]
    if isinstance(known, str):
        raise UnpackableError(known)
    return known


class Evaluator:
    """Boosters packed together: features are binned once, and trees that several readers share are walked once.

    Parameters
    ----------
    readers : sequence of Reader
        A reader of margins comes after the one that it reads.

    Raises
    ------
    UnpackableError
        If trees cannot be packed, or the packed ones do not give the margins of the library.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self.readers = list(readers)
        self.features = next(len(reader.names) for reader in readers if reader.base is None)
        forests: dict[str, tuple[Forest, np.ndarray, int | None]] = {}
        self._marks: list[list[str | None]] = []
        for place, reader in enumerate(readers):
            own = None if reader.base is None else place
            marks: list[str | None] = []
            for stage in reader.stages:
                if not stage.rounds:
                    marks.append(None)
                    continue
                forest = forest_of(reader.library, stage)
                mark = f"{forest.digest} {stage.fill.tobytes().hex()} {own}"
                forests[mark] = (forest, stage.fill, own)
                marks.append(mark)
            self._marks.append(marks)
        self._sheets: list[_Sheet] = []
        self._width = 0
        self._tabulated: dict[int, bool] = {}
        self._walks = self._laid(forests)
        self._prove()

    def _laid(self, forests: dict[str, tuple[Forest, np.ndarray, int | None]]) -> dict[str, Walk]:
        """Lay the columns of all trees out, input by input, and bind the packed trees to them."""
        column = {mark: np.zeros(len(forest.feature), np.int32) for mark, (forest, _, _) in forests.items()}
        cut = {mark: np.zeros(len(forest.feature), np.int8) for mark, (forest, _, _) in forests.items()}
        inputs: list[tuple[float, int | None]] = [(forest.tiny, None) for forest, _, _ in forests.values()]
        inputs += [(forest.tiny, own) for forest, _, own in forests.values() if own is not None]
        for tiny, reader in dict.fromkeys(inputs):
            taken = {}
            for mark, (forest, _, own) in forests.items():
                if forest.tiny == tiny and (reader is None or own == reader):
                    nodes = np.flatnonzero((forest.feature < self.features) == (reader is None))
                    if len(nodes):
                        taken[mark] = nodes
            if not taken:
                continue
            shift = 0 if reader is None else self.features
            parts = [(forests[mark][0], nodes, forests[mark][1]) for mark, nodes in taken.items()]
            columns, where, cuts = lay_columns(
                np.concatenate([forest.feature[nodes] - shift for forest, nodes, _ in parts]),
                np.concatenate([forest.cut[nodes] for forest, nodes, _ in parts]),
                np.concatenate([forest.nan[nodes] for forest, nodes, _ in parts]),
                np.concatenate([forest.zero[nodes] for forest, nodes, _ in parts]),
                np.concatenate([fill[forest.feature[nodes]] for forest, nodes, fill in parts]),
                tiny,
            )
            self._sheets.append(_Sheet(tiny, columns, self._width, reader))
            ends = np.cumsum([len(nodes) for nodes in taken.values()])[:-1]
            for (mark, nodes), at, below in zip(
                taken.items(), np.split(where, ends), np.split(cuts, ends), strict=True
            ):
                column[mark][nodes], cut[mark][nodes] = at + self._width, below
            self._width += len(columns.offset)
        return {mark: bound(forest, len(fill), column[mark], cut[mark]) for mark, (forest, fill, _) in forests.items()}

    def margins(self, X: np.ndarray, only: Collection[int] | None = None, threads: int = 1) -> list[np.ndarray]:
        """Return the margins of every reader.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features, C-contiguous.
        only : collection of int, optional
            Only these stages of every reader; for readers without a base.
        threads : int

        Returns
        -------
        list of array of float64, shape (n, k)
        """
        out = [np.empty((len(X), reader.n_classes)) for reader in self.readers]
        seen = _Seen()

        def work(block: slice, bins: np.ndarray) -> None:
            for whole, part in zip(out, self._block(X[block], bins, only, seen), strict=True):
                whole[block] = part

        self._by_blocks(len(X), work, threads)
        self._warn(X, seen, only)
        return out

    def _block(self, X: np.ndarray, bins: np.ndarray, only: Collection[int] | None, seen: _Seen) -> list[np.ndarray]:
        """Return the margins of every reader on some rows."""
        bins = bins[: -(-len(X) // kernel.LANES)]
        self._fill_bins(X, bins, None, seen)
        raw: dict[str, np.ndarray] = {}
        found: list[np.ndarray] = []
        for place, (reader, marks) in enumerate(zip(self.readers, self._marks, strict=True)):
            if reader.base is not None:
                below = np.ascontiguousarray(centred(found[reader.base]).astype(np.float32))
                self._fill_bins(below, bins, place, None)
            total = np.zeros((len(X), reader.n_classes))
            for number in reader.chosen(only):
                mark = marks[number]
                if mark is not None:
                    if mark not in raw:
                        raw[mark] = self._sums(self._walks[mark], bins, len(X), reader.n_classes)
                    total += raw[mark]
                total += reader.stages[number].intercept
            found.append(total)
        return found

    def _sums(self, walk: Walk, bins: np.ndarray, n: int, n_classes: int) -> np.ndarray:
        sums = np.empty((n, walk.outputs))
        kernel.sum_leaves(
            bins, walk.planes, walk.start, walk.column, walk.cut, walk.mask, walk.value, walk.outputs, sums
        )
        return sums if n_classes > 2 else two_margins(sums[:, 0])

    def contributions(self, X: np.ndarray, number: int, threads: int = 1) -> np.ndarray | None:
        """Return the contributions of the trees of one stage of the first reader, by tables.

        Parameters
        ----------
        X : array of float32, shape (n, f)
        number : int
            Of a stage with trees.
        threads : int

        Returns
        -------
        array of float64, shape (n, k, f + 1), or None
            The last column is the bias. None if the trees are too large for tables, or these were found wrong.
        """
        if number not in self._tabulated:
            self._tabulated[number] = self._has_tables(number)
        if not self._tabulated[number]:
            return None
        seen = _Seen()
        found = self._looked_up(X, number, threads, seen)
        self._warn(X, seen, [number])
        return found

    def _has_tables(self, number: int) -> bool:
        """Compare with the library's contributions on a few of the rows made for it."""
        walk, reader = self._walks[self._marks[0][number] or ""], self.readers[0]
        name, stage = reader.library.name, reader.stages[number]
        try:
            tables = walk.tables
        except UnpackableError as error:
            log.info("contributions are made by %s itself (%s)", name, error)
            return False
        X = self._hard_rows()[:: _CHECKED_ROWS // _CHECKED_CONTRIBUTIONS]
        X[np.isinf(X)] = np.nan
        theirs = reader.library.raw_contributions(
            stage.trees, filled(X, stage.fill, reader.names)[0], reader.n_classes, 1
        )
        ours = self._looked_up(np.resize(X, (kernel.LANES + len(X), X.shape[1])), number, 1, _Seen())
        worst = float(np.abs(ours - np.resize(theirs, ours.shape)).max())
        if not worst <= _NEAR * (1 + np.abs(tables.bias).max()):
            log.info("contributions are made by %s itself (those of tables differ by %.3g)", name, worst)
            return False
        return True

    def _looked_up(self, X: np.ndarray, number: int, threads: int, seen: _Seen) -> np.ndarray:
        walk = self._walks[self._marks[0][number] or ""]
        tables, out = walk.tables, np.zeros((len(X), walk.outputs, X.shape[1] + 1))
        flat = out.reshape(len(X), -1)

        def work(block: slice, bins: np.ndarray) -> None:
            bins = bins[: -(-(block.stop - block.start) // kernel.LANES)]
            self._fill_bins(X[block], bins, None, seen)
            add_contributions(
                bins, walk.node_column, walk.node_cut, tables.node_start, tables.group_start, tables.target,
                tables.tree, tables.table_start, tables.table, flat[block],
            )  # fmt: skip

        self._by_blocks(len(X), work, threads)
        out[:, :, -1] = tables.bias
        return out if self.readers[0].n_classes > 2 else two_margins(out[:, 0])

    def _by_blocks(self, n: int, work: Callable[[slice, np.ndarray], None], threads: int) -> None:
        """Call ``work(block, bins)`` for all blocks of n rows; each thread has bins of its own."""
        starts = range(0, n, _BLOCK)

        def some(mine: Sequence[int]) -> None:
            tiles = -(-min(_BLOCK, n) // kernel.LANES)
            bins = np.empty((tiles, self._width, kernel.LANES), dtype=np.int8)
            for start in mine:
                work(slice(start, min(start + _BLOCK, n)), bins)

        workers = min(threads, len(starts))
        if workers > 1:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(some, [starts[i::workers] for i in range(workers)]))
        else:
            some(starts)

    def _fill_bins(self, X: np.ndarray, bins: np.ndarray, reader: int | None, seen: _Seen | None) -> None:
        for sheet in self._sheets:
            if sheet.reader != reader:
                continue
            c = sheet.columns
            missing = np.zeros(len(c.feature), dtype=np.bool_)
            kernel.bin_tiles(
                X, np.float32(sheet.tiny), c.feature, c.cut_start, c.cut_count, c.cuts, c.trees, c.column_start,
                c.offset, c.nan, c.zero, sheet.first, bins, missing,
            )  # fmt: skip
            if seen is not None:
                seen.features.update(c.feature[missing].tolist())

    def _warn(self, X: np.ndarray, seen: _Seen, only: Collection[int] | None) -> None:
        """Say where features were filled that no training row missed."""
        chosen = [one.stages[number] for one in self.readers for number in one.chosen(only)] if seen.features else []
        known = [~np.isnan(stage.fill) for stage in chosen if stage.rounds]
        missed = np.array([j for j in sorted(seen.features) if any(there[j] for there in known)], dtype=np.intp)
        message = fill_message(np.isnan(X[:, missed]), missed, self.readers[0].names)
        if message:
            warnings.warn(message, UnseenMissingWarning, stacklevel=4)

    def _prove(self) -> None:
        """Compare with the libraries on rows made to tell any difference."""
        X = self._hard_rows()
        theirs: list[np.ndarray] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnseenMissingWarning)
            # On more rows than a tile holds.
            ours = self.margins(np.resize(X, (kernel.LANES + len(X), self.features)))
            for reader in self.readers:
                below = None if reader.base is None else centred(theirs[reader.base]).astype(np.float32)
                theirs.append(reader.library_margins(X if below is None else np.hstack([X, below])))
        for reader, a, b in zip(self.readers, ours, theirs, strict=True):
            expected = np.resize(b, a.shape)
            if a.tobytes() != expected.tobytes():
                rows = int((a != expected).any(axis=1).sum())
                raise UnpackableError(f"{rows} of {len(a)} rows of the proof differ from {reader.library.name}'s own")

    def _hard_rows(self) -> np.ndarray:
        """Return rows of values on cuts and beside them, zeros, smallest and largest numbers, infinities and NaN."""
        rng = np.random.default_rng(0)
        edge, most = np.float32(1e-35), np.finfo(np.float32).max
        odd = [0.0, -0.0, edge, -edge, np.nextafter(edge, 1), np.nextafter(edge, 0), 1e-40, -1e-45, most, -most]
        odd += [np.inf, -np.inf, *[np.nan] * 4]
        X = rng.choice(np.array(odd, dtype=np.float32), (_CHECKED_ROWS, self.features))
        for sheet in self._sheets:
            c = sheet.columns
            if sheet.reader is not None:
                continue
            for feature, start, count in zip(c.feature, c.cut_start, c.cut_count, strict=True):
                cuts = c.cuts[start : start + count]
                with np.errstate(over="ignore"):
                    near = np.concatenate([cuts, *(np.nextafter(cuts, np.float32(way)) for way in (-np.inf, np.inf))])
                hit = np.flatnonzero(rng.random(len(X)) < 0.85)
                X[hit, feature] = rng.choice(near, len(hit))
        return X


class LazyEvaluator:
    """An evaluator that is made once the library would have worked for longer than making it takes."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._made: Evaluator | None = None
        self._refused = False

    def get(self, readers: Callable[[], Sequence[Reader]], rows: int) -> Evaluator | None:
        """Return the evaluator of margins, or None where the library shall walk the trees: their bits are the same.

        Parameters
        ----------
        readers : callable
            Returns what it evaluates, always the same.
        rows : int
            How many rows there are.

        Returns
        -------
        Evaluator or None
        """
        if self._made is None and not self._refused and rows >= _FEWEST:
            every = readers()
            trees = sum(reader.trees for reader in every)
            self._spent += trees * rows * _LIBRARY
            if trees and self._spent > trees * _PACKING + (0 if kernel.loaded() else _START):
                self._make(every)
        return self._made if rows >= _FEWEST else None

    def for_contributions(self, readers: Callable[[], Sequence[Reader]], rows: int) -> Evaluator | None:
        """Return the evaluator of contributions, or None where these rows are too few to pay for making one.

        The last digits of contributions are not the library's: who works them out depends on the rows at hand alone,
        not on what was asked before, so that the same question has the same answer.

        Parameters
        ----------
        readers, rows
            As for :meth:`get`.

        Returns
        -------
        Evaluator or None
        """
        if rows < _CONTRIBUTED:
            return None
        if self._made is None and not self._refused:
            self._make(readers())
        return self._made

    def _make(self, readers: Sequence[Reader]) -> None:
        try:
            self._made = Evaluator(readers)
        except UnpackableError as error:
            self._refused = True
            names = " and ".join(dict.fromkeys(reader.library.name for reader in readers))
            log.info("trees are walked by %s itself (%s)", names, error)
