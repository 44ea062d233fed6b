"""Features of the photometry itself: fluxes, S/N, colours, band ratios, line indices; and what imaging tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ...surveys.bands import BandSystem
from ...surveys.catalogue import MORPHOLOGIES
from ..feature_group import FeaturePart, Setting, feature_group
from ..photospectra import Spectra, Window, narrow_sequence, soft_log

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


class FluxFeatures(FeaturePart):
    """Flux of each band in units of the row's level."""

    def __init__(self, bands: BandSystem) -> None:
        self.declare(bands, ((f"flux_{name}", [([name], 1.0)]) for name in bands.names))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows."""
        out[:] = spectra.flux


class MeanFluxes(FeaturePart):
    """Mean flux of neighbouring narrow bands, in units of the row's level: less noise than single bands.

    Parameters
    ----------
    bands : BandSystem
    width : int
        Bands of a mean; the last mean is of the bands that remain.
    """

    def __init__(self, bands: BandSystem, width: int = 5) -> None:
        sequence = narrow_sequence(bands)
        parts = [sequence[i : i + width] for i in range(0, len(sequence), width)]
        self.width = width
        self.declare(bands, ((f"flux{width}_{part[0]}_{part[-1]}", [(part, 1.0)]) for part in parts))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows."""
        out[:] = spectra.mean_flux(0, self.width, self.width, len(out))


class WholeSnr(FeaturePart):
    """Signal-to-noise ratio of the mean flux of all bands: how bright a source is, whatever its level."""

    def __init__(self, bands: BandSystem) -> None:
        self.declare(bands, [("snr_whole", [(bands.names, 1.0)])])

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (1, n), from n rows."""
        out[0] = spectra.whole_snr()
        np.clip(out, -_MOST_SNR, _MOST_SNR, out=out)


class SnrFeatures(FeaturePart):
    """Signal-to-noise ratio of each band."""

    def __init__(self, bands: BandSystem) -> None:
        self.declare(bands, ((f"snr_{name}", [([name], 1.0)]) for name in bands.names))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows."""
        assert spectra.err is not None, "the recipe has no S/N features without errors"
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            np.divide(spectra.flux, spectra.err, out=out)
        np.clip(out, -_MOST_SNR, _MOST_SNR, out=out)


class StepColours(FeaturePart):
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

    def __init__(self, bands: BandSystem, spacing: int) -> None:
        sequence = narrow_sequence(bands)
        self.spacing = spacing
        self.stride = next(s for s in (4, 2, 1) if s == 1 or (spacing % s == 0 and s <= spacing // 2))
        self.number = (len(sequence) - spacing) // self.stride + 1
        edges = range(spacing, len(sequence) - spacing + 1, self.stride)
        halves = {i: [(sequence[i - spacing : i], 0.5), (sequence[i : i + spacing], 0.5)] for i in edges}
        self.declare(bands, ((f"colour{spacing}_{sequence[i - 1]}_{sequence[i]}", of) for i, of in halves.items()))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows."""
        logs = soft_log(spectra.mean_flux(0, self.spacing, self.stride, self.number))
        apart = self.spacing // self.stride
        np.subtract(logs[apart:], logs[:-apart], out=out)


class PairColours(FeaturePart):
    """Colours of pairs of bands, red minus blue: of broad bands, or of all where there is no photo-spectrum."""

    def __init__(self, bands: BandSystem) -> None:
        inside = narrow_sequence(bands)
        chosen = [name for name in bands.by_wavelength if name not in inside]
        self._chosen = bands.indices(chosen)
        self._pairs = [(i, j) for i, j in combinations(range(len(chosen)), 2) if j - i <= _FURTHEST_PAIR]
        named = [(chosen[i], chosen[j]) for i, j in self._pairs]
        self.declare(bands, ((f"colour_{blue}_{red}", [([blue], 0.5), ([red], 0.5)]) for blue, red in named))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows."""
        logs = soft_log(spectra.flux[self._chosen])
        for row, (blue, red) in zip(out, self._pairs, strict=True):
            np.subtract(logs[red], logs[blue], out=row)


class RatioFeatures(FeaturePart):
    """Band ratios at the classical breaks of :data:`RATIOS`.

    A ratio is the arcsinh flux of the comparison window minus that of the dark one. It is left out where
    one of its windows holds no narrow band.
    """

    def __init__(self, bands: BandSystem) -> None:
        sequence = narrow_sequence(bands)
        windows = {
            name: [[i for i, b in enumerate(sequence) if low <= bands[b].pivot <= high] for low, high in limits]
            for name, limits in RATIOS.items()
        }
        held = {name: pair for name, pair in windows.items() if all(pair)}
        self._windows = [(window[0], len(window)) for pair in held.values() for window in pair]
        shares = {name: [([sequence[i] for i in window], 0.5) for window in pair] for name, pair in held.items()}
        self.declare(bands, ((f"ratio_{name}", of) for name, of in shares.items()))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows."""
        means = [spectra.mean_flux(start, width, 1, 1) for start, width in self._windows]
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
    window : LineWindow
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
        """Fill `out`, float32 (f, n), from n rows."""
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


_UNKNOWN = MORPHOLOGIES.index("UNKNOWN")
_POINT = MORPHOLOGIES.index("PSF")


class ImagingFeatures(FeaturePart):
    """Magnitude, morphology code and whether the source is a point; NaN where imaging does not know.

    They belong to no band of the survey: their weights are zero. Magnitudes of the imaging survey are not
    held against the survey's own fluxes, whose level is arbitrary in mocks: that would tell mocks from sky.
    """

    def __init__(self, bands: BandSystem) -> None:
        self.declare(bands, ((f"imaging_{name}", ()) for name in ("mag", "morphology", "point")))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows."""
        code = spectra.morphology
        known = code != _UNKNOWN
        out[0] = spectra.imaging_mag
        out[1] = np.where(known, code, np.float32(np.nan))
        out[2] = np.where(known, code == _POINT, np.float32(np.nan))


@feature_group("flux", order=10)
def flux_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield the fluxes of bands and of stretches of bands."""
    if setting.options.fluxes:
        yield FluxFeatures(setting.bands)
        yield MeanFluxes(setting.bands)


@feature_group("snr", order=20)
def snr_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield signal-to-noise ratios, where there are errors; that of all bands stands beside fluxes too."""
    by_band = setting.options.snr and not setting.lean
    if (setting.options.fluxes or by_band) and setting.has_errors:
        yield WholeSnr(setting.bands)
    if by_band and setting.has_errors:
        yield SnrFeatures(setting.bands)


@feature_group("colour", order=30)
def colour_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield the colours of broad bands, and those along the photo-spectrum at each spacing."""
    if setting.options.colours and not setting.lean:
        yield PairColours(setting.bands)
        for k in sorted(set(setting.options.colours)):
            if 2 * k <= len(setting.sequence):
                yield StepColours(setting.bands, k)


@feature_group("ratio", order=40)
def ratio_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield the ratios at classical breaks."""
    if setting.options.ratios and not setting.lean:
        yield RatioFeatures(setting.bands)


@feature_group("line", order=50)
def line_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield the line indices of every width that the photo-spectrum has room for."""
    if setting.options.lines and not setting.lean:
        for window in LINE_WINDOWS:
            if setting.sequence and window.fits(len(setting.sequence)):
                yield LineFeatures(setting.bands, window, setting.has_errors)


@feature_group("imaging", order=60)
def imaging_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield magnitude and morphology, where there is an imaging survey."""
    if setting.options.imaging and setting.has_imaging:
        yield ImagingFeatures(setting.bands)


@feature_group("template", order=100)
def template_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield what template fits tell, where templates are learnt."""
    if setting.templates is not None:
        yield setting.templates
