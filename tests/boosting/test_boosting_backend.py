"""Both libraries behind one protocol: training, stopping, saving."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

from jpas_gbm.boosting.backend import get_backend
from jpas_gbm.boosting.backends import lightgbm
from jpas_gbm.boosting.backends.lightgbm import Unread
from jpas_gbm.boosting.booster import StagedBooster
from jpas_gbm.boosting.matrix import joined
from jpas_gbm.boosting.soundness import TreeShape
from jpas_gbm.boosting.training import bin_features, train
from jpas_gbm.errors import BundleError, ConfigError, FeatureMismatch, FitError
from jpas_gbm.scores.losses import margin_loss


def accuracy(booster, X, y):
    return (booster.margins(X).argmax(axis=1) == y).mean()


def test_learns_and_reports_rounds(backend, problem, quick):
    X, y, names = problem
    booster = train(
        backend, X[:1000], y[:1000], feature_names=names, n_classes=4, options=quick, valid=(X[1000:1250], y[1000:1250])
    )
    assert accuracy(booster, X[1250:], y[1250:]) > 0.65
    assert booster.feature_names == names and booster.backend == backend.name
    history = booster.history[0]
    assert booster.stage_rounds == (history["rounds"],)
    assert history["rounds"] <= history["rounds_grown"] <= quick.rounds
    assert history["best_loss"] < history["start_loss"]
    # The loss that stopped the training is the loss of the booster that came out of it.
    loss = margin_loss(booster.margins(X[1000:1250]), y[1000:1250], np.ones(250))
    assert loss == pytest.approx(history["best_loss"], abs=1e-5)


def test_two_classes_have_one_margin(backend, quick, make_problem):
    X, y, names = make_problem(k=2)
    booster = train(backend, X, y, n_classes=2, options=quick, feature_names=names)
    margins = booster.margins(X)
    assert margins.shape == (len(X), 2) and not margins[:, 0].any()
    assert accuracy(booster, X, y) > 0.8
    shares = booster.contributions(X[:20])
    assert shares.shape == (20, 2, 9) and not shares[:, 0].any()
    assert np.allclose(shares.sum(axis=2), margins[:20], atol=1e-4)


def test_bins_serve_several_trainings(backend, problem, quick):
    """Labels, weights and starts of one training leave nothing behind in the bins."""
    X, y, names = problem
    bins = bin_features(backend, X, names, quick)
    first = train(backend, bins, y, n_classes=4, options=quick).margins(X)
    weight = np.where(y == 0, 5.0, 0.5)
    weighted = train(backend, bins, y, n_classes=4, options=quick, weight=weight)
    assert weighted.margins(X)[:, 0].mean() > first[:, 0].mean() + 0.3
    train(backend, bins, (y > 1).astype(int), n_classes=2, options=quick)
    train(backend, bins, y, init=weighted, options=quick)
    again = train(backend, bins, y, n_classes=4, options=quick).margins(X)
    assert np.array_equal(first, again)


def test_same_seed_same_bits_whatever_the_threads(backend, problem, quick):
    X, y, _ = problem
    short = quick.model_copy(update={"rounds": 6})  # spinning threads are slow on a busy machine
    runs = [train(backend, X, y, n_classes=4, options=short, seed=s, threads=t) for s, t in ((5, 1), (5, 2), (6, 1))]
    one, two, other = (run.margins(X) for run in runs)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_validation_binned_ahead_gives_the_same(backend, problem, quick):
    X, y, names = problem
    bins = bin_features(backend, X[:1000], names, quick)
    ahead = bin_features(backend, X[1000:], names, quick, reference=bins)
    fresh = train(backend, bins, y[:1000], n_classes=4, options=quick, valid=(X[1000:], y[1000:]))
    reused = train(backend, bins, y[:1000], n_classes=4, options=quick, valid=(ahead, y[1000:]))
    assert np.array_equal(fresh.margins(X), reused.margins(X))


def test_validation_binned_apart_is_refused(backend, problem, quick):
    X, y, names = problem
    apart = bin_features(backend, X[1000:], names, quick)
    with pytest.raises(FitError, match="bin them with reference="):
        train(backend, X[:1000], y[:1000], n_classes=4, options=quick, feature_names=names, valid=(apart, y[1000:]))


def test_on_round_reports_and_can_stop(backend, problem, quick):
    X, y, _ = problem
    seen = []
    booster = train(
        backend, X, y, n_classes=4, options=quick, valid=(X, y), on_round=lambda done, loss: seen.append((done, loss))
    )
    assert [done for done, _ in seen] == list(range(1, booster.history[0]["rounds_grown"] + 1))
    assert seen[0][1] > seen[-1][1]

    class Pruned(Exception):
        pass

    def prune(done, loss):
        if done == 3:
            raise Pruned

    with pytest.raises(Pruned):
        train(backend, X, y, n_classes=4, options=quick, on_round=prune)


def test_round_trip_in_a_fresh_process(backend, problem, quick, tmp_path):
    X, y, names = problem
    booster = train(backend, X, y, n_classes=4, options=quick, feature_names=names)
    booster = train(backend, X[:300], y[:300], init=booster, options=quick)
    booster.save(tmp_path / "booster")
    np.save(tmp_path / "X.npy", X)
    code = (
        "import sys, numpy as np\n"
        "from jpas_gbm.boosting.booster import StagedBooster\n"
        "folder = sys.argv[1]\n"
        "booster = StagedBooster.load(folder + '/booster')\n"
        "X = np.load(folder + '/X.npy')\n"
        "np.savez(folder + '/out.npz', m=booster.margins(X), c=booster.contributions(X[:50], stages=[1]),"
        " r=booster.stage_rounds, n=booster.feature_names)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)
    out = np.load(tmp_path / "out.npz")
    assert np.array_equal(out["m"], booster.margins(X))
    assert np.array_equal(out["c"], booster.contributions(X[:50], stages=[1]))
    assert tuple(out["r"]) == booster.stage_rounds and tuple(out["n"]) == names


def test_pickle_and_copy(backend, problem, quick):
    X, y, _ = problem
    booster = train(backend, X, y, n_classes=4, options=quick)
    again = pickle.loads(pickle.dumps(booster))
    assert np.array_equal(again.margins(X), booster.margins(X))


def test_text_that_the_library_cannot_read_is_named_when_it_is_asked(tmp_path):
    """The text of a model is checked when it is loaded; the library reads it when there are rows."""
    trees = Unread("tree\nversion=v4\nnum_class=1\n", tmp_path / "stage0.txt")
    with pytest.raises(BundleError, match=r"stage0.txt: is not a LightGBM model .*Restore it or fit again"):
        get_backend("lightgbm").raw_margins(trees, np.zeros((2, 3), np.float32), 2, 1)


def test_damaged_folder_is_named(backend, problem, quick, tmp_path):
    X, y, _ = problem
    booster = train(backend, X, y, n_classes=4, options=quick)
    folder = tmp_path / "booster"
    booster.save(folder)
    trees = next(folder.glob("stage0.*"))
    trees.write_bytes(trees.read_bytes()[:200])
    with pytest.raises(BundleError, match="does not match its checksum"):
        StagedBooster.load(folder)
    with pytest.raises(BundleError, match="is not a"):
        backend.read_trees(trees, TreeShape(4, X.shape[1], booster.stages[0].rounds))
    trees.unlink()
    with pytest.raises(BundleError, match="is missing"):
        StagedBooster.load(folder)
    head = json.loads((folder / "booster.json").read_text())
    for change, message in (
        ({"format": 99}, "Install a newer jpas-gbm"),
        ({"backend": "thundergbm"}, "names the backend 'thundergbm'"),
        ({"stages": 3}, "is not what jpas-gbm writes"),
    ):
        (folder / "booster.json").write_text(json.dumps(head | {"checksums": {}} | change))
        with pytest.raises(BundleError, match=message):
            StagedBooster.load(folder)


def test_saving_into_an_empty_folder_and_not_over_another(backend, problem, quick, tmp_path):
    X, y, _ = problem
    booster = train(backend, X, y, n_classes=4, options=quick)
    (tmp_path / "made").mkdir()
    booster.save(tmp_path / "made")
    assert StagedBooster.load(tmp_path / "made").stage_rounds == booster.stage_rounds
    with pytest.raises(Exception, match="already exists"):
        booster.save(tmp_path / "made")


def test_unknown_backend():
    with pytest.raises(ConfigError, match="no boosting backend 'lightgmb'. Did you mean 'lightgbm'"):
        get_backend("lightgmb")


def test_trap_two_thread_pools_starve_each_other(monkeypatch):
    """OpenMP threads wait without spinning, unless the user says otherwise."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    get_backend("xgboost")
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    get_backend("lightgbm")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_wrong_rows_are_named(backend, problem, quick):
    X, y, names = problem
    told = {"n_classes": 4, "options": quick}
    with pytest.raises(FitError, match=r"not among 0 ... 3 .*-1 is unlabelled"):
        train(backend, X, np.where(y == 2, -1, y), **told)
    with pytest.raises(FitError, match="labels have shape"):
        train(backend, X, y[:-1], **told)
    with pytest.raises(FitError, match="class codes 0"):
        train(backend, X, np.full(len(X), "QSO"), **told)
    with pytest.raises(FitError, match="some labels are masked"):
        train(backend, X, np.ma.masked_equal(y, 0), **told)
    with pytest.raises(FitError, match="weights have shape"):
        train(backend, X, y, weight=np.ones(3), **told)
    with pytest.raises(FitError, match="negative or not finite"):
        train(backend, X, y, weight=np.full(len(X), np.nan), **told)
    with pytest.raises(FitError, match="all weights are zero"):
        train(backend, X, y, weight=np.zeros(len(X)), **told)
    with pytest.raises(FitError, match="at least 2 classes"):
        train(backend, X, np.zeros(len(X), int), n_classes=1, options=quick)
    with pytest.raises(FitError, match="nothing to train on"):
        train(backend, X[:0], y[:0], **told)
    with pytest.raises(FeatureMismatch, match="3 feature names .* for 8 columns"):
        train(backend, X, y, feature_names=("a", "b", "c"), **told)
    with pytest.raises(FeatureMismatch, match="rows, features"):
        train(backend, X[:, 0], y, **told)
    with pytest.raises(FeatureMismatch, match="numbers are needed"):
        train(backend, X.astype(str), y, **told)
    other = get_backend("xgboost" if backend.name == "lightgbm" else "lightgbm")
    with pytest.raises(FitError, match="bin them again"):
        train(other, bin_features(backend, X, names, quick), y, **told)


def test_constant_features_give_the_class_shares(backend, quick):
    X = np.ones((200, 3), dtype=np.float32)
    y = np.arange(200) % 4
    booster = train(backend, X, y, n_classes=4, options=quick, valid=(X, y))
    assert booster.stage_rounds == (0,)
    assert np.allclose(booster.margins(X), np.log(0.25))
    assert booster.contributions(X).shape == (200, 4, 4)


def test_empty_prediction(backend, problem, quick):
    X, y, _ = problem
    booster = train(backend, X, y, n_classes=4, options=quick)
    assert booster.margins(X[:0]).shape == (0, 4)
    assert booster.contributions(X[:0]).shape == (0, 4, 9)


def test_bins_of_a_few_columns_at_a_time_are_those_of_all(make_problem, quick, monkeypatch):
    """Also of columns that are constant or missing, mostly zero or one another's opposite."""
    X, y, names = make_problem(features=14)
    rng = np.random.default_rng(1)
    X[:, 4], X[:, 5] = 0, np.nan
    X[:, 8:11] = np.eye(4)[rng.integers(4, size=len(X)), :3]
    X[:, 11] = np.where(rng.random(len(X)) < 0.9, 0, X[:, 11])

    def grown():
        bins = bin_features("lightgbm", X, names, quick)
        booster = train("lightgbm", bins, y, n_classes=4, options=quick, valid=(X[::3], y[::3]), init=None)
        return booster, train("lightgbm", X[::2], y[::2], options=quick, init=booster, valid=(X[::3], y[::3]))

    whole = [booster.stages[-1].trees.model_to_string() for booster in grown()]
    for columns in (1, 4, 9):
        monkeypatch.setattr(lightgbm, "_SAMPLED", columns * len(X))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [booster.stages[-1].trees.model_to_string() for booster in grown()] == whole


def test_equal_options_take_equal_steps(make_problem):
    """One round of either library moves as far: XGBoost's rate is scaled for softmax's curvature."""
    from jpas_gbm.options import BoostingOptions

    options = BoostingOptions(
        rounds=1, patience=0, learning_rate=0.1, leaves=4, l2=5.0, min_child=1, feature_fraction=1, row_fraction=1
    )
    for k in (2, 3, 4):
        X, y, _ = make_problem(k=k, missing=0)
        one, two = (train(name, X, y, n_classes=k, options=options) for name in ("lightgbm", "xgboost"))
        moves = [b.margins(X) - b.stages[0].intercept for b in (one, two)]
        assert np.abs(moves[0]).mean() == pytest.approx(np.abs(moves[1]).mean(), rel=0.1)


def test_matrices_that_lie_in_one_are_joined_without_a_copy():
    whole = np.arange(20.0, dtype=np.float32).reshape(10, 2).copy()
    assert np.shares_memory(joined([whole[2:5], whole[5:9]]), whole)
    np.testing.assert_array_equal(joined([whole[2:5], whole[5:9]]), whole[2:9])
    apart = [whole[2:5], whole[6:9]], [whole[5:9], whole[2:5]], [whole[:2].copy(), whole[2:5]], [whole[:4:2], whole[4:]]
    for parts in apart:
        assert not np.shares_memory(joined(parts), whole)
        np.testing.assert_array_equal(joined(parts), np.concatenate(parts))
    assert joined([whole]) is whole
