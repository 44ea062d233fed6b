"""What a verb says and how it ends: results on stdout, everything else on stderr, one exit code."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .. import __version__
from ..errors import JpasGbmError

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
Log = Annotated[str | None, typer.Option("--log", metavar="FILE", help="Add the log to this file, with times.")]
Data = Annotated[str | None, typer.Option("--data", help="A data set made by 'prepare'; none: the built-in survey.")]
Cut = Annotated[float, typer.Option("--cut", help="Faintest magnitude that counts; inf takes all.")]
Legacy = Annotated[
    list[str] | None, typer.Option("--legacy", help="Legacy Surveys Tractor tables: morphology, r, g and z.")
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model folder.")]
Regime = Annotated[str | None, typer.Option("--regime", help="mocks-only, mocks-calibrated, target-only, uda or ssda.")]
Split = Annotated[str, typer.Option("--split", help="test, val or train.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse files of which there is anything to note, such as stale checksums.")
]
Columns = Annotated[
    list[str] | None,
    typer.Option(help="ROLE=NAME: a column of a name of its own. Roles: ra, dec, key, id, class, z, magnitude, ..."),
]
Survey = Annotated[str | None, typer.Option("--survey", help="Where a file does not give itself away.")]


def say(*lines: str) -> None:
    """Print result lines on stdout.

    Parameters
    ----------
    *lines : str
        Without line ends.
    """
    for line in lines:
        print(line)


def say_json(value: Any) -> None:
    """Print a result as JSON on stdout.

    Parameters
    ----------
    value : object
        What JSON can hold, or has ``to_dict``.
    """
    from ..store import dump_json

    sys.stdout.write(dump_json(value))


def start_log(verbose: int, quiet: bool, file: str | None = None) -> None:
    """Send the package's log to stderr at the level asked for, and to a file with the time of each line.

    Parameters
    ----------
    verbose : int
        0 for warnings, 1 for stages, 2 for all.
    quiet : bool
        Errors alone on stderr.
    file : str, optional
        Lines are added to it, from stages upward, whatever stderr gets.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    level = logging.ERROR if quiet else logging.WARNING - 10 * min(verbose, 2)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(level)
    handlers: list[logging.Handler] = [terminal]
    if file is not None:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
        handlers[-1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers[-1].setLevel(min(level, logging.INFO))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=handlers, force=True)
    logging.getLogger("jpas_gbm").setLevel(min(handler.level for handler in handlers))
    # What libraries warn of is for those who ask for more.
    logging.captureWarnings(True)
    libraries = logging.getLogger("py.warnings")
    libraries.setLevel(logging.WARNING if verbose else logging.ERROR)
    libraries.filters[:] = [_once()]


def _once() -> Callable[[logging.LogRecord], bool]:
    """Return a filter that lets the first warning of filled features through: each chunk and member has its own."""
    said: list[logging.LogRecord] = []

    def is_new(record: logging.LogRecord) -> bool:
        if "UnseenMissingWarning" not in record.getMessage():
            return True
        said.append(record)
        return len(said) == 1

    return is_new


@contextmanager
def one_message() -> Iterator[None]:
    """Turn what a verb raises into one message and the right exit code.

    Yields
    ------
    None
        The verb runs inside.
    """
    cause: BaseException
    try:
        yield
    except JpasGbmError as error:
        message, code, cause = str(error), 1, error
    except KeyboardInterrupt as error:
        message, code, cause = str(error) or "interrupted; nothing half-made was left.", 130, error
        error.args = (message,)
    except MemoryError as error:
        message = "not enough memory. Use fewer rows, or smaller --chunk-rows where the verb has it."
        code, cause = 1, error
    except BrokenPipeError as error:  # whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message, code, cause = f"{where}{error.strerror or error}.", 1, error
    except EOFError as error:
        message, code, cause = "a file that was read ends too early. Make it again, or restore it.", 1, error
    else:
        return
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(code) from cause


_INPUTS = ("--data", "--catalogue", "--spectra", "--source", "--target", "--release", "--out")
"""Options that a word may have been meant for which has none; the last where there is no other."""


class Verb(TyperCommand):
    """A verb whose options of several values take the words that follow, as a shell's wildcard gives them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words behind the verb.

        Parameters
        ----------
        ctx : typer.Context
            Of the call.
        args : list of str
            The words.

        Returns
        -------
        list of str
            Words that are left.
        """
        words = spread_values(self.params, args)
        found, left, _ = self.make_parser(ctx).parse_args([*words])
        if left and not found.get("help") and not ctx.resilient_parsing:
            there = [name for name in _INPUTS if any(name in param.opts for param in self.params)]
            named = [f"{name} {left[0]}" for name in there[: max(1, len(there) - 1)]]
            hint = f" An option says what it is: {' or '.join(named)}." if named else ""
            ctx.fail(f"Got unexpected extra argument ({' '.join(left)}).{hint}")
        return super().parse_args(ctx, words)


def spread_values(params: list[Any], words: list[str]) -> list[str]:
    """Return the words behind a verb with ``--source A B`` written as ``--source A --source B``.

    An option of several values takes the words up to the next option, but for those at the end that the verb's
    arguments need: ``explain --object A B MODEL`` names two objects and a model.

    Parameters
    ----------
    params : list of click parameters
        Of the verb.
    words : list of str

    Returns
    -------
    list of str
    """
    options = {name: param for param in params for name in param.opts if param.param_type_name == "option"}
    needed = sum(param.param_type_name == "argument" and param.required for param in params)
    spread: list[str] = []
    further: list[tuple[int, str]] = []
    several, takes_next = "", False
    for place, word in enumerate(words):
        if takes_next:
            takes_next = False
        elif word == "--":
            needed -= len(words) - place - 1
            spread += words[place:]
            break
        elif word.startswith("-") and len(word) > 1:
            name, equals, _ = word.partition("=")
            option = options.get(name)
            several = name if option is not None and option.multiple else ""
            takes_next = option is not None and not (option.is_flag or option.count or equals)
        elif several:
            further.append((len(spread), several))
        else:
            needed -= 1
        spread.append(word)
    for place, name in reversed(further[: len(further) - max(needed, 0)]):
        spread.insert(place, name)
    return spread


HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="jpas-gbm",
    help="Classify J-PAS sources with gradient-boosted trees carried from mocks to the sky.",
    no_args_is_help=True,
    context_settings=HELP,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"jpas-gbm {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Classify J-PAS sources with gradient-boosted trees carried from mocks to the sky.

    Parameters
    ----------
    version : bool
        Whether the version is asked for.
    """


GROUPS = {"survey": "Survey files: list, show, draft one's own.", "config": "Shipped configurations."}
_GROUPS = {
    group: typer.Typer(name=group, help=words, no_args_is_help=True, context_settings=HELP)
    for group, words in GROUPS.items()
}
for _group in _GROUPS.values():
    app.add_typer(_group)


SHARED = {"seed": (Seed, 0), "threads": (Threads, 0), "overwrite": (Overwrite, False), "json": (Json, False)}
"""Options of the same name and meaning in many verbs, with their defaults."""

_TALK = {"verbose": (Verbose, 0), "quiet": (Quiet, False), "log": (Log, None)}


def verb(
    *shared: str,
    example: str,
    call: Callable[..., Any] | None = None,
    as_json: Callable[[Any], Any] = lambda result: result.to_dict(),
) -> Callable[[Closing], Callable[..., None]]:
    """Make a verb of the command line from a function of the front door.

    It is registered on :data:`app`; ``survey_list`` becomes ``survey list``. The decorated function declares the
    options, under the names of the parameters of the front door's function of its name, and returns the lines that
    close what is printed. Parsing, the call, progress, the result as lines or JSON, errors and exit codes are the same
    for all verbs.

    Parameters
    ----------
    *shared : str
        Which of :data:`SHARED` the verb has as well.
    example : str
        What may stand behind ``jpas-gbm``; the help ends with it.
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
            verbose, file = given.pop("verbose"), given.pop("log")
            with one_message():
                start_log(verbose, quiet, file)
                do = call or getattr(importlib.import_module("jpas_gbm"), name)
                with progress_bar(quiet) as progress:
                    result = do(**given, progress=progress)
                closing_lines = closing(result, **given)
                if wants_json:
                    say_json(as_json(result))
                else:
                    say(*result.lines(), *closing_lines)
                if getattr(result, "leaks", ()):
                    raise typer.Exit(1)
                if getattr(result, "ended", None) == "interrupted":
                    raise typer.Exit(130)

        declared = _declared(closing, shared)
        command.__name__, command.__doc__ = name, closing.__doc__
        command.__signature__ = inspect.Signature(declared)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in declared}
        _register(command, name, f"Example: jpas-gbm {example}")
        return command

    return decorate


def _register(command: Callable[..., None], name: str, example: str) -> None:
    """Make a command known: ``survey_list`` as ``survey list``, ``calibrate_tiles`` as ``calibrate-tiles``."""
    group, _, inner = name.partition("_")
    place, word = (_GROUPS[group], inner) if group in _GROUPS and inner else (app, name.replace("_", "-"))
    place.command(word, cls=Verb, epilog=example, context_settings=HELP)(command)


def _declared(closing: Closing, shared: Sequence[str]) -> list[inspect.Parameter]:
    """Return a verb's own options and those that it shares with others, as parameters of a command."""
    own = list(inspect.signature(closing, eval_str=True).parameters.values())[1:-1]  # result, **more
    common = {key: SHARED[key] for key in SHARED if key in shared} | _TALK
    return [p.replace(kind=p.KEYWORD_ONLY) for p in own] + [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for key, (kind, default) in common.items()
    ]


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """Give a progress function: bars on a terminal, a line with the time for each stage that ends elsewhere (stderr).

    Parameters
    ----------
    quiet : bool
        Whether it does nothing.

    Yields
    ------
    callable
        Called as ``progress(stage, done, total)``; a total of 0 is one that is not known.
    """
    if quiet:
        yield lambda stage, done, total: None
    elif sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield _StageLines()


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*shown, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total or None)
            elif done == 0:
                bars.reset(tasks[stage])  # the same stage of another fold or model
            bars.update(tasks[stage], completed=done, total=total or None, visible=not 0 < total <= done)

        yield report


class _StageLines:
    """A line for each stage that ended, and twice a minute for one that goes on."""

    EVERY = 30.0

    def __init__(self) -> None:
        self._told = time.monotonic()
        self._counts: dict[str, tuple[int, float]] = {}
        self._ended = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        from ..run import COUNTS

        ended, now = 0 < total <= done, time.monotonic()
        if total > 1 and stage.split(": ")[-1].split(",")[0] in COUNTS:
            self._count(stage, done, total, now)
            return
        first, since = self._counts.setdefault(stage, (done, now))
        if not ended and now - self._told < self.EVERY:
            return
        self._told = now
        if ended and total == 1 and stage == self._ended:
            return  # the stage around the count of its steps
        self._ended = stage if ended else ""
        many = "" if total == 1 else f": {done:,} of {total:,}" if total else f": {done:,}"
        if not ended and done > first and now > since + 1 and total != 1:
            from ..text import duration

            pace = (done - first) / (now - since)
            many += f", {pace:,.3g} a second" + (f", about {duration((total - done) / pace)} left" if total else "")
        print(f"{time.strftime('%H:%M:%S')} {stage}{many}", file=sys.stderr)

    def _count(self, stage: str, done: int, total: int, now: float) -> None:
        """Tell each step of what counts trainings, and how long the rest takes at the pace so far."""
        before, (first, since) = stage in self._counts, self._counts.get(stage, (done, now))
        if before and done == first:
            return
        if done < first or not before:
            first, since = done, now
        self._counts[stage] = first, since
        from ..text import duration

        left = (now - since) / (done - first) * (total - done) if done > first else None
        words = "" if left is None or done == total else f", about {duration(left)} left"
        # The guess that was made before the first gives way to what the pace says.
        named = stage if left is None else stage.rpartition(", ")[0] or stage
        print(f"{time.strftime('%H:%M:%S')} {named}: {done} of {total}{words}", file=sys.stderr)
