"""Verbs that end in a page: demo, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from typer import Argument, Option

from ..claims import claim_file, claim_room
from .console import Out, verb


def _whole_job(out: str, seed: int, threads: int, overwrite: bool, progress: Any) -> Any:
    """Do the whole job on the built-in survey; the page is ``report.html`` in `out`."""
    import jpas_gbm as jg

    from ..atomic import refuse_existing
    from ..pages.figures.regime_scores import save_picture

    folder = claim_room(out)
    refuse_existing(folder / "comparison.json", overwrite)
    more: dict[str, Any] = {"seed": seed, "threads": threads, "progress": progress}
    dataset = jg.simulate(seed, config="demo", progress=progress)
    comparison = jg.compare(dataset, keep_models=True, out=out, overwrite=overwrite, **more)
    save_picture(comparison, out)
    jg.explain(folder / "models" / f"ssda-seed{seed}", dataset, **more).save(folder / "why", overwrite=True)
    jg.report([folder], folder / "report.html", overwrite=True, progress=progress)
    return comparison


@verb("seed", "threads", "overwrite", "json", call=_whole_job)
def demo(result: Any, out: Out = "demo", **more: object) -> Sequence[str]:
    """Simulate a survey, fit the regimes, compare, explain, report: offline, no data needed, minutes on 2 cores."""
    return [
        "The built-in simulated survey: these figures are not comparable with any on real data.",
        f"results: {out}",
        f"the page to read: {out}/report.html",
    ]


@dataclass(frozen=True)
class Written:
    """A page that was written, and what could not be shown on it."""

    report: str
    figures: str | None
    missing: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return vars(self)

    def lines(self) -> list[str]:
        """Return a line for each thing missing, and where the page is."""
        return [*(f"missing: {gap}" for gap in self.missing), f"report: {self.report}"]


def _write(results: list[str], out: str, figures: str | None, formats: str, overwrite: bool, progress: Any) -> Written:
    """Write the page and say what is missing from it."""
    import jpas_gbm as jg

    from ..pages.page import missing_parts
    from ..pages.results import read_results

    claim_file(out, overwrite, results)
    found = read_results(results)
    wanted = [word.strip() for word in formats.split(",") if word.strip()]
    jg.report(found, out, figures=figures, formats=wanted, overwrite=overwrite, progress=progress)
    return Written(out, figures, missing_parts(found))


@verb("overwrite", "json", call=_write)
def report(
    result: Any,
    results: Annotated[
        list[str],
        Argument(metavar="DIR...", help="Folders of compare, evaluate, explain, fit, prepare or tune; a list's JSON."),
    ],
    out: Out,
    figures: Annotated[str | None, Option(help="A folder for each figure as a file.")] = None,
    formats: Annotated[str, Option(help="Of those files: png, pdf or both.")] = "png,pdf",
    **more: object,
) -> Sequence[str]:
    """Write one self-contained page from saved results; nothing is computed anew."""
    return []
