"""The page as one HTML file: no script, no network, nothing beside it; figures as SVG that follows its theme."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..atomic import atomic_file
from ..errors import ConfigError
from ..run import Progress
from .figures.plates import RULES, THEME, Panel, Plate, save_plate
from .page import Page, make_page
from .results import Results, read_results

FORMATS = ("png", "pdf")
"""Formats of figures as files of their own."""


def plate_html(plate: Plate) -> dict[str, Any]:
    """Return what the template needs of a plate: its words, and its panels as SVG.

    Parameters
    ----------
    plate : Plate
        A figure of the page.

    Returns
    -------
    dict[str, Any]
    """
    panels = []
    for i, panel in enumerate(plate.panels):
        prefix = f"{plate.key}-{i}"
        narrow = panel_svg(panel, f"{prefix}n", panel.narrow) if panel.narrow else ""
        shape = "wide" if panel.size[0] > 6 else "half"
        panels.append({"svg": panel_svg(panel, prefix), "narrow": narrow, "shape": shape})
    return {"plate": plate, "panels": panels, "columns": min(plate.columns, len(panels))}


def render_page(page: Page, progress: Progress | None = None) -> str:
    """Return a page as self-contained HTML.

    Parameters
    ----------
    page : Page
        What it says.
    progress : callable, optional
        Called as ``progress("figures", done, total)``.

    Returns
    -------
    str
    """
    import jinja2

    loader = jinja2.PackageLoader("jpas_gbm.pages", ".")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    drawn: dict[str, dict[str, Any]] = {}
    total = len(page.plates)
    for plate in page.plates:
        if progress is not None:
            progress("figures", len(drawn), total)
        drawn[plate.key] = plate_html(plate)
    if progress is not None:
        progress("figures", total, total)
    return environment.get_template("template.html.j2").render(page=page, drawn=drawn)


def report(
    results: Results | Iterable[object] | str | Path,
    out: str | Path,
    *,
    figures: str | Path | None = None,
    formats: Sequence[str] = FORMATS,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write one self-contained page from results, and on request each figure as a file of its own.

    Parameters
    ----------
    results : Results, iterable of path or result, or path
        As :func:`~jpas_gbm.pages.results.read_results`; nothing is computed anew.
    out : path
        The HTML file.
    figures : path, optional
        A folder for the figures.
    formats : sequence of {"png", "pdf"}
        Their formats.
    overwrite : bool
        Whether files that are there may be replaced.
    progress : callable, optional
        Called as ``progress("figures", done, total)``.

    Returns
    -------
    Path
        The HTML file.

    Raises
    ------
    BundleError
        If a folder is missing or holds nothing to show.
    ConfigError
        If a format is not known.
    OutputError
        If a file exists and may not be replaced, or cannot be written.
    """
    if not formats or not set(formats) <= set(FORMATS):
        raise ConfigError(f"--formats {','.join(formats)}: write {' or '.join(FORMATS)}, or both with a comma.")
    if not isinstance(results, Results):
        results = read_results([results] if isinstance(results, str | Path) else results)
    page = make_page(results)
    with atomic_file(out, overwrite=overwrite) as temporary:
        temporary.write_text(render_page(page, progress), encoding="utf-8")
    if figures is not None:
        for plate in page.plates:
            for suffix in formats:
                save_plate(plate, Path(figures) / f"{plate.key}.{suffix}", overwrite=overwrite)
    return Path(out)


_NAMES = {colour.lower(): name for name, colour in THEME.items()}
_COLOUR = re.compile("|".join(_NAMES), re.IGNORECASE)
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)


_ASIDE = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", re.DOTALL)


_ROOT = re.compile(r"<svg[^>]*?viewBox=\"([^\"]+)\"[^>]*>", re.DOTALL)


_SALT = "jpas-gbm"


def panel_svg(panel: Panel, prefix: str, size: tuple[float, float] | None = None) -> str:
    """Draw a panel and return it as an ``<svg>`` element for a page.

    Parameters
    ----------
    panel : Panel
        One axes.
    prefix : str
        Goes before every id: ids of several elements must not meet in one page.
    size : tuple of float, optional
        Width and height in inches instead of the panel's own.

    Returns
    -------
    str
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

    Parameters
    ----------
    svg : str
        Text of a file.
    prefix : str
        Goes before each key.

    Returns
    -------
    str
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
