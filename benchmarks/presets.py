"""Do options that a study found help on other surveys too? Two configurations on the built-in survey, fresh seeds.

    python benchmarks/presets.py BEST.yaml [--against ssda] [--surveys 11,12] [--json FILE]

Each survey is simulated anew with its own spectra, shift and noise. Both configurations are fitted with the same seed
and judged on the same test rows: paired 95 % intervals over objects, tuned minus the other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from jpas_gbm.adaptation.fit import fit
from jpas_gbm.config import load_options
from jpas_gbm.options import FitOptions, SimulateOptions
from jpas_gbm.scores.bootstrap import paired
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.store import provenance, to_plain, write_json

SHOWN = ("log_loss", "macro.f1", "per_class.QSO_high.f1")


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("best")
    parser.add_argument("--against", default="ssda")
    parser.add_argument("--surveys", default="11,12", help="simulator seeds, separated by commas")
    parser.add_argument("--source", type=int, default=24_000)
    parser.add_argument("--labelled", type=int, default=24_000)
    parser.add_argument("--cut", type=float, default=22.5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    options = {name: load_options(FitOptions, name) for name in (given.best, given.against)}
    told = []
    for seed in map(int, given.surveys.split(",")):
        size = SimulateOptions(n_source=given.source, n_labelled=given.labelled, n_unlabelled=given.labelled // 5)
        dataset = simulate(seed, config=size)
        rows = dataset.target_rows("test")
        bright = ~(rows.mag > given.cut)
        p = {}
        for name, chosen in options.items():
            fitted = fit(dataset, config=chosen, seed=seed, threads=given.threads)
            p[name] = [fitted.probabilities(rows, given.threads)[bright]]
            print(f"survey {seed}, {name}: {fitted.card['chosen']}", flush=True)
        classes = dataset.scheme.classes
        found = paired(rows.label[bright], p[given.best], p[given.against], rows.object_id[bright], classes=classes)
        counts = np.bincount(rows.label[bright], minlength=len(classes)).tolist()
        told.append({"survey": seed, "counts": counts, "differences": {name: to_plain(found[name]) for name in SHOWN}})
        for name in SHOWN:
            low, high = found[name].interval
            print(f"  {name:24s} {found[name].difference:+.4f} [{low:+.4f}, {high:+.4f}]", flush=True)
    if given.json:
        write_json(given.json, {"surveys": told, "provenance": provenance(seed=0)}, overwrite=True)


if __name__ == "__main__":
    main()
