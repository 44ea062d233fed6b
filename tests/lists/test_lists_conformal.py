"""Conformal promises hold, and the fast count is the published one."""

import numpy as np
import pytest

from jpas_gbm.errors import ListError
from jpas_gbm.lists.conformal import conformal_p_values, conformal_sets, select_conformal


def published(null, score, level, null_weight, weight, seed):
    """Algorithm 1 of Jin and Candès (2023), word by word, rows of one score in the order given."""
    m, total = len(score), null_weight.sum()
    above = np.array([null_weight[null >= s].sum() for s in score])
    p = (above + weight) / (total + weight)
    rejected = np.zeros(m, dtype=int)
    for j in range(m):
        reached = [(score[j] > score[i]) or (score[j] == score[i] and j < i) for i in range(m)]
        other = (above + weight[j] * np.array(reached)) / (total + weight[j])
        other[j] = 0
        passed = np.flatnonzero(np.sort(other) <= level * np.arange(1, m + 1) / m)
        rejected[j] = passed[-1] + 1 if len(passed) else 0
    first = p <= level * rejected / m
    value = np.random.default_rng(seed).random() * rejected
    most = max([r for r in range(1, first.sum() + 1) if (value[first] <= r).sum() >= r], default=0)
    return first & (value <= most), p


def test_the_fast_selection_is_the_published_one():
    rng = np.random.default_rng(0)
    found = 0
    for trial in range(150):
        n, m = rng.integers(5, 60), rng.integers(1, 40)
        null = rng.normal(size=n).round(2)
        score = np.where(rng.random(m) < 0.4, rng.normal(3, 1, m), rng.normal(size=m)).round(2)
        weights = rng.exponential(size=n), rng.exponential(size=m)
        level = float(rng.choice([0.1, 0.2, 0.5]))
        fast = select_conformal(null, score, level, *weights, seed=trial)
        selected, p = published(null, score, level, *weights, trial)
        np.testing.assert_array_equal(fast.selected, selected)
        np.testing.assert_allclose(fast.p_value, p)
        found += selected.sum()
    assert found > 500


def test_equal_weights_are_benjamini_and_hochberg(rng):
    null, score = rng.normal(size=500), np.concatenate([rng.normal(size=200), rng.normal(4, 1, 40)])
    fast = select_conformal(null, score, 0.2)
    p = np.sort((1 + (null[:, None] >= score).sum(axis=0)) / 501)
    assert fast.selected.sum() == fast.first == np.flatnonzero(p <= 0.2 * np.arange(1, 241) / 240)[-1] + 1


def test_false_discoveries_stay_below_the_level_under_label_shift():
    """Contaminants are half as common in the field: exact weights keep the rate and win rows over none."""
    proportion, size, plain = [], [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)

        def rows(n, share, members, rng=rng):
            kind = rng.choice(3, size=n, p=[members, share, 1 - members - share])
            return kind, rng.normal(np.array([3.0, 2.0, -1.0])[kind])

        kind, null = rows(1500, 0.1, 0.05)
        other = kind > 0
        truth, score = rows(600, 0.05, 0.05)

        def ratio(x):
            # Densities of other classes in the field over those of the labelled.
            near, far = np.exp(-0.5 * (x - 2) ** 2), np.exp(-0.5 * (x + 1) ** 2)
            return (0.05 * near + 0.9 * far) / (0.1 * near + 0.85 * far)

        found = select_conformal(null[other], score, 0.3, ratio(null[other]), ratio(score), seed=seed)
        picked = truth[found.selected]
        proportion.append((picked > 0).mean() if len(picked) else 0.0)
        size.append((picked == 0).sum())
        plain.append((truth[select_conformal(null[other], score, 0.3).selected] == 0).sum())
    error = np.std(proportion, ddof=1) / np.sqrt(len(proportion))
    assert np.mean(proportion) <= 0.3 + 2 * error
    assert np.mean(size) > np.mean(plain)


def test_upper_bounds_of_weights_only_shorten_the_list(rng):
    null, score = rng.normal(size=400), np.concatenate([rng.normal(size=150), rng.normal(4, 1, 40)])
    plain = select_conformal(null, score, 0.2)
    guarded = select_conformal(null, score, 0.2, np.full(400, 1.5), np.full(190, 1.5), total=400.0)
    assert guarded.selected.sum() <= plain.selected.sum() and (guarded.p_value >= plain.p_value - 1e-12).all()


def test_no_rows_no_selection():
    assert not len(select_conformal(np.zeros(5), np.zeros(0), 0.2).selected)


def test_sets_cover_every_class_whatever_the_mix(samples):
    held = np.zeros(4)
    seen = np.zeros(4)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        labelled = samples.held_out(rng, 3000)
        p, label = samples.draw(rng, 3000, samples.NEW)
        sets = conformal_sets(conformal_p_values(labelled.p, labelled.label, p), 0.9)
        inside = sets[np.arange(len(label)), label]
        held += np.bincount(label, weights=inside, minlength=4)
        seen += np.bincount(label, minlength=4)
    # Labels and rows both scatter: about 120 labels of the rarest class in each of ten runs.
    error = np.sqrt(0.09 * (1 / seen + 1 / (10 * 3000 * samples.OLD)))
    assert (np.abs(held / seen - 0.9) < 3.5 * error).all(), held / seen


def test_few_labels_make_large_sets(rng, samples):
    labelled = samples.held_out(rng, 3000)
    few = labelled.take((labelled.label != 0) | (np.cumsum(labelled.label == 0) <= 8))
    p, _ = samples.draw(rng, 500, samples.NEW)
    assert conformal_sets(conformal_p_values(few.p, few.label, p), 0.9)[:, 0].all()


def test_a_class_without_labels_has_no_p_value(rng, samples):
    labelled = samples.held_out(rng, 500)
    without = labelled.take(labelled.label != 1)
    with pytest.raises(ListError, match="no calibration labels of class 1"):
        conformal_p_values(without.p, without.label, without.p)
