from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as oracle

from jpas_gbm.comparison.shown import Figures, evaluate, nested, point_figures
from jpas_gbm.errors import BundleError, DatasetError
from jpas_gbm.scores import curves as ranking
from jpas_gbm.scores.metrics import Scorer
from jpas_gbm.store import dump_json

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")


@pytest.mark.parametrize("digits", [None, 1, 2], ids=["no ties", "many ties", "some ties"])
def test_every_figure_agrees_with_scikit_learn(make_answers, digits):
    y, p = make_answers(3000, 1, digits=digits)
    found = evaluate(y, p, CLASSES).to_dict()
    said = p.argmax(axis=1)
    assert found["confusion"] == oracle.confusion_matrix(y, said).tolist()
    precision, recall, f1, n = oracle.precision_recall_fscore_support(y, said)
    for c, name in enumerate(CLASSES):
        mine = found["per_class"][name]
        assert mine["precision"] == pytest.approx(precision[c])
        assert mine["recall"] == pytest.approx(recall[c])
        assert mine["f1"] == pytest.approx(f1[c])
        assert mine["n"] == n[c]
        assert mine["auroc"] == pytest.approx(oracle.roc_auc_score(y == c, p[:, c]))
        assert mine["average_precision"] == pytest.approx(oracle.average_precision_score(y == c, p[:, c]))
    macro = found["macro"]
    assert macro["f1"] == pytest.approx(f1.mean())
    assert macro["recall"] == pytest.approx(oracle.balanced_accuracy_score(y, said))
    assert macro["precision"] == pytest.approx(precision.mean())
    assert macro["auroc_ovr"] == pytest.approx(oracle.roc_auc_score(y, p, multi_class="ovr"))
    assert macro["auroc_ovo"] == pytest.approx(oracle.roc_auc_score(y, p, multi_class="ovo"))
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(y, said))
    clear = p.clip(1e-15)
    assert found["log_loss"] == pytest.approx(oracle.log_loss(y, clear / clear.sum(axis=1, keepdims=True)))
    assert found["brier"] == pytest.approx(oracle.brier_score_loss(y, p, labels=range(4), scale_by_half=False))


def test_weighted_figures_agree_with_scikit_learn(make_answers):
    y, p = make_answers(1500, 2, digits=2)
    weight = np.random.default_rng(0).integers(0, 4, (1500, 3)).astype(np.float32)
    figures = Scorer.of(y, p, CLASSES).figures(weight)
    for j in range(3):
        w = weight[:, j]
        assert figures["macro.f1"][j] == pytest.approx(
            oracle.f1_score(y, p.argmax(axis=1), average="macro", sample_weight=w)
        )
        assert figures["macro.auroc_ovr"][j] == pytest.approx(
            oracle.roc_auc_score(y, p, multi_class="ovr", sample_weight=w)
        )
        repeated = np.repeat(np.arange(1500), w.astype(int))
        assert figures["macro.auroc_ovo"][j] == pytest.approx(
            oracle.roc_auc_score(y[repeated], p[repeated], multi_class="ovo")
        )
        assert figures["per_class.QSO_low.average_precision"][j] == pytest.approx(
            oracle.average_precision_score(y == 1, p[:, 1], sample_weight=w)
        )


def test_weights_of_a_resample_are_repeated_rows(make_answers):
    y, p = make_answers(800, 3)
    thresholds = np.array([3.0, 2.0, 1.0, 1.0])
    stratum = np.arange(800) % 3
    rows = np.random.default_rng(1).integers(0, 800, 800)
    weights = np.bincount(rows, minlength=800).astype(np.float32)[:, None]
    by_weight = Scorer.of(y, p, CLASSES, thresholds, stratum, 3).figures(weights)
    by_row = Scorer.of(y[rows], p[rows], CLASSES, thresholds, stratum[rows], 3).figures(np.ones((800, 1)))
    assert set(by_weight) == set(by_row)
    for name, value in by_weight.items():
        # Rows with the limit's probability in bins by rank differ between the two; all else is the same.
        # The null figures are about the rows as they are, which differ too.
        if name != "calibration.binned_slope" and not name.startswith("null."):
            np.testing.assert_allclose(value, by_row[name], rtol=1e-6, err_msg=name)


def test_thresholds_change_decisions_and_nothing_else(make_answers):
    y, p = make_answers(2000, 4)
    weights = np.array([5.0, 2.0, 1.0, 1.0])
    plain, decided = evaluate(y, p, CLASSES).to_dict(), evaluate(y, p, CLASSES, weights).to_dict()
    assert {k: v for k, v in decided.items() if k != "thresholded"} == {
        k: v for k, v in plain.items() if k != "thresholded"
    }
    assert plain["thresholded"] == {}
    said = (p * weights).argmax(axis=1)
    assert decided["thresholded"]["confusion"] == oracle.confusion_matrix(y, said).tolist()
    assert decided["thresholded"]["macro"]["f1"] == pytest.approx(oracle.f1_score(y, said, average="macro"))
    assert decided["thresholded"]["accuracy"] == pytest.approx((said == y).mean())
    assert decided["thresholded"]["per_class"]["QSO_high"]["recall"] > plain["per_class"]["QSO_high"]["recall"]


def test_layout_is_that_of_metrics_json(make_answers):
    y, p = make_answers(500, 5)
    found = evaluate(y, p, CLASSES, np.ones(4)).to_dict()
    assert set(found["per_class"]["STAR"]) >= {"precision", "recall", "f1", "auroc", "average_precision", "ece"}
    assert set(found["macro"]) >= {"f1", "recall", "precision", "auroc_ovo", "auroc_ovr"}
    assert set(found) >= {"n_test", "classes", "confusion", "accuracy", "log_loss", "brier", "ece", "thresholded"}
    assert np.sum(found["confusion"]) == found["n_test"] == 500
    assert json.loads(dump_json(found)) == found


def test_a_class_without_rows_is_null_and_noted(make_answers):
    y, p = make_answers(2000, 6)
    keep = y != 0
    found = evaluate(y[keep], p[keep], CLASSES).to_dict()
    assert found["per_class"]["QSO_high"]["recall"] is None
    assert found["per_class"]["QSO_high"]["auroc"] is None
    assert found["per_class"]["QSO_high"]["f1"] is None
    assert found["macro"]["f1"] == pytest.approx(np.mean([found["per_class"][c]["f1"] for c in CLASSES[1:]]))
    assert found["macro"]["auroc_ovo"] is not None
    assert found["calibration"]["slope"] is None
    assert any("no row is QSO_high" in note for note in found["notes"])
    assert not any("no calibration slope of QSO_high" in note for note in found["notes"])


def test_a_class_never_predicted_has_precision_zero_and_is_noted(make_answers):
    y, p = make_answers(2000, 7)
    p = p * np.array([0.0, 1, 1, 1])
    p /= p.sum(axis=1, keepdims=True)
    found = evaluate(y, p, CLASSES).to_dict()
    assert found["per_class"]["QSO_high"]["precision"] == 0
    assert found["per_class"]["QSO_high"]["f1"] == 0
    assert any("QSO_high never predicted" in note for note in found["notes"])
    assert found["log_loss"] > 1  # the floor keeps a probability of 0 finite


def test_no_row_at_all_gives_nulls():
    found = evaluate(np.empty(0, dtype=int), np.empty((0, 4)), CLASSES).to_dict()
    assert found["n_test"] == 0
    assert found["accuracy"] is None and found["macro"]["f1"] is None and found["log_loss"] is None


def test_by_magnitude_figures_are_those_of_the_rows_in_the_bin(make_answers):
    y, p = make_answers(3000, 8)
    stratum = np.random.default_rng(2).integers(-1, 3, 3000)
    figures = Scorer.of(y, p, CLASSES, None, stratum, 3).figures(np.ones((3000, 1)))
    alone = evaluate(y[stratum == 2], p[stratum == 2], CLASSES).to_dict()
    assert figures["by_magnitude.2.macro.f1"][0] == pytest.approx(alone["macro"]["f1"])
    assert figures["by_magnitude.2.log_loss"][0] == pytest.approx(alone["log_loss"])
    told = point_figures(Scorer.of(y, p, CLASSES, None, stratum, 3))
    assert not any(name.startswith("by_magnitude") for name in told.values)


def test_another_number_of_classes(make_answers):
    y, p = make_answers(500, 9)
    two = np.stack([p[:, :2].sum(axis=1), p[:, 2:].sum(axis=1)], axis=1)
    found = evaluate((y >= 2).astype(np.int8), two, ("QSO", "other")).to_dict()
    assert found["macro"]["auroc_ovo"] == pytest.approx(oracle.roc_auc_score(y >= 2, two[:, 1]))


@pytest.mark.parametrize(
    ("y", "p", "words"),
    [
        (np.zeros(3, int), np.ones((2, 4)) / 4, "expected (3, 4)"),
        (np.array([0, -1, -1]), np.ones((3, 4)) / 4, "2 of 3 rows have no class (the first is row 1)"),
        (np.zeros(2, int), np.array([[1, 0, 0, 0], [np.nan, 0, 0, 1]]), "1 of 2 rows are not probabilities: row 1"),
        (np.zeros(1, int), np.array([[0.5, 0.1, 0.1, 0.1]]), "sum to 1"),
    ],
)
def test_bad_answers_are_refused(y, p, words):
    with pytest.raises(DatasetError) as caught:
        evaluate(y, p, CLASSES)
    assert words in str(caught.value)


def test_wrong_number_of_thresholds_is_refused(make_answers):
    with pytest.raises(DatasetError, match="3 thresholds for 4 classes"):
        evaluate(*make_answers(50, 1), CLASSES, np.ones(3))


def test_nested():
    assert nested({"a": 1, "b.c": 2, "b.d.e": 3}) == {"a": 1, "b": {"c": 2, "d": {"e": 3}}}


def test_compiled_walk_is_the_python_walk(make_answers):
    y, p = make_answers(60, 10, digits=1)
    sorted_rows = ranking.Ranking.of(y, p)
    weights = np.random.default_rng(0).integers(0, 3, (60, 5)).astype(np.float32)
    compiled = sorted_rows.areas(weights)
    total = np.stack([weights[y == a].sum(axis=0) for a in range(4)])
    above, average = np.zeros((4, 4, 5)), np.zeros((4, 5))
    ranking._walk.py_func(weights, sorted_rows.label, sorted_rows.order, sorted_rows.stop, total, above, average)
    with np.errstate(invalid="ignore", divide="ignore"):
        np.testing.assert_allclose(compiled["precision"], average / total)
        np.testing.assert_allclose(compiled["pairs"][0, 1], above[0, 1] / (total[0] * total[1]))


def test_figures_survive_their_dictionary(make_answers):
    y, p = make_answers(500, 11)
    told = evaluate(y, p, CLASSES, np.array([2.0, 1, 1, 1]))
    plain = json.loads(json.dumps(told.to_dict()))
    again = Figures.from_dict(plain)
    assert again.to_dict() == plain and again.values == told.values
    assert again.counts == told.counts and again["thresholded.macro.f1"] == told["thresholded.macro.f1"]
    assert again == told and again.n_test == 500
    with pytest.raises(BundleError, match="figures of an evaluation are damaged.*Evaluate again"):
        Figures.from_dict({name: value for name, value in plain.items() if name != "confusion"})
