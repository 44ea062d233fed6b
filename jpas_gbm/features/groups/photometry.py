"""Features of the photometry itself: fluxes, S/N, colours and band ratios; and what imaging and templates tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np

from ...surveys.bands import BandSystem
from ...surveys.catalogue import MORPHOLOGIES
from ..photospectra import FeaturePart, Setting, Spectra, feature_group, narrow_sequence, soft_log

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
    """Flux of each band in units of the row's level.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
    """

    def __init__(self, bands: BandSystem) -> None:
        self.declare(bands, ((f"flux_{name}", [([name], 1.0)]) for name in bands.names))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled.
        """
        out[:] = spectra.flux


class MeanFluxes(FeaturePart):
    """Mean flux of neighbouring narrow bands, in units of the row's level: less noise than single bands.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
    width : int
        Bands of a mean; the last mean is of the bands that remain.
    """

    def __init__(self, bands: BandSystem, width: int = 5) -> None:
        sequence = narrow_sequence(bands)
        parts = [sequence[i : i + width] for i in range(0, len(sequence), width)]
        self.width = width
        self.declare(bands, ((f"flux{width}_{part[0]}_{part[-1]}", [(part, 1.0)]) for part in parts))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled.
        """
        out[:] = spectra.mean_flux(0, self.width, self.width, len(out))


class WholeSnr(FeaturePart):
    """Signal-to-noise ratio of the mean flux of all bands: how bright a source is, whatever its level.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
    """

    def __init__(self, bands: BandSystem) -> None:
        self.declare(bands, [("snr_whole", [(bands.names, 1.0)])])

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (1, n), from n rows.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled.
        """
        out[0] = spectra.whole_snr()
        np.clip(out, -_MOST_SNR, _MOST_SNR, out=out)


class SnrFeatures(FeaturePart):
    """Signal-to-noise ratio of each band.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
    """

    def __init__(self, bands: BandSystem) -> None:
        self.declare(bands, ((f"snr_{name}", [([name], 1.0)]) for name in bands.names))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled.
        """
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
        The b bands.
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
        """Fill `out`, float32 (f, n), from n rows.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled.
        """
        logs = soft_log(spectra.mean_flux(0, self.spacing, self.stride, self.number))
        apart = self.spacing // self.stride
        np.subtract(logs[apart:], logs[:-apart], out=out)


class PairColours(FeaturePart):
    """Colours of pairs of bands, red minus blue: of broad bands, or of all where there is no photo-spectrum.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
    """

    def __init__(self, bands: BandSystem) -> None:
        inside = narrow_sequence(bands)
        chosen = [name for name in bands.by_wavelength if name not in inside]
        self._chosen = bands.indices(chosen)
        self._pairs = [(i, j) for i, j in combinations(range(len(chosen)), 2) if j - i <= _FURTHEST_PAIR]
        named = [(chosen[i], chosen[j]) for i, j in self._pairs]
        self.declare(bands, ((f"colour_{blue}_{red}", [([blue], 0.5), ([red], 0.5)]) for blue, red in named))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled.
        """
        logs = soft_log(spectra.flux[self._chosen])
        for row, (blue, red) in zip(out, self._pairs, strict=True):
            np.subtract(logs[red], logs[blue], out=row)


class RatioFeatures(FeaturePart):
    """Band ratios at the classical breaks of :data:`RATIOS`.

    A ratio is the arcsinh flux of the comparison window minus that of the dark one. It is left out where
    one of its windows holds no narrow band.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
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
        """Fill `out`, float32 (f, n), from n rows.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled.
        """
        means = [spectra.mean_flux(start, width, 1, 1) for start, width in self._windows]
        logs = soft_log(np.concatenate(means))
        np.subtract(logs[1::2], logs[0::2], out=out)


_UNKNOWN = MORPHOLOGIES.index("UNKNOWN")
_POINT = MORPHOLOGIES.index("PSF")


class ImagingFeatures(FeaturePart):
    """Magnitude, morphology code and whether the source is a point; NaN where imaging does not know.

    They belong to no band of the survey: their weights are zero. Magnitudes of the imaging survey are not
    held against the survey's own fluxes, whose level is arbitrary in mocks: that would tell mocks from sky.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
    """

    def __init__(self, bands: BandSystem) -> None:
        self.declare(bands, ((f"imaging_{name}", ()) for name in ("mag", "morphology", "point")))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled.
        """
        code = spectra.morphology
        known = code != _UNKNOWN
        out[0] = spectra.imaging_mag
        out[1] = np.where(known, code, np.float32(np.nan))
        out[2] = np.where(known, code == _POINT, np.float32(np.nan))


class OptionalFeatures(FeaturePart):
    """Colours of optional bands with the r of their imaging survey and with one another, and measures in σ.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
    names : sequence of str
        Optional bands and measures; PM is the proper motion in both coordinates.
    """

    def __init__(self, bands: BandSystem, names: Sequence[str]) -> None:
        chosen = [name for name in ("G", "Z", "W1", "W2", "W3", "W4") if name in names]
        self._colours = [*((name, "r") for name in chosen), *pairwise(chosen)]
        self._measures = [name for name in ("PARALLAX", "PM") if name in names]
        colours = (f"optional_{blue}_{red}" for blue, red in self._colours)
        self.declare(bands, ((name, ()) for name in (*colours, *(f"optional_{name}" for name in self._measures))))

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n), from n rows; NaN where a row lacks what a feature is made of.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled.
        """
        nan = np.full(len(spectra), np.nan, dtype=np.float32)
        known = {"r": spectra.imaging_mag, **spectra.more}
        for row, (blue, red) in zip(out, self._colours, strict=False):
            np.subtract(known.get(blue, nan), known.get(red, nan), out=row)
        for row, name in zip(out[len(self._colours) :], self._measures, strict=True):
            row[:] = known.get(name, nan) if name != "PM" else np.hypot(known.get("PMRA", nan), known.get("PMDEC", nan))


@feature_group("flux", order=10)
def flux_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield the fluxes of bands and of stretches of bands.

    Parameters
    ----------
    setting : Setting
        Bands and options.

    Yields
    ------
    FeaturePart
    """
    if setting.options.fluxes:
        yield FluxFeatures(setting.bands)
        yield MeanFluxes(setting.bands)


@feature_group("snr", order=20)
def snr_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield signal-to-noise ratios, where there are errors; that of all bands stands beside fluxes too.

    Parameters
    ----------
    setting : Setting
        Bands and options.

    Yields
    ------
    FeaturePart
    """
    by_band = setting.options.snr and not setting.lean
    if (setting.options.fluxes or by_band) and setting.has_errors:
        yield WholeSnr(setting.bands)
    if by_band and setting.has_errors:
        yield SnrFeatures(setting.bands)


@feature_group("colour", order=30)
def colour_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield the colours of broad bands, and those along the photo-spectrum at each spacing.

    Parameters
    ----------
    setting : Setting
        Bands and options.

    Yields
    ------
    FeaturePart
    """
    spacings = setting.options.lean_colours if setting.lean else setting.options.colours
    if spacings and setting.options.colours:
        yield PairColours(setting.bands)
        for k in sorted(set(spacings)):
            if 2 * k <= len(setting.sequence):
                yield StepColours(setting.bands, k)


@feature_group("ratio", order=40)
def ratio_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield the ratios at classical breaks.

    Parameters
    ----------
    setting : Setting
        Bands and options.

    Yields
    ------
    FeaturePart
    """
    if setting.options.ratios and (setting.options.lean_colours or not setting.lean):
        yield RatioFeatures(setting.bands)


@feature_group("imaging", order=60)
def imaging_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield magnitude and morphology, where there is an imaging survey.

    Parameters
    ----------
    setting : Setting
        Bands and options.

    Yields
    ------
    FeaturePart
    """
    if setting.options.imaging and setting.has_imaging:
        yield ImagingFeatures(setting.bands)


@feature_group("optional", order=65)
def optional_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield colours and measures of optional bands, where options name some.

    Parameters
    ----------
    setting : Setting
        Bands and options.

    Yields
    ------
    FeaturePart
    """
    if setting.options.optional:
        yield OptionalFeatures(setting.bands, setting.options.optional)


@feature_group("template", order=100)
def template_features(setting: Setting) -> Iterator[FeaturePart]:
    """Yield what template fits tell, where templates are learnt.

    Parameters
    ----------
    setting : Setting
        Bands, options and templates.

    Yields
    ------
    FeaturePart
    """
    if setting.templates is not None:
        yield setting.templates
