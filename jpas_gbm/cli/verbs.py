"""The verbs of the command line: each declares its options and says what closes its output.

Heavy libraries are imported inside the verb that needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from ..errors import ConfigError
from . import data_verbs  # noqa: F401 (its verbs register themselves)
from .console import Columns, Config, Cut, Data, Legacy, Model, Out, Regime, Split, Strict, Survey, app, verb


@verb(
    "seed",
    "threads",
    "overwrite",
    "json",
    example="fit --regime ssda --data data --out model",
    as_json=lambda model: model.card,
)
def fit(
    result: Any,
    regime: Regime = None,
    data: Data = None,
    out: Out = "model",
    config: Config = None,
    seeds: Annotated[int | None, Option(min=1, help="Members of the ensemble.")] = None,
    crossfit: Annotated[
        int | None, Option(min=0, help="Train on validation labels too: so many folds choose and calibrate.")
    ] = None,
    **more: object,
) -> Sequence[str]:
    """Fit one regime and write the model folder."""
    return [f"model: {out}"]


@verb("seed", "threads", "json", example="tune --regime ssda --data data --trials 40 --timeout 8h --out study")
def tune(
    result: Any,
    out: Out,
    trials: Annotated[int, Option(help="Trials that the study is to have in all.")],
    regime: Annotated[str | None, Option(help="ssda (default), target-only or mocks-calibrated.")] = None,
    data: Data = None,
    config: Annotated[str, Option(help="Space and objective: a YAML file, or a shipped one.")] = "tune",
    timeout: Annotated[str | None, Option(help="Time allowed, such as 90s, 45m or 2h.")] = None,
    jobs: Annotated[int, Option(min=1, help="Processes that share the trials.")] = 1,
    resume: Annotated[bool, Option("--resume", help="Go on with the study in --out.")] = False,
    **more: object,
) -> Sequence[str]:
    """Look for better options with Optuna: resumable, judged on target validation, never on the test split."""
    return [f"best options: {out}/best.yaml"]


@verb("seed", "threads", "overwrite", "json", example="evaluate model --data data --out figures")
def evaluate(
    result: Any,
    model: Model,
    out: Out,
    data: Data = None,
    split: Split = "test",
    cut: Cut = 22.5,
    without_imaging: Annotated[bool, Option("--without-imaging", help="Forget magnitude and morphology.")] = False,
    train_brighter: Annotated[
        float | None, Option(help="Fit it again on labels not fainter than this; judge on fainter rows.")
    ] = None,
    **more: object,
) -> Sequence[str]:
    """Measure a model on a split of a data set: metrics.json with intervals."""
    return [f"metrics: {out}/metrics.json"]


def _compared(regimes: list[str] | None, **given: Any) -> Any:
    """Compare regimes that commas or spaces part."""
    from .. import compare

    return compare(regimes=",".join(regimes) if regimes else None, **given)


@verb(
    "seed",
    "threads",
    "overwrite",
    "json",
    example="compare --data data --regimes mocks-only ssda --seeds 3 --out comparison",
    call=_compared,
)
def compare(
    result: Any,
    out: Out,
    data: Data = None,
    regimes: Annotated[
        list[str] | None,
        Option(help="Default: mocks-only target-only uda ssda; with --budgets mocks-calibrated target-only ssda."),
    ] = None,
    seeds: Annotated[int, Option(min=1, help="Training seeds per regime.")] = 1,
    config: Config = None,
    cut: Cut = 22.5,
    budgets: Annotated[str | None, Option(help="Label budgets, such as 100,1000,all: the label-budget curve.")] = None,
    keep_models: Annotated[
        bool, Option("--keep-models", help="Keep every model, not only the two that figures need.")
    ] = False,
    draws: Annotated[int, Option(min=1, help="Draws of labels per budget.")] = 3,
    **more: object,
) -> Sequence[str]:
    """Fit several regimes over seeds and compare them on the test split with paired intervals."""
    from ..pages.figures.scores import save_picture

    save_picture(result, out)
    return [f"results: {out}"]


def _with_columns(name: str) -> Callable[..., Any]:
    """Return the front door's function of a name, given the words of ``--column`` as `column`."""

    def call(column: list[str] | None, **given: Any) -> Any:
        import jpas_gbm
        from jpas_gbm.surveys.survey_file import own_columns

        return getattr(jpas_gbm, name)(columns=own_columns(column), **given)

    return call


@verb(
    "threads",
    "overwrite",
    "json",
    example="predict model jpas.fits --legacy tractor.fits --out predictions.fits",
    call=_with_columns("predict"),
)
def predict(
    result: Any,
    model: Model,
    catalogue: Annotated[str, Argument(metavar="CATALOGUE", help="A table, a folder or wildcard of such, HATS.")],
    out: Out,
    legacy: Legacy = None,
    survey: Survey = None,
    column: Columns = None,
    chunk_rows: Annotated[int, Option(min=1, help="Rows in memory at a time.")] = 50_000,
    explain: Annotated[
        str | None, Option(help="Add the bands that decide: for rows of these classes (A,B), or all.")
    ] = None,
    pair: Annotated[
        str | None, Option(help="What --explain compares: the class and its runner-up, or all others, or A,B.")
    ] = None,
    tiles: Annotated[str | None, Option(help="Zero points of tiles that 'calibrate-tiles' measured.")] = None,
    keep: Annotated[str | None, Option(help="Columns to carry along: NAME,... or all. Ids are kept anyway.")] = None,
    intervals: Annotated[bool, Option("--intervals", help="Add P_LO, P_HI: within errors, over members.")] = False,
    blank: Annotated[str, Option(help="Rows without any flux get: nothing, or the prior.")] = "nothing",
    shard: Annotated[str | None, Option(help="I/N: do the I-th of N parts, for array jobs.")] = None,
    merge: Annotated[bool, Option("--merge", help="Join the parts that --shard 1/N to N/N made.")] = False,
    cluster: Annotated[
        str | None, Option(help="HATS to HATS on Dask: number of processes here, or a scheduler's address.")
    ] = None,
    strict: Strict = False,
    **more: object,
) -> Sequence[str]:
    """Classify a whole catalogue in bounded memory; rows stay in input order."""
    return []


@verb(
    "overwrite",
    "json",
    call=_with_columns("calibrate_tiles"),
    example="calibrate-tiles jpas.fits --model model --out tiles.json",
)
def calibrate_tiles(
    result: Any,
    catalogue: Annotated[str, Argument(metavar="CATALOGUE", help="As for predict, all of it; labels are not read.")],
    model: Annotated[str, Option("--model", help="A model folder.")],
    out: Out,
    survey: Survey = None,
    column: Columns = None,
    sources: Annotated[int, Option(min=10, help="Sources of a tile, at most.")] = 200,
    chunk_rows: Annotated[int, Option(min=1, help="Rows in memory at a time.")] = 50_000,
    **more: object,
) -> Sequence[str]:
    """Measure zero points of tiles on their own sources, for 'predict --tiles'."""
    return [f"zero points: {out}"]


def _rows_of(catalogue: str | None, data: str | None, **given: Any) -> Any:
    """Explain rows of a catalogue or of a data set."""
    if data is not None and catalogue is not None:
        raise ConfigError("--data does not go with --catalogue. Leave one of them out.")
    for option in (one for one in ("legacy", "survey", "column") if catalogue is None and given[one]):
        raise ConfigError(f"--{option} only goes with --catalogue. Leave one of them out.")
    return _with_columns("explain")(data=data if catalogue is None else catalogue, **given)


@verb("seed", "threads", "overwrite", "json", example="explain model --data data --out why", call=_rows_of)
def explain(
    result: Any,
    model: Model,
    out: Out,
    data: Data = None,
    catalogue: Annotated[str | None, Option(help="Explain rows of this file instead of a data set's.")] = None,
    legacy: Legacy = None,
    survey: Survey = None,
    column: Columns = None,
    split: Split = "test",
    objects: Annotated[
        list[str] | None, Option("--object", help="Explain this row alone: TILE_ID/NUMBER, TARGETID or RA,DEC.")
    ] = None,
    pair: Annotated[str | None, Option(help="Compare A,B, two classes; of --object also runner-up, all.")] = None,
    rows: Annotated[int | None, Option(min=0, help="Most rows of a class; 0: all. Default: 300, quasars 3000.")] = None,
    cut: Annotated[float | None, Option(help="Faintest magnitude that counts; inf: all. Default: 22.5.")] = None,
    rule: Annotated[str | None, Option(help="How bands share features: shares (default) or dominant.")] = None,
    blocks: Annotated[int | None, Option(min=1, help="Blocks along the spectrum.")] = None,
    refits: Annotated[int, Option(min=0, help="Fit so many siblings to judge stability.")] = 0,
    config: Config = None,
    **more: object,
) -> Sequence[str]:
    """Say which bands decide, exactly: contributions by band, block, rest wavelength and object."""
    return [f"explanation: {out}/explanation.json, {out}/contributions.npz"]


def _whole_job(out: str, seed: int, threads: int, overwrite: bool, progress: Any) -> Any:
    """Do the whole job on the built-in survey; the page is ``report.html`` in `out`."""
    import jpas_gbm as jg

    from ..pages.figures.scores import save_picture
    from ..pages.html import refuse_page
    from ..run import claim_room

    folder = claim_room(out)
    refuse_page(folder / "report.html", folder / "comparison.json", overwrite)
    more: dict[str, Any] = {"seed": seed, "threads": threads, "progress": progress}
    dataset = jg.simulate(seed, config="demo", progress=progress)
    comparison = jg.compare(dataset, keep_models=True, out=out, overwrite=overwrite, **more)
    save_picture(comparison, out)
    jg.explain(folder / "models" / f"ssda-seed{seed}", dataset, **more).save(folder / "why", overwrite=True)
    jg.report([folder], folder / "report.html", overwrite=True, progress=progress)
    return comparison


@verb("seed", "threads", "overwrite", "json", example="demo --out demo", call=_whole_job)
def demo(result: Any, out: Out = "demo", **more: object) -> Sequence[str]:
    """Simulate a survey, fit the regimes, compare, explain, report: offline, no data needed, minutes on 2 cores."""
    return [
        "The built-in simulated survey: these figures are not comparable with any on real data.",
        f"results: {out}",
        f"the page to read: {out}/report.html",
    ]


@dataclass(frozen=True)
class Written:
    """A page that was written, and what could not be shown on it.

    Parameters
    ----------
    report : str
        Path of the page.
    figures : str, optional
        Path of the folder of figures.
    missing : list of str
        Sentences.
    """

    report: str
    figures: str | None
    missing: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name.

        Returns
        -------
        dict
            By the names of the fields.
        """
        return vars(self)

    def lines(self) -> list[str]:
        """Return a line for each thing missing, and where the page is.

        Returns
        -------
        list of str
            Without line ends.
        """
        return [*(f"missing: {gap}" for gap in self.missing), f"report: {self.report}"]


def _write(
    results: list[str], out: str, figures: str | None, formats: str | None, overwrite: bool, **more: Any
) -> Written:
    """Write the page and say what is missing from it."""
    import jpas_gbm as jg

    from ..pages.page import missing_parts
    from ..pages.results import read_results
    from ..run import claim_file

    claim_file(out, overwrite, results)
    found = read_results(results)
    wanted = None if formats is None else [word.strip() for word in formats.split(",") if word.strip()]
    jg.report(found, out, figures=figures, formats=wanted, overwrite=overwrite, **more)
    return Written(out, figures, missing_parts(found))


@verb("overwrite", "json", example="report comparison why --out report.html", call=_write)
def report(
    result: Any,
    results: Annotated[
        list[str],
        Argument(metavar="DIR...", help="Folders of compare, evaluate, explain, fit, prepare or tune; a list's JSON."),
    ],
    out: Out,
    figures: Annotated[str | None, Option(help="A folder for each figure, its data (CSV) and captions.tex.")] = None,
    formats: Annotated[str | None, Option(help="Of those files: png, pdf or both (default).")] = None,
    width: Annotated[str | None, Option(help="Such as 3.4in or 86mm; many panels span both columns.")] = None,
    **more: object,
) -> Sequence[str]:
    """Write one self-contained page from saved results; nothing is computed anew."""
    return []


def _listed(sheets: str | None, catalogue: str | None, legacy: list[str] | None, noise_draws: int, **given: Any) -> Any:
    """Make a list, and the sheets to look at its candidates."""
    from .. import targets
    from ..pages.sheets import sheets as write_sheets
    from ..run import claim_file

    if sheets is not None:
        if catalogue is None:
            raise ConfigError(
                f"--sheets {sheets}: shows fluxes. Name the catalogue that was predicted with --catalogue."
            )
        claim_file(sheets, given["overwrite"], [catalogue, *(legacy or ()), *given["predictions"]])
    unused = sheets is not None and not noise_draws
    again: dict[str, Any] = {} if unused else {"catalogue": catalogue, "legacy": legacy, "noise_draws": noise_draws}
    found = targets(**again, **given)
    if sheets is not None and catalogue is not None:
        same: dict[str, Any] = {name: given[name] for name in ("model", "predictions", "overwrite", "progress")}
        write_sheets(found, catalogue, sheets, legacy=legacy, **same)
    return found


def _without_curves(result: Any) -> dict[str, Any]:
    return {name: value for name, value in result.to_dict().items() if name != "curves"}


@verb(
    "seed",
    "threads",
    "overwrite",
    "json",
    example="targets predictions.fits --purity 0.8 --out candidates.fits",
    as_json=_without_curves,
    call=_listed,
)
def targets(
    result: Any,
    predictions: Annotated[list[str], Argument(metavar="PREDICTIONS...", help="Files that 'predict' wrote.")],
    out: Out,
    cls: Annotated[str, Option("--class", help="The class wanted.")] = "QSO_high",
    model: Annotated[str | None, Option("--model", help="The model folder; none: looked for nearby.")] = None,
    purity: Annotated[float | None, Option(help="Longest list of this purity or more.")] = None,
    completeness: Annotated[float | None, Option(help="Shortest list of this completeness or more.")] = None,
    number: Annotated[int | None, Option(help="The likeliest N.")] = None,
    density: Annotated[float | None, Option(help="The likeliest so many per deg².")] = None,
    fdr: Annotated[float | None, Option(help="Conformal list of this false-discovery rate.")] = None,
    confidence: Annotated[float, Option(help="Of --purity and --completeness.")] = 0.9,
    magnitudes: Annotated[str | None, Option("--mag", help="BRIGHTEST,FAINTEST magnitude of the list.")] = None,
    redshifts: Annotated[str | None, Option("--z", help="LOWEST:HIGHEST median redshift, such as 2.1:3.5.")] = None,
    bin_edges: Annotated[str, Option("--bins", help="Edges of magnitude bins in which the rule holds.")] = "",
    prior: Annotated[str | None, Option(help="Class mix of the field, A,B,C,D or a YAML file; none: EM.")] = None,
    prior_edges: Annotated[str, Option(help="Magnitude edges of the class mix.")] = "",
    correct: Annotated[
        bool, Option(" /--as-labelled", show_default=False, help="The field has the labels' mix: correct nothing.")
    ] = True,
    shift: Annotated[str, Option(help="How labels stand for the field: both, label or covariate.")] = "both",
    coverage: Annotated[float, Option(help="Of the conformal sets, for each class.")] = 0.9,
    draws: Annotated[int, Option(help="Bootstrap draws.")] = 200,
    area: Annotated[float | None, Option(help="Footprint in deg²; none: measured.")] = None,
    known: Annotated[list[str] | None, Option(help="Catalogues of known sources, which are left out.")] = None,
    observed: Annotated[list[str] | None, Option(help="Results of candidates: they update the promise.")] = None,
    flag_known: Annotated[bool, Option("--flag-known", help="Keep known sources, told in KNOWN columns.")] = False,
    moc: Annotated[str | None, Option(help="Write the footprint's MOC here (FITS).")] = None,
    samp: Annotated[bool, Option("--samp", help="Send the list to TOPCAT, Aladin and others (SAMP).")] = False,
    exclude: Annotated[list[str] | None, Option(help="MOCs of regions that are not observed.")] = None,
    separation: Annotated[float | None, Option(help="No two candidates nearer than this, arcsec (fibres).")] = None,
    subset: Annotated[int | None, Option(help="Keep so many candidates, drawn at random.")] = None,
    reserve: Annotated[int, Option(help="So many next likeliest rows go to OUT_reserve.")] = 0,
    priorities: Annotated[int | None, Option(help="Levels of the column PRIORITY; 1 is the likeliest.")] = None,
    density_map: Annotated[str | None, Option(help="Write the candidates of each HEALPix cell here.")] = None,
    table_format: Annotated[
        str | None, Option("--format", help="Also write OUT_FORMAT: weave, desi, or your own column map (YAML).")
    ] = None,
    sheets: Annotated[str | None, Option(help="Write inspection sheets of the candidates here (HTML).")] = None,
    catalogue: Annotated[str | None, Option(help="What was predicted, for --sheets and --noise-draws.")] = None,
    legacy: Legacy = None,
    noise_draws: Annotated[int, Option(min=0, help="Predict candidates so often again, with noise added.")] = 0,
    **more: object,
) -> Sequence[str]:
    """Make a candidate list that says what it promises: by purity, completeness, number, density or fdr."""
    from ..lists.observing import ObservingOptions

    how = ObservingOptions(separation=separation, reserve=reserve, density_map=density_map, table_format=table_format)
    further = {"sheets": sheets, "MOC": moc, **{option.strip("-"): path for option, path in how.files(out).items()}}
    told = [f"{what}: {path}" for what, path in further.items() if path is not None]
    return [f"list: {out}", f"rule, mix and curves: {Path(out).with_suffix('.json')}", *told]


@verb("overwrite", "json", example="compare-lists predictions.fits theirs.csv --labels zcat.fits --out compared.json")
def compare_lists(
    result: Any,
    ours: Annotated[str, Argument(metavar="OURS", help="Predictions or a list of this package.")],
    theirs: Annotated[str, Argument(metavar="THEIRS", help="A catalogue with positions and classes.")],
    out: Out,
    labels: Annotated[list[str] | None, Option(help="Label catalogues: who is right.")] = None,
    model: Annotated[str | None, Option("--model", help="Our model: labels that made it do not count.")] = None,
    radius: Annotated[float, Option(help="Of the match by position, arcsec.")] = 1.0,
    **more: object,
) -> Sequence[str]:
    """Compare our classes with another catalogue's: agreement, who is right, what kind of source differs."""
    from ..pages.figures.lists import rivals_figure
    from ..pages.figures.scores import save_figure

    picture = Path(out).with_suffix(".png")
    save_figure(rivals_figure, result, picture, overwrite=True)
    return [f"comparison: {out}", f"figure: {picture}"]


@dataclass(frozen=True)
class Citation:
    """How to cite the software, from CITATION.cff.

    Parameters
    ----------
    record : dict
        What the file holds.
    """

    record: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as CITATION.cff has it.

        Returns
        -------
        dict
        """
        return self.record

    def lines(self) -> list[str]:
        """Return the software and the paper whose problem it takes up as BibTeX, with what else is to be named.

        Returns
        -------
        list of str
        """
        from .. import __version__

        authors = " and ".join(f"{{{author['name']}}}" for author in self.record["authors"])
        paper = self.record["references"][0]
        return [
            "@software{jpas-gbm,",
            f"  author  = {{{authors}}},",
            f"  title   = {{{{{self.record['title']}}}}},",
            f"  version = {{{__version__}}},",
            "}",
            "% The paper whose problem it takes up; its authors' own entry stands on arXiv:",
            "@article{domain-adaptation,",
            f"  author  = {{{{{paper['authors'][0]['name']}}}}},",
            f"  title   = {{{{{paper['title']}}}}},",
            f"  year    = {{{paper['year']}}},",
            f"  eprint  = {{{paper['identifiers'][0]['value'].removeprefix('arXiv:')}}},",
            "  archivePrefix = {arXiv},",
            "}",
            "% Name too the trees (LightGBM, XGBoost) and the surveys whose data you used, as their releases ask.",
        ]


def _citation(progress: Any) -> Citation:
    from ..config import read_yaml, shipped_file

    return Citation(read_yaml(shipped_file("CITATION.cff")))


@verb("json", call=_citation, example="cite")
def cite(result: Any, **more: object) -> Sequence[str]:
    """Say how to cite this software, as BibTeX."""
    return []


_DAY = "demo fetch simulate mocks inspect prepare audit fit tune evaluate compare predict calibrate-tiles explain"
"""The order of the help; what is not named comes last."""
app.registered_commands.sort(key=lambda command: (*_DAY.split(), command.name).index(command.name))
