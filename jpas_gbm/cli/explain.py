"""explain: why a model says what it says, and the columns that predict --explain adds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..claims import claim_folder
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
    from ..explanation.explanation import Explanation
    from ..model import Model
    from ..options import ExplainOptions
    from ..surveys.catalogue import Catalogue


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
    from ..config import override
    from ..explanation.blocks import check_rule
    from ..model import Model
    from ..options import ExplainOptions

    given = {"--legacy": legacy, "--survey": survey} if catalogue is None else {"--data": data, "--refits": refits}
    for name, value in given.items():
        if value:
            other = "only goes with --catalogue" if catalogue is None else "does not go with --catalogue"
            raise ConfigError(f"{name} {other}. Leave one of them out.")
    claim_folder(out, "explanation", overwrite, [model, data, catalogue, *(legacy or ())])
    options = override(
        ExplainOptions(),
        rule=check_rule(rule),
        blocks=blocks,
        cut=cut,
        per_class=rows,
        quasars=rows,
        pair=None if pair is None else [name.strip() for name in pair.split(",")],
    )
    fitted = Model.load(model)
    with progress_bar(quiet) as progress:
        threads = thread_count(threads)
        if catalogue is not None:
            found = _of_catalogue(
                fitted, catalogue, legacy or [], survey, objects, options, seed=seed, threads=threads, progress=progress
            )
        else:
            found = _of_dataset(
                fitted, data, split, objects, options, refits, seed=seed, threads=threads, progress=progress
            )
    found.save(out, overwrite=overwrite)
    if json:
        say_json(dict(found.head))
    else:
        say(*found.lines(), f"explanation: {out}/explanation.json, {out}/contributions.npz")


def _of_dataset(
    fitted: Model,
    data: str | None,
    split: str,
    objects: Sequence[str] | None,
    options: ExplainOptions,
    refits: int,
    *,
    seed: int,
    threads: int,
    progress: Progress,
) -> Explanation:
    from ..explanation.explain import explain_dataset, explain_objects, refits_of
    from ..simulation.simulate import open_dataset

    # The built-in survey that a model was fitted on is the one of the model's own seed.
    trained = (fitted.card.get("provenance") or {}).get("seed")
    dataset = open_dataset(data, seed if trained is None else int(trained), progress)
    if objects:
        return explain_objects(fitted, dataset.target, objects, options, seed=seed, threads=threads, progress=progress)
    refit = refits_of(fitted, dataset, threads) if refits else None
    return explain_dataset(
        fitted,
        dataset,
        options,
        split=split,
        seed=seed,
        refits=refits,
        refit=refit,
        threads=threads,
        progress=progress,
    )


def _of_catalogue(
    fitted: Model,
    path: str,
    legacy: Sequence[str],
    survey: str | None,
    objects: Sequence[str] | None,
    options: ExplainOptions,
    *,
    seed: int,
    threads: int,
    progress: Progress,
) -> Explanation:
    from ..explanation.explain import explain_catalogue, explain_objects
    from ..inputs import open_for
    from ..surveys.reader import index_imaging

    rows: Catalogue = open_for(fitted, path, survey).read()
    if legacy:
        imaging = index_imaging(legacy)
        rows = imaging.attach(rows, threads)
        imaging.require_matches(path, len(rows))
    if objects:
        return explain_objects(fitted, rows, objects, options, seed=seed, threads=threads, progress=progress)
    return explain_catalogue(fitted, rows, options, name=Path(path).name, seed=seed, threads=threads, progress=progress)
