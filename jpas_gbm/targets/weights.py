"""Density ratio of field to labelled rows, by a cross-fitted classifier on what the model says of them."""

from __future__ import annotations

import numpy as np

from .bias import log_p

_CLIP = 20.0


def covariate_weights(
    p_labelled: np.ndarray,
    mag_labelled: np.ndarray,
    p_field: np.ndarray,
    mag_field: np.ndarray,
    *,
    folds: int = 5,
    seed: int = 0,
    most: int = 100_000,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the density of each row's features in the field over that among labelled rows, mean 1.

    A logistic regression on log-probabilities, their squares and the magnitude tells the samples
    apart; its odds estimate the ratio (Bickel et al. 2009). Each row is judged by a fold that did
    not see it.

    Parameters
    ----------
    p_labelled, p_field : array, shape (n, k) and (m, k)
    mag_labelled, mag_field : array, shape (n,) and (m,)
        NaN is given a place of its own.
    folds, seed, most : int
        Folds, seed of folds, and most field rows that train.

    Returns
    -------
    labelled, field : array of float64, shape (n,) and (m,)
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x = np.concatenate([_features(p_labelled, mag_labelled), _features(p_field, mag_field)])
    x = StandardScaler().fit_transform(x)
    n = len(p_labelled)
    y = np.arange(len(x)) >= n
    rng = np.random.default_rng(seed)
    fold = rng.integers(folds, size=len(x))
    odds = np.empty(len(x))
    for number in range(folds):
        out = fold == number
        train = np.flatnonzero(~out)
        theirs = train[y[train]]
        if len(theirs) > most:
            train = np.concatenate([train[~y[train]], rng.choice(theirs, most, replace=False)])
        model = LogisticRegression(C=1.0, max_iter=500).fit(x[train], y[train])
        prior = np.log(y[train].mean() / (1 - y[train].mean()))
        odds[out] = model.decision_function(x[out]) - prior
    weight = np.exp(np.clip(odds, -np.log(_CLIP), np.log(_CLIP)))
    weight /= weight[:n].mean()
    return weight[:n], weight[n:]


def _features(p: np.ndarray, mag: np.ndarray) -> np.ndarray:
    logs = np.maximum(log_p(p), np.log(1e-6))
    known = np.isfinite(mag)
    bright = np.where(known, mag, np.median(mag[known]) if known.any() else 0.0)
    return np.column_stack([logs, logs**2, bright, bright**2, ~known])
