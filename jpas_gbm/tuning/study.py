"""The trials of a study: asked for, scored rung by rung of a ladder, and finished; by one process or several."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from optuna.trial import FrozenTrial, Trial, TrialState

from ..atomic import atomic_file
from ..errors import BundleError, FitError, OutputError
from ..options import TuneOptions, Value
from ..run import Progress
from ..sealed import read_arrays
from .objective import Answers, FoldScore, Objective, joined, mean_figures
from .result import COUNTED
from .storage import START, at_work, defer_interrupts, is_alive, others_alive
from .trials import ExploringSampler, NumberedSampler, outcome, reused

if TYPE_CHECKING:
    from optuna.study import Study


FEWEST = 5
"""Trials that must have come as far before a trial is given up between folds."""


def climbs(loss: float, others: Sequence[float], keep: float, among: int = 0) -> bool:
    """Return whether a trial goes on to the next rung: whether it is in the best share of those that came here.

    Parameters
    ----------
    loss : float
        Its loss on this rung.
    others : sequence of float
        Losses of the other trials on this rung, in the order they were begun.
    keep : float
        The share that climbs.
    among : int
        How many of the others it is ranked with, the latest; 0: all.

    Returns
    -------
    bool

    Notes
    -----
    Asynchronous successive halving (Li et al. 2020, MLSys 2, 230): no trial waits for others. There a
    sampler draws at random; one that learns would let nearly every late trial climb past the early ones.
    """
    if not math.isfinite(loss):
        return False
    latest = others[-among:] if among else others
    better = sum(other < loss for other in latest)
    return better < max(1, math.floor(keep * (len(latest) + 1)))


def falls_behind(mean_so_far: float, others: Sequence[float]) -> bool:
    """Return whether a trial is given up between two folds: its mean so far is above the median of the others'.

    Parameters
    ----------
    mean_so_far : float
        Mean loss of the trial over the folds so far.
    others : sequence of float
        The same of other trials.

    Returns
    -------
    bool
    """
    if not math.isfinite(mean_so_far):
        return True
    ranked = sorted(others)
    return len(ranked) >= FEWEST and mean_so_far > ranked[len(ranked) // 2]


def earliest_as_good(losses: Mapping[int, Sequence[float]]) -> int:
    """Return the first trial whose mean over seeds is as good as the lowest, as far as the seeds tell.

    Parameters
    ----------
    losses : mapping of int to sequence of float
        Losses of each trial, by its number, with the same seeds in the same order.

    Returns
    -------
    int

    Notes
    -----
    As good is within one standard error of the paired difference: the rule of Breiman et al. (1984, Classification and
    Regression Trees, 3.4.3), with the order of trials as what is simple. The earlier trial was best among fewer.
    """
    lowest = min((np.asarray(each, dtype=np.float64) for each in losses.values()), key=np.mean)

    def as_good(each: Sequence[float]) -> bool:
        worse = np.asarray(each) - lowest
        error = np.std(worse, ddof=1) / math.sqrt(len(worse)) if len(worse) > 1 else 0.0
        return bool(worse.mean() <= error)

    return next(number for number in sorted(losses) if as_good(losses[number]))


log = logging.getLogger("jpas_gbm")

_MOST_REPEATS = 25
_FIRST_FAILURES = 5


class OutOfTime(Exception):
    """The time allowed is up; raised between two rounds of boosting."""


class _GivenUp(Exception):
    """The trial is not worth more work."""


def answers_path(folder: Path, number: int) -> Path:
    """Return where the answers of a finished trial are kept.

    Parameters
    ----------
    folder : Path
        Of the study.
    number : int
        Of the trial.

    Returns
    -------
    Path
    """
    return folder / "answers" / f"{number:04d}.npz"


@dataclass
class Work:
    """One process's share of a study.

    Parameters
    ----------
    told : str
        What the progress of the study is called.
    study : optuna.Study
        The trials, shared by all processes.
    objective : Objective
        Scores them.
    options : TuneOptions
        The ladder.
    folder : Path
        Of the study.
    trials : int
        How many the study is to have in all.
    seconds : float, optional
        Time allowed.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    interrupts : callable
        Gives a context with a function that raises KeyboardInterrupt when the work is to end.
    ended : str
        Why the work ended.
    notes : list of str
        What was unusual.
    """

    study: Study
    objective: Objective
    options: TuneOptions
    folder: Path
    trials: int
    seconds: float | None = None
    progress: Progress | None = None
    interrupts: Callable[[], AbstractContextManager[Callable[[], None]]] = defer_interrupts
    ended: str = "finished"
    notes: list[str] = field(default_factory=list)
    told: str = "trials"
    _worker: str = ""

    def run(self) -> str:
        """Try until the study has its trials; return how it ended: finished, timeout, interrupted or exhausted.

        Returns
        -------
        str

        Raises
        ------
        FitError
            If the first trials all fail.
        OutputError
            If nothing can be written any more.
        """
        deadline = None if self.seconds is None else time.monotonic() + self.seconds
        self.ended = "finished"
        try:
            with self.interrupts() as check, at_work(self.folder) as self._worker:
                self.objective.run = self.objective.run.fresh(self._watch(deadline, check))
                while self._wanted():
                    check()
                    if deadline is not None and time.monotonic() > deadline:
                        raise OutOfTime
                    self._try()
                    self._check_failures()
                    if self._repeats() > _MOST_REPEATS:
                        self.ended = "exhausted"
                        self.notes.append("every combination of the space that could be found was tried.")
                        break
        except OutOfTime:
            self.ended = "timeout"
            self.notes.append("the time allowed was up before the trials asked for were done.")
        except KeyboardInterrupt:
            self.ended = "interrupted"
            self.notes.append("interrupted before the trials asked for were done.")
        except (OSError, OutputError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            said = getattr(cause, "strerror", None) or cause
            raise OutputError(
                f"{self.folder}: the study cannot be written on ({said}). Free some space; its finished trials are "
                "kept, and --resume goes on."
            ) from error
        return self.ended

    def _watch(self, deadline: float | None, check: Callable[[], None]) -> Progress:
        def report(stage: str, done: int, total: int) -> None:
            check()
            if deadline is not None and time.monotonic() > deadline:
                raise OutOfTime
            if self.progress is not None:
                self.progress(stage, done, total)

        return report

    def _all(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _wanted(self) -> bool:
        """Return whether another trial is to be begun; trials of dead processes are taken up first."""
        self._take_up()
        known = [outcome(trial) for trial in self._all()]
        done = sum(one in COUNTED for one in known)
        if self.progress is not None:
            self.progress(self.told, min(done, self.trials), self.trials)
        return done + known.count("running") < self.trials

    def _take_up(self) -> None:
        for trial in self._all():
            if trial.state != TrialState.RUNNING or self._is_at_work(trial):
                continue
            log.warning("trial %d was left unfinished by a process that ended: it is tried again.", trial.number)
            # A failed trial without a stated outcome is an interrupted one.
            self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            if outcome(self._all()[trial.number]) == "interrupted":
                self._again(trial.number, trial.params)

    def _is_at_work(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get("worker")
        if worker is not None:
            return worker == self._worker or is_alive(self.folder, worker)
        # It was asked for a moment ago, or its process ended just then.
        return others_alive(self.folder, self._worker)

    def _again(self, number: int, values: Mapping[str, Value]) -> None:
        if set(values) == set(self.objective.space.entries):
            attrs = self._all()[number].user_attrs
            self.study.enqueue_trial(dict(values), user_attrs={"again": number, START: attrs.get(START, False)})

    def _try(self) -> None:
        trial = self._ask()
        try:
            trial.set_user_attr("worker", self._worker)
            values = self.objective.space.suggest(trial)
            refused = self._refused(trial.number, values)
            if refused is not None:
                self._fail(trial, refused, "")
                return
            self.study.tell(trial, self._climb(trial, values))
        except _GivenUp:
            self.study.tell(trial, state=TrialState.PRUNED)
        except (KeyboardInterrupt, OutOfTime):
            self._fail(trial, "interrupted", "")
            self._again(trial.number, self._all()[trial.number].params)
            raise
        except (OSError, OutputError):  # the disk's fault: --resume takes the trial up again
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(" .:")
            self._fail(trial, "failed", reason)
            log.warning("trial %d failed (%s).", trial.number, reason)

    def _ask(self) -> Trial:
        known = self._all()
        interrupted = sum(outcome(trial) == "interrupted" for trial in known)
        repeats = self._repeats()
        kind = ExploringSampler if repeats else NumberedSampler
        self.study.sampler = kind(self.objective.run.seed, self.options.startup, interrupted)
        if not repeats and not any(trial.state == TrialState.WAITING for trial in known):
            taken = reused(len(known) - interrupted, known, self.options)
            if taken:
                self.study.enqueue_trial(taken)
        return self.study.ask()

    def _repeats(self) -> int:
        """Return how many trials in a row, the latest, would have repeated another."""
        count = 0
        for trial in reversed(self._all()):
            kind = outcome(trial)
            if kind == "repeated":
                count += 1
            elif kind in COUNTED:
                break
        return count

    def _refused(self, number: int, values: Mapping[str, Value]) -> str | None:
        """Return why a trial is not begun: another tried the same, or the study has its trials; or None."""
        before = [trial for trial in self._all() if trial.number < number]
        valid = [trial for trial in before if outcome(trial) in (*COUNTED, "running")]
        if any(trial.params == dict(values) for trial in valid):
            return "repeated"
        return "surplus" if len(valid) >= self.trials else None

    def _fail(self, trial: Trial, kind: str, reason: str) -> None:
        trial.set_user_attr("outcome", kind)
        if reason:
            trial.set_user_attr("reason", reason)
        self.study.tell(trial, state=TrialState.FAIL)

    def _climb(self, trial: Trial, values: Mapping[str, Value]) -> list[float]:
        """Score a trial on each rung until it is given up, as one to start with never is, or has done all the work."""
        objective, began = self.objective, time.perf_counter()
        given = trial.user_attrs.get(START, False)
        options = objective.space.options(values)
        steps: dict[str, float] = {}
        losses = [math.inf]
        for number, rung in enumerate(self.options.ladder):
            scored: list[FoldScore] = []
            for fold in range(objective.folds):
                scored.append(objective.score_fold(options, rung, fold))
                losses = objective.measure.losses(mean_figures(scored))
                if not all(math.isfinite(loss) for loss in losses):
                    raise FitError("its score is not a number: a class may be absent from the rows that score.")
                step = number * objective.folds + fold
                steps[str(step)] = losses[0]
                trial.set_user_attr("steps", steps)
                trial.set_user_attr("seconds", round(time.perf_counter() - began, 2))
                if objective.measure.options.also is None:
                    trial.report(losses[0], step)
                between = fold < objective.folds - 1
                if between and not given and falls_behind(losses[0], self._others(trial.number, step)):
                    raise _GivenUp
            self._keep(trial, losses, scored)
            top, keep, among = number == len(self.options.ladder) - 1, self.options.keep, self.options.among
            if not (top or given or climbs(losses[0], self._others(trial.number, step), keep, among)):
                raise _GivenUp
        return losses

    def _others(self, number: int, step: int) -> list[float]:
        """Return the losses of the other trials on a step of the ladder."""
        others = [one for one in self._all() if one.number != number]
        scored = [one for one in others if outcome(one) in ("complete", "pruned", "running")]
        steps = [one.user_attrs.get("steps", {}) for one in scored]
        return [float(losses[str(step)]) for losses in steps if str(step) in losses]

    def _keep(self, trial: Trial, losses: list[float], scored: list[FoldScore]) -> None:
        """Keep what a trial scored on a whole rung: where the time is up, the best so far is told by it."""
        answers = joined(scored)
        trial.set_user_attr("losses", losses)
        save_answers(self.folder, trial.number, answers)
        trial.set_user_attr("figures", mean_figures(scored))
        trial.set_user_attr("candidate", answers.candidate)
        trial.set_user_attr("notes", sorted({note for one in scored for note in one.notes}))

    def _check_failures(self) -> None:
        known = [trial for trial in self._all() if outcome(trial) in ("complete", "pruned", "failed")]
        failed = [trial for trial in known if outcome(trial) == "failed"]
        if len(failed) == len(known) and len(failed) >= min(_FIRST_FAILURES, self.trials):
            raise FitError(
                f"{self.folder}: all {len(failed)} trials failed. The first said: "
                f"{failed[0].user_attrs.get('reason', 'nothing')}. Mend the space or the data, and begin another study "
                "in another --out."
            )


def save_answers(folder: Path, number: int, answers: Answers) -> None:
    """Keep what a finished trial said about the rows that score it.

    Parameters
    ----------
    folder : Path
        Of the study.
    number : int
        Of the trial.
    answers : Answers
        To be kept.
    """
    with atomic_file(answers_path(folder, number), overwrite=True) as temporary:
        np.savez(temporary, y=answers.y, p=answers.p, groups=answers.groups, candidate=np.array(answers.candidate))


def load_answers(folder: Path, number: int) -> Answers | None:
    """Return what a finished trial said, or None if it was not kept.

    Parameters
    ----------
    folder : Path
        Of the study.
    number : int
        Of the trial.

    Returns
    -------
    Answers or None

    Raises
    ------
    BundleError
        If the file is damaged.
    """
    path = answers_path(folder, number)
    if not path.is_file():
        return None
    try:
        arrays = read_arrays(path)
        return Answers(str(arrays["candidate"]), arrays["y"], arrays["p"], arrays["groups"])
    except (BundleError, KeyError) as error:
        raise BundleError(
            f"{path}: is damaged ({type(error).__name__}). Restore it from a copy; or remove it and go on with "
            "--resume: the study is as good without it, but tells no interval of that trial."
        ) from error
