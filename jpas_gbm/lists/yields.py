"""What a list would hold: draws of the true members among the likeliest n rows of the field, for every n.

From these and from the labelled rows: purity, completeness and yield against size and threshold, with intervals.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from ..boosting.calibration import HeldOut
from ..boosting.scaling import NearLabels
from ..features.redshifts import QUANTILE_NAMES, Outlines
from ..scores.losses import log_p, softmax
from ..surveys.scheme import LabelScheme
from .mix import Mix, MixDraw, cells, mag_bins, ratio_of
from .predicted import Predicted
from .records import BeforeAfter, Curves, Part, Reading, SizeCurve, ThresholdCurve, bin_names
from .rule import ListOptions

_DENSE, _POINTS, _FAINTEST, _MOST, _REST_POINTS = 2000, 2000, 0.002, 300_000, 500


@dataclass(frozen=True, eq=False)
class Yields:
    """Draws of how many of the likeliest n rows are of the class.

    Parameters
    ----------
    order : array of intp, shape (n,)
        Field rows by falling corrected probability.
    size : array of int, shape (g,)
        Sizes of lists, rising to the whole field: all up to 2,000, then about 2,000 more, and 500 of faint rows.
    threshold : array, shape (g,)
        Probability of the last row of each list.
    expected : array, shape (g,)
        Sum of probabilities of each list.
    mean : array, shape (g,)
        Members of the class expected among the first `size` rows, mean over the draws.
    true : array of float32, shape (draws, g)
        Members of the class among the first `size` rows: probabilities are drawn anew from calibration labels and
        field, corrected by labelled rows of such probabilities and magnitudes, and classes are drawn from them.
    other : Yields, optional
        The same lists by a second reading of the labels.
    way : str
        How this reading estimates the field's shares.
    """

    order: np.ndarray
    size: np.ndarray
    threshold: np.ndarray
    expected: np.ndarray
    mean: np.ndarray
    true: np.ndarray
    other: Yields | None = None
    way: str = "EM"

    @property
    def readings(self) -> tuple[Yields, ...]:
        """This reading of the labels, and the second one where there is one."""
        return (self,) if self.other is None else (self, self.other)

    @property
    def reached(self) -> np.ndarray:
        """Draws of the completeness of each list, shape (draws, g); of a draw without members that is expected."""
        total, expected = self.true[:, -1:], self.mean / np.maximum(self.mean[-1:], 1e-300)
        return np.where(total > 0, self.true / np.maximum(total, 1), expected)

    def purity_bound(self, confidence: float) -> np.ndarray:
        """Return the purity that the list of each size has at least, with this confidence, shape (g,).

        The smaller of what the two readings of the labels say.

        Parameters
        ----------
        confidence : float

        Returns
        -------
        array of float64, shape (g,)
        """
        return np.min([np.quantile(one.true / self.size, 1 - confidence, axis=0) for one in self.readings], axis=0)

    def completeness_bound(self, confidence: float) -> np.ndarray:
        """Return the completeness that the list of each size has at least, with this confidence, shape (g,).

        Parameters
        ----------
        confidence : float

        Returns
        -------
        array of float64, shape (g,)
        """
        return np.min([np.quantile(one.reached, 1 - confidence, axis=0) for one in self.readings], axis=0)

    def longest(self, purity: float) -> int:
        """Return how long a list may be of which this purity is expected.

        By either reading of the labels: the lesser counts.

        Parameters
        ----------
        purity : float

        Returns
        -------
        int
            0 where no list is so pure.
        """
        return self._longest_where(np.min([one.mean for one in self.readings], axis=0) / self.size >= purity)

    def _longest_where(self, enough: np.ndarray) -> int:
        """Return the last size of which a condition (sizes,) holds; 0 where it holds of none."""
        reached = np.flatnonzero(enough)
        return int(self.size[reached[-1]]) if len(reached) else 0

    def at(self, n: int, values: np.ndarray) -> np.ndarray:
        """Return figures of the list of n rows, between those of the lists next to it.

        Parameters
        ----------
        n : int
            From 1 to the rows of the field.
        values : array, shape (..., g)
            Of every list.

        Returns
        -------
        array, shape (...)
        """
        end = int(np.searchsorted(self.size, n))
        start = max(end - 1, 0)
        share = (n - self.size[start]) / max(self.size[end] - self.size[start], 1)
        return np.asarray(values[..., start] + share * (values[..., end] - values[..., start]))


class _Rest:
    """Rows too faint or too many to be drawn one by one: members of each length of the ranking, by cells of rows.

    Parameters
    ----------
    mix : Mix
    p, mag : array, shape (m, k) and (m,)
        Of the rows, in their order.
    rows : array of int, shape (s,)
        How many of them each length has.
    column : int
        The class.
    """

    def __init__(self, mix: Mix, p: np.ndarray, mag: np.ndarray, rows: np.ndarray, column: int) -> None:
        self._rows, self._column, place, found = rows, column, mix.place(mag), []
        member, self._place = np.zeros(len(p), dtype=np.intp), np.zeros(0, dtype=np.intp)
        for b in range(len(mix.old)):
            mean, _, own = cells(p[place == b])
            member[place == b] = own + len(self._place)
            self._place = np.append(self._place, np.full(len(mean), b))
            found.append(mean)
        self._logs = log_p(np.concatenate(found))
        width = max(len(self._place), 1)
        pairs, self._count = np.unique(np.repeat(np.arange(len(rows)), rows) * width + member, return_counts=True)
        self._length, self._cell = pairs // width, pairs % width

    def expected(self, draw: MixDraw) -> np.ndarray:
        """Return the members of each length that a draw of the mix expects, float64 (s,)."""
        p = softmax(draw.bias.logits(self._logs, draw.ratio(self._place)))[:, self._column]
        found = np.bincount(self._length, weights=self._count * p[self._cell], minlength=len(self._rows))
        return np.minimum(found, self._rows)


def draw_yields(
    mix: Mix, labelled: HeldOut, p: np.ndarray, mag: np.ndarray, column: int, *, seed: int = 0, by: Mix | None = None
) -> Yields:
    """Draw the yield of every list of the likeliest rows.

    Parameters
    ----------
    mix : Mix
        The correction and its draws.
    labelled : HeldOut
        The rows that `mix` was made with.
    p : array, shape (n, k)
        Probabilities of the field, as the model gave them.
    mag : array, shape (n,)
    column : int
        The class.
    seed : int
    by : Mix, optional
        The reading whose probabilities rank the rows; default: `mix`.

    Returns
    -------
    Yields
    """
    place, by = mix.place(mag), by or mix
    corrected = by.correct(p, mag)[:, column]
    order = np.argsort(-corrected, kind="stable")
    falling = corrected[order]
    most = int(min(max((falling >= _FAINTEST).sum(), min(len(falling), 200)), _MOST))
    parts = [np.arange(1, min(most, _DENSE) + 1)]
    for start, end, points in ((_DENSE, most, _POINTS), (most, len(falling), _REST_POINTS)):
        parts += [np.geomspace(start, end, points).astype(int)] if end > start else []
    size = np.unique(np.concatenate(parts))
    top, within, rows = order[:most], size[size <= most] - 1, np.diff(size[size >= most])
    logs, top_place = log_p(p[top]), place[top]
    rest = _Rest(mix, p[order[most:]], mag[order[most:]], rows, column)
    rng = np.random.default_rng(seed)
    true, beyond = np.empty((len(mix.draws), len(size)), dtype=np.float32), np.zeros(len(rows))
    lab_place, lab_logs, every = mix.place(labelled.mag), log_p(labelled.p), np.arange(len(labelled))
    known, sums = np.isfinite(mag[top]), np.zeros(most)
    centre = np.average(mag[top][known], weights=falling[:most][known]) if known.any() else 0.0
    near = NearLabels(labelled.label == column, labelled.mag, float(centre))
    for i, draw in enumerate(mix.draws):
        ratio, theirs = draw.ratio(lab_place), draw.ratio(top_place)
        ours, now = (softmax(draw.bias.logits(*of))[:, column] for of in ((lab_logs, ratio), (logs, theirs)))
        now = near.corrected(ours, draw.times * ratio[every, labelled.label], now, mag[top], rng)
        hits, sums = rng.random(most) < now, sums + np.cumsum(now)
        far = rest.expected(draw)
        beyond += far
        true[i] = np.append(np.cumsum(hits)[within], hits.sum() + np.cumsum(rng.binomial(rows, far / rows)))
    other = None if mix.other is None else draw_yields(mix.other, labelled, p, mag, column, seed=seed, by=by)
    mean = np.append(sums[within], sums[-1:].sum() + np.cumsum(beyond)) / len(mix.draws)
    return Yields(order, size, falling[size - 1], np.cumsum(falling)[size - 1], mean, true, other, mix.way)


_CURVE_POINTS = 60
_FIGURES = ("purity", "completeness")


def labelled_curve(
    mix: Mix, labelled: HeldOut, column: int, rows: np.ndarray, *, corrected: bool, level: float = 0.95
) -> ThresholdCurve:
    """Return what a cut in probability selects among labelled rows.

    Parameters
    ----------
    mix : Mix
    labelled : HeldOut
    column : int
        The class.
    rows : array of bool, shape (n,)
        The labelled rows that count (a magnitude bin, say).
    corrected : bool
        Whether probabilities are corrected and rows weighted to the field's mix; if not, both are
        as they are in the labelled sample.
    level : float
        Of the intervals, by bootstrap over labelled objects (and, corrected, over the mix).

    Returns
    -------
    ThresholdCurve
        Without points where no row is of the class.
    """
    chosen = labelled.take(rows)
    hit = chosen.label == column
    if not hit.any():
        return ThresholdCurve(len(chosen), 0)
    place = mix.place(chosen.mag)
    score = (mix.correct(chosen.p, chosen.mag) if corrected else chosen.p)[:, column]
    order = np.argsort(-score, kind="stable")
    thresholds = np.unique(np.quantile(score[hit], np.linspace(0, 1, _CURVE_POINTS)))[::-1]
    last = np.searchsorted(-score[order], -thresholds, side="right")
    every = np.arange(len(chosen))

    def figures(weight: np.ndarray) -> np.ndarray:
        true = np.append(0, np.cumsum((weight * hit)[order]))[last]
        picked = np.append(0, np.cumsum(weight[order]))[last]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([true / picked, true / max(weight @ hit, 1e-300)])

    def weight(ratio: np.ndarray, times: np.ndarray) -> np.ndarray:
        return times * (ratio[place][every, chosen.label] if corrected else 1.0)

    point = figures(weight(ratio_of(mix.old, mix.new), np.ones(len(chosen))))
    drawn = np.stack([figures(weight(ratio_of(d.old, d.new), d.times[rows])) for d in mix.draws])
    with warnings.catch_warnings():
        # A draw may have no row above a threshold; if none has, the interval is unknown.
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    ends = {f"{name}_{end}": part[i] for end, part in (("low", low), ("high", high)) for i, name in enumerate(_FIGURES)}
    return ThresholdCurve(len(chosen), int(hit.sum()), thresholds, purity=point[0], completeness=point[1], **ends)


def yield_curve(yields: Yields, area: float | None, level: float = 0.95) -> SizeCurve:
    """Return purity, completeness and yield of lists of the field against their size.

    Parameters
    ----------
    yields : Yields
    area : float or None
        Square degrees; None where unknown.
    level : float
        Of the intervals.

    Returns
    -------
    SizeCurve
    """
    keep = np.unique(np.geomspace(1, len(yields.size), _CURVE_POINTS).astype(int)) - 1
    size, true, reach = yields.size[keep], yields.mean[keep], yields.reached[:, keep]
    interval = _span(true, [yields.true[:, keep]], level)
    return SizeCurve(
        size=size.astype(np.float64),
        threshold=yields.threshold[keep],
        true=true,
        true_interval=interval,
        purity=true / size,
        purity_interval=interval / size,
        completeness=reach.mean(axis=0),
        completeness_interval=_span(reach.mean(axis=0), [reach], level),
        true_per_deg2=true / area if area else np.zeros(0),
    )


def _span(point: np.ndarray, draws: Sequence[np.ndarray], level: float = 0.95) -> np.ndarray:
    """Return an interval that holds those of draws (draws, ...), and what is expected (...); shape (2, ...)."""
    ends = np.array([np.quantile(one, [(1 - level) / 2, (1 + level) / 2], axis=0) for one in draws])
    return np.stack([np.minimum(ends[:, 0].min(axis=0), point), np.maximum(ends[:, 1].max(axis=0), point)])


def all_curves(
    mix: Mix, labelled: HeldOut, yields: Yields, column: int, edges: tuple[float, ...], area: float | None
) -> Curves:
    """Return every curve of a class: of the field, and of labelled rows overall and by magnitude bin.

    Parameters
    ----------
    mix : Mix
    labelled : HeldOut
        The rows that `mix` was made with.
    yields : Yields
        Of the field.
    column : int
        The class.
    edges : tuple of float
        Magnitudes between bins.
    area : float or None
        Square degrees.

    Returns
    -------
    Curves
    """
    place = mag_bins(labelled.mag, np.asarray(edges))
    parts = {"all": np.ones(len(labelled), dtype=bool)}
    if edges:
        parts |= {name: place == b for b, name in enumerate(bin_names(edges))}
    curve = partial(labelled_curve, mix, labelled, column)
    labels = {
        name: BeforeAfter(curve(rows, corrected=False), curve(rows, corrected=True)) for name, rows in parts.items()
    }
    return Curves(labels, yield_curve(yields, area))


def null_weights(mix: Mix, new: np.ndarray, p: np.ndarray, mag: np.ndarray, column: int) -> np.ndarray:
    """Return, for rows that are not of the class, how much commoner their features are in the field.

    Where p(features | class) is the same in both samples, that ratio is the mean of new / old shares
    over the other classes, weighted by their probabilities. Shape (n,).

    Parameters
    ----------
    mix : Mix
    new : array, shape (bins, k)
        Shares of the field.
    p : array, shape (n, k)
    mag : array, shape (n,)
    column : int
        The class.

    Returns
    -------
    array of float64, shape (n,)
    """
    ratio = ratio_of(mix.old, new)[mix.place(mag)]
    corrected = mix.bias.apply(p)
    corrected[:, column] = 0
    return (corrected * ratio).sum(axis=1) / np.maximum(corrected.sum(axis=1), 1e-300)


def with_redshifts(rows: Predicted, mix: Mix, scheme: LabelScheme) -> Predicted:
    """Return rows whose redshift densities agree with the corrected probabilities of the quasar classes.

    Parameters
    ----------
    rows, mix, scheme : Predicted, Mix, LabelScheme
        As the model gave them; corrects their probabilities; knows which classes are quasars.

    Returns
    -------
    Predicted
    """
    if any(name not in rows.more for name in QUANTILE_NAMES):
        return rows
    few = rows.take(there := np.flatnonzero(np.isfinite(rows.more[QUANTILE_NAMES[0]])))  # rows that may be quasars
    old, new = (scheme.high_share(p)[1] for p in (few.p, mix.correct(few.p, few.mag)))
    made = pd.DataFrame(Outlines(few.more, old, scheme.z_cut).scaled(new), index=there).reindex(np.arange(len(rows)))
    return replace(rows, more={**rows.more, **{str(name): made[name].to_numpy() for name in made}})


def in_redshift_range(
    limits: tuple[float | None, float | None], rows: Predicted, mix: Mix, scheme: LabelScheme
) -> list[str]:
    """Return what to say of a limit of redshift: how many quasars are truly expected within it, by their densities.

    Parameters
    ----------
    limits, rows, mix, scheme : (float or None, float or None), Predicted, Mix, LabelScheme
        Lowest and highest redshift; candidates :func:`with_redshifts`; the others as there.

    Returns
    -------
    list of str
    """
    if limits == (None, None) or any(name not in rows.more for name in QUANTILE_NAMES):
        return []
    low, high = (end if end is not None else edge for end, edge in zip(limits, (0.0, np.inf), strict=True))
    quasar, share = scheme.high_share(mix.correct(rows.p, rows.mag))
    outlines = Outlines(rows.more, share, scheme.z_cut)
    expected = float(np.nansum(quasar * (outlines.below(high) - outlines.below(low))))
    return [
        f"the limits of redshift are on the median of each density. Of {len(rows):,} candidates about {expected:.0f} "
        "are expected to be quasars with a true redshift within them; purity and completeness are of the class among "
        "rows within the limits, where probabilities are taken to be as right as elsewhere."
    ]


def measured(yields: Yields, corrected: np.ndarray, options: ListOptions, magnitudes: str) -> Part:
    """Measure a list by the probabilities of its rows and the draws of the yield.

    Parameters
    ----------
    yields : Yields
        Of the field.
    corrected : array, shape (n,)
        Probability of the class of each row of the list.
    options : ListOptions
        The rule.
    magnitudes : str
        What magnitudes the rows have, in words.

    Returns
    -------
    Part
    """
    size = len(corrected)
    expected = [float(one.at(size, one.mean)) for one in yields.readings]
    true = [one.at(size, one.true) for one in yields.readings]
    reach = [one.at(size, one.reached) for one in yields.readings]
    naive = None
    if options.kind in ("purity", "fdr"):
        wanted = options.value if options.kind == "purity" else 1 - options.value
        naive = yields._longest_where(yields.expected / yields.size >= wanted)

    def interval(point: float, draws: Sequence[np.ndarray], of: int = 1) -> tuple[float, float]:
        low, high = _span(np.asarray(point), draws) / of
        return float(low), float(high)

    readings = {
        one.way: Reading(_alone(one, options, size), mean / size, interval(mean, [drawn], size))
        for one, mean, drawn in zip(yields.readings, expected, true, strict=True)
    }
    by_mix = readings.pop("EM", None) if len(readings) > 1 else None
    return Part(
        magnitudes=magnitudes,
        field_rows=len(yields.order),
        size=size,
        expected_true=expected[0],
        interval=interval(expected[0], true),
        purity=expected[0] / size,
        purity_interval=interval(expected[0], true, size),
        completeness=float(reach[0].mean()),
        completeness_interval=interval(float(reach[0].mean()), reach),
        threshold=float(corrected.min()),
        mean_probability_size=naive,
        by_mix=by_mix,
        by_selection=None if by_mix is None else next(iter(readings.values())),
    )


def _alone(reading: Yields, options: ListOptions, size: int) -> int:
    """Return how long the list of a purity would be by one reading alone; other rules have one length."""
    if options.kind != "purity":
        return size
    return reading._longest_where(replace(reading, other=None).purity_bound(options.confidence) >= options.value)
