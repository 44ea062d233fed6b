"""Study: what a tuning study found, saved and loaded; nothing here trains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    field_serializer,
    field_validator,
    model_validator,
)

from ..atomic import atomic_parts, parts
from ..config import load_options
from ..errors import BundleError, ConfigError
from ..options import Entry, FitOptions, Rung, Value
from ..sealed import check_checksums
from ..store import Made, Provenance, as_record, dump_json, folder_checksums, read_json, write_json
from ..text import MINUS, count
from .space import Fresh, Interval, Untuned

if TYPE_CHECKING:
    import pandas as pd

FILE = "tuning.json"
FORMAT = 1
_LOSSES = {
    "log_loss": "log loss",
    "macro_f1": f"1 {MINUS} macro-F1",
    "average_precision": f"1 {MINUS} average precision",
    "mix": f"mix of log loss, 1 {MINUS} macro-F1 and 1 {MINUS} average precision",
}


SpaceEntry = Annotated[
    Entry, PlainSerializer(lambda entry: entry.model_dump(mode="json", exclude_defaults=True), when_used="json")
]


COUNTED = ("complete", "pruned", "failed")
"""Outcomes that count towards the number of trials asked for; interrupted ones are tried again."""


@dataclass(frozen=True)
class Counts:
    """How many trials there were.

    Parameters
    ----------
    counted, asked : int
        Those that count towards what was asked for.
    outcomes : mapping of str to int
        Trials by how they ended.
    ended : str
        How the study did.
    seconds : float, optional
        Spent.
    """

    counted: int
    asked: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    ended: str = "finished"
    seconds: float | None = None

    @property
    def others(self) -> str:
        """Which trials took a number and do not count, in words."""
        found = [f"{n} {name}" for name, n in self.outcomes.items() if n and name not in COUNTED]
        return f" (numbered, but not counted: {', '.join(found)})" if found else ""

    @property
    def words(self) -> str:
        """How many trials there were, in words."""
        return f"{count(self.counted, 'trial')}{self.others}"


@dataclass(frozen=True)
class Point:
    """A finished trial.

    Parameters
    ----------
    trial : int
        Its number.
    loss : float
        What trials are ranked by.
    losses : tuple of float
        Of each figure of the study.
    figures : mapping of str to float
        ``log_loss``, ``macro_f1`` and ``average_precision``.
    values : mapping
        Of the options, by dotted name, as the study stores them.
    candidate : str
        The way of adapting that was best.
    interval : tuple of float, optional
        Of the loss, 95 %, over objects.
    """

    trial: int
    loss: float = float("nan")
    losses: tuple[float, ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)
    candidate: str = ""
    interval: Interval = None


@dataclass(frozen=True)
class Trial:
    """A trial of the study's history.

    Parameters
    ----------
    trial : int
        Its number.
    outcome : str
        complete, pruned (given up early) or failed.
    losses : tuple of float, optional
        Of each figure, all work done; None where it was not.
    steps : mapping of str to float
        Loss of the first figure after each step of the ladder.
    best_so_far : float, optional
        Lowest loss of the trials up to this one.
    seconds : float, optional
        Spent on it.
    values : mapping
        Of the options, by dotted name.
    """

    trial: int
    outcome: str
    losses: tuple[float, ...] | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    best_so_far: float | None = None
    seconds: float | None = None
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def first(self) -> float | None:
        """Loss of the first, cheap step."""
        return self.steps.get("0")


@dataclass(frozen=True)
class Ladder:
    """The rungs that trials climb, the share that goes on, and among how many of the latest (0: all).

    Parameters
    ----------
    rungs : tuple of Rung
        From the cheapest on.
    keep : float, optional
        Share that goes on.
    among : int
        Of how many of the latest.
    """

    rungs: tuple[Rung, ...] = ()
    keep: float | None = None
    among: int = 0


class Study(BaseModel):
    """A tuning study.

    Parameters
    ----------
    format : int
        Of the file.
    regime : str
        Of its fits.
    counts : Counts
        Of trials.
    best : Point
        The trial that is kept.
    history : tuple of Trial
        In order.
    metrics : tuple of str
        What was made small (1 less what is to be large); two for a Pareto front.
    measured : str
        The same in older files, for one figure.
    seed : int, optional
        Of the study and its trainings.
    front : tuple of Point
        The Pareto front by rising first loss; empty for one figure.
    fresh : Fresh, optional
        None where it was not measured.
    default : Untuned, optional
        None where it was not measured.
    rows : int
        Rows that scored.
    label_budget : mapping of str to int
        Labels by use.
    importances : mapping of str to float
        Each option's share of the variance of the first step's loss, largest first; empty for few trials.
    space : mapping of str to Entry
        What each option may be.
    ladder : Ladder
        What trials climb.
    notes : tuple of str
        What was unusual.
    provenance : Provenance
        How the study was made.
    name : str
        Of its folder.
    options : FitOptions, optional
        The best options, those of best.yaml.
    front_options : mapping of int to FitOptions
        Options of each trial on the Pareto front.
    table : pandas.DataFrame, optional
        One row per trial: see :attr:`trials`.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, populate_by_name=True)

    format: int = FORMAT
    regime: str
    counts: Counts = Field(alias="trials")
    best: Point
    history: tuple[Trial, ...]
    metrics: tuple[str, ...]
    measured: str = ""
    seed: int | None = None
    front: tuple[Point, ...] = ()
    fresh: Fresh | None = None
    default: Untuned | None = None
    rows: int = Field(0, alias="rows_judged")
    label_budget: Mapping[str, int] = {}
    importances: Mapping[str, float] = {}
    space: Mapping[str, SpaceEntry] = {}
    ladder: Ladder = Ladder()
    notes: tuple[str, ...] = ()
    provenance: Made = Provenance()
    name: str = Field("", exclude=True)
    options: FitOptions | None = Field(None, exclude=True)
    front_options: Mapping[int, FitOptions] = Field({}, exclude=True)
    table: Any = Field(None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _of_older_versions(cls, value: Any) -> Any:
        """Give what earlier versions wrote the fields of this one."""
        if not isinstance(value, Mapping):
            return value
        value = {name: given for name, given in value.items() if given is not None}
        if "measured" in value and "metrics" not in value:
            value["metrics"] = [str(value["measured"]).removeprefix("1 - ")]
        fresh, best = value.get("fresh"), value.get("best")
        if isinstance(fresh, Mapping) and not fresh.get("finalists"):
            # Before there were finalists, the best alone met fresh seeds.
            alone = {"trial": best["trial"], "loss": best["loss"], "losses": fresh["losses"], "mean": fresh["mean"]}
            value["fresh"] = {**fresh, "finalists": [alone]}
        return value

    @field_validator("front")
    @classmethod
    def _rising(cls, front: tuple[Point, ...]) -> tuple[Point, ...]:
        return tuple(sorted(front, key=lambda point: point.losses))

    @field_serializer("provenance")
    def _plain_provenance(self, value: Provenance) -> Any:
        return json.loads(dump_json(dict(value)))

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial that was begun: outcome, losses, losses of each step, figures, values, seconds."""
        import pandas as pd

        return pd.DataFrame() if self.table is None else self.table

    @property
    def slices(self) -> dict[str, tuple[Trial, ...]]:
        """By varied option the scored trials that had a value of it and took the first step."""
        scored = [trial for trial in self.history if trial.outcome != "failed" and trial.first is not None]
        return {name: tuple(trial for trial in scored if name in trial.values) for name in self.space}

    @property
    def ended(self) -> str:
        """How the study ended: finished, exhausted, timeout or interrupted."""
        return self.counts.ended

    @property
    def losses(self) -> tuple[str, ...]:
        """What was made small, in words; two for a Pareto front."""
        of_class = self._made("options", "objective", "of_class")
        return tuple(
            _LOSSES.get(name, name) + (f" of {of_class}" if name == "average_precision" and of_class else "")
            for name in self.metrics
        )

    @property
    def loss(self) -> str:
        """What trials are ranked by, in words."""
        return self.losses[0]

    @property
    def cut(self) -> float | None:
        """Faintest magnitude of the rows that score, where the provenance says."""
        cut = self._made("about", "fit", "cut")
        return None if cut is None else float(cut)

    @property
    def by_folds(self) -> bool:
        """Whether folds of train and validation scored, and not the validation split."""
        return bool(self._made("options", "objective", "judge") == "folds")

    @property
    def stepped(self) -> bool:
        """Whether the first step is less than all the work."""
        return any(t.first is not None and (t.losses is None or t.first != t.losses[0]) for t in self.history)

    @property
    def chosen(self) -> str:
        """How the best trial was chosen, in words."""
        n = 0 if self.fresh is None else len(self.fresh.finalists)
        several = f"of the {n} best, the earliest that fresh seeds do not tell from the lowest"
        return several if n > 1 else "the lowest of all"

    @property
    def ranked(self) -> list[str]:
        """Options by falling importance, or as the space names them."""
        return [*self.importances, *(name for name in self.space if name not in self.importances)]

    def untuned_value(self, option: str) -> Any:
        """Return the value that an option has in the untuned fit, by dotted name; None where it is not known.

        Parameters
        ----------
        option : str
            Dotted name.

        Returns
        -------
        object
        """
        return self._made("about", "fit", *option.split("."))

    def _made(self, *names: str) -> Any:
        """Return what the provenance holds under nested names, or None."""
        found: Any = self.provenance
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def to_dict(self) -> dict[str, object]:
        """Return what tuning.json holds.

        Returns
        -------
        dict
            In a form that JSON can hold.
        """
        return self.model_dump(mode="json", by_alias=True)

    def save(self, folder: str | Path) -> None:
        """Write tuning.json, best.yaml, trials.parquet and, for two figures, front/trial-N.yaml.

        Older ones are replaced, all or none.

        Parameters
        ----------
        folder : path
            Of the study.
        """
        with atomic_parts(Path(folder), FILE) as made:
            if self.options is not None:
                self._write_options(made / "best.yaml", self.options, self.best)
            for point in self.front:
                if point.trial in self.front_options:
                    path = made / "front" / f"trial-{point.trial}.yaml"
                    self._write_options(path, self.front_options[point.trial], point)
            if self.table is not None:
                self.table.to_parquet(made / "trials.parquet", index=False)
            write_json(made / FILE, {**self.to_dict(), "files": folder_checksums(made)}, sealed=True)

    def _write_options(self, path: Path, options: FitOptions, point: Point) -> None:
        head = (
            f"# Trial {point.trial} of a study of {self.counts.words} of regime {self.regime}:\n"
            f"# {self.measured} {point.loss:.6f} on target validation. The same trees, with this seed:\n"
            f"#   jpas-gbm fit --config {path.name} --seed {self.seed} --data DATA --out MODEL\n"
        )
        text = head + yaml.safe_dump(options.model_dump(mode="json"), sort_keys=False)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Study:
        """Read the study in a folder.

        Parameters
        ----------
        folder : path
            Of the study.

        Returns
        -------
        Study

        Raises
        ------
        BundleError
            If its files are missing or damaged, or hold something else.
        """
        import pandas as pd

        folder = Path(folder)
        with parts(folder, FILE) as of:
            study = as_record(told := read_json(head := of(FILE) / FILE), cls, head)
            for name, checksum in as_record(told.get("files", {}), dict[str, str], head).items():
                check_checksums(of(name), {name: checksum})
            try:
                places = {point.trial: f"front/trial-{point.trial}.yaml" for point in study.front}
                front = {n: of(name) / name for n, name in places.items()}
                best, table = (of(name) / name for name in ("best.yaml", "trials.parquet"))
                more = {
                    "name": folder.resolve().name,
                    "options": load_options(FitOptions, best) if best.is_file() else None,
                    "front_options": {n: load_options(FitOptions, one) for n, one in front.items() if one.is_file()},
                    "table": pd.read_parquet(table) if table.is_file() else None,
                }
            except (ConfigError, OSError, ValueError) as error:
                raise BundleError(
                    f"{folder}: a file of the study is damaged ({error}). Restore it from a copy."
                ) from error
        return study.model_copy(update=more)

    def __repr__(self) -> str:
        return f"Study({self.name or 'unsaved'}: {self._summary()})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in self.best.values.items())
        return f"<p>{escape(self._summary())}</p><table>{cells}</table>"

    def _summary(self) -> str:
        best, counts = self.best, self.counts
        return (
            f"{counts.words} of regime {self.regime}, {counts.ended}; best trial {best.trial}, "
            f"{self.losses[0]} {best.loss:.4f}"
        )

    def lines(self) -> list[str]:
        """Return the result in a few lines for a terminal, how far to trust it last.

        Returns
        -------
        list of str
        """
        best, counts = self.best, self.counts
        outcomes = ", ".join(f"{n} {name}" for name, n in counts.outcomes.items() if name in COUNTED)
        figures = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in best.figures.items())
        lines = [
            f"{counts.counted} of {count(counts.asked, 'trial')} of regime {self.regime} ({outcomes}){counts.others}",
            f"best: trial {best.trial}, {best.candidate}: {figures}",
            "  " + ", ".join(f"{name} {_short(value)}" for name, value in best.values.items()),
            self._trust(),
        ]
        if self.importances:
            ranked = list(self.importances.items())[:5]
            lines.append("what mattered: " + ", ".join(f"{name} {value:.2f}" for name, value in ranked))
        if self.front:
            lines.append(f"Pareto front: trials {', '.join(str(point.trial) for point in self.front)}")
        return lines + [f"note: {note}" for note in self.notes]

    def _trust(self) -> str:
        """Return the best score, what fresh seeds made of it, and how far it is from the untuned fit's."""
        best, default, fresh = self.best, self.default, self.fresh
        within = "" if best.interval is None else " [{:.4f}, {:.4f}]".format(*best.interval)
        words = [f"{self.measured} {best.loss:.4f}{within} on {count(self.rows, 'row')} that chose it"]
        if fresh is not None:
            words.append(
                f"{fresh.mean:.4f} over {len(fresh.losses)} fresh seeds on the same rows: "
                f"optimism of the seed {fresh.optimism:+.4f}"
            )
        if default is not None and default.interval is not None:
            low, high = default.interval
            words.append(f"against the untuned fit {default.difference:+.4f} [{low:+.4f}, {high:+.4f}]")
        return "; ".join(words) + ". Rows that no study saw give the only unbiased score."


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
