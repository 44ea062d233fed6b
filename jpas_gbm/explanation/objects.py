"""Single objects: found by name, and explained by the bands that decided."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ConfigError, ExplanationError, did_you_mean
from ..model import Model
from ..options import ExplainOptions
from ..output.write_columns import Column
from ..predictions import Predictions
from ..run import Run
from ..surveys.catalogue import Catalogue
from .attributions import Attributions, Pair, attribute
from .blocks import Blocks, lines_between, spectrum_columns
from .content import LogOdds, ObjectFacts, TopBand

TOP_BANDS, OBJECT_BANDS = 3, 10
"""Bands named for a row of a prediction table, and for an object asked for by name."""


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
        try:
            numbers = [int(word) for word in name.strip().split("/")]
        except ValueError:
            raise ExplanationError(
                f"--object {name}: is not the name of a row. Write {'/'.join(catalogue.key)} or the object's id "
                "(TARGETID), in whole numbers."
            ) from None
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


def object_facts(
    found: Attributions, row: int, name: str, label: str | None, blocks: Blocks, top: int = OBJECT_BANDS
) -> ObjectFacts:
    """Return what decided one object.

    Parameters
    ----------
    found : Attributions
    row : int
        Its place among the rows.
    name : str
        As it was asked for.
    label : str or None
        Its class, where known.
    blocks : Blocks
    top : int
        How many bands.

    Returns
    -------
    ObjectFacts
    """
    rows, bands = found.rows, found.model.recipe.bands
    attribution, own = found.pair_bands[row], found.pair_own[row]
    odds, added = float(found.pair.difference(found.margins)[row]), float(found.calibration[row])
    pivots = bands.pivots[spectrum_columns(bands)]
    missing = ~np.isfinite(rows.flux[row, rows.bands.indices(bands.names)])
    return ObjectFacts(
        name=name,
        row=row,
        key={key: int(column[row]) for key, column in rows.key.items()},
        object_id=int(rows.object_id[row]),
        label=label,
        z=float(rows.z[row]) if np.isfinite(rows.z[row]) else None,
        mag=float(rows.mag[row]) if np.isfinite(rows.mag[row]) else None,
        probabilities=dict(zip(found.model.classes, found.probabilities[row].tolist(), strict=True)),
        log_odds=LogOdds(bias=found.pair_bias, uncalibrated=odds, calibration=added, calibrated=odds + added),
        top_bands=tuple(
            TopBand(band=bands.names[i], pivot=bands.pivots[i], contribution=attribution[i])
            for i in np.argsort(-np.abs(attribution), kind="stable")[:top]
        ),
        blocks=dict(zip((block.name for block in blocks.blocks), blocks.sums(attribution).tolist(), strict=True)),
        own=dict(zip(found.rule.own_names, own.tolist(), strict=True)),
        lines=tuple(lines_between(float(rows.z[row]), pivots[0], pivots[-1])),
        missing_bands=tuple(np.array(bands.names)[missing].tolist()),
    )


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
        The classes compared; by default those that redshift parts.
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
        self.pair = Pair.of(model.scheme, pair)
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
        found = attribute(self.model, rows, self.pair, ExplainOptions(detail_rows=1), Run(threads=self.threads))
        values = found.pair_bands
        order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, : self.top]
        names = np.array(self.model.recipe.bands.names, dtype="S")
        table["WHY_LOG_ODDS"][chosen] = self.pair.difference(found.margins)
        for i in range(self.top):
            table[f"WHY_BAND_{i + 1}"][chosen] = names[order[:, i]]
            table[f"WHY_CONTRIB_{i + 1}"][chosen] = np.take_along_axis(values, order[:, i : i + 1], axis=1)[:, 0]
        return table
