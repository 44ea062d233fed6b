"""JpasClassifier: scikit-learn's own checks, and the inputs that trees misread in silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from jpas_gbm.boosting.classifier import JpasClassifier
from jpas_gbm.boosting.matrix import UnseenMissingWarning, class_weights
from jpas_gbm.errors import ConfigError, FeatureMismatch

WEIGHTED = "check_sample_weight_equivalence_on_dense_data"
EXPECTED = {
    "lightgbm": {
        WEIGHTED: "LGBMClassifier declares it: min_data_in_leaf counts rows, not their weights "
        "(lightgbm-org/LightGBM issue 5626)."
    },
    "xgboost": {
        WEIGHTED: "scikit-learn's HistGradientBoostingClassifier declares it; XGBoost sums gradients in "
        "float32, so that a weight of 2 and a row twice differ by 3e-8 in p where the check allows 1e-9."
    },
}
ESTIMATORS = [
    JpasClassifier("lightgbm"),
    JpasClassifier("xgboost"),
    JpasClassifier("lightgbm", min_child=2, rounds=20),
]


def expected(estimator: JpasClassifier) -> dict[str, str]:
    # With the default min_child LightGBM grows no tree on the check's few rows, and passes.
    return {} if estimator == ESTIMATORS[0] else EXPECTED[estimator.backend]


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def classifier(backend):
    return JpasClassifier(backend.name, rounds=25, learning_rate=0.2, leaves=8, random_state=0)


def test_string_labels(classifier, problem):
    X, y, _ = problem
    names = np.array(["QSO_high", "QSO_low", "GALAXY", "STAR"])[y]
    classifier.fit(X[:1000], names[:1000])
    assert list(classifier.classes_) == ["GALAXY", "QSO_high", "QSO_low", "STAR"]
    assert classifier.score(X[1000:], names[1000:]) > 0.65
    p = classifier.predict_proba(X)
    assert p.dtype == np.float64 and np.allclose(p.sum(axis=1), 1)
    assert np.array_equal(classifier.classes_[p.argmax(axis=1)], classifier.predict(X))


def test_trap_permuted_or_missing_columns(classifier, problem):
    X, y, names = problem
    frame = pd.DataFrame(X, columns=names)
    classifier.fit(frame, y)
    assert classifier.booster_.feature_names == names
    with pytest.raises(ValueError, match="in the same order"):
        classifier.predict(frame[list(names[::-1])])
    with pytest.raises(ValueError, match="seen at fit time, yet now missing"):
        classifier.predict_proba(frame[list(names[1:])])
    with pytest.raises(ValueError, match="unseen at fit time"):
        classifier.contributions(frame.rename(columns={"band0": "other"}))


def test_trap_big_endian_masked_and_infinite(classifier, problem):
    X, y, _ = problem
    expected = classifier.fit(X, y).predict_proba(X)
    assert np.array_equal(
        clone(classifier).fit(X.astype(">f8"), y.astype(">i2")).predict_proba(X.astype(">f4")), expected
    )
    hidden = np.ma.masked_invalid(X)
    assert np.array_equal(classifier.predict_proba(hidden), expected)
    assert np.array_equal(clone(classifier).fit(hidden, y).predict_proba(X), expected)
    with pytest.raises(ValueError, match="contains infinity"):
        classifier.predict(np.where(np.isnan(X), np.inf, X))
    with pytest.raises(ValueError, match="labels of y are masked"):
        classifier.fit(X, np.ma.masked_equal(y, 2))


def test_trap_nan_at_predict(classifier, make_problem):
    X, y, _ = make_problem(missing=0)
    classifier.fit(X, y)
    gone = X.copy()
    gone[:, 0] = np.nan
    with pytest.warns(UnseenMissingWarning, match="no training row missed"):
        classifier.predict(gone)


def test_early_stopping_and_continuing(classifier, problem):
    X, y, _ = problem
    names = np.array(["a", "b", "c", "d"])[y]
    patient = clone(classifier).set_params(rounds=400, patience=5)
    patient.fit(X[:1000], names[:1000], eval_set=(X[1000:], names[1000:]))
    assert patient.booster_.stage_rounds[0] < 400
    some = names[:300] != "d"
    more = clone(classifier).fit(X[:300][some], names[:300][some], init=patient)
    assert list(more.classes_) == ["a", "b", "c", "d"] and len(more.booster_.stage_rounds) == 2
    with pytest.raises(ValueError, match=r"eval_set has labels .* 'e' say. Classes: a, b, c, d"):
        classifier.fit(X, names, eval_set=(X[:2], ["a", "e"]))
    with pytest.raises(ValueError, match="y has labels that the classes do not hold"):
        clone(classifier).fit(X[:2], ["a", "zz"], init=patient)
    with pytest.raises(FeatureMismatch, match="1 of 8 features are missing"):
        clone(classifier).fit(X[:, :7], names, init=patient)


def test_contributions_and_margins(classifier, problem):
    X, y, _ = problem
    classifier.fit(X, y)
    shares = classifier.contributions(X[:30])
    assert shares.shape == (30, 4, 9)
    assert np.allclose(shares.sum(axis=2), classifier.decision_function(X[:30]), atol=1e-4)


def test_weights_and_class_weights(classifier, problem):
    X, y, _ = problem
    rare = (y != 0) | (np.arange(len(y)) % 8 == 0)
    found = [
        (clone(classifier).set_params(class_weight_power=power).fit(X[rare], y[rare]).predict(X) == 0).mean()
        for power in (0.0, 1.0)
    ]
    assert found[1] > found[0] * 1.3
    left_out = np.where(y == 3, 0.0, 1.0)
    assert (clone(classifier).fit(X, y, sample_weight=left_out).predict(X) != 3).all()
    with pytest.raises(ValueError, match="must contain at least one"):
        classifier.fit(X, y, sample_weight=np.zeros(len(y)))


def test_one_class_and_wrong_parameters(classifier, problem):
    X, y, _ = problem
    with pytest.raises(ValueError, match="at least 2 classes, y has 1 class"):
        classifier.fit(X, np.zeros(len(X)))
    with pytest.raises(ConfigError, match="'learning_rate'.*of at most 1, not 3"):
        classifier.set_params(learning_rate=3).fit(X, y)
    with pytest.raises(ConfigError, match="'backend'"):
        JpasClassifier("thundergbm").fit(X, y)


def test_inside_scikit_learn(classifier, problem):
    X, y, _ = problem
    pipeline = make_pipeline(StandardScaler(), classifier)
    assert cross_val_score(pipeline, X, y, cv=2).min() > 0.6


def test_one_rule_for_class_weights():
    y = np.array([0, 0, 0, 2])
    assert np.allclose(class_weights(y, 3, 0.0), 1)
    equal = class_weights(y, 3, 1.0)
    assert equal[:3].sum() == pytest.approx(equal[3]) and equal.mean() == pytest.approx(1)
    given = class_weights(y, 3, 1.0, np.array([1.0, 1.0, 0.0, 6.0]))
    assert given.sum() == pytest.approx(8) and given[:3].sum() == pytest.approx(given[3]) and given[2] == 0


def test_importances_find_the_features_that_matter(classifier, problem):
    X, y, names = problem
    classifier.fit(pd.DataFrame(X, columns=names), y)
    shares = classifier.feature_importances_
    assert shares.shape == (8,) and shares.sum() == pytest.approx(1)
    assert set(np.argsort(shares)[-4:]) == {0, 1, 2, 3}
    constant = clone(classifier).fit(np.ones((60, 3)), np.arange(60) % 3)
    assert not constant.feature_importances_.any()


def test_what_fitting_makes_is_missing_before():
    for name in ("feature_importances_", "boosters_"):
        with pytest.raises(NotFittedError):
            getattr(JpasClassifier(), name)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_the_shap_library_takes_the_boosters(classifier, problem):
    """shap.TreeExplainer runs on each stage; the stages add up to our contributions."""
    import shap

    X, y, _ = problem
    base = clone(classifier).fit(X[:1000], y[:1000])
    both = classifier.fit(X[:300], y[:300], init=base)
    assert len(both.boosters_) == 2
    told = [shap.TreeExplainer(b).shap_values(X[:20], check_additivity=False) for b in both.boosters_]
    assert np.allclose(np.moveaxis(sum(told), 2, 1), both.contributions(X[:20])[:, :, :-1], atol=1e-4)
