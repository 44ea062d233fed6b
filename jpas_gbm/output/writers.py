"""Writing a table of known columns piece by piece, whole or not at all; the suffix chooses the format. And the columns.

A format is one file of this folder named ``write_*.py`` with a subclass of :class:`Writer` that is registered for its
suffixes. Predictions and candidate lists can then be written in it.
"""

from __future__ import annotations

import importlib
import pkgutil
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, TypeVar

import numpy as np

from ..atomic import atomic_files
from ..errors import OutputError, did_you_mean
from ..sealed import seal_companion
from ..store import Provenance
from ..surveys.quality import QualityBit

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

Card = str | float | tuple[str | float, str]
"""A short fact for people: its value, or value and comment."""


@dataclass(frozen=True)
class Head:
    """What is written of a table besides its rows.

    Parameters
    ----------
    columns : tuple of Column
        What every row has.
    provenance : mapping
        How the table was made, as JSON can hold it.
    name : str
        Of the table: FITS EXTNAME, VOTable TABLE.
    cards : mapping of str to Card
        Short facts for people: FITS cards, VOTable INFOs, metadata elsewhere.
    closing : mapping of str to str
        Cards whose values are known only at the end, with their comments; :attr:`Writer.closing` gives the values.
    """

    columns: tuple[Column, ...]
    provenance: Mapping[str, Any]
    name: str = "PREDICTIONS"
    cards: Mapping[str, Card] = field(default_factory=dict)
    closing: Mapping[str, str] = field(default_factory=dict)

    def facts(self) -> dict[str, str | float]:
        """Return the cards without their comments.

        Returns
        -------
        dict of str to str or float
        """
        return {name: card[0] if isinstance(card, tuple) else card for name, card in self.cards.items()}


class Writer(ABC):
    """Writes rows in order to a file; it is whole after :meth:`close`.

    Parameters
    ----------
    stream : binary file
        Open for reading and writing, empty.
    head : Head
        Columns, name, cards and provenance.
    """

    companion: ClassVar[bool] = False
    """Whether the format has no place for units and provenance, so that ``FILE.json`` beside the file holds them."""

    closing: Mapping[str, str | int] = MappingProxyType({})
    """Values of the cards that the head says are known only at the end; to be set before :meth:`close`."""

    @abstractmethod
    def __init__(self, stream: BinaryIO, head: Head) -> None: ...

    @abstractmethod
    def write(self, rows: np.ndarray) -> None:
        """Append rows.

        Parameters
        ----------
        rows : structured array, shape (n,)
            Of the columns' record type.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish the file; the stream stays open."""

    def release(self) -> None:  # noqa: B027
        """Let go of what is held, whether the file is whole or not."""


W = TypeVar("W", bound=type[Writer])
_WRITERS: dict[str, type[Writer]] = {}


def register_writer(*suffixes: str) -> Callable[[W], W]:
    """Register a writer class for file suffixes.

    Parameters
    ----------
    *suffixes : str
        In small letters, with the dot.

    Returns
    -------
    callable
        Decorator of the class.
    """

    def register(writer: W) -> W:
        _WRITERS.update(dict.fromkeys(suffixes, writer))
        return writer

    return register


def _writers() -> dict[str, type[Writer]]:
    """Return the writer class of each suffix, once every ``write_*`` module of this folder is imported."""
    package = importlib.import_module(__package__ or "")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("write_"):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return _WRITERS


def suffixes() -> tuple[str, ...]:
    """Return the suffixes of all formats.

    Returns
    -------
    tuple of str
    """
    return tuple(_writers())


def writer_class(path: str | Path) -> type[Writer]:
    """Return the writer of an output file by its suffix.

    Parameters
    ----------
    path : path

    Returns
    -------
    type
        A subclass of :class:`Writer`.

    Raises
    ------
    OutputError
        If the suffix is not known.
    """
    suffix, known = Path(path).suffix.lower(), _writers()
    if suffix not in known:
        raise OutputError(
            f"{path}: cannot tell the format by the suffix '{suffix}'.{did_you_mean(suffix, known)} "
            f"Known: {', '.join(known)}."
        )
    return known[suffix]


Companion = Callable[[Path, Path], None]
"""Writes a file that tells of a table: given the place to write to, and the finished table."""

Beside = Mapping[str | Path, Companion]
"""Further files that stand or fall with a table, and what writes them once it is finished."""


@contextmanager
def table_writer(
    path: str | Path, head: Head, *, beside: Beside | None = None, overwrite: bool = False
) -> Iterator[Writer]:
    """Open a table for writing; it moves into place, whole, when the block ends well.

    Memory holds one piece of rows at a time, whatever the format.

    Parameters
    ----------
    path : path
        The suffix chooses the format. A ``.csv`` has a companion ``.csv.json`` with units, UCDs and
        provenance, since plain CSV has no place for them; ``.ecsv`` carries them itself.
    head : Head
        Columns, name, cards and provenance.
    beside : mapping of path to Companion, optional
        Further files that stand or fall with the table, and what writes them once it is finished.
    overwrite : bool
        Whether files that are there may be replaced.

    Yields
    ------
    Writer

    Raises
    ------
    OutputError
        If the suffix is unknown, a file exists, or one cannot be written: then all are as before.
    """
    kind = writer_class(path)
    companions: dict[str | Path, Companion] = dict(beside or {})
    closing: dict[str, str | int] = {}
    if kind.companion:
        companions[f"{path}.json"] = partial(_write_companion, head, closing)
    with atomic_files(path, *companions, overwrite=overwrite) as (table, *places):
        with ExitStack() as stack:
            writer = kind(stack.enter_context(open(table, "w+b")), head)
            stack.callback(writer.release)
            yield writer
            closing.update(writer.closing)
            writer.close()
        for place, write in zip(places, companions.values(), strict=True):
            write(place, table)


def write_whole(path: str | Path, head: Head, rows: np.ndarray, place: Path, table: Path) -> None:
    """Write a table that stands beside another, as a :data:`Companion` does once the first arguments are given.

    Parameters
    ----------
    path : path
        Where it is wanted: the suffix chooses the format.
    head : Head
        Columns, name, cards and provenance.
    rows : structured array, shape (n,)
        Of the columns' record type.
    place : path
        Where it is written.
    table : path
        The table that it stands beside.
    """
    with ExitStack() as stack:
        writer = writer_class(path)(stack.enter_context(open(place, "w+b")), head)
        stack.callback(writer.release)
        writer.write(rows)
        writer.close()


def _write_companion(head: Head, closing: Mapping[str, str | int], place: Path, table: Path) -> None:
    """Write what plain CSV has no place for."""
    columns = [column.to_dict() for column in head.columns]
    about = {"columns": columns, "provenance": dict(head.provenance), "cards": {**head.facts(), **closing}}
    seal_companion(place, about, table)


def plain_letters(text: str) -> str:
    """Return text in printable ASCII: letters without their accents, ``?`` for what has no plain form.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in bare)


@dataclass(frozen=True)
class Column:
    """One column of an output table.

    Parameters
    ----------
    name : str
        As it is written.
    dtype : str
        NumPy type without byte order: ``i8``, ``i4``, ``i2``, ``f8``, ``f4`` or ``S`` with a length; in FITS also
        an array of so many values a row, ``(57,)f4``.
    description : str
        One sentence.
    ucd : str
        IVOA Unified Content Descriptor (UCD1+); empty for none.
    unit : str
        As FITS and VOTable spell it; empty for none.
    """

    name: str
    dtype: str
    description: str
    ucd: str = ""
    unit: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return a form that JSON can hold.

        Returns
        -------
        dict of str to str
            The fields by name.
        """
        return asdict(self)


def record_type(columns: Sequence[Column]) -> np.dtype:
    """Return the structured NumPy type of one row.

    Parameters
    ----------
    columns : sequence of Column

    Returns
    -------
    dtype
    """
    return np.dtype([(column.name, column.dtype) for column in columns])


def to_table(columns: Sequence[Column], rows: np.ndarray, meta: Mapping[str, object] | None = None) -> Table:
    """Return rows as an astropy Table with units, descriptions and UCDs.

    Parameters
    ----------
    columns : sequence of Column
    rows : structured array, shape (n,)
        Of the columns' record type.
    meta : mapping, optional
        Metadata of the table.

    Returns
    -------
    Table
    """
    from astropy.table import Column as TableColumn
    from astropy.table import Table

    made = [
        TableColumn(
            _text(rows[column.name]),
            name=column.name,
            unit=column.unit or None,
            description=column.description,
            meta={"ucd": column.ucd} if column.ucd else {},
        )
        for column in columns
    ]
    return Table(made, meta=dict(meta or {}))


def to_pandas(columns: Sequence[Column], rows: np.ndarray) -> pd.DataFrame:
    """Return rows as a pandas DataFrame.

    Parameters
    ----------
    columns : sequence of Column
    rows : structured array, shape (n,)
        Of the columns' record type.

    Returns
    -------
    DataFrame
        Of n rows; text as str.
    """
    import pandas as pd

    return pd.DataFrame({column.name: _text(rows[column.name]) for column in columns})


def _text(values: np.ndarray) -> np.ndarray:
    """Return a column of its own memory, bytes as text."""
    return np.strings.decode(values, "ascii") if values.dtype.kind == "S" else np.ascontiguousarray(values)


def probability_name(name: str) -> str:
    """Return the name of the column with a class's probability: ``P_QSO_HIGH``.

    Parameters
    ----------
    name : str
        Of the class.

    Returns
    -------
    str
    """
    return f"P_{name.upper()}"


def prediction_columns(
    key: Sequence[str],
    classes: Sequence[str],
    *,
    object_id: str | None = None,
    ids: Sequence[Column] = (),
    thresholds: bool = True,
    spread: bool = False,
    photoz: bool = False,
    redshifts: bool = False,
) -> tuple[Column, ...]:
    """Return the columns of a prediction file.

    Parameters
    ----------
    key : sequence of str
        Columns that name a row of the catalogue.
    classes : sequence of str
        Names of the classes, in order.
    object_id : str, optional
        Name of the column of object ids, where the catalogue has one that is no part of the key.
    ids : sequence of Column
        Further columns that name the object.
    thresholds, spread, photoz : bool
        Whether CLASS_THRESHOLDED, SPREAD, PHOTOZ_QSO are there.
    redshifts : bool
        Whether quantiles of redshift densities are.

    Returns
    -------
    tuple of Column
    """
    part = "meta.id;meta.main" if len(key) == 1 else "meta.id.part"
    columns = [Column(name, "i8", "Names the row of the catalogue.", part) for name in key]
    if object_id is not None and object_id not in key:
        columns.append(Column(object_id, "i8", "Names the object.", "meta.id"))
    columns += ids
    columns += [
        Column("RA", "f8", "Right ascension, ICRS.", "pos.eq.ra;meta.main", "deg"),
        Column("DEC", "f8", "Declination, ICRS.", "pos.eq.dec;meta.main", "deg"),
        Column("MAG", "f4", "AB magnitude of cuts and bins, such as r of imaging; NaN: unknown.", "phot.mag", "mag"),
    ]
    columns += [
        Column(probability_name(c), "f4", f"Calibrated probability of {c}.", "stat.probability") for c in classes
    ]
    width = max(map(len, classes))
    columns.append(Column("CLASS", f"S{width}", "Most probable class.", "src.class"))
    if thresholds:
        sentence = "Class by the thresholds tuned on validation for macro-F1."
        columns.append(Column("CLASS_THRESHOLDED", f"S{width}", sentence, "src.class"))
    sentence = f"Entropy of the probabilities in nats: 0 is sure, {np.log(len(classes)):.3f} undecided."
    columns.append(Column("ENTROPY", "f4", sentence, "stat.value;src.class"))
    if spread:
        sentence = "Scatter of the probability of CLASS over the ensemble."
        columns.append(Column("SPREAD", "f4", sentence, "stat.stdev;stat.probability"))
    if photoz:
        columns.append(Column("PHOTOZ_QSO", "f4", "Photometric redshift, were it a quasar.", "src.redshift.phot"))
    columns += REDSHIFTS if redshifts else ()
    columns.append(quality_column())
    return tuple(columns)


_WORDS = "{} % quantile of the redshift, were it a quasar."
_LEVELS = (("02", 2.5), ("16", 16), ("50", 50), ("84", 84), ("98", 97.5))
REDSHIFTS = (
    Column("PHOTOZ_QSO_ERR", "f4", "Half the central 68 % of the redshift density.", "stat.error;src.redshift.phot"),
    *(Column(f"Z_QSO_{name}", "f4", _WORDS.format(level), "src.redshift.phot") for name, level in _LEVELS),
    Column("P_Z_HIGH", "f4", "Probability of z above the cut that parts quasars, were it one.", "stat.probability"),
)
"""Columns of redshift densities; NaN where a row is hardly a quasar."""


def quality_column() -> Column:
    """Return the column of quality bits.

    Returns
    -------
    Column
    """
    bits = ", ".join(f"{bit.value} {str(bit.name).lower()}" for bit in QualityBit)
    return Column("QUALITY", "i4", f"Quality bits: {bits}.", "meta.code.qual")


def prediction_cards(provenance: Provenance) -> dict[str, tuple[str | float, str]]:
    """Return the short facts of a prediction file: software, time, and what made the model.

    Parameters
    ----------
    provenance : Provenance
        Of the file, with that of the model under ``model``.

    Returns
    -------
    dict of str to (value, comment)
    """
    model = provenance.get("model") or {}
    facts = {
        "ORIGIN": (f"{provenance.get('software', 'jpas-gbm')} {provenance.get('version', '')}".strip(), "software"),
        "DATE": ((provenance.get("made") or "")[:19] or None, "when the file was made (UTC)"),  # FITS knows no zones
        "REGIME": (model.get("regime"), "how the model was trained"),
        "RULE": (model.get("rule"), "decision chosen on validation"),
        "MODSEED": (model.get("seed"), "seed of the training"),
        "SIMULATD": (True if provenance.get("simulated") else None, "made of or for simulated data"),
    }
    return {name: (value, comment) for name, (value, comment) in facts.items() if value is not None}
