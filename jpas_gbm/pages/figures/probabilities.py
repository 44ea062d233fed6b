"""Probabilities of models: do they mean what they say, how they run with redshift, and how good they are by stratum.

Strata of the sky go from sources like the mocks to sources unlike them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...comparison.evaluation import COMMON
from ...text import count, listed, number, sentence, with_span
from .plates import (
    BLUE,
    HALF,
    KEY,
    MUTED,
    ORANGE,
    THIRD,
    VERMILION,
    Panel,
    Plate,
    class_look,
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
from .scores import evaluations_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...adaptation.domain_report import Coverage, Stratum
    from ...comparison.evaluation import Evaluation
    from ...comparison.exhibits import Calibration, RedshiftBins, RedshiftCurves
    from ..results import Subject
    from .scores import Scored

_CLOSER = ("mocks-only", "target-only")


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
    evaluations = evaluations_of(result)
    cls = cls or next(iter(_classes(evaluations, "roc")))
    # One row is the smallest rate that there is; below it nothing was measured.
    lowest = 1 / max(max(one.n_test - one.figures.counts[cls] for one in evaluations.values()), 10)
    _draw_curves(result, ax, cls, "roc", ("false_positive", "true_positive"), lowest, drawstyle="steps-post")
    legend = {"title": "area under the curve", "loc": "best", "title_fontsize": 8}
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
    legend = {"title": "average precision", "loc": "best", "title_fontsize": 8}
    return dress(ax, "completeness", "purity", title=cls, legend=legend, xlim=(0, 1.02), ylim=(0, 1.02))


_AREAS = {"roc": "auroc", "purity": "average_precision"}


def _draw_curves(
    result: Scored,
    ax: Axes,
    cls: str | None,
    kind: Literal["roc", "purity"],
    axes: tuple[str, str],
    least: float = -np.inf,
    **style: Any,
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


def reliability_figure(result: Evaluation | Calibration, ax: Axes, *, cls: str = "top", legend: bool = True) -> Axes:
    """Draw the true fraction against the mean probability in bins, with 68 % intervals; above, how many rows.

    Parameters
    ----------
    result : Evaluation or Calibration
        The latter knows the curves before calibration too.
    ax : Axes
        Where to draw.
    cls : str
        The class, or ``top``: the class of largest probability.
    legend : bool
        Whether to say which points are before calibration.

    Returns
    -------
    Axes
        The same.
    """
    before = getattr(result, "before", None)
    after = result.curves["reliability"] if hasattr(result, "curves") else result.after
    shown = [("after", after[cls], BLUE, "o", 0.004)]
    if before:
        shown.insert(0, ("before", before[cls], VERMILION, "s", -0.004))
    ax.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls="--")
    for name, curve, colour, marker, aside in shown:
        p, fraction, low, high = (numbers(curve[part]) for part in ("mean_p", "fraction", "low", "high"))
        bars = np.maximum([fraction - low, high - fraction], 0)
        face = "none" if name == "before" else colour
        label = f"{name} calibration" if before else None
        look: dict[str, Any] = {"fmt": marker, "ms": 4.5, "mfc": face, "color": colour, "capsize": 1.5}
        ax.errorbar(p + aside, fraction, yerr=bars, label=label, **look)
        ax.plot(p + aside, fraction, color=colour, lw=1, alpha=0.6)
    _counts_above(ax, numbers(after[cls]["mean_p"]), numbers(after[cls]["n"]), 0.045)
    top = cls == "top"
    ax.set_title("the class of largest probability" if top else cls, pad=26)
    if before and legend:
        legend_below(ax, 2)
    x, y = ("largest probability", "share that is right") if top else (f"P({cls})", "true fraction")
    return dress(ax, x, y, xlim=(-0.04, 1.06), ylim=(-0.04, 1.06))


def _counts_above(ax: Axes, places: np.ndarray, counts: np.ndarray, near: float) -> None:
    """Write how many rows bins hold above them, upright: numbers of bins near each other stand on two levels."""
    raised, last = False, -np.inf
    for place, n in zip(places, counts, strict=True):
        raised, last = not raised and bool(place - last < near), place
        note_above(ax, place, f"{int(n):,}", rotation=90, y=1.06 if raised else 1.01, color=MUTED, fontsize=6)


@register_plate("scores", 70)
def _reliability_plate(subject: Subject) -> Plate | None:
    """Return reliability diagrams of the main model, before calibration too where that was kept."""
    kept = subject.exhibits.calibration
    after = kept.after if kept is not None else subject.main.curves.get("reliability")
    if not after:
        return None
    noise = subject.main.figures.values.get("calibration.ece_noise")
    from_noise = f"; {number(noise)} would come from noise alone" if noise is not None else ""
    before = kept is not None and kept.before
    names = ["top", *(name for name in after if name != "top")]
    shared = bool(before) and len(names) % 3 != 0
    options = [{"cls": name, "legend": not shared} for name in names]
    panels = [Panel(reliability_figure, kept or subject.main, THIRD, options=one) for one in options]
    if shared:
        looks = {
            "before calibration": {"color": VERMILION, "marker": "s", "mfc": "none"},
            "after calibration": {"color": BLUE, "marker": "o"},
            "perfect": {"color": MUTED, "ls": "--", "lw": 0.8},
        }
        panels.append(Panel(key_figure, looks, THIRD, KEY))
    return Plate.worded(
        "reliability",
        panels,
        3,
        run=subject.run if kept is None else kept.run,
        rows=subject.rows_words,
        ece=f"Expected calibration error {number(subject.main['ece'])}{from_noise}",
        missing="" if before else " Probabilities before calibration were not kept with this result.",
        which="before and after calibration" if before else "after calibration",
        main=subject.run,
    )


def redshift_figure(result: RedshiftCurves, ax: Axes, *, zoom: bool = False, title: str = "", most: int = 9) -> Axes:
    """Draw binned medians of P(class) of objects of known redshift, with the band of the central 68 %.

    Parameters
    ----------
    result : RedshiftCurves
        Bins of one run.
    ax : Axes
        Where to draw.
    zoom : bool
        Whether to draw the redshifts about the one that parts classes, where these bins were kept.
    title : str
        Above the axes.
    most : int
        How many classes to draw.

    Returns
    -------
    Axes
        The same.
    """
    bins = result.zoom if zoom and result.zoom is not None else result.whole
    filled = np.array(bins.n) >= COMMON
    if not filled.any():
        return nothing(ax, f"{title}: no bin of redshift holds {COMMON} quasars")
    z = numbers(bins.z)[filled]
    classes = list(result.whole.classes)[:most]
    for name in classes:
        if name not in bins.classes:
            continue
        one = bins.classes[name]
        median, low, high = (numbers(part)[filled] for part in (one.median, one.low, one.high))
        look = class_look(name, classes)
        ax.fill_between(z, low, high, color=look["color"], alpha=0.18, lw=0)
        ax.plot(z, median, ms=3.5, label=f"P({name})", **look)
    if result.z_cut is not None:
        ax.axvline(result.z_cut, color=MUTED, lw=1, ls="--", label=f"z = {result.z_cut:g}")
    _counts_above(ax, z, np.array(bins.n)[filled], 0.035 * (z[-1] - z[0]))
    ax.set_title(title, pad=26)
    legend_below(ax, 2, fontsize=7.5, handlelength=1.6)
    return dress(ax, "redshift of the quasar", "probability", ylim=(-0.03, 1.03))


def _both_sides(curves: RedshiftCurves) -> RedshiftBins | None:
    """Return the bins around the redshift that parts classes, where both sides of it hold some that are drawn."""
    if curves.zoom is None or curves.z_cut is None:
        return None
    filled = numbers(curves.zoom.z)[np.array(curves.zoom.n) >= COMMON]
    return curves.zoom if (filled < curves.z_cut).any() and (filled >= curves.z_cut).any() else None


@register_plate("scores", 80)
def _redshift_plate(subject: Subject) -> Plate | None:
    """Return probabilities against redshift, whole range and around the cut."""
    panels, quasars = [], []
    for regime, evaluation in subject.evaluations.items():
        one = subject.exhibits.redshift.get(evaluation.run)
        if one is None or not (regime in _CLOSER or regime == subject.main.regime):
            continue
        for bins, words in ((one.whole, "all redshifts"), (_both_sides(one), f"around z = {one.z_cut}")):
            if bins is not None:
                options = {"zoom": bins is one.zoom, "title": f"{regime}: {words}", "most": 3}
                panels.append(Panel(redshift_figure, one, (4.6, 3.5), options=options))
        quasars.append(f"{regime}, {count(one.rows, 'quasar')}")
    if not panels:
        return None
    words = sentence(listed(quasars))
    columns = 2 if len(panels) % 2 == 0 else min(len(panels), 3)
    return Plate.worded("redshift", panels, columns, quasars=words, rows=subject.rows_words, fewest=COMMON)


def strata_figure(coverage: Coverage, ax: Axes) -> Axes:
    """Draw the log loss of each stratum of the sky, from like the mocks to unlike, with 95 % intervals.

    Parameters
    ----------
    coverage : Coverage
        Strata of the sky, from a model card.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    strata = coverage["strata"]
    if not strata or "log_loss" not in strata[0]:
        return nothing(ax, "no labels of the sky were seen: the strata have no scores")
    losses = numbers([one["log_loss"] for one in strata])
    bars = reach(losses, [one["interval"] for one in strata])
    ax.axhline(coverage["log_loss"], color=MUTED, lw=0.8, ls="--", label=f"all: {coverage['log_loss']:.3f}")
    ax.errorbar(range(len(strata)), losses, yerr=bars, fmt="o", ms=5, capsize=2, color=BLUE)
    for x, one in enumerate(strata):
        note_above(ax, x, f"{one['n']:,}", fontsize=7)
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=7.5)
    return _by_stratum(strata, ax, "log loss (nats)")


def covered_figure(coverage: Coverage, ax: Axes) -> Axes:
    """Draw what share of the mocks lies in each stratum of the sky, beside the share of the sky.

    Parameters
    ----------
    coverage : Coverage
        Strata of the sky, from a model card.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    strata = coverage["strata"]
    for side, colour, ns, whole, label in (
        (-0.19, BLUE, [one["n"] for one in strata], coverage["n"], "sky"),
        (0.19, ORANGE, [one["mocks"] for one in strata], coverage["mocks"], "mocks"),
    ):
        shares = 100 * np.array(ns) / max(whole, 1)
        bars = ax.bar(np.arange(len(strata)) + side, shares, 0.36, color=colour, label=label)
        ax.bar_label(bars, [f"{n:,}" for n in ns], fontsize=6.5, rotation=90, padding=2)  # upright, neighbours touch
    ax.margins(y=0.3)
    ax.legend(fontsize=7.5, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), borderaxespad=0.2)
    return _by_stratum(strata, ax, "share of the rows (%)")


def _by_stratum(strata: Sequence[Stratum], ax: Axes, label: str) -> Axes:
    """Set up axes of which x is the stratum."""
    ax.set_xticks(range(len(strata)), [f"{one['p_sky'][0]:.2f}\nto {one['p_sky'][1]:.2f}" for one in strata])
    return dress(ax, "P(sky) of the domain classifier", label, grid="y", xlim=(-0.5, len(strata) - 0.5))


@register_plate("card", 10)
def strata_plate(card: Any, name: str) -> Plate | None:
    """Return where the mocks reach and how good the model is there, if its card tells.

    Parameters
    ----------
    card : mapping
        Model card.
    name : str
        Of the run or model, such as ``ssda-seed0``.

    Returns
    -------
    Plate or None
    """
    found: Coverage | None = (card.get("domain") or {}).get("coverage")
    if not found or not found.get("strata"):
        return None
    strata, panels = found["strata"], [Panel(covered_figure, found)]
    rows, scored, worst = "sky row", "Their labels were not seen, so there are no scores.", ""
    if "log_loss" in found:
        panels.insert(0, Panel(strata_figure, found))
        rows = "sky row of the validation split, of any magnitude,"
        scored = (
            "Points: log loss of what was kept, calibrated by cross-fitting, with 95 % bootstrap intervals over "
            "objects, and numbers of rows."
        )
        one = max(strata, key=lambda one: one["log_loss"])
        loss = f"{with_span(one['log_loss'], one['interval'])} against {number(found['log_loss'])} of all"
        worst = f" Log loss is largest, {loss}, for {_range(one)}."
    least = min(strata, key=lambda one: one["mocks"] / one["n"])
    return Plate.worded(
        "strata",
        panels,
        name=name,
        rows=count(found["n"], rows, rows.replace("row", "rows", 1)),
        scored=scored,
        mocks=count(found["mocks"], "mock"),
        strata=count(len(strata), "stratum", "strata"),
        sky=count(found["n"], "sky row"),
        rarest=f"{_range(least)}: {least['mocks']:,} for {count(least['n'], 'sky row')}",
        worst=worst,
    )


def _range(stratum: Stratum) -> str:
    """Return the range of P(sky) of a stratum in words."""
    low, high = stratum["p_sky"]
    return f"P(sky) {number(low, 2)} to {number(high, 2)}"
