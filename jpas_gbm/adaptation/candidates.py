"""Candidates: the ways to use mocks and labels that a fit may choose among."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..config import FitOptions
from ..fitted import Member
from .stages import Stages

Way = Literal["mocks", "target", "continue", "pool", "pseudo", "stack", "mean"]


@dataclass(frozen=True)
class Candidate:
    """One way to make a classifier out of the stages.

    Parameters
    ----------
    way : str
        ``mocks`` and ``target`` are the baselines, ``continue``, ``pool``, ``stack`` the ways to adapt,
        ``pseudo`` pools with pseudo-labels too, ``mean`` is the mean of the margins of `parts`.
    gamma : float
        Temper of the importance weights of the mocks.
    target_weight : float
        Weight of a target row when pooling.
    parts : tuple of Candidate
        What a mean is made of.
    """

    way: Way
    gamma: float = 0.0
    target_weight: float = 0.0
    parts: tuple[Candidate, ...] = ()

    @property
    def name(self) -> str:
        """What it is, in a few characters: ``continue(gamma=0.25)``."""
        if self.way == "mean":
            return "mean[" + " + ".join(part.name for part in self.parts) + "]"
        if self.way in ("pool", "pseudo"):
            return f"{self.way}(weight={self.target_weight:g})"
        if self.way in ("continue", "stack") or self.gamma:
            return f"{self.way}(gamma={self.gamma:g})"
        return self.way

    def members(self, stages: Stages, seed: int | None = None, backend: str | None = None) -> list[Member]:
        """Return the models of this way, trained now if they were not before."""
        if self.way == "mean":
            return [member for part in self.parts for member in part.members(stages, seed, backend)]
        if self.way == "stack":
            base = stages.base(self.gamma, seed, backend)
            return [Member("stack", stages.stacked(self.gamma, seed, backend), base, self.name)]
        if self.way == "mocks":
            booster = stages.base(self.gamma, seed, backend)
        elif self.way == "target":
            booster = stages.target(seed, backend)
        elif self.way == "continue":
            booster = stages.continued(self.gamma, seed, backend)
        elif self.way == "pseudo":
            booster = stages.pseudo(self.target_weight, seed, backend)
        else:
            booster = stages.pooled(self.target_weight, seed, backend)
        return [Member("plain", booster, None, self.name)]


def singles(options: FitOptions, gammas: tuple[float, ...]) -> list[Candidate]:
    """Return the adapting candidates that are no means, for the recipe of the options."""
    continued = [Candidate("continue", gamma=gamma) for gamma in gammas]
    stacked = [Candidate("stack", gamma=0.0)]
    pooled = [Candidate("pool", target_weight=weight) for weight in options.target_weight]
    if options.pseudo_weight > 0:
        pooled += [Candidate("pseudo", target_weight=weight) for weight in options.target_weight]
    by_recipe = {
        "continue": continued,
        "stack": stacked,
        "pool": pooled,
        "mean": continued + stacked,
        "auto": continued + stacked + pooled,
    }
    return by_recipe[options.recipe]


def means(scored: list[tuple[float, Candidate]]) -> list[Candidate]:
    """Return means of the best candidate of each way: the best two ways, and all of them.

    Parameters
    ----------
    scored : list of (float, Candidate)
        Validation loss of each single candidate.
    """
    best: dict[str, tuple[float, Candidate]] = {}
    for loss, candidate in scored:
        if candidate.way not in best or loss < best[candidate.way][0]:
            best[candidate.way] = (loss, candidate)
    ranked = [candidate for _, candidate in sorted(best.values(), key=lambda pair: pair[0])]
    return [Candidate("mean", parts=tuple(ranked[:n])) for n in sorted({2, len(ranked)}) if 2 <= n <= len(ranked)]
