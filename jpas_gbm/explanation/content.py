"""The content of an explanation, section by section: what ``explanation.json`` holds, typed.

Attributions are in margin units of the log-odds of a pair of classes and positive where they speak for the first.
Arrays have NaN, and intervals are None, where there is no number; JSON has null for both.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from ..store import Made, Provenance
from .blocks import Block, Interval, Line, Number, Numbers, Section
from .interactions import BandPairs
from .objects import ObjectFacts


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

    rule: str = Field(description="name of the rule")
    words: str = Field(description="the rule in words")
    own_columns: tuple[str, ...] = Field(description="features that no band shares in")


class MemberFacts(Section):
    """A member of the ensemble: its name in words, its kind and the library that grew its trees."""

    name: str = Field(description="the member in words")
    kind: str = Field(description="how it was adapted")
    backend: str = Field(description="library that grew its trees")


class Method(Section):
    """What a contribution is (in words), how it is shared and averaged, the members, and what intervals are."""

    words: str = Field(description="what a contribution is")
    sharing: Sharing
    members: tuple[MemberFacts, ...] = Field(description="whose margins were taken apart")
    interval: str = Field(description="what the intervals are")
    averaging: str = Field(description="how rows were averaged")


class Additivity(Section):
    """Largest difference between a margin and the sum of its contributions, and what is allowed."""

    largest_error: float = Field(description="largest |margin - sum of its contributions|")
    allowed: float = Field(description="what rounding may make of it")


class Bias(Section):
    """What every row has: of the pair's log-odds, and of each class's margin."""

    pair: float = Field(description="of the pair's log-odds")
    by_class: dict[str, float] = Field(description="of the margin of each class")


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

    pivots: Numbers = Field(description="Å, shape (c,)")
    widths: Numbers = Field(description="Å, shape (c,)")
    kinds: tuple[str, ...] = Field(description="broad, narrow ..., length c")


class FeatureMeans(Section):
    """A feature: its group, mean |contribution| with interval, and the bands of largest share."""

    name: str = Field(description="of the column")
    group: str = Field(description="its family of features")
    mean_abs: Number = Field(description="mean |contribution|")
    interval: Interval = Field(description="95 % interval of `mean_abs` over objects")
    bands: tuple[str, ...] = Field(description="bands of largest share in it")


class GroupMeans(Section):
    """A group of features: mean |contribution| summed over it, and its share of the sum over all."""

    group: str = Field(description="family of features")
    mean_abs: Number = Field(description="mean |contribution| summed over the group")
    share: Number = Field(description="of the sum over all groups, 0 to 1")


class Features(Section):
    """The top features, and all groups, by falling mean |contribution|."""

    top: tuple[FeatureMeans, ...] = Field(description="by falling mean |contribution|")
    groups: tuple[GroupMeans, ...] = Field(description="all, by falling mean |contribution|")


class Moments(Section):
    """Mean and standard deviation."""

    mean: float = Field(description="in log-odds")
    std: float = Field(description="in log-odds")


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

    shuffled: float = Field(description="expected share of hits, 0 to 1")
    difference: float = Field(description="score less `shuffled`")
    difference_interval: Interval = Field(description="95 %, over objects")


class LineShare(Section):
    """Of n rows that show a line, the share whose strongest block holds it, and the share expected by chance."""

    n: int = Field(description="rows that show the line")
    share: float | None = Field(description="of them, 0 to 1; None without rows")
    by_chance: float | None = Field(description="expected share, 0 to 1")


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

    z: float = Field(description="mean redshift")
    n: int = Field(description="rows")
    peak: float = Field(description="Å, of the mean attribution")
    lya: float = Field(description="Å, Lyα at mean z")
    low: Number = Field(description="Å, lower quartile of strongest blocks")
    block: Number = Field(description="Å, median of strongest blocks")
    high: Number = Field(description="Å, upper quartile of strongest blocks")


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
    on_lya_interval
        95 % over objects; none in older results.
    """

    n: int
    rank_correlation: float
    interval: Interval
    slope: Number
    slope_interval: Interval
    on_lya: float
    bins: tuple[RidgeBin, ...]
    on_lya_interval: Interval = None


class NotDefined(Section):
    """A section that cannot be, and why."""

    defined: Literal[False] = Field(False, description="always false")
    why: str = Field(description="in words")


class StagePart(MeanAttributions):
    """Means of one part of the members, ``origin``; ``own`` is mean |attribution| of features of no band."""

    origin: str = Field(description="mocks or sky")
    own: Numbers = Field(description="mean |attribution| of each feature of no band")


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

    defined: Literal[True] = Field(True, description="always true")
    words: str
    members: int
    of: int
    share_of_sky: float
    mocks: StagePart
    sky: StagePart


class OneFit(NotDefined):
    """Stability that was not measured: how many fits there are, and what they would differ by."""

    fits: int = Field(description="how many there are")
    source: str = Field(description="what they would differ by")


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

    defined: Literal[True] = Field(True, description="always true")
    fits: int
    source: str
    rank_correlation: float
    least_rank_correlation: float
    mean: Numbers
    low: Numbers
    high: Numbers
    scatter: Numbers
    stable: tuple[bool, ...]
    steady_below: float = Field(description="scatter of a steady band is less")
    values: Numbers


class ArrayFacts(Section):
    """Shape and type of an array."""

    shape: tuple[int, ...] = Field(description="of the array")
    dtype: str = Field(description="as numpy names it")


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
    pairs : BandPairs or NotDefined or None
        Pairs of bands; None in explanations of before.
    objects : tuple of ObjectFacts
        The objects asked for by name.
    notes : tuple of str
        Sentences that a reader must see.
    """

    model_config = ConfigDict(extra="ignore")

    kind: str = Field(description="always explanation")
    format: int = Field(description="number of this layout")
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
    blocks: tuple[BlockMeans, ...] = Field(description="means of blocks, by wavelength")
    features: Features
    calibration: CalibrationEffect
    lines: tuple[Line, ...] = Field(description="those that were looked at")
    line_tables: dict[str, tuple[LineMeans, ...]]
    physics: PhysicsScore | None = Field(description="None without rows that show a line")
    ridge: Ridge | None = Field(description="None without rows in range")
    stages: dict[str, StageSplit | NotDefined]
    stability: Stability | OneFit = Field(description="over seeds or members")
    pairs: BandPairs | NotDefined | None = None
    objects: tuple[ObjectFacts, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: Made = Field(default_factory=Provenance, description="versions, command, inputs with their hashes")
    arrays: dict[str, ArrayFacts] = Field(default_factory=dict, description="those of explanation.npz, by name")
