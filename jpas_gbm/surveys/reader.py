"""Survey files of any format, and tables in memory, become a Catalogue, labels or imaging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CatalogueError, ConfigError
from . import conversion as col
from .batches import Block, block_rows, join_blocks, rebatch
from .catalogue import IMAGING_EXTRA, Catalogue
from .columns import Layout, find_layout, refuse_unknown_words
from .fluxes import fluxes_in_njy, row_quality
from .imaging import RADIUS, ImagingIndex, ImagingTable, join_imaging, optional_values
from .labels import LabelTable, blank_columns, targeting_left, unique_labels, without_blank, without_placeholders
from .positions import PLACEHOLDER, ids_from_key, position_groups, unlike_places
from .quality import FileQuality, QualityCount, QualityReport
from .recognition import Source, as_list, open_survey, own_survey, require_named
from .schema import Kind, OwnColumns, Survey, all_schemas, load_schema, with_columns
from .scheme import LabelScheme
from .tables import RawTable, Want

_Parts = dict[str, Any]


class CatalogueReader:
    """A catalogue that is open for reading, at once or in chunks.

    Parameters
    ----------
    source : path, astropy Table or pandas DataFrame
        A file is FITS, VOTable, Parquet, CSV or the paper's .npy with its properties CSV.
    survey : str or SurveySchema, optional
        Name of a survey file; default: the one whose columns the file has.
    bands : str, optional
        Band system to keep; default: that of the survey file.
    scheme : LabelScheme, optional
        Classes for catalogues that carry spectroscopic labels.
    hdu : int or str, optional
        Extension of a FITS file.

    Attributes
    ----------
    table : RawTable
    schema : SurveySchema
    layout : Layout
        Where things stand in the file.
    rows : int or None
        Rows of the file, where known before reading.
    keep : mapping of str to Want
        Further columns of the file, by its names, that the catalogues carry in `extra`, named by
        :func:`~jpas_gbm.surveys.conversion.kept_name`.
    counted : QualityReport
        What was counted of the rows that were read so far.
    seen : bool
        Whether any of these has a usable flux.

    Raises
    ------
    CatalogueError
        If the file cannot be understood; the message says what is wrong and how to mend it.
    """

    def __init__(
        self,
        source: Source,
        survey: Survey = None,
        bands: str | None = None,
        *,
        scheme: LabelScheme | None = None,
        hdu: int | str | None = None,
    ) -> None:
        self.table, self.schema = open_survey(source, survey, "catalogue", hdu)
        self.path, self.rows = self.table.path, self.table.rows
        self.layout = find_layout(self.table, self.schema, bands)
        self._blank = cache(partial(blank_columns, self.table, self.layout))
        self.scheme = scheme or LabelScheme()
        self.keep: Mapping[str, Want] = {}
        self.counted, self.seen = QualityReport(), False
        assert self.layout.photometry is not None
        self.photometry = self.layout.photometry
        self.bands = self.photometry.bands

    @property
    def quality(self) -> QualityReport:
        """What was counted of the rows that were read so far, and what is to be known of the file."""
        return _counted(self.table, 0, (), self.layout) + self.counted

    def read(self) -> Catalogue:
        """Return all rows.

        Returns
        -------
        Catalogue

        Raises
        ------
        CatalogueError
            If the table is damaged, or none of its rows has a usable flux.
        """
        start, parts = 0, []
        self.counted, self.seen = QualityReport(), False
        for block in self.table.read({**self.keep, **self.layout.want}):
            parts.append(self._parts(block, start))
            start += block_rows(block)
        self.refuse_empty(start)
        return self._catalogue(_joined(parts))

    def chunks(self, rows: int, first: int = 0, last: int | None = None) -> Iterator[Catalogue]:
        """Yield the rows in order as catalogues of `rows` rows; the last may be shorter.

        The memory of about one chunk is needed. Row keys are checked to be unique within a chunk. VOTables,
        which must be held whole, are read up to 2 GiB.

        Parameters
        ----------
        rows : int
            1 or more.
        first, last : int, optional
            The first row, and the one behind the last, of a part of the table, in which nothing is refused for what
            all of it lacks; what was counted before stays.

        Yields
        ------
        Catalogue

        Raises
        ------
        CatalogueError
            If the table is damaged, or none of its rows has a usable flux.
        """
        if rows < 1:
            raise ValueError(f"a chunk has 1 row or more, not {rows}")
        whole, start = first == 0 and last is None, first
        if whole:
            self.counted, self.seen = QualityReport(), False
        want = {**self.keep, **self.layout.want}
        for block in rebatch(self.table.read(want, first), rows) if last is None or last > first else ():
            if last is not None and start + block_rows(block) > last:
                block = {name: values[: last - start] for name, values in block.items()}
            yield self._catalogue(self._parts(block, start))
            start += block_rows(block)
            if start == last:
                break
        if whole:
            self.refuse_empty(start)

    def refuse_empty(self, rows: int) -> None:
        """Refuse a table of which nothing that was read can be used.

        Parameters
        ----------
        rows : int
            Rows that were read.

        Raises
        ------
        CatalogueError
            Saying what was found instead.
        """
        if rows == 0:
            raise CatalogueError(f"{self.path}: the table {self.table.place} has no rows. A catalogue needs some.")
        if not self.seen:
            raise CatalogueError(
                f"{self.path}: none of the {rows:,} rows has a usable flux in any of {len(self.bands)} bands.\n"
                + "\n".join(self.quality.lines())
                + "\nCheck that the right photometry and survey were chosen (--survey)."
            )
        refuse_unknown_words(self.layout)

    def _parts(self, block: Block, start: int) -> _Parts:
        schema, layout, rows = self.schema, self.layout, block_rows(block)
        fluxes = fluxes_in_njy(block, self.photometry, schema.quality, layout.place, not self.seen)
        quality = row_quality(fluxes, schema.quality)
        plain = col.named(block, layout)
        ra, dec, counts = col.position(plain, layout)
        mag = col.magnitude(plain, layout, rows)
        shapes, more = col.morphology(plain, layout, rows)
        counts += more
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
            "extra": {
                **col.extras(plain, schema),
                **{IMAGING_EXTRA + name: of for name, of in optional_values(plain, layout, self.table).items()},
                **{col.kept_name(name): col.kept(block[name]) for name in self.keep},
            },
            "object_id": self._object_id(plain, ra, dec, start, rows),
        }
        if schema.labels is not None and {schema.labels.spectype[0], schema.labels.z[0]} <= plain.keys():
            plain, layout = without_blank(plain, layout, self._blank)
            parts["label"], parts["z"], more = col.labels(plain, layout, self.scheme)
            counts += more
        self.seen = self.seen or bool(np.isfinite(fluxes.flux).any())
        left = [f"{n}: several values a row, left out" for n in schema.extra if n in plain and plain[n].ndim > 1]
        counts, notes = [*fluxes.counts, *counts], (*layout.unchecked, *fluxes.notes, *left)
        self.counted += QualityReport.of(self.path.name, rows, bands=len(self.bands), counts=counts, notes=notes)
        return parts

    def _object_id(self, plain: Block, ra: np.ndarray, dec: np.ndarray, start: int, rows: int) -> np.ndarray:
        if self.schema.identity == "id":
            name = self.schema.object_id[0]
            return col.integers(plain[name], name, self.layout.place)
        if self.schema.identity == "position":
            return col.sky_cell(ra, dec)
        return np.arange(start, start + rows, dtype=np.int64)

    def _catalogue(self, parts: _Parts) -> Catalogue:
        try:
            return Catalogue(bands=self.bands, survey=self.schema.of, photometry=self.photometry.rule.name, **parts)
        except CatalogueError as error:
            raise CatalogueError(f"{self.path}: {error}") from error


def _joined(parts: list[_Parts]) -> _Parts:
    """Return parts as one, letting go of each piece: a survey fits in memory once, not twice."""
    if len(parts) == 1:
        return parts[0]
    joined: _Parts = {}
    for name, first in list(parts[0].items()):
        pieces = [part.pop(name) for part in parts]
        joined[name] = _joined(pieces) if isinstance(first, dict) else None if first is None else np.concatenate(pieces)
    return joined


def read(
    path: Source,
    *,
    survey: Survey = None,
    columns: OwnColumns | None = None,
    bands: str | None = None,
    legacy: Source | Sequence[Source] | None = None,
) -> Catalogue:
    """Read a catalogue whole.

    Parameters
    ----------
    path : path, astropy Table or pandas DataFrame
        A file may be FITS, VOTable, Parquet, CSV or the paper's .npy with its properties CSV.
    survey, columns, bands : str, mapping of str to str, str, optional
        Survey file, default: the one whose columns the file has; own columns, by role; band system to keep.
    legacy : path or sequence of paths, optional
        Tractor tables of the Legacy Surveys: magnitude and morphology of the nearest source within 1 arcsec.

    Returns
    -------
    Catalogue
        All rows in the order of the file, fluxes in nJy.

    Raises
    ------
    CatalogueError
        If a file cannot be understood, or none of the rows is in the imaging tables.
    """
    catalogue = CatalogueReader(path, own_survey(path, survey, columns), bands).read()
    if legacy is None or not (tables := as_list(legacy)):
        return catalogue
    catalogue = (imaging := index_imaging(tables)).attach(catalogue)
    imaging.require_matches(path if isinstance(path, str | Path) else "the table", len(catalogue))
    return catalogue


def catalogue_of(
    table: Source,
    survey: Survey = None,
    bands: str | Mapping[str, str | tuple[str, str]] | None = None,
    columns: OwnColumns | None = None,
    photometry: str | None = None,
) -> Catalogue:
    """Return a table in memory as a catalogue; see :meth:`Catalogue.from_table` for the parameters.

    Parameters
    ----------
    table : path, astropy Table, pandas DataFrame or RawTable
        The rows.
    survey : str, optional
        Name of a survey file, or the path of one; default: told by the columns.
    bands : str or mapping, optional
        Band system to keep, or the columns of each band.
    columns : mapping, optional
        Columns of one's own by role (:func:`with_columns`).
    photometry : str, optional
        Which measurement of the survey the fluxes are.

    Returns
    -------
    Catalogue
        All rows.

    Raises
    ------
    CatalogueError
        If the table cannot be understood, or lacks a column that was named.
    ConfigError
        If columns of one's own are given without the survey that says what they hold, or a role is unknown.
    """
    columns = dict(columns or {})
    if isinstance(bands, Mapping):
        pairs = {band: (of, None) if isinstance(of, str) else of for band, of in bands.items()}
        columns["flux"] = {band: flux for band, (flux, _) in pairs.items()}
        errors = {band: error for band, (_, error) in pairs.items() if error is not None}
        if errors:
            columns["error"] = errors
        bands = None
    if not columns and photometry is None:
        return CatalogueReader(table, survey, bands).read()
    if survey is None:
        known = [schema.name for schema in all_schemas() if schema.kind == "catalogue"]
        raise ConfigError(
            "columns of one's own need the survey whose bands, units and missing values they have: give survey=..., "
            f"one of {', '.join(known)} or the path of a survey file."
        )
    schema = load_schema(survey)
    opened = require_named(table, columns, schema)
    return CatalogueReader(opened, with_columns(schema, columns, photometry), bands).read()


def read_catalogue(
    source: Source, survey: Survey = None, bands: str | None = None, *, hdu: int | str | None = None
) -> tuple[Catalogue, QualityReport]:
    """Read a whole catalogue, and count what its survey file's rules did.

    Parameters
    ----------
    source, survey, bands
        As for :func:`read`.
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
    reader = CatalogueReader(source, survey, bands, hdu=hdu)
    return reader.read(), reader.quality


def _counted(table: RawTable, rows: int, counts: Sequence[QualityCount], layout: Layout) -> QualityReport:
    """Return what was counted in a table, with what is to be known of its file and columns."""
    notes, section = (*table.notes, *layout.unchecked), layout.schema.magnitude
    column = "" if section is None else layout.names.get(section.column[0], "")
    named = (section.name or f"magnitude {column}") if section and column else ""
    found = FileQuality(rows, 0, {one.rule: one for one in counts}, notes, table.simulated, named)
    return QualityReport({table.path.name: found})


def _read_columns(
    source: Source, survey: Survey, kind: Kind, hdu: int | str | None
) -> tuple[RawTable, Layout, Block, int]:
    """Read the plain columns of a table that a survey file speaks of, under its names."""
    table, schema = open_survey(source, survey, kind, hdu)
    layout = find_layout(table, schema)
    blocks = list(table.read(layout.want))
    if not blocks:
        raise CatalogueError(f"{table.path}: the table {table.place} has no rows.")
    block = join_blocks(blocks)
    return table, layout, col.named(block, layout), block_rows(block)


def read_labels(
    source: Source, survey: Survey = None, scheme: LabelScheme | None = None, *, hdu: int | str | None = None
) -> tuple[LabelTable, QualityReport]:
    """Read a spectroscopic catalogue as labels.

    Parameters
    ----------
    source : path, astropy Table or pandas DataFrame
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
    file, layout, plain, rows = _read_columns(source, survey, "labels", hdu)
    plain, layout = without_blank(plain, layout)
    label, z, counts = col.labels(plain, layout, scheme or LabelScheme())
    ra, dec, more = col.position(plain, layout)
    shapes, others = col.morphology(plain, layout, rows)
    refuse_unknown_words(layout)
    if layout.schema.identity == "position":
        # No table's own ids: negative, so that they are nobody's TARGETID.
        ids = ids_from_key({"PLACE": col.sky_cell(ra, dec)})[position_groups(ra, dec, RADIUS)]
    else:
        ids = col.integers(plain[name := layout.schema.object_id[0]], name, layout.place)
    mag = col.magnitude(plain, layout, rows)
    values = {"object_id": ids, "ra": ra, "dec": dec, "label": label, "z": z, "mag": mag, "morphology": shapes}
    trusted = label >= 0
    table, repeats = unique_labels({name: value[trusted] for name, value in values.items()}, ids)
    table, crowded = without_placeholders(table)
    sentences = {
        "repeated": "a further row of an object that is there already",
        "contradictory": "an object whose rows disagree on its class",
    }
    counts += [*more, *others, crowded, *targeting_left(file.columns, rows)]
    counts += [QualityCount(f"label_{name}", sentences[name], number, "rows") for name, number in repeats.items()]
    quality = _counted(file, rows, counts, layout)
    if len(table) == 0:
        raise CatalogueError(
            f"{file.path}: none of the {rows:,} rows gives a label to trust.\n" + "\n".join(quality.lines())
        )
    return table, quality


def read_imaging(
    source: Source, survey: Survey = None, *, hdu: int | str | None = None
) -> tuple[ImagingTable, QualityReport]:
    """Read an imaging catalogue: magnitude and morphology of any source.

    Parameters
    ----------
    source : path, astropy Table or pandas DataFrame
        Such as a Tractor table of the Legacy Surveys.
    survey : str, optional
        Name of a survey file of kind imaging; default: recognised.
    hdu : int or str, optional
        Extension of a FITS file.

    Returns
    -------
    imaging : ImagingTable
    quality : QualityReport
        How many rows have no magnitude or no known morphology.

    Raises
    ------
    CatalogueError
        If the file cannot be understood.
    """
    file, layout, plain, rows = _read_columns(source, survey, "imaging", hdu)
    is_source, counts = col.source_rows(plain, layout, rows)
    if not is_source.any():
        raise CatalogueError(
            f"{file.path}: none of its {rows:,} rows is a source.\n"
            + "\n".join(QualityReport.of(file.path.name, rows, counts=counts).lines())
        )
    key = {name: values[is_source] for name, values in col.row_key(plain, layout, 0, rows).items()}
    plain = {name: values[is_source] for name, values in plain.items()}
    ra, dec, more = col.position(plain, layout)
    mag = col.magnitude(plain, layout, len(ra))
    shapes, others = col.morphology(plain, layout, len(ra))
    refuse_unknown_words(layout)
    dark = int(np.isnan(mag).sum()) if layout.schema.magnitude else 0
    crowd = unlike_places(ra, dec, lambda rows: mag[rows])
    ra[crowd] = dec[crowd] = np.nan
    unseen = QualityCount("no_magnitude", "without a positive flux, so without a magnitude", dark, "rows")
    counts += [*more, *others, unseen, QualityCount("crowded", PLACEHOLDER, len(crowd), "rows")]
    optional = optional_values(plain, layout, file)
    return ImagingTable(ra, dec, mag, shapes, key, optional), _counted(file, rows, counts, layout)


def index_imaging(sources: Source | Sequence[Source], radius: float = RADIUS) -> ImagingIndex:
    """Read imaging tables and index them by position.

    Parameters
    ----------
    sources : path or sequence of paths
        Tractor tables, or others of kind imaging.
    radius : float
        Largest separation of a row from its source, arcsec.

    Returns
    -------
    ImagingIndex
    """
    return ImagingIndex(join_imaging([read_imaging(source)[0] for source in as_list(sources)]), radius)
