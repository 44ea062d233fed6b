"""Surveys whose sky is unlike their mocks: is ``uda`` worse than ``mocks-only`` on any of them?

    python benchmarks/strangers.py DATA --out reports/adaptation/strangers [--kinds population,...] [--seeds 2,3]

DATA holds ``spectra`` (redrock, pyhammer, boss, sdss, desi), ``jpas/curves`` and ``survey_a``. A kind has 4,000 mocks
and 4,800 rows of the sky, of which half judge (r <= 22.5) and the others have no label; no label of the sky is read.

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
from pathlib import Path

import numpy as np
import pandas as pd
from judged import Figure, checksums, write_figures
from splus import sources

import jpas_gbm as jg
from jpas_gbm.options import PrepareOptions, SimulateOptions
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.dataset import Dataset

KINDS = ("templates", "templates, calibrated", "reversed", "zero points", "population", "built-in")
MIX = (0.04, 0.11, 0.6, 0.25)
MOCKS, SKY, MADE, TILES = 4_000, 4_800, 16_000, 20
STILL = dict.fromkeys(
    ("zero_point", "zero_point_band", "aperture", "gradient", "seeing_scatter", "variability", "errors", "warp", "arms",
     "missing_tiles"), 0
)  # fmt: skip
BUILT_IN = {"n_source": MOCKS, "n_labelled": SKY // 2, "n_unlabelled": SKY // 2, "quasar_factor_labelled": 3,
            "quasar_factor_unlabelled": 3, "n_tiles": TILES, "twins": False, "bands": "jpas55"}  # fmt: skip
FIT = {"boosting": {"learning_rate": 0.1, "rounds": 400, "patience": 30}}
REGIMES = ("mocks-only", "uda")


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
    """Return mocks and a sky of which half the rows have lost their labels and half judge."""
    judges = rng.random(len(sky)) < 0.5
    sky = sky.replace(label=np.where(judges, sky.label, -1).astype(np.int8))
    source = np.where(rng.random(len(mocks)) < 0.85, 0, 1).astype(np.int8)
    target = np.where(judges, 2, -1).astype(np.int8)
    return Dataset(mocks, source, sky, target, mocks.take(slice(0, 0)), scheme=like.scheme)


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
        return replace(data, target_split=np.where(np.asarray(data.target_split) >= 0, 2, -1).astype(np.int8))
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
    tables, kinds = [], [kind.strip() for kind in given.kinds.split(";")]
    for kind in kinds:
        for seed in map(int, given.seeds.split(",")):
            data = survey(kind, seed, a, b.source)
            rows = data.target_rows("test")
            rows = rows.take(~(rows.mag > 22.5))
            table = {"key": rows.object_id, "object": [f"{seed}/{one}" for one in rows.object_id]}
            told = pd.DataFrame({**table, "part": f"{kind.replace(', ', ' ')}, {seed}", "fold": 0})
            told["class"] = np.array(data.scheme.classes)[rows.label]
            for regime in REGIMES:
                bare = {"sky": {"copy_missing": False, "renoise": False}} if regime == "mocks-only" else {}
                model = jg.fit(data, regime=regime, config=FIT | bare, seed=1, threads=1)
                p = model.probabilities(rows, 1)
                told = told.assign(**{f"{regime}:{c}": p[:, i] for i, c in enumerate(data.scheme.classes)})
                print(kind, seed, regime, model.card["chosen"], flush=True)
            tables.append(told)
    every = pd.concat(tables, ignore_index=True)
    parts = list(dict.fromkeys(part.partition(", ")[0] for part in every["part"]))
    asked = [Figure("log_loss", regime, part) for part in parts for regime in REGIMES]
    asked += [Figure("log_loss", "uda", part, against="mocks-only") for part in parts]
    command = f"python benchmarks/strangers.py DATA --out reports/adaptation/strangers --seeds {given.seeds}"
    command += f" --kinds '{given.kinds}'"
    for one in write_figures(given.out, command, checksums(own, given.data), every, asked):
        print(f"{one.name:60s} {one.value:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}] n {one.n}")


if __name__ == "__main__":
    main()
