"""prepare: from survey files, or tables in memory, to a Dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..config import options_of, override
from ..errors import ConfigError, DatasetError, did_you_mean
from ..options import PrepareOptions
from ..run import Progress, claim_folder
from ..store import provenance
from ..text import count as counted
from ..text import named_table
from .assembly import assemble, join_parts
from .audit import check_shares
from .catalogue import Catalogue
from .dataset import Dataset
from .formats.several import table_files
from .imaging import ImagingTable, join_imaging
from .labels import LabelTable, join_labels
from .packing import is_several
from .preparation import LabelFiles, Preparation
from .quality import QualityReport
from .reader import CatalogueReader, read_imaging, read_labels
from .recognition import Source, as_list, own_survey, require_named
from .schema import Identity, Kind, OwnColumns, Survey

ROLES = ("source", "target", "labels", "legacy")
"""What a file may be in a data set."""

Sources = Source | Sequence[Source]


class _Steps:
    """Tells the files read and gathers what their readers reported; `strict` refuses files with anything to note."""

    def __init__(self, progress: Progress | None, strict: bool) -> None:
        self.progress, self.strict = progress, strict
        self.quality = QualityReport()

    def begin(self, what: str, done: int = 0) -> None:
        """Report that a step begins."""
        if self.progress is not None:
            self.progress(what, done, 1)

    def end(self, what: str, quality: QualityReport | None = None) -> None:
        """Report that a step is done, and keep what its reader counted."""
        if quality is not None:
            if self.strict:
                quality.refuse_notes()
            self.quality = self.quality + quality
        self.begin(what, done=1)


_KINDS: dict[str, Kind] = {"source": "catalogue", "target": "catalogue", "labels": "labels", "legacy": "imaging"}


def survey_roles(survey: Mapping[str, str] | Sequence[str] | None) -> dict[str, str]:
    """Return the survey of each role from a mapping, or from words such as ``target=sdss_ugriz``.

    Parameters
    ----------
    survey : mapping of str to str, or sequence of str, optional
        Names of survey files by role.

    Returns
    -------
    dict of str to str

    Raises
    ------
    ConfigError
        If a word has another form, or a role does not exist.
    """
    if isinstance(survey, Mapping):
        found = dict(survey)
    else:
        found = {}
        for word in [survey] if isinstance(survey, str) else survey or ():
            role, equals, name = word.partition("=")
            if not equals:
                raise ConfigError(f"--survey {word}: write ROLE=NAME with ROLE one of {', '.join(ROLES)}.")
            found[role] = name
    for role in found:
        if role not in ROLES:
            raise ConfigError(
                f"--survey {role}=...: there is no role '{role}'.{did_you_mean(role, ROLES)} Write ROLE=NAME "
                f"with ROLE one of {', '.join(ROLES)}."
            )
    return found


def _open(sources: Sequence[Source], role: str, survey: Survey, bands: str | None) -> list[CatalogueReader]:
    """Open the catalogues of a role."""
    paths = [str(source) for source in sources if isinstance(source, str | Path)]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise DatasetError(f"--{role} names {', '.join(twice)} more than once.")
    return [CatalogueReader(source, survey, bands) for source in sources]


def _identity(readers: Sequence[CatalogueReader], role: str) -> Identity:
    """Return what names the objects of all files of a role."""
    kinds: set[Identity] = {reader.schema.identity for reader in readers}
    if len(kinds) > 1:
        named = ", ".join(f"{reader.path.name} ({reader.schema.name}: {reader.schema.identity})" for reader in readers)
        raise DatasetError(
            f"the {role} files name their objects in different ways: {named}. Prepare files of one survey together."
        )
    return kinds.pop()


def _read_each(readers: Sequence[CatalogueReader], role: str, steps: _Steps) -> Iterator[Catalogue]:
    for reader in readers:
        steps.begin(f"read {role}: {reader.path.name}")
        # Nothing here keeps the catalogue: whoever asked for it may reduce it and let it go.
        yield reader.read()
        steps.end(f"read {role}: {reader.path.name}", reader.quality)


def _read_target(readers: Sequence[CatalogueReader], steps: _Steps) -> tuple[Catalogue, int]:
    """Return the rows of all target files as one catalogue, and how many rows a later file repeated."""
    measured = {reader.photometry.rule.name for reader in readers}
    if len(measured) > 1:
        raise DatasetError(
            f"the target files hold different measurements ({', '.join(sorted(measured))}), which no model can read "
            "as one. Prepare files of one measurement together."
        )
    return join_parts(list(_read_each(readers, "target", steps)))


def _name(source: Source) -> str:
    if not isinstance(source, str | Path):
        return "table"
    file, table = named_table(source)
    return f"{file.name}[{table}]" if table else file.name


def _files(source: Source) -> list[Path]:
    """Return the files of a table, each with the table in it that is named."""
    if not isinstance(source, str | Path):
        return []
    file, table = named_table(source)
    files = table_files(file) if is_several(file) else [file]
    return [Path(f"{one}[{table}]") if table else one for one in files]


def _apart(sources: Sequence[Source], target: Sequence[CatalogueReader]) -> tuple[list[Source], list[str]]:
    """Return the label tables that are not files of the target whose labels its own survey file reads, and notes."""
    own = {file.resolve() for reader in target if reader.schema.labels is not None for file in reader.table.files}
    apart: list[Source] = []
    told = []
    for one in sources:
        if isinstance(one, str | Path) and Path(one).resolve() in own:
            trusted = f"its labels are those that its survey file ({target[0].schema.name}) trusts."
            told.append(f"{_name(one)}: is a target file too; {trusted}")
        else:
            apart.append(one)
    return apart, told


def _read_label_tables(
    sources: Sequence[Source], survey: Survey, steps: _Steps
) -> tuple[LabelTable | None, LabelFiles | None]:
    """Return the labels of all tables as one, and what was counted of them."""
    if not sources:
        return None, None
    tables, rows = [], 0
    sorts: dict[str, dict[str, int]] = {"label": {}, "doubt": {}}
    for source in sources:
        steps.begin(f"read labels: {_name(source)}")
        table, quality = read_labels(source, survey)
        tables.append(table)
        for file in quality.files.values():
            rows += file.rows
            for count in file.counts.values():
                sort = sorts.get(count.rule.partition("_")[0])
                if sort is not None and count.count:
                    sort[count.sentence] = sort.get(count.sentence, 0) + count.count
        steps.end(f"read labels: {_name(source)}", quality)
    table, joined = join_labels(tables)
    return table, LabelFiles(sorts["label"], rows, **joined, doubtful=sorts["doubt"])


def _read_imaging_tables(sources: Sequence[Source], survey: Survey, steps: _Steps) -> ImagingTable | None:
    """Return the rows of all imaging tables as one."""
    if not sources:
        return None
    tables = []
    for source in sources:
        steps.begin(f"read legacy: {_name(source)}")
        table, quality = read_imaging(source, survey)
        tables.append(table)
        steps.end(f"read legacy: {_name(source)}", quality)
    return join_imaging(tables)


def _options(
    config: PrepareOptions | Mapping[str, object] | str | Path | None,
    bands: str | None,
    radius: float | None,
    split_seed: int | None,
    split_by: str | None,
) -> PrepareOptions:
    """Return the options of a file or of the package, with what was given besides."""
    options = options_of(PrepareOptions, PrepareOptions() if config is None else config, "")
    options = override(options, bands=bands, match_radius=radius)
    if split_seed is not None:
        options = override(options, splits=override(options.splits, seed=split_seed).model_dump())
    if split_by is not None:
        options = override(options, splits=override(options.splits, by=split_by).model_dump())
    check_shares(options.splits.target)
    check_shares(options.splits.source)
    return options


def prepare(
    source: Sources,
    target: Sources,
    labels: Sources | None = None,
    legacy: Sources | None = None,
    *,
    survey: Mapping[str, str] | Sequence[str] | None = None,
    columns: Mapping[str, OwnColumns] | None = None,
    config: PrepareOptions | Mapping[str, object] | str | Path | None = None,
    bands: str | None = None,
    radius: float | None = None,
    split_seed: int | None = None,
    split_by: str | None = None,
    strict: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Read, curate, match, label, split and audit survey files.

    Parameters
    ----------
    source, target, labels, legacy : path, astropy Table or DataFrame, or a list of these
        Mocks, or catalogues of another survey with classes (several are pooled and split again by object);
        the survey to be classified, whose own labels are used; spectroscopic catalogues in order of trust;
        imaging tables with magnitude and morphology of every source. The last two may be left out.
    survey, columns : mapping of str to str (or sequence of str), mapping of str to mapping, optional
        For a role the name of its survey file, where files do not give themselves away, also as ``target=NAME``;
        for a role its columns that bear names of their own: ``{"target": {"ra": "RA_deg"}}``.
    config, bands, radius, split_seed, split_by : PrepareOptions, mapping or path, str, float, int, str, optional
        Bands, radii, shares and seed, of which some may be given besides: band system to keep, largest separation of a
        sky match (arcsec), seed of the splits, and by what they are: object, tile or healpix.
    strict, out, overwrite, progress : bool, path, bool, callable
        Refuse files of which there is anything to note, such as stale checksums; folder that the data set is written
        to, and whether one that is there may be replaced; what is called as ``progress(stage, done, total)``.

    Returns
    -------
    Dataset

    Raises
    ------
    CatalogueError, ConfigError, OutputError
        If a file cannot be understood, an option or a role is wrong, or `out` exists or is an input.
    DatasetError, LeakError
        If the files cannot be joined or are not enough to train on, or an object would stand on two sides.
    """
    given = {
        role: [] if sources is None else as_list(sources)
        for role, sources in zip(ROLES, (source, target, labels, legacy), strict=True)
    }
    files = [Path(one) for sources in given.values() for one in sources if isinstance(one, str | Path)]
    if out is not None:
        claim_folder(out, "data set", overwrite, [*files, config if isinstance(config, str | Path) else None])
    chosen = _options(config, bands, radius, split_seed, split_by)
    surveys = _own_surveys(given, survey_roles(survey), columns or {})
    dataset = _prepared(given, surveys, chosen, strict, progress)
    if out is not None:
        dataset.save(out, overwrite=overwrite)
    return dataset


def _own_surveys(
    given: Mapping[str, Sequence[Source]], named: Mapping[str, str], columns: Mapping[str, OwnColumns]
) -> dict[str, Survey]:
    """Return the survey of each role, with the columns that were named by hand."""
    surveys: dict[str, Survey] = {**named}
    for role, own in columns.items():
        if role not in ROLES or not given[role]:
            raise ConfigError(f"columns of '{role}': no such file was given. Roles: {', '.join(ROLES)}.")
        surveys[role] = own_survey(given[role][0], surveys.get(role), own, _KINDS[role])
        for more in given[role][1:]:
            require_named(more, own)
    return surveys


def _prepared(
    given: Mapping[str, Sequence[Source]],
    surveys: Mapping[str, Survey],
    options: PrepareOptions,
    strict: bool,
    progress: Progress | None,
) -> Dataset:
    """Read the tables of each role and assemble a data set of them."""
    for role in ("source", "target"):
        if not given[role]:
            raise DatasetError(f"no {role} file was given. Name one with --{role}.")
    bands = None if options.bands == "auto" else options.bands
    # All files are opened before any is read: a wrong one is told at once.
    readers = {role: _open(given[role], role, surveys.get(role), bands) for role in ("source", "target")}
    identities = {role: _identity(readers[role], role) for role in readers}
    steps = _Steps(progress, strict)
    target, repeated = _read_target(readers["target"], steps)
    apart, notes = _apart(given["labels"], [] if "labels" in surveys else readers["target"])
    labels, label_files = _read_label_tables(apart, surveys.get("labels"), steps)
    imaging = _read_imaging_tables(given["legacy"], surveys.get("legacy"), steps)
    inputs = [path for opened in readers.values() for reader in opened for path in reader.table.inputs]
    inputs += [file for role in ("labels", "legacy") for one in given[role] for file in _files(one)]
    dataset = assemble(
        _read_each(readers["source"], "source", steps),
        target,
        labels=labels,
        imaging=imaging,
        options=options,
        source_identity=identities["source"],
        target_identity=identities["target"],
        counts=Preparation(len(target), repeated, label_files),
        provenance=provenance(
            seed=options.splits.seed,
            options=options.model_dump(mode="json"),
            inputs=inputs,
            files={role: [_name(one) for one in sources] for role, sources in given.items()},
            surveys={role: sorted({r.schema.name for r in readers[role]}) for role in readers}
            | {role: getattr(named, "name", named) for role, named in surveys.items()},
        ),
    )
    # Mocks that name their objects need no place.
    placed = [one for role in given if role != "source" or identities[role] != "id" for one in given[role]]
    joined = [named_table(one)[0].name for one in placed if isinstance(one, str | Path)]
    told = (*dataset.warnings, *notes, *_told(steps.quality, joined))
    dataset = replace(dataset.with_quality(steps.quality), warnings=told)
    steps.end("split and audited")
    return dataset


def _told(quality: QualityReport, joined: Sequence[str]) -> Iterator[str]:
    """Yield what the readers noted, and how many rows of files that are joined by position have none."""
    yield from quality.notes()
    for name in dict.fromkeys(joined):
        for count in quality.files[name].counts.values() if name in quality.files else ():
            if count.rule in ("no_position", "crowded") and count.count:
                yield f"{name}: {counted(count.count, 'row is', 'rows are')} {count.sentence}"
