"""What enters the trees: a float32 matrix, labels, weights and folds, each checked once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import FeatureMismatch, FitError
from ..store import native
from ..text import count

_BLOCK = 65_536
_MEDIAN_ROWS = 20_000
_WORTH_SAYING = 0.01
_FEW_COLUMNS = 8


class UnseenMissingWarning(UserWarning):
    """More than 1 % of rows miss features that no training row missed; medians of training stand in."""


@contextmanager
def quiet_fills() -> Iterator[None]:
    """Say nothing of features that were filled: trees that a fit tries are not those that will meet the sky.

    Yields
    ------
    None
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenMissingWarning)
        yield


def _blocks(n: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, n, _BLOCK)]


def default_names(count: int) -> tuple[str, ...]:
    """Return ``f0, f1, ...``: the names of features that were given none.

    Parameters
    ----------
    count : int

    Returns
    -------
    tuple of str
    """
    return tuple(f"f{i}" for i in range(count))


def given_names(X: Any) -> tuple[str, ...] | None:
    """Return the feature names that a matrix carries (a data frame's `columns`, or `names`), if any.

    Parameters
    ----------
    X : object

    Returns
    -------
    tuple of str or None
    """
    for attribute in ("columns", "names"):
        names = getattr(X, attribute, None)
        if names is not None:
            return tuple(map(str, names))
    return None


def as_matrix(X: Any) -> np.ndarray:
    """Return features as C-contiguous, native float32, copied only where that is needed.

    Parameters
    ----------
    X : array-like, masked array, data frame or FeatureMatrix, shape (n, f)
        Masked elements become NaN, big-endian (FITS) elements native.

    Returns
    -------
    array of float32, shape (n, f)

    Raises
    ------
    FeatureMismatch
        If it is not two-dimensional, not numbers, or holds infinite values.
    """
    if not hasattr(X, "columns"):  # a data frame may have a column named X
        X = getattr(X, "X", X)
    if isinstance(X, np.ma.MaskedArray):
        X = np.ma.filled(X.astype(np.float32), np.nan)
    array = native(np.asarray(X))
    if array.ndim != 2:
        raise FeatureMismatch(
            f"the features have {count(array.ndim, 'dimension')}, (rows, features) are needed. "
            "One row alone is X[None, :], one feature alone X[:, None]."
        )
    if array.dtype.kind not in "fiub":
        raise FeatureMismatch(f"the features are of type {array.dtype}, numbers are needed; missing is NaN.")
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(array, dtype=np.float32)
    _refuse_infinite(matrix)
    return matrix


def _refuse_infinite(matrix: np.ndarray) -> None:
    for block in _blocks(len(matrix)):
        infinite = np.isinf(matrix[block])
        if infinite.any():
            row, column = np.argwhere(infinite)[0]
            raise FeatureMismatch(
                f"feature column {column} is infinite (or beyond float32) in row {block.start + row}. "
                "Missing values are NaN; mend the feature or set it to NaN."
            )


def check_names(got: Sequence[str] | None, count: int, expected: Sequence[str]) -> None:
    """Refuse features that are not those the trees were grown on, in that order.

    Parameters
    ----------
    got : sequence of str or None
        Names that came with the features, if any.
    count : int
        Number of feature columns.
    expected : sequence of str
        Names that the trees were grown on.

    Raises
    ------
    FeatureMismatch
        If the number, the names or the order differ.
    """
    if got is None:
        if count != len(expected):
            raise FeatureMismatch(
                f"the matrix has {count} features, the model was trained on {len(expected)}. "
                "Compute the features with the model's own recipe."
            )
        return
    got, expected = tuple(got), tuple(expected)
    if got == expected:
        return
    missing = [name for name in expected if name not in got]
    unknown = [name for name in got if name not in expected]
    if missing or unknown:
        parts = [f"missing: {', '.join(missing[:5])}"] if missing else []
        parts += [f"not known to the model: {', '.join(unknown[:5])}"] if unknown else []
        raise FeatureMismatch(
            f"{len(missing)} of {len(expected)} features are missing and {len(unknown)} are unknown "
            f"({'; '.join(parts)}). Compute the features with the model's own recipe."
        )
    first = next(i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b)
    raise FeatureMismatch(
        f"the features are in another order than the model's: column {first} is '{got[first]}', the model has "
        f"'{expected[first]}' there. Trees read columns by position: reorder them to the model's feature_names."
    )


def check_binnable(matrix: np.ndarray, names: Sequence[str]) -> None:
    """Refuse a matrix without cells, or whose columns do not have a name of their own each.

    Parameters
    ----------
    matrix : array, shape (n, f)
    names : sequence of str
        Names of its columns.

    Raises
    ------
    FeatureMismatch
        If names do not fit the columns.
    FitError
        If there is nothing to train on.
    """
    if len(names) != matrix.shape[1] or len(set(names)) < len(names):
        raise FeatureMismatch(
            f"{len(names)} feature names ({len(set(names))} different) for {matrix.shape[1]} columns: "
            "each column needs a name of its own."
        )
    if not matrix.size:
        raise FitError(f"the features have shape {matrix.shape}: there is nothing to train on.")


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return matrices one below the other: a view where they already lie so in one array, else a copy.

    Parameters
    ----------
    parts : sequence of array, shape (n_i, f)
        At least one, of one type.

    Returns
    -------
    array, shape (sum of n_i, f)
    """
    if len(parts) == 1:
        return parts[0]
    whole = parts[0].base
    if isinstance(whole, np.ndarray) and whole.flags.c_contiguous and whole.shape[1:] == parts[0].shape[1:]:
        lies = [part.base is whole and part.flags.c_contiguous and part.dtype == whole.dtype for part in parts]
        starts = [part.__array_interface__["data"][0] - whole.__array_interface__["data"][0] for part in parts]
        ends = [start + part.nbytes for start, part in zip(starts, parts, strict=True)]
        if all(lies) and starts[1:] == ends[:-1] and whole.strides[0]:
            return whole[starts[0] // whole.strides[0] : ends[-1] // whole.strides[0]]
    return np.concatenate(parts)


def has_missing(X: np.ndarray) -> np.ndarray:
    """Return which features are NaN in any row.

    Parameters
    ----------
    X : array of float32, shape (n, f)

    Returns
    -------
    array of bool, shape (f,)
    """
    found = np.zeros(X.shape[1], dtype=bool)
    for block in _blocks(len(X)):
        found |= np.isnan(X[block]).any(axis=0)
    return found


def stand_ins(X: np.ndarray) -> np.ndarray:
    """Return what stands for NaN at predict time, float32 (f,).

    The median of training where training never missed the feature; NaN where it did, since the
    trees then know themselves where such rows go.

    Parameters
    ----------
    X : array of float32, shape (n, f)
        Rows of a training.

    Returns
    -------
    array of float32, shape (f,)
    """
    fill = np.full(X.shape[1], np.nan, dtype=np.float32)
    complete = np.flatnonzero(~has_missing(X))
    if len(X) and len(complete):
        step = -(-len(X) // _MEDIAN_ROWS)
        fill[complete] = np.median(X[::step], axis=0)[complete]
    return fill


def filled(X: np.ndarray, fill: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, str | None]:
    """Put `fill` where a feature that training never missed is NaN.

    LightGBM reads such a NaN as 0 and XGBoost sends it along a direction that no row ever chose.

    Parameters
    ----------
    X : array of float32, shape (n, f)
    fill : array of float32, shape (f,)
        From :func:`stand_ins`.
    names : sequence of str
        Names of the features, f.

    Returns
    -------
    array of float32, shape (n, f)
        `X` itself if there was nothing to fill, else a copy.
    str or None
        A sentence that names what was filled, if that is more than one row in a hundred.
    """
    complete = np.flatnonzero(~np.isnan(fill))
    if not len(complete):
        return X, None
    if len(complete) > _FEW_COLUMNS:
        missed = complete[has_missing(X)[complete]]
    else:
        missed = complete[[bool(np.isnan(X[:, j]).any()) for j in complete]]
    if not len(missed):
        return X, None
    X = X.copy()
    gone = np.isnan(X[:, missed])
    X[:, missed] = np.where(gone, fill[missed], X[:, missed])
    return X, fill_message(gone, missed, names)


def fill_message(gone: np.ndarray, missed: np.ndarray, names: Sequence[str]) -> str | None:
    """Return a sentence that names what was filled, if that is more than one row in a hundred.

    Parameters
    ----------
    gone : array of bool, shape (n, m)
        Where the features filled were NaN.
    missed : array of int, shape (m,)
        These features.
    names : sequence of str
        Names of all features.

    Returns
    -------
    str or None
    """
    many = int(np.count_nonzero(gone.any(axis=1)))
    if many <= _WORTH_SAYING * len(gone):
        return None
    named = ", ".join(names[j] for j in missed[:5]) + (", ..." if len(missed) > 5 else "")
    return (
        f"{many:,} of {count(len(gone), 'row')} miss {count(len(missed), 'feature')} that no training row missed "
        f"({named}); the medians of training stand in for them. Train with missing values like those of the sky to do "
        "better."
    )


def checked_labels(y: Any, n: int, n_classes: int) -> np.ndarray:
    """Return labels as class codes, or say what is wrong with them.

    Parameters
    ----------
    y : array-like, shape (n,)
    n : int
        Number of rows there are.
    n_classes : int

    Returns
    -------
    array of int32, shape (n,)

    Raises
    ------
    FitError
        If the length differs, or a label is not one of 0 ... n_classes - 1 (-1 is unlabelled).
    """
    labels = np.asarray(y)
    if isinstance(y, np.ma.MaskedArray) and np.ma.getmaskarray(y).any():
        raise FitError("some labels are masked: leave those rows out of training.")
    if labels.shape != (n,):
        raise FitError(f"the labels have shape {labels.shape}, there are {n} rows.")
    if labels.dtype.kind not in "iub" and not (labels.dtype.kind == "f" and np.all(labels == np.rint(labels))):
        raise FitError(
            f"the labels are of type {labels.dtype}; class codes 0 ... {n_classes - 1} are needed. "
            "Use JpasClassifier for labels of any other kind."
        )
    labels = native(labels).astype(np.int32)
    wrong = (labels < 0) | (labels >= n_classes)
    if wrong.any():
        raise FitError(
            f"{int(wrong.sum())} of {n} labels are not among 0 ... {n_classes - 1} (the first is "
            f"{labels[wrong][0]}; -1 is unlabelled). Train on labelled rows only."
        )
    return labels


def checked_weights(weight: Any, n: int) -> np.ndarray:
    """Return row weights, ones where none are given.

    Parameters
    ----------
    weight : array-like, shape (n,), or None
    n : int
        Number of rows there are.

    Returns
    -------
    array of float32, shape (n,)

    Raises
    ------
    FitError
        If the length differs, or one is negative or not finite, or all are zero.
    """
    if weight is None:
        return np.ones(n, dtype=np.float32)
    array = native(np.asarray(weight)).astype(np.float32)
    if array.shape != (n,):
        raise FitError(f"the weights have shape {array.shape}, there are {n} rows.")
    if not np.isfinite(array).all() or (array < 0).any():
        raise FitError("some weights are negative or not finite; a weight of 0 leaves a row out.")
    if n and not array.any():
        raise FitError("all weights are zero: there is nothing to train on.")
    return array


def class_weights(y: np.ndarray, n_classes: int, power: float, weight: np.ndarray | None = None) -> np.ndarray:
    """Return row weights that lift rare classes: class frequency to minus `power`, times `weight`.

    Parameters
    ----------
    y : array of int, shape (n,)
    n_classes : int
    power : float
        0 keeps the natural mix, 1 makes classes equal; probabilities then need recalibration.
    weight : array, shape (n,), optional
        Weights that frequencies are counted with and that the result is multiplied by.

    Returns
    -------
    array of float64, shape (n,)
        With the sum of `weight`; of mean 1 without it.
    """
    rows = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    count = np.bincount(y, weights=rows, minlength=n_classes)
    factor = np.where(count > 0, np.where(count > 0, count, 1.0) ** -power, 0.0)
    lifted = rows * factor[y]
    return lifted / (lifted.mean() / rows.mean()) if lifted.any() else lifted


def stratified_folds(labels: np.ndarray, folds: int, *, seed: int = 0, groups: np.ndarray | None = None) -> np.ndarray:
    """Deal rows to folds: rows of one object together, each class as evenly as its objects allow.

    Parameters
    ----------
    labels : array of int, shape (n,)
        Codes >= 0. An object's class is that of its first row.
    folds : int
        Number of folds; fewer if there are fewer objects.
    seed : int
        Seed of the deal.
    groups : array, shape (n,), optional
        Names the object of each row; default each row its own.

    Returns
    -------
    array of int, shape (n,)
        Fold numbers, counted from 0.

    Raises
    ------
    FitError
        If there are not two objects.
    """
    labels = np.asarray(labels)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    if len(first) < 2 or folds < 2:
        raise FitError(
            f"{count(len(first), 'object')} cannot be dealt to {folds} folds; at least 2 of each are needed."
        )
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(first))
    order = shuffled[np.argsort(labels[first][shuffled], kind="stable")]
    # Dealing goes on from class to class, so that folds stay even when classes are tiny.
    fold = np.empty(len(first), dtype=np.intp)
    fold[order] = np.arange(len(first)) % min(folds, len(first))
    return fold[member.ravel()]
