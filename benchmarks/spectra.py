"""Real spectra that no model was trained on: classification by mocks made of spectra, against a χ² fit of templates.

    python benchmarks/spectra.py DATA --out reports/spectra [--rows 60000] [--sets 2] [--folds 0,1,2,3,4]

DATA holds ``spectra/{redrock,pyhammer,boss,sdss,desi}`` and ``jpas/curves``. The real spectra (ZWARNING 0) are seen
through the curves as they are, and with J-PAS noise (five draws). They are dealt to five folds by where they are from:
plate 3655; plate 7102; DESI quasars; the other plates in two groups. For each fold, mocks are made of the templates and
of the real spectra of the *other* folds (quasar vectors are fitted to those alone), a model learns from the mocks, and
its temperature is that of the other folds. The prior is uniform over the four classes. The χ² fit has the redrock
vectors over a grid of redshifts and the PyHammer templates, a floor of 3 %, and a temperature learnt in the same way.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from jpas_gbm.boosting.classifier import JpasClassifier
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.options import FeatureOptions, SimulateOptions
from jpas_gbm.simulation.observe import draw_shift, draw_tiles, mock_means, noise_of
from jpas_gbm.simulation.parents import ParentLight, learn_parents
from jpas_gbm.simulation.sources import MocksOptions
from jpas_gbm.simulation.spectra import transmission
from jpas_gbm.simulation.spectra_files import SpectraBlock, Templates, read_spectra
from jpas_gbm.simulation.survey import simulate_survey
from jpas_gbm.simulation.throughput import (
    WAVELENGTH,
    Curve,
    Instrument,
    band_operator,
    find_curves,
    instrument_curves,
    load_instrument,
    read_curve,
    rebinned,
)
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.catalogue import Catalogue

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
DRAWS = 5
FLOOR = 0.03
DOUBTFUL = ("spec-7102-56666-0604.fits", "spec-9367-57758-0500.fits")


@dataclass
class Real:
    """The real spectra through the bands: fluxes and errors in nJy, and what they are."""

    flux: np.ndarray
    error: np.ndarray
    key: np.ndarray
    label: np.ndarray
    z: np.ndarray
    fold: np.ndarray
    group: np.ndarray


def fold_of(name: str) -> int:
    """Return the fold of a spectrum: by plate, DESI quasars on their own."""
    if name.startswith(("picca", "fastspecfit")):
        return 2
    plate = int(name.split("-")[1])
    return {3655: 0, 7102: 1}.get(plate, 3 + plate % 2)


def see(spectra: Sequence[SpectraBlock | Templates], curves: Sequence[Curve]) -> Real:
    """Return the observed spectra with a redshift to trust, through the curves; gaps within a band interpolated."""
    rows = []
    for block in spectra:
        if isinstance(block, Templates):
            continue
        weights, covered = band_operator(curves, block.wavelength)
        for i in range(len(block)):
            good = block.good[i]
            if block.warning[i] != 0 or good.sum() < 300:
                continue
            flux = np.interp(block.wavelength, block.wavelength[good], block.flux[i][good])
            variance = np.where(good, 1.0 / np.maximum(block.ivar[i], 1e-12), 0.0)
            size = np.abs(weights)
            gaps = (size @ ~good) / np.maximum(size.sum(axis=1), 1e-300)
            bad = (covered < 0.95) | (gaps > 0.3)
            light, error = weights @ flux * 1e15, np.sqrt(weights**2 @ variance) * 1e15  # 1e-17 erg/s/cm2 to nJy
            light[bad], error[bad] = np.nan, np.nan
            kind = {"GALAXY": 2, "STAR": 3}.get(str(block.spectype[i]), 0 if block.z[i] >= 2.1 else 1)
            name = block.name[i]
            rows.append((light, np.hypot(error, 0.01 * np.abs(light)), name, kind, block.z[i], block.object_id[i]))
    key = np.array([row[2] for row in rows])
    group = np.unique([str(row[5]) if row[5] > 0 else row[2] for row in rows], return_inverse=True)[1]
    return Real(
        np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), key,
        np.array([row[3] for row in rows]), np.array([row[4] for row in rows]),
        np.array([fold_of(name) for name in key]), group,
    )  # fmt: skip


def catalogue(flux: np.ndarray, error: np.ndarray, bands: str, label: np.ndarray | None = None, **more: np.ndarray):
    """Return fluxes and errors as rows that features are made of."""
    n = len(flux)
    return Catalogue(
        bands=band_system(bands), flux=flux.astype(np.float32), flux_err=error.astype(np.float32),
        key={"ROW": np.arange(n)}, object_id=np.arange(n), label=label, survey="spectra", photometry="FLUX", **more,
    )  # fmt: skip


def noisy(real: Real, camera: Instrument, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the real rows with the noise of the built-in depths on top."""
    rng = np.random.default_rng([seed, 77])
    sky = (10.0 ** (-0.4 * (camera.depths - 31.4)) / 5.0)[None]
    sigma = noise_of(np.nan_to_num(real.flux), sky, camera)
    flux = real.flux + sigma * rng.standard_normal(real.flux.shape)
    return flux, np.hypot(sigma, real.error)


def observe(flux: np.ndarray, label: np.ndarray, z: np.ndarray, camera: Instrument, rng: np.random.Generator):
    """Return mocks with one distribution of magnitudes for all classes, half as spectra are, half with J-PAS noise."""
    options = SimulateOptions(bands=camera.system.name, depth_offset=0.0)
    tiles = draw_tiles(rng, np.arange(40), camera, options, sky=False)
    shift = draw_shift(rng, tiles, camera, options)
    magnitude = rng.uniform(17.0, 22.7, len(flux))
    level = np.nanmedian(flux, axis=1)
    mean = flux * (10.0 ** (-0.4 * (magnitude - 31.4)) / np.where(level > 0, level, np.nan))[:, None]
    kept = np.isfinite(mean).sum(axis=1) > 20
    mean, label, z = mean[kept], label[kept], z[kept]
    n = len(mean)
    mean = mock_means(rng, mean.astype(np.float32), shift)
    sky = tiles.sky_noise[rng.integers(0, len(tiles), n)]
    # Spectra have noise of their own, a twentieth to a half of that of J-PAS.
    share = np.where(rng.random(n) < 0.5, 10.0 ** rng.uniform(-1.3, -0.3, n), 1.0)
    sigma = np.hypot(noise_of(np.nan_to_num(mean), sky, camera) * share[:, None], 0.01 * np.abs(mean))
    noise = mean + sigma * rng.standard_normal(mean.shape)
    return catalogue(noise, sigma, camera.system.name, label.astype(np.int8), flux_mean=mean, z=z)


def made_mocks(spectra, real_names: set[str], curves, camera, rows: int, seed: int) -> Catalogue:
    """Return mocks of the templates and of the real spectra named."""
    blocks = []
    for block in spectra:
        if isinstance(block, SpectraBlock):
            block = block.take(np.array([name in real_names for name in block.name]))
        if isinstance(block, Templates) or len(block):
            blocks.append(block)
    parents = learn_parents(blocks)
    light = ParentLight(parents, [*curves, *instrument_curves(camera.imaging)], MocksOptions(magnitudes=(17.0, 22.7)))
    rng = np.random.default_rng([seed, 5])
    parts = []
    for start in range(0, rows, 4096):
        labels = rng.integers(0, 4, min(4096, rows - start)).astype(np.int8)
        objects, _ = light.draw(rng, labels)
        parts.append((objects.flux, labels, objects.z))
    return observe(*(np.concatenate(part) for part in zip(*parts, strict=True)), camera, rng)


def builtin_mocks(camera: Instrument, rows: int, seed: int) -> Catalogue:
    """Return mocks of the built-in spectra, observed in the same way."""
    survey = simulate_survey(
        SimulateOptions(
            bands=camera.system.name, n_source=rows, n_labelled=0, n_unlabelled=50, twins=False,
            class_mix_source=(1.0, 1.0, 1.0, 1.0), quasar_factor_source=1.0, magnitudes=(17.0, 22.7),
        ),
        seed,
    )  # fmt: skip
    source = survey.source
    return observe(source.flux_mean, source.label, source.z, camera, np.random.default_rng([seed, 6]))


def learn(mocks: Catalogue, seed: int):
    """Return what gives probabilities of rows: features of the mocks' own templates, and trees."""
    options = FeatureOptions(imaging=False)
    recipe = FeatureRecipe.build(mocks.bands, options, has_imaging=False).learn(mocks, seed=seed)
    trees = JpasClassifier(
        learning_rate=0.05, leaves=31, min_child=30, rounds=350, feature_fraction=0.4, row_fraction=0.7, l2=3.0,
        random_state=seed,
    )  # fmt: skip
    trees.fit(recipe.compute(mocks).X, mocks.label)
    return lambda rows: trees.predict_proba(recipe.compute(rows).X)


class Chi2:
    """The textbook method: vectors fitted at every redshift, stars at none; the best χ² of each class."""

    def __init__(self, spectra, curves: Sequence[Curve], step: float = 0.0025) -> None:
        weights = band_operator(curves, WAVELENGTH)[0].T
        self.tables: list[tuple[int, np.ndarray]] = []
        for item in spectra:
            if not isinstance(item, Templates):
                continue
            vectors = np.nan_to_num(rebinned(item.wavelength, item.vectors).astype(np.float64))
            inside = np.flatnonzero(np.abs(vectors).sum(axis=0))
            first, last = WAVELENGTH[inside[0]], WAVELENGTH[inside[-1]]
            if item.spectype == "STAR":
                seen = vectors @ weights
                if len(vectors) > 10:
                    self.tables += [(3, row[None]) for row in seen]
                else:
                    self.tables.append((3, seen))
                continue
            top = 5.0 if item.spectype == "QSO" else 1.5
            grid = np.exp(np.arange(np.log(1.003), np.log1p(top), step)) - 1
            for z in grid:
                if first * (1 + z) > 3950 or last * (1 + z) < 9200:
                    continue
                moved = np.stack([np.interp(WAVELENGTH / (1 + z), WAVELENGTH, row) for row in vectors])
                if item.spectype == "QSO" and first < 1000:
                    moved = moved * transmission(WAVELENGTH, np.array([z]))
                kind = 2 if item.spectype == "GALAXY" else int(z < 2.1)
                self.tables.append((kind, moved @ weights))

    def misfits(self, flux: np.ndarray, error: np.ndarray) -> np.ndarray:
        """Return the least χ² of each class, shape (n, 4)."""
        out = np.full((len(flux), 4), np.inf)
        for row, (f, e) in enumerate(zip(flux, error, strict=True)):
            good = np.isfinite(f) & np.isfinite(e)
            data, sigma = f[good], np.hypot(e[good], FLOOR * np.abs(f[good]))
            wanted = data / sigma
            total = wanted @ wanted
            for kind, table in self.tables:
                matrix = table[:, good] / sigma
                if len(matrix) == 1:
                    scale = max(float(matrix[0] @ wanted), 0.0) ** 2 / max(float(matrix[0] @ matrix[0]), 1e-300)
                    chi2 = total - scale
                else:
                    normal = matrix @ matrix.T
                    right = matrix @ wanted
                    size = np.sqrt(np.diag(normal)) + 1e-300
                    solved = np.linalg.lstsq(normal / np.outer(size, size), right / size, rcond=1e-10)[0]
                    chi2 = total - float((right / size) @ solved)
                out[row, kind] = min(out[row, kind], chi2)
        return out


def softened(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities of logits over a temperature."""
    scaled = logits / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)


def temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """Return the temperature of the least log loss."""

    def loss(log_t: float) -> float:
        p = softened(logits, np.exp(log_t))[np.arange(len(label)), label]
        return float(-np.log(np.maximum(p, 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-1.5, 6.0), method="bounded").x))


def across_folds(logits: dict[int, np.ndarray], real: Real) -> np.ndarray:
    """Return probabilities (sets, n, 4): each fold by its own model, at the temperature of the other folds' rows.

    ``logits[fold]`` are those of the model of that fold for *all* rows, shape (sets, n, 4): rows of other folds are
    parents of its mocks, so a temperature is learnt on what their own models say of them.
    """
    own = np.stack([logits[fold][:, row] for row, fold in enumerate(real.fold.tolist())], axis=1)
    out = np.empty_like(own)
    for fold in logits:
        others = (real.fold != fold) & np.isin(real.fold, list(logits))
        t = temperature(own[:, others].reshape(-1, 4), np.tile(real.label[others], len(own)))
        here = real.fold == fold
        out[:, here] = softened(own[:, here].reshape(-1, 4), t).reshape(len(own), -1, 4)
    return out


def figures(p: np.ndarray, real: Real, rows: np.ndarray) -> dict:
    """Return accuracy, log loss and recalls of rows, means over the draws, with intervals over objects."""
    right = (p.argmax(axis=2) == real.label).mean(axis=0)
    loss = -np.log(np.maximum(p[:, np.arange(len(real.label)), real.label], 1e-12)).mean(axis=0)
    rng = np.random.default_rng(3)
    groups = np.unique(real.group[rows])
    members = {g: np.flatnonzero(rows & (real.group == g)) for g in groups}
    draws = [np.concatenate([members[g] for g in rng.choice(groups, len(groups))]) for _ in range(2000)]

    def told(values: np.ndarray, among: np.ndarray) -> list[float]:
        means = [values[d][among[d]].mean() for d in draws if among[d].any()]
        return [float(values[among & rows].mean()), *np.percentile(means, [2.5, 97.5]).tolist()]

    every = np.ones(len(rows), dtype=bool)
    recalls = {
        name: {"n": int((rows & (real.label == k)).sum()), "recall": told(right, real.label == k)}
        for k, name in enumerate(CLASSES)
        if (rows & (real.label == k)).any()
    }
    mean_recall = float(np.mean([entry["recall"][0] for entry in recalls.values()]))
    three = np.stack([p[..., :2].sum(axis=-1), p[..., 2], p[..., 3]], axis=-1)
    kind = np.maximum(real.label - 1, 0)
    return {
        "n": int(rows.sum()), "accuracy": told(right, every), "log_loss": told(loss, every), "mean_recall": mean_recall,
        "recalls": recalls, "accuracy_of_three": float((three.argmax(axis=2) == kind)[:, rows].mean()),
    }  # fmt: skip


def paired(p: np.ndarray, q: np.ndarray, real: Real, rows: np.ndarray) -> list[float]:
    """Return by how much p is more often right than q, with a paired interval over objects."""
    gain = (p.argmax(axis=2) == real.label).mean(axis=0) - (q.argmax(axis=2) == real.label).mean(axis=0)
    rng = np.random.default_rng(4)
    groups = np.unique(real.group[rows])
    members = {g: np.flatnonzero(rows & (real.group == g)) for g in groups}
    means = [gain[np.concatenate([members[g] for g in rng.choice(groups, len(groups))])].mean() for _ in range(2000)]
    return [float(gain[rows].mean()), *np.percentile(means, [2.5, 97.5]).tolist()]


def main() -> None:
    """Run the folds and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--sets", type=int, default=2, help="Mock sets, each with a model of its own, averaged.")
    parser.add_argument("--folds", default="0,1,2,3,4")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.time()
    camera = load_instrument("jpas55")
    found = find_curves(given.data / "jpas" / "curves", camera.system.names)
    curves = [read_curve(path, name) for name, path in found.items()]
    folder = given.data / "spectra"
    observed = [folder / "boss", folder / "sdss", f"QSO={folder / 'desi'}"]
    sources = [folder / "redrock", f"STAR={folder / 'pyhammer'}", *observed]
    spectra = list(read_spectra(sources))
    real = see(spectra, curves)
    states = [(real.flux, real.error), *(noisy(real, camera, given.seed + draw) for draw in range(DRAWS))]
    tables = [catalogue(flux, error, "jpas55") for flux, error in states]
    print(f"{len(real.key)} real spectra: {np.bincount(real.label)}; folds {np.bincount(real.fold)}", flush=True)

    chi2 = Chi2(spectra, curves)
    misfit = np.stack([-0.5 * chi2.misfits(*state) for state in states])
    misfit = np.maximum(misfit - misfit.max(axis=2, keepdims=True), -1e5)
    folds = [int(word) for word in given.folds.split(",")]
    logits: dict[str, dict[int, np.ndarray]] = {"spectra": {}, "built-in": {}, "chi2": dict.fromkeys(folds, misfit)}
    builtin = learn(builtin_mocks(camera, given.rows, given.seed), given.seed)
    plain = np.stack([np.log(np.maximum(builtin(table), 1e-9)) for table in tables])
    logits["built-in"] = dict.fromkeys(folds, plain)
    print(f"built-in done, {time.time() - began:.0f} s", flush=True)
    for fold in folds:
        names = set(real.key[real.fold != fold].tolist())
        models = [
            learn(made_mocks(spectra, names, curves, camera, given.rows, given.seed + 10 * s), given.seed + s)
            for s in range(given.sets)
        ]
        logits["spectra"][fold] = np.stack(
            [np.mean([np.log(np.maximum(model(table), 1e-9)) for model in models], axis=0) for table in tables]
        )
        here = real.fold == fold
        right = logits["spectra"][fold].argmax(axis=2)[:, here] == real.label[here]
        print(f"fold {fold}: n {here.sum()}, {right[0].mean():.3f} as is, {right[1:].mean():.3f} noisy, "
              f"{time.time() - began:.0f} s", flush=True)  # fmt: skip
    write_report(given, real, {name: across_folds(of, real) for name, of in logits.items()}, sources, began, folds)


def write_report(given, real: Real, p: dict[str, np.ndarray], sources: Sequence, began: float, folds) -> None:
    """Write figures, inputs and one row for each judged object."""
    given.out.mkdir(parents=True, exist_ok=True)
    judged = np.isin(real.fold, folds)
    sure = judged & ~np.isin(real.key, DOUBTFUL)
    command = f"python benchmarks/spectra.py DATA --out reports/spectra --rows {given.rows} --sets {given.sets}"
    told: dict = {"command": command, "seconds": time.time() - began}
    told["rows"], told["sets"], told["seed"] = given.rows, given.sets, given.seed
    for name, q in p.items():
        told[name] = {
            f"{state}{'' if rows is judged else ' without the two doubtful labels'}": figures(part, real, rows)
            for state, part in (("as they are", q[:1]), ("with J-PAS noise", q[1:]))
            for rows in (judged, sure)
        }
    told["gain over chi2"] = {
        "as they are": paired(p["spectra"][:1], p["chi2"][:1], real, judged),
        "with J-PAS noise": paired(p["spectra"][1:], p["chi2"][1:], real, judged),
    }
    told["gain over built-in"] = {"with J-PAS noise": paired(p["spectra"][1:], p["built-in"][1:], real, judged)}
    inputs = {}
    for source in sources:
        place = Path(str(source).partition("=")[2] or str(source))
        for path in sorted(place.iterdir()):
            if path.suffix in (".fits", ".npz"):
                inputs[f"{place.name}/{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    told["inputs"] = inputs
    (given.out / "results.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    table = pd.DataFrame({"key": real.key, "fold": real.fold, "class": np.array(CLASSES)[real.label], "z": real.z})
    for name, q in p.items():
        for state, part in (("as_is", q[0]), ("noisy", q[1:].mean(axis=0))):
            for k, cls in enumerate(CLASSES):
                table[f"{name}_{state}_{cls}"] = part[:, k]
    table[judged].to_csv(given.out / "objects.csv", index=False, float_format="%.4g")
    for name in p:
        for state, f in told[name].items():
            recalls = {k: (v["n"], round(v["recall"][0], 3)) for k, v in f["recalls"].items()}
            print(f"{name:9s} {state}: n {f['n']} accuracy {np.round(f['accuracy'], 3)} log loss "
                  f"{np.round(f['log_loss'], 3)} recall {f['mean_recall']:.3f} {recalls}")  # fmt: skip
    print("gain over chi2", told["gain over chi2"], "over built-in", told["gain over built-in"])


if __name__ == "__main__":
    main()
