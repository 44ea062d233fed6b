"""Twins: source rows of objects that the target has too, which must not train."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .catalogue import Catalogue
from .crossmatch import match_ids, nearest_within, position_groups

IN_TARGET = "ISINJPAS"
"""Column by which a mock says that its object is in the target."""


@dataclass(frozen=True, eq=False)
class TwinFinder:
    """Knows the objects of the target, and finds them among source rows.

    Parameters
    ----------
    known_ids : array of int64
        Ids that must not train: of target rows, and of the whole label catalogue. Sorted, unique.
    target : Catalogue, optional
        Given where source and target share no ids: then its positions decide.
    radius : float
        Of a match by position, arcsec.
    """

    known_ids: np.ndarray
    target: Catalogue | None = None
    radius: float = 1.0

    def identify(self, source: Catalogue, ids_name_objects: bool) -> Catalogue:
        """Give source rows that stand where a target row stands the id of its object.

        Where ids are shared the source comes back as it is.

        Parameters
        ----------
        source : Catalogue
            n rows, of all files together.
        ids_name_objects : bool
            Whether the ids of the source name its objects; if not, its rows at one position become
            one object.
        """
        if self.target is None:
            return source
        if ids_name_objects:
            _, first, group = np.unique(source.object_id, return_index=True, return_inverse=True)
            first = first[group]
        else:
            first = position_groups(source.ra, source.dec, self.radius)
        ids = source.object_id[first]
        here, there = nearest_within(source.ra, source.dec, self.target.ra, self.target.dec, self.radius)
        # Rows of one object may lie on both sides of the radius: all of them are the target's.
        partner = np.full(len(source), -1, dtype=np.intp)
        partner[first[here]] = there
        partner = partner[first]
        ids[partner >= 0] = self.target.object_id[partner[partner >= 0]]
        return source.replace(object_id=ids)

    def find(self, source: Catalogue) -> dict[str, np.ndarray]:
        """Say which source rows are twins, and how that is known.

        Returns
        -------
        dict of str to array of bool, shape (n,)
            ``by_id`` or ``by_position``: the object is in the target or its label catalogue.
            ``says_so``: the row says ISINJPAS = 1, and nothing else tells.
        """
        rows, _ = match_ids(source.object_id, self.known_ids)
        known = np.zeros(len(source), dtype=bool)
        known[rows] = True
        says = np.asarray(source.extra.get(IN_TARGET, np.zeros(len(source)))) == 1
        return {"by_id" if self.target is None else "by_position": known, "says_so": says & ~known}
