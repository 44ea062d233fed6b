from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.comparison.evaluation import Evaluation, RegimeResult, evaluate_model, evaluate_runs
from jpas_gbm.comparison.judged_rows import brighter, held_out
from jpas_gbm.comparison.shown import evaluate
from jpas_gbm.errors import BundleError, ConfigError, DatasetError, OutputError
from jpas_gbm.scores.losses import magnitude_bins, magnitude_edges
from jpas_gbm.store import dump_json
from jpas_gbm.surveys.labels import LabelledRows

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")


@pytest.fixture
def fitted(dataset, fake_fit):
    from jpas_gbm.options import FitOptions

    return fake_fit(dataset, config=FitOptions(regime="ssda"), seed=4, threads=1, progress=None)


def test_metrics_json_has_the_layout_of_the_design(dataset, fitted):
    found = evaluate_model(fitted, dataset, cut=22.5, n_bootstrap=50)
    layout = json.loads(dump_json(found.to_dict()))
    expected = "regime seed n_test cut classes confusion per_class macro accuracy log_loss brier ece thresholded"
    assert set(layout) >= {*expected.split(), "intervals", "by_magnitude"}
    assert layout["regime"] == "ssda" and layout["seed"] == 4 and layout["cut"] == 22.5
    assert layout["rule"] == "thresholds"
    assert set(layout["thresholded"]["per_class"]["STAR"]) >= {"precision", "recall", "f1"}
    low, high = layout["intervals"]["macro.f1"]
    assert low < layout["macro"]["f1"] < high
    assert layout["intervals"]["thresholded.per_class.QSO_high.f1"] is not None
    assert layout["about"]["split"] == "test" and layout["about"]["provenance"]["software"] == "jpas-gbm"
    assert 0 < layout["calibration"]["ece_noise"] < 0.1
    assert not any(name.startswith("null") for name in [*layout, *layout["intervals"]])
    rebuilt = Evaluation.from_dict(layout)
    assert rebuilt.to_dict() == layout and rebuilt["macro.f1"] == layout["macro"]["f1"]


def test_rows_that_made_the_model_are_not_called_held_out(dataset, fitted):
    honest = evaluate_model(fitted, dataset, n_bootstrap=20)
    assert "held-out rows" in honest.lines()[0] and "rows_used_by_model" not in honest.about
    fitted.known = LabelledRows.of(held_out(dataset).take(np.arange(7)))
    found = evaluate_model(fitted, dataset, cut=np.inf, n_bootstrap=20)
    assert found.about["rows_used_by_model"] == len(
        np.flatnonzero(np.isin(held_out(dataset).object_id, fitted.known.object_id))
    )
    assert found.cut is None and "inf" not in found.lines()[0]
    assert "NOT held out" in found.lines()[0] and Evaluation.from_dict(found.to_dict()).about == found.about


def test_rows_fainter_than_the_cut_do_not_count(dataset, fitted):
    rows = dataset.target_rows("test")
    found = evaluate_model(fitted, dataset, cut=20.0, n_bootstrap=0)
    bright = rows.take(rows.mag <= 20.0)
    assert found.n_test == len(bright) and found.about["left_out"] == len(rows) - len(bright)
    assert found["macro.f1"] == pytest.approx(evaluate(bright.label, fitted.probabilities(bright), CLASSES)["macro.f1"])
    assert evaluate_model(fitted, dataset, cut=None, n_bootstrap=0).n_test == len(rows)


def test_magnitude_bins_part_the_rows(dataset, fitted):
    found = evaluate_model(fitted, dataset, cut=22.5, n_bootstrap=30)
    bins = found.by_magnitude
    assert sum(one["n"] for one in bins) == found.n_test
    assert all(one["n"] >= 100 for one in bins) and bins[-1]["upper"] == 22.5
    for one, after in itertools.pairwise(bins):
        assert one["upper"] == after["lower"]
    assert set(bins[0]["per_class"]["QSO_low"]) == {"precision", "recall", "f1", "n"}
    assert bins[0]["intervals"]["macro.f1"][0] <= bins[0]["macro"]["f1"] <= bins[0]["intervals"]["macro.f1"][1]
    correct = sum(one["accuracy"] * one["n"] for one in bins)
    assert correct / found.n_test == pytest.approx(found["accuracy"])


def test_forgetting_imaging_reaches_the_model(dataset, fitted):
    evaluate_model(fitted, dataset, n_bootstrap=0, without_imaging=True)
    assert np.isnan(fitted.seen[-1].imaging_mag).all()
    found = evaluate_model(fitted, dataset, n_bootstrap=0)
    assert np.isfinite(fitted.seen[-1].imaging_mag).all()
    assert found.about["imaging"] is True


def test_mocks_can_be_tested_on_mocks(dataset, fitted):
    found = evaluate_model(fitted, dataset, "val", None, domain="source", n_bootstrap=0)
    assert found.n_test == int((dataset.source_split == 1).sum())
    assert fitted.seen[-1].photometry == dataset.target.photometry


def test_test_labels_stay_out_of_the_prediction(dataset, fitted):
    assert (held_out(dataset).label >= 0).all()
    with pytest.raises(DatasetError, match="target has no labelled row in the split 'unlabelled'"):
        held_out(dataset, "unlabelled")


def test_saved_evaluations_are_read_again(dataset, fitted, tmp_path):
    found = evaluate_model(fitted, dataset, n_bootstrap=20)
    found.save(tmp_path / "out")
    again = Evaluation.load(tmp_path / "out")
    assert dump_json(again.to_dict()) == dump_json(found.to_dict())
    assert again.curves["roc"]["STAR"]["true_positive"][-1] == 1
    rows = dataset.target_rows("test")
    assert len(again.curves["redshift"]["z"]) == int(((rows.label < 2) & (rows.mag <= 22.5)).sum())
    with pytest.raises(OutputError, match="--overwrite"):
        found.save(tmp_path / "out")
    found.save(tmp_path / "out", overwrite=True)
    with pytest.raises(BundleError, match="is missing"):
        Evaluation.load(tmp_path)


def test_lines_for_the_terminal(dataset, fitted):
    lines = evaluate_model(fitted, dataset, n_bootstrap=20).lines()
    assert lines[0].startswith("ssda: ") and "magnitude 22.5 and brighter" in lines[0]
    assert any(line.startswith("F1 QSO_high") and "[" in line for line in lines)
    assert any(line.startswith("macro-F1, thresholds") for line in lines)


def test_an_evaluation_shows_itself_in_a_few_lines(dataset, fitted):
    found = evaluate_model(fitted, dataset, n_bootstrap=20)
    assert repr(found).startswith("ssda: ") and 3 <= len(repr(found).splitlines()) <= 10
    assert found._repr_html_().startswith("<table><caption>ssda: ") and "<th>log loss</th>" in found._repr_html_()


def test_without_magnitudes_every_row_counts():
    p = np.full((40, 4), 0.25)
    result = RegimeResult("ssda", None, p)
    found = evaluate_runs([result], np.arange(40) % 4, classes=CLASSES, n_bootstrap=10)[0][0]
    assert found.n_test == 40 and found.by_magnitude == []
    assert found["log_loss"] == pytest.approx(np.log(4))
    assert found.figures.thresholded is None
    assert not any(line.startswith("macro-F1, thresholds") for line in found.lines())


def test_a_cut_that_leaves_nothing_is_refused():
    with pytest.raises(DatasetError) as caught:
        brighter(np.array([23.0, 24.5, np.nan]), 22.5)
    assert "no held-out row has a magnitude of 22.5 or brighter: they reach from 23.00 to 24.50" in str(caught.value)
    with pytest.raises(DatasetError, match="none of them is known"):
        brighter(np.array([np.nan]), 22.5)
    with pytest.raises(DatasetError, match="magnitude of -inf or brighter: they reach from 30.00"):
        brighter(np.array([np.nan, 30]), -np.inf)
    for cut in (np.nan, "faint"):
        with pytest.raises(ConfigError, match=f"--cut {cut!r}: is no number"):
            brighter(np.array([20.0, 30.0]), cut)
    assert brighter(np.array([np.nan, 30]), np.inf).all()
    assert brighter(np.array([22.5, 22.6, np.nan]), 22.5).tolist() == [True, False, False]


def test_magnitude_edges_hold_enough_rows_each():
    mag = np.random.default_rng(0).triangular(16, 22.4, 22.5, 5000)
    edges = magnitude_edges(mag, fewest=150)
    counts = np.bincount(magnitude_bins(mag, edges))
    assert counts.sum() == 5000 and counts.min() >= 150
    assert np.allclose(edges * 2, np.round(edges * 2)) and edges[-1] == 22.5
    assert magnitude_edges(np.full(3, np.nan)).size == 0
    for few in (np.array([20.0]), np.array([20.0, 20.5]), np.array([20.2, 21.4])):
        found = magnitude_edges(few)
        assert len(found) == 2 and (magnitude_bins(few, found) == 0).all()
    assert magnitude_bins(np.array([np.nan, 19.0, 30.0]), np.array([19.0, 20.0])).tolist() == [-1, -1, -1]
    assert magnitude_bins(np.array([20.0]), np.empty(0)).tolist() == [-1]


@pytest.mark.parametrize("regime", ["target-only", "ssda"])
def test_a_class_that_no_label_of_the_field_has_leaves_figures_without_value(tiny, quick_options, regime):
    """Nothing of QSO_high can be measured: its figures are null, macro figures over the others, and this is said."""
    from dataclasses import replace

    import jpas_gbm as jg

    keep = tiny.target.label != 0
    few = replace(tiny, target=tiny.target.take(keep), target_split=tiny.target_split[keep])
    model = jg.fit(few, regime=regime, seed=0, config=quick_options, threads=1)
    assert any(note.startswith("QSO_high is absent from the labelled target rows") for note in model.card["notes"])
    said = "the model knows nothing of it" if regime == "target-only" else "what the mocks teach of it stands"
    assert any(said in note for note in model.card["notes"])
    p = model.probabilities(few.target_rows("test"))
    assert p.shape[1] == 4 and np.isfinite(p).all()
    found = evaluate_model(model, few, n_bootstrap=10)
    plain = json.loads(dump_json(found.to_dict()))
    assert [plain["per_class"]["QSO_high"][name] for name in ("recall", "f1", "auroc")] == [None] * 3
    three = [plain["per_class"][name]["f1"] for name in CLASSES[1:]]
    assert plain["macro"]["f1"] == pytest.approx(np.mean(three)) and np.isfinite(plain["log_loss"])
    assert any(line.startswith("no row is QSO_high") for line in found.lines())


def test_bright_labels_teach_and_faint_rows_judge(tiny, quick_options):
    """The model is fitted again with its seed on labels up to the limit; what is judged is fainter, beside itself."""
    from jpas_gbm.adaptation.fit import fit
    from jpas_gbm.comparison.compare import evaluate as judge
    from jpas_gbm.comparison.judged_rows import bright_labels
    from jpas_gbm.config import override

    options = override(quick_options, regime="target-only")
    whole = fit(tiny, config=options, seed=3, threads=1)
    found = judge(whole, tiny, train_brighter=21.0, cut=22.5, threads=1)
    few = bright_labels(tiny, 21.0, "target-only")
    assert few.target.mag[few.target.label >= 0][few.target_split[few.target.label >= 0] < 2].max() <= 21.0
    rows = held_out(tiny)
    rows = rows.take((rows.mag > 21.0) & (rows.mag <= 22.5))
    assert found.n_test == len(rows)
    p = fit(few, config=options, seed=3, threads=1).probabilities(rows, 1)
    own = -np.log(p[np.arange(len(rows)), rows.label]).mean()
    assert found["log_loss"] == pytest.approx(own, rel=1e-6)
    told = found.about["train_brighter"]
    of_all = whole.probabilities(rows, 1)[np.arange(len(rows)), rows.label]
    assert told["with all labels"]["log_loss"] == pytest.approx(-np.log(of_all).mean(), rel=1e-6)
    gap, low, high = told["less"]["log_loss"]
    assert gap == pytest.approx(found["log_loss"] - told["with all labels"]["log_loss"]) and low < gap < high
    labels = len(np.unique(held_out(tiny, "train").object_id)) + len(np.unique(held_out(tiny, "val").object_id))
    assert told["labels"] < told["of"] == labels
    lines = found.lines()
    assert "22.5 and brighter (1 without imaging, by the magnitude of their labels), fainter than the 21" in lines[0]
    assert any(f"trained on {told['labels']:,} of {labels:,} labels, those not fainter than 21" in one for one in lines)
    other = replace(tiny, target=tiny.target.replace(object_id=tiny.target.object_id + 10**6))
    with pytest.raises(DatasetError, match=r"^0 of its [\d,]+ labelled rows made the model: give the data of its fit"):
        judge(whole, other, train_brighter=21.0, cut=22.5, threads=1)


@pytest.mark.parametrize(
    ("regime", "limit", "told"),
    [
        ("uda", 21.0, "reads no label of the sky, so there is none to hide"),
        ("target-only", 15.0, "no label of the train split is so bright; labels reach from"),
        ("target-only", 24.0, "fainter than 24, so nothing judges"),
    ],
)
def test_labels_that_cannot_be_hidden_by_brightness_are_named(tiny, regime, limit, told):
    from jpas_gbm.comparison.judged_rows import bright_labels, fainter

    rows = held_out(tiny)
    with pytest.raises(DatasetError, match=told):
        fainter(rows.mag, limit, rows.mag <= 22.5)
        bright_labels(tiny, limit, regime)
