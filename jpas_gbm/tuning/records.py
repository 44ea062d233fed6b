"""Records: the parts of what a study found, as tuning.json holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer

from ..options import Entry, Rung, Value


def _known_ends(value: Any) -> Any:
    """Return an interval, or None where an end is not known."""
    return None if value is None or None in tuple(value) else value


Interval = Annotated[tuple[float, float] | None, BeforeValidator(_known_ends)]
"""Both ends of a 95 % interval; None where it is not known."""


Figures = Mapping[str, float | None]


SpaceEntry = Annotated[
    Entry, PlainSerializer(lambda entry: entry.model_dump(mode="json", exclude_defaults=True), when_used="json")
]


@dataclass(frozen=True)
class Counts:
    """How many trials there were: asked for, counted towards that, by outcome; how the study ended; seconds spent."""

    counted: int
    asked: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    ended: str = "finished"
    seconds: float | None = None


@dataclass(frozen=True)
class Point:
    """A finished trial.

    Parameters
    ----------
    trial : int
        Its number.
    loss : float
        What trials are ranked by.
    losses : tuple of float
        Of each figure of the study.
    figures : mapping of str to float
        ``log_loss``, ``macro_f1`` and ``average_precision``.
    values : mapping
        Of the options, by dotted name, as the study stores them.
    candidate : str
        The way of adapting that was best.
    interval : tuple of float, optional
        Of the loss, 95 %, over objects.
    """

    trial: int
    loss: float = float("nan")
    losses: tuple[float, ...] = ()
    figures: Figures = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)
    candidate: str = ""
    interval: Interval = None


@dataclass(frozen=True)
class Trial:
    """A trial of the study's history.

    Parameters
    ----------
    trial : int
        Its number.
    outcome : str
        complete, pruned (given up early) or failed.
    losses : tuple of float, optional
        Of each figure, all work done; None where it was not.
    steps : mapping of str to float
        Loss of the first figure after each step of the ladder.
    best_so_far : float, optional
        Lowest loss of the trials up to this one.
    seconds : float, optional
        Spent on it.
    values : mapping
        Of the options, by dotted name.
    """

    trial: int
    outcome: str
    losses: tuple[float, ...] | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    best_so_far: float | None = None
    seconds: float | None = None
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def first(self) -> float | None:
        """Loss of the first, cheap step."""
        return self.steps.get("0")


class Tried(NamedTuple):
    """A value of one option that a trial had, and the loss of the trial's first step."""

    trial: int
    value: Value
    first: float
    outcome: str


@dataclass(frozen=True)
class Finalist:
    """A trial trained with seeds that the study did not use: its loss, and those of the fresh seeds and their mean."""

    trial: int
    loss: float
    losses: tuple[float, ...]
    mean: float


@dataclass(frozen=True)
class Fresh:
    """The best options trained with fresh seeds, and all trials that were.

    Parameters
    ----------
    losses : tuple of float
        Of each fresh seed.
    mean : float
        Of these.
    optimism : float
        The mean less the loss with the study's seed: how much of that was luck of the seed.
    seeds : tuple of int
        The fresh seeds.
    finalists : tuple of Finalist
        All trials that were trained with them.
    """

    losses: tuple[float, ...]
    mean: float
    optimism: float
    seeds: tuple[int, ...] = ()
    finalists: tuple[Finalist, ...] = ()


@dataclass(frozen=True)
class Untuned:
    """The fit that was not tuned; `difference` is the best loss less this one on the same rows, with its interval."""

    loss: float
    difference: float
    interval: Interval = None
    candidate: str = ""
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True)
class Ladder:
    """The rungs that trials climb, the share that goes on, and among how many of the latest (0: all)."""

    rungs: tuple[Rung, ...] = ()
    keep: float | None = None
    among: int = 0
