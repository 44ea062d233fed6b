"""How good probabilities and decisions are: every figure of ``metrics.json``, each defined once.

Tally: the sums over rows that most figures are made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from ..run import Later
from ..text import cell, listed, title
from .curves import Ranking
from .losses import BINS, SlopeRows, brier_scores, f1_scores, log_losses, mean_defined, top_label_parts, width_bins

if TYPE_CHECKING:
    from scipy import sparse
else:
    sparse = Later("scipy.sparse")


@dataclass(frozen=True, eq=False)
class Tally:
    """Row sums of one classification, kept as a sparse matrix so that reweighting is one product.

    Parameters
    ----------
    matrix : sparse array, shape (m, n)
        What each of the n rows adds to each of the m sums.
    spans : dict of str to (slice, tuple of int)
        The rows of `matrix` that hold a statistic, and its shape.
    """

    matrix: sparse.csr_array
    spans: dict[str, tuple[slice, tuple[int, ...]]]

    @classmethod
    def of(
        cls,
        y: np.ndarray,
        p: np.ndarray,
        thresholds: np.ndarray | None = None,
        stratum: np.ndarray | None = None,
        n_strata: int = 0,
    ) -> Tally:
        """Tally true classes `y` (n,) against probabilities `p` (n, k).

        Parameters
        ----------
        y : array of int, shape (n,)
            True classes.
        p : array, shape (n, k)
            Probabilities.
        thresholds : array, shape (k,), optional
            Decision weights: the class of a row is the largest of p x thresholds. Adds the statistics whose
            names begin with ``thresholded``.
        stratum : array of int, shape (n,), optional
            Magnitude bin of each row; rows outside ``range(n_strata)`` join none.
        n_strata : int

        Returns
        -------
        Tally
        """
        parts = dict(_whole(y, p))
        strata = dict(_by_stratum(y, p, np.argmax(p, axis=1), stratum, n_strata))
        if thresholds is not None:
            decided = np.argmax(p * thresholds, axis=1)
            k = p.shape[1]
            parts["thresholded_confusion"] = _cells(y, decided, k)
            strata |= {f"thresholded_{n}": v for n, v in _by_stratum(y, p, decided, stratum, n_strata) if "conf" in n}
        return cls._stack(parts | strata, len(y))

    @classmethod
    def _stack(cls, parts: dict[str, _Part], n: int) -> Tally:
        spans: dict[str, tuple[slice, tuple[int, ...]]] = {}
        rows, columns, values, start = [], [], [], 0
        for name, part in parts.items():
            size = int(np.prod(part.shape))
            spans[name] = (slice(start, start + size), part.shape)
            rows.append(part.place + start)
            columns.append(part.row)
            values.append(part.value)
            start += size
        placed = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return cls(sparse.csr_array(sparse.coo_array(placed, shape=(start, n))), spans)

    def sums(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return each statistic for B weightings of the rows.

        Parameters
        ----------
        weights : array, shape (n, B)

        Returns
        -------
        dict of str to array
            By name, of the statistic's own shape with an axis B behind it.
        """
        totals = self.matrix @ weights
        return {name: totals[span].reshape(*shape, -1) for name, (span, shape) in self.spans.items()}


@dataclass(frozen=True, eq=False)
class _Part:
    """One statistic: row `row[i]` of the data adds `value[i]` at flat place `place[i]` of its shape."""

    shape: tuple[int, ...]
    place: np.ndarray
    row: np.ndarray
    value: np.ndarray


def _part(shape: tuple[int, ...], place: np.ndarray, value: np.ndarray | float = 1.0) -> _Part:
    return _Part(shape, place, np.arange(len(place)), np.broadcast_to(np.asarray(value, np.float64), place.shape))


def _cells(y: np.ndarray, decided: np.ndarray, k: int) -> _Part:
    return _part((k, k), y.astype(np.intp) * k + decided)


def _whole(y: np.ndarray, p: np.ndarray) -> Iterator[tuple[str, _Part]]:
    n, k = p.shape
    one = np.zeros(n, dtype=np.intp)
    yield "confusion", _cells(y, np.argmax(p, axis=1), k)
    yield "log_loss", _part((1,), one, log_losses(p, y))
    yield "brier", _part((1,), one, brier_scores(p, y))
    confidence, hit = top_label_parts(y, p)
    yield "ece", _part((BINS,), width_bins(confidence), hit - confidence)
    place = (np.arange(k) * BINS + width_bins(p)).ravel()
    gap = (y[:, None] == np.arange(k)) - p
    yield "class_ece", _Part((k, BINS), place, np.repeat(np.arange(n), k), gap.ravel())


def _by_stratum(
    y: np.ndarray, p: np.ndarray, decided: np.ndarray, stratum: np.ndarray | None, n_strata: int
) -> Iterator[tuple[str, _Part]]:
    if stratum is None or n_strata == 0:
        return
    k = p.shape[1]
    rows = np.flatnonzero((stratum >= 0) & (stratum < n_strata))
    at = stratum[rows].astype(np.intp)
    cell = (at * k + y[rows]) * k + decided[rows]
    yield "strata_confusion", _Part((n_strata, k, k), cell, rows, np.ones(len(rows)))
    yield "strata_log_loss", _Part((n_strata,), at, rows, log_losses(p[rows], y[rows]))


NULL = "null"
"""Prefix of figures that are not results themselves: see :meth:`Scorer.figures`."""

_DECISION = ("precision", "recall", "f1")


def check_answers(y: np.ndarray, p: np.ndarray, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities, or refuse them.

    Parameters
    ----------
    y : array of int, shape (n,)
    p : array, shape (n, k)
    classes : sequence of str
        Names of the k classes.

    Returns
    -------
    y : array of int64, shape (n,)
    p : array of float64, shape (n, k)

    Raises
    ------
    DatasetError
        If shapes differ, a label is no class (unlabelled rows, say) or a row of `p` is not a
        probability over the classes.
    """
    y, p = np.asarray(y), np.asarray(p, dtype=np.float64)
    if p.ndim != 2 or p.shape != (len(y), len(classes)):
        raise DatasetError(
            f"probabilities have shape {p.shape}, expected {(len(y), len(classes))}: one row for each label and "
            f"one column for each of {', '.join(classes)}."
        )
    wrong = (y < 0) | (y >= len(classes))
    if wrong.any():
        raise DatasetError(
            f"{int(wrong.sum())} of {len(y)} rows have no class (the first is row {int(np.argmax(wrong))}): "
            "only labelled rows can be scored. Leave the others out."
        )
    with np.errstate(invalid="ignore"):
        bad = ~((p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 1e-3))
    if bad.any():
        row = int(np.argmax(bad))
        raise DatasetError(
            f"{int(bad.sum())} of {len(p)} rows are not probabilities: row {row} is {np.round(p[row], 6).tolist()}. "
            "Each needs values >= 0 that sum to 1."
        )
    return y.astype(np.int64), p


@dataclass(frozen=True, eq=False)
class Scorer:
    """One model's answers on fixed rows, ready to be scored under any weights of the rows.

    The point estimate is the scoring with weights of one; a bootstrap replicate is the scoring with
    the counts of a resample. There is one implementation of each figure.

    Parameters
    ----------
    classes : tuple of str
        Names of the k classes.
    tally : Tally
        The row sums.
    ranking : Ranking
        The sorted rows.
    slope : SlopeRows
        Rows for the calibration slope of the first class.
    n_strata : int
        Number of magnitude bins.
    brief : bool
        Whether figures of decisions, log loss and Brier score are all that is wanted: a tenth of the time.
    """

    classes: tuple[str, ...]
    tally: Tally
    ranking: Ranking
    slope: SlopeRows
    n_strata: int = 0
    brief: bool = False

    @classmethod
    def of(
        cls,
        y: np.ndarray,
        p: np.ndarray,
        classes: Sequence[str],
        thresholds: np.ndarray | None = None,
        stratum: np.ndarray | None = None,
        n_strata: int = 0,
    ) -> Scorer:
        """Prepare answers for scoring.

        Parameters
        ----------
        y : array of int, shape (n,)
            True classes.
        p : array, shape (n, k)
            Probabilities.
        classes : sequence of str
            Names of the k classes.
        thresholds : array, shape (k,), optional
            Decision weights; adds the ``thresholded`` figures.
        stratum : array of int, shape (n,), optional
            Magnitude bin of each row; adds the ``by_magnitude`` figures.
        n_strata : int
            Number of magnitude bins.

        Returns
        -------
        Scorer

        Raises
        ------
        DatasetError
            If labels or probabilities are not what they should be.
        """
        y, p = check_answers(y, p, classes)
        if thresholds is not None:
            thresholds = np.asarray(thresholds, dtype=np.float64)
            if thresholds.shape != (len(classes),):
                raise DatasetError(f"there are {thresholds.size} thresholds for {len(classes)} classes.")
        tally = Tally.of(y, p, thresholds, stratum, n_strata)
        return cls(tuple(classes), tally, Ranking.of(y, p), SlopeRows.of(y, p, 0), n_strata)

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return every figure under B weightings of the rows, by dotted name, shape (B,) each.

        Parameters
        ----------
        weights : array, shape (n, B)
            Non-negative; a column of ones scores the rows as they are.

        Returns
        -------
        dict
            Names such as ``macro.f1``, ``per_class.QSO_high.recall``, ``thresholded.macro.f1``,
            ``calibration.slope``, ``by_magnitude.3.accuracy``. NaN where a figure is not defined.
            ``null.*`` are calibration errors with the gaps of the rows as they are taken off: over
            resamples, what noise alone would show of a calibrated model.
        """
        sums = self.tally.sums(weights)
        n = sums["confusion"].sum(axis=(0, 1))
        whole = len(np.unique(self.ranking.label))
        figures = self._decisions(sums["confusion"], whole)
        with np.errstate(invalid="ignore", divide="ignore"):
            for name in ("log_loss", "brier"):
                figures[name] = sums[name][0] / n
            if self.brief:
                return figures
            figures |= self._gaps(sums["ece"] / n, sums["class_ece"] / n)
            centred = (sums[name] / n - self._centre[name] for name in ("ece", "class_ece"))
            figures |= _prefixed(NULL, self._gaps(*centred))
        figures |= self._ranks(self.ranking.areas(weights))
        chosen = weights[self.slope.row]
        figures["calibration.intercept"], figures["calibration.slope"] = self.slope.logistic(chosen)
        figures["calibration.binned_slope"] = self.slope.binned(chosen)
        if "thresholded_confusion" in sums:
            figures |= _prefixed("thresholded", self._decisions(sums["thresholded_confusion"], whole))
        return figures | self._strata(sums)

    def _decisions(self, confusion: np.ndarray, whole: int) -> dict[str, np.ndarray]:
        """Return the figures of decisions from confusion matrices (k, k, B), rows true, of rows of so many classes."""
        k = len(self.classes)
        hit = confusion[np.arange(k), np.arange(k)]
        true, said = confusion.sum(axis=1), confusion.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            by_class = {
                "precision": np.where(said > 0, hit / said, 0.0),
                "recall": hit / true,
                "f1": f1_scores(confusion),
            }
            accuracy = hit.sum(axis=0) / true.sum(axis=0)
        by_class = {name: np.where(true > 0, value, np.nan) for name, value in by_class.items()}
        figures = {f"per_class.{c}.{name}": by_class[name][i] for i, c in enumerate(self.classes) for name in _DECISION}
        figures |= {f"macro.{name}": mean_defined(by_class[name], whole) for name in ("f1", "recall", "precision")}
        figures["accuracy"] = accuracy
        return figures

    @cached_property
    def _centre(self) -> dict[str, np.ndarray]:
        """Of the rows as they are: signed calibration gaps of bins, (bins, 1), (k, bins, 1), and classes of strata."""
        sums = self.tally.sums(np.ones((self.tally.matrix.shape[1], 1)))
        strata = sums.get("strata_confusion", sums["confusion"][None])
        with np.errstate(invalid="ignore"):
            gaps = {name: sums[name] / sums["confusion"].sum() for name in ("ece", "class_ece")}
        return gaps | {"strata": (strata.sum(axis=(2, 3)) > 0).sum(axis=1)}

    def _gaps(self, top: np.ndarray, by_class: np.ndarray) -> dict[str, np.ndarray]:
        """Return calibration errors from signed gaps of the bins, (bins, B) and (k, bins, B)."""
        each = np.abs(by_class).sum(axis=1)
        figures = {f"per_class.{name}.ece": each[i] for i, name in enumerate(self.classes)}
        return figures | {"ece": np.abs(top).sum(axis=0), "macro.ece": each.mean(axis=0)}

    def _ranks(self, areas: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        figures = {}
        for i, name in enumerate(self.classes):
            figures[f"per_class.{name}.auroc"] = areas["rest"][i]
            figures[f"per_class.{name}.average_precision"] = areas["precision"][i]
        k = len(self.classes)
        whole = len(np.unique(self.ranking.label))
        figures["macro.auroc_ovo"] = mean_defined(areas["pairs"].reshape(k * k, -1), whole * (whole - 1))
        figures["macro.auroc_ovr"] = mean_defined(areas["rest"], whole)
        figures["macro.average_precision"] = mean_defined(areas["precision"], whole)
        return figures

    def _strata(self, sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        figures: dict[str, np.ndarray] = {}
        for s in range(self.n_strata if "strata_confusion" in sums else 0):
            confusion, whole = sums["strata_confusion"][s], int(self._centre["strata"][s])
            figures |= _prefixed(f"by_magnitude.{s}", self._decisions(confusion, whole))
            with np.errstate(invalid="ignore", divide="ignore"):
                figures[f"by_magnitude.{s}.log_loss"] = sums["strata_log_loss"][s] / confusion.sum(axis=(0, 1))
            if "thresholded_strata_confusion" in sums:
                decided = self._decisions(sums["thresholded_strata_confusion"][s], whole)
                figures |= _prefixed(f"by_magnitude.{s}.thresholded", decided)
        return figures

    def confusions(self) -> dict[str, np.ndarray]:
        """Return the confusion matrices as counts.

        Returns
        -------
        dict of str to array of int
            ``confusion`` (k, k), rows true, and the others that were asked for.
        """
        sums = self.tally.sums(np.ones((self.tally.matrix.shape[1], 1)))
        return {name: value[..., 0].astype(np.int64) for name, value in sums.items() if name.endswith("confusion")}


def _prefixed(prefix: str, figures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": value for name, value in figures.items()}


def optional_lines(figures: Any, gain: Any, bands: Sequence[str]) -> list[str]:
    """Return what to say of rows that were judged without the optional bands of their imaging.

    Parameters
    ----------
    figures, gain : mapping by dotted name
        Figures, and what some of them are above those with these bands, with intervals; empty where not judged.
    bands : sequence of str

    Returns
    -------
    list of str
        One line, or none.
    """
    said = [
        f"{title(name)} {value:.3f}"
        + (f" ({cell(gain[name][0], gain[name][1:], 4, sign=True)})" if name in gain else "")
        for name, value in dict(figures).items()
        if value is not None
    ]
    return [f"without {listed(bands) or 'optional bands'} of the imaging survey: {', '.join(said)}"] if said else []


_OUTLIER = 0.15
"""Of Δz / (1 + z)."""


@dataclass(frozen=True)
class RedshiftScore:
    """How redshift densities did on quasars whose redshift is known.

    Parameters
    ----------
    rows : str
        Which quasars.
    n : int
    covered68, covered95 : float
        Share of them within the central intervals.
    nmad : float
        1.48 times the median deviation of Δz / (1 + z) of the medians from its median.
    outliers : float
        Share with a median off by more than 0.15 (1 + z).
    pit : tuple of float
        Shares of the true redshifts by where they fall among the five quantiles: six parts, of which the first and last
        should hold 0.025.
    """

    rows: str
    n: int
    covered68: float
    covered95: float
    nmad: float
    outliers: float
    pit: tuple[float, ...]

    @classmethod
    def of(cls, rows: str, found: np.ndarray, z: np.ndarray) -> RedshiftScore:
        """Score the quantiles of some quasars.

        Parameters
        ----------
        rows : str
            Which they are.
        found : array, shape (n, 5)
            Quantiles.
        z : array, shape (n,)
            True redshifts, at least one.

        Returns
        -------
        RedshiftScore
        """
        place = (z[:, None] > found).sum(axis=1)
        miss = (found[:, 2] - z) / (1 + z)
        nmad = 1.4826 * float(np.median(np.abs(miss - np.median(miss))))
        pit = np.bincount(place, minlength=6) / len(z)
        core, most = (float(np.isin(place, parts).mean()) for parts in ((2, 3), (1, 2, 3, 4)))
        return cls(rows, len(z), core, most, nmad, float((np.abs(miss) > _OUTLIER).mean()), tuple(pit.tolist()))


def score_redshifts(found: np.ndarray, z: np.ndarray, mag: np.ndarray, cut: float) -> tuple[RedshiftScore, ...]:
    """Score quantiles of quasars: all, on each side of the cut, and by magnitude.

    Parameters
    ----------
    found : array, shape (n, 5)
    z, mag : array, shape (n,)
    cut : float
        Redshift that parts the quasar classes.

    Returns
    -------
    tuple of RedshiftScore
        Of those that have quasars.
    """
    parts = {
        "all": np.ones(len(z), dtype=bool),
        f"z < {cut:g}": z < cut,
        f"z >= {cut:g}": z >= cut,
        "r < 21": mag < 21,
        "r 21 to 22.5": (mag >= 21) & (mag < 22.5),
        "r >= 22.5": mag >= 22.5,
    }
    known = np.isfinite(found).all(axis=1)
    return tuple(
        RedshiftScore.of(name, found[chosen & known], z[chosen & known])
        for name, chosen in parts.items()
        if (chosen & known).any()
    )
