from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jpas_gbm.comparison.shown import evaluate
from jpas_gbm.scores.losses import SlopeRows, width_bins

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")


def plain_ece(confidence: np.ndarray, hit: np.ndarray) -> float:
    total = 0.0
    for b in range(10):
        inside = (confidence > b / 10) & (confidence <= (b + 1) / 10)
        if inside.any():
            total += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    return total


def test_calibration_errors_agree_with_the_definition(make_answers):
    y, p = make_answers(2000, 1, sharpen=2.0)
    top = plain_ece(p.max(axis=1), p.argmax(axis=1) == y)
    each = [plain_ece(p[:, c], y == c) for c in range(4)]
    found = evaluate(y, p, CLASSES).to_dict()
    assert found["ece"] == pytest.approx(top)
    assert found["macro"]["ece"] == pytest.approx(np.mean(each))
    for name, expected in zip(CLASSES, each, strict=True):
        assert found["per_class"][name]["ece"] == pytest.approx(expected)


def test_bins_are_closed_above_and_hold_the_ends():
    assert width_bins(np.array([0.0, 0.1, 0.1000001, 0.95, 1.0])).tolist() == [0, 0, 1, 9, 9]


def test_logistic_slope_agrees_with_scikit_learn(make_answers):
    y, p = make_answers(4000, 2, sharpen=1.5)
    rows = SlopeRows.of(y, p, 0)
    weights = np.random.default_rng(0).integers(0, 3, (len(rows.row), 4)).astype(np.float64)
    intercept, slope = rows.logistic(weights)
    x = np.log(rows.p / (1 - rows.p))[:, None]
    for j in range(4):
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, rows.hit, sample_weight=weights[:, j])
        assert slope[j] == pytest.approx(model.coef_[0, 0], rel=1e-4)
        assert intercept[j] == pytest.approx(model.intercept_[0], abs=1e-3)


@pytest.mark.parametrize(("sharpen", "expected"), [(1.0, 1.0), (2.0, 0.5), (0.5, 2.0)])
def test_slope_tells_over_from_under_confidence(make_answers, sharpen, expected):
    y, p = make_answers(60_000, 3, sharpen)
    rows = SlopeRows.of(y, p, 0, above=0.02)
    _, slope = rows.logistic(np.ones((len(rows.row), 1)))
    assert slope[0] == pytest.approx(expected, rel=0.1)
    binned = rows.binned(np.ones((len(rows.row), 1)))[0]
    if sharpen == 1:
        assert binned == pytest.approx(1, abs=0.05)
    if sharpen > 1:
        assert binned < 0.95


def test_slope_uses_only_rows_over_the_limit(make_answers):
    y, p = make_answers(3000, 4)
    rows = SlopeRows.of(y, p, 0, above=0.05)
    assert (p[rows.row, 0] > 0.05).all() and len(rows.row) == (p[:, 0] > 0.05).sum()
    counts = np.bincount(rows.bin)
    assert counts.max() - counts.min() <= 1  # equal-count bins


def test_separated_rows_have_no_slope():
    p = np.linspace(0.1, 0.9, 40)
    y = np.where(p > 0.5, 0, 1)
    rows = SlopeRows.of(y, np.stack([p, 1 - p], axis=1), 0)
    assert np.isnan(rows.logistic(np.ones((40, 1)))[1]).all()


@pytest.mark.parametrize(("rows", "hits", "told"), [(20, 5, None), (19, 9, "19 rows, 9"), (20, 4, "20 rows, 4")])
def test_twenty_rows_with_five_of_each_kind_are_enough_for_a_slope(rows, hits, told):
    found = SlopeRows.of((np.arange(rows) >= hits).astype(int), np.full((rows, 2), 0.5), 0)
    assert found.problem == (told and f"{told} of the class")


def test_too_few_rows_have_no_slope_and_say_so():
    p = np.full((10, 2), 0.5)
    rows = SlopeRows.of(np.arange(10) % 2, p, 0)
    assert rows.problem == "10 rows, 5 of the class"
    assert np.isnan(rows.logistic(np.ones((10, 2)))[0]).all() and np.isnan(rows.binned(np.ones((10, 2)))).all()
