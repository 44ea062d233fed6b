"""Member: one booster of an ensemble, alone or on the margins of another.

HeldOut: the labelled rows that trained no tree, with the probabilities that they got by cross-fitting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import BundleError
from .backend import centred
from .booster import StagedBooster
from .evaluator import LazyEvaluator, Reader
from .matrix import as_matrix, check_names


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a candidate list is calibrated on.

    Parameters
    ----------
    p : array of float64, shape (n, k)
        Calibrated probabilities, each row's by a calibrator that did not see its object.
    label : array of int8, shape (n,)
        Class codes.
    object_id : array of int64, shape (n,)
        The object of each row: the unit of bootstraps.
    mag : array of float32, shape (n,)
        Magnitude for limits and bins; NaN where unknown.
    domain : {"target", "source"}
        Whether the rows are of the sky or of the mocks.
    """

    p: np.ndarray
    label: np.ndarray
    object_id: np.ndarray
    mag: np.ndarray
    domain: str = "target"

    def __len__(self) -> int:
        return len(self.label)

    @property
    def n_classes(self) -> int:
        """Number of classes, k."""
        return self.p.shape[1]

    def counts(self) -> np.ndarray:
        """Return how many rows each class has.

        Returns
        -------
        array of int, shape (k,)
        """
        return np.bincount(self.label, minlength=self.n_classes)

    def take(self, rows: np.ndarray) -> HeldOut:
        """Return some of the rows.

        Parameters
        ----------
        rows : array of bool or int
            A mask or indices.

        Returns
        -------
        HeldOut
        """
        return HeldOut(self.p[rows], self.label[rows], self.object_id[rows], self.mag[rows], self.domain)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return a form that ``numpy.savez`` can hold.

        Returns
        -------
        dict of str to array
        """
        return {
            "p": self.p,
            "label": self.label,
            "object_id": self.object_id,
            "mag": self.mag,
            "domain": np.array(self.domain),
        }

    @classmethod
    def from_arrays(cls, value: dict[str, np.ndarray]) -> HeldOut:
        """Rebuild from :meth:`to_arrays`.

        Parameters
        ----------
        value : dict of str to array

        Returns
        -------
        HeldOut

        Raises
        ------
        BundleError
            If arrays are missing or do not belong together.
        """
        try:
            made = cls(value["p"], value["label"], value["object_id"], value["mag"], str(value["domain"]))
        except KeyError as error:
            raise BundleError(f"the held-out rows lack {error}. Restore the model or fit again.") from error
        n = len(made.label)
        if made.p.ndim != 2 or any(len(part) != n for part in (made.p, made.object_id, made.mag)):
            raise BundleError("the arrays of the held-out rows do not belong together. Restore the model or fit again.")
        return made


@dataclass(frozen=True, eq=False)
class Member:
    """One model of the ensemble.

    Parameters
    ----------
    kind : {"plain", "stack"}
        plain: the booster sees the features. stack: it also sees the centred margins of `base`.
    booster : StagedBooster
        The trees; a continued booster has two stages.
    base : StagedBooster, optional
        The mock-grown booster below a stack.
    name : str
        What it is, in words.
    """

    kind: Literal["plain", "stack"]
    booster: StagedBooster
    base: StagedBooster | None = None
    name: str = ""

    def inputs(self, X: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return what the booster sees.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.
        threads : int

        Returns
        -------
        array of float32, shape (n, f) or (n, f + k)
        """
        if self.base is None:
            return X
        return stack_inputs(X, self.base, threads)

    def margins(self, X: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return centred margins.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.
        threads : int

        Returns
        -------
        array of float64, shape (n, k)
        """
        return centred(self.booster.margins(self.inputs(X, threads), threads=threads))

    def misfits(self, n_classes: int, n_features: int) -> Iterator[str]:
        """Yield what of the member does not fit together.

        Parameters
        ----------
        n_classes, n_features : int
            Classes k and features f of the model.

        Yields
        ------
        str
        """
        if (self.kind == "stack") != (self.base is not None):
            yield f"its {self.kind} member '{self.name}' {'lacks' if self.base is None else 'has'} a base"
        inputs = n_features if self.base is None else n_features + n_classes
        for booster, wanted in ((self.booster, inputs), (self.base, n_features)):
            if booster is None or (booster.n_classes, len(booster.feature_names)) == (n_classes, wanted):
                continue
            yield (
                f"a booster of '{self.name}' has {booster.n_classes} classes and {len(booster.feature_names)} "
                f"features, not {n_classes} and {wanted}"
            )


def stack_inputs(X: np.ndarray, base: StagedBooster, threads: int = 1) -> np.ndarray:
    """Return features with the centred margins of a booster behind them.

    Parameters
    ----------
    X : array of float32, shape (n, f)
        Features.
    base : StagedBooster
        Of k classes.
    threads : int

    Returns
    -------
    array of float32, shape (n, f + k)
    """
    return np.hstack([X, centred(base.margins(X, threads=threads)).astype(np.float32)])


class Ensemble:
    """The margins of members on the same rows; what they share is made once.

    Parameters
    ----------
    members : sequence of Member
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)
        self._lazy = LazyEvaluator()
        self._places: list[int] = []

    def _readers(self) -> list[Reader]:
        """Return what an evaluator reads, and note which place is whose member's."""
        readers: list[Reader] = []
        known: dict[tuple[int, int | None], int] = {}

        def place(booster: StagedBooster, base: int | None = None) -> int:
            if (id(booster), base) not in known:
                known[id(booster), base] = len(readers)
                readers.append(booster.reader(base))
            return known[id(booster), base]

        self._places = [
            place(member.booster, None if member.base is None else place(member.base)) for member in self.members
        ]
        return readers

    def margins(self, X: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the centred margins of every member.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.
        threads : int

        Returns
        -------
        array of float64, shape (m, n, k)

        Raises
        ------
        FeatureMismatch
            If the features are not those of training, or one is infinite.
        """
        evaluator = self._lazy.get(self._readers, len(X))
        if evaluator is None:
            return np.stack([member.margins(X, threads) for member in self.members])
        matrix = as_matrix(X)
        first = self.members[0].base or self.members[0].booster
        check_names(None, matrix.shape[1], first.feature_names)
        found = evaluator.margins(matrix, threads=threads)
        return np.stack([centred(found[place]) for place in self._places])
