"""A model that needs no training, and catalogues in the archive's format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from jpas_gbm.errors import FeatureMismatch
from jpas_gbm.model import Model
from jpas_gbm.surveys.bands import BandSystem, band_system
from jpas_gbm.surveys.catalogue import Catalogue


def recipe_of(has_imaging: bool, optional: Sequence[str] = ()) -> SimpleNamespace:
    """Say what features are made of."""
    return SimpleNamespace(has_imaging=has_imaging, options=SimpleNamespace(optional=tuple(optional)))


@dataclass
class FakeFitted:
    """Each row's margins are sums of its fluxes: equal rows are told the same in any chunk."""

    bands: BandSystem
    members: tuple[float, ...] = (1.0,)
    card: dict[str, Any] = field(
        default_factory=lambda: {
            "survey": "jpas_idr202406",
            "regime": "ssda",
            "provenance": {"seed": 7, "version": "0.1.0"},
        }
    )
    classes: tuple[str, ...] = ("QSO_high", "QSO_low", "GALAXY", "STAR")
    photometry: str = "FLUX_APER_COR_3_0"
    rule: str = "argmax"
    thresholds: np.ndarray = field(default_factory=lambda: np.array([3.0, 2.0, 1.0, 1.0]))
    chunks: list[int] = field(default_factory=list)
    overlap: None = None
    shift: None = None
    redshift: None = None
    reference: None = None
    recipe: Any = field(default_factory=lambda: recipe_of(has_imaging=False))
    few_bands: Any = None
    brightness: Any = None
    predict, widen, _counted = Model.predict, Model.widen, Model._counted

    def features(self, catalogue: Catalogue, threads: int = 1, compare: bool = False) -> Any:
        self.chunks.append(len(catalogue))
        if catalogue.photometry != self.photometry:
            raise FeatureMismatch(
                f"the model was trained on {self.photometry}, the catalogue has {catalogue.photometry}."
            )
        flux = np.nan_to_num(catalogue.select_bands(self.bands).flux.astype(np.float64))
        extra = np.nan_to_num(catalogue.imaging_mag)[:, None] * 0.01 + catalogue.morphology[:, None]
        return SimpleNamespace(X=np.concatenate([np.arcsinh(flux), extra], axis=1), names=())

    def with_spread(self, X, bare, threads=1, doubt=None):
        margins = self.member_margins(X, threads)
        p = self.calibrate(margins.mean(axis=0))
        each = np.stack([self.calibrate(one) for one in margins])
        return p, each[:, np.arange(len(p)), p.argmax(axis=1)].std(axis=0)

    def member_margins(self, X: np.ndarray, threads: int = 1) -> np.ndarray:
        base = np.stack([X[:, i::4].sum(axis=1) % 5 for i in range(4)], axis=1)
        return np.stack([factor * base for factor in self.members])

    def calibrate(self, margins: np.ndarray, bare: np.ndarray | None = None) -> np.ndarray:
        e = np.exp(margins - margins.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


@pytest.fixture
def make_fitted() -> Callable[..., FakeFitted]:
    def make(bands: str = "jpas55", **changes: Any) -> FakeFitted:
        return FakeFitted(band_system(bands), **changes)

    return make


@pytest.fixture
def fitted(make_fitted) -> FakeFitted:
    return make_fitted()


def write_catalogue(
    path: Path, n: int, seed: int = 0, photometry: str = "FLUX_APER_COR_3_0", bands: int = 57, repeat: bool = False
) -> Path:
    """Write a FITS extract as the J-PAS archive gives it, with missing bands and duplicates of position."""
    rng = np.random.default_rng(seed)
    flux = rng.normal(5, 3, (n, bands)).astype(np.float32)
    flux[rng.random((n, bands)) < 0.1] = np.nan
    number = np.arange(n) % 1000 + 1
    tile = 2241 + np.arange(n) // 1000
    if repeat:
        number[-1], tile[-1] = number[0], tile[0]
    columns = [
        fits.Column("TILE_ID", "K", array=tile),
        fits.Column("NUMBER", "K", array=number),
        fits.Column("ALPHA_J2000", "D", array=150 + 0.001 * np.arange(n)),
        fits.Column("DELTA_J2000", "D", array=rng.uniform(-1, 1, n)),
        fits.Column(photometry, f"{bands}E", array=flux),
        fits.Column(photometry.replace("FLUX", "FLUX_RELERR"), f"{bands}E", array=np.full((n, bands), 0.1, "f4")),
        fits.Column("FLAGS", f"{bands}I", array=np.zeros((n, bands), "i2")),
        fits.Column("MASK_FLAGS", f"{bands}I", array=np.zeros((n, bands), "i2")),
    ]
    fits.BinTableHDU.from_columns(columns, name="FLambdaDualObj").writeto(path)
    return path


def write_tractor(path: Path, catalogue: Path, share: float = 0.7, more: Sequence[str] = ()) -> Path:
    """Write a Tractor table of a share of a catalogue's sources, displaced by some tenths of arcsec."""
    with fits.open(catalogue) as file:
        ra, dec = file[1].data["ALPHA_J2000"].copy(), file[1].data["DELTA_J2000"].copy()
    rng = np.random.default_rng(5)
    keep = rng.permutation(len(ra))[: int(share * len(ra))]
    n = len(keep)
    columns = [
        fits.Column("RA", "D", array=ra[keep] + rng.normal(0, 3e-5, n)),
        fits.Column("DEC", "D", array=dec[keep] + rng.normal(0, 3e-5, n)),
        fits.Column("TYPE", "4A", array=rng.choice(["PSF", "REX", "DEV"], n)),
        fits.Column("FLUX_R", "E", array=rng.uniform(1, 50, n).astype("f4")),
        *(fits.Column(name, "E", array=np.ones(n)) for name in more),
        fits.Column("BRICKID", "J", array=np.arange(n)),
        fits.Column("OBJID", "J", array=np.arange(n)),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(path)
    return path


@pytest.fixture
def make_catalogue(tmp_path) -> Callable[..., Path]:
    def make(n: int = 250, name: str = "catalogue.fits", **changes: Any) -> Path:
        return write_catalogue(tmp_path / name, n, **changes)

    return make


@pytest.fixture
def make_tractor(tmp_path) -> Callable[..., Path]:
    def make(catalogue: Path, **changes: Any) -> Path:
        return write_tractor(tmp_path / "tractor.fits", catalogue, **changes)

    return make
