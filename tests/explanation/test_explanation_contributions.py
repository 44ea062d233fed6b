"""Contributions: exact, additive, through stages, stacks and ensembles; the shap library is the oracle."""

import numpy as np
import pytest

from jpas_gbm.boosting.booster import Member, Stage, centred
from jpas_gbm.boosting.training import train
from jpas_gbm.errors import ExplanationError
from jpas_gbm.explanation.contributions import TreeContributions, pass_on
from jpas_gbm.options import BoostingOptions


def limit(told, backend):
    """The difference that issue and docstring allow, (n, k)."""
    if backend == "lightgbm":
        return 1e-6
    return 1e-4 * (1 + np.abs(told.values).sum(axis=2) + np.abs(told.bias))


@pytest.mark.parametrize("kind", ["mocks", "continue", "stack"])
def test_contributions_sum_to_the_margins(make_fitted, rows, backend, kind):
    fitted = make_fitted(kind, backend=backend)
    X = fitted.features(rows).X
    (told,) = TreeContributions(fitted.members).batches(X)
    assert told.values.shape == (len(X), 4, X.shape[1])
    assert np.array_equal(told.margins, fitted.members[0].margins(X))
    assert (np.abs(told.values.sum(axis=2) + told.bias - told.margins) <= limit(told, backend)).all()
    assert np.allclose(told.values.sum(axis=1), 0, atol=1e-9)


def test_parts_of_a_continued_booster_are_its_stages(make_fitted, rows, backend):
    member = make_fitted("continue", backend=backend).members[0]
    X = make_fitted("continue", backend=backend).features(rows).X
    (told,) = TreeContributions([member]).batches(X)
    assert [part.origin for part in told.parts] == ["mocks", "target"]
    for stage, part in enumerate(told.parts):
        alone = centred(member.booster.margins(X, stages=[stage]))
        assert np.allclose(part.values.sum(axis=2) + part.bias, alone, atol=1e-3 if backend == "xgboost" else 1e-6)


@pytest.mark.parametrize("two_classes", [False, True])
def test_the_shap_library_agrees(make_fitted, rows, backend, two_classes):
    shap = pytest.importorskip("shap")
    X = make_fitted("mocks").features(rows).X[::3]
    if two_classes:
        y = (rows.label[::3] < 2).astype(int)
        options = BoostingOptions(rounds=6, patience=0, leaves=4, min_child=2, max_bin=31)
        member = Member("plain", train(backend, X, y, n_classes=2, options=options))
    else:
        member = make_fitted("mocks", backend=backend).members[0]
    (told,) = TreeContributions([member]).batches(X)
    (stage,) = member.booster.stages
    values = np.asarray(shap.TreeExplainer(stage.trees).shap_values(X))
    if values.ndim == 2:
        values = np.stack([np.zeros_like(values), values], axis=2)
    oracle = values - values.mean(axis=2, keepdims=True)
    assert np.allclose(told.values, oracle.transpose(0, 2, 1), atol=1e-4 if backend == "xgboost" else 1e-9)


@pytest.mark.parametrize("kind", ["mocks", "continue", "stack"])
def test_differences_of_two_classes_of_each_row_are_those_of_its_contributions(make_fitted, rows, backend, kind):
    fitted = make_fitted(kind, backend=backend)
    X, trees = fitted.features(rows).X, TreeContributions(fitted.members)
    (told,) = trees.batches(X)
    a, b = np.random.default_rng(0).integers(0, 4, (2, len(X), 3))
    values, odds = trees.differences(X, a, b)
    every = np.arange(len(X))[:, None]
    assert np.allclose(values, told.values[every, a] - told.values[every, b], atol=1e-12)
    assert np.allclose(odds, told.margins[every, a] - told.margins[every, b], atol=1e-12)
    assert (values[a == b] == 0).all()


def test_an_ensemble_adds_up_whatever_it_is_made_of(make_fitted, fitted, rows):
    X = fitted.features(rows).X
    mixed = (*fitted.members, *make_fitted("continue", "stack", backend="xgboost").members)
    total = np.mean([told.values.sum(axis=2) + told.bias for told in TreeContributions(mixed).batches(X)], axis=0)
    margins = np.mean([member.margins(X) for member in mixed], axis=0)
    assert np.abs(total - margins).max() < 1e-4


def test_trees_that_members_share_are_worked_out_once(make_fitted, rows, tmp_path, monkeypatch):
    from jpas_gbm.boosting.backends.lightgbm import LightGBM
    from jpas_gbm.model import Model

    make_fitted("continue", "stack").save(tmp_path / "model")
    fitted = Model.load(tmp_path / "model")  # read apart, the shared trees are two objects
    X = fitted.features(rows).X[:10]
    whole = [told.values for told in TreeContributions(fitted.members).batches(X)]
    asked = []
    known = LightGBM.raw_contributions
    monkeypatch.setattr(
        LightGBM, "raw_contributions", lambda self, trees, *a: asked.append(1) or known(self, trees, *a)
    )
    again = [told.values for told in TreeContributions(fitted.members).batches(X)]
    assert len(asked) == 3  # mock trees, continued trees, stacked trees
    assert all(np.array_equal(a, b) for a, b in zip(whole, again, strict=True))


def test_no_rows_give_no_contributions(fitted, rows):
    X = fitted.features(rows).X[:0]
    for told in TreeContributions(fitted.members).batches(X):
        assert told.values.shape == (0, 4, X.shape[1])


class Crooked:
    """A booster whose contributions do not add up."""

    backend, n_classes, feature_names, stage_rounds = "lightgbm", 3, ("a", "b"), (1,)
    stages = (Stage(0, np.zeros(3), np.zeros(2, np.float32), None),)

    def margins(self, X, stages=None, threads=1):
        return np.tile([0.0, 1.0, 2.0], (len(X), 1))

    def contributions(self, X, stages=None, threads=1):
        found = np.zeros((len(X), 3, 3))
        found[:, :, -1] = [0.0, 1.0, 2.0]
        found[3, 1, 0] = 2e-6
        return found


def test_contributions_that_do_not_add_up_are_an_error():
    member = Member("plain", Crooked(), None, "crooked")
    with pytest.raises(ExplanationError, match=r"crooked \(lightgbm\) miss its margins by 1.33e-06 in row 3.*1e-06 is"):
        list(TreeContributions([member]).batches(np.zeros((5, 2), np.float32)))
    with pytest.raises(ExplanationError, match=r"crooked \(lightgbm\) miss its margins by 2e-06 in row 3.*1e-06 is"):
        one, two = np.full((5, 1), 1), np.full((5, 1), 2)
        TreeContributions([member]).differences(np.zeros((5, 2), np.float32), one, two)


def test_passing_on_keeps_the_sum_and_follows_who_made_the_margin():
    rng = np.random.default_rng(0)
    upper, lower = rng.normal(size=(20, 4, 3)), rng.normal(size=(20, 3, 7))
    passed = pass_on(upper, lower)
    assert np.allclose(passed.sum(axis=2), upper.sum(axis=2))
    agreeing = np.array([[[3.0, 1.0, 0.0]]])
    assert np.allclose(pass_on(np.array([[[1.0]]]), agreeing), [[[0.75, 0.25, 0.0]]])
    cancelling = np.array([[[1.0, -1.0, 0.0]]])
    assert np.allclose(pass_on(np.array([[[1.0]]]), cancelling), [[[0.5, 0.5, 0.0]]])


def test_passing_on_stays_bounded_where_contributions_almost_cancel():
    lower = np.array([[[1.0, -1.0 + 10.0**-i, 0.0]] for i in range(8)])
    passed = pass_on(np.ones((8, 1, 1)), lower)
    assert np.abs(passed).sum(axis=2).max() < 2.9
    assert np.allclose(passed.sum(axis=2), 1)


def test_passing_on_from_a_booster_without_trees_shares_alike():
    assert np.allclose(pass_on(np.ones((1, 1, 1)), np.zeros((1, 1, 4))), 0.25)
