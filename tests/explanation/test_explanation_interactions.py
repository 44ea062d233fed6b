"""Interactions: exact, symmetric, their rows sum to contributions; the shap library is the oracle."""

import numpy as np
import pytest

from jpas_gbm.boosting.backend import UnpackableError
from jpas_gbm.boosting.booster import Member
from jpas_gbm.boosting.training import train
from jpas_gbm.explanation.contributions import TreeContributions
from jpas_gbm.options import BoostingOptions


@pytest.mark.parametrize("leaves", [4, 40])
def test_the_shap_library_agrees(make_fitted, rows, leaves):
    shap = pytest.importorskip("shap")
    X, y = make_fitted("mocks").features(rows).X, (rows.label < 2).astype(int)
    options = BoostingOptions(rounds=6, patience=0, leaves=leaves, min_child=2, max_bin=31)
    member = Member("plain", train("lightgbm", X, y, n_classes=2, options=options))
    few = np.vstack([X[:20], X[np.isnan(X).any(axis=1)][:10]])
    told = TreeContributions([member]).interactions(few, 1, 0)
    # Of several classes the library adds up what it should keep apart: two must do.
    values = shap.TreeExplainer(member.booster.stages[0].trees).shap_interaction_values(few)
    assert np.abs(told[:, ~np.eye(X.shape[1], dtype=bool)]).max() > 0.01
    assert np.allclose(told, values, atol=1e-9)


@pytest.mark.parametrize("kind", ["mocks", "continue", "stack"])
def test_rows_sum_to_contributions_whatever_a_member_is(make_fitted, rows, kind):
    fitted = make_fitted(kind)
    X = fitted.features(rows).X[:40]
    (told,) = TreeContributions(fitted.members).batches(X)
    found = TreeContributions(fitted.members).interactions(X, 0, 1)
    assert np.allclose(found.sum(axis=2), told.values[:, 0] - told.values[:, 1], atol=1e-9)
    assert np.allclose(found, found.transpose(0, 2, 1), atol=1e-9)
    assert np.abs(found[:, ~np.eye(X.shape[1], dtype=bool)]).max() > 1e-3


def test_an_ensemble_is_the_mean_of_its_members(make_fitted, fitted, rows):
    X = fitted.features(rows).X[:10]
    each = [TreeContributions([member]).interactions(X, 0, 3) for member in fitted.members]
    assert np.allclose(TreeContributions(fitted.members).interactions(X, 0, 3), np.mean(each, axis=0), atol=1e-9)


def test_trees_whose_splits_are_not_known_are_named(make_fitted, rows):
    fitted = make_fitted("mocks", backend="xgboost")
    with pytest.raises(UnpackableError, match="trees of xgboost"):
        TreeContributions(fitted.members).interactions(fitted.features(rows).X[:4], 0, 1)
