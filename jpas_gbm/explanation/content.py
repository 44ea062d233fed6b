"""The content of an explanation, section by section: what ``explanation.json`` holds, typed.

Attributions are in margin units of the log-odds of a pair of classes and positive where they speak for the first.
Arrays have NaN, and intervals are None, where there is no number; JSON has null for both.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from .blocks import Block, Interval, Line, Number, Numbers, Section, SeenLine


class LineMeans(Line):
    """Attribution of bands on a line or break, against other bands of the same n rows.

    Parameters
    ----------
    n : int
    on, off, excess : float
        Mean attribution of a band on the line, of one elsewhere, and their difference.
    interval, excess_interval : (float, float) or None
        Of `on` and of `excess`.
    """

    n: int
    on: float
    interval: Interval
    off: float
    excess: float
    excess_interval: Interval


class BlockMeans(Block):
    """Means of a block.

    Parameters
    ----------
    mean_abs : float
        Mean |sum of the bands' attributions|.
    interval : (float, float) or None
    mean : dict of str to float
        Signed mean over the rows of each class of the pair.
    strongest : dict of str to float
        Share of those rows whose strongest block it is.
    """

    mean_abs: Number
    interval: Interval
    mean: dict[str, Number]
    strongest: dict[str, float]


class SampleFacts(Section):
    """Which rows were explained.

    Parameters
    ----------
    drawn, available : dict of str to int
        Rows of each class that were explained, and that there were.
    classes_from : {"labels", "predictions"}
        What a row's class is taken from.
    rule : str
        How rows were drawn, in words.
    """

    drawn: dict[str, int]
    available: dict[str, int]
    classes_from: Literal["labels", "predictions"]
    rule: str


class Sharing(Section):
    """How contributions of features are shared among bands: rule, the rule in words, features of no band."""

    rule: str
    words: str
    own_columns: tuple[str, ...]


class MemberFacts(Section):
    """A member of the ensemble: its name in words, its kind and the library that grew its trees."""

    name: str
    kind: str
    backend: str


class Method(Section):
    """What a contribution is (in words), how it is shared and averaged, the members, and what intervals are."""

    words: str
    sharing: Sharing
    members: tuple[MemberFacts, ...]
    interval: str
    averaging: str


class Additivity(Section):
    """Largest difference between a margin and the sum of its contributions, and what is allowed."""

    largest_error: float
    allowed: float


class Bias(Section):
    """What every row has: of the pair's log-odds, and of each class's margin."""

    pair: float
    by_class: dict[str, float]


class MeanAttributions(Section):
    """Means of c columns over the rows of the pair's classes, each class weighing half.

    Parameters
    ----------
    mean_abs : array, shape (c,)
        Mean |attribution|.
    interval : array, shape (c, 2)
        Its 95 % interval over objects.
    mean : dict of str to array, shape (c,)
        Signed mean over the rows of each class of the pair.
    """

    mean_abs: Numbers
    interval: Numbers
    mean: dict[str, Numbers]


class OwnMeans(MeanAttributions):
    """Means of the features of no band (imaging).

    Parameters
    ----------
    names : tuple of str, length c
    by_class : dict of str to array, shape (c,)
        Mean signed contribution to the margin of each class over its own rows.
    """

    names: tuple[str, ...]
    by_class: dict[str, Numbers]


class BandMeans(OwnMeans):
    """Means of the bands, with their pivots and widths in Å, shape (c,), and kinds."""

    pivots: Numbers
    widths: Numbers
    kinds: tuple[str, ...]


class FeatureMeans(Section):
    """A feature: its group, mean |contribution| with interval, and the bands of largest share."""

    name: str
    group: str
    mean_abs: Number
    interval: Interval
    bands: tuple[str, ...]


class GroupMeans(Section):
    """A group of features: mean |contribution| summed over it, and its share of the sum over all."""

    group: str
    mean_abs: Number
    share: Number


class Features(Section):
    """The top features, and all groups, by falling mean |contribution|."""

    top: tuple[FeatureMeans, ...]
    groups: tuple[GroupMeans, ...]


class Moments(Section):
    """Mean and standard deviation."""

    mean: float
    std: float


class CalibrationEffect(Section):
    """What calibration does to the log-odds of n rows of the pair's classes.

    Parameters
    ----------
    method : str
    n : int
    before, after, added : Moments or None
        Of the log-odds, and of what calibration adds; None without rows.
    slope : float or None
        Slope of a straight line of after against before.
    """

    method: str
    n: int
    before: Moments | None = None
    after: Moments | None = None
    added: Moments | None = None
    slope: float | None = None


class ShuffledRedshifts(Section):
    """Expected share of hits when strongest blocks are dealt to other rows, and how far the score is above it."""

    shuffled: float
    difference: float
    difference_interval: Interval


class LineShare(Section):
    """Of n rows that show a line, the share whose strongest block holds it, and the share expected by chance."""

    n: int
    share: float | None
    by_chance: float | None


class PhysicsScore(Section):
    """The share of rows whose strongest positive block holds a line that should matter.

    Parameters
    ----------
    z_range : (float, float)
    cls : str
        The class of the rows; ``class`` on disk.
    n : int
    lines : tuple of str
        Names of the lines.
    score, interval
        The share.
    shuffled, shuffled_interval
        Expected share where each row's strongest block is any of its blocks, and the interval of that share as
        measured on as many rows.
    difference, difference_interval
        Score less `shuffled`.
    shuffled_redshifts : ShuffledRedshifts
    by_line : dict of str to LineShare
    no_positive_block : float
        Share of rows without a positive block.
    """

    z_range: tuple[float, float]
    cls: str = Field(alias="class")
    n: int
    lines: tuple[str, ...]
    score: float
    interval: Interval
    shuffled: float
    shuffled_interval: Interval
    difference: float
    difference_interval: Interval
    shuffled_redshifts: ShuffledRedshifts
    by_line: dict[str, LineShare]
    no_positive_block: float


class RidgeBin(Section):
    """A bin of redshift: mean z, rows, peak of the mean attribution, Lyα, quartiles of strongest blocks (Å)."""

    z: float
    n: int
    peak: float
    lya: float
    low: Number
    block: Number
    high: Number


class Ridge(Section):
    """How the strongest wavelength of n rows moves with redshift.

    Parameters
    ----------
    n : int
    rank_correlation, interval
        Spearman's, of the strongest block's wavelength with z.
    slope, slope_interval
        d ln λ / d ln(1 + z) of the peaks of the mean attribution in bins of redshift: 1 for a line, 0 for a band.
    on_lya : float
        Share of rows in bins whose peak is a band that holds Lyα or lies within 3 % of it.
    bins : tuple of RidgeBin
    """

    n: int
    rank_correlation: float
    interval: Interval
    slope: Number
    slope_interval: Interval
    on_lya: float
    bins: tuple[RidgeBin, ...]


class NotDefined(Section):
    """A section that cannot be, and why."""

    defined: Literal[False] = False
    why: str


class StagePart(MeanAttributions):
    """Means of one part of the members, ``origin``; ``own`` is mean |attribution| of features of no band."""

    origin: str
    own: Numbers


class StageSplit(Section):
    """What mocks and sky taught.

    Parameters
    ----------
    words : str
        What the two parts are.
    members, of : int
        Members that have these parts, of how many.
    share_of_sky : float
        Share of the sky's part in |attribution|.
    mocks, sky : StagePart
    """

    defined: Literal[True] = True
    words: str
    members: int
    of: int
    share_of_sky: float
    mocks: StagePart
    sky: StagePart


class OneFit(NotDefined):
    """Stability that was not measured: how many fits there are, and what they would differ by."""

    fits: int
    source: str


class Stability(Section):
    """How far u fits agree on which of b bands matter.

    Parameters
    ----------
    fits : int
    source : str
        What the fits differ by.
    rank_correlation, least_rank_correlation : float
        Mean and least of Spearman's correlations between fits.
    mean, low, high : array, shape (b,)
        Of mean |attribution| over fits.
    scatter : array, shape (b,)
        Standard deviation over mean.
    stable : tuple of bool, length b
        Whether scatter is less than `steady_below`.
    values : array, shape (u, b)
        Mean |attribution| in each fit.
    """

    defined: Literal[True] = True
    fits: int
    source: str
    rank_correlation: float
    least_rank_correlation: float
    mean: Numbers
    low: Numbers
    high: Numbers
    scatter: Numbers
    stable: tuple[bool, ...]
    steady_below: float
    values: Numbers


class LogOdds(Section):
    """How the log-odds of a pair add up: bias, the margins' difference, what calibration adds, the sum."""

    bias: float
    uncalibrated: float
    calibration: float
    calibrated: float


class TopBand(Section):
    """A band, its pivot in Å and its signed attribution."""

    band: str
    pivot: float
    contribution: float


class Against(Section):
    """What decided one object between two classes.

    Parameters
    ----------
    pair : (str, str), optional
        What is positive speaks for the first. None: the explanation's own pair.
    blocks, own : dict of str to float
        Of each block of bands and of each feature of no band.
    """

    pair: tuple[str, str] | None = None
    log_odds: LogOdds
    top_bands: tuple[TopBand, ...]
    blocks: dict[str, float]
    own: dict[str, float]


class ObjectFacts(Against):
    """What decided one object.

    Parameters
    ----------
    name, row, label
        As it was asked for, its place in the arrays, its class where known.
    lines : tuple of SeenLine
        Those within the photo-spectrum.
    also : tuple of Against
        Further pairs of classes.
    """

    name: str
    row: int
    key: dict[str, int]
    object_id: int
    label: str | None
    z: float | None
    mag: float | None
    probabilities: dict[str, float]
    lines: tuple[SeenLine, ...]
    missing_bands: tuple[str, ...]
    also: tuple[Against, ...] = ()


class ArrayFacts(Section):
    """Shape and type of an array."""

    shape: tuple[int, ...]
    dtype: str


class Content(Section):
    """All sections.

    Parameters
    ----------
    regime, chosen : str
        How the model was adapted.
    trained_seed, seed : int
        Of the model and of this explanation.
    split, cut, n
        What the rows are (in words), their faintest magnitude and number.
    classes : tuple of str
    pair : (str, str)
        Positive numbers speak for the first.
    line_tables : dict of str to tuple of LineMeans
        For each class of the pair.
    stages : dict of str to StageSplit or NotDefined
        For ``continued`` and ``stacked`` members.
    objects : tuple of ObjectFacts
        The objects asked for by name.
    notes : tuple of str
        Sentences that a reader must see.
    """

    model_config = ConfigDict(extra="ignore")

    kind: str
    format: int
    regime: str
    chosen: str
    trained_seed: int | None
    seed: int
    split: str
    cut: float | None
    n: int
    classes: tuple[str, ...]
    sample: SampleFacts
    pair: tuple[str, str]
    method: Method
    additivity: Additivity
    bias: Bias
    bands: BandMeans
    own: OwnMeans
    blocks: tuple[BlockMeans, ...]
    features: Features
    calibration: CalibrationEffect
    lines: tuple[Line, ...]
    line_tables: dict[str, tuple[LineMeans, ...]]
    physics: PhysicsScore | None
    ridge: Ridge | None
    stages: dict[str, StageSplit | NotDefined]
    stability: Stability | OneFit
    objects: tuple[ObjectFacts, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = Field(default_factory=dict)
    arrays: dict[str, ArrayFacts] = Field(default_factory=dict)
