"""Fixtures that every room's tests may use."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess

import pytest

# Small fits are fastest on one thread, all the more where other work shares the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the rooms that hold slow tests: whole files go to one process, and no long one should end alone."""
    slow = {item.path.parent for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path.parent not in slow)


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Give the package's log no level of its own: a verb run in a test or a fixture sets it for the whole process."""
    log = logging.getLogger("jpas_gbm")
    log.setLevel(logging.NOTSET)
    yield
    log.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; tests that need it are skipped without it."""
    if not _SHARED.is_dir():
        pytest.skip(f"reference data are not beside this checkout ({_SHARED} is missing)")
    return _SHARED


@pytest.fixture(scope="session")
def tiny():
    """A small simulated survey as a data set: two thousand mocks, a thousand labelled sources."""
    from jpas_gbm.options import SimulateOptions
    from jpas_gbm.simulation.simulate import simulate

    options = SimulateOptions(n_source=2000, n_labelled=1200, n_unlabelled=300, quasar_factor_labelled=3.0)
    return simulate(7, config=options)


@pytest.fixture(scope="session")
def quick_options():
    """Options of a fit that takes seconds."""
    from jpas_gbm.config import parse_options
    from jpas_gbm.options import FitOptions

    growth = {"rounds": 12, "leaves": 7, "min_child": 20, "learning_rate": 0.3, "patience": 0}
    value = {
        "features": {"templates": False, "lines": False, "colours": [1]},
        "boosting": growth,
        "continuation": growth,
        "domain": {"rounds": 10, "folds": 2, "gammas": [0.0, 0.25]},
        "calibration": {"method": "vector", "shrinkage": [0.01], "folds": 3},
    }
    return parse_options(FitOptions, value, "quick")


@pytest.fixture(scope="session")
def run_here() -> Callable[..., CompletedProcess]:
    """Return what runs a verb in this process, its two streams apart: libraries are loaded once, not by each call."""
    from jpas_gbm.cli.verbs import app

    def run(*words: object) -> CompletedProcess:
        code, out, err = 0, StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                app([str(word) for word in words], prog_name="jpas-gbm")
            except SystemExit as end:
                code = int(end.code or 0)
        return CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def reseal():
    """Return what changes a sealed head and gives it a checksum that fits, as a careful forger would."""
    import json

    from jpas_gbm.sealed import FileMark, _head_checksum
    from jpas_gbm.store import to_plain

    def change(path, again=(), **changes):
        head = {**json.loads(path.read_text(encoding="utf-8")), **changes}
        for file in again:
            head["files"][file.relative_to(path.parent).as_posix()] = to_plain(FileMark.of(file))
        path.write_text(json.dumps({**head, "checksum": _head_checksum(head)}), encoding="utf-8")

    return change
