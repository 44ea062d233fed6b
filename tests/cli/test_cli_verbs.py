"""The verbs as a user runs them: results, messages, exit codes, no half files."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from astropy.table import Table
from typer.testing import CliRunner

import jpas_gbm as jg
from jpas_gbm.cli.verbs import app

SIMULATE = ["--rows", "1500", "--labelled", "900", "--unlabelled", "200"]


def run(*words, cwd=None, env=None):
    """Run a verb in a process of its own: what a start, an end and the streams of a process are part of."""
    return subprocess.run(
        [sys.executable, "-m", "jpas_gbm", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | (env or {}),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory, quick_options, run_here):
    """A simulated survey, its data set and a fitted model, made from the command line."""
    folder = tmp_path_factory.mktemp("verbs")
    (folder / "quick.yaml").write_text(yaml.safe_dump(quick_options.model_dump(mode="json") | {"recipe": "continue"}))
    assert run("simulate", "--out", folder / "survey", *SIMULATE, "--seed", 5).returncode == 0
    s = folder / "survey"
    mocks = sorted(s.glob("Mock_*_FLUX+NOISE.npy"))
    files = ["--target", s / "jpas_idr.fits", "--labels", s / "desi_zcat.fits", "--legacy", s / "legacy_tractor.fits"]
    made = run_here("prepare", "--source", *mocks, *files, "--out", folder / "data", "--json")
    assert made.returncode == 0, made.stderr
    (folder / "summary.json").write_text(made.stdout)
    data = ["--data", folder / "data", "--config", folder / "quick.yaml", "--threads", 1]
    done = run("fit", "--regime", "ssda", *data, "--out", folder / "model")
    assert done.returncode == 0, done.stderr
    (folder / "fit.txt").write_text(done.stdout)
    return folder


def test_prepare_counts(place):
    summary = json.loads((place / "summary.json").read_text())
    assert summary["audit_clean"]
    assert (place / "data" / "dataset.json").is_file()


def test_fit_tells_what_it_chose(place):
    told = (place / "fit.txt").read_text()
    assert "regime ssda" in told and "(baseline)" in told and f"model: {place / 'model'}" in told


def test_inspect_says_what_it_understood(place, run_here):
    done = run_here("inspect", place / "survey" / "jpas_idr.fits", place / "survey" / "desi_zcat.fits")
    assert done.returncode == 0
    assert "55 of jpas55" in done.stdout and "labels" in done.stdout
    found = json.loads(run_here("inspect", "--json", place / "survey" / "jpas_idr.fits").stdout)
    assert found["files"][0]["survey"] == "jpas_idr202406"


def test_evaluate_writes_metrics(place, tmp_path, run_here):
    words = [place / "model", "--data", place / "data", "--split", "val", "--out", tmp_path / "e", "--threads", 1]
    done = run_here("evaluate", *words)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    for name in (
        "regime",
        "seed",
        "n_test",
        "cut",
        "classes",
        "confusion",
        "per_class",
        "macro",
        "accuracy",
        "log_loss",
    ):
        assert name in metrics
    again = run_here("evaluate", *words)
    assert again.returncode == 1 and "already exists" in again.stderr and "--overwrite" in again.stderr


@pytest.mark.parametrize("suffix", [".fits", ".parquet", ".vot", ".csv"])
def test_predict_keeps_the_rows_in_order(place, tmp_path, suffix, run_here):
    s = place / "survey"
    out = tmp_path / f"p{suffix}"
    words = ["predict", place / "model", s / "jpas_idr.fits", "--legacy", s / "legacy_tractor.fits", "--out", out]
    done = (run if suffix == ".fits" else run_here)(*words)
    assert done.returncode == 0, done.stderr
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        got = Table.from_pandas(pq.read_table(out).to_pandas())
    else:
        got = Table.read(out, **({"format": "ascii.csv"} if suffix == ".csv" else {}))
    given = Table.read(s / "jpas_idr.fits")
    np.testing.assert_array_equal(np.asarray(got["TILE_ID"]), np.asarray(given["TILE_ID"]))
    np.testing.assert_array_equal(np.asarray(got["NUMBER"]), np.asarray(given["NUMBER"]))
    total = sum(np.asarray(got[name], dtype=float) for name in ("P_QSO_HIGH", "P_QSO_LOW", "P_GALAXY", "P_STAR"))
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_compare_gives_table_json_and_figure_and_goes_on(place, tmp_path, run_here):
    words = ["--data", place / "data", "--config", place / "quick.yaml", "--threads", 1, "--out", tmp_path / "c"]
    done = run_here("compare", *words, "--regimes", "target-only", "ssda")
    assert done.returncode == 0, done.stderr
    assert "ssda - target-only (paired)" in done.stdout
    found = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert [row["regime"] for row in found["rows"]] == ["target-only", "ssda"]
    assert (tmp_path / "c" / "regimes.png").stat().st_size > 10_000
    assert run_here("compare", *words, "--regimes", "target-only,ssda").returncode == 1
    again = run_here("compare", *words, "--regimes", "target-only,ssda", "--overwrite")
    assert again.returncode == 0 and again.stdout == done.stdout


def test_budgets_make_a_curve(place, tmp_path, run_here):
    words = ["--data", place / "data", "--config", place / "quick.yaml", "--threads", 1, "--out", tmp_path / "b"]
    done = run_here("compare", *words, "--regimes", "target-only", "ssda", "--budgets", "200,all", "--draws", "1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b" / "budgets.json").is_file() and (tmp_path / "b" / "budgets.png").is_file()


def test_a_wrong_file_is_one_message_without_a_traceback(place, tmp_path):
    (tmp_path / "no.fits").write_text("this is no FITS file")
    done = run("predict", place / "model", tmp_path / "no.fits", "--out", tmp_path / "p.fits")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr and "no.fits" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["no.fits"]


def test_a_missing_file_is_named(place, tmp_path, run_here):
    done = run_here("inspect", tmp_path / "none.fits")
    assert done.returncode == 1 and "none.fits" in done.stderr and "Traceback" not in done.stderr


def test_a_mock_catalogue_is_refused_by_a_sky_model(place, tmp_path, run_here):
    mocks = next((place / "survey").glob("Mock_*_FLUX+NOISE.npy"))
    done = run_here("predict", place / "model", mocks, "--out", tmp_path / "p.fits")
    assert done.returncode == 1 and "is read as a catalogue of 'jpas_mocks'" in done.stderr


def test_usage_errors_exit_with_two(place):
    assert run("fit", "--regimes", "x").returncode == 2
    assert run("nonsense").returncode == 2


def test_an_unknown_regime_is_a_message(run_here):
    done = run_here("fit", "--regime", "sdsa", "--out", "nowhere")
    assert done.returncode == 1 and "Did you mean 'ssda'" in done.stderr


def test_an_existing_model_is_not_replaced(place, run_here):
    before = sorted(p.name for p in (place / "model").iterdir())
    done = run_here("fit", "--data", place / "data", "--out", place / "model")
    assert done.returncode == 1 and "--overwrite" in done.stderr
    assert sorted(p.name for p in (place / "model").iterdir()) == before


def test_survey_roles_are_checked(run_here):
    words = ["--source", "a", "--target", "b", "--out", "c", "--survey", "sky=x"]
    done = run_here("prepare", *words)
    assert done.returncode == 1 and "ROLE=NAME" in done.stderr


def test_version_and_help_answer(run_here):
    assert run_here("--version").stdout.startswith("jpas-gbm ")
    told = run_here("--help").stdout
    for name in ("demo", "simulate", "inspect", "prepare", "fit", "evaluate", "compare", "predict"):
        assert name in told


def test_the_demo_runs(tmp_path, monkeypatch, quick_options, tiny):
    """The README's first command on a smaller survey, with fewer trees; `.ci/run` makes it as it is."""
    compare = jg.compare
    monkeypatch.setattr(jg, "simulate", lambda seed, config, progress: tiny)
    monkeypatch.setattr(jg, "compare", lambda *given, **more: compare(*given, config=quick_options, **more))
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo"), "--seed", "2", "--threads", "1"])
    assert done.exit_code == 0, done.output
    assert "ssda - mocks-only (paired)" in done.output
    assert f"the page to read: {tmp_path / 'demo'}/report.html" in done.output
    assert (tmp_path / "demo" / "comparison.json").is_file() and (tmp_path / "demo" / "why").is_dir()
