"""How fast rows are explained, as a ratio to the bare library's own contributions of the same rows.

``python benchmarks/explain.py [--backend lightgbm] [--rows 300] [--rounds 300] [--repeat 5]``

One run times both in turn, the faster of a few repeats each, by processor time on one thread: the ratio holds on
a busy machine too. The bare call asks every set of trees of the
ensemble once for its contributions of a ready matrix. Ours reads a catalogue, makes features, asks for
contributions, checks that they add up, passes on what stacks read from the margins below them, shares
features among bands and keeps what an explanation needs. At least 0.9 is asked for.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable

import numpy as np

from jpas_gbm.boosting.booster import Member, stack_inputs
from jpas_gbm.boosting.calibration import Calibrator
from jpas_gbm.boosting.training import train
from jpas_gbm.config import override
from jpas_gbm.explanation.attributions import Pair, attribute
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.model import Model
from jpas_gbm.options import BoostingOptions, ExplainOptions, FeatureOptions, SimulateOptions
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.surveys.dataset import Dataset

ASKED = 0.9


def make_model(dataset: Dataset, backend: str, rounds: int, templates: bool) -> Model:
    """Return the mean of a continued and a stacked model: the ensemble that adaptation usually chooses."""
    growth = BoostingOptions(rounds=rounds, patience=0, backend=backend)
    later = override(growth, rounds=max(rounds // 3, 1))
    recipe = FeatureRecipe.build(dataset.target.bands, FeatureOptions(templates=templates))
    source, target = dataset.source_rows("train"), dataset.target_rows("train")
    recipe = recipe.learn(source, seed=0, threads=1)
    X, Xt = recipe.compute(source).X, recipe.compute(target).X
    base = train(backend, X, source.label, n_classes=4, options=growth, feature_names=recipe.names)
    continued = train(backend, Xt, target.label, init=base, options=later)
    names = (*recipe.names, *(f"mock_margin:{name}" for name in dataset.scheme.classes))
    stacked = train(backend, stack_inputs(Xt, base), target.label, n_classes=4, options=later, feature_names=names)
    return Model(
        scheme=dataset.scheme,
        bands=dataset.target.bands,
        photometry=dataset.target.photometry,
        recipe=recipe,
        members=(Member("plain", continued, None, "continue"), Member("stack", stacked, base, "stack")),
        calibrator=Calibrator.identity(4),
        thresholds=np.ones(4),
        survey=dataset.target.survey,
    )


def bare_call(fitted: Model, X: np.ndarray) -> Callable[[], None]:
    """Return a call of the library alone: every set of trees once, on matrices that are ready."""
    continued, stacked = fitted.members
    asked = [(stage.trees, X) for stage in continued.booster.stages]  # type: ignore[attr-defined]
    asked += [(stage.trees, stacked.inputs(X)) for stage in stacked.booster.stages]  # type: ignore[attr-defined]

    def lightgbm() -> None:
        for trees, inputs in asked:
            trees.predict(inputs, pred_contrib=True, num_threads=1)

    def xgboost() -> None:
        import xgboost as xgb

        for trees, inputs in asked:
            trees.set_param({"nthread": 1})
            trees.predict(xgb.DMatrix(inputs, nthread=1), pred_contribs=True, validate_features=False)

    return lightgbm if continued.booster.backend == "lightgbm" else xgboost


def fastest(calls: dict[str, Callable[[], object]], repeat: int) -> dict[str, dict[str, float]]:
    """Return the least wall and processor time of each call; they take turns, so that load is shared."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(repeat):
        for name, call in calls.items():
            wall, processor = time.perf_counter(), time.process_time()
            call()
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {
        name: {"wall": min(one[0] for one in spent), "processor": min(one[1] for one in spent)}
        for name, spent in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="lightgbm", choices=["lightgbm", "xgboost"])
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=300, help="on mocks; a third of it on target")
    parser.add_argument("--plain", action="store_true", help="without template features")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    options = SimulateOptions(n_source=4000, n_labelled=max(2000, 3 * arguments.rows), n_unlabelled=0)
    dataset = simulate(0, config=options)
    fitted = make_model(dataset, arguments.backend, arguments.rounds, not arguments.plain)
    rows = dataset.target_rows("test").take(slice(0, arguments.rows))
    pair, X = Pair.of(fitted.scheme), fitted.features(rows).X
    spent = fastest(
        {
            "bare": bare_call(fitted, X),
            "ours": lambda: attribute(fitted, rows, pair, ExplainOptions()),
        },
        arguments.repeat,
    )
    ratio = {clock: spent["bare"][clock] / spent["ours"][clock] for clock in ("wall", "processor")}
    told = {
        "backend": arguments.backend,
        "rows": len(rows),
        "features": len(fitted.recipe.names),
        "trees": [member.booster.stage_rounds for member in fitted.members],
        "bare_rows_per_second": len(rows) / spent["bare"]["processor"],
        "our_rows_per_second": len(rows) / spent["ours"]["processor"],
        "ratio": ratio["processor"],
        "ratio_of_wall_time": ratio["wall"],
        "asked": ASKED,
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
