"""Extinction and attenuation laws, each as A(λ) / E(B-V)."""

from __future__ import annotations

import numpy as np


def small_magellanic(wavelength: np.ndarray) -> np.ndarray:
    """Return A(λ)/E(B-V) of the Small Magellanic Cloud, 1.39 λ^-1.2 with λ in µm.

    The form of Prevot et al. (1984) that Richards et al. (2003) use for quasars.

    Parameters
    ----------
    wavelength : array
        Å at rest.
    """
    return 1.39 * (np.asarray(wavelength) / 1e4) ** -1.2


def calzetti(wavelength: np.ndarray) -> np.ndarray:
    """Return the attenuation of starlight in galaxies, A(λ)/E(B-V) of Calzetti et al. (2000), R_V = 4.05.

    Parameters
    ----------
    wavelength : array
        Å at rest; the law is held constant in slope below 1200 Å.
    """
    micron = np.asarray(wavelength) / 1e4
    blue = 2.659 * (-2.156 + 1.509 / micron - 0.198 / micron**2 + 0.011 / micron**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 / micron) + 4.05
    edge = 0.12
    at_edge = 2.659 * (-2.156 + 1.509 / edge - 0.198 / edge**2 + 0.011 / edge**3) + 4.05
    slope = 2.659 * (-1.509 / edge**2 + 0.396 / edge**3 - 0.033 / edge**4)
    far = at_edge + slope * (micron - edge)
    return np.maximum(np.where(micron < edge, far, np.where(micron < 0.63, blue, red)), 0.0)


def milky_way(wavelength: np.ndarray) -> np.ndarray:
    """Return A(λ)/E(B-V) of our Galaxy, Cardelli, Clayton & Mathis (1989), R_V = 3.1.

    Parameters
    ----------
    wavelength : array
        Å as observed, between 3030 and 33000.
    """
    x = 1e4 / np.asarray(wavelength)
    y = x - 1.82
    # Coefficients of y, y², ... y⁷.
    a = (0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999)
    b = (1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002)
    optical = 1.0 + np.polyval([*a[::-1], 0.0], y) + np.polyval([*b[::-1], 0.0], y) / 3.1
    infrared = (0.574 - 0.527 / 3.1) * x**1.61
    return 3.1 * np.where(x > 1.1, optical, infrared)
