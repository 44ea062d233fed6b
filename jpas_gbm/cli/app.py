"""The verbs by name. Heavy libraries are imported inside the verb that needs them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .. import __version__
from . import verbs
from .console import say


class Verb(TyperCommand):
    """A verb whose options of several values take the words that follow, as a shell's wildcard gives them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words behind the verb."""
        return super().parse_args(ctx, spread_values(self.params, args))


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
    """Classify J-PAS sources with gradient-boosted trees carried from mocks to the sky."""


for function in (
    verbs.demo,
    verbs.fetch,
    verbs.simulate,
    verbs.mocks,
    verbs.inspect,
    verbs.prepare,
    verbs.audit,
    verbs.fit,
    verbs.tune,
    verbs.evaluate,
    verbs.compare,
    verbs.predict,
    verbs.calibrate_tiles,
    verbs.explain,
    verbs.targets,
    verbs.report,
    verbs.cite,
):
    app.command(function.__name__.replace("_", "-"), cls=Verb, epilog=vars(function)["example"], context_settings=HELP)(
        function
    )
