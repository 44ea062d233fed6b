"""Spectra as sums of a few components, integrated over the bands once for every redshift."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .throughput import STEP, WAVELENGTH, Throughput

_STRIDE = 2  # pixels between redshifts of a table: 300 km/s, a tenth of a narrow band's width


class ComponentTable:
    """Band fluxes of rest-frame components on a grid of redshifts.

    A spectrum is a sum of components, and so is its flux in a band; hence n objects cost n small
    products and no spectrum is ever written. What multiplies a spectrum and hardly changes within a
    band (dust, a change of slope) is applied to the band fluxes afterwards.

    Parameters
    ----------
    throughput : Throughput
        The b bands.
    spectra : array, shape (c, len(WAVELENGTH))
        f_λ of the components at rest.
    z_max : float
        Largest redshift.
    transmission : callable, optional
        Of wavelengths (m,) in Å and redshifts (k,): the share of light that reaches us, (k, m).
    """

    def __init__(
        self,
        throughput: Throughput,
        spectra: np.ndarray,
        z_max: float,
        transmission: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self._width = _STRIDE * STEP
        count = int(np.log1p(z_max) / self._width) + 2
        share = None
        if transmission is not None:
            share = transmission(WAVELENGTH, np.expm1(self._width * np.arange(count)))
        self.values = throughput.redshifted(spectra, count, _STRIDE, share)
        self.pivots = throughput.pivots

    def nearest(self, z: np.ndarray) -> np.ndarray:
        """Return the row of the table for each redshift, int (n,)."""
        return np.clip(np.rint(np.log1p(z) / self._width).astype(np.intp), 0, len(self.values) - 1)

    def photometry(self, z: np.ndarray, coefficients: np.ndarray, first: int = 0) -> np.ndarray:
        """Return the band fluxes of sums of components.

        Parameters
        ----------
        z : array, shape (n,)
            Redshifts; the nearest of the table is taken, at most 150 km/s away.
        coefficients : array, shape (n, m)
            Weights of components `first` to `first` + m.
        first : int
            The first component that the coefficients are for.

        Returns
        -------
        array of float32, shape (n, b)
            f_ν in the common unit of the components.
        """
        rows = self.nearest(z)
        order = np.argsort(rows, kind="stable")
        weights = np.ascontiguousarray(coefficients[order], dtype=np.float32)
        ordered = np.empty((len(z), self.values.shape[2]), dtype=np.float32)
        chosen = slice(first, first + coefficients.shape[1])
        places, starts = np.unique(rows[order], return_index=True)
        for place, start, end in zip(places, starts, np.append(starts[1:], len(z)), strict=True):
            np.matmul(weights[start:end], self.values[place, chosen], out=ordered[start:end])
        result = np.empty_like(ordered)
        result[order] = ordered
        return result

    def log_rest(self, z: np.ndarray, reference: float = 1.0) -> np.ndarray:
        """Return ln(λ / reference) at rest of each band's pivot, float32 (n, b)."""
        observed = np.log(self.pivots / reference).astype(np.float32)
        return observed[None, :] - np.log1p(z).astype(np.float32)[:, None]
