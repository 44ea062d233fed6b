"""Confusion matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.evaluation import Evaluation

LIGHT, DARK = "#FFFFFF", "#000000"


def confusion_figure(evaluation: Evaluation, ax: Axes) -> Axes:
    """Draw counts coloured by the share of the true class; the diagonal tells recall, precision and F1.

    Parameters
    ----------
    evaluation : Evaluation
        Decisions by argmax.
    ax : Axes
    """
    from matplotlib import colormaps

    counts = np.array(evaluation["confusion"], dtype=np.float64)
    classes = evaluation["classes"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    palette = colormaps["Blues"]
    ax.imshow(shares, cmap=palette, vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*counts.shape):
        share = shares[row, column]
        ink = LIGHT if share > 0.55 else DARK
        text = f"{counts[row, column]:,.0f}"
        if row == column:
            told = evaluation["per_class"][classes[row]]
            words = [("R", "recall"), ("P", "precision"), ("F1", "f1")]
            text += "\n" + "\n".join(f"{short} {_share(told[name])}" for short, name in words)
        elif counts[row].sum():
            text += f"\n{100 * share:.1f} %"
        size = 8.5 if row == column else 8
        ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=size, linespacing=1.15)
    ax.set_xticks(range(len(classes)), classes)
    ax.set_yticks(range(len(classes)), classes, rotation=90, va="center")
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_xticks(np.arange(len(classes) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(classes) - 1) + 0.5, minor=True)
    ax.grid(which="minor", color=LIGHT, lw=1.5)
    ax.tick_params(which="minor", length=0)
    return ax


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
