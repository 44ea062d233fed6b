"""Where results go: refused before any work is done, where something else would be lost.

What a verb says and how it ends: results on stdout, everything else on stderr, one exit code.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ParamSpec

import typer

from ..errors import JpasGbmError
from ..store import dump_json

P = ParamSpec("P")
Progress = Callable[[str, int, int], None]

Out = Annotated[str, typer.Option("--out", help="Where the result goes.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there; otherwise refuse.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Every random stream is spawned from it.")]
Threads = Annotated[int, typer.Option("--threads", min=0, help="Threads of the libraries; 0 is all cores.")]
Config = Annotated[str | None, typer.Option("--config", help="A YAML file, or the name of a shipped one.")]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more (stderr).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors (stderr).")]
Data = Annotated[str | None, typer.Option("--data", help="A data set made by 'prepare'; none: the built-in survey.")]


def say(*lines: str) -> None:
    """Print result lines on stdout."""
    for line in lines:
        print(line)


def say_json(value: Any) -> None:
    """Print a result as JSON on stdout."""
    sys.stdout.write(dump_json(value))


def start_log(verbose: int, quiet: bool) -> None:
    """Send the package's log to stderr at the level asked for."""
    level = logging.ERROR if quiet else logging.WARNING - 10 * min(verbose, 2)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("jpas_gbm").setLevel(level)
    # What libraries warn of is for those who ask for more.
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.WARNING if verbose else logging.ERROR)


def _fail(message: str, code: int) -> typer.Exit:
    print(f"error: {message}", file=sys.stderr)
    return typer.Exit(code)


def verb(function: Callable[P, None]) -> Callable[P, None]:
    """Turn what a verb raises into one message and the right exit code."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except JpasGbmError as error:
            raise _fail(str(error), 1) from error
        except KeyboardInterrupt as error:
            raise _fail(str(error) or "interrupted; nothing half-made was left.", 130) from error
        except MemoryError as error:
            raise _fail(
                "not enough memory. Use fewer rows, or smaller --chunk-rows where the verb has it.", 1
            ) from error
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise _fail(f"{where}{error.strerror or error}.", 1) from error
        except EOFError as error:
            raise _fail("a file that was read ends too early. Make it again, or restore it.", 1) from error

    return wrapped


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """Give a progress function; it draws on stderr, and only where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total, visible=done < total)

        yield report
