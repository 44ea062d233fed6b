"""Probability against redshift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .style import MUTED, class_look, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class AgainstRedshift(NamedTuple):
    """What a model says of objects of known redshift.

    Parameters
    ----------
    bins : mapping
        ``whole`` or ``zoom`` of :func:`~jpas_gbm.comparison.redshift_curves.redshift_curves`.
    classes : tuple of str
        The classes to draw.
    z_cut : float or None
        Where a class begins.
    title : str
    """

    bins: Mapping[str, Any]
    classes: tuple[str, ...]
    z_cut: float | None
    title: str


def redshift_figure(result: AgainstRedshift, ax: Axes) -> Axes:
    """Draw binned medians of P(class) against redshift, with the band of the central 68 %."""
    bins = result.bins
    filled = np.array(bins["n"]) > 0
    z = np.array(numbers(bins["z"]))
    for name in result.classes:
        if name not in bins["classes"]:
            continue
        one = {part: np.array(numbers(values)) for part, values in bins["classes"][name].items()}
        look = class_look(name, result.classes)
        ax.fill_between(z[filled], one["low"][filled], one["high"][filled], color=look["color"], alpha=0.18, lw=0)
        ax.plot(z[filled], one["median"][filled], ms=3.5, label=f"P({name})", **look)
    if result.z_cut is not None:
        ax.axvline(result.z_cut, color=MUTED, lw=1, ls="--")
        ax.annotate(
            f"z = {result.z_cut:g}",
            (result.z_cut, 1.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=8,
            color=MUTED,
        )
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("redshift of the quasar")
    ax.set_ylabel("probability")
    ax.set_title(result.title, pad=16)
    ax.grid(visible=True)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=4, columnspacing=1.2)
    return ax
