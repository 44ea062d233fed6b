"""What a verb says while it works: stages with the time where no terminal is, a log file, a help that shows how."""

import logging
import os
import re
import subprocess
import sys

import pytest
from typer.main import get_command

from jpas_gbm.cli.console import _StageLines, start_log
from jpas_gbm.cli.verbs import app
from jpas_gbm.run import Run
from jpas_gbm.text import duration

GROUPS = ("survey", "config")
TOP = get_command(app).commands
VERBS = {name: verb for name, verb in TOP.items() if name not in GROUPS} | {
    f"{group} {name}": verb for group in GROUPS for name, verb in TOP[group].commands.items()
}


def test_each_stage_that_ended_is_one_line_with_the_time(tmp_path, run_here):
    words = ("simulate", "--rows", "200", "--labelled", "20", "--unlabelled", "10", "--out", str(tmp_path / "sky"))
    done = run_here(*words, "--log", str(tmp_path / "log.txt"))
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines and all(re.match(r"\d\d:\d\d:\d\d simulating ", line) for line in lines)
    assert len({line[9:] for line in lines}) == len(lines)
    quiet = run_here(*words, "--overwrite", "--quiet")
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_a_stage_that_goes_on_is_told_now_and_then(capsys, monkeypatch):
    lines = _StageLines()
    lines("predict", 10, 0)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(_StageLines, "EVERY", 0.0)
    lines("predict", 20, 0)
    lines("trees", 3, 9)
    lines("trees", 9, 9)
    told = [line[9:] for line in capsys.readouterr().err.splitlines()]
    assert told == ["predict: 20", "trees: 3 of 9", "trees: 9 of 9"]
    lines("trees", 1, 1)
    lines("calibration", 1, 1)
    assert capsys.readouterr().err[9:] == "calibration\n"  # the stage around its rounds is not told again


def test_counts_of_trainings_are_told_step_by_step_with_the_time_that_is_left(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 100.0, 130.0, 260.0, 300.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    lines = _StageLines()
    for done in (0, 1, 2, 3):
        lines("models, about 6 min in all", done, 4)
    lines("models, about 6 min in all", 4, 4)
    told = [line[9:] for line in capsys.readouterr().err.splitlines()]
    named = "models, about 6 min in all"
    assert told == [
        f"{named}: 0 of 4",
        "models: 1 of 4, about 5 min left",
        "models: 2 of 4, about 2 min left",
        "models: 3 of 4, about 90 s left".replace("90 s", duration(260 / 3)),
        "models: 4 of 4",
    ]


def test_durations_are_rounded_as_estimates_are():
    assert [duration(s) for s in (0.3, 12, 85, 200, 5400)] == ["1 s", "10 s", "80 s", "3 min", "1.5 h"]


def test_a_fit_says_how_many_candidates_it_trains_and_about_how_long(tiny, quick_options):
    from jpas_gbm.adaptation.fit import fit
    from jpas_gbm.adaptation.stages import outlook
    from jpas_gbm.config import override

    told = []
    options = override(quick_options, regime="target-only")
    fit(tiny, config=options, threads=1, progress=lambda *step: told.append(step))
    steps = [(stage, done, total) for stage, done, total in told if stage.startswith("candidates, about ")]
    assert [done for _, done, _ in steps] == [0, 1] and steps[0][0].endswith(" in all")
    assert outlook(tiny, override(options, regime="ssda")) > outlook(tiny, options) > 0
    assert outlook(tiny, options, threads=4) < outlook(tiny, options)


def test_rounds_of_a_fold_are_told_under_the_stage_that_ends():
    told = []
    with Run(progress=lambda *step: told.append(step)).at("fold 2").stage("trees") as entry:
        assert entry["stage"] == "trees (fold 2)"
    assert {stage for stage, _, _ in told} == {"trees (fold 2)"} and told[-1][1:] == (1, 1)


def test_the_log_file_gets_stages_whatever_stderr_gets(tmp_path, capsys):
    start_log(0, False, str(tmp_path / "log"))
    with Run().stage("bins"):
        pass
    logging.getLogger("jpas_gbm").warning("look here")
    start_log(0, False)
    text = (tmp_path / "log").read_text()
    assert re.search(r"^\d{4}-\d\d-\d\d .* INFO bins: ", text, re.M) and "WARNING look here" in text
    assert capsys.readouterr().err == "look here\n"


def test_a_log_that_cannot_be_written_is_one_message(tmp_path, run_here):
    done = run_here("cite", "--log", str(tmp_path / "no" / "log"))
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "No such file" in done.stderr


@pytest.mark.parametrize("name", VERBS)
def test_every_help_ends_with_an_example_that_parses(name):
    example = VERBS[name].epilog.removeprefix("Example: jpas-gbm ").split()
    words = name.split()
    assert example[: len(words)] == words
    assert VERBS[name].make_context(name, example[len(words) :], resilient_parsing=False).params


def test_the_short_form_of_help(run_here):
    assert run_here("-h").stdout == run_here("--help").stdout
    assert "Example: jpas-gbm cite" in run_here("cite", "-h").stdout


@pytest.mark.parametrize(("typed", "offered"), [("ta", "targets"), ("fit --re", "--regime")])
def test_the_shell_is_told_verbs_and_options(typed, offered):
    words = f"jpas-gbm {typed}"
    asked = {"_JPAS_GBM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run([sys.executable, "-m", "jpas_gbm"], capture_output=True, text=True, env=os.environ | asked)
    assert done.stdout.split() == [offered]


def test_cite_names_software_and_paper(run_here):
    said = run_here("cite").stdout
    assert "{The jpas-gbm developers}" in said and "eprint  = {2602.13902}" in said and "doi" not in said.lower()


def test_the_shell_completes_options():
    env = {**os.environ, "_JPAS_GBM_COMPLETE": "complete_bash", "COMP_WORDS": "jpas-gbm fit --reg", "COMP_CWORD": "2"}
    code = "import sys; from jpas_gbm.cli.verbs import app; sys.argv[0] = 'jpas-gbm'; app(prog_name='jpas-gbm')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["--regime"]), done.stderr


def test_filled_features_are_warned_of_once():
    """A prediction in chunks said so for each chunk and member; other warnings are all told."""
    import logging

    from jpas_gbm.cli.console import start_log

    texts = [f"a.py:1: {kind}: {i} of 9 rows" for i in range(3) for kind in ("UnseenMissingWarning", "UserWarning")]
    for _ in range(2):
        start_log(1, False)
        told = [logging.makeLogRecord({"msg": text}) for text in texts]
        told = [one.msg for one in told if logging.getLogger("py.warnings").filter(one)]
        assert told == [texts[0], *texts[1::2]]
