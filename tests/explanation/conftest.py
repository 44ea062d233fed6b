"""A small survey with lines, and small models of every kind, made once for the room."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from jpas_gbm.boosting.booster import Member, stack_inputs
from jpas_gbm.boosting.calibration import fit_calibrator
from jpas_gbm.boosting.training import train
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.model import Model
from jpas_gbm.options import BACKENDS, BoostingOptions, CalibrationOptions, FeatureOptions
from jpas_gbm.surveys.bands import Band, BandSystem
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.dataset import Dataset
from jpas_gbm.surveys.scheme import default_scheme

BANDS = BandSystem(
    "twelve",
    (*(Band(f"N{i:02d}", 3800.0 + 450 * i, 450.0) for i in range(12)), Band("wide", 6300.0, 3000.0, "broad")),
)
CLASSES = default_scheme().classes
QUICK = BoostingOptions(rounds=12, patience=0, learning_rate=0.3, leaves=6, max_bin=31, min_child=5)


def spectra(n: int, seed: int, first_id: int = 0, survey: str = "small", photometry: str = "SKY") -> Catalogue:
    """Power laws; high quasars have Lyα, low ones Mg II, galaxies a break."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(4, dtype=np.int8), -(-n // 4))[:n]
    z = np.select([label == 0, label == 1, label == 2], [rng.uniform(2.15, 4, n), rng.uniform(0.5, 2, n), 0.3], 0.0)
    wave = BANDS.pivots[None, :]
    flux = (wave / 6000.0) ** rng.normal(0, 0.3, (n, 1))
    rest = wave / (1 + z[:, None])
    quasar = (label < 2)[:, None]
    flux = flux * (1 + quasar * (2.0 * np.exp(-0.5 * (np.log(rest / 1216) / 0.03) ** 2)))
    flux = flux * (1 + quasar * (0.4 * np.exp(-0.5 * (np.log(rest / 2799) / 0.03) ** 2)))
    flux = flux * np.where((label == 2)[:, None] & (wave < 5200), 0.6, 1.0) * rng.lognormal(3, 0.5, (n, 1))
    err = 0.08 * np.abs(flux) + 0.2
    flux = (flux + rng.normal(0, 1, flux.shape) * err).astype(np.float32)
    flux[rng.random(flux.shape) < 0.1] = np.nan
    # Some rows lose long stretches, so that training misses every feature somewhere.
    flux[::37, 3:] = np.nan
    flux[::41, :9] = np.nan
    mag = rng.uniform(18, 23, n).astype(np.float32)
    return Catalogue(
        bands=BANDS,
        flux=flux,
        flux_err=err.astype(np.float32),
        key={"TILE_ID": 224 + np.arange(n) // 100, "NUMBER": np.arange(n) % 100 + 1},
        object_id=39_627_000_000_000_000 + first_id + np.arange(n),
        mag=mag,
        imaging_mag=mag,
        morphology=np.where(label == 2, 4, 1).astype(np.int8),
        label=label,
        z=z,
        survey=survey,
        photometry=photometry,
    )


def _dataset() -> Dataset:
    source, target = spectra(600, 1, 10_000, "mocks", "MOCK"), spectra(480, 2)
    target = target.replace(
        label=np.where(np.arange(480) < 20, np.int8(-1), target.label),
        z=np.where(np.arange(480) < 20, np.nan, target.z),
    )
    split = np.where(np.arange(480) < 20, -1, np.arange(480) % 3)
    return Dataset(
        source, np.arange(600) % 10 // 8, target, split, spectra(4, 3, 90_000), provenance={"made": "for tests"}
    )


@cache
def _fitted(backend: str, kinds: tuple[str, ...], seeds: int) -> Model:
    dataset = _dataset()
    recipe = FeatureRecipe.build(BANDS, FeatureOptions(templates=False, colours=(1, 2)))
    source, sky, val = dataset.source_rows("train"), dataset.target_rows("train"), dataset.target_rows("val")
    X, Xt, Xv = (recipe.compute(rows).X for rows in (source, sky, val))
    base_names, members = (*recipe.names, *(f"mock_margin:{c}" for c in CLASSES)), []
    for seed in range(seeds):
        base = train(backend, X, source.label, n_classes=4, options=QUICK, feature_names=recipe.names, seed=seed)
        for kind in kinds:
            if kind == "mocks":
                members.append(Member("plain", base, None, kind))
            elif kind == "continue":
                more = train(backend, Xt, sky.label, init=base, options=QUICK, seed=seed)
                members.append(Member("plain", more, None, kind))
            else:
                top = train(
                    backend,
                    stack_inputs(Xt, base),
                    sky.label,
                    n_classes=4,
                    options=QUICK,
                    feature_names=base_names,
                    seed=seed,
                )
                members.append(Member("stack", top, base, kind))
    margins = np.mean([member.margins(Xv) for member in members], axis=0)
    calibrator, _ = fit_calibrator(margins, val.label, CalibrationOptions(method="vector"))
    return Model(
        scheme=default_scheme(),
        bands=BANDS,
        photometry="SKY",
        recipe=recipe,
        members=tuple(members),
        calibrator=calibrator,
        thresholds=np.ones(4),
        card={"regime": "ssda", "chosen": "+".join(kinds), "survey": "small", "provenance": {"seed": 5, "options": {}}},
        survey="small",
    )


@pytest.fixture(scope="session")
def make_fitted() -> Callable[..., Model]:
    def make(*kinds: str, backend: str = "lightgbm", seeds: int = 1) -> Model:
        return _fitted(backend, kinds or ("continue", "stack"), seeds)

    return make


@pytest.fixture(scope="session")
def fitted(make_fitted) -> Model:
    return make_fitted("continue", "stack", seeds=2)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return _dataset()


@pytest.fixture(scope="session")
def rows(dataset) -> Catalogue:
    return dataset.target_rows("test")


@pytest.fixture(params=BACKENDS.names())
def backend(request: pytest.FixtureRequest) -> str:
    if request.param not in ("lightgbm", "xgboost"):
        pytest.importorskip(request.param, reason=f"{request.param}: an extra that is not installed")
    return request.param
