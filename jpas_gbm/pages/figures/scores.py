"""Scores of models on one set of rows: regimes side by side, by label budget, by class and by magnitude."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...atomic import atomic_file
from ...comparison.budgets import BudgetCurve
from ...comparison.evaluation import COMMON
from ...comparison.judged_rows import About, sample_words
from ...store import magnitude_name
from ...text import count, cut_words, number, seeds_words, with_span
from .plates import (
    DARK,
    KEY,
    LIGHT,
    PALE,
    RULES,
    SMALL,
    THIRD,
    WIDE,
    Panel,
    Plate,
    draw_table,
    dress,
    key_figure,
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

FEWEST = COMMON
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
    ax.set_xticks(range(len(names)), labels, fontsize=7 if ax.get_window_extent().width / ax.figure.dpi > 4 else 5.5)
    cut = (
        "" if comparison.cut is None else f", {magnitude_name(comparison.about.get('provenance'))} ≤ {comparison.cut:g}"
    )
    ax.set_title(f"{comparison.n_test:,} held-out rows{cut}\nbars: 95 % over objects", fontsize=7.5)
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


RADARS = {"f1": "F1", "recall": "completeness (recall)", "precision": "purity (precision)"}
"""Figures of each class that are drawn as radars, and their names."""
_RADAR = (4.6, 3.3)


def radar_figure(comparison: Comparison, ax: Axes, *, figure: str = "f1", legend: bool = True) -> Axes:
    """Draw a figure of each class as a radar, one polygon a regime. The axes must be polar.

    Parameters
    ----------
    comparison : Comparison
        Of regimes on the same rows.
    ax : Axes
        Where to draw.
    figure : str
        One of :data:`RADARS`.
    legend : bool
        Whether to name the regimes.

    Returns
    -------
    Axes
        The same.
    """
    classes = comparison.classes
    angles = np.linspace(0, 2 * np.pi, len(classes), endpoint=False)
    inner = radar_centre(comparison)
    for regime in comparison.regimes:
        values = numbers([comparison.figure(regime, f"per_class.{c}.{figure}").mean for c in classes])
        look = regime_look(regime, comparison.regimes)
        ax.plot([*angles, angles[0]], [*values, values[0]], label=regime, ms=4, **look)
    step = 0.1 if inner >= 0.5 else 0.2
    ticks = np.arange(1.0, inner + step / 4, -step)[::-1]
    ax.set_yticks(ticks, [f"{t:.1f}" for t in ticks], fontsize=8.5)
    for label in ax.get_yticklabels():
        label.set_bbox({"facecolor": LIGHT, "alpha": 0.8, "edgecolor": "none", "pad": 0.8})
        label.set_color(DARK)
        label.set_zorder(5)
    ax.set_ylim(inner, 1)
    ax.set_rlabel_position(180 * 1.25)  # type: ignore[attr-defined]
    ax.text(0.5, 0.5, f"{inner:.1f}", transform=ax.transAxes, ha="center", va="center", fontsize=8.5)
    ax.set_title(RADARS[figure], pad=12)
    ax.set_xticks(angles, classes)
    for label, angle in zip(ax.get_xticklabels(), angles, strict=True):
        label.set_horizontalalignment("left" if np.cos(angle) > 0.1 else "right" if np.cos(angle) < -0.1 else "center")
    if legend:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    return ax


def radar_centre(comparison: Comparison) -> float:
    """Return the value at the centre of the radars of a comparison: a tenth below all that they show.

    Parameters
    ----------
    comparison : Comparison
        Of regimes on the same rows.

    Returns
    -------
    float
    """
    names = [f"per_class.{c}.{figure}" for c in comparison.classes for figure in RADARS]
    lowest = np.nanmin([1.0, *numbers([comparison.figure(r, n).mean for r in comparison.regimes for n in names])])
    return float(max(0.0, np.floor((lowest - 0.05) * 10) / 10))


@register_plate("scores", 20)
def _radar_plate(subject: Subject) -> Plate | None:
    """Return the radars of F1, completeness and purity by class."""
    found = subject.comparison
    if found is None or len(found.classes) < 3:
        return None
    f1 = []
    for regime in found.regimes:
        each = [f"{c} {number(found.figure(regime, f'per_class.{c}.f1').mean, 2)}" for c in found.classes]
        f1.append(f"{regime}: {', '.join(each)}")
    # Three radars and one legend: no half-empty row.
    panels = [Panel(radar_figure, found, _RADAR, polar=True, options={"figure": f, "legend": False}) for f in RADARS]
    looks = {regime: regime_look(regime, found.regimes) for regime in found.regimes}
    panels.append(Panel(key_figure, looks, _RADAR, KEY))
    return Plate.worded(
        "radar",
        panels,
        centre=number(radar_centre(found), 1),
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
    legend_below(ax, 2, x=0.45, fontsize=8)
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
        cut=cut_words(curve.cut, magnitude_name(curve.about.get("provenance"))),
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


def share_key_figure(words: str, ax: Axes) -> Axes:
    """Draw the scale of colours of tables, in a place that would be empty.

    Parameters
    ----------
    words : str
        What the colour is.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    from matplotlib import colormaps

    ax.imshow(np.linspace(0, 1, 128)[None], cmap=colormaps["Blues"], extent=(0, 1, 0, 1), aspect=0.12, vmin=0, vmax=1)
    ax.set_xticks(np.linspace(0, 1, 6), [f"{100 * share:.0f} %" for share in np.linspace(0, 1, 6)])
    ax.set_yticks([])
    ax.set_xlabel(words)
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
    panels += [Panel(share_key_figure, "share of the true class", SMALL, KEY)] if len(panels) % 2 and panels[1:] else []
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


def magnitude_figure(
    result: Scored,
    ax: Axes,
    *,
    figure: str = "common.f1",
    title: str | None = None,
    legend: bool = True,
    band: str = "",
) -> Axes:
    """Draw a figure in bins of magnitude with 95 % intervals, and how many rows each bin has.

    Parameters
    ----------
    result : Evaluation, Comparison or mapping of str to Evaluation
        By regime.
    ax : Axes
        Where to draw.
    figure : str
        Dotted name, such as ``per_class.QSO_high.f1``; ``common.f1`` is macro-F1 over the classes of which a bin holds
        ten members or more.
    title : str, optional
        Above the axes, the name by default.
    legend : bool
        Whether to name the regimes.
    band : str
        What the magnitude is, where the result does not tell.

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
        note_above(ax, x, f"{n:,}", rotation=90, y=1.02)
    if not counts:
        return nothing(ax, f"{title}: no magnitude bin has {FEWEST} rows")
    ax.set_title(title, pad=28)
    ax.set_ylim(top=1.0 + 0.02 * (1.0 - ax.get_ylim()[0]))
    ends = [b[end] for one in evaluations.values() for b in one.by_magnitude for end in ("lower", "upper")]
    ax.set_xlim(min(ends), max(ends))
    if legend:
        legend_below(ax, 4, handlelength=1.6)
    return dress(ax, band or magnitude_name(getattr(result, "about", About()).get("provenance")), "F1", grid="y")


def _value(one: Any, name: str) -> Any:
    """Return a figure of a magnitude bin by dotted name, None where it is not there."""
    if name == "common.f1" and "common" not in one:  # an older result
        kept = [part["f1"] for part in one["per_class"].values() if part.get("n", 0) >= COMMON]
        return float(np.mean(kept)) if kept and None not in kept else None
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
    titles = {"common.f1": f"macro-F1, classes of {FEWEST} or more"}
    titles |= {f"per_class.{c}.f1": f"F1 of {c}" for c in subject.main.classes}
    shared = len(titles) % 2 == 1
    more = {"legend": not shared, "band": magnitude_name(subject.about.get("provenance"))}
    shown = [{"figure": name, "title": title, **more} for name, title in titles.items()]
    bins = subject.main.by_magnitude
    panels = [Panel(magnitude_figure, evaluations, (4.6, 3.3), options=options) for options in shown]
    if shared:
        looks = {regime: regime_look(regime, list(evaluations)) for regime in evaluations}
        panels.append(Panel(key_figure, looks, (4.6, 3.3), KEY))
    return Plate.worded(
        "magnitude",
        panels,
        band=magnitude_name(subject.about.get("provenance")),
        fewest=FEWEST,
        rows=subject.rows_words,
        bins=count(len(bins), "magnitude bin"),
        faint=bins[-1],
        regime=subject.main.regime,
        macro=number(_value(bins[-1], "common.f1")),
    )
