"""Line indices: how far each stretch of the photo-spectrum stands above its local continuum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...surveys.bands import BandSystem
from ..photospectra import FeaturePart, Setting, Spectra, Window, feature_group, narrow_sequence

FLOOR = 0.02
"""Share of the continuum added in quadrature to the noise: calibration is never better."""

_RELATIVE_FLOOR = 0.1
_TINY = np.float32(1e-12)


@dataclass(frozen=True)
class LineWindow:
    """A line of `width` bands between two continuum windows of `side` bands, `gap` bands away.

    Parameters
    ----------
    width : int
        Odd number of bands of the line.
    gap : int
        Bands left out on either side, for the wings.
    side : int
        Bands of the continuum on either side.
    stride : int
        Bands between neighbouring indices.
    """

    width: int
    gap: int
    side: int
    stride: int

    def fits(self, bands: int) -> bool:
        """Return whether every line within so many bands has at least one side.

        Parameters
        ----------
        bands : int
            Bands of the photo-spectrum.

        Returns
        -------
        bool
            Whether there are enough.
        """
        return bands >= 2 * (self.half + self.gap + 1)

    @property
    def apart(self) -> int:
        """Bands from the start of the left side to the start of the right; a multiple of the stride."""
        return self.width + 2 * self.gap + self.side

    @property
    def half(self) -> int:
        """Bands of the line on either side of its centre."""
        return self.width // 2

    def shares(self, sequence: tuple[str, ...], centre: int) -> list[tuple[tuple[str, ...], float]]:
        """Return the bands of the line and of either side of it, with their shares in the index.

        Half belongs to the line, a quarter to either side; a side beyond the end gives its share away.

        Parameters
        ----------
        sequence : tuple of str
            The narrow bands by rising wavelength.
        centre : int
            Place of the line's middle among them.

        Returns
        -------
        list of (tuple of str, float)
        """
        first, last = max(centre - self.half, 0), centre + self.half + 1
        start = centre - self.half - self.gap - self.side
        left = sequence[max(start, 0) : max(start + self.side, 0)]
        right = sequence[last + self.gap : last + self.gap + self.side]
        sides = [side for side in (left, right) if side]
        return [(sequence[first:last], 0.5), *((side, 0.5 / len(sides)) for side in sides)]


LINE_WINDOWS = (LineWindow(1, 1, 2, 1), LineWindow(3, 1, 3, 2), LineWindow(5, 1, 5, 2), LineWindow(9, 0, 7, 4))
"""One band (145 Å) holds a narrow line, three a broad quasar line at low redshift, five one at high
redshift, nine the blends of Fe, the molecular bands of cool stars and the bumps between breaks."""


class LineFeatures(FeaturePart):
    """Line indices of one width along the photo-spectrum.

    The continuum under the line is the straight line between the mean fluxes of the bands observed on
    either side, at their mean wavelengths: missing bands are stepped over. At the ends of the spectrum,
    or where a side is missing, it is the mean of the other side. The index is the excess over it in σ, where

        σ² = var(line) + var(continuum) + (0.02 continuum)²

    or, for a survey without errors, the excess over (\\|continuum\\| + 0.1), in units of the row's level.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
    window : LineWindow
        Width of the line and of its sides.
    has_errors : bool
        Whether the index is in σ.
    """

    def __init__(self, bands: BandSystem, window: LineWindow, has_errors: bool = True) -> None:
        sequence = narrow_sequence(bands)
        self.window = window
        centres = range(0, len(sequence), window.stride)
        self.number = len(centres)
        kind = "line" if has_errors else "linerel"
        self.declare(bands, ((f"{kind}{window.width}_{sequence[i]}", window.shares(sequence, i)) for i in centres))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled.
        """
        w = self.window
        line = spectra.window(-w.half, w.width, w.stride, self.number)
        apart = w.apart // w.stride
        start = -w.half - w.gap - w.side
        sides = spectra.window(start, w.side, w.stride, self.number + apart, empty=0.0)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            left, right = _shares(line, sides, apart)
            flux = left * sides.flux[:-apart]
            flux += right * sides.flux[apart:]
            np.subtract(line.flux, flux, out=out)
            if line.variance is None or sides.variance is None:
                scale = np.abs(flux) + np.float32(_RELATIVE_FLOOR)
            else:
                flux *= np.float32(FLOOR)
                flux *= flux
                scale = line.variance + flux
                left *= left
                left *= sides.variance[:-apart]
                scale += left
                right *= right
                right *= sides.variance[apart:]
                scale += right
                scale += _TINY
                np.sqrt(scale, out=scale)
            out /= scale


def _shares(line: Window, sides: Window, apart: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of the left and the right side in the continuum under the line, each float32 (p, n).

    Those of a straight line through both sides; where one side is missing, 0 and 1; where both are, NaN.
    """
    seen = np.minimum(sides.seen, np.float32(1))
    seen_left, seen_right = seen[:-apart], seen[apart:]
    both = seen_left * seen_right
    right = line.place - sides.place[:-apart]
    right /= sides.place[apart:] - sides.place[:-apart]
    right *= both
    left = both - right
    right += seen_right - both
    left += seen_left - both
    return left, right


@feature_group("line", order=50)
def line_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield the line indices of every width that the photo-spectrum has room for.

    Parameters
    ----------
    setting : Setting
        Bands and options.

    Yields
    ------
    FeaturePart
    """
    if setting.options.lines and not setting.lean:
        for window in LINE_WINDOWS:
            if setting.sequence and window.fits(len(setting.sequence)):
                yield LineFeatures(setting.bands, window, setting.has_errors)
