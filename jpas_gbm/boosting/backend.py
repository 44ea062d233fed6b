"""What a library must do to grow the trees, and the registry of those that can.

A backend is one file in ``backends/``, named as the backend: a subclass of :class:`Backend`, decorated with
:func:`register`. Checks, early stopping, stages and folders are the same for all and stand in ``training.py``
and ``booster.py``.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..options import BACKENDS, Growth
from .soundness import TreeShape


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows with all that one training needs of them.

    Parameters
    ----------
    X : array of float32, shape (n, f)
        Features, NaN where missing.
    handle : object
        The library's own data set of `X`, from :meth:`Backend.dataset`. It may hold the
        labels, weights and start of an earlier training: set all three.
    max_bin : int
        Most histogram bins of a feature.
    y : array of int32, shape (n,)
        Class codes 0 ... k - 1.
    weight : array of float32, shape (n,)
        Not negative; of mean about 1.
    start : array of float64, shape (n, k)
        Margins that the new trees add to. For two classes (0, m).
    """

    X: np.ndarray
    handle: Any
    max_bin: int
    y: np.ndarray
    weight: np.ndarray
    start: np.ndarray


@dataclass(frozen=True)
class Task:
    """What to grow: number of classes, options, seed of row and feature sampling, threads.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    options : Growth
        How trees are grown.
    seed : int
        Of row and feature sampling.
    threads : int
        Threads of the library.
    """

    n_classes: int
    options: Growth
    seed: int
    threads: int


class Grower(ABC):
    """One training under way."""

    @abstractmethod
    def step(self) -> bool:
        """Grow one round.

        Returns
        -------
        bool
            False if no split was worth it and nothing more will grow.
        """

    @abstractmethod
    def loss(self) -> float:
        """Return the loss of the validation rows after the rounds so far.

        Returns
        -------
        float
            Weighted mean log loss, nats.
        """

    @abstractmethod
    def finish(self, rounds: int) -> Any:
        """Return what the first rounds grew, without training data.

        Parameters
        ----------
        rounds : int
            How many rounds to keep.

        Returns
        -------
        object
            The library's booster.
        """


class Backend(ABC):
    """A library that grows trees, by softmax loss of k > 2 classes or logistic loss of two.

    Attributes
    ----------
    name : str
        As in options and saved boosters; set by :func:`register`.
    suffix : str
        Of its model files.
    shap_tolerance : float
        Largest difference between a margin and the sum of its contributions.
    shap_relative : bool
        The tolerance is in units of 1 + the sum of |contributions| (trees that add up in single precision).
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    shap_tolerance: ClassVar[float] = 1e-6
    shap_relative: ClassVar[bool] = False

    @abstractmethod
    def dataset(self, X: np.ndarray, max_bin: int, reference: Any, threads: int) -> Any:
        """Return the library's own data set of some features.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            NaN is missing.
        max_bin : int
            Most histogram bins of a feature.
        reference : object or None
            Another data set, whose bins are taken.
        threads : int

        Returns
        -------
        object
        """

    @abstractmethod
    def grower(self, train: Rows, valid: Rows | None, task: Task) -> Grower:
        """Begin a training.

        Parameters
        ----------
        train : Rows
            Rows to train on.
        valid : Rows or None
            Validation rows, in the same bins.
        task : Task

        Returns
        -------
        Grower
        """

    @abstractmethod
    def raw_margins(self, trees: Any, X: np.ndarray, n_classes: int, threads: int) -> np.ndarray:
        """Return the trees' own margins.

        Parameters
        ----------
        trees : object
            The library's booster.
        X : array of float32, shape (n, f)
        n_classes : int
            k.
        threads : int

        Returns
        -------
        array of float64, shape (n, k)
            For two classes (0, m).
        """

    def forest(self, trees: Any) -> Forest:
        """Return trees as arrays that the kernel walks, to the library's own margins bit for bit.

        Parameters
        ----------
        trees : object
            The library's booster.

        Returns
        -------
        Forest

        Raises
        ------
        UnpackableError
            If they are of a kind that it does not walk.
        """
        raise UnpackableError(f"trees of {self.name}")

    @abstractmethod
    def raw_contributions(self, trees: Any, X: np.ndarray, n_classes: int, threads: int) -> np.ndarray:
        """Return the trees' own TreeSHAP contributions (Lundberg et al. 2020, path-dependent).

        Parameters
        ----------
        trees : object
            The library's booster.
        X : array of float32, shape (n, f)
        n_classes : int
            k.
        threads : int

        Returns
        -------
        array of float64, shape (n, k, f + 1)
            The last column is the bias.
        """

    @abstractmethod
    def gain(self, trees: Any, n_features: int) -> np.ndarray:
        """Return what splits on each feature gained in training.

        Parameters
        ----------
        trees : object
            The library's booster.
        n_features : int
            f.

        Returns
        -------
        array of float64, shape (f,)
            In the library's unit.
        """

    @abstractmethod
    def write_trees(self, trees: Any, path: Path) -> None:
        """Write trees in the library's native format.

        Parameters
        ----------
        trees : object
            The library's booster.
        path : Path
            The file, with the backend's suffix.
        """

    @abstractmethod
    def read_trees(self, path: Path, shape: TreeShape) -> Any:
        """Read trees of the library's native format, whoever made the file.

        Parameters
        ----------
        path : Path
        shape : TreeShape
            What the file must hold.

        Returns
        -------
        object
            The library's booster.

        Raises
        ------
        BundleError
            If the file holds others or none.
        """


def register(name: str) -> Callable[[type[Backend]], type[Backend]]:
    """Return a decorator that makes a subclass of :class:`Backend` known as `name`.

    Parameters
    ----------
    name : str

    Returns
    -------
    callable
    """

    def add(backend: type[Backend]) -> type[Backend]:
        backend.name = name
        BACKENDS.register(name)(backend)
        return backend

    return add


def get_backend(name: str) -> Backend:
    """Return the backend of a library.

    Parameters
    ----------
    name : str
        Such as ``"lightgbm"`` or ``"xgboost"``.

    Returns
    -------
    Backend

    Raises
    ------
    ConfigError
        If there is no such backend, or its library is not installed.
    """
    # Read by OpenMP when a library is loaded. Threads that spin while they wait starve each other, and
    # the other library's, as soon as something else runs: one fit on two busy cores took 90 s for 6 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    backend: type[Backend] = BACKENDS.get(name)
    return backend()


def as_backend(backend: Backend | str) -> Backend:
    """Return a backend given itself or its name.

    Parameters
    ----------
    backend : Backend or str

    Returns
    -------
    Backend
    """
    return get_backend(backend) if isinstance(backend, str) else backend


def two_margins(one: np.ndarray) -> np.ndarray:
    """Return the margins of two classes, the first of which is 0.

    Parameters
    ----------
    one : array, shape (n, ...)
        Margins of the second class.

    Returns
    -------
    array, shape (n, 2, ...)
    """
    return np.stack([np.zeros_like(one), one], axis=1)


def one_margin(margins: np.ndarray) -> np.ndarray:
    """Return margins as a library wants its start.

    Parameters
    ----------
    margins : array, shape (n, k)

    Returns
    -------
    array, shape (n, k), or (n,) for two classes
        For two classes, the second less the first.
    """
    return margins[:, 1] - margins[:, 0] if margins.shape[1] == 2 else margins


MOST_LEAVES = 64
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


def centred(margins: np.ndarray) -> np.ndarray:
    """Return margins less their mean over classes: softmax's arbitrary constant, taken out.

    Parameters
    ----------
    margins : array, shape (n, k)

    Returns
    -------
    array, shape (n, k)
    """
    k = margins.shape[1]
    if k >= 8:
        return margins - margins.mean(axis=1, keepdims=True)
    # The same sums as NumPy's for so few, column by column: four times as fast.
    total = margins[:, 0]
    for j in range(1, k):
        total = total + margins[:, j]
    return margins - (total / k)[:, None]
