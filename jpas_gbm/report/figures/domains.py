"""How far mocks and sky are apart, band by band and in strata of the odds between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .regimes import reach
from .style import BLUE, MUTED, ORANGE, PALE, nothing, numbers

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


def strata_figure(coverage: Mapping[str, Any], ax: Axes) -> Axes:
    """Draw the log loss of each stratum of the sky, from like the mocks to unlike, with 95 % intervals."""
    strata = coverage["strata"]
    if not strata or "log_loss" not in strata[0]:
        return nothing(ax, "no labels of the sky were seen: the strata have no scores")
    loss = numbers([one["log_loss"] for one in strata])
    bars = reach(loss, [one["interval"] for one in strata])
    ax.axhline(coverage["log_loss"], color=MUTED, lw=0.8, ls="--", label=f"all: {coverage['log_loss']:.3f}")
    ax.errorbar(range(len(strata)), loss, yerr=bars, fmt="o", ms=5, capsize=2, color=BLUE)
    for x, one in enumerate(strata):
        ax.text(x, 1.0, f"{one['n']:,}", fontsize=7, ha="center", va="bottom", transform=ax.get_xaxis_transform())
    ax.set_ylim(bottom=0)
    ax.set_ylabel("log loss (nats)")
    ax.legend(fontsize=7.5)
    return _by_stratum(strata, ax)


def covered_figure(coverage: Mapping[str, Any], ax: Axes) -> Axes:
    """Draw what share of the mocks lies in each stratum of the sky, beside the share of the sky."""
    strata = coverage["strata"]
    for side, whole, colour, name, label in (
        (-0.19, coverage["n"], BLUE, "n", "sky"),
        (0.19, coverage["mocks"], ORANGE, "mocks", "mocks"),
    ):
        place = [i + side for i in range(len(strata))]
        shares = [100 * one[name] / max(whole, 1) for one in strata]
        ax.bar(place, shares, 0.36, color=colour, label=label)
        for x, share, one in zip(place, shares, strata, strict=True):
            ax.text(x, share, f"{one[name]:,}", fontsize=6.5, ha="center", va="bottom")
    ax.set_ylabel("share of the rows (%)")
    ax.margins(y=0.2)
    ax.legend(fontsize=7.5, ncols=2, loc="upper center")
    return _by_stratum(strata, ax)


def _by_stratum(strata: Sequence[Mapping[str, Any]], ax: Axes) -> Axes:
    ends = [f"{one['p_sky'][0]:.2f}\nto {one['p_sky'][1]:.2f}" for one in strata]
    ax.set_xticks(range(len(strata)), ends)
    ax.set_xlim(-0.5, len(strata) - 0.5)
    ax.set_xlabel("P(sky) of the domain classifier")
    ax.grid(axis="y")
    return ax


def _bands(separation: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = separation["bands"]["bands"]
    pivot = np.array([row[1] for row in rows], dtype=np.float64)
    order = np.argsort(pivot)
    return pivot[order], np.array([row[3] == "broad" for row in rows])[order], order
