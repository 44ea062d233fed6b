"""Regime uda: what unlabelled sky teaches, and that no label of it is read."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from jpas_gbm.adaptation import anchors
from jpas_gbm.adaptation.anchors import FieldMix, anchor, anchor_of
from jpas_gbm.adaptation.fit import _one_way, fit, prepare_rows
from jpas_gbm.adaptation.named_path import prepared_mocks
from jpas_gbm.adaptation.rows import Rows, get_regime
from jpas_gbm.adaptation.shipped_ways import Continue, Mocks
from jpas_gbm.adaptation.ways import doubts_templates
from jpas_gbm.boosting.calibration import Calibrator
from jpas_gbm.config import override
from jpas_gbm.features.shift import TwinlessReport
from jpas_gbm.options import SimulateOptions
from jpas_gbm.run import Run
from jpas_gbm.simulation.simulate import simulate


@pytest.fixture(scope="module")
def sky():
    """A survey with tiles full enough to measure zero points in, and fewer galaxies than its mocks have."""
    return simulate(
        9,
        config=SimulateOptions(
            n_source=3000, n_labelled=1500, n_unlabelled=1500, n_tiles=6, class_mix=(6, 6, 44, 44), twins=False
        ),
    )


@pytest.fixture(scope="module")
def options(quick_options):
    growth = {"rounds": 30, "leaves": 6, "min_child": 30, "learning_rate": 0.25, "patience": 0}
    return override(quick_options, regime="uda", boosting=growth, sky={"realisations": 1, "forget_imaging": 0.0})


@pytest.fixture(scope="module")
def uda(sky, options):
    return fit(sky, config=options, seed=1)


def test_the_card_says_what_was_measured_without_labels(sky, uda):
    found = uda.card["measured without labels"]
    assert found["tiles"] == 6 and {"zero points", "errors"} <= set(found["taken"])
    assert uda.shift is not None and len(uda.shift.tiles) == 6
    assert found["tile_scatter"] == pytest.approx(0.04, rel=0.4)


def test_no_label_of_the_sky_is_read(sky, options, uda):
    """Labels, redshifts and the split of the target shuffled leave the model as it was, bit for bit."""
    rng = np.random.default_rng(0)
    label = rng.permutation(sky.target.label[sky.target.label >= 0])
    poisoned = np.array(sky.target.label)
    poisoned[poisoned >= 0] = label
    again = fit(replace(sky, target=sky.target.replace(label=poisoned)), config=options, seed=1)
    rows = sky.target_rows("test")
    np.testing.assert_array_equal(again.probabilities(rows), uda.probabilities(rows))


def test_the_class_mix_of_the_sky_is_found(sky, uda):
    mix = uda.card["class mix"]
    assert mix["taken"] and mix["sentence"] in uda.card["notes"]
    field = sky.target.take(~(sky.target.mag > 22.5))
    true = np.bincount(field.label[field.label >= 0], minlength=4) / (field.label >= 0).sum()
    far = np.abs(np.array(mix["old"]) - true).sum()
    assert np.abs(np.array(mix["new"]) - true).sum() < 0.35 * far


def test_each_part_of_uda_can_be_switched_off(sky, options, uda):
    plain = fit(sky, config=override(options, class_mix=False, sky={"pseudo_twins": False}), seed=1)
    assert plain.shift is None and "class mix" not in plain.card and "measured without labels" not in plain.card


@pytest.mark.parametrize(
    "taken", [("errors", "modes", "outliers"), ("errors", "modes", "outliers", "common", "offsets"), None]
)
def test_where_templates_are_in_doubt_trees_without_them_join(options, taken):
    """On a sky unlike the templates, and where nothing could be measured, the mean errs less than templates alone."""
    report = (
        None
        if taken is None
        else TwinlessReport(1000, 10, 0.04, 0.01, 0.1, 0.02, 0.0, 0.01, 0.2, 0.001, 1.2, taken=taken)
    )
    stages = SimpleNamespace(
        rows=SimpleNamespace(measured=report, unlabelled=[1]), options=options, has_plain_features=True, uda_gamma=0.25,
        scarce=False,
    )  # fmt: skip
    way = _one_way(get_regime("uda"), stages, 0.25)
    joined = way.name == "mean[mocks(gamma=0.25) + mocks(gamma=0.25, no templates)]"
    assert joined == (taken is None or "common" not in taken)
    assert doubts_templates(stages) == (joined and report is not None)
    assert prepared_mocks(stages)["mocks, prepared"] == (way if report is not None else Mocks(0.25))
    stages.rows.measured = None
    assert _one_way(get_regime("mocks-calibrated"), stages, 0.0).name == "mocks"


def test_where_templates_are_in_doubt_the_named_path_has_trees_without_them_too(sky, options, monkeypatch):
    """A path and prepared mocks with templates alone were worse than regime uda on skies unlike their mocks."""
    monkeypatch.setattr(TwinlessReport, "doubted", True)
    asked = override(options, regime="ssda", recipe="continue", features={"templates": True})
    fitted = fit(sky, config=asked, seed=1)
    assert fitted.card["ensemble"] == ["mocks(gamma=0.25)", "mocks(gamma=0.25, no templates)"]
    assert any("templates are in doubt on this sky" in note for note in fitted.card["notes"])
    members = Continue(0.25).members(prepare_rows(sky, asked, Run.start(1, 1)).folds.first)
    assert [len(member.booster.stage_rounds) for member in members] == [2, 2]
    template = np.array([group == "template" for group in fitted.recipe.groups.values()])
    seen = [member.booster.contributions(np.zeros((1, len(template)), np.float32)) for member in members]
    assert [np.abs(one[:, :, :-1][:, :, template]).sum() > 0 for one in seen] == [True, False]


def test_a_mix_that_mocks_contradict_is_not_taken():
    good = FieldMix(("a", "b"), (0.5, 0.5), (0.8, 0.2), 1000, 0.02, 0.1)
    bad = replace(good, doubt=0.3)
    assert good.taken and "are for this mix" in good.sentence
    assert not bad.taken and "30 % of the rows have a class and confidence" in bad.sentence
    p = good.applied(Calibrator.identity(2)).apply(np.zeros((1, 2)))
    np.testing.assert_allclose(p, [[0.8, 0.2]])


@pytest.mark.parametrize("doubt", [0.05, 0.3])
def test_folds_and_what_is_kept_begin_from_one_decision_on_the_mix(monkeypatch, doubt):
    """Labels correct what margins began from: a mix taken for some of them alone would count twice, or not at all."""
    mix = FieldMix(("a", "b"), (0.5, 0.5), (0.8, 0.2), 1000, doubt, 0.1)
    monkeypatch.setattr(anchors, "_mix", lambda stages, *_: replace(mix, doubt=stages.doubt))
    val = Rows(np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2, np.arange(60), np.full(60, 20.0))
    member = SimpleNamespace(booster=None, base=None, margins=lambda X, threads: X)
    parts = SimpleNamespace(source_val=val, unlabelled=val, target_train=None, target_val=val)
    options = SimpleNamespace(cut=22.5, class_mix=True)

    def stages(doubt):
        run = SimpleNamespace(threads=1)
        return SimpleNamespace(rows=parts, options=options, run=run, doubt=doubt, once=lambda key, make: make())

    first, other = stages(doubt), stages(0.35 - doubt)
    own, like = anchor(other, [member]), anchor(other, [member], anchor(first, [member]))
    assert own.mix.taken != like.mix.taken == (doubt < 0.1)
    through = anchor_of(SimpleNamespace(first=first), lambda stages: [member])
    for one in (first, other):
        np.testing.assert_array_equal(through(one, [member]).b, like.calibrator.b)
    assert np.abs(own.calibrator.b - like.calibrator.b).max() > 0.4


def test_too_few_sources_are_named(tiny, options):
    few = tiny.target.take(np.flatnonzero(tiny.target_split >= 0)[:150])
    small = replace(tiny, target=few, target_split=tiny.target_split[np.flatnonzero(tiny.target_split >= 0)[:150]])
    fitted = fit(small, config=options, seed=1)
    assert fitted.shift is None
    assert any("fewer than 200 unlabelled sources are measured well enough" in note for note in fitted.card["notes"])
    assert any("mocks are not weighed toward it: they weigh alike" in note for note in fitted.card["notes"])
    assert "gamma" not in fitted.card["chosen"]


def test_a_mix_of_few_rows_is_not_taken(tiny, options):
    """EM on a handful of rows gives all to one class."""
    rows = np.flatnonzero(tiny.target_split >= 0)[:40]
    few = replace(tiny, target=tiny.target.take(rows), target_split=tiny.target_split[rows])
    fitted = fit(few, config=options, seed=1)
    assert any("not taken: the rows are too few" in note for note in fitted.card["notes"])


def test_where_no_mock_has_a_twin_ssda_measures_the_shift_on_unlabelled_sources(sky):
    """On the sky itself few mocks are of labelled objects: then sources beside their templates prepare the mocks."""
    growth = {"rounds": 30, "leaves": 6, "min_child": 30, "learning_rate": 0.25, "patience": 0}
    given = {"recipe": "continue", "boosting": growth, "continuation": growth, "sky": {"realisations": 1}}
    fitted = fit(sky, regime="ssda", config=given, seed=1)
    found = fitted.card["measured without labels"]
    assert found["tiles"] == 6 and {"zero points", "errors"} <= set(found["taken"])
    assert fitted.shift is not None and len(fitted.shift.tiles) == 6
    begun = fitted.card["calibration"]["anchor"]  # labels begin from mocks and the class mix of the sky
    assert set(begun["class mix"]) == set(sky.scheme.classes) and fitted.calibrator.base is not None
    (told,) = (note for note in fitted.card["notes"] if "have a twin in the mocks" in note)
    assert told.endswith("zero points and variations are not measured on twins.")  # unlabelled sources measured them
