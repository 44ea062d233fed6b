"""Plates of the scores of models.

Regimes side by side: their figures with intervals, and a radar of F1.

The label-budget curve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...text import count, cut_words, listed, number, sample_words, seeds_words, sentence, with_span
from .scores import (
    FEWEST,
    AgainstRedshift,
    ByMagnitude,
    ClassCurves,
    Reliability,
    confusion_figure,
    magnitude_figure,
    purity_figure,
    redshift_figure,
    reliability_figure,
    roc_figure,
)
from .style import HALF, PALE, SMALL, THIRD, WIDE, Panel, Plate, keyed, numbers, reach, regime_look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.budgets import BudgetCurve
    from ...comparison.comparison import Comparison
    from ...comparison.evaluation import Evaluation
    from ..results import Subject


def regimes_figure(comparison: Comparison, ax: Axes) -> Axes:
    """Draw F1 of each class and macro figures of each regime with 95 % intervals."""
    names = [*(f"per_class.{c}.f1" for c in comparison.classes), "macro.f1", "macro.recall"]
    labels = [*(f"F1\n{c}" for c in comparison.classes), "macro\nF1", "macro\nrecall"]
    count = len(comparison.regimes)
    for i, regime in enumerate(comparison.regimes):
        place = [j + (i - (count - 1) / 2) * 0.7 / count for j in range(len(names))]
        values = [comparison.figure(regime, name) for name in names]
        mean = numbers([v["mean"] for v in values])
        look = regime_look(regime, comparison.regimes)
        ax.errorbar(
            place,
            mean,
            yerr=reach(mean, [v["interval"] for v in values]),
            fmt=look["marker"],
            color=look["color"],
            ms=5,
            capsize=2,
            label=regime,
        )
    for j in range(1, len(names)):
        ax.axvline(j - 0.5, color=PALE, lw=0.6)
    ax.set_xticks(range(len(names)), labels)
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.set_ylabel("score")
    ax.grid(axis="y")
    cut = "" if comparison.cut is None else f", mag ≤ {comparison.cut:g}"
    ax.set_title(f"{comparison.n_test:,} held-out rows{cut}; bars: 95 % over objects", fontsize=9)
    ax.legend(ncols=min(count, 3), loc="lower right")
    return ax


def radar_figure(comparison: Comparison, ax: Axes) -> Axes:
    """Draw F1 of each class as a radar, one polygon a regime. The axes must be polar."""
    classes = comparison.classes
    angles = np.linspace(0, 2 * np.pi, len(classes), endpoint=False)
    lowest = 1.0
    for regime in comparison.regimes:
        f1 = numbers([comparison.figure(regime, f"per_class.{c}.f1")["mean"] for c in classes])
        lowest = min([lowest, *(v for v in f1 if np.isfinite(v))])
        look = regime_look(regime, comparison.regimes)
        ax.plot([*angles, angles[0]], [*f1, f1[0]], label=regime, ms=4, **look)
    inner = max(0.0, np.floor((lowest - 0.1) * 10) / 10)
    step = 0.1 if inner >= 0.5 else 0.2
    ticks = np.arange(1.0, inner + step / 4, -step)[::-1]
    ax.set_yticks(ticks, [f"{t:.1f}" for t in ticks], fontsize=7.5)
    ax.set_ylim(inner, 1)
    ax.set_rlabel_position(225)  # type: ignore[attr-defined]
    ax.set_xticks(angles, classes)
    for label, angle in zip(ax.get_xticklabels(), angles, strict=True):
        label.set_horizontalalignment("left" if np.cos(angle) > 0.1 else "right" if np.cos(angle) < -0.1 else "center")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
    return ax


def budgets_figure(curve: BudgetCurve, ax: Axes, figure: str = "macro.f1", label: str = "macro-F1") -> Axes:
    """Draw one figure of each regime against the number of target labels, with intervals."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    regimes = list(dict.fromkeys(point["regime"] for point in curve.points))
    for regime in regimes:
        series = curve.series(regime, figure)
        look = regime_look(regime, regimes)
        ax.plot(series["labels"], series["mean"], label=regime, ms=5, **look)
        ax.fill_between(series["labels"], series["low"], series["high"], color=look["color"], alpha=0.15, lw=0)
    ax.set_xscale("log")
    ax.set_xticks(list(curve.budgets))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("target labels (train and validation)")
    ax.set_ylabel(label)
    ax.grid(visible=True)
    ax.legend(loc="upper center", bbox_to_anchor=(0.45, -0.19), ncols=2, fontsize=8, columnspacing=1.0)
    return ax


_CLOSER = ("mocks-only", "target-only")


def score_plates(subject: Subject, prefix: str = "") -> list[Plate]:
    """Return the plates of everything that was scored on one set of rows; those without numbers are left out."""
    makers: tuple[Callable[[Subject], Plate | None], ...] = (
        regimes_plate,
        radar_plate,
        confusion_plate,
        roc_plate,
        purity_plate,
        magnitude_plate,
        reliability_plate,
        redshift_plate,
    )
    return keyed((maker(subject) for maker in makers), prefix)


def rows_words(subject: Subject) -> str:
    """Return which rows and which trainings a figure of single runs shows."""
    one = subject.main
    return f"{sample_words(one.n_test, one.cut, _about(subject))}; {seeds_words([one.seed])}"


def _about(subject: Subject) -> Mapping[str, Any]:
    return subject.comparison.about if subject.comparison is not None else subject.main.about


def regimes_plate(subject: Subject) -> Plate | None:
    """Return the figures of all regimes with intervals."""
    found = subject.comparison
    if found is None:
        return None
    sample = sample_words(found.n_test, found.cut, found.about)
    told = []
    for regime in found.regimes:
        one = found.figure(regime, "macro.f1")
        told.append(f"{regime} macro-F1 {with_span(one['mean'], one['interval'])}")
    return Plate(
        "regimes",
        "The regimes side by side",
        f"F1 of each class, macro-F1 and macro recall of each regime, decisions by largest probability. {sample}; "
        f"mean over {seeds_words(found.rows[0]['seeds'])}; bars are 95 % bootstrap intervals over objects. Intervals "
        "of differences are narrower than the bars suggest, because all regimes are scored on the same rows: see the "
        "table.",
        f"Points with error bars for each regime: {'; '.join(told)}.",
        (Panel(regimes_figure, found, WIDE, (4.6, 4.0)),),
        1,
    )


def radar_plate(subject: Subject) -> Plate | None:
    """Return the radar of F1 by class."""
    found = subject.comparison
    if found is None or len(found.classes) < 3:
        return None
    told = []
    for regime in found.regimes:
        each = [f"{c} {number(found.figure(regime, f'per_class.{c}.f1')['mean'], 2)}" for c in found.classes]
        told.append(f"{regime}: {', '.join(each)}")
    return Plate(
        "radar",
        "F1 of each class",
        "F1 of each class by regime; the scale does not begin at zero. "
        f"{sample_words(found.n_test, found.cut, found.about)}; mean over {seeds_words(found.rows[0]['seeds'])}.",
        f"Radar of F1 by class. {'; '.join(told)}.",
        (Panel(radar_figure, found, (4.6, 4.2), polar=True),),
        1,
    )


def _confusion(title: str) -> Callable[[Any, Axes], Axes]:
    def draw(evaluation: Evaluation, ax: Axes) -> Axes:
        confusion_figure(evaluation, ax).set_title(title)
        return ax

    return draw


def confusion_plate(subject: Subject) -> Plate:
    """Return the confusion matrices: of every regime on the sky, and of mocks tested on mocks where that was done."""
    from ...comparison.evaluation import Evaluation

    shown: list[tuple[str, Evaluation]] = []
    for name in _ordered(subject):
        shown.append((f"{name}, tested on the sky", subject.evaluations[name]))
    if subject.exhibits.mocks:
        mocks = Evaluation.from_dict(subject.exhibits.mocks)
        shown.insert(0, (f"{mocks.regime}, tested on mocks (n = {mocks.n_test:,})", mocks))
    told = []
    for title, one in shown:
        recalls = [f"{c} {number(one[f'per_class.{c}.recall'], 2)}" for c in one["classes"]]
        told.append(f"{title}: recall {', '.join(recalls)}")
    return Plate(
        "confusion",
        "Confusion matrices",
        "Counts of sources by true and predicted class; colour is the share of the true class. On the diagonal "
        f"recall (R), precision (P) and F1. {rows_words(subject)}; decisions by largest probability.",
        f"Confusion matrices. {'; '.join(told)}.",
        tuple(Panel(_confusion(title), one, SMALL) for title, one in shown),
    )


def _ordered(subject: Subject) -> list[str]:
    return list(subject.evaluations)


def _class_curves(subject: Subject, kind: str, area: str) -> list[ClassCurves]:
    found = []
    classes = subject.main["classes"]
    for name in classes:
        curves = {regime: one.curves[kind][name] for regime, one in subject.evaluations.items() if kind in one.curves}
        areas = {regime: one["per_class"][name][area] for regime, one in subject.evaluations.items()}
        n = subject.main["per_class"][name]["n"]
        if curves and n:
            found.append(ClassCurves(name, curves, areas, n / max(subject.main.n_test, 1)))
    return found


def _areas_words(curves: list[ClassCurves]) -> str:
    each = [f"{one.name}: {', '.join(f'{r} {number(a)}' for r, a in one.areas.items())}" for one in curves]
    return "; ".join(each)


def roc_plate(subject: Subject) -> Plate | None:
    """Return ROC curves by class."""
    curves = _class_curves(subject, "roc", "auroc")
    if not curves:
        return None
    return Plate(
        "roc",
        "ROC curves",
        "True- against false-positive rate of a cut in P(class), one class against the rest, with the false-positive "
        f"rate in the logarithm: a rare class lives at its low end. {rows_words(subject)}.",
        f"ROC curves by class. Areas under the curve: {_areas_words(curves)}.",
        tuple(Panel(roc_figure, one, HALF) for one in curves),
    )


def purity_plate(subject: Subject) -> Plate | None:
    """Return purity against completeness by class."""
    curves = _class_curves(subject, "purity", "average_precision")
    if not curves:
        return None
    return Plate(
        "purity",
        "Purity and completeness",
        "What a cut in P(class) selects: purity of the sample against its completeness. The dotted line is the share "
        f"of the class among the rows; purity holds for this class mix only. {rows_words(subject)}.",
        f"Purity against completeness by class. Average precision: {_areas_words(curves)}.",
        tuple(Panel(purity_figure, one, HALF) for one in curves),
    )


def magnitude_plate(subject: Subject) -> Plate | None:
    """Return macro-F1 and the F1 of each class by magnitude."""
    evaluations = {regime: one for regime, one in subject.evaluations.items() if one.by_magnitude}
    if not evaluations:
        return None
    classes = subject.main["classes"]
    figures = [("macro.f1", "macro-F1"), *((f"per_class.{c}.f1", f"F1 of {c}") for c in classes)]
    bins = subject.main.by_magnitude
    faint = bins[-1]
    return Plate(
        "magnitude",
        "Scores by magnitude",
        f"Numbers above are rows of the bin (of the class, for its F1); bins with fewer than {FEWEST} are left out. "
        f"{rows_words(subject)}; 95 % bootstrap intervals over objects.",
        f"Scores in {count(len(bins), 'magnitude bin')}. In the faintest, {faint['lower']:g} to {faint['upper']:g}, "
        f"macro-F1 of {subject.main.regime} is {number(faint['macro']['f1'])}.",
        tuple(Panel(magnitude_figure, ByMagnitude(name, title, evaluations), (4.6, 3.5)) for name, title in figures),
    )


def reliability_plate(subject: Subject) -> Plate | None:
    """Return reliability diagrams of the main model, before calibration too where that was kept."""
    kept = subject.exhibits.calibration
    after = kept.get("after") or subject.main.curves.get("reliability")
    if not after:
        return None
    before = kept.get("before")
    names = ["top", *(name for name in after if name != "top")]
    told = subject.main.figures.get("ece")
    noise = subject.main.figures.get("calibration", {}).get("ece_noise")
    ece = f"Expected calibration error {number(told)}" + (
        f"; {number(noise)} would come from noise alone" if noise is not None else ""
    )
    missing = "" if before else " Probabilities before calibration were not kept with this result."
    return Plate(
        "reliability",
        "Do the probabilities mean what they say?",
        "Share of true members against predicted probability in ten bins, with 68 % intervals and the number of rows "
        f"above; the dashed line is perfect. Model {kept.get('run', subject.run)}; {rows_words(subject)}. "
        f"{ece}.{missing}",
        f"Reliability diagrams {'before and after calibration' if before else 'after calibration'} of {subject.run}. "
        f"{ece}.",
        tuple(Panel(reliability_figure, Reliability(n, after[n], before[n] if before else None), THIRD) for n in names),
        3,
    )


def redshift_plate(subject: Subject) -> Plate | None:
    """Return probabilities against redshift, whole range and around the cut."""
    found = subject.exhibits.redshift
    wanted = [r for r in subject.evaluations if r in _CLOSER or r == subject.main.regime]
    panels, told = [], []
    for regime in wanted:
        run = f"{regime}-seed{subject.evaluations[regime].seed}"
        if run not in found:
            continue
        one = found[run]
        classes = tuple(one["whole"]["classes"])[:3]
        for part, words in (("whole", "all redshifts"), ("zoom", f"around z = {one['z_cut']}")):
            if one.get(part):
                result = AgainstRedshift(one[part], classes, one["z_cut"], f"{regime}: {words}")
                panels.append(Panel(redshift_figure, result, (4.6, 3.5)))
        told.append(f"{regime}, {count(one['rows'], 'quasar')}")
    if not panels:
        return None
    return Plate(
        "redshift",
        "Probability against redshift",
        "Median probability of true quasars in bins of redshift, with the band of the central 68 %; beside it, "
        f"around the redshift that parts the classes. {sentence(listed(told))}. {rows_words(subject)}.",
        "Median P(QSO_high), P(QSO_low) and P(GALAXY) of true quasars against redshift; P(QSO_high) rises where the "
        "class begins.",
        tuple(panels),
    )


def budget_plates(curve: BudgetCurve, prefix: str = "") -> list[Plate]:
    """Return the label-budget curves: macro-F1, F1 of the first class, log loss."""
    if not curve.points:
        return []
    first = curve.classes[0]
    wanted = [("macro.f1", "macro-F1"), (f"per_class.{first}.f1", f"F1 of {first}"), ("log_loss", "log loss")]

    def draw(name: str, label: str) -> Callable[[Any, Axes], Axes]:
        return lambda result, ax: budgets_figure(result, ax, name, label)

    draws = max(int(point["draws"]) for point in curve.points)
    regimes = list(dict.fromkeys(point["regime"] for point in curve.points))
    ends = []
    for regime in regimes:
        series = curve.series(regime, "macro.f1")
        ends.append(f"{regime} from {number(series['mean'][0])} to {number(series['mean'][-1])}")
    seed = curve.about.get("provenance", {}).get("seed")
    return [
        Plate(
            f"{prefix}budgets",
            "How many labels are needed",
            "Scores against the number of labelled sky sources (train and validation together). "
            f"{count(curve.n_test, 'test source')} {cut_words(curve.cut)}; mean over {count(draws, 'draw')} of "
            f"labels, from {seeds_words([seed])}; bands are 95 % intervals over objects and draws.",
            f"Scores against {curve.budgets[0]:,} to {curve.budgets[-1]:,} labels. Macro-F1: {'; '.join(ends)}.",
            tuple(Panel(draw(name, label), curve, THIRD) for name, label in wanted),
            3,
        )
    ]
