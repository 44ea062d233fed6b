"""The instrument of the simulation, read from configs/instrument.yaml, and band fluxes of spectra through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.special import ndtr

from ..config import Options, configs_folder, parse_options, read_yaml
from ..errors import ConfigError
from ..surveys.bands import Band, BandSystem, band_system


class FilterFacts(Options):
    """What the simulation needs of a band beside its pivot and width."""

    rise: float
    fall: float
    depth: float
    tray: int = 0


class ImagingFacts(FilterFacts):
    """The same for a band of the imaging survey, which no band system describes."""

    pivot: float
    width: float


class InstrumentFile(Options):
    """The keys of configs/instrument.yaml."""

    name: str
    system: str
    depth_scatter: float
    depth_tile_scatter: float
    seeing: float
    sky_aperture: float
    error_floor: float
    bands: dict[str, FilterFacts]
    imaging: dict[str, ImagingFacts]


@dataclass(frozen=True)
class Filter:
    """One filter of the simulation.

    Parameters
    ----------
    band : Band
        Name, pivot wavelength and full width at half maximum.
    rise, fall : float
        Å from 10 % to 90 % of the blue and the red edge.
    depth : float
        AB magnitude of 5 σ in an aperture of 3 arcsec.
    tray : int
        Filters with one number are exposed together, and so are missing together.
    """

    band: Band
    rise: float
    fall: float
    depth: float
    tray: int


@dataclass(frozen=True)
class Instrument:
    """The filters and the noise of the simulated telescope.

    Parameters
    ----------
    filters : tuple of Filter
        In the order of `system`.
    imaging : tuple of Filter
        g, r and z of the imaging survey.
    facts : InstrumentFile
        Everything that is not of one band.
    system : BandSystem
        Pivots and widths as the readers know them.
    """

    filters: tuple[Filter, ...]
    imaging: tuple[Filter, ...]
    facts: InstrumentFile
    system: BandSystem

    @cached_property
    def depths(self) -> np.ndarray:
        """5 σ AB magnitudes of the filters, shape (b,)."""
        return np.array([item.depth for item in self.filters])

    @cached_property
    def trays(self) -> np.ndarray:
        """Tray of each filter, int (b,)."""
        return np.array([item.tray for item in self.filters])


@lru_cache(maxsize=8)
def load_instrument(bands: str = "jpas57") -> Instrument:
    """Return the instrument with the bands of one system.

    Parameters
    ----------
    bands : str
        A system of J-PAS bands, such as jpas57 or jpas55.

    Returns
    -------
    Instrument

    Raises
    ------
    ConfigError
        If the system has bands that the simulation knows nothing of.
    """
    where = configs_folder() / "instrument.yaml"
    facts = parse_options(InstrumentFile, read_yaml(where), where.name)
    system = band_system(bands)
    unknown = [name for name in system.names if name not in facts.bands]
    if unknown:
        raise ConfigError(
            f"bands '{bands}' cannot be simulated: {where.name} says nothing of {', '.join(unknown[:5])}. "
            f"Choose a system among the bands of '{facts.system}', such as jpas57 or jpas55, or add them there."
        )
    filters = tuple(_filter(band, facts.bands[band.name]) for band in system)
    imaging = tuple(_filter(Band(name, fact.pivot, fact.width, "broad"), fact) for name, fact in facts.imaging.items())
    return Instrument(filters, imaging, facts, system)


def _filter(band: Band, fact: FilterFacts) -> Filter:
    return Filter(band, fact.rise, fact.fall, fact.depth, fact.tray)


STEP = 5e-4
"""Natural logarithm of the ratio of neighbouring wavelengths: 150 km/s, 2 Å at 4000 Å."""

_FIRST, _LAST = 480.0, 11500.0
WAVELENGTH = _FIRST * np.exp(STEP * np.arange(int(np.log(_LAST / _FIRST) / STEP) + 1))
"""The grid in Å on which every spectrum of the simulation is written: a redshift is a shift of pixels."""

_SIGMA_OF_EDGE = 1.0 / 2.5631  # a cumulative normal goes from 10 % to 90 % in 2.5631 σ


def transmission_curve(filter_: Filter, wavelength: np.ndarray) -> np.ndarray:
    """Return a top hat with smooth edges that has the filter's width and exactly its pivot wavelength.

    Parameters
    ----------
    filter_ : Filter
        Pivot, full width at half maximum and the widths of both edges.
    wavelength : array, shape (m,)
        Å, logarithmic.

    Returns
    -------
    array, shape (m,)
        Between 0 and 1; only its shape matters.
    """
    centre = filter_.band.pivot
    for _ in range(20):
        low, high = centre - filter_.band.width / 2, centre + filter_.band.width / 2
        curve = ndtr((wavelength - low) / (filter_.rise * _SIGMA_OF_EDGE))
        curve *= ndtr((high - wavelength) / (filter_.fall * _SIGMA_OF_EDGE))
        missing = filter_.band.pivot - pivot_wavelength(wavelength, curve)
        centre += missing
        if abs(missing) < 1e-3:
            break
    return curve


def pivot_wavelength(wavelength: np.ndarray, curve: np.ndarray) -> float:
    """Return sqrt(∫ T λ dλ / ∫ T/λ dλ) in Å, the pivot of a photon-counting curve.

    Parameters
    ----------
    wavelength : array, shape (m,)
        Å
    curve : array, shape (m,)
        Throughput T; only its shape matters.

    Returns
    -------
    float
    """
    return float(np.sqrt(np.trapezoid(curve * wavelength, wavelength) / np.trapezoid(curve / wavelength, wavelength)))


@dataclass(frozen=True)
class _Window:
    first: int
    weight: np.ndarray


class Throughput:
    """The operator from spectra to band fluxes.

    A detector counts photons, so the mean flux density of a band with throughput T is

        f_ν = ∫ f_λ T λ dλ / (c ∫ T/λ dλ),

    which on the logarithmic grid is a weighted mean of λ² f_λ over the few pixels of the band. The
    constant 1/c is left out: fluxes are normalised to a magnitude afterwards.

    Parameters
    ----------
    filters : sequence of Filter
        The b filters, in the order of the columns of every result.
    """

    def __init__(self, filters: Sequence[Filter]) -> None:
        self.pivots = np.array([item.band.pivot for item in filters])
        self._windows = [_window(item) for item in filters]

    def __len__(self) -> int:
        return len(self._windows)

    def fluxes(self, spectra: np.ndarray) -> np.ndarray:
        """Return band fluxes of spectra in the frame of the observer.

        Parameters
        ----------
        spectra : array, shape (..., len(WAVELENGTH))
            f_λ in any unit.

        Returns
        -------
        array of float64, shape (..., b)
            f_ν times the speed of light, in the unit of λ² f_λ.
        """
        return np.stack([spectra[..., w.first : w.first + len(w.weight)] @ w.weight for w in self._windows], axis=-1)

    def redshifted(self, spectra: np.ndarray, count: int, stride: int, share: np.ndarray | None = None) -> np.ndarray:
        """Return band fluxes of rest-frame spectra at redshifts in even steps of ln(1 + z).

        Parameters
        ----------
        spectra : array, shape (c, len(WAVELENGTH))
            f_λ at rest.
        count : int
            Number k of redshifts; the first is 0.
        stride : int
            Pixels of the grid between them.
        share : array, shape (k, len(WAVELENGTH)), optional
            Of the light that passes at each redshift and observed wavelength.

        Returns
        -------
        array of float32, shape (k, c, b)
            f_ν up to one constant for all bands and redshifts.
        """
        longest = (count - 1) * stride
        padded = np.ascontiguousarray(np.pad(spectra, ((0, 0), (longest, 0)), mode="edge").T)
        result = np.empty((count, len(spectra), len(self)), dtype=np.float32)
        for band, window in enumerate(self._windows):
            length = len(window.weight)
            views = np.lib.stride_tricks.sliding_window_view(padded, length, axis=0).swapaxes(1, 2)
            seen = views[window.first : window.first + longest + 1 : stride][::-1]
            weight = window.weight
            if share is not None:
                weight = weight * share[:, window.first : window.first + length]
                result[:, :, band] = np.matmul(weight[:, None, :], seen)[:, 0]
            else:
                result[:, :, band] = np.matmul(weight[None, None, :], seen)[:, 0]
        return result


def _window(filter_: Filter) -> _Window:
    curve = transmission_curve(filter_, WAVELENGTH)
    used = np.flatnonzero(curve > 1e-4 * curve.max())
    inside = slice(used[0], used[-1] + 1)
    weight = curve[inside] * WAVELENGTH[inside] ** 2
    return _Window(int(used[0]), weight / curve[inside].sum())
