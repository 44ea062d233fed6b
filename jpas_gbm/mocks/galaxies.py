"""Galaxies: stellar populations of two metallicities, dust, and the lines of ionised gas."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from .cosmology import cosmic_age
from .draws import lognormal
from .dust import calzetti
from .emission import NEBULAR_LINES, gaussian_line
from .populations import AGES, POPULATION_METALLICITIES, formed_mass, simple_population
from .spectra import ComponentTable
from .throughput import WAVELENGTH, Throughput

Z_MAX = 1.8
KINDS = ("bright", "red", "emission")
"""The three samples that a spectroscopic survey targets: a magnitude-limited one, luminous red galaxies at
redshifts of 0.35 to 1.1, and emission-line galaxies at 0.6 to 1.65."""

_STARS = len(AGES) * len(POPULATION_METALLICITIES)
_ALPHA_PER_MASS = 4.7  # solar luminosities of Hα per solar mass formed in the last 10 Myr (Kennicutt & Evans 2012)
_ALPHA_OVER_CONTINUUM = 1700.0  # Å, of ionised gas alone (Osterbrock & Ferland 2006)


def component_spectra() -> np.ndarray:
    """Return the rest spectra of stars by metallicity and age, then of the nebular groups.

    Returns
    -------
    array, shape (16 + 6, len(WAVELENGTH))
        Stars in solar luminosities per Å and solar mass formed; lines such that coefficient 1 goes with
        one solar mass formed in the last 10 Myr.
    """
    stars = [simple_population(age, feh) for feh in POPULATION_METALLICITIES.tolist() for age in AGES.tolist()]
    lines = [
        _ALPHA_PER_MASS * sum(strength * gaussian_line(centre, 150.0) for centre, strength in group)
        for group in NEBULAR_LINES.values()
    ]
    # Hydrogen shines between its lines too: recombination to the second level jumps up at 3646 Å.
    gas = (WAVELENGTH / 6564.6) ** -0.9 * (1.0 + 1.2 * expit((3670.0 - WAVELENGTH) / 8.0))
    lines[0] = lines[0] + _ALPHA_PER_MASS / _ALPHA_OVER_CONTINUUM * gas
    return np.stack([*stars, *lines])


class Galaxies:
    """Draws galaxies and gives their band fluxes.

    Parameters
    ----------
    throughput : Throughput
        The b bands.
    """

    def __init__(self, throughput: Throughput) -> None:
        self.table = ComponentTable(throughput, component_spectra(), Z_MAX)

    def fluxes(self, rng: np.random.Generator, z: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return band fluxes of galaxies with parameters drawn at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where the star-formation histories, metallicities, dust and line ratios come from.
        z : array, shape (n,)
            Redshifts.
        kind : array of int, shape (n,)
            Place in :data:`KINDS`.

        Returns
        -------
        flux : array of float32, shape (n, b)
            In an arbitrary unit for each galaxy.
        quiescent : array of bool, shape (n,)
            Which galaxies have stopped forming stars.
        """
        mass, quiescent = _histories(rng, z, kind)
        rich = np.clip(rng.normal(np.where(quiescent, 0.8, 0.5) - 0.25 * (kind == 2), 0.2), 0.0, 1.0)
        stars = np.concatenate([mass * (1 - rich[:, None]), mass * rich[:, None]], axis=1)
        lines = mass[:, :1] * _line_ratios(rng, rich, quiescent, mass)
        reddening = np.where(quiescent, 0.03, 0.11) * rng.gamma(2.0, 0.5, len(z))
        curve = calzetti(np.exp(self.table.log_rest(z)))
        # Gas is reddened 1/0.44 times as much as stars (Calzetti et al. 2000).
        extinction = np.exp(-0.921034 * reddening[:, None] * curve).astype(np.float32)
        gas = np.exp(-0.921034 * (reddening / 0.44)[:, None] * curve).astype(np.float32)
        flux = self.table.photometry(z, stars) * extinction
        return flux + self.table.photometry(z, lines, _STARS) * gas, quiescent


def _histories(rng: np.random.Generator, z: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mass formed in each span of ages, and whether star formation is over."""
    n = len(z)
    quiescent = rng.random(n) < np.select([kind == 0, kind == 1], [0.33, 0.90], 0.0)
    start = cosmic_age(z) * np.where(quiescent, rng.uniform(0.75, 0.95, n), rng.uniform(0.25, 0.95, n))
    fold = np.where(quiescent, rng.uniform(0.06, 0.16, n) * start, lognormal(rng, np.where(kind == 2, 8.0, 6.0), 0.35))
    mass = formed_mass(start, fold)
    # Star formation of the last 30 Myr varies more than that of the last Gyr.
    now = lognormal(rng, np.ones(n), 0.25)
    mass[:, :2] *= now[:, None]
    burst = np.where((rng.random(n) < 0.15) & ~quiescent, rng.exponential(0.02, n), 0.0)
    mass[:, 1:4] += burst[:, None] * np.array([0.1, 0.3, 0.6])
    quenched = rng.random(n) < 0.02
    mass[quenched, :3] *= 0.02
    return mass, quiescent


def _line_ratios(rng: np.random.Generator, rich: np.ndarray, quiescent: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Lines over Hα: metals quench the excitation, and some galaxies have a nucleus that raises it."""
    n = len(rich)
    oxygen3 = 0.35 * lognormal(rng, 10.0 ** (0.55 - 0.95 * rich), 0.18)
    oxygen2 = lognormal(rng, 1.0 - 0.45 * rich, 0.12)
    nitrogen = lognormal(rng, 0.06 + 0.38 * rich, 0.12)
    sulphur = lognormal(rng, 0.20 + 0.15 * rich, 0.08)
    ratios = np.stack([np.ones(n), oxygen2, oxygen3, nitrogen, sulphur, 0.10 * oxygen3], axis=1)
    # A few have an active nucleus; the weak lines of red ones scale with their old stars.
    seyfert = np.where(rng.random(n) < 0.03, rng.exponential(1.5, n), 0.0)
    weak = np.where(quiescent & (rng.random(n) < 0.5), 1.2e-5 * rng.exponential(1.0, n), 0.0) / (mass[:, 0] + 1e-8)
    return ratios + (seyfert + weak)[:, None] * np.array([1.0, 1.0, 3.0, 0.9, 0.5, 0.25])
