"""Judges: the validation rows of one split, or of several folds by cross-fitting, as one."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..boosting.folds import stratified_folds
from ..fitted import Member
from ..survey.dataset import SPLITS, Dataset
from .rows import Rows
from .stages import Stages
from .validation import mean_margins

ALL = "all labels"
"""The place, in the journal, of the trees that are kept where folds chose and calibrated."""

_TRAIN, _VAL = SPLITS.index("train"), SPLITS.index("val")
MembersOf = Callable[[Stages], list[Member]]


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

    Raises
    ------
    FitError
        If there are not enough labelled objects to deal.
    """
    rows = _known(dataset)
    target = dataset.target
    dealt = stratified_folds(target.label[rows], folds, seed=seed, groups=target.object_id[rows])
    return [_resplit(dataset, rows, np.where(dealt == fold, _VAL, _TRAIN)) for fold in range(int(dealt.max()) + 1)]


def _all_in(dataset: Dataset, split: int) -> Dataset:
    return _resplit(dataset, _known(dataset), split)


def _val(stages: Stages) -> Rows:
    val = stages.rows.target_val
    assert val is not None
    return val


@dataclass(frozen=True, eq=False)
class Judges:
    """Trainings on one part of the labels each, judged together on the parts that they did not see.

    Parameters
    ----------
    folds : tuple of Stages
        One for the data set's own split; several for folds, which hold the same options and seeds.
    order : array of intp, shape (n,), optional
        Puts the validation rows of all folds, one after the other, into catalogue order.
    whole : callable, optional
        ``whole(rounds)`` makes the stages that train on all labels, for so many rounds as folds took.
    """

    folds: tuple[Stages, ...]
    order: np.ndarray | None = None
    whole: Callable[[dict[Hashable, int]], Stages] | None = None

    @property
    def first(self) -> Stages:
        """The first fold: what folds have in common, such as mocks and options."""
        return self.folds[0]

    @property
    def crossfits(self) -> bool:
        """Whether there are several folds."""
        return self.order is not None

    @cached_property
    def val(self) -> Rows:
        """The labelled target rows that judge, with the features that their fold gave them."""
        parts = [_val(stages) for stages in self.folds]
        if self.order is None:
            return parts[0]
        names = ("X", "y", "groups", "mag")
        return Rows(*(self._ordered([getattr(part, name) for part in parts]) for name in names))

    def margins(self, members_of: MembersOf) -> np.ndarray:
        """Return the mean margins of each validation row by trees that did not see it, float64 (n, k).

        Parameters
        ----------
        members_of : callable
            Gives the models of a fold; trainings that were done before are not repeated.
        """
        return self._ordered([mean_margins(members_of(one), _val(one).X, one.threads) for one in self.folds])

    def bare_margins(self, members_of: MembersOf) -> np.ndarray | None:
        """Return the same with imaging features hidden, or None where no row has them."""
        bare = [(one, one.rows.bare) for one in self.folds]
        margins = [mean_margins(members_of(one), part.X, one.threads) for one, part in bare if part is not None]
        return self._ordered(margins) if len(margins) == len(bare) else None

    def _ordered(self, parts: list[np.ndarray]) -> np.ndarray:
        return parts[0] if self.order is None else np.concatenate(parts)[self.order]

    def of_first(self, values: np.ndarray) -> np.ndarray:
        """Return the values of the validation rows, shape (n, ...), that belong to the first fold."""
        return values if self.order is None else values[self.order < len(_val(self.first))]

    def final(self) -> Stages:
        """Return the stages that train what is kept: those of the split, or new ones on all labels."""
        return self.first if self.whole is None else self.whole(self._rounds())

    def _rounds(self) -> dict[Hashable, int]:
        """Return the mean number of rounds that folds took for each training that stopped on their labels."""
        grown = [stages.stopped_rounds() for stages in self.folds]
        shared = set.intersection(*(set(one) for one in grown))
        return {key: max(1, round(float(np.mean([one[key] for one in grown])))) for key in shared}


def make_judges(dataset: Dataset, stages_of: Callable[[Dataset, str], Stages], folds: int, sees_labels: bool) -> Judges:
    """Make the stages of each fold, or of the data set's own split.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    stages_of : callable
        ``stages_of(dataset, place)`` makes stages; `place` names the fold in the journal.
    folds : int
        Folds of train and validation labels; fewer than 2 keep the split.
    sees_labels : bool
        Whether trees grow on target labels: if not, all labels judge the same trees, whatever the folds.
    """
    if folds < 2:
        return Judges((stages_of(dataset, ""),))
    if not sees_labels:
        return Judges((stages_of(_all_in(dataset, _VAL), ""),))
    parts = label_folds(dataset, folds)
    made = tuple(stages_of(part, f"fold {i} of {len(parts)}") for i, part in enumerate(parts, start=1))

    def whole(rounds: dict[Hashable, int]) -> Stages:
        return replace(stages_of(_all_in(dataset, _TRAIN), ALL), rounds=rounds)

    judged = np.concatenate([np.flatnonzero((one.target_split == _VAL) & (one.target.label >= 0)) for one in parts])
    return Judges(made, np.argsort(judged, kind="stable"), whole)
