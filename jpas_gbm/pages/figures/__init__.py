"""Figures: each function takes a result and axes, draws, and returns the axes.

This package is ``jpas_gbm.plot``: ``plot.ridge(explanation)`` draws on new axes, ``plot.ridge(explanation, ax)`` on
yours. The names are those of :data:`PLOTS`; ``plot.ridge`` is ``ridge_figure`` of the module that stands there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MODULES = {
    "scores": "regimes radar budgets confusion magnitude",
    "probabilities": "roc purity reliability redshift",
    "data": "spectrum balance shares separation missing map",
    "attribution": "bands blocks features lines rest ridge pairs stability stages",
    "tuning": "history importances front",
    "lists": "list_yield list_sizes list_rivals waterfall object_bands",
}

PLOTS = {name: module for module, names in _MODULES.items() for name in names.split()}
"""The module that draws each plot."""


def __dir__() -> list[str]:
    return sorted(PLOTS)


def __getattr__(name: str) -> Callable[..., Axes]:
    """Return a drawing function that makes axes where it is given none."""
    if name not in PLOTS:
        raise AttributeError(f"there is no plot '{name}'. Known are {', '.join(PLOTS)}.")
    # Plots of a candidate list are named so; their functions stand in its module.
    draw = getattr(import_module(f"{__name__}.{PLOTS[name]}"), f"{name.removeprefix('list_')}_figure")

    @functools.wraps(draw)
    def plot(result: Any, ax: Axes | None = None, **options: Any) -> Axes:
        from matplotlib import pyplot, rc_context

        from .plates import RULES

        with rc_context(RULES):
            if ax is None:
                polar = {"projection": "polar"} if name == "radar" else {}
                ax = pyplot.subplots(layout="constrained", subplot_kw=polar)[1]
            return draw(result, ax, **options)

    return plot
