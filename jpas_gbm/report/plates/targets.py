"""Plates of a candidate list."""

from __future__ import annotations

from ..candidate_list import ByThreshold, CandidateList
from ..figures.targets import Cut, cut_figure, sizes_figure, yield_figure
from ..saved import within
from ..words import count, listed, number, sentence
from .plate import HALF, Panel, Plate, keyed

_CUT = (3.4, 3.0)
_FIGURES = ("purity", "completeness")


def list_plates(found: CandidateList, prefix: str = "") -> list[Plate]:
    """Return the plates of a list; those without curves are left out."""
    return keyed([*cut_plates(found), yield_plate(found)], prefix)


def limits_words(found: CandidateList) -> str:
    """Return the magnitude limits of a list in words."""
    bright, faint = found.limits
    if bright is None:
        return "of any magnitude" if faint is None else f"of magnitude {faint:g} and brighter"
    return f"of magnitude {bright:g} and fainter" if faint is None else f"of magnitude {bright:g} to {faint:g}"


def bin_words(name: str) -> str:
    """Return the name of a magnitude bin as a heading."""
    told = f"magnitude {name}" if name[:1] in "<>0123456789-" else name
    return "all magnitudes" if name == "all" else told.replace(">=", "≥")


def _draws(found: CandidateList) -> str:
    """Return with how many draws and which seed intervals were made, where it is known."""
    draws, seed = within(found.record, "options", "draws"), found.record.get("seed")
    told = f" ({draws} draws)" if draws else ""
    return told + ("" if seed is None else f"; seed {seed}")


def cut_plates(found: CandidateList) -> list[Plate]:
    """Return purity and completeness against the threshold: a plate each by magnitude bin, or one for both."""
    bins = [name for name, curve in found.after.items() if len(curve.threshold)]
    if len(bins) == 1:
        return [_cut_plate(found, bins, _FIGURES)]
    return [_cut_plate(found, bins, (figure,)) for figure in _FIGURES] if bins else []


def _cut_plate(found: CandidateList, bins: list[str], figures: tuple[str, ...]) -> Plate:
    shown = [(figure, name) for figure in figures for name in bins]
    panels = [_cut_panel(found, figure, name, i == 0) for i, (figure, name) in enumerate(shown)]
    bare = [_place(found, name) for name in found.after if name not in bins]
    none = f" No {found.target} is among the labels of {listed(bare)}." if bare else ""
    asked = [f"{wanted:g}" for figure in figures if (wanted := found.wanted(figure)) is not None]
    rule = f"; dotted, what the rule asks, {asked[0]}" if asked else ""
    words = sentence(listed(figures))
    return Plate(
        "-".join(figures),
        f"{words} against the threshold",
        f"{words} of what a cut in P({found.target}) selects among held-out labelled sources {limits_words(found)}. "
        "Dashed: probabilities and class mix as labelled; solid: probabilities corrected and rows weighted to the "
        "field’s mix. Bands: 95 % bootstrap intervals over labelled objects, and over the mix where corrected"
        f"{_draws(found)}. Dash-dotted, the threshold of the list{rule}. Titles: {found.target} among the "
        f"labels.{none}",
        f"{words} against the least P({found.target}), before and after correction. "
        f"{'; '.join(_at_list(found, figure, name) for figure, name in shown)}.",
        tuple(panels),
        3 if len(bins) > 1 else 2,
    )


def _cut_panel(found: CandidateList, figure: str, name: str, legend: bool) -> Panel:
    before, after = found.before[name], found.after[name]
    title = f"{_place(found, name)}: {after.members:,} of {count(after.rows, 'label')}"
    cut = Cut(figure, title, found.target, before, after, found.threshold_at(name), found.wanted(figure), legend)
    return Panel(cut_figure, cut, _CUT if len(found.after) > 1 else HALF)


def _place(found: CandidateList, name: str) -> str:
    """Return a magnitude bin as a heading; of all, the limits of the list."""
    return (
        limits_words(found).removeprefix("of ") if name == "all" and found.limits != (None, None) else bin_words(name)
    )


def _at_list(found: CandidateList, figure: str, name: str) -> str:
    """Return what the corrected curve of a bin says at the threshold of the list, or at a half."""
    cut = found.threshold_at(name)
    level = 0.5 if cut is None else cut
    curve: ByThreshold = found.after[name]
    place = int(abs(curve.threshold - level).argmin())
    value = getattr(curve, figure).value[place]
    return f"{figure}, {_place(found, name)}, at {number(float(curve.threshold[place]), 2)}: {number(float(value), 2)}"


def yield_plate(found: CandidateList) -> Plate | None:
    """Return the yield against the size of the list."""
    if found.by_size is None:
        return None
    area = "" if found.area is None else f" on {found.area:,.4g} square degrees"
    density = "" if found.per_deg2 is None else f", {number(found.per_deg2, 1)} per square degree"
    told = f"This list: {count(found.rows, 'candidate')}, {found.expected:,.0f} expected to be true{density}"
    binned = " It takes each magnitude bin by itself, and so lies off the line." if len(found.parts) > 1 else ""
    return Plate(
        "yield",
        "What a list of another size would hold",
        f"Members of {found.target} expected among the likeliest sources of the field{area}, {limits_words(found)}, "
        "against the number of candidates; beside it, purity and completeness of such lists. Bands: 95 % intervals "
        f"over labels, field and chance{_draws(found)}. {told}.{binned}",
        f"Expected yield, purity and completeness against the number of candidates. {told}.",
        (Panel(yield_figure, found, HALF), Panel(sizes_figure, found, HALF)),
    )
