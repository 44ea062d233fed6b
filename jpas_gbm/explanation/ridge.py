"""What bands say against rest wavelength and redshift: lines, the physics score, and the ridge of Lyα."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..scores.bootstrap import Replicates, intervals, mean_over, resample_rows, resample_weights
from ..surveys.bands import BandSystem
from .attributions import Attributions
from .blocks import LINES, NEAR, PHYSICS, Block, line_named, spectrum_columns, strongest
from .content import LineMeans, LineShare, PhysicsScore, Ridge, RidgeBin, ShuffledRedshifts
from .summary import rank_correlation

FEWEST = 10
"""With fewer rows there is neither a physics score nor a ridge."""

_Z_STEP = 0.1
_ON_LINE = 0.03
FEWEST_IN_BIN, FEWEST_PEAKS = 3, 5
"""Rows of a bin of redshift that has a peak, and peaks that have a slope."""


_FEWEST = 5


@dataclass(frozen=True, eq=False)
class RedshiftRows:
    """Attributions of n rows whose redshift is known.

    Parameters
    ----------
    bands : BandSystem
    values : array, shape (n, b)
        Attribution of the pair's log-odds to each band.
    z : array, shape (n,)
    observed : array of bool, shape (n, b)
    object_id : array of int64, shape (n,)
        The bootstrap draws objects.
    """

    bands: BandSystem
    values: np.ndarray
    z: np.ndarray
    observed: np.ndarray
    object_id: np.ndarray

    def __len__(self) -> int:
        return len(self.z)

    @classmethod
    def of(cls, found: Attributions, chosen: np.ndarray) -> RedshiftRows:
        """Return the rows of attributions that a mask (n,) chooses and whose redshift is known.

        Parameters
        ----------
        found : Attributions
            Of n rows.
        chosen : array of bool, shape (n,)
            Which of them.

        Returns
        -------
        RedshiftRows
            In their order.
        """
        bands = found.model.recipe.bands
        rows = found.rows.select_bands(bands)
        chosen = np.flatnonzero(chosen & np.isfinite(rows.z) & (rows.z > -1))
        return cls(bands, found.pair_bands[chosen], rows.z[chosen], rows.observed[chosen], rows.object_id[chosen])

    def take(self, rows: np.ndarray) -> RedshiftRows:
        """Return the rows chosen by a mask or indices.

        Parameters
        ----------
        rows : array of bool, shape (n,), or of int

        Returns
        -------
        RedshiftRows
        """
        return RedshiftRows(self.bands, self.values[rows], self.z[rows], self.observed[rows], self.object_id[rows])


def rest_edges() -> np.ndarray:
    """Return edges in Å of bins of equal width in ln wavelength, about one narrow band each, shape (r + 1,).

    Returns
    -------
    array of float64, shape (r + 1,)
    """
    number = int(np.ceil(np.log(_HIGH / _LOW) / _STEP))
    return _LOW * np.exp(_STEP * np.arange(number + 1))


class RestSpectrum(NamedTuple):
    """Mean attribution in each of r bins, its interval, and the rows there; NaN with fewer than five rows.

    Parameters
    ----------
    mean : array, shape (r,)
        Mean attribution.
    low, high : array, shape (r,)
        Ends of its 95 % interval.
    rows : array of int, shape (r,)
        Rows in the bin.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rows: np.ndarray


def rest_spectrum(rows: RedshiftRows, resamples: int, seed: int) -> RestSpectrum:
    """Return mean attributions of a band against λ/(1 + z), over observed bands, in the bins of :func:`rest_edges`.

    Parameters
    ----------
    rows : RedshiftRows
    resamples, seed : int
        Of the intervals over objects.

    Returns
    -------
    RestSpectrum
    """
    edges, columns = rest_edges(), spectrum_columns(rows.bands)
    n, width = len(rows), len(edges) - 1
    place = np.searchsorted(edges, rows.bands.pivots[columns][None, :] / (1.0 + rows.z[:, None]), side="right") - 1
    good = rows.observed[:, columns] & (place >= 0) & (place < width)
    cell = (np.arange(n)[:, None] * width + place)[good]
    total = np.bincount(cell, weights=rows.values[:, columns][good], minlength=n * width).reshape(n, width)
    count = np.bincount(cell, minlength=n * width).reshape(n, width)
    there = count > 0
    means = mean_over(total / np.maximum(count, 1), [there], rows.object_id, resamples, seed)
    few = there.sum(axis=0) < _FEWEST
    mean, low, high = (np.where(few, np.nan, column) for column in (means.mean, *means.interval.T))
    return RestSpectrum(mean, low, high, there.sum(axis=0))


def line_table(rows: RedshiftRows, resamples: int, seed: int) -> tuple[LineMeans, ...]:
    """Return what bands on each line say, and what all other bands of the same rows say.

    Parameters
    ----------
    rows : RedshiftRows
    resamples, seed : int
        Of the intervals over objects.

    Returns
    -------
    tuple of LineMeans
        One for each line and break that at least five rows show.
    """
    columns = spectrum_columns(rows.bands)
    values, observed = rows.values[:, columns], rows.observed[:, columns]
    rest = np.log(rows.bands.pivots[columns][None, :] / (1.0 + rows.z[:, None]))
    reach = np.maximum(NEAR, rows.bands.widths[columns] / rows.bands.pivots[columns] / 2)
    table = []
    for line in LINES:
        near = observed & (np.abs(rest - np.log(line.wavelength)) < reach)
        far = observed & ~near
        shown = np.flatnonzero(near.any(axis=1) & far.any(axis=1))
        if len(shown) < _FEWEST:
            continue
        on, off = ((values * side)[shown].sum(axis=1) / side[shown].sum(axis=1) for side in (near, far))
        every = np.ones((len(shown), 1), dtype=bool)
        means = mean_over(np.stack([on, off, on - off], axis=1), [every], rows.object_id[shown], resamples, seed)
        span = means.interval
        table.append(
            LineMeans(
                **dict(line),
                n=len(shown),
                on=means.mean[0],
                interval=span[0],
                off=means.mean[1],
                excess=means.mean[2],
                excess_interval=span[2],
            )
        )
    return tuple(table)


def holding(blocks: Sequence[Block], z: np.ndarray, names: Sequence[str] = PHYSICS) -> np.ndarray:
    """Return which blocks hold which lines, bool (lines, n, blocks).

    Parameters
    ----------
    blocks : sequence of Block, length B
    z : array, shape (n,)
    names : sequence of str
        Of the lines.

    Returns
    -------
    array of bool, shape (lines, n, B)
    """
    seen = [line_named(name).seen_at(z) for name in names]
    return np.stack([np.stack([block.holds(wave) for block in blocks], axis=1) for wave in seen])


def physics_score(
    sums: np.ndarray,
    blocks: Sequence[Block],
    rows: RedshiftRows,
    *,
    cls: str,
    z_range: tuple[float, float],
    resamples: int,
    seed: int,
) -> PhysicsScore | None:
    """Return the share of rows whose strongest positive block holds a line that should matter.

    What chance would give is stated twice. Shuffled blocks: each row's strongest block is any of its blocks with equal
    odds. Shuffled redshifts: strongest blocks are dealt to other rows: always the same bands gain nothing by it.

    Parameters
    ----------
    sums : array, shape (n, B)
        Attribution of the pair's log-odds to the B blocks of the spectrum.
    blocks : sequence of Block
    rows : RedshiftRows
        The n rows, of the pair's first class.
    cls, z_range
        That class, and the redshifts between which rows count.
    resamples, seed : int

    Returns
    -------
    PhysicsScore or None
        None with fewer than ten rows.
    """
    inside = (rows.z > z_range[0]) & (rows.z < z_range[1])
    sums, rows, held = sums[inside], rows.take(inside), holding(blocks, rows.z[inside])
    if len(rows) < FEWEST:
        return None
    right, top = np.asarray(held.any(axis=0)), strongest(sums)
    placed = (top[:, None] == np.arange(len(blocks))).astype(np.float64)
    chance = right.mean(axis=1)
    rng, draws = np.random.default_rng(np.random.SeedSequence([seed, 43])), [np.empty((4, 0))]
    for weights in resample_weights(rows.object_id, resamples, seed):
        drawn, expected, dealt = _shares(right, placed, weights)
        lucky = rng.binomial(weights.astype(np.int64), chance[:, None]).sum(axis=0) / weights.sum(axis=0)
        draws.append(np.stack([drawn, lucky, drawn - expected, drawn - dealt]))
    span = intervals(np.concatenate(draws, axis=1).T)
    score, expected, dealt = _shares(right, placed, np.ones((len(rows), 1)))[:, 0].tolist()
    return PhysicsScore(
        z_range=z_range,
        cls=cls,
        n=len(rows),
        lines=PHYSICS,
        score=score,
        interval=span[0],
        shuffled=expected,
        shuffled_interval=span[1],
        difference=score - expected,
        difference_interval=span[2],
        shuffled_redshifts=ShuffledRedshifts(shuffled=dealt, difference=score - dealt, difference_interval=span[3]),
        by_line={name: _line_share(one, placed) for name, one in zip(PHYSICS, held, strict=True)},
        no_positive_block=(top < 0).mean(),
    )


def _shares(right: np.ndarray, placed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return score and expected score with shuffled blocks and with shuffled redshifts, (3, r), for weights (n, r)."""
    total = weights.sum(axis=0, dtype=np.float64)
    hit, chance = (right * placed).sum(axis=1), right.mean(axis=1)
    dealt = ((right.T.astype(np.float64) @ weights) * (placed.T @ weights)).sum(axis=0) / total**2
    return np.stack([hit @ weights / total, chance @ weights / total, dealt])


def _line_share(held: np.ndarray, placed: np.ndarray) -> LineShare:
    """Return how often the strongest block holds a line, of the rows that show it."""
    shown = held.any(axis=1)
    if not shown.any():
        return LineShare(n=0, share=None, by_chance=None)
    share = (held * placed).sum(axis=1)[shown].mean()
    return LineShare(n=shown.sum(), share=share, by_chance=held[shown].mean())


class RidgeMap(NamedTuple):
    """Mean attribution of b bands in r bins of redshift: edges (r + 1,), mean (r, b) and rows (r,).

    The mean is NaN in bins with fewer than three rows.

    Parameters
    ----------
    edges : array, shape (r + 1,)
        Redshifts.
    mean : array, shape (r, b)
        Mean attribution.
    rows : array of int, shape (r,)
        Rows in the bin.
    """

    edges: np.ndarray
    mean: np.ndarray
    rows: np.ndarray


def _z_edges(z: np.ndarray) -> np.ndarray:
    return _Z_STEP * np.arange(max(int(np.floor(z.max() / _Z_STEP)) + 1, 1) + 1)


def _bin_of(z: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(edges, z, side="right") - 1, 0, len(edges) - 2)


def ridge_map(values: np.ndarray, z: np.ndarray) -> RidgeMap:
    """Return mean attributions (n, b) in bins of redshift.

    Parameters
    ----------
    values : array, shape (n, b)
    z : array, shape (n,)

    Returns
    -------
    RidgeMap
    """
    edges = _z_edges(z)
    place = _bin_of(z, edges)
    count = np.bincount(place, minlength=len(edges) - 1)
    total = np.zeros((len(edges) - 1, values.shape[1]))
    np.add.at(total, place, values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count[:, None] >= FEWEST_IN_BIN, total / count[:, None], np.nan)
    return RidgeMap(edges, mean, count)


def top_wavelengths(
    values: np.ndarray, sums: np.ndarray, blocks: Sequence[Block], bands: BandSystem
) -> tuple[np.ndarray, np.ndarray]:
    """Return where each row's attribution is strongest, in Å.

    Parameters
    ----------
    values : array, shape (n, b)
        Pair attribution of bands.
    sums : array, shape (n, B)
        Of the blocks along the spectrum.
    blocks : sequence of Block, length B
    bands : BandSystem

    Returns
    -------
    by_block, by_band : array, shape (n,)
        Centre of the strongest positive block, and within it of the strongest band; NaN where none is positive.
    """
    top = strongest(sums)
    centres = np.array([block.centre for block in blocks])
    by_block = np.where(top >= 0, centres[top], np.nan)
    columns = spectrum_columns(bands)
    pivots = bands.pivots[columns]
    inside = np.stack([block.holds(pivots) for block in blocks])[top]
    best = np.where(inside, values[:, columns], -np.inf).argmax(axis=1)
    return by_block, np.where(top >= 0, pivots[best], np.nan)


def ridge_peaks(values: np.ndarray, z: np.ndarray, pivots: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return redshift, wavelength and rows of the band of largest mean attribution in each bin of redshift.

    Parameters
    ----------
    values : array, shape (n, b)
    z : array, shape (n,)
    pivots : array, shape (b,)
        Å.

    Returns
    -------
    z, wavelength, rows : array, shape (bins with three rows or more,)
    """
    ridge = ridge_map(values, z)
    full = np.flatnonzero(ridge.rows >= FEWEST_IN_BIN)
    centres = np.bincount(_bin_of(z, ridge.edges), weights=z, minlength=len(ridge.rows))[full] / ridge.rows[full]
    return centres, pivots[ridge.mean[full].argmax(axis=1)], ridge.rows[full]


def ridge_slope(z: np.ndarray, wavelength: np.ndarray) -> float:
    """Return d ln λ / d ln(1 + z) of peaks, by Theil and Sen: 1 for a line, 0 for a band; NaN below five peaks.

    Parameters
    ----------
    z : array, shape (p,)
    wavelength : array, shape (p,)
        Å.

    Returns
    -------
    float
    """
    from scipy.stats import theilslopes

    return float(theilslopes(np.log(wavelength), np.log1p(z))[0]) if len(z) >= FEWEST_PEAKS else np.nan


def ridge_summary(rows: RedshiftRows, by_block: np.ndarray, resamples: int, seed: int) -> Ridge | None:
    """Return how the strongest wavelength moves with redshift.

    Parameters
    ----------
    rows : RedshiftRows
        n rows of one class.
    by_block : array, shape (n,)
        Centre of each row's strongest block (:func:`top_wavelengths`), NaN where it has none.
    resamples, seed : int
        Of the intervals over objects.

    Returns
    -------
    Ridge or None
        None with fewer than ten rows, or with no bin of redshift that has three.
    """
    there = np.isfinite(by_block)
    if there.sum() < FEWEST:
        return None
    columns, z = spectrum_columns(rows.bands), rows.z
    values, pivots = rows.values[:, columns], rows.bands.pivots[columns]
    centres, peaks, _ = ridge_peaks(values, z, pivots)
    if not len(centres):
        return None
    reach, line = np.maximum(_ON_LINE, rows.bands.widths[columns] / pivots / 2), line_named("Lya")

    def moves(drawn: np.ndarray) -> tuple[float, float, float]:
        seen, (at, peak, many) = drawn[there[drawn]], ridge_peaks(values[drawn], z[drawn], pivots)
        on = np.abs(np.log(peak / line.seen_at(at))) < reach[np.searchsorted(pivots, peak)]
        share = many[on].sum() / many.sum() if len(many) else np.nan
        return rank_correlation(by_block[seen], z[seen]), ridge_slope(at, peak), share

    rng = np.random.default_rng(np.random.SeedSequence([seed, 47]))
    draws = [moves(drawn) for drawn in resample_rows(rows.object_id, resamples, rng)]
    drawn = np.array(draws).reshape(-1, 3)
    span, (correlation, slope, on_lya) = intervals(drawn), moves(np.arange(len(z)))
    objects = np.array([float(len(np.unique(rows.object_id)))])
    of = Replicates({"on_lya": np.array([on_lya])}, {"on_lya": drawn[:, 2][None]}, {"on_lya": objects})
    place = _bin_of(z, _z_edges(z))
    numbers = [number for number in np.unique(place) if (place == number).sum() >= FEWEST_IN_BIN]
    bins = []
    for number, centre, peak, lya in zip(numbers, centres, peaks, line.seen_at(centres), strict=True):
        own = by_block[place == number]
        low, block, high = np.nanquantile(own, [0.25, 0.5, 0.75]) if np.isfinite(own).any() else [np.nan] * 3
        bins.append(RidgeBin(z=centre, n=len(own), peak=peak, lya=lya, low=low, block=block, high=high))
    return Ridge(
        n=len(z),
        rank_correlation=correlation,
        interval=span[0],
        slope=slope,
        slope_interval=span[1],
        on_lya=on_lya,
        bins=tuple(bins),
        on_lya_interval=of.intervals()["on_lya"],
    )


_LOW, _HIGH, _STEP = 700.0, 12_000.0, 0.02
