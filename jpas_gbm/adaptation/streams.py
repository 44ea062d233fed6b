"""The random streams of a fit, spawned from its one seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Streams:
    """One stream for rows, one for trees, one for choices.

    Parameters
    ----------
    seed : int
        The seed that the user gave.
    """

    seed: int

    @cached_property
    def _spawned(self) -> list[np.random.SeedSequence]:
        return np.random.SeedSequence(self.seed).spawn(3)

    def rows(self) -> np.random.SeedSequence:
        """Return the stream of the rows, fresh each time: spawning from it is not a pure function."""
        known = self._spawned[0]
        return np.random.SeedSequence(known.entropy, spawn_key=known.spawn_key)

    @property
    def trees(self) -> int:
        """Seed of the trees."""
        return _integer(self._spawned[1])

    @property
    def choices(self) -> int:
        """Seed of folds and resamples of the choices."""
        return _integer(self._spawned[2])


def _integer(seeds: np.random.SeedSequence) -> int:
    return int(seeds.generate_state(1)[0] % (2**31 - 1))
