"""Attribution in the rest frame, against redshift, and on lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .confusion import DARK
from .style import INK, MUTED, class_look, nothing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...explanation.explanation import Explanation

_RIDGE_LINES = ("Lya", "CIV", "CIII", "MgII")


def rest_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw mean band attributions against λ/(1+z) for either class of the pair, with 95 % intervals and lines."""
    edges = explanation.arrays.get("rest_edges")
    if edges is None or not np.isfinite(explanation.arrays["rest_mean"]).any():
        return nothing(ax, "no redshifts are known: there is no rest frame")
    centre = np.sqrt(edges[1:] * edges[:-1])
    mean, low, high = (explanation.arrays[f"rest_{name}"] for name in ("mean", "low", "high"))
    for i, name in enumerate(explanation.pair):
        look = class_look(name, explanation.classes)
        known = np.isfinite(mean[i])
        if not known.any():
            continue
        ax.fill_between(centre, low[i], high[i], where=known, color=look["color"], alpha=0.2, lw=0, step="mid")
        ax.plot(centre, mean[i], drawstyle="steps-mid", color=look["color"], ls="-", lw=1.3, label=f"mean over {name}")
    drawn = np.isfinite(mean).any(axis=0)
    ax.set_xscale("log")
    ax.set_xlim(edges[:-1][drawn].min(), edges[1:][drawn].max())
    _plain_ticks(ax)
    _mark(explanation, ax)
    ax.axhline(0, color=INK, lw=0.7)
    ax.set_xlabel("wavelength in the rest frame (Å)")
    ax.set_ylabel("attribution per band")
    ax.grid(axis="y")
    ax.legend(loc="upper right")
    return ax


def _plain_ticks(ax: Axes) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = ax.get_xlim()
    ticks = [t for t in (700, 1000, 1500, 2000, 3000, 4000, 5000, 7000, 9000) if low <= t <= high]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))


def _mark(explanation: Explanation, ax: Axes) -> None:
    low, high = ax.get_xlim()
    last, row = -np.inf, 0
    for line in explanation["lines"]:
        place = line["wavelength"]
        if not low <= place <= high:
            continue
        # Labels of neighbouring lines take turns in two rows.
        row = 1 - row if np.log(place / max(last, 1e-9)) < 0.09 * np.log(high / low) else 0
        last = place
        ax.axvline(place, color=MUTED, lw=0.7, ls=":" if line["kind"] == "line" else "--", zorder=0)
        where = ("data", "axes fraction")
        ax.annotate(line["label"], (place, 1.01 + 0.055 * row), xycoords=where, ha="center", va="bottom", fontsize=7)


def ridge_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw mean attribution by band and redshift: the ridge should follow 1216 Å x (1 + z)."""
    mean = explanation.arrays.get("ridge_mean")
    if mean is None or not np.isfinite(mean).any():
        return nothing(ax, "no redshifts are known: there is no ridge")
    edges = explanation.arrays["ridge_edges"]
    pivots, kinds = np.array(explanation["bands"]["pivots"]), explanation["bands"]["kinds"]
    narrow = np.flatnonzero([kind == "narrow" for kind in kinds])
    columns = narrow if len(narrow) >= 2 else np.arange(len(pivots))
    columns = columns[np.argsort(pivots[columns])]
    wave = pivots[columns]
    middle = (wave[1:] + wave[:-1]) / 2
    borders = np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])
    drawn = np.flatnonzero(np.isfinite(mean).any(axis=1))
    top = float(np.nanquantile(np.abs(mean[:, columns]), 0.98))
    shown = ax.pcolormesh(
        borders, edges, mean[:, columns], cmap="PuOr_r", vmin=-top, vmax=top, shading="flat", rasterized=True
    )
    first, _ = explanation.pair
    bar = ax.figure.colorbar(shown, ax=ax, pad=0.015, fraction=0.06)
    bar.set_label(f"attribution, for {first} where positive", fontsize=8)
    bar.outline.set_visible(False)
    bottom, ceiling = edges[drawn.min()], edges[drawn.max() + 1]
    z = np.linspace(bottom, ceiling, 50)
    for line in explanation["lines"]:
        if line["name"] not in _RIDGE_LINES:
            continue
        seen = line["wavelength"] * (1 + z)
        inside = (seen > borders[0]) & (seen < borders[-1])
        if inside.sum() < 2:
            continue
        # Always dark: the ground is the colour map's, whatever the page's theme.
        ax.plot(seen[inside], z[inside], color=DARK, lw=1.0, ls="-" if line["name"] == "Lya" else ":")
        leaves = seen[-1] >= borders[-1]
        ax.annotate(
            line["label"],
            (seen[inside][-1], z[inside][-1]),
            xytext=(-3, 4 if leaves else 3),
            textcoords="offset points",
            fontsize=8,
            color=DARK if leaves else INK,
            ha="right" if leaves else "center",
            va="bottom",
            annotation_clip=False,
        )
    ax.set_xlim(borders[0], borders[-1])
    ax.set_ylim(bottom, ceiling)
    ax.set_xlabel("observed wavelength (Å)")
    ax.set_ylabel("redshift")
    return ax


def lines_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw how much more bands on a line say than other bands of the same rows, with 95 % intervals."""
    tables = explanation["line_tables"]
    lines = [
        one for one in explanation["lines"] if any(one["name"] == row["name"] for t in tables.values() for row in t)
    ]
    if not lines:
        return nothing(ax, "no row of known redshift shows a line")
    place = {one["name"]: i for i, one in enumerate(lines)}
    for i, name in enumerate(explanation.pair):
        look = class_look(name, explanation.classes)
        for row in tables.get(name, []):
            low, high = row["excess_interval"]
            y = place[row["name"]] + 0.14 - 0.28 * i
            if low is not None:
                ax.plot([low, high], [y, y], color=look["color"], lw=1.4)
            ax.plot(row["excess"], y, marker=look["marker"], color=look["color"], ms=5)
        ax.plot([], [], color=look["color"], marker=look["marker"], ms=5, label=name)
    ax.axvline(0, color=INK, lw=0.7)
    ax.set_yticks(range(len(lines)), [one["label"] for one in lines])
    ax.invert_yaxis()
    ax.set_xlabel("attribution on the line, less that elsewhere")
    ax.grid(axis="x")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=2)
    return ax
