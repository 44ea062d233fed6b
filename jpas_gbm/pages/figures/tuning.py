"""Figures of a tuning study: its trials in order, what mattered, losses against values, the Pareto front."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...options import Entry
from .plates import BLUE, GREEN, INK, MUTED, ORANGE, PALE, PURPLE, VERMILION, nothing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...tuning.result import Study, Trial


_SHOWN = 16


def history_figure(study: Study, ax: Axes) -> Axes:
    """Draw each trial's loss by its number: the first step, all the work, the best so far.

    Diamonds are finalists over fresh seeds, with the range of these; lines across, the untuned fit and the best
    options over fresh seeds.

    Parameters
    ----------
    study : Study
        The library's study.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
    """
    from matplotlib.ticker import MaxNLocator

    if not study.history:
        return nothing(ax, "no trial was scored")
    losses = [v for one in study.history for v in (one.first, one.losses[0] if one.losses else None) if v is not None]
    finalists = study.fresh.finalists if study.fresh is not None else ()
    others = [loss for one in finalists for loss in one.losses] + ([study.default.loss] if study.default else [])
    low, high = loss_limits([*losses, *others])
    if study.stepped:
        _first_steps(study, ax, high)
    done = [(one.trial, one.losses[0]) for one in study.history if one.losses]
    _marks(done, ax, high, marker="o", ms=4.5, color=BLUE, label="all the work" if study.stepped else "trial")
    lost = [one.trial for one in study.history if one.outcome == "failed"]
    if lost:
        ax.plot(lost, [high] * len(lost), ls="", marker="v", ms=5, color=VERMILION, clip_on=False, label="failed")
    line = [(one.trial, one.best_so_far) for one in study.history if one.best_so_far is not None]
    if line:
        ax.plot(*zip(*line, strict=True), drawstyle="steps-post", color=INK, lw=1.1, label="best so far", zorder=1)
    if study.default is not None:
        ax.axhline(study.default.loss, color=GREEN, ls="--", lw=1, label="untuned fit", zorder=1)
    if study.fresh is not None:
        ax.axhline(study.fresh.mean, color=PURPLE, ls=":", lw=1.2, zorder=1)
        for one in finalists:
            ax.plot([one.trial] * 2, [min(one.losses), max(one.losses)], color=PURPLE, lw=1.2)
        means = [(one.trial, one.mean) for one in finalists]
        ax.plot(*zip(*means, strict=True), ls="", marker="D", ms=5, color=PURPLE, label="over fresh seeds")
    ax.plot(study.best.trial, study.best.loss, "*", ms=11, color=VERMILION, label="best trial", zorder=4)
    ax.set_ylim(low, high)
    ax.set_xlabel("trial")
    ax.set_ylabel(_axis_words(study.loss))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=7.5, columnspacing=1.2)
    return ax


def _first_steps(study: Study, ax: Axes, high: float) -> None:
    climbed = [one for one in study.history if one.first is not None and one.losses]
    ax.vlines(
        [one.trial for one in climbed],
        [min(one.first, high) for one in climbed if one.first is not None],
        [min(one.losses[0], high) for one in climbed if one.losses],
        color=PALE,
        lw=1,
        zorder=0,
    )
    first = [(one.trial, one.first) for one in climbed if one.first is not None]
    _marks(first, ax, high, marker="o", ms=4, mfc="none", color=MUTED, label="first step")
    given_up = [(one.trial, one.first) for one in study.history if one.outcome == "pruned" and one.first is not None]
    _marks(given_up, ax, high, marker="x", ms=4.5, color=ORANGE, label="first step, then given up")


def importances_figure(study: Study, ax: Axes) -> Axes:
    """Draw each option's share of the variance of the first step's loss, the largest on top.

    Parameters
    ----------
    study : Study
        The library's study.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
    """
    if not study.importances:
        return nothing(ax, "too few trials to tell what mattered")
    shown = list(study.importances.items())[:_SHOWN]
    place = range(len(shown))
    shares = [100 * share for _, share in shown]
    ax.barh(place, shares, height=0.68, color=BLUE)
    for y, share in zip(place, shares, strict=True):
        ax.text(share, y, f" {share:.1f} %", va="center", fontsize=7.5)
    ax.set_yticks(place, [name for name, _ in shown], fontsize=7.5)
    ax.invert_yaxis()
    ax.margins(x=0.16)
    ax.set_xlabel("share of the variance of the loss (%)")
    ax.grid(axis="x")
    return ax


def front_figure(study: Study, ax: Axes) -> Axes:
    """Draw the trials that did all the work in the plane of both losses, and the Pareto front through them.

    Parameters
    ----------
    study : Study
        The library's study.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
    """
    both = [one.losses for one in study.history if one.losses and len(one.losses) > 1]
    front = [one for one in study.front if one.losses and len(one.losses) > 1]
    if not front:
        return nothing(ax, "one figure alone was made small: there is no front")
    if both:
        ax.plot([b[0] for b in both], [b[1] for b in both], "o", ms=4, mfc="none", color=MUTED, label="trial")
    x, y = ([one.losses[i] for one in front if one.losses] for i in (0, 1))
    ax.plot(x, y, "-o", ms=5, lw=1.2, drawstyle="steps-post", color=BLUE, label="Pareto front")
    for i, (one, right, up) in enumerate(zip(front, x, y, strict=True)):
        # On either side of the line in turn: neighbours are often close.
        aside, side = ((4, 3), "left") if i % 2 else ((-4, -9), "right")
        ax.annotate(f"{one.trial}", (right, up), aside, textcoords="offset points", fontsize=7, ha=side)
    ax.set_xlabel(_axis_words(study.loss))
    ax.set_ylabel(_axis_words(study.losses[1]))
    ax.grid(visible=True)
    ax.legend()
    return ax


_FEWEST_TICKS = 3


class Slice(NamedTuple):
    """The trials of a study along one option.

    Parameters
    ----------
    study : Study
        What its trials are of.
    option : str
        Dotted name.
    limits : tuple of float
        Of the loss, the same for every option.
    """

    study: Study
    option: str
    limits: tuple[float, float]


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
    study, option, limits = result
    entry, share = study.space.get(option) or Entry(), study.importances.get(option)
    choices = [value_words(choice) for choice in entry.choices]
    points: dict[str, list[tuple[float, float]]] = {"pruned": [], "complete": [], "best": []}
    for one in study.slices[option]:
        kind = "best" if one.trial == study.best.trial else one.outcome
        if kind in points and one.first is not None:
            points[kind].append((_place(one, option, choices), one.first))
    _marks(points["pruned"], ax, limits[1], marker="x", ms=4.5, color=ORANGE, label="given up")
    _marks(points["complete"], ax, limits[1], marker="o", ms=4, color=BLUE, label="all the work")
    _marks(points["best"], ax, limits[1], marker="*", ms=10, color=VERMILION, label="best trial")
    if choices:
        ax.set_xticks(range(len(choices)), choices, fontsize=8 if sum(map(len, choices)) < 28 else 6.5)
        ax.set_xlim(-0.5, len(choices) - 0.5)
    else:
        _range_axis(entry, ax)
    ax.set_ylim(*limits)
    ax.set_ylabel(_axis_words(study.loss))
    ax.set_title(option + ("" if share is None else f" ({100 * share:.0f} %)"), fontsize=8.5)
    ax.grid(axis="y")
    return ax


def _place(one: Trial, option: str, choices: Sequence[str]) -> float:
    """Return where a value stands; trials of one choice are spread, always alike."""
    value = one.values[option]
    if not choices:
        assert isinstance(value, int | float)
        return float(value)
    word = value_words(value)
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
