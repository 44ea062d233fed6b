"""Which way a fit takes: candidates against baselines on target validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..config import CalibrationOptions, FitOptions, override
from .candidates import Candidate, means, singles
from .checks import usable_gammas
from .regimes import Regime
from .stages import Stages
from .validation import RULE, Scored, counted_rows, guard, score

StagesOf = Callable[[str, FitOptions], Stages]

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
    stages : Stages
        The rows and trainings that it was chosen from.
    told : dict
        What the card says about the choice.
    asked : Stages, optional
        The stages of the regime itself, where a baseline with stages of its own was kept.
    gammas : mapping of float to bool
        Tempers of importance weights that were asked for, and whether their weights did not collapse.
    p : array of float64, shape (n, k), optional
        Probabilities of the target's validation rows, calibrated by cross-fitting, where there was a choice.
    """

    candidate: Candidate
    stages: Stages
    told: dict[str, Any]
    asked: Stages | None = None
    gammas: Mapping[float, bool] = field(default_factory=dict)
    p: np.ndarray | None = None


def settle(regime: Regime, stages: Stages) -> Choice:
    """Return the one way of a regime that has no choice."""
    if not regime.source:
        return Choice(Candidate("target"), stages, {})
    if regime.name != "uda":
        return Choice(Candidate("mocks"), stages, {})
    asked = (stages.options.domain.uda_gamma,)
    usable = usable_gammas(stages, asked)
    return Choice(Candidate("mocks", gamma=usable[0]), stages, {}, gammas=_kept(asked, usable))


def choose(stages: Stages, stages_of: StagesOf, seed: int) -> Choice:
    """Score every candidate and both baselines on target validation, and let the guard decide.

    Parameters
    ----------
    stages : Stages
        Of regime ssda.
    stages_of : callable
        ``stages_of(regime name, options)`` makes other stages: of mocks as they are, for the baseline.
    seed : int
        Seed of folds and resamples.
    """
    plain_stages, plain, prepared = stages, None, None
    if stages.rows.shift is not None:
        plain_stages, plain, prepared = _as_they_are(stages, stages_of, seed)
        if prepared.log_loss > plain.log_loss:
            stages.journal.note(
                f"preparing the mocks by twins did not help on target validation (log loss {prepared.log_loss:.4f} "
                f"against {plain.log_loss:.4f}): the fit goes on without it."
            )
            sky = override(stages.options.sky, paired_repair=False)
            stages, plain, prepared = stages_of("ssda", override(stages.options, sky=sky.model_dump())), None, None
    if plain is None:
        plain_stages, plain = stages, _scored(Candidate("mocks"), stages, seed, PLAIN)
    options = stages.options
    gammas = usable_gammas(stages, options.domain.gammas)
    tried = [_scored(one, stages, seed) for one in singles(options, gammas)]
    if options.recipe in ("auto", "mean"):
        mixed = [_scored(one, stages, seed) for one in means([(one.log_loss, one.candidate) for one in tried])]
        tried = mixed if options.recipe == "mean" and mixed else tried + mixed
    if prepared is not None:
        tried.append(prepared)
    baselines = [_scored(Candidate("target"), stages, seed), plain]
    val = stages.rows.target_val
    assert val is not None
    kept, verdict = guard(tried, baselines, val.groups, counted_rows(val, options.cut), seed)
    if not verdict.adapted:
        stages.journal.note(verdict.sentence)
    told = {
        "rule": RULE,
        "candidates": [one.to_dict() for one in sorted(tried, key=lambda one: one.log_loss)],
        "baselines": [one.to_dict() for one in baselines],
        "verdict": verdict.to_dict(),
    }
    chosen_from = plain_stages if kept is plain else stages
    return Choice(kept.candidate, chosen_from, told, stages, _kept(options.domain.gammas, gammas), kept.p)


def _kept(asked: tuple[float, ...], usable: tuple[float, ...]) -> dict[float, bool]:
    """Return for each temper asked for, and 0 where it stands in for them, whether it is usable."""
    return {gamma: gamma in usable for gamma in (*asked, *usable)}


def _as_they_are(stages: Stages, stages_of: StagesOf, seed: int) -> tuple[Stages, Scored, Scored]:
    """Return the stages of plain mocks, and the scores of plain and prepared mocks."""
    plain_stages = stages_of("mocks-calibrated", stages.options)
    plain = _scored(Candidate("mocks"), plain_stages, seed, PLAIN)
    return plain_stages, plain, _scored(Candidate("mocks"), stages, seed, PREPARED)


def _scored(candidate: Candidate, stages: Stages, seed: int, label: str | None = None) -> Scored:
    val, options = stages.rows.target_val, stages.options
    assert val is not None
    counted = counted_rows(val, options.cut)
    members = candidate.members(stages)
    return score(candidate, members, val, counted, quick_calibration(options.calibration), seed, stages.threads, label)


def quick_calibration(options: CalibrationOptions) -> CalibrationOptions:
    """Return one calibration for all candidates: choosing the best for each is left to the one that is kept."""
    if options.method != "auto":
        return options
    return override(options, method="vector", shrinkage=(0.01,))
