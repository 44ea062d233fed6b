"""Writing a table of known columns piece by piece, whole or not at all; the suffix chooses the format.

A format is one file of this folder named ``write_*.py`` with a subclass of :class:`Writer` that is registered for its
suffixes. Predictions and candidate lists can then be written in it.
"""

from __future__ import annotations

import importlib
import pkgutil
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeVar

import numpy as np

from ..atomic import atomic_files
from ..errors import OutputError, did_you_mean
from ..sealed import seal_companion
from .write_columns import Column

Card = str | float | tuple[str | float, str]
"""A short fact for people: its value, or value and comment."""


@dataclass(frozen=True)
class Head:
    """What is written of a table besides its rows.

    Parameters
    ----------
    columns : tuple of Column
        What every row has.
    provenance : mapping
        How the table was made, as JSON can hold it.
    name : str
        Of the table: FITS EXTNAME, VOTable TABLE.
    cards : mapping of str to Card
        Short facts for people: FITS cards, VOTable INFOs, metadata elsewhere.
    """

    columns: tuple[Column, ...]
    provenance: Mapping[str, Any]
    name: str = "PREDICTIONS"
    cards: Mapping[str, Card] = field(default_factory=dict)

    def facts(self) -> dict[str, str | float]:
        """Return the cards without their comments.

        Returns
        -------
        dict of str to str or float
        """
        return {name: card[0] if isinstance(card, tuple) else card for name, card in self.cards.items()}


class Writer(ABC):
    """Writes rows in order to a file; it is whole after :meth:`close`.

    Parameters
    ----------
    stream : binary file
        Open for reading and writing, empty.
    head : Head
        Columns, name, cards and provenance.
    """

    companion: ClassVar[bool] = False
    """Whether the format has no place for units and provenance, so that ``FILE.json`` beside the file holds them."""

    @abstractmethod
    def __init__(self, stream: BinaryIO, head: Head) -> None: ...

    @abstractmethod
    def write(self, rows: np.ndarray) -> None:
        """Append rows.

        Parameters
        ----------
        rows : structured array, shape (n,)
            Of the columns' record type.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish the file; the stream stays open."""

    def release(self) -> None:  # noqa: B027
        """Let go of what is held, whether the file is whole or not."""


W = TypeVar("W", bound=type[Writer])
_WRITERS: dict[str, type[Writer]] = {}


def register_writer(*suffixes: str) -> Callable[[W], W]:
    """Register a writer class for file suffixes.

    Parameters
    ----------
    *suffixes : str
        In small letters, with the dot.

    Returns
    -------
    callable
        Decorator of the class.
    """

    def register(writer: W) -> W:
        _WRITERS.update(dict.fromkeys(suffixes, writer))
        return writer

    return register


def _writers() -> dict[str, type[Writer]]:
    """Return the writer class of each suffix, once every ``write_*`` module of this folder is imported."""
    package = importlib.import_module(__package__ or "")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("write_"):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return _WRITERS


def suffixes() -> tuple[str, ...]:
    """Return the suffixes of all formats.

    Returns
    -------
    tuple of str
    """
    return tuple(_writers())


def writer_class(path: str | Path) -> type[Writer]:
    """Return the writer of an output file by its suffix.

    Parameters
    ----------
    path : path

    Returns
    -------
    type
        A subclass of :class:`Writer`.

    Raises
    ------
    OutputError
        If the suffix is not known.
    """
    suffix, known = Path(path).suffix.lower(), _writers()
    if suffix not in known:
        raise OutputError(
            f"{path}: cannot tell the format by the suffix '{suffix}'.{did_you_mean(suffix, known)} "
            f"Known: {', '.join(known)}."
        )
    return known[suffix]


Companion = Callable[[Path, Path], None]
"""Writes a file that tells of a table: given the place to write to, and the finished table."""


@contextmanager
def table_writer(
    path: str | Path, head: Head, *, beside: Mapping[str | Path, Companion] | None = None, overwrite: bool = False
) -> Iterator[Writer]:
    """Open a table for writing; it moves into place, whole, when the block ends well.

    Memory holds one piece of rows at a time, whatever the format.

    Parameters
    ----------
    path : path
        The suffix chooses the format. A ``.csv`` has a companion ``.csv.json`` with units, UCDs and
        provenance, since plain CSV has no place for them; ``.ecsv`` carries them itself.
    head : Head
        Columns, name, cards and provenance.
    beside : mapping of path to Companion, optional
        Further files that stand or fall with the table, and what writes them once it is finished.
    overwrite : bool
        Whether files that are there may be replaced.

    Yields
    ------
    Writer

    Raises
    ------
    OutputError
        If the suffix is unknown, a file exists, or one cannot be written: then all are as before.
    """
    kind = writer_class(path)
    companions: dict[str | Path, Companion] = dict(beside or {})
    if kind.companion:
        companions[f"{path}.json"] = partial(_write_companion, head)
    with atomic_files(path, *companions, overwrite=overwrite) as (table, *places):
        with ExitStack() as stack:
            writer = kind(stack.enter_context(open(table, "w+b")), head)
            stack.callback(writer.release)
            yield writer
            writer.close()
        for place, write in zip(places, companions.values(), strict=True):
            write(place, table)


def _write_companion(head: Head, place: Path, table: Path) -> None:
    """Write what plain CSV has no place for."""
    columns = [column.to_dict() for column in head.columns]
    about = {"columns": columns, "provenance": dict(head.provenance), "cards": head.facts()}
    seal_companion(place, about, table)


def plain_letters(text: str) -> str:
    """Return text in printable ASCII: letters without their accents, ``?`` for what has no plain form.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in bare)
