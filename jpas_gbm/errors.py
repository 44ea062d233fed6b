"""One family of exceptions: everything a user can cause and a user can mend."""

from __future__ import annotations

import contextlib
import difflib
import operator
from collections.abc import Iterable
from typing import Any


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
    near = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


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
    raise ConfigError(f"{name} {number}: is no number.")


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
    raise ConfigError(f"{name} {number}: is no whole number of {least} or more.")
