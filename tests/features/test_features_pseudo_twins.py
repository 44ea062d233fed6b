"""What is measured without labels is what was put in, and what templates cannot know is refused."""

from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.adaptation.sky import observe_again
from jpas_gbm.config import override
from jpas_gbm.features.pseudo_twins import PseudoTwins
from jpas_gbm.features.shift import TwinlessReport, judged
from jpas_gbm.options import SimulateOptions, SkyOptions, TwinlessOptions
from jpas_gbm.simulation.simulate import simulate

STILL = {
    "variability": 0.0, "errors": 0.0, "warp": 0.0, "arms": 0.0, "missing_tiles": 0.0, "seeing_scatter": 0.0,
    "aperture": 0.0, "gradient": 0.0, "zero_point": 0.0, "zero_point_band": 0.0,
}  # fmt: skip


def survey(n_tiles=6, **shifts):
    """A survey of one kind of shift, and its zero points by tile and band."""
    options = SimulateOptions(n_source=4000, n_labelled=2500, n_unlabelled=500, twins=False, n_tiles=n_tiles)
    return simulate(5, config=override(options, shifts={**STILL, **shifts}))


def measured(data, sky=None, **options):
    """Measure the shift of a survey on its rows, or on some."""
    mocks, rng = data.source_rows("train"), np.random.default_rng(0)
    plain = SkyOptions(forget_imaging=0.0)
    twins = PseudoTwins(mocks, data.scheme, override(TwinlessOptions(), **options), 0)
    return twins.measure(
        data.target if sky is None else sky, lambda rows, shift: observe_again(mocks, rows, plain, rng, shift)
    )


@pytest.fixture(scope="module")
def calibrated():
    return survey(zero_point=0.06, errors=0.6)


@pytest.fixture(scope="module")
def found(calibrated):
    return measured(calibrated)


def log_zero_points(shift):
    logs = np.log(shift.zero_points)
    logs = logs - logs.mean(axis=1, keepdims=True)
    return logs - logs.mean(axis=0)


def test_zero_points_of_tiles_are_found_without_labels(calibrated, found):
    from jpas_gbm.adaptation.sky import twin_fluxes
    from jpas_gbm.features.variations import learn_shift

    shift, report = found
    options = SimulateOptions(n_source=4000, n_labelled=2500, n_unlabelled=500, n_tiles=6)
    beside = simulate(5, config=override(options, shifts={**STILL, "zero_point": 0.06, "errors": 0.6}))
    labelled = beside.target.take(beside.target.label >= 0)
    twins = learn_shift(labelled, twin_fluxes(beside, labelled), beside.scheme.families)
    np.testing.assert_array_equal(shift.tiles, twins.tiles)
    assert np.corrcoef(log_zero_points(shift).ravel(), log_zero_points(twins).ravel())[0, 1] > 0.95
    assert report.tile_scatter == pytest.approx(0.06, rel=0.2)
    assert shift.error_factor == pytest.approx(twins.error_factor, rel=0.06)
    assert {"zero points", "errors"} <= set(report.taken)


def test_labels_are_not_read(calibrated, found):
    poisoned = calibrated.target.replace(
        label=np.full(len(calibrated.target), -1, dtype=np.int8), z=np.full(len(calibrated.target), np.nan)
    )
    again = measured(calibrated, poisoned)
    np.testing.assert_array_equal(again[0].zero_points, found[0].zero_points)
    np.testing.assert_array_equal(again[0].pulls, found[0].pulls)


def test_errors_of_templates_do_not_pass_for_calibration():
    shift, report = measured(survey(population=1.5))
    assert "common" not in report.taken and "offsets" not in report.taken
    assert "look like errors of the templates" in report.notes[0]
    np.testing.assert_allclose(shift.common, 1)
    np.testing.assert_allclose(shift.offsets, 1)
    assert report.doubted and {"modes", "outliers"} <= set(report.taken)  # mocks may show what they do not explain
    assert shift.modes.any()


def test_each_sign_of_template_errors_is_enough_to_refuse():
    good = TwinlessReport(1000, 10, 0.04, 0.01, 0.01, 0.02, 0.0, 0.01, 0.2, 0.001, 1.2)
    options = TwinlessOptions()
    assert "offsets" in judged(good, options).taken and not judged(good, options).notes
    assert not judged(good, options).doubted
    for sign, said in (
        ({"common": 0.03}, "the common zero point is 0.0300"),
        ({"star_modes": 0.1}, "the variation of stars is 0.1"),
        ({"star_misfit": 4.0}, "mock stars is 4"),
        ({"outlier_rate": 0.02}, "outliers is 0.02"),
    ):
        refused = judged(replace(good, **sign), options)
        assert refused.taken == ("zero points", "errors", "modes", "outliers") and said in refused.notes[0]
        assert refused.doubted and "are not corrected" in refused.notes[0]


def test_one_tile_or_none_has_no_zero_point_relative_to_others(calibrated):
    one = calibrated.target.take(calibrated.target.key["TILE_ID"] == calibrated.target.key["TILE_ID"][0])
    shift, report = measured(calibrated, one)
    assert "zero points" not in report.taken and "fewer than two tiles are named" in report.notes[0]
    nameless = calibrated.target.replace(key={"ROW": np.arange(len(calibrated.target))})
    doubt = judged(replace(report, common=0.05, common_limit=0.006), TwinlessOptions()).notes[-1]
    assert "is 0.0500, and without tiles to compare is taken 0.0060 at most" in doubt  # no scatter of one tile
    shift, report = measured(calibrated, nameless)
    assert not len(shift.tiles) and report.tiles == 0
    crumbs = np.where(np.arange(len(calibrated.target)) < 25, 9000, calibrated.target.key["TILE_ID"])
    keys = {"TILE_ID": crumbs, "NUMBER": np.arange(len(crumbs))}
    _, report = measured(calibrated, calibrated.target.replace(key=keys))
    assert "1 of 7 tiles have fewer than 30 sources" in report.notes[0]


def test_too_few_or_too_faint_sources_measure_nothing(calibrated):
    assert measured(calibrated, calibrated.target.take(slice(0, 150))) is None
    assert measured(calibrated, signal=1e6) is None
    bare = calibrated.target.replace(flux_err=np.full_like(calibrated.target.flux_err, np.nan))
    assert measured(calibrated, bare) is None
