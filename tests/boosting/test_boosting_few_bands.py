"""What few bands are worth: learnt from rows with bands taken away, applied by the number that was observed."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.boosting.few_bands import ByBrightness, FewBands, learn_brightness, learn_few_bands, thinned
from jpas_gbm.scores.losses import log_loss, softmax


def rows(n, seed, bands=22):
    """Two classes told apart by the sum of their bands."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(int)
    return (rng.normal(size=(n, bands)) + 0.35 * y[:, None]).astype(np.float32), y


def too_sure(flux):
    """A classifier that takes the mean of what it has for the mean of all bands."""
    mean = np.nanmean(flux, axis=1)
    odds = flux.shape[1] * 0.35 * (mean - 0.175) + np.log(0.3 / 0.7)
    return softmax(np.column_stack([np.zeros(len(odds)), odds]))


@pytest.fixture(scope="module")
def learnt():
    flux, y = rows(1500, 0)
    return learn_few_bands(lambda places, thin: too_sure(thin), flux, y, 0)


def test_a_share_of_the_bands_is_left():
    flux = np.ones((50, 22), dtype=np.float32)
    flux[7, :20] = np.nan
    thin = thinned(flux, 0.5, np.random.default_rng(0))
    left = np.isfinite(thin).sum(axis=1)
    assert set(np.delete(left, 7)) == {11} and left[7] == 1 and np.isnan(thin[7, :20]).all()
    assert len({tuple(np.isnan(row)) for row in thin}) > 40
    assert (np.isfinite(thinned(flux, 0.001, np.random.default_rng(0))).sum(axis=1) == 1).all()


def test_held_out_rows_with_few_bands_are_as_sure_as_they_are_right(learnt):
    flux, y = rows(4000, 1)
    for share in (1 / 11, 3 / 11, 6 / 11):
        thin = thinned(flux, share, np.random.default_rng(2))
        p = too_sure(thin)
        wide = learnt.apply(p, np.isfinite(thin).sum(axis=1))
        right = np.mean(wide.argmax(axis=1) == y)
        assert log_loss(wide, y) < log_loss(p, y) - 0.004
        assert abs(wide.max(axis=1).mean() - right) < 0.03
        assert wide.max(axis=1).mean() < p.max(axis=1).mean()
        np.testing.assert_allclose(wide.sum(axis=1), 1)


def test_few_rows_of_each_share_are_asked_once_and_rare_classes_as_often_as_there_are_rows():
    flux, y = rows(6000, 5)
    y[:] = np.where(np.arange(6000) < 40, 1, 0)
    asked = []

    def probabilities(places, thin):
        asked.append((places, np.isfinite(thin).sum(axis=1)))
        return too_sure(thin)

    learnt = learn_few_bands(probabilities, flux, y, 0)
    assert [(len(places), *set(bands)) for places, bands in asked] == [(500, 2), (500, 4), (500, 8), (500, 16)]
    assert all((y[places] == 1).sum() == 40 for places, _ in asked)
    # Weighed back: rows that tell nothing get the shares of the classes, not those of the rows that were asked.
    blank = learn_few_bands(lambda places, thin: np.full((len(places), 2), 0.5), flux, y, 0)
    wide = blank.apply(np.full((3, 2), 0.5), np.array([2, 4, 8]))
    assert (wide[:, 1] < 0.02).all() and learnt.prior[1] < 0.01


def test_rows_with_the_usual_bands_stay_as_they_are_and_those_without_any_have_the_prior(learnt):
    flux, _ = rows(300, 3)
    p = too_sure(flux)
    assert learnt.usual == 22
    np.testing.assert_array_equal(learnt.apply(p, np.full(300, 22)), p)
    np.testing.assert_array_equal(learnt.apply(p, np.full(300, 20)), p)
    assert np.abs(learnt.apply(p, np.full(300, 19)) - p).max() > 1e-4
    np.testing.assert_allclose(learnt.apply(p, np.zeros(300, dtype=int)), np.tile(learnt.prior, (300, 1)))
    assert learnt.prior[1] == pytest.approx(0.3, abs=0.04) and learnt.prior.sum() == pytest.approx(1)
    many = learnt.apply(np.stack([p, p[::-1]]), np.arange(300) % 23)
    np.testing.assert_allclose(many[0], learnt.apply(p, np.arange(300) % 23))


def test_few_rows_teach_nothing():
    flux, y = rows(19, 4)
    assert learn_few_bands(lambda places, thin: too_sure(thin), flux, y, 0) is None


def test_what_does_not_fit_is_named(learnt):
    again = FewBands.from_arrays(learnt.to_arrays())
    assert not list(again.misfits(2)) and again.usual == learnt.usual
    assert "for 3 classes" in next(again.misfits(3))
    bad = FewBands(22, learnt.share, np.where(learnt.A == 0, np.nan, learnt.A))
    assert "not finite" in next(bad.misfits(2))
    assert "stands at the shares" in next(FewBands(22, learnt.share[::-1], learnt.A).misfits(2))


def test_bright_and_faint_rows_are_calibrated_apart_and_those_of_unknown_magnitude_are_not():
    rng = np.random.default_rng(0)
    p = softmax(rng.normal(0, 2, (3000, 3)))
    mag = np.where(np.arange(3000) % 3 == 0, 23.0, 21.0)
    # The bright are as sure as they should be; of the faint every other row is of any class.
    y = np.array([rng.choice(3, p=one) for one in p])
    lost = (mag > 22.5) & (rng.random(3000) < 0.5)
    y[lost] = rng.integers(0, 3, lost.sum())
    made, after = learn_brightness(p, y, mag, 22.5, np.arange(3000), 0)
    bright, faint = mag < 22.5, mag > 22.5
    assert log_loss(after[faint], y[faint]) < log_loss(p[faint], y[faint]) - 0.1
    assert log_loss(after[bright], y[bright]) < log_loss(p[bright], y[bright]) + 0.002
    assert made.A[1, 0, 0] < 0.6 < 0.9 < made.A[0, 0, 0]
    known = np.where(np.arange(3000) < 5, np.nan, mag)
    wide = made.apply(np.stack([p, p]), known)
    np.testing.assert_array_equal(wide[:, :5], np.stack([p, p])[:, :5])
    np.testing.assert_allclose(wide.sum(axis=2), 1)
    np.testing.assert_allclose(wide[1, 5:], after[5:], atol=0.05)
    again = ByBrightness.from_arrays(made.to_arrays())
    assert again.cut == 22.5 and np.array_equal(again.A, made.A) and not list(again.misfits(3))
    assert "for 4 classes" in next(made.misfits(4))
    assert "not finite" in next(ByBrightness(np.nan, made.A).misfits(3))


def test_few_rows_on_a_side_are_calibrated_as_all_are():
    p = np.full((400, 2), 0.5)
    made, after = learn_brightness(p, np.arange(400) % 2, np.linspace(18, 22.5, 400) + 0.05, 22.5, np.arange(400), 0)
    assert made is None and after is p
