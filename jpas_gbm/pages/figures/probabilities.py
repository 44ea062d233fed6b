"""Probabilities of models: do they mean what they say, and how they run with redshift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...text import count, listed, number, sentence
from .plates import (
    BLUE,
    MUTED,
    THIRD,
    VERMILION,
    Panel,
    Plate,
    class_look,
    dress,
    legend_below,
    note_above,
    numbers,
    register_plate,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.evaluation import Evaluation
    from ...comparison.exhibits import Calibration, RedshiftCurves
    from ..results import Subject

_CLOSER = ("mocks-only", "target-only")


def reliability_figure(result: Evaluation | Calibration, ax: Axes, *, cls: str = "top") -> Axes:
    """Draw the true fraction against the mean probability in bins, with 68 % intervals; above, how many rows.

    Parameters
    ----------
    result : Evaluation or Calibration
        The latter knows the curves before calibration too.
    ax : Axes
        Where to draw.
    cls : str
        The class, or ``top``: the class of largest probability.

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
    for p, n in zip(after[cls]["mean_p"], after[cls]["n"], strict=True):
        note_above(ax, p, f"{int(n):,}", y=1.01, color=MUTED)
    top = cls == "top"
    ax.set_title("all classes: the class of largest probability" if top else cls, pad=14)
    if before:
        legend_below(ax, 2, at=(0.5, -0.22))
    x, y = ("largest probability", "share that is right") if top else (f"P({cls})", "true fraction")
    return dress(ax, x, y, xlim=(-0.04, 1.06), ylim=(-0.04, 1.06))


@register_plate("scores", 70)
def reliability_plate(subject: Subject) -> Plate | None:
    """Return reliability diagrams of the main model, before calibration too where that was kept."""
    kept = subject.exhibits.calibration
    after = kept.after if kept is not None else subject.main.curves.get("reliability")
    if not after:
        return None
    noise = subject.main.figures.values.get("calibration.ece_noise")
    from_noise = f"; {number(noise)} would come from noise alone" if noise is not None else ""
    before = kept is not None and kept.before
    names = ["top", *(name for name in after if name != "top")]
    return Plate.worded(
        "reliability",
        [Panel(reliability_figure, kept or subject.main, THIRD, options={"cls": name}) for name in names],
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
    filled = np.array(bins.n) > 0
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
        ax.axvline(result.z_cut, color=MUTED, lw=1, ls="--")
        note_above(ax, result.z_cut, f"z = {result.z_cut:g}", y=1.02, fontsize=8, color=MUTED)
    ax.set_title(title, pad=16)
    legend_below(ax, 4)
    return dress(ax, "redshift of the quasar", "probability", ylim=(-0.03, 1.03))


@register_plate("scores", 80)
def redshift_plate(subject: Subject) -> Plate | None:
    """Return probabilities against redshift, whole range and around the cut."""
    panels, quasars = [], []
    for regime, evaluation in subject.evaluations.items():
        one = subject.exhibits.redshift.get(evaluation.run)
        if one is None or not (regime in _CLOSER or regime == subject.main.regime):
            continue
        for bins, words in ((one.whole, "all redshifts"), (one.zoom, f"around z = {one.z_cut}")):
            if bins is not None:
                options = {"zoom": bins is one.zoom, "title": f"{regime}: {words}", "most": 3}
                panels.append(Panel(redshift_figure, one, (4.6, 3.5), options=options))
        quasars.append(f"{regime}, {count(one.rows, 'quasar')}")
    if not panels:
        return None
    return Plate.worded("redshift", panels, quasars=sentence(listed(quasars)), rows=subject.rows_words)
