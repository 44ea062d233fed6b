"""Verbs that make and look at data: simulate, inspect, prepare."""

from __future__ import annotations

from typing import Annotated

import typer

from ..claims import claim_folder
from .console import Config, Json, Out, Overwrite, Quiet, Seed, Verbose, progress_bar, say, say_json, start_log, verb

Files = Annotated[list[str], typer.Option(help="One or several files.")]


@verb
def simulate(
    out: Out,
    config: Config = None,
    rows: Annotated[int | None, typer.Option("--rows", min=100, help="Mock rows (source).")] = None,
    labelled: Annotated[int | None, typer.Option("--labelled", min=0, help="Labelled target rows.")] = None,
    unlabelled: Annotated[int | None, typer.Option("--unlabelled", min=0, help="Unlabelled target rows.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Simulate a survey: mocks, target catalogue, labels, imaging and truth, with a recorded shift."""
    start_log(verbose, quiet)
    from ..simulation.simulate import simulate

    claim_folder(out, "simulated survey", overwrite, [config])
    sizes = {"rows": rows, "labelled": labelled, "unlabelled": unlabelled}
    with progress_bar(quiet) as progress:
        made = simulate(seed, **sizes, config=config, out=out, overwrite=overwrite, progress=progress).survey
    say(f"{out}: {len(made.source)} mock rows, {len(made.target)} target rows; the shift is in shift.json")


@verb
def inspect(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Tables of any survey known.")],
    survey: Annotated[str | None, typer.Option("--survey", help="Where a file does not give itself away.")] = None,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Say what was understood of a file: survey, bands, rows, missing, flags, labels, problems."""
    start_log(verbose, quiet)
    from ..surveys import inspect as room

    found = room.inspect(files, survey=survey)
    if json:
        say_json(found.to_dict())
    else:
        say(*found.lines())


@verb
def prepare(
    source: Files,
    target: Files,
    out: Out,
    labels: Annotated[list[str] | None, typer.Option(help="Label tables, such as a DESI zcatalogue.")] = None,
    legacy: Annotated[list[str] | None, typer.Option(help="Legacy Surveys Tractor tables.")] = None,
    survey: Annotated[list[str] | None, typer.Option(help="ROLE=NAME where a file does not give itself away.")] = None,
    bands: Annotated[str | None, typer.Option(help="Band system to keep, such as jpas55 or jpas57.")] = None,
    radius: Annotated[float | None, typer.Option(help="Largest separation of a sky match, arcsec.")] = None,
    split_seed: Annotated[int | None, typer.Option(help="Seed of the splits by object.")] = None,
    config: Config = None,
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Read, curate, match, label, split and audit: survey files become a data set folder."""
    start_log(verbose, quiet)
    from ..surveys import prepare as room

    with progress_bar(quiet) as progress:
        dataset = room.prepare(
            source,
            target,
            labels,
            legacy,
            survey=survey,
            config=config,
            bands=bands,
            radius=radius,
            split_seed=split_seed,
            out=out,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        say_json(dataset.summary().to_dict())
    else:
        say(*dataset.lines(), f"data set: {out}")
