"""Redshift densities of quasar candidates from the template fits, calibrated on labelled quasars.

The fits give a likelihood for each redshift bin of the quasar templates. Tempered, taken as linear between the bins and
flat within wide ones, times the bins' prior and smoothed, with a share of the prior for catastrophes, it is a density;
below and above the redshift that parts the quasar classes it is scaled to what the classifier says of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..errors import BundleError
from ..surveys.catalogue import Catalogue
from .chi2 import QUANTILES, SideShape, fill_side
from .templates import TemplateSet

_CELLS, _ROWS, _CENTRAL = 600, 2048, 0.68
CANDIDATE = 0.01
"""Least probability of being a quasar with which a row gets a redshift density."""

QUANTILE_NAMES = ("Z_QSO_02", "Z_QSO_16", "Z_QSO_50", "Z_QSO_84", "Z_QSO_98")
"""Columns of quantiles in a prediction file."""


@dataclass(frozen=True, eq=False)
class Redshifts:
    """What is known of the redshift of rows, were they quasars.

    Parameters
    ----------
    z : array of float32, shape (n, 5)
        The quantiles 0.025, 0.16, 0.5, 0.84 and 0.975; NaN where nothing was fitted.
    above : array of float32, shape (n,)
        Probability that the redshift is at or above the one that parts the quasar classes.
    error : array of float32, shape (n,)
        How far on either side of the photometric redshift 68 % of the density lie; of the median where there is none.
    """

    z: np.ndarray
    above: np.ndarray
    error: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns of a prediction file.

        Returns
        -------
        dict of str to array of float32, shape (n,)
        """
        named = dict(zip(QUANTILE_NAMES, self.z.T, strict=True))
        return {"PHOTOZ_QSO_ERR": self.error, **named, "P_Z_HIGH": self.above}


@dataclass(frozen=True, eq=False)
class RedshiftDensity:
    """From template fits to redshift densities of quasar candidates.

    Parameters
    ----------
    bins : array of float64, shape (T, 3)
        Lower edge, centre and upper edge of each quasar template's redshift bin, by rising centre.
    count : array of float64, shape (T,)
        Mocks of each bin: the prior.
    templates : array of int64, shape (T,)
        Places of these templates in the bank.
    cut : float
        Redshift that parts the quasar classes.
    low, high : SideShape
        Below and above it.
    """

    bins: np.ndarray
    count: np.ndarray
    templates: np.ndarray
    cut: float
    low: SideShape
    high: SideShape

    @classmethod
    def of(cls, templates: TemplateSet) -> RedshiftDensity | None:
        """Return the densities of a set of templates, not calibrated; None where it has none of quasars on both sides.

        Parameters
        ----------
        templates : TemplateSet

        Returns
        -------
        RedshiftDensity or None
        """
        plan = templates.plan
        if plan is None or not {-1, 1} <= set(plan.sides.tolist()):
            return None
        bank, chosen = plan.bank, np.flatnonzero(plan.quasars)
        chosen = chosen[np.argsort(bank.z[chosen, 1], kind="stable")]
        bins, count = bank.z[chosen], np.maximum(bank.count[chosen], 1e-3)
        return cls(bins, count.astype(np.float64), chosen, float(bank.scheme.z_cut), SideShape(), SideShape())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return a form that ``numpy.savez`` can hold.

        Returns
        -------
        dict of str to array
        """
        shapes = [shape.numbers() for shape in (self.low, self.high)]
        values = {"bins": self.bins, "count": self.count, "templates": self.templates}
        return values | {"cut": np.array(self.cut), "shapes": np.array(shapes)}

    @classmethod
    def from_arrays(cls, value: Mapping[str, np.ndarray]) -> RedshiftDensity:
        """Rebuild from :meth:`to_arrays`.

        Parameters
        ----------
        value : mapping of str to array

        Returns
        -------
        RedshiftDensity

        Raises
        ------
        BundleError
            If an array is missing or does not fit the others.
        """
        try:
            rows = value["shapes"].tolist()
            if {len(row) for row in rows} != {len(SideShape().numbers())}:
                raise ValueError("its shapes are those of another version")
            low, high = (
                SideShape(a, b, c, d, e, f, tuple(more[:5]), tuple(more[5:])) for a, b, c, d, e, f, *more in rows
            )
            made = cls(value["bins"], value["count"], value["templates"], float(value["cut"]), low, high)
            for problem in made._misfits():
                raise ValueError(problem)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise BundleError(f"the redshift densities are damaged ({error}). Restore the model, or fit.") from error
        return made

    def _misfits(self) -> Iterator[str]:
        """Yield what of the arrays is not sound, whoever wrote them."""
        shapes = np.array([shape.numbers() for shape in (self.low, self.high)])
        if self.bins.shape != (len(self.count), 3) or self.templates.shape != self.count.shape:
            yield "its bins and counts differ"
        elif self.templates.dtype.kind not in "iu" or not (np.isfinite(self.bins).all() and (self.count > 0).all()):
            yield "its bins or counts are no numbers of theirs"
        elif (np.diff(self.bins, axis=1) < 0).any() or (self.bins[:, 0] >= self.bins[:, 2]).any():
            # The middle may be an end: of the mocks, many have the least redshift of all.
            yield "its bins do not rise"
        elif not -1 < self.bins.min() < self.cut < self.bins.max() < 100:
            yield "its bins lie on one side of the cut"
        elif not (np.isfinite(shapes).all() and (shapes[:, :5] > 0).all() and (shapes[:, 4] < 1).all()):
            yield "its shapes are not positive numbers"
        elif (shapes[:, :2] > 1).any() or (np.abs(shapes[:, 5:11]) > 5).any():
            yield "its shapes are out of all proportion"
        elif (np.diff(shapes[:, 11:], prepend=0, append=1, axis=1) <= 0).any():
            yield "its shapes do not rise from 0 to 1"

    def misfits(self, templates: TemplateSet | None) -> Iterator[str]:
        """Yield what does not fit the templates.

        Parameters
        ----------
        templates : TemplateSet, optional
            Of the model.

        Yields
        ------
        str
        """
        most = 0 if templates is None or templates.bank is None else len(templates.bank)
        if self.templates.min(initial=0) < 0 or self.templates.max(initial=0) >= most:
            yield "its redshift densities are of templates that it has not"

    def reaching(self, low: float, high: float) -> RedshiftDensity:
        """Return densities whose outermost bins reach to these redshifts at least.

        Mocks may end where the sky does not: a redshift that no density reaches is in no interval of any.

        Parameters
        ----------
        low, high : float

        Returns
        -------
        RedshiftDensity
        """
        bins = np.array(self.bins, dtype=np.float64)
        first, last = bins[:, 0] == bins[:, 0].min(), bins[:, 2] == bins[:, 2].max()
        bins[first, 0], bins[last, 2] = min(low, bins[:, 0].min()), max(high, bins[:, 2].max())
        return replace(self, bins=bins)

    @cached_property
    def edges(self) -> np.ndarray:
        """Edges of the cells in ln(1 + z), float64 (m + 1,); the cut is one of them."""
        low, cut, high = np.log1p([self.bins[:, 0].min(), self.cut, self.bins[:, 2].max()])
        below = max(round(_CELLS * (cut - low) / (high - low)), 2)
        return np.concatenate(
            [np.linspace(low, cut, below, endpoint=False), np.linspace(cut, high, _CELLS - below + 1)]
        )

    @cached_property
    def above(self) -> np.ndarray:
        """Which cells are at or above the cut, bool (m,)."""
        return self.edges[:-1] >= np.log1p(self.cut) - 1e-9

    @cached_property
    def _prior(self) -> np.ndarray:
        """Share of the prior in each cell, (m,): half of a bin's on each side of its centre."""
        prior = np.zeros(len(self.edges) - 1)
        for bounds, n in zip(np.log1p(self.bins), self.count, strict=True):
            for start, end in ((bounds[0], bounds[1]), (bounds[1], bounds[2])):
                inside = np.clip(np.minimum(end, self.edges[1:]) - np.maximum(start, self.edges[:-1]), 0, None)
                prior += 0.5 * n * inside / max(inside.sum(), 1e-12)
        return np.maximum(prior / prior.sum(), 1e-9)

    def _between(self, plateau: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the two templates that the likelihood of each cell is mixed from, and their shares, (2, m) each."""
        low, centre, high = np.log1p(self.bins).T
        places = np.concatenate([np.minimum(low + plateau, centre), np.maximum(high - plateau, centre)])
        order = np.argsort(places, kind="stable")
        which, places = np.tile(np.arange(len(self.bins)), 2)[order], places[order]
        cells = 0.5 * (self.edges[1:] + self.edges[:-1])
        at = np.clip(np.searchsorted(places, cells, side="right") - 1, 0, len(places) - 2)
        step = np.clip((cells - places[at]) / np.maximum(places[at + 1] - places[at], 1e-300), 0, 1)
        return np.stack([which[at], which[at + 1]]), np.stack([1 - step, step])

    def _sides(self, minus2: np.ndarray, shape: SideShape, side: np.ndarray) -> np.ndarray:
        """Return the density on one side of rows, each summing to 1, shape (n, cells of the side)."""
        step = float(np.diff(self.edges).mean())
        reach = int(np.ceil(3 * shape.width / step))
        kernel = np.exp(-0.5 * (step * np.arange(-reach, reach + 1) / shape.width) ** 2)
        out = np.empty((len(minus2), int(side.sum())))
        prior = self._prior[side] / self._prior[side].sum()
        pair, part = (np.ascontiguousarray(one[:, side]) for one in self._between(shape.plateau))
        own = np.ascontiguousarray(minus2[:, self.templates], dtype=np.float64)
        tables = (pair, part, np.log(prior), prior, kernel / kernel.sum())
        fill_side(own, *tables, shape.temper, shape.tail, shape.floor, shape.relief, reach, out)
        return out

    def spread(self, minus2: np.ndarray) -> np.ndarray:
        """Return how far the likelihoods of quasar templates span, in dex from 100: bright rows tell them apart.

        Parameters
        ----------
        minus2 : array, shape (n, templates of the bank)

        Returns
        -------
        array of float64, shape (n,)
        """
        own = np.asarray(minus2[:, self.templates], dtype=np.float64)
        return np.clip(np.log10(1 + np.median(own, axis=1) - own.min(axis=1)) - 2, -1.5, 1.5)

    def _cumulative(self, minus2: np.ndarray, shape: SideShape, side: np.ndarray, stretched: bool = True) -> np.ndarray:
        """Return the distribution function on one side at the edges of its cells, shape (n, cells + 1)."""
        mass = self._sides(minus2, shape, side)
        whole = np.concatenate([np.zeros((len(mass), 1)), np.cumsum(mass, axis=1)], axis=1)
        whole /= whole[:, -1:]
        return shape.stretched(whole, self.spread(minus2)[:, None]) if stretched else whole

    def redshifts(self, minus2: np.ndarray, share: np.ndarray, around: np.ndarray | None = None) -> Redshifts:
        """Return quantiles of the densities of rows.

        Parameters
        ----------
        minus2 : array, shape (n, templates of the bank)
            −2 ln likelihood at the highest rank.
        share : array, shape (n,)
            Share of the quasar classes at or above the cut in the row's probability of being a quasar.
        around : array, shape (n,), optional
            Redshifts whose errors are wanted; by default, and where NaN, the medians.

        Returns
        -------
        Redshifts
        """
        share = np.clip(np.asarray(share, dtype=np.float64), 0.0, 1.0)
        z, error = np.empty((len(share), len(QUANTILES))), np.empty(len(share))
        for start in range(0, len(share), _ROWS):
            rows = slice(start, min(start + _ROWS, len(share)))
            high, ends, spread = share[rows], [], self.spread(minus2[rows])
            levels = np.asarray(QUANTILES) - (1 - high)[:, None]
            for (shape, side), mine, part in zip(
                self._both,
                (levels < 0, levels >= 0),
                (1 + levels / np.maximum(1 - high, 1e-12)[:, None], levels / np.maximum(high, 1e-12)[:, None]),
                strict=True,
            ):
                edges, place = self._edges_of(side), shape.unstretched(np.clip(part, 0, 1), spread[:, None])
                ends.append(self._cumulative(minus2[rows], shape, side, stretched=False))
                for i, whole in enumerate(ends[-1]):
                    z[start + i, mine[i]] = np.interp(place[i, mine[i]], whole, edges)
            z[rows] = np.expm1(z[rows])
            centre = z[rows, 2] if around is None else np.where(np.isfinite(around[rows]), around[rows], z[rows, 2])
            error[rows] = self._radius(ends, high, centre, spread)
        return Redshifts(z.astype(np.float32), share.astype(np.float32), error.astype(np.float32))

    @property
    def _both(self) -> tuple[tuple[SideShape, np.ndarray], tuple[SideShape, np.ndarray]]:
        """The sides' shapes, and which cells are of each."""
        return (self.low, ~self.above), (self.high, self.above)

    def _radius(
        self, ends: Sequence[np.ndarray], high: np.ndarray, centre: np.ndarray, spread: np.ndarray
    ) -> np.ndarray:
        """Return how far on either side of centres 68 % of rows' densities lie, shape (n,)."""
        every, shares = np.arange(len(high)), (1 - high, high)

        def below(z: np.ndarray) -> np.ndarray:
            total, x = np.zeros(len(z)), np.log1p(np.maximum(z, 0))
            for (shape, side), whole, part in zip(self._both, ends, shares, strict=True):
                edges = self._edges_of(side)
                at = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
                step = np.clip((x - edges[at]) / (edges[at + 1] - edges[at]), 0, 1)
                place = whole[every, at] * (1 - step) + whole[every, at + 1] * step
                total += part * shape.stretched(np.clip(place, 0, 1), spread)
            return total

        low, most = np.zeros(len(high)), np.full(len(high), float(np.expm1(self.edges[-1])))
        for _ in range(20):
            half = 0.5 * (low + most)
            enough = below(centre + half) - below(centre - half) >= _CENTRAL
            low, most = np.where(enough, low, half), np.where(enough, half, most)
        return most

    def curve(self, minus2: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the densities themselves.

        Parameters
        ----------
        minus2 : array, shape (n, templates of the bank)
            −2 ln likelihood at the highest rank.
        share : array, shape (n,)
            Share of the quasar classes at or above the cut in the row's probability of being a quasar.

        Returns
        -------
        edges : array of float64, shape (m + 1,)
            Redshifts between cells.
        density : array of float64, shape (n, m)
            Per unit of redshift; the cells sum to 1.
        """
        edges, parts = np.expm1(self.edges), []
        for (shape, side), part in zip(self._both, (1 - np.asarray(share), np.asarray(share)), strict=True):
            parts.append(part[:, None] * np.diff(self._cumulative(minus2, shape, side), axis=1))
        return edges, np.concatenate(parts, axis=1) / np.diff(edges)

    def _edges_of(self, side: np.ndarray) -> np.ndarray:
        """Return the edges of the cells of one side."""
        return self.edges[np.append(side, False) | np.append(False, side)]

    def places(self, minus2: np.ndarray, z: np.ndarray, stretched: bool = True) -> np.ndarray:
        """Return the probability integral transform of true redshifts within the densities of their own side, (n,).

        Parameters
        ----------
        minus2 : array, shape (n, templates of the bank)
        z : array, shape (n,)
            True redshifts.
        stretched : bool
            Whether the densities are stretched to the labelled quasars' places.

        Returns
        -------
        array of float64, shape (n,)
        """
        out = np.empty(len(z))
        for (shape, side), rows in zip(self._both, (z < self.cut, z >= self.cut), strict=True):
            edges = self._edges_of(side)
            whole = self._cumulative(minus2[rows], shape, side, stretched)
            out[rows] = [np.interp(x, edges, row) for x, row in zip(np.log1p(z[rows]), whole, strict=True)]
        return out

    def log_mass(self, minus2: np.ndarray, z: np.ndarray, shape: SideShape, side: np.ndarray) -> np.ndarray:
        """Return the log probability of the cells of true redshifts on one side, under a shape.

        Parameters
        ----------
        minus2 : array, shape (n, templates of the bank)
        z : array, shape (n,)
            True redshifts of this side.
        shape : SideShape
        side : array of bool, shape (m,)
            Which cells are of it.

        Returns
        -------
        array of float64, shape (n,)
        """
        cell = np.clip(np.searchsorted(self._edges_of(side), np.log1p(z), side="right") - 1, 0, int(side.sum()) - 1)
        return np.log(np.maximum(self._sides(minus2, shape, side)[np.arange(len(z)), cell], 1e-12))


@dataclass(frozen=True, eq=False)
class Outlines:
    """Densities as predictions tell them: even between the quantiles and the cut, and beyond as far as to the next.

    Parameters
    ----------
    columns, share, cut : mapping of str to array of shape (n,), array of float64 of shape (n,), float
        Of the predictions; of each density at or above the cut; the redshift that parts the quasar classes.
    """

    columns: Mapping[str, np.ndarray]
    share: np.ndarray
    cut: float

    @cached_property
    def _knots(self) -> tuple[np.ndarray, np.ndarray]:
        """Redshifts, rising, and what share of each density lies below them, (n, 8) each."""
        told = np.stack([np.asarray(self.columns[name], dtype=np.float64) for name in QUANTILE_NAMES], axis=1)
        z = np.sort(np.column_stack([told, self.cut + 0 * told[:, 0]]), axis=1)
        level = np.sort(np.column_stack([np.tile(QUANTILES, (len(z), 1)), 1 - self.share]), axis=1)
        ends = (np.maximum(z[:, :1] + told[:, :1] - told[:, 1:2], 0.0), z[:, -1:] + told[:, -1:] - told[:, -2:-1])
        return np.hstack([ends[0], z, ends[1]]), np.pad(level, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))

    def below(self, z: float) -> np.ndarray:
        """Return what share of each density lies below a redshift.

        Parameters
        ----------
        z : float

        Returns
        -------
        array of float64, shape (n,)
        """
        return _interpolated(np.full((len(self.share), 1), z), *self._knots)[:, 0]

    def scaled(self, share: np.ndarray) -> dict[str, np.ndarray]:
        """Return quantiles and P_Z_HIGH of densities with sides scaled so that another share lies above the cut.

        Parameters
        ----------
        share : array, shape (n,)

        Returns
        -------
        dict of str to array of float32, shape (n,)
        """
        level, new, own = np.array(QUANTILES), share[:, None], self.share[:, None]
        low, high = level * (1 - own) / np.maximum(1 - new, 1e-300), 1 - (1 - level) * own / np.maximum(new, 1e-300)
        level = np.where(level <= 1 - new, low, high)
        z = _interpolated(level, *self._knots[::-1])
        made = dict(zip(QUANTILE_NAMES, z.T, strict=True)) | {"P_Z_HIGH": share + 0 * z[:, 0]}
        return {name: value.astype(np.float32) for name, value in made.items()}


def _interpolated(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return y at places among x, which rises, row by row."""
    i = np.clip((at[:, :, None] >= x[:, None, :]).sum(axis=2) - 1, 0, x.shape[1] - 2)
    x0, x1, y0, y1 = (np.take_along_axis(of, i + k, axis=1) for of in (x, y) for k in (0, 1))
    return np.asarray(y0 + np.clip((at - x0) / np.maximum(x1 - x0, 1e-300), 0, 1) * (y1 - y0))


def candidate_redshifts(
    density: RedshiftDensity,
    templates: TemplateSet,
    rows: Catalogue,
    p: np.ndarray,
    around: np.ndarray | None = None,
    threads: int = 1,
) -> Redshifts:
    """Return the redshifts of the rows that may be quasars, NaN for the others.

    Parameters
    ----------
    density : RedshiftDensity
    templates : TemplateSet
        That it was made of.
    rows : Catalogue
        n rows in the templates' bands, corrected as for their features.
    p : array, shape (n, k)
        Probabilities of the classes.
    around : array, shape (n,), optional
        Photometric redshifts whose errors are wanted.
    threads : int

    Returns
    -------
    Redshifts
        Of n rows.
    """
    assert templates.bank is not None
    quasar, share = templates.bank.scheme.high_share(np.asarray(p, dtype=np.float64))
    chosen = np.flatnonzero(quasar >= CANDIDATE)
    found = Redshifts(*(np.full((len(rows), *more), np.nan, np.float32) for more in ((len(QUANTILES),), (), ())))
    if len(chosen):
        minus2, seen = templates.likelihoods(rows.take(chosen), threads)
        made = density.redshifts(minus2, share[chosen], None if around is None else around[chosen])
        for name, into in vars(found).items():
            into[chosen[seen]] = getattr(made, name)[seen]
    return found
