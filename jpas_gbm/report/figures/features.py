"""The features that weigh most: a swarm of their contributions row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .style import BLUE, INK, MUTED, VERMILION, nothing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...explanation.explanation import Explanation

_TOP = 12
_ROWS = 600
_BINS = 60


def features_figure(explanation: Explanation, ax: Axes, top: int = _TOP) -> Axes:
    """Draw the contributions of the top features, each row a point coloured by the rank of the feature's value."""
    values = explanation.arrays.get("feature_values")
    if values is None or not len(values):
        return nothing(ax, "no single features were kept")
    from matplotlib.colors import LinearSegmentedColormap

    palette = LinearSegmentedColormap.from_list("low_high", [BLUE, "#8A8A92", VERMILION])
    names = [one["name"] for one in explanation["features"]["top"]][:top]
    said = explanation.arrays["feature_contributions"]
    kept = np.unique(np.linspace(0, len(said) - 1, min(len(said), _ROWS)).astype(int))
    for place, _ in enumerate(names):
        x, value = said[kept, place], values[kept, place]
        known = np.isfinite(value)
        rank = np.full(len(value), np.nan)
        rank[known] = np.argsort(np.argsort(value[known], kind="stable"), kind="stable") / max(known.sum() - 1, 1)
        y = place + _swarm(x)
        ax.scatter(x[~known], y[~known], s=4, color=MUTED, lw=0, rasterized=True)
        shown = ax.scatter(x[known], y[known], s=4, c=rank[known], cmap=palette, vmin=0, vmax=1, lw=0, rasterized=True)
    bar = ax.figure.colorbar(shown, ax=ax, pad=0.015, fraction=0.04, ticks=[0, 1])
    bar.ax.set_yticklabels(["low", "high"])
    bar.set_label("value of the feature", fontsize=8, labelpad=-12)
    bar.outline.set_visible(False)
    ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=7.5)
    ax.invert_yaxis()
    ax.axvline(0, color=INK, lw=0.7)
    first, second = explanation.pair
    ax.set_xlabel(f"contribution to ln P({first})/P({second})")
    ax.grid(axis="x")
    return ax


def _swarm(x: np.ndarray) -> np.ndarray:
    """Return offsets within ±0.4 that spread points of like x, wider where they are many."""
    if not len(x) or not np.ptp(x):
        return np.zeros(len(x))
    place = ((x - x.min()) / np.ptp(x) * (_BINS - 1)).astype(int)
    counts = np.bincount(place, minlength=_BINS)
    seen = np.zeros(_BINS, dtype=int)
    offset = np.empty(len(x))
    for i in range(len(x)):
        bin_ = place[i]
        side = 1 if seen[bin_] % 2 else -1
        offset[i] = side * ((seen[bin_] + 1) // 2)
        seen[bin_] += 1
    return 0.4 * offset / max(counts.max() / 2, 1)
