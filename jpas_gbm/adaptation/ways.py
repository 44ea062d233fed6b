"""Candidates: the ways to use mocks and labels that a fit may choose among.

Stages: each training happens once, whoever asks for it, and the journal says what it cost.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ..boosting.booster import StagedBooster
from ..boosting.ensemble import Member, stack_inputs
from ..boosting.matrix import class_weights
from ..boosting.training import BinnedMatrix, OnRound, bin_features, train
from ..config import override
from ..errors import FitError
from ..options import BoostingOptions, FitOptions
from ..run import Journal
from ..scores.losses import softmax
from .rows import Rows, TrainingRows
from .weights import DomainWeights, fit_domain


@dataclass
class Stages:
    """The trainings of a fit, made when first asked for and kept.

    Parameters
    ----------
    rows : TrainingRows
        What may be trained on.
    options : FitOptions
        How.
    seed : int
        Seed of the trees; another member of the ensemble asks with another seed.
    threads : int
        Threads of the libraries.
    journal : Journal
        Gets an entry per training.
    kept : dict
        Finished trainings by what determines them; a tuning study shares one among its trials.
    rounds : dict
        Rounds of trainings that have no validation labels to stop on, by what determines them.
    """

    rows: TrainingRows
    options: FitOptions
    seed: int
    threads: int
    journal: Journal
    kept: dict[Hashable, Any] = field(default_factory=dict)
    rounds: Mapping[Hashable, int] = field(default_factory=dict)

    def stopped_rounds(self) -> dict[Hashable, int]:
        """Return the rounds of every training that stopped on target labels, by what determines it."""
        names = ("target", "continued", "pooled", "pseudo", "stacked")
        return {key: booster.stage_rounds[-1] for key, booster in self.kept.items() if key[0] in names}  # type: ignore[index]

    def _once(self, key: tuple[Hashable, ...], make: Callable[[], Any]) -> Any:
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def _part(self, name: str) -> Rows:
        part: Rows | None = getattr(self.rows, name)
        if part is None or not len(part):
            raise FitError(f"this regime has no rows of {name.replace('_', ', ')} to train or choose on.")
        return part

    @property
    def skies(self) -> list[Rows]:
        """The parts of the target that the domain classifier sees, in the order of its odds.

        Rows that do not train forget imaging as often as those that do: else that alone would tell mocks from sky.
        """
        others = (self.rows.unlabelled, self.rows.target_val)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, 59]))
        unlabelled, val = (None if part is None else self._forgetful(part, rng) for part in others)
        return [part for part in (unlabelled, self.rows.target_train, val) if part]

    def _forgetful(self, part: Rows, rng: np.random.Generator) -> Rows:
        share = self.options.sky.forget_imaging
        imaging = np.array(list(self.rows.recipe.groups.values())) == "imaging"
        if not imaging.any() or share == 0:
            return part
        X = part.X.copy()
        X[np.ix_(rng.random(len(X)) < share, imaging)] = np.nan
        return replace(part, X=X)

    @property
    def domain(self) -> DomainWeights:
        """The cross-fitted domain classifier between training mocks and target rows."""
        mocks = self._part("source_train")

        def make() -> DomainWeights:
            options, skies = self.options.domain, self.skies
            if not skies:
                raise FitError(
                    f"regime '{self.options.regime}' weights mocks toward the sky, and there are no target rows. "
                    "Prepare with a --target that has some, or fit mocks-only."
                )
            X = np.concatenate([part.X for part in skies])
            groups = np.concatenate([part.groups for part in skies])
            with self.journal.stage("domain classifier", rows=len(mocks) + len(X), folds=options.folds) as entry:
                found = fit_domain(
                    mocks.X,
                    X,
                    mocks.groups,
                    groups,
                    options,
                    self.options.boosting.backend,
                    self.seed,
                    self.threads,
                    X_other=None if self.rows.source_val is None else self.rows.source_val.X,
                )
                entry["auc"] = round(found.auc, 4)
            return found

        return self._once(("domain", self.options.domain, self.seed), make)

    def _bins(self, part: str, backend: str, options: BoostingOptions) -> BinnedMatrix:
        rows = self._part(part)

        def make() -> BinnedMatrix:
            with self.journal.stage(f"bins: {part.replace('_', ', ')}", rows=len(rows)):
                return bin_features(backend, rows.X, self.rows.recipe.names, options, threads=self.threads)

        return self._once(("bins", part, backend, options.max_bin), make)

    def _pooled_bins(self, backend: str, options: BoostingOptions) -> BinnedMatrix:
        mocks, sky = self._part("source_train"), self._part("target_train")

        def make() -> BinnedMatrix:
            X = np.concatenate([mocks.X, sky.X])
            with self.journal.stage("bins: mocks and target, train", rows=len(X)):
                return bin_features(backend, X, self.rows.recipe.names, options, threads=self.threads)

        return self._once(("bins", "pooled", backend, options.max_bin), make)

    def _stop(
        self,
        key: Hashable,
        part: str,
        options: BoostingOptions,
        inputs: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> tuple[BoostingOptions, tuple[np.ndarray, np.ndarray, np.ndarray] | None]:
        """Return how a training ends: on validation rows, or after the rounds that it is told."""
        if key in self.rounds:
            return override(options, rounds=self.rounds[key], patience=0), None
        rows = self._part(part)
        X = rows.X if inputs is None else inputs(rows.X)
        return options, (X, rows.y, class_weights(rows.y, self.rows.k, options.class_weight_power))

    def base(self, gamma: float = 0.0, seed: int | None = None, backend: str | None = None) -> StagedBooster:
        """Return trees grown on mocks weighted by domain odds^gamma, stopped on mock validation."""
        seed, backend = self._default(seed, backend)
        options = self.options.boosting
        rows = self._part("source_train")
        key = ("base", gamma, seed, backend, options)

        def make() -> StagedBooster:
            bins = self._bins("source_train", backend, options)
            weight = class_weights(rows.y, self.rows.k, options.class_weight_power)
            if gamma:
                weight = weight * self.domain.weights(gamma)
            name = f"mocks, {backend}, gamma {gamma:g}"
            return self._train(key, name, bins, rows.y, weight, "source_val", options, seed, backend)

        return self._once(key, make)

    def target(self, seed: int | None = None, backend: str | None = None) -> StagedBooster:
        """Return trees grown on labelled target rows alone, stopped on target validation."""
        seed, backend = self._default(seed, backend)
        options = self.options.continuation
        rows = self._part("target_train")
        key = ("target", seed, backend, options)

        def make() -> StagedBooster:
            bins = self._bins("target_train", backend, options)
            weight = class_weights(rows.y, self.rows.k, options.class_weight_power)
            return self._train(key, f"target, {backend}", bins, rows.y, weight, "target_val", options, seed, backend)

        return self._once(key, make)

    def continued(self, gamma: float = 0.0, seed: int | None = None, backend: str | None = None) -> StagedBooster:
        """Return mock-grown trees and the trees that boosting on target rows adds to them."""
        seed, backend = self._default(seed, backend)
        options = self.options.continuation
        rows = self._part("target_train")
        key = ("continued", gamma, seed, backend, self.options.boosting, options)

        def make() -> StagedBooster:
            base = self.base(gamma, seed, backend)
            weight = class_weights(rows.y, self.rows.k, options.class_weight_power)
            until, valid = self._stop(key, "target_val", options)
            name = f"continued on target, {backend}, gamma {gamma:g}"
            with self.journal.stage(name, rows=len(rows)) as entry:
                booster = train(
                    backend,
                    rows.X,
                    rows.y,
                    init=base,
                    options=until,
                    weight=weight,
                    valid=valid,
                    seed=seed,
                    threads=self.threads,
                    on_round=self._told(name, until),
                )
                entry["rounds"] = booster.stage_rounds[-1]
            return booster

        return self._once(key, make)

    def pooled(self, target_weight: float, seed: int | None = None, backend: str | None = None) -> StagedBooster:
        """Return trees grown on mocks and target rows together, the target rows weighing more."""
        seed, backend = self._default(seed, backend)
        options = self.options.boosting
        mocks, sky = self._part("source_train"), self._part("target_train")
        key = ("pooled", target_weight, seed, backend, options)

        def make() -> StagedBooster:
            y = np.concatenate([mocks.y, sky.y])
            weight = class_weights(y, self.rows.k, options.class_weight_power)
            weight = weight * np.repeat([1.0, target_weight], [len(mocks), len(sky)])
            bins = self._pooled_bins(backend, options)
            name = f"pooled, {backend}, target weight {target_weight:g}"
            return self._train(key, name, bins, y, weight / weight.mean(), "target_val", options, seed, backend)

        return self._once(key, make)

    def pseudo(self, target_weight: float, seed: int | None = None, backend: str | None = None) -> StagedBooster:
        """Return pooled trees that also see unlabelled rows which pooled trees without them are sure of."""
        seed, backend = self._default(seed, backend)
        options, k = self.options.boosting, self.rows.k
        mocks, sky, unlabelled = (self._part(name) for name in ("source_train", "target_train", "unlabelled"))
        chosen = (self.options.pseudo_weight, self.options.pseudo_confidence)
        key = ("pseudo", target_weight, chosen, seed, backend, options)

        def make() -> StagedBooster:
            p = softmax(self.pooled(target_weight, seed, backend).margins(unlabelled.X, threads=self.threads))
            sure = p.max(axis=1) >= self.options.pseudo_confidence
            X = np.concatenate([mocks.X, sky.X, unlabelled.X[sure]])
            y = np.concatenate([mocks.y, sky.y, p[sure].argmax(axis=1).astype(np.int8)])
            share = np.repeat([1.0, target_weight, self.options.pseudo_weight], [len(mocks), len(sky), int(sure.sum())])
            weight = class_weights(y, k, options.class_weight_power) * share
            bins = bin_features(backend, X, self.rows.recipe.names, options, threads=self.threads)
            name = f"pooled with {int(sure.sum())} pseudo-labels, {backend}"
            return self._train(key, name, bins, y, weight / weight.mean(), "target_val", options, seed, backend)

        return self._once(key, make)

    def stacked(self, gamma: float = 0.0, seed: int | None = None, backend: str | None = None) -> StagedBooster:
        """Return target-grown trees that see the features and the margins of the mock-grown trees."""
        seed, backend = self._default(seed, backend)
        options = self.options.continuation
        sky = self._part("target_train")
        key = ("stacked", gamma, seed, backend, self.options.boosting, options)

        def make() -> StagedBooster:
            base = self.base(gamma, seed, backend)
            names = stacked_names(self.rows.recipe.names, self.rows.classes)
            until, valid = self._stop(key, "target_val", options, lambda X: stack_inputs(X, base, self.threads))
            with self.journal.stage(f"stacked on target, {backend}, gamma {gamma:g}", rows=len(sky)) as entry:
                booster = train(
                    backend,
                    stack_inputs(sky.X, base, self.threads),
                    sky.y,
                    feature_names=names,
                    n_classes=self.rows.k,
                    options=until,
                    weight=class_weights(sky.y, self.rows.k, options.class_weight_power),
                    valid=valid,
                    seed=seed,
                    threads=self.threads,
                    on_round=self._told("stacked on target", until),
                )
                entry["rounds"] = sum(booster.stage_rounds)
            return booster

        return self._once(key, make)

    def _told(self, name: str, options: BoostingOptions) -> OnRound:
        """Return what reports each round; what the journal's progress raises ends the training."""
        return lambda done, _: self.journal.report(name, done, options.rounds)

    def _default(self, seed: int | None, backend: str | None) -> tuple[int, str]:
        return self.seed if seed is None else seed, backend or self.options.boosting.backend

    def _train(
        self,
        key: Hashable,
        name: str,
        bins: BinnedMatrix,
        y: np.ndarray,
        weight: np.ndarray,
        valid: str,
        options: BoostingOptions,
        seed: int,
        backend: str,
    ) -> StagedBooster:
        until, judged = self._stop(key, valid, options)
        with self.journal.stage(f"trees: {name}", rows=len(y)) as entry:
            booster = train(
                backend,
                bins,
                y,
                n_classes=self.rows.k,
                options=until,
                weight=weight,
                valid=judged,
                seed=seed,
                threads=self.threads,
                on_round=self._told(name, until),
            )
            entry["rounds"] = sum(booster.stage_rounds)
        return booster


def stacked_names(names: tuple[str, ...], classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the feature names of a stacked booster: the recipe's, then one margin per class."""
    return (*names, *(f"mock_margin:{c}" for c in classes))


Way = Literal["mocks", "target", "continue", "pool", "pseudo", "stack", "mean"]


@dataclass(frozen=True)
class Candidate:
    """One way to make a classifier out of the stages.

    Parameters
    ----------
    way : str
        ``mocks`` and ``target`` are the baselines, ``continue``, ``pool``, ``stack`` the ways to adapt,
        ``pseudo`` pools with pseudo-labels too, ``mean`` is the mean of the margins of `parts`.
    gamma : float
        Temper of the importance weights of the mocks.
    target_weight : float
        Weight of a target row when pooling.
    parts : tuple of Candidate
        What a mean is made of.
    """

    way: Way
    gamma: float = 0.0
    target_weight: float = 0.0
    parts: tuple[Candidate, ...] = ()

    @property
    def name(self) -> str:
        """What it is, in a few characters: ``continue(gamma=0.25)``."""
        if self.way == "mean":
            return "mean[" + " + ".join(part.name for part in self.parts) + "]"
        if self.way in ("pool", "pseudo"):
            return f"{self.way}(weight={self.target_weight:g})"
        if self.way in ("continue", "stack") or self.gamma:
            return f"{self.way}(gamma={self.gamma:g})"
        return self.way

    def members(self, stages: Stages, seed: int | None = None, backend: str | None = None) -> list[Member]:
        """Return the models of this way, trained now if they were not before."""
        if self.way == "mean":
            return [member for part in self.parts for member in part.members(stages, seed, backend)]
        if self.way == "stack":
            base = stages.base(self.gamma, seed, backend)
            return [Member("stack", stages.stacked(self.gamma, seed, backend), base, self.name)]
        if self.way == "mocks":
            booster = stages.base(self.gamma, seed, backend)
        elif self.way == "target":
            booster = stages.target(seed, backend)
        elif self.way == "continue":
            booster = stages.continued(self.gamma, seed, backend)
        elif self.way == "pseudo":
            booster = stages.pseudo(self.target_weight, seed, backend)
        else:
            booster = stages.pooled(self.target_weight, seed, backend)
        return [Member("plain", booster, None, self.name)]


def singles(options: FitOptions, gammas: tuple[float, ...]) -> list[Candidate]:
    """Return the adapting candidates that are no means, for the recipe of the options."""
    continued = [Candidate("continue", gamma=gamma) for gamma in gammas]
    stacked = [Candidate("stack", gamma=0.0)]
    pooled = [Candidate("pool", target_weight=weight) for weight in options.target_weight]
    if options.pseudo_weight > 0:
        pooled += [Candidate("pseudo", target_weight=weight) for weight in options.target_weight]
    by_recipe = {
        "continue": continued,
        "stack": stacked,
        "pool": pooled,
        "mean": continued + stacked,
        "auto": continued + stacked + pooled,
    }
    return by_recipe[options.recipe]


def means(scored: list[tuple[float, Candidate]]) -> list[Candidate]:
    """Return means of the best candidate of each way: the best two ways, and all of them.

    Parameters
    ----------
    scored : list of (float, Candidate)
        Validation loss of each single candidate.
    """
    best: dict[str, tuple[float, Candidate]] = {}
    for loss, candidate in scored:
        if candidate.way not in best or loss < best[candidate.way][0]:
            best[candidate.way] = (loss, candidate)
    ranked = [candidate for _, candidate in sorted(best.values(), key=lambda pair: pair[0])]
    return [Candidate("mean", parts=tuple(ranked[:n])) for n in sorted({2, len(ranked)}) if 2 <= n <= len(ranked)]


def usable_gammas(stages: Stages, gammas: tuple[float, ...]) -> tuple[float, ...]:
    """Return the tempers whose weights do not collapse, and note those given up.

    Parameters
    ----------
    stages : Stages
        Holds the domain classifier.
    gammas : tuple of float
        The tempers asked for; 0, no weights, is always usable.
    """
    if not any(gammas):
        return gammas
    domain = stages.domain
    if domain.auc > 0.999:
        stages.journal.note(
            f"mocks and target are separable (domain AUC {domain.auc:.4f}): weights would follow what gives "
            "the domains away, so look at the domain report before trusting them."
        )
    elif domain.auc < 0.52:
        stages.journal.note(f"mocks and target look alike (domain AUC {domain.auc:.3f}): weights change nothing.")
    least = stages.options.domain.min_effective_share
    kept = tuple(g for g in gammas if g == 0 or domain.effective_share(g) >= least)
    for gamma in sorted(set(gammas) - set(kept)):
        stages.journal.note(
            f"weights of gamma {gamma:g} leave an effective sample of {100 * domain.effective_share(gamma):.2f} % "
            f"(least allowed {100 * least:g} %): given up."
        )
    return kept or (0.0,)
