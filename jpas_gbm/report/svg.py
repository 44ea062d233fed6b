"""Panels as SVG that stands inside a page: no outside reference, colours that follow the page's theme."""

from __future__ import annotations

import io
import re

from .figures.style import BLUE, GREEN, INK, MUTED, ORANGE, PALE, PURPLE, RULES, SKY_BLUE, VERMILION
from .plates.plate import Panel

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
