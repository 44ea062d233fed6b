"""Survey files of any format become a Catalogue, labels or imaging.

A catalogue file that is open for reading, at once or in chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CatalogueError
from . import columns as col
from .catalogue import Catalogue
from .classes import LabelScheme, default_scheme
from .columns import Layout, find_layout
from .fluxes import fluxes_in_njy, row_quality
from .labels import ImagingTable, LabelTable, unique_labels
from .quality import QualityCount, QualityReport
from .recognition import open_survey, recognise
from .schema import Kind
from .tables import Block, block_rows, join_blocks, open_table, rebatch

if TYPE_CHECKING:
    import pandas as pd


_Parts = dict[str, Any]


class CatalogueReader:
    """A catalogue file that is open for reading, at once or in chunks.

    Parameters
    ----------
    path : path
        FITS, VOTable, Parquet, CSV or the paper's .npy with its properties CSV.
    survey : str, optional
        Name of a survey file; default: the one whose columns the file has.
    bands : str, optional
        Band system to keep; default: that of the survey file.
    scheme : LabelScheme, optional
        Classes for catalogues that carry spectroscopic labels.
    hdu : int or str, optional
        Extension of a FITS file.

    Attributes
    ----------
    schema : SurveySchema
    layout : Layout
        Where things stand in the file.
    rows : int or None
        Rows of the file, where known before reading.
    quality : QualityReport
        What was counted of the rows that were read so far.

    Raises
    ------
    CatalogueError
        If the file cannot be understood; the message says what is wrong and how to mend it.
    """

    def __init__(
        self,
        path: str | Path,
        survey: str | None = None,
        bands: str | None = None,
        *,
        scheme: LabelScheme | None = None,
        hdu: int | str | None = None,
    ) -> None:
        self.path = Path(path)
        self.table, self.schema = open_survey(self.path, survey, "catalogue", hdu)
        self.layout = find_layout(self.table, self.schema, bands)
        self.rows = self.table.rows
        self.scheme = scheme or default_scheme()
        self.quality = QualityReport()
        assert self.layout.photometry is not None
        self.bands = self.layout.photometry.bands

    def read(self) -> Catalogue:
        """Return all rows."""
        start, parts = 0, []
        self.quality = QualityReport()
        for block in self.table.blocks(self.layout.want):
            parts.append(self._parts(block, start))
            start += block_rows(block)
        self._refuse_empty(start, any(bool(np.isfinite(part["flux"]).any()) for part in parts))
        return self._catalogue(_joined(parts))

    def chunks(self, rows: int) -> Iterator[Catalogue]:
        """Yield the rows in order as catalogues of `rows` rows; the last may be shorter.

        The memory of about one chunk is needed. Row keys are checked to be unique within a chunk.
        """
        if rows < 1:
            raise ValueError(f"a chunk has 1 row or more, not {rows}")
        start, seen = 0, False
        self.quality = QualityReport()
        for block in rebatch(self.table.blocks(self.layout.want), rows):
            parts = self._parts(block, start)
            seen = seen or bool(np.isfinite(parts["flux"]).any())
            yield self._catalogue(parts)
            start += block_rows(block)
        self._refuse_empty(start, seen)

    def _refuse_empty(self, rows: int, seen: bool) -> None:
        if rows == 0:
            raise CatalogueError(f"{self.path}: the table {self.table.place} has no rows. A catalogue needs some.")
        if not seen:
            raise CatalogueError(
                f"{self.path}: none of the {rows:,} rows has a usable flux in any of {len(self.bands)} bands.\n"
                + "\n".join(self.quality.lines())
                + "\nCheck that the right photometry and survey were chosen (--survey)."
            )

    def _parts(self, block: Block, start: int) -> _Parts:
        schema, layout, rows = self.schema, self.layout, block_rows(block)
        assert layout.photometry is not None
        fluxes = fluxes_in_njy(block, layout.photometry, schema.quality, layout.place)
        quality = row_quality(fluxes, schema.quality)
        plain = col.named(block, layout)
        ra, dec = col.position(plain, schema, layout.place)
        mag = col.magnitude(plain, schema.magnitude, rows)
        shapes, counts = col.morphology(plain, schema, rows)
        parts: _Parts = {
            "flux": fluxes.flux,
            "flux_err": fluxes.error,
            "flux_mean": fluxes.mean,
            "ra": ra,
            "dec": dec,
            "mag": mag,
            "imaging_mag": mag if schema.magnitude is not None and schema.magnitude.imaging else None,
            "morphology": shapes,
            "quality": quality,
            "key": col.row_key(plain, layout, start, rows),
            "extra": col.extras(plain, schema),
            "object_id": self._object_id(plain, ra, dec, start, rows),
        }
        if schema.labels is not None and {schema.labels.spectype[0], schema.labels.z[0]} <= plain.keys():
            parts["label"], parts["z"], more = col.labels(plain, schema, self.scheme, layout.place)
            counts += more
        counts = [*fluxes.counts, *counts]
        self.quality = self.quality + QualityReport.of(self.path.name, rows, bands=len(self.bands), counts=counts)
        return parts

    def _object_id(self, plain: Block, ra: np.ndarray, dec: np.ndarray, start: int, rows: int) -> np.ndarray:
        if self.schema.identity == "id":
            name = self.schema.object_id[0]
            return col.integers(plain[name], name, self.layout.place)
        if self.schema.identity == "position":
            return col.sky_cell(ra, dec)
        return np.arange(start, start + rows, dtype=np.int64)

    def _catalogue(self, parts: _Parts) -> Catalogue:
        assert self.layout.photometry is not None
        try:
            return Catalogue(
                bands=self.bands, survey=self.schema.name, photometry=self.layout.photometry.rule.name, **parts
            )
        except CatalogueError as error:
            raise CatalogueError(f"{self.path}: {error}") from error


def _joined(parts: list[_Parts]) -> _Parts:
    """Return parts as one, letting go of each piece: a survey fits in memory once, not twice."""
    if len(parts) == 1:
        return parts[0]
    joined: _Parts = {}
    for name, first in list(parts[0].items()):
        if isinstance(first, dict):
            joined[name] = _joined([part.pop(name) for part in parts])
        else:
            pieces = [part.pop(name) for part in parts]
            joined[name] = None if first is None else np.concatenate(pieces)
    return joined


__all__ = [
    "CatalogueReader",
    "iter_catalogue",
    "read_catalogue",
    "read_imaging",
    "read_labels",
    "read_table",
    "recognise",
]


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
