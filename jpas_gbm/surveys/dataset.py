"""Dataset: source and target with their splits, in memory and as a folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..atomic import atomic_folder
from ..errors import BundleError, DatasetError
from ..run import claim_folder
from ..sealed import Form, open_sealed, seal
from ..store import Made, Provenance, dump_json
from ..text import count
from .audit import SPLITS, LeakAudit, LeakCheck, audit_leaks, in_several_splits, leak_check, split_codes
from .catalogue import IMAGING_EXTRA, UNLABELLED, Catalogue
from .imaging import RADIUS
from .positions import SkyIndex, equal_fluxes
from .preparation import DatasetSummary, Preparation, SideSummary, TwinCounts
from .quality import QualityReport
from .scheme import LabelScheme

_PARTS = ("source", "target", "twins")
_SPLIT = "split"
_TARGET_SPLITS = (*SPLITS, "unlabelled")


@dataclass(frozen=True)
class DatasetHead:
    """What ``dataset.json`` says: the parts of a :class:`Dataset` that are no files of their own.

    Parameters
    ----------
    scheme : LabelScheme
        The classes.
    summary : DatasetSummary
        For people and other programs.
    counts : Preparation
        What was counted while it was prepared.
    warnings : tuple of str
        Sentences for people.
    quality, audit : dict
        What :class:`QualityReport` and :class:`LeakAudit` write.
    provenance : Provenance
        Files, options, versions and seed.
    """

    scheme: LabelScheme
    summary: DatasetSummary
    counts: Preparation
    warnings: tuple[str, ...]
    quality: dict[str, Any]
    audit: dict[str, Any]
    provenance: Made


def _from_format_1(head: dict[str, Any]) -> dict[str, Any]:
    """Turn the head of format 1, which had a checksum for each file and none for itself, into one of format 2."""
    return {**head, "files": {name: {"sha256": checksum} for name, checksum in head["files"].items()}}


FORM = Form("data set", "dataset.json", 2, DatasetHead, "'jpas-gbm prepare --out' makes one.", {1: _from_format_1})
"""The folder of a data set."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Everything that a fit or an evaluation needs, with each object on one side.

    Parameters
    ----------
    source : Catalogue
        Labelled rows of the simulation (or of another survey), without twins of target objects.
    source_split : array of int8, shape (n,)
        0 train, 1 val, 2 test.
    target : Catalogue
        The survey to be classified, labelled and unlabelled rows, each source once.
    target_split : array of int8, shape (m,)
        0 train, 1 val, 2 test; -1 for unlabelled rows.
    twins : Catalogue
        Source rows of objects that the target or its label catalogue has. They never train.
    scheme : LabelScheme
        The classes.
    quality : QualityReport
        What was rejected and mended while reading, per file.
    audit : LeakAudit
        What was checked before the data set was let out.
    counts : Preparation
        What was counted while preparing: duplicates, matches, twins.
    warnings : tuple of str
        What a person should know.
    provenance : Provenance
        How the data set was made.
    masked : bool
        Whether test labels are masked (:meth:`for_training`).

    Raises
    ------
    DatasetError
        If source and target have different bands, or a split has another length than its catalogue.
    LeakError
        If the audit found an object on two sides.
    """

    source: Catalogue
    source_split: np.ndarray
    target: Catalogue
    target_split: np.ndarray
    twins: Catalogue
    scheme: LabelScheme = field(default_factory=LabelScheme)
    quality: QualityReport = field(default_factory=QualityReport)
    audit: LeakAudit = field(default_factory=LeakAudit)
    counts: Preparation = field(default_factory=Preparation)
    warnings: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)
    masked: bool = False

    split_names: ClassVar[tuple[str, ...]] = SPLITS

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            catalogue = getattr(self, name)
            split = np.asarray(getattr(self, f"{name}_split"), dtype=np.int8).view()
            if split.shape != (len(catalogue),):
                raise DatasetError(f"the {name} has {len(catalogue)} rows, its splits {split.shape}.")
            if len(split) and not (split.min() >= -1 and split.max() < len(SPLITS)):
                raise DatasetError(f"splits of the {name} must be -1 (none) to {len(SPLITS) - 1}.")
            if len(catalogue) and catalogue.label.max() >= len(self.scheme):
                raise DatasetError(
                    f"the {name} has label {catalogue.label.max()}, there are {len(self.scheme)} classes."
                )
            split.flags.writeable = False
            object.__setattr__(self, f"{name}_split", split)
        for other in (self.source, self.twins):
            if other.bands.names != self.target.bands.names:
                raise DatasetError(
                    f"source '{other.bands.name}' and target '{self.target.bands.name}' have different bands. "
                    "Choose with --bands a system that both have."
                )
        if not self.masked and bool(((self.target_split >= 0) != (self.target.label != UNLABELLED)).any()):
            raise DatasetError("labelled target rows, and no others, must have a split.")
        self.audit.require_clean()

    def __repr__(self) -> str:
        labelled = int((self.target_split >= 0).sum())
        return (
            f"Dataset({count(len(self.source), 'source row')}, {count(len(self.target), 'target row')} of which "
            f"{labelled} labelled, {count(len(self.twins), 'twin')}{', test labels masked' if self.masked else ''})"
        )

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def source_rows(self, *splits: str) -> Catalogue:
        """Return the source rows of some splits: "train", "val", "test"; of all without a name.

        Parameters
        ----------
        *splits : str
            Names of splits.

        Returns
        -------
        Catalogue
            In the order of the data set.

        Raises
        ------
        ConfigError
            If there is no such split.
        """
        return _rows(self.source, self.source_split, split_codes(splits, SPLITS))

    def target_rows(self, *splits: str) -> Catalogue:
        """Return the target rows of some splits: "train", "val", "test", "unlabelled"; all without a name.

        Parameters
        ----------
        *splits : str
            Names of splits.

        Returns
        -------
        Catalogue
            In the order of the data set.

        Raises
        ------
        ConfigError
            If there is no such split.
        """
        return _rows(self.target, self.target_split, split_codes(splits, _TARGET_SPLITS))

    def for_training(self) -> Dataset:
        """Return the view that fitting and tuning get: no label of the test split can be read from it.

        Test rows of the target keep their photometry, as unlabelled rows do, and lose label and
        redshift; extra columns of the target, which may tell the class, are dropped; so are
        the twins of test objects, whose own labels would give theirs away.

        Returns
        -------
        Dataset
            Masked; itself if it is masked already.
        """
        if self.masked:
            return self
        test = self.target_split == SPLITS.index("test")
        target = self.target.replace(
            label=np.where(test, np.int8(UNLABELLED), self.target.label),
            z=np.where(test, np.nan, self.target.z),
            extra={name: one for name, one in self.target.extra.items() if name.startswith(IMAGING_EXTRA)},
        )
        tell = np.isin(self.twins.object_id, self.target.object_id[test])
        return replace(self, target=target, twins=self.twins.take(~tell), masked=True)

    def with_quality(self, quality: QualityReport) -> Dataset:
        """Return the data set with another report of what was rejected while reading.

        Parameters
        ----------
        quality : QualityReport
            Takes the place of the one it has.

        Returns
        -------
        Dataset
            With the same rows.
        """
        told: Provenance = {"notes": quality.notes()} if quality.notes() else {}
        if quality.simulated:
            told["simulated"] = True
        if quality.magnitude:
            told["magnitude"] = quality.magnitude
        warnings = (*self.warnings, *(f"{note}." for note in quality.notes()))
        return replace(self, quality=quality, warnings=warnings, provenance={**self.provenance, **told})

    def fingerprint(self) -> str:
        """Return a checksum of all that training and testing see: catalogues, splits and classes.

        It changes with any field of any catalogue. How the data set was read (`quality`, `audit`,
        `counts`, `warnings`, `provenance`) does not enter.

        Returns
        -------
        str
            SHA-256, hexadecimal.
        """
        digest = hashlib.sha256(dump_json(self.scheme.to_dict()).encode())
        for name in _PARTS:
            digest.update(getattr(self, name).fingerprint().encode())
        for split in (self.source_split, self.target_split):
            digest.update(hashlib.sha256(np.ascontiguousarray(split).data).digest())
        return digest.hexdigest()

    def summary(self) -> DatasetSummary:
        """Return the counts that a person asks for.

        Returns
        -------
        DatasetSummary
            By side, split and class.
        """
        return DatasetSummary(
            bands=self.target.bands.name,
            n_bands=len(self.target.bands),
            classes=tuple(self.scheme.classes),
            source=SideSummary.of(self.source, self.source_split, self.scheme),
            target=SideSummary.of(self.target, self.target_split, self.scheme),
            twins=TwinCounts(len(self.twins), len(np.unique(self.twins.object_id))),
            preparation=self.counts,
            audit_clean=self.audit.clean,
            warnings=tuple(self.warnings),
        )

    def lines(self) -> list[str]:
        """Return the summary as lines for the terminal.

        Returns
        -------
        list of str
        """
        return self.summary().lines()

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the data set as a folder: three Parquet files and dataset.json, whole or not at all.

        Each row's split stands beside it in the column ``extra:split``.

        Parameters
        ----------
        folder : path
            Where it goes.
        overwrite : bool
            Whether a folder that is there may be replaced.

        Raises
        ------
        OutputError
            If the folder exists and may not be replaced, holds what is no data set, or cannot be written.
        DatasetError
            If test labels are masked: such a view is not the data set.
        """
        if self.masked:
            raise DatasetError("this data set has its test labels masked; save the one it was made from.")
        folder = claim_folder(folder, FORM.kind, overwrite)
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            for name in _PARTS:
                catalogue: Catalogue = getattr(self, name)
                if name != "twins":
                    catalogue = catalogue.replace(extra={**catalogue.extra, _SPLIT: getattr(self, f"{name}_split")})
                catalogue.write(temporary / f"{name}.parquet")
            head = DatasetHead(
                scheme=self.scheme,
                summary=self.summary(),
                counts=self.counts,
                warnings=tuple(self.warnings),
                quality=self.quality.to_dict(),
                audit=self.audit.to_dict(),
                provenance=self.provenance,
            )
            seal(temporary, FORM, head)

    @classmethod
    def load(cls, folder: str | Path, *, check: bool = True) -> Dataset:
        """Read a data set that :meth:`save` wrote; checksums and the leak audit are checked again.

        Parameters
        ----------
        folder : path
            Of this format or an older one.
        check : bool
            Whether to refuse one in which an object stands on two sides.

        Returns
        -------
        Dataset

        Raises
        ------
        BundleError
            If the folder is missing, damaged, changed or of another version.
        LeakError
            If an object stands on two sides.
        """
        sealed = open_sealed(folder, FORM)
        head = sealed.head
        parts = {name: Catalogue.read(sealed.path(f"{name}.parquet")) for name in _PARTS}
        splits = {}
        for name in ("source", "target"):
            extra = dict(parts[name].extra)
            if _SPLIT not in extra:
                raise BundleError(f"{sealed.folder / name}.parquet: has no column of splits. {FORM.remedy}")
            splits[name] = extra.pop(_SPLIT)
            parts[name] = parts[name].replace(extra=extra)
        audit = LeakAudit.from_dict(head.audit)
        allowed = any(check.allowed for check in audit.checks)
        if check:
            audit_leaks(
                parts["source"], splits["source"], parts["target"], splits["target"], allow_twins=allowed
            ).require_clean()
        return cls(
            source=parts["source"],
            source_split=splits["source"],
            target=parts["target"],
            target_split=splits["target"],
            twins=parts["twins"],
            scheme=head.scheme,
            quality=QualityReport.from_dict(head.quality),
            audit=audit,
            counts=head.counts,
            warnings=head.warnings,
            provenance=head.provenance,
        )


def audit(data: Dataset | str | Path, *, radius: float = RADIUS) -> LeakAudit:
    """Look for leaks in a data set that exists, by ids, positions and values, whatever made it.

    Parameters
    ----------
    data : Dataset or path
        In memory, or a folder that `prepare` wrote.
    radius : float
        Separation within which two positions are one source, arcsec. Target rows farther apart than `overlap_radius`,
        within which `prepare` took rows for one source, are neighbours: counted and allowed.

    Returns
    -------
    LeakAudit
        The checks of `prepare` done again; whether sources of one position, or equal rows, stand on two sides; and
        whether what features are made of follows an id or a position. Tiles, plates and nights that splits share are
        counted and allowed: splits are by object.

    Raises
    ------
    BundleError
        If the folder is missing, damaged, changed or of another version.
    """
    dataset = data if isinstance(data, Dataset) else Dataset.load(data, check=False)
    source, target, split = dataset.source, dataset.target, dataset.target_split
    allowed = any(check.allowed for check in dataset.audit.checks)
    found = audit_leaks(source, dataset.source_split, target, split, allow_twins=allowed)
    near = SkyIndex(target.ra, target.dec).nearest(source.ra, source.dec, radius)[0]
    # Rows of two sources that are farther apart than those that `prepare` took for one are neighbours, and told.
    same = min(radius, dataset.provenance.get("options", {}).get("overlap_radius", radius))
    parted, neighbours = (target.object_id[_near_in_other_split(target, split, reach)] for reach in (same, radius))
    checks = [
        leak_check("twins_in_source", "twins of target objects among the rows that train",
                   np.intersect1d(dataset.twins.object_id, source.object_id), allowed),
        leak_check("source_at_target", f"source objects within {radius:g} arcsec of a target object",
                   source.object_id[near], allowed),
        leak_check("target_at_target", f"target objects within {same:g} arcsec of one in another split", parted),
        leak_check("target_neighbours", f"target objects from {same:g} to {radius:g} arcsec from one in another split",
                   np.setdiff1d(neighbours, parted), True),
        leak_check("equal_rows", "target objects whose fluxes are those of one in another split",
                   target.object_id[_equal_in_other_split(target, split)]),
    ]  # fmt: skip
    checks.append(_named_check(dataset))
    for name, what in (("TILE_ID", "tiles"), ("plate", "plates"), ("mjd", "nights (MJD)"), ("NIGHT", "nights")):
        columns = {key.upper(): values for key, values in {**target.extra, **target.key}.items()}
        if (values := columns.get(name.upper())) is not None and values.dtype.kind in "iu":
            shared = in_several_splits(values, split)
            short = {"TILE_ID": "shared_tiles"}.get(name, f"shared_{name}")
            checks.append(leak_check(short, f"{what} with objects of several splits", shared, True))
    return LeakAudit((*found.checks, *(check for check in dataset.audit.checks if _told(check, found)), *checks))


_FOLLOWS = 0.999
"""Rank correlation from which a measurement is taken for another spelling of an id or a position."""

_IDS = ("NOISE_TILE", "NOISE_SEED", "HEALPIX")


def _named_check(dataset: Dataset) -> LeakCheck:
    """Return whether what features are made of, a flux or a magnitude, is an id or a position in truth."""
    from scipy.stats import rankdata

    found: dict[str, int] = {}
    for side in (dataset.source, dataset.target):
        rows = np.linspace(0, len(side) - 1, min(len(side), 2000)).astype(int) if len(side) else np.empty(0, dtype=int)
        names: dict[str, np.ndarray] = {"RA": side.ra, "Dec": side.dec, "the object's id": side.object_id, **side.key}
        names |= {
            name: side.extra[name] for name in _IDS if name in side.extra and side.extra[name].dtype.kind in "iuf"
        }
        ids = {name: np.asarray(values[rows], dtype=np.float64) for name, values in names.items()}
        inputs = {band: side.flux[rows, i] for i, band in enumerate(side.bands.names)}
        inputs["imaging magnitude"] = side.imaging_mag[rows]
        for name, values in inputs.items():
            for of, known in ids.items():
                seen = np.isfinite(values) & np.isfinite(known)
                if seen.sum() >= 50 and np.ptp(values[seen]) > 0 and np.ptp(known[seen]) > 0:
                    ranks = rankdata(values[seen]), rankdata(known[seen])
                    if abs(np.corrcoef(*ranks)[0, 1]) > _FOLLOWS:
                        found[f"{name} follows {of}"] = 1
    said = "inputs of features that are an id or a position" + (f" ({'; '.join(found)})" if found else "")
    return LeakCheck("id_features", said, len(found))


def _told(check: LeakCheck, found: LeakAudit) -> bool:
    """Return whether a check of `prepare` is of what the data set no longer holds, such as the ids of all labels."""
    return check.name == "source_in_labels" and all(check.name != other.name for other in found.checks)


def _near_in_other_split(target: Catalogue, split: np.ndarray, radius: float) -> np.ndarray:
    """Return the rows of a split that have a row of another one within a radius."""
    rows: list[np.ndarray] = []
    for code in range(len(SPLITS)):
        ours, others = np.flatnonzero(split == code), np.flatnonzero((split >= 0) & (split != code))
        index = SkyIndex(target.ra[others], target.dec[others])
        rows.append(ours[index.nearest(target.ra[ours], target.dec[ours], radius)[0]])
    return np.concatenate(rows)


def _equal_in_other_split(target: Catalogue, split: np.ndarray) -> np.ndarray:
    """Return the rows of a split whose fluxes, at least five of them known, stand in another one too."""
    group = equal_fluxes(target)
    rows = np.flatnonzero((split >= 0) & (group >= 0))
    group = group[rows]
    first = np.zeros(group.max(initial=-1) + 1, dtype=np.int64)
    first[group[::-1]] = split[rows][::-1]
    return rows[np.isin(group, group[split[rows] != first[group]])]


def _rows(catalogue: Catalogue, split: np.ndarray, codes: list[int]) -> Catalogue:
    if not codes:
        return catalogue
    chosen = np.isin(split, codes)
    return catalogue if chosen.all() else catalogue.take(chosen)
