"""Class balance per magnitude, mocks against sky."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .confusion import DARK, LIGHT
from .style import MUTED, class_look

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def balance_figure(balance: Mapping[str, Any], ax: Axes, side: str = "source", source: str = "mocks") -> Axes:
    """Draw a table of counts by class and magnitude, coloured by their logarithm.

    Parameters
    ----------
    balance : mapping
        ``balance.json``.
    ax : Axes
    side : {"source", "target"}
    source : str
        What the source domain is called.
    """
    from matplotlib import colormaps

    classes, edges = balance["classes"], balance["edges"]
    counts = np.array(balance[side]["counts"], dtype=np.float64).reshape(len(classes), -1)
    most = max(np.max(balance[one]["counts"], initial=1) for one in ("source", "target"))
    tone = np.log10(np.maximum(counts, 1)) / max(np.log10(max(most, 10)), 1)
    ax.imshow(np.where(counts > 0, 0.08 + 0.85 * tone, 0), cmap=colormaps["Blues"], vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*counts.shape):
        n = float(counts[row, column])
        text = _short(n)
        ink = LIGHT if tone[row, column] > 0.6 and n > 0 else DARK
        ax.text(column, row, text, ha="center", va="center", fontsize=7, color=ink)
    ax.set_xticks(np.arange(len(edges)) - 0.5, [f"{edge:g}" for edge in edges])
    ax.set_yticks(range(len(classes)), classes)
    ax.set_xlabel("magnitude")
    words = {"source": source, "target": "sky, labelled"}[side]
    ax.set_title(f"{words}: {balance[side]['rows']:,} rows")
    ax.spines[:].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def _short(n: float) -> str:
    """Return a count in at most four characters."""
    if n < 10_000:
        return f"{n:.0f}"
    return f"{n / 1e3:.0f}k" if n < 1e6 else f"{n / 1e6:.1f}M"


def shares_figure(balance: Mapping[str, Any], ax: Axes, source: str = "mocks") -> Axes:
    """Draw the share of each class at each magnitude: the sky's as lines, the source domain's dashed."""
    classes, edges = balance["classes"], np.array(balance["edges"])
    centre = (edges[1:] + edges[:-1]) / 2
    for side, style in (("source", "--"), ("target", "-")):
        counts = np.array(balance[side]["counts"], dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(counts > 0, counts / counts.sum(axis=0), np.nan)
        for row, name in enumerate(classes):
            look = class_look(name, classes)
            label = name if side == "target" else None
            ax.plot(centre, shares[row], ls=style, marker=look["marker"], ms=3.5, color=look["color"], label=label)
    ax.plot([], [], color=MUTED, ls="--", label=f"{source} (dashed)")
    ax.set_yscale("log")
    ax.set_xlabel("magnitude")
    ax.set_ylabel("share of the rows")
    ax.set_title(f"sky as lines, {source} dashed")
    ax.grid(visible=True)
    ax.legend(loc="upper center", bbox_to_anchor=(0.45, -0.17), ncols=3, fontsize=7.5, columnspacing=1.0)
    return ax
