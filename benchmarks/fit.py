"""fit --regime ssda on many mocks: time against the bare library on the same rows, and memory.

    python benchmarks/fit.py [--rows 1500000] [--rounds 20] [--json FILE]

The journal of the fit lists every training with its seconds. Then the library's own calls train on the very rows that
the fit trained on, with the same validation rows, rounds and leaves: one call for each kind of training, counted as
often as the journal lists that kind. Few rounds make the test harder: what surrounds the trainings does not shrink.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from pathlib import Path

import lightgbm
import numpy as np

from jpas_gbm.adaptation import folds
from jpas_gbm.adaptation.fit import fit
from jpas_gbm.config import parse_options
from jpas_gbm.options import FitOptions, SimulateOptions
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.store import write_json

AIM, MOST_MEMORY = 1.3, 20.0
KINDS = {"trees: mocks": "mocks", "trees: pooled": "pooled", "domain classifier": "domain"}
SMALL = ("trees: target", "continued", "stacked")
FEATURES = ("features", "templates", "mocks seen", "shift")


class Kept:
    """Keeps the rows of the regime itself while the fit makes them."""

    def __init__(self) -> None:
        self.rows = None
        self._make = folds.make_rows

    def __call__(self, dataset, regime, *others):
        rows = self._make(dataset, regime, *others)
        if regime.name == "ssda":
            self.rows = rows
        return rows


def bare_seconds(X, y, valid, rounds, leaves, threads, rate=0.05):
    """Return seconds of the library's own call, binning included; `valid` is judged every round, as in the fit."""
    k = int(y.max()) + 1
    options = {"objective": "multiclass", "num_class": k} if k > 2 else {"objective": "binary"}
    options |= {"num_leaves": leaves, "max_bin": 127, "learning_rate": rate, "verbose": -1, "num_threads": threads}
    options |= {"feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0}
    start = time.perf_counter()
    data = lightgbm.Dataset(X, y)
    judged = [] if valid is None else [lightgbm.Dataset(*valid, reference=data)]
    lightgbm.train(options, data, num_boost_round=rounds, valid_sets=judged)
    return time.perf_counter() - start


def bare_by_kind(rows, options, threads):
    """Return seconds of one bare training of each kind, on the rows of the fit."""
    mocks, sky, val = rows.source_train, rows.target_train, rows.target_val
    rounds, leaves = options.boosting.rounds, options.boosting.leaves
    found = {"mocks": bare_seconds(mocks.X, mocks.y, (rows.source_val.X, rows.source_val.y), rounds, leaves, threads)}
    both = np.concatenate([mocks.X, sky.X]), np.concatenate([mocks.y, sky.y])
    found["pooled"] = bare_seconds(*both, (val.X, val.y), rounds, leaves, threads)
    more = options.continuation
    found["target"] = bare_seconds(sky.X, sky.y, (val.X, val.y), more.rounds, more.leaves, threads)
    domain = options.domain
    parts = [part.X for part in (rows.unlabelled, sky, val) if part is not None]
    there = np.concatenate(parts)
    share = (domain.folds - 1) / domain.folds
    ours = mocks.X[: min(domain.max_rows, int(share * len(mocks)))]
    theirs = there[: min(domain.max_rows, int(share * len(there)))]
    X, y = np.concatenate([ours, theirs]), np.repeat([0, 1], [len(ours), len(theirs)])
    found["domain"] = domain.folds * bare_seconds(X, y, None, domain.rounds, domain.leaves, threads, 0.1)
    return found


def kind_of(stage):
    """Return which bare training a stage of the journal is compared with, or None."""
    for beginning, kind in KINDS.items():
        if stage.startswith(beginning) and not stage.endswith("alone"):
            return kind
    return "target" if stage.startswith(SMALL) else None


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_500_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    size = SimulateOptions(n_source=given.rows, n_labelled=25_000, n_unlabelled=5_000)
    dataset = simulate(1, config=size)
    growth = {"rounds": given.rounds, "patience": 0}
    options = parse_options(FitOptions, {"boosting": growth, "continuation": growth}, "benchmark")
    kept = folds.make_rows = Kept()
    start = time.perf_counter()
    model = fit(dataset, config=options, seed=1, threads=given.threads)
    whole = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    del dataset
    entries = model.card["trainings"]
    features = sum(entry["seconds"] for entry in entries if entry["stage"].startswith(FEATURES))
    bare = bare_by_kind(kept.rows, options, given.threads)
    listed = [(entry, kind_of(entry["stage"])) for entry in entries]
    for entry, kind in listed:
        beside = f"   bare {bare[kind]:.1f} s" if kind else ""
        print(f"{entry['seconds']:8.1f} s  {entry['stage']}  {entry.get('rows', '')}{beside}")
    alone = sum(bare[kind] for _, kind in listed if kind)
    told = {
        "mock_rows": given.rows,
        "rounds": given.rounds,
        "features": model.card["features"]["count"],
        "whole_seconds": whole,
        "feature_seconds": features,
        "bare_seconds": alone,
        "bare_by_kind": bare,
        "ratio": (whole - features) / alone,
        "aim": AIM,
        "peak_gib": peak,
        "most_gib": MOST_MEMORY,
    }
    print(
        f"whole fit {whole:.0f} s, of which features {features:.0f} s; bare library {alone:.0f} s for the trainings "
        f"listed: (whole - features) / bare = {told['ratio']:.2f} (aim {AIM:g}); peak memory {peak:.1f} GiB "
        f"(aim {MOST_MEMORY:g})"
    )
    if given.json:
        write_json(given.json, told, overwrite=True)


if __name__ == "__main__":
    main()
