"""Space: which options of a fit a study varies, and between what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator

from ..adaptation.fit import check_options
from ..adaptation.rows import Regime, get_regime
from ..config import parse_options
from ..errors import ConfigError, did_you_mean
from ..options import Entry, FitOptions, Value

if TYPE_CHECKING:
    from optuna.trial import Trial


def _used(regime: Regime) -> tuple[str, ...]:
    """Return beginnings of the names of the options that can change a fit of a regime."""
    if regime.adapts:
        return ("",)
    grown = ("boosting.", "sky.") if regime.source else ("continuation.", "sky.forget_imaging")
    return (*grown, "features.", "calibration.", "cut")


def option_names(model: type[BaseModel] = FitOptions, prefix: str = "") -> list[str]:
    """Return the dotted names of all options of a model.

    Parameters
    ----------
    model : type[BaseModel]
        The class of the options.
    prefix : str
        Put before each name.

    Returns
    -------
    list of str
    """
    names = []
    for name, described in model.model_fields.items():
        inner = described.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += option_names(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def option_value(options: BaseModel, name: str) -> Any:
    """Return the value of an option by its dotted name.

    Parameters
    ----------
    options : BaseModel
        Any options.
    name : str
        Dotted name.

    Returns
    -------
    object
    """
    value: Any = options
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _unknown(where: str, name: str) -> str:
    """Return a sentence about a name that is no option."""
    known = option_names()
    inside = [one for one in known if one.startswith(f"{name}.")]
    if inside:
        return f"{where}: '{name}' is a section of options. Name options in it, such as {inside[0]}."
    return (
        f"{where}: unknown option '{name}'.{did_you_mean(name, known)} Allowed are the options of a fit, such as "
        "boosting.leaves."
    )


def with_values(options: FitOptions, values: Mapping[str, Value], where: str) -> FitOptions:
    """Return options with some changed by dotted name, and checked again.

    Parameters
    ----------
    options : FitOptions
        Options of the fit.
    values : mapping of str to Value
        By dotted name.
    where : str
        What messages begin with.

    Returns
    -------
    FitOptions

    Raises
    ------
    ConfigError
        With one sentence per wrong value.
    """
    tree = options.model_dump()
    known = option_names()
    for name in values:
        if name not in known:
            raise ConfigError(_unknown(where, name))
    for name, value in values.items():
        *sections, last = name.split(".")
        place = tree
        for section in sections:
            place = place[section]
        several = isinstance(place[last], tuple) and not isinstance(value, list | tuple)
        place[last] = (value,) if several else value
    changed = parse_options(FitOptions, tree, where)
    check_options(changed)
    return changed


Tree = Mapping[str, "Value | Tree"]
"""Nested options."""


def flat(tree: Tree, prefix: str = "") -> dict[str, Value]:
    """Return nested options by dotted name.

    Parameters
    ----------
    tree : mapping of str to Any
        Nested options.
    prefix : str
        Put before each name.

    Returns
    -------
    dict of str to Value
    """
    values: dict[str, Value] = {}
    for name, value in tree.items():
        values |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return values


def encode(value: Value) -> Value:
    """Return a choice in a form that a study can store: scalars as they are, lists as JSON.

    Parameters
    ----------
    value : Value
        A value of an option.

    Returns
    -------
    Value
    """
    return json.dumps(list(value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Space:
    """The options that a study varies.

    Parameters
    ----------
    base : FitOptions
        All other options.
    entries : mapping of str to Entry
        What each may be, by dotted name.
    notes : tuple of str
        What was left out, in sentences.
    left : tuple of str
        Options that were left out, since they change no fit of the regime.
    """

    base: FitOptions
    entries: Mapping[str, Entry]
    notes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @classmethod
    def build(cls, base: FitOptions, entries: Mapping[str, Entry]) -> Space:
        """Check every entry against the options of a fit.

        Entries that cannot change a fit of the regime are left out, and noted.

        Parameters
        ----------
        base : FitOptions
            All other options.
        entries : mapping of str to Entry
            What each option may be, by dotted name.

        Returns
        -------
        Space

        Raises
        ------
        ConfigError
            With one sentence per unknown option, empty range or value that the option refuses.
        """
        problems = [problem for name, entry in entries.items() if (problem := _problem(base, name, entry))]
        if problems:
            raise ConfigError("\n".join(problems))
        used = _used(get_regime(base.regime))
        kept = {name: entry for name, entry in entries.items() if name.startswith(used)}
        if not kept:
            raise ConfigError(
                f"space: holds no option that changes a fit of regime '{base.regime}'. Name one or more, such as "
                "'continuation.learning_rate: {low: 0.01, high: 0.1, log: true}'."
            )
        left = tuple(sorted(set(entries) - set(kept)))
        notes = (f"regime '{base.regime}' does not use {', '.join(left)}: not varied.",) if left else ()
        return cls(base, kept, notes, left)

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """Let a trial draw its values, by dotted name and as the study stores them.

        Parameters
        ----------
        trial : Trial
            A trial of the library.

        Returns
        -------
        dict of str to Value
        """
        return {name: self._suggest_one(trial, name) for name in self.entries}

    def _suggest_one(self, trial: Trial, name: str) -> Any:
        entry = self.entries[name]
        if entry.choices:
            return trial.suggest_categorical(name, [encode(choice) for choice in entry.choices])
        assert entry.low is not None and entry.high is not None
        if isinstance(option_value(self.base, name), int):
            step = int(entry.step or 1)
            return trial.suggest_int(name, int(entry.low), int(entry.high), step=step, log=entry.log)
        return trial.suggest_float(name, float(entry.low), float(entry.high), step=entry.step, log=entry.log)

    def options(self, values: Mapping[str, Value]) -> FitOptions:
        """Return the options of a fit from the values of a trial.

        Parameters
        ----------
        values : mapping of str to Value
            By dotted name.

        Returns
        -------
        FitOptions
        """
        decoded = {name: self._decode(name, value) for name, value in values.items()}
        return with_values(self.base, decoded, "trial")

    def _decode(self, name: str, value: Value) -> Any:
        return next((choice for choice in self.entries[name].choices if encode(choice) == value), value)

    def start(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """Return values to try first: those given, else those of the base options, moved into the space.

        What was left out of the space for the regime is passed over.

        Parameters
        ----------
        given : mapping of str to Value
            Values by dotted name.

        Returns
        -------
        dict of str to Value

        Raises
        ------
        ConfigError
            If a value that was given is not in the space.
        """
        for name in given:
            if name not in self.entries and name not in self.left:
                raise ConfigError(
                    f"start: '{name}' is not in the space.{did_you_mean(name, self.entries)} "
                    f"Allowed: {', '.join(self.entries)}."
                )
        values = {}
        for name in self.entries:
            if name in given:
                if not self._holds(name, given[name]):
                    allowed = ", ".join(f"{key}: {value}" for key, value in self.to_dict()[name].items())
                    raise ConfigError(f"start: {name} = {given[name]!r} is not in the space ({allowed}).")
                values[name] = encode(given[name])
            elif (nearest := self._nearest(name)) is not None:
                values[name] = nearest
        return values

    def _nearest(self, name: str) -> Any:
        """Return the base options' own value moved into the range; None where it is none, or no choice is like it."""
        entry, value = self.entries[name], option_value(self.base, name)
        stored = [encode(choice) for choice in entry.choices]
        if isinstance(value, tuple) and len(value) == 1 and encode(value) not in stored:
            value = value[0]
        if stored:
            return encode(value) if encode(value) in stored else None
        if value is None or isinstance(value, tuple):
            return None
        assert entry.low is not None and entry.high is not None
        value = min(max(value, entry.low), entry.high)
        if entry.step:
            value = entry.low + round((value - entry.low) / entry.step) * entry.step
        return value

    def _holds(self, name: str, value: Value) -> bool:
        entry = self.entries[name]
        if entry.choices:
            return encode(value) in [encode(choice) for choice in entry.choices]
        assert entry.low is not None and entry.high is not None
        if isinstance(value, bool) or not isinstance(value, int | float) or not entry.low <= value <= entry.high:
            return False
        step = entry.step or (1 if isinstance(option_value(self.base, name), int) else None)
        steps = 0.0 if step is None else (value - entry.low) / step
        return abs(steps - round(steps)) < 1e-8

    def to_dict(self) -> dict[str, dict[str, Value]]:
        """Return the entries in a form that JSON can hold.

        Returns
        -------
        dict
        """
        return {name: entry.model_dump(mode="json", exclude_defaults=True) for name, entry in self.entries.items()}


def _problem(base: FitOptions, name: str, entry: Entry) -> str | None:
    """Return what is wrong with an entry in a sentence, or None."""
    if name not in option_names():
        return _unknown("space", name)
    if name in ("regime", "seeds", "backends", "cut", "crossfit"):
        return f"space: '{name}' says what is tuned and how it is judged: set it under 'fit', or on the command line."
    if entry.choices:
        if any(value is not None for value in (entry.low, entry.high, entry.step)) or entry.log:
            return f"space: {name} has choices and a range. Give one of the two."
        for choice in entry.choices:
            if not isinstance(choice, bool | int | float | str | list | tuple | None):
                said = "a choice is a number, a word, true, false or a list of them, or null for none."
                return f"space: {name} cannot be {choice!r}: {said}"
        if len({encode(choice) for choice in entry.choices}) < len(entry.choices):
            return f"space: {name} has the same choice twice."
        return _refused(base, name, entry.choices)
    value = option_value(base, name)
    return _range_problem(name, entry, value) or _refused(base, name, (entry.low, entry.high))


def _range_problem(name: str, entry: Entry, value: Value) -> str | None:
    low, high = entry.low, entry.high
    if low is None or high is None:
        return f"space: {name} needs 'low' and 'high', or 'choices'."
    if isinstance(value, bool | str) or name in ("features.colours", "features.template_ranks"):
        return f"space: {name} is {value!r}, not a number: give 'choices' instead of a range."
    if not low < high:
        return f"space: {name} has an empty range: low {low:g} is not below high {high:g}."
    if entry.log and low <= 0:
        return f"space: {name} has a logarithmic range from {low:g}: low must be above 0."
    if entry.step is not None and (entry.log or entry.step <= 0):
        return f"space: {name}: 'step' must be above 0 and does not go with 'log'."
    if entry.step is not None and entry.step > high - low:
        return f"space: {name} has one value: its step {entry.step:g} is longer than its range, {low:g} to {high:g}."
    whole = all(float(v).is_integer() for v in (low, high, entry.step or 1))
    if isinstance(value, int) and not whole:
        return f"space: {name} is a whole number: low, high and step must be whole numbers."
    return None


def _refused(base: FitOptions, name: str, values: tuple[Any, ...]) -> str | None:
    for value in values:
        try:
            with_values(base, {name: value}, name)
        except ConfigError as error:
            return f"space: {name} cannot be {value!r}. {error}"
    return None


@dataclass(frozen=True)
class Finalist:
    """A trial trained with seeds that the study did not use: its loss, and those of the fresh seeds and their mean.

    Parameters
    ----------
    trial : int
        Its number.
    loss : float
        In the study.
    losses, mean : tuple of float, float
        With each fresh seed, and their mean.
    """

    trial: int
    loss: float
    losses: tuple[float, ...]
    mean: float


@dataclass(frozen=True)
class Fresh:
    """The best options trained with fresh seeds, and all trials that were.

    Parameters
    ----------
    losses : tuple of float
        Of each fresh seed.
    mean : float
        Of these.
    optimism : float
        The mean less the loss with the study's seed: how much of that was luck of the seed.
    seeds : tuple of int
        The fresh seeds.
    finalists : tuple of Finalist
        All trials that were trained with them.
    """

    losses: tuple[float, ...]
    mean: float
    optimism: float
    seeds: tuple[int, ...] = ()
    finalists: tuple[Finalist, ...] = ()


@dataclass(frozen=True)
class Untuned:
    """The fit that was not tuned; `difference` is the best loss less this one on the same rows, with its interval.

    Parameters
    ----------
    loss, difference : float
        Its loss, and the best less this.
    interval : (float, float), optional
        95 %, of `difference`.
    candidate : str
        What its fit chose.
    figures : mapping of str to float
        Its other figures.
    """

    loss: float
    difference: float
    interval: Interval = None
    candidate: str = ""
    figures: Mapping[str, float | None] = field(default_factory=dict)


Interval = Annotated[
    tuple[float, float] | None,
    BeforeValidator(lambda ends: None if ends is None or None in tuple(ends) else ends),
]
"""Both ends of a 95 % interval; None where it is not known."""
