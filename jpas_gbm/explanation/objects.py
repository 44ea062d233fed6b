"""Single objects: found by name, and told with the bands that decided.

A pair of classes: the attribution of the log-odds between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ExplanationError
from ..model import Model
from ..options import ExplainOptions
from ..surveys.catalogue import Catalogue
from .attributions import Attributions, Pair, Progress, attribute
from .blocks import Blocks, in_range, spectrum_columns

TOP_BANDS = 3
"""Bands told of a row unless another number is asked for."""


def _numbers(name: str, catalogue: Catalogue) -> list[int]:
    words = name.strip().split("/")
    try:
        return [int(word) for word in words]
    except ValueError:
        how = "/".join(catalogue.key)
        raise ExplanationError(
            f"--object {name}: is not the name of a row. Write {how} or the object's id (TARGETID), in whole numbers."
        ) from None


def find_rows(catalogue: Catalogue, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Find rows by the key of the catalogue or by the object's id.

    Parameters
    ----------
    catalogue : Catalogue
    names : sequence of str
        ``TILE_ID/NUMBER`` (the columns of the row key, in order), or one number: the object id
        (TARGETID). An object seen in several tiles has several rows.

    Returns
    -------
    rows : array of intp
    names : list of str
        The name that found each; a row named twice is found once.

    Raises
    ------
    ExplanationError
        If a name is not one, or names no row.
    """
    rows: list[int] = []
    found_by: list[str] = []
    for name in names:
        numbers = _numbers(name, catalogue)
        if len(numbers) == len(catalogue.key):
            columns = list(catalogue.key.values())
            chosen = np.logical_and.reduce([c == v for c, v in zip(columns, numbers, strict=True)])
        else:
            chosen = np.zeros(len(catalogue), dtype=bool)
        if len(numbers) == 1 and (catalogue.object_id == numbers[0]).any():
            chosen = catalogue.object_id == numbers[0]
        places = np.flatnonzero(chosen)
        if not len(places):
            raise ExplanationError(_not_there(name, catalogue))
        fresh = [place for place in places.tolist() if place not in rows]
        rows += fresh
        found_by += [name.strip()] * len(fresh)
    return np.array(rows, dtype=np.intp), found_by


def _not_there(name: str, catalogue: Catalogue) -> str:
    if not len(catalogue):
        return f"--object {name}: the catalogue has no rows."
    first = "/".join(str(column[0]) for column in catalogue.key.values())
    ranges = ", ".join(f"{key} from {column.min()} to {column.max()}" for key, column in catalogue.key.items())
    return (
        f"--object {name}: there is no such row among the {len(catalogue)} of {catalogue.survey} ({ranges}). Names are "
        f"{'/'.join(catalogue.key)}, such as {first}, or object ids, such as {int(catalogue.object_id[0])}."
    )


def object_told(told: Attributions, row: int, name: str, label: str | None, blocks: Blocks, top: int) -> dict[str, Any]:
    """Return what decided one object, in a form that JSON can hold.

    Parameters
    ----------
    told : Attributions
    row : int
        Its place among the rows.
    name : str
        As it was asked for.
    label : str or None
        Its class, where known.
    blocks : Blocks
    top : int
        How many bands.
    """
    rows, pair = told.rows, told.pair
    bands = told.fitted.recipe.bands
    pair_bands = pair.difference(told.bands[row][None])[0]
    own = pair.difference(told.own[row][None])[0]
    order = np.argsort(-np.abs(pair_bands), kind="stable")[:top]
    odds = float(pair.difference(told.margins[row][None])[0])
    added = float(told.calibration[row])
    z = float(rows.z[row])
    columns = spectrum_columns(bands)
    pivots = bands.pivots[columns]
    flux = rows.flux[row, rows.bands.indices(bands.names)]
    return {
        "name": name,
        "row": row,
        "key": {key: int(column[row]) for key, column in rows.key.items()},
        "object_id": int(rows.object_id[row]),
        "label": label,
        "z": z if np.isfinite(z) else None,
        "mag": float(rows.mag[row]) if np.isfinite(rows.mag[row]) else None,
        "probabilities": dict(zip(told.fitted.classes, told.probabilities[row].tolist(), strict=True)),
        "log_odds": {"bias": told.pair_bias, "uncalibrated": odds, "calibration": added, "calibrated": odds + added},
        "top_bands": [
            {"band": bands.names[i], "pivot": float(bands.pivots[i]), "contribution": float(pair_bands[i])}
            for i in order
        ],
        "blocks": dict(
            zip([block.name for block in blocks.blocks], blocks.sums(pair_bands[None])[0].tolist(), strict=True)
        ),
        "own": dict(zip(told.rule.own_names, own.tolist(), strict=True)),
        "lines": in_range(z, float(pivots[0]), float(pivots[-1])),
        "missing_bands": [name for name, value in zip(bands.names, flux, strict=True) if not np.isfinite(value)],
    }


def top_bands(
    fitted: Model,
    catalogue: Catalogue,
    rows: np.ndarray | None = None,
    pair: str | Sequence[str] | Pair | None = None,
    n: int = TOP_BANDS,
    *,
    rule: str = "shares",
    threads: int = 1,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Return the bands that decide some rows, as columns for a prediction table.

    Parameters
    ----------
    fitted : Model
        The model.
    catalogue : Catalogue
        n rows of the survey that it was trained for.
    rows : array of bool (n,) or of int, optional
        The rows to explain; all by default. The others get empty names and NaN.
    pair : pair of classes, optional
        Default: QSO_high against QSO_low.
    n : int
        How many bands of each row.
    rule : {"shares", "dominant"}
        How contributions are shared among bands.
    threads : int
    progress : callable, optional
        Called as ``progress("explain", rows done, rows)``.

    Returns
    -------
    dict of str to array, each of length n
        ``WHY_LOG_ODDS`` (float32): the pair's log-odds before calibration. For i from 1 to n ``WHY_BAND_i`` (bytes)
        and ``WHY_CONTRIB_i`` (float32): the band of i-th largest |contribution| to it, and the signed contribution.
    """
    options = ExplainOptions.model_validate({"rule": rule, "detail_rows": 1})
    known = pair if isinstance(pair, Pair) else Pair.of(fitted.classes, pair)
    n = min(n, len(fitted.recipe.bands))
    chosen = np.arange(len(catalogue)) if rows is None else np.arange(len(catalogue))[np.asarray(rows)]
    table = {
        one["name"]: np.full(len(catalogue), b"" if one["dtype"].startswith("S") else np.nan, dtype=one["dtype"])
        for one in why_columns(fitted, known, n)
    }
    if not len(chosen):
        return table
    told = attribute(fitted, catalogue.take(chosen), known, options, threads=threads, progress=progress)
    values = told.pair_bands
    order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :n]
    names = np.array(fitted.recipe.bands.names, dtype="S")
    table["WHY_LOG_ODDS"][chosen] = known.difference(told.margins)
    for i in range(n):
        table[f"WHY_BAND_{i + 1}"][chosen] = names[order[:, i]]
        table[f"WHY_CONTRIB_{i + 1}"][chosen] = np.take_along_axis(values, order[:, i : i + 1], axis=1)[:, 0]
    return table


def why_columns(
    fitted: Model, pair: str | Sequence[str] | Pair | None = None, n: int = TOP_BANDS
) -> list[dict[str, str]]:
    """Return ``name``, ``dtype``, ``description`` and ``ucd`` of the columns that :func:`top_bands` gives."""
    known = pair if isinstance(pair, Pair) else Pair.of(fitted.classes, pair)
    odds = f"ln P({known.first})/P({known.second})"
    width = max(map(len, fitted.recipe.bands.names))
    columns = [
        {
            "name": "WHY_LOG_ODDS",
            "dtype": "f4",
            "description": f"{odds} before calibration; NaN where not explained.",
            "ucd": "stat.value;src.class",
        }
    ]
    for i in range(1, min(n, len(fitted.recipe.bands)) + 1):
        rank = "largest" if i == 1 else f"{i}. largest"
        columns += [
            {
                "name": f"WHY_BAND_{i}",
                "dtype": f"S{width}",
                "description": f"Band of the {rank} contribution to {odds}.",
                "ucd": "meta.id;instr.bandpass",
            },
            {
                "name": f"WHY_CONTRIB_{i}",
                "dtype": "f4",
                "description": f"Its signed contribution (TreeSHAP, margin units); positive speaks for {known.first}.",
                "ucd": "stat.value",
            },
        ]
    return columns
