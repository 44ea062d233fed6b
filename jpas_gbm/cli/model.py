"""Verbs about models: fit, tune, evaluate, compare, predict, explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from typer import Argument, Option

from ..errors import ConfigError
from .console import Config, Cut, Data, Legacy, Model, Out, Regime, Split, Survey, verb


@verb("seed", "threads", "overwrite", "json", as_json=lambda model: model.card)
def fit(
    result: Any,
    regime: Regime = None,
    data: Data = None,
    out: Out = "model",
    config: Config = None,
    seeds: Annotated[int | None, Option(min=1, help="Members of the ensemble.")] = None,
    crossfit: Annotated[
        int | None, Option(min=0, help="Train on validation labels too: so many folds choose and calibrate.")
    ] = None,
    **more: object,
) -> Sequence[str]:
    """Fit one regime and write the model folder."""
    return [f"model: {out}"]


@verb("seed", "threads", "json")
def tune(
    result: Any,
    out: Out,
    trials: Annotated[int, Option(help="Trials that the study is to have in all.")],
    regime: Annotated[str, Option(help="ssda, target-only or mocks-calibrated.")] = "ssda",
    data: Data = None,
    config: Annotated[str, Option(help="Space and objective: a YAML file, or a shipped one.")] = "tune",
    timeout: Annotated[str | None, Option(help="Time allowed, such as 90s, 45m or 2h.")] = None,
    jobs: Annotated[int, Option(min=1, help="Processes that share the trials.")] = 1,
    resume: Annotated[bool, Option("--resume", help="Go on with the study in --out.")] = False,
    **more: object,
) -> Sequence[str]:
    """Look for better options with Optuna: resumable, judged on target validation, never on the test split."""
    return [f"best options: {out}/best.yaml"]


@verb("seed", "threads", "overwrite", "json")
def evaluate(
    result: Any,
    model: Model,
    out: Out,
    data: Data = None,
    split: Split = "test",
    cut: Cut = 22.5,
    without_imaging: Annotated[bool, Option("--without-imaging", help="Forget magnitude and morphology.")] = False,
    **more: object,
) -> Sequence[str]:
    """Measure a model on a split of a data set: metrics.json with intervals."""
    return [f"metrics: {out}/metrics.json"]


def _compared(regimes: list[str] | None, budgets: str | None, **given: Any) -> Any:
    """Compare regimes that commas or spaces part, at budgets that commas part."""
    from .. import compare
    from ..comparison.compare import read_budgets

    names = [name.strip() for word in regimes for name in word.split(",")] if regimes else None
    return compare(regimes=names, budgets=None if budgets is None else read_budgets(budgets), **given)


@verb("seed", "threads", "overwrite", "json", call=_compared)
def compare(
    result: Any,
    out: Out,
    data: Data = None,
    regimes: Annotated[list[str] | None, Option(help="Regimes to compare; default: the four.")] = None,
    seeds: Annotated[int, Option(min=1, help="Training seeds per regime.")] = 1,
    config: Config = None,
    cut: Cut = 22.5,
    budgets: Annotated[str | None, Option(help="Label budgets, such as 100,1000,all: the label-budget curve.")] = None,
    keep_models: Annotated[bool, Option("--keep-models", help="Keep every model, for further figures.")] = False,
    draws: Annotated[int, Option(min=1, help="Draws of labels per budget.")] = 3,
    **more: object,
) -> Sequence[str]:
    """Fit several regimes over seeds and compare them on the test split with paired intervals."""
    from ..pages.figures.regime_scores import save_picture

    save_picture(result, out)
    return [f"results: {out}"]


@verb("threads", "overwrite", "json")
def predict(
    result: Any,
    model: Model,
    catalogue: Annotated[str, Argument(metavar="CATALOGUE", help="FITS, VOTable, Parquet, CSV or .npy.")],
    out: Out,
    legacy: Legacy = None,
    survey: Survey = None,
    chunk_rows: Annotated[int, Option(min=1, help="Rows in memory at a time.")] = 50_000,
    explain: Annotated[
        str | None, Option(help="Add the bands that decide: for rows of these classes (A,B), or all.")
    ] = None,
    pair: Annotated[str | None, Option(help="Classes A,B that --explain compares.")] = None,
    **more: object,
) -> Sequence[str]:
    """Classify a whole catalogue in bounded memory; rows stay in input order."""
    return []


def _rows_of(catalogue: str | None, data: str | None, **given: Any) -> Any:
    """Explain rows of a catalogue or of a data set."""
    from .. import explain

    if data is not None and catalogue is not None:
        raise ConfigError("--data does not go with --catalogue. Leave one of them out.")
    if data is not None and given["legacy"]:
        raise ConfigError("--legacy only goes with --catalogue. Leave one of them out.")
    return explain(data=data if catalogue is None else catalogue, **given)


@verb("seed", "threads", "overwrite", "json", call=_rows_of)
def explain(
    result: Any,
    model: Model,
    out: Out,
    data: Data = None,
    catalogue: Annotated[str | None, Option(help="Explain rows of this file instead of a data set's.")] = None,
    legacy: Legacy = None,
    survey: Survey = None,
    split: Split = "test",
    objects: Annotated[
        list[str] | None, Option("--object", help="Explain this row alone: TILE_ID/NUMBER or TARGETID.")
    ] = None,
    pair: Annotated[str | None, Option(help="Two classes, A,B: what speaks for A against B.")] = None,
    rows: Annotated[int | None, Option(min=0, help="Most rows of a class; 0: all. Default: 300, quasars 3000.")] = None,
    cut: Cut = 22.5,
    rule: Annotated[str, Option(help="How features are shared among bands: shares, dominant.")] = "shares",
    blocks: Annotated[int | None, Option(min=1, help="Blocks along the spectrum.")] = None,
    refits: Annotated[int, Option(min=0, help="Fit so many siblings to judge stability.")] = 0,
    **more: object,
) -> Sequence[str]:
    """Say which bands decide, exactly: contributions by band, block, rest wavelength and object."""
    return [f"explanation: {out}/explanation.json, {out}/contributions.npz"]
