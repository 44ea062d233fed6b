"""Mocks and sky: how far they are apart, band by band, in a learnt space, and in strata of a domain classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...text import count, listed, number, sentence, with_span
from .plates import HALF, THIRD, Panel, Plate, register_plate
from .style import BLUE, MUTED, ORANGE, PALE, class_look, note_above, nothing, numbers, reach

if TYPE_CHECKING:
    from matplotlib.axes import Axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.exhibits import Exhibits
    from ...comparison.map import SkyMap
    from ...comparison.separation import Separation


def separation_figure(separation: Separation, ax: Axes) -> Axes:
    """Draw by band the chance that the sky is brighter there than a mock of its class; 0.5 is alike."""
    pivot, broad, order = _bands(separation)
    area, error = (np.array(numbers(values))[order] for values in (separation.area, separation.error))
    ax.fill_between(pivot, 0.5 - 2 * error, 0.5 + 2 * error, color=PALE, lw=0, label="2 σ if both were alike")
    ax.axhline(0.5, color=MUTED, lw=0.8)
    ax.vlines(pivot, 0.5, area, color=BLUE, lw=1.2)
    ax.plot(pivot[~broad], area[~broad], "o", ms=3.5, color=BLUE, label="narrow band")
    if broad.any():
        ax.plot(pivot[broad], area[broad], "D", ms=5, color=BLUE, label="broad band")
    half = max(0.06, 1.25 * float(np.nanmax(np.abs(area - 0.5), initial=0)))
    ax.set(ylim=(0.5 - half, 0.5 + half), xlabel="pivot wavelength (Å)", ylabel="P(sky brighter than mock)")
    ax.grid(axis="y")
    ax.legend(ncols=3, loc="upper center", fontsize=7.5)
    return ax


def missing_figure(separation: Separation, ax: Axes, source: str = "mocks") -> Axes:
    """Draw the share of rows in which each band is missing, sky and mocks."""
    pivot, _, order = _bands(separation)
    for missing, colour, marker, label in (
        (separation.missing_target, BLUE, "o", "sky"),
        (separation.missing_source, ORANGE, "s", f"{source} as they are"),
    ):
        values = 100 * np.array(numbers(missing))[order]
        ax.plot(pivot, values, marker=marker, ms=3.5, lw=1, color=colour, label=label)
    ax.set(ylim=(0, max(1.0, ax.get_ylim()[1])), xlabel="pivot wavelength (Å)", ylabel="rows without it (%)")
    ax.grid(axis="y")
    ax.legend(fontsize=7.5)
    return ax


def _bands(separation: Separation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pivots and which bands are broad, by rising pivot, and that order."""
    bands = separation.bands.bands
    pivot = np.array([band.pivot for band in bands], dtype=np.float64)
    order = np.argsort(pivot)
    return pivot[order], np.array([band.kind == "broad" for band in bands])[order], order


LEVELS = (0.5, 0.9)
"""Contours hold these shares of the rows of a group."""


class MapPanel(NamedTuple):
    """What one panel of the map shows.

    Parameters
    ----------
    sky_map : SkyMap
    group : str
        Whose points are drawn: ``source``, ``labelled`` or ``unlabelled``.
    title : str
    source : str
        What the source domain is called.
    """

    sky_map: SkyMap
    group: str
    title: str
    source: str = "mocks"


def map_figure(result: MapPanel, ax: Axes) -> Axes:
    """Draw the points of a group by class, contours of each class, and the outline of the mocks."""
    found, group = result.sky_map, result.group
    classes = found.classes
    points = found.points.get(group, np.empty((0, 3)))
    for code, name in enumerate(classes):
        mine = points[points[:, 2] == code]
        look = class_look(name, classes)
        if len(mine):
            ax.scatter(mine[:, 0], mine[:, 1], s=5, color=look["color"], alpha=0.45, lw=0, rasterized=True)
        ax.plot([], [], "o", color=look["color"], ms=5, label=name)
        _contours(found, f"{group}/{name}", look["color"], ax)
    _finish(found, result.title, ax)
    ax.legend(loc="best", fontsize=7.5, handletextpad=0.2)
    return ax


def domains_map_figure(result: MapPanel, ax: Axes) -> Axes:
    """Draw labelled against unlabelled sky, and the outline of the mocks."""
    found = result.sky_map
    for group, colour in (("labelled", BLUE), ("unlabelled", ORANGE)):
        points = found.points.get(group, np.empty((0, 3)))
        if len(points):
            ax.scatter(points[:, 0], points[:, 1], s=5, color=colour, alpha=0.35, lw=0, rasterized=True)
            ax.plot([], [], "o", color=colour, ms=5, label=f"sky, {group}")
        _contours(found, group, colour, ax)
    _contours(found, "source", MUTED, ax)
    ax.plot([], [], color=MUTED, label=result.source)
    _finish(found, result.title, ax)
    ax.legend(loc="best", fontsize=7.5, handletextpad=0.4)
    return ax


def _contours(found: SkyMap, part: str, colour: str, ax: Axes) -> None:
    if part in found.mass:
        styles = ["--" if level > LEVELS[0] else "-" for level in LEVELS]
        ax.contour(found.x, found.y, found.mass[part], levels=LEVELS, colors=colour, linestyles=styles, linewidths=1.1)


def _finish(found: SkyMap, title: str, ax: Axes) -> None:
    ax.set(xlim=(found.x[0], found.x[-1]), ylim=(found.y[0], found.y[-1]), title=title)
    ax.set(xlabel="first discriminant of the margins", ylabel="second discriminant")


def plot_map(result: SkyMap, ax: Axes, *, group: str = "", title: str = "") -> Axes:
    """Draw a group (``source``, ``labelled``) by class in the space that a model has learnt, or all without it."""
    return (map_figure if group else domains_map_figure)(MapPanel(result, group, title), ax)


@register_plate("data", 30)
def separation_plate(exhibits: Exhibits) -> Plate | None:
    """Return how far mocks and sky are apart by band, and what is missing."""
    found, source = exhibits.separation, exhibits.source_word
    if found is None or not any(area is not None for area in found.area):
        return None
    gap = np.array([abs((area if area is not None else 0.5) - 0.5) for area in found.area])
    top = [found.bands.names[i] for i in np.argsort(-gap, kind="stable")[:3]]
    return Plate(
        "separation",
        f"How far {source} and sky are apart, band by band",
        "Above: the chance that a sky source is brighter in a band, relative to its own median flux, than one of the "
        f"{source} of its class (0.5: alike; mean over {listed(found.classes)} as common as in the sky). Below: "
        f"rows in which the band is missing. {found.source_rows:,} {source} of the training split and "
        f"{count(found.target_rows, 'labelled sky source')} of the training and validation splits.",
        f"Differences between {source} and sky by band; the largest are in {listed(top)}, with chances up to "
        f"{number(0.5 + float(gap.max()), 2)}.",
        (
            Panel(separation_figure, found, (9.4, 3.2), (4.6, 3.2)),
            Panel(missing_figure, found, (9.4, 2.6), (4.6, 2.8), options={"source": source}),
        ),
        1,
    )


@register_plate("data", 40)
def map_plate(exhibits: Exhibits) -> Plate | None:
    """Return the map of mocks and sky in the learnt plane."""
    found, source = exhibits.sky_map, exhibits.source_word
    if found is None:
        return None
    groups = [("source", source), ("labelled", "sky, labelled")]
    panels = [Panel(map_figure, MapPanel(found, g, words), THIRD) for g, words in groups if g in found.points]
    panels.append(Panel(domains_map_figure, MapPanel(found, "", "labelled and unlabelled", source), THIRD))
    rows, outside = found.rows, found.outside
    n = ", ".join(f"{rows[g]:,} {words}" for g, words in [*groups, ("unlabelled", "sky, unlabelled")] if g in rows)
    levels = listed([f"{100 * level:.0f} %" for level in LEVELS])
    far = [
        f"{100 * share:.1f} % of the {g}" for g in ("labelled", "unlabelled") if (share := outside.get(g)) is not None
    ]
    beyond = f" Where less than 1 % of the {source} lie: {listed(far)} sky." if far else ""
    model = f"Model {exhibits.calibration.run}. " if exhibits.calibration is not None else ""
    return Plate(
        "map",
        f"{sentence(source)} and sky in the space that the model has learnt",
        "The plane of the model's margins in which the classes lie farthest apart (linear discriminants, classes of "
        f"equal weight). {model}Contours hold {levels} of the rows of a group. {n}; points are a sample.{beyond}",
        f"Three scatter maps with density contours: {source} and labelled sky by class, and labelled against "
        f"unlabelled sky.{beyond}",
        tuple(panels),
        3,
    )


def strata_figure(coverage: Mapping[str, Any], ax: Axes) -> Axes:
    """Draw the log loss of each stratum of the sky, from like the mocks to unlike, with 95 % intervals."""
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
    ax.set_ylabel("log loss (nats)")
    ax.legend(fontsize=7.5)
    return _by_stratum(strata, ax)


def covered_figure(coverage: Mapping[str, Any], ax: Axes) -> Axes:
    """Draw what share of the mocks lies in each stratum of the sky, beside the share of the sky."""
    strata = coverage["strata"]
    for side, whole, colour, name, label in (
        (-0.19, coverage["n"], BLUE, "n", "sky"),
        (0.19, coverage["mocks"], ORANGE, "mocks", "mocks"),
    ):
        place = [i + side for i in range(len(strata))]
        shares = [100 * one[name] / max(whole, 1) for one in strata]
        ax.bar(place, shares, 0.36, color=colour, label=label)
        for x, share, one in zip(place, shares, strata, strict=True):
            ax.text(x, share, f"{one[name]:,}", fontsize=6.5, ha="center", va="bottom")
    ax.set_ylabel("share of the rows (%)")
    ax.margins(y=0.2)
    ax.legend(fontsize=7.5, ncols=2, loc="upper center")
    return _by_stratum(strata, ax)


def _by_stratum(strata: Sequence[Mapping[str, Any]], ax: Axes) -> Axes:
    ends = [f"{one['p_sky'][0]:.2f}\nto {one['p_sky'][1]:.2f}" for one in strata]
    ax.set_xticks(range(len(strata)), ends)
    ax.set(xlim=(-0.5, len(strata) - 0.5), xlabel="P(sky) of the domain classifier")
    ax.grid(axis="y")
    return ax


@register_plate("card", 10)
def strata_plate(card: Mapping[str, Any], name: str) -> Plate | None:
    """Return where the mocks reach and how good the model is there, if its card tells.

    Parameters
    ----------
    card : mapping
        Model card.
    name : str
        Of the run or model, such as ``ssda-seed0``.
    """
    found = (card.get("domain") or {}).get("coverage")
    if not found or not found.get("strata"):
        return None
    strata, panels = found["strata"], [Panel(covered_figure, found, HALF)]
    rows, scored, alt = "sky row", "Their labels were not seen, so there are no scores.", ""
    if "log_loss" in found:
        panels.insert(0, Panel(strata_figure, found, HALF))
        rows = "sky row of the validation split, of any magnitude,"
        scored = (
            "Points: log loss of what was kept, calibrated by cross-fitting, with 95 % bootstrap intervals over "
            "objects, and numbers of rows."
        )
        worst = max(strata, key=lambda one: one["log_loss"])
        loss = with_span(worst["log_loss"], worst["interval"])
        alt = f" Log loss is largest, {loss} against {number(found['log_loss'])} of all, for {_range(worst)}."
    least = min(strata, key=lambda one: one["mocks"] / one["n"])
    return Plate(
        "strata",
        f"Where the mocks reach, and where they do not: {name}",
        f"{count(found['n'], rows, rows.replace('row', 'rows', 1))} in strata by what a cross-fitted classifier says, "
        f"from sources like the mocks to sources unlike them. {scored} Bars: the share of these rows in each stratum, "
        f"and of the {count(found['mocks'], 'mock')} that train; where mocks are few, they do not teach that "
        f"part of the sky. Model {name}.",
        f"{count(len(strata), 'stratum', 'strata')} of {count(found['n'], 'sky row')} by P(sky). Mocks are rarest for "
        f"{_range(least)}: {least['mocks']:,} for {count(least['n'], 'sky row')}.{alt}",
        tuple(panels),
    )


def _range(stratum: Mapping[str, Any]) -> str:
    low, high = stratum["p_sky"]
    return f"P(sky) {number(low, 2)} to {number(high, 2)}"
