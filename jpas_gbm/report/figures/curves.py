"""Curves of one class over regimes: ROC, and purity against completeness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .style import MUTED, numbers, regime_look

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ClassCurves(NamedTuple):
    """The curves of one class.

    Parameters
    ----------
    name : str
        The class.
    curves : mapping of str to mapping
        By regime, as :func:`~jpas_gbm.scores.curves.curve_set` saves a curve.
    areas : mapping of str to float or None
        By regime: the area to write into the legend.
    prevalence : float, optional
        Share of the class among the rows.
    """

    name: str
    curves: Mapping[str, Mapping[str, Any]]
    areas: Mapping[str, float | None]
    prevalence: float | None = None


_LOWEST_RATE = 1e-4


def roc_figure(result: ClassCurves, ax: Axes) -> Axes:
    """Draw true- against false-positive rate, the latter in the logarithm: low rates are where it matters."""
    for regime, curve in result.curves.items():
        fpr, tpr = np.array(numbers(curve["false_positive"])), np.array(numbers(curve["true_positive"]))
        look = regime_look(regime, list(result.curves))
        label = f"{regime}  {_area(result.areas.get(regime))}"
        ax.plot(
            np.maximum(fpr, _LOWEST_RATE),
            tpr,
            drawstyle="steps-post",
            color=look["color"],
            ls=look["linestyle"],
            label=label,
        )
    ax.set_xscale("log")
    ax.set_xlim(_LOWEST_RATE, 1)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("false-positive rate")
    ax.set_ylabel("true-positive rate")
    ax.grid(visible=True)
    ax.set_title(result.name)
    ax.legend(title="area under the curve", loc="lower right", title_fontsize=8)
    return ax


def purity_figure(result: ClassCurves, ax: Axes) -> Axes:
    """Draw the purity of the sample above a cut in P(class) against its completeness."""
    for regime, curve in result.curves.items():
        look = regime_look(regime, list(result.curves))
        completeness, purity = numbers(curve["completeness"]), numbers(curve["purity"])
        label = f"{regime}  {_area(result.areas.get(regime))}"
        ax.plot(completeness, purity, color=look["color"], ls=look["linestyle"], label=label)
    if result.prevalence is not None:
        ax.plot([0.6, 1.02], [result.prevalence, result.prevalence], color=MUTED, lw=1, ls=":")
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("completeness")
    ax.set_ylabel("purity")
    ax.grid(visible=True)
    ax.set_title(result.name)
    ax.legend(title="average precision", loc="lower left", title_fontsize=8)
    return ax


def _area(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
