"""Bands, looked up by name and never by position, and their systems (configs/bands.yaml)."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ..config import Options, configs_folder, parse_options, read_yaml
from ..errors import CatalogueError, ConfigError, did_you_mean

Kind = Literal["narrow", "broad"]

AB_ZERO_POINT = 31.4
"""AB magnitude of 1 nJy."""


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

    def is_turned(self, order: Sequence[str] | np.ndarray) -> bool:
        """Return whether an order is of these bands, and another than theirs.

        Parameters
        ----------
        order : sequence of str, or array of float
            Names; or wavelengths in Å, nm or µm, which are those of bands within half the distance of narrow ones, or a
            quarter of the width of broad ones.

        Returns
        -------
        bool
            False for what names other bands, or not each once.
        """
        if not isinstance(order, np.ndarray):
            return tuple(order) != self.names and sorted(order) == sorted(self.names)
        if order.shape != self.pivots.shape or not np.isfinite(order).all():
            return False
        waves = order * (10_000 if np.median(order) < 100 else 10 if np.median(order) < 2_000 else 1)
        far, rank = np.maximum(50, self.widths / 4), self.pivots.argsort().argsort()
        apart = np.abs(np.sort(waves)[rank] - self.pivots)  # so far also if sorted: measured otherwise, not turned
        return float(np.median(apart)) < 50 and bool(((np.abs(waves - self.pivots) > far) & (apart <= far)).any())

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

        Parameters
        ----------
        name : str
            Name of the band.

        Returns
        -------
        int
            From 0.

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
        """Return the columns of several bands, shape (len(names),).

        Parameters
        ----------
        names : iterable of str
            Names of bands.

        Returns
        -------
        array of intp, shape (len(names),)
            Their columns.

        Raises
        ------
        CatalogueError
            If the system lacks one of them.
        """
        return np.array([self.index(name) for name in names], dtype=np.intp)

    def subset(self, names: Iterable[str], name: str | None = None) -> BandSystem:
        """Return the system of the bands named, in the order named.

        Parameters
        ----------
        names : iterable of str
            The bands to keep.
        name : str, optional
            Name of the new system; default: that of this one.

        Returns
        -------
        BandSystem
            Of the bands named.

        Raises
        ------
        CatalogueError
            If the system lacks one of them.
        """
        chosen = tuple(self[band] for band in names)
        return BandSystem(name or self.name, chosen)

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold.

        Returns
        -------
        dict
        """
        return {"name": self.name, "bands": [[band.name, band.pivot, band.width, band.kind] for band in self.bands]}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> BandSystem:
        """Rebuild a system from :meth:`to_dict`.

        Parameters
        ----------
        value : dict

        Returns
        -------
        BandSystem
        """
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
        The bands, and the name.

    Raises
    ------
    ConfigError
        If a shipped system has that name, or another file defined other bands under it.
    """
    shipped = _bands_file(configs_folder() / "bands.yaml").systems
    if system.name in shipped or _OWN.get(system.name, system) != system:
        raise ConfigError(
            f"the band system '{system.name}' is there already, with other bands: give your own another name "
            "(bands: {system: NAME, table: ...}), or start Python anew where you changed its bands."
        )
    _OWN[system.name] = system


def own_table(name: str) -> dict[str, list[float | str]]:
    """Return the bands of a system as a survey file writes them, if one defined it; nothing of a shipped system.

    Parameters
    ----------
    name : str
        Name of the system.

    Returns
    -------
    dict of str to list
        By name: pivot and width in Å, and narrow or broad.
    """
    return {band.name: [band.pivot, band.width, band.kind] for band in _OWN.get(name, ())}


def band_system_names() -> tuple[str, ...]:
    """Return the names of the shipped band systems, and of those that survey files defined.

    Returns
    -------
    tuple of str
        As the bands file lists them.
    """
    return (*_bands_file(configs_folder() / "bands.yaml").systems, *_OWN)


def build_system(content: BandsFile, name: str) -> BandSystem:
    """Return one band system of a bands file.

    Parameters
    ----------
    content : BandsFile
        All tables and systems.
    name : str
        Name of the system.

    Returns
    -------
    BandSystem
        With bands in its order.

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

    Parameters
    ----------
    name : str
        Name of a shipped system, or of one that a survey file defined.

    Returns
    -------
    BandSystem
        With bands in its order.

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


def bands_in(text: str, known: Container[str]) -> tuple[str, ...]:
    """Return the longest list of bands in a text, each once: nothing but numbers and signs stands between them.

    Parameters
    ----------
    text : str
        Of people, such as comments.
    known : container of str
        Names of bands.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> bands_in("of r and i; bands: 1 = u, 2 = g (4686 A)", {"u", "g", "r", "i"})
    ('u', 'g')
    """
    words = re.findall(r"\b[^\W\d]\w*", re.sub(r"(?i)\b(?:band|filter|angstrom|nm|å|a)_?\d*\b", " ", text))
    runs = [tuple(dict.fromkeys(run)) for band, run in groupby(words, key=known.__contains__) if band]
    return max(runs, default=(), key=len)


def listed_numbers(cards: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return the lists of numbers that cards hold: one of each, or one number of each of those that are numbered.

    Parameters
    ----------
    cards : mapping of str to str
        Such as ``wavelengths`` with a list, or ``WAVE1``, ``WAVE2`` and so on.

    Returns
    -------
    dict of str to array of float
        By what the cards are called, without numbers.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for card, value in cards.items():
        if stem := re.fullmatch(r"(.*?)(\d{0,4})", card):
            found.setdefault(stem[1], []).append((int(stem[2] or 0), value))
    numbers = {}
    for card, values in found.items():
        with suppress(ValueError):
            words = re.split(r"[\s,]+", ",".join(value for _, value in sorted(values)).strip(" ,[]()"))
            numbers[card] = np.array(words, dtype=np.float64)
    return numbers


_C = 2.99792458e18  # Å/s
_NJY = 1e32  # nJy in 1 erg/s/cm2/Hz


def njy_per_unit(kind: str, scale: float, bands: BandSystem) -> np.ndarray:
    """Return nJy in one unit of f_λ or f_ν of each band, shape (b,).

    f_ν = f_λ λ_p² / c with the pivot wavelength λ_p, which holds for any spectrum.

    Parameters
    ----------
    kind : {"f_lambda", "f_nu"}
        What the fluxes are.
    scale : float
        One unit in erg/s/cm2/Å or erg/s/cm2/Hz.
    bands : BandSystem
        b bands.

    Returns
    -------
    array of float64, shape (b,)
        nJy.
    """
    if kind == "f_lambda":
        return scale * bands.pivots**2 / _C * _NJY
    return np.full(len(bands), scale * _NJY)


def vacuum_wavelengths(wavelength: np.ndarray, header: Mapping[str, object], place: object = "") -> np.ndarray:
    """Return vacuum wavelengths, where the header says that they are in air.

    Parameters
    ----------
    wavelength : array of float64, shape (m,)
        Å.
    header : mapping of str to object
        AIRORVAC, or VACUUM, says of which kind they are; vacuum where it does not.
    place : path or str
        For the message.

    Returns
    -------
    array of float64, shape (m,)
        Å, in vacuum.

    Raises
    ------
    CatalogueError
        If the header says something else of them.

    References
    ----------
    Ciddor (1996), Applied Optics 35, 1566; inverted by N. Piskunov for VALD.
    """
    key = "AIRORVAC" if "AIRORVAC" in header else "VACUUM"
    said = str(header.get(key, "vac")).strip().lower()
    if said in ("vac", "vacuum", "true", "t", "1", "yes", ""):
        return wavelength
    if said not in ("air", "false", "f", "0", "no"):
        raise CatalogueError(f"{place}: {key} is {said!r} in its header; 'air' or 'vacuum' is expected. Mend it there.")
    s2 = (1e4 / wavelength) ** 2
    index = 1.00008336624212083 + 0.02408926869968 / (130.1065924522 - s2) + 0.0001599740894897 / (38.92568793293 - s2)
    return wavelength * index
