"""Tables of labels beside a catalogue, and which labels are to be doubted."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BundleError, CatalogueError
from ..store import native
from .imaging import RADIUS, check_morphology, checked_column
from .positions import PLACEHOLDER, made_here, position_groups, unlike_places
from .quality import QualityCount, is_blank
from .scheme import FARTHEST, NEAREST, LabelScheme

if TYPE_CHECKING:
    from .columns import Layout, Vocabulary
    from .tables import RawTable

NEAR_CUT = 0.01
"""A redshift nearer to the class cut than this times 1 + z may lie on the other side in another release."""

_PILE_UP = (1.55, 1.65)


def label_doubts(label: np.ndarray, z: np.ndarray, scheme: LabelScheme) -> dict[str, np.ndarray]:
    """Return which labels are to be doubted for their redshift, though no rule rejects them.

    Parameters
    ----------
    label : array of int, shape (n,)
        Class codes; rows below 0 are not doubted, having none.
    z : array, shape (n,)
        Redshifts.
    scheme : LabelScheme
        The classes.

    Returns
    -------
    dict of str to array of bool, shape (n,)
        ``near_cut``: a class parted by redshift, within 0.01 (1 + z) of the cut. ``pile_up``: a quasar or galaxy
        at z of 1.55 to 1.65, where wrong labels of DESI gather.
    """
    kinds = np.array([*(scheme.kind_of(name) for name in scheme.classes), ""])
    parted = np.array([*(name in scheme.parted for name in scheme.classes), False])
    with np.errstate(invalid="ignore"):
        near = np.abs(z - scheme.z_cut) <= NEAR_CUT * (1 + scheme.z_cut)
        piled = (z >= _PILE_UP[0]) & (z <= _PILE_UP[1])
    return {"near_cut": parted[label] & near, "pile_up": np.isin(kinds[label], ("QSO", "GALAXY")) & piled}


def doubt_counts(label: np.ndarray, z: np.ndarray, scheme: LabelScheme) -> list[QualityCount]:
    """Return how many labels :func:`label_doubts` names, for the quality report.

    Parameters
    ----------
    label : array of int, shape (n,)
        Class codes.
    z : array, shape (n,)
        Redshifts.
    scheme : LabelScheme
        The classes.

    Returns
    -------
    list of QualityCount
        One for each doubt.
    """
    sentences = {
        "near_cut": f"labelled within {NEAR_CUT:g} (1 + z) of z = {scheme.z_cut:g}, where the class may change: kept",
        "pile_up": f"labelled at z {_PILE_UP[0]} to {_PILE_UP[1]}, where wrong labels gather: kept",
    }
    doubts = label_doubts(label, z, scheme)
    return [QualityCount(f"doubt_{name}", sentences[name], int(rows.sum()), "rows") for name, rows in doubts.items()]


def redshift_counts(kept: np.ndarray, lost: np.ndarray, heard: Sequence[Vocabulary]) -> list[QualityCount]:
    """Return how many redshifts are none and are taken as unknown, and how many labels that cost, and why it may be.

    Parameters
    ----------
    kept, lost : array of float
        Such redshifts of rows that have a label all the same, and of those that need one for it.
    heard : sequence of Vocabulary
        What the blocks before had of both; the most frequent numbers are added.

    Returns
    -------
    list of QualityCount
    """
    for words, values in zip(heard, (kept, lost), strict=True):
        numbers, counts = np.unique(values, return_counts=True)
        most = np.argsort(-counts, kind="stable")[:5]
        named = np.array([f"{number:g}" for number in numbers[most]], dtype=str)
        words.hear(named, np.zeros(len(most), dtype=bool), counts[most])
    unknown, causes = heard
    # Negative ones and rows of nines are fillers.
    sizes = [float(word) for word in causes.rows if set(word) != {"9"} and 0 < float(word) < np.inf]
    size = np.median(sizes or [0.0])
    cause = "velocities in km/s (z is v/c)" if size >= 10_000 else "thousandths" if size >= FARTHEST else "fillers"
    limits = f"below {NEAREST:g}, or {FARTHEST:g} and more"
    said = f"at a number that is no redshift ({limits}: {unknown.strange()}), taken as unknown: the label is kept"
    told = (
        f"of a class that needs a redshift, at a number that is none ({limits}: {causes.strange()}): are they {cause}?"
    )
    return [
        QualityCount("label_z_odd", said, len(kept), "rows"),
        QualityCount("label_z_lost", told, len(lost), "rows"),
    ]


_TARGETING = re.compile(r"((SV[1-3]_)?(DESI|BGS|MWS|SCND)|CMX)_TARGET", re.IGNORECASE)


def targeting_left(columns: Iterable[str], rows: int) -> list[QualityCount]:
    """Return that a table's targeting bits are left: sources that nobody targeted have none to compare with.

    Parameters
    ----------
    columns : iterable of str
        Names of the table's columns.
    rows : int
        Its rows.

    Returns
    -------
    list of QualityCount
        Empty where there are no such columns.
    """
    found = [name for name in columns if _TARGETING.fullmatch(name)]
    why = "sources without a label have none, so lists weigh labels by probabilities and magnitude: left"
    said = f"with targeting bits ({', '.join(found)}); {why}"
    return [QualityCount("label_targeting_bits", said, rows, "rows")] if found else []


def blank_columns(table: RawTable, layout: Layout) -> frozenset[str]:
    """Return which columns of rules of labels are blank in all rows of a table; these columns alone are read.

    Parameters
    ----------
    table : RawTable
    layout : Layout
        Of it.

    Returns
    -------
    frozenset of str
        As the survey file names them.
    """
    rules = layout.schema.labels.rules if layout.schema.labels else ()
    names = {name: layout.names[name] for rule in rules for name in rule.column if name in layout.names}
    blank = {name for name, theirs in names.items() if layout.want[theirs] == "any"}
    for block in table.read({names[name]: "any" for name in blank}) if blank else ():
        blank -= {name for name in blank if not is_blank(block[names[name]]).all()}
        if not blank:
            break
    return frozenset(blank)


def without_blank(
    columns: Mapping[str, np.ndarray], layout: Layout, throughout: Callable[[], Collection[str]] | None = None
) -> tuple[dict[str, np.ndarray], Layout]:
    """Leave out columns of rules that are blank in all rows, as if they were not there, and tell so.

    Parameters
    ----------
    columns : mapping of str to array, shape (n,)
        Rows of a table of labels, by the names of the survey file. Where none has a class, nothing is left out.
    layout : Layout
    throughout : callable, optional
        Says which columns are blank in the whole table, where the rows are a part of it; asked only if some are here.

    Returns
    -------
    dict of str to array, Layout
        Without these; with what is not checked for it.
    """
    section = layout.schema.labels
    rules = section.rules if section and not is_blank(columns.get(section.spectype[0], "?")).all() else ()
    sought = [name for rule in rules for name in rule.column if name in columns]
    blank = {name for name in sought if layout.want[layout.names[name]] == "any" and is_blank(columns[name]).all()}
    blank &= set(blank if throughout is None or not blank else throughout())
    told = []
    for rule in rules:
        there = [name for name in rule.column if name in columns]
        if there and blank.issuperset(there):
            names = " and ".join(layout.names[name] for name in there)
            told.append(f"{names}: blank in all rows, so not checked: {rule.reason}")
    left = {name: values for name, values in columns.items() if name not in blank}
    return left, replace(layout, unchecked=(*layout.unchecked, *told))


def as_ids(values: Any, name: str = "TARGETID") -> np.ndarray:
    """Return object ids as int64.

    Parameters
    ----------
    values : array_like of int, shape (n,)
        The ids; floating point, as pandas writes integers after a join, where all are whole and exact.
    name : str
        Their column, for messages.

    Returns
    -------
    array of int64, shape (n,)
        In native byte order.

    Raises
    ------
    CatalogueError
        If they are not integers, or floating point that cannot be trusted: ids above 2^53 are corrupted by it.
    """
    array = native(np.asarray(values))
    if array.dtype.kind == "f":
        return _whole(array, name)
    if array.dtype.kind not in "iu":
        raise CatalogueError(f"'{name}' holds {array.dtype}, not integers.")
    if array.dtype == np.uint64 and len(array) and array.max() > np.iinfo(np.int64).max:
        raise CatalogueError(
            f"'{name}' exceeds 2^63 - 1, which no id here does. Where it names objects, write 'object_id: position' in "
            "the survey file: rows are then known by their place on the sky. Where it is of a key or a tile, number "
            "these anew, or as text."
        )
    return array.astype(np.int64)


def _whole(values: np.ndarray, name: str) -> np.ndarray:
    """Return floating point as int64, or refuse what is no integer or may be another than was meant."""
    bits = np.finfo(values.dtype).nmant + 1
    if len(empty := np.flatnonzero(~np.isfinite(values))):
        raise CatalogueError(f"'{name}': row {empty[0]} is empty ({values[empty[0]]}); each row needs an integer.")
    if len(broken := np.flatnonzero(values != np.round(values))):
        raise CatalogueError(
            f"'{name}': row {broken[0]} holds {values[broken[0]]}, a fraction, where ids are integers."
        )
    if len(large := np.flatnonzero(np.abs(values) >= 2.0**bits)):
        raise CatalogueError(
            f"'{name}' is stored as floating point: ids above 2^{bits} are corrupted by it (row {large[0]} holds "
            f"{values[large[0]]}), and rows would be matched to the wrong objects. Write it again as a 64-bit integer "
            "from the original table."
        )
    return values.astype(np.int64)


_COLUMNS = ("object_id", "ra", "dec", "label", "z", "mag", "morphology")


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Objects with a trusted class, and the ids of all others that the file names.

    Parameters
    ----------
    object_id : array of int64, shape (n,)
        TARGETID of each labelled object; unique.
    ra, dec : array of float64, shape (n,)
        ICRS degrees.
    label : array of int8, shape (n,)
        Class codes, 0 or more.
    z : array of float64, shape (n,)
        Redshift.
    mag : array of float32, shape (n,)
        AB magnitude for cuts; NaN where unknown.
    morphology : array of int8, shape (n,)
        Codes of :data:`~jpas_gbm.surveys.catalogue.MORPHOLOGIES`.
    all_ids : array of int64, shape (m,)
        Every id of the file, also of rows that the label rules rejected: their mocks do not train
        either. Kept sorted and unique.

    Raises
    ------
    CatalogueError
        If ids are not integers or repeat, a column has another length, or a label is negative.
    """

    object_id: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    label: np.ndarray
    z: np.ndarray
    mag: np.ndarray = None  # type: ignore[assignment]
    morphology: np.ndarray = None  # type: ignore[assignment]
    all_ids: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        ids = as_ids(self.object_id)
        n = len(ids)
        if len(np.unique(ids)) < n:
            raise CatalogueError(f"label table: {n - len(np.unique(ids))} objects stand in more than one labelled row.")
        given: dict[str, np.ndarray | None] = {"mag": self.mag, "type": self.morphology, "ids": self.all_ids}
        mag = np.full(n, np.nan) if given["mag"] is None else self.mag
        morphology = np.zeros(n) if given["type"] is None else self.morphology
        everyone = ids if given["ids"] is None else np.concatenate([ids, as_ids(self.all_ids)])
        values = {"ra": self.ra, "dec": self.dec, "label": self.label, "z": self.z, "mag": mag}
        dtypes: dict[str, type] = {"label": np.int8, "mag": np.float32}
        for name, value in values.items():
            object.__setattr__(self, name, checked_column("label table", name, value, dtypes.get(name, np.float64), n))
        object.__setattr__(self, "object_id", checked_column("label table", "object_id", ids, np.int64, n))
        object.__setattr__(self, "morphology", checked_column("label table", "morphology", morphology, np.int8, n))
        object.__setattr__(self, "all_ids", np.unique(everyone))
        check_morphology("label table", self.morphology)
        if n and self.label.min() < 0:
            raise CatalogueError("label table: rows without a class must be left out.")

    def __len__(self) -> int:
        return len(self.object_id)

    def take(self, rows: np.ndarray) -> LabelTable:
        """Return the rows chosen by a mask or indices; `all_ids` stays whole.

        Parameters
        ----------
        rows : array of bool or int
            The rows to keep.

        Returns
        -------
        LabelTable
            In the order of `rows`.
        """
        return LabelTable(**{name: getattr(self, name)[rows] for name in _COLUMNS}, all_ids=self.all_ids)


NOT_HELD_OUT = "NOT held out: {:,} trained, chose or calibrated it"
"""What is said of rows of which so many made the model."""


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """The labelled sources that a model has used: it knows them by themselves.

    Parameters
    ----------
    object_id : array of int64, shape (n,)
    ra, dec : array of float64, shape (n,)
        ICRS degrees; NaN where unknown.
    label : array of int8, shape (n,)
        Class codes.
    z : array of float64, shape (n,)
        Redshift; NaN where unknown.

    Raises
    ------
    BundleError
        If the columns do not belong together.
    """

    object_id: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    label: np.ndarray
    z: np.ndarray

    def __post_init__(self) -> None:
        if any(value.shape != self.label.shape for value in vars(self).values()) or self.label.ndim != 1:
            raise BundleError("the rows that made the model are not of one length. Restore it or fit again.")

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def of(cls, rows: Any) -> LabelledRows:
        """Return the labelled rows of a catalogue, or rebuild them from arrays by name.

        Parameters
        ----------
        rows : Catalogue or mapping of str to array

        Returns
        -------
        LabelledRows

        Raises
        ------
        BundleError
            If an array is missing.
        """
        names = ("object_id", "ra", "dec", "label", "z")
        if isinstance(rows, Mapping):
            if lacking := [name for name in names if name not in rows]:
                raise BundleError(f"the rows that made the model lack '{lacking[0]}'. Restore it or fit again.")
            if any(rows[n].dtype.kind not in ("iu" if n in ("object_id", "label") else "f") for n in names):
                raise BundleError("the rows that made the model have columns of another type. Restore it or fit again.")
            return cls(*(np.asarray(rows[name]) for name in names))
        chosen = rows.label >= 0
        return cls(*(np.asarray(getattr(rows, name))[chosen] for name in names))

    def among(self, object_id: np.ndarray) -> int:
        """Return how many of some rows are of these objects.

        Parameters
        ----------
        object_id : array of int64, shape (m,)

        Returns
        -------
        int
        """
        return int(np.isin(object_id, self.object_id).sum())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return a form that ``numpy.savez`` can hold.

        Returns
        -------
        dict of str to array
        """
        return dict(vars(self))


def unique_labels(columns: Mapping[str, np.ndarray], all_ids: np.ndarray) -> tuple[LabelTable, dict[str, int]]:
    """Make a label table of rows in which an object may stand more than once.

    An object whose rows agree on its class keeps the first of them; one whose classes differ has no
    label to trust and is left out.

    Parameters
    ----------
    columns : mapping of str to array, shape (n,)
        The columns of :class:`LabelTable`, in order of trust.
    all_ids : array of int64
        Every id of the files.

    Returns
    -------
    table : LabelTable
    counts : dict
        ``repeated``: rows left out since their object was there; ``contradictory``: objects left out.
    """
    ids, label = as_ids(columns["object_id"]), columns["label"]
    _, first, group = np.unique(ids, return_index=True, return_inverse=True)
    differs = np.zeros(len(first), dtype=bool)
    np.logical_or.at(differs, group, label != label[first][group])
    rows = np.sort(first[~differs])
    counts = {"repeated": len(group) - len(first), "contradictory": int(differs.sum())}
    return LabelTable(**{name: columns[name][rows] for name in columns}, all_ids=all_ids), counts


def join_labels(tables: Sequence[LabelTable]) -> tuple[LabelTable, dict[str, int]]:
    """Join the label tables of several files into one of unique objects.

    See :func:`unique_labels` for objects that several files name.

    Parameters
    ----------
    tables : sequence of LabelTable
        In order of trust.

    Returns
    -------
    table : LabelTable
    counts : dict
        ``repeated``: rows left out since the object was there; ``contradictory``: objects left out.
    """
    if len(tables) == 1:
        return tables[0], {"repeated": 0, "contradictory": 0}
    columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in _COLUMNS}
    ids = columns["object_id"]
    nameless = made_here(ids)
    if nameless.any():
        # Known by their place: what another table has there is the same object.
        group = position_groups(columns["ra"], columns["dec"], RADIUS)
        named, first = np.unique(group[~nameless], return_index=True)
        place = np.searchsorted(named, group).clip(max=max(len(named) - 1, 0))
        known = nameless & (named[place] == group) if len(named) else np.zeros(len(ids), dtype=bool)
        ids = np.where(nameless, ids[group], ids)
        ids[known] = columns["object_id"][~nameless][first[place[known]]]
        columns["object_id"] = ids
    return unique_labels(columns, np.concatenate([table.all_ids for table in tables]))


def without_placeholders(table: LabelTable) -> tuple[LabelTable, QualityCount]:
    """Take away the places that unlike objects share, and count these.

    Parameters
    ----------
    table : LabelTable
        n rows.

    Returns
    -------
    table : LabelTable
    count : QualityCount
    """
    bright = table.mag if np.isfinite(table.mag).any() else 10.0 * table.z
    crowd = unlike_places(table.ra, table.dec, lambda rows: bright[rows])
    ra, dec = np.array(table.ra), np.array(table.dec)
    ra[crowd] = dec[crowd] = np.nan
    return replace(table, ra=ra, dec=dec), QualityCount("crowded", PLACEHOLDER, len(crowd), "rows")
