"""Probabilities of models: do they mean what they say, and how they run with redshift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...text import count, listed, number, sentence
from .plates import THIRD, Panel, Plate, register_plate
from .style import BLUE, MUTED, VERMILION, class_look, legend_below, note_above, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.evaluation import Evaluation
    from ...comparison.exhibits import RedshiftBins, RedshiftCurves
    from ..results import Subject


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
