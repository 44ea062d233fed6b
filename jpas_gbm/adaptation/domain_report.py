"""Domain report: what tells mocks from sky, what the weights leave of the mocks, and where the mocks do not reach."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from ..boosting.decision import decide
from ..boosting.matrix import UnseenMissingWarning
from ..config import override
from ..errors import JpasGbmError
from ..scores.bootstrap import mean_interval
from ..scores.losses import confusion_matrix, log_losses, macro_f1
from .rows import Rows
from .stages import Stages
from .weights import DomainWeights, fit_domain, separation_by_feature

STRATA = 5
FEWEST = 20
"""Rows of the sky that a stratum holds at least: with fewer rows there are fewer strata."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Rows of known class, and what a model that was not fitted to them says.

    Parameters
    ----------
    y : array of int8, shape (n,)
        True classes.
    p : array of float64, shape (n, k)
        Probabilities, calibrated by cross-fitting.
    groups : array of int64, shape (n,)
        The object of each row.
    classes : tuple of str
        Names of the classes.
    """

    y: np.ndarray
    p: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]

    def figures(self, rows: np.ndarray, seed: int) -> dict[str, Any]:
        """Return how good the model is on rows chosen by a mask.

        Returns
        -------
        dict
            ``classes`` (rows of each), ``log_loss`` (nats), its 95 % bootstrap ``interval`` over objects (None
            with fewer than two), ``accuracy`` and ``macro_f1`` over the classes that are there.
        """
        y, p, groups = self.y[rows], self.p[rows], self.groups[rows]
        losses = log_losses(p, y)
        decided = decide(p, None)
        k = len(self.classes)
        several = len(np.unique(groups)) > 1
        return {
            "classes": dict(zip(self.classes, np.bincount(y, minlength=k).tolist(), strict=True)),
            "log_loss": float(losses.mean()),
            "interval": list(mean_interval(losses, groups, seed)) if several else None,
            "accuracy": float((decided == y).mean()),
            "macro_f1": float(macro_f1(confusion_matrix(y, decided, k))),
        }


def stratum_edges(log_odds: np.ndarray, most: int = STRATA) -> np.ndarray:
    """Return the odds that part rows into strata of like number; rows of equal odds stay together.

    Parameters
    ----------
    log_odds : array of float64, shape (n,)
    most : int
        Strata, where there are :data:`FEWEST` rows for each.

    Returns
    -------
    array of float64, shape (s - 1,)
        Rising. A stratum begins at its edge; the first is open below, the last above. None is empty.
    """
    count = max(1, min(most, len(log_odds) // FEWEST))
    if count == 1:
        return np.zeros(0)
    # An edge is one of the odds, so that the stratum which begins there holds at least that row.
    edges = np.unique(np.quantile(log_odds, np.arange(1, count) / count, method="higher"))
    return edges[edges > log_odds.min()]


def coverage(log_odds: np.ndarray, mocks: np.ndarray, answers: Answers | None = None, seed: int = 0) -> dict[str, Any]:
    """Part sky rows by how unlike the mocks they are; say how many mocks lie in each part, and how good a model is.

    Parameters
    ----------
    log_odds : array of float64, shape (n,)
        Cross-fitted log p(sky | x) / p(mock | x) of sky rows, with equal prior of the domains.
    mocks : array of float64, shape (m,)
        The same of the mocks that train.
    answers : Answers, optional
        Of those sky rows, where their classes are known.
    seed : int
        Seed of the resamples.

    Returns
    -------
    dict
        ``n`` sky rows and ``mocks`` in all, the figures of all rows, and ``strata`` by rising odds, each with
        ``n``, ``p_sky`` (least and largest P(sky) of its rows), ``mocks`` of odds in its range, and its figures
        (:meth:`Answers.figures`), which need answers.

    Notes
    -----
    Strata of the propensity to be in a sample are those of StratLearn (Autenrieth, van Dyk, Trotta and Stenning
    2024, Stat. Anal. Data Min. 17, e11643): within one, source and target are alike, so a stratum
    without mocks is a part of the sky that they cannot teach.
    """
    edges = stratum_edges(log_odds)
    place = np.searchsorted(edges, log_odds, side="right")
    found = np.bincount(np.searchsorted(edges, mocks, side="right"), minlength=len(edges) + 1)
    strata = []
    for i in range(len(edges) + 1):
        rows = place == i
        mine = expit(log_odds[rows])
        one = {"n": int(rows.sum()), "p_sky": [float(mine.min()), float(mine.max())], "mocks": int(found[i])}
        strata.append(one | ({} if answers is None else answers.figures(rows, seed)))
    whole = {} if answers is None else answers.figures(np.ones(len(log_odds), dtype=bool), seed)
    return {"n": len(log_odds), "mocks": len(mocks), **whole, "strata": strata}


APART = 0.55
"""Area under the ROC from which a feature alone is said to tell mocks from sky."""

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
_TOP = 12
_FEWEST = 20
_GROUP_ROWS, _GROUP_ROUNDS, _GROUP_LEAVES = 10_000, 30, 8
_FEATURE_ROWS = 5_000


def domain_facts(stages: Stages, gammas: Mapping[float, bool], p: np.ndarray | None, seed: int) -> dict[str, Any]:
    """Return what the domain classifier of a fit found, for its card; nothing where none was wanted.

    Parameters
    ----------
    stages : Stages
        Of the regime; of several folds the first.
    gammas : mapping of float to bool
        The tempers that were asked for, and whether their weights were used.
    p : array of float64, shape (n, k), optional
        Probabilities of the target's validation rows by the model that was kept, calibrated by cross-fitting.
    seed : int
        Seed of samples and resamples.

    Returns
    -------
    dict
        ``domain``, with ``gammas`` used and, where a domain classifier was trained: ``auc``; ``effective_share`` by
        temper; ``weights`` (:func:`weights_facts`), ``groups`` (:func:`group_facts`), ``features``
        (:func:`feature_facts`), ``coverage`` (:func:`coverage`, with figures only where labels of the target may be
        seen) and ``lines`` for a terminal.
    """
    if not gammas:
        return {}
    usable = [gamma for gamma, holds in gammas.items() if holds]
    if not any(gammas):
        return {"domain": {"gammas": usable}}
    domain = stages.domain
    facts: dict[str, Any] = {
        "auc": domain.auc,
        "gammas": usable,
        "effective_share": {f"{gamma:g}": domain.effective_share(gamma) for gamma in usable},
        "weights": weights_facts(domain, gammas),
    }
    try:
        facts |= _compared(stages, p, seed)
    except (ArithmeticError, ValueError, IndexError, JpasGbmError) as error:
        # A model that is good must not be lost because the report on it failed.
        stages.run.note(f"the domain report is not whole ({error!r}); the model is not touched by it.")
    return {"domain": facts | {"lines": _lines(facts)}}


def _compared(stages: Stages, p: np.ndarray | None, seed: int) -> dict[str, Any]:
    domain, rows = stages.domain, stages.rows
    facts: dict[str, Any] = {"groups": group_facts(stages, seed), "features": feature_facts(stages, seed)}
    odds, answers = domain.target_log_odds, None
    if p is not None and rows.target_val:
        odds = odds[len(odds) - len(rows.target_val) :]
        answers = Answers(rows.target_val.y, p, rows.target_val.groups, rows.classes)
    facts["coverage"] = coverage(odds, domain.log_odds, answers, seed)
    return facts


def _sample(parts: list[Rows], most: int, rng: np.random.Generator) -> Rows:
    """Return at most so many rows of all parts together."""
    total = sum(map(len, parts))
    chosen = np.arange(total) if total <= most else np.sort(rng.choice(total, most, replace=False))
    taken, start = [], 0
    for part in parts:
        taken.append(part.take(chosen[(chosen >= start) & (chosen < start + len(part))] - start))
        start += len(part)
    return Rows(*(np.concatenate([getattr(t, name) for t in taken]) for name in ("X", "y", "groups", "mag")))


def weights_facts(domain: DomainWeights, gammas: Mapping[float, bool]) -> dict[str, Any]:
    """Return how the weights of the mocks are spread, by temper, those given up too; a temper of 0 weighs nothing.

    Parameters
    ----------
    domain : DomainWeights
    gammas : mapping of float to bool
        Tempers, and whether their weights were used.

    Returns
    -------
    dict
        By temper: ``quantiles`` of the weights in units of their mean, ``largest``, ``clipped`` (share of the
        mocks), ``effective_share`` and ``effective_rows`` (Kish's effective sample size), and ``used``.
    """
    facts = {}
    for gamma in gammas:
        if gamma == 0:
            continue
        weights, share = domain.weights(gamma), domain.effective_share(gamma)
        facts[f"{gamma:g}"] = {
            "quantiles": {f"{q:g}": float(np.quantile(weights, q)) for q in QUANTILES},
            "largest": float(weights.max()),
            "clipped": domain.clipped_share(gamma),
            "effective_share": share,
            "effective_rows": share * len(weights),
            "used": gammas[gamma],
        }
    return facts


def group_facts(stages: Stages, seed: int) -> dict[str, Any]:
    """Return how well each group of features alone tells mocks from sky.

    A small domain classifier is cross-fitted on a sample for each group; groups without a feature that varies are
    left out, and all are where fewer than 20 objects of either domain can be compared.

    Returns
    -------
    dict
        By group: ``features`` (number) and ``auc``.
    """
    assert stages.rows.source_train is not None
    rng = np.random.default_rng(np.random.SeedSequence([seed, 61]))
    mocks = _sample([stages.rows.source_train], _GROUP_ROWS, rng)
    sky = _sample(stages.skies, _GROUP_ROWS, rng)
    if min(len(np.unique(mocks.groups)), len(np.unique(sky.groups))) < _FEWEST:
        return {}
    of_feature = np.array(list(stages.rows.recipe.groups.values()))
    facts = {}
    for group in dict.fromkeys(of_feature.tolist()):
        columns = np.flatnonzero(of_feature == group)
        X, X_sky = mocks.X[:, columns], sky.X[:, columns]
        if not _varies(np.concatenate([X, X_sky])):
            continue
        with stages.run.stage(f"domain classifier: {group} features alone", rows=len(X) + len(X_sky)) as entry:
            auc = _quick(stages, X, X_sky, (mocks.groups, sky.groups), seed)
            entry["auc"] = round(auc, 4)
        facts[group] = {"features": len(columns), "auc": auc}
    return facts


def _quick(
    stages: Stages, X: np.ndarray, X_sky: np.ndarray, objects: tuple[np.ndarray, np.ndarray], seed: int
) -> float:
    """Return the area under the ROC of a small domain classifier."""
    options = stages.options.domain
    rounds, leaves = min(options.rounds, _GROUP_ROUNDS), min(options.leaves, _GROUP_LEAVES)
    small, backend = override(options, folds=2, rounds=rounds, leaves=leaves), stages.options.boosting.backend
    with warnings.catch_warnings():
        # What a small sample does not miss says nothing about the rows that train.
        warnings.simplefilter("ignore", UnseenMissingWarning)
        return fit_domain(X, X_sky, *objects, small, backend, seed, stages.run.threads).auc


def _varies(X: np.ndarray) -> bool:
    return bool((np.nan_to_num(X, nan=-np.inf) != np.nan_to_num(X[:1], nan=-np.inf)).any())


def feature_facts(stages: Stages, seed: int) -> dict[str, Any]:
    """Return which features tell mocks from sky, and which of them do not tell classes.

    A feature "tells domains apart and not classes" if its own area under the ROC between the domains is at least
    0.55 (:data:`APART`) and larger than any that it has between a class and the rest: what it gives a model is then
    more of where a row comes from than of what it is.

    Returns
    -------
    dict
        ``labels`` ("sky" or, where labels of the target may not be seen, "mocks"), whose classes were compared;
        ``top``, the 12 features of largest domain area, and ``domain_only``, those of all features that tell domains
        and not classes, each as :func:`~jpas_gbm.adaptation.domain.separation_by_feature` with the ``group``.
    """
    rows = stages.rows
    assert rows.source_train is not None
    rng = np.random.default_rng(np.random.SeedSequence([seed, 67]))
    mocks, sky = _sample([rows.source_train], _FEATURE_ROWS, rng), _sample(stages.skies, _FEATURE_ROWS, rng)
    labels, known = "mocks", mocks
    if rows.target_train:
        labels, known = "sky", _sample([rows.target_train], _FEATURE_ROWS, rng)
    names = rows.recipe.names
    found = separation_by_feature(mocks.X, sky.X, names, known.y, known.X)
    found = [one | {"group": rows.recipe.groups[one["feature"]]} for one in found]
    # A class that cannot be told for want of labels is NaN: then nothing is said against the feature.
    only = [one for one in found if one["domain"] >= APART and one["domain"] > one["classes"]]
    return {"labels": labels, "top": found[:_TOP], "domain_only": only}


def _lines(facts: Mapping[str, Any]) -> list[str]:
    """Return the domain report in two lines."""
    words = f"mocks against sky: domain AUC {facts['auc']:.3f}"
    for gamma, one in facts["weights"].items():
        words += f"; weights of gamma {gamma} leave an effective {100 * one['effective_share']:.0f} % of the mocks"
    only = facts.get("features", {}).get("domain_only", [])
    if only:
        words += f"; {len(only)} feature(s) tell domains apart and not classes, most {only[0]['feature']}"
    strata = facts.get("coverage", {}).get("strata", [])
    if len(strata) < 2 or "log_loss" not in strata[0]:
        return [words]
    worst = max(strata, key=lambda one: one["log_loss"])
    low, high = worst["p_sky"]
    return [
        words,
        f"worst of {len(strata)} strata of target validation: P(sky) {low:.2f} to {high:.2f}, log loss "
        f"{worst['log_loss']:.4f} against {facts['coverage']['log_loss']:.4f} of all magnitudes, "
        f"{worst['mocks']:,} of {facts['coverage']['mocks']:,} mocks there",
    ]
