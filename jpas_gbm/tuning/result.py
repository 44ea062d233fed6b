"""What a study found, in numbers and files: nothing here trains."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..atomic import atomic_file
from ..options import FitOptions
from ..store import write_json
from .space import Space
from .study import outcome

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


FEWEST_FOR_IMPORTANCE = 8


@dataclass(frozen=True)
class Tuned:
    """A study's result.

    Parameters
    ----------
    options : FitOptions
        The best options, those of best.yaml.
    told : dict
        What tuning.json holds.
    front : dict of int to FitOptions
        Options of each trial on the Pareto front, where there are two figures.
    rows : list of dict
        One per trial, as in trials.parquet.
    """

    options: FitOptions
    told: dict[str, Any]
    front: dict[int, FitOptions]
    rows: list[dict[str, Any]]

    @property
    def ended(self) -> str:
        """How the study ended: finished, timeout, interrupted or exhausted."""
        return str(self.told["trials"]["ended"])

    def save(self, folder: str | Path) -> None:
        """Write best.yaml, tuning.json, trials.parquet and, for two figures, front/trial-N.yaml."""
        import pandas as pd

        folder = Path(folder)
        _write_options(folder / "best.yaml", self.options, self.told["best"], self.told)
        for number, options in self.front.items():
            point = next(one for one in self.told["front"] if one["trial"] == number)
            _write_options(folder / "front" / f"trial-{number}.yaml", options, point, self.told)
        with atomic_file(folder / "trials.parquet", overwrite=True) as temporary:
            pd.DataFrame(self.rows).to_parquet(temporary, index=False)
        write_json(folder / "tuning.json", self.told, overwrite=True)

    def lines(self) -> list[str]:
        """Return the result in a few lines for a terminal, optimism last."""
        told, best = self.told, self.told["best"]
        counts = ", ".join(f"{n} {name}" for name, n in told["trials"]["outcomes"].items())
        lines = [
            f"{told['trials']['counted']} of {told['trials']['asked']} trials of regime {told['regime']} ({counts})",
            f"best: trial {best['trial']}, {best['candidate']}: {_figures(best['figures'])}",
            "  " + ", ".join(f"{name} {_short(value)}" for name, value in best["values"].items()),
            _honest(told),
        ]
        if told.get("importances"):
            ranked = list(told["importances"].items())[:5]
            lines.append("what mattered: " + ", ".join(f"{name} {value:.2f}" for name, value in ranked))
        if told["front"]:
            lines.append(f"Pareto front: trials {', '.join(str(one['trial']) for one in told['front'])}")
        return lines + [f"note: {note}" for note in told["notes"]]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figures(figures: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())


def _honest(told: dict[str, Any]) -> str:
    best, default, fresh = told["best"], told["default"], told["fresh"]
    within = "" if best["interval"] is None else " [{:.4f}, {:.4f}]".format(*best["interval"])
    words = [f"{told['measured']} {best['loss']:.4f}{within} on {told['rows_judged']} rows that chose it"]
    if fresh is not None:
        words.append(
            f"{fresh['mean']:.4f} over {len(fresh['losses'])} fresh seeds on the same rows: "
            f"optimism of the seed {fresh['optimism']:+.4f}"
        )
    if default is not None:
        low, high = default["interval"]
        words.append(f"against the untuned fit {default['difference']:+.4f} [{low:+.4f}, {high:+.4f}]")
    return "; ".join(words) + ". Rows that no study saw give the only unbiased score."


def _write_options(path: Path, options: FitOptions, point: dict[str, Any], told: dict[str, Any]) -> None:
    head = (
        f"# Trial {point['trial']} of a study of {told['trials']['counted']} trials of regime {told['regime']}:\n"
        f"# {told['measured']} {point['loss']:.6f} on target validation. The same trees, with this seed:\n"
        f"#   jpas-gbm fit --config {path.name} --seed {told['seed']} --data DATA --out MODEL\n"
    )
    with atomic_file(path, overwrite=True) as temporary:
        temporary.write_text(head + yaml.safe_dump(options.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def table(trials: list[FrozenTrial], space: Space, metrics: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return one flat row per trial that was begun: outcome, losses, losses of each step, figures, values."""
    rows = []
    for trial in trials:
        if outcome(trial) == "waiting":
            continue
        attrs = trial.user_attrs
        row: dict[str, Any] = {"trial": trial.number, "outcome": outcome(trial)}
        values = trial.values if outcome(trial) == "complete" else [None] * len(metrics)
        row |= {f"loss_{name}": value for name, value in zip(metrics, values, strict=True)}
        row |= {f"step_{step}": loss for step, loss in attrs.get("steps", {}).items()}
        row |= attrs.get("figures", {})
        row |= {name: attrs.get(name) for name in ("candidate", "seconds", "reason", "worker")}
        row |= {f"value:{name}": trial.params.get(name) for name in space.entries}
        rows.append(row)
    return rows


def history(trials: list[FrozenTrial]) -> list[dict[str, Any]]:
    """Return each trial's losses, values and the best loss so far, in order, for a figure."""
    found, best = [], None
    for trial in trials:
        kind = outcome(trial)
        if kind not in ("complete", "pruned", "failed"):
            continue
        losses = list(trial.values) if kind == "complete" else None
        if losses is not None and (best is None or losses[0] < best):
            best = losses[0]
        found.append(
            {
                "trial": trial.number,
                "outcome": kind,
                "losses": losses,
                "steps": trial.user_attrs.get("steps", {}),
                "best_so_far": best,
                "seconds": trial.user_attrs.get("seconds"),
                "values": dict(trial.params),
            }
        )
    return found


def slices(trials: list[FrozenTrial], space: Space) -> dict[str, list[dict[str, Any]]]:
    """Return for each varied option its value and the loss on the first step, which every trial took."""
    return {
        name: [
            {"trial": t.number, "value": t.params[name], "first": t.user_attrs["steps"]["0"], "outcome": outcome(t)}
            for t in trials
            if outcome(t) in ("complete", "pruned") and name in t.params and "0" in t.user_attrs.get("steps", {})
        ]
        for name in space.entries
    }


def importances(trials: list[FrozenTrial]) -> dict[str, float]:
    """Return each option's share of the variance of the loss on the first step, largest first.

    By functional ANOVA (Hutter et al. 2014, ICML) over all trials, those given up included: those that
    did all the work are too few and too alike. Empty if there are fewer than 8.
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
        found = optuna.importance.get_param_importances(bare, evaluator=evaluator)
    return {name: float(value) for name, value in found.items()}


def counts(trials: list[FrozenTrial]) -> dict[str, int]:
    """Return how many trials ended each way."""
    return dict(Counter(outcome(trial) for trial in trials if outcome(trial) != "waiting"))
