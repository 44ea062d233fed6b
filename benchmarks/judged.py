"""Figures that a stranger can make again: one row for each judged object, and every score recomputed from these rows.

    python benchmarks/judged.py reports            # make figures-check: recompute every figure of every report

A report that judges objects of a data set holds ``objects.csv`` (or ``.parquet``) and ``figures.json``. A row of the
first has ``key`` (names the object to whoever has the data), ``object`` (rows of one object are resampled together),
``part`` (what the row is judged in: a sample, a kind of noise, a split; of ``A, B`` the figures of ``A`` are made too),
``fold``, ``class``, and the probabilities ``MODEL:CLASS``; where redshifts are judged, quantiles as ``MODEL:Z_QSO_02``
and true ones in ``z``. The second has the command, the checksums of its inputs and the figures: metric,
model, part, and where it is a paired difference, against which model; the value and its 95 % interval over objects.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import recall_score, roc_auc_score

from jpas_gbm.scores.bootstrap import object_counts
from jpas_gbm.scores.losses import BINS, f1_scores, top_label_parts, width_bins

RESAMPLES = 1000
LEVEL = 0.95
_LEAST = 1e-15
QUANTILES = ("Z_QSO_02", "Z_QSO_16", "Z_QSO_50", "Z_QSO_84", "Z_QSO_98")
_TABLES = ("objects.csv", "objects.parquet")


@dataclass(frozen=True)
class Figure:
    """One score, or the difference of two.

    ``metric`` is log_loss (nats), accuracy, macro_f1, mean_recall, ece (of the likeliest class, ten bins of equal
    width), f1:CLASS, recall:CLASS or auc:CLASS; of redshifts covered68,
    covered95, nmad (of Δz / (1 + z) of medians), outliers (by more than 0.15), or ece:CLASS of P_Z_HIGH as the
    probability of a class; of anything else mean:COLUMN, the mean of MODEL:COLUMN where that is known. ``model`` names
    the columns; ``against`` another model, whose score on the same rows is taken off; ``part`` is empty for all rows.
    """

    metric: str
    model: str
    part: str = ""
    against: str = ""
    n: int = 0
    value: float = float("nan")
    interval: tuple[float, float] = (float("nan"), float("nan"))

    @property
    def name(self) -> str:
        """What is told, in a line."""
        other = f" less {self.against}" if self.against else ""
        return f"{self.metric} of {self.model}{other}{f' ({self.part})' if self.part else ''}"


def models_of(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the classes of each model that has probabilities in a table."""
    found: dict[str, list[str]] = {}
    for column in table.columns:
        if ":" in column:
            model, _, name = column.rpartition(":")
            found.setdefault(model, []).append(name)
    return found


def _metric(name: str, classes: Sequence[str]) -> Callable[[np.ndarray, np.ndarray, np.ndarray], float]:
    """Return a metric of codes (n,), probabilities (n, k) and weights (n,): how often each row was drawn."""
    kind, _, chosen = name.partition(":")
    code = list(classes).index(chosen) if chosen in classes else -1

    def log_loss(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
        given = np.maximum(p[np.arange(len(y)), y], _LEAST)
        return float(np.average(-np.log(given), weights=w))

    def accuracy(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
        return float(np.average(p.argmax(axis=1) == y, weights=w))

    def f1s(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
        k = p.shape[1]
        return np.nan_to_num(f1_scores(np.bincount(y * k + p.argmax(axis=1), w, k * k).reshape(k, k)))

    def macro_f1(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
        return float(f1s(y, p, w)[np.unique(y)].mean())

    def mean_recall(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
        there = np.unique(y[w > 0])
        return float(recall_score(y, p.argmax(axis=1), labels=there, average="macro", sample_weight=w, zero_division=0))

    def recall(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
        its = (y == code) & (w > 0)
        return float(np.average(p[its].argmax(axis=1) == code, weights=w[its])) if its.any() else float("nan")

    def f1(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
        return float(f1s(y, p, w)[code])

    def ece(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
        confidence, hit = top_label_parts(y, p)
        gaps = np.bincount(width_bins(confidence), w * (hit - confidence), BINS)
        return float(np.abs(gaps).sum() / w.sum())

    def auc(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
        its = y == code
        both = (w[its] > 0).any() and (w[~its] > 0).any()
        return float(roc_auc_score(its, p[:, code], sample_weight=w)) if both else float("nan")

    known = {
        "log_loss": log_loss,
        "accuracy": accuracy,
        "macro_f1": macro_f1,
        "mean_recall": mean_recall,
        "ece": ece,
        "f1": f1,
        "recall": recall,
        "auc": auc,
    }
    if kind not in known or (kind in ("f1", "recall", "auc")) != bool(chosen) or (chosen and code < 0):
        raise SystemExit(f"there is no metric {name}: {', '.join(known)}, the last three with :CLASS.")
    return known[kind]


def _redshift_metric(name: str, rows: pd.DataFrame, model: str) -> Callable[[np.ndarray], float] | None:
    """Return a mean or a metric of redshift quantiles as a function of weights (n,); None for the others."""
    kind, _, chosen = name.partition(":")
    if kind == "mean":
        every = rows[f"{model}:{chosen}"].to_numpy(float)
        known = np.isfinite(every)
        return lambda w: float(np.average(every[known], weights=w[known])) if w[known].any() else float("nan")
    if kind == "ece" and chosen:
        above, hit = rows[f"{model}:P_Z_HIGH"].to_numpy(float), (rows["class"] == chosen).to_numpy(float)
        parts = np.array_split(np.argsort(above, kind="stable"), 10)

        def ece(w: np.ndarray) -> float:
            miss = [abs(float(w[part] @ (above - hit)[part])) for part in parts]
            return sum(miss) / float(w.sum())

        return ece
    if kind not in ("covered68", "covered95", "nmad", "outliers"):
        return None
    found = rows[[f"{model}:{name}" for name in QUANTILES]].to_numpy(float)
    z = rows["z"].to_numpy(float)
    miss = (found[:, 2] - z) / (1 + z)
    if kind == "nmad":
        return lambda w: 1.4826 * float(np.median(np.abs(np.repeat(miss - np.median(np.repeat(miss, w)), w))))
    ends = {"covered68": (1, 3), "covered95": (0, 4)}
    if kind == "outliers":
        values = np.abs(miss) > 0.15
    else:
        low, high = ends[kind]
        values = (z > found[:, low]) & (z <= found[:, high])
    return lambda w: float(np.average(values, weights=w))


def score(table: pd.DataFrame, asked: Figure, seed: int) -> Figure:
    """Return a figure with its value, its interval over objects and the number of rows."""
    inside = (table["part"] == asked.part) | table["part"].str.startswith(f"{asked.part}, ")
    rows = table[inside] if asked.part else table
    found = models_of(table)
    for model in filter(None, (asked.model, asked.against)):
        if model not in found:
            raise SystemExit(f"{asked.name}: no model {model} among {', '.join(found)}.")
    classes = found[asked.model]
    for model in filter(None, (asked.model, asked.against)):
        rows = rows[rows[f"{model}:{classes[0]}"].notna()]
    if not len(rows):
        raise SystemExit(f"{asked.name}: no rows.")
    told = _redshift_metric(asked.metric, rows, asked.model) or _told(asked, rows, classes)
    _, place = np.unique(rows["object"].astype(str), return_inverse=True)
    count, rng = int(place.max()) + 1, np.random.default_rng(seed)
    draws = [told(object_counts(rng, count)[place]) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = told(np.ones(len(rows), dtype=np.int64))
    return Figure(asked.metric, asked.model, asked.part, asked.against, len(rows), value, (float(low), float(high)))


def _told(asked: Figure, rows: pd.DataFrame, classes: Sequence[str]) -> Callable[[np.ndarray], float]:
    """Return a metric of probabilities, or the difference of two models', as a function of weights (n,)."""
    y = np.array([classes.index(name) for name in rows["class"]])
    of = [
        rows[[f"{model}:{name}" for name in classes]].to_numpy(float) for model in (asked.model, asked.against) if model
    ]
    metric = _metric(asked.metric, classes)

    def told(w: np.ndarray) -> float:
        values = [metric(y, p, w) for p in of]
        return values[0] - (values[1] if len(values) > 1 else 0.0)

    return told


def checksums(paths: Sequence[Path], root: Path) -> dict[str, str]:
    """Return the SHA-256 of files by their names below a folder."""
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def write_figures(
    out: Path, command: str, inputs: Mapping[str, str], table: pd.DataFrame, asked: Sequence[Figure], seed: int = 0
) -> list[Figure]:
    """Write the rows and the figures made of them, and return these.

    Probabilities keep six figures, or four bytes in Parquet: scores are of what is read back.
    """
    for column in ("key", "object", "part", "fold", "class"):
        if column not in table.columns:
            raise SystemExit(f"the table of judged objects lacks the column {column}.")
    named = [column for column in table.columns if ":" in column]
    out.mkdir(parents=True, exist_ok=True)
    for name in _TABLES:  # rows of before, in either form, are not read beside these
        (out / name).unlink(missing_ok=True)
    if len(table) > 5_000:
        table = table.astype(dict.fromkeys(named, np.float32))
        others = [column for column in table.columns if column not in named]
        small = {"compression": "zstd", "use_byte_stream_split": named, "use_dictionary": others}
        table.to_parquet(out / "objects.parquet", index=False, **small)
    else:
        rounded = table[named].map(lambda value: float(f"{value:.6g}"))
        table.assign(**rounded).to_csv(out / "objects.csv", index=False)
    figures = [score(read_objects(out), one, seed) for one in asked]
    about = {"command": command, "seed": seed, "resamples": RESAMPLES, "inputs": dict(inputs)}
    text = json.dumps({**about, "figures": [asdict(one) for one in figures]}, indent=1)
    (out / "figures.json").write_text(text + "\n", encoding="utf-8")
    return figures


def kept(
    path: Path, make: Callable[[], Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]]]
) -> dict[str, np.ndarray]:
    """Return the arrays that a run that was cut left at a path, else those that are made now, and left there whole.

    The name of the file tells what they depend on; :func:`forget` ends them when the report is written.
    """
    if not path.is_file():
        found = dict(make())
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = path.with_name(f".{path.name}")
        np.savez(begun, **found)
        begun.replace(path)
    with np.load(path) as there:
        return dict(there)


def forget(folder: Path) -> None:
    """Remove what :func:`kept` left in a folder, in files named ``kept-*.npz``."""
    for path in folder.glob("kept-*.npz"):
        path.unlink()


def read_objects(folder: Path) -> pd.DataFrame:
    """Return the rows of a report."""
    for name in _TABLES:
        if (folder / name).is_file():
            path = folder / name
            # A column of empty parts would be read as numbers.
            table = pd.read_csv(path, dtype={"part": str}) if path.suffix == ".csv" else pd.read_parquet(path)
            numbers = table.select_dtypes(np.float32).columns
            return table.astype(dict.fromkeys(numbers, np.float64)).fillna({"part": ""})
    raise SystemExit(f"{folder}: there are figures and no {' or '.join(_TABLES)}.")


def check(folder: Path) -> list[str]:
    """Return what does not come out again of the figures of a report."""
    said = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    table, wrong = read_objects(folder), []
    for one in said["figures"]:
        stated = Figure(**{**one, "interval": tuple(one["interval"])})
        found = score(table, stated, said["seed"])
        same = np.allclose([stated.value, *stated.interval], [found.value, *found.interval], rtol=1e-6, atol=1e-9)
        if not same or stated.n != found.n:
            wrong.append(
                f"{folder}: {stated.name} is stated as {stated.value:.6g} {stated.interval} of {stated.n} rows "
                f"and comes out as {found.value:.6g} {found.interval} of {found.n}."
            )
    print(f"{folder}: {len(said['figures'])} figures of {len(table)} rows, {len(wrong)} wrong")
    return wrong


def main() -> int:
    """Check the reports below a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path)
    folders = sorted(path.parent for path in parser.parse_args().reports.rglob("figures.json"))
    wrong = [line for folder in folders for line in check(folder)]
    print(*wrong, sep="\n", file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong or not folders else 0


if __name__ == "__main__":
    sys.exit(main())
