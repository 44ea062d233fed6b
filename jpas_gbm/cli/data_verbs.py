"""Verbs that make and look at files of data: fetch, simulate, mocks, inspect, prepare, audit, survey files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from typer import Argument, Option

from .console import Columns, Config, Legacy, Out, Strict, Survey, verb

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
    rows: Annotated[int | None, Option(min=0, help="Mock rows (source).")] = None,
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
    bands: Annotated[str, Option(help="Band system, such as jpas55 or splus12, or a survey file.")] = "jpas55",
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


def _look(files: list[str], survey: str | None, column: list[str] | None, strict: bool, progress: Any) -> Any:
    from .. import inspect
    from ..surveys.survey_file import own_columns

    return inspect(files, survey=survey, columns=own_columns(column), strict=strict)


@verb("json", example="inspect jpas.fits zcatalogue.fits", call=_look)
def inspect(
    result: Any,
    files: Annotated[list[str], Argument(metavar="FILE...", help="Tables of any survey known.")],
    survey: Survey = None,
    column: Columns = None,
    strict: Strict = False,
    **more: object,
) -> Sequence[str]:
    """Say what was understood of a file: survey, bands, rows, missing, flags, labels, problems."""
    return []


def _prepared(column: list[str] | None, **given: Any) -> Any:
    """Prepare with columns named by hand; one without a role is the target's."""
    from .. import prepare
    from ..surveys.prepare import ROLES
    from ..surveys.survey_file import own_columns

    words: dict[str, list[str]] = {}
    for word in column or ():
        files, _, rest = word.partition(".")
        role, named = (files, rest) if files in ROLES else ("target", word)
        words.setdefault(role, []).append(named)
    return prepare(columns={role: own_columns(named) for role, named in words.items()}, **given)


@verb(
    "overwrite",
    "json",
    call=_prepared,
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
    column: Annotated[list[str] | None, Option(help="[FILES.]ROLE=NAME, such as target.ra=RA_deg or id=ID.")] = None,
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


def _audited(progress: Any, **given: Any) -> Any:
    from .. import audit

    return audit(**given)


@verb("json", example="audit data", call=_audited)
def audit(
    result: Any,
    data: Annotated[str, Argument(metavar="DATA", help="A data set made by 'prepare'.")],
    radius: Annotated[float, Option(help="Within which two positions are one source, arcsec.")] = 1.0,
    **more: object,
) -> Sequence[str]:
    """Look for leaks in a data set by ids, positions and values; exit with 1 if there is one."""
    return []


def _survey_call(name: str) -> Callable[..., Any]:
    """Return a call of a function on survey files that needs no progress."""

    def do(progress: Any, **given: Any) -> Any:
        from ..surveys import survey_file

        return getattr(survey_file, name)(**given)

    return do


@verb("json", call=_survey_call("list_surveys"), example="survey list")
def survey_list(result: Any, **more: object) -> Sequence[str]:
    """List the surveys that are known."""
    return []


@verb("json", call=_survey_call("show_survey"), example="survey show splus")
def survey_show(result: Any, name: Annotated[str, Argument(metavar="NAME")], **more: object) -> Sequence[str]:
    """Print a shipped survey file, the start of one's own."""
    return []


def _drafted(file: str, out: str, overwrite: bool, progress: Any) -> Any:
    from ..run import claim_file
    from ..surveys.survey_file import draft_survey

    claim_file(out, overwrite, [file])
    draft = draft_survey(file)
    draft.save(out, overwrite=overwrite)
    return draft


@verb("overwrite", "json", call=_drafted, example="survey init table.fits --out mine.yaml")
def survey_init(
    result: Any, file: Annotated[str, Argument(metavar="FILE", help="A table of it.")], out: Out, **more: object
) -> Sequence[str]:
    """Draft a survey file for a table of an unknown survey: what was guessed, and what is to be filled in."""
    return [f"survey file: {out}; read it, mend it, and name it with --survey {out}"]


@verb(call=_survey_call("survey_json_schema_text"), example="survey schema")
def survey_schema(result: Any, **more: object) -> Sequence[str]:
    """Print the JSON schema of survey files, for editors."""
    return []


@verb("json", call=_survey_call("show_config"), example="config show ssda")
def config_show(result: Any, name: Annotated[str, Argument(metavar="NAME")], **more: object) -> Sequence[str]:
    """Print a shipped configuration, the start of one's own."""
    return []
