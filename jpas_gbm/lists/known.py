"""Sources that are known already: rows that made the model, label catalogues, earlier lists, tables of literature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import CatalogueError, ListError
from ..output.writers import probability_name
from ..store import names_apart
from ..surveys.batches import join_blocks
from ..surveys.columns import ROW, Layout, Vocabulary, check_redshift
from ..surveys.conversion import class_words, integers
from ..surveys.curation import apply_label_rules
from ..surveys.imaging import RADIUS
from ..surveys.labels import LabelledRows, without_blank
from ..surveys.positions import SkyIndex, made_here
from ..surveys.quality import is_blank, one_a_row
from ..surveys.reader import read_labels
from ..surveys.recognition import as_table, read_table, recognise
from ..surveys.schema import aliases, load_schema
from ..surveys.scheme import LabelScheme, is_redshift
from ..surveys.spelling import ColumnNames
from ..text import short
from .footprint import column_words, sky_places
from .mix import Mix
from .predicted import Predicted, Tables, as_frame, each
from .records import KnownCount

if TYPE_CHECKING:
    from ..surveys.recognition import Source
    from ..surveys.tables import RawTable

_OBJECT = "TARGETID"
_ANY_LABELS = "labels_by_position"

BY_MODEL = "the model's own rows"
"""Name of the catalogue of rows that trained, chose or calibrated."""


COLUMNS = {
    "KNOWN": ("Catalogue that has this source already; empty for a new one.", "meta.bib", ""),
    "KNOWN_CLASS": ("Its class there.", "src.class", ""),
    "KNOWN_Z": ("Its redshift there.", "src.redshift", ""),
    "KNOWN_SEP": ("Distance to its position there.", "pos.angDistance", "arcsec"),
}
"""Description, UCD and unit of the columns of a list that tell known sources."""


@dataclass(frozen=True, eq=False)
class KnownTable:
    """The sources of one catalogue.

    Parameters
    ----------
    name : str
        Of the file.
    ids : mapping of str to array of int64, shape (n,)
        Columns by which rows of the predictions are named, as these spell them.
    ra, dec : array of float64, shape (n,)
        ICRS degrees; NaN where unknown.
    cls : array of str, shape (n,)
        Class, in the catalogue's words; empty where unknown.
    z : array of float64, shape (n,)
        Redshift; NaN where unknown.
    chosen : bool
        Whether it is an earlier list of this package: sources chosen by their probabilities.
    notes : tuple of str
        What is to be known of it, such as rules that are not checked.
    """

    name: str
    ids: Mapping[str, np.ndarray]
    ra: np.ndarray
    dec: np.ndarray
    cls: np.ndarray
    z: np.ndarray
    chosen: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Known:
    """Which rows of a field are known, by which catalogue, and as what.

    Parameters
    ----------
    names : tuple of str
        Of the catalogues.
    source : array of int, shape (n,)
        Place of the first catalogue that has the row; -1 for new sources.
    row : array of int, shape (n,)
        Its row there.
    cls : array of str, shape (n,)
    z : array of float32, shape (n,)
    separation : array of float32, shape (n,)
        In arcsec; NaN where ids alone matched.
    chosen : tuple of bool
        Which catalogues are earlier lists.
    """

    names: tuple[str, ...]
    source: np.ndarray
    row: np.ndarray
    cls: np.ndarray
    z: np.ndarray
    separation: np.ndarray
    chosen: tuple[bool, ...]

    @property
    def new(self) -> np.ndarray:
        """Which rows are not known, bool (n,)."""
        return self.source < 0

    @property
    def listed(self) -> np.ndarray:
        """Which rows an earlier list has, and no class or redshift of them, bool (n,)."""
        chosen = np.array([*self.chosen, False])[self.source]
        return np.asarray(chosen & (self.cls == "") & ~np.isfinite(self.z))

    def counts(self, listed: np.ndarray | None = None) -> tuple[KnownCount, ...]:
        """Return how many rows each catalogue has.

        Parameters
        ----------
        listed : array of int, optional
            Rows of a list that holds known ones too.

        Returns
        -------
        tuple of KnownCount
        """
        rows = self.source[np.zeros(0, dtype=np.intp) if listed is None else listed]
        return tuple(
            KnownCount(name, int((self.source == i).sum()), int((rows == i).sum())) for i, name in enumerate(self.names)
        )

    def columns(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of a list that tell known sources.

        Parameters
        ----------
        rows : array of int, shape (m,)
            Rows of the field.

        Returns
        -------
        dict of str to array, shape (m,)
            ``KNOWN``, empty for a new source, ``KNOWN_CLASS``, ``KNOWN_Z`` and ``KNOWN_SEP``.
        """
        named = np.array([*self.names, ""])[self.source[rows]]
        values = {"KNOWN_CLASS": self.cls, "KNOWN_Z": self.z, "KNOWN_SEP": self.separation}
        return {"KNOWN": named} | {name: value[rows] for name, value in values.items()}


def match_known(field: Predicted, tables: Sequence[KnownTable], radius: float = RADIUS) -> Known:
    """Find the rows of a field that catalogues have.

    A row is known if a catalogue has its object id, above 0, all columns that name the row with the same numbers, or a
    source within the radius. Of several catalogues the first counts.

    Parameters
    ----------
    field : Predicted
        n rows.
    tables : sequence of KnownTable
        The catalogues.
    radius : float
        In arcsec.

    Returns
    -------
    Known
    """
    n = len(field)
    source, row, gap = np.full(n, -1), np.full(n, -1), np.full(n, np.nan, dtype=np.float32)
    words, z = np.full(n, "", dtype=object), np.full(n, np.nan, dtype=np.float32)
    for number, table in enumerate(tables):
        theirs, separation = _places(field, table, radius)
        found = (theirs >= 0) & (source < 0)
        source[found], row[found], gap[found] = number, theirs[found], separation[found]
        words[found], z[found] = table.cls[theirs[found]], table.z[theirs[found]]
    names, chosen = tuple(table.name for table in tables), tuple(table.chosen for table in tables)
    return Known(names, source, row, words.astype(str), z, gap, chosen)


def _places(field: Predicted, table: KnownTable, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of a catalogue that each row of a field is, -1 where none, and the separation in arcsec."""
    row, gap = np.full(len(field), -1), np.full(len(field), np.nan)
    here, there, separation = SkyIndex(table.ra, table.dec).nearest(field.ra, field.dec, radius)
    row[here], gap[here] = there, separation
    for names in ((_OBJECT,), tuple(name for name in field.ids if name != _OBJECT)):
        if not names or not set(names) <= set(table.ids) or not set(names) <= set(field.ids):
            continue
        theirs, ids = pd.MultiIndex.from_arrays([table.ids[name] for name in names]), table.ids[names[0]]
        nobody = (ids <= 0) & ~made_here(ids) & (names == (_OBJECT,))  # as DESI has it where there is no target
        first = np.flatnonzero(~theirs.duplicated() & ~nobody)
        place = theirs[first].get_indexer(pd.MultiIndex.from_arrays([field.ids[name] for name in names]))
        matched = (place >= 0) & (row < 0)
        row[matched] = first[place[matched]]
    return row, gap


def known_by_model(rows: LabelledRows, scheme: LabelScheme) -> KnownTable:
    """Return the rows that made a model as a catalogue.

    They are found by position, and by object id where that is the survey's own: numbers of rows are another's in
    another file.

    Parameters
    ----------
    rows : LabelledRows
        Of the model.
    scheme : LabelScheme
        Its classes.

    Returns
    -------
    KnownTable
    """
    own = made_here(rows.object_id)
    ids = {} if own.any() else {_OBJECT: rows.object_id}
    return KnownTable(BY_MODEL, ids, rows.ra, rows.dec, np.array(scheme.classes)[rows.label], rows.z)


def read_known(known: Tables | None, field: Predicted, scheme: LabelScheme) -> list[KnownTable]:
    """Read catalogues of known sources.

    Of a label catalogue that a survey file describes, rows with a label to trust count: a failed redshift leaves its
    source unknown. Of other tables every row counts, whatever its class; a redshift with a warning tells none.

    Parameters
    ----------
    known : path, DataFrame, Table or sequence of these
        The catalogues.
    field : Predicted
        Whose rows are looked for.
    scheme : LabelScheme
        The classes.

    Returns
    -------
    list of KnownTable

    Raises
    ------
    ListError
        If a catalogue has neither positions nor ids of these rows.
    CatalogueError
        If a file cannot be read.
    """
    tables = each(known)
    apart = names_apart([one for one in tables if isinstance(one, str | Path)])
    names = [
        apart[one] if isinstance(one, str | Path) else f"known table {number}" for number, one in enumerate(tables, 1)
    ]
    return [_read(one, name, field, scheme) for one, name in zip(tables, names, strict=True)]


def _read(one: Any, name: str, field: Predicted, scheme: LabelScheme) -> KnownTable:
    if _is_label_catalogue(one):
        labels, quality = read_labels(one, scheme=scheme)
        words, notes = np.array(scheme.classes)[labels.label], tuple(quality.notes())
        return KnownTable(name, {_OBJECT: labels.object_id}, labels.ra, labels.dec, words, labels.z, notes=notes)
    in_memory = not isinstance(one, str | Path)
    table = as_table(as_frame(one) if in_memory and not hasattr(one, "itercols") else one)
    table.place = name if in_memory else table.place
    names, spelt = ColumnNames(tuple(table.columns), name), aliases().spellings
    places = [names.find((f"{axis}_d", *spelt[axis])) for axis in ("ra", "dec")]
    cls, z = (names.find((f"KNOWN_{what}", *spelt[what])) for what in ("class", "z"))
    ids = _ids(table, {ours: names.find((ours,)) for ours in field.ids}, needed=None in places)
    rows = set(field.ids) - {_OBJECT}
    by_id = (_OBJECT in field.ids and _OBJECT in ids) or (rows and rows <= set(ids))
    if None in places and not by_id:
        raise ListError(
            f"{name}: has neither positions (RA and DEC) nor ids of the predictions ({', '.join(field.ids)}): none "
            f"of its sources can be found. It has: {', '.join(table.columns) or 'no columns'}."
        )
    rules = _rule_columns(names) if cls or z else {}
    wanted = list(dict.fromkeys(filter(None, (*places, cls, z, *rules.values()))))
    frame = read_table(table, wanted) if wanted else pd.DataFrame(index=range(len(next(iter(ids.values())))))
    ra = dec = np.full(len(frame), np.nan)
    if None not in places:
        ra, dec = sky_places(table, frame, str(places[0]), str(places[1]), name)
    if len(frame) and not by_id and not (np.isfinite(ra) & np.isfinite(dec)).any():
        raise ListError(
            f"{name}: none of its {len(frame):,} rows has a position ({places[0]}, {places[1]}), and it has no ids of "
            f"the predictions ({', '.join(field.ids)}): none of its sources can be found."
        )
    if z is not None:
        check_redshift(z, table.columns[z].unit, name)
    words = np.full(len(frame), "") if cls is None else column_words(frame[cls])
    redshift = np.full(len(frame), np.nan) if z is None else _redshifts(frame[z], f"{name}[{z}]")
    trusted, notes = _trusted(frame, rules, name)
    words, redshift = np.where(trusted, words, ""), np.where(trusted, redshift, np.nan)
    chosen = all(names.find((probability_name(one),)) is not None for one in scheme.classes)
    return KnownTable(name, ids, ra, dec, words, redshift, chosen, notes)


_NOBODY = np.iinfo(np.int64).min
"""Stands for an id that is missing: no row has it."""


def _ids(table: RawTable, columns: Mapping[str, str | None], needed: bool) -> dict[str, np.ndarray]:
    """Return the columns that hold whole numbers, in whatever type, and refuse others where they are needed."""
    ids = {}
    for ours, theirs in columns.items():
        try:
            if theirs is not None and (blocks := list(table.read({theirs: "int"}))):
                values = one_a_row(join_blocks(blocks)[theirs], f"{table.place}[{theirs}]")
                missing = is_blank(values)
                found = integers(np.where(missing, 0, np.ma.getdata(values)), theirs, table.place)
                ids[ours] = np.where(missing, _NOBODY, found)
            elif theirs is not None:
                ids[ours] = np.zeros(0, dtype=np.int64)
        except CatalogueError:
            if needed:
                raise
    return ids


def _rule_columns(names: ColumnNames) -> dict[str, str]:
    """Return the columns of a table of any origin by which labels are trusted, by the names of the rules."""
    section = load_schema(_ANY_LABELS).labels
    spellings = [name for rule in (section.rules if section else ()) for name in rule.column]
    return {ours: theirs for ours in spellings if (theirs := names.find((ours,))) is not None}


def _trusted(frame: pd.DataFrame, rules: Mapping[str, str], name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return which rows of a table have a class to trust, by the rules by which these are labels, and what is told."""
    if not rules or not len(frame):
        return np.ones(len(frame), dtype=bool), ()
    schema = load_schema(_ANY_LABELS)
    held = {ours: frame[theirs].to_numpy() for ours, theirs in rules.items()}
    held, layout = without_blank(held, Layout(schema, name, rules, (ROW,)))
    keep = apply_label_rules(held, schema, name)[0] if held else np.ones(len(frame), dtype=bool)
    return keep, tuple(f"{name}: {one}" for one in layout.unchecked)


def _redshifts(column: pd.Series, place: str) -> np.ndarray:
    """Return redshifts, NaN where a row has none, or a filler; refuse a column without a number among its words."""
    numbers = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    given = column.to_numpy()[~is_blank(column.to_numpy())]
    if len(given) and np.isnan(numbers).all():
        raise ListError(
            f"{place}: holds no number ({short(str(given[0]))}, say), where redshifts are expected. Mend the column "
            "or leave it out."
        )
    return np.where(is_redshift(numbers), numbers, np.nan)


def _is_label_catalogue(source: Source) -> bool:
    """Return whether a survey file with rules of its own describes a table as labels."""
    try:
        schema = recognise(source)
    except CatalogueError:
        return False
    return schema.kind == "labels" and not schema.generic


_LEAST_P = 0.1
"""Least probability of the class with which an observed row is a result of a list."""


_MOST_KNOWN = 200.0
"""Observations that what was known before counts for at most: its assumptions may be wrong unknown to the draws."""


def _updated(
    mix: Mix, p: np.ndarray, mag: np.ndarray, member: np.ndarray, column: int, name: str, seed: int = 0
) -> tuple[Mix, str]:
    """Update a mix with what was observed: which candidates are of the class.

    The share of the class among the observed rows is known before, by the mix and its draws, as well as so many
    observations would tell it: a beta distribution of their mean and variance. Observing adds its counts. The odds of
    the class are then multiplied, in every row, by what makes the observed rows' mean probability the share found; each
    draw has a share of its own from the updated distribution.
    """
    from scipy.stats import beta

    before = mix.correct(p, mag)[:, column]
    each = [drawn[:, column] for drawn in mix.drawn(p, mag)]
    means = np.clip([one.mean() for one in each], 1e-6, 1 - 1e-6)
    mean = float(np.clip(before.mean(), 1e-6, 1 - 1e-6))
    count = float(np.clip(mean * (1 - mean) / max(means.var(ddof=1), 1e-12) - 1, 1.0, _MOST_KNOWN))
    n, found = len(member), int(member.sum())
    a, b = mean * count + found, (1 - mean) * count + n - found
    shares = np.random.default_rng(seed).beta(a, b, len(each))
    old, after = (beta.interval(0.9, *ends) for ends in ((mean * count, (1 - mean) * count), (a, b)))
    factor = _factor(before, a / (a + b))
    draws = tuple(
        replace(draw, new=_multiplied(draw.new, column, _factor(one, share)))
        for draw, one, share in zip(mix.draws, each, shares, strict=True)
    )
    told = (
        f"{n} candidates were observed, {found} are {name} where {before.sum():.1f} were expected. What was known "
        f"before counts for as much as {count:.0f} observations: purity of such rows {mean:.2f} [{old[0]:.2f}, "
        f"{old[1]:.2f}]. With the {n} new ones it is {a / (a + b):.2f} [{after[0]:.2f}, {after[1]:.2f}] (90 %), so the "
        f"odds of {name} are multiplied by {factor:.2f} in all rows."
    )
    return replace(mix, new=_multiplied(mix.new, column, factor), draws=draws), told


def with_results(
    mix: Mix, every: Predicted, sources: Known, files: int, cls: str, scheme: LabelScheme, seed: int
) -> tuple[Mix, list[str]]:
    """Return a mix updated with results, and what to say of them.

    Parameters
    ----------
    mix : Mix
        Its other reading is updated likewise.
    every : Predicted
        All rows of the field.
    sources : Known
        What catalogues know of them.
    files : int
        So many of the catalogues, the last ones, are results.
    cls : str
        The class wanted.
    scheme : LabelScheme
        Reads classes and spectral types.
    seed : int

    Returns
    -------
    mix : Mix
    notes : list of str

    Raises
    ------
    ListError
        If no result is of a candidate, with a class, or most are not of candidates.
    """
    theirs = sources.source >= len(sources.names) - files
    said, which = np.unique(np.char.upper(np.char.strip(sources.cls)), return_inverse=True)
    types = np.array([class_words(scheme).get(str(word), "") for word in said])[which]
    column, label = scheme.code(cls), np.where(theirs, scheme.label(types, sources.z.astype(np.float64)), -1)
    of_list = mix.correct(every.p, every.mag)[:, column] >= _LEAST_P
    rows = np.flatnonzero((label >= 0) & of_list)
    unclear = theirs & (label < 0) & of_list
    _refuse_others(theirs, label >= 0, of_list, cls, words := _words_of(sources.cls[unclear], scheme))
    of = (every.p[rows], every.mag[rows], label[rows] == column, column, cls, seed)
    found, told = _updated(mix, *of)
    if mix.other is not None:
        found = replace(found, other=_updated(mix.other, *of)[0])
    notes = [f"results: {told}"]
    if unclear.any():
        notes.append(
            f"{unclear.sum()} observed candidates have no class that is known here ({words}), no redshift, or one with "
            "a warning, and count neither way: where these are mostly wrong ones, purity is less than said."
        )
    return found, notes


def _refuse_others(theirs: np.ndarray, labelled: np.ndarray, of_list: np.ndarray, cls: str, words: str) -> None:
    """Refuse results of which none, or the smaller part, is of candidates and has a class that is known."""
    rows, known, least = int((labelled & of_list).sum()), int(labelled.sum()), f"a probability of {_LEAST_P:g} or more"
    if rows == 0:
        why = f"that is a candidate has a class that is known here ({words})"
        if not (theirs & of_list).any():
            why = f"is a candidate: a row of the predictions with {least} to be {cls}"
        if not theirs.any():
            why = f"is a row of the predictions, by id or within {RADIUS:g} arcsec"
        raise ListError(
            f"--observed: none of its sources {why}. Give the results of candidates: ids or positions, class, z."
        )
    if rows < known / 2:
        raise ListError(
            f"--observed: only {rows:,} of the {known:,} sources that it names a class of have {least} to be {cls}: it "
            "is a catalogue of labels, not the results of a list. Give it as --known, or those of the candidates alone."
        )


def _words_of(cls: np.ndarray, scheme: LabelScheme) -> str:
    """Return the classes and types that are known, and the words of results that name none of them."""
    known = Vocabulary(tuple(dict.fromkeys([*scheme.classes, *scheme.spectypes])))
    said, rows = np.unique(np.char.strip(cls), return_counts=True)
    known.hear(said, np.isin(np.char.upper(said), list(class_words(scheme))), rows)
    return ", ".join(known.known) + (f"; {known.strange()} say none" if known.rows else "")


def _multiplied(new: np.ndarray, column: int, factor: float) -> np.ndarray:
    """Return shares with the odds of one class multiplied, rows summing to 1."""
    new = np.where(np.arange(new.shape[1]) == column, new * factor, new)
    return new / new.sum(axis=1, keepdims=True)


def _factor(p: np.ndarray, share: float) -> float:
    """Return what the odds of rows are to be multiplied by for their mean probability to be a share."""
    from scipy.optimize import brentq

    odds = np.clip(p, 1e-9, 1 - 1e-9) / (1 - np.clip(p, 1e-9, 1 - 1e-9))
    found = brentq(lambda t: float((odds * np.exp(t) / (1 + odds * np.exp(t))).mean()) - share, -30, 30)
    return float(np.exp(found))
