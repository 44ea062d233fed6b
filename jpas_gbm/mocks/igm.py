"""The intergalactic medium: mean transmission of the Lyman series and continuum."""

from __future__ import annotations

import numpy as np

LYMAN_ALPHA = 1215.67
LYMAN_LIMIT = 911.75

# Lyman series of Inoue et al. (2014), table 2: wavelength in Å, and the strength of each line relative to Lyα
# in the forest (the three coefficients share one ratio) and in damped systems.
_SERIES = np.array(
    [
        [1215.670, 1.0, 1.0],
        [1025.720, 0.277690, 0.955726],
        [972.537, 0.132503, 0.926214],
        [949.743, 0.0780590, 0.903109],
        [937.803, 0.0515254, 0.883703],
        [930.748, 0.0365641, 0.866795],
        [926.226, 0.0272775, 0.851674],
        [923.150, 0.0211206, 0.837951],
        [920.963, 0.0168236, 0.825316],
        [919.352, 0.0137162, 0.813622],
        [918.129, 0.0113832, 0.802638],
        [917.181, 0.00959633, 0.792323],
        [916.429, 0.00819631, 0.782570],
        [915.824, 0.00707857, 0.773299],
        [915.329, 0.00617330, 0.764474],
        [914.919, 0.00542913, 0.756027],
    ]
)
_FOREST = (1.68976e-2, 2.35379e-3, 1.02611e-4)
_DAMPED = (1.61698e-4, 5.38995e-5)


def effective_depth(z: np.ndarray | float) -> np.ndarray | float:
    """Return the effective optical depth of the Lyα forest, Becker et al. (2013), for 2.15 < z < 4.85."""
    return 0.751 * ((1.0 + z) / 4.5) ** 2.90 - 0.132


def _forest_line(ratio: np.ndarray) -> np.ndarray:
    """Optical depth of Lyα in the forest where λ/λ_α is `ratio`."""
    low, middle, high = _FOREST
    return np.where(ratio < 2.2, low * ratio**1.2, np.where(ratio < 5.7, middle * ratio**3.7, high * ratio**5.5))


def _damped_line(ratio: np.ndarray) -> np.ndarray:
    low, high = _DAMPED
    return np.where(ratio < 3.0, low * ratio**2.0, high * ratio**3.0)


def _forest_continuum(ratio: np.ndarray, z: float) -> np.ndarray:
    """Lyman-continuum depth of the forest, eqs. 25-27, where λ/λ_L is `ratio`."""
    zp = 1.0 + z
    if z < 1.2:
        return 0.325 * (ratio**1.2 - zp**-0.9 * ratio**2.1)
    if z < 4.7:
        near = 2.55e-2 * zp**1.6 * ratio**2.1 + 0.325 * ratio**1.2 - 0.250 * ratio**2.1
        return np.where(ratio < 2.2, near, 2.55e-2 * (zp**1.6 * ratio**2.1 - ratio**3.7))
    near = 5.22e-4 * zp**3.4 * ratio**2.1 + 0.325 * ratio**1.2 - 3.14e-2 * ratio**2.1
    middle = 5.22e-4 * zp**3.4 * ratio**2.1 + 0.218 * ratio**2.1 - 2.55e-2 * ratio**3.7
    far = 5.22e-4 * (zp**3.4 * ratio**2.1 - ratio**5.5)
    return np.where(ratio < 2.2, near, np.where(ratio < 5.7, middle, far))


def _damped_continuum(ratio: np.ndarray, z: float) -> np.ndarray:
    """Lyman-continuum depth of damped systems, eqs. 28-29."""
    zp = 1.0 + z
    if z < 2.0:
        return 0.211 * zp**2 - 7.66e-2 * zp**2.3 * ratio**-0.3 - 0.135 * ratio**2
    far = 4.70e-2 * zp**3 - 1.78e-2 * zp**3.3 * ratio**-0.3
    near = 0.634 + far - 0.135 * ratio**2 - 0.291 * ratio**-0.3
    return np.where(ratio < 3.0, near, far - 2.92e-2 * ratio**3)


def optical_depth(wavelength: np.ndarray, redshifts: np.ndarray) -> np.ndarray:
    """Return the mean optical depth of the intergalactic medium, Inoue et al. (2014).

    Parameters
    ----------
    wavelength : array, shape (m,)
        Observed wavelengths in Å, increasing.
    redshifts : array, shape (k,)
        Of the source.

    Returns
    -------
    array of float64, shape (k, m)
        Lyman-series and Lyman-continuum absorption by the forest and by damped systems.
    """
    depth = np.zeros((len(redshifts), len(wavelength)))
    for line, forest, damped in _SERIES:
        ratio = wavelength / line
        own = forest * _forest_line(ratio) + damped * _damped_line(ratio)
        first = int(np.searchsorted(wavelength, line))
        ends = np.searchsorted(wavelength, line * (1.0 + redshifts))
        for row, end in enumerate(ends):
            depth[row, first:end] += own[first:end]
    for row, z in enumerate(redshifts):
        first, end = np.searchsorted(wavelength, [LYMAN_LIMIT, LYMAN_LIMIT * (1.0 + z)])
        ratio = wavelength[first:end] / LYMAN_LIMIT
        depth[row, first:end] += np.maximum(_forest_continuum(ratio, z) + _damped_continuum(ratio, z), 0.0)
    return depth


def transmission(wavelength: np.ndarray, redshifts: np.ndarray) -> np.ndarray:
    """Return the mean share of light that reaches us, exp(-:func:`optical_depth`), shape (k, m)."""
    return np.exp(-optical_depth(wavelength, redshifts))
