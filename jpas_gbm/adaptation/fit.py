"""fit: from a data set and options to a fitted classifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..boosting.calibration import Calibrator, crossfit_probabilities, fit_calibrator
from ..boosting.decision import choose_rule
from ..boosting.heldout import HeldOut
from ..config import FitOptions, override
from ..features.overlap import Overlap, learn_overlap
from ..fitted import FittedClassifier, Member
from ..provenance import provenance
from ..survey.dataset import Dataset
from .candidates import Candidate
from .checks import check_rows
from .choosing import Choice, choose, settle
from .domain_report import domain_facts
from .journal import Journal, Progress
from .regimes import Regime, get_regime
from .rows import Rows, TrainingRows, make_rows
from .stages import Stages
from .streams import Streams
from .validation import counted_rows, mean_margins


def fit(
    dataset: Dataset,
    options: FitOptions | None = None,
    *,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> FittedClassifier:
    """Fit one regime on a data set. Test labels are masked before anything else is done.

    Parameters
    ----------
    dataset : Dataset
        Source and target with their splits.
    options : FitOptions, optional
        Regime, recipe and the options of every stage.
    seed : int
        Every random stream is spawned from it: the same seed gives the same model.
    threads : int
        Threads of the libraries.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Raises
    ------
    FitError
        If the regime has nothing to train or to calibrate on.
    """
    options = options or FitOptions()
    regime = get_regime(options.regime)
    journal = Journal(progress)
    data = dataset.for_training()
    streams = Streams(seed)

    def stages_of(name: str, chosen: FitOptions) -> Stages:
        rows = make_rows(data, get_regime(name), chosen, streams.rows(), threads, journal)
        check_rows(rows, get_regime(name), chosen, journal)
        return Stages(rows, chosen, streams.trees, threads, journal)

    stages = stages_of(regime.name, options)
    adapts = regime.source and regime.target_labels
    choice = choose(stages, stages_of, streams.choices) if adapts else settle(regime, stages)
    return finish(dataset, regime, choice, seed, streams.choices)


def finish(dataset: Dataset, regime: Regime, choice: Choice, seed: int, choice_seed: int) -> FittedClassifier:
    """Train the ensemble of what was chosen, calibrate, and write the card.

    Parameters
    ----------
    dataset : Dataset
        What was fitted on, for names and provenance.
    regime : Regime
        What was touched.
    choice : Choice
        The candidate and the stages that it was chosen from.
    seed : int
        The seed that the user gave.
    choice_seed : int
        Seed of folds and resamples of the choices.
    """
    stages = choice.stages
    rows, options, asked = stages.rows, stages.options, (choice.asked or stages).rows
    members = ensemble(choice.candidate, stages)
    val, weight = _calibration_rows(regime, stages)
    margins = mean_margins(members, val.X, stages.threads)
    with stages.journal.stage("calibration", rows=len(val)):
        calibrator, told = _calibrate(margins, val, weight, options, choice_seed)
        bare = None
        if rows.bare is not None:
            bare_margins = mean_margins(members, rows.bare.X, stages.threads)
            bare, told["without imaging"] = _calibrate(bare_margins, val, weight, options, choice_seed)
        thresholds, rule, decision = choose_rule(
            margins,
            val.y,
            options.calibration,
            groups=val.groups,
            counted=counted_rows(val, options.cut),
            seed=choice_seed,
        )
    card = {
        "regime": regime.name,
        "chosen": choice.candidate.name,
        **choice.told,
        **domain_facts(choice, choice_seed),
        "calibration": told,
        "decision": decision,
        "ensemble": [member.name for member in members],
        "notes": stages.journal.notes,
        "trainings": stages.journal.entries,
        "rows": _row_counts(asked),
        "shift": None if rows.shift is None else rows.shift.to_dict(),
        "features": {"count": len(rows.recipe.names), "hash": rows.recipe.hash},
        "label_budget": _budget(regime, asked),
        "magnitude_range": _magnitude_range(asked),
        "photometries": sorted({dataset.target.photometry}),
        "survey": dataset.target.survey,
        "provenance": provenance(seed=seed, options=options.model_dump(mode="json"), data=dataset.provenance),
    }
    return FittedClassifier(
        scheme=dataset.scheme,
        bands=dataset.target.bands,
        photometry=dataset.target.photometry,
        recipe=rows.recipe,
        members=tuple(members),
        calibrator=calibrator,
        bare_calibrator=bare,
        thresholds=thresholds,
        rule=rule,
        card=card,
        survey=dataset.target.survey,
        shift=rows.shift,
        held_out=_held_out(margins, val, weight, told, options, choice_seed, regime),
        overlap=_overlap(rows, val, choice_seed),
    )


def _overlap(rows: TrainingRows, val: Rows, seed: int) -> Overlap | None:
    """Learn what the rows that trained look like; validation rows say what is rare."""
    parts = [part for part in (rows.source_train, rows.target_train) if part is not None]
    X, y = np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts])
    return learn_overlap(X, y, val.X, seed=seed)


def _held_out(
    margins: np.ndarray,
    val: Rows,
    weight: np.ndarray | None,
    told: dict[str, Any],
    options: FitOptions,
    seed: int,
    regime: Regime,
) -> HeldOut:
    """Return the validation rows with probabilities by the method chosen, cross-fitted."""
    chosen = override(options.calibration, method=told["method"], shrinkage=(told["shrinkage"],))
    p = crossfit_probabilities(margins, val.y, chosen, groups=val.groups, seed=seed, weight=weight)
    return HeldOut(p, val.y, val.groups, val.mag, "target" if regime.calibration == "target" else "source")


def ensemble(candidate: Candidate, stages: Stages) -> list[Member]:
    """Return the members of a candidate for every seed and library of the ensemble."""
    options = stages.options
    backends = options.backends or (options.boosting.backend,)
    seeds = [stages.seed + 7919 * i for i in range(options.seeds)]
    return [m for backend in backends for seed in seeds for m in candidate.members(stages, seed, backend)]


def _calibration_rows(regime: Regime, stages: Stages) -> tuple[Rows, np.ndarray | None]:
    if regime.calibration == "target":
        assert stages.rows.target_val is not None
        return stages.rows.target_val, None
    val = stages.rows.source_val
    assert val is not None
    if regime.name != "uda":
        return val, None
    return val, stages.domain.weights(stages.options.domain.uda_gamma, stages.domain.other_log_odds)


def _calibrate(
    margins: np.ndarray, val: Rows, weight: np.ndarray | None, options: FitOptions, seed: int
) -> tuple[Calibrator, dict[str, Any]]:
    return fit_calibrator(
        margins,
        val.y,
        method=options.calibration.method,
        shrinkage=options.calibration.shrinkage,
        folds=options.calibration.folds,
        groups=val.groups,
        seed=seed,
        weight=weight,
    )


def _row_counts(rows: TrainingRows) -> dict[str, Any]:
    counts = {}
    for name in ("source_train", "source_val", "target_train", "target_val", "unlabelled"):
        part: Rows | None = getattr(rows, name)
        if part is not None:
            counts[name] = {
                "rows": len(part),
                **dict(zip(rows.classes, part.counts(rows.k).tolist(), strict=True)),
            }
    return counts


def _magnitude_range(rows: TrainingRows) -> list[float] | None:
    """Return the magnitudes between which rows trained, brightest and faintest."""
    parts = [part.mag for part in (rows.source_train, rows.target_train) if part is not None]
    mag = np.concatenate(parts)
    mag = mag[np.isfinite(mag)]
    return [float(m) for m in np.quantile(mag, [0.001, 0.999])] if len(mag) else None


def _budget(regime: Regime, rows: TrainingRows) -> dict[str, int]:
    fitting = len(rows.target_train) if rows.target_train is not None and regime.target_labels else 0
    choosing = len(rows.target_val) if rows.target_val is not None and regime.calibration == "target" else 0
    return {"target labels for trees": fitting, "target labels for choosing and calibrating": choosing}
