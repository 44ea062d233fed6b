"""fit: from a data set and options to a fitted classifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..boosting.calibration import Calibrator, crossfit_probabilities, fit_calibrator
from ..boosting.decision import choose_rule
from ..boosting.ensemble import HeldOut, Member
from ..config import override
from ..features.overlap import Overlap, learn_overlap
from ..model import Model
from ..options import FitOptions
from ..run import Journal, Progress, Streams
from ..store import provenance
from ..surveys.dataset import Dataset
from .choosing import ALL, Choice, Judges, MembersOf, choose, counted_rows, make_judges, mean_margins, settle
from .domain_report import domain_facts
from .regimes import Regime, get_regime
from .rows import Rows, TrainingRows, check_rows, make_rows
from .ways import Candidate, Stages


def fit(
    dataset: Dataset,
    options: FitOptions | None = None,
    *,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Model:
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

    def judges_of(name: str, chosen: FitOptions) -> Judges:
        allowed = get_regime(name)

        def stages_of(part: Dataset, place: str) -> Stages:
            at = journal.at(place)
            rows = make_rows(part, allowed, chosen, streams.rows(), threads, at)
            if place != ALL:
                check_rows(rows, allowed, chosen, at)
            return Stages(rows, chosen, streams.trees, threads, at)

        folds = options.crossfit if regime.target_labels else 0
        return make_judges(data, stages_of, folds, allowed.target_labels)

    judges = judges_of(regime.name, options)
    adapts = regime.source and regime.target_labels
    choice = choose(judges, judges_of, streams.choices) if adapts else settle(regime, judges)
    return finish(dataset, regime, choice, seed, streams.choices)


def finish(dataset: Dataset, regime: Regime, choice: Choice, seed: int, choice_seed: int) -> Model:
    """Train the ensemble of what was chosen, calibrate, and write the card.

    Parameters
    ----------
    dataset : Dataset
        What was fitted on, for names and provenance.
    regime : Regime
        What was touched.
    choice : Choice
        The candidate and the judges that it was chosen by.
    seed : int
        The seed that the user gave.
    choice_seed : int
        Seed of folds and resamples of the choices.
    """
    judges = choice.judges
    options = judges.first.options

    def members_of(stages: Stages) -> list[Member]:
        return ensemble(choice.candidate, stages)

    val, margins, bare_margins, weight = _calibration_rows(regime, judges, members_of)
    stages = judges.final()
    members, rows = members_of(stages), stages.rows
    with stages.journal.stage("calibration", rows=len(val)):
        calibrator, told = _calibrate(margins, val, weight, options, choice_seed)
        bare = None
        if bare_margins is not None:
            bare, told["without imaging"] = _calibrate(bare_margins, val, weight, options, choice_seed)
        thresholds, rule, decision = choose_rule(
            margins,
            val.y,
            options.calibration,
            groups=val.groups,
            counted=counted_rows(val, options.cut),
            seed=choice_seed,
        )
    facts = _facts(dataset, regime, choice, rows, seed)
    card = facts | {
        **domain_facts(choice, choice_seed),
        "calibration": told,
        "decision": decision,
        "ensemble": [member.name for member in members],
        "notes": stages.journal.notes,
        "trainings": stages.journal.entries,
    }
    return Model(
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
        overlap=_overlap(judges, val, choice_seed),
    )


def _facts(dataset: Dataset, regime: Regime, choice: Choice, rows: TrainingRows, seed: int) -> dict[str, Any]:
    """Return what a card says of the data and the choice."""
    asked = choice.asked or choice.judges
    options = choice.judges.first.options
    return {
        "regime": regime.name,
        "chosen": choice.candidate.name,
        **choice.told,
        "rows": _row_counts(asked),
        "shift": None if rows.shift is None else rows.shift.to_dict(),
        "features": {"count": len(rows.recipe.names), "hash": rows.recipe.hash},
        "label_budget": _budget(regime, asked),
        "magnitude_range": _magnitude_range(asked),
        "photometries": sorted({dataset.target.photometry}),
        "survey": dataset.target.survey,
        "provenance": provenance(seed=seed, options=options.model_dump(mode="json"), data=dataset.provenance),
    }


def _overlap(judges: Judges, val: Rows, seed: int) -> Overlap | None:
    """Learn what the rows that trained look like; validation rows say what is rare."""
    rows = judges.first.rows
    if judges.crossfits:
        val = rows.target_val or val
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


def _calibration_rows(
    regime: Regime, judges: Judges, members_of: MembersOf
) -> tuple[Rows, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return the rows that calibrate, margins with and without imaging of trees that did not see them, weights."""
    if regime.calibration == "target":
        return judges.val, judges.margins(members_of), judges.bare_margins(members_of), None
    stages = judges.first
    val, bare, members = stages.rows.source_val, stages.rows.bare, members_of(stages)
    assert val is not None
    weight = None
    if regime.name == "uda":
        weight = stages.domain.weights(stages.options.domain.uda_gamma, stages.domain.other_log_odds)
    bare_margins = None if bare is None else mean_margins(members, bare.X, stages.threads)
    return val, mean_margins(members, val.X, stages.threads), bare_margins, weight


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


def _parts(judges: Judges) -> dict[str, Rows]:
    """Return the rows of every part; all labels both train and judge where folds take turns."""
    names = ("source_train", "source_val", "target_train", "target_val", "unlabelled")
    parts = {name: getattr(judges.first.rows, name) for name in names}
    if judges.crossfits:
        parts |= {"target_train": judges.val, "target_val": judges.val}
    return {name: part for name, part in parts.items() if part is not None}


def _row_counts(judges: Judges) -> dict[str, Any]:
    rows = judges.first.rows
    return {
        name: {"rows": len(part), **dict(zip(rows.classes, part.counts(rows.k).tolist(), strict=True))}
        for name, part in _parts(judges).items()
    }


def _magnitude_range(judges: Judges) -> list[float] | None:
    """Return the magnitudes between which rows trained, brightest and faintest."""
    mag = np.concatenate([part.mag for name, part in _parts(judges).items() if name.endswith("_train")])
    mag = mag[np.isfinite(mag)]
    return [float(m) for m in np.quantile(mag, [0.001, 0.999])] if len(mag) else None


def _budget(regime: Regime, judges: Judges) -> dict[str, int]:
    parts = _parts(judges)
    fitting = len(parts["target_train"]) if "target_train" in parts and regime.target_labels else 0
    choosing = len(parts["target_val"]) if "target_val" in parts and regime.calibration == "target" else 0
    return {
        "target labels for trees": fitting,
        "target labels for choosing and calibrating": choosing,
        **({"folds": len(judges.folds)} if judges.crossfits else {}),
    }
