"""What the mocks taught and what the sky taught, band by band."""

from __future__ import annotations

from typing import Any

import numpy as np

from .attributions import Attributions
from .class_means import class_means

SPLITS = {
    "continued": (
        ("mocks", "target"),
        "trees grown on mocks against trees grown on labelled target rows, in the members of continued boosting",
    ),
    "stacked": (
        ("stacked", "direct"),
        "what the stacked members took from the margins of the mock-grown trees below them against what they took "
        "from the features themselves",
    ),
}
"""For each way of telling mocks and sky apart: origins of the two parts (mocks', sky's), and what they are."""


def taught(told: Attributions, y: np.ndarray, resamples: int, seed: int) -> dict[str, Any]:
    """Return mean |pair attribution| of each band from the mocks' part and from the sky's.

    Contributions of the first trees and of the later ones add up, so that the two parts are exact.

    Parameters
    ----------
    told : Attributions
    y : array of int, shape (n,)
        Class that each row counts as.
    resamples, seed : int

    Returns
    -------
    dict
        ``continued`` and ``stacked``: ``defined``, and ``why`` not or, for ``mocks`` and ``sky``: ``mean_abs``,
        ``interval``, ``mean`` (signed, by class) of each band, ``own`` (the same mean |.| of own columns),
        ``members``, ``share_of_sky``.
    """
    found = {}
    for name, (origins, words) in SPLITS.items():
        if not set(origins) <= set(told.parts):
            why = f"no member of this model ({_names(told)}) has these two parts: {words}."
            found[name] = {"defined": False, "why": why}
            continue
        parts = {
            part: _part(told, origin, y, resamples, seed)
            for part, origin in zip(("mocks", "sky"), origins, strict=True)
        }
        total = {part: float(np.sum(one["mean_abs"]) + np.sum(one["own"])) for part, one in parts.items()}
        found[name] = {
            "defined": True,
            "words": words,
            "members": told.part_members[origins[0]],
            "of": len(told.fitted.members),
            "share_of_sky": total["sky"] / max(sum(total.values()), 1e-300),
            **parts,
        }
    return found


def _names(told: Attributions) -> str:
    return ", ".join(sorted({member.name or member.kind for member in told.fitted.members}))


def _part(told: Attributions, origin: str, y: np.ndarray, resamples: int, seed: int) -> dict[str, Any]:
    bands, own = told.parts[origin], told.own_parts[origin]
    codes, groups = (told.pair.a, told.pair.b), told.rows.object_id
    means = class_means(np.abs(bands), y, codes, groups, resamples, seed)
    return {
        "origin": origin,
        "mean_abs": means.mean,
        "interval": means.interval(),
        "mean": {
            name: class_means(bands, y, [code], groups, 0, seed).mean
            for name, code in zip(told.pair.names, codes, strict=True)
        },
        "own": class_means(np.abs(own), y, codes, groups, 0, seed).mean,
    }
