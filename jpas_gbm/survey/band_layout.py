"""Where the fluxes, errors and flags of each band stand in one file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import CatalogueError
from .bands import BandSystem
from .blocks import Block
from .schema import FlagRule, Photometry
from .tables import Want


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
