"""The command line: thin verbs over the public API, and the only place that prints or exits."""

from __future__ import annotations

import signal
import sys
from typing import Any


def _terminated(number: int, frame: Any) -> None:
    """End as if by an exception, so that nothing half-written stays."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run ``jpas-gbm``."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        from . import verbs  # noqa: F401 (each registers itself)
        from .console import app

        app(prog_name="jpas-gbm")
    except KeyboardInterrupt:  # before a verb began
        print("error: interrupted; nothing was begun.", file=sys.stderr)
        sys.exit(130)
