"""The domain classifier: how far mocks and sky differ, and what each mock weighs for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from ..boosting.training import train
from ..options import BoostingOptions, DomainOptions

_FEWEST_OF_CLASS = 10


def effective_share(weights: np.ndarray) -> float:
    """Return Kish's effective sample size over the sample size, (Σw)² / (n Σw²)."""
    return float(weights.sum() ** 2 / (len(weights) * np.square(weights).sum())) if len(weights) else 0.0


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
        """
        log_odds = self.log_odds if log_odds is None else log_odds
        if gamma == 0 or not len(log_odds):
            return np.ones(len(log_odds))
        weights = np.exp(gamma * (log_odds - log_odds.max()))
        for _ in range(5):  # clipping moves the mean that it is relative to
            weights = np.minimum(weights / weights.mean(), self.clip)
        return weights / weights.mean()

    def effective_share(self, gamma: float) -> float:
        """Return the effective share of the sample size left by weights of this temper."""
        return effective_share(self.weights(gamma))

    def clipped_share(self, gamma: float) -> float:
        """Return the share of the mocks whose weight of this temper was clipped."""
        odds = np.exp(gamma * (self.log_odds - self.log_odds.max(initial=-np.inf)))
        if not len(odds) or odds.max() <= self.clip * odds.mean():
            return 0.0
        weights = self.weights(gamma)
        return float((weights >= weights.max() * (1 - 1e-9)).mean())


def rank_auc(negative: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC of one score, ties counted half (Mann-Whitney); NaNs rank lowest."""
    both = np.concatenate([negative, positive]).astype(np.float64)
    ranks = rankdata(np.nan_to_num(both, nan=-np.inf, neginf=-1e300, posinf=1e300))
    n, m = len(negative), len(positive)
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m)) if n and m else float("nan")


def _fold_of(groups: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    unique, inverse = np.unique(groups, return_inverse=True)
    return (rng.permutation(len(unique)) % folds)[inverse]


def fit_domain(
    X_source: np.ndarray,
    X_target: np.ndarray,
    source_groups: np.ndarray,
    target_groups: np.ndarray,
    options: DomainOptions,
    backend: str,
    seed: int,
    threads: int = 1,
    X_other: np.ndarray | None = None,
) -> DomainWeights:
    """Train a domain classifier by cross-fitting over objects.

    Parameters
    ----------
    X_source, X_target : array of float32, shape (n, f) and (m, f)
        Features of mocks and of the sky (labelled or not; labels are not seen).
    source_groups, target_groups : array of int64
        Object of each row: no object is in the training part and the predicted part of a fold.
    options : DomainOptions
        Folds, rounds and clipping.
    backend : str
        Library that grows the trees.
    seed : int
        Seed of folds, subsamples and trees.
    threads : int
        Threads of the library.
    X_other : array of float32, shape (l, f), optional
        More rows to give odds for.

    Notes
    -----
    The odds of a probabilistic domain classifier estimate the density ratio (Bickel, Brückner and
    Scheffer 2009, JMLR 10, 2137).
    """
    rng = np.random.default_rng(seed)
    growth = BoostingOptions(
        backend=backend,
        learning_rate=0.1,
        leaves=options.leaves,
        rounds=options.rounds,
        patience=0,
        class_weight_power=0.0,
    )
    names = tuple(f"x{i}" for i in range(X_source.shape[1]))
    folds = (_fold_of(source_groups, options.folds, rng), _fold_of(target_groups, options.folds, rng))
    odds = (np.empty(len(X_source)), np.empty(len(X_target)))
    other = np.zeros(0 if X_other is None else len(X_other))
    for fold in range(options.folds):
        parts = []
        for X, own in zip((X_source, X_target), folds, strict=True):
            rows = np.flatnonzero(own != fold)
            if len(rows) > options.max_rows:
                rows = np.sort(rng.choice(rows, options.max_rows, replace=False))
            parts.append(X[rows])
        y = np.repeat(np.array([0, 1], dtype=np.int8), [len(part) for part in parts])
        share = y.mean()
        weight = np.where(y == 1, 0.5 / share, 0.5 / (1 - share))
        booster = train(
            backend,
            np.concatenate(parts),
            y,
            feature_names=names,
            n_classes=2,
            options=growth,
            weight=weight,
            seed=seed + fold,
            threads=threads,
        )
        for X, own, out in zip((X_source, X_target), folds, odds, strict=True):
            rows = np.flatnonzero(own == fold)
            if len(rows):
                out[rows] = booster.margins(X[rows], threads=threads)[:, 1]
        if X_other is not None and len(X_other):
            other += booster.margins(X_other, threads=threads)[:, 1] / options.folds
    return DomainWeights(odds[0], odds[1], rank_auc(odds[0], odds[1]), options.clip, other)


def separation_by_feature(
    X_source: np.ndarray,
    X_target: np.ndarray,
    names: tuple[str, ...],
    y_labelled: np.ndarray,
    X_labelled: np.ndarray,
) -> list[dict[str, Any]]:
    """Rank each feature by how well it alone tells domains apart, beside how well it tells classes.

    Parameters
    ----------
    X_source, X_target : array of float32
        Rows of the two domains (a sample is enough).
    names : tuple of str
        Feature names.
    y_labelled, X_labelled : array
        Labels and features of labelled rows.

    Returns
    -------
    list of dict
        ``feature``, ``domain`` and ``classes``: areas under the ROC folded to [0.5, 1] (for classes, the
        best one-against-rest among those of ten rows; NaN where there is none), by falling domain separation.
    """
    members = [y_labelled == c for c in np.unique(y_labelled) if c >= 0]
    members = [mine for mine in members if min(mine.sum(), (~mine).sum()) >= _FEWEST_OF_CLASS]
    rows = []
    for i, name in enumerate(names):
        column = X_labelled[:, i]
        classes = [rank_auc(column[~mine], column[mine]) for mine in members]
        rows.append(
            {
                "feature": name,
                "domain": _folded(rank_auc(X_source[:, i], X_target[:, i])),
                "classes": max((_folded(area) for area in classes), default=float("nan")),
            }
        )
    return sorted(rows, key=lambda row: -row["domain"])


def _folded(area: float) -> float:
    return max(area, 1 - area)
