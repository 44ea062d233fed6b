"""The instrument of the built-in simulation: band edges, depths and trays, read from configs/instrument.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ..config import Options, configs_folder, parse_options, read_yaml
from ..errors import ConfigError
from ..survey.bands import Band, BandSystem
from ..survey.systems import band_system


class FilterFacts(Options):
    """What the simulation needs of a band beside its pivot and width."""

    rise: float
    fall: float
    depth: float
    tray: int = 0


class ImagingFacts(FilterFacts):
    """The same for a band of the imaging survey, which no band system describes."""

    pivot: float
    width: float


class InstrumentFile(Options):
    """The keys of configs/instrument.yaml."""

    name: str
    system: str
    depth_scatter: float
    depth_tile_scatter: float
    seeing: float
    sky_aperture: float
    error_floor: float
    bands: dict[str, FilterFacts]
    imaging: dict[str, ImagingFacts]


@dataclass(frozen=True)
class Filter:
    """One filter of the simulation.

    Parameters
    ----------
    band : Band
        Name, pivot wavelength and full width at half maximum.
    rise, fall : float
        Å from 10 % to 90 % of the blue and the red edge.
    depth : float
        AB magnitude of 5 σ in an aperture of 3 arcsec.
    tray : int
        Filters with one number are exposed together, and so are missing together.
    """

    band: Band
    rise: float
    fall: float
    depth: float
    tray: int


@dataclass(frozen=True)
class Instrument:
    """The filters and the noise of the simulated telescope.

    Parameters
    ----------
    filters : tuple of Filter
        In the order of `system`.
    imaging : tuple of Filter
        g, r and z of the imaging survey.
    facts : InstrumentFile
        Everything that is not of one band.
    system : BandSystem
        Pivots and widths as the readers know them.
    """

    filters: tuple[Filter, ...]
    imaging: tuple[Filter, ...]
    facts: InstrumentFile
    system: BandSystem

    @cached_property
    def depths(self) -> np.ndarray:
        """5 σ AB magnitudes of the filters, shape (b,)."""
        return np.array([item.depth for item in self.filters])

    @cached_property
    def trays(self) -> np.ndarray:
        """Tray of each filter, int (b,)."""
        return np.array([item.tray for item in self.filters])


@lru_cache(maxsize=8)
def load_instrument(bands: str = "jpas57") -> Instrument:
    """Return the instrument with the bands of one system.

    Parameters
    ----------
    bands : str
        A system of J-PAS bands, such as jpas57 or jpas55.

    Raises
    ------
    ConfigError
        If the system has bands that the simulation knows nothing of.
    """
    where = configs_folder() / "instrument.yaml"
    facts = parse_options(InstrumentFile, read_yaml(where), where.name)
    system = band_system(bands)
    unknown = [name for name in system.names if name not in facts.bands]
    if unknown:
        raise ConfigError(
            f"bands '{bands}' cannot be simulated: {where.name} says nothing of {', '.join(unknown[:5])}. "
            f"Choose a system among the bands of '{facts.system}', such as jpas57 or jpas55, or add them there."
        )
    filters = tuple(_filter(band, facts.bands[band.name]) for band in system)
    imaging = tuple(_filter(Band(name, fact.pivot, fact.width, "broad"), fact) for name, fact in facts.imaging.items())
    return Instrument(filters, imaging, facts, system)


def _filter(band: Band, fact: FilterFacts) -> Filter:
    return Filter(band, fact.rise, fact.fall, fact.depth, fact.tray)
