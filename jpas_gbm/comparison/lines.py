"""Figures as words and aligned text for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

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
