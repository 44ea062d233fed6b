"""Galaxies and the quasars in them.

A galaxy is stellar populations of two metallicities, dust, and the lines of ionised gas; a quasar a power law, iron,
Balmer continuum, lines, winds, dust, its host and the forest in front.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import expit

from ..simulation import spectra as igm
from .spectra import ComponentTable, Rows, calzetti, gaussian_line, small_magellanic, spectra_file
from .stars import cosmic_age, distance_modulus, lognormal, star
from .throughput import WAVELENGTH, Throughput

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
    """Return the time in Gyr that a star of that mass (solar masses) spends on the main sequence.

    Parameters
    ----------
    mass : array, shape (m,)
        Solar masses.

    Returns
    -------
    array of float64, shape (m,)
        Gyr
    """
    return np.maximum(10.0 * mass**-2.6, 0.004)


def luminosity(mass: np.ndarray) -> np.ndarray:
    """Return the luminosity (solar) of a main-sequence star of that mass (solar).

    Parameters
    ----------
    mass : array, shape (m,)
        Solar masses.

    Returns
    -------
    array of float64, shape (m,)
        Solar luminosities.
    """
    return np.where(mass < 0.43, 0.23 * mass**2.3, np.where(mass < 2.0, mass**4.0, 1.41 * mass**3.5))


def initial_mass_function(mass: np.ndarray) -> np.ndarray:
    """Return the number of stars per solar mass formed and unit mass, Kroupa (2001).

    Parameters
    ----------
    mass : array, shape (m,)
        Solar masses.

    Returns
    -------
    array of float64, shape (m,)
        Per solar mass squared.
    """
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
        for group in spectra_file().nebular_lines.values()
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

    def fluxes(
        self, rng: np.random.Generator, z: np.ndarray, kind: np.ndarray, population: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return band fluxes of galaxies with parameters drawn at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where the star-formation histories, metallicities, dust and line ratios come from.
        z : array, shape (n,)
            Redshifts.
        kind : array of int, shape (n,)
            Place in :data:`KINDS`.
        population : float
            How much more dust, fewer metals and stronger lines there are than usual; 0 is usual.

        Returns
        -------
        flux : array of float32, shape (n, b)
            In an arbitrary unit for each galaxy.
        quiescent : array of bool, shape (n,)
            Which galaxies have stopped forming stars.
        """
        mass, quiescent = _histories(rng, z, kind)
        rich = np.clip(rng.normal(np.where(quiescent, 0.8, 0.5) - 0.25 * (kind == 2) - 0.2 * population, 0.2), 0.0, 1.0)
        stars = np.concatenate([mass * (1 - rich[:, None]), mass * rich[:, None]], axis=1)
        lines = mass[:, :1] * drawn_lines(rng, rich, quiescent, mass) * (1.0 + 0.4 * population)
        reddening = np.where(quiescent, 0.03, 0.11) * rng.gamma(2.0, 0.5, len(z)) * (1.0 + 0.6 * population)
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


def drawn_lines(rng: np.random.Generator, rich: np.ndarray, quiescent: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Return lines over Hα, (n, 6): metals quench the excitation, and some galaxies have a nucleus that raises it.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where ratios come from.
    rich : array, shape (n,)
        Richness in metals, 0 to 1.
    quiescent : array of bool, shape (n,)
        Whether star formation is over.
    mass : array, shape (n, a)
        Mass formed in each span of ages.

    Returns
    -------
    array, shape (n, 6)
        Hα, [O II], [O III], [N II], [S II], [Ne III].
    """
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


QUASAR_Z_MAX = 4.9


SLOPE = -1.56
"""Slope of f_λ of the median quasar between 1300 and 5000 Å (Vanden Berk et al. 2001)."""


_REFERENCE = 3000.0


_BROAD = (1600.0, 4000.0)  # km/s, standard deviations of the two widths that broad lines mix


_NARROW = 350.0


def continuum() -> np.ndarray:
    """Return the median continuum, 1 at 3000 Å: f_ν ∝ ν^-0.44, and ν^-1.7 beyond 1000 Å (Lusso et al. 2015).

    Returns
    -------
    array of float64, shape (len(WAVELENGTH),)
        f_λ
    """
    far = (1000.0 / _REFERENCE) ** SLOPE * (WAVELENGTH / 1000.0) ** -0.3
    return np.where(WAVELENGTH < 1000.0, far, (WAVELENGTH / _REFERENCE) ** SLOPE)


def balmer_continuum() -> np.ndarray:
    """Return the Balmer continuum, 1 at 3000 Å, after Grandi (1982): 15000 K, optical depth 1 at the edge.

    Returns
    -------
    array of float64, shape (len(WAVELENGTH),)
        f_λ
    """
    depth = np.minimum(WAVELENGTH / 3646.0, 1.0) ** 3
    planck = WAVELENGTH**-5.0 / np.expm1(1.4388e8 / (WAVELENGTH * 15000.0))
    light = planck * (1.0 - np.exp(-depth)) * expit((3720.0 - WAVELENGTH) / 35.0)
    return light / np.interp(_REFERENCE, WAVELENGTH, light)


def _iron(table: Rows, span: tuple[float, float]) -> np.ndarray:
    """An iron template whose coefficient is its equivalent width in Å within `span`."""
    template = np.zeros_like(WAVELENGTH)
    for centre, sigma, height in table:
        template += height * np.exp(-0.5 * ((WAVELENGTH - centre) / sigma) ** 2)
    inside = slice(*np.searchsorted(WAVELENGTH, span))
    return template * continuum() / np.trapezoid(template[inside], WAVELENGTH[inside])


def _troughs() -> list[np.ndarray]:
    """Broad absorption by winds at two ranges of velocity, as the light that they take away at full depth."""
    found = []
    for slow, fast in ((1500.0, 9000.0), (6000.0, 18000.0)):
        trough = np.zeros_like(WAVELENGTH)
        for line, share in ((1549.0, 1.0), (1397.0, 0.6), (1240.0, 0.7), (1034.0, 0.7)):
            red, blue = line * (1 - slow / 299792.458), line * (1 - fast / 299792.458)
            trough += share * expit((red - WAVELENGTH) / 4) * expit((WAVELENGTH - blue) / 8)
        found.append(-np.minimum(trough, 1.0) * continuum())
    return found


def line_spectra(lines: tuple[tuple[float, float], ...], velocity: float) -> np.ndarray:
    """Return lines whose coefficient 1 gives the equivalent widths listed over the median continuum.

    Parameters
    ----------
    lines : tuple of (float, float)
        Wavelength and equivalent width of each, Å.
    velocity : float
        Standard deviation in km/s.

    Returns
    -------
    array of float64, shape (len(WAVELENGTH),)
        f_λ
    """
    level = np.interp([centre for centre, _ in lines], WAVELENGTH, continuum())
    return np.sum(
        [
            width * height * gaussian_line(centre, velocity)
            for (centre, width), height in zip(lines, level, strict=True)
        ],
        axis=0,
    )


def quasar_components() -> np.ndarray:
    """Return the rest spectra of continuum, Balmer continuum, iron, winds, lines and host.

    Broad lines come twice, in each of two widths; the host galaxy comes last, old and young stars, with
    coefficient 1 for the continuum's flux at 5100 Å.

    Returns
    -------
    array of float64, shape (c, len(WAVELENGTH))
        f_λ
    """
    parts = [continuum(), balmer_continuum()]
    facts = spectra_file()
    parts += [_iron(facts.iron_uv, (2250.0, 2650.0)), _iron(facts.iron_optical, (4434.0, 4684.0)), *_troughs()]
    for group in facts.quasar_lines:
        parts += [line_spectra(group.lines, velocity) for velocity in (_BROAD if group.broad else (_NARROW,))]
    hosts = [simple_population(4.0, 0.1), simple_population(0.6, 0.1)]
    level = np.interp(5100.0, WAVELENGTH, parts[0])
    return np.stack([*parts, *(host * level / np.interp(5100.0, WAVELENGTH, host) for host in hosts)])


class Quasars:
    """Draws quasars and gives their band fluxes.

    Parameters
    ----------
    throughput : Throughput
        The b bands.
    """

    def __init__(self, throughput: Throughput) -> None:
        spectra = quasar_components()
        self._active = len(spectra) - 2
        self.table = ComponentTable(throughput, spectra, QUASAR_Z_MAX, igm.transmission)
        clear = ComponentTable(throughput, spectra[:1], QUASAR_Z_MAX)
        with np.errstate(divide="ignore"):
            # Mean optical depth of the forest in each band.
            self._depth = -np.log(np.maximum(self.table.values[:, 0] / clear.values[:, 0], 1e-6))

    def fluxes(
        self, rng: np.random.Generator, z: np.ndarray, magnitude: np.ndarray, population: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return band fluxes of quasars with parameters drawn at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where slopes, lines, winds, dust and sight lines come from.
        z : array, shape (n,)
            Redshifts.
        magnitude : array, shape (n,)
            r, AB: with z it gives the luminosity, and that the host and the Baldwin effect.
        population : float
            How far redder slopes, weaker lines, more dust and brighter hosts are than usual; 0 is usual.

        Returns
        -------
        flux : array of float32, shape (n, b)
            In an arbitrary unit for each quasar.
        host_share : array of float32, shape (n,)
            Of the light at 5100 Å at rest.
        traits : array of float64, shape (2, n)
            Depth of the wind's troughs, and E(B-V) of the quasar's own dust.
        """
        n = len(z)
        # Absolute r of the power law, K-corrected to z = 0.
        absolute = magnitude - distance_modulus(z) + 2.5 * 0.56 * np.log10(1.0 + z)
        active = self._active_coefficients(rng, z, absolute)
        traits = np.stack([active[:, 4] + active[:, 5], np.zeros(n)])
        active[:, 6:] *= 10.0 ** (-0.12 * population)
        host = _host_ratio(rng, absolute) * (1.0 + 0.8 * population)
        age = rng.random(n)
        tilt = rng.normal(0.2 * population, 0.22, n)
        reddening = rng.exponential(0.02, n) + np.where(rng.random(n) < 0.06, rng.exponential(0.10, n), 0.0)
        traits[1] = reddening = reddening * (1.0 + population)
        rest = self.table.log_rest(z, _REFERENCE)
        change = tilt[:, None] * rest - 0.921034 * reddening[:, None] * small_magellanic(_REFERENCE * np.exp(rest))
        flux = self.table.photometry(z, active) * np.exp(change).astype(np.float32)
        stars = np.stack([host * (1 - 0.7 * age), host * 0.7 * age], axis=1)
        flux += self.table.photometry(z, stars, self._active)
        flux *= self._sight_line(rng, z)
        return np.maximum(flux, 0.0), (host / (1 + host)).astype(np.float32), traits

    def _active_coefficients(self, rng: np.random.Generator, z: np.ndarray, absolute: np.ndarray) -> np.ndarray:
        n = len(z)
        brightness = np.clip(-0.4 * (absolute + 25.5), -2.0, 2.0)  # log luminosity over that of the composite
        wind = np.where(rng.random(n) < 0.12, rng.uniform(0.25, 0.9, n), 0.0)
        fast = rng.random(n) < 0.4
        columns = [np.ones(n), lognormal(rng, np.full(n, 0.12), 0.2)]
        columns += [lognormal(rng, np.full(n, 55.0), 0.2), lognormal(rng, np.full(n, 25.0), 0.25)]
        columns += [np.where(fast, 0.0, wind), np.where(fast, wind, 0.0)]
        weak = np.where(rng.random(n) < 0.03, 0.25, 1.0)  # weak-lined quasars
        broadness = rng.beta(2.0, 2.0, n)
        for group in spectra_file().quasar_lines:
            strength = lognormal(rng, 10.0 ** (group.baldwin * brightness), group.scatter)
            if group.broad:
                columns += [weak * strength * (1 - broadness), weak * strength * broadness]
            else:
                columns.append(strength)
        return np.stack(columns, axis=1)

    def _sight_line(self, rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
        """How much more or less light a sight line lets through than the mean of all."""
        depth = self._depth[self.table.nearest(z)]
        factor = np.exp(-depth * rng.normal(0.0, 0.12, (len(z), 1)).astype(np.float32))
        factor *= 1.0 + 0.25 * depth / (1.0 + depth) * rng.standard_normal(depth.shape, dtype=np.float32)
        # A Lyman-limit system near the quasar takes all light beyond 912 Å: exactly nothing is left there.
        blocked = (rng.random(len(z)) < 0.35)[:, None] & (self.table.log_rest(z, igm.LYMAN_LIMIT) < -0.015)
        return np.where(blocked, np.float32(0.0), np.maximum(factor, 0.02))


def _host_ratio(rng: np.random.Generator, absolute: np.ndarray) -> np.ndarray:
    """Host over quasar at 5100 Å by luminosity, Shen et al. (2011), eq. 1."""
    x = np.clip(44.9 - 0.4 * (absolute + 23.9) - 44.0, -0.2, 1.053)
    ratio = 0.8052 - 1.5502 * x + 0.9121 * x**2 - 0.1577 * x**3
    return np.maximum(ratio, 0.0) * 10.0 ** (0.2 * rng.standard_normal(len(x)))
