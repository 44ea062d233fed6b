"""Objective: what options are worth on labelled target rows of train and validation, never of test."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...config import BoostingOptions, FitOptions, override
from ...errors import ConfigError, FitError, did_you_mean
from ...scores.bootstrap import replicate
from ...scores.metrics import Scorer
from ...survey.dataset import Dataset
from ..candidates import means, singles
from ..checks import usable_gammas
from ..choosing import quick_calibration, settle
from ..journal import Journal, Progress
from ..judges import Judges, label_folds
from ..regimes import get_regime
from ..stages import Stages
from ..streams import Streams
from ..validation import Scored, counted_rows, mean_margins, score
from .cache import RowsCache
from .options import Metric, ObjectiveOptions, Rung
from .space import Space

RESAMPLES = 400


@dataclass(frozen=True, eq=False)
class Answers:
    """What one training said about the rows that judge it.

    Parameters
    ----------
    candidate : str
        The way that was best.
    y : array of int8, shape (n,)
    p : array of float64, shape (n, k)
        Calibrated by cross-fitting.
    groups : array of int64, shape (n,)
        Object of each row.
    """

    candidate: str
    y: np.ndarray
    p: np.ndarray
    groups: np.ndarray

    def scorer(self, classes: Sequence[str]) -> Scorer:
        """Return the answers ready to be scored."""
        return Scorer.of(self.y, self.p, classes)


@dataclass(frozen=True)
class Measure:
    """The figures of a study, as numbers to be made small.

    Parameters
    ----------
    options : ObjectiveOptions
        Which.
    classes : tuple of str
        Names of the classes.
    """

    options: ObjectiveOptions
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.options.of_class not in self.classes:
            near = did_you_mean(self.options.of_class, self.classes)
            raise ConfigError(
                f"objective: of_class '{self.options.of_class}' is no class of this data set.{near} "
                f"Allowed: {', '.join(self.classes)}."
            )
        if self.options.also == self.options.metric:
            raise ConfigError(
                f"objective: 'also' is '{self.options.also}', which is the first figure already. Name another, or none."
            )
        if "mix" in self.metrics and not any(self.options.mix.model_dump().values()):
            raise ConfigError("objective: every weight of the mix is 0. Give one a weight.")

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The figures: one, or two for a Pareto front."""
        return (self.options.metric,) if self.options.also is None else (self.options.metric, self.options.also)

    def figures(self, named: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return log loss, macro-F1 and average precision from a scorer's figures."""
        return {
            "log_loss": named["log_loss"],
            "macro_f1": named["macro.f1"],
            "average_precision": named[f"per_class.{self.options.of_class}.average_precision"],
        }

    def losses(self, figures: Mapping[str, Any]) -> list[Any]:
        """Return what is to be made small, one value (or array of draws) for each figure of the study."""
        small = {
            "log_loss": figures["log_loss"],
            "macro_f1": 1 - figures["macro_f1"],
            "average_precision": 1 - figures["average_precision"],
        }
        weights = self.options.mix.model_dump()
        mixed = sum(weights[name] * small[name] for name in small)
        return [mixed if metric == "mix" else small[metric] for metric in self.metrics]

    def score(self, answers: Answers) -> dict[str, float]:
        """Return the figures of some answers."""
        named = answers.scorer(self.classes).figures(np.ones((len(answers.y), 1)))
        return {name: float(value[0]) for name, value in self.figures(named).items()}

    def interval(self, answers: Answers, seed: int, other: Answers | None = None) -> tuple[float, float]:
        """Return the 95 % bootstrap interval over objects of the first loss, or of its difference to another's."""
        scorers = [one.scorer(self.classes) for one in (answers, other) if one is not None]
        draws = replicate(scorers, answers.groups, RESAMPLES, seed).draws
        losses = self.losses(self.figures(draws))[0]
        values = losses[0] if other is None else losses[0] - losses[1]
        low, high = np.nanquantile(values, [0.025, 0.975])
        return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Judged:
    """What options were worth on one fold."""

    answers: Answers
    figures: dict[str, float]
    notes: tuple[str, ...]
    seconds: float


def coarse(options: FitOptions, coarseness: float) -> FitOptions:
    """Return options whose boosting takes fewer, larger steps."""
    if coarseness == 1:
        return options

    def fewer(growth: BoostingOptions) -> dict[str, Any]:
        shorter = {
            "learning_rate": min(1.0, growth.learning_rate * coarseness),
            "rounds": max(1, round(growth.rounds / coarseness)),
            "patience": max(min(growth.patience, 5), round(growth.patience / coarseness)),
        }
        return growth.model_dump() | shorter

    return override(options, boosting=fewer(options.boosting), continuation=fewer(options.continuation))


def folds_of(dataset: Dataset, options: ObjectiveOptions, seed: int) -> list[Dataset]:
    """Return the data sets to judge on: the given splits, or each fold of train and validation as validation.

    Raises
    ------
    FitError
        If there are not enough labelled objects to deal.
    """
    if options.judge == "val":
        return [dataset]
    return label_folds(dataset, options.folds, seed)


@dataclass
class Objective:
    """Judges options on one data set with one seed; trials share features, bins and boosters.

    Parameters
    ----------
    dataset : Dataset
        Test labels are masked before anything else is done.
    space : Space
        What trials may vary.
    options : ObjectiveOptions
        What is measured, and where.
    seed : int
        Seed of the trainings: ``fit`` with this seed trains the same trees.
    threads : int
    progress : callable, optional
        Called every round; what it raises ends the training.
    """

    dataset: Dataset
    space: Space
    options: ObjectiveOptions
    seed: int
    threads: int = 1
    progress: Progress | None = None

    def __post_init__(self) -> None:
        regime = get_regime(self.space.base.regime)
        if regime.calibration != "target":
            raise ConfigError(
                f"regime '{regime.name}' may not touch target labels, so nothing may be tuned on them. "
                "Allowed: mocks-calibrated, target-only, ssda."
            )
        self.dataset = self.dataset.for_training()
        objects = len(np.unique(self.dataset.target_rows("train", "val").object_id))
        if self.folds > max(objects, 1):
            raise ConfigError(
                f"objective: {self.folds} folds are more than the {objects} labelled objects of train and validation "
                "to deal to them. Ask for fewer folds."
            )
        self.streams = Streams(self.seed)
        self.measure = Measure(self.options, tuple(self.dataset.scheme.classes))

    @cached_property
    def caches(self) -> list[RowsCache]:
        """The rows of each fold."""
        # The deal is the study's, not the training's: fresh seeds are judged on the same rows.
        folds = folds_of(self.dataset, self.options, seed=0)
        return [RowsCache(fold, self.space, self.streams, self.threads) for fold in folds]

    @property
    def folds(self) -> int:
        """Number of folds."""
        return self.options.folds if self.options.judge == "folds" else 1

    def judge(self, options: FitOptions, rung: Rung, fold: int) -> Judged:
        """Train the candidates of some options and judge the best.

        Parameters
        ----------
        options : FitOptions
            What to train; its recipe says which candidates.
        rung : Rung
            How many mocks, how coarse.
        fold : int
            Which fold judges.

        Raises
        ------
        FitError
            If the regime has nothing to train or to judge on.
        """
        began = time.perf_counter()
        journal = Journal(self.progress)
        rows, kept = self.caches[fold].rows(options, rung.mocks, journal)
        gammas = options.domain.gammas
        recipe = rung.recipe if options.recipe == "auto" else None
        # The domain classifier is kept under its options: tempers are no part of it.
        shared = override(
            coarse(options, rung.coarseness), recipe=recipe, domain=options.domain.model_dump() | {"gammas": (0.0,)}
        )
        stages = Stages(rows, shared, self.streams.trees, self.threads, journal, kept)
        best = min(self._scored(stages, gammas), key=lambda one: one.log_loss)
        val = rows.target_val
        if val is None:
            raise FitError("there are no validation rows to judge on.")
        counted = counted_rows(val, options.cut)
        answers = Answers(best.label, val.y[counted], best.p[counted], val.groups[counted])
        figures = self.measure.score(answers)
        return Judged(answers, figures, tuple(journal.notes), time.perf_counter() - began)

    def _scored(self, stages: Stages, gammas: tuple[float, ...]) -> list[Scored]:
        options, val = stages.options, stages.rows.target_val
        regime = get_regime(options.regime)
        assert val is not None
        counted = counted_rows(val, options.cut)
        calibration = quick_calibration(options.calibration)

        def scored(candidate: Any) -> Scored:
            margins = mean_margins(candidate.members(stages), val.X, self.threads)
            return score(candidate, margins, val, counted, calibration, self.streams.choices)

        if not (regime.source and regime.target_labels):
            return [scored(settle(regime, Judges((stages,))).candidate)]
        tried = [scored(one) for one in singles(options, usable_gammas(stages, gammas))]
        if options.recipe in ("auto", "mean"):
            mixed = [scored(one) for one in means([(one.log_loss, one.candidate) for one in tried])]
            return mixed if options.recipe == "mean" and mixed else tried + mixed
        return tried

    def whole(self, options: FitOptions, tell: Callable[[int], None] | None = None) -> tuple[dict[str, float], Answers]:
        """Return the mean figures over the folds with all the work, and the answers of all folds together."""
        judged = []
        for fold in range(self.folds):
            if tell is not None:
                tell(fold)
            judged.append(self.judge(options, Rung(), fold))
        return mean_figures(judged), joined(judged)


def mean_figures(judged: Sequence[Judged]) -> dict[str, float]:
    """Return the mean over folds of each figure."""
    return {name: float(np.mean([one.figures[name] for one in judged])) for name in judged[0].figures}


def joined(judged: Sequence[Judged]) -> Answers:
    """Return the answers of all folds together."""
    parts = [one.answers for one in judged]
    names = list(dict.fromkeys(part.candidate for part in parts))
    return Answers(
        " / ".join(names),
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.p for part in parts]),
        np.concatenate([part.groups for part in parts]),
    )
