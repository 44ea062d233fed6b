"""Each ingredient of the default path in and out: cross-fitted scores on target validation, paired intervals.

    python benchmarks/ablation.py --data DATA --out reports/ablation [--seeds 1] [--threads 1]

The first step is the named path as a fit tries it first: mocks prepared by twins and weighed within classes, continued
on the sky's labels; every other step changes one thing. Rows not fainter than r = 22.5 are judged. The test split is
not read: the labels of its rows are masked before anything is done. What is done is kept in OUT after each step, and a
run that was cut goes on from there.
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from judged import Figure, checksums, forget, kept, write_figures

from jpas_gbm.adaptation.choosing import Entrant, score_entrant
from jpas_gbm.adaptation.folds import Folds
from jpas_gbm.adaptation.rows import TrainingRows, get_regime, make_rows
from jpas_gbm.adaptation.shipped_ways import Continue, Mocks, Pool, Stack, Target
from jpas_gbm.adaptation.stages import Stages
from jpas_gbm.adaptation.ways import Mean, Way, ensemble
from jpas_gbm.config import load_options
from jpas_gbm.options import FitOptions
from jpas_gbm.run import Run
from jpas_gbm.surveys.dataset import Dataset
from jpas_gbm.tuning.space import flat, with_values

PATH = Continue(0.25)
NATURAL = {"class_weight_power": 0.0, "l2": 30.0, "min_child": 60}

# Name, options that differ from the shipped ones, and the way that the trees are grown; steps of like rows together.
STEPS: list[tuple[str, dict[str, Any], Way]] = [
    ("the named path", {}, PATH),
    ("all mocks weigh alike", {}, Continue(0.0)),
    ("weights within classes, temper 0.5", {}, Continue(0.5)),
    ("weights by all features, temper 0.25", {"domain": {"kind": "all"}}, PATH),
    ("no tree of the sky: prepared mocks, weighed", {}, Mocks(0.25)),
    ("no mocks: target alone", {}, Target()),
    ("pooled in place of continued, target weight 3", {}, Pool(3.0)),
    ("pooled, target weight 8", {}, Pool(8.0)),
    ("mean with pooled", {}, Mean((PATH, Pool(3.0)))),
    ("mean with stacked", {}, Mean((PATH, Stack()))),
    ("continued by natural class weights", {"continuation": NATURAL}, PATH),
    ("uncalibrated", {"calibration": {"method": "none"}}, PATH),
    ("temperature scaling", {"calibration": {"method": "temperature"}}, PATH),
    ("Dirichlet scaling", {"calibration": {"method": "dirichlet", "shrinkage": [0.01]}}, PATH),
    ("mocks not prepared by twins", {"sky": {"paired_repair": False}}, PATH),
    ("without imaging features", {"features": {"imaging": False}}, PATH),
    ("one noise realisation", {"sky": {"realisations": 1}}, PATH),
    ("without colours and ratios", {"features": {"lean_colours": []}}, PATH),
    ("without renoising", {"sky": {"renoise": False}}, PATH),
    ("without template features (all others instead)", {"features": {"templates": False}}, PATH),
    ("without the target's gaps", {"sky": {"copy_missing": False}}, PATH),
    ("no training row forgets imaging", {"sky": {"forget_imaging": 0.0}}, PATH),
]
CALIBRATION = {"method": "vector", "shrinkage": [0.01]}


class Bench:
    """Rows and trees of one seed, shared by steps that agree on them."""

    def __init__(self, dataset: Dataset, base: FitOptions, seed: int, threads: int) -> None:
        self.dataset, self.base, self.run = dataset, base, Run.start(seed, threads)
        self.rows, self.trees = dict[str, TrainingRows](), dict[str, dict]()

    def probabilities(self, name: str, changes: dict[str, Any], way: Way) -> dict[str, np.ndarray]:
        """Return, by the name of a step, the cross-fitted probabilities of target validation by it."""
        options = with_values(self.base, flat({"calibration": CALIBRATION} | changes), "a step")
        key = options.features.model_dump_json() + options.sky.model_dump_json()
        if key not in self.rows:
            first = next(iter(self.rows), key)  # rows and trees of the first step stay, and those of this one
            self.rows = {name: rows for name, rows in self.rows.items() if name == first}
            self.trees = {name: trees for name, trees in self.trees.items() if name.startswith(first)}
            self.rows[key] = make_rows(self.dataset, get_regime("ssda"), options, self.run)
        trees = self.trees.setdefault(key + options.domain.model_dump_json(), {})  # weights are of no tree's key
        folds = Folds((Stages(self.rows[key], options, self.run, trees),))
        return {name: score_entrant(Entrant(way, folds), lambda stages: ensemble(way, stages)).p}


def main() -> None:
    """Run the ablation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=len(STEPS), help="so many of the first steps")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    given.out.mkdir(parents=True, exist_ok=True)
    dataset, base, steps = (
        Dataset.load(given.data).for_training(),
        load_options(FitOptions, "ssda"),
        STEPS[: given.steps],
    )
    tables = []
    for seed in range(given.seeds):
        bench, columns = Bench(dataset, base, seed, given.threads), {}
        for number, (name, changes, way) in enumerate(steps):
            p = kept(given.out / f"kept-{seed}-{number}.npz", partial(bench.probabilities, name, changes, way))[name]
            columns |= {f"{name}:{c}": p[:, i] for i, c in enumerate(dataset.scheme.classes)}
            print(seed, name, flush=True)
        val = dataset.target_rows("val")
        about = {"key": val.object_id, "object": val.object_id, "part": f"seed {seed}", "fold": 0}
        label = np.array(dataset.scheme.classes)[val.label]
        tables.append(pd.DataFrame({**about, "class": label, **columns})[~(val.mag > base.cut)])
    first, *others = (name for name, _, _ in steps)
    asked = [Figure(metric, name) for metric in ("log_loss", "macro_f1") for name in (first, *others)]
    asked += [Figure(metric, name, against=first) for metric in ("log_loss", "macro_f1") for name in others]
    sums = checksums([path for path in given.data.iterdir() if path.is_file()], given.data)
    command = f"python benchmarks/ablation.py --data DATA --out reports/ablation --seeds {given.seeds}"
    command += "" if len(steps) == len(STEPS) else f" --steps {len(steps)}"
    told = write_figures(given.out, command, sums, pd.concat(tables, ignore_index=True), asked)
    by = {(one.metric, one.model, one.against): one for one in told}
    print("| step | log loss | macro-F1 | difference in log loss | difference in macro-F1 |\n|---|---|---|---|---|")
    for name in (first, *others):
        words = [f"{by[metric, name, ''].value:.4f}" for metric in ("log_loss", "macro_f1")]
        for one in (by.get((metric, name, first)) for metric in ("log_loss", "macro_f1")):
            words.append("" if one is None else f"{one.value:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}]")
        print(f"| {name} | {' | '.join(words)} |")
    forget(given.out)


if __name__ == "__main__":
    main()
