"""The trials of a study as its journal holds them: how each ended, and what they say together."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .records import Trial

if TYPE_CHECKING:
    import pandas as pd
    from optuna.trial import FrozenTrial

    from .space import Space

FEWEST_FOR_IMPORTANCE = 8
COUNTED = ("complete", "pruned", "failed")
"""Outcomes that count towards the number of trials asked for; interrupted ones are tried again."""


def outcome(trial: FrozenTrial) -> str:
    """Return complete, pruned, failed, interrupted, repeated, surplus, running or waiting.

    Parameters
    ----------
    trial : FrozenTrial
        A trial of the library.

    Returns
    -------
    str
    """
    from optuna.trial import TrialState

    plain = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.RUNNING: "running"}
    if trial.state in plain:
        return plain[trial.state]
    if trial.state == TrialState.WAITING:
        return "waiting"
    return str(trial.user_attrs.get("outcome", "interrupted"))


def trial_table(trials: Sequence[FrozenTrial], space: Space, metrics: Sequence[str]) -> pd.DataFrame:
    """Return one row per trial that was begun: outcome, losses, losses of each step, figures, values.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        All trials of the study.
    space : Space
        What the study varies.
    metrics : sequence of str
        Names of the study's figures.

    Returns
    -------
    pd.DataFrame
    """
    import pandas as pd

    rows = []
    for trial in trials:
        kind, attrs = outcome(trial), trial.user_attrs
        if kind == "waiting":
            continue
        values = trial.values if kind == "complete" else [None] * len(metrics)
        row: dict[str, Any] = {"trial": trial.number, "outcome": kind}
        row |= {f"loss_{name}": value for name, value in zip(metrics, values, strict=True)}
        row |= {f"step_{step}": loss for step, loss in attrs.get("steps", {}).items()}
        row |= attrs.get("figures", {})
        row |= {name: attrs.get(name) for name in ("candidate", "seconds", "reason", "worker")}
        row |= {f"value:{name}": trial.params.get(name) for name in space.entries}
        rows.append(row)
    return pd.DataFrame(rows)


def trial_history(trials: Sequence[FrozenTrial]) -> tuple[Trial, ...]:
    """Return each trial's losses, values and the best loss so far, in order.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        All trials of the study.

    Returns
    -------
    tuple of Trial
    """
    history: list[Trial] = []
    best: float | None = None
    for trial in trials:
        kind, attrs = outcome(trial), trial.user_attrs
        if kind not in COUNTED:
            continue
        losses = tuple(trial.values) if kind == "complete" else None
        if losses is not None:
            best = losses[0] if best is None else min(best, losses[0])
        steps, seconds = attrs.get("steps", {}), attrs.get("seconds")
        history.append(Trial(trial.number, kind, losses, steps, best, seconds, dict(trial.params)))
    return tuple(history)


def importances(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Return each option's share of the variance of the loss on the first step, largest first.

    By functional ANOVA (Hutter et al. 2014, ICML) over all trials, those given up included: those that
    did all the work are too few and too alike. Empty if there are fewer than 8.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        All trials of the study.

    Returns
    -------
    dict of str to float
    """
    import optuna

    scored = [
        t for t in trials if outcome(t) in ("complete", "pruned") and "0" in t.user_attrs.get("steps", {}) and t.params
    ]
    if len(scored) < FEWEST_FOR_IMPORTANCE:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bare = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for t in scored:
            value = t.user_attrs["steps"]["0"]
            bare.add_trial(optuna.trial.create_trial(value=value, params=t.params, distributions=t.distributions))
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        shares = optuna.importance.get_param_importances(bare, evaluator=evaluator)
    return {name: float(value) for name, value in shares.items()}


def outcome_counts(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """Return how many trials ended each way.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        All trials of the study.

    Returns
    -------
    dict of str to int
    """
    return dict(Counter(outcome(trial) for trial in trials if outcome(trial) != "waiting"))
