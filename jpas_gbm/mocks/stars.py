"""Stars: a sequence of temperatures and metallicities, with white dwarfs."""

from __future__ import annotations

import numpy as np

from .star_spectra import star, white_dwarf
from .throughput import Throughput

TEMPERATURES = np.geomspace(2600.0, 45000.0, 140)
"""Effective temperatures in K of the grid of main-sequence stars."""

METALLICITIES = np.array([-2.0, -1.0, -0.4, 0.2])
"""[Fe/H] of the grid."""

DWARF_TEMPERATURES = np.geomspace(4500.0, 50000.0, 70)
"""Effective temperatures in K of the grid of white dwarfs."""

# Main-sequence stars: share, mean ln T, σ of ln T, mean [Fe/H], σ; at r < 19 and among the faint stars that
# are targeted as quasars.
_BRIGHT = np.array(
    [
        [0.42, np.log(5900.0), 0.07, -0.6, 0.5],
        [0.28, np.log(4900.0), 0.09, -0.4, 0.4],
        [0.23, np.log(3500.0), 0.10, -0.2, 0.3],
        [0.05, np.log(7200.0), 0.12, -0.9, 0.6],
        [0.02, np.log(9500.0), 0.22, -1.2, 0.5],
    ]
)
_FAINT = np.array(
    [
        [0.42, np.log(6100.0), 0.07, -1.4, 0.5],
        [0.12, np.log(5000.0), 0.09, -1.0, 0.5],
        [0.31, np.log(3300.0), 0.09, -0.3, 0.3],
        [0.09, np.log(7300.0), 0.12, -1.3, 0.5],
        [0.06, np.log(9500.0), 0.20, -1.4, 0.5],
    ]
)
_WHITE_DWARFS = (0.03, 0.14)  # shares of all stars, bright and faint


class Stars:
    """Draws stars and gives their band fluxes.

    Parameters
    ----------
    throughput : Throughput
        The b bands.
    """

    def __init__(self, throughput: Throughput) -> None:
        grid = np.stack([[star(t, feh) for feh in METALLICITIES.tolist()] for t in TEMPERATURES.tolist()])
        self._main = _normalised(throughput.fluxes(grid))
        grid = np.stack([[white_dwarf(t, helium) for helium in (False, True)] for t in DWARF_TEMPERATURES.tolist()])
        self._dwarf = _normalised(throughput.fluxes(grid))

    def fluxes(self, rng: np.random.Generator, magnitude: np.ndarray) -> np.ndarray:
        """Return band fluxes of stars of that r magnitude, with temperature and metals drawn at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where kinds, temperatures and metallicities come from.
        magnitude : array, shape (n,)
            r, AB: faint stars are those of the halo, M dwarfs and white dwarfs.

        Returns
        -------
        array of float32, shape (n, b)
            In an arbitrary unit for each star.
        """
        n = len(magnitude)
        faint = magnitude > 19.3
        kinds = np.where(faint, _pick(rng, _FAINT[:, 0], n), _pick(rng, _BRIGHT[:, 0], n))
        chosen = np.where(faint[:, None], _FAINT[kinds], _BRIGHT[kinds])
        temperature = np.exp(chosen[:, 1] + chosen[:, 2] * rng.standard_normal(n))
        metals = chosen[:, 3] + chosen[:, 4] * rng.standard_normal(n)
        dwarf = rng.random(n) < np.where(faint, _WHITE_DWARFS[1], _WHITE_DWARFS[0])
        heat = np.exp(rng.normal(np.log(11500.0), 0.40, n))
        helium = rng.random(n) < 0.18
        flux = self.main_sequence(temperature, metals)
        flux[dwarf] = self.white_dwarfs(heat[dwarf], helium[dwarf])
        return flux

    def main_sequence(self, temperature: np.ndarray, metallicity: np.ndarray) -> np.ndarray:
        """Return band fluxes of main-sequence stars by temperature (K) and [Fe/H], float32 (n, b)."""
        t, t_part = _between(np.log(TEMPERATURES), np.log(temperature))
        m, m_part = _between(METALLICITIES, metallicity)
        low = self._main[t, m] * (1 - m_part) + self._main[t, m + 1] * m_part
        high = self._main[t + 1, m] * (1 - m_part) + self._main[t + 1, m + 1] * m_part
        return low * (1 - t_part) + high * t_part

    def white_dwarfs(self, temperature: np.ndarray, helium: np.ndarray) -> np.ndarray:
        """Return band fluxes of white dwarfs by temperature (K) and kind of atmosphere, float32 (n, b)."""
        t, part = _between(np.log(DWARF_TEMPERATURES), np.log(temperature))
        kind = helium.astype(int)
        return self._dwarf[t, kind] * (1 - part) + self._dwarf[t + 1, kind] * part


def _normalised(flux: np.ndarray) -> np.ndarray:
    return (flux / flux.mean(axis=-1, keepdims=True)).astype(np.float32)


def _between(nodes: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The node below each place, and how far towards the next one, float32 (n, 1)."""
    low = np.clip(np.searchsorted(nodes, place, side="right") - 1, 0, len(nodes) - 2)
    part = (place - nodes[low]) / (nodes[low + 1] - nodes[low])
    return low, np.clip(part, 0.0, 1.0).astype(np.float32)[:, None]


def _pick(rng: np.random.Generator, shares: np.ndarray, n: int) -> np.ndarray:
    edges = np.cumsum(shares) / shares.sum()
    return np.minimum(np.searchsorted(edges, rng.random(n)), len(shares) - 1)
