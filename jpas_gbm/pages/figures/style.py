"""Panels as SVG that stands inside a page: no outside reference, colours that follow the page's theme.

The look that all figures share: colours, marks, and how a figure becomes a file.

Plate: a figure of the page, made of panels, with its caption and its alternative text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Okabe and Ito's palette: told apart by colour-blind readers and in grey print.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY_BLUE = "#E69F00", "#56B4E9"
INK, MUTED, PALE = "#1B1B1F", "#6B6B73", "#D9D9DE"

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


HALF, WIDE, SMALL, THIRD = (4.6, 3.3), (9.4, 3.6), (4.6, 3.7), (3.6, 3.1)
"""Width and height of a panel in inches."""


@dataclass(frozen=True)
class Panel:
    """One axes.

    Parameters
    ----------
    draw : callable
        ``draw(result, ax) -> ax``.
    result : object
        What is drawn.
    size : tuple of float
        Width and height, inches.
    narrow : tuple of float, optional
        Another size for narrow screens.
    polar : bool
        Whether the axes are polar.
    """

    draw: Callable[[Any, Axes], Axes]
    result: Any
    size: tuple[float, float] = HALF
    narrow: tuple[float, float] | None = None
    polar: bool = False

    def on(self, figure: Any) -> Axes:
        """Draw on a figure (or a part of one)."""
        axes: Axes = figure.add_subplot(projection="polar") if self.polar else figure.add_subplot()
        return self.draw(self.result, axes)


@dataclass(frozen=True)
class Plate:
    """A figure of the page.

    Parameters
    ----------
    key : str
        Names it in links and files.
    title : str
    caption : str
        With number of rows, cut, regime and seed.
    alt : str
        What it shows, for who cannot see it.
    panels : tuple of Panel
    columns : int
        Panels side by side on a wide screen.
    """

    key: str
    title: str
    caption: str
    alt: str
    panels: tuple[Panel, ...]
    columns: int = 2


def draw_plate(plate: Plate) -> Figure:
    """Return all panels of a plate on one matplotlib figure."""
    from matplotlib.figure import Figure

    columns = min(plate.columns, len(plate.panels))
    rows = -(-len(plate.panels) // columns)
    width = max(panel.size[0] for panel in plate.panels)
    height = max(panel.size[1] for panel in plate.panels)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    parts = figure.subfigures(rows, columns, squeeze=False).ravel()
    for panel, part in zip(plate.panels, parts, strict=False):
        panel.on(part)
    return figure


def save_plate(plate: Plate, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a plate; the suffix chooses PNG or PDF.

    Raises
    ------
    OutputError
        If the file exists and may not be replaced, or cannot be written.
    """
    from matplotlib import rc_context

    with rc_context(RULES), atomic_file(path, overwrite=overwrite) as temporary:
        draw_plate(plate).savefig(temporary, dpi=200)


def keyed(plates: Iterable[Plate | None], prefix: str) -> list[Plate]:
    """Return the plates that there are, their keys beginning with a prefix."""
    return [replace(plate, key=prefix + plate.key) for plate in plates if plate is not None]


THEME = {
    INK: "ink",
    MUTED: "muted",
    PALE: "grid",
    BLUE: "blue",
    VERMILION: "vermilion",
    GREEN: "green",
    PURPLE: "purple",
    ORANGE: "orange",
    SKY_BLUE: "sky",
}
"""Colours of figures that the page's style sheet sets, so that they stay legible on dark ground."""

_COLOUR = re.compile("|".join(THEME), re.IGNORECASE)
_NAMES = {colour.lower(): name for colour, name in THEME.items()}
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_ASIDE = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", re.DOTALL)
_ROOT = re.compile(r"<svg[^>]*?viewBox=\"([^\"]+)\"[^>]*>", re.DOTALL)
_SALT = "jpas-gbm"


def panel_svg(panel: Panel, prefix: str, size: tuple[float, float] | None = None) -> str:
    """Draw a panel and return it as an ``<svg>`` element for a page.

    Parameters
    ----------
    panel : Panel
    prefix : str
        Goes before every id: ids of several elements must not meet in one page.
    size : tuple of float, optional
        Width and height in inches instead of the panel's own.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    stream = io.StringIO()
    with rc_context({**RULES, "svg.hashsalt": _SALT}):
        figure = Figure(figsize=size or panel.size, layout="constrained")
        panel.on(figure)
        figure.savefig(stream, format="svg", transparent=True, dpi=200, metadata={"Date": None})
    return embedded(stream.getvalue(), prefix)


def embedded(svg: str, prefix: str) -> str:
    """Return an SVG file's text as an element that can stand inside HTML.

    Name spaces, metadata and style sheets go; ids get a prefix; known colours become variables of the page.
    """
    text = _ASIDE.sub("", _HEAD.sub("", svg, count=1))
    text = _ROOT.sub(r'<svg viewBox="\1" aria-hidden="true" focusable="false">', text, count=1)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = _COLOUR.sub(lambda found: f"var(--{_NAMES[found.group().lower()]})", text)
    # A hundredth of a point cannot be seen; small numbers are scales, and must stay whole.
    text = re.sub(r"(?<![\d.])([1-9]\d*\.\d\d)\d+", r"\1", text)
    return re.sub(r"\n\s*", "\n", text).strip()


def reach(mean: list[float], intervals: list[Any]) -> list[list[float]]:
    """Return how far intervals reach below and above the means, as error bars want it."""
    spans = [span or (m, m) for m, span in zip(mean, intervals, strict=True)]
    return [
        [max(m - low, 0) for m, (low, _) in zip(mean, spans, strict=True)],
        [max(high - m, 0) for m, (_, high) in zip(mean, spans, strict=True)],
    ]
