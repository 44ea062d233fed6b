"""Quasars: a power law, iron, Balmer continuum, lines, winds, dust, the host galaxy and the forest in front."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from . import spectra as igm
from .draws import distance_modulus, lognormal
from .galaxies import simple_population
from .spectra import ComponentTable, Rows, gaussian_line, small_magellanic, spectra_file
from .throughput import WAVELENGTH, Throughput

Z_MAX = 4.9
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


def component_spectra() -> np.ndarray:
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
        spectra = component_spectra()
        self._active = len(spectra) - 2
        self.table = ComponentTable(throughput, spectra, Z_MAX, igm.transmission)
        clear = ComponentTable(throughput, spectra[:1], Z_MAX)
        with np.errstate(divide="ignore"):
            # Mean optical depth of the forest in each band.
            self._depth = -np.log(np.maximum(self.table.values[:, 0] / clear.values[:, 0], 1e-6))

    def fluxes(
        self, rng: np.random.Generator, z: np.ndarray, magnitude: np.ndarray, population: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
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
        """
        n = len(z)
        # Absolute r of the power law, K-corrected to z = 0.
        absolute = magnitude - distance_modulus(z) + 2.5 * 0.56 * np.log10(1.0 + z)
        active = self._active_coefficients(rng, z, absolute)
        active[:, 6:] *= 10.0 ** (-0.12 * population)
        host = _host_ratio(rng, absolute) * (1.0 + 0.8 * population)
        age = rng.random(n)
        tilt = rng.normal(0.2 * population, 0.22, n)
        reddening = rng.exponential(0.02, n) + np.where(rng.random(n) < 0.06, rng.exponential(0.10, n), 0.0)
        reddening = reddening * (1.0 + population)
        rest = self.table.log_rest(z, _REFERENCE)
        change = tilt[:, None] * rest - 0.921034 * reddening[:, None] * small_magellanic(_REFERENCE * np.exp(rest))
        flux = self.table.photometry(z, active) * np.exp(change).astype(np.float32)
        stars = np.stack([host * (1 - 0.7 * age), host * 0.7 * age], axis=1)
        flux += self.table.photometry(z, stars, self._active)
        flux *= self._sight_line(rng, z)
        return np.maximum(flux, 0.0), (host / (1 + host)).astype(np.float32)

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
