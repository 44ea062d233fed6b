"""XGBoost as a backend (Chen and Guestrin 2016, KDD)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from ...errors import BundleError
from ...scores.losses import softmax
from ..backend import Backend, Grower, Rows, Task, one_margin, register, two_margins
from ..soundness import TreeShape, check_xgboost

_LEAST_CURVATURE = 1e-16


def step_ratio(n_classes: int) -> float:
    """Return how much longer XGBoost's learning rate must be for the step that LightGBM takes.

    For softmax of k classes XGBoost takes 2 p (1 - p) as the curvature, LightGBM k / (k - 1) p (1 - p)
    (Friedman 2001's factor): at equal rates its leaves are shorter by the ratio of the two. With the
    rate and the L2 penalty both multiplied by that ratio one round of either moves as far. The
    logistic loss of two classes has one curvature.

    Parameters
    ----------
    n_classes : int
        k.

    Returns
    -------
    float
    """
    return 2 * (n_classes - 1) / n_classes if n_classes > 2 else 1.0


def _training_parameters(task: Task, max_bin: int) -> dict[str, Any]:
    """Return XGBoost's names and values for our options, which are in LightGBM's units.

    `min_child` counts rows in LightGBM; XGBoost knows only the sum of curvatures, which for rows
    that are half decided is about a twentieth to a quarter of their number: a twentieth is taken.

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
    ratio = step_ratio(task.n_classes)
    return {
        "objective": "multi:softprob" if softmax else "binary:logistic",
        **({"num_class": task.n_classes} if softmax else {}),
        "eval_metric": "mlogloss" if softmax else "logloss",
        # Margins start from what we give; these are the values that add nothing to it.
        "base_score": 0.0 if softmax else 0.5,
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_depth": 0,
        "max_leaves": options.leaves,
        "eta": min(1.0, options.learning_rate * ratio),
        "lambda": options.l2 * ratio,
        "min_child_weight": options.min_child / 20 * ratio,
        "colsample_bytree": options.feature_fraction,
        "subsample": options.row_fraction,
        "max_bin": max_bin,
        "seed": task.seed % 2**31,
        "nthread": task.threads,
        "verbosity": 0,
    }


class _Growing(Grower):
    def __init__(self, train: Rows, valid: Rows | None, task: Task) -> None:
        self.rows = train
        self.absent = np.bincount(train.y, weights=train.weight, minlength=task.n_classes) == 0
        self.train = _dressed(train)
        self.valid = None if valid is None else _dressed(valid)
        known = [self.train] if self.valid is None else [self.train, self.valid]
        self.booster = xgboost.Booster(_training_parameters(task, train.max_bin), cache=known)
        self.rounds = 0

    def step(self) -> bool:
        if self.absent.any():
            if len(self.absent) == 2:
                return False
            self._spare_absent_classes()
        else:
            self.booster.update(self.train, self.rounds)
        self.rounds += 1
        return True

    def _spare_absent_classes(self) -> None:
        """Grow a round that leaves the margins of classes without rows alone, as LightGBM does.

        Left to itself XGBoost would push a class that happens to lack labels out of every region
        where an earlier stage had learnt it.
        """
        p = softmax(self.booster.predict(self.train, output_margin=True).astype(np.float64))
        weight = self.rows.weight[:, None]
        hessian = np.maximum(2 * p * (1 - p) * weight, _LEAST_CURVATURE)
        gradient = p
        gradient[np.arange(len(p)), self.rows.y] -= 1
        gradient *= weight
        gradient[:, self.absent] = 0
        hessian[:, self.absent] = _LEAST_CURVATURE
        self.booster.boost(self.train, self.rounds, grad=gradient.astype(np.float32), hess=hessian.astype(np.float32))

    def loss(self) -> float:
        told = self.booster.eval_set([(self.valid, "valid")], self.rounds - 1)
        return float(told.rsplit(":", 1)[1])

    def finish(self, rounds: int) -> xgboost.Booster:
        # Cut to the best rounds: left whole, XGBoost would predict with all that were grown.
        return _revived(self.booster[:rounds].save_raw("ubj"))


def _revived(raw: bytearray | str) -> xgboost.Booster:
    booster = xgboost.Booster()
    booster.load_model(raw)
    return booster


def _dressed(rows: Rows) -> xgboost.QuantileDMatrix:
    matrix = rows.handle
    matrix.set_label(rows.y)
    matrix.set_weight(rows.weight)
    matrix.set_base_margin(np.ascontiguousarray(one_margin(rows.start), dtype=np.float32))
    return matrix


@register("xgboost")
class XGBoost(Backend):
    """Trees of XGBoost, which adds up margins and contributions in single precision."""

    suffix = ".ubj"
    shap_tolerance = 1e-4
    shap_relative = True

    def dataset(self, X: np.ndarray, max_bin: int, reference: Any, threads: int) -> xgboost.QuantileDMatrix:
        return xgboost.QuantileDMatrix(X, missing=np.nan, max_bin=max_bin, ref=reference, nthread=threads)

    def grower(self, train: Rows, valid: Rows | None, task: Task) -> Grower:
        return _Growing(train, valid, task)

    def raw_margins(self, trees: xgboost.Booster, X: np.ndarray, n_classes: int, threads: int) -> np.ndarray:
        trees.set_param({"nthread": threads})
        raw = trees.inplace_predict(X, predict_type="margin", missing=np.nan, validate_features=False)
        raw = raw.astype(np.float64)
        return raw if n_classes > 2 else two_margins(raw.reshape(len(X)))

    def raw_contributions(self, trees: xgboost.Booster, X: np.ndarray, n_classes: int, threads: int) -> np.ndarray:
        trees.set_param({"nthread": threads})
        matrix = xgboost.DMatrix(X, missing=np.nan, nthread=threads)
        shares = trees.predict(matrix, pred_contribs=True, validate_features=False).astype(np.float64)
        if n_classes > 2:
            return shares.reshape(len(X), n_classes, X.shape[1] + 1)
        return two_margins(shares)

    def gain(self, trees: xgboost.Booster, n_features: int) -> np.ndarray:
        gains = np.zeros(n_features)
        for name, value in trees.get_score(importance_type="total_gain").items():
            gains[int(name.removeprefix("f"))] = value
        return gains

    def write_trees(self, trees: xgboost.Booster, path: Path) -> None:
        path.write_bytes(trees.save_raw("ubj"))

    def read_trees(self, path: Path, shape: TreeShape) -> xgboost.Booster:
        try:
            raw = path.read_bytes()
            check_xgboost(raw, shape)
            return _revived(bytearray(raw))
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise BundleError(f"{path}: is not an XGBoost model ({error}). Restore it or fit again.") from error
