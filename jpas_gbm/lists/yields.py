"""What a list would hold: draws of the true members among the likeliest n rows of the field, for every n.

From these and from the labelled rows: purity, completeness and yield against size and threshold, with intervals.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..boosting.calibration import HeldOut
from ..features.redshifts import QUANTILE_NAMES, Outlines
from ..run import Later
from ..scores.losses import log_p, softmax
from ..surveys.scheme import LabelScheme
from .mix import Mix, cells, mag_bins, ratio_of
from .predicted import Predicted
from .records import BeforeAfter, Curves, Part, Reading, SizeCurve, ThresholdCurve
from .rule import ListOptions

if TYPE_CHECKING:
    from scipy import special
else:
    special = Later("scipy.special")

_DENSE, _POINTS, _FAINTEST, _MOST = 2000, 2000, 0.002, 300_000


@dataclass(frozen=True, eq=False)
class Yields:
    """Draws of how many of the likeliest n rows are of the class.

    Parameters
    ----------
    order : array of intp, shape (n,)
        Field rows by falling corrected probability.
    size : array of int, shape (g,)
        Sizes of lists, rising: all up to 2,000, then about 2,000 more.
    threshold : array, shape (g,)
        Probability of the last row of each list.
    expected : array, shape (g,)
        Sum of probabilities of each list.
    mean : array, shape (g,)
        Members of the class expected among the first `size` rows, mean over the draws.
    true : array of float32, shape (draws, g)
        Members of the class among the first `size` rows: probabilities are drawn anew from calibration labels and
        field, corrected by labelled rows of such probabilities and magnitudes, and classes are drawn from them.
    total : array, shape (draws,)
        Members of the class in the whole field.
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
    total: np.ndarray
    other: Yields | None = None
    way: str = "EM"

    @property
    def readings(self) -> tuple[Yields, ...]:
        """This reading of the labels, and the second one where there is one."""
        return (self,) if self.other is None else (self, self.other)

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
        reached = [one.true / np.maximum(one.total, 1)[:, None] for one in self.readings]
        return np.min([np.quantile(draws, 1 - confidence, axis=0) for draws in reached], axis=0)

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

    def at(self, n: int) -> int:
        """Return the place on the grid of the list nearest to n rows, not longer.

        Parameters
        ----------
        n : int

        Returns
        -------
        int
        """
        return max(int(np.searchsorted(self.size, n, side="right")) - 1, 0)


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
    size = np.arange(1, min(most, _DENSE) + 1)
    if most > _DENSE:
        size = np.unique(np.concatenate([size, np.geomspace(_DENSE, most, _POINTS).astype(int)]))
    top, rest = order[:most], order[most:]
    logs, top_place = log_p(p[top]), place[top]
    rest_cells = [cells(p[rest][place[rest] == b])[:2] for b in range(len(mix.old))]
    rng = np.random.default_rng(seed)
    true, total = np.empty((len(mix.draws), len(size)), dtype=np.float32), np.empty(len(mix.draws))
    lab_place, lab_logs, every = mix.place(labelled.mag), log_p(labelled.p), np.arange(len(labelled))
    known, sums = np.isfinite(mag[top]), np.zeros(most)
    centre = np.average(mag[top][known], weights=falling[:most][known]) if known.any() else 0.0
    near = _Near(labelled.label == column, labelled.mag, float(centre))
    for i, draw in enumerate(mix.draws):
        ratio, theirs = draw.ratio(lab_place), draw.ratio(top_place)
        ours, now = (softmax(draw.bias.logits(*of))[:, column] for of in ((lab_logs, ratio), (logs, theirs)))
        now = near.corrected(ours, draw.times * ratio[every, labelled.label], now, mag[top], rng)
        hits, sums = rng.random(most) < now, sums + np.cumsum(now)
        true[i] = np.cumsum(hits)[size - 1]
        far = sum(
            count @ softmax(draw.bias.logits(log_p(mean), draw.ratio(np.full(len(mean), b))))[:, column]
            for b, (mean, count) in enumerate(rest_cells)
        )
        total[i] = hits.sum() + rng.poisson(far)
    other = None if mix.other is None else draw_yields(mix.other, labelled, p, mag, column, seed=seed, by=by)
    threshold, expected = falling[size - 1], np.cumsum(falling[:most])[size - 1]
    return Yields(order, size, threshold, expected, sums[size - 1] / len(mix.draws), true, total, other, mix.way)


_LEAST = 0.02
_WIDTH = np.array([0.7, 0.25, 0.5])
_STEPS = 30


@dataclass(frozen=True, eq=False)
class _Near:
    """What labelled rows say of probabilities like theirs: P = s expit(logit p + a + b logit p + c (mag - centre)).

    A calibration is fitted to all rows, of which hardly any are near the threshold of a list, and few of these are
    labelled. Here a, b and c are fitted to the rows of p >= 0.02, with normal priors about 0 of widths 0.7, 0.25 and
    0.5 per magnitude. Where labels are few the priors keep their doubt, also at magnitudes that no label has, where a
    bootstrap would show none: each fit is to a bootstrap draw of the labels and about a draw of the prior
    (randomised maximum a posteriori; Bardsley et al. 2014, SIAM J. Sci. Comput. 36, A1895). No probability makes
    surer than the members that were labelled: 1 - s is as large as a rate that was never seen in so many (Jeffreys).

    Parameters
    ----------
    hit : array of bool, shape (n,)
        Which labelled rows are of the class.
    mag : array, shape (n,)
        Their magnitudes.
    centre : float
        Magnitude about which c turns; rows without magnitude are taken to have it.
    """

    hit: np.ndarray
    mag: np.ndarray
    centre: float

    def corrected(
        self, ours: np.ndarray, weight: np.ndarray, p: np.ndarray, mag: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return probabilities (m,) as a draw of a, b, c and s has them, from those of labels (n,), with weights."""
        prior, sure = rng.normal(0, _WIDTH), rng.beta(self.hit.sum() + 0.5, 0.5)
        rows = (ours >= _LEAST) & (weight > 0)
        hit, w = self.hit[rows], weight[rows]
        x, start = self._terms(ours[rows], self.mag[rows])
        # The rows count for as many as they are worth, (Σ w)² / Σ w² (Kish).
        w = w * (w.sum() / max(float(w @ w), 1e-300))
        found, precision = prior, 1 / _WIDTH**2
        for _ in range(_STEPS):
            q = special.expit(start + x @ found)
            slope = x.T @ (w * (q - hit)) + precision * (found - prior)
            step = np.linalg.solve((x.T * (w * q * (1 - q))) @ x + np.diag(precision), slope)
            far = np.abs(step).max()
            found = found - step / max(1.0, far)
            if far < 1e-6:
                break
        x, start = self._terms(p, mag)
        return np.where(p >= _LEAST, sure * special.expit(start + x @ found), p)

    def _terms(self, p: np.ndarray, mag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what a, b and c multiply (n, 3), and the log-odds (n,)."""
        odds = special.logit(np.clip(p, 1e-9, 1 - 1e-9))
        away = np.where(np.isfinite(mag), np.asarray(mag, dtype=np.float64) - self.centre, 0.0)
        return np.column_stack([np.ones(len(p)), odds, away]), odds


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
    true, size = yields.true[:, keep], yields.size[keep]
    ends = [(1 - level) / 2, (1 + level) / 2]
    purity, reach = true / size, true / np.maximum(yields.total, 1)[:, None]
    return SizeCurve(
        size=size.astype(np.float64),
        threshold=yields.threshold[keep],
        true=true.mean(axis=0),
        true_interval=np.quantile(true, ends, axis=0),
        purity=purity.mean(axis=0),
        purity_interval=np.quantile(purity, ends, axis=0),
        completeness=np.minimum(reach, 1).mean(axis=0),
        completeness_interval=np.quantile(np.minimum(reach, 1), ends, axis=0),
        true_per_deg2=true.mean(axis=0) / area if area else np.zeros(0),
    )


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


def bin_names(edges: tuple[float, ...]) -> list[str]:
    """Return names of magnitude bins: ``< 20``, ``20 to 21``, ``>= 21``.

    Parameters
    ----------
    edges : tuple of float

    Returns
    -------
    list of str
    """
    inner = [f"{a:g} to {b:g}" for a, b in pairwise(edges)]
    return [f"< {edges[0]:g}", *inner, f">= {edges[-1]:g}"] if edges else ["all"]


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
    place = yields.at(size)
    drawn = [(one.true[:, place] * (size / one.size[place]), np.maximum(one.total, 1)) for one in yields.readings]
    true, total = drawn[0]
    naive = None
    if options.kind in ("purity", "fdr"):
        wanted = options.value if options.kind == "purity" else 1 - options.value
        naive = yields._longest_where(yields.expected / yields.size >= wanted)

    def interval(*values: np.ndarray) -> tuple[float, float]:
        low, high = np.transpose([np.quantile(one, [0.025, 0.975]) for one in values])
        return float(low.min()), float(high.max())

    readings = {
        one.way: Reading(_alone(one, options, size), float(found.mean() / size), interval(found / size))
        for one, (found, _) in zip(yields.readings, drawn, strict=True)
    }
    by_mix = readings.pop("EM", None) if len(readings) > 1 else None
    return Part(
        magnitudes=magnitudes,
        field_rows=len(yields.order),
        size=size,
        expected_true=float(corrected.sum()),
        interval=interval(*(found for found, _ in drawn)),
        purity=float(corrected.mean()),
        purity_interval=interval(*(found / size for found, _ in drawn)),
        completeness=float(np.mean(true / total)),
        completeness_interval=interval(*(np.minimum(found / every, 1) for found, every in drawn)),
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
