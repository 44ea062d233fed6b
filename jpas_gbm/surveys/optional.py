"""Optional bands and measures of imaging tables, of which a row may lack any: Legacy g and z, WISE, Gaia."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from .bands import refuse_unit, says_nothing, stated_unit
from .catalogue import IMAGING_EXTRA, Catalogue, optional_columns
from .columns import Layout
from .fluxes import as_float
from .positions import RADIUS, ImagingTable, SkyIndex
from .schema import OptionalColumn
from .tables import RawTable

GROUPS: dict[str, tuple[str, ...]] = {
    "optical": ("G", "Z"),
    "wise": ("W1", "W2", "W3", "W4"),
    "gaia": ("PARALLAX", "PMRA", "PMDEC"),
}
"""Names of optional bands and measures that come, and are forgotten in training, together."""


def optional_values(columns: Mapping[str, np.ndarray], layout: Layout, table: RawTable) -> dict[str, np.ndarray]:
    """Return the optional bands and measures of an imaging table.

    Parameters
    ----------
    columns : mapping of str to array, shape (n,)
        Plain columns, named by the survey file.
    layout : Layout
        Where they stand.
    table : RawTable
        States the units.

    Returns
    -------
    dict of str to array of float32, shape (n,)
        Of bands AB magnitudes, NaN where the flux is not positive; of measures their values over their errors. What
        the table lacks is left out.

    Raises
    ------
    CatalogueError
        If a column states a unit that does not fit.
    """
    found: dict[str, np.ndarray] = {}
    for name, one in layout.schema.optional.items():
        if any(part[0] not in columns for part in one.columns):
            continue
        values = as_float(columns[one.column[0]]).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            if one.unit == "significance":
                values = _significance(values, columns, one)
            else:
                values = _ab_magnitude(values, one, layout, table)
        found[name] = np.where(np.isfinite(values), values, np.nan).astype(np.float32)
    return found


def _significance(values: np.ndarray, columns: Mapping[str, np.ndarray], one: OptionalColumn) -> np.ndarray:
    """Return values over their errors; NaN where there is no error, as of a source that Gaia does not know."""
    spread = as_float(columns[one.columns[1][0]]).astype(np.float64)
    sigma = 1 / np.sqrt(np.where(spread > 0, spread, np.nan)) if one.ivar else np.where(spread > 0, spread, np.nan)
    ratio: np.ndarray = values / sigma
    return ratio


def _ab_magnitude(values: np.ndarray, one: OptionalColumn, layout: Layout, table: RawTable) -> np.ndarray:
    """Return AB magnitudes of fluxes or magnitudes, in the unit that the column states or else the survey file."""
    name = layout.names[one.column[0]]
    unit = table.columns[name].unit
    stated = None if says_nothing(unit) or str(unit).strip().lower() == "mag" else stated_unit(unit)
    if stated is None and not says_nothing(unit) and str(unit).strip().lower() != "mag":
        raise refuse_unit(layout.place, name, unit, "where nanomaggies, Jy or AB magnitudes are expected")
    if stated is not None and stated.kind == "f_nu":
        values = values * stated.scale / 10**-19.44
    elif stated is not None and stated.kind != "ab_magnitude":
        raise refuse_unit(layout.place, name, unit, "where nanomaggies, Jy or AB magnitudes are expected")
    elif one.unit == "nanomaggies" and stated is None:
        values = values * 1e-9
    else:
        offset = 0.0 if stated is not None else one.offset
        return np.where(np.abs(values) < 90, values + offset, np.nan)
    return np.where(values > 0, -2.5 * np.log10(values), np.nan)


def join_imaging(tables: Sequence[ImagingTable], radius: float = RADIUS) -> ImagingTable:
    """Return imaging tables as one: those of magnitudes and shapes one after another, what others add beside them.

    Parameters
    ----------
    tables : sequence of ImagingTable
        A table that has optional bands alone (of WISE, say) completes the sources that it shares with the others, and
        gives its other rows as sources without magnitude and morphology.
    radius : float
        Within which two rows are of one source, arcsec.

    Returns
    -------
    ImagingTable
    """
    bare = [not np.isfinite(table.mag).any() and not table.morphology.any() and bool(table.more) for table in tables]
    whole = [table for table, only in zip(tables, bare, strict=True) if not only]
    if not whole:
        return ImagingTable.concat(tables)
    joined = ImagingTable.concat(whole)
    for table in (table for table, only in zip(tables, bare, strict=True) if only):
        rows, theirs, _ = SkyIndex(table.ra, table.dec).nearest(joined.ra, joined.dec, radius)
        more = {name: np.array(values) for name, values in joined.more.items()}
        for name, values in table.more.items():
            known = more.setdefault(name, np.full(len(joined), np.nan, dtype=np.float32))
            known[rows] = np.where(np.isfinite(known[rows]), known[rows], values[theirs])
        rest = np.setdiff1d(np.arange(len(table)), theirs)
        joined = replace(joined, more=more)
        joined = ImagingTable.concat([joined, table.take(rest)]) if len(rest) else joined
    return joined


def forget_groups(catalogue: Catalogue, share: float, rng: np.random.Generator) -> Catalogue:
    """Return a catalogue in which a share of the rows has lost each group of optional bands.

    Parameters
    ----------
    catalogue : Catalogue
        n rows.
    share : float
        From 0 to 1; each group of :data:`GROUPS` is drawn by itself, and lost as a whole.
    rng : numpy.random.Generator
        Not drawn from where there is nothing to lose.

    Returns
    -------
    Catalogue
    """
    extra = dict(catalogue.extra)
    for names in GROUPS.values():
        there = [IMAGING_EXTRA + name for name in names if IMAGING_EXTRA + name in extra]
        if there and share > 0:
            gone = rng.random(len(catalogue)) < share
            extra |= {name: np.where(gone, np.float32(np.nan), extra[name]) for name in there}
    return catalogue.replace(extra=extra)


def without_optional(catalogue: Catalogue) -> list[Catalogue]:
    """Return a catalogue whose optional bands are forgotten; nothing where it has none.

    Parameters
    ----------
    catalogue : Catalogue

    Returns
    -------
    list of Catalogue
        One, or none.
    """
    return [forget_groups(catalogue, 1.0, np.random.default_rng(0))] if optional_columns(catalogue) else []
