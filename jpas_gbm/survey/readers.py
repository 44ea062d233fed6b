"""Survey files of any format become a Catalogue, labels or imaging."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CatalogueError
from . import columns as col
from .blocks import block_rows, join_blocks
from .catalogue import Catalogue
from .catalogue_reader import CatalogueReader
from .labels import ImagingTable, LabelScheme, LabelTable, default_scheme, unique_labels
from .layout import Layout, find_layout
from .quality import QualityCount, QualityReport
from .recognition import open_survey, recognise
from .schema import Kind
from .tables import open_table

__all__ = [
    "CatalogueReader",
    "iter_catalogue",
    "read_catalogue",
    "read_imaging",
    "read_labels",
    "read_table",
    "recognise",
]

if TYPE_CHECKING:
    import pandas as pd


def read_catalogue(
    path: str | Path, survey: str | None = None, bands: str | None = None, *, hdu: int | str | None = None
) -> tuple[Catalogue, QualityReport]:
    """Read a whole catalogue.

    Parameters
    ----------
    path : path
        FITS, VOTable, Parquet, CSV or the paper's .npy with its properties CSV.
    survey : str, optional
        Name of a survey file, or path to one; default: the one whose columns the file has.
    bands : str, optional
        Band system to keep; default: that of the survey file.
    hdu : int or str, optional
        Extension of a FITS file; default: the one that the survey file prefers, else the first table.

    Returns
    -------
    catalogue : Catalogue
        All rows in the order of the file, fluxes in nJy.
    quality : QualityReport
        How often each rule of the survey file applied.

    Raises
    ------
    CatalogueError
        If the file cannot be understood; the message says what is wrong and how to mend it.
    """
    reader = CatalogueReader(path, survey, bands, hdu=hdu)
    return reader.read(), reader.quality


def iter_catalogue(
    path: str | Path,
    chunk_rows: int,
    survey: str | None = None,
    bands: str | None = None,
    *,
    hdu: int | str | None = None,
) -> Iterator[Catalogue]:
    """Read a catalogue of any length in chunks, in order, in the memory of about one chunk.

    The chunks together are what :func:`read_catalogue` returns. VOTables, which must be held whole,
    are read up to 2 GiB. Use :class:`CatalogueReader` to have the quality report as well.

    Parameters
    ----------
    path, survey, bands, hdu
        As for :func:`read_catalogue`.
    chunk_rows : int
        Rows of a chunk; the last may be shorter.
    """
    return CatalogueReader(path, survey, bands, hdu=hdu).chunks(chunk_rows)


def _read_columns(
    path: str | Path, survey: str | None, kind: Kind, hdu: int | str | None
) -> tuple[Layout, dict[str, np.ndarray], int]:
    table, schema = open_survey(path, survey, kind, hdu)
    layout = find_layout(table, schema)
    blocks = list(table.blocks(layout.want))
    if not blocks:
        raise CatalogueError(f"{path}: the table {table.place} has no rows.")
    block = join_blocks(blocks)
    return layout, col.named(block, layout), block_rows(block)


def read_labels(
    path: str | Path,
    survey: str | None = None,
    scheme: LabelScheme | None = None,
    *,
    hdu: int | str | None = None,
) -> tuple[LabelTable, QualityReport]:
    """Read a spectroscopic catalogue as labels.

    Parameters
    ----------
    path : path
        Such as a DESI redshift catalogue.
    survey : str, optional
        Name of a survey file of kind labels; default: recognised.
    scheme : LabelScheme, optional
        The classes; default: the paper's four.
    hdu : int or str, optional
        Extension of a FITS file.

    Returns
    -------
    labels : LabelTable
        Objects whose row meets all label rules of the survey file, and the ids of all others.
    quality : QualityReport
        How many rows each rule rejected.

    Raises
    ------
    CatalogueError
        If the file cannot be understood, or holds no trusted label.
    """
    layout, plain, rows = _read_columns(path, survey, "labels", hdu)
    schema, place = layout.schema, layout.place
    label, z, counts = col.labels(plain, schema, scheme or default_scheme(), place)
    ra, dec = col.position(plain, schema, place)
    shapes, more = col.morphology(plain, schema, rows)
    ids = col.integers(plain[schema.object_id[0]], schema.object_id[0], place)
    mag = col.magnitude(plain, schema.magnitude, rows)
    values = {"object_id": ids, "ra": ra, "dec": dec, "label": label, "z": z, "mag": mag, "morphology": shapes}
    trusted = label >= 0
    table, repeats = unique_labels({name: value[trusted] for name, value in values.items()}, ids)
    sentences = {
        "repeated": "a further row of an object that is there already",
        "contradictory": "an object whose rows disagree on its class",
    }
    counts += more
    counts += [QualityCount(f"label_{name}", sentences[name], number, "rows") for name, number in repeats.items()]
    quality = QualityReport.of(Path(path).name, rows, counts=counts)
    if len(table) == 0:
        raise CatalogueError(
            f"{path}: none of the {rows:,} rows gives a label to trust.\n" + "\n".join(quality.lines())
        )
    return table, quality


def read_imaging(
    path: str | Path, survey: str | None = None, *, hdu: int | str | None = None
) -> tuple[ImagingTable, QualityReport]:
    """Read an imaging catalogue: magnitude and morphology of any source.

    Parameters
    ----------
    path : path
        Such as a Tractor table of the Legacy Surveys.
    survey : str, optional
        Name of a survey file of kind imaging; default: recognised.
    hdu : int or str, optional
        Extension of a FITS file.

    Raises
    ------
    CatalogueError
        If the file cannot be understood.
    """
    layout, plain, rows = _read_columns(path, survey, "imaging", hdu)
    schema = layout.schema
    ra, dec = col.position(plain, schema, layout.place)
    mag = col.magnitude(plain, schema.magnitude, rows)
    shapes, counts = col.morphology(plain, schema, rows)
    dark = int(np.isnan(mag).sum())
    counts.append(QualityCount("no_magnitude", "without a positive flux, so without a magnitude", dark, "rows"))
    table = ImagingTable(ra, dec, mag, shapes, col.row_key(plain, layout, 0, rows))
    return table, QualityReport.of(Path(path).name, rows, counts=counts)


def read_table(path: str | Path, columns: Sequence[str] | None = None, hdu: int | str | None = None) -> pd.DataFrame:
    """Read plain columns of any table as a pandas DataFrame, ids as integers.

    Parameters
    ----------
    path : path
        Any format that is read here.
    columns : sequence of str, optional
        Names, in any case and without prefix; default: all plain columns. They keep the names
        asked for.
    hdu : int or str, optional
        Extension of a FITS file.

    Raises
    ------
    CatalogueError
        If a column is missing; the nearest is named.
    """
    import pandas as pd

    from .tables import ColumnNames

    table = open_table(path, hdu)
    names = ColumnNames(tuple(table.columns), table.place)
    plain = [name for name, column in table.columns.items() if column.width is None]
    found = {name: names.find((name,)) for name in (plain if columns is None else columns)}
    for name, theirs in found.items():
        if theirs is None:
            raise CatalogueError(
                f"{table.place}: has no column '{name}'.{names.nearest(name)} It has: {', '.join(plain)}."
            )
    theirs_of = {name: str(theirs) for name, theirs in found.items()}
    blocks = list(table.blocks({t: "int" if table.columns[t].kind == "int" else "any" for t in theirs_of.values()}))
    if not blocks:
        return pd.DataFrame({name: [] for name in theirs_of})
    block = join_blocks(blocks)
    values = {name: block[theirs] for name, theirs in theirs_of.items()}
    return pd.DataFrame(
        {name: col.as_float(v) if isinstance(v, np.ma.MaskedArray) else v for name, v in values.items()}
    )
