"""Error-aware probabilities: what a classifier would say had the noise fallen otherwise.

Finding the model that made a prediction file.

Predicted: prediction files read again, with the model that made them.

Sources that overlapping tiles show twice: one fibre each is enough.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import BundleError, TargetError, did_you_mean
from ..model import Model
from ..store import read_json
from ..surveys.catalogue import Catalogue
from ..surveys.quality import QualityBit
from ..surveys.reader import read_table
from ..surveys.tables import file_format


def find_model(model: Mapping[str, Any], places: Sequence[str | Path]) -> Path:
    """Return the model folder that a prediction file speaks of, by its card.

    Parameters
    ----------
    model : mapping
        What the predictions say of their model.
    places : sequence of path
        Folders to look at, and in.

    Raises
    ------
    TargetError
        If it is in none of them.
    """
    looked = []
    for place in dict.fromkeys(Path(place).resolve() for place in places):
        for head in sorted([*place.glob("model.json"), *place.glob("*/model.json")]):
            looked.append(head.parent)
            if _is(head.parent, model):
                return head.parent
    raise TargetError(
        f"the model of these predictions (regime {model.get('regime')}, made {model.get('made')}) was not found beside "
        f"them or here ({len(looked)} model folder(s) looked at). Name it with --model."
    )


def _is(folder: Path, model: Mapping[str, Any]) -> bool:
    try:
        card = read_json(folder / "card.json")
    except BundleError:
        return False
    made = card.get("provenance") or {}
    return bool(
        made.get("made") == model.get("made")
        and made.get("seed") == model.get("seed")
        and card.get("features") == model.get("features")
    )


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
        If a file is no prediction file, lacks a column, is of another model than the first, or repeats rows.
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
        return _without_repeated(first)
    shared = [name for name in first.more if all(name in part.more for part in parts)]
    ids = [name for name in first.ids if all(name in part.ids for part in parts)]
    joined = Predicted(
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
    return _without_repeated(joined)


def _without_repeated(predicted: Predicted) -> Predicted:
    """Refuse rows that stand twice, as they do where a file is named twice: each would be counted twice."""
    if not predicted.ids:
        return predicted
    places = {"RA": predicted.ra, "DEC": predicted.dec}
    repeated = pd.DataFrame({**predicted.ids, **places}).duplicated().to_numpy()
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        named = ", ".join(f"{name}={value[row]}" for name, value in predicted.ids.items())
        raise TargetError(
            f"{', '.join(predicted.sources)}: {int(repeated.sum()):,} row(s) stand twice ({named}, say): they would be "
            "counted and observed twice. Give each row once."
        )
    return predicted


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
    model = told.get("model") if isinstance(told, dict) else None
    names = model.get("classes") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        companion = path.with_name(path.name + ".json")
        why = f" (its {companion.name} is {'damaged' if companion.is_file() else 'missing'})"
        raise TargetError(
            f"{path}: does not say which model made it, so it is no prediction file of jpas-gbm"
            + (why if path.suffix.lower() == ".csv" else "")
            + ". Make one with 'jpas-gbm predict MODEL CATALOGUE --out FILE'."
        )
    classes = tuple(names)
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
    p = np.stack([_numbers(table, name, path) for name in needed[2:]], axis=1)
    negative: np.ndarray = np.any(p < 0, axis=1)
    wrong: np.ndarray = ~(np.abs(p.sum(axis=1) - 1) <= 1e-3)
    if negative.any() or wrong.any():
        row = int(np.flatnonzero(negative | wrong)[0])
        what = "are not from 0 to 1" if negative[row] else "do not sum to 1"
        raise TargetError(f"{path}: probabilities of row {row} {what}: {p[row].tolist()}. Predict again.")
    n = len(table)
    known = {"RA", "DEC", "MAG", "QUALITY", "CLASS", "CLASS_THRESHOLDED", "ENTROPY", *needed, *ids}
    return Predicted(
        classes=classes,
        ids={name: table[name].to_numpy(dtype=np.int64) for name in ids},
        ra=_numbers(table, "RA", path),
        dec=_numbers(table, "DEC", path),
        mag=(_numbers(table, "MAG", path) if "MAG" in table else np.full(n, np.nan)).astype(np.float32),
        p=p / p.sum(axis=1, keepdims=True),
        quality=np.nan_to_num(_numbers(table, "QUALITY", path) if "QUALITY" in table else np.zeros(n)).astype(np.int32),
        more={name: table[name].to_numpy() for name in columns if name not in known},
        model=model,
        sources=(path.name,),
    )


def _numbers(table: pd.DataFrame, name: str, path: Path) -> np.ndarray:
    """Return a column as float64; what is missing is NaN."""
    try:
        return table[name].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TargetError(
            f"{path}: the column {name} holds other things than numbers ({error}). Give the file as 'jpas-gbm predict' "
            "wrote it."
        ) from error


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
        return (_parsed(companion.read_text(encoding="utf-8")) or {}).get("provenance")
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            if not line.startswith("#"):
                return None
            if line.startswith("# meta: "):
                return (_parsed(line.removeprefix("# meta: ")) or {}).get("provenance")
    return None


RADIUS = 0.5
"""Rows of different tiles nearer than this are one source, in arcsec."""


def without_repeats(predicted: Predicted, radius: float = RADIUS) -> tuple[Predicted, int]:
    """Return the rows with one row for each source, and how many were left out.

    Rows within the radius are one source if they are of different tiles, where TILE_ID is known, and
    at all otherwise. The row kept has fewer quality bits, then comes first: a choice by
    probability would favour lucky noise.

    Parameters
    ----------
    predicted : Predicted
    radius : float
        In arcsec.
    """
    from scipy.spatial import cKDTree

    known = np.flatnonzero(np.isfinite(predicted.ra) & np.isfinite(predicted.dec))
    if len(known) < 2:
        return predicted, 0
    lon, lat = np.deg2rad(predicted.ra[known]), np.deg2rad(predicted.dec[known])
    vectors = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    chord = 2 * np.sin(np.deg2rad(radius / 3600) / 2)
    pairs = cKDTree(vectors, balanced_tree=False, compact_nodes=False).query_pairs(chord, output_type="ndarray")
    pairs = known[pairs]
    tile = predicted.ids.get("TILE_ID")
    if tile is not None:
        pairs = pairs[tile[pairs[:, 0]] != tile[pairs[:, 1]]]
    if not len(pairs):
        return predicted, 0
    doubts = np.bitwise_count(predicted.quality.astype(np.uint32) & ~np.uint32(QualityBit.NO_IMAGING))
    rank = np.empty(len(predicted), dtype=np.intp)
    rank[np.lexsort((np.arange(len(predicted)), doubts))] = np.arange(len(predicted))
    worse = np.where(rank[pairs[:, 0]] > rank[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    keep = np.ones(len(predicted), dtype=bool)
    keep[worse] = False
    return predicted.take(keep), int((~keep).sum())


_ROWS = 20_000
Progress = Callable[[str, int, int], None]


class NoisyProbabilities(NamedTuple):
    """Mean and standard deviation over noise draws of every class's probability, float64 (n, k) each."""

    mean: np.ndarray
    spread: np.ndarray


def noise_probabilities(
    fitted: Model,
    catalogue: Catalogue,
    draws: int = 8,
    *,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> NoisyProbabilities:
    """Propagate photometric errors into probabilities.

    Each draw adds to every flux a normal deviate of its error and asks the model again. A flux that
    was measured has its noise already, so a draw is noisier than the data by a factor of sqrt(2): the
    spread says how far a second measurement could move the probability, and the mean is drawn
    towards indecision. It is a warning beside the probability, not a better probability.

    The cost is `draws` predictions of these rows, features and all.

    Parameters
    ----------
    fitted : Model
    catalogue : Catalogue
        n rows with errors.
    draws : int
        At least 2.
    seed : int
    threads : int
    progress : callable, optional
        Called as ``progress("noise", rows done, rows)``.

    Raises
    ------
    TargetError
        If the survey gives no errors, or fewer than 2 draws are asked for.
    """
    if draws < 2:
        raise TargetError(f"{draws} noise draw(s) have no spread: ask for 2 or more.")
    if not catalogue.has_errors:
        raise TargetError(
            f"the catalogue ({catalogue.survey}) gives no photometric errors, so none can be propagated. "
            "Leave out --noise-draws."
        )
    mean = np.empty((len(catalogue), len(fitted.classes)))
    spread = np.empty_like(mean)
    rng = np.random.default_rng(seed)
    for start in range(0, len(catalogue), _ROWS):
        rows = slice(start, min(start + _ROWS, len(catalogue)))
        part = catalogue.take(rows)
        drawn = []
        for _ in range(draws):
            noise = rng.standard_normal(part.flux.shape, dtype=np.float32)
            seen = part.replace(flux=part.flux + noise * part.flux_err)
            drawn.append(fitted.probabilities(seen, threads))
        mean[rows], spread[rows] = np.mean(drawn, axis=0), np.std(drawn, axis=0, ddof=1)
        if progress is not None:
            progress("noise", rows.stop, len(catalogue))
    return NoisyProbabilities(mean, spread)
