"""Spectra as sums of components: dust, emission lines, the intergalactic medium, and the table of band fluxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pydantic import Field

from ..config import Options, configs_folder, parse_options, read_yaml
from ..errors import ConfigError, did_you_mean
from .throughput import STEP, WAVELENGTH, Throughput


def small_magellanic(wavelength: np.ndarray) -> np.ndarray:
    """Return A(λ)/E(B-V) of the Small Magellanic Cloud, 1.39 λ^-1.2 with λ in µm.

    The form of Prevot et al. (1984) that Richards et al. (2003) use for quasars.

    Parameters
    ----------
    wavelength : array
        Å at rest.

    Returns
    -------
    array
        Of the shape of `wavelength`.
    """
    return 1.39 * (np.asarray(wavelength) / 1e4) ** -1.2


def calzetti(wavelength: np.ndarray) -> np.ndarray:
    """Return the attenuation of starlight in galaxies, A(λ)/E(B-V) of Calzetti et al. (2000), R_V = 4.05.

    Parameters
    ----------
    wavelength : array
        Å at rest; the law is held constant in slope below 1200 Å.

    Returns
    -------
    array
        Of the shape of `wavelength`.
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
        Å as observed, up to 33000; held at 1250 Å below it.

    Returns
    -------
    array
        Of the shape of `wavelength`.
    """
    x = np.minimum(1e4 / np.asarray(wavelength), 8.0)
    y, far = x - 1.82, np.maximum(x - 5.9, 0.0)
    # Coefficients of y, y², ... y⁷.
    a = (0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999)
    b = (1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002)
    optical = 1.0 + np.polyval([*a[::-1], 0.0], y) + np.polyval([*b[::-1], 0.0], y) / 3.1
    infrared = (0.574 - 0.527 / 3.1) * x**1.61
    near = 1.752 - 0.316 * x - 0.104 / ((x - 4.67) ** 2 + 0.341) - 0.04473 * far**2 - 0.009779 * far**3
    bump = -3.090 + 1.825 * x + 1.206 / ((x - 4.62) ** 2 + 0.263) + 0.2130 * far**2 + 0.1207 * far**3
    return 3.1 * np.where(x > 3.3, near + bump / 3.1, np.where(x > 1.1, optical, infrared))


SPEED_OF_LIGHT = 299792.458
"""km/s."""


class LineGroup(Options):
    """Lines that keep their ratios from object to object: see ``configs/spectra.yaml`` for the units."""

    name: str = Field(description="What the group is called.")
    lines: tuple[tuple[float, float], ...] = Field(description="Wavelength and equivalent width of each line, Å.")
    scatter: float = Field(description="Of the decimal logarithm of the group's strength.")
    baldwin: float = Field(0.0, description="Slope of log equivalent width against log luminosity.")
    broad: bool = Field(True, description="Whether the lines are of the broad-line region.")


Rows = tuple[tuple[float, ...], ...]


class SpectraFile(Options):
    """The keys of ``configs/spectra.yaml``, which says what each table holds and where it is from."""

    quasar_lines: tuple[LineGroup, ...] = Field(description="Emission lines of quasars.")
    nebular_lines: dict[str, tuple[tuple[float, float], ...]] = Field(
        description="Lines of ionised gas: wavelength in Å, strength."
    )
    iron_uv: Rows = Field(description="Blends in quasars: centre and σ in Å, height.")
    iron_optical: Rows = Field(description="The same in the optical.")
    lyman_series: Rows = Field(description="Å, strengths relative to Lyα in the forest and in damped systems.")
    metal_lines: Rows = Field(description="Of cool stars: Å, σ in Å, depth, K, widths in ln T.")
    titanium_oxide: Rows = Field(description="Molecular bands: head and length in Å, strength.")
    vanadium_oxide: Rows = Field(description="The same.")
    calcium_hydride: Rows = Field(description="The same.")
    bright_stars: Rows = Field(description="At r < 19: share, K, σ of ln T, [Fe/H], its σ.")
    faint_stars: Rows = Field(description="The same among stars that are taken for quasars.")
    late_dwarfs: Rows = Field(description="Å, a, b: ln f over other stars is a + b x.")
    infrared_quasars: Rows = Field(description="z, r - W1, W1 - W2, AB.")
    infrared_stars: Rows = Field(description="r - z, z - W1, W1 - W2, AB.")
    infrared_galaxies: Rows = Field(description="z; z - W1 of blue and red ones; their r - z; W1 - W2, AB.")


@lru_cache(maxsize=1)
def spectra_file() -> SpectraFile:
    """Return the tables of lines, bands and populations that spectra are made of.

    Returns
    -------
    SpectraFile
    """
    where = configs_folder() / "spectra.yaml"
    return parse_options(SpectraFile, read_yaml(where), where.name)


def line_wavelength(name: str) -> float:
    """Return the vacuum wavelength in Å of the strongest line of a quasar's group.

    Parameters
    ----------
    name : str
        Name of a group of lines.

    Returns
    -------
    float

    Raises
    ------
    ConfigError
        If there is no such line; the nearest name is offered.
    """
    groups = {group.name: group.lines for group in spectra_file().quasar_lines}
    if name in groups:
        return max(groups[name], key=lambda line: line[1])[0]
    raise ConfigError(f"there is no line '{name}' to plant.{did_you_mean(name, groups)} Lines: {', '.join(groups)}.")


def gaussian_line(centre: float, velocity: float) -> np.ndarray:
    """Return a Gaussian line of unit integral over wavelength, 1/Å.

    Parameters
    ----------
    centre : float
        Å.
    velocity : float
        Standard deviation in km/s.

    Returns
    -------
    array of float64, shape (len(WAVELENGTH),)
        1/Å
    """
    sigma = centre * velocity / SPEED_OF_LIGHT
    profile = np.zeros_like(WAVELENGTH)
    near = slice(*np.searchsorted(WAVELENGTH, [centre - 6 * sigma, centre + 6 * sigma]))
    profile[near] = np.exp(-0.5 * ((WAVELENGTH[near] - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return profile


LYMAN_LIMIT = 911.75

# Inoue et al. (2014), eqs. 21 and 22.
_FOREST = (1.68976e-2, 2.35379e-3, 1.02611e-4)
_DAMPED = (1.61698e-4, 5.38995e-5)


def _forest_line(ratio: np.ndarray) -> np.ndarray:
    """Optical depth of Lyα in the forest where λ/λ_α is `ratio`."""
    low, middle, high = _FOREST
    return np.where(ratio < 2.2, low * ratio**1.2, np.where(ratio < 5.7, middle * ratio**3.7, high * ratio**5.5))


def _damped_line(ratio: np.ndarray) -> np.ndarray:
    low, high = _DAMPED
    return np.where(ratio < 3.0, low * ratio**2.0, high * ratio**3.0)


def _forest_continuum(ratio: np.ndarray, z: float) -> np.ndarray:
    """Lyman-continuum depth of the forest, eqs. 25-27, where λ/λ_L is `ratio`."""
    zp = 1.0 + z
    if z < 1.2:
        return 0.325 * (ratio**1.2 - zp**-0.9 * ratio**2.1)
    if z < 4.7:
        near = 2.55e-2 * zp**1.6 * ratio**2.1 + 0.325 * ratio**1.2 - 0.250 * ratio**2.1
        return np.where(ratio < 2.2, near, 2.55e-2 * (zp**1.6 * ratio**2.1 - ratio**3.7))
    near = 5.22e-4 * zp**3.4 * ratio**2.1 + 0.325 * ratio**1.2 - 3.14e-2 * ratio**2.1
    middle = 5.22e-4 * zp**3.4 * ratio**2.1 + 0.218 * ratio**2.1 - 2.55e-2 * ratio**3.7
    far = 5.22e-4 * (zp**3.4 * ratio**2.1 - ratio**5.5)
    return np.where(ratio < 2.2, near, np.where(ratio < 5.7, middle, far))


def _damped_continuum(ratio: np.ndarray, z: float) -> np.ndarray:
    """Lyman-continuum depth of damped systems, eqs. 28-29."""
    zp = 1.0 + z
    if z < 2.0:
        return 0.211 * zp**2 - 7.66e-2 * zp**2.3 * ratio**-0.3 - 0.135 * ratio**2
    far = 4.70e-2 * zp**3 - 1.78e-2 * zp**3.3 * ratio**-0.3
    near = 0.634 + far - 0.135 * ratio**2 - 0.291 * ratio**-0.3
    return np.where(ratio < 3.0, near, far - 2.92e-2 * ratio**3)


def optical_depth(wavelength: np.ndarray, redshifts: np.ndarray) -> np.ndarray:
    """Return the mean optical depth of the intergalactic medium, Inoue et al. (2014).

    Parameters
    ----------
    wavelength : array, shape (m,)
        Observed wavelengths in Å, increasing.
    redshifts : array, shape (k,)
        Of the source.

    Returns
    -------
    array of float64, shape (k, m)
        Lyman-series and Lyman-continuum absorption by the forest and by damped systems.
    """
    depth = np.zeros((len(redshifts), len(wavelength)))
    for line, forest, damped in spectra_file().lyman_series:
        ratio = wavelength / line
        own = forest * _forest_line(ratio) + damped * _damped_line(ratio)
        first = int(np.searchsorted(wavelength, line))
        ends = np.searchsorted(wavelength, line * (1.0 + redshifts))
        for row, end in enumerate(ends):
            depth[row, first:end] += own[first:end]
    for row, z in enumerate(redshifts):
        first, end = np.searchsorted(wavelength, [LYMAN_LIMIT, LYMAN_LIMIT * (1.0 + z)])
        ratio = wavelength[first:end] / LYMAN_LIMIT
        depth[row, first:end] += np.maximum(_forest_continuum(ratio, z) + _damped_continuum(ratio, z), 0.0)
    return depth


def transmission(wavelength: np.ndarray, redshifts: np.ndarray) -> np.ndarray:
    """Return the mean share of light that reaches us, exp(-:func:`optical_depth`), shape (k, m).

    Parameters
    ----------
    wavelength : array, shape (m,)
        Observed wavelengths in Å, increasing.
    redshifts : array, shape (k,)
        Of the source.

    Returns
    -------
    array of float64, shape (k, m)
    """
    return np.exp(-optical_depth(wavelength, redshifts))


_STRIDE = 2  # pixels between redshifts of a table: 300 km/s, a tenth of a narrow band's width


class ComponentTable:
    """Band fluxes of rest-frame components on a grid of redshifts.

    A spectrum is a sum of components, and so is its flux in a band; hence n objects cost n small
    products and no spectrum is ever written. What multiplies a spectrum and hardly changes within a
    band (dust, a change of slope) is applied to the band fluxes afterwards.

    Parameters
    ----------
    throughput : Throughput
        The b bands.
    spectra : array, shape (c, len(WAVELENGTH))
        f_λ of the components at rest.
    z_max : float
        Largest redshift.
    transmission : callable, optional
        Of wavelengths (m,) in Å and redshifts (k,): the share of light that reaches us, (k, m).
    """

    def __init__(
        self,
        throughput: Throughput,
        spectra: np.ndarray,
        z_max: float,
        transmission: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self._width = _STRIDE * STEP
        count = int(np.log1p(z_max) / self._width) + 2
        share = None
        if transmission is not None:
            share = transmission(WAVELENGTH, np.expm1(self._width * np.arange(count)))
        self.values = throughput.redshifted(spectra, count, _STRIDE, share)
        self.pivots = throughput.pivots

    def nearest(self, z: np.ndarray) -> np.ndarray:
        """Return the row of the table for each redshift, int (n,).

        Parameters
        ----------
        z : array, shape (n,)
            Redshifts.

        Returns
        -------
        array of int, shape (n,)
        """
        return np.clip(np.rint(np.log1p(z) / self._width).astype(np.intp), 0, len(self.values) - 1)

    def photometry(self, z: np.ndarray, coefficients: np.ndarray, first: int = 0) -> np.ndarray:
        """Return the band fluxes of sums of components.

        Parameters
        ----------
        z : array, shape (n,)
            Redshifts; the nearest of the table is taken, at most 150 km/s away.
        coefficients : array, shape (n, m)
            Weights of components `first` to `first` + m.
        first : int
            The first component that the coefficients are for.

        Returns
        -------
        array of float32, shape (n, b)
            f_ν in the common unit of the components.
        """
        rows = self.nearest(z)
        order = np.argsort(rows, kind="stable")
        weights = np.ascontiguousarray(coefficients[order], dtype=np.float32)
        ordered = np.empty((len(z), self.values.shape[2]), dtype=np.float32)
        chosen = slice(first, first + coefficients.shape[1])
        places, starts = np.unique(rows[order], return_index=True)
        for place, start, end in zip(places, starts, np.append(starts[1:], len(z)), strict=True):
            np.matmul(weights[start:end], self.values[place, chosen], out=ordered[start:end])
        result = np.empty_like(ordered)
        result[order] = ordered
        return result

    def log_rest(self, z: np.ndarray, reference: float = 1.0) -> np.ndarray:
        """Return ln(λ / reference) at rest of each band's pivot, float32 (n, b).

        Parameters
        ----------
        z : array, shape (n,)
            Redshifts.
        reference : float
            Wavelength in Å.

        Returns
        -------
        array of float32, shape (n, b)
        """
        observed = np.log(self.pivots / reference).astype(np.float32)
        return observed[None, :] - np.log1p(z).astype(np.float32)[:, None]


_FLOOR = 0.05  # share of the flux added in quadrature to its error in fits


_LEAST_FITS = 12  # fits that a prior on coefficients is learnt from


@dataclass(eq=False)
class Basis:
    """A few vectors that spectra of one class are sums of.

    Parameters
    ----------
    name : str
        Where they are from.
    vectors : array of float32, shape (k, len(WAVELENGTH))
        f_λ at rest; 0 outside `first` to `last`.
    first, last : int
        Pixels that the vectors cover.
    forest : bool
        Whether the intergalactic medium is still to be put before them.
    alone : bool
        Whether each vector is a template of its own.
    positive : bool
        Whether coefficients must not be negative.
    mean, deviations : array, shape (k,) and (k, k)
        Of coefficients at unit level: their prior is mean + deviations @ N(0, 1). None where nothing is known.
    """

    name: str
    vectors: np.ndarray
    first: int
    last: int
    forest: bool = False
    alone: bool = False
    positive: bool = False
    mean: np.ndarray | None = None
    deviations: np.ndarray | None = None

    def learn_prior(self, coefficients: np.ndarray) -> None:
        """Learn the prior from the coefficients of spectra, shape (n, k).

        Parameters
        ----------
        coefficients : array, shape (n, k)
            Of n spectra in the k vectors.
        """
        unit = coefficients / self.level(coefficients)[:, None]
        unit = unit[np.isfinite(unit).all(axis=1)]
        middle = np.median(unit, axis=0)
        spread = 1.4826 * np.median(np.abs(unit - middle), axis=0) + 1e-9 * np.abs(middle).max()
        kept = unit[(np.abs(unit - middle) < 8.0 * spread).all(axis=1)]
        kept = kept if len(kept) >= _LEAST_FITS else unit
        self.mean = kept.mean(axis=0)
        covariance = np.atleast_2d(np.cov(kept.T)) + np.diag(
            (0.02 * np.abs(self.mean).max()) ** 2 * np.ones(len(middle))
        )
        self.deviations = np.linalg.cholesky(covariance)

    def level(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the mean flux of sums, positive, shape (n,).

        Parameters
        ----------
        coefficients : array, shape (n, k)
            Of n sums of the k vectors.

        Returns
        -------
        array, shape (n,)
            f_λ in the unit of the vectors.
        """
        middle = np.nanmean(self.vectors[:, self.first : self.last + 1], axis=1)
        return np.maximum(np.abs(coefficients @ middle), 1e-30)

    def fit(self, flux: np.ndarray, weight: np.ndarray, z: float) -> tuple[np.ndarray, float, float]:
        """Fit a spectrum at rest.

        Parameters
        ----------
        flux, weight : array, shape (len(WAVELENGTH),)
            f_λ and its inverse variance; 0 where nothing was measured.
        z : float
            Redshift, for the intergalactic medium.

        Returns
        -------
        coefficients : array, shape (k,)
        misfit : float
            χ² and prior per pixel, with a floor of 5 % of the flux.
        covered : float
            Share of the measured pixels that the vectors cover.
        """
        used = weight > 0
        inside = used.copy()
        inside[: self.first], inside[self.last + 1 :] = False, False
        if inside.sum() < 50:
            return np.zeros(len(self.vectors)), np.inf, 0.0
        w = 1.0 / (1.0 / weight[inside] + (_FLOOR * flux[inside]) ** 2)
        vectors = self.vectors[:, inside].astype(np.float64)
        if self.forest:
            vectors = vectors * np.exp(-optical_depth(WAVELENGTH[inside] * (1 + z), np.array([z]))[0])
        data, root = flux[inside], np.sqrt(w)
        if self.alone:
            scale = np.maximum((vectors * w) @ data / np.maximum((vectors**2) @ w, 1e-300), 0.0)
            misfits = (w * (data - scale[:, None] * vectors) ** 2).sum(axis=1)
            best = int(np.argmin(misfits))
            coefficients = np.zeros(len(vectors))
            coefficients[best] = scale[best]
            misfit = misfits[best]
        else:
            coefficients, misfit = self._solve(vectors, data, root)
        return coefficients, float(misfit / inside.sum()), float(inside.sum() / used.sum())

    def _solve(self, vectors: np.ndarray, data: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, float]:
        matrix, wanted = (vectors * root).T, data * root
        if self.positive:
            from scipy.optimize import nnls

            size = np.sqrt((matrix**2).sum(axis=0)) + 1e-300
            found, rest = nnls(matrix / size, wanted)
            return found / size, rest**2
        if self.mean is None or self.deviations is None:
            found = np.linalg.lstsq(matrix, wanted, rcond=1e-8)[0]
            return found, float(((wanted - matrix @ found) ** 2).sum())
        shape = matrix @ self.mean
        level = max(float(shape @ wanted / (shape @ shape)), 1e-30)
        for _ in range(3):
            steps = matrix @ self.deviations * level
            normal = steps.T @ steps + np.eye(len(self.mean))
            drawn = np.linalg.solve(normal, steps.T @ (wanted - level * shape))
            unit = self.mean + self.deviations @ drawn
            model = matrix @ unit
            level = max(float(model @ wanted / (model @ model)), 1e-30)
        return level * unit, float(((wanted - level * model) ** 2).sum() + drawn @ drawn)
