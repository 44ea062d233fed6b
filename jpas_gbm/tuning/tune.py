"""tune: a study from its options to its result, in one process or several."""

from __future__ import annotations

import logging
import multiprocessing
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, FitError, JpasGbmError
from ..options import FitOptions, Rung, TuneOptions
from ..run import Progress
from ..store import provenance
from ..surveys.dataset import Dataset
from .objective import Objective, joined, mean_figures
from .result import Tuned, counts, history, importances, slices, table
from .space import Space, flat, with_values
from .storage import deaf, from_parent, identity, open_study
from .study import COUNTED, OutOfTime, Work, begin_with, earliest_as_good, load_answers, outcome, save_answers

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from optuna.study import Study
    from optuna.trial import FrozenTrial


log = logging.getLogger("jpas_gbm")
_PATIENCE = 20.0
"""Seconds that a helper has to come to a clean end."""


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a process needs to take part in a study.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    space : Space
    options : TuneOptions
    folder : Path
        Of the study.
    trials : int
        How many the study is to have.
    seconds : float, optional
        Time allowed.
    seed, threads : int
    about : mapping
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
    about: Mapping[str, Any]

    def objective(self, seed: int | None = None, progress: Progress | None = None) -> Objective:
        """Return what judges trials, with the study's seed or another."""
        own = self.seed if seed is None else seed
        return Objective(self.dataset, self.space, self.options.objective, own, self.threads, progress)

    def work(self, study: Study, progress: Progress | None = None) -> Work:
        """Return this process's share of the study."""
        objective = self.objective()
        return Work(study, objective, self.options, self.folder, self.trials, self.seconds, progress)


def tune(
    dataset: Dataset,
    base: FitOptions,
    options: TuneOptions,
    out: str | Path,
    *,
    trials: int,
    timeout: float | None = None,
    jobs: int = 1,
    resume: bool = False,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Tuned:
    """Look for better options of a fit on labelled target rows of train and validation.

    Parameters
    ----------
    dataset : Dataset
        Its test labels are masked before anything else is done.
    base : FitOptions
        The untuned fit; ``options.fit`` goes over it.
    options : TuneOptions
        Space, objective and ladder.
    out : path
        Folder of the study: journal, answers and results.
    trials : int
        How many the study is to have in all, with those of earlier runs and other processes.
    timeout : float, optional
        Time allowed to this call, s. A trial under way is given up, and tried again by --resume.
    jobs : int
        Processes; each holds its own features.
    resume : bool
        Go on with the study that is in `out`.
    seed : int
        Seed of the study and of every training in it.
    threads : int
        Threads of the libraries, shared by the processes.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Raises
    ------
    ConfigError
        If the space or a number is wrong, or the folder holds another study.
    FitError
        If no trial could be finished.
    BundleError, OutputError
        If the folder is damaged, locked, or not empty.
    KeyboardInterrupt
        If it is interrupted before a trial is finished; a later interrupt ends the study with a result.
    """
    if trials < 1:
        raise ConfigError(f"{trials} trials: there would be nothing to try. Ask for 1 or more.")
    if timeout is not None and timeout <= 0:
        raise ConfigError(f"a time limit of {timeout:g} s leaves no time. Give more, or none.")
    space = Space.build(with_values(base, flat(options.fit), "fit"), options.space)
    starts = [space.start(given) for given in options.start]
    masked = dataset.for_training()
    about = identity(masked, space, options, seed)
    each = max(1, threads // max(1, jobs))
    plan = Plan(masked, space, options, Path(out), trials, timeout, seed, each, about)
    plan.objective()  # what is wrong with regime or objective is said before a folder is made
    study, notes = open_study(plan.folder, dict(about), options, resume)
    if not resume:
        begin_with(study, starts)
    ended, more = _run(plan, study, jobs, progress)
    return _result(plan, study, ended, [*space.notes, *notes, *more], progress)


def _run(plan: Plan, study: Study, jobs: int, progress: Progress | None) -> tuple[str, list[str]]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    helpers = [context.Process(target=_help, args=(plan, stop), daemon=True) for _ in range(jobs - 1)]
    work = plan.work(study, progress)
    try:
        with deaf():
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
        study, _ = open_study(plan.folder, dict(plan.about), plan.options, resume=True)
        work = plan.work(study)
        work.interrupts = partial(from_parent, stop)
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


def _complete(study: Study) -> list[FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if outcome(trial) == "complete"]


def _result(plan: Plan, study: Study, ended: str, notes: list[str], progress: Progress | None) -> Tuned:
    complete = _complete(study)
    if not complete:
        known = counts(study.get_trials(deepcopy=False))
        if ended == "interrupted":
            raise KeyboardInterrupt(
                f"interrupted before a trial had done all its work. The study in {plan.folder} goes on with --resume."
            )
        begun = ", ".join(f"{n} {name}" for name, n in known.items()) or "none was begun"
        raise FitError(
            f"{plan.folder}: no trial has done all its work yet ({begun}). Go on with --resume and more time or trials."
        )
    ranked = sorted(complete, key=lambda trial: (trial.values[0], trial.number))
    best = ranked[0]
    trials = study.get_trials(deepcopy=False)
    busy = sum(outcome(trial) == "running" for trial in trials)
    if busy:
        notes = [*notes, f"{busy} trial(s) are still under way in other processes: the result will be written again."]
    whole = ended in ("finished", "exhausted") and not busy
    default = fresh = None
    if whole:
        try:
            best, fresh = _fresh(plan, study, ranked[: plan.options.finalists], progress)
            default = _default(plan, study, best, progress)
        except (KeyboardInterrupt, OutOfTime):
            ended = "interrupted"
    if fresh is None and plan.options.fresh_seeds:
        notes = [*notes, "fresh seeds were not measured: --resume does what is left."]
    told = _told(plan, study, best, ended, notes) | {"default": default, "fresh": fresh}
    front = {one["trial"]: plan.space.options(one["values"]) for one in told["front"]}
    tuned = Tuned(
        plan.space.options(best.params),
        told,
        front,
        table(study.get_trials(deepcopy=False), plan.space, plan.objective().measure.metrics),
    )
    tuned.save(plan.folder)
    return tuned


def _default(plan: Plan, study: Study, best: FrozenTrial, progress: Progress | None) -> dict[str, Any] | None:
    """Return what the untuned options score on the same rows, and how far the best is from it."""
    measure = plan.objective().measure
    if "default" not in study.user_attrs:
        objective = plan.objective(progress=progress)
        judged = [objective.judge(plan.space.base, Rung(), fold) for fold in range(objective.folds)]
        save_answers(plan.folder, -1, joined(judged))
        study.set_user_attr("default", {"figures": mean_figures(judged), "candidate": joined(judged).candidate})
    known = dict(study.user_attrs["default"])
    ours, theirs = load_answers(plan.folder, best.number), load_answers(plan.folder, -1)
    if ours is None or theirs is None:
        return None
    loss = measure.losses(known["figures"])[0]
    interval = measure.interval(ours, plan.seed, theirs)
    return known | {"loss": loss, "difference": best.values[0] - loss, "interval": list(interval)}


def _fresh(
    plan: Plan, study: Study, finalists: list[FrozenTrial], progress: Progress | None
) -> tuple[FrozenTrial, dict[str, Any] | None]:
    """Train the best trials anew with other seeds; return the one to keep, and how much was luck of the seed.

    What is best of many by a hair is best by luck of its seed as often as not.
    """
    if not plan.options.fresh_seeds:
        return finalists[0], None
    measure = plan.objective().measure
    seeds = [plan.seed + 1 + i for i in range(plan.options.fresh_seeds)]
    known: dict[str, list[float]] = dict(study.user_attrs.get("fresh", {}))
    jobs = [(trial, i) for i in range(len(seeds)) for trial in finalists]
    objectives: dict[int, Objective] = {}
    for done, (trial, i) in enumerate(jobs):
        losses = known.get(str(trial.number), [])
        if progress is not None:
            progress("finalists, fresh seeds", done, len(jobs))
        if len(losses) <= i:
            if i not in objectives:
                objectives = {i: plan.objective(seeds[i], progress)}  # finalists of one seed share rows and trees
            figures, _ = objectives[i].whole(plan.space.options(trial.params))
            known[str(trial.number)] = [*losses, measure.losses(figures)[0]]
            study.set_user_attr("fresh", known)
    over = {trial.number: known[str(trial.number)][: len(seeds)] for trial in finalists}
    means = {number: float(np.mean(losses)) for number, losses in over.items()}
    kept = earliest_as_good(over)
    best = next(trial for trial in finalists if trial.number == kept)
    told = [
        {"trial": one.number, "loss": one.values[0], "losses": over[one.number], "mean": means[one.number]}
        for one in finalists
    ]
    optimism = means[kept] - best.values[0]
    return best, {
        "seeds": seeds,
        "losses": over[kept],
        "mean": means[kept],
        "optimism": optimism,
        "finalists": told,
    }


def _told(plan: Plan, study: Study, best: FrozenTrial, ended: str, notes: list[str]) -> dict[str, Any]:
    trials = study.get_trials(deepcopy=False)
    measure = plan.objective().measure
    answers = load_answers(plan.folder, best.number)
    known = counts(trials)
    asked = {
        "asked": plan.trials,
        "counted": sum(known.get(name, 0) for name in COUNTED),
        "outcomes": known,
        "ended": ended,
        "seconds": round(sum(t.user_attrs.get("seconds", 0.0) for t in trials), 1),
    }
    front = study.best_trials if len(measure.metrics) > 1 else []
    made = provenance(
        seed=plan.seed, options=plan.options.model_dump(mode="json"), data=plan.dataset.provenance, about=plan.about
    )
    return {
        "format": 1,
        "regime": plan.space.base.regime,
        "seed": plan.seed,
        "measured": " and ".join(f"{'' if m in ('log_loss', 'mix') else '1 - '}{m}" for m in measure.metrics[:1]),
        "metrics": list(measure.metrics),
        "trials": asked,
        "best": _point(best)
        | {
            "candidate": best.user_attrs.get("candidate", ""),
            "interval": None if answers is None else list(measure.interval(answers, plan.seed)),
        },
        "front": [_point(trial) for trial in front],
        "rows_judged": 0 if answers is None else len(answers.y),
        "label_budget": _budget(plan),
        "importances": importances(trials),
        "history": history(trials),
        "slices": slices(trials, plan.space),
        "space": plan.space.to_dict(),
        "ladder": plan.about["ladder"],
        "notes": sorted({*notes, *best.user_attrs.get("notes", [])}),
        "provenance": made,
    }


def _point(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "loss": trial.values[0],
        "losses": list(trial.values),
        "figures": trial.user_attrs.get("figures", {}),
        "values": dict(trial.params),
    }


def _budget(plan: Plan) -> dict[str, int]:
    """Return how many labelled target objects the study used, and for what."""
    train, val = (len(plan.dataset.target_rows(split)) for split in ("train", "val"))
    if plan.options.objective.judge == "folds":
        return {"target labels for trees": train + val, "target labels for choosing": train + val}
    return {"target labels for trees": train, "target labels for choosing": val}
