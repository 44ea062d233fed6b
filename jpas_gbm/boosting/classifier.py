"""JpasClassifier: the boosted trees as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ..config import parse_options
from ..options import BoostingOptions, Growth
from ..scores.losses import softmax
from ..store import native
from .booster import StagedBooster
from .matrix import class_weights
from .training import train


class JpasClassifier(ClassifierMixin, BaseEstimator):
    """Gradient-boosted trees of a registered library, with the checks that none of them makes.

    Beside what scikit-learn asks of a classifier: permuted or missing columns of a data frame are
    refused, big-endian (FITS) arrays are read right, masked elements count as missing, NaN is
    missing and infinity is refused; NaN in a column that training never missed is replaced by the
    column's median, with a warning.

    Parameters
    ----------
    backend : str
        The library that grows the trees: "lightgbm", "xgboost" or another registered backend.
    learning_rate : float
        Shrinkage of each round, in LightGBM's unit (XGBoost's is scaled to equal steps).
    leaves : int
        Leaves of a tree.
    min_child : int
        Fewest rows in a leaf.
    rounds : int
        Most boosting rounds.
    patience : int
        With `eval_set`: rounds without gain before stopping; 0 never stops. The best round is kept.
    feature_fraction, row_fraction : float
        Shares of the features and of the rows that a tree sees.
    l2 : float
        L2 penalty on leaf values.
    max_bin : int
        Histogram bins of a feature.
    class_weight_power : float
        Class weights are class frequency to minus this power. 0, the natural mix, keeps
        probabilities honest; more finds rare classes and needs recalibration.
    random_state : int, RandomState or None
        Seed of row and feature sampling.
    n_jobs : int
        Threads.

    Attributes
    ----------
    classes_ : array, shape (k,)
        Class labels, sorted, of any type that scikit-learn takes.
    booster_ : StagedBooster
        The trees; :meth:`contributions` and its `save` go further than scikit-learn does.
    boosters_ : tuple
        The library's own boosters, one for each stage that has trees: what ``shap.TreeExplainer`` takes.
    feature_importances_ : array of float64, shape (f,)
        Share of each feature in the gain of all splits; sums to 1, or is 0 without a split.
    n_features_in_ : int
    feature_names_in_ : array of str
        Only after fitting on a data frame with string names.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> classifier = JpasClassifier(rounds=20).fit(X, y)
    >>> classifier.predict_proba(X).shape
    (150, 3)
    """

    def __init__(
        self,
        backend: str = "lightgbm",
        *,
        learning_rate: float = 0.08,
        leaves: int = 31,
        min_child: int = 20,
        rounds: int = 100,
        patience: int = 50,
        feature_fraction: float = 1.0,
        row_fraction: float = 1.0,
        l2: float = 1.0,
        max_bin: int = 127,
        class_weight_power: float = 0.0,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int = 1,
    ) -> None:
        self.backend = backend
        self.learning_rate = learning_rate
        self.leaves = leaves
        self.min_child = min_child
        self.rounds = rounds
        self.patience = patience
        self.feature_fraction = feature_fraction
        self.row_fraction = row_fraction
        self.l2 = l2
        self.max_bin = max_bin
        self.class_weight_power = class_weight_power
        self.random_state = random_state
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _options(self) -> BoostingOptions:
        given = {name: getattr(self, name) for name in BoostingOptions.model_fields}
        return parse_options(BoostingOptions, given, "JpasClassifier")

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        eval_set: tuple[Any, Any] | None = None,
        init: JpasClassifier | None = None,
    ) -> JpasClassifier:
        """Grow the trees.

        Parameters
        ----------
        X : array-like or data frame, shape (n, f)
            NaN is missing.
        y : array-like, shape (n,)
            Class labels: numbers, strings or booleans.
        sample_weight : array-like, shape (n,), optional
            A weight of 2 counts as a row twice, 0 leaves it out. Keep the mean near 1: `l2` is in their unit.
        eval_set : (X, y), optional
            Validation rows for early stopping.
        init : JpasClassifier, optional
            A fitted classifier whose trees this fit continues, with this estimator's own parameters;
            its classes are kept, and some may be absent from `y`.

        Returns
        -------
        JpasClassifier
            Itself.

        Raises
        ------
        ValueError
            From scikit-learn's checks, on unknown labels, or if there are not two classes.
        ConfigError
            If a parameter is out of range.
        """
        options = self._options()
        if init is not None:
            check_is_fitted(init)
        X, y = self._training_rows(X, y)
        known = np.unique(y) if init is None else init.classes_
        codes = _encode(y, known, "y")
        if len(known) < 2:
            raise ValueError(f"JpasClassifier needs at least 2 classes, y has {len(known)} class ('{known[0]}' only).")
        weight = _weights(sample_weight, X)
        kept = weight > 0
        if not kept.all():  # rows without weight would still shape bins and fill leaves
            X, codes, weight = X[kept], codes[kept], weight[kept]
        if self.class_weight_power:
            weight = class_weights(codes, len(known), self.class_weight_power, weight)
        self.classes_: np.ndarray = known
        self.booster_ = self._grow(options, X, codes, weight, self._eval_rows(eval_set), init)
        return self

    def _training_rows(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(y, np.ma.MaskedArray) and np.ma.getmaskarray(y).any():
            raise ValueError("some labels of y are masked: leave those rows out of training.")
        X, y = validate_data(self, _unmasked(X), y, dtype=np.float32, order="C", ensure_all_finite="allow-nan")
        check_classification_targets(y)
        return X, native(y)

    def _eval_rows(self, eval_set: tuple[Any, Any] | None) -> tuple[np.ndarray, np.ndarray] | None:
        if eval_set is None:
            return None
        features, labels = eval_set
        X = self._rows(features)
        return X, _encode(native(np.asarray(labels)), self.classes_, "eval_set")

    def _grow(
        self,
        options: Growth,
        X: np.ndarray,
        codes: np.ndarray,
        weight: np.ndarray,
        valid: tuple[np.ndarray, np.ndarray] | None,
        init: JpasClassifier | None,
    ) -> StagedBooster:
        return train(
            self.backend,
            X,
            codes,
            n_classes=len(self.classes_),
            options=options,
            weight=weight,
            valid=valid,
            init=None if init is None else init.booster_,
            feature_names=getattr(self, "feature_names_in_", None),
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            threads=self.n_jobs,
        )

    def _rows(self, X: Any) -> np.ndarray:
        return validate_data(
            self, _unmasked(X), dtype=np.float32, order="C", ensure_all_finite="allow-nan", reset=False
        )

    @property
    def boosters_(self) -> tuple[Any, ...]:
        """The library's own boosters (``lightgbm.Booster``, ``xgboost.Booster``, ...), stage by stage."""
        check_is_fitted(self)
        return tuple(stage.trees for stage in self.booster_.stages if stage.rounds)

    @property
    def feature_importances_(self) -> np.ndarray:
        """Share of each feature in the gain of all splits, float64 (f,)."""
        check_is_fitted(self)
        gain = self.booster_.gain()
        return gain / gain.sum() if gain.any() else gain

    def margins(self, X: Any) -> np.ndarray:
        """Return margins: the log of unnormalised probabilities.

        Parameters
        ----------
        X : array-like or data frame, shape (n, f)

        Returns
        -------
        array of float64, shape (n, k)
        """
        check_is_fitted(self)
        return self.booster_.margins(self._rows(X), threads=self.n_jobs)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return margins, or for two classes the second's log-odds.

        Parameters
        ----------
        X : array-like or data frame, shape (n, f)

        Returns
        -------
        array of float64, shape (n, k), or (n,) for two classes
        """
        margins = self.margins(X)
        return margins[:, 1] if len(self.classes_) == 2 else margins

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities, columns as `classes_`.

        Parameters
        ----------
        X : array-like or data frame, shape (n, f)

        Returns
        -------
        array of float64, shape (n, k)
        """
        return softmax(self.margins(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest class of each row.

        Parameters
        ----------
        X : array-like or data frame, shape (n, f)

        Returns
        -------
        array, shape (n,)
            Of the type of `classes_`.
        """
        best = self.margins(X).argmax(axis=1)
        return self.classes_[best]

    def contributions(self, X: Any) -> np.ndarray:
        """Return TreeSHAP contributions to the margins.

        Parameters
        ----------
        X : array-like or data frame, shape (n, f)

        Returns
        -------
        array of float64, shape (n, k, f + 1)
            The last column is the bias.
        """
        check_is_fitted(self)
        return self.booster_.contributions(self._rows(X), threads=self.n_jobs)


def _unmasked(X: Any) -> Any:
    if isinstance(X, np.ma.MaskedArray):
        return np.ma.filled(X.astype(np.float64), np.nan)
    return X


def _encode(y: np.ndarray, classes: np.ndarray, where: str) -> np.ndarray:
    codes = np.searchsorted(classes, y).clip(0, len(classes) - 1)
    unknown = classes[codes] != y
    if np.any(unknown):
        raise ValueError(
            f"{where} has labels that the classes do not hold, '{y[unknown][0]}' say. "
            f"Classes: {', '.join(map(str, classes))}."
        )
    return codes.astype(np.int32)


def _weights(sample_weight: Any, X: np.ndarray) -> np.ndarray:
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weight.any():
        raise ValueError("Sample weights must contain at least one positive weight: there is nothing to train on.")
    return weight
