"""demo: the whole job on the built-in simulated survey."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .console import (
    Json,
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
    thread_count,
    verb,
)
from .outputs import claim_room

if TYPE_CHECKING:
    from ..survey.dataset import Dataset


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
    from ..adaptation.builtin import builtin_dataset
    from ..config import load_options
    from ..files import refuse_existing
    from ..mocks.simulate import SimulateOptions
    from .comparing import run_comparison

    claim_room(out)
    refuse_existing(Path(out) / "comparison.json", overwrite)
    with progress_bar(quiet) as progress:
        dataset, _ = builtin_dataset(seed, load_options(SimulateOptions, "demo"), progress=progress)
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
    from ..comparison.compare import run_name
    from ..explanation.explain import explain_dataset
    from ..fitted import FittedClassifier
    from ..report.html import write_report

    fitted = FittedClassifier.load(out / "models" / run_name("ssda", seed))
    why = explain_dataset(fitted, dataset, seed=seed, threads=threads, progress=progress)
    why.save(out / "why", overwrite=True)
    write_report([out], out / "report.html", overwrite=True, progress=progress)
