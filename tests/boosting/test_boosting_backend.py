"""Both libraries behind one protocol: training, stopping, saving."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from jpas_gbm.boosting.backend import get_backend, load_booster
from jpas_gbm.boosting.training import log_loss
from jpas_gbm.errors import BundleError, ConfigError, FeatureMismatch, FitError


def accuracy(booster, X, y):
    return (booster.margins(X).argmax(axis=1) == y).mean()


def test_learns_and_reports_rounds(backend, problem, quick):
    X, y, names = problem
    booster = backend.train(
        X[:1000], y[:1000], feature_names=names, n_classes=4, options=quick, valid=(X[1000:1250], y[1000:1250])
    )
    assert accuracy(booster, X[1250:], y[1250:]) > 0.65
    assert booster.feature_names == names and booster.backend == backend.name
    history = booster.history[0]
    assert booster.stage_rounds == (history["rounds"],)
    assert history["rounds"] <= history["rounds_grown"] <= quick.rounds
    assert history["best_loss"] < history["start_loss"]
    # The loss that stopped the training is the loss of the booster that came out of it.
    loss = log_loss(booster.margins(X[1000:1250]), y[1000:1250], np.ones(250))
    assert loss == pytest.approx(history["best_loss"], abs=1e-5)


def test_two_classes_have_one_margin(backend, quick, make_problem):
    X, y, names = make_problem(k=2)
    booster = backend.train(X, y, n_classes=2, options=quick, feature_names=names)
    margins = booster.margins(X)
    assert margins.shape == (len(X), 2) and not margins[:, 0].any()
    assert accuracy(booster, X, y) > 0.8
    shares = booster.contributions(X[:20])
    assert shares.shape == (20, 2, 9) and not shares[:, 0].any()
    assert np.allclose(shares.sum(axis=2), margins[:20], atol=1e-4)


def test_bins_serve_several_trainings(backend, problem, quick):
    """Labels, weights and starts of one training leave nothing behind in the bins."""
    X, y, names = problem
    bins = backend.bin(X, names, quick)
    first = backend.train(bins, y, n_classes=4, options=quick).margins(X)
    weight = np.where(y == 0, 5.0, 0.5)
    weighted = backend.train(bins, y, n_classes=4, options=quick, weight=weight)
    assert weighted.margins(X)[:, 0].mean() > first[:, 0].mean() + 0.3
    backend.train(bins, (y > 1).astype(int), n_classes=2, options=quick)
    backend.continue_from(weighted, bins, y, options=quick)
    again = backend.train(bins, y, n_classes=4, options=quick).margins(X)
    assert np.array_equal(first, again)


def test_rows_of_bins(backend, problem, quick):
    X, y, names = problem
    bins = backend.bin(X, names, quick)
    part = bins.take(np.arange(len(X)) % 2 == 0)
    assert len(part) == 750
    booster = backend.train(
        part, y[::2], n_classes=4, options=quick, valid=(bins.take(np.arange(1, 500, 2)), y[1:500:2])
    )
    assert accuracy(booster, X[501::2], y[501::2]) > 0.6
    with pytest.raises(FitError, match="increasing order: sort the indices"):
        bins.take(np.array([3, 1]))


def test_same_seed_same_bits_whatever_the_threads(backend, problem, quick):
    X, y, _ = problem
    short = quick.model_copy(update={"rounds": 6})  # spinning threads are slow on a busy machine
    runs = [backend.train(X, y, n_classes=4, options=short, seed=s, threads=t) for s, t in ((5, 1), (5, 2), (6, 1))]
    one, two, other = (run.margins(X) for run in runs)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_validation_binned_ahead_gives_the_same(backend, problem, quick):
    X, y, names = problem
    bins = backend.bin(X[:1000], names, quick)
    ahead = backend.bin(X[1000:], names, quick, reference=bins)
    fresh = backend.train(bins, y[:1000], n_classes=4, options=quick, valid=(X[1000:], y[1000:]))
    reused = backend.train(bins, y[:1000], n_classes=4, options=quick, valid=(ahead, y[1000:]))
    assert np.array_equal(fresh.margins(X), reused.margins(X))


def test_validation_binned_apart_is_refused(backend, problem, quick):
    X, y, names = problem
    apart = backend.bin(X[1000:], names, quick)
    with pytest.raises(FitError, match="bin them with reference="):
        backend.train(X[:1000], y[:1000], n_classes=4, options=quick, feature_names=names, valid=(apart, y[1000:]))


def test_on_round_reports_and_can_stop(backend, problem, quick):
    X, y, _ = problem
    seen = []
    booster = backend.train(
        X, y, n_classes=4, options=quick, valid=(X, y), on_round=lambda done, loss: seen.append((done, loss))
    )
    assert [done for done, _ in seen] == list(range(1, booster.history[0]["rounds_grown"] + 1))
    assert seen[0][1] > seen[-1][1]

    class Pruned(Exception):
        pass

    def prune(done, loss):
        if done == 3:
            raise Pruned

    with pytest.raises(Pruned):
        backend.train(X, y, n_classes=4, options=quick, on_round=prune)


def test_round_trip_in_a_fresh_process(backend, problem, quick, tmp_path):
    X, y, names = problem
    booster = backend.train(X, y, n_classes=4, options=quick, feature_names=names)
    booster = backend.continue_from(booster, X[:300], y[:300], options=quick)
    booster.save(tmp_path / "booster")
    np.save(tmp_path / "X.npy", X)
    code = (
        "import sys, numpy as np\n"
        "from jpas_gbm.boosting.backend import load_booster\n"
        "folder = sys.argv[1]\n"
        "booster = load_booster(folder + '/booster')\n"
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
    booster = backend.train(X, y, n_classes=4, options=quick)
    again = pickle.loads(pickle.dumps(booster))
    assert np.array_equal(again.margins(X), booster.margins(X))


def test_damaged_folder_is_named(backend, problem, quick, tmp_path):
    X, y, _ = problem
    booster = backend.train(X, y, n_classes=4, options=quick)
    folder = tmp_path / "booster"
    booster.save(folder)
    trees = next(folder.glob("stage0.*"))
    trees.write_bytes(trees.read_bytes()[:200])
    with pytest.raises(BundleError, match="does not match its checksum"):
        load_booster(folder)
    with pytest.raises(BundleError, match="is not a"):
        backend.read_trees(trees)
    trees.unlink()
    with pytest.raises(BundleError, match="is missing"):
        load_booster(folder)
    head = json.loads((folder / "booster.json").read_text())
    for change, message in (
        ({"format": 99}, "Install a newer jpas-gbm"),
        ({"backend": "catboost"}, "names the backend 'catboost'"),
        ({"stages": 3}, "is not what jpas-gbm writes"),
    ):
        (folder / "booster.json").write_text(json.dumps(head | {"checksums": {}} | change))
        with pytest.raises(BundleError, match=message):
            load_booster(folder)


def test_saving_into_an_empty_folder_and_not_over_another(backend, problem, quick, tmp_path):
    X, y, _ = problem
    booster = backend.train(X, y, n_classes=4, options=quick)
    (tmp_path / "made").mkdir()
    booster.save(tmp_path / "made")
    assert backend.load(tmp_path / "made").stage_rounds == booster.stage_rounds
    with pytest.raises(Exception, match="already exists"):
        booster.save(tmp_path / "made")


def test_folder_of_the_other_library(problem, quick, tmp_path):
    X, y, _ = problem
    get_backend("lightgbm").train(X, y, n_classes=4, options=quick).save(tmp_path / "b")
    with pytest.raises(BundleError, match="a booster of lightgbm, not of xgboost"):
        get_backend("xgboost").load(tmp_path / "b")


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
    train = {"n_classes": 4, "options": quick}
    with pytest.raises(FitError, match=r"not among 0 ... 3 .*-1 is unlabelled"):
        backend.train(X, np.where(y == 2, -1, y), **train)
    with pytest.raises(FitError, match="labels have shape"):
        backend.train(X, y[:-1], **train)
    with pytest.raises(FitError, match="class codes 0"):
        backend.train(X, np.full(len(X), "QSO"), **train)
    with pytest.raises(FitError, match="some labels are masked"):
        backend.train(X, np.ma.masked_equal(y, 0), **train)
    with pytest.raises(FitError, match="weights have shape"):
        backend.train(X, y, weight=np.ones(3), **train)
    with pytest.raises(FitError, match="negative or not finite"):
        backend.train(X, y, weight=np.full(len(X), np.nan), **train)
    with pytest.raises(FitError, match="all weights are zero"):
        backend.train(X, y, weight=np.zeros(len(X)), **train)
    with pytest.raises(FitError, match="at least 2 classes"):
        backend.train(X, np.zeros(len(X), int), n_classes=1, options=quick)
    with pytest.raises(FitError, match="nothing to train on"):
        backend.train(X[:0], y[:0], **train)
    with pytest.raises(FeatureMismatch, match="3 feature names .* for 8 columns"):
        backend.train(X, y, feature_names=("a", "b", "c"), **train)
    with pytest.raises(FeatureMismatch, match="rows, features"):
        backend.train(X[:, 0], y, **train)
    with pytest.raises(FeatureMismatch, match="numbers are needed"):
        backend.train(X.astype(str), y, **train)
    other = get_backend("xgboost" if backend.name == "lightgbm" else "lightgbm")
    with pytest.raises(FitError, match="bin them again"):
        other.train(backend.bin(X, names, quick), y, **train)


def test_constant_features_give_the_class_shares(backend, quick):
    X = np.ones((200, 3), dtype=np.float32)
    y = np.arange(200) % 4
    booster = backend.train(X, y, n_classes=4, options=quick, valid=(X, y))
    assert booster.stage_rounds == (0,)
    assert np.allclose(booster.margins(X), np.log(0.25))
    assert booster.contributions(X).shape == (200, 4, 4)


def test_empty_prediction(backend, problem, quick):
    X, y, _ = problem
    booster = backend.train(X, y, n_classes=4, options=quick)
    assert booster.margins(X[:0]).shape == (0, 4)
    assert booster.contributions(X[:0]).shape == (0, 4, 9)


def test_equal_options_take_equal_steps(make_problem):
    """One round of either library moves as far: XGBoost's rate is scaled for softmax's curvature."""
    from jpas_gbm.options import BoostingOptions

    options = BoostingOptions(
        rounds=1, patience=0, learning_rate=0.1, leaves=4, l2=5.0, min_child=1, feature_fraction=1, row_fraction=1
    )
    for k in (2, 3, 4):
        X, y, _ = make_problem(k=k, missing=0)
        one, two = (get_backend(name).train(X, y, n_classes=k, options=options) for name in ("lightgbm", "xgboost"))
        moves = [b.margins(X) - b.stages[0].intercept for b in (one, two)]
        assert np.abs(moves[0]).mean() == pytest.approx(np.abs(moves[1]).mean(), rel=0.1)
