"""Saved values: what JSON holds, checked while it is read, so that drawing meets no surprise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Interval = tuple[float, float]


def real(value: Any) -> float | None:
    """Return a number or None, as JSON writes what is not finite.

    Raises
    ------
    TypeError, ValueError
        If it is neither.
    """
    return None if value is None else float(value)


def interval(value: Any) -> Interval | None:
    """Return both ends of an interval, or None where it, or an end, is not known.

    Raises
    ------
    TypeError, ValueError
        If it is not a pair of numbers.
    """
    if value is None:
        return None
    low, high = value
    return None if low is None or high is None else (float(low), float(high))


def row(values: Sequence[Any], length: int | None = None) -> np.ndarray:
    """Return numbers as float64, NaN for None.

    Raises
    ------
    TypeError, ValueError
        If one is no number, or there are not `length` of them.
    """
    found = np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
    if length is not None and len(found) != length:
        raise ValueError(f"{len(found)} values where {length} belong")
    return found


def within(values: Mapping[str, Any], *names: str) -> Any:
    """Return what is under nested names, or None where one is absent."""
    found: Any = values
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
