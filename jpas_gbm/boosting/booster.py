"""StagedBooster: trees grown in stages, whose margins and contributions add up. Members and ensembles of boosters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat, NonNegativeInt

from ..atomic import atomic_folder
from ..errors import BundleError, FitError
from ..options import BACKENDS
from ..sealed import check_checksums
from ..store import damage, dump_json, from_plain, read_json, sha256
from .backend import Backend, centred, get_backend
from .evaluator import LazyEvaluator, Reader
from .matrix import UnseenMissingWarning, as_matrix, check_names, filled, given_names
from .soundness import TreeShape

FORMAT = 1
"""Version of the folder that :meth:`StagedBooster.save` writes. Raise it when a reader of the old
format would misread the new one, and keep reading the old."""


@dataclass(frozen=True, eq=False)
class Stage:
    """The trees that one training added.

    Parameters
    ----------
    rounds : int
        Boosting rounds kept; 0 if none paid on validation.
    intercept : array of float64, shape (k,)
        Margin of every row before the first tree: the log of class shares, or 0 when continuing.
    fill : array of float32, shape (f,)
        What stands for NaN in features that this training never missed; NaN elsewhere.
    trees : object or None
        The library's own booster; None if there are no rounds.
    """

    rounds: int
    intercept: np.ndarray
    fill: np.ndarray
    trees: Any = field(repr=False)


@dataclass(frozen=True, eq=False)
class StagedBooster:
    """Trees grown in one or more stages; each stage starts from the margins of those before it.

    Parameters
    ----------
    library : Backend
        The library that grew the trees and reads them.
    n_classes : int
        Number of classes, k.
    feature_names : tuple of str
        Names of the f columns that the trees read by position.
    stages : tuple of Stage
        In the order grown.
    history : dict
        How each stage was trained (losses, rounds tried), as plain values for a model card.
    """

    library: Backend = field(repr=False)
    n_classes: int
    feature_names: tuple[str, ...] = field(repr=False)
    stages: tuple[Stage, ...] = field(repr=False)
    history: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def backend(self) -> str:
        """Name of the library."""
        return self.library.name

    @property
    def stage_rounds(self) -> tuple[int, ...]:
        """Rounds of each stage, such as (mock rounds, target rounds)."""
        return tuple(stage.rounds for stage in self.stages)

    def _numbers(self, stages: Sequence[int] | int | None) -> list[int]:
        if stages is None:
            return list(range(len(self.stages)))
        wanted = [stages] if isinstance(stages, int) else list(stages)
        wrong = [number for number in wanted if not 0 <= number < len(self.stages)]
        if wrong:
            raise FitError(
                f"the booster has {len(self.stages)} stage(s), numbered from 0; there is no stage {wrong[0]}."
            )
        return sorted(set(wanted))

    def _chosen(self, stages: Sequence[int] | int | None) -> list[Stage]:
        return [self.stages[number] for number in self._numbers(stages)]

    def reader(self, base: int | None = None) -> Reader:
        """Return what an evaluator takes of the booster.

        Parameters
        ----------
        base : int, optional
            Place of the reader whose margins it takes behind the features.

        Returns
        -------
        Reader
        """
        return Reader(self.library, self.n_classes, self.feature_names, self.stages, base)

    @cached_property
    def _lazy(self) -> LazyEvaluator:
        return LazyEvaluator()

    def matrix(self, X: Any) -> np.ndarray:
        """Return features checked against this booster's.

        Parameters
        ----------
        X : array or FeatureMatrix, shape (n, f)

        Returns
        -------
        array of float32, shape (n, f)

        Raises
        ------
        FeatureMismatch
            If their number, names or order differ, or a value is infinite.
        """
        matrix = as_matrix(X)
        check_names(given_names(X), matrix.shape[1], self.feature_names)
        return matrix

    def _rows_for(self, stage: Stage, matrix: np.ndarray) -> np.ndarray:
        rows, message = filled(matrix, stage.fill, self.feature_names)
        if message:
            warnings.warn(message, UnseenMissingWarning, stacklevel=3)
        return rows

    def margins(self, X: Any, stages: Sequence[int] | int | None = None, threads: int = 1) -> np.ndarray:
        """Return margins: the log of unnormalised probabilities, before calibration.

        Parameters
        ----------
        X : array or FeatureMatrix, shape (n, f)
            Missing is NaN. A matrix that carries names has them checked.
        stages : sequence of int, optional
            Only the part that these stages added; parts sum to the whole.
        threads : int

        Returns
        -------
        array of float64, shape (n, k)
            For two classes (0, m).

        Raises
        ------
        FeatureMismatch
            If the features are not those of training.
        """
        matrix, only = self.matrix(X), self._numbers(stages)
        evaluator = self._lazy.get(lambda: [self.reader()], len(matrix))
        if evaluator is not None:
            return evaluator.margins(matrix, only, threads)[0]
        return self.reader().library_margins(matrix, only, threads)

    def contributions(self, X: Any, stages: Sequence[int] | int | None = None, threads: int = 1) -> np.ndarray:
        """Return exact TreeSHAP contributions in margin units (Lundberg et al. 2020, path-dependent).

        Parameters
        ----------
        X, stages, threads
            As for :meth:`margins`.

        Returns
        -------
        array of float64, shape (n, k, f + 1)
            The last column is the bias. Over the last axis they sum to :meth:`margins` of the same
            stages: to 1e-6 for LightGBM, to 1e-4 (1 + sum of |contributions|) for XGBoost, whose
            trees are float32. The memory is 8 n k (f + 1) bytes: give rows in chunks.

        Raises
        ------
        FeatureMismatch
            If the features are not those of training.
        """
        matrix = self.matrix(X)
        total: np.ndarray | None = None
        bias = np.zeros(self.n_classes)
        evaluator = self._lazy.for_contributions(lambda: [self.reader()], len(matrix))
        for number in self._numbers(stages):
            stage = self.stages[number]
            if stage.rounds and len(matrix):
                part = None if evaluator is None else evaluator.contributions(matrix, number, threads)
                if part is None:
                    rows = self._rows_for(stage, matrix)
                    part = self.library.raw_contributions(stage.trees, rows, self.n_classes, threads)
                if total is None:
                    total = part
                else:
                    total += part
            bias += stage.intercept
        if total is None:
            total = np.zeros((len(matrix), self.n_classes, matrix.shape[1] + 1))
        total[:, :, -1] += bias
        return total

    def gain(self, stages: Sequence[int] | int | None = None) -> np.ndarray:
        """Return what splits on each feature gained in training.

        Parameters
        ----------
        stages : sequence of int or int, optional
            Only these stages.

        Returns
        -------
        array of float64, shape (f,)
            In the library's unit (the loss that was saved; per cent for CatBoost).
        """
        total = np.zeros(len(self.feature_names))
        for stage in self._chosen(stages):
            if stage.rounds:
                total += self.library.gain(stage.trees, len(total))
        return total

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a folder: ``booster.json`` and one native model file per stage that has trees.

        Reading it in another process gives the same margins to the last bit.

        Parameters
        ----------
        path : str or Path
            The folder.
        overwrite : bool
            Replace what stands there.

        Raises
        ------
        OutputError
            If something stands there and may not be replaced, or it cannot be written.
        """
        path = Path(path)
        empty = path.is_dir() and not any(path.iterdir())
        with atomic_folder(path, overwrite=overwrite or empty) as folder:
            checksums = {}
            described = []
            for number, stage in enumerate(self.stages):
                name = f"stage{number}{self.library.suffix}" if stage.rounds else None
                if name:
                    self.library.write_trees(stage.trees, folder / name)
                    checksums[name] = sha256(folder / name)
                entry = {"rounds": stage.rounds, "file": name, "intercept": stage.intercept, "fill": stage.fill}
                described.append(entry)
            head = {
                "format": FORMAT,
                "backend": self.backend,
                "n_classes": self.n_classes,
                "feature_names": list(self.feature_names),
                "stages": described,
                "history": list(self.history),
                "checksums": checksums,
            }
            (folder / "booster.json").write_text(dump_json(head), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> StagedBooster:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : str or Path
            The folder.

        Returns
        -------
        StagedBooster

        Raises
        ------
        BundleError
            If files are missing or damaged, or of an unknown backend or a later format.
        ConfigError
            If the backend's library is not installed.
        """
        path = Path(path)
        head = read_json(path / "booster.json")
        try:
            if head["format"] > FORMAT:
                raise BundleError(
                    f"{path}: booster format {head['format']}, this version reads up to {FORMAT}. "
                    "Install a newer jpas-gbm."
                )
            told = from_plain(_BoosterHead, head)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{path}: booster.json is not what jpas-gbm writes ({damage(error)}). Fit again."
            ) from error
        if not BACKENDS.knows(told.backend):
            known = ", ".join(BACKENDS.names())
            raise BundleError(f"{path}: booster.json names the backend {told.backend!r}. Known: {known}.")
        check_checksums(path, told.checksums)
        library = get_backend(told.backend)
        stages = tuple(_read_stage(library, path, told, stage) for stage in told.stages)
        return cls(library, told.n_classes, told.feature_names, stages, told.history)


@dataclass(frozen=True)
class _StageHead:
    """What ``booster.json`` says of a :class:`Stage`."""

    rounds: NonNegativeInt
    file: str | None
    intercept: tuple[FiniteFloat, ...]
    fill: tuple[FiniteFloat | None, ...]


@dataclass(frozen=True)
class _BoosterHead:
    """What ``booster.json`` says."""

    backend: str
    n_classes: Annotated[int, Field(ge=2)]
    feature_names: Annotated[tuple[str, ...], Field(min_length=1)]
    stages: Annotated[tuple[_StageHead, ...], Field(min_length=1)]
    history: tuple[dict[str, Any], ...]
    checksums: dict[str, str]


def _read_stage(library: Backend, folder: Path, head: _BoosterHead, stage: _StageHead) -> Stage:
    shape = TreeShape(head.n_classes, len(head.feature_names), stage.rounds)
    known = (len(stage.intercept), len(stage.fill)) == (shape.n_classes, shape.n_features)
    if not known or (stage.rounds > 0) != (stage.file in head.checksums):
        raise BundleError(
            f"{folder}: booster.json is not what jpas-gbm writes (a stage of {stage.rounds} rounds in the file "
            f"{stage.file}, with {len(stage.intercept)} intercepts and {len(stage.fill)} fills). Fit again."
        )
    fill = np.array([np.nan if value is None else value for value in stage.fill], dtype=np.float32)
    trees = library.read_trees(folder / str(stage.file), shape) if stage.rounds else None
    return Stage(stage.rounds, np.array(stage.intercept, dtype=np.float64), fill, trees)


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
