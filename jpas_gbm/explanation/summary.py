"""The sections of an explanation that are means over rows: bands, blocks, features, calibration.

Means over the rows of classes, with intervals over objects.

Stability: would another seed, or another draw of rows, have said the same?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..model import Model
from ..options import ExplainOptions
from ..scores.bootstrap import LEVEL, resample_weights
from ..surveys.catalogue import Catalogue
from .attributions import Attributions, Pair, Progress, attribute
from .blocks import Blocks, strongest
from .contributions import SPLITS


@dataclass(frozen=True, eq=False)
class Means:
    """A mean per column, and the same on bootstrap resamples of objects.

    Parameters
    ----------
    mean : array, shape (b,)
        NaN where no row counts.
    draws : array, shape (resamples, b)
    """

    mean: np.ndarray
    draws: np.ndarray

    def interval(self, level: float = LEVEL) -> list[list[float | None]]:
        """Return the percentile interval of each column, [low, high], with None where there is none."""
        if len(self.draws) < 2:
            return [[None, None] for _ in self.mean]
        tail = (1 - level) / 2
        spans: list[list[float | None]] = []
        for column in self.draws.T:
            known = column[np.isfinite(column)]
            spans.append(np.quantile(known, [tail, 1 - tail]).tolist() if len(known) > 1 else [None, None])
        return spans


def class_means(
    values: np.ndarray, y: np.ndarray, codes: Sequence[int], groups: np.ndarray, resamples: int, seed: int
) -> Means:
    """Return the mean over classes of the means over the rows of each.

    A class weighs as much as another, however many rows it has; classes without a row count nowhere.

    Parameters
    ----------
    values : array, shape (n, b)
    y : array of int, shape (n,)
        Class of each row.
    codes : sequence of int
        The classes that count.
    groups : array of int, shape (n,)
        Object of each row: resamples draw objects.
    resamples : int
    seed : int
    """
    values = np.asarray(values, dtype=np.float64)
    present = [code for code in codes if (y == code).any()]
    if not present:
        return Means(np.full(values.shape[1], np.nan), np.empty((0, values.shape[1])))
    mean = np.mean([values[y == code].mean(axis=0) for code in present], axis=0)
    counted = np.isin(y, present)
    return Means(mean, _draws(values[counted], y[counted], present, groups[counted], resamples, seed))


def _draws(
    values: np.ndarray, y: np.ndarray, codes: Sequence[int], groups: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    found = []
    for weights in resample_weights(groups, resamples, seed):
        parts = []
        for code in codes:
            mine = weights[y == code].astype(np.float64)
            total = mine.sum(axis=0)
            with np.errstate(invalid="ignore", divide="ignore"):
                parts.append(np.where(total > 0, values[y == code].T @ mine / total, np.nan))
        found.append(_mean_known(np.stack(parts)).T)
    return np.concatenate(found) if found else np.empty((0, values.shape[1]))


def _mean_known(parts: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is not NaN."""
    known = np.isfinite(parts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, parts, 0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)


def masked_means(
    values: np.ndarray, mask: np.ndarray, groups: np.ndarray, resamples: int, seed: int
) -> tuple[Means, np.ndarray]:
    """Return the mean of each column over the entries that a mask lets in, and how many these are.

    Parameters
    ----------
    values : array, shape (n, b)
    mask : array of bool, shape (n, b)
    groups : array of int, shape (n,)
    resamples : int
    seed : int

    Returns
    -------
    Means, array of int, shape (b,)
    """
    filled, inside = np.where(mask, values, 0.0).astype(np.float64), mask.astype(np.float64)
    count = mask.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, filled.sum(axis=0) / count, np.nan)
        draws = [
            ((filled.T @ weights) / (inside.T @ weights)).T
            for weights in resample_weights(groups, resamples, seed)
            if len(filled)
        ]
    return Means(mean, np.concatenate(draws) if draws else np.empty((0, values.shape[1]))), count


STEADY = 0.3
"""A band is stable if its importance scatters by less than this share of its mean from fit to fit."""


def unit_importances(told: Attributions, y: np.ndarray) -> np.ndarray:
    """Return mean |pair attribution| of each band in each seed of the ensemble, float64 (u, b)."""
    kept = y[told.detail]
    codes, groups = (told.pair.a, told.pair.b), told.rows.object_id[told.detail]
    return np.array([class_means(np.abs(unit), kept, codes, groups, 0, 0).mean for unit in told.units])


def refit_importances(
    refit: Callable[[int], Model],
    number: int,
    rows: Catalogue,
    y: np.ndarray,
    pair: Pair,
    options: ExplainOptions,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return mean |pair attribution| of each band in models fitted again, float64 (number, b).

    Parameters
    ----------
    refit : callable
        ``refit(i)`` gives the i-th model, fitted with another seed or on resampled objects.
    number : int
        How many.
    rows : Catalogue
        The rows explained, the same for all.
    y : array of int, shape (n,)
        Class that each row counts as.
    pair : Pair
    options : ExplainOptions
    threads : int
    progress : callable, optional
    """
    found = []
    for i in range(number):
        if progress is not None:
            progress("refits", i, number)
        told = attribute(refit(i), rows, pair, options, threads=threads)
        found.append(class_means(np.abs(told.pair_bands), y, (pair.a, pair.b), rows.object_id, 0, 0).mean)
    if progress is not None:
        progress("refits", number, number)
    return np.array(found)


def stability(importances: np.ndarray, source: str) -> dict[str, Any]:
    """Return how far fits agree on which bands matter.

    Parameters
    ----------
    importances : array, shape (u, b)
        Mean |attribution| of each band in each fit.
    source : str
        What the fits differ by, in words.

    Returns
    -------
    dict
        ``defined``, ``fits``, ``source``; with two fits or more ``rank_correlation`` (mean over pairs of fits),
        ``least_rank_correlation``, and for each band ``mean``, ``low``, ``high`` (over fits), ``scatter`` (standard
        deviation over mean), ``stable`` and ``values``.
    """
    if len(importances) < 2:
        why = (
            "there is one fit: whether another seed would name the same bands was not measured. Fit with --seeds 2 or "
            "more, or explain with --refits."
        )
        return {"defined": False, "fits": len(importances), "source": source, "why": why}
    mean = importances.mean(axis=0)
    scatter = importances.std(axis=0, ddof=1) / np.maximum(mean, 1e-300)
    pairs = rank_correlations(importances)
    return {
        "defined": True,
        "fits": len(importances),
        "source": source,
        "rank_correlation": float(np.mean(pairs)),
        "least_rank_correlation": float(np.min(pairs)),
        "mean": mean,
        "low": importances.min(axis=0),
        "high": importances.max(axis=0),
        "scatter": scatter,
        "stable": (scatter < STEADY).tolist(),
        "steady_below": STEADY,
        "values": importances,
    }


def rank_correlations(importances: np.ndarray) -> Sequence[float]:
    """Return Spearman's rank correlation of each pair of rows of (u, b)."""
    from scipy.stats import rankdata

    ranks = np.array([rankdata(one) for one in importances])
    return [float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else 1.0 for a, b in combinations(ranks, 2)]


_BANDS_TOLD = 4


class Summary:
    """Means over the rows of the classes of a pair.

    Parameters
    ----------
    told : Attributions
    y : array of int, shape (n,)
        Class that each row counts as.
    blocks : Blocks
    resamples, seed : int
        Of the intervals over objects.
    """

    def __init__(self, told: Attributions, y: np.ndarray, blocks: Blocks, resamples: int, seed: int) -> None:
        self.told, self.y, self.blocks = told, y, blocks
        self.resamples, self.seed = resamples, seed
        self.codes = (told.pair.a, told.pair.b)
        self.pair_bands = told.pair_bands

    def _pair_means(self, values: np.ndarray) -> dict[str, Any]:
        """Return mean |.| with interval, and signed means by class, of columns (n, c)."""
        groups = self.told.rows.object_id
        means = class_means(np.abs(values), self.y, self.codes, groups, self.resamples, self.seed)
        signed = {
            name: class_means(values, self.y, [code], groups, 0, self.seed).mean
            for name, code in zip(self.told.pair.names, self.codes, strict=True)
        }
        return {"mean_abs": means.mean, "interval": means.interval(), "mean": signed}

    def _by_class(self, values: np.ndarray) -> dict[str, Any]:
        """Return mean contributions (n, k, c) to a class's own margin over its own rows."""
        groups = self.told.rows.object_id
        return {
            name: class_means(values[:, code], self.y, [code], groups, 0, self.seed).mean
            for code, name in enumerate(self.told.fitted.classes)
            if (self.y == code).any()
        }

    def bands(self) -> dict[str, Any]:
        """Return the section ``bands``."""
        bands = self.told.fitted.recipe.bands
        return {
            "names": list(bands.names),
            "pivots": bands.pivots,
            "widths": bands.widths,
            "kinds": [band.kind for band in bands],
            **self._pair_means(self.pair_bands),
            "by_class": self._by_class(self.told.bands),
        }

    def own(self) -> dict[str, Any]:
        """Return the section ``own``."""
        names = list(self.told.rule.own_names)
        if not names:
            return {"names": [], "mean_abs": [], "interval": [], "mean": {}, "by_class": {}}
        return {"names": names, **self._pair_means(self.told.pair_own), "by_class": self._by_class(self.told.own)}

    def block_table(self) -> list[dict[str, Any]]:
        """Return the section ``blocks``."""
        sums = self.blocks.sums(self.pair_bands)
        means = self._pair_means(sums)
        top = strongest(sums[:, : len(self.blocks.spectral)])
        shares = {
            name: [float((top[self.y == code] == i).mean()) for i in range(len(self.blocks))]
            for name, code in zip(self.told.pair.names, self.codes, strict=True)
            if (self.y == code).any()
        }
        return [
            {
                **block.to_dict(),
                "mean_abs": float(means["mean_abs"][i]),
                "interval": means["interval"][i],
                "mean": {name: float(one[i]) for name, one in means["mean"].items()},
                "strongest": {name: share[i] for name, share in shares.items()} if block.spectral else {},
            }
            for i, block in enumerate(self.blocks.blocks)
        ]

    def features(self, top: int) -> tuple[dict[str, Any], np.ndarray]:
        """Return the section ``features`` and the places of the top features."""
        told = self.told
        y, groups = self.y[told.detail], told.rows.object_id[told.detail]
        size = np.abs(told.features)
        means = class_means(size, y, self.codes, groups, 0, self.seed).mean
        names, group_of = told.fitted.recipe.names, told.fitted.recipe.groups
        order = np.argsort(-np.nan_to_num(means), kind="stable")[:top]
        intervals = class_means(size[:, order], y, self.codes, groups, self.resamples, self.seed).interval()
        section = {
            "top": [
                {
                    "name": names[i],
                    "group": group_of[names[i]],
                    "mean_abs": float(means[i]),
                    "interval": interval,
                    "bands": self._main_bands(int(i)),
                }
                for i, interval in zip(order, intervals, strict=True)
            ],
            "groups": self._groups(means),
        }
        return section, order

    def _main_bands(self, feature: int) -> list[str]:
        recipe = self.told.fitted.recipe
        weights = recipe.band_weights[feature]
        order = np.argsort(-weights, kind="stable")[:_BANDS_TOLD]
        return [recipe.bands.names[i] for i in order if weights[i] > 0]

    def _groups(self, means: np.ndarray) -> list[dict[str, Any]]:
        totals: dict[str, float] = {}
        for group, value in zip(self.told.fitted.recipe.groups.values(), means, strict=True):
            totals[group] = totals.get(group, 0.0) + float(value)
        whole = max(sum(totals.values()), 1e-300)
        return [
            {"group": group, "mean_abs": value, "share": value / whole}
            for group, value in sorted(totals.items(), key=lambda item: -item[1])
        ]

    def calibration(self) -> dict[str, Any]:
        """Return the section ``calibration``, over the rows of the pair's classes."""
        told = self.told
        rows = np.isin(self.y, self.codes)
        before = told.pair.difference(told.margins)[rows]
        added = told.calibration[rows]
        after = before + added
        varied = len(before) > 1 and np.ptp(before) > 0
        return {
            "method": told.fitted.calibrator.method,
            "n": int(rows.sum()),
            **{
                name: {"mean": float(one.mean()), "std": float(one.std())}
                for name, one in (("before", before), ("after", after), ("added", added))
                if len(one)
            },
            "slope": float(np.polyfit(before, after, 1)[0]) if varied else None,
        }


def taught(told: Attributions, y: np.ndarray, resamples: int, seed: int) -> dict[str, Any]:
    """Return mean |pair attribution| of each band from the mocks' part and from the sky's.

    Contributions of the first trees and of the later ones add up, so that the two parts are exact.

    Parameters
    ----------
    told : Attributions
    y : array of int, shape (n,)
        Class that each row counts as.
    resamples, seed : int

    Returns
    -------
    dict
        ``continued`` and ``stacked``: ``defined``, and ``why`` not or, for ``mocks`` and ``sky``: ``mean_abs``,
        ``interval``, ``mean`` (signed, by class) of each band, ``own`` (the same mean |.| of own columns),
        ``members``, ``share_of_sky``.
    """
    found = {}
    for name, (origins, words) in SPLITS.items():
        if not set(origins) <= set(told.parts):
            why = f"no member of this model ({_names(told)}) has these two parts: {words}."
            found[name] = {"defined": False, "why": why}
            continue
        parts = {
            part: _part(told, origin, y, resamples, seed)
            for part, origin in zip(("mocks", "sky"), origins, strict=True)
        }
        total = {part: float(np.sum(one["mean_abs"]) + np.sum(one["own"])) for part, one in parts.items()}
        found[name] = {
            "defined": True,
            "words": words,
            "members": told.part_members[origins[0]],
            "of": len(told.fitted.members),
            "share_of_sky": total["sky"] / max(sum(total.values()), 1e-300),
            **parts,
        }
    return found


def _names(told: Attributions) -> str:
    return ", ".join(sorted({member.name or member.kind for member in told.fitted.members}))


def _part(told: Attributions, origin: str, y: np.ndarray, resamples: int, seed: int) -> dict[str, Any]:
    bands, own = told.parts[origin], told.own_parts[origin]
    codes, groups = (told.pair.a, told.pair.b), told.rows.object_id
    means = class_means(np.abs(bands), y, codes, groups, resamples, seed)
    return {
        "origin": origin,
        "mean_abs": means.mean,
        "interval": means.interval(),
        "mean": {
            name: class_means(bands, y, [code], groups, 0, seed).mean
            for name, code in zip(told.pair.names, codes, strict=True)
        },
        "own": class_means(np.abs(own), y, codes, groups, 0, seed).mean,
    }
