"""The class mix of a field that has no labels, by EM on bias-corrected probabilities, and how sure it is.

A field of millions of rows is gathered into some thousand cells of nearly equal probabilities first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..boosting.calibration import HeldOut
from ..boosting.scaling import ScalingLoss, directions, em_shares, newton
from ..scores.bootstrap import object_counts
from ..scores.losses import log_p, softmax
from .records import ClassMix, Trust

_LEVELS = 400
_FEW = 20_000


def cells(p: np.ndarray, few: int = _FEW) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gather rows of nearly equal probabilities, where there are many.

    Probabilities are told apart in steps of 1/400 of their square root: where p is small, to a few
    per cent of it.

    Parameters
    ----------
    p : array, shape (n, k)
    few : int
        So many rows or fewer are their own cells.

    Returns
    -------
    mean : array of float64, shape (m, k)
        Mean probabilities of each cell.
    count : array of float64, shape (m,)
    member : array of intp, shape (n,)
        The cell of each row.
    """
    p = np.asarray(p, dtype=np.float64)
    n, k = p.shape
    if n <= few:
        return p, np.ones(n), np.arange(n)
    code = np.zeros(n, dtype=np.int64)
    for column in range(k - 1):
        code = code * (_LEVELS + 1) + np.round(_LEVELS * np.sqrt(p[:, column])).astype(np.int64)
    _, member = np.unique(code, return_inverse=True)
    member = member.ravel()
    count = np.bincount(member).astype(np.float64)
    mean = np.stack([np.bincount(member, weights=p[:, c]) / count for c in range(k)], axis=1)
    return mean, count, member


_PULL = 1e-3


@dataclass(frozen=True, eq=False)
class BiasCorrection:
    """p' = softmax(a log p + b), Alexandari, Kundaje and Shrikumar (2020)'s bias-corrected temperature.

    Parameters
    ----------
    a : float
        Inverse temperature.
    b : array of float64, shape (k,)
        Bias of each class.
    """

    a: float
    b: np.ndarray

    @classmethod
    def identity(cls, k: int) -> BiasCorrection:
        """Return the correction that corrects nothing.

        Parameters
        ----------
        k : int
            Classes.

        Returns
        -------
        BiasCorrection
        """
        return cls(1.0, np.zeros(k))

    def logits(self, logs: np.ndarray, ratio: np.ndarray | None = None) -> np.ndarray:
        """Return corrected margins (n, k) of log-probabilities, for a mix changed by `ratio`, (k,) or (n, k).

        Parameters
        ----------
        logs : array, shape (n, k)
        ratio : array, shape (k,) or (n, k), optional

        Returns
        -------
        array of float64, shape (n, k)
        """
        raised = self.a * logs + self.b
        return raised if ratio is None else raised + np.log(np.maximum(ratio, 1e-300))

    def apply(self, p: np.ndarray, ratio: np.ndarray | None = None) -> np.ndarray:
        """Return corrected probabilities, rows summing to 1, for a mix changed by `ratio` = new / old shares.

        Parameters
        ----------
        p : array, shape (n, k)
        ratio : array, shape (k,) or (n, k), optional

        Returns
        -------
        array of float64, shape (n, k)
        """
        return softmax(self.logits(log_p(p), ratio))


def fit_bias(
    logs: np.ndarray, label: np.ndarray, weight: np.ndarray | None = None, start: BiasCorrection | None = None
) -> BiasCorrection:
    """Fit a bias-corrected temperature by maximum likelihood.

    At the maximum the mean corrected probability of a class is its share of the rows: what estimating
    a mix by EM needs.

    Parameters
    ----------
    logs : array, shape (n, k)
        Log-probabilities of labelled rows that neither trees nor calibrator saw.
    label : array of int, shape (n,)
    weight : array, shape (n,), optional
        Weights of the rows; those of a bootstrap, say.
    start : BiasCorrection, optional
        Where to begin.

    Returns
    -------
    BiasCorrection
    """
    k = logs.shape[1]
    weight = np.ones(len(label)) if weight is None else np.asarray(weight, dtype=np.float64)
    used = weight > 0
    logs, label, weight = logs[used], label[used], weight[used]
    start = start or BiasCorrection.identity(k)
    # Only differences of biases count: that of the commonest class stays.
    fixed = int(np.bincount(label, weights=weight, minlength=k).argmax())
    free = np.delete(np.arange(k), fixed)
    problem = ScalingLoss(logs, label, weight, 0.0)
    pull = 0.5 * _PULL / weight.sum()
    problem.pull = np.eye(k, k + 1) * pull / k
    problem.pull[free, k] = pull
    moves = np.hstack([directions("temperature", k), np.eye(k * (k + 1))[:, free * (k + 1) + k]])
    A = np.hstack([start.a * np.eye(k), (start.b - start.b[fixed])[:, None]])
    A = newton(problem, moves, A, polish=True)
    return BiasCorrection(float(A[0, 0]), A[:, k])


DRAWS = 200


@dataclass(frozen=True, eq=False)
class MixDraw:
    """One bootstrap draw of the whole correction.

    Parameters
    ----------
    bias : BiasCorrection
    old, new : array, shape (bins, k)
        Class shares of the labelled rows and of the field in each magnitude bin.
    times : array of uint16 or float, shape (n,)
        How often each labelled row was drawn, times its weight.
    """

    bias: BiasCorrection
    old: np.ndarray
    new: np.ndarray
    times: np.ndarray

    def ratio(self, place: np.ndarray) -> np.ndarray:
        """Return new / old of the bin of each row, shape (n, k).

        Parameters
        ----------
        place : array of int, shape (n,)

        Returns
        -------
        array of float64, shape (n, k)
        """
        return ratio_of(self.old, self.new)[place]


def ratio_of(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return new / old, 0 where old is.

    Parameters
    ----------
    old, new : array, shape (..., k)
        Shares.

    Returns
    -------
    array of float64, shape (..., k)
    """
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
    other : Mix, optional
        A second reading of the same labels, under another assumption: a promise is to hold by both.
    way : str
        How the field's shares were estimated.
    """

    edges: np.ndarray
    bias: BiasCorrection
    old: np.ndarray
    new: np.ndarray
    draws: tuple[MixDraw, ...]
    given: bool = False
    other: Mix | None = None
    way: str = "EM"

    @property
    def by_em(self) -> Mix:
        """The reading whose shares are of EM or given; this one where there is no other."""
        return self if self.way == "EM" or self.other is None else self.other

    def place(self, mag: np.ndarray) -> np.ndarray:
        """Return the bin of each magnitude, intp (n,).

        Parameters
        ----------
        mag : array, shape (n,)

        Returns
        -------
        array of intp, shape (n,)
        """
        return mag_bins(mag, self.edges)

    def correct(self, p: np.ndarray, mag: np.ndarray) -> np.ndarray:
        """Return probabilities for the field's mix, float64 (n, k), rows summing to 1.

        Parameters
        ----------
        p : array, shape (n, k)
            As the model gave them.
        mag : array, shape (n,)

        Returns
        -------
        array of float64, shape (n, k)
        """
        return self.bias.apply(p, ratio_of(self.old, self.new)[self.place(mag)])

    def drawn(self, p: np.ndarray, mag: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the probabilities under each draw, float64 (n, k).

        Parameters
        ----------
        p : array, shape (n, k)
        mag : array, shape (n,)

        Yields
        ------
        array of float64, shape (n, k)
            Probabilities.
        """
        logs, place = log_p(p), self.place(mag)
        for draw in self.draws:
            yield softmax(draw.bias.logits(logs, draw.ratio(place)))

    def take(self, rows: np.ndarray) -> Mix:
        """Return the mix with draws of some labelled rows only.

        Parameters
        ----------
        rows : array of bool or int
            The rows.

        Returns
        -------
        Mix
        """
        draws = tuple(replace(draw, times=draw.times[rows]) for draw in self.draws)
        return replace(self, draws=draws, other=None if self.other is None else self.other.take(rows))

    def record(self, bins: Sequence[str], trust: Trust | None) -> ClassMix:
        """Return the shares with their intervals, to be saved.

        Parameters
        ----------
        bins : sequence of str
            Names of the magnitude bins.
        trust : Trust, optional
            Of an estimated mix.

        Returns
        -------
        ClassMix
        """
        source = "given" if self.given else f"estimated by {self.way}, 95 % intervals"
        bias = self.bias
        return ClassMix(source, tuple(bins), self.old, self.new, *self.interval(), 1 / bias.a, bias.b, trust)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper ends of the new shares, shape (bins, k) each.

        Parameters
        ----------
        level : float

        Returns
        -------
        low, high : array of float64, shape (bins, k)
        """
        many = np.stack([draw.new for draw in self.draws])
        low, high = np.quantile(many, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high


def mag_bins(mag: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bin of each magnitude; NaN falls in the last.

    Parameters
    ----------
    mag : array, shape (n,)
    edges : array
        Magnitudes between bins, rising.

    Returns
    -------
    array of intp, shape (n,)
    """
    return np.searchsorted(edges, np.asarray(mag, dtype=np.float64), side="right")


def shares(label: np.ndarray, place: np.ndarray, bins: int, k: int, weight: np.ndarray | None = None) -> np.ndarray:
    """Return the class shares of labelled rows in each bin, shape (bins, k).

    Parameters
    ----------
    label, place : array of int, shape (n,)
        Class and bin of each row.
    bins, k : int
    weight : array, shape (n,), optional

    Returns
    -------
    array of float64, shape (bins, k)
    """
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
    draws, seed : int

    Returns
    -------
    Mix
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
        times = object_counts(rng, len(objects))
        weight = times[member].astype(np.float64)
        own = shares(labelled.label, lab_place, bins, k, weight)
        # A bin whose few rows of a class were all left out keeps the share that it has.
        own = np.where(own > 0, own, old)
        fitted = fit_bias(logs, labelled.label, weight, bias)
        counts = [rng.poisson(count).astype(np.float64) for _, count in gathered]
        made.append(MixDraw(fitted, own, estimated(fitted, own, counts), weight.astype(np.uint16)))
    return Mix(edges, bias, old, new, tuple(made), given is not None)


def weighted_mix(labelled: HeldOut, weight: np.ndarray, edges: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> Mix:
    """Read a field from labelled rows that are weighed to stand for it: class given features is alike in both.

    Nothing is left to EM: the shares of the weighed rows are those of the field.

    Parameters
    ----------
    labelled : HeldOut
        Every class has rows in every bin.
    weight : array, shape (n,)
        Of each labelled row: the chance that a source like it is in the field over that of being labelled.
    edges : array
        Magnitudes between bins, rising.
    draws, seed : int

    Returns
    -------
    Mix
    """
    k, bins = labelled.n_classes, len(edges) + 1
    logs, place = log_p(labelled.p), mag_bins(labelled.mag, edges)
    bias = fit_bias(logs, labelled.label, weight)
    own = shares(labelled.label, place, bins, k, weight)
    rng = np.random.default_rng(seed)
    objects, member = np.unique(labelled.object_id, return_inverse=True)
    made = []
    for _ in range(draws):
        drawn = object_counts(rng, len(objects))[member] * weight
        now = shares(labelled.label, place, bins, k, drawn)
        made.append(MixDraw(fit_bias(logs, labelled.label, drawn, bias), now, now, drawn.astype(np.float32)))
    return Mix(edges, bias, own, own, tuple(made), way="labelled rows weighed by selection")


_BINS = 3
_ENOUGH = 20


def mix_edges(labelled: HeldOut) -> np.ndarray:
    """Return magnitudes between bins of a mix: up to three bins with 20 labels or more of every class.

    What spectroscopy has taken depends on magnitude first of all.

    Parameters
    ----------
    labelled : HeldOut

    Returns
    -------
    array of float64
        Rising; none where labels are too few.
    """
    k, known = labelled.n_classes, np.isfinite(labelled.mag)
    rarest = int(np.argmin(np.bincount(labelled.label[known], minlength=k)))
    mags = labelled.mag[known & (labelled.label == rarest)].astype(np.float64)
    for bins in range(_BINS, 1, -1):
        if len(mags) < bins * _ENOUGH:
            continue
        edges = np.unique(np.round(np.quantile(mags, np.arange(1, bins) / bins), 2))
        place = mag_bins(labelled.mag, edges)
        counts = np.bincount(place * k + labelled.label, minlength=(len(edges) + 1) * k)
        if counts.min() >= _ENOUGH:
            return edges
    return np.zeros(0)
