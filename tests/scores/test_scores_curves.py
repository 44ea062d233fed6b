from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from jpas_gbm.scores.curves import binned_quantiles, purity_completeness, reliability, roc


def test_roc_agrees_with_scikit_learn(make_answers):
    y, p = make_answers(300, 1, digits=2)
    mine = roc(y, p, 2, points=1000)
    fpr, tpr, threshold = oracle.roc_curve(y == 2, p[:, 2], drop_intermediate=False)
    np.testing.assert_allclose(mine.false_positive, fpr)
    np.testing.assert_allclose(mine.true_positive, tpr)
    np.testing.assert_allclose(mine.threshold, threshold)


def test_thinned_curves_keep_ends_and_area(make_answers):
    y, p = make_answers(20_000, 2)
    full, thin = roc(y, p, 0, points=10**6), roc(y, p, 0, points=300)
    assert len(thin.threshold) <= 302
    assert thin.true_positive[-1] == thin.false_positive[-1] == 1
    area = oracle.auc(full.false_positive, full.true_positive)
    assert oracle.auc(thin.false_positive, thin.true_positive) == pytest.approx(area, abs=2e-3)


def test_purity_and_completeness_of_a_cut(make_answers):
    y, p = make_answers(2000, 3)
    curve = purity_completeness(y, p, 0, points=10**6)
    for i in (0, 100, 700, -1):
        chosen = p[:, 0] >= curve.threshold[i]
        assert curve.selected[i] == chosen.sum()
        assert curve.purity[i] == pytest.approx((y[chosen] == 0).mean())
        assert curve.completeness[i] == pytest.approx((chosen & (y == 0)).sum() / (y == 0).sum())


def test_reliability_of_honest_probabilities_lies_on_the_diagonal(make_answers):
    y, p = make_answers(40_000, 4)
    for column, equal_count in ((None, False), (0, False), (2, True)):
        curve = reliability(y, p, column, equal_count=equal_count)
        assert curve.n.sum() == 40_000
        pull = (curve.fraction - curve.mean_p) / (curve.high - curve.low) * 2
        assert np.abs(pull).max() < 4
        if equal_count:
            assert np.ptp(curve.n) <= 1


def test_a_class_without_rows_has_no_rates():
    p = np.array([[0.2, 0.8], [0.6, 0.4]])
    assert np.isnan(roc(np.array([1, 1]), p, 0).true_positive[1:]).all()
    assert np.isnan(purity_completeness(np.array([1, 1]), p, 0).completeness).all()


def test_reliability_has_the_interval_of_wilson_at_one_sigma():
    """Of a fraction f in n rows: (f + 1 / 2n ± sqrt(f (1 - f) / n + 1 / 4n²)) / (1 + 1 / n)."""
    p = np.tile([0.35, 0.65], (10, 1))
    curve = reliability(np.array([0] * 3 + [1] * 7), p, 0)
    half = np.sqrt(0.3 * 0.7 / 10 + 1 / 400) / 1.1
    assert curve.low[0] == pytest.approx((0.3 + 0.05) / 1.1 - half)
    assert curve.high[0] == pytest.approx((0.3 + 0.05) / 1.1 + half)


def test_binned_quantiles_leave_out_missing_and_empty():
    x = np.array([0.0, 0.5, 1.0, np.nan, 9.0])
    found = binned_quantiles(x, np.array([1.0, 3.0, 7.0, 5.0, 2.0]), np.array([0, 1, 2, 3]))
    assert found.n.tolist() == [2, 1, 0]
    assert found.median[0] == 2 and found.median[1] == 7 and np.isnan(found.median[2])


def test_curves_of_an_absent_class_are_not_numbers(make_answers):
    y, p = make_answers(200, 5)
    p, y = p[y != 0], y[y != 0]
    assert np.isnan(roc(y, p, 0).true_positive[1:]).all()
    assert np.isnan(purity_completeness(y, p, 0).completeness).all()
