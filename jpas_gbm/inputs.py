"""Inputs of a model: files of a survey as catalogues that it can classify, with imaging by position."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .errors import ConfigError, ExplanationError, FeatureMismatch
from .model import Model
from .model_folder import CARD, FORM, ModelCard
from .predictions import open_rows
from .sealed import open_sealed
from .store import Provenance, dump_json, read_json, sha256
from .surveys.catalogue import Catalogue
from .surveys.dataset import Dataset
from .surveys.imaging import RADIUS
from .surveys.positions import SkyIndex, made_here
from .surveys.reader import CatalogueReader, index_imaging
from .surveys.recognition import Source
from .surveys.schema import Survey
from .surveys.tables import RawTable, open_table

CHUNK_ROWS = 50_000
"""Rows in memory at a time."""


def open_for(model: Model, source: Source, survey: Survey = None, strict: bool = False) -> CatalogueReader:
    """Open a catalogue for a model, or refuse it.

    Parameters
    ----------
    model : Model
        The model.
    source : path, astropy Table or DataFrame
        The catalogue.
    survey : str, optional
        Name of the survey file, where the catalogue does not give itself away.
    strict : bool
        Whether one of which there is anything to note is refused.

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
    reader = open_rows(source, model.bands, model.card.get("survey"), survey)
    if strict:
        reader.table.refuse_notes()
    return reader


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


def same_classes(model: Model, dataset: Dataset) -> Dataset:
    """Return a data set whose labels mean what the classes of a model do, or refuse it.

    Parameters
    ----------
    model : Model
    dataset : Dataset

    Returns
    -------
    Dataset
        The same.

    Raises
    ------
    FeatureMismatch
        If its classes are others, in another order, or parted at another redshift.
    """
    ours, theirs = (
        ", ".join(
            "{} (z {:g} to {:g})".format(one, *of.z_range(one)) if one in of.parted else one for one in of.classes
        )
        for of in (model.scheme, dataset.scheme)
    )
    if ours != theirs:
        raise FeatureMismatch(
            f"the model tells {ours}; the labels of the data set are of {theirs}. Give data of the model's classes in "
            "its order, or fit a model on these."
        )
    return dataset


class MadeBy(Provenance, total=False):
    """What a prediction file says of the model that made it, in a form that JSON can hold.

    Parameters
    ----------
    regime, chosen, rule : str
        How the model was trained, what was kept, and how it decides.
    classes, thresholds : sequence of str, sequence of float
    bands, photometry, features : sequence of str, str, mapping
        What it takes; the features by ``count`` and ``hash``.

    Notes
    -----
    Of the model's :class:`~jpas_gbm.store.Provenance` are ``version``, ``made``, ``seed`` and ``inputs``;
    ``simulated`` and ``magnitude`` are those of its data.
    """

    classes: Sequence[str]
    thresholds: Sequence[float]
    bands: Sequence[str]
    photometry: str


def about_model(model: Model) -> MadeBy:
    """Return what a prediction file says of the model that made it.

    Parameters
    ----------
    model : Model

    Returns
    -------
    MadeBy
    """
    made = model.card.get("provenance") or {}
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
        "magnitude": (made.get("data") or {}).get("magnitude"),
    }


def known_by(model: Model | str | Path, tiles: str | Path | None = None) -> list[str]:
    """Return checksums of a model and of zero points, by which a run is known again.

    Parameters
    ----------
    model : Model or path
        Of a folder, that of its head, which holds those of all its files.
    tiles : path, optional
        What ``calibrate-tiles`` wrote.

    Returns
    -------
    list of str
        Two; empty for what is not there.
    """
    if isinstance(model, str | Path):
        head = Path(model) / "model.json"
        made = sha256(head) if head.is_file() else ""
    else:
        made = hashlib.sha256(dump_json(about_model(model)).encode()).hexdigest()
    return [made, "" if tiles is None or not Path(tiles).is_file() else sha256(tiles)]


def marks_of(source: Source) -> str:
    """Return what a table is known again by without reading it: a checksum of names, sizes and times of its files.

    Parameters
    ----------
    source : path, RawTable, astropy Table or DataFrame
        Of a table that was named among those of its file, the name is added.

    Returns
    -------
    str
    """
    table = open_table(source) if isinstance(source, str | Path) else source
    files, chosen = (table.files, table.chosen) if isinstance(table, RawTable) else ((), False)
    marks = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(marks).encode()).hexdigest() + (f" {table.place}" if chosen else "")


def content_of(files: Sequence[Path]) -> str:
    """Return the checksum of a file, or one over those of several and their names.

    Parameters
    ----------
    files : sequence of Path

    Returns
    -------
    str
    """
    if len(files) == 1:
        return sha256(files[0])
    told = "".join(f"{sha256(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(told.encode()).hexdigest()


def contents_of(*sources: RawTable | Source, content: Callable[[Sequence[Path]], str] = content_of) -> dict[str, str]:
    """Return the checksum of all files of each table by what was given, with the table in it that was named.

    Parameters
    ----------
    *sources : RawTable, path, astropy Table or DataFrame
    content : callable, optional
        Gives the checksum of the files of one.

    Returns
    -------
    dict of str to str
        Without tables in memory.
    """
    tables = [open_table(one) if isinstance(one, str | Path) else one for one in sources]
    read = [one for one in tables if isinstance(one, RawTable) and one.files]
    return {f"{one.path}[{one.chosen}]" if one.chosen else str(one.path): content(one.files) for one in read}


def read_card(folder: str | Path) -> ModelCard:
    """Return the model card in a model folder, without the model.

    Parameters
    ----------
    folder : path
        A model folder.

    Returns
    -------
    ModelCard

    Raises
    ------
    BundleError
        If it is no whole model folder.
    """
    card: ModelCard = read_json(open_sealed(folder, FORM).path(CARD))
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


def find_rows(catalogue: Catalogue, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Find rows by the key of the catalogue or by the object's id.

    Parameters
    ----------
    catalogue : Catalogue
    names : sequence of str
        ``TILE_ID/NUMBER`` (the columns of the row key, in order); one number, the object id (TARGETID); or ``RA,DEC``
        in degrees, for the rows within an arcsec. An object seen in several tiles has several rows.

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
        chosen = _rows_named(name, catalogue)
        places = np.flatnonzero(chosen)
        if not len(places):
            raise ExplanationError(_not_there(name, catalogue))
        fresh = [place for place in places.tolist() if place not in rows]
        rows += fresh
        found_by += [name.strip()] * len(fresh)
    return np.array(rows, dtype=np.intp), found_by


def _rows_named(name: str, catalogue: Catalogue) -> np.ndarray:
    """Return which rows a name means, bool (n,)."""
    position, chosen = "," in name, np.zeros(len(catalogue), dtype=bool)
    try:
        numbers = [(float if position else int)(word) for word in name.strip().split("," if position else "/")]
        if position:
            ra, dec = numbers
    except ValueError:
        raise ExplanationError(
            f"--object {name}: is not the name of a row. Write {'/'.join(catalogue.key)} or the object's id "
            "(TARGETID) in whole numbers, or its position RA,DEC in degrees."
        ) from None
    if position:
        chosen[SkyIndex(np.array([ra]), np.array([dec])).nearest(catalogue.ra, catalogue.dec, RADIUS)[0]] = True
    elif len(numbers) == 1 and (_has_ids(catalogue) & (catalogue.object_id == numbers[0])).any():
        chosen = catalogue.object_id == numbers[0]
    elif len(numbers) == len(catalogue.key):
        chosen = np.logical_and.reduce([c == v for c, v in zip(catalogue.key.values(), numbers, strict=True)])
    return chosen


def _has_ids(catalogue: Catalogue) -> np.ndarray:
    """Return which rows have an object id of the survey's own, bool (n,): none where ids but count the rows."""
    counted = np.array_equal(catalogue.object_id, np.arange(len(catalogue)))
    return ~made_here(catalogue.object_id) & (not counted)


def _not_there(name: str, catalogue: Catalogue) -> str:
    if not len(catalogue):
        return f"--object {name}: the catalogue has no rows."
    first = "/".join(str(column[0]) for column in catalogue.key.values())
    ranges = ", ".join(f"{key} from {column.min()} to {column.max()}" for key, column in catalogue.key.items())
    theirs = catalogue.object_id[_has_ids(catalogue)]
    ids = f"object ids, such as {int(theirs[0])}" if len(theirs) else "positions, RA,DEC; it has no TARGETID"
    return (
        f"--object {name}: there is no such row among the {len(catalogue)} of {catalogue.survey} ({ranges}). Names are "
        f"{'/'.join(catalogue.key)}, such as {first}, or {ids}."
    )


_SAMP = {".fits": "fits", ".fit": "fits", ".vot": "votable", ".xml": "votable"}


def check_samp(path: str | Path | None, wanted: bool = True) -> None:
    """Refuse what cannot be sent, before any work is done.

    Parameters
    ----------
    path : path, optional
        Where the table is to be written.
    wanted : bool
        Whether it is to be sent at all.

    Raises
    ------
    ConfigError
        If it is of a format that TOPCAT and Aladin do not load by message.
    """
    if wanted and (path is None or Path(path).suffix.lower() not in _SAMP):
        raise ConfigError(
            f"--samp sends FITS and VOTable; --out is {path}. Write the list as one of {', '.join(_SAMP)}."
        )


def send_samp(path: str | Path) -> list[str]:
    """Send a table to the programs of the desktop that load tables, such as TOPCAT and Aladin.

    Parameters
    ----------
    path : path
        A FITS or VOTable file.

    Returns
    -------
    list of str
        Names of the programs that it was sent to.

    Raises
    ------
    ConfigError
        If no hub runs, or no program that loads such tables is connected.

    References
    ----------
    Taylor, Boch, Taylor 2015, Astronomy and Computing 11, 81 (SAMP).
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it moves to pyvo, which is no requirement here
        from astropy.samp import SAMPHubError, SAMPIntegratedClient

    place = Path(path).resolve()
    mtype = f"table.load.{_SAMP[place.suffix.lower()]}"
    client = SAMPIntegratedClient(name="jpas-gbm", description="classified sources", callable=False)
    try:
        client.connect()
    except (SAMPHubError, OSError) as error:
        raise ConfigError(
            f"{place}: is written, but no SAMP hub runs to send it to. Start TOPCAT or Aladin and load the file there."
        ) from error
    try:
        known = [one for one in client.get_subscribed_clients(mtype) if one != client.get_public_id()]
        if not known:
            raise ConfigError(
                f"{place}: is written, but no program that is connected to the SAMP hub loads such a table."
            )
        named = [str(client.get_metadata(one).get("samp.name", one)) for one in known]
        message = {
            "samp.mtype": mtype,
            "samp.params": {"url": place.as_uri(), "name": place.stem, "table-id": str(place)},
        }
        client.notify_all(message)
        return named
    finally:
        client.disconnect()
