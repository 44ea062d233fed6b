"""What few labels of the sky add to a model that learnt without any, and what they may cost.

    python benchmarks/few_labels.py --data DATA [--seed 0] [--draws 8] [--labels 30,100,300,1000,3000] [--threads 1]

DATA is a data set's folder or the name of a configuration of ``simulate``. A fifth of the labelled train and validation
objects judges (``benchmarks/adaptation.py``), rows not fainter than r = 22.5; the test split is not read. One model of
regime ``uda`` is fitted; then so many labels, drawn at random, calibrate the margins of its trees, as they are or from
what the model knows without labels on (``calibration.anchor_rows``). Log loss in nats, mean and worst of the draws.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from adaptation import set_aside

import jpas_gbm as jg
from jpas_gbm.adaptation.anchors import held
from jpas_gbm.boosting.calibration import fit_calibrator
from jpas_gbm.options import CalibrationOptions
from jpas_gbm.scores.losses import log_losses
from jpas_gbm.simulation.simulate import open_dataset


def main() -> None:
    """Fit once, draw labels, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--survey-seed", type=int, default=11, help="of a survey that is simulated")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--labels", default="30,100,300,1000,3000")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    folder = Path(given.data).is_dir()
    data = open_dataset(given.data) if folder else jg.simulate(given.survey_seed, config=given.data)
    sides = set_aside(data, "fifth", None)
    model = jg.fit(sides.data, regime="uda", seed=given.seed, threads=given.threads)
    rows, judged = sides.data.target_rows("train", "val"), sides.judged
    known, theirs = (model.margins(part, given.threads) for part in (rows, judged))
    start = model.calibrator.log_odds
    print(f"uda, no label: {log_losses(model.calibrator.apply(theirs), judged.label).mean():.4f} of {len(judged)} rows")
    ways = {
        "trees alone": (known, theirs, CalibrationOptions()),
        "anchored": (start(known), start(theirs), held(CalibrationOptions())),
    }
    objects = np.unique(rows.object_id)
    for count in map(int, given.labels.split(",")):
        told: dict[str, list[float]] = {name: [] for name in ways}
        for draw in range(given.draws):
            taken = np.isin(rows.object_id, np.random.default_rng(1000 + draw).permutation(objects)[:count])
            for name, (own, other, options) in ways.items():
                made, _ = fit_calibrator(own[taken], rows.label[taken], options, groups=rows.object_id[taken])
                told[name].append(float(log_losses(made.apply(other), judged.label).mean()))
        print(count, *(f"{name} {np.mean(v):.4f} (worst {np.max(v):.4f})" for name, v in told.items()), flush=True)


if __name__ == "__main__":
    main()
