"""A study on disk: its journal, its head, the processes at work on it, and how an interrupt ends them cleanly."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
import uuid
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from .. import __version__
from ..atomic import atomic_folder, clear_leftovers, real_place
from ..errors import BundleError, ConfigError, OutputError
from ..options import TuneOptions, Value
from ..store import library_versions, read_json, write_json
from ..surveys.dataset import Dataset
from .space import Space

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from optuna.study import Study


BEAT = 5.0
SILENCE = 60.0
"""Seconds without a beat after which a worker on another machine counts as dead."""


def _folder(study: Path) -> Path:
    return study / "workers"


@contextmanager
def at_work(study: Path) -> Iterator[str]:
    """Sign a process in for as long as the block runs, and give its name.

    A file with host and process id stands in the study's folder meanwhile, and is touched every few seconds.

    Parameters
    ----------
    study : Path
        Folder of the study.

    Yields
    ------
    str
    """
    name = uuid.uuid4().hex
    path = _folder(study) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    for other in path.parent.glob("*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):  # just being written, or gone
            if _has_ended(other):
                other.unlink()
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}), encoding="utf-8")
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(BEAT):
            path.touch()

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield name
    finally:
        stop.set()
        path.unlink(missing_ok=True)


def is_alive(study: Path, name: str) -> bool:
    """Return whether a worker is still at work.

    Parameters
    ----------
    study : Path
        Folder of the study.
    name : str
        Of the worker.

    Returns
    -------
    bool
    """
    path = _folder(study) / f"{name}.json"
    try:
        return not _has_ended(path) and time.time() - path.stat().st_mtime < SILENCE
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _has_ended(path: Path) -> bool:
    """Return whether a worker is known to be no more: a process of this machine that is not there."""
    known = json.loads(path.read_text(encoding="utf-8"))
    host, pid = known["host"], int(known["pid"])
    return bool(host == socket.gethostname() and not _process_exists(pid))


def others_alive(study: Path, own: str = "") -> bool:
    """Return whether any other worker is at work on a study.

    Parameters
    ----------
    study : Path
        Folder of the study.
    own : str
        Name of a worker that does not count.

    Returns
    -------
    bool
    """
    return any(is_alive(study, path.stem) for path in _folder(study).glob("*.json") if path.stem != own)


def _process_exists(pid: int) -> bool:
    if os.name == "nt":  # signal 0 would end the process there; its silence must do
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


FORMAT = 1
_CREATE_STUDY = 0
"""What the library calls the record that begins a study."""
HEAD = "study.json"
JOURNAL = "journal.log"
_LOCKED = 5.0
_RESTORE = "Restore the file from a copy, or begin another study in another --out. Nothing was changed."
_MISMATCHES = {
    "data": "it was made with another data set",
    "space": "it has another space",
    "objective": "it has another objective",
    "ladder": "its trials climb another ladder",
    "fit": "its fits have other options",
    "seed": "it has another seed",
    "version": "it was made by another version of jpas-gbm, whose trees and scores differ",
}


class Identity(TypedDict):
    """What a study is about, as study.json holds it: another of these is another study."""

    data: str
    space: dict[str, Any]
    objective: dict[str, Any]
    ladder: dict[str, Any]
    fit: dict[str, Any]
    seed: int
    version: str


def identity(dataset: Dataset, space: Space, options: TuneOptions, seed: int) -> Identity:
    """Return what a study is about: another of these is another study.

    Parameters
    ----------
    dataset : Dataset
        What is fitted on, test labels masked.
    space : Space
        What is varied.
    options : TuneOptions
        Objective and ladder.
    seed : int
        Of the study.

    Returns
    -------
    Identity
    """
    return {
        "data": dataset.for_training().fingerprint(),
        "space": space.to_dict(),
        "objective": options.objective.model_dump(mode="json"),
        "ladder": {
            "rungs": [rung.model_dump() for rung in options.ladder],
            "keep": options.keep,
            "among": options.among,
        },
        "fit": space.base.model_dump(mode="json"),
        "seed": seed,
        "version": __version__,
    }


def open_study(
    folder: Path, about: Identity, options: TuneOptions, resume: bool, starts: Iterable[Mapping[str, Value]] = ()
) -> tuple[Study, list[str]]:
    """Open the study of a folder, or begin it.

    Parameters
    ----------
    folder : Path
        Of the study.
    about : Identity
        What the study is about.
    options : TuneOptions
        Sampler and objective.
    resume : bool
        Whether a study that is there goes on.
    starts : iterable of mapping of str to Value
        Values of each trial that a new study begins with, by dotted name.

    Returns
    -------
    study : optuna.Study
    notes : list of str
        What was unusual.

    Raises
    ------
    OutputError
        If the folder holds something and `resume` is false.
    ConfigError
        If it holds a study of something else.
    BundleError
        If there is no study to resume, or it is damaged or locked.
    """
    notes: list[str] = []
    if resume:
        notes = _check_head(folder, about)
        _check_journal(folder / JOURNAL)
        clear_leftovers(folder)
        for path in (folder / "answers").glob(".*.partial"):  # of trials that were killed and get another number
            clear_leftovers(path.with_name(path.name[1:].rsplit(".", 2)[0]))
        return _replayed(folder, about, options), notes
    _check_free(folder)
    return _begin(folder, about, options, starts), notes


def _check_free(folder: Path) -> None:
    if folder.is_dir():
        if any(folder.iterdir()):
            raise OutputError(
                f"{folder}: is not empty. A study that stands there goes on with --resume; otherwise give another "
                "--out."
            )
    elif folder.exists():
        raise OutputError(f"{folder}: is a file, and a study is a folder. Give another --out.")


START = "start"
"""Mark of the trials that a study was given to begin with: they are given all the work."""


def _begin(folder: Path, about: Identity, options: TuneOptions, starts: Iterable[Mapping[str, Value]]) -> Study:
    """Make the folder of a study with its journal and its first trials in one step: each such folder can be resumed."""
    head = {"format": FORMAT, "about": about, "libraries": library_versions()}
    try:
        if folder.is_dir():
            real_place(folder).rmdir()
        with atomic_folder(folder) as made:
            study = _study(made, about, options)
            for values in starts:
                study.enqueue_trial(dict(values), user_attrs={START: True})
            write_json(made / HEAD, head, sealed=True)
    except OutputError:
        _check_free(folder)  # another process was first
        raise
    except OSError as error:
        raise OutputError(
            f"{folder}: no study can be begun there ({error.strerror or error}). Choose another --out."
        ) from error
    return _study(folder, about, options)


def _replayed(folder: Path, about: Identity, options: TuneOptions) -> Study:
    try:
        return _study(folder, about, options)
    except OSError:
        raise
    except Exception as error:  # whatever the library stumbles over
        raise BundleError(
            f"{folder / JOURNAL}: its records do not fit together ({type(error).__name__}: {error}). {_RESTORE}"
        ) from error


def _checked(record: Mapping[str, object]) -> int:
    """Return the checksum of a record of the journal."""
    return zlib.crc32(json.dumps({n: v for n, v in record.items() if n != "crc"}, sort_keys=True).encode())


def _study(folder: Path, about: Identity, options: TuneOptions) -> Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    from .trials import NumberedSampler

    class Journal(JournalFileBackend):
        """A journal whose records carry a checksum of themselves."""

        def append_logs(self, logs: list[dict[str, object]]) -> None:
            plain = json.loads(json.dumps(logs))
            super().append_logs([{**record, "crc": _checked(record)} for record in plain])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = str(folder / JOURNAL)
    count = 1 if options.objective.also is None else 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.create_study(
            storage=JournalStorage(Journal(path, lock_obj=JournalFileOpenLock(path))),
            study_name="jpas-gbm",
            load_if_exists=True,
            sampler=NumberedSampler(about["seed"], options.startup),
            pruner=optuna.pruners.NopPruner(),
            directions=["minimize"] * count,
        )


def _check_head(folder: Path, about: Identity) -> list[str]:
    if not (folder / HEAD).is_file():
        free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        place = "there" if free else "in another --out"
        raise BundleError(f"{folder}: holds no study (no {HEAD}). Begin one {place}, without --resume.")
    head = read_json(folder / HEAD)
    if not isinstance(head, dict) or head.get("format") != FORMAT or not isinstance(head.get("about"), dict):
        raise BundleError(f"{folder / HEAD}: is no study that this version reads. Begin another in another --out.")
    wrong = [why for name, why in _MISMATCHES.items() if head["about"].get(name) != about.get(name)]
    if wrong:
        raise ConfigError(
            f"{folder}: the study there cannot go on: {'; '.join(wrong)}. Resume with what it was begun with, "
            "or begin another in another --out. Nothing was changed."
        )
    known, now = head.get("libraries", {}), library_versions()
    moved = [f"{name} {known[name]} -> {now.get(name)}" for name in known if known[name] != now.get(name)]
    return (
        [f"libraries changed since the study began: {', '.join(moved)}. Scores may differ a little."] if moved else []
    )


def _check_journal(path: Path) -> None:
    if not path.is_file():
        raise BundleError(f"{path}: is missing, so the study's trials are lost. Restore it, or begin another study.")
    _wait_for_lock(path)
    content = path.read_bytes()
    lines = content.split(b"\n")
    tail = lines.pop()
    checked = b'"crc":' in content  # earlier versions wrote none
    for number, line in enumerate(lines, 1):
        if not _is_record(line, checked):
            raise BundleError(f"{path}: line {number} of {len(lines)} is damaged. {_RESTORE}")
    if not lines or json.loads(lines[0])["op_code"] != _CREATE_STUDY:
        raise BundleError(f"{path}: does not begin with the beginning of a study: its trials are lost. {_RESTORE}")
    if tail and not others_alive(path.parent):
        # A process was killed while it wrote: half a line would make the next one unreadable.
        with open(path, "r+b") as stream:
            stream.truncate(len(content) - len(tail))


def _is_record(line: bytes, checked: bool) -> bool:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return False
    if not isinstance(record, dict) or "op_code" not in record or "worker_id" not in record:
        return False
    return not checked or record.get("crc") == _checked(record)


def _wait_for_lock(path: Path) -> None:
    """Wait while another process writes; a lock that nobody alive can hold is taken away."""
    lock = path.with_name(path.name + ".lock")
    begun = time.monotonic()
    while lock.exists():
        if not others_alive(path.parent):
            try:
                lock.unlink()
            except OSError as error:
                raise BundleError(
                    f"{lock}: the study is locked, no process of it is alive, and the lock cannot be taken away "
                    f"({error.strerror}). Remove it by hand, then resume."
                ) from error
            return
        if time.monotonic() - begun > _LOCKED:
            return  # others write one after the other: the library waits its turn
        time.sleep(0.05)


log = logging.getLogger("jpas_gbm")


@contextmanager
def defer_interrupts() -> Iterator[Callable[[], None]]:
    """Give a function that raises KeyboardInterrupt if Ctrl-C was pressed since; a second Ctrl-C raises at once.

    The library loses an interrupt that comes while it waits for the lock of a journal. Outside the main thread,
    where signals cannot be handled, nothing is put off.

    Yields
    ------
    callable
    """
    pressed: list[int] = []

    def note(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)
        log.warning("interrupted: ending after this round of boosting. Ctrl-C again ends at once.")

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def parent_interrupts(stop: Event) -> Iterator[Callable[[], None]]:
    """Give a function that raises KeyboardInterrupt once the parent process says so or is gone.

    Parameters
    ----------
    stop : multiprocessing.Event
        Set by the parent.

    Yields
    ------
    callable
    """
    parent = multiprocessing.parent_process()

    def check() -> None:
        if stop.is_set() or (parent is not None and not parent.is_alive()):
            raise KeyboardInterrupt

    yield check


@contextmanager
def ignore_interrupts() -> Iterator[None]:
    """Let processes that are started in this block ignore Ctrl-C, which a terminal sends to all of them.

    In this process it takes effect at the end of the block.

    Yields
    ------
    None
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
