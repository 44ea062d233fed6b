"""Sources that overlapping tiles show twice: one fibre each is enough."""

from __future__ import annotations

import numpy as np

from ..survey.quality import QualityBit
from .predicted import Predicted

RADIUS = 0.5
"""Rows of different tiles nearer than this are one source, in arcsec."""


def without_repeats(predicted: Predicted, radius: float = RADIUS) -> tuple[Predicted, int]:
    """Return the rows with one row for each source, and how many were left out.

    Rows within the radius are one source if they are of different tiles, where TILE_ID is known, and
    at all otherwise. The row kept has fewer quality bits, then comes first: a choice by
    probability would favour lucky noise.

    Parameters
    ----------
    predicted : Predicted
    radius : float
        In arcsec.
    """
    from scipy.spatial import cKDTree

    known = np.flatnonzero(np.isfinite(predicted.ra) & np.isfinite(predicted.dec))
    if len(known) < 2:
        return predicted, 0
    lon, lat = np.deg2rad(predicted.ra[known]), np.deg2rad(predicted.dec[known])
    vectors = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    chord = 2 * np.sin(np.deg2rad(radius / 3600) / 2)
    pairs = cKDTree(vectors, balanced_tree=False, compact_nodes=False).query_pairs(chord, output_type="ndarray")
    pairs = known[pairs]
    tile = predicted.ids.get("TILE_ID")
    if tile is not None:
        pairs = pairs[tile[pairs[:, 0]] != tile[pairs[:, 1]]]
    if not len(pairs):
        return predicted, 0
    doubts = np.bitwise_count(predicted.quality.astype(np.uint32) & ~np.uint32(QualityBit.NO_IMAGING))
    rank = np.empty(len(predicted), dtype=np.intp)
    rank[np.lexsort((np.arange(len(predicted)), doubts))] = np.arange(len(predicted))
    worse = np.where(rank[pairs[:, 0]] > rank[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    keep = np.ones(len(predicted), dtype=bool)
    keep[worse] = False
    return predicted.take(keep), int((~keep).sum())
