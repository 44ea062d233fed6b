"""Plates: figures of the page, made of panels, with words; the registry of them; and the look that all share.

A figure is one file in this folder: it draws, makes a plate and puts it into a section with :func:`register_plate`.
Captions of the library's own figures stand in ``captions.yaml``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THEME = {
    "ink": "#1B1B1F",
    "muted": "#6B6B73",
    "grid": "#D9D9DE",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
}
"""Colours by their names in the page's style sheet, which sets them so that they stay legible on dark ground.

The last six are Okabe and Ito's palette: told apart by colour-blind readers and in grey print.
"""

INK, MUTED, PALE, BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE = THEME.values()
LIGHT, DARK = "#FFFFFF", "#000000"

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, INK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))

Look = Mapping[str, Any]
"""Options of :meth:`matplotlib.axes.Axes.plot`: colour, marker, style of the line."""

_CLASS_PLACES = (1, 3, 2, 0, 4, 5, 6)
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


def class_look(name: str, classes: Sequence[str]) -> Look:
    """Return the look of a class by its place in the label scheme.

    Parameters
    ----------
    name : str
        Of the class.
    classes : sequence of str
        Of the label scheme, in its order.

    Returns
    -------
    Look
    """
    place = list(classes).index(name)
    return _look(_CLASS_PLACES[place % len(_CLASS_PLACES)], place)


def regime_look(name: str, regimes: Sequence[str]) -> Look:
    """Return the look of a regime: its own if it is a known one, else the next that is free.

    Parameters
    ----------
    name : str
        Of the regime.
    regimes : sequence of str
        All that are drawn.

    Returns
    -------
    Look
    """
    others = [other for other in regimes if other not in _REGIMES]
    taken = {_REGIMES.get(other) for other in regimes}
    free = [i for i in range(len(COLOURS)) if i not in taken] or list(range(len(COLOURS)))
    place = _REGIMES[name] if name in _REGIMES else free[others.index(name) % len(free)]
    return _look(place, place)


def _look(colour: int, mark: int) -> Look:
    return {"color": COLOURS[colour], "marker": MARKERS[mark % len(MARKERS)], "linestyle": LINES[mark % len(LINES)]}


def numbers(values: Sequence[float | None] | None) -> np.ndarray:
    """Return values with NaN for None: JSON has no NaN, and axes have no None.

    Parameters
    ----------
    values : sequence of float or None
        Options, nested or not.

    Returns
    -------
    array, shape (n,)
    """
    return np.array(values if values is not None else (), dtype=np.float64)


def nothing(ax: Axes, sentence: str) -> Axes:
    """Say in an empty axes why there is nothing to draw.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    sentence : str
        What is said.

    Returns
    -------
    Axes
        The same.
    """
    ax.set_axis_off()
    ax.text(0.5, 0.5, sentence, ha="center", va="center", transform=ax.transAxes, color=MUTED, wrap=True)
    return ax


def dress(ax: Axes, x: str = "", y: str = "", *, grid: Any = "both", legend: Any = None, **more: Any) -> Axes:
    """Give axes their labels, a grid and a legend.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    x, y : str
        Labels.
    grid : {"both", "x", "y"}
        Lines across these axes.
    legend : mapping, optional
        How the legend is made; None makes none.
    **more
        What else :meth:`matplotlib.axes.Axes.set` knows.

    Returns
    -------
    Axes
        The same.
    """
    ax.set(**({"xlabel": x} if x else {}), **({"ylabel": y} if y else {}), **more)
    ax.grid(visible=True, axis=grid)
    if legend is not None:
        ax.legend(**legend)
    return ax


def reach(mean: np.ndarray, intervals: Sequence[Any]) -> np.ndarray:
    """Return how far intervals reach below and above the means, as error bars want it.

    Parameters
    ----------
    mean : array, shape (n,)
        Centres of the bars.
    intervals : sequence of (float, float) or None
        Where there is none, the bar has no length.

    Returns
    -------
    array, shape (2, n)
    """
    spans = [span or (m, m) for m, span in zip(mean, intervals, strict=True)]
    low, high = np.array(spans, dtype=np.float64).reshape(-1, 2).T
    return np.maximum([mean - low, high - mean], 0)


def legend_below(ax: Axes, columns: int, *, x: float = 0.5, **more: Any) -> None:
    """Put the legend below the label of the x axis, so many heights of its letters that it keeps off in any axes.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    columns, x : int, float
        Of the legend, and its middle in axes coordinates.
    **more
        Further options.
    """
    at = (x, 0)
    ax.legend(loc="upper center", bbox_to_anchor=at, borderaxespad=4.5, ncols=columns, columnspacing=1.0, **more)


def note_above(ax: Axes, x: float, text: str, *, y: float = 1.0, **more: Any) -> None:
    """Write a small text above the axes at a place of the x axis.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    x : float
        On the x axis.
    text : str
        What is written.
    y : float
        In axes coordinates.
    **more
        How the text is set.
    """
    where: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 6.5, "transform": ax.get_xaxis_transform()}
    ax.text(x, y, text, **(where | more))


def draw_table(ax: Axes, tones: Any, texts: Mapping[tuple[int, int], str], light: float, **font: Any) -> None:
    """Draw cells in shades of blue with a text in each, light on those darker than `light`.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    tones : array, shape (r, c)
        From 0 (white) to 1 (dark).
    texts : mapping of (int, int) to str
        By row and column.
    light : float
        Cells darker than this have light text.
    **font
        How the texts are set.
    """
    from matplotlib import colormaps

    ax.imshow(tones, cmap=colormaps["Blues"], vmin=0, vmax=1, aspect="auto")
    for (row, column), text in texts.items():
        ink = LIGHT if tones[row, column] > light else DARK
        ax.text(column, row, text, ha="center", va="center", color=ink, **font)
    ax.spines[:].set_visible(False)


def key_figure(looks: Mapping[str, Look], ax: Axes, *, title: str = "") -> Axes:
    """Draw the legend that all panels of a plate share, in a place that would be empty.

    Parameters
    ----------
    looks, ax, title : mapping of str to Look, Axes, str
        How the lines of each label look; where to draw; what stands above.

    Returns
    -------
    Axes
        The same.
    """
    ax.set_axis_off()
    for label, look in looks.items():
        ax.plot([], [], label=label, **look)
    ax.legend(loc="center", title=title or None, labelspacing=0.9, handlelength=2.6)
    return ax


HALF, WIDE, SMALL, THIRD = (4.6, 3.3), (9.4, 3.6), (4.6, 3.7), (3.6, 3.1)
KEY = (3.9, 1.3)
"""Width and height of a panel in inches; on a narrow screen, of one that holds a legend alone."""


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
    options : mapping
        More that the drawing is given by name.
    """

    draw: Callable[..., Axes]
    result: Any
    size: tuple[float, float] = HALF
    narrow: tuple[float, float] | None = None
    polar: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def on(self, figure: Any) -> Axes:
        """Draw on a figure (or a part of one).

        Parameters
        ----------
        figure : Figure or SubFigure
            Where the axes are added.

        Returns
        -------
        Axes
            The same.
        """
        axes: Axes = figure.add_subplot(projection="polar") if self.polar else figure.add_subplot()
        return self.draw(self.result, axes, **self.options)


BROAD = 6.0
"""Panels wider than this, in inches, have a row of their own."""


@dataclass(frozen=True)
class Plate:
    """A figure of the page.

    Parameters
    ----------
    key : str
        Names it in links and files.
    title : str
        Above the figure.
    caption : str
        With number of rows, cut, regime and seed.
    alt : str
        What it shows, for who cannot see it.
    panels : tuple of Panel
        From left to right, row by row.
    columns : int
        Panels side by side on a wide screen.
    """

    key: str
    title: str
    caption: str
    alt: str
    panels: tuple[Panel, ...]
    columns: int = 2

    def rows(self, columns: int) -> list[tuple[Panel, ...]]:
        """Return the panels row by row, broad ones alone.

        Parameters
        ----------
        columns : int
            Panels side by side at most.

        Returns
        -------
        list of tuple of Panel
        """
        rows: list[tuple[Panel, ...]] = []
        for panel in self.panels:
            full = not rows or len(rows[-1]) == columns or max(panel.size[0], rows[-1][0].size[0]) > BROAD
            rows = [*rows, (panel,)] if full else [*rows[:-1], (*rows[-1], panel)]
        return rows

    @classmethod
    def worded(cls, key: str, panels: Iterable[Panel], columns: int = 2, *, of: str = "", **words: object) -> Plate:
        """Return a plate with its title, caption and alternative text from ``captions.yaml``.

        Parameters
        ----------
        key : str
            Of the plate.
        panels : iterable of Panel
            What it shows.
        columns : int
            Panels side by side on a wide screen.
        of : str
            Entry of the file, the key by default.
        **words
            What fills the places in its texts.

        Returns
        -------
        Plate
        """
        texts = {part: text.format(**words) for part, text in captions()[of or key].items()}
        return cls(key, panels=tuple(panels), columns=columns, **texts)


@cache
def captions() -> dict[str, dict[str, str]]:
    """Return title, caption and alternative text of the library's own figures, with places to fill.

    Returns
    -------
    dict of str to dict
    """
    import yaml

    texts: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("captions.yaml").read_text("utf-8"))
    return texts


def keyed(plates: Iterable[Plate | None], prefix: str) -> list[Plate]:
    """Return the plates that there are, their keys beginning with a prefix.

    Parameters
    ----------
    plates : iterable of Plate or None
        None where there is nothing to draw.
    prefix : str
        Goes before each key.

    Returns
    -------
    list of Plate
    """
    return [replace(plate, key=prefix + plate.key) for plate in plates if plate is not None]


Maker = Callable[..., Plate | Iterable[Plate | None] | None]
M = TypeVar("M", bound=Maker)
_MAKERS: dict[str, list[tuple[float, Maker]]] = {}


def register_plate(section: str, order: float) -> Callable[[M], M]:
    """Return a decorator that puts a plate, or several, into a section of the page.

    Parameters
    ----------
    section : str
        ``scores`` (the maker is given a :class:`~jpas_gbm.pages.results.Subject`), ``data`` (exhibits), ``card``
        (a model card and its name), ``labels`` (a label-budget curve), or another that asks for its plates.
    order : float
        Place among the plates of the section.

    Returns
    -------
    callable
        Gives back what it decorates: a function that returns a plate, several, or None where there is nothing to draw.
    """

    def _add(maker: M) -> M:
        _MAKERS.setdefault(section, []).append((order, maker))
        return maker

    return _add


@cache
def load_figures() -> None:
    """Import every file of figures, which registers its plates."""
    package = importlib.import_module(__package__ or "")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def plates_of(section: str, *result: object, prefix: str = "") -> list[Plate]:
    """Return the plates of a section that there is something to draw for, in order.

    Parameters
    ----------
    section : str
        As in :func:`register_plate`.
    *result
        What makers are given.
    prefix : str
        Goes before the key of each plate.

    Returns
    -------
    list of Plate
        Empty where nothing is registered.
    """
    load_figures()
    made: list[Plate | None] = []
    for _, maker in sorted(_MAKERS.get(section, ()), key=lambda pair: pair[0]):
        plates = maker(*result)
        made += [plates] if isinstance(plates, Plate) or plates is None else list(plates)
    return keyed(made, prefix)
