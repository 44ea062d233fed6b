"""Real broad-band photometry: SDSS ugriz with few labels, beside a plain LightGBM on magnitudes and colours.

    python benchmarks/sdss.py DATA --out reports/sdss [--seed 0] [--labels 30,100,300,1000] [--draws 0,1,2]
    python benchmarks/sdss.py DATA --out reports/sdss --brightness

DATA holds ``sdss``. The tables of galaxies, quasars and stars are the source, ``skyserver_dr14.csv`` is the target;
what stands in both is left out of the source. The test split of the target is judged. So many labels of the other
target rows are drawn: ``ssda`` trains on half of them and chooses and calibrates on the others, the LightGBMs train on
all, on the source, and on both with a label weighing 3 and 10 rows of the source; ``uda`` and ``mocks-only`` see no
label. What is done is kept after each size and draw, and a run that was cut goes on from there.

With ``--brightness``: ``uda`` by how many training rows forget the magnitude, which here is one of the survey's own and
never missing; three training seeds, judged on the labelled rows that do not test. Into ``OUT/brightness``.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from judged import Figure, checksums, forget, kept, write_figures
from splus import SKY_WEIGHTS, of_labels

import jpas_gbm as jg
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.dataset import Dataset

SOURCE, TARGET = ("sdss_galaxy.csv", "sdss_quasar.csv", "sdss_star.csv"), "skyserver_dr14.csv"


def plain_features(rows: Catalogue) -> np.ndarray:
    """Return magnitudes and the colours of neighbouring bands, (n, 9); NaN where a flux is not positive."""
    mag = -2.5 * np.log10(np.where(rows.flux > 0, rows.flux, np.nan))
    return np.concatenate([mag, mag[:, :-1] - mag[:, 1:]], axis=1)


def of_regime(data: Dataset, regime: str, seed: int, rows: Catalogue) -> dict[str, np.ndarray]:
    """Return, by the name of a regime that reads no label, its class probabilities of rows."""
    return {regime: jg.fit(data, regime=regime, seed=seed, threads=1).probabilities(rows, 1)}


def brightness(data: Dataset, out: Path, sums: dict[str, str]) -> None:
    """Judge ``uda`` where fewer training rows forget the magnitude, on labelled rows that do not test."""
    known = np.flatnonzero((np.asarray(data.target_split) != 2) & (np.asarray(data.target.label) >= 0))
    rows, classes, tables = data.target.take(known), data.scheme.classes, []
    names = {share: f"uda, {share:.0%} forget it" for share in (0.5, 0.1, 0.0)}
    for seed in range(3):
        columns: dict[str, np.ndarray] = {}
        for share, name in names.items():
            model = jg.fit(data, regime="uda", config={"sky": {"forget_imaging": share}}, seed=seed, threads=1)
            p = model.probabilities(rows, 1)
            columns |= {f"{name}:{c}": p[:, i] for i, c in enumerate(classes)}
            print(f"seed {seed}: {name}", flush=True)
        tables.append(pd.DataFrame({**described(rows, classes), "part": f"seed {seed}", **columns}))
    first, *others = names.values()
    asked = [Figure(metric, name) for name in names.values() for metric in ("log_loss", "macro_f1", "accuracy")]
    asked += [Figure(metric, name, against=first) for name in others for metric in ("log_loss", "macro_f1")]
    command = "python benchmarks/sdss.py DATA --out reports/sdss --brightness"
    for one in write_figures(out / "brightness", command, sums, pd.concat(tables, ignore_index=True), asked, 0):
        print(f"{one.name} {one.value:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}]", flush=True)


def described(rows: Catalogue, classes: tuple[str, ...]) -> dict[str, object]:
    """Return the columns that say which objects are judged."""
    key = [f"{plate}-{mjd}-{fiber}" for plate, mjd, fiber in zip(*rows.key.values(), strict=True)]
    return {"key": key, "object": rows.object_id, "fold": 0, "class": np.array(classes)[rows.label]}


def main() -> None:
    """Fit, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labels", default="30,100,300,1000")
    parser.add_argument("--draws", default="0,1,2")
    parser.add_argument("--brightness", action="store_true")
    given = parser.parse_args()
    folder, seed = given.data / "sdss", given.seed
    sums = checksums([folder / name for name in (*SOURCE, TARGET)], given.data)
    sizes, draws = (list(map(int, one.split(","))) for one in (given.labels, given.draws))
    data = jg.prepare([str(folder / name) for name in SOURCE], str(folder / TARGET))
    if given.brightness:
        brightness(data, given.out, sums)
        return
    judged, classes = np.asarray(data.target_split) == 2, data.scheme.classes
    rows = data.target.take(judged)
    about = described(rows, classes)
    tables, always = [], dict[str, np.ndarray]()
    for regime in ("mocks-only", "uda"):
        always |= kept(given.out / f"kept-{regime}-{seed}.npz", partial(of_regime, data, regime, seed, rows))
    X = plain_features(data.source_rows("train")), plain_features(data.target)
    known = np.flatnonzero(~judged & (np.asarray(data.target.label) >= 0))
    for size, draw in ((size, draw) for draw in draws for size in sizes):
        part = f"{size} labels, draw {draw}"
        chosen = np.random.default_rng([seed, 8, draw]).permutation(known)[:size]
        print(part, end=": ", flush=True)
        make = partial(of_labels, data, X, chosen, judged, {}, (seed, seed + 10 * draw))
        found = kept(given.out / f"kept-{size}-{draw}-{seed}.npz", make) | always
        columns = {f"{name}:{c}": p[:, i] for name, p in found.items() for i, c in enumerate(classes)}
        tables.append(pd.DataFrame({**about, "part": part, **columns}))
    names = ["ssda", "uda", "mocks-only", "lightgbm: labels", *(f"lightgbm: both, x{w:g}" for w in SKY_WEIGHTS)]
    names.append("lightgbm: mocks")
    asked = []
    for part in (f"{size} labels" for size in sizes):
        asked += [Figure(metric, name, part) for name in names for metric in ("log_loss", "macro_f1", "accuracy")]
        asked += [Figure(metric, "ssda", part, name) for name in names[1:] for metric in ("log_loss", "macro_f1")]
    command = f"python benchmarks/sdss.py DATA --out reports/sdss --seed {seed} --labels {given.labels}"
    table = pd.concat(tables, ignore_index=True)
    for one in write_figures(given.out, f"{command} --draws {given.draws}", sums, table, asked, seed):
        print(f"{one.name} {one.value:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}]", flush=True)
    forget(given.out)


if __name__ == "__main__":
    main()
