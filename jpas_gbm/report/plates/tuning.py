"""Plates of a tuning study."""

from __future__ import annotations

from collections.abc import Callable

from ..figures.tuning import Slice, front_figure, history_figure, importances_figure, loss_limits, slice_figure
from ..study import TuningStudy
from ..words import count, cut_words, listed, number, sentence, with_span
from .plate import HALF, WIDE, Panel, Plate, keyed

_MOST_SLICES = 6
_SLICE = (3.4, 2.9)


def study_plates(study: TuningStudy, prefix: str = "") -> list[Plate]:
    """Return the plates of a study; those without numbers are left out."""
    makers: tuple[Callable[[TuningStudy], Plate | None], ...] = (
        history_plate,
        front_plate,
        importances_plate,
        slices_plate,
    )
    return keyed((maker(study) for maker in makers), prefix)


def judged_words(study: TuningStudy) -> str:
    """Return which rows judged a study."""
    where = "training and validation splits, by folds" if study.by_folds else "validation split"
    cut = f", {cut_words(study.cut)}" if study.record.get("about") else ""
    return f"{count(study.rows, 'sky source')} of the {where}{cut}"


def _made(study: TuningStudy) -> str:
    seed = "seed not recorded" if study.seed is None else f"seed {study.seed}"
    return f"{study.counted} trials of regime {study.regime}, {judged_words(study)}; study and trainings of {seed}"


def _first_words(study: TuningStudy) -> str:
    """Return how much work the first step is."""
    if not study.rungs or not study.stepped:
        return ""
    first = study.rungs[0]
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


def history_plate(study: TuningStudy) -> Plate | None:
    """Return every trial's loss in order."""
    if not study.trials:
        return None
    steps = _first_words(study)
    latest = f"latest {study.among} " if study.among else ""
    climb = "" if study.keep is None else f"; the best {100 * study.keep:g} % of the {latest}trials there go on"
    hollow = f"Hollow marks: the first, cheap step ({steps}{climb}). " if steps else ""
    told = [f"{n} {'given up early' if kind == 'pruned' else kind}" for kind, n in study.outcomes.items()]
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


def front_plate(study: TuningStudy) -> Plate | None:
    """Return the Pareto front, where two figures were made small."""
    if not study.front or len(study.losses) < 2:
        return None
    told = [
        f"trial {one.number} {number(one.losses[0], 4)} and {number(one.losses[1], 4)}"
        for one in study.front
        if one.losses and len(one.losses) > 1
    ]
    return Plate(
        "front",
        "Two figures at once: the Pareto front",
        f"{sentence(study.losses[0])} against {study.losses[1]}: no trial is better in both than one on the line. "
        f"The best by {study.loss} is, {study.chosen}, trial {study.best.trial}. "
        f"Numbers are of trials, whose options are in front/trial-N.yaml. {_made(study)}.",
        f"Pareto front of {count(len(study.front), 'trial')}: {'; '.join(told)}.",
        (Panel(front_figure, study, HALF),),
        1,
    )


def importances_plate(study: TuningStudy) -> Plate | None:
    """Return what mattered."""
    if not study.importances:
        return None
    top = [f"{name} {100 * share:.0f} %" for name, share in list(study.importances.items())[:3]]
    scored = sum(one.first is not None for one in study.trials)
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


def slices_plate(study: TuningStudy) -> Plate | None:
    """Return losses against the values of the most important options."""
    options = [name for name in study.ranked if study.slices.get(name)][:_MOST_SLICES]
    if not options:
        return None
    limits = loss_limits([one.first for name in options for one in study.slices[name]])
    panels = tuple(
        Panel(
            slice_figure,
            Slice(
                name,
                study.slices[name],
                study.space.get(name, {}),
                study.best.trial,
                limits,
                study.loss,
                study.importances.get(name),
            ),
            _SLICE,
        )
        for name in options
    )
    every = len(study.slices)
    which = (
        f"The {len(options)} most important of {every} options"
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
