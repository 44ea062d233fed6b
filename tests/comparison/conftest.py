"""A small data set with overlapping classes, and a fit that takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jpas_gbm.errors import FitError
from jpas_gbm.surveys.bands import Band, BandSystem
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.dataset import Dataset

BANDS = BandSystem("three", tuple(Band(f"B{i}", 4000.0 + 1000 * i, 100.0) for i in range(3)))
CENTRES = np.array([[3.0, 0, 0], [0, 3, 0], [0, 0, 3], [2.0, 2, 2]])
SHARES = np.array([0.08, 0.12, 0.5, 0.3])


def catalogue(n: int, seed: int, shift: float = 0.0, first_id: int = 0, photometry: str = "SKY") -> Catalogue:
    rng = np.random.default_rng(seed)
    label = rng.choice(4, n, p=SHARES).astype(np.int8)
    flux = CENTRES[label] + rng.normal(0, 1.2, (n, 3)) + shift
    return Catalogue(
        bands=BANDS,
        flux=flux.astype(np.float32),
        flux_err=np.ones((n, 3), dtype=np.float32),
        key={"ROW": np.arange(n) + first_id},
        object_id=np.arange(n) + first_id,
        mag=rng.uniform(18, 24, n).astype(np.float32),
        imaging_mag=np.full(n, 20, dtype=np.float32),
        label=label,
        z=np.where(label < 2, rng.uniform(0, 4, n), 0.1),
        photometry=photometry,
    )


@dataclass
class FakeFitted:
    """Gaussian classes about their means."""

    means: np.ndarray
    card: dict[str, Any]
    classes: tuple[str, ...] = ("QSO_high", "QSO_low", "GALAXY", "STAR")
    thresholds: np.ndarray = field(default_factory=lambda: np.array([2.0, 1.5, 1.0, 1.0]))
    rule: str = "thresholds"
    seen: list[Catalogue] = field(default_factory=list)
    known: Any = None
    recipe: Any = field(default_factory=lambda: SimpleNamespace(options=SimpleNamespace(optional=())))

    def probabilities(self, catalogue: Catalogue, threads: int = 1) -> np.ndarray:
        self.seen.append(catalogue)
        distance = ((catalogue.flux[:, None, :] - self.means) ** 2).sum(axis=2) / (2 * 1.2**2)
        weight = SHARES * np.exp(-(distance - distance.min(axis=1, keepdims=True)))
        return weight / weight.sum(axis=1, keepdims=True)

    def save(self, folder: Path, *, overwrite: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=overwrite)
        np.save(folder / "means.npy", self.means)


@dataclass
class FakeFit:
    """Class means of the rows that the regime may use; counts its calls."""

    calls: list[tuple[str, int, int]] = field(default_factory=list)
    stop_after: int | None = None
    fewest: int = 0

    def __call__(self, dataset: Dataset, *, config, seed, threads, progress) -> FakeFitted:
        options = config
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        labelled = dataset.for_training().target_rows("train", "val")
        labelled = labelled.take(labelled.label >= 0)
        if options.regime != "mocks-only" and len(labelled) < self.fewest:
            raise FitError("too few labels to fit on.")
        self.calls.append((options.regime, seed, len(labelled)))
        rows = dataset.source_rows("train")
        if progress is not None:
            progress("trees", 1, 1)
        rng = np.random.default_rng(seed)
        means = np.stack([rows.flux[rows.label == c].mean(axis=0) for c in range(4)])
        if options.regime in ("target-only", "ssda"):
            own = np.stack([labelled.flux[labelled.label == c].sum(axis=0) for c in range(4)])
            n = np.bincount(labelled.label, minlength=4)[:, None]
            prior = 5 if options.regime == "ssda" else 1e-3
            means = (own + prior * means) / (n + prior)
        means = means + rng.normal(0, 0.02, means.shape)
        return FakeFitted(means, {"regime": options.regime, "provenance": {"seed": seed}, "notes": []})


@pytest.fixture
def fake_fit() -> FakeFit:
    return FakeFit()


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    source, target = catalogue(3000, 1, shift=0.5, first_id=10**6, photometry="MOCK"), catalogue(3000, 2)
    target = target.replace(label=np.where(np.arange(3000) < 200, np.int8(-1), target.label))
    split = np.where(np.arange(3000) < 200, -1, np.arange(3000) % 10 // 3).clip(max=2)
    source_split = np.arange(3000) % 10 // 8
    twins = catalogue(50, 3, first_id=0).replace(object_id=np.arange(200, 250))
    return Dataset(source, source_split, target, split, twins, provenance={"made": "for tests"})


@pytest.fixture(scope="session")
def make_fit() -> Callable[..., FakeFit]:
    return FakeFit
