"""Scaling of log-probabilities: one convex problem of few parameters, solved by Newton steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..run import Later

if TYPE_CHECKING:
    from scipy import special
else:
    special = Later("scipy.special")

METHODS = ("none", "temperature", "offsets", "vector", "dirichlet")
"""From no correction to the most flexible one."""

_OWN = 0.01
"""Pull on a class's own scale and intercept, in units of the pull on its mixing with others."""
_WEAKEST = 1e-6
"""Least pull on those: with none, rows that are all told apart would send parameters to infinity."""
_STEPS = 60


def directions(method: str, k: int) -> np.ndarray:
    """Return how the parameters of a method fill A = [W | b].

    Parameters
    ----------
    method : {"temperature", "offsets", "vector", "dirichlet"}
    k : int
        Number of classes.

    Returns
    -------
    array, shape (k (k + 1), m)
        M of A.ravel() = M theta, theta of shape (m,).
    """
    full = np.eye(k * (k + 1))
    if method == "dirichlet":
        return full
    diagonal = [c * (k + 1) + c for c in range(k)]
    intercepts = [c * (k + 1) + k for c in range(k)]
    if method == "vector":
        return full[:, diagonal + intercepts]
    scale = full[:, diagonal].sum(axis=1, keepdims=True)
    return scale if method == "temperature" else np.hstack([scale, full[:, intercepts]])


def identity(k: int) -> np.ndarray:
    """Return [I | 0]: no correction.

    Parameters
    ----------
    k : int
        Number of classes.

    Returns
    -------
    array, shape (k, k + 1)
    """
    return np.eye(k, k + 1)


class ScalingLoss:
    """Log loss of softmax([logs, 1] A^T) plus the pull of A towards no correction.

    The pull is `strength` times the sum of squares of the off-diagonal elements of W, plus a
    hundredth of `strength` times that of W's diagonal - 1 and of b: the off-diagonal and intercept
    regularisation (ODIR) of Kull et al. (2019, NeurIPS) with the diagonal pulled as well. A class's
    own scale and prior need correcting far more often than its confusion with each other class. Scale and
    intercept also have a prior worth some rows: a few rows without an error would scale without bound.

    Parameters
    ----------
    logs : array of float64, shape (n, k)
        Log-probabilities.
    labels : array of int, shape (n,)
    weight : array, shape (n,)
    strength : float
        Against a mean log loss per row.
    prior : float
        Weight of that prior, rows.
    """

    def __init__(
        self, logs: np.ndarray, labels: np.ndarray, weight: np.ndarray, strength: float, prior: float = 1.0
    ) -> None:
        self.L = np.column_stack([logs, np.ones(len(logs))])
        self.labels = labels
        self.share = np.asarray(weight, dtype=np.float64) / np.sum(weight)
        k = logs.shape[1]
        other = ~np.eye(k, k + 1, dtype=bool)
        other[:, k] = False
        self.pull = np.where(other, strength, max(strength * _OWN, _WEAKEST, prior / max(len(labels), 1)))
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
        """Return the penalised loss at A, shape (k, k + 1).

        Parameters
        ----------
        A : array, shape (k, k + 1)

        Returns
        -------
        float
            Penalised mean log loss, nats.
        """
        return self._forward(A)[0]

    def derivatives(self, A: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the penalised loss with its first and second derivatives.

        Parameters
        ----------
        A : array, shape (k, k + 1)

        Returns
        -------
        loss : float
        gradient : array, shape (k (k + 1),)
        hessian : array, shape (k (k + 1), k (k + 1))
        """
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
    prior: float = 1.0,
) -> np.ndarray:
    """Return A = [W | b], shape (k, k + 1), of least penalised log loss.

    Damped Newton steps: the problem is convex with at most k (k + 1) parameters, and this takes a
    tenth of the passes over the rows that L-BFGS does. scipy.optimize's trust-exact takes 0.8 to 7 times
    as long, and where it stops probabilities differ by up to 3e-7.

    Parameters
    ----------
    logs, labels
        As for :class:`ScalingLoss`.
    method : {"none", "temperature", "offsets", "vector", "dirichlet"}
    strength, weight
        As for :class:`ScalingLoss`.
    start : array, shape (k, k + 1), optional
        A solution nearby, of the same method.
    prior : float
        As for :class:`ScalingLoss`.

    Returns
    -------
    array, shape (k, k + 1)
    """
    k = logs.shape[1]
    A = identity(k) if start is None else start
    if method == "none":
        return identity(k)
    # Temperature scaling treats all classes alike: the prior of the scale is all the pull it needs.
    problem = ScalingLoss(logs, labels, weight, 0.0 if method == "temperature" else strength, prior)
    return newton(problem, directions(method, k), A)


def newton(problem: ScalingLoss, M: np.ndarray, A: np.ndarray, polish: bool = False) -> np.ndarray:
    """Return A of least penalised loss, by damped Newton steps.

    Parameters
    ----------
    problem : ScalingLoss
    M : array, shape (k (k + 1), m)
        How m parameters fill A: A.ravel() moves along its columns.
    A : array, shape (k, k + 1)
        Where to begin.
    polish : bool
        Whether to take one more step where the loss would gain less than 1e-12.

    Returns
    -------
    array of float64, shape (k, k + 1)
    """
    for _ in range(_STEPS):
        loss, gradient, hessian = problem.derivatives(A)
        slope = M.T @ gradient
        step = np.linalg.solve(M.T @ hessian @ M, slope)
        gain = float(slope @ step)
        change = (M @ step).reshape(A.shape)
        if gain < 1e-12:
            return A - change if polish else A
        length = 1.0
        while problem.value(A - length * change) > loss - 0.25 * length * gain and length > 1e-6:
            length /= 2
        A = A - length * change
    return A


_MIX_STEPS = 2000


def em_shares(p: np.ndarray, old: np.ndarray, count: np.ndarray | None = None) -> np.ndarray:
    """Return the class shares under which probabilities calibrated for `old` are likeliest.

    Saerens, Latinne and Decaestecker (2002): expectation maximisation on p * new / old, whose
    likelihood has one maximum.

    Parameters
    ----------
    p : array, shape (n, k)
        Probabilities of the field, calibrated for the mix `old`.
    old : array, shape (k,)
        Positive.
    count : array, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    array of float64, shape (k,)
    """
    count = np.ones(len(p)) if count is None else count
    if not count.any():  # a draw of a field of a few rows may be empty: nothing says that the mix is another
        return np.array(old / old.sum(), dtype=np.float64)
    density = p / old
    new = np.array(old / old.sum(), dtype=np.float64)
    for _ in range(_MIX_STEPS):
        joint = density @ new
        weight = count / np.maximum(joint, 1e-300)
        step = new * (weight @ density)
        step /= step.sum()
        moved = np.abs(step - new).max()
        new = step
        if moved < 1e-9:
            break
    return new


_LEAST = 0.02
_WIDTH = np.array([0.7, 0.25, 0.5])
_MOST_STEPS = 30


@dataclass(frozen=True, eq=False)
class NearLabels:
    """What labelled rows say of probabilities like theirs: P = s expit(logit p + a + b logit p + c (mag - centre)).

    A calibration is fitted to all rows, of which hardly any are near the threshold of a list, and few of these are
    labelled. Here a, b and c are fitted to the rows of p >= 0.02, with normal priors about 0 of widths 0.7, 0.25 and
    0.5 per magnitude. Where labels are few the priors keep their doubt, also at magnitudes that no label has, where a
    bootstrap would show none: each fit is to a bootstrap draw of the labels and about a draw of the prior
    (randomised maximum a posteriori; Bardsley et al. 2014, SIAM J. Sci. Comput. 36, A1895). No probability makes
    surer than the members that were labelled: 1 - s is as large as a rate that was never seen in so many (Jeffreys).

    Parameters
    ----------
    hit : array of bool, shape (n,)
        Which labelled rows are of the class.
    mag : array, shape (n,)
        Their magnitudes.
    centre : float
        Magnitude about which c turns; rows without magnitude are taken to have it.
    """

    hit: np.ndarray
    mag: np.ndarray
    centre: float

    def corrected(
        self, ours: np.ndarray, weight: np.ndarray, p: np.ndarray, mag: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return probabilities as a draw of a, b, c and s has them.

        Parameters
        ----------
        ours, weight : array, shape (n,)
            Probabilities of the labelled rows, and how much each counts.
        p, mag : array, shape (m,)
            Probabilities and magnitudes to correct.
        rng : Generator

        Returns
        -------
        array of float64, shape (m,)
        """
        prior, sure = rng.normal(0, _WIDTH), rng.beta(self.hit.sum() + 0.5, 0.5)
        rows = (ours >= _LEAST) & (weight > 0)
        hit, w = self.hit[rows], weight[rows]
        x, start = self._terms(ours[rows], self.mag[rows])
        # The rows count for as many as they are worth, (Σ w)² / Σ w² (Kish).
        w = w * (w.sum() / max(float(w @ w), 1e-300))
        found, precision = prior, 1 / _WIDTH**2
        for _ in range(_MOST_STEPS):
            q = special.expit(start + x @ found)
            slope = x.T @ (w * (q - hit)) + precision * (found - prior)
            step = np.linalg.solve((x.T * (w * q * (1 - q))) @ x + np.diag(precision), slope)
            far = np.abs(step).max()
            found = found - step / max(1.0, far)
            if far < 1e-6:
                break
        x, start = self._terms(p, mag)
        return np.where(p >= _LEAST, sure * special.expit(start + x @ found), p)

    def _terms(self, p: np.ndarray, mag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what a, b and c multiply (n, 3), and the log-odds (n,)."""
        odds = special.logit(np.clip(p, 1e-9, 1 - 1e-9))
        away = np.where(np.isfinite(mag), np.asarray(mag, dtype=np.float64) - self.centre, 0.0)
        return np.column_stack([np.ones(len(p)), odds, away]), odds
