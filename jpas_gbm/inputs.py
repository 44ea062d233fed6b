"""Inputs of a model: files of a survey as catalogues that it can classify, with imaging by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .model import CARD, FORM, Model
from .predictions import open_rows
from .sealed import open_sealed
from .store import read_json
from .surveys.catalogue import Catalogue
from .surveys.reader import CatalogueReader, index_imaging
from .surveys.recognition import Source
from .surveys.schema import Survey

CHUNK_ROWS = 50_000
"""Rows in memory at a time."""


def open_for(model: Model, source: Source, survey: Survey = None) -> CatalogueReader:
    """Open a catalogue for a model, or refuse it.

    Parameters
    ----------
    model : Model
        The model.
    source : path, astropy Table or DataFrame
        The catalogue.
    survey : str, optional
        Name of the survey file, where the catalogue does not give itself away.

    Returns
    -------
    CatalogueReader

    Raises
    ------
    CatalogueError
        If the file cannot be understood.
    FeatureMismatch
        If it is of another survey than the model, lacks bands or has another photometry.
    """
    return open_rows(source, model.bands, model.card.get("survey"), survey)


def open_catalogue(
    model: Model,
    data: Catalogue | Source,
    legacy: Sequence[Source] = (),
    survey: Survey = None,
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
    """Return what a prediction file says of the model that made it.

    Parameters
    ----------
    model : Model

    Returns
    -------
    dict of str to object
        In a form that JSON can hold.
    """
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


def open_model(model: Model | str | Path) -> Model:
    """Return the model that a verb was given.

    Parameters
    ----------
    model : Model or path
        A model, or the folder of one.

    Returns
    -------
    Model

    Raises
    ------
    BundleError
        If a folder holds no whole model.
    """
    return Model.load(model) if isinstance(model, str | Path) else model
