"""The classes, tables of labels and of imaging beside a catalogue, and the rules that make a label trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BundleError, CatalogueError, ConfigError, did_you_mean
from ..store import native
from .audit import QualityCount
from .catalogue import UNLABELLED
from .positions import check_morphology, checked_column

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


def _numbers(values: np.ndarray, rule: RowRule) -> np.ndarray:
    """Return values as float64; text must spell numbers where a rule compares them with one."""
    try:
        return values.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise CatalogueError(
            f"column {rule.column[0]}: holds '{_text(values)[0]}', and the label rule '{rule.reason}' asks whether it "
            f"is above {rule.above:g}: compare a column of numbers, or write 'equals'."
        ) from error


def _meets(values: Any, rule: RowRule) -> np.ndarray:
    """Say which values meet a rule; a masked or missing one does not."""
    masked = np.ma.getmaskarray(values)
    values = native(np.asarray(np.ma.getdata(values)))
    met = np.ones(len(values), dtype=bool)
    if rule.above is not None:
        met &= (values if values.dtype.kind in "iu" else _numbers(values, rule)) > rule.above
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


CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
"""The classes of the paper, in the order used everywhere."""


Z_CUT = 2.1
"""The redshift from which a quasar is QSO_high: Lyα enters the first narrow band."""


_TYPES: Mapping[str, tuple[str, ...]] = {"QSO": ("QSO_high", "QSO_low"), "GALAXY": ("GALAXY",), "STAR": ("STAR",)}


def _named_types(classes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the spectral types of classes that are named after them."""
    types = {}
    for kind, names in _TYPES.items():
        if set(names) <= set(classes):
            types[kind] = names
        elif kind in classes:
            types[kind] = (kind,)
    known = {name for names in types.values() for name in names}
    unknown = [name for name in classes if name not in known]
    if unknown:
        raise ConfigError(
            f"the spectral type of the class {', '.join(unknown)} does not follow from its name. Say which types make "
            'which classes, such as spectypes={"QSO": ("far", "near"), "GALAXY": "galaxy", "STAR": "star"}.'
        )
    return types


@dataclass(frozen=True)
class LabelScheme:
    """Which classes there are, and which spectral type and redshift make each.

    Parameters
    ----------
    classes : tuple of str
        In the order of the label codes 0, 1, ...
    z_cut : float
        Redshift at and above which a type with two classes is of the first of them.
    spectypes : mapping of str to tuple of str, optional
        For each spectral type its class, or its two classes (at and above, below `z_cut`). By default
        classes named GALAXY, STAR and QSO are of the type of that name, and QSO_high and QSO_low are
        quasars parted by `z_cut`.

    Raises
    ------
    ConfigError
        If a class repeats, a spectral type names a class that does not exist, or `spectypes` is left
        out and the type of a class does not follow from its name.

    Examples
    --------
    >>> scheme = LabelScheme(("GALAXY", "QSO_low", "QSO_high", "STAR"))
    >>> scheme.quasars, scheme.kind_of("GALAXY"), scheme.z_range("QSO_low")
    (('QSO_low', 'QSO_high'), 'GALAXY', (-inf, 2.1))
    >>> LabelScheme(("far", "near", "rest"), 1.0, {"QSO": ("far", "near"), "STAR": "rest"}).quasars
    ('far', 'near')
    """

    classes: tuple[str, ...] = CLASSES
    z_cut: float = Z_CUT
    spectypes: Mapping[str, tuple[str, ...]] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ConfigError(f"the classes {', '.join(self.classes)} must be two or more different names.")
        stated: Mapping[str, str | tuple[str, ...]] | None = self.spectypes
        given = _named_types(self.classes) if stated is None else stated
        spectypes = {name.upper(): (of,) if isinstance(of, str) else tuple(of) for name, of in given.items()}
        for name, of in spectypes.items():
            for wanted in of:
                self.code(wanted)
            if len(of) not in (1, 2):
                raise ConfigError(f"spectral type '{name}' has {len(of)} classes: one, or two parted by z_cut.")
        object.__setattr__(self, "spectypes", spectypes)

    def kind_of(self, name: str) -> str:
        """Return the spectral type of a class, such as QSO; empty where it has none or several.

        Raises
        ------
        ConfigError
            If there is no such class.
        """
        self.code(name)
        kinds = [kind for kind, of in self.spectypes.items() if name in of]
        return kinds[0] if len(kinds) == 1 else ""

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Return the classes of one spectral type, in class order."""
        return tuple(name for name in self.classes if self.kind_of(name) == kind.upper())

    @property
    def quasars(self) -> tuple[str, ...]:
        """The classes of spectral type QSO, in class order."""
        return self.of_kind("QSO")

    @property
    def galaxies(self) -> tuple[str, ...]:
        """The classes of spectral type GALAXY, in class order."""
        return self.of_kind("GALAXY")

    @property
    def stars(self) -> tuple[str, ...]:
        """The classes of spectral type STAR, in class order."""
        return self.of_kind("STAR")

    @property
    def parted(self) -> tuple[str, ...]:
        """The classes that `z_cut` parts from another of their spectral type, in class order."""
        both = {name for of in self.spectypes.values() if len(of) == 2 for name in of}
        return tuple(name for name in self.classes if name in both)

    @property
    def families(self) -> np.ndarray:
        """A number for each class, the same for classes of one spectral type; int64 (k,)."""
        numbers = np.arange(len(self.classes))
        for of in self.spectypes.values():
            codes = [self.code(name) for name in of]
            numbers[codes] = min(codes)
        return np.unique(numbers, return_inverse=True)[1]

    def z_range(self, name: str) -> tuple[float, float]:
        """Return the redshifts of a class: from the first, included, to the second, excluded.

        Raises
        ------
        ConfigError
            If there is no such class.
        """
        self.code(name)
        ranges = [
            (-np.inf if len(of) == 1 or name == of[1] else self.z_cut, np.inf if name == of[0] else self.z_cut)
            for of in self.spectypes.values()
            if name in of
        ] or [(-np.inf, np.inf)]
        return float(min(low for low, _ in ranges)), float(max(high for _, high in ranges))

    def __len__(self) -> int:
        return len(self.classes)

    def code(self, name: str) -> int:
        """Return the label code of a class.

        Raises
        ------
        ConfigError
            If there is no such class.
        """
        if name not in self.classes:
            raise ConfigError(
                f"there is no class '{name}'.{did_you_mean(name, self.classes)} Classes: {', '.join(self.classes)}."
            )
        return self.classes.index(name)

    def label(self, spectype: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return label codes from spectral types and redshifts.

        Parameters
        ----------
        spectype : array of str, shape (n,)
            In any case, blanks around it ignored.
        z : array, shape (n,)
            Needed only by types that `z_cut` parts.

        Returns
        -------
        array of int8, shape (n,)
            -1 where the type is not of this scheme, or z is needed and not finite.
        """
        # Types are few and rows are many: look each distinct one up once.
        types, which = np.unique(np.asarray(spectype).astype(str), return_inverse=True)
        z = np.asarray(z, dtype=np.float64)
        high = np.full(len(types), UNLABELLED, dtype=np.int8)
        low, parted = high.copy(), np.zeros(len(types), dtype=bool)
        for i, name in enumerate(types):
            of = self.spectypes.get(name.strip().upper(), ())
            if of:
                high[i], low[i], parted[i] = self.code(of[0]), self.code(of[-1]), len(of) == 2
        with np.errstate(invalid="ignore"):
            label = np.where(z >= self.z_cut, high[which], low[which])
        label[parted[which] & ~np.isfinite(z)] = UNLABELLED
        return label.astype(np.int8)

    def counts(self, label: np.ndarray) -> dict[str, int]:
        """Return how many rows each class has, in class order."""
        return {name: int(np.count_nonzero(label == code)) for code, name in enumerate(self.classes)}

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return {
            "classes": list(self.classes),
            "z_cut": self.z_cut,
            "spectypes": {name: list(of) for name, of in self.spectypes.items()},
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> LabelScheme:
        """Rebuild a scheme from :meth:`to_dict`.

        Raises
        ------
        BundleError
            If it is damaged.
        """
        try:
            return cls(tuple(value["classes"]), float(value["z_cut"]), value["spectypes"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BundleError(f"the classes are damaged ({error!r}): make the folder again.") from error


def default_scheme() -> LabelScheme:
    """Return the four classes of the paper: quasars parted at z = 2.1, galaxies, stars."""
    return LabelScheme()
