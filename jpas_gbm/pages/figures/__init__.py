"""Figures: each function takes a result and axes, draws, and returns the axes.

This package is ``jpas_gbm.plot``: ``plot.ridge(explanation)`` draws on new axes, ``plot.ridge(explanation, ax)`` on
yours. The names are those of :data:`PLOTS`; ``plot.ridge`` is ``ridge_figure`` of the module that stands there.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError

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


_SCORED = "Evaluation | Comparison | Mapping | dict"
_HOW = {
    **dict.fromkeys(("Comparison", "Explanation", "TargetList", "Study", "BudgetCurve", "ListComparison"), ""),
    "Evaluation": ": comparison.by_regime has one of each regime",
}
"""Where the results that a plot draws are found; those that no verb returns are on the page alone."""


def _refuse_other(name: str, wanted: str, result: Any) -> None:
    """Refuse a result of a type that the plot does not draw."""
    kinds = (_SCORED if wanted == "Scored" else wanted).split(" | ")
    if not {kind.__name__ for kind in type(result).__mro__}.isdisjoint(kinds):
        return
    how = _HOW.get(kinds[0], ": jpas_gbm.report works it out, and draws it on the page")
    raise ConfigError(f"plot.{name}: draws {' or '.join(kinds[:2])}, not {type(result).__name__}{how}.")


def __dir__() -> list[str]:
    return sorted(PLOTS)


def __getattr__(name: str) -> Callable[..., Axes]:
    """Return a drawing function that makes axes where it is given none."""
    if name not in PLOTS:
        raise AttributeError(f"there is no plot '{name}'. Known are {', '.join(PLOTS)}.")
    # Plots of a candidate list are named so; their functions stand in its module.
    draw = getattr(import_module(f"{__name__}.{PLOTS[name]}"), f"{name.removeprefix('list_')}_figure")

    wanted = str(next(iter(inspect.signature(draw).parameters.values())).annotation)

    @functools.wraps(draw)
    def plot(result: Any, ax: Axes | None = None, **options: Any) -> Axes:
        from matplotlib import pyplot, rc_context

        from .plates import RULES

        _refuse_other(name, wanted, result)
        with rc_context(RULES):
            if ax is None:
                polar = {"projection": "polar"} if name == "radar" else {}
                ax = pyplot.subplots(layout="constrained", subplot_kw=polar)[1]
            return draw(result, ax, **options)

    return plot
