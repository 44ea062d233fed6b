"""Does tuning help on rows that the study never saw? One study, one answer.

    python benchmarks/tuning_study.py DATA --out reports/tuning [--trials 48] [--outer 0.4] [--seeds 3] [--threads 1]

The labelled objects of train and validation are dealt anew: an outer share is set aside, the rest is halved into
train and validation. The study sees only those two. Its best options and the untuned ones are then fitted on the
same two parts with the same fresh seeds, and both predict the outer share: paired intervals over objects.
Objects of the test split are taken out before anything else is done. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from jpas_gbm.adaptation.fit import fit
from jpas_gbm.adaptation.tuning.options import TuneOptions
from jpas_gbm.adaptation.tuning.tune import tune
from jpas_gbm.config import FitOptions, load_options
from jpas_gbm.files import write_json
from jpas_gbm.provenance import provenance
from jpas_gbm.scores.bootstrap import paired
from jpas_gbm.scores.metrics import evaluate
from jpas_gbm.survey.dataset import SPLITS, Dataset

TRAIN, VAL, TEST = (SPLITS.index(name) for name in ("train", "val", "test"))
SHOWN = ("log_loss", "macro.f1", "per_class.QSO_high.f1", "per_class.QSO_high.average_precision", "accuracy")


def set_aside(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Return the data set without its test rows, an outer share of train and validation standing as the test split."""
    masked = dataset.for_training()
    kept = masked.target_split != TEST
    target, split = masked.target.take(kept), np.array(masked.target_split[kept])
    labelled = np.flatnonzero(split >= 0)
    objects = np.random.default_rng([seed, 11]).permutation(np.unique(target.object_id[labelled]))
    outer = round(share * len(objects))
    val = outer + (len(objects) - outer) // 2
    for code, part in ((TEST, objects[:outer]), (VAL, objects[outer:val]), (TRAIN, objects[val:])):
        split[labelled[np.isin(target.object_id[labelled], part)]] = code
    return replace(masked, target=target, target_split=split, masked=False)


def predictions(name, options, dataset, seed, threads, out):
    """Return probabilities of the outer rows, from disk if this fit was done before."""
    path = out / "outer" / f"{name}-{seed}.npz"
    if path.is_file():
        with np.load(path) as arrays:
            return arrays["p"]
    fitted = fit(dataset, options, seed=seed, threads=threads)
    p = fitted.probabilities(dataset.target_rows("test"), threads=threads)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, p=p)
    print(f"{name}, seed {seed}: {fitted.card['chosen']}", flush=True)
    return p


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("reports/tuning"))
    parser.add_argument("--config", default="tune")
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--outer", type=float, default=0.4, help="share of train and validation that is set aside")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cut", type=float, default=22.5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    dataset = set_aside(Dataset.load(given.data), given.outer, given.seed)
    base = load_options(FitOptions, "ssda")
    found = tune(
        dataset,
        base,
        load_options(TuneOptions, given.config),
        given.out / "study",
        trials=given.trials,
        resume=(given.out / "study" / "study.json").is_file(),
        seed=given.seed,
        threads=given.threads,
    )
    print(*found.lines(), sep="\n", flush=True)
    seeds = [given.seed + 101 + i for i in range(given.seeds)]
    rows = dataset.target_rows("test")
    bright = ~(rows.mag > given.cut)
    y, groups, classes = rows.label[bright], rows.object_id[bright], dataset.scheme.classes
    p = {
        name: [predictions(name, options, dataset, seed, given.threads, given.out)[bright] for seed in seeds]
        for name, options in (("tuned", found.options), ("untuned", base))
    }
    differences = paired(y, p["tuned"], p["untuned"], groups, classes=classes)
    told = {
        "outer": {
            "rows": int(bright.sum()),
            "counts": dict(zip(classes, np.bincount(y, minlength=len(classes)).tolist(), strict=True)),
            "cut": given.cut,
            "seeds": seeds,
            "tuned_minus_untuned": {name: differences[name] for name in SHOWN},
            "each": {name: [evaluate(y, one, classes) for one in several] for name, several in p.items()},
        },
        "study": {name: found.told[name] for name in ("trials", "best", "default", "fresh", "label_budget", "notes")},
        "provenance": provenance(seed=given.seed, data=dataset.provenance, outer=given.outer),
    }
    write_json(given.out / "outer.json", told, overwrite=True)
    for name in SHOWN:
        one = differences[name]
        low, high = one["interval"]
        print(f"{name:40s} tuned - untuned {one['difference']:+.4f} [{low:+.4f}, {high:+.4f}]")


if __name__ == "__main__":
    main()
