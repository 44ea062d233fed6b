"""Plate of a model's domain report: strata of the sky, from like the mocks to unlike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..figures.domains import covered_figure, strata_figure
from ..words import count, number, with_span
from .plate import HALF, Panel, Plate


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
