"""The whole simulated survey."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from jpas_gbm.config import override, parse_options
from jpas_gbm.errors import ConfigError, DatasetError, OutputError
from jpas_gbm.options import SimulateOptions
from jpas_gbm.simulation.simulate import mocks, simulate
from jpas_gbm.simulation.survey import simulate_survey
from jpas_gbm.simulation.write import first_rows, write_survey
from jpas_gbm.store import dump_json
from jpas_gbm.surveys.catalogue import UNLABELLED
from jpas_gbm.surveys.dataset import Dataset
from jpas_gbm.surveys.reader import read_imaging

TINY = {"n_source": 300, "n_labelled": 200, "n_unlabelled": 100, "n_tiles": 4}


def test_the_same_seed_gives_the_same_bits(small_survey):
    again = simulate_survey(small_survey.options, small_survey.seed)
    for one, other in ((small_survey.source, again.source), (small_survey.target, again.target)):
        for name in ("flux", "flux_err", "object_id", "ra", "label", "z", "mag", "morphology"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert dump_json(small_survey.shift.to_dict()) == dump_json(again.shift.to_dict())


def test_options_may_be_given_by_name():
    data = simulate(seed=1, config=TINY)
    assert len(data.source) >= 300 and len(data.target) < 400
    with pytest.raises(ConfigError, match="n_sauce"):
        simulate(seed=1, config={"n_sauce": 300})


def test_another_seed_gives_another_sky():
    one, other = (simulate_survey(SimulateOptions(**TINY), seed) for seed in (1, 2))
    assert not np.array_equal(one.target.flux, other.target.flux, equal_nan=True)
    assert one.shift.zero_point[0, 0] != other.shift.zero_point[0, 0]


def test_sizes_and_classes_are_those_asked_for():
    options = SimulateOptions(n_source=3000, n_labelled=4000, n_unlabelled=2000, overlap=0.0)
    survey = simulate_survey(options, 0)
    target = survey.target
    labelled = target.label != UNLABELLED
    assert (labelled.sum(), (~labelled).sum(), len(survey.source)) == (4000, 2000, 7000)
    mix = np.array(options.class_mix)
    expected = 4000 * mix / mix.sum()
    np.testing.assert_allclose(np.bincount(survey.truth.label[labelled]), expected, atol=1)
    quasars = [(survey.truth.label[part] < 2).mean() for part in (labelled, ~labelled, survey.source)[:2]]
    assert quasars[1] == pytest.approx(quasars[0] / 2, rel=0.08)


def test_mocks_have_more_quasars_than_the_sky(small_survey):
    own = small_survey.source.label[~small_survey.twins]
    natural = np.array(small_survey.options.class_mix_source)
    assert (own < 2).mean() > 2 * natural[:2].sum() / natural.sum()


@pytest.mark.parametrize(("code", "share"), [(0, 0.777), (1, 0.863), (2, 0.605), (3, 0.993)])
def test_magnitudes_follow_the_labelled_survey(code, share):
    """Shares at r <= 22.5 of the paper's labelled sample."""
    mix = [float(code == one) for one in range(4)]
    survey = simulate_survey(SimulateOptions(n_source=0, n_labelled=3000, n_unlabelled=0, class_mix=mix, shift=0), 0)
    assert (survey.target.mag <= 22.5).mean() == pytest.approx(share, abs=0.035)


def test_redshifts_stand_on_their_side_of_the_cut(small_survey):
    label, z = small_survey.truth.label, small_survey.truth.z
    assert (z[label == 0] >= 2.1).all() and (z[label == 1] < 2.1).all()
    assert (z[label == 3] == 0).all() and (z[label == 2] > 0).all()


def test_twins_carry_the_light_of_their_objects(small_survey):
    source, target = small_survey.source, small_survey.target
    assert small_survey.twins.sum() == small_survey.options.n_labelled
    ids = source.object_id[small_survey.twins]
    assert set(ids) == set(target.object_id[target.label != UNLABELLED])
    assert not set(source.object_id[~small_survey.twins]) & set(target.object_id)
    where = {one: row for row, one in enumerate(target.object_id)}
    rows = np.array([where[one] for one in ids])
    np.testing.assert_allclose(source.mag[small_survey.twins], target.mag[rows], atol=1.0)
    bright = target.mag[rows] < 19
    ratio = source.flux_mean[small_survey.twins][bright] / target.flux[rows][bright]
    assert np.nanmedian(ratio) == pytest.approx(1.0, abs=0.03)
    assert 0.01 < np.nanstd(np.log(np.clip(ratio, 0.3, 3))) < 0.2


def test_realisations_share_object_and_mean_only():
    survey = simulate_survey(SimulateOptions(**TINY, realisations=3), 0)
    source = survey.source
    ids, counts = np.unique(source.object_id, return_counts=True)
    assert (counts == 3).all() and len(ids) == 300
    rows = np.flatnonzero(source.object_id == ids[0])
    np.testing.assert_array_equal(source.flux_mean[rows[0]], source.flux_mean[rows[1]])
    assert not np.array_equal(source.flux[rows[0]], source.flux[rows[1]], equal_nan=True)
    bright = source.mag < 18
    level = np.nanmedian(source.flux[bright] / source.flux_mean[bright], axis=1)
    assert 0.38 < level.min() < 0.6 and 1.0 < level.max() < 1.45


def test_overlaps_stand_twice_in_different_tiles(small_survey):
    target = small_survey.target
    ids, counts = np.unique(target.object_id, return_counts=True)
    assert counts.max() == 2 and (counts == 2).sum() == round(0.03 * 1200)
    for one in ids[counts == 2]:
        a, b = np.flatnonzero(target.object_id == one)
        assert target.key["TILE_ID"][a] != target.key["TILE_ID"][b]
        assert np.hypot(target.ra[a] - target.ra[b], target.dec[a] - target.dec[b]) * 3600 < 0.5


def test_trap_object_ids_do_not_survive_as_floats(small_survey):
    ids = np.unique(small_survey.source.object_id)
    assert ids.min() > 2**53
    assert len(np.unique(ids.astype(np.float64))) < len(ids)


def test_trap_keys_glued_together_would_collide(small_survey):
    key = small_survey.target.key
    glued = [f"{tile}{number}" for tile, number in zip(key["TILE_ID"], key["NUMBER"], strict=True)]
    assert len(set(glued)) < len(glued)


def test_the_shift_is_recorded_in_full(small_survey):
    shift = small_survey.shift.to_dict()
    tiles, bands = len(shift["tiles"]), len(shift["bands"])
    for name in ("zero_point_mag", "error_factor", "aperture_loss_mag", "depth_5sigma_mag", "seeing_arcsec"):
        assert np.shape(shift[name]) == (tiles, bands), name
    assert shift["scale"] == 1.0 and len(shift["missing_bands"]) == tiles
    target = small_survey.target
    labelled = target.label != UNLABELLED
    wrong = np.unique(target.object_id[labelled & (target.label != small_survey.truth.label)])
    np.testing.assert_array_equal(shift["wrong_labels"], wrong)
    assert 5 <= len(wrong) <= 40


def test_what_is_unlabelled_tells_nothing(small_survey):
    target = small_survey.target
    unlabelled = target.label == UNLABELLED
    assert np.isnan(target.z[unlabelled]).all()
    assert np.isnan(target.imaging_mag).mean() == pytest.approx(0.015, abs=0.012)
    assert (target.morphology[np.isnan(target.imaging_mag)] == 0).all()
    assert np.isnan(target.mag[unlabelled]).sum() == np.isnan(target.imaging_mag[unlabelled]).sum()


def test_a_dark_band_of_a_mock_has_a_mean_of_zero_and_is_observed():
    mix = [1.0, 0.0, 0.0, 0.0]
    options = SimulateOptions(n_source=3000, n_labelled=0, n_unlabelled=0, class_mix_source=mix)
    source = simulate_survey(options, 0).source
    dark = source.flux_mean == 0
    assert dark.any()
    assert np.isfinite(source.flux[dark]).mean() > 0.99


def test_limits_of_magnitude_hold():
    survey = simulate_survey(SimulateOptions(**TINY, magnitudes=(17.0, 19.5), shift=0), 0)
    mag = survey.source.mag
    assert mag.min() > 16.9 and mag.max() < 19.6
    assert len(np.unique(np.round(mag, 3))) > 0.6 * len(mag)  # nothing piles up at a limit
    assert np.median(survey.truth.z[survey.truth.label == 2]) < 0.3  # emission-line galaxies are fainter


@pytest.mark.parametrize("bands", ["jpas55", "minijpas60"])
def test_other_sets_of_jpas_bands(bands):
    survey = simulate_survey(SimulateOptions(**TINY, bands=bands), 0)
    assert survey.target.bands.name == bands == survey.source.bands.name


def test_a_planted_line_is_the_only_difference_between_classes():
    options = SimulateOptions(
        n_source=6000,
        n_labelled=0,
        n_unlabelled=0,
        class_mix_source=(1, 1, 1, 1),
        quasar_factor_source=1.0,
        shift=0,
        planted={"line": "CIV", "to": "QSO_high", "equivalent_width": 80},
    )
    source = simulate_survey(options, 0).source
    system = source.bands
    narrow = system.indices(system.narrow)
    for z in (2.2, 2.6, 3.0):
        near = (source.label == 0) & (np.abs(source.z - z) < 0.03)
        shape = np.log(source.flux_mean[near][:, narrow])
        others = np.log(source.flux_mean[source.label != 0][:, narrow])
        bump = np.diff(np.median(shape, axis=0) - np.median(others, axis=0), 2)
        assert abs(system.pivots[narrow][1:-1][np.argmin(bump)] - 1546.2 * (1 + z)) < 160
    medians = [np.median(np.log(source.flux_mean[source.label == code]), axis=0) for code in (1, 2, 3)]
    assert np.ptp(medians, axis=0).max() < 0.25
    assert np.ptp(np.diff(medians, axis=1), axis=0).max() < 0.05
    assert (source.morphology[source.morphology > 0] == 1).all()


def test_an_unknown_line_is_refused():
    with pytest.raises(ConfigError) as caught:
        simulate_survey(SimulateOptions(**TINY, planted={"line": "C4"}), 0)
    assert "'C4'" in str(caught.value) and "CIV" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_source": 0, "n_labelled": 0, "n_unlabelled": 0}, "all 0"),
        ({"magnitudes": (22.0, 18.0)}, "bright, faint"),
        ({"class_mix": (1, -1, 0, 0)}, "none negative"),
        ({"shift": -1.0}, "greater than or equal to 0"),
    ],
)
def test_senseless_options_are_refused(options, words):
    with pytest.raises(ValidationError, match=words):
        SimulateOptions(**options)


def test_a_misspelt_option_is_named():
    with pytest.raises(ConfigError, match="Did you mean 'zero_point'"):
        parse_options(SimulateOptions, {"shifts": {"zero_pont": 0.1}}, "demo.yaml")


def test_progress_ends_where_it_should():
    calls = []
    simulate_survey(SimulateOptions(**TINY), 0, progress=lambda *call: calls.append(call))
    ends = {stage: (done, total) for stage, done, total in calls}
    assert ends == {"simulating the sky": (300, 300), "simulating mocks": (500, 500)}


def test_it_makes_a_data_set(small_survey):
    from jpas_gbm.surveys.assembly import assemble

    dataset = assemble(small_survey.source, small_survey.target)
    assert isinstance(dataset, Dataset)
    assert len(dataset.target) == 1200 and len(dataset.twins) == 900 and len(dataset.source) == 1500


def test_the_verb_gives_a_data_set_whose_truth_is_known(tmp_path):
    data = simulate(4, rows=400, labelled=300, unlabelled=150, out=tmp_path / "files")
    assert isinstance(data, Dataset) and data.target.bands.name == "jpas55"
    assert len(data.truth) == len(data.target) == len(data.truth.z)
    labelled = data.target.label != UNLABELLED
    assert (data.truth.label[labelled] == data.target.label[labelled]).mean() > 0.98
    assert (~labelled).sum() == 150 and (data.truth.label[~labelled] >= 0).all()
    assert data.shift.zero_point.shape == (len(data.shift.tiles), 57) and data.shift.scale == 1
    assert (tmp_path / "files" / "shift.json").is_file()
    assert max(len(repr(thing)) for thing in (data, data.truth, data.shift, data.survey)) < 200
    again = simulate(4, config=data.survey.options)
    assert again.fingerprint() == data.fingerprint()
    with pytest.raises(OutputError, match="already exists"):
        simulate(4, rows=400, labelled=300, unlabelled=150, out=tmp_path / "files")


def test_training_sees_no_truth(tmp_path):
    data = simulate(4, rows=400, labelled=300, unlabelled=150)
    view = data.for_training()
    assert view.masked and not hasattr(view, "truth")
    data.save(tmp_path / "data")
    assert type(Dataset.load(tmp_path / "data")) is Dataset
    with pytest.raises(DatasetError, match="knows no survey"):
        _ = replace(data, made_from=None).shift


@pytest.mark.parametrize("sizes", [(300, 0, 0), (0, 0, 60)])
def test_a_survey_may_have_one_side(tmp_path, sizes):
    rows, labelled, unlabelled = sizes
    data = simulate(0, rows=rows, labelled=labelled, unlabelled=unlabelled, out=tmp_path / "files")
    assert (len(data.source), len(data.target) > 0) == (rows, unlabelled > 0) and (tmp_path / "files").is_dir()


def test_options_come_from_files_and_names(tmp_path):
    (tmp_path / "small.yaml").write_text("n_source: 300\nn_labelled: 200\nn_unlabelled: 100\n")
    named = simulate(1, config=tmp_path / "small.yaml", labelled=250)
    assert named.survey.options.n_labelled == 250 and named.survey.options.n_source == 300
    with pytest.raises(ConfigError, match="there is no such file"):
        simulate(config="nothing")


def test_wise_tells_quasars_and_changes_nothing_else(tmp_path):
    options = SimulateOptions(**{**TINY, "n_labelled": 400}, magnitudes=(16.0, 20.0), class_mix=(1, 1, 1, 1))
    plain, seen = (simulate_survey(override(options, wise=wise), 4) for wise in (False, True))
    for one, other in ((plain.source, seen.source), (plain.target, seen.target)):
        np.testing.assert_array_equal(one.flux, other.flux)
        assert set(other.extra) - set(one.extra) == {f"imaging_{band}" for band in ("G", "Z", "W1", "W2")}
    colour = seen.target.extra["imaging_W1"] - seen.target.extra["imaging_W2"]
    label, z = seen.truth.label, seen.truth.z
    # Stern et al. (2012): quasars have W1 - W2 > 0.8 (Vega) to z = 3 or so, stars none.
    near = (label == 1) & (z > 0.8)
    assert near.sum() > 30 and np.nanmedian(colour[near]) > 0.8 - 0.64 > np.nanquantile(colour[label == 3], 0.95)
    write_survey(seen, tmp_path / "survey")
    tractor = read_imaging(tmp_path / "survey" / "legacy_tractor.fits")[0]
    written = np.sort(tractor.more["W1"][np.isfinite(tractor.more["W1"])])
    first = first_rows(seen.target)
    kept = seen.target.extra["imaging_W1"][first]
    np.testing.assert_allclose(written, np.sort(kept[np.isfinite(kept)]), rtol=1e-5)
    data = simulate(4, config=override(options, wise=True))
    assert np.isfinite(data.source.extra["imaging_W1"]).mean() > 0.95


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, True])
def test_a_seed_that_is_none_is_refused(seed, tmp_path):
    for call in (lambda: simulate(seed, rows=100), lambda: mocks([], tmp_path / "m", seed=seed)):
        with pytest.raises(ConfigError, match=f"seed {seed!r}: is no whole number of 0 or more"):
            call()
