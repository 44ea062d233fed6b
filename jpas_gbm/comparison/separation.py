"""Domain separation: how far mocks and sky are apart, band by band."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata

from ..survey.catalogue import Catalogue
from ..survey.dataset import Dataset
from .portraits import rounded

_MOST_ROWS = 6000
_FEWEST = 20


def shapes(rows: Catalogue) -> np.ndarray:
    """Return fluxes in units of the row's median, which takes the level out, float64 (n, b)."""
    flux = rows.flux.astype(np.float64)
    empty = np.asarray(~np.isfinite(flux).any(axis=1))
    level = np.nanmedian(np.where(empty[:, None], 1.0, flux), axis=1)
    return flux / np.where(level > 0, level, np.nan)[:, None]


def brighter_in_sky(source: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return the chance that a target value exceeds a source value, and its error if both were alike.

    Parameters
    ----------
    source, target : array, shape (n,) and (m,)
        NaN counts nowhere.

    Returns
    -------
    tuple of float
        Area under the ROC, 0.5 for like distributions (Mann and Whitney 1947); NaN with too few rows.
    """
    source, target = source[np.isfinite(source)], target[np.isfinite(target)]
    n, m = len(source), len(target)
    if min(n, m) < _FEWEST:
        return float("nan"), float("nan")
    ranks = rankdata(np.concatenate([source, target]))
    area = (ranks[n:].sum() - m * (m + 1) / 2) / (n * m)
    return float(area), float(np.sqrt((n + m + 1) / (12 * n * m)))


def band_separation(dataset: Dataset, seed: int = 0, most: int = _MOST_ROWS) -> dict[str, Any]:
    """Compare the shapes of mocks and of labelled train and validation rows of the sky, band by band.

    Parameters
    ----------
    dataset : Dataset
    seed : int
        Seed of the samples.
    most : int
        Rows of either domain.

    Returns
    -------
    dict
        ``bands``, rows of either domain, ``classes`` compared; by band ``area``: the chance that a sky object
        is brighter there than a mock of its class, relative to its own median flux (0.5: alike), mean over
        classes as common as in the sky; ``error`` of it if both were alike; and the shares of rows in which
        the band is missing, ``missing_source`` and ``missing_target``.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 83]))
    source = _sample(dataset.source_rows("train"), most, rng)
    target = dataset.target_rows("train", "val")
    target = _sample(target.take(target.label >= 0), most, rng)
    x, y = shapes(source), shapes(target)
    b = len(dataset.target.bands)
    area, error, total = np.zeros(b), np.zeros(b), np.zeros(b)
    compared = []
    for code, name in enumerate(dataset.scheme.classes):
        mine, theirs = x[source.label == code], y[target.label == code]
        if min(len(mine), len(theirs)) < _FEWEST:
            continue
        compared.append(name)
        for i in range(b):
            one, its_error = brighter_in_sky(mine[:, i], theirs[:, i])
            if np.isfinite(one):
                area[i] += len(theirs) * one
                error[i] += (len(theirs) * its_error) ** 2
                total[i] += len(theirs)
    with np.errstate(invalid="ignore", divide="ignore"):
        area, error = area / total, np.sqrt(error) / total
    return {
        "bands": dataset.target.bands.to_dict(),
        "source_rows": len(source),
        "target_rows": len(target),
        "classes": compared,
        "area": rounded(area),
        "error": rounded(error),
        "missing_source": rounded((~source.observed).mean(axis=0)) if len(source) else [None] * b,
        "missing_target": rounded((~target.observed).mean(axis=0)) if len(target) else [None] * b,
    }


def _sample(rows: Catalogue, most: int, rng: np.random.Generator) -> Catalogue:
    if len(rows) <= most:
        return rows
    return rows.take(np.sort(rng.choice(len(rows), most, replace=False)))
