"""Cross-fitting: all labels train, folds choose and calibrate."""

from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.adaptation.fit import fit
from jpas_gbm.adaptation.folds import label_folds, make_folds
from jpas_gbm.adaptation.rows import for_regime, get_regime
from jpas_gbm.config import override
from jpas_gbm.errors import ConfigError, FitError
from jpas_gbm.run import Run


@pytest.fixture(scope="module")
def crossfitted(tiny, quick_options):
    return fit(tiny, config=override(quick_options, crossfit=2), seed=3)


def labelled(dataset):
    return np.isin(dataset.target_split, (0, 1)) & (dataset.target.label >= 0)


def test_all_labels_train_and_all_judge(tiny, crossfitted):
    n = int(labelled(tiny).sum())
    assert crossfitted.card["label_budget"] == {
        "target labels for trees": n,
        "target labels for choosing and calibrating": n,
        "folds": 2,
    }
    assert crossfitted.card["rows"]["target_train"]["rows"] == n
    rows = np.flatnonzero(labelled(tiny))
    np.testing.assert_array_equal(crossfitted.held_out.object_id, tiny.target.object_id[rows])
    np.testing.assert_array_equal(crossfitted.held_out.label, tiny.target.label[rows])


def test_no_object_judges_trees_that_saw_it(tiny):
    folds = label_folds(tiny, 3)
    judged = np.concatenate([np.flatnonzero(one.target_split == 1) for one in folds])
    np.testing.assert_array_equal(np.sort(judged), np.flatnonzero(labelled(tiny)))
    for one in folds:
        ids = [one.target.object_id[one.target_split == split] for split in (0, 1)]
        assert not np.intersect1d(*ids).size
        np.testing.assert_array_equal(one.target_split == 2, tiny.target_split == 2)


def test_trees_of_all_labels_take_the_rounds_that_folds_took(crossfitted):
    entries = {entry["stage"]: entry for entry in crossfitted.card["trainings"]}
    last = {name: entry for name, entry in entries.items() if name.endswith("(all labels)") and "rounds" in entry}
    assert last
    for name, entry in last.items():
        own = [entries[name.replace("all labels", f"fold {i} of 2")]["rounds"] for i in (1, 2)]
        if not name.startswith("trees: mocks"):
            assert entry["rounds"] == max(1, round(np.mean(own)))


def test_early_stopping_in_folds_decides_the_rounds(tiny, quick_options):
    growth = {"rounds": 60, "leaves": 7, "learning_rate": 0.3, "patience": 5}
    options = override(quick_options, regime="target-only", crossfit=2, continuation=growth)
    entries = {e["stage"]: e for e in fit(tiny, config=options, seed=0).card["trainings"]}
    own = [entries[f"trees: target, lightgbm (fold {i} of 2)"]["rounds"] for i in (1, 2)]
    assert max(own) < 60
    assert entries["trees: target, lightgbm (all labels)"]["rounds"] == max(1, round(np.mean(own)))


def test_an_ensemble_on_all_labels_takes_rounds_of_its_own_seeds_and_libraries(tiny, quick_options):
    """Only the first seed of the options' library was trained in folds before rounds were asked for."""
    options = override(quick_options, regime="target-only", crossfit=2, seeds=2, backends=("lightgbm", "xgboost"))
    made = fit(tiny, config=options, seed=3)
    assert len(made.members) == 4
    assert len({member.booster.stage_rounds for member in made.members}) == 1


def test_the_probabilities_are_those_of_the_test_rows_and_repeat(tiny, quick_options, crossfitted):
    rows = tiny.target_rows("test")
    p = crossfitted.probabilities(rows)
    assert (p.argmax(axis=1) == rows.label).mean() > 0.85
    again = fit(tiny, config=override(quick_options, crossfit=2), seed=3)
    np.testing.assert_array_equal(again.probabilities(rows), p)


def test_folds_share_what_is_measured_without_labels(tiny, quick_options, monkeypatch):
    asked = []
    monkeypatch.setattr("jpas_gbm.adaptation.rows.measure_without_labels", lambda *given: asked.append(given))
    folds = make_folds(tiny.for_training(), get_regime("ssda"), quick_options, 3, Run.start(0, 1, None), "sources")
    assert len(folds.parts) == 3 and len(asked) == 1


def test_a_kept_baseline_of_plain_mocks_is_calibrated_on_all_labels(tiny, quick_options):
    """Target labels that are shuffled teach nothing: plain mocks stay, judged by every label."""
    rng = np.random.default_rng(0)
    label = np.array(tiny.target.label)
    rows = labelled(tiny)
    label[rows] = rng.permutation(label[rows])
    fitted = fit(
        replace(tiny, target=tiny.target.replace(label=label)), config=override(quick_options, crossfit=2), seed=0
    )
    assert not fitted.card["verdict"]["adapted"]
    assert len(fitted.held_out) == rows.sum()


def test_one_labelled_object_cannot_be_dealt(tiny, quick_options):
    keep = np.zeros(len(tiny.target), dtype=bool)
    keep[np.flatnonzero(labelled(tiny))[0]] = True
    lost = labelled(tiny) & ~keep
    label, split = np.array(tiny.target.label), np.array(tiny.target_split)
    label[lost], split[lost] = -1, -1
    few = replace(tiny, target=tiny.target.replace(label=label), target_split=split)
    with pytest.raises(FitError, match="cannot be dealt"):
        fit(few, config=override(quick_options, crossfit=2))


@pytest.mark.parametrize("regime", ["mocks-only", "mocks-calibrated", "uda"])
def test_crossfitting_where_no_label_trains_is_refused(tiny, quick_options, regime):
    with pytest.raises(ConfigError, match=rf"crossfit 3: in the regime {regime} no label of the target trains"):
        fit(tiny, regime=regime, config=quick_options, crossfit=3)
    shared = override(quick_options, crossfit=3)
    assert for_regime(shared, regime).crossfit == 0 and for_regime(shared, "ssda").crossfit == 3
