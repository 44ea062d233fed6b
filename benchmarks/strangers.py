"""Surveys whose sky is unlike their mocks: is ``uda`` worse than ``mocks-only`` on any, and ``ssda`` than either?

    python benchmarks/strangers.py DATA --out reports/adaptation/strangers [--kinds 'population; ...'] [--seeds 2,3]
    python benchmarks/strangers.py DATA --out reports/adaptation/strangers/labels --labels 200,1000

DATA holds ``spectra`` (redrock, pyhammer, boss, sdss, desi), ``jpas/curves`` and ``survey_a``. A kind has 4,000 mocks
and 4,800 rows of the sky, of which half judge (r <= 22.5) and the others have no label; no label of the sky is read.
With ``--labels`` so many of the others have one: half of these train ``ssda`` and ``target-only`` and half choose, and
LightGBMs train on all of them, on the mocks, and on both (`splus.of_labels`). What is done is kept, and a run that was
cut goes on from there.

- ``templates``: mocks of survey_a; a sky of spectra and templates through 20 tiles of other zero points (.04 mag, and
  .015 common to all tiles), errors 1.3 times as large as stated, outliers, gaps;
- ``templates, calibrated``: the same spectra without any of these;
- ``reversed``: mocks of spectra and templates; a sky of survey_a's mocks;
- ``zero points``: other mocks of survey_a as the sky, .03 mag common to all tiles;
- ``population``: the built-in survey, its sky of another population, nothing else;
- ``built-in``: mocks of the built-in survey, a sky of spectra and templates.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from judged import Figure, checksums, forget, kept, write_figures
from splus import SKY_WEIGHTS, of_labels, sources

import jpas_gbm as jg
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.options import FeatureOptions, PrepareOptions, SimulateOptions
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.dataset import Dataset

KINDS = ("templates", "templates, calibrated", "reversed", "zero points", "population", "built-in")
MIX = (0.04, 0.11, 0.6, 0.25)
MOCKS, SKY, MADE, TILES = 4_000, 4_800, 16_000, 20
STILL = dict.fromkeys(
    ("zero_point", "zero_point_band", "aperture", "gradient", "seeing_scatter", "variability", "errors", "warp", "arms",
     "missing_tiles"), 0
)  # fmt: skip
BUILT_IN = {"n_source": MOCKS, "n_labelled": SKY, "n_unlabelled": 0, "quasar_factor_labelled": 3, "n_tiles": TILES,
            "twins": False, "bands": "jpas55"}  # fmt: skip
REGIMES = ("mocks-only", "uda")
BARE = {"sky": {"copy_missing": False, "renoise": False}}


def observed(
    rows: Catalogue, rng: np.random.Generator, scatter: float = 0.04, common: float = 0.015, factor: float = 1.3,
    outliers: float = 0.002, gaps: float = 0.04,
) -> Catalogue:  # fmt: skip
    """Return mocks with noise-free fluxes as a sky of tiles shows them."""
    assert rows.flux_mean is not None
    (n, b), mean, err = rows.flux.shape, np.asarray(rows.flux_mean, float), np.asarray(rows.flux_err, float)
    tile = rng.integers(0, TILES, n)
    zero = rng.normal(0, scatter, (TILES, b)) + rng.normal(0, common, b)
    flux = (mean + err * factor * rng.standard_normal((n, b))) * 10 ** (0.4 * zero[tile])
    wild = rng.random((n, b)) < outliers
    flux[wild] += rng.standard_normal(int(wild.sum())) * 1.5 * np.abs(mean[wild])
    flux[(rng.random((TILES, b)) < gaps)[tile]] = np.nan
    return rows.replace(
        flux=flux.astype(np.float32), flux_err=np.where(np.isfinite(flux), err, np.nan).astype(np.float32),
        flux_mean=None, key={"TILE_ID": tile + 2000, "NUMBER": np.arange(n)}, object_id=np.arange(n) + 10**9,
        ra=150 + rng.random(n), dec=30 + rng.random(n), survey="sky", photometry="SKY",
    )  # fmt: skip


def drawn(rows: Catalogue, rng: np.random.Generator) -> Catalogue:
    """Return rows of the mix of a sky."""
    share = np.array(MIX) / np.bincount(rows.label, minlength=4)
    return rows.take(rng.choice(len(rows), SKY, replace=False, p=share[rows.label] / share[rows.label].sum()))


def packed(mocks: Catalogue, sky: Catalogue, rng: np.random.Generator, like: Dataset) -> Dataset:
    """Return mocks and a sky of which half the rows judge; the labels of the others are truth that no fit may read."""
    target = np.where(rng.random(len(sky)) < 0.5, 2, 0).astype(np.int8)
    source = np.where(rng.random(len(mocks)) < 0.85, 0, 1).astype(np.int8)
    return Dataset(mocks, source, sky, target, mocks.take(slice(0, 0)), scheme=like.scheme)


def without_labels(data: Dataset, regime: str) -> dict[str, np.ndarray]:
    """Return, by the name of a regime that reads no label, its class probabilities of the rows that judge."""
    split = np.where(np.asarray(data.target_split) == 2, 2, -1).astype(np.int8)
    sky = data.target.replace(label=np.where(split == 2, data.target.label, -1).astype(np.int8))
    bare = BARE if regime == "mocks-only" else {}
    model = jg.fit(replace(data, target=sky, target_split=split), regime=regime, config=bare, seed=1, threads=1)
    print(regime, model.card["chosen"], flush=True)
    return {regime: model.probabilities(data.target_rows("test"), 1)}


def with_labels(data: Dataset, size: int, seed: int) -> dict[str, np.ndarray]:
    """Return class probabilities of the rows that judge by models of so many labels of the others."""
    judges = np.asarray(data.target_split) == 2
    recipe = FeatureRecipe.build(data.source.bands, FeatureOptions(templates=False))
    X = [recipe.compute(recipe.conform(rows)).X for rows in (data.source_rows("train"), data.target)]
    chosen = np.random.default_rng([seed, 8]).permutation(np.flatnonzero(~judges))[:size]
    found = of_labels(data, (X[0], X[1]), chosen, judges, {}, (seed, 1))
    split = np.full(len(data.target), -1, np.int8)
    split[chosen], split[judges] = np.arange(size) % 2, 2
    sky = data.target.replace(label=np.where(split < 0, -1, data.target.label).astype(np.int8))
    labelled = replace(data, target=sky, target_split=split)
    model = jg.fit(labelled, regime="target-only", seed=1, threads=1)
    return {**found, "target-only": model.probabilities(data.target_rows("test"), 1)}


def survey(kind: str, seed: int, a: Dataset, spectra: Catalogue) -> Dataset:
    """Return a survey of a kind; `a` has the mocks of survey_a, `spectra` those of spectra and templates."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    if kind in ("population", "built-in"):
        data = jg.simulate(
            seed,
            config=SimulateOptions(
                **BUILT_IN, **({"shifts": {**STILL, "population": 1}} if kind == "population" else {})
            ),
        )
        if kind == "built-in":
            return packed(data.source, observed(drawn(spectra.select_bands(data.source.bands), rng), rng), rng, data)
        return packed(data.source, data.target, rng, data)
    own = a.source.take(rng.permutation(len(a.source)))
    if kind == "reversed":
        return packed(spectra.take(rng.permutation(len(spectra))[:MOCKS]), observed(drawn(own, rng), rng), rng, a)
    if kind == "zero points":
        return packed(
            own.take(slice(0, MOCKS)), observed(drawn(own.take(slice(MOCKS, None)), rng), rng, common=0.03), rng, a
        )
    still = {} if kind == "templates" else {"scatter": 0.0, "common": 0.0, "factor": 1.0, "outliers": 0.0, "gaps": 0.0}
    return packed(own.take(slice(0, MOCKS)), observed(drawn(spectra, rng), rng, **still), rng, a)


def main() -> None:
    """Fit, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kinds", default="; ".join(KINDS), help="Parted by semicolons.")
    parser.add_argument("--seeds", default="2,3")
    parser.add_argument("--labels", default="", help="Sizes, parted by commas.")
    given = parser.parse_args()
    own = [given.data / "survey_a" / f"Mock_{part}_FLUX+NOISE.npy" for part in ("valid", "test")]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        curves, spectra = str(given.data / "jpas" / "curves"), sources(given.data / "spectra")
        jg.mocks(spectra, made, bands="jpas55", curves=curves, rows=MADE, seed=99)
        roles = {"source": "jpas_mocks", "target": str(made / "survey.yaml")}
        a = jg.prepare(own, made / "mocks.parquet", survey=roles, bands="jpas55")
        b = jg.prepare(
            made / "Mock_spectra_FLUX+NOISE.npy",
            made / "mocks.parquet",
            survey=roles,
            bands="jpas55",
            config=PrepareOptions(keep_twins=True),
        )
    sizes = [int(size) for size in given.labels.split(",") if size]
    tables, kinds = [], [kind.strip() for kind in given.kinds.split(";")]
    for kind, seed in ((kind, seed) for kind in kinds for seed in map(int, given.seeds.split(","))):
        data, name = survey(kind, seed, a, b.source), f"{kind.replace(', ', ' ')}, {seed}"
        rows = data.target_rows("test")
        bright = ~(rows.mag > 22.5)
        key = rows.object_id[bright]
        about = {"key": key, "object": [f"{seed}/{one}" for one in key], "fold": 0}
        about["class"] = np.array(data.scheme.classes)[rows.label[bright]]
        always = dict[str, np.ndarray]()
        for regime in REGIMES:
            always |= kept(given.out / f"kept-{name}-{regime}.npz", partial(without_labels, data, regime))
        for size in sizes or [0]:
            print(name, size, end=": ", flush=True)
            make = partial(with_labels, data, size, seed)
            found = kept(given.out / f"kept-{name}-{size}.npz", make) if size else {}
            columns = {
                f"{model}:{c}": p[bright, i]
                for model, p in {**found, **always}.items()
                for i, c in enumerate(data.scheme.classes)
            }
            tables.append(pd.DataFrame({"part": f"{name}, {size}" if size else name, **about, **columns}))
    every, command = pd.concat(tables, ignore_index=True), "python benchmarks/strangers.py DATA"
    command += f" --out reports/adaptation/strangers{'/labels' if sizes else ''} --seeds {given.seeds}"
    command += f" --kinds '{given.kinds}'" + (f" --labels {given.labels}" if sizes else "")
    for one in write_figures(given.out, command, checksums(own, given.data), every, asked(every, sizes)):
        print(f"{one.name:60s} {one.value:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}] n {one.n}")
    forget(given.out)


def asked(every: pd.DataFrame, sizes: list[int]) -> list[Figure]:
    """Return the figures: scores of each part, and gains of ``uda`` over ``mocks-only`` and of ``ssda`` over all."""
    if not sizes:
        parts = list(dict.fromkeys(part.partition(", ")[0] for part in every["part"]))
        found = [Figure("log_loss", regime, part) for part in parts for regime in REGIMES]
        return [*found, *(Figure("log_loss", "uda", part, against="mocks-only") for part in parts)]
    names = ["uda", "mocks-only", "target-only", "lightgbm: mocks", "lightgbm: labels"]
    names += [f"lightgbm: both, x{weight:g}" for weight in SKY_WEIGHTS]
    found = [Figure("log_loss", name, part) for part in dict.fromkeys(every["part"]) for name in ("ssda", *names)]
    return found + [Figure("log_loss", "ssda", part, name) for part in dict.fromkeys(every["part"]) for name in names]


if __name__ == "__main__":
    main()
