"""HEALPix cells of sky positions, nested scheme: what footprints are made of."""

from __future__ import annotations

import numpy as np

SKY = 4 * np.pi * (180 / np.pi) ** 2
"""Square degrees of the whole sky."""


def cell_area(order: int) -> float:
    """Return the area of a cell in square degrees."""
    return SKY / (12 * 4**order)


def cells_of(ra: np.ndarray, dec: np.ndarray, order: int) -> np.ndarray:
    """Return the nested cell of each position, int64 (n,).

    Górski et al. (2005), ApJ 622, 759, section 5; written here since the reference code is GPL.

    Parameters
    ----------
    ra, dec : array, shape (n,)
        ICRS degrees, finite.
    order : int
        0 to 29; a side of a base cell has 2^order cells.
    """
    face, x, y = face_xy(ra, dec, order)
    return (face << (2 * order)) | _spread(x) | (_spread(y) << 1)


def face_xy(ra: np.ndarray, dec: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return base cell (0 to 11) and column and row in it, int64 (n,) each, of each position."""
    side = 1 << order
    z = np.sin(np.deg2rad(np.asarray(dec, dtype=np.float64)))
    # Longitude in quarter turns, 0 <= tt < 4.
    tt = np.mod(np.asarray(ra, dtype=np.float64), 360.0) / 90.0
    tt = np.where(tt >= 4, 0.0, tt)
    belt = np.abs(z) <= 2 / 3
    # Around the equator: lines of constant slope through the cells.
    jp = np.floor(side * (0.5 + tt - z * 0.75)).astype(np.int64)
    jm = np.floor(side * (0.5 + tt + z * 0.75)).astype(np.int64)
    ifp, ifm = jp >> order, jm >> order
    face_belt = np.where(ifp == ifm, (ifp & 3) + 4, np.where(ifp < ifm, ifp & 3, (ifm & 3) + 8))
    x_belt, y_belt = jm & (side - 1), side - 1 - (jp & (side - 1))
    # Polar caps.
    quarter = np.minimum(tt.astype(np.int64), 3)
    tp = tt - quarter
    # 1 - |z| by the half angle, which keeps its digits at the poles.
    colatitude = np.deg2rad(90 - np.abs(np.asarray(dec, dtype=np.float64)))
    reach = side * np.sqrt(6.0) * np.sin(colatitude / 2)
    jp = np.minimum(np.floor(tp * reach).astype(np.int64), side - 1)
    jm = np.minimum(np.floor((1 - tp) * reach).astype(np.int64), side - 1)
    north = z >= 0
    face = np.where(belt, face_belt, np.where(north, quarter, quarter + 8))
    x = np.where(belt, x_belt, np.where(north, side - jm - 1, jp))
    y = np.where(belt, y_belt, np.where(north, side - jp - 1, jm))
    return face, x, y


def _spread(value: np.ndarray) -> np.ndarray:
    """Put a zero bit between the bits of numbers below 2^29."""
    value = value.astype(np.int64)
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        value = (value | (value << shift)) & mask
    return value
