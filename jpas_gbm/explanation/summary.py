"""The rows explained, and the sections that are means over them, with bootstrap intervals over objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..errors import ExplanationError
from ..model import Model
from ..options import ExplainOptions
from ..run import Run
from ..scores.bootstrap import Means, mean_over
from ..surveys.catalogue import Catalogue
from ..surveys.scheme import LabelScheme
from ..text import count
from .attributions import Attributions, Pair, attribute
from .blocks import Blocks, strongest
from .content import (
    BandMeans,
    BlockMeans,
    CalibrationEffect,
    FeatureMeans,
    Features,
    GroupMeans,
    MeanAttributions,
    Moments,
    NotDefined,
    OneFit,
    OwnMeans,
    SampleFacts,
    Stability,
    StagePart,
    StageSplit,
)

STEADY = 0.3
"""A band is stable if its importance scatters by less than this share of its mean from fit to fit."""

SPLITS = {
    "continued": (
        ("mocks", "target"),
        "trees grown on mocks against trees grown on labelled target rows, in the members of continued boosting",
    ),
    "stacked": (
        ("stacked", "direct"),
        "what the stacked members took from the margins of the mock-grown trees below them against what they took "
        "from the features themselves",
    ),
}
"""For each way of parting mocks from sky: origins of the two parts (mocks', sky's), and what they are."""

_MAIN_BANDS = 4


_STREAM = 41


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows that are explained.

    Parameters
    ----------
    rows : Catalogue
        In the order of the catalogue they were drawn from.
    y : array of int8, shape (n,)
        The class that a row counts as: its label, or the class predicted where it has none.
    facts : SampleFacts
        How they were drawn.
    """

    rows: Catalogue
    y: np.ndarray
    facts: SampleFacts

    def __len__(self) -> int:
        return len(self.rows)


def draw_sample(
    catalogue: Catalogue, y: np.ndarray, scheme: LabelScheme, options: ExplainOptions, seed: int, *, labelled: bool
) -> Sample:
    """Draw a stratified sample: so many rows of each class, and the quasars (nearly) all.

    Parameters
    ----------
    catalogue : Catalogue
        n rows.
    y : array of int, shape (n,)
        The class of each; rows of class -1 are left out.
    scheme : LabelScheme
        The classes; those that redshift parts within a spectral type are the quasars.
    options : ExplainOptions
        ``per_class`` and ``quasars``: most rows of a class.
    seed : int
        Seed of the draw.
    labelled : bool
        Whether classes are labels.

    Returns
    -------
    Sample

    Raises
    ------
    ExplanationError
        If there is no row.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM]))
    chosen = []
    for code, name in enumerate(scheme.classes):
        mine = np.flatnonzero(y == code)
        most = options.quasars if name in scheme.parted else options.per_class
        chosen.append(rng.permutation(mine)[:most] if most and len(mine) > most else mine)
    places = np.sort(np.concatenate(chosen))
    if not len(places):
        raise ExplanationError("no row has a class: there is nothing to explain. Give labelled rows or a --catalogue.")
    limits = {"each class of quasars": options.quasars, "each other class": options.per_class}
    words = [f"at most {count(most, 'row')} of {of}" if most else f"all rows of {of}" for of, most in limits.items()]
    by = "label" if labelled else "predicted class"
    facts = SampleFacts(
        drawn=scheme.counts(y[places]),
        available=scheme.counts(y),
        classes_from="labels" if labelled else "predictions",
        rule=f"stratified by {by}: {words[0]}, {words[1]}, drawn at random",
    )
    return Sample(catalogue.take(places), y[places].astype(np.int8), facts)


class Summary:
    """Means over the rows of the classes of a pair.

    Parameters
    ----------
    found : Attributions
        Of n rows.
    y : array of int, shape (n,)
        Class that each row counts as.
    blocks : Blocks
    resamples, seed : int
        Of the intervals over objects.
    """

    def __init__(self, found: Attributions, y: np.ndarray, blocks: Blocks, resamples: int, seed: int) -> None:
        self.found, self.y, self.blocks = found, y, blocks
        self.resamples, self.seed = resamples, seed
        self.codes = dict(zip(found.pair.names, (found.pair.a, found.pair.b), strict=True))
        self.groups = found.rows.object_id

    def _means(self, values: np.ndarray, codes: Sequence[int], *, resampled: bool = False) -> Means:
        """Return means over classes of the means over their rows, each class weighing alike."""
        sets = [(self.y == code)[:, None] for code in codes]
        return mean_over(values, sets, self.groups, self.resamples if resampled else 0, self.seed)

    def _pair_means(self, values: np.ndarray) -> dict[str, object]:
        """Return the fields of MeanAttributions for columns (n, c)."""
        sizes = self._means(np.abs(values), list(self.codes.values()), resampled=True)
        signed = {name: self._means(values, [code]).mean for name, code in self.codes.items()}
        return {"mean_abs": sizes.mean, "interval": sizes.interval, "mean": signed}

    def _by_class(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return mean contributions (n, k, c) to a class's own margin over its own rows."""
        return {
            name: self._means(values[:, code], [code]).mean
            for code, name in enumerate(self.found.model.classes)
            if (self.y == code).any()
        }

    def bands(self) -> BandMeans:
        """Return the section ``bands``.

        Returns
        -------
        BandMeans
            In the order of the band system.
        """
        bands = self.found.model.recipe.bands
        return BandMeans(
            names=bands.names,
            pivots=bands.pivots,
            widths=bands.widths,
            kinds=tuple(band.kind for band in bands),
            by_class=self._by_class(self.found.bands),
            **self._pair_means(self.found.pair_bands),
        )

    def own(self) -> OwnMeans:
        """Return the section ``own``.

        Returns
        -------
        OwnMeans
            In the order of the recipe.
        """
        names = self.found.rule.own_names
        if not names:
            return OwnMeans(names=(), mean_abs=[], interval=[], mean={}, by_class={})
        return OwnMeans(names=names, by_class=self._by_class(self.found.own), **self._pair_means(self.found.pair_own))

    def block_table(self) -> tuple[BlockMeans, ...]:
        """Return the section ``blocks``.

        Returns
        -------
        tuple of BlockMeans
            By wavelength, then blocks of no wavelength.
        """
        sums = self.blocks.sums(self.found.pair_bands)
        means = MeanAttributions(**self._pair_means(sums))
        top = strongest(sums[:, : len(self.blocks.spectral)])
        mine = {name: top[self.y == code] for name, code in self.codes.items() if (self.y == code).any()}
        return tuple(
            BlockMeans(
                **dict(block),
                mean_abs=means.mean_abs[i],
                interval=means.interval[i],
                mean={name: mean[i] for name, mean in means.mean.items()},
                strongest={name: float((t == i).mean()) for name, t in mine.items()} if block.spectral else {},
            )
            for i, block in enumerate(self.blocks.blocks)
        )

    def features(self, top: int) -> tuple[Features, np.ndarray]:
        """Return the section ``features`` and the places of the top features, shape (t,).

        Parameters
        ----------
        top : int
            How many features are listed.

        Returns
        -------
        section : Features
            Top features and all groups.
        places : array of int, shape (t,)
            Of the top features.
        """
        found, recipe = self.found, self.found.model.recipe
        sizes, groups = np.abs(found.features), self.groups[found.detail]
        sets = [(self.y[found.detail] == code)[:, None] for code in self.codes.values()]
        means = mean_over(sizes, sets, groups).mean
        order = np.argsort(-np.nan_to_num(means), kind="stable")[:top]
        spans = mean_over(sizes[:, order], sets, groups, self.resamples, self.seed).interval
        totals: dict[str, float] = {}
        for group, value in zip(recipe.groups.values(), means, strict=True):
            totals[group] = totals.get(group, 0.0) + float(value)
        whole = max(sum(totals.values()), 1e-300)
        section = Features(
            top=tuple(
                FeatureMeans(
                    name=recipe.names[i],
                    group=recipe.groups[recipe.names[i]],
                    mean_abs=means[i],
                    interval=interval,
                    bands=self._main_bands(int(i)),
                )
                for i, interval in zip(order, spans, strict=True)
            ),
            groups=tuple(
                GroupMeans(group=group, mean_abs=value, share=value / whole)
                for group, value in sorted(totals.items(), key=lambda item: -item[1])
            ),
        )
        return section, order

    def _main_bands(self, feature: int) -> tuple[str, ...]:
        """Return the bands of largest share in a feature."""
        recipe = self.found.model.recipe
        weights = recipe.band_weights[feature]
        order = np.argsort(-weights, kind="stable")[:_MAIN_BANDS]
        return tuple(recipe.bands.names[i] for i in order if weights[i] > 0)

    def calibration(self) -> CalibrationEffect:
        """Return the section ``calibration``, over the rows of the pair's classes.

        Returns
        -------
        CalibrationEffect
            In log-odds of the pair.
        """
        found, rows = self.found, np.isin(self.y, list(self.codes.values()))
        before = found.pair.difference(found.margins)[rows]
        added = found.calibration[rows]
        varied = len(before) > 1 and np.ptp(before) > 0
        columns = {"before": before, "after": before + added, "added": added} if len(before) else {}
        return CalibrationEffect(
            method=found.model.calibrator.method,
            n=int(rows.sum()),
            slope=float(np.polyfit(before, before + added, 1)[0]) if varied else None,
            **{name: Moments(mean=x.mean(), std=x.std()) for name, x in columns.items()},
        )

    def stages(self) -> dict[str, StageSplit | NotDefined]:
        """Return mean |pair attribution| of each band from the mocks' part and from the sky's.

        Contributions of the first trees and of the later ones add up, so that the two parts are exact.

        Returns
        -------
        dict of str to StageSplit or NotDefined
            By the way of parting them.
        """
        sections: dict[str, StageSplit | NotDefined] = {}
        for name, (origins, words) in SPLITS.items():
            members = self.found.model.members
            if not set(origins) <= set(self.found.parts):
                kinds = ", ".join(sorted({member.name or member.kind for member in members}))
                sections[name] = NotDefined(why=f"no member of this model ({kinds}) has these two parts: {words}.")
                continue
            mocks, sky = (self._stage_part(origin) for origin in origins)
            totals = [float(np.sum(part.mean_abs) + np.sum(part.own)) for part in (mocks, sky)]
            sections[name] = StageSplit(
                words=words,
                members=self.found.part_members[origins[0]],
                of=len(members),
                share_of_sky=totals[1] / max(sum(totals), 1e-300),
                mocks=mocks,
                sky=sky,
            )
        return sections

    def _stage_part(self, origin: str) -> StagePart:
        """Return the means of one part of the members."""
        own = self._means(np.abs(self.found.own_parts[origin]), list(self.codes.values())).mean
        return StagePart(origin=origin, own=own, **self._pair_means(self.found.parts[origin]))


def importances(found: Attributions, y: np.ndarray) -> np.ndarray:
    """Return mean |pair attribution| of each band over the rows of the pair's classes, shape (b,).

    Parameters
    ----------
    found : Attributions
        Of n rows.
    y : array of int, shape (n,)
        Class that each row counts as.

    Returns
    -------
    array of float64, shape (b,)
    """
    return _importances(found.pair_bands, found.pair, found.rows.object_id, y)


def _importances(values: np.ndarray, pair: Pair, groups: np.ndarray, y: np.ndarray) -> np.ndarray:
    return mean_over(np.abs(values), [(y == code)[:, None] for code in (pair.a, pair.b)], groups).mean


def unit_importances(found: Attributions, y: np.ndarray) -> np.ndarray:
    """Return the same for each seed of the ensemble, over the detail rows, float64 (u, b).

    Parameters
    ----------
    found : Attributions
    y : array of int, shape (n,)

    Returns
    -------
    array of float64, shape (u, b)
    """
    rows = found.rows.object_id[found.detail], y[found.detail]
    return np.array([_importances(unit, found.pair, *rows) for unit in found.units])


def refit_importances(
    refit: Callable[[int], Model], number: int, found: Attributions, y: np.ndarray, options: ExplainOptions, run: Run
) -> np.ndarray:
    """Return importances of bands in models fitted again.

    Parameters
    ----------
    refit : callable
        ``refit(i)`` gives the i-th model, fitted with another seed.
    number : int
        How many.
    found : Attributions
        Its rows and pair are explained again with each.
    y : array of int, shape (n,)
        Class that each row counts as.
    options : ExplainOptions
    run : Run

    Returns
    -------
    array of float64, shape (number, b)
    """
    rows = []
    for i in range(number):
        run.report("refits", i, number)
        rows.append(importances(attribute(refit(i), found.rows, found.pair, options, Run(threads=run.threads)), y))
    run.report("refits", number, number)
    return np.array(rows)


def stability(values: np.ndarray, source: str) -> Stability | OneFit:
    """Return how far fits agree on which bands matter.

    Parameters
    ----------
    values : array, shape (u, b)
        Mean |attribution| of each band in each fit.
    source : str
        What the fits differ by, in words.

    Returns
    -------
    Stability or OneFit
    """
    if len(values) < 2:
        why = (
            "there is one fit: whether another seed would name the same bands was not measured. Fit with --seeds 2 or "
            "more, or explain with --refits."
        )
        return OneFit(fits=len(values), source=source, why=why)
    mean = values.mean(axis=0)
    scatter = values.std(axis=0, ddof=1) / np.maximum(mean, 1e-300)
    pairs = [rank_correlation(a, b, flat=1.0) for a, b in combinations(values, 2)]
    return Stability(
        fits=len(values),
        source=source,
        rank_correlation=float(np.mean(pairs)),
        least_rank_correlation=min(pairs),
        mean=mean,
        low=values.min(axis=0),
        high=values.max(axis=0),
        scatter=scatter,
        stable=tuple((scatter < STEADY).tolist()),
        steady_below=STEADY,
        values=values,
    )


def rank_correlation(a: np.ndarray, b: np.ndarray, flat: float = 0.0) -> float:
    """Return Spearman's rank correlation; `flat` where either does not vary.

    Parameters
    ----------
    a, b : array, shape (n,)
    flat : float

    Returns
    -------
    float
    """
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]) if np.ptp(a) and np.ptp(b) else flat
