"""The columns of a prediction file: name, type, unit, UCD and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..surveys.quality import QualityBit


@dataclass(frozen=True)
class Column:
    """One column of an output table.

    Parameters
    ----------
    name : str
        As it is written.
    dtype : str
        NumPy type without byte order: ``i8``, ``i4``, ``f8``, ``f4`` or ``S`` with a length.
    description : str
        One sentence.
    ucd : str
        IVOA Unified Content Descriptor (UCD1+).
    unit : str
        As FITS and VOTable spell it; empty for none.
    """

    name: str
    dtype: str
    description: str
    ucd: str
    unit: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return a form that JSON can hold."""
        return asdict(self)


def record_type(columns: Sequence[Column]) -> np.dtype:
    """Return the structured NumPy type of one row."""
    return np.dtype([(column.name, column.dtype) for column in columns])


def probability_name(name: str) -> str:
    """Return the name of the column with a class's probability: ``P_QSO_HIGH``."""
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
    bits = ", ".join(f"{bit.value} {str(bit.name).lower()}" for bit in QualityBit)
    columns.append(Column("QUALITY", "i4", f"Quality bits: {bits}.", "meta.code.qual"))
    return tuple(columns)
