"""Attributions: what every band says for every class in every row, batch by batch; and single objects by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..boosting.booster import Member
from ..boosting.matrix import fill_message
from ..errors import ExplanationError, did_you_mean
from ..model import Model
from ..options import ExplainOptions
from ..predictions import is_bare
from ..run import Run
from ..scores.losses import softmax
from ..surveys.catalogue import Catalogue
from ..surveys.scheme import LabelScheme
from .blocks import BandRule
from .contributions import TreeContributions


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
    def of(cls, scheme: LabelScheme, wanted: str | Sequence[str] | None = None) -> Pair:
        """Find the classes of a pair.

        Parameters
        ----------
        scheme : LabelScheme
            The classes of a model.
        wanted : str or sequence of str, optional
            Two names, or one text with a comma. Default: the two classes that redshift parts within a spectral
            type (QSO_high and QSO_low), or the first two.

        Returns
        -------
        Pair

        Raises
        ------
        ExplanationError
            If these are not two different classes of the model.
        """
        classes = scheme.classes
        if wanted is None:
            wanted = next((of for of in scheme.spectypes.values() if len(of) == 2), classes[:2])
        names = [name.strip() for name in (wanted.split(",") if isinstance(wanted, str) else wanted)]
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
        return cls(names[0], names[1], classes.index(names[0]), classes.index(names[1]))

    @property
    def names(self) -> tuple[str, str]:
        """Both names."""
        return self.first, self.second

    def difference(self, values: np.ndarray) -> np.ndarray:
        """Return first minus second over the class axis: (n, k, ...) becomes (n, ...).

        Parameters
        ----------
        values : array, shape (n, k, ...)
            By class.

        Returns
        -------
        array, shape (n, ...)
            Of the pair.
        """
        return np.asarray(values[:, self.a] - values[:, self.b])


RUNNER_UP, EVERY = "runner-up", "all"
"""What an object's class may be set against, besides a pair of classes: the next probable class, or each other."""


def pairs_of(scheme: LabelScheme, wanted: str | Sequence[str] | None, probabilities: np.ndarray) -> tuple[Pair, ...]:
    """Return the questions that decide one object.

    Parameters
    ----------
    scheme : LabelScheme
    wanted : str or sequence of str, optional
        A pair, as for :meth:`Pair.of`; or ``runner-up`` (the default), ``all``: the most probable class against the
        next or each other, and beside them the two classes that redshift parts, where it is one of those.
    probabilities : array, shape (k,)
        Of the object.

    Returns
    -------
    tuple of Pair

    Raises
    ------
    ExplanationError
        If a pair is not of two classes of the model.
    """
    if wanted not in (None, RUNNER_UP, EVERY):
        return (Pair.of(scheme, wanted),)
    first, *others = np.argsort(-probabilities, kind="stable").tolist()
    names = scheme.classes
    pairs = [Pair(names[first], names[b], first, b) for b in (others if wanted == EVERY else others[:1])]
    usual = Pair.of(scheme)
    asked = {frozenset((pair.a, pair.b)) for pair in pairs}
    also = first in (usual.a, usual.b) and {usual.a, usual.b} not in asked
    return (*pairs, *([usual] if also else []))


_DOUBTED = 1e-9
_DOUBLE_ROWS = 20_000
"""Up to so many rows are kept in double precision, so that what is saved still adds up to the last digits."""


@dataclass(frozen=True, eq=False)
class Attributions:
    """Band attributions of n rows, in margin units.

    For each row and class the sum over b bands and m own columns, and the bias, is the margin. The
    differences of the pair likewise sum to ``margins[:, a] - margins[:, b]``.

    Parameters
    ----------
    model : Model
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
    units : array of float32, shape (u, d, b)
        Pair attribution of each seed of the ensemble.
    parts : dict of str to array, shape (n, b)
        Pair attribution of each origin (:data:`~jpas_gbm.explanation.contributions.Origin`), mean over
        the members that have it.
    own_parts : dict of str to array, shape (n, m)
        The same for own columns.
    part_members : dict of str to int
        How many members have each.
    error : float
        Largest misfit of additivity over all batches and members, in the units of the tolerance.
    """

    model: Model
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
    units: np.ndarray
    parts: dict[str, np.ndarray] = field(default_factory=dict)
    own_parts: dict[str, np.ndarray] = field(default_factory=dict)
    part_members: dict[str, int] = field(default_factory=dict)
    error: float = 0.0

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
        after = self.model.calibrator.log_odds(self.margins)
        bare = is_bare(self.rows)
        if self.model.bare_calibrator is not None and bare.any():
            after[bare] = self.model.bare_calibrator.log_odds(self.margins[bare])
        # Rows unlike those that trained are doubted: their probabilities say less than calibration does.
        doubted = np.abs(softmax(after) - self.probabilities).max(axis=1, initial=0.0) > _DOUBTED
        after[doubted] = np.log(np.maximum(self.probabilities[doubted], 1e-300))
        return self.pair.difference(after) - self.pair.difference(self.margins)

    def filled(self) -> str | None:
        """Return a sentence on features that the rows miss and no training row missed, or None where there are few.

        Returns
        -------
        str or None
        """
        boosters = [one for of in self.model.members for one in (of.booster, of.base) if one is not None]
        fills = [stage.fill[: self.values.shape[1]] for one in boosters for stage in one.stages if stage.rounds]
        gone = np.isnan(self.values) & np.isfinite(fills).any(axis=0) if fills else np.zeros_like(self.values, bool)
        missed = np.flatnonzero(gone.any(axis=0))
        return fill_message(gone[:, missed], missed, self.model.recipe.names)


def corrected(model: Model, catalogue: Catalogue) -> Catalogue:
    """Return the rows as the model's features see them: in its bands, zero points divided out.

    Parameters
    ----------
    model : Model
    catalogue : Catalogue

    Returns
    -------
    Catalogue

    Raises
    ------
    FeatureMismatch
        If bands are missing or the fluxes are another measurement.
    """
    catalogue = model.conform(catalogue)
    if model.shift is not None and catalogue.survey == model.survey:
        catalogue = model.shift.correct(catalogue)
    return model.recipe.conform(catalogue)


def seed_units(members: tuple[Member, ...]) -> list[list[int]]:
    """Return the members of each seed of an ensemble: its i-th model of every kind.

    Where kinds are not equally many, each member is a unit of its own.

    Parameters
    ----------
    members : tuple of Member

    Returns
    -------
    list of list of int
    """
    seen: Counter[str] = Counter()
    units: dict[int, list[int]] = {}
    for place, member in enumerate(members):
        units.setdefault(seen[member.name], []).append(place)
        seen[member.name] += 1
    return list(units.values()) if len(set(seen.values())) == 1 else [[i] for i in range(len(members))]


def attribute(
    model: Model,
    rows: Catalogue,
    pair: Pair,
    options: ExplainOptions | None = None,
    run: Run | None = None,
) -> Attributions:
    """Work out the attributions of every row of a catalogue.

    Parameters
    ----------
    model : Model
    rows : Catalogue
        n rows of the survey that the model was trained for; labels are not read.
    pair : Pair
        The classes compared.
    options : ExplainOptions, optional
        The rule, and how many rows are in memory at a time.
    run : Run, optional
        Threads of features and trees; progress is told as ``("explain", rows done, rows)``.

    Returns
    -------
    Attributions

    Raises
    ------
    ExplanationError
        If contributions do not sum to margins in any batch.
    FeatureMismatch
        If the catalogue is not the model's.
    """
    options, run, n = options or ExplainOptions(), run or Run(), len(rows)
    found = _empty(model, rows, pair, BandRule(model.recipe, options.rule), options.detail_rows)
    trees = TreeContributions(model.members, run.threads)
    bias, error = np.zeros((n, len(model.classes))), 0.0
    for start in range(0, n, options.chunk_rows):
        batch = slice(start, min(start + options.chunk_rows, n))
        error = max(error, _add_batch(found, trees, batch, bias, run.threads))
        run.report("explain", batch.stop, n)
    for parts in (found.parts, found.own_parts):
        for origin, total in parts.items():
            total /= found.part_members[origin]
    return replace(
        found,
        bias=bias.mean(axis=0) if n else found.bias,
        error=error,
    )


def evenly(n: int, most: int) -> np.ndarray:
    """Return at most so many of n places, evenly spread.

    Parameters
    ----------
    n, most : int

    Returns
    -------
    array of int64
        Ascending.
    """
    return np.unique(np.linspace(0, max(n - 1, 0), min(n, most)).round().astype(np.int64))


def _empty(model: Model, rows: Catalogue, pair: Pair, rule: BandRule, most_detail: int) -> Attributions:
    """Return attributions of the right shapes, to be filled batch by batch."""
    n, k, b = len(rows), len(model.classes), len(model.recipe.bands)
    f, m = len(model.recipe.names), len(rule.own_names)
    dtype = np.float64 if n <= _DOUBLE_ROWS else np.float32
    detail = evenly(n, most_detail)
    d = len(detail)
    return Attributions(
        model=model,
        rows=rows,
        pair=pair,
        rule=rule,
        bands=np.empty((n, k, b), dtype=dtype),
        own=np.empty((n, k, m), dtype=dtype),
        bias=np.zeros(k),
        margins=np.zeros((n, k)),
        probabilities=np.empty((n, k)),
        detail=detail,
        features=np.empty((d, f), dtype=np.float32),
        values=np.empty((d, f), dtype=np.float32),
        units=np.zeros((len(seed_units(model.members)), d, b), dtype=np.float32),
    )


def _add_batch(
    found: Attributions,
    trees: TreeContributions,
    batch: slice,
    bias: np.ndarray,
    threads: int,
) -> float:
    """Attribute a batch of rows, fill in its part of all arrays, and return the largest misfit of additivity."""
    model, pair, rows = found.model, found.pair, corrected(found.model, found.rows.take(batch))
    made = model.recipe.compute(rows, threads, compare=True)
    X, shares = made.X, found.rule.of_rows(rows, threads, made.compared)
    kept = np.flatnonzero((found.detail >= batch.start) & (found.detail < batch.stop))
    local = found.detail[kept] - batch.start
    units = seed_units(model.members)
    total = np.zeros((len(X), len(model.classes), X.shape[1]))
    error, origins, size = 0.0, Counter[str](), len(model.members)
    for place, member in enumerate(trees.batches(X)):
        values = member.values
        total += values
        bias[batch] += member.bias / size
        found.margins[batch] += member.margins / size
        error = max(error, member.error)
        if len(units) > 1 and len(kept):
            unit = next(i for i, members in enumerate(units) if place in members)
            bands, _ = shares.share(pair.difference(values))
            found.units[unit, kept] += (bands[local] / len(units[unit])).astype(np.float32)
        for part in member.parts if len(member.parts) > 1 else ():
            for parts, shared in zip(
                (found.parts, found.own_parts), shares.share(pair.difference(part.values)), strict=True
            ):
                empty = np.zeros((len(found), shared.shape[1]), dtype=found.bands.dtype)
                parts.setdefault(part.origin, empty)[batch] += shared
        origins.update(part.origin for part in member.parts)
    total /= size
    found.part_members.update(origins)
    found.bands[batch], found.own[batch] = shares.share(total)
    found.features[kept] = pair.difference(total[local])
    found.values[kept] = X[local]
    rows = found.rows.take(batch)
    p = model.calibrate(found.margins[batch], is_bare(rows))
    p = p if model.overlap is None else model.overlap.tempered(p, model.overlap.judge(X)[1])
    found.probabilities[batch] = model.widen(p, rows)
    return error
