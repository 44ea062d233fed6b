"""The ways that ship: mocks, self-trained, target alone, continued, stacked, pooled, pooled with pseudo-labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ..boosting.booster import Member, StagedBooster, stack_inputs
from ..options import FitOptions
from ..scores.losses import softmax
from .stages import Stages, Training
from .ways import OneBooster, Way, doubts_templates, register_way


@dataclass(frozen=True)
class Mocks(OneBooster):
    """Trees of mocks alone, weighted by domain odds to the power `gamma`, stopped on mock validation: a baseline.

    With `plain_trees` they see no template feature: they err elsewhere, where templates and sky differ.

    Parameters
    ----------
    gamma : float
        Temper of the weights; 0 weighs all mocks alike.
    plain_trees : bool
        Whether template features are left out.
    """

    way = "mocks"
    gamma: float = 0.0
    plain_trees: bool = False

    @property
    def name(self) -> str:
        """``mocks``, with the temper where there is one."""
        words = [f"gamma={self.gamma:g}"] if self.gamma else []
        words += ["no templates"] if self.plain_trees else []
        return f"{self.way}({', '.join(words)})" if words else self.way

    def booster(self, stages: Stages) -> StagedBooster:
        """Return the trees.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        StagedBooster
        """
        options, rows = stages.options.boosting, stages.part("source_train")

        def training() -> Training:
            weight = stages.class_weights(rows.y, options)
            if self.gamma:
                weight = weight * stages.weigher.weights(self.gamma)
            name = f"trees: mocks, {stages.library}, gamma {self.gamma:g}"
            if not self.plain_trees:
                return Training(name, stages.bins(options, "source_train"), rows.y, weight, options, valid="source_val")
            blind = stages.without_templates
            bins = stages.bare_bins(blind(rows.X), options)
            return Training(f"{name}, no templates", bins, rows.y, weight, options, valid="source_val", inputs=blind)

        key = (self.way, self.gamma, options, *(["no templates"] if self.plain_trees else []))
        return stages.train(key, training)


def _sure_rows(stages: Stages, trees: StagedBooster) -> tuple[np.ndarray, np.ndarray]:
    """Return which unlabelled rows trees are sure of, bool (n,), and the classes that they give to those, int8."""
    p = softmax(trees.margins(stages.part("unlabelled").X, threads=stages.run.threads))
    sure = p.max(axis=1) >= stages.options.pseudo_confidence
    return sure, p[sure].argmax(axis=1).astype(np.int8)


_TURNS, _SKY_WEIGHT = 3, 3.0


@dataclass(frozen=True)
class SelfTrained(Way):
    """Trees of mocks and of unlabelled rows that such trees are sure of, in three turns; labels of the sky may join.

    Parameters
    ----------
    gamma : float
        Temper of the weights of the mocks.
    weight : float
        Weight of a labelled row of the sky, in mocks; 0 reads no label of the sky.
    """

    way = "self-trained"
    gamma: float = 0.0
    weight: float = 0.0

    @property
    def name(self) -> str:
        """``self-trained``, with the temper, and the weight of labelled rows where there is one."""
        return f"{self.way}(gamma={self.gamma:g}{f', weight={self.weight:g}' if self.weight else ''})"

    def members(self, stages: Stages) -> list[Member]:
        """Return the one booster.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        list of Member
        """
        first = Joined(self.weight, self.gamma) if self.weight else Mocks(self.gamma)
        trees = first.booster(stages)
        for turn in range(_TURNS):
            trees = self._turn(stages, trees, turn)
        return self.plain(trees)

    def _turn(self, stages: Stages, before: StagedBooster, turn: int) -> StagedBooster:
        options, sure = stages.options.boosting, stages.options.pseudo_confidence
        mocks, sky = stages.part("source_train"), stages.part("unlabelled")
        told = [stages.part("target_train")] if self.weight else []

        def training() -> Training:
            taken, theirs = _sure_rows(stages, before)
            y = np.concatenate([mocks.y, theirs, *(rows.y for rows in told)])
            own = stages.weigher.weights(self.gamma) if self.gamma else np.ones(len(mocks))
            of_sky = [np.full(len(theirs), _SKY_WEIGHT), *(np.full(len(rows), self.weight) for rows in told)]
            weight = stages.class_weights(y, options) * np.concatenate([own, *of_sky])
            X = stages.bare_bins(np.concatenate([mocks.X, sky.X[taken], *(rows.X for rows in told)]), options)
            named = f"mocks, {sum(map(len, told))} labels" if told else "mocks"
            name = f"trees: {named} and {len(theirs)} sure rows of the sky, {stages.library}"
            return Training(name, X, y, weight / weight.mean(), options, valid="source_val")

        return stages.train((self.way, self.gamma, self.weight, turn, sure, options), training)


@dataclass(frozen=True)
class Target(Way):
    """Trees of labelled target rows alone: a baseline."""

    way = "target"
    anchored = False  # mocks say nothing of trees that never saw one

    def members(self, stages: Stages) -> list[Member]:
        """Return the one booster.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        list of Member
        """
        options, rows = stages.options.continuation, stages.part("target_train")

        def training() -> Training:
            bins, weight = stages.bins(options, "target_train"), stages.class_weights(rows.y, options)
            return Training(f"trees: target, {stages.library}", bins, rows.y, weight, options)

        return self.plain(stages.train((self.way, options), training))


@register_way
@dataclass(frozen=True)
class Continue(Way):
    """Mock-grown trees, and the trees that boosting on target rows adds to them.

    Where templates are in doubt on the sky, the same without templates stands beside them.

    Parameters
    ----------
    gamma : float
        Temper of the weights of the mocks.
    """

    way = "continue"
    recipes = ("auto", "continue", "mean")
    gamma: float = 0.0

    @classmethod
    def candidates(cls, options: FitOptions, gammas: tuple[float, ...]) -> list[Self]:
        """Return one for each temper.

        Parameters
        ----------
        options : FitOptions
            Options of the fit.
        gammas : tuple of float
            Usable tempers of the importance weights of mocks.

        Returns
        -------
        list of Way
        """
        return [cls(gamma) for gamma in gammas]

    def members(self, stages: Stages) -> list[Member]:
        """Return the one booster, of two stages.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        list of Member
        """
        kinds = (False, True) if doubts_templates(stages) else (False,)
        return [member for plain in kinds for member in self.plain(self._grown(stages, plain))]

    def _grown(self, stages: Stages, plain_trees: bool) -> StagedBooster:
        options, rows = stages.options.continuation, stages.part("target_train")
        inputs = stages.without_templates if plain_trees else None

        def training() -> Training:
            base = Mocks(self.gamma, plain_trees).booster(stages)
            name = f"continued on target, {stages.library}, gamma {self.gamma:g}"
            name += ", no templates" if plain_trees else ""
            X, weight = rows.X if inputs is None else inputs(rows.X), stages.class_weights(rows.y, options)
            return Training(name, X, rows.y, weight, options, start=base, inputs=inputs)

        key = (self.way, self.gamma, stages.options.boosting, options, *(["no templates"] if plain_trees else []))
        return stages.train(key, training)


@register_way
@dataclass(frozen=True)
class Stack(Way):
    """Target-grown trees that see the features and the margins of the mock-grown trees.

    Parameters
    ----------
    gamma : float
        Temper of the weights of the mocks.
    """

    way = "stack"
    recipes = ("auto", "stack", "mean")
    anchored = False  # it makes other use of a mock's margins than of the sky's
    gamma: float = 0.0

    @classmethod
    def candidates(cls, options: FitOptions, gammas: tuple[float, ...]) -> list[Self]:
        """Return one, on mocks without weights.

        Parameters
        ----------
        options : FitOptions
            Options of the fit.
        gammas : tuple of float
            Usable tempers of the importance weights of mocks.

        Returns
        -------
        list of Way
        """
        return [cls()]

    def members(self, stages: Stages) -> list[Member]:
        """Return the one stack.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        list of Member
        """
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
    """Return the feature names of a stacked booster: the recipe's, then one margin per class.

    Parameters
    ----------
    names : tuple of str
        Names of the recipe's features.
    classes : tuple of str
        Names of the classes.

    Returns
    -------
    tuple of str
    """
    return (*names, *(f"mock_margin:{c}" for c in classes))


@register_way
@dataclass(frozen=True)
class Pool(OneBooster):
    """Trees of mocks and target rows together, a target row weighing `weight` mocks.

    Parameters
    ----------
    weight : float
        Weight of a target row, in mocks.
    """

    way = "pool"
    recipes = ("auto", "pool")
    weight: float = 1.0

    @classmethod
    def candidates(cls, options: FitOptions, gammas: tuple[float, ...]) -> list[Self]:
        """Return one for each weight of a target row.

        Parameters
        ----------
        options : FitOptions
            Options of the fit.
        gammas : tuple of float
            Usable tempers of the importance weights of mocks.

        Returns
        -------
        list of Way
        """
        return [cls(weight) for weight in options.target_weight]

    def booster(self, stages: Stages) -> StagedBooster:
        """Return the trees.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        StagedBooster
        """
        return self._grown(stages, 0.0, "target_val")

    def _grown(self, stages: Stages, gamma: float, valid: str) -> StagedBooster:
        options = stages.options.boosting
        mocks, sky = stages.part("source_train"), stages.part("target_train")

        def training() -> Training:
            y = np.concatenate([mocks.y, sky.y])
            own = stages.weigher.weights(gamma) if gamma else np.ones(len(mocks))
            weight = stages.class_weights(y, options) * np.concatenate([own, np.full(len(sky), self.weight)])
            bins = stages.bins(options, "source_train", "target_train")
            name = f"trees: pooled, {stages.library}, target weight {self.weight:g}"
            return Training(name, bins, y, weight / weight.mean(), options, valid)

        return stages.train((self.way, self.weight, gamma, options), training)


@dataclass(frozen=True)
class Joined(Pool):
    """Mocks, weighed by domain odds to the power `gamma`, that few labels join: mocks alone say when trees are enough.

    Parameters
    ----------
    weight : float
        Weight of a target row, in mocks.
    gamma : float
        Temper of the weights of the mocks.
    """

    way = "joined"
    gamma: float = 0.0

    def booster(self, stages: Stages) -> StagedBooster:
        """Return the trees.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        StagedBooster
        """
        return self._grown(stages, self.gamma, "source_val")


@register_way
@dataclass(frozen=True)
class Pseudo(Way):
    """Pooled trees that also see unlabelled rows of which pooled trees without them are sure.

    Parameters
    ----------
    weight : float
        Weight of a target row, in mocks.
    """

    way = "pseudo"
    recipes = ("auto", "pool")
    weight: float = 1.0

    @classmethod
    def candidates(cls, options: FitOptions, gammas: tuple[float, ...]) -> list[Self]:
        """Return one for each weight of a target row, where pseudo-labels have a weight.

        Parameters
        ----------
        options : FitOptions
            Options of the fit.
        gammas : tuple of float
            Usable tempers of the importance weights of mocks.

        Returns
        -------
        list of Way
        """
        return [cls(weight) for weight in options.target_weight] if options.pseudo_weight > 0 else []

    def members(self, stages: Stages) -> list[Member]:
        """Return the one booster.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        list of Member
        """
        options, given = stages.options.boosting, stages.options
        mocks, sky, unlabelled = (stages.part(name) for name in ("source_train", "target_train", "unlabelled"))

        def training() -> Training:
            sure, theirs = _sure_rows(stages, Pool(self.weight).booster(stages))
            count = len(theirs)
            X = np.concatenate([mocks.X, sky.X, unlabelled.X[sure]])
            y = np.concatenate([mocks.y, sky.y, theirs])
            share = np.repeat([1.0, self.weight, given.pseudo_weight], [len(mocks), len(sky), count])
            weight = stages.class_weights(y, options) * share
            name = f"trees: pooled with {count} pseudo-labels, {stages.library}"
            return Training(name, stages.bare_bins(X, options), y, weight / weight.mean(), options)

        key = (self.way, self.weight, given.pseudo_weight, given.pseudo_confidence, options)
        return self.plain(stages.train(key, training))
