"""Flux units and magnitude systems, and what they are in nJy."""

from __future__ import annotations

import warnings

import numpy as np

from ..errors import CatalogueError
from .bands import BandSystem
from .schema import Photometry

AB_ZERO_POINT = 31.4
"""AB magnitude of 1 nJy."""

_C = 2.99792458e18  # Å/s
_NJY = 1e32  # nJy in 1 erg/s/cm2/Hz
_POGSON = 2.5 / np.log(10)


def stated_unit(text: str | None) -> tuple[str, float] | None:
    """Return what a unit that a file states is, and its size in cgs, or None if it says nothing usable.

    Examples
    --------
    >>> stated_unit("10**-19 erg Angstrom-1 s-1 cm-2")
    ('f_lambda', 1e-19)
    >>> stated_unit("mag"), stated_unit("counts")
    (('ab_magnitude', 1.0), None)
    """
    if not text:
        return None
    from astropy import units as u

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            unit = u.Unit(text.replace("Angstroms", "Angstrom"), parse_strict="raise")
    except (ValueError, TypeError):
        return None
    for kind, cgs in (("f_lambda", u.erg / u.s / u.cm**2 / u.AA), ("f_nu", u.erg / u.s / u.cm**2 / u.Hz)):
        if unit.is_equivalent(cgs):
            # Through decades: 1e-19 stays 1e-19 and does not become 1.0000000000000001e-19.
            return kind, float(f"{unit.to(cgs):.12g}")
    return ("ab_magnitude", 1.0) if unit == u.mag else None


def flux_unit(rule: Photometry, stated: str | None) -> tuple[str, float]:
    """Return what fluxes are and the size of their unit in cgs; what the file states wins over the survey file.

    A file's plain "mag" does not tell asinh magnitudes from others, so there the survey file has the word.
    """
    found = stated_unit(stated)
    if found is None or (found[0] == "ab_magnitude" and rule.unit == "asinh_magnitude"):
        return rule.unit, rule.scale
    return found


def njy_per_unit(kind: str, scale: float, bands: BandSystem) -> np.ndarray:
    """Return nJy in one unit of f_λ or f_ν of each band, shape (b,).

    f_ν = f_λ λ_p² / c with the pivot wavelength λ_p, which holds for any spectrum.
    """
    if kind == "f_lambda":
        return scale * bands.pivots**2 / _C * _NJY
    return np.full(len(bands), scale * _NJY)


def njy_from_magnitudes(
    mag: np.ndarray, error: np.ndarray | None, kind: str, rule: Photometry, bands: BandSystem
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return fluxes and errors in nJy of AB or asinh magnitudes.

    An asinh magnitude m with softening b is the flux 2 b sinh(-m ln 10 / 2.5 - ln b) in units of that
    of magnitude 0 (Lupton, Gunn and Szalay 1999, AJ 118, 1406).

    Parameters
    ----------
    mag : array, shape (n, b)
    error : array, shape (n, b), or None
        In magnitudes.
    kind : {"ab_magnitude", "asinh_magnitude"}
    rule : Photometry
        Gives `softening` and `ab_offset`.
    bands : BandSystem

    Raises
    ------
    CatalogueError
        If a band has no softening.
    """
    mag = mag.astype(np.float64)
    zero = 10 ** (0.4 * (AB_ZERO_POINT - np.array([rule.ab_offset.get(name, 0.0) for name in bands.names])))
    if kind == "ab_magnitude":
        flux = zero * 10 ** (-0.4 * mag)
        return flux, None if error is None else flux * error / _POGSON
    lacking = [name for name in bands.names if name not in rule.softening]
    if lacking:
        raise CatalogueError(
            f"photometry '{rule.name}' is in asinh magnitudes, but the survey file gives no softening b for "
            f"{', '.join(lacking)}. Add it under 'softening'."
        )
    b = np.array([rule.softening[name] for name in bands.names])
    argument = -mag / _POGSON - np.log(b)
    flux = zero * 2 * b * np.sinh(argument)
    return flux, None if error is None else zero * 2 * b * np.cosh(argument) / _POGSON * error
