"""The random streams of a fit, spawned from its one seed.

The journal of a fit: what was trained, on how much, for how long.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

Progress = Callable[[str, int, int], None]
log = logging.getLogger("jpas_gbm")


@dataclass
class Journal:
    """Entries in the order they happened, for the log and the model card.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    place : str
        Which fold the stages belong to; empty where there is but one.
    """

    progress: Progress | None = None
    entries: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    place: str = ""

    def at(self, place: str) -> Journal:
        """Return a journal that writes to the same lists and names a place with each stage."""
        return replace(self, place=place)

    @contextmanager
    def stage(self, name: str, **facts: Any) -> Iterator[dict[str, Any]]:
        """Time a stage; the block may add facts to the entry it is given."""
        name = f"{name} ({self.place})" if self.place else name
        entry: dict[str, Any] = {"stage": name, **facts}
        self.report(name, 0, 1)
        start = time.perf_counter()
        yield entry
        entry["seconds"] = round(time.perf_counter() - start, 3)
        self.entries.append(entry)
        told = ", ".join(f"{key} {value}" for key, value in entry.items() if key not in ("stage", "seconds"))
        log.info("%s: %.1f s%s", name, entry["seconds"], f" ({told})" if told else "")
        self.report(name, 1, 1)

    def note(self, sentence: str) -> None:
        """Keep a sentence that the user must see: what was wrong and what the fit did about it."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            log.warning("%s", sentence)

    def report(self, stage: str, done: int, total: int) -> None:
        """Pass progress on."""
        if self.progress is not None:
            self.progress(stage, done, total)


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
