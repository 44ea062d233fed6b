"""Tables of labels and of imaging beside a catalogue, and the rules that make a label trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CatalogueError
from ..store import native
from .imaging import check_morphology, checked_column
from .quality import QualityCount

if TYPE_CHECKING:
    from .schema import RowRule, SurveySchema


_TRUE = ("true", "t", "yes", "1")


def _text(values: np.ndarray) -> np.ndarray:
    """Return values as stripped text; FITS gives padded bytes."""
    if values.dtype.kind == "S":
        return np.char.strip(np.char.decode(values, "utf-8", "replace"))
    if values.dtype.kind == "O":
        values = np.array([v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values], dtype=object)
    return np.char.strip(values.astype(str))


def _meets(values: Any, rule: RowRule) -> np.ndarray:
    """Say which values meet a rule; a masked or missing one does not."""
    masked = np.ma.getmaskarray(values)
    values = native(np.asarray(np.ma.getdata(values)))
    met = np.ones(len(values), dtype=bool)
    if rule.above is not None:
        met &= values.astype(np.float64) > rule.above if values.dtype.kind not in "iu" else values > rule.above
    if isinstance(rule.equals, bool):
        is_true = values.astype(bool) if values.dtype.kind in "biu" else np.isin(np.char.lower(_text(values)), _TRUE)
        met &= is_true == rule.equals
    elif isinstance(rule.equals, str):
        met &= _text(values) == rule.equals
    elif rule.equals is not None:
        met &= values == rule.equals
    return met & ~masked


def apply_label_rules(
    table: Mapping[str, Any], schema: SurveySchema, where: str = ""
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

    Returns
    -------
    keep : array of bool, shape (n,)
    counts : list of QualityCount
        For each rule the rows that fail it and no rule before it, so that they add up to the rejected.

    Raises
    ------
    CatalogueError
        If a column that a rule needs is missing.
    """
    n = len(next(iter(table.values()))) if isinstance(table, dict) else len(table)
    keep = np.ones(n, dtype=bool)
    counts: list[QualityCount] = []
    for rule in schema.labels.rules if schema.labels else ():
        name = next((name for name in rule.column if name in table), None)
        if name is None and rule.optional:
            continue
        if name is None:
            raise CatalogueError(
                f"{where or schema.name}: column {' or '.join(rule.column)} is missing, by which '{schema.name}' knows "
                f"a {rule.reason}. Add the column, or mark the rule 'optional: true' in a survey file of your own."
            )
        met = _meets(table[name], rule)
        counts.append(QualityCount(f"label_{name}", rule.reason, int((keep & ~met).sum()), "rows"))
        keep &= met
    return keep, counts


def as_ids(values: Any, name: str = "TARGETID") -> np.ndarray:
    """Return object ids as int64.

    Raises
    ------
    CatalogueError
        If they are not integers: as floating point, ids above 2^53 are already corrupted.
    """
    array = native(np.asarray(values))
    if array.dtype.kind == "f":
        raise CatalogueError(
            f"'{name}' is stored as floating point: ids above 2^53 are corrupted by it, and rows would be matched "
            "to the wrong objects. Write it again as a 64-bit integer."
        )
    if array.dtype.kind not in "iu":
        raise CatalogueError(f"'{name}' holds {array.dtype}, not integers.")
    if array.dtype == np.uint64 and len(array) and array.max() > np.iinfo(np.int64).max:
        raise CatalogueError(f"'{name}' exceeds 2^63 - 1 and is no 64-bit object id; name a row by several columns.")
    return array.astype(np.int64)


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
        mag = np.full(n, np.nan) if self.mag is None else self.mag
        morphology = np.zeros(n) if self.morphology is None else self.morphology
        everyone = ids if self.all_ids is None else np.concatenate([ids, as_ids(self.all_ids)])
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
        """Return the rows chosen by a mask or indices; `all_ids` stays whole."""
        return LabelTable(**{name: getattr(self, name)[rows] for name in _COLUMNS}, all_ids=self.all_ids)


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
    return unique_labels(columns, np.concatenate([table.all_ids for table in tables]))
