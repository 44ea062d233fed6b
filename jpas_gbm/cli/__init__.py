"""The command line: thin verbs over the public API, and the only place that prints or exits."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Any


def _terminated(number: int, frame: Any) -> None:
    """End as if by an exception, so that nothing half-written stays."""
    with suppress(OSError):
        os.write(2, b"error: terminated; nothing half-made was left.\n")
    raise SystemExit(128 + number)


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
    _make_writable()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        from . import verbs  # noqa: F401 (each registers itself)
        from .console import app

        app(prog_name="jpas-gbm")
    except KeyboardInterrupt:  # before a verb began
        print("error: interrupted; nothing was begun.", file=sys.stderr)
        sys.exit(130)
