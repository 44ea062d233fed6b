"""Plates of a candidate list (purity and completeness against threshold, yield against size), and of one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...lists.records import ThresholdCurve
from ...lists.rivals import ListComparison
from ...lists.target_list import TargetList
from ...text import count, feature_words, listed, number, sentence, with_span
from .attribution import mark_lines
from .data import FLUX_LABEL, per_wavelength
from .plates import BLUE, HALF, INK, MUTED, ORANGE, VERMILION, Panel, Plate, dress, keyed, nothing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...explanation.explanation import Explanation


class Cut(NamedTuple):
    """Purity or completeness of labelled rows above a threshold, in one magnitude bin.

    Parameters
    ----------
    figure : {"purity", "completeness"}
    title : str
    cls : str
        The class.
    before, after : ThresholdCurve
        With probabilities as the model gave them, and corrected to the field's class mix.
    threshold : float, optional
        Of the list.
    wanted : float, optional
        What the rule asks for.
    legend : bool
        Whether to say which line is which.
    """

    figure: str
    title: str
    cls: str
    before: ThresholdCurve
    after: ThresholdCurve
    threshold: float | None = None
    wanted: float | None = None
    legend: bool = True


def cut_figure(result: Cut, ax: Axes) -> Axes:
    """Draw a figure against the threshold with 95 % bands, before and after the class mix is corrected.

    Parameters
    ----------
    result : Cut
    ax : Axes

    Returns
    -------
    Axes
    """
    ax.set_title(result.title, fontsize=8.5)
    if not len(result.after.threshold):
        return nothing(ax, f"no labelled {result.cls} here")
    for label, curve, colour, style in (
        ("class mix of the labels", result.before, ORANGE, "--"),
        ("class mix of the field", result.after, BLUE, "-"),
    ):
        value, low, high = curve.banded(result.figure)
        ax.fill_between(curve.threshold, low, high, color=colour, alpha=0.2, lw=0)
        ax.plot(curve.threshold, value, color=colour, ls=style, lw=1.4, label=label)
    if result.wanted is not None:
        ax.axhline(result.wanted, color=MUTED, lw=0.9, ls=":")
    if result.threshold is not None:
        ax.axvline(result.threshold, color=INK, lw=0.9, ls="-.", label="threshold of the list")
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel(f"least P({result.cls})")
    ax.set_ylabel(result.figure)
    ax.grid(visible=True)
    if result.legend:
        ax.legend(loc="best", fontsize=7)
    return ax


def yield_figure(found: TargetList, ax: Axes) -> Axes:
    """Draw the members expected among the likeliest rows, per square degree where the area is known.

    Parameters
    ----------
    found : TargetList
    ax : Axes

    Returns
    -------
    Axes
    """
    curve = found.curves.field
    if curve is None:
        return nothing(ax, "the curve of the field was not kept")
    size, true = curve.size, curve.banded("true")
    area = found.area or 1.0
    per = " per square degree" if found.area else ""
    ax.fill_between(size, true.low / area, true.high / area, color=BLUE, alpha=0.2, lw=0)
    ax.plot(size, true.value / area, color=BLUE, label="expected")
    most = float(np.nanmax(true.high)) / area
    ax.plot([0, most * area], [0, most], color=MUTED, ls=":", lw=1, label="if all were true")
    if len(found):
        ax.plot(len(found), found.expected / area, "*", ms=10, color=VERMILION, label="this list", zorder=3)
    ax.set_ylim(0, 1.08 * most)
    ax.set_xlim(left=0)
    ax.set_xlabel("candidates")
    ax.set_ylabel(f"true {found.cls}{per}")
    ax.grid(visible=True)
    ax.legend(loc="lower right")
    return ax


def sizes_figure(found: TargetList, ax: Axes) -> Axes:
    """Draw purity and completeness of the likeliest rows of the field against their number.

    Parameters
    ----------
    found : TargetList
    ax : Axes

    Returns
    -------
    Axes
    """
    curve = found.curves.field
    if curve is None:
        return nothing(ax, "the curve of the field was not kept")
    for name, colour, style in (("purity", BLUE, "-"), ("completeness", VERMILION, "--")):
        value, low, high = curve.banded(name)
        ax.fill_between(curve.size, low, high, color=colour, alpha=0.2, lw=0)
        ax.plot(curve.size, value, color=colour, ls=style, label=name)
    if len(found):
        ax.axvline(len(found), color=INK, lw=0.9, ls="-.", label="size of this list")
    ax.set_xlim(left=0)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("candidates")
    ax.set_ylabel("share")
    ax.grid(visible=True)
    ax.legend(loc="best", fontsize=7.5)
    return ax


_CUT = (3.4, 3.0)
_FIGURES = ("purity", "completeness")


def list_plates(found: TargetList, prefix: str = "") -> list[Plate]:
    """Return the plates of a list; those without curves are left out.

    Parameters
    ----------
    found : TargetList
    prefix : str
        Of the keys of the plates.

    Returns
    -------
    list of Plate
    """
    return keyed([*cut_plates(found), yield_plate(found)], prefix)


def density_words(density: float) -> str:
    """Return a number per square degree so that a sparse one is not told as none.

    Parameters
    ----------
    density : float

    Returns
    -------
    str

    Examples
    --------
    >>> density_words(0.0217), density_words(31.44)
    ('0.022', '31.4')
    """
    return number(density, 1 if density >= 10 else 3)


def limits_words(found: TargetList) -> str:
    """Return the magnitude limits of a list in words.

    Parameters
    ----------
    found : TargetList

    Returns
    -------
    str
    """
    bright, faint = found.magnitudes
    if bright is None:
        return "of any magnitude" if faint is None else f"of magnitude {faint:g} and brighter"
    return f"of magnitude {bright:g} and fainter" if faint is None else f"of magnitude {bright:g} to {faint:g}"


def bin_words(name: str) -> str:
    """Return the name of a magnitude bin as a heading.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
    """
    told = f"magnitude {name}" if name[:1] in "<>0123456789-" else name
    return "all magnitudes" if name == "all" else told.replace(">=", "≥")


def _draws(found: TargetList) -> str:
    """Return with how many draws and which seed intervals were made, where it is known."""
    draws, seed = (found.provenance.get("options") or {}).get("draws"), found.provenance.get("seed")
    told = f" ({count(draws, 'draw')})" if draws else ""
    return told + ("" if seed is None else f"; seed {seed}")


def cut_plates(found: TargetList) -> list[Plate]:
    """Return purity and completeness against the threshold: a plate each by magnitude bin, or one for both.

    Parameters
    ----------
    found : TargetList

    Returns
    -------
    list of Plate
    """
    bins = [name for name, curve in found.curves.labelled.items() if len(curve.after.threshold)]
    if len(bins) == 1:
        return [_cut_plate(found, bins, _FIGURES)]
    return [_cut_plate(found, bins, (figure,)) for figure in _FIGURES] if bins else []


def _cut_plate(found: TargetList, bins: list[str], figures: tuple[str, ...]) -> Plate:
    shown = [(figure, name) for figure in figures for name in bins]
    panels = [_cut_panel(found, figure, name, i == 0) for i, (figure, name) in enumerate(shown)]
    bare = [_place(found, name) for name in found.curves.labelled if name not in bins]
    none = f" No {found.cls} is among the labels of {listed(bare)}." if bare else ""
    asked = [f"{wanted:g}" for figure in figures if (wanted := found.wanted(figure)) is not None]
    rule = f"; dotted, what the rule asks, {asked[0]}" if asked else ""
    words = sentence(listed(figures))
    return Plate(
        "-".join(figures),
        f"{words} against the threshold",
        f"{words} of what a cut in P({found.cls}) selects among held-out labelled sources {limits_words(found)}. "
        "Dashed: probabilities and class mix as labelled; solid: probabilities corrected and rows weighted to the "
        "field’s mix. Bands: 95 % bootstrap intervals over labelled objects, and over the mix where corrected"
        f"{_draws(found)}. Dash-dotted, the threshold of the list{rule}. Titles: {found.cls} among the "
        f"labels.{none}",
        f"{words} against the least P({found.cls}), before and after correction. "
        f"{'; '.join(_at_list(found, figure, name) for figure, name in shown)}.",
        tuple(panels),
        3 if len(bins) > 1 else 2,
    )


def _cut_panel(found: TargetList, figure: str, name: str, legend: bool) -> Panel:
    curves = found.curves.labelled[name]
    after = curves.after
    title = f"{_place(found, name)}: {after.members:,} of {count(after.rows, 'label')}"
    cut = Cut(figure, title, found.cls, curves.before, after, found.threshold_at(name), found.wanted(figure), legend)
    return Panel(cut_figure, cut, _CUT if len(found.curves.labelled) > 1 else HALF)


def _place(found: TargetList, name: str) -> str:
    """Return a magnitude bin as a heading; of all, the limits of the list."""
    return (
        limits_words(found).removeprefix("of ")
        if name == "all" and found.magnitudes != (None, None)
        else bin_words(name)
    )


def _at_list(found: TargetList, figure: str, name: str) -> str:
    """Return what the corrected curve of a bin says at the threshold of the list, or at a half."""
    cut = found.threshold_at(name)
    level = 0.5 if cut is None else cut
    curve = found.curves.labelled[name].after
    place = int(abs(curve.threshold - level).argmin())
    value = curve.banded(figure).value[place]
    return f"{figure}, {_place(found, name)}, at {number(float(curve.threshold[place]), 2)}: {number(float(value), 2)}"


def yield_plate(found: TargetList) -> Plate | None:
    """Return the yield against the size of the list.

    Parameters
    ----------
    found : TargetList

    Returns
    -------
    Plate or None
    """
    if found.curves.field is None:
        return None
    area = "" if found.area is None else f" on {found.area:,.4g} square degrees"
    density = "" if found.per_deg2 is None else f", {density_words(found.per_deg2)} per square degree"
    told = f"This list: {count(len(found), 'candidate')}, {found.expected:,.0f} expected to be true{density}"
    binned = " It takes each magnitude bin by itself, and so lies off the line." if len(found.parts) > 1 else ""
    return Plate(
        "yield",
        "What a list of another size would hold",
        f"Members of {found.cls} expected among the likeliest sources of the field{area}, {limits_words(found)}, "
        "against the number of candidates; beside it, purity and completeness of such lists. Bands: 95 % intervals "
        f"over labels, field and chance{_draws(found)}. {told}.{binned}",
        f"Expected yield, purity and completeness against the number of candidates. {told}.",
        (Panel(yield_figure, found, HALF), Panel(sizes_figure, found, HALF)),
    )


def rivals_figure(result: ListComparison, ax: Axes) -> Axes:
    """Draw how many sources have each pair of classes, coloured by the share of our class.

    Parameters
    ----------
    result : ListComparison
    ax : Axes

    Returns
    -------
    Axes
    """
    counts = np.array(result.counts, dtype=np.float64)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), n in np.ndenumerate(counts.astype(int)):
        colour = "white" if share[i, j] > 0.5 else "black"
        ax.text(j, i, f"{n:,}\n{share[i, j]:.3f}", ha="center", va="center", fontsize=7.5, color=colour)
    place = range(len(result.classes))
    ax.set_xticks(place, result.classes, fontsize=7.5)
    ax.set_yticks(place, result.classes, fontsize=7.5)
    ax.set_xlabel(f"class in {result.names[1]}")
    ax.set_ylabel(f"class in {result.names[0]}")
    ax.set_title(f"{result.matched:,} sources, equal {with_span(result.agree, result.agree_interval)}", fontsize=8.5)
    return ax


def waterfall_figure(explanation: Explanation, ax: Axes, *, row: int = 0) -> Axes:
    """Draw how the log-odds of the pair add up for one row: bias, blocks of bands, imaging, calibration.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.
    row : int
        Which row.

    Returns
    -------
    Axes
        The same.
    """
    content, arrays = explanation.content, explanation.arrays
    own = next((one for one in content.objects if one.row == row), None)
    names = ["bias", *(block.name for block in content.blocks), *content.own.names, "calibration"]
    steps = np.array(
        [
            content.bias.pair if own is None else own.log_odds.bias,
            *arrays["pair_blocks"][row],
            *arrays["pair_own"][row],
            arrays["pair_calibration"][row],
        ]
    )
    ends = np.cumsum(steps)
    starts, ends, steps = np.append(ends - steps, 0), np.append(ends, ends[-1]), np.append(steps, ends[-1])
    colours = [*(VERMILION if step > 0 else BLUE for step in steps[:-1]), INK]
    place = np.arange(len(steps))
    ax.barh(place, steps, left=starts, color=colours, height=0.68)
    for i, end in enumerate(ends[:-2]):
        ax.plot([end, end], [i - 0.34, i + 1.34], color=MUTED, lw=0.6)
    low, high = min(starts.min(), ends.min(), 0.0), max(starts.max(), ends.max(), 0.0)
    reach = max(high - low, 0.1)
    # A bar too short to be seen is a mark.
    tiny = np.abs(steps) < 0.008 * reach
    ax.scatter(ends[tiny], place[tiny], marker="|", s=90, color=np.array(colours)[tiny], zorder=3)
    for i, (start, end, step) in enumerate(zip(starts, ends, steps, strict=True)):
        ax.text(max(start, end) + 0.02 * reach, i, number(step, 2, sign=True), va="center", fontsize=7.5)
    ax.set_xlim(low - 0.04 * reach, high + 0.17 * reach)
    ax.set_yticks(place, [*(feature_words(name) for name in names), "log-odds"], fontsize=7.5)
    ax.invert_yaxis()
    ax.axvline(0, color=INK, lw=0.7)
    first, second = (own and own.pair) or content.pair
    return dress(ax, f"ln P({first})/P({second})", grid="x")


def object_bands_figure(explanation: Explanation, ax: Axes, *, row: int = 0) -> Axes:
    """Draw the photo-spectrum of one row, each band coloured and underlaid by what it says for the pair.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.
    row : int
        Which row.

    Returns
    -------
    Axes
        The same.
    """
    content, arrays = explanation.content, explanation.arrays
    pivot = content.bands.pivots
    said = arrays["pair_bands"][row]
    level = float(arrays["level"][row])
    flux, err = (per_wavelength(arrays[name][row].astype(np.float64) * level, pivot) for name in ("flux", "flux_err"))
    seen = np.isfinite(flux)
    below = ax.twinx()
    below.bar(pivot, said, width=75, color=[VERMILION if s > 0 else BLUE for s in said], alpha=0.55, lw=0)
    below.axhline(0, color=MUTED, lw=0.6)
    reach = max(float(np.abs(said).max()), 1e-3)
    below.set_ylim(-1.15 * reach, 3.6 * reach)
    below.set_yticks([0, round(reach, 1)] if reach > 0.1 else [0])
    below.tick_params(labelsize=7.5)
    below.set_ylabel("attribution (bars)", fontsize=8, loc="bottom")
    ax.set_zorder(below.get_zorder() + 1)
    ax.patch.set_visible(False)
    shown = np.where(np.isfinite(err), err, 0)
    ax.errorbar(pivot[seen], flux[seen], yerr=shown[seen], fmt="o", ms=3, color=INK, elinewidth=0.8)
    if seen.any():
        low, high = np.quantile(flux[seen], [0.01, 0.99])
        span = max(high - low, 1e-9)
        top = min((flux + shown)[seen].max(), flux[seen].max() + 0.3 * span)
        ax.set_ylim(low - 0.65 * span, max(high + 0.2 * span, top + 0.05 * span))
    if np.isfinite(z := float(arrays["z"][row])):
        places = [(line, float(line.seen_at(z))) for line in content.lines]
        mark_lines([(line, at) for line, at in places if pivot.min() - 80 < at < pivot.max() + 80], ax)
    ax.set_xlabel("wavelength (Å)")
    ax.set_ylabel(FLUX_LABEL, fontsize=8)
    return ax
