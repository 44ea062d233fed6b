"""How sure: bootstrap over objects, for one model, for means over seeds, for paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import DatasetError
from ..run import Later
from ..text import sure
from .losses import AREA_TRIALS, mean_defined, trials
from .metrics import NULL, Scorer

if TYPE_CHECKING:
    from scipy import special
else:
    special = Later("scipy.special")

RESAMPLES = 1000
LEVEL = 0.95
_AREAS, _FEW = ("auroc", "average_precision"), 5
_BLOCK_CELLS = 1 << 22
_BLOCK = 64


def object_counts(rng: np.random.Generator, objects: int) -> np.ndarray:
    """Return how often each of some objects is drawn in one bootstrap resample.

    Parameters
    ----------
    rng : Generator
    objects : int
        Number of objects.

    Returns
    -------
    array of int, shape (objects,)
    """
    return np.bincount(rng.integers(0, objects, objects), minlength=objects)


def resample_rows(groups: np.ndarray, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Give the rows of `n` bootstrap resamples of objects, for figures that are no weighted sums.

    Parameters
    ----------
    groups : array of int, shape (rows,)
        Object of each row.
    n : int
        Number of resamples.
    rng : Generator
        Drawn from as each resample is asked for.

    Yields
    ------
    array of int
        Row numbers, repeated as often as their object was drawn.
    """
    names, place = np.unique(groups, return_inverse=True)
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    for _ in range(n):
        yield np.concatenate([members[j] for j in rng.integers(0, len(names), len(names))])


def mean_interval(values: np.ndarray, groups: np.ndarray, seed: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95 % bootstrap interval over objects of the mean of `values`.

    Parameters
    ----------
    values : array, shape (rows,)
    groups : array of int, shape (rows,)
        Object of each row.
    seed, resamples : int

    Returns
    -------
    low, high : float
    """
    means = [
        values @ weights / np.maximum(weights.sum(axis=0), 1) for weights in resample_weights(groups, resamples, seed)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resample_weights(groups: np.ndarray, n: int, seed: int, block: int | None = None) -> Iterator[np.ndarray]:
    """Give the row weights of `n` bootstrap resamples of objects, some at a time.

    Objects are drawn with replacement, and all rows of an object come together.

    Parameters
    ----------
    groups : array of int, shape (rows,)
        Object of each row.
    n : int
        Number of resamples.
    seed : int
        Seed of the draws: the same seed gives the same resamples, whatever the block.
    block : int, optional
        Resamples per array given.

    Yields
    ------
    array of float32, shape (rows, B)
    """
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(np.random.SeedSequence([seed, len(names)]))
    block = block or max(1, min(n, _BLOCK, _BLOCK_CELLS // max(len(place), 1)))
    for start in range(0, n, block):
        size = min(block, n - start)
        counts = np.empty((size, len(names)), dtype=np.float32)
        for i in range(size):
            counts[i] = object_counts(rng, len(names))
        yield np.ascontiguousarray(counts.T[place])


@dataclass(frozen=True, eq=False)
class Replicates:
    """Figures of several models on the same rows, and on the same resamples of those rows.

    Parameters
    ----------
    point : dict of str to array, shape (models,)
        Each figure on the rows as they are.
    draws : dict of str to array, shape (models, n)
        Each figure on each resample.
    trials : dict of str to array, shape (models,)
        Of figures that are proportions: of how many objects (:func:`.losses.trials`).
    """

    point: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]
    trials: dict[str, np.ndarray] = field(default_factory=dict)

    def mean(self, models: Sequence[int]) -> Replicates:
        """Return one model whose figures are the means over some (seeds of one recipe, say).

        Parameters
        ----------
        models : sequence of int

        Returns
        -------
        Replicates
            Of one model.
        """
        chosen = list(models)
        return Replicates(
            {name: mean_defined(value[chosen])[None] for name, value in self.point.items()},
            {name: mean_defined(value[chosen])[None] for name, value in self.draws.items()},
            {name: mean_defined(value[chosen])[None] for name, value in self.trials.items()},
        )

    def minus(self, other: Replicates) -> Replicates:
        """Return the paired differences of figures that both have.

        Parameters
        ----------
        other : Replicates
            On the same resamples.

        Returns
        -------
        Replicates
        """
        names = [name for name in self.point if name in other.point]
        return Replicates(
            {name: self.point[name] - other.point[name] for name in names},
            {name: self.draws[name] - other.draws[name] for name in names},
            {name: np.fmin(n, other.trials[name]) for name, n in self.trials.items() if name in other.trials},
        )

    def intervals(self, model: int = 0, level: float = LEVEL, signed: bool = False) -> dict[str, list[float] | None]:
        """Return the interval of each figure of one model, by name; None where it is not defined.

        Parameters
        ----------
        model : int
            Which model.
        level : float
            Confidence.
        signed : bool
            The figures are differences, which may be negative.

        Returns
        -------
        dict of str to list of float or None

        Notes
        -----
        Percentiles of the draws, but where they cover less than they state (``reports/reliability/coverage.csv``). A
        proportion (a class's recall, precision and F1, accuracy) gets the interval of Wilson (1927) for as many trials
        as its variance over the draws stands for, or as it has where the draws do not vary: a recall of 10 in 10 is not
        sure, and the precision of a class that no row is said to be may be anything. Areas under curves get the same,
        for at most so many trials as :func:`.losses.trials` says. A difference of proportions is widened as two more
        pairs that disagree, one each way, would (Bonett and Price 2012), one of areas as Student's t for the rows of
        the class. A mean over classes is of resamples that hold all of them, and by what intervals of the classes are
        wider than percentiles, in quadrature, that of their mean is too (Zou and Donner 2008). Expected calibration
        errors are biased upwards by noise: their interval begins at the error less the largest that noise explains
        (97.5 % of the ``null`` draws), for gaps and noise add up to no more than their sum, and ends at the larger of
        the percentiles less the bias and their reflection about the estimate (Davison and Hinkley 1997, §5.2).
        """
        names = [name for name in self.draws if not name.startswith(f"{NULL}.")]
        return {name: self._interval(name, model, level, signed) for name in names}

    def _interval(self, name: str, model: int, level: float, signed: bool) -> list[float] | None:
        point, draws = float(self.point[name][model]), self.draws[name][model]
        draws = draws[np.isfinite(draws)]
        if not np.isfinite(point) or len(draws) < 2:
            return None
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        if name in self.trials and not signed:
            area = name.endswith(_AREAS)
            low, high = _wilson(point, float(draws.var()), float(self.trials[name][model]), level, area)
        elif name in self.trials or ("macro." in name and not name.endswith("ece")):
            more = self._beyond_percentiles(name, model, level, signed)
            away = np.hypot(np.maximum([point - low, high - point], 0), more)
            low, high = max(point - away[0], -1.0 if signed else 0.0), min(point + away[1], 1.0)
        elif name.endswith("ece") and not signed:
            bias, noise = float(draws.mean()) - point, self.draws.get(f"{NULL}.{name}")
            high = max(2 * point - low, high - 2 * bias, point)
            explained = 0.0 if noise is None else float(np.quantile(noise[model], (1 + level) / 2))
            low = max(point - explained, 0.0)
        return [float(low), float(high)]

    def _beyond_percentiles(self, name: str, model: int, level: float, signed: bool) -> np.ndarray:
        """Return by how much an interval is to be wider than percentiles on either side, in quadrature, (2,)."""
        tails, before, figure = [(1 - level) / 2, (1 + level) / 2], name.rpartition("macro.")[0], name.split(".")[-1]
        figure = "auroc" if figure.startswith("auroc") else figure
        of = [one for one in self.trials if one.startswith(f"{before}per_class.") and one.endswith(f".{figure}")]
        more = []
        for one in [name] if name in self.trials else of:
            point, draws, n = float(self.point[one][model]), self.draws[one][model], float(self.trials[one][model])
            if not np.isfinite(point) or np.isfinite(draws).sum() < 2:
                continue
            away = np.abs(np.nanquantile(draws, tails) - point)
            rows, z = n / (AREA_TRIALS if figure == "auroc" else 1), float(special.ndtri(tails[1]))
            if not signed:
                own = np.abs(np.subtract(_wilson(point, float(np.nanvar(draws)), n, level, figure in _AREAS), point))
                more.append(np.sqrt(np.maximum(np.square(own) - np.square(away), 0)))
            elif rows < _FEW or (one == name and figure not in _AREAS):
                more.append(np.full(2, z * np.sqrt(2) / (n + 2)))
            else:
                more.append(away * np.sqrt((special.stdtrit(rows - 1, tails[1]) / z) ** 2 * rows / (rows - 1) - 1))
        return np.linalg.norm(more, axis=0) / len(more) if more else np.zeros(2)


def _wilson(share: float, variance: float, n: float, level: float, limited: bool) -> tuple[float, float]:
    """Return the interval of Wilson of a share, for the trials that its variance stands for; at most n if limited."""
    if n <= 0:
        return 0.0, 1.0
    if variance > 0 and 0 < share < 1:
        told = share * (1 - share) / variance
        n = min(told, n) if limited else told
    z = float(special.ndtri((1 + level) / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return max(min(middle - half, share), 0.0), min(max(middle + half, share), 1.0)


def replicate(scorers: Sequence[Scorer], groups: np.ndarray | None, n: int = RESAMPLES, seed: int = 0) -> Replicates:
    """Score several models on the same rows and on the same bootstrap resamples of objects.

    Parameters
    ----------
    scorers : sequence of Scorer
        One for each model, all of the same rows in the same order.
    groups : array of int, shape (rows,), optional
        Object of each row; default: each row is an object.
    n : int
        Number of resamples.
    seed : int
        Seed of the resamples.

    Returns
    -------
    Replicates

    Raises
    ------
    DatasetError
        If the models were scored on different numbers of rows.
    """
    rows = scorers[0].tally.matrix.shape[1]
    if any(scorer.tally.matrix.shape[1] != rows for scorer in scorers):
        raise DatasetError("models to be compared were scored on different rows: give each the same rows in order.")
    groups = np.arange(rows) if groups is None else np.asarray(groups)
    if groups.shape != (rows,):
        raise DatasetError(f"there are {groups.size} object ids for {rows} rows: the bootstrap needs one for each.")
    point = _stack([[scorer.figures(np.ones((rows, 1)))] for scorer in scorers])
    drawn: list[list[dict[str, np.ndarray]]] = [[] for _ in scorers]
    for weights in resample_weights(groups, n, seed) if rows else ():
        for found, scorer in zip(drawn, scorers, strict=True):
            found.append(scorer.figures(weights))
    draws = _stack(drawn) if rows and n else {name: np.empty((len(scorers), 0)) for name in point}
    objects = len(np.unique(groups)) / max(rows, 1)
    counts = [_trials(scorer) for scorer in scorers]
    of = {name: objects * np.array([one[name] for one in counts]) for name in counts[0] if name in point}
    return Replicates({name: value[:, 0] for name, value in point.items()}, draws, of)


def _trials(scorer: Scorer) -> dict[str, float]:
    """Return the trials of the figures of a model that are proportions, by dotted name."""
    found: dict[str, float] = {}
    for name, counts in scorer.confusions().items():
        decided, parted = "thresholded." if name.startswith("thresholded") else "", "strata" in name
        for s, confusion in enumerate(counts if parted else [counts]):
            prefix = f"by_magnitude.{s}.{decided}" if parted else decided
            found |= {f"{prefix}{figure}": n for figure, n in trials(confusion, scorer.classes).items()}
    return found


def _stack(found: list[list[dict[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Join blocks of resamples, then models, of the figures that all models have."""
    names = [name for name in found[0][0] if all(name in blocks[0] for blocks in found)]
    return {name: np.stack([np.concatenate([part[name] for part in blocks]) for blocks in found]) for name in names}


@dataclass(frozen=True)
class Difference:
    """A paired difference of one figure between two models.

    Parameters
    ----------
    difference : float or None
        Between the means over seeds; None where it is not defined.
    interval : (float, float) or None
        95 %, over objects, on the same resamples.
    above : float or None
        Share of the resamples in which the first model's figure is larger.
    """

    difference: float | None
    interval: tuple[float, float] | None = None
    above: float | None = None

    def better(self, sign: int = 1) -> bool:
        """Return whether the first is larger beyond doubt: the interval leaves out zero.

        Parameters
        ----------
        sign : {1, -1}
            -1 asks for smaller.

        Returns
        -------
        bool
        """
        return self.difference is not None and sure(self.interval) and sign * self.difference > 0

    def __neg__(self) -> Difference:
        """Return the difference the other way round."""
        return Difference(
            None if self.difference is None else -self.difference,
            None if self.interval is None else (-self.interval[1], -self.interval[0]),
            None if self.above is None else 1 - self.above,
        )


def paired(
    y: np.ndarray,
    p_a: np.ndarray | Sequence[np.ndarray],
    p_b: np.ndarray | Sequence[np.ndarray],
    groups: np.ndarray | None = None,
    n: int = RESAMPLES,
    seed: int = 0,
    *,
    classes: Sequence[str],
) -> dict[str, Difference]:
    """Return the difference a - b of every figure, with its interval, on the same rows.

    Parameters
    ----------
    y : array of int, shape (rows,)
        True classes.
    p_a, p_b : array, shape (rows, k), or a sequence of those
        Probabilities of the two models; several are seeds of one recipe, and figures (not
        probabilities) are averaged over them.
    groups, n, seed
        As for :func:`replicate`.
    classes : sequence of str
        Names of the k classes.

    Returns
    -------
    dict of str to Difference
    """
    first, second = ([p] if isinstance(p, np.ndarray) else list(p) for p in (p_a, p_b))
    found = replicate([Scorer.of(y, p, classes) for p in (*first, *second)], groups, n, seed)
    a, b = range(len(first)), range(len(first), len(first) + len(second))
    return differences(found.mean(a), found.mean(b))


def differences(a: Replicates, b: Replicates, level: float = LEVEL) -> dict[str, Difference]:
    """Return a - b of every figure that both have, from replicates of one model each on the same resamples.

    Parameters
    ----------
    a, b : Replicates
    level : float
        Confidence of the intervals.

    Returns
    -------
    dict of str to Difference
    """
    gap = a.minus(b)
    found = {}
    for name, interval in gap.intervals(level=level, signed=True).items():
        point, draws = float(gap.point[name][0]), gap.draws[name][0]
        draws = draws[np.isfinite(draws)]
        found[name] = Difference(
            point if np.isfinite(point) else None,
            None if interval is None else (interval[0], interval[1]),
            float(np.mean(draws > 0)) if len(draws) else None,
        )
    return found


def intervals(draws: np.ndarray) -> np.ndarray:
    """Return percentile intervals of bootstrap draws.

    Parameters
    ----------
    draws : array, shape (resamples, c)

    Returns
    -------
    array, shape (c, 2)
        NaN where fewer than two draws are numbers.
    """
    spans = np.full((draws.shape[1], 2), np.nan)
    known = np.isfinite(draws).sum(axis=0) > 1
    if known.any():
        tail = (1 - LEVEL) / 2
        spans[known] = np.nanquantile(draws[:, known], [tail, 1 - tail], axis=0).T
    return spans


class Means(NamedTuple):
    """Means of c columns, NaN where no row counts: shape (c,), and on resamples of objects, (resamples, c).

    Parameters
    ----------
    mean : array, shape (c,)
        Over the rows.
    draws : array, shape (resamples, c)
        On resamples of objects.
    """

    mean: np.ndarray
    draws: np.ndarray

    @property
    def interval(self) -> np.ndarray:
        """Percentile interval of each column, shape (c, 2)."""
        return intervals(self.draws)


def mean_over(
    values: np.ndarray, sets: Sequence[np.ndarray], groups: np.ndarray, resamples: int = 0, seed: int = 0
) -> Means:
    """Return, for each column, the mean over sets of entries of the mean over the entries of each.

    A set weighs as much as another, however many entries it has; sets without one count nowhere.

    Parameters
    ----------
    values : array, shape (n, c)
    sets : sequence of array of bool, shape (n, c) or (n, 1)
        Which entries each set holds.
    groups : array of int, shape (n,)
        Object of each row: resamples draw objects.
    resamples, seed : int

    Returns
    -------
    Means
    """
    counted = np.logical_or.reduce([chosen.any(axis=1) for chosen in sets])
    filled = [np.where(chosen, values, 0.0)[counted].astype(np.float64) for chosen in sets]
    inside = [chosen[counted].astype(np.float64) for chosen in sets]

    def means(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = np.stack([(f.T @ weights) / (i.T @ weights) for f, i in zip(filled, inside, strict=True)])
            known = np.isfinite(parts)
            return np.asarray((np.where(known, parts, 0).sum(axis=0) / known.sum(axis=0)).T)

    draws = [np.empty((0, values.shape[1]))]
    draws += map(means, resample_weights(groups[counted], resamples, seed)) if counted.any() else []
    return Means(means(np.ones((int(counted.sum()), 1)))[0], np.concatenate(draws))
