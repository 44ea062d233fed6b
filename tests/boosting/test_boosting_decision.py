"""Decisions: class factors for macro-F1, the choice of the rule, another prior."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from jpas_gbm.boosting import decision
from jpas_gbm.boosting.decision import choose_rule, decide, judge_thresholds, tune_thresholds
from jpas_gbm.errors import FitError
from jpas_gbm.scores.bootstrap import resample_weights
from jpas_gbm.scores.losses import confusion_matrix, macro_f1, softmax

SHARES = np.array([0.03, 0.07, 0.6, 0.3])


def sample(n=5000, seed=0, sharp=2.0, shares=SHARES):
    rng = np.random.default_rng(seed)
    y = rng.choice(len(shares), n, p=shares)
    seen = rng.normal(size=(n, len(shares)))
    seen[np.arange(n), y] += sharp
    return sharp * seen + np.log(shares), y


def score(y, guess):
    return float(macro_f1(confusion_matrix(y, guess, 4)))


def test_macro_f1_is_that_of_scikit_learn():
    margins, y = sample(400)
    guess = decide(softmax(margins))
    assert score(y, guess) == pytest.approx(f1_score(y, guess, average="macro"))
    assert macro_f1(np.diag([3, 0, 2])) == 1  # a class without rows does not count


def test_line_search_finds_the_best_shift():
    """Against trying every shift: the exact search over one class's factor loses nothing."""
    margins, y = sample(300)
    logs = np.log(softmax(margins))
    best = decision._best_shift(logs, np.eye(4)[y], np.zeros(4), 0)
    grid = np.linspace(-decision._REACH, decision._REACH, 801)
    scores = [macro_f1(confusion_matrix(y, decide(logs + [s, 0, 0, 0]), 4)) for s in grid]
    found = macro_f1(confusion_matrix(y, decide(logs + [best, 0, 0, 0]), 4))
    assert found >= max(scores) - decision._PULL * decision._REACH**2


@pytest.mark.parametrize("c", range(4))
def test_no_shift_of_a_class_has_a_higher_expected_score(c):
    """The sum that counts walk along is that of each decision counted anew, for probabilities as truth."""
    margins, _ = sample(2000, seed=3, sharp=1.0)
    logs = np.log(softmax(margins))
    truth = softmax(1.3 * margins)

    def value(shift):
        said = np.eye(4)[decide(logs + shift * np.eye(4)[c])]
        f1 = 2 * (truth * said).sum(axis=0) / (truth.sum(axis=0) + said.sum(axis=0))
        return f1.mean() - decision._PULL * shift**2

    best = decision._best_shift(logs, truth, np.zeros(4), c)
    assert value(best) >= max(map(value, np.linspace(-decision._REACH, decision._REACH, 401))) - 6e-4


def test_rows_alike_turn_together():
    """That one of two equal rows turns and the other not is a decision that no shift can make."""
    best = decision._best_shift(np.log([[0.6, 0.4], [0.6, 0.4]]), np.eye(2)[[1, 0]], np.zeros(2), 1)
    assert abs(best - np.log(1.5)) > 0.1


def test_thresholds_raise_macro_f1_on_new_rows():
    margins, y = sample(8000, sharp=1.5)
    factors = tune_thresholds(softmax(margins), y)
    new, y_new = sample(8000, seed=1, sharp=1.5)
    gain = score(y_new, decide(softmax(new), factors)) - score(y_new, decide(softmax(new)))
    assert gain > 0.02
    assert factors[0] > 1.2 and np.log(factors).sum() == pytest.approx(0)


def test_probabilities_steady_what_labels_say():
    """With few labels, trusting calibrated probabilities is worth more on new rows than the labels' own optimum."""
    new, y_new = sample(20_000, seed=99, sharp=1.5)
    gains: dict[float, list[float]] = {0.0: [], 0.9: []}
    for seed in range(6):
        margins, y = sample(700, seed=seed, sharp=1.5)
        for trust, found in gains.items():
            found.append(score(y_new, decide(softmax(new), tune_thresholds(softmax(margins), y, trust=trust))))
    assert np.mean(gains[0.9]) > np.mean(gains[0.0])


def test_without_trust_labels_alone_are_counted():
    margins, y = sample(700, sharp=1.5)
    p = softmax(margins)
    scores = {trust: score(y, decide(p, tune_thresholds(p, y, trust=trust))) for trust in (0.0, 0.9, 1.0)}
    assert scores[0.0] > max(scores[0.9], scores[1.0], score(y, decide(p)))


def test_the_interval_of_the_gain_is_of_four_hundred_paired_resamples():
    margins, y = sample(300, sharp=1.5)
    groups = np.arange(300) // 2
    plain, tuned = decide(softmax(margins)), decide(softmax(margins), np.array([1.5, 1.2, 1, 1]))
    gains = []
    for weights in np.concatenate(list(resample_weights(groups, 400, 3)), axis=1).T:
        of = [f1_score(y, guess, average="macro", sample_weight=weights) for guess in (plain, tuned)]
        gains.append(of[1] - of[0])
    found = decision._gain_interval(y, plain, tuned, groups, 4, 3)
    assert found == pytest.approx(np.quantile(gains, [0.025, 0.975]).tolist(), abs=1e-6)


def test_thresholds_without_labels():
    margins, y = sample(8000, sharp=1.5)
    with_labels, without = tune_thresholds(softmax(margins), y), tune_thresholds(softmax(margins))
    assert np.abs(np.log(without / with_labels)).max() < 0.2


def test_absent_class_keeps_factor_one():
    margins, y = sample(3000)
    kept = y != 1
    factors = tune_thresholds(softmax(margins[kept]), y[kept])
    assert factors[1] == 1 and np.isfinite(factors).all()
    assert np.array_equal(tune_thresholds(softmax(margins[y == 2]), y[y == 2]), np.ones(4))


def test_judge_is_honest():
    """The gain is that of rows that did not tune, with an interval around it."""
    margins, y = sample(4000, sharp=1.5)
    judged = judge_thresholds(softmax(margins), y)
    low, high = judged.interval
    assert low < judged.gain < high and judged.gain > 0.005
    assert judged.argmax == pytest.approx(score(y, decide(softmax(margins))))


def test_choose_rule_takes_the_better_one():
    margins, y = sample(6000, sharp=1.5)
    told = choose_rule(margins, y, counted=np.arange(6000) % 4 > 0, seed=1)
    assert told.rule == "thresholds" and told.interval[0] > 0
    assert told.to_dict()["factors"] == told.factors.tolist() and "note" not in told.to_dict()
    doubtful, labels = sample(2000, sharp=1.5)
    told = choose_rule(doubtful, labels, counted=np.arange(2000) % 4 > 0, seed=1)
    assert told.rule == "argmax" and told.interval[0] < 0 < told.gain
    clear, y = sample(1000, sharp=8, shares=np.full(4, 0.25))
    told = choose_rule(clear, y)
    assert told.rule == "argmax" and told.argmax > 0.99


def test_choose_rule_without_enough_rows():
    margins, y = sample(500)
    told = choose_rule(margins, y, counted=y == 2)
    assert told.rule == "argmax" and np.array_equal(told.factors, np.ones(4))
    assert "1 class cannot tune thresholds" in told.note and told.to_dict() == {"rule": "argmax", "note": told.note}


def test_refusals():
    p = np.full((5, 4), 0.25)
    with pytest.raises(FitError, match=r"labels have shape \(3,\), there are 5 rows"):
        tune_thresholds(p, np.zeros(3, int))
    with pytest.raises(FitError, match="cannot tune thresholds"):
        tune_thresholds(p[:0], np.zeros(0, int))
    with pytest.raises(FitError, match="-1 is unlabelled"):
        tune_thresholds(p, np.full(5, -1))
