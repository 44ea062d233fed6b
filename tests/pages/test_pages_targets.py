"""A candidate list on the page: its promise, its parts, the class mix, and curves before and after correction."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from jpas_gbm.boosting.calibration import HeldOut
from jpas_gbm.errors import BundleError
from jpas_gbm.lists.candidate_list import make_list
from jpas_gbm.lists.predicted import Predicted
from jpas_gbm.lists.rule import ListOptions
from jpas_gbm.lists.target_list import TargetList
from jpas_gbm.pages.figures.lists import Cut, cut_figure, list_plates, sizes_figure, yield_figure
from jpas_gbm.pages.figures.plates import RULES
from jpas_gbm.pages.html import render_page
from jpas_gbm.pages.list_section import list_facts, mix_table, parts_table
from jpas_gbm.pages.page import doubts, found_sentences, make_page, missing_parts
from jpas_gbm.pages.results import Results, read_results
from jpas_gbm.run import Run
from jpas_gbm.store import dump_json, from_plain
from jpas_gbm.surveys.scheme import LabelScheme
from jpas_gbm.text import number, span

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
LABELS, FIELD = np.array([0.1, 0.1, 0.5, 0.3]), np.array([0.04, 0.06, 0.6, 0.3])
CENTRES = np.array([[0.0, 0.0], [2.8, 0.0], [4.5, 1.5], [0.5, 4.5]])


def drawn(rng: np.random.Generator, n: int, mix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a mix, with exact probabilities for that of the labels, and their classes."""
    label = rng.choice(4, size=n, p=mix)
    x = CENTRES[label] + rng.standard_normal((n, 2))
    density = np.exp(-0.5 * ((x[:, None] - CENTRES) ** 2).sum(axis=2)) * LABELS
    return density / density.sum(axis=1, keepdims=True), label


@pytest.fixture(scope="module")
def make():
    """Return what the verb would write beside a list, by its rule."""
    rng = np.random.default_rng(3)
    p, label = drawn(rng, 1200, LABELS)
    # Of the class wanted, no label is brighter than 19.
    mag = np.where(label == 0, rng.uniform(19, 23, 1200), rng.uniform(18, 23, 1200)).astype(np.float32)
    held = HeldOut(p, label.astype(np.int8), np.arange(1200), mag, "target")
    field, _ = drawn(rng, 1500, FIELD)
    rows = Predicted(
        classes=CLASSES,
        ids={"NUMBER": np.arange(1500)},
        ra=150 + rng.uniform(0, 1, 1500),
        dec=rng.uniform(0, 1, 1500),
        mag=rng.uniform(18, 23, 1500).astype(np.float32),
        p=field,
        quality=np.zeros(1500, dtype=np.int32),
        more={},
        model={"regime": "ssda", "chosen": "pool", "seed": 4},
        sources=("P.fits",),
    )
    fitted: Any = SimpleNamespace(classes=CLASSES, scheme=LabelScheme(CLASSES), held_out=held, known=None)

    def made(**rule: Any) -> dict[str, Any]:
        found = make_list(rows, fitted, ListOptions(draws=25, **rule), run=Run(9))
        return json.loads(dump_json(found.to_dict()))

    return made


def named(name: str, told: dict[str, Any]) -> TargetList:
    """Return a list from what its JSON holds."""
    return replace(from_plain(TargetList, told), name=name)


@pytest.fixture(scope="module")
def told(make) -> dict[str, Any]:
    return make(purity=0.6, bin_edges=(19.0, 21.0))


@pytest.fixture(scope="module")
def found(told) -> TargetList:
    return named("survey", told)


@pytest.fixture
def ax():
    with rc_context(RULES):
        yield Figure(figsize=(4.6, 3.3), layout="constrained").subplots()


@pytest.fixture
def beside(told, tmp_path):
    """A list's JSON with the list beside it."""
    (tmp_path / "survey.fits").write_bytes(b"SIMPLE")
    (tmp_path / "survey.json").write_text(json.dumps(told))
    return tmp_path / "survey.json"


def plate_of(found: TargetList, key: str):
    return next(plate for plate in list_plates(found) if plate.key == key)


@pytest.mark.parametrize("figure", ["purity", "completeness"])
def test_cut_figure_has_both_curves_with_bands_and_the_threshold(told, found, ax, figure):
    plate = plate_of(found, figure)
    assert [panel.result.title.split(":")[0] for panel in plate.panels] == [
        "all magnitudes",
        "magnitude 19 to 21",
        "magnitude ≥ 21",
    ]
    panel = plate.panels[1]
    cut_figure(panel.result, ax)
    curves = told["curves"]["labelled"]["19 to 21"]
    drawn_ = {line.get_label(): np.asarray(line.get_data()) for line in ax.get_lines()}
    for label, side in (("class mix of the labels", "before"), ("class mix of the field", "after")):
        assert drawn_[label][0] == pytest.approx(curves[side]["threshold"])
        assert drawn_[label][1] == pytest.approx(curves[side][figure])
    assert len(ax.collections) == 2
    part = next(part for part in told["parts"] if part["magnitudes"] == "19 to 21")
    assert drawn_["threshold of the list"][0] == pytest.approx([part["threshold"]] * 2)
    promised = [line for line in ax.get_lines() if line.get_linestyle() == ":"]
    assert [set(line.get_ydata()) for line in promised] == ([{0.6}] if figure == "purity" else [])


def test_a_bin_without_labels_of_the_class_is_told_not_drawn(found, ax):
    plate = plate_of(found, "purity")
    assert "No QSO_high is among the labels of magnitude < 19." in plate.caption
    bare = found.curves.labelled["< 19"].after
    assert bare.members == 0
    cut_figure(Cut("purity", "t", "QSO_high", found.curves.labelled["< 19"].before, bare), ax)
    assert ax.texts[0].get_text() == "no labelled QSO_high here"


def test_a_list_without_bins_has_one_plate_with_its_threshold(make):
    one = named("n", make(number=40, magnitudes=(18.5, 22.5)))
    plate = plate_of(one, "purity-completeness")
    assert len(plate.panels) == 2 and "magnitude 18.5 to 22.5" in plate.panels[0].result.title
    assert plate.panels[0].result.threshold == pytest.approx(one.parts[0].threshold)
    assert plate.panels[0].result.wanted is None
    assert one.parts[0].mean_probability_size is None and "naive list" not in parts_table(one).header


def test_yield_is_per_square_degree_and_marks_the_list(told, found, ax):
    yield_figure(found, ax)
    drawn_ = {line.get_label(): np.asarray(line.get_data()) for line in ax.get_lines()}
    field = told["curves"]["field"]
    assert drawn_["expected"][0] == pytest.approx(field["size"])
    assert drawn_["expected"][1] == pytest.approx(field["true_per_deg2"], rel=1e-5)
    assert drawn_["this list"][:, 0] == pytest.approx([told["rows"], told["per_deg2"]], rel=1e-5)
    assert ax.get_ylabel() == "true QSO_high per square degree"
    ax.clear()
    yield_figure(named("n", told | {"footprint": None}), ax)
    assert ax.get_ylabel() == "true QSO_high"


def test_sizes_have_purity_and_completeness_with_bands(told, found, ax):
    sizes_figure(found, ax)
    drawn_ = {line.get_label(): np.asarray(line.get_data()) for line in ax.get_lines()}
    for name in ("purity", "completeness"):
        assert drawn_[name][1] == pytest.approx(told["curves"]["field"][name])
    assert len(ax.collections) == 2


def test_page_tells_rule_promise_and_numbers(told, beside):
    results = read_results([beside])
    page = make_page(results)
    html = render_page(page)
    assert [section.key for section in page.sections] == ["summary", "targets", "provenance", "missing"]
    assert told["rule"] in html and "Assumes that features of a class are spread alike" in html
    for part in told["parts"]:
        assert f"{part['size']:,}" in html and number(part["threshold"]) in html
        assert span(part["purity_interval"]) in html and span(part["completeness_interval"]) in html
    assert f"{told['rows']} candidates in {len(told['parts'])} magnitude bins" in found_sentences(results)[0]
    assert "ssda, pool, training seed 4" in html
    assert not any("candidate list" in gap for gap in missing_parts(results))
    for plate in page.plates:
        assert "25 draws" in plate.caption and "seed 9" in plate.caption and len(plate.alt) > 40


def test_parts_table_sets_the_naive_list_beside(told, found):
    table = parts_table(found)
    assert table.header[-1] == "naive list" and "reaches 0.6" in table.caption
    assert [row[-1].text for row in table.rows] == [f"{p['mean_probability_size']:,}" for p in told["parts"]]
    assert [row[2].note for row in table.rows] == [span(p["interval"], 0) for p in told["parts"]]


def test_mix_table_is_strong_only_beyond_doubt(told, found):
    table = mix_table(found)
    assert [row[0].text for row in table.rows] == list(CLASSES)
    assert table.rows[0][1].text == number(told["mix"]["old"][0][0], 4)
    assert table.rows[0][2].text == number(told["mix"]["new"][0][0], 4)
    assert table.rows[0][2].strong  # a tenth of the labels, a twenty-fifth of the field
    same = copy.deepcopy(told)
    same["mix"]["old"] = same["mix"]["new"]
    assert not any(row[2].strong for row in mix_table(named("n", same)).rows)


def test_few_members_per_square_degree_are_not_told_as_none(found):
    facts = dict(list_facts(replace(found, per_deg2=0.0217)))
    assert facts["list"].endswith(", 0.022 of them true per square degree")
    assert "0.022 true per square degree" in " ".join(
        found_sentences(Results(others=[replace(found, per_deg2=0.0217)]))
    )


def test_trust_in_the_mix_is_told_with_its_reason(told, found):
    assert dict(list_facts(found))["class mix"].startswith("estimated by EM, and to be trusted")
    assert not doubts(Results(others=[found]))
    doubtful = copy.deepcopy(told)
    doubtful["mix"]["trust"] = {"trusted": False, "reasons": ["STAR has 3 calibration label(s)."], "tests": {}}
    other = named("n", doubtful)
    assert "not to be trusted: STAR has 3" in dict(list_facts(other))["class mix"]
    assert any("STAR has 3 calibration" in doubt for doubt in doubts(Results(others=[other])))


def test_a_list_by_a_model_of_simulated_data_carries_the_banner(told, found):
    assert not make_page(Results(others=[found])).banner
    simulated = copy.deepcopy(told)
    simulated["provenance"]["model"]["simulated"] = True
    page = make_page(Results(others=[named("n", simulated)]))
    assert page.banner.startswith("Simulated data")


def test_a_given_mix_has_no_interval(make):
    one = named("n", make(number=30, prior=((0.1, 0.1, 0.5, 0.3),)))
    assert dict(list_facts(one))["class mix"] == "given, not estimated"
    assert not any(row[2].note or row[2].strong for row in mix_table(one).rows)


@pytest.mark.parametrize("absent", ["curves", "mix", "footprint", "per_deg2", "notes", "provenance", "magnitudes"])
def test_a_list_that_lacks_a_part_is_shown(told, absent):
    one = named("n", {name: value for name, value in told.items() if name != absent})
    page = make_page(Results(others=[one]))
    assert told["rule"] in render_page(page)
    assert bool(page.plates) == (absent != "curves")


def test_several_lists_have_sections_and_keys_of_their_own(found, make):
    other = named("other", make(number=10))
    page = make_page(Results(others=[found, other]))
    keys = [plate.key for plate in page.plates]
    assert len(set(keys)) == len(keys) == 5
    html = render_page(page)
    assert "Candidate list: survey" in html and "Candidate list: other" in html


def test_a_folder_with_lists_is_read(beside):
    (beside.parent / "alone.json").write_text("{")  # no table beside it: nobody's list
    (beside.parent / "stars.vot").write_text("")
    (beside.parent / "stars.json").write_text('{"of": "another program"}')
    results = read_results([beside.parent])
    assert [one.name for one in results.all(TargetList)] == ["survey"] and not results.problems


def test_a_damaged_list_is_left_out_and_named(told, beside):
    beside.write_text("{")
    results = read_results([beside.parent])
    assert not results.all(TargetList) and "survey.json: is not valid JSON" in results.problems[0]
    changed = copy.deepcopy(told)
    del changed["parts"][0]["size"]
    beside.write_text(json.dumps(changed))
    results = read_results([beside])
    assert not results.all(TargetList)
    assert any("survey.json: cannot be read" in gap and "Make it again" in gap for gap in missing_parts(results))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("other.json", '{"rule": 1}', r"other\.json: is not the JSON of a candidate list\. Give folders"),
        ("other.json", "{", r"other\.json: is not valid JSON"),
        ("survey.fits", "SIMPLE", r"survey\.fits: is a table\. Give the JSON .*survey\.json"),
        ("nowhere.json", None, r"nowhere\.json: there is no such file\. Give folders"),
    ],
)
def test_a_file_that_is_no_list_is_refused(beside, name, text, words):
    path = beside.parent / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(BundleError, match=words):
        read_results([path])
