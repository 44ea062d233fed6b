"""A candidate list: purity and completeness against threshold, and the yield against the list's size."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .style import BLUE, INK, MUTED, ORANGE, VERMILION, nothing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..candidate_list import Banded, ByThreshold, CandidateList


class Cut(NamedTuple):
    """Purity or completeness of labelled rows above a threshold, in one magnitude bin.

    Parameters
    ----------
    figure : {"purity", "completeness"}
    title : str
    target : str
        The class.
    before, after : ByThreshold
        With probabilities as the model gave them, and corrected to the field's class mix.
    threshold : float, optional
        Of the list.
    wanted : float, optional
        What the rule asks for.
    legend : bool
        Whether to say which line is which.
    """

    figure: str
    title: str
    target: str
    before: ByThreshold
    after: ByThreshold
    threshold: float | None = None
    wanted: float | None = None
    legend: bool = True


def cut_figure(result: Cut, ax: Axes) -> Axes:
    """Draw a figure against the threshold with 95 % bands, before and after the class mix is corrected."""
    ax.set_title(result.title, fontsize=8.5)
    if not len(result.after.threshold):
        return nothing(ax, f"no labelled {result.target} here")
    for label, curve, colour, style in (
        ("class mix of the labels", result.before, ORANGE, "--"),
        ("class mix of the field", result.after, BLUE, "-"),
    ):
        one: Banded = getattr(curve, result.figure)
        ax.fill_between(curve.threshold, one.low, one.high, color=colour, alpha=0.2, lw=0)
        ax.plot(curve.threshold, one.value, color=colour, ls=style, lw=1.4, label=label)
    if result.wanted is not None:
        ax.axhline(result.wanted, color=MUTED, lw=0.9, ls=":")
    if result.threshold is not None:
        ax.axvline(result.threshold, color=INK, lw=0.9, ls="-.", label="threshold of the list")
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel(f"least P({result.target})")
    ax.set_ylabel(result.figure)
    ax.grid(visible=True)
    if result.legend:
        ax.legend(loc="best", fontsize=7)
    return ax


def yield_figure(found: CandidateList, ax: Axes) -> Axes:
    """Draw the members expected among the likeliest rows, per square degree where the area is known."""
    if found.by_size is None:
        return nothing(ax, "the curve of the field was not kept")
    size, true = found.by_size.size, found.by_size.true
    area = found.area or 1.0
    per = " per square degree" if found.area else ""
    ax.fill_between(size, true.low / area, true.high / area, color=BLUE, alpha=0.2, lw=0)
    ax.plot(size, true.value / area, color=BLUE, label="expected")
    most = float(np.nanmax(true.high)) / area
    ax.plot([0, most * area], [0, most], color=MUTED, ls=":", lw=1, label="if all were true")
    if found.rows:
        ax.plot(found.rows, found.expected / area, "*", ms=10, color=VERMILION, label="this list", zorder=3)
    ax.set_ylim(0, 1.08 * most)
    ax.set_xlim(left=0)
    ax.set_xlabel("candidates")
    ax.set_ylabel(f"true {found.target}{per}")
    ax.grid(visible=True)
    ax.legend(loc="lower right")
    return ax


def sizes_figure(found: CandidateList, ax: Axes) -> Axes:
    """Draw purity and completeness of the likeliest rows of the field against their number."""
    if found.by_size is None:
        return nothing(ax, "the curve of the field was not kept")
    size = found.by_size.size
    for name, one, colour, style in (
        ("purity", found.by_size.purity, BLUE, "-"),
        ("completeness", found.by_size.completeness, VERMILION, "--"),
    ):
        ax.fill_between(size, one.low, one.high, color=colour, alpha=0.2, lw=0)
        ax.plot(size, one.value, color=colour, ls=style, label=name)
    if found.rows:
        ax.axvline(found.rows, color=INK, lw=0.9, ls="-.", label="size of this list")
    ax.set_xlim(left=0)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("candidates")
    ax.set_ylabel("share")
    ax.grid(visible=True)
    ax.legend(loc="best", fontsize=7.5)
    return ax
