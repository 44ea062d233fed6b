"""Bias-corrected temperature: the last small correction before a class mix is estimated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..boosting.calibration import softmax

_FLOOR = 1e-15
_STEPS = 50
_PULL = 1e-3


@dataclass(frozen=True, eq=False)
class BiasCorrection:
    """p' = softmax(a log p + b), Alexandari, Kundaje and Shrikumar (2020)'s bias-corrected temperature.

    Parameters
    ----------
    a : float
        Inverse temperature.
    b : array of float64, shape (k,)
        Bias of each class.
    """

    a: float
    b: np.ndarray

    @classmethod
    def identity(cls, k: int) -> BiasCorrection:
        """Return the correction that corrects nothing."""
        return cls(1.0, np.zeros(k))

    def logits(self, logs: np.ndarray, ratio: np.ndarray | None = None) -> np.ndarray:
        """Return corrected margins (n, k) of log-probabilities, for a mix changed by `ratio`, (k,) or (n, k)."""
        raised = self.a * logs + self.b
        return raised if ratio is None else raised + np.log(np.maximum(ratio, 1e-300))

    def apply(self, p: np.ndarray, ratio: np.ndarray | None = None) -> np.ndarray:
        """Return corrected probabilities, rows summing to 1, for a mix changed by `ratio` = new / old shares."""
        return softmax(self.logits(log_p(p), ratio))


def log_p(p: np.ndarray) -> np.ndarray:
    """Return log p floored at log 1e-15, float64."""
    return np.log(np.maximum(np.asarray(p, dtype=np.float64), _FLOOR))


def fit_bias(
    logs: np.ndarray, label: np.ndarray, weight: np.ndarray | None = None, start: BiasCorrection | None = None
) -> BiasCorrection:
    """Fit a bias-corrected temperature by maximum likelihood (Newton's method).

    At the maximum the mean corrected probability of a class is its share of the rows: what estimating
    a mix by EM needs.

    Parameters
    ----------
    logs : array, shape (n, k)
        Log-probabilities of labelled rows that neither trees nor calibrator saw.
    label : array of int, shape (n,)
    weight : array, shape (n,), optional
        Weights of the rows; those of a bootstrap, say.
    start : BiasCorrection, optional
        Where to begin.
    """
    n, k = logs.shape
    weight = np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64)
    used = weight > 0
    logs, label, weight = logs[used], label[used], weight[used]
    start = start or BiasCorrection.identity(k)
    # Only differences of biases count: that of the commonest class stays.
    free = np.delete(np.arange(k), np.bincount(label, weights=weight, minlength=k).argmax())
    theta = np.concatenate([[start.a], (start.b - np.delete(start.b, free))[free]])
    ideal = np.concatenate([[1.0], np.zeros(k - 1)])
    hit = np.zeros_like(logs)
    hit[np.arange(len(label)), label] = 1

    def loss(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        bias = np.zeros(k)
        bias[free] = at[1:]
        z = at[0] * logs + bias
        p = softmax(z)
        top = z.max(axis=1)
        value = weight @ (top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - z[np.arange(len(label)), label])
        gap = weight[:, None] * (p - hit)
        gradient = np.concatenate([[(gap * logs).sum()], gap.sum(axis=0)[free]])
        mean = (p * logs).sum(axis=1, keepdims=True)
        cross = weight[:, None] * p * (logs - mean)
        curvature = np.empty((k, k))
        curvature[0, 0] = (cross * logs).sum()
        curvature[0, 1:] = curvature[1:, 0] = cross.sum(axis=0)[free]
        curvature[1:, 1:] = (np.diag(weight @ p) - (weight[:, None] * p).T @ p)[np.ix_(free, free)]
        pull = at - ideal
        return value + 0.5 * _PULL * pull @ pull, gradient + _PULL * pull, curvature + _PULL * np.eye(k)

    value, gradient, curvature = loss(theta)
    for _ in range(_STEPS):
        step = np.linalg.solve(curvature, gradient)
        scale = 1.0
        while (new := loss(theta - scale * step))[0] > value + 1e-12 * abs(value) and scale > 1e-4:
            scale /= 2
        theta, (value, gradient, curvature) = theta - scale * step, new
        if np.abs(scale * step).max() < 1e-7:
            break
    bias = np.zeros(k)
    bias[free] = theta[1:]
    return BiasCorrection(float(theta[0]), bias)
