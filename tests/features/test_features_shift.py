"""The shift measured on twins is the shift that was put in."""

import numpy as np
import pytest

from jpas_gbm.errors import BundleError
from jpas_gbm.features.shift import DomainShift
from jpas_gbm.features.variations import learn_shift
from jpas_gbm.surveys.bands import Band, BandSystem
from jpas_gbm.surveys.catalogue import Catalogue

B, N = 30, 4000
BANDS = BandSystem("thirty", tuple(Band(f"B{i:02d}", 4000 + 100 * i, 120) for i in range(B)))
FAMILIES = np.array([0, 0, 1, 2])
TILT = np.linspace(0.08, -0.08, B)
BLOCK = np.where(np.arange(B) < 10, 0.1, 0.0)


def make(seed=0, n=N, understated=1.0, outliers=0.0, tiles=4, noise=0.01):
    """Sky rows, their twins and the zero points put in."""
    rng = np.random.default_rng(seed)
    label = rng.choice(4, n, p=[0.1, 0.2, 0.4, 0.3])
    tile = rng.integers(1, tiles + 1, n)
    level = 10 ** rng.uniform(0, 3, n)[:, None]
    twin = level * (1 + 0.3 * rng.random((n, B)))
    zero = 1 + 0.05 * rng.standard_normal((tiles + 1, B))
    sky = twin * zero[tile]
    sky = sky * np.where((label == 2)[:, None], 1 + TILT, 1)
    sky = sky * np.where((label <= 1)[:, None], 1 + BLOCK * rng.standard_normal((n, 1)), 1)
    hit = rng.random((n, B)) < outliers
    sky = np.where(hit, 2.5 * sky, sky)
    err = np.sqrt((noise * sky) ** 2 + 1.0)
    flux = sky + understated * err * rng.standard_normal((n, B))
    catalogue = Catalogue(
        BANDS, flux, err, {"TILE_ID": tile, "NUMBER": np.arange(n)}, label=label, survey="sky", photometry="F"
    )
    return catalogue, twin, zero


@pytest.fixture(scope="module")
def learnt():
    sky, twin, zero = make(understated=1.3, outliers=0.003)
    return learn_shift(sky, twin, FAMILIES), sky, twin, zero


def test_zero_points_of_tiles_are_found(learnt):
    shift, _, _, zero = learnt
    assert shift.tiles.tolist() == [1, 2, 3, 4]
    found = shift.zero_points / shift.zero_points.mean(axis=1, keepdims=True)
    given = zero[1:] / zero[1:].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, given, atol=0.012)


def test_class_offsets_are_relative_to_the_class_that_scatters_least(learnt):
    shift = learnt[0]
    np.testing.assert_allclose(shift.offsets[3], 1)
    np.testing.assert_allclose(shift.offsets[2] / shift.offsets[2].mean() - 1, TILT, atol=0.012)
    np.testing.assert_array_equal(shift.offsets[0], shift.offsets[1])


def test_variations_that_bands_share_are_found(learnt):
    shift = learnt[0]
    quasars = np.square(shift.modes[0]).sum(axis=0)
    # The level of a row takes a third of a block of ten bands in thirty.
    assert quasars[:10].mean() > 3 * quasars[10:].mean()
    assert np.square(shift.modes[3]).sum() < 0.2 * quasars.sum()


def test_noise_and_outliers_are_measured(learnt):
    shift = learnt[0]
    assert shift.error_factor == pytest.approx(1.3, abs=0.1)
    assert shift.outlier_rate == pytest.approx(0.003, rel=0.3)
    assert np.median(shift.outliers) == pytest.approx(2.5, rel=0.15)


def test_correcting_brings_the_sky_back_to_its_twins(learnt):
    shift, sky, twin, _ = learnt
    stars = sky.label == 3
    bright = stars & (twin.mean(axis=1) > 300)

    def spread(flux):
        ratio = flux[bright] / twin[bright]
        return np.std(np.median(ratio / np.median(ratio, axis=1, keepdims=True), axis=0))

    corrected = shift.correct(sky)
    assert spread(corrected.flux) < 0.3 * spread(sky.flux)
    np.testing.assert_allclose(
        corrected.flux_err / corrected.flux, shift.error_factor * sky.flux_err / sky.flux, rtol=1e-4
    )


def test_an_unknown_tile_gets_the_common_zero_point(learnt):
    shift = learnt[0]
    np.testing.assert_array_equal(shift.factors(np.array([99]), 1)[0], shift.common)
    np.testing.assert_array_equal(shift.factors(None, 2)[1], shift.common)
    np.testing.assert_array_equal(shift.factors(np.array([2]), 1)[0], shift.zero_points[1])


def test_what_float32_cannot_hold_is_missing_and_no_warning(recwarn):
    flux = np.array([[3e38, 5.0]], dtype=np.float32)
    rows = Catalogue(
        BandSystem("two", (Band("A", 4000.0, 100.0), Band("B", 5000.0, 100.0))), flux, flux, {"ROW": np.arange(1)},
        np.arange(1), imaging_mag=np.full(1, 20.0, np.float32),
    )  # fmt: skip
    given = {"tiles": np.zeros(0, np.int64), "zero_points": np.ones((0, 2)), "common": np.full(2, 0.5), "scatter": 0.0}
    given |= {"offsets": np.ones((2, 2)), "modes": np.zeros((2, 0, 2)), "pulls": np.ones(3), "outlier_rate": 0.0}
    found = DomainShift(("A", "B"), **given, outliers=np.ones(1)).correct(rows)
    assert np.isnan(found.flux[0, 0]) and np.isnan(found.flux_err[0, 0]) and found.flux[0, 1] == 10 and not recwarn


def test_a_round_trip_keeps_everything(learnt):
    shift = learnt[0]
    back = DomainShift.from_arrays(shift.to_arrays())
    assert repr(back) == repr(shift) and "zero_points (" in repr(shift) and len(repr(shift)) < 300
    with pytest.raises(BundleError, match="the shift of the model: damaged .*scatter"):
        DomainShift.from_arrays({name: of for name, of in shift.to_arrays().items() if name != "numbers"})
    for name in ("tiles", "zero_points", "common", "offsets", "modes", "pulls", "outliers"):
        np.testing.assert_array_equal(getattr(back, name), getattr(shift, name))
    assert (back.bands, back.scatter, back.outlier_rate) == (shift.bands, shift.scatter, shift.outlier_rate)
    assert not list(shift.misfits(shift.bands, len(shift.offsets)))
    forged = (
        ({"tiles": shift.tiles * 1.0}, "tiles out of order"),
        ({"modes": shift.modes * np.nan}, "no numbers"),
        ({"pulls": shift.pulls + np.inf}, "no numbers"),
        ({"common": -shift.common}, "not above 0"),
    )
    for change, said in forged:
        made = DomainShift.from_arrays(shift.to_arrays() | change)
        assert said in next(iter(made.misfits(shift.bands, len(shift.offsets))))
    told = shift.to_dict()
    assert told["tiles"] == 4 and told["error_factor"] == shift.error_factor


def test_a_survey_without_tiles_has_common_zero_points_alone():
    sky, twin, zero = make(seed=1, tiles=1)
    shift = learn_shift(sky.replace(key={"ROW": np.arange(len(sky))}), twin, FAMILIES)
    assert len(shift.tiles) == 0 and shift.to_dict()["zero_point_scatter"] is None
    np.testing.assert_allclose(shift.common / shift.common.mean(), zero[1] / zero[1].mean(), atol=0.012)


def test_too_little_measures_nothing():
    sky, twin, _ = make(n=150)
    assert learn_shift(sky, np.full_like(twin, np.nan), FAMILIES) is None
    assert learn_shift(sky.take(slice(0, 90)), twin[:90], FAMILIES) is None
    bare = sky.replace(flux_err=np.full(sky.flux.shape, np.nan))
    assert learn_shift(bare, twin, FAMILIES) is None


def test_few_or_faint_twins_leave_noise_and_modes_alone():
    sky, twin, _ = make(n=150, noise=0.2)
    shift = learn_shift(sky, twin, FAMILIES)
    assert not shift.modes.any() and shift.outlier_rate == 0 and not len(shift.outliers)
    bright, bright_twin, _ = make(seed=2, n=600)
    keep = bright_twin.mean(axis=1) > 100
    assert learn_shift(bright.take(keep), bright_twin[keep], FAMILIES).error_factor == pytest.approx(1, abs=0.01)
