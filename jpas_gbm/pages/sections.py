"""Sections of the page, with their blocks and tables, and the registry of the kinds of result that have one.

A kind of result is one file, ``pages/<name>_section.py``, which calls :func:`register_kind`: it says by which file a
folder of it is known, how that is read, and what the page shows and says of it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..store import Provenance
from ..text import number, span


@dataclass(frozen=True)
class Cell:
    """One cell.

    Parameters
    ----------
    text : str
        What is written.
    note : str
        In small type below: an interval.
    strong : bool
        Whether it stands out.
    """

    text: str
    note: str = ""
    strong: bool = False

    @classmethod
    def of(
        cls,
        value: float | None,
        interval: Sequence[float | None] | None = None,
        digits: int = 3,
        *,
        sign: bool = False,
        strong: bool = False,
    ) -> Cell:
        """Return a number with its interval below.

        Parameters
        ----------
        value : float or None
            A dash stands where there is none.
        interval : (float, float), optional
            Of the value.
        digits : int
            After the decimal point.
        sign : bool
            Whether to write the sign of positive numbers.
        strong : bool
            Whether the number stands out.

        Returns
        -------
        Cell
        """
        return cls(number(value, digits, sign), span(interval, digits, sign), strong)


@dataclass(frozen=True)
class Table:
    """A table.

    Parameters
    ----------
    caption : str
        Below the table.
    header : tuple of str
        Names of the columns.
    rows : tuple of tuple of Cell
        The first cell of a row is its heading.
    words : bool
        Whether cells hold words rather than numbers.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: bool = False

    @classmethod
    def of(cls, caption: str, header: Iterable[str], rows: Iterable[Iterable[Any]], *, words: bool = False) -> Table:
        """Return a table of plain values.

        Parameters
        ----------
        caption : str
            Below the table.
        header : iterable of str
            Names of the columns.
        rows : iterable of iterable
            Each value a cell, text, a whole number, or a tuple of text and note.
        words : bool
            Whether cells hold words rather than numbers.

        Returns
        -------
        Table
        """
        return cls(caption, tuple(header), tuple(tuple(map(_cell, row)) for row in rows), words)


def _cell(value: Any) -> Cell:
    if isinstance(value, Cell):
        return value
    return Cell(*value) if isinstance(value, tuple) else Cell(f"{value:,}" if isinstance(value, int) else value)


@dataclass(frozen=True)
class Block:
    """A piece of a section.

    Parameters
    ----------
    kind : {"text", "list", "facts", "table", "plate", "lines", "heading"}
        Of the blocks.
    content : object
        A sentence, sentences, pairs, a :class:`Table`, a
        :class:`~jpas_gbm.pages.figures.style.Plate`, lines, or a heading.
    title : str
        Of facts and lines.
    """

    kind: str
    content: Any
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Parameters
    ----------
    key : str
        Its anchor.
    title : str
        Its heading.
    blocks : tuple of Block
        What it shows, in order.
    """

    key: str
    title: str
    blocks: tuple[Block, ...]

    @property
    def plates(self) -> list[Any]:
        """Its figures, in order."""
        return [block.content for block in self.blocks if block.kind == "plate"]


def blocks_of(kind: str, contents: Iterable[Any]) -> list[Block]:
    """Return a block for each content that there is.

    Parameters
    ----------
    kind : str
        Of the blocks.
    contents : iterable
        None and empty ones make no block.

    Returns
    -------
    list of Block
    """
    return [Block(kind, content) for content in contents if content]


def numbered(name: str, i: int) -> str:
    """Return a heading for one of several results: the name, and a number from the second on.

    Parameters
    ----------
    name : str
        Of the kind.
    i : int
        Place among the results, from 0.

    Returns
    -------
    str
    """
    return f"{name} {i + 1}" if i else name


def _nothing(result: Any) -> list[str]:
    return []


@dataclass(frozen=True)
class ResultKind:
    """A kind of result with a section of its own on the page.

    Parameters
    ----------
    order : int
        Place of the section among those of kinds.
    type : type
        The class of the result.
    words : str
        What it is and which verb makes it, such as ``an explanation ('jpas-gbm explain')``.
    missing : str
        What the page says where there is none: what it would tell, and how to make it.
    section : tuple of str
        Anchor and title of the section.
    blocks : callable
        ``blocks(results)`` returns what the section shows of all results of the kind.
    record : callable
        ``record(result, number)`` returns a heading and the provenance of one result.
    file : str, optional
        The file by which a folder of it is known.
    load : callable, optional
        ``load(folder)`` reads it.
    begun : (str, str), optional
        A file by which a folder is known that holds none yet, and what to say of it.
    sentences, doubts, gaps : callable
        ``(result)`` returns what the summary says of a result, what to doubt, and what it lacks.
    simulated : callable
        ``(result)`` returns something true if it says that it is of simulated data.
    """

    order: int
    type: type
    words: str
    missing: str
    section: tuple[str, str]
    blocks: Callable[[Sequence[Any]], Iterable[Block]]
    record: Callable[[Any, int], tuple[str, Provenance]]
    file: str | None = None
    load: Callable[[Path], Any] | None = None
    begun: tuple[str, str] | None = None
    sentences: Callable[[Any], list[str]] = _nothing
    doubts: Callable[[Any], list[str]] = _nothing
    gaps: Callable[[Any], list[str]] = _nothing
    simulated: Callable[[Any], object] = _nothing


_KINDS: list[ResultKind] = []


def register_kind(kind: ResultKind) -> ResultKind:
    """Let the page show a kind of result.

    Parameters
    ----------
    kind : ResultKind
        What the page needs to know of it.

    Returns
    -------
    ResultKind
    """
    _KINDS.append(kind)
    return kind


@cache
def _load_sections() -> None:
    package = importlib.import_module(__package__ or "")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_section"):
            importlib.import_module(f"{package.__name__}.{module.name}")


def result_kinds() -> list[ResultKind]:
    """Return the kinds of result with a section of their own, in the order of the page.

    Returns
    -------
    list of ResultKind
    """
    _load_sections()
    return sorted(_KINDS, key=lambda kind: kind.order)
