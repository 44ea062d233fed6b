"""One object: how its log-odds come about, and what each band says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .spectra import per_wavelength
from .style import BLUE, INK, MUTED, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...explanation.explanation import Explanation


class ObjectOf(NamedTuple):
    """One row of an explanation.

    Parameters
    ----------
    explanation : Explanation
        With its arrays.
    row : int
    """

    explanation: Explanation
    row: int

    @property
    def z(self) -> float:
        """Redshift, NaN where unknown."""
        return float(self.explanation.arrays["z"][self.row])


def waterfall_figure(result: ObjectOf, ax: Axes) -> Axes:
    """Draw how the log-odds of the pair add up: bias, blocks of bands, imaging, calibration."""
    found, row = result.explanation, result.row
    arrays = found.arrays
    names = ["bias", *(block["name"] for block in found["blocks"]), *found["own"]["names"], "calibration"]
    steps = np.array(
        [found["bias.pair"], *arrays["pair_blocks"][row], *arrays["pair_own"][row], arrays["pair_calibration"][row]]
    )
    ends = np.cumsum(steps)
    starts = ends - steps
    colours = [VERMILION if step > 0 else BLUE for step in steps]
    place = np.arange(len(steps))
    ax.barh(place, steps, left=starts, color=colours, height=0.68)
    for i in range(len(steps) - 1):
        ax.plot([ends[i], ends[i]], [place[i] - 0.34, place[i + 1] + 0.34], color=MUTED, lw=0.6)
    ax.barh(len(steps), ends[-1], color=INK, height=0.68)
    reach = max(np.abs(np.concatenate([starts, ends])).max(), 0.1)
    for i, (start, end, step) in enumerate(zip([*starts, 0], [*ends, ends[-1]], [*steps, ends[-1]], strict=True)):
        ax.text(max(start, end) + 0.02 * reach, i, f"{step:+.2f}", va="center", fontsize=7)
    ax.set_yticks(np.arange(len(steps) + 1), [*names, "log-odds"], fontsize=7.5)
    ax.invert_yaxis()
    ax.axvline(0, color=INK, lw=0.7)
    ax.margins(x=0.14)
    first, second = found.pair
    ax.set_xlabel(f"ln P({first})/P({second})")
    ax.grid(axis="x")
    return ax


def object_bands_figure(result: ObjectOf, ax: Axes) -> Axes:
    """Draw the photo-spectrum of an object, each band coloured and underlaid by what it says for the pair."""
    found, row = result.explanation, result.row
    arrays = found.arrays
    pivot = np.array(found["bands"]["pivots"])
    said = arrays["pair_bands"][row]
    level = float(arrays["level"][row])
    flux, err = (per_wavelength(arrays[name][row].astype(np.float64) * level, pivot) for name in ("flux", "flux_err"))
    seen = np.isfinite(flux)
    below = ax.twinx()
    below.bar(pivot, said, width=75, color=[VERMILION if s > 0 else BLUE for s in said], alpha=0.55, lw=0)
    below.axhline(0, color=MUTED, lw=0.6)
    reach = max(float(np.abs(said).max()), 1e-3)
    below.set_ylim(-1.15 * reach, 3.6 * reach)
    below.set_yticks([-round(reach, 1), 0, round(reach, 1)] if reach > 0.1 else [0])
    below.set_ylabel("attribution", fontsize=8, loc="bottom")
    ax.set_zorder(below.get_zorder() + 1)
    ax.patch.set_visible(False)
    shown = np.where(np.isfinite(err), err, 0)
    ax.errorbar(pivot[seen], flux[seen], yerr=shown[seen], fmt="o", ms=3, color=INK, elinewidth=0.8)
    if seen.any():
        low, high = np.quantile(flux[seen], [0.01, 0.99])
        span = max(high - low, 1e-9)
        ax.set_ylim(low - 0.65 * span, max(high + 0.2 * span, flux[seen].max() + 0.05 * span))
    if np.isfinite(result.z):
        for line in found["lines"]:
            place = line["wavelength"] * (1 + result.z)
            if pivot.min() - 80 < place < pivot.max() + 80:
                ax.axvline(place, color=MUTED, lw=0.7, ls=":" if line["kind"] == "line" else "--")
                where = ("data", "axes fraction")
                ax.annotate(line["label"], (place, 1.0), xycoords=where, ha="center", va="bottom", fontsize=7)
    ax.set_xlabel("wavelength (Å)")
    ax.set_ylabel(r"$f_\lambda$ ($10^{-17}$ erg s$^{-1}$ cm$^{-2}$ Å$^{-1}$)", fontsize=8)
    return ax
