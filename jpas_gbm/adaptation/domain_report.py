"""Domain report: what tells mocks from sky, what the weights leave of the mocks, and where the mocks do not reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
from scipy.special import expit

from ..config import override
from ..errors import JpasGbmError
from ..scores.bootstrap import RESAMPLES, replicate
from ..scores.metrics import Scorer
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from ..text import count
from .rows import Rows
from .sky import observe_again
from .stages import Stages
from .weights import DomainWeights, Separation, fit_domain, separation_by_feature


class Figures(TypedDict, total=False):
    """How good a model is on some rows.

    ``classes`` counts the rows of each class; ``macro_f1`` is over the classes that are there. ``interval``, of
    ``log_loss`` (nats), and ``intervals``, of the others by name, are 95 % bootstrap intervals over objects; None with
    fewer than two objects.
    """

    classes: dict[str, int]
    log_loss: float
    interval: list[float] | None
    accuracy: float
    macro_f1: float
    intervals: dict[str, list[float] | None]


class Stratum(Figures):
    """Sky rows of like odds: how many, the least and largest P(sky) of them, the mocks of odds in their range."""

    n: int
    mocks: int
    p_sky: list[float]


class Coverage(Figures):
    """All sky rows, the mocks that train, and the strata by rising odds."""

    n: int
    mocks: int
    strata: list[Stratum]


class TemperFacts(TypedDict):
    """How the weights of one temper are spread.

    ``quantiles`` and ``largest`` are in units of the mean weight, ``clipped`` is a share of the mocks,
    ``effective_share`` and ``effective_rows`` are Kish's effective sample size; ``used`` is false where given up.
    """

    quantiles: dict[str, float]
    largest: float
    clipped: float
    effective_share: float
    effective_rows: float
    used: bool


class GroupFacts(TypedDict):
    """Number of features of a group, and the area under the ROC of a domain classifier on these alone."""

    features: int
    auc: float


class GroupedSeparation(Separation):
    """How well a feature tells domains and classes apart, and its group."""

    group: str


class FeatureFacts(TypedDict):
    """Features that tell domains apart.

    ``labels`` says whose classes were compared ("sky" or, where labels of the target may not be seen, "mocks"); ``top``
    are the 12 features of largest domain area, ``domain_only`` those that tell domains and not classes.
    """

    labels: str
    top: list[GroupedSeparation]
    domain_only: list[GroupedSeparation]


class DomainReport(TypedDict, total=False):
    """What the domain classifier of a fit found; ``lines`` say it on a terminal.

    ``gammas`` are the tempers used, ``kind`` says what weights are odds of; the rest is there where a domain classifier
    was trained. ``steps`` are domain areas on a sample before and after each step of preparing mocks and sky.
    """

    gammas: list[float]
    auc: float
    steps: dict[str, float]
    kind: str
    effective_share: dict[str, float]
    weights: dict[str, TemperFacts]
    groups: dict[str, GroupFacts]
    features: FeatureFacts
    coverage: Coverage
    lines: list[str]


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

    def figures(self, rows: np.ndarray, seed: int) -> Figures:
        """Return how good the model is on some rows.

        Parameters
        ----------
        rows : array of bool, shape (n,)
            Which.
        seed : int
            Seed of the resamples.

        Returns
        -------
        Figures
        """
        y, p, groups = self.y[rows], self.p[rows], self.groups[rows]
        scorer = replace(Scorer.of(y, p, self.classes), brief=True)
        found = replicate([scorer], groups, RESAMPLES if len(np.unique(groups)) > 1 else 0, seed)
        point, intervals = {name: float(value[0]) for name, value in found.point.items()}, found.intervals()
        return {
            "classes": dict(zip(self.classes, np.bincount(y, minlength=len(self.classes)).tolist(), strict=True)),
            "log_loss": point["log_loss"],
            "interval": intervals["log_loss"],
            "accuracy": point["accuracy"],
            "macro_f1": point["macro.f1"],
            "intervals": {"accuracy": intervals["accuracy"], "macro_f1": intervals["macro.f1"]},
        }


def stratum_edges(log_odds: np.ndarray, most: int = STRATA) -> np.ndarray:
    """Return the odds that part rows into strata of like number; rows of equal odds stay together.

    Parameters
    ----------
    log_odds : array of float64, shape (n,)
        Of sky rows.
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


def coverage(log_odds: np.ndarray, mocks: np.ndarray, answers: Answers | None = None, seed: int = 0) -> Coverage:
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
    Coverage
        With figures where there are answers.

    Notes
    -----
    Strata of the propensity to be in a sample are those of StratLearn (Autenrieth, van Dyk, Trotta and Stenning
    2024, Stat. Anal. Data Min. 17, e11643): within one, source and target are alike, so a stratum
    without mocks is a part of the sky that they cannot teach.
    """
    edges = stratum_edges(log_odds)
    place = np.searchsorted(edges, log_odds, side="right")
    counts = np.bincount(np.searchsorted(edges, mocks, side="right"), minlength=len(edges) + 1)

    def figures(rows: np.ndarray) -> Figures:
        return {} if answers is None else answers.figures(rows, seed)

    strata: list[Stratum] = []
    for i in range(len(edges) + 1):
        rows = place == i
        p_sky = expit(log_odds[rows])
        ends = [float(p_sky.min()), float(p_sky.max())]
        strata.append({"n": int(rows.sum()), "p_sky": ends, "mocks": int(counts[i]), **figures(rows)})
    whole = figures(np.ones(len(log_odds), dtype=bool))
    return {"n": len(log_odds), "mocks": len(mocks), **whole, "strata": strata}


APART = 0.55
"""Area under the ROC from which a feature alone is said to tell mocks from sky."""

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
_TOP = 12
_FEWEST = 20
_GROUP_ROWS, _GROUP_ROUNDS, _GROUP_LEAVES = 10_000, 30, 8
_FEATURE_ROWS = 5_000
_STEP_ROWS = 2_000


def domain_report(
    stages: Stages, gammas: Mapping[float, bool], p: np.ndarray | None, seed: int, dataset: Dataset | None = None
) -> DomainReport:
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
    dataset : Dataset, optional
        Mocks and sky as they are, with test labels masked: steps are told from there.

    Returns
    -------
    DomainReport
        Its coverage has figures only where labels of the target may be seen.
    """
    if not gammas:
        return {}
    usable = [gamma for gamma, holds in gammas.items() if holds]
    if not any(gammas):
        return {"gammas": usable}
    domain = stages.domain
    facts: DomainReport = {
        "auc": domain.auc,
        "gammas": usable,
        "kind": stages.options.domain.kind,
        "effective_share": {f"{gamma:g}": stages.weigher.effective_share(gamma) for gamma in usable},
        "weights": weights_facts(stages.weigher, gammas),
    }
    try:
        facts["groups"], facts["features"] = group_facts(stages, seed), feature_facts(stages, seed)
        facts["coverage"] = _coverage(stages, p, seed)
        if dataset is not None:
            facts["steps"] = step_aucs(stages, dataset, seed)
    except (ArithmeticError, ValueError, IndexError, JpasGbmError) as error:
        # A model that is good must not be lost because the report on it failed.
        stages.run.note(f"the domain report is not whole ({error!r}); the model is not touched by it.")
    return {**facts, "lines": _lines(facts)}


def _coverage(stages: Stages, p: np.ndarray | None, seed: int) -> Coverage:
    domain, rows = stages.domain, stages.rows
    odds, answers = domain.target_log_odds, None
    if p is not None and rows.target_val:
        odds = odds[len(odds) - len(rows.target_val) :]
        answers = Answers(rows.target_val.y, p, rows.target_val.groups, rows.classes)
    return coverage(odds, domain.log_odds, answers, seed)


def _sample(parts: list[Rows], most: int, rng: np.random.Generator) -> Rows:
    """Return at most so many rows of all parts together."""
    rows = parts[0] if len(parts) == 1 else Rows.concat(parts)
    return rows if len(rows) <= most else rows.take(np.sort(rng.choice(len(rows), most, replace=False)))


def weights_facts(domain: DomainWeights, gammas: Mapping[float, bool]) -> dict[str, TemperFacts]:
    """Return how the weights of the mocks are spread, by temper, those given up too; a temper of 0 weighs nothing.

    Parameters
    ----------
    domain : DomainWeights
        The domain classifier's odds.
    gammas : mapping of float to bool
        Tempers, and whether their weights were used.

    Returns
    -------
    dict of str to TemperFacts
        By temper.
    """
    facts: dict[str, TemperFacts] = {}
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


def group_facts(stages: Stages, seed: int) -> dict[str, GroupFacts]:
    """Return how well each group of features alone tells mocks from sky.

    A small domain classifier is cross-fitted on a sample for each group; groups without a feature that varies are
    left out, and all are where fewer than 20 objects of either domain can be compared.

    Parameters
    ----------
    stages : Stages
        Rows and options of the fit.
    seed : int
        Seed of samples and trees.

    Returns
    -------
    dict of str to GroupFacts
        By group.
    """
    assert stages.rows.source_train is not None
    rng = np.random.default_rng(np.random.SeedSequence([seed, 61]))
    mocks = _sample([stages.rows.source_train], _GROUP_ROWS, rng)
    sky = _sample(stages.skies, _GROUP_ROWS, rng)
    if min(len(np.unique(mocks.groups)), len(np.unique(sky.groups))) < _FEWEST:
        return {}
    of_feature = np.array(list(stages.rows.recipe.groups.values()))
    facts: dict[str, GroupFacts] = {}
    for group in dict.fromkeys(of_feature.tolist()):
        columns = np.flatnonzero(of_feature == group)
        X, X_sky = mocks.X[:, columns], sky.X[:, columns]
        if not _varies(np.concatenate([X, X_sky])):
            continue
        with stages.run.stage(f"domain classifier: {group} features alone", rows=len(X) + len(X_sky)) as entry:
            auc = _quick_auc(stages, replace(mocks, X=X), replace(sky, X=X_sky), seed)
            entry["auc"] = round(auc, 4)
        facts[group] = {"features": len(columns), "auc": auc}
    return facts


def step_aucs(stages: Stages, dataset: Dataset, seed: int) -> dict[str, float]:
    """Return how well a small classifier tells mocks from sky before and after each step of preparing them.

    Parameters
    ----------
    stages : Stages
        Of the fit: its features, and the shift that was measured.
    dataset : Dataset
        Mocks and sky as they are; no label and no test row of the sky is read.
    seed : int
        Seed of the sample.

    Returns
    -------
    dict of str to float
        Area under the ROC by step, in their order; empty where fewer than 20 rows of either can be compared.
    """
    rng, rows = np.random.default_rng(np.random.SeedSequence([seed, 79])), stages.rows
    sky, few = dataset.target_rows("train", "val", "unlabelled"), np.flatnonzero(dataset.source_split == 0)
    few = np.sort(rng.permutation(few)[:_STEP_ROWS])
    theirs = sky.take(np.sort(rng.permutation(len(sky))[:_STEP_ROWS]))
    if min(len(few), len(theirs)) < _FEWEST:
        return {}
    mocks = dataset.source.take(few, flux_mean=None)
    plain = override(stages.options.sky, forget_imaging=0.0, forget_optional=0.0)  # as the sky's rows here

    def auc(ours: Catalogue, theirs: Catalogue) -> float:
        seen, other = (
            Rows(
                rows.recipe.compute(one, threads=stages.run.threads).X,
                np.zeros(len(one), np.int8),
                np.asarray(one.object_id),
                np.asarray(one.mag),
            )
            for one in (ours, theirs)
        )
        return _quick_auc(stages, seen, other, seed)

    with stages.run.stage("domain classifier by step", rows=len(few) + len(theirs)):
        found = {"as they are": auc(mocks, theirs)}
        found["noise and gaps of the sky"] = auc(observe_again(dataset.source, sky, plain, rng, rows=few), theirs)
        if (shift := rows.shift) is not None:
            seen = observe_again(dataset.source, shift.correct(sky), plain, rng, shift, rows=few)
            found["measured shift"] = auc(seen, shift.correct(theirs))
    return found


def _quick_auc(stages: Stages, mocks: Rows, sky: Rows, seed: int) -> float:
    """Return the area under the ROC of a small domain classifier."""
    options = stages.options.domain
    rounds, leaves = min(options.rounds, _GROUP_ROUNDS), min(options.leaves, _GROUP_LEAVES)
    small = override(options, folds=2, rounds=rounds, leaves=leaves)
    return fit_domain(mocks, sky, small, stages.options.boosting.backend, seed, stages.run.threads).auc


def _varies(X: np.ndarray) -> bool:
    return bool((np.nan_to_num(X, nan=-np.inf) != np.nan_to_num(X[:1], nan=-np.inf)).any())


def feature_facts(stages: Stages, seed: int) -> FeatureFacts:
    """Return which features tell mocks from sky, and which of them do not tell classes.

    A feature "tells domains apart and not classes" if its own area under the ROC between the domains is at least
    0.55 (:data:`APART`) and larger than any that it has between a class and the rest: what it gives a model is then
    more of where a row comes from than of what it is.

    Parameters
    ----------
    stages : Stages
        Rows and options of the fit.
    seed : int
        Seed of the samples.

    Returns
    -------
    FeatureFacts
    """
    rows = stages.rows
    assert rows.source_train is not None
    rng = np.random.default_rng(np.random.SeedSequence([seed, 67]))
    mocks, sky = _sample([rows.source_train], _FEATURE_ROWS, rng), _sample(stages.skies, _FEATURE_ROWS, rng)
    labels, known = "mocks", mocks
    if rows.target_train:
        labels, known = "sky", _sample([rows.target_train], _FEATURE_ROWS, rng)
    ranked: list[GroupedSeparation] = [
        {**one, "group": rows.recipe.groups[one["feature"]]}
        for one in separation_by_feature(mocks, sky, known, rows.recipe.names)
    ]
    # A class that cannot be told for want of labels is NaN: then nothing is said against the feature.
    only = [one for one in ranked if one["domain"] >= APART and one["domain"] > one["classes"]]
    return {"labels": labels, "top": ranked[:_TOP], "domain_only": only}


def _lines(facts: DomainReport) -> list[str]:
    """Return the domain report in two lines."""
    words = f"mocks against sky: domain AUC {facts['auc']:.3f}"
    if steps := facts.get("steps"):
        words += f" (on a sample {', then '.join(f'{auc:.2f} {name}' for name, auc in steps.items())})"
    for gamma, one in facts["weights"].items():
        words += f"; weights of gamma {gamma} leave an effective {100 * one['effective_share']:.0f} % of the mocks"
    only = facts["features"]["domain_only"] if "features" in facts else []
    if only:
        told = count(len(only), "feature tells", "features tell")
        words += f"; {told} domains apart and not classes, most {only[0]['feature']}"
    strata = facts["coverage"]["strata"] if "coverage" in facts else []
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
