"""Predictions: what a model says of each row of a catalogue, in the order of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import CatalogueError, ConfigError, FeatureMismatch
from .features.drift import Drift, judge
from .features.redshifts import Redshifts
from .features.sky_sums import Reference, SkySums
from .output.writers import Column, prediction_columns, probability_name, record_type, to_pandas, to_table
from .surveys.bands import BandSystem
from .surveys.batches import Spelt
from .surveys.catalogue import Catalogue
from .surveys.columns import listed
from .surveys.conversion import kept_name
from .surveys.positions import mixed_columns
from .surveys.quality import QualityBit
from .surveys.reader import CatalogueReader
from .surveys.recognition import Source, UnknownTable
from .surveys.schema import Survey, load_schema, survey_names
from .surveys.spelling import ColumnNames, canonical
from .surveys.tables import Want
from .text import count

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

IDS = ("TARGETID", "OBJID", "SPECOBJID", "SPECID", "SOURCE_ID", "REF_ID", "THING_ID", "HEALPIX", "ID", "OBJ_ID")
"""Columns that name an object, in capitals: they are kept without being named."""
WHOLE = {
    "NROWS": "rows of the whole table",
    "NCOLS": "columns of the whole table",
    "IDSUM": "checksum of the ids of the whole table",
}
"""Cards that tell the whole of a prediction file, so that a part of it is known as one."""


def id_checksum(rows: np.ndarray) -> int:
    """Return a checksum of the ids of rows, whatever their order: those of parts add up, modulo 2^64.

    Parameters
    ----------
    rows : structured array, shape (n,)
        Of a prediction file; its ids are the integer columns before RA.

    Returns
    -------
    int
        From 0 to 2^64 - 1.
    """
    names = list(rows.dtype.names or ())
    ids = [name for name in names[: names.index("RA")] if rows[name].dtype.kind in "iu"]
    return int(mixed_ids(rows, ids).sum(dtype=np.uint64))


def mixed_ids(rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return a hash of some integer columns of each row; of one column no two values have the same.

    Parameters
    ----------
    rows : structured array, shape (n,)
        Of a prediction file.
    names : sequence of str
        The columns.

    Returns
    -------
    array of uint64, shape (n,)
    """
    return mixed_columns((rows[name] for name in names), len(rows))


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities, decisions and warnings for each of n rows.

    Parameters
    ----------
    classes : tuple of str
        Names of the k classes.
    catalogue : Catalogue
        The rows: ids, positions, magnitudes.
    probabilities : array of float32, shape (n, k)
        Rows sum to 1 within single precision; NaN where no band of the model was observed.
    thresholds : array, shape (k,)
        Class factors of the thresholded decision.
    spread : array of float32, shape (n,), optional
        Standard deviation over ensemble members of the probability of the most probable class.
    photoz : array of float32, shape (n,), optional
        Redshift of each row, were it a quasar.
    quality : array of uint16, shape (n,)
        Bits of :class:`~jpas_gbm.surveys.quality.QualityBit`.
    redshifts : Redshifts, optional
        Quantiles of the redshift density of rows that may be quasars.
    reference, sums : Reference, SkySums, optional
        What the rows look like that the model was trained for, and what was counted of these rows to compare.
    """

    classes: tuple[str, ...]
    catalogue: Catalogue
    probabilities: np.ndarray
    thresholds: np.ndarray
    spread: np.ndarray | None
    photoz: np.ndarray | None
    quality: np.ndarray
    redshifts: Redshifts | None = None
    reference: Reference | None = None
    sums: SkySums | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def label(self) -> np.ndarray:
        """Code of the most probable class, intp (n,); -1 where no band was observed."""
        return np.where(np.isnan(self.probabilities[:, 0]), -1, np.argmax(self.probabilities, axis=1))

    @property
    def entropy(self) -> np.ndarray:
        """Entropy of the probabilities in nats, float64 (n,)."""
        p = self.probabilities.astype(np.float64)
        return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), p * 0).sum(axis=1)

    @cached_property
    def drift(self) -> Drift:
        """In what these rows differ from those that the model was trained for."""
        return judge(self.reference, self.sums, int(np.isnan(self.probabilities[:, 0]).sum()))

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {n}" for name, n in self.counts().items())
        return f"<Predictions: {count(len(self), 'row')} of {self.catalogue.survey} ({counts})>"

    def _repr_html_(self) -> str:
        shown = self.to_pandas(slice(0, 5)).to_html(index=False, float_format="{:.4g}".format)
        return f"<p>{count(len(self), 'row')} of {self.catalogue.survey}; the first {min(5, len(self))}:</p>{shown}"

    def counts(self) -> dict[str, int]:
        """Return how many rows have each class as their most probable one.

        Returns
        -------
        dict of str to int
            By class.
        """
        return {name: int((self.label == code).sum()) for code, name in enumerate(self.classes)}

    def columns(self, ids: Sequence[Column] = ()) -> tuple[Column, ...]:
        """Return the columns of a table of these rows.

        Parameters
        ----------
        ids : sequence of Column
            Further columns that name the object.

        Returns
        -------
        tuple of Column
            Row key, object id where the survey has one, position, magnitude, probabilities, classes, entropy, spread
            and photometric redshift where the model gives them, quality bits.
        """
        schema = load_schema(self.catalogue.survey) if self.catalogue.survey in survey_names() else None
        return prediction_columns(
            tuple(self.catalogue.key),
            self.classes,
            object_id=schema.object_id[0] if schema is not None and schema.identity == "id" else None,
            ids=ids,
            spread=self.spread is not None,
            photoz=self.photoz is not None,
            redshifts=self.redshifts is not None,
        )

    def records(
        self, columns: Sequence[Column] | None = None, more: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """Return the rows as a structured array.

        Parameters
        ----------
        columns : sequence of Column, optional
            Default: :meth:`columns`.
        more : mapping of str to array of length n, optional
            Values of further columns by name.

        Returns
        -------
        structured array, shape (n,)
        """
        columns = self.columns() if columns is None else columns
        table = np.empty(len(self), dtype=record_type(columns))
        label, names = self.label, np.array([*self.classes, ""], dtype="S")
        values: dict[str, np.ndarray | None] = {
            **{probability_name(name): self.probabilities[:, i] for i, name in enumerate(self.classes)},
            "RA": self.catalogue.ra,
            "DEC": self.catalogue.dec,
            "MAG": self.catalogue.mag,
            "CLASS": names[label],
            "CLASS_THRESHOLDED": names[
                np.where(label < 0, -1, np.argmax(self.probabilities * self.thresholds, axis=1))
            ],
            "ENTROPY": self.entropy,
            "SPREAD": self.spread,
            "PHOTOZ_QSO": self.photoz,
            **({} if self.redshifts is None else self.redshifts.columns()),
            "QUALITY": self.quality,
            **(more or {}),
            **self.catalogue.key,
        }
        for column in columns:
            table[column.name] = values.get(column.name, self.catalogue.object_id)
        return table

    def to_pandas(self, rows: slice | None = None) -> pd.DataFrame:
        """Return the rows as a DataFrame with the columns of a prediction file, class names as text.

        Parameters
        ----------
        rows : slice, optional
            Some of the rows; all by default.

        Returns
        -------
        pandas.DataFrame
        """
        return to_pandas(self.columns(), self.records()[rows or slice(None)])

    def to_table(self) -> Table:
        """Return the rows as an astropy Table with units, descriptions and UCDs.

        Returns
        -------
        astropy.table.Table
        """
        return to_table(self.columns(), self.records(), {"survey": self.catalogue.survey})


class KeptColumns:
    """Columns of a catalogue that its predictions carry along as they are.

    Parameters
    ----------
    reader : CatalogueReader
        Told here what to keep.
    names : str or sequence of str, optional
        Columns, or ``all`` plain ones; ids are kept in any case.
    out : path
        Where they are written: FITS and VOTable hold no text beyond ASCII.

    Raises
    ------
    ConfigError
        If there is no such column, or it is an array.
    CatalogueError
        If text cannot be written in the format of the output.
    """

    def __init__(self, reader: CatalogueReader, names: str | Sequence[str] | None, out: str | Path) -> None:
        self._table, suffix = reader.table, Path(out).suffix.lower()
        self._plain = suffix not in (".parquet", ".pq", ".csv", ".ecsv")
        stated = [] if names is None else names.split(",") if isinstance(names, str) else list(names)
        wanted = self._found([name.strip() for name in stated if name.strip()])
        unread = set(reader.layout.key) | {*reader.schema.object_id[:1]}
        columns = reader.table.columns.items()
        ids = [
            name
            for name, column in columns
            if canonical(name) in IDS and column.width is None and column.kind in ("int", "text")
        ]
        ids = [name for name in ids if canonical(name) not in {*map(canonical, unread)} | reader.table.repeated]
        self._kinds: dict[str, Want] = {name: self._want(name) for name in dict.fromkeys((*ids, *wanted))}
        self._columns = self._looked_at(reader)
        self.ids = [name for name in ids if self._columns[name].dtype == "i8"]
        reader.keep = {**self._kinds}

    def _found(self, names: Sequence[str]) -> list[str]:
        """Return the file's names of the columns asked for."""
        table = self._table
        plain = [name for name, column in table.columns.items() if column.width is None and column.kind != "object"]
        if list(names) == ["all"]:
            return [name for name in plain if name not in table.repeated]
        finder, found = ColumnNames(tuple(table.columns), table.place), []
        for name in names:
            theirs = finder.find((name,))
            if theirs is None:
                raise ConfigError(
                    f"--keep {name}: {table.place} has no such column.{finder.nearest(name)} It has: {listed(table)}."
                )
            if theirs not in plain:
                raise ConfigError(f"--keep {name}: is an array; columns of one value a row are carried along.")
            found.append(theirs)
        return found

    def _want(self, name: str) -> Want:
        kinds: dict[str, Want] = {"int": "int", "float": "float", "text": "text"}
        return kinds.get(self._table.columns[name].kind, "any")

    def _looked_at(self, reader: CatalogueReader) -> dict[str, Column]:
        """Read the columns once for their types: how long text is, whether integers are missing, what keeps digits."""
        types: dict[str, np.dtype] = {}
        missing, columns = set[str](), self._table.columns
        self._kinds |= {name: kind for name, kind in reader.layout.want.items() if name in self._kinds}
        ours: dict[str, Want] = {name: "text" for name in self._kinds if name not in reader.layout.want}
        # Numbers are text in text tables alone, whose kinds were told from their first rows.
        first = next(iter(self._table.read(ours)), {}) if ours else {}
        numbers = [name for name in first if self._kinds[name] in ("int", "float")]
        spelt = {name: Spelt() for name in numbers if first[name].dtype.kind in "US"}
        rest = {name: kind for name, kind in self._kinds.items() if kind != "float" and name not in spelt}
        for block in self._table.read({**rest, **dict.fromkeys(spelt, "text")}) if rest or spelt else ():
            for name, values in block.items():
                if np.ma.getmaskarray(values).any():
                    missing.add(name)
                data = np.ma.getdata(values)
                if name in spelt:
                    spelt[name].hear(data)
                data = self._encoded(name, data) if data.dtype.kind in "US" else data
                types[name] = np.promote_types(types.get(name, data.dtype), data.dtype)
        for name, found in spelt.items():
            self._kinds[name] = found.want
            if found.want != "text":
                types[name] = np.dtype(np.int64 if found.want == "int" else np.float64)
                missing |= {name} if found.missing else set()
        told, units = "As the catalogue has it.", {name: columns[name].unit or "" for name in self._kinds}
        return {name: Column(name, self._type(name, types, missing), told, "", unit) for name, unit in units.items()}

    def _encoded(self, name: str, values: np.ndarray) -> np.ndarray:
        try:
            return np.strings.encode(values.astype(str), "ascii" if self._plain else "utf-8")
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"--keep {name}: holds letters that FITS and VOTable cannot ({error.object[:20]!r}, say). Write "
                "Parquet or CSV, or leave it out."
            ) from error

    def _type(self, name: str, types: Mapping[str, np.dtype], missing: set[str]) -> str:
        """Return how a column is written: integers with missing ones as text, so that none is changed."""
        dtype = types.get(name, np.dtype("f8"))
        if dtype.kind == "S":
            return f"S{max(dtype.itemsize, 1)}"
        if dtype.kind == "b":
            return "f4" if name in missing else "i2"
        if dtype.kind in "iu":
            return "S20" if name in missing or dtype == np.uint64 else "i8" if dtype.itemsize > 2 else "i4"
        return "f8"

    def beside(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """Return the columns of the predictions with those that are kept; one of the same name is called NAME_IN.

        Parameters
        ----------
        columns : sequence of Column
            Of the predictions.

        Returns
        -------
        tuple of Column
        """
        taken = {column.name.upper() for column in columns}
        key = {column.name for column in columns[: [column.name for column in columns].index("RA")]}
        self._names = {
            name: name if name.upper() not in taken else f"{name}_IN"
            for name in self._columns
            if canonical(name) not in {one.upper() for one in key}
        }
        made = {name: replace(self._columns[name], name=ours) for name, ours in self._names.items()}
        first = [made.pop(name) for name in self.ids if name in made]
        return (*columns[: len(key)], *first, *columns[len(key) :], *made.values())

    def of(self, predictions: Predictions) -> dict[str, np.ndarray]:
        """Return the values of some rows by the names of their columns.

        Parameters
        ----------
        predictions : Predictions
            n rows.

        Returns
        -------
        dict of str to array, shape (n,)
        """
        values = {}
        for name, ours in self._names.items():
            column = predictions.catalogue.extra[kept_name(name)]
            text = self._columns[name].dtype.startswith("S")
            values[ours] = self._encoded(name, column) if text else column
        return values


def quality_bits(
    catalogue: Catalogue,
    magnitudes: Sequence[float] | None = None,
    unlike: np.ndarray | None = None,
    unknown_tile: np.ndarray | None = None,
    blank: np.ndarray | None = None,
) -> np.ndarray:
    """Return the reader's quality bits with those that only predicting knows, uint16 (n,).

    Parameters
    ----------
    catalogue : Catalogue
        n rows.
    magnitudes : (brightest, faintest), optional
        Range of the model's training rows.
    unlike : array of bool, shape (n,), optional
        Rows that are unlike the training rows.
    unknown_tile : array of bool, shape (n,), optional
        Rows of tiles that the model has no zero point of.
    blank : array of bool, shape (n,), optional
        Rows without any flux in the model's bands.

    Returns
    -------
    array of uint16, shape (n,)
        Bits of :class:`~jpas_gbm.surveys.quality.QualityBit`.
    """
    bits = catalogue.quality.copy()
    bits[np.isnan(catalogue.imaging_mag)] |= np.uint16(QualityBit.NO_IMAGING)
    bits[catalogue.morphology == 0] |= np.uint16(QualityBit.UNKNOWN_MORPHOLOGY)
    if magnitudes is not None:
        with np.errstate(invalid="ignore"):
            outside = (catalogue.mag < magnitudes[0]) | (catalogue.mag > magnitudes[1])
        bits[outside] |= np.uint16(QualityBit.OUTSIDE_MAGNITUDES)
    of = QualityBit
    for rows, bit in ((unlike, of.LOW_OVERLAP), (blank, of.NO_PHOTOMETRY), (unknown_tile, of.UNKNOWN_TILE)):
        bits[[] if rows is None else rows] |= np.uint16(bit)
    return bits


def open_rows(
    source: Source, bands: BandSystem, trained_for: str | None = None, survey: Survey = None
) -> CatalogueReader:
    """Open a file or a table with the bands that a model needs.

    Parameters
    ----------
    source : path, astropy Table or DataFrame
    bands : BandSystem
        The bands that the model was trained on.
    trained_for : str, optional
        Survey that the model was trained for, where it says so.
    survey : str, optional
        Name of the survey file, where the source does not give itself away.

    Returns
    -------
    CatalogueReader

    Raises
    ------
    CatalogueError
        If the source cannot be understood.
    FeatureMismatch
        If it is of another survey than the model, or lacks bands.
    """
    try:
        reader = CatalogueReader(source, survey)
    except UnknownTable as error:
        raise UnknownTable(f"{error}{f' The model is of {trained_for}.' if trained_for else ''}") from None
    name = reader.schema.of
    if trained_for is not None and name != trained_for:
        raise FeatureMismatch(
            f"{reader.path}: is read as a catalogue of '{name}', the model was trained for '{trained_for}'. Bands, "
            f"depths and photometry differ: refusing to predict. Fit a model on '{name}'; if the file is of "
            f"'{trained_for}' after all, say so with --survey {trained_for}, or in a survey file of your own for its "
            f"columns by the line 'survey: {trained_for}'."
        )
    if set(bands.names) <= set(reader.bands.names):
        return reader
    # The survey file's default may leave out bands that the source has and the model needs.
    try:
        return CatalogueReader(source, survey or reader.schema, bands.name)
    except CatalogueError as error:
        raise FeatureMismatch(
            f"{error} The model was trained on the {len(bands)} bands of '{bands.name}': refusing to predict. Fit a "
            "model on the bands that the catalogue has."
        ) from error


def is_bare(catalogue: Catalogue) -> np.ndarray:
    """Return which rows have neither imaging magnitude nor morphology.

    Parameters
    ----------
    catalogue : Catalogue
        n rows.

    Returns
    -------
    array of bool, shape (n,)
    """
    return np.isnan(catalogue.imaging_mag) & (catalogue.morphology == 0)
