"""How far mocks and sky are apart, band by band."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import BLUE, MUTED, ORANGE, PALE, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def separation_figure(separation: Mapping[str, Any], ax: Axes) -> Axes:
    """Draw by band the chance that the sky is brighter there than a mock of its class; 0.5 is alike."""
    pivot, broad, order = _bands(separation)
    area, error = (np.array(numbers(separation[name]))[order] for name in ("area", "error"))
    ax.fill_between(pivot, 0.5 - 2 * error, 0.5 + 2 * error, color=PALE, lw=0, label="2 σ if both were alike")
    ax.axhline(0.5, color=MUTED, lw=0.8)
    ax.vlines(pivot, 0.5, area, color=BLUE, lw=1.2)
    ax.plot(pivot[~broad], area[~broad], "o", ms=3.5, color=BLUE, label="narrow band")
    if broad.any():
        ax.plot(pivot[broad], area[broad], "D", ms=5, color=BLUE, label="broad band")
    reach = max(0.06, 1.25 * float(np.nanmax(np.abs(area - 0.5), initial=0)))
    ax.set_ylim(0.5 - reach, 0.5 + reach)
    ax.set_xlabel("pivot wavelength (Å)")
    ax.set_ylabel("P(sky brighter than mock)")
    ax.grid(axis="y")
    ax.legend(ncols=3, loc="upper center", fontsize=7.5)
    return ax


def missing_figure(separation: Mapping[str, Any], ax: Axes, source: str = "mocks") -> Axes:
    """Draw the share of rows in which each band is missing, sky and mocks."""
    pivot, _, order = _bands(separation)
    for name, colour, marker, label in (
        ("missing_target", BLUE, "o", "sky"),
        ("missing_source", ORANGE, "s", f"{source} as they are"),
    ):
        values = 100 * np.array(numbers(separation[name]))[order]
        ax.plot(pivot, values, marker=marker, ms=3.5, lw=1, color=colour, label=label)
    ax.set_ylim(0, max(1.0, ax.get_ylim()[1]))
    ax.set_xlabel("pivot wavelength (Å)")
    ax.set_ylabel("rows without it (%)")
    ax.grid(axis="y")
    ax.legend(fontsize=7.5)
    return ax


def _bands(separation: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = separation["bands"]["bands"]
    pivot = np.array([row[1] for row in rows], dtype=np.float64)
    order = np.argsort(pivot)
    return pivot[order], np.array([row[3] == "broad" for row in rows])[order], order
