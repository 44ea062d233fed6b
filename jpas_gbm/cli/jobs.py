"""report: one page from saved results.

tune: better options within a stated budget.

demo: the whole job on the built-in simulated survey.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from ..claims import claim_file, claim_room, place_named
from ..errors import ConfigError
from .console import (
    Data,
    Json,
    Out,
    Overwrite,
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
    pass


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
    from ..comparison.compare import compare
    from ..explanation.explain import explain
    from ..model import Model
    from ..pages.figures.regime_scores import save_picture
    from ..pages.html import report as report_verb
    from ..simulation.simulate import simulate

    folder = claim_room(out)
    refuse_existing(folder / "comparison.json", overwrite)
    with progress_bar(quiet) as progress:
        more = {"seed": seed, "threads": threads, "progress": progress}
        dataset = simulate(seed, config="demo", progress=progress)
        found = compare(dataset, keep_models=True, out=out, overwrite=overwrite, **more)  # type: ignore[arg-type]
        save_picture(found, out)
        fitted = Model.load(folder / "models" / f"ssda-seed{seed}")
        explain(fitted, dataset, **more).save(folder / "why", overwrite=True)  # type: ignore[arg-type]
        report_verb([folder], folder / "report.html", overwrite=True, progress=progress)
    if json:
        say_json(found.to_dict())
    else:
        say("The built-in simulated survey: these figures are not comparable with any on real data.")
        say(*found.lines(), f"results: {out}", f"the page to read: {out}/report.html")


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
    from ..pages.html import report as report_verb
    from ..pages.page import missing_parts
    from ..pages.results import read_results

    claim_file(out, overwrite, folders)
    wanted = [word.strip() for word in formats.split(",") if word.strip()]
    with progress_bar(quiet) as progress:
        results = read_results(folders)
        report_verb(results, out, figures=figures, formats=wanted, overwrite=overwrite, progress=progress)
    gaps = missing_parts(results)
    if json:
        say_json({"report": out, "figures": figures, "missing": gaps})
    else:
        say(*(f"missing: {gap}" for gap in gaps), f"report: {out}")
