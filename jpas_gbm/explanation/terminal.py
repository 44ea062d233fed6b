"""An explanation as lines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TOP = 8


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _span(interval: Sequence[float | None] | None, sign: str = "") -> str:
    if not interval or interval[0] is None or interval[1] is None:
        return ""
    return f" [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"


def explanation_lines(head: Mapping[str, Any]) -> list[str]:
    """Return the main numbers of an explanation as lines."""
    first, second = head["pair"]
    drawn = ", ".join(f"{name} {n}" for name, n in head["sample"]["drawn"].items() if n)
    cut = "" if head["cut"] is None else f", magnitude {head['cut']:g} and brighter"
    lines = [f"{head['regime']} ({head['chosen']}): {head['n']} rows of {head['split']}{cut} ({drawn})"]
    if head["objects"]:
        for one in head["objects"]:
            lines += _object_lines(one, first, second)
        return [*lines, *(f"note: {note}" for note in head["notes"])]
    lines += [f"contributions to ln p({first})/p({second}), in margin units; positive speaks for {first}"]
    lines += _block_lines(head, first, second) + _band_lines(head) + _physics_lines(head, first)
    lines += _stage_lines(head) + _stability_lines(head)
    return [*lines, *(f"note: {note}" for note in head["notes"])]


def _block_lines(head: Mapping[str, Any], first: str, second: str) -> list[str]:
    rows = []
    for block in head["blocks"]:
        share = block["strongest"].get(first)
        rows.append(
            [
                block["name"],
                f"{block['low']:.0f}-{block['high']:.0f} Å",
                f"{_number(block['mean_abs'])}{_span(block['interval'])}",
                _number(block["mean"].get(first), "+"),
                _number(block["mean"].get(second), "+"),
                "" if share is None else f"{100 * share:.0f} %",
            ]
        )
    for name, value, interval, by_first, by_second in zip(
        head["own"]["names"],
        head["own"]["mean_abs"],
        head["own"]["interval"],
        head["own"]["mean"].get(first, []),
        head["own"]["mean"].get(second, []),
        strict=False,
    ):
        rows.append(
            [name, "", f"{_number(value)}{_span(interval)}", _number(by_first, "+"), _number(by_second, "+"), ""]
        )
    titles = ["block", "wavelengths", "mean |sum|", f"mean, {first}", f"mean, {second}", f"strongest, {first}"]
    return _aligned(titles, rows)


def _band_lines(head: Mapping[str, Any]) -> list[str]:
    bands = head["bands"]
    known = [i for i, value in enumerate(bands["mean_abs"]) if value is not None]
    order = sorted(known, key=lambda i: -bands["mean_abs"][i])[:_TOP]
    told = ", ".join(f"{bands['names'][i]} {bands['mean_abs'][i]:.3f}" for i in order)
    features = ", ".join(one["name"] for one in head["features"]["top"][:_TOP])
    groups = ", ".join(f"{one['group']} {100 * one['share']:.0f} %" for one in head["features"]["groups"])
    added = head["calibration"].get("added")
    lines = [f"top bands (mean |contribution|): {told}", f"top features: {features}", f"by group: {groups}"]
    if added:
        method = head["calibration"]["method"]
        lines.append(f"calibration ({method}) adds {added['mean']:+.3f} ± {added['std']:.3f} to the log-odds")
    return lines


def _physics_lines(head: Mapping[str, Any], first: str) -> list[str]:
    lines = []
    physics, ridge = head["physics"], head["ridge"]
    if physics is not None:
        low, high = physics["z_range"]
        dealt = physics["shuffled_redshifts"]
        lines.append(
            f"physics score: the strongest block holds {', '.join(physics['lines'])} in a share of "
            f"{physics['score']:.3f}{_span(physics['interval'])} of {physics['n']} {first} with "
            f"{low:g} < z < {high:g}; by chance {physics['shuffled']:.3f}{_span(physics['shuffled_interval'])} with "
            f"shuffled blocks, {dealt['shuffled']:.3f} with shuffled redshifts"
        )
    if ridge is not None:
        lines.append(
            f"ridge: rank correlation of the strongest block of {first} with z "
            f"{ridge['rank_correlation']:+.3f}{_span(ridge['interval'], '+')}; the peak of the mean moves by "
            f"d ln λ / d ln(1+z) = {_number(ridge['slope'])}{_span(ridge['slope_interval'])} (1 is a line) and lies on "
            f"Lyα for {100 * ridge['on_lya']:.0f} % of rows"
        )
    return lines


def _stage_lines(head: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, one in head["stages"].items():
        if one["defined"]:
            words = "trees grown on target" if name == "continued" else "features themselves, not the mocks' margins"
            lines.append(
                f"what the sky taught ({name}, {one['members']} of {one['of']} members): "
                f"{100 * one['share_of_sky']:.0f} % of |contribution| comes from {words}"
            )
    return lines or ["what the sky taught: not defined, since no member was continued from mocks or stacked on them"]


def _stability_lines(head: Mapping[str, Any]) -> list[str]:
    steady = head["stability"]
    if not steady["defined"]:
        return [f"stability: {steady['why']}"]
    good = sum(steady["stable"])
    return [
        f"stability over {steady['fits']} fits ({steady['source']}): rank correlation of bands "
        f"{steady['rank_correlation']:.3f} (least {steady['least_rank_correlation']:.3f}); "
        f"{good} of {len(steady['stable'])} bands are stable"
    ]


def _object_lines(one: Mapping[str, Any], first: str, second: str) -> list[str]:
    key = ", ".join(f"{name} {value}" for name, value in one["key"].items())
    known = [one["label"] or "no label"]
    known += [f"z {one['z']:.4f}"] if one["z"] is not None else ["z unknown"]
    known += [f"r {one['mag']:.2f}"] if one["mag"] is not None else []
    chances = ", ".join(f"{name} {p:.3f}" for name, p in one["probabilities"].items())
    odds = one["log_odds"]
    bands = ", ".join(f"{band['band']} {band['contribution']:+.3f}" for band in one["top_bands"])
    seen = ", ".join(f"{line['label']} at {line['observed']:.0f} Å" for line in one["lines"])
    lines = [
        f"{key} (object {one['object_id']}): {', '.join(known)}; {chances}",
        f"  ln p({first})/p({second}) = {odds['calibrated']:+.3f}: bias {odds['bias']:+.3f}, bands and imaging "
        f"{odds['uncalibrated'] - odds['bias']:+.3f}, calibration {odds['calibration']:+.3f}",
        f"  top bands: {bands}",
    ]
    return lines + ([f"  lines in range: {seen}"] if seen else [])
