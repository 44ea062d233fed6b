"""Section: a part of the page, made of blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Block:
    """A piece of a section.

    Parameters
    ----------
    kind : {"text", "list", "facts", "table", "plate", "lines", "heading"}
    content : object
        A sentence, sentences, pairs, a :class:`Table`, a :class:`Plate`, lines, or a heading.
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
    blocks : tuple of Block
    """

    key: str
    title: str
    blocks: tuple[Block, ...]
