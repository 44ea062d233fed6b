"""A study finds options on target validation, says how sure it is, and its best options reproduce its best score."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tuning_samples import FIT, rows_of, small_study

from jpas_gbm.adaptation.fit import fit, prepare_rows
from jpas_gbm.adaptation.rows import get_regime, make_rows
from jpas_gbm.config import load_options, override
from jpas_gbm.errors import BundleError, ConfigError, FitError
from jpas_gbm.options import FitOptions, ObjectiveOptions, Rung
from jpas_gbm.run import Run
from jpas_gbm.store import read_json, write_json
from jpas_gbm.tuning.objective import Objective, coarse, folds_of
from jpas_gbm.tuning.result import Study
from jpas_gbm.tuning.space import Space, flat, with_values
from jpas_gbm.tuning.study import climbs, earliest_as_good, falls_behind
from jpas_gbm.tuning.trials import Recent, RowsCache, take_columns, thin_mocks
from jpas_gbm.tuning.tune import tune

BASE = with_values(FitOptions(), flat(FIT), "test")


@pytest.fixture(scope="module")
def study(tiny, tmp_path_factory):
    """A finished study of eight trials, and its folder."""
    folder = tmp_path_factory.mktemp("tuning") / "study"
    return tune(tiny, config=small_study(), out=folder, trials=8, seed=5), folder


def test_the_study_has_its_trials_and_gives_some_up(study):
    tuned, _ = study
    assert tuned.counts.counted == 8
    assert tuned.ended == "finished"
    outcomes = tuned.counts.outcomes
    assert set(outcomes) <= {"complete", "pruned"} and outcomes["pruned"] >= 1
    values = [tuple(row[name] for name in row if name.startswith("value:")) for row in rows_of(tuned)]
    assert len(set(values)) == 8


def test_the_best_of_the_finalists_over_fresh_seeds_is_the_best(study):
    tuned, _ = study
    losses = sorted(row["loss_log_loss"] for row in rows_of(tuned) if row["outcome"] == "complete")
    fresh, best = tuned.fresh, tuned.best
    finalists = fresh.finalists
    assert [one.loss for one in finalists] == losses[: len(finalists)] and len(finalists) > 1
    for one in finalists:
        assert one.mean == pytest.approx(np.mean(one.losses)) and len(one.losses) == len(fresh.seeds)
    kept = earliest_as_good({one.trial: one.losses for one in finalists})
    first = next(one for one in finalists if one.trial == kept)
    assert (best.trial, best.loss, fresh.mean) == (first.trial, first.loss, first.mean)
    assert best.interval[0] < best.loss < best.interval[1]


def test_without_fresh_seeds_the_least_loss_is_the_best(tiny, tmp_path):
    tuned = tune(tiny, config=small_study(fresh_seeds=0), out=tmp_path / "study", trials=4, seed=5)
    losses = [row["loss_log_loss"] for row in rows_of(tuned) if row["outcome"] == "complete"]
    assert tuned.best.loss == min(losses) and tuned.fresh is None


def test_best_yaml_is_a_fit_of_the_same_score(tiny, study):
    """The round trip: the card of the fit has the study's best score, for the same candidate."""
    tuned, folder = study
    options = load_options(FitOptions, folder / "best.yaml")
    assert options == tuned.options
    card = fit(tiny, config=options, seed=5).card
    scores = {one["candidate"]: one for one in card["candidates"]}
    best = tuned.best
    assert scores[best.candidate]["log_loss"] == pytest.approx(best.loss, rel=1e-12)
    assert scores[best.candidate]["macro_f1"] == pytest.approx(best.figures["macro_f1"], rel=1e-12)


def test_the_honest_line(study):
    tuned, _ = study
    assert tuned.fresh.optimism == pytest.approx(tuned.fresh.losses[0] - tuned.best.loss)
    assert tuned.default.difference == pytest.approx(tuned.best.loss - tuned.default.loss)
    (line,) = [line for line in tuned.lines() if "rows that chose it" in line]
    assert "fresh seeds" in line and "optimism" in line and "against the untuned fit" in line


def test_the_label_budget_is_written(tiny, study):
    tuned, _ = study
    assert tuned.label_budget == {
        "target labels for trees": len(tiny.target_rows("train")),
        "target labels for choosing": len(tiny.target_rows("val")),
    }


def test_files_of_a_study(study):
    _, folder = study
    told = read_json(folder / "tuning.json")
    table = pd.read_parquet(folder / "trials.parquet")
    assert len(table) == len(told["history"]) == 8
    assert set(told["importances"]) == set(told["space"]) == set(Study.load(folder).slices)
    assert sum(told["importances"].values()) == pytest.approx(1)
    bests = [one["best_so_far"] for one in told["history"] if one["best_so_far"] is not None]
    assert bests == sorted(bests, reverse=True) and bests[-1] == told["fresh"]["finalists"][0]["loss"]
    assert not list(folder.glob(".*")) and not list((folder / "workers").iterdir())


def test_a_study_loads_as_it_was_saved(study, tmp_path):
    tuned, folder = study
    again = Study.load(folder)
    assert again == tuned.model_copy(update={"table": again.table, "provenance": again.provenance})
    pd.testing.assert_frame_equal(again.trials, tuned.trials, check_dtype=False)
    assert again.options == tuned.options and again.name == "study"
    assert repr(again).startswith("Study(study: 8 trials of regime ssda, finished; best trial ")
    assert "boosting.leaves" in again._repr_html_() and len(repr(again)) < 200
    again.save(tmp_path)
    assert read_json(tmp_path / "tuning.json") == read_json(folder / "tuning.json")
    assert (tmp_path / "best.yaml").read_text() == (folder / "best.yaml").read_text()


def test_a_damaged_study_is_named(study, tmp_path):
    study[0].save(tmp_path)
    best, whole = tmp_path / "best.yaml", (tmp_path / "best.yaml").read_text()
    best.write_text(whole.replace("learning_rate: 0", "learning_rate: 1"))
    with pytest.raises(BundleError, match=r"best\.yaml does not match its checksum"):
        Study.load(tmp_path)
    best.write_text(whole)
    assert Study.load(tmp_path).options == study[0].options
    # Earlier versions kept no checksums.
    head = read_json(tmp_path / "tuning.json")
    write_json(tmp_path / "tuning.json", {n: v for n, v in head.items() if n != "files"}, overwrite=True)
    (tmp_path / "trials.parquet").write_bytes(b"junk")
    with pytest.raises(BundleError, match="a file of the study is damaged .* Restore it from a copy"):
        Study.load(tmp_path)
    (tmp_path / "tuning.json").write_text('{"regime": "ssda"}')
    with pytest.raises(BundleError, match=r"tuning\.json: cannot be read"):
        Study.load(tmp_path)


def test_test_labels_are_never_read(tiny, study, tmp_path):
    """Labels of the test split replaced by poison leave the study as it was, bit for bit."""
    tuned, _ = study
    label, z = np.array(tiny.target.label), np.array(tiny.target.z)
    held = tiny.target_split == 2
    label[held] = (label[held] + 1) % 4
    z[held] = np.nan
    poisoned = replace(tiny, target=tiny.target.replace(label=label, z=z))
    again = tune(poisoned, config=small_study(), out=tmp_path / "study", trials=8, seed=5)
    assert again.options == tuned.options
    for one, other in zip(rows_of(again), rows_of(tuned), strict=True):
        assert one | {"seconds": 0, "worker": ""} == other | {"seconds": 0, "worker": ""}


def test_two_figures_give_a_pareto_front(tiny, tmp_path):
    options = small_study(objective={"metric": "macro_f1", "also": "log_loss"}, fresh_seeds=0)
    tuned = tune(tiny, config=options, out=tmp_path / "study", trials=5, seed=1)
    front = [one.losses for one in tuned.front]
    done = [one.losses for one in tuned.history if one.losses is not None]
    for point in front:
        assert not any(all(b <= a for a, b in zip(point, other, strict=True)) and other != point for other in done)
    for one in tuned.front:
        assert load_options(FitOptions, tmp_path / "study" / "front" / f"trial-{one.trial}.yaml")


def test_folds_of_train_and_validation_judge_in_turn(tiny, tmp_path):
    options = small_study(objective={"judge": "folds", "folds": 2}, fresh_seeds=0, ladder=[{}])
    tuned = tune(tiny, config=options, out=tmp_path / "study", trials=2, seed=1)
    labelled = len(tiny.target_rows("train", "val"))
    assert tuned.label_budget["target labels for choosing"] == labelled
    folds = folds_of(tiny.for_training(), ObjectiveOptions(judge="folds", folds=3), seed=0)
    judged = np.concatenate([fold.target_rows("val").object_id for fold in folds])
    assert sorted(judged) == sorted(tiny.target_rows("train", "val").object_id)
    assert all((fold.target_split == 2).sum() == (tiny.target_split == 2).sum() for fold in folds)


def test_a_trial_that_changes_only_the_continuation_reuses_the_mock_grown_trees(tiny):
    space = Space.build(BASE, small_study().space)
    objective = Objective(tiny, space, ObjectiveOptions(), Run(0))
    objective.score_fold(BASE, Rung(), 0)
    rows, kept = objective.caches[0].rows(BASE, 1.0, Run(0))
    before = set(kept)
    objective.score_fold(with_values(BASE, {"continuation.leaves": 4}, "test"), Rung(), 0)
    assert {key[0] for key in set(kept) - before} == {"continue", "anchor"}
    again, _ = objective.caches[0].rows(with_values(BASE, {"boosting.leaves": 4}, "test"), 1.0, Run(0))
    assert again is rows


@pytest.mark.parametrize("features", [{"snr": False}, {"colours": (2,), "ratios": False}])
def test_trap_columns_taken_are_the_bits_of_features_made(tiny, features):
    """Features of a wide recipe, some columns taken, are those that a fit of the narrow one would make."""
    entries = {"features.snr": {"choices": [True, False]}, "features.colours": {"choices": [[1], [2]]}}
    entries["features.ratios"] = {"choices": [True, False]}
    space = Space.build(BASE, small_study(space=entries).space)
    # What sources of the sky show of a shift is measured with the features of the day: left out here.
    wanted = override(BASE, features=BASE.features.model_dump() | features, sky={"pseudo_twins": False})
    cache = RowsCache(tiny.for_training(), space)
    rows, _ = cache.rows(wanted, 1.0, Run(3))
    plain = prepare_rows(tiny, wanted, Run(3)).folds.first.rows
    assert rows.recipe.names == plain.recipe.names and rows.recipe.hash == plain.recipe.hash
    for part in ("source_train", "target_val"):
        np.testing.assert_array_equal(getattr(rows, part).X, getattr(plain, part).X)
    assert take_columns(rows, BASE.features) is None or features == {}


@pytest.mark.parametrize("imaging", [True, False])
def test_columns_taken_without_imaging_hold_no_g_and_z_either(tiny, imaging):
    def lit(one):
        return one.replace(extra={**one.extra, "imaging_G": one.imaging_mag + 1, "imaging_Z": one.imaging_mag - 1})

    data = replace(tiny, source=lit(tiny.source), target=lit(tiny.target))
    space = Space.build(BASE, small_study(space={"features.imaging": {"choices": [True, False]}}).space)
    wanted = override(BASE, features=BASE.features.model_dump() | {"imaging": imaging}, sky={"pseudo_twins": False})
    rows, _ = RowsCache(data.for_training(), space).rows(wanted, 1.0, Run(3))
    plain = prepare_rows(data, wanted, Run(3)).folds.first.rows
    assert rows.recipe.hash == plain.recipe.hash and rows.recipe.options.optional == (("G", "Z") if imaging else ())
    np.testing.assert_array_equal(rows.source_train.X, plain.source_train.X)


@pytest.mark.parametrize("spacings", [(), (2,)])
def test_colours_beside_templates_are_columns_taken_too(tiny, spacings):
    base = override(BASE, features={"lean_colours": (8,)}, sky={"pseudo_twins": False})
    space = Space.build(base, small_study(space={"features.lean_colours": {"choices": [[], [2], [8]]}}).space)
    wanted = with_values(base, {"features.lean_colours": spacings}, "test")
    cache = RowsCache(tiny.for_training(), space)
    wide, _ = cache.rows(base, 1.0, Run(3))
    rows, _ = cache.rows(wanted, 1.0, Run(3))
    plain = prepare_rows(tiny, wanted, Run(3)).folds.first.rows
    assert rows.recipe.hash == plain.recipe.hash != wide.recipe.hash
    np.testing.assert_array_equal(rows.source_train.X, plain.source_train.X)


def test_thin_mocks_keep_objects_whole(tiny):
    rows = make_rows(tiny.for_training(), get_regime("ssda"), BASE, Run(0))
    thin = thin_mocks(rows, 0.25, 0)
    kept = np.unique(thin.source_train.groups)
    assert len(kept) == round(0.25 * len(np.unique(rows.source_train.groups)))
    assert np.isin(rows.source_train.groups, kept).sum() == len(thin.source_train)
    assert len(thin.target_train) == len(rows.target_train)


def test_coarse_boosting_takes_fewer_larger_steps():
    options = coarse(override(BASE, boosting={"learning_rate": 0.1, "rounds": 100, "patience": 20}), 2.0)
    assert (options.boosting.learning_rate, options.boosting.rounds, options.boosting.patience) == (0.2, 50, 10)
    assert coarse(BASE, 1.0) is BASE


@pytest.mark.parametrize(("recipe", "ways"), [("auto", {"continue", "mocks"}), ("pool", {"pool"})])
def test_a_rung_of_one_recipe_tries_it_alone_where_a_fit_tries_all(tiny, recipe, ways):
    """A recipe that the user has settled on is never another on a cheap rung."""
    options = override(BASE, recipe=recipe)
    space = Space.build(options, small_study().space)
    objective = Objective(tiny, space, ObjectiveOptions(), Run(1))

    def trained(rung):
        objective.score_fold(options, rung, 0)
        _, kept = objective.caches[0].rows(options, rung.mocks, Run(1))
        return {key[0] for key in kept} - {"bins", "domain", "anchor"}

    assert trained(Rung(mocks=0.5, recipe="continue")) == ways
    assert trained(Rung(mocks=0.4)) == (ways if recipe == "pool" else {"mocks", "continue", "pool", "stack"})


def test_halving_and_the_median_of_folds():
    assert climbs(0.5, [], 0.4)
    assert climbs(0.2, [0.1, 0.3, 0.4, 0.5], 0.4) and not climbs(0.45, [0.1, 0.3, 0.4, 0.5], 0.4)
    assert not climbs(0.2, [0.1, 0.3], 0.4) and not climbs(float("nan"), [], 0.4)
    assert falls_behind(0.6, [0.1, 0.2, 0.3, 0.4, 0.5]) and not falls_behind(0.2, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert not falls_behind(9.0, [0.1])


def test_the_earliest_that_seeds_do_not_tell_from_the_best_is_kept():
    close, far = [0.30, 0.35, 0.25], [0.40, 0.45, 0.35]
    assert earliest_as_good({9: [0.29, 0.33, 0.27], 4: close, 1: far}) == 4
    assert earliest_as_good({4: far, 9: close}) == 9
    assert earliest_as_good({4: [0.31], 9: [0.30]}) == 9  # one seed tells nothing of its error
    assert earliest_as_good({7: [0.3, 0.3], 2: [0.3, 0.3]}) == 2


@pytest.mark.parametrize("judge", [{}, {"judge": "folds", "folds": 2}])
def test_trials_to_start_with_are_given_all_the_work(tiny, tmp_path, monkeypatch, judge):
    """A cheap rung may be wrong about them, and the user has named them."""
    monkeypatch.setattr("jpas_gbm.tuning.study.climbs", lambda *given: False)
    monkeypatch.setattr("jpas_gbm.tuning.study.falls_behind", lambda *given: True)
    options = small_study(fresh_seeds=0, objective=judge, start=[{}, {"boosting.leaves": 9}])
    tuned = tune(tiny, config=options, out=tmp_path / "study", trials=4)
    assert [row["outcome"] for row in rows_of(tuned)] == ["complete", "complete", "pruned", "pruned"]


def test_a_trial_is_ranked_with_the_latest_on_its_rung():
    """Else every trial would climb once the sampler has learnt, past those drawn at random."""
    early, late = [0.9] * 20, [0.1, 0.2, 0.3, 0.4]
    assert climbs(0.5, early + late, 0.4) and not climbs(0.5, early + late, 0.4, among=4)
    assert climbs(0.15, early + late, 0.4, among=4) and climbs(0.5, early, 0.4, among=4)


@pytest.mark.parametrize("among", [4, 0])
def test_a_study_ranks_by_its_options(tiny, tmp_path, monkeypatch, among):
    seen = []

    def rank(loss, others, keep, among=0):
        seen.append((len(others), keep, among))
        return True

    monkeypatch.setattr("jpas_gbm.tuning.study.climbs", rank)
    options = small_study(fresh_seeds=0, among=among, keep=0.3, start=[])
    tune(tiny, config=options, out=tmp_path / "study", trials=2)
    assert seen == [(0, 0.3, among), (1, 0.3, among)]


def test_recent_forgets_what_was_used_longest_ago():
    recent = Recent(2)
    recent["a"], recent["b"] = 1, 2
    assert recent["a"] == 1
    recent["c"] = 3
    assert "b" not in recent and set(recent) == {"a", "c"}
    recent.clear()
    recent["d"] = recent["e"] = 4
    assert set(recent) == {"d", "e"}


def test_a_trial_that_fails_is_told_and_the_study_goes_on(tiny, tmp_path, monkeypatch):
    plain, calls = Objective.score_fold, []

    def sometimes(self, options, rung, fold):
        calls.append(options)
        if len(calls) == 1:
            raise ValueError("planted")
        return plain(self, options, rung, fold)

    monkeypatch.setattr(Objective, "score_fold", sometimes)
    tuned = tune(tiny, config=small_study(fresh_seeds=0), out=tmp_path / "study", trials=3)
    assert rows_of(tuned)[0]["outcome"] == "failed" and rows_of(tuned)[0]["reason"] == "ValueError: planted"
    assert tuned.counts.counted == 3


def test_all_trials_failed(tiny, tmp_path, monkeypatch):
    def never(self, options, rung, fold):
        raise ValueError("planted")

    monkeypatch.setattr(Objective, "score_fold", never)
    with pytest.raises(FitError, match="all 3 trials failed. The first said: ValueError: planted"):
        tune(tiny, config=small_study(), out=tmp_path / "study", trials=3)
    assert not (tmp_path / "study" / "best.yaml").exists()


def test_a_finite_space_is_exhausted_not_repeated(tiny, tmp_path):
    space = {"features.snr": {"choices": [True, False]}}
    options = small_study(space=space, fresh_seeds=0, ladder=[{}])
    tuned = tune(tiny, config=options, out=tmp_path / "study", trials=5)
    assert tuned.ended == "exhausted" and tuned.counts.counted == 2
    assert any("every combination" in note for note in tuned.notes)
    others = sum(tuned.counts.outcomes.values()) - 2
    said = f"2 trials (numbered, but not counted: {others} repeated) of regime ssda, exhausted; best trial"
    assert others == tuned.trials["trial"].max() - 1 and said in repr(tuned)
    assert f"2 complete) (numbered, but not counted: {others} repeated)" in tuned.lines()[0]


def test_a_regime_that_is_asked_for_goes_over_that_of_the_space(tiny, tmp_path):
    options = small_study(fit={**FIT, "regime": "uda"}, fresh_seeds=0, ladder=[{}])
    with pytest.raises(ConfigError, match="regime 'uda' may not touch target labels"):
        tune(tiny, config=options, out=tmp_path / "study", trials=1)
    assert tune(tiny, regime="target-only", config=options, out=tmp_path / "study", trials=1).regime == "target-only"


@pytest.mark.parametrize("regime", ["uda", "mocks-only"])
def test_a_regime_that_may_not_touch_labels_is_refused(tiny, tmp_path, regime):
    with pytest.raises(ConfigError, match=f"regime '{regime}' may not touch target labels"):
        tune(tiny, regime=regime, config=small_study(), out=tmp_path / "study", trials=1)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("regime", ["target-only", "mocks-calibrated"])
def test_other_regimes(tiny, tmp_path, regime):
    options = small_study(fresh_seeds=0, ladder=[{}])
    tuned = tune(tiny, regime=regime, config=options, out=tmp_path / "study", trials=2)
    assert tuned.regime == regime and tuned.best.loss > 0
    assert any("does not use" in note for note in tuned.notes)


@pytest.mark.parametrize(
    ("changes", "trials", "timeout", "said"),
    [
        ({}, 0, None, "trials 0: is no whole number of 1 or more"),
        ({}, 1, 0, "leaves no time"),
        ({"objective": {"metric": "average_precision", "of_class": "QSO_hi"}}, 1, None, "Did you mean 'QSO_high'"),
        ({"objective": {"metric": "log_loss", "also": "log_loss"}}, 1, None, "which is the first figure already"),
        ({"fit": {"boosting": {"leafs": 3}}}, 1, None, "fit: unknown option 'boosting.leafs'"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(tiny, tmp_path, changes, trials, timeout, said):
    with pytest.raises(ConfigError) as caught:
        tune(tiny, config=small_study(**changes), out=tmp_path / "study", trials=trials, timeout=timeout)
    assert said in str(caught.value)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(("given", "said"), [({"jobs": 1.5}, "jobs 1.5: is no"), ({"seed": "a"}, "seed 'a': is no")])
def test_jobs_and_seeds_are_whole_numbers(tiny, tmp_path, given, said):
    with pytest.raises(ConfigError, match=said):
        tune(tiny, config=small_study(), out=tmp_path / "study", trials=1, **given)
    assert not (tmp_path / "study").exists()


def test_whole_floats_are_numbers_of_trials(tiny, tmp_path):
    options = small_study(fresh_seeds=0, ladder=[{}])
    assert len(tune(tiny, config=options, out=tmp_path / "study", trials=1.0, jobs=1.0, seed=0.0).trials) == 1
