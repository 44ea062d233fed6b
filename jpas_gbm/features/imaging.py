"""Features that the imaging survey gives: magnitude and morphology."""

from __future__ import annotations

import numpy as np

from ..survey.bands import BandSystem
from ..survey.catalogue import MORPHOLOGIES
from .spectra import Spectra

_UNKNOWN = MORPHOLOGIES.index("UNKNOWN")
_POINT = MORPHOLOGIES.index("PSF")


class ImagingFeatures:
    """Magnitude, morphology code and whether the source is a point; NaN where imaging does not know.

    They belong to no band of the survey: their weights are zero. Magnitudes of the imaging survey are not
    held against the survey's own fluxes, whose level is arbitrary in mocks: that would tell mocks from sky.
    """

    group = "imaging"
    names: tuple[str, ...] = ("imaging_mag", "imaging_morphology", "imaging_point")

    def __init__(self, bands: BandSystem) -> None:
        self.weights = np.zeros((len(self.names), len(bands)))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n)."""
        code = spectra.morphology
        known = code != _UNKNOWN
        out[0] = spectra.imaging_mag
        out[1] = np.where(known, code, np.float32(np.nan))
        out[2] = np.where(known, code == _POINT, np.float32(np.nan))
