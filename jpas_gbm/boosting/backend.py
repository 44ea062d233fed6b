"""What a library must do to grow the trees, and the registry of those that can.

A backend is one file in ``backends/``, named as the backend: a subclass of :class:`Backend`, decorated with
:func:`register`. Checks, early stopping, stages and folders are the same for all and stand in ``training.py``
and ``booster.py``.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..options import BACKENDS, BoostingOptions
from .forest import Forest, UnpackableError


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
    """What to grow: number of classes, options, seed of row and feature sampling, threads."""

    n_classes: int
    options: BoostingOptions
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
    def read_trees(self, path: Path) -> Any:
        """Read trees of the library's native format.

        Parameters
        ----------
        path : Path

        Returns
        -------
        object
            The library's booster.

        Raises
        ------
        BundleError
            If the file holds none.
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
