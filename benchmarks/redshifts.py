"""Do the redshift densities of quasar candidates say the truth? Quasars that neither trained nor calibrated judge.

    python benchmarks/redshifts.py --out reports/redshift/built_in [--regime ssda] [--seed 0]
    python benchmarks/redshifts.py --data DATA --out reports/redshift/survey_a

Without ``--data``: the built-in survey as ``simulate`` makes it (12,000 mocks, 5,000 labelled sources), and beside it a
sky of many more quasars, whose labels and photometry the fit does not see, that judges. With ``--data``: a fifth of the
labelled train and validation objects is set aside before the fit, and judges; the test split is not looked at.

Told, for each class of quasar and by magnitude, with binomial errors: the share of true redshifts within the central 68
and 95 %, the histogram of the probability integral transform, the normalised median absolute deviation and the rate of
outliers of the median and of the best template, how often the error of the latter holds, coverage were the class known,
and how P(z >= cut) fares. ``OUT.json`` has all of these; OUT has a row for each quasar (key, fold, class, redshift,
quantiles, share above the cut; no flux) and the figures that ``make figures-check`` makes again of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from adaptation import set_aside
from judged import QUANTILES, Figure, write_figures

import jpas_gbm as jg
from jpas_gbm.adaptation.fit import fit
from jpas_gbm.config import load_options
from jpas_gbm.features.redshifts import CANDIDATE
from jpas_gbm.options import FitOptions, SimulateOptions
from jpas_gbm.scores.metrics import RedshiftScore, score_redshifts
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.store import provenance, write_json

MANY = 8.0
CHUNK = 5_000


def built_in(seed, rows, mocks, labelled):
    """Return a data set to fit, and quasars of the same sky that it does not have."""
    whole = simulate(
        seed,
        config=SimulateOptions(n_source=mocks, n_labelled=labelled, n_unlabelled=rows, quasar_factor_unlabelled=MANY),
    )
    rng, truth = np.random.default_rng(seed), whole.truth
    sky = np.flatnonzero(whole.target_split < 0)
    quasars = np.isin(truth.label[sky], (0, 1))
    few = rng.permutation(np.flatnonzero(quasars))[: round(quasars.mean() / MANY * 0.5 * 1_000)]
    others = rng.permutation(np.flatnonzero(~quasars))[:1_000]
    kept = np.sort(np.concatenate([np.flatnonzero(whole.target_split >= 0), sky[few], sky[others]]))
    judge = np.setdiff1d(sky[quasars], sky[few])
    left = jg.Dataset(
        **{name: getattr(whole, name) for name in ("source", "source_split", "twins", "scheme", "provenance")},
        target=whole.target.take(kept),
        target_split=whole.target_split[kept],
    )
    return left, whole.target.take(judge).replace(label=truth.label[judge], z=truth.z[judge])


def judged(model, rows, threads):
    """Return what the model says of rows: class probabilities, quantiles, share above the cut, error, PIT."""
    found = {name: [] for name in ("p", "z", "above", "error", "photoz", "pit", "side")}
    for start in range(0, len(rows), CHUNK):
        part = rows.take(slice(start, start + CHUNK))
        said = model.predict(part, threads=threads)
        of, p = said.redshifts, said.probabilities.astype(np.float64)
        minus2, _ = model.recipe.templates.likelihoods(model.corrected(part), threads)
        edges, density = model.redshift.curve(minus2, model.scheme.high_share(p)[1])
        whole = np.concatenate([np.zeros((len(p), 1)), np.cumsum(density * np.diff(edges), axis=1)], axis=1)
        pit = [np.interp(z, edges, row) for z, row in zip(part.z, whole, strict=True)]
        side = model.redshift.redshifts(minus2, (part.label == 0).astype(float)).z
        for name, values in {**vars(of), "p": p, "photoz": said.photoz, "pit": pit, "side": side}.items():
            found[name].append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def told(of, found, z, mag, chosen):
    """Score some of the quasars."""
    n = int(chosen.sum())
    quantiles = found["z"][chosen]
    one = vars(RedshiftScore.of(of, quantiles, z[chosen]))
    best = (found["photoz"][chosen] - z[chosen]) / (1 + z[chosen])
    near = np.abs(found["photoz"][chosen] - z[chosen]) <= found["error"][chosen]
    for share in ("covered68", "covered95"):
        one[f"{share}_error"] = float(np.sqrt(one[share] * (1 - one[share]) / n))
    known = RedshiftScore.of(of, found["side"][chosen], z[chosen])
    pit = np.histogram(found["pit"][chosen], bins=20, range=(0, 1))[0] / n
    return one | {
        "pit20": pit,
        "best_template_nmad": 1.4826 * float(np.median(np.abs(best - np.median(best)))),
        "best_template_outliers": float((np.abs(best) > 0.15).mean()),
        "within_error": float(near.mean()),
        "covered_given_class": [known.covered68, known.covered95],
    }


def reliability(above, share, high, bins=10):
    """Compare P(z >= cut), and what the classes say, with how often it is so, in bins of equal count."""
    order = np.argsort(above, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    rows = [(float(above[part].mean()), float(high[part].mean()), len(part)) for part in parts]
    ece = sum(n * abs(p - y) for p, y, n in rows) / len(above)
    chance = sum(n * np.sqrt(p * (1 - p) / n) * np.sqrt(2 / np.pi) for p, y, n in rows) / len(above)
    return {
        "bins": rows,
        "ece": ece,
        "ece_of_chance": float(chance),
        "largest_difference_to_classes": float(np.abs(above - share).max()),
    }


MAGNITUDES = (("r < 21", 0, 21), ("r 21 to 22.5", 21, 22.5), ("r 22.5 and fainter", 22.5, 99), ("r unknown", 0, 999))


def table_of(rows, found, seen, fold):
    """Return a row for each quasar that has a density."""
    keys = [" ".join(map(str, one)) for one in zip(*(rows.key[name].tolist() for name in rows.key), strict=True)]
    bright = [next(w for w, low, high in MAGNITUDES if low <= (99.5 if mag != mag else mag) < high) for mag in rows.mag]
    classes = np.where(rows.label == 0, "QSO_high", "QSO_low")
    table = pd.DataFrame({"key": keys, "object": rows.object_id, "fold": fold, "class": classes, "z": rows.z})
    table["part"] = [f"{one}, {words}" for one, words in zip(classes, bright, strict=True)]
    for name, values in zip(QUANTILES, found["z"].T, strict=True):
        table[f"density:{name}"] = values
    table["density:P_Z_HIGH"] = found["above"]
    return table[seen].sort_values(["part", "z"]).round({"z": 5}).reset_index(drop=True)


def figures_of(table):
    """Return which figures are made: all, of each class, of each class by magnitude."""
    parts = ["", *dict.fromkeys(table["class"]), *dict.fromkeys(table["part"])]
    of = [Figure(name, "density", part) for part in parts for name in ("covered68", "covered95", "nmad", "outliers")]
    return [*of, Figure("ece:QSO_high", "density")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--regime", default="ssda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=38_000)
    parser.add_argument("--mocks", type=int, default=12_000)
    parser.add_argument("--labelled", type=int, default=5_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", type=Path, help="where the model is kept, or was")
    parser.add_argument("--out", type=Path, required=True, help="a folder; OUT.json stands beside it")
    arguments = parser.parse_args()
    start = time.perf_counter()
    if arguments.data is None:
        data, rows = built_in(arguments.seed, arguments.rows, arguments.mocks, arguments.labelled)
    else:
        sides = set_aside(jg.Dataset.load(arguments.data), "fifth", None)
        data, rows = sides.data, sides.judged.take(np.isin(sides.judged.label, (0, 1)))
    rows = rows.take(np.isfinite(rows.z))
    if arguments.model is not None and arguments.model.is_dir():
        model = jg.Model.load(arguments.model)
    else:
        options = load_options(FitOptions, "ssda").model_copy(update={"regime": arguments.regime})
        model = fit(data, config=options, seed=arguments.seed, threads=arguments.threads)
        if arguments.model is not None:
            model.save(arguments.model)
    print(np.bincount(rows.label), f"{time.perf_counter() - start:.0f} s", flush=True)
    found, z, mag, high = judged(model, rows, arguments.threads), np.asarray(rows.z), rows.mag, rows.label == 0
    quasar, share = model.scheme.high_share(found["p"])
    seen = (quasar >= CANDIDATE) & np.isfinite(found["z"]).all(axis=1)
    parts = {"all": seen}
    for name, here in (("QSO_high", high), ("QSO_low", ~high)):
        parts[name] = seen & here
        for words, least, most in MAGNITUDES[:3]:
            parts[f"{name}, {words}"] = seen & here & (mag >= least) & (mag < most)
    shown = {name: told(name, found, z, mag, chosen) for name, chosen in parts.items() if chosen.any()}
    for one in shown.values():
        print({name: round(v, 3) if isinstance(v, float) else v for name, v in one.items() if name[:3] != "pit"})
    places = {str(arguments.data): "DATA", str(arguments.model): "MODEL"}
    result = {
        "quasars": {"QSO_high": int(high.sum()), "QSO_low": int((~high).sum())},
        "without_density": {"QSO_high": int((high & ~seen).sum()), "QSO_low": int((~high & ~seen).sum())},
        "labels_of_calibration": model.card["redshift"][:1],
        "shapes": {"low": vars(model.redshift.low), "high": vars(model.redshift.high)},
        "scores": shown,
        "p_high": reliability(found["above"][seen].astype(float), share[seen], high[seen]),
        "sides": [vars(one) for one in score_redshifts(found["z"], z, mag, model.redshift.cut)],
        "command": " ".join(["python benchmarks/redshifts.py", *map(places.get, sys.argv[1:], sys.argv[1:])]),
        "seconds": time.perf_counter() - start,
        "provenance": provenance(
            seed=arguments.seed,
            options={name: getattr(arguments, name) for name in ("regime", "rows", "mocks", "labelled")},
        ),
    }
    print(result["p_high"], result["shapes"])
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out.with_suffix(".json"), result, overwrite=True)
    fold = "fifth" if arguments.data is not None else "sky"
    inputs = {} if arguments.data is None else {"dataset": jg.Dataset.load(arguments.data).fingerprint()}
    table = table_of(rows, found, seen, fold)
    for one in write_figures(arguments.out, result["command"], inputs, table, figures_of(table), arguments.seed):
        print(f"{one.name} {one.value:.4f} [{one.interval[0]:.4f}, {one.interval[1]:.4f}] of {one.n}", flush=True)


if __name__ == "__main__":
    main()
