"""Where a survey gives no errors, stars of the sky say how its bands differ from those of the mocks."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from jpas_gbm.adaptation.band_shifts import FEWEST_STARS, BandShifts, measure_band_shifts
from jpas_gbm.adaptation.fit import fit
from jpas_gbm.adaptation.named_path import prepared_mocks
from jpas_gbm.config import override
from jpas_gbm.features.shift import TwinlessReport
from jpas_gbm.options import SimulateOptions
from jpas_gbm.run import Run
from jpas_gbm.scores.losses import log_loss
from jpas_gbm.simulation.simulate import simulate

BANDS = 55


def seen(dataset, shift):
    """Return the data set with a target that has no errors, and whose bands are shifted."""
    flux = (dataset.target.flux * np.exp(shift)).astype(np.float32)
    return replace(dataset, target=dataset.target.replace(flux=flux, flux_err=np.full_like(flux, np.nan)))


@pytest.fixture(scope="module")
def survey():
    """Bright objects without any shift but the one that is planted."""
    return simulate(
        4,
        config=SimulateOptions(
            n_source=3000, n_labelled=1500, n_unlabelled=300, class_mix=(5, 5, 45, 45), magnitudes=(16.0, 20.0),
            class_mix_source=(5, 5, 45, 45), shift=0.0, twins=False,
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def planted():
    shift = 0.1 * np.random.default_rng(1).standard_normal(BANDS)
    return shift - shift.mean()


@pytest.fixture(scope="module")
def options(quick_options):
    growth = {"rounds": 40, "leaves": 6, "min_child": 30, "learning_rate": 0.25, "patience": 0}
    return override(quick_options, regime="uda", boosting=growth)


@pytest.fixture(scope="module")
def uda(survey, planted, options):
    return fit(seen(survey, planted), config=options, seed=1)


def test_planted_shifts_come_back_without_labels(uda, planted):
    found = uda.card["measured without labels"]
    shift = np.array(list(found["band_shifts"].values()))
    assert found["taken"] == ["band shifts"] and found["stars"] > FEWEST_STARS
    # The rest is smooth along the spectrum, as the sequence of stars is.
    assert np.std(shift - planted) < 0.3 * np.std(planted)
    assert any("are those of" in note and "a plain model is sure are stars" in note for note in uda.card["notes"])
    assert uda.card["chosen"].startswith("self-trained")


def test_mending_the_shift_pays(survey, planted, options, uda):
    data = seen(survey, planted)
    rows = data.target_rows("test")
    plain = fit(data, config=override(options, sky={"pseudo_twins": False}), seed=1)
    assert plain.shift is None and "measured without labels" not in plain.card
    mended, before = (log_loss(model.probabilities(rows), rows.label) for model in (uda, plain))
    assert mended < 0.8 * before


def test_no_label_of_a_sky_without_errors_is_read(survey, planted, options, uda):
    data = seen(survey, planted)
    label = np.array(data.target.label)
    label[label >= 0] = np.random.default_rng(0).permutation(label[label >= 0])
    again = fit(replace(data, target=data.target.replace(label=label)), config=options, seed=1)
    rows = data.target_rows("test")
    np.testing.assert_array_equal(again.probabilities(rows), uda.probabilities(rows))


def test_without_a_shift_little_is_corrected(survey, options):
    data = seen(survey, np.zeros(BANDS)).for_training()
    found = measure_band_shifts(data, data.target, options, Run.start(1, 1))
    assert found is not None and found[1].size < 0.03


def test_too_few_stars_and_no_calibration_are_named(survey, options):
    data = seen(survey, np.zeros(BANDS)).for_training()
    run = Run.start(1, 1)
    assert measure_band_shifts(data, data.target.take(np.arange(50)), options, run) is None
    assert f"fewer than {FEWEST_STARS} sources with all bands are stars beyond doubt" in run.notes[-1]
    wild = BandShifts(("a", "b"), (0.5, -0.5), 1000, 0.0)
    assert wild.to_dict()["taken"] == [] and "this is no calibration, so nothing is corrected" in wild.notes[0]


def test_prepared_mocks_of_ssda_teach_as_those_of_uda(uda, options):
    """Few labels must not make of stars that mocks and sure rows of the sky tell what mocks alone tell."""
    found = object.__new__(BandShifts)
    own = {"mocks, prepared": "self-trained(gamma=0.25)"}
    labels = {"mocks, prepared, with labels": "self-trained(gamma=0.25, weight=20)"}
    doubted = {"mocks, prepared": "mean[mocks(gamma=0.25) + mocks(gamma=0.25, no templates)]"}
    joined = {"mocks, with labels": "joined(weight=20, gamma=0.25)"}
    for measured, sky, scarce, ways in (
        (found, [1], True, labels | own),
        (found, [], False, {"mocks, prepared": "mocks(gamma=0.25)"}),
        (None, [1], False, {"mocks, prepared": "mocks(gamma=0.25)"}),
        (None, [1], True, joined),
        (None, None, True, joined),
        (object.__new__(TwinlessReport), [1], True, doubted | joined),
    ):
        rows = SimpleNamespace(measured=measured, unlabelled=sky)
        stages = SimpleNamespace(rows=rows, uda_gamma=0.25, scarce=scarce, options=options, has_plain_features=True)
        assert {name: way.name for name, way in prepared_mocks(stages).items()} == ways
    assert "self-trained" in uda.card["chosen"]


def test_few_labels_are_no_worse_than_none(survey, planted, options, labels=100):
    """Regime ssda begins from what uda knows, and its labels and those that choose all train."""
    data = seen(survey, planted)
    told = np.flatnonzero((data.target.label >= 0) & (data.target_split < 2))
    chosen = np.random.default_rng(2).permutation(told)[:labels]
    split, hidden = np.array(data.target_split), np.setdiff1d(told, chosen)
    split[chosen], split[hidden] = np.arange(labels) % 2, -1
    label = np.array(data.target.label)
    label[hidden] = -1
    few = replace(data, target=data.target.replace(label=label), target_split=split)
    rows = data.target_rows("test")
    models = [fit(few, config=override(options, regime=regime), seed=1) for regime in ("uda", "ssda")]
    without, ssda = (log_loss(model.probabilities(rows), rows.label) for model in models)
    assert ssda < without
    budget = models[1].card["label_budget"]
    assert budget == {
        "target labels for trees": labels,
        "target labels for choosing and calibrating": labels // 2,
    }
    assert models[1].card["rows"]["target_train"]["rows"] == labels
    assert len(models[1].held_out) == labels // 2
    assert any(entry["stage"].endswith("(all labels)") for entry in models[1].card["trainings"])
