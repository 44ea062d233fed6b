"""fit --regime ssda on many mocks: CPU time against the bare library on the same rows, and memory against the data.

    python benchmarks/fit.py [--rows 400000] [--rounds 20] [--out reports/performance]

A process of its own reads the data set and fits; its peak of memory is taken before anything else is done. The journal
of the fit lists every training with its seconds, which are CPU seconds here, on one thread. Then the library's own
calls train on the very rows that the fit trained on, with the same validation rows, rounds and leaves: one call for
each kind of training, counted as often as the journal lists that kind. Few rounds make the test harder: what surrounds
the trainings does not shrink.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import lightgbm
import numpy as np

from jpas_gbm import run as runs
from jpas_gbm.adaptation import folds
from jpas_gbm.adaptation.fit import fit
from jpas_gbm.config import parse_options
from jpas_gbm.options import FitOptions, SimulateOptions
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.store import write_json
from jpas_gbm.surveys.dataset import Dataset

BARS = {"P6": 2.5, "P7": 1.05}
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
    """Return CPU seconds of the library's own call, binning included; `valid` is judged every round, as in the fit."""
    k = int(y.max()) + 1
    options = {"objective": "multiclass", "num_class": k} if k > 2 else {"objective": "binary"}
    options |= {"num_leaves": leaves, "max_bin": 127, "learning_rate": rate, "verbose": -1, "num_threads": threads}
    options |= {"feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0}
    start = time.process_time()
    data = lightgbm.Dataset(X, y)
    judged = [] if valid is None else [lightgbm.Dataset(*valid, reference=data)]
    lightgbm.train(options, data, num_boost_round=rounds, valid_sets=judged)
    return time.process_time() - start


def bare_by_kind(rows, options, threads):
    """Return CPU seconds of one bare training of each kind, on the rows of the fit."""
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
        if stage.startswith(beginning) and not stage.endswith(("alone", "by step")):
            return kind
    return "target" if stage.startswith(SMALL) else None


def array_bytes(dataset: Dataset) -> int:
    """Return the bytes of all arrays of a data set."""
    arrays = {}
    for catalogue in (dataset.source, dataset.target):
        for value in vars(catalogue).values():
            for array in value.values() if isinstance(value, dict) else [value]:
                if isinstance(array, np.ndarray):
                    arrays[id(array)] = array.nbytes
    return sum(arrays.values())


def peak() -> float:
    """Return the largest memory that this process held, in bytes; not what its parent did."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def measure(folder: Path, rounds: int) -> dict:
    """Fit, then train with the bare library on the same rows; everything in this process on one thread."""
    runs.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[assignment]
    imported = peak()
    dataset = Dataset.load(folder)
    size = array_bytes(dataset)
    growth = {"rounds": rounds, "patience": 0}
    options = parse_options(FitOptions, {"boosting": growth, "continuation": growth}, "benchmark")
    kept = folds.make_rows = Kept()
    start = time.process_time()
    model = fit(dataset, config=options, seed=1, threads=1)
    whole, most = time.process_time() - start, peak()
    mocks = len(dataset.source)
    del dataset
    entries = model.card["trainings"]
    features = sum(entry["seconds"] for entry in entries if entry["stage"].startswith(FEATURES))
    bare = bare_by_kind(kept.rows, options, 1)
    listed = [(entry, kind_of(entry["stage"])) for entry in entries]
    alone = sum(bare[kind] for _, kind in listed if kind)
    stages = [
        {"stage": entry["stage"], "cpu": entry["seconds"], "bare": bare[kind] if kind else None}
        for entry, kind in listed
    ]
    found = [
        {"what": "P6, peak of a fit over the arrays of the data set", "ratio": (most - imported) / size},
        {"what": "P7, fit without features over the bare trainings", "ratio": (whole - features) / alone},
    ]
    return {
        "mock_rows": mocks,
        "rounds": rounds,
        "features": model.card["features"]["count"],
        "whole_cpu": whole,
        "feature_cpu": features,
        "bare_cpu": alone,
        "peak_gib": most / 2**30,
        "data_gib": size / 2**30,
        "stages": stages,
        "found": [one | {"bar": [None, BARS[one["what"][:2]]]} for one in found],
    }


def report(told: dict, out: Path) -> None:
    """Write the figures as a table."""
    lines = [
        "# A whole fit",
        "",
        f"`{told['command']}`: one thread, CPU time; load of the machine {told['load']:.1f}.",
        "",
    ]
    lines += [f"- {one['what']}: {one['ratio']:.2f} (bar {one['bar'][1]})" for one in told["found"]]
    lines += [
        f"- {told['mock_rows']:,} mocks, {told['features']} features, {told['rounds']} rounds: {told['whole_cpu']:.0f} "
        f"s, of which features {told['feature_cpu']:.0f} s; peak {told['peak_gib']:.2f} GiB, arrays "
        f"{told['data_gib']:.2f} GiB",
        "", "| stage | CPU, s | bare library, s |", "|---|---|---|",
    ]  # fmt: skip
    for one in told["stages"]:
        bare = "" if one["bare"] is None else f"{one['bare']:.1f}"
        lines.append(f"| {one['stage']} | {one['cpu']:.1f} | {bare} |")
    out.mkdir(parents=True, exist_ok=True)
    (out / "fit.md").write_text("\n".join([*lines, ""]), encoding="utf-8")
    write_json(out / "fit.json", told, overwrite=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="folder for fit.md and fit.json")
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    command = f"python benchmarks/fit.py --rows {given.rows} --rounds {given.rounds}"
    if given.data is None:
        with tempfile.TemporaryDirectory() as place:
            size = SimulateOptions(n_source=given.rows, n_labelled=25_000, n_unlabelled=5_000)
            simulate(1, config=size).save(Path(place) / "data")
            words = [sys.executable, *sys.argv, "--data", str(Path(place) / "data")]
            subprocess.run(words, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        return
    told = {"command": command, "load": os.getloadavg()[0]} | measure(given.data, given.rounds)
    for one in told["stages"]:
        beside = f"   bare {one['bare']:.1f} s" if one["bare"] else ""
        print(f"{one['cpu']:8.1f} s  {one['stage']}{beside}")
    for one in told["found"]:
        print(f"{one['what']}: {one['ratio']:.2f} (bar {one['bar'][1]})")
    sizes = f"peak {told['peak_gib']:.2f} GiB, arrays {told['data_gib']:.2f} GiB"
    print(f"{sizes}, whole fit {told['whole_cpu']:.0f} s of CPU")
    if given.out:
        report(told, given.out)


if __name__ == "__main__":
    main()
