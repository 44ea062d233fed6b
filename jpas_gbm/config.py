"""Reading options: YAML files, shipped configurations, and errors that name the nearest known option."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from .errors import ConfigError, did_you_mean

T = TypeVar("T", bound=BaseModel)


class Options(BaseModel):
    """Base of all options: immutable; an unknown key is an error that names the nearest known one.

    Numbers are finite, and no yes or no is one, though Python counts with them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_boolean_counts(cls, value: Any) -> Any:
        given = value if isinstance(value, Mapping) else {}
        for name, described in cls.model_fields.items():
            if name in given and _says_yes_or_no(given[name]) and not _takes_yes_or_no(described.annotation):
                raise ValueError(
                    f"option '{name}': yes, no, on, off, true and false are no numbers and no words in YAML (got "
                    f"{given[name]!r}). Write a number, or the word in quotes"
                )
        return value


def _says_yes_or_no(value: Any) -> bool:
    parts = value if isinstance(value, list | tuple | set) else value.values() if isinstance(value, Mapping) else ()
    return isinstance(value, bool) or any(map(_says_yes_or_no, parts))


def _takes_yes_or_no(kind: Any) -> bool:
    """Return whether a type takes booleans, or options that look to it themselves."""
    if kind in (bool, Any, object) or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return True
    return any(_takes_yes_or_no(part) for part in get_args(kind))


def _at(model: type[BaseModel], location: Sequence[Any]) -> type[BaseModel]:
    """Return the options that hold those at a place."""
    for step in location:
        if not isinstance(step, str) or step not in model.model_fields:
            continue
        inner = model.model_fields[step].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return model


def _elsewhere(model: type[BaseModel], section: Sequence[Any], name: str) -> str:
    """Say how an option is written that stands in a group of options, and was given outside or with dots."""
    fields, (*heads, last) = _at(model, section).model_fields, name.split(".")
    groups = [heads] if heads and heads[0] in fields else [] if heads else [[group] for group in fields]
    found = [group for group in groups if last in _at(model, [*section, *group]).model_fields]
    written = [f"'{': {'.join([*group, last])}: ...{'}' * len(group)}'" for group in found]
    return f" Write {' or '.join(written)}." if written else ""


_ENDS = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}


def _range(model: type[BaseModel], section: Sequence[Any], problem: Mapping[str, Any]) -> str:
    """Return the numbers that an option takes, such as ``above 0 and below 1``."""
    described = _at(model, section).model_fields.get(str(problem["loc"][-1]))
    of = [] if described is None else described.metadata
    ends = {end: value for one in of for end in _ENDS if (value := getattr(one, end, None)) is not None}
    return " and ".join(f"{_ENDS[end]} {value:g}" for end, value in (ends or problem["ctx"]).items())


def explain_validation(error: ValidationError, model: type[BaseModel], where: str) -> ConfigError:
    """Turn pydantic's report into one sentence per problem, naming the nearest known key.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    model : type of BaseModel
        The options.
    where : str
        Their file, for the message.

    Returns
    -------
    ConfigError
        To be raised.
    """
    lines, problems = [], error.errors()
    last_unknown = {one["loc"][:-1]: one["loc"] for one in problems if one["type"] == "extra_forbidden"}
    for problem in problems:
        *section, last = problem["loc"] or ("",)
        place = f" under '{'.'.join(map(str, section))}'" if section else ""
        if problem["type"] == "extra_forbidden":
            allowed = list(_at(model, section).model_fields)
            how = _elsewhere(model, section, str(last)) or did_you_mean(str(last), allowed)
            at_last = problem["loc"] == last_unknown[problem["loc"][:-1]]  # what is allowed there is said once
            known = f" Allowed: {', '.join(allowed)}." if at_last else ""
            lines.append(f"{where}: unknown option '{last}'{place}.{how}{known}")
        elif problem["type"] == "too_short" and len(problem["input"]) >= problem["ctx"]["min_length"]:
            continue  # it is short only of the values that are refused
        elif problem["type"] == "missing":
            lines.append(f"{where}: option '{last}'{place} is missing.")
        elif problem["type"] == "value_error" and isinstance(problem["input"], dict | BaseModel):
            of = f" under '{'.'.join(map(str, problem['loc']))}'" if problem["loc"] else ""
            lines.append(f"{where}{of}: {problem['ctx']['error']}.")
        elif problem["type"] in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
            must = f"{_range(model, section, problem)}, not {problem['input']!r}"
            lines.append(f"{where}: option '{last}'{place}: give a number {must}.")
        elif problem["type"] in ("list_type", "tuple_type"):
            lines.append(f"{where}: option '{last}'{place} takes a list, such as [a, b] (got {problem['input']!r}).")
        elif problem["type"] in ("model_type", "dict_type"):
            got = f"(got {problem['input']!r})"
            lines.append(f"{where}: option '{last}'{place} takes options of its own, as 'name: value' lines {got}.")
        else:
            said = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: option '{last}'{place}: {said} (got {problem['input']!r}).")
    return ConfigError("\n".join(lines))


def parse_options(model: type[T], value: Any, where: str) -> T:
    """Check a mapping against a model of options.

    Parameters
    ----------
    model : type of Options
        What is to be made.
    value : object
        A mapping, as YAML holds it.
    where : str
        Its file, for messages.

    Returns
    -------
    Options
        Of type `model`.

    Raises
    ------
    ConfigError
        With one sentence per unknown, missing or wrong option.
    """
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected options as 'name: value' lines, found {type(value).__name__}.")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise explain_validation(error, model, where) from error


def shipped_file(name: str) -> Path:
    """Return where a file or folder that comes with the package stands, in a checkout or in an installed wheel.

    Parameters
    ----------
    name : str
        Such as ``configs``.

    Returns
    -------
    Path
    """
    packaged = Path(str(resources.files("jpas_gbm"))) / name
    return packaged if packaged.exists() else Path(__file__).resolve().parent.parent / name


def configs_folder() -> Path:
    """Return the folder of shipped configurations.

    Returns
    -------
    Path
    """
    return shipped_file("configs")


MOST_BYTES = 1 << 18
"""Bytes that a configuration may have; the largest shipped one has some thousands."""


class _OneOfEach(yaml.SafeLoader):
    """The safe loader; of a key that stands twice it would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if twice := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
            line = node.start_mark.line + 1
            raise yaml.YAMLError(f"{', '.join(twice)} stands twice in the mapping of line {line}: write each key once")
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file with the safe loader.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    object
        What it holds.

    Raises
    ------
    ConfigError
        If it is missing or is not YAML.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ConfigError(f"{path}: is no regular file but a pipe or a device. Save what it gives and name that.")
        if path.exists() and path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path}: has more than {MOST_BYTES:,} bytes, which no configuration has.")
        return yaml.load(path.read_text(encoding="utf-8"), _OneOfEach)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file.") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: is not valid YAML (nested without end).") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, OSError) as error:
        # Text such as 2026-99-99 or 1:99:1e9 is taken for a date or a number, and fails in many ways.
        raise ConfigError(f"{path}: is not valid YAML ({error}).") from error


def find_config(name: str | Path) -> Path:
    """Return the path of a configuration given by path or by the name of a shipped one.

    Parameters
    ----------
    name : path or str
        A path, or a name without suffix.

    Returns
    -------
    Path
        Of a file that is there.

    Raises
    ------
    ConfigError
        If neither exists; the shipped names are listed.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = configs_folder() / f"{path.name.removesuffix('.yaml')}.yaml"
    if shipped.is_file() and path.parent == Path("."):
        return shipped
    known = sorted(p.stem for p in configs_folder().glob("*.yaml"))
    raise ConfigError(f"{name}: there is no such file.{did_you_mean(str(name), known)} Shipped: {', '.join(known)}.")


def load_options(model: type[T], name: str | Path) -> T:
    """Read options from a file, or from a shipped configuration named without its suffix.

    Parameters
    ----------
    model : type of Options
        What is to be made.
    name : path or str
        A path, or a name without suffix.

    Returns
    -------
    Options
        Of type `model`.

    Raises
    ------
    ConfigError
        If there is no such file, or an option is unknown or wrong.
    """
    path = find_config(name)
    return parse_options(model, read_yaml(path), path.name)


def override(options: T, **changes: Any) -> T:
    """Return options with some changed and checked again; None leaves an option as it is.

    Parameters
    ----------
    options : Options
        The old ones.
    **changes : field=value
        The new values, by name.

    Returns
    -------
    Options
        Of the same type.

    Raises
    ------
    ConfigError
        If an option is unknown or wrong.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    return parse_options(type(options), options.model_dump() | given, type(options).__name__)


def options_of(model: type[T], config: T | Mapping[str, object] | str | Path | None, default: str) -> T:
    """Return the options that a verb was given.

    Parameters
    ----------
    model : type
        The class of the options.
    config : model, mapping, path, str or None
        Options, some of them by name, a YAML file, the name of a shipped configuration, or nothing: `default`.
    default : str
        Name of a shipped configuration.

    Returns
    -------
    model
        The options.

    Raises
    ------
    ConfigError
        If there is no such file or configuration, or an option is unknown, missing or wrong.
    """
    if isinstance(config, str | Path):
        return load_options(model, config)
    if isinstance(config, Mapping):
        return parse_options(model, dict(config), "config")
    return load_options(model, default) if config is None else config


R = TypeVar("R")


class Registry(Generic[R]):
    """Named things of one kind, imported when they are first asked for.

    A name is known if something was registered under it, if a module of that name stands in `folder`,
    or if an installed distribution has an entry point of that name in the group `jpas_gbm.<last part
    of folder>`. The module or entry point registers its thing when it is imported.

    Parameters
    ----------
    kind : str
        What the things are, for messages.
    folder : str
        Sub-package that holds one module for each, as a dotted path within the package.
    """

    def __init__(self, kind: str, folder: str) -> None:
        self.kind = kind
        self._package = f"jpas_gbm.{folder}"
        self._group = f"jpas_gbm.{folder.rsplit('.', 1)[-1]}"
        self._things: dict[str, R] = {}

    def __repr__(self) -> str:
        return f"Registry({self.kind}: {', '.join(self.names())})"

    def register(self, name: str) -> Callable[[R], R]:
        """Return a decorator that makes a thing known under `name`.

        Parameters
        ----------
        name : str

        Returns
        -------
        callable
            Gives back what it decorates.

        Raises
        ------
        ConfigError
            If another thing has that name.
        """

        def add(thing: R) -> R:
            if name in self._things:
                raise ConfigError(f"there are two {self.kind}s of the name '{name}': rename one.")
            self._things[name] = thing
            return thing

        return add

    def unregister(self, name: str) -> None:
        """Forget what was registered under `name`, if anything was.

        Parameters
        ----------
        name : str
        """
        self._things.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """Return every known name, sorted; nothing is imported.

        Returns
        -------
        tuple of str
        """
        return tuple(sorted({*self._things, *self._modules(), *self._installed}))

    @cached_property
    def _installed(self) -> frozenset[str]:
        """Names of entry points; a search of every installed distribution, so it is made once."""
        return frozenset(point.name for point in metadata.entry_points(group=self._group))

    def _modules(self) -> set[str]:
        """Return the names of the modules in the folder, whose __init__ should be empty; those with a _ are helpers."""
        names = {module.name for module in pkgutil.iter_modules(importlib.import_module(self._package).__path__)}
        return {name for name in names if not name.startswith("_")}

    def knows(self, name: str) -> bool:
        """Return whether there is a thing of that name; nothing is imported.

        Parameters
        ----------
        name : str

        Returns
        -------
        bool
        """
        return name in self._things or name in self._modules() or name in self._installed

    def check(self, name: str) -> str:
        """Return `name` if it is known; nothing is imported.

        Parameters
        ----------
        name : str

        Returns
        -------
        str

        Raises
        ------
        ConfigError
            If it is not; the nearest known name is told.
        """
        if self.knows(name):
            return name
        known = self.names()
        raise ConfigError(f"there is no {self.kind} '{name}'.{did_you_mean(name, known)} Allowed: {', '.join(known)}.")

    def get(self, name: str) -> R:
        """Return the thing of a name, importing its module if need be.

        Parameters
        ----------
        name : str

        Returns
        -------
        object

        Raises
        ------
        ConfigError
            If there is none, or its module registers nothing of that name.
        """
        self.check(name)
        if name not in self._things:
            if name in self._modules():
                importlib.import_module(f"{self._package}.{name}")
            else:
                next(iter(metadata.entry_points(group=self._group, name=name))).load()
        if name not in self._things:
            raise ConfigError(
                f"the module of the {self.kind} '{name}' registers nothing of that name: decorate its class with "
                f"register('{name}')."
            )
        return self._things[name]
