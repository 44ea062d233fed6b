"""Finding the fluxes, errors and flags of each band among the columns of a file.

Where the fluxes, errors and flags of each band stand in one file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import CatalogueError, did_you_mean
from .bands import BandSystem, band_system, band_system_names
from .schema import BandsSection, FlagRule, Photometry, SurveySchema, all_schemas
from .tables import ARRAY, Block, ColumnNames, RawTable, Want


@dataclass(frozen=True)
class BandColumns:
    """The columns of one quantity over the bands kept.

    Parameters
    ----------
    columns : tuple of str
        One array column, one plain column that holds for all bands, or a column for each band.
    positions : tuple of int
        Places in the array of the bands kept; empty where there is no array.
    """

    columns: tuple[str, ...]
    positions: tuple[int, ...] = ()

    def take(self, block: Block, place: str) -> np.ndarray:
        """Return the values of the bands kept, shape (n, b), or (n, 1) where one holds for all."""
        if not self.positions:
            return (
                np.ma.stack([block[name] for name in self.columns], axis=1)
                if _masked(self, block)
                else np.stack([block[name] for name in self.columns], axis=1)
            )
        values = block[self.columns[0]]
        if values.ndim != 2 or values.shape[1] <= max(self.positions):
            raise CatalogueError(
                f"{place}[{self.columns[0]}]: has rows of {values.shape[-1] if values.ndim > 1 else 1} values, "
                f"{max(self.positions) + 1} are needed. The table changes its shape on the way: write it again."
            )
        if self.positions == tuple(range(values.shape[1])):
            return values
        if isinstance(values, np.ma.MaskedArray):
            return values[:, list(self.positions)]
        return np.take(values, self.positions, axis=1)


def _masked(columns: BandColumns, block: Block) -> bool:
    return any(isinstance(block[name], np.ma.MaskedArray) for name in columns.columns)


@dataclass(frozen=True)
class BandLayout:
    """Where the bands kept stand in a catalogue file.

    Parameters
    ----------
    bands : BandSystem
        The bands kept, in the order of the system asked for.
    rule : Photometry
        The measurement that is read.
    flux : BandColumns
    error : BandColumns, optional
    flags : tuple of (FlagRule, BandColumns)
    unit : str, optional
        Unit of the fluxes as the file states it.
    found : tuple of str
        All bands of the file, in its order.
    ordered_by : str
        What the order of the bands was read from, for people.
    """

    bands: BandSystem
    rule: Photometry
    flux: BandColumns
    error: BandColumns | None = None
    flags: tuple[tuple[FlagRule, BandColumns], ...] = ()
    unit: str | None = None
    found: tuple[str, ...] = field(default=(), repr=False)
    ordered_by: str = ""

    @property
    def want(self) -> dict[str, Want]:
        """The columns to read, and as what."""
        want: dict[str, Want] = dict.fromkeys(self.flux.columns, "float")
        want |= dict.fromkeys(self.error.columns if self.error else (), "float")
        for _, columns in self.flags:
            want |= dict.fromkeys(columns.columns, "int")
        return want


_PER_BAND = ("{column}_{band}", "{band}_{column}", "{column}[{band}]", "{column}[jpas::{band}]")


@dataclass(frozen=True)
class _Found:
    """The bands that a column, or one column each, gives: in order, with where each stands."""

    columns: Mapping[str, str]
    array: bool
    ordered_by: str

    def keep(self, bands: BandSystem) -> BandColumns:
        if not self.array:
            return BandColumns(tuple(self.columns[name] for name in bands.names))
        order = list(self.columns)
        return BandColumns((next(iter(self.columns.values())),), tuple(order.index(name) for name in bands.names))


def lacking_photometry(table: RawTable, schema: SurveySchema) -> list[str]:
    """Return the flux or error column that a table lacks to be a catalogue of a survey."""
    names = ColumnNames(tuple(table.columns), table.place)
    for rule in schema.photometry:
        if _has(table, names, schema, rule.planes, rule.flux):
            others = [r for r in schema.photometry if _has(table, names, schema, r.planes, r.flux)]
            if any(r.error is None or _has(table, names, schema, (), r.error) for r in others):
                return []
            return [rule.error or ""]
    first = schema.photometry[0]
    if first.flux is None:
        return [f"{ARRAY} (a .npy array with {len(first.planes)} planes)"]
    example = band_system(_section(schema).system).names[0]
    return [f"{first.flux.replace('{band}', example)} and the like" if "{band}" in first.flux else first.flux]


def _has(
    table: RawTable, names: ColumnNames, schema: SurveySchema, planes: tuple[str, ...], column: str | None
) -> bool:
    if planes:
        return getattr(table, "planes", None) == len(planes)
    if column is None:
        return False
    if "{band}" not in column and names.find((column,)) is not None:
        return True
    section = _section(schema)
    # A single column R is no photometry: most of the bands must be there.
    return 2 * len(_per_band(table, names, section, column)) > len(band_system(section.default or section.system))


def _section(schema: SurveySchema) -> BandsSection:
    assert schema.bands is not None
    return schema.bands


def _per_band(table: RawTable, names: ColumnNames, section: BandsSection, column: str) -> dict[str, str]:
    """Return the columns of a quantity that has one column per band, by band."""
    patterns = (column,) if "{band}" in column else tuple(p.replace("{column}", column) for p in _PER_BAND)
    spelt = {name: name for name in band_system(section.system).names}
    spelt |= {alias: name for alias, name in section.aliases.items() if name in spelt}
    for pattern in patterns:
        found = {}
        for spelling, name in spelt.items():
            theirs = names.find((pattern.replace("{band}", spelling),))
            if theirs is not None and table.columns[theirs].width is None:
                found[name] = theirs
        if found:
            return found
    return {}


def _cards(table: RawTable, section: BandsSection) -> tuple[str, ...]:
    """Return the bands that cards BAND0, BAND1, ... name, in their order."""
    numbered = {int(m.group(1)): v for k, v in table.cards.items() if (m := re.fullmatch(r"BAND_?(\d+)", k))}
    return tuple(section.aliases.get(numbered[i], numbered[i]) for i in sorted(numbered))


def _array_order(table: RawTable, schema: SurveySchema, column: str, width: int) -> tuple[tuple[str, ...], str]:
    section = _section(schema)
    cards = _cards(table, section)
    if cards and len(cards) != width:
        raise CatalogueError(
            f"{table.place}[{column}] has {width} values per row, but the cards BAND0, BAND1, ... name {len(cards)} "
            "bands. Mend the cards, or remove them all to trust the order of the release."
        )
    if cards:
        twice = sorted({name for name in cards if cards.count(name) > 1})
        if twice:
            raise CatalogueError(f"{table.place}: the cards BAND0, BAND1, ... name {', '.join(twice)} more than once.")
        return cards, "cards BAND0, BAND1, ..."
    system = band_system(section.system)
    if width != len(system):
        raise CatalogueError(
            f"{table.place}[{column}] has {width} values per row, band system '{system.name}' has {len(system)}."
            f"{_looks_like(width, schema)}"
        )
    return system.names, f"the order of '{system.name}' (no card names it)"


def _looks_like(width: int, schema: SurveySchema) -> str:
    for other in all_schemas():
        if other.bands is not None and len(band_system(other.bands.system)) == width and other.name != schema.name:
            return f" It looks like '{other.bands.system}' ({width}): use --survey {other.name}."
    return (
        " Name the bands by cards BAND0, BAND1, ... in the header, or give one column per band such as "
        f"{schema.photometry[0].flux or 'FLUX'}_J0660."
    )


def _find(table: RawTable, schema: SurveySchema, column: str) -> _Found:
    names = ColumnNames(tuple(table.columns), table.place)
    whole = None if "{band}" in column else names.find((column,))
    if whole is None:
        return _Found(_per_band(table, names, _section(schema), column), False, "column names")
    width = _width(table, whole)
    order, by = _array_order(table, schema, whole, width)
    return _Found(dict.fromkeys(order, whole), True, by)


def _width(table: RawTable, column: str) -> int:
    width = table.columns[column].width
    if width == 0:
        # Lists of undeclared length: the first block tells.
        first = next(iter(table.blocks({column: "float"})), {})
        width = first[column].shape[1] if column in first and first[column].ndim == 2 else 0
    if width is None:
        raise CatalogueError(
            f"{table.place}[{column}] holds one number per row, an array with one value a band is needed."
        )
    return width


def find_bands(table: RawTable, schema: SurveySchema, bands: str | None = None) -> BandLayout:
    """Find the fluxes, errors and flags of the bands to keep.

    Parameters
    ----------
    table : RawTable
        Must have the photometry (see :func:`lacking_photometry`).
    schema : SurveySchema
        Of a survey of kind catalogue.
    bands : str, optional
        Band system to keep; default: that of the survey file.

    Raises
    ------
    CatalogueError
        If bands are missing, arrays have another width, or cards contradict them.
    """
    names = ColumnNames(tuple(table.columns), table.place)
    rules = [rule for rule in schema.photometry if _has(table, names, schema, rule.planes, rule.flux)]
    rule = next(rule for rule in rules if rule.error is None or _has(table, names, schema, (), rule.error))
    section = _section(schema)
    wanted = band_system(bands or section.default or section.system)
    if rule.planes:
        order, by = _array_order(table, schema, ARRAY, getattr(table, "bands", 0))
        found = _Found(dict.fromkeys(order, ARRAY), True, by)
    else:
        found = _find(table, schema, rule.flux or "")
    _check_bands(table, found, wanted)
    layout = BandLayout(
        _with_pivots(wanted, section, table),
        rule,
        found.keep(wanted),
        unit=table.columns[next(iter(found.columns.values()))].unit,
        found=tuple(found.columns),
        ordered_by=found.ordered_by,
    )
    if rule.error is not None:
        errors = _find(table, schema, rule.error)
        _check_bands(table, errors, wanted, f" in {rule.error}")
        layout = replace(layout, error=errors.keep(wanted))
    return replace(layout, flags=_find_flags(table, schema, wanted))


def _find_flags(table: RawTable, schema: SurveySchema, wanted: BandSystem) -> tuple[tuple[FlagRule, BandColumns], ...]:
    names = ColumnNames(tuple(table.columns), table.place)
    flags = []
    for rule in schema.quality.flags:
        whole = names.find(rule.column)
        if whole is not None and table.columns[whole].width is None:
            flags.append((rule, BandColumns((whole,))))
            continue
        found = _find(table, schema, rule.column[0])
        if found.columns:
            _check_bands(table, found, wanted, f" in {rule.column[0]}")
            flags.append((rule, found.keep(wanted)))
        elif not rule.optional:
            raise CatalogueError(f"{table.place}: lacks the flags {rule.column[0]}, which '{schema.name}' calls for.")
    return tuple(flags)


def _with_pivots(bands: BandSystem, section: BandsSection, table: RawTable) -> BandSystem:
    """Return the bands with the pivots by which the fluxes were made, where survey file or cards state them."""
    pivots = dict(section.pivots)
    for card, value in table.cards.items():
        number = re.fullmatch(r"PIVOT(\d+)", card)
        if number and f"BAND{number.group(1)}" in table.cards:
            name = table.cards[f"BAND{number.group(1)}"]
            pivots[section.aliases.get(name, name)] = float(value)
    return BandSystem(bands.name, tuple(replace(band, pivot=pivots.get(band.name, band.pivot)) for band in bands))


def _check_bands(table: RawTable, found: _Found, wanted: BandSystem, where: str = "") -> None:
    missing = [name for name in wanted.names if name not in found.columns]
    if not missing:
        return
    covered = [band_system(name) for name in band_system_names()]
    covered = [system for system in covered if all(name in found.columns for name in system.names)]
    best = max(covered, key=len, default=None)
    strange = [name for name in found.columns if not any(name in band_system(s) for s in band_system_names())]
    hint = f" If the release lacks them, use the band system '{best.name}'." if best else ""
    if strange:
        near = did_you_mean(strange[0], missing)
        hint += f" The file has {', '.join(strange[:5])}, which is no known band.{near}"
    raise CatalogueError(
        f"{table.place}: {len(missing)} of {len(wanted)} bands of '{wanted.name}' are missing{where}: "
        f"{', '.join(missing)}.{hint}"
    )
