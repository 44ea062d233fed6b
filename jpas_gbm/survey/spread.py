"""Spreads, shares and boxes: what columns come to in a few numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .catalogue import MORPHOLOGIES


def sky_box(ra: np.ndarray, dec: np.ndarray) -> dict[str, Any] | None:
    """Return the box on the sky; where RA runs through 0, `ra` begins before and ends after it."""
    good = np.isfinite(ra) & np.isfinite(dec)
    if not good.any():
        return None
    turned = np.sort(np.mod(ra[good], 360.0))
    # The box is what the widest empty stretch of the circle leaves over.
    gaps = np.diff(np.append(turned, turned[0] + 360.0))
    widest = int(gaps.argmax())
    start, stop = turned[(widest + 1) % len(turned)], turned[widest]
    low, high = np.sin(np.deg2rad([dec[good].min(), dec[good].max()]))
    width = np.deg2rad((stop - start) % 360.0)
    return {
        "ra": [float(start), float(stop)],
        "dec": [float(dec[good].min()), float(dec[good].max())],
        "box_square_degrees": float(np.rad2deg(width) * np.rad2deg(1.0) * (high - low)),
        "without_position": int((~good).sum()),
    }


def spread(values: np.ndarray) -> dict[str, Any] | None:
    """Return count, extremes and percentiles of the finite values, or None if there is none."""
    good = values[np.isfinite(values)]
    if len(good) == 0:
        return None
    low, p5, median, p95, high = np.percentile(good, [0, 5, 50, 95, 100])
    return {
        "count": len(good),
        "min": float(low),
        "p5": float(p5),
        "median": float(median),
        "p95": float(p95),
        "max": float(high),
    }


def extra_facts(values: np.ndarray) -> dict[str, Any] | None:
    """Return the share of 1 of a flag, the number of values of a text or integer, the spread of a number."""
    if values.dtype.kind not in "fiub":
        return {"values": len(np.unique(values))}
    numbers = values[np.isfinite(values)].astype(np.float64)
    if len(numbers) and np.isin(numbers, (0, 1)).all():
        return {"share": float(numbers.mean())}
    if len(numbers) and (numbers == np.round(numbers)).all():
        return {"values": len(np.unique(numbers))}
    return spread(numbers)


def shape_counts(codes: np.ndarray) -> dict[str, int]:
    """Return how many sources each morphological type has, without the types that none has."""
    counts = np.bincount(codes, minlength=len(MORPHOLOGIES))
    return {name: int(count) for name, count in zip(MORPHOLOGIES, counts, strict=True) if count}


def share_of(part: np.ndarray, whole: np.ndarray) -> float:
    """Return the share of `whole` (a mask) that is also `part`; 0 where nothing is."""
    total = int(whole.sum())
    return float((part & whole).sum()) / total if total else 0.0
