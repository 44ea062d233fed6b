"""Growing a stage, alike for every library: features are binned, rounds grown, the best of them kept."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import FitError
from ..options import BoostingOptions, Growth
from ..scores.losses import margin_loss
from .backend import Backend, Grower, Rows, Task, as_backend
from .booster import Stage, StagedBooster
from .matrix import (
    as_matrix,
    check_binnable,
    check_names,
    checked_labels,
    checked_weights,
    default_names,
    filled,
    given_names,
    stand_ins,
)

OnRound = Callable[[int, float], None]
"""Called after each round with (rounds so far, validation loss or NaN); what it raises ends the training."""


@dataclass(frozen=True, eq=False)
class BinnedMatrix:
    """Features binned once by one library.

    Parameters
    ----------
    backend : Backend
        Whose bins these are.
    X : array of float32, shape (n, f)
        The features; referred to, not copied.
    feature_names : tuple of str
    max_bin : int
        Most bins of a feature.
    fill : array of float32, shape (f,)
        Medians of features that are never missing here, NaN elsewhere.
    handle : object
        The library's own data set.
    cuts : object
        The same object for all that share bins: validation rows must share those of training.
    """

    backend: Backend = field(repr=False)
    X: np.ndarray = field(repr=False)
    feature_names: tuple[str, ...] = field(repr=False)
    max_bin: int
    fill: np.ndarray = field(repr=False)
    handle: Any = field(repr=False)
    cuts: object = field(default_factory=object, repr=False)
    _margins: weakref.WeakKeyDictionary[StagedBooster, np.ndarray] = field(
        default_factory=weakref.WeakKeyDictionary, repr=False
    )

    def __len__(self) -> int:
        return len(self.X)

    def margins(self, booster: StagedBooster, threads: int) -> np.ndarray:
        """Return the margins of a booster on these rows, kept as long as the booster lives.

        Parameters
        ----------
        booster : StagedBooster
        threads : int

        Returns
        -------
        array of float64, shape (n, k)
        """
        if booster not in self._margins:
            self._margins[booster] = booster.margins(self.X, threads=threads)
        return self._margins[booster]


_Labelled = tuple[BinnedMatrix, np.ndarray, np.ndarray]


def log_shares(y: np.ndarray, weight: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the log of class shares, as if each class had half a row more: absent ones stay finite.

    Parameters
    ----------
    y : array of int, shape (n,)
    weight : array, shape (n,)
    n_classes : int
        k.

    Returns
    -------
    array of float64, shape (k,)
        For two classes (0, log-odds of the second).
    """
    count = np.bincount(y, weights=weight, minlength=n_classes) + 0.5
    logs = np.log(count / count.sum())
    return logs - logs[0] if n_classes == 2 else logs


def _grow(
    grower: Grower, options: Growth, start_loss: float | None, on_round: OnRound | None
) -> tuple[int, dict[str, Any]]:
    """Grow round after round and find how many to keep.

    Parameters
    ----------
    grower : Grower
    options : Growth
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


def bin_features(
    backend: Backend | str,
    X: Any,
    feature_names: Sequence[str] | None = None,
    options: Growth | None = None,
    reference: BinnedMatrix | None = None,
    threads: int = 1,
) -> BinnedMatrix:
    """Bin features once, to train on with several labels, weights and starts.

    Parameters
    ----------
    backend : Backend or str
        The library, or its name.
    X : array or FeatureMatrix, shape (n, f)
        Missing is NaN. Kept by reference: do not change it afterwards.
    feature_names : sequence of str, optional
        Default: those that `X` carries, or f0, f1, ...
    options : Growth, optional
        `max_bin`.
    reference : BinnedMatrix, optional
        Take its bins (needed for validation rows that are binned ahead). Where it never missed a
        feature, missing values here are replaced by its medians: without `reference` the trees
        see them as missing.
    threads : int

    Returns
    -------
    BinnedMatrix

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
    check_binnable(matrix, names)
    engine = as_backend(backend)
    max_bin = reference.max_bin if reference else (options or BoostingOptions()).max_bin
    handle = engine.dataset(matrix, max_bin, reference.handle if reference else None, threads)
    cuts = reference.cuts if reference else object()
    return BinnedMatrix(engine, matrix, names, max_bin, stand_ins(matrix), handle, cuts)


def train(
    backend: Backend | str,
    data: Any,
    y: np.ndarray,
    *,
    options: Growth,
    n_classes: int | None = None,
    weight: np.ndarray | None = None,
    valid: tuple[Any, ...] | None = None,
    init: StagedBooster | None = None,
    feature_names: Sequence[str] | None = None,
    seed: int = 0,
    threads: int = 1,
    on_round: OnRound | None = None,
) -> StagedBooster:
    """Grow a booster on rows with class codes, or another stage on top of the booster `init`.

    A stage that continues starts from the margins of `init`, whose trees stay as they are. It keeps zero
    rounds where `init` alone is better on `valid`.

    Parameters
    ----------
    backend : Backend or str
    data : BinnedMatrix, array or FeatureMatrix, shape (n, f)
        Binned by :func:`bin_features`, or features to be binned for this training alone.
    y : array of int, shape (n,)
        Class codes 0 ... k - 1; classes may be absent.
    options : Growth
    n_classes : int, optional
        k: 2 gives one margin (logistic loss), more one each (softmax). Default: that of `init`.
    weight : array, shape (n,), optional
        Of mean about 1 (`l2` is in their unit). Class weights are the caller's.
    valid : (Xv, yv) or (Xv, yv, wv), optional
        Validation rows; the round of least log loss is kept. `Xv` may be a BinnedMatrix.
    init : StagedBooster, optional
    feature_names : sequence of str, optional
        Names of the columns of a bare array; default those of `init`.
    seed, threads : int
    on_round : callable, optional
        ``on_round(rounds, validation loss)`` after each round; what it raises ends the training.

    Returns
    -------
    StagedBooster

    Raises
    ------
    FitError, FeatureMismatch
        If rows, labels, weights or features are wrong, or differ from those of `init` or `valid`.
    """
    engine = as_backend(backend)
    bins = data if isinstance(data, BinnedMatrix) else _binned_for(init, engine, data, feature_names, options, threads)
    task = Task(n_classes if n_classes is not None else init.n_classes if init else 0, options, seed, threads)
    _check_task(engine, bins, task, init)
    labels, weights = checked_labels(y, len(bins), task.n_classes), checked_weights(weight, len(bins))
    judged = None if valid is None else _checked_valid(valid, bins, task)
    return _stage_on(init, bins, labels, weights, judged, task, on_round)


def _binned_for(
    init: StagedBooster | None,
    engine: Backend,
    X: Any,
    names: Sequence[str] | None,
    options: Growth,
    threads: int,
) -> BinnedMatrix:
    """Bin features for one training; nameless ones have the names of the booster that it continues."""
    bins = bin_features(engine, X, names, options, None, threads)
    if (
        init is not None
        and names is None
        and given_names(X) is None
        and len(bins.feature_names) == len(init.feature_names)
    ):
        return replace(bins, feature_names=init.feature_names)
    return bins


def _check_task(engine: Backend, bins: BinnedMatrix, task: Task, init: StagedBooster | None) -> None:
    if bins.backend.name != engine.name:
        raise FitError(f"the features were binned by {bins.backend.name}, not by {engine.name}: bin them again.")
    if task.n_classes < 2:
        raise FitError(f"a classifier needs at least 2 classes, got n_classes={task.n_classes}.")
    if init is None:
        return
    if init.backend != engine.name:
        raise FitError(f"trees of {init.backend} cannot be continued by {engine.name}.")
    if init.n_classes != task.n_classes:
        raise FitError(f"the booster to continue has {init.n_classes} classes, the labels {task.n_classes}.")
    check_names(bins.feature_names, bins.X.shape[1], init.feature_names)


def _checked_valid(valid: tuple[Any, ...], train: BinnedMatrix, task: Task) -> _Labelled:
    features, y, *rest = valid
    if isinstance(features, BinnedMatrix):
        check_names(features.feature_names, features.X.shape[1], train.feature_names)
        if features.cuts is not train.cuts:
            raise FitError("the validation rows were binned apart from the training rows: bin them with reference=.")
    else:
        features = bin_features(train.backend, features, None, task.options, train, task.threads)
    labels = checked_labels(y, len(features), task.n_classes)
    return features, labels, checked_weights(rest[0] if rest else None, len(features))


def _stage_on(
    init: StagedBooster | None,
    bins: BinnedMatrix,
    y: np.ndarray,
    weight: np.ndarray,
    valid: _Labelled | None,
    task: Task,
    on_round: OnRound | None,
) -> StagedBooster:
    """Grow a stage on checked rows and put it on top of `init`."""
    engine, k = bins.backend, task.n_classes
    intercept = np.zeros(k) if init else log_shares(y, weight, k)

    def rows_of(matrix: BinnedMatrix, labels: np.ndarray, weights: np.ndarray) -> Rows:
        start = matrix.margins(init, task.threads) if init else np.broadcast_to(intercept, (len(matrix), k))
        return Rows(matrix.X, matrix.handle, matrix.max_bin, labels, weights, start)

    rows = rows_of(bins, y, weight)
    judged = None if valid is None else rows_of(*valid)
    start_loss = None if judged is None else margin_loss(judged.start, judged.y, judged.weight)
    grower = engine.grower(rows, judged, task)
    best, history = _grow(grower, task.options, start_loss, on_round)
    stage = Stage(best, intercept, bins.fill, grower.finish(best) if best else None)
    history |= {"backend": engine.name, "rows": len(bins), "seed": task.seed}
    history |= {"options": task.options.model_dump() | {"backend": engine.name}}
    stages, before = (init.stages, init.history) if init else ((), ())
    return StagedBooster(engine, k, bins.feature_names, (*stages, stage), (*before, history))
