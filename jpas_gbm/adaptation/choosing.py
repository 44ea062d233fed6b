"""Which way a fit takes: candidates against baselines on target validation.

Choosing on validation: scores of candidates, the rule, and the guard against negative transfer.

Judges: the validation rows of one split, or of several folds by cross-fitting, as one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..boosting.calibration import crossfit_probabilities
from ..boosting.decision import decide
from ..boosting.ensemble import Member
from ..boosting.matrix import stratified_folds
from ..config import override
from ..options import CalibrationOptions, FitOptions
from ..scores.bootstrap import mean_interval
from ..scores.losses import confusion_matrix, log_losses, macro_f1
from ..surveys.dataset import SPLITS, Dataset
from .regimes import Regime
from .rows import Rows
from .ways import Candidate, Stages, means, singles, usable_gammas

RULE = (
    "the candidate of lowest log loss on target validation, calibrated by cross-fitting over validation objects; "
    "it is kept only if its paired 95 % bootstrap interval against the better baseline lies below zero"
)


@dataclass(frozen=True, eq=False)
class Scored:
    """A candidate and how it did on validation.

    Parameters
    ----------
    candidate : Candidate
        The way.
    label : str
        Its name, and what is particular about the rows that it saw.
    margins : array of float64, shape (n, k)
        Mean margins on validation.
    p : array of float64, shape (n, k)
        Probabilities of each validation row, calibrated by cross-fitting.
    losses : array of float64, shape (n,)
        -log p(true class) of each validation row, calibrated by cross-fitting.
    log_loss, macro_f1 : float
        Means over the rows counted.
    """

    candidate: Candidate
    label: str
    margins: np.ndarray
    p: np.ndarray
    losses: np.ndarray
    log_loss: float
    macro_f1: float

    def to_dict(self) -> dict[str, Any]:
        """Return the scores in a form that JSON can hold."""
        return {"candidate": self.label, "log_loss": self.log_loss, "macro_f1": self.macro_f1}


def counted_rows(val: Rows, cut: float) -> np.ndarray:
    """Return which validation rows count in choices: those not fainter than the cut, or all if none is."""
    bright = ~(val.mag > cut)
    return bright if bright.any() else np.ones(len(val), dtype=bool)


def mean_margins(members: Sequence[Member], X: np.ndarray, threads: int) -> np.ndarray:
    """Return the mean of the members' centred margins, float64 (n, k)."""
    return np.mean([member.margins(X, threads) for member in members], axis=0)


def score(
    candidate: Candidate,
    margins: np.ndarray,
    val: Rows,
    counted: np.ndarray,
    options: CalibrationOptions,
    seed: int,
    label: str | None = None,
) -> Scored:
    """Score a candidate on target validation.

    Parameters
    ----------
    candidate : Candidate
        The way.
    margins : array of float64, shape (n, k)
        Mean margins of its models on validation.
    val : Rows
        Labelled validation rows.
    counted : array of bool, shape (n,)
        The rows that the score counts (brighter than the cut); all rows calibrate.
    options : CalibrationOptions
        How margins become probabilities.
    seed : int
        Seed of the folds.
    label : str, optional
        How it is called; default: the candidate's name.
    """
    p = crossfit_probabilities(margins, val.y, options, groups=val.groups, seed=seed)
    losses = log_losses(p, val.y)
    return Scored(
        candidate,
        label or candidate.name,
        margins,
        p,
        losses,
        float(losses[counted].mean()),
        float(macro_f1(confusion_matrix(val.y[counted], decide(p[counted], None), p.shape[1]))),
    )


@dataclass(frozen=True)
class Verdict:
    """What the guard found.

    Parameters
    ----------
    best, baseline : str
        Names of the best candidate and of the better baseline.
    difference : float
        Log loss of the best candidate less that of the baseline; negative is better.
    interval : tuple of float
        Paired 95 % bootstrap interval over objects.
    adapted : bool
        Whether the candidate was kept.
    """

    best: str
    baseline: str
    difference: float
    interval: tuple[float, float]
    adapted: bool

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        low, high = self.interval
        gain = f"log loss {self.difference:+.4f} [{low:+.4f}, {high:+.4f}] against {self.baseline}"
        if self.adapted:
            return f"Adaptation helps on target validation: {self.best}, {gain}."
        return (
            f"Adaptation does not help beyond doubt on target validation: {self.best}, {gain}. "
            f"The fit keeps {self.baseline}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return {
            "best": self.best,
            "baseline": self.baseline,
            "difference": self.difference,
            "interval": list(self.interval),
            "adapted": self.adapted,
            "sentence": self.sentence,
        }


def guard(
    candidates: list[Scored], baselines: list[Scored], groups: np.ndarray, counted: np.ndarray, seed: int
) -> tuple[Scored, Verdict]:
    """Return what to keep: the best candidate, or the better baseline if the gain is not beyond doubt."""
    best = min(candidates, key=lambda one: one.log_loss)
    baseline = min(baselines, key=lambda one: one.log_loss)
    gains = (best.losses - baseline.losses)[counted]
    interval = mean_interval(gains, groups[counted], seed)
    adapted = interval[1] < 0
    verdict = Verdict(best.label, baseline.label, float(gains.mean()), interval, adapted)
    return (best if adapted else baseline), verdict


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


JudgesOf = Callable[[str, FitOptions], Judges]

PLAIN = "mocks as they are"
"""The baseline of mocks that no target label has prepared: what regime mocks-calibrated trains."""

PREPARED = "mocks, prepared"
"""Mocks prepared by twins, without any tree grown on the target."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What a fit decided to train.

    Parameters
    ----------
    candidate : Candidate
        The way.
    judges : Judges
        The rows and trainings that it was chosen from.
    told : dict
        What the card says about the choice.
    asked : Judges, optional
        Those of the regime itself, where a baseline with rows of its own was kept.
    gammas : mapping of float to bool
        Tempers of importance weights that were asked for, and whether their weights did not collapse.
    p : array of float64, shape (n, k), optional
        Probabilities of the target's validation rows, calibrated by cross-fitting, where there was a choice.
    """

    candidate: Candidate
    judges: Judges
    told: dict[str, Any]
    asked: Judges | None = None
    gammas: Mapping[float, bool] = field(default_factory=dict)
    p: np.ndarray | None = None


def settle(regime: Regime, judges: Judges) -> Choice:
    """Return the one way of a regime that has no choice."""
    if not regime.source:
        return Choice(Candidate("target"), judges, {})
    if regime.name != "uda":
        return Choice(Candidate("mocks"), judges, {})
    asked = (judges.first.options.domain.uda_gamma,)
    usable = usable_gammas(judges.first, asked)
    return Choice(Candidate("mocks", gamma=usable[0]), judges, {}, gammas=_kept(asked, usable))


def choose(judges: Judges, judges_of: JudgesOf, seed: int) -> Choice:
    """Score every candidate and both baselines on target validation, and let the guard decide.

    Parameters
    ----------
    judges : Judges
        Of regime ssda.
    judges_of : callable
        ``judges_of(regime name, options)`` makes others: of mocks as they are, for the baseline.
    seed : int
        Seed of folds and resamples.
    """
    plain_judges, plain, prepared = judges, None, None
    if judges.first.rows.shift is not None:
        plain_judges, plain, prepared = _as_they_are(judges, judges_of, seed)
        if prepared.log_loss > plain.log_loss:
            judges.first.journal.note(
                f"preparing the mocks by twins did not help on target validation (log loss {prepared.log_loss:.4f} "
                f"against {plain.log_loss:.4f}): the fit goes on without it."
            )
            options = judges.first.options
            sky = override(options.sky, paired_repair=False)
            judges, plain, prepared = judges_of("ssda", override(options, sky=sky.model_dump())), None, None
    if plain is None:
        plain_judges, plain = judges, _scored(Candidate("mocks"), judges, seed, PLAIN)
    options = judges.first.options
    gammas = usable_gammas(judges.first, options.domain.gammas)
    tried = [_scored(one, judges, seed) for one in singles(options, gammas)]
    if options.recipe in ("auto", "mean"):
        mixed = [_scored(one, judges, seed) for one in means([(one.log_loss, one.candidate) for one in tried])]
        tried = mixed if options.recipe == "mean" and mixed else tried + mixed
    if prepared is not None:
        tried.append(prepared)
    baselines = [_scored(Candidate("target"), judges, seed), plain]
    val = judges.val
    kept, verdict = guard(tried, baselines, val.groups, counted_rows(val, options.cut), seed)
    if not verdict.adapted:
        judges.first.journal.note(verdict.sentence)
    told = {
        "rule": RULE,
        "candidates": [one.to_dict() for one in sorted(tried, key=lambda one: one.log_loss)],
        "baselines": [one.to_dict() for one in baselines],
        "verdict": verdict.to_dict(),
    }
    chosen_by = plain_judges if kept is plain else judges
    return Choice(kept.candidate, chosen_by, told, judges, _kept(options.domain.gammas, gammas), kept.p)


def _kept(asked: tuple[float, ...], usable: tuple[float, ...]) -> dict[float, bool]:
    """Return for each temper asked for, and 0 where it stands in for them, whether it is usable."""
    return {gamma: gamma in usable for gamma in (*asked, *usable)}


def _as_they_are(judges: Judges, judges_of: JudgesOf, seed: int) -> tuple[Judges, Scored, Scored]:
    """Return the judges of plain mocks, and the scores of plain and prepared mocks."""
    plain_judges = judges_of("mocks-calibrated", judges.first.options)
    plain = _scored(Candidate("mocks"), plain_judges, seed, PLAIN)
    return plain_judges, plain, _scored(Candidate("mocks"), judges, seed, PREPARED)


def _scored(candidate: Candidate, judges: Judges, seed: int, label: str | None = None) -> Scored:
    val, options = judges.val, judges.first.options
    counted, calibration = counted_rows(val, options.cut), quick_calibration(options.calibration)
    return score(candidate, judges.margins(candidate.members), val, counted, calibration, seed, label)


def quick_calibration(options: CalibrationOptions) -> CalibrationOptions:
    """Return one calibration for all candidates: choosing the best for each is left to the one that is kept."""
    if options.method != "auto":
        return options
    return override(options, method="vector", shrinkage=(0.01,))
