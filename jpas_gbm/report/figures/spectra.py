"""Photo-spectra: an object of the sky beside its mock twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..words import count
from .style import BLUE, INK, MUTED, ORANGE, PALE, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LIGHT_SPEED = 2.99792458e18
"""Å per second."""

QUASAR_LINES = {"Lyα": 1215.67, "C IV": 1549.0, "C III]": 1908.7, "Mg II": 2799.0, "Hβ": 4862.7, "Hα": 6564.6}
"""Rest wavelengths in Å of the lines marked on quasars' spectra."""


_HALF_STEP = 50


class Portrait(NamedTuple):
    """One object of ``portraits.json``.

    Parameters
    ----------
    one : mapping
        The object.
    bands : tuple of sequence
        Rows of name, pivot, width, kind.
    lines : bool
        Whether to mark quasar lines at its redshift.
    legend : bool
        Whether to say what the marks are.
    """

    one: Mapping[str, Any]
    bands: tuple[Any, ...]
    lines: bool
    legend: bool = False


def per_wavelength(flux: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Return f_λ in 1e-17 erg s⁻¹ cm⁻² Å⁻¹ of f_ν in nJy at wavelengths in Å."""
    return flux * 1e-32 * LIGHT_SPEED / wavelength**2 / 1e-17


def spectrum_figure(result: Portrait, ax: Axes) -> Axes:
    """Draw f_λ of an object with its errors, its mock twin, and grey where bands were not observed."""
    order = np.argsort([band[1] for band in result.bands])
    pivot = np.array([result.bands[i][1] for i in order], dtype=np.float64)
    broad = np.array([result.bands[i][3] == "broad" for i in order])
    flux, err = (np.array(numbers(result.one[name]))[order] for name in ("flux", "flux_err"))
    seen = np.isfinite(flux)
    f, e = per_wavelength(flux, pivot), per_wavelength(err, pivot)
    _draw_twin(result.one["twin"], order, pivot, broad, ax)
    narrow = seen & ~broad
    bars: dict[str, Any] = {"fmt": "o", "ms": 3, "color": BLUE, "elinewidth": 0.8, "zorder": 3}
    shown = np.where(np.isfinite(e), e, 0)
    ax.errorbar(pivot[narrow], f[narrow], yerr=shown[narrow], label="sky", **bars)
    if (seen & broad).any():
        ax.errorbar(pivot[seen & broad], f[seen & broad], yerr=shown[seen & broad], **{**bars, "fmt": "D", "ms": 4.5})
    for gap in pivot[~seen & ~broad]:
        ax.axvspan(gap - _HALF_STEP, gap + _HALF_STEP, color=PALE, alpha=0.6, lw=0, zorder=0)
    _limits(f[seen], ax)
    if result.lines and result.one["z"] is not None:
        _mark_lines(float(result.one["z"]), pivot, ax)
    ax.set_xlabel("wavelength (Å)")
    ax.set_ylabel(r"$f_\lambda$ ($10^{-17}$ erg s$^{-1}$ cm$^{-2}$ Å$^{-1}$)", fontsize=8)
    ax.set_title(_title(result, int((~seen).sum())), fontsize=8.5, loc="left", pad=14)
    ax.set_xlim(pivot.min() - 150, pivot.max() + 150)
    if result.legend:
        ax.legend(fontsize=7.5, loc="best", handlelength=1.4)
    return ax


def _draw_twin(
    twin: Mapping[str, Any] | None, order: np.ndarray, pivot: np.ndarray, broad: np.ndarray, ax: Axes
) -> None:
    if twin is None:
        return
    noisy = per_wavelength(np.array(numbers(twin["flux"]))[order], pivot)
    ax.plot(pivot, noisy, "x", ms=3.5, mew=0.9, color=ORANGE, label="mock twin, noisy")
    if twin["mean"] is not None:
        mean = per_wavelength(np.array(numbers(twin["mean"]))[order], pivot)
        ax.plot(pivot[~broad], mean[~broad], color=ORANGE, lw=1.2, label="mock twin, mean")


def _limits(f: np.ndarray, ax: Axes) -> None:
    if not len(f):
        return
    low, high = np.quantile(f, [0.02, 0.98]) if len(f) > 10 else (f.min(), f.max())
    span = max(high - low, 1e-9)
    ax.set_ylim(min(low - 0.3 * span, 0 if low < 0.4 * high else np.inf), max(high + 0.35 * span, f.max() * 1.05))


def _mark_lines(z: float, pivot: np.ndarray, ax: Axes) -> None:
    for name, rest in QUASAR_LINES.items():
        place = rest * (1 + z)
        if pivot.min() - 100 <= place <= pivot.max() + 100:
            ax.axvline(place, color=MUTED, lw=0.7, ls=":", zorder=0)
            where = (place, 1.0)
            ax.annotate(
                name, where, xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7, color=INK
            )


def _title(result: Portrait, gaps: int) -> str:
    one = result.one
    words = [one["class"]]
    if one["z"] is not None and one["class"] != "STAR":
        words.append(f"z = {one['z']:.2f}")
    if one["mag"] is not None:
        words.append(f"mag = {one['mag']:.1f}")
    words.append(f"{count(gaps, 'band')} missing" if gaps else "all bands")
    return ", ".join(words)
