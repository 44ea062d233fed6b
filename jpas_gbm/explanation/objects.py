"""Single objects: found by name, and told with the bands that decided.

A pair of classes: the attribution of the log-odds between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, ExplanationError, did_you_mean
from ..model import Model
from ..options import ExplainOptions
from ..output.write_columns import Column
from ..predictions import Predictions
from ..surveys.catalogue import Catalogue
from .attributions import Attributions, Pair, attribute
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


ALL = "all"


class WhyColumns:
    """Columns of a prediction table that name the bands that decide each chosen row.

    ``WHY_LOG_ODDS`` (float32) is the log-odds of the pair before calibration. For i from 1 to `top`, ``WHY_BAND_i``
    (bytes) and ``WHY_CONTRIB_i`` (float32) are the band of i-th largest |contribution| to it and the signed
    contribution. Rows that are not chosen have empty names and NaN.

    Parameters
    ----------
    model : Model
    which : str
        ``all``, or names of classes with commas: the rows whose most probable class is one of them.
    pair : str or pair of str, optional
        The classes compared; by default QSO_high and QSO_low.
    threads : int
        Threads of features and trees.
    top : int
        How many bands of each row.

    Raises
    ------
    ConfigError
        If there is no such class.
    ExplanationError
        If the pair is not two classes of the model.
    """

    def __init__(
        self,
        model: Model,
        which: str = ALL,
        pair: str | Sequence[str] | None = None,
        threads: int = 1,
        top: int = TOP_BANDS,
    ) -> None:
        self.model, self.threads = model, threads
        self.pair = Pair.of(model.classes, pair)
        self.top = min(top, len(model.recipe.bands))
        self.names = [name.strip() for name in which.split(",")]
        allowed = (ALL, *model.classes)
        for name in self.names:
            if name not in allowed:
                raise ConfigError(
                    f"--explain {name}: there is no such class.{did_you_mean(name, allowed)} "
                    f"Allowed: {', '.join(allowed)}."
                )

    @property
    def columns(self) -> tuple[Column, ...]:
        """Name, type, description and UCD of each column."""
        first, second = self.pair.names
        odds = f"ln P({first})/P({second})"
        text = f"S{max(map(len, self.model.recipe.bands.names))}"
        sentence = f"{odds} before calibration; NaN where not explained."
        columns = [Column("WHY_LOG_ODDS", "f4", sentence, "stat.value;src.class")]
        for i in range(1, self.top + 1):
            rank = "largest" if i == 1 else f"{i}. largest"
            sentence = f"Band of the {rank} contribution to {odds}."
            columns.append(Column(f"WHY_BAND_{i}", text, sentence, "meta.id;instr.bandpass"))
            sentence = f"Its signed contribution (TreeSHAP, margin units); positive speaks for {first}."
            columns.append(Column(f"WHY_CONTRIB_{i}", "f4", sentence, "stat.value"))
        return tuple(columns)

    def of(self, predictions: Predictions) -> dict[str, np.ndarray]:
        """Return the columns of some rows by name.

        Parameters
        ----------
        predictions : Predictions
            n rows.

        Returns
        -------
        dict of str to array, shape (n,)
        """
        n = len(predictions)
        codes = [self.model.classes.index(name) for name in self.names if name != ALL]
        chosen = np.arange(n) if ALL in self.names else np.flatnonzero(np.isin(predictions.label, codes))
        table = {
            one.name: np.full(n, b"" if one.dtype.startswith("S") else np.nan, dtype=one.dtype) for one in self.columns
        }
        if not len(chosen):
            return table
        rows = predictions.catalogue.take(chosen)
        found = attribute(self.model, rows, self.pair, ExplainOptions(detail_rows=1), threads=self.threads)
        values = found.pair_bands
        order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, : self.top]
        names = np.array(self.model.recipe.bands.names, dtype="S")
        table["WHY_LOG_ODDS"][chosen] = self.pair.difference(found.margins)
        for i in range(self.top):
            table[f"WHY_BAND_{i + 1}"][chosen] = names[order[:, i]]
            table[f"WHY_CONTRIB_{i + 1}"][chosen] = np.take_along_axis(values, order[:, i : i + 1], axis=1)[:, 0]
        return table
