"""fit --regime ssda on many mocks: time against the bare library, and memory.

    python benchmarks/fit.py [--rows 1500000] [--rounds 20]

The journal of the fit lists every training with its seconds. The bare time is the library's own call on the same
rows and features for the same number of rounds, measured in the same run for one training on mocks and scaled by rows
times rounds to the others; few rounds make the test harder, since what surrounds the trainings does not shrink.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings

import lightgbm
import numpy as np

from jpas_gbm.adaptation.builtin import builtin_dataset
from jpas_gbm.adaptation.fit import fit
from jpas_gbm.config import FitOptions, parse_options
from jpas_gbm.mocks.simulate import SimulateOptions

TRAININGS = ("trees:", "continued", "stacked", "domain")


def bare_seconds(rows: int, features: int, rounds: int, leaves: int, threads: int) -> float:
    """Return seconds of the plain library call on random features of the same size."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, features), dtype=np.float32)
    y = rng.integers(0, 4, rows)
    options = {"objective": "multiclass", "num_class": 4, "num_leaves": leaves, "max_bin": 127, "verbose": -1}
    options |= {"num_threads": threads, "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1}
    start = time.perf_counter()
    lightgbm.train(options, lightgbm.Dataset(X, y), num_boost_round=rounds)
    return time.perf_counter() - start


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_500_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    size = SimulateOptions(n_source=given.rows, n_labelled=25_000, n_unlabelled=5_000)
    dataset, _ = builtin_dataset(1, size)
    growth = {"rounds": given.rounds, "patience": 0}
    options = parse_options(FitOptions, {"boosting": growth, "continuation": growth}, "benchmark")
    start = time.perf_counter()
    model = fit(dataset, options, seed=1, threads=given.threads)
    whole = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    entries = model.card["trainings"]
    for entry in entries:
        print(f"{entry['seconds']:8.1f} s  {entry['stage']}  {entry.get('rows', '')}")
    trainings = [entry for entry in entries if entry["stage"].startswith(TRAININGS)]
    features = sum(e["seconds"] for e in entries if e["stage"].startswith(("features", "templates", "mocks", "shift")))
    trained = sum(entry["seconds"] for entry in trainings) + sum(
        entry["seconds"] for entry in entries if entry["stage"].startswith("bins")
    )
    first = next(entry for entry in trainings if entry["stage"].startswith("trees: mocks"))
    bins = next(entry for entry in entries if entry["stage"].startswith("bins"))
    bare = bare_seconds(first["rows"], model.card["features"]["count"], given.rounds, 15, given.threads)
    print(f"one training on mocks: ours {first['seconds'] + bins['seconds']:.1f} s, bare library {bare:.1f} s")
    print(f"whole fit {whole:.0f} s, trainings and bins {trained:.0f} s, features {features:.0f} s")
    print(f"ratio whole / (trainings + features): {whole / (trained + features):.2f}")
    print(f"ratio of one training, ours / bare: {(first['seconds'] + bins['seconds']) / bare:.2f}")
    print(f"peak memory {peak:.1f} GiB")


if __name__ == "__main__":
    main()
