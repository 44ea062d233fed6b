"""Run: what every step of a job shares, namely its seed, threads, progress and journal."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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


def thread_count(threads: int = 0) -> int:
    """Return the number of threads asked for, at most as many as this process may use; 0 means all of these."""
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(threads or most, most)


@dataclass(frozen=True)
class Run:
    """What every step of a job shares. One value instead of four parameters.

    Parameters
    ----------
    seed : int
        The seed that the user gave; every random stream is spawned from it (:attr:`streams`).
    threads : int
        Threads that libraries and kernels may use.
    journal : Journal
        What was trained, on how much, for how long, and the notes that the user must see.
    """

    seed: int = 0
    threads: int = 1
    journal: Journal = field(default_factory=Journal, repr=False, compare=False)

    @classmethod
    def start(cls, seed: int = 0, threads: int = 1, progress: Progress | None = None) -> Run:
        """Return a run with an empty journal that reports to `progress`, called as ``progress(stage, done, total)``."""
        return cls(seed, thread_count(threads), Journal(progress))

    @property
    def streams(self) -> Streams:
        """The random streams spawned from the seed."""
        return Streams(self.seed)

    @property
    def progress(self) -> Progress | None:
        """Where progress is reported to."""
        return self.journal.progress

    def at(self, place: str) -> Run:
        """Return the same run with a place named beside each stage, such as a fold."""
        return replace(self, journal=self.journal.at(place))

    def fresh(self, progress: Progress | None = None) -> Run:
        """Return the same run with an empty journal, reporting to `progress` or, without it, to where it did."""
        return replace(self, journal=Journal(progress or self.progress))

    def stage(self, name: str, **facts: Any) -> AbstractContextManager[dict[str, Any]]:
        """Time a stage and enter it into the journal; see :meth:`Journal.stage`."""
        return self.journal.stage(name, **facts)

    def note(self, sentence: str) -> None:
        """Keep a sentence that the user must see."""
        self.journal.note(sentence)

    def report(self, stage: str, done: int, total: int) -> None:
        """Pass progress on."""
        self.journal.report(stage, done, total)
