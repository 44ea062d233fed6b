"""The verbs of the command line: each declares its options and says what closes its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from ..claims import claim_file, claim_room
from ..errors import ConfigError
from .console import Config, Cut, Data, Legacy, Model, Out, Regime, Split, Strict, Survey, verb


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
    regime: Annotated[str, Option(help="ssda, target-only or mocks-calibrated.")] = "ssda",
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
    **more: object,
) -> Sequence[str]:
    """Measure a model on a split of a data set: metrics.json with intervals."""
    return [f"metrics: {out}/metrics.json"]


def _compared(regimes: list[str] | None, budgets: str | None, **given: Any) -> Any:
    """Compare regimes that commas or spaces part, at budgets that commas part."""
    from .. import compare
    from ..comparison.compare import read_budgets

    names = [name.strip() for word in regimes for name in word.split(",")] if regimes else None
    return compare(regimes=names, budgets=None if budgets is None else read_budgets(budgets), **given)


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
    regimes: Annotated[list[str] | None, Option(help="Regimes to compare; default: the four.")] = None,
    seeds: Annotated[int, Option(min=1, help="Training seeds per regime.")] = 1,
    config: Config = None,
    cut: Cut = 22.5,
    budgets: Annotated[str | None, Option(help="Label budgets, such as 100,1000,all: the label-budget curve.")] = None,
    keep_models: Annotated[bool, Option("--keep-models", help="Keep every model, for further figures.")] = False,
    draws: Annotated[int, Option(min=1, help="Draws of labels per budget.")] = 3,
    **more: object,
) -> Sequence[str]:
    """Fit several regimes over seeds and compare them on the test split with paired intervals."""
    from ..pages.figures.scores import save_picture

    save_picture(result, out)
    return [f"results: {out}"]


@verb("threads", "overwrite", "json", example="predict model jpas.fits --legacy tractor.fits --out predictions.fits")
def predict(
    result: Any,
    model: Model,
    catalogue: Annotated[str, Argument(metavar="CATALOGUE", help="FITS, VOTable, Parquet, CSV or .npy.")],
    out: Out,
    legacy: Legacy = None,
    survey: Survey = None,
    chunk_rows: Annotated[int, Option(min=1, help="Rows in memory at a time.")] = 50_000,
    explain: Annotated[
        str | None, Option(help="Add the bands that decide: for rows of these classes (A,B), or all.")
    ] = None,
    pair: Annotated[str | None, Option(help="Classes A,B that --explain compares.")] = None,
    tiles: Annotated[str | None, Option(help="Zero points of tiles that 'calibrate-tiles' measured.")] = None,
    keep: Annotated[str | None, Option(help="Columns to carry along: NAME,... or all. Ids are kept anyway.")] = None,
    strict: Strict = False,
    **more: object,
) -> Sequence[str]:
    """Classify a whole catalogue in bounded memory; rows stay in input order."""
    return []


def _calibrated(**given: Any) -> Any:
    """Measure zero points of tiles."""
    from ..inference.tiles import calibrate_tiles

    return calibrate_tiles(**given)


@verb("overwrite", "json", call=_calibrated, example="calibrate-tiles jpas.fits --model model --out tiles.json")
def calibrate_tiles(
    result: Any,
    catalogue: Annotated[str, Argument(metavar="CATALOGUE", help="The whole catalogue; labels are not read.")],
    model: Annotated[str, Option("--model", help="A model folder.")],
    out: Out,
    survey: Survey = None,
    sources: Annotated[int, Option(min=10, help="Sources of a tile, at most.")] = 200,
    chunk_rows: Annotated[int, Option(min=1, help="Rows in memory at a time.")] = 50_000,
    **more: object,
) -> Sequence[str]:
    """Measure zero points of tiles on their own sources, for 'predict --tiles'."""
    return [f"zero points: {out}"]


def _rows_of(catalogue: str | None, data: str | None, **given: Any) -> Any:
    """Explain rows of a catalogue or of a data set."""
    from .. import explain

    if data is not None and catalogue is not None:
        raise ConfigError("--data does not go with --catalogue. Leave one of them out.")
    if data is not None and given["legacy"]:
        raise ConfigError("--legacy only goes with --catalogue. Leave one of them out.")
    return explain(data=data if catalogue is None else catalogue, **given)


@verb("seed", "threads", "overwrite", "json", example="explain model --data data --out why", call=_rows_of)
def explain(
    result: Any,
    model: Model,
    out: Out,
    data: Data = None,
    catalogue: Annotated[str | None, Option(help="Explain rows of this file instead of a data set's.")] = None,
    legacy: Legacy = None,
    survey: Survey = None,
    split: Split = "test",
    objects: Annotated[
        list[str] | None, Option("--object", help="Explain this row alone: TILE_ID/NUMBER or TARGETID.")
    ] = None,
    pair: Annotated[str | None, Option(help="Two classes, A,B: what speaks for A against B.")] = None,
    rows: Annotated[int | None, Option(min=0, help="Most rows of a class; 0: all. Default: 300, quasars 3000.")] = None,
    cut: Cut = 22.5,
    rule: Annotated[str, Option(help="How features are shared among bands: shares, dominant.")] = "shares",
    blocks: Annotated[int | None, Option(min=1, help="Blocks along the spectrum.")] = None,
    refits: Annotated[int, Option(min=0, help="Fit so many siblings to judge stability.")] = 0,
    **more: object,
) -> Sequence[str]:
    """Say which bands decide, exactly: contributions by band, block, rest wavelength and object."""
    return [f"explanation: {out}/explanation.json, {out}/contributions.npz"]


Files = Annotated[list[str], Option(help="One or several files.")]


@verb("overwrite", "json", example="fetch --release jpas-edr --cone 215,52.5,0.5 --labels zall-pix.fits --out sky")
def fetch(
    result: Any,
    release: Annotated[str, Option(help="Such as jpas-edr; see configs/archives.yaml.")],
    out: Out = "sky",
    tiles: Annotated[list[str] | None, Option(help="Numbers of tiles, or all.")] = None,
    box: Annotated[str | None, Option(help="RA1,RA2,DEC1,DEC2 in degrees.")] = None,
    cone: Annotated[str | None, Option(help="RA,DEC,RADIUS in degrees.")] = None,
    moc: Annotated[str | None, Option(help="A Multi-Order Coverage map (FITS or JSON).")] = None,
    labels: Annotated[
        list[str] | None, Option(help="Labels of the same sky: file, mirror, address, list of these, or a release.")
    ] = None,
    legacy: Annotated[list[str] | None, Option(help="Imaging of the same sky, in the same ways.")] = None,
    mode: Annotated[str, Option(help="sync, or async: jobs that are waited for.")] = "sync",
    dry_run: Annotated[bool, Option("--dry-run", help="Say the queries and the rows expected; fetch none.")] = False,
    offline: Annotated[bool, Option("--offline", help="Ask nothing: all must be in the cache.")] = False,
    refresh: Annotated[bool, Option("--refresh", help="Ask for what is in the cache, too.")] = False,
    cache: Annotated[str | None, Option(help="Where answers are kept.")] = None,
    config: Annotated[str | None, Option(help="A file of releases in place of the shipped one.")] = None,
    **more: object,
) -> Sequence[str]:
    """Fetch a part of the sky from an archive, whole and resumable, with labels and imaging for its sources."""
    return []


@verb("seed", "overwrite", example="simulate --rows 20000 --seed 1 --out simulated")
def simulate(
    result: Any,
    out: Out,
    config: Config = None,
    rows: Annotated[int | None, Option(min=100, help="Mock rows (source).")] = None,
    labelled: Annotated[int | None, Option(min=0, help="Labelled target rows.")] = None,
    unlabelled: Annotated[int | None, Option(min=0, help="Unlabelled target rows.")] = None,
    **more: object,
) -> Sequence[str]:
    """Simulate a survey: mocks, target catalogue, labels, imaging and truth, with a recorded shift."""
    return [f"simulated survey: {out}; the shift is in shift.json"]


@verb("seed", "overwrite", "json", example="mocks --spectra spectra/*.fits STAR=stars.npz --curves curves --out mocks")
def mocks(
    result: Any,
    spectra: Annotated[
        list[str], Option(help="Spectra, templates and folders of them; QSO=, GALAXY= or STAR= before a path says it.")
    ],
    out: Out,
    bands: Annotated[str, Option(help="Band system, such as jpas55, jpas57 or splus12.")] = "jpas55",
    curves: Annotated[
        str | None, Option(help="Folder of throughput curves, one file a band; none: model curves.")
    ] = None,
    depths: Annotated[str | None, Option(help="CSV of 5 sigma depths: name, depth; or a tile table.")] = None,
    apart: Annotated[list[str] | None, Option(help="Label tables of the target: its objects are no parents.")] = None,
    rows: Annotated[int | None, Option(min=1, help="Rows; default: 60000.")] = None,
    config: Config = None,
    **more: object,
) -> Sequence[str]:
    """Make mocks of real spectra and templates through any curves: what 'prepare' takes as --source."""
    return [f"mocks: {out}; each names its parent, listed in parents.csv"]


def _look(files: list[str], survey: str | None, strict: bool, progress: Any) -> Any:
    from .. import inspect

    return inspect(files, survey=survey, strict=strict)


@verb("json", example="inspect jpas.fits zcatalogue.fits", call=_look)
def inspect(
    result: Any,
    files: Annotated[list[str], Argument(metavar="FILE...", help="Tables of any survey known.")],
    survey: Survey = None,
    strict: Strict = False,
    **more: object,
) -> Sequence[str]:
    """Say what was understood of a file: survey, bands, rows, missing, flags, labels, problems."""
    return []


@verb(
    "overwrite",
    "json",
    example="prepare --source mocks/*.npy --target jpas.fits --labels zcatalogue.fits --out data",
    as_json=lambda data: data.summary().to_dict(),
)
def prepare(
    result: Any,
    source: Files,
    target: Files,
    out: Out,
    labels: Annotated[list[str] | None, Option(help="Label tables, such as a DESI zcatalogue.")] = None,
    legacy: Legacy = None,
    survey: Annotated[list[str] | None, Option(help="ROLE=NAME where a file does not give itself away.")] = None,
    bands: Annotated[str | None, Option(help="Band system to keep, such as jpas55 or jpas57.")] = None,
    radius: Annotated[float | None, Option(help="Largest separation of a sky match, arcsec.")] = None,
    split_seed: Annotated[int | None, Option(help="Seed of the splits by object.")] = None,
    split_by: Annotated[str | None, Option(help="What goes together: object, tile or healpix.")] = None,
    config: Config = None,
    strict: Strict = False,
    **more: object,
) -> Sequence[str]:
    """Read, curate, match, label, split and audit: survey files become a data set folder."""
    return [f"data set: {out}"]


def _audited(data: str, progress: Any) -> Any:
    from .. import audit

    return audit(data)


@verb("json", example="audit data", call=_audited)
def audit(
    result: Any, data: Annotated[str, Argument(metavar="DATA", help="A data set made by 'prepare'.")], **more: object
) -> Sequence[str]:
    """Look for leaks in a data set by ids, positions and values; exit with 1 if there is one."""
    return []


def _whole_job(out: str, seed: int, threads: int, overwrite: bool, progress: Any) -> Any:
    """Do the whole job on the built-in survey; the page is ``report.html`` in `out`."""
    import jpas_gbm as jg

    from ..atomic import refuse_existing
    from ..pages.figures.scores import save_picture

    folder = claim_room(out)
    refuse_existing(folder / "comparison.json", overwrite)
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


@verb("overwrite", "json", example="report comparison why --out report.html", call=_write)
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


def _without_curves(result: Any) -> dict[str, Any]:
    return {name: value for name, value in result.to_dict().items() if name != "curves"}


@verb(
    "seed",
    "threads",
    "overwrite",
    "json",
    example="targets predictions.fits --purity 0.8 --out candidates.fits",
    as_json=_without_curves,
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
    bin_edges: Annotated[str, Option("--bins", help="Edges of magnitude bins in which the rule holds.")] = "",
    prior: Annotated[str | None, Option(help="Class mix of the field, A,B,C,D or a YAML file; none: EM.")] = None,
    prior_edges: Annotated[str, Option(help="Magnitude edges of the class mix.")] = "",
    correct: Annotated[
        bool, Option(" /--as-labelled", help="The field has the labelled sample's class mix: correct nothing.")
    ] = True,
    shift: Annotated[str, Option(help="What --fdr assumes: label, covariate or none.")] = "label",
    coverage: Annotated[float, Option(help="Of the conformal sets, for each class.")] = 0.9,
    draws: Annotated[int, Option(help="Bootstrap draws.")] = 200,
    area: Annotated[float | None, Option(help="Footprint in deg²; none: measured.")] = None,
    known: Annotated[list[str] | None, Option(help="Catalogues of sources to leave out, by id and position.")] = None,
    moc: Annotated[str | None, Option(help="Write the footprint's MOC here (FITS).")] = None,
    catalogue: Annotated[str | None, Option(help="The catalogue that was predicted, for --noise-draws.")] = None,
    legacy: Legacy = None,
    noise_draws: Annotated[int, Option(min=0, help="Predict candidates so often again, with noise added.")] = 0,
    **more: object,
) -> Sequence[str]:
    """Make a candidate list that says what it promises: by purity, completeness, number, density or fdr."""
    beside = Path(out).with_suffix(".json")
    return [f"list: {out}", f"rule, mix and curves: {beside}", *([f"MOC: {moc}"] if moc else [])]


@dataclass(frozen=True)
class Citation:
    """How to cite the software, from CITATION.cff."""

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
