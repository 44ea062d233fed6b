"""Stellar populations: the light of all stars that formed together, from the spectra of :mod:`.star_spectra`."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .star_spectra import star

AGES = np.array([0.006, 0.02, 0.06, 0.2, 0.6, 1.6, 4.0, 9.0])
"""Ages of the populations in Gyr."""

AGE_EDGES = np.array([0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 2.5, 6.0, 13.5])
"""Edges in Gyr of the spans of star formation that the populations stand for."""

POPULATION_METALLICITIES = np.array([-0.9, 0.1])
"""[Fe/H] of the two sets of populations; galaxies mix them."""

# The zero-age main sequence: mass in solar masses, effective temperature in K.
_MASS = np.array([0.12, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 8.0, 15.0, 30.0, 60.0])
_HEAT = np.array([2900, 3200, 3550, 4000, 5000, 5800, 6300, 7100, 9000, 12000, 16000, 21000, 29000, 37000, 44000])


def main_sequence_lifetime(mass: np.ndarray) -> np.ndarray:
    """Return the time in Gyr that a star of that mass (solar masses) spends on the main sequence."""
    return np.maximum(10.0 * mass**-2.6, 0.004)


def luminosity(mass: np.ndarray) -> np.ndarray:
    """Return the luminosity (solar) of a main-sequence star of that mass (solar)."""
    return np.where(mass < 0.43, 0.23 * mass**2.3, np.where(mass < 2.0, mass**4.0, 1.41 * mass**3.5))


def initial_mass_function(mass: np.ndarray) -> np.ndarray:
    """Return the number of stars per solar mass formed and unit mass, Kroupa (2001)."""
    return 0.2 * np.where(mass < 0.5, 2.0 * mass**-1.3, mass**-2.3)


def _giants(age: float, metallicity: float) -> list[tuple[float, float]]:
    """Temperatures in K of the evolved stars and their light as a share of the main sequence's."""
    if age < 0.008:
        return []
    if age < 0.1:
        return [(3800.0, 0.15)]  # red supergiants
    poor = -500.0 * min(metallicity, 0.0)
    if age < 1.0:
        return [(4900.0 + poor, 0.35), (3700.0 + poor, 0.25)]
    return [(4800.0 + poor, 0.75), (4300.0 + poor, 0.45), (3600.0 + poor / 2, 0.12)]


_NODES = np.log(np.geomspace(2600.0, 52000.0, 64))


@lru_cache(maxsize=4)
def _main_sequence_nodes(metallicity: float) -> np.ndarray:
    return np.stack([star(float(np.exp(node)), metallicity) for node in _NODES])


def _shared_among(place: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Deal each weight to the two nodes beside its place, by nearness."""
    position = np.clip((place - _NODES[0]) / (_NODES[1] - _NODES[0]), 0, len(_NODES) - 1.001)
    low = position.astype(int)
    part = position - low
    dealt = np.bincount(low, weight * (1 - part), minlength=len(_NODES))
    return dealt + np.bincount(low + 1, weight * part, minlength=len(_NODES))


@lru_cache(maxsize=32)
def simple_population(age: float, metallicity: float) -> np.ndarray:
    """Return the light of a population of one age and one metallicity, per solar mass formed.

    Stars of the initial mass function of Kroupa (2001) that still live on the main sequence, and evolved
    stars that shine a fixed share of that light: coarse, but breaks and lines come and go with age as
    they should.

    Parameters
    ----------
    age : float
        Gyr.
    metallicity : float
        [Fe/H].

    Returns
    -------
    array, shape (len(WAVELENGTH),)
        f_λ in solar luminosities per Å.
    """
    mass = np.exp(np.linspace(np.log(0.12), np.log(60.0), 90))
    alive = 1.0 / (1.0 + (age / main_sequence_lifetime(mass)) ** 8)
    # Stars near the end of the main sequence are cooler and brighter than at its start.
    aged = np.clip(age / main_sequence_lifetime(mass), 0.0, 1.0)
    heat = np.exp(np.interp(np.log(mass), np.log(_MASS), np.log(_HEAT)))
    heat *= (1.0 - 0.12 * aged**2) * (1.0 - 0.06 * metallicity)
    weight = initial_mass_function(mass) * luminosity(mass) * (1.0 + 0.8 * aged**2) * alive * mass
    weight *= np.log(mass[1] / mass[0])
    nodes = _main_sequence_nodes(metallicity)
    light = _shared_among(np.log(heat), weight) @ nodes
    for temperature, share in _giants(age, metallicity):
        light += share * weight.sum() * star(temperature, metallicity)
    light.flags.writeable = False
    return light


def formed_mass(time: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return how much of a galaxy's mass formed in each span of :data:`AGE_EDGES`.

    Star formation goes as t exp(-t / fold) from `time` ago until now.

    Parameters
    ----------
    time : array, shape (n,)
        Gyr since the first stars.
    fold : array, shape (n,)
        Folding time in Gyr.

    Returns
    -------
    array, shape (n, 8)
        Shares that sum to 1.
    """
    since = np.clip(time[:, None] - AGE_EDGES[None, :], 0.0, None) / fold[:, None]
    done = 1.0 - (1.0 + since) * np.exp(-since)
    share = done[:, :-1] - done[:, 1:]
    return share / share.sum(axis=1, keepdims=True)
