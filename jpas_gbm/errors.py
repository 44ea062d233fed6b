"""One family of exceptions: everything a user can cause and a user can mend."""

from __future__ import annotations

import builtins
import contextlib
import difflib
import functools
import operator
import os
import re
import reprlib
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints


class JpasGbmError(Exception):
    """Base of every error that this package raises on purpose.

    The message says what is wrong, where, what is allowed and how to mend it; the command line
    prints it without a traceback and exits with code 1.
    """


class ConfigError(JpasGbmError):
    """An option, a configuration file or a survey file is wrong."""


class CatalogueError(JpasGbmError):
    """A table cannot be understood as a catalogue of the survey it claims to be."""


class RepeatedKeys(CatalogueError):
    """Rows of a catalogue have the key of another."""


class DatasetError(JpasGbmError):
    """Source, target and labels cannot be joined into a data set."""


class LeakError(DatasetError):
    """An object stands on two sides of a split."""


class FeatureMismatch(JpasGbmError):
    """Features, bands or photometry differ from what the model was trained on."""


class FitError(JpasGbmError):
    """A model cannot be trained on the rows given."""


class BundleError(JpasGbmError):
    """A saved model, data set or result folder is damaged, incomplete or of another version."""


class OutputError(JpasGbmError):
    """A result cannot be written where it was asked for."""


class ExplanationError(JpasGbmError):
    """Contributions cannot be made, do not add up, or cannot say what was asked."""


class ArchiveError(JpasGbmError):
    """An archive is silent, refuses, or answers with something else than the whole table that was asked for."""


class ListError(JpasGbmError):
    """A candidate list cannot be made as it was asked for."""


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest allowed word, or an empty string.

    Parameters
    ----------
    word : str
        What was given.
    allowed : iterable of str
        What would have been understood.

    Returns
    -------
    str
        One sentence, with a blank in front.
    """
    near = difflib.get_close_matches(str(word), list(allowed), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def _shown(value: Any) -> str:
    """Return a value in a few characters, text in quotes."""
    try:
        return reprlib.repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return f"a number of {value.bit_length():,} bits"


def real_number(name: str, number: Any) -> float:
    """Return a number, or refuse words and NaN; infinity is one.

    Parameters
    ----------
    name : str
        What it is, for the message.
    number : object
        What was given.

    Returns
    -------
    float

    Raises
    ------
    ConfigError
        If it is none.
    """
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if not isinstance(number, bool) and (value := float(number)) == value:
            return value
    raise ConfigError(f"{name} {_shown(number)}: is no number.")


def whole_number(name: str, number: Any, least: int = 1) -> int:
    """Return a whole number, also one in floating point; words, fractions, truths and what is too small are refused.

    Parameters
    ----------
    name : str
        What it is, for the message.
    number : object
        What was given.
    least : int
        The least that is allowed.

    Returns
    -------
    int

    Raises
    ------
    ConfigError
        If it is none of `least` or more.
    """
    with contextlib.suppress(TypeError):
        whole = int(number) if hasattr(number, "is_integer") and number.is_integer() else operator.index(number)
        if not isinstance(number, bool) and whole >= least:
            return whole
    raise ConfigError(f"{name} {_shown(number)}: is no whole number of {least} or more.")


class _Unknown(type):
    """The type of a name that only a type checker imports: an object of whatever class may be meant."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unknown(name, (), {})


class _Names(dict[str, Any]):
    """Names of a module, of Python, and for all others :class:`_Unknown`."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, _Unknown(name, (), {}))

    def __contains__(self, name: object) -> bool:
        return True


def _kinds(hint: Any) -> tuple[Any, ...]:
    """Return the types that a hint allows."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _worded(kinds: tuple[Any, ...]) -> str:
    """Return types as they are written, without the modules that they are from."""
    words = (str(kind) if get_args(kind) else "None" if kind is types.NoneType else kind.__name__ for kind in kinds)
    return re.sub(r"\b[\w.]+\.", "", " | ".join(words))


_PLAIN = (str, bytes, bool, int, float, complex, list, tuple, set, frozenset, dict, range, type, types.FunctionType)


def _is(value: Any, kind: Any) -> bool:
    """Return whether a value is of one kind; numbers are left to those who look at their size."""
    made_of = get_origin(kind) or kind
    if kind is None or kind is types.NoneType:
        return value is None
    if kind is bool:
        return type(value).__name__ in ("bool", "bool_")
    if kind in (int, float):
        return hasattr(value, "__float__") and not isinstance(value, type) and getattr(value, "ndim", 0) == 0
    if isinstance(kind, _Unknown) or not isinstance(made_of, type):
        return not (value is None or isinstance(value, _PLAIN))
    if issubclass(made_of, Mapping) and get_args(kind) and get_origin(get_args(kind)[1]) is Mapping:
        return isinstance(value, Mapping) and all(isinstance(one, Mapping) for one in value.values())
    if issubclass(made_of, Iterable) and not issubclass(made_of, Mapping) and get_args(kind):
        if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__") or hasattr(value, "columns"):
            return False
        wanted, every = _kinds(get_args(kind)[0]), value if hasattr(value, "__len__") else ()
        fixed = made_of is tuple and ... not in get_args(kind)
        if getattr(value, "ndim", 1) == 0 or (fixed and len(every) != len(get_args(kind))):
            return False
        return all(any(_is(one, k) for k in wanted) for one in every)
    return isinstance(value, os.PathLike if made_of is Path else made_of)


@functools.cache
def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a verb of the door refuse arguments of types that it does not name.

    Parameters
    ----------
    function : callable
        With annotations.

    Returns
    -------
    callable
        The same; it raises :class:`ConfigError` for such an argument.
    """
    import inspect

    def resolved(of: Any) -> Mapping[str, object]:
        return get_type_hints(of, localns=_Names(vars(inspect.getmodule(of))))

    signature, hints = inspect.signature(function), dict(resolved(function))
    more = next((name for name, one in signature.parameters.items() if one.kind is one.VAR_KEYWORD), "")
    for typed in get_args(hints.pop(more, None)):  # of Unpack: a TypedDict
        hints |= resolved(typed)
    allowed = {name: _kinds(hint) for name, hint in hints.items()}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # names that there are not: the call itself tells
            return function(*args, **kwargs)
        for name, value in {**given, **given.get(more, {})}.items():
            if name in allowed and not any(_is(value, kind) for kind in allowed[name]):
                raise ConfigError(
                    f"{function.__name__}: {name}={_shown(value)} is of type {type(value).__name__}. "
                    f"Allowed: {_worded(allowed[name])}."
                )
        return function(*args, **kwargs)

    call.__module__ = "jpas_gbm"
    return call
