"""Strata of the sky, from like the mocks to unlike: how good a model is there, and whether mocks reach there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...text import count, number, with_span
from .plates import HALF, Panel, Plate, register_plate
from .style import BLUE, MUTED, ORANGE, note_above, nothing, numbers, reach

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
