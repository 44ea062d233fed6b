"""Every option of a run, declared once: type, default, unit and one sentence."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .config import Options, Registry
from .errors import ConfigError

Fraction = float
Spacing = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _no_limit(value: Any) -> Any:
    return None if isinstance(value, int | float) and value == math.inf else value


Faintest = Annotated[float | None, BeforeValidator(_no_limit)]
"""A magnitude; none, or inf, sets no limit."""


REGIMES: tuple[str, ...] = ("mocks-only", "target-only", "uda", "ssda")
BACKENDS: Registry[Any] = Registry("boosting backend", "boosting.backends")
"""The libraries that can grow the trees: classes of :class:`~jpas_gbm.boosting.backend.Backend`."""


def _known_backend(name: str) -> str:
    try:
        return BACKENDS.check(name)
    except ConfigError as error:
        raise ValueError(str(error)) from error


BackendName = Annotated[str, AfterValidator(_known_backend)]


class SplitOptions(Options):
    """How objects are dealt to training, validation and test."""

    target: tuple[Fraction, Fraction, Fraction] = Field(
        (0.3, 0.3, 0.4), description="Shares of labelled target objects for train, validation, test."
    )
    source: tuple[Fraction, Fraction, Fraction] = Field(
        (0.7, 0.15, 0.15), description="Shares of mock objects for train, validation, test."
    )
    seed: int = Field(137, ge=0, description="Seed of the permutation of object ids.")
    by: Literal["object", "tile", "healpix"] = Field(
        "object", description="What of the target goes together: objects, whole tiles, or HEALPix cells of 0.8 deg²."
    )


class PrepareOptions(Options):
    """How survey files become a data set."""

    bands: str = Field("auto", description="Band system to keep; auto takes the survey file's default.")
    match_radius: float = Field(1.0, gt=0, description="Largest separation of a sky match, arcsec.")
    overlap_radius: float = Field(0.5, ge=0, description="Sources of two tiles nearer than this are one, arcsec.")
    keep_twins: bool = Field(False, description="Let mocks of objects in the label catalogue train (a leak).")
    splits: SplitOptions = SplitOptions()


class FeatureOptions(Options):
    """What the trees see."""

    fluxes: bool = Field(True, description="Fluxes normalised by their robust mean.")
    snr: bool = Field(True, description="Signal-to-noise ratio of each band.")
    colours: tuple[Spacing, ...] = Field((2, 4, 8, 16), description="Spacings, in bands, of asinh colours.")
    ratios: bool = Field(True, description="Band ratios at the classical breaks.")
    lines: bool = Field(True, description="Line indices against a sliding local continuum, in σ.")
    lean: bool = Field(
        True, description="Where template features stand, leave out S/N, lines and all but a few colours."
    )
    lean_colours: tuple[Spacing, ...] = Field(
        (8, 16), description="Spacings of those colours; ratios stand beside them. Empty leaves out all of both."
    )
    templates: bool = Field(True, description="χ² and posterior features of template fits.")
    template_ranks: tuple[Spacing, ...] = Field((4,), description="Rank of the bases, one set of templates each.")
    template_hosts: float = Field(
        0.0,
        ge=0,
        le=1,
        description="1 σ of the light share of a host galaxy in quasar templates of z < 0.8; 0 leaves it out.",
    )
    imaging: bool = Field(True, description="Magnitude and morphology of the imaging survey, where given.")
    optional: tuple[Literal["G", "Z", "W1", "W2", "W3", "W4", "PARALLAX", "PM"], ...] | None = Field(
        None,
        description="Optional bands and measures of imaging tables: colours with r, parallax and proper motion in σ; "
        "none: g and z where imaging is on and most sources of mocks and sky have them.",
    )
    more: tuple[str, ...] = Field((), description="Registered groups of features that have no switch of their own.")


class TemplateOptions(Options):
    """How template bases are cut and fitted."""

    z_step: float = Field(0.025, gt=0, description="Width of redshift bins in ln(1 + z).")
    fine_step: float = Field(0.025, gt=0, description="Width of the redshift bins near `fine_at`, in ln(1 + z).")
    fine_at: float = Field(2.1, gt=-1, description="Redshift near which bins have that width.")
    fine_span: float = Field(0.15, ge=0, description="How near, in ln(1 + z).")
    bin_rows: int = Field(30, ge=1, description="Fewest rows in a redshift bin; poorer ones join their neighbour.")
    part_rows: int = Field(250, ge=1, description="A bin with twice so many rows is halved by colour into two.")
    colour_bins: int = Field(16, ge=1, description="Bins of a class without redshifts, by halving its first component.")
    floor: float = Field(0.03, ge=0, description="Share of the flux added in quadrature to its error.")
    prior: float = Field(1.0, gt=0, description="Prior variance of the coefficients, in units of that among mocks.")
    amplitude: float = Field(1.0, gt=0, description="1 σ of the prior of a template's amplitude, in row levels.")
    most_rows: int = Field(4000, ge=1, description="Most rows that one basis is learnt from.")
    wild: float = Field(
        4.0, ge=0, description="A band that every class's best template misses by more σ is left out; 0 keeps all."
    )
    large: float = Field(0.3, ge=0, description="Such a band also differs by this share of the flux: no line does.")
    most_wild: int = Field(3, ge=0, description="Most bands of a row that are left out so.")
    least_outlier_rate: float = Field(
        5e-4, ge=0, description="Where fewer fluxes than this share are measured to be far off, no band is left out."
    )
    most_modes: int = Field(4, ge=0, description="Most variations of a class, strongest first.")
    variation_rows: int = Field(1500, ge=1, description="Most target rows of a class that they are learnt from.")
    least_variation_rows: int = Field(100, ge=1, description="Fewest of them.")
    host_share: float = Field(
        0.0, ge=0, description="1 σ of a host galaxy's share of the light in quasar templates; 0 lets none in."
    )
    host_below: float = Field(0.8, description="Redshift from which quasar templates have no host.")


_POWER = "Class weights are class frequency to minus this power; 0: none. None: 0 where 1,000 rows train, else 0.5."


class Growth(Options):
    """How trees grow."""

    learning_rate: float = Field(0.05, gt=0, le=1, description="Shrinkage of each round.")
    leaves: int = Field(8, ge=2, le=131_072, description="Leaves of a tree.")
    min_child: int = Field(60, ge=1, description="Fewest rows in a leaf.")
    rounds: int = Field(1200, ge=1, description="Most boosting rounds.")
    patience: int = Field(50, ge=0, description="Rounds without gain on validation before stopping; 0 never stops.")
    feature_fraction: float = Field(0.5, gt=0, le=1, description="Share of the features that a tree may use.")
    row_fraction: float = Field(0.8, gt=0, le=1, description="Share of the rows that a tree sees.")
    l2: float = Field(5.0, ge=0, allow_inf_nan=False, description="L2 penalty on leaf values.")
    max_bin: int = Field(127, ge=3, le=255, description="Histogram bins of a feature.")
    class_weight_power: float | None = Field(0.5, ge=0, le=1, description=_POWER)


class BoostingOptions(Growth):
    """How the trees grow on the mocks, or on whatever the first stage trains on."""

    backend: BackendName = Field("lightgbm", description="The library that grows the trees.")


class ContinueOptions(Growth):
    """How boosting continues on labelled target rows, in the library that began."""

    learning_rate: float = Field(0.03, gt=0, le=1, description="Shrinkage of each round.")
    min_child: int = Field(20, ge=1, description="Fewest rows in a leaf.")
    l2: float = Field(10.0, ge=0, allow_inf_nan=False, description="L2 penalty on leaf values.")
    class_weight_power: float | None = Field(None, ge=0, le=1, description=_POWER)


class DomainOptions(Options):
    """The domain classifier and the importance weights made from it."""

    kind: Literal["all", "within", "blind"] = Field(
        "within",
        description="What weights are odds of: all features; all within each class, by labelled rows of the sky; or "
        "the features that tell classes and not domains. Without labels of the sky, within is all.",
    )
    folds: int = Field(3, ge=2, le=50, description="Folds of the cross-fitting.")
    gammas: tuple[Share, ...] = Field(
        (0.0, 0.25), min_length=1, description="Tempers tried: weight is odds to this power."
    )
    clip: float = Field(20.0, gt=1, description="Weights beyond this factor from their mean are clipped.")
    uda_gamma: float = Field(0.25, ge=0, le=1, description="Temper of the weights of regime uda, which has no labels.")
    min_effective_share: float = Field(
        0.01, ge=0, le=1, description="Least effective share of the sample size; below it weights are given up."
    )
    rounds: int = Field(100, ge=1, description="Boosting rounds of the domain classifier.")
    leaves: int = Field(15, ge=2, le=131_072, description="Leaves of its trees.")
    max_rows: int = Field(60_000, ge=100, description="Most rows of each domain that train it.")


class TwinlessOptions(Options):
    """How the shift is measured on unlabelled sources, each beside its best template."""

    rank: int = Field(6, ge=1, description="Rank of the bases.")
    floor: float = Field(0.04, ge=0, description="Share of the flux added in quadrature to its error.")
    sources: int = Field(20_000, ge=1, description="Most sources that serve.")
    signal: float = Field(4.0, ge=0, description="Least median S/N per band of a source.")
    bands: Share = Field(0.55, description="Least share of the bands that a source has.")
    sure_first: Share = Field(0.9, description="Least probability of a source's class in the first round.")
    sure: Share = Field(0.99, description="The same in later rounds.")
    prior: float = Field(0.03, gt=0, description="1 σ of zero points and offsets under the prior, relative.")
    most_modes: int = Field(6, ge=0, description="Most variations of a class.")
    common_limit: float = Field(
        3.0,
        ge=0,
        description="Largest common zero point in units of the scatter of tiles over the root of their number.",
    )
    common_least: float = Field(0.006, ge=0, description="A common zero point smaller than this is taken anyway.")
    star_modes: float = Field(0.03, ge=0, description="Largest variation of stars that is taken for the sky's.")
    star_misfit: float = Field(1.5, ge=0, description="Largest excess of the χ² of stars over that of mock stars.")
    outlier_rate: float = Field(0.006, ge=0, description="Largest rate of outliers that is taken for the sky's.")


class SkyOptions(Options):
    """Training that sees the sky: what is done to mocks before features are made."""

    copy_missing: bool = Field(True, description="Take away from mocks the bands that target rows lack.")
    renoise: bool = Field(True, description="See the mocks' noise-free fluxes through errors of target rows.")
    realisations: int = Field(3, ge=1, description="Noise realisations of each mock row that trains, at most.")
    most_rows: int = Field(
        300_000,
        ge=1,
        description="Fewer realisations are made where the mocks that train would be more rows than this.",
    )
    paired_repair: bool = Field(
        True, description="Measure zero points, class offsets and variations on mock twins of train objects."
    )
    forget_imaging: Fraction = Field(0.5, ge=0, le=1, description="Share of training rows that lose imaging features.")
    forget_optional: Fraction = Field(0.3, ge=0, le=1, description="Share that loses each group of optional bands.")
    pseudo_twins: bool = Field(
        True, description="Measure the shift on unlabelled sources beside their templates where no label may be read."
    )
    twinless: TwinlessOptions = TwinlessOptions()


class CalibrationOptions(Options):
    """How margins become probabilities."""

    method: Literal["auto", "none", "temperature", "offsets", "vector", "dirichlet"] = Field(
        "auto", description="auto chooses by cross-fitted log loss on target validation."
    )
    folds: int = Field(5, ge=2, description="Folds of that choice.")
    shrinkage: tuple[Strength, ...] = Field(
        (0.001, 0.01, 0.1, 1.0), min_length=1, description="Strengths of the pull towards no correction that are tried."
    )
    prior_rows: Strength = Field(1.0, description="Weight, in labels, of the prior that nothing needs correcting.")
    anchor_rows: Strength = Field(
        30.0, description="The same where mocks and the class mix of unlabelled rows say what to begin from."
    )


class FitOptions(Options):
    """One fit: the regime and everything it needs."""

    regime: str = Field("ssda", description="What training may touch.")
    recipe: str = Field(
        "auto",
        description="How ssda uses target labels: auto, which chooses on target validation, or continue, pool, stack, "
        "mean or another registered recipe.",
    )
    ways: dict[str, dict[str, Any]] = Field({}, description="Options of registered ways to adapt, by the way's name.")
    seeds: int = Field(1, ge=1, description="Members of the ensemble, each with a seed of its own.")
    backends: tuple[BackendName, ...] = Field(
        (), description="Libraries of the ensemble; empty means the one named under boosting."
    )
    target_weight: tuple[Weight, ...] = Field(
        (3.0,), min_length=1, description="Weights of target rows tried when pooling."
    )
    pseudo_weight: float = Field(
        0.0, ge=0, description="Weight of confidently classified unlabelled rows when pooling; 0 leaves them out."
    )
    pseudo_confidence: float = Field(0.98, gt=0, lt=1, description="Least probability of a pseudo-label.")
    crossfit: int = Field(
        0,
        ge=0,
        le=50,
        description="Folds of train and validation labels: trees train on all of them, folds choose and calibrate. "
        "0 or 1 keeps the split: train labels fit, validation labels choose.",
    )
    plain_member: bool = Field(
        True, description="Trees without templates join where these are in doubt, or mocks teach without a shift."
    )
    class_mix: bool = Field(True, description="Regime uda takes the class mix of its unlabelled rows, found by EM.")
    class_mix_doubt: float = Field(
        0.1, ge=0, le=1, description="It does not where confidences differ by more than this share of the rows."
    )
    cut: Faintest = Field(
        22.5, gt=0, description="Validation rows fainter than this magnitude do not count in choices; none: all do."
    )
    features: FeatureOptions = FeatureOptions()
    sky: SkyOptions = SkyOptions()
    boosting: BoostingOptions = BoostingOptions()
    continuation: ContinueOptions = ContinueOptions()
    domain: DomainOptions = DomainOptions()
    calibration: CalibrationOptions = CalibrationOptions()

    @model_validator(mode="before")
    @classmethod
    def _one_library(cls, value: Any) -> Any:
        """Refuse another library for the trees that go on; what was written before repeats the one that began."""
        more = value.get("continuation") if isinstance(value, dict) else None
        if isinstance(more, dict) and "backend" in more:
            begun = BoostingOptions.model_validate(value.get("boosting") or {}).backend
            if more["backend"] != begun:
                raise ValueError(f"continuation.backend: trees go on in the library of boosting.backend ({begun})")
            value = {**value, "continuation": {name: one for name, one in more.items() if name != "backend"}}
        return value


ClassName = Literal["QSO_high", "QSO_low", "GALAXY", "STAR"]
ClassMix = tuple[float, float, float, float]
RareKind = Literal[
    "M dwarf", "carbon star", "accreting star", "L dwarf", "white dwarf", "hot or metal-poor star",
    "emission-line dwarf", "red quasar",
]  # fmt: skip


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
    population: float = Field(
        0.0, ge=0, description="How far slopes, lines, metals, dust, hosts differ from the mocks'."
    )


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
    realisations: int = Field(1, ge=1, description="Rows of each mock object, each with noise and level of its own.")
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
    wise: bool = Field(False, description="Whether imaging also has W1 and W2 of WISE, and g and z as optional bands.")
    kinds: dict[RareKind, Fraction] = Field({}, description="Rare kinds simulated too: their shares of their classes.")

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


Value = bool | int | float | str | list[Any] | tuple[Any, ...] | None
"""A value that an option may have."""


Metric = Literal["log_loss", "macro_f1", "average_precision", "mix"]


def _finite(value: Any) -> Any:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a finite number is needed")
    return value


Number = Annotated[int | float, BeforeValidator(_finite)]


class Entry(Options):
    """What one option may be: a range, or choices."""

    low: Number | None = Field(None, description="Least value.")
    high: Number | None = Field(None, description="Largest value.")
    log: bool = Field(False, description="Whether the range is logarithmic.")
    step: Number | None = Field(None, description="Spacing of the values; none is continuous.")
    choices: tuple[Any, ...] = Field((), description="The values, where there is no range.")


class Mix(Options):
    """How much each figure counts in a mix; of figures to be large, 1 less the figure counts."""

    log_loss: float = Field(1.0, ge=0, description="Weight of the log loss.")
    macro_f1: float = Field(0.1, ge=0, description="Weight of 1 - macro-F1.")
    average_precision: float = Field(0.1, ge=0, description="Weight of 1 - average precision.")


class ObjectiveOptions(Options):
    """What a study makes small, and on which labelled target rows."""

    metric: Metric = Field("log_loss", description="The figure that trials are ranked by.")
    also: Metric | None = Field(None, description="A second figure: the study then finds a Pareto front.")
    of_class: str = Field("QSO_high", description="The class of average_precision.")
    mix: Mix = Mix()
    judge: Literal["val", "folds"] = Field(
        "val", description="val: on the validation split; folds: on each fold in turn."
    )
    folds: int = Field(2, ge=2, description="Number of those folds.")


class Rung(Options):
    """How much work a trial is given before it is compared with the others."""

    mocks: Fraction = Field(1.0, gt=0, le=1, description="Share of the mocks that train.")
    coarseness: float = Field(1.0, ge=1, description="Rates are times this; rounds and patience are divided by it.")
    recipe: str | None = Field(None, description="The one recipe tried here where a fit tries all (auto); none: all.")


class TuneOptions(Options):
    """One study."""

    objective: ObjectiveOptions = ObjectiveOptions()
    ladder: tuple[Rung, ...] = Field(
        (
            Rung(mocks=0.25, coarseness=4.0, recipe="continue"),
            Rung(mocks=0.5, coarseness=2.0, recipe="continue"),
            Rung(),
        ),
        min_length=1,
        description="From cheap to whole; the last one is the score.",
    )
    keep: Fraction = Field(0.35, gt=0, le=1, description="Best share of the trials on a rung that climbs to the next.")
    among: int = Field(10, ge=0, description="Trials on the rung that one is ranked with, the latest; 0: all so far.")
    startup: int = Field(10, ge=1, description="Trials drawn at random before the sampler learns.")
    reuse_every: int = Field(
        3, ge=0, description="After those, each such trial keeps the best's mock-grown trees; 0: none."
    )
    fresh_seeds: int = Field(3, ge=0, description="Seeds that the finalists are trained with anew at the end.")
    finalists: int = Field(
        3, ge=1, description="Best trials that meet fresh seeds: the earliest not told from the best by them is kept."
    )
    start: tuple[dict[str, Any], ...] = Field((), description="Values to try first, with all the work; else the fit's.")
    fit: dict[str, Any] = Field({}, description="Options of every fit, over the shipped ones of the regime.")
    space: dict[str, Entry] = Field({}, description="Dotted names of options, and what each may be.")

    @model_validator(mode="after")
    def _ends_whole(self) -> TuneOptions:
        if self.ladder[-1] != Rung():
            last = ", ".join(
                f"{name}: {value}" for name, value in self.ladder[-1].model_dump(exclude_defaults=True).items()
            )
            raise ConfigError(
                f"ladder: the last rung is {{{last}}}, but its loss is the score of a trial, which fits train with all "
                "the work. Add a whole rung, '{}', at the end."
            )
        return self


class ExplainOptions(Options):
    """Which rows, which question, and how features become bands."""

    pair: tuple[str, ...] | None = Field(
        None, description="Two classes: what speaks for the first against the second. Default: QSO_high, QSO_low."
    )
    rule: Literal["shares", "dominant"] = Field("shares", description="How contributions are shared among bands.")
    per_class: int = Field(300, ge=0, description="Most rows of a class that are explained; 0 takes all.")
    quasars: int = Field(3000, ge=0, description="The same for the classes of quasars, which are few; 0 takes all.")
    cut: Faintest = Field(22.5, description="Faintest magnitude of the rows; none takes all.")
    blocks: int | None = Field(None, ge=1, description="Blocks along the spectrum; default: one for six bands.")
    z_range: tuple[float, float] = Field((2.2, 4.0), description="Redshifts of the physics score.")
    resamples: int = Field(500, ge=0, description="Bootstrap resamples of objects for the intervals.")
    chunk_rows: int = Field(500, ge=1, description="Rows in memory at a time.")
    detail_rows: int = Field(5000, ge=1, description="Most rows whose single features are kept.")
    top_features: int = Field(30, ge=1, description="Features kept row by row, by mean |contribution|.")
    pair_rows: int = Field(200, ge=0, description="Most rows of each class for pairs of bands; 0 leaves these out.")
