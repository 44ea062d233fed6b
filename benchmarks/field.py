"""Do candidate lists keep their promise in a field that is not the labelled sample?

Two fields with a known truth that no list ever sees:

- ``--survey-a FOLDER``: the unlabelled rows of a survey on disk (catalogue, Tractor table, truth.csv), with a data
  set (``prepare``) and a model (``fit``) made from it;
- ``--built-in``: the built-in survey with a large unlabelled part.

In each resampling the labelled rows that trained no tree are dealt anew into calibration labels (as many as the model's
own) and the rest. Everything that labels decide is made anew from the calibration labels: the calibrator, the
bias-corrected temperature, the class mix of the field by EM, and the lists. Lists are then judged by the truth: in the
field, which stays the same, and in a pseudo-field of the remaining labelled rows with half of their quasars, which is
another one each time.

    python benchmarks/field.py --survey-a FOLDER --data DATA --model MODEL --out reports/targets/survey_a
    python benchmarks/field.py --built-in --out reports/targets/built_in
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from jpas_gbm.adaptation.fit import fit
from jpas_gbm.boosting.calibration import HeldOut, crossfit_probabilities, fit_calibrator
from jpas_gbm.config import load_options, override
from jpas_gbm.errors import ListError
from jpas_gbm.lists.conformal import conformal_p_values, conformal_sets
from jpas_gbm.lists.mix import estimate_mix
from jpas_gbm.lists.rule import ListOptions
from jpas_gbm.lists.selection import check_mix, select
from jpas_gbm.model import Model
from jpas_gbm.options import FitOptions, ShiftOptions, SimulateOptions
from jpas_gbm.predictions import quality_bits
from jpas_gbm.scores.losses import softmax
from jpas_gbm.scores.metrics import Scorer
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.store import provenance, write_json
from jpas_gbm.surveys.dataset import Dataset
from jpas_gbm.surveys.quality import QualityBit
from jpas_gbm.surveys.reader import index_imaging, read_catalogue
from jpas_gbm.surveys.scheme import CLASSES

PURITY, FDR, COVERAGE = 0.8, 0.2, 0.9


class Sample:
    """Rows with margins and a truth."""

    def __init__(self, margins, y, mag, ids, quality):
        self.margins, self.y, self.mag, self.ids = margins, np.asarray(y, dtype=np.int8), mag, ids
        self.quality = quality

    def take(self, rows):
        return Sample(self.margins[rows], self.y[rows], self.mag[rows], self.ids[rows], self.quality[rows])


def keys_of(catalogue):
    return list(zip(*(column.tolist() for column in catalogue.key.values()), strict=True))


def sample(fitted, catalogue, y, threads):
    X = fitted.features(catalogue, threads).X
    quality = quality_bits(
        catalogue, fitted.card.get("magnitude_range"), None if fitted.overlap is None else fitted.overlap.low(X)
    )
    margins = fitted.member_margins(X, threads).mean(axis=0)
    return Sample(margins, y, catalogue.mag, catalogue.object_id, quality)


def survey_a(folder, data, model, threads):
    import pandas as pd

    dataset, fitted = Dataset.load(data), Model.load(model)
    catalogue, _ = read_catalogue(folder / "jpas_like_idr.fits")
    catalogue = index_imaging(folder / "legacy_like_tractor.fits").attach(catalogue, threads)
    truth = pd.read_csv(folder / "truth.csv")
    truth = truth[~truth["IN_DESI"]]
    known = dict(zip(zip(truth["TILE_ID"], truth["NUMBER"], strict=True), truth["TRUE_CLASS"], strict=True))
    y = np.array([CLASSES.index(known[key]) if key in known else -1 for key in keys_of(catalogue)])
    field = sample(fitted, catalogue.take(y >= 0), y[y >= 0], threads)
    return dataset, fitted, field


def built_in(seed, threads, unlabelled, labelled, wrong):
    shifts = ShiftOptions(wrong_labels=wrong)
    options = SimulateOptions(n_source=24_000, n_labelled=labelled, n_unlabelled=unlabelled, shifts=shifts)
    dataset = simulate(seed, config=options)
    fitted = fit(dataset, config=load_options(FitOptions, "ssda"), seed=seed, threads=threads)
    unlabelled = dataset.target_split < 0
    chosen, y = dataset.target.take(unlabelled), dataset.truth.label[unlabelled]
    return dataset, fitted, sample(fitted, chosen, y, threads)


def calibrated(calibration, seed, method, shrinkage):
    """Calibrate anew on these labels."""
    options = override(FitOptions().calibration, method=method, shrinkage=(shrinkage,))
    p = crossfit_probabilities(calibration.margins, calibration.y, options, groups=calibration.ids, seed=seed)
    calibrator, _ = fit_calibrator(calibration.margins, calibration.y, options, groups=calibration.ids, seed=seed)
    return HeldOut(p, calibration.y, calibration.ids, calibration.mag), calibrator


def naive(p, column, purity):
    """Take the longest list whose mean probability is the purity wanted, nothing corrected."""
    order = np.argsort(-p[:, column], kind="stable")
    mean = np.cumsum(p[order, column]) / np.arange(1, len(order) + 1)
    reached = np.flatnonzero(mean >= purity)
    return order[: reached[-1] + 1] if len(reached) else order[:0]


def judged(rows, y, column):
    true = int((y[rows] == column).sum())
    total = int((y == column).sum())
    return {"size": len(rows), "true": true, "purity": true / max(len(rows), 1), "completeness": true / max(total, 1)}


def errors_of(y, p, column):
    figures = Scorer.of(y, p, [str(c) for c in range(p.shape[1])]).figures(np.ones((len(y), 1)))
    return {"ece": float(figures["ece"][0]), "ece_class": float(figures[f"per_class.{column}.ece"][0])}


def one_field(mix, labelled, p, field, column, seed):
    """Make every list for one field and judge it by the truth."""
    y = field.y
    q = mix.correct(p, field.mag)
    low, high = mix.interval()
    share = np.bincount(y, minlength=p.shape[1]) / len(y)
    rng = np.random.default_rng(seed)
    floor = []
    for _ in range(20):
        drawn = (rng.random((len(q), 1)) > q.cumsum(axis=1)).sum(axis=1).clip(0, q.shape[1] - 1)
        floor.append(errors_of(drawn, q, column))
    lists = {}
    for name, options in {
        "purity": {"purity": PURITY},
        "fdr_label": {"fdr": FDR, "shift": "label"},
        "fdr_covariate": {"fdr": FDR, "shift": "covariate"},
        "fdr_none": {"fdr": FDR, "shift": "none"},
    }.items():
        asked = ListOptions(cls=CLASSES[column], **options)
        try:
            found = select(mix, labelled, p, field.mag, column, asked, seed=seed)
            lists[name] = judged(found.rows, y, column)
            if name == "purity":
                lists[name]["interval"] = found.part.interval
                lists[name]["expected_true"] = found.part.expected_true
        except ListError as error:
            lists[name] = {"size": 0, "true": 0, "purity": None, "completeness": 0.0, "refused": str(error)}
    lists["naive"] = judged(naive(p, column, PURITY), y, column)
    lists["mean_corrected"] = judged(naive(q, column, PURITY), y, column)
    return {
        "lists": lists,
        "mix": {"new": mix.new[0], "low": low[0], "high": high[0], "truth": share},
        "calibration": {
            "raw_scores": errors_of(y, softmax(field.margins), column),
            "before": errors_of(y, p, column),
            "after": errors_of(y, q, column),
            "noise": {name: np.mean([one[name] for one in floor]) for name in ("ece", "ece_class")},
        },
        "trusted": check_mix(mix, labelled, p, field.mag, CLASSES).trusted,
    }


def thinned(rest, rng):
    """Return the remaining labelled rows with half of their quasars."""
    quasar = rest.y < 2
    return rest.take(~quasar | (rng.random(len(rest.y)) < 0.5))


def coverage(labelled, p, rest):
    """Return how often conformal sets hold the true class: by class, by set size, and by quality bit."""
    y = rest.y
    sets = conformal_sets(conformal_p_values(labelled.p, labelled.label, p), COVERAGE)
    held, size = sets[np.arange(len(y)), y], sets.sum(axis=1)
    right = p.argmax(axis=1) == y
    rows = {"none": rest.quality == 0} | {bit.name.lower(): rest.quality & bit.value > 0 for bit in QualityBit}
    return {
        "class": [float(held[y == c].mean()) for c in range(p.shape[1])],
        "mean_set_size": float(size.mean()),
        "accuracy_by_set_size": [float(right[size == s].mean()) if (size == s).any() else None for s in range(3)],
        "share_by_set_size": [float((size == s).mean()) for s in range(3)],
        "quality": {
            name: {
                "rows": int(chosen.sum()),
                "covered": float(held[chosen].mean()),
                "accuracy": float(right[chosen].mean()),
            }
            for name, chosen in rows.items()
            if chosen.sum() >= 20
        },
    }


def resample(held, field, size, column, seed, draws, method, shrinkage):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(held.y))
    labelled, calibrator = calibrated(held.take(order[:size]), seed, method, shrinkage)
    rest = held.take(order[size:])
    found = {}
    for name, where in (("field", field), ("pseudo", thinned(rest, rng))):
        p = calibrator.apply(where.margins)
        mix = estimate_mix(labelled, p, where.mag, draws=draws, seed=seed)
        found[name] = one_field(mix, labelled, p, where, column, seed)
    found["coverage"] = coverage(labelled, calibrator.apply(rest.margins), rest)
    return found


def mean_and_error(values):
    values = np.array([v for v in values if v is not None], dtype=float)
    if not len(values):
        return {"n": 0}
    return {"n": len(values), "mean": values.mean(), "error": values.std(ddof=1) / np.sqrt(len(values))}


def ratios(calibration):
    """Return the error after correction over that before, as measured and less what perfect probabilities show."""
    mean = {when: {name: one["mean"] for name, one in errors.items()} for when, errors in calibration.items()}
    return {
        name: {
            "plain": mean["after"][name] / mean["before"][name],
            "of_raw_scores": mean["after"][name] / mean["raw_scores"][name],
            "beyond_noise": (mean["after"][name] - mean["noise"][name]) / (mean["before"][name] - mean["noise"][name]),
        }
        for name in ("ece", "ece_class")
    }


def summary(runs, held_counts, size_counts, column):
    told = {}
    for where in ("field", "pseudo"):
        parts = [run[where] for run in runs]
        lists = {}
        for name in parts[0]["lists"]:
            each = [part["lists"][name] for part in parts]
            fdp = mean_and_error([None if one["purity"] is None else 1 - one["purity"] for one in each])
            if fdp["n"]:
                # The field is one draw: its own chance does not shrink with resamplings of labels.
                size = np.mean([one["size"] for one in each if one["size"]])
                fdp["error_of_one_field"] = float(np.sqrt(fdp["mean"] * (1 - fdp["mean"]) / size))
            lists[name] = {
                "false_discovery": fdp,
                "size": mean_and_error([one["size"] for one in each]),
                "completeness": mean_and_error([one["completeness"] for one in each]),
                "purity_reached": float(np.mean([one["purity"] is None or one["purity"] >= PURITY for one in each])),
                "refused": sum(one["purity"] is None for one in each),
            }
        truth = np.array([part["mix"]["truth"] for part in parts])
        inside = [(p["mix"]["low"] <= p["mix"]["truth"]) & (p["mix"]["truth"] <= p["mix"]["high"]) for p in parts]
        told[where] = {
            "lists": lists,
            "mix": {
                "truth": truth.mean(axis=0),
                "estimate": np.mean([part["mix"]["new"] for part in parts], axis=0),
                "truth_inside_95": np.mean(inside, axis=0),
            },
            "calibration": {
                when: {name: mean_and_error([part["calibration"][when][name] for part in parts]) for name in errors}
                for when, errors in parts[0]["calibration"].items()
            },
            "trusted": float(np.mean([part["trusted"] for part in parts])),
        }
        told[where]["calibration_ratio"] = ratios(told[where]["calibration"])
    rows = np.array([run["coverage"]["class"] for run in runs])
    rest = held_counts - size_counts
    told["coverage"] = {
        "wanted": COVERAGE,
        "mean": rows.mean(axis=0),
        "binomial_error": np.sqrt(COVERAGE * (1 - COVERAGE) * (1 / rest + 1 / size_counts)),
        "mean_set_size": float(np.mean([run["coverage"]["mean_set_size"] for run in runs])),
        **{
            name: np.mean([[np.nan if v is None else v for v in run["coverage"][name]] for run in runs], axis=0)
            for name in ("accuracy_by_set_size", "share_by_set_size")
        },
        "quality": {
            name: {
                what: float(
                    np.mean([r["coverage"]["quality"][name][what] for r in runs if name in r["coverage"]["quality"]])
                )
                for what in ("rows", "covered", "accuracy")
            }
            for name in sorted({name for run in runs for name in run["coverage"]["quality"]})
        },
    }
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--survey-a", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--built-in", action="store_true")
    parser.add_argument("--unlabelled", type=int, default=46_000)
    parser.add_argument("--labelled", type=int, default=24_000)
    parser.add_argument("--wrong-labels", type=float, default=0.002, help="of the built-in survey: share of the labels")
    parser.add_argument("--resamplings", type=int, default=40)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="keep margins here (.npz), and take them from there if it exists")
    arguments = parser.parse_args()
    start = time.perf_counter()
    held, field, size, method, shrinkage, about = margins_of(arguments)
    column = 0
    runs = []
    for i in range(arguments.resamplings):
        runs.append(resample(held, field, size, column, arguments.seed + i, arguments.draws, method, shrinkage))
        lists = runs[-1]["field"]["lists"]
        shown = {name: (one["true"], one["size"]) for name, one in lists.items()}
        print(i, shown, np.round(runs[-1]["field"]["mix"]["new"], 4), flush=True)
    counts = np.bincount(held.y, minlength=len(CLASSES))
    told = {
        "class": CLASSES[column],
        "resamplings": arguments.resamplings,
        "field_rows": len(field.y),
        "field_counts": np.bincount(field.y, minlength=len(CLASSES)),
        "calibration_rows": size,
        "labelled_rows": len(held.y),
        "labelled_counts": counts,
        "calibrator": {"method": method, "shrinkage": shrinkage},
        **summary(runs, counts, counts * size / len(held.y), column),
        "seconds": time.perf_counter() - start,
        "model": about,
        "provenance": provenance(seed=arguments.seed),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out / "metrics.json", told, overwrite=True)
    write_json(arguments.out / "runs.json", runs, overwrite=True)


def margins_of(arguments):
    """Return labelled rows that trained no tree, the field, and how the model calibrated."""
    if arguments.keep and arguments.keep.is_file():
        with np.load(arguments.keep) as kept:
            parts = [Sample(*(kept[f"{name}_{i}"] for i in range(5))) for name in ("held", "field")]
            return (
                *parts,
                int(kept["size"]),
                str(kept["method"]),
                float(kept["shrinkage"]),
                json.loads(str(kept["about"])),
            )
    if arguments.built_in:
        size, wrong = (arguments.unlabelled, arguments.labelled), arguments.wrong_labels
        dataset, fitted, field = built_in(arguments.seed, arguments.threads, *size, wrong)
    else:
        dataset, fitted, field = survey_a(arguments.survey_a, arguments.data, arguments.model, arguments.threads)
    rows = dataset.target_rows("val", "test")
    held = sample(fitted, rows, rows.label, arguments.threads)
    size = len(dataset.target_rows("val"))
    told = fitted.card["calibration"]
    about = {"regime": fitted.card["regime"], "chosen": fitted.card["chosen"]}
    if arguments.keep:
        values = {
            f"{name}_{i}": value
            for name, one in (("held", held), ("field", field))
            for i, value in enumerate((one.margins, one.y, one.mag, one.ids, one.quality))
        }
        np.savez(
            arguments.keep,
            size=size,
            method=told["method"],
            shrinkage=told["shrinkage"],
            about=json.dumps(about),
            **values,
        )
    return held, field, size, told["method"], told["shrinkage"], about


if __name__ == "__main__":
    main()
