"""Calibration: what it finds, how it holds back, what it does with few labels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.boosting.calibration import Calibrator, crossfit_probabilities, fit_calibrator
from jpas_gbm.boosting.matrix import stratified_folds
from jpas_gbm.boosting.scaling import ScalingLoss, directions, fit_scaling, identity
from jpas_gbm.errors import BundleError, FitError
from jpas_gbm.options import CalibrationOptions
from jpas_gbm.scores.losses import log_loss, log_softmax, softmax

SHARES = np.array([0.03, 0.07, 0.6, 0.3])


def sample(n=4000, seed=0, shares=SHARES):
    """Labels and margins whose softmax are true probabilities."""
    rng = np.random.default_rng(seed)
    k = len(shares)
    y = rng.choice(k, n, p=shares)
    seen = rng.normal(size=(n, k))
    seen[np.arange(n), y] += 2.5
    return 2.5 * seen + np.log(shares), y


def test_gradient_and_hessian_match_differences():
    margins, y = sample(300)
    problem = ScalingLoss(log_softmax(margins), y, np.linspace(0.5, 2, 300), 0.01)
    A = identity(4) + np.random.default_rng(0).normal(size=(4, 5)) * 0.1
    _, gradient, hessian = problem.derivatives(A)
    steps = 1e-5 * np.eye(20).reshape(20, 4, 5)
    slope = [(problem.value(A + d) - problem.value(A - d)) / 2e-5 for d in steps]
    curve = [(problem.derivatives(A + d)[1] - problem.derivatives(A - d)[1]) / 2e-5 for d in steps]
    assert np.allclose(gradient, slope, atol=1e-8)
    assert np.allclose(hessian, curve, atol=1e-7)


@pytest.mark.parametrize("method", ["temperature", "offsets", "vector", "dirichlet"])
def test_newton_finds_what_lbfgs_finds(method):
    from scipy.optimize import minimize

    margins, y = sample(400)
    logs = log_softmax(1.5 * margins)
    A = fit_scaling(logs, y, method, 0.003, np.ones(len(y)))
    problem = ScalingLoss(logs, y, np.ones(len(y)), 0 if method == "temperature" else 0.003)
    M = directions(method, 4)

    def loss(theta):
        value, gradient, _ = problem.derivatives((M @ theta).reshape(4, 5))
        return value, M.T @ gradient

    start = M.T @ identity(4).ravel() / np.square(M).sum(axis=0)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-10})
    assert problem.value(A) == pytest.approx(found.fun, abs=1e-9)


def test_honest_margins_are_left_almost_alone():
    margins, y = sample()
    calibrator, report = fit_calibrator(margins, y)
    assert report.log_loss == pytest.approx(report.log_loss_uncalibrated, abs=2e-3)
    assert np.abs(calibrator.apply(margins) - softmax(margins)).max() < 0.1


def test_temperature_is_found():
    margins, y = sample()
    calibrator, _ = fit_calibrator(margins * 2, y, CalibrationOptions(method="temperature"))
    assert pytest.approx(np.eye(4) / 2, abs=0.05) == calibrator.W and not calibrator.b.any()


def test_class_weights_are_undone():
    """Margins lifted for rare classes, as class weights leave them, come back to honest ones."""
    margins, y = sample(6000)
    lifted = margins - 0.5 * np.log(SHARES)
    new, y_new = sample(6000, seed=1)
    calibrator, report = fit_calibrator(lifted, y)
    assert report.method in ("offsets", "vector", "dirichlet")
    p = calibrator.apply(new - 0.5 * np.log(SHARES))
    honest = log_loss(softmax(new), y_new)
    assert log_loss(p, y_new) < honest + 0.003
    assert log_loss(softmax(new - 0.5 * np.log(SHARES)), y_new) > honest + 0.01
    assert p.mean(axis=0) == pytest.approx(np.bincount(y_new) / 6000, abs=0.01)


def test_few_labels_of_a_class_undo_class_weights_by_its_offset():
    """Six labels of the rarest class are too few for a scale of its own, and enough for its share."""
    margins, y = sample(6000)
    lifted = margins - 0.5 * np.log(SHARES)
    rarest = np.argmin(SHARES)
    few = np.concatenate([np.flatnonzero(y == rarest)[:6], np.flatnonzero(y != rarest)[:300]])
    calibrator, report = fit_calibrator(lifted[few], y[few])
    assert report.method == "offsets" and "vector and dirichlet scaling would need 10" in report.notes[0]
    asked, _ = fit_calibrator(lifted[few], y[few], CalibrationOptions(method="vector"))
    assert asked.method == "offsets"
    temperature, _ = fit_calibrator(lifted[few], y[few], CalibrationOptions(method="temperature"))
    others = np.setdiff1d(np.arange(6000), few)
    assert log_loss(calibrator.apply(lifted[others]), y[others]) < log_loss(
        temperature.apply(lifted[others]), y[others]
    )


def test_labels_correct_what_was_known_without_them():
    """A calibrator stands on another; a strong prior lets thirty labels move it little, and needs none of a class."""
    margins, y = sample(3000)
    base = Calibrator("vector", 0.8 * np.eye(4), np.array([0.3, 0.0, -0.2, 0.0]))
    free, _ = fit_calibrator(base.log_odds(margins), y, CalibrationOptions(method="offsets"))
    whole = replace(free, base=base)
    assert np.allclose(whole.apply(margins), free.apply(base.log_odds(margins)), atol=1e-12)
    again = Calibrator.from_dict(json.loads(json.dumps(whole.to_dict())))
    assert np.array_equal(again.apply(margins), whole.apply(margins))
    few = np.flatnonzero(y != 0)[:30]
    held = CalibrationOptions(method="offsets", prior_rows=30.0)
    near, report = fit_calibrator(margins[few], y[few], held)
    loose, _ = fit_calibrator(margins[few], y[few], CalibrationOptions(method="temperature"))
    assert report.method == "offsets" and np.abs(near.W - np.eye(4)).max() < 0.1 and np.abs(near.b).max() < 0.1
    assert np.abs(loose.W - np.eye(4)).max() > np.abs(near.W - np.eye(4)).max()


@pytest.mark.parametrize("b", [[0.0, 0.0, 0.0], [0.0, float("nan")]])
def test_a_damaged_base_is_refused(b):
    base = {"method": "none", "W": np.eye(len(b)).tolist(), "b": b}
    with pytest.raises(BundleError, match="calibrator is damaged .*a base for"):
        Calibrator.from_dict({"method": "none", "W": np.eye(2).tolist(), "b": [0.0, 0.0], "base": base})


def test_dirichlet_repairs_confused_classes():
    margins, y = sample(6000)
    mixed = margins.copy()
    mixed[:, 0] += 0.4 * margins[:, 1]
    _, report = fit_calibrator(mixed, y)
    assert report.method == "dirichlet"
    assert {entry.method for entry in report.candidates} == {"none", "temperature", "offsets", "vector", "dirichlet"}


def test_the_constant_of_a_row_does_not_matter():
    margins, y = sample(1000)
    calibrator, _ = fit_calibrator(margins, y)
    shifted = margins + np.linspace(-5, 5, 1000)[:, None]
    assert np.allclose(calibrator.apply(margins), calibrator.apply(shifted), atol=1e-12)
    p = calibrator.apply(margins * 1e4)
    assert np.isfinite(p).all() and np.allclose(p.sum(axis=1), 1)


def test_round_trip_through_json():
    margins, y = sample(1000)
    calibrator, report = fit_calibrator(margins, y)
    again = Calibrator.from_dict(json.loads(json.dumps(calibrator.to_dict())))
    assert again.method == calibrator.method
    assert np.array_equal(again.apply(margins), calibrator.apply(margins))
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["method"] == report.method and len(plain["candidates"]) == len(report.candidates)
    with pytest.raises(BundleError, match="calibrator is damaged"):
        Calibrator.from_dict({"method": "vector", "W": [[1.0]], "b": [0.0, 0.0]})
    with pytest.raises(BundleError, match="calibrator is damaged"):
        Calibrator.from_dict({})


@pytest.mark.parametrize("method", ["auto", "dirichlet", "vector"])
def test_trap_calibration_class_absent(method):
    """scikit-learn raises a bare IndexError here."""
    margins, y = sample(2000)
    kept = y != 0
    calibrator, report = fit_calibrator(margins[kept], y[kept], CalibrationOptions(method=method))
    assert calibrator.method in ("none", "temperature")
    assert report.counts[0] == 0
    assert "class 0 has 0 labels" in report.notes[0]
    p = calibrator.apply(margins)
    assert p.shape == (2000, 4) and p[y == 0, 0].mean() > 0.3


def test_a_handful_of_labels_restrains_the_method():
    margins, y = sample(3000)
    few = np.concatenate([np.flatnonzero(y == 0)[:12], np.flatnonzero(y > 0)])
    _, report = fit_calibrator(margins[few], y[few])
    assert {entry.method for entry in report.candidates} == {"none", "temperature", "offsets", "vector"}
    assert "class 0 has 12 labels: dirichlet scaling would need 20 of each class." in report.notes


def test_under_a_strong_prior_a_flexible_method_needs_more_labels():
    margins, y = sample(3000)
    few = np.concatenate([np.flatnonzero(y == c)[:40] for c in range(4)])
    for rows, flexible in ((9.9, {"vector", "dirichlet"}), (10.0, set()), (11.0, set())):
        _, report = fit_calibrator(margins[few], y[few], CalibrationOptions(prior_rows=rows))
        assert {entry.method for entry in report.candidates} == {"none", "temperature", "offsets"} | flexible


def test_twenty_labels_may_calibrate():
    margins, y = sample(2000)
    for n, used in ((19, False), (20, True)):
        _, report = fit_calibrator(margins[:n], y[:n], CalibrationOptions(method="temperature"))
        assert any("cannot calibrate" in note for note in report.notes) != used


def test_too_few_labels_or_one_class_calibrate_nothing():
    margins, y = sample(2000)
    for rows in (np.arange(10), np.flatnonzero(y == 2)):
        calibrator, report = fit_calibrator(margins[rows], y[rows])
        assert calibrator.method == "none" and "cannot calibrate" in report.notes[0]
        assert np.allclose(calibrator.apply(margins), softmax(margins))
        assert np.allclose(crossfit_probabilities(margins[rows], y[rows]), softmax(margins[rows]))


def test_no_calibration_on_request():
    margins, y = sample(500)
    calibrator, report = fit_calibrator(margins, y, CalibrationOptions(method="none"))
    assert calibrator.method == "none" and report.notes == []


def test_weights_count():
    """A sample with a fifth of the galaxies, weighted back, gives the probabilities of the whole."""
    margins, y = sample(6000)
    kept = (y != 2) | (np.arange(6000) % 5 == 0)
    weight = np.where(y == 2, 5.0, 1.0)[kept]
    vector = CalibrationOptions(method="vector")
    calibrators = [fit_calibrator(margins[kept], y[kept], vector, weight=w)[0] for w in (None, weight)]
    plain, weighted = (c.apply(margins)[:, 2].mean() for c in calibrators)
    assert weighted == pytest.approx((y == 2).mean(), abs=0.02)
    assert plain < weighted - 0.02


def test_crossfit_is_out_of_fold():
    """Pure noise must not look calibratable: the cross-fitted loss is no better than the class shares."""
    rng = np.random.default_rng(0)
    margins, y = rng.normal(size=(400, 4)) * 3, rng.integers(0, 4, 400)
    p = crossfit_probabilities(margins, y, CalibrationOptions(method="dirichlet"))
    assert log_loss(p, y) > np.log(4) - 0.02
    assert np.allclose(p.sum(axis=1), 1)


def test_two_classes():
    margins, y = sample(1000, shares=np.array([0.3, 0.7]))
    calibrator, report = fit_calibrator(margins * 3, y)
    assert report.log_loss < report.log_loss_uncalibrated
    assert calibrator.apply(margins).shape == (1000, 2)


def test_refusals():
    margins, y = sample(100)
    with pytest.raises(FitError, match=r"labels have shape \(99,\), there are 100 rows"):
        fit_calibrator(margins, y[:-1])
    with pytest.raises(FitError, match="not finite"):
        fit_calibrator(np.where(margins > 0, np.nan, margins), y)
    with pytest.raises(FitError, match="-1 is unlabelled"):
        fit_calibrator(margins, np.full(100, -1))
    with pytest.raises(FitError, match=r"the calibrator needs \(n, 4\)"):
        Calibrator.identity(4).apply(margins[:, :3])


def test_folds_keep_objects_whole_and_classes_even():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 500, 1500)
    labels = (groups % 50 == 0).astype(int)
    fold = stratified_folds(labels, 5, seed=1, groups=groups)
    assert set(fold) == set(range(5))
    for group in range(500):
        assert len(np.unique(fold[groups == group])) <= 1
    objects = [len(np.unique(groups[(labels == 1) & (fold == f)])) for f in range(5)]
    assert max(objects) - min(objects) <= 1
    assert np.array_equal(fold, stratified_folds(labels, 5, seed=1, groups=groups))
    assert not np.array_equal(fold, stratified_folds(labels, 5, seed=2, groups=groups))
    assert set(stratified_folds(np.zeros(3, int), 5)) == {0, 1, 2}
    with pytest.raises(FitError, match=r"1 object cannot be dealt to 5 folds"):
        stratified_folds(np.zeros(3, int), 5, groups=np.ones(3))


def test_a_few_rows_without_an_error_do_not_scale_without_bound():
    rng = np.random.default_rng(0)
    y = np.repeat([1, 2, 3], [2, 35, 13])
    margins = rng.normal(size=(50, 4))
    margins[np.arange(50), y] += 6
    p = fit_calibrator(margins, y, CalibrationOptions(method="temperature"))[0].apply(margins)
    other = np.arange(4) != y[:, None]
    assert p.argmax(axis=1).tolist() == y.tolist()
    assert p[other].reshape(50, 3).sum(axis=1).max() > 1e-5  # not certain beyond what fifty rows can say
