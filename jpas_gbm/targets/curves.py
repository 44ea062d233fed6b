"""Curves: purity, completeness and yield against threshold, before and after the class mix is corrected."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np

from ..boosting.heldout import HeldOut
from .mix import Mix, mag_bins, ratio_of
from .yields import Yields

_POINTS = 60


def labelled_curve(
    mix: Mix, labelled: HeldOut, column: int, rows: np.ndarray, *, corrected: bool, level: float = 0.95
) -> dict[str, Any]:
    """Return what a cut in probability selects among labelled rows.

    Parameters
    ----------
    mix : Mix
    labelled : HeldOut
    column : int
        The class.
    rows : array of bool, shape (n,)
        The labelled rows that count (a magnitude bin, say).
    corrected : bool
        Whether probabilities are corrected and rows weighted to the field's mix; if not, both are
        as they are in the labelled sample.
    level : float
        Of the intervals, by bootstrap over labelled objects (and, corrected, over the mix).

    Returns
    -------
    dict
        ``threshold`` (falling), ``purity``, ``completeness`` and their ``_low`` and ``_high``.
    """
    chosen = labelled.take(rows)
    hit = chosen.label == column
    if not hit.any():
        return {"rows": len(chosen), "members": 0}
    place = mix.place(chosen.mag)
    score = (mix.correct(chosen.p, chosen.mag) if corrected else chosen.p)[:, column]
    order = np.argsort(-score, kind="stable")
    thresholds = np.unique(np.quantile(score[hit], np.linspace(0, 1, _POINTS)))[::-1]
    last = np.searchsorted(-score[order], -thresholds, side="right")
    every = np.arange(len(chosen))

    def figures(weight: np.ndarray) -> np.ndarray:
        true = np.append(0, np.cumsum((weight * hit)[order]))[last]
        picked = np.append(0, np.cumsum(weight[order]))[last]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([true / picked, true / max(weight @ hit, 1e-300)])

    def weight(ratio: np.ndarray, times: np.ndarray) -> np.ndarray:
        return times * (ratio[place][every, chosen.label] if corrected else 1.0)

    point = figures(weight(ratio_of(mix.old, mix.new), np.ones(len(chosen))))
    drawn = np.stack([figures(weight(ratio_of(d.old, d.new), d.times[rows])) for d in mix.draws])
    with warnings.catch_warnings():
        # A draw may have no row above a threshold; if none has, the interval is unknown.
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    told: dict[str, Any] = {"rows": len(chosen), "members": int(hit.sum()), "threshold": thresholds.tolist()}
    for i, name in enumerate(("purity", "completeness")):
        told |= {name: point[i].tolist(), f"{name}_low": low[i].tolist(), f"{name}_high": high[i].tolist()}
    return told


def yield_curve(yields: Yields, area: float | None, level: float = 0.95) -> dict[str, Any]:
    """Return purity, completeness and yield of lists of the field against their threshold.

    Parameters
    ----------
    yields : Yields
    area : float or None
        Square degrees; None where unknown.
    level : float
        Of the intervals.
    """
    keep = np.unique(np.geomspace(1, len(yields.size), _POINTS).astype(int)) - 1
    true, size = yields.true[:, keep], yields.size[keep]
    ends = [(1 - level) / 2, (1 + level) / 2]

    def pair(values: np.ndarray) -> list[list[float]]:
        return [v.tolist() for v in np.quantile(values, ends, axis=0)]

    total = np.maximum(yields.total, 1)[:, None]
    told = {
        "size": size.tolist(),
        "threshold": yields.threshold[keep].tolist(),
        "true": true.mean(axis=0).tolist(),
        "true_interval": pair(true),
        "purity": (true / size).mean(axis=0).tolist(),
        "purity_interval": pair(true / size),
        "completeness": np.minimum(true / total, 1).mean(axis=0).tolist(),
        "completeness_interval": pair(np.minimum(true / total, 1)),
    }
    if area:
        told["true_per_deg2"] = (true.mean(axis=0) / area).tolist()
    return told


def all_curves(
    mix: Mix, labelled: HeldOut, yields: Yields, column: int, edges: tuple[float, ...], area: float | None
) -> dict[str, Any]:
    """Return every curve of a class: of the field, and of labelled rows overall and by magnitude bin."""
    place = mag_bins(labelled.mag, np.asarray(edges))
    parts = {"all": np.ones(len(labelled), dtype=bool)}
    if edges:
        parts |= {name: place == b for b, name in enumerate(bin_names(edges))}
    return {
        "field": yield_curve(yields, area),
        "labelled": {
            name: {
                "before": labelled_curve(mix, labelled, column, rows, corrected=False),
                "after": labelled_curve(mix, labelled, column, rows, corrected=True),
            }
            for name, rows in parts.items()
        },
    }


def bin_names(edges: tuple[float, ...]) -> list[str]:
    """Return names of magnitude bins: ``< 20``, ``20 to 21``, ``>= 21``."""
    inner = [f"{a:g} to {b:g}" for a, b in pairwise(edges)]
    return [f"< {edges[0]:g}", *inner, f">= {edges[-1]:g}"] if edges else ["all"]
