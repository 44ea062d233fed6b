"""The physics score: do the bands that decide hold the lines that should?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..scores.bootstrap import LEVEL
from .blocks import Block
from .lines import PHYSICS, spectral_feature

FEWEST = 10
"""With fewer rows there is no score."""


def holding(blocks: Sequence[Block], z: np.ndarray, names: Sequence[str] = PHYSICS) -> np.ndarray:
    """Return which blocks hold which lines, bool (lines, n, blocks)."""
    seen = [spectral_feature(name).observed(z) for name in names]
    return np.stack([np.stack([block.holds(wave) for block in blocks], axis=1) for wave in seen])


def strongest(sums: np.ndarray) -> np.ndarray:
    """Return the block of the largest positive attribution in each row, intp (n,); -1 where none is positive."""
    return np.where(sums.max(axis=1) > 0, sums.argmax(axis=1), -1)


def physics_score(
    sums: np.ndarray,
    blocks: Sequence[Block],
    z: np.ndarray,
    groups: np.ndarray,
    *,
    resamples: int,
    seed: int,
    names: Sequence[str] = PHYSICS,
) -> dict[str, Any] | None:
    """Return the share of rows whose strongest positive block holds a line that should matter.

    What chance would give is stated twice. Shuffled blocks: each row's strongest block is any of its
    blocks with equal odds. Shuffled redshifts: the strongest blocks are dealt to other rows, so that
    a model that always looks at the same bands gains nothing by it.

    Parameters
    ----------
    sums : array, shape (n, blocks)
        Attribution of the pair's log-odds to the blocks of the spectrum, of rows of the pair's first class
        in the redshift range.
    blocks : sequence of Block
        Those blocks.
    z : array, shape (n,)
    groups : array of int, shape (n,)
        Objects: the bootstrap draws them.
    resamples, seed : int
    names : sequence of str
        The lines.

    Returns
    -------
    dict or None
        None with fewer than ten rows. ``n``, ``score``, ``interval``, ``shuffled`` (expected share with shuffled
        blocks), ``shuffled_interval`` (of that share as measured on as many rows), ``difference``,
        ``difference_interval``, ``shuffled_redshifts`` with the same, ``by_line`` (of the rows that show the line,
        the share whose strongest block holds it, and the share by chance), ``lines``.
    """
    if len(sums) < FEWEST:
        return None
    held = holding(blocks, z, names)
    right: np.ndarray = np.logical_or.reduce(list(held))
    top = strongest(sums)
    hit = right[np.arange(len(top)), top] & (top >= 0)
    chance = right.mean(axis=1)
    deal = _dealt(right, top)
    draws = _resampled(hit, chance, right, top, groups, resamples, seed)
    return {
        "n": len(hit),
        "lines": list(names),
        "score": float(hit.mean()),
        "interval": _interval(draws[:, 0]),
        "shuffled": float(chance.mean()),
        "shuffled_interval": _interval(draws[:, 1]),
        "difference": float(hit.mean() - chance.mean()),
        "difference_interval": _interval(draws[:, 2]),
        "shuffled_redshifts": {
            "shuffled": deal,
            "difference": float(hit.mean() - deal),
            "difference_interval": _interval(draws[:, 3]),
        },
        "by_line": _by_line(held, top, names),
        "no_positive_block": float((top < 0).mean()),
    }


def _dealt(right: np.ndarray, top: np.ndarray) -> float:
    """Return the share of hits when strongest blocks are dealt to rows at random."""
    counts = np.bincount(top[top >= 0], minlength=right.shape[1])
    return float((right @ counts).mean() / len(top))


def _resampled(
    hit: np.ndarray, chance: np.ndarray, right: np.ndarray, top: np.ndarray, groups: np.ndarray, number: int, seed: int
) -> np.ndarray:
    """Return score, shuffled share, and the differences to either chance, on resamples of objects: (number, 4)."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 43]))
    ids, place = np.unique(groups, return_inverse=True)
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    draws = np.empty((number, 4))
    for i in range(number):
        rows = np.concatenate([members[j] for j in rng.integers(0, len(ids), len(ids))])
        score, by_chance = hit[rows].mean(), (rng.random(len(rows)) < chance[rows]).mean()
        dealt = _dealt(right[rows], top[rows])
        draws[i] = score, by_chance, score - chance[rows].mean(), score - dealt
    return draws


def _interval(draws: np.ndarray) -> list[float] | None:
    if len(draws) < 2:
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return [float(low), float(high)]


def _by_line(held: np.ndarray, top: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, blocks in zip(names, held, strict=True):
        shown = blocks.any(axis=1)
        hit = blocks[np.arange(len(top)), top] & (top >= 0)
        told[name] = {
            "n": int(shown.sum()),
            "share": float(hit[shown].mean()) if shown.any() else None,
            "by_chance": float(blocks[shown].mean()) if shown.any() else None,
        }
    return told
