"""targets: a candidate list from predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import (
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
def targets(
    predictions: Annotated[list[str], typer.Argument(metavar="PREDICTIONS...", help="Files that 'predict' wrote.")],
    out: Out,
    cls: Annotated[str, typer.Option("--class", help="The class wanted.")] = "QSO_high",
    model: Annotated[str | None, typer.Option("--model", help="The model folder; none: looked for nearby.")] = None,
    purity: Annotated[float | None, typer.Option("--purity", help="Longest list of this purity or more.")] = None,
    completeness: Annotated[
        float | None, typer.Option("--completeness", help="Shortest list of this completeness or more.")
    ] = None,
    number: Annotated[int | None, typer.Option("--number", help="The likeliest N.")] = None,
    density: Annotated[float | None, typer.Option("--density", help="The likeliest so many per deg².")] = None,
    fdr: Annotated[float | None, typer.Option("--fdr", help="Conformal list of this false-discovery rate.")] = None,
    confidence: Annotated[float, typer.Option("--confidence", help="Of --purity and --completeness.")] = 0.9,
    mag: Annotated[str | None, typer.Option("--mag", help="BRIGHTEST,FAINTEST magnitude of the list.")] = None,
    bins: Annotated[str, typer.Option("--bins", help="Edges of magnitude bins in which the rule holds.")] = "",
    prior: Annotated[
        str | None, typer.Option("--prior", help="Class mix of the field, A,B,C,D or a YAML file; none: EM.")
    ] = None,
    prior_edges: Annotated[str, typer.Option("--prior-edges", help="Magnitude edges of the class mix.")] = "",
    as_labelled: Annotated[
        bool, typer.Option("--as-labelled", help="The field has the labelled sample's class mix: correct nothing.")
    ] = False,
    shift: Annotated[str, typer.Option("--shift", help="What --fdr assumes: label, covariate or none.")] = "label",
    coverage: Annotated[float, typer.Option("--coverage", help="Of the conformal sets, for each class.")] = 0.9,
    draws: Annotated[int, typer.Option("--draws", help="Bootstrap draws.")] = 200,
    area: Annotated[float | None, typer.Option("--area", help="Footprint in deg²; none: measured.")] = None,
    known: Annotated[
        list[str] | None, typer.Option("--known", help="Catalogues of sources to leave out, by id and position.")
    ] = None,
    moc: Annotated[str | None, typer.Option("--moc", help="Write the footprint's MOC here (FITS).")] = None,
    catalogue: Annotated[
        str | None, typer.Option("--catalogue", help="The catalogue that was predicted, for --noise-draws.")
    ] = None,
    legacy: Annotated[list[str] | None, typer.Option("--legacy", help="Its Tractor tables.")] = None,
    noise_draws: Annotated[
        int, typer.Option("--noise-draws", min=0, help="Predict the candidates so often again, with noise added.")
    ] = 0,
    seed: Seed = 0,
    threads: Threads = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Make a candidate list that says what it promises: by purity, completeness, number, density or fdr."""
    start_log(verbose, quiet)
    from ..lists import candidate_list

    with progress_bar(quiet) as progress:
        found = candidate_list.targets(
            predictions,
            model,
            cls=cls,
            purity=purity,
            completeness=completeness,
            number=number,
            density=density,
            fdr=fdr,
            known=known,
            out=out,
            overwrite=overwrite,
            seed=seed,
            threads=threads,
            progress=progress,
            confidence=confidence,
            magnitudes=mag or (None, None),
            bin_edges=bins,
            prior=prior,
            prior_edges=prior_edges,
            correct=not as_labelled,
            shift=shift,
            coverage=coverage,
            draws=draws,
            area=area,
            catalogue=catalogue,
            legacy=legacy,
            noise_draws=noise_draws,
            moc=moc,
        )
    if json:
        say_json({name: value for name, value in found.to_dict().items() if name != "curves"})
        return
    beside = Path(out).with_suffix(".json")
    say(*found.lines(), f"list: {out}", f"rule, mix and curves: {beside}", *([f"MOC: {moc}"] if moc else []))
