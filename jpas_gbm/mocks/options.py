"""What a simulated survey is like: how many rows, of what, and how far mocks and sky are apart."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..config import Fraction, Options

ClassName = Literal["QSO_high", "QSO_low", "GALAXY", "STAR"]
ClassMix = tuple[float, float, float, float]


class ShiftOptions(Options):
    """How the sky differs from the mocks, at an overall scale of 1; each strength can be set alone."""

    zero_point: float = Field(0.04, ge=0, description="Scatter of zero points by tile and band, mag.")
    zero_point_band: float = Field(
        0.015, ge=0, description="Scatter of zero points by band, the same in all tiles, mag."
    )
    aperture: float = Field(
        0.35, ge=0, description="Flux an extended source loses in an aperture, mag for seeing worse by its own width."
    )
    gradient: float = Field(
        0.06, ge=0, description="Colour that extended sources gain in an aperture, mag per unit of ln wavelength."
    )
    seeing_scatter: float = Field(0.15, ge=0, description="Relative scatter of the seeing by tile and band.")
    variability: float = Field(0.08, ge=0, description="Change of a quasar between trays at 4000 Å at rest, mag.")
    errors: float = Field(0.5, ge=0, description="Largest share by which errors are underestimated, by tile and band.")
    warp: float = Field(0.03, ge=0, description="Smooth errors of the flux calibration of mocks, each of 3 modes, mag.")
    arms: float = Field(0.015, ge=0, description="Steps of that calibration between spectrograph arms, mag.")
    level: float = Field(0.27, ge=0, description="Scatter of the natural logarithm of a mock row's level.")
    wrong_labels: Fraction = Field(0.002, ge=0, le=0.5, description="Share of target labels that are wrong.")
    missing_tiles: Fraction = Field(0.5, ge=0, le=1, description="Share of tiles that lack some trays of filters.")


class PlantedLine(Options):
    """A survey for tests of explanations: smooth spectra, and one line in one class."""

    line: str = Field("CIV", description="Name of a quasar's line, such as Lya, CIV, CIII, MgII or Hbeta.")
    to: ClassName = Field("QSO_high", description="The class that has the line.")
    equivalent_width: float = Field(60.0, gt=0, description="Its equivalent width at rest, Å.")


class SimulateOptions(Options):
    """A simulated survey: mocks with classes, a labelled and an unlabelled part of the sky."""

    n_source: int = Field(12_000, ge=0, description="Mock rows, not counting twins of labelled objects.")
    n_labelled: int = Field(5_000, ge=0, description="Labelled target objects.")
    n_unlabelled: int = Field(1_000, ge=0, description="Unlabelled target objects.")
    realisations: int = Field(
        1, ge=1, description="Rows of each mock object, each with a noise and a level of its own."
    )
    twins: bool = Field(True, description="Whether mocks of the labelled target objects stand among the mocks.")
    bands: str = Field("jpas57", description="Band system, of J-PAS bands.")
    class_mix: ClassMix = Field(
        (746.0, 1903.0, 37061.0, 12306.0),
        description="Mix of the labelled target in class order; the paper's by default.",
    )
    class_mix_source: ClassMix = Field(
        (26767.0, 59335.0, 1067357.0, 352263.0), description="Mix of the mocks before quasars are over-represented."
    )
    quasar_factor_source: float = Field(2.5, ge=0, description="How much more common quasars are among the mocks.")
    quasar_factor_labelled: float = Field(1.0, ge=0, description="The same in the labelled target.")
    quasar_factor_unlabelled: float = Field(0.5, ge=0, description="The same in the unlabelled target.")
    magnitudes: tuple[float, float] = Field((16.0, 24.5), description="Brightest and faintest r, AB.")
    depth_offset: float = Field(-0.75, description="Depth minus that of miniJPAS, mag: the wide survey is shallower.")
    n_tiles: int = Field(0, ge=0, description="Tiles of the target; 0 chooses by its size.")
    overlap: Fraction = Field(0.03, ge=0, le=1, description="Share of target objects that two tiles observe.")
    imaging_share: Fraction = Field(0.985, ge=0, le=1, description="Share of target sources in the imaging table.")
    shift: float = Field(1.0, ge=0, description="Overall scale of the shift between mocks and sky; 0 is none.")
    shifts: ShiftOptions = ShiftOptions()
    planted: PlantedLine | None = Field(None, description="Smooth spectra with one line in one class instead.")

    @model_validator(mode="after")
    def _sensible(self) -> SimulateOptions:
        if self.n_source + self.n_labelled + self.n_unlabelled == 0:
            raise ValueError("a survey needs some rows: n_source, n_labelled and n_unlabelled are all 0")
        if not self.magnitudes[0] < self.magnitudes[1]:
            raise ValueError(f"magnitudes must be (bright, faint), not {self.magnitudes}")
        for name in ("class_mix", "class_mix_source"):
            mix = getattr(self, name)
            if min(mix) < 0 or max(mix) <= 0:
                raise ValueError(f"{name} must be four weights, none negative and not all 0, not {mix}")
        return self
