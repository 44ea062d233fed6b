"""Plates: figures of the page, made of panels, with caption and alternative text; and the registry of them.

A figure is one file in this folder: it draws, makes a plate and puts it into a section with :func:`register_plate`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...atomic import atomic_file
from .style import RULES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
        """Draw on a figure (or a part of one)."""
        axes: Axes = figure.add_subplot(projection="polar") if self.polar else figure.add_subplot()
        return self.draw(self.result, axes, **self.options)


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

    def add(maker: M) -> M:
        _MAKERS.setdefault(section, []).append((order, maker))
        return maker

    return add


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
