"""The command line: thin verbs over the public API, and the only place that prints or exits."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Any

# Options that take several values, as a shell's wildcard gives them: --source A B C.
_MANY = {
    "prepare": ("--source", "--target", "--labels", "--legacy", "--survey"),
    "compare": ("--regimes",),
    "explain": ("--object", "--legacy"),
}


def spread_values(arguments: Sequence[str]) -> list[str]:
    """Return arguments with ``--source A B`` written as ``--source A --source B``."""
    spread: list[str] = []
    many = _MANY.get(arguments[0], ()) if arguments else ()
    option, taken = "", False
    for word in arguments:
        if word.startswith("-"):
            option, taken = word if word in many else "", False
        elif option and taken:
            spread.append(option)
        else:
            taken = True
        spread.append(word)
    return spread


def _terminated(number: int, frame: Any) -> None:
    """End as if by an exception, so that nothing half-written stays."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run ``jpas-gbm``."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        from .app import app

        app(spread_values(sys.argv[1:]), prog_name="jpas-gbm")
    except KeyboardInterrupt:  # before a verb began
        print("error: interrupted; nothing was begun.", file=sys.stderr)
        sys.exit(130)
