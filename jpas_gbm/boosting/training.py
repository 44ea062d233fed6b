"""Growing a stage: what is the same for both libraries, from features to a staged booster.

Round after round: what one training is given, and how many of its rounds are worth keeping.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import FeatureMismatch, FitError
from ..options import BoostingOptions
from .backend import OnRound
from .booster import BinnedMatrix, Stage, StagedBooster
from .matrix import (
    as_matrix,
    check_names,
    checked_labels,
    checked_weights,
    default_names,
    filled,
    given_names,
    stand_ins,
)


@dataclass(frozen=True, eq=False)
class Rows:
    """Binned rows with all that one training needs of them."""

    data: BinnedMatrix
    y: np.ndarray
    weight: np.ndarray
    start: np.ndarray


@dataclass(frozen=True)
class Task:
    """What to grow."""

    n_classes: int
    options: BoostingOptions
    seed: int
    threads: int


class Grower(ABC):
    """One training under way."""

    @abstractmethod
    def step(self) -> bool:
        """Grow one round; false if no split was worth it and nothing more will grow."""

    @abstractmethod
    def loss(self) -> float:
        """Return the log loss of the validation rows after the rounds so far."""

    @abstractmethod
    def finish(self, rounds: int) -> Any:
        """Return the first `rounds` rounds as a booster of the library, without training data."""


def log_loss(margins: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted mean of -log p of the true class, from margins (n, k)."""
    top = margins.max(axis=1)
    norm = top + np.log(np.exp(margins - top[:, None]).sum(axis=1))
    return float(np.average(norm - margins[np.arange(len(y)), y], weights=weight))


def log_shares(y: np.ndarray, weight: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the log of class shares, (k,), as if each class had half a row more: absent ones stay finite."""
    count = np.bincount(y, weights=weight, minlength=n_classes) + 0.5
    logs = np.log(count / count.sum())
    return logs - logs[0] if n_classes == 2 else logs


def grow(
    grower: Grower, options: BoostingOptions, start_loss: float | None, on_round: OnRound | None
) -> tuple[int, dict[str, Any]]:
    """Grow round after round and find how many to keep.

    Parameters
    ----------
    grower : Grower
    options : BoostingOptions
        `rounds` and `patience`.
    start_loss : float or None
        Validation loss before the first round; None without validation rows. As long as no round
        falls below it, the best number of rounds is 0.
    on_round : callable, optional

    Returns
    -------
    int
        Rounds to keep.
    dict
        Rounds grown, best and starting loss, seconds.
    """
    began = time.perf_counter()
    best, best_loss = 0, np.inf if start_loss is None else start_loss
    grown = 0
    while grown < options.rounds and grower.step():
        grown += 1
        loss = np.nan if start_loss is None else grower.loss()
        if start_loss is None or loss < best_loss:
            best, best_loss = grown, loss
        if on_round is not None:
            on_round(grown, loss)
        if options.patience and grown - best >= options.patience:
            break
    return best, {
        "rounds": best,
        "rounds_grown": grown,
        "start_loss": start_loss,
        "best_loss": None if start_loss is None else float(best_loss),
        "seconds": round(time.perf_counter() - began, 3),
    }


class TreeBackend(ABC):
    """A library that grows trees: checks, binning, stages and early stopping around its own calls."""

    name: ClassVar[str]
    suffix: ClassVar[str]

    def bin(
        self,
        X: Any,
        feature_names: Sequence[str] | None = None,
        options: BoostingOptions | None = None,
        reference: BinnedMatrix | None = None,
        threads: int = 1,
    ) -> BinnedMatrix:
        """Bin features once, to train on with several labels, weights and starts.

        Parameters
        ----------
        X : array or FeatureMatrix, shape (n, f)
            Missing is NaN. Kept by reference: do not change it afterwards.
        feature_names : sequence of str, optional
            Default: those that `X` carries, or f0, f1, ...
        options : BoostingOptions, optional
            `max_bin`.
        reference : BinnedMatrix, optional
            Take its bins (needed for validation rows that are binned ahead). Where it never missed a
            feature, missing values here are replaced by its medians: without `reference` the trees
            see them as missing.
        threads : int

        Raises
        ------
        FeatureMismatch
            If names do not fit the columns or the reference, or a value is infinite.
        FitError
            If there are no rows.
        """
        matrix = as_matrix(X)
        names = given_names(X) if feature_names is None else tuple(map(str, feature_names))
        if reference is not None:
            check_names(names, matrix.shape[1], reference.feature_names)
            names = reference.feature_names
            matrix, _ = filled(matrix, reference.fill, names)
        names = default_names(matrix.shape[1]) if names is None else names
        if len(names) != matrix.shape[1] or len(set(names)) < len(names):
            raise FeatureMismatch(
                f"{len(names)} feature names ({len(set(names))} different) for {matrix.shape[1]} columns: "
                "each column needs a name of its own."
            )
        if not matrix.size:
            raise FitError(f"the features have shape {matrix.shape}: there is nothing to train on.")
        max_bin = reference.max_bin if reference else (options or BoostingOptions()).max_bin
        handle = self.dataset(matrix, max_bin, reference, threads)
        cuts = reference.cuts if reference else object()
        return BinnedMatrix(self, matrix, names, max_bin, stand_ins(matrix), handle, cuts)

    def train(
        self,
        data: Any,
        y: np.ndarray,
        *,
        n_classes: int,
        options: BoostingOptions,
        weight: np.ndarray | None = None,
        valid: tuple[Any, ...] | None = None,
        init: StagedBooster | None = None,
        feature_names: Sequence[str] | None = None,
        seed: int = 0,
        threads: int = 1,
        on_round: OnRound | None = None,
    ) -> StagedBooster:
        """Grow a booster on rows with class codes.

        Parameters
        ----------
        data : BinnedMatrix, array or FeatureMatrix, shape (n, f)
            Binned once by :meth:`bin`, or features to be binned for this training alone.
        y : array of int, shape (n,)
            Class codes 0 ... n_classes - 1; classes may be absent.
        n_classes : int
            2 gives one margin (logistic loss), more give one each (softmax).
        options : BoostingOptions
        weight : array, shape (n,), optional
            Weights of mean about 1 (`l2` is in their unit). Class weights are the caller's.
        valid : (Xv, yv) or (Xv, yv, wv), optional
            Validation rows; early stopping keeps the round of least log loss, weighted by `wv`
            (default natural). `Xv` may be binned ahead with ``reference=data``.
        init : StagedBooster, optional
            Start from its margins: see :meth:`continue_from`.
        feature_names : sequence of str, optional
            Names of the columns of `data`, if it is a bare array.
        seed : int
            Seed of row and feature sampling.
        threads : int
        on_round : callable, optional
            ``on_round(rounds so far, validation loss)`` after each round; what it raises ends the training.

        Raises
        ------
        FitError
            If labels or weights are wrong, or there are no rows.
        FeatureMismatch
            If features differ from those of `init` or of `valid`.
        """
        train = data if isinstance(data, BinnedMatrix) else self.bin(data, feature_names, options, threads=threads)
        if train.backend.name != self.name:
            raise FitError(f"the features were binned by {train.backend.name}, not by {self.name}: bin them again.")
        if n_classes < 2:
            raise FitError(f"a classifier needs at least 2 classes, got n_classes={n_classes}.")
        y = checked_labels(y, len(train), n_classes)
        weight = checked_weights(weight, len(train))
        task = Task(n_classes, options, seed, threads)
        if init is not None:
            self._check_init(init, train, n_classes)
        intercept = np.zeros(n_classes) if init else log_shares(y, weight, n_classes)
        rows = Rows(train, y, weight, self._start(train, init, intercept, threads))
        judged = self._valid_rows(train, valid, init, intercept, task) if valid is not None else None
        start_loss = None if judged is None else log_loss(judged.start, judged.y, judged.weight)
        grower = self.grower(rows, judged, task)
        best, history = grow(grower, options, start_loss, on_round)
        stage = Stage(best, intercept, train.fill, grower.finish(best) if best else None)
        history |= {"backend": self.name, "rows": len(train), "seed": seed}
        history |= {"options": options.model_dump() | {"backend": self.name}}
        stages, told = (init.stages, init.history) if init else ((), ())
        return StagedBooster(self, n_classes, train.feature_names, (*stages, stage), (*told, history))

    def continue_from(
        self,
        booster: StagedBooster,
        data: Any,
        y: np.ndarray,
        *,
        options: BoostingOptions,
        weight: np.ndarray | None = None,
        valid: tuple[Any, ...] | None = None,
        seed: int = 0,
        threads: int = 1,
        on_round: OnRound | None = None,
    ) -> StagedBooster:
        """Grow another stage from the margins of a booster; its own trees stay as they are.

        The new stage has its own bins, learning rate, leaves and stopping, and may keep zero rounds
        when the booster alone is better on `valid`. Parameters are those of :meth:`train`.

        Raises
        ------
        FeatureMismatch
            If the features are not those of `booster`.
        FitError
            As :meth:`train`.
        """
        return self.train(
            data,
            y,
            n_classes=booster.n_classes,
            options=options,
            weight=weight,
            valid=valid,
            init=booster,
            feature_names=None if isinstance(data, BinnedMatrix) or given_names(data) else booster.feature_names,
            seed=seed,
            threads=threads,
            on_round=on_round,
        )

    def load(self, path: str | Path) -> StagedBooster:
        """Read a booster that was saved by :meth:`StagedBooster.save`."""
        return StagedBooster.load(self, path)

    def _check_init(self, init: StagedBooster, train: BinnedMatrix, n_classes: int) -> None:
        if init.backend != self.name:
            raise FitError(f"trees of {init.backend} cannot be continued by {self.name}.")
        if init.n_classes != n_classes:
            raise FitError(f"the booster to continue has {init.n_classes} classes, the labels {n_classes}.")
        check_names(train.feature_names, train.X.shape[1], init.feature_names)

    @staticmethod
    def _start(data: BinnedMatrix, init: StagedBooster | None, intercept: np.ndarray, threads: int) -> np.ndarray:
        if init is None:
            return np.broadcast_to(intercept, (len(data), len(intercept)))
        return data.margins(init, threads)

    def _valid_rows(
        self,
        train: BinnedMatrix,
        valid: tuple[Any, ...],
        init: StagedBooster | None,
        intercept: np.ndarray,
        task: Task,
    ) -> Rows:
        features, y, *rest = valid
        if isinstance(features, BinnedMatrix):
            data = features
            check_names(data.feature_names, data.X.shape[1], train.feature_names)
            if data.cuts is not train.cuts:
                raise FitError(
                    "the validation rows were binned apart from the training rows: bin them with reference=."
                )
        else:
            data = self.bin(features, None, task.options, reference=train, threads=task.threads)
        y = checked_labels(y, len(data), task.n_classes)
        weight = checked_weights(rest[0] if rest else None, len(data))
        return Rows(data, y, weight, self._start(data, init, intercept, task.threads))

    @abstractmethod
    def dataset(self, X: np.ndarray, max_bin: int, reference: BinnedMatrix | None, threads: int) -> Any:
        """Return the library's own data set of a matrix."""

    @abstractmethod
    def subset(self, binned: BinnedMatrix, X: np.ndarray, rows: np.ndarray, threads: int) -> Any:
        """Return the library's own data set of some rows (`X` holds them), in the same bins."""

    @abstractmethod
    def grower(self, train: Rows, valid: Rows | None, task: Task) -> Grower:
        """Begin a training."""

    @abstractmethod
    def raw_margins(self, trees: Any, X: np.ndarray, n_classes: int, threads: int) -> np.ndarray:
        """Return the trees' own margins, float64 (n, k)."""

    @abstractmethod
    def raw_contributions(self, trees: Any, X: np.ndarray, n_classes: int, threads: int) -> np.ndarray:
        """Return the trees' own TreeSHAP contributions, float64 (n, k, f + 1)."""

    @abstractmethod
    def gain(self, trees: Any, n_features: int) -> np.ndarray:
        """Return the loss that splits on each feature saved, float64 (f,)."""

    @abstractmethod
    def write_trees(self, trees: Any, path: Path) -> None:
        """Write trees in the library's native format."""

    @abstractmethod
    def read_trees(self, path: Path) -> Any:
        """Read trees of the library's native format."""
