"""Figures of an explanation: by band, block and feature, at rest wavelengths and redshifts, of one object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...explanation.content import NotDefined
from ...text import feature_words
from .plates import BLUE, DARK, INK, MUTED, ORANGE, PALE, VERMILION, class_look, dress, nothing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...explanation.blocks import Line
    from ...explanation.explanation import Explanation


def bands_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw each band's mean attribution of the pair's log-odds, over rows of either class.

    Grey bars behind are the mean absolute attribution with its 95 % interval; bands whose importance is not
    stable from fit to fit have hollow marks.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    bands = explanation.content.bands
    pivot, order = _by_wavelength(explanation)
    size, spans = bands.mean_abs[order], bands.interval[order]
    width = _bar_widths(pivot)
    ax.bar(pivot, size, width=width, color=PALE, label="mean |attribution|")
    ax.bar(pivot, -size, width=width, color=PALE)
    for sign in (1, -1):
        ax.vlines(pivot, sign * spans[:, 0], sign * spans[:, 1], color=MUTED, lw=0.8)
    steady = explanation.content.stability
    stable = np.array(steady.stable)[order] if steady.defined else np.ones(len(order), dtype=bool)
    for name in explanation.pair:
        mean = bands.mean[name][order]
        look = class_look(name, explanation.classes)
        ax.plot(pivot, mean, color=look["color"], ls=look["linestyle"], lw=1.3)
        marks = {"ls": "", "marker": look["marker"], "ms": 4.5, "color": look["color"]}
        ax.plot(pivot[stable], mean[stable], label=name, **marks)
        if not stable.all():
            ax.plot(pivot[~stable], mean[~stable], mfc="none", **marks)
    ax.axhline(0, color=INK, lw=0.7)
    first, second = explanation.pair
    ax.set_ylabel(f"attribution of ln P({first})/P({second})", fontsize=8.5)
    legend = {"ncols": 3, "loc": "upper center", "bbox_to_anchor": (0.5, 1.16), "fontsize": 8, "columnspacing": 1.2}
    return dress(ax, "pivot wavelength (Å)", grid="y", legend=legend)


def stages_figure(explanation: Explanation, ax: Axes, way: str = "continued") -> Axes:
    """Draw by band what the mocks taught against what the sky taught.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.
    way : {"continued", "stacked"}
        How mocks and sky are told apart.

    Returns
    -------
    Axes
        The same.
    """
    split = explanation.content.stages[way]
    if not split.defined:
        return nothing(ax, split.why)
    pivot, order = _by_wavelength(explanation)
    for part, colour, marker, label in (
        (split.mocks, ORANGE, "s", "taught by mocks"),
        (split.sky, BLUE, "o", "taught by the sky"),
    ):
        low, high = part.interval[order].T
        ax.fill_between(pivot, low, high, color=colour, alpha=0.2, lw=0)
        ax.plot(pivot, part.mean_abs[order], marker=marker, ms=3.5, lw=1.2, color=colour, label=label)
    ax.set_title(f"{way} members: {100 * split.share_of_sky:.0f} % by the sky")
    return _size_axes(ax)


def stability_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw each band's importance in every fit, its range, and which bands are stable (filled).

    Parameters
    ----------
    explanation : Explanation
        Of several fits.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    steady = explanation.content.stability
    if not steady.defined:
        return nothing(ax, steady.why)
    pivot, order = _by_wavelength(explanation)
    mean, stable = steady.mean[order], np.array(steady.stable)[order]
    ax.vlines(pivot, steady.low[order], steady.high[order], color=MUTED, lw=1.2)
    for fit in steady.values:
        ax.plot(pivot, fit[order], ".", ms=3, color=MUTED)
    ax.plot(pivot[stable], mean[stable], "o", ms=4.5, color=BLUE, label="stable")
    ax.plot(pivot[~stable], mean[~stable], "o", ms=4.5, mfc="none", color=BLUE, label="not stable")
    return _size_axes(ax)


def _size_axes(ax: Axes) -> Axes:
    """Set up axes of mean |attribution| by band."""
    ax.set_ylim(bottom=0)
    return dress(ax, "pivot wavelength (Å)", "mean |attribution|", grid="y", legend={})


def blocks_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw the mean attribution of blocks of neighbouring bands, over rows of either class.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    blocks, own = explanation.content.blocks, explanation.content.own
    names = [block.name for block in blocks] + list(own.names)
    place = np.arange(len(names))
    for i, name in enumerate(explanation.pair):
        mean = [block.mean[name] for block in blocks] + (own.mean[name].tolist() if own.names else [])
        look = class_look(name, explanation.classes)
        ax.barh(place + 0.2 - 0.4 * i, mean, height=0.38, color=look["color"], label=f"mean over {name}")
    ax.set_yticks(place, [feature_words(name) for name in names], fontsize=7.5)
    ax.invert_yaxis()
    ax.axvline(0, color=INK, lw=0.7)
    legend = {"loc": "upper center", "bbox_to_anchor": (0.3, 1.13), "ncols": 2, "fontsize": 7.5, "handlelength": 1.2}
    return dress(ax, "attribution of the log-odds", grid="x", legend=legend)


def _by_wavelength(explanation: Explanation) -> tuple[np.ndarray, np.ndarray]:
    """Return rising pivots in Å and the order of the bands that makes them rise, shape (b,)."""
    pivots = explanation.content.bands.pivots
    order = np.argsort(pivots, kind="stable")
    return pivots[order], order


def _bar_widths(pivot: np.ndarray) -> float:
    """Return the width of bars at pivots in Å: most of the usual gap between neighbours."""
    gaps = np.diff(np.unique(pivot))
    return float(0.85 * np.median(gaps)) if len(gaps) else 100.0


def pairs_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw what pairs of bands give together: above the diagonal over rows of the first class, below it of the second.

    Parameters
    ----------
    explanation : Explanation
        Of a model.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    maps, section = explanation.arrays.get("band_pairs"), explanation.content.pairs
    if maps is None:
        return nothing(ax, section.why if isinstance(section, NotDefined) else "pairs of bands were not worked out")
    pivot, order = _by_wavelength(explanation)
    first, second = (2 * one[np.ix_(order, order)] for one in maps)
    upper = np.triu(np.ones(first.shape, dtype=bool), 1)
    # The row is the band of shorter wavelength above the diagonal, x runs along the other.
    shown = np.where(upper.T, first, np.where(upper, second, np.nan))
    top = float(np.nanquantile(np.abs(shown), 0.995)) or 1.0
    drawn = ax.pcolormesh(shown, cmap="PuOr_r", vmin=-top, vmax=top, rasterized=True)
    names = explanation.pair
    bar = ax.figure.colorbar(drawn, ax=ax, pad=0.015, fraction=0.06)
    bar.set_label(f"together, for {names[0]} where positive", fontsize=8)
    bar.outline.set_visible(False)
    ticks = np.unique(np.linspace(0, len(pivot) - 1, 4).round().astype(int))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(ticks + 0.5, [f"{pivot[i]:.0f}" for i in ticks], fontsize=8)
    ax.set_aspect("equal")
    frame = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": "none", "alpha": 0.85}
    for name, at, side in ((names[0], (0.03, 0.97), ("left", "top")), (names[1], (0.97, 0.03), ("right", "bottom"))):
        ax.annotate(
            f"mean over {name}",
            at,
            xycoords="axes fraction",
            ha=side[0],
            va=side[1],
            fontsize=8,
            color=DARK,
            bbox=frame,
        )
    ax.set(xlabel="pivot wavelength (Å)", ylabel="pivot wavelength (Å)")
    ax.grid(visible=False)
    return ax


_TOP = 12
_ROWS = 600
_BINS = 60


def features_figure(explanation: Explanation, ax: Axes, top: int = _TOP) -> Axes:
    """Draw the contributions of the top features, each row a point coloured by the rank of the feature's value.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.
    top : int
        How many features.

    Returns
    -------
    Axes
        The same.
    """
    values = explanation.arrays.get("feature_values")
    if values is None or not len(values):
        return nothing(ax, "no single features were kept")
    from matplotlib.colors import LinearSegmentedColormap
    from scipy.stats import rankdata

    palette = LinearSegmentedColormap.from_list("low_high", [BLUE, "#8A8A92", VERMILION])
    names = [feature.name for feature in explanation.content.features.top[:top]]
    said = explanation.arrays["feature_contributions"]
    kept = np.unique(np.linspace(0, len(said) - 1, min(len(said), _ROWS)).astype(int))
    for place in range(len(names)):
        x, value = said[kept, place], values[kept, place]
        known, y = np.isfinite(value), place + _swarm(x)
        rank = (rankdata(value[known], "ordinal") - 1) / max(known.sum() - 1, 1)
        ax.scatter(x[~known], y[~known], s=4, color=MUTED, lw=0, rasterized=True)
        shown = ax.scatter(x[known], y[known], s=4, c=rank, cmap=palette, vmin=0, vmax=1, lw=0, rasterized=True)
    bar = ax.figure.colorbar(shown, ax=ax, pad=0.015, fraction=0.04, ticks=[0, 1])
    bar.ax.set_yticklabels(["low", "high"])
    bar.set_label("value of the feature", fontsize=7.5, labelpad=1)
    bar.outline.set_visible(False)
    ax.set_yticks(range(len(names)), [feature_words(name) for name in names], fontsize=7.5)
    ax.invert_yaxis()
    ax.axvline(0, color=INK, lw=0.7)
    first, second = explanation.pair
    return dress(ax, f"contribution to\nln P({first})/P({second})", grid="x")


def _swarm(x: np.ndarray) -> np.ndarray:
    """Return offsets within ±0.4 that spread points of like x, wider where they are many."""
    if not len(x) or not np.ptp(x):
        return np.zeros(len(x))
    place = ((x - x.min()) / np.ptp(x) * (_BINS - 1)).astype(int)
    order = np.argsort(place, kind="stable")
    # How many points of the same bin came before each.
    before = np.empty(len(x), dtype=int)
    before[order] = np.arange(len(x)) - np.searchsorted(place[order], place[order])
    offset = np.where(before % 2, 1, -1) * ((before + 1) // 2)
    return 0.4 * offset / max(np.bincount(place).max() / 2, 1)


_RIDGE_LINES = ("Lya", "CIV", "CIII", "MgII")


def rest_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw mean band attributions against λ/(1+z) for either class of the pair, with 95 % intervals and lines.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
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
    left, right = ax.get_xlim()
    ticks = [t for t in (700, 1000, 1500, 2000, 3000, 4000, 5000, 7000, 9000) if left <= t <= right]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.set_xticks([], minor=True)
    mark_lines([(one, one.wavelength) for one in explanation.content.lines if left <= one.wavelength <= right], ax)
    ax.axhline(0, color=INK, lw=0.7)
    legend = {"loc": "upper right"}
    return dress(ax, "wavelength in the rest frame (Å)", "attribution per band", grid="y", legend=legend)


def mark_lines(marks: Sequence[tuple[Line, float]], ax: Axes) -> None:
    """Mark lines and breaks; each label stands in the lowest of three rows in which it has room.

    Parameters
    ----------
    marks : sequence of (Line, float)
        Each with the wavelength at which it is drawn, Å, within the limits of the axes and rising.
    ax : Axes
        Where to draw: its limits are set.
    """
    box = ax.get_window_extent()
    inches = 0.92 * box.width / ax.figure.dpi  # of the axes, once their labels have found room
    ends = [-np.inf] * 3
    for line, wavelength in marks:
        place = (ax.transData.transform((wavelength, 0))[0] - box.x0) / box.width * inches
        half = 0.033 * len(line.label) + 0.04
        row = next((i for i, end in enumerate(ends) if place - half > end), int(np.argmin(ends)))
        ends[row] = place + half
        _mark_line(line, wavelength, ax, 1.01 + 0.055 * row * max(1.0, 3.0 / inches))


def _mark_line(line: Line, wavelength: float, ax: Axes, height: float) -> None:
    """Draw a line or break at a wavelength in Å, its label at a height in units of the axes."""
    ax.axvline(wavelength, color=MUTED, lw=0.7, ls=":" if line.kind == "line" else "--", zorder=0)
    where = ("data", "axes fraction")
    ax.annotate(line.label, (wavelength, height), xycoords=where, ha="center", va="bottom", fontsize=7)


def ridge_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw mean attribution by band and redshift: the ridge should follow 1216 Å x (1 + z).

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    mean = explanation.arrays.get("ridge_mean")
    if mean is None or not np.isfinite(mean).any():
        return nothing(ax, "no redshifts are known: there is no ridge")
    edges = explanation.arrays["ridge_edges"]
    pivots, kinds = explanation.content.bands.pivots, explanation.content.bands.kinds
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
    for line in explanation.content.lines:
        if line.name not in _RIDGE_LINES:
            continue
        seen = line.seen_at(z)
        inside = (seen > borders[0]) & (seen < borders[-1])
        if inside.sum() < 2:
            continue
        # Always dark: the ground is the colour map's, whatever the page's theme.
        ax.plot(seen[inside], z[inside], color=DARK, lw=1.0, ls="-" if line.name == "Lya" else ":")
        leaves = seen[-1] >= borders[-1]
        ax.annotate(
            line.label,
            (seen[inside][-1], z[inside][-1]),
            xytext=(-3, 4 if leaves else 3),
            textcoords="offset points",
            fontsize=8,
            color=DARK if leaves else INK,
            ha="right" if leaves else "center",
            va="bottom",
            annotation_clip=False,
        )
    ax.set(xlim=(borders[0], borders[-1]), ylim=(bottom, ceiling), xlabel="observed wavelength (Å)", ylabel="redshift")
    return ax


def lines_figure(explanation: Explanation, ax: Axes) -> Axes:
    """Draw how much more bands on a line say than other bands of the same rows, with 95 % intervals.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    tables = explanation.content.line_tables
    shown = {row.name for table in tables.values() for row in table}
    lines = [line for line in explanation.content.lines if line.name in shown]
    if not lines:
        return nothing(ax, "no row of known redshift shows a line")
    place = {line.name: i for i, line in enumerate(lines)}
    for i, name in enumerate(explanation.pair):
        look = class_look(name, explanation.classes)
        for row in tables[name]:
            y = place[row.name] + 0.14 - 0.28 * i
            if row.excess_interval:
                ax.plot(row.excess_interval, [y, y], color=look["color"], lw=1.4)
            ax.plot(row.excess, y, marker=look["marker"], color=look["color"], ms=5)
        ax.plot([], [], color=look["color"], marker=look["marker"], ms=5, label=name)
    ax.axvline(0, color=INK, lw=0.7)
    ax.set_yticks(range(len(lines)), [line.label for line in lines])
    ax.invert_yaxis()
    legend = {"loc": "upper center", "bbox_to_anchor": (0.5, 1.13), "ncols": 2}
    return dress(ax, "attribution on the line, less that elsewhere", grid="x", legend=legend)
