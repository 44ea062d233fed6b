"""Samples of a world whose class densities are known: probabilities are exact, mixes are chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from jpas_gbm.boosting.calibration import HeldOut
from jpas_gbm.lists.predicted import Predicted
from jpas_gbm.surveys.labels import LabelledRows
from jpas_gbm.surveys.scheme import LabelScheme

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
OLD = np.array([0.04, 0.06, 0.6, 0.3])
NEW = np.array([0.02, 0.03, 0.7, 0.25])
_CENTRES = np.array([[0.0, 0.0], [2.2, 0.0], [4.5, 1.5], [0.5, 4.5]])


def draw(rng: np.random.Generator, n: int, mix: np.ndarray, old: np.ndarray = OLD, width: float = 1.0):
    """Draw rows of a mix; return exact probabilities for the mix `old`, and the classes."""
    label = rng.choice(4, size=n, p=mix / mix.sum())
    x = _CENTRES[label] + width * rng.standard_normal((n, 2))
    density = np.exp(-0.5 * ((x[:, None] - _CENTRES) ** 2).sum(axis=2)) * old
    return density / density.sum(axis=1, keepdims=True), label


def held_out(rng: np.random.Generator, n: int = 4000, mix: np.ndarray = OLD, domain: str = "target") -> HeldOut:
    p, label = draw(rng, n, mix)
    return HeldOut(p, label.astype(np.int8), np.arange(n), rng.uniform(18, 23, n).astype(np.float32), domain)


def about(**changes: Any) -> dict[str, Any]:
    return {"classes": list(CLASSES), "made": "2026-01-01T00:00:00+00:00", "version": "0.1.0", "seed": 3} | changes


def predicted(rng: np.random.Generator, n: int = 3000, mix: np.ndarray = NEW) -> tuple[Predicted, np.ndarray]:
    """Rows of a square of one degree, and their classes."""
    p, label = draw(rng, n, mix)
    rows = Predicted(
        classes=CLASSES,
        ids={"TILE_ID": np.full(n, 2241), "NUMBER": np.arange(1, n + 1)},
        ra=150 + rng.uniform(0, 1, n) / np.cos(np.deg2rad(2.5)),
        dec=2 + rng.uniform(0, 1, n),
        mag=rng.uniform(18, 23, n).astype(np.float32),
        p=p,
        quality=np.zeros(n, dtype=np.int32),
        more={"WHY_BAND_1": np.array(["J0378", "J0390"])[np.arange(n) % 2], "SPREAD": rng.random(n).astype("f4")},
        model=about(),
        sources=("P.fits",),
    )
    return rows, label


class FakeFitted:
    """What a list needs of a model."""

    classes = CLASSES
    scheme = LabelScheme(CLASSES)

    def __init__(self, sample: HeldOut | None, known: LabelledRows | None = None) -> None:
        self.held_out, self.known = sample, known


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture(scope="session")
def world():
    """Held-out labels, a field with another mix, and its classes."""
    made = np.random.default_rng(5)
    labelled = held_out(made)
    rows, label = predicted(made)
    return labelled, rows, label


@pytest.fixture(scope="session")
def world_mix(world):
    from jpas_gbm.lists.mix import estimate_mix

    labelled, rows, _ = world
    return estimate_mix(labelled, rows.p, rows.mag, draws=60, seed=1)


@pytest.fixture(scope="session")
def samples():
    """The functions and constants of this file."""
    from types import SimpleNamespace

    return SimpleNamespace(
        draw=draw,
        held_out=held_out,
        predicted=predicted,
        about=about,
        FakeFitted=FakeFitted,
        CLASSES=CLASSES,
        OLD=OLD,
        NEW=NEW,
        replace=replace,
    )
