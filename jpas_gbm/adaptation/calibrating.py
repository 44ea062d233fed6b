"""From margins to probabilities: doubt of rows unlike those that trained, and densities of redshift."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from ..boosting.booster import Member
from ..boosting.calibration import Calibrator, HeldOut
from ..boosting.few_bands import learn_few_bands
from ..boosting.matrix import UnseenMissingWarning
from ..features.overlap import Overlap, learn_overlap
from ..features.redshifts import QUANTILES, RedshiftDensity, SideShape, high_share
from ..model import Model
from ..predictions import is_bare
from ..run import Run
from ..scores.metrics import RedshiftScore, score_redshifts
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from .anchors import CalibrationRows
from .folds import Folds, MembersOf, mean_margins
from .rows import Regime, Rows, counted_rows
from .sky import observe_again
from .stages import Stages

_MISCALIBRATED = 0.06
"""1 sigma of what band by band may lie between the fluxes of mocks and of a sky of which nothing was seen, mag."""
_ASKED = 5_000
"""Most rows that say how far to doubt, where they have no label."""


def doubted(
    folds: Folds, regime: Regime, rows: CalibrationRows, held: HeldOut, members: list[Member], calibrator: Calibrator
) -> tuple[HeldOut, Overlap | None]:
    """Learn what the rows that trained look like, and how far to doubt rows unlike those that the model will meet.

    These are the rows of the sky that calibrate; where no label may be read, the rows of the sky without labels; where
    no row may, mocks whose bands are miscalibrated at random.

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
    X, y = np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts])
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

_TIMES, _MOCKS = 3, 200
"""How often mocks are seen through sources of the sky, and what they count for at most beside quasars of the sky."""

_SEARCHED = (
    (("plateau", (0.004, 0.008, 0.012, 0.02)), ("width", (0.003, 0.006, 0.01, 0.015))),
    (("temper", (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)), ("tail", (10.0, 30.0, 100.0, 1e4))),
    (("temper", (0.3, 0.5, 0.7, 1.0, 1.4)), ("relief", (0.0, 0.25, 0.5, 0.75))),
    (("floor", (0.01, 0.03, 0.06, 0.1)),),
)
"""Values tried for a side's shape, a few together."""


def calibrated(
    density: RedshiftDensity, minus2: np.ndarray, z: np.ndarray, weight: np.ndarray | None = None
) -> RedshiftDensity:
    """Return redshift densities with the shapes that labelled quasars are likeliest under, side by side.

    Parameters
    ----------
    density : RedshiftDensity
    minus2 : array, shape (n, templates of the bank)
        Of labelled quasars.
    z : array, shape (n,)
        Their redshifts.
    weight : array, shape (n,), optional
        What each counts for.

    Returns
    -------
    RedshiftDensity
        With the shapes that it had on a side with too few labelled quasars.
    """
    weight = np.ones(len(z)) if weight is None else weight
    shapes = [density.low, density.high]
    for i, (side, rows) in enumerate(((~density.above, z < density.cut), (density.above, z >= density.cut))):
        if weight[rows].sum() >= FEWEST:
            shapes[i] = _shape(density, minus2[rows], z[rows], weight[rows], side)
    return replace(density, low=shapes[0], high=shapes[1])


def _shape(
    density: RedshiftDensity, minus2: np.ndarray, z: np.ndarray, weight: np.ndarray, side: np.ndarray
) -> SideShape:
    """Fit one side by coordinate descent on the likelihood of the redshifts, then stretch."""
    best = SideShape()
    for _ in range(2):
        for names in _SEARCHED:
            asked = [dict(zip([n for n, _ in names], v, strict=True)) for v in product(*(v for _, v in names))]
            tried = [SideShape(**{**vars(best), **one}) for one in asked]
            best = max(tried, key=lambda shape: float(weight @ density.log_mass(minus2, z, shape, side)))
    places = replace(density, low=best, high=best).places(minus2, z, stretched=False)
    return replace(best, stretch=_stretch(places, weight))


def _stretch(places: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Fit a beta distribution to places from 0 to 1, drawn to the uniform one as by ten more rows."""
    from scipy.optimize import minimize
    from scipy.stats import beta

    x = np.clip(places, 1e-3, 1 - 1e-3)

    def loss(t: np.ndarray) -> float:
        return float(5 * (t**2).sum() - weight @ beta.logpdf(x, *np.exp(t)))

    a, b = np.exp(minimize(loss, np.zeros(2), method="Nelder-Mead").x)
    return float(a), float(b)


def with_redshifts(model: Model, dataset: Dataset, regime: Regime, stages: Stages, run: Run) -> Model:
    """Return a model with redshift densities of quasars, calibrated on rows that trained nothing, and their scores.

    Quasars of the mocks, seen as the sky sees, and those labelled on the sky, where the regime reads labels; beside
    these the mocks count for no more than 200. Labelled rows that trees were grown on serve too: no template learnt
    from them. Those of validation are scored.

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
    density = None if model.recipe.templates is None else RedshiftDensity.of(model.recipe.templates)
    if density is None:
        return model
    quasars = [model.scheme.code(name) for name in model.scheme.quasars if name in model.scheme.parted]
    sky = model.corrected(dataset.target_rows(*(("train", "val", "unlabelled") if regime.target_rows else ())))
    rng = np.random.default_rng(run.choice_seed)
    mocks = _with_redshift(dataset.source_rows("val"), quasars)
    splits = ("train", "val") if regime.target_labels else ("val",) if regime.calibration == "target" else ()
    own = [model.corrected(_with_redshift(dataset.target_rows(name), quasars)) for name in splits]
    labels = sum(map(len, own))
    with run.stage("redshifts", rows=len(mocks) + labels):
        parts = [*(observe_again(mocks, sky, stages.options.sky, rng, model.shift) for _ in range(_TIMES)), *own]
        each = (min(len(mocks), _MOCKS) if labels else len(mocks)) / (_TIMES * max(len(mocks), 1))
        weight = np.append(np.full(_TIMES * len(mocks), each), np.ones(labels))
        density, scores = fit_redshifts(model, density, parts, weight, run)
    return replace(model, redshift=density, card={**model.card, "redshift": [vars(one) for one in scores]})


def with_few_bands(model: Model, regime: Regime, folds: Folds, members_of: MembersOf, run: Run) -> Model:
    """Return a model that knows what few bands are worth: from the rows that calibrate it, with bands taken away.

    Parameters
    ----------
    model : Model
    regime : Regime
        Says of which domain the rows are.
    folds : Folds
        Rows and trainings: each row is judged by trees that did not see it.
    members_of : callable
        Gives the models of a fold.
    run : Run

    Returns
    -------
    Model
        As it was where there are too few rows.
    """
    models, parts = [], []
    for stages, dataset in zip(folds.parts, folds.datasets, strict=True):
        rows = dataset.target_rows("val") if regime.calibration == "target" else dataset.source_rows("val")
        parts.append(rows.take(np.flatnonzero(rows.label >= 0)).replace(photometry=model.photometry))
        recipe, shift = stages.rows.recipe, stages.rows.shift
        models.append(replace(model, members=tuple(members_of(stages)), recipe=recipe, shift=shift))
    every, part = Catalogue.concat(parts), np.repeat(np.arange(len(parts)), [len(one) for one in parts])

    def probabilities(places: np.ndarray, flux: np.ndarray) -> np.ndarray:
        rows, p = every.take(places).replace(flux=flux), np.empty((len(places), len(model.classes)))
        for number, one in enumerate(models):
            own = np.flatnonzero(part[places] == number)
            p[own] = one.probabilities(rows.take(own), run.threads)
        return p

    with run.stage("few bands", rows=len(every)), warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenMissingWarning)
        few = learn_few_bands(probabilities, every.flux, every.label, run.choice_seed)
    return replace(model, few_bands=few)


def _with_redshift(rows: Catalogue, classes: Sequence[int]) -> Catalogue:
    """Return the rows of some classes that have a redshift."""
    return rows.take(np.flatnonzero(np.isin(rows.label, classes) & np.isfinite(rows.z)))


def fit_redshifts(
    model: Model, density: RedshiftDensity, parts: Sequence[Catalogue], weight: np.ndarray, run: Run
) -> tuple[RedshiftDensity, tuple[RedshiftScore, ...]]:
    """Calibrate redshift densities on labelled quasars, and score them on the half that did not calibrate.

    Parameters
    ----------
    model : Model
    density : RedshiftDensity
        To begin with.
    parts : sequence of Catalogue
        Quasars with redshifts that no template was learnt from, as features see them; the last are scored.
    weight : array, shape (n,)
        What each of all rows counts for.
    run : Run

    Returns
    -------
    density : RedshiftDensity
    scores : tuple of RedshiftScore
        Of halves, each by densities that the other calibrated; empty where quasars are too few.
    """
    templates = model.recipe.templates
    if templates is None or not len(weight):
        return density, ()
    found = [templates.likelihoods(part, run.threads) for part in parts]
    minus2, seen = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    z, objects = (np.concatenate([getattr(part, name) for part in parts]) for name in ("z", "object_id"))
    rows, last = parts[-1], slice(len(z) - len(parts[-1]), len(z))
    X = model.recipe.compute(rows, threads=run.threads).X
    share = high_share(model.with_spread(X, is_bare(rows), run.threads)[0], model.scheme)[1]
    each, member = np.unique(objects, return_inverse=True)
    half = (np.random.default_rng(run.choice_seed).permutation(len(each)) % 2)[member]
    quantiles = np.full((len(rows), len(QUANTILES)), np.nan)
    for own in (0, 1):
        others, mine = seen & (half != own), seen[last] & (half[last] == own)
        made = calibrated(density, minus2[others], z[others], weight[others])
        quantiles[mine] = made.redshifts(minus2[last][mine], share[mine]).z
    scores = score_redshifts(quantiles, z[last], rows.mag, density.cut)
    return calibrated(density, minus2[seen], z[seen], weight[seen]), scores
