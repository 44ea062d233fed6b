"""The label-budget curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .style import regime_look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.budget_curve import BudgetCurve


def budgets_figure(curve: BudgetCurve, ax: Axes, figure: str = "macro.f1", label: str = "macro-F1") -> Axes:
    """Draw one figure of each regime against the number of target labels, with intervals."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    regimes = list(dict.fromkeys(point["regime"] for point in curve.points))
    for regime in regimes:
        series = curve.series(regime, figure)
        look = regime_look(regime, regimes)
        ax.plot(series["labels"], series["mean"], label=regime, ms=5, **look)
        ax.fill_between(series["labels"], series["low"], series["high"], color=look["color"], alpha=0.15, lw=0)
    ax.set_xscale("log")
    ax.set_xticks(list(curve.budgets))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("target labels (train and validation)")
    ax.set_ylabel(label)
    ax.grid(visible=True)
    ax.legend(loc="upper center", bbox_to_anchor=(0.45, -0.19), ncols=2, fontsize=8, columnspacing=1.0)
    return ax
