from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as oracle

from jpas_gbm.errors import DatasetError
from jpas_gbm.scores.bootstrap import (
    Difference,
    differences,
    mean_interval,
    paired,
    replicate,
    resample_rows,
    resample_weights,
)
from jpas_gbm.scores.metrics import Scorer

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")


def bootstrap(y, p, groups=None, n=1000, seed=0):
    return replicate([Scorer.of(y, p, CLASSES)], groups, n, seed).intervals()


def test_same_seed_same_intervals_whatever_the_block(make_answers):
    y, p = make_answers(400, 1)
    a = bootstrap(y, p, None, 150, 5)
    assert a == bootstrap(y, p, None, 150, 5)
    assert a != bootstrap(y, p, None, 150, 6)
    groups = np.arange(400) // 2
    whole = np.concatenate(list(resample_weights(groups, 70, 3, block=70)), axis=1)
    parts = np.concatenate(list(resample_weights(groups, 70, 3, block=9)), axis=1)
    np.testing.assert_array_equal(whole, parts)


def test_rows_of_one_object_come_together():
    groups = np.array([7, 7, 3, 9, 3])
    weights = np.concatenate(list(resample_weights(groups, 200, 0)), axis=1)
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[2], weights[4])
    np.testing.assert_array_equal(weights[[0, 2, 3]].sum(axis=0), 3)


def test_repeated_rows_do_not_narrow_the_intervals(make_answers):
    y, p = make_answers(600, 2)
    once = bootstrap(y, p, np.arange(600), 400, 1)["accuracy"]
    thrice = bootstrap(np.tile(y, 3), np.tile(p, (3, 1)), np.tile(np.arange(600), 3), 400, 1)["accuracy"]
    naive = bootstrap(np.tile(y, 3), np.tile(p, (3, 1)), None, 400, 1)["accuracy"]
    assert thrice == pytest.approx(once, abs=1e-6)
    assert np.ptp(naive) < 0.7 * np.ptp(once)


def test_draws_agree_with_a_plain_bootstrap(make_answers):
    y, p = make_answers(500, 3)
    found = replicate([Scorer.of(y, p, CLASSES)], None, 20, 11)
    weights = next(resample_weights(np.arange(500), 20, 11))
    for j in range(20):
        rows = np.repeat(np.arange(500), weights[:, j].astype(int))
        assert found.draws["macro.f1"][0, j] == pytest.approx(
            oracle.f1_score(y[rows], p[rows].argmax(axis=1), average="macro")
        )
        assert found.draws["per_class.GALAXY.auroc"][0, j] == pytest.approx(
            oracle.roc_auc_score(y[rows] == 2, p[rows, 2])
        )


def test_intervals_cover_the_truth(make_answers):
    """Of 95 % intervals of repeated samples, about 95 % hold the figure of the whole population."""
    y, p = make_answers(200_000, 4, sharpen=1.6)
    truth = Scorer.of(y, p, CLASSES).figures(np.ones((200_000, 1)))
    names = (
        "macro.f1",
        "per_class.QSO_high.f1",
        "log_loss",
        "macro.auroc_ovo",
        "ece",
        "macro.ece",
        "calibration.slope",
    )
    inside = dict.fromkeys(names, 0)
    trials = 120
    for trial in range(trials):
        rows = np.random.default_rng(trial).choice(200_000, 1200, replace=False)
        intervals = bootstrap(y[rows], p[rows], None, 200, trial)
        for name in names:
            low, high = intervals[name]
            inside[name] += low <= truth[name][0] <= high
    # 120 trials at 95 %: 114 expected, sigma 2.4; percentile intervals of skewed figures cover a little less.
    assert all(count >= 0.88 * trials for count in inside.values()), inside


def test_calibration_errors_of_a_calibrated_model_reach_down_to_nothing(make_answers):
    """Noise alone makes the estimate positive: the interval must not exclude the true 0."""
    inside = 0
    for trial in range(30):
        y, p = make_answers(1000, 100 + trial)
        found = bootstrap(y, p, None, 100, trial)
        inside += found["ece"][0] == 0 and found["macro.ece"][0] == 0
        assert not any(name.startswith("null") for name in found)
    assert inside >= 25
    y, p = make_answers(1000, 1, sharpen=3.0)
    assert bootstrap(y, p, None, 100, 1)["ece"][0] > 0.03


def test_paired_interval_is_narrower_than_unpaired_and_covers(make_answers):
    y, p = make_answers(4000, 5)
    noise = np.random.default_rng(0).normal(0, 0.5, p.shape)
    worse = p * np.exp(noise)
    worse /= worse.sum(axis=1, keepdims=True)
    together = paired(y, p, worse, None, 400, 1, classes=CLASSES)
    a = bootstrap(y, p, None, 400, 1)
    b = bootstrap(y, worse, None, 400, 2)
    for name in ("macro.f1", "log_loss", "per_class.QSO_high.f1"):
        unpaired = np.hypot(np.ptp(a[name]), np.ptp(b[name]))
        assert np.ptp(together[name].interval) < 0.8 * unpaired
    loss = together["log_loss"]
    assert loss.interval[1] < 0 and loss.above == 0  # lower is better, and it is surely lower
    plain = oracle.log_loss(y, p) - oracle.log_loss(y, worse)
    assert loss.difference == pytest.approx(plain)


def test_a_model_does_not_differ_from_itself(make_answers):
    y, p = make_answers(500, 6)
    found = paired(y, p, p, None, 100, 1, classes=CLASSES)
    assert found["macro.f1"] == Difference(0.0, (0.0, 0.0), 0.0)


def test_seeds_are_averaged_by_figure(make_answers):
    y, p = make_answers(1500, 7)
    seeds = []
    for seed in range(3):
        q = p * np.exp(np.random.default_rng(seed).normal(0, 0.3, p.shape))
        seeds.append(q / q.sum(axis=1, keepdims=True))
    found = paired(y, seeds, p, None, 100, 1, classes=CLASSES)
    mean = np.mean([oracle.f1_score(y, q.argmax(axis=1), average="macro") for q in seeds])
    assert found["macro.f1"].difference == pytest.approx(mean - oracle.f1_score(y, p.argmax(axis=1), average="macro"))
    thresholds = [np.array([w, 1, 1, 1]) for w in (1.0, 2.0, 3.0)]
    decided = np.mean(
        [oracle.accuracy_score(y, (q * t).argmax(axis=1)) for q, t in zip(seeds, thresholds, strict=True)]
    )
    models = replicate([Scorer.of(y, q, CLASSES, t) for q, t in zip(seeds, thresholds, strict=True)], None, 50, 1)
    assert models.mean([0, 1, 2]).point["thresholded.accuracy"][0] == pytest.approx(decided)
    assert differences(models.mean([0]), models.mean([0, 1, 2]))["accuracy"].interval is not None


def test_a_class_without_rows_has_no_interval(make_answers):
    y, p = make_answers(800, 8)
    keep = y != 0
    found = bootstrap(y[keep], p[keep], None, 50, 1)
    assert found["per_class.QSO_high.f1"] is None
    assert found["macro.f1"] is not None


def test_a_class_with_one_object_keeps_its_intervals(make_answers):
    y, p = make_answers(400, 9)
    keep = (y != 0) | (np.arange(400) == np.flatnonzero(y == 0)[0])
    found = bootstrap(y[keep], p[keep], None, 200, 1)
    assert found["per_class.QSO_high.recall"] is not None  # from the resamples that drew it
    assert found["calibration.slope"] is None


def test_no_rows_and_no_resamples():
    none = bootstrap(np.empty(0, int), np.empty((0, 4)), None, 50, 1)
    assert set(none.values()) == {None}


def test_different_rows_are_refused(make_answers):
    a, b = Scorer.of(*make_answers(50, 1), CLASSES), Scorer.of(*make_answers(60, 1), CLASSES)
    with pytest.raises(DatasetError, match="scored on different rows"):
        replicate([a, b], None, 10)
    with pytest.raises(DatasetError, match="49 object ids for 50 rows"):
        replicate([a], np.arange(49), 10)


def test_a_thousand_resamples_of_ten_thousand_rows_take_seconds(make_answers):
    y, p = make_answers(10_605, 10)
    scorer = Scorer.of(y, p, CLASSES, np.ones(4))
    scorer.figures(np.ones((10_605, 1)))  # compilation apart
    start = time.perf_counter()
    replicate([scorer], None, 1000, 0)
    assert time.perf_counter() - start < 10


def test_resampled_rows_are_whole_objects():
    groups = np.array([7, 7, 3, 9, 9, 9])
    for rows in resample_rows(groups, 20, np.random.default_rng(0)):
        times = {name: np.sum(groups[rows] == name) / np.sum(groups == name) for name in (3, 7, 9)}
        assert sum(times.values()) == 3 and all(t == int(t) for t in times.values())


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=400), 2)  # each object twice: pairs count once
    low, high = mean_interval(values, np.arange(800) // 2, 0)
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def answered(true: int, right: int, said: int, rows: int = 400):
    """Answers with `true` rows of QSO_high, `right` of them found, `said` said to be: the others are galaxies."""
    y, decided = np.full(rows, 2), np.full(rows, 2)
    y[:true] = 0
    decided[:right] = 0
    decided[true : true + said - right] = 0
    return y, np.where(np.arange(4) == decided[:, None], 0.97, 0.01)


@pytest.mark.parametrize("name", ["recall", "precision", "f1"])
@pytest.mark.parametrize(("true", "right", "said"), [(10, 10, 10), (10, 0, 10), (10, 0, 7), (12, 9, 11)])
def test_intervals_of_proportions_are_wilsons(name, true, right, said):
    found = bootstrap(*answered(true, right, said), None, 2000, 1)[f"per_class.QSO_high.{name}"]
    of = {"recall": true, "precision": said, "f1": true + said - right}[name]
    expected = binomtest(right, of).proportion_ci(method="wilson")
    expected = [2 * end / (1 + end) if name == "f1" else end for end in expected]
    assert found == pytest.approx(expected, abs=1e-9 if right in (0, true) else 0.05)
    assert right or found[0] == 0.0


def test_rows_of_one_object_are_one_trial():
    y, p = answered(10, 10, 10)
    once = bootstrap(y, p, None, 50, 1)
    twice = bootstrap(np.repeat(y, 2), np.repeat(p, 2, axis=0), np.repeat(np.arange(400), 2), 50, 1)
    assert twice["per_class.QSO_high.recall"] == pytest.approx(once["per_class.QSO_high.recall"])
    assert once["per_class.QSO_high.recall"][0] == pytest.approx(10 / (10 + 1.959964**2))


def test_thresholded_and_binned_proportions_have_trials_of_their_own():
    y, p = answered(10, 10, 10)
    bins = np.where(np.arange(400) < 4, 1, 0)
    found = replicate([Scorer.of(y, p, CLASSES, np.array([1.0, 1, 1, 1]), bins, 2)], None, 50, 1)
    z = 1.959964**2
    for prefix, n in (("thresholded.", 10), ("by_magnitude.1.", 4), ("by_magnitude.1.thresholded.", 4)):
        assert found.intervals()[f"{prefix}per_class.QSO_high.recall"] == pytest.approx([n / (n + z), 1.0])


def test_a_class_of_one_row_is_not_sure_and_its_absence_is_no_other_mean():
    y, p = answered(1, 1, 1)
    p[0] = [0.9, 0.04, 0.03, 0.03]
    drawn = replicate([Scorer.of(y, p, CLASSES)], None, 300, 1)
    found = drawn.intervals()
    for name, least in (("recall", 0.5), ("f1", 0.3), ("auroc", 0.4), ("average_precision", 0.7)):
        low, high = found[f"per_class.QSO_high.{name}"]
        assert high == pytest.approx(1.0) and high - low > least, name
    # In a third of the resamples the row is not drawn: there the mean would be of other classes.
    for name in ("macro.recall", "macro.f1", "macro.auroc_ovr"):
        absent = np.isnan(drawn.draws[name][0])
        assert 60 < absent.sum() < 160 and np.isnan(drawn.draws["per_class.QSO_high.recall"][0][absent]).all()
        assert found[name][1] - found[name][0] > 0.15


def test_the_precision_of_a_class_that_nothing_is_said_to_be_may_be_anything():
    y, p = answered(5, 0, 0)
    assert bootstrap(y, p, None, 100, 1)["per_class.QSO_high.precision"] == [0.0, 1.0]
    other = answered(5, 4, 4)[1]
    gap = paired(y, p, other, None, 100, 1, classes=CLASSES)["per_class.QSO_high.precision"]
    assert gap.difference == -1 and gap.interval[0] == -1 and gap.interval[1] > 0


def test_models_that_agree_on_few_objects_may_still_differ():
    y, p = answered(10, 10, 10)
    found = paired(y, p, p, None, 50, 1, classes=CLASSES)["per_class.QSO_high.recall"]
    half = 1.959964 * np.sqrt(2) / 12
    assert found.difference == 0 and found.interval == pytest.approx((-half, half))


def test_intervals_of_rare_classes_and_of_calibration_cover_what_they_state(make_answers):
    """Of the 400 rows of a sample 16 are of the rare class; 142 of 150 samples are expected, sigma 2.7."""
    y, p = make_answers(100_000, 4, sharpen=1.6)
    truth = Scorer.of(y, p, CLASSES).figures(np.ones((100_000, 1)))
    names = ("per_class.QSO_high.recall", "per_class.QSO_high.f1", "ece", "macro.ece", "per_class.QSO_high.ece")
    names += ("per_class.QSO_high.auroc", "per_class.QSO_high.average_precision", "macro.f1", "macro.precision")
    inside = dict.fromkeys(names, 0)
    for trial in range(150):
        rows = np.random.default_rng(trial).choice(100_000, 400, replace=False)
        found = bootstrap(y[rows], p[rows], None, 120, trial)
        inside = {n: inside[n] + (found[n][0] <= truth[n][0] <= found[n][1]) for n in names}
    assert all(count >= 138 for count in inside.values()), inside
