"""What g, z, W1 and W2 of imaging add on a simulated survey: one fit with them, one without, on the same test rows.

    python benchmarks/wise.py --out reports/wise [--seed 0]

The survey is the built-in one with ``wise: true``: 12,000 mocks, 5,000 labelled sources, of which two fifths are the
test split. Both fits are ssda with r and morphology of imaging; one has ``features.optional: [G, Z, W1, W2]`` too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from judged import Figure, write_figures

import jpas_gbm as jg
from jpas_gbm.options import SimulateOptions
from jpas_gbm.surveys.scheme import CLASSES

BANDS = ["G", "Z", "W1", "W2"]
FIT = {"recipe": "continue", "boosting": {"learning_rate": 0.1, "rounds": 600}}


def main() -> None:
    """Fit, judge and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    data = jg.simulate(given.seed, config=SimulateOptions(wise=True))
    rows = data.target_rows("test")
    table = pd.DataFrame(
        {
            "key": np.arange(len(rows)),
            "object": rows.object_id,
            "part": np.where(np.nan_to_num(rows.mag, nan=99.0) <= 22.5, "r <= 22.5", "fainter"),
            "fold": 0,
            "class": np.array(CLASSES)[rows.label],
        }
    )
    for name, bands in (("with", BANDS), ("without", [])):
        model = jg.fit(data, config={**FIT, "features": {"optional": bands}}, seed=given.seed, threads=1)
        p = np.clip(model.probabilities(rows), 1e-9, 1.0)
        for code, cls in enumerate(CLASSES):
            table[f"{name}:{cls}"] = p[:, code] / p.sum(axis=1)
    metrics = ("log_loss", "accuracy", "macro_f1")
    asked = [Figure(metric, name, part) for name in ("with", "without") for metric in metrics for part in PARTS]
    asked += [Figure(metric, "with", part, against="without") for metric in metrics for part in PARTS]
    command = f"python benchmarks/wise.py --out reports/wise --seed {given.seed}"
    for one in write_figures(given.out, command, {}, table, asked, given.seed):
        print(f"{one.name} {one.value:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}] n {one.n}", flush=True)


PARTS = ("", "r <= 22.5")

if __name__ == "__main__":
    main()
