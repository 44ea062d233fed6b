"""Attributions: what every band says for every class in every row, worked out batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..boosting.ensemble import Member
from ..errors import ExplanationError, did_you_mean
from ..model import Model
from ..options import ExplainOptions
from ..predictions import is_bare
from ..surveys.catalogue import Catalogue
from .blocks import BandRule, BandShares
from .contributions import MemberParts, TreeContributions

Progress = Callable[[str, int, int], None]

_DOUBLE_ROWS = 20_000
"""Up to so many rows are kept in double precision, so that what is saved still adds up to the last digits."""


@dataclass(frozen=True, eq=False)
class Attributions:
    """Band attributions of n rows, in margin units.

    For each row and class the sum over b bands and m own columns, and the bias, is the margin. The
    differences of the pair likewise sum to ``margins[:, a] - margins[:, b]``.

    Parameters
    ----------
    fitted : Model
        The model explained.
    rows : Catalogue
        The rows, as they were given.
    pair : Pair
        The classes compared.
    rule : BandRule
        How features became bands.
    bands : array, shape (n, k, b)
        By class.
    own : array, shape (n, k, m)
        Features of no band, by class.
    bias : array of float64, shape (k,)
        What every row has.
    margins : array of float64, shape (n, k)
        The model's uncalibrated margins, centred.
    probabilities : array of float64, shape (n, k)
        Calibrated.
    detail : array of int64, shape (d,)
        Rows whose features are kept.
    features : array of float32, shape (d, f)
        Contribution of each feature to the pair's log-odds.
    values : array of float32, shape (d, f)
        The features themselves.
    parts : dict of str to array, shape (n, b)
        Pair attribution of each origin (:data:`~jpas_gbm.explanation.contributions.Origin`), mean over
        the members that have it.
    own_parts : dict of str to array, shape (n, m)
        The same for own columns.
    part_members : dict of str to int
        How many members have each.
    units : array of float32, shape (u, d, b)
        Pair attribution of each seed of the ensemble.
    error : float
        Largest misfit of additivity over all batches and members, in the units of the tolerance.
    """

    fitted: Model
    rows: Catalogue
    pair: Pair
    rule: BandRule
    bands: np.ndarray
    own: np.ndarray
    bias: np.ndarray
    margins: np.ndarray
    probabilities: np.ndarray
    detail: np.ndarray
    features: np.ndarray
    values: np.ndarray
    parts: dict[str, np.ndarray]
    own_parts: dict[str, np.ndarray]
    part_members: dict[str, int]
    units: np.ndarray
    error: float

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pair_bands(self) -> np.ndarray:
        """Attribution of the pair's log-odds to bands, (n, b)."""
        return self.pair.difference(self.bands)

    @property
    def pair_own(self) -> np.ndarray:
        """The same for own columns, (n, m)."""
        return self.pair.difference(self.own)

    @property
    def pair_bias(self) -> float:
        """The part of the pair's log-odds that every row has."""
        return float(self.bias[self.pair.a] - self.bias[self.pair.b])

    @property
    def calibration(self) -> np.ndarray:
        """What calibration adds to the pair's log-odds, float64 (n,)."""
        after = self.fitted.calibrator.log_odds(self.margins)
        bare = is_bare(self.rows)
        if self.fitted.bare_calibrator is not None and bare.any():
            after[bare] = self.fitted.bare_calibrator.log_odds(self.margins[bare])
        return self.pair.difference(after) - self.pair.difference(self.margins)


def corrected(fitted: Model, catalogue: Catalogue) -> Catalogue:
    """Return the rows as the model's features see them: in its bands, zero points divided out.

    Raises
    ------
    FeatureMismatch
        If bands are missing or the fluxes are another measurement.
    """
    catalogue = fitted.conform(catalogue)
    if fitted.shift is not None and catalogue.survey == fitted.survey:
        catalogue = fitted.shift.correct(catalogue)
    return fitted.recipe.conform(catalogue)


def seed_units(members: tuple[Member, ...]) -> list[list[int]]:
    """Return the members of each seed of an ensemble: its i-th model of every kind.

    Where kinds are not equally many, each member is a unit of its own.
    """
    seen: Counter[str] = Counter()
    units: dict[int, list[int]] = {}
    for place, member in enumerate(members):
        units.setdefault(seen[member.name], []).append(place)
        seen[member.name] += 1
    return list(units.values()) if len(set(seen.values())) == 1 else [[i] for i in range(len(members))]


def attribute(
    fitted: Model,
    catalogue: Catalogue,
    pair: Pair,
    options: ExplainOptions | None = None,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> Attributions:
    """Work out the attributions of every row of a catalogue.

    Parameters
    ----------
    fitted : Model
        The model.
    catalogue : Catalogue
        n rows of the survey that the model was trained for; labels are not read.
    pair : Pair
        The classes compared.
    options : ExplainOptions, optional
        The rule, and how many rows are in memory at a time.
    threads : int
        Threads of features and trees.
    progress : callable, optional
        Called as ``progress("explain", rows done, rows)``.

    Raises
    ------
    ExplanationError
        If contributions do not sum to margins in any batch.
    FeatureMismatch
        If the catalogue is not the model's.
    """
    options = options or ExplainOptions()
    worker = _Worker(fitted, pair, BandRule(fitted.recipe, options.rule), len(catalogue), options.detail_rows, threads)
    for start in range(0, len(catalogue), options.chunk_rows):
        batch = slice(start, min(start + options.chunk_rows, len(catalogue)))
        worker.add(catalogue.take(batch), batch)
        if progress is not None:
            progress("explain", batch.stop, len(catalogue))
    return worker.finish(catalogue)


@dataclass
class _Worker:
    fitted: Model
    pair: Pair
    rule: BandRule
    n: int
    most_detail: int
    threads: int
    parts: dict[str, np.ndarray] = field(default_factory=dict)
    own_parts: dict[str, np.ndarray] = field(default_factory=dict)
    part_members: dict[str, int] = field(default_factory=dict)
    error: float = 0.0

    def __post_init__(self) -> None:
        k, b = len(self.fitted.classes), len(self.fitted.recipe.bands)
        f, m = len(self.fitted.recipe.names), len(self.rule.own_names)
        self.trees = TreeContributions(self.fitted.members, self.threads)
        self.dtype = np.dtype(np.float64 if self.n <= _DOUBLE_ROWS else np.float32)
        self.bands = np.empty((self.n, k, b), dtype=self.dtype)
        self.own = np.empty((self.n, k, m), dtype=self.dtype)
        self.bias = np.zeros((self.n, k))
        self.margins = np.zeros((self.n, k))
        wanted = min(self.n, self.most_detail)
        self.detail = np.unique(np.linspace(0, max(self.n - 1, 0), wanted).round().astype(np.int64))
        self.features = np.empty((len(self.detail), f), dtype=np.float32)
        self.values = np.empty((len(self.detail), f), dtype=np.float32)
        self.members_of = seed_units(self.fitted.members)
        self.units = np.zeros((len(self.members_of), len(self.detail), b), dtype=np.float32)

    def add(self, rows: Catalogue, batch: slice) -> None:
        """Explain a batch of rows and put it where it belongs."""
        seen = corrected(self.fitted, rows)
        X = self.fitted.recipe.compute(seen, threads=self.threads).X
        shares = self.rule.of_rows(seen, self.threads)
        kept = np.flatnonzero((self.detail >= batch.start) & (self.detail < batch.stop))
        local = self.detail[kept] - batch.start
        total = np.zeros((len(X), len(self.fitted.classes), X.shape[1]))
        origins: Counter[str] = Counter()
        for place, told in enumerate(self.trees.batches(X)):
            values = told.values
            total += values
            self.bias[batch] += told.bias / len(self.fitted.members)
            self.margins[batch] += told.margins / len(self.fitted.members)
            self.error = max(self.error, told.error)
            self._add_unit(place, values, shares, kept, local)
            self._add_parts(told, shares, batch)
            origins.update(part.origin for part in told.parts)
        total /= len(self.fitted.members)
        self.part_members = dict(origins)
        self.bands[batch], self.own[batch] = shares.share(total)
        self.features[kept] = self.pair.difference(total[local])
        self.values[kept] = X[local]

    def _add_unit(
        self, place: int, values: np.ndarray, shares: BandShares, kept: np.ndarray, local: np.ndarray
    ) -> None:
        if len(self.members_of) < 2 or not len(kept):
            return
        unit = next(i for i, members in enumerate(self.members_of) if place in members)
        bands, _ = shares.share(self.pair.difference(values))
        self.units[unit, kept] += (bands[local] / len(self.members_of[unit])).astype(np.float32)

    def _add_parts(self, told: MemberParts, shares: BandShares, batch: slice) -> None:
        if len(told.parts) == 1:
            return
        for part in told.parts:
            bands, own = shares.share(self.pair.difference(part.values))
            for kept, told_now in ((self.parts, bands), (self.own_parts, own)):
                whole = kept.setdefault(part.origin, np.zeros((self.n, told_now.shape[1]), dtype=self.dtype))
                whole[batch] += told_now

    def finish(self, rows: Catalogue) -> Attributions:
        """Return what was collected."""
        for kept in (self.parts, self.own_parts):
            for origin, whole in kept.items():
                whole /= self.part_members[origin]
        return Attributions(
            fitted=self.fitted,
            rows=rows,
            pair=self.pair,
            rule=self.rule,
            bands=self.bands,
            own=self.own,
            bias=self.bias.mean(axis=0) if self.n else np.zeros(len(self.fitted.classes)),
            margins=self.margins,
            probabilities=self.fitted.calibrate(self.margins, is_bare(rows)),
            detail=self.detail,
            features=self.features,
            values=self.values,
            parts=self.parts,
            own_parts=self.own_parts,
            part_members=self.part_members,
            units=self.units,
            error=self.error,
        )


DEFAULT_PAIR = ("QSO_high", "QSO_low")
"""The question of the paper: what makes a quasar a high one."""


@dataclass(frozen=True)
class Pair:
    """Two classes; what speaks for the first is positive.

    The difference of two classes' contributions is the attribution of ln p(first)/p(second) before
    calibration: softmax's arbitrary constant and the centring of margins drop out.

    Parameters
    ----------
    first, second : str
        Names of the classes.
    a, b : int
        Their codes.
    """

    first: str
    second: str
    a: int
    b: int

    @classmethod
    def of(cls, classes: Sequence[str], wanted: str | Sequence[str] | None = None) -> Pair:
        """Find the classes of a pair.

        Parameters
        ----------
        classes : sequence of str
            Names of the classes of a model.
        wanted : str or sequence of str, optional
            Two names, or one text with a comma; by default QSO_high and QSO_low, or the first two
            classes of a model without them.

        Raises
        ------
        ExplanationError
            If these are not two different classes of the model.
        """
        if wanted is None:
            wanted = DEFAULT_PAIR if set(DEFAULT_PAIR) <= set(classes) else list(classes)[:2]
        names = [name.strip() for name in wanted.split(",")] if isinstance(wanted, str) else list(wanted)
        for name in names:
            if name not in classes:
                raise ExplanationError(
                    f"there is no class '{name}' in this model.{did_you_mean(name, classes)} "
                    f"Classes: {', '.join(classes)}."
                )
        if len(names) != 2 or names[0] == names[1]:
            raise ExplanationError(
                f"a pair is two different classes, such as '{classes[0]},{classes[1]}'; got '{','.join(names)}'."
            )
        return cls(names[0], names[1], list(classes).index(names[0]), list(classes).index(names[1]))

    @property
    def names(self) -> tuple[str, str]:
        """Both names."""
        return self.first, self.second

    def difference(self, values: np.ndarray) -> np.ndarray:
        """Return first minus second over the class axis: (n, k, ...) becomes (n, ...)."""
        return np.asarray(values[:, self.a] - values[:, self.b])
