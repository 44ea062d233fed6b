"""The class mix of a field that has no labels, by EM, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..boosting.calibration import softmax
from ..boosting.heldout import HeldOut
from .bias import BiasCorrection, fit_bias, log_p
from .cells import cells

DRAWS = 200
_STEPS = 2000


def em_shares(p: np.ndarray, old: np.ndarray, count: np.ndarray | None = None) -> np.ndarray:
    """Return the class shares under which probabilities calibrated for `old` are likeliest.

    Saerens, Latinne and Decaestecker (2002): expectation maximisation on p * new / old, whose
    likelihood has one maximum.

    Parameters
    ----------
    p : array, shape (n, k)
        Probabilities of the field, calibrated for the mix `old`.
    old : array, shape (k,)
        Positive.
    count : array, shape (n,), optional
        How many rows each row stands for.
    """
    count = np.ones(len(p)) if count is None else count
    if not count.any():  # a draw of a field of a few rows may be empty: nothing says that the mix is another
        return np.array(old / old.sum(), dtype=np.float64)
    density = p / old
    new = np.array(old / old.sum(), dtype=np.float64)
    for _ in range(_STEPS):
        joint = density @ new
        weight = count / np.maximum(joint, 1e-300)
        step = new * (weight @ density)
        step /= step.sum()
        moved = np.abs(step - new).max()
        new = step
        if moved < 1e-9:
            break
    return new


@dataclass(frozen=True, eq=False)
class MixDraw:
    """One bootstrap draw of the whole correction.

    Parameters
    ----------
    bias : BiasCorrection
    old, new : array, shape (bins, k)
        Class shares of the labelled rows and of the field in each magnitude bin.
    times : array of uint16, shape (n,)
        How often each labelled row was drawn.
    """

    bias: BiasCorrection
    old: np.ndarray
    new: np.ndarray
    times: np.ndarray

    def ratio(self, place: np.ndarray) -> np.ndarray:
        """Return new / old of the bin of each row, shape (n, k)."""
        return ratio_of(self.old, self.new)[place]


def ratio_of(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return new / old, 0 where old is."""
    return np.divide(new, old, out=np.zeros_like(new, dtype=np.float64), where=old > 0)


@dataclass(frozen=True, eq=False)
class Mix:
    """The correction of probabilities from the labelled sample to the field.

    Parameters
    ----------
    edges : array, shape (bins - 1,)
        Magnitudes between bins, rising; none for one bin. Rows without magnitude are in the last bin.
    bias : BiasCorrection
        Fitted to the held-out rows.
    old, new : array, shape (bins, k)
        Class shares of the held-out rows and of the field.
    draws : tuple of MixDraw
        Bootstrap draws over labelled objects and field rows.
    given : bool
        The mix was given by the user, not estimated.
    """

    edges: np.ndarray
    bias: BiasCorrection
    old: np.ndarray
    new: np.ndarray
    draws: tuple[MixDraw, ...]
    given: bool = False

    def place(self, mag: np.ndarray) -> np.ndarray:
        """Return the bin of each magnitude, intp (n,)."""
        return mag_bins(mag, self.edges)

    def correct(self, p: np.ndarray, mag: np.ndarray) -> np.ndarray:
        """Return probabilities for the field's mix, float64 (n, k), rows summing to 1."""
        return self.bias.apply(p, ratio_of(self.old, self.new)[self.place(mag)])

    def drawn(self, p: np.ndarray, mag: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the probabilities under each draw, float64 (n, k)."""
        logs, place = log_p(p), self.place(mag)
        for draw in self.draws:
            yield softmax(draw.bias.logits(logs, draw.ratio(place)))

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper ends of the new shares, shape (bins, k) each."""
        many = np.stack([draw.new for draw in self.draws])
        low, high = np.quantile(many, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high


def mag_bins(mag: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bin of each magnitude; NaN falls in the last."""
    return np.searchsorted(edges, np.asarray(mag, dtype=np.float64), side="right")


def shares(label: np.ndarray, place: np.ndarray, bins: int, k: int, weight: np.ndarray | None = None) -> np.ndarray:
    """Return the class shares of labelled rows in each bin, shape (bins, k)."""
    counts = np.bincount(place * k + label, weights=weight, minlength=bins * k).reshape(bins, k)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300)


def estimate_mix(
    labelled: HeldOut,
    p: np.ndarray,
    mag: np.ndarray,
    edges: np.ndarray | None = None,
    *,
    given: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Mix:
    """Estimate the class mix of a field, or take the one given, with bootstrap draws.

    The draws resample the labelled objects (and with them the bias-corrected temperature and the
    old shares) and the rows of the field.

    Parameters
    ----------
    labelled : HeldOut
        Every class has rows in every bin.
    p : array, shape (n, k)
        Probabilities of the field, as the model gave them.
    mag : array, shape (n,)
    edges : array, optional
        Magnitudes between bins, rising.
    given : array, shape (bins, k), optional
        Shares of the field; nothing is estimated then.
    draws : int
    seed : int
    """
    edges = np.zeros(0) if edges is None else np.asarray(edges, dtype=np.float64)
    k, bins = labelled.n_classes, len(edges) + 1
    logs = log_p(labelled.p)
    lab_place, field_place = mag_bins(labelled.mag, edges), mag_bins(mag, edges)
    gathered = [cells(p[field_place == b])[:2] for b in range(bins)]

    def estimated(bias: BiasCorrection, old: np.ndarray, counts: list[np.ndarray]) -> np.ndarray:
        if given is not None:
            return given
        parts = zip(gathered, counts, old, strict=True)
        return np.stack([em_shares(bias.apply(mean), o, c) if len(mean) else o for (mean, _), c, o in parts])

    bias = fit_bias(logs, labelled.label)
    old = shares(labelled.label, lab_place, bins, k)
    new = estimated(bias, old, [count for _, count in gathered])
    rng = np.random.default_rng(seed)
    objects, member = np.unique(labelled.object_id, return_inverse=True)
    made = []
    for _ in range(draws):
        times = np.bincount(rng.integers(len(objects), size=len(objects)), minlength=len(objects))
        weight = times[member].astype(np.float64)
        own = shares(labelled.label, lab_place, bins, k, weight)
        # A bin whose few rows of a class were all left out keeps the share that it has.
        own = np.where(own > 0, own, old)
        fitted = fit_bias(logs, labelled.label, weight, bias)
        counts = [rng.poisson(count).astype(np.float64) for _, count in gathered]
        made.append(MixDraw(fitted, own, estimated(fitted, own, counts), weight.astype(np.uint16)))
    return Mix(edges, bias, old, new, tuple(made), given is not None)
