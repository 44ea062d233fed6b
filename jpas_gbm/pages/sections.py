"""The section of the page on tuning studies.

Section: a part of the page, made of blocks.

The section of the page on candidate lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..text import DASH, count, listed, number, sentence, span, sure, with_span
from .figures.lists import bin_words, limits_words, list_plates
from .figures.tuning import judged_words, study_plates, value_words
from .saved import CandidateList, ClassMix, Interval, Part, within
from .study_saved import TuningStudy
from .tables import Cell, Table


@dataclass(frozen=True)
class Block:
    """A piece of a section.

    Parameters
    ----------
    kind : {"text", "list", "facts", "table", "plate", "lines", "heading"}
    content : object
        A sentence, sentences, pairs, a :class:`Table`, a :class:`Plate`, lines, or a heading.
    title : str
        Of facts and lines.
    """

    kind: str
    content: Any
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Parameters
    ----------
    key : str
        Its anchor.
    title : str
    blocks : tuple of Block
    """

    key: str
    title: str
    blocks: tuple[Block, ...]


_RATHER = 1e-9


def targets_section(lists: Sequence[CandidateList]) -> Section | None:
    """Return what the lists promise, or nothing where none was given."""
    blocks: list[Block] = []
    for i, found in enumerate(lists):
        blocks.append(Block("facts", list_facts(found), f"Candidate list: {found.name}"))
        tables = [parts_table(found), mix_table(found)]
        blocks += [Block("table", table) for table in tables if table]
        blocks += [Block("plate", plate) for plate in list_plates(found, f"targets{i or ''}-")]
        blocks += [Block("list", [sentence(note) for note in found.notes])] if found.notes else []
    return Section("targets", "Whom to observe", tuple(blocks)) if blocks else None


def list_facts(found: CandidateList) -> list[tuple[str, str]]:
    """Return a list as pairs of name and words."""
    density = "" if found.per_deg2 is None else f", {number(found.per_deg2, 1)} of them true per square degree"
    facts = [
        ("rule", found.rule),
        ("promise", found.promise),
        ("list", f"{count(found.rows, 'candidate')} {limits_words(found)}{density}"),
        ("footprint", "" if found.area is None else f"{found.area:,.4g} square degrees"),
        ("class mix", trust_words(found)),
        ("labels that calibrate", ", ".join(f"{n:,} {name}" for name, n in found.labels.items())),
        ("conformal sets", _sets(found)),
        ("model", _model(found)),
    ]
    return [(name, words) for name, words in facts if words]


def trust_words(found: CandidateList) -> str:
    """Return where the class mix of the field is from, and whether it is to be trusted."""
    if found.mix is None:
        return ""
    if not found.mix.estimated:
        return "given, not estimated"
    trust = found.trust
    if trust is None:
        return found.mix.source
    if not trust.trusted:
        return f"estimated by EM, and not to be trusted: {' '.join(trust.reasons)}"
    tests = [
        f"{of} ({100 * gap:.1f} % of the rows elsewhere, chance {chance:.2g})"
        for of, (gap, chance) in trust.tests.items()
        if gap is not None and chance is not None
    ]
    seen = f": labelled rows weighted to it look like the field in {listed(tests)}" if tests else ""
    return f"estimated by EM, and to be trusted{seen}"


def _sets(found: CandidateList) -> str:
    if found.coverage is None:
        return ""
    share = f"{100 * found.coverage:g} %"
    return f"of a class’s members, {share} have it in their set, if they look alike among labels and field"


def _model(found: CandidateList) -> str:
    model = found.record.get("model") or {}
    told = [str(model[name]) for name in ("regime", "chosen") if model.get(name)]
    seed = model.get("seed")
    return ", ".join([*told, *([] if seed is None else [f"training seed {seed}"])])


def parts_table(found: CandidateList) -> Table | None:
    """Return size, yield, purity, completeness and threshold of each magnitude bin."""
    if not found.parts:
        return None
    naive = any(part.naive is not None for part in found.parts)
    rows = [_part_row(part, naive) for part in found.parts]
    wanted = found.wanted("purity")
    told = ""
    if naive:
        asked = "the purity asked for" if wanted is None else f"{wanted:g}"
        told = (
            f" The naive list is the longest whose mean probability reaches {asked}: it takes no account of how well "
            "labels, field and chance are known."
        )
    header = ["", "candidates", f"true {found.target}", "purity", "completeness", "least P", "of field rows"]
    return Table(
        "What the list holds, expected from probabilities corrected to the class mix of the field; in brackets, 95 % "
        f"intervals over labels, field and chance.{told}",
        tuple(header + (["naive list"] if naive else [])),
        tuple(rows),
    )


def _part_row(part: Part, naive: bool) -> tuple[Cell, ...]:
    cells = [
        Cell(bin_words(part.magnitudes)),
        Cell(f"{part.size:,}"),
        Cell(f"{part.expected:,.0f}", span(part.expected_interval, 0)),
        _cell(part.purity, part.purity_interval),
        _cell(part.completeness, part.completeness_interval),
        Cell(number(part.threshold)),
        Cell(f"{part.field_rows:,}"),
    ]
    return (*cells, *([Cell(DASH if part.naive is None else f"{part.naive:,}")] if naive else []))


def _cell(value: float | None, interval: Interval | None, digits: int = 3) -> Cell:
    return Cell(number(value, digits), span(interval, digits))


def mix_table(found: CandidateList) -> Table | None:
    """Return the class shares of labels and field; strong, those of the field that differ beyond doubt."""
    mix = found.mix
    if mix is None or not found.classes:
        return None
    rows = [_mix_row(found, mix, b, c) for b in range(len(mix.bins)) for c in range(len(found.classes))]
    doubt = "; in brackets, 95 % bootstrap intervals over labels and field. Strong: the labels’ share lies outside"
    return Table(
        f"Class mix of the held-out labels and of the field, {'by EM' if mix.estimated else 'as given'}"
        f"{doubt if mix.estimated else ''}.",
        ("class", "labels", "field", "ratio"),
        tuple(rows),
    )


def _mix_row(found: CandidateList, mix: ClassMix, b: int, c: int) -> tuple[Cell, ...]:
    old, new = float(mix.labelled[b, c]), float(mix.field.value[b, c])
    low, high = float(mix.field.low[b, c]), float(mix.field.high[b, c])
    interval = (low, high) if mix.estimated and low == low and high == high else None
    outside = interval is not None and not low - _RATHER <= old <= high + _RATHER
    return (
        Cell(found.classes[c], bin_words(mix.bins[b]) if len(mix.bins) > 1 else ""),
        Cell(number(old, 4)),
        Cell(number(new, 4), span(interval, 4), outside),
        Cell(number(new / old, 2) if old > 0 else DASH),
    )


HONEST = (
    "The best was chosen by the rows that score it, and its scores flatter for that, over fresh seeds too. Rows that "
    "no study saw give the only unbiased score: fit best.yaml, and evaluate the model on the test split."
)
_ENDS = {
    "finished": "all that were asked for",
    "exhausted": "every combination of the space was tried",
    "timeout": "the time allowed was up",
    "interrupted": "interrupted: --resume goes on",
}


def tuning_section(studies: Sequence[TuningStudy]) -> Section | None:
    """Return what the studies found, or nothing where none was given."""
    blocks: list[Block] = []
    for i, study in enumerate(studies):
        head = "What the study found" + (f": {study.name}" if len(studies) > 1 else "")
        blocks += [Block("facts", study_facts(study), head), Block("text", HONEST)]
        blocks += [Block("plate", plate) for plate in study_plates(study, f"tuning{i or ''}-")]
        table = values_table(study)
        blocks += [Block("table", table)] if table else []
        blocks += [Block("list", [sentence(note) for note in study.notes])] if study.notes else []
    return Section("tuning", "Tuning: better options, and how much better", tuple(blocks)) if blocks else None


def study_facts(study: TuningStudy) -> list[tuple[str, str]]:
    """Return a study as pairs of name and words, what is not known said to be so."""
    facts = [
        ("best score", _best(study)),
        ("the same options, fresh seeds", _fresh(study)),
        ("finalists", _finalists(study)),
        ("against the untuned fit", _untuned(study)),
        ("rows that judged", judged_words(study)),
        ("labels used", "; ".join(f"{n:,} {use}" for use, n in study.budget.items())),
        ("trials", _trials(study)),
        ("seed", "" if study.seed is None else str(study.seed)),
    ]
    return [(name, words) for name, words in facts if words]


def _best(study: TuningStudy) -> str:
    best = study.best
    others = [
        f"{name.replace('_', ' ').replace('macro f1', 'macro-F1')} {number(value, 4)}"
        for name, value in best.figures.items()
        if not (name == "log_loss" and study.loss == "log loss")
    ]
    kept = f" ({best.candidate})" if best.candidate else ""
    beside = f"; {', '.join(others)}" if others else ""
    return f"trial {best.trial}{kept}, {study.chosen}: {study.loss} {with_span(best.loss, best.interval, 4)}{beside}"


def _fresh(study: TuningStudy) -> str:
    fresh = study.fresh
    if fresh is None:
        return "not measured, so the luck of the seed in the best score is not known"
    each = ", ".join(number(loss, 4) for loss in fresh.losses)
    seeds = f" {listed([str(seed) for seed in fresh.seeds])}" if fresh.seeds else ""
    many = "seed" if len(fresh.losses) == 1 else "mean over seeds"
    return (
        f"{study.loss} {number(fresh.mean, 4)}, {many}{seeds} ({each}), on the same rows: optimism of the seed "
        f"{number(fresh.optimism, 4, sign=True)}"
    )


def _finalists(study: TuningStudy) -> str:
    """Return what each trial that met fresh seeds had, and had over these."""
    if study.fresh is None or len(study.fresh.finalists) < 2:
        return ""
    told = [f"trial {o.trial}, {number(o.loss, 4)} and {number(o.mean, 4)}" for o in study.fresh.finalists]
    return f"{study.loss} with the study’s seed and over fresh seeds: {'; '.join(told)}"


def _untuned(study: TuningStudy) -> str:
    one = study.default
    if one is None:
        return "not measured"
    kept = f" ({one.candidate})" if one.candidate else ""
    verdict = ""
    if one.interval is not None and not sure(one.interval):
        verdict = ": the interval holds zero"
    return (
        f"{study.loss} of the untuned fit{kept} {number(one.loss, 4)}; best less untuned "
        f"{number(one.difference, 4, sign=True)} {span(one.interval, 4, sign=True)}{verdict}"
    ).strip()


def _trials(study: TuningStudy) -> str:
    kinds = {"complete": "did all the work", "pruned": "given up early"}
    told = ", ".join(f"{n} {kinds.get(kind, kind)}" for kind, n in study.outcomes.items())
    spent = "" if study.seconds is None else f", {study.seconds:,.0f} s"
    ended = _ENDS.get(study.ended, study.ended)
    return f"{study.counted} of {study.asked}{f' ({told})' if told else ''}{spent}; {ended}"


def values_table(study: TuningStudy) -> Table | None:
    """Return the best value of each option beside what the space allowed and the untuned fit had."""
    if not study.space or not study.best.values:
        return None
    untuned = within(study.record, "about", "fit") or {}
    names = [name for name in study.ranked if name in study.space and name in study.best.values]
    rows = []
    for name in names:
        value, entry = study.best.values[name], study.space[name]
        cells = [Cell(name), Cell(value_words(value), _edge(value, entry)), Cell(_allowed(entry))]
        cells += [Cell(_untuned_value(untuned, name))] if untuned else []
        share = study.importances.get(name)
        cells += [Cell(DASH if share is None else f"{100 * share:.1f} %")] if study.importances else []
        rows.append(tuple(cells))
    header = ["option", "best", "the space allowed"]
    header += ["untuned fit"] if untuned else []
    header += ["importance"] if study.importances else []
    order = ", options by falling importance" if study.importances else ""
    return Table(
        f"Values of trial {study.best.trial}, the best, with what the space allowed{order}. A best "
        "value at the end of its range says that the range may be too short. The untuned fit may have several "
        f"values, to choose among on validation. {sentence(count(len(names), 'option'))} varied.",
        tuple(header),
        tuple(rows),
        words=True,
    )


def _allowed(entry: Mapping[str, Any]) -> str:
    if entry.get("choices"):
        return " or ".join(value_words(choice) for choice in entry["choices"])
    if entry.get("low") is None or entry.get("high") is None:
        return DASH
    step = entry.get("step")
    more = ", logarithmic" if entry.get("log") else f", in steps of {step:g}" if step else ""
    return f"{entry['low']:g} to {entry['high']:g}{more}"


def _edge(value: Any, entry: Mapping[str, Any]) -> str:
    """Return whether a value stands at an end of its range."""
    low, high = entry.get("low"), entry.get("high")
    if low is None or high is None or isinstance(value, bool | str) or not isinstance(value, int | float):
        return ""
    if entry.get("log") and low > 0 < value:
        near = max(value / low, low / value), max(value / high, high / value)
        close = [ratio < (high / low) ** 0.02 for ratio in near]
    else:
        close = [abs(value - end) < 0.02 * (high - low) for end in (low, high)]
    return "at the lower end" if close[0] else "at the upper end" if close[1] else ""


def _untuned_value(fit: Mapping[str, Any], name: str) -> str:
    value = within(fit, *name.split("."))
    if isinstance(value, list):
        return ", ".join(map(value_words, value)) or DASH
    return DASH if value is None else value_words(value)
