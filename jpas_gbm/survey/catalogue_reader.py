"""A catalogue file that is open for reading, at once or in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CatalogueError
from . import columns as col
from .blocks import Block, block_rows, rebatch
from .catalogue import Catalogue
from .labels import LabelScheme, default_scheme
from .layout import find_layout
from .photometry import fluxes_in_njy, row_quality
from .quality import QualityReport
from .recognition import open_survey

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
