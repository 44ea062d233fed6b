"""Calibrator: margins become probabilities that mean what they say, by one scaling of log-probabilities."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import BundleError, FitError
from ..options import CalibrationOptions
from ..scores.losses import log_loss, log_softmax, softmax
from .matrix import checked_labels, stratified_folds

METHODS = ("none", "temperature", "vector", "dirichlet")
"""From no correction to the most flexible one."""

_OWN = 0.01
"""Pull on a class's own scale and intercept, in units of the pull on its mixing with others."""
_WEAKEST = 1e-6
"""Least pull on those: with none, rows that are all told apart would send parameters to infinity."""
_PRIOR = 1.0
"""Weight, in rows, of the prior that scale and intercept need no correction."""
_STEPS = 60


def directions(method: str, k: int) -> np.ndarray:
    """Return how the parameters of a method fill A = [W | b]: shape (k (k + 1), m), A.ravel() = M theta."""
    full = np.eye(k * (k + 1))
    if method == "dirichlet":
        return full
    diagonal = [c * (k + 1) + c for c in range(k)]
    if method == "vector":
        return full[:, diagonal + [c * (k + 1) + k for c in range(k)]]
    return full[:, diagonal].sum(axis=1, keepdims=True)


def identity(k: int) -> np.ndarray:
    """Return [I | 0], shape (k, k + 1): no correction."""
    return np.eye(k, k + 1)


class ScalingLoss:
    """Log loss of softmax([logs, 1] A^T) plus the pull of A towards no correction.

    The pull is `strength` times the sum of squares of the off-diagonal elements of W, plus a
    hundredth of `strength` times that of W's diagonal - 1 and of b: the off-diagonal and intercept
    regularisation (ODIR) of Kull et al. (2019, NeurIPS) with the diagonal pulled as well. A class's
    own scale and prior need correcting far more often than its confusion with each other class. Scale and
    intercept also have a prior worth one row: a few rows without an error would scale without bound.

    Parameters
    ----------
    logs : array of float64, shape (n, k)
        Log-probabilities.
    labels : array of int, shape (n,)
    weight : array, shape (n,)
    strength : float
        Against a mean log loss per row.
    """

    def __init__(self, logs: np.ndarray, labels: np.ndarray, weight: np.ndarray, strength: float) -> None:
        self.L = np.column_stack([logs, np.ones(len(logs))])
        self.labels = labels
        self.share = np.asarray(weight, dtype=np.float64) / np.sum(weight)
        k = logs.shape[1]
        other = ~np.eye(k, k + 1, dtype=bool)
        other[:, k] = False
        self.pull = np.where(other, strength, max(strength * _OWN, _WEAKEST, _PRIOR / max(len(labels), 1)))
        self.rows = np.arange(len(labels))

    def _forward(self, A: np.ndarray) -> tuple[float, np.ndarray]:
        z = self.L @ A.T
        z -= z.max(axis=1, keepdims=True)
        true = z[self.rows, self.labels]
        np.exp(z, out=z)
        norm = z.sum(axis=1)
        away = A - identity(len(A))
        loss = float(self.share @ (np.log(norm) - true)) + float((self.pull * away**2).sum())
        z /= norm[:, None]
        return loss, z

    def value(self, A: np.ndarray) -> float:
        """Return the penalised loss at A, shape (k, k + 1)."""
        return self._forward(A)[0]

    def derivatives(self, A: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the penalised loss, its gradient (k (k + 1),) and its Hessian (square of that)."""
        k = len(A)
        loss, p = self._forward(A)
        residual = p.copy()
        residual[self.rows, self.labels] -= 1
        gradient = (residual * self.share[:, None]).T @ self.L + 2 * self.pull * (A - identity(k))
        hessian = np.empty((k, k + 1, k, k + 1))
        shared = p * self.share[:, None]
        for c in range(k):
            for d in range(c, k):
                curve = shared[:, c] * ((c == d) - p[:, d])
                block = (self.L * curve[:, None]).T @ self.L
                hessian[c, :, d] = block
                hessian[d, :, c] = block.T
        size = k * (k + 1)
        return loss, gradient.ravel(), hessian.reshape(size, size) + 2 * np.diag(self.pull.ravel())


def fit_scaling(
    logs: np.ndarray,
    labels: np.ndarray,
    method: str,
    strength: float,
    weight: np.ndarray,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Return A = [W | b], shape (k, k + 1), of least penalised log loss.

    Damped Newton steps: the problem is convex with at most k (k + 1) parameters, and this takes a
    tenth of the passes over the rows that L-BFGS does. scipy.optimize's trust-exact takes 0.8 to 7 times
    as long, and where it stops probabilities differ by up to 3e-7.

    Parameters
    ----------
    logs, labels, weight, strength
        As for :class:`ScalingLoss`.
    method : {"none", "temperature", "vector", "dirichlet"}
    start : array, shape (k, k + 1), optional
        A solution nearby, of the same method.
    """
    k = logs.shape[1]
    A = identity(k) if start is None else start
    if method == "none":
        return identity(k)
    # Temperature scaling treats all classes alike: the prior of the scale is all the pull it needs.
    problem = ScalingLoss(logs, labels, weight, 0.0 if method == "temperature" else strength)
    M = directions(method, k)
    for _ in range(_STEPS):
        loss, gradient, hessian = problem.derivatives(A)
        slope = M.T @ gradient
        step = np.linalg.solve(M.T @ hessian @ M, slope)
        gain = float(slope @ step)
        if gain < 1e-12:
            break
        change = (M @ step).reshape(A.shape)
        length = 1.0
        while problem.value(A - length * change) > loss - 0.25 * length * gain and length > 1e-6:
            length /= 2
        A = A - length * change
    return A


_FEWEST = {"none": 0, "temperature": 0, "vector": 10, "dirichlet": 20}
"""Labels that each class must have before a method may learn about it."""
_FEWEST_ROWS = 20


@dataclass(frozen=True, eq=False)
class Calibrator:
    """p = softmax(W log softmax(margins) + b).

    Temperature scaling (Guo et al. 2017) has W = I / T and b = 0, vector scaling a diagonal W and a
    b, Dirichlet scaling (Kull et al. 2019) a full W and b; all act on log-probabilities, so that the
    arbitrary constant of a row's margins drops out.

    Parameters
    ----------
    method : {"none", "temperature", "vector", "dirichlet"}
    W : array of float64, shape (k, k)
    b : array of float64, shape (k,)
    """

    method: str
    W: np.ndarray
    b: np.ndarray

    @classmethod
    def identity(cls, n_classes: int) -> Calibrator:
        """Return the calibrator that corrects nothing."""
        return cls("none", np.eye(n_classes), np.zeros(n_classes))

    @property
    def n_classes(self) -> int:
        """Number of classes, k."""
        return len(self.b)

    def log_odds(self, margins: np.ndarray) -> np.ndarray:
        """Return calibrated margins (n, k), whose softmax are the probabilities."""
        margins = np.asarray(margins)
        if margins.ndim != 2 or margins.shape[1] != self.n_classes:
            raise FitError(f"margins have shape {margins.shape}, the calibrator needs (n, {self.n_classes}).")
        return log_softmax(margins) @ self.W.T + self.b

    def apply(self, margins: np.ndarray) -> np.ndarray:
        """Return probabilities, float64 (n, k), rows summing to 1.

        Parameters
        ----------
        margins : array, shape (n, k)
            Of a booster, or the log of uncalibrated probabilities.
        """
        return softmax(self.log_odds(margins))

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return {"method": self.method, "W": self.W.tolist(), "b": self.b.tolist()}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Calibrator:
        """Rebuild a calibrator from :meth:`to_dict`.

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
            return cls(value["method"], W, b)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"the calibrator is damaged ({error}). Restore the model or fit again.") from error


@dataclass(frozen=True)
class TriedMethod:
    """A method and shrinkage that cross-fitting tried, and the log loss (nats) of held-out rows."""

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
        """Return a form that JSON can hold; what is not defined is left out."""
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
    methods, notes = _methods_tried(options.method, counts, len(labels) if groups is None else len(np.unique(groups)))
    report = CalibrationReport(counts.tolist(), len(labels), notes)
    if methods == ["none"]:
        return identity(k), np.exp(logs), report
    weight = np.ones(len(labels)) if weight is None else np.asarray(weight, dtype=np.float64)
    fold = stratified_folds(labels, options.folds, seed=seed, groups=groups)
    candidates: list[TriedMethod] = []
    best = (identity(k), np.exp(logs))
    near: dict[str, np.ndarray] = {}
    for method in methods:
        for strength in sorted(set(options.shrinkage), reverse=True) if method in ("vector", "dirichlet") else [0.0]:
            whole = near[method] = fit_scaling(logs, labels, method, strength, weight, near.get(method))
            p = np.empty_like(logs)
            for number in np.unique(fold):
                out = fold == number
                A = fit_scaling(logs[~out], labels[~out], method, strength, weight[~out], whole)
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


def _methods_tried(method: str, counts: np.ndarray, objects: int) -> tuple[list[str], list[str]]:
    """Return the methods that so many labels of each class allow, and notes on the others."""
    wanted = list(METHODS) if method == "auto" else [method]
    least = int(counts.min())
    if method == "none":
        return wanted, []
    if (counts > 0).sum() < 2 or objects < _FEWEST_ROWS:
        few = f"{int(counts.sum())} labels of {int((counts > 0).sum())} class(es) cannot calibrate: none is used."
        return ["none"], [few]
    kept = [name for name in wanted if least >= _FEWEST[name]]
    left = [name for name in wanted if name not in kept]
    if not left:
        return kept, []
    note = (
        f"class {int(counts.argmin())} has {least} label(s): {' and '.join(left)} scaling would need "
        f"{_FEWEST[left[0]]} of each class" + ("." if kept else "; temperature scaling is used.")
    )
    return kept or ["temperature"], [note]


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

    Methods that the rarest class has too few labels for are left out (vector scaling needs 10 of
    each class, Dirichlet scaling 20); with a class absent only temperature scaling remains, which
    treats all classes alike; with fewer than 20 labels, or one class, nothing is corrected. The
    report's notes say so.

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
