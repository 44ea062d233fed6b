"""Each ingredient of ssda in and out: cross-fitted scores on target validation, paired intervals.

    python benchmarks/ablation.py --data DATA --out reports/ablation [--seeds 3]

The test split is not read: the labels of its rows are masked before anything is done.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from jpas_gbm.adaptation.candidates import Candidate
from jpas_gbm.adaptation.journal import Journal
from jpas_gbm.adaptation.regimes import get_regime
from jpas_gbm.adaptation.rows import make_rows
from jpas_gbm.adaptation.stages import Stages
from jpas_gbm.adaptation.streams import Streams
from jpas_gbm.adaptation.validation import Scored, counted_rows, mean_interval, mean_margins, score
from jpas_gbm.config import FitOptions, parse_options
from jpas_gbm.files import write_json
from jpas_gbm.provenance import provenance
from jpas_gbm.survey.dataset import Dataset

POOL = Candidate("pool", target_weight=3.0)
CONTINUE = Candidate("continue")
STACK = Candidate("stack")

# Name, options that differ from the defaults, and the way that the trees are grown.
STEPS: list[tuple[str, dict[str, Any], Candidate]] = [
    ("all ingredients, pooled", {}, POOL),
    ("way: continued boosting", {}, CONTINUE),
    ("way: continued, weights gamma 0.25", {}, Candidate("continue", gamma=0.25)),
    ("way: stacked mock margins", {}, STACK),
    ("way: mean of pooled and continued", {}, Candidate("mean", parts=(POOL, CONTINUE))),
    ("way: prepared mocks, no tree on target", {}, Candidate("mocks")),
    ("way: target only", {}, Candidate("target")),
    ("without templates", {"features": {"templates": False}}, POOL),
    ("with colours, S/N, ratios, lines too", {"features": {"lean": False}}, POOL),
    ("without imaging features", {"features": {"imaging": False}}, POOL),
    ("without paired repair", {"sky": {"paired_repair": False}}, POOL),
    ("without renoising", {"sky": {"renoise": False}}, POOL),
    ("natural class weights", {"boosting": {"class_weight_power": 0.0}}, POOL),
    ("pseudo-labels, weight 1", {"pseudo_weight": 1.0}, Candidate("pseudo", target_weight=3.0)),
    ("target weight 1", {}, Candidate("pool", target_weight=1.0)),
    ("target weight 8", {}, Candidate("pool", target_weight=8.0)),
    ("uncalibrated", {"calibration": {"method": "none"}}, POOL),
    ("temperature scaling", {"calibration": {"method": "temperature"}}, POOL),
    ("Dirichlet scaling", {"calibration": {"method": "dirichlet", "shrinkage": [0.01]}}, POOL),
]
CALIBRATION = {"method": "vector", "shrinkage": [0.01]}


def scored_steps(dataset: Dataset, seeds: int, threads: int) -> dict[str, list[Scored]]:
    """Score every step with every seed; rows and trees are shared by steps that agree on them."""
    regime = get_regime("ssda")
    found: dict[str, list[Scored]] = {}
    for seed in range(seeds):
        streams = Streams(seed)
        rows: dict[str, Any] = {}
        kept: dict[str, dict[Any, Any]] = {}
        for name, changes, way in STEPS:
            options = parse_options(FitOptions, {"calibration": CALIBRATION} | changes, name)
            key = options.features.model_dump_json() + options.sky.model_dump_json()
            if key not in rows:
                rows = {key: rows[key] for key in list(rows)[:1]}  # the default's, and this one's
                rows[key] = make_rows(dataset, regime, options, streams.rows(), threads, Journal())
            stages = Stages(rows[key], options, streams.trees, threads, Journal(), kept.setdefault(key, {}))
            val = stages.rows.target_val
            assert val is not None
            counted = counted_rows(val, options.cut)
            margins = mean_margins(way.members(stages), val.X, threads)
            one = score(way, margins, val, counted, options.calibration, streams.choices)
            found.setdefault(name, []).append(one)
            print(f"seed {seed}  {name:<42} log loss {one.log_loss:.4f}  macro-F1 {one.macro_f1:.4f}", flush=True)
    return found


def table(found: dict[str, list[Scored]], groups: np.ndarray, counted: np.ndarray) -> list[dict[str, Any]]:
    """Return a row per step: means over seeds, and the paired difference of log loss from the first step."""
    reference = np.mean([one.losses for one in next(iter(found.values()))], axis=0)
    rows = []
    for name, ones in found.items():
        gain = (np.mean([one.losses for one in ones], axis=0) - reference)[counted]
        low, high = mean_interval(gain, groups[counted], seed=0)
        rows.append(
            {
                "step": name,
                "log_loss": float(np.mean([one.log_loss for one in ones])),
                "macro_f1": float(np.mean([one.macro_f1 for one in ones])),
                "macro_f1_seed_std": float(np.std([one.macro_f1 for one in ones])),
                "difference": float(gain.mean()),
                "interval": [low, high],
            }
        )
    return rows


def markdown(rows: list[dict[str, Any]], n: int, seeds: int) -> str:
    """Return the table as Markdown, with what it is."""
    lines = [
        "# Ablation of `ssda`",
        "",
        f"Target validation, {n:,} rows of magnitude 22.5 and brighter, calibrated by cross-fitting over objects; "
        f"mean over {seeds} seeds. The difference is in log loss from the first row, paired over objects, with its "
        "95 % bootstrap interval: above zero means that the change costs. The test split was not read.",
        "",
        "| step | log loss | macro-F1 | difference in log loss |",
        "|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["interval"]
        lines.append(
            f"| {row['step']} | {row['log_loss']:.4f} | {row['macro_f1']:.4f} | "
            f"{row['difference']:+.4f} [{low:+.4f}, {high:+.4f}] |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the ablation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    dataset = Dataset.load(given.data).for_training()
    found = scored_steps(dataset, given.seeds, given.threads)
    val = dataset.target_rows("val")
    counted = ~(np.asarray(val.mag) > FitOptions().cut)
    rows = table(found, np.asarray(val.object_id), counted)
    made = provenance(seed=given.seeds, data=dataset.provenance)
    write_json(Path(given.out) / "ablation.json", {"rows": rows, "provenance": made}, overwrite=True)
    text = markdown(rows, int(counted.sum()), given.seeds)
    (Path(given.out) / "README.md").write_text(
        text + "\nMade by `python benchmarks/ablation.py --data DATA --out OUT`.\n"
    )
    print(text)


if __name__ == "__main__":
    main()
