"""Tables and facts of the page: figures of regimes and classes, the data and their quality, and model cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..model_folder import ModelCard
from ..store import magnitude_name
from ..surveys.preparation import DatasetSummary
from ..text import DASH, count, cut_words, listed, number, source_word, span, split_words, sure
from ..text import title as terminal_title
from .sections import Cell, Table

if TYPE_CHECKING:
    from ..comparison.comparison import Comparison
    from ..comparison.evaluation import Evaluation
    from ..surveys.quality import QualityReport

_MACRO = ("macro.f1", "decided.macro.f1", "macro.recall", "macro.precision", "macro.auroc_ovo")
_FIGURES = ("log_loss", "brier", *_MACRO, "ece")
_LOW_IS_GOOD = ("log_loss", "brier", "ece")
_TITLES = {"brier": "Brier score", "macro.precision": "macro precision"}


def title(name: str) -> str:
    """Return the words for a figure's dotted name.

    Parameters
    ----------
    name : str
        Dotted name of a figure.

    Returns
    -------
    str
    """
    return _TITLES.get(name) or terminal_title(name)


def best_regime(comparison: Comparison) -> str:
    """Return the regime of lowest log loss: the figure by which choices are made.

    Parameters
    ----------
    comparison : Comparison
        Of regimes on the same rows.

    Returns
    -------
    str
    """

    means = {regime: comparison.figure(regime, "log_loss").mean for regime in comparison.regimes}
    return min(means, key=lambda regime: float("inf") if (mean := means[regime]) is None else mean)


def regimes_table(comparison: Comparison) -> Table:
    """Return every main figure of each regime with intervals; strong where one is best beyond doubt.

    Parameters
    ----------
    comparison : Comparison
        Of regimes on the same rows.

    Returns
    -------
    Table
    """
    first = comparison.classes[0]
    names = [*_FIGURES, *(f"per_class.{c}.f1" for c in comparison.classes)]
    names += [f"per_class.{first}.precision", f"per_class.{first}.recall"]
    # The regime that a page looks at more closely comes first: a phone shows two columns.
    shown = [comparison.regimes[-1], *comparison.regimes[:-1]]
    rows = []
    for name in names:
        cells, winner = [Cell(title(name))], _winner(comparison, name)
        for regime in shown:
            one = comparison.figure(regime, name)
            scatter = "" if one.seed_std is None else f" ± {number(one.seed_std)}"
            cells.append(Cell(number(one.mean), span(one.interval) + scatter, regime == winner))
        rows.append(cells)
    seeds = len(comparison.rows[0].seeds)
    scatter = "; after ±, the standard deviation between training seeds" if seeds > 1 else ""
    return Table.of(
        f"Mean over training seeds; in brackets, 95 % bootstrap intervals over objects{scatter}. Strong: better than "
        "every other regime, each paired interval leaving out zero. Log loss, Brier score and ECE are better when "
        f"low. '{title('decided.macro.f1')}' decides as each model's own validation chose; the others by largest "
        "probability.",
        ("", *shown),
        rows,
    )


def _winner(comparison: Comparison, name: str) -> str | None:
    """Return the regime that is better than every other beyond doubt, if one is."""
    sign = -1 if name.endswith(_LOW_IS_GOOD) else 1
    for regime in comparison.regimes:
        gaps = [comparison.difference(regime, other, name) for other in comparison.regimes if other != regime]
        if gaps and all(gap.better(sign) for gap in gaps):
            return regime
    return None


def pairs_table(comparison: Comparison) -> Table | None:
    """Return paired differences of the best regime from the others.

    Parameters
    ----------
    comparison : Comparison
        Of regimes on the same rows.

    Returns
    -------
    Table or None
    """
    if len(comparison.regimes) < 2:
        return None
    best = best_regime(comparison)
    names = ["log_loss", "macro.f1", "decided.macro.f1", "macro.recall", f"per_class.{comparison.classes[0]}.f1"]
    rows = []
    for other in comparison.regimes:
        if other != best:
            gaps = [comparison.difference(best, other, name) for name in names]
            cells = [Cell.of(g.difference, g.interval, sign=True, strong=sure(g.interval)) for g in gaps]
            rows.append([f"{best} less {other}", *cells])
    return Table.of(
        f"Paired differences of {best}, which has the lowest log loss, from the others on the same resamples of "
        "objects; strong where the 95 % interval leaves out zero.",
        ("", *map(title, names)),
        rows,
    )


def verdicts_table(comparison: Comparison) -> Table | None:
    """Return what every run chose on validation, what its guard said, and how it decides.

    Parameters
    ----------
    comparison : Comparison
        Of regimes on the same rows.

    Returns
    -------
    Table or None
    """
    verdicts = comparison.about.get("verdicts", {})
    if not verdicts:
        return None
    rows = []
    for run, one in verdicts.items():
        guard = one.get("verdict", {}).get("sentence", f"{DASH} (this regime has no choice to guard)")
        rows.append((run, str(one.get("chosen", DASH)), guard, one.get("decision", {}).get("rule", DASH)))
    caption = (
        "What each run chose on validation, and what the guard against negative transfer said. The test split had no "
        "part."
    )
    return Table.of(caption, ("run", "kept", "guard", "decision"), rows, words=True)


def classes_table(evaluation: Evaluation) -> Table:
    """Return the figures of each class of one model.

    Parameters
    ----------
    evaluation : Evaluation
        Of one model.

    Returns
    -------
    Table
    """
    figures = ("precision", "recall", "f1", "auroc", "average_precision", "ece")
    macro = {"auroc": "macro.auroc_ovr"}

    def _cells(names: Iterable[str]) -> list[Cell]:
        return [Cell.of(evaluation[name], evaluation.intervals.get(name)) for name in names]

    rows = [
        [Cell(c, count(evaluation.figures.counts[c], "row")), *_cells(f"per_class.{c}.{figure}" for figure in figures)]
        for c in evaluation.classes
    ]
    rows.append([Cell("macro"), *_cells(macro.get(figure, f"macro.{figure}") for figure in figures)])
    head = ("", "precision", "recall", "F1", "AUROC", "average precision", "ECE")
    return Table.of("With 95 % bootstrap intervals over objects.", head, rows)


def counts_table(summary: DatasetSummary) -> Table:
    """Return rows by class and split of both domains.

    Parameters
    ----------
    summary : DatasetSummary

    Returns
    -------
    Table
    """
    classes = summary.classes
    rows: list[list[str | int]] = []
    for side, words in ((summary.source, source_word(summary.source.survey)), (summary.target, "sky")):
        for split, counts in {**side.splits, "all labelled": side.classes}.items():
            rows.append([f"{words}, {split_words(split)}", *(counts[c] for c in classes), sum(counts.values())])
    rows.append(["sky, unlabelled", *(DASH for _ in classes), summary.target.unlabelled])
    stand = "is a twin and stands" if summary.twins.rows == 1 else "are twins and stand"
    beside = f" {count(summary.twins.rows, 'mock row')} of {count(summary.twins.objects, 'sky object')} {stand} aside."
    return Table.of(f"Rows by class and split; no object is in two splits.{beside}", ("", *classes, "all"), rows)


def quality_table(report: QualityReport) -> Table | None:
    """Return what was rejected and mended while reading, per file.

    Parameters
    ----------
    report : QualityReport
        Of the files read.

    Returns
    -------
    Table or None
    """
    rows = [
        (name, tally.sentence, tally.count, f"{100 * file.share(tally):.2f} % of the {tally.unit}")
        for name, file in report.files.items()
        for tally in file.counts.values()
        if tally.count
    ]
    header = ("file", "rule", "count", "share")
    return Table.of("What was rejected or mended while reading.", header, rows, words=True) if rows else None


def lines_of(values: Mapping[str, object], skip: Sequence[str] = ()) -> list[str]:
    """Return nested options as indented lines, ``name: value``.

    Parameters
    ----------
    values : mapping
        Options, nested or not.
    skip : sequence of str
        Names to leave out.

    Returns
    -------
    list of str
    """
    lines = []
    for name, value in values.items():
        if name in skip:
            continue
        if isinstance(value, Mapping) and value:
            lines += [f"{name}:", *(f"  {line}" for line in lines_of(value))]
        else:
            words = (
                "none" if value is None else ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            )
            lines.append(f"{name}: {words}")
    return lines


# Model cards ----------------------------------------------------------------------------------------------------------

USE = (
    "Classifying sources of the survey and photometry named below into the classes named, with calibrated "
    "probabilities, for the choice of spectroscopic targets and for statistics of populations."
)


LIMITS = (
    "Not for other photometry, other bands or fainter magnitudes than it was trained and scored on. Probabilities "
    "hold for the class mix of the labelled sources. A rare class that the labels hold few of is uncertain in ways "
    "that intervals over test objects do not show."
)

_ROWS = {
    "source_train": "mocks for trees",
    "source_val": "mocks for validation",
    "target_train": "sky for trees",
    "target_val": "sky for validation",
    "unlabelled": "unlabelled sky",
}
_MOST = 12


def card_facts(card: ModelCard) -> list[tuple[str, str]]:
    """Return a model card as pairs of name and words; what it does not tell is left out.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    list of tuple[str, str]
    """
    made, rows, features = card.get("provenance") or {}, card.get("rows") or {}, card.get("features") or {}
    seed, trainings = made.get("seed"), card.get("trainings", [])
    seconds = sum(float(entry.get("seconds", 0)) for entry in trainings)
    facts = {
        "regime": card.get("regime"),
        "kept": card.get("chosen"),
        "ensemble": listed(card.get("ensemble") or []),
        "guard": card.get("verdict", {}).get("sentence"),
        "named path": _path_words(card.get("named path") or {}),
        "rule of choice": card.get("rule"),
        "survey and photometry": card.get("survey") and f"{card['survey']}, {listed(card.get('photometries', []))}",
        "features": features and f"{features['count']}, recipe {str(features['hash'])[:12]}",
        "optional bands of imaging": listed(features.get("optional") or []),
        "rows": "; ".join(f"{words} {rows[name]['rows']:,}" for name, words in _ROWS.items() if name in rows),
        "labels used": "; ".join(f"{n:,} {words}" for words, n in (card.get("label_budget") or {}).items()),
        "calibration": _calibration(card.get("calibration") or {}),
        "decision": _decision(card.get("decision") or {}),
        **_domain_facts(card.get("domain") or {}),
        "training": trainings and f"{count(len(trainings), 'stage')}, {seconds:,.0f} s",
        "notes": " ".join(card.get("notes") or []),
        "seed": "" if seed is None else str(seed),
        "made": f"{made.get('made', DASH)}, {made.get('software', '')} {made.get('version', '')}" if made else "",
    }
    return [(name, words) for name, words in facts.items() if words]


def _path_words(path: Mapping[str, Any]) -> str:
    if not path:
        return ""
    weights, shares = path.get("weights"), path.get("share of |SHAP|") or {}
    words = [*(one[:1].upper() + one[1:] for one in path["sentences"])]
    if weights is None:
        return " ".join(words)
    words.append(
        f"Temper {weights['gamma']:g}: an effective {100 * weights['effective_share']:.0f} % of the mocks "
        f"({weights['effective_rows']:,.0f} rows)."
    )
    words += [
        f"{one['rounds on mocks']} rounds on mocks, {one['rounds on sky']} on the sky." for one in path["continued"]
    ]
    if shares:
        few = sum(shares.get(group, 0.0) for group in ("colour", "ratio"))
        words.append(
            f"{len(path['colours'])} colours and {len(path['ratios'])} band ratios hold {100 * few:.0f} % of |SHAP| "
            "between the two classes of quasars."
        )
    return " ".join(words)


def _calibration(one: Mapping[str, Any]) -> str:
    before, after = one.get("log_loss_uncalibrated"), one.get("log_loss")
    words = f"{one.get('method', DASH)}, fitted on {count(one.get('rows', 0), 'row')}" if one else ""
    if before is None or after is None:
        return words
    return f"{words}; cross-fitted log loss {number(after, 4)}, uncalibrated {number(before, 4)}"


def _decision(one: Mapping[str, Any]) -> str:
    if not one:
        return ""
    largest = one.get("rule") == "argmax"
    words = "largest probability" if largest else "largest product of probability and class factor"
    if one.get("factors") and not largest:
        words += f" (factors {', '.join(number(f, 2) for f in one['factors'])})"
    if one.get("gain") is None:
        return words
    gain = f"{number(one['gain'], sign=True)} {span(one.get('interval'), sign=True)}"
    return f"{words}; thresholds change macro-F1 on validation by {gain}"


def _domain_facts(domain: Mapping[str, Any]) -> dict[str, str]:
    """Return how far mocks are from the sky, by group of features, and what weights do about it."""
    facts = {}
    if domain.get("auc") is not None:
        shares = [f"{100 * share:.0f} % at γ = {gamma}" for gamma, share in domain.get("effective_share", {}).items()]
        left = f"; effective share of the mocks left by importance weights: {', '.join(shares)}" if shares else ""
        auc = number(domain["auc"])
        facts["mocks against sky"] = f"a classifier tells them apart with an area under the ROC of {auc}{left}"
    if steps := domain.get("steps"):
        told = ", then ".join(f"{number(auc)} {name}" for name, auc in steps.items())
        facts["mocks against sky by step"] = f"the same of a small classifier on a sample: {told}"
    if groups := domain.get("groups"):
        ranked = sorted(groups.items(), key=lambda pair: -pair[1]["auc"])
        each = [f"{name} {number(one['auc'])} ({count(one['features'], 'feature')})" for name, one in ranked]
        facts["groups of features alone"] = (
            f"area under the ROC between mocks and sky of a small classifier that sees no other: {', '.join(each)}"
        )
    weights = []
    for gamma, one in (domain.get("weights") or {}).items():
        spread = ", ".join(f"{100 * float(q):g} % {number(value, 2)}" for q, value in one["quantiles"].items())
        weights.append(
            f"γ = {gamma}: quantiles {spread}, largest {number(one['largest'], 2)} in units of the mean; "
            f"{100 * one['clipped']:.1f} % clipped; effective sample of {one['effective_rows']:,.0f} mocks, "
            f"{100 * one['effective_share']:.0f} %{'' if one['used'] else ', given up'}"
        )
    return facts | {"importance weights": "; ".join(weights)}


def candidates_table(card: ModelCard) -> Table | None:
    """Return the candidates and baselines of a model card.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    Table or None
    """
    rows = [
        (
            Cell(one["candidate"], kind),
            *(Cell.of(one[name], one.get("intervals", {}).get(name), 4) for name in ("log_loss", "macro_f1")),
        )
        for part, kind in ((card.get("candidates", ()), ""), (card.get("baselines", ()), "baseline"))
        for one in part
    ]
    cut = ((card.get("provenance") or {}).get("options") or {}).get("cut")
    rows_words = (
        f", rows {cut_words(cut, magnitude_name(card.get('provenance')))}" if isinstance(cut, int | float) else ""
    )
    caption = f"Ways to use mocks and labels, scored on target validation{rows_words}."
    if any("intervals" in one for one in card.get("candidates", ())):
        caption += " In brackets, 95 % bootstrap intervals over objects."
    return Table.of(caption, ("way", "log loss", "macro-F1"), rows) if rows else None


def strata_table(card: ModelCard) -> Table | None:
    """Return the figures of each stratum of target validation, where the model's card tells them.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    Table or None
    """
    found = (card.get("domain") or {}).get("coverage")
    if not found or "log_loss" not in found:
        return None
    classes, rows = list(found["classes"]), []
    for one in [*found["strata"], found]:
        ends = one.get("p_sky")
        scores = [Cell.of(one["log_loss"], one["interval"])]
        scores += [Cell.of(one[name], one.get("intervals", {}).get(name)) for name in ("accuracy", "macro_f1")]
        head = "all" if ends is None else f"{number(ends[0], 2)} to {number(ends[1], 2)}"
        rows.append((head, one["n"], one["mocks"], *(one["classes"][name] for name in classes), *scores))
    return Table.of(
        "Target validation in strata by P(sky), what a classifier between mocks and sky says: from sources like the "
        "mocks to sources unlike them, with the mocks that train in the same range (those with imaging, if others were "
        "made to forget it). A class of which mocks hold more than the sky is like the mocks for that alone. Macro-F1 "
        "is over the classes that a stratum holds; in brackets, 95 % bootstrap intervals over objects.",
        ("P(sky)", "sky", "mocks", *classes, "log loss", "accuracy", "macro-F1"),
        rows,
    )


def features_table(card: ModelCard) -> Table | None:
    """Return the features that tell mocks from sky best; strong, those that tell domains and not classes.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    Table or None
    """
    found = (card.get("domain") or {}).get("features")
    if not found or not found.get("top"):
        return None
    only = [one["feature"] for one in found["domain_only"]]
    rows = []
    for name, one in {one["feature"]: one for one in [*found["top"], *found["domain_only"][:_MOST]]}.items():
        strong = name in only
        head = Cell(name, f"{one['group']}; domains, not classes" if strong else one["group"], strong)
        rows.append((head, Cell.of(one["domain"]), Cell.of(one["classes"])))
    words = f"{count(len(only), 'feature')} of all {'does' if len(only) == 1 else 'do'} so" if only else "None does so"
    return Table.of(
        "Areas under the ROC of single features: between mocks and sky, and the largest between one class and the "
        f"rest (labels of the {found['labels']}, training split). A feature tells domains apart and not classes where "
        f"the first is at least 0.55 and above the second. {words}.",
        ("feature", "mocks and sky", "classes"),
        rows,
    )
