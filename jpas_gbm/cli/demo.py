"""demo: the whole job on the built-in simulated survey."""

from __future__ import annotations

from .console import (
    Json,
    Overwrite,
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
    """Simulate a survey, fit the regimes, compare them: offline, no data needed, minutes on 2 cores."""
    start_log(verbose, quiet)
    from ..adaptation.builtin import builtin_dataset
    from ..config import load_options
    from ..files import refuse_existing
    from ..mocks.simulate import SimulateOptions
    from .comparing import run_comparison

    refuse_existing(out, overwrite)
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
            progress=progress,
        )
    if json:
        say_json(found.to_dict())
    else:
        say("The built-in simulated survey: these figures are not comparable with any on real data.")
        say(*found.lines(), f"results: {out}")
