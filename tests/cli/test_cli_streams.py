"""Streams as they are: not UTF-8, closed, or closed half-way by the reader."""

import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
RUN = [sys.executable, "-m", "jpas_gbm"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("streams") / "t.csv"
    bands = {band: [18.0, 19.0, 20.0] for band in "ugriz"}
    pd.DataFrame({"ra": [1.0, 2.0, 3.0], "dec": 0.0, **bands, "class": "STAR", "redshift": 0.0}).to_csv(path)
    return path


@pytest.mark.parametrize(
    "more", [*({"PYTHONIOENCODING": e} for e in ("latin-1", "cp1252", "ascii")), {"LC_ALL": "C"}, PLAIN], ids=str
)
def test_a_sign_that_a_stream_cannot_show_is_replaced(table, more):
    done = subprocess.run([*RUN, "inspect", table], env=os.environ | more, capture_output=True, timeout=60)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    assert b"read as f_? in nJy" in done.stdout or "read as f_ν".encode() in done.stdout


@pytest.mark.parametrize("closed", ["2>&-", ">&-"])
def test_a_closed_stream_swallows_what_is_said(table, closed):
    done = subprocess.run(f"{' '.join(RUN)} inspect {table} {closed}", shell=True, capture_output=True, timeout=60)
    assert done.returncode == 0 and b"Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error():
    with subprocess.Popen([*RUN, "survey", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) in (141, 0)


INTERRUPTED = """
import os, signal, sys
from jpas_gbm.cli import console, main
class Deaf:
    def __del__(self):
        os.kill(os.getpid(), signal.{sent})
        for _ in range(10): pass
def verb(*words):
    if {early}: raise KeyboardInterrupt
    Deaf()
    import time
    time.sleep(20)
console.Verb.parse_args = verb
sys.argv = ["jpas-gbm", "inspect", "x"]
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


@pytest.mark.parametrize(
    ("sent", "early", "code", "said"),
    [
        ("SIGINT", True, 130, b"error: interrupted; nothing was begun.\n"),
        ("SIGINT", False, 130, b"error: interrupted; nothing was begun.\n"),
        ("SIGTERM", False, 143, b"error: terminated; nothing half-made was left.\n"),
        ("SIGHUP", False, 129, b"error: terminated; nothing half-made was left.\n"),
    ],
)
def test_an_end_that_is_asked_for_comes_with_one_line(sent, early, code, said):
    """Also while words are parsed, and where no exception can pass: in a destructor."""
    # The tests themselves may run under nohup.
    heard = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    script = heard + INTERRUPTED.format(sent=sent, early=early)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, said)


def test_what_runs_under_nohup_goes_on():
    script = INTERRUPTED.format(sent="SIGHUP", early=False).replace("sleep(20)", "sleep(0.2)")
    words = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, timeout=60)
    assert done.returncode != 129 and b"terminated" not in done.stderr


LOADING = """
import os, signal, sys
from jpas_gbm.cli import console, main, verbs
from jpas_gbm.errors import ConfigError
def verb(*words):
    with console.one_message():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(10): pass
        except KeyboardInterrupt:
            raise {made}("lacks it") from None
console.Verb.parse_args = verb
sys.argv = ["jpas-gbm", "inspect", "x"]
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


@pytest.mark.parametrize("made", ["ImportError", "NameError", "ConfigError"])
def test_an_interruption_while_a_library_is_loaded_ends_with_one_line(made):
    """Whatever error the library makes of it."""
    done = subprocess.run([sys.executable, "-c", LOADING.format(made=made)], capture_output=True, text=True, timeout=60)
    said = "lacks it" if made == "ConfigError" else "interrupted; nothing half-made was left."
    assert (done.returncode, done.stderr) == (130, f"error: {said}\n")


def test_an_end_that_a_library_turns_into_its_own_error_is_still_the_end(monkeypatch, capfd):
    from jpas_gbm import cli
    from jpas_gbm.cli import verbs  # noqa: F401 (each registers with the app)

    def ends(**_):
        try:
            cli._terminated(signal.SIGTERM, None)
        except SystemExit as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr("jpas_gbm.cli.console.app", ends)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 143 and capfd.readouterr().err == "error: terminated; nothing half-made was left.\n"
    cli._asked.clear()
