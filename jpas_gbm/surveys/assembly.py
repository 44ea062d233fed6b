"""Assembly: from catalogues in memory to a Dataset in which each object has one side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ..errors import DatasetError
from ..options import PrepareOptions, SplitOptions
from ..store import Provenance
from ..text import count, listed
from .audit import NO_SPLIT, SPLITS, audit_leaks, check_shares, split_objects, unlike_fluxes, unseen_bands
from .catalogue import UNLABELLED, Catalogue
from .curation import (
    Curated,
    add_imaging,
    add_labels,
    compare_imaging,
    leave_placeholders,
    merge_overlaps,
    name_objects,
)
from .dataset import Dataset
from .imaging import ImagingTable
from .labels import LabelTable
from .positions import SkyIndex, TwinFinder, ids_from_key, made_here
from .preparation import Preparation, TwinCounts
from .quality import QualityReport
from .schema import Identity
from .scheme import LabelScheme

ROW = "ROW"
_SOURCE_SALT, _TARGET_SALT = 1, 2


def join_parts(parts: list[Catalogue]) -> tuple[Catalogue, int]:
    """Return the catalogues of several files as one; rows that a later file repeats are left out.

    Files whose rows have no name but their number get the number of the file in front of it, as the
    key column FILE.

    Parameters
    ----------
    parts : list of Catalogue
        By files, in their order; of the same bands.

    Returns
    -------
    catalogue : Catalogue
        All rows, each key once.
    repeated : int
        Rows whose key an earlier file had.
    """
    if len(parts) == 1:
        return parts[0], 0
    if any(ROW in part.key for part in parts):
        numbered = [
            part.replace(key={"FILE": np.full(len(part), number), **part.key}) for number, part in enumerate(parts)
        ]
        return Catalogue.concat(numbered), 0
    if any(tuple(part.key) != tuple(parts[0].key) for part in parts):
        return Catalogue.concat(parts), 0
    keys = np.stack([np.concatenate([part.key[name] for part in parts]) for name in parts[0].key], axis=1)
    first = np.zeros(len(keys), dtype=bool)
    first[np.unique(keys, axis=0, return_index=True)[1]] = True
    ends = np.cumsum([len(part) for part in parts])
    chosen = [
        part if keep.all() else part.take(keep) for part, keep in zip(parts, np.split(first, ends[:-1]), strict=True)
    ]
    return Catalogue.concat(chosen), int((~first).sum())


def _check_bands(source: Catalogue, target: Catalogue) -> Catalogue:
    missing = [name for name in target.bands.names if name not in source.bands]
    if missing:
        raise DatasetError(
            f"the source '{source.survey}' ({source.bands.name}) lacks {len(missing)} of the {len(target.bands)} bands "
            f"of the target '{target.survey}' ({target.bands.name}): {', '.join(missing[:8])}"
            f"{', ...' if len(missing) > 8 else ''}. Give a source in the target's bands, or choose with --bands a "
            "system that both have."
        )
    return source if source.bands == target.bands else source.select_bands(target.bands)


def curate_target(
    target: Catalogue,
    labels: LabelTable | None,
    imaging: ImagingTable | None,
    options: PrepareOptions,
    identity: Identity,
    counts: Preparation | None = None,
) -> Curated:
    """Resolve overlaps, name the objects, and add labels and imaging to a target catalogue.

    Parameters
    ----------
    target : Catalogue
        As it was read.
    labels : LabelTable, optional
        Trusted classes.
    imaging : ImagingTable, optional
        Magnitudes and morphologies.
    options : PrepareOptions
        Gives the radii.
    identity : {"id", "position", "row"}
        What names the objects of the target.
    counts : Preparation, optional
        What was counted before.

    Returns
    -------
    Curated
        The catalogue, with object ids, labels and imaging, and what was counted.

    Raises
    ------
    DatasetError
        If it is empty, or a table that was given matches none of its rows.
    """
    if len(target) == 0:
        raise DatasetError(f"the target '{target.survey}' has no rows.")
    state = leave_placeholders(Curated(target, counts or Preparation()))
    state = merge_overlaps(state, options.overlap_radius)
    state = name_objects(state, identity, options.match_radius, _TARGET_SALT if ROW in target.key else 0)
    if imaging is not None:
        state = add_imaging(state, imaging, options.match_radius)
    if labels is not None:
        if len(labels) == 0:
            files = state.counts.label_files
            against = (
                f"{files.contradictory:,} objects are left out since tables disagree on their class. " if files else ""
            )
            raise DatasetError(
                f"the label table has no row whose label is trusted. {against}See the rejected rows by 'jpas-gbm "
                "inspect', and the rules in its survey file."
            )
        state = add_labels(state, labels, identity, options.match_radius)
    return compare_imaging(state)


def _labelled_only(source: Catalogue) -> tuple[Catalogue, int]:
    known = source.label != UNLABELLED
    return (source, 0) if known.all() else (source.take(known), int((~known).sum()))


def _part_twins(part: Catalogue, finder: TwinFinder, keep: bool) -> tuple[Catalogue, Catalogue, dict[str, int]]:
    found = finder.find(part)
    twin = np.logical_or.reduce(list(found.values()))
    counts = {name: int(rows.sum()) for name, rows in found.items()}
    return (part if keep or not twin.any() else part.take(~twin)), part.take(twin), counts


def _identified(parts: Iterable[Catalogue], finder: TwinFinder, identity: Identity) -> tuple[list[Catalogue], int]:
    """Join all files and name their objects as the target does: an object may stand in two files."""
    whole, repeated = join_parts(list(parts))
    if identity != "id":
        salt = _SOURCE_SALT if ROW in whole.key else 0
        whole = whole.replace(object_id=ids_from_key(whole.key, salt))
    return [finder.identify(whole, identity == "id")], repeated


def divide_source(
    parts: Iterable[Catalogue],
    target: Catalogue,
    finder: TwinFinder,
    identity: Identity,
    keep_twins: bool,
    counted: Preparation,
) -> tuple[Catalogue, Catalogue, Preparation]:
    """Part the rows of the source into those that may train and the twins of target objects.

    Parameters
    ----------
    parts : iterable of Catalogue
        The source by files; where ids allow it, each is reduced before the next is read.
    target, finder : Catalogue, TwinFinder
        Curated, its bands are those kept; what knows its objects.
    identity : {"id", "position", "row"}
        What names the objects of the source.
    keep_twins : bool
        Whether twins train all the same.
    counted : Preparation
        What was counted before.

    Returns
    -------
    source, twins : Catalogue
    counted : Preparation
        With the twins and how they are known, and the rows that were left out.

    Raises
    ------
    DatasetError
        If a band of the target is missing, or nothing is left.
    """
    chosen, twins, unlabelled, repeated = [], [], 0, 0
    counts: dict[str, int] = {}
    if finder.target is not None:
        parts, repeated = _identified(parts, finder, identity)
    for part in parts:
        part, dropped = _labelled_only(_check_bands(part, target))
        unlabelled += dropped
        kept, twin, found = _part_twins(part, finder, keep_twins)
        chosen.append(kept)
        twins.append(twin)
        counts = {name: counts.get(name, 0) + number for name, number in found.items()}
        del part, kept, twin  # the next file is read by the next turn of the loop
    if not chosen:
        raise DatasetError("no source catalogue was given.")
    source, more = join_parts(chosen)
    excluded, _ = join_parts(twins)
    if len(source) == 0:
        raise DatasetError(
            f"no labelled row of the source may train: {unlabelled:,} have no class and {len(excluded):,} are twins of "
            "target objects. Give a source with classes and with objects of its own."
        )
    objects = len(np.unique(excluded.object_id))
    twin_counts = TwinCounts(len(excluded), objects, keep_twins and objects > 0, **counts)
    counted = replace(counted, source_unlabelled=unlabelled, source_repeated_rows=repeated + more, twins=twin_counts)
    return source, excluded, counted


def _class_warnings(name: str, scheme: LabelScheme, label: np.ndarray, split: np.ndarray) -> list[str]:
    counts = scheme.counts(label)
    absent = [of for of, number in counts.items() if number == 0]
    warnings = []
    if absent:
        warnings.append(
            f"no labelled {name} row is {' or '.join(absent)}: nothing can be learnt or measured of it there."
        )
    for code, part in enumerate(SPLITS):
        here = {of: n for of, n in scheme.counts(label[split == code]).items() if counts[of] and n < 5}
        few = [f"only {n} {of}" if n else f"no {of}" for of, n in sorted(here.items(), key=lambda one: one[1])]
        if few:
            warnings.append(f"the {part} split of the {name} has {listed(few)}.")
    return warnings


def _check_usable(
    name: str, scheme: LabelScheme, label: np.ndarray, split: np.ndarray, shares: tuple[float, ...]
) -> None:
    present = [of for of, number in scheme.counts(label).items() if number]
    if len(present) < 2:
        only = present[0] if present else "of no known class"
        raise DatasetError(
            f"the labelled {name} rows are all {only}: two classes or more are needed. See by 'jpas-gbm inspect FILE' "
            "which classes its file has, and what was rejected and why."
        )
    for code, part in enumerate(SPLITS):
        if shares[code] > 0 and not (split == code).any():
            raise DatasetError(
                f"the {part} split of the {name} is empty: {int((split >= 0).sum())} labelled rows are too few for the "
                f"shares {shares}."
            )


def _check_splits(
    source: Catalogue,
    source_split: np.ndarray,
    target: Catalogue,
    target_split: np.ndarray,
    scheme: LabelScheme,
    options: PrepareOptions,
) -> list[str]:
    """Refuse splits that nothing can be learnt from, and say what is thin in the others."""
    _check_usable("source", scheme, source.label, source_split, options.splits.source)
    notes = [
        *unseen_bands(source, target, target_split),
        *_class_warnings("source", scheme, source.label, source_split),
    ]
    if (target_split == NO_SPLIT).all():
        return [
            *notes,
            "no target row has a label: only mocks-only and uda can be fitted, and no score on the sky made.",
        ]
    _check_usable("target", scheme, target.label, target_split, options.splits.target)
    return notes + _class_warnings("target", scheme, target.label, target_split)


def assemble(
    source: Catalogue | Iterable[Catalogue],
    target: Catalogue,
    *,
    labels: LabelTable | None = None,
    imaging: ImagingTable | None = None,
    options: PrepareOptions | None = None,
    source_identity: Identity = "id",
    target_identity: Identity = "id",
    scheme: LabelScheme | None = None,
    quality: QualityReport | None = None,
    counts: Preparation | None = None,
    warnings: tuple[str, ...] = (),
    provenance: Provenance | None = None,
) -> Dataset:
    """Make a data set of catalogues in memory.

    Parameters
    ----------
    source : Catalogue or iterable of Catalogue
        Rows with classes; several are pooled and split again by object. An iterator is read once.
    target : Catalogue
        The survey to be classified, with labels of its own or without.
    labels, imaging : LabelTable, ImagingTable, optional
        Trusted classes, matched by id or position; magnitude and morphology of any source, by position.
    options : PrepareOptions, optional
        Radii, shares, seed; default: those of :class:`PrepareOptions`.
    source_identity, target_identity : {"id", "position", "row"}
        What names their objects (:func:`twin_finder`).
    scheme : LabelScheme, optional
        The classes; default: the four of the paper.
    quality, counts, warnings, provenance
        Passed on into the data set.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        If the tables cannot be joined or are not enough to train on.
    LeakError
        If an object would stand on two sides.
    """
    options, scheme = options or PrepareOptions(), scheme or LabelScheme()
    check_shares(options.splits.target)
    check_shares(options.splits.source)
    state = curate_target(target, labels, imaging, options, target_identity, counts)
    dataset = _divided(source, state, labels, options, (source_identity, target_identity), scheme)
    return replace(
        dataset,
        quality=quality or QualityReport(),
        warnings=(*warnings, *dataset.warnings),
        provenance=provenance or {},
    )


def twin_finder(
    target: Catalogue, labels: LabelTable | None, options: PrepareOptions, source: Identity, own: Identity
) -> TwinFinder:
    """Return what finds the source rows of target objects.

    Source and target share ids if both, or source and labels, have them; elsewhere objects on both
    sides are found by position.

    Parameters
    ----------
    target : Catalogue
        Curated.
    labels : LabelTable, optional
        Its ids name target objects too.
    options : PrepareOptions
        Gives the radius of matches.
    source, own : {"id", "position", "row"}
        Whether the ids of the source, and of the target, name objects across tables (DESI's TARGETID), only
        positions do, or nothing does.

    Returns
    -------
    TwinFinder
    """
    shared = source == "id" and (own == "id" or (labels is not None and not made_here(labels.all_ids).all()))
    known = target.object_id if labels is None else np.concatenate([target.object_id, labels.all_ids])
    return TwinFinder(np.unique(known), None if shared else target, options.match_radius)


_NSIDE = 64


def dealt_target(target: Catalogue, options: SplitOptions) -> tuple[Catalogue, np.ndarray, list[str]]:
    """Deal the target to training, validation and test, by object or by region of the sky.

    Parameters
    ----------
    target : Catalogue
        m rows.
    options : SplitOptions
        Shares, seed and what goes together.

    Returns
    -------
    target : Catalogue
        Without the unlabelled rows of test regions: a fit must not see these.
    split : array of int8, shape (m,)
        Codes of the rows; those of unlabelled rows mean nothing where objects are dealt.
    notes : list of str
        What was left out.

    Raises
    ------
    DatasetError
        If the rows name no tiles, or there are fewer than three regions with labels.
    """
    labelled = target.label != UNLABELLED
    split = np.full(len(target), NO_SPLIT, dtype=np.int8)
    if options.by == "object":
        split[labelled] = split_objects(target.object_id[labelled], options.target, options.seed)
        return target, split, []
    region = _regions(target, options.by)
    # Rows of one object lie in one region: where tiles overlap, in that of the least number.
    objects, place = np.unique(target.object_id, return_inverse=True)
    least = np.full(len(objects), np.iinfo(np.int64).max)
    np.minimum.at(least, place, region)
    region = least[place]
    known = np.unique(region[labelled])
    if labelled.any() and len(known) < len(SPLITS):
        raise DatasetError(
            f"--split-by {options.by}: the labelled target rows lie in {count(len(known), 'region')}, and train, "
            "validation and test need one each. Split by object, or give more of the sky."
        )
    split = split_objects(region, options.target, options.seed) if len(region) else split
    hidden = ~labelled & (split == SPLITS.index("test"))
    if not hidden.any():
        return target, split, []
    note = f"{int(hidden.sum()):,} unlabelled target rows lie in {options.by} regions of the test split: left out."
    return target.take(~hidden), split[~hidden], [note]


def _regions(target: Catalogue, by: str) -> np.ndarray:
    """Return the number of the tile or HEALPix cell (nested, nside 64) of each row, int64 (m,)."""
    if by == "tile":
        if "TILE_ID" not in target.key:
            raise DatasetError(
                f"--split-by tile: the target's rows have the key ({', '.join(target.key)}), which names no tile. "
                "Name their column (--column target.tile=NAME, 'tile' in a survey file), or use --split-by healpix or "
                "object."
            )
        return np.asarray(target.key["TILE_ID"])
    from astropy import units as u
    from astropy_healpix import HEALPix

    cells = HEALPix(nside=_NSIDE, order="nested").lonlat_to_healpix(target.ra * u.deg, target.dec * u.deg)
    return np.asarray(cells, dtype=np.int64)


def _divided(
    source: Catalogue | Iterable[Catalogue],
    state: Curated,
    labels: LabelTable | None,
    options: PrepareOptions,
    identities: tuple[Identity, Identity],
    scheme: LabelScheme,
) -> Dataset:
    """Part the twins from the source, split both sides by object, and audit what comes out."""
    target, dealt, held = dealt_target(state.catalogue, options.splits)
    finder = twin_finder(target, labels, options, *identities)
    parts = [source] if isinstance(source, Catalogue) else source
    source, twins, counts = divide_source(parts, target, finder, identities[0], options.keep_twins, state.counts)
    source_split = split_objects(source.object_id, options.splits.source, options.splits.seed)
    target_split = np.where(target.label != UNLABELLED, dealt, np.int8(NO_SPLIT))
    notes = [*held, *_check_splits(source, source_split, target, target_split, scheme, options)]
    notes += unlike_fluxes(source, twins, target)
    if labels is not None and identities[0] == "id" and finder.target is not None:
        notes.append("the labels have no ids, so source rows of target objects are looked for by position alone.")
    if np.isfinite(source.imaging_mag).any() and not (np.isfinite(target.imaging_mag) | (target.morphology > 0)).any():
        notes.append(
            f"none of the {len(target):,} target rows has magnitude or morphology of an imaging survey, and the source "
            "has: features of these know nothing of the sky. Give its table with --legacy."
        )
    near = None
    if finder.target is not None:
        index = SkyIndex(target.ra, target.dec)
        near = source.object_id[index.nearest(source.ra, source.dec, options.match_radius)[0]]
    audit = audit_leaks(
        source,
        source_split,
        target,
        target_split,
        known_ids=None if labels is None else labels.all_ids,
        near_target=near,
        allow_twins=options.keep_twins,
    )
    return Dataset(
        source,
        source_split,
        target,
        target_split,
        twins,
        scheme,
        audit=audit,
        counts=counts,
        warnings=(*state.warnings, *notes),
    )
