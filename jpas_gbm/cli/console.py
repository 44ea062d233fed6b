"""Where results go: refused before any work is done, where something else would be lost.

What a verb says and how it ends: results on stdout, everything else on stderr, one exit code.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from ..errors import JpasGbmError, OutputError
from ..store import dump_json, refuse_existing

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


HEADS = {
    "model": "model.json",
    "data set": "dataset.json",
    "evaluation": "metrics.json",
    "explanation": "explanation.json",
    "simulated survey": "shift.json",
    "study": "study.json",
}
"""The file that tells a folder of each kind."""

Inputs = Iterable[str | None]


def claim_folder(out: str, kind: str, overwrite: bool, inputs: Inputs = ()) -> None:
    """Refuse a folder that cannot be made, or whose replacement would destroy something else.

    Parameters
    ----------
    out : str
        The folder wanted.
    kind : str
        What will be in it, one of :data:`HEADS`: with `overwrite`, only a folder of that kind is replaced.
    overwrite : bool
        Whether a folder that is there may be replaced.
    inputs : iterable of str or None
        Files and folders that are read.

    Raises
    ------
    OutputError
        If it exists and may not be replaced, is or holds an input, is of another kind, or cannot be made.
    """
    path = _claim(out, overwrite, inputs)
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(f"{out}: is a file, and the {kind} is a folder. Give another --out.")
    if any(path.iterdir()) and not (path / HEADS[kind]).is_file():
        raise OutputError(
            f"{out}: holds other things than a {kind} (there is no {HEADS[kind]}), and --overwrite would destroy them. "
            "Give another --out, or remove the folder yourself."
        )


def claim_file(out: str, overwrite: bool, inputs: Inputs = ()) -> None:
    """Refuse a file that cannot be made, or whose replacement would destroy something else.

    As :func:`claim_folder`, for a file.
    """
    path = _claim(out, overwrite, inputs)
    if path.is_dir():
        raise OutputError(f"{out}: is a folder, and a file is to be written. Name a file in it.")


def claim_room(out: str) -> None:
    """Refuse a folder that results cannot be put into: it cannot be made, or belongs to another result.

    Raises
    ------
    OutputError
        If it is a file, holds a result of another kind, or cannot be made.
    """
    path = place_named(out)
    if path.exists() and not path.is_dir():
        raise OutputError(f"{out}: is a file, and the results are a folder. Give another --out.")
    for kind, head in HEADS.items():
        if (path / head).is_file():
            raise OutputError(f"{out}: is the folder of a {kind} ({head}). Give another --out.")
    _check_parent(path)


def _claim(out: str, overwrite: bool, inputs: Inputs) -> Path:
    path = place_named(out)
    refuse_existing(path, overwrite)
    _check_parent(path)
    place = path.resolve()
    if path.exists():
        here = Path.cwd().resolve()
        if place == here or place in here.parents:
            raise OutputError(f"--out {out}: is or holds the folder that you are in. Give another --out.")
        for name in inputs:
            known = None if name is None else Path(name).resolve()
            if known is not None and (known == place or place in known.parents):
                raise OutputError(
                    f"--out {out}: {'is' if known == place else 'holds'} {name}, which is read: --overwrite would "
                    "destroy it. Give another --out."
                )
    return path


def place_named(out: str) -> Path:
    """Return the place that a word names.

    Raises
    ------
    OutputError
        If it is empty: it would be the folder that one is in.
    """
    if not out.strip():
        raise OutputError("--out is empty. Name where the result goes.")
    return Path(out)


def _check_parent(path: Path) -> None:
    """Refuse a path below a file, or below a folder that may not be written to."""
    parent = next((one for one in path.absolute().parents if one.exists()), None)
    if parent is None:
        return
    if not parent.is_dir():
        raise OutputError(f"{path}: {parent} is a file, so nothing can be made in it. Give another --out.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: you may not write to {parent}. Give another --out.")
