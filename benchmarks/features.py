"""How fast features are made, held against the prediction of a 4-class model of 500 rounds on the same rows.

    python benchmarks/features.py [--rows N] [--rounds N] [--json FILE]

Rows are those of the built-in simulated survey. Everything runs in one process on one thread, turn by turn,
and the least CPU time of several turns counts: the ratio holds on a busy machine too.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.options import FeatureOptions, SimulateOptions
from jpas_gbm.simulation.survey import simulate_survey
from jpas_gbm.store import write_json
from jpas_gbm.surveys.bands import band_system

AIM = 20.0


def best_of(turns, **jobs):
    """Return the shortest CPU time of each job in seconds; jobs take turns."""
    times = {name: [] for name in jobs}
    for _ in range(turns):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            times[name].append(time.process_time() - start)
    return {name: min(values) for name, values in times.items()}


def trained(X, y, rounds):
    """Return a 4-class LightGBM model with the package's default size of trees."""
    import lightgbm

    settings = {
        "objective": "multiclass",
        "num_class": 4,
        "learning_rate": 0.08,
        "num_leaves": 31,
        "feature_fraction": 0.5,
        "max_bin": 127,
        "num_threads": 1,
        "verbose": -1,
        "seed": 0,
    }
    return lightgbm.train(settings, lightgbm.Dataset(X, y), rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=12_000, help="rows of the simulated survey")
    parser.add_argument("--rounds", type=int, default=500, help="boosting rounds of the model")
    parser.add_argument("--turns", type=int, default=5, help="turns that each job takes")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()

    survey = simulate_survey(SimulateOptions(n_source=arguments.rows, n_labelled=500, n_unlabelled=0), seed=0)
    rows = survey.source.select_bands(band_system("jpas55"))
    plain = FeatureRecipe.build(rows.bands, FeatureOptions(templates=False))
    default = FeatureRecipe.build(rows.bands, FeatureOptions())
    start = time.process_time()
    plain.compute(rows.take(slice(0, 10)))
    first = time.process_time() - start
    start = time.process_time()
    learnt = default.learn(rows)
    learning = time.process_time() - start
    learnt.compute(rows.take(slice(0, 10)))
    X = plain.compute(rows).X
    model = trained(X, np.asarray(rows.label), arguments.rounds)

    times = best_of(
        arguments.turns,
        features=lambda: plain.compute(rows),
        prediction=lambda: model.predict(X, num_threads=1),
        with_templates=lambda: learnt.compute(rows),
    )
    n = len(rows)
    figures = {
        "rows": n,
        "features": len(plain.names),
        "features_with_templates": len(learnt.names),
        "rows_per_second": {name: n / seconds for name, seconds in times.items()},
        "ratio": times["prediction"] / times["features"],
        "ratio_with_templates": times["prediction"] / times["with_templates"],
        "aim": AIM,
        "first_call_s": first,
        "template_learning_s": learning,
    }
    for name, seconds in times.items():
        print(f"{name:15s} {n / seconds:12,.0f} rows/s  {1e6 * seconds / n:8.2f} µs/row")
    print(f"{len(plain.names)} features without templates: {figures['ratio']:.1f} times the prediction (aim {AIM:.0f})")
    print(f"{len(learnt.names)} features, default, with templates: {figures['ratio_with_templates']:.2f} times")
    print(f"first call {1e3 * first:.0f} ms; templates learnt in {learning:.1f} s")
    if arguments.json:
        write_json(arguments.json, figures, overwrite=True)


if __name__ == "__main__":
    main()
