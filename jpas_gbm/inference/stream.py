"""Predicting a catalogue of any length: in chunks, in order, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CatalogueError, FeatureMismatch
from ..output.write_arrow import output_format, table_writer
from ..output.write_columns import prediction_columns
from ..store import provenance, refuse_existing
from ..surveys.quality import QualityBit
from ..surveys.reader import CatalogueReader
from ..surveys.schema import SurveySchema
from .predictions import Fitted, ImagingIndex, MoreColumns, Predictions, predict_catalogue

Progress = Callable[[str, int, int], None]

CHUNK_ROWS = 50_000
"""Rows in memory at a time."""

RADIUS = 1.0
"""Largest separation in arcsec of a row from its imaging source."""

_KEYS_CHECKED = 50_000_000


def open_for(fitted: Fitted, path: str | Path, survey: str | None = None) -> CatalogueReader:
    """Open a catalogue for a model, or refuse it.

    Parameters
    ----------
    fitted : Fitted
        The model.
    path : path
        The catalogue.
    survey : str, optional
        Name of the survey file, where the catalogue does not give itself away.

    Raises
    ------
    CatalogueError
        If the file cannot be understood.
    FeatureMismatch
        If it is of another survey than the model, lacks bands or has another photometry.
    """
    reader = CatalogueReader(path, survey)
    check_survey(fitted, reader.schema, path)
    missing = [name for name in fitted.bands.names if name not in reader.bands]
    if missing:
        # The survey file's default may leave out bands that the file has and the model needs.
        try:
            return CatalogueReader(path, reader.schema.name if survey is None else survey, fitted.bands.name)
        except CatalogueError as error:
            raise FeatureMismatch(
                f"{error} The model was trained on the {len(fitted.bands)} bands of '{fitted.bands.name}': refusing to "
                "predict. Fit a model on the bands that the catalogue has."
            ) from error
    return reader


def check_survey(fitted: Fitted, schema: SurveySchema, path: str | Path) -> None:
    """Refuse a catalogue of another survey than the model was trained for.

    Raises
    ------
    FeatureMismatch
        If the model's card names its survey and the catalogue is of another.
    """
    known = fitted.card.get("survey")
    if known is not None and schema.name != known:
        raise FeatureMismatch(
            f"{path}: is read as a catalogue of '{schema.name}', the model was trained for '{known}'. Bands, depths "
            f"and photometry differ: refusing to predict. Fit a model on '{schema.name}'; if the file is of "
            f"'{known}' after all, say so with --survey {known}."
        )


def predict_stream(
    fitted: Fitted,
    path: str | Path,
    legacy_paths: Sequence[str | Path] = (),
    survey: str | None = None,
    *,
    out: str | Path,
    chunk_rows: int = CHUNK_ROWS,
    threads: int = 1,
    radius: float = RADIUS,
    more: MoreColumns | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Classify a whole catalogue; the rows of the result are its rows, in its order.

    Memory holds one chunk, the imaging tables and, to find repeated ones, the row keys.

    Parameters
    ----------
    fitted : Fitted
        The model.
    path : path
        FITS, VOTable, Parquet, CSV or the paper's .npy.
    legacy_paths : sequence of path
        Tractor tables: magnitude and morphology for rows within `radius`.
    survey : str, optional
        Name of the survey file, where the catalogue does not give itself away.
    out : path
        FITS, Parquet, VOTable, CSV or ECSV by suffix.
    chunk_rows : int
        Rows in memory at a time.
    threads : int
        Threads of features and trees.
    radius : float
        In arcsec.
    more : MoreColumns, optional
        Columns to add at the end: the bands that decide, say.
    overwrite : bool
        Whether `out` may be replaced.
    progress : callable, optional
        Called as ``progress("predict", rows done, rows)``; 0 rows while their number is not known.

    Returns
    -------
    dict
        ``rows``, ``classes`` (rows of each most probable class), ``quality`` (rows with each bit),
        ``reading`` (what the reader counted), ``imaging`` (rows matched, or None), ``columns``, ``seconds``.

    Raises
    ------
    CatalogueError
        If the catalogue cannot be understood, repeats a row key, or no row is in the imaging tables.
    FeatureMismatch
        If it is not of the model's survey, bands or photometry.
    OutputError
        If `out` exists, has an unknown suffix or cannot be written. Nothing is left there.
    """
    start = time.perf_counter()
    output_format(out)
    refuse_existing(out, overwrite)
    reader = open_for(fitted, path, survey)
    imaging = ImagingIndex.read(legacy_paths, radius) if legacy_paths else None
    told = _Told(tuple(fitted.classes))
    schema = reader.schema
    # The first chunk is predicted before the file is opened: it says which columns there are, and a
    # model that refuses the catalogue leaves nothing behind.
    chunks = (
        _with_more(
            predict_catalogue(fitted, chunk if imaging is None else imaging.attach(chunk, threads), threads), more
        )
        for chunk in reader.chunks(chunk_rows)
    )
    first = next(chunks)
    columns = prediction_columns(
        tuple(first.catalogue.key),
        first.classes,
        object_id=schema.object_id[0] if schema.identity == "id" else None,
        magnitude=imaging is not None or schema.magnitude is not None,
        spread=first.spread is not None,
        photoz=first.photoz is not None,
    ) + (() if more is None else tuple(more.columns))
    header = provenance(inputs=[path, *legacy_paths], model=about_model(fitted), survey=schema.name, radius=radius)
    with table_writer(out, columns, header, overwrite=overwrite) as writer:
        part: Predictions | None = first
        while part is not None:
            writer.write(part.records(columns))
            told.add(part)
            if progress is not None:
                progress("predict", told.rows, reader.rows or 0)
            part = next(chunks, None)
        told.check_keys(path)
        if imaging is not None:
            imaging.require_matches(path, told.rows)
    return {
        "rows": told.rows,
        "classes": told.classes,
        "quality": told.quality,
        "reading": reader.quality.to_dict(),
        "imaging": None if imaging is None else imaging.matched,
        "columns": [column.name for column in columns],
        "seconds": time.perf_counter() - start,
    }


def _with_more(part: Predictions, more: MoreColumns | None) -> Predictions:
    return part if more is None else replace(part, more=more.of(part))


def about_model(fitted: Fitted) -> dict[str, Any]:
    """Return what a prediction file says of the model that made it."""
    made: Mapping[str, Any] = fitted.card.get("provenance") or {}
    return {
        "regime": fitted.card.get("regime"),
        "chosen": fitted.card.get("chosen"),
        "rule": str(fitted.rule),
        "classes": list(fitted.classes),
        "thresholds": np.asarray(fitted.thresholds).tolist(),
        "bands": list(fitted.bands.names),
        "photometry": fitted.photometry,
        "features": fitted.card.get("features"),
        "version": made.get("version"),
        "made": made.get("made"),
        "seed": made.get("seed"),
        "inputs": made.get("inputs"),
        "simulated": bool((made.get("data") or {}).get("simulated")),
    }


class _Told:
    """Counts what passes by."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.rows = 0
        self.classes = dict.fromkeys(classes, 0)
        self.quality = {str(bit.name): 0 for bit in QualityBit}
        self._keys: list[np.ndarray] = []

    def add(self, part: Predictions) -> None:
        self.rows += len(part)
        for name, n in zip(self.classes, np.bincount(part.label, minlength=len(self.classes)), strict=True):
            self.classes[name] += int(n)
        for bit in QualityBit:
            self.quality[str(bit.name)] += int(np.count_nonzero(part.quality & bit))
        self._names = tuple(part.catalogue.key)
        if self._names != ("ROW",) and self.rows <= _KEYS_CHECKED:
            self._keys.append(np.stack(list(part.catalogue.key.values())))

    def check_keys(self, path: str | Path) -> None:
        """Refuse a catalogue in which a row key repeats; a chunk by itself was checked when it was read."""
        if len(self._keys) < 2:
            return
        keys = np.concatenate(self._keys, axis=1)
        order = np.lexsort(keys[::-1])
        keys = keys[:, order]
        same = np.flatnonzero((keys[:, 1:] == keys[:, :-1]).all(axis=0))
        if len(same):
            named = ", ".join(f"{name}={value}" for name, value in zip(self._names, keys[:, same[0]], strict=True))
            raise CatalogueError(
                f"{path}: {len(same)} rows repeat the key of another ({named}, say). Each row needs its own "
                f"({', '.join(self._names)}): join the tables without repeating rows."
            )
