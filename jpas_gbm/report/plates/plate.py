"""Plate: a figure of the page, made of panels, with its caption and its alternative text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files import atomic_file
from ..figures.style import RULES

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
