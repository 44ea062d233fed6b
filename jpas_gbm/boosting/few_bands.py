"""Calibration by what was observed of a row, as held-out rows like it teach: few bands, and how bright it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..options import CalibrationOptions
from ..scores.losses import log_p, softmax
from .calibration import crossfit_probabilities, fit_calibrator
from .scaling import fit_scaling

SHARES = (1 / 11, 2 / 11, 4 / 11, 8 / 11)
"""Shares of the bands that are left for the calibration: 5, 10, 20 and 40 of 55."""
_WHOLE = 0.9
"""Share of the usual number of bands from which on nothing is corrected."""
_MOST_ROWS = 500
"""Rows of each share at most."""


@dataclass(frozen=True, eq=False)
class FewBands:
    """Calibration by the number of observed bands.

    Probabilities p of a row with a share s of the usual number of bands become softmax(W log p + b); [W | b] is
    interpolated linearly in s between the shares that it was fitted at, from the shares of the classes at none to no
    correction at nine tenths.

    Parameters
    ----------
    usual : int
        Number of observed bands of the middle labelled row.
    share : array of float64, shape (l,)
        Shares of that number, rising from 0.
    A : array of float64, shape (l, k, k + 1)
        [W | b] at each.
    """

    usual: int
    share: np.ndarray
    A: np.ndarray

    @property
    def prior(self) -> np.ndarray:
        """Shares of the classes where nothing was observed, float64 (k,)."""
        return softmax(self.A[:1, :, -1])[0]

    def apply(self, p: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Return probabilities that are as sure as the bands allow.

        Parameters
        ----------
        p : array of float64, shape (..., n, k)
            Calibrated probabilities.
        observed : array of int, shape (n,)
            Observed bands of each row.

        Returns
        -------
        array of float64, shape (..., n, k)
            Rows sum to 1; those with nine tenths of the usual bands are as they were.
        """
        found = np.array(p, dtype=np.float64)
        for count in np.unique(observed[observed < _WHOLE * self.usual]):
            rows, share = observed == count, count / self.usual
            at = int(np.searchsorted(self.share, share, side="right")) - 1
            part = (share - self.share[at]) / (self.share[at + 1] - self.share[at])
            A = (1 - part) * self.A[at] + part * self.A[at + 1]
            found[..., rows, :] = _mapped(found[..., rows, :], A)
        return found

    def misfits(self, n_classes: int) -> Iterator[str]:
        """Yield what is wrong with it.

        Parameters
        ----------
        n_classes : int
            Of the model.

        Yields
        ------
        str
        """
        k, levels = n_classes, len(self.share)
        if self.usual < 1 or levels < 2 or self.A.shape != (levels, k, k + 1) or not np.isfinite(self.A).all():
            yield f"its calibration by number of bands is of shape {self.A.shape} for {k} classes, or is not finite"
        elif self.share[0] != 0 or self.share[-1] != _WHOLE or not (np.diff(self.share) > 0).all():
            yield f"its calibration by number of bands stands at the shares {self.share.tolist()}"

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the parts by name, in a form that ``numpy.savez`` can hold.

        Returns
        -------
        dict of str to array
        """
        return {"usual": np.array(self.usual), "share": self.share, "A": self.A}

    @classmethod
    def from_arrays(cls, value: dict[str, np.ndarray]) -> FewBands:
        """Rebuild from :meth:`to_arrays`.

        Parameters
        ----------
        value : dict of str to array

        Returns
        -------
        FewBands
        """
        return cls(int(value["usual"]), *(np.asarray(value[name], dtype=np.float64) for name in ("share", "A")))


def thinned(flux: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return fluxes of which a share of the observed bands is left, chosen at random.

    Parameters
    ----------
    flux : array of float32, shape (n, b)
        NaN where not observed.
    share : float
        Of the observed bands of each row; one is left at least.
    rng : numpy.random.Generator

    Returns
    -------
    array of float32, shape (n, b)
    """
    order = np.where(np.isnan(flux), np.inf, rng.random(flux.shape)).argsort(axis=1).argsort(axis=1)
    kept = np.maximum(np.rint(share * np.isfinite(flux).sum(axis=1)), 1)
    return np.where(order < kept[:, None], flux, np.float32(np.nan))


def learn_few_bands(
    probabilities: Callable[[np.ndarray, np.ndarray], np.ndarray], flux: np.ndarray, y: np.ndarray, seed: int
) -> FewBands | None:
    """Learn from labelled rows of which bands are taken away.

    Parameters
    ----------
    probabilities : callable
        Gives the probabilities of some of the rows (places, fluxes), as the model calibrates rows with all bands.
    flux : array of float32, shape (n, b)
        Of rows that no tree saw.
    y : array of int, shape (n,)
        Their classes.
    seed : int

    Returns
    -------
    FewBands or None
        None where there are too few rows to tell. Each share is judged by 500 rows at most, of rare classes as many as
        of common ones, weighed back to what they are.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(np.isfinite(flux).any(axis=1))
    if len(rows) < 20:
        return None
    counts = np.bincount(y[rows])
    k, found = 0, []
    for share in SHARES:
        drawn = _drawn(rows, y[rows], counts, rng)
        p = probabilities(drawn, thinned(flux[drawn], share, rng))
        k = p.shape[1]
        weight = (counts / np.maximum(np.bincount(y[drawn], minlength=len(counts)), 1))[y[drawn]]
        found.append(fit_scaling(log_p(p), y[drawn], "offsets", _SHRINKAGE, weight))
    shares = np.bincount(y[rows], minlength=k) + 1.0
    nothing = np.column_stack([np.zeros((k, k)), np.log(shares / shares.sum())])
    A = np.stack([nothing, *found, np.eye(k, k + 1)])
    usual = int(np.median(np.isfinite(flux[rows]).sum(axis=1)))
    return FewBands(max(usual, 1), np.array([0.0, *SHARES, _WHOLE]), A)


_SHRINKAGE = 0.01


def _drawn(rows: np.ndarray, y: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 500 rows at most, in order: a class gives its part of them, or all that it has; the others the rest."""
    if len(rows) <= _MOST_ROWS:
        return rows
    left, taken, classes = _MOST_ROWS, [], np.argsort(counts, kind="stable")
    for place, code in enumerate(classes):
        own = rows[y == code]
        taken.append(rng.permutation(own)[: left // (len(classes) - place)])
        left -= len(taken[-1])
    return np.sort(np.concatenate(taken))


def _mapped(p: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Return softmax(W log p + b) of probabilities (..., n, k), for A = [W | b], shape (k, k + 1)."""
    margins = log_p(p) @ A[:, :-1].T + A[:, -1]
    return softmax(margins.reshape(-1, len(A))).reshape(margins.shape)


_FEWEST_SIDE = 50
"""Rows on either side of the magnitude limit below which the two are calibrated alike."""
_MANY, _HELD = 1_000, (30.0, 10.0)
"""Rows from which on the calibration that all share counts for 10 rows beside those of a side; for 30 where fewer."""


@dataclass(frozen=True, eq=False)
class ByBrightness:
    """Calibration of bright and of faint rows, each held by the one that all share.

    Probabilities p of a row whose imaging magnitude is known become softmax(W log p + b).

    Parameters
    ----------
    cut : float
        Faintest magnitude of the bright.
    A : array of float64, shape (2, k, k + 1)
        [W | b] of the bright, and of the faint.
    """

    cut: float
    A: np.ndarray

    def apply(self, p: np.ndarray, mag: np.ndarray) -> np.ndarray:
        """Return the probabilities of rows as bright as they are.

        Parameters
        ----------
        p : array of float64, shape (..., n, k)
            Calibrated probabilities.
        mag : array, shape (n,)
            Imaging magnitude; NaN where unknown, which leaves a row as it is.

        Returns
        -------
        array of float64, shape (..., n, k)
            Rows sum to 1.
        """
        found = np.array(p, dtype=np.float64)
        for A, rows in zip(self.A, (mag <= self.cut, mag > self.cut), strict=True):
            found[..., rows, :] = _mapped(found[..., rows, :], A)
        return found

    def misfits(self, n_classes: int) -> Iterator[str]:
        """Yield what is wrong with it.

        Parameters
        ----------
        n_classes : int
            Of the model.

        Yields
        ------
        str
        """
        k = n_classes
        if self.A.shape != (2, k, k + 1) or not np.isfinite([self.cut, *self.A.flat]).all():
            yield f"its calibration by brightness is of shape {self.A.shape} for {k} classes, or is not finite"

    def to_dict(self) -> dict[str, object]:
        """Return a form that JSON can hold.

        Returns
        -------
        dict
        """
        return {"cut": self.cut, "bright": self.A[0].tolist(), "faint": self.A[1].tolist()}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the parts by name, in a form that ``numpy.savez`` can hold.

        Returns
        -------
        dict of str to array
        """
        return {"cut": np.array(self.cut), "A": self.A}

    @classmethod
    def from_arrays(cls, value: dict[str, np.ndarray]) -> ByBrightness:
        """Rebuild from :meth:`to_arrays`.

        Parameters
        ----------
        value : dict of str to array

        Returns
        -------
        ByBrightness
        """
        return cls(float(value["cut"]), np.asarray(value["A"], dtype=np.float64))


def learn_brightness(
    p: np.ndarray, y: np.ndarray, mag: np.ndarray, cut: float, groups: np.ndarray, seed: int
) -> tuple[ByBrightness | None, np.ndarray]:
    """Learn what parts bright rows from faint ones, from held-out rows.

    Parameters
    ----------
    p : array of float64, shape (n, k)
        Their cross-fitted probabilities.
    y : array of int, shape (n,)
        Their classes.
    mag : array, shape (n,)
        Imaging magnitude, NaN where unknown.
    cut : float
        Faintest magnitude of the bright.
    groups : array of int, shape (n,)
        Their objects.
    seed : int
        Of the folds.

    Returns
    -------
    ByBrightness or None
        None where either side has too few rows.
    array of float64, shape (n, k)
        The probabilities after it, cross-fitted again.
    """
    sides = [np.flatnonzero(mag <= cut), np.flatnonzero(mag > cut)]
    if min(map(len, sides)) < _FEWEST_SIDE:
        return None, p
    held = _HELD[int(len(y) >= _MANY)]
    options = CalibrationOptions(method="offsets", shrinkage=(_SHRINKAGE,), prior_rows=held)
    after, found = p.copy(), []
    for rows in sides:
        logs = log_p(p[rows])
        made, _ = fit_calibrator(logs, y[rows], options, groups=groups[rows], seed=seed)
        found.append(np.column_stack([made.W, made.b]))
        after[rows] = crossfit_probabilities(logs, y[rows], options, groups=groups[rows], seed=seed)
    return ByBrightness(cut, np.stack(found)), after
