"""Slices of a tuning study: the loss of its trials against the value of one option."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .style import BLUE, ORANGE, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...options import Entry
    from ...tuning.records import Tried


_FEWEST_TICKS = 3


class Slice(NamedTuple):
    """The trials of a study along one option.

    Parameters
    ----------
    option : str
        Dotted name.
    tries : tuple of Tried
        Values and losses.
    entry : Entry
        What the option may be.
    best : int
        Number of the best trial.
    limits : tuple of float
        Of the loss, the same for every option.
    loss : str
        What it is.
    share : float, optional
        Importance.
    """

    option: str
    tries: tuple[Tried, ...]
    entry: Entry
    best: int
    limits: tuple[float, float]
    loss: str
    share: float | None = None


def loss_limits(values: Sequence[float]) -> tuple[float, float]:
    """Return a range of losses that a few bad trials do not stretch.

    Parameters
    ----------
    values : sequence of float
        Losses.

    Returns
    -------
    tuple[float, float]
    """
    known = np.array([v for v in values if np.isfinite(v)])
    if not len(known):
        return 0.0, 1.0
    low, middle, upper, high = np.quantile(known, [0, 0.5, 0.75, 1])
    # What lies far beyond the bulk is drawn on the edge.
    high = min(high, upper + 3 * max(upper - low, middle - low, 1e-12))
    edge = 0.06 * (high - low) or 0.05 * abs(low) or 0.05
    return float(low - edge), float(high + edge)


def value_words(value: Any) -> str:
    """Return an option's value as a YAML file would have it.

    Parameters
    ----------
    value : object
        Of an option.

    Returns
    -------
    str
    """
    if value is None or isinstance(value, bool | list | tuple | dict):
        return json.dumps(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _marks(points: Sequence[tuple[float, float]], ax: Axes, high: float, **look: Any) -> None:
    """Draw points; those above the range as arrows on its edge."""
    inside = [point for point in points if point[1] <= high]
    if inside:
        ax.plot(*zip(*inside, strict=True), ls="", **look)
    above = [x for x, y in points if y > high]
    if above:
        look = {**look, "marker": "^", "label": None if inside else look.get("label")}
        ax.plot(above, [high] * len(above), ls="", clip_on=False, **look)


def slice_figure(result: Slice, ax: Axes) -> Axes:
    """Draw the loss of the first step against the value of one option; the best trial is a star.

    Parameters
    ----------
    result : Slice
        One option of a study.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
    """
    choices = [value_words(choice) for choice in result.entry.choices]
    high = result.limits[1]
    for kind, look in (
        ("pruned", {"marker": "x", "ms": 4.5, "color": ORANGE, "label": "given up"}),
        ("complete", {"marker": "o", "ms": 4, "color": BLUE, "label": "all the work"}),
    ):
        tries = [one for one in result.tries if one.outcome == kind and one.trial != result.best]
        _marks([(_place(one, choices), one.first) for one in tries], ax, high, **look)
    best = [(_place(one, choices), one.first) for one in result.tries if one.trial == result.best]
    _marks(best, ax, high, marker="*", ms=10, color=VERMILION, label="best trial")
    if choices:
        ax.set_xticks(range(len(choices)), choices, fontsize=8 if sum(map(len, choices)) < 28 else 6.5)
        ax.set_xlim(-0.5, len(choices) - 0.5)
    else:
        _range_axis(result.entry, ax)
    ax.set_ylim(*result.limits)
    ax.set_ylabel(_axis_words(result.loss))
    ax.set_title(result.option + ("" if result.share is None else f" ({100 * result.share:.0f} %)"), fontsize=8.5)
    ax.grid(axis="y")
    return ax


def _place(one: Tried, choices: Sequence[str]) -> float:
    """Return where a value stands; trials of one choice are spread, always alike."""
    if not choices:
        assert isinstance(one.value, int | float)
        return float(one.value)
    word = value_words(one.value)
    return (choices.index(word) if word in choices else len(choices)) + 0.5 * ((0.618 * one.trial) % 1 - 0.5)


def _range_axis(entry: Entry, ax: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    low, high = entry.low, entry.high
    if entry.log:
        ax.set_xscale("log")
        if low and high:
            ax.set_xticks(log_ticks(float(low), float(high)))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.set_xlim(low * (low / high) ** 0.05, high * (high / low) ** 0.05)
        return
    if low is not None and high is not None:
        edge = 0.05 * (high - low)
        ax.set_xlim(low - edge, high + edge)


def log_ticks(low: float, high: float) -> list[float]:
    """Return a few round numbers of a logarithmic range.

    Parameters
    ----------
    low : float
        Least value.
    high : float
        Largest value.

    Returns
    -------
    list of float
    """
    powers = [10.0**k for k in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)]
    for steps in ((1,), (1, 2, 5), (1, 2, 3, 5, 7)):
        ticks = [float(f"{m * power:.12g}") for power in powers for m in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= _FEWEST_TICKS:
            return inside
    return [low, float(f"{np.sqrt(low * high):.2g}"), high]


def _axis_words(loss: str) -> str:
    return "mix of losses" if loss.startswith("mix of") else loss
