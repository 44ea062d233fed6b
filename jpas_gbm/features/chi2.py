"""The kernels of the template fits: normalised rows, their −2 ln likelihood under each template, densities."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

LANES = 96
"""Rows fitted side by side. Each lane does the same additions in the same order, so a row's bits do not depend on
the rows beside it."""

_STRIDE = 7

QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)
"""Of redshift densities, rising."""


@numba.njit(cache=True, nogil=True)
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


# Fusing a product with its sum (contract) is the one liberty taken with floating point: every lane takes it.
@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _accumulate(w, factors, columns, out):  # type: ignore[no-untyped-def]
    """``out[p, lane] += sum_b w[b, lane] factors[b, p]`` for p < columns, in one fixed order of additions.

    w (B, LANES), factors (B, P), out (P, LANES).

    Two columns and seven bands at a time keep the processor's registers full; both arrays are padded to that.
    """
    for b in range(0, w.shape[0], _STRIDE):
        w0, w1, w2, w3, w4, w5, w6 = w[b], w[b + 1], w[b + 2], w[b + 3], w[b + 4], w[b + 5], w[b + 6]
        for p in range(0, columns, 2):
            f, g = factors[b : b + _STRIDE, p], factors[b : b + _STRIDE, p + 1]
            f0, f1, f2, f3, f4, f5, f6 = f[0], f[1], f[2], f[3], f[4], f[5], f[6]
            g0, g1, g2, g3, g4, g5, g6 = g[0], g[1], g[2], g[3], g[4], g[5], g[6]
            u, v = out[p], out[p + 1]
            for i in range(LANES):
                u[i] = u[i] + w0[i] * f0 + w1[i] * f1 + w2[i] * f2 + w3[i] * f3 + w4[i] * f4 + w5[i] * f5 + w6[i] * f6
                v[i] = v[i] + w0[i] * g0 + w1[i] * g1 + w2[i] * g2 + w3[i] * g3 + w4[i] * g4 + w5[i] * g5 + w6[i] * g6


@numba.njit(cache=True, nogil=True)
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


@numba.njit(cache=True, nogil=True)
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
    outer : array of float64, shape (T, B, P)
        Products of basis vectors, padded (:func:`padded_products`).
    basis : array of float64, shape (T, B, R)
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
    padded, pairs = outer.shape[1:]
    w = np.zeros((padded, LANES))
    wx = np.zeros((padded, LANES))
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
            normal[:] = 0.0
            right[:] = 0.0
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


def padded_products(basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the products of basis vectors and the vectors, padded by zeros for the kernel.

    Parameters
    ----------
    basis : array, shape (T, b, r)
        Basis vectors of T templates.

    Returns
    -------
    outer : array, shape (T, B, P)
        ``V_bj V_bk`` for k <= j, row by row. B is b rounded up to a multiple of 7, P is r (r + 1) / 2 rounded
        up to an even number.
    padded : array, shape (T, B, R)
        R is r rounded up to an even number.
    """
    templates, bands, rank = basis.shape
    height = -(-bands // _STRIDE) * _STRIDE
    padded = np.zeros((templates, height, rank + rank % 2))
    padded[:, :bands, :rank] = basis
    j, k = np.tril_indices(rank)
    outer = np.zeros((templates, height, len(j) + len(j) % 2))
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


@numba.njit(cache=True, nogil=True)
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
