"""What compare and demo share: run, save, draw.

Verbs about models: fit, evaluate, compare, predict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..claims import claim_file, claim_folder
from .console import (
    Config,
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


Cut = Annotated[float, typer.Option("--cut", help="Faintest magnitude that counts.")]
Regime = Annotated[str | None, typer.Option("--regime", help="mocks-only, mocks-calibrated, target-only, uda or ssda.")]


@verb
def fit(
    regime: Regime = None,
    data: Data = None,
    out: Out = "model",
    config: Config = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Members of the ensemble.")] = None,
    crossfit: Annotated[
        int | None,
        typer.Option("--crossfit", min=0, help="Train on validation labels too: so many folds choose and calibrate."),
    ] = None,
    seed: Seed = 0,
    threads: Threads = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Fit one regime and write the model folder."""
    start_log(verbose, quiet)
    from ..adaptation.fit import fit as fit_model

    claim_folder(out, "model", overwrite, [data, config])
    with progress_bar(quiet) as progress:
        model = fit_model(
            data,
            regime=regime,
            config=config,
            seeds=seeds,
            crossfit=crossfit,
            seed=seed,
            threads=threads,
            progress=progress,
        )
        model.save(out, overwrite=overwrite)
    if json:
        say_json(model.card)
    else:
        say(*model.lines(), f"model: {out}")


@verb
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder.")],
    out: Out,
    data: Data = None,
    split: Annotated[str, typer.Option("--split", help="test, val or train.")] = "test",
    cut: Cut = 22.5,
    without_imaging: Annotated[
        bool, typer.Option("--without-imaging", help="Forget magnitude and morphology.")
    ] = False,
    seed: Seed = 0,
    threads: Threads = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Measure a model on a split of a data set: metrics.json with intervals."""
    start_log(verbose, quiet)
    from ..comparison.compare import evaluate as evaluate_verb

    with progress_bar(quiet) as progress:
        found = evaluate_verb(
            model,
            data,
            split=split,
            cut=cut,
            without_imaging=without_imaging,
            seed=seed,
            threads=threads,
            out=out,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        say_json(found.to_dict())
    else:
        say(*found.lines(), f"metrics: {out}/metrics.json")


@verb
def compare(
    out: Out,
    data: Data = None,
    regimes: Annotated[
        list[str] | None, typer.Option("--regimes", help="Regimes to compare; default: the four.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Training seeds per regime.")] = 1,
    config: Config = None,
    cut: Cut = 22.5,
    budgets: Annotated[
        str | None, typer.Option("--budgets", help="Label budgets, such as 100,1000,all: the label-budget curve.")
    ] = None,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep every model, for further figures.")] = False,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Draws of labels per budget.")] = 3,
    seed: Seed = 0,
    threads: Threads = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Fit several regimes over seeds and compare them on the test split with paired intervals."""
    start_log(verbose, quiet)
    from ..comparison.compare import compare as compare_verb
    from ..comparison.compare import read_budgets
    from ..pages.figures.regime_scores import save_picture

    with progress_bar(quiet) as progress:
        found = compare_verb(
            data,
            regimes=[name.strip() for word in regimes for name in word.split(",")] if regimes else None,
            seeds=seeds,
            config=config,
            cut=cut,
            budgets=None if budgets is None else read_budgets(budgets),
            draws=draws,
            keep_models=keep_models,
            out=out,
            overwrite=overwrite,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    save_picture(found, out)
    if json:
        say_json(found.to_dict())
    else:
        say(*found.lines(), f"results: {out}")


@verb
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder.")],
    catalogue: Annotated[str, typer.Argument(metavar="CATALOGUE", help="FITS, VOTable, Parquet, CSV or .npy.")],
    out: Out,
    legacy: Annotated[list[str] | None, typer.Option("--legacy", help="Tractor tables: morphology and r.")] = None,
    survey: Annotated[str | None, typer.Option("--survey", help="Where the file does not give itself away.")] = None,
    chunk_rows: Annotated[int, typer.Option("--chunk-rows", min=1, help="Rows in memory at a time.")] = 50_000,
    explain: Annotated[
        str | None,
        typer.Option("--explain", help="Add the bands that decide: for rows of these classes (A,B), or all."),
    ] = None,
    pair: Annotated[str | None, typer.Option("--pair", help="Classes A,B that --explain compares.")] = None,
    threads: Threads = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Classify a whole catalogue in bounded memory; rows stay in input order."""
    start_log(verbose, quiet)
    from ..inference.stream import predict as predict_catalogue

    for path in (out, *([f"{out}.json"] if out.lower().endswith(".csv") else [])):
        claim_file(path, overwrite, [model, catalogue, *(legacy or ())])
    with progress_bar(quiet) as progress:
        found = predict_catalogue(
            model,
            catalogue,
            out,
            legacy=legacy,
            survey=survey,
            chunk_rows=chunk_rows,
            explain=explain,
            pair=pair,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        say_json(found.to_dict())
    else:
        say(*found.lines())
