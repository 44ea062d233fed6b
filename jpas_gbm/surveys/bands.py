"""Bands, looked up by name and never by position, their systems (configs/bands.yaml), and the units of fluxes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ..config import Options, configs_folder, parse_options, read_yaml
from ..errors import CatalogueError, ConfigError, did_you_mean

if TYPE_CHECKING:
    from astropy.units import UnitBase

Kind = Literal["narrow", "broad"]


@dataclass(frozen=True)
class Band:
    """One photometric band.

    Parameters
    ----------
    name : str
        As the survey writes it, such as ``J0378``.
    pivot : float
        Pivot wavelength in Å.
    width : float
        Full width in Å.
    kind : {"narrow", "broad"}
        Narrow bands make the photo-spectrum; broad ones anchor it.
    """

    name: str
    pivot: float
    width: float
    kind: Kind = "narrow"


@dataclass(frozen=True)
class BandSystem:
    """An ordered set of bands with unique names.

    Parameters
    ----------
    name : str
        Such as ``jpas55``.
    bands : tuple of Band
        In the order of the columns of every flux array of the system.

    Raises
    ------
    CatalogueError
        If there is no band, or a name stands twice.
    """

    name: str
    bands: tuple[Band, ...] = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        names = [band.name for band in self.bands]
        if not names:
            raise CatalogueError(f"band system '{self.name}' has no band.")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CatalogueError(f"band system '{self.name}' names {', '.join(twice)} more than once.")

    def __len__(self) -> int:
        return len(self.bands)

    def __iter__(self) -> Iterator[Band]:
        return iter(self.bands)

    def __contains__(self, name: object) -> bool:
        return name in self._position

    def __getitem__(self, name: str) -> Band:
        return self.bands[self.index(name)]

    @cached_property
    def _position(self) -> dict[str, int]:
        return {band.name: i for i, band in enumerate(self.bands)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(band.name for band in self.bands)

    @cached_property
    def pivots(self) -> np.ndarray:
        """Pivot wavelengths in Å, shape (b,)."""
        return np.array([band.pivot for band in self.bands], dtype=np.float64)

    @cached_property
    def widths(self) -> np.ndarray:
        """Widths in Å, shape (b,)."""
        return np.array([band.width for band in self.bands], dtype=np.float64)

    @cached_property
    def narrow(self) -> tuple[str, ...]:
        """Names of the narrow bands by increasing pivot wavelength."""
        chosen = [band for band in self.bands if band.kind == "narrow"]
        return tuple(band.name for band in sorted(chosen, key=lambda band: band.pivot))

    @cached_property
    def by_wavelength(self) -> tuple[str, ...]:
        """Names of all bands by increasing pivot wavelength."""
        return tuple(band.name for band in sorted(self.bands, key=lambda band: band.pivot))

    def index(self, name: str) -> int:
        """Return the column of a band.

        Raises
        ------
        CatalogueError
            If the system has no such band; the nearest name is offered.
        """
        try:
            return self._position[name]
        except KeyError:
            raise CatalogueError(
                f"band system '{self.name}' has no band '{name}'.{did_you_mean(name, self.names)}"
                f" Its bands: {', '.join(self.names)}."
            ) from None

    def indices(self, names: Iterable[str]) -> np.ndarray:
        """Return the columns of several bands, shape (len(names),)."""
        return np.array([self.index(name) for name in names], dtype=np.intp)

    def subset(self, names: Iterable[str], name: str | None = None) -> BandSystem:
        """Return the system of the bands named, in the order named."""
        chosen = tuple(self[band] for band in names)
        return BandSystem(name or self.name, chosen)

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return {
            "name": self.name,
            "bands": [[band.name, band.pivot, band.width, band.kind] for band in self.bands],
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> BandSystem:
        """Rebuild a system from :meth:`to_dict`."""
        return cls(value["name"], tuple(Band(*row) for row in value["bands"]))


class SystemOptions(Options):
    """One band system: an order of bands from a table, or another system without some of its bands."""

    title: str = Field("", description="One line for people.")
    table: str | None = Field(None, description="Table that the bands come from.")
    bands: tuple[str, ...] = Field((), description="Names in the order of the survey's arrays.")
    from_: str | None = Field(None, alias="from", description="System to start from instead of a table.")
    without: tuple[str, ...] = Field((), description="Bands of that system to leave out.")


class BandsFile(Options):
    """The whole of a bands file."""

    tables: dict[str, dict[str, tuple[float, float, Literal["narrow", "broad"]]]] = Field(
        description="Bands as name: [pivot Å, width Å, kind], by table."
    )
    systems: dict[str, SystemOptions] = Field(description="Ordered systems of bands, by name.")


@cache
def _bands_file(path: Path) -> BandsFile:
    return parse_options(BandsFile, read_yaml(path), path.name)


_OWN: dict[str, BandSystem] = {}
"""Systems that survey files of users define."""


def add_system(system: BandSystem) -> None:
    """Make a band system known by its name, as a survey file that defines its own bands does.

    Parameters
    ----------
    system : BandSystem

    Raises
    ------
    ConfigError
        If a shipped system has that name, or another file defined other bands under it.
    """
    shipped = _bands_file(configs_folder() / "bands.yaml").systems
    if system.name in shipped or _OWN.get(system.name, system) != system:
        raise ConfigError(
            f"the band system '{system.name}' is there already, with other bands: give your own another name "
            "(bands: {system: NAME, table: ...})."
        )
    _OWN[system.name] = system


def band_system_names() -> tuple[str, ...]:
    """Return the names of the shipped band systems, and of those that survey files defined.

    Returns
    -------
    tuple of str
    """
    return (*_bands_file(configs_folder() / "bands.yaml").systems, *_OWN)


def build_system(content: BandsFile, name: str) -> BandSystem:
    """Return one band system of a bands file.

    Raises
    ------
    ConfigError
        If the system is unknown, or refers to a table, a system or a band that is not there.
    """
    if name not in content.systems:
        known = ", ".join(content.systems)
        raise ConfigError(f"there is no band system '{name}'.{did_you_mean(name, content.systems)} Known: {known}.")
    options = content.systems[name]
    if options.from_ is not None:
        start = build_system(content, options.from_)
        try:
            start.indices(options.without)
        except CatalogueError as error:
            raise ConfigError(f"band system '{name}' leaves out an unknown band: {error}") from error
        return start.subset([band for band in start.names if band not in options.without], name)
    table = content.tables.get(options.table or "")
    if table is None:
        raise ConfigError(
            f"band system '{name}' names the table '{options.table}', which is not there. "
            f"Tables: {', '.join(content.tables)}."
        )
    lost = [band for band in options.bands if band not in table]
    if lost:
        raise ConfigError(
            f"band system '{name}' lists {', '.join(lost)}, which table '{options.table}' lacks. "
            "Add the band there as 'NAME: [pivot, width, kind]'."
        )
    return BandSystem(name, tuple(Band(band, *table[band]) for band in options.bands))


def band_system(name: str) -> BandSystem:
    """Return a band system by name, such as ``jpas57`` or ``sdss_ugriz``.

    Raises
    ------
    ConfigError
        If there is no such system; the nearest and all known names are given.

    Examples
    --------
    >>> len(band_system("jpas57")), len(band_system("jpas55")), len(band_system("minijpas60"))
    (57, 55, 60)
    """
    return _OWN.get(name) or _shipped(name)


@cache
def _shipped(name: str) -> BandSystem:
    return build_system(_bands_file(configs_folder() / "bands.yaml"), name)


UnitKind = Literal["f_lambda", "f_nu", "ab_magnitude", "ratio"]
"""What a unit measures; a ratio has no dimension, as a relative error or a redshift."""


class Stated(NamedTuple):
    """What a unit that a file states is.

    Parameters
    ----------
    kind : UnitKind
    scale : float
        Its size in cgs; 0.01 for a per cent, 1 for magnitudes.
    """

    kind: UnitKind
    scale: float


_NOTHING = frozenset({"", "-", "--", "---", "none", "null", "nan", "n/a", "unknown", "undefined"})
_RATIO = frozenset({"dimensionless", "unitless", "redshift", "z", "fraction"})
_MAGNITUDES = {
    "mag": frozenset({"mag", "mags", "magnitude", "magnitudes"}),
    "mag(AB)": frozenset(
        {"ab", "abmag", "abmags", "magab", "mag(ab)", "mags(ab)", "abmagnitude", "abmagnitudes", "mab"}
    ),
}
_CM2 = "s-1 cm-2"
_SPELT = {
    "A": "Angstrom", "a": "Angstrom", "aa": "Angstrom", "angs": "Angstrom", "angstrom": "Angstrom",
    "angstroms": "Angstrom", "ergs": "erg", "erg": "erg", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "s": "s", "cm": "cm", "hz": "Hz", "hertz": "Hz", "w": "W", "watt": "W", "watts": "W", "m": "m", "um": "um",
    "micron": "um", "microns": "um", "nm": "nm", "jy": "Jy", "jansky": "Jy", "janskys": "Jy", "janskies": "Jy",
    "ujy": "uJy", "njy": "nJy", "microjy": "uJy", "nanojy": "nJy", "millijy": "mJy", "microjansky": "uJy",
    "nanojansky": "nJy", "millijansky": "mJy", "maggy": "mgy", "maggie": "mgy", "maggies": "mgy", "mgy": "mgy",
    "nanomaggy": "nmgy", "nanomaggie": "nmgy", "nanomaggies": "nmgy", "nmgy": "nmgy",
    "flam": f"(erg {_CM2} Angstrom-1)", "flambda": f"(erg {_CM2} Angstrom-1)", "fnu": f"(erg {_CM2} Hz-1)",
}  # fmt: skip
"""Words of unit strings in lower case, and astropy's spelling of them."""

_POWER = re.compile(r"^\s*(?:(\d+\.?\d*)\s*[x×*·]\s*)?10\s*(?:\^|\*\*)\s*[({]?\s*([+-]?\d+)\s*[)}]?\s*[*·.]?")


def _parsed(text: str) -> UnitBase | None:
    """Return a unit as astropy reads it, or None."""
    from astropy import units as u

    for format in (None, "cds"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return u.Unit(text, format=format, parse_strict="raise")
        except (ValueError, TypeError, ZeroDivisionError, OverflowError):
            continue
    return None


def _plain(text: str) -> str:
    """Return a unit string without signs of its own: powers of ten, Å, µ, braces."""
    text = _POWER.sub(lambda m: f"{m[1] or '1'}e{m[2]} ", text.strip().strip("\"'"))
    for sign, word in (("\\AA", "Angstrom"), ("Å", "Angstrom"), ("Å", "Angstrom"), ("µ", "u"), ("μ", "u")):
        text = text.replace(sign, word)
    return re.sub(r"\{([^{}]*)\}", r"\1", text).strip()


def _known(unit: UnitBase | None) -> Stated | None:
    """Return what a unit is if fluxes, magnitudes or ratios can be in it."""
    from astropy import units as u

    if unit is None:
        return None
    if not isinstance(unit, u.UnitBase):
        return Stated("ab_magnitude", 1.0) if unit == u.ABmag else None
    if unit == u.mag:
        return Stated("ab_magnitude", 1.0)
    if unit.is_equivalent(u.maggy):
        return Stated("f_nu", float(f"{unit.to(u.maggy) * 10**-19.44:.12g}"))
    sizes: dict[UnitKind, UnitBase] = {
        "f_lambda": u.erg / u.s / u.cm**2 / u.AA,
        "f_nu": u.erg / u.s / u.cm**2 / u.Hz,
        "ratio": u.dimensionless_unscaled,
    }
    for kind, cgs in sizes.items():
        if unit.is_equivalent(cgs):
            # Through decades: 1e-19 stays 1e-19 and does not become 1.0000000000000001e-19.
            return Stated(kind, float(f"{unit.to(cgs):.12g}"))
    return None


def says_nothing(text: str | None) -> bool:
    """Return whether a unit string states no unit."""
    return text is None or text.strip().lower() in _NOTHING


@cache
def stated_unit(text: str | None) -> Stated | None:
    """Return what a unit that a file states is, and its size in cgs, or None if it says nothing usable.

    Astropy's reading of the string as it stands comes first (FITS, VOUnit and its own spellings, then CDS); where
    that is no flux, magnitude or ratio, words are read without regard to case, and A is the Ångström.

    Parameters
    ----------
    text : str, optional

    Returns
    -------
    Stated or None

    Examples
    --------
    >>> tuple(stated_unit("10**-19 erg Angstrom-1 s-1 cm-2"))
    ('f_lambda', 1e-19)
    >>> tuple(stated_unit("10-17 erg/(s cm2 A)")), tuple(stated_unit("nanomaggies"))
    (('f_lambda', 1e-17), ('f_nu', 3.6307805477e-29))
    >>> stated_unit("mag(AB)").kind, stated_unit("counts"), stated_unit("mag(Vega)")
    ('ab_magnitude', None, None)
    """
    if text is None or says_nothing(text):
        return None
    plain = _plain(text)
    squeezed = re.sub(r"[\s_-]", "", plain).lower()
    if squeezed in _RATIO:
        return Stated("ratio", 1.0)
    if any(squeezed in words for words in _MAGNITUDES.values()):
        return Stated("ab_magnitude", 1.0)
    found = _known(_parsed(plain))
    if found is not None:
        return found
    worded = re.sub(r"[A-Za-z]+", lambda m: _SPELT.get(m[0], _SPELT.get(m[0].lower(), m[0])), plain)
    return None if worded == plain else _known(_parsed(worded))


_HOURS = frozenset({"h", "hr", "hrs", "hour", "hours", "hourangle", "hour angle", "hour angles"})
_DEGREES = re.compile(r"(?:decimal\s+)?(?:deg|degs|degree|degrees|°)(?:\s*\(?(?:icrs|j2000|fk5)\.?0?\)?)?")


SEXAGESIMAL = re.compile(r"[+-]?\d{1,3}[:h ]\s?\d{1,2}([:m ]\s?\d{1,2}(\.\d*)?s?)?", re.IGNORECASE)
"""Angles such as 14:20:11.2 or 14h20m11s."""

SEXAGESIMAL_HINT = " It is spelt in sixties (h:m:s or d:m:s), which is not read here: write angles in degrees."


@cache
def degrees_per_unit(text: str | None) -> float | None:
    """Return the degrees in one of a unit of angle, or None if it is none; a unit that is not stated is degrees.

    Examples
    --------
    >>> degrees_per_unit("Degrees"), degrees_per_unit("hours"), round(degrees_per_unit("RAD"), 4)
    (1.0, 15.0, 57.2958)
    >>> degrees_per_unit("h:m:s") is None
    True
    """
    from astropy import units as u

    word = "" if text is None or says_nothing(text) else text.strip().strip("\"'").lower()
    if not word or _DEGREES.fullmatch(word):
        return 1.0
    if word in _HOURS:
        return 15.0
    unit = _parsed({"radian": "rad", "radians": "rad", "arcseconds": "arcsec", "arcminutes": "arcmin"}.get(word, word))
    if unit is None or not isinstance(unit, u.UnitBase) or not unit.is_equivalent(u.deg):
        return None
    return float(unit.to(u.deg))


def refuse_unit(place: str, column: str, text: str | None, what: str) -> CatalogueError:
    """Return the error for a stated unit that is not understood, or is not one of what the column holds.

    Parameters
    ----------
    place, column : str
        The table and the column.
    text : str
        The unit as stated.
    what : str
        What is read there and in which units, for the message.
    """
    return CatalogueError(
        f"{place}[{column}]: is in '{text}', {what}. Mend the unit in the file, or take it out to have that of the "
        "survey file."
    )
