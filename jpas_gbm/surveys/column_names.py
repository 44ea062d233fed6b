"""Names of columns, however they are spelt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from ..errors import CatalogueError, did_you_mean


def repeated_names(names: Sequence[str]) -> frozenset[str]:
    """Return the names that stand more than once.

    Parameters
    ----------
    names : sequence of str
        Column names of a file.

    Returns
    -------
    frozenset of str
        Empty where each stands once.
    """
    return frozenset(name for name, count in Counter(names).items() if count > 1)


@lru_cache(maxsize=1 << 14)
def canonical(name: str) -> str:
    """Return a column name without prefix and case: ``minijpas.tile_id`` becomes ``TILE_ID``.

    Parameters
    ----------
    name : str
        As a file spells it.

    Returns
    -------
    str
        In capitals.
    """
    return name.rsplit(".", 1)[-1].strip().strip('"').upper()


class ColumnNames:
    """Finds columns by any of their spellings.

    Parameters
    ----------
    names : sequence of str
        As the file spells them.
    place : str
        The table, for messages.
    """

    def __init__(self, names: Sequence[str], place: str) -> None:
        self.names = tuple(names)
        self.place = place
        self._exact = frozenset(self.names)
        self._canonical: dict[str, list[str]] = {}
        for name in self.names:
            self._canonical.setdefault(canonical(name), []).append(name)

    def find(self, spellings: Sequence[str]) -> str | None:
        """Return the file's name of the first spelling that it has, or None.

        A name spelt exactly is preferred to one that differs in case or prefix.

        Parameters
        ----------
        spellings : sequence of str
            The preferred first.

        Returns
        -------
        str or None
            As the file spells it.

        Raises
        ------
        CatalogueError
            If two columns differ in nothing but case or prefix.
        """
        for spelling in spellings:
            if spelling in self._exact:
                return spelling
            found = self._canonical.get(canonical(spelling), [])
            if len(found) > 1:
                raise CatalogueError(
                    f"{self.place}: columns {' and '.join(found)} could both be '{spelling}'. Rename or drop one."
                )
            if found:
                return found[0]
        return None

    def nearest(self, name: str) -> str:
        """Return a hint at a column of nearly that name, or an empty string.

        Parameters
        ----------
        name : str
            What was looked for.

        Returns
        -------
        str
            One sentence, with a blank in front.
        """
        return did_you_mean(name, self.names)
