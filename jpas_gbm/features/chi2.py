"""The kernels of the template fits: normalised rows, their −2 ln likelihood under each template, densities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..run import Later, compiled

if TYPE_CHECKING:
    from llvmlite import ir
    from numba import extending
    from numba.core import cgutils, codegen, types
else:
    ir, extending = Later("llvmlite.ir"), Later("numba.extending")
    cgutils, codegen, types = (Later(f"numba.core.{name}") for name in ("cgutils", "codegen", "types"))

LANES = 96
"""Rows fitted side by side. Each lane does the same additions in the same order, so a row's bits do not depend on
the rows beside it."""

QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)
"""Of redshift densities, rising."""


@compiled
def _normalise(flux, err, floor, x, weight):  # type: ignore[no-untyped-def]
    """Fill `x` with fluxes in units of the row's level and `weight` with 1/σ² (0 where missing); all shape (n, b)."""
    n, bands = flux.shape
    size = np.empty(bands)
    for i in range(n):
        seen = 0
        for b in range(bands):
            x[i, b] = 0.0
            weight[i, b] = 0.0
            if np.isfinite(flux[i, b]) and np.isfinite(err[i, b]):
                size[seen] = abs(flux[i, b])
                seen += 1
        if seen == 0:
            continue
        soft = 0.3 * np.median(size[:seen])
        total = 0.0
        weights = 0.0
        for b in range(bands):
            if np.isfinite(flux[i, b]) and np.isfinite(err[i, b]):
                sigma = np.float64(err[i, b])
                w = 1.0 / (sigma * sigma + soft * soft + 1e-300)
                total += w * flux[i, b]
                weights += w
        # A row without signal has no level of its own: its noise is the level then.
        level = max(total / weights, 1.0 / np.sqrt(weights), 1e-30)
        for b in range(bands):
            if np.isfinite(flux[i, b]) and np.isfinite(err[i, b]):
                value = flux[i, b] / level
                sigma = err[i, b] / level
                x[i, b] = value
                weight[i, b] = 1.0 / (sigma * sigma + floor * floor * value * value + 1e-12)


_DOUBLES = 8
"""Doubles of a vector: one register of AVX-512, two of AVX2; LLVM cuts it to what the machine has."""

_TILE = 4
"""Columns summed together."""

_WIDTH: Any = Later(lambda: _DOUBLES * (3 if "+avx512f" in codegen.get_host_cpu_features() else 1))
"""Lanes summed together: with as many sums as registers hold. It changes no bit."""


def _address(builder: ir.IRBuilder, array: Any, row: ir.Value, column: ir.Value, more: int, kind: ir.Type) -> ir.Value:
    """Return the address of the element (row, column + more) of an array of doubles whose rows are contiguous."""
    size = row.type
    offset = builder.mul(row, cgutils.unpack_tuple(builder, array.strides)[0])
    offset = builder.add(offset, builder.mul(builder.add(column, ir.Constant(size, more)), ir.Constant(size, 8)))
    data = builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [offset])
    return builder.bitcast(data, kind.as_pointer())


def _emit_tile(builder: ir.IRBuilder, arrays: tuple[Any, ...], lane: ir.Value, column: ir.Value) -> None:
    """Write the instructions of :func:`_sum_tile`; arrays are w, factors and out as numba holds them."""
    vector = ir.VectorType(ir.DoubleType(), _DOUBLES)
    kind = ir.FunctionType(vector, [vector] * 3)
    fused = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{_DOUBLES}f64")
    first, none = ir.Constant(ir.VectorType(ir.IntType(32), _DOUBLES), None), ir.Constant(vector, ir.Undefined)
    shifts = range(0, _WIDTH, _DOUBLES)
    sums = {(q, v): cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for q in range(_TILE) for v in shifts}
    with cgutils.for_range(builder, cgutils.unpack_tuple(builder, arrays[1].shape)[0]) as loop:
        weights = {v: builder.load(_address(builder, arrays[0], loop.index, lane, v, vector), align=8) for v in shifts}
        for q in range(_TILE):
            factor = builder.load(_address(builder, arrays[1], loop.index, column, q, ir.DoubleType()))
            factor = builder.insert_element(none, factor, ir.Constant(ir.IntType(32), 0))
            factor = builder.shuffle_vector(factor, none, first)
            for v in shifts:
                total = builder.call(fused, [weights[v], factor, builder.load(sums[q, v])])
                builder.store(total, sums[q, v])
    for (q, v), total in sums.items():
        row = builder.add(column, ir.Constant(column.type, q))
        builder.store(builder.load(total), _address(builder, arrays[2], row, lane, v, vector), align=8)


def _sum_tile_code(context, w, lane, factors, column, out):  # type: ignore[no-untyped-def]
    """``out[p, i] = sum_b w[b, i] factors[b, p]`` for the tile of p and i that begins at `column` and `lane`.

    The sums stay in registers, which the compiler does of no loop by itself: 2.9 times as fast on AVX-512 as plain
    loops, 1.8 times with the narrow tile. Additions are in the order of the bands, each fused with its product
    where the machine can, whatever the tile.
    """

    def emit(context, builder, signature, values):  # type: ignore[no-untyped-def]
        arrays = tuple(context.make_array(signature.args[k])(context, builder, values[k]) for k in (0, 2, 4))
        _emit_tile(builder, arrays, values[1], values[3])
        return context.get_dummy_value()

    return types.void(w, lane, factors, column, out), emit


_sum_tile: Any = Later(lambda: extending.intrinsic(_sum_tile_code))


@compiled
def _accumulate(w, factors, columns, out):  # type: ignore[no-untyped-def]
    """``out[p, lane] = sum_b w[b, lane] factors[b, p]`` for p < columns, in one fixed order of additions.

    w (b, LANES), factors (b, P), out (P, LANES), P a multiple of :data:`_TILE`.
    """
    for i in range(0, LANES, _WIDTH):
        for p in range(0, columns, _TILE):
            _sum_tile(w, i, factors, p, out)


@compiled
def _solve(depth, normal, right, chi2, determinant, levels, volume, out_chi2, out_minus2, start, rows, t):  # type: ignore[no-untyped-def]
    """Factorise the packed normal matrices (pairs, LANES), and read off the misfit left after each leading block.

    `normal` and `right` (depth, LANES), `chi2` and `determinant` (LANES,) are overwritten; `levels` and `volume`
    (l,) say where to read; `out_chi2` and `out_minus2` (n, l, T) are filled for `rows` rows from `start`, template t.

    The factor of a leading block is the leading block of the factor: all ranks come from one pass.
    """
    done = 0
    logs = np.empty(LANES)
    for j in range(depth):
        row = j * (j + 1) // 2
        for k in range(j + 1):
            column = k * (k + 1) // 2
            for m in range(k):
                for i in range(LANES):
                    normal[row + k, i] -= normal[row + m, i] * normal[column + m, i]
            if k < j:
                for i in range(LANES):
                    normal[row + k, i] *= normal[column + k, i]
        for m in range(j):
            for i in range(LANES):
                right[j, i] -= normal[row + m, i] * right[m, i]
        for i in range(LANES):
            # The prior keeps pivots positive; rounding in a hopeless row must not make a NaN of it.
            pivot = max(normal[row + j, i], 1e-12)
            determinant[i] *= pivot
            normal[row + j, i] = 1.0 / np.sqrt(pivot)
            right[j, i] *= normal[row + j, i]
            chi2[i] -= right[j, i] * right[j, i]
        while done < len(levels) and j + 1 == levels[done]:
            # All lanes, filled or not: a vectorised logarithm may differ from a single one in its last bit.
            for i in range(LANES):
                logs[i] = np.log(determinant[i])
            for i in range(rows):
                out_chi2[start + i, done, t] = chi2[i]
                out_minus2[start + i, done, t] = chi2[i] + (logs[i] + volume[done])
            done += 1


@compiled
def _fit_tile(w, wx, outer, basis, precision, pull, depth, rows, normal, right):  # type: ignore[no-untyped-def]
    """Factorise the normal matrices of one template for the first rows of a tile, as :func:`_solve` leaves them.

    w, wx (b, LANES) weights and weighted fluxes; outer (b, P), basis (b, R), precision and pull (d,) of the template;
    normal (P, LANES), right (R, LANES) are filled.
    """
    for i in range(0, rows, _WIDTH):
        for p in range(0, depth * (depth + 1) // 2, _TILE):
            _sum_tile(w, i, outer, p, normal)
        for p in range(0, depth, _TILE):
            _sum_tile(wx, i, basis, p, right)
    for j in range(depth):
        for i in range(LANES):
            normal[j * (j + 3) // 2, i] += precision[j]
            right[j, i] += pull[j]
    none = np.empty((1, 1, 1))
    _solve(
        depth, normal, right, np.zeros(LANES), np.ones(LANES), np.empty(0, np.int64), np.empty(0), none, none, 0, 0, 0
    )


@compiled
def fit_kernel(
    x: np.ndarray, weight: np.ndarray, outer: np.ndarray, basis: np.ndarray, precision: np.ndarray, pull: np.ndarray,
    depth: np.ndarray, levels: np.ndarray, volume: np.ndarray, chi2: np.ndarray, minus2: np.ndarray,
) -> None:  # fmt: skip
    """Fill `chi2` and `minus2` (n, levels, T) for rows of normalised fluxes.

    Template t uses its first depth[t] vectors; level l is read off after levels[t, l] of them, and the
    log volume[t, l] of its prior added to −2 ln likelihood.

    Parameters
    ----------
    x, weight : array of float64, shape (n, b)
        Normalised fluxes and 1/σ², both 0 where missing.
    outer : array of float64, shape (T, b, P)
        Products of basis vectors, padded (:func:`padded_products`).
    basis : array of float64, shape (T, b, R)
        Basis vectors, padded.
    precision, pull : array of float64, shape (T, d)
        Prior precision of the coefficients, and that times their prior mean.
    depth : array of int64, shape (T,)
        Vectors of each template that are used, at most d.
    levels : array of int64, shape (T, l)
        Numbers of vectors after which a misfit is read off, rising, the last one `depth`.
    volume : array of float64, shape (T, l)
        Logarithm of the volume of the prior at each level.
    chi2, minus2 : array of float64, shape (n, l, T)
        Filled: penalised misfit, and −2 ln likelihood.
    """
    n, bands = x.shape
    pairs = outer.shape[2]
    w = np.zeros((bands, LANES))
    wx = np.zeros((bands, LANES))
    normal = np.empty((pairs, LANES))
    right = np.empty((basis.shape[2], LANES))
    total = np.empty(LANES)
    left = np.empty(LANES)
    product = np.empty(LANES)
    for start in range(0, n, LANES):
        rows = min(LANES, n - start)
        w[:] = 0.0
        wx[:] = 0.0
        total[:] = 0.0
        for b in range(bands):
            for i in range(rows):
                w[b, i] = weight[start + i, b]
                wx[b, i] = weight[start + i, b] * x[start + i, b]
                total[i] += wx[b, i] * x[start + i, b]
        for t in range(outer.shape[0]):
            _accumulate(w, outer[t], depth[t] * (depth[t] + 1) // 2, normal)
            _accumulate(wx, basis[t], depth[t], right)
            for j in range(depth[t]):
                for i in range(LANES):
                    normal[j * (j + 3) // 2, i] += precision[t, j]
                    right[j, i] += pull[t, j]
            for i in range(LANES):
                left[i] = total[i] + precision[t, 0]
                product[i] = 1.0
            _solve(depth[t], normal, right, left, product, levels[t], volume[t], chi2, minus2, start, rows, t)


@compiled
def rows_by_template(pairs, templates, slot, order, start):  # type: ignore[no-untyped-def]
    """Number the templates of each row, pairs (n, f, 2), and note by template which rows have it; return the most.

    slot (n, f, 2) is filled, 0 being none; order (n * 2 f, 2) with rows and slots, from start[t] on of template t.
    """
    n, features = pairs.shape[:2]
    start[:] = 0
    mine = np.zeros(templates, np.int64)
    most = 0
    for step in range(2):
        for i in range(n):
            used = 0
            for f in range(features):
                for side in range(2):
                    t = pairs[i, f, side]
                    if t >= 0 and mine[t] == 0:
                        used += 1
                        mine[t] = used
                        if step == 0:
                            start[t + 1] += 1
                        else:
                            order[start[t], 0], order[start[t], 1] = i, used
                            start[t] += 1
                    slot[i, f, side] = mine[t] if t >= 0 else 0
            most = max(most, used)
            mine[:] = 0
        if step == 0:
            start[:] = np.cumsum(start)
    start[1:] = start[:-1].copy()
    start[0] = 0
    return most


@compiled
def note_misses(x, weight, order, outer, basis, precision, pull, depth, work, miss):  # type: ignore[no-untyped-def]
    """Fit one template to its rows, and write w (x - m)² of their bands to `miss` (n, slots, b).

    order (m, 2) holds rows and slots; `work` what :func:`_fit_tile` takes; lanes to spare keep what they held.
    """
    w, wx, normal, right = work
    bands = x.shape[1]
    for begin in range(0, len(order), LANES):
        count = min(LANES, len(order) - begin)
        for lane in range(count):
            i = order[begin + lane, 0]
            for b in range(bands):
                w[b, lane] = weight[i, b]
                wx[b, lane] = weight[i, b] * x[i, b]
        _fit_tile(w, wx, outer, basis, precision, pull, depth, count, normal, right)
        for j in range(depth - 1, -1, -1):
            for k in range(j + 1, depth):
                for lane in range(LANES):
                    right[j, lane] -= normal[k * (k + 1) // 2 + j, lane] * right[k, lane]
            for lane in range(LANES):
                right[j, lane] *= normal[j * (j + 3) // 2, lane]
        for b in range(bands):
            fit = wx[b]
            for lane in range(LANES):
                fit[lane] = 0.0
            for j in range(depth):
                factor = basis[b, j]
                for lane in range(LANES):
                    fit[lane] += factor * right[j, lane]
        for lane in range(count):
            i, one = order[begin + lane, 0], miss[order[begin + lane, 0], order[begin + lane, 1]]
            for b in range(bands):
                one[b] = weight[i, b] * (x[i, b] - wx[b, lane]) ** 2


def padded_products(basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the products of basis vectors and the vectors, padded by zeros for the kernel.

    Parameters
    ----------
    basis : array, shape (T, b, r)
        Basis vectors of T templates.

    Returns
    -------
    outer : array, shape (T, b, P)
        ``V_bj V_bk`` for k <= j, row by row. P is r (r + 1) / 2 rounded up to a multiple of :data:`_TILE`.
    padded : array, shape (T, b, R)
        R is r rounded up likewise.
    """
    templates, bands, rank = basis.shape
    padded = np.zeros((templates, bands, rank + -rank % _TILE))
    padded[:, :, :rank] = basis
    j, k = np.tril_indices(rank)
    outer = np.zeros((templates, bands, len(j) + -len(j) % _TILE))
    outer[:, :, : len(j)] = padded[:, :, j] * padded[:, :, k]
    return outer, padded


def normalise_rows(flux: np.ndarray, err: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Return fluxes in units of each row's level, and the weights of the fit.

    The level is a mean flux whose weights are 1/(σ² + (0.3 m)²), m the median \|flux\|: a plain mean for bright
    rows, which noise cannot drive to nothing in faint ones. Everything after it is free of the flux scale.

    Parameters
    ----------
    flux, err : array, shape (n, b)
        Any linear flux unit; a band is missing where either is NaN.
    floor : float
        Share of the flux added in quadrature to the error.

    Returns
    -------
    x, weight : array of float64, shape (n, b)
        `x` and `weight` are 0 in missing bands.
    """
    x, weight = np.empty(flux.shape), np.empty(flux.shape)
    _normalise(flux, err, floor, x, weight)
    return x, weight


@dataclass(frozen=True, eq=False)
class SideShape:
    """How a likelihood becomes a density, on one side of the redshift that parts the quasar classes.

    Parameters
    ----------
    plateau : float
        In ln(1 + z): how far from its edge a bin's likelihood begins to turn into its neighbour's.
    width : float
        Of the smoothing, in ln(1 + z).
    temper : float
        Power of the likelihood.
    tail : float
        Misfits of this size begin to count by their logarithm.
    floor : float
        Share of the prior.
    relief : float
        Power by which the temper falls where templates differ by more than 100: what is wrong with all of them shows
        in bright sources.
    stretch : tuple of five floats
        What makes normal scores of labelled quasars' places in their densities: a centre and a logarithm of a width,
        each for likelihoods that span 100 and per factor of ten more, and the logarithm of the tails' weight, in the
        sinh-arcsinh transformation of Jones and Pewsey (2009). Zeros leave the density as it is.
    reached : tuple of five floats
        Shares of the labelled quasars whose places, stretched, are below :data:`QUANTILES`: what these become.
    """

    plateau: float = 0.012
    width: float = 0.006
    temper: float = 0.4
    tail: float = 1e4
    floor: float = 0.06
    relief: float = 0.0
    stretch: tuple[float, ...] = (0.0,) * 5
    reached: tuple[float, ...] = QUANTILES

    def _moves(self, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Return centre, width and tails for rows."""
        centre, more_centre, width, more_width, tails = self.stretch
        return centre + more_centre * spread, np.exp(width + more_width * spread), float(np.exp(tails))

    def stretched(self, place: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return what places in a density, from 0 to 1, become.

        Parameters
        ----------
        place : array
        spread : array
            Of the rows' likelihoods, of a shape that goes with that of places.

        Returns
        -------
        array of float64
        """
        from scipy.special import ndtr, ndtri

        if not any(self.stretch):
            return place
        centre, width, tails = self._moves(spread)
        with np.errstate(over="ignore"):
            score = np.sinh(tails * np.arcsinh((ndtri(place) - centre) / width))
        return np.interp(ndtr(score), (0, *QUANTILES, 1), (0, *self.reached, 1))

    def unstretched(self, level: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return which places become levels: the inverse of :meth:`stretched`.

        Parameters
        ----------
        level : array
        spread : array

        Returns
        -------
        array of float64
        """
        from scipy.special import ndtr, ndtri

        if not any(self.stretch):
            return level
        centre, width, tails = self._moves(spread)
        with np.errstate(over="ignore"):
            score = ndtri(np.interp(level, (0, *self.reached, 1), (0, *QUANTILES, 1)))
            return ndtr(centre + width * np.sinh(np.arcsinh(score) / tails))

    def numbers(self) -> list[float]:
        """Return all parameters in their order.

        Returns
        -------
        list of float
        """
        return [*list(vars(self).values())[:-2], *self.stretch, *self.reached]


@compiled
def fill_side(minus2, pair, share, log_prior, prior, kernel, temper, tail, floor, relief, reach, out):  # type: ignore[no-untyped-def]
    """Fill `out` (n, m) with the densities of one side; minus2 (n, T), pair and share (2, m), kernel (2 reach + 1,).

    Row by row in one order of additions, so that a row's bits do not depend on the rows beside it.
    """
    n, templates = minus2.shape
    cells = len(prior)
    misfit = np.empty(templates)
    raw = np.empty(cells)
    for i in range(n):
        least = minus2[i].min()
        calm = temper * (1.0 + (np.median(minus2[i]) - least) / 100.0) ** (-relief)
        for t in range(templates):
            misfit[t] = calm * tail * np.log1p((minus2[i, t] - least) / tail)
        top = -np.inf
        for c in range(cells):
            total = share[0, c] * misfit[pair[0, c]] + share[1, c] * misfit[pair[1, c]]
            raw[c] = log_prior[c] - 0.5 * total
            top = max(top, raw[c])
        mass = 0.0
        for c in range(cells):
            raw[c] = np.exp(raw[c] - top)
            mass += raw[c]
        whole = 0.0
        for c in range(cells):
            total = 0.0
            for j in range(max(c - reach, 0), min(c + reach + 1, cells)):
                total += kernel[c - j + reach] * raw[j]
            out[i, c] = (1.0 - floor) * total / mass + floor * prior[c]
            whole += out[i, c]
        for c in range(cells):
            out[i, c] /= whole
