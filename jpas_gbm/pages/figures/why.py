"""Plates of explanations: figures with title, caption and alternative text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...text import cut_words, listed, number, seeds_words, sentence, span, sure
from .attribution import (
    ObjectOf,
    attribution_figure,
    blocks_figure,
    features_figure,
    lines_figure,
    object_bands_figure,
    rest_figure,
    ridge_figure,
    stability_figure,
    stages_figure,
    waterfall_figure,
)
from .plates import WIDE, Panel, Plate, keyed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...explanation.explanation import Explanation


_MOST_OBJECTS = 6


def explanation_plates(explanation: Explanation, prefix: str = "") -> list[Plate]:
    """Return the plates of an explanation; those without numbers are left out."""
    if explanation.content.objects:
        return keyed(named_object_plates(explanation), prefix)
    makers: tuple[Callable[[Explanation], Plate | None], ...] = (
        attribution_plate,
        rest_plate,
        ridge_plate,
        blocks_plate,
        object_plate,
        stages_plate,
        stability_plate,
    )
    return keyed((maker(explanation) for maker in makers), prefix)


def rows_words(explanation: Explanation) -> str:
    """Return which rows were explained, and of which model."""
    content = explanation.content
    split = content.split.replace("val split", "validation split").replace("train split", "training split")
    drawn = ", ".join(f"{name} {n:,}" for name, n in content.sample.drawn.items() if n)
    model = f"model {content.regime} ({content.chosen}), {seeds_words([content.trained_seed])}"
    return f"{content.n:,} rows of {split}, {cut_words(content.cut)} ({drawn}); {model}"


def attribution_plate(explanation: Explanation) -> Plate | None:
    """Return the band attribution spectrum of the pair."""
    bands = explanation.content.bands
    known = [(value, name) for value, name in zip(bands.mean_abs, bands.names, strict=True) if np.isfinite(value)]
    if not known:
        return None
    first, second = explanation.pair
    top = [name for _, name in sorted(known, reverse=True)[:3]]
    steady = explanation.content.stability
    unstable = "Hollow marks: importance not stable from fit to fit. " if steady.defined else ""
    return Plate(
        "attribution",
        f"Which bands make a quasar {first} rather than {second}",
        f"What each band adds to ln P({first})/P({second}) before calibration, mean over the rows of either class; "
        f"positive speaks for {first}. Grey bars: mean absolute attribution, each class weighing half, with 95 % "
        f"intervals over objects. {unstable}{rows_words(explanation)}.",
        f"Attribution by band; the bands that weigh most are {listed(top)}.",
        (Panel(attribution_figure, explanation, WIDE, (4.6, 3.6)),),
        1,
    )


def rest_plate(explanation: Explanation) -> Plate | None:
    """Return attribution in the rest frame."""
    mean = explanation.arrays.get("rest_mean")
    if mean is None or not np.isfinite(mean).any():
        return None
    words = _lines_words(explanation)
    return Plate(
        "restframe",
        "Attribution in the rest frame",
        "Mean attribution of a band against the rest wavelength that it sees, with 95 % intervals over objects; "
        "dotted, the lines that should matter; dashed, breaks. Rows of known redshift among "
        f"{rows_words(explanation)}.",
        f"Attribution against rest wavelength. {words}",
        (Panel(rest_figure, explanation, WIDE, (4.6, 3.6)),),
        1,
    )


def _lines_words(explanation: Explanation) -> str:
    """Return the lines on which bands say more, or less, than elsewhere beyond doubt."""
    strong = []
    for name in explanation.pair:
        lines = [line for line in explanation.content.line_tables[name] if sure(line.excess_interval)]
        lines.sort(key=lambda line: -abs(line.excess))
        if lines:
            strong.append(f"in {name} {listed([line.label for line in lines[:3]])}")
    return f"Lines that stand out beyond doubt: {'; '.join(strong)}." if strong else "No line stands out beyond doubt."


def ridge_plate(explanation: Explanation) -> Plate | None:
    """Return attribution by band and redshift, and by line."""
    mean = explanation.arrays.get("ridge_mean")
    if mean is None or not np.isfinite(mean).any():
        return None
    ridge, moves = explanation.content.ridge, ""
    if ridge:
        moves = (
            f"The strongest block of {explanation.pair[0]} moves with redshift: rank correlation "
            f"{number(ridge.rank_correlation, 2, sign=True)} {span(ridge.interval, 2, sign=True)}, {ridge.n:,} rows. "
        )
    words = _lines_words(explanation)
    return Plate(
        "ridge",
        "Does the attribution follow the lines?",
        "First: mean attribution by band and redshift; bins of fewer than three rows are empty; solid, Lyα at 1216 Å "
        f"× (1 + z), dotted, other lines. {moves}Second: bands on a line less other bands of the same rows, with 95 % "
        f"intervals. {words} {sentence(rows_words(explanation))}.",
        f"Map of attribution by wavelength and redshift, and attribution by line. {moves}{words}",
        (Panel(ridge_figure, explanation, (4.9, 4.1)), Panel(lines_figure, explanation, (4.6, 3.9))),
    )


def blocks_plate(explanation: Explanation) -> Plate:
    """Return blocks of bands and the top features."""
    groups = [f"{one.group} {100 * one.share:.0f} %" for one in explanation.content.features.groups[:4]]
    return Plate(
        "blocks",
        "Blocks of bands, and the features behind them",
        "First: neighbouring bands are strongly correlated, and trees share what they say at random; blocks are "
        "sturdier. Second: the features of largest mean absolute contribution, a point for each row. By group: "
        f"{listed(groups)}. {sentence(rows_words(explanation))}.",
        "Bars of the mean attribution of blocks of bands, and a swarm of the top features. By group: "
        f"{listed(groups)}.",
        (Panel(blocks_figure, explanation, (4.6, 4.4)), Panel(features_figure, explanation, (4.8, 4.4))),
    )


def object_plate(explanation: Explanation) -> Plate | None:
    """Return one typical row of the pair's first class."""
    arrays = explanation.arrays
    code = explanation.classes.index(explanation.pair[0])
    rows = np.flatnonzero(arrays["label"] == code)
    if not len(rows):
        return None
    row = int(rows[np.argsort(arrays["probabilities"][rows, code], kind="stable")[len(rows) // 2]])
    return _object_plate(
        explanation,
        row,
        "object",
        f"One object: a typical {explanation.pair[0]}",
        f"of all of them, its P({explanation.pair[0]}) is the median",
    )


def named_object_plates(explanation: Explanation) -> list[Plate]:
    """Return the objects that were asked for by name."""
    plates = []
    for i, one in enumerate(explanation.content.objects[:_MOST_OBJECTS]):
        title = f"Object {one.name}: {one.label or 'unlabelled'}"
        plates.append(_object_plate(explanation, one.row, f"object{i + 1}", title, "asked for by name"))
    return plates


def _object_plate(explanation: Explanation, row: int, key: str, title: str, why: str) -> Plate:
    arrays = explanation.arrays
    names = {name.removeprefix("key_"): int(arrays[name][row]) for name in arrays if name.startswith("key_")}
    who = ", ".join(f"{name} {value}" for name, value in names.items())
    z = f", z = {arrays['z'][row]:.3f}" if np.isfinite(arrays["z"][row]) else ", redshift unknown"
    mag = f", magnitude {arrays['mag'][row]:.2f}" if np.isfinite(arrays["mag"][row]) else ""
    chances = ", ".join(
        f"P({name}) = {number(float(p), 3)}"
        for name, p in zip(explanation.classes, arrays["probabilities"][row], strict=True)
    )
    first, second = explanation.pair
    label = int(arrays["label"][row])
    true = f"true class {explanation.classes[label]}" if label >= 0 else "class unknown"
    return Plate(
        key,
        title,
        f"{who} ({why}){z}{mag}, {true}; {chances}. First: photo-spectrum, and below what each band adds to ln "
        f"P({first})/P({second}). Second: how the log-odds add up; the last bar is the calibrated sum. "
        f"{sentence(rows_words(explanation))}.",
        f"Photo-spectrum with band attributions, and a waterfall of the log-odds, of {who}: {chances}.",
        (
            Panel(object_bands_figure, ObjectOf(explanation, row), (4.8, 4.0)),
            Panel(waterfall_figure, ObjectOf(explanation, row), (4.6, 4.0)),
        ),
    )


def stages_plate(explanation: Explanation) -> Plate | None:
    """Return what mocks and sky taught."""
    splits = {way: split for way, split in explanation.content.stages.items() if split.defined}
    if not splits:
        return None

    def draw(way: str) -> Callable[[Any, Axes], Axes]:
        return lambda result, ax: stages_figure(result, ax, way)

    words = [sentence(f"{way}: {split.words}") for way, split in splits.items()]
    shares = [f"{way} {100 * split.share_of_sky:.0f} %" for way, split in splits.items()]
    return Plate(
        "stages",
        "What the mocks taught, and what the sky taught",
        f"Mean absolute attribution of each band from either part, with 95 % intervals. {'. '.join(words)}. "
        f"{sentence(rows_words(explanation))}.",
        f"Attribution by band of what mocks and sky taught; the sky's share of it is {listed(shares)}.",
        tuple(Panel(draw(way), explanation, WIDE, (4.6, 3.2)) for way in splits),
        1,
    )


def stability_plate(explanation: Explanation) -> Plate | None:
    """Return how stable each band's importance is."""
    steady = explanation.content.stability
    if not steady.defined:
        return None
    good, every = sum(steady.stable), len(steady.stable)
    agreed = (
        f"{good} of {every} bands are stable (scatter below {steady.steady_below:g} of the mean); rank correlation "
        f"between fits {number(steady.rank_correlation, 2)}, at least {number(steady.least_rank_correlation, 2)}"
    )
    return Plate(
        "stability",
        "Would another fit have named the same bands?",
        f"Mean absolute attribution of each band in {steady.fits} fits ({steady.source}), their range and mean. "
        f"{agreed}. {sentence(rows_words(explanation))}.",
        f"Importance of each band over fits. {agreed}.",
        (Panel(stability_figure, explanation, WIDE, (4.6, 3.2)),),
        1,
    )
