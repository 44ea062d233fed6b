"""The class mix of an unlabelled field is found by EM, with an interval, and distrusted where it must be."""

from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.boosting.calibration import HeldOut
from jpas_gbm.boosting.scaling import em_shares
from jpas_gbm.comparison.shown import evaluate
from jpas_gbm.lists.mix import cells, estimate_mix, fit_bias, mag_bins
from jpas_gbm.lists.selection import check_mix
from jpas_gbm.scores.losses import log_p, softmax


def test_bias_correction_undoes_a_planted_temperature_and_bias(rng, samples):
    p, label = samples.draw(rng, 30_000, samples.OLD)
    bent = softmax(log_p(p) / 0.7 + np.array([0.8, -0.5, 0.0, 0.3]))
    found = fit_bias(log_p(bent), label)
    np.testing.assert_allclose(found.a, 0.7, atol=0.04)
    back = found.apply(bent)
    np.testing.assert_allclose(back.mean(axis=0), np.bincount(label) / len(label), atol=1e-4)
    np.testing.assert_allclose(back, p, atol=0.08)
    weight = rng.integers(0, 3, len(label)).astype(float)
    again = fit_bias(log_p(bent), label, weight, found)
    mean = np.average(again.apply(bent), axis=0, weights=weight)
    np.testing.assert_allclose(mean, np.bincount(label, weights=weight) / weight.sum(), atol=1e-4)


def test_em_finds_the_mix_and_leaves_an_unshifted_one(rng, samples):
    p, _ = samples.draw(rng, 200_000, samples.NEW)
    np.testing.assert_allclose(em_shares(p, samples.OLD), samples.NEW, atol=0.003)
    mean, count, member = cells(p)
    assert len(mean) < 40_000 and count.sum() == len(p) and member.max() == len(mean) - 1
    np.testing.assert_allclose(em_shares(mean, samples.OLD, count), em_shares(p, samples.OLD), atol=2e-4)
    own, _ = samples.draw(rng, 100_000, samples.OLD)
    np.testing.assert_allclose(em_shares(own, samples.OLD), samples.OLD, atol=0.004)


def test_the_interval_holds_the_truth_about_as_often_as_it_says(samples):
    inside = np.zeros(4)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labelled = samples.held_out(rng, 3000)
        p, _ = samples.draw(rng, 2000, samples.NEW)
        low, high = estimate_mix(labelled, p, np.full(2000, 20.0), draws=30, seed=seed).interval()
        inside += (low[0] <= samples.NEW) & (high[0] >= samples.NEW)
    assert (inside >= 16).all(), inside


def test_corrected_probabilities_are_calibrated_in_the_field(world, world_mix):
    _, rows, label = world
    names = ("QSO_high", "QSO_low", "GALAXY", "STAR")
    before, after = (
        np.array([evaluate(label, p, names)[f"per_class.{name}.ece"] for name in names])
        for p in (rows.p, world_mix.correct(rows.p, rows.mag))
    )
    assert after[0] < before[0] and after.sum() < 0.75 * before.sum()


def test_a_mix_by_magnitude(rng, samples):
    bright, faint = np.array([0.01, 0.02, 0.5, 0.47]), np.array([0.05, 0.05, 0.8, 0.1])
    labelled = samples.held_out(rng, 6000)
    parts = [samples.draw(rng, 6000, mix)[0] for mix in (bright, faint)]
    mag = np.repeat([19.0, 22.0], 6000)
    mix = estimate_mix(labelled, np.concatenate(parts), mag, [20.5], draws=20)
    np.testing.assert_allclose(mix.new, [bright, faint], atol=0.02)
    np.testing.assert_array_equal(mag_bins(np.array([19, 20.5, np.nan]), np.array([20.5])), [0, 1, 1])
    p = mix.correct(np.concatenate(parts), mag)
    np.testing.assert_allclose(p[:6000].mean(axis=0), mix.new[0], atol=1e-6)


def test_a_given_mix_is_taken_as_it_is(world, samples):
    labelled, rows, _ = world
    mix = estimate_mix(labelled, rows.p, rows.mag, given=samples.OLD[None], draws=20)
    assert mix.given and all(np.array_equal(draw.new[0], samples.OLD) for draw in mix.draws)


def test_trust_where_only_the_mix_changed(world, world_mix, samples):
    labelled, rows, _ = world
    trust = check_mix(world_mix, labelled, rows.p, rows.mag, samples.CLASSES)
    assert trust.trusted, trust.reasons


def test_no_trust_where_spectra_changed(world, rng, samples):
    labelled, _, _ = world
    p, _ = samples.draw(rng, 4000, samples.NEW, width=1.6)
    mag = rng.uniform(18, 23, 4000)
    mix = estimate_mix(labelled, p, mag, draws=30)
    trust = check_mix(mix, labelled, p, mag, samples.CLASSES)
    assert not trust.trusted
    assert any("the field's probabilities are not those of labelled rows" in r for r in trust.reasons)


def test_no_trust_where_magnitudes_changed(world, samples):
    labelled, rows, _ = world
    mag = rows.mag + 1.5
    trust = check_mix(estimate_mix(labelled, rows.p, mag, draws=30), labelled, rows.p, mag, samples.CLASSES)
    assert any("--prior-edges" in reason for reason in trust.reasons)
    assert trust.tests["magnitudes"].gap == pytest.approx(0.3, abs=0.03)  # of 5 magnitudes 1.5 are not those of labels


def test_no_trust_with_few_labels(rng, samples):
    labelled = samples.held_out(rng, 4000)
    few = labelled.take((labelled.label != 0) | (np.cumsum(labelled.label == 0) <= 4))
    p, _ = samples.draw(rng, 2000, samples.NEW)
    mag = rng.uniform(18, 23, 2000)
    trust = check_mix(estimate_mix(few, p, mag, draws=20), few, p, mag, samples.CLASSES)
    assert any("QSO_high has 4 calibration labels" in reason for reason in trust.reasons)


def test_held_out_rows_survive_a_file(world, tmp_path):
    labelled = world[0]
    np.savez(tmp_path / "v.npz", **labelled.to_arrays())
    with np.load(tmp_path / "v.npz") as arrays:
        back = HeldOut.from_arrays(dict(arrays))
    np.testing.assert_array_equal(back.p, labelled.p)
    assert back.domain == "target" and len(back) == len(labelled)
    with pytest.raises(Exception, match="lack 'mag'"):
        HeldOut.from_arrays({k: v for k, v in labelled.to_arrays().items() if k != "mag"})
    with pytest.raises(Exception, match="do not belong together"):
        HeldOut.from_arrays(labelled.to_arrays() | {"mag": np.zeros(3)})


def test_the_mix_by_magnitude_is_trusted_where_it_holds(samples):
    """Labels by steps of magnitude, in bins that follow them: what EM assumes holds, and is not refused by chance."""
    trusted, found = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        labelled, p, mag, y = _by_magnitude(rng, samples, lambda m: np.array([0.9, 0.5, 0.15])[np.digitize(m, EDGES)])
        mix = estimate_mix(labelled, p, mag, np.array(EDGES), draws=30, seed=seed)
        trusted.append(check_mix(mix, labelled, p, mag, samples.CLASSES).trusted)
        rows = np.bincount(mix.place(mag)) / len(mag)
        found.append(rows @ mix.new - np.bincount(y, minlength=4) / len(y))
    assert sum(trusted) >= 3 and np.abs(found).max() < 0.02


def test_magnitudes_within_bins_matter_where_shares_move(samples):
    """Brighter labels within bins are harmless where scores do not depend on magnitude, and not where they do."""
    rng = np.random.default_rng(3)
    labelled, p, mag, _ = _by_magnitude(rng, samples, lambda m: 1 / (1 + np.exp((m - 21) / 0.4)))
    mix = estimate_mix(labelled, p, mag, np.array(EDGES[:1]), draws=30)
    trust = check_mix(mix, labelled, p, mag, samples.CLASSES)
    assert trust.tests["magnitudes"].gap > 0.05 and trust.trusted, trust.reasons
    turned = replace(labelled, p=np.where((labelled.mag > 21.5)[:, None], labelled.p[:, [2, 1, 0, 3]], labelled.p))
    faint = np.where((mag > 21.5)[:, None], p[:, [2, 1, 0, 3]], p)
    trust = check_mix(
        estimate_mix(turned, faint, mag, np.array(EDGES[:1]), draws=30), turned, faint, mag, samples.CLASSES
    )
    assert not trust.trusted


EDGES = (20.5, 22.0)


def _by_magnitude(rng, samples, chance, n=4000, field=8000):
    """Return labelled rows, and probabilities, magnitudes and classes of a field; all classes at all magnitudes."""
    mag = rng.uniform(18, 23, 8 * n)
    mix = np.stack(
        [0.02 + 0.002 * (mag - 18), 0.05 + 0 * mag, 0.4 + 0.06 * (mag - 18), 0.5 - 0.06 * (mag - 18)], axis=1
    )
    y = np.empty(len(mag), dtype=int)
    p = np.empty((len(mag), 4))
    for b in range(4):
        here = np.digitize(mag, (19.25, 20.5, 21.75)) == b
        p[here], y[here] = samples.draw(rng, int(here.sum()), mix[here].mean(axis=0))
    taken = rng.random(len(mag)) < (c := chance(mag)) * n / c.sum()
    rows = np.flatnonzero(~taken)[:field]
    labelled = HeldOut(p[taken], y[taken].astype(np.int8), np.arange(taken.sum()), mag[taken].astype("f4"))
    return labelled, p[rows], mag[rows], y[rows]
