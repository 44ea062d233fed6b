"""The model card: what a model is for, how it was made, and what it must not be used for.

Tables of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..text import DASH, number, source_word, span, sure
from ..text import title as terminal_title

if TYPE_CHECKING:
    from ..comparison.comparison import Comparison

if TYPE_CHECKING:
    from ..comparison.comparison import Comparison
    from ..comparison.evaluation import Evaluation
    from ..surveys.quality import QualityReport


_MACRO = ("macro.f1", "decided.macro.f1", "macro.recall", "macro.precision", "macro.auroc_ovo")
_FIGURES = ("log_loss", "brier", *_MACRO, "ece")
_LOW_IS_GOOD = ("log_loss", "brier", "ece")


_SPLITS = {"train": "training", "val": "validation"}
_TITLES = {"brier": "Brier score", "macro.precision": "macro precision"}


def title(name: str) -> str:
    """Return the words for a figure's dotted name."""
    return _TITLES.get(name) or terminal_title(name)


@dataclass(frozen=True)
class Cell:
    """One cell.

    Parameters
    ----------
    text : str
    note : str
        In small type below: an interval.
    strong : bool
    """

    text: str
    note: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Parameters
    ----------
    caption : str
    header : tuple of str
    rows : tuple of tuple of Cell
        The first cell of a row is its heading.
    words : bool
        Whether cells hold words rather than numbers.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: bool = False


def regimes_table(comparison: Comparison) -> Table:
    """Return every main figure of each regime with intervals; strong where one is best beyond doubt."""
    names = [*_FIGURES, *(f"per_class.{c}.f1" for c in comparison.classes)]
    first = comparison.classes[0]
    names += [f"per_class.{first}.precision", f"per_class.{first}.recall"]
    rows = []
    for name in names:
        cells = [Cell(title(name))]
        winner = _winner(comparison, name)
        for regime in comparison.regimes:
            one = comparison.figure(regime, name)
            scatter = "" if one.seed_std is None else f" ± {number(one.seed_std)}"
            cells.append(Cell(number(one.mean), span(one.interval) + scatter, regime == winner))
        rows.append(tuple(cells))
    seeds = len(comparison.rows[0].seeds)
    scatter = "; after ±, the standard deviation between training seeds" if seeds > 1 else ""
    return Table(
        f"Mean over training seeds; in brackets, 95 % bootstrap intervals over objects{scatter}. Strong: better than "
        "every other regime, each paired interval leaving out zero. Log loss, Brier score and ECE are better when "
        f"low. '{title('decided.macro.f1')}' decides as each model's own validation chose; the others by largest "
        "probability.",
        ("", *comparison.regimes),
        tuple(rows),
    )


def _winner(comparison: Comparison, name: str) -> str | None:
    sign = -1 if name.endswith(_LOW_IS_GOOD) else 1
    for regime in comparison.regimes:
        gaps = [comparison.difference(regime, other, name) for other in comparison.regimes if other != regime]
        if gaps and all(gap.better(sign) for gap in gaps):
            return regime
    return None


def pairs_table(comparison: Comparison) -> Table | None:
    """Return paired differences of the best regime from the others."""
    if len(comparison.regimes) < 2:
        return None
    best, first = best_regime(comparison), comparison.classes[0]
    names = ["log_loss", "macro.f1", "decided.macro.f1", "macro.recall", f"per_class.{first}.f1"]
    rows = []
    for other in comparison.regimes:
        if other == best:
            continue
        cells = [Cell(f"{best} less {other}")]
        for name in names:
            gap = comparison.difference(best, other, name)
            cells.append(Cell(number(gap.difference, sign=True), span(gap.interval, sign=True), sure(gap.interval)))
        rows.append(tuple(cells))
    return Table(
        f"Paired differences of {best}, which has the lowest log loss, from the others on the same resamples of "
        "objects; strong where the 95 % interval leaves out zero.",
        ("", *(title(name) for name in names)),
        tuple(rows),
    )


def verdicts_table(comparison: Comparison) -> Table | None:
    """Return what every run chose on validation, what its guard said, and how it decides."""
    verdicts: Mapping[str, Any] = comparison.about.get("verdicts", {})
    if not verdicts:
        return None
    rows = []
    for run, one in verdicts.items():
        guard = one.get("verdict", {}).get("sentence", f"{DASH} (this regime has no choice to guard)")
        rule = one.get("decision", {}).get("rule", DASH)
        rows.append((Cell(run), Cell(str(one.get("chosen", DASH))), Cell(guard), Cell(rule)))
    caption = (
        "What each run chose on validation, and what the guard against negative transfer said. The test split had no "
        "part."
    )
    return Table(caption, ("run", "kept", "guard", "decision"), tuple(rows), words=True)


def classes_table(evaluation: Evaluation) -> Table:
    """Return the figures of each class of one model."""
    figures = ("precision", "recall", "f1", "auroc", "average_precision", "ece")
    rows = []
    for name in evaluation.classes:
        cells = [Cell(name, f"{evaluation.figures.counts[name]:,} rows")]
        for figure in figures:
            dotted = f"per_class.{name}.{figure}"
            cells.append(Cell(number(evaluation[dotted]), span(evaluation.intervals.get(dotted))))
        rows.append(tuple(cells))
    macro = [Cell("macro")]
    for figure in figures:
        dotted = {"auroc": "macro.auroc_ovr", "ece": "macro.ece"}.get(figure, f"macro.{figure}")
        macro.append(Cell(number(evaluation[dotted]), span(evaluation.intervals.get(dotted))))
    head = ("", "precision", "recall", "F1", "AUROC", "average precision", "ECE")
    return Table("With 95 % bootstrap intervals over objects.", head, (*rows, tuple(macro)))


def counts_table(summary: Mapping[str, Any]) -> Table:
    """Return rows by class and split of both domains."""
    classes = summary["classes"]
    rows = []
    for side, words in (("source", source_word(summary["source"]["survey"])), ("target", "sky")):
        for split, counts in {**summary[side]["splits"], "all labelled": summary[side]["classes"]}.items():
            cells = [Cell(f"{words}, {_SPLITS.get(split, split)}"), *(Cell(f"{counts[c]:,}") for c in classes)]
            rows.append((*cells, Cell(f"{sum(counts.values()):,}")))
    rows.append((Cell("sky, unlabelled"), *(Cell(DASH) for _ in classes), Cell(f"{summary['target']['unlabelled']:,}")))
    twins = summary.get("twins", {})
    beside = ""
    if twins:
        beside = f" {twins['rows']:,} mock rows of {twins['objects']:,} sky objects are twins and stand aside."
    return Table(f"Rows by class and split; no object is in two splits.{beside}", ("", *classes, "all"), tuple(rows))


def quality_table(report: QualityReport) -> Table | None:
    """Return what was rejected and mended while reading, per file."""
    rows = []
    for name, file in report.files.items():
        for tally in file.counts.values():
            if tally.count:
                share = f"{100 * file.share(tally):.2f} % of the {tally.unit}"
                rows.append((Cell(name), Cell(tally.sentence), Cell(f"{tally.count:,}"), Cell(share)))
    if not rows:
        return None
    header = ("file", "rule", "count", "share")
    return Table("What was rejected or mended while reading.", header, tuple(rows), words=True)


def lines_of(values: Mapping[str, Any], skip: Sequence[str] = ()) -> list[str]:
    """Return nested options as indented lines, ``name: value``."""
    lines = []
    for name, value in values.items():
        if name in skip:
            continue
        if isinstance(value, Mapping) and value:
            lines.append(f"{name}:")
            lines += [f"  {line}" for line in lines_of(value)]
        else:
            told = "none" if value is None else ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            lines.append(f"{name}: {told}")
    return lines


def best_regime(comparison: Comparison) -> str:
    """Return the regime of lowest log loss: the figure by which choices are made."""

    def loss(regime: str) -> float:
        mean = comparison.figure(regime, "log_loss").mean
        return float("inf") if mean is None else mean

    return min(comparison.regimes, key=loss)
