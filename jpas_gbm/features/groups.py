"""The groups of features, and which of them a band system can have."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..config import FeatureOptions
from ..errors import FeatureMismatch
from ..survey.bands import BandSystem
from .imaging import ImagingFeatures
from .lines import LINE_WINDOWS, LineFeatures
from .photometry import FluxFeatures, MeanFluxes, PairColours, RatioFeatures, SnrFeatures, StepColours, WholeSnr
from .spectra import Spectra, narrow_sequence

GROUPS = ("flux", "snr", "colour", "ratio", "line", "imaging", "template")
"""Names of the groups; the name of a feature begins with the name of its group."""


class Features(Protocol):
    """Some features of one group: their names, what part of each belongs to each band, and how they are computed."""

    group: str
    names: tuple[str, ...]
    weights: np.ndarray

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Fill `out`, float32 (f, n)."""


def group_of(name: str) -> str:
    """Return the group that a feature belongs to, by its name.

    Raises
    ------
    FeatureMismatch
        If no group has such features.
    """
    group = name.partition("_")[0].rstrip("0123456789").replace("linerel", "line")
    if group not in GROUPS:
        raise FeatureMismatch(f"'{name}' is not the name of a feature. Groups of features: {', '.join(GROUPS)}.")
    return group


def plain_features(
    bands: BandSystem, options: FeatureOptions, has_errors: bool, has_imaging: bool
) -> tuple[Features, ...]:
    """Return the features, all but templates, that the options ask for and the bands allow.

    S/N needs errors; ratios, line indices and colours of band means need a photo-spectrum of narrow bands.

    Parameters
    ----------
    bands : BandSystem
    options : FeatureOptions
    has_errors, has_imaging : bool
        What every catalogue will have.
    """
    sequence = narrow_sequence(bands)
    parts: list[Features] = []
    if options.fluxes:
        parts += [FluxFeatures(bands), MeanFluxes(bands)]
    if (options.fluxes or options.snr) and has_errors:
        parts.append(WholeSnr(bands))
    if options.snr and has_errors:
        parts.append(SnrFeatures(bands))
    if options.colours:
        parts.append(PairColours(bands))
    parts += [StepColours(bands, k) for k in sorted(set(options.colours)) if 0 < 2 * k <= len(sequence)]
    if options.ratios:
        parts.append(RatioFeatures(bands))
    if options.lines:
        fitting = [window for window in LINE_WINDOWS if sequence and window.fits(len(sequence))]
        parts += [LineFeatures(bands, window, has_errors) for window in fitting]
    if options.imaging and has_imaging:
        parts.append(ImagingFeatures(bands))
    return tuple(part for part in parts if part.names)
