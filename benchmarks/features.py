"""P4: how fast features are made, held against the code of an earlier revision of this repository.

    python benchmarks/features.py [--against d1c6878] [--rows 12000] [--turns 15] [--out reports/performance]

Both make the features of the same rows of the built-in simulated survey by the same templates (the whole recipe as it
is here), each in a process of its own on one thread, turn by turn; CPU time counts.
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

BAR = 0.56
HERE = Path(__file__).resolve().parents[1]


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
    found = {"what": "P4, features with templates, CPU a row over the code before", "bar": [None, BAR], "ratio": middle}
    found |= {"lowest": least, "highest": most, "equal": marks[0] == marks[1]}
    told = {"rows": rows, "turns": turns, "revision": revision, "load": os.getloadavg()[0], "found": [found]}
    return told | {"before": float(np.median(costs[:, 0])), "here": float(np.median(costs[:, 1]))}


def tell(told: dict, out: Path | None) -> None:
    """Print a comparison of two states of the code; write features.md and features.json where a folder is given."""
    one = told["found"][0]
    words = [
        f"{told['before']:.1f} µs of CPU a row by the code of {told['revision']}, {told['here']:.1f} here; the median "
        f"of the ratios of {told['turns']} pairs is {one['ratio']:.2f} ({one['lowest']:.2f} to {one['highest']:.2f}; "
        f"bar {BAR}).",
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
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", default="d1c6878", help="of this repository")
    parser.add_argument("--rows", type=int, default=12_000, help="rows of the simulated survey")
    parser.add_argument("--turns", type=int, default=15, help="turns that each takes")
    parser.add_argument("--out", type=Path, help="folder for features.md and features.json")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
    else:
        tell(against(given.against, given.rows, given.turns), given.out)


if __name__ == "__main__":
    main()
