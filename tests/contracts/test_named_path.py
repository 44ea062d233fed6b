"""The mission's path is what a fit without options makes: colours, weights and a continued stage stand in its card."""

import numpy as np
import pytest

import jpas_gbm as jg
from jpas_gbm.config import override
from jpas_gbm.options import FitOptions, SimulateOptions


@pytest.fixture(scope="module")
def fitted():
    """The default recipe and ways, with fewer and coarser trees, and labels enough to stand before prepared mocks."""
    growth = {"rounds": 25, "learning_rate": 0.25, "patience": 0}
    options = override(
        FitOptions(), boosting=growth, continuation={"rounds": 12, "patience": 0}, sky={"realisations": 1}
    )
    data = jg.simulate(
        3, config=SimulateOptions(n_source=2500, n_labelled=3600, n_unlabelled=300, quasar_factor_labelled=4)
    )
    return jg.fit(data, config=options, seed=0)


def test_the_recipe_holds_colours_and_ratios_and_says_what_they_are_worth(fitted):
    path = fitted.card["named path"]
    assert path["colours"] and path["ratios"] and {*path["colours"], *path["ratios"]} <= set(fitted.recipe.names)
    shares = path["share of |SHAP|"]
    assert sum(shares.values()) == pytest.approx(1) and shares["colour"] + shares["ratio"] > 0


def test_mocks_are_weighed_by_the_domain_classifier(fitted):
    weights = fitted.card["named path"]["weights"]
    assert weights["kind"] in ("within", "blind") and weights["gamma"] > 0
    assert 0 < weights["effective_share"] < 1
    assert weights["effective_rows"] == pytest.approx(
        weights["effective_share"] * fitted.card["rows"]["source_train"]["rows"]
    )
    assert "weights of continue(gamma=" in weights["sentence"] and weights["sentence"] in fitted.lines()


def test_a_continued_stage_is_saved(fitted, tmp_path):
    path = fitted.card["named path"]
    assert path["inside"] and len(path["continued"]) == 1
    fitted.save(tmp_path / "m")
    members = [m for m in jg.load(tmp_path / "m").members if m.name == path["candidate"]]
    assert len(members) == 1
    rounds = members[0].booster.stage_rounds
    assert len(rounds) == 2 and min(rounds) > 0
    assert [path["continued"][0]["rounds on mocks"], path["continued"][0]["rounds on sky"]] == list(rounds)


def test_the_page_says_what_the_weights_did(fitted):
    from jpas_gbm.pages.page_tables import card_facts

    words = dict(card_facts(fitted.card))["named path"]
    assert "an effective" in words and "rounds on mocks" in words and "band ratios hold" in words
    assert np.all([sentence[1:] in words for sentence in fitted.card["named path"]["sentences"]])
