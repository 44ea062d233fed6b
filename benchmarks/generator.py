"""How far real spectra are from the built-in ones: their misfit under bases that the generator teaches.

    python benchmarks/generator.py DATA --out reports/generator [--rows 12000]

DATA as for benchmarks/spectra.py. Bases (rank 6) are learnt from simulated mocks, once of the usual population and once
with the rare kinds of SimulateOptions. The real spectra (ZWARNING 0) and the PyHammer templates are seen through the
J-PAS curves with errors of 3 % beside their own; the misfit is χ² per band of the best template of their own class, and
of any class. Told are medians by class and redshift, or spectral type, and the share whose best template is of another
class.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from spectra import catalogue, jpas_curves, real_spectra, see

from jpas_gbm.features.templates import TemplateSet
from jpas_gbm.options import SimulateOptions
from jpas_gbm.simulation.spectra_files import read_spectra, rebinned
from jpas_gbm.simulation.spectra_tables import Templates
from jpas_gbm.simulation.survey import simulate_survey
from jpas_gbm.simulation.throughput import (
    WAVELENGTH,
    band_operator,
    load_instrument,
)

RARE = {
    "M dwarf": 0.15, "carbon star": 0.03, "accreting star": 0.03, "L dwarf": 0.02,
    "emission-line dwarf": 0.06, "red quasar": 0.04,
}  # fmt: skip
ERROR = 0.03
NAMES = ("QSO_high", "QSO_low", "GALAXY", "STAR")


def learnt(rows: int, kinds: dict[str, float], seed: int) -> TemplateSet:
    """Return the bases of simulated mocks, the classes alike."""
    options = SimulateOptions(
        bands="jpas55", n_source=rows, n_labelled=0, n_unlabelled=20, twins=False, class_mix_source=(1.0,) * 4,
        quasar_factor_source=1.0, magnitudes=(17.0, 22.5), kinds=kinds,
    )  # fmt: skip
    return TemplateSet.learn(simulate_survey(options, seed).source, ranks=(6,), seed=seed)


def misfits(bases: TemplateSet, flux: np.ndarray, error: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return χ² per band of the best template of the row's class, and of any; shape (n, 2)."""
    fits = bases.fit(catalogue(flux, error, "jpas55"))
    chi2 = fits.chi2[:, -1] / np.maximum(fits.observed, 1)[:, None]
    own = np.where(bases.bank.group == label[:, None], chi2, np.inf).min(axis=1)
    return np.stack([own, chi2.min(axis=1)], axis=1)


def main() -> None:
    """Learn, fit and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    curves = jpas_curves(given.data, load_instrument("jpas55").system.names)
    real = see(list(read_spectra(real_spectra(given.data))), curves)
    part = np.digitize(real.z, [0.8, 1.5, 2.1, 2.6, 3.2, 4.0])
    edges = ("z < 0.8", "0.8-1.5", "1.5-2.1", "2.1-2.6", "2.6-3.2", "3.2-4", "z > 4")
    kind = [
        f"{NAMES[c]}{' ' + edges[k] if c < 2 else ''}" for c, k in zip(real.label.tolist(), part.tolist(), strict=True)
    ]
    flux, label = [*real.flux], [*real.label.tolist()]
    operator = band_operator(curves, WAVELENGTH)[0].T
    for item in read_spectra([f"STAR={given.data / 'spectra' / 'pyhammer'}"]):
        assert isinstance(item, Templates)
        vectors = rebinned(item.wavelength, item.vectors)
        names = np.asarray(item.subtype).tolist()
        for vector, name in zip(vectors, names, strict=True):
            seen = np.nan_to_num(vector).astype(np.float64) @ operator
            covered = np.isfinite(vector).astype(np.float64) @ np.abs(operator) > 0.97 * np.abs(operator).sum(axis=0)
            flux.append(np.where(covered, seen, np.nan))
            label.append(3)
            kind.append(f"template {str(name).split('/')[-1]}")
    values = np.array(flux)
    values /= np.nanmedian(np.abs(values), axis=1, keepdims=True)
    own = np.concatenate([real.error / np.nanmedian(np.abs(real.flux), axis=1, keepdims=True),
                          np.zeros((len(values) - len(real.flux), values.shape[1]))])  # fmt: skip
    error = np.hypot(own, ERROR * np.abs(values) + 0.003)
    labels = np.array(label)
    found = {
        name: misfits(learnt(given.rows, kinds, given.seed), values, error, labels)
        for name, kinds in (("usual", {}), ("with rare kinds", RARE))
    }
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(kind):
        groups.setdefault(grouped(name), []).append(row)
    told = {}
    for name, rows in sorted(groups.items()):
        told[name] = {"n": len(rows)} | {
            which: {
                "own class": float(np.median(of[rows, 0])), "any class": float(np.median(of[rows, 1])),
                "another class fits better": float((of[rows, 1] < of[rows, 0] * 0.999).mean()),
            }
            for which, of in found.items()
        }  # fmt: skip
        before, after = told[name]["usual"], told[name]["with rare kinds"]
        print(f"| {name} | {len(rows)} | {before['own class']:.2f} | {after['own class']:.2f} | "
              f"{before['another class fits better']:.2f} | {after['another class fits better']:.2f} |")  # fmt: skip
    given.out.mkdir(parents=True, exist_ok=True)
    results = {"rows": given.rows, "seed": given.seed, "kinds": RARE, "misfit per band": told}
    (given.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def grouped(name: str) -> str:
    """Return the group of a spectrum: PyHammer's templates by spectral type, A to G stars by metals too."""
    if not name.startswith("template"):
        return name
    word = name.removeprefix("template ")
    poor = word[0] in "AFG" and word.split("_")[1:2] in (["-1.5"], ["-2.0"])
    return f"template {word[0]}{', [Fe/H] < -1' if poor else ''}"


if __name__ == "__main__":
    main()
