"""What the libraries let through in silence, and this package does not."""

from __future__ import annotations

import warnings

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from jpas_gbm.boosting.backend import get_backend
from jpas_gbm.boosting.booster import StagedBooster
from jpas_gbm.boosting.matrix import UnseenMissingWarning, as_matrix
from jpas_gbm.boosting.training import bin_features, train
from jpas_gbm.errors import FeatureMismatch
from jpas_gbm.scores.losses import margin_loss


class Named:
    """A matrix that carries names, as FeatureMatrix does."""

    def __init__(self, X, names):
        self.X, self.names = X, names


@pytest.fixture
def booster(backend, problem, quick):
    X, y, names = problem
    return train(backend, Named(X, names), y, n_classes=4, options=quick)


def test_trap_permuted_columns(booster, problem):
    X, _, names = problem
    turned = [*names[1:], names[0]]
    frame = pd.DataFrame(X, columns=names)
    assert np.array_equal(booster.margins(frame), booster.margins(X))
    for matrix in (frame[turned], Named(np.roll(X, -1, axis=1), tuple(turned))):
        with pytest.raises(FeatureMismatch, match="another order .* column 0 is 'band1', the model has 'band0'"):
            booster.margins(matrix)
        with pytest.raises(FeatureMismatch, match="another order"):
            booster.contributions(matrix)


def test_data_frame_with_columns_named_like_ours(backend, problem, quick):
    X, y, _ = problem
    frame = pd.DataFrame(X[:, :3], columns=["X", "names", "columns"])
    booster = train(backend, frame, y, n_classes=4, options=quick)
    assert booster.feature_names == ("X", "names", "columns")
    assert np.array_equal(booster.margins(frame), booster.margins(X[:, :3]))


def test_trap_missing_and_unknown_columns(booster, problem):
    X, _, names = problem
    with pytest.raises(FeatureMismatch, match="7 features, the model was trained on 8"):
        booster.margins(X[:, :7])
    with pytest.raises(FeatureMismatch, match="1 of 8 features are missing and 1 are unknown .*missing: band7.*extra"):
        booster.margins(Named(X, (*names[:7], "extra")))


def test_trap_infinite_values(backend, booster, problem, quick):
    X, y, _ = problem
    X = X.copy()
    X[70_000 % len(X), 3] = -np.inf
    with pytest.raises(FeatureMismatch, match=r"column 3 is infinite .* in row \d+.*NaN"):
        booster.margins(X)
    with pytest.raises(FeatureMismatch, match="column 3 is infinite"):
        train(backend, X, y, n_classes=4, options=quick)
    X = X.astype(np.float64)
    X[70_000 % len(X), 3] = 1e300
    with pytest.raises(FeatureMismatch, match="beyond float32"):
        booster.margins(X)


def test_trap_big_endian(backend, booster, problem, quick):
    """FITS arrays are big-endian; XGBoost reads them as garbage without a word."""
    X, y, _ = problem
    swapped = X.astype(">f4")
    assert np.array_equal(booster.margins(swapped), booster.margins(X))
    again = train(backend, swapped, y.astype(">i4"), n_classes=4, options=quick, weight=np.ones(len(X), ">f8"))
    assert np.array_equal(again.margins(X), booster.margins(X))


def test_trap_masked_arrays(booster, problem):
    X, _, _ = problem
    hidden = np.ma.masked_invalid(X)
    hidden[:, 2] = np.ma.masked
    expected = X.copy()
    expected[:, 2] = np.nan
    assert np.array_equal(booster.margins(hidden), booster.margins(expected))
    assert np.isnan(as_matrix(np.ma.masked_equal(np.arange(6).reshape(2, 3), 4))[1, 1])


@pytest.mark.parametrize("features", [8, 12])
def test_trap_nan_at_predict_where_training_had_none(backend, quick, make_problem, features):
    """LightGBM reads such a NaN as 0; here the median of training stands in, and a warning says so."""
    X, y, names = make_problem(missing=0, features=features)
    X = X + 50  # 0 is far outside the training range
    booster = train(backend, X, y, n_classes=4, options=quick, feature_names=names)
    gone = X.copy()
    gone[:, 1] = np.nan
    with pytest.warns(UnseenMissingWarning, match=r"1,500 of 1,500 rows miss 1 feature .*band1.*medians of training"):
        margins = booster.margins(gone)
    expected = X.copy()
    expected[:, 1] = np.median(X[:, 1])
    assert np.array_equal(margins, booster.margins(expected))
    kept = (booster.margins(X).argmax(axis=1) == y).mean()
    assert (margins.argmax(axis=1) == y).mean() > kept - 0.3
    with pytest.warns(UnseenMissingWarning):
        shares = booster.contributions(gone[:10])
    assert np.allclose(shares.sum(axis=2), margins[:10], atol=1e-4)


def test_a_few_rows_are_filled_without_a_word(backend, quick, make_problem):
    X, y, _ = make_problem(missing=0)
    booster = train(backend, X, y, n_classes=4, options=quick)
    gone = X.copy()
    gone[:10, 1] = np.nan
    expected = X.copy()
    expected[:10, 1] = np.median(X[:, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(booster.margins(gone), booster.margins(expected))


def test_trap_nan_fill_survives_saving(backend, quick, tmp_path, make_problem):
    X, y, names = make_problem(missing=0)
    X[:400, 5] = np.nan
    booster = train(backend, X, y, n_classes=4, options=quick, feature_names=names)
    booster.save(tmp_path / "b")
    gone = X.copy()
    gone[:, 0] = np.nan
    with pytest.warns(UnseenMissingWarning):
        assert np.array_equal(StagedBooster.load(tmp_path / "b").margins(gone), booster.margins(gone))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        booster.margins(X)  # band5 was seen missing


def test_trap_nan_in_validation_where_training_had_none(backend, quick, make_problem):
    """Early stopping judges the rows as predict would read them."""
    X, y, names = make_problem(missing=0)
    Xv, yv, _ = make_problem(seed=1, missing=0.2)
    booster = train(backend, X, y, n_classes=4, options=quick, feature_names=names, valid=(Xv, yv))
    with pytest.warns(UnseenMissingWarning):
        loss = margin_loss(booster.margins(Xv), yv, np.ones(len(yv)))
    assert loss == pytest.approx(booster.history[0]["best_loss"], abs=1e-5)


def test_each_stage_knows_what_it_never_missed(backend, quick, make_problem):
    mocks = make_problem(missing=0)
    sky = make_problem(seed=3, missing=0.3)
    base = train(backend, mocks.X, mocks.y, n_classes=4, options=quick)
    with pytest.warns(UnseenMissingWarning):
        booster = train(backend, sky.X, sky.y, init=base, options=quick)
    assert np.isfinite(booster.stages[0].fill).all() and np.isnan(booster.stages[1].fill).all()


def test_trap_init_score_layout(problem, quick):
    """A flat init_score is read class by class; (n, k) is what is meant, and what is given here."""
    X, y, _ = problem
    engine = get_backend("lightgbm")
    base = train(engine, X, y, n_classes=4, options=quick)
    bins = bin_features(engine, X)
    booster = train(engine, bins, y, init=base, options=quick, valid=(X, y))
    assert booster.history[1]["start_loss"] == pytest.approx(margin_loss(base.margins(X), y, np.ones(len(y))))
    flat = np.asarray(bins.handle.get_field("init_score"))
    assert np.array_equal(flat.reshape(4, -1).T if flat.ndim == 1 else flat, base.margins(X))
    # A wrong layout would start the first round from scrambled margins, far above that loss.
    first = []
    train(engine, X, y, init=base, options=quick, valid=(X, y), on_round=lambda _, loss: first.append(loss))
    assert first[0] < booster.history[1]["start_loss"] * 1.05


def test_trap_dataset_keeps_an_old_init_score(problem, quick):
    """LightGBM leaves the old start in place when told None; here each training sets its own."""
    X, y, _ = problem
    dataset = lightgbm.Dataset(X, free_raw_data=False).construct()
    dataset.set_init_score(np.ones((len(X), 4)))
    dataset.set_init_score(None)
    assert np.any(dataset.get_init_score())  # the trap itself, as of LightGBM 4.7
    engine = get_backend("lightgbm")
    bins = bin_features(engine, X)
    clean = train(engine, bins, y, n_classes=4, options=quick).margins(X)
    base = train(engine, X, (y + 1) % 4, n_classes=4, options=quick)
    train(engine, bins, y, init=base, options=quick)
    assert np.array_equal(train(engine, bins, y, n_classes=4, options=quick).margins(X), clean)


def test_trap_dataset_keeps_old_weights(problem, quick):
    """LightGBM takes weights of one for none, and leaves the old ones in place."""
    X, y, _ = problem
    engine = get_backend("lightgbm")
    bins = bin_features(engine, X)
    clean = train(engine, bins, y, n_classes=4, options=quick).margins(X)
    train(engine, bins, y, n_classes=4, options=quick, weight=np.where(y == 0, 9.0, 0.5))
    assert np.array_equal(train(engine, bins, y, n_classes=4, options=quick).margins(X), clean)


def test_trap_free_raw_data(backend, problem, quick):
    """Bins whose raw data LightGBM let go can still be continued on: the margins come from our matrix."""
    X, y, names = problem
    bins = bin_features(backend, X, names, quick)
    base = train(backend, bins, y, n_classes=4, options=quick)
    booster = train(backend, bins, y, init=base, options=quick)
    assert len(booster.stage_rounds) == 2


def test_trap_best_iteration_of_a_loaded_model(backend, problem, quick, tmp_path):
    """A loaded LightGBM model has best_iteration -1; only the best rounds are kept, so all are used."""
    X, y, _ = problem
    longer = quick.model_copy(update={"rounds": 90})
    booster = train(backend, X[:300], y[:300], n_classes=4, options=longer, valid=(X[300:], y[300:]))
    assert booster.history[0]["rounds_grown"] > booster.stage_rounds[0]
    booster.save(tmp_path / "b")
    again = StagedBooster.load(tmp_path / "b")
    assert np.array_equal(again.margins(X), booster.margins(X))
    loss = margin_loss(again.margins(X[300:]), y[300:], np.ones(len(y) - 300))
    assert loss == pytest.approx(booster.history[0]["best_loss"], abs=1e-5)


def test_trap_xgboost_predicts_with_all_rounds_after_early_stopping(problem, quick):
    X, y, _ = problem
    booster = train("xgboost", X[:300], y[:300], n_classes=4, options=quick, valid=(X[300:], y[300:]))
    trees = booster.stages[0].trees
    assert isinstance(trees, xgboost.Booster)
    assert trees.num_boosted_rounds() == booster.stage_rounds[0] < booster.history[0]["rounds_grown"]


def test_native_lightgbm_file_reads_in_bare_lightgbm(problem, quick, tmp_path):
    X, y, _ = problem
    booster = train("lightgbm", X, y, n_classes=4, options=quick)
    booster.save(tmp_path / "b")
    bare = lightgbm.Booster(model_file=str(tmp_path / "b" / "stage0.txt"))
    assert np.array_equal(bare.predict(X, raw_score=True) + booster.stages[0].intercept, booster.margins(X))
