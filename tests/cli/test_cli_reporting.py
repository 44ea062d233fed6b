"""The verb report."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from jpas_gbm.cli.verbs import app
from jpas_gbm.comparison.budgets import BudgetCurve, BudgetFigure, BudgetPoint

runner = CliRunner()


@pytest.fixture
def folder(tmp_path):
    figures = {name: BudgetFigure(0.7, (0.6, 0.8)) for name in ("macro.f1", "per_class.QSO_high.f1", "log_loss")}
    points = tuple(BudgetPoint("ssda", size, 1, True, figures) for size in (10, 100))
    BudgetCurve(("QSO_high", "STAR"), 22.5, 50, (10, 100), points).save(tmp_path / "labels")
    return tmp_path / "labels"


def test_report_writes_the_page_and_says_what_is_missing(folder, tmp_path):
    out = tmp_path / "page.html"
    told = runner.invoke(app, ["report", str(folder), "--out", str(out)])
    assert told.exit_code == 0, told.output
    assert "missing: No scores were given" in told.stdout
    assert told.stdout.rstrip().endswith(f"report: {out}")
    assert "<figure" in out.read_text()


def test_report_writes_figures_on_request(folder, tmp_path):
    words = ["report", str(folder), "--out", str(tmp_path / "p.html"), "--figures", str(tmp_path / "f"), "--json"]
    told = runner.invoke(app, [*words, "--quiet"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["figures"] == str(tmp_path / "f")
    assert {path.name for path in (tmp_path / "f").iterdir()} == {
        "captions.tex",
        "labels-budgets.csv",
        "labels-budgets.png",
        "labels-budgets.pdf",
    }


def test_report_refuses_to_replace(folder, tmp_path):
    out = tmp_path / "page.html"
    out.write_text("mine")
    told = runner.invoke(app, ["report", str(folder), "--out", str(out)])
    assert told.exit_code == 1
    assert "already exists" in told.output
    assert out.read_text() == "mine"


def test_report_of_nothing_says_what_it_looks_for(tmp_path):
    told = runner.invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "p.html")])
    assert told.exit_code == 1
    assert "holds no result that a report can show" in told.output


def test_report_knows_two_formats(folder, tmp_path):
    told = runner.invoke(app, ["report", str(folder), "--out", str(tmp_path / "p.html"), "--formats", "tiff"])
    assert told.exit_code == 1
    assert "--formats tiff: write png or pdf" in told.output
