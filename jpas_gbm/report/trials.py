"""The trials of a tuning study, as its file tells them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .saved import Interval, interval, real


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
