"""From margins to probabilities: doubt of rows unlike those that trained, and densities of redshift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from ..boosting.booster import Member
from ..boosting.calibration import Calibrator, HeldOut
from ..boosting.few_bands import ByBrightness, learn_brightness
from ..boosting.matrix import joined
from ..features.chi2 import QUANTILES, SideShape
from ..features.overlap import Overlap, learn_overlap
from ..features.redshifts import RedshiftDensity
from ..features.templates import TemplateSet
from ..model import Model
from ..predictions import is_bare
from ..run import Run
from ..scores.metrics import RedshiftScore, score_redshifts
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from .anchors import CalibrationRows
from .folds import Folds, mean_margins
from .rows import Regime, Rows, counted_rows
from .sky import observe_again
from .stages import Stages


class Settled(NamedTuple):
    """What follows the calibration of margins, as a model holds it.

    Parameters
    ----------
    held_out : HeldOut
        The rows that calibrated, with probabilities as all that follows leaves them.
    overlap : Overlap or None
        What the rows that trained look like.
    brightness : ByBrightness or None
        What parts bright rows from faint ones.
    """

    held_out: HeldOut
    overlap: Overlap | None
    brightness: ByBrightness | None


def settled(
    folds: Folds, regime: Regime, rows: CalibrationRows, held: HeldOut, members: list[Member], calibrator: Calibrator
) -> Settled:
    """Learn what follows the calibration of margins: doubt of strange rows, then bright and faint rows apart.

    Parameters
    ----------
    folds, regime, rows, held, members, calibrator
        As for :func:`doubted`.

    Returns
    -------
    Settled
    """
    held, overlap = doubted(folds, regime, rows, held, members, calibrator)
    held, brightness = apart(folds, rows, held)
    return Settled(held, overlap, brightness)


def apart(folds: Folds, rows: CalibrationRows, held: HeldOut) -> tuple[HeldOut, ByBrightness | None]:
    """Calibrate rows of the sky that are brighter than the cut apart from fainter ones, by imaging magnitude.

    Parameters
    ----------
    folds : Folds
        Rows and trainings.
    rows : CalibrationRows
        The rows that calibrate.
    held : HeldOut
        These, with cross-fitted probabilities.

    Returns
    -------
    held : HeldOut
        With the probabilities after it.
    brightness : ByBrightness or None
        None where mocks calibrate, nothing is cut, no row has an imaging magnitude, or rows of a side are too few.
    """
    stages = folds.first
    names, cut = stages.rows.recipe.names, stages.options.cut
    if rows.domain == "source" or "imaging_mag" not in names or cut is None:
        return held, None
    mag, val = rows.val.X[:, names.index("imaging_mag")], rows.val
    made, p = learn_brightness(held.p, val.y, mag, cut, val.groups, stages.run.choice_seed)
    return replace(held, p=p), made


_MISCALIBRATED = 0.06
"""1 sigma of what band by band may lie between the fluxes of mocks and of a sky of which nothing was seen, mag."""
_ASKED = 5_000
"""Most rows that say how far to doubt, where they have no label."""


def doubted(
    folds: Folds, regime: Regime, rows: CalibrationRows, held: HeldOut, members: list[Member], calibrator: Calibrator
) -> tuple[HeldOut, Overlap | None]:
    """Learn what the rows that trained look like, and how far to doubt rows unlike those that the model will meet.

    These are the rows of the sky that calibrate, whose labels also say how many are astray; where no label may be read,
    the rows of the sky without labels; where no row may, mocks whose bands are miscalibrated at random.

    Parameters
    ----------
    folds : Folds
        Rows and trainings.
    regime : Regime
        What may be read.
    rows : CalibrationRows
        The rows that calibrate.
    held : HeldOut
        These, with cross-fitted probabilities.
    members : list of Member
        The model.
    calibrator : Calibrator
        Its calibration.

    Returns
    -------
    held : HeldOut
        With probabilities as doubt leaves them.
    overlap : Overlap or None
        None where there are too few rows to say.
    """
    stages = folds.first
    seed, val, own = stages.run.choice_seed, rows.val, stages.rows
    judged = own.target_val or val if folds.crossfits else val
    parts = [part for part in (own.source_train, own.target_train) if part is not None]
    X, y = joined([part.X for part in parts]), np.concatenate([part.y for part in parts])
    found = learn_overlap(X, y, judged.X, seed=seed, names=own.recipe.names)
    if found is None:
        return held, None
    p = folds.of_first(held.p) if judged is not val else held.p
    shares = np.bincount(val.y, minlength=own.k) + 1.0
    if rows.domain == "source":
        judged = _asked(folds, regime, np.random.default_rng(seed)) or val
        p = calibrator.apply(mean_margins(members, judged.X, stages.run.threads))
        shares = p.mean(axis=0)
    found = found.doubting(judged.X, p, shares, counted_rows(judged, stages.options.cut))
    if rows.domain == "target":
        found = found.allowing(found.tempered(held.p, found.judge(val.X)[1]), val.y)
    return replace(held, p=found.tempered(held.p, found.judge(val.X)[1])), found


def _asked(folds: Folds, regime: Regime, rng: np.random.Generator) -> Rows | None:
    """Return rows without labels like those that a model will meet: of the sky, or mocks miscalibrated at random."""
    own = folds.first.rows
    if regime.target_rows:
        sky = own.unlabelled
        return None if sky is None or not len(sky) else sky.take(np.sort(rng.permutation(len(sky))[:_ASKED]))
    mocks = folds.datasets[0].source_rows("val")
    mocks = mocks.take(np.sort(rng.permutation(len(mocks))[:_ASKED]))
    wrong = 10 ** (0.4 * _MISCALIBRATED * rng.standard_normal(mocks.flux.shape))
    mocks = mocks.replace(flux=(mocks.flux * wrong).astype(np.float32))
    X = own.recipe.compute(mocks, threads=folds.first.run.threads).X
    return Rows(X, np.asarray(mocks.label), np.asarray(mocks.object_id), np.asarray(mocks.mag))


FEWEST = 40
"""Labelled quasars of a side below which the densities are not calibrated on them."""

_MOCKS = 500
"""What the mocks of a side count for at most beside quasars of the sky."""

_ENOUGH, _FOLDS, _MOST = 1_000, 5, 3_000
"""Validation mocks below which those that templates are learnt from calibrate too, fold by fold; most that do."""

_DRAWN = 800
"""Quasars of a side that values of its shape are tried on."""

_WORTH = (5, 10, 20, 50, 100, 200, 500)
"""Quasars of the sky that mocks may be worth, where both say in which parts of their densities redshifts lie."""

_ASTRAY = 0.005
"""Share of the labelled quasars, at either end, that densities need not reach."""

_AS_SAID = 100
"""Quasars that count as lying where their densities say, beside those that calibrate."""

_SEARCHED = (
    (("plateau", (0.004, 0.008, 0.012, 0.02, 0.03)), ("width", (0.003, 0.006, 0.01, 0.015))),
    (("temper", (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)), ("tail", (10.0, 30.0, 100.0, 1e4))),
    (("temper", (0.3, 0.5, 0.7, 1.0, 1.4)), ("relief", (0.0, 0.25, 0.5, 0.75, 1.0, 1.5))),
    (("floor", (0.003, 0.01, 0.03, 0.06, 0.1)),),
)
"""Values tried for a side's shape, a few together."""


@dataclass(frozen=True, eq=False)
class Quasars:
    """Quasars with redshifts, as template fits see them.

    Parameters
    ----------
    density : RedshiftDensity
        Of templates that these n quasars did not make.
    minus2 : array, shape (n, templates of the bank)
        -2 ln likelihood at the highest rank.
    z : array, shape (n,)
        True redshifts.
    weight : array, shape (n,)
        What each counts for.
    objects : array of int64, shape (n,)
        The astronomical object of each.
    mocks : bool
        Whether they are mocks, not of the sky.
    """

    density: RedshiftDensity
    minus2: np.ndarray
    z: np.ndarray
    weight: np.ndarray
    objects: np.ndarray
    mocks: bool = False

    def take(self, rows: np.ndarray) -> Quasars:
        """Return some of them.

        Parameters
        ----------
        rows : array of bool or int

        Returns
        -------
        Quasars
        """
        minus2, z, weight, objects = (one[rows] for one in (self.minus2, self.z, self.weight, self.objects))
        return Quasars(self.density, minus2, z, weight, objects, self.mocks)


def calibrated(
    density: RedshiftDensity, parts: Sequence[Quasars], seed: int = 0, begin: RedshiftDensity | None = None
) -> RedshiftDensity:
    """Return redshift densities with the shapes that labelled quasars are likeliest under, side by side.

    Mocks count beside quasars of the sky for as many as makes it likeliest in which parts of their densities the
    redshifts of the latter lie: few, where these lie elsewhere than those of mocks.

    Parameters
    ----------
    density : RedshiftDensity
    parts : sequence of Quasars
        Each part by its own templates.
    seed : int
        Draws the quasars that values are tried on.
    begin : RedshiftDensity, optional
        Calibrated on more of the same quasars: values beside its own are tried alone.

    Returns
    -------
    RedshiftDensity
        With the shapes that it had on a side with too few labelled quasars.
    """
    shapes = [density.low, density.high]
    for i in (0, 1):
        mine = [part.take((part.z >= density.cut) == (i == 1)) for part in parts]
        mine = [part for part in mine if len(part.z)]
        if sum(float(part.weight.sum()) for part in mine) >= FEWEST:
            near = None if begin is None else (begin.low, begin.high)[i]
            shapes[i] = _stretched(_shape(_drawn(mine, seed), i == 1, near), mine)
            if (share := _worth(shapes[i], mine)) < 1:
                mine = [replace(part, weight=part.weight * share) if part.mocks else part for part in mine]
                shapes[i] = _stretched(_shape(_drawn(mine, seed), i == 1, shapes[i]), mine)
    return replace(density, low=shapes[0], high=shapes[1])


def _worth(shape: SideShape, parts: Sequence[Quasars]) -> float:
    """Return by what to multiply the weights of mocks beside quasars of the sky, 1 at most.

    The numbers of the sky's quasars between the quantiles of their densities are multinomial with shares that have a
    Dirichlet prior: the mocks' shares, as sure as so many quasars would make it. The likeliest number counts.
    """
    from scipy.special import gammaln

    counts = np.zeros((2, len(QUANTILES) + 1))
    for part in parts:
        places = replace(part.density, low=shape, high=shape).places(part.minus2, part.z)
        counts[int(part.mocks)] += np.bincount(np.searchsorted(QUANTILES, places), part.weight, len(QUANTILES) + 1)
    sky, mocks = counts
    if not (sky.any() and mocks.any()):
        return 1.0
    share = (mocks + 0.5) / (mocks + 0.5).sum()
    a = np.array(_WORTH)[:, None] * share
    evidence = gammaln(_WORTH) - gammaln(_WORTH + sky.sum()) + (gammaln(a + sky) - gammaln(a)).sum(axis=1)
    return min(_WORTH[int(evidence.argmax())] / float(mocks.sum()), 1.0)


def _drawn(parts: Sequence[Quasars], seed: int) -> list[Quasars]:
    """Draw quasars by their weights, each to count alike."""
    weight = np.concatenate([part.weight for part in parts])
    last = np.cumsum([len(part.z) for part in parts])
    most = min(_DRAWN, int(np.ceil(weight.sum())), int((weight > 0).sum()))
    chosen = np.sort(np.random.default_rng(seed).choice(len(weight), most, replace=False, p=weight / weight.sum()))
    split = np.split(chosen, np.searchsorted(chosen, last[:-1]))
    return [part.take(rows - start) for part, rows, start in zip(parts, split, [0, *last[:-1]], strict=True)]


def _shape(parts: Sequence[Quasars], high: bool, begin: SideShape | None) -> SideShape:
    """Fit one side by coordinate descent on the likelihood of the redshifts: all values first, then neighbours."""
    best, sides = SideShape(), [part.density.above == high for part in parts]

    def likelihood(shape: SideShape) -> float:
        every = zip(parts, sides, strict=True)
        return sum(float(part.density.log_mass(part.minus2, part.z, shape, side).sum()) for part, side in every)

    if begin is not None:
        best = replace(best, **{name: getattr(begin, name) for names in _SEARCHED for name, _ in names})
    for near in (False, True) if begin is None else (True,):
        for names in _SEARCHED:
            values = [_beside(v, getattr(best, name)) if near else v for name, v in names]
            asked = [dict(zip([n for n, _ in names], one, strict=True)) for one in product(*values)]
            best = max((SideShape(**{**vars(best), **one}) for one in asked), key=likelihood)
    return best


def _beside(values: tuple[float, ...], own: float) -> tuple[float, ...]:
    """Return a value and its neighbours among others; all others where it is none of them."""
    return values[max(values.index(own) - 1, 0) : values.index(own) + 2] if own in values else values


def _stretched(shape: SideShape, parts: Sequence[Quasars]) -> SideShape:
    """Return a shape with the stretch that makes normal scores of the quasars' places; few move it little."""
    from scipy.optimize import minimize
    from scipy.special import ndtri

    one = [replace(part.density, low=shape, high=shape) for part in parts]
    each = list(zip(one, parts, strict=True))
    places = np.concatenate([density.places(part.minus2, part.z, stretched=False) for density, part in each])
    spread = np.concatenate([density.spread(part.minus2) for density, part in each])
    weight = np.concatenate([part.weight for part in parts])
    y = ndtri(np.clip(places, 1e-4, 1 - 1e-4))

    def loss(t: np.ndarray) -> float:
        width = t[2] + t[3] * spread
        x = (y - t[0] - t[1] * spread) * np.exp(-width)
        score = np.arcsinh(x) * np.exp(t[4])
        gain = t[4] - width + np.log(np.cosh(score)) - 0.5 * np.log1p(x**2) - 0.5 * np.sinh(score) ** 2
        return float(5 * (t**2).sum() + 20 * t[4] ** 2 - weight @ gain)

    found = minimize(loss, np.zeros(5), method="L-BFGS-B", bounds=[(-2, 2)] * 5).x
    made = replace(shape, stretch=tuple(found.tolist()))
    stretched, n = made.stretched(places, spread), weight.sum()
    below = np.array([weight @ (stretched < level) for level in QUANTILES])
    # As if so many more quasars lay where they are said to: their places rise, and few move them little.
    reached = (below + _AS_SAID * np.array(QUANTILES)) / (n + _AS_SAID)
    return replace(made, reached=tuple(reached.tolist()))


def with_redshifts(model: Model, dataset: Dataset, regime: Regime, stages: Stages, run: Run) -> Model:
    """Return a model with redshift densities of quasars, calibrated on rows that trained nothing, and their scores.

    Quasars of the mocks, seen as the sky sees, and those labelled on the sky, where the regime reads labels; beside
    these the mocks of a side count for no more than 500, and for fewer where they lie elsewhere in their densities.
    These reach as far in redshift as the labels do. Labelled rows that trees were grown on serve too: no template
    learnt from them. Mocks that templates were learnt from serve where those of validation are few, each by templates
    learnt without it. Labels of validation are scored.

    Parameters
    ----------
    model : Model
    dataset : Dataset
    regime : Regime
        Which labels may be read.
    stages : Stages
        What the model was trained on.
    run : Run

    Returns
    -------
    Model
        As it was where it has no templates of quasars on both sides of the cut.
    """
    templates = model.recipe.templates
    if templates is None or RedshiftDensity.of(templates) is None:
        return model
    quasars = [model.scheme.code(name) for name in model.scheme.quasars if name in model.scheme.parted]
    splits = ("train", "val") if regime.target_labels else ("val",) if regime.calibration == "target" else ()
    with run.stage("redshifts") as entry:
        seen, rows = _mocks(model, dataset, quasars, regime, stages, run)
        for name in splits:
            rows = model.corrected(_with_redshift(dataset.target_rows(name), quasars))
            seen.append(_fitted(templates, rows, run))
        seen = _reaching(seen)
        entry["rows"] = sum(len(part.z) for part in seen)
        density, scores = fit_redshifts(model, seen, rows, run)
    return replace(model, redshift=density, card={**model.card, "redshift": [vars(one) for one in scores]})


def _reaching(parts: list[Quasars]) -> list[Quasars]:
    """Return quasars with densities that reach as far as those of the sky, where enough are labelled."""
    sky = np.concatenate([np.zeros(0), *(part.z[part.weight > 0] for part in parts if not part.mocks)])
    if len(sky) < FEWEST:
        return parts
    low, high = np.quantile(sky, [_ASTRAY, 1 - _ASTRAY])
    return [replace(part, density=part.density.reaching(float(low), float(high))) for part in parts]


def _fitted(templates: TemplateSet, rows: Catalogue, run: Run, mocks: bool = False) -> Quasars:
    """Return quasars as templates see them; those with fewer than two bands count for nothing."""
    density = RedshiftDensity.of(templates)
    assert density is not None
    minus2, seen = templates.likelihoods(rows, run.threads)
    return Quasars(density, minus2, np.asarray(rows.z), seen.astype(np.float64), np.asarray(rows.object_id), mocks)


def _mocks(
    model: Model, dataset: Dataset, quasars: Sequence[int], regime: Regime, stages: Stages, run: Run
) -> tuple[list[Quasars], Catalogue]:
    """Return quasars of the mocks, each by templates that it did not make, and the last of them as rows."""
    templates, rng = model.recipe.templates, np.random.default_rng(run.choice_seed)
    assert templates is not None
    sky = model.corrected(dataset.target_rows(*(("train", "val", "unlabelled") if regime.target_rows else ())))
    labels = dataset.target_rows("train") if regime.target_labels else None

    def observed(rows: Catalogue) -> Catalogue:
        few = rows.take(np.sort(rng.permutation(len(rows))[:_MOST]))
        return observe_again(few, sky, stages.options.sky, rng, model.shift)

    parts: list[Quasars] = []
    val = observed(_with_redshift(dataset.source_rows("val"), quasars))
    if len(val) < _ENOUGH:
        every = dataset.source_rows("train")
        ours = observed(_with_redshift(every, quasars))
        objects = np.unique(every.object_id)
        fold = rng.permutation(len(objects)) % _FOLDS
        of_every, of_ours = (fold[np.searchsorted(objects, rows.object_id)] for rows in (every, ours))
        for number in range(_FOLDS):
            left = every.take(np.flatnonzero(of_every != number))
            learnt = model.recipe.learn(
                left, labels, seed=run.choice_seed, threads=run.threads, scheme=model.scheme, shift=model.shift
            ).templates
            if learnt is not None and RedshiftDensity.of(learnt) is not None:
                parts.append(_fitted(learnt, ours.take(np.flatnonzero(of_ours == number)), run, mocks=True))
    parts.append(_fitted(templates, val, run, mocks=True))
    if regime.target_labels or regime.calibration == "target":
        z, cut = np.concatenate([part.z for part in parts]), parts[-1].density.cut
        share = [min(1.0, _MOCKS / max(int(side.sum()), 1)) for side in (z < cut, z >= cut)]
        parts = [replace(p, weight=p.weight * np.where(p.z < cut, share[0], share[1])) for p in parts]
    return parts, val


def _with_redshift(rows: Catalogue, classes: Sequence[int]) -> Catalogue:
    """Return the rows of some classes that have a redshift."""
    return rows.take(np.flatnonzero(np.isin(rows.label, classes) & np.isfinite(rows.z)))


def fit_redshifts(
    model: Model, parts: Sequence[Quasars], rows: Catalogue, run: Run
) -> tuple[RedshiftDensity, tuple[RedshiftScore, ...]]:
    """Calibrate redshift densities on labelled quasars, and score them on the half that did not calibrate.

    Parameters
    ----------
    model : Model
        With templates.
    parts : sequence of Quasars
        Those of the last part, by the model's own templates, are scored.
    rows : Catalogue
        That part, as features see it.
    run : Run

    Returns
    -------
    density : RedshiftDensity
    scores : tuple of RedshiftScore
        Of halves, each by densities that the other calibrated; empty where quasars are too few.
    """
    last, seed = parts[-1], run.choice_seed
    if not sum(len(part.z) for part in parts):
        return last.density, ()
    X = model.recipe.compute(rows, threads=run.threads).X
    share = model.scheme.high_share(model.with_spread(X, is_bare(rows), run.threads)[0])[1]
    each = np.unique(np.concatenate([part.objects for part in parts]))
    coin = np.random.default_rng(seed).permutation(len(each)) % 2
    half = [coin[np.searchsorted(each, part.objects)] for part in parts]
    quantiles = np.full((len(rows), len(QUANTILES)), np.nan)
    whole = calibrated(last.density, parts, seed)
    for own in (0, 1):
        others = [part.take(side != own) for part, side in zip(parts, half, strict=True)]
        mine = (last.weight > 0) & (half[-1] == own)
        made = calibrated(last.density, others, seed, whole)
        quantiles[mine] = made.redshifts(last.minus2[mine], share[mine]).z
    return whole, score_redshifts(quantiles, last.z, rows.mag, last.density.cut)
