"""Columns of output tables: name, type, unit, UCD and what they mean; and rows of them as tables of other libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..surveys.audit import QualityBit

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table


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


def to_table(columns: Sequence[Column], rows: np.ndarray, meta: Mapping[str, Any] | None = None) -> Table:
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
    magnitude: bool = True,
    thresholds: bool = True,
    spread: bool = False,
    photoz: bool = False,
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
    magnitude, thresholds, spread, photoz : bool
        Whether MAG, CLASS_THRESHOLDED, SPREAD, PHOTOZ_QSO are there.

    Returns
    -------
    tuple of Column
    """
    part = "meta.id;meta.main" if len(key) == 1 else "meta.id.part"
    columns = [Column(name, "i8", "Names the row of the catalogue.", part) for name in key]
    if object_id is not None and object_id not in key:
        columns.append(Column(object_id, "i8", "Names the object.", "meta.id"))
    columns += [
        Column("RA", "f8", "Right ascension, ICRS.", "pos.eq.ra;meta.main", "deg"),
        Column("DEC", "f8", "Declination, ICRS.", "pos.eq.dec;meta.main", "deg"),
    ]
    if magnitude:
        columns.append(Column("MAG", "f4", "AB magnitude of the imaging survey (r).", "phot.mag;em.opt.R", "mag"))
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
    columns.append(quality_column())
    return tuple(columns)


def quality_column() -> Column:
    """Return the column of quality bits.

    Returns
    -------
    Column
    """
    bits = ", ".join(f"{bit.value} {str(bit.name).lower()}" for bit in QualityBit)
    return Column("QUALITY", "i4", f"Quality bits: {bits}.", "meta.code.qual")


def prediction_cards(provenance: Mapping[str, Any]) -> dict[str, tuple[str | float, str]]:
    """Return the short facts of a prediction file: software, time, and what made the model.

    Parameters
    ----------
    provenance : mapping
        Of the file, with that of the model under ``model``.

    Returns
    -------
    dict of str to (value, comment)
    """
    model = provenance.get("model") or {}
    facts = {
        "ORIGIN": (f"{provenance.get('software', 'jpas-gbm')} {provenance.get('version', '')}".strip(), "software"),
        # FITS knows no time zone: the string ends with the seconds.
        "DATE": ((provenance.get("made") or "")[:19] or None, "when the file was made (UTC)"),
        "REGIME": (model.get("regime"), "how the model was trained"),
        "RULE": (model.get("rule"), "decision chosen on validation"),
        "MODSEED": (model.get("seed"), "seed of the training"),
    }
    return {name: (value, comment) for name, (value, comment) in facts.items() if value is not None}
