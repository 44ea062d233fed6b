"""The verbs by name. Heavy libraries are imported inside the verb that needs them."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from . import data, model
from . import explain as why
from . import jobs as demo
from . import jobs as reporting
from . import jobs as tuning
from . import targets as targeting
from .console import say

app = typer.Typer(
    name="jpas-gbm",
    help="Classify J-PAS sources with gradient-boosted trees carried from mocks to the sky.",
    no_args_is_help=True,
    add_completion=False,
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
    demo.demo,
    data.simulate,
    data.inspect,
    data.prepare,
    model.fit,
    tuning.tune,
    model.evaluate,
    model.compare,
    model.predict,
    why.explain,
    targeting.targets,
    reporting.report,
):
    app.command(function.__name__)(function)
