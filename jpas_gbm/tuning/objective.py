"""Objective: what options are worth on labelled target rows of train and validation, never of test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from ..adaptation.choosing import Prepared, choose
from ..adaptation.fit import score, train
from ..adaptation.folds import Folds, label_folds
from ..adaptation.rows import counted_rows, get_regime, regimes
from ..adaptation.stages import Stages
from ..boosting.matrix import quiet_fills
from ..config import override
from ..errors import ConfigError, did_you_mean
from ..options import FitOptions, Growth, Metric, ObjectiveOptions, Rung
from ..run import Run
from ..scores.bootstrap import replicate
from ..scores.metrics import Scorer
from ..surveys.dataset import Dataset
from .space import Space
from .trials import RowsCache

N = TypeVar("N", float, np.ndarray)


RESAMPLES = 400


@dataclass(frozen=True, eq=False)
class Answers:
    """What one training said about the rows that score it.

    Parameters
    ----------
    candidate : str
        The way that was best.
    y : array of int8, shape (n,)
        True classes.
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
        """Return the answers ready to be scored.

        Parameters
        ----------
        classes : sequence of str
            Names of the classes.

        Returns
        -------
        Scorer
        """
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
        """Return log loss, macro-F1 and average precision from a scorer's figures.

        Parameters
        ----------
        named : mapping of str to array
            Figures of a scorer by dotted name.

        Returns
        -------
        array
        """
        return {
            "log_loss": named["log_loss"],
            "macro_f1": named["macro.f1"],
            "average_precision": named[f"per_class.{self.options.of_class}.average_precision"],
        }

    def losses(self, figures: Mapping[str, N]) -> list[N]:
        """Return what is to be made small, one value (or array of draws) for each figure of the study.

        Parameters
        ----------
        figures : mapping of str to N
            By name: numbers, or arrays of draws.

        Returns
        -------
        list of N
        """
        small = {
            "log_loss": figures["log_loss"],
            "macro_f1": 1 - figures["macro_f1"],
            "average_precision": 1 - figures["average_precision"],
        }
        weights = self.options.mix.model_dump()
        mixed = sum(weights[name] * small[name] for name in small)
        return [mixed if metric == "mix" else small[metric] for metric in self.metrics]

    def score(self, answers: Answers) -> dict[str, float]:
        """Return the figures of some answers.

        Parameters
        ----------
        answers : Answers
            On the rows that score.

        Returns
        -------
        dict of str to float
        """
        named = answers.scorer(self.classes).figures(np.ones((len(answers.y), 1)))
        return {name: float(value[0]) for name, value in self.figures(named).items()}

    def interval(self, answers: Answers, seed: int, other: Answers | None = None) -> tuple[float, float]:
        """Return the 95 % bootstrap interval over objects of the first loss, or of its difference to another's.

        Parameters
        ----------
        answers : Answers
            On the rows that score.
        seed : int
            Seed of the resamples.
        other : Answers, optional
            Of another model on the same rows.

        Returns
        -------
        tuple[float, float]
        """
        scorers = [one.scorer(self.classes) for one in (answers, other) if one is not None]
        draws = replicate(scorers, answers.groups, RESAMPLES, seed).draws
        losses = self.losses(self.figures(draws))[0]
        values = losses[0] if other is None else losses[0] - losses[1]
        low, high = np.nanquantile(values, [0.025, 0.975])
        return float(low), float(high)


@dataclass(frozen=True, eq=False)
class FoldScore:
    """What options were worth on one fold.

    Parameters
    ----------
    answers : Answers
        Of the best candidate.
    figures : dict of str to float
        Its figures.
    notes : tuple of str
        What was unusual.
    """

    answers: Answers
    figures: dict[str, float]
    notes: tuple[str, ...]


def coarse(options: FitOptions, coarseness: float) -> FitOptions:
    """Return options whose boosting takes fewer, larger steps.

    Parameters
    ----------
    options : FitOptions
        Of a fit.
    coarseness : float
        By how much steps are larger.

    Returns
    -------
    FitOptions
    """
    if coarseness == 1:
        return options

    def fewer(growth: Growth) -> Growth:
        return override(
            growth,
            learning_rate=min(1.0, growth.learning_rate * coarseness),
            rounds=max(1, round(growth.rounds / coarseness)),
            patience=max(min(growth.patience, 5), round(growth.patience / coarseness)),
        )

    return options.model_copy(update={"boosting": fewer(options.boosting), "continuation": fewer(options.continuation)})


def folds_of(dataset: Dataset, options: ObjectiveOptions, seed: int) -> list[Dataset]:
    """Return the data sets to judge on: the given splits, or each fold of train and validation as validation.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    options : ObjectiveOptions
        Which rows score.
    seed : int
        Seed of the deal.

    Returns
    -------
    list of Dataset

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
    """Scores options on one data set with one seed; trials share features, bins and boosters.

    Parameters
    ----------
    dataset : Dataset
        Test labels are masked before anything else is done.
    space : Space
        What trials may vary.
    options : ObjectiveOptions
        What is measured, and where.
    run : Run
        Seed of the trainings (``fit`` with this seed trains the same trees), threads, and progress, called every
        round: what it raises ends the training.

    Raises
    ------
    ConfigError
        If the regime may not touch target labels, or there are more folds than labelled objects.
    """

    dataset: Dataset
    space: Space
    options: ObjectiveOptions
    run: Run

    def __post_init__(self) -> None:
        regime = get_regime(self.space.base.regime)
        if regime.calibration != "target":
            allowed = ", ".join(one.name for one in regimes() if one.calibration == "target")
            raise ConfigError(
                f"regime '{regime.name}' may not touch target labels, so nothing may be tuned on them. "
                f"Allowed: {allowed}."
            )
        self.dataset = self.dataset.for_training()
        objects = len(np.unique(self.dataset.target_rows("train", "val").object_id))
        if self.folds > max(objects, 1):
            raise ConfigError(
                f"objective: {self.folds} folds are more than the {objects} labelled objects of train and validation "
                "to deal to them. Ask for fewer folds."
            )
        self.measure = Measure(self.options, tuple(self.dataset.scheme.classes))

    @cached_property
    def caches(self) -> list[RowsCache]:
        """The rows of each fold."""
        # The deal is the study's, not the training's: fresh seeds are scored on the same rows.
        return [RowsCache(fold, self.space) for fold in folds_of(self.dataset, self.options, seed=0)]

    @property
    def folds(self) -> int:
        """Number of folds."""
        return self.options.folds if self.options.judge == "folds" else 1

    @quiet_fills()
    def score_fold(self, options: FitOptions, rung: Rung, fold: int) -> FoldScore:
        """Train the candidates of some options, and score the one that a fit would choose of them.

        Parameters
        ----------
        options : FitOptions
            What to train; its recipe says which candidates.
        rung : Rung
            How many mocks, how coarse.
        fold : int
            Which fold scores.

        Returns
        -------
        FoldScore

        Raises
        ------
        FitError
            If the regime has nothing to train or to score on.
        """
        run = self.run.fresh()
        rows, kept = self.caches[fold].rows(options, rung.mocks, run)
        recipe = rung.recipe if options.recipe == "auto" else None
        trial = override(coarse(options, rung.coarseness), recipe=recipe)
        folds = Folds((Stages(rows, trial, run, kept),))
        best = choose(score(train(Prepared(get_regime(options.regime), folds, run)))).kept
        val, counted = folds.val, counted_rows(folds.val, options.cut)
        answers = Answers(best.entrant.name, val.y[counted], best.p[counted], val.groups[counted])
        return FoldScore(answers, self.measure.score(answers), tuple(run.notes))

    def score_whole(self, options: FitOptions) -> tuple[dict[str, float], Answers]:
        """Return what options are worth with all the work.

        Parameters
        ----------
        options : FitOptions
            What to train.

        Returns
        -------
        figures : dict of str to float
            Means over the folds.
        answers : Answers
            Of all folds together.
        """
        scored = [self.score_fold(options, Rung(), fold) for fold in range(self.folds)]
        return mean_figures(scored), joined(scored)


def mean_figures(scored: Sequence[FoldScore]) -> dict[str, float]:
    """Return the mean over folds of each figure.

    Parameters
    ----------
    scored : sequence of FoldScore
        One for each fold.

    Returns
    -------
    dict of str to float
    """
    return {name: float(np.mean([one.figures[name] for one in scored])) for name in scored[0].figures}


def joined(scored: Sequence[FoldScore]) -> Answers:
    """Return the answers of all folds together.

    Parameters
    ----------
    scored : sequence of FoldScore
        One for each fold.

    Returns
    -------
    Answers
    """
    parts = [one.answers for one in scored]
    names = list(dict.fromkeys(part.candidate for part in parts))
    y, p, groups = (np.concatenate([getattr(part, name) for part in parts]) for name in ("y", "p", "groups"))
    return Answers(" / ".join(names), y, p, groups)
