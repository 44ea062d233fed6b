"""Stars: spectra of a black body, continuous opacity, lines and molecular bands; distances and ages of galaxies.

The forms are our own; depths and their run with temperature follow the MK sequence as drawn in spectral
atlases (Jacoby, Hunter & Christian 1984; Gray & Corbally 2009). They are made to be recognisable at the
resolution of narrow bands, not to measure stellar parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import expit

from .spectra import Rows, gaussian_line, spectra_file
from .throughput import WAVELENGTH, Throughput

# Hα to H14; weight of each line's equivalent width relative to Hγ.
_BALMER = 911.753 / (0.25 - 1.0 / np.arange(3, 15) ** 2)
_BALMER_WEIGHT = (0.75, 0.95, 1.0, 1.0, 0.95, 0.85, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12)
_PASCHEN = 911.753 / (1.0 / 9.0 - 1.0 / np.arange(9, 16) ** 2)

_HELIUM = (3889.0, 4026.0, 4471.0, 4713.0, 4922.0, 5016.0, 5876.0, 6678.0, 7065.0)


def black_body(wavelength: np.ndarray, temperature: float) -> np.ndarray:
    """Return π B_λ / (σ T⁴), a black body of unit bolometric flux, in 1/Å.

    Parameters
    ----------
    wavelength : array
        Å.
    temperature : float
        K.

    Returns
    -------
    array
        Of the shape of `wavelength`, 1/Å.
    """
    metre = wavelength * 1e-10
    with np.errstate(over="ignore"):
        planck = 3.741772e-16 / metre**5 / np.expm1(1.438777e-2 / (metre * temperature))
    return planck / (5.670374e-8 * temperature**4) * 1e-10


def _run(temperature: float, peak: float, cool: float, hot: float) -> float:
    """A bell in ln T with one width on the cool side and another on the hot one."""
    x = np.log(temperature / peak)
    return float(np.exp(-0.5 * (x / (cool if x < 0 else hot)) ** 2))


def _line(centre: float, equivalent_width: float, sigma: float, wings: float) -> np.ndarray:
    """Optical depth of a line of that equivalent width in Å: a Gaussian core and a share in Lorentz wings."""
    x = WAVELENGTH - centre
    core = np.exp(-0.5 * (x / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    lorentz = (1.5 * sigma / np.pi) / (x**2 + (1.5 * sigma) ** 2)
    return equivalent_width * ((1 - wings) * core + wings * lorentz)


def _lines(
    centres: np.ndarray | Sequence[float], widths: np.ndarray | Sequence[float], sigma: float, wings: float
) -> np.ndarray:
    return np.sum([_line(c, w, sigma, wings) for c, w in zip(centres, widths, strict=True)], axis=0)


def _step(edge: float, width: float) -> np.ndarray:
    """1 to the blue of an edge, 0 to the red of it."""
    return expit((edge - WAVELENGTH) / width)


def _jump(edge: float, width: float) -> np.ndarray:
    """An ionisation edge that falls off to the blue, blurred by its converging lines."""
    return _step(edge, width) * np.minimum(WAVELENGTH / edge, 1.0) ** 3


def _band_heads(table: Rows) -> np.ndarray:
    depth = np.zeros_like(WAVELENGTH)
    for head, length, strength in table:
        x = (WAVELENGTH - head) / length
        depth += strength * np.exp(-np.clip(x, 0, 50)) * expit(25.0 * x)
    return depth


@lru_cache(maxsize=1)
def _shapes() -> dict[str, np.ndarray]:
    """Every optical depth that a star is made of, at unit strength: a spectrum is a sum of these."""
    facts = spectra_file()
    centre, width = np.array(facts.metal_lines).T[:2, :, None]
    return {
        "balmer narrow": _lines(_BALMER.tolist(), _BALMER_WEIGHT, 5.0, 0.35),
        "balmer wide": _lines(_BALMER.tolist(), _BALMER_WEIGHT, 10.0, 0.35),
        "balmer edge": _jump(3690.0, 12.0),
        "paschen": _lines(_PASCHEN.tolist(), [2.0] * len(_PASCHEN), 9.0, 0.3),
        "paschen edge": _jump(8280.0, 30.0),
        "lyman edge": _jump(911.8, 3.0),
        "metals": np.exp(-0.5 * ((WAVELENGTH - centre) / width) ** 2),
        "blanket step": _step(3990.0, 10.0),
        "blanket": np.clip(np.log(5200.0 / WAVELENGTH), 0.0, None) ** 1.2,
        "titanium oxide": _band_heads(facts.titanium_oxide),
        "vanadium oxide": _band_heads(facts.vanadium_oxide),
        "calcium hydride": _band_heads(facts.calcium_hydride),
        "dwarf hydrogen": _lines(_BALMER[:8].tolist(), (0.65, 1.0, 1.0, 0.85, 0.6, 0.3, 0.12, 0.05), 26.0, 0.45),
        "dwarf edge": _jump(3800.0, 60.0),
        "dwarf helium": _lines(_HELIUM, (0.8, 0.9, 1.3, 0.4, 0.6, 0.4, 1.2, 0.7, 0.6), 22.0, 0.3),
    }


def hydrogen_depth(temperature: float) -> np.ndarray:
    """Return the optical depth of the lines and edges of hydrogen in a main-sequence star.

    Parameters
    ----------
    temperature : float
        K

    Returns
    -------
    array of float64, shape (len(WAVELENGTH),)
    """
    shapes = _shapes()
    strength = _run(temperature, 9000.0, 0.24, 0.50)
    width = 13.0 * strength + 1.2 * _run(temperature, 6000.0, 0.25, 0.8)
    depth = width * (1.0 - strength) * shapes["balmer narrow"] + width * strength * shapes["balmer wide"]
    depth += 1.15 * _run(temperature, 9800.0, 0.28, 0.42) * shapes["balmer edge"]
    depth += strength**1.5 * (shapes["paschen"] + 0.16 * shapes["paschen edge"])
    return depth + 4.0 * _run(temperature, 15000.0, 9.0, 0.5) * shapes["lyman edge"]


def _molecules(temperature: float) -> float:
    """How far titanium oxide has come: 0 at 4050 K, 1 at 3000 K."""
    return float(np.clip((4050.0 - temperature) / 1050.0, 0.0, 1.35))


def colour_temperature(temperature: float) -> float:
    """Return the temperature of the black body that the continuum of a star resembles between 4000 and 9000 Å.

    Bound-free opacity of hydrogen makes it hotter than the effective temperature in A and B stars,
    molecules make it cooler in M dwarfs.

    Parameters
    ----------
    temperature : float
        Effective temperature in K.

    Returns
    -------
    float
        K
    """
    return temperature * (1.0 + 0.45 / (1.0 + (7300.0 / temperature) ** 5) - 0.15 * _molecules(temperature))


def metal_depth(temperature: float, metallicity: float) -> np.ndarray:
    """Return the optical depth of metal lines, line blanketing and molecules of a cool star.

    Parameters
    ----------
    temperature : float
        K
    metallicity : float
        [Fe/H]

    Returns
    -------
    array of float64, shape (len(WAVELENGTH),)
    """
    shapes = _shapes()
    rich = 10.0 ** (0.30 * metallicity)
    lines = [
        -np.log1p(-most) * rich * _run(temperature, peak, cool, hot)
        for _, _, most, peak, cool, hot in spectra_file().metal_lines
    ]
    depth = np.array(lines) @ shapes["metals"]
    # Blanketing by lines too many to name: a step at 4000 Å and a slow rise to the ultraviolet.
    cool = rich / (1.0 + (temperature / 6300.0) ** 7)
    depth += cool * (0.24 * shapes["blanket step"] + 0.8 * shapes["blanket"])
    molecules = _molecules(temperature)
    if molecules > 0:
        depth += 1.3 * molecules**1.1 * rich**0.6 * shapes["titanium oxide"]
        depth += molecules * rich**-0.3 * shapes["calcium hydride"]
        depth += max(0.0, (3150.0 - temperature) / 400.0) * rich * shapes["vanadium oxide"]
    return depth


def star(temperature: float, metallicity: float = 0.0) -> np.ndarray:
    """Return the spectrum of a main-sequence star.

    Parameters
    ----------
    temperature : float
        Effective temperature in K.
    metallicity : float
        [Fe/H].

    Returns
    -------
    array, shape (len(WAVELENGTH),)
        f_λ of a star of unit bolometric flux, 1/Å, before line blanketing takes its part.
    """
    depth = hydrogen_depth(temperature) + metal_depth(temperature, metallicity)
    # The black body of the colour temperature has unit flux: as good a guess as any of the bolometric one.
    return black_body(WAVELENGTH, colour_temperature(temperature)) * np.exp(-depth)


def white_dwarf(temperature: float, helium: bool = False) -> np.ndarray:
    """Return the spectrum of a white dwarf: very broad Balmer lines (DA) or helium lines (DB, DC when cool).

    Parameters
    ----------
    temperature : float
        K.
    helium : bool
        Whether the atmosphere is of helium.

    Returns
    -------
    array, shape (len(WAVELENGTH),)
        f_λ of unit bolometric flux without lines, 1/Å.
    """
    shapes = _shapes()
    if helium:
        depth = 14.0 * _run(temperature, 22000.0, 0.35, 0.5) * shapes["dwarf helium"]
    else:
        strength = _run(temperature, 12500.0, 0.33, 0.75)
        depth = strength * (36.0 * shapes["dwarf hydrogen"] + 0.35 * shapes["dwarf edge"])
    return black_body(WAVELENGTH, temperature) * np.exp(-depth)


TEMPERATURES = np.geomspace(2600.0, 45000.0, 140)
"""Effective temperatures in K of the grid of main-sequence stars."""

METALLICITIES = np.array([-2.0, -1.0, -0.4, 0.2])
"""[Fe/H] of the grid."""

DWARF_TEMPERATURES = np.geomspace(4500.0, 50000.0, 70)
"""Effective temperatures in K of the grid of white dwarfs."""

_WHITE_DWARFS = (0.03, 0.14)  # shares of all stars, bright and faint


_BUMPS = 0.03  # largest relative change of a star's flux of another population that no star of the usual one has


class Stars:
    """Draws stars and gives their band fluxes.

    Parameters
    ----------
    throughput : Throughput
        The b bands.
    """

    def __init__(self, throughput: Throughput) -> None:
        grid = np.stack([[star(t, feh) for feh in METALLICITIES.tolist()] for t in TEMPERATURES.tolist()])
        self._main = _normalised(throughput.fluxes(grid))
        grid = np.stack([[white_dwarf(t, helium) for helium in (False, True)] for t in DWARF_TEMPERATURES.tolist()])
        self._dwarf = _normalised(throughput.fluxes(grid))
        self._place = np.log(throughput.pivots / 3500.0)

    def fluxes(
        self, rng: np.random.Generator, magnitude: np.ndarray, population: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return band fluxes of stars of that r magnitude, with temperature and metals drawn at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where kinds, temperatures and metallicities come from.
        magnitude : array, shape (n,)
            r, AB: faint stars are those of the halo, M dwarfs and white dwarfs.
        population : float
            How much cooler and poorer in metals stars are than usual, and how far broad bumps of their spectra differ;
            0 is usual.

        Returns
        -------
        flux : array of float32, shape (n, b)
            In an arbitrary unit for each star.
        traits : array of float64, shape (3, n)
            Temperature in K, [Fe/H], and 1 for white dwarfs.
        """
        n = len(magnitude)
        faint = magnitude > 19.3
        bright_stars, faint_stars = np.array(spectra_file().bright_stars), np.array(spectra_file().faint_stars)
        kinds = np.where(faint, _pick(rng, faint_stars[:, 0], n), _pick(rng, bright_stars[:, 0], n))
        chosen = np.where(faint[:, None], faint_stars[kinds], bright_stars[kinds])
        temperature = np.exp(np.log(chosen[:, 1]) + chosen[:, 2] * rng.standard_normal(n))
        metals = chosen[:, 3] - 0.4 * population + chosen[:, 4] * rng.standard_normal(n)
        temperature = temperature * np.exp(-0.05 * population)
        dwarf = rng.random(n) < np.where(faint, _WHITE_DWARFS[1], _WHITE_DWARFS[0])
        heat, helium = drawn_dwarfs(rng, n)
        flux = self.main_sequence(temperature, metals)
        flux[dwarf] = self.white_dwarfs(heat[dwarf], helium[dwarf])
        if population:
            flux *= np.exp(_BUMPS * population * np.sin(7.0 * self._place)).astype(np.float32)
        return flux, np.stack([temperature, metals, dwarf])

    def main_sequence(self, temperature: np.ndarray, metallicity: np.ndarray) -> np.ndarray:
        """Return band fluxes of main-sequence stars by temperature (K) and [Fe/H], float32 (n, b).

        Parameters
        ----------
        temperature : array, shape (n,)
            K
        metallicity : array, shape (n,)
            [Fe/H]

        Returns
        -------
        array of float32, shape (n, b)
        """
        t, t_part = _between(np.log(TEMPERATURES), np.log(temperature))
        m, m_part = _between(METALLICITIES, metallicity)
        low = self._main[t, m] * (1 - m_part) + self._main[t, m + 1] * m_part
        high = self._main[t + 1, m] * (1 - m_part) + self._main[t + 1, m + 1] * m_part
        return low * (1 - t_part) + high * t_part

    def white_dwarfs(self, temperature: np.ndarray, helium: np.ndarray) -> np.ndarray:
        """Return band fluxes of white dwarfs by temperature (K) and kind of atmosphere, float32 (n, b).

        Parameters
        ----------
        temperature : array, shape (n,)
            K
        helium : array of bool, shape (n,)
            Whether the atmosphere is of helium.

        Returns
        -------
        array of float32, shape (n, b)
        """
        t, part = _between(np.log(DWARF_TEMPERATURES), np.log(temperature))
        kind = helium.astype(int)
        return self._dwarf[t, kind] * (1 - part) + self._dwarf[t + 1, kind] * part


def drawn_dwarfs(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return temperatures of white dwarfs, and which have helium atmospheres.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    n : int
        How many.

    Returns
    -------
    temperature, helium : array of float64 and of bool, shape (n,)
        K
    """
    return np.exp(rng.normal(np.log(11500.0), 0.40, n)), rng.random(n) < 0.18


def _normalised(flux: np.ndarray) -> np.ndarray:
    return (flux / flux.mean(axis=-1, keepdims=True)).astype(np.float32)


def _between(nodes: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The node below each place, and how far towards the next one, float32 (n, 1)."""
    low = np.clip(np.searchsorted(nodes, place, side="right") - 1, 0, len(nodes) - 2)
    part = (place - nodes[low]) / (nodes[low + 1] - nodes[low])
    return low, np.clip(part, 0.0, 1.0).astype(np.float32)[:, None]


def _pick(rng: np.random.Generator, shares: np.ndarray, n: int) -> np.ndarray:
    edges = np.cumsum(shares) / shares.sum()
    return np.minimum(np.searchsorted(edges, rng.random(n)), len(shares) - 1)


def lognormal(rng: np.random.Generator, median: np.ndarray, scatter: float | np.ndarray) -> np.ndarray:
    """Return values about `median`, with `scatter` the standard deviation of their decimal logarithm.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    median : array, shape (n,)
        Medians.
    scatter : float or array, shape (n,)
        Standard deviation of the decimal logarithm.

    Returns
    -------
    array of float64, shape (n,)
    """
    return median * 10.0 ** (scatter * rng.standard_normal(np.shape(median)))


# astropy.cosmology gives the same to 5e-5 mag and 1e-4 Gyr (a test), but other bits at 40 times the time: what a seed
# means would change.
_H0, _MATTER = 67.7, 0.31  # km/s/Mpc; Planck Collaboration (2020), rounded


_GYR_PER_HUBBLE = 977.8 / _H0


@lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, np.ndarray]:
    z = np.linspace(0.0, 6.0, 3001)
    rate = np.sqrt(_MATTER * (1 + z) ** 3 + 1 - _MATTER)
    step = np.diff(z) * 0.5 * (1 / rate[1:] + 1 / rate[:-1])
    return z, np.append(0.0, np.cumsum(step)) * 299792.458 / _H0


def distance_modulus(z: np.ndarray) -> np.ndarray:
    """Return the distance modulus, mag, for 0 < z < 6.

    Parameters
    ----------
    z : array, shape (n,)
        Redshifts.

    Returns
    -------
    array of float64, shape (n,)
        mag
    """
    grid, comoving = _table()
    return 5.0 * np.log10((1.0 + z) * np.interp(z, grid, comoving) + 1e-6) + 25.0


def cosmic_age(z: np.ndarray) -> np.ndarray:
    """Return the age of the universe in Gyr.

    Parameters
    ----------
    z : array, shape (n,)
        Redshifts.

    Returns
    -------
    array of float64, shape (n,)
        Gyr
    """
    ratio = np.sqrt((1 - _MATTER) / _MATTER) * (1.0 + z) ** -1.5
    return _GYR_PER_HUBBLE * 2.0 / (3.0 * np.sqrt(1 - _MATTER)) * np.arcsinh(ratio)


# Hα to H8, He I, He II: Å, and equivalent width over that of Hα in cataclysmic variables, whose decrement is flat.
_DISC_LINES = (
    (6564.6, 1.0), (4862.7, 0.6), (4341.7, 0.42), (4102.9, 0.33), (3971.2, 0.25), (3890.2, 0.2), (5877.3, 0.22),
    (6680.0, 0.12), (7067.1, 0.1), (4472.7, 0.1), (4687.0, 0.15),
)  # fmt: skip


@lru_cache(maxsize=1)
def accretion_spectra() -> np.ndarray:
    """Return the continuum of an accretion disc, and its lines for an equivalent width of Hα of 1 Å, (2, p).

    Returns
    -------
    array of float64, shape (2, len(WAVELENGTH))
        Of flux per wavelength, 1 at 6000 Å.

    References
    ----------
    Lynden-Bell (1969) for the slope; strengths of lines and of the edge are of the size that Szkody et al. (2002)
    show, from memory.
    """
    disc = (WAVELENGTH / 6000.0) ** (-7.0 / 3.0)
    lines = sum(width * gaussian_line(at, 500.0) for at, width in _DISC_LINES)
    # Hydrogen that shines in lines does so beyond the edge too: a third of the disc's light there at 50 Å of Hα.
    gas = 0.0065 * _step(3700.0, 15.0) * np.minimum(WAVELENGTH / 3646.0, 1.0) ** 2
    return np.stack([disc, disc * (lines + gas)])


def add_accretion(rng: np.random.Generator, light: np.ndarray, seen: np.ndarray, share: float) -> None:
    """Give a share of stars emission lines, and half of these the disc of a tenth to nearly all of their light in r.

    In place.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where shares and strengths come from.
    light : array of float64, shape (n, b)
        Band fluxes of stars; the last band but one is r.
    seen : array of float64, shape (2, b)
        The spectra of :func:`accretion_spectra` through the bands.
    share : float
        Of the stars that have one.
    """
    rows = np.flatnonzero(rng.random(len(light)) < share)
    part, width = rng.uniform(0.1, 0.98, len(rows)), 10.0 ** rng.normal(1.5, 0.35, len(rows))
    bare = rng.random(len(rows)) < 0.5
    disc = np.where(bare, 0.0, part / (1 - part))
    lines = width * np.where(bare, 1.0, disc)
    light[rows] += light[rows, -2][:, None] * (disc[:, None] * seen[0] + lines[:, None] * seen[1]) / seen[0, -2]
