"""Figures: each function takes a result and an axes, draws, and returns the axes."""

from __future__ import annotations

from .attribution import (
    ObjectOf,
    attribution_figure,
    blocks_figure,
    features_figure,
    lines_figure,
    object_bands_figure,
    rest_figure,
    ridge_figure,
    stability_figure,
    stages_figure,
    waterfall_figure,
)
from .data import MapPanel, Portrait, balance_figure, domains_map_figure, map_figure, shares_figure, spectrum_figure
from .domains import covered_figure, missing_figure, separation_figure, strata_figure
from .lists import Cut, cut_figure, sizes_figure, yield_figure
from .regimes import budgets_figure, radar_figure, regimes_figure
from .scores import (
    AgainstRedshift,
    ByMagnitude,
    ClassCurves,
    Reliability,
    confusion_figure,
    magnitude_figure,
    purity_figure,
    redshift_figure,
    reliability_figure,
    roc_figure,
)
from .style import save_figure
from .tuning import Slice, front_figure, history_figure, importances_figure, slice_figure

__all__ = [
    "AgainstRedshift",
    "ByMagnitude",
    "ClassCurves",
    "Cut",
    "MapPanel",
    "ObjectOf",
    "Portrait",
    "Reliability",
    "Slice",
    "attribution_figure",
    "balance_figure",
    "blocks_figure",
    "budgets_figure",
    "confusion_figure",
    "covered_figure",
    "cut_figure",
    "domains_map_figure",
    "features_figure",
    "front_figure",
    "history_figure",
    "importances_figure",
    "lines_figure",
    "magnitude_figure",
    "map_figure",
    "missing_figure",
    "object_bands_figure",
    "purity_figure",
    "radar_figure",
    "redshift_figure",
    "regimes_figure",
    "reliability_figure",
    "rest_figure",
    "ridge_figure",
    "roc_figure",
    "save_figure",
    "separation_figure",
    "shares_figure",
    "sizes_figure",
    "slice_figure",
    "spectrum_figure",
    "stability_figure",
    "stages_figure",
    "strata_figure",
    "waterfall_figure",
    "yield_figure",
]
