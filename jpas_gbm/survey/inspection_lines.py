"""The findings of an inspection as lines for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def inspection_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what :func:`~jpas_gbm.survey.inspect.inspect_file` found as lines of text."""
    lines = [f"{found['file']}: {found['title']} ({found['survey']})", *_file_lines(found)]
    if found["kind"] == "catalogue":
        lines += _catalogue_lines(found)
    if "classes" in found:
        lines += _class_lines(found)
    lines += _source_lines(found)
    if found["quality_lines"]:
        lines += ["  quality", *(f"  {line}" for line in found["quality_lines"])]
    lines += [f"  note: {problem}" for problem in found["problems"]]
    return lines


def _entry(name: str, text: str) -> str:
    return f"  {name:<12} {text}"


def _file_lines(found: Mapping[str, Any]) -> list[str]:
    size = found["bytes"] / 2**20
    facts = [f"{found['format']}, {size:,.1f} MiB", f"table {found['table']}"]
    facts += ["checksums verified"] if found["checksums"] == "verified" else []
    facts += ["simulated"] if found["simulated"] else []
    rows = f"{found['rows']:,}, {len(found['columns'])} columns"
    if found.get("key"):
        rows += f"; key {', '.join(found['key'])}"
    if found.get("objects") is not None:
        by = {"id": "by id", "position": "by position"}[found["identity"]]
        rows += f"; {found['objects']:,} objects {by}"
    if found.get("tiles"):
        rows += f"; {found['tiles']} tiles"
    return [_entry("file", ", ".join(facts)), _entry("rows", rows)]


def _catalogue_lines(found: Mapping[str, Any]) -> list[str]:
    photometry, bands = found["photometry"], found["bands"]
    dropped = found["bands_dropped"]
    text = f"{len(bands)} of {found['band_system']}, by {found['bands_ordered_by']}"
    if dropped:
        text += f"; not kept: {', '.join(dropped[:6])}" + (" ..." if len(dropped) > 6 else "")
    unit = photometry["unit"] or _UNITS[photometry["kind"]]
    errors = "no errors" if photometry["errors"] == "none" else f"{photometry['errors']} errors"
    lines = [
        _entry("bands", text),
        _entry("photometry", f"{photometry['name']} in {unit}, {errors}; read as f_ν in nJy"),
    ]
    lines += _missing_lines(found)
    if any(band["depth_5sigma"] is not None for band in bands):
        lines.append(
            _entry("depth", _range_of(bands, "depth_5sigma", "{:.2f}".format) + " AB (5 σ of the median error)")
        )
        lines.append(_entry("S/N", _range_of(bands, "median_snr", "{:.1f}".format) + " (median of each band)"))
    if found["negative_share"]:
        text = f"{_percent(found['negative_share'])} of the fluxes, in {_percent(found['negative_rows'])} of the rows"
        lines.append(_entry("negative", text))
    for flag in found["flags"]:
        bits = ", ".join(f"{bit}: {_percent(share)}" for bit, share in flag["bits"].items()) or "none set"
        lines.append(_entry("flags", f"{flag['column']} bits {bits}; {flag['reject']} rejects"))
    if found["simulation_means"]:
        lines.append(_entry("simulation", "noise-free fluxes beside the noisy ones"))
    return lines


_UNITS = {
    "f_lambda": "f_λ (as the survey file says)",
    "f_nu": "f_ν (as the survey file says)",
    "ab_magnitude": "AB magnitudes",
    "asinh_magnitude": "asinh magnitudes",
}


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if share >= 5e-5 else f"{100 * share:.1g} %"


def _range_of(bands: list[Mapping[str, Any]], name: str, form: Callable[[float], str]) -> str:
    """Return the least and the greatest value over the bands, with their names."""
    known = [band for band in bands if band[name] is not None]
    if not known:
        return "unknown"
    low, high = min(known, key=lambda b: b[name]), max(known, key=lambda b: b[name])
    return f"{form(low[name])} ({low['name']}) to {form(high[name])} ({high['name']})"


def _missing_lines(found: Mapping[str, Any]) -> list[str]:
    bands, rows = found["bands"], found["rows_read"]
    share = float(np.mean([band["missing"] for band in bands])) if bands else 0.0
    complete = f"{found['complete_rows']:,} of {rows:,} rows have all bands"
    lines = [_entry("missing", f"{_percent(share) if share else '0 %'} of the fluxes; {complete}")]
    if share:
        text = f"{_range_of(bands, 'missing', _percent)}; {found['missing_patterns']:,} different patterns"
        lines.append(_entry("  by band", text))
    return lines


def _class_lines(found: Mapping[str, Any]) -> list[str]:
    counts = found["classes"]
    if not any(counts.values()):
        return [_entry("labels", "none")]
    text = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    if found["kind"] == "labels":
        text = f"{found['labels']:,} trusted: {text}"
    elif found["unlabelled"]:
        text += f"; without: {found['unlabelled']:,}"
    lines = [_entry("labels", text)]
    if "spectypes" in found:
        lines.append(_entry("  in the file", ", ".join(f"{n or 'blank'} {c:,}" for n, c in found["spectypes"].items())))
    ranges = [f"{n} {s['min']:.3f} to {s['max']:.3f}" for n, s in found["redshift"].items() if s]
    if ranges:
        lines.append(_entry("redshift", ", ".join(ranges)))
    return lines


def _source_lines(found: Mapping[str, Any]) -> list[str]:
    lines = []
    mag = found.get("magnitude")
    if mag:
        text = f"{mag['min']:.2f} to {mag['max']:.2f}, median {mag['median']:.2f}"
        text += f", 90 % within {mag['p5']:.2f} to {mag['p95']:.2f} ({mag['count']:,} rows)"
        lines.append(_entry("magnitude", text))
    lines += [_entry(name, _extra_text(facts)) for name, facts in found.get("extra", {}).items() if facts]
    if found.get("morphology"):
        lines.append(
            _entry("morphology", ", ".join(f"{name} {count:,}" for name, count in found["morphology"].items()))
        )
    sky = found.get("sky")
    if sky:
        ra, dec = sky["ra"], sky["dec"]
        through = " through 0" if ra[0] > ra[1] else ""
        text = f"RA {ra[0]:.3f}{through} to {ra[1]:.3f}, Dec {dec[0]:+.3f} to {dec[1]:+.3f}"
        lines.append(_entry("sky", f"{text}, a box of {sky['box_square_degrees']:,.1f} deg²"))
    return lines


def _extra_text(facts: Mapping[str, Any]) -> str:
    if "share" in facts:
        return f"set in {_percent(facts['share'])} of the rows"
    if "values" in facts:
        return f"{facts['values']:,} different values"
    return f"{facts['min']:.4g} to {facts['max']:.4g}, median {facts['median']:.4g} ({facts['count']:,} rows)"
