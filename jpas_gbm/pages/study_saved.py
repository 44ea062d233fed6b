"""The trials of a tuning study, as its file tells them.

TuningStudy: what a tuning study found, as ``tune`` saved it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..store import read_json
from ..text import MINUS
from .saved import Interval, interval, real, within


class Step(NamedTuple):
    """How much work a trial was given on a rung of the ladder."""

    mocks: float
    coarseness: float
    recipe: str | None

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Step:
        """Return one of the file's rungs."""
        recipe = one.get("recipe")
        return cls(float(one.get("mocks", 1)), float(one.get("coarseness", 1)), None if recipe is None else str(recipe))


class Trial(NamedTuple):
    """One trial.

    Parameters
    ----------
    number : int
    outcome : str
        complete, pruned (given up early) or failed.
    first : float or None
        Loss of the first figure on the first, cheap step.
    losses : tuple of float or None
        Of every figure, all work done; None where it was not.
    best : float or None
        Lowest loss so far.
    """

    number: int
    outcome: str
    first: float | None
    losses: tuple[float, ...] | None
    best: float | None

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Trial:
        """Return a trial of the file's history."""
        losses = one.get("losses")
        return cls(
            int(one["trial"]),
            str(one["outcome"]),
            real((one.get("steps") or {}).get("0")),
            None if losses is None else tuple(map(float, losses)),
            real(one.get("best_so_far")),
        )


class Tried(NamedTuple):
    """A value of one option that a trial had, and the loss of the trial's first step."""

    trial: int
    value: Any
    first: float
    outcome: str

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Tried:
        """Return a point of one of the file's slices."""
        return cls(int(one["trial"]), one["value"], float(one["first"]), str(one.get("outcome", "complete")))


class Best(NamedTuple):
    """The trial that the study names best; `interval` is of the loss, 95 %, over objects."""

    trial: int
    loss: float
    interval: Interval | None
    candidate: str
    figures: Mapping[str, float | None]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Best:
        """Return the file's best."""
        return cls(
            int(one["trial"]),
            float(one["loss"]),
            interval(one.get("interval")),
            str(one.get("candidate", "")),
            {str(name): real(value) for name, value in (one.get("figures") or {}).items()},
            dict(one.get("values") or {}),
        )


class Finalist(NamedTuple):
    """A trial trained with seeds that the study did not use: its loss, and those of the fresh seeds."""

    trial: int
    loss: float
    losses: tuple[float, ...]
    mean: float

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Finalist:
        """Return one of the file's finalists."""
        return cls(int(one["trial"]), float(one["loss"]), tuple(map(float, one["losses"])), float(one["mean"]))


class Fresh(NamedTuple):
    """The best options trained with seeds that the study did not use, and all trials that were."""

    seeds: tuple[int, ...]
    losses: tuple[float, ...]
    mean: float
    optimism: float
    finalists: tuple[Finalist, ...]

    @classmethod
    def of(cls, one: Mapping[str, Any] | None, best: Mapping[str, Any]) -> Fresh | None:
        """Return what the file says of fresh seeds, if anything."""
        if one is None:
            return None
        # Before there were finalists, the best alone met fresh seeds.
        own = {"trial": best["trial"], "loss": best["loss"], "losses": one["losses"], "mean": one["mean"]}
        finalists = tuple(map(Finalist.of, one.get("finalists") or [own]))
        losses, seeds = tuple(map(float, one["losses"])), tuple(map(int, one.get("seeds", ())))
        return cls(seeds, losses, float(one["mean"]), float(one["optimism"]), finalists)


class Untuned(NamedTuple):
    """The fit that was not tuned; `difference` is the best loss less this one, on the same rows."""

    candidate: str
    loss: float
    difference: float
    interval: Interval | None

    @classmethod
    def of(cls, one: Mapping[str, Any] | None) -> Untuned | None:
        """Return what the file says of the untuned fit, if anything."""
        if one is None:
            return None
        told = str(one.get("candidate", ""))
        return cls(told, float(one["loss"]), float(one["difference"]), interval(one.get("interval")))


def front_of(points: Iterable[Mapping[str, Any]]) -> tuple[Trial, ...]:
    """Return the Pareto front by rising first loss."""
    found = [
        Trial(int(one["trial"]), "complete", None, tuple(map(float, one["losses"])), float(one["losses"][0]))
        for one in points
    ]
    return tuple(sorted(found, key=lambda one: one.losses or ()))


FILE = "tuning.json"

_LOSSES = {
    "log_loss": "log loss",
    "macro_f1": f"1 {MINUS} macro-F1",
    "average_precision": f"1 {MINUS} average precision",
    "mix": f"mix of log loss, 1 {MINUS} macro-F1 and 1 {MINUS} average precision",
}


@dataclass(frozen=True, eq=False)
class TuningStudy:
    """A tuning study.

    Parameters
    ----------
    name : str
        The folder's.
    regime : str
    seed : int or None
    losses : tuple of str
        What was made small, in words; two for a Pareto front.
    best : Best
    fresh : Fresh or None
        None where it was not measured.
    default : Untuned or None
    counted, asked : int
        Trials.
    outcomes : mapping of str to int
        How many ended each way.
    ended : str
        finished, exhausted, timeout or interrupted.
    seconds : float or None
        Spent on trials.
    trials : tuple of Trial
    slices : mapping of str to tuple of Tried
        By option.
    front : tuple of Trial
        The Pareto front by rising first loss; empty for one figure.
    importances : mapping of str to float
        Each option's share of the variance of the first step's loss, largest first; empty for few trials.
    space : mapping of str to mapping
        What each option may be.
    rungs : tuple of Step
        Of the ladder, cheapest first.
    keep : float or None
        Share of the trials that climb from a step to the next.
    among : int
        How many of the latest trials on a step that share is of; 0: all.
    rows : int
        Rows that judged.
    budget : mapping of str to int
        Labels by use.
    notes : tuple of str
    record : mapping
        Provenance.
    """

    name: str
    regime: str
    seed: int | None
    losses: tuple[str, ...]
    best: Best
    fresh: Fresh | None
    default: Untuned | None
    counted: int
    asked: int
    outcomes: Mapping[str, int]
    ended: str
    seconds: float | None
    trials: tuple[Trial, ...]
    slices: Mapping[str, tuple[Tried, ...]] = field(default_factory=dict)
    front: tuple[Trial, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rungs: tuple[Step, ...] = ()
    keep: float | None = None
    among: int = 0
    rows: int = 0
    budget: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path) -> TuningStudy:
        """Read the study in a folder.

        Raises
        ------
        BundleError
            If its file is missing or is not JSON.
        KeyError, TypeError, ValueError, AttributeError
            If the file holds something else.
        """
        folder = Path(folder)
        return cls.from_dict(folder.resolve().name, read_json(folder / FILE))

    @classmethod
    def from_dict(cls, name: str, told: Mapping[str, Any]) -> TuningStudy:
        """Return a study from what its file holds; what an interrupted one lacks is None or empty."""
        asked, ladder = told["trials"], told.get("ladder") or {}
        metrics = told.get("metrics") or [str(told["measured"]).removeprefix("1 - ")]
        seed = told.get("seed")
        return cls(
            name,
            str(told["regime"]),
            None if seed is None else int(seed),
            tuple(_loss_words(metric, told) for metric in metrics),
            Best.of(told["best"]),
            Fresh.of(told.get("fresh"), told["best"]),
            Untuned.of(told.get("default")),
            int(asked["counted"]),
            int(asked.get("asked", asked["counted"])),
            {str(kind): int(n) for kind, n in asked.get("outcomes", {}).items()},
            str(asked.get("ended", "finished")),
            real(asked.get("seconds")),
            tuple(map(Trial.of, told["history"])),
            {name: tuple(map(Tried.of, tries)) for name, tries in (told.get("slices") or {}).items()},
            front_of(told.get("front") or []),
            {str(option): float(share) for option, share in (told.get("importances") or {}).items()},
            {str(option): dict(entry) for option, entry in (told.get("space") or {}).items()},
            tuple(map(Step.of, ladder.get("rungs", []))),
            real(ladder.get("keep")),
            int(ladder.get("among") or 0),
            int(told.get("rows_judged", 0)),
            {str(use): int(n) for use, n in (told.get("label_budget") or {}).items()},
            tuple(map(str, told.get("notes") or [])),
            dict(told.get("provenance") or {}),
        )

    @property
    def loss(self) -> str:
        """What trials are ranked by, in words."""
        return self.losses[0]

    @property
    def cut(self) -> float | None:
        """Faintest magnitude of the rows that judge, where the provenance tells."""
        return real(within(self.record, "about", "fit", "cut"))

    @property
    def by_folds(self) -> bool:
        """Whether folds of train and validation judged, and not the validation split."""
        return bool(within(self.record, "options", "objective", "judge") == "folds")

    @property
    def stepped(self) -> bool:
        """Whether the first step is less than all the work."""
        return any(one.first is not None and (one.losses is None or one.first != one.losses[0]) for one in self.trials)

    @property
    def chosen(self) -> str:
        """How the best trial was chosen, in words."""
        n = 0 if self.fresh is None else len(self.fresh.finalists)
        return (
            f"of the {n} best, the earliest that fresh seeds do not tell from the lowest"
            if n > 1
            else "the lowest of all"
        )

    @property
    def ranked(self) -> list[str]:
        """Options by falling importance, or as the space names them."""
        return [*self.importances, *(name for name in self.space if name not in self.importances)]


def _loss_words(metric: Any, told: Mapping[str, Any]) -> str:
    words = _LOSSES.get(str(metric), str(metric))
    of_class = within(told, "provenance", "options", "objective", "of_class")
    return f"{words} of {of_class}" if metric == "average_precision" and of_class else words
