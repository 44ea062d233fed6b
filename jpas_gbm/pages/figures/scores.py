"""Probability against redshift.

Curves of one class over regimes: ROC, and purity against completeness.

Confusion matrices.

Reliability diagrams: do probabilities mean what they say?

Figures of merit by magnitude, with intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .style import BLUE, MUTED, VERMILION, class_look, nothing, numbers, reach, regime_look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.evaluation import Evaluation


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


_LOWEST_RATE = 1e-4


def roc_figure(result: ClassCurves, ax: Axes) -> Axes:
    """Draw true- against false-positive rate, the latter in the logarithm: low rates are where it matters."""
    for regime, curve in result.curves.items():
        fpr, tpr = np.array(numbers(curve["false_positive"])), np.array(numbers(curve["true_positive"]))
        look = regime_look(regime, list(result.curves))
        label = f"{regime}  {_area(result.areas.get(regime))}"
        ax.plot(
            np.maximum(fpr, _LOWEST_RATE),
            tpr,
            drawstyle="steps-post",
            color=look["color"],
            ls=look["linestyle"],
            label=label,
        )
    ax.set_xscale("log")
    ax.set_xlim(_LOWEST_RATE, 1)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("false-positive rate")
    ax.set_ylabel("true-positive rate")
    ax.grid(visible=True)
    ax.set_title(result.name)
    ax.legend(title="area under the curve", loc="lower right", title_fontsize=8)
    return ax


def purity_figure(result: ClassCurves, ax: Axes) -> Axes:
    """Draw the purity of the sample above a cut in P(class) against its completeness."""
    for regime, curve in result.curves.items():
        look = regime_look(regime, list(result.curves))
        completeness, purity = numbers(curve["completeness"]), numbers(curve["purity"])
        label = f"{regime}  {_area(result.areas.get(regime))}"
        ax.plot(completeness, purity, color=look["color"], ls=look["linestyle"], label=label)
    if result.prevalence is not None:
        ax.plot([0.6, 1.02], [result.prevalence, result.prevalence], color=MUTED, lw=1, ls=":")
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("completeness")
    ax.set_ylabel("purity")
    ax.grid(visible=True)
    ax.set_title(result.name)
    ax.legend(title="average precision", loc="lower left", title_fontsize=8)
    return ax


def _area(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


LIGHT, DARK = "#FFFFFF", "#000000"


def confusion_figure(evaluation: Evaluation, ax: Axes) -> Axes:
    """Draw counts coloured by the share of the true class; the diagonal tells recall, precision and F1.

    Parameters
    ----------
    evaluation : Evaluation
        Decisions by argmax.
    ax : Axes
    """
    from matplotlib import colormaps

    counts = np.array(evaluation["confusion"], dtype=np.float64)
    classes = evaluation["classes"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    palette = colormaps["Blues"]
    ax.imshow(shares, cmap=palette, vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*counts.shape):
        share = shares[row, column]
        ink = LIGHT if share > 0.55 else DARK
        text = f"{counts[row, column]:,.0f}"
        if row == column:
            told = evaluation["per_class"][classes[row]]
            words = [("R", "recall"), ("P", "precision"), ("F1", "f1")]
            text += "\n" + "\n".join(f"{short} {_share(told[name])}" for short, name in words)
        elif counts[row].sum():
            text += f"\n{100 * share:.1f} %"
        size = 8.5 if row == column else 8
        ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=size, linespacing=1.15)
    ax.set_xticks(range(len(classes)), classes)
    ax.set_yticks(range(len(classes)), classes, rotation=90, va="center")
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_xticks(np.arange(len(classes) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(classes) - 1) + 0.5, minor=True)
    ax.grid(which="minor", color=LIGHT, lw=1.5)
    ax.tick_params(which="minor", length=0)
    return ax


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


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
        p, fraction = np.array(numbers(curve["mean_p"])), np.array(numbers(curve["fraction"]))
        low, high = np.array(numbers(curve["low"])), np.array(numbers(curve["high"]))
        bars = np.maximum([fraction - low, high - fraction], 0)
        face = "none" if name == "before" else colour
        label = f"{name} calibration" if result.before is not None else None
        ax.errorbar(
            p + aside, fraction, yerr=bars, fmt=marker, ms=4.5, mfc=face, color=colour, capsize=1.5, label=label
        )
        ax.plot(p + aside, fraction, color=colour, lw=1, alpha=0.6)
    for p, n in zip(result.after["mean_p"], result.after["n"], strict=True):
        where = ax.get_xaxis_transform()
        ax.text(p, 1.01, f"{int(n):,}", fontsize=6.5, ha="center", va="bottom", color=MUTED, transform=where)
    ax.set_xlim(-0.04, 1.06)
    ax.set_ylim(-0.04, 1.06)
    top = result.name == "top"
    ax.set_xlabel("largest probability" if top else f"P({result.name})")
    ax.set_ylabel("share that is right" if top else "true fraction")
    ax.set_title("all classes: the class of largest probability" if top else result.name, pad=14)
    ax.grid(visible=True)
    if result.before is not None:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, columnspacing=1.0)
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
    for place, n in counts.items():
        ax.text(
            place,
            1.0,
            f"{n:,}",
            fontsize=6.5,
            ha="center",
            va="bottom",
            rotation=90,
            transform=ax.get_xaxis_transform(),
        )
    if not counts:
        return nothing(ax, f"{result.title}: no magnitude bin has {FEWEST} rows")
    ax.set_title(result.title, pad=26)
    ax.set_xlabel("magnitude")
    ax.set_ylabel("score")
    ax.grid(axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=4, columnspacing=1.0, handlelength=1.6)
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


class AgainstRedshift(NamedTuple):
    """What a model says of objects of known redshift.

    Parameters
    ----------
    bins : mapping
        ``whole`` or ``zoom`` of :func:`~jpas_gbm.comparison.redshift_curves.redshift_curves`.
    classes : tuple of str
        The classes to draw.
    z_cut : float or None
        Where a class begins.
    title : str
    """

    bins: Mapping[str, Any]
    classes: tuple[str, ...]
    z_cut: float | None
    title: str


def redshift_figure(result: AgainstRedshift, ax: Axes) -> Axes:
    """Draw binned medians of P(class) against redshift, with the band of the central 68 %."""
    bins = result.bins
    filled = np.array(bins["n"]) > 0
    z = np.array(numbers(bins["z"]))
    for name in result.classes:
        if name not in bins["classes"]:
            continue
        one = {part: np.array(numbers(values)) for part, values in bins["classes"][name].items()}
        look = class_look(name, result.classes)
        ax.fill_between(z[filled], one["low"][filled], one["high"][filled], color=look["color"], alpha=0.18, lw=0)
        ax.plot(z[filled], one["median"][filled], ms=3.5, label=f"P({name})", **look)
    if result.z_cut is not None:
        ax.axvline(result.z_cut, color=MUTED, lw=1, ls="--")
        ax.annotate(
            f"z = {result.z_cut:g}",
            (result.z_cut, 1.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=8,
            color=MUTED,
        )
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("redshift of the quasar")
    ax.set_ylabel("probability")
    ax.set_title(result.title, pad=16)
    ax.grid(visible=True)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=4, columnspacing=1.2)
    return ax
