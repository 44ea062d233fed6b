"""The small protocol that LightGBM and XGBoost both meet, and the way to either."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from ..errors import BundleError, ConfigError, did_you_mean
from ..options import BoostingOptions
from ..store import read_json

BACKENDS = ("lightgbm", "xgboost")
"""The libraries that can grow the trees."""

OnRound = Callable[[int, float], None]
"""Called after each round with (rounds so far, validation loss or NaN); what it raises ends the training."""


class Binned(Protocol):
    """Features binned once, to train on with several labels, weights and starts."""

    feature_names: tuple[str, ...]

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray, threads: int = 1) -> Binned:
        """Return the rows given by mask or indices, in the same bins."""


class Booster(Protocol):
    """Trees that were grown in one or more stages (on mocks, then on target rows, say)."""

    backend: str
    n_classes: int
    feature_names: tuple[str, ...]

    @property
    def stage_rounds(self) -> tuple[int, ...]:
        """Rounds of each stage."""

    def margins(self, X: Any, stages: Sequence[int] | None = None, threads: int = 1) -> np.ndarray:
        """Return margins, float64 (n, k): the log of unnormalised probabilities."""

    def contributions(self, X: Any, stages: Sequence[int] | None = None, threads: int = 1) -> np.ndarray:
        """Return TreeSHAP contributions, float64 (n, k, f + 1); the last column is the bias."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a folder."""


class Backend(Protocol):
    """A library that grows trees."""

    name: ClassVar[str]

    def bin(
        self,
        X: Any,
        feature_names: Sequence[str] | None = None,
        options: BoostingOptions | None = None,
        reference: Any = None,
        threads: int = 1,
    ) -> Any:
        """Bin features once."""

    def train(
        self,
        data: Any,
        y: np.ndarray,
        *,
        n_classes: int,
        options: BoostingOptions,
        weight: np.ndarray | None = None,
        valid: tuple[Any, ...] | None = None,
        init: Any = None,
        feature_names: Sequence[str] | None = None,
        seed: int = 0,
        threads: int = 1,
        on_round: OnRound | None = None,
    ) -> Any:
        """Grow a booster."""

    def continue_from(
        self,
        booster: Any,
        data: Any,
        y: np.ndarray,
        *,
        options: BoostingOptions,
        weight: np.ndarray | None = None,
        valid: tuple[Any, ...] | None = None,
        seed: int = 0,
        threads: int = 1,
        on_round: OnRound | None = None,
    ) -> Any:
        """Grow another stage on top of a booster."""

    def load(self, path: str | Path) -> Any:
        """Read what a booster saved."""


def get_backend(name: str) -> Backend:
    """Return the backend of a library.

    Parameters
    ----------
    name : {"lightgbm", "xgboost"}

    Raises
    ------
    ConfigError
        If there is no such backend.
    """
    # Read by OpenMP when a library is loaded. Threads that spin while they wait starve each other, and
    # the other library's, as soon as something else runs: one fit on two busy cores took 90 s for 6 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if name == "lightgbm":
        from .lgbm import LightGBM

        return LightGBM()
    if name == "xgboost":
        from .xgb import XGBoost

        return XGBoost()
    raise ConfigError(
        f"there is no boosting backend '{name}'.{did_you_mean(name, BACKENDS)} Allowed: {', '.join(BACKENDS)}."
    )


def load_booster(path: str | Path) -> Any:
    """Read a saved booster of either library.

    Raises
    ------
    BundleError
        If the folder is incomplete, damaged or of another format.
    """
    head = read_json(Path(path) / "booster.json")
    name = head.get("backend") if isinstance(head, dict) else None
    if name not in BACKENDS:
        raise BundleError(f"{path}: booster.json names the backend {name!r}. Known: {', '.join(BACKENDS)}.")
    return get_backend(name).load(path)
