"""Verbs that make and look at data: simulate, inspect, prepare."""

from __future__ import annotations

from typing import Annotated

import typer

from ..claims import claim_folder
from ..errors import ConfigError
from .console import Config, Json, Out, Overwrite, Quiet, Seed, Verbose, progress_bar, say, say_json, start_log, verb

Files = Annotated[list[str], typer.Option(help="One or several files.")]


def pairs(words: list[str]) -> dict[str, str]:
    """Return ``role: survey`` from words like ``target=sdss_ugriz``.

    Raises
    ------
    ConfigError
        If a word has another form or role.
    """
    roles = ("source", "target", "labels", "legacy")
    found = {}
    for word in words:
        role, equals, name = word.partition("=")
        if not equals or role not in roles:
            raise ConfigError(f"--survey {word}: write ROLE=NAME with ROLE one of {', '.join(roles)}.")
        found[role] = name
    return found


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
    from ..config import load_options, override
    from ..options import PrepareOptions
    from ..surveys.prepare import prepare_dataset

    claim_folder(out, "data set", overwrite, [*source, *target, *(labels or ()), *(legacy or ()), config])
    options = load_options(PrepareOptions, config) if config else PrepareOptions()
    options = override(options, bands=bands, match_radius=radius)
    if split_seed is not None:
        options = override(options, splits=override(options.splits, seed=split_seed).model_dump())
    with progress_bar(quiet) as progress:
        dataset = prepare_dataset(
            source, target, labels or (), legacy or (), surveys=pairs(survey or []), options=options, progress=progress
        )
        dataset.save(out, overwrite=overwrite)
    if json:
        say_json(dataset.summary())
    else:
        say(*dataset.lines(), f"data set: {out}")
