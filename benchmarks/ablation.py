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

from jpas_gbm.adaptation.choosing import Entrant, Scored, score_entrant
from jpas_gbm.adaptation.folds import Folds
from jpas_gbm.adaptation.rows import get_regime, make_rows
from jpas_gbm.adaptation.shipped_ways import Continue, Mocks, Pool, Pseudo, Stack, Target
from jpas_gbm.adaptation.stages import Stages
from jpas_gbm.adaptation.ways import Mean, Way, ensemble
from jpas_gbm.atomic import atomic_file
from jpas_gbm.config import load_options
from jpas_gbm.options import FitOptions
from jpas_gbm.run import Run
from jpas_gbm.scores.bootstrap import paired
from jpas_gbm.store import provenance, to_plain, write_json
from jpas_gbm.surveys.dataset import Dataset
from jpas_gbm.tuning.space import flat, with_values

POOL = Pool(3.0)
CONTINUE = Continue()

# Name, options that differ from the shipped ones, and the way that the trees are grown.
STEPS: list[tuple[str, dict[str, Any], Way]] = [
    ("all ingredients, pooled", {}, POOL),
    ("way: continued boosting", {}, CONTINUE),
    ("way: continued, weights gamma 0.25", {}, Continue(0.25)),
    ("way: continued, weights gamma 0.5", {}, Continue(0.5)),
    ("way: stacked mock margins", {}, Stack()),
    ("way: mean of pooled and continued", {}, Mean((POOL, CONTINUE))),
    ("way: prepared mocks, no tree on target", {}, Mocks()),
    ("way: target only", {}, Target()),
    ("target weight 1", {}, Pool(1.0)),
    ("target weight 8", {}, Pool(8.0)),
    ("natural class weights", {"boosting": {"class_weight_power": 0.0}}, POOL),
    ("leaves 15, 20 rows in each", {"boosting": {"leaves": 15, "min_child": 20}}, POOL),
    ("ensemble of 3 seeds", {"seeds": 3}, POOL),
    ("ensemble of LightGBM and XGBoost", {"backends": ["lightgbm", "xgboost"]}, POOL),
    ("pseudo-labels, weight 1", {"pseudo_weight": 1.0}, Pseudo(3.0)),
    ("uncalibrated", {"calibration": {"method": "none"}}, POOL),
    ("temperature scaling", {"calibration": {"method": "temperature"}}, POOL),
    ("Dirichlet scaling", {"calibration": {"method": "dirichlet", "shrinkage": [0.01]}}, POOL),
    ("without template features (all others instead)", {"features": {"templates": False}}, POOL),
    ("templates of rank 6", {"features": {"template_ranks": [6]}}, POOL),
    ("hosts in quasar templates", {"features": {"template_hosts": 0.3}}, POOL),
    ("with S/N too", {"features": {"lean": False, "colours": [], "ratios": False, "lines": False}}, POOL),
    ("with colours too", {"features": {"lean": False, "snr": False, "ratios": False, "lines": False}}, POOL),
    ("with band ratios too", {"features": {"lean": False, "snr": False, "colours": [], "lines": False}}, POOL),
    ("with line indices too", {"features": {"lean": False, "snr": False, "colours": [], "ratios": False}}, POOL),
    ("without fluxes", {"features": {"fluxes": False}}, POOL),
    ("without imaging features", {"features": {"imaging": False}}, POOL),
    ("no training row forgets imaging", {"sky": {"forget_imaging": 0.0}}, POOL),
    ("one noise realisation", {"sky": {"realisations": 1}}, POOL),
    ("five noise realisations", {"sky": {"realisations": 5}}, POOL),
    ("without paired repair", {"sky": {"paired_repair": False}}, POOL),
    ("without renoising", {"sky": {"renoise": False}}, POOL),
    ("without the target's gaps", {"sky": {"copy_missing": False}}, POOL),
]
CALIBRATION = {"method": "vector", "shrinkage": [0.01]}


def scored_steps(dataset: Dataset, base: FitOptions, seeds: int, threads: int) -> dict[str, list[Scored]]:
    """Score every step with every seed; rows and trees are shared by steps that agree on them."""
    regime = get_regime("ssda")
    found: dict[str, list[Scored]] = {}
    for seed in range(seeds):
        run = Run.start(seed, threads)
        rows: dict[str, Any] = {}
        kept: dict[str, dict[Any, Any]] = {}
        for name, changes, way in STEPS:
            options = with_values(base, flat({"calibration": CALIBRATION} | changes), name)
            key = options.features.model_dump_json() + options.sky.model_dump_json()
            if key not in rows:
                rows = {key: rows[key] for key in list(rows)[:1]}  # those of the first step, and this one's
                kept = {key: kept[key] for key in list(kept)[:1]}
                rows[key] = make_rows(dataset, regime, options, run)
            folds = Folds((Stages(rows[key], options, run, kept.setdefault(key, {})),))
            one = score_entrant(Entrant(way, folds), lambda stages, way=way: ensemble(way, stages))
            found.setdefault(name, []).append(one)
            print(f"seed {seed}  {name:<48} log loss {one.log_loss:.4f}  macro-F1 {one.macro_f1:.4f}", flush=True)
    return found


def table(
    found: dict[str, list[Scored]], y: np.ndarray, groups: np.ndarray, counted: np.ndarray, classes: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return a row per step: means over seeds, and paired differences from the first step."""
    first = [one.p[counted] for one in next(iter(found.values()))]
    rows = []
    for name, ones in found.items():
        told = paired(y, [one.p[counted] for one in ones], first, groups, classes=classes)
        rows.append(
            {
                "step": name,
                "log_loss": float(np.mean([one.log_loss for one in ones])),
                "macro_f1": float(np.mean([one.macro_f1 for one in ones])),
                "macro_f1_seed_std": float(np.std([one.macro_f1 for one in ones])),
                "differences": {figure: to_plain(told[figure]) for figure in ("log_loss", "macro.f1")},
            }
        )
    return rows


def _difference(told: dict[str, Any]) -> str:
    low, high = told["interval"]
    return f"{told['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"


def markdown(rows: list[dict[str, Any]], counts: dict[str, int], seeds: int) -> str:
    """Return the table as Markdown, with what it is."""
    lines = [
        "# Ablation of `ssda`",
        "",
        f"Target validation of a simulated survey, {sum(counts.values()):,} rows of magnitude 22.5 and brighter "
        f"({', '.join(f'{n:,} {name}' for name, n in counts.items())}), calibrated by cross-fitting over objects; mean "
        f"over {seeds} seeds. Each row changes one thing. Differences are from the first row, paired over objects, "
        "with 95 % bootstrap intervals: a log loss above zero, or a macro-F1 below, means that the change costs. "
        "The test split was not read.",
        "",
        "| step | log loss | macro-F1 | difference in log loss | difference in macro-F1 |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        told = row["differences"]
        lines.append(
            f"| {row['step']} | {row['log_loss']:.4f} | {row['macro_f1']:.4f} | "
            f"{_difference(told['log_loss'])} | {_difference(told['macro.f1'])} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the ablation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--config", default="ssda")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    dataset = Dataset.load(given.data).for_training()
    base = load_options(FitOptions, given.config)
    found = scored_steps(dataset, base, given.seeds, given.threads)
    val = dataset.target_rows("val")
    counted = ~(np.asarray(val.mag) > base.cut)
    y, classes = np.asarray(val.label)[counted], tuple(dataset.scheme.classes)
    rows = table(found, y, np.asarray(val.object_id)[counted], counted, classes)
    made = provenance(seed=given.seeds, options=base.model_dump(mode="json"), data=dataset.provenance)
    write_json(Path(given.out) / "ablation.json", {"rows": rows, "provenance": made}, overwrite=True)
    counts = dict(zip(classes, np.bincount(y, minlength=len(classes)).tolist(), strict=True))
    text = markdown(rows, counts, given.seeds)
    with atomic_file(Path(given.out) / "README.md", overwrite=True) as temporary:
        temporary.write_text(text + "\nMade by `python benchmarks/ablation.py --data DATA --out OUT`.\n")
    print(text)


if __name__ == "__main__":
    main()
