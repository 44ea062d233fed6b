"""Rows with few bands, and intervals, on the built-in survey: are the probabilities as sure as they may be?

    python benchmarks/few_bands.py --out reports/reliability [--rows 6000 --labelled 4000 --seed 0]

Held-out rows are classified with 5, 10, 20 and 40 of their bands left, with and without the calibration by number of
bands: log loss (nats), expected calibration error of the likeliest class, mean confidence and accuracy. Sources that
stand twice on the sky say how often the second observation lies between P_LO and P_HI of the first; two draws of
normal errors about one truth promise 52 %, for P that follows the fluxes linearly and hangs on no edge.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import jpas_gbm as jg
from jpas_gbm.boosting.few_bands import thinned
from jpas_gbm.inference.intervals import Intervals
from jpas_gbm.options import SimulateOptions
from jpas_gbm.scores.losses import log_loss

PROMISED = 0.5205  # 2 Phi(1 / sqrt(2)) - 1


def ece(p: np.ndarray, y: np.ndarray, bins: int = 10) -> float:
    """Return the expected calibration error of the likeliest class in bins of equal counts."""
    sure, right = p.max(axis=1), p.argmax(axis=1) == y
    parts = np.array_split(np.argsort(sure), bins)
    return float(sum(len(one) * abs(sure[one].mean() - right[one].mean()) for one in parts) / len(y))


def bands(model: jg.Model, rows: jg.Catalogue, seed: int) -> list[tuple]:
    """Return the figures at each number of bands."""
    found, rng = [], np.random.default_rng(seed + 100)
    for left in (5, 10, 20, 40, 55):
        flux = thinned(rows.flux, left / rows.flux.shape[1], rng) if left < 55 else rows.flux
        thin = rows.replace(flux=flux)
        for name, one in (("as all bands", replace(model, few_bands=None)), ("by number of bands", model)):
            p = one.probabilities(thin)
            right = (p.argmax(axis=1) == rows.label).mean()
            scores = (log_loss(p, rows.label), ece(p, rows.label), p.max(axis=1).mean(), right)
            found.append((left, name, len(rows), *(round(float(score), 4) for score in scores)))
            print(*found[-1], flush=True)
    return found


def apart(sky: jg.Catalogue, trained: jg.Catalogue) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of sources that stand twice on the sky and trained nothing: first and second observation."""
    from scipy.spatial import cKDTree

    def places(rows: jg.Catalogue) -> np.ndarray:
        return np.column_stack([rows.ra * np.cos(np.radians(rows.dec)), rows.dec]) * 3600

    pairs = np.array(sorted(cKDTree(places(sky)).query_pairs(0.8)), dtype=np.intp).reshape(-1, 2)
    known = cKDTree(places(trained)).query(places(sky), distance_upper_bound=0.8)[0] < np.inf
    pairs = pairs[~known[pairs].any(axis=1)]
    for side in (0, 1):  # of a source that was seen three times, one pair
        pairs = pairs[np.unique(pairs[:, side], return_index=True)[1]]
    return pairs[:, 0], pairs[:, 1]


def seconds(model: jg.Model, sky: jg.Catalogue, trained: jg.Catalogue) -> list[tuple]:
    """Return how many second observations lie within the interval of the first, by class."""
    one, two = (sky.take(rows) for rows in apart(sky, trained))
    low, high = Intervals(model).ends(one, model.probabilities(one))
    p = model.probabilities(two)
    inside = (p >= low - 1e-6) & (p <= high + 1e-6)
    rows = [("all", inside.size, inside.mean())]
    rows += [(name, len(p), inside[:, i].mean()) for i, name in enumerate(model.classes)]
    for edge in (0.01, 0.05):
        wide = high - low > edge
        rows.append((f"wider than {edge:g}", int(wide.sum()), inside[wide].mean()))
    found = [(name, n, round(float(share), 4), PROMISED) for name, n, share in rows]
    for row in found:
        print(*row, flush=True)
    return found


def main() -> None:
    """Run from the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--rows", type=int, default=6000)
    words.add_argument("--labelled", type=int, default=4000)
    words.add_argument("--unlabelled", type=int, default=4000)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--seeds", type=int, default=1, help="members of the ensemble")
    words.add_argument("--regime", default="ssda")
    words.add_argument("--out", type=Path, help="folder for the tables")
    given = words.parse_args()
    numbers = {"n_source": given.rows, "n_labelled": given.labelled, "n_unlabelled": given.unlabelled}
    with tempfile.TemporaryDirectory() as name:
        data = jg.simulate(
            given.seed, config=SimulateOptions(**numbers, n_tiles=4, overlap=0.4), out=Path(name) / "sim"
        )
        files = Path(name) / "sim"
        sky = jg.read(next(files.glob("*idr*")), legacy=next(files.glob("*tract*")))
    model = jg.fit(data, regime=given.regime, seed=given.seed, seeds=given.seeds)
    tables = {
        "few_bands.csv": ("bands,calibration,rows,log_loss,ece,confidence,accuracy",
                          bands(model, data.target_rows("test"), given.seed)),
        "second_observations.csv": ("class,values,inside,promised",
                                    seconds(model, sky, data.target_rows("train", "val"))),
    }  # fmt: skip
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        for name, (head, rows) in tables.items():
            lines = [head, *(",".join(map(str, row)) for row in rows)]
            (given.out / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
