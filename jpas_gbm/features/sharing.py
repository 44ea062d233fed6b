"""Which bands a template feature rests on, row by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .bases import TemplateBank
from .evidence import NEIGHBOUR, EvidencePlan
from .fitting import Fits, TemplateFitter

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
