"""Scores of models on one set of rows: confusion matrices, curves, reliability, and figures by magnitude."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...text import count, listed, number, sentence
from .plates import HALF, SMALL, THIRD, Panel, Plate, register_plate
from .style import (
    BLUE,
    LIGHT,
    MUTED,
    VERMILION,
    class_look,
    draw_table,
    legend_below,
    note_above,
    nothing,
    numbers,
    reach,
    regime_look,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.evaluation import Evaluation
    from ...comparison.exhibits import RedshiftBins, RedshiftCurves
    from ..results import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.comparison import Comparison
    from ...comparison.evaluation import Evaluation
    from ..results import Subject


class ClassCurves(NamedTuple):
    """The curves of one class.

    Parameters
    ----------
    name : str
        The class.
    curves : mapping of str to mapping
        By regime, as :func:`~jpas_gbm.scores.curves.curve_set` saves a curve.
    areas : mapping of str to float or None
        By regime: the area to write into the legend.
    prevalence : float, optional
        Share of the class among the rows.
    """

    name: str
    curves: Mapping[str, Mapping[str, Any]]
    areas: Mapping[str, float | None]
    prevalence: float | None = None


def _class_curves(evaluations: Mapping[str, Evaluation], kind: str, area: str) -> Iterable[ClassCurves]:
    """Give the curves of each class that has rows."""
    main = list(evaluations.values())[-1]
    for name in main.classes:
        curves = {regime: one.curves[kind][name] for regime, one in evaluations.items() if kind in one.curves}
        areas = {regime: one[f"per_class.{name}.{area}"] for regime, one in evaluations.items()}
        n = main.figures.counts[name]
        if curves and n:
            yield ClassCurves(name, curves, areas, n / max(main.n_test, 1))


def roc_figure(result: ClassCurves, ax: Axes) -> Axes:
    """Draw true- against false-positive rate, the latter in the logarithm: low rates are where it matters."""
    lowest = 1e-4
    for regime, curve in result.curves.items():
        fpr, tpr = np.array(numbers(curve["false_positive"])), np.array(numbers(curve["true_positive"]))
        look = regime_look(regime, list(result.curves))
        label = f"{regime}  {number(result.areas.get(regime))}"
        style = {"color": look["color"], "ls": look["linestyle"], "drawstyle": "steps-post"}
        ax.plot(np.maximum(fpr, lowest), tpr, label=label, **style)
    ax.set(xscale="log", xlim=(lowest, 1), ylim=(0, 1.02), title=result.name)
    ax.set(xlabel="false-positive rate", ylabel="true-positive rate")
    ax.grid(visible=True)
    ax.legend(title="area under the curve", loc="lower right", title_fontsize=8)
    return ax


def purity_figure(result: ClassCurves, ax: Axes) -> Axes:
    """Draw the purity of the sample above a cut in P(class) against its completeness."""
    for regime, curve in result.curves.items():
        look = regime_look(regime, list(result.curves))
        completeness, purity = numbers(curve["completeness"]), numbers(curve["purity"])
        label = f"{regime}  {number(result.areas.get(regime))}"
        ax.plot(completeness, purity, color=look["color"], ls=look["linestyle"], label=label)
    if result.prevalence is not None:
        ax.plot([0.6, 1.02], [result.prevalence, result.prevalence], color=MUTED, lw=1, ls=":")
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02), title=result.name, xlabel="completeness", ylabel="purity")
    ax.grid(visible=True)
    ax.legend(title="average precision", loc="lower left", title_fontsize=8)
    return ax


def confusion_figure(evaluation: Evaluation, ax: Axes, title: str = "") -> Axes:
    """Draw counts coloured by the share of the true class; the diagonal tells recall, precision and F1.

    Parameters
    ----------
    evaluation : Evaluation
        Decisions by argmax.
    ax : Axes
        Where to draw.
    title : str
        Above the matrix.

    Returns
    -------
    Axes
        The same.
    """
    counts, classes = np.array(evaluation.figures.confusion, dtype=np.float64), evaluation.classes
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    texts = {}
    for row, column in np.ndindex(*counts.shape):
        texts[row, column] = f"{counts[row, column]:,.0f}"
        if row == column:
            values = {name: evaluation[f"per_class.{classes[row]}.{name}"] for name in ("recall", "precision", "f1")}
            words = [("R", "recall"), ("P", "precision"), ("F1", "f1")]
            texts[row, column] += "\n" + "\n".join(f"{short} {number(values[name])}" for short, name in words)
        elif counts[row].sum():
            texts[row, column] += f"\n{100 * shares[row, column]:.1f} %"
    draw_table(ax, shares, texts, 0.55, fontsize=8, linespacing=1.15)
    for text, place in zip(ax.texts, texts, strict=True):
        text.set_fontsize(8.5 if place[0] == place[1] else 8)
    ax.set_xticks(range(len(classes)), classes)
    ax.set_yticks(range(len(classes)), classes, rotation=90, va="center")
    ax.set(xlabel="predicted", ylabel="true", title=title)
    ax.tick_params(length=0)
    ax.set_xticks(np.arange(len(classes) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(classes) - 1) + 0.5, minor=True)
    ax.grid(which="minor", color=LIGHT, lw=1.5)
    ax.tick_params(which="minor", length=0)
    return ax


FEWEST = 5
"""Bins with fewer rows of the class are not drawn."""


class ByMagnitude(NamedTuple):
    """One figure of several models by magnitude.

    Parameters
    ----------
    figure : str
        Dotted name, such as ``per_class.QSO_high.f1``.
    title : str
    evaluations : mapping of str to Evaluation
        By regime.
    """

    figure: str
    title: str
    evaluations: Mapping[str, Evaluation]


def magnitude_figure(result: ByMagnitude, ax: Axes) -> Axes:
    """Draw a figure in bins of magnitude with 95 % intervals, and how many rows each bin has."""
    regimes = list(result.evaluations)
    counts: dict[float, int] = {}
    for i, (regime, one) in enumerate(result.evaluations.items()):
        bins = [b for b in one.by_magnitude if _rows(b, result.figure) >= FEWEST]
        if not bins:
            continue
        centre = np.array([(b["lower"] + b["upper"]) / 2 for b in bins])
        width = np.array([b["upper"] - b["lower"] for b in bins])
        values = numbers([_value(b, result.figure) for b in bins])
        bars = reach(values, [b["intervals"].get(result.figure) for b in bins])
        look = regime_look(regime, regimes)
        place = centre + 0.1 * (i - (len(regimes) - 1) / 2) * width.min(initial=1)
        ax.errorbar(place, values, yerr=bars, ms=4, capsize=1.5, lw=1, elinewidth=1, label=regime, **look)
        counts |= {float(c): _rows(b, result.figure) for c, b in zip(centre, bins, strict=True)}
    for x, n in counts.items():
        note_above(ax, x, f"{n:,}", rotation=90)
    if not counts:
        return nothing(ax, f"{result.title}: no magnitude bin has {FEWEST} rows")
    ax.set_title(result.title, pad=26)
    ax.set(xlabel="magnitude", ylabel="score")
    ax.grid(axis="y")
    legend_below(ax, 4, handlelength=1.6)
    return ax


def _value(one: Mapping[str, object], name: str) -> float | None:
    value: object = one
    for step in name.split("."):
        value = value[step] if isinstance(value, Mapping) else None
    return value if isinstance(value, float | int) else None


def _rows(one: Mapping[str, object], name: str) -> int:
    section, *rest = name.split(".")
    value = _value(one, f"per_class.{rest[0]}.n") if section == "per_class" else _value(one, "n")
    return int(value or 0)


def evaluations_of(result: Evaluation | Comparison | Mapping[str, Evaluation]) -> Mapping[str, Evaluation]:
    """Return evaluations by regime: of a comparison with several seeds, the first of each regime."""
    if isinstance(result, Mapping):
        return result
    if hasattr(result, "by_regime"):
        return result.by_regime
    return {result.regime: result}


def plot_roc(result: Evaluation | Comparison, ax: Axes, *, cls: str | None = None) -> Axes:
    """Draw the ROC curve of one class (the first by default) of each regime, false positives in the logarithm."""
    return roc_figure(_curves_of(result, "roc", "auroc", cls), ax)


def plot_purity(result: Evaluation | Comparison, ax: Axes, *, cls: str | None = None) -> Axes:
    """Draw purity against completeness of cuts in the probability of one class (the first by default)."""
    return purity_figure(_curves_of(result, "purity", "average_precision", cls), ax)


def _curves_of(result: Evaluation | Comparison, kind: str, area: str, cls: str | None) -> ClassCurves:
    curves = {one.name: one for one in _class_curves(evaluations_of(result), kind, area)}
    return curves[cls or next(iter(curves))]


def plot_magnitude(
    result: Evaluation | Comparison, ax: Axes, *, figure: str = "macro.f1", title: str | None = None
) -> Axes:
    """Draw a figure (by dotted name) of each regime in bins of magnitude, with 95 % intervals."""
    return magnitude_figure(ByMagnitude(figure, title or figure, evaluations_of(result)), ax)


@register_plate("scores", 30)
def confusion_plate(subject: Subject) -> Plate:
    """Return the confusion matrices: of every regime on the sky, and of mocks tested on mocks where that was done."""
    shown = [(f"{name}, tested on the sky", one) for name, one in subject.evaluations.items()]
    if (mocks := subject.exhibits.mocks) is not None:
        shown.insert(0, (f"{mocks.regime}, tested on mocks (n = {mocks.n_test:,})", mocks))
    told = []
    for title, one in shown:
        recalls = [f"{c} {number(one[f'per_class.{c}.recall'], 2)}" for c in one.classes]
        told.append(f"{title}: recall {', '.join(recalls)}")
    return Plate(
        "confusion",
        "Confusion matrices",
        "Counts of sources by true and predicted class; colour is the share of the true class. On the diagonal "
        f"recall (R), precision (P) and F1. {subject.rows_words}; decisions by largest probability.",
        f"Confusion matrices. {'; '.join(told)}.",
        tuple(Panel(confusion_figure, one, SMALL, options={"title": title}) for title, one in shown),
    )


def _areas_words(curves: list[ClassCurves]) -> str:
    each = [f"{one.name}: {', '.join(f'{r} {number(a)}' for r, a in one.areas.items())}" for one in curves]
    return "; ".join(each)


@register_plate("scores", 40)
def roc_plate(subject: Subject) -> Plate | None:
    """Return ROC curves by class."""
    curves = list(_class_curves(subject.evaluations, "roc", "auroc"))
    if not curves:
        return None
    return Plate(
        "roc",
        "ROC curves",
        "True- against false-positive rate of a cut in P(class), one class against the rest, with the false-positive "
        f"rate in the logarithm: a rare class lives at its low end. {subject.rows_words}.",
        f"ROC curves by class. Areas under the curve: {_areas_words(curves)}.",
        tuple(Panel(roc_figure, one, HALF) for one in curves),
    )


@register_plate("scores", 50)
def purity_plate(subject: Subject) -> Plate | None:
    """Return purity against completeness by class."""
    curves = list(_class_curves(subject.evaluations, "purity", "average_precision"))
    if not curves:
        return None
    return Plate(
        "purity",
        "Purity and completeness",
        "What a cut in P(class) selects: purity of the sample against its completeness. The dotted line is the share "
        f"of the class among the rows; purity holds for this class mix only. {subject.rows_words}.",
        f"Purity against completeness by class. Average precision: {_areas_words(curves)}.",
        tuple(Panel(purity_figure, one, HALF) for one in curves),
    )


@register_plate("scores", 60)
def magnitude_plate(subject: Subject) -> Plate | None:
    """Return macro-F1 and the F1 of each class by magnitude."""
    evaluations = {regime: one for regime, one in subject.evaluations.items() if one.by_magnitude}
    if not evaluations:
        return None
    figures = [("macro.f1", "macro-F1"), *((f"per_class.{c}.f1", f"F1 of {c}") for c in subject.main.classes)]
    bins = subject.main.by_magnitude
    faint = bins[-1]
    return Plate(
        "magnitude",
        "Scores by magnitude",
        f"Numbers above are rows of the bin (of the class, for its F1); bins with fewer than {FEWEST} are left out. "
        f"{subject.rows_words}; 95 % bootstrap intervals over objects.",
        f"Scores in {count(len(bins), 'magnitude bin')}. In the faintest, {faint['lower']:g} to {faint['upper']:g}, "
        f"macro-F1 of {subject.main.regime} is {number(faint['macro']['f1'])}.",
        tuple(Panel(magnitude_figure, ByMagnitude(name, title, evaluations), (4.6, 3.5)) for name, title in figures),
    )


class Reliability(NamedTuple):
    """Reliability curves of one class.

    Parameters
    ----------
    name : str
        The class, or ``top``: the class of largest probability.
    after : mapping
        As :func:`~jpas_gbm.scores.curves.curve_set` saves it.
    before : mapping, optional
        The same before calibration.
    """

    name: str
    after: Mapping[str, Any]
    before: Mapping[str, Any] | None = None


def reliability_figure(result: Reliability, ax: Axes) -> Axes:
    """Draw the true fraction against the mean probability in bins, with 68 % intervals; above, how many rows."""
    ax.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls="--")
    shown = [("after", result.after, BLUE, "o", 0.004)]
    if result.before is not None:
        shown.insert(0, ("before", result.before, VERMILION, "s", -0.004))
    for name, curve, colour, marker, aside in shown:
        p, fraction, low, high = (np.array(numbers(curve[part])) for part in ("mean_p", "fraction", "low", "high"))
        bars = np.maximum([fraction - low, high - fraction], 0)
        face = "none" if name == "before" else colour
        label = f"{name} calibration" if result.before is not None else None
        look: dict[str, Any] = {"fmt": marker, "ms": 4.5, "mfc": face, "color": colour, "capsize": 1.5}
        ax.errorbar(p + aside, fraction, yerr=bars, label=label, **look)
        ax.plot(p + aside, fraction, color=colour, lw=1, alpha=0.6)
    for p, n in zip(result.after["mean_p"], result.after["n"], strict=True):
        note_above(ax, p, f"{int(n):,}", y=1.01, color=MUTED)
    ax.set(xlim=(-0.04, 1.06), ylim=(-0.04, 1.06))
    top = result.name == "top"
    ax.set_xlabel("largest probability" if top else f"P({result.name})")
    ax.set_ylabel("share that is right" if top else "true fraction")
    ax.set_title("all classes: the class of largest probability" if top else result.name, pad=14)
    ax.grid(visible=True)
    if result.before is not None:
        legend_below(ax, 2, at=(0.5, -0.22))
    return ax


class AgainstRedshift(NamedTuple):
    """What a model says of objects of known redshift.

    Parameters
    ----------
    bins : RedshiftBins
    classes : tuple of str
        The classes to draw.
    z_cut : float or None
        Where a class begins.
    title : str
    """

    bins: RedshiftBins
    classes: tuple[str, ...]
    z_cut: float | None
    title: str


def redshift_figure(result: AgainstRedshift, ax: Axes) -> Axes:
    """Draw binned medians of P(class) against redshift, with the band of the central 68 %."""
    bins = result.bins
    filled = np.array(bins.n) > 0
    z = np.array(numbers(bins.z))[filled]
    for name in result.classes:
        if name not in bins.classes:
            continue
        one = bins.classes[name]
        median, low, high = (np.array(numbers(part))[filled] for part in (one.median, one.low, one.high))
        look = class_look(name, result.classes)
        ax.fill_between(z, low, high, color=look["color"], alpha=0.18, lw=0)
        ax.plot(z, median, ms=3.5, label=f"P({name})", **look)
    if result.z_cut is not None:
        ax.axvline(result.z_cut, color=MUTED, lw=1, ls="--")
        note_above(ax, result.z_cut, f"z = {result.z_cut:g}", y=1.02, fontsize=8, color=MUTED)
    ax.set(ylim=(-0.03, 1.03), xlabel="redshift of the quasar", ylabel="probability")
    ax.set_title(result.title, pad=16)
    ax.grid(visible=True)
    legend_below(ax, 4)
    return ax


def plot_reliability(result: Evaluation, ax: Axes, *, cls: str = "top") -> Axes:
    """Draw the reliability of the probability of one class, or of the largest probability (``top``)."""
    return reliability_figure(Reliability(cls, result.curves["reliability"][cls]), ax)


def plot_redshift(result: RedshiftCurves, ax: Axes, *, zoom: bool = False, title: str = "") -> Axes:
    """Draw median probabilities of objects of known redshift, of all redshifts or about the one that parts classes."""
    bins = result.zoom if zoom and result.zoom is not None else result.whole
    return redshift_figure(AgainstRedshift(bins, tuple(bins.classes), result.z_cut, title), ax)


@register_plate("scores", 70)
def reliability_plate(subject: Subject) -> Plate | None:
    """Return reliability diagrams of the main model, before calibration too where that was kept."""
    kept = subject.exhibits.calibration
    after = kept.after if kept is not None else subject.main.curves.get("reliability")
    if not after:
        return None
    before, run = (None, subject.run) if kept is None else (kept.before, kept.run)
    names = ["top", *(name for name in after if name != "top")]
    noise = subject.main.figures.values.get("calibration.ece_noise")
    from_noise = f"; {number(noise)} would come from noise alone" if noise is not None else ""
    ece = f"Expected calibration error {number(subject.main['ece'])}{from_noise}"
    missing = "" if before else " Probabilities before calibration were not kept with this result."
    return Plate(
        "reliability",
        "Do the probabilities mean what they say?",
        "Share of true members against predicted probability in ten bins, with 68 % intervals and the number of rows "
        f"above; the dashed line is perfect. Model {run}; {subject.rows_words}. {ece}.{missing}",
        f"Reliability diagrams {'before and after calibration' if before else 'after calibration'} of {subject.run}. "
        f"{ece}.",
        tuple(Panel(reliability_figure, Reliability(n, after[n], before[n] if before else None), THIRD) for n in names),
        3,
    )


_CLOSER = ("mocks-only", "target-only")


@register_plate("scores", 80)
def redshift_plate(subject: Subject) -> Plate | None:
    """Return probabilities against redshift, whole range and around the cut."""
    panels, told = [], []
    for regime, evaluation in subject.evaluations.items():
        one = subject.exhibits.redshift.get(evaluation.run)
        if one is None or not (regime in _CLOSER or regime == subject.main.regime):
            continue
        classes = tuple(one.whole.classes)[:3]
        for bins, words in ((one.whole, "all redshifts"), (one.zoom, f"around z = {one.z_cut}")):
            if bins is not None:
                result = AgainstRedshift(bins, classes, one.z_cut, f"{regime}: {words}")
                panels.append(Panel(redshift_figure, result, (4.6, 3.5)))
        told.append(f"{regime}, {count(one.rows, 'quasar')}")
    if not panels:
        return None
    return Plate(
        "redshift",
        "Probability against redshift",
        "Median probability of true quasars in bins of redshift, with the band of the central 68 %; beside it, "
        f"around the redshift that parts the classes. {sentence(listed(told))}. {subject.rows_words}.",
        "Median P(QSO_high), P(QSO_low) and P(GALAXY) of true quasars against redshift; P(QSO_high) rises where the "
        "class begins.",
        tuple(panels),
    )
