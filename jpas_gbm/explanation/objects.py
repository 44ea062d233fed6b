"""What decided single objects: sections of an explanation, and how they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from .attributions import Attributions, Pair
from .blocks import Blocks, Section, SeenLine, lines_between, spectrum_columns


class LogOdds(Section):
    """How the log-odds of a pair add up: bias, the margins' difference, what calibration adds, the sum."""

    bias: float = Field(description="what every row has")
    uncalibrated: float = Field(description="bias and all contributions")
    calibration: float = Field(description="what calibration adds")
    calibrated: float = Field(description="log-odds of the stated probabilities")


class TopBand(Section):
    """A band, its pivot in Å and its signed attribution."""

    band: str = Field(description="its name")
    pivot: float = Field(description="Å")
    contribution: float = Field(description="signed attribution")


class Against(Section):
    """What decided one object between two classes.

    Parameters
    ----------
    pair : (str, str), optional
        What is positive speaks for the first. None: the explanation's own pair.
    blocks, own : dict of str to float
        Of each block of bands and of each feature of no band.
    """

    pair: tuple[str, str] | None = None
    log_odds: LogOdds
    top_bands: tuple[TopBand, ...] = Field(description="by falling |attribution|")
    blocks: dict[str, float]
    own: dict[str, float]


class ObjectFacts(Against):
    """What decided one object.

    Parameters
    ----------
    name, row, label
        As it was asked for, its place in the arrays, its class where known.
    lines : tuple of SeenLine
        Those within the photo-spectrum.
    also : tuple of Against
        Further pairs of classes.
    """

    name: str
    row: int
    key: dict[str, int] = Field(description="columns that name the row in its files")
    object_id: int = Field(description="by which rows are one object")
    label: str | None
    z: float | None = Field(description="redshift, where known")
    mag: float | None = Field(description="magnitude that the survey is cut by")
    probabilities: dict[str, float] = Field(description="calibrated, of each class")
    lines: tuple[SeenLine, ...]
    missing_bands: tuple[str, ...] = Field(description="without a flux")
    also: tuple[Against, ...] = ()


OBJECT_BANDS = 10
"""Bands named for an object asked for by name."""


def object_facts(
    found: Attributions, row: int, name: str, blocks: Blocks, pairs: Sequence[Pair] = (), top: int = OBJECT_BANDS
) -> ObjectFacts:
    """Return what decided one object.

    Parameters
    ----------
    found : Attributions
    row : int
        Its place among the rows.
    name : str
        As it was asked for.
    blocks : Blocks
    pairs : sequence of Pair
        The questions; none: the pair of the attributions.
    top : int
        How many bands of each.

    Returns
    -------
    ObjectFacts
    """
    rows, bands = found.rows, found.model.recipe.bands
    first, *also = (_against(replace(found, pair=pair), row, blocks, top) for pair in pairs or (found.pair,))
    pivots = bands.pivots[spectrum_columns(bands)]
    missing = ~np.isfinite(rows.flux[row, rows.bands.indices(bands.names)])
    return ObjectFacts(
        name=name,
        row=row,
        key={key: int(column[row]) for key, column in rows.key.items()},
        object_id=int(rows.object_id[row]),
        label=found.model.classes[rows.label[row]] if rows.label[row] >= 0 else None,
        z=float(rows.z[row]) if np.isfinite(rows.z[row]) else None,
        mag=float(rows.mag[row]) if np.isfinite(rows.mag[row]) else None,
        probabilities=dict(zip(found.model.classes, found.probabilities[row].tolist(), strict=True)),
        lines=tuple(lines_between(float(rows.z[row]), pivots[0], pivots[-1])),
        missing_bands=tuple(np.array(bands.names)[missing].tolist()),
        also=tuple(also),
        **dict(first),
    )


def _against(found: Attributions, row: int, blocks: Blocks, top: int) -> Against:
    """Return what decided one object between the classes of the attributions' pair."""
    bands, attribution = found.model.recipe.bands, found.pair_bands[row]
    odds, added = float(found.pair.difference(found.margins)[row]), float(found.calibration[row])
    return Against(
        pair=found.pair.names,
        log_odds=LogOdds(bias=found.pair_bias, uncalibrated=odds, calibration=added, calibrated=odds + added),
        top_bands=tuple(
            TopBand(band=bands.names[i], pivot=bands.pivots[i], contribution=attribution[i])
            for i in np.argsort(-np.abs(attribution), kind="stable")[:top]
        ),
        blocks=dict(zip((block.name for block in blocks.blocks), blocks.sums(attribution).tolist(), strict=True)),
        own=dict(zip(found.rule.own_names, found.pair_own[row].tolist(), strict=True)),
    )
