"""Choosing: candidates against baselines on target validation, the guard against negative transfer, and the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import cast

import numpy as np

from ..boosting.calibration import crossfit_probabilities
from ..boosting.decision import decide
from ..model_folder import ModelCard
from ..run import Run
from ..scores.bootstrap import mean_interval, replicate
from ..scores.losses import confusion_matrix, log_losses, macro_f1
from ..scores.metrics import Scorer
from ..store import provenance
from ..surveys.dataset import Dataset
from ..text import count
from .anchors import anchor_of, quick_calibration
from .domain_report import domain_report
from .folds import Folds, MembersOf
from .named_path import Difference, NamedPath, difference, holds, joiner
from .rows import Regime, Rows, TrainingRows, counted_rows
from .ways import Way

RULE = (
    "Every candidate is judged by its log loss on target validation, calibrated by cross-fitting over objects; a gain "
    "is beyond doubt where its paired 95 % bootstrap interval excludes 0. (1) The named path (weighed mocks, "
    "continued on the sky) stands first; a mean that holds it takes its place where the gain is beyond doubt. Without "
    "the path the candidate of lowest log loss is taken. (2) It is kept where it has a lower log loss than the better "
    "baseline (mocks as they are, labels alone). (3) Few labels change this. Under 1,000 that judge, a gain must be "
    "beyond doubt, except that mocks prepared by what the sky shows are kept unless worse beyond doubt, before a path "
    "that does not gain on them; a path better than they beyond doubt needs a lower log loss alone. Under 2,000 that "
    "train beside mocks that no twins prepared, the mean of the path and of mocks that they join stands first (without "
    "photometric errors such mocks alone), until another candidate or a baseline is better beyond doubt. (4) Labels of "
    "fewer than 30 objects, of one class, or lacking a class of the mocks choose nothing; trees of labels alone that "
    "lack one are no baseline."
)

FEW = 1_000
"""Fewer validation rows that count do not tell whether to undo what was measured without them."""

FEWEST = 30
"""Fewer validation objects choose nothing: bootstrap intervals of so few are too narrow."""


@dataclass(frozen=True, eq=False)
class Entrant:
    """A candidate and the rows that it trains on.

    Parameters
    ----------
    candidate : Way
        What is tried.
    folds : Folds
        Rows and trainings.
    label : str
        What it is called where that is not the candidate's name: what is particular about its rows.
    """

    candidate: Way
    folds: Folds
    label: str = ""

    @property
    def name(self) -> str:
        """What it is called."""
        return self.label or self.candidate.name


@dataclass(frozen=True, eq=False)
class Prepared:
    """Rows ready to train.

    Parameters
    ----------
    regime : Regime
        What may be touched.
    folds : Folds
        The rows of the regime.
    run : Run
        Seed, threads and journal.
    dataset : Dataset, optional
        What they were made of, test labels masked.
    plain : Folds, optional
        The rows of the baseline of mocks as they are; None where there is nothing to beat.
    repaired : bool
        Whether the mocks of `folds` were prepared by twins.
    """

    regime: Regime
    folds: Folds
    run: Run
    dataset: Dataset | None = None
    plain: Folds | None = None
    repaired: bool = False


@dataclass(frozen=True, eq=False)
class Trained:
    """What was trained.

    Parameters
    ----------
    rows : Prepared
        On what.
    candidates : tuple of Entrant
        What the fit may keep.
    baselines : tuple of Entrant
        What a candidate must beat.
    gammas : mapping of float to bool
        Tempers of importance weights that were asked for, and whether their weights did not collapse.
    """

    rows: Prepared
    candidates: tuple[Entrant, ...]
    baselines: tuple[Entrant, ...] = ()
    gammas: Mapping[float, bool] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Scored:
    """A candidate and how it did on target validation.

    Parameters
    ----------
    entrant : Entrant
        The candidate.
    p : array of float64, shape (n, k)
        Probabilities of each validation row, calibrated by cross-fitting.
    losses : array of float64, shape (n,)
        -log p(true class) of each validation row, nats.
    log_loss, macro_f1 : float
        Over the rows counted; NaN where the regime may not score on target labels.
    """

    entrant: Entrant
    p: np.ndarray
    losses: np.ndarray
    log_loss: float = float("nan")
    macro_f1: float = float("nan")

    def to_dict(self, seed: int = 0) -> dict[str, object]:
        """Return the scores in a form that JSON can hold.

        Parameters
        ----------
        seed : int
            Of the resamples of the intervals.

        Returns
        -------
        dict
        """
        folds = self.entrant.folds
        val, rows = folds.val, np.flatnonzero(counted_rows(folds.val, folds.first.options.cut))
        scorer = replace(Scorer.of(val.y[rows], self.p[rows], folds.first.rows.classes), brief=True)
        spans = replicate([scorer], val.groups[rows], seed=seed).intervals()
        told = {"candidate": self.entrant.name, "log_loss": self.log_loss, "macro_f1": self.macro_f1}
        return {**told, "intervals": {"log_loss": spans["log_loss"], "macro_f1": spans["macro.f1"]}}


@dataclass(frozen=True, eq=False)
class Scores:
    """All that a choice is made from.

    Parameters
    ----------
    candidates : tuple of Scored
        What a fit may keep: at least one.
    baselines : tuple of Scored
        What a candidate must beat; empty where there is nothing to beat.
    groups : array of int64, shape (n,)
        Object of each validation row.
    counted : array of bool, shape (n,)
        Validation rows that count (not fainter than the cut).
    seed : int
        Seed of the resamples.
    path : NamedPath, optional
        The incumbent among the candidates; None where the recipe leaves it out.
    first : Scored, optional
        What stands in the path's place until another is better beyond doubt: few labels train.
    unfit : str
        Why validation labels choose nothing, where they cannot.
    """

    candidates: tuple[Scored, ...]
    baselines: tuple[Scored, ...]
    groups: np.ndarray
    counted: np.ndarray
    seed: int
    path: NamedPath | None = None
    first: Scored | None = None
    unfit: str = ""


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
    unfit : str
        Why validation labels chose nothing, where they did not.
    """

    best: str
    baseline: str
    difference: float
    interval: tuple[float, float]
    adapted: bool
    unfit: str = ""

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        low, high = self.interval
        gain = f"log loss {self.difference:+.4f} [{low:+.4f}, {high:+.4f}] against {self.baseline}"
        if self.unfit:
            kept = self.best if self.adapted else self.baseline
            return f"{self.unfit[0].upper()}{self.unfit[1:]}: labels chose nothing, and the fit keeps {kept}."
        if self.adapted and self.difference >= 0:
            return (
                f"Labels are too few to tell whether adaptation gains: {self.best}, {gain}. "
                "It is kept, since it rests on the mocks more than on them."
            )
        if self.adapted and high >= 0:
            return (
                f"Adaptation gains on target validation, though not beyond doubt: {self.best}, {gain}. "
                "It is kept: its log loss is the lower one."
            )
        if self.adapted:
            return f"Adaptation helps on target validation: {self.best}, {gain}."
        words = "does not help" if self.difference >= 0 else "does not help beyond doubt, by few labels,"
        return f"Adaptation {words} on target validation: {self.best}, {gain}. The fit keeps {self.baseline}."

    def to_dict(self) -> dict[str, object]:
        """Return a form that JSON can hold.

        Returns
        -------
        dict
        """
        return asdict(self) | {"interval": list(self.interval), "sentence": self.sentence}


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen.

    Parameters
    ----------
    kept : Scored
        The candidate or baseline to train.
    verdict : Verdict, optional
        Of the guard, where there were baselines.
    joined : Difference, optional
        Of a mean that the named path is a member of against the path alone, where that is chosen.
    """

    kept: Scored
    verdict: Verdict | None = None
    joined: Difference | None = None


def choose(scores: Scores) -> Choice:
    """Return what to keep: the named path, what joins it beyond doubt, or the better baseline if that is better.

    Without a named path, the best candidate stands in its place.

    Parameters
    ----------
    scores : Scores
        Of candidates and baselines on the same rows.

    Returns
    -------
    Choice
        Without baselines, the candidate of least log loss.
    """
    best, path = min(scores.candidates, key=lambda scored: scored.log_loss), scores.path
    if path is not None:
        best = joiner(path, scores.candidates, scores.groups, scores.counted, scores.seed) or path.scored
    if not scores.baselines:
        return Choice(best, joined=_joined(best, scores))
    baseline = min(scores.baselines, key=lambda scored: scored.log_loss)
    # Mocks, prepared or joined by few labels, stand in for the path where trees grown on the sky gain nothing.
    others = [scored for scored in scores.candidates if path is not None and scored.entrant.label]
    few, first = int(scores.counted.sum()) < FEW, [scores.first] if scores.first else []
    doubtful = few or bool(first)
    standing = _standing((*first, *others, best), scores) if doubtful else best
    good = [scored for scored in others if few and scored.log_loss <= best.log_loss]
    order = [*([standing] if first else good), best, *others]
    sure = not few or bool(others and standing is best)
    if scores.unfit:
        baseline, order = scores.baselines[-1], [*others, best][:1]
    for one in order:
        gains = (one.losses - baseline.losses)[scores.counted]
        interval = mean_interval(gains, scores.groups[scores.counted], scores.seed)
        mean, prepared = float(gains.mean()), bool(one.entrant.label) or one in first
        # Labels grow no tree of prepared mocks, or join as twenty mocks each: they have little to overfit by.
        helps = (mean if prepared or sure else interval[1]) < 0 or (prepared and doubtful and interval[0] <= 0)
        helps = prepared if scores.unfit else helps
        verdict = Verdict(one.entrant.name, baseline.entrant.name, mean, interval, helps, scores.unfit)
        if verdict.adapted:
            return Choice(one, verdict, _joined(one, scores))
    return Choice(baseline, verdict)


def _joined(kept: Scored, scores: Scores) -> Difference | None:
    """Compare a mean that holds the named path with the path alone."""
    path = scores.path
    if path is None or kept is path.scored or not holds(kept.entrant.candidate, path):
        return None
    return difference(kept, path.scored, scores.groups, scores.counted, scores.seed)


def _standing(scored: Sequence[Scored], scores: Scores) -> Scored:
    """Return the first candidate, or one in its place that is better beyond doubt."""
    kept, *others = scored
    for one in others:
        if difference(one, kept, scores.groups, scores.counted, scores.seed).interval[1] < 0:
            kept = one
    return kept


def compared(one: Scored, other: Scored) -> tuple[int, tuple[float, float] | None]:
    """Return how many rows judge two candidates, and the interval of their log losses' difference.

    Parameters
    ----------
    one, other : Scored
        On the same validation rows.

    Returns
    -------
    rows : int
    interval : tuple of float or None
        Paired, 95 %, over objects; None where labels choose nothing.
    """
    val, stages = one.entrant.folds.val, one.entrant.folds.first
    counted = counted_rows(val, stages.options.cut)
    gains = (one.losses - other.losses)[counted]
    unfit = cannot_choose(val, counted, stages.rows.classes)
    return len(gains), None if unfit else mean_interval(gains, val.groups[counted], stages.run.choice_seed)


def cannot_choose(val: Rows, counted: np.ndarray, classes: Sequence[str]) -> str:
    """Say why labels cannot choose among candidates; nothing where they can.

    Parameters
    ----------
    val : Rows
        Labelled validation rows.
    counted : array of bool, shape (n,)
        Those that count.
    classes : sequence of str
        Names of the classes.

    Returns
    -------
    str
        Few objects, or one class, which the trees that always name it would win.
    """
    objects, found = len(np.unique(val.groups[counted])), np.unique(val.y[counted])
    if objects < FEWEST:
        return f"{count(objects, 'labelled object judges', 'labelled objects judge')}, fewer than {FEWEST}"
    return f"all labels that judge are {classes[found[0]]}" if len(found) == 1 else ""


def score_entrant(entrant: Entrant, members_of: MembersOf | None = None) -> Scored:
    """Score a candidate on target validation, by trees of its folds on rows that they did not see.

    All validation rows calibrate, by cross-fitting over objects; those not fainter than the cut count in the score.

    Parameters
    ----------
    entrant : Entrant
        Candidate and rows; what was trained before is not trained again.
    members_of : callable, optional
        Gives the models of a fold; default: those of the candidate.

    Returns
    -------
    Scored
    """
    folds, options = entrant.folds, entrant.folds.first.options
    val, seed = folds.val, folds.first.run.choice_seed
    counted, anchored = counted_rows(val, options.cut), entrant.candidate.anchored
    members_of = members_of or entrant.candidate.members
    margins = folds.margins(members_of, anchor_of(folds, members_of) if anchored else None)
    calibration = quick_calibration(options.calibration, anchored, len(val))
    p = crossfit_probabilities(margins, val.y, calibration, groups=val.groups, seed=seed)
    losses = log_losses(p, val.y)
    f1 = macro_f1(confusion_matrix(val.y[counted], decide(p[counted], None), p.shape[1]))
    return Scored(entrant, p, losses, float(losses[counted].mean()), float(f1))


def model_card(
    trained: Trained, scores: Scores, choice: Choice, rows: TrainingRows, made: Mapping[str, object]
) -> ModelCard:
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
    ModelCard
    """
    regime, folds, run, dataset = trained.rows.regime, trained.rows.folds, trained.rows.run, trained.rows.dataset
    assert dataset is not None
    kept = choice.kept
    options = kept.entrant.folds.first.options
    chosen: dict[str, object] = {"regime": regime.name, "chosen": kept.entrant.candidate.name}
    if choice.verdict is not None:
        chosen |= {
            "rule": RULE,
            "candidates": [one.to_dict(scores.seed) for one in sorted(scores.candidates, key=lambda one: one.log_loss)],
            "baselines": [one.to_dict(scores.seed) for one in scores.baselines],
            "verdict": choice.verdict.to_dict(),
        }
    p = None if choice.verdict is None else folds.of_first(kept.p)
    domain = domain_report(folds.first, trained.gammas, p, run.choice_seed, dataset)
    optional = rows.recipe.options.optional or ()
    card = {
        **chosen,
        "rows": _row_counts(folds),
        "shift": None if rows.shift is None else rows.shift.to_dict(),
        **({} if rows.measured is None else {"measured without labels": rows.measured.to_dict()}),
        "features": {"count": len(rows.recipe.names), "hash": rows.recipe.hash, "optional": list(optional)},
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
    return cast(ModelCard, card)


def _parts(folds: Folds) -> dict[str, Rows]:
    """Return the rows of every part; those that score train too where folds take turns, or labels are few."""
    names = ("source_train", "source_val", "target_train", "target_val", "unlabelled")
    parts = {name: getattr(folds.first.rows, name) for name in names}
    if folds.crossfits:
        parts |= {"target_train": folds.val, "target_val": folds.val}
    elif folds.whole is not None:
        parts["target_train"] = Rows.concat([parts["target_train"], folds.val])
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
