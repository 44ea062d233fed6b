"""From margins to probabilities: the rows that calibrate, what they begin from, and the class mix of unlabelled sky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from ..boosting.booster import Member
from ..boosting.calibration import (
    CalibrationReport,
    Calibrator,
    HeldOut,
    crossfit_probabilities,
    fit_calibrator,
)
from ..boosting.few_bands import learn_few_bands
from ..boosting.scaling import em_shares
from ..config import override
from ..features.overlap import Overlap, learn_overlap
from ..features.redshifts import QUANTILES, RedshiftDensity, SideShape, high_share
from ..model import Model
from ..options import CalibrationOptions
from ..predictions import is_bare
from ..run import Run
from ..scores.metrics import RedshiftScore, score_redshifts
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from .folds import Folds, MembersOf, mean_margins
from .rows import Regime, Rows, counted_rows
from .sky import observe_again
from .stages import Stages


@dataclass(frozen=True, eq=False)
class CalibrationRows:
    """The rows that calibrate, with margins of trees that did not see them, with and without imaging, and weights.

    Parameters
    ----------
    domain : str
        Whose rows they are.
    val : Rows
        The rows.
    margins : array of float64, shape (n, k)
        Of trees that did not see them.
    bare : array of float64, shape (n, k), optional
        The same without imaging.
    weight : array, shape (n,), optional
        Weights of the rows; default: all alike.
    anchor : Anchor, optional
        What the margins went through first; None where they are those of the trees.
    """

    domain: str
    val: Rows
    margins: np.ndarray
    bare: np.ndarray | None
    weight: np.ndarray | None = None
    anchor: Anchor | None = None

    def options(self, asked: CalibrationOptions) -> CalibrationOptions:
        """Return how these rows calibrate: held by the anchor where there is one.

        Parameters
        ----------
        asked : CalibrationOptions
            Options of the fit.

        Returns
        -------
        CalibrationOptions
            On mocks, one scale and offset of each class at most: which classes they confuse is not the sky's.
        """
        if self.domain == "source":
            return override(asked, method="vector") if asked.method in ("auto", "dirichlet") else asked
        return asked if self.anchor is None else held(asked)

    def facts(self, report: CalibrationReport) -> dict[str, object]:
        """Return what the card says of a calibration of these rows.

        Parameters
        ----------
        report : CalibrationReport
            How it was chosen.

        Returns
        -------
        dict
        """
        return report.to_dict() | ({} if self.anchor is None else {"anchor": self.anchor.to_dict()})

    def calibrate(
        self, margins: np.ndarray, options: CalibrationOptions, seed: int
    ) -> tuple[Calibrator, CalibrationReport]:
        """Return the calibrator of some margins, and how it was chosen.

        Parameters
        ----------
        margins : array
            Of the rows.
        options : CalibrationOptions
            Asked for.
        seed : int
            Seed of the random draws.

        Returns
        -------
        tuple[Calibrator, CalibrationReport]
        """
        made = fit_calibrator(margins, self.val.y, options, groups=self.val.groups, seed=seed, weight=self.weight)
        return (made[0] if self.anchor is None else replace(made[0], base=self.anchor.calibrator)), made[1]

    def held_out(self, options: CalibrationOptions, seed: int) -> HeldOut:
        """Return these rows with cross-fitted probabilities.

        Parameters
        ----------
        options : CalibrationOptions
            Asked for.
        seed : int
            Seed of the random draws.

        Returns
        -------
        HeldOut
        """
        val = self.val
        p = crossfit_probabilities(self.margins, val.y, options, groups=val.groups, seed=seed, weight=self.weight)
        return HeldOut(p, val.y, val.groups, val.mag, self.domain)


@dataclass(frozen=True, eq=False)
class Anchor:
    """What is known of a model's probabilities before any label of the sky: labels begin from it.

    Parameters
    ----------
    calibrator : Calibrator
        Of mock validation rows, for the class mix of the sky's rows where that could be found.
    mix : FieldMix, optional
        The class mix; None where there are no rows of the sky.
    """

    calibrator: Calibrator
    mix: FieldMix | None

    def to_dict(self) -> dict[str, object]:
        """Return a form that JSON can hold.

        Returns
        -------
        dict
        """
        mix = None if self.mix is None else dict(zip(self.mix.classes, self.mix.new, strict=True))
        return {"class mix": mix, "mix taken": self.mix is not None and self.mix.taken}


_ANCHOR_ROWS = 20_000
"""Most mocks, and most rows of each part of the sky, that make an anchor."""


def anchor(stages: Stages, members: list[Member]) -> Anchor | None:
    """Return what mock validation rows and the sky's rows without labels say of the probabilities of a model.

    Parameters
    ----------
    stages : Stages
        Its rows.
    members : list of Member
        The model.

    Returns
    -------
    Anchor or None
        None where the regime has no mocks.
    """
    options = stages.options
    key = ("anchor", *(id(part) for m in members for part in (m.booster, m.base)), options.cut, options.class_mix)
    # The models are kept beside it: no other has their numbers then.
    return stages.once(key, lambda: (members, _anchor(stages, members)))[1]


def _anchor(stages: Stages, members: list[Member]) -> Anchor | None:
    rows = stages.rows
    if rows.source_val is None or not len(rows.source_val):
        return None
    val = _at_most(rows.source_val)
    sky = [_at_most(part) for part in (rows.unlabelled, rows.target_train, rows.target_val) if part is not None]
    margins = mean_margins(members, val.X, stages.run.threads)
    quick = CalibrationOptions(method="vector", shrinkage=(0.01,))
    calibrator, _ = fit_calibrator(margins, val.y, quick, groups=val.groups)
    mix = None
    if sky and stages.options.class_mix:
        mix = _mix(stages, Rows.concat(sky), CalibrationRows("source", val, margins, None), members, calibrator)
    return Anchor(mix.applied(calibrator) if mix is not None and mix.taken else calibrator, mix)


def _at_most(rows: Rows) -> Rows:
    return rows.take(np.arange(0, len(rows), -(-len(rows) // _ANCHOR_ROWS) or 1))


def anchor_of(stages: Stages, members: list[Member]) -> Calibrator | None:
    """Return the calibrator of :func:`anchor`.

    Parameters
    ----------
    stages : Stages
        Its rows.
    members : list of Member
        The model.

    Returns
    -------
    Calibrator or None
    """
    found = anchor(stages, members)
    return None if found is None else found.calibrator


def held(options: CalibrationOptions) -> CalibrationOptions:
    """Return the options with which labels correct an anchor.

    Parameters
    ----------
    options : CalibrationOptions
        Asked for.

    Returns
    -------
    CalibrationOptions
    """
    return override(options, prior_rows=max(options.prior_rows, options.anchor_rows))


_FEW_CALIBRATE = 2_000
"""Fewer labels than these tell no scale of each class while candidates are compared."""


def quick_calibration(options: CalibrationOptions, anchored: bool, labels: int) -> CalibrationOptions:
    """Return one calibration for all candidates: choosing the best for each is left to the one that is kept.

    Parameters
    ----------
    options : CalibrationOptions
        Asked for.
    anchored : bool
        Whether it begins from an anchor.
    labels : int
        Rows that calibrate.

    Returns
    -------
    CalibrationOptions
    """
    options = held(options) if anchored else options
    if options.method != "auto":
        return options
    method = "offsets" if anchored and labels < _FEW_CALIBRATE else "vector"
    return override(options, method=method, shrinkage=(0.01,))


def calibration_rows(
    regime: Regime, folds: Folds, members_of: MembersOf, anchored: Stages | None = None
) -> CalibrationRows:
    """Return the rows that calibrate a regime.

    Parameters
    ----------
    regime : Regime
        Says of which domain they are.
    folds : Folds
        Rows and trainings.
    members_of : callable
        Gives the models of a fold.
    anchored : Stages, optional
        Those that train what is kept, where labels of the sky begin from what mocks and unlabelled rows say of it.

    Returns
    -------
    CalibrationRows
    """
    if regime.calibration == "target":
        start = None if anchored is None else anchor(anchored, members_of(anchored))
        through = None if start is None else anchor_of
        without = folds.bare_margins(members_of, through)
        return CalibrationRows("target", folds.val, folds.margins(members_of, through), without, anchor=start)
    stages = folds.first
    val, bare, members = stages.part("source_val"), stages.rows.bare, members_of(stages)
    weight = None
    if regime.weighs and stages.uda_gamma:
        weight = stages.weigher.weights(stages.uda_gamma, stages.weigher.other_log_odds)
    threads = stages.run.threads
    bare_margins = None if bare is None else mean_margins(members, bare.X, threads)
    return CalibrationRows("source", val, mean_margins(members, val.X, threads), bare_margins, weight)


_CONFIDENCES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


@dataclass(frozen=True)
class FieldMix:
    """The class mix of unlabelled rows.

    Parameters
    ----------
    classes : tuple of str
        Names of the classes.
    old : tuple of float
        Shares that the calibration assumes.
    new : tuple of float
        Shares in the field, by EM.
    rows : int
        Rows of the field.
    doubt : float
        Share of the rows whose class and confidence differ from what mocks, weighed to the new mix, would show.
    limit : float
        Largest doubt with which the mix is taken.
    """

    classes: tuple[str, ...]
    old: tuple[float, ...]
    new: tuple[float, ...]
    rows: int
    doubt: float
    limit: float

    @property
    def taken(self) -> bool:
        """Whether probabilities are for the new mix."""
        return self.doubt <= self.limit

    @property
    def sentence(self) -> str:
        """What was found and done."""
        shares = ", ".join(f"{name} {100 * new:.1f} %" for name, new in zip(self.classes, self.new, strict=True))
        found = f"class mix of {self.rows:,} unlabelled rows by EM: {shares}"
        if self.taken:
            return f"{found}; probabilities are for this mix."
        return (
            f"{found}; not taken: {100 * self.doubt:.0f} % of the rows have a class and confidence that mocks of this "
            f"mix would not (limit {100 * self.limit:.0f} %), so probabilities are too far off for EM."
        )

    def applied(self, calibrator: Calibrator) -> Calibrator:
        """Return the calibrator with the bias that the new mix asks for.

        Parameters
        ----------
        calibrator : Calibrator
            For the old mix.

        Returns
        -------
        Calibrator
        """
        return replace(calibrator, b=calibrator.b + np.log(np.array(self.new) / np.array(self.old)))

    def to_dict(self) -> dict[str, object]:
        """Return a form that JSON can hold.

        Returns
        -------
        dict
        """
        return {**vars(self), "taken": self.taken, "sentence": self.sentence}


def field_mix(
    regime: Regime, stages: Stages, rows: CalibrationRows, members: list[Member], calibrator: Calibrator
) -> FieldMix | None:
    """Find the class mix of the unlabelled rows not fainter than the cut, and how far it can be trusted.

    Parameters
    ----------
    regime : Regime
        Only one that may read no target label looks for it.
    stages : Stages
        Its rows and options.
    rows : CalibrationRows
        Mocks that calibrated.
    members : list of Member
        The model.
    calibrator : Calibrator
        Fitted to these mocks.

    Returns
    -------
    FieldMix or None
        None where it is not looked for.
    """
    field = stages.rows.unlabelled
    if not (regime.weighs and stages.options.class_mix) or field is None:
        return None
    mix = _mix(stages, field, rows, members, calibrator)
    stages.run.note(mix.sentence)
    return mix


def _mix(stages: Stages, field: Rows, rows: CalibrationRows, members: list[Member], calibrator: Calibrator) -> FieldMix:
    """Return the class mix of rows of the sky not fainter than the cut; none of their labels is read."""
    options = stages.options
    field = field.take(counted_rows(field, options.cut))
    k, threads = stages.rows.k, stages.run.threads
    theirs = calibrator.apply(mean_margins(members, field.X, threads))
    weight = np.ones(len(rows.val)) if rows.weight is None else rows.weight
    bright = counted_rows(rows.val, options.cut)
    own, y, weight = calibrator.apply(rows.margins)[bright], rows.val.y[bright], weight[bright]
    old = np.bincount(rows.val.y, rows.weight, minlength=k) + 1e-9
    new = em_shares(theirs, old / old.sum())
    new = np.maximum(new, 1e-6) / np.maximum(new, 1e-6).sum()
    ratio = new / (old / old.sum())
    theirs, own = theirs * ratio, own * ratio
    shares = np.bincount(y, weight, minlength=k)
    weight = weight * (new / np.maximum(shares / shares.sum(), 1e-12))[y]
    doubt = 0.5 * np.abs(_confidences(theirs, None) - _confidences(own, weight)).sum()
    names = stages.rows.classes
    return FieldMix(names, tuple(old / old.sum()), tuple(new), len(field), float(doubt), options.class_mix_doubt)


def _confidences(p: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return the shares of rows by class and confidence, one number for each pair."""
    p = p / p.sum(axis=1, keepdims=True)
    place = p.argmax(axis=1) * (len(_CONFIDENCES) + 1) + np.searchsorted(_CONFIDENCES, p.max(axis=1))
    counts = np.bincount(place, weight, minlength=p.shape[1] * (len(_CONFIDENCES) + 1))
    return np.asarray(counts / max(counts.sum(), 1e-300))


def doubted(folds: Folds, val: Rows, held: HeldOut, mix: FieldMix | None, seed: int) -> tuple[HeldOut, Overlap | None]:
    """Learn what the rows that trained look like; validation rows say what is rare, and how far to doubt it.

    Parameters
    ----------
    folds : Folds
        Rows and trainings.
    val : Rows
        The rows that calibrate.
    held : HeldOut
        These, with cross-fitted probabilities.
    mix : FieldMix or None
        The class mix of the field, where it was looked for.
    seed : int
        Seed of the random draws.

    Returns
    -------
    held : HeldOut
        With probabilities as doubt leaves them.
    overlap : Overlap or None
        None where there are too few rows to say.
    """
    rows = folds.first.rows
    judged = rows.target_val or val if folds.crossfits else val
    parts = [part for part in (rows.source_train, rows.target_train) if part is not None]
    X, y = np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts])
    found = learn_overlap(X, y, judged.X, seed=seed, names=rows.recipe.names)
    if found is None:
        return held, None
    found = found.checked(val.X, held.p, val.y, np.array(mix.new) if mix is not None and mix.taken else None)
    return replace(held, p=found.tempered(held.p, found.judge(val.X)[1])), found


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

    with run.stage("few bands", rows=len(every)):
        few = learn_few_bands(probabilities, every.flux, every.label, every.object_id, run.choice_seed)
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
