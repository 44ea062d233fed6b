"""Workers: which processes are at work on a study, so that the trials of dead ones are taken up again."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BEAT = 5.0
SILENCE = 60.0
"""Seconds without a beat after which a worker on another machine counts as dead."""


def _folder(study: Path) -> Path:
    return study / "workers"


@contextmanager
def at_work(study: Path) -> Iterator[str]:
    """Sign a process in for as long as the block runs, and give its name.

    A file with host and process id stands in the study's folder meanwhile, and is touched every few seconds.
    """
    name = uuid.uuid4().hex
    path = _folder(study) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
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
    """Return whether a worker is still at work."""
    path = _folder(study) / f"{name}.json"
    try:
        known = json.loads(path.read_text())
        host, pid = known["host"], int(known["pid"])
        silent = time.time() - path.stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if host == socket.gethostname() and not _process_exists(pid):
        return False
    return silent < SILENCE


def others_alive(study: Path, own: str = "") -> bool:
    """Return whether any other worker is at work on a study."""
    found = _folder(study).glob("*.json") if _folder(study).is_dir() else ()
    return any(is_alive(study, path.stem) for path in found if path.stem != own)


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
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False
