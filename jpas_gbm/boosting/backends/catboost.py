"""CatBoost as a backend (Prokhorenkova et al. 2018, NeurIPS 31); an extra: ``pip install 'jpas-gbm[catboost]'``.

Its trees are symmetric (one split for all nodes of a level). CatBoost can grow others, but the contributions that
version 1.2 gives for leaf-wise trees miss the margins by up to 1; those of symmetric trees add up to 1e-15.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BundleError, ConfigError
from ...scores.losses import margin_loss
from ..backend import Backend, Grower, Rows, Task, one_margin, register, two_margins
from ..soundness import TreeShape

try:
    import catboost
except ImportError as error:
    raise ConfigError(
        "the backend 'catboost' needs the library CatBoost, which is not installed. Install it with "
        "pip install 'jpas-gbm[catboost]', or choose the backend lightgbm or xgboost."
    ) from error

_CHUNK = 20
"""Rounds grown at a time: CatBoost cannot be stepped, and each fit reads the rows anew."""

_PRESENT = "jpas_gbm_classes"
"""Key of a model's metadata: the classes that its outputs are for."""


def _training_parameters(task: Task, max_bin: int, n_present: int) -> dict[str, Any]:
    """Return CatBoost's names and values for our options.

    Parameters
    ----------
    task : Task
    max_bin : int
        Most bins of a feature.
    n_present : int
        Number of classes that have rows.

    Returns
    -------
    dict
        The depth is that of a symmetric tree of `leaves` leaves, rounded up. `min_child` has no counterpart
        for symmetric trees, whose small leaves are shrunk by `l2` alone.
    """
    options = task.options
    return {
        **({"loss_function": "MultiClass", "classes_count": n_present} if task.n_classes > 2 else {}),
        **({"loss_function": "Logloss"} if task.n_classes == 2 else {}),
        "learning_rate": options.learning_rate,
        "depth": int(np.clip(np.ceil(np.log2(options.leaves)), 1, 16)),
        "l2_leaf_reg": options.l2,
        "rsm": options.feature_fraction,
        "bootstrap_type": "Bernoulli",
        "subsample": options.row_fraction,
        "border_count": max_bin - 1,
        "boosting_type": "Plain",
        "boost_from_average": False,
        "leaf_estimation_method": "Newton",
        "leaf_estimation_iterations": 1,
        "random_strength": 0,
        "thread_count": task.threads,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }


class _Growing(Grower):
    """Chunks of rounds, each a fit from the margins so far, joined at the end.

    Classes without rows are left out and keep their margins, as LightGBM leaves them.
    """

    def __init__(self, train: Rows, valid: Rows | None, task: Task) -> None:
        self.rows, self.valid, self.task = train, valid, task
        share = np.bincount(train.y, weights=train.weight, minlength=task.n_classes)
        self.present = np.flatnonzero(share > 0)
        self.start = np.array(train.start[:, self.present], dtype=np.float64)
        self.margins = None if valid is None else np.array(valid.start)
        self.chunks: list[catboost.CatBoost] = []
        self.rounds = 0

    def step(self) -> bool:
        if len(self.present) < 2 or not self.rows.handle:
            return False
        place = self.rounds % _CHUNK
        if not place:
            self._grow_chunk()
        if self.valid is not None and self.margins is not None:
            self.margins[:, self.present] += self._margins(self.valid.X, place, place + 1)
        self.rounds += 1
        return True

    def _margins(self, X: np.ndarray, first: int, end: int) -> np.ndarray:
        """Return what rounds `first` to `end` of the last chunk add to the margins of present classes."""
        raw = self.chunks[-1].predict(X, "RawFormulaVal", first, end, thread_count=self.task.threads)
        return raw if raw.ndim == 2 else two_margins(raw)

    def _grow_chunk(self) -> None:
        if self.chunks:
            self.start += self._margins(self.rows.X, 0, _CHUNK)
        baseline = one_margin(self.start) if self.task.n_classes == 2 else self.start
        # Rows of classes without weight have none either: any code will do for them.
        y = np.searchsorted(self.present, self.rows.y).clip(0, len(self.present) - 1)
        pool = catboost.Pool(self.rows.X, y, weight=self.rows.weight, baseline=baseline, thread_count=self.task.threads)
        with tempfile.TemporaryDirectory() as folder:
            borders = Path(folder) / "borders.tsv"
            borders.write_text(self.rows.handle, encoding="utf-8")
            pool.quantize(input_borders=str(borders))
        parameters = _training_parameters(self.task, self.rows.max_bin, len(self.present))
        seed = (self.task.seed + len(self.chunks)) % 2**31
        trees = catboost.CatBoost(parameters | {"iterations": _CHUNK, "random_seed": seed})
        trees.fit(pool)
        self.chunks.append(trees)

    def loss(self) -> float:
        assert self.valid is not None and self.margins is not None
        return margin_loss(self.margins, self.valid.y, self.valid.weight)

    def finish(self, rounds: int) -> catboost.CatBoost:
        kept = self.chunks[: -(-rounds // _CHUNK)]
        kept[-1].shrink(rounds - _CHUNK * (len(kept) - 1))
        trees = catboost.sum_models(kept) if len(kept) > 1 else kept[0]
        trees.get_metadata()[_PRESENT] = " ".join(map(str, self.present))
        return trees


def _all_classes(raw: np.ndarray, trees: catboost.CatBoost, n_classes: int) -> np.ndarray:
    """Return (n, k, ...) with zeros for classes that the trees leave alone."""
    if n_classes == 2:
        return two_margins(raw)
    whole = np.zeros((len(raw), n_classes, *raw.shape[2:]))
    whole[:, [int(c) for c in trees.get_metadata()[_PRESENT].split()]] = raw
    return whole


@register("catboost")
class CatBoost(Backend):
    """Symmetric trees of CatBoost. The library's data set is the text of its bin borders, empty if there are none."""

    suffix = ".cbm"

    def dataset(self, X: np.ndarray, max_bin: int, reference: Any, threads: int) -> str:
        if reference is not None:
            return str(reference)
        pool = catboost.Pool(X, thread_count=threads)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "borders.tsv"
            try:
                pool.quantize(border_count=max_bin - 1, nan_mode="Min", random_seed=1)
            except catboost.CatBoostError:
                if all(len(np.unique(column)) < 2 for column in X.T):
                    return ""
                raise
            pool.save_quantization_borders(str(path))
            return path.read_text(encoding="utf-8")

    def grower(self, train: Rows, valid: Rows | None, task: Task) -> Grower:
        return _Growing(train, valid, task)

    def raw_margins(self, trees: Any, X: np.ndarray, n_classes: int, threads: int) -> np.ndarray:
        return _all_classes(trees.predict(X, "RawFormulaVal", thread_count=threads), trees, n_classes)

    def raw_contributions(self, trees: Any, X: np.ndarray, n_classes: int, threads: int) -> np.ndarray:
        pool = catboost.Pool(X, thread_count=threads)
        return _all_classes(trees.get_feature_importance(pool, "ShapValues", thread_count=threads), trees, n_classes)

    def gain(self, trees: Any, n_features: int) -> np.ndarray:
        """Return how much predictions change with each feature, in per cent of the whole, float64 (f,).

        Parameters
        ----------
        trees : CatBoost
        n_features : int
            f.

        Returns
        -------
        array of float64, shape (f,)
        """
        return np.asarray(trees.get_feature_importance(type="PredictionValuesChange"), dtype=np.float64)

    def write_trees(self, trees: Any, path: Path) -> None:
        trees.save_model(str(path), format="cbm")

    def read_trees(self, path: Path, shape: TreeShape) -> catboost.CatBoost:
        try:
            return catboost.CatBoost().load_model(str(path), format="cbm")
        except catboost.CatBoostError as error:
            raise BundleError(f"{path}: is not a CatBoost model ({error}). Restore it or fit again.") from error
