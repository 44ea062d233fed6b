"""Which bands speak: attribution spectra, what mocks and sky taught, and stability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import BLUE, INK, MUTED, ORANGE, PALE, class_look, nothing, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...explanation.explanation import Explanation


def attribution_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw each band's mean attribution of the pair's log-odds, over rows of either class.

    Grey bars behind are the mean absolute attribution with its 95 % interval; bands whose importance is not
    stable from fit to fit have hollow marks.
    """
    bands = explanation["bands"]
    pivot, order = _by_wavelength(bands["pivots"])
    size = np.array(numbers(bands["mean_abs"]))[order]
    spans = np.array([numbers(span) for span in bands["interval"]])[order]
    width = _bar_widths(pivot)
    ax.bar(pivot, size, width=width, color=PALE, label="mean |attribution|")
    ax.bar(pivot, -size, width=width, color=PALE)
    for sign in (1, -1):
        ax.vlines(pivot, sign * spans[:, 0], sign * spans[:, 1], color=MUTED, lw=0.8)
    stable = _stable(explanation, len(order))[order]
    for name in explanation.pair:
        mean = np.array(numbers(bands["mean"][name]))[order]
        look = class_look(name, explanation.classes)
        ax.plot(pivot, mean, color=look["color"], ls=look["linestyle"], lw=1.3)
        marks = {"ls": "", "marker": look["marker"], "ms": 4.5, "color": look["color"]}
        ax.plot(pivot[stable], mean[stable], label=name, **marks)
        if not stable.all():
            ax.plot(pivot[~stable], mean[~stable], mfc="none", **marks)
    ax.axhline(0, color=INK, lw=0.7)
    _frame(explanation, ax)
    ax.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.16), fontsize=8, columnspacing=1.2)
    return ax


def stages_figure(explanation: Explanation, ax: Axes, way: str = "continued") -> Axes:
    """Draw by band what the mocks taught against what the sky taught.

    Parameters
    ----------
    explanation : Explanation
    ax : Axes
    way : {"continued", "stacked"}
        How mocks and sky are told apart.
    """
    found = explanation["stages"][way]
    if not found["defined"]:
        return nothing(ax, found["why"])
    bands = explanation["bands"]
    pivot, order = _by_wavelength(bands["pivots"])
    for part, colour, marker, label in (
        ("mocks", ORANGE, "s", "taught by mocks"),
        ("sky", BLUE, "o", "taught by the sky"),
    ):
        size = np.array(numbers(found[part]["mean_abs"]))[order]
        spans = np.array([numbers(span) for span in found[part]["interval"]])[order]
        ax.fill_between(pivot, spans[:, 0], spans[:, 1], color=colour, alpha=0.2, lw=0)
        ax.plot(pivot, size, marker=marker, ms=3.5, lw=1.2, color=colour, label=label)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("pivot wavelength (Å)")
    ax.set_ylabel("mean |attribution|")
    ax.set_title(f"{way} members: {100 * found['share_of_sky']:.0f} % by the sky")
    ax.grid(axis="y")
    ax.legend()
    return ax


def stability_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw each band's importance in every fit, its range, and which bands are stable (filled)."""
    steady = explanation["stability"]
    if not steady["defined"]:
        return nothing(ax, steady["why"])
    pivot, order = _by_wavelength(explanation["bands"]["pivots"])
    mean, low, high = (np.array(numbers(steady[name]))[order] for name in ("mean", "low", "high"))
    stable = np.array(steady["stable"])[order]
    ax.vlines(pivot, low, high, color=MUTED, lw=1.2)
    for one in steady["values"]:
        ax.plot(pivot, np.array(numbers(one))[order], ".", ms=3, color=MUTED)
    ax.plot(pivot[stable], mean[stable], "o", ms=4.5, color=BLUE, label="stable")
    ax.plot(pivot[~stable], mean[~stable], "o", ms=4.5, mfc="none", color=BLUE, label="not stable")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("pivot wavelength (Å)")
    ax.set_ylabel("mean |attribution|")
    ax.grid(axis="y")
    ax.legend()
    return ax


def blocks_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw the mean attribution of blocks of neighbouring bands, over rows of either class."""
    blocks = explanation["blocks"]
    names = [block["name"] for block in blocks] + list(explanation["own"]["names"])
    place = np.arange(len(names))
    for i, name in enumerate(explanation.pair):
        mean = [block["mean"].get(name) for block in blocks] + list(explanation["own"]["mean"].get(name, []))
        look = class_look(name, explanation.classes)
        ax.barh(place + 0.2 - 0.4 * i, numbers(mean), height=0.38, color=look["color"], label=f"mean over {name}")
    ax.set_yticks(place, names, fontsize=7.5)
    ax.invert_yaxis()
    ax.axvline(0, color=INK, lw=0.7)
    ax.set_xlabel("attribution of the log-odds")
    ax.grid(axis="x")
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, 1.13), ncols=2, fontsize=7.5)
    return ax


def _by_wavelength(pivots: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    pivot = np.array(pivots, dtype=np.float64)
    order = np.argsort(pivot, kind="stable")
    return pivot[order], order


def _bar_widths(pivot: np.ndarray) -> float:
    gaps = np.diff(pivot)
    gaps = gaps[gaps > 0]
    return float(0.85 * np.median(gaps)) if len(gaps) else 100.0


def _stable(explanation: Explanation, n: int) -> np.ndarray:
    steady: Any = explanation.head.get("stability") or {}
    return np.array(steady["stable"], dtype=bool) if steady.get("defined") else np.ones(n, dtype=bool)


def _frame(explanation: Explanation, ax: Axes) -> None:
    first, second = explanation.pair
    ax.set_xlabel("pivot wavelength (Å)")
    ax.set_ylabel(f"attribution of ln P({first})/P({second})", fontsize=8.5)
    ax.grid(axis="y")
