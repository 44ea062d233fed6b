"""Figures of merit by magnitude, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .regimes import reach
from .style import nothing, numbers, regime_look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.evaluation import Evaluation


FEWEST = 5
"""Bins with fewer rows of the class are not drawn."""


class ByMagnitude(NamedTuple):
    """One figure of several models by magnitude.

    Parameters
    ----------
    figure : str
        Dotted name, such as ``per_class.QSO_high.f1``.
    title : str
    evaluations : mapping of str to Evaluation
        By regime.
    """

    figure: str
    title: str
    evaluations: Mapping[str, Evaluation]


def magnitude_figure(result: ByMagnitude, ax: Axes) -> Axes:
    """Draw a figure in bins of magnitude with 95 % intervals, and how many rows each bin has."""
    regimes = list(result.evaluations)
    counts: dict[float, int] = {}
    for i, (regime, one) in enumerate(result.evaluations.items()):
        bins = [b for b in one.by_magnitude if _rows(b, result.figure) >= FEWEST]
        if not bins:
            continue
        centre = np.array([(b["lower"] + b["upper"]) / 2 for b in bins])
        width = np.array([b["upper"] - b["lower"] for b in bins])
        values = numbers([_value(b, result.figure) for b in bins])
        bars = reach(values, [b["intervals"].get(result.figure) for b in bins])
        look = regime_look(regime, regimes)
        place = centre + 0.1 * (i - (len(regimes) - 1) / 2) * width.min(initial=1)
        ax.errorbar(place, values, yerr=bars, ms=4, capsize=1.5, lw=1, elinewidth=1, label=regime, **look)
        counts |= {float(c): _rows(b, result.figure) for c, b in zip(centre, bins, strict=True)}
    for place, n in counts.items():
        ax.text(
            place,
            1.0,
            f"{n:,}",
            fontsize=6.5,
            ha="center",
            va="bottom",
            rotation=90,
            transform=ax.get_xaxis_transform(),
        )
    if not counts:
        return nothing(ax, f"{result.title}: no magnitude bin has {FEWEST} rows")
    ax.set_title(result.title, pad=26)
    ax.set_xlabel("magnitude")
    ax.set_ylabel("score")
    ax.grid(axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=4, columnspacing=1.0, handlelength=1.6)
    return ax


def _value(one: Mapping[str, object], name: str) -> float | None:
    value: object = one
    for step in name.split("."):
        value = value[step] if isinstance(value, Mapping) else None
    return value if isinstance(value, float | int) else None


def _rows(one: Mapping[str, object], name: str) -> int:
    section, *rest = name.split(".")
    value = _value(one, f"per_class.{rest[0]}.n") if section == "per_class" else _value(one, "n")
    return int(value or 0)
