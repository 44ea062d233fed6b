"""Probability cells: a field of millions of rows as some thousand cells of nearly equal rows."""

from __future__ import annotations

import numpy as np

_LEVELS = 400
_FEW = 20_000


def cells(p: np.ndarray, few: int = _FEW) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gather rows of nearly equal probabilities, where there are many.

    Probabilities are told apart in steps of 1/400 of their square root: where p is small, to a few
    per cent of it.

    Parameters
    ----------
    p : array, shape (n, k)
    few : int
        So many rows or fewer are their own cells.

    Returns
    -------
    mean : array of float64, shape (m, k)
        Mean probabilities of each cell.
    count : array of float64, shape (m,)
    member : array of intp, shape (n,)
        The cell of each row.
    """
    p = np.asarray(p, dtype=np.float64)
    n, k = p.shape
    if n <= few:
        return p, np.ones(n), np.arange(n)
    code = np.zeros(n, dtype=np.int64)
    for column in range(k - 1):
        code = code * (_LEVELS + 1) + np.round(_LEVELS * np.sqrt(p[:, column])).astype(np.int64)
    _, member = np.unique(code, return_inverse=True)
    member = member.ravel()
    count = np.bincount(member).astype(np.float64)
    mean = np.stack([np.bincount(member, weights=p[:, c]) / count for c in range(k)], axis=1)
    return mean, count, member
