"""Smooth spectra with a line in one class: what an explanation must find is known beforehand."""

from __future__ import annotations

import numpy as np

from ..survey.classes import CLASSES
from .emission import line_wavelength
from .options import PlantedLine
from .quasars import continuum, line_spectra
from .spectra import ComponentTable
from .throughput import Throughput

_VELOCITY = 2500.0  # km/s


class SmoothSpectra:
    """Power laws, and in one class one emission line at its redshift.

    Parameters
    ----------
    throughput : Throughput
        The b bands.
    planted : PlantedLine
        Which line, in which class, how strong.

    Raises
    ------
    ConfigError
        If there is no such line.
    """

    def __init__(self, throughput: Throughput, planted: PlantedLine) -> None:
        self.wavelength = line_wavelength(planted.line)
        self._code = CLASSES.index(planted.to)
        line = line_spectra(((self.wavelength, planted.equivalent_width),), _VELOCITY)
        self._table = ComponentTable(throughput, np.stack([continuum(), line]), 5.0)

    def fluxes(self, rng: np.random.Generator, z: np.ndarray, code: int) -> np.ndarray:
        """Return band fluxes of one class in an arbitrary unit, float32 (n, b)."""
        strength = 10.0 ** (0.1 * rng.standard_normal(len(z))) * (code == self._code)
        flux = self._table.photometry(z, np.stack([np.ones(len(z)), strength], axis=1))
        # One distribution of slopes for all classes: nothing but the line tells them apart.
        tilt = rng.normal(0.0, 0.3, len(z))
        observed = self._table.log_rest(np.zeros(1), 6000.0)
        return flux * np.exp(tilt[:, None] * observed).astype(np.float32)
