"""Predicted: prediction files read again, with the model that made them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import did_you_mean
from ..survey.readers import read_table
from ..survey.tables import file_format
from .errors import TargetError

_MODEL = ("made", "version", "seed", "regime", "chosen", "features", "inputs")
"""What must agree between two files for their probabilities to be of one model."""


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
    model : mapping
        What the file says of the model that made it.
    sources : tuple of str
        Names of the files.
    """

    classes: tuple[str, ...]
    ids: Mapping[str, np.ndarray]
    ra: np.ndarray
    dec: np.ndarray
    mag: np.ndarray
    p: np.ndarray
    quality: np.ndarray
    more: Mapping[str, np.ndarray]
    model: Mapping[str, Any]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.p)

    def take(self, rows: np.ndarray) -> Predicted:
        """Return the rows chosen by a mask or indices."""
        return replace(
            self,
            ids={name: value[rows] for name, value in self.ids.items()},
            more={name: value[rows] for name, value in self.more.items()},
            **{name: getattr(self, name)[rows] for name in ("ra", "dec", "mag", "p", "quality")},
        )


def read_predictions(paths: Sequence[str | Path]) -> Predicted:
    """Read one or several prediction files of one model.

    Parameters
    ----------
    paths : sequence of path
        As ``jpas-gbm predict`` wrote them: FITS, Parquet, VOTable, CSV with its ``.json``, or ECSV.

    Raises
    ------
    CatalogueError
        If a file is missing or damaged.
    TargetError
        If a file is no prediction file, lacks a column, or is of another model than the first.
    """
    parts = [_read(Path(path)) for path in paths]
    first = parts[0]
    for other in parts[1:]:
        differs = model_differs(first.model, other.model)
        if differs:
            raise TargetError(
                f"{first.sources[0]} and {other.sources[0]} are predictions of two models ({differs}). Their "
                "probabilities cannot be ranked together: predict both with one model."
            )
    if len(parts) == 1:
        return first
    shared = [name for name in first.more if all(name in part.more for part in parts)]
    ids = [name for name in first.ids if all(name in part.ids for part in parts)]
    return Predicted(
        classes=first.classes,
        ids={name: np.concatenate([part.ids[name] for part in parts]) for name in ids},
        ra=np.concatenate([part.ra for part in parts]),
        dec=np.concatenate([part.dec for part in parts]),
        mag=np.concatenate([part.mag for part in parts]),
        p=np.concatenate([part.p for part in parts]),
        quality=np.concatenate([part.quality for part in parts]),
        more={name: np.concatenate([part.more[name] for part in parts]) for name in shared},
        model=first.model,
        sources=tuple(name for part in parts for name in part.sources),
    )


def model_differs(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return how two descriptions of a model differ, or an empty string."""
    for name in _MODEL:
        a, b = one.get(name), other.get(name)
        if a is not None and b is not None and a != b:
            return f"{name}: {a} and {b}" if isinstance(a, str | int) else f"they differ in '{name}'"
    return ""


def _read(path: Path) -> Predicted:
    table = read_table(path)
    told = read_provenance(path)
    model = (told or {}).get("model") or {}
    if not model.get("classes"):
        raise TargetError(
            f"{path}: does not say which model made it, so it is no prediction file of jpas-gbm"
            + (f" (its {path.name}.json is missing)" if path.suffix.lower() == ".csv" else "")
            + ". Make one with 'jpas-gbm predict MODEL CATALOGUE --out FILE'."
        )
    classes = tuple(model["classes"])
    needed = ["RA", "DEC", *(f"P_{name.upper()}" for name in classes)]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        hint = did_you_mean(missing[0], table.columns)
        raise TargetError(
            f"{path}: lacks the column(s) {', '.join(missing)}.{hint} It has: {', '.join(table.columns)}. "
            "Give the file as 'jpas-gbm predict' wrote it."
        )
    columns = list(table.columns)
    ids = [name for name in columns[: columns.index("RA")] if table[name].dtype.kind in "iu"]
    p = np.stack([table[name].to_numpy(dtype=np.float64) for name in needed[2:]], axis=1)
    if not np.isfinite(p).all() or (p < 0).any() or (np.abs(p.sum(axis=1) - 1) > 1e-3).any():
        row = int(np.flatnonzero(~(np.abs(p.sum(axis=1) - 1) <= 1e-3) | (p < 0).any(axis=1))[0])
        raise TargetError(f"{path}: probabilities of row {row} do not sum to 1: {p[row].tolist()}. Predict again.")
    n = len(table)
    known = {"RA", "DEC", "MAG", "QUALITY", "CLASS", "CLASS_THRESHOLDED", "ENTROPY", *needed, *ids}
    return Predicted(
        classes=classes,
        ids={name: table[name].to_numpy(dtype=np.int64) for name in ids},
        ra=table["RA"].to_numpy(dtype=np.float64),
        dec=table["DEC"].to_numpy(dtype=np.float64),
        mag=table["MAG"].to_numpy(dtype=np.float32) if "MAG" in table else np.full(n, np.nan, dtype=np.float32),
        p=p / p.sum(axis=1, keepdims=True),
        quality=table["QUALITY"].to_numpy(dtype=np.int32) if "QUALITY" in table else np.zeros(n, dtype=np.int32),
        more={name: table[name].to_numpy() for name in columns if name not in known},
        model=model,
        sources=(path.name,),
    )


def read_provenance(path: str | Path) -> dict[str, Any] | None:
    """Return the provenance that a file of this package carries, or None."""
    path = Path(path)
    kind = file_format(path)
    try:
        if kind == "FITS":
            from astropy.io import fits

            return _parsed(fits.getheader(path, 1).get("PROVENAN"))
        if kind == "Parquet":
            import pyarrow.parquet as pq

            return _parsed((pq.read_schema(path).metadata or {}).get(b"jpas_gbm"))
        if kind == "VOTable":
            from astropy.io.votable import parse

            infos = parse(path, verify="ignore").resources[0].infos
            return _parsed(next((info.value for info in infos if info.name == "provenance"), None))
        return _csv_provenance(path)
    except (OSError, ValueError, IndexError, KeyError):
        return None


def _parsed(text: str | bytes | None) -> dict[str, Any] | None:
    value = json.loads(text) if text else None
    return value if isinstance(value, dict) else None


def _csv_provenance(path: Path) -> dict[str, Any] | None:
    companion = path.with_name(path.name + ".json")
    if companion.is_file():
        return (_parsed(companion.read_text()) or {}).get("provenance")
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            if not line.startswith("#"):
                return None
            if line.startswith("# meta: "):
                return (_parsed(line.removeprefix("# meta: ")) or {}).get("provenance")
    return None
