"""Figures of one object: how its log-odds add up, and what its bands say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...text import number
from .attribution import mark_lines
from .data import FLUX_LABEL, per_wavelength
from .plates import BLUE, INK, MUTED, VERMILION, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...explanation.explanation import Explanation


def waterfall_figure(explanation: Explanation, ax: Axes, *, row: int = 0) -> Axes:
    """Draw how the log-odds of the pair add up for one row: bias, blocks of bands, imaging, calibration.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.
    row : int
        Which row.

    Returns
    -------
    Axes
        The same.
    """
    content, arrays = explanation.content, explanation.arrays
    own = next((one for one in content.objects if one.row == row), None)
    names = ["bias", *(block.name for block in content.blocks), *content.own.names, "calibration"]
    steps = np.array(
        [
            content.bias.pair if own is None else own.log_odds.bias,
            *arrays["pair_blocks"][row],
            *arrays["pair_own"][row],
            arrays["pair_calibration"][row],
        ]
    )
    ends = np.cumsum(steps)
    starts, ends, steps = np.append(ends - steps, 0), np.append(ends, ends[-1]), np.append(steps, ends[-1])
    colours = [*(VERMILION if step > 0 else BLUE for step in steps[:-1]), INK]
    place = np.arange(len(steps))
    ax.barh(place, steps, left=starts, color=colours, height=0.68)
    for i, end in enumerate(ends[:-2]):
        ax.plot([end, end], [i - 0.34, i + 1.34], color=MUTED, lw=0.6)
    low, high = min(starts.min(), ends.min(), 0.0), max(starts.max(), ends.max(), 0.0)
    reach = max(high - low, 0.1)
    # A bar too short to be seen is a mark.
    tiny = np.abs(steps) < 0.008 * reach
    ax.scatter(ends[tiny], place[tiny], marker="|", s=90, color=np.array(colours)[tiny], zorder=3)
    for i, (start, end, step) in enumerate(zip(starts, ends, steps, strict=True)):
        ax.text(max(start, end) + 0.02 * reach, i, number(step, 2, sign=True), va="center", fontsize=7.5)
    ax.set_xlim(low - 0.04 * reach, high + 0.17 * reach)
    ax.set_yticks(place, [*(name.replace("_", " ") for name in names), "log-odds"], fontsize=7.5)
    ax.invert_yaxis()
    ax.axvline(0, color=INK, lw=0.7)
    first, second = (own and own.pair) or content.pair
    return dress(ax, f"ln P({first})/P({second})", grid="x")


def object_bands_figure(explanation: Explanation, ax: Axes, *, row: int = 0) -> Axes:
    """Draw the photo-spectrum of one row, each band coloured and underlaid by what it says for the pair.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.
    row : int
        Which row.

    Returns
    -------
    Axes
        The same.
    """
    content, arrays = explanation.content, explanation.arrays
    pivot = content.bands.pivots
    said = arrays["pair_bands"][row]
    level = float(arrays["level"][row])
    flux, err = (per_wavelength(arrays[name][row].astype(np.float64) * level, pivot) for name in ("flux", "flux_err"))
    seen = np.isfinite(flux)
    below = ax.twinx()
    below.bar(pivot, said, width=75, color=[VERMILION if s > 0 else BLUE for s in said], alpha=0.55, lw=0)
    below.axhline(0, color=MUTED, lw=0.6)
    reach = max(float(np.abs(said).max()), 1e-3)
    below.set_ylim(-1.15 * reach, 3.6 * reach)
    below.set_yticks([0, round(reach, 1)] if reach > 0.1 else [0])
    below.tick_params(labelsize=7.5)
    below.set_ylabel("attribution (bars)", fontsize=8, loc="bottom")
    ax.set_zorder(below.get_zorder() + 1)
    ax.patch.set_visible(False)
    shown = np.where(np.isfinite(err), err, 0)
    ax.errorbar(pivot[seen], flux[seen], yerr=shown[seen], fmt="o", ms=3, color=INK, elinewidth=0.8)
    if seen.any():
        low, high = np.quantile(flux[seen], [0.01, 0.99])
        span = max(high - low, 1e-9)
        top = min((flux + shown)[seen].max(), flux[seen].max() + 0.3 * span)
        ax.set_ylim(low - 0.65 * span, max(high + 0.2 * span, top + 0.05 * span))
    if np.isfinite(z := float(arrays["z"][row])):
        places = [(line, float(line.seen_at(z))) for line in content.lines]
        mark_lines([(line, at) for line, at in places if pivot.min() - 80 < at < pivot.max() + 80], ax)
    ax.set_xlabel("wavelength (Å)")
    ax.set_ylabel(FLUX_LABEL, fontsize=8)
    return ax
