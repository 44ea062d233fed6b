"""Run: what every step of a job shares, namely its seed, threads, progress and journal."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)``."""
Entry = dict[str, Any]
"""What the journal says of a stage: its name, seconds, and facts such as rows and rounds."""
log = logging.getLogger("jpas_gbm")


def thread_count(threads: int = 0) -> int:
    """Return how many threads are used.

    Parameters
    ----------
    threads : int
        Threads asked for; 0 means all, or as many as the environment variable OMP_NUM_THREADS says.

    Returns
    -------
    int
        At most as many as this process may use.
    """
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    usual = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(threads or (int(usual) if usual.isdecimal() else 0) or most, most)


@dataclass(frozen=True)
class Run:
    """What every step of a job shares. One value instead of four parameters.

    Parameters
    ----------
    seed : int
        The seed that the user gave; every random stream is spawned from it.
    threads : int
        Threads that libraries and kernels may use.
    progress : callable, optional
        Called as ``progress(stage, done, total)``; what it raises ends the job.
    entries : list of dict
        The journal: what was done, on how much, for how long, in the order it happened.
    notes : list of str
        What the user must see: what was wrong and what was done about it.
    place : str
        Which fold the stages belong to; empty where there is but one.
    """

    seed: int = 0
    threads: int = 1
    progress: Progress | None = field(default=None, repr=False, compare=False)
    entries: list[Entry] = field(default_factory=list, repr=False, compare=False)
    notes: list[str] = field(default_factory=list, repr=False, compare=False)
    place: str = ""

    @classmethod
    def start(cls, seed: int = 0, threads: int = 1, progress: Progress | None = None) -> Run:
        """Return a run with an empty journal.

        Parameters
        ----------
        seed : int
            The seed that the user gave.
        threads : int
            Threads asked for; 0 means all.
        progress : callable, optional
            Called as ``progress(stage, done, total)``.

        Returns
        -------
        Run
        """
        return cls(seed, thread_count(threads), progress)

    def at(self, place: str) -> Run:
        """Return the same run, which names a place beside each stage.

        Parameters
        ----------
        place : str
            Such as a fold.

        Returns
        -------
        Run
            With the same journal.
        """
        return replace(self, place=place)

    def fresh(self, progress: Progress | None = None) -> Run:
        """Return the same run with an empty journal.

        Parameters
        ----------
        progress : callable, optional
            Where it reports to; default: where this one does.

        Returns
        -------
        Run
        """
        return replace(self, progress=progress or self.progress, entries=[], notes=[])

    def _stream(self, number: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(number,))

    @property
    def row_stream(self) -> np.random.SeedSequence:
        """The random stream of the rows, fresh each time: spawning from it is not a pure function."""
        return self._stream(0)

    @property
    def tree_seed(self) -> int:
        """Seed of the trees."""
        return _integer(self._stream(1))

    @property
    def choice_seed(self) -> int:
        """Seed of folds and resamples of the choices."""
        return _integer(self._stream(2))

    @contextmanager
    def stage(self, name: str, **facts: Any) -> Iterator[Entry]:
        """Time a stage and enter it into the journal.

        Parameters
        ----------
        name : str
            Of the stage.
        **facts
            What the entry says besides.

        Yields
        ------
        dict
            The entry, to which the block may add facts.
        """
        name = f"{name} ({self.place})" if self.place else name
        entry: Entry = {"stage": name, **facts}
        self.report(name, 0, 1)
        start = time.perf_counter()
        yield entry
        entry["seconds"] = round(time.perf_counter() - start, 3)
        self.entries.append(entry)
        said = ", ".join(f"{key} {value}" for key, value in entry.items() if key not in ("stage", "seconds"))
        log.info("%s: %.1f s%s", name, entry["seconds"], f" ({said})" if said else "")
        self.report(name, 1, 1)

    def note(self, sentence: str) -> None:
        """Keep a sentence that the user must see, once.

        Parameters
        ----------
        sentence : str
            What was wrong, and what was done about it.
        """
        if sentence not in self.notes:
            self.notes.append(sentence)
            log.warning("%s", sentence)

    def report(self, stage: str, done: int, total: int) -> None:
        """Pass progress on.

        Parameters
        ----------
        stage : str
            What is under way.
        done, total : int
            How much of it is done, and of how much.
        """
        if self.progress is not None:
            self.progress(stage, done, total)


def _integer(seeds: np.random.SeedSequence) -> int:
    return int(seeds.generate_state(1)[0] % (2**31 - 1))
