"""Where the fluxes, errors and flags of each band stand among the columns of one file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from ..errors import CatalogueError, did_you_mean
from .bands import BandSystem, band_system, band_system_names, bands_in, listed_numbers
from .batches import Block
from .schema import FlagRule, Photometry, Stored, SurveySchema, all_schemas
from .spelling import WAVELENGTHS, ColumnNames, says_nothing, unit_of
from .tables import ARRAY, RawTable, Want, open_table


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
        """Return the values of the bands kept, shape (n, b), or (n, 1) where one holds for all.

        Parameters
        ----------
        block : dict of str to array
            Columns of some rows.
        place : str
            The table, for messages.

        Returns
        -------
        array, shape (n, b) or (n, 1)
            Masked where the columns are.

        Raises
        ------
        CatalogueError
            If an array column has fewer values than the first block had.
        """
        if not self.positions:
            columns = [block[name] for name in self.columns]
            masked = any(isinstance(column, np.ma.MaskedArray) for column in columns)
            return np.ma.stack(columns, axis=1) if masked else np.stack(columns, axis=1)
        values = block[self.columns[0]]
        if values.ndim != 2 or values.shape[1] <= max(self.positions):
            raise CatalogueError(
                f"{place}[{self.columns[0]}]: has rows of {values.shape[-1] if values.ndim > 1 else 1} values, "
                f"{max(self.positions) + 1} are needed. The table changes its shape on the way: write it again."
            )
        if self.positions == tuple(range(values.shape[1])):
            return values
        return np.take(values, self.positions, axis=1)


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
        Columns of the fluxes.
    error : BandColumns, optional
        Columns of the errors, where there are any.
    flags : tuple of (FlagRule, BandColumns)
        Columns of each rule of flags.
    units : mapping of str to str
        For each column that is read, but flags, its unit as the file states it; those without are left out.
    found : tuple of str
        All bands of the file, in its order.
    ordered_by : str
        What the order of the bands was read from, for people.
    level : str, optional
        Column by which the fluxes, ratios to one band, are to be multiplied.
    assumed : str
        What was concluded from the values, for people.
    """

    bands: BandSystem
    rule: Photometry
    flux: BandColumns
    error: BandColumns | None = None
    flags: tuple[tuple[FlagRule, BandColumns], ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    found: tuple[str, ...] = field(default=(), repr=False)
    ordered_by: str = ""
    level: str | None = None
    assumed: str = ""

    @property
    def unit(self) -> str | None:
        """Unit of the fluxes as the file states it."""
        return self.units.get(self.flux.columns[0])

    @property
    def want(self) -> dict[str, Want]:
        """The columns to read, and as what."""
        want: dict[str, Want] = dict.fromkeys(self.flux.columns, "float")
        want |= dict.fromkeys(self.error.columns if self.error else (), "float")
        for _, columns in self.flags:
            want |= dict.fromkeys(columns.columns, "int")
        return want | ({self.level: "float"} if self.level else {})


@cache
def _every_band() -> frozenset[str]:
    """Return the names of the bands of all systems and surveys."""
    named = {name for system in band_system_names() for name in band_system(system).names}
    return frozenset(named.union(*(schema.bands.aliases for schema in all_schemas() if schema.bands)))


def stated_orders(cards: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the orders of bands that a file states: numbered cards of any name, or one that lists them.

    Parameters
    ----------
    cards : mapping of str to str
        Such as ``BAND0``, ``BAND1`` and so on, ``FILTER1`` and so on, or ``bands`` with a list. All but those called
        BAND must name bands that are known.

    Returns
    -------
    dict of str to tuple of str
        By the cards that state each, for people.
    """
    found: dict[str, tuple[str, ...]] = {}
    numbered: dict[str, dict[int, tuple[str, str]]] = {}
    for card, value in cards.items():
        words = tuple(re.findall(r"[^\s,;|\[\]()'\"]+", value))
        number = re.fullmatch(r"(.*?\D)(\d{1,4})", card)
        if number and len(words) == 1:
            numbered.setdefault(number[1].rstrip("_").upper(), {})[int(number[2])] = (card, words[0])
        elif len(words) > 1 and _every_band().issuperset(words):
            found[card] = words
    for family, of in numbered.items():
        names, order = zip(*(of[i] for i in sorted(of)), strict=True)
        if family == "BAND" or (len(order) > 1 and family != "TTYPE" and _every_band().issuperset(order)):
            found = {", ".join((*names[:2], "...")): order, **found}
    return found


_OF_FILTERS, _MOST_BESIDE = re.compile(r"filt|band|wave|lambda|pivot", re.IGNORECASE), 8
_PER_BAND = ("{column}_{band}", "{band}_{column}", "{column}[{band}]", "{column}[jpas::{band}]")


@dataclass(frozen=True)
class _Found:
    """The bands that a column, or one column each, gives: in order, with where each stands."""

    columns: Mapping[str, str]
    array: bool
    ordered_by: str

    def keep(self, bands: BandSystem) -> BandColumns:
        """Return the columns of the bands to keep."""
        if not self.array:
            return BandColumns(tuple(self.columns[name] for name in bands.names))
        order = list(self.columns)
        return BandColumns((next(iter(self.columns.values())),), tuple(order.index(name) for name in bands.names))


class _Finder:
    """Looks for the bands of a survey in one table."""

    def __init__(self, table: RawTable, schema: SurveySchema) -> None:
        assert schema.bands is not None
        self.table, self.schema, self.section = table, schema, schema.bands
        self.names = ColumnNames(tuple(table.columns), table.place)
        self.system = band_system(schema.bands.system)
        of = dict(zip(self.system.names, self.system.names, strict=True))
        self.spelt = of | {alias: name for alias, name in schema.bands.aliases.items() if name in of}

    def with_fluxes(self) -> list[Photometry]:
        """Return the ways of storing fluxes of which the table has the fluxes."""
        return [rule for rule in self.schema.photometry if self.has(rule.flux, rule.planes)]

    def usable(self) -> Photometry | None:
        """Return the first way of storing fluxes of which the table has the fluxes and the errors."""
        return next((rule for rule in self.with_fluxes() if rule.error is None or self.has(rule.error)), None)

    def has(self, stored: Stored, planes: tuple[str, ...] = ()) -> bool:
        """Return whether the table has a quantity."""
        if planes or stored is None:
            return bool(planes) and self.table.planes == len(planes)
        if isinstance(stored, str) and "{band}" not in stored and self.names.find((stored,)) is not None:
            return True
        # A single column R is no photometry: most of the bands must be there.
        return 2 * len(self.per_band(stored)) > len(band_system(self.section.default or self.section.system))

    def per_band(self, stored: Stored) -> dict[str, str]:
        """Return the columns of a quantity that has one column per band, by band."""
        if not isinstance(stored, str):
            named = {name: self.names.find((column,)) for name, column in (stored or {}).items()}
            return {name: theirs for name, theirs in named.items() if theirs is not None}
        patterns = (stored,) if "{band}" in stored else tuple(p.replace("{column}", stored) for p in _PER_BAND)
        for pattern in patterns:
            found = {}
            for spelling, name in self.spelt.items():
                theirs = self.names.find((pattern.replace("{band}", spelling),))
                if theirs is not None and self.table.columns[theirs].width is None:
                    found[name] = theirs
            if found:
                return found
        return {}

    def find(self, stored: Stored) -> _Found:
        """Return where a quantity of each band stands."""
        whole = self.names.find((stored,)) if isinstance(stored, str) and "{band}" not in stored else None
        return self.array(whole, self.width(whole)) if whole else _Found(self.per_band(stored), False, "column names")

    def array(self, column: str, width: int) -> _Found:
        """Return where the bands of an array stand."""
        order, by = self.order(column, width)
        return _Found(dict.fromkeys(order, column), True, by)

    def width(self, column: str) -> int:
        """Return the number of values a row of an array column, one for each band."""
        width = self.table.columns[column].width
        if width == 0:  # lists of undeclared length: the first block tells
            first = next(iter(self.table.read({column: "float"})), {})
            width = first[column].shape[1] if column in first and first[column].ndim == 2 else 0
        if width is None:
            raise CatalogueError(
                f"{self.table.place}[{column}] holds one number per row, an array with one value a band is needed."
            )
        return width

    def order(self, column: str, width: int) -> tuple[tuple[str, ...], str]:
        """Return the bands of an array in their order, and what says so."""
        place = self.table.place
        # A card that names few bands speaks of something else, such as those that sources were found in.
        stated = {by: names for by, names in stated_orders(self.table.cards).items()
                  if re.match(r"BAND_?\d", by, re.IGNORECASE) or 2 * len(names) > width}  # fmt: skip
        for by, names in stated.items():
            cards = self.meant(names)
            if len(cards) != width:
                raise CatalogueError(
                    f"{place}[{column}] has {width} values per row, but the cards {by} name {len(cards)} "
                    "bands. Mend the cards, or remove them all to trust the order of the release."
                )
            if twice := sorted({name for name in cards if cards.count(name) > 1}):
                raise CatalogueError(f"{place}: the cards {by} name {', '.join(twice)} more than once.")
            if cards != self.meant(first := next(iter(stated.values()))):
                raise CatalogueError(
                    f"{place}: the cards {next(iter(stated))} name the bands in another order than {by} "
                    f"({first[0]} and {names[0]} come first, say). Mend or remove those that are wrong."
                )
        if stated:
            return cards, f"cards {next(iter(stated))}"
        if width != len(self.system):
            raise CatalogueError(
                f"{place}[{column}] has {width} values per row, band system '{self.system.name}' has "
                f"{len(self.system)}.{self._looks_like(column, width)}"
            )
        if otherwise := self.listed_otherwise:
            raise CatalogueError(
                f"{place}[{column}]: no card names the bands of its {width} values, and {otherwise}. Name the bands of "
                "the values, in their order, by cards BAND0, BAND1, ... in the header."
            )
        return self.system.names, f"the order of '{self.system.name}' (no card names it)"

    def meant(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the bands that names mean, whatever their case; what is no band of the survey stays."""
        known = {spelling.upper(): name for spelling, name in self.spelt.items()} | self.spelt
        return tuple(known.get(name, known.get(name.upper(), name)) for name in names)

    @cached_property
    def listed_otherwise(self) -> str:
        """What else in the file (of many tables a few: each is opened anew) lists the bands otherwise, for people."""
        orders = {by: list[Any]([self.meant(bands_in(of, self.spelt))]) for by, of in self.table.cards.items()}
        for card, numbers in listed_numbers(self.table.cards).items():
            orders.setdefault(card, []).extend([numbers] if WAVELENGTHS.search(card) else [])
        beside = self.table.others if self.table.format in ("FITS", "HDF5") else ()
        for name in sorted(beside, key=lambda one: not _OF_FILTERS.search(one))[:_MOST_BESIDE]:
            with suppress(CatalogueError):
                other = open_table(self.table.path, name)
                want: dict[str, Want] = {n: "text" if of.kind == "text" else "float" for n, of in other.columns.items()
                        if of.width is None and (of.kind == "text" or WAVELENGTHS.search(n))}  # fmt: skip
                block = next(iter(other.read(want)), {}) if other.rows == len(self.system) and want else {}
                named = [self.meant(map(str, np.ma.filled(of, ""))) for one, of in block.items() if want[one] == "text"]
                waves = [np.ma.filled(of, np.nan) for one, of in block.items() if want[one] == "float"]
                orders[other.place] = [bands for bands in named if set(bands) == set(self.system.names)] or waves
        wrong = next((by for by, of in orders.items() if any(map(self.system.is_turned, of))), "")
        return f"{wrong} lists them in another order than '{self.system.name}'" if wrong else ""

    def _looks_like(self, column: str, width: int) -> str:
        if bands := next((n for n in (len(self.system), len(self.system.narrow)) if width > n and not width % n), 0):
            return (
                f" It seems to hold {width // bands} values, of apertures say, for each of {bands} bands. Write a "
                f"table with one of them, as table['{column}'][:, :, 0] of (rows, bands, apertures), and its errors."
            )
        for other in all_schemas():
            if other.bands and other.name != self.schema.name and len(band_system(other.bands.system)) == width:
                return f" It looks like '{other.bands.system}' ({width}): use --survey {other.name}."
        flux = self.schema.photometry[0].flux
        return (
            " Name the bands by cards BAND0, BAND1, ... in the header, or give one column per band such as "
            f"{flux if isinstance(flux, str) else 'FLUX'}_J0660."
        )

    def fluxes(self, rule: Photometry) -> _Found:
        """Return where the fluxes of each band stand."""
        width = (self.table.columns[ARRAY].width or 0) // self.table.planes if rule.planes else 0
        return self.array(ARRAY, width) if rule.planes else self.find(rule.flux)

    def level(self, rule: Photometry, found: _Found) -> tuple[str | None, str]:
        """Return the column that turns ratios to one band into fluxes, and what was concluded of the fluxes."""
        if rule.relative_to is None or rule.relative_to.band not in found.columns:
            return None, ""
        band, column = found.columns[rule.relative_to.band], self.names.find(rule.relative_to.column)
        first = next(iter(self.table.read({band: "float"})), {}).get(band, np.zeros(0))
        values = np.ma.filled(np.ma.masked_invalid(first), np.nan)
        if not (len(values) > 0 and abs(np.nanmedian(values) - 1) < 1e-3):
            return None, f"{band} is not 1 throughout: its fluxes are taken as they are, no ratios"
        if column is None:
            spelt = rule.relative_to.column[0]
            return None, f"{band} is 1: the fluxes are ratios to it, without a level, since {spelt} is not there"
        return column, f"{band} is 1: the fluxes are ratios to it, and are multiplied by {column}"

    def flags(self, wanted: BandSystem) -> tuple[tuple[FlagRule, BandColumns], ...]:
        """Return where the flags of each rule stand."""
        flags = []
        for rule in self.schema.quality.flags:
            whole = self.names.find(rule.column)
            if whole is not None and self.table.columns[whole].width is None:
                flags.append((rule, BandColumns((whole,))))
                continue
            found = self.find(rule.column[0])
            if found.columns:
                self.check(found, wanted, f" in {rule.column[0]}")
                flags.append((rule, found.keep(wanted)))
            elif not rule.optional:
                raise CatalogueError(
                    f"{self.table.place}: lacks the flags {rule.column[0]}, which '{self.schema.name}' calls for."
                )
        return tuple(flags)

    def with_pivots(self, bands: BandSystem) -> BandSystem:
        """Return the bands with the pivots by which the fluxes were made, where survey file or cards state them."""
        pivots = dict(self.section.pivots)
        for card, value in self.table.cards.items():
            if (number := re.fullmatch(r"PIVOT(\d+)", card)) and f"BAND{number.group(1)}" in self.table.cards:
                pivots[self.meant((self.table.cards[f"BAND{number.group(1)}"],))[0]] = float(value)
        return BandSystem(bands.name, tuple(replace(band, pivot=pivots.get(band.name, band.pivot)) for band in bands))

    def check(self, found: _Found, wanted: BandSystem, where: str = "") -> None:
        """Refuse a table that lacks bands; the message offers a system that it has."""
        missing = [name for name in wanted.names if name not in found.columns]
        if not missing:
            return
        systems = [band_system(name) for name in band_system_names()]
        covered = [system for system in systems if all(name in found.columns for name in system.names)]
        best = max(covered, key=len, default=None)
        strange = [name for name in found.columns if not any(name in system for system in systems)]
        hint = f" If the release lacks them, use the band system '{best.name}'." if best else ""
        if strange:
            near = did_you_mean(strange[0], missing)
            hint += f" The file has {', '.join(strange[:5])}, which is no known band.{near}"
        if not found.array and found.columns:
            band, column = next(iter(found.columns.items()))
            lacks = column.replace(band, missing[0])
            near = did_you_mean(lacks, set(self.names.names) - set(found.columns.values()))
            near = near if missing[0][1:].lstrip("0") in near else ""
            hint += f" Its column would be '{lacks}'.{near} A band that was not observed needs its columns too, with "
            hint += "NaN (or nothing) in each row; flags may be 0."
        raise CatalogueError(
            f"{self.table.place}: {len(missing)} of {len(wanted)} bands of '{wanted.name}' are missing{where}: "
            f"{', '.join(missing)}.{hint}"
        )


def lacking_photometry(table: RawTable, schema: SurveySchema) -> list[str]:
    """Return the flux or error column that a table lacks to be a catalogue of a survey.

    Parameters
    ----------
    table : RawTable
        As it was opened.
    schema : SurveySchema
        Of a survey of kind catalogue.

    Returns
    -------
    list of str
        Empty where fluxes and errors are there.
    """
    finder = _Finder(table, schema)
    if finder.usable() is not None:
        return []
    halves = finder.with_fluxes()
    rule = halves[0] if halves else schema.photometry[0]
    stored = rule.error if halves else rule.flux
    if stored is None:
        return [f"{ARRAY} (a .npy array with {len(rule.planes)} planes)"]
    if not isinstance(stored, str):
        return [next((column for column in stored.values() if finder.names.find((column,)) is None), "")]
    if halves or "{band}" not in stored:
        return [stored]
    return [f"{stored.replace('{band}', finder.system.names[0])} and the like"]


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

    Returns
    -------
    BandLayout

    Raises
    ------
    CatalogueError
        If bands are missing, arrays have another width, or cards contradict them.
    """
    finder = _Finder(table, schema)
    rule = finder.usable()
    assert rule is not None
    wanted = band_system(bands or schema.default_bands or "")
    found = finder.fluxes(rule)
    finder.check(found, wanted)
    error = None
    if rule.error is not None:
        errors = finder.find(rule.error)
        finder.check(errors, wanted, f" in {rule.error if isinstance(rule.error, str) else 'the errors'}")
        error = errors.keep(wanted)
    level, assumed = finder.level(rule, found)
    flux = found.keep(wanted)
    read = (*flux.columns, *(error.columns if error else ()), *((level,) if level else ()))
    units = {name: unit for name in read if (unit := unit_of(name, table.columns[name].unit, table.place)) is not None}
    _check_name(table, rule, level or flux.columns[0], units)
    return BandLayout(finder.with_pivots(wanted), rule, flux, error, finder.flags(wanted), units, tuple(found.columns),
                      found.ordered_by, level, assumed)  # fmt: skip


def table_names(table: RawTable, columns: Iterable[str]) -> list[str]:
    """Return what a table is called: by the prefixes of columns, in its file, in its header and by its file.

    Parameters
    ----------
    table : RawTable
    columns : iterable of str
        The columns of it whose prefixes count.

    Returns
    -------
    list of str
        Empty ones may be among them.
    """
    prefixes = dict.fromkeys(name.rpartition(".")[0].rpartition(".")[2] for name in columns)
    cards = (value for card, value in table.cards.items() if card.upper() in ("EXTNAME", "TABLE", "NAME"))
    within = re.search(r"\[([^\]]*)\]", table.place)
    return [*prefixes, within[1].rpartition(".")[2] if within else "", *cards, table.path.name]


_NAMED_FLUX = re.compile(r"f_?(nu|lambda)_?(?:dual|single)_?obj", re.IGNORECASE)
"""Names of tables of the archive that say what their fluxes are."""


def _check_name(table: RawTable, rule: Photometry, column: str, units: Mapping[str, str]) -> None:
    """Refuse fluxes that state no unit, of a table whose name says another kind than the survey file."""
    found = next((one for name in table_names(table, (column,)) if (one := _NAMED_FLUX.search(name))), None)
    kind = "" if found is None else f"f_{found[1].lower()}"
    if found and says_nothing(units.get(column)) and {kind, rule.unit} == {"f_nu", "f_lambda"}:
        usual = "1e-19 erg/s/cm2/Angstrom" if kind == "f_lambda" else "1e-30 erg/s/cm2/Hz"
        raise CatalogueError(
            f"{table.place}[{column}]: the table is named '{found[0]}', for fluxes in {kind}, and states no unit, "
            f"while the survey file has {rule.unit} for '{rule.name}'. State the unit: in the file (TUNIT of FITS, "
            "unit of a VOTable, or in brackets behind the names of the columns), such as "
            f"'{usual}' if it is that; or 'unit: {kind}' with its 'scale' under 'photometry' of a survey file of your "
            "own (--survey)."
        )
