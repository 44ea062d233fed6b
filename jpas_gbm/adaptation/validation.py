"""Choosing on validation: scores of candidates, the rule, and the guard against negative transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..boosting.calibration import crossfit_probabilities
from ..boosting.decision import decide
from ..config import CalibrationOptions
from ..fitted import Member
from ..scores.bootstrap import resample_weights
from .candidates import Candidate
from .rows import Rows

RULE = (
    "the candidate of lowest log loss on target validation, calibrated by cross-fitting over validation objects; "
    "it is kept only if its paired 95 % bootstrap interval against the better baseline lies below zero"
)


@dataclass(frozen=True, eq=False)
class Scored:
    """A candidate and how it did on validation.

    Parameters
    ----------
    candidate : Candidate
        The way.
    label : str
        Its name, and what is particular about the rows that it saw.
    margins : array of float64, shape (n, k)
        Mean margins on validation.
    p : array of float64, shape (n, k)
        Probabilities of each validation row, calibrated by cross-fitting.
    losses : array of float64, shape (n,)
        -log p(true class) of each validation row, calibrated by cross-fitting.
    log_loss, macro_f1 : float
        Means over the rows counted.
    """

    candidate: Candidate
    label: str
    margins: np.ndarray
    p: np.ndarray
    losses: np.ndarray
    log_loss: float
    macro_f1: float

    def to_dict(self) -> dict[str, Any]:
        """Return the scores in a form that JSON can hold."""
        return {"candidate": self.label, "log_loss": self.log_loss, "macro_f1": self.macro_f1}


def counted_rows(val: Rows, cut: float) -> np.ndarray:
    """Return which validation rows count in choices: those not fainter than the cut, or all if none is."""
    bright = ~(val.mag > cut)
    return bright if bright.any() else np.ones(len(val), dtype=bool)


def mean_margins(members: Sequence[Member], X: np.ndarray, threads: int) -> np.ndarray:
    """Return the mean of the members' centred margins, float64 (n, k)."""
    return np.mean([member.margins(X, threads) for member in members], axis=0)


def macro_f1(y: np.ndarray, predicted: np.ndarray, k: int) -> float:
    """Return the mean F1 over the classes that `y` holds."""
    confusion = np.bincount(y.astype(np.int64) * k + predicted, minlength=k * k).reshape(k, k)
    true, guessed, right = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    present = true > 0
    return float((2 * right[present] / np.maximum(true[present] + guessed[present], 1)).mean())


def score(
    candidate: Candidate,
    margins: np.ndarray,
    val: Rows,
    counted: np.ndarray,
    options: CalibrationOptions,
    seed: int,
    label: str | None = None,
) -> Scored:
    """Score a candidate on target validation.

    Parameters
    ----------
    candidate : Candidate
        The way.
    margins : array of float64, shape (n, k)
        Mean margins of its models on validation.
    val : Rows
        Labelled validation rows.
    counted : array of bool, shape (n,)
        The rows that the score counts (brighter than the cut); all rows calibrate.
    options : CalibrationOptions
        How margins become probabilities.
    seed : int
        Seed of the folds.
    label : str, optional
        How it is called; default: the candidate's name.
    """
    p = crossfit_probabilities(margins, val.y, options, groups=val.groups, seed=seed)
    losses = -np.log(np.maximum(p[np.arange(len(p)), val.y], 1e-15))
    return Scored(
        candidate,
        label or candidate.name,
        margins,
        p,
        losses,
        float(losses[counted].mean()),
        macro_f1(val.y[counted], decide(p[counted], None), p.shape[1]),
    )


@dataclass(frozen=True)
class Verdict:
    """What the guard found.

    Parameters
    ----------
    best, baseline : str
        Names of the best candidate and of the better baseline.
    difference : float
        Log loss of the best candidate less that of the baseline; negative is better.
    interval : tuple of float
        Paired 95 % bootstrap interval over objects.
    adapted : bool
        Whether the candidate was kept.
    """

    best: str
    baseline: str
    difference: float
    interval: tuple[float, float]
    adapted: bool

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        low, high = self.interval
        gain = f"log loss {self.difference:+.4f} [{low:+.4f}, {high:+.4f}] against {self.baseline}"
        if self.adapted:
            return f"Adaptation helps on target validation: {self.best}, {gain}."
        return (
            f"Adaptation does not help beyond doubt on target validation: {self.best}, {gain}. "
            f"The fit keeps {self.baseline}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return {
            "best": self.best,
            "baseline": self.baseline,
            "difference": self.difference,
            "interval": list(self.interval),
            "adapted": self.adapted,
            "sentence": self.sentence,
        }


def mean_interval(values: np.ndarray, groups: np.ndarray, seed: int, resamples: int = 1000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval over objects of the mean of `values`, shape (n,)."""
    means = []
    for weights in resample_weights(groups, resamples, seed):
        means.append(values @ weights / np.maximum(weights.sum(axis=0), 1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


def guard(
    candidates: list[Scored], baselines: list[Scored], groups: np.ndarray, counted: np.ndarray, seed: int
) -> tuple[Scored, Verdict]:
    """Return what to keep: the best candidate, or the better baseline if the gain is not beyond doubt."""
    best = min(candidates, key=lambda one: one.log_loss)
    baseline = min(baselines, key=lambda one: one.log_loss)
    gains = (best.losses - baseline.losses)[counted]
    interval = mean_interval(gains, groups[counted], seed)
    adapted = interval[1] < 0
    verdict = Verdict(best.label, baseline.label, float(gains.mean()), interval, adapted)
    return (best if adapted else baseline), verdict
