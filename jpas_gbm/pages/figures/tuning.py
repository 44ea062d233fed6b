"""Figures of a tuning study: its trials in order, what mattered, losses against values, the Pareto front."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...text import count, cut_words, listed, number, sentence, with_span
from .plates import HALF, WIDE, Panel, Plate, keyed
from .slices import Slice, _axis_words, _marks, loss_limits, slice_figure
from .style import BLUE, GREEN, INK, MUTED, ORANGE, PALE, PURPLE, VERMILION, nothing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...options import Entry
    from ...tuning.result import Study


_SHOWN = 16


def history_figure(study: Study, ax: Axes) -> Axes:
    """Draw each trial's loss by its number: the first step, all the work, the best so far.

    Diamonds are finalists over fresh seeds, with the range of these; lines across, the untuned fit and the best
    options over fresh seeds.

    Parameters
    ----------
    study : Study
        The library's study.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
    """
    from matplotlib.ticker import MaxNLocator

    if not study.history:
        return nothing(ax, "no trial was scored")
    losses = [v for one in study.history for v in (one.first, one.losses[0] if one.losses else None) if v is not None]
    finalists = study.fresh.finalists if study.fresh is not None else ()
    others = [loss for one in finalists for loss in one.losses] + ([study.default.loss] if study.default else [])
    low, high = loss_limits([*losses, *others])
    if study.stepped:
        _first_steps(study, ax, high)
    done = [(one.trial, one.losses[0]) for one in study.history if one.losses]
    _marks(done, ax, high, marker="o", ms=4.5, color=BLUE, label="all the work" if study.stepped else "trial")
    lost = [one.trial for one in study.history if one.outcome == "failed"]
    if lost:
        ax.plot(lost, [high] * len(lost), ls="", marker="v", ms=5, color=VERMILION, clip_on=False, label="failed")
    line = [(one.trial, one.best_so_far) for one in study.history if one.best_so_far is not None]
    if line:
        ax.plot(*zip(*line, strict=True), drawstyle="steps-post", color=INK, lw=1.1, label="best so far", zorder=1)
    if study.default is not None:
        ax.axhline(study.default.loss, color=GREEN, ls="--", lw=1, label="untuned fit", zorder=1)
    if study.fresh is not None:
        ax.axhline(study.fresh.mean, color=PURPLE, ls=":", lw=1.2, zorder=1)
        for one in finalists:
            ax.plot([one.trial] * 2, [min(one.losses), max(one.losses)], color=PURPLE, lw=1.2)
        means = [(one.trial, one.mean) for one in finalists]
        ax.plot(*zip(*means, strict=True), ls="", marker="D", ms=5, color=PURPLE, label="over fresh seeds")
    ax.plot(study.best.trial, study.best.loss, "*", ms=11, color=VERMILION, label="best trial", zorder=4)
    ax.set_ylim(low, high)
    ax.set_xlabel("trial")
    ax.set_ylabel(_axis_words(study.loss))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=7.5, columnspacing=1.2)
    return ax


def _first_steps(study: Study, ax: Axes, high: float) -> None:
    climbed = [one for one in study.history if one.first is not None and one.losses]
    ax.vlines(
        [one.trial for one in climbed],
        [min(one.first, high) for one in climbed if one.first is not None],
        [min(one.losses[0], high) for one in climbed if one.losses],
        color=PALE,
        lw=1,
        zorder=0,
    )
    first = [(one.trial, one.first) for one in climbed if one.first is not None]
    _marks(first, ax, high, marker="o", ms=4, mfc="none", color=MUTED, label="first step")
    given_up = [(one.trial, one.first) for one in study.history if one.outcome == "pruned" and one.first is not None]
    _marks(given_up, ax, high, marker="x", ms=4.5, color=ORANGE, label="first step, then given up")


def importances_figure(study: Study, ax: Axes) -> Axes:
    """Draw each option's share of the variance of the first step's loss, the largest on top.

    Parameters
    ----------
    study : Study
        The library's study.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
    """
    if not study.importances:
        return nothing(ax, "too few trials to tell what mattered")
    shown = list(study.importances.items())[:_SHOWN]
    place = range(len(shown))
    shares = [100 * share for _, share in shown]
    ax.barh(place, shares, height=0.68, color=BLUE)
    for y, share in zip(place, shares, strict=True):
        ax.text(share, y, f" {share:.1f} %", va="center", fontsize=7.5)
    ax.set_yticks(place, [name for name, _ in shown], fontsize=7.5)
    ax.invert_yaxis()
    ax.margins(x=0.16)
    ax.set_xlabel("share of the variance of the loss (%)")
    ax.grid(axis="x")
    return ax


def front_figure(study: Study, ax: Axes) -> Axes:
    """Draw the trials that did all the work in the plane of both losses, and the Pareto front through them.

    Parameters
    ----------
    study : Study
        The library's study.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
    """
    both = [one.losses for one in study.history if one.losses and len(one.losses) > 1]
    front = [one for one in study.front if one.losses and len(one.losses) > 1]
    if not front:
        return nothing(ax, "one figure alone was made small: there is no front")
    if both:
        ax.plot([b[0] for b in both], [b[1] for b in both], "o", ms=4, mfc="none", color=MUTED, label="trial")
    x, y = ([one.losses[i] for one in front if one.losses] for i in (0, 1))
    ax.plot(x, y, "-o", ms=5, lw=1.2, drawstyle="steps-post", color=BLUE, label="Pareto front")
    for i, (one, right, up) in enumerate(zip(front, x, y, strict=True)):
        # On either side of the line in turn: neighbours are often close.
        aside, side = ((4, 3), "left") if i % 2 else ((-4, -9), "right")
        ax.annotate(f"{one.trial}", (right, up), aside, textcoords="offset points", fontsize=7, ha=side)
    ax.set_xlabel(_axis_words(study.loss))
    ax.set_ylabel(_axis_words(study.losses[1]))
    ax.grid(visible=True)
    ax.legend()
    return ax


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
    cut = f", {cut_words(study.cut)}" if study.provenance.get("about") else ""
    return f"{count(study.rows, 'sky source')} of the {where}{cut}"


def _made(study: Study) -> str:
    seed = "seed not recorded" if study.seed is None else f"seed {study.seed}"
    return (
        f"{study.counts.counted} trials of regime {study.regime}, {judged_words(study)}; study and trainings of {seed}"
    )


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
    limits = loss_limits([one.first for name in options for one in study.slices[name]])
    panels = tuple(
        Panel(
            slice_figure,
            Slice(
                name,
                study.slices[name],
                study.space.get(name) or Entry(),
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
