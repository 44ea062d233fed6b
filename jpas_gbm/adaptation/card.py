"""The model card: what was touched, tried, chosen and measured, as JSON."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..store import provenance
from .choosing import RULE, Choice, Scores, Trained
from .domain_report import domain_report
from .folds import Folds
from .regimes import Regime
from .rows import Rows, TrainingRows


def model_card(
    trained: Trained, scores: Scores, choice: Choice, rows: TrainingRows, made: Mapping[str, object]
) -> dict[str, object]:
    """Return what a model's card says.

    Parameters
    ----------
    trained : Trained
        What the fit chose among.
    scores : Scores
        How that did.
    choice : Choice
        What it kept.
    rows : TrainingRows
        Those that the kept trees grew on.
    made : mapping
        ``calibration``, ``decision`` and ``ensemble`` of the model.

    Returns
    -------
    dict
        In a form that JSON can hold.
    """
    regime, folds, run, dataset = trained.rows.regime, trained.rows.folds, trained.rows.run, trained.rows.dataset
    assert dataset is not None
    kept = choice.kept
    options = kept.entrant.folds.first.options
    chosen: dict[str, object] = {"regime": regime.name, "chosen": kept.entrant.candidate.name}
    if choice.verdict is not None:
        chosen |= {
            "rule": RULE,
            "candidates": [one.to_dict() for one in sorted(scores.candidates, key=lambda one: one.log_loss)],
            "baselines": [one.to_dict() for one in scores.baselines],
            "verdict": choice.verdict.to_dict(),
        }
    p = None if choice.verdict is None else folds.of_first(kept.p)
    domain = domain_report(folds.first, trained.gammas, p, run.choice_seed)
    return {
        **chosen,
        "rows": _row_counts(folds),
        "shift": None if rows.shift is None else rows.shift.to_dict(),
        "features": {"count": len(rows.recipe.names), "hash": rows.recipe.hash},
        "label_budget": _budget(regime, folds),
        "magnitude_range": _magnitude_range(folds),
        "photometries": [dataset.target.photometry],
        "survey": dataset.target.survey,
        "provenance": provenance(seed=run.seed, options=options.model_dump(mode="json"), data=dataset.provenance),
        **({"domain": domain} if domain else {}),
        **made,
        "notes": run.notes,
        "trainings": run.entries,
    }


def _parts(folds: Folds) -> dict[str, Rows]:
    """Return the rows of every part; all labels both train and score where folds take turns."""
    names = ("source_train", "source_val", "target_train", "target_val", "unlabelled")
    parts = {name: getattr(folds.first.rows, name) for name in names}
    if folds.crossfits:
        parts |= {"target_train": folds.val, "target_val": folds.val}
    return {name: part for name, part in parts.items() if part is not None}


def _row_counts(folds: Folds) -> dict[str, dict[str, int]]:
    rows = folds.first.rows
    return {
        name: {"rows": len(part), **dict(zip(rows.classes, part.counts(rows.k).tolist(), strict=True))}
        for name, part in _parts(folds).items()
    }


def _magnitude_range(folds: Folds) -> list[float] | None:
    """Return the magnitudes between which rows trained, brightest and faintest."""
    mag = np.concatenate([part.mag for name, part in _parts(folds).items() if name.endswith("_train")])
    mag = mag[np.isfinite(mag)]
    return [float(m) for m in np.quantile(mag, [0.001, 0.999])] if len(mag) else None


def _budget(regime: Regime, folds: Folds) -> dict[str, int]:
    parts = _parts(folds)
    fitting = len(parts["target_train"]) if "target_train" in parts and regime.target_labels else 0
    choosing = len(parts["target_val"]) if "target_val" in parts and regime.calibration == "target" else 0
    return {
        "target labels for trees": fitting,
        "target labels for choosing and calibrating": choosing,
        **({"folds": len(folds.parts)} if folds.crossfits else {}),
    }
