"""tune: better options within a stated budget."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from ..errors import ConfigError
from .console import (
    Data,
    Json,
    Out,
    Quiet,
    Seed,
    Threads,
    Verbose,
    progress_bar,
    say,
    say_json,
    start_log,
    thread_count,
    verb,
)
from .outputs import place_named

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as 90s, 45m, 2h, 1h30m or 1d.

    Raises
    ------
    ConfigError
        If it is none, or no time at all.
    """
    word = duration.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", word)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != word or total <= 0:
        raise ConfigError(f"--timeout {duration}: write a time such as 90s, 45m, 2h or 1h30m.")
    return total


@verb
def tune(
    out: Out,
    trials: Annotated[int, typer.Option("--trials", help="Trials that the study is to have in all.")],
    regime: Annotated[str, typer.Option("--regime", help="ssda, target-only or mocks-calibrated.")] = "ssda",
    data: Data = None,
    config: Annotated[
        str, typer.Option("--config", help="Space and objective: a YAML file, or a shipped one.")
    ] = "tune",
    timeout: Annotated[str | None, typer.Option("--timeout", help="Time allowed, such as 90s, 45m or 2h.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes that share the trials.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in --out.")] = False,
    seed: Seed = 0,
    threads: Threads = 0,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Look for better options with Optuna: resumable, judged on target validation, never on the test split."""
    start_log(verbose, quiet)
    place_named(out)
    limit = None if timeout is None else seconds(timeout)
    from ..adaptation.tuning.options import TuneOptions
    from ..adaptation.tuning.tune import tune as run_study
    from ..config import load_options
    from .model import fit_options, load_data

    options = load_options(TuneOptions, config)
    base = fit_options(None, regime)
    with progress_bar(quiet) as progress:
        found = run_study(
            load_data(data, seed, progress),
            base,
            options,
            out,
            trials=trials,
            timeout=limit,
            jobs=jobs,
            resume=resume,
            seed=seed,
            threads=thread_count(threads),
            progress=progress,
        )
    if json:
        say_json(found.told)
    else:
        say(*found.lines(), f"best options: {out}/best.yaml")
    if found.ended == "interrupted":
        raise typer.Exit(130)
