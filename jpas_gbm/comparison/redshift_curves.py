"""Probability against redshift: binned medians of what a model says of objects of known redshift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..scores.curves import binned_quantiles

_FEWEST = 15
_MOST_BINS = 24
_ZOOM = 0.45
_ZOOM_BINS = 12


def equal_count_edges(z: np.ndarray, fewest: int, most: int) -> np.ndarray:
    """Return edges of at most `most` bins of equal numbers of rows, `fewest` or more where there are so many."""
    z = np.sort(z[np.isfinite(z)])
    bins = int(np.clip(len(z) // fewest, 1, most))
    edges = np.unique(np.quantile(z, np.linspace(0, 1, bins + 1)))
    edges = edges if len(edges) > 1 else np.array([edges[0] - 0.05, edges[0] + 0.05])
    edges[-1] += 1e-9  # a bin is open above, and the largest redshift belongs to the last
    return edges


def _binned(z: np.ndarray, columns: Mapping[str, np.ndarray], edges: np.ndarray) -> dict[str, Any]:
    found: dict[str, Any] = {"lower": edges[:-1].tolist(), "upper": edges[1:].tolist(), "z": [], "n": [], "classes": {}}
    for name, p in columns.items():
        quantiles = binned_quantiles(z, p, edges)
        found["n"] = quantiles.n.tolist()
        found["classes"][name] = {part: getattr(quantiles, part).tolist() for part in ("median", "low", "high")}
    found["z"] = binned_quantiles(z, z, edges).median.tolist()
    return found


def redshift_curves(curves: Mapping[str, Any], z_cut: float | None) -> dict[str, Any] | None:
    """Bin the probabilities that stand in an evaluation's curves against redshift.

    Parameters
    ----------
    curves : mapping
        As :func:`jpas_gbm.scores.curves.curve_set`.
    z_cut : float, optional
        Redshift at which a class begins: a second, finer set of bins lies around it.

    Returns
    -------
    dict or None
        ``whole`` and ``zoom`` (None where too few rows lie there): edges ``lower``, ``upper``, median ``z``
        and ``n`` of each bin, and by class ``median``, ``low``, ``high`` (16 and 84 %); ``rows`` and
        ``z_cut``. None where no redshift is known.
    """
    saved = curves.get("redshift")
    if not saved:
        return None
    z = np.array(saved["z"], dtype=np.float64)
    columns = {
        name.removeprefix("p_"): np.array(values, dtype=np.float64)
        for name, values in saved.items()
        if name.startswith("p_")
    }
    whole = _binned(z, columns, equal_count_edges(z, _FEWEST, _MOST_BINS))
    zoom = None
    if z_cut is not None:
        near = np.abs(z - z_cut) < _ZOOM
        if near.sum() >= 2 * _FEWEST:
            zoom = _binned(z[near], {c: p[near] for c, p in columns.items()}, _zoom_edges(z[near], z_cut))
    return {"whole": whole, "zoom": zoom, "rows": len(z), "z_cut": z_cut}


def _zoom_edges(z: np.ndarray, z_cut: float) -> np.ndarray:
    """Return edges of equal width with the cut among them, coarser where rows are few."""
    each_side = int(np.clip(len(z) // _FEWEST, 1, _ZOOM_BINS // 2))
    return z_cut + np.linspace(-_ZOOM, _ZOOM, 2 * each_side + 1)
