"""Which way a fit takes: candidates against baselines on target validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..config import CalibrationOptions, FitOptions, override
from .candidates import Candidate, means, singles
from .checks import usable_gammas
from .judges import Judges
from .regimes import Regime
from .validation import RULE, Scored, counted_rows, guard, score

JudgesOf = Callable[[str, FitOptions], Judges]

PLAIN = "mocks as they are"
"""The baseline of mocks that no target label has prepared: what regime mocks-calibrated trains."""

PREPARED = "mocks, prepared"
"""Mocks prepared by twins, without any tree grown on the target."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What a fit decided to train.

    Parameters
    ----------
    candidate : Candidate
        The way.
    judges : Judges
        The rows and trainings that it was chosen from.
    told : dict
        What the card says about the choice.
    asked : Judges, optional
        Those of the regime itself, where a baseline with rows of its own was kept.
    gammas : mapping of float to bool
        Tempers of importance weights that were asked for, and whether their weights did not collapse.
    p : array of float64, shape (n, k), optional
        Probabilities of the target's validation rows, calibrated by cross-fitting, where there was a choice.
    """

    candidate: Candidate
    judges: Judges
    told: dict[str, Any]
    asked: Judges | None = None
    gammas: Mapping[float, bool] = field(default_factory=dict)
    p: np.ndarray | None = None


def settle(regime: Regime, judges: Judges) -> Choice:
    """Return the one way of a regime that has no choice."""
    if not regime.source:
        return Choice(Candidate("target"), judges, {})
    if regime.name != "uda":
        return Choice(Candidate("mocks"), judges, {})
    asked = (judges.first.options.domain.uda_gamma,)
    usable = usable_gammas(judges.first, asked)
    return Choice(Candidate("mocks", gamma=usable[0]), judges, {}, gammas=_kept(asked, usable))


def choose(judges: Judges, judges_of: JudgesOf, seed: int) -> Choice:
    """Score every candidate and both baselines on target validation, and let the guard decide.

    Parameters
    ----------
    judges : Judges
        Of regime ssda.
    judges_of : callable
        ``judges_of(regime name, options)`` makes others: of mocks as they are, for the baseline.
    seed : int
        Seed of folds and resamples.
    """
    plain_judges, plain, prepared = judges, None, None
    if judges.first.rows.shift is not None:
        plain_judges, plain, prepared = _as_they_are(judges, judges_of, seed)
        if prepared.log_loss > plain.log_loss:
            judges.first.journal.note(
                f"preparing the mocks by twins did not help on target validation (log loss {prepared.log_loss:.4f} "
                f"against {plain.log_loss:.4f}): the fit goes on without it."
            )
            options = judges.first.options
            sky = override(options.sky, paired_repair=False)
            judges, plain, prepared = judges_of("ssda", override(options, sky=sky.model_dump())), None, None
    if plain is None:
        plain_judges, plain = judges, _scored(Candidate("mocks"), judges, seed, PLAIN)
    options = judges.first.options
    gammas = usable_gammas(judges.first, options.domain.gammas)
    tried = [_scored(one, judges, seed) for one in singles(options, gammas)]
    if options.recipe in ("auto", "mean"):
        mixed = [_scored(one, judges, seed) for one in means([(one.log_loss, one.candidate) for one in tried])]
        tried = mixed if options.recipe == "mean" and mixed else tried + mixed
    if prepared is not None:
        tried.append(prepared)
    baselines = [_scored(Candidate("target"), judges, seed), plain]
    val = judges.val
    kept, verdict = guard(tried, baselines, val.groups, counted_rows(val, options.cut), seed)
    if not verdict.adapted:
        judges.first.journal.note(verdict.sentence)
    told = {
        "rule": RULE,
        "candidates": [one.to_dict() for one in sorted(tried, key=lambda one: one.log_loss)],
        "baselines": [one.to_dict() for one in baselines],
        "verdict": verdict.to_dict(),
    }
    chosen_by = plain_judges if kept is plain else judges
    return Choice(kept.candidate, chosen_by, told, judges, _kept(options.domain.gammas, gammas), kept.p)


def _kept(asked: tuple[float, ...], usable: tuple[float, ...]) -> dict[float, bool]:
    """Return for each temper asked for, and 0 where it stands in for them, whether it is usable."""
    return {gamma: gamma in usable for gamma in (*asked, *usable)}


def _as_they_are(judges: Judges, judges_of: JudgesOf, seed: int) -> tuple[Judges, Scored, Scored]:
    """Return the judges of plain mocks, and the scores of plain and prepared mocks."""
    plain_judges = judges_of("mocks-calibrated", judges.first.options)
    plain = _scored(Candidate("mocks"), plain_judges, seed, PLAIN)
    return plain_judges, plain, _scored(Candidate("mocks"), judges, seed, PREPARED)


def _scored(candidate: Candidate, judges: Judges, seed: int, label: str | None = None) -> Scored:
    val, options = judges.val, judges.first.options
    counted, calibration = counted_rows(val, options.cut), quick_calibration(options.calibration)
    return score(candidate, judges.margins(candidate.members), val, counted, calibration, seed, label)


def quick_calibration(options: CalibrationOptions) -> CalibrationOptions:
    """Return one calibration for all candidates: choosing the best for each is left to the one that is kept."""
    if options.method != "auto":
        return options
    return override(options, method="vector", shrinkage=(0.01,))
