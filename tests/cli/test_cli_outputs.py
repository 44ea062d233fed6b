"""Where results go: what stands there is never destroyed by mistake, and a bad place is said before any work."""

import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from jpas_gbm.cli.verbs import app
from jpas_gbm.run import thread_count


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """A folder to work in, with a model, a thesis, and a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("gold")
    (tmp_path / "file").write_text("gold")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--data", "none", "--out", "thesis", "--overwrite"],
        ["prepare", "--source", "a", "--target", "b", "--out", "thesis", "--overwrite"],
        ["prepare", "--source", "model/a", "--target", "b", "--out", "model", "--overwrite"],
        ["simulate", "--out", "thesis", "--overwrite"],
        ["evaluate", "model", "--data", "none", "--out", "model", "--overwrite"],
        ["explain", "model", "--data", "none", "--out", "model", "--overwrite"],
        ["compare", "--data", "none", "--out", "model"],
        ["demo", "--out", "model"],
        ["predict", "model", "file", "--out", "file", "--overwrite"],
        ["report", "model", "--out", "model", "--overwrite"],
        ["fit", "--data", "none", "--out", "file/model"],
        ["compare", "--data", "none", "--out", "file/c"],
    ],
    ids=" ".join,
)
def test_every_verb_asks_before_it_works(inside, words):
    before = sorted(path.name for path in inside.rglob("*"))
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1 and done.output.startswith("error: ") and "Traceback" not in done.output
    assert any(word in done.output for word in ("destroy", "Give another --out", "Name a file"))
    assert sorted(path.name for path in inside.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "m", "c", "--out", "p.fits", "--pair", "STAR,GALAXY"], "Give --explain as well"),
        (["explain", "m", "--out", "w", "--data", "d", "--legacy", "t"], "--legacy only goes with --catalogue"),
        (["explain", "m", "--out", "w", "--catalogue", "c", "--data", "d"], "--data does not go with --catalogue"),
        (["explain", "m", "--out", "w", "--catalogue", "c", "--refits", "2"], "--refits does not go with --catalogue"),
        (["compare", "--out", "c", "--regimes", "ssda,"], "a name is empty"),
        (["compare", "--out", "c", "--regimes", "ssda,uda,ssda"], "--regimes names ssda more than once"),
        (["compare", "--out", "c", "--regimes", "sda"], "Did you mean 'ssda'"),
    ],
)
def test_options_that_would_be_ignored_are_refused(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1 and said in done.output and not list(tmp_path.iterdir())


@pytest.mark.parametrize("budgets", ["", "0", "-5", "1.5", "all,foo", "100 200", ",", "²"])
def test_budgets_that_are_none(budgets):
    from jpas_gbm.comparison.budgets import read_budgets
    from jpas_gbm.errors import ConfigError

    with pytest.raises(ConfigError, match="write numbers of labels and 'all'"):
        read_budgets(budgets)
    with pytest.raises(ConfigError, match="a budget comes twice"):
        read_budgets("100,all,100")
    assert read_budgets("100, all") == [100, "all"]


def test_no_more_threads_than_there_are_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert thread_count(1) == 1 and thread_count(10_000) == thread_count(0)
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    assert thread_count(0) == 1 and thread_count(1) == 1


def test_trap_a_file_that_ends_too_early_is_a_message(monkeypatch):
    """The library of the command line says no more than 'Aborted' of an EOFError."""
    import jpas_gbm.surveys.inspect as module

    def ends(files, **more):
        raise EOFError("No data left in file")

    monkeypatch.setattr(module, "inspect", ends)
    done = CliRunner().invoke(app, ["inspect", "a.fits"])
    assert done.exit_code == 1 and done.output.startswith("error: a file that was read ends too early")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_libraries_load_leaves_no_traceback(sent, code):
    program = (
        "import os, signal, sys\n"
        "class Loading:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'typer': os.kill(os.getpid(), {int(sent)})\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Loading())\n"
        "from jpas_gbm.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == code and "Traceback" not in done.stderr


def test_a_verb_that_is_terminated_leaves_nothing_half_written(tmp_path):
    words = ["simulate", "--rows", "100000", "--out", str(tmp_path / "s")]
    with subprocess.Popen([sys.executable, "-m", "jpas_gbm", *words], stderr=subprocess.PIPE) as running:
        limit = time.monotonic() + 60
        while not list(tmp_path.glob(".*partial")) and running.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
        running.terminate()
        _, said = running.communicate(timeout=60)
    assert running.returncode == 143 and b"Traceback" not in said and not list(tmp_path.iterdir())


def test_simulate_takes_as_few_rows_as_python_does(tmp_path, run_here):
    done = run_here("simulate", "--out", str(tmp_path / "s"), "--rows", "50", "--labelled", "20", "--unlabelled", "5")
    assert done.returncode == 0, done.stderr


def test_the_next_run_clears_what_a_killed_verb_left_and_names_it(tmp_path, run_here):
    words = ["simulate", "--out", str(tmp_path / "s"), "--rows"]
    with subprocess.Popen([sys.executable, "-m", "jpas_gbm", *words, "100000"], stderr=subprocess.PIPE) as running:
        limit = time.monotonic() + 60
        while not list(tmp_path.glob(".s.*.partial/s")) and running.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
        running.kill()
    (left,) = tmp_path.iterdir()
    done = run_here(*words, "100", "--labelled", "20", "--unlabelled", "5")
    assert done.returncode == 0 and f"{left}: removed, a run that was killed had left it" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
