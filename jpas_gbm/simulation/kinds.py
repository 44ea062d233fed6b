"""Kinds of objects within the classes, rare ones that the usual population lacks, and how many of a class the sky has.

The forms are our own, as those of the other stars are, and recognisable at the resolution of narrow bands. Shares of
rare kinds are asked for (``kinds`` in :class:`~jpas_gbm.options.SimulateOptions`); the usual population has none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import expit, ndtr, ndtri

from ..options import RareKind
from ..surveys.scheme import Z_CUT
from .galaxies import Galaxies, drawn_lines, formed_mass
from .spectra import small_magellanic, spectra_file
from .stars import accretion_spectra, add_accretion, black_body, drawn_dwarfs, metal_depth, star, white_dwarf
from .throughput import WAVELENGTH, Throughput

QSO_HIGH, QSO_LOW, GALAXY, STAR = range(4)

KINDS = (
    "usual", "white dwarf", "hot or metal-poor star", "M dwarf", "carbon star", "accreting star", "L dwarf",
    "emission-line dwarf", "BAL quasar", "red quasar", "quasar in its host", "quasar beyond z = 4",
)  # fmt: skip
"""Names of kinds; the code of one is its place."""

CLASS_OF = {"emission-line dwarf": (2,), "red quasar": (0, 1)}
"""Class codes of the rare kinds that are no stars."""

# Quasars reddened by their own dust: 6 % (Richards et al. 2003). White dwarfs are 3 % of the built-in bright stars; of
# stars of horizontal branches and subdwarfs, cataclysmic variables (Szkody et al. 2011: 285 in SDSS), carbon stars
# (Green 2013: 1220 there) and L dwarfs the shares are rounded up, so that trees see some; all numbers from memory.
SPARSE: dict[RareKind, float] = {
    "red quasar": 0.06, "white dwarf": 0.03, "hot or metal-poor star": 0.01, "accreting star": 0.01,
    "carbon star": 0.005, "L dwarf": 0.005,
}  # fmt: skip
"""Shares of kinds among mocks of spectra, of their classes."""

KIND = {name: code for code, name in enumerate(KINDS)}


def kinds_of_stars(temperature: np.ndarray, metallicity: np.ndarray, dwarf: np.ndarray) -> np.ndarray:
    """Return the kind of each star, int8 (n,).

    Parameters
    ----------
    temperature : array, shape (n,)
        K
    metallicity : array, shape (n,)
        [Fe/H]
    dwarf : array of bool, shape (n,)
        Which are white dwarfs.

    Returns
    -------
    array of int8, shape (n,)
        Hot is above 8200 K; poor in metals is [Fe/H] < -1.7 above 6500 K.
    """
    hot = (temperature > 8200.0) | ((metallicity < -1.7) & (temperature > 6500.0))
    names = [KIND[name] for name in ("white dwarf", "hot or metal-poor star", "M dwarf")]
    return np.select([dwarf, hot, temperature < 3900.0], names, KIND["usual"]).astype(np.int8)


def kinds_of_quasars(z: np.ndarray, wind: np.ndarray, reddening: np.ndarray, host: np.ndarray) -> np.ndarray:
    """Return the kind of each quasar, int8 (n,).

    Parameters
    ----------
    z : array, shape (n,)
        Redshifts.
    wind : array, shape (n,)
        Depth of broad absorption, 0 for none. Only beyond z = 1.5 is it in the bands, and so makes a kind.
    reddening : array, shape (n,)
        E(B-V) of its own dust; above 0.12 is red.
    host : array, shape (n,)
        Share of the host in the light at 5100 Å at rest; from 0.4 at z < 0.8 the quasar is one in its host.

    Returns
    -------
    array of int8, shape (n,)
    """
    rules = [z > 4.0, (wind > 0) & (z > 1.5), reddening > 0.12, (host > 0.4) & (z < 0.8)]
    names = [KIND[name] for name in ("quasar beyond z = 4", "BAL quasar", "red quasar", "quasar in its host")]
    return np.select(rules, names, KIND["usual"]).astype(np.int8)


# Swan bands of C2: head in Å, length in Å to the blue of it, strength; red bands of CN to the red (Keenan 1993, lengths
# and strengths from memory).
_C2 = ((4737.0, 120.0, 1.3), (5165.0, 140.0, 1.6), (5636.0, 140.0, 1.1), (6191.0, 120.0, 0.5), (4382.0, 90.0, 0.8))
_CN = ((5730.0, 120.0, 0.3), (6925.0, 180.0, 0.5), (7876.0, 200.0, 0.6), (9140.0, 220.0, 0.8))
_CARBON = [(t, s) for t in np.linspace(3300.0, 5600.0, 8).tolist() for s in (0.35, 0.8, 1.4)]


def carbon_star(temperature: float, strength: float) -> np.ndarray:
    """Return the spectrum of a carbon star: metal lines, bands of C2 and CN, and little light in the violet.

    Parameters
    ----------
    temperature : float
        K
    strength : float
        Of the bands; 1 is usual.

    Returns
    -------
    array of float64, shape (len(WAVELENGTH),)
        f_λ
    """
    depth = metal_depth(max(temperature, 4300.0), -0.3) + strength * 1.6 * expit((4300.0 - WAVELENGTH) / 120.0)
    for table, side in ((_C2, -1.0), (_CN, 1.0)):
        for head, length, height in table:
            x = side * (WAVELENGTH - head) / length
            depth = depth + strength * height * np.exp(-np.clip(x, 0, 50)) * expit(25.0 * x)
    return np.asarray(black_body(WAVELENGTH, temperature) * np.exp(-depth))


def cool_dwarf(temperature: float) -> np.ndarray:
    """Return the spectrum of a dwarf of type L: broad wings of Na I and K I, weak oxides, no light in the blue.

    Parameters
    ----------
    temperature : float
        K, 1400 to 2500.

    Returns
    -------
    array of float64, shape (len(WAVELENGTH),)
        f_λ
    """
    oxides = float(np.clip((temperature - 1700.0) / 900.0, 0.0, 1.0))
    depth = oxides * metal_depth(2900.0, 0.0)
    for centre, width, height in ((5893.0, 220.0, 3.0), (7680.0, 260.0, 2.2)):
        depth = depth + height * (1.2 - 0.6 * oxides) / (1.0 + ((WAVELENGTH - centre) / width) ** 2)
    return np.asarray(black_body(WAVELENGTH, temperature) * np.exp(-depth))


def late_dwarf(temperature: float, metallicity: float) -> np.ndarray:
    """Return the spectrum of an M dwarf, with bands as deep as they are seen.

    The usual population has M dwarfs whose bands of titanium oxide are too deep between 7050 and 7300 Å, and whose
    light in the blue is too faint (reports/generator).

    Parameters
    ----------
    temperature : float
        K, 2500 to 4050.
    metallicity : float
        [Fe/H].

    Returns
    -------
    array of float64, shape (len(WAVELENGTH),)
        f_λ
    """
    at, constant, slope = np.array(spectra_file().late_dwarfs).T
    strength = float(np.clip((4050.0 - temperature) / 1050.0, 0.0, 1.35))
    excess = np.interp(WAVELENGTH, at, min(strength / 0.15, 1.0) * constant + strength * slope)
    return np.asarray(star(temperature, metallicity) * np.exp(excess))


_WHITE = np.geomspace(4500.0, 50000.0, 48)  # K
_HOT = np.geomspace(8500.0, 42000.0, 24)  # K: of horizontal branches to hot subdwarfs


class RareKinds:
    """Draws objects of rare kinds.

    Parameters
    ----------
    throughput : Throughput
        The b bands, the last of them g, r and z of imaging.
    galaxies : Galaxies, optional
        Whose stars and lines dwarfs are made of; made where they are first needed.
    """

    def __init__(self, throughput: Throughput, galaxies: Galaxies | None = None) -> None:
        self._galaxies, self._throughput, self._pivots = galaxies, throughput, throughput.pivots
        self._carbon = throughput.fluxes(np.stack([carbon_star(*of) for of in _CARBON]))
        self._cool = throughput.fluxes(np.stack([cool_dwarf(t) for t in np.linspace(1400.0, 2500.0, 12).tolist()]))
        late = [late_dwarf(t, m) for t in np.geomspace(2500.0, 4000.0, 24).tolist() for m in (-0.8, -0.3, 0.2)]
        self._late = throughput.fluxes(np.stack(late))
        self._companions = throughput.fluxes(
            np.stack([black_body(WAVELENGTH, t) * np.exp(-metal_depth(t, -0.2)) for t in (3100.0, 3600.0, 4300.0)])
        )
        self._disc = throughput.fluxes(accretion_spectra())
        self._white = [
            throughput.fluxes(np.stack([white_dwarf(t, helium) for t in _WHITE.tolist()])) for helium in (False, True)
        ]
        hot = [star(t, m) for t in _HOT.tolist() for m in (-2.0, -1.0)]
        self._hot = throughput.fluxes(np.stack(hot))

    def replace(
        self,
        rng: np.random.Generator,
        shares: Mapping[RareKind, float],
        code: int,
        z: np.ndarray,
        flux: np.ndarray,
        kind: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Make some objects of a class rare ones: their light in place, redshifts and kinds also returned.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where which and all their parameters come from.
        shares : mapping of str to float
            Of their class, by kind.
        code : int
            The class.
        z : array of float64, shape (n,)
            Redshifts; those of emission-line dwarfs are drawn anew.
        flux : array of float32, shape (n, b)
            Any unit for each object.
        kind : array of int8, shape (n,)
            Codes of :data:`KINDS`.

        Returns
        -------
        z, kind : array
            As given, changed.
        """
        for name, share in shares.items():
            if code not in CLASS_OF.get(name, (3,)) or share <= 0:
                continue
            rows = np.flatnonzero(rng.random(len(z)) < share)
            kind[rows] = KIND[name]
            if name == "emission-line dwarf":
                z[rows] = np.minimum(0.003 + rng.exponential(0.12, len(rows)), 0.4)
            made = self._drawn(rng, name, z[rows], flux[rows])
            # In units of the mean band: a flux of any unit fits in float32.
            known = np.maximum(np.isfinite(made).sum(axis=1, keepdims=True), 1)
            flux[rows] = made / np.maximum(np.nansum(np.abs(made), axis=1, keepdims=True) / known, 1e-300)
        return z, kind

    def _drawn(self, rng: np.random.Generator, name: str, z: np.ndarray, usual: np.ndarray) -> np.ndarray:
        n = len(z)
        if name == "carbon star":
            return np.asarray(self._carbon[rng.integers(0, len(self._carbon), n)])
        if name == "L dwarf":
            return np.asarray(self._cool[rng.integers(0, len(self._cool), n)])
        if name == "M dwarf":
            return np.asarray(self._late[rng.integers(0, len(self._late), n)])
        if name == "white dwarf":
            heat, helium = drawn_dwarfs(rng, n)
            place = np.abs(np.log(heat[:, None] / _WHITE)).argmin(axis=1)
            return np.asarray(np.where(helium[:, None], self._white[1][place], self._white[0][place]))
        if name == "hot or metal-poor star":
            return np.asarray(self._hot[rng.integers(0, len(self._hot), n)])
        if name == "accreting star":
            light = np.array(self._companions[rng.integers(0, 3, n)], dtype=np.float64)
            add_accretion(rng, light, self._disc, 1.0)
            return light
        if name == "red quasar":
            reddening = rng.uniform(0.15, 0.6, n)
            law = small_magellanic(self._pivots[None, :] / (1.0 + z[:, None]))
            return np.asarray(usual * np.exp(-0.921034 * reddening[:, None] * (law - law[:, -2:-1])))
        return self._dwarfs(rng, z)

    def _dwarfs(self, rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
        """Light of galaxies poor in metals, most of it of a burst, with lines of H II regions."""
        n = len(z)
        mass = formed_mass(rng.uniform(4.0, 10.0, n), np.full(n, 8.0))
        mass[:, :1] *= 10.0 ** rng.normal(1.1, 0.4, (n, 1))
        poor = np.clip(rng.normal(0.05, 0.1, n), 0.0, 1.0)
        stars = np.concatenate([mass * (1 - poor[:, None]), mass * poor[:, None]], axis=1)
        lines = mass[:, :1] * drawn_lines(rng, poor, np.zeros(n, dtype=bool), mass)
        self._galaxies = self._galaxies or Galaxies(self._throughput)
        table = self._galaxies.table
        return np.asarray(table.photometry(z, stars) + table.photometry(z, lines, stars.shape[1]), dtype=np.float64)


# Counts per square degree at high Galactic latitude. Quasars to g = 22.5, taken for r: 30 at z < 1, 99 to z = 2.15 and
# 47 beyond (Palanque-Delabrouille et al. 2013, abstract); the two slopes and the break between them from memory, of the
# size in Richards et al. (2006). Galaxies: 860 to r = 19.5, the density of DESI's bright sample, and the slope 0.42
# between the Euclidean 0.6 and that of deep fields; from memory. Stars: 2500 to r = 20 at |b| = 60 deg and the slope
# 0.13, from memory of counts at the poles (Bahcall & Soneira 1980).
_QUASARS = {0: 47.0, 1: 129.0}
_QUASAR_LIMIT, _QUASAR_BREAK, _QUASAR_SLOPES = 22.5, 19.1, (0.8, 0.25)
_TO_LIMIT = {2: (860.0, 19.5, 0.42), 3: (2500.0, 20.0, 0.13)}


def sky_density(code: int, mag: np.ndarray) -> np.ndarray:
    """Return how many objects of a class the sky has at high Galactic latitude.

    Parameters
    ----------
    code : int
        Class code.
    mag : array, shape (n,)
        r, AB.

    Returns
    -------
    array of float64, shape (n,)
        Per square degree and magnitude.

    References
    ----------
    Palanque-Delabrouille et al. (2013) for the number of quasars; what is from memory stands beside the constants.
    """
    mag = np.asarray(mag, dtype=np.float64)
    if code in _TO_LIMIT:
        number, limit, slope = _TO_LIMIT[code]
        return np.asarray(number * slope * np.log(10.0) * 10.0 ** (slope * (mag - limit)))

    def shape(m: np.ndarray) -> np.ndarray:
        return np.asarray(1.0 / sum(10.0 ** (-slope * (m - _QUASAR_BREAK)) for slope in _QUASAR_SLOPES))

    grid = np.linspace(14.0, _QUASAR_LIMIT, 1701)
    return _QUASARS[code] * shape(mag) / np.trapezoid(shape(grid), grid)


def population(
    rng: np.random.Generator, code: int, n: int, limits: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return r magnitude, redshift and kind (of galaxies, else 0) of n objects of one class, each of shape (n,).

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    code : int
        Class code.
    n : int
        How many.
    limits : (float, float)
        Brightest and faintest r, AB.

    Returns
    -------
    mag, z : array, shape (n,)
        r in AB mag, and redshift.
    kind : array of int, shape (n,)
        Of galaxies, 0 bright, 1 red, 2 of strong emission lines; 0 of others.
    """
    if code == STAR:
        return _star_magnitudes(rng, n, limits), np.zeros(n), np.zeros(n, dtype=int)
    if code == GALAXY:
        return _galaxy_sample(rng, n, limits)
    return *_quasar_sample(rng, n, limits, code == QSO_HIGH), np.zeros(n, dtype=int)


_MILKY_WAY = (0.28, 16.0, 19.3)  # slope of the counts of Milky Way targets, and their limits


_BRIGHT_SAMPLE = (0.42, 15.5, 20.2)  # the same of the magnitude-limited galaxies


_FAINT_STARS, _RED, _EMISSION = (21.0, 1.1), (21.4, 0.7), (23.3, 0.5)  # mean r and scatter


def _star_magnitudes(rng: np.random.Generator, n: int, limits: tuple[float, float]) -> np.ndarray:
    """Milky Way targets between r = 16 and 19, and a few per cent fainter, taken for quasars or white dwarfs."""
    shares = np.array([0.94 * power_share(*_MILKY_WAY, limits), 0.06 * normal_share(*_FAINT_STARS, limits)])
    bright = rng.random(n) < shares[0] / shares.sum()
    return np.where(bright, power_counts(rng, n, *_MILKY_WAY, limits), truncated_normal(rng, n, *_FAINT_STARS, limits))


def _galaxy_sample(
    rng: np.random.Generator, n: int, limits: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Magnitude, redshift and kind of galaxies in the proportions of DESI's three samples."""
    shares = np.array([0.42, 0.17, 0.41])
    shares *= [power_share(*_BRIGHT_SAMPLE, limits), normal_share(*_RED, limits), normal_share(*_EMISSION, limits)]
    kind = rng.choice(3, n, p=shares / shares.sum())
    bright = power_counts(rng, n, *_BRIGHT_SAMPLE, limits)
    red, emission = (truncated_normal(rng, n, *sample, limits) for sample in (_RED, _EMISSION))
    mag = np.select([kind == 0, kind == 1], [bright, red], emission)
    near = np.clip(rng.gamma(3.2, 0.072 * 10.0 ** (0.11 * (mag - 19.5)), n), 0.008, 0.65)
    middle = np.clip(0.68 + 0.11 * (mag - 21.4) + 0.13 * rng.standard_normal(n), 0.35, 1.1)
    far = truncated_normal(rng, n, 1.05, 0.27, (0.6, 1.63))
    return mag, np.select([kind == 0, kind == 1], [near, middle], far), kind


def _quasar_sample(
    rng: np.random.Generator, n: int, limits: tuple[float, float], high: bool
) -> tuple[np.ndarray, np.ndarray]:
    if high:
        return truncated_normal(rng, n, 21.75, 0.95, limits), np.minimum(Z_CUT + rng.exponential(0.48, n), 4.8)
    return truncated_normal(rng, n, 21.4, 0.98, limits), 0.12 + (Z_CUT - 1e-3 - 0.12) * rng.beta(1.7, 1.1, n)


def truncated_normal(
    rng: np.random.Generator, n: int, mean: float, scatter: float, limits: tuple[float, float]
) -> np.ndarray:
    """Return n normal values between two limits, shape (n,).

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    n : int
        How many.
    mean, scatter : float
        Of the distribution before it is truncated.
    limits : tuple of float
        Least and largest value.

    Returns
    -------
    array of float64, shape (n,)
    """
    low, high = ndtr((np.array(limits) - mean) / scatter)
    share = low + (high - low) * rng.random(n)
    return np.clip(mean + scatter * ndtri(np.clip(share, 1e-12, 1 - 1e-12)), *limits)


def normal_share(mean: float, scatter: float, limits: tuple[float, float]) -> float:
    """Return the share of a normal distribution that lies between two limits.

    Parameters
    ----------
    mean, scatter : float
        Of the distribution.
    limits : tuple of float
        Least and largest value.

    Returns
    -------
    float
    """
    low, high = ndtr((np.array(limits) - mean) / scatter)
    return float(high - low)


def power_counts(
    rng: np.random.Generator, n: int, slope: float, bright: float, faint: float, limits: tuple[float, float]
) -> np.ndarray:
    """Return n magnitudes of a sample whose counts go as 10^(slope m) from `bright` to `faint`.

    Only those between `limits` are drawn; where none are, all are the nearest magnitude.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    n : int
        How many.
    slope : float
        Of the decimal logarithm of the counts, per magnitude.
    bright, faint : float
        Limits of the sample, mag.
    limits : tuple of float
        Brightest and faintest magnitude that is drawn.

    Returns
    -------
    array of float64, shape (n,)
        Magnitudes.
    """
    low, high = np.clip([bright, faint], *limits)
    share = 10.0 ** (slope * (low - high))
    return high + np.log10(share + (1.0 - share) * rng.random(n)) / slope


def power_share(slope: float, bright: float, faint: float, limits: tuple[float, float]) -> float:
    """Return the share of the sample of :func:`power_counts` that lies between two limits.

    Parameters
    ----------
    slope : float
        Of the decimal logarithm of the counts, per magnitude.
    bright, faint : float
        Limits of the sample, mag.
    limits : tuple of float
        Brightest and faintest magnitude.

    Returns
    -------
    float
    """
    low, high = np.clip([bright, faint], *limits)
    if high <= low:
        return 0.0
    edges = 10.0 ** (slope * (np.array([bright, low, high]) - faint))
    return float((edges[2] - edges[1]) / (1.0 - edges[0]))
