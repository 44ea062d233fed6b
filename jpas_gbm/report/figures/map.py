"""The map of mocks and sky in the learnt plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .style import BLUE, MUTED, ORANGE, class_look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.map import SkyMap

LEVELS = (0.5, 0.9)
"""Contours hold these shares of the rows of a group."""


class MapPanel(NamedTuple):
    """What one panel of the map shows.

    Parameters
    ----------
    sky_map : SkyMap
    group : str
        Whose points are drawn: ``source``, ``labelled`` or ``unlabelled``.
    title : str
    source : str
        What the source domain is called.
    """

    sky_map: SkyMap
    group: str
    title: str
    source: str = "mocks"


def map_figure(result: MapPanel, ax: Axes) -> Axes:
    """Draw the points of a group by class, contours of each class, and the outline of the mocks."""
    found, group = result.sky_map, result.group
    classes = found.about["classes"]
    points = found.points.get(group, np.empty((0, 3)))
    for code, name in enumerate(classes):
        mine = points[points[:, 2] == code]
        look = class_look(name, classes)
        if len(mine):
            ax.scatter(mine[:, 0], mine[:, 1], s=5, color=look["color"], alpha=0.45, lw=0, rasterized=True)
        ax.plot([], [], "o", color=look["color"], ms=5, label=name)
        _contours(found, f"{group}/{name}", look["color"], ax)
    _finish(found, result.title, ax)
    ax.legend(loc="best", fontsize=7.5, handletextpad=0.2)
    return ax


def domains_map_figure(result: MapPanel, ax: Axes) -> Axes:
    """Draw labelled against unlabelled sky, and the outline of the mocks."""
    found = result.sky_map
    for group, colour in (("labelled", BLUE), ("unlabelled", ORANGE)):
        points = found.points.get(group, np.empty((0, 3)))
        if len(points):
            ax.scatter(points[:, 0], points[:, 1], s=5, color=colour, alpha=0.35, lw=0, rasterized=True)
            ax.plot([], [], "o", color=colour, ms=5, label=f"sky, {group}")
        _contours(found, group, colour, ax)
    _contours(found, "source", MUTED, ax)
    ax.plot([], [], color=MUTED, label=result.source)
    _finish(found, result.title, ax)
    ax.legend(loc="best", fontsize=7.5, handletextpad=0.4)
    return ax


def _contours(found: SkyMap, part: str, colour: str, ax: Axes) -> None:
    if part in found.mass:
        styles = ["--" if level > LEVELS[0] else "-" for level in LEVELS]
        ax.contour(found.x, found.y, found.mass[part], levels=LEVELS, colors=colour, linestyles=styles, linewidths=1.1)


def _finish(found: SkyMap, title: str, ax: Axes) -> None:
    ax.set_xlim(found.x[0], found.x[-1])
    ax.set_ylim(found.y[0], found.y[-1])
    ax.set_xlabel("first discriminant of the margins")
    ax.set_ylabel("second discriminant")
    ax.set_title(title)
