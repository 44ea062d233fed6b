"""What a file holds, told to an astronomer before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .blocks import block_rows
from .catalogue import UNLABELLED, Catalogue
from .catalogue_reader import CatalogueReader
from .classes import default_scheme
from .crossmatch import overlap_duplicates
from .inspection_lines import inspection_lines
from .paper_table import find_array
from .photometry import flag_bits
from .readers import read_imaging, read_labels, read_table
from .recognition import open_survey
from .schema import SurveySchema
from .spread import extra_facts, shape_counts, share_of, sky_box, spread
from .tables import RawTable
from .units import AB_ZERO_POINT

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
    assert catalogue is not None and reader.layout.photometry is not None
    photometry = reader.layout.photometry
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
