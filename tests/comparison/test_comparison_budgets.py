from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.comparison.budgets import BudgetCurve, Saving, equal_labels
from jpas_gbm.comparison.compare import compare, label_budgets
from jpas_gbm.comparison.judged_rows import label_order, thin_labels
from jpas_gbm.errors import ConfigError
from jpas_gbm.store import dump_json

REGIMES = ("mocks-only", "target-only", "ssda")


def test_subsets_are_nested_and_stratified(dataset):
    order = label_order(dataset, 3)
    ids, label = dataset.target.object_id, dataset.target.label
    labelled = np.flatnonzero((dataset.target_split == 0) | (dataset.target_split == 1))
    assert sorted(order) == sorted(ids[labelled])
    whole = np.bincount(label[labelled], minlength=4) / len(labelled)
    train = np.mean(dataset.target_split[labelled] == 0)
    for n in (50, 200, 1000):
        chosen = np.flatnonzero(np.isin(ids, order[:n]))
        counts = np.bincount(label[chosen], minlength=4)
        assert np.abs(counts - n * whole).max() <= 2  # one for each of the two splits
        assert abs((dataset.target_split[chosen] == 0).sum() - n * train) <= 4
    assert not np.array_equal(order, label_order(dataset, 4))
    np.testing.assert_array_equal(order, label_order(dataset, 3))


def test_trap_thinned_labels_leave_no_trace(dataset):
    keep = label_order(dataset, 0)[:300]
    few = thin_labels(dataset, keep)
    left = few.target_rows("train", "val")
    assert sorted(left.object_id) == sorted(keep)
    lost = np.isin(dataset.target_split, (0, 1)) & ~np.isin(dataset.target.object_id, keep)
    assert (few.target.label[lost] == -1).all() and np.isnan(few.target.z[lost]).all()
    assert (few.target_split[lost] == -1).all()
    np.testing.assert_array_equal(few.target.flux, dataset.target.flux)
    # Twins know label and redshift of their object: they go with its label.
    assert len(few.twins) < len(dataset.twins)
    assert not np.isin(few.twins.object_id, dataset.target.object_id[lost]).any()
    test, before = few.target_rows("test"), dataset.target_rows("test")
    np.testing.assert_array_equal(test.label, before.label)


@pytest.fixture(scope="module")
def curve(dataset, make_fit):
    fit = make_fit()
    found = label_budgets(dataset, (40, 150, 600, "all"), REGIMES, fit=fit, draws=3, n_bootstrap=100)
    return found, fit


def test_every_budget_is_fitted_and_label_free_regimes_once_a_draw(curve):
    found, fit = curve
    assert found.budgets[:3] == (40, 150, 600) and len(found.budgets) == 4
    calls = [(regime, n) for regime, _, n in fit.calls]
    assert calls.count(("target-only", 40)) == 3 and calls.count(("ssda", found.budgets[-1])) == 3
    assert sum(regime == "mocks-only" for regime, _ in calls) == 3
    assert len(found.points) == 12
    flat = found.series("mocks-only", "macro.f1").mean
    assert np.ptp(flat) == 0


def test_curves_rise_and_adaptation_saves_labels(curve):
    found, _ = curve
    target, ssda = found.series("target-only", "macro.f1"), found.series("ssda", "macro.f1")
    assert target.mean[-1] > target.mean[0] and ssda.mean[0] > target.mean[0]
    assert (target.low <= target.mean).all() and (target.mean <= target.high).all()
    assert np.ptp([target.low[0], target.high[0]]) > np.ptp([target.low[-1], target.high[-1]])
    told = next(
        one
        for one in found.savings
        if (one.regime, one.against, one.figure, one.budget) == ("ssda", "target-only", "log_loss", 40)
    )
    assert told.bound is None and told.equals > 40 and told.ratio == pytest.approx(told.equals / 40)
    assert not any(one.against == "mocks-only" for one in found.savings)


def test_budgets_json_and_lines(curve, tmp_path):
    found, _ = curve
    found.save(tmp_path)
    again = BudgetCurve.load(tmp_path)
    assert dump_json(again.to_dict()) == dump_json(found.to_dict()) and again.budgets == found.budgets
    assert json.loads(dump_json(found.to_dict()))["about"]["draws"] == 3
    assert again.points == found.points and again.savings == found.savings
    table = found.table.loc["ssda", 40, "macro.f1"]
    assert table["low"] <= table["mean"] <= table["high"] and table["mean"] == found.series("ssda", "macro.f1").mean[0]
    assert repr(found).splitlines()[1].split() == ["labels", *REGIMES] and "<caption>macro-F1" in found._repr_html_()
    lines = found.lines()
    assert any(line.startswith("macro-F1 against the number of target labels") for line in lines)
    assert any(line.startswith("ssda with 40 labels: target-only needs ") for line in lines)


def test_a_fit_that_cannot_be_made_is_noted(dataset, make_fit):
    found = label_budgets(dataset, (10, 300), ("target-only", "ssda"), fit=make_fit(fewest=50), draws=1, n_bootstrap=20)
    failed = [note for note in found.notes if "draw 1: " in note]
    assert len(failed) == 2 and "target-only, 10 labels, draw 1: too few labels" in failed[0]
    assert {point.budget for point in found.points} == {300}
    assert any("too few labels" in line for line in found.lines())
    nothing = label_budgets(dataset, (10,), ("ssda",), fit=make_fit(fewest=50), draws=1)
    assert nothing.points == () and len(nothing.lines()) > 0


def test_finished_fits_are_not_repeated(dataset, make_fit, tmp_path):
    for calls in (4, 0):
        fit = make_fit()
        label_budgets(dataset, (50, 500), ("ssda",), fit=fit, draws=2, n_bootstrap=5, out=tmp_path)
        assert len(fit.calls) == calls


def test_budgets_over_what_there_is_mean_all(dataset, make_fit):
    found = label_budgets(dataset, (10**6, "all", 100), ("ssda",), fit=make_fit(), draws=1, n_bootstrap=0)
    every = len(label_order(dataset, 0))
    assert found.budgets == (100, every)
    assert found.notes == (
        f"budgets of 1,000,000: there are {every:,} labels that train or validate, and all are taken.",
    )
    assert found.notes[0] in found.lines()


def test_classes_that_draws_lack_are_named(dataset, make_fit):
    """What a model of four labels says of a class that none of them is of is told beside its figures."""
    found = label_budgets(dataset, (4, 600), ("ssda",), fit=make_fit(), draws=3, n_bootstrap=0)
    train = dataset.target_rows("train")
    rare = train.object_id[train.label == 0]
    without = sum(not np.isin(label_order(dataset, draw)[:4], rare).any() for draw in range(3))
    assert without and f"4 labels: no QSO_high trains in {without} of 3 draws." in found.notes
    assert not any(note.startswith("600 labels") for note in found.notes)
    blind = label_budgets(dataset, (4, 600), ("mocks-only",), fit=make_fit(), draws=1, n_bootstrap=0)
    assert blind.notes == ()


def test_labels_saved_beyond_the_budgets_are_those_of_the_largest(curve):
    """Where fewer labels were tried than there are, none can be said to need more than there are."""
    found, _ = curve
    beyond = Saving("ssda", "target-only", "macro.f1", 40, None, bound="more")
    assert "needs more labels than the largest budget" in replace(found, savings=(beyond,)).lines()[-1]


@pytest.mark.parametrize("budgets", [(0,), (-5, 10), (), 30.7, (30.7,), (float("nan"),), (True,), ("x",), "30;100"])
def test_bad_budgets_are_refused(dataset, make_fit, budgets):
    with pytest.raises(ConfigError, match="write numbers of labels and 'all', such as 100,1000,all"):
        label_budgets(dataset, budgets, fit=make_fit())


def test_what_the_verb_takes_the_function_takes(dataset, make_fit, monkeypatch):
    """Texts with commas, as on the command line; what is no number of seeds or draws is refused before any reading."""
    monkeypatch.setattr("jpas_gbm.comparison.compare.fit_model", make_fit())
    told, listed = (
        compare(dataset, regimes=regimes, budgets=budgets, draws=1, threads=1)
        for regimes, budgets in (("target-only, ssda", "50, all"), (["target-only", "ssda"], [50, "all"]))
    )
    assert told.points == listed.points
    with pytest.raises(ConfigError, match="--budgets 50,50: a budget comes twice"):
        compare(dataset, budgets=[50, 50])
    for wrong in ({"seeds": 0}, {"seeds": 1.5}, {"draws": 0, "budgets": "50"}, {"draws": True, "budgets": "50"}):
        with pytest.raises(ConfigError, match="is no whole number of 1 or more"):
            compare("no data is read", **wrong)
    for idle in ({"draws": 2}, {"seeds": 2, "budgets": "50"}, {"keep_models": True, "budgets": "50"}):
        with pytest.raises(
            ConfigError, match=f"--{next(iter(idle)).replace('_', '-')} .* with --budgets. Leave one of"
        ):
            compare("no data is read", **idle)
    for nameless in ("", [], "ssda,", ["ssda", ""]):
        with pytest.raises(ConfigError, match="a name is empty"):
            compare("no data is read", regimes=nameless)


def test_equal_labels_interpolates_in_log_labels():
    labels = np.array([100.0, 1000.0, 10000.0])
    curve = np.array([[0.5], [0.7], [0.8]])

    def at(goal: float) -> float:
        return float(equal_labels(np.array([goal]), curve, labels)[0])

    assert at(0.6) == pytest.approx(10**2.5)
    assert at(0.7) == pytest.approx(1000)
    assert at(0.75) == pytest.approx(10**3.5)
    assert at(0.5) == 100 and at(0.4) == 0 and at(0.9) == np.inf and np.isnan(at(np.nan))


def test_equal_labels_never_trusts_a_dip():
    labels = np.array([10.0, 100.0, 1000.0])
    dip = np.array([[0.6], [0.5], [0.8]])
    assert equal_labels(np.array([0.7]), dip, labels)[0] == pytest.approx(10**2.5)
    assert np.isnan(equal_labels(np.array([0.7]), np.array([[0.6], [np.nan], [0.8]]), labels)[0])
