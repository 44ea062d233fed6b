"""Round after round: what one training is given, and how many of its rounds are worth keeping."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import BoostingOptions
from .backend import OnRound
from .binned import BinnedMatrix


@dataclass(frozen=True, eq=False)
class Rows:
    """Binned rows with all that one training needs of them."""

    data: BinnedMatrix
    y: np.ndarray
    weight: np.ndarray
    start: np.ndarray


@dataclass(frozen=True)
class Task:
    """What to grow."""

    n_classes: int
    options: BoostingOptions
    seed: int
    threads: int


class Grower(ABC):
    """One training under way."""

    @abstractmethod
    def step(self) -> bool:
        """Grow one round; false if no split was worth it and nothing more will grow."""

    @abstractmethod
    def loss(self) -> float:
        """Return the log loss of the validation rows after the rounds so far."""

    @abstractmethod
    def finish(self, rounds: int) -> Any:
        """Return the first `rounds` rounds as a booster of the library, without training data."""


def log_loss(margins: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted mean of -log p of the true class, from margins (n, k)."""
    top = margins.max(axis=1)
    norm = top + np.log(np.exp(margins - top[:, None]).sum(axis=1))
    return float(np.average(norm - margins[np.arange(len(y)), y], weights=weight))


def log_shares(y: np.ndarray, weight: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the log of class shares, (k,), as if each class had half a row more: absent ones stay finite."""
    count = np.bincount(y, weights=weight, minlength=n_classes) + 0.5
    logs = np.log(count / count.sum())
    return logs - logs[0] if n_classes == 2 else logs


def grow(
    grower: Grower, options: BoostingOptions, start_loss: float | None, on_round: OnRound | None
) -> tuple[int, dict[str, Any]]:
    """Grow round after round and find how many to keep.

    Parameters
    ----------
    grower : Grower
    options : BoostingOptions
        `rounds` and `patience`.
    start_loss : float or None
        Validation loss before the first round; None without validation rows. As long as no round
        falls below it, the best number of rounds is 0.
    on_round : callable, optional

    Returns
    -------
    int
        Rounds to keep.
    dict
        Rounds grown, best and starting loss, seconds.
    """
    began = time.perf_counter()
    best, best_loss = 0, np.inf if start_loss is None else start_loss
    grown = 0
    while grown < options.rounds and grower.step():
        grown += 1
        loss = np.nan if start_loss is None else grower.loss()
        if start_loss is None or loss < best_loss:
            best, best_loss = grown, loss
        if on_round is not None:
            on_round(grown, loss)
        if options.patience and grown - best >= options.patience:
            break
    return best, {
        "rounds": best,
        "rounds_grown": grown,
        "start_loss": start_loss,
        "best_loss": None if start_loss is None else float(best_loss),
        "seconds": round(time.perf_counter() - began, 3),
    }
