"""The whole explanation: what it says, what it saves, and what it says of bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest

import jpas_gbm.explanation.explain as explaining
from jpas_gbm.comparison.compare import evaluate
from jpas_gbm.errors import BundleError, ConfigError, ExplanationError, FeatureMismatch, OutputError
from jpas_gbm.explanation.contributions import TreeContributions
from jpas_gbm.explanation.explain import explain, refits_of
from jpas_gbm.explanation.explanation import Explanation
from jpas_gbm.explanation.summary import draw_sample
from jpas_gbm.options import ExplainOptions
from jpas_gbm.surveys.labels import LabelledRows

OPTIONS = ExplainOptions(resamples=60, blocks=12)


@pytest.fixture(scope="module")
def explanation(fitted, dataset):
    return explain(fitted, dataset, config=OPTIONS)


def without(dataset, **changes):
    return replace(dataset, target=dataset.target.replace(**changes))


def only(dataset, *codes):
    keep = np.isin(dataset.target.label, codes) | (dataset.target.label < 0)
    return replace(dataset, target=dataset.target.take(keep), target_split=dataset.target_split[keep])


@pytest.mark.parametrize("change", [{"z_cut": 1.5}, {"classes": ("STAR", "GALAXY", "QSO_low", "QSO_high")}])
def test_labels_that_mean_other_classes_are_refused(fitted, dataset, change):
    other = replace(dataset, scheme=replace(dataset.scheme, **change))
    for verb in (explain, evaluate):
        with pytest.raises(
            FeatureMismatch, match=r"the model tells QSO_high \(z 2.1 to inf\), .* or fit a model on these"
        ):
            verb(fitted, other)


def test_what_it_carries(explanation):
    head = explanation.to_dict()
    assert head["regime"] == "ssda" and head["trained_seed"] == 5 and head["seed"] == 0 and head["cut"] == 22.5
    assert head["n"] == len(explanation) == len(explanation.arrays["z"]) == sum(head["sample"]["drawn"].values())
    assert head["pair"] == ["QSO_high", "QSO_low"] and head["split"] == "the test split"
    assert "stratified by label" in head["sample"]["rule"] and "TreeSHAP" in head["method"]["words"]
    assert explanation.content.method.sharing.rule == "shares" and explanation.content.provenance["data"] == {
        "made": "for tests"
    }
    assert head["additivity"]["largest_error"] < head["additivity"]["allowed"]
    assert explanation.notes == ()
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
    assert again.to_dict() == explanation.to_dict() and again.lines() == explanation.lines()
    assert set(again.arrays) == set(explanation.arrays) == set(explanation.content.arrays)
    for name, array in explanation.arrays.items():
        assert np.array_equal(again.arrays[name], array, equal_nan=array.dtype.kind == "f")
    assert Explanation.load(tmp_path / "why", arrays=False).arrays == {}


def test_means_weigh_both_classes_alike(explanation):
    arrays, size = explanation.arrays, np.abs(explanation.arrays["pair_bands"])
    by_hand = (size[arrays["label"] == 0].mean(axis=0) + size[arrays["label"] == 1].mean(axis=0)) / 2
    assert np.allclose(explanation.content.bands.mean_abs, by_hand)
    for value, (low, high) in zip(explanation.content.bands.mean_abs, explanation.content.bands.interval, strict=True):
        assert low <= value <= high
    assert set(explanation.content.bands.by_class) == {"QSO_high", "QSO_low", "GALAXY", "STAR"}


def test_it_finds_what_makes_a_quasar_high(explanation):
    assert explanation.content.physics.score > explanation.content.physics.shuffled
    table = {line.name: line for line in explanation.content.line_tables["QSO_high"]}
    assert table["Lya"].excess_interval[0] > 0
    assert explanation.content.blocks[0].spectral and not explanation.content.blocks[-1].spectral
    assert sum(block.strongest.get("QSO_high", 0) for block in explanation.content.blocks) <= 1 + 1e-9


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
    again = explain(fitted, dataset, config=OPTIONS)
    assert {**again.to_dict(), "provenance": 0} == {**explanation.to_dict(), "provenance": 0}


def test_other_pairs_and_the_other_rule(fitted, dataset, explanation):
    other = explain(fitted, dataset, config=ExplainOptions(pair=("GALAXY", "STAR"), rule="dominant", resamples=0))
    assert other.pair == ("GALAXY", "STAR") and np.isnan(other.content.bands.interval).all()
    odds = other.arrays["margins"][:, 2] - other.arrays["margins"][:, 3]
    total = other.arrays["pair_bands"].sum(axis=1) + other.arrays["pair_own"].sum(axis=1) + other.content.bias.pair
    assert np.allclose(total, odds, atol=1e-9)
    assert other.content.physics is None and any("no physics score" in note for note in other.notes)


def test_samples_are_stratified_and_quasars_kept(fitted, rows):
    sample = draw_sample(rows, rows.label, fitted.scheme, ExplainOptions(per_class=5, quasars=20), 0, labelled=True)
    assert list(sample.facts.drawn.values()) == [20, 20, 5, 5]
    assert "at most 20 rows of each class of quasars, at most 5 rows of each other class" in sample.facts.rule
    whole = draw_sample(rows, rows.label, fitted.scheme, ExplainOptions(per_class=0, quasars=0), 0, labelled=True)
    assert len(whole) == len(rows) and "all rows of" in whole.facts.rule


def test_any_catalogue_counts_rows_as_predicted(fitted, rows):
    bare = rows.replace(label=None, z=None)
    found = explain(fitted, bare, config=OPTIONS)
    assert found.content.sample.classes_from == "predictions" and found.content.split == "a catalogue"
    predicted = fitted.decide(fitted.probabilities(bare))
    assert found.content.sample.available["QSO_high"] == int((predicted[bare.mag <= 22.5] == 0).sum())
    assert found.content.physics is None and found.content.ridge is None
    text = " ".join(found.notes)
    assert "have no redshift" in text and "class predicted" in text


def test_no_high_quasar_among_the_rows(fitted, dataset):
    found = explain(fitted, only(dataset, 1, 2, 3), config=OPTIONS)
    assert any("no QSO_high among the" in note for note in found.notes)
    assert found.content.physics is None and np.isnan(found.content.bands.mean["QSO_high"][0])
    assert np.isfinite(found.content.bands.mean_abs[0])
    assert "no QSO_high" in "\n".join(found.lines())


def test_one_class_only(fitted, dataset):
    with pytest.raises(
        ExplanationError, match=r"no row of QSO_high or QSO_low among those to explain \(STAR \d+\).*--pair"
    ):
        explain(fitted, only(dataset, 3), config=OPTIONS)


def test_quasars_without_redshift(fitted, dataset):
    found = explain(fitted, without(dataset, z=np.full(len(dataset.target), np.nan)), config=OPTIONS)
    assert found.content.physics is None and found.content.ridge is None and found.content.line_tables["QSO_high"] == ()
    assert any("have no redshift: they count nowhere in rest frame" in note for note in found.notes)
    assert np.isnan(found.arrays["rest_mean"]).all() and "ridge_mean" not in found.arrays


def test_nothing_bright_enough(fitted, dataset):
    with pytest.raises(ExplanationError, match=r"none of the \d+ rows has a magnitude of 10.0 or brighter.*--cut"):
        explain(fitted, dataset, config=ExplainOptions(cut=10))
    bare = dataset.target.replace(mag=np.full(len(dataset.target), np.nan, "f4"))
    with pytest.raises(ExplanationError, match=r"none of the \d+ rows has a magnitude: .*imaging, --cut inf"):
        explain(fitted, bare, config=ExplainOptions())


def test_no_label_in_the_split(fitted, dataset):
    none = np.full(len(dataset.target), -1, np.int8)
    bare = replace(dataset, target=dataset.target.replace(label=none), target_split=none)
    with pytest.raises(ExplanationError, match="no labelled row in the split 'test'"):
        explain(fitted, bare, config=OPTIONS)


def test_another_survey_is_refused(fitted, rows):
    with pytest.raises(FeatureMismatch, match="was trained on SKY, the catalogue has OTHER"):
        explain(fitted, rows.replace(photometry="OTHER"), config=OPTIONS)


def test_sky_that_added_no_trees_is_said(make_fitted, dataset):
    from jpas_gbm.boosting.booster import Member, Stage, StagedBooster

    model = make_fitted("mocks")
    base = model.members[0].booster
    none = Stage(0, np.zeros(4), np.full(len(base.feature_names), np.nan, np.float32), None)
    same = StagedBooster(base.library, 4, base.feature_names, (*base.stages, none))
    found = explain(replace(model, members=(Member("plain", same, None, "continue"),)), dataset, config=OPTIONS)
    assert any("the sky added no trees" in note for note in found.notes)
    assert found.content.stages["continued"].share_of_sky == 0


def test_refits_join_the_stability(make_fitted, dataset, monkeypatch):
    monkeypatch.setattr(explaining, "refits_of", lambda *_: lambda i: make_fitted("mocks", seeds=i + 2))
    found = explain(make_fitted("mocks"), dataset, config=OPTIONS, refits=2)
    assert found.content.stability.fits == 3 and "refits" in found.content.stability.source


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
        head.write_text(json.dumps({**explanation.to_dict(), **change}))
        with pytest.raises(BundleError, match=message):
            Explanation.load(tmp_path / "why")
    head.write_text(json.dumps({**explanation.to_dict(), "n": "many"}))
    with pytest.raises(BundleError, match=r"explanation\.json: cannot be read \(n: Input should be a valid integer"):
        Explanation.load(tmp_path / "why")


def test_bands_are_a_data_frame_of_objects(explanation):
    frame = explanation.bands
    assert frame.index.names == ["TILE_ID", "NUMBER"] and frame.shape == (len(explanation), 13)
    assert list(frame.columns) == list(explanation.content.bands.names)
    tile, number = explanation.arrays["key_TILE_ID"][5], explanation.arrays["key_NUMBER"][5]
    assert np.array_equal(frame.loc[(tile, number)], explanation.arrays["pair_bands"][5])


@pytest.mark.parametrize("of", ["bands", "features"])
def test_shap_values_sum_to_the_log_odds_and_are_drawn(explanation, of):
    import matplotlib
    import shap

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = explanation.to_shap(of)
    arrays = explanation.arrays
    rows = arrays["detail"] if of == "features" else np.arange(len(explanation))
    odds = (arrays["margins"][:, 0] - arrays["margins"][:, 1])[rows]
    assert np.allclose(found.values.sum(axis=1) + found.base_values, odds, atol=1e-5)
    assert found.values.shape == found.data.shape == (len(rows), len(found.feature_names))
    shap.plots.beeswarm(found, show=False)
    shap.plots.waterfall(found[0], show=False)
    shap.plots.scatter(found[:, 0], show=False)
    assert plt.get_fignums()
    plt.close("all")


def test_shap_values_of_something_else(explanation):
    with pytest.raises(ConfigError, match=r"to_shap\('rows'\): there are values of 'bands' and of 'features'"):
        explanation.to_shap("rows")


def test_it_is_shown_in_a_line_and_a_small_table(explanation):
    shown = repr(explanation)
    assert shown.startswith("<Explanation: ssda (continue+stack): ") and "QSO_high against QSO_low" in shown
    assert "\n" not in shown and len(shown) < 200
    assert explanation._repr_html_().count("<tr>") == 1 + len(explanation.content.blocks) + len(
        explanation.content.own.names
    )


def test_it_is_saved_where_asked_for_and_nothing_is_replaced(fitted, dataset, tmp_path):
    fitted.save(tmp_path / "model")
    dataset.save(tmp_path / "data")
    config = ExplainOptions(resamples=0)
    found = explain(tmp_path / "model", tmp_path / "data", config=config, rows=5, out=tmp_path / "why")
    assert Explanation.load(tmp_path / "why").content.n == found.content.n == 20
    with pytest.raises(OutputError, match="already exists"):
        explain(tmp_path / "model", tmp_path / "data", out=tmp_path / "why")


def test_options_of_a_catalogue_and_of_a_data_set(fitted, dataset, rows):
    with pytest.raises(ConfigError, match="--legacy only goes with --catalogue"):
        explain(fitted, dataset, legacy=["tractor.fits"])
    with pytest.raises(ConfigError, match="--survey only goes with --catalogue"):
        explain(fitted, dataset, survey="jpas_edr")
    with pytest.raises(ConfigError, match="--refits does not go with --catalogue"):
        explain(fitted, rows, refits=1)


def test_pairs_of_bands_add_up_to_the_bands(explanation, fitted, dataset):
    pairs, maps = explanation.content.pairs, explanation.arrays["band_pairs"]
    assert pairs.defined and maps.shape == (2, len(pairs.names), len(pairs.names)) and 0 < pairs.joint < 1
    assert np.allclose(maps, maps.transpose(0, 2, 1), atol=1e-9)
    # All rows are worked out here: over the pairs with a band the mean is that of the band's own attribution.
    for code, (name, found) in enumerate(zip(explanation.pair, maps, strict=True)):
        rows = explanation.arrays["label"] == code
        assert rows.sum() == pairs.n[name]
        whole = np.hstack([explanation.arrays["pair_bands"][rows], explanation.arrays["pair_own"][rows]])
        assert np.allclose(found.sum(axis=1), whole.mean(axis=0), atol=1e-6)
    table = pairs.table()
    assert list(table.columns[:5]) == ["first", "second", "mean_abs", "low", "high"] and len(table) == len(pairs.top)
    assert (table["first"] != table["second"]).all() and table["mean_abs"].is_monotonic_decreasing
    top, (i, j) = pairs.top[0], (pairs.names.index(name) for name in pairs.top[0].bands)
    assert top.mean == {name: 2 * found[i, j] for name, found in zip(explanation.pair, maps, strict=True)}


def test_pairs_of_bands_can_be_left_out_and_say_where_they_cannot_be(make_fitted, dataset):
    few = {"resamples": 0, "per_class": 10, "quasars": 10}
    without_pairs = explain(make_fitted("mocks"), dataset, config=ExplainOptions(pair_rows=0, **few))
    assert "not asked for" in without_pairs.content.pairs.why and "band_pairs" not in without_pairs.arrays
    other = explain(make_fitted("mocks", backend="xgboost"), dataset, config=ExplainOptions(pair_rows=5, **few))
    assert "trees of xgboost" in other.content.pairs.why


def test_rows_that_made_the_model_are_told(dataset, fitted):
    known = LabelledRows.of(dataset.target_rows("test"))
    found = explain(replace(fitted, known=known), dataset, config=OPTIONS)
    assert f"NOT held out: {found.content.n} trained, chose or calibrated it." in found.notes
    assert any(line.startswith("note: NOT held out") for line in found.lines())


def test_pairs_of_bands_that_do_not_add_up_are_refused(make_fitted, dataset, monkeypatch):
    exact = TreeContributions.interactions
    monkeypatch.setattr(TreeContributions, "interactions", lambda self, *asked: 1.001 * exact(self, *asked))
    options = ExplainOptions(pair_rows=5, resamples=0, per_class=10, quasars=10)
    with pytest.raises(ExplanationError, match="pairs of bands miss the attributions that they sum to by"):
        explain(make_fitted("mocks"), dataset, config=options)
