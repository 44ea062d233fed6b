"""Real spectra that no model was trained on: classification by mocks made of spectra, against a χ² fit of templates.

    python benchmarks/spectra.py DATA --out reports/spectra [--rows 60000] [--sets 2] [--keep DIR]

DATA holds ``spectra/{redrock,pyhammer,boss,sdss,desi}`` and ``jpas/curves``. The real spectra (ZWARNING 0) are seen
through the curves as they are (pixels of night-sky lines interpolated, as ``mocks`` does), and with J-PAS noise (five
draws). What a spectrograph's flux calibration does to their colours is measured without labels, on the magnitudes of
imaging that SDSS files state beside those of their spectra, and mocks are warped as much. They are dealt to five
folds by where they are from:
plate 3655; plate 7102; DESI quasars; the other plates in two groups. For each fold, mocks are made of the templates and
of the real spectra of the *other* folds (quasar vectors are fitted to those alone), a model learns from the mocks, and
its temperature is that of the other folds. The prior is uniform over the four classes. The χ² fit has the redrock
vectors over a grid of redshifts and the PyHammer templates, a floor of 3 %, the mean intergalactic medium, and a
temperature learnt in the same way; the *plain* one has neither medium nor temperature: templates as they are, and
exp(-χ²/2) of the best of each class.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from judged import Figure, checksums, write_figures
from scipy.optimize import minimize, minimize_scalar

from jpas_gbm.boosting.classifier import JpasClassifier
from jpas_gbm.features.overlap import learn_overlap
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.options import FeatureOptions, ShiftOptions, SimulateOptions
from jpas_gbm.simulation.kinds import SPARSE
from jpas_gbm.simulation.observe import draw_shift, draw_tiles, mock_means, noise_of
from jpas_gbm.simulation.parents import ParentLight, learn_parents
from jpas_gbm.simulation.sources import MocksOptions
from jpas_gbm.simulation.spectra import transmission
from jpas_gbm.simulation.spectra_files import SKY_LINES, read_spectra, rebinned
from jpas_gbm.simulation.spectra_tables import SpectraBlock, Templates
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
)
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.catalogue import Catalogue

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
DRAWS = 5
METRICS = ("log_loss", "accuracy", "mean_recall")
FLOOR = 0.03
WARP = 0.07
"""Smooth errors of the calibration of mocks, mag in each of 3 modes: g - i scatters by 0.09, as that of spectra."""
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
        sky = np.any([(block.wavelength > a) & (block.wavelength < b) for a, b in SKY_LINES], axis=0)
        for i in range(len(block)):
            good = block.good[i] & ~sky
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


def calibration(data: Path) -> dict[str, list[float]]:
    """Return by how much colours of SDSS and BOSS spectra scatter about those of imaging, and by how much errors say.

    Spectra whose imaging is brighter than r = 20.5. Robust σ of the difference, and the median error, in magnitudes.
    """
    off, error = [], []
    for path in (path for name in ("sdss", "boss") for path in sorted((data / "spectra" / name).glob("*.fits"))):
        with fits.open(path) as file:
            row = {name.upper(): file[2].data[name][0] for name in file[2].columns.names}
        seen, imaging = (np.asarray(row[name], dtype=float)[1:4] for name in ("SPECTROFLUX", "CALIBFLUX"))
        if min(*seen, *imaging) > 0 and imaging[1] > 10 ** (0.4 * (22.5 - 20.5)):
            off.append(-2.5 * np.log10(seen / imaging))
            ivar = [np.asarray(row[f"{name}_IVAR"], dtype=float)[1:4] for name in ("SPECTROFLUX", "CALIBFLUX")]
            error.append(1.0857 * np.hypot(ivar[0] ** -0.5 / seen, ivar[1] ** -0.5 / imaging))
    mag, sigma, told = np.array(off), np.array(error), {}
    for name, (a, b) in {"g - r": (0, 1), "r - i": (1, 2), "g - i": (0, 2)}.items():
        colour = mag[:, a] - mag[:, b]
        scatter = 1.4826 * np.median(np.abs(colour - np.median(colour)))
        told[name] = [len(mag), float(scatter), float(np.median(np.hypot(sigma[:, a], sigma[:, b])))]
    return told


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
    options = SimulateOptions(bands=camera.system.name, depth_offset=0.0, shifts=ShiftOptions(warp=WARP))
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
    # Near dwarfs in bursts are a kind of the real spectra; the kinds that spectra seldom show are there by default.
    options = MocksOptions(magnitudes=(17.0, 22.7), nearby=0.05, kinds={**SPARSE, "emission-line dwarf": 0.05})
    light = ParentLight(parents, [*curves, *instrument_curves(camera.imaging)], options)
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
    """Return what gives log-probabilities of rows: features of the mocks' own templates, trees, and doubt by misfit.

    A tenth of the mocks trains no tree: they say which misfits are common. Returned are probabilities that doubt has
    tempered, and plain ones.
    """
    options = FeatureOptions(imaging=False)
    recipe = FeatureRecipe.build(mocks.bands, options, has_imaging=False).learn(mocks, seed=seed)
    trees = JpasClassifier(
        learning_rate=0.05, leaves=31, min_child=30, rounds=350, feature_fraction=0.4, row_fraction=0.7, l2=3.0,
        random_state=seed,
    )  # fmt: skip
    X, kept = recipe.compute(mocks).X, np.random.default_rng([seed, 8]).random(len(mocks)) >= 0.1
    trees.fit(X[kept], mocks.label[kept])
    overlap = learn_overlap(X[kept], mocks.label[kept], X[~kept], seed=seed, names=recipe.names)
    overlap = overlap.doubting(X[~kept], trees.predict_proba(X[~kept]), np.ones(len(CLASSES)))

    def say(rows: Catalogue) -> np.ndarray:
        seen = recipe.compute(rows).X
        p = trees.predict_proba(seen)
        return np.log(np.maximum([overlap.tempered(p, overlap.judge(seen)[1]), p], 1e-9))

    return say


class Chi2:
    """The textbook method: vectors fitted at every redshift, stars at none; the best χ² of each class.

    With ``medium``, quasars stand behind the mean intergalactic medium; without it, templates are as they are.
    """

    def __init__(self, spectra, curves: Sequence[Curve], step: float = 0.0025, medium: bool = True) -> None:
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
                if medium and item.spectype == "QSO" and first < 1000:
                    moved = moved * transmission(WAVELENGTH, np.array([z]))
                kind = 2 if item.spectype == "GALAXY" else int(z < 2.1)
                self.tables.append((kind, moved @ weights))

    def misfits(self, flux: np.ndarray, error: np.ndarray) -> np.ndarray:
        """Return the least χ² of each class, shape (n, 4)."""
        good = np.isfinite(flux) & np.isfinite(error)
        weight = np.where(good, 1.0 / np.hypot(error, FLOOR * np.abs(flux)), 0.0)
        wanted = np.where(good, flux, 0.0) * weight
        out = np.full((len(flux), 4), np.inf)
        for size in {len(table) for _, table in self.tables}:
            kinds = np.array([kind for kind, table in self.tables if len(table) == size])
            vectors = np.stack([table for _, table in self.tables if len(table) == size])
            for row in range(len(flux)):
                matrix = vectors * weight[row]
                right = matrix @ wanted[row]
                normal = matrix @ matrix.swapaxes(1, 2)
                scale = np.sqrt(np.diagonal(normal, axis1=1, axis2=2)) + 1e-300
                right = right / scale
                if size == 1:
                    gain = np.maximum(right[:, 0], 0.0) ** 2
                else:
                    normal = normal / (scale[:, :, None] * scale[:, None, :])
                    inverse = np.linalg.pinv(normal, rcond=1e-10, hermitian=True)
                    gain = np.einsum("tk,tkl,tl->t", right, inverse, right)
                np.minimum.at(out[row], kinds, wanted[row] @ wanted[row] - gain)
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
        others = real.fold != fold
        t = temperature(own[:, others].reshape(-1, 4), np.tile(real.label[others], len(own)))
        here = real.fold == fold
        out[:, here] = softened(own[:, here].reshape(-1, 4), t).reshape(len(own), -1, 4)
    return out


def blended(parts: Sequence[dict[int, np.ndarray]], real: Real) -> np.ndarray:
    """Return probabilities of a weighted sum of logits, (sets, n, 4); the weights are those of the other folds."""
    own = [np.stack([of[fold][:, row] for row, fold in enumerate(real.fold.tolist())], axis=1) for of in parts]
    out = np.empty_like(own[0])
    for fold in parts[0]:
        others = real.fold != fold
        label = np.tile(real.label[others], len(out))

        def loss(logs: np.ndarray, others: np.ndarray = others, label: np.ndarray = label) -> float:
            total = sum(np.exp(log) * part[:, others] for log, part in zip(logs, own, strict=True))
            p = softened(total.reshape(-1, 4), 1.0)[np.arange(len(label)), label]
            return float(-np.log(np.maximum(p, 1e-12)).mean())

        logs = minimize(loss, np.linspace(-0.5, -2.5, len(own)), method="Nelder-Mead").x
        here = real.fold == fold
        total = sum(np.exp(log) * part[:, here] for log, part in zip(logs, own, strict=True))
        out[:, here] = softened(total.reshape(-1, 4), 1.0).reshape(len(out), -1, 4)
    return out


def jpas_curves(data: Path, names: Sequence[str]) -> list[Curve]:
    """Return the curves of J-PAS bands that stand in the data folder."""
    return [read_curve(path, name) for name, path in find_curves(data / "jpas" / "curves", names).items()]


def real_spectra(data: Path) -> list[Path | str]:
    """Return the real spectra of the data folder, as `mocks --spectra` takes them."""
    folder = data / "spectra"
    return [folder / "boss", folder / "sdss", f"QSO={folder / 'desi'}"]


def chi2_logits(chi2: Chi2, states: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return -χ²/2 of the best fit of each class, less that of the best of all, shape (states, n, 4)."""
    misfit = np.stack([-0.5 * chi2.misfits(*state) for state in states])
    return np.maximum(misfit - misfit.max(axis=2, keepdims=True), -1e5)


def models_say(tables, real: Real, spectra, curves, camera: Instrument, given) -> dict[str, dict[int, np.ndarray]]:
    """Return logits of all rows by kind of mocks and fold, each (states, n, 4): means over the models of several sets.

    No model of a fold has seen its spectra; that of the built-in mocks has seen none. What each says is kept in the
    folder asked for, and read from there.
    """
    folds, began = np.unique(real.fold).tolist(), time.time()

    def said(kind: str, s: int, fold: int | None) -> np.ndarray:
        kept = given.keep and given.keep / f"{kind}-{given.rows}-{given.seed}-{s}-{fold}.npy"
        if kept and kept.is_file():
            return np.load(kept)
        if fold is None:
            mocks = builtin_mocks(camera, given.rows, given.seed)
        else:
            names = set(real.key[real.fold != fold].tolist())
            mocks = made_mocks(spectra, names, curves, camera, given.rows, given.seed + 10 * s)
        model = learn(mocks, given.seed + s)
        values = np.stack([model(table) for table in tables])
        if kept:
            given.keep.mkdir(parents=True, exist_ok=True)
            np.save(kept, values)
        print(f"{kind} {s}, fold {fold}: {time.time() - began:.0f} s", flush=True)
        return values

    builtin = said("built-in", 0, None)[:, 0]
    sets: dict[int, list[np.ndarray]] = {fold: [] for fold in folds}
    for s, fold in itertools.product(range(given.sets), folds):
        sets[fold].append(said("spectra", s, fold))
    mean = {fold: np.mean(values, axis=0) for fold, values in sets.items()}
    return {
        "spectra": {fold: values[:, 0] for fold, values in mean.items()},
        "untempered": {fold: values[:, 1] for fold, values in mean.items()},
        "built-in": dict.fromkeys(folds, builtin),
    }


def main() -> None:
    """Run the folds and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--sets", type=int, default=2, help="Mock sets, each with a model of its own, averaged.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="Folder of what each model says: a run that was cut goes on.")
    given = parser.parse_args()
    for colour, (n, scatter, error) in calibration(given.data).items():
        print(f"{colour} of {n} spectra less that of imaging scatters by {scatter:.3f} mag, errors say {error:.3f}")
    camera = load_instrument("jpas55")
    curves, folder = jpas_curves(given.data, camera.system.names), given.data / "spectra"
    sources = [folder / "redrock", f"STAR={folder / 'pyhammer'}", *real_spectra(given.data)]
    spectra = list(read_spectra(sources))
    real = see(spectra, curves)
    states = [(real.flux, real.error), *(noisy(real, camera, given.seed + draw) for draw in range(DRAWS))]
    tables = [catalogue(flux, error, "jpas55") for flux, error in states]
    print(f"{len(real.key)} real spectra: {np.bincount(real.label)}; folds {np.bincount(real.fold)}", flush=True)

    fits = [chi2_logits(Chi2(spectra, curves, medium=medium), states) for medium in (True, False)]
    logits = models_say(tables, real, spectra, curves, camera, given)
    logits["chi2"] = dict.fromkeys(logits["spectra"], fits[0])
    p = {name: across_folds(of, real) for name, of in logits.items()}
    p["spectra and chi2"] = blended([logits["spectra"], logits["chi2"]], real)
    p["plain chi2"] = softened(fits[1].reshape(-1, 4), 1.0).reshape(fits[1].shape)
    write_report(given, real, p, sources)


def write_report(given, real: Real, p: dict[str, np.ndarray], sources: Sequence) -> None:
    """Write one row for each judged object and state, and the figures that ``make figures-check`` computes anew."""
    parts = []
    for rows, labels in ((real.fold >= 0, ""), (~np.isin(real.key, DOUBTFUL), " without two doubtful labels")):
        for draw in range(1 + DRAWS):
            part = pd.DataFrame({"key": real.key, "object": real.group, "fold": real.fold, "z": real.z})
            part["part"] = ("with J-PAS noise" if draw else "as they are") + labels
            part["class"] = np.array(CLASSES)[real.label]
            for name, q in p.items():
                for k, cls in enumerate(CLASSES):
                    part[f"{name}:{cls}"] = q[draw, :, k]
            parts.append(part[rows])
    table = pd.concat(parts, ignore_index=True)
    states = list(dict.fromkeys(table["part"]))
    asked = [Figure(metric, name, part) for part in states for name in p for metric in METRICS]
    asked += [Figure(f"recall:{cls}", "spectra", part) for part in states for cls in CLASSES]
    pairs = [("spectra", "chi2"), ("spectra", "built-in"), ("spectra", "untempered"), ("spectra and chi2", "chi2")]
    pairs += [("spectra", "plain chi2"), ("spectra and chi2", "plain chi2")]
    asked += [Figure(m, one, part, against=other) for part in states for one, other in pairs for m in METRICS[:2]]
    places = [Path(str(source).partition("=")[2] or str(source)) for source in sources]
    files = [path for place in places for path in place.iterdir() if path.suffix in (".fits", ".npz")]
    command = f"python benchmarks/spectra.py DATA --out reports/spectra --rows {given.rows} --sets {given.sets}"
    for one in write_figures(given.out, command, checksums(files, given.data), table, asked, given.seed):
        print(f"{one.name} {one.value:+.3f} [{one.interval[0]:+.3f}, {one.interval[1]:+.3f}]", flush=True)


if __name__ == "__main__":
    main()
