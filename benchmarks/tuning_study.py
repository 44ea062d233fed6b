"""Does tuning help on rows that no study saw? Nested: one study for each outer fold, one answer.

    python benchmarks/tuning_study.py DATA --out reports/tuning [--trials 40] [--folds 3] [--seeds 3] [--threads 1]

The labelled objects of train and validation are dealt into outer folds. For each, the others are halved into train and
validation, and a study sees only those two. Its best options and the untuned ones are then fitted on the same two
parts with the same fresh seeds, and both predict the outer fold. Paired intervals over the objects of all folds.
Objects of the test split are taken out before anything else is done. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from jpas_gbm.adaptation.fit import fit
from jpas_gbm.boosting.matrix import stratified_folds
from jpas_gbm.comparison.shown import evaluate
from jpas_gbm.config import load_options, override
from jpas_gbm.options import FitOptions, TuneOptions
from jpas_gbm.scores.bootstrap import paired
from jpas_gbm.store import provenance, to_plain, write_json
from jpas_gbm.surveys.dataset import SPLITS, Dataset
from jpas_gbm.tuning.space import flat, with_values
from jpas_gbm.tuning.tune import tune

TRAIN, VAL, TEST = (SPLITS.index(name) for name in ("train", "val", "test"))
SHOWN = ("log_loss", "macro.f1", "per_class.QSO_high.f1", "per_class.QSO_high.average_precision", "accuracy")


def set_aside(dataset: Dataset, folds: int, fold: int, seed: int) -> Dataset:
    """Return the data set without its test rows, an outer fold of train and validation standing as the test split."""
    masked = dataset.for_training()
    kept = masked.target_split != TEST
    target, split = masked.target.take(kept), np.array(masked.target_split[kept])
    rows = np.flatnonzero((split >= 0) & (target.label >= 0))
    label, objects = target.label[rows], target.object_id[rows]
    outer = stratified_folds(label, folds, seed=seed, groups=objects) == fold
    inner = rows[~outer]
    half = stratified_folds(label[~outer], 2, seed=seed + 1 + fold, groups=objects[~outer])
    split[rows[outer]], split[inner[half == 0]], split[inner[half == 1]] = TEST, TRAIN, VAL
    return replace(masked, target=target, target_split=split, masked=False)


def predictions(name, options, dataset, seed, threads, out):
    """Return probabilities of the outer rows, from disk if this fit was done before."""
    path = out / "outer" / f"{name}-{seed}.npz"
    if path.is_file():
        with np.load(path) as arrays:
            return arrays["p"]
    fitted = fit(dataset, config=options, seed=seed, threads=threads)
    p = fitted.probabilities(dataset.target_rows("test"), threads=threads)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, p=p)
    print(f"{name}, seed {seed}: {fitted.card['chosen']}", flush=True)
    return p


def one_fold(dataset, base, given, out):
    """Run the study of one fold, and fit its best options and the untuned ones with fresh seeds."""
    options = load_options(TuneOptions, given.config)
    fits = with_values(base, flat(options.fit), "fit").model_dump(mode="json")
    found = tune(
        dataset,
        regime=base.regime,
        config=override(options, fit=fits),
        out=out / "study",
        trials=given.trials,
        resume=(out / "study" / "study.json").is_file(),
        seed=given.seed,
        threads=given.threads,
    )
    print(*found.lines(), sep="\n", flush=True)
    seeds = [given.seed + 101 + i for i in range(given.seeds)]
    p = {
        name: [predictions(name, options, dataset, seed, given.threads, out) for seed in seeds]
        for name, options in (("tuned", found.options), ("untuned", base))
    }
    saved = found.to_dict()
    return p, {name: saved[name] for name in ("trials", "best", "default", "fresh", "label_budget", "notes")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("reports/tuning"))
    parser.add_argument("--config", default="tune")
    parser.add_argument("--base", default="ssda", help="the untuned options")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--folds", type=int, default=3, help="outer folds of train and validation")
    parser.add_argument("--only", type=int, help="do the work of this fold alone, for another process or another day")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cut", type=float, default=22.5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    whole, base = Dataset.load(given.data), load_options(FitOptions, given.base)
    studies, y, groups = [], [], []
    p: dict[str, list[list[np.ndarray]]] = {"tuned": [], "untuned": []}
    if given.only is not None:
        one_fold(set_aside(whole, given.folds, given.only, given.seed), base, given, given.out / f"fold-{given.only}")
        return
    for fold in range(given.folds):
        dataset = set_aside(whole, given.folds, fold, given.seed)
        mine, told = one_fold(dataset, base, given, given.out / f"fold-{fold}")
        rows = dataset.target_rows("test")
        bright = ~(rows.mag > given.cut)
        studies.append(told)
        y.append(rows.label[bright])
        groups.append(rows.object_id[bright])
        for name, several in mine.items():
            p[name].append([one[bright] for one in several])
    classes = whole.scheme.classes
    labels, objects = np.concatenate(y), np.concatenate(groups)
    joined = {name: [np.concatenate(parts) for parts in zip(*folds, strict=True)] for name, folds in p.items()}
    differences = paired(labels, joined["tuned"], joined["untuned"], objects, classes=classes)
    told = {
        "outer": {
            "folds": given.folds,
            "rows": len(labels),
            "counts": dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True)),
            "cut": given.cut,
            "seeds": given.seeds,
            "tuned_minus_untuned": {name: to_plain(differences[name]) for name in SHOWN},
            "each": {
                name: [evaluate(labels, one, classes).to_dict() for one in several] for name, several in joined.items()
            },
        },
        "studies": studies,
        "provenance": provenance(seed=given.seed, options=base.model_dump(mode="json"), data=whole.provenance),
    }
    write_json(given.out / "outer.json", told, overwrite=True)
    for name in SHOWN:
        low, high = differences[name].interval
        print(f"{name:40s} tuned - untuned {differences[name].difference:+.4f} [{low:+.4f}, {high:+.4f}]")


if __name__ == "__main__":
    main()
