"""The options of a tuning study, as configs/tune.yaml declares them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ...config import Fraction, Options
from ...errors import ConfigError

Metric = Literal["log_loss", "macro_f1", "average_precision", "mix"]


def _finite(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a finite number is needed")
    return value


Number = Annotated[int | float, BeforeValidator(_finite)]


class Entry(Options):
    """What one option may be: a range, or choices."""

    low: Number | None = Field(None, description="Least value.")
    high: Number | None = Field(None, description="Largest value.")
    log: bool = Field(False, description="Whether the range is logarithmic.")
    step: Number | None = Field(None, description="Spacing of the values; none is continuous.")
    choices: tuple[Any, ...] = Field((), description="The values, where there is no range.")


class Mix(Options):
    """How much each figure counts in a mix; of figures to be large, 1 less the figure counts."""

    log_loss: float = Field(1.0, ge=0, description="Weight of the log loss.")
    macro_f1: float = Field(0.1, ge=0, description="Weight of 1 - macro-F1.")
    average_precision: float = Field(0.1, ge=0, description="Weight of 1 - average precision.")


class ObjectiveOptions(Options):
    """What a study makes small, and on which labelled target rows."""

    metric: Metric = Field("log_loss", description="The figure that trials are ranked by.")
    also: Metric | None = Field(None, description="A second figure: the study then finds a Pareto front.")
    of_class: str = Field("QSO_high", description="The class of average_precision.")
    mix: Mix = Mix()
    judge: Literal["val", "folds"] = Field(
        "val", description="val judges on the validation split; folds on folds of train and validation, each in turn."
    )
    folds: int = Field(2, ge=2, description="Number of those folds.")


class Rung(Options):
    """How much work a trial is given before it is compared with the others."""

    mocks: Fraction = Field(1.0, gt=0, le=1, description="Share of the mocks that train.")
    coarseness: float = Field(
        1.0, ge=1, description="Learning rates are times, and rounds and patience divided by, this."
    )
    recipe: Literal["continue", "pool", "stack"] | None = Field(
        None, description="The one recipe tried on this rung where a fit tries all (auto); none: all there too."
    )


class TuneOptions(Options):
    """One study."""

    objective: ObjectiveOptions = ObjectiveOptions()
    ladder: tuple[Rung, ...] = Field(
        (
            Rung(mocks=0.25, coarseness=4.0, recipe="continue"),
            Rung(mocks=0.5, coarseness=2.0, recipe="continue"),
            Rung(),
        ),
        min_length=1,
        description="From cheap to whole; the last one is the score.",
    )
    keep: Fraction = Field(0.35, gt=0, le=1, description="Best share of the trials on a rung that climbs to the next.")
    among: int = Field(
        10, ge=0, description="Trials on the rung that a trial is ranked with, the latest; 0: all so far."
    )
    startup: int = Field(10, ge=1, description="Trials drawn at random before the sampler learns.")
    reuse_every: int = Field(
        3, ge=0, description="After those, each such trial keeps the mock-grown trees of the best so far; 0: none does."
    )
    fresh_seeds: int = Field(3, ge=0, description="Seeds that the finalists are trained with anew at the end.")
    finalists: int = Field(
        3,
        ge=1,
        description="Best trials that meet the fresh seeds: the earliest that these do not tell from the best is kept.",
    )
    start: tuple[dict[str, Any], ...] = Field(
        (), description="Values to try first, with all the work; others are those of the fit."
    )
    fit: dict[str, Any] = Field({}, description="Options of every fit, over the shipped ones of the regime.")
    space: dict[str, Entry] = Field({}, description="Dotted names of options, and what each may be.")

    @model_validator(mode="after")
    def _ends_whole(self) -> TuneOptions:
        if self.ladder[-1] != Rung():
            last = ", ".join(
                f"{name}: {value}" for name, value in self.ladder[-1].model_dump(exclude_defaults=True).items()
            )
            raise ConfigError(
                f"ladder: the last rung is {{{last}}}, but its loss is the score of a trial, which fits train with all "
                "the work. Add a whole rung, '{}', at the end."
            )
        return self
