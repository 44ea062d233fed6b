"""What compare and demo share: run, save, draw.

Verbs about models: fit, evaluate, compare, predict.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..claims import claim_file, claim_folder, claim_room
from ..errors import ConfigError
from ..run import thread_count
from .console import (
    Config,
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
    from ..comparison.budgets import BudgetCurve
    from ..comparison.comparison import Comparison
    from ..options import FitOptions
    from ..surveys.dataset import Dataset


Cut = Annotated[float, typer.Option("--cut", help="Faintest magnitude that counts.")]
Regime = Annotated[str | None, typer.Option("--regime", help="mocks-only, mocks-calibrated, target-only, uda or ssda.")]


def regime_names(words: list[str] | None) -> list[str] | None:
    """Return the regimes of ``--regimes A,B C``; None if there is none.

    Raises
    ------
    ConfigError
        If one is named twice or left empty.
    """
    from ..adaptation.regimes import get_regime

    names = [name.strip() for word in words or [] for name in word.split(",")]
    for name in names:
        if not name:
            raise ConfigError(f"--regimes {' '.join(words or [])}: a name is empty. Write names with commas between.")
        get_regime(name)
        if names.count(name) > 1:
            raise ConfigError(f"--regimes names {name} more than once.")
    return names or None


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
    from ..atomic import atomic_folder
    from ..comparison.evaluation import evaluate_model
    from ..comparison.exhibits import evaluation_exhibits
    from ..model import Model
    from ..simulation.simulate import open_dataset

    claim_folder(out, "evaluation", overwrite, [model, data])
    fitted = Model.load(model)
    with progress_bar(quiet) as progress:
        dataset = open_dataset(data, seed, progress)
        found = evaluate_model(
            fitted,
            dataset,
            split=split,
            cut=cut,
            seed=seed,
            threads=thread_count(threads),
            without_imaging=without_imaging,
        )
        exhibits = evaluation_exhibits(fitted, dataset, found, seed=seed, threads=thread_count(threads))
        with atomic_folder(out, overwrite=overwrite) as folder:
            found.save(folder, overwrite=True)
            exhibits.save(folder)
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
    from ..simulation.simulate import open_dataset

    claim_room(out)
    chosen = regime_names(regimes)
    with progress_bar(quiet) as progress:
        dataset = open_dataset(data, seed, progress)
        run = {"config": config, "cut": cut, "seed": seed, "threads": thread_count(threads), "overwrite": overwrite}
        found: Comparison | BudgetCurve
        if budgets is not None:
            found = run_budgets(dataset, chosen, budgets, draws, out, progress=progress, **run)  # type: ignore[arg-type]
        else:
            found = run_comparison(dataset, chosen, seeds, out, keep_models=keep_models, progress=progress, **run)  # type: ignore[arg-type]
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


def _options(config: str | None, default: str = "compare") -> FitOptions:
    from ..config import load_options
    from ..options import FitOptions

    return load_options(FitOptions, config or default)


def _check_regimes(regimes: list[str]) -> None:
    from ..adaptation.regimes import get_regime

    for name in regimes:
        get_regime(name)


def budget_words(budgets: str) -> list[int | str]:
    """Return the label budgets of ``100,1000,all``.

    Raises
    ------
    ConfigError
        If a word is no number of labels, or comes twice.
    """
    words = [word.strip() for word in budgets.split(",")]
    if not all(word == "all" or (word.isdecimal() and int(word)) for word in words):
        raise ConfigError(f"--budgets {budgets}: write numbers of labels and 'all', such as 100,1000,all.")
    found = [word if word == "all" else int(word) for word in words]
    if len(set(found)) < len(found):
        raise ConfigError(f"--budgets {budgets}: a budget comes twice.")
    return found


def run_comparison(
    dataset: Dataset,
    regimes: list[str] | None,
    seeds: int,
    out: str,
    *,
    config: str | None,
    cut: float,
    seed: int,
    threads: int,
    overwrite: bool,
    keep_models: bool = False,
    progress: Progress,
) -> Comparison:
    """Compare regimes; write scores, curves, the figure and exhibits for the report. Finished runs are taken up."""
    from ..atomic import refuse_existing
    from ..comparison.comparison import compare
    from ..comparison.exhibits import comparison_exhibits
    from ..options import REGIMES
    from ..pages.figures import regimes_figure, save_figure

    chosen = regimes or list(REGIMES)
    _check_regimes(chosen)
    refuse_existing(Path(out) / "comparison.json", overwrite)
    found = compare(
        dataset,
        chosen,
        [seed + i for i in range(seeds)],
        _options(config),
        cut=cut,
        seed=seed,
        out=out,
        keep_models=keep_models,
        threads=threads,
        progress=progress,
    )
    found.save(out, overwrite=True)
    save_figure(regimes_figure, found, Path(out) / "regimes.png", overwrite=True)
    exhibits = comparison_exhibits(found, dataset, Path(out) / "models", seed=seed, threads=threads)
    exhibits.save(out, overwrite=True)
    return found


def run_budgets(
    dataset: Dataset,
    regimes: list[str] | None,
    budgets: str,
    draws: int,
    out: str,
    *,
    config: str | None,
    cut: float,
    seed: int,
    threads: int,
    overwrite: bool,
    progress: Progress,
) -> BudgetCurve:
    """Refit with fewer labels and write budgets.json and the figure; finished fits are taken up."""
    from ..atomic import refuse_existing
    from ..comparison.budgets import label_budgets
    from ..pages.figures import budgets_figure, save_figure

    chosen = regimes or ["mocks-calibrated", "target-only", "ssda"]
    _check_regimes(chosen)
    refuse_existing(Path(out) / "budgets.json", overwrite)
    found = label_budgets(
        dataset,
        budget_words(budgets),
        chosen,
        _options(config, "budgets"),
        draws=draws,
        seed=seed,
        cut=cut,
        out=out,
        threads=threads,
        progress=progress,
    )
    found.save(out, overwrite=True)
    save_figure(budgets_figure, found, Path(out) / "budgets.png", overwrite=True)
    return found
