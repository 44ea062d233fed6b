"""The whole explanation: what it says, what it saves, and what it says of bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.errors import BundleError, ExplanationError, FeatureMismatch
from jpas_gbm.explanation.explain import explain_catalogue, explain_dataset, refits_of
from jpas_gbm.explanation.explanation import Explanation
from jpas_gbm.explanation.sample import draw_sample
from jpas_gbm.options import ExplainOptions

OPTIONS = ExplainOptions(resamples=60, blocks=12)


@pytest.fixture(scope="module")
def explanation(fitted, dataset):
    return explain_dataset(fitted, dataset, OPTIONS)


def without(dataset, **changes):
    return replace(dataset, target=dataset.target.replace(**changes))


def only(dataset, *codes):
    keep = np.isin(dataset.target.label, codes) | (dataset.target.label < 0)
    return replace(dataset, target=dataset.target.take(keep), target_split=dataset.target_split[keep])


def test_what_it_carries(explanation):
    head = explanation.head
    assert head["regime"] == "ssda" and head["trained_seed"] == 5 and head["seed"] == 0 and head["cut"] == 22.5
    assert head["n"] == len(explanation) == len(explanation.arrays["z"]) == sum(head["sample"]["drawn"].values())
    assert head["pair"] == ["QSO_high", "QSO_low"] and head["split"] == "the test split"
    assert "stratified by label" in head["sample"]["rule"] and "TreeSHAP" in head["method"]["words"]
    assert explanation["method.sharing.rule"] == "shares" and explanation["provenance"]["data"] == {"made": "for tests"}
    assert head["additivity"]["largest_error"] < head["additivity"]["allowed"]
    assert explanation.notes == []
    json.dumps(head, allow_nan=False)


def test_saved_contributions_sum_to_the_margins(explanation, fitted, rows, tmp_path):
    explanation.save(tmp_path / "why")
    arrays = Explanation.load(tmp_path / "why").arrays
    total = arrays["bands"].sum(axis=2) + arrays["own"].sum(axis=2) + arrays["bias"]
    assert np.abs(total - arrays["margins"]).max() < 1e-6
    place = {int(number): i for i, number in enumerate(rows.object_id)}
    same = rows.take(np.array([place[int(number)] for number in arrays["object_id"]]))
    assert np.abs(arrays["margins"] - fitted.margins(same)).max() < 1e-9
    assert np.allclose(arrays["probabilities"], fitted.probabilities(same))
    assert np.array_equal(arrays["observed"], np.isfinite(arrays["flux"]))
    assert np.allclose(arrays["flux"] * arrays["level"][:, None], same.flux, rtol=1e-5, equal_nan=True)


def test_a_round_trip_gives_everything_back(explanation, tmp_path):
    explanation.save(tmp_path / "why")
    again = Explanation.load(tmp_path / "why")
    assert again.head == explanation.head and again.lines() == explanation.lines()
    assert set(again.arrays) == set(explanation.arrays) == set(explanation["arrays"])
    for name, array in explanation.arrays.items():
        assert np.array_equal(again.arrays[name], array, equal_nan=array.dtype.kind == "f")
    assert Explanation.load(tmp_path / "why", arrays=False).arrays == {}


def test_means_weigh_both_classes_alike(explanation):
    arrays, size = explanation.arrays, np.abs(explanation.arrays["pair_bands"])
    by_hand = (size[arrays["label"] == 0].mean(axis=0) + size[arrays["label"] == 1].mean(axis=0)) / 2
    assert np.allclose(explanation["bands.mean_abs"], by_hand)
    for value, (low, high) in zip(explanation["bands.mean_abs"], explanation["bands.interval"], strict=True):
        assert low <= value <= high
    assert set(explanation["bands.by_class"]) == {"QSO_high", "QSO_low", "GALAXY", "STAR"}


def test_it_finds_what_makes_a_quasar_high(explanation):
    assert explanation["physics.score"] > explanation["physics.shuffled"]
    table = {one["name"]: one for one in explanation["line_tables"]["QSO_high"]}
    assert table["Lya"]["excess_interval"][0] > 0
    assert explanation["blocks"][0]["spectral"] and not explanation["blocks"][-1]["spectral"]
    assert sum(block["strongest"].get("QSO_high", 0) for block in explanation["blocks"]) <= 1 + 1e-9


def test_the_terminal_says_the_main_things(explanation):
    text = "\n".join(explanation.lines())
    for words in (
        "ssda",
        "QSO_high",
        "physics score",
        "ridge",
        "what the sky taught (continued, 2 of 4",
        "stability over 2",
    ):
        assert words in text


def test_the_same_seed_gives_the_same_numbers(explanation, fitted, dataset):
    again = explain_dataset(fitted, dataset, OPTIONS)
    assert {**again.head, "provenance": 0} == {**explanation.head, "provenance": 0}


def test_other_pairs_and_the_other_rule(fitted, dataset, explanation):
    other = explain_dataset(fitted, dataset, ExplainOptions(pair=("GALAXY", "STAR"), rule="dominant", resamples=0))
    assert other.pair == ("GALAXY", "STAR") and other["bands.interval"][0] == [None, None]
    odds = other.arrays["margins"][:, 2] - other.arrays["margins"][:, 3]
    total = other.arrays["pair_bands"].sum(axis=1) + other.arrays["pair_own"].sum(axis=1) + other["bias.pair"]
    assert np.allclose(total, odds, atol=1e-9)
    assert other["physics"] is None and any("no physics score" in note for note in other.notes)


def test_samples_are_stratified_and_quasars_kept(fitted, rows):
    sample = draw_sample(rows, rows.label, fitted.scheme, ExplainOptions(per_class=5, quasars=20), 0, labelled=True)
    assert list(sample.counts(fitted.scheme).values()) == [20, 20, 5, 5]
    assert "at most 20 rows of each class of quasars, at most 5 rows of each other class" in sample.sentence
    whole = draw_sample(rows, rows.label, fitted.scheme, ExplainOptions(per_class=0, quasars=0), 0, labelled=True)
    assert len(whole) == len(rows) and "all rows of" in whole.sentence


def test_any_catalogue_counts_rows_as_predicted(fitted, rows):
    bare = rows.replace(label=None, z=None)
    found = explain_catalogue(fitted, bare, OPTIONS, name="list.fits")
    assert found["sample.classes_from"] == "predictions" and found["split"] == "list.fits"
    predicted = fitted.decide(fitted.probabilities(bare))
    assert found["sample.available"]["QSO_high"] == int((predicted[bare.mag <= 22.5] == 0).sum())
    assert found["physics"] is None and found["ridge"] is None
    text = " ".join(found.notes)
    assert "have no redshift" in text and "class predicted" in text


def test_no_high_quasar_among_the_rows(fitted, dataset):
    found = explain_dataset(fitted, only(dataset, 1, 2, 3), OPTIONS)
    assert any("no QSO_high among the" in note for note in found.notes)
    assert found["physics"] is None and found["bands.mean"]["QSO_high"][0] is None
    assert found["bands.mean_abs"][0] is not None
    assert "no QSO_high" in "\n".join(found.lines())


def test_one_class_only(fitted, dataset):
    with pytest.raises(
        ExplanationError, match=r"no row of QSO_high or QSO_low among those to explain \(STAR \d+\).*--pair"
    ):
        explain_dataset(fitted, only(dataset, 3), OPTIONS)


def test_quasars_without_redshift(fitted, dataset):
    found = explain_dataset(fitted, without(dataset, z=np.full(len(dataset.target), np.nan)), OPTIONS)
    assert found["physics"] is None and found["ridge"] is None and found["line_tables"]["QSO_high"] == []
    assert any("have no redshift: they count nowhere in rest frame" in note for note in found.notes)
    assert np.isnan(found.arrays["rest_mean"]).all() and "ridge_mean" not in found.arrays


def test_nothing_bright_enough(fitted, dataset):
    with pytest.raises(ExplanationError, match=r"none of the \d+ rows has a magnitude of 10.0 or brighter.*--cut"):
        explain_dataset(fitted, dataset, ExplainOptions(cut=10))


def test_no_label_in_the_split(fitted, dataset):
    none = np.full(len(dataset.target), -1, np.int8)
    bare = replace(dataset, target=dataset.target.replace(label=none), target_split=none)
    with pytest.raises(ExplanationError, match="no labelled row in the split 'test'"):
        explain_dataset(fitted, bare, OPTIONS)


def test_another_survey_is_refused(fitted, rows):
    with pytest.raises(FeatureMismatch, match="was trained on SKY, the catalogue has OTHER"):
        explain_catalogue(fitted, rows.replace(photometry="OTHER"), OPTIONS)


def test_sky_that_added_no_trees_is_said(make_fitted, dataset):
    from jpas_gbm.boosting.booster import Stage, StagedBooster
    from jpas_gbm.boosting.ensemble import Member

    model = make_fitted("mocks")
    base = model.members[0].booster
    none = Stage(0, np.zeros(4), np.full(len(base.feature_names), np.nan, np.float32), None)
    same = StagedBooster(base.library, 4, base.feature_names, (*base.stages, none))
    found = explain_dataset(replace(model, members=(Member("plain", same, None, "continue"),)), dataset, OPTIONS)
    assert any("the sky added no trees" in note for note in found.notes)
    assert found["stages.continued.share_of_sky"] == 0


def test_refits_join_the_stability(make_fitted, dataset):
    model = make_fitted("mocks")
    found = explain_dataset(model, dataset, OPTIONS, refits=2, refit=lambda i: make_fitted("mocks", seeds=i + 2))
    assert found["stability.fits"] == 3 and "refits" in found["stability.source"]


def test_a_sibling_differs_by_its_seed_alone(tiny, quick_options):
    from jpas_gbm.adaptation.fit import fit
    from jpas_gbm.config import override

    first = fit(tiny, config=override(quick_options, regime="target-only"), seed=3)
    sibling = refits_of(first, tiny)(0)
    assert sibling.card["provenance"]["seed"] == 4
    assert sibling.card["provenance"]["options"] == first.card["provenance"]["options"]
    rows = tiny.target_rows("val")
    assert not np.allclose(first.margins(rows), sibling.margins(rows))


def test_a_card_without_options_cannot_be_refitted(fitted, dataset):
    with pytest.raises(ExplanationError, match="card does not say with which options and seed"):
        refits_of(fitted, dataset)


def test_damaged_folders(explanation, tmp_path):
    with pytest.raises(BundleError, match=r"holds no explanation.json. 'jpas-gbm explain MODEL --out"):
        Explanation.load(tmp_path / "nothing")
    explanation.save(tmp_path / "why")
    arrays = tmp_path / "why" / "contributions.npz"
    content = arrays.read_bytes()
    arrays.write_bytes(content[:-5])
    with pytest.raises(BundleError, match="does not match its checksum"):
        Explanation.load(tmp_path / "why")
    arrays.unlink()
    with pytest.raises(BundleError, match="contributions.npz: is missing"):
        Explanation.load(tmp_path / "why")
    head = tmp_path / "why" / "explanation.json"
    for change, message in (({"format": 99}, "of format 99, this version reads 1"), ({"kind": "else"}, "is not an")):
        head.write_text(json.dumps({**explanation.head, **change}))
        with pytest.raises(BundleError, match=message):
            Explanation.load(tmp_path / "why")
