"""The page as one HTML file: no script, no network, nothing beside it; figures as SVG that follows its theme."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..atomic import atomic_file, refuse_existing
from ..errors import ConfigError, OutputError
from ..run import Progress
from ..text import true_minus
from .figures.plates import BROAD, RULES, THEME, WIDE, Panel, Plate
from .page import Page, make_page
from .paper import FORMATS, drawn, save_figures, width_inches
from .results import Results, read_results


def _plate_html(plate: Plate) -> dict[str, Any]:
    """Return what the template needs of a plate: its words, and its panels as SVG.

    Parameters
    ----------
    plate : Plate
        A figure of the page.

    Returns
    -------
    dict[str, Any]
    """
    columns = min(plate.columns, len(plate.panels))
    alone = columns == 1 and len(plate.panels) == 1
    shown = []
    for panel in plate.panels:
        # A panel that is alone has the width of the page, and its own on a phone.
        lone = alone and not panel.polar and panel.size[0] <= BROAD
        size, narrow = ((WIDE[0], panel.size[1]), panel.size) if lone else (panel.size, panel.narrow)
        shown.append((panel, size, narrow))
    broad = _svgs([(panel, size, f"{plate.key}-{i}") for i, (panel, size, _) in enumerate(shown)])
    slim = _svgs([(panel, size, f"{plate.key}-{i}n") for i, (panel, _, size) in enumerate(shown) if size])
    panels = [
        {
            "svg": broad[f"{plate.key}-{i}"],
            "narrow": slim.get(f"{plate.key}-{i}n", ""),
            "shape": "wide" if size[0] > BROAD else "half",
        }
        for i, (_, size, _) in enumerate(shown)
    ]
    return {"plate": plate, "panels": panels, "columns": columns}


def _svgs(panels: Sequence[tuple[Panel, tuple[float, float], str]]) -> dict[str, str]:
    """Return panels of given sizes as SVG elements, by the prefix of their ids; like ones are aligned."""
    from matplotlib import rc_context

    with rc_context({**RULES, "svg.hashsalt": _SALT}):
        figures = drawn([panel for panel, _, _ in panels], [size for _, size, _ in panels])
        return {prefix: _svg(figure, prefix) for figure, (_, _, prefix) in zip(figures, panels, strict=True)}


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
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_finished
    )
    made: dict[str, dict[str, Any]] = {}
    total = len(page.plates)
    for plate in page.plates:
        if progress is not None:
            progress("figures", len(made), total)
        made[plate.key] = _plate_html(plate)
    if progress is not None:
        progress("figures", total, total)
    shared = Shared()
    for one in made.values():
        for panel in one["panels"]:
            panel |= {name: shared.take(panel[name]) for name in ("svg", "narrow")}
    return environment.get_template("template.html.j2").render(page=page, drawn=made, shared=shared)


def _finished(value: Any) -> Any:
    """Return what a template writes, plain text with true minus signs."""
    return true_minus(value) if type(value) is str else value


def report(
    results: Results | Iterable[object] | str | Path,
    out: str | Path,
    *,
    figures: str | Path | None = None,
    formats: Sequence[str] | None = None,
    width: str | float | None = None,
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
        A folder for the figures, the numbers that each shows (CSV) and their captions (``captions.tex``).
    formats : sequence of {"png", "pdf"}, optional
        Their formats; default: both.
    width : str or float, optional
        Their width, such as ``3.4in`` for a column of a paper or ``7.1in`` for a page; default: each its own.
    overwrite : bool
        Whether files that are there may be replaced.
    progress : callable, optional
        Called as ``progress("figures", done, total)``, then for files of their own as ``"files of figures"``.

    Returns
    -------
    Path
        The HTML file.

    Raises
    ------
    BundleError
        If a folder is missing or holds nothing to show.
    ConfigError
        If a format is not known, or a width is none or of no figures.
    OutputError
        If a file exists and may not be replaced, or cannot be written.
    """
    told = None if formats is None else ",".join(formats)
    if formats is not None and not (formats and set(formats) <= set(FORMATS)):
        raise ConfigError(f"--formats {told}: write {' or '.join(FORMATS)}, or both with a comma.")
    inches = width_inches(width)
    for name, value in (("width", width), ("formats", told)):
        if value is not None and figures is None:
            raise ConfigError(
                f"--{name} {value}: is of figures as files of their own. Say with --figures where they go."
            )
    if not isinstance(results, Results):
        results = read_results([results] if isinstance(results, str | Path) else results)
    page = make_page(results)
    with atomic_file(out, overwrite=overwrite) as temporary:
        temporary.write_text(render_page(page, progress), encoding="utf-8")
    if figures is not None:
        save_figures(page.plates, figures, formats or FORMATS, width=inches, overwrite=overwrite, progress=progress)
    return Path(out)


_NAMES = {colour.lower(): name for name, colour in THEME.items()}
_COLOUR = re.compile("|".join(_NAMES), re.IGNORECASE)
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)


_ASIDE = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", re.DOTALL)


_ROOT = re.compile(r"<svg[^>]*?viewBox=\"([^\"]+)\"[^>]*>", re.DOTALL)


_SALT = "jpas-gbm"


def refuse_page(page: Path, of: Path, overwrite: bool) -> None:
    """Refuse to make a result and its page where a result is; say so if the page there is not of it.

    Parameters
    ----------
    page, of : Path
        The page, and the file of the result that it shows.
    overwrite : bool
        Whether they may be replaced.

    Raises
    ------
    OutputError
        If the result is there and may not be replaced.
    """
    whole = page.is_file() and of.is_file() and page.stat().st_mtime_ns >= of.stat().st_mtime_ns
    if of.exists() and not overwrite and not whole:
        raise OutputError(
            f"{of}: already exists, and {page.name} beside it is {'older' if page.is_file() else 'missing'}: what "
            "makes both was ended between them. Give another --out, or --overwrite; finished trainings are taken up "
            "again."
        )
    refuse_existing(of, overwrite)


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
    return _svgs([(panel, size or panel.size, prefix)])[prefix]


def _svg(figure: Any, prefix: str) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, dpi=150, metadata={"Date": None})
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


class Shared:
    """What the figures of a page share, so that it stands there once: letters as outlines, and looks as classes."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}
        self.looks: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def take(self, svg: str) -> str:
        """Return an element without what it shares with others.

        Parameters
        ----------
        svg : str
            As of :func:`embedded`.

        Returns
        -------
        str
            Shorter; needs :attr:`letters` and :attr:`style` on the page.
        """
        svg = _LETTER.sub(self._letter, svg)
        svg = _USE.sub(lambda found: f"{found[1]}#{self._short(found[2])}", svg)
        svg = _ID.sub(lambda found: f' id="{self._names[found[1]]}"' if found[1] in self._names else "", svg)
        svg = re.sub(r' style="([^"]*)"', self._look, svg)
        return re.sub(r"<defs>\s*</defs>\n?", "", svg)

    def _short(self, identity: str) -> str:
        """Return the name of what is referred to."""
        return self._names.setdefault(identity, f"i{len(self._names)}")

    def _letter(self, found: re.Match[str]) -> str:
        identity, outline = found[1], found[2]
        name = self.letters.setdefault(outline, f"l{len(self.letters)}")
        self._names[identity] = name
        return ""

    def _look(self, found: re.Match[str]) -> str:
        name = self.looks.setdefault(found[1], f"k{len(self.looks)}")
        return f' class="{name}"'

    @property
    def style(self) -> str:
        """The looks as a style sheet."""
        return "\n".join(f".{name}{{{look}}}" for look, name in self.looks.items())


_LETTER = re.compile(r'<path id="([^"]*DejaVu[^"]*)" ([^>]*)/>\n?')
_USE = re.compile(r'(href="|url\()#([^")]+)')
_ID = re.compile(r' id="([^"]+)"')
