"""Reliability diagrams: do probabilities mean what they say?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .style import BLUE, MUTED, VERMILION, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Reliability(NamedTuple):
    """Reliability curves of one class.

    Parameters
    ----------
    name : str
        The class, or ``top``: the class of largest probability.
    after : mapping
        As :func:`~jpas_gbm.scores.curves.curve_set` saves it.
    before : mapping, optional
        The same before calibration.
    """

    name: str
    after: Mapping[str, Any]
    before: Mapping[str, Any] | None = None


def reliability_figure(result: Reliability, ax: Axes) -> Axes:
    """Draw the true fraction against the mean probability in bins, with 68 % intervals; above, how many rows."""
    ax.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls="--")
    shown = [("after", result.after, BLUE, "o", 0.004)]
    if result.before is not None:
        shown.insert(0, ("before", result.before, VERMILION, "s", -0.004))
    for name, curve, colour, marker, aside in shown:
        p, fraction = np.array(numbers(curve["mean_p"])), np.array(numbers(curve["fraction"]))
        low, high = np.array(numbers(curve["low"])), np.array(numbers(curve["high"]))
        bars = np.maximum([fraction - low, high - fraction], 0)
        face = "none" if name == "before" else colour
        label = f"{name} calibration" if result.before is not None else None
        ax.errorbar(
            p + aside, fraction, yerr=bars, fmt=marker, ms=4.5, mfc=face, color=colour, capsize=1.5, label=label
        )
        ax.plot(p + aside, fraction, color=colour, lw=1, alpha=0.6)
    for p, n in zip(result.after["mean_p"], result.after["n"], strict=True):
        where = ax.get_xaxis_transform()
        ax.text(p, 1.01, f"{int(n):,}", fontsize=6.5, ha="center", va="bottom", color=MUTED, transform=where)
    ax.set_xlim(-0.04, 1.06)
    ax.set_ylim(-0.04, 1.06)
    top = result.name == "top"
    ax.set_xlabel("largest probability" if top else f"P({result.name})")
    ax.set_ylabel("share that is right" if top else "true fraction")
    ax.set_title("all classes: the class of largest probability" if top else result.name, pad=14)
    ax.grid(visible=True)
    if result.before is not None:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, columnspacing=1.0)
    return ax
