"""What a list would hold: draws of the true members among the likeliest n, for every n."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..boosting.calibration import softmax
from ..boosting.heldout import HeldOut
from .bias import log_p
from .cells import cells
from .mix import Mix

_DENSE = 2000
_POINTS = 2000
_FAINTEST = 0.002
_MOST = 300_000


@dataclass(frozen=True, eq=False)
class Yields:
    """Draws of how many of the likeliest n rows are of the class.

    Parameters
    ----------
    order : array of intp, shape (n,)
        Field rows by falling corrected probability.
    size : array of int, shape (g,)
        Sizes of lists, rising: all up to 2,000, then about 2,000 more.
    threshold : array, shape (g,)
        Probability of the last row of each list.
    expected : array, shape (g,)
        Sum of probabilities of each list.
    true : array of float32, shape (draws, g)
        Members of the class among the first `size` rows: the probabilities are drawn anew from
        the calibration labels and the field, and each row's class from its probabilities.
    checked : array of float32, shape (draws, g)
        The same from the labelled rows above the threshold, reweighted to the field's mix, without
        trust in probabilities.
    total : array, shape (draws,)
        Members of the class in the whole field.
    """

    order: np.ndarray
    size: np.ndarray
    threshold: np.ndarray
    expected: np.ndarray
    true: np.ndarray
    checked: np.ndarray
    total: np.ndarray

    def purity_bound(self, confidence: float) -> np.ndarray:
        """Return the purity that the list of each size has at least, with this confidence, shape (g,).

        The smaller of what probabilities and what labelled rows say.
        """
        ends = [np.quantile(draws / self.size, 1 - confidence, axis=0) for draws in (self.true, self.checked)]
        return np.minimum(*ends)

    def completeness_bound(self, confidence: float) -> np.ndarray:
        """Return the completeness that the list of each size has at least, with this confidence, shape (g,)."""
        return np.quantile(self.true / np.maximum(self.total, 1)[:, None], 1 - confidence, axis=0)

    def at(self, n: int) -> int:
        """Return the place on the grid of the list nearest to n rows, not longer."""
        return max(int(np.searchsorted(self.size, n, side="right")) - 1, 0)


def draw_yields(mix: Mix, labelled: HeldOut, p: np.ndarray, mag: np.ndarray, column: int, *, seed: int = 0) -> Yields:
    """Draw the yield of every list of the likeliest rows.

    Parameters
    ----------
    mix : Mix
        The correction and its draws.
    labelled : HeldOut
        The rows that `mix` was made with.
    p : array, shape (n, k)
        Probabilities of the field, as the model gave them.
    mag : array, shape (n,)
    column : int
        The class.
    seed : int
    """
    place = mix.place(mag)
    corrected = mix.correct(p, mag)[:, column]
    order = np.argsort(-corrected, kind="stable")
    falling = corrected[order]
    most = int(min(max((falling >= _FAINTEST).sum(), min(len(falling), 200)), _MOST))
    if most <= _DENSE:
        size = np.arange(1, most + 1)
    else:
        size = np.unique(np.concatenate([np.arange(1, _DENSE + 1), np.geomspace(_DENSE, most, _POINTS).astype(int)]))
    top, rest = order[:most], order[most:]
    logs, top_place = log_p(p[top]), place[top]
    rest_cells = [cells(p[rest][place[rest] == b])[:2] for b in range(len(mix.old))]
    rng = np.random.default_rng(seed)
    true = np.empty((len(mix.draws), len(size)), dtype=np.float32)
    checked = np.empty_like(true)
    total = np.empty(len(mix.draws))
    scores = mix.correct(labelled.p, labelled.mag)[:, column]
    lab_place = mix.place(labelled.mag)
    threshold = falling[size - 1] if most else np.zeros(0)
    for i, draw in enumerate(mix.draws):
        now = softmax(draw.bias.logits(logs, draw.ratio(top_place)))[:, column]
        hits = rng.random(most) < now
        true[i] = np.cumsum(hits)[size - 1]
        far = sum(
            count @ softmax(draw.bias.logits(log_p(mean), draw.ratio(np.full(len(mean), b))))[:, column]
            for b, (mean, count) in enumerate(rest_cells)
        )
        total[i] = hits.sum() + rng.poisson(far)
        weight = draw.times * draw.ratio(lab_place)[np.arange(len(labelled)), labelled.label]
        purity = _purity_above(scores, labelled.label == column, weight, threshold)
        checked[i] = rng.binomial(size, purity)
    return Yields(order, size, threshold, np.cumsum(falling[:most])[size - 1], true, checked, total)


def _purity_above(score: np.ndarray, hit: np.ndarray, weight: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Return the weighted purity of labelled rows above each threshold, half a row of each kind added."""
    order = np.argsort(-score, kind="stable")
    place = np.searchsorted(-score[order], -threshold, side="right")
    true = np.append(0.0, np.cumsum((weight * hit)[order]))[place]
    every = np.append(0.0, np.cumsum(weight[order]))[place]
    members = float((hit * (weight > 0)).sum())
    if not members:
        # A draw without a member of the class knows of no purity.
        return np.zeros(len(threshold))
    unit = (weight @ hit) / members
    return np.clip((true + 0.5 * unit) / (every + unit), 0, 1)
