"""Tables of the page, and the model card: what a model is for, how it was made, what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..text import DASH, count, listed, number, source_word, span, sure
from ..text import title as terminal_title

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


def candidates_table(card: Mapping[str, Any]) -> Table | None:
    """Return the candidates and baselines of a model card."""
    tried = [(one, "") for one in card.get("candidates", [])] + [(one, "baseline") for one in card.get("baselines", [])]
    if not tried:
        return None
    rows = [
        (Cell(one["candidate"], kind), Cell(number(one["log_loss"], 4)), Cell(number(one["macro_f1"], 4)))
        for one, kind in tried
    ]
    header = ("way", "log loss", "macro-F1")
    return Table("Ways to use mocks and labels, scored on target validation.", header, tuple(rows))


USE = (
    "Classifying sources of the survey and photometry named below into the classes named, with calibrated "
    "probabilities, for the choice of spectroscopic targets and for statistics of populations."
)


LIMITS = (
    "Not for other photometry, other bands or fainter magnitudes than it was trained and scored on. Probabilities "
    "hold for the class mix of the labelled sources. A rare class that the labels hold few of is uncertain in ways "
    "that intervals over test objects do not show."
)


def card_facts(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a model card as pairs of name and words; what it does not tell is left out."""
    made = card.get("provenance", {})
    facts: list[tuple[str, str | None]] = [
        ("regime", card.get("regime")),
        ("kept", card.get("chosen")),
        ("ensemble", listed(card["ensemble"]) if card.get("ensemble") else None),
        ("guard", card.get("verdict", {}).get("sentence")),
        ("rule of choice", card.get("rule")),
        ("survey and photometry", _survey(card)),
        ("features", _features(card)),
        ("rows", _rows(card)),
        ("labels used", _budget(card)),
        ("calibration", _calibration(card)),
        ("decision", _decision(card)),
        ("mocks against sky", _domain(card)),
        ("groups of features alone", _groups(card)),
        ("importance weights", _weights(card)),
        ("training", _training(card)),
        ("notes", " ".join(card["notes"]) if card.get("notes") else None),
        ("seed", None if made.get("seed") is None else str(made["seed"])),
        ("made", f"{made.get('made', DASH)}, {made.get('software', '')} {made.get('version', '')}" if made else None),
    ]
    return [(name, told) for name, told in facts if told]


def _survey(card: Mapping[str, Any]) -> str | None:
    if not card.get("survey"):
        return None
    return f"{card['survey']}, {listed(card.get('photometries', []))}"


def _features(card: Mapping[str, Any]) -> str | None:
    one = card.get("features")
    return None if not one else f"{one['count']}, recipe {str(one['hash'])[:12]}"


def _rows(card: Mapping[str, Any]) -> str | None:
    rows = card.get("rows")
    if not rows:
        return None
    names = {
        "source_train": "mocks for trees",
        "source_val": "mocks for validation",
        "target_train": "sky for trees",
        "target_val": "sky for validation",
        "unlabelled": "unlabelled sky",
    }
    return "; ".join(f"{words} {rows[name]['rows']:,}" for name, words in names.items() if name in rows)


def _budget(card: Mapping[str, Any]) -> str | None:
    budget = card.get("label_budget")
    return None if not budget else "; ".join(f"{n:,} {words}" for words, n in budget.items())


def _calibration(card: Mapping[str, Any]) -> str | None:
    one = card.get("calibration")
    if not one:
        return None
    words = f"{one.get('method', DASH)}, fitted on {one.get('rows', 0):,} rows"
    before, after = one.get("log_loss_uncalibrated"), one.get("log_loss")
    if before is None or after is None:
        return words
    return f"{words}; cross-fitted log loss {number(after, 4)}, uncalibrated {number(before, 4)}"


def _decision(card: Mapping[str, Any]) -> str | None:
    one = card.get("decision")
    if not one:
        return None
    words = "largest probability" if one.get("rule") == "argmax" else "largest product of probability and class factor"
    gain = one.get("gain")
    interval = span(one.get("interval"), sign=True)
    told = f"; thresholds change macro-F1 on validation by {number(gain, sign=True)} {interval}"
    factors = one.get("factors")
    each = f" (factors {', '.join(number(f, 2) for f in factors)})" if factors and one.get("rule") != "argmax" else ""
    return words + each + (told if gain is not None else "")


def _domain(card: Mapping[str, Any]) -> str | None:
    one = card.get("domain") or {}
    if one.get("auc") is None:
        return None
    shares = ", ".join(f"{100 * share:.0f} % at γ = {gamma}" for gamma, share in one.get("effective_share", {}).items())
    words = f"a classifier tells them apart with an area under the ROC of {number(one['auc'])}"
    return f"{words}; effective share of the mocks left by importance weights: {shares}" if shares else words


def _groups(card: Mapping[str, Any]) -> str | None:
    groups = (card.get("domain") or {}).get("groups")
    if not groups:
        return None
    ranked = sorted(groups.items(), key=lambda pair: -pair[1]["auc"])
    told = [f"{name} {number(one['auc'])} ({count(one['features'], 'feature')})" for name, one in ranked]
    return f"area under the ROC between mocks and sky of a small classifier that sees no other: {', '.join(told)}"


def _weights(card: Mapping[str, Any]) -> str | None:
    told = []
    for gamma, one in ((card.get("domain") or {}).get("weights") or {}).items():
        spread = ", ".join(f"{100 * float(q):g} % {number(value, 2)}" for q, value in one["quantiles"].items())
        told.append(
            f"γ = {gamma}: quantiles {spread}, largest {number(one['largest'], 2)} in units of the mean; "
            f"{100 * one['clipped']:.1f} % clipped; effective sample of {one['effective_rows']:,.0f} mocks, "
            f"{100 * one['effective_share']:.0f} %{'' if one['used'] else ', given up'}"
        )
    return "; ".join(told) or None


def _training(card: Mapping[str, Any]) -> str | None:
    entries = card.get("trainings")
    if not entries:
        return None
    seconds = sum(float(entry.get("seconds", 0)) for entry in entries)
    return f"{len(entries)} stages, {seconds:,.0f} s"


_MOST = 12


def strata_table(card: Mapping[str, Any]) -> Table | None:
    """Return the figures of each stratum of target validation, where the model's card tells them."""
    found = (card.get("domain") or {}).get("coverage")
    if not found or "log_loss" not in found:
        return None
    classes = list(found["classes"])
    rows = []
    for one in [*found["strata"], found]:
        ends = one.get("p_sky")
        head = "all" if ends is None else f"{number(ends[0], 2)} to {number(ends[1], 2)}"
        rows.append(
            (
                Cell(head),
                Cell(f"{one['n']:,}"),
                Cell(f"{one['mocks']:,}"),
                *(Cell(f"{one['classes'][name]:,}") for name in classes),
                Cell(number(one["log_loss"]), span(one["interval"])),
                Cell(number(one["accuracy"])),
                Cell(number(one["macro_f1"])),
            )
        )
    return Table(
        "Target validation in strata by P(sky), what a classifier between mocks and sky says: from sources like the "
        "mocks to sources unlike them, with the mocks that train in the same range (those with imaging, if others were "
        "made to forget it). A class of which mocks hold more than the sky is like the mocks for that alone. Macro-F1 "
        "is over the classes that a stratum holds; in brackets, 95 % bootstrap intervals over objects.",
        ("P(sky)", "sky", "mocks", *classes, "log loss", "accuracy", "macro-F1"),
        tuple(rows),
    )


def features_table(card: Mapping[str, Any]) -> Table | None:
    """Return the features that tell mocks from sky best; strong, those that tell domains and not classes."""
    found = (card.get("domain") or {}).get("features")
    if not found or not found.get("top"):
        return None
    only = [one["feature"] for one in found["domain_only"]]
    shown = {one["feature"]: one for one in [*found["top"], *found["domain_only"][:_MOST]]}
    rows = []
    for name, one in shown.items():
        strong = name in only
        note = f"{one['group']}; domains, not classes" if strong else one["group"]
        rows.append((Cell(name, note, strong), Cell(number(one["domain"])), Cell(number(one["classes"]))))
    told = f"{count(len(only), 'feature')} of all {'does' if len(only) == 1 else 'do'} so" if only else "None does so"
    return Table(
        "Areas under the ROC of single features: between mocks and sky, and the largest between one class and the "
        f"rest (labels of the {found['labels']}, training split). A feature tells domains apart and not classes where "
        f"the first is at least 0.55 and above the second. {told}.",
        ("feature", "mocks and sky", "classes"),
        tuple(rows),
    )
