"""Which rows count, what labels and imaging add to a target catalogue, and which source rows are its twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import CatalogueError, DatasetError
from ..store import native
from ..text import count
from .catalogue import UNLABELLED, Catalogue
from .imaging import ImagingTable
from .labels import LabelTable
from .packing import BOOLEANS, as_text, words_as_numbers
from .positions import (
    PLACEHOLDER,
    SAME_SOURCE,
    SkyIndex,
    equal_fluxes,
    ids_from_key,
    made_here,
    match_ids,
    overlap_duplicates,
    position_groups,
    unlike_places,
)
from .preparation import ImagingMatch, LabelMatch, Preparation
from .quality import QualityCount, is_blank
from .schema import Identity, RowRule, SurveySchema


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
        """Return the next state, with counts and warnings gathered.

        Parameters
        ----------
        catalogue : Catalogue
            The next state of the rows.
        *warnings : str
            Sentences for people.
        **counts : field=value
            Fields of :class:`Preparation`.

        Returns
        -------
        Curated
            With all that was gathered before.
        """
        return Curated(catalogue, replace(self.counts, **counts), self.warnings + warnings)


def leave_placeholders(state: Curated) -> Curated:
    """Take away the positions of rows of unlike brightness that stand at one exact place: they are placeholders.

    Parameters
    ----------
    state : Curated

    Returns
    -------
    Curated
    """
    catalogue = state.catalogue

    def magnitudes(rows: np.ndarray) -> np.ndarray:
        flux = catalogue.flux[rows]
        with np.errstate(all="ignore"):
            level = np.ma.median(np.ma.masked_invalid(flux), axis=1).filled(np.nan)
            return np.where(level > 0, -2.5 * np.log10(level), np.nan)

    rows = unlike_places(catalogue.ra, catalogue.dec, magnitudes)
    if len(rows) == 0:
        return state
    ra, dec = np.array(catalogue.ra), np.array(catalogue.dec)
    place = f"RA {ra[rows[0]]:g}, Dec {dec[rows[0]]:g}"
    ra[rows] = dec[rows] = np.nan
    return state.after(catalogue.replace(ra=ra, dec=dec), f"{len(rows):,} target rows ({place}) are {PLACEHOLDER}.")


def merge_overlaps(state: Curated, radius: float) -> Curated:
    """Keep of each source that several tiles saw the row that was observed best.

    Parameters
    ----------
    state : Curated
        Rows of several tiles.
    radius : float
        Arcsec within which two rows are one source.

    Returns
    -------
    Curated
        One row of each source.
    """
    keep = overlap_duplicates(state.catalogue, radius)
    dropped = int((~keep).sum())
    catalogue = state.catalogue.take(keep) if dropped else state.catalogue
    group = equal_fluxes(catalogue)
    copies = np.flatnonzero((group >= 0) & (np.bincount(group + 1)[group + 1] > 1))
    if len(copies):
        name = ", ".join(f"{of}={values[copies[0]]}" for of, values in catalogue.key.items())
        state = state.after(
            catalogue,
            f"{len(copies):,} target rows ({name}, say) have fluxes that are those of another row bit for bit: one "
            "measurement stands there under several names, with a label or without. All were kept, each as a source "
            "of its own; give each once.",
        )
    return state.after(catalogue, duplicates_merged=dropped, overlap_radius=radius)


def name_objects(state: Curated, identity: Identity, radius: float, salt: int = 0) -> Curated:
    """Give every row an object id: its own if it has one, else one made from its key.

    Rows of one position become one object where position is all that names them; where nothing does,
    rows that lie within half an arcsec do too, so that no split parts two observations of one source.

    Parameters
    ----------
    state : Curated
        Rows without duplicates.
    identity : {"id", "position", "row"}
        What names its objects.
    radius : float
        Arcsec within which positions are one.
    salt : int
        Keeps ids that are made from row numbers apart from those of other tables.

    Returns
    -------
    Curated
        With an object id in each row.
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
        f"({count(int(good.sum()), 'row')})"
    )


def explain_no_match(what: str, catalogue: Catalogue, table: LabelTable | ImagingTable, radius: float) -> str:
    """Say why a table may match no row of a catalogue: the radius, swapped or scaled columns, another field.

    Parameters
    ----------
    what : str
        What the table lists, in the plural.
    catalogue : Catalogue
        The rows to be matched.
    table : LabelTable or ImagingTable
        What matches none of them.
    radius : float
        Arcsec.

    Returns
    -------
    str
        Sentences for a message.
    """
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

    Parameters
    ----------
    state : Curated
        Rows with object ids.
    labels : LabelTable
        Trusted classes, one row or more.
    identity : {"id", "position", "row"}
        What names the objects of the catalogue.
    radius : float
        Arcsec of matches by position.

    Returns
    -------
    Curated
        With labels, redshifts and what was matched.

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
    # Labels that are known by their place have no id that another table has: the rows keep their own.
    named = labels.object_id[matched]
    ids[rows] = np.where(made_here(named), ids[rows], named)
    label[rows], z[rows] = labels.label[matched], labels.z[matched]
    # Cuts and bins go by the magnitude that the labels were selected by, and so do published scores. No feature
    # sees it: the unlabelled have none.
    mag[rows] = np.where(np.isfinite(labels.mag[matched]), labels.mag[matched], mag[rows])
    measured, warnings = _separations(separation, radius)
    objects = len(np.unique(matched))
    counts = LabelMatch(len(labels), how, len(rows), objects, len(labels) - objects, contradicted, **measured)
    return state.after(catalogue.replace(object_id=ids, label=label, z=z, mag=mag), *warnings, labels=counts)


def add_imaging(state: Curated, imaging: ImagingTable, radius: float) -> Curated:
    """Give each row that is in the imaging table its magnitude and morphology, labelled or not.

    Parameters
    ----------
    state : Curated
        Rows.
    imaging : ImagingTable
        Sources of an imaging survey.
    radius : float
        Arcsec.

    Returns
    -------
    Curated
        With magnitudes, morphologies and what was matched.

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
    if not np.isfinite(imaging.mag[matched]).any():
        warnings.append(
            f"none of {count(len(rows), 'matched source')} has a magnitude in the imaging table: only what else it "
            "says is known. Check its column of the magnitude, and its unit."
        )
    optional = {name: float(np.isfinite(values[matched]).mean()) for name, values in imaging.more.items()}
    counts = ImagingMatch(len(imaging), len(rows), len(rows) / len(catalogue), **measured, optional=optional)
    return state.after(imaging.attach(catalogue, rows, matched), *warnings, imaging=counts)


def compare_imaging(state: Curated) -> Curated:
    """Warn if imaging is known more often for labelled sources than for others.

    Parameters
    ----------
    state : Curated
        Rows with labels and imaging.

    Returns
    -------
    Curated
        The same rows, with both shares counted.
    """
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


def _numbers(values: np.ndarray, rule: RowRule, what: str, known: Mapping[str, float]) -> np.ndarray:
    return words_as_numbers(values, known, rule.column[0], f"the rule '{rule.reason}' asks {what}")


def _is(values: np.ndarray, wanted: bool | float | str, rule: RowRule) -> np.ndarray:
    """Say which values are one that a rule names, in whatever type and spelling a format left them.

    Raises
    ------
    CatalogueError
        If a value cannot be compared: a boolean that is neither true nor false, text where a number is asked for.
    """
    if isinstance(wanted, str):
        return np.char.lower(as_text(values)) == wanted.strip().lower()
    if values.dtype.kind == "b":
        return values == bool(wanted)
    truth = isinstance(wanted, bool)
    if values.dtype.kind in "OSU":
        what = "for true or false, 1 or 0" if truth else f"for the number {wanted:g}"
        values = _numbers(values, rule, what, BOOLEANS if truth or wanted in (0, 1) else {})
    if truth:
        odd = np.flatnonzero(~np.isin(values, (0, 1)) & ~np.isnan(values.astype(np.float64)))
        if len(odd):
            raise CatalogueError(
                f"column {rule.column[0]}: holds {values[odd[0]]} in {len(odd):,} rows, and the rule '{rule.reason}' "
                "asks for true or false, 1 or 0."
            )
    return values == wanted


def _meets(values: Any, rule: RowRule, types: np.ndarray | None = None) -> np.ndarray:
    """Say which values meet a rule; a masked or missing one does not."""
    masked = np.ma.getmaskarray(values)
    values = native(np.asarray(np.ma.getdata(values)))
    text, met = values.dtype.kind in "OSU", np.ones(len(values), dtype=bool)
    if masked.any():  # what stands behind a mask is no value, so none that a rule may refuse
        values = np.where(masked, "", values.astype(object)) if text else np.where(masked, False, values)
    if rule.above is not None:
        numbers = _numbers(values, rule, f"whether it is above {rule.above:g}", {}) if text else values
        with np.errstate(invalid="ignore"):
            met &= numbers > rule.above
    if rule.equals is not None:
        met &= _is(values, rule.equals, rule)
    met &= ~masked
    if rule.differs is not None:
        met &= ~_is(values, rule.differs, rule)
    for kind, further in rule.also.items() if types is not None else ():
        met |= (types == kind) & ~masked & np.logical_or.reduce([_is(values, value, rule) for value in further])
    if rule.types and types is not None:
        met |= ~np.isin(types, rule.types)
    return met


def apply_rules(
    table: Mapping[str, np.ndarray],
    rules: Sequence[RowRule],
    rows: int,
    types: np.ndarray | None = None,
    *,
    prefix: str = "label_",
) -> tuple[np.ndarray, list[QualityCount]]:
    """Say which rows of a table meet rules whose columns it has.

    Parameters
    ----------
    table : mapping of str to array, shape (n,)
        Those of its columns that the rules ask for; where one says nothing, the next of its names that is there does.
    rules : sequence of RowRule
        Applied in order.
    rows : int
        n.
    types : array of str, shape (n,), optional
        Spectral type of each row, for rules that differ by it.
    prefix : str
        Of the names of the counts.

    Returns
    -------
    keep : array of bool, shape (n,)
    counts : list of QualityCount
        For each rule the rows that fail it and no rule before it, so that they add up to the rejected.

    Raises
    ------
    CatalogueError
        If values cannot be compared with what a rule asks.
    """
    keep = np.ones(rows, dtype=bool)
    counts: list[QualityCount] = []
    for rule in rules:
        name, *further = [name for name in rule.column if name in table]
        values = np.asanyarray(table[name])
        met = _meets(values, rule.model_copy(update={"column": (name,)}), types)
        silent = is_blank(values) if further else np.zeros(rows, dtype=bool)
        for other in further if silent.any() else ():
            values, its = np.asanyarray(table[other]), rule.model_copy(update={"column": (other,)})
            met, silent = np.where(silent, _meets(values, its, types), met), silent & is_blank(values)
        counts.append(QualityCount(prefix + name, rule.reason, int((keep & ~met).sum()), "rows"))
        keep &= met
    return keep, counts


def apply_label_rules(
    table: Mapping[str, np.ndarray], schema: SurveySchema, where: str = "", types: np.ndarray | None = None
) -> tuple[np.ndarray, list[QualityCount]]:
    """Say which rows of a spectroscopic table give a label to trust, by the rules of its survey file.

    Parameters
    ----------
    table : mapping of str to array, shape (n,)
        The columns; a pandas DataFrame serves.
    schema : SurveySchema
        With a section ``labels``.
    where : str
        Name of the file, for messages.
    types : array of str, shape (n,), optional
        Spectral type of each row: GALAXY, QSO, STAR or blank.

    Returns
    -------
    keep : array of bool, shape (n,)
    counts : list of QualityCount
        See :func:`apply_rules`.

    Raises
    ------
    CatalogueError
        If a column that a rule needs is missing, or its values cannot be compared with what the rule asks.
    """
    n = len(next(iter(table.values()))) if isinstance(table, dict) else len(table)
    rules = []
    for rule in schema.labels.rules if schema.labels else ():
        if any(name in table for name in rule.column):
            rules.append(rule)
        elif not rule.optional:
            raise CatalogueError(
                f"{where or schema.name}: column {' or '.join(rule.column)} is missing or blank, by which "
                f"'{schema.name}' knows a {rule.reason}. Fill it, or mark the rule 'optional: true' in a survey file."
            )
    try:
        return apply_rules(table, rules, n, types)
    except CatalogueError as error:
        raise CatalogueError(f"{where or schema.name}: {error}") from None
