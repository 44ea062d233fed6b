"""Plates of explanations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...text import cut_words, listed, number, seeds_words, sentence, sure
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
from .style import WIDE, Panel, Plate, keyed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...explanation.explanation import Explanation


_MOST_OBJECTS = 6


def explanation_plates(explanation: Explanation, prefix: str = "") -> list[Plate]:
    """Return the plates of an explanation; those without numbers are left out."""
    if explanation.head.get("objects"):
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
    head = explanation.head
    split = str(head["split"]).replace("val split", "validation split").replace("train split", "training split")
    drawn = ", ".join(f"{name} {n:,}" for name, n in head["sample"]["drawn"].items() if n)
    model = f"model {head['regime']} ({head['chosen']}), {seeds_words([head.get('trained_seed')])}"
    return f"{head['n']:,} rows of {split}, {cut_words(head['cut'])} ({drawn}); {model}"


def attribution_plate(explanation: Explanation) -> Plate | None:
    """Return the band attribution spectrum of the pair."""
    bands = explanation["bands"]
    known = [(value, name) for value, name in zip(bands["mean_abs"], bands["names"], strict=True) if value is not None]
    if not known:
        return None
    first, second = explanation.pair
    top = [name for _, name in sorted(known, reverse=True)[:3]]
    unstable = "Hollow marks: importance not stable from fit to fit. " if explanation["stability"]["defined"] else ""
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
        told = [row for row in explanation["line_tables"].get(name) or [] if sure(row["excess_interval"])]
        told.sort(key=lambda row: -abs(row["excess"]))
        if told:
            strong.append(f"in {name} {listed([row['label'] for row in told[:3]])}")
    return f"Lines that stand out beyond doubt: {'; '.join(strong)}." if strong else "No line stands out beyond doubt."


def ridge_plate(explanation: Explanation) -> Plate | None:
    """Return attribution by band and redshift, and by line."""
    mean = explanation.arrays.get("ridge_mean")
    if mean is None or not np.isfinite(mean).any():
        return None
    found = explanation.head.get("ridge")
    told = ""
    if found:
        told = (
            f"The strongest block of {explanation.pair[0]} moves with redshift: rank correlation "
            f"{number(found['rank_correlation'], 2, sign=True)} {_span(found.get('interval'))}, {found['n']:,} rows. "
        )
    words = _lines_words(explanation)
    return Plate(
        "ridge",
        "Does the attribution follow the lines?",
        "First: mean attribution by band and redshift; bins of fewer than three rows are empty; solid, Lyα at 1216 Å "
        f"× (1 + z), dotted, other lines. {told}Second: bands on a line less other bands of the same rows, with 95 % "
        f"intervals. {words} {sentence(rows_words(explanation))}.",
        f"Map of attribution by wavelength and redshift, and attribution by line. {told}{words}",
        (Panel(ridge_figure, explanation, (4.9, 4.1)), Panel(lines_figure, explanation, (4.6, 3.9))),
    )


def _span(interval: Any) -> str:
    return "" if not interval else f"[{number(interval[0], 2, sign=True)}, {number(interval[1], 2, sign=True)}]"


def blocks_plate(explanation: Explanation) -> Plate | None:
    """Return blocks of bands and the top features."""
    if not explanation.head.get("blocks"):
        return None
    groups = [f"{one['group']} {100 * one['share']:.0f} %" for one in explanation["features"]["groups"][:4]]
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
    if "label" not in arrays or "pair_blocks" not in arrays:
        return None
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
    for i, one in enumerate(explanation["objects"][:_MOST_OBJECTS]):
        title = f"Object {one['name']}: {one['label'] or 'unlabelled'}"
        plates.append(_object_plate(explanation, int(one["row"]), f"object{i + 1}", title, "asked for by name"))
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
    ways = [way for way, one in explanation["stages"].items() if one["defined"]]
    if not ways:
        return None

    def draw(way: str) -> Callable[[Any, Axes], Axes]:
        return lambda result, ax: stages_figure(result, ax, way)

    words = [sentence(f"{way}: {explanation['stages'][way]['words']}") for way in ways]
    shares = [f"{way} {100 * explanation['stages'][way]['share_of_sky']:.0f} %" for way in ways]
    return Plate(
        "stages",
        "What the mocks taught, and what the sky taught",
        f"Mean absolute attribution of each band from either part, with 95 % intervals. {'. '.join(words)}. "
        f"{sentence(rows_words(explanation))}.",
        f"Attribution by band of what mocks and sky taught; the sky's share of it is {listed(shares)}.",
        tuple(Panel(draw(way), explanation, WIDE, (4.6, 3.2)) for way in ways),
        1,
    )


def stability_plate(explanation: Explanation) -> Plate | None:
    """Return how stable each band's importance is."""
    steady = explanation["stability"]
    if not steady["defined"]:
        return None
    good, every = sum(steady["stable"]), len(steady["stable"])
    told = (
        f"{good} of {every} bands are stable (scatter below {steady['steady_below']:g} of the mean); rank correlation "
        f"between fits {number(steady['rank_correlation'], 2)}, at least {number(steady['least_rank_correlation'], 2)}"
    )
    return Plate(
        "stability",
        "Would another fit have named the same bands?",
        f"Mean absolute attribution of each band in {steady['fits']} fits ({steady['source']}), their range and mean. "
        f"{told}. {sentence(rows_words(explanation))}.",
        f"Importance of each band over fits. {told}.",
        (Panel(stability_figure, explanation, WIDE, (4.6, 3.2)),),
        1,
    )
