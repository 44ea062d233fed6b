"""explain: why a model says what it says."""

from __future__ import annotations

from typing import Annotated

import typer

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


@verb
def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder.")],
    out: Out,
    data: Data = None,
    catalogue: Annotated[
        str | None, typer.Option("--catalogue", help="Explain rows of this file instead of a data set's.")
    ] = None,
    legacy: Annotated[list[str] | None, typer.Option("--legacy", help="Tractor tables for --catalogue.")] = None,
    survey: Annotated[str | None, typer.Option("--survey", help="Where the file does not give itself away.")] = None,
    split: Annotated[str, typer.Option("--split", help="test, val or train.")] = "test",
    objects: Annotated[
        list[str] | None, typer.Option("--object", help="Explain this row alone: TILE_ID/NUMBER or TARGETID.")
    ] = None,
    pair: Annotated[str | None, typer.Option("--pair", help="Two classes, A,B: what speaks for A against B.")] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", min=0, help="Most rows of a class; 0: all. Default: 300, quasars 3000.")
    ] = None,
    cut: Annotated[float, typer.Option("--cut", help="Faintest magnitude that counts; inf takes all.")] = 22.5,
    rule: Annotated[
        str, typer.Option("--rule", help="How features are shared among bands: shares, dominant.")
    ] = "shares",
    blocks: Annotated[int | None, typer.Option("--blocks", min=1, help="Blocks along the spectrum.")] = None,
    refits: Annotated[int, typer.Option("--refits", min=0, help="Fit so many siblings to judge stability.")] = 0,
    seed: Seed = 0,
    threads: Threads = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Say which bands decide, exactly: contributions by band, block, rest wavelength and object."""
    start_log(verbose, quiet)
    from ..explanation.explain import explain as explain_rows

    if data is not None and catalogue is not None:
        raise ConfigError("--data does not go with --catalogue. Leave one of them out.")
    with progress_bar(quiet) as progress:
        found = explain_rows(
            model,
            data if catalogue is None else catalogue,
            split=split,
            objects=objects,
            pair=pair,
            rows=rows,
            cut=cut,
            rule=rule,
            blocks=blocks,
            refits=refits,
            legacy=legacy,
            survey=survey,
            seed=seed,
            threads=threads,
            out=out,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        say_json(found.to_dict())
    else:
        say(*found.lines(), f"explanation: {out}/explanation.json, {out}/contributions.npz")
