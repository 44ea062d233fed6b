"""The shift between mocks and sky, measured on objects that both have seen; how unlike the mocks a row is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from ..options import TwinlessOptions
from ..surveys.catalogue import Catalogue
from .bases import Stored

FEW_TILES = 8
"""Of fewer tiles their scatter is not measured."""

_TILES_OF_MEDIAN = 4


@dataclass(frozen=True, eq=False, repr=False)
class DomainShift(Stored):
    """What turns noise-free mock fluxes into the sky's, up to the row's own level.

    Parameters
    ----------
    bands : tuple of str
        Names of the b bands.
    tiles : array of int64, shape (t,)
        Tiles with zero points of their own, ascending; empty where the survey names none.
    zero_points : array of float64, shape (t, b)
        Sky over mock flux of the anchor class in each tile.
    common : array of float64, shape (b,)
        The same for tiles not listed.
    offsets : array of float64, shape (k, b)
        Ratio of each class to the anchor class: apertures that lose light of extended sources, say.
    modes : array of float64, shape (k, m, b)
        Relative variations (1 σ) that the objects of a class show together in several bands: variability
        between trays, colour gradients within apertures. Zero where there are fewer than m.
    scatter : float
        1 σ of the zero points' own error, relative.
    pulls : array of float64, shape (q,)
        Quantiles of the noise in units of the stated error, from faint fluxes of twins: its width says
        how far errors are understated, its tails how far from normal they are.
    outlier_rate : float
        Share of well-measured fluxes far off their twin in that band alone.
    outliers : array of float64, shape (o,)
        Ratios of such fluxes to what the twin promises, a sample.
    """

    bands: tuple[str, ...]
    tiles: np.ndarray
    zero_points: np.ndarray
    common: np.ndarray
    offsets: np.ndarray
    modes: np.ndarray
    scatter: float
    pulls: np.ndarray
    outlier_rate: float
    outliers: np.ndarray

    stored_as: ClassVar[str] = "shift"

    @property
    def error_factor(self) -> float:
        """Root mean square of the pulls: true over stated errors."""
        return float(np.sqrt(np.mean(self.pulls**2)))

    def misfits(self, bands: tuple[str, ...], n_classes: int) -> Iterator[str]:
        """Yield what does not fit a model.

        Parameters
        ----------
        bands : tuple of str
            Names of the model's b bands.
        n_classes : int
            Its classes, k.

        Yields
        ------
        str
        """
        b, t = len(bands), len(self.tiles)
        shapes = {"zero_points": (t, b), "common": (b,), "offsets": (n_classes, b)}
        wrong = [name for name, shape in shapes.items() if getattr(self, name).shape != shape]
        above = [*self.zero_points.flat, *self.common.flat, *self.offsets.flat]
        if self.bands != bands or wrong or self.modes.shape != (n_classes, *self.modes.shape[1:2], b):
            yield f"its shift is of other bands, tiles or classes ({', '.join(wrong) or 'bands, modes'})"
        elif not (np.isfinite([*above, *self.modes.flat, *self.pulls.flat]).all() and min(above) > 0):
            yield "its shift has zero points, offsets or variations that are no numbers, or not above 0"
        if self.tiles.dtype.kind not in "iu" or (np.diff(self.tiles) <= 0).any():
            yield "its shift names tiles out of order"

    def factors(self, tile: np.ndarray | None, n: int) -> np.ndarray:
        """Return sky over mock flux of the anchor class for n rows of given tiles, float64 (n, b).

        Parameters
        ----------
        tile : array of int, shape (n,), optional
            Tile of each row.
        n : int
            Number of rows.

        Returns
        -------
        array of float64, shape (n, b)
        """
        if tile is None or not len(self.tiles):
            return np.broadcast_to(self.common, (n, len(self.common)))
        place = np.minimum(np.searchsorted(self.tiles, tile), len(self.tiles) - 1)
        known = self.tiles[place] == tile
        return np.where(known[:, None], self.zero_points[place], self.common)

    def with_tiles(self, tiles: np.ndarray, relative: np.ndarray) -> DomainShift:
        """Return the shift with zero points of more tiles; those that it has stay.

        Parameters
        ----------
        tiles : array of int64, shape (t,)
            Numbers of the tiles.
        relative : array of float64, shape (t, b)
            Zero points over :attr:`common`.

        Returns
        -------
        DomainShift
        """
        new = ~np.isin(tiles, self.tiles)
        every = np.concatenate([self.tiles, np.asarray(tiles, dtype=np.int64)[new]])
        factors = np.concatenate([self.zero_points, self.common * relative[new]])
        order = np.argsort(every, kind="stable")
        return replace(self, tiles=every[order], zero_points=factors[order])

    def unknown(self, catalogue: Catalogue) -> np.ndarray:
        """Return which rows lie in a tile without a zero point of its own, bool (n,); none where no tile has one.

        Parameters
        ----------
        catalogue : Catalogue
            n rows of the sky.

        Returns
        -------
        array of bool, shape (n,)
        """
        tile = catalogue.key.get("TILE_ID")
        if tile is None or not len(self.tiles):
            return np.zeros(len(catalogue), dtype=bool)
        return ~np.isin(tile, self.tiles)

    def correct(self, catalogue: Catalogue) -> Catalogue:
        """Return sky photometry in the mocks' calibration, with errors as wide as the noise.

        Zero points are divided out, by tile where it is known; errors are scaled by :attr:`error_factor`.

        Parameters
        ----------
        catalogue : Catalogue
            Rows of the sky in the b bands.

        Returns
        -------
        Catalogue
        """
        factors = self.factors(catalogue.key.get("TILE_ID"), len(catalogue))
        with np.errstate(over="ignore"):
            flux = (catalogue.flux / factors).astype(np.float32)
            error = (catalogue.flux_err * (self.error_factor / factors)).astype(np.float32)
        beyond = np.isinf(flux) | np.isinf(error)
        flux[beyond] = error[beyond] = np.nan
        return catalogue.replace(flux=flux, flux_err=error)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, for a file; scatter and outlier rate stand in one of them.

        Returns
        -------
        dict of str to array
        """
        arrays = super().to_arrays()
        return arrays | {"numbers": np.array([arrays.pop("scatter"), arrays.pop("outlier_rate")])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from :meth:`to_arrays`.

        Parameters
        ----------
        arrays : mapping of str to array
            What was written.

        Returns
        -------
        DomainShift

        Raises
        ------
        BundleError
            If an array is missing or does not fit its field.
        """
        numbers = zip(("scatter", "outlier_rate"), arrays.get("numbers", ()), strict=False)
        return super().from_arrays({**arrays, **dict(numbers)})

    def to_dict(self) -> dict[str, object]:
        """Return a summary for the model card.

        Returns
        -------
        dict
        """
        return {
            "tiles": len(self.tiles),
            "zero_point_scatter": float(np.std(self.zero_points)) if len(self.tiles) else None,
            "largest_common_zero_point": float(np.max(np.abs(self.common - 1))),
            "largest_class_offset": float(np.max(np.abs(self.offsets - 1))),
            "mode_strength": np.sqrt(np.square(self.modes).sum(axis=1).mean(axis=1)),
            "zero_point_error": self.scatter,
            "error_factor": self.error_factor,
            "outlier_rate": self.outlier_rate,
        }


FEW_IN_TILE = 30
"""Fewer sources in a tile give a zero point that is mostly its prior."""


@dataclass(frozen=True)
class TwinlessReport:
    """What was measured without labels, what was taken of it, and why.

    Parameters
    ----------
    sources : int
        Sources that were sure of their template in the last round.
    tiles : int
        Tiles with a zero point of their own.
    tile_scatter : float
        Scatter over tiles of the zero points, relative.
    zero_point_error : float
        What the zero points of a tile are known to.
    common : float
        Root mean square over bands of the zero point common to all tiles.
    common_limit : float
        The largest that is taken for calibration.
    offset : float
        Largest root mean square over bands of the offset of a class of extended sources.
    star_modes : float
        Strength of what stars vary by, beyond what mock stars do.
    star_misfit : float
        Median χ² of stars over that of mock stars, less 1.
    outlier_rate, error_factor : float
        Of fluxes far off in one band alone, and true over stated errors.
    poor_tiles : int
        Tiles with fewer than :data:`FEW_IN_TILE` sources.
    taken : tuple of str
        Of zero points, common, offsets, modes, outliers and errors those that are corrected.
    notes : tuple of str
        What was refused and why, in sentences.
    """

    sources: int
    tiles: int
    tile_scatter: float
    zero_point_error: float
    common: float
    common_limit: float
    offset: float
    star_modes: float
    star_misfit: float
    outlier_rate: float
    error_factor: float
    poor_tiles: int = 0
    taken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def doubted(self) -> bool:
        """Whether what was found looks like errors of the templates."""
        return "common" not in self.taken

    def to_dict(self) -> dict[str, object]:
        """Return the fields by name, for the model card.

        Returns
        -------
        dict
        """
        return dict(vars(self))


def judged(report: TwinlessReport, options: TwinlessOptions) -> TwinlessReport:
    """Return the report with what is taken, and a sentence for what is refused.

    Zero points of tiles relative to their mean are taken always: no population follows the tiles. What all share is
    calibration only as far as tiles that scatter so would leave it; more is an error of the templates, which has its
    part in offsets too. Mocks are given variations and outliers wherever these come from.

    Parameters
    ----------
    report : TwinlessReport
        What was measured.
    options : TwinlessOptions
        The limits.

    Returns
    -------
    TwinlessReport
    """
    doubts = []
    if report.common > report.common_limit:
        who = "tiles that scatter as these do would leave" if report.tiles > 1 else "without tiles to compare is taken"
        doubts.append(f"the common zero point is {report.common:.4f}, and {who} {report.common_limit:.4f} at most")
    limits = (
        ("the variation of stars", report.star_modes, options.star_modes),
        ("the excess of the χ² of stars over that of mock stars", report.star_misfit, options.star_misfit),
        ("the rate of outliers", report.outlier_rate, options.outlier_rate),
    )
    doubts += [f"{what} is {value:.3g} (limit {most:g})" for what, value, most in limits if value > most]
    taken = (*(("zero points",) if report.tiles > 1 else ()), "errors", "modes", "outliers")
    notes = []
    if report.tiles < 2:
        notes = ["fewer than two tiles are named: no zero point of a tile against the others can be measured."]
    elif report.poor_tiles:
        notes = [
            f"{report.poor_tiles:,} of {report.tiles:,} tiles have fewer than {FEW_IN_TILE} sources that are sure of "
            "their template: their zero points are shrunk towards the mean of all tiles."
        ]
    if not doubts:
        return replace(report, taken=(*taken, "common", "offsets"), notes=tuple(notes))
    note = "measured without labels, common zero points and offsets of classes look like errors of the templates and "
    note += f"are not corrected, while mocks are given the variations and outliers: {'; '.join(doubts)}."
    return replace(report, taken=taken, notes=(*notes, note))


@dataclass(frozen=True)
class Means:
    """Means over rows of something that is summed by tile, of c columns.

    Parameters
    ----------
    n, mean : array, shape (c,)
        Rows and their mean.
    per_tile : array of float64, shape (t, c)
        Mean of each tile; NaN where it has no row.
    n_tile : array of float64, shape (t, c)
    """

    n: np.ndarray
    mean: np.ndarray
    per_tile: np.ndarray
    n_tile: np.ndarray

    @classmethod
    def of(cls, count: np.ndarray, total: np.ndarray, unit: float = 1.0) -> Means:
        """Return the means of what was summed.

        Parameters
        ----------
        count, total : array of int, shape (t, c)
            Rows, and sums over them.
        unit : float
            What one of a sum is worth.

        Returns
        -------
        Means
        """
        n = count.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return cls(n, total.sum(axis=0) / unit / n, total / unit / count, count.astype(np.float64))

    @property
    def uneven(self) -> np.ndarray:
        """One over the number of tiles that rows spread over, (c,)."""
        return np.square(self.n_tile).sum(axis=0) / np.maximum(np.square(self.n.astype(np.float64)), 1)

    def agreed(self, usual: np.ndarray) -> np.ndarray:
        """Return how far the mean is from what is usual, as far as the median of tiles goes along.

        A single tile that is far off moves the mean of a few, but is no drift of the catalogue.

        Parameters
        ----------
        usual : array, shape (c,)

        Returns
        -------
        array, shape (c,)
        """
        excess = self.mean - usual
        if len(self.per_tile) < _TILES_OF_MEDIAN:
            return excess
        middle = middles((self.per_tile - usual).T)
        return np.where(np.sign(middle) == np.sign(excess), np.sign(excess) * np.minimum(abs(middle), abs(excess)), 0.0)

    def between(self, variance: np.ndarray, default: float) -> np.ndarray:
        """Return the variance of tiles beyond that of their rows (method of moments).

        Parameters
        ----------
        variance : array, shape (c,)
            Of rows.
        default : float
            Standard deviation of tiles where there are too few to tell.

        Returns
        -------
        array, shape (c,)
        """
        n, tiles = self.n.astype(np.float64), (self.n_tile > 0).sum(axis=0)
        q = np.nansum(self.n_tile * np.square(self.per_tile - self.mean), axis=0)
        spread = n - np.square(self.n_tile).sum(axis=0) / np.maximum(n, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            tau = np.maximum((q - (tiles - 1) * variance) / spread, 0.0)
        return np.where(tiles >= FEW_TILES, tau, default**2)


def middles(values: np.ndarray) -> np.ndarray:
    """Return the median of what is known of each row; 0 where nothing is.

    Parameters
    ----------
    values : array, shape (..., c)

    Returns
    -------
    array, shape (...)
    """
    none = np.isnan(values).all(axis=-1, keepdims=True)
    return np.asarray(np.nanmedian(np.where(none, 0.0, values), axis=-1))


def atoms_of(b: int) -> np.ndarray:
    """Return what each of some bands that is off by one shows, beside the mean of both neighbours.

    Parameters
    ----------
    b : int
        Bands.

    Returns
    -------
    array, shape (b, b)
        A column for each band.
    """
    return np.asarray(np.eye(b) - 0.5 * (np.eye(b, k=1) + np.eye(b, k=-1)))


def sharpness(excess: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the standard error of how far each band is off.

    Parameters
    ----------
    excess, error : array, shape (b,)
        Deviations from the mean of both neighbours, mag, and their errors.

    Returns
    -------
    array, shape (b,), infinite where nothing is known
    """
    weight = np.where(np.isfinite(excess), 1 / np.maximum(np.square(error), 1e-12), 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(1 / np.sqrt(weight @ np.square(atoms_of(len(excess)))))


def pursued(excess: np.ndarray, error: np.ndarray, at: float, least: np.ndarray) -> Iterator[tuple[int, float]]:
    """Yield bands that are off, and by how much, from deviations from the mean of both neighbours.

    A band that is off by d shows d itself and -d/2 on either side. The band that explains most is taken away before
    the next is looked for (matching pursuit, Mallat and Zhang 1993).

    Parameters
    ----------
    excess, error : array, shape (b,)
        Deviations, mag, and their errors.
    at : float
        How many standard errors it must be.
    least : array, shape (b,)
        What is not told of each band, mag.

    Yields
    ------
    place, size : int, float
        Of a band, and mag.
    """
    atoms, known = atoms_of(len(excess)), np.isfinite(excess)
    weight = np.where(known, 1 / np.maximum(np.square(error), 1e-12), 0.0)
    left, power = np.where(known, excess, 0.0), np.maximum(weight @ np.square(atoms), 1e-300)
    own = weight @ np.square(atoms) > 0
    for _ in range(len(excess)):
        size = np.where(own, (weight * left) @ atoms / power, 0.0)
        good = np.where(np.abs(size) > least, np.abs(size) * np.sqrt(power), 0.0)
        best = int(np.argmax(good))
        if good[best] <= at:
            return
        yield best, float(size[best])
        left = np.where(known, left - size[best] * atoms[:, best], 0.0)
        own[best] = False
