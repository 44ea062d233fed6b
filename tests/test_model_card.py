"""The model card as the Hugging Face hub reads it."""

from __future__ import annotations

from pathlib import Path

import yaml

from jpas_gbm.model import Model
from jpas_gbm.model_folder import card_lines, card_page

CARD = {
    "regime": "ssda",
    "chosen": "continue",
    "survey": "jpas_idr202406",
    "photometries": ["FLUX_APER_COR_3_0"],
    "calibration": {"log_loss": 0.07},
    "rows": {"source_train": {"rows": 8400}},
    "provenance": {"version": "0.2.0", "seed": 0, "data": {"simulated": True, "magnitude": "r (Legacy Surveys)"}},
}


def header(text: str) -> dict:
    _, front, rest = text.split("---\n", 2)
    assert rest.startswith("\n# ")
    return yaml.safe_load(front)


def test_header_is_the_schema_of_the_hub():
    text = card_page(CARD, ("QSO_high", "STAR"))
    head = header(text)
    assert {"library_name", "license", "license_name", "pipeline_tag", "tags", "metrics", "model-index"} <= set(head)
    assert head["license"] == "other" and head["pipeline_tag"] == "tabular-classification"
    result = head["model-index"][0]["results"][0]
    assert set(result) == {"task", "dataset", "metrics"}
    assert result["metrics"][0]["value"] == 0.07 and result["dataset"]["name"].endswith("(simulated)")
    assert "r (Legacy Surveys)" in text and "Simulated data" in text and "8,400 rows" in text


def test_a_card_that_tells_little_makes_a_header_all_the_same():
    assert "model-index" not in header(card_page({}, ("A", "B")))


def test_a_saved_model_has_it_and_loads(tmp_path):
    model = Model.load(Path(__file__).parent / "models" / "format2_small")
    model.save(tmp_path / "m")
    assert header((tmp_path / "m" / "README.md").read_text("utf-8"))["library_name"] == "jpas-gbm"
    assert Model.load(tmp_path / "m").classes == model.classes


def test_a_note_of_a_card_is_told_once():
    card = {"regime": "ssda", "verdict": {"sentence": "It helps."}, "notes": ["It helps.", "Few labels."]}
    assert card_lines(card, "one booster")[1:] == ["It helps.", "note: Few labels."]


def test_the_card_of_a_model_without_labels_claims_no_figure_of_the_sky():
    blind = {**CARD, "label_budget": {"target labels for choosing and calibrating": 0}}
    text = card_page(blind, ("QSO_high", "STAR"))
    assert "class mix of the mocks: mocks calibrated them, and no label of the sky" in text
    assert "class mix of the labels" not in text and "class mix of the labels" in card_page(CARD, ("QSO_high", "STAR"))
    (index,) = header(text)["model-index"]
    assert index["results"][0]["dataset"]["name"].startswith("mocks of ")
    taken = card_page(blind | {"class mix": {"taken": True}}, ("QSO_high", "STAR"))
    assert "found among unlabelled rows by EM" in taken
