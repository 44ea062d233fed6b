"""Exact contributions of every feature to every margin, through ensembles, stages and stacks."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np

from ..boosting.backend import centred, get_backend, two_margins
from ..boosting.booster import Member, Stage, StagedBooster
from ..boosting.evaluator import forest_of
from ..boosting.kernel import compiled_loop
from ..boosting.matrix import filled
from ..boosting.treeshap import add_interactions
from ..errors import ExplanationError

Origin = Literal["whole", "mocks", "target", "direct", "stacked"]
"""Where a part of a member's margin comes from. whole: a booster of one stage. mocks, target: the first
and the later stages of a continued booster. direct, stacked: a stack's own features, and what it took
from the margins of the mock-grown booster below it."""


def tolerance(backends: Iterable[str]) -> tuple[float, bool]:
    """Return how far a margin and the sum of its contributions may differ, for members of these backends.

    Parameters
    ----------
    backends : iterable of str

    Returns
    -------
    float
        The largest that any of them allows.
    bool
        Whether it is in units of 1 + the sum of |contributions|: some trees add up in single precision.
    """
    libraries = [get_backend(name) for name in backends]
    return max(library.shap_tolerance for library in libraries), any(library.shap_relative for library in libraries)


_CANCELLING = 0.05


@dataclass(frozen=True, eq=False)
class Part:
    """Contributions of one part of one member, centred over classes.

    Parameters
    ----------
    origin : str
        As :data:`Origin`.
    values : array of float64, shape (n, k, f)
        In margin units, for the f features of the recipe.
    bias : array of float64, shape (n, k)
        What every row has.
    """

    origin: Origin
    values: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, eq=False)
class MemberParts:
    """What one member says of some rows: its parts, which sum to its margins.

    Parameters
    ----------
    parts : tuple of Part
    margins : array of float64, shape (n, k)
        Centred, as the member gives them.
    error : float
        Largest difference between margins and sums, in the units of :func:`tolerance`.
    """

    parts: tuple[Part, ...]
    margins: np.ndarray
    error: float

    @property
    def values(self) -> np.ndarray:
        """Contributions of the whole member, float64 (n, k, f)."""
        return self.parts[0].values if len(self.parts) == 1 else np.sum([part.values for part in self.parts], axis=0)

    @property
    def bias(self) -> np.ndarray:
        """Bias of the whole member, float64 (n, k)."""
        return np.sum([part.bias for part in self.parts], axis=0)


@dataclass
class TreeContributions:
    """Exact TreeSHAP contributions of the members of an ensemble.

    Path-dependent TreeSHAP (Lundberg et al. 2020) by the boosters' own code. A margin is centred over
    classes, as the ensemble does, by taking from every contribution its mean over classes. The margins
    that a stack reads are passed on to the features that made them (:func:`pass_on`). Stages that
    several members share are worked out once per batch.

    Parameters
    ----------
    members : sequence of Member
        The ensemble; its margin is the mean of theirs.
    threads : int
        Threads of the libraries.
    """

    members: Sequence[Member]
    threads: int = 1
    _marks: dict[tuple[int, int], str] = field(init=False, repr=False)
    _uses: Counter[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        named = []
        for member in self.members:
            # A stack reads what its own base says: the same trees on another base are others.
            read = "" if member.base is None else f"/{id(member.base)}"
            named += [(id(member.booster), s, mark + read) for s, mark in _tree_marks(member.booster)]
            if member.base is not None:
                named += [(id(member.base), s, mark) for s, mark in _tree_marks(member.base)]
        self._marks = {(booster, stage): mark for booster, stage, mark in named}
        self._uses = Counter(mark for _, _, mark in named)

    def batches(self, X: np.ndarray) -> Iterator[MemberParts]:
        """Give each member's contributions to the margins of some rows.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features. Memory is about 24 n k f bytes: give rows in batches.

        Yields
        ------
        MemberParts
            Of each member, in order.

        Raises
        ------
        ExplanationError
            If contributions do not sum to the margins.
        """
        batch = _Batch(self._marks, Counter(self._uses), self.threads)
        for place, member in enumerate(self.members):
            inputs = X if member.base is None else stacked_on(X, batch.margins(member.base, X))
            shares = batch.contributions(member.booster, inputs)
            if member.base is None:
                parts = _plain_parts(shares)
            else:
                below = np.sum(batch.contributions(member.base, X), axis=0)
                parts = _stacked_parts(np.sum(shares, axis=0), below)
            margins = centred(batch.margins(member.booster, inputs))
            error = _checked(parts, margins, _backends(member), member.name or f"member {place}")
            yield MemberParts(parts, margins, error)

    def differences(self, X: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return contributions to log-odds of classes that each row has of its own, and these log-odds.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.
        a, b : array of int, shape (n, q)
            Codes of the classes: the log-odds are of a against b.

        Returns
        -------
        values : array of float64, shape (n, q, f)
            Of the ensemble.
        odds : array of float64, shape (n, q)
            Differences of its margins.

        Raises
        ------
        ExplanationError
            If contributions do not sum to the differences.
        """
        batch, size = _Batch(self._marks, Counter(self._uses), self.threads), len(self.members)
        total, odds = np.zeros((*a.shape, X.shape[1])), np.zeros(a.shape)
        for place, member in enumerate(self.members):
            inputs = X if member.base is None else stacked_on(X, batch.margins(member.base, X))
            share = _summed(batch.contributions(member.booster, inputs))
            base = [] if member.base is None else batch.contributions(member.base, X)
            below = _summed(base) if base else np.empty((len(X), 0, X.shape[1] + 1))
            margins = batch.margins(member.booster, inputs)
            error, scale = np.empty(a.shape), np.empty(a.shape)
            _add_differences(share, below, margins, a, b, 1.0 / size, _CANCELLING, total, odds, error, scale)
            _refuse_misfit(error, scale, _backends(member), member.name or f"member {place}")
        return total, odds

    def interactions(self, X: np.ndarray, a: int, b: int) -> np.ndarray:
        """Return exact interaction values of features in the log-odds of class a against class b.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features. Memory is about 30 n f² bytes: give rows in batches.
        a, b : int
            Codes of the classes.

        Returns
        -------
        array of float64, shape (n, f, f)
            Symmetric; a row sums to the contribution of its feature. The diagonal is what a feature gives alone.

        Raises
        ------
        UnpackableError
            If the trees of a member are not of a kind whose splits are known.
        """
        total = np.zeros((len(X), X.shape[1], X.shape[1]))
        batch = _Batch(self._marks, Counter(self._uses), self.threads)
        for member in self.members:
            if member.base is None:
                total += batch.interactions(member.booster, X, a, b)
                continue
            below = np.sum(batch.contributions(member.base, X), axis=0)[:, :, :-1]
            found = batch.interactions(member.booster, stacked_on(X, batch.margins(member.base, X)), a, b)
            for _ in range(2):
                # First what a feature and a margin give together, then what a margin gives together with a feature.
                found = found[..., : X.shape[1]] + pass_on(found[..., X.shape[1] :], below)
                found = found.transpose(0, 2, 1)
            total += found
        return total / len(self.members)


@dataclass
class _Batch:
    """Contributions and margins of a batch of rows, each stage's worked out once."""

    marks: dict[tuple[int, int], str]
    left: Counter[str]
    threads: int
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    known: dict[str, np.ndarray] = field(default_factory=dict)
    pairs: dict[str, np.ndarray] = field(default_factory=dict)

    def contributions(self, booster: StagedBooster, inputs: np.ndarray) -> list[np.ndarray]:
        """Return centred contributions of each stage of a booster, (n, k, f + 1); asked for once by each user."""
        found = []
        for stage in range(len(booster.stage_rounds)):
            mark = self.marks[id(booster), stage]
            self.left[mark] -= 1
            share = self.kept.pop(mark, None)
            if share is None:
                share = booster.contributions(inputs, stages=[stage], threads=self.threads)
                _centre(share)
            if self.left[mark]:
                self.kept[mark] = share
            found.append(share)
        return found

    def margins(self, booster: StagedBooster, inputs: np.ndarray) -> np.ndarray:
        """Return the margins of a booster, (n, k)."""
        total: np.ndarray | None = None
        for stage in range(len(booster.stage_rounds)):
            mark = self.marks[id(booster), stage]
            if mark not in self.known:
                self.known[mark] = booster.margins(inputs, stages=[stage], threads=self.threads)
            total = self.known[mark] if total is None else total + self.known[mark]
        assert total is not None
        return total

    def interactions(self, booster: StagedBooster, inputs: np.ndarray, a: int, b: int) -> np.ndarray:
        """Return interactions (n, f, f) of the features that a booster reads, in its margin of a less that of b."""
        total = np.zeros((len(inputs), inputs.shape[1], inputs.shape[1]))
        for number, stage in enumerate(booster.stages):
            mark = self.marks[id(booster), number]
            if stage.rounds and mark not in self.pairs:
                forest, own = forest_of(booster.library, stage), np.zeros_like(total)
                margins = np.eye(booster.n_classes) if forest.outputs > 1 else two_margins(np.ones(1))
                rows = filled(inputs, stage.fill, booster.feature_names)[0]
                add_interactions(forest, rows, margins[:, a] - margins[:, b], own)
                self.pairs[mark] = own
            total += self.pairs[mark] if stage.rounds else 0.0
        return total


@compiled_loop
def _centre(share):  # type: ignore[no-untyped-def]
    """Take from contributions (n, k, f) their means over classes, in place."""
    n, classes, features = share.shape
    mean = np.empty(features)
    for i in range(n):
        mean[:] = 0.0
        for c in range(classes):
            for f in range(features):
                mean[f] += share[i, c, f]
        for c in range(classes):
            for f in range(features):
                share[i, c, f] -= mean[f] / classes


def stacked_on(X: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Return what a stack sees: features with the centred margins of the booster below behind them, (n, f + k).

    Parameters
    ----------
    X : array of float32, shape (n, f)
    margins : array of float64, shape (n, k)

    Returns
    -------
    array of float32, shape (n, f + k)
    """
    return np.hstack([X, centred(margins).astype(np.float32)])


def _plain_parts(shares: list[np.ndarray]) -> tuple[Part, ...]:
    if len(shares) == 1:
        return (Part("whole", shares[0][:, :, :-1], shares[0][:, :, -1]),)
    later = shares[1] if len(shares) == 2 else np.sum(shares[1:], axis=0)
    named: list[tuple[Origin, np.ndarray]] = [("mocks", shares[0]), ("target", later)]
    return tuple(Part(origin, share[:, :, :-1], share[:, :, -1]) for origin, share in named)


def _stacked_parts(share: np.ndarray, below: np.ndarray) -> tuple[Part, ...]:
    f = below.shape[2] - 1
    passed = pass_on(share[:, :, f:-1], below[:, :, :-1])
    return (
        Part("direct", share[:, :, :f], share[:, :, -1]),
        Part("stacked", passed, np.zeros(share.shape[:2])),
    )


def pass_on(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Pass contributions of margins on to the features that made these margins.

    A margin m = bias + sum of c_i gives feature i the weight

        w_i = (D c_i + λ A |c_i|) / (D² + λ A²),    D = sum of c_i,  A = sum of |c_i|,  λ = 0.05,

    which sums to 1. Where contributions agree this is c_i / D, the chain rule of DeepLIFT (Shrikumar et
    al. 2017); where they cancel, and D says nothing of who made the margin, it goes over into |c_i| / A.
    No weight is ever larger than about 2.8, however small D.

    Parameters
    ----------
    upper : array, shape (n, k, m)
        Contributions of m margins, as features of the upper booster, to its k margins.
    lower : array, shape (n, m, f)
        Contributions of f features to each of the m margins.

    Returns
    -------
    array of float64, shape (n, k, f)
        Over the last axis it sums to the sum of `upper`.
    """
    size = np.abs(lower)
    total = size.sum(axis=2, keepdims=True)
    net = lower.sum(axis=2, keepdims=True)
    scale = net**2 + _CANCELLING * total**2
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = (net * lower + _CANCELLING * total * size) / scale
    # A lower booster without trees made nothing of any feature: all share alike.
    weights = np.where(scale > 0, weights, 1.0 / lower.shape[2])
    return upper @ weights


@compiled_loop
def _add_differences(share, below, margins, a, b, factor, cancelling, total, odds, error, scale):  # type: ignore[no-untyped-def]
    """Add to `total` (n, q, f) and `odds` (n, q) what a member says of class a against class b (n, q), times `factor`.

    share (n, k, f + m + 1) holds its contributions, below (n, m, f + 1) those to the m margins that it reads, centred:
    they are passed on as :func:`pass_on` does. `error` and `scale` (n, q) are filled: how far the sum is from the
    margins' difference, and 1 + the sum of |contributions|.
    """
    n, questions, features = total.shape
    read = below.shape[1]
    whole, size, slope = np.empty(read), np.empty(read), np.empty(read)
    for i in range(n):
        for m in range(read):
            net, mass = 0.0, 0.0
            for f in range(features):
                net += below[i, m, f]
                mass += abs(below[i, m, f])
            spread = net * net + cancelling * mass * mass
            # A lower booster without trees made nothing of any feature: all share alike.
            whole[m] = 0.0 if spread > 0 else 1.0 / features
            slope[m], size[m] = (net / spread, cancelling * mass / spread) if spread > 0 else (0.0, 0.0)
        for q in range(questions):
            one, two, mine = share[i, a[i, q]], share[i, b[i, q]], total[i, q]
            given = one[features + read] - two[features + read]
            mass = 1.0 + abs(given)
            for f in range(features):
                value = one[f] - two[f]
                for m in range(read):
                    c = below[i, m, f]
                    value += (one[features + m] - two[features + m]) * (slope[m] * c + size[m] * abs(c) + whole[m])
                mine[f] += factor * value
                given += value
                mass += abs(value)
            difference = margins[i, a[i, q]] - margins[i, b[i, q]]
            odds[i, q] += factor * difference
            error[i, q], scale[i, q] = abs(given - difference), mass


def _summed(shares: list[np.ndarray]) -> np.ndarray:
    return shares[0] if len(shares) == 1 else np.sum(shares, axis=0)


def _backends(member: Member) -> set[str]:
    return {member.booster.backend} | ({member.base.backend} if member.base else set())


def _checked(parts: tuple[Part, ...], margins: np.ndarray, backends: set[str], name: str) -> float:
    total = np.sum([part.values.sum(axis=2) + part.bias for part in parts], axis=0)
    scale = 1 + np.sum([np.abs(part.values).sum(axis=2) + np.abs(part.bias) for part in parts], axis=0)
    return _refuse_misfit(np.abs(total - margins), scale, backends, name)


def _refuse_misfit(error: np.ndarray, scale: np.ndarray, backends: set[str], name: str) -> float:
    """Return the largest misfit of contributions (n, c), in the units of :func:`tolerance`; refuse one too large."""
    limit, relative = tolerance(backends)
    error = error / scale if relative else error
    worst = float(error.max(initial=0.0))
    if not worst <= limit:
        raise ExplanationError(
            f"the contributions of {name} ({' and '.join(sorted(backends))}) miss its margins by {worst:.3g} in row "
            f"{int(error.max(axis=1).argmax())} of the batch; {limit:g} is allowed. The library's contributions are "
            "not exact for these trees: check its version against the one in the model's card."
        )
    return worst


_MARKS: WeakKeyDictionary[object, str] = WeakKeyDictionary()


def _tree_marks(booster: StagedBooster) -> list[tuple[int, str]]:
    """Return for each stage what is the same for stages that hold the same trees, loaded apart or not."""
    for stage in booster.stages:
        if stage not in _MARKS:
            _MARKS[stage] = _digest(booster, stage)
    return [(place, _MARKS[stage]) for place, stage in enumerate(booster.stages)]


def _digest(booster: StagedBooster, stage: Stage) -> str:
    """Return a checksum of the trees of a stage."""
    if not stage.rounds:
        return f"{booster.backend}/none/{stage.intercept.tolist()}"
    digest = hashlib.sha256(np.ascontiguousarray(stage.intercept).tobytes() + stage.fill.tobytes())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trees"
        booster.library.write_trees(stage.trees, path)
        digest.update(path.read_bytes())
    return digest.hexdigest()
