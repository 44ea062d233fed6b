"""Calibrator: margins become probabilities that mean what they say, by one scaling of log-probabilities. HeldOut: the
labelled rows that trained no tree, with the probabilities that they got by cross-fitting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import BundleError, FitError
from ..options import CalibrationOptions
from ..scores.losses import log_loss, log_softmax, softmax
from ..text import count
from .matrix import checked_labels, stratified_folds
from .scaling import METHODS, fit_scaling, identity

_FEWEST = {"none": 0, "temperature": 0, "offsets": 3, "vector": 10, "dirichlet": 20}
"""Labels that each class must have before a method may learn about it."""
_FEWEST_ROWS = 20
_STRONG = 10.0
"""Weight of the prior, in rows, from which on scales and offsets are known before labels speak."""
_FEWEST_HELD = {"none": 0, "temperature": 0, "offsets": 0, "vector": 50, "dirichlet": 100}
"""The same under such a prior: a class without labels keeps its offset, and what is known is not undone by few."""


@dataclass(frozen=True, eq=False)
class Calibrator:
    """p = softmax(W log softmax(margins) + b).

    Temperature scaling (Guo et al. 2017) has W = I / T and b = 0, offsets one T and a b (class shares that few
    labels tell), vector scaling a diagonal W and a b, Dirichlet scaling (Kull et al. 2019) a full W and b; all act on
    log-probabilities, so that the arbitrary constant of a row's margins drops out.

    Parameters
    ----------
    method : {"none", "temperature", "offsets", "vector", "dirichlet"}
    W : array of float64, shape (k, k)
    b : array of float64, shape (k,)
    base : Calibrator, optional
        What margins go through first: labels correct what was known without them.
    """

    method: str
    W: np.ndarray
    b: np.ndarray
    base: Calibrator | None = None

    @classmethod
    def identity(cls, n_classes: int) -> Calibrator:
        """Return the calibrator that corrects nothing.

        Parameters
        ----------
        n_classes : int

        Returns
        -------
        Calibrator
        """
        return cls("none", np.eye(n_classes), np.zeros(n_classes))

    @property
    def n_classes(self) -> int:
        """Number of classes, k."""
        return len(self.b)

    def log_odds(self, margins: np.ndarray) -> np.ndarray:
        """Return calibrated margins, whose softmax are the probabilities.

        Parameters
        ----------
        margins : array, shape (n, k)
            Of a booster, or the log of uncalibrated probabilities.

        Returns
        -------
        array of float64, shape (n, k)

        Raises
        ------
        FitError
            If there are not k columns.
        """
        margins = np.asarray(margins)
        if margins.ndim != 2 or margins.shape[1] != self.n_classes:
            raise FitError(f"margins have shape {margins.shape}, the calibrator needs (n, {self.n_classes}).")
        return log_softmax(margins if self.base is None else self.base.log_odds(margins)) @ self.W.T + self.b

    def apply(self, margins: np.ndarray) -> np.ndarray:
        """Return probabilities, rows summing to 1.

        Parameters
        ----------
        margins : array, shape (n, k)
            Of a booster, or the log of uncalibrated probabilities.

        Returns
        -------
        array of float64, shape (n, k)
        """
        return softmax(self.log_odds(margins))

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold.

        Returns
        -------
        dict
        """
        base = {} if self.base is None else {"base": self.base.to_dict()}
        return {"method": self.method, "W": self.W.tolist(), "b": self.b.tolist(), **base}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Calibrator:
        """Rebuild a calibrator from :meth:`to_dict`.

        Parameters
        ----------
        value : dict

        Returns
        -------
        Calibrator

        Raises
        ------
        BundleError
            If it is not what :meth:`to_dict` gives.
        """
        try:
            W = np.array(value["W"], dtype=np.float64)
            b = np.array(value["b"], dtype=np.float64)
            if value["method"] not in METHODS or W.shape != (len(b), len(b)):
                raise ValueError(f"method {value['method']!r}, W of shape {W.shape}, b of shape {b.shape}")
            base = None if value.get("base") is None else cls.from_dict(value["base"])
            if base is not None and (base.n_classes != len(b) or not np.isfinite([*base.W.flat, *base.b]).all()):
                raise ValueError(f"a base for {base.n_classes} classes, not {len(b)}, or that is not finite")
            return cls(value["method"], W, b, base)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"the calibrator is damaged ({error}). Restore the model or fit again.") from error


@dataclass(frozen=True)
class TriedMethod:
    """A method and shrinkage that cross-fitting tried, and the log loss (nats) of held-out rows.

    Parameters
    ----------
    method : str
        Name of the method.
    shrinkage : float
        Strength of its penalty.
    log_loss : float
        Nats, of held-out rows.
    """

    method: str
    shrinkage: float
    log_loss: float


@dataclass(frozen=True)
class CalibrationReport:
    """How a calibrator was chosen.

    Parameters
    ----------
    counts : list of int
        Labels of each class, k.
    rows : int
        Number of labels.
    notes : list of str
        What few labels forbade.
    method, shrinkage
        What was chosen.
    log_loss : float or None
        Cross-fitted log loss (nats) of the choice; None if nothing was fitted.
    candidates : list of TriedMethod
    folds : int
        Folds of the choice; 0 if nothing was fitted.
    log_loss_uncalibrated : float or None
        Log loss of the same rows without correction.
    """

    counts: list[int]
    rows: int
    notes: list[str]
    method: str = "none"
    shrinkage: float = 0.0
    log_loss: float | None = None
    candidates: list[TriedMethod] = field(default_factory=list)
    folds: int = 0
    log_loss_uncalibrated: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold; what is not defined is left out.

        Returns
        -------
        dict
        """
        return {name: value for name, value in asdict(self).items() if value is not None}


def _crossfit(
    margins: np.ndarray,
    labels: np.ndarray,
    options: CalibrationOptions,
    groups: np.ndarray | None,
    seed: int,
    weight: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, CalibrationReport]:
    """Return the best correction [W | b], each row's held-out probabilities (n, k), and the report."""
    logs, labels = _checked(margins, labels)
    k = logs.shape[1]
    counts = np.bincount(labels, minlength=k)
    objects = len(labels) if groups is None else len(np.unique(groups))
    methods, notes = _methods_tried(options, counts, objects)
    report = CalibrationReport(counts.tolist(), len(labels), notes)
    if methods == ["none"]:
        return identity(k), np.exp(logs), report
    weight = np.ones(len(labels)) if weight is None else np.asarray(weight, dtype=np.float64)
    fold = stratified_folds(labels, options.folds, seed=seed, groups=groups)
    candidates: list[TriedMethod] = []
    best = (identity(k), np.exp(logs))
    near: dict[str, np.ndarray] = {}
    for method in methods:
        for strength in (
            sorted(set(options.shrinkage), reverse=True) if method not in ("none", "temperature") else [0.0]
        ):
            start, prior = near.get(method), options.prior_rows
            whole = near[method] = fit_scaling(logs, labels, method, strength, weight, start, prior)
            p = np.empty_like(logs)
            for number in np.unique(fold):
                out = fold == number
                A = fit_scaling(logs[~out], labels[~out], method, strength, weight[~out], whole, prior)
                p[out] = Calibrator(method, A[:, :-1], A[:, -1]).apply(logs[out])
            tried = TriedMethod(method, float(strength), log_loss(p, labels, weight))
            if all(tried.log_loss < other.log_loss for other in candidates):
                best, chosen = (whole, p), tried
            candidates.append(tried)
    return *best, replace(
        report,
        **asdict(chosen),
        candidates=candidates,
        folds=int(fold.max()) + 1,
        log_loss_uncalibrated=log_loss(np.exp(logs), labels, weight),
    )


def _methods_tried(options: CalibrationOptions, counts: np.ndarray, objects: int) -> tuple[list[str], list[str]]:
    """Return the methods that so many labels of each class allow, and notes on the others."""
    method, needed = options.method, _FEWEST_HELD if options.prior_rows >= _STRONG else _FEWEST
    wanted: list[str] = list(METHODS) if method == "auto" else [method]
    least = int(counts.min())
    if method == "none":
        return wanted, []
    if (counts > 0).sum() < 2 or objects < _FEWEST_ROWS:
        classes = count(int((counts > 0).sum()), "class", "classes")
        few = f"{count(int(counts.sum()), 'label')} of {classes} cannot calibrate: none is used."
        return ["none"], [few]
    kept = [name for name in wanted if least >= needed[name]]
    left = [name for name in wanted if name not in kept]
    if not left:
        return kept, []
    # In place of one that is asked for and not allowed stands the most flexible one below it.
    below = [name for name in METHODS[1 : METHODS.index(left[0])] if least >= needed[name]][-1]
    note = (
        f"class {int(counts.argmin())} has {count(least, 'label')}: {' and '.join(left)} scaling would need "
        f"{needed[left[0]]} of each class" + ("." if kept else f"; {below} scaling is used.")
    )
    return kept or [below], [note]


def _checked(margins: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log-probabilities and class codes, or say what is wrong with them."""
    margins = np.asarray(margins, dtype=np.float64)
    if margins.ndim != 2 or not np.isfinite(margins).all():
        raise FitError("some margins are not finite, or are no (rows, classes): they cannot be calibrated.")
    labels = checked_labels(labels, *margins.shape)
    return log_softmax(margins) if len(margins) else margins, labels


def fit_calibrator(
    margins: np.ndarray,
    labels: np.ndarray,
    options: CalibrationOptions | None = None,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    weight: np.ndarray | None = None,
) -> tuple[Calibrator, CalibrationReport]:
    """Fit a calibrator on validation rows, its method and shrinkage chosen by cross-fitted log loss.

    Methods that the rarest class has too few labels for are left out (one temperature with an offset
    of each class needs 3 of each, vector scaling 10, Dirichlet scaling 20); with a class absent only
    temperature scaling remains, which treats all classes alike; with fewer than 20 labels, or one
    class, nothing is corrected. The report's notes say so.

    Parameters
    ----------
    margins : array, shape (n, k)
        Of rows that the booster was not trained on.
    labels : array of int, shape (n,)
        Class codes; classes may be absent.
    options : CalibrationOptions, optional
        Method, strengths tried (see :class:`ScalingLoss`) and folds of the choice, stratified by class.
    groups : array of int, shape (n,), optional
        Rows of one object stay in one fold.
    seed : int
        Seed of the folds.
    weight : array, shape (n,), optional

    Returns
    -------
    Calibrator
    CalibrationReport

    Raises
    ------
    FitError
        If shapes or labels are wrong.
    """
    A, _, report = _crossfit(margins, labels, options or CalibrationOptions(), groups, seed, weight)
    return Calibrator(report.method, A[:, :-1], A[:, -1]), report


def crossfit_probabilities(
    margins: np.ndarray,
    labels: np.ndarray,
    options: CalibrationOptions | None = None,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Return validation probabilities, each row's by a calibrator that did not see its object.

    Parameters
    ----------
    margins, labels, options, groups, seed, weight
        As for :func:`fit_calibrator`; under ``auto`` the method is the one that it chooses by these
        same probabilities.

    Returns
    -------
    array of float64, shape (n, k)
        What candidates are compared by and thresholds tuned on.

    Raises
    ------
    FitError
        If shapes or labels are wrong.
    """
    return _crossfit(margins, labels, options or CalibrationOptions(), groups, seed, weight)[1]


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

    def misfits(self, n_classes: int) -> Iterator[str]:
        """Yield what of the rows is not sound, whoever wrote them.

        Parameters
        ----------
        n_classes : int
            Classes k of the model.

        Yields
        ------
        str
        """
        if self.n_classes != n_classes:
            yield f"its held-out rows have probabilities of {self.n_classes} classes, not {n_classes}"
        # NaN is caught too: it is not close to anything.
        elif (self.p < 0).any() or not np.allclose(self.p.sum(axis=1), 1, atol=1e-4):
            yield "its held-out rows have probabilities that do not sum to 1"
        if self.label.dtype.kind not in "iu" or not ((self.label >= 0) & (self.label < n_classes)).all():
            yield "its held-out rows have labels of classes that there are not"
        if self.object_id.dtype.kind not in "iu" or self.mag.dtype.kind != "f" or np.isinf(self.mag).any():
            yield "its held-out rows have wrong ids or magnitudes"

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
        n = made.label.size
        if made.p.ndim != 2 or any(part.shape != (n,) for part in (made.p[:, 0], made.label, made.object_id, made.mag)):
            raise BundleError("the arrays of the held-out rows do not belong together. Restore the model or fit again.")
        return made
