"""Do lists keep their promise among new sources, where the labels are those of sources that were targeted?

The built-in survey with labels chosen by targeting, of three kinds, and ``survey_a``, whose field sample has another
class mix than its labels:

- ``magnitude``: the chance of a label falls with the r magnitude;
- ``colour``: blue sources are labelled five times as often;
- ``both``: blue and faint, or red and bright.

Trees are trained on the targeted labels alone. In each resampling the labelled rows that trained no tree are dealt
anew into calibration labels and the rest, and the field is a new half of the sources without a label, so that neither
is the same twice. Lists are made as ``targets`` makes them, with the labelled rows in the field too and known: they are
left out. The truth judges them; nothing is made with it.

    python benchmarks/lists.py --kind magnitude colour both --out reports/lists
    python benchmarks/lists.py --kind survey_a --survey-a FOLDER --data DATA --model MODEL --out reports/lists
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from field import FDR, PURITY, calibrated, judged, naive, sample, survey_a

from jpas_gbm.adaptation.fit import fit
from jpas_gbm.config import load_options
from jpas_gbm.errors import ListError
from jpas_gbm.lists.candidate_list import _mix
from jpas_gbm.lists.predicted import Predicted
from jpas_gbm.lists.rule import ListOptions
from jpas_gbm.lists.selection import select
from jpas_gbm.options import FitOptions, ShiftOptions, SimulateOptions
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.store import provenance, write_json
from jpas_gbm.surveys.scheme import CLASSES

NUMBER = 150
"""Length of the list whose yield is judged."""


def chance(kind, catalogue):
    """Return the chance of each source to be labelled, from the fluxes that targeting saw."""
    names = list(catalogue.bands.names)
    blue, red = (
        np.nanmean(catalogue.flux[:, [i for i, n in enumerate(names) if n[:3] in of]], axis=1)
        for of in (("J04",), ("J06",))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        colour = -2.5 * np.log10(np.maximum(blue, 1e-3) / np.maximum(red, 1e-3))
    is_blue, mag = colour < 0.6, np.nan_to_num(catalogue.mag, nan=23.0)

    def below(limit, width):
        return 1 / (1 + np.exp((mag - limit) / width))

    if kind == "magnitude":
        return 0.75 * below(21.6, 0.35)
    if kind == "colour":
        return np.where(is_blue, 0.6, 0.12)
    return np.where(is_blue, 0.8 * below(22.2, 0.3), 0.4 * below(21.2, 0.4))


def targeted(kind, seed, rows, mocks, threads):
    """Simulate a survey, take labels away by targeting, fit on what is left; return labelled and new rows."""
    options = SimulateOptions(
        n_source=mocks, n_labelled=rows, n_unlabelled=1_000, shifts=ShiftOptions(wrong_labels=0.002)
    )
    whole = simulate(seed, config=options)
    rng = np.random.default_rng(seed + 1)
    keep = rng.random(len(whole.target)) < chance(kind, whole.target)
    truth = whole.truth.label
    label = np.where(keep, whole.target.label, np.int8(-1))
    split = np.where(label >= 0, whole.target_split, np.int8(-1))
    target = whole.target.replace(label=label, z=np.where(label >= 0, whole.target.z, np.nan))
    dataset = replace(whole, target=target, target_split=split)
    fitted = fit(dataset, config=load_options(FitOptions, "ssda"), seed=seed, threads=threads)
    held = (split == 1) | (split == 2)
    new = split < 0
    return fitted, *(sample(fitted, target.take(at), y[at], threads) for at, y in ((held, label), (new, truth)))


def field_of(p, where):
    n = len(p)
    nowhere, ids = np.full(n, np.nan), {"NUMBER": np.arange(n)}
    zeros = np.zeros(n, dtype=np.int32)
    return Predicted(CLASSES, ids, nowhere, nowhere, where.mag, p, zeros, {}, {}, ("field",))


def one(held, new, size, seed, draws, method, shrinkage):
    """Make every list of one resampling and judge it."""
    rng = np.random.default_rng(seed)
    labelled, calibrator = calibrated(held.take(rng.permutation(len(held.y))[:size]), seed, method, shrinkage)
    field = new.take(np.flatnonzero(rng.random(len(new.y)) < 0.5))
    p = calibrator.apply(field.margins)
    asked = {
        "purity": ListOptions(purity=PURITY),
        "fdr": ListOptions(fdr=FDR),
        "number": ListOptions(number=NUMBER),
    }
    mix, record, _ = _mix(
        labelled, field_of(p, field), ListOptions(number=1, draws=draws), CLASSES, seed, [], by_magnitude=True
    )
    readings = {"both": mix, "label": replace(mix, other=None), "covariate": mix.other}
    told = {}
    for reading, used in readings.items():
        for rule, options in asked.items():
            if reading != "both":
                if rule != "purity":
                    continue
                options = options.model_copy(update={"shift": reading})
            try:
                found = select(used, labelled, p, field.mag, 0, options, seed=seed)
            except ListError as error:
                told[f"{rule}_{reading}"] = {"size": 0, "true": 0, "purity": None, "refused": str(error)}
                continue
            part = found.part
            told[f"{rule}_{reading}"] = judged(found.rows, field.y, 0) | {
                "interval": part.interval,
                "expected": part.expected_true,
            }
    told["naive"] = judged(naive(p, 0, PURITY), field.y, 0)
    told["naive_mix_corrected"] = judged(naive(mix.correct(p, field.mag), 0, PURITY), field.y, 0)
    shares = np.bincount(field.y, minlength=len(CLASSES)) / len(field.y)
    return {"lists": told, "truth": shares, "labelled": np.bincount(labelled.label) / len(labelled),
            "trusted": record.trust.trusted, "bins": record.bins}  # fmt: skip


def summary(runs):
    told = {"resamplings": len(runs), "trusted": float(np.mean([run["trusted"] for run in runs])),
            "share_new": np.mean([run["truth"] for run in runs], axis=0),
            "share_labelled": np.mean([run["labelled"] for run in runs], axis=0)}  # fmt: skip
    for name in runs[0]["lists"]:
        made = [run["lists"][name] for run in runs if run["lists"][name]["size"]]
        if not made:
            told[name] = {"made": 0}
            continue
        purity = np.array([each["purity"] for each in made])
        every = np.concatenate([1 - purity, np.zeros(len(runs) - len(made))])
        told[name] = {
            "made": len(made),
            "size": float(np.mean([each["size"] for each in made])),
            "completeness": float(np.mean([each["completeness"] for each in made])),
            "purity": float(purity.mean()),
            "false_discovery": [float(1 - purity.mean()), float(purity.std(ddof=1) / np.sqrt(len(made)))]
            if len(made) > 1
            else [float(1 - purity.mean()), None],
            # The rate that --fdr controls: a list of none has no false member.
            "false_discovery_none_as_0": [float(every.mean()), float(every.std(ddof=1) / np.sqrt(len(runs)))],
            "promise_kept": float(1 - np.mean(purity < PURITY) * len(made) / len(runs)),
        }
        if "interval" in made[0]:
            inside = [each["interval"][0] <= each["true"] <= each["interval"][1] for each in made]
            told[name]["yield_covered"] = float(np.mean(inside))
            told[name]["expected_over_true"] = float(
                np.mean([each["expected"] / max(each["true"], 1) for each in made])
            )
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="+", default=["magnitude", "colour", "both"])
    parser.add_argument("--survey-a", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rows", type=int, default=36_000)
    parser.add_argument("--mocks", type=int, default=12_000)
    parser.add_argument("--resamplings", type=int, default=30)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for kind in arguments.kind:
        start = time.perf_counter()
        if kind == "survey_a":
            dataset, fitted, new = survey_a(arguments.survey_a, arguments.data, arguments.model, arguments.threads)
            rows = dataset.target_rows("val", "test")
            held, size = sample(fitted, rows, rows.label, arguments.threads), len(dataset.target_rows("val"))
        else:
            of = (arguments.seed, arguments.rows, arguments.mocks, arguments.threads)
            fitted, held, new = targeted(kind, *of)
            size = len(held.y) // 2
        told = fitted.card["calibration"]
        print(kind, np.bincount(held.y), np.bincount(new.y), f"{time.perf_counter() - start:.0f} s", flush=True)
        runs = []
        for i in range(arguments.resamplings):
            seed = arguments.seed + i
            runs.append(one(held, new, size, seed, arguments.draws, told["method"], told["shrinkage"]))
            shown = {name: (one["true"], one["size"]) for name, one in runs[-1]["lists"].items()}
            print(kind, i, shown, f"{time.perf_counter() - start:.0f} s", flush=True)
        found = {
            "kind": kind,
            "field_counts": np.bincount(new.y),
            "labelled_counts": np.bincount(held.y),
            **summary(runs),
            "seconds": time.perf_counter() - start,
            "provenance": provenance(
                seed=arguments.seed, options={name: getattr(arguments, name) for name in ("rows", "mocks", "draws")}
            ),
        }
        write_json(arguments.out / f"{kind}.json", found, overwrite=True)


if __name__ == "__main__":
    main()
