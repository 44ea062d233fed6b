"""Inputs of a model: files of a survey as catalogues that it can classify, with imaging by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import CatalogueError, FeatureMismatch
from .model import CARD, FORM, Model
from .sealed import open_sealed
from .store import read_json
from .surveys.catalogue import Catalogue
from .surveys.reader import CatalogueReader, index_imaging
from .surveys.recognition import Source
from .surveys.schema import SurveySchema

CHUNK_ROWS = 50_000
"""Rows in memory at a time."""


def open_for(model: Model, path: Source, survey: str | None = None) -> CatalogueReader:
    """Open a catalogue for a model, or refuse it.

    Parameters
    ----------
    model : Model
        The model.
    path : path, astropy Table or DataFrame
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
    check_survey(model, reader.schema, reader.path)
    missing = [name for name in model.bands.names if name not in reader.bands]
    if missing:
        # The survey file's default may leave out bands that the file has and the model needs.
        try:
            return CatalogueReader(path, reader.schema.name if survey is None else survey, model.bands.name)
        except CatalogueError as error:
            raise FeatureMismatch(
                f"{error} The model was trained on the {len(model.bands)} bands of '{model.bands.name}': refusing to "
                "predict. Fit a model on the bands that the catalogue has."
            ) from error
    return reader


def check_survey(model: Model, schema: SurveySchema, path: str | Path) -> None:
    """Refuse a catalogue of another survey than the model was trained for.

    Raises
    ------
    FeatureMismatch
        If the model's card names its survey and the catalogue is of another.
    """
    known = model.card.get("survey")
    if known is not None and schema.name != known:
        raise FeatureMismatch(
            f"{path}: is read as a catalogue of '{schema.name}', the model was trained for '{known}'. Bands, depths "
            f"and photometry differ: refusing to predict. Fit a model on '{schema.name}'; if the file is of "
            f"'{known}' after all, say so with --survey {known}."
        )


def open_catalogue(
    model: Model,
    data: Catalogue | Source,
    legacy: Sequence[str | Path] = (),
    survey: str | None = None,
    threads: int = 1,
) -> Catalogue:
    """Return the rows that a verb was given, for a model to classify.

    Parameters
    ----------
    model : Model
    data : Catalogue, path, astropy Table or DataFrame
        Rows of the model's survey.
    legacy : sequence of path
        Tractor tables: magnitude and morphology for rows within 1 arcsec of a source.
    survey : str, optional
        Name of the survey file, where the rows do not give themselves away.
    threads : int
        Threads of the match.

    Returns
    -------
    Catalogue

    Raises
    ------
    CatalogueError
        If the file cannot be understood, or no row is in the imaging tables.
    FeatureMismatch
        If it is of another survey than the model, lacks bands or has another photometry.
    """
    rows = data if isinstance(data, Catalogue) else open_for(model, data, survey).read()
    if legacy:
        imaging = index_imaging(legacy)
        rows = imaging.attach(rows, threads)
        imaging.require_matches(str(data) if isinstance(data, str | Path) else "the catalogue", len(rows))
    return rows


def about_model(model: Model) -> dict[str, Any]:
    """Return what a prediction file says of the model that made it."""
    made: Mapping[str, Any] = model.card.get("provenance") or {}
    return {
        "regime": model.card.get("regime"),
        "chosen": model.card.get("chosen"),
        "rule": str(model.rule),
        "classes": list(model.classes),
        "thresholds": np.asarray(model.thresholds).tolist(),
        "bands": list(model.bands.names),
        "photometry": model.photometry,
        "features": model.card.get("features"),
        "version": made.get("version"),
        "made": made.get("made"),
        "seed": made.get("seed"),
        "inputs": made.get("inputs"),
        "simulated": bool((made.get("data") or {}).get("simulated")),
    }


def read_card(folder: str | Path) -> Mapping[str, Any]:
    """Return the model card in a model folder, without the model.

    Parameters
    ----------
    folder : path
        A model folder.

    Returns
    -------
    mapping
        The card.

    Raises
    ------
    BundleError
        If it is no whole model folder.
    """
    card: Mapping[str, Any] = read_json(open_sealed(folder, FORM).path(CARD))
    return card
