"""Emission lines: where they are and how strong they are in composite quasars and in nebulae."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError, did_you_mean
from .throughput import WAVELENGTH

SPEED_OF_LIGHT = 299792.458
"""km/s."""


@dataclass(frozen=True)
class LineGroup:
    """Lines that keep their ratios from object to object.

    Parameters
    ----------
    name : str
        Of the line that leads the group.
    lines : tuple of (float, float)
        Vacuum wavelength in Å and equivalent width in Å at rest.
    scatter : float
        Standard deviation of the decimal logarithm of the group's strength from object to object.
    baldwin : float
        Slope of log equivalent width against log luminosity (Baldwin 1977), 0 or negative.
    broad : bool
        Whether the lines have the width of the broad-line region.
    """

    name: str
    lines: tuple[tuple[float, float], ...]
    scatter: float
    baldwin: float = 0.0
    broad: bool = True


# Equivalent widths of the composite quasar of Vanden Berk et al. (2001), table 2, with two changes: the blend of
# Lyα and N V is split 80:15, and [N II] and [S II] next to Hα are given their usual share. Scatter and Baldwin
# slopes are of the size found by Shen et al. (2011) and Dietrich et al. (2002).
QUASAR_LINES = (
    LineGroup("OVI", ((1033.0, 9.8),), 0.20, -0.10),
    LineGroup("Lya", ((1215.7, 80.0),), 0.20, -0.10),
    LineGroup("NV", ((1240.1, 15.0),), 0.20, 0.0),
    LineGroup("OI", ((1305.4, 1.7), (1336.6, 0.7)), 0.15, 0.0),
    LineGroup("SiIV", ((1398.3, 8.1),), 0.15, -0.10),
    LineGroup("CIV", ((1546.2, 23.8),), 0.22, -0.20),
    LineGroup("HeII", ((1637.9, 2.5), (1664.7, 1.5), (1750.0, 0.7)), 0.25, -0.20),
    LineGroup("CIII", ((1857.0, 1.5), (1905.9, 21.2)), 0.15, -0.08),
    LineGroup("MgII", ((2800.3, 32.3),), 0.18, -0.15),
    LineGroup("Hbeta", ((4862.7, 46.2), (4341.7, 12.6), (4102.9, 5.1), (5877.3, 4.9), (6564.6, 194.5)), 0.18, 0.0),
    LineGroup("OIII", ((5008.2, 13.2), (4960.3, 4.4)), 0.35, -0.20, broad=False),
    LineGroup(
        "narrow",
        ((3728.5, 1.6), (3869.9, 1.4), (3426.9, 1.2), (3346.8, 0.4), (6585.3, 4.0), (6549.9, 1.3), (6725.0, 3.1)),
        0.30,
        -0.15,
        broad=False,
    ),
)

# Lines of ionised gas in galaxies, in units of Hα, Hβ for [O III], at the ratios of case B and of typical nebulae.
NEBULAR_LINES = {
    "Balmer": ((6564.6, 1.0), (4862.7, 0.350), (4341.7, 0.164), (4102.9, 0.0906), (3971.2, 0.056)),
    "OII": ((3728.5, 1.0),),
    "OIII": ((5008.2, 1.0), (4960.3, 0.335)),
    "NII": ((6585.3, 1.0), (6549.9, 0.327)),
    "SII": ((6718.3, 0.56), (6732.7, 0.44)),
    "NeIII": ((3869.9, 1.0),),
}


def line_wavelength(name: str) -> float:
    """Return the vacuum wavelength in Å of the strongest line of a quasar's group.

    Raises
    ------
    ConfigError
        If there is no such line; the nearest name is offered.
    """
    for group in QUASAR_LINES:
        if group.name == name:
            return max(group.lines, key=lambda line: line[1])[0]
    names = [group.name for group in QUASAR_LINES]
    raise ConfigError(f"there is no line '{name}' to plant.{did_you_mean(name, names)} Lines: {', '.join(names)}.")


def gaussian_line(centre: float, velocity: float) -> np.ndarray:
    """Return a Gaussian line of unit integral over wavelength, 1/Å.

    Parameters
    ----------
    centre : float
        Å.
    velocity : float
        Standard deviation in km/s.
    """
    sigma = centre * velocity / SPEED_OF_LIGHT
    profile = np.zeros_like(WAVELENGTH)
    near = slice(*np.searchsorted(WAVELENGTH, [centre - 6 * sigma, centre + 6 * sigma]))
    profile[near] = np.exp(-0.5 * ((WAVELENGTH[near] - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return profile
