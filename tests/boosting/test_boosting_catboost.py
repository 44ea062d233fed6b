"""CatBoost, the optional third library: what is its own, beside what every backend is tested for."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from jpas_gbm.boosting.backend import get_backend
from jpas_gbm.boosting.booster import StagedBooster
from jpas_gbm.boosting.training import train
from jpas_gbm.errors import ConfigError
from jpas_gbm.options import BACKENDS, BoostingOptions
from jpas_gbm.scores.losses import margin_loss


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "catboost", None)
    monkeypatch.delitem(sys.modules, "jpas_gbm.boosting.backends.catboost", raising=False)
    monkeypatch.setattr(BACKENDS, "_things", {k: v for k, v in BACKENDS._things.items() if k != "catboost"})
    assert BoostingOptions(backend="catboost").backend == "catboost"  # known, if not installed
    with pytest.raises(ConfigError, match=r"not installed. Install it with pip install 'jpas-gbm\[catboost\]'"):
        get_backend("catboost")


@pytest.fixture
def engine():
    pytest.importorskip("catboost", reason="catboost: an extra that is not installed")
    return get_backend("catboost")


def test_contributions_add_up_across_chunks(engine, problem, quick, tmp_path):
    """Rounds are grown some at a time and joined: 45 rounds are three fits, and one model of 45 trees."""
    X, y, _ = problem
    options = quick.model_copy(update={"rounds": 45, "patience": 0})
    booster = train(engine, X, y, n_classes=4, options=options)
    (trees,) = [stage.trees for stage in booster.stages]
    assert trees.tree_count_ == 45
    shares = booster.contributions(X[:200])
    assert np.abs(shares.sum(axis=2) - booster.margins(X[:200])).max() < 1e-12
    booster.save(tmp_path / "b")
    again = StagedBooster.load(tmp_path / "b")
    assert np.array_equal(again.contributions(X[:200]), shares)


def test_early_stopping_cuts_within_a_chunk(engine, problem, quick):
    X, y, _ = problem
    options = quick.model_copy(update={"rounds": 90})
    seen = []
    booster = train(
        engine,
        X[:300],
        y[:300],
        n_classes=4,
        options=options,
        valid=(X[300:], y[300:]),
        on_round=lambda *a: seen.append(a),
    )
    losses = [loss for _, loss in seen]
    assert booster.stage_rounds[0] == 1 + int(np.argmin(losses))
    assert booster.stages[0].trees.tree_count_ == booster.stage_rounds[0]
    assert margin_loss(booster.margins(X[300:]), y[300:]) == pytest.approx(min(losses), abs=1e-12)


def test_missing_values_have_a_side_of_their_own(engine, make_problem, quick):
    X, y, _ = make_problem(missing=0)
    X[:, 0] = np.where(y == 1, np.nan, X[:, 0])
    booster = train(engine, X, y, n_classes=4, options=quick)
    assert (booster.margins(X).argmax(axis=1) == 1)[y == 1].mean() > 0.95
