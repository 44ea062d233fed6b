"""Every regime fits, keeps to what it may touch, and gives the same model for the same seed."""

import json
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import yaml

from jpas_gbm.adaptation.choosing import Choice, Entrant, Scored, Scores, choose
from jpas_gbm.adaptation.fit import finish, fit, fit_options, fit_rows, fitted_with, prepare_rows, refit, score, train
from jpas_gbm.adaptation.folds import Folds
from jpas_gbm.adaptation.rows import Rows, counted_rows, get_regime
from jpas_gbm.adaptation.shipped_ways import Continue, Pool, Target
from jpas_gbm.boosting.matrix import UnseenMissingWarning
from jpas_gbm.boosting.training import BinnedMatrix
from jpas_gbm.config import load_options, override
from jpas_gbm.errors import BundleError, ConfigError, FeatureMismatch, FitError
from jpas_gbm.model import Model
from jpas_gbm.options import BACKENDS, FitOptions
from jpas_gbm.predictions import is_bare
from jpas_gbm.run import Run
from jpas_gbm.store import dump_json
from jpas_gbm.surveys.bands import Band, BandSystem


@pytest.fixture(scope="module")
def ssda(tiny, quick_options):
    return fit(tiny, config=quick_options, seed=3)


@pytest.fixture(scope="module")
def calibrated(tiny, quick_options):
    """A fit of all that a fit does but for candidates, in a sixth of its time."""
    return fit(tiny, config=override(quick_options, regime="mocks-calibrated"), seed=3)


@pytest.mark.parametrize("regime", ["mocks-only", "mocks-calibrated", "target-only", "uda"])
def test_every_regime_fits(tiny, quick_options, calibrated, regime):
    if regime == "mocks-calibrated":
        fitted = calibrated
    else:
        fitted = fit(tiny, config=override(quick_options, regime=regime), seed=3)
    p = fitted.probabilities(tiny.target_rows("test"))
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert fitted.card["regime"] == regime
    trained = {entry["stage"] for entry in fitted.card["trainings"]}
    assert any(stage.startswith("trees: mocks") for stage in trained) == get_regime(regime).source
    assert ("features: target, train" in trained) == get_regime(regime).target_labels
    # Doubt of rows unlike those that trained costs rows of the sky next to nothing.
    sure = replace(fitted, overlap=replace(fitted.overlap, strength=0.0)).probabilities(tiny.target_rows("test"))
    cost = (sure * np.log(np.maximum(sure, 1e-300) / np.maximum(p, 1e-300))).sum(axis=1).mean()
    assert 0 <= cost <= -0.003 * (sure * np.log(np.maximum(sure, 1e-300))).sum(axis=1).mean()


def test_trees_that_a_fit_tries_do_not_warn_of_what_they_fill(monkeypatch):
    """Each of many trainings told of its own rows, with a line of the package's own code."""

    def prepare(*given):
        warnings.warn("20 of 1,840 rows miss 1 feature", UnseenMissingWarning, stacklevel=1)
        raise FitError("enough")

    monkeypatch.setattr("jpas_gbm.adaptation.fit.prepare_rows", prepare)
    with warnings.catch_warnings(record=True) as told, pytest.raises(FitError, match="enough"):
        warnings.simplefilter("always")
        fit_rows(None, FitOptions(), Run())
    assert not told


def test_better_than_chance(tiny, ssda):
    test = tiny.target_rows("test")
    assert (ssda.decide(ssda.probabilities(test)) == test.label).mean() > 0.85


def test_the_card_says_what_was_tried(ssda):
    card = ssda.card
    named = {one["candidate"] for one in card["candidates"] + card["baselines"]}
    assert {"continue(gamma=0)", "continue(gamma=0.25)", "stack(gamma=0)", "pool(weight=3)", "target"} <= named
    assert card["verdict"]["sentence"] and card["rule"]
    assert all(entry["seconds"] >= 0 for entry in card["trainings"])
    assert card["calibration"]["by brightness"]["cut"] == 22.5 and ssda.brightness is not None
    assert card["label_budget"]["target labels for trees"] == card["rows"]["target_train"]["rows"]
    assert any(line.startswith("regime ssda") for line in ssda.lines())


def test_same_seed_same_bits_and_another_seed_others(tiny, quick_options, ssda):
    rows = tiny.target_rows("test")
    again = fit(tiny, config=quick_options, seed=3)
    np.testing.assert_array_equal(again.probabilities(rows), ssda.probabilities(rows))
    other = fit(tiny, config=quick_options, seed=4)
    assert not np.array_equal(other.probabilities(rows), ssda.probabilities(rows))


def test_test_labels_are_never_read(tiny, quick_options, ssda):
    """Labels of the test split replaced by poison leave the model as it was, bit for bit."""
    label = np.array(tiny.target.label)
    held = tiny.target_split == 2
    label[held] = np.random.default_rng(0).permutation(label[held])
    poisoned = replace(tiny, target=tiny.target.replace(label=label))
    rows = tiny.target_rows("test")
    np.testing.assert_array_equal(
        fit(poisoned, config=quick_options, seed=3).probabilities(rows), ssda.probabilities(rows)
    )


def test_nothing_is_trained_twice(ssda):
    stages = [entry["stage"] for entry in ssda.card["trainings"] if entry["stage"].startswith(("trees", "continued"))]
    plain = sum(stage == "trees: mocks, lightgbm, gamma 0" for stage in stages)
    # Mocks as they are, prepared by twins and by unlabelled sources, and again unprepared where preparing did not help.
    assert plain <= 4
    others = [stage for stage in stages if stage != "trees: mocks, lightgbm, gamma 0"]
    assert len(others) == len(set(others))


def test_a_baseline_whose_mocks_were_let_go_is_finished_as_if_they_were_not(tiny, quick_options, monkeypatch):
    def finished():
        rows = prepare_rows(tiny, override(quick_options, recipe="continue"), Run.start(3, 1))
        assert rows.plain is not None and rows.plain is not rows.folds
        trained = train(rows)
        scores = score(trained)
        kept = next(one for one in scores.baselines if one.entrant.folds is rows.plain)
        return rows.plain.first, finish(trained, Choice(kept), scores)

    stages, fitted = finished()
    assert len(stages.rows.source_train) and not len(stages.rows.source_train.X)
    assert not any(isinstance(one, BinnedMatrix) for one in stages.kept.values())
    monkeypatch.setattr(Folds, "without_mocks", lambda folds, again: folds)
    stages, held = finished()
    assert len(stages.rows.source_train.X)
    np.testing.assert_array_equal(fitted.probabilities(tiny.target), held.probabilities(tiny.target))
    np.testing.assert_array_equal(fitted.overlap.components, held.overlap.components)


def test_a_model_folder_predicts_the_same_bits(tiny, ssda, tmp_path):
    ssda.save(tmp_path / "model")
    back = Model.load(tmp_path / "model")
    rows = tiny.target_rows("test")
    np.testing.assert_array_equal(back.probabilities(rows), ssda.probabilities(rows))
    assert back.classes == ssda.classes and back.rule == ssda.rule
    assert not list((tmp_path / "model").rglob("*.pkl"))


def test_a_changed_model_folder_is_refused(ssda, tmp_path):
    ssda.save(tmp_path / "model")
    path = next((tmp_path / "model" / "boosters").rglob("*.txt"))
    path.write_text(path.read_text() + " ")
    with pytest.raises(BundleError, match="does not match its checksum"):
        Model.load(tmp_path / "model")


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(BundleError, match="is no model folder .*jpas-gbm fit"):
        Model.load(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 99}')
    with pytest.raises(BundleError, match="model of format 99, this version reads"):
        Model.load(tmp_path)


def test_another_survey_is_refused(tiny, ssda):
    rows = tiny.target_rows("test")
    with pytest.raises(FeatureMismatch, match="the catalogue has FLUX_PSFCOR. Refusing to predict"):
        ssda.probabilities(rows.replace(photometry="FLUX_PSFCOR"))
    few = BandSystem("few", tuple(Band(f"B{i}", 4000 + i, 10) for i in range(len(rows.bands))))
    with pytest.raises(FeatureMismatch, match="need 55 bands"):
        ssda.probabilities(rows.replace(bands=few))


def test_permuted_bands_are_put_in_order(tiny, ssda):
    rows = tiny.target_rows("test")
    turned = rows.select_bands(rows.bands.subset(rows.bands.names[::-1], "turned"))
    np.testing.assert_array_equal(ssda.probabilities(turned), ssda.probabilities(rows))


def test_an_unknown_regime_is_named():
    with pytest.raises(ConfigError, match="unknown regime 'sdsa'. Did you mean 'ssda'"):
        get_regime("sdsa")


def test_an_ensemble_over_seeds_and_libraries(tiny, quick_options):
    options = override(quick_options, recipe="continue", seeds=2, backends=("lightgbm", "xgboost"))
    fitted = fit(tiny, config=options, seed=1)
    assert len(fitted.members) == 4
    rows = tiny.target_rows("test")
    p, spread = fitted.with_spread(fitted.features(rows).X, is_bare(rows))
    np.testing.assert_array_equal(fitted.widen(p, rows), fitted.probabilities(rows))
    assert spread.min() >= 0 and spread.max() > 0


def test_no_validation_labels_is_an_error(tiny, quick_options):
    split = np.array(tiny.target_split)
    split[split == 1] = 0
    with pytest.raises(FitError, match="labelled target rows of the validation split, and there are none"):
        fit(replace(tiny, target_split=split), config=quick_options)


def test_the_door_takes_a_folder_a_file_and_names(tiny, quick_options, calibrated, tmp_path):
    """A data set's folder, a file of options and keywords make the model that values make."""
    tiny.save(tmp_path / "data")
    written = yaml.safe_dump(quick_options.model_dump(mode="json") | {"regime": "uda", "seeds": 2})
    (tmp_path / "quick.yaml").write_text(written, encoding="utf-8")
    model = fit(tmp_path / "data", regime="mocks-calibrated", config=tmp_path / "quick.yaml", seeds=1, seed=3)
    rows = tiny.target_rows("test")
    np.testing.assert_array_equal(model.probabilities(rows), calibrated.probabilities(rows))
    assert model.card["provenance"]["options"] == calibrated.card["provenance"]["options"]


def test_options_of_a_fit_by_regime_name_and_value():
    assert fit_options() == FitOptions()
    assert fit_options(regime="uda") == FitOptions(regime="uda")
    assert fit_options(regime="mocks-only") == load_options(FitOptions, "mocks_only")
    assert fit_options("compare", "target-only", crossfit=3).crossfit == 3
    for wrong, said in (
        ({"regime": "sdsa"}, "unknown regime 'sdsa'. Did you mean 'ssda'"),
        ({"config": FitOptions(regime="magic")}, "unknown regime 'magic'. Allowed: mocks-only"),
        ({"config": FitOptions(recipe="stak")}, "'recipe' has the unknown value 'stak'. Did you mean 'stack'"),
    ):
        with pytest.raises(ConfigError, match=said):
            fit_options(**wrong)


@pytest.mark.parametrize("options", [{"boosting": {"backend": "catboost"}}, {"backends": ["lightgbm", "catboost"]}])
def test_a_library_that_is_not_installed_is_named_before_anything_is_read(monkeypatch, options):
    monkeypatch.setitem(sys.modules, "catboost", None)
    monkeypatch.delitem(sys.modules, "jpas_gbm.boosting.backends.catboost", raising=False)
    monkeypatch.setattr(BACKENDS, "_things", {k: v for k, v in BACKENDS._things.items() if k != "catboost"})
    with pytest.raises(ConfigError, match="which is not installed"):
        fit_options(options)


def test_a_recipe_is_fitted_again_with_another_seed(tiny, calibrated):
    rows = tiny.target_rows("test")
    np.testing.assert_array_equal(refit(calibrated, tiny, seed=0).margins(rows), calibrated.margins(rows))
    other = refit(calibrated, tiny, seed=1)
    assert other.card["provenance"]["seed"] == 4
    assert not np.array_equal(other.margins(rows), calibrated.margins(rows))
    with pytest.raises(FitError, match="card does not say with which options and seed"):
        refit(replace(calibrated, card={}), tiny, seed=1)


def test_choosing_is_a_pure_function_of_scores():
    """The least loss wins; with a baseline, only if the paired interval lies below zero."""
    rng = np.random.default_rng(0)
    base = rng.exponential(1, 400)

    def scored(candidate, losses):
        return Scored(Entrant(candidate, None), np.zeros((400, 2)), losses, float(losses.mean()), 0.5)

    better, worse = scored(Pool(3.0), base - 0.1), scored(Continue(0.25), base + 0.1)
    even = scored(Target(), base + rng.normal(0, 1e-3, 400))
    groups, counted = np.arange(400), np.ones(400, dtype=bool)
    alone = choose(Scores((worse, better), (), groups, counted, 0))
    assert alone.kept is better and alone.verdict is None
    gain = choose(Scores((worse, better), (even,), groups, counted, 0))
    assert gain.kept is better and gain.verdict.adapted and "pool(weight=3)" in gain.verdict.sentence
    loss = choose(Scores((worse,), (even, better), groups, counted, 0))
    assert loss.kept is better and not loss.verdict.adapted and "keeps pool(weight=3)" in loss.verdict.sentence


@pytest.mark.parametrize("regime", ["ssda", "mocks-only"])
def test_a_cut_that_no_row_meets_is_refused_before_anything_is_trained(tiny, quick_options, regime):
    told = []
    with pytest.raises(
        FitError, match=r"cut 3: no row that judges has a magnitude so bright; they reach from 1\d\.\d\d"
    ):
        fit(
            tiny, regime=regime, config=override(quick_options, cut=3), progress=lambda stage, *more: told.append(stage)
        )
    assert not any(stage.startswith("trees") for stage in told)


def test_rows_without_magnitude_count_and_no_cut_counts_all():
    rows = Rows(np.zeros((3, 1)), np.zeros(3), np.arange(3), np.array([20.0, np.nan, 24.0]))
    assert counted_rows(rows, 22.5).tolist() == [True, True, False]
    assert counted_rows(rows, None).all()
    assert counted_rows(rows.take([1]), 3.0).all()


def test_a_card_of_a_fit_without_cut_can_be_fitted_again(tiny, quick_options):
    options = override(override(quick_options, regime="target-only"), crossfit=0).model_dump() | {"cut": float("inf")}
    model = fit(tiny, config=options, seed=3)
    card = json.loads(dump_json(model.card))
    card["provenance"]["options"]["continuation"]["backend"] = "lightgbm"  # as cards of before had it
    assert fitted_with(replace(model, card=card))[0].cut is None


def test_pseudo_labels_need_rows_without_a_label(tiny, quick_options):
    labelled = np.flatnonzero(tiny.target.label >= 0)
    bare = replace(tiny, target=tiny.target.take(labelled), target_split=tiny.target_split[labelled])
    with pytest.raises(FitError, match=r"^pseudo_weight 0.5: every target row has a label"):
        fit(bare, regime="ssda", config=override(quick_options, pseudo_weight=0.5))
    assert fit(bare, regime="uda", config=override(quick_options, pseudo_weight=0.5)).card["regime"] == "uda"
