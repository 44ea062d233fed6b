"""The command line: thin verbs over the public API, and the only place that prints or exits."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Any

_asked: list[int] = []


def _terminated(number: int, frame: Any) -> None:
    """End as if by an exception, so that nothing half-written stays."""
    if not _asked:
        _asked.append(128 + number)
        with suppress(OSError):
            os.write(2, b"error: terminated; nothing half-made was left.\n")
    raise SystemExit(128 + number)


def _interrupted(number: int, frame: Any) -> None:
    """End as Python does, and remember it: what is being loaded may make another error of it, or none."""
    if not _asked:
        _asked.append(128 + number)
    raise KeyboardInterrupt


def _insist(lost: Any) -> None:
    """Raise again, a moment later, what asked for the end while no exception could pass: in a destructor, say."""
    kind = lost.exc_type
    if not issubclass(kind, SystemExit | KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return

    def again(number: int, frame: Any) -> None:
        raise kind(*(_asked[:1] if kind is SystemExit else ()))

    with suppress(ValueError, AttributeError):  # another thread, or a platform without timers
        signal.signal(signal.SIGALRM, again)
        signal.setitimer(signal.ITIMER_REAL, 0.02)


def _make_writable() -> None:
    """Let closed streams swallow what is said, and those that cannot show a sign show a question mark."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (open to the end)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def main() -> None:
    """Run ``jpas-gbm``."""
    _asked.clear()
    for name in ("SIGTERM", "SIGHUP"):  # a closed terminal ends a run likewise, but for one under nohup
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _terminated)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a job in the background ignores it
        signal.signal(signal.SIGINT, _interrupted)
    sys.unraisablehook = _insist
    _make_writable()
    try:
        from . import verbs  # noqa: F401 (each registers itself)
        from .console import app

        app(prog_name="jpas-gbm")
    except KeyboardInterrupt:  # before a verb began
        _untold()
    except SystemExit as end:
        # Typer ends in silence what is interrupted while it parses; what a verb told bears its words.
        cause = getattr(end.__context__, "__cause__", None)
        if isinstance(cause, KeyboardInterrupt) and not cause.args:
            _untold()
        if _asked and end.code != _asked[0]:  # something caught the end that was asked for
            sys.exit(_asked[0])
        raise
    except Exception:
        if _asked:  # a library that was being loaded made another error of it
            if _asked[0] == 130:
                print("error: interrupted; nothing half-made was left.", file=sys.stderr)
            sys.exit(_asked[0])
        raise


def _untold() -> None:
    print("error: interrupted; nothing was begun.", file=sys.stderr)
    sys.exit(130)
