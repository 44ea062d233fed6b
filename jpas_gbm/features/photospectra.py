"""Spectra: the photo-spectra of some rows, bands first, in units of each row's own level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError
from ..features import groups
from ..options import FeatureOptions
from ..surveys.bands import BandSystem
from ..surveys.catalogue import Catalogue

if TYPE_CHECKING:
    from .templates import TemplateSet

FEWEST_IN_SEQUENCE = 8
"""With fewer narrow bands there is no photo-spectrum to slide a window along."""

_CLIP = np.float32(3.0)
_FLOOR = np.float32(0.3)
_SOFTENING = 0.5
PADDING = 12
"""Bands without light that lie beyond either end of the photo-spectrum."""


def narrow_sequence(bands: BandSystem) -> tuple[str, ...]:
    """Return the narrow bands by rising wavelength, or nothing where they are too few for a spectrum.

    Parameters
    ----------
    bands : BandSystem
        The bands.

    Returns
    -------
    tuple of str
        Names; empty with fewer than :data:`FEWEST_IN_SEQUENCE` narrow bands.
    """
    return bands.narrow if len(bands.narrow) >= FEWEST_IN_SEQUENCE else ()


def soft_log(x: np.ndarray) -> np.ndarray:
    """Return arcsinh(2 x) as float32: linear around zero, logarithmic for bright bands.

    Worked out in double precision and then rounded: the last bit of single-precision arcsinh differs
    between libraries, and a tree's split would flip with it.

    Parameters
    ----------
    x : array of float32
        Fluxes in units of the row's level, of any sign.

    Returns
    -------
    array of float32
        Of the shape of `x`.
    """
    wide = np.divide(x, _SOFTENING, dtype=np.float64)
    return np.arcsinh(wide, out=wide).astype(np.float32)


def _sum_bands(planes: np.ndarray) -> np.ndarray:
    # numpy's own sum adds one row's bands in another order than many rows': the last bit would
    # depend on the size of the chunk. Halving keeps one order.
    while len(planes) > 1:
        half = len(planes) // 2
        total = planes[:half] + planes[half : 2 * half]
        if len(planes) % 2:
            total[0] += planes[-1]
        planes = total
    return planes[0]


def row_level(light: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the level of each row: a mean flux that single wild bands cannot carry away.

    The mean over observed bands of fluxes clipped at three times their mean size (itself taken of sizes
    so clipped), and never less than 0.3 times that size, so that noise around zero has a level too.

    Parameters
    ----------
    light : array of float32, shape (b, n)
        Fluxes, 0 where missing.
    count : array of float32, shape (n,)
        Bands observed.

    Returns
    -------
    array of float32, shape (n,)
        Positive; 1 for rows that are 0 in every observed band, NaN for rows without a band.
    """
    size = np.abs(light)
    with np.errstate(invalid="ignore", over="ignore"):
        typical = _sum_bands(size) / count
        for _ in range(2):
            limit = _CLIP * typical
            np.minimum(size, limit, out=size)
            typical = _sum_bands(size) / count
        # Clipped sizes with the signs of the fluxes are the clipped fluxes.
        level = np.maximum(_sum_bands(np.copysign(size, light, out=size)) / count, _FLOOR * typical)
    level[level == 0] = 1.0
    return level


@dataclass(frozen=True, eq=False)
class Window:
    """Means over windows that slide along the narrow bands.

    Parameters
    ----------
    seen : array of float32, shape (p, n)
        Bands observed.
    flux, place, variance : array of float32, shape (p, n)
        Mean flux in units of the row's level, mean wavelength in µm, variance of the mean flux (None
        without errors).
    """

    seen: np.ndarray
    flux: np.ndarray
    place: np.ndarray
    variance: np.ndarray | None


class Spectra:
    """Photo-spectra of some rows, bands first, in units of each row's own level.

    Every row is worked on alone, by the same operations in the same order: its numbers do not depend
    on the rows beside it.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
    flux : array of float32, shape (n, b)
        Any linear flux unit; NaN where missing.
    err : array of float32, shape (n, b), optional
        1 σ in the same unit.
    imaging_mag : array of float32, shape (n,), optional
        Magnitude of the imaging survey, AB; NaN where unknown.
    morphology : array of int8, shape (n,), optional
        Codes of :data:`~jpas_gbm.surveys.catalogue.MORPHOLOGIES`.
    more : mapping of str to array of float32, shape (n,), optional
        Optional bands and measures of the imaging survey.

    Attributes
    ----------
    level : array of float32, shape (n,)
        See :func:`row_level`.
    flux, err : array of float32, shape (b, n)
        In units of the row's level; `err` is None where the survey gives none.
    """

    def __init__(
        self,
        bands: BandSystem,
        flux: np.ndarray,
        err: np.ndarray | None = None,
        imaging_mag: np.ndarray | None = None,
        morphology: np.ndarray | None = None,
        more: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        n = len(flux)
        self.more = dict(more or {})
        self.bands = bands
        self.imaging_mag = np.full(n, np.nan, dtype=np.float32) if imaging_mag is None else imaging_mag
        self.morphology = np.zeros(n, dtype=np.int8) if morphology is None else morphology
        self.flux = np.array(flux.T, dtype=np.float32, order="C")
        self._seen = ~np.isnan(self.flux)
        light = np.where(self._seen, self.flux, np.float32(0))
        self.level = row_level(light, _sum_bands(self._seen.astype(np.float32)))
        self.flux /= self.level
        self.err: np.ndarray | None = None
        if err is not None:
            self.err = np.array(err.T, dtype=np.float32, order="C")
            with np.errstate(over="ignore"):
                self.err /= self.level

    def __len__(self) -> int:
        return self.flux.shape[1]

    def whole_snr(self) -> np.ndarray:
        """Return the S/N of the mean flux over observed bands, float32 (n,); needs errors.

        Returns
        -------
        array of float32, shape (n,)
        """
        assert self.err is not None, "there is no S/N without errors"
        light = np.where(self._seen, self.flux, np.float32(0))
        noise = np.where(self._seen, self.err, np.float32(0))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            noise *= noise
            return _sum_bands(light) / np.sqrt(_sum_bands(noise))

    @cached_property
    def _planes(self) -> np.ndarray:
        """Flux, observed or not, wavelength, variance of the narrow bands; 0 where missing and beyond the ends."""
        chosen = self.bands.indices(narrow_sequence(self.bands))
        inside = slice(PADDING, PADDING + len(chosen))
        planes = np.zeros((3 if self.err is None else 4, len(chosen) + 2 * PADDING, len(self)), dtype=np.float32)
        seen = self._seen[chosen]
        np.copyto(planes[0, inside], self.flux[chosen], where=seen)
        planes[1, inside] = seen
        np.multiply(
            planes[1, inside], (self.bands.pivots[chosen, None] * 1e-4).astype(np.float32), out=planes[2, inside]
        )
        if self.err is not None:
            np.copyto(planes[3, inside], self.err[chosen], where=seen)
            with np.errstate(over="ignore"):
                planes[3] *= planes[3]
        return planes

    def mean_flux(self, start: int, width: int, stride: int, number: int) -> np.ndarray:
        """Return mean fluxes over sliding windows, float32 (number, n); NaN where no band was observed.

        Parameters
        ----------
        start : int
            Place, among the narrow bands, of the first band of the first window; may be negative:
            beyond the ends nothing was observed.
        width : int
            Bands of a window.
        stride : int
            Bands between the starts of neighbouring windows.
        number : int
            Windows.

        Returns
        -------
        array of float32, shape (number, n)
        """
        light, count = _sum_windows(self._planes[:2], start, width, stride, number)
        with np.errstate(invalid="ignore"):
            light /= count
        return light

    def window(self, start: int, width: int, stride: int, number: int, empty: float = np.nan) -> Window:
        """Return flux, wavelength and variance of sliding windows (see :meth:`mean_flux`).

        Parameters
        ----------
        start, width, stride, number : int
            First band, bands, stride and number of the windows.
        empty : {nan, 0}
            What windows without an observed band hold.

        Returns
        -------
        Window
            With p = number.
        """
        sums = _sum_windows(self._planes, start, width, stride, number)
        seen = sums[1]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            share = np.float32(1) / (seen if np.isnan(empty) else np.maximum(seen, np.float32(1)))
            flux, place = sums[0] * share, sums[2] * share
            if len(sums) == 3:
                return Window(seen, flux, place, None)
            variance = sums[3] * share
            variance *= share
        return Window(seen, flux, place, variance)


def _sum_windows(planes: np.ndarray, start: int, width: int, stride: int, number: int) -> np.ndarray:
    first = start + PADDING
    last = first + stride * (number - 1) + 1
    if width == 1:
        return planes[:, first:last:stride].copy()
    total = planes[:, first:last:stride] + planes[:, first + 1 : last + 1 : stride]
    for offset in range(2, width):
        total += planes[:, first + offset : last + offset : stride]
    return total


def in_threads(work: Callable[[slice], None], rows: int, size: int, threads: int) -> None:
    """Call `work` on every slice of so many rows, in several threads.

    Parameters
    ----------
    work : callable
        Takes a slice of rows. It must give a row the same bits whatever the slice.
    rows : int
        Rows altogether.
    size : int
        Rows of a slice, but for the last.
    threads : int
        Threads.
    """
    tasks = [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
    if threads <= 1 or len(tasks) < 2:
        for task in tasks:
            work(task)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, tasks))


Shares = Iterable[tuple[Iterable[str], float]]
"""Sets of bands and the share of a feature that each set has; the shares add up to 1."""


class FeaturePart(ABC):
    """Some features of one group.

    Attributes
    ----------
    names : tuple of str
        Names of the f features; each begins with the name of the group.
    weights : array of float64, shape (f, b)
        What part of each feature belongs to each band: rows sum to 1, or to 0 where a feature belongs to no band.
    """

    names: tuple[str, ...]
    weights: np.ndarray

    @abstractmethod
    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Compute the features of some rows, each row from its own numbers alone.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled; NaN where a feature is missing, never infinite.
        """

    def declare(self, bands: BandSystem, features: Iterable[tuple[str, Shares]]) -> None:
        """Set `names` and `weights`: each set of bands divides its share evenly.

        Parameters
        ----------
        bands : BandSystem
            The b bands.
        features : iterable of (str, shares)
            Name of each feature, and the sets of bands that it belongs to with their shares.
        """
        entries = list(features)
        self.names = tuple(name for name, _ in entries)
        self.weights = np.zeros((len(entries), len(bands)))
        for row, (_, shares) in zip(self.weights, entries, strict=True):
            for names, share in shares:
                columns = bands.indices(names)
                row[columns] += share / len(columns)


class FittedPart(FeaturePart):
    """Features that need whole rows and something learnt; made before the others, whose bands they may blank."""

    @abstractmethod
    def compute_rows(self, rows: Catalogue, out: np.ndarray, threads: int) -> Catalogue:
        """Compute the features of all rows.

        Parameters
        ----------
        rows : Catalogue
            n rows.
        out : array of float32, shape (n, f)
            Filled.
        threads : int
            Rows are shared out among so many threads.

        Returns
        -------
        Catalogue
            The rows that the other features see: bands that cannot be right are missing there.
        """

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Refuse: these features are made by :meth:`compute_rows`.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Would be filled.
        """
        raise NotImplementedError("these features are made of whole rows: call compute_rows")


@dataclass(frozen=True)
class Setting:
    """What a recipe knows when its groups say which features they have.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
    options : FeatureOptions
        The switches.
    has_errors, has_imaging : bool
        What every catalogue will have.
    templates : TemplateSet, optional
        The template bases, where they are learnt.
    """

    bands: BandSystem
    options: FeatureOptions
    has_errors: bool = True
    has_imaging: bool = True
    templates: TemplateSet | None = None

    @cached_property
    def sequence(self) -> tuple[str, ...]:
        """The narrow bands by rising wavelength, or nothing where they are too few for a photo-spectrum."""
        return narrow_sequence(self.bands)

    @property
    def lean(self) -> bool:
        """Whether groups that add nothing to template features step aside."""
        templates = self.templates
        asked = set(self.options.template_ranks)
        return self.options.lean and templates is not None and asked <= set(templates.ranks)


Maker = Callable[[Setting], Iterable[FeaturePart]]


_REGISTRY: dict[str, tuple[int, Maker]] = {}


def feature_group(name: str, *, order: int = 80) -> Callable[[Maker], Maker]:
    """Register a group of features; decorates the function that makes its parts.

    Parameters
    ----------
    name : str
        Name of the group, with which the names of its features begin.
    order : int
        Groups stand in this order in a recipe.

    Returns
    -------
    callable
        The decorator. What it decorates takes a :class:`Setting` and yields the :class:`FeaturePart` that the
        options ask for and the bands allow.

    Raises
    ------
    ConfigError
        If there is such a group already.
    """

    def register(maker: Maker) -> Maker:
        if name in _REGISTRY:
            raise ConfigError(f"there is a group of features '{name}' already: register yours under another name.")
        _REGISTRY[name] = (order, maker)
        return maker

    return register


def feature_groups() -> dict[str, Maker]:
    """Return what makes the features of each group, in the order of a recipe; finds the files in ``groups/``.

    Returns
    -------
    dict of str to callable
        From the name of a group to what makes its parts.
    """
    for module in iter_modules(groups.__path__):
        import_module(f"{groups.__name__}.{module.name}")
    return {name: maker for name, (_, maker) in sorted(_REGISTRY.items(), key=lambda item: item[1][0])}
