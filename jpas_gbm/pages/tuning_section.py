"""The section of the page on tuning studies: what was found, and how much of it is luck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from ..options import Entry
from ..store import Provenance, magnitude_name
from ..text import DASH, count, cut_words, listed, number, sentence, span, sure, with_span
from ..tuning.result import COUNTED, FILE, Study
from .figures.plates import HALF, WIDE, Panel, Plate, keyed
from .figures.tuning import (
    Slice,
    front_figure,
    history_figure,
    importances_figure,
    loss_limits,
    slice_figure,
    value_words,
)
from .sections import Block, Cell, ResultKind, Table, blocks_of, register_kind

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


def _blocks(studies: Sequence[Study]) -> list[Block]:
    blocks: list[Block] = []
    for i, study in enumerate(studies):
        head = "What the study found" + (f": {study.name}" if len(studies) > 1 else "")
        blocks += [Block("facts", study_facts(study), head), Block("text", HONEST)]
        blocks += blocks_of("plate", study_plates(study, f"tuning{i or ''}-"))
        blocks += blocks_of("table", [values_table(study)])
        blocks += blocks_of("list", [[sentence(note) for note in study.notes]])
    return blocks


def study_facts(study: Study) -> list[tuple[str, str]]:
    """Return a study as pairs of name and words, what is not known said to be so.

    Parameters
    ----------
    study : Study
        The library's study.

    Returns
    -------
    list[tuple[str, str]]
    """
    facts = [
        ("best score", _best(study)),
        ("the same options, fresh seeds", _fresh(study)),
        ("finalists", _finalists(study)),
        ("against the untuned fit", _untuned(study)),
        ("rows that judged", judged_words(study)),
        ("labels used", "; ".join(f"{n:,} {use}" for use, n in study.label_budget.items())),
        ("trials", _trials(study)),
        ("seed", "" if study.seed is None else str(study.seed)),
    ]
    return [(name, words) for name, words in facts if words]


def _best(study: Study) -> str:
    best = study.best
    others = [
        f"{name.replace('_', ' ').replace('macro f1', 'macro-F1')} {number(value, 4)}"
        for name, value in best.figures.items()
        if not (name == "log_loss" and study.loss == "log loss")
    ]
    kept = f" ({best.candidate})" if best.candidate else ""
    beside = f"; {', '.join(others)}" if others else ""
    return f"trial {best.trial}{kept}, {study.chosen}: {study.loss} {with_span(best.loss, best.interval, 4)}{beside}"


def _fresh(study: Study) -> str:
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


def _finalists(study: Study) -> str:
    """Return what each trial that met fresh seeds had, and had over these."""
    if study.fresh is None or len(study.fresh.finalists) < 2:
        return ""
    told = [f"trial {o.trial}, {number(o.loss, 4)} and {number(o.mean, 4)}" for o in study.fresh.finalists]
    return f"{study.loss} with the study’s seed and over fresh seeds: {'; '.join(told)}"


def _untuned(study: Study) -> str:
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


def _trials(study: Study) -> str:
    kinds = {"complete": "did all the work", "pruned": "given up early"}
    told = ", ".join(f"{n} {kinds.get(kind, kind)}" for kind, n in study.counts.outcomes.items() if kind in COUNTED)
    told = f"{f' ({told})' if told else ''}{study.counts.others}"
    spent = "" if study.counts.seconds is None else f", {study.counts.seconds:,.0f} s"
    ended = _ENDS.get(study.counts.ended, study.counts.ended)
    return f"{study.counts.counted} of {study.counts.asked}{told}{spent}; {ended}"


def values_table(study: Study) -> Table | None:
    """Return the best value of each option beside what the space allowed and the untuned fit had.

    Parameters
    ----------
    study : Study
        The library's study.

    Returns
    -------
    Table or None
    """
    if not study.space or not study.best.values:
        return None
    untuned = study.untuned_value("regime") is not None
    names = [name for name in study.ranked if name in study.space and name in study.best.values]
    rows = []
    for name in names:
        value, entry = study.best.values[name], study.space[name]
        cells = [Cell(name), Cell(value_words(value), _edge(value, entry)), Cell(_allowed(entry))]
        cells += [Cell(_untuned_value(study.untuned_value(name)))] if untuned else []
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


def _allowed(entry: Entry) -> str:
    if entry.choices:
        return " or ".join(value_words(choice) for choice in entry.choices)
    if entry.low is None or entry.high is None:
        return DASH
    more = ", logarithmic" if entry.log else f", in steps of {entry.step:g}" if entry.step else ""
    return f"{entry.low:g} to {entry.high:g}{more}"


def _edge(value: Any, entry: Entry) -> str:
    """Return whether a value stands at an end of its range."""
    low, high = entry.low, entry.high
    if low is None or high is None or isinstance(value, bool | str) or not isinstance(value, int | float):
        return ""
    if entry.log and low > 0 < value:
        near = max(value / low, low / value), max(value / high, high / value)
        close = [ratio < (high / low) ** 0.02 for ratio in near]
    else:
        close = [abs(value - end) < 0.02 * (high - low) for end in (low, high)]
    return "at the lower end" if close[0] else "at the upper end" if close[1] else ""


def _untuned_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(value_words, value)) or DASH
    return DASH if value is None else value_words(value)


def study_told(study: Study) -> str:
    """Return what tuning gave, with all that tempers it.

    Parameters
    ----------
    study : Study
        The library's study.

    Returns
    -------
    str
    """
    best, fresh, default = study.best, study.fresh, study.default
    told = [
        f"Tuning ({study.name}, {study.counts.words} of {study.regime}): best validation "
        f"{study.loss} {with_span(best.loss, best.interval, 4)}, trial {best.trial}, "
        f"on {count(study.rows, 'row')} that chose it"
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


def _doubts(study: Study) -> list[str]:
    if study.fresh is not None:
        return []
    return [
        f"The best of tuning study {study.name} was not trained with fresh seeds: how much of its score is luck is "
        "not known."
    ]


def _record(study: Study, number: int) -> tuple[str, Provenance]:
    """Return a study's provenance without its space, which a table shows, and with the fit that it varies."""
    record = study.provenance
    options = {name: value for name, value in record.get("options", {}).items() if name != "space"}
    fit = record.get("about", {}).get("fit")
    rest = {name: value for name, value in record.items() if name != "about"}
    plain = rest | {"options": options} | ({"untuned fit": fit} if fit else {})
    return f"tuning study {study.name}", cast(Provenance, plain)


_MOST_SLICES = 6


_SLICE = (3.4, 2.9)


def study_plates(study: Study, prefix: str = "") -> list[Plate]:
    """Return the plates of a study; those without numbers are left out.

    Parameters
    ----------
    study : Study
        The library's study.
    prefix : str
        Of the plates' keys.

    Returns
    -------
    list of Plate
    """
    makers: tuple[Callable[[Study], Plate | None], ...] = (
        history_plate,
        front_plate,
        importances_plate,
        slices_plate,
    )
    return keyed((maker(study) for maker in makers), prefix)


def judged_words(study: Study) -> str:
    """Return which rows judged a study.

    Parameters
    ----------
    study : Study
        The library's study.

    Returns
    -------
    str
    """
    where = "training and validation splits, by folds" if study.by_folds else "validation split"
    cut = f", {cut_words(study.cut, magnitude_name(study.provenance))}" if study.provenance.get("about") else ""
    return f"{count(study.rows, 'sky source')} of the {where}{cut}"


def _made(study: Study) -> str:
    seed = "seed not recorded" if study.seed is None else f"seed {study.seed}"
    trials = f"{study.counts.words} of regime {study.regime}"
    return f"{trials}, {judged_words(study)}; study and trainings of {seed}"


def _first_words(study: Study) -> str:
    """Return how much work the first step is."""
    if not study.ladder.rungs or not study.stepped:
        return ""
    first = study.ladder.rungs[0]
    parts = []
    if first.mocks < 1:
        parts.append(f"{100 * first.mocks:g} % of the mocks")
    if first.coarseness > 1:
        parts.append(f"learning rates times {first.coarseness:g}")
    if first.recipe is not None:
        parts.append(f"recipe {first.recipe} alone")
    if study.by_folds:
        parts.append("one fold")
    return listed(parts)


def history_plate(study: Study) -> Plate | None:
    """Return every trial's loss in order.

    Parameters
    ----------
    study : Study
        The library's study.

    Returns
    -------
    Plate or None
    """
    if not study.history:
        return None
    steps = _first_words(study)
    latest = f"latest {study.ladder.among} " if study.ladder.among else ""
    climb = (
        ""
        if study.ladder.keep is None
        else f"; the best {100 * study.ladder.keep:g} % of the {latest}trials there go on"
    )
    hollow = f"Hollow marks: the first, cheap step ({steps}{climb}). " if steps else ""
    told = [f"{n} {'given up early' if kind == 'pruned' else kind}" for kind, n in study.counts.outcomes.items()]
    lines = []
    if study.default is not None:
        lines.append(f"dashed, the untuned fit, {number(study.default.loss, 4)}")
    if study.fresh is not None:
        lines.append(
            f"diamonds, trials over {count(len(study.fresh.losses), 'fresh seed')}, mean and range; dotted, that "
            f"of the one kept, {number(study.fresh.mean, 4)}"
        )
    across = f"{sentence('; '.join(lines))}. " if lines else ""
    score = with_span(study.best.loss, study.best.interval, 4)
    best = f"Star: the best, trial {study.best.trial} ({study.chosen}): {score}"
    return Plate(
        "history",
        "The trials, one by one",
        f"{sentence(study.loss)} of each trial. {hollow}Filled marks: all the work; the line is the best so far. "
        f"{across}{best}, in brackets the 95 % bootstrap interval over objects. Arrows on the upper edge, if any, "
        f"lie above it. {sentence(', '.join(told))}. {_made(study)}.",
        f"{sentence(study.loss)} against the number of the trial. {best}. {sentence('; '.join(lines) or 'no lines')}.",
        (Panel(history_figure, study, WIDE, (4.6, 4.0)),),
        1,
    )


def front_plate(study: Study) -> Plate | None:
    """Return the Pareto front, where two figures were made small.

    Parameters
    ----------
    study : Study
        The library's study.

    Returns
    -------
    Plate or None
    """
    if not study.front or len(study.losses) < 2:
        return None
    told = [
        f"trial {one.trial} {number(one.losses[0], 4)} and {number(one.losses[1], 4)}"
        for one in study.front
        if one.losses and len(one.losses) > 1
    ]
    return Plate(
        "front",
        "Two figures at once: the Pareto front",
        f"{sentence(study.loss)} against {study.losses[1]}: no trial is better in both than one on the line. "
        f"The best by {study.loss} is, {study.chosen}, trial {study.best.trial}. "
        f"Numbers are of trials, whose options are in front/trial-N.yaml. {_made(study)}.",
        f"Pareto front of {count(len(study.front), 'trial')}: {'; '.join(told)}.",
        (Panel(front_figure, study, HALF),),
        1,
    )


def importances_plate(study: Study) -> Plate | None:
    """Return what mattered.

    Parameters
    ----------
    study : Study
        The library's study.

    Returns
    -------
    Plate or None
    """
    if not study.importances:
        return None
    top = [f"{name} {100 * share:.0f} %" for name, share in list(study.importances.items())[:3]]
    scored = sum(one.first is not None for one in study.history)
    return Plate(
        "importances",
        "Which options mattered",
        f"Share of the variance of the {'first step’s ' if study.stepped else ''}{study.loss} that each option "
        f"explains, by functional ANOVA over {scored} trials, those given up included. Shares of few trials are rough, "
        f"and hold for the ranges of this space alone. {_made(study)}.",
        f"Bars by option; the largest are {listed(top)}.",
        (Panel(importances_figure, study, (4.8, max(1.6, 0.9 + 0.23 * min(len(study.importances), 16)))),),
        1,
    )


def slices_plate(study: Study) -> Plate | None:
    """Return losses against the values of the most important options.

    Parameters
    ----------
    study : Study
        The library's study.

    Returns
    -------
    Plate or None
    """
    options = [name for name in study.ranked if study.slices.get(name)][:_MOST_SLICES]
    if not options:
        return None
    limits = loss_limits([one.first for name in options for one in study.slices[name] if one.first is not None])
    panels = tuple(Panel(slice_figure, Slice(study, name, limits), _SLICE) for name in options)
    which = (
        f"The {len(options)} most important of {len(study.slices)} options"
        if study.importances
        else "Trials are too few to say which options matter"
    )
    shares = " (in brackets, its share of the variance)" if study.importances else ""
    best = [f"{name} {study.best.values[name]}" for name in options if name in study.best.values]
    return Plate(
        "slices",
        "Loss against the value of each option",
        f"{sentence(study.loss)} of {'the first step' if study.stepped else 'every trial'} against the value of one "
        f"option{shares}, whatever the others were. {which}. Circles: trials that did all the work; crosses: given up; "
        f"star: the best trial. Choices are spread sideways to part the marks. {_made(study)}.",
        f"{count(len(options), 'small panel')} of loss against value. The best trial has {listed(best)}.",
        panels,
        3,
    )


register_kind(
    ResultKind(
        order=30,
        type=Study,
        words="a tuning study ('jpas-gbm tune')",
        missing="No tuning study was given: 'jpas-gbm tune --trials N --out DIR' looks for better options.",
        section=("tuning", "Tuning: better options, and how much better"),
        blocks=_blocks,
        record=_record,
        file=FILE,
        load=Study.load,
        begun=(
            "study.json",
            "a tuning study of which no trial has done all its work. Go on with 'jpas-gbm tune --resume'.",
        ),
        sentences=lambda study: [study_told(study)],
        doubts=_doubts,
        simulated=lambda study: study.provenance.get("data", {}).get("simulated"),
    )
)
