"""Fitting all templates to rows: normalise, fit, leave out bands that no class can explain, fit again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ..options import TemplateOptions
from ..run import compiled
from .bases import TemplateBank
from .chi2 import LANES, fit_kernel, normalise_rows, note_misses, padded_products, rows_by_template


@compiled
def _model(x, weight, outer, basis, precision, pull, depth, normal, right, out):  # type: ignore[no-untyped-def]
    """Fill `out` (b,) with the fluxes of one template fitted to one row, x and weight (b,).

    outer (b, P), basis (b, R), precision and pull (d,) are of the template; normal (P,) and right (R,) are working
    space: they end as the packed Cholesky factor, with the inverse of its diagonal, and the coefficients.
    """
    bands = x.shape[0]
    pairs = depth * (depth + 1) // 2
    normal[:pairs] = 0.0
    right[:depth] = 0.0
    for b in range(bands):
        w = weight[b]
        for p in range(pairs):
            normal[p] += w * outer[b, p]
        wx = w * x[b]
        for j in range(depth):
            right[j] += wx * basis[b, j]
    for j in range(depth):
        row = j * (j + 1) // 2
        normal[row + j] += precision[j]
        right[j] += pull[j]
        for k in range(j + 1):
            column = k * (k + 1) // 2
            for m in range(k):
                normal[row + k] -= normal[row + m] * normal[column + m]
            if k < j:
                normal[row + k] *= normal[column + k]
        for m in range(j):
            right[j] -= normal[row + m] * right[m]
        normal[row + j] = 1.0 / np.sqrt(max(normal[row + j], 1e-12))
        right[j] *= normal[row + j]
    for j in range(depth - 1, -1, -1):
        for k in range(j + 1, depth):
            right[j] -= normal[k * (k + 1) // 2 + j] * right[k]
        right[j] *= normal[j * (j + 1) // 2 + j]
    for b in range(bands):
        total = 0.0
        for j in range(depth):
            total += basis[b, j] * right[j]
        out[b] = total


@compiled
def _left_out(miss, w, vector, normal, depth, solved):  # type: ignore[no-untyped-def]
    """Return a band's miss in σ as a fit without the band would see it: a wild band pulls its own fit along.

    vector (R,) is the band's row of the basis, normal (P,) the packed factor, solved (R,) working space.
    """
    lever = 0.0
    for j in range(depth):
        row = j * (j + 1) // 2
        value = vector[j]
        for m in range(j):
            value -= normal[row + m] * solved[m]
        solved[j] = value * normal[row + j]
        lever += solved[j] * solved[j]
    return miss / np.sqrt(max(1.0 - w * lever, 1e-3))


@compiled
def model_kernel(
    x: np.ndarray, weight: np.ndarray, outer: np.ndarray, basis: np.ndarray, precision: np.ndarray, pull: np.ndarray,
    depth: np.ndarray, chosen: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """Fill `out` (n, k, b) with the fluxes of the chosen templates (n, k).

    Parameters
    ----------
    x, weight : array of float64, shape (n, b)
        Normalised fluxes and 1/σ², both 0 where missing.
    outer : array of float64, shape (T, b, P)
        Products of basis vectors, padded (:func:`~jpas_gbm.features.chi2.padded_products`).
    basis : array of float64, shape (T, b, R)
        Basis vectors, padded.
    precision, pull : array of float64, shape (T, d)
        Prior precision of the coefficients, and that times their prior mean.
    depth : array of int64, shape (T,)
        Vectors of each template that are used.
    chosen : array of int64, shape (n, k)
        Templates of each row.
    out : array of float64, shape (n, k, b)
        Filled.
    """
    normal = np.empty(outer.shape[2])
    right = np.empty(basis.shape[2])
    for i in range(len(x)):
        for c in range(chosen.shape[1]):
            t = chosen[i, c]
            _model(x[i], weight[i], outer[t], basis[t], precision[t], pull[t], depth[t], normal, right, out[i, c])


@compiled
def _share_kernel(x, weight, outer, basis, precision, pull, depth, pairs, out):  # type: ignore[no-untyped-def]
    """Fill `out` (n, f, b) with each band's share of the Δχ² of two templates, pairs (n, f, 2); -1 stands for none.

    Many pairs of a row have templates in common, each of which is fitted once. The other arrays are those of
    :func:`model_kernel`.
    """
    bands = x.shape[1]
    normal = np.empty(outer.shape[2])
    right = np.empty(basis.shape[2])
    fit = np.empty(bands)
    miss = np.zeros((2 * pairs.shape[1] + 1, bands))
    slot = np.full(len(outer), -1)
    for i in range(len(x)):
        used = 0
        for f in range(pairs.shape[1]):
            for side in range(2):
                t = pairs[i, f, side]
                if t >= 0 and slot[t] < 0:
                    used += 1
                    slot[t] = used
                    _model(x[i], weight[i], outer[t], basis[t], precision[t], pull[t], depth[t], normal, right, fit)
                    for b in range(bands):
                        miss[used, b] = weight[i, b] * (x[i, b] - fit[b]) ** 2
        seen = 0
        for b in range(bands):
            seen += weight[i, b] > 0
        for f in range(pairs.shape[1]):
            # The first row of misses is of no template, and stays 0.
            one = miss[slot[pairs[i, f, 0]] if pairs[i, f, 0] >= 0 else 0]
            two = miss[slot[pairs[i, f, 1]] if pairs[i, f, 1] >= 0 else 0]
            total = 0.0
            for b in range(bands):
                out[i, f, b] = abs(one[b] - two[b])
                total += out[i, f, b]
            for b in range(bands):
                if total > 0:
                    out[i, f, b] /= total
                elif seen:
                    out[i, f, b] = (1.0 / seen) if weight[i, b] > 0 else 0.0
                else:
                    out[i, f, b] = 1.0 / bands
        for f in range(pairs.shape[1]):
            for side in range(2):
                if pairs[i, f, side] >= 0:
                    slot[pairs[i, f, side]] = -1


@partial(compiled, fastmath={"reassoc"})
def _sizes(one, two, out):  # type: ignore[no-untyped-def]
    """Write |one - two| to `out` and return its sum; additions are in the order that suits the machine."""
    total = 0.0
    for b in range(len(out)):
        out[b] = abs(one[b] - two[b])
        total += out[b]
    return total


@compiled
def _spread_kernel(x, weight, outer, basis, precision, pull, depth, pairs, values, out):  # type: ignore[no-untyped-def]
    """Add to `out` (n, q, b) what `values` (n, q, f) gives each band by its share in the Δχ² of pairs (n, f, 2).

    The other arrays are those of :func:`model_kernel`. The fits of a template go side by side, and features that
    compare the same two are taken together.
    """
    n, features = pairs.shape[:2]
    bands, questions = x.shape[1], values.shape[1]
    slot = np.empty((n, features, 2), np.int64)
    order = np.empty((n * features * 2, 2), np.int64)
    start = np.empty(len(outer) + 1, np.int64)
    most = rows_by_template(pairs, len(outer), slot, order, start)
    # The first miss of a row is of no template, and stays 0.
    miss = np.zeros((n, most + 1, bands))
    shape = (bands, LANES)
    work = (np.zeros(shape), np.zeros(shape), np.empty((outer.shape[2], LANES)), np.empty((basis.shape[2], LANES)))
    for t in range(len(outer)):
        mine = order[start[t] : start[t + 1]]
        note_misses(x, weight, mine, outer[t], basis[t], precision[t], pull[t], depth[t], work, miss)
    size = np.empty(bands)
    given = np.empty(questions)
    for i in range(n):
        seen = 0
        for b in range(bands):
            seen += weight[i, b] > 0
        for f in range(features):
            low, high = min(slot[i, f, 0], slot[i, f, 1]), max(slot[i, f, 0], slot[i, f, 1])
            if low < 0:
                continue
            given[:] = 0.0
            some = False
            for g in range(f, features):
                if min(slot[i, g, 0], slot[i, g, 1]) == low and max(slot[i, g, 0], slot[i, g, 1]) == high:
                    slot[i, g, 0] = -1
                    for q in range(questions):
                        given[q] += values[i, q, g]
                        some = some or values[i, q, g] != 0
            if not some:
                continue
            total = _sizes(miss[i, low], miss[i, high], size)
            if not total > 0:
                for b in range(bands):
                    size[b] = 1.0 if seen == 0 or weight[i, b] > 0 else 0.0
                total = float(seen or bands)
            for q in range(questions):
                factor, row = given[q] / total, out[i, q]
                for b in range(bands):
                    row[b] += factor * size[b]


@compiled
def mask_kernel(
    x: np.ndarray, weight: np.ndarray, outer: np.ndarray, basis: np.ndarray, precision: np.ndarray, pull: np.ndarray,
    depth: np.ndarray, chosen: np.ndarray, first: np.ndarray, cut: float, large: float, touched: np.ndarray,
) -> None:  # fmt: skip
    """Take from each row its worst band, if every class's best template misses it by more than `cut` σ.

    Most rows are cleared by the best template of all alone.

    Parameters
    ----------
    x, weight : array of float64, shape (n, b)
        Normalised fluxes and 1/σ²; the worst band of a row becomes 0 in both.
    outer : array of float64, shape (T, b, P)
        Products of basis vectors, padded (:func:`~jpas_gbm.features.chi2.padded_products`).
    basis : array of float64, shape (T, b, R)
        Basis vectors, padded.
    precision, pull : array of float64, shape (T, d)
        Prior precision of the coefficients, and that times their prior mean.
    depth : array of int64, shape (T,)
        Vectors of each template that are used.
    chosen : array of int64, shape (n, k)
        Best template of each class.
    first : array of int64, shape (n,)
        Which of these is the best of all.
    cut, large : float
        Least miss in σ, and as a share of the flux expected.
    touched : array of bool, shape (n,)
        Filled: whether the row lost a band.
    """
    bands = x.shape[1]
    normal = np.empty(outer.shape[2])
    right = np.empty(basis.shape[2])
    fit = np.empty(bands)
    least = np.empty(bands)
    for i in range(len(x)):
        touched[i] = False
        for step in range(chosen.shape[1]):
            c = first[i] if step == 0 else (step - 1 if step <= first[i] else step)
            t = chosen[i, c]
            _model(x[i], weight[i], outer[t], basis[t], precision[t], pull[t], depth[t], normal, right, fit)
            worst = 0.0
            band = 0
            for b in range(bands):
                miss = abs(x[i, b] - fit[b]) * np.sqrt(weight[i, b])
                if 2.0 * miss > cut:
                    alone = _left_out(miss, weight[i, b], basis[t, b], normal, depth[t], right)
                    gap = (x[i, b] - fit[b]) * (alone / miss) ** 2
                    # A line that no template has quite as strong is no accident: accidents are larger.
                    miss = alone if abs(gap) > large * abs(x[i, b] - gap) else 0.0
                least[b] = miss if step == 0 else min(miss, least[b])
                if least[b] > worst:
                    worst = least[b]
                    band = b
            if worst <= cut:
                break
        if worst > cut:
            x[i, band] = 0.0
            weight[i, band] = 0.0
            touched[i] = True


@dataclass(frozen=True, eq=False)
class Fits:
    """What fitting T templates to n rows says.

    Parameters
    ----------
    x, weight : array of float64, shape (n, b)
        Normalised fluxes and 1/σ²; both 0 in bands that are missing or were left out.
    chi2 : array of float64, shape (n, levels, T)
        Misfit at each rank, with the prior's own.
    minus2 : array of float64, shape (n, levels, T)
        −2 ln likelihood but for a constant of the row.
    """

    x: np.ndarray
    weight: np.ndarray
    chi2: np.ndarray
    minus2: np.ndarray

    @property
    def observed(self) -> np.ndarray:
        """Bands used, int64 (n,)."""
        return (self.weight > 0).sum(axis=1)


class TemplateFitter:
    """A bank made ready for the kernels.

    Parameters
    ----------
    bank : TemplateBank
        The templates.
    ranks : tuple of int
        Rising.
    options : TemplateOptions
        How templates are cut and fitted.
    """

    def __init__(self, bank: TemplateBank, ranks: tuple[int, ...], options: TemplateOptions) -> None:
        self.bank, self.options = bank, options
        self.ranks = np.array(ranks, dtype=np.int64)
        variance = bank.variance.copy()
        variance[:, 1:] *= np.where(np.arange(1, variance.shape[1]) <= bank.modes[:, None], 1.0, options.prior)
        variance[:, 0] = options.amplitude**2
        self.precision = 1.0 / variance
        self.pull = np.zeros_like(variance)
        self.pull[:, 0] = self.precision[:, 0]
        self.depth = bank.modes + ranks[-1]
        self.levels = bank.modes[:, None] + self.ranks
        self.outer, self.basis = padded_products(bank.basis)
        self.volume = np.take_along_axis(np.log(variance).cumsum(axis=1), self.levels - 1, axis=1)
        self.edges = np.searchsorted(bank.group, np.append(bank.present, bank.group[-1] + 1))
        room = len(bank.bands) // int(self.depth.max())
        self.most_wild = min(options.most_wild, room) if options.wild > 0 else 0

    def fit(self, flux: np.ndarray, err: np.ndarray) -> Fits:
        """Fit all templates to rows of fluxes and errors, shape (n, b).

        Up to ``options.most_wild`` bands of a row are left out, one at a time, the worst first.

        Parameters
        ----------
        flux, err : array, shape (n, b)
            Any linear flux unit; NaN where missing.

        Returns
        -------
        Fits
            Of n rows.
        """
        x, weight = normalise_rows(flux, err, self.options.floor)
        chi2, minus2 = self.evaluate(x, weight)
        rows = np.arange(len(x))
        for _ in range(self.most_wild):
            if not len(rows):
                break
            chosen, first = self.best(minus2[rows])
            part_x, part_weight = x[rows], weight[rows]
            touched = np.zeros(len(rows), dtype=np.bool_)
            mask_kernel(
                part_x, part_weight, self.outer, self.basis, self.precision, self.pull, self.depth, chosen, first,
                self.options.wild,
                self.options.large, touched,
            )  # fmt: skip
            rows = rows[touched]
            x[rows], weight[rows] = part_x[touched], part_weight[touched]
            chi2[rows], minus2[rows] = self.evaluate(x[rows], weight[rows])
        return Fits(x, weight, chi2, minus2)

    def evaluate(self, x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return χ² and −2 ln likelihood (n, levels, T) of normalised rows.

        Parameters
        ----------
        x, weight : array of float64, shape (n, b)
            Normalised fluxes and 1/σ², both 0 where missing.

        Returns
        -------
        chi2 : array of float64, shape (n, levels, T)
            Misfit at each rank, with the prior's own.
        minus2 : array of float64, shape (n, levels, T)
            −2 ln likelihood but for a constant of the row.
        """
        chi2 = np.empty((len(x), len(self.ranks), len(self.bank)))
        minus2 = np.empty_like(chi2)
        tables = (self.outer, self.basis, self.precision, self.pull, self.depth, self.levels, self.volume)
        fit_kernel(x, weight, *tables, chi2, minus2)
        return chi2, minus2

    def best(self, minus2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the best template of each class (n, k) at the highest rank, and the place of the best of all (n,).

        Parameters
        ----------
        minus2 : array of float64, shape (n, levels, T)
            −2 ln likelihood.

        Returns
        -------
        chosen : array of int64, shape (n, k)
            Best template of each class that has any.
        first : array of int64, shape (n,)
            Place of the best of all among them.
        """
        q = minus2[:, -1]
        pairs = list(zip(self.edges[:-1], self.edges[1:], strict=True))
        chosen = np.stack([low + np.argmin(q[:, low:high], axis=1) for low, high in pairs], axis=1)
        return chosen, np.argmin(np.take_along_axis(q, chosen, axis=1), axis=1)

    def best_of_class(self, x: np.ndarray, weight: np.ndarray, label: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the template of each row's own class, and of its own redshift where that is known, int64 (n,).

        Parameters
        ----------
        x, weight : array of float64, shape (n, b)
            Normalised fluxes and 1/σ², both 0 where missing.
        label : array of int, shape (n,)
            Class of each row; it must have templates.
        z : array, shape (n,)
            Redshift; NaN where unknown.

        Returns
        -------
        array of int64, shape (n,)
            Number of a template.
        """
        q = self.evaluate(x, weight)[1][:, -1]
        own = self.bank.group == label[:, None]
        low, high = np.nan_to_num(self.bank.z[:, 0], nan=-1.0), np.nan_to_num(self.bank.z[:, 2], nan=np.inf)
        inside = own & (z[:, None] >= low) & (z[:, None] <= high)
        allowed = np.where(inside.any(axis=1, keepdims=True), inside, own)
        return np.argmin(np.where(allowed, q, np.inf), axis=1)

    def models(self, fits: Fits, chosen: np.ndarray) -> np.ndarray:
        """Return the fluxes (n, m, b) of chosen templates (n, m) fitted to rows, in units of the rows' levels.

        Parameters
        ----------
        fits : Fits
            Of n rows.
        chosen : array of int64, shape (n, m)
            Templates of each row.

        Returns
        -------
        array of float64, shape (n, m, b)
            Fitted fluxes.
        """
        out = np.empty((*chosen.shape, fits.x.shape[1]))
        model_kernel(fits.x, fits.weight, self.outer, self.basis, self.precision, self.pull, self.depth, chosen, out)
        return out

    def shares(self, x: np.ndarray, weight: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """Return each band's share of the Δχ² of pairs of templates, summing to 1 over bands.

        Parameters
        ----------
        x, weight : array of float64, shape (n, b)
            Normalised fluxes and 1/σ², both 0 where missing.
        pairs : array of int16, shape (n, f, 2)
            Two templates each; -1 stands for none.

        Returns
        -------
        array of float64, shape (n, f, b)
        """
        out = np.empty((len(x), pairs.shape[1], x.shape[1]))
        tables = (self.outer, self.basis, self.precision, self.pull, self.depth)
        _share_kernel(x, weight, *tables, np.ascontiguousarray(pairs), out)
        return out

    def spread(self, x: np.ndarray, weight: np.ndarray, pairs: np.ndarray, values: np.ndarray, out: np.ndarray) -> None:
        """Add what features give to bands, by the bands' shares of the Δχ² of the pairs of templates (:meth:`shares`).

        Parameters
        ----------
        x, weight : array of float64, shape (n, b)
            Normalised fluxes and 1/σ², both 0 where missing.
        pairs : array of int16, shape (n, f, 2)
            Two templates each; -1 stands for none.
        values : array of float64, shape (n, q, f)
            What each feature gives.
        out : array of float64, shape (n, q, b)
            Added to.
        """
        tables = (self.outer, self.basis, self.precision, self.pull, self.depth)
        _spread_kernel(x, weight, *tables, np.ascontiguousarray(pairs), np.ascontiguousarray(values), out)
