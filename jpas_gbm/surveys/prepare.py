"""prepare: from survey files to a Dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, DatasetError, did_you_mean
from ..options import PrepareOptions
from ..store import provenance
from .assembly import assemble, join_parts
from .audit import check_shares
from .catalogue import Catalogue
from .curation import Identity
from .dataset import Dataset
from .imaging import ImagingTable
from .labels import LabelTable, join_labels
from .quality import QualityReport
from .reader import CatalogueReader, read_imaging, read_labels

__all__ = ["assemble", "prepare_dataset"]

ROLES = ("source", "target", "labels", "legacy")
"""What a file may be in a data set."""

Progress = Callable[[str, int, int], None]
Paths = str | Path | Sequence[str | Path]


class _Steps:
    """Counts the files read and gathers what their readers reported."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.done, self.progress = total, 0, progress
        self.quality = QualityReport()

    def begin(self, what: str) -> None:
        if self.progress is not None:
            self.progress(what, self.done, self.total)

    def end(self, what: str, quality: QualityReport | None = None) -> None:
        self.done += 1
        if quality is not None:
            self.quality = self.quality + quality
        self.begin(what)


def _as_paths(paths: Paths) -> list[Path]:
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    return [Path(path) for path in given]


def _check_roles(surveys: Mapping[str, str]) -> None:
    for role in surveys:
        if role not in ROLES:
            raise ConfigError(
                f"--survey {role}=...: there is no role '{role}'.{did_you_mean(role, ROLES)} Roles: {', '.join(ROLES)}."
            )


def _open(paths: Sequence[Path], role: str, surveys: Mapping[str, str], bands: str | None) -> list[CatalogueReader]:
    twice = {path for path in paths if paths.count(path) > 1}
    if twice:
        raise DatasetError(f"--{role} names {', '.join(str(path) for path in twice)} more than once.")
    return [CatalogueReader(path, surveys.get(role), bands) for path in paths]


def _identity(readers: Sequence[CatalogueReader], role: str) -> Identity:
    kinds: set[Identity] = {reader.schema.identity for reader in readers}
    if len(kinds) > 1:
        named = ", ".join(f"{reader.path.name} ({reader.schema.name}: {reader.schema.identity})" for reader in readers)
        raise DatasetError(
            f"the {role} files name their objects in different ways: {named}. Prepare files of one survey together."
        )
    return kinds.pop()


def _read_each(readers: Sequence[CatalogueReader], role: str, steps: _Steps) -> Iterator[Catalogue]:
    for reader in readers:
        steps.begin(f"{role}: {reader.path.name}")
        # Nothing here keeps the catalogue: whoever asked for it may reduce it and let it go.
        yield reader.read()
        steps.end(f"{role}: {reader.path.name}", reader.quality)


def _read_target(readers: Sequence[CatalogueReader], steps: _Steps) -> tuple[Catalogue, int]:
    measured = {reader.layout.photometry.rule.name for reader in readers if reader.layout.photometry}
    if len(measured) > 1:
        raise DatasetError(
            f"the target files hold different measurements ({', '.join(sorted(measured))}), which no model can read "
            "as one. Prepare files of one measurement together."
        )
    return join_parts(list(_read_each(readers, "target", steps)))


def _read_label_tables(paths: Sequence[Path], survey: str | None, steps: _Steps) -> tuple[LabelTable, dict[str, Any]]:
    tables = []
    rejected: dict[str, int] = {}
    for path in paths:
        steps.begin(f"labels: {path.name}")
        table, quality = read_labels(path, survey)
        tables.append(table)
        for file in quality.files.values():
            for count in file.counts.values():
                if count.rule.startswith("label") and count.count:
                    rejected[count.sentence] = rejected.get(count.sentence, 0) + count.count
        steps.end(f"labels: {path.name}", quality)
    table, joined = join_labels(tables)
    return table, {"rejected": rejected, "rows": sum(f.rows for f in _files(steps.quality, paths)), "joined": joined}


def _files(quality: QualityReport, paths: Sequence[Path]) -> list[Any]:
    return [quality.files[name] for name in {path.name for path in paths}]


def _read_imaging_tables(paths: Sequence[Path], survey: str | None, steps: _Steps) -> ImagingTable:
    tables = []
    for path in paths:
        steps.begin(f"legacy: {path.name}")
        table, quality = read_imaging(path, survey)
        tables.append(table)
        steps.end(f"legacy: {path.name}", quality)
    return ImagingTable.concat(tables)


def prepare_dataset(
    source_paths: Paths,
    target_paths: Paths,
    labels_paths: Paths = (),
    legacy_paths: Paths = (),
    surveys: Mapping[str, str] | None = None,
    options: PrepareOptions | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Read, curate, match, label, split and audit survey files.

    Parameters
    ----------
    source_paths : path or sequence of paths
        Mocks, or catalogues of another survey with classes. Several are pooled and split again by
        object, whatever split their names speak of.
    target_paths : path or sequence of paths
        The survey to be classified. Labels that it carries itself are used.
    labels_paths : path or sequence of paths
        Spectroscopic catalogues, in order of trust.
    legacy_paths : path or sequence of paths
        Imaging tables: magnitude and morphology for every source.
    surveys : mapping of str to str, optional
        For a role (source, target, labels, legacy) the name of its survey file, where the files do
        not give themselves away.
    options : PrepareOptions, optional
        Bands, radii, shares and seed.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Dataset

    Raises
    ------
    CatalogueError
        If a file cannot be understood.
    DatasetError
        If the files cannot be joined, or are not enough to train on.
    LeakError
        If an object would stand on two sides.
    """
    options, surveys = options or PrepareOptions(), dict(surveys or {})
    _check_roles(surveys)
    check_shares(options.splits.target)
    check_shares(options.splits.source)
    paths = {
        role: _as_paths(given)
        for role, given in zip(ROLES, (source_paths, target_paths, labels_paths, legacy_paths), strict=True)
    }
    for role in ("source", "target"):
        if not paths[role]:
            raise DatasetError(f"no {role} file was given. Name one with --{role}.")
    bands = None if options.bands == "auto" else options.bands
    # All files are opened before any is read: a wrong one is told at once.
    readers = {role: _open(paths[role], role, surveys, bands) for role in ("source", "target")}
    identities = {role: _identity(readers[role], role) for role in readers}
    steps = _Steps(sum(map(len, paths.values())) + 1, progress)
    target, repeated = _read_target(readers["target"], steps)
    labels, imaging = None, None
    told: dict[str, Any] = {}
    if paths["labels"]:
        labels, told = _read_label_tables(paths["labels"], surveys.get("labels"), steps)
    if paths["legacy"]:
        imaging = _read_imaging_tables(paths["legacy"], surveys.get("legacy"), steps)
    dataset = assemble(
        _read_each(readers["source"], "source", steps),
        target,
        labels=labels,
        imaging=imaging,
        options=options,
        source_identity=identities["source"],
        target_identity=identities["target"],
        counts={"target_rows_read": len(target), "target_repeated_rows": repeated, "label_files": told},
        provenance=provenance(
            seed=options.splits.seed,
            options=options.model_dump(mode="json"),
            inputs=[
                *(file for opened in readers.values() for reader in opened for file in reader.table.files),
                *paths["labels"],
                *paths["legacy"],
            ],
            files={role: [path.name for path in given] for role, given in paths.items()},
            surveys={role: sorted({r.schema.name for r in readers[role]}) for role in readers} | surveys,
        ),
    )
    dataset = dataset.with_quality(steps.quality)
    steps.end("split and audited")
    return dataset
