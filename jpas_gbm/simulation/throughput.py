"""The instrument of the simulation, throughput curves from files, and band fluxes of spectra through both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from pydantic import Field
from scipy.special import ndtr

from ..config import Options, configs_folder, parse_options, read_yaml
from ..errors import ConfigError, did_you_mean
from ..surveys.bands import Band, BandSystem, band_system
from ..surveys.formats.csv import number_columns


class FilterFacts(Options):
    """What the simulation needs of a band beside its pivot and width."""

    rise: float = Field(description="Å from 10 % to 90 % of the blue edge.")
    fall: float = Field(description="The same of the red edge, Å.")
    depth: float = Field(description="AB magnitude of 5 σ in an aperture of 3 arcsec.")
    tray: int = Field(0, description="Filters of one number are exposed together.")


class ImagingFacts(FilterFacts):
    """The same for a band of the imaging survey, which no band system describes."""

    pivot: float = Field(description="Pivot wavelength, Å.")
    width: float = Field(description="Full width at half maximum, Å.")


class InstrumentFile(Options):
    """The keys of configs/instrument.yaml."""

    name: str = Field(description="What it is called.")
    system: str = Field(description="Band system of all bands that can be simulated.")
    depth_scatter: float = Field(description="From tile to tile in one band, mag.")
    depth_tile_scatter: float = Field(description="Common to all bands of a tile, mag.")
    seeing: float = Field(description="Median full width at half maximum, arcsec.")
    sky_aperture: float = Field(description="AB magnitude of the sky inside the aperture.")
    error_floor: float = Field(description="Share of the flux, added in quadrature.")
    bands: dict[str, FilterFacts] = Field(description="By name.")
    imaging: dict[str, ImagingFacts] = Field(description="By name: bands of the imaging survey.")


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
            f"Choose among the bands of '{facts.system}', as jpas57, or add them there; for mocks of spectra, give "
            "their curves and depths: --curves DIR --depths TABLE."
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

    which on the logarithmic grid is a weighted mean of λ² f_λ. The constant 1/c is left out.

    Parameters
    ----------
    filters : sequence of Filter or Curve
        The b bands, in the order of the columns of every result.
    """

    def __init__(self, filters: Sequence[Filter | Curve]) -> None:
        self.pivots = np.array([item.pivot if isinstance(item, Curve) else item.band.pivot for item in filters])
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
            weight = window.weight[None]
            if share is not None:
                weight = weight * share[:, window.first : window.first + length]
            result[:, :, band] = np.matmul(weight[:, None, :], seen)[:, 0]
        return result


def _window(filter_: Filter | Curve) -> _Window:
    if isinstance(filter_, Curve):
        weight = _weights(filter_, WAVELENGTH)[0]
        used = np.flatnonzero(weight) if weight.any() else np.zeros(1, dtype=np.intp)
        return _Window(int(used[0]), weight[used[0] : used[-1] + 1])
    curve = transmission_curve(filter_, WAVELENGTH)
    used = np.flatnonzero(curve > 1e-4 * curve.max())
    inside = slice(used[0], used[-1] + 1)
    weight = curve[inside] * WAVELENGTH[inside] ** 2
    return _Window(int(used[0]), weight / curve[inside].sum())


_SUFFIXES = (".tab", ".dat", ".txt", ".csv", ".par", ".ecsv")
_GAUSS = 0.5 / np.sqrt(3.0)  # the two Gauss-Legendre nodes of an interval of unit length, about its middle
_LIGHT = 2.99792458e18  # Å/s
_ENERGY = re.compile(
    r"(?im)^(?![\d\s.+-]).*\b(energy[-_ ](count|integrat|weight|unit|respon|based)\w*|per (unit )?(energy|erg)"
    r"|(detector|response|counter)[-_ ]*type\W+(energy|0\b)|(response|detector|counter)\W+energy).*"
)
_NO_THROUGHPUT = re.compile(r"absor|optical_?dens|extinct|attenu|opac|loss|log|mag|(^|_)(od|db|tau)(_|$)")


@dataclass(frozen=True, eq=False)
class Curve:
    """The total throughput of one band, linear between its samples and 0 outside.

    Parameters
    ----------
    name : str
        The band.
    wavelength : array of float64, shape (m,)
        Å, increasing.
    throughput : array of float64, shape (m,)
        Photons counted of photons that arrive, on any scale.
    """

    name: str
    wavelength: np.ndarray
    throughput: np.ndarray

    @property
    def pivot(self) -> float:
        """Pivot wavelength of a photon counter, Å."""
        nodes, step = _nodes(self.wavelength)
        curve = np.interp(nodes, self.wavelength, self.throughput)
        return float(np.sqrt((curve * nodes * step).sum() / (curve / nodes * step).sum()))


def _nodes(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two Gauss nodes of each interval and their weights: exact for cubic integrands. Shapes (2(m-1),)."""
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    nodes = np.stack([middle - _GAUSS * width, middle + _GAUSS * width], axis=1).ravel()
    return nodes, np.repeat(width / 2, 2)


def wrong_unit(last: float) -> str | None:
    """Return the unit that optical wavelengths seem to be in and how to mend it; none where Å is plausible.

    Parameters
    ----------
    last : float
        The longest wavelength, as if it were in Å.

    Returns
    -------
    str or None
        Such as ``nm: multiply them by 10``.
    """
    if last >= 2500.0:
        return None
    if 3.2 < last < 4.6:
        return "log10 of Å (raise 10 to them; what is named loglam is taken so) or µm (multiply them by 10,000)"
    return "nm: multiply them by 10" if last > 250.0 else "µm: multiply them by 10,000"


def read_curve(path: str | Path, name: str) -> Curve:
    """Read one curve: two columns of numbers, wavelength in Å and throughput.

    Parameters
    ----------
    path : path
        Text, as :func:`~jpas_gbm.surveys.formats.csv.number_columns` reads it.
    name : str
        The band.

    Returns
    -------
    Curve

    Raises
    ------
    ConfigError
        If there are no two columns, wavelengths do not increase or are not in Å, or throughput is not positive or is
        that of energy.
    """
    found = number_columns(path, ("throughput", "transmission", "total", "t", "trans", "response", "efficiency"))
    table = found.table
    if len(table) < 3:
        raise ConfigError(f"{path}: is no throughput curve. Expected two columns, wavelength in Å and throughput.")
    if said := _ENERGY.search(found.text):
        raise ConfigError(f"{path}: says {said[0]!r}; divide by wavelength for a photon counter, and mend that line.")
    if _NO_THROUGHPUT.search(found.value) or found.unit.lower() in ("mag", "db", "dex"):
        raise ConfigError(
            f"{path}: its second column is called '{found.value}', which is no throughput. Write the share of the "
            "photons that pass, 0 to 1."
        )
    wavelength, throughput = (table[::-1] if table[0, 0] > table[-1, 0] else table).T
    if not np.isfinite(table).all() or (np.diff(wavelength) <= 0).any():
        raise ConfigError(f"{path}: its wavelengths do not increase from line to line, or are not finite.")
    if unit := wrong_unit(wavelength[-1]):
        raise ConfigError(f"{path}: its wavelengths end at {wavelength[-1]:g}; that looks like {unit}. Å are expected.")
    peak = throughput.max()
    if not peak > 0 or throughput.min() < -0.01 * peak:
        raise ConfigError(f"{path}: its throughput reaches from {throughput.min():g} to {peak:g}; 0 to 1 is expected.")
    throughput = np.where(throughput > 1e-4 * peak, throughput, 0.0)
    inside = np.flatnonzero(throughput)
    cut = slice(max(inside[0] - 1, 0), inside[-1] + 2)
    return Curve(name, np.ascontiguousarray(wavelength[cut]), np.ascontiguousarray(throughput[cut]))


def find_curves(folder: str | Path, names: Iterable[str]) -> dict[str, Path]:
    """Return the file of each band in a folder: its name ends with the band's, as JPAS_J0378.tab or g.dat.

    Parameters
    ----------
    folder : path
        With a file for each band.
    names : iterable of str
        The bands.

    Returns
    -------
    dict of str to Path
        By band, in the order of `names`.

    Raises
    ------
    ConfigError
        If the folder does not exist, or a band has no file or several.
    """
    folder, names = Path(folder), list(names)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder of throughput curves.")
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _SUFFIXES:
            own = [name for name in names if re.search(rf"(^|[_.\- ]){re.escape(name)}$", path.stem)]
            last = re.split(r"[_.\- ]", path.stem)[-1]
            files.setdefault(max(own, key=len, default=last), []).append(path)
    if missing := [name for name in names if name not in files]:
        raise ConfigError(
            f"{folder}: has no curve of {len(missing)} of {len(names)} bands: {', '.join(missing[:8])}"
            f"{' ...' if len(missing) > 8 else ''}. A file is named after its band, such as JPAS_J0378.tab or g.dat; "
            f"text is read ({', '.join(_SUFFIXES)}), no VOTable.{did_you_mean(missing[0], list(files))}"
        )
    for name in names:
        if len(files[name]) > 1:
            found = ", ".join(path.name for path in files[name])
            raise ConfigError(f"{folder}: {name} has several curves: {found}. Keep one.")
    return {name: files[name][0] for name in names}


def band_operator(curves: Sequence[Curve], wavelength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights that make band fluxes of spectra on a grid.

    A detector counts photons: f_ν = ∫ f_λ T λ dλ / (c ∫ T/λ dλ), an AB magnitude up to its zero point (Bessell &
    Murphy 2012, eq. A12). Spectrum and curve are linear between their samples; on the union of both grids the
    integral is exact.

    Parameters
    ----------
    curves : sequence of Curve
        The b bands.
    wavelength : array of float64, shape (m,)
        Å, increasing.

    Returns
    -------
    weights : array of float64, shape (b, m)
        f_ν = weights @ f_λ, in units of (unit of f_λ) Å / Hz; where a band is covered in part, of that part.
    covered : array of float64, shape (b,)
        Which share of ∫ T/λ dλ lies inside the grid.
    """
    made = [_weights(curve, np.asarray(wavelength, dtype=np.float64)) for curve in curves]
    return np.stack([weights for weights, _ in made]), np.array([share for _, share in made])


def _weights(curve: Curve, wavelength: np.ndarray) -> tuple[np.ndarray, float]:
    low, high = curve.wavelength[[0, -1]]
    nodes, step = _nodes(curve.wavelength)
    whole = float((np.interp(nodes, curve.wavelength, curve.throughput) / nodes * step).sum())
    first, last = max(low, wavelength[0]), min(high, wavelength[-1])
    weights = np.zeros(len(wavelength))
    if first >= last:
        return weights, 0.0
    both = np.unique(np.concatenate([curve.wavelength, wavelength, [first, last]]))
    nodes, step = _nodes(both[(both >= first) & (both <= last)])
    response = np.interp(nodes, curve.wavelength, curve.throughput) * step
    left = np.clip(np.searchsorted(wavelength, nodes) - 1, 0, len(wavelength) - 2)
    share = (nodes - wavelength[left]) / (wavelength[left + 1] - wavelength[left])
    np.add.at(weights, left, response * nodes * (1 - share))
    np.add.at(weights, left + 1, response * nodes * share)
    inside = float((response / nodes).sum())
    return weights / (_LIGHT * inside) if inside > 0 else weights, inside / whole


def instrument_curves(filters: Sequence[Filter]) -> tuple[Curve, ...]:
    """Return the model curves of filters, where no measured ones are at hand.

    Parameters
    ----------
    filters : sequence of Filter
        The bands.

    Returns
    -------
    tuple of Curve
    """
    made = []
    for item in filters:
        curve = transmission_curve(item, WAVELENGTH)
        used = np.flatnonzero(curve > 1e-4 * curve.max())
        inside = slice(max(used[0] - 1, 0), used[-1] + 2)
        made.append(Curve(item.band.name, WAVELENGTH[inside], curve[inside]))
    return tuple(made)
