"""Answers of a made-up classifier: unequal classes, some ties, honest or over-confident."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
SHARES = np.array([0.04, 0.06, 0.6, 0.3])


def softmax(margins: np.ndarray) -> np.ndarray:
    e = np.exp(margins - margins.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture(scope="session")
def make_answers() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Labels drawn from calibrated probabilities, which are then sharpened (1: left honest)."""

    def make(n: int, seed: int, sharpen: float = 1.0, digits: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        kind = rng.choice(4, n, p=SHARES)
        margins = rng.normal(0, 1.2, (n, 4)) + np.log(SHARES)
        margins[np.arange(n), kind] += 3
        honest = softmax(margins)
        y = (rng.random(n)[:, None] > np.cumsum(honest, axis=1)).sum(axis=1).clip(max=3)
        p = softmax(sharpen * np.log(honest))
        if digits is not None:
            p = np.round(p, digits) + 1e-9
            p /= p.sum(axis=1, keepdims=True)
        return y, p

    return make
