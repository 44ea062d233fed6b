"""How fast features are made, held against the prediction of a 4-class model of 500 rounds on the same rows.

    python benchmarks/features.py [--rows N] [--rounds N] [--json FILE]
    python benchmarks/features.py --against REVISION [--rows N] [--turns N] [--out reports/performance]

Rows are those of the built-in simulated survey. Everything runs in one process on one thread, turn by turn,
and the least CPU time of several turns counts: the ratio holds on a busy machine too.

With `--against`, the whole recipe as it is here is held against the code of a revision of this repository: both make
the features of the same rows by the same templates, each in a process of its own, turn by turn (P4).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np

from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.options import FeatureOptions, SimulateOptions
from jpas_gbm.simulation.survey import simulate_survey
from jpas_gbm.store import write_json
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.catalogue import Catalogue

AIM = 20.0
BAR = 0.56
HERE = Path(__file__).resolve().parents[1]


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


def serve(folder: Path) -> None:
    """Make features whenever a line comes in, and answer with the CPU time in µs a row; first with their checksum."""
    recipe, rows = FeatureRecipe.from_files(folder / "recipe"), Catalogue.read(folder / "rows.parquet")
    print(hashlib.sha256(recipe.compute(rows).X.tobytes()).hexdigest(), flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        recipe.compute(rows)
        print(1e6 * (time.process_time() - start) / len(rows), flush=True)


def against(revision: str, rows: int, turns: int) -> dict:
    """Return what a row costs here and by the code of a revision, turn by turn, and whether the features are equal."""
    survey = simulate_survey(SimulateOptions(n_source=rows, n_labelled=4_000, n_unlabelled=0), seed=0)
    source, sky = (part.select_bands(band_system("jpas55")) for part in (survey.source, survey.target))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        # With what the sky adds to the templates, as in models of regimes that see it: 8 vectors each, else 4.
        FeatureRecipe.build(source.bands, FeatureOptions()).learn(source, sky).to_files(folder / "recipe")
        source.write(folder / "rows.parquet")
        packed = subprocess.run(["git", "archive", revision], cwd=HERE, check=True, stdout=subprocess.PIPE).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder / "before", filter="data")
        children = []
        for tree in (folder / "before", HERE):
            known = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
            words = [sys.executable, __file__, "--serve", place]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            children.append(subprocess.Popen(words, env=known, **pipes))
        marks = [child.stdout.readline() for child in children]
        costs = np.empty((turns, 2))
        for turn in range(turns):
            for place_of, child in enumerate(children):
                child.stdin.write("\n")
                child.stdin.flush()
                costs[turn, place_of] = float(child.stdout.readline())
        for child in children:
            child.stdin.close()
            child.wait()
    ratios = costs[:, 1] / costs[:, 0]
    least, middle, most = np.quantile(ratios, [0, 0.5, 1])
    found = {"what": "P4, features with templates, CPU a row over the code before", "bar": BAR, "ratio": middle}
    found |= {"lowest": least, "highest": most, "equal": marks[0] == marks[1]}
    told = {"rows": rows, "turns": turns, "revision": revision, "load": os.getloadavg()[0], "found": [found]}
    return told | {"before": float(np.median(costs[:, 0])), "here": float(np.median(costs[:, 1]))}


def tell(told: dict, out: Path | None) -> None:
    """Print a comparison of two states of the code; write features.md and features.json where a folder is given."""
    one = told["found"][0]
    words = [
        f"{told['before']:.1f} µs of CPU a row by the code of {told['revision']}, {told['here']:.1f} here; the median "
        f"of the ratios of {told['turns']} pairs is {one['ratio']:.2f} ({one['lowest']:.2f} to {one['highest']:.2f}; "
        f"bar {one['bar']}).",
        f"Features of {told['rows']:,} rows are {'the same bits' if one['equal'] else 'NOT the same bits'}. Load of "
        f"the machine {told['load']:.1f}.",
    ]
    print("\n".join(words))
    if out is not None:
        command = f"python benchmarks/features.py --against {told['revision']} --rows {told['rows']}"
        out.mkdir(parents=True, exist_ok=True)
        lines = ["# Features with templates", "", f"`{command}`: one thread, a process each, turn by turn.", "", *words]
        (out / "features.md").write_text("\n".join([*lines, ""]), encoding="utf-8")
        write_json(out / "features.json", told, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=12_000, help="rows of the simulated survey")
    parser.add_argument("--rounds", type=int, default=500, help="boosting rounds of the model")
    parser.add_argument("--turns", type=int, default=5, help="turns that each job takes")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--against", metavar="REVISION", help="of this repository, whose features are timed beside")
    parser.add_argument("--out", type=Path, help="folder for features.md and features.json, with --against")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    if arguments.against:
        tell(against(arguments.against, arguments.rows, arguments.turns), arguments.out)
        return

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
