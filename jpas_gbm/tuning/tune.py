"""tune: a study from its options to its result, in one process or several."""

from __future__ import annotations

import logging
import multiprocessing
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..adaptation.fit import fit_options
from ..adaptation.stages import outlook
from ..config import options_of
from ..errors import ConfigError, FitError, JpasGbmError, whole_number
from ..options import TuneOptions, Value
from ..run import Progress, Run, place_named, thread_count
from ..simulation.simulate import open_dataset
from ..store import provenance
from ..surveys.dataset import Dataset
from ..text import count, duration
from .objective import Objective
from .result import COUNTED, Counts, Ladder, Point, Study
from .space import Finalist, Fresh, Space, Untuned, flat, with_values
from .storage import Identity, identity, ignore_interrupts, open_study, parent_interrupts
from .study import OutOfTime, Work, earliest_as_good, load_answers, save_answers
from .trials import importances, outcome, outcome_counts, trial_history, trial_table

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    import optuna
    from optuna.trial import FrozenTrial


log = logging.getLogger("jpas_gbm")
_PATIENCE = 20.0
"""Seconds that a helper has to come to a clean end."""
_UNTUNED = -1
"""Number under which the answers of the untuned fit are kept."""


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a process needs to take part in a study.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    space : Space
        What is varied.
    options : TuneOptions
        Objective and ladder.
    folder : Path
        Of the study.
    trials : int
        How many the study is to have.
    seconds : float, optional
        Time allowed.
    seed, threads : int
        Of the study; of one process.
    about : Identity
        What the study is about.
    """

    dataset: Dataset
    space: Space
    options: TuneOptions
    folder: Path
    trials: int
    seconds: float | None
    seed: int
    threads: int
    about: Identity

    def objective(self, seed: int | None = None, progress: Progress | None = None) -> Objective:
        """Return what scores trials, with the study's seed or another.

        Parameters
        ----------
        seed : int, optional
            Of the trainings; default: the study's.
        progress : callable, optional
            Called as ``progress(stage, done, total)``.

        Returns
        -------
        Objective
        """
        run = Run.start(self.seed if seed is None else seed, self.threads, progress)
        return Objective(self.dataset, self.space, self.options.objective, run)

    def work(self, study: optuna.Study, progress: Progress | None = None) -> Work:
        """Return this process's share of the study.

        Parameters
        ----------
        study : optuna.Study
            The trials, shared by all processes.
        progress : callable, optional
            Called as ``progress(stage, done, total)``.

        Returns
        -------
        Work
        """
        return Work(study, self.objective(), self.options, self.folder, self.trials, self.seconds, progress)


_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as 90s, 45m, 2h, 1h30m or 1d.

    Parameters
    ----------
    duration : str

    Returns
    -------
    float
        s.

    Raises
    ------
    ConfigError
        If it is none, or no time at all.
    """
    word = duration.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", word)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != word or total <= 0:
        raise ConfigError(f"--timeout {duration}: write a time such as 90s, 45m, 2h or 1h30m.")
    return total


def tune(
    data: Dataset | str | Path | None = None,
    *,
    trials: int,
    out: str | Path,
    regime: str | None = None,
    config: TuneOptions | Mapping[str, object] | str | Path = "tune",
    timeout: float | str | None = None,
    jobs: int = 1,
    resume: bool = False,
    seed: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Study:
    """Look for better options of a fit on labelled target rows of train and validation, never of test.

    Parameters
    ----------
    data : Dataset or path, optional
        A data set or its folder; default: the built-in simulated survey of this seed.
    trials : int
        How many the study is to have in all, with those of earlier runs.
    out : path
        Folder of the study: journal, answers and results.
    regime : str, optional
        What training may touch; goes over the configuration's, and is ssda where neither says.
    config : TuneOptions, mapping or path
        Space, objective and ladder: options, a file, or a shipped configuration.
    timeout : float or str, optional
        Time allowed to this call, s; a trial under way is tried again by `resume`.
    jobs : int
        Processes; each holds its own features.
    resume : bool
        Go on with the study that is in `out`.
    seed, threads, progress : int, int, callable
        Of the study and all its trainings; shared by the processes (0: all); ``progress(stage, done, total)``.

    Returns
    -------
    Study

    Raises
    ------
    ConfigError, FitError
        If the space or a number is wrong, or the folder holds another study; if no trial could be finished.
    BundleError, OutputError, KeyboardInterrupt
        If the folder is damaged, locked or not empty; if interrupted before a trial is finished.
    """
    options = options_of(TuneOptions, config, "tune")
    place_named(out)
    limit, trials, jobs = _time_limit(timeout), whole_number("trials", trials), whole_number("jobs", jobs)
    seed = whole_number("seed", seed, 0)
    fit = flat(options.fit) | ({} if regime is None else {"regime": regime})
    space = Space.build(with_values(fit_options(None, regime), fit, "fit"), options.space)
    starts = [space.start(given) for given in options.start]
    starts = [values for i, values in enumerate(starts) if values not in starts[:i]]
    dataset = open_dataset(data, seed, progress).for_training()
    about, each = identity(dataset, space, options, seed), max(1, thread_count(threads) // jobs)
    plan = Plan(dataset, space, options, Path(out), trials, limit, seed, each, about)
    return _carried_out(plan, starts, jobs, resume, progress)


def _carried_out(
    plan: Plan, starts: list[dict[str, Value]], jobs: int, resume: bool, progress: Progress | None
) -> Study:
    """Open or begin the study, work on it, and return its result."""
    plan.objective()  # what is wrong with regime or objective is said before a folder is made
    study, notes = open_study(plan.folder, plan.about, plan.options, resume, starts)
    ended, more = _work(plan, study, jobs, progress)
    return _result(plan, study, ended, [*plan.space.notes, *notes, *more], progress)


def _time_limit(timeout: float | str | None) -> float | None:
    """Return the time allowed in s, if there is any."""
    timeout = seconds(timeout) if isinstance(timeout, str) else timeout
    if timeout is not None and timeout <= 0:
        raise ConfigError(f"a time limit of {timeout:g} s leaves no time. Give more, or none.")
    return timeout


def _work(plan: Plan, study: optuna.Study, jobs: int, progress: Progress | None) -> tuple[str, list[str]]:
    """Try until the study has its trials, with helping processes; return how it ended, and notes."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    helpers = [context.Process(target=_help, args=(plan, stop), daemon=True) for _ in range(jobs - 1)]
    work = plan.work(study, progress)
    whole = plan.trials * outlook(plan.dataset, plan.space.base, plan.threads) / jobs
    work.told = f"trials, at most about {duration(whole)} in all"
    try:
        with ignore_interrupts():
            for helper in helpers:
                helper.start()
        ended = work.run()
        if ended != "interrupted":
            for helper in helpers:
                helper.join()
            if helpers and ended == "finished":
                ended = work.run()  # what a helper left unfinished
    except KeyboardInterrupt:
        ended = "interrupted"
    finally:
        _stop(helpers, stop)
    return ended, work.notes


def _help(plan: Plan, stop: Event) -> None:
    """Take part in a study that another process began and speaks for."""
    warnings.simplefilter("ignore")
    try:
        study, _ = open_study(plan.folder, plan.about, plan.options, resume=True)
        work = plan.work(study)
        work.interrupts = partial(parent_interrupts, stop)
        work.run()
    except JpasGbmError as error:
        log.warning("a helping process ended: %s", error)


def _stop(helpers: list[Any], stop: Event) -> None:
    stop.set()
    for helper in helpers:
        if helper.pid is None:
            continue
        helper.join(timeout=_PATIENCE)
        if helper.is_alive():
            helper.terminate()


def _trials(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False)


def _refuse_unfinished(plan: Plan, study: optuna.Study, ended: str) -> None:
    """Raise what says that no trial has done all its work."""
    if ended == "interrupted":
        raise KeyboardInterrupt(
            f"interrupted before a trial had done all its work. The study in {plan.folder} goes on with --resume."
        )
    begun = ", ".join(f"{n} {name}" for name, n in outcome_counts(_trials(study)).items()) or "none was begun"
    raise FitError(
        f"{plan.folder}: no trial has done all its work yet ({begun}). Go on with --resume and more time or trials."
    )


def _so_far(plan: Plan, study: optuna.Study, ended: str) -> list[FrozenTrial]:
    """Return the trials that scored on a rung when the time was up, those that came farthest and are best first."""
    scored = [trial for trial in _trials(study) if "losses" in trial.user_attrs]
    if ended != "timeout" or not scored:
        _refuse_unfinished(plan, study, ended)
    attrs = {trial.number: trial.user_attrs for trial in scored}
    return sorted(scored, key=lambda t: (-len(attrs[t.number]["steps"]), attrs[t.number]["losses"][0], t.number))


def _result(plan: Plan, study: optuna.Study, ended: str, notes: list[str], progress: Progress | None) -> Study:
    """Choose the best trial, measure it against fresh seeds and the untuned fit, and save the study."""
    trials = _trials(study)
    complete = [trial for trial in trials if outcome(trial) == "complete"]
    ranked = sorted(complete, key=lambda trial: (trial.values[0], trial.number))
    ranked = ranked or _so_far(plan, study, ended)
    best = ranked[0]
    if not complete:
        notes = [
            *notes,
            f"no trial has done all its work: the best so far, trial {best.number}, was judged before that.",
        ]
    busy = sum(outcome(trial) == "running" for trial in trials)
    if busy:
        notes = [
            *notes,
            f"{count(busy, 'trial is', 'trials are')} still under way in other processes: the result will be written "
            "again.",
        ]
    default, fresh = None, None
    if ended in ("finished", "exhausted") and not busy:
        try:
            best, fresh = _fresh(plan, study, ranked[: plan.options.finalists], progress)
            default = _default(plan, study, best, progress)
        except (KeyboardInterrupt, OutOfTime):
            ended = "interrupted"
    if fresh is None and plan.options.fresh_seeds:
        notes = [*notes, "fresh seeds were not measured: --resume does what is left."]
    found = _found(plan, study, best, ended, notes).model_copy(update={"default": default, "fresh": fresh})
    found.save(plan.folder)
    return found


def _default(plan: Plan, study: optuna.Study, best: FrozenTrial, progress: Progress | None) -> Untuned | None:
    """Return what the untuned options score on the same rows, and how far the best is from it."""
    measure = plan.objective().measure
    if "default" not in study.user_attrs:
        figures, answers = plan.objective(progress=progress).score_whole(plan.space.base)
        save_answers(plan.folder, _UNTUNED, answers)
        study.set_user_attr("default", {"figures": figures, "candidate": answers.candidate})
    known = study.user_attrs["default"]
    ours, theirs = load_answers(plan.folder, best.number), load_answers(plan.folder, _UNTUNED)
    if ours is None or theirs is None:
        return None
    loss = measure.losses(known["figures"])[0]
    interval = measure.interval(ours, plan.seed, theirs)
    return Untuned(loss, best.values[0] - loss, interval, known["candidate"], known["figures"])


def _fresh(
    plan: Plan, study: optuna.Study, finalists: list[FrozenTrial], progress: Progress | None
) -> tuple[FrozenTrial, Fresh | None]:
    """Train the best trials anew with other seeds; return the one to keep, and how much was luck of the seed.

    What is best of many by a hair is best by luck of its seed as often as not.
    """
    if not plan.options.fresh_seeds:
        return finalists[0], None
    seeds = tuple(plan.seed + 1 + i for i in range(plan.options.fresh_seeds))
    known = _fresh_losses(plan, study, finalists, seeds, progress)
    losses = {trial.number: tuple(known[str(trial.number)][: len(seeds)]) for trial in finalists}
    kept = earliest_as_good(losses)
    best = next(trial for trial in finalists if trial.number == kept)
    means = {number: float(np.mean(each)) for number, each in losses.items()}
    each = tuple(Finalist(t.number, t.values[0], losses[t.number], means[t.number]) for t in finalists)
    return best, Fresh(losses[kept], means[kept], means[kept] - best.values[0], seeds, each)


def _fresh_losses(
    plan: Plan, study: optuna.Study, finalists: list[FrozenTrial], seeds: tuple[int, ...], progress: Progress | None
) -> dict[str, list[float]]:
    """Return the losses of each finalist with each fresh seed, by the trial's number; those known are kept."""
    known: dict[str, list[float]] = dict(study.user_attrs.get("fresh", {}))
    for i, seed in enumerate(seeds):
        objective: Objective | None = None  # finalists of one seed share rows and trees
        for place, trial in enumerate(finalists):
            losses = known.get(str(trial.number), [])
            if progress is not None:
                progress("finalists, fresh seeds", i * len(finalists) + place, len(seeds) * len(finalists))
            if len(losses) <= i:
                objective = objective or plan.objective(seed, progress)
                figures, _ = objective.score_whole(plan.space.options(trial.params))
                known[str(trial.number)] = [*losses, objective.measure.losses(figures)[0]]
                study.set_user_attr("fresh", known)
    return known


def _found(plan: Plan, study: optuna.Study, best: FrozenTrial, ended: str, notes: list[str]) -> Study:
    """Return all that the study's trials say."""
    trials, measure = _trials(study), plan.objective().measure
    answers = load_answers(plan.folder, best.number)
    known = outcome_counts(trials)
    interval = None if answers is None else measure.interval(answers, plan.seed)
    front = study.best_trials if len(measure.metrics) > 1 else []
    options, about = plan.options, plan.about
    first = measure.metrics[0]
    seconds = round(sum(t.user_attrs.get("seconds", 0.0) for t in trials), 1)
    return Study(
        regime=plan.space.base.regime,
        seed=plan.seed,
        measured=f"{'' if first in ('log_loss', 'mix') else '1 - '}{first}",
        metrics=measure.metrics,
        counts=Counts(sum(known.get(kind, 0) for kind in COUNTED), plan.trials, known, ended, seconds),
        best=replace(_point(best), interval=interval),
        front=tuple(map(_point, front)),
        rows=0 if answers is None else len(answers.y),
        label_budget=_budget(plan),
        importances=importances(trials),
        history=trial_history(trials),
        space=dict(plan.space.entries),
        ladder=Ladder(options.ladder, options.keep, options.among),
        notes=tuple(sorted({*notes, *best.user_attrs.get("notes", [])})),
        provenance=provenance(
            seed=plan.seed, options=options.model_dump(mode="json"), data=plan.dataset.provenance, about=about
        ),
        name=plan.folder.resolve().name,
        options=plan.space.options(best.params),
        front_options={trial.number: plan.space.options(trial.params) for trial in front},
        table=trial_table(trials, plan.space, measure.metrics),
    )


def _point(trial: FrozenTrial) -> Point:
    attrs = trial.user_attrs
    losses, values = tuple(trial.values or attrs["losses"]), dict(trial.params)
    return Point(trial.number, losses[0], losses, attrs.get("figures", {}), values, attrs.get("candidate", ""))


def _budget(plan: Plan) -> dict[str, int]:
    """Return how many labelled target objects the study used, and for what."""
    train, val = (len(plan.dataset.target_rows(split)) for split in ("train", "val"))
    if plan.options.objective.judge == "folds":
        return {"target labels for trees": train + val, "target labels for choosing": train + val}
    return {"target labels for trees": train, "target labels for choosing": val}
