"""The domain report: what tells mocks from sky is named, and strata hold every row once."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from jpas_gbm.adaptation import domain_report
from jpas_gbm.adaptation.domain_report import (
    FEWEST,
    Answers,
    coverage,
    feature_facts,
    group_facts,
    stratum_edges,
    weights_facts,
)
from jpas_gbm.adaptation.fit import fit
from jpas_gbm.adaptation.rows import get_regime, make_rows
from jpas_gbm.adaptation.stages import Stages
from jpas_gbm.adaptation.weights import DomainWeights
from jpas_gbm.config import override
from jpas_gbm.run import Run

CLASSES = ("QSO", "STAR")


@pytest.fixture(scope="module")
def ssda(tiny, quick_options):
    return fit(tiny, config=override(quick_options, recipe="continue"), seed=3)


@pytest.fixture(scope="module")
def rows(tiny, quick_options):
    return make_rows(tiny.for_training(), get_regime("ssda"), quick_options, Run(1))


@pytest.fixture
def stages(rows, quick_options):
    return Stages(rows, quick_options, Run(0))


def answers(n, rng):
    y = rng.integers(0, 2, n).astype(np.int8)
    p = rng.dirichlet([1, 1], n)
    return Answers(y, p, np.arange(n), CLASSES)


def planted(stages, name):
    """The stages with one feature replaced by noise that the sky has one sigma higher."""
    rng = np.random.default_rng(0)
    place = stages.rows.recipe.names.index(name)
    changed = {}
    for part in ("source_train", "unlabelled", "target_train", "target_val"):
        its = getattr(stages.rows, part)
        X = its.X.copy()
        X[:, place] = rng.normal(part != "source_train", 1, len(X))
        changed[part] = replace(its, X=X)
    return replace(stages, rows=replace(stages.rows, **changed))


def test_strata_hold_every_row_once_and_average_to_the_whole():
    rng = np.random.default_rng(0)
    odds, mocks = rng.normal(1, 1, 503), rng.normal(-1, 1, 900)
    told = answers(503, rng)
    found = coverage(odds, mocks, told, seed=1)
    strata = found["strata"]
    n = np.array([one["n"] for one in strata])
    assert len(strata) == 5 and n.sum() == found["n"] == 503 and np.ptp(n) <= 2
    assert sum(one["mocks"] for one in strata) == found["mocks"] == 900
    assert strata[0]["mocks"] > strata[-1]["mocks"]
    for name in CLASSES:
        assert sum(one["classes"][name] for one in strata) == found["classes"][name]
    for figure in ("log_loss", "accuracy"):
        assert n @ [one[figure] for one in strata] / n.sum() == pytest.approx(found[figure])
    for one, after in pairwise(strata):
        assert one["p_sky"][1] < after["p_sky"][0]
    for one in [*strata, found]:
        assert one["interval"][0] < one["log_loss"] < one["interval"][1]
        assert (
            all(low < one[name] < high for name, (low, high) in one["intervals"].items()) and len(one["intervals"]) == 2
        )


def test_a_part_of_the_sky_without_mocks_is_seen():
    odds = np.concatenate([np.linspace(-2, 0, 80), np.linspace(3, 4, 20)])
    assert coverage(odds, np.linspace(-3, 1, 50))["strata"][-1]["mocks"] == 0


def test_rows_of_equal_odds_stay_together():
    odds = np.repeat([0.0, 1.0], [150, 50])
    assert [one["n"] for one in coverage(odds, np.zeros(3))["strata"]] == [150, 50]
    assert [one["n"] for one in coverage(np.zeros(200), np.zeros(3))["strata"]] == [200]
    for seed in range(20):
        few = np.random.default_rng(seed).integers(0, 4, 130).astype(float)
        place = np.searchsorted(stratum_edges(few), few, side="right")
        assert np.bincount(place).min() > 0


def test_few_rows_make_few_strata():
    rng = np.random.default_rng(0)
    for n, count in ((1, 1), (FEWEST, 1), (2 * FEWEST, 2), (5 * FEWEST, 5), (500, 5)):
        found = coverage(rng.normal(size=n), np.zeros(1), answers(n, rng))
        assert len(found["strata"]) == count
    alone = coverage(np.zeros(1), np.zeros(1), answers(1, rng))
    assert alone["interval"] is None and alone["intervals"] == {"accuracy": None, "macro_f1": None}


def test_a_stratum_of_one_class_has_figures():
    odds = np.linspace(-1, 1, 100)
    y = (odds > 0).astype(np.int8)
    p = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    first = coverage(odds, odds, Answers(y, p, np.arange(100), CLASSES))["strata"][0]
    assert first["classes"] == {"QSO": 20, "STAR": 0}
    assert first["macro_f1"] == 1 and first["log_loss"] == pytest.approx(-np.log(0.9))


def test_a_feature_that_tells_domains_and_not_classes_is_named(stages):
    name = "colour1_J0790_J0800"
    false = planted(stages, name)
    found = feature_facts(false, seed=0)
    assert found["domain_only"][0]["feature"] == name == found["top"][0]["feature"]
    assert found["top"][0]["domain"] == pytest.approx(0.76, abs=0.04)
    assert name not in {one["feature"] for one in feature_facts(stages, seed=0)["domain_only"]}


def test_the_group_of_that_feature_tells_domains(stages):
    false = planted(stages, "colour1_J0790_J0800")
    found = group_facts(false, seed=0)
    assert set(found) == set(stages.rows.recipe.groups.values())
    assert found["colour"]["auc"] > 0.7 > found["flux"]["auc"]
    told = {entry["stage"]: entry for entry in false.run.entries}
    for group, one in found.items():
        entry = told[f"domain classifier: {group} features alone"]
        assert entry["auc"] == pytest.approx(one["auc"], abs=1e-4) and entry["seconds"] >= 0


def test_imaging_that_the_fit_itself_forgets_tells_nothing(stages):
    """Half of the training rows lose their imaging; compared as they are, that alone would give mocks away."""
    imaging = [i for i, group in enumerate(stages.rows.recipe.groups.values()) if group == "imaging"]
    known = {len(part): np.isfinite(part.X[:, imaging]).any(axis=1).mean() for part in stages.skies}
    assert all(0.4 < share < 0.6 for share in known.values())
    assert np.isfinite(stages.rows.target_val.X[:, imaging]).any(axis=1).mean() > 0.9
    assert group_facts(stages, seed=0)["imaging"]["auc"] < 0.55


def test_constant_features_and_few_objects_have_no_group(stages):
    parts = {
        part: replace(its, X=np.ones_like(its.X))
        for part in ("source_train", "unlabelled", "target_train", "target_val")
        if (its := getattr(stages.rows, part))
    }
    options = override(stages.options, sky=stages.options.sky.model_dump() | {"forget_imaging": 0.0})
    flat = replace(stages, rows=replace(stages.rows, **parts), options=options)
    assert group_facts(flat, seed=0) == {}
    assert {one["domain"] for one in feature_facts(flat, seed=0)["top"]} == {0.5}
    few = replace(stages.rows, source_train=stages.rows.source_train.take(np.arange(10)))
    assert group_facts(replace(stages, rows=few), seed=0) == {}


def test_clipped_and_effective_shares_of_weights():
    odds = np.concatenate([np.zeros(990), np.full(10, 8.0)])
    domain = DomainWeights(odds, odds, 0.5, 20.0, np.zeros(0))
    found = weights_facts(domain, {0.0: True, 0.25: True, 1.0: False})
    assert list(found) == ["0.25", "1"]
    assert found["1"]["clipped"] == pytest.approx(0.01) and found["0.25"]["clipped"] == 0
    assert found["1"]["largest"] == pytest.approx(20, rel=0.05) and not found["1"]["used"]
    weights = domain.weights(0.25)
    assert found["0.25"]["effective_rows"] == pytest.approx(weights.sum() ** 2 / np.square(weights).sum())
    assert found["0.25"]["quantiles"]["0.5"] == pytest.approx(weights[0])


def test_the_card_and_the_terminal_tell_it(tiny, ssda):
    found = ssda.card["domain"]
    val = int((tiny.target_rows("val").label >= 0).sum())
    assert found["coverage"]["n"] == sum(one["n"] for one in found["coverage"]["strata"]) == val
    assert found["coverage"]["log_loss"] > 0 and found["features"]["labels"] == "sky"
    assert set(found["groups"]) == set(ssda.recipe.groups.values())
    assert found["effective_share"]["0"] == 1 and list(found["weights"]) == ["0.25"]
    told = ssda.lines()
    assert any(line.startswith(f"mocks against sky: domain AUC {found['auc']:.3f}") for line in told)
    assert list(found["steps"]) == ["as they are", "noise and gaps of the sky", "measured shift"]
    assert found["steps"]["as they are"] > found["steps"]["measured shift"] + 0.05
    assert any(f"(on a sample {found['steps']['as they are']:.2f} as they are, then" in line for line in told)
    worst = max(one["log_loss"] for one in found["coverage"]["strata"])
    assert any("of target validation: P(sky)" in line and f"{worst:.4f} against" in line for line in told)


def test_without_labels_of_the_sky_there_are_strata_and_no_scores(tiny, quick_options):
    found = fit(tiny, config=override(quick_options, regime="uda"), seed=3).card["domain"]
    assert found["features"]["labels"] == "mocks"
    assert "log_loss" not in found["coverage"] and "log_loss" not in found["coverage"]["strata"][0]
    assert len(found["lines"]) == 1 and found["weights"]["0.25"]["used"]


def test_without_tempers_nothing_is_trained_or_told(tiny, quick_options):
    domain = override(quick_options.domain, gammas=(0.0,), uda_gamma=0.0)
    fitted = fit(tiny, config=override(quick_options, recipe="continue", domain=domain.model_dump()), seed=3)
    assert fitted.card["domain"] == {"gammas": [0.0]}
    assert not any(entry["stage"].startswith("domain") for entry in fitted.card["trainings"])
    assert not any("mocks against sky" in line for line in fitted.lines())


def test_a_report_that_fails_does_not_fail_the_fit(tiny, quick_options, monkeypatch, ssda):
    def broken(*args):
        raise ValueError("planted")

    monkeypatch.setattr(domain_report, "coverage", broken)
    fitted = fit(tiny, config=override(quick_options, recipe="continue"), seed=3)
    assert any("the domain report is not whole" in note and "planted" in note for note in fitted.card["notes"])
    rows = tiny.target_rows("test")
    np.testing.assert_array_equal(fitted.probabilities(rows), ssda.probabilities(rows))


@pytest.mark.parametrize("spread", [0.5, 3.0, 8.0, 100.0, np.inf])
@pytest.mark.parametrize("clip", [1.5, 5.0, 20.0])
def test_no_weight_exceeds_the_clip_and_their_mean_is_one(spread, clip):
    odds = np.random.default_rng(4).normal(size=2000) * (spread if np.isfinite(spread) else 8.0)
    if np.isinf(spread):
        odds[:3], odds[3:9] = np.inf, -np.inf
    weights = DomainWeights(odds, odds, 0.9, clip, odds).weights(1.0)
    assert weights.max() <= clip and weights.min() >= 0
    assert weights.mean() == pytest.approx(1, abs=1e-9)
    # The order of the odds stays; those below the cut keep their ratios.
    assert (np.diff(weights[np.argsort(odds)]) >= 0).all()
    low = np.flatnonzero((weights < weights.max()) & (np.abs(odds) < 300))[:2]
    if len(low) == 2:
        assert weights[low[0]] / weights[low[1]] == pytest.approx(np.exp(odds[low[0]] - odds[low[1]]), rel=1e-6)
