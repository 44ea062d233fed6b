"""Training, validation and test, dealt by object and never by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import ConfigError, did_you_mean

SPLITS = ("train", "val", "test")
"""The splits; the code of a split is its place here."""

NO_SPLIT = -1
"""The code of rows that belong to no split: unlabelled ones."""


def check_shares(shares: Sequence[float]) -> None:
    """Check that shares of train, validation and test are three parts of a whole.

    Raises
    ------
    ConfigError
        If they are not.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or not np.isclose(sum(shares), 1.0, atol=1e-6):
        raise ConfigError(
            f"the shares of {', '.join(SPLITS)} are {tuple(shares)}: three numbers from 0 to 1 that sum to 1 are "
            "needed, such as [0.3, 0.3, 0.4]."
        )


def split_objects(object_id: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Deal objects to training, validation and test.

    The sorted unique ids are permuted by ``numpy.random.default_rng(seed)`` and cut at the rounded
    cumulated shares, so a split depends on the ids alone and not on the order of the rows.

    Parameters
    ----------
    object_id : array of int64, shape (n,)
        Rows of one id go together.
    shares : sequence of three floats
        For train, validation, test; not negative, summing to 1.
    seed : int
        Of the permutation.

    Returns
    -------
    array of int8, shape (n,)
        Codes into :data:`SPLITS`.

    Raises
    ------
    ConfigError
        If the shares are not three shares of a whole.
    """
    check_shares(shares)
    objects, row = np.unique(object_id, return_inverse=True)
    ends = np.rint(np.cumsum(shares) * len(objects)).astype(int)
    dealt = np.searchsorted(ends, np.arange(len(objects)), side="right").clip(max=len(SPLITS) - 1)
    code = np.empty(len(objects), dtype=np.int8)
    code[np.random.default_rng(seed).permutation(len(objects))] = dealt
    return code[row]


def split_codes(names: Iterable[str], allowed: Sequence[str] = SPLITS) -> list[int]:
    """Return the codes of splits named; ``unlabelled`` is -1.

    Raises
    ------
    ConfigError
        If a name is none of `allowed`.
    """
    codes = []
    for name in names:
        if name not in allowed:
            raise ConfigError(
                f"there is no split '{name}'.{did_you_mean(name, allowed)} Allowed: {', '.join(allowed)}."
            )
        codes.append(SPLITS.index(name) if name in SPLITS else NO_SPLIT)
    return codes
