"""Figures as files for a paper: PDF and PNG of a given width, the numbers drawn as CSV, and captions for LaTeX."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic import atomic_file
from ..errors import ConfigError
from ..run import Progress
from .figures.plates import BROAD, RULES, Panel, Plate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("png", "pdf")
"""Formats of figures as files of their own."""

_INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27}
_COLUMN = 5.0
"""Figures narrower than this, in inches, have one panel in a row."""
_PAGE, _MOST = 7.1, 4
"""Where figures are to have the width of a column, those of more panels than this span both: their width in inches."""
_PAPER_FONTS: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.3,
}
_HEAD = ("panel", "title", "x axis", "y axis", "kind", "label", "x", "y", "x end", "y end", "value")


def width_inches(words: str | float | None) -> float | None:
    """Return a width in inches.

    Parameters
    ----------
    words : str or float, optional
        Words such as ``3.4in``, ``86mm`` or ``246pt``, or a number of inches.

    Returns
    -------
    float or None
        None for none: each figure in its own size.

    Raises
    ------
    ConfigError
        If it is no width of 1 to 20 inches.
    """
    if words is None:
        return None
    text = f"{float(words):f}in" if isinstance(words, int | float | np.number) else str(words)
    found = re.fullmatch(r"\s*(\d+\.?\d*)\s*(in|cm|mm|pt)\s*", text)
    inches = float(found[1]) * _INCHES[found[2]] if found else 0.0
    if not 1 <= inches <= 20:
        raise ConfigError(
            f"--width {words}: is no width of a figure. Write one of 1 to 20 inches with its unit, such as 3.4in, "
            "86mm or 246pt."
        )
    return inches


def align(panels: Sequence[tuple[Any, Axes]]) -> None:
    """Give the axes of like panels the same place, after a constrained layout has found room for each.

    Parameters
    ----------
    panels : sequence of (Figure or SubFigure, Axes)
        The part that a panel was drawn on, of one size, and its axes; those with a colour bar stay as they are.
    """
    alone = [axes for part, axes in panels if len(part.axes) == 1 and axes.axison and axes.get_aspect() == "auto"]
    if len(alone) > 1:
        x0, y0, x1, y1 = np.array([axes.get_position().extents for axes in alone]).T
        left, bottom = x0.max(), y0.max()
        for axes in alone:
            axes.set_position((left, bottom, x1.min() - left, y1.min() - bottom))


def drawn(panels: Sequence[Panel], sizes: Sequence[tuple[float, float]]) -> list[Any]:
    """Draw panels, each as a figure; the axes of those of one size have the same place.

    Parameters
    ----------
    panels : sequence of Panel
        Of a plate.
    sizes : sequence of (float, float)
        Inches.

    Returns
    -------
    list of Figure
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figures: list[Any] = []
    alike: dict[tuple[float, float], list[tuple[Any, Axes]]] = {}
    for panel, size in zip(panels, sizes, strict=True):
        figure = Figure(figsize=size, layout="constrained", dpi=72)
        FigureCanvasSVG(figure)  # which measures words as they will be written
        alike.setdefault(size, []).append((figure, panel.on(figure)))
        engine = figure.get_layout_engine()
        assert engine is not None
        engine.execute(figure)
        figure.set_layout_engine("none")
        figures.append(figure)
    for same in alike.values():
        align(same)
    return figures


def save_figures(
    plates: Sequence[Plate],
    folder: str | Path,
    formats: Sequence[str] = FORMATS,
    *,
    width: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write every plate in each format, its numbers as CSV beside it, and ``captions.tex``.

    Parameters
    ----------
    plates : sequence of Plate
        Figures of the page.
    folder : path
        Where to.
    formats : sequence of {"png", "pdf"}
        Formats.
    width : float, optional
        Of the figures, in inches.
    overwrite : bool
        Whether files there may be replaced.
    progress : callable, optional
        Called as ``progress("files of figures", done, total)``.
    """
    tell = progress or (lambda stage, done, total: None)
    for done, plate in enumerate(plates):
        tell("files of figures", done, len(plates))
        places = [Path(folder) / f"{plate.key}.{suffix}" for suffix in formats]
        save_plate(plate, places, paper_width(plate, width), overwrite=overwrite)
    with atomic_file(Path(folder) / "captions.tex", overwrite=overwrite) as temporary:
        temporary.write_text(captions_tex(plates, width), encoding="utf-8")
    tell("files of figures", len(plates), len(plates))


def paper_width(plate: Plate, width: float | None) -> float | None:
    """Return the width of a figure in a paper: one of many panels spans both columns.

    Parameters
    ----------
    plate : Plate
        A figure of the page.
    width : float, optional
        That was asked for, in inches.

    Returns
    -------
    float or None
    """
    return _PAGE if width and width < _COLUMN and len(plate.panels) > _MOST else width


def save_plate(
    plate: Plate, paths: str | Path | Sequence[Path], width: float | None = None, *, overwrite: bool = False
) -> None:
    """Write all panels of a plate as one figure, and what is drawn as a CSV file of the same name.

    Parameters
    ----------
    plate : Plate
        A figure of the page.
    paths : path or sequence of Path
        Suffixes choose PNG or PDF; all are of one drawing.
    width : float, optional
        In inches.
    overwrite : bool
        Whether files there may be replaced.

    Raises
    ------
    OutputError
        If a file exists and may not be replaced, or cannot be written.
    """
    from matplotlib import rc_context

    places = [Path(paths)] if isinstance(paths, str | Path) else list(paths)
    with rc_context(RULES | (_PAPER_FONTS if width else {})):
        figure = plate_figure(plate, width)
        for place in places:
            with atomic_file(place, overwrite=overwrite) as temporary:
                figure.savefig(temporary, dpi=300 if width else 200)
        with (
            atomic_file(places[0].with_suffix(".csv"), overwrite=overwrite) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.writer(stream)
            writer.writerow(_HEAD)
            writer.writerows(drawn_rows(figure))


def plate_figure(plate: Plate, width: float | None = None) -> Any:
    """Draw all panels of a plate on one figure, the axes of like panels in line.

    Parameters
    ----------
    plate : Plate
        A figure of the page.
    width : float, optional
        In inches; default: the panels' own.

    Returns
    -------
    Figure
    """
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure

    columns = 1 if width and width < _COLUMN else min(plate.columns, len(plate.panels))
    rows = plate.rows(columns)
    whole = width or max(sum(panel.size[0] for panel in row) for row in rows)
    heights = [max(_height(panel, whole / len(row)) for panel in row) for row in rows]
    figure = Figure(figsize=(whole, sum(heights)), layout="constrained", dpi=72)
    FigureCanvasPdf(figure)
    alike: dict[tuple[float, float], list[tuple[Any, Any]]] = {}
    parts = np.ravel(figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False))
    for row, part in zip(rows, parts, strict=True):
        # A last row that is not full keeps the width of the others.
        broad = len(row) == 1 and (row[0].size[0] > BROAD or len(rows) == 1)
        places = [part] if broad else np.ravel(part.subfigures(1, columns, squeeze=False))[: len(row)]
        for panel, place in zip(row, places, strict=True):
            alike.setdefault(panel.size, []).append((place, panel.on(place)))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for same in alike.values():
        align(same)
    return figure


def _height(panel: Panel, width: float) -> float:
    """Return the height of a panel that is drawn in a width, in inches: a little more than in proportion."""
    size = panel.narrow if panel.narrow and width < _COLUMN else panel.size
    return max(size[1] * width / size[0], min(size[1], 0.85 * width)) if width < size[0] else size[1]


def drawn_rows(figure: Any) -> Iterator[tuple[object, ...]]:
    """Yield every number that a figure shows: points, lines, bars, bands, segments, cells and texts.

    Parameters
    ----------
    figure : Figure
        Drawn.

    Yields
    ------
    tuple
        Number and title of the axes, labels of x and y, kind, label, x, y, ends of bars, bands and segments, and the
        value of a cell or point.
    """
    for i, axes in enumerate(figure.axes, start=1):
        head = (i, axes.get_title() or axes.get_title("left"), axes.get_xlabel(), axes.get_ylabel())
        for part in _artists(axes):
            yield (*head, *(_plain(value) for value in part))


def _plain(value: object) -> object:
    if isinstance(value, float | np.floating):
        return "" if not np.isfinite(value) else f"{float(value):.7g}"
    return "" if value is None else value


def _artists(axes: Any) -> Iterator[tuple[object, ...]]:
    """Yield kind, label, x, y, x end, y end and value of what is drawn on axes."""
    from matplotlib.collections import LineCollection, PathCollection, QuadMesh
    from matplotlib.patches import Rectangle

    for line in axes.lines:
        label = _label(line)
        for x, y in zip(*(np.atleast_1d(np.asarray(v, dtype=object)) for v in line.get_data()), strict=True):
            yield "line", label, x, y, None, None, None
    for patch in axes.patches:
        if isinstance(patch, Rectangle) and patch.get_width() and patch.get_height():
            x, y = patch.get_xy()
            yield "bar", _label(patch), x, y, x + patch.get_width(), y + patch.get_height(), None
    for shown in axes.collections:
        label, values = _label(shown), shown.get_array()
        if isinstance(shown, QuadMesh):
            yield from _cells(shown, label)
        elif isinstance(shown, LineCollection):
            for path in (np.array(segment) for segment in shown.get_segments()):
                if path.size:
                    yield "segment", label, *path[0], *path[-1], None
        elif isinstance(shown, PathCollection):
            places = np.array(shown.get_offsets())
            told = [None] * len(places) if values is None else np.ravel(np.array(values))
            for (x, y), value in zip(places, told, strict=False):
                yield "point", label, x, y, None, None, value
        else:
            for k, path in enumerate(shown.get_paths()):
                for x, y in path.vertices:
                    yield f"outline {k + 1}", label, x, y, None, None, None
    for image in axes.images:
        array = np.atleast_2d(np.asarray(image.get_array()))
        for row, column in np.ndindex(*array.shape[:2]):
            yield "cell", "", column, row, None, None, float(array[row, column])
    for text in axes.texts:
        if text.get_text().strip():
            yield "text", text.get_text().replace("\n", "; "), *text.get_position(), None, None, None


def _cells(mesh: Any, label: str) -> Iterator[tuple[object, ...]]:
    corners, values = mesh.get_coordinates(), np.ma.filled(mesh.get_array().astype(float), np.nan)
    values = values.reshape(corners.shape[0] - 1, corners.shape[1] - 1)
    for row, column in np.ndindex(*values.shape):
        yield "cell", label, *corners[row, column], *corners[row + 1, column + 1], float(values[row, column])


def _label(artist: Any) -> str:
    label = str(artist.get_label())
    return "" if label.startswith("_") else label


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", "−": "$-$", "–": "--",
    "≤": r"$\le$", "≥": r"$\ge$", "×": r"$\times$", "±": r"$\pm$", "·": r"$\cdot$", "Å": r"\AA{}", "’": "'",
    "²": "$^2$", "°": r"$^\circ$",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "λ": r"$\lambda$", "σ": r"$\sigma$",
}  # fmt: skip


def tex(words: str) -> str:
    """Return words as LaTeX text.

    Parameters
    ----------
    words : str
        Any.

    Returns
    -------
    str
        What pdflatex sets without further packages.
    """
    return "".join(_TEX.get(letter, letter) for letter in words)


def captions_tex(plates: Sequence[Plate], width: float | None = None) -> str:
    """Return a LaTeX figure for each plate, with its caption and a label.

    Parameters
    ----------
    plates : sequence of Plate
        Figures of the page.
    width : float, optional
        Of the figures, in inches; broad ones, and those of many panels, span both columns.

    Returns
    -------
    str
        A file to ``\\input``.
    """
    lines = ["% Figures and captions by jpas-gbm; \\usepackage{graphicx}, and \\graphicspath to this folder."]
    for plate in plates:
        own = paper_width(plate, width)
        kind = "figure" if own and own < _COLUMN else "figure*"
        size = f"width={own:g}in" if own else r"width=\linewidth"
        lines += [
            "",
            rf"\begin{{{kind}}}",
            r"  \centering",
            rf"  \includegraphics[{size},height=0.8\textheight,keepaspectratio]{{{plate.key}}}",
            rf"  \caption{{\textbf{{{tex(plate.title)}.}} {tex(plate.caption)}}}",
            rf"  \label{{fig:{plate.key}}}",
            rf"\end{{{kind}}}",
        ]
    return "\n".join(lines) + "\n"
