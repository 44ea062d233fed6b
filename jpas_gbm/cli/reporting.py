"""report: one page from saved results."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import ConfigError
from .console import (
    Json,
    Out,
    Overwrite,
    Quiet,
    Verbose,
    progress_bar,
    say,
    say_json,
    start_log,
    verb,
)
from .outputs import claim_file

_FORMATS = ("png", "pdf")


@verb
def report(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR...", help="Folders of compare, evaluate, explain, fit, prepare or tune; a list's JSON."
        ),
    ],
    out: Out,
    figures: Annotated[str | None, typer.Option("--figures", help="A folder for each figure as a file.")] = None,
    formats: Annotated[str, typer.Option("--formats", help="Of those files: png, pdf or both.")] = "png,pdf",
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write one self-contained page from saved results; nothing is computed anew."""
    start_log(verbose, quiet)
    from ..report.html import write_report
    from ..report.missing import missing_parts

    wanted = [word.strip() for word in formats.split(",") if word.strip()]
    if not wanted or not set(wanted) <= set(_FORMATS):
        raise ConfigError(f"--formats {formats}: write {' or '.join(_FORMATS)}, or both with a comma.")
    claim_file(out, overwrite, folders)
    with progress_bar(quiet) as progress:
        results = write_report(folders, out, figures=figures, formats=wanted, overwrite=overwrite, progress=progress)
    gaps = missing_parts(results)
    if json:
        say_json({"report": out, "figures": figures, "missing": gaps})
    else:
        say(*(f"missing: {gap}" for gap in gaps), f"report: {out}")
