"""Each ingredient of the default path in and out: cross-fitted scores on target validation, paired intervals.

    python benchmarks/ablation.py --data DATA --out reports/ablation [--survey-seed 11] [--seeds 1] [--only WORDS]

DATA is a data set's folder, or the name of a configuration of ``simulate`` and the survey's seed. With ``--only`` the
steps after the first are those whose name begins with it.

The first step is the named path as a fit tries it first: mocks prepared by twins and weighed within classes, continued
on the sky's labels; every other step changes one thing. Steps that begin with *weights* give the mocks other weights:
square roots of shares of the sky's labelled rows over shares of mocks, in strata of magnitude and gaps, of class and
redshift, or in leaves of a forest grown on the sky's labels (mean over its trees); what trees of the sky alone say of a
mock's class, to the power .5; or the path's own weights, with mocks pooled with the sky before boosting continues on
the sky (doubly robust). Rows not fainter than r = 22.5 are judged. The test split is
not read: the labels of its rows are masked before anything is done. What is done is kept in OUT after each step, and a
run that was cut goes on from there.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from judged import Figure, checksums, forget, kept, write_figures
from sklearn.ensemble import RandomForestClassifier

from jpas_gbm.adaptation.choosing import Entrant, score_entrant
from jpas_gbm.adaptation.folds import Folds
from jpas_gbm.adaptation.rows import Rows, TrainingRows, get_regime, make_rows
from jpas_gbm.adaptation.shipped_ways import Continue, Joined, Mocks, Pool, Stack, Target
from jpas_gbm.adaptation.stages import Stages, Training
from jpas_gbm.adaptation.ways import Mean, OneBooster, Way, ensemble
from jpas_gbm.adaptation.weights import effective_share
from jpas_gbm.boosting.booster import StagedBooster
from jpas_gbm.config import load_options
from jpas_gbm.options import FitOptions
from jpas_gbm.run import Run
from jpas_gbm.scores.losses import softmax
from jpas_gbm.simulation.simulate import open_dataset, simulate
from jpas_gbm.surveys.dataset import Dataset
from jpas_gbm.tuning.space import flat, with_values

PATH, ALIKE = Continue(0.25), "all mocks weigh alike"
LIFTED = {"class_weight_power": 0.5}
REDSHIFTS = np.array([0.0, 0.2, 0.4, 0.7, 1.0, 1.5, 2.1, 2.6, 3.2])


def _shares(own: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Return, for each mock in a stratum, the share of the sky there over the share of the mocks; one row is added."""
    size = int(max(own.max(), sky.max())) + 1
    counts = [np.bincount(one, minlength=size) + 1.0 for one in (sky, own)]
    return np.asarray((counts[0] / counts[0].sum())[own] / (counts[1] / counts[1].sum())[own])


def _places(rows: Rows) -> np.ndarray:
    """Return the stratum of each row: by half magnitudes, and by how many features it lacks."""
    gaps = np.searchsorted([1, 4, 12], np.isnan(rows.X).sum(axis=1), side="right")
    return np.clip(np.nan_to_num((rows.mag - 15.0) * 2, nan=19), 0, 19).astype(int) * 4 + gaps


def by_strata(stages: Stages) -> np.ndarray:
    """Return weights by strata of magnitude and gaps, (n,)."""
    mocks, sky = stages.part("source_train"), stages.part("target_train")
    return _shares(_places(mocks), _places(sky)) ** 0.5


def by_redshift(stages: Stages) -> np.ndarray:
    """Return weights by strata of redshift within classes, (n,)."""

    def places(rows: Rows) -> np.ndarray:
        of = np.array([Weighed.redshifts[int(one)] for one in rows.groups])
        return rows.y.astype(int) * 10 + np.searchsorted(REDSHIFTS, np.nan_to_num(of), side="right")

    mocks, sky = stages.part("source_train"), stages.part("target_train")
    ratio, counts = _shares(places(mocks), places(sky)), np.ones(stages.rows.k)
    for k in range(stages.rows.k):  # the class mix stays that of the mocks
        counts[k] = ratio[mocks.y == k].mean() if (mocks.y == k).any() else 1.0
    return (ratio / counts[mocks.y]) ** 0.5


def by_contradiction(stages: Stages) -> np.ndarray:
    """Return what trees of the sky alone say of each mock's class, to the power .5, (n,)."""
    mocks = stages.part("source_train")
    (trees,) = Target().members(stages)
    p = softmax(trees.margins(mocks.X, threads=stages.run.threads))
    return np.maximum(p[np.arange(len(mocks)), mocks.y], 1e-3) ** 0.5


def by_leaves(stages: Stages) -> np.ndarray:
    """Return weights by how dense the sky is beside the mocks in the leaves of a forest, (n,)."""
    mocks, sky = stages.part("source_train"), stages.part("target_train")
    forest = RandomForestClassifier(
        100, min_samples_leaf=50, max_features=0.3, random_state=stages.run.tree_seed, n_jobs=stages.run.threads or 1
    )
    forest.fit(np.where(np.isfinite(sky.X), sky.X, np.nan), sky.y)
    total = np.zeros(len(mocks))
    for tree in forest.estimators_:
        total += _shares(*(tree.apply(np.where(np.isfinite(rows.X), rows.X, np.nan)) for rows in (mocks, sky)))
    return np.asarray((total / len(forest.estimators_)) ** 0.5)


@dataclass(frozen=True)
class Weighed(OneBooster):
    """The named path with other weights of the mocks: those of a kind, or the path's own where the sky's rows join.

    ``redshifts`` are those of all objects by their number.
    """

    way = "weighed"
    redshifts: ClassVar[dict[int, float]] = {}
    kind: Callable[[Stages], np.ndarray] | None = None

    def booster(self, stages: Stages) -> StagedBooster:
        """Return the trees."""
        mocks, sky = stages.part("source_train"), stages.part("target_train")
        growth, options, kind = stages.options.boosting, stages.options.continuation, self.kind

        def first() -> Training:
            assert kind is not None
            weight = kind(stages)
            print(f"{kind.__name__}: effective share of the mocks {effective_share(weight):.3f}", flush=True)
            weight = weight / weight.mean() * stages.class_weights(mocks.y, growth)
            return Training("weighed", stages.bins(growth, "source_train"), mocks.y, weight, growth, valid="source_val")

        def then() -> Training:
            joined = Joined(3.0, PATH.gamma)
            start = joined.booster(stages) if kind is None else stages.train((self.way, kind, "first"), first)
            return Training("continued", sky.X, sky.y, stages.class_weights(sky.y, options), options, start=start)

        return stages.train((self.way, kind), then)


# Name, options that differ from the shipped ones, and the way that the trees are grown; steps of like rows together.
STEPS: list[tuple[str, dict[str, Any], Way]] = [
    ("the named path", {}, PATH),
    (ALIKE, {}, Continue(0.0)),
    ("weights within classes, temper 0.5", {}, Continue(0.5)),
    ("weights by all features, temper 0.25", {"domain": {"kind": "all"}}, PATH),
    ("weights by features that tell classes alone, temper 0.25", {"domain": {"kind": "blind"}}, PATH),
    ("weights by strata of magnitude and gaps", {}, Weighed(by_strata)),
    ("weights by strata of class and redshift", {}, Weighed(by_redshift)),
    ("weights by what trees of the sky say", {}, Weighed(by_contradiction)),
    ("weights by leaves of a forest of the sky", {}, Weighed(by_leaves)),
    ("weights, and the sky joins before it continues", {}, Weighed()),
    ("no tree of the sky: prepared mocks, weighed", {}, Mocks(0.25)),
    ("no mocks: target alone", {}, Target()),
    ("pooled in place of continued, target weight 3", {}, Pool(3.0)),
    ("pooled, target weight 8", {}, Pool(8.0)),
    ("mean with pooled", {}, Mean((PATH, Pool(3.0)))),
    ("mean with stacked", {}, Mean((PATH, Stack()))),
    ("continued by lifted class weights", {"continuation": LIFTED}, PATH),
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
    ("without g and z of imaging", {"features": {"optional": []}}, PATH),
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
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--survey-seed", type=int, default=11, help="of a survey that is simulated")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="of the steps after the first, those that begin with it")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    given.out.mkdir(parents=True, exist_ok=True)
    folder = Path(given.data)
    data = open_dataset(folder) if folder.is_dir() else simulate(given.survey_seed, config=given.data)
    dataset, base = data.for_training(), load_options(FitOptions, "ssda")
    steps = [STEPS[0], *(step for step in STEPS[1:] if step[0].startswith(given.only) or step[0] == ALIKE)]
    for rows in (dataset.source, dataset.target):
        Weighed.redshifts.update(zip(rows.object_id.tolist(), rows.z.tolist(), strict=True))
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
    weighed = [first, *(name for name in others if name.startswith("weights"))]
    asked += [Figure(metric, name, against=ALIKE) for metric in ("log_loss", "macro_f1") for name in weighed]
    sums = checksums([path for path in folder.iterdir() if path.is_file()], folder) if folder.is_dir() else {}
    command = f"python benchmarks/ablation.py {' '.join(sys.argv[1:])}".replace(given.data, folder.name)
    told = write_figures(given.out, command, sums, pd.concat(tables, ignore_index=True), asked)
    by = {(one.metric, one.model, one.against): one for one in told}
    print("| step | log loss | macro-F1 | less the path: log loss | macro-F1 | less mocks alike: log loss |")
    print("|---|---|---|---|---|---|")
    for name in (first, *others):
        words = [f"{by[metric, name, ''].value:.4f}" for metric in ("log_loss", "macro_f1")]
        for one in (
            *(by.get((metric, name, first)) for metric in ("log_loss", "macro_f1")),
            by.get(("log_loss", name, ALIKE)),
        ):
            words.append("" if one is None else f"{one.value:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}]")
        print(f"| {name} | {' | '.join(words)} |")
    forget(given.out)


if __name__ == "__main__":
    main()
