"""Blocks: neighbouring bands taken together, since trees share what correlated bands say at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ExplanationError
from ..survey.bands import Band, BandSystem

FEWEST, MOST = 5, 10
"""Fewest and most blocks along the spectrum."""

_BANDS_EACH = 6
_PHOTO_SPECTRUM = 8


@dataclass(frozen=True)
class Block:
    """Neighbouring bands.

    Parameters
    ----------
    name : str
        First and last band, or ``broad``.
    bands : tuple of str
        By rising wavelength.
    low, high : float
        Wavelengths in Å that the block reaches; blocks of the spectrum touch each other.
    spectral : bool
        Whether it is a stretch of the photo-spectrum; the block of broad bands beside one is not, and
        can be no line's.
    """

    name: str
    bands: tuple[str, ...]
    low: float
    high: float
    spectral: bool = True

    @property
    def centre(self) -> float:
        """Middle of the block in Å, in the logarithm."""
        return float(np.sqrt(self.low * self.high))

    def holds(self, wavelength: np.ndarray) -> np.ndarray:
        """Return which observed wavelengths, in Å, lie in the block."""
        with np.errstate(invalid="ignore"):
            return np.asarray((wavelength >= self.low) & (wavelength < self.high))

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return {
            "name": self.name,
            "bands": list(self.bands),
            "low": self.low,
            "high": self.high,
            "centre": self.centre,
            "spectral": self.spectral,
        }


@dataclass(frozen=True)
class Blocks:
    """The blocks of a band system: contiguous stretches of its spectrum, and its broad bands apart.

    Parameters
    ----------
    system : BandSystem
    blocks : tuple of Block
        Spectral ones by rising wavelength, then the broad one where there is one.
    """

    system: BandSystem
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, system: BandSystem, number: int | None = None) -> Blocks:
        """Cut a system into blocks of as many bands each as can be.

        The narrow bands are cut; where there are too few for a photo-spectrum, all bands are.

        Parameters
        ----------
        system : BandSystem
        number : int, optional
            Blocks along the spectrum; by default one for six bands, between 5 and 10.

        Raises
        ------
        ExplanationError
            If the number is not from 1 to the number of bands.
        """
        narrow = len(system.narrow) >= _PHOTO_SPECTRUM
        names = system.narrow if narrow else system.by_wavelength
        if number is None:
            number = min(len(names), int(np.clip(round(len(names) / _BANDS_EACH), FEWEST, MOST)))
        if not 1 <= number <= len(names):
            raise ExplanationError(
                f"{len(names)} bands of '{system.name}' cannot be cut into {number} blocks. Ask for 1 to {len(names)}."
            )
        ordered = [system[name] for name in names]
        edges = _edges(ordered)
        blocks = []
        for places in np.array_split(np.arange(len(names)), number):
            first, last = int(places[0]), int(places[-1])
            chosen = names[first : last + 1]
            title = chosen[0] if len(chosen) == 1 else f"{chosen[0]}–{chosen[-1]}"
            blocks.append(Block(title, tuple(chosen), float(edges[first]), float(edges[last + 1])))
        broad = [system[name] for name in system.by_wavelength if name not in names]
        if broad:
            low = min(band.pivot - band.width / 2 for band in broad)
            high = max(band.pivot + band.width / 2 for band in broad)
            blocks.append(Block("broad", tuple(band.name for band in broad), low, high, spectral=False))
        return cls(system, tuple(blocks))

    def __len__(self) -> int:
        return len(self.blocks)

    @property
    def spectral(self) -> tuple[Block, ...]:
        """The blocks along the spectrum."""
        return tuple(block for block in self.blocks if block.spectral)

    def sums(self, attributions: np.ndarray) -> np.ndarray:
        """Return the sum over each block's bands, shape (..., blocks), of attributions of shape (..., b)."""
        columns = [self.system.indices(block.bands) for block in self.blocks]
        return np.stack([attributions[..., chosen].sum(axis=-1) for chosen in columns], axis=-1)


def _edges(bands: list[Band]) -> np.ndarray:
    """Return where each band ends and the next begins: halfway between pivots, half a width at the ends."""
    pivots = np.array([band.pivot for band in bands])
    middle = (pivots[1:] + pivots[:-1]) / 2
    return np.concatenate([[pivots[0] - bands[0].width / 2], middle, [pivots[-1] + bands[-1].width / 2]])
