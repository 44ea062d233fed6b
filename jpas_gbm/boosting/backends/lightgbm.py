"""LightGBM as a backend (Ke et al. 2017, NeurIPS 30)."""

from __future__ import annotations

import re
import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ...errors import BundleError
from ...run import Later, trim
from ..backend import (
    LEFT,
    NUMBER,
    RIGHT,
    Backend,
    Forest,
    Grower,
    Rows,
    Task,
    UnpackableError,
    one_margin,
    register,
    two_margins,
)
from ..soundness import TreeShape, UnsoundError, check_lightgbm

if TYPE_CHECKING:
    import lightgbm
else:
    lightgbm = Later("lightgbm")

# The seed of bin sampling is fixed, so that bins made once serve every seed of training.
_BINNING = {
    "feature_pre_filter": False,
    "use_missing": True,
    "zero_as_missing": False,
    "data_random_seed": 1,
    "verbosity": -1,
}


_SAMPLE, _SAMPLED = 200_000, 1 << 21
"""Rows from which LightGBM finds its cuts, at most; values that it copies for that at a time, in double precision. What
many columns would take beside the features, a few take in turn: bins, trees and scores are the same bits."""


def _training_parameters(task: Task, max_bin: int) -> dict[str, Any]:
    """Return LightGBM's names and values for our options.

    With `deterministic` and a fixed histogram layout the trees are the same bits for any number of
    threads (tested); the seeds of sampling are set one by one because `seed` would reach the bins.

    Parameters
    ----------
    task : Task
    max_bin : int

    Returns
    -------
    dict
    """
    options = task.options
    softmax = task.n_classes > 2
    return _BINNING | {
        "objective": "multiclass" if softmax else "binary",
        **({"num_class": task.n_classes} if softmax else {}),
        "metric": "multi_logloss" if softmax else "binary_logloss",
        "learning_rate": options.learning_rate,
        "num_leaves": options.leaves,
        "min_data_in_leaf": options.min_child,
        "feature_fraction": options.feature_fraction,
        "bagging_fraction": options.row_fraction,
        "bagging_freq": 1 if options.row_fraction < 1 else 0,
        "lambda_l2": options.l2,
        "max_bin": max_bin,
        "boost_from_average": False,
        "deterministic": True,
        "force_row_wise": True,
        "bagging_seed": task.seed % 2**31,
        "feature_fraction_seed": (task.seed + 1) % 2**31,
        "num_threads": task.threads,
    }


class _Growing(Grower):
    def __init__(self, train: Rows, valid: Rows | None, task: Task) -> None:
        parameters = _training_parameters(task, train.max_bin)
        self.booster = lightgbm.Booster(parameters, _dressed(train))
        if valid is not None:
            self.booster.add_valid(_dressed(valid), "valid")

    def step(self) -> bool:
        return not self.booster.update()

    def loss(self) -> float:
        return float(self.booster.eval_valid()[0][2])

    def finish(self, rounds: int) -> lightgbm.Booster:
        # Through text and back: what is used now is what will be read, and the rows are let go.
        return lightgbm.Booster(model_str=self.booster.model_to_string(num_iteration=rounds))


def _dressed(rows: Rows) -> lightgbm.Dataset:
    """Give binned rows the labels, weights and start of one training.

    All three are set each time, and weights as a field: a Dataset keeps those of the last training,
    and setting `init_score` to None, or weights to ones, leaves the old ones in place.
    """
    dataset = rows.handle
    dataset.set_label(rows.y)
    dataset.set_field("weight", rows.weight)
    dataset.set_init_score(np.ascontiguousarray(one_margin(rows.start), dtype=np.float64))
    return dataset


class Unread:
    """A model whose text is known, and which the library reads when it is first asked to walk it.

    Parameters
    ----------
    text : str
        As ``Booster.model_to_string`` writes it.
    path : Path
        Where it was, for messages.
    """

    def __init__(self, text: str, path: Path) -> None:
        self.text, self._path = text, path

    @cached_property
    def booster(self) -> lightgbm.Booster:
        """The library's own."""
        try:
            return lightgbm.Booster(model_str=self.text)
        except lightgbm.basic.LightGBMError as error:
            raise BundleError(f"{self._path}: is not a LightGBM model ({error}). Restore it or fit again.") from error


_Trees: TypeAlias = "lightgbm.Booster | Unread"


def _read(trees: _Trees) -> lightgbm.Booster:
    return trees.booster if isinstance(trees, Unread) else trees


def _text(trees: _Trees) -> str:
    return trees.text if isinstance(trees, Unread) else trees.model_to_string()


def read_text(text: str) -> Forest:
    """Read the text of a LightGBM model.

    Parameters
    ----------
    text : str
        As ``Booster.model_to_string`` writes it.

    Returns
    -------
    Forest

    Raises
    ------
    UnpackableError
        If it has splits or leaves that a :class:`Forest` cannot hold.
    """
    head, _, body = text.partition("\nTree=0\n")
    body = body.partition("\nend of trees")[0]

    def numbers(name: str, dtype: Any) -> np.ndarray:
        return np.array(" ".join(re.findall(rf"^{name}=(.*)$", body, re.MULTILINE)).split(), dtype=dtype)

    if "average_output" in head or numbers("num_cat", int).any() or numbers("is_linear", int).any():
        raise UnpackableError("averaged trees, splits of categories or linear leaves")
    kind, exact = numbers("decision_type", np.int64), numbers("threshold", np.float64)
    default = np.where(kind & 2, LEFT, RIGHT)
    with np.errstate(over="ignore"):
        cut = exact.astype(np.float32)
    # Of float32 values the same are at most the cut if it is rounded down.
    cut = np.where(cut.astype(np.float64) > exact, np.nextafter(cut, np.float32(-np.inf)), cut)
    missing = kind >> 2 & 3
    outputs = re.search(r"^num_tree_per_iteration=(\d+)$", head, re.MULTILINE)
    if outputs is None:
        raise UnpackableError("a head that does not say how many trees make a round")
    return Forest(
        outputs=int(outputs[1]),
        leaves=numbers("num_leaves", np.int32),
        feature=numbers("split_feature", np.int32),
        cut=cut,
        nan=np.where(missing == 0, NUMBER, default).astype(np.int8),
        zero=np.where(missing == 1, default, NUMBER).astype(np.int8),
        left=numbers("left_child", np.int32),
        right=numbers("right_child", np.int32),
        value=numbers("leaf_value", np.float64),
        cover=numbers("leaf_count", np.float64),
        node_cover=numbers("internal_count", np.float64),
        tiny=float(np.float32(1e-35)),
    )


@register("lightgbm")
class LightGBM(Backend):
    """Trees of LightGBM."""

    suffix = ".txt"

    def dataset(self, X: np.ndarray, max_bin: int, reference: Any, threads: int) -> lightgbm.Dataset:
        parameters = _BINNING | {"max_bin": max_bin, "num_threads": threads}
        width = X.shape[1]
        step = width if reference is not None else max(_SAMPLED // min(len(X), _SAMPLE), 1)

        def binned(first: int) -> lightgbm.Dataset:
            part = np.ascontiguousarray(X[:, first : first + step])
            names: Any = "auto" if step >= width else [f"Column_{first + i}" for i in range(part.shape[1])]
            # The matrix is ours to keep (BinnedMatrix.X); LightGBM need not hold it too.
            made = lightgbm.Dataset(part, params=parameters, reference=reference, feature_name=names)
            return made.construct()

        made = binned(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no raw data are kept
            for first in range(step, width, step):
                made.add_features_from(binned(first))
        trim()
        return made

    def grower(self, train: Rows, valid: Rows | None, task: Task) -> Grower:
        return _Growing(train, valid, task)

    def raw_margins(self, trees: _Trees, X: np.ndarray, n_classes: int, threads: int) -> np.ndarray:
        raw = _read(trees).predict(X, raw_score=True, num_threads=threads)
        return raw if n_classes > 2 else two_margins(raw)

    def forest(self, trees: _Trees) -> Forest:
        return read_text(_text(trees))

    def raw_contributions(self, trees: _Trees, X: np.ndarray, n_classes: int, threads: int) -> np.ndarray:
        shares = _read(trees).predict(X, pred_contrib=True, num_threads=threads)
        if n_classes > 2:
            return shares.reshape(len(X), n_classes, X.shape[1] + 1)
        return two_margins(shares)

    def gain(self, trees: _Trees, n_features: int) -> np.ndarray:
        return _read(trees).feature_importance("gain").astype(np.float64)

    def write_trees(self, trees: _Trees, path: Path) -> None:
        path.write_text(_text(trees), encoding="utf-8")

    def read_trees(self, path: Path, shape: TreeShape) -> Unread:
        try:
            text = path.read_text(encoding="utf-8")
            check_lightgbm(text, shape)
            return Unread(text, path)
        except (UnsoundError, UnicodeDecodeError) as error:
            raise BundleError(f"{path}: is not a LightGBM model ({error}). Restore it or fit again.") from error
