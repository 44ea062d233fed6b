"""From margins to probabilities: the rows that calibrate, and the class mix of a sky without labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..boosting.booster import Member
from ..boosting.calibration import (
    CalibrationReport,
    Calibrator,
    HeldOut,
    crossfit_probabilities,
    em_shares,
    fit_calibrator,
)
from ..features.overlap import Overlap, learn_overlap
from ..options import CalibrationOptions
from .choosing import counted_rows
from .folds import Folds, MembersOf, mean_margins
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
    """

    domain: str
    val: Rows
    margins: np.ndarray
    bare: np.ndarray | None
    weight: np.ndarray | None = None

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
        return fit_calibrator(margins, self.val.y, options, groups=self.val.groups, seed=seed, weight=self.weight)

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


def calibration_rows(regime: Regime, folds: Folds, members_of: MembersOf) -> CalibrationRows:
    """Return the rows that calibrate a regime.

    Parameters
    ----------
    regime : Regime
        Says of which domain they are.
    folds : Folds
        Rows and trainings.
    members_of : callable
        Gives the models of a fold.

    Returns
    -------
    CalibrationRows
    """
    if regime.calibration == "target":
        return CalibrationRows("target", folds.val, folds.margins(members_of), folds.bare_margins(members_of))
    stages = folds.first
    val, bare, members = stages.part("source_val"), stages.rows.bare, members_of(stages)
    weight = None
    if regime.weighs:
        weight = stages.weigher.weights(stages.options.domain.uda_gamma, stages.weigher.other_log_odds)
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
    options, field = stages.options, stages.rows.unlabelled
    if not (regime.weighs and options.class_mix) or field is None:
        return None
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
