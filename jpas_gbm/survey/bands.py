"""Bands and ordered systems of bands, looked up by name and never by position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..errors import CatalogueError, did_you_mean

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
