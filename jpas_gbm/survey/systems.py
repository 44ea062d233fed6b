"""The shipped band systems, read from configs/bands.yaml."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..config import Options, configs_folder, parse_options, read_yaml
from ..errors import CatalogueError, ConfigError, did_you_mean
from .bands import Band, BandSystem


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


def band_system_names() -> tuple[str, ...]:
    """Return the names of the shipped band systems."""
    return tuple(_bands_file(configs_folder() / "bands.yaml").systems)


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


@cache
def band_system(name: str) -> BandSystem:
    """Return a shipped band system by name, such as ``jpas57`` or ``sdss_ugriz``.

    Raises
    ------
    ConfigError
        If there is no such system; the nearest and all known names are given.

    Examples
    --------
    >>> len(band_system("jpas57")), len(band_system("jpas55")), len(band_system("minijpas60"))
    (57, 55, 60)
    """
    return build_system(_bands_file(configs_folder() / "bands.yaml"), name)
