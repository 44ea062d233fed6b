"""Losses and decision scores against scikit-learn, and where they are not defined."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from jpas_gbm.scores import losses


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    margins = rng.normal(size=(400, 4)) * 2
    return margins, rng.integers(0, 4, 400), rng.random(400)


def test_softmax_and_its_logarithm(rows):
    margins, _, _ = rows
    p = losses.softmax(margins)
    assert np.allclose(p.sum(axis=1), 1)
    assert np.allclose(np.exp(losses.log_softmax(margins)), p, atol=1e-14)
    assert np.allclose(losses.softmax(margins + 700.0), p)
    assert losses.log_softmax(np.array([[0.0, -1e4]]))[0, 1] == pytest.approx(np.log(1e-15))


def test_log_loss_is_that_of_scikit_learn(rows):
    margins, y, weight = rows
    p = losses.softmax(margins)
    expected = oracle.log_loss(y, p, sample_weight=weight)
    assert losses.log_loss(p, y, weight) == pytest.approx(expected, abs=1e-12)
    assert losses.margin_loss(margins, y, weight) == pytest.approx(expected, abs=1e-12)
    assert losses.log_losses(p, y).mean() == pytest.approx(losses.log_loss(p, y))


def test_impossible_truths_cost_a_finite_price():
    p = np.array([[1.0, 0.0]])
    assert losses.log_losses(p, np.array([1]))[0] == pytest.approx(-np.log(1e-15))
    assert losses.brier_scores(p, np.array([1]))[0] == 2
    assert losses.brier_scores(p, np.array([0]))[0] == 0


def test_macro_f1_is_that_of_scikit_learn_over_the_classes_there(rows):
    margins, y, _ = rows
    said = margins.argmax(axis=1)
    confusion = losses.confusion_matrix(y, said, 4)
    assert np.array_equal(confusion, oracle.confusion_matrix(y, said))
    assert np.allclose(losses.f1_scores(confusion), oracle.f1_score(y, said, average=None))
    assert losses.macro_f1(confusion) == pytest.approx(oracle.f1_score(y, said, average="macro"))
    few = y < 3
    confusion = losses.confusion_matrix(y[few], said[few], 4)
    assert np.isnan(losses.f1_scores(confusion)[3])
    expected = oracle.f1_score(y[few], said[few], average="macro", labels=[0, 1, 2])
    assert losses.macro_f1(confusion) == pytest.approx(expected)


def test_macro_f1_of_many_matrices_at_once():
    rng = np.random.default_rng(1)
    many = rng.integers(0, 9, (3, 3, 5))
    assert np.allclose(losses.macro_f1(many), [losses.macro_f1(many[:, :, i]) for i in range(5)])


def test_the_mean_of_nothing_is_nan():
    assert np.isnan(losses.mean_defined(np.full((2, 1), np.nan)))[0]
    assert losses.mean_defined(np.array([[1.0], [np.nan]]))[0] == 1
