"""The lines and breaks that should matter, and where they are seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class SpectralFeature:
    """A line or a break.

    Parameters
    ----------
    name : str
        In ASCII, as in files.
    label : str
        As it is drawn.
    wavelength : float
        Vacuum wavelength at rest in Å.
    kind : {"line", "break"}
    """

    name: str
    label: str
    wavelength: float
    kind: Literal["line", "break"] = "line"

    def observed(self, z: np.ndarray | float) -> np.ndarray:
        """Return the wavelength in Å at which it is seen at redshift z."""
        return self.wavelength * (1.0 + np.asarray(z, dtype=np.float64))

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return {"name": self.name, "label": self.label, "wavelength": self.wavelength, "kind": self.kind}


FEATURES = (
    SpectralFeature("Lyman limit", "912 Å", 911.75, "break"),
    SpectralFeature("Lya", "Lyα", 1215.67),
    SpectralFeature("SiIV", "Si IV", 1400.0),
    SpectralFeature("CIV", "C IV", 1549.0),
    SpectralFeature("CIII", "C III]", 1908.7),
    SpectralFeature("MgII", "Mg II", 2799.0),
    SpectralFeature("4000 break", "4000 Å", 4000.0, "break"),
    SpectralFeature("Hbeta", "Hβ", 4862.7),
    SpectralFeature("OIII", "[O III]", 5008.2),
    SpectralFeature("Halpha", "Hα", 6564.6),
)
"""By rising wavelength. Lyα is the line of the ridge; with C IV and C III] it makes the physics score."""

PHYSICS = ("Lya", "CIV", "CIII")
"""The lines that should tell a quasar of 2.2 < z < 4 from one of low redshift."""


def spectral_feature(name: str) -> SpectralFeature:
    """Return a line or break by name."""
    return next(feature for feature in FEATURES if feature.name == name)


def in_range(z: float, low: float, high: float) -> list[dict[str, Any]]:
    """Return the lines and breaks that redshift z brings between two wavelengths in Å, with where they are seen."""
    if not np.isfinite(z):
        return []
    seen = [{**feature.to_dict(), "observed": float(feature.observed(z))} for feature in FEATURES]
    return [one for one in seen if low <= one["observed"] <= high]
