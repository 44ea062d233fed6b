"""A tuning study on the page: its trials, what mattered, and how honest its best score is."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from jpas_gbm.config import override, parse_options
from jpas_gbm.errors import BundleError
from jpas_gbm.options import TuneOptions
from jpas_gbm.pages.figures.plates import RULES
from jpas_gbm.pages.figures.tuning import (
    front_figure,
    history_figure,
    importances_figure,
    log_ticks,
    loss_limits,
    slice_figure,
)
from jpas_gbm.pages.html import render_page
from jpas_gbm.pages.page import doubts, found_sentences, make_page, missing_parts
from jpas_gbm.pages.results import Results, read_results
from jpas_gbm.pages.tuning_section import study_facts, study_plates, values_table
from jpas_gbm.store import read_json
from jpas_gbm.text import MINUS, number, span
from jpas_gbm.tuning.result import Study
from jpas_gbm.tuning.tune import tune

GROWTH = {"rounds": 8, "leaves": 5, "learning_rate": 0.4, "patience": 0}
OPTIONS = {
    "startup": 4,
    "fresh_seeds": 2,
    "finalists": 2,
    "ladder": [{"mocks": 0.5, "coarseness": 2}, {}],
    "start": [{}],
    "fit": {
        "recipe": "continue",
        "features": {"templates": False, "lines": False, "colours": [1]},
        "sky": {"paired_repair": False, "forget_imaging": 0.1, "realisations": 1},
        "boosting": GROWTH,
        "continuation": GROWTH,
        "domain": {"rounds": 5, "folds": 2, "gammas": [0.0]},
        "calibration": {"method": "vector", "shrinkage": [0.01], "folds": 3},
    },
    "space": {
        "boosting.leaves": {"low": 3, "high": 12},
        "continuation.learning_rate": {"low": 0.05, "high": 0.4, "log": True},
        "features.snr": {"choices": [True, False]},
        "domain.gammas": {"choices": [[0.0], [0.25]]},
    },
}


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """A study as the verb leaves it."""
    place = tmp_path_factory.mktemp("tuned") / "night"
    tune(tiny, config=parse_options(TuneOptions, OPTIONS, "small"), out=place, trials=8, seed=5)
    return place


@pytest.fixture(scope="module")
def told(folder) -> dict[str, Any]:
    return read_json(folder / "tuning.json")


@pytest.fixture(scope="module")
def study(folder) -> Study:
    return Study.load(folder)


@pytest.fixture
def ax():
    with rc_context(RULES):
        yield Figure(figsize=(4.6, 3.3), layout="constrained").subplots()


def changed(told, **values) -> Study:
    return Study.model_validate(copy.deepcopy(told) | values | {"name": "night"})


def lines(ax) -> dict[str, np.ndarray]:
    return {line.get_label(): np.column_stack(line.get_data()) for line in ax.get_lines()}


def two_figures(told) -> dict[str, Any]:
    """The study as if two figures had been made small."""
    made = copy.deepcopy(told)
    made["metrics"] = ["log_loss", "average_precision"]
    for one in made["history"]:
        if one["losses"]:
            one["losses"] = [one["losses"][0], 1 - one["losses"][0]]
    done = [one for one in made["history"] if one["losses"]]
    made["front"] = [{"trial": one["trial"], "losses": one["losses"], "values": {}} for one in done]
    return made


def test_history_has_every_trial_once_at_its_losses(told, study, ax):
    assert history_figure(study, ax) is ax
    found = lines(ax)
    done = [(one["trial"], one["losses"][0]) for one in told["history"] if one["losses"]]
    assert found["all the work"].tolist() == pytest.approx(np.array(done))
    given_up = [(one["trial"], one["steps"]["0"]) for one in told["history"] if one["outcome"] == "pruned"]
    assert found["first step, then given up"].tolist() == pytest.approx(np.array(given_up))
    assert len(found["first step"]) == len(done)
    assert found["best so far"][-1, 1] == min(loss for _, loss in done)
    assert found["best trial"].tolist() == [[told["best"]["trial"], told["best"]["loss"]]]
    assert sorted(found["over fresh seeds"][:, 1]) == pytest.approx(
        sorted(one["mean"] for one in told["fresh"]["finalists"])
    )
    assert set(found["untuned fit"][:, 1]) == {told["default"]["loss"]}


def test_history_marks_what_failed_and_what_lies_above(told, ax):
    made = copy.deepcopy(told)
    made["history"][3] |= {"outcome": "failed", "losses": None, "steps": {}}
    made["history"][4] |= {"outcome": "pruned", "losses": None, "steps": {"0": 50.0}}
    history_figure(Study.model_validate(made), ax)
    assert lines(ax)["failed"][:, 0].tolist() == [made["history"][3]["trial"]]
    arrows = [line for line in ax.get_lines() if line.get_marker() == "^"]
    assert [line.get_xdata()[0] for line in arrows] == [made["history"][4]["trial"]]
    assert ax.get_ylim()[1] < 50


def test_a_study_of_one_step_has_no_first_steps(told, ax):
    made = copy.deepcopy(told)
    made["history"] = [one | {"steps": {"0": one["losses"][0]}} for one in made["history"] if one["losses"]]
    study = changed(told, history=made["history"])
    history_figure(study, ax)
    assert "trial" in lines(ax) and "first step" not in lines(ax)
    assert "first" not in study_plates(study)[0].caption


@pytest.mark.parametrize(("ladder", "said"), [({}, "latest 10 trials"), ({"among": 0}, "of the trials")])
def test_the_caption_says_among_how_many_a_step_chooses(told, ladder, said):
    caption = study_plates(changed(told, ladder=told["ladder"] | ladder))[0].caption
    assert "the best 35 %" in caption and f"{said.removeprefix('of the ')} there go on" in caption
    assert ("latest" in caption) == ("latest" in said)


def test_importances_have_a_bar_each_the_largest_first(told, study, ax):
    importances_figure(study, ax)
    widths = [patch.get_width() for patch in ax.patches]
    assert widths == pytest.approx([100 * share for share in told["importances"].values()])
    assert widths == sorted(widths, reverse=True) and sum(widths) == pytest.approx(100)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(told["importances"])


@pytest.mark.parametrize("option", list(OPTIONS["space"]))
def test_slices_have_every_trial_on_axes_as_the_space_says(told, study, ax, option):
    plate = next(one for one in study_plates(study) if one.key == "slices")
    result = next(panel.result for panel in plate.panels if panel.result.option == option)
    slice_figure(result, ax)
    assert sum(len(points) for points in lines(ax).values()) == len(study.slices[option])
    star = lines(ax)["best trial"]
    best = next(one for one in study.slices[option] if one.trial == study.best.trial)
    assert star[0, 1] == best.first
    assert ax.get_xscale() == ("log" if option == "continuation.learning_rate" else "linear")
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    if option == "features.snr":
        assert ticks == ["true", "false"] and round(star[0, 0]) == [True, False].index(best.values[option])
    if option == "domain.gammas":
        assert ticks == ["[0.0]", "[0.25]"]
        places = {round(x) for points in lines(ax).values() for x in points[:, 0]}
        assert places == {["[0.0]", "[0.25]"].index(one.values[option]) for one in study.slices[option]}


@pytest.mark.parametrize(("low", "high", "some"), [(0.03, 0.16, 0.05), (1e-3, 1, 0.1), (6, 32, 10), (2, 2.5, 2)])
def test_log_axes_have_a_few_round_numbers_within(low, high, some):
    ticks = log_ticks(low, high)
    assert 3 <= len(ticks) <= 7 and some in ticks and low <= min(ticks) and max(ticks) <= high


def test_a_few_hopeless_trials_do_not_stretch_the_range():
    low, high = loss_limits([0.045, 0.046, 0.047, 0.048, 9.0])
    assert low < 0.045 and 0.048 < high < 0.1
    low, high = loss_limits([0.3, 0.3])
    assert low < 0.3 < high


def test_front_is_drawn_where_there_is_one(told, study, ax):
    front_figure(study, ax)
    assert "no front" in ax.texts[0].get_text()
    assert "front" not in [plate.key for plate in study_plates(study)]
    made = Study.model_validate(two_figures(told))
    ax.clear()
    front_figure(made, ax)
    points = lines(ax)["Pareto front"]
    assert (np.diff(points[:, 0]) >= 0).all() and len(points) == len(made.front)
    assert ax.get_ylabel() == f"1 {MINUS} average precision of QSO_high"
    plate = next(plate for plate in study_plates(made) if plate.key == "front")
    assert f"trial {made.front[0].trial} " in plate.alt


def test_page_tells_the_honest_line(told, folder):
    results = read_results([folder])
    page = make_page(results)
    html = render_page(page)
    facts = dict(study_facts(results.all(Study)[0]))
    best, fresh, default = told["best"], told["fresh"], told["default"]
    assert f"{number(best['loss'], 4)} {span(best['interval'], 4)}" in facts["best score"]
    assert number(fresh["mean"], 4) in facts["the same options, fresh seeds"]
    assert f"optimism of the seed {number(fresh['optimism'], 4, sign=True)}" in facts["the same options, fresh seeds"]
    assert "of the 2 best, the earliest that fresh seeds do not tell from the lowest" in facts["best score"]
    assert all(f"trial {one['trial']}, " in facts["finalists"] for one in fresh["finalists"])
    gap = f"{number(default['difference'], 4, sign=True)} {span(default['interval'], 4, sign=True)}"
    assert gap in facts["against the untuned fit"]
    assert (
        f"{told['rows_judged']:,} sky sources of the validation split, with r (Legacy Surveys) ≤ 22.5"
        in facts["rows that judged"]
    )
    assert f"{told['label_budget']['target labels for trees']:,} target labels for trees" in facts["labels used"]
    assert all(words in html for words in (*facts.values(), "only unbiased score"))
    assert gap in " ".join(found_sentences(results))
    assert [section.key for section in page.sections] == ["summary", "tuning", "provenance", "missing"]
    assert page.banner.startswith("Simulated data")
    assert not any("tuning study" in gap for gap in missing_parts(results))


def test_figures_have_words(study):
    plates = study_plates(study, "tuning-")
    assert [plate.key for plate in plates] == ["tuning-history", "tuning-importances", "tuning-slices"]
    for plate in plates:
        assert "8 trials of regime ssda" in plate.caption and "seed 5" in plate.caption
        assert "validation split, with r (Legacy Surveys) ≤ 22.5" in plate.caption
        assert len(plate.alt) > 40
    assert "50 % of the mocks and learning rates times 2" in plates[0].caption
    rungs = tuple(override(rung, recipe="continue") for rung in study.ladder.rungs)
    ladder = replace(study.ladder, rungs=rungs)
    caption = study_plates(study.model_copy(update={"ladder": ladder}))[0].caption
    assert "50 % of the mocks, learning rates times 2 and recipe continue alone" in caption


def test_table_sets_the_best_values_beside_the_space(told, study):
    table = values_table(study)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert list(rows) == list(told["importances"])
    assert rows["boosting.leaves"][:3] == [str(told["best"]["values"]["boosting.leaves"]), "3 to 12", "5"]
    assert rows["continuation.learning_rate"][1] == "0.05 to 0.4, logarithmic"
    assert rows["features.snr"][1] == "true or false"
    ended = changed(told, best=told["best"] | {"values": {"boosting.leaves": 12, "continuation.learning_rate": 0.05}})
    notes = {row[0].text: row[1].note for row in values_table(ended).rows}
    assert notes == {"boosting.leaves": "at the upper end", "continuation.learning_rate": "at the lower end"}


def test_an_interrupted_study_says_what_was_not_measured(told):
    study = changed(
        told,
        default=None,
        fresh=None,
        importances={},
        trials=told["trials"] | {"ended": "interrupted"},
        notes=["fresh seeds were not measured: --resume does what is left."],
    )
    facts = dict(study_facts(study))
    assert facts["the same options, fresh seeds"].startswith("not measured")
    assert facts["against the untuned fit"] == "not measured" and "finalists" not in facts
    assert "interrupted" in facts["trials"] and "the lowest of all" in facts["best score"]
    assert [plate.key for plate in study_plates(study)] == ["history", "slices"]
    assert "importance" not in values_table(study).header
    results = Results(others=[study])
    assert "Fresh seeds were not measured" in render_page(make_page(results))
    assert any("how much of its score is luck" in doubt for doubt in doubts(results))


def test_a_study_of_an_older_version_without_finalists_is_shown(told):
    fresh = {name: value for name, value in told["fresh"].items() if name != "finalists"}
    study = changed(told, fresh=fresh)
    assert [one.trial for one in study.fresh.finalists] == [told["best"]["trial"]]
    assert "the lowest of all" in dict(study_facts(study))["best score"]


def test_a_bare_study_is_shown(told):
    """Only what every version writes."""
    names = ("regime", "measured", "trials", "best", "history")
    bare = {name: told[name] for name in names} | {"best": {"trial": 0, "loss": 0.5}}
    study = Study.model_validate(bare)
    assert [plate.key for plate in study_plates(study)] == ["history"]
    assert values_table(study) is None
    assert "log loss 0.5000" in dict(study_facts(study))["best score"]


def test_an_open_difference_is_not_called_a_gain(told):
    study = changed(told, default=told["default"] | {"difference": -0.01, "interval": [-0.03, 0.01]})
    assert "holds zero" in dict(study_facts(study))["against the untuned fit"]
    assert "not beyond doubt" in found_sentences(Results(others=[study]))[0]


@pytest.mark.parametrize(
    "damage",
    [
        '{"regime": ',
        "[]",
        '{"name": "of another program"}',
        None,
    ],
)
def test_a_damaged_or_foreign_study_is_left_out_and_named(told, tmp_path, damage):
    made = copy.deepcopy(told)
    made["history"][0]["losses"] = ["low"]
    (tmp_path / "tuning.json").write_text(json.dumps(made) if damage is None else damage)
    results = read_results([tmp_path])
    assert not results.all(Study)
    assert any("tuning.json" in problem and "Left out" in problem for problem in missing_parts(results))
    assert "tuning" not in [section.key for section in make_page(results).sections]


def test_a_study_without_a_finished_trial_says_how_to_go_on(tmp_path):
    (tmp_path / "study.json").write_text("{}")
    assert any("no trial has done all its work" in problem for problem in read_results([tmp_path]).problems)


def test_the_file_of_a_study_is_not_its_folder(folder):
    with pytest.raises(BundleError, match=r"tuning\.json: belongs to its folder\. Give that"):
        read_results([folder / "tuning.json"])
