"""Figures as words and aligned text for the terminal.

Numbers as words of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """Return a number with a real minus sign, or a dash where there is none."""
    if value is None or value != value:
        return DASH
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", MINUS)


def span(interval: Sequence[float | None] | None, digits: int = 3, sign: bool = False) -> str:
    """Return ``[0.861, 0.892]``, or nothing where there is no interval."""
    if not interval or interval[0] is None or interval[1] is None:
        return ""
    return f"[{number(interval[0], digits, sign)}, {number(interval[1], digits, sign)}]"


def with_span(value: float | None, interval: Sequence[float | None] | None, digits: int = 3, sign: bool = False) -> str:
    """Return ``0.877 [0.861, 0.892]``."""
    return f"{number(value, digits, sign)} {span(interval, digits, sign)}".strip()


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return ``a, b and c``."""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def count(n: int, singular: str, plural: str | None = None) -> str:
    """Return ``1 row`` or ``1,200 rows``."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def cut_words(cut: float | None) -> str:
    """Return the magnitude cut in words."""
    return "of any magnitude" if cut is None else f"of magnitude {cut:g} and brighter"


def source_word(survey: str | None) -> str:
    """Return what the rows of the source domain are called: mocks, unless they are another survey's."""
    return "mocks" if survey is None or "mock" in survey.lower() else "source rows"


def split_words(split: str) -> str:
    """Return the name of a split in words."""
    return {"val": "validation", "train": "training"}.get(split, split)


def sample_words(n: int, cut: float | None, about: Mapping[str, Any]) -> str:
    """Return which rows were scored: number, split, domain, cut."""
    where = "mock" if about.get("domain") == "source" else "sky"
    words = f"{count(n, f'{where} source')} of the {split_words(about.get('split', 'test'))} split, {cut_words(cut)}"
    return words + ("" if about.get("imaging", True) else ", without imaging magnitude and morphology")


def sentence(words: str) -> str:
    """Return words with a capital at the beginning."""
    return words[:1].upper() + words[1:]


def seeds_words(seeds: Sequence[int | None]) -> str:
    """Return the training seeds in words."""
    known = [str(seed) for seed in seeds if seed is not None]
    if not known:
        return "training seed not recorded"
    return f"training seed{'s' if len(known) > 1 else ''} {listed(known)}"


def sure(interval: Sequence[float | None] | None) -> bool:
    """Return whether an interval leaves out zero."""
    if not interval or interval[0] is None or interval[1] is None:
        return False
    return interval[0] * interval[1] > 0


HEADLINE = ("log_loss", "macro.f1", "macro.recall", "macro.auroc_ovo", "ece")
"""Figures that are shown before the F1 of each class."""

_TITLES = {
    "log_loss": "log loss",
    "macro.f1": "macro-F1",
    "thresholded.macro.f1": "macro-F1, thresholds",
    "decided.macro.f1": "macro-F1, chosen rule",
    "macro.recall": "macro recall",
    "macro.auroc_ovo": "AUROC",
    "ece": "ECE",
}


def title(name: str) -> str:
    """Return the words for a figure's dotted name."""
    if name in _TITLES:
        return _TITLES[name]
    section, of, figure = name.split(".") if name.count(".") == 2 else ("", "", "")
    return f"{figure.upper() if figure == 'f1' else figure} {of}" if section == "per_class" else name


def cell(value: float | None, interval: Sequence[float] | None, sign: str = "") -> str:
    """Return ``0.877 [0.861, 0.892]``, or a dash where there is no value."""
    if value is None:
        return "-"
    text = f"{value:{sign}.3f}"
    return text if interval is None else f"{text} [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table as lines, columns padded to their widest cell."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table]
