"""Figures: each function takes a result and an axes, draws, and returns the axes."""

from .attribution import attribution_figure, blocks_figure, stability_figure, stages_figure
from .balance import balance_figure, shares_figure
from .budgets import budgets_figure
from .confusion import confusion_figure
from .curves import ClassCurves, purity_figure, roc_figure
from .domains import covered_figure, missing_figure, separation_figure, strata_figure
from .features import features_figure
from .magnitude import ByMagnitude, magnitude_figure
from .map import MapPanel, domains_map_figure, map_figure
from .redshift import AgainstRedshift, redshift_figure
from .regimes import radar_figure, regimes_figure
from .reliability import Reliability, reliability_figure
from .restframe import lines_figure, rest_figure, ridge_figure
from .spectra import Portrait, spectrum_figure
from .style import save_figure
from .targets import Cut, cut_figure, sizes_figure, yield_figure
from .tuning import Slice, front_figure, history_figure, importances_figure, slice_figure
from .waterfall import ObjectOf, object_bands_figure, waterfall_figure

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
