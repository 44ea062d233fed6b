"""Regimes side by side: their figures with intervals, and a radar of F1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .style import PALE, numbers, regime_look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.regimes_table import Comparison


def regimes_figure(comparison: Comparison, ax: Axes) -> Axes:
    """Draw F1 of each class and macro figures of each regime with 95 % intervals."""
    names = [*(f"per_class.{c}.f1" for c in comparison.classes), "macro.f1", "macro.recall"]
    labels = [*(f"F1\n{c}" for c in comparison.classes), "macro\nF1", "macro\nrecall"]
    count = len(comparison.regimes)
    for i, regime in enumerate(comparison.regimes):
        place = [j + (i - (count - 1) / 2) * 0.7 / count for j in range(len(names))]
        values = [comparison.figure(regime, name) for name in names]
        mean = numbers([v["mean"] for v in values])
        look = regime_look(regime, comparison.regimes)
        ax.errorbar(
            place,
            mean,
            yerr=reach(mean, [v["interval"] for v in values]),
            fmt=look["marker"],
            color=look["color"],
            ms=5,
            capsize=2,
            label=regime,
        )
    for j in range(1, len(names)):
        ax.axvline(j - 0.5, color=PALE, lw=0.6)
    ax.set_xticks(range(len(names)), labels)
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.set_ylabel("score")
    ax.grid(axis="y")
    cut = "" if comparison.cut is None else f", mag ≤ {comparison.cut:g}"
    ax.set_title(f"{comparison.n_test:,} held-out rows{cut}; bars: 95 % over objects", fontsize=9)
    ax.legend(ncols=min(count, 3), loc="lower right")
    return ax


def reach(mean: list[float], intervals: list[Any]) -> list[list[float]]:
    """Return how far intervals reach below and above the means, as error bars want it."""
    spans = [span or (m, m) for m, span in zip(mean, intervals, strict=True)]
    return [
        [max(m - low, 0) for m, (low, _) in zip(mean, spans, strict=True)],
        [max(high - m, 0) for m, (_, high) in zip(mean, spans, strict=True)],
    ]


def radar_figure(comparison: Comparison, ax: Axes) -> Axes:
    """Draw F1 of each class as a radar, one polygon a regime. The axes must be polar."""
    classes = comparison.classes
    angles = np.linspace(0, 2 * np.pi, len(classes), endpoint=False)
    lowest = 1.0
    for regime in comparison.regimes:
        f1 = numbers([comparison.figure(regime, f"per_class.{c}.f1")["mean"] for c in classes])
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
