"""Continued boosting: stages that add up, zero new rounds, contributions with shap as oracle."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.boosting.backend import get_backend
from jpas_gbm.boosting.booster import StagedBooster
from jpas_gbm.boosting.training import bin_features, train
from jpas_gbm.errors import FeatureMismatch, FitError
from jpas_gbm.options import ContinueOptions


@pytest.fixture
def continued(backend, problem, quick):
    X, y, names = problem
    base = train(backend, X, y, n_classes=4, options=quick, feature_names=names)
    options = ContinueOptions(rounds=60, patience=15, learning_rate=0.15, leaves=8)
    turned = (y + (np.nan_to_num(X[:, 5]) > 0)) % 4
    booster = train(
        backend, X[:900], turned[:900], init=base, options=options, valid=(X[900:1200], turned[900:1200]), seed=2
    )
    return base, booster, X, turned


def test_continuing_adapts_and_keeps_the_base(continued):
    base, booster, X, turned = continued
    assert len(booster.stage_rounds) == 2 and booster.stage_rounds[1] > 0
    before, after = ((b.margins(X[1200:]).argmax(axis=1) == turned[1200:]).mean() for b in (base, booster))
    assert after > before + 0.05
    assert np.array_equal(booster.margins(X, stages=[0]), base.margins(X))
    assert base.stage_rounds == booster.stage_rounds[:1]


def test_stages_add_up(continued):
    _, booster, X, _ = continued
    whole = booster.margins(X)
    parts = booster.margins(X, stages=[0]) + booster.margins(X, stages=1)
    assert np.allclose(whole, parts, atol=1e-12)
    shares = booster.contributions(X[:60])
    parts = booster.contributions(X[:60], stages=[0]) + booster.contributions(X[:60], stages=[1])
    assert np.allclose(shares, parts, atol=1e-12)


def test_contributions_sum_to_margins(continued):
    _, booster, X, _ = continued
    for stages in (None, [0], [1]):
        shares = booster.contributions(X, stages=stages)
        assert shares.shape == (len(X), 4, 9) and shares.dtype == np.float64
        scale = 1 + np.abs(shares).sum(axis=2) if booster.library.shap_relative else 1.0
        allowed = booster.library.shap_tolerance * scale
        assert (np.abs(shares.sum(axis=2) - booster.margins(X, stages=stages)) <= allowed).all()


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_shap_library_agrees(backend, quick, make_problem):
    """The shap library, an independent implementation, gives the same contributions."""
    import shap

    X, y, _ = make_problem(n=600)
    booster = train(backend, X, y, n_classes=4, options=quick)
    ours = booster.contributions(X[:40])
    oracle = shap.TreeExplainer(booster.stages[0].trees).shap_values(X[:40], check_additivity=False)
    assert np.allclose(ours[:, :, :-1], np.moveaxis(oracle, 2, 1), atol=1e-4)


def test_gain_finds_the_features_that_matter(continued):
    _, booster, _, _ = continued
    assert set(np.argsort(booster.gain([0]))[-4:]) == {0, 1, 2, 3}
    assert booster.gain([1])[5] == booster.gain([1]).max()
    assert np.allclose(booster.gain(), booster.gain([0]) + booster.gain([1]))


def test_trap_zero_new_rounds(backend, problem, quick):
    """A continued fit keeps no round at all when the base is better on validation."""
    X, y, _ = problem
    base = train(backend, X[:1000], y[:1000], n_classes=4, options=quick, valid=(X[1000:], y[1000:]))
    noise = np.random.default_rng(0).integers(0, 4, 300)
    booster = train(backend, X[:300], noise, init=base, options=quick, valid=(X[1000:], y[1000:]))
    assert booster.stage_rounds[1] == 0
    assert booster.history[1]["best_loss"] == booster.history[1]["start_loss"]
    assert np.array_equal(booster.margins(X), base.margins(X))
    assert not booster.contributions(X[:5], stages=[1]).any()
    assert not booster.gain([1]).any()


def test_trap_zero_new_rounds_survive_saving(backend, problem, quick, tmp_path):
    X, y, _ = problem
    base = train(backend, X[:1000], y[:1000], n_classes=4, options=quick)
    noise = np.random.default_rng(0).integers(0, 4, 300)
    booster = train(backend, X[:300], noise, init=base, options=quick, valid=(X[1000:], y[1000:]))
    booster.save(tmp_path / "b")
    again = StagedBooster.load(tmp_path / "b")
    assert again.stage_rounds == booster.stage_rounds and again.stage_rounds[1] == 0
    assert np.array_equal(again.margins(X), booster.margins(X))


def test_trap_class_absent_when_continuing(backend, problem, quick):
    """scikit-learn's wrapper of LightGBM fails here; the absent class keeps what the base knew."""
    X, y, _ = problem
    base = train(backend, X, y, n_classes=4, options=quick)
    kept = y != 3
    booster = train(backend, X[kept], y[kept], init=base, options=quick)
    assert booster.margins(X).shape == (len(X), 4)
    assert np.isfinite(booster.margins(X)).all()
    assert np.allclose(booster.margins(X)[:, 3], base.margins(X)[:, 3], atol=1e-6)
    assert booster.stage_rounds[1] > 0
    assert (booster.margins(X).argmax(axis=1) == 3)[y == 3].mean() > 0.2


def test_class_absent_from_the_start(backend, problem, quick):
    X, y, _ = problem
    kept = y != 3
    booster = train(backend, X[kept], y[kept], n_classes=4, options=quick, valid=(X, y))
    margins = booster.margins(X)
    assert np.isfinite(margins).all() and margins[:, 3].max() < margins[:, :3].max(axis=1).min()


def test_two_classes_and_one_in_the_labels_to_continue_with(backend, quick, make_problem):
    X, y, _ = make_problem(k=2)
    base = train(backend, X, y, n_classes=2, options=quick)
    booster = train(backend, X[y == 1], y[y == 1], init=base, options=quick)
    assert np.array_equal(booster.margins(X), base.margins(X))


def test_one_class_only_in_the_labels_to_continue_with(backend, problem, quick):
    X, y, _ = problem
    base = train(backend, X, y, n_classes=4, options=quick)
    booster = train(backend, X[y == 1], y[y == 1], init=base, options=quick, valid=(X, y))
    assert np.isfinite(booster.margins(X)).all()


def test_continuing_in_the_bins_of_the_base(backend, problem, quick):
    X, y, names = problem
    bins = bin_features(backend, X, names, quick)
    base = train(backend, bins, y, n_classes=4, options=quick)
    own = train(backend, X[:300], y[:300], init=base, options=quick)
    theirs = train(backend, bin_features(backend, X[:300], reference=bins), y[:300], init=base, options=quick)
    assert own.stage_rounds == theirs.stage_rounds
    assert not np.array_equal(own.margins(X), theirs.margins(X))


def test_base_margins_are_computed_once_per_booster(backend, problem, quick):
    X, y, names = problem
    base = train(backend, X, y, n_classes=4, options=quick, feature_names=names)
    bins = bin_features(backend, X[:300], names, quick)
    assert bins.margins(base, 1) is bins.margins(base, 1)


def test_refusals(backend, problem, quick):
    X, y, names = problem
    base = train(backend, X, y, n_classes=4, options=quick, feature_names=names)
    other = get_backend("xgboost" if backend.name == "lightgbm" else "lightgbm")
    with pytest.raises(FitError, match="cannot be continued by"):
        train(other, X, y, init=base, options=quick)
    with pytest.raises(FitError, match="has 4 classes, the labels 3"):
        train(backend, X, y % 3, n_classes=3, options=quick, init=base, feature_names=names)
    with pytest.raises(FeatureMismatch, match="another order"):
        train(backend, bin_features(backend, X, names[::-1], quick), y, init=base, options=quick)
    with pytest.raises(FitError, match=r"1 stage\(s\), numbered from 0; there is no stage 2"):
        base.margins(X, stages=[2])
