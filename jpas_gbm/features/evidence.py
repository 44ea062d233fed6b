"""Evidence: from the misfits of all templates to a few numbers a row, and which bands each of them rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numba
import numpy as np

from .bases import TemplateBank
from .fitting import Fits, TemplateFitter

NEIGHBOUR = 1
"""Templates this many bins apart are one answer, not two."""

_NOTHING = -45.0
"""Logarithm of a share that would be lost in rounding: it costs no exponential."""

_TAKEN = ("quasar", "quasar_mean", "quasar_spread")
"""Names of classes whose redshift would have the name of a feature of all quasars."""

_FAR = 3.0e4
"""Differences of −2 ln likelihood beyond this are all the same: certain."""


@dataclass(frozen=True)
class EvidencePlan:
    """Which numbers are made from a bank, and how each is called.

    Parameters
    ----------
    bank : TemplateBank
        The templates.
    ranks : tuple of int
        Ranks of the fits; each has a set of features of its own.
    span : float
        Quasar templates within this of the redshift that parts quasars, in ln(1 + z), are compared across it.
    """

    bank: TemplateBank
    ranks: tuple[int, ...]
    span: float = 0.12

    @cached_property
    def present(self) -> list[int]:
        """Labels of classes with templates."""
        return self.bank.present

    @cached_property
    def with_z(self) -> list[int]:
        """Labels of classes whose templates have redshifts."""
        return [c for c in self.present if np.isfinite(self.bank.z[self.bank.group == c, 1]).all()]

    @cached_property
    def quasars(self) -> np.ndarray:
        """Templates of quasar classes with redshifts, bool (T,)."""
        return self.bank.of_classes(self.bank.scheme.quasars) & np.isin(self.bank.group, self.with_z)

    @cached_property
    def sides(self) -> np.ndarray:
        """-1 for templates just below the redshift that parts quasars, 1 just above, 0 otherwise; int8 (T,)."""
        scheme = self.bank.scheme
        parted = self.bank.of_classes([name for name in scheme.quasars if name in scheme.parted])
        distance = np.log1p(self.bank.z[:, 1]) - np.log1p(scheme.z_cut)
        near = self.quasars & parted & (np.abs(np.nan_to_num(distance, nan=9.0)) < self.span)
        return np.where(near, np.where(distance < 0, -1, 1), 0).astype(np.int8)

    @cached_property
    def described(self) -> list[tuple[str, str, int, int]]:
        """Name, kind and the one or two classes (-1: none) of each feature of one rank."""
        names = self.bank.scheme.classes
        rows = [(f"delta_{names[c]}", "delta", c, -1) for c in self.present]
        rows.append(("misfit", "misfit", -1, -1))
        rows += [(f"gap_{names[c]}", "gap", c, -1) for c in self.present]
        rows += [(f"z_class_{names[c]}" if names[c] in _TAKEN else f"z_{names[c]}", "z", c, -1) for c in self.with_z]
        rows += [(f"{names[a]}_over_{names[b]}", "pair", a, b) for a, b in combinations(self.present, 2)]
        rows += [(f"posterior_{names[c]}", "posterior", c, -1) for c in self.present]
        if self.quasars.any():
            rows += [(name, "quasar", -1, -1) for name in ("z_quasar_mean", "z_quasar_spread", "z_quasar")]
        if {-1, 1} <= set(self.sides.tolist()):
            rows.append(("across_boundary", "boundary", -1, -1))
        return rows

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all features, rank by rank."""
        return tuple(f"template_r{rank}_{row[0]}" for rank in self.ranks for row in self.described)

    @cached_property
    def log_prior(self) -> np.ndarray:
        """Log of each bin's share of its class, shape (T,)."""
        totals = np.bincount(self.bank.group, weights=self.bank.count, minlength=len(self.bank.scheme))
        return np.log(np.maximum(self.bank.count, 1e-3) / totals[self.bank.group])

    def compute(self, chi2: np.ndarray, minus2: np.ndarray, observed: np.ndarray, out: np.ndarray) -> None:
        """Fill the features of some rows.

        Parameters
        ----------
        chi2, minus2 : array of float64, shape (n, levels, T)
            Penalised misfit, and −2 ln likelihood, of each template at each rank.
        observed : array of int64, shape (n,)
            Bands observed.
        out : array of float32, shape (n, features)
            Filled.
        """
        edges = np.searchsorted(self.bank.group, [*self.present, self.present[-1] + 1])
        has_z = np.isin(self.present, self.with_z)
        z = np.nan_to_num(self.bank.z[:, 1])
        _summarise(
            chi2, minus2, observed, edges, self.bank.place, has_z, z, self.log_prior, self.quasars, self.sides, out
        )


@numba.njit(cache=True, nogil=True)
def _log_sum(values, chosen_from, chosen_to):  # type: ignore[no-untyped-def]
    """Return ln Σ exp of ``values[chosen_from:chosen_to]``, values (T,)."""
    top = -np.inf
    for t in range(chosen_from, chosen_to):
        top = max(top, values[t])
    total = 0.0
    for t in range(chosen_from, chosen_to):
        if values[t] - top > _NOTHING:
            total += np.exp(values[t] - top)
    return top + np.log(total)


@numba.njit(cache=True, nogil=True)
def _best(values, place, low, high):  # type: ignore[no-untyped-def]
    """Return the template of least value between two places, and the least value of no neighbour of it.

    values, place (T,).
    """
    best = low
    for t in range(low, high):
        if values[t] < values[best]:
            best = t
    second = np.inf
    for t in range(low, high):
        if abs(place[t] - place[best]) > NEIGHBOUR:
            second = min(second, values[t])
    return best, second


@numba.njit(cache=True, nogil=True)
def _local_z(logs, z, place, best, low, high):  # type: ignore[no-untyped-def]
    """Return the posterior mean redshift over the best bin and its two neighbours; logs, z, place (T,)."""
    total = 0.0
    mean = 0.0
    for t in range(low, high):
        if abs(place[t] - place[best]) <= NEIGHBOUR:
            p = np.exp(logs[t] - logs[best])
            total += p
            mean += p * z[t]
    return mean / total


@numba.njit(cache=True, nogil=True)
def _quasar_z(logs, z, quasars):  # type: ignore[no-untyped-def]
    """Return posterior mean and spread of the redshift among quasar templates, and the best; all (T,)."""
    best = -1
    for t in range(len(z)):
        if quasars[t] and (best < 0 or logs[t] > logs[best]):
            best = t
    total = 0.0
    mean = 0.0
    square = 0.0
    for t in range(len(z)):
        if quasars[t] and logs[t] - logs[best] > _NOTHING:
            p = np.exp(logs[t] - logs[best])
            total += p
            mean += p * z[t]
            square += p * z[t] * z[t]
    mean /= total
    return mean, np.sqrt(max(square / total - mean * mean, 0.0)), best


@numba.njit(cache=True, nogil=True)
def _across(logs, sides):  # type: ignore[no-untyped-def]
    """Return ln of the posterior above the redshift that parts quasars over that below; logs, sides (T,)."""
    top = -np.inf
    for t in range(len(sides)):
        if sides[t] != 0:
            top = max(top, logs[t])
    above = 0.0
    below = 0.0
    for t in range(len(sides)):
        if sides[t] == 1:
            above += np.exp(logs[t] - top)
        elif sides[t] == -1:
            below += np.exp(logs[t] - top)
    return np.log(above + 1e-300) - np.log(below + 1e-300)


@numba.njit(cache=True, nogil=True)
def _summarise(chi2, minus2, observed, edges, place, has_z, z, log_prior, quasars, sides, out):  # type: ignore[no-untyped-def]
    """Fill `out` (n, f) with the features of n rows, rank by rank, in the order of :attr:`EvidencePlan.described`.

    chi2, minus2 (n, l, T); observed (n,); edges (k + 1,) where the templates of each class begin; has_z (k,);
    place, z, log_prior, quasars, sides (T,).
    """
    n, levels, templates = minus2.shape
    k = len(edges) - 1
    logs = np.empty(templates)
    mass = np.empty(k)
    best = np.empty(k, np.int64)
    gap = np.empty(k)
    any_quasar = quasars.any()
    both_sides = (sides == 1).any() and (sides == -1).any()
    for i in range(n):
        f = 0
        if observed[i] < 2:
            out[i, :] = np.nan
            continue
        for level in range(levels):
            q = minus2[i, level]
            for t in range(templates):
                logs[t] = log_prior[t] - 0.5 * q[t]
            overall = 0
            for c in range(k):
                best[c], second = _best(q, place, edges[c], edges[c + 1])
                gap[c] = min(second - q[best[c]], _FAR)
                mass[c] = _log_sum(logs, edges[c], edges[c + 1])
                if q[best[c]] < q[best[overall]]:
                    overall = c
            for c in range(k):
                out[i, f] = min(q[best[c]] - q[best[overall]], _FAR)
                f += 1
            out[i, f] = chi2[i, level, best[overall]] / observed[i]
            f += 1
            for c in range(k):
                out[i, f] = gap[c]
                f += 1
            for c in range(k):
                if has_z[c]:
                    out[i, f] = _local_z(logs, z, place, best[c], edges[c], edges[c + 1])
                    f += 1
            for a in range(k):
                for b in range(a + 1, k):
                    out[i, f] = min(max(mass[a] - mass[b], -_FAR), _FAR)
                    f += 1
            total = _log_sum(mass, 0, k)
            for c in range(k):
                out[i, f] = np.exp(mass[c] - total)
                f += 1
            if any_quasar:
                out[i, f], out[i, f + 1], t = _quasar_z(logs, z, quasars)
                c = np.searchsorted(edges, t, side="right") - 1
                out[i, f + 2] = _local_z(logs, z, place, t, edges[c], edges[c + 1])
                f += 3
            if both_sides:
                out[i, f] = _across(logs, sides)
                f += 1


SHARED_ROWS = 1000
"""Source rows whose shares are averaged into the band weights of a recipe."""


def _runner_up(q: np.ndarray, allowed: np.ndarray, bank: TemplateBank, best: np.ndarray) -> np.ndarray:
    """Return the best allowed template that is no neighbour of `best`; `best` where there is none."""
    near = (bank.group == bank.group[best][:, None]) & (np.abs(bank.place - bank.place[best][:, None]) <= NEIGHBOUR)
    far = allowed & ~near
    return np.where(far.any(axis=1), np.argmin(np.where(far, q, np.inf), axis=1), best)


def _compared(plan: EvidencePlan, q: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the two templates that each feature of one rank compares, intp (n, features, 2).

    The misfit compares none: -1 stands for no template.
    """
    n, rows = len(q), np.arange(len(q))
    place = {c: i for i, c in enumerate(plan.present)}
    height = np.take_along_axis(q, chosen, axis=1)
    pairs = np.empty((n, len(plan.described), 2), dtype=np.intp)
    for f, (_, kind, a, b) in enumerate(plan.described):
        if kind == "pair":
            pairs[:, f] = chosen[:, [place[a], place[b]]]
        elif kind in ("delta", "posterior"):
            others = height.copy()
            others[:, place[a]] = np.inf
            pairs[:, f, 0] = chosen[:, place[a]]
            pairs[:, f, 1] = chosen[rows, np.argmin(others, axis=1)]
        elif kind in ("gap", "z"):
            pairs[:, f, 0] = chosen[:, place[a]]
            pairs[:, f, 1] = _runner_up(q, plan.bank.group == a, plan.bank, pairs[:, f, 0])
        elif kind == "quasar":
            pairs[:, f, 0] = np.argmin(np.where(plan.quasars, q, np.inf), axis=1)
            pairs[:, f, 1] = _runner_up(q, plan.quasars, plan.bank, pairs[:, f, 0])
        elif kind == "boundary":
            pairs[:, f, 0] = np.argmin(np.where(plan.sides == 1, q, np.inf), axis=1)
            pairs[:, f, 1] = np.argmin(np.where(plan.sides == -1, q, np.inf), axis=1)
        else:
            pairs[:, f, 0] = chosen[rows, np.argmin(height, axis=1)]
            pairs[:, f, 1] = -1
    return pairs


def _distinct(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's distinct templates (n, m), padded with -1, and the place of each of `pairs` among them.

    Many features of a row compare the same few templates, and fitting one twice costs twice.
    """
    flat = pairs.reshape(len(pairs), -1)
    order = np.argsort(flat, axis=1, kind="stable")
    ranked = np.take_along_axis(flat, order, axis=1)
    number = np.cumsum(np.diff(ranked, axis=1, prepend=ranked[:, :1]) != 0, axis=1)
    compared = np.full((len(flat), int(number.max(initial=0)) + 1), -1, dtype=np.intp)
    np.put_along_axis(compared, number, ranked, axis=1)
    position = np.empty_like(number)
    np.put_along_axis(position, order, number, axis=1)
    return compared, position.reshape(pairs.shape)


def share(plan: EvidencePlan, fitter: TemplateFitter, fits: Fits, places: Sequence[int], out: np.ndarray) -> None:
    """Fill `out` (n, len(places), b) with each band's share of what some features compare.

    The two templates are those that decide at the highest rank; a band's part of their Δχ² is
    w (x - m1)² - w (x - m2)², and its share the size of that among all bands. Where nothing is compared
    (one template only, no band) the shares are equal.

    Parameters
    ----------
    plan : EvidencePlan
        What is made of the T templates.
    fitter : TemplateFitter
        The templates, made ready.
    fits : Fits
        Of n rows.
    places : sequence of int
        Places of the features among ``plan.names``.
    out : array of float32, shape (n, len(places), b)
        Filled.
    """
    chosen, _ = fitter.best(fits.minus2)
    kinds = np.unique(np.asarray(places) % len(plan.described), return_inverse=True)
    pairs = _compared(plan, fits.minus2[:, -1], chosen)[:, kinds[0]]
    compared, position = _distinct(pairs)
    models = fitter.models(fits, np.maximum(compared, 0))
    misses = fits.weight[:, None] * (fits.x[:, None] - models) ** 2
    misses[compared < 0] = 0.0
    rows = np.arange(len(pairs))[:, None]
    parts = np.abs(misses[rows, position[:, :, 0]] - misses[rows, position[:, :, 1]])
    total = parts.sum(axis=2, keepdims=True)
    even = np.where(fits.weight > 0, 1.0, 0.0) + np.where(fits.observed > 0, 0.0, 1.0)[:, None]
    even /= even.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, parts / np.where(total > 0, total, 1.0), even[:, None])
    out[:] = shares[:, kinds[1]]
