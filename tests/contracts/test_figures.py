"""Figures of a report come out again from its rows, and one that does not is named."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "judged.py"


@pytest.fixture(scope="module")
def judged():
    spec = importlib.util.spec_from_file_location("judged", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["judged"] = module
    spec.loader.exec_module(module)
    module.RESAMPLES = 50
    return module


@pytest.fixture
def report(judged, tmp_path):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 300)
    table = pd.DataFrame({"key": np.arange(300), "object": np.arange(300) // 2, "part": "", "fold": 0})
    table["class"] = np.array(["A", "B", "C"])[y]
    table.loc[200:, "part"] = "faint"
    for model, noise in (("good", 0.5), ("poor", 2.0)):
        logits = 2 * np.eye(3)[y] + noise * rng.standard_normal((300, 3))
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        table[[f"{model}:{name}" for name in "ABC"]] = p
    asked = [
        judged.Figure("log_loss", "good"),
        judged.Figure("log_loss", "good", against="poor"),
        judged.Figure("macro_f1", "poor", part="faint"),
        judged.Figure("recall:B", "good"),
        judged.Figure("auc:C", "good"),
        judged.Figure("mean_recall", "good"),
        judged.Figure("accuracy", "good"),
    ]
    return tmp_path, judged.write_figures(tmp_path, "python x.py", {"a.fits": "00"}, table, asked)


def test_what_was_written_comes_out_again(judged, report):
    folder, figures = report
    assert judged.check(folder) == []
    assert figures[1].value < 0 and figures[1].interval[1] < 0  # a model of less noise is better, paired
    assert figures[2].n == 100 and figures[0].n == 300
    table = judged.read_objects(folder)
    given = [row[f"good:{row['class']}"] for _, row in table.iterrows()]
    assert figures[0].value == pytest.approx(-np.log(given).mean())


def test_a_changed_row_and_a_changed_figure_are_named(judged, report):
    folder, _ = report
    table = pd.read_csv(folder / "objects.csv")
    table.loc[0, ["good:A", "good:B", "good:C"]] = [0.2, 0.3, 0.5]
    table.to_csv(folder / "objects.csv", index=False)
    assert any("log_loss of good is stated as" in line for line in judged.check(folder))
    said = json.loads((folder / "figures.json").read_text())
    said["figures"][2]["n"] = 99
    (folder / "figures.json").write_text(json.dumps(said))
    assert any("macro_f1 of poor (faint)" in line for line in judged.check(folder))


def test_what_is_not_there_is_named(judged, report):
    folder, _ = report
    table = judged.read_objects(folder)
    with pytest.raises(SystemExit, match="no model best among good, poor"):
        judged.score(table, judged.Figure("log_loss", "best"), 0)
    with pytest.raises(SystemExit, match="there is no metric auc:Z"):
        judged.score(table, judged.Figure("auc:Z", "good"), 0)
    with pytest.raises(SystemExit, match="lacks the column object"):
        judged.write_figures(folder, "", {}, table.drop(columns="object"), [])


def test_what_a_cut_run_left_is_taken_up_and_nothing_half_written_is(judged, tmp_path):
    made = []

    def make(size):
        for name in ("mocks", "both, x3"):
            made.append(name)
            yield name, np.full(3, size)

    def cut():
        yield "mocks", np.zeros(3)
        raise KeyboardInterrupt

    path = tmp_path / "report" / "kept-100.npz"
    with pytest.raises(KeyboardInterrupt):
        judged.kept(path, cut)
    assert not path.exists()
    first = judged.kept(path, lambda: make(1.5))
    again = judged.kept(path, lambda: make(7.0))
    assert made == ["mocks", "both, x3"] and list(again) == made
    assert all(np.array_equal(again[name], first[name]) and (first[name] == 1.5).all() for name in made)
    judged.forget(path.parent)
    assert not list(path.parent.iterdir())
    assert (judged.kept(path, lambda: make(7.0))["mocks"] == 7.0).all()


@pytest.mark.filterwarnings("error")
def test_a_report_without_parts_is_read_without_a_warning(judged, tmp_path):
    table = pd.DataFrame({"key": [1, 2], "object": [1, 2], "part": "", "fold": 0, "class": ["A", "B"]})
    table[["m:A", "m:B"]] = [[0.9, 0.1], [0.2, 0.8]]
    judged.write_figures(tmp_path, "python x.py", {}, table, [judged.Figure("accuracy", "m")])
    assert judged.read_objects(tmp_path)["part"].tolist() == ["", ""]
    assert judged.check(tmp_path) == []
