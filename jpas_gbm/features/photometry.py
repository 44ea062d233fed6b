"""Features that the imaging survey gives: magnitude and morphology.

Features of the photometry itself: normalised fluxes, S/N, colours and band ratios.

Line indices: how far each stretch of the photo-spectrum stands above its local continuum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..surveys.bands import BandSystem
from ..surveys.catalogue import MORPHOLOGIES
from .photospectra import Spectra, Window, narrow_sequence, soft_log

_FURTHEST_PAIR = 11
_MOST_SNR = np.float32(1e5)

RATIOS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "lya": ((3740, 3950), (4050, 4450)),
    "d4000": ((3740, 3970), (4050, 4270)),
    "g_band": ((4250, 4350), (4380, 4600)),
    "mg_h": ((5080, 5240), (4860, 5040)),
    "na_d": ((5860, 5960), (5660, 5850)),
    "tio_6200": ((6170, 6330), (5960, 6150)),
    "tio_7100": ((7060, 7250), (6960, 7040)),
    "tio_7700": ((7640, 7840), (7460, 7580)),
    "ca_triplet": ((8480, 8680), (8360, 8450)),
}
"""Classical breaks and bands in the observed frame, where stars and the survey's Lyα edge have them: the window
that a break or an absorption darkens, and the window that it is held against, in Å."""


def row_weights(bands: BandSystem, shares: Iterable[tuple[Iterable[str], float]]) -> np.ndarray:
    """Return one row of band weights, float64 (b,): each set of bands divides its share evenly.

    Parameters
    ----------
    bands : BandSystem
    shares : iterable of (band names, share)
        The shares add up to 1.
    """
    row = np.zeros(len(bands))
    for names, share in shares:
        columns = bands.indices(names)
        row[columns] += share / len(columns)
    return row


class FluxFeatures:
    """Flux of each band in units of the row's level."""

    group = "flux"

    def __init__(self, bands: BandSystem) -> None:
        self.names = tuple(f"flux_{name}" for name in bands.names)
        self.weights = np.eye(len(bands))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n)."""
        out[:] = spectra.flux


class MeanFluxes:
    """Mean flux of neighbouring narrow bands, in units of the row's level: less noise than single bands.

    Parameters
    ----------
    bands : BandSystem
    width : int
        Bands of a mean; the last mean is of the bands that remain.
    """

    group = "flux"

    def __init__(self, bands: BandSystem, width: int = 5) -> None:
        sequence = narrow_sequence(bands)
        parts = [sequence[i : i + width] for i in range(0, len(sequence), width)]
        self.width = width
        self.names = tuple(f"flux{width}_{part[0]}_{part[-1]}" for part in parts)
        self.weights = np.array([row_weights(bands, [(part, 1.0)]) for part in parts]).reshape(len(parts), len(bands))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n)."""
        out[:] = spectra.mean_flux(0, self.width, self.width, len(out))


class WholeSnr:
    """Signal-to-noise ratio of the mean flux of all bands: how bright a source is, whatever its level."""

    group = "snr"
    names: tuple[str, ...] = ("snr_whole",)

    def __init__(self, bands: BandSystem) -> None:
        self.weights = np.full((1, len(bands)), 1 / len(bands))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (1, n)."""
        out[0] = spectra.whole_snr()
        np.clip(out, -_MOST_SNR, _MOST_SNR, out=out)


class SnrFeatures:
    """Signal-to-noise ratio of each band."""

    group = "snr"

    def __init__(self, bands: BandSystem) -> None:
        self.names = tuple(f"snr_{name}" for name in bands.names)
        self.weights = np.eye(len(bands))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n)."""
        assert spectra.err is not None, "the recipe has no S/N features without errors"
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            np.divide(spectra.flux, spectra.err, out=out)
        np.clip(out, -_MOST_SNR, _MOST_SNR, out=out)


class StepColours:
    """Colours along the photo-spectrum: the mean of k bands against that of the next k, red minus blue.

    A colour is a difference of arcsinh fluxes (:func:`~jpas_gbm.features.spectra.soft_log`), so negative
    fluxes are welcome. Two bands make the local slope; sixteen make a filter for a step, which
    finds the Lyman and 4000 Å breaks wherever the redshift has put them. Wide ones are taken at fewer places.

    Parameters
    ----------
    bands : BandSystem
    spacing : int
        k.
    """

    group = "colour"

    def __init__(self, bands: BandSystem, spacing: int) -> None:
        sequence = narrow_sequence(bands)
        self.spacing = spacing
        self.stride = next(s for s in (4, 2, 1) if s == 1 or (spacing % s == 0 and s <= spacing // 2))
        self.number = (len(sequence) - spacing) // self.stride + 1
        edges = range(spacing, len(sequence) - spacing + 1, self.stride)
        self.names = tuple(f"colour{spacing}_{sequence[i - 1]}_{sequence[i]}" for i in edges)
        rows = [row_weights(bands, [(sequence[i - spacing : i], 0.5), (sequence[i : i + spacing], 0.5)]) for i in edges]
        self.weights = np.array(rows).reshape(len(rows), len(bands))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n)."""
        logs = soft_log(spectra.mean_flux(0, self.spacing, self.stride, self.number))
        apart = self.spacing // self.stride
        np.subtract(logs[apart:], logs[:-apart], out=out)


class PairColours:
    """Colours of pairs of bands, red minus blue: of broad bands, or of all where there is no photo-spectrum."""

    group = "colour"

    def __init__(self, bands: BandSystem) -> None:
        inside = narrow_sequence(bands)
        chosen = [name for name in bands.by_wavelength if name not in inside]
        pairs = [(i, j) for i, j in combinations(range(len(chosen)), 2) if j - i <= _FURTHEST_PAIR]
        self._chosen = bands.indices(chosen)
        self._pairs = pairs
        self.names = tuple(f"colour_{chosen[i]}_{chosen[j]}" for i, j in pairs)
        rows = [row_weights(bands, [([chosen[i]], 0.5), ([chosen[j]], 0.5)]) for i, j in pairs]
        self.weights = np.array(rows).reshape(len(rows), len(bands))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n)."""
        logs = soft_log(spectra.flux[self._chosen])
        for row, (blue, red) in zip(out, self._pairs, strict=True):
            np.subtract(logs[red], logs[blue], out=row)


class RatioFeatures:
    """Band ratios at the classical breaks of :data:`RATIOS`.

    A ratio is the arcsinh flux of the comparison window minus that of the dark one. It is left out where
    one of its windows holds no narrow band.
    """

    group = "ratio"

    def __init__(self, bands: BandSystem) -> None:
        sequence = narrow_sequence(bands)
        names, rows = [], []
        self._windows: list[list[tuple[int, int]]] = []
        for name, limits in RATIOS.items():
            windows = [[i for i, b in enumerate(sequence) if low <= bands[b].pivot <= high] for low, high in limits]
            if all(windows):
                names.append(f"ratio_{name}")
                rows.append(row_weights(bands, [([sequence[i] for i in window], 0.5) for window in windows]))
                self._windows.append([(window[0], len(window)) for window in windows])
        self.names = tuple(names)
        self.weights = np.array(rows).reshape(len(rows), len(bands))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n)."""
        means = [spectra.mean_flux(start, width, 1, 1) for pair in self._windows for start, width in pair]
        logs = soft_log(np.concatenate(means))
        np.subtract(logs[1::2], logs[0::2], out=out)


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
        """Return whether every line within so many bands has at least one side."""
        return bands >= 2 * (self.half + self.gap + 1)

    @property
    def apart(self) -> int:
        """Bands from the start of the left side to the start of the right; a multiple of the stride."""
        return self.width + 2 * self.gap + self.side

    @property
    def half(self) -> int:
        """Bands of the line on either side of its centre."""
        return self.width // 2


LINE_WINDOWS = (LineWindow(1, 1, 2, 1), LineWindow(3, 1, 3, 2), LineWindow(5, 1, 5, 2), LineWindow(9, 0, 7, 4))
"""One band (145 Å) holds a narrow line, three a broad quasar line at low redshift, five one at high
redshift, nine the blends of Fe, the molecular bands of cool stars and the bumps between breaks."""


class LineFeatures:
    """Line indices of one width along the photo-spectrum.

    The continuum under the line is the straight line between the mean fluxes of the bands observed on
    either side, at their mean wavelengths: missing bands are stepped over. At the ends of the spectrum,
    or where a side is missing, it is the mean of the other side. The index is the excess over it in σ, where

        σ² = var(line) + var(continuum) + (0.02 continuum)²

    or, for a survey without errors, the excess over (\\|continuum\\| + 0.1), in units of the row's level.

    Parameters
    ----------
    bands : BandSystem
    window : LineWindow
    has_errors : bool
        Whether the index is in σ.
    """

    group = "line"

    def __init__(self, bands: BandSystem, window: LineWindow, has_errors: bool = True) -> None:
        sequence = narrow_sequence(bands)
        self.window = window
        self.has_errors = has_errors
        centres = range(0, len(sequence), window.stride)
        self.number = len(centres)
        kind = "line" if has_errors else "linerel"
        self.names = tuple(f"{kind}{window.width}_{sequence[i]}" for i in centres)
        rows = [_weights(bands, sequence, window, i) for i in centres]
        self.weights = np.array(rows).reshape(len(rows), len(bands))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n)."""
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


def _weights(bands: BandSystem, sequence: tuple[str, ...], window: LineWindow, centre: int) -> np.ndarray:
    """Half of an index belongs to the line, a quarter to either side; a side beyond the end gives its share away."""
    first, last = max(centre - window.half, 0), centre + window.half + 1
    start = centre - window.half - window.gap - window.side
    left = sequence[max(start, 0) : max(start + window.side, 0)]
    right = sequence[last + window.gap : last + window.gap + window.side]
    sides = [side for side in (left, right) if side]
    return row_weights(bands, [(sequence[first:last], 0.5), *((side, 0.5 / len(sides)) for side in sides)])


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


_UNKNOWN = MORPHOLOGIES.index("UNKNOWN")
_POINT = MORPHOLOGIES.index("PSF")


class ImagingFeatures:
    """Magnitude, morphology code and whether the source is a point; NaN where imaging does not know.

    They belong to no band of the survey: their weights are zero. Magnitudes of the imaging survey are not
    held against the survey's own fluxes, whose level is arbitrary in mocks: that would tell mocks from sky.
    """

    group = "imaging"
    names: tuple[str, ...] = ("imaging_mag", "imaging_morphology", "imaging_point")

    def __init__(self, bands: BandSystem) -> None:
        self.weights = np.zeros((len(self.names), len(bands)))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n)."""
        code = spectra.morphology
        known = code != _UNKNOWN
        out[0] = spectra.imaging_mag
        out[1] = np.where(known, code, np.float32(np.nan))
        out[2] = np.where(known, code == _POINT, np.float32(np.nan))
