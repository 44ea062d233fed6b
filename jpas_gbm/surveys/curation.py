"""What labels and imaging add to a target catalogue, and which source rows are twins of its objects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import DatasetError
from .catalogue import UNLABELLED, Catalogue
from .labels import LabelTable
from .positions import ImagingTable, SkyIndex, ids_from_key, match_ids, overlap_duplicates, position_groups
from .preparation import ImagingMatch, LabelMatch, Preparation
from .schema import Identity

IN_TARGET = "ISINJPAS"
"""Column by which a mock says that its object is in the target."""


@dataclass(frozen=True, eq=False)
class TwinFinder:
    """Knows the objects of the target, and finds them among source rows.

    Parameters
    ----------
    known_ids : array of int64
        Ids that must not train: of target rows, and of the whole label catalogue. Sorted, unique.
    target : Catalogue, optional
        Given where source and target share no ids: then its positions decide.
    radius : float
        Of a match by position, arcsec.
    """

    known_ids: np.ndarray
    target: Catalogue | None = None
    radius: float = 1.0

    def identify(self, source: Catalogue, ids_name_objects: bool) -> Catalogue:
        """Give source rows that stand where a target row stands the id of its object.

        Where ids are shared the source comes back as it is.

        Parameters
        ----------
        source : Catalogue
            n rows, of all files together.
        ids_name_objects : bool
            Whether the ids of the source name its objects; if not, its rows at one position become
            one object.
        """
        if self.target is None:
            return source
        if ids_name_objects:
            _, first, group = np.unique(source.object_id, return_index=True, return_inverse=True)
            first = first[group]
        else:
            first = position_groups(source.ra, source.dec, self.radius)
        ids = source.object_id[first]
        index = SkyIndex(self.target.ra, self.target.dec)
        here, there, _ = index.nearest(source.ra, source.dec, self.radius)
        # Rows of one object may lie on both sides of the radius: all of them are the target's.
        partner = np.full(len(source), -1, dtype=np.intp)
        partner[first[here]] = there
        partner = partner[first]
        ids[partner >= 0] = self.target.object_id[partner[partner >= 0]]
        return source.replace(object_id=ids)

    def find(self, source: Catalogue) -> dict[str, np.ndarray]:
        """Say which source rows are twins, and how that is known.

        Returns
        -------
        dict of str to array of bool, shape (n,)
            ``by_id`` or ``by_position``: the object is in the target or its label catalogue.
            ``says_so``: the row says ISINJPAS = 1, and nothing else tells.
        """
        rows, _ = match_ids(source.object_id, self.known_ids)
        known = np.zeros(len(source), dtype=bool)
        known[rows] = True
        says = np.asarray(source.extra.get(IN_TARGET, np.zeros(len(source)))) == 1
        return {"by_id" if self.target is None else "by_position": known, "says_so": says & ~known}


SAME_SOURCE = 0.5
"""Rows nearer than this, in arcsec, are taken for one source where nothing else names it."""


@dataclass(frozen=True, eq=False)
class Curated:
    """A target catalogue with what was done to it.

    Parameters
    ----------
    catalogue : Catalogue
        The rows that are left, with what is known of them.
    counts : Preparation
        What was counted on the way.
    warnings : tuple of str
        What a person should know.
    """

    catalogue: Catalogue
    counts: Preparation = field(default_factory=Preparation)
    warnings: tuple[str, ...] = ()

    def after(self, catalogue: Catalogue, *warnings: str, **counts: Any) -> Curated:
        """Return the next state, with counts and warnings gathered."""
        return Curated(catalogue, replace(self.counts, **counts), self.warnings + warnings)


def merge_overlaps(state: Curated, radius: float) -> Curated:
    """Keep of each source that several tiles saw the row that was observed best."""
    keep = overlap_duplicates(state.catalogue, radius)
    dropped = int((~keep).sum())
    catalogue = state.catalogue.take(keep) if dropped else state.catalogue
    return state.after(catalogue, duplicates_merged=dropped, overlap_radius=radius)


def name_objects(state: Curated, identity: Identity, radius: float, salt: int = 0) -> Curated:
    """Give every row an object id: its own if it has one, else one made from its key.

    Rows of one position become one object where position is all that names them; where nothing does,
    rows that lie within half an arcsec do too, so that no split parts two observations of one source.
    """
    catalogue = state.catalogue
    ids = catalogue.object_id
    if identity == "id":
        nameless = ids < 0
        if nameless.any():
            ids = np.where(nameless, ids_from_key(catalogue.key, salt), ids)
        return state.after(catalogue.replace(object_id=ids), rows_without_id=int(nameless.sum()))
    linking = radius if identity == "position" else min(radius, SAME_SOURCE)
    ids = ids_from_key(catalogue.key, salt)[position_groups(catalogue.ra, catalogue.dec, linking)]
    repeated = len(ids) - len(np.unique(ids)) if identity == "position" else None
    return state.after(catalogue.replace(object_id=ids), repeated_positions=repeated)


def _box(ra: np.ndarray, dec: np.ndarray) -> str:
    good = np.isfinite(ra) & np.isfinite(dec)
    if not good.any():
        return "no position at all"
    return (
        f"RA {ra[good].min():.3f} to {ra[good].max():.3f}, Dec {dec[good].min():.3f} to {dec[good].max():.3f} "
        f"({int(good.sum()):,} rows)"
    )


def explain_no_match(what: str, catalogue: Catalogue, table: LabelTable | ImagingTable, radius: float) -> str:
    """Say why a table may match no row of a catalogue: the radius, swapped or scaled columns, another field."""
    ra, dec = catalogue.ra, catalogue.dec
    head = f"none of the {len(table):,} {what} lies within {radius:g} arcsec of a source of the target."

    def found(ra2: np.ndarray, dec2: np.ndarray, within: float) -> int:
        return len(SkyIndex(ra2, dec2).nearest(ra, dec, within, mutual=True)[0])

    enough = max(1, min(len(table), len(catalogue)) // 100)
    for wider in (3.0, 10.0, 60.0):
        if radius < wider and (number := found(table.ra, table.dec, wider)) >= enough:
            return (
                f"{head} Within {wider:g} arcsec there are {number:,}: are the positions of another epoch or of lower "
                "accuracy? Allow more with --radius if so."
            )
    swapped = found(table.dec, table.ra, max(radius, 3.0))
    if swapped >= enough:
        return f"{head} With RA and Dec exchanged there are {swapped:,}: the two columns look swapped in its file."
    hours = found(table.ra * 15.0, table.dec, max(radius, 3.0))
    if hours >= enough:
        return f"{head} With RA taken as hours there are {hours:,}: it must be in degrees."
    return (
        f"{head} They cover {_box(table.ra, table.dec)}; the target covers {_box(ra, dec)}. "
        "Give the table of the same field."
    )


def _separations(separation: np.ndarray, radius: float) -> tuple[dict[str, float], list[str]]:
    """Return median and 95th percentile of the separations of matches, and a warning where they are wide."""
    if len(separation) == 0:
        return {}, []
    median = float(np.median(separation))
    counts = {"separation_median": median, "separation_p95": float(np.percentile(separation, 95))}
    if median <= 0.5 * radius:
        return counts, []
    return counts, [
        f"the median separation of matches is {median:.2f} arcsec of the {radius:g} allowed: positions look shifted."
    ]


def add_labels(state: Curated, labels: LabelTable, identity: Identity, radius: float) -> Curated:
    """Give each row that is in the label table its class, redshift, object id and magnitude for cuts.

    Rows are matched by id where the catalogue has the ids of the labels, by position elsewhere. A label
    of the catalogue's own stays where the table has none.

    Raises
    ------
    DatasetError
        If nothing matches; the message says what would.
    """
    catalogue = state.catalogue
    separation, how = np.empty(0), "id"
    if identity == "id":
        rows, matched = match_ids(catalogue.object_id, labels.object_id)
    if identity != "id" or len(rows) == 0:
        index = SkyIndex(labels.ra, labels.dec)
        rows, matched, separation = index.nearest(catalogue.ra, catalogue.dec, radius, mutual=True)
        how = "position"
    if identity == "position":
        # Rows of one position are one object, and share its label.
        rows, which = match_ids(catalogue.object_id, catalogue.object_id[rows])
        matched = matched[which]
    if len(rows) == 0:
        raise DatasetError(explain_no_match("labelled objects", catalogue, labels, radius))
    ids, label, z, mag = (np.array(getattr(catalogue, name)) for name in ("object_id", "label", "z", "mag"))
    before = label[rows]
    contradicted = int(((before != UNLABELLED) & (before != labels.label[matched])).sum())
    ids[rows], label[rows], z[rows] = labels.object_id[matched], labels.label[matched], labels.z[matched]
    # Cuts and bins go by the magnitude that the labels were selected by, and so do published scores. No feature
    # sees it: the unlabelled have none.
    mag[rows] = np.where(np.isfinite(labels.mag[matched]), labels.mag[matched], mag[rows])
    measured, warnings = _separations(separation, radius)
    objects = len(np.unique(matched))
    counts = LabelMatch(len(labels), how, len(rows), objects, len(labels) - objects, contradicted, **measured)
    return state.after(catalogue.replace(object_id=ids, label=label, z=z, mag=mag), *warnings, labels=counts)


def add_imaging(state: Curated, imaging: ImagingTable, radius: float) -> Curated:
    """Give each row that is in the imaging table its magnitude and morphology, labelled or not.

    Raises
    ------
    DatasetError
        If nothing matches; the message says what would.
    """
    catalogue = state.catalogue
    index = SkyIndex(imaging.ra, imaging.dec)
    rows, matched, separation = index.nearest(catalogue.ra, catalogue.dec, radius, mutual=True)
    if len(rows) == 0:
        raise DatasetError(explain_no_match("sources of the imaging table", catalogue, imaging, radius))
    measured, warnings = _separations(separation, radius)
    counts = ImagingMatch(len(imaging), len(rows), len(rows) / len(catalogue), **measured)
    return state.after(imaging.attach(catalogue, rows, matched), *warnings, imaging=counts)


def compare_imaging(state: Curated) -> Curated:
    """Warn if imaging is known more often for labelled sources than for others."""
    catalogue = state.catalogue
    has, labelled = np.isfinite(catalogue.imaging_mag), catalogue.label != UNLABELLED
    if labelled.all() or not labelled.any():
        return state
    with_label, without = float(has[labelled].mean()), float(has[~labelled].mean())
    shares = {"labelled": with_label, "unlabelled": without}
    if abs(with_label - without) <= 0.05:
        return state.after(catalogue, imaging_share=shares)
    return state.after(
        catalogue,
        f"imaging is known for {100 * with_label:.1f} % of labelled and {100 * without:.1f} % of unlabelled sources: "
        "its absence would tell the two apart. Give a table of the whole field.",
        imaging_share=shares,
    )
