"""targets: a candidate list from predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from .console import Legacy, Out, verb


def _without_curves(result: Any) -> dict[str, Any]:
    return {name: value for name, value in result.to_dict().items() if name != "curves"}


@verb("seed", "threads", "overwrite", "json", as_json=_without_curves)
def targets(
    result: Any,
    predictions: Annotated[list[str], Argument(metavar="PREDICTIONS...", help="Files that 'predict' wrote.")],
    out: Out,
    cls: Annotated[str, Option("--class", help="The class wanted.")] = "QSO_high",
    model: Annotated[str | None, Option("--model", help="The model folder; none: looked for nearby.")] = None,
    purity: Annotated[float | None, Option(help="Longest list of this purity or more.")] = None,
    completeness: Annotated[float | None, Option(help="Shortest list of this completeness or more.")] = None,
    number: Annotated[int | None, Option(help="The likeliest N.")] = None,
    density: Annotated[float | None, Option(help="The likeliest so many per deg².")] = None,
    fdr: Annotated[float | None, Option(help="Conformal list of this false-discovery rate.")] = None,
    confidence: Annotated[float, Option(help="Of --purity and --completeness.")] = 0.9,
    magnitudes: Annotated[str | None, Option("--mag", help="BRIGHTEST,FAINTEST magnitude of the list.")] = None,
    bin_edges: Annotated[str, Option("--bins", help="Edges of magnitude bins in which the rule holds.")] = "",
    prior: Annotated[str | None, Option(help="Class mix of the field, A,B,C,D or a YAML file; none: EM.")] = None,
    prior_edges: Annotated[str, Option(help="Magnitude edges of the class mix.")] = "",
    correct: Annotated[
        bool, Option(" /--as-labelled", help="The field has the labelled sample's class mix: correct nothing.")
    ] = True,
    shift: Annotated[str, Option(help="What --fdr assumes: label, covariate or none.")] = "label",
    coverage: Annotated[float, Option(help="Of the conformal sets, for each class.")] = 0.9,
    draws: Annotated[int, Option(help="Bootstrap draws.")] = 200,
    area: Annotated[float | None, Option(help="Footprint in deg²; none: measured.")] = None,
    known: Annotated[list[str] | None, Option(help="Catalogues of sources to leave out, by id and position.")] = None,
    moc: Annotated[str | None, Option(help="Write the footprint's MOC here (FITS).")] = None,
    catalogue: Annotated[str | None, Option(help="The catalogue that was predicted, for --noise-draws.")] = None,
    legacy: Legacy = None,
    noise_draws: Annotated[int, Option(min=0, help="Predict candidates so often again, with noise added.")] = 0,
    **more: object,
) -> Sequence[str]:
    """Make a candidate list that says what it promises: by purity, completeness, number, density or fdr."""
    beside = Path(out).with_suffix(".json")
    return [f"list: {out}", f"rule, mix and curves: {beside}", *([f"MOC: {moc}"] if moc else [])]
