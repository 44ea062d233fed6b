from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.comparison.compare import compare_dataset
from jpas_gbm.comparison.comparison import Comparison, Measured, compare_regimes
from jpas_gbm.comparison.evaluation import RegimeResult, RunStore
from jpas_gbm.comparison.exhibits import Exhibits
from jpas_gbm.config import override
from jpas_gbm.errors import DatasetError
from jpas_gbm.options import FitOptions
from jpas_gbm.run import Run
from jpas_gbm.scores.bootstrap import Difference
from jpas_gbm.store import dump_json

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
REGIMES = ("mocks-only", "target-only", "ssda")


@pytest.fixture(scope="module")
def found(dataset, make_fit):
    return compare_dataset(dataset, REGIMES, (0, 1), fit=make_fit(), n_bootstrap=200)


def test_rows_are_means_over_seeds(found):
    assert found.regimes == REGIMES
    for regime in REGIMES:
        each = [one["macro.f1"] for one in found.evaluations if one.regime == regime]
        told = found.figure(regime, "macro.f1")
        assert told.mean == pytest.approx(np.mean(each))
        assert told.seed_std == pytest.approx(np.std(each, ddof=1))
        assert told.interval[0] < told.mean < told.interval[1]
    assert found.rows[0].seeds == (0, 1)


def test_pairs_hold_every_macro_and_class_figure(found):
    assert [(pair.a, pair.b) for pair in found.pairs] == [
        ("mocks-only", "target-only"),
        ("mocks-only", "ssda"),
        ("target-only", "ssda"),
    ]
    names = set(found.pairs[0].figures)
    assert {f"macro.{name}" for name in ("f1", "recall", "precision", "auroc_ovo", "auroc_ovr")} <= names
    wanted = ("precision", "recall", "f1", "auroc", "average_precision", "ece")
    assert {f"per_class.{c}.{name}" for c in CLASSES for name in wanted} <= names
    assert {"thresholded.macro.f1", "decided.macro.f1", "log_loss", "brier", "ece"} <= names
    gap = found.difference("ssda", "mocks-only", "log_loss")
    plain = found.figure("ssda", "log_loss").mean - found.figure("mocks-only", "log_loss").mean
    assert gap.difference == pytest.approx(plain)
    assert gap.interval[0] < gap.difference < gap.interval[1] < 0  # the mocks are shifted: surely worse
    assert gap.above == 0 and found.difference("mocks-only", "ssda", "log_loss").above == 1


def test_chosen_rule_decides_the_decided_figures():
    rng = np.random.default_rng(0)
    y = rng.choice(4, 500, p=[0.1, 0.2, 0.4, 0.3])
    p = rng.dirichlet(np.ones(4), 500) + 0.5 * np.eye(4)[y]
    p /= p.sum(axis=1, keepdims=True)
    weights = np.array([9.0, 4.0, 1.0, 1.0])
    results = [
        RegimeResult("a", 0, p, weights, "thresholds"),
        RegimeResult("b", 0, p, weights, "argmax"),
        RegimeResult("c", 0, p, None, "argmax"),
    ]
    told = compare_regimes(results, y, classes=CLASSES, n_bootstrap=20)
    assert told.figure("a", "decided.macro.f1").mean != told.figure("a", "macro.f1").mean
    assert told.figure("b", "decided.macro.f1") == told.figure("b", "macro.f1")
    assert told.figure("c", "decided.accuracy") == told.figure("b", "accuracy")
    assert told.difference("a", "b", "macro.f1").difference == 0
    assert told.difference("a", "b", "decided.macro.f1").difference != 0


def test_comparison_json_is_read_again(found, tmp_path):
    layout = json.loads(dump_json(found.to_dict()))
    assert Comparison.from_dict(layout).to_dict() == layout
    found.save(tmp_path)
    again = Comparison.load(tmp_path)
    assert dump_json(again.to_dict()) == dump_json(found.to_dict())
    assert again.evaluations[3].curves["roc"] == found.evaluations[3].curves["roc"]
    (tmp_path / "curves.json").unlink()
    assert Comparison.load(tmp_path).evaluations[0].curves == {}


def test_table_is_a_frame_with_intervals(found):
    table = found.table
    assert list(table.columns.unique("regime")) == list(REGIMES)
    assert list(table["ssda"].columns) == ["mean", "low", "high", "seed_std"]
    row = table.loc["macro.f1", "ssda"]
    assert row["low"] < row["mean"] < row["high"] and row["mean"] == found.figure("ssda", "macro.f1").mean
    assert {"log_loss", "per_class.STAR.f1", "decided.macro.f1"} <= set(table.index)


def test_lines_for_the_terminal_and_the_notebook(found):
    lines = found.lines()
    assert max(map(len, lines)) < 160
    assert [line.split("  ")[0] for line in lines[2:5]] == ["log loss", "macro-F1", "macro-F1, chosen rule"]
    assert any(line.startswith("F1 STAR") and line.count("[") == 3 for line in lines)
    assert any(line.startswith("ssda - mocks-only (paired): log loss -") for line in lines)
    assert repr(found).splitlines() == lines[:10]
    assert found._repr_html_().count("<tr>") == 11 and "mocks-only" in found._repr_html_()


def test_a_figure_that_is_not_defined_is_a_dash():
    y = np.array([1, 2, 3] * 40)
    p = np.full((120, 4), 0.25)
    told = compare_regimes([RegimeResult("only", 0, p)], y, classes=CLASSES, n_bootstrap=10)
    assert told.lines()[-4].split() == ["F1", "QSO_high", "-"] and str(Measured(None)) == "-"
    assert np.isnan(told.table.loc["per_class.QSO_high.f1", ("only", "mean")])
    assert told.pairs == () and told.rows[0].figures["macro.f1"].seed_std is None
    with pytest.raises(KeyError, match="were not compared"):
        told.difference("only", "other", "ece")


def test_finished_runs_are_not_repeated(dataset, make_fit, tmp_path):
    first = make_fit()
    whole = compare_dataset(dataset, REGIMES, (0, 1), fit=first, n_bootstrap=30, out=tmp_path)
    assert len(first.calls) == 6
    second = make_fit()
    again = compare_dataset(dataset, REGIMES, (0, 1), fit=second, n_bootstrap=30, out=tmp_path)
    assert second.calls == []
    assert again.to_dict()["rows"] == whole.to_dict()["rows"]
    more = make_fit()
    compare_dataset(dataset, REGIMES, (0, 1, 2), fit=more, n_bootstrap=5, out=tmp_path)
    assert [call[1] for call in more.calls] == [2, 2, 2]


def test_a_stopped_comparison_goes_on_and_ends_the_same(dataset, make_fit, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        compare_dataset(dataset, REGIMES, (0, 1), fit=make_fit(stop_after=4), n_bootstrap=30, out=tmp_path)
    left = tmp_path / "runs" / f".{REGIMES[0]}-seed0.0123abcd.partial"
    left.mkdir()
    (left / "lock").touch()  # of a process that was killed when all was done but the clearing
    rest = make_fit()
    resumed = compare_dataset(dataset, REGIMES, (0, 1), fit=rest, n_bootstrap=30, out=tmp_path)
    assert len(rest.calls) == 2 and not left.exists()
    uninterrupted = compare_dataset(dataset, REGIMES, (0, 1), fit=make_fit(), n_bootstrap=30)
    assert resumed.to_dict()["rows"] == uninterrupted.to_dict()["rows"]
    assert resumed.to_dict()["pairs"] == uninterrupted.to_dict()["pairs"]


def test_other_options_data_or_damage_repeat_a_run(dataset, make_fit, tmp_path):
    def calls(data=dataset, options=None):
        fit = make_fit()
        compare_dataset(data, ("ssda",), (0,), options, fit=fit, n_bootstrap=0, out=tmp_path)
        return len(fit.calls)

    assert (calls(), calls()) == (1, 0)
    other = override(FitOptions(), seeds=2)
    assert (calls(options=other), calls(options=other), calls()) == (1, 0, 1)
    from dataclasses import replace

    target = dataset.target.replace(mag=dataset.target.mag + np.float32(0.01))
    assert calls(replace(dataset, target=target)) == 1
    twins = dataset.twins.replace(extra={"NOTE": np.arange(len(dataset.twins))})
    assert calls(replace(dataset, twins=twins)) == 1
    calls()
    store = tmp_path / "runs" / "ssda-seed0"
    (store / "probabilities.npz").write_bytes(b"cut off")
    assert calls() == 1
    (store / "run.json").write_text("{}")
    assert calls() == 1


def test_models_are_kept_when_asked(dataset, make_fit, tmp_path):
    regimes = ("mocks-only", "target-only", "ssda")
    compare_dataset(dataset, regimes, (0, 1), fit=make_fit(), n_bootstrap=0, out=tmp_path)
    # What the figures of a page are made from is always kept.
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"mocks-only-seed0", "ssda-seed0"}
    again = make_fit()
    compare_dataset(dataset, regimes, (0, 1), fit=again, n_bootstrap=0, out=tmp_path, keep_models=True)
    assert len(again.calls) == 4 and (tmp_path / "models" / "target-only-seed1" / "means.npy").is_file()
    third = make_fit()
    compare_dataset(dataset, regimes, (0, 1), fit=third, n_bootstrap=0, out=tmp_path, keep_models=True)
    assert third.calls == []


def test_progress_names_the_run(dataset, make_fit):
    told = []
    run = Run.start(progress=lambda *step: told.append(step))
    compare_dataset(dataset, ("ssda",), (5,), fit=make_fit(), n_bootstrap=0, run=run)
    assert (
        any(stage.startswith("models, about ") and step == [0, 1] for stage, *step in told)
        and any(stage.startswith("models, about ") and step == [1, 1] for stage, *step in told)
        and ("ssda, seed 5: trees", 1, 1) in told
        and told[-1] == ("scoring", 1, 1)
    )


def test_a_store_without_a_folder_keeps_nothing():
    store = RunStore(None)
    store.save("x", "y", RegimeResult("a", 0, np.ones((1, 4))))
    assert store.load("x", "y") is None


def test_the_store_gives_the_cards_of_its_runs(tmp_path):
    store = RunStore(tmp_path)
    store.save("ssda-seed0", "y", RegimeResult("ssda", 0, np.ones((1, 4)), card={"chosen": "sky"}))
    assert [(path.parent.name, read()) for path, read in store.cards()] == [("ssda-seed0", {"chosen": "sky"})]
    assert list(RunStore(None).cards()) == []


def test_a_difference_the_other_way_round():
    gap = Difference(0.2, (0.1, 0.4), 0.875)
    assert -gap == Difference(-0.2, (-0.4, -0.1), 0.125) and -Difference(None) == Difference(None)
    assert gap.better() and not gap.better(-1) and (-gap).better(-1)
    assert not Difference(0.2, (-0.1, 0.4)).better() and not Difference(0.2).better()


def test_nothing_or_other_rows_cannot_be_compared():
    with pytest.raises(DatasetError, match="nothing to compare"):
        compare_regimes([], np.zeros(1, int), classes=CLASSES)
    with pytest.raises(DatasetError, match="ssda, seed 3, was scored on 2 rows, the held-out rows are 1"):
        compare_regimes([RegimeResult("ssda", 3, np.ones((2, 4)) / 4)], np.zeros(1, int), classes=CLASSES)


def test_a_hopeless_cut_is_told_before_training(dataset, make_fit):
    fit = make_fit()
    with pytest.raises(DatasetError, match="--cut"):
        compare_dataset(dataset, ("ssda",), (0,), fit=fit, cut=10.0)
    assert fit.calls == []


def test_a_comparison_that_is_replaced_is_the_old_or_the_new(found, dataset, tmp_path):
    """A kill between the moves of curves, exhibits and comparison.json leaves what loads whole."""
    from jpas_gbm.comparison.compare import _save

    def told(folder):
        return Comparison.load(folder).about["told"], Exhibits.load(folder).data.provenance["made"]

    other = replace(dataset, provenance={"made": "anew"})
    old, new = (replace(found, about={**found.about, "told": word}) for word in ("old", "new"))
    _save(old, dataset, tmp_path, Run())
    for number in range(1, 5):
        child = os.fork()
        if not child:
            left, real = [number], os.replace

            def counted(*words, left=left, real=real):
                real(*words)
                left[0] -= 1
                if not left[0]:
                    os._exit(9)

            os.replace = counted
            try:
                _save(new, other, tmp_path, Run())
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (9 if number < 4 else 0)
        assert told(tmp_path) == ("new", "anew")
        _save(old, dataset, tmp_path, Run())
        assert told(tmp_path) == ("old", "for tests") and not (tmp_path / "new").exists()
