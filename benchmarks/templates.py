"""How fast template features are made, held against the same fits in plain NumPy on the same rows.

    python benchmarks/templates.py [--rows N] [--json FILE]

Templates are learnt from the built-in simulated survey. Everything runs in one process on one thread, turn by
turn, and the least CPU time of several turns counts: the ratio holds on a busy machine too. The aim is 50,000
rows a second and core for some 90 templates of rank 4 in 55 bands, where plain NumPy makes 11,000; the default
set (more templates, each with the variations that observing adds, and a second look without wild bands) is
timed beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jpas_gbm.config import override
from jpas_gbm.features.fitting import TemplateFitter
from jpas_gbm.features.templates import TemplateSet
from jpas_gbm.options import SimulateOptions, TemplateOptions
from jpas_gbm.simulation.survey import simulate_survey
from jpas_gbm.store import write_json
from jpas_gbm.surveys.catalogue import Catalogue

AIM = 50_000.0
TURNS = 5


def least_time(work: Callable[[], object]) -> float:
    """Return the least CPU seconds of this thread that `work` took."""
    times = []
    for _ in range(TURNS):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times)


def numpy_fits(fitter: TemplateFitter, rows: Catalogue) -> np.ndarray:
    """Return −2 ln likelihood (n, T) as one would write it with NumPy: a product of matrices, then Cholesky."""
    x, weight = rows.flux.astype(np.float64), 1.0 / (rows.flux_err**2 + (0.03 * rows.flux) ** 2).astype(np.float64)
    level = (weight * x).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    x, weight = np.nan_to_num(x / level), np.nan_to_num(weight * level**2)
    basis = fitter.bank.basis
    templates, bands, rank = basis.shape
    products = np.einsum("tbi,tbj->btij", basis, basis).reshape(bands, -1)
    normal = (weight @ products).reshape(len(x), templates, rank, rank)
    normal[:, :, np.arange(rank), np.arange(rank)] += fitter.precision
    right = ((weight * x) @ basis.transpose(1, 0, 2).reshape(bands, -1)).reshape(len(x), templates, rank)
    right += fitter.pull
    half = np.linalg.cholesky(normal)
    solved = np.linalg.solve(half, right[..., None])[..., 0]
    height = 2.0 * np.log(np.diagonal(half, axis1=2, axis2=3)).sum(axis=2)
    return (weight * x**2).sum(axis=1)[:, None] - (solved**2).sum(axis=2) + height


def smallest_step(templates: int, source: Catalogue, options: TemplateOptions) -> TemplateSet:
    """Return the set of rank 4 whose redshift step gives about so many templates."""
    tried = []
    for step in (0.12, 0.08, 0.06, 0.05, 0.04, 0.03, 0.025, 0.02):
        made = TemplateSet.learn(
            source, ranks=(4,), options=override(options, z_step=step, fine_step=step, bin_rows=20)
        )
        tried.append((abs(len(made.template_names) - templates), step, made))
    return min(tried, key=lambda entry: entry[:2])[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8192, help="rows that are fitted")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    survey = simulate_survey(SimulateOptions(), seed=1)
    source, target = survey.source, survey.target.replace(label=survey.truth.label, z=survey.truth.z)
    rows = target.take(np.random.default_rng(0).permutation(len(target))[: arguments.rows])
    plain_options = TemplateOptions(wild=0.0)
    plain = smallest_step(90, source, plain_options)
    fitter = TemplateFitter(plain.bank, plain.ranks, plain_options)
    whole = TemplateSet.learn(source, ranks=(4,), target_train=target)
    for made in (plain, whole):
        made.features(rows.take(slice(0, 200)))
    few = rows.take(slice(0, 2048))
    figures: dict[str, float] = {
        "numpy_rows_per_second": len(few) / least_time(lambda: numpy_fits(fitter, few)),
        "fits_rows_per_second": len(rows) / least_time(lambda: fitter.fit(rows.flux, rows.flux_err)),
        "features_rows_per_second": len(rows) / least_time(lambda: plain.features(rows)),
        "default_features_rows_per_second": len(rows) / least_time(lambda: whole.features(rows)),
        "shares_rows_per_second": 512 / least_time(lambda: whole.band_shares(rows.take(slice(0, 512)))),
    }
    bands = len(rows.bands)
    print(f"{len(plain.template_names)} templates of rank 4 in {bands} bands, one thread:")
    print(f"  plain NumPy, fits only        {figures['numpy_rows_per_second']:9.0f} rows/s")
    print(f"  fits                          {figures['fits_rows_per_second']:9.0f} rows/s")
    print(f"  features                      {figures['features_rows_per_second']:9.0f} rows/s (aim {AIM:.0f})")
    print(
        f"  times plain NumPy             {figures['features_rows_per_second'] / figures['numpy_rows_per_second']:9.1f}"
    )
    depth = whole.bank.basis.shape[2]
    print(f"default set ({len(whole.template_names)} templates, up to {depth} vectors, wild bands left out):")
    print(f"  features                      {figures['default_features_rows_per_second']:9.0f} rows/s")
    print(f"  band shares                   {figures['shares_rows_per_second']:9.0f} rows/s")
    if arguments.json:
        write_json(arguments.json, figures | {"templates": len(plain.template_names), "bands": bands}, overwrite=True)


if __name__ == "__main__":
    main()
