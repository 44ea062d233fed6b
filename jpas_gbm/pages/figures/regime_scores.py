"""Regimes side by side: their figures with intervals, a radar of F1, and the label-budget curve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...comparison.budgets import BudgetCurve
from ...text import count, cut_words, number, sample_words, seeds_words, with_span
from .plates import THIRD, WIDE, Panel, Plate, register_plate
from .style import PALE, legend_below, numbers, reach, regime_look, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.comparison import Comparison
    from ..results import Subject


def regimes_figure(comparison: Comparison, ax: Axes) -> Axes:
    """Draw F1 of each class and macro figures of each regime with 95 % intervals."""
    names = [*(f"per_class.{c}.f1" for c in comparison.classes), "macro.f1", "macro.recall"]
    labels = [*(f"F1\n{c}" for c in comparison.classes), "macro\nF1", "macro\nrecall"]
    count = len(comparison.regimes)
    for i, regime in enumerate(comparison.regimes):
        place = [j + (i - (count - 1) / 2) * 0.7 / count for j in range(len(names))]
        values = [comparison.figure(regime, name) for name in names]
        mean = numbers([v.mean for v in values])
        look = regime_look(regime, comparison.regimes)
        bars = reach(mean, [v.interval for v in values])
        marks = {"fmt": look["marker"], "color": look["color"], "ms": 5, "capsize": 2}
        ax.errorbar(place, mean, yerr=bars, label=regime, **marks)
    for j in range(1, len(names)):
        ax.axvline(j - 0.5, color=PALE, lw=0.6)
    ax.set_xticks(range(len(names)), labels)
    ax.set(xlim=(-0.5, len(names) - 0.5), ylabel="score")
    ax.grid(axis="y")
    cut = "" if comparison.cut is None else f", mag ≤ {comparison.cut:g}"
    ax.set_title(f"{comparison.n_test:,} held-out rows{cut}; bars: 95 % over objects", fontsize=9)
    ax.legend(ncols=min(count, 3), loc="lower right")
    return ax


def radar_figure(comparison: Comparison, ax: Axes) -> Axes:
    """Draw F1 of each class as a radar, one polygon a regime. The axes must be polar."""
    classes = comparison.classes
    angles = np.linspace(0, 2 * np.pi, len(classes), endpoint=False)
    lowest = 1.0
    for regime in comparison.regimes:
        f1 = numbers([comparison.figure(regime, f"per_class.{c}.f1").mean for c in classes])
        lowest = min([lowest, *(v for v in f1 if np.isfinite(v))])
        look = regime_look(regime, comparison.regimes)
        ax.plot([*angles, angles[0]], [*f1, f1[0]], label=regime, ms=4, **look)
    inner = max(0.0, np.floor((lowest - 0.1) * 10) / 10)
    step = 0.1 if inner >= 0.5 else 0.2
    ticks = np.arange(1.0, inner + step / 4, -step)[::-1]
    ax.set_yticks(ticks, [f"{t:.1f}" for t in ticks], fontsize=7.5)
    ax.set_ylim(inner, 1)
    ax.set_rlabel_position(225)  # type: ignore[attr-defined]
    ax.set_xticks(angles, classes)
    for label, angle in zip(ax.get_xticklabels(), angles, strict=True):
        label.set_horizontalalignment("left" if np.cos(angle) > 0.1 else "right" if np.cos(angle) < -0.1 else "center")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
    return ax


def budgets_figure(curve: BudgetCurve, ax: Axes, figure: str = "macro.f1", label: str = "macro-F1") -> Axes:
    """Draw one figure of each regime against the number of target labels, with intervals."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    for regime in curve.regimes:
        series, look = curve.series(regime, figure), regime_look(regime, curve.regimes)
        ax.plot(series.labels, series.mean, label=regime, ms=5, **look)
        ax.fill_between(series.labels, series.low, series.high, color=look["color"], alpha=0.15, lw=0)
    ax.set(xscale="log", xlabel="target labels (train and validation)", ylabel=label)
    ax.set_xticks(list(curve.budgets))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(visible=True)
    legend_below(ax, 2, at=(0.45, -0.19), fontsize=8)
    return ax


def save_picture(result: Comparison | BudgetCurve, folder: str | Path) -> None:
    """Write ``regimes.png`` or ``budgets.png`` into a result folder, in place of one that is there."""
    draw, name = (budgets_figure, "budgets") if isinstance(result, BudgetCurve) else (regimes_figure, "regimes")
    save_figure(draw, result, Path(folder) / f"{name}.png", overwrite=True)


@register_plate("scores", 10)
def regimes_plate(subject: Subject) -> Plate | None:
    """Return the figures of all regimes with intervals."""
    found = subject.comparison
    if found is None:
        return None
    sample = sample_words(found.n_test, found.cut, found.about)
    macro = {regime: found.figure(regime, "macro.f1") for regime in found.regimes}
    told = [f"{regime} macro-F1 {with_span(one.mean, one.interval)}" for regime, one in macro.items()]
    return Plate(
        "regimes",
        "The regimes side by side",
        f"F1 of each class, macro-F1 and macro recall of each regime, decisions by largest probability. {sample}; "
        f"mean over {seeds_words(found.rows[0].seeds)}; bars are 95 % bootstrap intervals over objects. Intervals "
        "of differences are narrower than the bars suggest, because all regimes are scored on the same rows: see the "
        "table.",
        f"Points with error bars for each regime: {'; '.join(told)}.",
        (Panel(regimes_figure, found, WIDE, (4.6, 4.0)),),
        1,
    )


@register_plate("scores", 20)
def radar_plate(subject: Subject) -> Plate | None:
    """Return the radar of F1 by class."""
    found = subject.comparison
    if found is None or len(found.classes) < 3:
        return None
    told = []
    for regime in found.regimes:
        each = [f"{c} {number(found.figure(regime, f'per_class.{c}.f1').mean, 2)}" for c in found.classes]
        told.append(f"{regime}: {', '.join(each)}")
    return Plate(
        "radar",
        "F1 of each class",
        "F1 of each class by regime; the scale does not begin at zero. "
        f"{sample_words(found.n_test, found.cut, found.about)}; mean over {seeds_words(found.rows[0].seeds)}.",
        f"Radar of F1 by class. {'; '.join(told)}.",
        (Panel(radar_figure, found, (4.6, 4.2), polar=True),),
        1,
    )


@register_plate("labels", 10)
def budgets_plate(curve: BudgetCurve) -> Plate | None:
    """Return the label-budget curves: macro-F1, F1 of the first class, log loss."""
    if not curve.points:
        return None
    first = curve.classes[0]
    wanted = [("macro.f1", "macro-F1"), (f"per_class.{first}.f1", f"F1 of {first}"), ("log_loss", "log loss")]
    draws = max(point.draws for point in curve.points)
    ends = []
    for regime in curve.regimes:
        mean = curve.series(regime, "macro.f1").mean
        ends.append(f"{regime} from {number(mean[0])} to {number(mean[-1])}")
    seed = curve.about.get("provenance", {}).get("seed")
    return Plate(
        "budgets",
        "How many labels are needed",
        "Scores against the number of labelled sky sources (train and validation together). "
        f"{count(curve.n_test, 'test source')} {cut_words(curve.cut)}; mean over {count(draws, 'draw')} of "
        f"labels, from {seeds_words([seed])}; bands are 95 % intervals over objects and draws.",
        f"Scores against {curve.budgets[0]:,} to {curve.budgets[-1]:,} labels. Macro-F1: {'; '.join(ends)}.",
        tuple(Panel(budgets_figure, curve, THIRD, options={"figure": n, "label": words}) for n, words in wanted),
        3,
    )
