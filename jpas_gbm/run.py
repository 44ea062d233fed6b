"""Run: what every step of a job shares (seed, threads, progress, journal), and the claim on the place it writes to."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .atomic import clear_leftovers, real_place, refuse_existing, refuse_other_kind
from .errors import OutputError, whole_number
from .text import globbed

if TYPE_CHECKING:
    import numpy as np

Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)``."""
COUNTS = ("models", "candidates", "trials", "finalists", "few bands")
"""First words of the stages that count trainings: each of their steps is told, with the time that is left."""
Entry = dict[str, Any]
"""What the journal says of a stage: its name, seconds, and facts such as rows and rounds."""
log = logging.getLogger("jpas_gbm")
Inputs = Iterable[str | Path | None]


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

    Raises
    ------
    ConfigError
        If it is no whole number of 0 or more.
    """
    threads = whole_number("threads", threads, 0)
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

        Raises
        ------
        ConfigError
            If the seed, or the number of threads, is no whole number of 0 or more.
        """
        return cls(whole_number("seed", seed, 0), thread_count(threads), progress)

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
        import numpy as np

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

    @contextlib.contextmanager
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
        trim()
        entry["seconds"] = round(time.perf_counter() - start, 3)
        self.entries.append(entry)
        said = ", ".join(f"{key} {value}" for key, value in entry.items() if key not in ("stage", "seconds"))
        log.info("%s: %.1f s%s", name, entry["seconds"], f" ({said})" if said else "")
        self.report(name, 1, 1)

    def note(self, *sentences: str) -> None:
        """Keep sentences that the user must see, each once.

        Parameters
        ----------
        *sentences : str
            What was wrong, and what was done about it.
        """
        for sentence in sentences:
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


HEADS = {
    "model": "model.json",
    "data set": "dataset.json",
    "evaluation": "metrics.json",
    "explanation": "explanation.json",
    "simulated survey": "shift.json",
    "mocks": "mocks.json",
    "study": "study.json",
    "fetched sky": "fetch.json",
    "HATS catalogue": "hats.properties",
    "HATS collection": "collection.properties",
}
"""The file that tells a folder of each kind."""

OWN = {
    "evaluation": ("curves.json", "exhibits/*"),
    "explanation": ("contributions.npz",),
    "simulated survey": (
        *("README.md", "truth.csv", "jpas_idr.fits", "desi_zcat.fits", "legacy_tractor.fits"),
        *(f"Mock_{part}_{what}" for part in ("train", "valid", "test") for what in ("FLUX+NOISE.npy", "PROPS.csv")),
    ),
    "mocks": ("mocks.parquet", "parents.csv", "survey.yaml", "Mock_spectra_FLUX+NOISE.npy", "Mock_spectra_PROPS.csv"),
    "HATS catalogue": ("partition_info.csv", "properties", "dataset/*"),
    "HATS collection": ("*/hats.properties", "*/partition_info.csv", "*/properties", "*/dataset/*"),
}
"""What a folder of each kind may hold beside its head and the files that this lists."""


def _a(kind: str) -> str:
    """Return a noun with its article."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _foreign(path: Path, kind: str) -> list[str]:
    """Return the files of a folder that the package did not put there."""
    head = path / HEADS[kind]
    try:
        told = json.loads(head.read_text(encoding="utf-8")) if head.suffix == ".json" else {}
        listed = {*(told.get("files") or {}), *(told.get("checksums") or {})}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        listed = set()
    names = (one.relative_to(path).as_posix() for one in sorted(path.rglob("*")) if not one.is_dir())
    own = OWN.get(kind, ())
    return [n for n in names if n != head.name and n not in listed and not any(fnmatch(n, word) for word in own)]


def claim_folder(out: str | Path, kind: str, overwrite: bool, inputs: Inputs = ()) -> Path:
    """Refuse a folder that cannot be made, or whose replacement would destroy something else.

    What a run that was killed left beside it is cleared first.

    Parameters
    ----------
    out : path
        The folder wanted.
    kind : str
        What will be in it, one of :data:`HEADS`: with `overwrite`, only a folder of that kind is replaced.
    overwrite : bool
        Whether a folder that is there may be replaced.
    inputs : iterable of path or None
        Files and folders that are read.

    Returns
    -------
    Path
        The folder wanted.

    Raises
    ------
    OutputError
        If it exists and may not be replaced, is or holds an input, is of another kind, holds files of others, or cannot
        be made.
    """
    path = _claim(out, overwrite, inputs, directory=True)
    if kind == "HATS catalogue" and (path / HEADS["HATS collection"]).is_file():
        kind = "HATS collection"
    if path.exists() and any(path.iterdir()) and not (path / HEADS[kind]).is_file():
        raise OutputError(
            f"{out}: holds other things than {_a(kind)} (there is no {HEADS[kind]}), and --overwrite would destroy "
            "them. Give another --out, or remove the folder yourself."
        )
    if path.exists() and (foreign := _foreign(path, kind) if any(path.iterdir()) else []):
        named = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3:,} more" if len(foreign) > 3 else "")
        raise OutputError(
            f"{out}: holds {named}, which no {kind} has, and --overwrite would destroy what it does not know. Move "
            "that away, or give another --out."
        )
    return path


def claim_file(out: str | Path, overwrite: bool, inputs: Inputs = ()) -> Path:
    """Refuse a file that cannot be made, or whose replacement would destroy something else.

    Parameters
    ----------
    out : path
        The file wanted.
    overwrite, inputs
        As for :func:`claim_folder`.

    Returns
    -------
    Path
        The file wanted.

    Raises
    ------
    OutputError
        As for :func:`claim_folder`.
    """
    return _claim(out, overwrite, inputs, directory=False)


def claim_room(out: str | Path) -> Path:
    """Refuse a folder that results cannot be put into: it cannot be made, or belongs to another result.

    Parameters
    ----------
    out : path
        The folder wanted; it may exist.

    Returns
    -------
    Path
        The folder wanted.

    Raises
    ------
    OutputError
        If it is a file, holds a result of another kind, or cannot be made.
    """
    path = place_named(out)
    refuse_other_kind(real_place(path), directory=True)
    for kind, head in HEADS.items():
        if (path / head).is_file():
            raise OutputError(f"{out}: is the folder of {_a(kind)} ({head}). Give another --out.")
    _check_parent(path)
    return path


def place_named(out: str | Path) -> Path:
    """Return the place that a word names.

    Parameters
    ----------
    out : path

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If it is empty: it would be the folder that one is in.
    """
    if not str(out).strip():
        raise OutputError("--out is empty. Name where the result goes.")
    return Path(out)


def _claim(out: str | Path, overwrite: bool, inputs: Inputs, directory: bool) -> Path:
    path = place_named(out)
    clear_leftovers(path)
    refuse_existing(path, overwrite)
    _check_parent(path)
    refuse_other_kind(real_place(path), directory)
    place, here = path.resolve(), Path.cwd().resolve()
    if not place.exists():
        return path
    if place == here or place in here.parents:
        raise OutputError(f"--out {out}: is or holds the folder that you are in. Give another --out.")
    for name in (one for one in inputs if one is not None):
        for known in (one.resolve() for one in globbed(Path(name)) or [Path(name)]):
            if known == place or place in known.parents or (known in place.parents and place.is_file()):
                how = "is" if known == place else "holds" if place in known.parents else "lies in"
                raise OutputError(
                    f"--out {out}: {how} {name}, which is read: --overwrite would destroy it. Give another --out."
                )
    return path


def _check_parent(path: Path) -> None:
    """Refuse a path below a file, or below a folder that may not be written to."""
    parent = next((above for above in path.absolute().parents if above.exists()), Path())
    if not parent.is_dir():
        raise OutputError(f"{path}: {parent} is a file, so nothing can be made in it. Give another --out.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: you may not write to {parent}. Give another --out.")


def trim() -> None:
    """Give memory that was freed back to the system; glibc would keep it."""
    if sys.platform == "linux" and (give := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        give(0)


_Function = TypeVar("_Function", bound=Callable[..., object])


class Later:
    """What is made when it is first used, and costs a start nothing.

    Parameters
    ----------
    make : callable or str
        Makes it; or a module, by name.
    """

    def __init__(self, make: Callable[[], Any] | str) -> None:
        self._make = make

    @functools.cached_property
    def made(self) -> Any:
        """The thing itself."""
        return importlib.import_module(self._make) if isinstance(self._make, str) else self._make()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.made(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.made, name)


def compiled(function: _Function, *sources: str, **options: Any) -> _Function:
    """Have Numba compile a function for arguments of the types that it is called with; before, nothing is done.

    It is kept on disk, beside the code or in the user's cache, where a folder can be written, in a file named after
    the contents of the sources that went into it: Numba itself looks at the date and size of one.

    Parameters
    ----------
    function : callable
    *sources : str
        Files of its constants, beside its own and those of the compiled functions that it calls.
    **options
        Of ``numba.njit``.

    Returns
    -------
    callable
    """
    code, known = function.__code__, function.__globals__

    def make() -> Any:
        import numba

        called = {name: known[name] for name in code.co_names if isinstance(known.get(name), Later)}
        files = {vars(one)["__wrapped__"].__code__.co_filename for one in called.values() if "__wrapped__" in vars(one)}
        text = b"".join(Path(one).read_bytes() for one in sorted({*files, *sources, code.co_filename}))
        function.__qualname__ = f"{later.__qualname__}_{hashlib.sha256(text).hexdigest()[:16]}"
        known.update({name: one.made for name, one in called.items()})
        with contextlib.suppress(RuntimeError):
            return numba.njit(cache=True, nogil=True, **options)(function)
        return numba.njit(nogil=True, **options)(function)

    later = functools.update_wrapper(Later(make), function)
    later.py_func = function  # type: ignore[attr-defined]
    return later  # type: ignore[return-value]
