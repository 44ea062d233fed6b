"""targets: a candidate list from predictions."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..atomic import atomic_file
from ..claims import claim_file
from ..errors import ConfigError
from ..run import thread_count
from ..store import dump_json
from .console import (
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
    from ..lists.candidate_list import TargetList
    from ..lists.list_file import ListColumn
    from ..model import Model


_SAME = 1e-3
"""Probabilities nearer than this are the same, written and read again."""


def numbers(words: str, option: str, example: str = "20,21.5") -> tuple[float, ...]:
    """Return the numbers of ``20,21.5``.

    Raises
    ------
    ConfigError
        If a word is no number.
    """
    try:
        return tuple(float(word) for word in words.split(",") if word.strip())
    except ValueError as error:
        raise ConfigError(f"{option} {words}: write numbers with commas, such as {example}.") from error


def limits(words: str) -> tuple[float | None, float | None]:
    """Return the limits of ``17,22.5``; either may be empty, as in ``,22.5``."""
    ends = words.split(",")
    if len(ends) != 2:
        raise ConfigError(f"--mag {words}: write BRIGHTEST,FAINTEST, such as 17,22.5 or ,22.5.")
    bright, faint = (numbers(word, "--mag", "17,22.5 or ,22.5") for word in ends)
    return bright[0] if bright else None, faint[0] if faint else None


def prior_rows(words: str) -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...] | None]:
    """Return shares and edges of ``0.01,0.03,0.72,0.24`` or of a YAML file with ``shares`` and ``edges``."""
    if not Path(words).is_file():
        example = "0.01,0.03,0.72,0.24, one share for each class, or name a YAML file that is there"
        shares = numbers(words, "--prior", example)
        if not shares:
            raise ConfigError(f"--prior {words}: is empty. Write numbers with commas, such as {example}.")
        return (shares,), None
    from ..config import read_yaml

    told = read_yaml(words)
    try:
        rows = tuple(tuple(map(float, row)) for row in told["shares"])
        edges = tuple(map(float, told.get("edges", ())))
        if not rows or set(told) > {"shares", "edges"}:
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{words}: a prior file has 'shares', a list with one row of class shares for each bin, and 'edges', the "
            "magnitudes between bins; and nothing else."
        ) from error
    return rows, edges


@verb
def targets(
    predictions: Annotated[list[str], typer.Argument(metavar="PREDICTIONS...", help="Files that 'predict' wrote.")],
    out: Out,
    target: Annotated[str, typer.Option("--class", help="The class wanted.")] = "QSO_high",
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
    from ..config import parse_options
    from ..lists.candidate_list import make_target_list
    from ..lists.list_file import write_target_list
    from ..lists.predicted import read_predictions
    from ..lists.selection import TargetOptions
    from ..output.writers import writer_class

    writer_class(out)
    about = str(Path(out).with_suffix(".json"))
    companions = [f"{path}.json" for path in predictions]
    _claim(
        [out, about, *([moc] if moc else [])],
        overwrite,
        [*predictions, *companions, model, catalogue, *(legacy or ()), prior],
    )
    shares, edges = ((), None) if prior is None else prior_rows(prior)
    if edges and prior_edges:
        raise ConfigError(f"--prior-edges: {prior} has edges of its own. Leave one of them out.")
    _check_noise(noise_draws, catalogue, legacy)
    options = parse_options(
        TargetOptions,
        {
            "target": target,
            "purity": purity,
            "completeness": completeness,
            "number": number,
            "density": density,
            "fdr": fdr,
            "confidence": confidence,
            "magnitudes": limits(mag) if mag else (None, None),
            "bin_edges": numbers(bins, "--bins"),
            "prior": shares,
            "prior_edges": edges or numbers(prior_edges, "--prior-edges"),
            "correct": not as_labelled,
            "shift": shift,
            "coverage": coverage,
            "draws": draws,
            "area": area,
        },
        "targets",
    )
    predicted = read_predictions(predictions)
    fitted, described = _model(model, predicted.model, predictions)
    with progress_bar(quiet) as progress:
        found = make_target_list(
            predicted, fitted, options, about_model=described, inputs=predictions, seed=seed, progress=progress
        )
        if moc:
            _check_moc(found)
        more = None
        if noise_draws:
            assert catalogue is not None
            more = _noise(found, fitted, catalogue, legacy or [], noise_draws, seed, thread_count(threads), progress)
    with ExitStack() as stack:  # all of the files, or none
        stack.enter_context(atomic_file(about, overwrite=overwrite)).write_text(dump_json(found.told), encoding="utf-8")
        if moc:
            assert found.footprint is not None
            found.footprint.write_moc(stack.enter_context(atomic_file(moc, overwrite=overwrite)))
        write_target_list(found, out, more=more, overwrite=overwrite)
    if json:
        say_json({name: value for name, value in found.told.items() if name != "curves"})
    else:
        say(*found.lines(), f"list: {out}", f"rule, mix and curves: {about}", *([f"MOC: {moc}"] if moc else []))


def _claim(written: list[str], overwrite: bool, inputs: list[str | None]) -> None:
    if len({Path(path).resolve() for path in written}) < len(written):
        raise ConfigError(f"--moc {written[-1]}: is where the list or what is told of it goes. Give another name.")
    for path in written:
        claim_file(path, overwrite, inputs)


def _check_noise(noise_draws: int, catalogue: str | None, legacy: list[str] | None) -> None:
    if noise_draws and not catalogue:
        raise ConfigError("--noise-draws needs the catalogue that was predicted: name it with --catalogue.")
    if noise_draws == 1:
        raise ConfigError("--noise-draws 1: one draw has no spread. Ask for 2 or more.")
    if not noise_draws and (catalogue or legacy):
        raise ConfigError("--catalogue and --legacy are for --noise-draws: say how many, or leave them out.")


def _model(model: str | None, told: Any, predictions: list[str]) -> tuple[Model, dict[str, Any]]:
    from ..inputs import about_model
    from ..lists.predicted import find_model
    from ..model import Model

    folder = model or find_model(told, [*(Path(path).parent for path in predictions), Path()])
    fitted = Model.load(folder)
    return fitted, about_model(fitted)


def _check_moc(found: TargetList) -> None:
    if found.footprint is None or not len(found.footprint.cells):
        raise ConfigError("--moc: too few rows of the predictions have a position, so there is no footprint to write.")


def _noise(
    found: TargetList,
    fitted: Model,
    catalogue: str,
    legacy: list[str],
    draws: int,
    seed: int,
    threads: int,
    progress: Progress,
) -> dict[str, ListColumn]:
    import numpy as np

    from ..inputs import CHUNK_ROWS, open_for
    from ..lists.list_file import ListColumn
    from ..lists.predicted import noise_probabilities
    from ..surveys.catalogue import Catalogue
    from ..surveys.reader import index_imaging

    imaging = index_imaging(legacy) if legacy else None
    parts, places = [], []
    for chunk in open_for(fitted, catalogue).chunks(CHUNK_ROWS):
        rows, place = _rows_in(found, chunk)
        if len(rows):
            part = chunk.take(rows)
            parts.append(part if imaging is None else imaging.attach(part, threads))
            places.append(place)
    order = np.concatenate(places) if places else np.zeros(0, dtype=np.intp)
    if len(order) != len(found):
        raise ConfigError(
            f"--catalogue {catalogue}: has {len(order)} of the {len(found)} candidates. Name the catalogue that was "
            "predicted."
        )
    seen = Catalogue.concat(parts)
    other = np.abs(fitted.probabilities(seen, threads) - found.rows.p[order]).max(axis=1) > _SAME
    if other.any():
        raise ConfigError(
            f"--catalogue {catalogue}: the model says other things of {int(other.sum())} of the {len(found)} "
            "candidates than the predictions do. Name the catalogue that was predicted, and the --legacy tables it was "
            "predicted with."
        )
    noisy = noise_probabilities(fitted, seen, draws, seed=seed, threads=threads, progress=progress)
    column = found.told["classes"].index(found.told["class"])
    mean, spread = np.empty(len(order), dtype=np.float32), np.empty(len(order), dtype=np.float32)
    mean[order], spread[order] = noisy.mean[:, column], noisy.spread[:, column]
    sentence = f"of the model's probability of {found.told['class']} over {draws} draws of added noise."
    return {
        "P_NOISE": ListColumn("P_NOISE", mean, f"Mean {sentence}", "stat.mean;stat.probability"),
        "P_NOISE_STD": ListColumn("P_NOISE_STD", spread, f"Scatter {sentence}", "stat.stdev;stat.probability"),
    }


def _rows_in(found: TargetList, chunk: Any) -> tuple[Any, Any]:
    """Return rows of a chunk that are candidates, and their places in the list."""
    import numpy as np

    names = [name for name in chunk.key if name in found.rows.ids]
    known = {row: i for i, row in enumerate(zip(*(found.rows.ids[name].tolist() for name in names), strict=True))}
    keys = list(zip(*(chunk.key[name].tolist() for name in names), strict=True))
    rows = np.array([i for i, key in enumerate(keys) if key in known], dtype=np.intp)
    return rows, np.array([known[keys[i]] for i in rows], dtype=np.intp)
