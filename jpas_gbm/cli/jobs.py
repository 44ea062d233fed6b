"""report: one page from saved results.

tune: better options within a stated budget.

demo: the whole job on the built-in simulated survey.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..claims import claim_file, claim_room, place_named
from ..errors import ConfigError
from ..run import thread_count
from .console import (
    Data,
    Json,
    Out,
    Overwrite,
    Progress,
    Quiet,
    Seed,
    Threads,
    Verbose,
    progress_bar,
    say,
    say_json,
    start_log,
    verb,
)

if TYPE_CHECKING:
    from ..surveys.dataset import Dataset


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
    from ..tuning.tune import tune as run_study

    with progress_bar(quiet) as progress:
        study = run_study(
            data,
            trials=trials,
            out=out,
            regime=regime,
            config=config,
            timeout=limit,
            jobs=jobs,
            resume=resume,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    if json:
        say_json(study.to_dict())
    else:
        say(*study.lines(), f"best options: {out}/best.yaml")
    if study.ended == "interrupted":
        raise typer.Exit(130)


@verb
def demo(
    out: str = "demo",
    seed: Seed = 0,
    threads: Threads = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Simulate a survey, fit the regimes, compare, explain, report: offline, no data needed, minutes on 2 cores."""
    start_log(verbose, quiet)
    from ..atomic import refuse_existing
    from ..simulation.simulate import simulate
    from .model import run_comparison

    claim_room(out)
    refuse_existing(Path(out) / "comparison.json", overwrite)
    with progress_bar(quiet) as progress:
        dataset = simulate(seed, config="demo", progress=progress)
        found = run_comparison(
            dataset,
            None,
            1,
            out,
            config=None,
            cut=22.5,
            seed=seed,
            threads=thread_count(threads),
            overwrite=overwrite,
            keep_models=True,
            progress=progress,
        )
        _explain_and_report(Path(out), dataset, seed, thread_count(threads), progress)
    if json:
        say_json(found.to_dict())
    else:
        say("The built-in simulated survey: these figures are not comparable with any on real data.")
        say(*found.lines(), f"results: {out}", f"the page to read: {out}/report.html")


def _explain_and_report(out: Path, dataset: Dataset, seed: int, threads: int, progress: Progress) -> None:
    from ..comparison.comparison import run_name
    from ..explanation.explain import explain
    from ..model import Model
    from ..pages.html import write_report

    fitted = Model.load(out / "models" / run_name("ssda", seed))
    why = explain(fitted, dataset, seed=seed, threads=threads, progress=progress)
    why.save(out / "why", overwrite=True)
    write_report([out], out / "report.html", overwrite=True, progress=progress)


_FORMATS = ("png", "pdf")


@verb
def report(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR...", help="Folders of compare, evaluate, explain, fit, prepare or tune; a list's JSON."
        ),
    ],
    out: Out,
    figures: Annotated[str | None, typer.Option("--figures", help="A folder for each figure as a file.")] = None,
    formats: Annotated[str, typer.Option("--formats", help="Of those files: png, pdf or both.")] = "png,pdf",
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write one self-contained page from saved results; nothing is computed anew."""
    start_log(verbose, quiet)
    from ..pages.html import write_report
    from ..pages.page import missing_parts

    wanted = [word.strip() for word in formats.split(",") if word.strip()]
    if not wanted or not set(wanted) <= set(_FORMATS):
        raise ConfigError(f"--formats {formats}: write {' or '.join(_FORMATS)}, or both with a comma.")
    claim_file(out, overwrite, folders)
    with progress_bar(quiet) as progress:
        results = write_report(folders, out, figures=figures, formats=wanted, overwrite=overwrite, progress=progress)
    gaps = missing_parts(results)
    if json:
        say_json({"report": out, "figures": figures, "missing": gaps})
    else:
        say(*(f"missing: {gap}" for gap in gaps), f"report: {out}")
