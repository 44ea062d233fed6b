"""Ways: the manners of using mocks and target labels that a fit may choose among.

A way is a class in one file: its name, its options, its candidates and how they train. An instance is a candidate, the
way with its values. :func:`register_way` makes it one that ``fit`` tries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Self, TypeVar

import numpy as np

from ..boosting.booster import StagedBooster
from ..boosting.ensemble import Member, stack_inputs
from ..config import Options, parse_options
from ..errors import ConfigError, did_you_mean
from ..options import FitOptions
from ..scores.losses import softmax
from .stages import Stages, Training


class Way(ABC):
    """A manner of adapting; an instance is a candidate.

    Attributes
    ----------
    way : str
        Its name.
    recipes : tuple of str
        The values of the option ``recipe`` under which it is tried: ``auto`` tries all that name it.
    Own : type of Options
        Options of its own, given as ``ways: {name: {option: value}}``.
    """

    way: ClassVar[str]
    recipes: ClassVar[tuple[str, ...]] = ("auto",)
    Own: ClassVar[type[Options]] = Options

    @classmethod
    def candidates(cls, options: FitOptions, gammas: tuple[float, ...]) -> Sequence[Self]:
        """Return what a fit tries of this way; by default nothing.

        Parameters
        ----------
        options : FitOptions
            Of the fit.
        gammas : tuple of float
            Usable tempers of the importance weights of mocks.

        Returns
        -------
        sequence of Way
        """
        return ()

    @abstractmethod
    def members(self, stages: Stages) -> list[Member]:
        """Return the models of this candidate, trained now if they were not before.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        list of Member
        """

    @classmethod
    def own(cls, options: FitOptions) -> Options:
        """Return the way's own options out of those of a fit.

        Raises
        ------
        ConfigError
            If one is unknown or wrong.
        """
        return parse_options(cls.Own, dict(options.ways.get(cls.way, {})), f"ways.{cls.way}")

    @property
    def name(self) -> str:
        """What it is, in a few characters: ``continue(gamma=0.25)``."""
        values = [(one.name, getattr(self, one.name)) for one in fields(self)]  # type: ignore[arg-type]
        words = (f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values)
        return f"{self.way}({', '.join(words)})" if values else self.way

    def plain(self, booster: StagedBooster) -> list[Member]:
        """Return the one member of a way that is a single booster over the features."""
        return [Member("plain", booster, None, self.name)]


_WAYS: dict[str, type[Way]] = {}
W = TypeVar("W", bound=type[Way])


def register_way(way: W) -> W:
    """Add a way to those that ``fit`` tries, in place of another of its name; usable as a decorator.

    Parameters
    ----------
    way : type of Way

    Returns
    -------
    type of Way
        The same.
    """
    _WAYS[way.way] = way
    return way


def recipes() -> list[str]:
    """Return the values that the option ``recipe`` may have.

    Returns
    -------
    list of str
    """
    return list(dict.fromkeys(recipe for way in _WAYS.values() for recipe in way.recipes))


def check_ways(options: FitOptions) -> None:
    """Refuse a recipe or a way that nobody registered.

    Parameters
    ----------
    options : FitOptions

    Raises
    ------
    ConfigError
        With the nearest known name; or if an option of a way is unknown or wrong.
    """
    for what, names, known in (("recipe", [options.recipe], recipes()), ("ways", options.ways, list(_WAYS))):
        for name in names:
            if name not in known:
                raise ConfigError(
                    f"option '{what}' has the unknown value '{name}'.{did_you_mean(name, known)} "
                    f"Allowed: {', '.join(known)}."
                )
    for name in options.ways:
        _WAYS[name].own(options)


def singles(options: FitOptions, gammas: tuple[float, ...]) -> list[Way]:
    """Return the adapting candidates that are no means, for the recipe of the options.

    Parameters
    ----------
    options : FitOptions
    gammas : tuple of float
        Usable tempers of the importance weights of mocks.

    Returns
    -------
    list of Way
        In the order of registration.
    """
    return [one for way in _WAYS.values() if options.recipe in way.recipes for one in way.candidates(options, gammas)]


@dataclass(frozen=True)
class Mocks(Way):
    """Trees of mocks alone, weighted by domain odds to the power `gamma`, stopped on mock validation: a baseline."""

    way = "mocks"
    gamma: float = 0.0

    @property
    def name(self) -> str:
        """``mocks``, with the temper where there is one."""
        return super().name if self.gamma else self.way

    def booster(self, stages: Stages) -> StagedBooster:
        """Return the trees."""
        options, rows = stages.options.boosting, stages.part("source_train")

        def training() -> Training:
            bins = stages.bins(options, "source_train")
            weight = stages.class_weights(rows.y, options)
            if self.gamma:
                weight = weight * stages.domain.weights(self.gamma)
            name = f"trees: mocks, {stages.library}, gamma {self.gamma:g}"
            return Training(name, bins, rows.y, weight, options, valid="source_val")

        return stages.train((self.way, self.gamma, options), training)

    def members(self, stages: Stages) -> list[Member]:
        """Return the one booster."""
        return self.plain(self.booster(stages))


@dataclass(frozen=True)
class Target(Way):
    """Trees of labelled target rows alone: a baseline."""

    way = "target"

    def members(self, stages: Stages) -> list[Member]:
        """Return the one booster."""
        options, rows = stages.options.continuation, stages.part("target_train")

        def training() -> Training:
            bins, weight = stages.bins(options, "target_train"), stages.class_weights(rows.y, options)
            return Training(f"trees: target, {stages.library}", bins, rows.y, weight, options)

        return self.plain(stages.train((self.way, options), training))


@register_way
@dataclass(frozen=True)
class Continue(Way):
    """Mock-grown trees, and the trees that boosting on target rows adds to them."""

    way = "continue"
    recipes = ("auto", "continue", "mean")
    gamma: float = 0.0

    @classmethod
    def candidates(cls, options: FitOptions, gammas: tuple[float, ...]) -> list[Self]:
        """Return one for each temper."""
        return [cls(gamma) for gamma in gammas]

    def members(self, stages: Stages) -> list[Member]:
        """Return the one booster, of two stages."""
        options, rows = stages.options.continuation, stages.part("target_train")

        def training() -> Training:
            base = Mocks(self.gamma).booster(stages)
            name = f"continued on target, {stages.library}, gamma {self.gamma:g}"
            return Training(name, rows.X, rows.y, stages.class_weights(rows.y, options), options, start=base)

        key = (self.way, self.gamma, stages.options.boosting, options)
        return self.plain(stages.train(key, training))


@register_way
@dataclass(frozen=True)
class Stack(Way):
    """Target-grown trees that see the features and the margins of the mock-grown trees."""

    way = "stack"
    recipes = ("auto", "stack", "mean")
    gamma: float = 0.0

    @classmethod
    def candidates(cls, options: FitOptions, gammas: tuple[float, ...]) -> list[Self]:
        """Return one, on mocks without weights."""
        return [cls()]

    def members(self, stages: Stages) -> list[Member]:
        """Return the one stack."""
        options, rows = stages.options.continuation, stages.part("target_train")
        base = Mocks(self.gamma).booster(stages)

        def inputs(X: np.ndarray) -> np.ndarray:
            return stack_inputs(X, base, stages.run.threads)

        def training() -> Training:
            return Training(
                f"stacked on target, {stages.library}, gamma {self.gamma:g}",
                inputs(rows.X),
                rows.y,
                stages.class_weights(rows.y, options),
                options,
                inputs=inputs,
                feature_names=stacked_names(stages.rows.recipe.names, stages.rows.classes),
            )

        key = (self.way, self.gamma, stages.options.boosting, options)
        return [Member("stack", stages.train(key, training), base, self.name)]


def stacked_names(names: tuple[str, ...], classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the feature names of a stacked booster: the recipe's, then one margin per class."""
    return (*names, *(f"mock_margin:{c}" for c in classes))


@register_way
@dataclass(frozen=True)
class Pool(Way):
    """Trees of mocks and target rows together, a target row weighing `weight` mocks."""

    way = "pool"
    recipes = ("auto", "pool")
    weight: float = 1.0

    @classmethod
    def candidates(cls, options: FitOptions, gammas: tuple[float, ...]) -> list[Self]:
        """Return one for each weight of a target row."""
        return [cls(weight) for weight in options.target_weight]

    def booster(self, stages: Stages) -> StagedBooster:
        """Return the trees."""
        options = stages.options.boosting
        mocks, sky = stages.part("source_train"), stages.part("target_train")

        def training() -> Training:
            y = np.concatenate([mocks.y, sky.y])
            weight = stages.class_weights(y, options) * np.repeat([1.0, self.weight], [len(mocks), len(sky)])
            bins = stages.bins(options, "source_train", "target_train")
            name = f"trees: pooled, {stages.library}, target weight {self.weight:g}"
            return Training(name, bins, y, weight / weight.mean(), options)

        return stages.train((self.way, self.weight, options), training)

    def members(self, stages: Stages) -> list[Member]:
        """Return the one booster."""
        return self.plain(self.booster(stages))


@register_way
@dataclass(frozen=True)
class Pseudo(Way):
    """Pooled trees that also see unlabelled rows of which pooled trees without them are sure."""

    way = "pseudo"
    recipes = ("auto", "pool")
    weight: float = 1.0

    @classmethod
    def candidates(cls, options: FitOptions, gammas: tuple[float, ...]) -> list[Self]:
        """Return one for each weight of a target row, where pseudo-labels have a weight."""
        return [cls(weight) for weight in options.target_weight] if options.pseudo_weight > 0 else []

    def members(self, stages: Stages) -> list[Member]:
        """Return the one booster."""
        options, given = stages.options.boosting, stages.options
        mocks, sky, unlabelled = (stages.part(name) for name in ("source_train", "target_train", "unlabelled"))

        def training() -> Training:
            p = softmax(Pool(self.weight).booster(stages).margins(unlabelled.X, threads=stages.run.threads))
            sure = p.max(axis=1) >= given.pseudo_confidence
            count = int(sure.sum())
            X = np.concatenate([mocks.X, sky.X, unlabelled.X[sure]])
            y = np.concatenate([mocks.y, sky.y, p[sure].argmax(axis=1).astype(np.int8)])
            share = np.repeat([1.0, self.weight, given.pseudo_weight], [len(mocks), len(sky), count])
            weight = stages.class_weights(y, options) * share
            name = f"trees: pooled with {count} pseudo-labels, {stages.library}"
            return Training(name, stages.bare_bins(X, options), y, weight / weight.mean(), options)

        key = (self.way, self.weight, given.pseudo_weight, given.pseudo_confidence, options)
        return self.plain(stages.train(key, training))


@dataclass(frozen=True)
class Mean(Way):
    """The mean of the margins of other candidates, made of those that were scored (:func:`~.choosing.means`)."""

    way = "mean"
    parts: tuple[Way, ...] = ()

    @property
    def name(self) -> str:
        """The names of the parts: ``mean[continue(gamma=0) + pool(weight=3)]``."""
        return f"mean[{' + '.join(part.name for part in self.parts)}]"

    def members(self, stages: Stages) -> list[Member]:
        """Return the members of all parts."""
        return [member for part in self.parts for member in part.members(stages)]


def ensemble(candidate: Way, stages: Stages) -> list[Member]:
    """Return the members of a candidate for every seed and library of the ensemble.

    Parameters
    ----------
    candidate : Way
    stages : Stages
        Rows, options and finished trainings.

    Returns
    -------
    list of Member
        By library, then seed.
    """
    options, seed = stages.options, stages.run.tree_seed
    backends = options.backends or (options.boosting.backend,)
    each = [stages.member(seed + 7919 * i, backend) for backend in backends for i in range(options.seeds)]
    return [member for one in each for member in candidate.members(one)]
