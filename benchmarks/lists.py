"""Do lists keep their promise among new sources, where the labels are those of sources that were targeted?

The built-in survey with labels chosen by targeting, of three kinds, and ``survey_a``, whose field sample has another
class mix than its labels:

- ``magnitude``: the chance of a label falls with the r magnitude;
- ``colour``: blue sources are labelled five times as often;
- ``both``: blue and faint, or red and bright.

A promise at 90 % confidence is one that nine of ten surveys find kept. So each resampling of the built-in survey is a
survey of its own: sources of the same sky that no other has, some labelled by targeting, the others its field. Only
the trees, trained on other targeted labels of that sky, are those of all. ``survey_a`` has but one sample: there the
labelled rows that trained no tree are dealt anew into calibration labels and the rest, and the field is a new half of
the sources without a label, so that resamplings share much of both. Lists are made as ``targets`` makes them, of new
sources alone. The truth judges them; nothing is made with it. Every list stands as a row in ``objects.csv``.

    python benchmarks/lists.py --kind magnitude colour both --out reports/lists
    python benchmarks/lists.py --kind survey_a --survey-a FOLDER --data DATA --model MODEL --out reports/lists
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from field import FDR, PURITY, Sample, calibrated, judged, naive, sample, survey_a
from judged import Figure, write_figures

from jpas_gbm.adaptation.fit import fit
from jpas_gbm.config import load_options
from jpas_gbm.errors import ListError
from jpas_gbm.lists.candidate_list import _mix
from jpas_gbm.lists.predicted import Predicted
from jpas_gbm.lists.rule import ListOptions
from jpas_gbm.lists.selection import select
from jpas_gbm.options import FitOptions, ShiftOptions, SimulateOptions
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.surveys.scheme import CLASSES

NUMBER = 100
"""Length of the list whose yield is judged."""

PROMISED = ("purity", "fdr", "number")
"""Lists that tell an interval of their yield."""

SOURCES, WRONG = 13_000, 0.002
"""Sources of a survey that lists are made for, and the share of its labels that are wrong."""


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


def targeted(kind, seed, rows, mocks, surveys, threads):
    """Simulate a sky, take labels away by targeting, fit on a part; return the rest and its chances of a label."""
    options = SimulateOptions(
        n_source=mocks,
        n_labelled=rows,
        n_unlabelled=surveys * SOURCES,
        quasar_factor_unlabelled=1.0,
        shifts=ShiftOptions(wrong_labels=WRONG),
    )
    whole = simulate(seed, config=options)
    chances = chance(kind, whole.target)
    keep = np.random.default_rng(seed + 1).random(len(chances)) < chances
    own = np.flatnonzero(whole.target_split >= 0)
    label = np.where(keep, whole.target.label, np.int8(-1))
    target = whole.target.replace(label=label, z=np.where(label >= 0, whole.target.z, np.nan))
    split = np.where(label >= 0, whole.target_split, np.int8(-1))
    dataset = replace(whole, target=target.take(own), target_split=split[own])
    fitted = fit(dataset, config=load_options(FitOptions, "ssda"), seed=seed, threads=threads)
    rest = np.flatnonzero(whole.target_split < 0)
    # Two tiles may have observed a source: it is one source here.
    rest = np.sort(rest[np.unique(whole.target.object_id[rest], return_index=True)[1]])
    parts = [sample(fitted, target.take(at), whole.truth.label[at], threads) for at in np.array_split(rest, surveys)]
    return fitted.card["calibration"], joined(parts), chances[rest]


def joined(parts):
    names = ("margins", "y", "mag", "ids", "quality")
    return Sample(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def kept(path, make):
    """Return what `make` gives, from a file if it is there."""
    names = ("margins", "y", "mag", "ids", "quality", "chance")
    if path is not None and path.is_file():
        with np.load(path) as file:
            rows = [file[name] for name in names]
            return {"method": str(file["method"]), "shrinkage": float(file["shrinkage"])}, Sample(*rows[:5]), rows[5]
    told, pool, chances = make()
    if path is not None:
        values = dict(zip(names, (pool.margins, pool.y, pool.mag, pool.ids, pool.quality, chances), strict=True))
        np.savez(path, method=told["method"], shrinkage=told["shrinkage"], **values)
    return told, pool, chances


def surveyed(pool, chances, surveys, seed):
    """Yield labelled rows and new sources of one survey after another: no source is in two of them."""
    rng = np.random.default_rng(seed + 2)
    for rows in np.array_split(rng.permutation(len(pool.y)), surveys):
        is_labelled = rng.random(len(rows)) < chances[rows]
        held, new = pool.take(rows[is_labelled]), pool.take(rows[~is_labelled])
        wrong = rng.random(len(held.y)) < WRONG
        held.y[wrong] = (held.y[wrong] + rng.integers(1, len(CLASSES), wrong.sum())) % len(CLASSES)
        yield held, new


def field_of(p, where):
    n = len(p)
    nowhere, ids = np.full(n, np.nan), {"NUMBER": np.arange(n)}
    zeros = np.zeros(n, dtype=np.int32)
    return Predicted(CLASSES, ids, nowhere, nowhere, where.mag, p, zeros, {}, {}, ("field",))


def one(held, field, seed, draws, method, shrinkage):
    """Make every list of one resampling and judge it."""
    labelled, calibrator = calibrated(held, seed, method, shrinkage)
    p = calibrator.apply(field.margins)
    asked = {"purity": ListOptions(purity=PURITY), "fdr": ListOptions(fdr=FDR), "number": ListOptions(number=NUMBER)}
    first = ListOptions(number=1, draws=draws)
    mix, record, _ = _mix(labelled, field_of(p, field), first, CLASSES, seed, [], by_magnitude=True)
    told = {}
    for rule, options in asked.items():
        try:
            found = select(mix, labelled, p, field.mag, 0, options, seed=seed)
        except ListError:
            told[rule] = judged(np.zeros(0, dtype=int), field.y, 0)
            continue
        part = found.part
        low, high = part.interval
        told[rule] = judged(found.rows, field.y, 0) | {"low": low, "high": high, "expected": part.expected_true}
        if rule == "purity":
            order = np.argsort(-mix.correct(p, field.mag)[:, 0], kind="stable")
            for name, alone in (("purity_label", part.by_mix), ("purity_covariate", part.by_selection)):
                told[name] = judged(order[: alone.size], field.y, 0)
    told["naive"] = judged(naive(p, 0, PURITY), field.y, 0)
    told["naive_mix_corrected"] = judged(naive(mix.correct(p, field.mag), 0, PURITY), field.y, 0)
    return {"lists": told, "counts": np.bincount(field.y, minlength=len(CLASSES)), "labels": labelled.counts(),
            "trusted": record.trust.trusted}  # fmt: skip


def dealt(held, new, size, surveys, seed):
    """Yield so many of the labelled rows, and half of the new sources, drawn anew."""
    for i in range(surveys):
        rng = np.random.default_rng(seed + i)
        yield held.take(rng.permutation(len(held.y))[:size]), new.take(np.flatnonzero(rng.random(len(new.y)) < 0.5))


def row_of(part, number, run):
    """Return one resampling as a row: of each list its size, what is true, and whether what it said holds."""
    row = {"key": f"{part}, {number}", "object": f"{part}, {number}", "part": part, "fold": number, "class": ""}
    row |= {f"new_{name}": int(n) for name, n in zip(CLASSES, run["counts"], strict=True)}
    row |= {f"labels_{name}": int(n) for name, n in zip(CLASSES, run["labels"], strict=True)}
    for name, told in run["lists"].items():
        made = told["size"] > 0
        # A promise is not broken by a list that is not made, and a list of none has no false member.
        row |= {f"{name}:kept": float(not made or told["purity"] >= PURITY), f"{name}:size": told["size"]}
        row |= {f"{name}:true": told["true"], f"{name}:completeness": told["completeness"]}
        row[f"{name}:false"] = 1 - told["purity"] if made else np.nan
        if name in PROMISED:
            ends = [told[end] if made else np.nan for end in ("low", "high")]
            row |= {f"{name}:low": ends[0], f"{name}:high": ends[1], f"{name}:made": float(made)}
            row[f"{name}:inside"] = float(ends[0] <= told["true"] <= ends[1]) if made else np.nan
            row[f"{name}:expected_over_true"] = told["expected"] / max(told["true"], 1) if made else np.nan
        if name == "fdr":
            row["fdr:false_or_0"] = 1 - told["purity"] if made else 0.0
    return row


def figures_of(table):
    """Return what is told of each list, for each kind and for each kind and seed."""
    parts = sorted(set(table["part"]) | {part.partition(", ")[0] for part in table["part"]})
    asked = []
    for part in parts:
        of = table[(table["part"] == part) | table["part"].str.startswith(f"{part}, ")]
        for column in (c for c in table.columns if ":" in c):
            model, _, name = column.partition(":")
            if name not in ("low", "high", "true") and of[column].notna().any():
                asked.append(Figure(f"mean:{name}", model, part))
    return asked


def write(out, rows):
    """Add the rows of a part to those of the others, and make all figures anew."""
    path, table = out / "objects.csv", pd.DataFrame(rows)
    if path.is_file():
        before = pd.read_csv(path).assign(**{"class": ""})
        table = pd.concat([before[before["part"] != rows[0]["part"]], table], ignore_index=True)
    write_figures(out, "python benchmarks/lists.py (README.md)", {}, table, figures_of(table))


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
    parser.add_argument(
        "--keep", type=Path, help="folder for margins of the built-in sky, made once for a kind and seed"
    )
    arguments = parser.parse_args()
    seed, many, threads = arguments.seed, arguments.resamplings, arguments.threads
    for kind in arguments.kind:
        start, part = time.perf_counter(), f"{kind}, seed {seed}"
        if kind == "survey_a":
            dataset, fitted, new = survey_a(arguments.survey_a, arguments.data, arguments.model, threads)
            rows, told = dataset.target_rows("val", "test"), fitted.card["calibration"]
            held = sample(fitted, rows, rows.label, threads)
            surveys = dealt(held, new, len(dataset.target_rows("val")), many, seed)
        else:
            path = arguments.keep and arguments.keep / f"keep_{kind}_{seed}.npz"
            make = partial(targeted, kind, seed, arguments.rows, arguments.mocks, many, threads)
            told, pool, chances = kept(path, make)
            surveys = surveyed(pool, chances, many, seed)
        found = []
        for i, (held, new) in enumerate(surveys):
            run = one(held, new, seed + i, arguments.draws, told["method"], told["shrinkage"])
            found.append(row_of(part, i, run))
            shown = {name: (each["true"], each["size"]) for name, each in run["lists"].items()}
            print(part, i, shown, f"{time.perf_counter() - start:.0f} s", flush=True)
        write(arguments.out, found)


if __name__ == "__main__":
    main()
