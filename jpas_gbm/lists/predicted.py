"""Predicted rows, read from files or tables, with what is known of the model that made them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union, cast

import numpy as np
import pandas as pd

from ..errors import BundleError, ListError, did_you_mean
from ..inputs import MadeBy
from ..predictions import Predictions, id_checksum
from ..sealed import read_companion
from ..store import Json, Provenance, read_json
from ..surveys.formats.several import spelt_out
from ..surveys.recognition import read_table
from ..surveys.tables import find_format, open_table
from ..text import count, named_table

if TYPE_CHECKING:
    from astropy.table import Table

_Table = Union[str, Path, pd.DataFrame, "Table"]
Tables: TypeAlias = _Table | Sequence[_Table]
"""A table, as a file or in memory, or several of them."""


_MODEL = ("made", "version", "seed", "regime", "chosen", "features", "inputs")
"""What must agree between two files for their probabilities to be of one model."""


_ROWS = ("ra", "dec", "mag", "p", "quality")


@dataclass(frozen=True, eq=False)
class Predicted:
    """n predicted rows.

    Parameters
    ----------
    classes : tuple of str
        Names of the k classes.
    ids : mapping of str to array of int64, shape (n,)
        The columns that name a row, and the object's id where there is one.
    ra, dec : array of float64, shape (n,)
        ICRS degrees; NaN where unknown.
    mag : array of float32, shape (n,)
        NaN where unknown.
    p : array of float64, shape (n, k)
    quality : array of int32, shape (n,)
    more : mapping of str to array, shape (n,)
        SPREAD, PHOTOZ_QSO, WHY_* and the like, where the file has them.
    model : MadeBy
        What the file says of the model that made it.
    sources : tuple of str
        Names of the files.
    notes : tuple of str
        What is to be known of them, such as that one is a part of what was predicted.
    """

    classes: tuple[str, ...]
    ids: Mapping[str, np.ndarray]
    ra: np.ndarray
    dec: np.ndarray
    mag: np.ndarray
    p: np.ndarray
    quality: np.ndarray
    more: Mapping[str, np.ndarray]
    model: MadeBy
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.p)

    def take(self, rows: np.ndarray) -> Predicted:
        """Return the rows chosen by a mask or indices.

        Parameters
        ----------
        rows : array of bool or int

        Returns
        -------
        Predicted
        """
        return replace(
            self,
            ids={name: value[rows] for name, value in self.ids.items()},
            more={name: value[rows] for name, value in self.more.items()},
            **{name: getattr(self, name)[rows] for name in _ROWS},
        )


def read_predictions(paths: Sequence[str | Path], about: MadeBy | None = None) -> Predicted:
    """Read one or several prediction files of one model.

    Parameters
    ----------
    paths : sequence of path
        As ``jpas-gbm predict`` wrote them: FITS, Parquet, VOTable, CSV with its ``.json``, or ECSV; or as other
        software cut them.
    about : MadeBy, optional
        What a prediction file says of the model, for files that have lost it.

    Returns
    -------
    Predicted

    Raises
    ------
    CatalogueError
        If a file is missing or damaged.
    ListError
        If a file is no prediction file, lacks a column, is of another model than the first, or repeats rows.
    """
    parts = [_read(Path(path), about) for path in paths]
    first = parts[0]
    for other in parts[1:]:
        differs = model_differs(first.model, other.model)
        if differs:
            raise ListError(
                f"{first.sources[0]} and {other.sources[0]} are predictions of two models ({differs}). Their "
                "probabilities cannot be ranked together: predict both with one model."
            )

    def joined(of: str) -> dict[str, np.ndarray]:
        shared = [name for name in getattr(first, of) if all(name in getattr(part, of) for part in parts)]
        return {name: np.concatenate([getattr(part, of)[name] for part in parts]) for name in shared}

    rows: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ROWS}
    rows["sources"] = tuple(name for part in parts for name in part.sources)
    rows["notes"] = tuple(note for part in parts for note in part.notes)
    return _judged(replace(first, ids=joined("ids"), more=joined("more"), **rows))


def _judged(predicted: Predicted) -> Predicted:
    """Leave out rows without probabilities, and say so; refuse rows that stand twice: each would be counted twice."""
    blank = np.isnan(predicted.p).any(axis=1)
    if blank.any():
        note = f"{count(int(blank.sum()), 'row has', 'rows have')} no photometry and no probabilities: left out."
        predicted = replace(predicted.take(~blank), notes=(*predicted.notes, note))
    if not predicted.ids:
        return predicted
    places = {"RA": predicted.ra, "DEC": predicted.dec}
    repeated = pd.DataFrame({**predicted.ids, **places}).duplicated().to_numpy()
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        named = ", ".join(f"{name}={value[row]}" for name, value in predicted.ids.items())
        raise ListError(
            f"{', '.join(predicted.sources)}: {count(int(repeated.sum()), 'row stands', 'rows stand')} twice "
            f"({named}, say), to be counted and observed twice. Give each row once."
        )
    return predicted


def refuse_other_model(predicted: Predicted, about: MadeBy) -> None:
    """Refuse predictions of another model.

    Parameters
    ----------
    predicted : Predicted
    about : MadeBy
        What a prediction file of the model would say of it.

    Raises
    ------
    ListError
        If it differs from what the predictions say.
    """
    differs = model_differs(predicted.model, about)
    if differs:
        raise ListError(
            f"{', '.join(predicted.sources)}: was predicted with another model ({differs}). Give that one with "
            "--model, or predict again with this one."
        )


def model_differs(one: MadeBy, other: MadeBy) -> str:
    """Return how two descriptions of a model differ.

    Parameters
    ----------
    one, other : MadeBy

    Returns
    -------
    str
        Empty where they agree.
    """
    for name in _MODEL:
        a, b = one.get(name), other.get(name)
        if a is not None and b is not None and a != b:
            return f"{name}: {a} and {b}" if isinstance(a, str | int) else f"they differ in '{name}'"
    return ""


def as_predicted(predictions: Predictions | Tables, about: MadeBy | None = None) -> Predicted:
    """Return predictions, in memory or in files, as the rows of a field.

    Parameters
    ----------
    predictions : Predictions, DataFrame, Table, path or sequence of path
        With the columns of a prediction file.
    about : MadeBy, optional
        What a prediction file says of the model: needed of tables in memory, which do not say it.

    Returns
    -------
    Predicted

    Raises
    ------
    CatalogueError
        If a file is missing or damaged.
    ListError
        If it holds no predictions of one model, or repeats rows.
    """
    paths = paths_of(predictions)
    if paths:
        return read_predictions(paths, about)
    frame = predictions.to_pandas() if isinstance(predictions, Predictions) else as_frame(predictions)
    return _judged(_rows(frame, about or {}, "the table of predictions"))


def paths_of(tables: object) -> list[str | Path]:
    """Return a path, or a sequence of paths and tables, as the list of its paths; of other things an empty list.

    Parameters
    ----------
    tables : path, table or sequence of these

    Returns
    -------
    list of path
    """
    return [one for one in each(tables) if isinstance(one, str | Path)]


def each(tables: object) -> Sequence[object]:
    """Return one thing or several as a sequence; wildcards stand for their files.

    Parameters
    ----------
    tables : object

    Returns
    -------
    sequence of object
    """
    several = tables if isinstance(tables, list | tuple) else [] if tables is None else [tables]
    return [each for one in several for each in (spelt_out(one) if isinstance(one, str | Path) else [one])]


def as_frame(table: object) -> pd.DataFrame:
    """Return a file, an astropy Table or a DataFrame as a DataFrame.

    Parameters
    ----------
    table : path, DataFrame or Table

    Returns
    -------
    DataFrame
    """
    if isinstance(table, str | Path):
        return read_table(table)
    if isinstance(table, pd.DataFrame):
        return table
    convert = getattr(table, "to_pandas", None)
    if convert is None:
        raise ListError(
            f"cannot read a table from an object of type {type(table).__name__}. Give a path, a DataFrame or "
            "an astropy Table."
        )
    frame: pd.DataFrame = convert()
    return frame


def find_model(model: Provenance, places: Sequence[str | Path]) -> Path:
    """Return the model folder that a prediction file speaks of, by its card.

    Parameters
    ----------
    model : MadeBy
        What the predictions say of their model.
    places : sequence of path
        Folders to look at, and in.

    Returns
    -------
    Path

    Raises
    ------
    ListError
        If it is in none of them.
    """
    looked = []
    for place in dict.fromkeys(Path(place).resolve() for place in places):
        for head in sorted([*place.glob("model.json"), *place.glob("*/model.json")]):
            looked.append(head.parent)
            if _made(head.parent, model):
                return head.parent
    raise ListError(
        f"the model of these predictions (regime {model.get('regime')}, made {model.get('made')}) was not found beside "
        f"them or here ({count(len(looked), 'model folder')} looked at). Name it with --model."
    )


def _made(folder: Path, model: Provenance) -> bool:
    try:
        card = read_json(folder / "card.json")
    except BundleError:
        return False
    made = card.get("provenance") or {}
    return bool(
        made.get("made") == model.get("made")
        and made.get("seed") == model.get("seed")
        and card.get("features") == model.get("features")
        and card.get("regime") == model.get("regime")
    )


def _read(path: Path, about: MadeBy | None) -> Predicted:
    table = read_table(path)
    made = read_provenance(path, len(table))
    model = made.get("model") if isinstance(made, dict) else None
    if made is None and about is not None:
        unnamed = _rows(table, about, path)
        note = f"{path.name} does not say of what it is a part: it is taken as all rows of the field."
        return replace(unnamed, notes=(_part(unnamed, open_table(path).cards, path.name) or note,))
    names = model.get("classes") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        lost = path.suffix.lower() == ".csv" and not path.with_name(path.name + ".json").is_file()
        raise ListError(
            f"{path}: does not say which model made it, so it is no prediction file of jpas-gbm"
            + (f" (its {path.name}.json is missing)" if lost else "")
            + ". Make one with 'jpas-gbm predict MODEL CATALOGUE --out FILE', or, if other software cut one, name its "
            "model with --model."
        )
    simulated = bool(model.get("simulated") or (made or {}).get("simulated"))
    found = _rows(table, cast(MadeBy, {**model, "simulated": simulated}), path)
    note = _part(found, open_table(path).cards, path.name)
    return replace(found, notes=(note,)) if note else found


def _part(found: Predicted, cards: Mapping[str, str], name: str) -> str:
    """Return a note if the rows are not all that were predicted, by what the file says of the whole."""
    whole, ids = cards.get("NROWS", ""), cards.get("IDSUM", "")
    if not whole.isdigit():
        return ""
    if int(whole) != len(found):
        return (
            f"{name} is a part of what was predicted, {len(found):,} of {int(whole):,} rows: class mix, footprint and "
            "promise are those of the part. Give the whole and let the list choose."
        )
    columns = {**found.ids, "RA": found.ra}
    rows = np.empty(len(found), dtype=[(one, value.dtype) for one, value in columns.items()])
    for one, value in columns.items():
        rows[one] = value
    if f"{id_checksum(rows):016x}" != ids:
        return f"{name} has other rows than were predicted: their ids give another checksum."
    return ""


def _rows(table: pd.DataFrame, model: MadeBy, path: str | Path) -> Predicted:
    """Return the rows of a table with the columns of a prediction file."""
    classes = tuple(model["classes"])
    needed = ["RA", "DEC", *(f"P_{name.upper()}" for name in classes)]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        hint = did_you_mean(missing[0], table.columns)
        raise ListError(
            f"{path}: lacks {', '.join(missing)}.{hint} It has: "
            f"{', '.join(table.columns) or 'no columns'}. "
            "Give the file as 'jpas-gbm predict' wrote it."
        )
    columns = list(table.columns)
    ids = [name for name in columns[: columns.index("RA")] if table[name].dtype.kind in "iu"]
    p = np.stack([column_numbers(table, name, path) for name in needed[2:]], axis=1)
    negative: np.ndarray = np.any(p < 0, axis=1)
    wrong: np.ndarray = ~((np.abs(p.sum(axis=1) - 1) <= 1e-3) | np.isnan(p).all(axis=1))
    if negative.any() or wrong.any():
        row = int(np.flatnonzero(negative | wrong)[0])
        what = "are not from 0 to 1" if negative[row] else "do not sum to 1"
        raise ListError(f"{path}: probabilities of row {row} {what}: {p[row].tolist()}. Predict again.")
    n = len(table)
    quality = column_numbers(table, "QUALITY", path) if "QUALITY" in table else np.zeros(n)
    known = {"RA", "DEC", "MAG", "QUALITY", "CLASS", "CLASS_THRESHOLDED", "ENTROPY", *needed, *ids}
    return Predicted(
        classes=classes,
        ids={name: table[name].to_numpy(dtype=np.int64) for name in ids},
        ra=column_numbers(table, "RA", path),
        dec=column_numbers(table, "DEC", path),
        mag=(column_numbers(table, "MAG", path) if "MAG" in table else np.full(n, np.nan)).astype(np.float32),
        p=p / p.sum(axis=1, keepdims=True),
        quality=np.nan_to_num(quality).astype(np.int32),
        more={name: table[name].to_numpy() for name in columns if name not in known},
        model=model,
        sources=(Path(path).name,),
    )


def column_numbers(table: pd.DataFrame, name: str, path: str | Path) -> np.ndarray:
    """Return a column as float64; what is missing is NaN.

    Parameters
    ----------
    table : DataFrame
    name : str
        Of the column.
    path : path
        What the table is called in messages.

    Returns
    -------
    array of float64, shape (n,)
    """
    try:
        return table[name].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ListError(
            f"{path}: the column {name} holds other things than numbers ({error}). Give the file as 'jpas-gbm predict' "
            "wrote it."
        ) from error


def read_provenance(path: str | Path, rows: int | None = None) -> Provenance | None:
    """Return the provenance that a file of this package carries.

    Parameters
    ----------
    path : path
    rows : int, optional
        Its rows: a CSV file that has other ones than its companion says was cut, and has lost its provenance.

    Returns
    -------
    Provenance or None
        None where there is none to be read.

    Raises
    ------
    BundleError
        If the companion of a CSV file belongs to another file.
    """
    path, table = named_table(path)
    kind = find_format(path).format
    try:
        if kind == "FITS":
            from astropy.io import fits

            return _stated(
                fits.getheader(path, int(table) if table and table.isdigit() else table or 1).get("PROVENAN")
            )
        if kind == "Parquet":
            import pyarrow.parquet as pq

            return _stated((pq.read_schema(path).metadata or {}).get(b"jpas_gbm"))
        if kind == "VOTable":
            from astropy.io.votable import parse

            infos = parse(path, verify="ignore").resources[0].infos
            return _stated(next((info.value for info in infos if info.name == "provenance"), None))
        return _csv_provenance(path, rows)
    except (OSError, ValueError, IndexError, KeyError):
        return None


def _stated(text: object) -> Provenance | None:
    return _mapping(json.loads(text)) if text and isinstance(text, str | bytes) else None


def _mapping(value: Json) -> Provenance | None:
    return cast(Provenance, value) if isinstance(value, dict) else None


def _csv_provenance(path: Path, rows: int | None) -> Provenance | None:
    companion = path.with_name(path.name + ".json")
    if companion.is_file():
        cards = read_companion(companion).get("cards")
        if rows is not None and isinstance(cards, dict) and str(cards.get("NROWS", rows)) != str(rows):
            return None
        return _mapping(read_companion(companion, path).get("provenance"))
    with open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if not line.startswith("#"):
                return None
            if line.startswith("# meta: "):
                told = json.loads(line.removeprefix("# meta: "))
                return _mapping(told.get("provenance")) if isinstance(told, dict) else None
    return None
