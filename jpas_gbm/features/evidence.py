"""Evidence: from the misfits of all templates to a few numbers a row, and which bands each of them rests on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from ..run import compiled
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
    def coded(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Kind, and places of the one or two classes, of each feature of one rank, as the kernels take them."""
        place = {-1: -1, **{c: i for i, c in enumerate(self.present)}}
        rows = [(_KINDS.index(kind), place[a], place[b]) for _, kind, a, b in self.described]
        kinds, first, second = np.array(rows, dtype=np.int64).T
        return np.ascontiguousarray(kinds), np.ascontiguousarray(first), np.ascontiguousarray(second)

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


@compiled
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


@compiled
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


@compiled
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


@compiled
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


@compiled
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


@compiled
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


_KINDS = ("pair", "delta", "posterior", "gap", "z", "quasar", "boundary", "misfit")


@compiled
def _least(q, allowed, other, group, place):  # type: ignore[no-untyped-def]
    """Return the template of least q that is allowed and no neighbour of `other` (-1: of none); -1 if there is none.

    q, group, place (T,), allowed bool (T,).
    """
    best = -1
    for t in range(len(q)):
        near = other >= 0 and group[t] == group[other] and abs(place[t] - place[other]) <= NEIGHBOUR
        if allowed[t] and not near and (best < 0 or q[t] < q[best]):
            best = t
    return best


@compiled
def _compare(q, edges, group, place, quasars, sides, kinds, first, second, out):  # type: ignore[no-untyped-def]
    """Fill `out` (n, features, 2) with the two templates that each feature of one rank compares.

    q (n, T); edges (k + 1,); group, place, quasars, sides (T,); kinds, first, second (features,), as
    :attr:`EvidencePlan.coded`. The misfit compares none: -1 stands for no template.
    """
    k = len(edges) - 1
    best = np.empty(k, np.int64)
    allowed = np.empty(q.shape[1], np.bool_)
    for i in range(len(q)):
        row = q[i]
        overall = 0
        for c in range(k):
            best[c] = edges[c] + np.argmin(row[edges[c] : edges[c + 1]])
            overall = c if row[best[c]] < row[best[overall]] else overall
        for f in range(len(kinds)):
            kind, a = kinds[f], first[f]
            one, two = best[overall], -1
            if kind == 0:
                one, two = best[a], best[second[f]]
            elif kind <= 2:
                one, two = best[a], best[0 if a > 0 or k == 1 else 1]
                for c in range(k):
                    two = best[c] if c != a and row[best[c]] < row[two] else two
            elif kind <= 4:
                for t in range(len(row)):
                    allowed[t] = edges[a] <= t < edges[a + 1]
                one, two = best[a], _least(row, allowed, best[a], group, place)
                two = one if two < 0 else two
            elif kind == 5:
                one = _least(row, quasars, -1, group, place)
                two = _least(row, quasars, one, group, place)
                two = one if two < 0 else two
            elif kind == 6:
                one = _least(row, sides == 1, -1, group, place)
                two = _least(row, sides == -1, -1, group, place)
            out[i, f, 0], out[i, f, 1] = one, two


@dataclass(frozen=True, eq=False)
class Compared:
    """Which templates the features of n rows compare, and what is fitted: enough to share them among b bands.

    Parameters
    ----------
    x, weight : array of float64, shape (n, b)
        Normalised fluxes and 1/σ²; both 0 in bands that are missing or were left out.
    pairs : array of int16, shape (n, features of one rank, 2)
        Two templates each; -1 stands for none.
    """

    x: np.ndarray
    weight: np.ndarray
    pairs: np.ndarray

    @classmethod
    def room(cls, rows: int, plan: EvidencePlan) -> Compared:
        """Return what :meth:`note` will fill.

        Parameters
        ----------
        rows : int
        plan : EvidencePlan

        Returns
        -------
        Compared
        """
        x, weight = np.zeros((2, rows, plan.bank.basis.shape[1]))
        return cls(x, weight, np.empty((rows, len(plan.described), 2), dtype=np.int16))

    def note(self, plan: EvidencePlan, fits: Fits, task: slice) -> None:
        """Note what features compare in some rows.

        Parameters
        ----------
        plan : EvidencePlan
        fits : Fits
            Of these rows.
        task : slice
            Their places.
        """
        self.x[task], self.weight[task] = fits.x, fits.weight
        bank = plan.bank
        edges = np.searchsorted(bank.group, [*plan.present, plan.present[-1] + 1])
        _compare(
            fits.minus2[:, -1], edges, bank.group, bank.place, plan.quasars, plan.sides, *plan.coded, self.pairs[task]
        )

    def take(self, rows: np.ndarray | slice) -> Compared:
        """Return some rows.

        Parameters
        ----------
        rows : array of int, or slice

        Returns
        -------
        Compared
        """
        return Compared(self.x[rows], self.weight[rows], self.pairs[rows])

    def shares(self, fitter: TemplateFitter, features: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return each band's share of what features compare.

        A band's part of the Δχ² of two templates is w (x - m1)² - w (x - m2)², and its share the size of that among
        all bands. Where nothing is compared (one template only, no band) the shares are equal.

        Parameters
        ----------
        fitter : TemplateFitter
            The templates, made ready.
        features : array of int, optional
            Only these of the features of one rank.

        Returns
        -------
        array of float64, shape (n, features of one rank, b)
        """
        return fitter.shares(self.x, self.weight, self.pairs[:, features])

    def spread(self, fitter: TemplateFitter, values: np.ndarray, out: np.ndarray) -> None:
        """Add what features give to bands, by the shares of :meth:`shares`.

        Parameters
        ----------
        fitter : TemplateFitter
            The templates, made ready.
        values : array of float64, shape (n, q, features of one rank)
            What each feature gives.
        out : array of float64, shape (n, q, b)
            Added to.
        """
        fitter.spread(self.x, self.weight, self.pairs, values, out)
