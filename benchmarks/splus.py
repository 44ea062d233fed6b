"""Real narrow-band photometry: S-PLUS, by mocks of spectra seen through its curves; no label of S-PLUS trains.

    python benchmarks/splus.py DATA --out reports/splus [--rows 20000] [--seed 0]
        [--labels 100,300,1000 [--draws 0,1] [--sample field]]

DATA holds ``spectra/{redrock,pyhammer,boss,sdss,desi}`` and ``splus``. Two samples, each within one magnitude system:

- ``field``: stars against galaxies among ``auto (DR1)``, which has no errors;
- ``excess``: quasars against galaxies and stars among ``PStotal``, selected by an excess in J0660 but for 45 quasars.

Depths of the mocks are those that errors of PStotal rows say, by band and magnitude; that they hold for ``auto (DR1)``
is assumed. All models see colours alone: no magnitude, no width, no error. ``mocks-only`` reads no row of S-PLUS;
``uda`` reads photometry of the rows outside the fold that is judged; ``chi2`` fits the same templates (redrock vectors
over redshift, PyHammer) with the stated or assumed errors and a floor of 3 %, its temperature learnt on mocks;
``half`` is a LightGBM on the real labels of one half, judged on the other, both ways. Stars of ``field`` are the
built-in generator's in place of redrock's, which are poor in metals: unlabelled stars of S-PLUS differ less from them
(the size of the band shifts, without any label). Stars of ``excess`` are both.

With ``--labels`` one sample is judged with so many real labels of the rows outside the fold, into ``OUT/few_labels``
(``excess``: ``OUT/few_quasars``): ``ssda``, and a LightGBM on the same rows: mocks, labels, both with a label weighing
3 and 10 mocks. What is done is kept after each size and draw, and a run that was cut goes on from there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
from judged import Figure, checksums, forget, kept, write_figures
from spectra import Chi2, softened, temperature

import jpas_gbm as jg
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.options import FeatureOptions
from jpas_gbm.simulation.spectra import spectra_file
from jpas_gbm.simulation.spectra_files import read_spectra
from jpas_gbm.simulation.stars import star
from jpas_gbm.simulation.throughput import WAVELENGTH, find_curves, read_curve
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.dataset import Dataset

BANDS = band_system("splus12")
SKY = 10.0 ** (-0.4 * (19.3 - 31.4))  # nJy in the aperture, as the mocks have it
FIELD = {"depth_offset": 0.0, "magnitudes": [14.5, 21.5], "class_mix": [1.0, 1.0, 2.0, 2.0]}
KINDS = {"accreting star": 0.06, "white dwarf": 0.1, "hot or metal-poor star": 0.04, "red quasar": 0.06}
EXCESS = {**FIELD, "nearby": 0.3, "dwarfs": 0.5, "variable_stars": 0.3, "kinds": KINDS}
FIT = {"features": {"imaging": False, "templates": False}}
EDGE = 0.2  # mag: of the excess in J0660 that the SIMBAD rows were selected by
FOLDS = 5
CHUNK = 500
SHIFTS: list[dict] = []
SKY_WEIGHTS = (3.0, 10.0)


def depths(rows: pd.DataFrame) -> pd.Series:
    """Return the depth of each band, AB magnitude of 5 σ, that the stated errors of rows speak of."""
    found = {}
    for band in BANDS.names:
        mag, error = rows[f"mag_{band}"], rows[f"err_{band}"]
        good = (mag < 90) & error.between(1e-5, 0.5)
        flux = 10.0 ** (-0.4 * (mag[good] - 31.4))
        sky = (error[good] * flux / 1.0857) ** 2 / (1.0 + flux / SKY)
        found[band] = 31.4 - 2.5 * np.log10(5.0 * np.sqrt(np.median(sky)))
    return pd.Series(found, name="depth")


def light(rows: pd.DataFrame, depth: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return fluxes and errors in nJy; errors of the noise model where none is stated, NaN fluxes where missing."""
    mag = rows[[f"mag_{band}" for band in BANDS.names]].to_numpy()
    flux = np.where(mag < 90, 10.0 ** (-0.4 * (mag - 31.4)), np.nan)
    error = rows[[f"err_{band}" for band in BANDS.names]].to_numpy()
    empty = 10.0 ** (-0.4 * (depth[list(BANDS.names)].to_numpy() - 31.4)) / 5.0
    assumed = np.hypot(empty * np.sqrt(1.0 + flux / SKY), 0.01 * flux)
    return flux, np.where((error > 1e-5) & (error < 50), error * flux / 1.0857, assumed)


def with_errors(rows: pd.DataFrame, depth: pd.Series) -> pd.DataFrame:
    """Return rows with the errors of the noise model where none is stated: the lack of errors gives quasars away."""
    flux, error = light(rows, depth)
    told = 1.0857 * error / flux
    return rows.assign(**{f"err_{band}": np.where(np.isfinite(flux[:, i]), told[:, i], rows[f"err_{band}"])
                          for i, band in enumerate(BANDS.names)})  # fmt: skip


def excess(flux: dict[str, pd.Series]) -> pd.Series:
    """Return the excess in J0660 over r, freed of the slope, in magnitudes."""
    r, line, i = (-2.5 * np.log10(flux[band].where(flux[band] > 0)) for band in ("r", "J0660", "i"))
    return (r - line) - 0.25 * (r - i)


def made(data: Path, folder: Path, depth: pd.Series, options: dict, rows: int, seed: int, redrock_stars: bool) -> Path:
    """Make mocks by the verb; return their table."""
    depth.rename_axis("name").reset_index().to_csv(folder / "depths.csv", index=False)
    (folder / "mocks.yaml").write_text(json.dumps(options))
    spectra = [*sources(data / "spectra", redrock_stars), f"STAR={built_in_stars(folder)}"]
    jg.mocks(
        spectra, folder / "mocks", bands="splus12", curves=data / "splus" / "curves", rows=rows,
        depths=folder / "depths.csv", config=folder / "mocks.yaml", seed=seed, overwrite=True,
    )  # fmt: skip
    table = folder / "mocks" / "mocks.parquet"
    mocks = pd.read_parquet(table)
    for band in BANDS.names:  # a flux that is not positive has no magnitude
        mocks.loc[mocks[f"FLUX_{band}"] <= 0, [f"FLUX_{band}", f"ERR_{band}"]] = np.nan
    mocks.to_parquet(table)
    return table


def sources(folder: Path, redrock_stars: bool = True) -> list[str]:
    """Return all spectra as the verb takes them, redrock's stars on request."""
    redrock = [p for p in sorted((folder / "redrock").glob("*.fits")) if redrock_stars or "STAR" not in p.name]
    desi = folder / "desi"
    observed = [folder / "boss", folder / "sdss", *sorted(desi.glob("fastspecfit_coadd*.fits"))]
    named = [f"STAR={folder / 'pyhammer'}", f"QSO={desi / 'picca_desi_coadds.npz'}"]
    return [str(one) for one in (*redrock, *observed, *named)]


def built_in_stars(folder: Path) -> Path:
    """Write spectra of the built-in generator: its bright stars, whose metals are those of the disc."""
    rng, table = np.random.default_rng(0), np.array(spectra_file().bright_stars)
    kind = table[rng.choice(len(table), 1500, p=table[:, 0] / table[:, 0].sum())]
    heat = kind[:, 1] * np.exp(kind[:, 2] * rng.standard_normal(len(kind)))
    metals = np.clip(kind[:, 3] + kind[:, 4] * rng.standard_normal(len(kind)), -2.5, 0.5)
    inside = (WAVELENGTH > 2800) & (WAVELENGTH < 11500)
    flux = np.array([star(t, m)[inside] for t, m in zip(heat.tolist(), metals.tolist(), strict=True)])
    np.savez(folder / "built_in_stars.npz", wavelength=WAVELENGTH[inside], flux=flux.astype(np.float32))
    return folder / "built_in_stars.npz"


def selected(table: Path, seed: int) -> None:
    """Keep as many mocks of each kind with an excess in J0660 as without, as the sample has both."""
    mocks = pd.read_parquet(table)
    line = (excess({band: mocks[f"FLUX_{band}"] for band in BANDS.names}) > EDGE).to_numpy()
    kind, rng = mocks["SPECTYPE"].to_numpy(), np.random.default_rng(seed)
    parts = [np.flatnonzero((kind == name) & (line == has)) for name in ("QSO", "GALAXY", "STAR") for has in (1, 0)]
    least = min(len(part) for part in parts)
    kept = np.sort(np.concatenate([rng.permutation(part)[:least] for part in parts]))
    mocks.iloc[kept].to_parquet(table)


def prepared(table: Path, rows: pd.DataFrame, survey: str) -> Dataset:
    """Return mocks and S-PLUS rows as a data set whose target has no errors, in the order of the rows."""
    roles = {"source": str(table.parent / "survey.yaml"), "target": survey}
    data = jg.prepare(table, rows, survey=roles, bands="splus12")
    order = np.argsort(data.target.key["ROW"])
    target = data.target.take(order)
    assert len(target) == len(rows) and bool((target.label >= 0).all())
    target = target.replace(flux_err=np.full_like(target.flux, np.nan))
    return replace(data, target=target, target_split=data.target_split[order])


def by_regime(data: Dataset, name: str, regime: str, seed: int, fold: np.ndarray | None) -> np.ndarray:
    """Return class probabilities of all target rows: by one model, or by one for each fold that does not read it."""
    out = np.empty((len(data.target), 4))
    for number in range(1 if fold is None else FOLDS):
        judged = np.ones(len(out), dtype=bool) if fold is None else fold == number
        split = np.where(judged, 2, np.arange(len(out)) % 4 == 0).astype(np.int8)
        model = jg.fit(replace(data, target_split=split), regime=regime, config=FIT, seed=seed + number, threads=1)
        out[judged] = model.probabilities(data.target.take(judged))
        found = model.card.get("measured without labels")
        if found is not None:
            SHIFTS.append({"sample": name, "fold": number, **found})
        print(f"{regime} {number} done", flush=True)
    return out


def plain_trees(X: np.ndarray, y: np.ndarray, w: np.ndarray, seed: int) -> lgb.LGBMClassifier:
    """Return a LightGBM on rows and their weights."""
    trees = lgb.LGBMClassifier(
        n_estimators=250, learning_rate=0.05, num_leaves=15, colsample_bytree=0.5, subsample=0.8, subsample_freq=1,
        reg_lambda=3.0, min_child_samples=min(20, len(y) // 40), n_jobs=1, random_state=seed, verbose=-1,
    )  # fmt: skip
    return trees.fit(X, y, sample_weight=w)


def by_half(target: Catalogue, y: np.ndarray, seed: int) -> np.ndarray:
    """Return probabilities of y by trees on the real labels of the other half."""
    recipe = FeatureRecipe.build(BANDS, FeatureOptions(imaging=False), has_errors=False, has_imaging=False)
    X, p = recipe.compute(target).X, np.empty(len(y))
    half = np.random.default_rng([seed, 9]).permutation(len(y)) % 2
    for side in (0, 1):
        trees = plain_trees(X[half == side], y[half == side], np.ones((half == side).sum()), seed)
        p[half != side] = trees.predict_proba(X[half != side])[:, 1]
    return p


def by_labels(data: Dataset, fold: np.ndarray, size: int, draw: int, seed: int) -> dict[str, np.ndarray]:
    """Return class probabilities of all target rows by models of so many labels outside the fold that is judged."""
    recipe = FeatureRecipe.build(BANDS, FeatureOptions(imaging=False), has_errors=False, has_imaging=False)
    X = [recipe.compute(recipe.conform(rows)).X for rows in (data.source_rows("train"), data.target)]
    out = dict[str, np.ndarray]()
    for number in range(FOLDS):
        judged, outside = fold == number, np.flatnonzero(fold != number)
        chosen = np.random.default_rng([seed, 8, draw, number]).permutation(outside)[:size]
        print(f"{size} labels, draw {draw}, fold {number}:", end=" ", flush=True)
        found = of_labels(data, (X[0], X[1]), chosen, judged, FIT, (seed, seed + 10 * draw + number))
        for name, p in found.items():
            out.setdefault(name, np.full((len(fold), 4), np.nan))[judged] = p
    return out


def of_labels(
    data: Dataset,
    X: tuple[np.ndarray, np.ndarray],
    chosen: np.ndarray,
    judged: np.ndarray,
    fit: dict,
    seeds: tuple[int, int],
) -> dict[str, np.ndarray]:
    """Return class probabilities of judged rows by ssda and by LightGBMs of the labels of chosen rows.

    X is what a LightGBM sees of mocks and target; it takes all labels to train, ssda every other one. Seeds are the
    LightGBMs' and that of ssda.
    """
    y, mocks = np.asarray(data.target.label), data.source_rows("train")
    split = np.full(len(y), -1, np.int8)
    split[chosen], split[judged] = np.arange(len(chosen)) % 2, 2
    target = data.target.replace(label=np.where(split < 0, -1, y).astype(np.int8))
    few = replace(data, target=target, target_split=split)
    model = jg.fit(few, regime="ssda", config=fit, seed=seeds[1], threads=1)
    found = {"ssda": model.probabilities(data.target.take(judged))}
    print(model.card.get("chosen"), flush=True)
    both, kind = np.concatenate([X[0], X[1][chosen]]), np.concatenate([mocks.label, y[chosen]])
    parts = {"lightgbm: mocks": (X[0], mocks.label, np.ones(len(mocks)))}
    parts["lightgbm: labels"] = (X[1][chosen], y[chosen], np.ones(len(chosen)))
    for weight in SKY_WEIGHTS:
        parts[f"lightgbm: both, x{weight:g}"] = (both, kind, np.repeat([1.0, weight], [len(mocks), len(chosen)]))
    for name, one in parts.items():
        trees = plain_trees(*one, seeds[0])
        found[name] = np.zeros((int(judged.sum()), len(data.scheme.classes)))
        found[name][:, trees.classes_] = trees.predict_proba(X[1][judged])
    return found


def chi2_logits(chi2: Chi2, flux: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return minus half the least χ² of each class, float64 (n, 4); bands without template light stay out."""
    out = np.full((len(flux), 4), -np.inf)
    for start in range(0, len(flux), CHUNK):
        block = slice(start, start + CHUNK)
        good = np.isfinite(flux[block])
        data = np.where(good, flux[block], 0.0)
        weight = np.where(good, 1.0 / (error[block] ** 2 + (0.03 * data) ** 2), 0.0)
        for kind, table in chi2.tables:
            seen = weight * (np.abs(table).sum(axis=0) > 0)
            normal = np.einsum("kb,lb,nb->nkl", table, table, seen, optimize=True)
            right = np.einsum("kb,nb->nk", table, seen * data)
            size = np.sqrt(np.einsum("nkk->nk", normal)) + 1e-300
            scaled = normal / (size[:, :, None] * size[:, None, :]) + 1e-9 * np.eye(len(table))
            found = np.linalg.solve(scaled, (right / size)[:, :, None])[:, :, 0]
            # A star has no negative light.
            gain = ((right / size) * (np.maximum(found, 0.0) if len(table) == 1 else found)).sum(axis=1)
            misfit = (seen * data**2).sum(axis=1) - gain
            out[block, kind] = np.maximum(out[block, kind], -0.5 * misfit)
    return np.maximum(out - out.max(axis=1, keepdims=True), -1e5)


def by_chi2(chi2: Chi2, mocks: pd.DataFrame, flux: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return class probabilities of rows by χ² at the temperature of the least log loss on mocks."""
    mocks = mocks.sample(600, random_state=1)
    planes = (mocks[[f"{what}_{band}" for band in BANDS.names]].to_numpy(float) for what in ("FLUX", "ERR"))
    kind = mocks["SPECTYPE"].map({"QSO": 1, "GALAXY": 2, "STAR": 3}).to_numpy()
    kind = np.where((kind == 1) & (mocks["REDSHIFT"] >= 2.1), 0, kind)
    return softened(chi2_logits(chi2, flux, error), temperature(chi2_logits(chi2, *planes), kind))


def asked(wanted: str, models: Sequence[str]) -> list[Figure]:
    """Return the figures of a sample: scores, and gains over χ² and over the labels of half of the sample."""
    metrics = ("accuracy", "log_loss", f"auc:{wanted}")
    pairs = [("mocks-only", "chi2"), ("uda", "chi2"), ("uda", "mocks-only"), ("mocks-only", "half"), ("uda", "half")]
    alone = [Figure(metric, model) for model in models for metric in metrics]
    return [*alone, *(Figure(metric, model, against=other) for model, other in pairs for metric in metrics)]


def star_share(p: np.ndarray) -> np.ndarray:
    """Return the probability of a star of what is star or galaxy."""
    return (p[:, 3] + 1e-9) / (p[:, 2] + p[:, 3] + 2e-9)


def quasar_share(p: np.ndarray) -> np.ndarray:
    """Return the probability of a quasar."""
    return p[:, :2].sum(axis=1)


def mocked(given: argparse.Namespace, rows: pd.DataFrame, depth: pd.Series) -> tuple[Dataset, pd.DataFrame]:
    """Return mocks and rows of a sample as a data set, and the table of the mocks."""
    field, seed = given.sample == "field", given.seed
    with tempfile.TemporaryDirectory() as folder:
        count = given.rows if field else 4 * given.rows
        table = made(given.data, Path(folder), depth, FIELD if field else EXCESS, count, seed + 1, not field)
        if not field:
            selected(table, seed)
        return prepared(table, rows, "splus_auto_dr1" if field else "splus_pstotal"), pd.read_parquet(table)


def judged(given: argparse.Namespace, rows: pd.DataFrame, chi2: Chi2, depth: pd.Series) -> pd.DataFrame:
    """Return one row for each object of a sample: key, fold, class and probabilities of what is sought."""
    name, seed, field = given.sample, given.seed, given.sample == "field"
    fold = np.random.default_rng([seed, 4]).permutation(len(rows)) % FOLDS
    data, mocks = mocked(given, rows, depth)
    wanted = star_share if field else quasar_share
    found = {"chi2": by_chi2(chi2, mocks, *light(rows, depth))}
    print(f"{name}: chi2 done", flush=True)
    found |= {
        "mocks-only": by_regime(data, name, "mocks-only", seed, None),
        "uda": by_regime(data, name, "uda", seed, fold),
    }
    sought = "STAR" if field else "QSO"
    y = (rows["class"] == sought).to_numpy()
    p = {model: wanted(values) for model, values in found.items()} | {"half": by_half(data.target, y, seed)}
    return judged_table(rows["id"], fold, y, (sought, "GALAXY" if field else "OTHER"), p)


def few_labels(given: argparse.Namespace, rows: pd.DataFrame, depth: pd.Series) -> None:
    """Judge a sample with few real labels, and write that report."""
    field, seed = given.sample == "field", given.seed
    fold = np.random.default_rng([seed, 4]).permutation(len(rows)) % FOLDS
    classes, wanted = (("STAR", "GALAXY"), star_share) if field else (("QSO", "OTHER"), quasar_share)
    y, sizes = (rows["class"] == classes[0]).to_numpy(), list(map(int, given.labels.split(",")))
    out = given.out / ("few_labels" if field else "few_quasars")
    data = cache(lambda: mocked(given, rows, depth)[0])  # made where a part is not kept

    def always() -> Iterator[tuple[str, np.ndarray]]:
        yield "uda", wanted(by_regime(data(), given.sample, "uda", seed, fold))
        yield "half", by_half(data().target, y, seed)
        if not field:
            yield "mocks-only", wanted(by_regime(data(), given.sample, "mocks-only", seed, None))

    def labelled(size: int, draw: int) -> dict[str, np.ndarray]:
        return {name: wanted(values) for name, values in by_labels(data(), fold, size, draw, seed).items()}

    begun, tables = f"kept-{given.rows}-{seed}", []
    common = kept(out / f"{begun}.npz", always)
    for size, draw in [(size, draw) for draw in map(int, given.draws.split(",")) for size in sizes]:
        found = kept(out / f"{begun}-{size}-{draw}.npz", partial(labelled, size, draw))
        part = judged_table(rows["id"], fold, y, classes, common | found)
        tables.append(part.assign(part=f"{size} labels, draw {draw}"))
    every, metrics = pd.concat(tables, ignore_index=True), ("accuracy", "log_loss", f"auc:{classes[0]}")
    names = [column.rpartition(":")[0] for column in every.columns if column.endswith(f":{classes[0]}")]
    parts = [f"{size} labels" for size in sizes]
    asked = [Figure(metric, name, part) for part in parts for name in names for metric in metrics]
    asked += [Figure("log_loss", "ssda", part, against=name) for part in parts for name in names if name != "ssda"]
    command = f"python benchmarks/splus.py DATA --out reports/splus --rows {given.rows} --seed {seed}"
    command += f" --labels {given.labels} --draws {given.draws} --sample {given.sample}"
    sums = checksums([given.data / "splus" / "splus_labelled.csv"], given.data)
    for one in write_figures(out, command, sums, every, asked, seed):
        print(f"{one.name} {one.value:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}]", flush=True)
    forget(out)


def judged_table(
    key: pd.Series, fold: np.ndarray, y: np.ndarray, classes: tuple[str, str], p: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Return the rows of a report of two classes, of which y tells the first."""
    table = pd.DataFrame({"key": key, "object": key, "part": "", "fold": fold, "class": np.where(y, *classes)})
    for model, values in p.items():
        kept = np.clip(values, 1e-6, 1 - 1e-6)
        table[f"{model}:{classes[0]}"], table[f"{model}:{classes[1]}"] = kept, 1.0 - kept
    return table


def main() -> None:
    """Judge both samples and write the reports."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labels")
    parser.add_argument("--draws", default="0")
    parser.add_argument("--sample", choices=("field", "excess"), default="field")
    given = parser.parse_args()
    splus = pd.read_csv(given.data / "splus" / "splus_labelled.csv")
    total = splus[(splus["mag_system"] == "PStotal") & splus["class"].isin(["QSO", "GALAXY", "STAR"])]
    # Two quasars have no redshift; QSO_high is not told from QSO_low here.
    total = total.assign(redshift=total["redshift"].where(total["class"] != "STAR", 0.0).fillna(1.0))
    depth = depths(splus[splus["mag_system"] == "PStotal"])
    samples = {"field": splus[splus["mag_system"] == "auto (DR1)"], "excess": with_errors(total, depth)}
    if given.labels:
        few_labels(given, samples[given.sample].reset_index(drop=True), depth)
        return
    found = find_curves(given.data / "splus" / "curves", BANDS.names)
    curves = [read_curve(path, name) for name, path in found.items()]
    templates = sources(given.data / "spectra")
    fitted = [one for one in templates if "rrtemplate" in one or "pyhammer" in one]
    chi2 = Chi2(list(read_spectra(fitted)), curves)
    for name, part in samples.items():
        given.sample = name
        table = judged(given, part.reset_index(drop=True), chi2, depth)
        inputs = [*templates, str(given.data / "splus" / "splus_labelled.csv"), *map(str, found.values())]
        report(given, name, table, depth, inputs)


def report(given: argparse.Namespace, name: str, table: pd.DataFrame, depth: pd.Series, inputs: Sequence[str]) -> None:
    """Write what ``make figures-check`` recomputes, and how it was made."""
    files = [path for one in inputs for path in _files(Path(one.partition("=")[2] or one))]
    command = f"python benchmarks/splus.py DATA --out reports/splus --rows {given.rows} --seed {given.seed}"
    out = given.out / {"field": "stars", "excess": "quasars"}[name]
    models = ("chi2", "mocks-only", "uda", "half")
    sums, wanted = checksums(files, given.data), asked("STAR" if name == "field" else "QSO", models)
    for one in write_figures(out, command, sums, table, wanted, given.seed):
        print(f"{name}: {one.name} {one.value:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}]", flush=True)
    shifts = [{key: value for key, value in one.items() if key != "notes"} for one in SHIFTS if one["sample"] == name]
    made = {"depths": depth.round(3).to_dict(), "mocks": FIELD if name == "field" else EXCESS, "fit": FIT}
    (out / "made.json").write_text(json.dumps({**made, "band shifts": shifts}, indent=1) + "\n", encoding="utf-8")


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else [p for p in place.iterdir() if p.suffix in (".fits", ".npz")]


if __name__ == "__main__":
    main()
