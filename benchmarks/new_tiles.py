"""Tiles that no fit has seen: zero points common to all, the tile's own, and those that labelled twins give.

    python benchmarks/new_tiles.py --data DATA --catalogue CATALOGUE --out reports/survey_a/new_tiles [--draws 4]

For each draw some of the tiles are left out of all that `fit` reads: labels, unlabelled rows and twins. Then
`calibrate-tiles` measures their zero points on the catalogue, which it reads without a label. Judged are validation
rows in these tiles; `twins` are the zero points that labelled train objects of all tiles give, measured beforehand.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from adaptation import BRIGHT, CUT
from judged import Figure, checksums, forget, kept, write_figures

from jpas_gbm.adaptation.fit import fit, fit_options
from jpas_gbm.adaptation.rows import get_regime, measured
from jpas_gbm.features.shift import DomainShift
from jpas_gbm.inference.tiles import calibrate_tiles, with_tiles
from jpas_gbm.options import FitOptions
from jpas_gbm.run import Run
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.dataset import SPLITS, Dataset

NAMES = ("common", "own", "twins")


def left_out(data: Dataset, gone: np.ndarray) -> Dataset:
    """Return a data set without the rows of some tiles, and without what their labels say of mocks."""
    masked = data.for_training()
    stays = ~np.isin(masked.target.key["TILE_ID"], gone)
    target, split = masked.target.take(stays), np.array(masked.target_split)[stays]
    labelled = target.object_id[(split >= 0) & (target.label >= 0)]
    twins = masked.twins.take(np.isin(masked.twins.object_id, labelled))
    return replace(masked, target=target, target_split=split, twins=twins)


def of_draw(
    data: Dataset, options: FitOptions, best: DomainShift, gone: np.ndarray, rows: Catalogue, given: argparse.Namespace
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the probabilities of the rows with the zero points of each kind."""
    model = fit(left_out(data, gone), config=options, seed=given.seed, threads=given.threads)
    if model.shift is None:
        raise SystemExit("no shift was measured, so there are no zero points to compare.")
    yield "common", model.probabilities(rows, given.threads)
    with tempfile.TemporaryDirectory() as folder:
        calibrate_tiles(given.catalogue, model, place := Path(folder) / "zero_points.json")
        yield "own", with_tiles(model, place).probabilities(rows, given.threads)
    inside = np.isin(best.tiles, gone)
    shift = model.shift.with_tiles(best.tiles[inside], best.zero_points[inside] / best.common)
    yield "twins", replace(model, shift=shift).probabilities(rows, given.threads)


def main() -> None:
    """Fit, calibrate, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--catalogue", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--leave", type=float, default=0.25, help="share of the tiles that are left out")
    parser.add_argument("--recipe", default="continue", help="how labels are used: the named path alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    data = Dataset.load(given.data)
    options = fit_options({"recipe": given.recipe}, "ssda")
    run = Run.start(given.seed, given.threads)
    best, _ = measured(data.for_training(), get_regime("ssda"), options, run, "twins", {})
    if best is None:
        raise SystemExit(f"{given.data}: too few labelled objects stand among the mocks to measure zero points.")
    classes, tiles = np.array(data.scheme.classes), np.unique(data.target.key["TILE_ID"])
    its = (data.target_split == SPLITS.index("val")) & (data.target.label >= 0) & ~(data.target.mag > CUT)
    tables = []
    for draw in range(given.draws):
        gone = np.random.default_rng([given.seed, 11, draw]).permutation(tiles)[: round(given.leave * len(tiles))]
        rows = data.target.take(its & np.isin(data.target.key["TILE_ID"], gone))
        make = partial(of_draw, data, options, best, gone, rows, given)
        told = kept(given.out / f"kept-{draw}-{given.seed}.npz", make)
        key = [f"{tile}/{number}" for tile, number in zip(rows.key["TILE_ID"], rows.key["NUMBER"], strict=True)]
        about = {"key": key, "object": rows.object_id, "part": f"{BRIGHT}, draw {draw}", "fold": draw}
        columns = {f"{name}:{c}": p[:, i] for name, p in told.items() for i, c in enumerate(classes)}
        tables.append(pd.DataFrame({**about, "class": classes[rows.label], **columns}))
    table = pd.concat(tables, ignore_index=True)
    parts = (BRIGHT, *(f"{BRIGHT}, draw {draw}" for draw in range(given.draws)))
    asked = [Figure("log_loss", name, part) for part in parts for name in NAMES]
    asked += [Figure("log_loss", first, part, "common") for part in parts for first in NAMES[1:]]
    asked += [Figure("log_loss", "own", part, "twins") for part in parts]
    sums = checksums([path for path in given.data.iterdir() if path.is_file()], given.data)
    command = f"python benchmarks/new_tiles.py {' '.join(sys.argv[1:])}"
    for path in (given.data, given.catalogue):
        command = command.replace(str(path), path.name)
    for one in write_figures(given.out, command, sums, table, asked, given.seed):
        print(f"{one.name:60s} {one.value:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}] n {one.n}")
    forget(given.out)


if __name__ == "__main__":
    main()
