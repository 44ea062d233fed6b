"""What is unusual about the rows of a fit, said in words, and what the fit does about it."""

from __future__ import annotations

from ..config import FitOptions
from ..errors import FitError
from .journal import Journal
from .regimes import Regime
from .rows import Rows, TrainingRows
from .stages import Stages

FEW_LABELS = 100


def _absent(part: Rows | None, classes: tuple[str, ...]) -> list[str]:
    if part is None:
        return []
    return [name for name, n in zip(classes, part.counts(len(classes)), strict=True) if n == 0]


def check_rows(rows: TrainingRows, regime: Regime, options: FitOptions, journal: Journal) -> None:
    """Note what is missing from the rows, and raise where nothing can be done.

    Raises
    ------
    FitError
        If the regime has no validation rows, or its training rows hold fewer than two classes.
    """
    trained = rows.source_train if regime.source else rows.target_train
    if trained is None or int((trained.counts(rows.k) > 0).sum()) < 2:
        raise FitError(
            f"regime '{regime.name}' would train on fewer than two classes. Check the labels in the data set's summary."
        )
    judge = rows.target_val if regime.calibration == "target" else rows.source_val
    where = "labelled target" if regime.calibration == "target" else "mock"
    if judge is None or not len(judge):
        raise FitError(
            f"regime '{regime.name}' chooses and calibrates on the {where} rows of the validation split, and there are "
            "none. Prepare with more labels or another --split-seed."
        )
    for part, name, remedy in (
        (rows.source_train, "the training mocks", "only target labels can teach it"),
        (rows.target_train, "the labelled target rows that train", "what the mocks teach of it stands"),
        (judge, f"{where} validation", "its probabilities keep the calibration common to all classes"),
    ):
        for name_of_class in _absent(part, rows.classes):
            journal.note(f"{name_of_class} is absent from {name}: {remedy}.")
    if rows.target_train is not None and len(rows.target_train) < FEW_LABELS:
        journal.note(
            f"only {len(rows.target_train)} labelled target rows train: gains will be small and intervals wide."
        )


def usable_gammas(stages: Stages, gammas: tuple[float, ...]) -> tuple[float, ...]:
    """Return the tempers whose weights do not collapse, and note those given up.

    Parameters
    ----------
    stages : Stages
        Holds the domain classifier.
    gammas : tuple of float
        The tempers asked for; 0, no weights, is always usable.
    """
    if not any(gammas):
        return gammas
    domain = stages.domain
    if domain.auc > 0.999:
        stages.journal.note(
            f"mocks and target are separable (domain AUC {domain.auc:.4f}): weights would follow what gives "
            "the domains away, so look at the domain report before trusting them."
        )
    elif domain.auc < 0.52:
        stages.journal.note(f"mocks and target look alike (domain AUC {domain.auc:.3f}): weights change nothing.")
    least = stages.options.domain.min_effective_share
    kept = tuple(g for g in gammas if g == 0 or domain.effective_share(g) >= least)
    for gamma in sorted(set(gammas) - set(kept)):
        stages.journal.note(
            f"weights of gamma {gamma:g} leave an effective sample of {100 * domain.effective_share(gamma):.2f} % "
            f"(least allowed {100 * least:g} %): given up."
        )
    return kept or (0.0,)
