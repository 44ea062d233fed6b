"""The story: what was found, in plain words, and what is doubtful about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..text import count, listed, number, sample_words, seeds_words, sentence, span, split_words, sure, with_span

if TYPE_CHECKING:
    from ..comparison.budgets import BudgetCurve
    from ..comparison.comparison import Comparison
    from ..explanation.explanation import Explanation
    from .results import Results, Subject
    from .saved import CandidateList
    from .study_saved import TuningStudy


_FEW = 100
_MANY = 0.1


def found_sentences(results: Results) -> list[str]:
    """Return what was found, a sentence or two for each result."""
    told: list[str] = []
    for subject in results.subjects:
        told += comparison_told(subject.comparison) if subject.comparison is not None else evaluation_told(subject)
    for explanation in results.explanations:
        told += explanation_told(explanation)
    for curve in results.budgets:
        told += budgets_told(curve)
    told += [study_told(study) for study in results.studies]
    return told + [list_told(found) for found in results.lists]


def best_regime(comparison: Comparison) -> str:
    """Return the regime of lowest log loss: the figure by which choices are made."""

    def loss(regime: str) -> float:
        mean = comparison.figure(regime, "log_loss")["mean"]
        return float("inf") if mean is None else mean

    return min(comparison.regimes, key=loss)


def comparison_told(comparison: Comparison) -> list[str]:
    """Return which regime did best, and how sure that is."""
    best, first = best_regime(comparison), comparison.classes[0]
    loss, macro, rare = (comparison.figure(best, n) for n in ("log_loss", "macro.f1", f"per_class.{first}.f1"))
    sample = sample_words(comparison.n_test, comparison.cut, comparison.about)
    told = [
        f"On {sample}, of which {comparison.counts[first]:,} are {first}, {best} has the lowest log loss, "
        f"{with_span(loss['mean'], loss['interval'])}. Its macro-F1 is {with_span(macro['mean'], macro['interval'])} "
        f"and its F1 of {first} {with_span(rare['mean'], rare['interval'])}."
    ]
    others = [regime for regime in comparison.regimes if regime != best]
    if not others:
        return told
    for name, words, sign in (("log_loss", "log loss", -1), (f"per_class.{first}.f1", f"F1 of {first}", 1)):
        gaps = {other: comparison.difference(best, other, name) for other in others}
        ahead = [
            f"{other} ({number(gap['difference'], sign=True)} {span(gap['interval'], sign=True)})"
            for other, gap in gaps.items()
            if sure(gap["interval"]) and sign * gap["difference"] > 0
        ]
        behind = [o for o, gap in gaps.items() if sure(gap["interval"]) and sign * gap["difference"] < 0]
        open_ = [o for o, gap in gaps.items() if not sure(gap["interval"])]
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
    first = one["classes"][0]
    sample = sample_words(one.n_test, one.cut, one.about)

    def told(name: str) -> str:
        return with_span(one[name], one.intervals.get(name))

    rare = one["per_class"][first]
    return [
        f"On {sample}, of which {rare['n']:,} are {first}, {subject.run} has a log loss of {told('log_loss')}, a "
        f"macro-F1 of {told('macro.f1')} and an F1 of {first} of {told(f'per_class.{first}.f1')}."
    ]


def explanation_told(explanation: Explanation) -> list[str]:
    """Return which bands decide, and whether that is physics."""
    first, second = explanation.pair
    if explanation.head.get("objects"):
        return []
    told = []
    blocks = [b for b in explanation["blocks"] if b["mean_abs"] is not None]
    if blocks:
        top = max(blocks, key=lambda block: block["mean_abs"])
        told.append(
            f"What separates {first} from {second} most is the block of bands {top['name']} ({top['low']:.0f} to "
            f"{top['high']:.0f} Å)."
        )
    physics = explanation.head.get("physics")
    if physics:
        low, high = physics["z_range"]
        ahead = sure(physics["difference_interval"]) and physics["difference"] > 0
        names = {line["name"]: line["label"] for line in explanation["lines"]}
        labels = [names.get(name, name) for name in physics["lines"]]
        verdict = "more than chance explains" if ahead else "no more than chance explains"
        told.append(
            f"For {with_span(physics['score'], physics['interval'], 2)} of the {physics['n']:,} {first} with {low:g} "
            f"< z < {high:g}, the strongest block of bands holds {listed(labels, 'or')}; shuffled blocks would give "
            f"{number(physics['shuffled'], 2)}. That is {verdict}."
        )
    return told


def budgets_told(curve: BudgetCurve) -> list[str]:
    """Return how many labels adaptation saves."""
    if not curve.points:
        return []
    last = curve.points[-1]["regime"]
    needed: dict[str, list[str]] = {}
    for one in curve.savings:
        if one["figure"] != "macro.f1" or one["regime"] != last or one["against"] != "target-only":
            continue
        words = {"more": "more labels than were tried", "fewer": "fewer labels than the smallest number tried"}
        needs = words[one["bound"]] if one["bound"] else f"about {one['equals']:,.0f} labels"
        needed.setdefault(f"{one['against']} needs {needs}", []).append(f"{one['budget']:,}")
    told = [f"with {listed(sizes)} labels, {words}" for words, sizes in needed.items()]
    return [f"For the macro-F1 that {last} has {'; '.join(told)}."] if told else []


def study_told(study: TuningStudy) -> str:
    """Return what tuning gave, with all that tempers it."""
    best, fresh, default = study.best, study.fresh, study.default
    told = [
        f"Tuning ({study.name}, {count(study.counted, 'trial')} of {study.regime}): best validation {study.loss} "
        f"{with_span(best.loss, best.interval, 4)}, trial {best.trial}, on {count(study.rows, 'row')} that chose it"
    ]
    if fresh is not None:
        told.append(
            f"{number(fresh.mean, 4)} over {count(len(fresh.losses), 'fresh seed')}, an optimism of "
            f"{number(fresh.optimism, 4, sign=True)}"
        )
    if default is not None:
        gap = with_span(default.difference, default.interval, 4, sign=True)
        told.append(f"against the untuned fit {gap}{'' if sure(default.interval) else ', which is not beyond doubt'}")
    return f"{'; '.join(told)}."


def list_told(found: CandidateList) -> str:
    """Return what a candidate list holds."""
    one = found.parts[0] if len(found.parts) == 1 else None
    within = "" if one is None else f" {span(one.expected_interval, 0)}"
    where = "" if one is not None else f" in {count(len(found.parts), 'magnitude bin')}"
    purity = "" if one is None else f", purity {with_span(one.purity, one.purity_interval)}"
    reach = "" if one is None else f", completeness {with_span(one.completeness, one.completeness_interval)}"
    density = "" if found.per_deg2 is None else f"; {number(found.per_deg2, 1)} true per square degree"
    return (
        f"By the rule “{found.rule}”, the candidate list “{found.name}” has {count(found.rows, 'candidate')}{where}, "
        f"{found.expected:,.0f}{within} of them expected to be true{purity}{reach}{density}."
    )


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
    for explanation in results.explanations:
        if not explanation["stability"]["defined"]:
            told.append("Attributions are of one fit: whether another would name the same bands was not measured.")
        told += [sentence(note) for note in explanation.notes]
    for study in results.studies:
        if study.fresh is None:
            told.append(
                f"The best of tuning study {study.name} was not trained with fresh seeds: how much of its score is "
                "luck is not known."
            )
    for found in results.lists:
        if found.trust is not None and not found.trust.trusted:
            reasons = " ".join(found.trust.reasons)
            told.append(f"The class mix of candidate list {found.name}, found by EM, is not to be trusted: {reasons}")
    told += [f"{warning}" for warning in results.data.get("warnings", [])]
    return list(dict.fromkeys(told))


def simulated(results: Results) -> bool:
    """Return whether the data say that they are simulated."""
    records: list[Mapping[str, Any]] = [results.data.get("provenance", {})]
    for subject in results.subjects:
        about = subject.comparison.about if subject.comparison is not None else subject.main.about
        records.append(about.get("provenance", {}).get("data", {}))
    records += [card.get("provenance", {}).get("data", {}) for card in results.cards.values()]
    records += [study.record.get("data", {}) for study in results.studies]
    records += [found.record.get("model", {}) for found in results.lists]
    return any(bool(record.get("simulated")) for record in records)


def _subject_doubts(subject: Subject) -> list[str]:
    one, comparison = subject.main, subject.comparison
    first = one["classes"][0]
    told = []
    n = one["per_class"][first]["n"]
    if n < _FEW:
        told.append(
            f"Only {count(n, f'{first} is', f'{first} are')} among the scored rows: one more or fewer moves its F1 by "
            f"about {number(1 / max(n, 1), 2)}."
        )
    if comparison is not None:
        seeds = comparison.rows[0]["seeds"]
        if len(seeds) < 3:
            told.append(
                f"The regimes were trained with {seeds_words(seeds)}: the scatter between trainings is "
                f"{'not known' if len(seeds) < 2 else 'poorly known'}. Intervals are over the scored objects alone."
            )
    if one.about.get("split", "test") != "test" or (comparison and comparison.about.get("split", "test") != "test"):
        split = split_words((comparison.about if comparison else one.about)["split"])
        told.append(
            f"Scores are of the {split} split, which choices and calibration have seen: they flatter every model. The "
            "test split was not used."
        )
    left = (comparison.about if comparison else one.about).get("left_out", 0)
    if left > _MANY * (left + one.n_test):
        told.append(f"{count(left, 'row')} fainter than the cut are not scored: the models are worse there.")
    told += [sentence(note) for note in one.figures.get("notes", [])]
    return told
