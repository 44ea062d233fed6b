"""What a verb says and how it ends: results on stdout, everything else on stderr, one exit code."""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from ..errors import JpasGbmError
from ..store import dump_json

Progress = Callable[[str, int, int], None]
Closing = Callable[..., Sequence[str]]

Out = Annotated[str, typer.Option("--out", help="Where the result goes.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there; otherwise refuse.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Every random stream is spawned from it.")]
Threads = Annotated[int, typer.Option("--threads", min=0, help="Threads of the libraries; 0 is all cores.")]
Config = Annotated[str | None, typer.Option("--config", help="A YAML file, or the name of a shipped one.")]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more (stderr).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors (stderr).")]
Data = Annotated[str | None, typer.Option("--data", help="A data set made by 'prepare'; none: the built-in survey.")]
Cut = Annotated[float, typer.Option("--cut", help="Faintest magnitude that counts; inf takes all.")]
Legacy = Annotated[list[str] | None, typer.Option("--legacy", help="Legacy Surveys Tractor tables: morphology and r.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model folder.")]
Regime = Annotated[str | None, typer.Option("--regime", help="mocks-only, mocks-calibrated, target-only, uda or ssda.")]
Split = Annotated[str, typer.Option("--split", help="test, val or train.")]
Survey = Annotated[str | None, typer.Option("--survey", help="Where a file does not give itself away.")]


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


@contextmanager
def one_message() -> Iterator[None]:
    """Turn what a verb raises into one message and the right exit code."""
    cause: BaseException
    try:
        yield
    except JpasGbmError as error:
        message, code, cause = str(error), 1, error
    except KeyboardInterrupt as error:
        message, code, cause = str(error) or "interrupted; nothing half-made was left.", 130, error
    except MemoryError as error:
        message = "not enough memory. Use fewer rows, or smaller --chunk-rows where the verb has it."
        code, cause = 1, error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message, code, cause = f"{where}{error.strerror or error}.", 1, error
    except EOFError as error:
        message, code, cause = "a file that was read ends too early. Make it again, or restore it.", 1, error
    else:
        return
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(code) from cause


SHARED = {"seed": (Seed, 0), "threads": (Threads, 0), "overwrite": (Overwrite, False), "json": (Json, False)}
"""Options of the same name and meaning in many verbs, with their defaults."""

_TALK = {"verbose": (Verbose, 0), "quiet": (Quiet, False)}


def verb(
    *shared: str,
    call: Callable[..., Any] | None = None,
    as_json: Callable[[Any], Any] = lambda result: result.to_dict(),
) -> Callable[[Closing], Callable[..., None]]:
    """Make a verb of the command line from a function of the front door.

    The decorated function declares the options, under the names of the parameters of the front door's function of its
    name, and returns the lines that close what is printed. Parsing, the call, progress, the result as lines or JSON,
    errors and exit codes are the same for all verbs.

    Parameters
    ----------
    *shared : str
        Which of :data:`SHARED` the verb has as well.
    call : callable, optional
        What to call with the options; default: the front door's function of the same name.
    as_json : callable
        What ``--json`` prints of the result.

    Returns
    -------
    callable
        The decorator.
    """

    def decorate(closing: Closing) -> Callable[..., None]:
        name = closing.__name__

        def command(**given: Any) -> None:
            quiet, wants_json = given.pop("quiet"), given.pop("json", False)
            start_log(given.pop("verbose"), quiet)
            with one_message():
                do = call or getattr(importlib.import_module("jpas_gbm"), name)
                with progress_bar(quiet) as progress:
                    result = do(**given, progress=progress)
                closing_lines = closing(result, **given)
                if wants_json:
                    say_json(as_json(result))
                else:
                    say(*result.lines(), *closing_lines)
                if getattr(result, "ended", None) == "interrupted":
                    raise typer.Exit(130)

        declared = list(inspect.signature(closing, eval_str=True).parameters.values())[1:-1]  # result, **more
        common = {key: SHARED[key] for key in SHARED if key in shared} | _TALK
        declared += [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for key, (kind, default) in common.items()
        ]
        command.__name__, command.__doc__ = name, closing.__doc__
        command.__signature__ = inspect.Signature([p.replace(kind=p.KEYWORD_ONLY) for p in declared])  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in declared}
        return command

    return decorate


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
