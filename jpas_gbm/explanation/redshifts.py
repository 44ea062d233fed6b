"""The sections of an explanation that need redshifts: rest frame, physics score, ridge."""

from __future__ import annotations

from typing import Any

import numpy as np

from .attributions import Attributions
from .blocks import Blocks
from .options import ExplainOptions
from .physics import physics_score
from .restframe import line_table, rest_edges, rest_spectrum
from .ridge import ridge_map, ridge_summary, top_wavelengths


class RedshiftSections:
    """What an explanation says at rest wavelengths, of rows whose redshift is known.

    Parameters
    ----------
    told : Attributions
    y : array of int, shape (n,)
        Class that each row counts as.
    blocks : Blocks
    options : ExplainOptions
    seed : int
    """

    def __init__(self, told: Attributions, y: np.ndarray, blocks: Blocks, options: ExplainOptions, seed: int) -> None:
        self.told, self.y, self.blocks, self.options, self.seed = told, y, blocks, options, seed
        self.system = told.fitted.recipe.bands
        self.rows = told.rows.select_bands(self.system)
        self.known = np.isfinite(self.rows.z) & (self.rows.z > -1)
        self.values = told.pair_bands
        self.sums = blocks.sums(self.values)[:, : len(blocks.spectral)]

    def _of(self, code: int) -> np.ndarray:
        return np.flatnonzero(self.known & (self.y == code))

    def line_tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return what bands on each line say, for each class of the pair."""
        pair = self.told.pair
        return {
            name: line_table(*self._rest_arguments(self._of(code)))
            for name, code in zip(pair.names, (pair.a, pair.b), strict=True)
        }

    def _rest_arguments(self, rows: np.ndarray) -> tuple[Any, ...]:
        return (
            self.values[rows],
            self.rows.z[rows],
            self.rows.observed[rows],
            self.system,
            self.rows.object_id[rows],
            self.options.resamples,
            self.seed,
        )

    def physics(self) -> dict[str, Any] | None:
        """Return the physics score of the pair's first class, or None."""
        low, high = self.options.z_range
        rows = self._of(self.told.pair.a)
        rows = rows[(self.rows.z[rows] > low) & (self.rows.z[rows] < high)]
        found = physics_score(
            self.sums[rows],
            self.blocks.spectral,
            self.rows.z[rows],
            self.rows.object_id[rows],
            resamples=self.options.resamples,
            seed=self.seed,
        )
        return None if found is None else {"z_range": [low, high], "class": self.told.pair.first, **found}

    def _strongest(self) -> tuple[np.ndarray, np.ndarray]:
        return top_wavelengths(self.values, self.sums, self.blocks.spectral, self.system)

    def ridge(self) -> dict[str, Any] | None:
        """Return how the strongest block of the pair's first class moves with redshift, or None."""
        rows = self._of(self.told.pair.a)
        by_block, _ = self._strongest()
        return ridge_summary(
            self.values[rows],
            by_block[rows],
            self.rows.z[rows],
            self.rows.object_id[rows],
            self.system,
            self.options.resamples,
            self.seed,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of these sections, by name."""
        by_block, by_band = self._strongest()
        found = {"strongest_block": by_block, "strongest_band": by_band, "rest_edges": rest_edges()}
        pair = self.told.pair
        spectra = [rest_spectrum(*self._rest_arguments(self._of(code))) for code in (pair.a, pair.b)]
        for name in ("mean", "low", "high", "count"):
            found[f"rest_{name}"] = np.stack([getattr(spectrum, name) for spectrum in spectra])
        rows = np.flatnonzero(self.known & np.isin(self.y, (pair.a, pair.b)))
        if len(rows):
            ridge = ridge_map(self.values[rows], self.rows.z[rows])
            found |= {"ridge_edges": ridge.edges, "ridge_mean": ridge.mean, "ridge_count": ridge.count}
        return found
