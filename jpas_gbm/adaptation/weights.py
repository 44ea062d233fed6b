"""The domain classifier: how far mocks and sky differ, and what each mock weighs for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from ..boosting.booster import StagedBooster
from ..boosting.training import train
from ..options import BoostingOptions, DomainOptions
from ..scores.curves import rank_auc
from ..surveys.batches import slices
from .rows import Rows

_FEWEST_OF_CLASS = 10


def effective_share(weights: np.ndarray) -> float:
    """Return Kish's effective sample size over the sample size, (Σw)² / (n Σw²).

    Parameters
    ----------
    weights : array of float64, shape (n,)
        Weights of rows.

    Returns
    -------
    float
    """
    return float(weights.sum() ** 2 / (len(weights) * np.square(weights).sum())) if len(weights) else 0.0


_SURE = 300.0
"""Log-odds beyond which a row is of its domain without doubt."""

_LEAST = 1e-290
"""A weight that is as good as none."""


def clipped(weights: np.ndarray, clip: float) -> np.ndarray:
    """Return weights of mean 1 of which none exceeds `clip`: the largest are cut to one size.

    With the m largest cut to t, t is `clip` times the mean of all: t = clip S / (n - clip m), where S is the sum of the
    others.

    Parameters
    ----------
    weights : array of float64, shape (n,)
        Not negative; the largest is 1.
    clip : float
        Largest weight, in units of the mean; at least 1.

    Returns
    -------
    array of float64, shape (n,)
    """
    weights = np.maximum(weights, _LEAST)
    if weights.max() <= clip * weights.mean():
        return np.array(weights / weights.mean(), dtype=np.float64)
    n, ordered = len(weights), np.sort(weights)[::-1]
    others, left = np.cumsum(ordered[::-1])[::-1][1:], n - clip * np.arange(1, n)
    threshold = clip * others[left > 0] / left[left > 0]
    # The first that leaves all others below it; the last does, for its factor of their sum is above 1.
    bounded = np.minimum(weights, threshold[np.argmax(threshold >= ordered[1:][left > 0])])
    return np.minimum(bounded / bounded.mean(), clip)


@dataclass(frozen=True, eq=False)
class DomainWeights:
    """Cross-fitted odds that a mock looks like the sky.

    Parameters
    ----------
    log_odds : array of float64, shape (n,)
        log p(target | x) / p(source | x) of each source row, from a fold that did not train on its
        object, with equal prior of the domains.
    target_log_odds : array of float64, shape (m,)
        The same for the target rows.
    auc : float
        Area under the ROC of the cross-fitted classifier; 0.5 when the domains look alike.
    clip : float
        Largest weight, in units of the mean.
    other_log_odds : array of float64, shape (l,)
        The same for rows that no fold trained on, such as validation mocks: mean over the folds.
    """

    log_odds: np.ndarray
    target_log_odds: np.ndarray
    auc: float
    clip: float
    other_log_odds: np.ndarray

    def weights(self, gamma: float, log_odds: np.ndarray | None = None) -> np.ndarray:
        """Return importance weights odds^gamma, clipped and of mean 1, float64 (n,).

        The temper gamma trades the bias of ignoring the shift (0) against the variance of following a
        classifier that separates calibration, not populations (1).

        Parameters
        ----------
        gamma : float
            The temper; 0 weighs nothing.
        log_odds : array of float64, shape (n,), optional
            Of the rows that are weighted; default: the mocks that train.

        Returns
        -------
        array of float64, shape (n,)
        """
        log_odds = self.log_odds if log_odds is None else log_odds
        if gamma == 0 or not len(log_odds):
            return np.ones(len(log_odds))
        finite = np.clip(log_odds, -_SURE, _SURE)
        return clipped(np.exp(gamma * (finite - finite.max())), self.clip)

    def effective_share(self, gamma: float) -> float:
        """Return the effective share of the sample size left by weights of this temper.

        Parameters
        ----------
        gamma : float
            The temper; 0 weighs nothing.

        Returns
        -------
        float
        """
        return effective_share(self.weights(gamma))

    def clipped_share(self, gamma: float) -> float:
        """Return the share of the mocks whose weight of this temper was clipped.

        Parameters
        ----------
        gamma : float
            The temper; 0 weighs nothing.

        Returns
        -------
        float
        """
        odds = np.exp(gamma * (self.log_odds - self.log_odds.max(initial=-np.inf)))
        if not len(odds) or odds.max() <= self.clip * odds.mean():
            return 0.0
        weights = self.weights(gamma)
        return float((weights >= weights.max() * (1 - 1e-9)).mean())


def _fold_of(groups: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    unique, inverse = np.unique(groups, return_inverse=True)
    return (rng.permutation(len(unique)) % folds)[inverse]


def fit_domain(
    mocks: Rows,
    sky: Rows,
    options: DomainOptions,
    backend: str,
    seed: int,
    threads: int = 1,
    X_other: np.ndarray | None = None,
    within: int = 0,
) -> DomainWeights:
    """Train a domain classifier by cross-fitting over objects.

    Parameters
    ----------
    mocks, sky : Rows
        Features and objects of mocks and of the sky. No object is in the training part and the predicted part of a
        fold. Labels are seen only with `within`.
    options : DomainOptions
        Folds, rounds and clipping.
    backend : str
        Library that grows the trees.
    seed : int
        Seed of folds, subsamples and trees.
    threads : int
        Threads of the library.
    X_other : array of float32, shape (l, f), optional
        Features of more rows to give odds for.
    within : int
        Number of classes, to compare the domains within each class: the class of a row, as the last feature, and equal
        weights of the domains in each class leave nothing of the class mix in the odds. 0 compares all rows.

    Returns
    -------
    DomainWeights

    Notes
    -----
    The odds of a probabilistic domain classifier estimate the density ratio (Bickel, Brückner and
    Scheffer 2009, JMLR 10, 2137).
    """
    rng = np.random.default_rng(seed)
    domains = (mocks, sky)
    folds = tuple(_fold_of(domain.groups, options.folds, rng) for domain in domains)
    odds = tuple(np.empty(len(domain)) for domain in domains)
    other = np.zeros(0 if X_other is None else len(X_other))
    for fold in range(options.folds):
        chosen = []
        for own in folds:
            rows = np.flatnonzero(own != fold)
            if len(rows) > options.max_rows:
                rows = np.sort(rng.choice(rows, options.max_rows, replace=False))
            chosen.append(rows)
        booster = _domain_trees(domains, chosen, options, backend, seed + fold, threads, within)
        for domain, own, out in zip(domains, folds, odds, strict=True):
            rows = np.flatnonzero(own == fold)
            for part in slices(len(rows)):
                out[rows[part]] = booster.margins(_with_class([domain], [rows[part]], within), threads=threads)[:, 1]
        if X_other is not None and len(X_other):
            other += booster.margins(X_other, threads=threads)[:, 1] / options.folds
    return DomainWeights(odds[0], odds[1], rank_auc(odds[0], odds[1]), options.clip, other)


def _with_class(domains: Sequence[Rows], chosen: Sequence[np.ndarray], within: int) -> np.ndarray:
    """Return features of chosen rows, with the class as the last where domains are compared within classes."""
    width, count = domains[0].X.shape[1], sum(map(len, chosen))
    X, at = np.empty((count, width + bool(within)), dtype=np.float32), 0
    for domain, numbers in zip(domains, chosen, strict=True):
        for part in slices(len(numbers)):
            block = X[at : (at := at + part.stop - part.start)]
            block[:, :width] = domain.X[numbers[part]]
            if within:
                block[:, width] = domain.y[numbers[part]]
    return X


def blind_features(mocks: Rows, sky: Rows, labelled: Rows, names: Sequence[str], most: float = 0.55) -> np.ndarray:
    """Return which features tell classes better than domains, and domains hardly; bool (f,).

    Parameters
    ----------
    mocks, sky : Rows
        Rows of the two domains (a sample is enough).
    labelled : Rows
        Rows whose classes are known.
    names : sequence of str
        Feature names.
    most : float
        Largest area under the ROC between the domains.

    Returns
    -------
    array of bool, shape (f,)
    """
    ranked = {one["feature"]: one for one in separation_by_feature(mocks, sky, labelled, names)}
    return np.array([ranked[n]["domain"] < most and ranked[n]["domain"] < ranked[n]["classes"] for n in names])


def _domain_trees(
    domains: Sequence[Rows],
    chosen: Sequence[np.ndarray],
    options: DomainOptions,
    backend: str,
    seed: int,
    threads: int,
    within: int,
) -> StagedBooster:
    """Return trees that tell mocks (0) from sky (1), both domains weighing the same, in each class where asked."""
    y = np.repeat(np.array([0, 1], dtype=np.int8), [len(rows) for rows in chosen])
    X = _with_class(domains, chosen, within)
    group = X[:, -1].astype(np.int8) if within else np.zeros(len(y), dtype=np.int8)
    counts = np.zeros((2, int(group.max(initial=0)) + 1))
    np.add.at(counts, (y, group), 1.0)
    # A class weighs what it has of the rows; one that a domain lacks says nothing of how the domains differ in it.
    both = (counts > 0).all(axis=0)
    weight = np.where(both, counts.sum(axis=0) / 2, 0.0) / np.maximum(counts, 1.0)
    growth = {"learning_rate": 0.1, "patience": 0, "class_weight_power": 0.0}
    return train(
        backend,
        X,
        y,
        feature_names=[f"x{i}" for i in range(X.shape[1])],
        n_classes=2,
        options=BoostingOptions(backend=backend, leaves=options.leaves, rounds=options.rounds, **growth),
        weight=weight[y, group],
        seed=seed,
        threads=threads,
    )


class Separation(TypedDict):
    """How well one feature alone tells domains and classes apart: areas under the ROC folded to [0.5, 1].

    ``classes`` is the best one-against-rest among the classes of ten rows, NaN where there is none.
    """

    feature: str
    domain: float
    classes: float


def separation_by_feature(mocks: Rows, sky: Rows, labelled: Rows, names: Sequence[str]) -> list[Separation]:
    """Rank each feature by how well it alone tells domains apart, beside how well it tells classes.

    Parameters
    ----------
    mocks, sky : Rows
        Rows of the two domains (a sample is enough).
    labelled : Rows
        Rows whose classes are known.
    names : sequence of str
        Feature names.

    Returns
    -------
    list of Separation
        By falling domain separation.
    """
    members = [labelled.y == c for c in np.unique(labelled.y) if c >= 0]
    members = [own for own in members if min(own.sum(), (~own).sum()) >= _FEWEST_OF_CLASS]
    rows: list[Separation] = []
    for i, name in enumerate(names):
        column = labelled.X[:, i]
        areas = [_folded(rank_auc(column[~own], column[own])) for own in members]
        domain = _folded(rank_auc(mocks.X[:, i], sky.X[:, i]))
        rows.append({"feature": name, "domain": domain, "classes": max(areas, default=float("nan"))})
    return sorted(rows, key=lambda row: -row["domain"])


def _folded(area: float) -> float:
    return max(area, 1 - area)
