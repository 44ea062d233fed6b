"""A small problem that trees can learn, for every test of this room."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from jpas_gbm.boosting.backend import Backend, get_backend
from jpas_gbm.boosting.booster import Member, StagedBooster, stack_inputs
from jpas_gbm.boosting.training import train
from jpas_gbm.options import BACKENDS, BoostingOptions


class Problem(NamedTuple):
    X: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]


def _make_problem(n: int = 1500, k: int = 4, missing: float = 0.1, seed: int = 0, features: int = 8) -> Problem:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, features)).astype(np.float32)
    score = 2 * X[:, :k] + rng.normal(size=(n, k))
    y = score.argmax(axis=1).astype(np.int8)
    X[rng.random(X.shape) < missing] = np.nan
    return Problem(X, y, tuple(f"band{i}" for i in range(features)))


@pytest.fixture(scope="session")
def make_problem() -> Callable[..., Problem]:
    return _make_problem


@pytest.fixture(scope="session")
def problem() -> Problem:
    return _make_problem()


@pytest.fixture(scope="session")
def quick() -> BoostingOptions:
    return BoostingOptions(rounds=25, patience=8, learning_rate=0.2, leaves=8, min_child=20, max_bin=63, l2=1.0)


@pytest.fixture(params=BACKENDS.names())
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param not in ("lightgbm", "xgboost"):
        pytest.importorskip(request.param, reason=f"{request.param}: an extra that is not installed")
    return get_backend(request.param)


@pytest.fixture
def members() -> tuple[list[Member], np.ndarray]:
    """A continued booster, a stack on its first stage loaded apart, and a pool, on rows that never miss one feature."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(1500, 7)).astype(np.float32)
    y = np.digitize(X[:, 0] + X[:, 1], [-1, 0, 1])
    X[:, 1:][rng.random((1500, 6)) < 0.15] = np.nan
    growth = BoostingOptions(rounds=12, patience=0, learning_rate=0.2, min_child=10)
    base = train("lightgbm", X, y, n_classes=4, options=growth)
    continued = train("lightgbm", X[:700], y[:700], init=base, options=growth)
    pooled = train("lightgbm", X[::2], y[::2], n_classes=4, options=growth)
    again = StagedBooster(base.library, 4, base.feature_names, base.stages)
    inputs = stack_inputs(X[:700], again)
    stacked = train("lightgbm", inputs, y[:700], n_classes=4, options=growth)
    names = (*base.feature_names, *(f"m{i}" for i in range(4)))
    stacked = StagedBooster(stacked.library, 4, names, stacked.stages)
    return [Member("plain", continued), Member("stack", stacked, again), Member("plain", pooled)], X
