"""Verbs that make and look at data: simulate, inspect, prepare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from typer import Argument, Option

from .console import Config, Legacy, Out, Survey, verb

Files = Annotated[list[str], Option(help="One or several files.")]


@verb("seed", "overwrite")
def simulate(
    result: Any,
    out: Out,
    config: Config = None,
    rows: Annotated[int | None, Option(min=100, help="Mock rows (source).")] = None,
    labelled: Annotated[int | None, Option(min=0, help="Labelled target rows.")] = None,
    unlabelled: Annotated[int | None, Option(min=0, help="Unlabelled target rows.")] = None,
    **more: object,
) -> Sequence[str]:
    """Simulate a survey: mocks, target catalogue, labels, imaging and truth, with a recorded shift."""
    return [f"simulated survey: {out}; the shift is in shift.json"]


def _look(files: list[str], survey: str | None, progress: Any) -> Any:
    from .. import inspect

    return inspect(files, survey=survey)


@verb("json", call=_look)
def inspect(
    result: Any,
    files: Annotated[list[str], Argument(metavar="FILE...", help="Tables of any survey known.")],
    survey: Survey = None,
    **more: object,
) -> Sequence[str]:
    """Say what was understood of a file: survey, bands, rows, missing, flags, labels, problems."""
    return []


@verb("overwrite", "json", as_json=lambda data: data.summary().to_dict())
def prepare(
    result: Any,
    source: Files,
    target: Files,
    out: Out,
    labels: Annotated[list[str] | None, Option(help="Label tables, such as a DESI zcatalogue.")] = None,
    legacy: Legacy = None,
    survey: Annotated[list[str] | None, Option(help="ROLE=NAME where a file does not give itself away.")] = None,
    bands: Annotated[str | None, Option(help="Band system to keep, such as jpas55 or jpas57.")] = None,
    radius: Annotated[float | None, Option(help="Largest separation of a sky match, arcsec.")] = None,
    split_seed: Annotated[int | None, Option(help="Seed of the splits by object.")] = None,
    config: Config = None,
    **more: object,
) -> Sequence[str]:
    """Read, curate, match, label, split and audit: survey files become a data set folder."""
    return [f"data set: {out}"]
