"""Folds: trainings on one part of the labels each, scored together on the parts that they did not see."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..boosting.booster import Member
from ..boosting.calibration import Calibrator
from ..boosting.few_bands import SHARES, learn_few_bands
from ..boosting.matrix import stratified_folds
from ..errors import FitError
from ..model import Model
from ..options import FitOptions
from ..run import Run
from ..surveys.audit import SPLITS
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from .rows import Known, Preparation, Regime, Rows, TrainingRows, make_rows, measured, regimes
from .stages import Stages

ALL = "all labels"
"""The place, in the journal, of the trees that are kept where folds chose and calibrated."""

_TRAIN, _VAL = SPLITS.index("train"), SPLITS.index("val")
MembersOf = Callable[[Stages], list[Member]]
"""Gives the models of one fold."""


def _known(dataset: Dataset) -> np.ndarray:
    """Return the labelled rows of train and validation, in catalogue order."""
    split = dataset.target_split
    return np.flatnonzero(((split == _TRAIN) | (split == _VAL)) & (dataset.target.label >= 0))


def _resplit(dataset: Dataset, rows: np.ndarray, code: np.ndarray | int) -> Dataset:
    split = np.array(dataset.target_split)
    split[rows] = code
    return replace(dataset, target_split=split)


def label_folds(dataset: Dataset, folds: int, seed: int = 0) -> list[Dataset]:
    """Return the data set once for each fold of train and validation, with that fold as validation.

    Parameters
    ----------
    dataset : Dataset
        With labelled target rows.
    folds : int
        At least 2.
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
    rows = _known(dataset)
    target = dataset.target
    dealt = stratified_folds(target.label[rows], folds, seed=seed, groups=target.object_id[rows])
    return [_resplit(dataset, rows, np.where(dealt == fold, _VAL, _TRAIN)) for fold in range(int(dealt.max()) + 1)]


def mean_margins(members: list[Member], X: np.ndarray, threads: int) -> np.ndarray:
    """Return the mean of the members' centred margins on features (n, f), float64 (n, k).

    Parameters
    ----------
    members : list of Member
        The models.
    X : array of float32, shape (n, f)
        Features.
    threads : int
        Threads of the libraries.

    Returns
    -------
    array of float64, shape (n, k)
    """
    mean: np.ndarray = np.mean([member.margins(X, threads) for member in members], axis=0)
    return mean


Through = Callable[[Stages, list[Member]], Calibrator | None]
"""Gives the calibrator that margins of the models of one fold go through, if any."""


def _through(stages: Stages, members: list[Member], rows: Rows, through: Through | None) -> np.ndarray:
    """Return the mean margins of models on rows, through a calibrator where one is given."""
    margins = mean_margins(members, rows.X, stages.run.threads)
    calibrator = None if through is None else through(stages, members)
    return margins if calibrator is None else calibrator.log_odds(margins)


def _val(stages: Stages) -> Rows:
    val = stages.rows.target_val
    assert val is not None
    return val


@dataclass(frozen=True, eq=False)
class Folds:
    """The trainings of a regime: one for the data set's own split, or one for each fold of the labels.

    Parameters
    ----------
    parts : tuple of Stages
        Of the split, or of each fold, with the same options and seed.
    order : array of intp, shape (n,), optional
        Puts the validation rows of all folds, one after the other, into catalogue order.
    whole : callable, optional
        ``whole(rounds)`` makes the stages that train on all labels, for so many rounds as folds or the split took.
    datasets : tuple of Dataset
        What each part was made of.
    again : callable, optional
        Makes the folds anew, where the mocks that train were let go.
    """

    parts: tuple[Stages, ...]
    order: np.ndarray | None = None
    whole: Callable[[dict[Hashable, int]], Stages] | None = None
    datasets: tuple[Dataset, ...] = ()
    again: Callable[[], Folds] | None = None

    @property
    def first(self) -> Stages:
        """The first fold: what folds have in common, such as mocks and options."""
        return self.parts[0]

    @property
    def crossfits(self) -> bool:
        """Whether there are several folds."""
        return self.order is not None

    @cached_property
    def val(self) -> Rows:
        """The labelled target rows that score, with the features that their fold gave them."""
        parts = [_val(stages) for stages in self.parts]
        if self.order is None:
            return parts[0]
        names = ("X", "y", "groups", "mag")
        return Rows(*(self._ordered([getattr(part, name) for part in parts]) for name in names))

    def margins(self, members_of: MembersOf, through: Through | None = None) -> np.ndarray:
        """Return the mean margins of each validation row by trees that did not see it.

        Parameters
        ----------
        members_of : callable
            Gives the models of a fold; trainings that were done before are not repeated.
        through : callable, optional
            Gives the calibrator that the margins of a fold's models go through.

        Returns
        -------
        array of float64, shape (n, k)
        """
        return self._ordered([_through(one, members_of(one), _val(one), through) for one in self.parts])

    def bare_margins(self, members_of: MembersOf, through: Through | None = None) -> np.ndarray | None:
        """Return the same with imaging features hidden, or None where no row has them.

        Parameters
        ----------
        members_of : callable
            Gives the models of a fold.
        through : callable, optional
            Gives the calibrator that the margins of a fold's models go through.

        Returns
        -------
        array, or None
        """
        bare = [(one, one.rows.bare) for one in self.parts]
        margins = [_through(one, members_of(one), part, through) for one, part in bare if part is not None]
        return self._ordered(margins) if len(margins) == len(bare) else None

    def _ordered(self, parts: list[np.ndarray]) -> np.ndarray:
        return parts[0] if self.order is None else np.concatenate(parts)[self.order]

    def of_first(self, values: np.ndarray) -> np.ndarray:
        """Return the values of the validation rows, shape (n, ...), that belong to the first fold.

        Parameters
        ----------
        values : array
            Of all validation rows.

        Returns
        -------
        array, shape (n, ...)
        """
        return values if self.order is None else values[self.order < len(_val(self.first))]

    def final(self, members_of: MembersOf) -> Stages:
        """Return the stages that train what is kept: those of the split, or new ones on all labels.

        Parameters
        ----------
        members_of : callable
            Gives the models of a fold: all of them tell rounds, those of further seeds and libraries too.

        Returns
        -------
        Stages
        """
        if self.whole is None:
            return self.first
        for stages in self.parts:
            members_of(stages)
        return self.whole(self._rounds())

    def without_mocks(self, again: Callable[[], Folds]) -> Folds:
        """Return the folds without features and bins of the mocks that train: what was trained on them stays.

        Parameters
        ----------
        again : callable
            Makes the folds anew.

        Returns
        -------
        Folds
        """
        parts = []
        for stages in self.parts:
            stages.forget_bins()
            rows = stages.rows.map(lambda part: replace(part, X=np.empty_like(part.X[:0])), "source_train")
            parts.append(replace(stages, rows=rows))
        return replace(self, parts=tuple(parts), again=again)

    def with_mocks(self) -> Folds:
        """Return the folds with the features of all mocks, made anew where they were let go.

        Returns
        -------
        Folds
        """
        if self.again is None:
            return self
        made = self.again()
        parts = (replace(new, kept=old.kept) for new, old in zip(made.parts, self.parts, strict=True))
        return replace(made, parts=tuple(parts))

    def _rounds(self) -> dict[Hashable, int]:
        """Return the mean number of rounds that folds took for each training that stopped on their labels."""
        grown = [stages.stopped_rounds() for stages in self.parts]
        shared = set.intersection(*(set(one) for one in grown))
        return {key: max(1, round(float(np.mean([one[key] for one in grown])))) for key in shared}


def _parts(dataset: Dataset, regime: Regime, folds: int) -> list[tuple[Dataset, str]]:
    """Return the data set as each fold sees it, and the name of the fold; where no tree sees labels, all score."""
    if folds < 2:
        return [(dataset, "")]
    if not regime.target_labels:
        return [(_resplit(dataset, _known(dataset), _VAL), "")]
    dealt = label_folds(dataset, folds)
    return [(part, f"fold {i} of {len(dealt)}") for i, part in enumerate(dealt, start=1)]


def has_shift(
    dataset: Dataset,
    regime: Regime,
    options: FitOptions,
    folds: int,
    run: Run,
    preparation: Preparation,
    known: Known,
) -> bool:
    """Return whether mocks of the first fold can be prepared.

    Parameters
    ----------
    dataset, regime, options, folds, run, preparation, known
        As for :func:`make_folds`.

    Returns
    -------
    bool
    """
    part, place = _parts(dataset, regime, folds)[0]
    return measured(part, regime, options, run.at(place), preparation, known)[0] is not None


def make_folds(
    dataset: Dataset,
    regime: Regime,
    options: FitOptions,
    folds: int,
    run: Run,
    preparation: Preparation = "twins",
    known: Known | None = None,
) -> Folds:
    """Make the rows of each fold, or of the data set's own split.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    regime : Regime
        What may be touched. Where no tree sees target labels, all labels score the same trees, whatever the folds.
    options : FitOptions
        Of the fit.
    folds : int
        Folds of train and validation labels; fewer than 2 keep the split.
    run : Run
        Seed, threads and journal.
    preparation : {"twins", "sources", "none"}
        What the shift is measured on.
    known : dict of str to pair, optional
        What was measured before (:func:`~.rows.make_rows`).

    Returns
    -------
    Folds

    Raises
    ------
    FitError
        If the regime has nothing to train or to calibrate on, or there are too few objects to deal.
    """
    known = {} if known is None else known

    def stages_of(part: Dataset, place: str) -> Stages:
        here = run.at(place)
        rows = make_rows(part, regime, options, here, preparation, known)
        if place != ALL:
            check_rows(rows, regime, here)
        return Stages(rows, options, here)

    def whole(rounds: dict[Hashable, int]) -> Stages:
        return replace(stages_of(_resplit(dataset, _known(dataset), _TRAIN), ALL), rounds=rounds)

    dealt = _parts(dataset, regime, folds)
    parts, datasets = tuple(stages_of(*one) for one in dealt), tuple(part for part, _ in dealt)
    if folds < 2 or not regime.target_labels:
        only = Folds(parts, datasets=datasets)
        return replace(only, whole=whole) if folds < 2 and only.first.scarce else only
    val = np.concatenate([np.flatnonzero((one.target_split == _VAL) & (one.target.label >= 0)) for one in datasets])
    return Folds(parts, np.argsort(val, kind="stable"), whole, datasets)


def would_lose(folds: Folds) -> str:
    """Say which classes of the mocks trees that grow on labels of the sky would lose; nothing where they lose none.

    Such trees learn that a class without a label is nowhere, and labels that lack it do not count what that costs.

    Parameters
    ----------
    folds : Folds
        Mocks and labels that train.

    Returns
    -------
    str
    """
    lost = dict.fromkeys(name for stages in folds.parts for name in stages.not_labelled)
    return f"no label that trains is {' or '.join(lost)}, which the mocks have" if lost else ""


FEW_LABELS = 100


def _absent(part: Rows | None, classes: tuple[str, ...]) -> list[str]:
    if part is None:
        return []
    return [name for name, n in zip(classes, part.counts(len(classes)), strict=True) if n == 0]


def check_labels(dataset: Dataset, regime: Regime, folds: int) -> None:
    """Refuse a regime that reads labels of the sky where there are none, before anything is measured.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    regime : Regime
        That was asked for.
    folds : int
        Folds of train and validation labels; fewer than 2 keep the split.

    Raises
    ------
    FitError
        If no row that may train or judge has a label, or none that judges where the split is kept.
    """
    told = {part: bool((dataset.target_rows(part).label >= 0).any()) for part in ("train", "val")}
    if regime.reads_labels and not any(told.values()):
        able = ", ".join(one.name for one in regimes() if not one.reads_labels)
        raise FitError(
            f"regime '{regime.name}' reads labels of the sky, and no target row of the train and validation splits has "
            f"one. Prepare the data set with a table of labels (--labels), or take a regime that reads none: {able}."
        )
    if regime.calibration == "target" and not told["val"] and (folds < 2 or not regime.target_labels):
        raise _without_judges(regime, "labelled target")


def _without_judges(regime: Regime, where: str) -> FitError:
    return FitError(
        f"regime '{regime.name}' chooses and calibrates on the {where} rows of the validation split, and there are "
        "none. Prepare with more labels or another --split-seed."
    )


def check_rows(rows: TrainingRows, regime: Regime, run: Run) -> None:
    """Note what is missing from the rows, and raise where nothing can be done.

    Parameters
    ----------
    rows : TrainingRows
        The rows of a fit.
    regime : Regime
        What may be touched.
    run : Run
        Seed, threads and journal.

    Raises
    ------
    FitError
        If the regime has no validation rows, or its training rows hold fewer than two classes.
    """
    trained = rows.source_train if regime.source else rows.target_train
    if trained is None or int((trained.counts(rows.k) > 0).sum()) < 2:
        raise FitError(
            f"regime '{regime.name}' would train on fewer than two classes. Check the labels in the data set's summary."
        )
    scoring = rows.target_val if regime.calibration == "target" else rows.source_val
    where = "labelled target" if regime.calibration == "target" else "mock"
    if scoring is None or not len(scoring):
        raise _without_judges(regime, where)
    for part, name, remedy in (
        (rows.source_train, "the training mocks", "only target labels can teach it"),
        (
            rows.target_train,
            "the labelled target rows that train",
            "what the mocks teach of it stands" if regime.source else "the model knows nothing of it",
        ),
        (scoring, f"{where} validation", "its probabilities have no calibration of their own"),
    ):
        for name_of_class in _absent(part, rows.classes):
            run.note(f"{name_of_class} is absent from {name}: {remedy}.")
    if rows.target_train is not None and len(rows.target_train) < FEW_LABELS:
        run.note(f"only {len(rows.target_train)} labelled target rows train: gains will be small and intervals wide.")


def with_few_bands(model: Model, regime: Regime, folds: Folds, members_of: MembersOf, run: Run) -> Model:
    """Return a model that knows what few bands are worth: from the rows that calibrate it, with bands taken away.

    Parameters
    ----------
    model : Model
    regime : Regime
        Says of which domain the rows are.
    folds : Folds
        Rows and trainings: each row is judged by trees that did not see it.
    members_of : callable
        Gives the models of a fold.
    run : Run

    Returns
    -------
    Model
        As it was where there are too few rows.
    """
    models, parts = [], []
    for stages, dataset in zip(folds.parts, folds.datasets, strict=True):
        rows = dataset.target_rows("val") if regime.calibration == "target" else dataset.source_rows("val")
        parts.append(rows.take(np.flatnonzero(rows.label >= 0)).replace(photometry=model.photometry))
        recipe, shift = stages.rows.recipe, stages.rows.shift
        models.append(replace(model, members=tuple(members_of(stages)), recipe=recipe, shift=shift))
    every, part = Catalogue.concat(parts), np.repeat(np.arange(len(parts)), [len(one) for one in parts])

    done = itertools.count()

    def probabilities(places: np.ndarray, flux: np.ndarray) -> np.ndarray:
        run.report("few bands", next(done), len(SHARES))
        rows, p = every.take(places).replace(flux=flux), np.empty((len(places), len(model.classes)))
        for number, one in enumerate(models):
            own = np.flatnonzero(part[places] == number)
            p[own] = one.probabilities(rows.take(own), run.threads)
        return p

    with run.stage("few bands", rows=len(every)):
        few = learn_few_bands(probabilities, every.flux, every.label, run.choice_seed)
    return replace(model, few_bands=few)
