"""The page as one HTML file: no script, no network, nothing beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..atomic import atomic_file
from .figures.style import Plate, panel_svg, save_plate
from .page import Page, make_page
from .results import Results, read_results

Progress = Callable[[str, int, int], None]


def plate_html(plate: Plate) -> dict[str, Any]:
    """Return what the template needs of a plate: its words, and its panels as SVG."""
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
    progress : callable, optional
        Called as ``progress("figures", done, total)``.
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


def write_report(
    folders: Sequence[str | Path],
    path: str | Path,
    *,
    figures: str | Path | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Results:
    """Read result folders and write the page, and on request each figure as a file of its own.

    Parameters
    ----------
    folders : sequence of path
        As :func:`~jpas_gbm.pages.results.read_results`.
    path : path
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
    Results
        What was read.

    Raises
    ------
    BundleError
        If a folder is missing or holds nothing to show.
    OutputError
        If a file exists and may not be replaced, or cannot be written.
    """
    results = read_results(folders)
    page = make_page(results)
    with atomic_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(render_page(page, progress), encoding="utf-8")
    if figures is not None:
        for plate in page.plates:
            for suffix in formats:
                save_plate(plate, Path(figures) / f"{plate.key}.{suffix}", overwrite=overwrite)
    return results
