"""The sections of an explanation that need redshifts: rest frame, physics score, ridge.

The lines and breaks that should matter, and where they are seen.

Rest frame: what bands say against the wavelength at which the quasar sent the light.

The physics score: do the bands that decide hold the lines that should?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..options import ExplainOptions
from ..scores.bootstrap import LEVEL, resample_rows
from ..surveys.bands import BandSystem
from .attributions import Attributions
from .blocks import FEATURES, NEAR, PHYSICS, Block, Blocks, spectral_feature, spectrum_columns, strongest
from .ridge import ridge_map, ridge_summary, top_wavelengths
from .summary import Means, masked_means

_LOW, _HIGH, _STEP = 700.0, 12_000.0, 0.02
_FEWEST = 5


def rest_edges() -> np.ndarray:
    """Return edges in Å of bins of equal width in ln wavelength, about one narrow band each."""
    number = int(np.ceil(np.log(_HIGH / _LOW) / _STEP))
    return _LOW * np.exp(_STEP * np.arange(number + 1))


@dataclass(frozen=True, eq=False)
class RestSpectrum:
    """Mean attribution at rest wavelengths, over observed bands of rows with known redshift.

    Parameters
    ----------
    edges : array, shape (r + 1,)
        Å.
    mean, low, high : array, shape (r,)
        NaN in bins with fewer than five rows.
    count : array of int, shape (r,)
        Rows in each bin.
    """

    edges: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


def _binned(
    values: np.ndarray, z: np.ndarray, observed: np.ndarray, pivots: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return per row the mean over its observed bands in each bin, (n, r), and where there is one."""
    rest = pivots[None, :] / (1.0 + z[:, None])
    place = np.searchsorted(edges, rest, side="right") - 1
    good = observed & (place >= 0) & (place < len(edges) - 1)
    row = np.broadcast_to(np.arange(len(z))[:, None], place.shape)
    width = len(edges) - 1
    flat = row[good] * width + place[good]
    total = np.bincount(flat, weights=values[good], minlength=len(z) * width).reshape(len(z), width)
    count = np.bincount(flat, minlength=len(z) * width).reshape(len(z), width)
    return total / np.maximum(count, 1), count > 0


def rest_spectrum(
    values: np.ndarray,
    z: np.ndarray,
    observed: np.ndarray,
    bands: BandSystem,
    groups: np.ndarray,
    resamples: int,
    seed: int,
) -> RestSpectrum:
    """Return mean attributions against λ/(1 + z).

    Parameters
    ----------
    values : array, shape (n, b)
        Attribution of each band.
    z : array, shape (n,)
        Redshifts, all known.
    observed : array of bool, shape (n, b)
    bands : BandSystem
    groups : array of int, shape (n,)
        Objects, for the intervals.
    resamples, seed : int
    """
    edges = rest_edges()
    columns = spectrum_columns(bands)
    per_row, there = _binned(values[:, columns], z, observed[:, columns], bands.pivots[columns], edges)
    means, count = masked_means(per_row, there, groups, resamples, seed)
    few = count < _FEWEST
    low, high = _bounds(means)
    mean, low, high = (np.where(few, np.nan, one) for one in (means.mean, low, high))
    return RestSpectrum(edges, mean, low, high, count)


def _bounds(means: Means) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array(means.interval(), dtype=np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def line_table(
    values: np.ndarray,
    z: np.ndarray,
    observed: np.ndarray,
    bands: BandSystem,
    groups: np.ndarray,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return what bands on each line say, and what all other bands of the same rows say.

    Parameters
    ----------
    values, z, observed, bands, groups, resamples, seed
        As for :func:`rest_spectrum`.

    Returns
    -------
    list of dict
        For each line and break that any row shows: ``name``, ``label``, ``wavelength``, ``kind``, ``n`` rows, ``on``
        and ``off`` (mean attribution of a band on the line and of one elsewhere), ``interval`` (of on),
        ``excess`` (on - off) and ``excess_interval``.
    """
    columns = spectrum_columns(bands)
    values, observed = values[:, columns], observed[:, columns]
    rest = np.log(bands.pivots[columns][None, :] / (1.0 + z[:, None]))
    reach = np.maximum(NEAR, bands.widths[columns] / bands.pivots[columns] / 2)
    table = []
    for feature in FEATURES:
        near = observed & (np.abs(rest - np.log(feature.wavelength)) < reach)
        rows = np.flatnonzero(near.any(axis=1) & (observed & ~near).any(axis=1))
        if len(rows) < _FEWEST:
            continue
        on = (values * near)[rows].sum(axis=1) / near[rows].sum(axis=1)
        away = (observed & ~near)[rows]
        off = (values[rows] * away).sum(axis=1) / away.sum(axis=1)
        stacked = np.stack([on, off, on - off], axis=1)
        means, _ = masked_means(stacked, np.ones(stacked.shape, dtype=bool), groups[rows], resamples, seed)
        intervals = means.interval()
        table.append(
            {
                **feature.to_dict(),
                "n": len(rows),
                "on": float(means.mean[0]),
                "interval": intervals[0],
                "off": float(means.mean[1]),
                "excess": float(means.mean[2]),
                "excess_interval": intervals[2],
            }
        )
    return table


FEWEST = 10
"""With fewer rows there is no score."""


def holding(blocks: Sequence[Block], z: np.ndarray, names: Sequence[str] = PHYSICS) -> np.ndarray:
    """Return which blocks hold which lines, bool (lines, n, blocks)."""
    seen = [spectral_feature(name).observed(z) for name in names]
    return np.stack([np.stack([block.holds(wave) for block in blocks], axis=1) for wave in seen])


def physics_score(
    sums: np.ndarray,
    blocks: Sequence[Block],
    z: np.ndarray,
    groups: np.ndarray,
    *,
    resamples: int,
    seed: int,
    names: Sequence[str] = PHYSICS,
) -> dict[str, Any] | None:
    """Return the share of rows whose strongest positive block holds a line that should matter.

    What chance would give is stated twice. Shuffled blocks: each row's strongest block is any of its
    blocks with equal odds. Shuffled redshifts: the strongest blocks are dealt to other rows, so that
    a model that always looks at the same bands gains nothing by it.

    Parameters
    ----------
    sums : array, shape (n, blocks)
        Attribution of the pair's log-odds to the blocks of the spectrum, of rows of the pair's first class
        in the redshift range.
    blocks : sequence of Block
        Those blocks.
    z : array, shape (n,)
    groups : array of int, shape (n,)
        Objects: the bootstrap draws them.
    resamples, seed : int
    names : sequence of str
        The lines.

    Returns
    -------
    dict or None
        None with fewer than ten rows. ``n``, ``score``, ``interval``, ``shuffled`` (expected share with shuffled
        blocks), ``shuffled_interval`` (of that share as measured on as many rows), ``difference``,
        ``difference_interval``, ``shuffled_redshifts`` with the same, ``by_line`` (of the rows that show the line,
        the share whose strongest block holds it, and the share by chance), ``lines``.
    """
    if len(sums) < FEWEST:
        return None
    held = holding(blocks, z, names)
    right: np.ndarray = np.logical_or.reduce(list(held))
    top = strongest(sums)
    hit = right[np.arange(len(top)), top] & (top >= 0)
    chance = right.mean(axis=1)
    deal = _dealt(right, top)
    draws = _resampled(hit, chance, right, top, groups, resamples, seed)
    return {
        "n": len(hit),
        "lines": list(names),
        "score": float(hit.mean()),
        "interval": _interval(draws[:, 0]),
        "shuffled": float(chance.mean()),
        "shuffled_interval": _interval(draws[:, 1]),
        "difference": float(hit.mean() - chance.mean()),
        "difference_interval": _interval(draws[:, 2]),
        "shuffled_redshifts": {
            "shuffled": deal,
            "difference": float(hit.mean() - deal),
            "difference_interval": _interval(draws[:, 3]),
        },
        "by_line": _by_line(held, top, names),
        "no_positive_block": float((top < 0).mean()),
    }


def _dealt(right: np.ndarray, top: np.ndarray) -> float:
    """Return the share of hits when strongest blocks are dealt to rows at random."""
    counts = np.bincount(top[top >= 0], minlength=right.shape[1])
    return float((right @ counts).mean() / len(top))


def _resampled(
    hit: np.ndarray, chance: np.ndarray, right: np.ndarray, top: np.ndarray, groups: np.ndarray, number: int, seed: int
) -> np.ndarray:
    """Return score, shuffled share, and the differences to either chance, on resamples of objects: (number, 4)."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 43]))
    draws = np.empty((number, 4))
    for i, rows in enumerate(resample_rows(groups, number, rng)):
        score, by_chance = hit[rows].mean(), (rng.random(len(rows)) < chance[rows]).mean()
        dealt = _dealt(right[rows], top[rows])
        draws[i] = score, by_chance, score - chance[rows].mean(), score - dealt
    return draws


def _interval(draws: np.ndarray) -> list[float] | None:
    if len(draws) < 2:
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return [float(low), float(high)]


def _by_line(held: np.ndarray, top: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, blocks in zip(names, held, strict=True):
        shown = blocks.any(axis=1)
        hit = blocks[np.arange(len(top)), top] & (top >= 0)
        told[name] = {
            "n": int(shown.sum()),
            "share": float(hit[shown].mean()) if shown.any() else None,
            "by_chance": float(blocks[shown].mean()) if shown.any() else None,
        }
    return told


class RedshiftSections:
    """What an explanation says at rest wavelengths, of rows whose redshift is known.

    Parameters
    ----------
    told : Attributions
    y : array of int, shape (n,)
        Class that each row counts as.
    blocks : Blocks
    options : ExplainOptions
    seed : int
    """

    def __init__(self, told: Attributions, y: np.ndarray, blocks: Blocks, options: ExplainOptions, seed: int) -> None:
        self.told, self.y, self.blocks, self.options, self.seed = told, y, blocks, options, seed
        self.system = told.fitted.recipe.bands
        self.rows = told.rows.select_bands(self.system)
        self.known = np.isfinite(self.rows.z) & (self.rows.z > -1)
        self.values = told.pair_bands
        self.sums = blocks.sums(self.values)[:, : len(blocks.spectral)]

    def _of(self, code: int) -> np.ndarray:
        return np.flatnonzero(self.known & (self.y == code))

    def line_tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return what bands on each line say, for each class of the pair."""
        pair = self.told.pair
        return {
            name: line_table(*self._rest_arguments(self._of(code)))
            for name, code in zip(pair.names, (pair.a, pair.b), strict=True)
        }

    def _rest_arguments(self, rows: np.ndarray) -> tuple[Any, ...]:
        return (
            self.values[rows],
            self.rows.z[rows],
            self.rows.observed[rows],
            self.system,
            self.rows.object_id[rows],
            self.options.resamples,
            self.seed,
        )

    def physics(self) -> dict[str, Any] | None:
        """Return the physics score of the pair's first class, or None."""
        low, high = self.options.z_range
        rows = self._of(self.told.pair.a)
        rows = rows[(self.rows.z[rows] > low) & (self.rows.z[rows] < high)]
        found = physics_score(
            self.sums[rows],
            self.blocks.spectral,
            self.rows.z[rows],
            self.rows.object_id[rows],
            resamples=self.options.resamples,
            seed=self.seed,
        )
        return None if found is None else {"z_range": [low, high], "class": self.told.pair.first, **found}

    def _strongest(self) -> tuple[np.ndarray, np.ndarray]:
        return top_wavelengths(self.values, self.sums, self.blocks.spectral, self.system)

    def ridge(self) -> dict[str, Any] | None:
        """Return how the strongest block of the pair's first class moves with redshift, or None."""
        rows = self._of(self.told.pair.a)
        by_block, _ = self._strongest()
        return ridge_summary(
            self.values[rows],
            by_block[rows],
            self.rows.z[rows],
            self.rows.object_id[rows],
            self.system,
            self.options.resamples,
            self.seed,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of these sections, by name."""
        by_block, by_band = self._strongest()
        found = {"strongest_block": by_block, "strongest_band": by_band, "rest_edges": rest_edges()}
        pair = self.told.pair
        spectra = [rest_spectrum(*self._rest_arguments(self._of(code))) for code in (pair.a, pair.b)]
        for name in ("mean", "low", "high", "count"):
            found[f"rest_{name}"] = np.stack([getattr(spectrum, name) for spectrum in spectra])
        rows = np.flatnonzero(self.known & np.isin(self.y, (pair.a, pair.b)))
        if len(rows):
            ridge = ridge_map(self.values[rows], self.rows.z[rows])
            found |= {"ridge_edges": ridge.edges, "ridge_mean": ridge.mean, "ridge_count": ridge.count}
        return found
