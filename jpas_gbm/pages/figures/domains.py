"""Tables of a model's domain report: strata of the sky, and features that tell mocks from sky.

How far mocks and sky are apart, band by band and in strata of the odds between them.

Plate of a model's domain report: strata of the sky, from like the mocks to unlike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...text import count, number, span, with_span
from ..tables import Cell, Table
from .style import BLUE, HALF, MUTED, ORANGE, PALE, Panel, Plate, nothing, numbers, reach

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def separation_figure(separation: Mapping[str, Any], ax: Axes) -> Axes:
    """Draw by band the chance that the sky is brighter there than a mock of its class; 0.5 is alike."""
    pivot, broad, order = _bands(separation)
    area, error = (np.array(numbers(separation[name]))[order] for name in ("area", "error"))
    ax.fill_between(pivot, 0.5 - 2 * error, 0.5 + 2 * error, color=PALE, lw=0, label="2 σ if both were alike")
    ax.axhline(0.5, color=MUTED, lw=0.8)
    ax.vlines(pivot, 0.5, area, color=BLUE, lw=1.2)
    ax.plot(pivot[~broad], area[~broad], "o", ms=3.5, color=BLUE, label="narrow band")
    if broad.any():
        ax.plot(pivot[broad], area[broad], "D", ms=5, color=BLUE, label="broad band")
    reach = max(0.06, 1.25 * float(np.nanmax(np.abs(area - 0.5), initial=0)))
    ax.set_ylim(0.5 - reach, 0.5 + reach)
    ax.set_xlabel("pivot wavelength (Å)")
    ax.set_ylabel("P(sky brighter than mock)")
    ax.grid(axis="y")
    ax.legend(ncols=3, loc="upper center", fontsize=7.5)
    return ax


def missing_figure(separation: Mapping[str, Any], ax: Axes, source: str = "mocks") -> Axes:
    """Draw the share of rows in which each band is missing, sky and mocks."""
    pivot, _, order = _bands(separation)
    for name, colour, marker, label in (
        ("missing_target", BLUE, "o", "sky"),
        ("missing_source", ORANGE, "s", f"{source} as they are"),
    ):
        values = 100 * np.array(numbers(separation[name]))[order]
        ax.plot(pivot, values, marker=marker, ms=3.5, lw=1, color=colour, label=label)
    ax.set_ylim(0, max(1.0, ax.get_ylim()[1]))
    ax.set_xlabel("pivot wavelength (Å)")
    ax.set_ylabel("rows without it (%)")
    ax.grid(axis="y")
    ax.legend(fontsize=7.5)
    return ax


def strata_figure(coverage: Mapping[str, Any], ax: Axes) -> Axes:
    """Draw the log loss of each stratum of the sky, from like the mocks to unlike, with 95 % intervals."""
    strata = coverage["strata"]
    if not strata or "log_loss" not in strata[0]:
        return nothing(ax, "no labels of the sky were seen: the strata have no scores")
    loss = numbers([one["log_loss"] for one in strata])
    bars = reach(loss, [one["interval"] for one in strata])
    ax.axhline(coverage["log_loss"], color=MUTED, lw=0.8, ls="--", label=f"all: {coverage['log_loss']:.3f}")
    ax.errorbar(range(len(strata)), loss, yerr=bars, fmt="o", ms=5, capsize=2, color=BLUE)
    for x, one in enumerate(strata):
        ax.text(x, 1.0, f"{one['n']:,}", fontsize=7, ha="center", va="bottom", transform=ax.get_xaxis_transform())
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
    ax.set_xlim(-0.5, len(strata) - 0.5)
    ax.set_xlabel("P(sky) of the domain classifier")
    ax.grid(axis="y")
    return ax


def _bands(separation: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = separation["bands"]["bands"]
    pivot = np.array([row[1] for row in rows], dtype=np.float64)
    order = np.argsort(pivot)
    return pivot[order], np.array([row[3] == "broad" for row in rows])[order], order


def strata_plate(card: Mapping[str, Any], name: str, key: str = "strata") -> Plate | None:
    """Return where the mocks reach and how good the model is there, if its card tells.

    Parameters
    ----------
    card : mapping
        Model card.
    name : str
        Of the run or model, such as ``ssda-seed0``.
    key : str
        Of the plate.
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
        key,
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


_MOST = 12


def strata_table(card: Mapping[str, Any]) -> Table | None:
    """Return the figures of each stratum of target validation, where the model's card tells them."""
    found = (card.get("domain") or {}).get("coverage")
    if not found or "log_loss" not in found:
        return None
    classes = list(found["classes"])
    rows = []
    for one in [*found["strata"], found]:
        ends = one.get("p_sky")
        head = "all" if ends is None else f"{number(ends[0], 2)} to {number(ends[1], 2)}"
        rows.append(
            (
                Cell(head),
                Cell(f"{one['n']:,}"),
                Cell(f"{one['mocks']:,}"),
                *(Cell(f"{one['classes'][name]:,}") for name in classes),
                Cell(number(one["log_loss"]), span(one["interval"])),
                Cell(number(one["accuracy"])),
                Cell(number(one["macro_f1"])),
            )
        )
    return Table(
        "Target validation in strata by P(sky), what a classifier between mocks and sky says: from sources like the "
        "mocks to sources unlike them, with the mocks that train in the same range (those with imaging, if others were "
        "made to forget it). A class of which mocks hold more than the sky is like the mocks for that alone. Macro-F1 "
        "is over the classes that a stratum holds; in brackets, 95 % bootstrap intervals over objects.",
        ("P(sky)", "sky", "mocks", *classes, "log loss", "accuracy", "macro-F1"),
        tuple(rows),
    )


def features_table(card: Mapping[str, Any]) -> Table | None:
    """Return the features that tell mocks from sky best; strong, those that tell domains and not classes."""
    found = (card.get("domain") or {}).get("features")
    if not found or not found.get("top"):
        return None
    only = [one["feature"] for one in found["domain_only"]]
    shown = {one["feature"]: one for one in [*found["top"], *found["domain_only"][:_MOST]]}
    rows = []
    for name, one in shown.items():
        strong = name in only
        note = f"{one['group']}; domains, not classes" if strong else one["group"]
        rows.append((Cell(name, note, strong), Cell(number(one["domain"])), Cell(number(one["classes"]))))
    told = f"{count(len(only), 'feature')} of all {'does' if len(only) == 1 else 'do'} so" if only else "None does so"
    return Table(
        "Areas under the ROC of single features: between mocks and sky, and the largest between one class and the "
        f"rest (labels of the {found['labels']}, training split). A feature tells domains apart and not classes where "
        f"the first is at least 0.55 and above the second. {told}.",
        ("feature", "mocks and sky", "classes"),
        tuple(rows),
    )
