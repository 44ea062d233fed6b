"""The fitted flux of chosen templates, and bands so far from every class's best that they are wrong."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _model(x, weight, outer, basis, precision, pull, depth, normal, right, out):  # type: ignore[no-untyped-def]
    """Fill `out` (b,) with the fluxes of one template fitted to one row."""
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


@numba.njit(cache=True, nogil=True)
def _left_out(miss, w, vector, normal, depth, solved):  # type: ignore[no-untyped-def]
    """Return a band's miss in σ as a fit without the band would see it: a wild band pulls its own fit along."""
    lever = 0.0
    for j in range(depth):
        row = j * (j + 1) // 2
        value = vector[j]
        for m in range(j):
            value -= normal[row + m] * solved[m]
        solved[j] = value * normal[row + j]
        lever += solved[j] * solved[j]
    return miss / np.sqrt(max(1.0 - w * lever, 1e-3))


@numba.njit(cache=True, nogil=True)
def model_kernel(x, weight, outer, basis, precision, pull, depth, chosen, out):  # type: ignore[no-untyped-def]
    """Fill `out` (n, k, b) with the fluxes of the chosen templates (n, k)."""
    normal = np.empty(outer.shape[2])
    right = np.empty(basis.shape[2])
    for i in range(len(x)):
        for c in range(chosen.shape[1]):
            t = chosen[i, c]
            _model(x[i], weight[i], outer[t], basis[t], precision[t], pull[t], depth[t], normal, right, out[i, c])


@numba.njit(cache=True, nogil=True)
def mask_kernel(x, weight, outer, basis, precision, pull, depth, chosen, first, cut, large, touched):  # type: ignore[no-untyped-def]
    """Take from each row its worst band, if every class's best template misses it by more than `cut` σ.

    The miss must also exceed the share `large` of the flux expected.
    chosen (n, k) holds the best template of each class, first (n,) the place of the best of all: most
    rows are cleared by that one alone.
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
