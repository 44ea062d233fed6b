"""Objects above the atmosphere, class by class; or smooth spectra with one line in one class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from pydantic import Field

from ..config import Options
from ..options import ClassMix, Fraction, PlantedLine, RareKind
from ..surveys.bands import AB_ZERO_POINT as AB_ZERO_POINT
from ..surveys.catalogue import MORPHOLOGIES
from ..surveys.scheme import CLASSES
from .galaxies import Galaxies, Quasars, continuum, line_spectra
from .kinds import (
    GALAXY,
    SPARSE,
    STAR,
    RareKinds,
    kinds_of_quasars,
    kinds_of_stars,
    population,
    sky_density,
    truncated_normal,
)
from .spectra import SPEED_OF_LIGHT, ComponentTable, line_wavelength, milky_way
from .stars import Stars
from .throughput import Instrument, Throughput, load_instrument

_VELOCITY = 2500.0  # km/s


class SmoothSpectra:
    """Power laws, and in one class one emission line at its redshift.

    Parameters
    ----------
    throughput : Throughput
        The b bands.
    planted : PlantedLine
        Which line, in which class, how strong.

    Raises
    ------
    ConfigError
        If there is no such line.
    """

    def __init__(self, throughput: Throughput, planted: PlantedLine) -> None:
        self.wavelength = line_wavelength(planted.line)
        self._code = CLASSES.index(planted.to)
        line = line_spectra(((self.wavelength, planted.equivalent_width),), _VELOCITY)
        self._table = ComponentTable(throughput, np.stack([continuum(), line]), 5.0)

    def fluxes(self, rng: np.random.Generator, z: np.ndarray, code: int) -> np.ndarray:
        """Return band fluxes of one class in an arbitrary unit, float32 (n, b).

        Parameters
        ----------
        rng : numpy.random.Generator
            Where slopes and strengths come from.
        z : array, shape (n,)
            Redshifts.
        code : int
            Code of the class.

        Returns
        -------
        array of float32, shape (n, b)
        """
        strength = 10.0 ** (0.1 * rng.standard_normal(len(z))) * (code == self._code)
        flux = self._table.photometry(z, np.stack([np.ones(len(z)), strength], axis=1))
        # One distribution of slopes for all classes: nothing but the line tells them apart.
        tilt = rng.normal(0.0, 0.3, len(z))
        observed = self._table.log_rest(np.zeros(1), 6000.0)
        return flux * np.exp(tilt[:, None] * observed).astype(np.float32)


_PSF, _REX, _DEV, _EXP, _SER = (MORPHOLOGIES.index(name) for name in ("PSF", "REX", "DEV", "EXP", "SER"))


@dataclass(frozen=True)
class Objects:
    """n objects and their light above the atmosphere.

    Parameters
    ----------
    label : array of int8, shape (n,)
        True class.
    z : array of float64, shape (n,)
        True redshift.
    mag : array of float32, shape (n,)
        True r, AB.
    flux : array of float32, shape (n, b)
        nJy in the bands of the instrument.
    imaging : array of float32, shape (n, 3)
        nJy in g, r and z.
    morphology : array of int8, shape (n,)
        As the imaging survey types it.
    extended : array of float32, shape (n,)
        0 for a point source, 1 for a galaxy much wider than the seeing.
    reddening : array of float32, shape (n,)
        E(B-V) of our Galaxy in front of it.
    kind : array of int8, shape (n,)
        Place in :data:`~jpas_gbm.simulation.kinds.KINDS`; 0 where it is not told.
    """

    label: np.ndarray
    z: np.ndarray
    mag: np.ndarray
    flux: np.ndarray
    imaging: np.ndarray
    morphology: np.ndarray
    extended: np.ndarray
    reddening: np.ndarray
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: np.ndarray | slice) -> Objects:
        """Return the objects chosen by a mask, by indices or by a slice.

        Parameters
        ----------
        rows : array or slice
            Mask of shape (n,), indices of shape (m,), or a slice.

        Returns
        -------
        Objects
        """
        return replace(self, **{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    @staticmethod
    def concat(parts: list[Objects]) -> Objects:
        """Return several sets of objects as one.

        Parameters
        ----------
        parts : list of Objects
            In the same bands.

        Returns
        -------
        Objects
        """
        names = Objects.__dataclass_fields__
        return Objects(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@lru_cache(maxsize=2)
def _spectra_in(bands: str) -> tuple[Stars, Galaxies, Quasars, RareKinds]:
    """The tables of band fluxes take seconds to make and are the same in every survey."""
    instrument = load_instrument(bands)
    throughput = Throughput([*instrument.filters, *instrument.imaging])
    galaxies = Galaxies(throughput)
    return Stars(throughput), galaxies, Quasars(throughput), RareKinds(throughput, galaxies)


class Universe:
    """Draws objects of given classes.

    Parameters
    ----------
    instrument : Instrument
        Whose bands their light is wanted in.
    magnitudes : tuple of float
        Brightest and faintest r, AB.
    planted : PlantedLine, optional
        Smooth spectra with one line in one class, instead of astrophysics.
    population : float
        How far spectra differ from the usual ones; 0 is usual.
    kinds : mapping of str to float, optional
        Rare kinds, and their shares of their classes.
    """

    def __init__(
        self,
        instrument: Instrument,
        magnitudes: tuple[float, float],
        planted: PlantedLine | None = None,
        population: float = 0.0,
        kinds: Mapping[RareKind, float] | None = None,
    ) -> None:
        self._population = population
        self._kinds: Mapping[RareKind, float] = kinds or {}
        throughput = Throughput([*instrument.filters, *instrument.imaging])
        self._bands = len(instrument.filters)
        self._limits = magnitudes
        self._galactic = milky_way(throughput.pivots).astype(np.float32)
        self._smooth = None if planted is None else SmoothSpectra(throughput, planted)
        self._stars, self._galaxies, self._quasars, self._rare = _spectra_in(instrument.system.name)

    def draw(self, rng: np.random.Generator, label: np.ndarray) -> Objects:
        """Return one object for each class code in `label`.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where everything comes from.
        label : array of int8, shape (n,)
            Codes of the four classes.

        Returns
        -------
        Objects
            n objects.
        """
        n = len(label)
        mag, z = np.empty(n), np.zeros(n)
        flux = np.empty((n, len(self._galactic)), dtype=np.float32)
        morphology, extended = np.full(n, _PSF, dtype=np.int8), np.zeros(n, dtype=np.float32)
        kind = np.zeros(n, dtype=np.int8)
        for code in range(4):
            rows = np.flatnonzero(label == code)
            if len(rows):
                found = self._of_class(rng, code, len(rows))
                mag[rows], z[rows], flux[rows], morphology[rows], extended[rows], kind[rows] = found
        reddening = np.minimum(rng.gamma(2.0, 0.012, n), 0.25).astype(np.float32)
        flux *= np.exp(-0.921034 * reddening[:, None] * self._galactic)
        scale = 10.0 ** (-0.4 * (mag - AB_ZERO_POINT)) / flux[:, self._bands + 1]
        flux *= scale.astype(np.float32)[:, None]
        return Objects(
            label=np.asarray(label, dtype=np.int8),
            z=z,
            mag=mag.astype(np.float32),
            flux=np.ascontiguousarray(flux[:, : self._bands]),
            imaging=np.ascontiguousarray(flux[:, self._bands :]),
            morphology=morphology,
            extended=extended,
            reddening=reddening,
            kind=kind,
        )

    def _of_class(self, rng: np.random.Generator, code: int, n: int) -> tuple[np.ndarray, ...]:
        """Magnitude, redshift, flux in any unit, morphology, extent and kind of n objects of one class."""
        shapes = np.full(n, _PSF, dtype=np.int8), np.zeros(n, dtype=np.float32)
        mag, z, sample = population(rng, code, n, self._limits)
        kind = np.zeros(n, dtype=np.int8)
        if self._smooth is not None:
            # One distribution of magnitudes too: the line alone tells classes apart.
            mag = truncated_normal(rng, n, 20.5, 1.0, self._limits)
            return mag, z, self._smooth.fluxes(rng, z, code), *shapes, kind
        if code == STAR:
            shapes[0][rng.random(n) < 0.012] = _REX
            flux, traits = self._stars.fluxes(rng, mag, self._population)
            kind = kinds_of_stars(traits[0], traits[1], traits[2] > 0)
        elif code == GALAXY:
            flux, quiescent = self._galaxies.fluxes(rng, z, sample, self._population)
            shapes = galaxy_shapes(rng, mag, quiescent)
        else:
            flux, host_share, traits = self._quasars.fluxes(rng, z, mag, self._population)
            shapes = quasar_shapes(rng, host_share)
            kind = kinds_of_quasars(z, traits[0], traits[1], host_share)
        if self._kinds:
            self._rare.replace(rng, self._kinds, code, z, flux, kind)
        return mag, z, flux, *shapes, kind


def galaxy_shapes(rng: np.random.Generator, mag: np.ndarray, quiescent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return morphology and extent of galaxies of r magnitude `mag`, each of shape (n,).

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    mag : array, shape (n,)
        r, AB.
    quiescent : array of bool, shape (n,)
        Whether star formation is over.

    Returns
    -------
    morphology : array of int8, shape (n,)
        Codes, places in `MORPHOLOGIES`.
    extended : array of float32, shape (n,)
        As in :class:`Objects`.
    """
    n, u = len(mag), rng.random(len(mag))
    faintness = 1.0 / (1.0 + np.exp(-(mag - 22.6) / 0.6))
    point, round_ = 0.01 + 0.17 * faintness, 0.06 + 0.55 * faintness
    sersic = (1 - point - round_) * np.where(mag < 18.5, 0.55, 0.25)
    wide = np.where(quiescent, _DEV, _EXP)
    morphology = np.select([u < point, u < point + round_, u < point + round_ + sersic], [_PSF, _REX, _SER], wide)
    size = np.clip(1.1 - 0.55 * faintness + 0.15 * rng.standard_normal(n), 0.15, 1.3)
    return morphology.astype(np.int8), np.where(morphology == _PSF, 0.3 * size, size).astype(np.float32)


def quasar_shapes(rng: np.random.Generator, host_share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return morphology and extent of quasars whose hosts give that share of the light, each of shape (n,).

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    host_share : array, shape (n,)
        Share of the host in the light, 0 to 1.

    Returns
    -------
    morphology : array of int8, shape (n,)
        Codes, places in `MORPHOLOGIES`.
    extended : array of float32, shape (n,)
        As in :class:`Objects`.
    """
    wide = rng.random(len(host_share)) < 0.03 + 0.9 * host_share
    kind = rng.choice([_REX, _DEV, _EXP, _SER], len(host_share), p=(0.45, 0.2, 0.15, 0.2))
    return np.where(wide, kind, _PSF).astype(np.int8), np.where(wide, host_share, 0.0).astype(np.float32)


def deal(n: int, mix: np.ndarray) -> np.ndarray:
    """Return how many of n things each share of `mix` gets: largest remainders, and at least one if any share.

    Parameters
    ----------
    n : int
        Things to deal.
    mix : array, shape (k,)
        Weights, not all zero.

    Returns
    -------
    array of int64, shape (k,)
        Counts that sum to n.
    """
    mix = np.asarray(mix, dtype=float)
    exact = n * mix / mix.sum()
    counts = np.floor(exact).astype(np.int64)
    for place in np.argsort(counts - exact, kind="stable")[: n - counts.sum()]:
        counts[place] += 1
    for place in np.flatnonzero((counts == 0) & (mix > 0)):
        if counts.max() > 1:
            counts[np.argmax(counts)] -= 1
            counts[place] = 1
    return counts


def shuffled_labels(rng: np.random.Generator, n: int, weights: tuple[float, ...], quasar_factor: float) -> np.ndarray:
    """Return classes in the shares of a mix, in random order.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the order comes from.
    n : int
        How many.
    weights : tuple of float
        Of the four classes.
    quasar_factor : float
        By how much those of the two classes of quasars are raised.

    Returns
    -------
    array of int8, shape (n,)
    """
    mix = np.array(weights) * np.array([quasar_factor, quasar_factor, 1.0, 1.0])
    return rng.permutation(np.repeat(np.arange(len(mix), dtype=np.int8), deal(n, mix)))


class MocksOptions(Options):
    """Mocks made of spectra: which objects, how they differ from their parents, and how they are observed."""

    rows: int = Field(60_000, ge=1, description="Rows.")
    realisations: int = Field(1, ge=1, description="Rows of each object, each with a noise and a level of its own.")
    class_mix: ClassMix = Field(
        (1.0, 1.0, 1.0, 1.0), description="Mix in class order; classes that no spectrum can make are left out."
    )
    magnitudes: tuple[float, float] = Field((16.0, 23.5), description="Brightest and faintest r, AB.")
    fill: Literal["fit", "missing"] = Field(
        "fit", description="Bands that a spectrum does not cover: of its fit, or missing."
    )
    z_jitter: float = Field(0.12, ge=0, description="How far a mock may be from its parent in ln(1 + z).")
    spread: float = Field(0.3, ge=0, description="Scatter about a quasar's fit, in units of that among quasars.")
    tilt: float = Field(0.2, ge=0, description="Scatter of the slope of a quasar's spectrum; others have a quarter.")
    dust: float = Field(0.04, ge=0, description="Mean E(B-V) of dust in quasars and galaxies themselves.")
    troughs: float = Field(0.12, ge=0, le=1, description="Share of quasars with broad absorption lines.")
    hosts: float = Field(0.3, ge=0, description="Median share of the host's light in a quasar at z = 0.3.")
    dwarfs: float = Field(0.15, ge=0, le=1, description="Share of galaxies at z < 0.45 with strong emission lines.")
    nearby: float = Field(0.0, ge=0, le=1, description="Share of galaxies at z < 0.03.")
    kinds: dict[RareKind, Fraction] = Field(SPARSE, description="Kinds that spectra seldom show: shares of classes.")
    variable_stars: float = Field(0.0, ge=0, le=1, description="Share of stars that vary between bands, to 0.2 mag.")
    reddening: float = Field(0.024, ge=0, description="Mean E(B-V) of our Galaxy.")
    wise: bool = Field(False, description="Whether mocks also have W1 and W2 of WISE: colours by class and redshift.")
    depth_offset: float | None = Field(
        None, description="Added to depths, mag; none: 0 for those of a table, -0.75 for the built-in ones of miniJPAS."
    )
    warp: float = Field(0.03, ge=0, description="Smooth errors of the mocks' calibration, each of 3 modes, mag.")
    shift: float = Field(1.0, ge=0, description="Scale of the mocks' calibration errors and of the scatter of levels.")


_TROUGHS = ((1549.5, 1.0), (1397.0, 0.6), (1240.8, 0.8), (1215.7, 0.5))  # Å and relative depth
_LOW_TROUGHS = ((2798.8, 0.8), (1858.0, 0.6))


def outflow(rng: np.random.Generator, log_wavelength: np.ndarray) -> np.ndarray:
    """Return the transmission of an outflow: troughs blueward of C IV, Si IV, N V and Lyα, a sixth also of Mg II.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where speed, width and depth come from.
    log_wavelength : array, shape (p,)
        ln of Å at rest.

    Returns
    -------
    array of float32, shape (p,)
    """
    speed, width, depth = rng.uniform(2e3, 1.6e4), rng.uniform(1.5e3, 6e3), rng.uniform(0.4, 1.0)
    lines = _TROUGHS + (_LOW_TROUGHS if rng.random() < 0.17 else ())
    out = np.ones(len(log_wavelength))
    for line, strength in lines:
        velocity = (np.log(line) - log_wavelength) * SPEED_OF_LIGHT
        out *= 1.0 - depth * strength * np.exp(-(((velocity - speed) / width) ** 4))
    return out.astype(np.float32)


class SkyWeights:
    """Weights that turn mocks, whose classes and magnitudes are those of a training set, into what the sky has.

    Parameters
    ----------
    magnitudes : tuple of float
        Brightest and faintest r, AB.
    """

    _STEP, _DRAWS = 0.25, 20_000

    def __init__(self, magnitudes: tuple[float, float]) -> None:
        self._limits = magnitudes
        bins = max(1, round((magnitudes[1] - magnitudes[0]) / self._STEP))
        self._edges = np.linspace(*magnitudes, bins + 1)
        self._of = np.zeros((len(CLASSES), bins))
        self._sums = np.zeros((len(CLASSES), 2))

    def learn(self, label: np.ndarray) -> None:
        """Take the classes of all mocks, int (n,); magnitudes are those of the population that mocks are drawn from.

        Parameters
        ----------
        label : array of int, shape (n,)
            Class codes.
        """
        rng, middle = np.random.default_rng(0), 0.5 * (self._edges[1:] + self._edges[:-1])
        share = np.bincount(label, minlength=len(CLASSES)) / max(len(label), 1)
        sky = np.stack([sky_density(code, middle) for code in range(len(CLASSES))]) * np.diff(self._edges)
        for code in np.flatnonzero(share).tolist():
            drawn = np.histogram(population(rng, code, self._DRAWS, self._limits)[0], self._edges)[0] / self._DRAWS
            # Where hardly a mock is, none can stand for the sky: the weight is that of one draw in the bin at least.
            self._of[code] = sky[code] / (share[code] * np.maximum(drawn, 1.0 / self._DRAWS))
        seen = share > 0
        self._of[seen] *= 1.0 / sky[seen].sum()

    def weights(self, objects: Objects, kept: int) -> np.ndarray:
        """Return the weight of each object, of mean about 1 over all; the first ones are counted as made.

        Parameters
        ----------
        objects : Objects
            Of any number n.
        kept : int
            So many of them, the first, are made.

        Returns
        -------
        array of float32, shape (n,)
            How many sources of the sky each stands for.
        """
        place = np.clip(np.searchsorted(self._edges, objects.mag, side="right") - 1, 0, len(self._edges) - 2)
        weight = self._of[objects.label, place].astype(np.float32)
        for power in (1, 2):
            np.add.at(self._sums[:, power - 1], objects.label[:kept], weight[:kept].astype(np.float64) ** power)
        return weight

    def effective(self, code: int) -> float:
        """Return (Σ w)² / Σ w² of the rows of a class that were made.

        Parameters
        ----------
        code : int
            Class code.

        Returns
        -------
        float
            So many rows of the sky they are worth.
        """
        total, squares = self._sums[code]
        return float(total**2 / squares) if squares > 0 else 0.0
