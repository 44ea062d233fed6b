"""Scores of models on one set of rows: regimes side by side, by label budget, by class and by magnitude."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...atomic import atomic_file
from ...comparison.budgets import BudgetCurve
from ...text import count, cut_words, number, sample_words, seeds_words, with_span
from .plates import (
    HALF,
    LIGHT,
    MUTED,
    PALE,
    RULES,
    SMALL,
    THIRD,
    WIDE,
    Panel,
    Plate,
    draw_table,
    dress,
    legend_below,
    note_above,
    nothing,
    numbers,
    reach,
    regime_look,
    register_plate,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.comparison import Comparison
    from ...comparison.evaluation import Evaluation
    from ..results import Subject

    Scored = Evaluation | Comparison | Mapping[str, Evaluation]

FEWEST = 5
"""Bins with fewer rows of the class are not drawn."""


def regimes_figure(comparison: Comparison, ax: Axes) -> Axes:
    """Draw F1 of each class and macro figures of each regime with 95 % intervals.

    Parameters
    ----------
    comparison : Comparison
        Of regimes on the same rows.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    names = [*(f"per_class.{c}.f1" for c in comparison.classes), "macro.f1", "macro.recall"]
    labels = [*(f"F1\n{c}" for c in comparison.classes), "macro\nF1", "macro\nrecall"]
    many = len(comparison.regimes)
    for i, regime in enumerate(comparison.regimes):
        place = np.arange(len(names)) + (i - (many - 1) / 2) * 0.7 / many
        values = [comparison.figure(regime, name) for name in names]
        mean = numbers([v.mean for v in values])
        look = regime_look(regime, comparison.regimes)
        marks = {"fmt": look["marker"], "color": look["color"], "ms": 5, "capsize": 2}
        ax.errorbar(place, mean, yerr=reach(mean, [v.interval for v in values]), label=regime, **marks)
    for j in range(1, len(names)):
        ax.axvline(j - 0.5, color=PALE, lw=0.6)
    ax.set_xticks(range(len(names)), labels)
    cut = "" if comparison.cut is None else f", mag ≤ {comparison.cut:g}"
    ax.set_title(f"{comparison.n_test:,} held-out rows{cut}; bars: 95 % over objects", fontsize=9)
    legend = {"ncols": min(many, 3), "loc": "lower right"}
    return dress(ax, y="score", grid="y", xlim=(-0.5, len(names) - 0.5), legend=legend)


@register_plate("scores", 10)
def _regimes_plate(subject: Subject) -> Plate | None:
    """Return the figures of all regimes with intervals."""
    found = subject.comparison
    if found is None:
        return None
    macro = {regime: found.figure(regime, "macro.f1") for regime in found.regimes}
    return Plate.worded(
        "regimes",
        [Panel(regimes_figure, found, WIDE, (4.6, 4.0))],
        1,
        sample=sample_words(found.n_test, found.cut, found.about),
        seeds=seeds_words(found.rows[0].seeds),
        macro="; ".join(f"{name} macro-F1 {with_span(one.mean, one.interval)}" for name, one in macro.items()),
    )


def radar_figure(comparison: Comparison, ax: Axes) -> Axes:
    """Draw F1 of each class as a radar, one polygon a regime. The axes must be polar.

    Parameters
    ----------
    comparison : Comparison
        Of regimes on the same rows.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    classes = comparison.classes
    angles = np.linspace(0, 2 * np.pi, len(classes), endpoint=False)
    lowest = 1.0
    for regime in comparison.regimes:
        f1 = numbers([comparison.figure(regime, f"per_class.{c}.f1").mean for c in classes])
        lowest = float(np.nanmin([lowest, *f1]))
        ax.plot([*angles, angles[0]], [*f1, f1[0]], label=regime, ms=4, **regime_look(regime, comparison.regimes))
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


@register_plate("scores", 20)
def _radar_plate(subject: Subject) -> Plate | None:
    """Return the radar of F1 by class."""
    found = subject.comparison
    if found is None or len(found.classes) < 3:
        return None
    f1 = []
    for regime in found.regimes:
        each = [f"{c} {number(found.figure(regime, f'per_class.{c}.f1').mean, 2)}" for c in found.classes]
        f1.append(f"{regime}: {', '.join(each)}")
    return Plate.worded(
        "radar",
        [Panel(radar_figure, found, (4.6, 4.2), polar=True)],
        1,
        sample=sample_words(found.n_test, found.cut, found.about),
        seeds=seeds_words(found.rows[0].seeds),
        f1="; ".join(f1),
    )


def budgets_figure(curve: BudgetCurve, ax: Axes, figure: str = "macro.f1", label: str = "macro-F1") -> Axes:
    """Draw one figure of each regime against the number of target labels, with intervals.

    Parameters
    ----------
    curve : BudgetCurve
        Figures against the number of labels.
    ax : Axes
        Where to draw.
    figure : str
        Dotted name.
    label : str
        Of the y axis.

    Returns
    -------
    Axes
        The same.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator

    for regime in curve.regimes:
        series, look = curve.series(regime, figure), regime_look(regime, curve.regimes)
        ax.plot(series.labels, series.mean, label=regime, ms=5, **look)
        ax.fill_between(series.labels, series.low, series.high, color=look["color"], alpha=0.15, lw=0)
    dress(ax, "target labels (train and validation)", label, xscale="log")
    ax.set_xticks(list(curve.budgets))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    legend_below(ax, 2, at=(0.45, -0.19), fontsize=8)
    return ax


@register_plate("labels", 10)
def _budgets_plate(curve: BudgetCurve) -> Plate | None:
    """Return the label-budget curves: macro-F1, F1 of the first class, log loss."""
    if not curve.points:
        return None
    first = curve.classes[0]
    wanted = {"macro.f1": "macro-F1", f"per_class.{first}.f1": f"F1 of {first}", "log_loss": "log loss"}
    means = {regime: curve.series(regime, "macro.f1").mean for regime in curve.regimes}
    return Plate.worded(
        "budgets",
        [Panel(budgets_figure, curve, THIRD, options={"figure": n, "label": words}) for n, words in wanted.items()],
        3,
        sources=count(curve.n_test, "test source"),
        cut=cut_words(curve.cut),
        draws=count(max(point.draws for point in curve.points), "draw"),
        seed=seeds_words([curve.about.get("provenance", {}).get("seed")]),
        least=curve.budgets[0],
        most=curve.budgets[-1],
        ends="; ".join(f"{r} from {number(mean[0])} to {number(mean[-1])}" for r, mean in means.items()),
    )


def save_figure(
    draw: Callable[..., Axes], result: Any, path: str | Path, *, size: tuple[float, float] = (8, 4.5), overwrite: bool
) -> None:
    """Draw a result on a figure of its own and write it; the suffix chooses PNG or PDF.

    Parameters
    ----------
    draw : callable
        ``draw(result, ax) -> ax``.
    result : object
        What is drawn.
    path : path
        Where to.
    size : tuple of float
        Width and height, inches.
    overwrite : bool
        Whether a file there may be replaced.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(RULES), atomic_file(path, overwrite=overwrite) as temporary:
        figure = Figure(figsize=size, layout="constrained")
        draw(result, figure.subplots())
        figure.savefig(temporary, dpi=150)


def save_picture(result: Comparison | BudgetCurve, folder: str | Path) -> None:
    """Write ``regimes.png`` or ``budgets.png`` into a result folder, in place of one that is there.

    Parameters
    ----------
    result : Comparison or BudgetCurve
        What is drawn.
    folder : path
        Of the result.
    """
    draw, name = (budgets_figure, "budgets") if isinstance(result, BudgetCurve) else (regimes_figure, "regimes")
    save_figure(draw, result, Path(folder) / f"{name}.png", overwrite=True)


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
            for short, name in (("R", "recall"), ("P", "precision"), ("F1", "f1")):
                texts[row, column] += f"\n{short} {number(evaluation[f'per_class.{classes[row]}.{name}'])}"
        elif counts[row].sum():
            texts[row, column] += f"\n{100 * shares[row, column]:.1f} %"
    draw_table(ax, shares, texts, 0.55, fontsize=8, linespacing=1.15)
    for text, place in zip(ax.texts, texts, strict=True):
        text.set_fontsize(8.5 if place[0] == place[1] else 8)
    ax.set_xticks(range(len(classes)), classes)
    ax.set_yticks(range(len(classes)), classes, rotation=90, va="center")
    ax.set(xlabel="predicted", ylabel="true", title=title)
    ax.tick_params(length=0)
    between = np.arange(len(classes) - 1) + 0.5
    ax.set_xticks(between, minor=True)
    ax.set_yticks(between, minor=True)
    ax.grid(which="minor", color=LIGHT, lw=1.5)
    ax.tick_params(which="minor", length=0)
    return ax


@register_plate("scores", 30)
def _confusion_plate(subject: Subject) -> Plate:
    """Return the confusion matrices: of every regime on the sky, and of mocks tested on mocks where that was done."""
    shown = [(f"{name}, tested on the sky", one) for name, one in subject.evaluations.items()]
    if (mocks := subject.exhibits.mocks) is not None:
        shown.insert(0, (f"{mocks.regime}, tested on mocks (n = {mocks.n_test:,})", mocks))
    recalls = []
    for title, one in shown:
        each = [f"{c} {number(one[f'per_class.{c}.recall'], 2)}" for c in one.classes]
        recalls.append(f"{title}: recall {', '.join(each)}")
    panels = [Panel(confusion_figure, one, SMALL, options={"title": title}) for title, one in shown]
    return Plate.worded("confusion", panels, rows=subject.rows_words, recalls="; ".join(recalls))


def evaluations_of(result: Scored) -> Mapping[str, Evaluation]:
    """Return evaluations by regime: of a comparison with several seeds, the first of each regime.

    Parameters
    ----------
    result : Evaluation, Comparison or mapping of str to Evaluation
        By regime.

    Returns
    -------
    Mapping[str, Evaluation]
    """
    if isinstance(result, Mapping):
        return result
    if hasattr(result, "by_regime"):
        return result.by_regime
    return {result.regime: result}


def roc_figure(result: Scored, ax: Axes, *, cls: str | None = None) -> Axes:
    """Draw true- against false-positive rate of one class, the latter in the logarithm: low rates matter.

    Parameters
    ----------
    result : Evaluation, Comparison or mapping of str to Evaluation
        By regime.
    ax : Axes
        Where to draw.
    cls : str, optional
        The class, the first by default.

    Returns
    -------
    Axes
        The same.
    """
    lowest, steps = 1e-4, {"drawstyle": "steps-post"}
    cls = _draw_curves(result, ax, cls, "roc", ("false_positive", "true_positive"), lowest, **steps)
    legend = {"title": "area under the curve", "loc": "lower right", "title_fontsize": 8}
    limits = {"xscale": "log", "xlim": (lowest, 1), "ylim": (0, 1.02)}
    return dress(ax, "false-positive rate", "true-positive rate", title=cls, legend=legend, **limits)


def purity_figure(result: Scored, ax: Axes, *, cls: str | None = None) -> Axes:
    """Draw the purity of the sample above a cut in P(class) against its completeness.

    Parameters
    ----------
    result : Evaluation, Comparison or mapping of str to Evaluation
        By regime.
    ax : Axes
        Where to draw.
    cls : str, optional
        The class, the first by default.

    Returns
    -------
    Axes
        The same.
    """
    cls = _draw_curves(result, ax, cls, "purity", ("completeness", "purity"))
    main = list(evaluations_of(result).values())[-1]
    prevalence = main.figures.counts[cls] / max(main.n_test, 1)
    ax.plot([0.6, 1.02], [prevalence, prevalence], color=MUTED, lw=1, ls=":")
    legend = {"title": "average precision", "loc": "lower left", "title_fontsize": 8}
    return dress(ax, "completeness", "purity", title=cls, legend=legend, xlim=(0, 1.02), ylim=(0, 1.02))


_AREAS = {"roc": "auroc", "purity": "average_precision"}


def _draw_curves(
    result: Scored, ax: Axes, cls: str | None, kind: str, axes: tuple[str, str], least: float = -np.inf, **style: Any
) -> str:
    """Draw a curve of one class for each regime that has it, its area in the legend; return the class."""
    evaluations = evaluations_of(result)
    cls = cls or next(iter(_classes(evaluations, kind)))
    having = {regime: one for regime, one in evaluations.items() if kind in one.curves}
    for regime, one in having.items():
        x, y = (numbers(one.curves[kind][cls][name]) for name in axes)
        look = regime_look(regime, list(having))
        label = f"{regime}  {number(one[f'per_class.{cls}.{_AREAS[kind]}'])}"
        ax.plot(np.maximum(x, least), y, color=look["color"], ls=look["linestyle"], label=label, **style)
    return cls


def _classes(evaluations: Mapping[str, Evaluation], kind: str) -> list[str]:
    """Return the classes that have rows, if any regime has curves of a kind."""
    main = list(evaluations.values())[-1]
    known = any(kind in one.curves for one in evaluations.values())
    return [name for name in main.classes if known and main.figures.counts[name]]


def _curves_plate(subject: Subject, kind: str, draw: Any) -> Plate | None:
    """Return the curves of each class that has rows."""
    evaluations, classes = subject.evaluations, _classes(subject.evaluations, kind)
    if not classes:
        return None
    areas = []
    for c in classes:
        each = [f"{regime} {number(one[f'per_class.{c}.{_AREAS[kind]}'])}" for regime, one in evaluations.items()]
        areas.append(f"{c}: {', '.join(each)}")
    panels = [Panel(draw, evaluations, HALF, options={"cls": c}) for c in classes]
    return Plate.worded(kind, panels, rows=subject.rows_words, areas="; ".join(areas))


@register_plate("scores", 40)
def _roc_plate(subject: Subject) -> Plate | None:
    """Return ROC curves by class."""
    return _curves_plate(subject, "roc", roc_figure)


@register_plate("scores", 50)
def _purity_plate(subject: Subject) -> Plate | None:
    """Return purity against completeness by class."""
    return _curves_plate(subject, "purity", purity_figure)


def magnitude_figure(result: Scored, ax: Axes, *, figure: str = "macro.f1", title: str | None = None) -> Axes:
    """Draw a figure in bins of magnitude with 95 % intervals, and how many rows each bin has.

    Parameters
    ----------
    result : Evaluation, Comparison or mapping of str to Evaluation
        By regime.
    ax : Axes
        Where to draw.
    figure : str
        Dotted name, such as ``per_class.QSO_high.f1``.
    title : str, optional
        Above the axes, the name by default.

    Returns
    -------
    Axes
        The same.
    """
    evaluations, title = evaluations_of(result), title or figure
    counts: dict[float, int] = {}
    for i, (regime, one) in enumerate(evaluations.items()):
        bins = [b for b in one.by_magnitude if _rows(b, figure) >= FEWEST]
        if not bins:
            continue
        lower, upper = (np.array([b[end] for b in bins]) for end in ("lower", "upper"))
        values = numbers([_value(b, figure) for b in bins])
        bars = reach(values, [b["intervals"].get(figure) for b in bins])
        place = (lower + upper) / 2 + 0.1 * (i - (len(evaluations) - 1) / 2) * (upper - lower).min(initial=1)
        look = regime_look(regime, list(evaluations))
        ax.errorbar(place, values, yerr=bars, ms=4, capsize=1.5, lw=1, elinewidth=1, label=regime, **look)
        counts |= {float(c): _rows(b, figure) for c, b in zip((lower + upper) / 2, bins, strict=True)}
    for x, n in counts.items():
        note_above(ax, x, f"{n:,}", rotation=90)
    if not counts:
        return nothing(ax, f"{title}: no magnitude bin has {FEWEST} rows")
    ax.set_title(title, pad=26)
    legend_below(ax, 4, handlelength=1.6)
    return dress(ax, "magnitude", "score", grid="y")


def _value(one: Any, name: str) -> Any:
    """Return a figure of a magnitude bin by dotted name, None where it is not there."""
    for step in name.split("."):
        one = one.get(step) if isinstance(one, Mapping) else None
    return one


def _rows(one: Any, name: str) -> int:
    """Return how many rows a figure of a magnitude bin is of: those of the class, or all."""
    section, *rest = name.split(".")
    return int(_value(one, f"per_class.{rest[0]}.n" if section == "per_class" else "n") or 0)


@register_plate("scores", 60)
def _magnitude_plate(subject: Subject) -> Plate | None:
    """Return macro-F1 and the F1 of each class by magnitude."""
    evaluations = {regime: one for regime, one in subject.evaluations.items() if one.by_magnitude}
    if not evaluations:
        return None
    titles = {"macro.f1": "macro-F1"} | {f"per_class.{c}.f1": f"F1 of {c}" for c in subject.main.classes}
    shown = [{"figure": name, "title": title} for name, title in titles.items()]
    bins = subject.main.by_magnitude
    return Plate.worded(
        "magnitude",
        [Panel(magnitude_figure, evaluations, (4.6, 3.5), options=options) for options in shown],
        fewest=FEWEST,
        rows=subject.rows_words,
        bins=count(len(bins), "magnitude bin"),
        faint=bins[-1],
        regime=subject.main.regime,
        macro=number(bins[-1]["macro"]["f1"]),
    )
