"""Figures: each function takes a result and axes, draws, and returns the axes.

This package is ``jpas_gbm.plot``: ``plot.ridge(explanation)`` draws on new axes, ``plot.ridge(explanation, ax)`` on
yours. The names are those of :data:`PLOTS`; the function of a name, with what it takes, is found beside it there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOTS = {
    "regimes": "regime_scores.regimes_figure",
    "radar": "regime_scores.radar_figure",
    "budgets": "regime_scores.budgets_figure",
    "confusion": "scores.confusion_figure",
    "roc": "scores.plot_roc",
    "purity": "scores.plot_purity",
    "magnitude": "scores.plot_magnitude",
    "reliability": "scores.plot_reliability",
    "redshift": "scores.plot_redshift",
    "spectrum": "data.plot_spectrum",
    "balance": "data.balance_figure",
    "shares": "data.shares_figure",
    "separation": "domains.separation_figure",
    "missing": "domains.missing_figure",
    "map": "domains.plot_map",
    "bands": "attribution.attribution_figure",
    "blocks": "attribution.blocks_figure",
    "features": "attribution.features_figure",
    "lines": "attribution.lines_figure",
    "rest": "attribution.rest_figure",
    "ridge": "attribution.ridge_figure",
    "stability": "attribution.stability_figure",
    "stages": "attribution.stages_figure",
    "waterfall": "attribution.plot_waterfall",
    "object_bands": "attribution.plot_object",
    "history": "tuning.history_figure",
    "importances": "tuning.importances_figure",
    "front": "tuning.front_figure",
    "list_yield": "lists.yield_figure",
    "list_sizes": "lists.sizes_figure",
}
"""The function that draws each plot, as module and name."""


def __dir__() -> list[str]:
    return sorted(PLOTS)


def __getattr__(name: str) -> Callable[..., Axes]:
    if name not in PLOTS:
        raise AttributeError(f"there is no plot '{name}'. Known are {', '.join(PLOTS)}.")
    module, function = PLOTS[name].split(".")
    return _on_new_axes(getattr(import_module(f"{__name__}.{module}"), function), name)


def _on_new_axes(draw: Callable[..., Axes], name: str) -> Callable[..., Axes]:
    """Return a drawing function that makes axes where it is given none."""

    @functools.wraps(draw)
    def plot(result: Any, ax: Axes | None = None, **options: Any) -> Axes:
        from matplotlib import pyplot, rc_context

        from .style import RULES

        with rc_context(RULES):
            if ax is None:
                polar = {"projection": "polar"} if name == "radar" else {}
                ax = pyplot.subplots(layout="constrained", subplot_kw=polar)[1]
            return draw(result, ax, **options)

    return plot
