"""The findings of an inspection as lines for a person.

What a file holds, told to an astronomer before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import UNLABELLED, Catalogue
from .classes import default_scheme
from .fluxes import AB_ZERO_POINT, flag_bits
from .formats.npy import find_array
from .positions import overlap_duplicates
from .quality import extra_facts, shape_counts, share_of, sky_box, spread
from .reader import CatalogueReader, read_imaging, read_labels, read_table
from .recognition import open_survey
from .schema import SurveySchema
from .tables import RawTable, block_rows


def inspection_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what :func:`~jpas_gbm.surveys.inspect.inspect_file` found as lines of text."""
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


MOST_ROWS = 500_000
"""Rows of a catalogue that are looked at; of a longer one, the first."""


def inspect_file(path: str | Path, survey: str | None = None) -> dict[str, Any]:
    """Say what was understood of a file.

    Parameters
    ----------
    path : path
        A catalogue, a table of labels or an imaging table, of any format that is read here.
    survey : str, optional
        Name of a survey file; default: recognised.

    Returns
    -------
    dict
        Plain values for JSON: what the file is, its rows, columns, bands, units, missing share of each
        band, flags, magnitudes, classes, redshifts, place on the sky, `problems` to know of, and
        `lines`, the same as a text. Of catalogues of more than 500,000 rows the first are looked at.

    Raises
    ------
    CatalogueError
        If the file cannot be read or is of no known survey; the message names the nearest one and
        what the file lacks.
    """
    path = find_array(Path(path)) or path
    table, schema = open_survey(path, survey)
    found: dict[str, Any] = _file(table, schema)
    if schema.kind == "catalogue":
        found |= _catalogue(CatalogueReader(path, survey or schema.name))
    elif schema.kind == "labels":
        found |= _labels(path, survey or schema.name, schema)
    else:
        found |= _imaging(path, survey or schema.name)
    found["rows"] = found["rows"] if found["rows"] is not None else found["rows_read"]
    found["lines"] = inspection_lines(found)
    return found


def _file(table: RawTable, schema: SurveySchema) -> dict[str, Any]:
    return {
        "file": table.path.name,
        "table": table.place,
        "format": table.format,
        "bytes": table.path.stat().st_size,
        "checksums": "verified" if "DATASUM" in table.cards else "none",
        "simulated": table.cards.get("SIMULATD", "").lower() in ("true", "t"),
        "survey": schema.name,
        "title": schema.title,
        "kind": schema.kind,
        "rows": table.rows,
        "columns": [{"name": c.name, "kind": c.kind, "width": c.width, "unit": c.unit} for c in table.columns.values()],
        "problems": [],
    }


def _classes(label: np.ndarray, z: np.ndarray) -> dict[str, Any]:
    scheme = default_scheme()
    known = label != UNLABELLED
    return {
        "classes": scheme.counts(label),
        "unlabelled": int((~known).sum()),
        "redshift": {
            name: spread(z[label == code]) for code, name in enumerate(scheme.classes) if (label == code).any()
        },
    }


def _catalogue(reader: CatalogueReader) -> dict[str, Any]:
    chunks = reader.chunks(MOST_ROWS)
    catalogue = next(chunks, None)
    if catalogue is None or (reader.rows is None and len(catalogue) < MOST_ROWS):
        # The end of the file says whether it has any row and any flux at all.
        next(chunks, None)
    assert catalogue is not None
    photometry = reader.photometry
    found: dict[str, Any] = {
        "rows_read": len(catalogue),
        "key": list(catalogue.key),
        "identity": reader.schema.identity,
        "objects": len(np.unique(catalogue.object_id)) if reader.schema.identity != "row" else None,
        "photometry": {
            "name": photometry.rule.name,
            "unit": photometry.unit,
            "kind": photometry.rule.unit,
            "errors": photometry.rule.error_kind,
        },
        "band_system": catalogue.bands.name,
        "bands_ordered_by": photometry.ordered_by,
        "bands_of_file": list(photometry.found),
        "bands_dropped": [name for name in photometry.found if name not in catalogue.bands],
        "bands": _bands(catalogue),
        "complete_rows": int(catalogue.observed.all(axis=1).sum()),
        "missing_patterns": len(np.unique(np.packbits(~catalogue.observed, axis=1), axis=0)),
        "negative_share": share_of(catalogue.flux < 0, catalogue.observed),
        "negative_rows": float((catalogue.flux < 0).any(axis=1).mean()),
        "flags": _flags(reader, len(catalogue)),
        "tiles": len(np.unique(catalogue.key["TILE_ID"])) if "TILE_ID" in catalogue.key else None,
        "overlap_duplicates": int((~overlap_duplicates(catalogue, 0.5)).sum()),
        "magnitude": spread(catalogue.mag),
        "morphology": shape_counts(catalogue.morphology) if reader.schema.morphology else None,
        "sky": sky_box(catalogue.ra, catalogue.dec),
        "extra": {name: extra_facts(values) for name, values in catalogue.extra.items()},
        "simulation_means": catalogue.flux_mean is not None,
        "quality": reader.quality.to_dict(),
        "quality_lines": reader.quality.lines()[1:],
    }
    if reader.schema.labels is not None:
        found |= _classes(catalogue.label, catalogue.z)
    return found | {"problems": _problems(catalogue, reader, found)}


def _bands(catalogue: Catalogue) -> list[dict[str, Any]]:
    bands = []
    for i, band in enumerate(catalogue.bands):
        flux, error = catalogue.flux[:, i], catalogue.flux_err[:, i]
        seen = np.isfinite(flux)
        median = float(np.median(flux[seen])) if seen.any() else None
        sigma = float(np.median(error[seen])) if seen.any() and catalogue.has_errors else None
        bands.append(
            {
                "name": band.name,
                "pivot": band.pivot,
                "missing": float(1 - seen.mean()) if len(seen) else 0.0,
                "median_njy": median,
                "depth_5sigma": None if not sigma else float(AB_ZERO_POINT - 2.5 * np.log10(5 * sigma)),
                "median_snr": None if sigma is None else float(np.median(flux[seen] / error[seen])),
            }
        )
    return bands


def _flags(reader: CatalogueReader, rows: int) -> list[dict[str, Any]]:
    """Count the bits of each flag column over the rows that were looked at."""
    photometry = reader.layout.photometry
    if photometry is None or not photometry.flags:
        return []
    bits = {rule.column[0]: np.zeros(64, dtype=np.int64) for rule, _ in photometry.flags}
    totals, start = dict.fromkeys(bits, 0), 0
    for block in reader.table.blocks({name: "int" for _, columns in photometry.flags for name in columns.columns}):
        take = min(block_rows(block), rows - start)
        for rule, columns in photometry.flags:
            name = rule.column[0]
            values = flag_bits(columns.take(block, reader.layout.place), name, reader.layout.place)[:take]
            # Few values occur, in many fluxes.
            for value, count in zip(*np.unique(values, return_counts=True), strict=True):
                bits[name] += count * (int(value) >> np.arange(64) & 1)
            totals[name] += values.size
        start += take
        if start >= rows:
            break
    return [
        {
            "column": rule.column[0],
            "reject": rule.reject,
            "meaning": rule.meaning,
            "bits": {
                str(1 << b): float(n / totals[rule.column[0]]) for b, n in enumerate(bits[rule.column[0]].tolist()) if n
            },
        }
        for rule, _ in photometry.flags
    ]


def _problems(catalogue: Catalogue, reader: CatalogueReader, found: Mapping[str, Any]) -> list[str]:
    problems = []
    if reader.rows is not None and reader.rows > len(catalogue):
        problems.append(f"only the first {len(catalogue):,} of {reader.rows:,} rows were looked at")
    if not catalogue.has_errors:
        problems.append("no photometric errors: S/N, σ and template features will step aside")
    dark = int((~catalogue.observed.any(axis=1)).sum())
    if dark:
        problems.append(f"{dark:,} rows have no usable flux in any band: nothing can be said of them")
    gone = [band["name"] for band in found["bands"] if band["missing"] == 1]
    if gone:
        problems.append(f"no flux at all in {', '.join(gone)}")
    if found["overlap_duplicates"]:
        problems.append(f"{found['overlap_duplicates']:,} sources were seen by a second tile (within 0.5 arcsec)")
    if found["objects"] is not None and found["objects"] < len(catalogue):
        what = "repeats of an object" if reader.schema.identity == "id" else "rows at the place of another"
        problems.append(f"{len(catalogue) - found['objects']:,} {what}: they go to one side of a split together")
    if "no card" in found["bands_ordered_by"]:
        problems.append("nothing in the file names the bands of its arrays: the order of the release is taken on trust")
    if found["sky"] is None:
        problems.append("no position: labels and imaging cannot be matched on the sky")
    if reader.schema.name.startswith("sdss") and not reader.layout.photometry.rule.name.startswith("dered"):  # type: ignore[union-attr]
        problems.append("magnitudes are not corrected for Galactic extinction, as dered_* are (u differs by 0.1-0.2)")
    return problems


def _labels(path: str | Path, survey: str, schema: SurveySchema) -> dict[str, Any]:
    table, quality = read_labels(path, survey)
    rows = next(iter(quality.files.values())).rows
    assert schema.labels is not None
    name = schema.labels.spectype[0]
    types = read_table(path, [name])[name].astype(str).value_counts()
    return {
        "rows_read": rows,
        "labels": len(table),
        "spectypes": {str(kind): int(count) for kind, count in types.items()},
        **_classes(table.label, table.z),
        "magnitude": spread(table.mag),
        "morphology": shape_counts(table.morphology) if schema.morphology else None,
        "sky": sky_box(table.ra, table.dec),
        "ids": len(table.all_ids),
        "quality": quality.to_dict(),
        "quality_lines": quality.lines()[1:],
        "problems": [f"no label of class {n}" for n, c in default_scheme().counts(table.label).items() if not c],
    }


def _imaging(path: str | Path, survey: str) -> dict[str, Any]:
    table, quality = read_imaging(path, survey)
    shapes = shape_counts(table.morphology)
    problems = [] if set(shapes) - {"UNKNOWN"} else ["no morphology of a known type"]
    return {
        "rows_read": len(table),
        "key": list(table.key),
        "magnitude": spread(table.mag),
        "morphology": shapes,
        "sky": sky_box(table.ra, table.dec),
        "quality": quality.to_dict(),
        "quality_lines": quality.lines()[1:],
        "problems": problems,
    }
