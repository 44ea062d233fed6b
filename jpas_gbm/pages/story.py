"""The story: what was found, in plain words, and what is doubtful about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..text import count, listed, number, sample_words, seeds_words, sentence, span, split_words, sure, with_span
from .page_tables import best_regime
from .sections import result_kinds

if TYPE_CHECKING:
    from ..comparison.comparison import Comparison
    from .results import Results, Subject


_FEW = 100
_MANY = 0.1


def found_sentences(results: Results) -> list[str]:
    """Return what was found, a sentence or two for each result."""
    told: list[str] = []
    for subject in results.subjects:
        told += comparison_told(subject.comparison) if subject.comparison is not None else evaluation_told(subject)
    return told + [words for kind in result_kinds() for one in results.all(kind.type) for words in kind.sentences(one)]


def comparison_told(comparison: Comparison) -> list[str]:
    """Return which regime did best, and how sure that is."""
    best, first = best_regime(comparison), comparison.classes[0]
    loss, macro, rare = (comparison.figure(best, n) for n in ("log_loss", "macro.f1", f"per_class.{first}.f1"))
    sample = sample_words(comparison.n_test, comparison.cut, comparison.about)
    told = [
        f"On {sample}, of which {comparison.counts[first]:,} are {first}, {best} has the lowest log loss, "
        f"{with_span(loss.mean, loss.interval)}. Its macro-F1 is {with_span(macro.mean, macro.interval)} "
        f"and its F1 of {first} {with_span(rare.mean, rare.interval)}."
    ]
    others = [regime for regime in comparison.regimes if regime != best]
    if not others:
        return told
    for name, words, sign in (("log_loss", "log loss", -1), (f"per_class.{first}.f1", f"F1 of {first}", 1)):
        gaps = {other: comparison.difference(best, other, name) for other in others}
        ahead = [
            f"{other} ({number(gap.difference, sign=True)} {span(gap.interval, sign=True)})"
            for other, gap in gaps.items()
            if gap.better(sign)
        ]
        behind = [o for o, gap in gaps.items() if gap.better(-sign)]
        open_ = [o for o, gap in gaps.items() if not sure(gap.interval)]
        parts = [f"it is better than {listed(ahead)}"] if ahead else []
        parts += [f"it is worse than {listed(behind)}"] if behind else []
        parts += [f"from {listed(open_)} it cannot be told apart: the paired interval holds zero"] if open_ else []
        told.append(f"In {words}, {'; '.join(parts)}.")
    return told + _verdicts(comparison)


def _verdicts(comparison: Comparison) -> list[str]:
    verdicts: Mapping[str, Any] = comparison.about.get("verdicts", {})
    with_guard = {run: one["verdict"] for run, one in verdicts.items() if "verdict" in one}
    if not with_guard:
        return []
    kept = [run for run, verdict in with_guard.items() if verdict["adapted"]]
    refused = [run for run in with_guard if run not in kept]
    told = []
    if kept:
        told.append(f"the guard against negative transfer kept the adapted model in {listed(kept)}")
    if refused:
        told.append(f"it kept a plain baseline in {listed(refused)}" if kept else _refused(refused))
    return [f"On validation, {'; '.join(told)}."]


def _refused(runs: Sequence[str]) -> str:
    return (
        "adaptation did not help beyond doubt, and the guard against negative transfer kept a plain baseline in "
        f"{listed(runs)}"
    )


def evaluation_told(subject: Subject) -> list[str]:
    """Return how good one model is."""
    one = subject.main
    first = one.classes[0]
    sample = sample_words(one.n_test, one.cut, one.about)

    def told(name: str) -> str:
        return with_span(one[name], one.intervals.get(name))

    rare = one.figures.counts[first]
    return [
        f"On {sample}, of which {rare:,} are {first}, {subject.run} has a log loss of {told('log_loss')}, a "
        f"macro-F1 of {told('macro.f1')} and an F1 of {first} of {told(f'per_class.{first}.f1')}."
    ]


def doubts(results: Results) -> list[str]:
    """Return what a reader should doubt, most serious first."""
    told: list[str] = []
    if simulated(results):
        told.append(
            "The data are simulated. Scores tell how the program works on this simulation; they are no forecast for "
            "real J-PAS sources, and must not be held against scores measured on other data."
        )
    for subject in results.subjects:
        told += _subject_doubts(subject)
    if results.subjects:
        told.append(
            "Purity, precision and F1 hold for the class mix of the labelled sources. The unlabelled sky may have "
            "another mix, and sources that no spectrograph targeted."
        )
    told += [doubt for kind in result_kinds() for one in results.all(kind.type) for doubt in kind.doubts(one)]
    told += [f"{warning}" for warning in results.data.warnings]
    return list(dict.fromkeys(told))


def simulated(results: Results) -> bool:
    """Return whether the data say that they are simulated."""
    records: list[Mapping[str, Any]] = [results.data.provenance]
    for subject in results.subjects:
        records.append(subject.about.get("provenance", {}).get("data", {}))
    records += [card.get("provenance", {}).get("data", {}) for card in results.cards.values()]
    if any(bool(record.get("simulated")) for record in records):
        return True
    return any(kind.simulated(one) for kind in result_kinds() for one in results.all(kind.type))


def _subject_doubts(subject: Subject) -> list[str]:
    one, comparison = subject.main, subject.comparison
    first = one.classes[0]
    told = []
    n = one.figures.counts[first]
    if n < _FEW:
        told.append(
            f"Only {count(n, f'{first} is', f'{first} are')} among the scored rows: one more or fewer moves its F1 by "
            f"about {number(1 / max(n, 1), 2)}."
        )
    if comparison is not None:
        seeds = comparison.rows[0].seeds
        if len(seeds) < 3:
            told.append(
                f"The regimes were trained with {seeds_words(seeds)}: the scatter between trainings is "
                f"{'not known' if len(seeds) < 2 else 'poorly known'}. Intervals are over the scored objects alone."
            )
    if (split := subject.about.get("split", "test")) != "test":
        told.append(
            f"Scores are of the {split_words(split)} split, which choices and calibration have seen: they flatter "
            "every model. The test split was not used."
        )
    left = subject.about.get("left_out", 0)
    if left > _MANY * (left + one.n_test):
        told.append(f"{count(left, 'row')} fainter than the cut are not scored: the models are worse there.")
    told += [sentence(note) for note in one.figures.notes]
    return told
