"""Splits by object, and the audit that no object stands in two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import BundleError, ConfigError, LeakError, did_you_mean
from ..store import damage, from_plain, to_plain
from ..text import count
from .catalogue import Catalogue

SPLITS = ("train", "val", "test")
"""The splits; the code of a split is its place here."""

NO_SPLIT = -1
"""The code of rows that belong to no split: unlabelled ones."""


def check_shares(shares: Sequence[float]) -> None:
    """Check that shares of train, validation and test are three parts of a whole.

    Parameters
    ----------
    shares : sequence of float
        To be checked.

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

    Parameters
    ----------
    names : iterable of str
        Of splits.
    allowed : sequence of str
        Names that may stand there.

    Returns
    -------
    list of int
        Codes into :data:`SPLITS`.

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


@dataclass(frozen=True)
class LeakCheck:
    """One question of the audit.

    Parameters
    ----------
    name : str
        Short name, such as ``source_in_target``.
    sentence : str
        What was looked for.
    count : int
        Objects found; 0 is clean.
    allowed : bool
        Whether the options ask for it all the same.
    examples : tuple of int
        Some of the object ids found.
    """

    name: str
    sentence: str
    count: int
    allowed: bool = False
    examples: tuple[int, ...] = ()


@dataclass(frozen=True)
class LeakAudit:
    """What was checked before a data set was let out, and what was found.

    Parameters
    ----------
    checks : tuple of LeakCheck
        One for each question.
    """

    checks: tuple[LeakCheck, ...] = ()

    @property
    def leaks(self) -> tuple[LeakCheck, ...]:
        """The checks that found something that the options do not allow."""
        return tuple(check for check in self.checks if check.count and not check.allowed)

    @property
    def clean(self) -> bool:
        """Whether no object stands on two sides, other than those allowed."""
        return not self.leaks

    def require_clean(self) -> None:
        """Raise if an object stands on two sides.

        Raises
        ------
        LeakError
            Naming each check that failed, and some of the objects.
        """
        if self.clean:
            return
        found = "; ".join(
            f"{check.count:,} {check.sentence} (object {', '.join(map(str, check.examples))})" for check in self.leaks
        )
        raise LeakError(
            f"objects stand on two sides: {found}. Scores would be measured on what was trained on. Split by object "
            "id, and leave out of the mocks every object of the label catalogue."
        )

    def lines(self) -> list[str]:
        """Return the audit as lines for a person.

        Returns
        -------
        list of str
        """
        state = "clean" if self.clean else "LEAKING"
        notes = [
            f"  {check.count:,} {check.sentence}{', as the options allow' if check.allowed else ''}"
            for check in self.checks
            if check.count
        ]
        return [f"Leak audit: {state} ({count(len(self.checks), 'check')})", *notes]

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold: the checks by name, ids as text.

        Returns
        -------
        dict
        """
        plain = {check.name: to_plain(check) | {"examples": list(map(str, check.examples))} for check in self.checks}
        return {name: {part: value for part, value in check.items() if part != "name"} for name, check in plain.items()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> LeakAudit:
        """Rebuild an audit from :meth:`to_dict`.

        Parameters
        ----------
        value : mapping

        Returns
        -------
        LeakAudit

        Raises
        ------
        BundleError
            If the value is not what :meth:`to_dict` makes.
        """
        try:
            return from_plain(cls, {"checks": [{"name": name, **check} for name, check in value.items()]})
        except (TypeError, AttributeError, ValueError) as error:
            raise BundleError(f"the leak audit is damaged ({damage(error)}): prepare the data set again.") from error


def leak_check(name: str, sentence: str, ids: np.ndarray, allowed: bool = False) -> LeakCheck:
    """Return a check with the number of different ids found, and some of them.

    Parameters
    ----------
    name, sentence : str
        What is checked, in a word and in a sentence.
    ids : array of int, shape (n,)
        Those found; may repeat.
    allowed : bool
        Whether they are no fault.

    Returns
    -------
    LeakCheck
    """
    found = np.unique(ids)
    return LeakCheck(name, sentence, len(found), allowed, tuple(int(i) for i in found[:3]))


def in_several_splits(object_id: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Return the ids whose rows are not all of one split, unlabelled rows (-1) left aside.

    Parameters
    ----------
    object_id : array of int64, shape (n,)
        The object of each row.
    split : array of int8, shape (n,)
        Codes of splits.

    Returns
    -------
    array of int64, shape (k,)
        Ascending.
    """
    chosen = split >= 0
    ids, codes = object_id[chosen], split[chosen]
    seen = [np.unique(ids[codes == code]) for code in range(len(SPLITS))]
    pairs = [np.intersect1d(seen[i], seen[j], assume_unique=True) for i in range(len(seen)) for j in range(i)]
    return np.unique(np.concatenate(pairs))


def audit_leaks(
    source: Catalogue,
    source_split: np.ndarray,
    target: Catalogue,
    target_split: np.ndarray,
    *,
    known_ids: np.ndarray | None = None,
    near_target: Iterable[int] | np.ndarray | None = None,
    allow_twins: bool = False,
) -> LeakAudit:
    """Look for objects on two sides, from the finished arrays and not from how they were made.

    Parameters
    ----------
    source, source_split : Catalogue, array of int8, shape (n,)
        Rows and codes of their splits; -1 for unlabelled rows.
    target, target_split : Catalogue, array of int8, shape (m,)
        The same of the target, with object ids of the same id space.
    known_ids : array of int64, optional
        Every id of the label catalogue, also of rows whose label was rejected.
    near_target : array of int64, optional
        Ids of source rows found at the position of a target row, where ids are not shared.
    allow_twins : bool
        Whether the options ask for mocks of target objects in training.

    Returns
    -------
    LeakAudit
    """
    checks = [
        leak_check(
            "target_splits",
            "target objects in more than one split",
            in_several_splits(target.object_id, target_split),
        ),
        leak_check(
            "source_splits",
            "source objects in more than one split",
            in_several_splits(source.object_id, source_split),
        ),
        leak_check(
            "source_in_target",
            "source objects that are target objects",
            np.intersect1d(source.object_id, target.object_id),
            allow_twins,
        ),
    ]
    if known_ids is not None:
        named = np.intersect1d(source.object_id, known_ids)
        checks.append(leak_check("source_in_labels", "source objects named in the label catalogue", named, allow_twins))
    if "ISINJPAS" in source.extra:
        says = source.object_id[np.asarray(source.extra["ISINJPAS"]) == 1]
        checks.append(leak_check("source_says_so", "source objects that say ISINJPAS = 1", says, allow_twins))
    if near_target is not None:
        near = np.asarray(near_target, dtype=np.int64)
        checks.append(
            leak_check("source_at_target", "source objects at the position of a target object", near, allow_twins)
        )
    return LeakAudit(tuple(checks))


Unit = Literal["fluxes", "rows"]
