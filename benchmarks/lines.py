"""What decides on real quasars: the share of attributions that falls on their lines, by redshift.

    python benchmarks/lines.py DATA --out reports/lines [--rows 12000] [--seed 0]

A model of regime mocks-only learns from the built-in survey alone; the real quasars of DATA (as for
benchmarks/spectra.py) are seen through the J-PAS curves as they are, magnitudes and morphology unknown. Each row's
attributions of ln P(QSO_high)/P(QSO_low), and of ln P(QSO_low or QSO_high)/P(STAR), are shares of bands; those within
0.02 in ln wavelength of Lya, Si IV, C IV, C III], Mg II, Hbeta, [O III] and Halpha at the row's redshift are on its
lines. Chance is the share on the lines of the other quasars' redshifts. Intervals: 95 %, over objects.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
from spectra import catalogue, jpas_curves, real_spectra, see

import jpas_gbm as jg
from jpas_gbm.explanation.attributions import Pair, attribute
from jpas_gbm.explanation.blocks import LINES, NEAR
from jpas_gbm.options import SimulateOptions
from jpas_gbm.simulation.spectra_files import read_spectra
from jpas_gbm.simulation.throughput import load_instrument

BINS = (0.0, 1.5, 2.1, 2.6, 5.0)
RESAMPLES = 2000


def on_lines(pivots: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return which bands are on a line at each redshift, bool (n, b)."""
    seen = np.log([line.wavelength for line in LINES if line.kind == "line"])[None, :] + np.log1p(z)[:, None]
    return (np.abs(np.log(pivots)[None, None, :] - seen[:, :, None]) < NEAR).any(axis=1)


def told(share: np.ndarray, chance: np.ndarray, rows: np.ndarray) -> dict:
    """Return means of some rows and the difference with its interval."""
    rng, own = np.random.default_rng(3), np.flatnonzero(rows)
    gain = share - chance
    means = [gain[rng.choice(own, len(own))].mean() for _ in range(RESAMPLES)]
    return {
        "n": len(own), "on lines": float(share[own].mean()), "with other redshifts": float(chance[own].mean()),
        "difference": [float(gain[own].mean()), *np.percentile(means, [2.5, 97.5]).tolist()],
    }  # fmt: skip


def main() -> None:
    """Fit, attribute and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    curves = jpas_curves(given.data, load_instrument("jpas55").system.names)
    real = see(list(read_spectra(real_spectra(given.data))), curves)
    quasar = real.label <= 1
    options = SimulateOptions(n_source=given.rows, n_labelled=200, n_unlabelled=200, class_mix_source=(1.0,) * 4,
                              quasar_factor_source=1.0, magnitudes=(17.0, 22.7))  # fmt: skip
    model = jg.fit(jg.simulate(given.seed, config=options), regime="mocks-only", seed=given.seed, threads=1)
    flux, error, z = real.flux[quasar], real.error[quasar], real.z[quasar]
    rows = catalogue(flux, error, "jpas55").replace(photometry=model.photometry)
    label = model.probabilities(rows).argmax(axis=1)
    pivots = model.recipe.bands.pivots
    lines = on_lines(pivots, z)
    results: dict = {"rows": given.rows, "seed": given.seed, "n": int(quasar.sum()),
                     "accuracy": float((label == real.label[quasar]).mean()),
                     "quasars found": float((label <= 1).mean())}  # fmt: skip
    for first, second in (("QSO_high", "QSO_low"), ("QSO_high", "STAR"), ("QSO_low", "STAR"), ("QSO_low", "GALAXY")):
        found = attribute(model, rows, Pair.of(model.scheme, (first, second)))
        size = np.abs(found.pair_bands)
        size /= np.maximum(size.sum(axis=1, keepdims=True), 1e-300)
        share = (size * lines).sum(axis=1)
        # Of every row's bands, the share on the lines of each other redshift.
        every = size @ lines.T.astype(float)
        chance = (every.sum(axis=1) - share) / (len(z) - 1)
        parts = {f"{low} < z < {high}": (z >= low) & (z < high) for low, high in pairwise(BINS)}
        if second != "QSO_low":
            of_class = (z >= 2.1) == (first == "QSO_high")
            parts = {name: part & of_class for name, part in parts.items()}
            parts["all"] = of_class
        else:
            parts["all"] = np.ones(len(z), dtype=bool)
        results[f"{first} over {second}"] = {
            name: told(share, chance, part) for name, part in parts.items() if part.sum() >= 5
        }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for pair, of in results.items():
        for name, f in of.items() if isinstance(of, dict) else ():
            gain = ", ".join(f"{x:+.3f}" for x in f["difference"])
            print(f"| {pair} | {name} | {f['n']} | {f['on lines']:.3f} | {f['with other redshifts']:.3f} | {gain} |")
    print(results["accuracy"], results["quasars found"])


if __name__ == "__main__":
    main()
