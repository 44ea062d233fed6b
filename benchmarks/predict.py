"""predict over a million simulated rows: memory, and the share of the time that is the library's own.

    python benchmarks/predict.py [--rows 1000000]

The bare library call is the same boosters' prediction on the same features, in the same run.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from astropy.table import Table

from jpas_gbm.adaptation.fit import fit
from jpas_gbm.config import parse_options
from jpas_gbm.inference.stream import predict
from jpas_gbm.options import FitOptions
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.simulation.write import write_survey
from jpas_gbm.surveys.reader import CatalogueReader


def many_rows(folder: Path, survey_file: Path, rows: int) -> Path:
    """Repeat a catalogue's rows, with keys of their own, until there are enough."""
    table = Table.read(survey_file)
    times = -(-rows // len(table))
    index = np.tile(np.arange(len(table)), times)[:rows]
    big = table[index]
    big["TILE_ID"] = np.asarray(table["TILE_ID"])[index]
    big["NUMBER"] = np.arange(rows, dtype=np.int32)
    path = folder / "many.fits"
    big.write(path)
    return path


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    dataset = simulate(1, rows=6000, labelled=4000, unlabelled=1000)
    options = parse_options(FitOptions, {"recipe": "pool", "domain": {"gammas": [0.0]}}, "benchmark")
    model = fit(dataset, config=options, seed=1, threads=given.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_survey(dataset.survey, folder / "survey")
        path = many_rows(folder, folder / "survey" / "jpas_idr.fits", given.rows)
        print(f"{given.rows:,} rows, {path.stat().st_size / 2**30:.2f} GiB of FITS")
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        start = time.perf_counter()
        told = predict(model, path, folder / "out.fits", chunk_rows=50_000, threads=given.threads)
        whole = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        chunk = next(CatalogueReader(path, bands=model.bands.name).chunks(50_000))
        start = time.perf_counter()
        X = model.features(chunk, given.threads).X
        features = (time.perf_counter() - start) * given.rows / len(chunk)
        start = time.perf_counter()
        model.member_margins(X, given.threads)
        bare = (time.perf_counter() - start) * given.rows / len(chunk)
    print(f"whole {whole:.0f} s for {told.rows:,} rows; features {features:.0f} s, bare prediction {bare:.0f} s")
    print(f"ratio whole / (features + bare prediction): {whole / (features + bare):.2f}")
    print(f"peak memory {peak:.2f} GiB (before predicting, fit and simulation included: {base:.2f} GiB)")


if __name__ == "__main__":
    main()
