"""Growing a stage: what is the same for both libraries, from features to a staged booster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..config import BoostingOptions
from ..errors import FeatureMismatch, FitError
from .backend import OnRound
from .binned import BinnedMatrix
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
from .rounds import Grower, Rows, Task, grow, log_loss, log_shares
from .staged import Stage, StagedBooster


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
