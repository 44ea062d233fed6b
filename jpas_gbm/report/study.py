"""TuningStudy: what a tuning study found, as ``tune`` saved it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import read_json
from .saved import real, within
from .trials import Best, Fresh, Step, Trial, Tried, Untuned, front_of
from .words import MINUS

FILE = "tuning.json"

_LOSSES = {
    "log_loss": "log loss",
    "macro_f1": f"1 {MINUS} macro-F1",
    "average_precision": f"1 {MINUS} average precision",
    "mix": f"mix of log loss, 1 {MINUS} macro-F1 and 1 {MINUS} average precision",
}


@dataclass(frozen=True, eq=False)
class TuningStudy:
    """A tuning study.

    Parameters
    ----------
    name : str
        The folder's.
    regime : str
    seed : int or None
    losses : tuple of str
        What was made small, in words; two for a Pareto front.
    best : Best
    fresh : Fresh or None
        None where it was not measured.
    default : Untuned or None
    counted, asked : int
        Trials.
    outcomes : mapping of str to int
        How many ended each way.
    ended : str
        finished, exhausted, timeout or interrupted.
    seconds : float or None
        Spent on trials.
    trials : tuple of Trial
    slices : mapping of str to tuple of Tried
        By option.
    front : tuple of Trial
        The Pareto front by rising first loss; empty for one figure.
    importances : mapping of str to float
        Each option's share of the variance of the first step's loss, largest first; empty for few trials.
    space : mapping of str to mapping
        What each option may be.
    rungs : tuple of Step
        Of the ladder, cheapest first.
    keep : float or None
        Share of the trials that climb from a step to the next.
    among : int
        How many of the latest trials on a step that share is of; 0: all.
    rows : int
        Rows that judged.
    budget : mapping of str to int
        Labels by use.
    notes : tuple of str
    record : mapping
        Provenance.
    """

    name: str
    regime: str
    seed: int | None
    losses: tuple[str, ...]
    best: Best
    fresh: Fresh | None
    default: Untuned | None
    counted: int
    asked: int
    outcomes: Mapping[str, int]
    ended: str
    seconds: float | None
    trials: tuple[Trial, ...]
    slices: Mapping[str, tuple[Tried, ...]] = field(default_factory=dict)
    front: tuple[Trial, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rungs: tuple[Step, ...] = ()
    keep: float | None = None
    among: int = 0
    rows: int = 0
    budget: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path) -> TuningStudy:
        """Read the study in a folder.

        Raises
        ------
        BundleError
            If its file is missing or is not JSON.
        KeyError, TypeError, ValueError, AttributeError
            If the file holds something else.
        """
        folder = Path(folder)
        return cls.from_dict(folder.resolve().name, read_json(folder / FILE))

    @classmethod
    def from_dict(cls, name: str, told: Mapping[str, Any]) -> TuningStudy:
        """Return a study from what its file holds; what an interrupted one lacks is None or empty."""
        asked, ladder = told["trials"], told.get("ladder") or {}
        metrics = told.get("metrics") or [str(told["measured"]).removeprefix("1 - ")]
        seed = told.get("seed")
        return cls(
            name,
            str(told["regime"]),
            None if seed is None else int(seed),
            tuple(_loss_words(metric, told) for metric in metrics),
            Best.of(told["best"]),
            Fresh.of(told.get("fresh"), told["best"]),
            Untuned.of(told.get("default")),
            int(asked["counted"]),
            int(asked.get("asked", asked["counted"])),
            {str(kind): int(n) for kind, n in asked.get("outcomes", {}).items()},
            str(asked.get("ended", "finished")),
            real(asked.get("seconds")),
            tuple(map(Trial.of, told["history"])),
            {name: tuple(map(Tried.of, tries)) for name, tries in (told.get("slices") or {}).items()},
            front_of(told.get("front") or []),
            {str(option): float(share) for option, share in (told.get("importances") or {}).items()},
            {str(option): dict(entry) for option, entry in (told.get("space") or {}).items()},
            tuple(map(Step.of, ladder.get("rungs", []))),
            real(ladder.get("keep")),
            int(ladder.get("among") or 0),
            int(told.get("rows_judged", 0)),
            {str(use): int(n) for use, n in (told.get("label_budget") or {}).items()},
            tuple(map(str, told.get("notes") or [])),
            dict(told.get("provenance") or {}),
        )

    @property
    def loss(self) -> str:
        """What trials are ranked by, in words."""
        return self.losses[0]

    @property
    def cut(self) -> float | None:
        """Faintest magnitude of the rows that judge, where the provenance tells."""
        return real(within(self.record, "about", "fit", "cut"))

    @property
    def by_folds(self) -> bool:
        """Whether folds of train and validation judged, and not the validation split."""
        return bool(within(self.record, "options", "objective", "judge") == "folds")

    @property
    def stepped(self) -> bool:
        """Whether the first step is less than all the work."""
        return any(one.first is not None and (one.losses is None or one.first != one.losses[0]) for one in self.trials)

    @property
    def chosen(self) -> str:
        """How the best trial was chosen, in words."""
        n = 0 if self.fresh is None else len(self.fresh.finalists)
        return (
            f"of the {n} best, the earliest that fresh seeds do not tell from the lowest"
            if n > 1
            else "the lowest of all"
        )

    @property
    def ranked(self) -> list[str]:
        """Options by falling importance, or as the space names them."""
        return [*self.importances, *(name for name in self.space if name not in self.importances)]


def _loss_words(metric: Any, told: Mapping[str, Any]) -> str:
    words = _LOSSES.get(str(metric), str(metric))
    of_class = within(told, "provenance", "options", "objective", "of_class")
    return f"{words} of {of_class}" if metric == "average_precision" and of_class else words
