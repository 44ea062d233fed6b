"""Splits by object, the audit that no object stands in two, and whether source and target measure alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import BundleError, ConfigError, LeakError, did_you_mean
from ..store import damage, from_plain, to_plain
from ..text import count
from .bands import AB_ZERO_POINT
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

    def __repr__(self) -> str:
        return "\n".join(self.lines())

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


def unseen_bands(source: Catalogue, target: Catalogue, target_split: np.ndarray) -> list[str]:
    """Return a sentence for each side on which a band has no flux in any row; and of the unlabelled rows of the target.

    Parameters
    ----------
    source, target, target_split : Catalogue, Catalogue, array of int, shape (n,)
        Of the same bands; which target rows have no label.

    Returns
    -------
    list of str
    """
    names, plain = np.array(source.bands.names), target_split == NO_SPLIT
    other = "what the other side shows there cannot be carried over"
    sides = [(name, ~side.observed.any(axis=0), other) for name, side in (("source", source), ("target", target))]
    told = "labelled ones have some: what is learnt from these bands is of little use there"
    sides.append(("unlabelled target", ~target.observed[plain].any(axis=0) & ~sides[-1][1], told))
    return [
        f"no {name} row has a flux in {', '.join(names[unseen])}: {why}. Check the columns of its file and its masks."
        for (name, unseen, why), rows in zip(sides, (len(source), len(target), plain.sum()), strict=True)
        if rows and unseen.any()
    ]


_ENOUGH = 30
_SURE = 5.0  # σ of a flux that is compared
_FAR = {"twins": 1.5, "magnitudes": 2.5, "errors": 10.0}
_SPREAD = 0.3
_MOST = 20_000


def unlike_fluxes(source: Catalogue, twins: Catalogue, target: Catalogue) -> list[str]:
    """Say where the fluxes of source and target seem to be of other units, or of bands in another order.

    Objects that both sides observed tell it; where there are few, magnitudes in r that both state beside their fluxes.

    Parameters
    ----------
    source, twins, target : Catalogue
        Of the same bands, fluxes in nJy; `twins` are the source's rows of target objects.

    Returns
    -------
    list of str
        Sentences for people.
    """
    order = np.argsort(target.object_id, kind="stable")
    ids = target.object_id[order]
    pairs = np.flatnonzero(np.isin(twins.object_id, ids))
    pairs = pairs[np.linspace(0, len(pairs) - 1, min(len(pairs), _MOST)).astype(int)]
    rows = order[np.searchsorted(ids, twins.object_id[pairs])]
    both = [(side.flux[at], side.flux_err[at]) for side, at in ((twins, pairs), (target, rows))]
    sure = np.logical_and.reduce([_well_measured(*each) for each in both])
    ratio, seen = _median_ratio(both[0][0], both[1][0], sure)
    errors, known = _median_ratio(both[0][1], both[1][1], (both[0][1] > 0) & (both[1][1] > 0))
    if not seen.any():
        notes = _unlike_magnitudes(source, target) if not known.any() else []
    else:
        notes = _unlike_bands(ratio[seen], target, seen, int(sure.any(axis=1).sum()))
    if known.any() and not notes and abs(far := float(np.median(errors[known]))) > np.log(_FAR["errors"]):
        notes.append(
            f"the flux errors of the source are {_times(far)} times those of the same objects in the target: are "
            "they of another unit, or relative to the flux, on one side? Check their columns."
        )
    return notes


def _well_measured(flux: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return which fluxes are positive and, where errors are known, sure."""
    with np.errstate(invalid="ignore"):
        return np.asarray((flux > 0) & ~(flux < _SURE * error))


def _median_ratio(one: np.ndarray, other: np.ndarray, use: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the median logarithm of a ratio in each band, float64 (b,), and which bands enough rows show."""
    seen = use.sum(axis=0) >= _ENOUGH
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(one.astype(np.float64)) - np.log(other)
    return np.array([np.median(logs[use[:, i], i]) if seen[i] else np.nan for i in range(len(seen))]), seen


def _times(log: float) -> str:
    """Return a ratio as people write it."""
    return f"{np.exp(log):,.0f}" if log > np.log(99.0) else f"{np.exp(log):.2g}"


def _unlike_bands(ratio: np.ndarray, target: Catalogue, seen: np.ndarray, objects: int) -> list[str]:
    """Say what the ratios of source to target in each band show: another unit, f_λ, or another order."""

    def spread(values: np.ndarray) -> float:
        return float(np.subtract(*np.percentile(values, [84, 16])) / 2)

    head = f"by {objects:,} rows of objects that both sides observed, the fluxes of the source are"
    if len(ratio) >= 3 and spread(ratio) > _SPREAD:
        names, waves = np.array(target.bands.names)[seen], np.log(target.bands.pivots[seen])
        least, most = int(ratio.argmin()), int(ratio.argmax())
        as_lambda = {side: spread(ratio + sign * 2 * waves) for side, sign in (("source", 1), ("target", -1))}
        side = min(as_lambda, key=lambda one: as_lambda[one])
        likely = (
            f"those of the {side} seem to be f_λ, read as f_ν. Check their unit"
            if as_lambda[side] < spread(ratio) / 3
            else "the bands of one side seem to stand in another order or to be others. Check their order and names"
        )
        told = f"from {_times(ratio[least])} ({names[least]}) to {_times(ratio[most])} ({names[most]})"
        return [f"{head} {told} times those of the target: {likely}."]
    level = float(np.median(ratio))
    if abs(level) <= np.log(_FAR["twins"]):
        return []
    return [
        f"{head} {_times(level)} times those of the target: another unit or zero point, or a much larger or "
        "smaller aperture, is likely. Check the units that both files state, and what their fluxes are."
    ]


def _unlike_magnitudes(source: Catalogue, target: Catalogue) -> list[str]:
    """Say where band fluxes about r and stated magnitudes differ from one side to the other, if both state any."""
    near = np.abs(source.bands.pivots - 6350.0) < 650.0
    offsets = []
    for side in (source, target) if near.any() else ():
        rows = np.linspace(0, len(side) - 1, min(len(side), _MOST)).astype(int)
        stated = np.where(np.isfinite(side.imaging_mag[rows]), side.imaging_mag[rows], side.mag[rows])
        flux, error = side.flux[rows][:, near], side.flux_err[rows][:, near]
        with np.errstate(invalid="ignore", divide="ignore"):
            mags = np.where(_well_measured(flux, error), AB_ZERO_POINT - 2.5 * np.log10(flux), np.nan) - stated[:, None]
        mags = mags[np.isfinite(mags).any(axis=1)]
        if len(mags) >= _ENOUGH:
            offsets.append(float(np.median(np.nanmedian(mags, axis=1))))
    if len(offsets) < 2 or abs(offsets[0] - offsets[1]) <= 2.5 * np.log10(_FAR["magnitudes"]):
        return []
    return [
        f"the fluxes about r are {offsets[0]:+.1f} mag off the magnitudes that stand beside them in the source and "
        f"{offsets[1]:+.1f} mag in the target (medians): a unit or zero point of one side seems to be another. Check "
        "the units that both files state, and that both magnitudes are of r."
    ]
