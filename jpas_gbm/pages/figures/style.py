"""The look that all figures share: colours, marks, and how a figure becomes a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Okabe and Ito's palette: told apart by colour-blind readers and in grey print.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY_BLUE = "#E69F00", "#56B4E9"
INK, MUTED, PALE = "#1B1B1F", "#6B6B73", "#D9D9DE"
LIGHT, DARK = "#FFFFFF", "#000000"

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, INK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))

_CLASSES = {"QSO_high": 1, "QSO_low": 3, "GALAXY": 2, "STAR": 0}
_REGIMES = {"mocks-only": 4, "mocks-calibrated": 5, "target-only": 0, "uda": 2, "ssda": 1}

RULES: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
"""What every figure is drawn with."""


def place_of(name: str, known: Mapping[str, int], names: Sequence[str]) -> int:
    """Return the place of a name in the palette: its own if it is known, else the next that is free."""
    if name in known:
        return known[name]
    taken = {known[other] for other in names if other in known}
    free = [i for i in range(len(COLOURS)) if i not in taken]
    others = [other for other in names if other not in known]
    return free[others.index(name) % len(free)] if free else others.index(name) % len(COLOURS)


def class_look(name: str, classes: Sequence[str]) -> dict[str, Any]:
    """Return ``color``, ``marker`` and ``linestyle`` of a class."""
    return _look(place_of(name, _CLASSES, classes), list(classes).index(name))


def regime_look(name: str, regimes: Sequence[str]) -> dict[str, Any]:
    """Return ``color``, ``marker`` and ``linestyle`` of a regime."""
    place = place_of(name, _REGIMES, regimes)
    return _look(place, place)


def _look(colour: int, mark: int) -> dict[str, Any]:
    return {"color": COLOURS[colour], "marker": MARKERS[mark % len(MARKERS)], "linestyle": LINES[mark % len(LINES)]}


def numbers(values: Sequence[float | None]) -> list[float]:
    """Return values with NaN for None: JSON has no NaN, and axes have no None."""
    return [float("nan") if v is None else float(v) for v in values]


def nothing(ax: Axes, sentence: str) -> Axes:
    """Say in an empty axes why there is nothing to draw."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, sentence, ha="center", va="center", transform=ax.transAxes, color=MUTED, wrap=True)
    return ax


def save_figure(
    draw: Callable[..., Axes], result: Any, path: str | Path, *, size: tuple[float, float] = (8, 4.5), overwrite: bool
) -> None:
    """Draw a result on a figure of its own and write it; the suffix chooses PNG or PDF.

    Parameters
    ----------
    draw : callable
        ``draw(result, ax) -> ax``.
    result : object
        What is drawn.
    path : path
        Where to.
    size : tuple of float
        Width and height, inches.
    overwrite : bool
        Whether a file there may be replaced.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(RULES), atomic_file(path, overwrite=overwrite) as temporary:
        figure = Figure(figsize=size, layout="constrained")
        draw(result, figure.subplots())
        figure.savefig(temporary, dpi=150)


def reach(mean: list[float], intervals: list[Any]) -> list[list[float]]:
    """Return how far intervals reach below and above the means, as error bars want it."""
    spans = [span or (m, m) for m, span in zip(mean, intervals, strict=True)]
    return [
        [max(m - low, 0) for m, (low, _) in zip(mean, spans, strict=True)],
        [max(high - m, 0) for m, (_, high) in zip(mean, spans, strict=True)],
    ]


def legend_below(ax: Axes, columns: int, *, at: tuple[float, float] = (0.5, -0.17), **more: Any) -> None:
    """Put the legend below the axes (or elsewhere outside, at a point in axes coordinates)."""
    ax.legend(loc="upper center", bbox_to_anchor=at, ncols=columns, columnspacing=1.0, **more)


def note_above(ax: Axes, x: float, text: str, *, y: float = 1.0, **more: Any) -> None:
    """Write a small text above the axes at a place of the x axis."""
    where: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 6.5, "transform": ax.get_xaxis_transform()}
    ax.text(x, y, text, **(where | more))


def draw_table(ax: Axes, tones: Any, texts: Mapping[tuple[int, int], str], light: float, **font: Any) -> None:
    """Draw cells in shades of blue with a text in each, light on those darker than `light`."""
    from matplotlib import colormaps

    ax.imshow(tones, cmap=colormaps["Blues"], vmin=0, vmax=1, aspect="auto")
    for (row, column), text in texts.items():
        ink = LIGHT if tones[row, column] > light else DARK
        ax.text(column, row, text, ha="center", va="center", color=ink, **font)
    ax.spines[:].set_visible(False)
