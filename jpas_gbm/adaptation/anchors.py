"""The rows that calibrate, what labels begin from, and the class mix of unlabelled sky."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..boosting.booster import Member
from ..boosting.calibration import (
    CalibrationReport,
    Calibrator,
    HeldOut,
    crossfit_probabilities,
    fit_calibrator,
)
from ..boosting.scaling import em_shares
from ..config import override
from ..options import CalibrationOptions
from .folds import Folds, MembersOf, Through, mean_margins
from .rows import Regime, Rows
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


def anchor(stages: Stages, members: list[Member], first: Anchor | None = None) -> Anchor | None:
    """Return what mock validation rows and the sky's rows without labels say of the probabilities of a model.

    Parameters
    ----------
    stages : Stages
        Its rows.
    members : list of Member
        The model.
    first : Anchor, optional
        Of the same candidate in the first fold: whether it took its class mix holds here, too. Labels correct what
        all of them assume.

    Returns
    -------
    Anchor or None
        None where the regime has no mocks.
    """
    options = stages.options
    key = ("anchor", *(id(part) for m in members for part in (m.booster, m.base)), options.cut, options.class_mix)
    # The models are kept beside it: no other has their numbers then.
    return stages.once(key, lambda: (members, _anchor(stages, members, first)))[1]


def _anchor(stages: Stages, members: list[Member], first: Anchor | None) -> Anchor | None:
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
        mix = mix if first is None or first.mix is None else replace(mix, doubt=first.mix.doubt)
    return Anchor(mix.applied(calibrator) if mix is not None and mix.taken else calibrator, mix)


def _at_most(rows: Rows) -> Rows:
    return rows.take(np.arange(0, len(rows), -(-len(rows) // _ANCHOR_ROWS) or 1))


def anchor_of(folds: Folds, members_of: MembersOf) -> Through:
    """Return what gives the calibrator of :func:`anchor` in each fold, alike in all.

    Parameters
    ----------
    folds : Folds
        Rows and trainings.
    members_of : callable
        Gives the models of a fold.

    Returns
    -------
    callable
        Of a fold and its models; its value is None where the regime has no mocks.
    """
    first = anchor(folds.first, members_of(folds.first))

    def through(stages: Stages, members: list[Member]) -> Calibrator | None:
        found = anchor(stages, members, first)
        return None if found is None else found.calibrator

    return through


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
        through, start = None, None
        if anchored is not None:
            through, first = anchor_of(folds, members_of), anchor(folds.first, members_of(folds.first))
            start = anchor(anchored, members_of(anchored), first)
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
        if self.doubt > 1:
            return f"{found}; not taken: the rows are too few, or the rows that judge lack a class."
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
    field = field.take(_not_fainter(field, options.cut))
    k, threads = stages.rows.k, stages.run.threads
    theirs = calibrator.apply(mean_margins(members, field.X, threads))
    weight = np.ones(len(rows.val)) if rows.weight is None else rows.weight
    bright = _not_fainter(rows.val, options.cut)
    own, y, weight = calibrator.apply(rows.margins)[bright], rows.val.y[bright], weight[bright]
    old = np.bincount(rows.val.y, rows.weight, minlength=k) + 1e-9
    new = em_shares(theirs, old / old.sum())
    new = np.maximum(new, 1e-6) / np.maximum(new, 1e-6).sum()
    ratio = new / (old / old.sum())
    theirs, own = theirs * ratio, own * ratio
    shares = np.bincount(y, weight, minlength=k)
    weight = weight * (new / np.maximum(shares / shares.sum(), 1e-12))[y]
    doubt = 0.5 * np.abs(_confidences(theirs, None) - _confidences(own, weight)).sum()
    if len(field) < _FEWEST_FIELD or (shares == 0).any():
        doubt = 2.0  # EM gives all to a class that validation lacks, or to one of few rows
    names = stages.rows.classes
    return FieldMix(names, tuple(old / old.sum()), tuple(new), len(field), float(doubt), options.class_mix_doubt)


def _not_fainter(rows: Rows, cut: float | None) -> np.ndarray:
    """Return which rows are not fainter than the cut, or all where every one is."""
    bright = ~(rows.mag > (np.inf if cut is None else cut))
    return bright if bright.any() else np.ones(len(rows), dtype=bool)


_FEWEST_FIELD = 50
"""Rows of the sky that a class mix is estimated on at the least."""


def _confidences(p: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return the shares of rows by class and confidence, one number for each pair."""
    p = p / p.sum(axis=1, keepdims=True)
    place = p.argmax(axis=1) * (len(_CONFIDENCES) + 1) + np.searchsorted(_CONFIDENCES, p.max(axis=1))
    counts = np.bincount(place, weight, minlength=p.shape[1] * (len(_CONFIDENCES) + 1))
    return np.asarray(counts / max(counts.sum(), 1e-300))
