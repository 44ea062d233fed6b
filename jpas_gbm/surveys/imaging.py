"""Imaging tables (magnitude and morphology) and the sources that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CatalogueError, FeatureMismatch
from ..store import native
from .bands import BandSystem
from .batches import as_float, is_magnitude
from .catalogue import IMAGING_EXTRA, MORPHOLOGIES, Catalogue
from .columns import Layout
from .positions import SkyIndex
from .schema import OptionalColumn
from .spelling import refuse_unit, says_nothing, stated_unit, unit_of
from .tables import RawTable

RADIUS = 1.0
"""Largest separation in arcsec of a row from its imaging source."""


def checked_column(owner: str, name: str, value: Any, dtype: type, n: int) -> np.ndarray:
    """Return a column of a table as a read-only array of n values, masked entries NaN.

    Parameters
    ----------
    owner, name : str
        The table and the column, for messages.
    value : array_like
        The values.
    dtype : type
        Wanted.
    n : int
        Length wanted.

    Returns
    -------
    array of `dtype`, shape (n,)
        In native byte order.

    Raises
    ------
    CatalogueError
        If it has another length.
    """
    if isinstance(value, np.ma.MaskedArray) and np.issubdtype(dtype, np.floating):
        value = np.ma.filled(value.astype(dtype), np.nan)
    array: np.ndarray = np.ascontiguousarray(native(np.asarray(value)), dtype=dtype)
    if array.shape != (n,):
        raise CatalogueError(f"{owner}: column '{name}' has shape {array.shape}, expected ({n},).")
    array = array.view()
    array.flags.writeable = False
    return array


def check_morphology(owner: str, morphology: np.ndarray) -> None:
    """Refuse codes that stand for no morphological type.

    Parameters
    ----------
    owner : str
        The table, for messages.
    morphology : array of int8, shape (n,)
        Codes.

    Raises
    ------
    CatalogueError
        If there is one.
    """
    if len(morphology) and not (morphology.min() >= 0 and morphology.max() < len(MORPHOLOGIES)):
        raise CatalogueError(f"{owner}: morphology codes must be 0 to {len(MORPHOLOGIES) - 1}.")


@dataclass(frozen=True, eq=False)
class ImagingTable:
    """Magnitude and morphology that an imaging survey gives to any source, labelled or not.

    Parameters
    ----------
    ra, dec : array of float64, shape (n,)
        ICRS degrees.
    mag : array of float32, shape (n,)
        AB magnitude (r); NaN where not measured.
    morphology : array of int8, shape (n,)
        Codes of :data:`~jpas_gbm.surveys.catalogue.MORPHOLOGIES`; 0 is unknown.
    key : mapping of str to array of int64, shape (n,)
        The columns that name a row, such as BRICKID and OBJID.
    more : mapping of str to array of float32, shape (n,)
        Optional bands (AB) and measures (:mod:`~jpas_gbm.surveys.optional`); NaN where not known.

    Raises
    ------
    CatalogueError
        If a column has another length, or a morphology code does not exist.
    """

    ra: np.ndarray
    dec: np.ndarray
    mag: np.ndarray
    morphology: np.ndarray
    key: Mapping[str, np.ndarray] = field(default_factory=dict)
    more: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.ra)
        more = {name: checked_column("imaging table", name, one, np.float32, n) for name, one in self.more.items()}
        object.__setattr__(self, "more", more)
        dtypes: dict[str, type] = {"ra": np.float64, "dec": np.float64, "mag": np.float32, "morphology": np.int8}
        for name, dtype in dtypes.items():
            object.__setattr__(self, name, checked_column("imaging table", name, getattr(self, name), dtype, n))
        key = {name: checked_column("imaging table", name, value, np.int64, n) for name, value in self.key.items()}
        object.__setattr__(self, "key", key)
        check_morphology("imaging table", self.morphology)

    def __len__(self) -> int:
        return len(self.ra)

    def attach(self, catalogue: Catalogue, rows: np.ndarray, matched: np.ndarray) -> Catalogue:
        """Return a catalogue in which some rows have the magnitude and morphology of their imaging source.

        Parameters
        ----------
        catalogue : Catalogue
            m rows.
        rows : array of intp, shape (k,)
            Rows of the catalogue.
        matched : array of intp, shape (k,)
            Their rows here.

        Returns
        -------
        Catalogue
            `mag` keeps its value where the source has no magnitude.
        """
        names = ("mag", "imaging_mag", "morphology")
        mag, imaging_mag, morphology = (np.array(getattr(catalogue, name)) for name in names)
        imaging_mag[rows], morphology[rows] = self.mag[matched], self.morphology[matched]
        mag[rows] = np.where(np.isfinite(self.mag[matched]), self.mag[matched], mag[rows])
        extra = dict(catalogue.extra)
        for name, values in self.more.items():
            column = np.array(extra.get(IMAGING_EXTRA + name, np.full(len(mag), np.nan, dtype=np.float32)))
            column[rows] = values[matched]
            extra[IMAGING_EXTRA + name] = column
        return catalogue.replace(mag=mag, imaging_mag=imaging_mag, morphology=morphology, extra=extra)

    def take(self, rows: np.ndarray) -> ImagingTable:
        """Return the rows of an array of row numbers.

        Parameters
        ----------
        rows : array of int

        Returns
        -------
        ImagingTable
        """
        key, more = ({name: one[rows] for name, one in given.items()} for given in (self.key, self.more))
        return ImagingTable(self.ra[rows], self.dec[rows], self.mag[rows], self.morphology[rows], key, more)

    @staticmethod
    def concat(tables: Sequence[ImagingTable]) -> ImagingTable:
        """Return several tables as one; keys that not all share are dropped.

        Parameters
        ----------
        tables : sequence of ImagingTable
            One or more.

        Returns
        -------
        ImagingTable
            Rows in the order of the tables.
        """
        if len(tables) == 1:
            return tables[0]
        shared = [name for name in tables[0].key if all(name in table.key for table in tables)]
        names = ("ra", "dec", "mag", "morphology")
        columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
        key = {name: np.concatenate([table.key[name] for table in tables]) for name in shared}
        known = dict.fromkeys(name for table in tables for name in table.more)
        lacking = [np.full(len(table), np.nan, dtype=np.float32) for table in tables]
        parts = {n: [t.more.get(n, nan) for t, nan in zip(tables, lacking, strict=True)] for n in known}
        more = {name: np.concatenate(pieces) for name, pieces in parts.items()}
        return ImagingTable(columns["ra"], columns["dec"], columns["mag"], columns["morphology"], key, more)


class ImagingIndex:
    """An imaging table, searched by position: built once, asked for each chunk.

    Each row takes the nearest imaging source within the radius. Unlike the mutual match that makes
    a data set (where overlaps are merged first), rows may share a source: a source seen on two
    overlapping tiles has two rows, and both are given its magnitude. So the answer for a row
    depends on that row alone, and not on the size of the chunks.

    Parameters
    ----------
    table : ImagingTable
        Magnitude and morphology by position.
    radius : float
        In arcsec.
    """

    def __init__(self, table: ImagingTable, radius: float = RADIUS) -> None:
        self.table, self.radius, self.matched = table, radius, 0
        self._index = SkyIndex(table.ra, table.dec)

    def attach(self, catalogue: Catalogue, threads: int = 1) -> Catalogue:
        """Return the catalogue with magnitude and morphology of the matched rows.

        Parameters
        ----------
        catalogue : Catalogue
            Any rows.
        threads : int
            Threads of the search.

        Returns
        -------
        Catalogue
        """
        rows, matched, _ = self._index.nearest(catalogue.ra, catalogue.dec, self.radius, threads=threads)
        self.matched += len(rows)
        return self.table.attach(catalogue, rows, matched)

    def require_matches(self, path: str | Path, rows: int) -> None:
        """Refuse an imaging table that has none of the catalogue's sources.

        Parameters
        ----------
        path : path
            Of the catalogue, for the message.
        rows : int
            Its rows.

        Raises
        ------
        CatalogueError
            If no row was matched.
        """
        if rows and not self.matched:
            raise CatalogueError(
                f"{path}: none of its {rows:,} rows lies within {self.radius:g} arcsec of the "
                f"{len(self._index.rows):,} sources of the imaging table. Check that both cover the same field, or "
                "leave out --legacy."
            )


GROUPS: dict[str, tuple[str, ...]] = {
    "optical": ("G", "Z"),
    "wise": ("W1", "W2", "W3", "W4"),
    "gaia": ("PARALLAX", "PMRA", "PMDEC"),
}
"""Names of optional bands and measures that come, and are forgotten in training, together."""

MADE_OF: dict[str, tuple[str, ...]] = {name: (name,) for group in GROUPS.values() for name in group}
MADE_OF["PM"] = ("PMRA", "PMDEC")
"""Columns of an imaging table that a name of ``features.optional`` stands for."""


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


_BARE = ("mag", "mags", "magnitude", "magnitudes")
"""Units of magnitudes that do not say of which system they are: the survey file does."""


def _ab_magnitude(values: np.ndarray, one: OptionalColumn, layout: Layout, table: RawTable) -> np.ndarray:
    """Return AB magnitudes of fluxes or magnitudes, in the unit that the column states or else the survey file."""
    name = layout.names[one.column[0]]
    unit = unit_of(name, table.columns[name].unit, table.place)
    bare = says_nothing(unit) or str(unit).strip().lower() in _BARE
    stated = None if bare else stated_unit(unit)
    if stated is None and not bare:
        raise refuse_unit(layout.place, name, unit, "where nanomaggies, Jy or AB magnitudes are expected")
    if stated is not None and stated.kind == "f_nu":
        values = values * stated.scale / 10**-19.44
    elif stated is not None and stated.kind != "ab_magnitude":
        raise refuse_unit(layout.place, name, unit, "where nanomaggies, Jy or AB magnitudes are expected")
    elif one.unit == "nanomaggies" and stated is None:
        values = values * 1e-9
    else:
        values = values + (0.0 if stated is not None else one.offset)
        return np.where(is_magnitude(values), values, np.nan)
    values = -2.5 * np.log10(np.where(values > 0, values, np.nan))
    return np.where(is_magnitude(values), values, np.nan)


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


def forget_groups(
    catalogue: Catalogue, share: float, rng: np.random.Generator, groups: Sequence[str] = tuple(GROUPS)
) -> Catalogue:
    """Return a catalogue in which a share of the rows has lost each group of optional bands.

    Parameters
    ----------
    catalogue : Catalogue
        n rows.
    share : float
        From 0 to 1; each group of :data:`GROUPS` is drawn by itself, and lost as a whole.
    rng : numpy.random.Generator
        Not drawn from where there is nothing to lose.
    groups : sequence of str
        Those that may be lost.

    Returns
    -------
    Catalogue
    """
    extra = dict(catalogue.extra)
    for group in groups:
        there = [IMAGING_EXTRA + name for name in GROUPS[group] if IMAGING_EXTRA + name in extra]
        if there and share > 0:
            gone = rng.random(len(catalogue)) < share
            extra |= {name: np.where(gone, np.float32(np.nan), extra[name]) for name in there}
    return catalogue.replace(extra=extra)


def shared_optional(sides: Iterable[Catalogue]) -> tuple[str, ...]:
    """Return the optional bands of optical imaging that most sources with imaging have, on each side.

    Parameters
    ----------
    sides : iterable of Catalogue
        Mocks and sky, say; one without rows is passed over.

    Returns
    -------
    tuple of str
    """
    shared = set(GROUPS["optical"])
    for side in filter(len, sides):
        known, there = np.isfinite(side.imaging_mag), optional_columns(side)
        shared &= {name for name, values in there.items() if np.isfinite(values[known]).sum() > known.sum() / 2}
    return tuple(name for name in GROUPS["optical"] if name in shared)


def known_optional(catalogue: Catalogue, used: Sequence[str]) -> tuple[str, ...]:
    """Return those of some optional bands and measures that any row has; PM is there where PMRA is.

    Parameters
    ----------
    catalogue : Catalogue
    used : sequence of str
        Of ``features.optional``.

    Returns
    -------
    tuple of str
    """
    there = {name for name, values in optional_columns(catalogue).items() if np.isfinite(values).any()}
    return tuple(name for name in used if there.intersection(MADE_OF[name]))


_SAME_PIVOT = 0.03
_MOST_NAMED = 8


def conform(catalogue: Catalogue, bands: BandSystem, has_errors: bool) -> Catalogue:
    """Return the catalogue in the bands needed, found by name.

    Parameters
    ----------
    catalogue : Catalogue
        Of any survey.
    bands : BandSystem
        The bands needed; a pivot may lie up to 3 % away, as another measurement of the same curve does.
    has_errors : bool
        Whether photometric errors are needed.

    Returns
    -------
    Catalogue
        With the bands needed, in their order.

    Raises
    ------
    FeatureMismatch
        If bands are missing or lie elsewhere, or errors are missing.
    """
    missing = [name for name in bands.names if name not in catalogue.bands]
    if missing:
        raise FeatureMismatch(
            f"the features need {len(bands)} bands of '{bands.name}', the catalogue "
            f"({catalogue.survey}, '{catalogue.bands.name}') lacks {len(missing)}: {', '.join(missing[:_MOST_NAMED])}"
            f"{' ...' if len(missing) > _MOST_NAMED else ''}. Use a model that was fitted on that survey's bands."
        )
    for band in bands:
        pivot = catalogue.bands[band.name].pivot
        if abs(pivot / band.pivot - 1) > _SAME_PIVOT:
            raise FeatureMismatch(
                f"band {band.name} lies at {band.pivot:.0f} Å in the model and at {pivot:.0f} Å in the catalogue "
                f"({catalogue.survey}, '{catalogue.bands.name}'): another filter of that name. "
                "Use a model that was fitted on that survey."
            )
    if has_errors and not catalogue.has_errors and bool(catalogue.observed.any()):
        raise FeatureMismatch(
            f"the features need photometric errors, which the catalogue ({catalogue.survey}) does not have. "
            "Read a photometry with errors, or build the recipe with has_errors=False."
        )
    return catalogue.select_bands(bands)


def optional_columns(catalogue: Catalogue) -> dict[str, np.ndarray]:
    """Return the optional bands and measures of a catalogue's imaging, by name, float32 (n,).

    Parameters
    ----------
    catalogue : Catalogue
        n rows.

    Returns
    -------
    dict of str to array
    """
    extra = catalogue.extra.items()
    return {name[len(IMAGING_EXTRA) :]: values for name, values in extra if name.startswith(IMAGING_EXTRA)}
