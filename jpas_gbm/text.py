"""Words: numbers, intervals and lists as text, tables as aligned lines or HTML; what a path that is typed names."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
_ASCII = str.maketrans({MINUS: "-", DASH: "-"})


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """Return a number with a real minus sign, or a dash where there is none.

    Parameters
    ----------
    value : float, optional
        The number.
    digits : int
        Behind the point.
    sign : bool
        Whether a plus is written too.

    Returns
    -------
    str
        A dash for None and NaN.
    """
    if value is None or value != value:
        return DASH
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", MINUS)


def true_minus(words: str) -> str:
    """Return words with a minus sign in place of each hyphen before a number.

    Parameters
    ----------
    words : str
        Any.

    Returns
    -------
    str
        Ranges, dates and names with hyphens stay as they are.
    """
    return re.sub(r"(?<![\w.)\]#-])-(?=\.?\d)", MINUS, words)


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it, rounded as an estimate is.

    Parameters
    ----------
    seconds : float
        s.

    Returns
    -------
    str
        Such as ``40 s``, ``3 min`` or ``1.5 h``.
    """
    if seconds < 90:
        return f"{max(10 * round(seconds / 10), 1 if seconds < 5 else 10):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def span(interval: Sequence[float | None] | None, digits: int = 3, sign: bool = False) -> str:
    """Return ``[0.861, 0.892]``, or nothing where there is no interval.

    Parameters
    ----------
    interval : (float, float), optional
        Lower and upper end.
    digits : int
        Behind the point.
    sign : bool
        Whether a plus is written too.

    Returns
    -------
    str
        Empty where there is none.
    """
    if not interval or interval[0] is None or interval[1] is None:
        return ""
    return f"[{number(interval[0], digits, sign)}, {number(interval[1], digits, sign)}]"


def with_span(value: float | None, interval: Sequence[float | None] | None, digits: int = 3, sign: bool = False) -> str:
    """Return ``0.877 [0.861, 0.892]``.

    Parameters
    ----------
    value : float, optional
        The number.
    interval : (float, float), optional
        Its interval.
    digits : int
        Behind the point.
    sign : bool
        Whether a plus is written too.

    Returns
    -------
    str
        The number, and its interval where there is one.
    """
    return f"{number(value, digits, sign)} {span(interval, digits, sign)}".strip()


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return ``a, b and c``.

    Parameters
    ----------
    words : sequence of str
        Any number.
    last : str
        The word before the last one.

    Returns
    -------
    str
        Empty for no words.
    """
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def count(n: int, singular: str, plural: str | None = None) -> str:
    """Return ``1 row`` or ``1,200 rows``.

    Parameters
    ----------
    n : int
        How many.
    singular : str
        The noun.
    plural : str, optional
        Default: `singular` and an s.

    Returns
    -------
    str
        Thousands parted by commas.
    """
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def bare_words(bare: int, rows: int) -> str:
    """Return how many rows lack what the model was trained with, such as "3 of 12 rows have neither ...".

    Parameters
    ----------
    bare : int
        Rows without imaging.
    rows : int
        All rows.

    Returns
    -------
    str
        No sentence yet: what was done without follows.
    """
    lack = "neither magnitude nor morphology of an imaging survey, with which the model was trained"
    return f"{bare:,} of {count(rows, 'row has', 'rows have')} {lack}"


def cut_words(cut: float | None, magnitude: str = "magnitude") -> str:
    """Return the magnitude cut in words.

    Parameters
    ----------
    cut : float, optional
        Faintest magnitude.
    magnitude : str
        What :func:`jpas_gbm.store.magnitude_name` says of it.

    Returns
    -------
    str
        Such as ``of magnitude 22.5 and brighter``, or ``with r (Legacy Surveys) ≤ 22.5``.
    """
    if cut is None:
        return "of any magnitude"
    return f"of magnitude {cut:g} and brighter" if magnitude == "magnitude" else f"with {magnitude} ≤ {cut:g}"


def source_word(survey: str | None) -> str:
    """Return what the rows of the source domain are called: mocks, unless they are another survey's.

    Parameters
    ----------
    survey : str, optional
        Survey of the source.

    Returns
    -------
    str
        In the plural.
    """
    return "mocks" if survey is None or "mock" in survey.lower() else "source rows"


def split_words(split: str) -> str:
    """Return the name of a split in words.

    Parameters
    ----------
    split : str
        Such as ``val``.

    Returns
    -------
    str
        Such as ``validation``.
    """
    return {"val": "validation", "train": "training"}.get(split, split)


def sentence(words: str) -> str:
    """Return words with a capital at the beginning.

    Parameters
    ----------
    words : str
        Any.

    Returns
    -------
    str
        Otherwise unchanged.
    """
    return words[:1].upper() + words[1:]


def seeds_words(seeds: Sequence[int | None]) -> str:
    """Return the training seeds in words.

    Parameters
    ----------
    seeds : sequence of int or None
        One a training.

    Returns
    -------
    str
        Such as ``training seeds 0, 1 and 2``.
    """
    known = [str(seed) for seed in seeds if seed is not None]
    if not known:
        return "training seed not recorded"
    return f"training seed{'s' if len(known) > 1 else ''} {listed(known)}"


def sure(interval: Sequence[float | None] | None) -> bool:
    """Return whether an interval leaves out zero.

    Parameters
    ----------
    interval : (float, float), optional
        Lower and upper end.

    Returns
    -------
    bool
        False without an interval.
    """
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
    """Return the words for a figure's dotted name.

    Parameters
    ----------
    name : str
        Such as ``per_class.QSO_high.f1``.

    Returns
    -------
    str
        Such as ``F1 QSO_high``.
    """
    if name in _TITLES:
        return _TITLES[name]
    section, of, figure = name.split(".") if name.count(".") == 2 else ("", "", "")
    return f"{figure.upper() if figure == 'f1' else figure} {of}" if section == "per_class" else name


def cell(
    value: float | None, interval: Sequence[float | None] | None = None, digits: int = 3, sign: bool = False
) -> str:
    """Return ``0.877 [0.861, 0.892]`` in ASCII for the terminal, or a hyphen where there is no value.

    Parameters
    ----------
    value : float, optional
        The number.
    interval : (float, float), optional
        Its interval.
    digits : int
        Behind the point.
    sign : bool
        Whether a plus is written too.

    Returns
    -------
    str
        ASCII.
    """
    return with_span(value, interval, digits, sign).translate(_ASCII)


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """Return a table as lines, columns padded to their widest cell.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
        Cells, as many in each row as there are columns.
    right : bool
        Whether columns but the first are set to the right, as numbers are.

    Returns
    -------
    list of str
        The header and a line for each row, without trailing blanks.
    """
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]

    def padded(row: list[str]) -> str:
        cells = [t.rjust(w) if right and i else t.ljust(w) for i, (t, w) in enumerate(zip(row, widths, strict=True))]
        return "  ".join(cells).rstrip()

    return [padded(row) for row in table]


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return a small table as HTML, for the ``_repr_html_`` of a result.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
        Cells; the first of a row is its heading.
    caption : str
        A line above the table, or nothing.

    Returns
    -------
    str
        A ``<table>`` element, its text escaped.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        f"<tr><th>{escape(row[0])}</th>{''.join(f'<td>{escape(text)}</td>' for text in row[1:])}</tr>" for row in rows
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def short(value: object) -> str:
    """Return a value as text of at most 60 characters, for a message.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        Its repr, cut.
    """
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def run_name(regime: str, seed: int | None) -> str:
    """Return the name of a run, such as ``ssda-seed0``.

    Parameters
    ----------
    regime : str
        Of the run.
    seed : int, optional
        Of the run.

    Returns
    -------
    str
        The name.
    """
    return f"{regime}-seed{seed}"


_IMAGING_WORDS = {"G": "g", "Z": "z", "PARALLAX": "parallax over its error", "PM": "proper motion over its error"}


def feature_words(name: str) -> str:
    """Return the words for a feature, or a block of one, in figures and sentences.

    Parameters
    ----------
    name : str
        Such as ``optional_G_r`` or ``imaging_mag``.

    Returns
    -------
    str
        Such as ``g − r of imaging`` or ``imaging mag``.
    """
    kind, *parts = name.split("_")
    if kind != "optional":
        return name.replace("_", " ")
    return f" {MINUS} ".join(_IMAGING_WORDS.get(part, part) for part in parts) + " of imaging" * (len(parts) > 1)


def _resolved(path: Path) -> list[Path]:
    there = next(above for above in path.parents if above.exists())
    rest = path.relative_to(there) if str(there) != "." else path
    return sorted(there / one for one in glob.glob(str(rest), root_dir=there, recursive=True))


def globbed(path: Path) -> list[Path]:
    """Return the path, or what it names as a wildcard, beginning with the first folder that is not there.

    Parameters
    ----------
    path : Path
        Without the name of a table behind it (:func:`named_table`), of which the file is given.

    Returns
    -------
    list of Path
        Sorted by name.
    """
    path, _ = named_table(path)
    return [path] if path.exists() else _resolved(path)


def named_table(path: str | Path) -> tuple[Path, str | None]:
    """Return the file, folder or wildcard of a path, and which of its tables ``FILE[NAME]`` or ``FILE[2]`` names.

    Parameters
    ----------
    path : path
        What is there as it is spelt, or finds something as a wildcard, names no table.

    Returns
    -------
    path : Path
    table : str or None
        What stands in brackets at the end, which may be nothing.
    """
    path, word = Path(path), str(path)
    if not word.endswith("]") or os.path.exists(path):
        return path, None
    for at in [at for at, sign in enumerate(word) if sign == "[" and at > 0][::-1]:
        file, table = Path(word[:at]), word[at + 1 : -1]
        # A name may have brackets of its own; of a folder or a wildcard it is what stands in the last.
        plain = "[" not in table and "]" not in table and not _resolved(path)
        if os.path.isfile(file) or (plain and (file.is_dir() or bool(_resolved(file)))):
            return file, table.strip()
    return path, None
