"""Ctrl-C, put off to a place where stopping is clean, and passed on to the processes that help."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

log = logging.getLogger("jpas_gbm")


@contextmanager
def put_off() -> Iterator[Callable[[], None]]:
    """Give a function that raises KeyboardInterrupt if Ctrl-C was pressed since; a second Ctrl-C raises at once.

    The library loses an interrupt that comes while it waits for the lock of a journal. Outside the main thread,
    where signals cannot be handled, nothing is put off.
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
def from_parent(stop: Event) -> Iterator[Callable[[], None]]:
    """Give a function that raises KeyboardInterrupt once the parent process says so or is gone.

    Parameters
    ----------
    stop : multiprocessing.Event
        Set by the parent.
    """
    parent = multiprocessing.parent_process()

    def check() -> None:
        if stop.is_set() or (parent is not None and not parent.is_alive()):
            raise KeyboardInterrupt

    yield check


@contextmanager
def deaf() -> Iterator[None]:
    """Let processes that are started in this block never hear Ctrl-C, which a terminal sends to all of them.

    Here it is heard at the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
