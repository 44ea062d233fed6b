"""Conformal selection and conformal sets: promises that hold for any classifier, in finite samples.

Weights for covariate shift come from a cross-fitted classifier of field and labelled rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError, ListError
from ..inputs import CHUNK_ROWS, open_for
from ..model import Model
from ..run import Run
from ..scores.losses import log_p
from ..surveys.catalogue import Catalogue
from ..surveys.reader import index_imaging
from ..text import count
from .predicted import Predicted
from .records import SelectionWeights

CLIP = 20.0
"""Weights further from the mean odds than this factor are clipped."""


class Weights(NamedTuple):
    """How much commoner a row's like is in the field than among the labelled.

    Parameters
    ----------
    labelled, field : array of float64, shape (n,) and (m,)
        Of each row; the mean of the labelled is 1.
    limit : float
        Where weights are clipped.
    """

    labelled: np.ndarray
    field: np.ndarray
    limit: float

    def told(self, members: np.ndarray, rows: np.ndarray) -> SelectionWeights:
        """Return what is told of the weights.

        Parameters
        ----------
        members : array of bool, shape (n,)
            Labelled rows of the class.
        rows : array of int
            Field rows of the list.

        Returns
        -------
        SelectionWeights
        """
        ours = self.labelled
        effective = [float(w.sum() ** 2 / max((w**2).sum(), 1e-300)) for w in (ours, ours[members])]
        clipped = float((self.field[rows] >= self.limit * (1 - 1e-9)).mean())
        return SelectionWeights(effective[0], effective[1], clipped, float(ours.max() / ours.min()))


def covariate_weights(
    p_labelled: np.ndarray,
    mag_labelled: np.ndarray,
    p_field: np.ndarray,
    mag_field: np.ndarray,
    *,
    folds: int = 5,
    seed: int = 0,
    most: int = 100_000,
) -> Weights:
    """Return the density of each row's features in the field over that among labelled rows, mean 1.

    A logistic regression on log-probabilities, their squares and the magnitude tells the samples
    apart; its odds estimate the ratio (Bickel et al. 2009). Each row is judged by a fold that did
    not see it. Of fewer than two rows a fold nothing is learnt: all weigh alike.

    Parameters
    ----------
    p_labelled, mag_labelled : array, shape (n, k) and (n,)
        Probabilities and magnitudes; a magnitude of NaN is given a place of its own.
    p_field, mag_field : array, shape (m, k) and (m,)
        The same of the field.
    folds, seed, most : int
        Folds, seed of folds, and most field rows that train.

    Returns
    -------
    Weights
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    if min(len(p_labelled), len(p_field)) < 2 * folds:
        return Weights(np.ones(len(p_labelled)), np.ones(len(p_field)), CLIP)
    x = np.concatenate([_features(p_labelled, mag_labelled), _features(p_field, mag_field)])
    x = StandardScaler().fit_transform(x)
    n = len(p_labelled)
    y = np.arange(len(x)) >= n
    rng = np.random.default_rng(seed)
    fold = rng.integers(folds, size=len(x))
    odds = np.empty(len(x))
    for number in range(folds):
        out = fold == number
        train = np.flatnonzero(~out)
        theirs = train[y[train]]
        if len(theirs) > most:
            train = np.concatenate([train[~y[train]], rng.choice(theirs, most, replace=False)])
        model = LogisticRegression(C=1.0, max_iter=500).fit(x[train], y[train])
        prior = np.log(y[train].mean() / (1 - y[train].mean()))
        odds[out] = model.decision_function(x[out]) - prior
    weight = np.exp(np.clip(odds, -np.log(CLIP), np.log(CLIP)))
    scale = weight[:n].mean()
    return Weights(weight[:n] / scale, weight[n:] / scale, CLIP / scale)


def _features(p: np.ndarray, mag: np.ndarray) -> np.ndarray:
    logs = np.maximum(log_p(p), np.log(1e-6))
    known = np.isfinite(mag)
    bright = np.where(known, mag, np.median(mag[known]) if known.any() else 0.0)
    return np.column_stack([logs, logs**2, bright, bright**2, logs * (bright[:, None] - 20.0), ~known])


@dataclass(frozen=True, eq=False)
class ConformalSelection:
    """A set of field rows whose false-discovery rate is controlled.

    Parameters
    ----------
    selected : array of bool, shape (m,)
    p_value : array of float64, shape (m,)
        Weighted conformal p-value of "is not of the class".
    first : int
        Rows that passed before pruning.
    """

    selected: np.ndarray
    p_value: np.ndarray
    first: int


def select_conformal(
    null_score: np.ndarray,
    score: np.ndarray,
    level: float,
    null_weight: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    *,
    total: float | None = None,
    seed: int = 0,
) -> ConformalSelection:
    """Select field rows by weighted conformal selection, homogeneous pruning.

    Jin and Candès (2023, arXiv:2307.09291), Algorithm 1, with the rows of other classes as
    calibration sample: given that a field row is of another class, it is exchangeable with these up
    to the weights. Then the false-discovery rate is at most `level` times the share of field rows
    that are of other classes, in finite samples, if scores and weights were made without the
    calibration labels and the weights are the ratio of the densities of the two samples.

    Parameters
    ----------
    null_score : array, shape (n,)
        Scores of labelled rows of other classes, high where a row looks like the class.
    score : array, shape (m,)
        Scores of the field.
    level : float
    null_weight, weight : array, shape (n,) and (m,), optional
        Density of a row's features among other classes in the field over that among the labelled;
        any common factor. Default: 1.
    total : float, optional
        Weight of all null rows, where it is known to be less than their sum because the weights are
        upper bounds. Default: their sum.
    seed : int

    Returns
    -------
    ConformalSelection

    Notes
    -----
    With equal weights this is Benjamini and Hochberg's procedure on conformal p-values (Bates et al.
    2023), and pruning removes nothing. The published algorithm counts for each row j how many would be
    rejected with p-values of the calibration sample and j, in m² log m; here one sort gives all counts.
    """
    m = len(score)
    null_weight = np.ones(len(null_score)) if null_weight is None else np.asarray(null_weight, dtype=np.float64)
    weight = np.ones(m) if weight is None else np.asarray(weight, dtype=np.float64)
    order = np.argsort(-score, kind="stable")
    falling, own = score[order], weight[order]
    above = _weight_above(null_score, null_weight, falling)
    total = float(null_weight.sum()) if total is None else total
    p_sorted = np.minimum((above + own) / (total + own), 1)
    counts = _rejections(above, total, own, level)
    rank = np.arange(1, m + 1)
    first = np.flatnonzero(p_sorted <= level * counts / m) if m else rank[:0]
    kept = _pruned(counts[first], np.random.default_rng(seed).random())
    selected = np.zeros(m, dtype=bool)
    selected[order[first[kept]]] = True
    p_value = np.empty(m)
    p_value[order] = p_sorted
    return ConformalSelection(selected, p_value, len(first))


def _weight_above(null_score: np.ndarray, null_weight: np.ndarray, falling: np.ndarray) -> np.ndarray:
    """Return the weight of null rows that score at least as high as each field row; ties count."""
    order = np.argsort(null_score, kind="stable")
    from_top = np.append(np.cumsum(null_weight[order][::-1])[::-1], 0.0)
    return from_top[np.searchsorted(null_score[order], falling, side="left")]


def _rejections(above: np.ndarray, total: float, own: np.ndarray, level: float) -> np.ndarray:
    """Return, for each row by falling score, how many are rejected when its own p-value is put to 0.

    With row r put first, the k-th smallest p-value is, for k > r, that of row k with r among the
    calibration rows, and for k <= r that of row k - 1, which r does not reach.
    """
    m = len(above)
    if not m:
        return np.zeros(0, dtype=np.int64)
    k = np.arange(1, m + 1)
    line = level * k / m
    # Row k > r is rejected with (above_k + w) / (total + w) <= line_k, that is need_k <= -w.
    need = (above - line * total) / np.maximum(1 - line, 1e-12)
    least = np.minimum.accumulate(need[::-1])[::-1]
    last = np.searchsorted(-least[::-1], own, side="left")
    beyond = m - last
    before = np.append(0.0, above[:-1])
    reached = before / (total + own) <= line
    return np.where(beyond > k, beyond, np.where(reached, k, 0))


def _pruned(counts: np.ndarray, xi: float) -> np.ndarray:
    """Return which rows stay: those with xi * count <= r, for the largest r that so many rows reach."""
    if not len(counts):
        return np.zeros(0, dtype=bool)
    value = np.sort(xi * counts)
    reached = np.flatnonzero(value <= np.arange(1, len(value) + 1))
    return xi * counts <= (reached[-1] + 1 if len(reached) else 0)


def conformal_p_values(p_label: np.ndarray, label: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the class-conditional conformal p-value of every class for each row, (n, k).

    Vovk's (2012) Mondrian p-value: how the row's probability of a class ranks among those of
    labelled rows of that class. It needs only that p(features | class) is the same in both samples:
    the class mix may differ.

    Parameters
    ----------
    p_label : array, shape (n0, k)
        Probabilities of labelled rows that neither trees nor calibrator saw.
    label : array of int, shape (n0,)
    p : array, shape (n, k)
        Probabilities of the rows wanted, made in the same way.

    Returns
    -------
    array of float64, shape (n, k)

    Raises
    ------
    ListError
        If a class has no labelled row.
    """
    k = p_label.shape[1]
    counts = np.bincount(label, minlength=k)
    if (counts == 0).any():
        absent = ", ".join(map(str, np.flatnonzero(counts == 0)))
        raise ListError(f"there are no calibration labels of class {absent}: it can have no conformal p-value.")
    found = np.empty(p.shape)
    for c in range(k):
        own = np.sort(p_label[label == c, c])
        found[:, c] = (1 + np.searchsorted(own, p[:, c], side="right")) / (len(own) + 1)
    return found


def conformal_sets(p_value: np.ndarray, coverage: float = 0.9) -> np.ndarray:
    """Return which classes each row's set holds, bool (n, k).

    The set of a row of class c holds c with probability `coverage` or more, for every class c. A
    class with fewer than coverage / (1 - coverage) labels is in every set. An empty set says that
    the row is unlike every class.

    Parameters
    ----------
    p_value : array, shape (n, k)
        Of :func:`conformal_p_values`.
    coverage : float

    Returns
    -------
    array of bool, shape (n, k)
    """
    return p_value > 1 - coverage


_ROWS = 20_000


_SAME = 1e-3
"""Probabilities nearer than this are the same, written and read again."""


class NoisyProbabilities(NamedTuple):
    """Mean and standard deviation over noise draws of every class's probability, float64 (n, k) each.

    Parameters
    ----------
    mean : array of float64, shape (n, k)
        Over the draws.
    spread : array of float64, shape (n, k)
        Standard deviation over the draws.
    """

    mean: np.ndarray
    spread: np.ndarray


def noise_probabilities(
    model: Model, catalogue: Catalogue, draws: int = 8, *, run: Run | None = None
) -> NoisyProbabilities:
    """Propagate photometric errors into probabilities.

    Each draw adds to every flux a normal deviate of its error and asks the model again. A flux that
    was measured has its noise already, so a draw is noisier than the data by a factor of sqrt(2): the
    spread says how far a second measurement could move the probability, and the mean is drawn
    towards indecision. It is a warning beside the probability, not a better probability.

    The cost is `draws` predictions of these rows, features and all.

    Parameters
    ----------
    model : Model
    catalogue : Catalogue
        n rows with errors.
    draws : int
        At least 2.
    run : Run, optional
        Seed, threads and progress.

    Returns
    -------
    NoisyProbabilities

    Raises
    ------
    ListError
        If the survey gives no errors, or fewer than 2 draws are asked for.
    """
    run = run or Run()
    if draws < 2:
        raise ListError(f"{count(draws, 'noise draw has', 'noise draws have')} no spread: ask for 2 or more.")
    if not catalogue.has_errors:
        raise ListError(
            f"the catalogue ({catalogue.survey}) gives no photometric errors, so none can be propagated. "
            "Leave out --noise-draws."
        )
    mean = np.empty((len(catalogue), len(model.classes)))
    spread = np.empty_like(mean)
    rng = np.random.default_rng(run.seed)
    for start in range(0, len(catalogue), _ROWS):
        rows = slice(start, min(start + _ROWS, len(catalogue)))
        part = catalogue.take(rows)
        drawn = []
        for _ in range(draws):
            noise = rng.standard_normal(part.flux.shape, dtype=np.float32)
            drawn.append(model.probabilities(part.replace(flux=part.flux + noise * part.flux_err), run.threads))
        mean[rows], spread[rows] = np.mean(drawn, axis=0), np.std(drawn, axis=0, ddof=1)
        run.report("noise", rows.stop, len(catalogue))
    return NoisyProbabilities(mean, spread)


@dataclass(frozen=True)
class NoiseSource:
    """What candidates are predicted from again, with noise added.

    Parameters
    ----------
    draws : int
        How often.
    catalogue : path
        The catalogue that was predicted.
    legacy : tuple of path
        Its imaging tables.
    """

    draws: int
    catalogue: str | Path
    legacy: tuple[str | Path, ...] = ()

    @classmethod
    def of(
        cls, draws: int, catalogue: str | Path | None, legacy: str | Path | Sequence[str | Path] | None
    ) -> NoiseSource | None:
        """Return the source that options name, or None where no noise draws are wanted.

        Parameters
        ----------
        draws : int
        catalogue : path, optional
        legacy : path or sequence of path, optional

        Returns
        -------
        NoiseSource or None

        Raises
        ------
        ConfigError
            If the options do not belong together.
        """
        if draws and not catalogue:
            raise ConfigError("--noise-draws needs the catalogue that was predicted: name it with --catalogue.")
        if draws == 1:
            raise ConfigError("--noise-draws 1: one draw has no spread. Ask for 2 or more.")
        if not draws and (catalogue or legacy):
            raise ConfigError("--catalogue and --legacy are for --noise-draws: say how many, or leave them out.")
        tables = (legacy,) if isinstance(legacy, str | Path) else tuple(legacy or ())
        return None if catalogue is None else cls(draws, catalogue, tables)

    @property
    def inputs(self) -> list[str | Path]:
        """The files that are read."""
        return [self.catalogue, *self.legacy]

    def columns(self, candidates: Predicted, column: int, model: Model, run: Run) -> dict[str, np.ndarray]:
        """Return mean and scatter of the probability of a class over the draws.

        Parameters
        ----------
        candidates : Predicted
            n rows.
        column : int
            The class.
        model : Model
        run : Run
            Seed, threads and progress.

        Returns
        -------
        dict of str to array of float32, shape (n,)
            ``P_NOISE`` and ``P_NOISE_STD``.

        Raises
        ------
        ConfigError
            If the catalogue is not the one that was predicted.
        """
        rows, order = self._rows(candidates, model, run)
        other = np.abs(model.probabilities(rows, run.threads) - candidates.p[order]).max(axis=1) > _SAME
        if other.any():
            raise ConfigError(
                f"--catalogue {self.catalogue}: the model says other things of {int(other.sum())} of the "
                f"{len(candidates)} candidates than the predictions do. Name the catalogue that was predicted, and the "
                "--legacy tables it was predicted with."
            )
        noisy = noise_probabilities(model, rows, self.draws, run=run)
        back = np.argsort(order)
        values = {"P_NOISE": noisy.mean, "P_NOISE_STD": noisy.spread}
        return {name: value[back, column].astype(np.float32) for name, value in values.items()}

    def _rows(self, candidates: Predicted, model: Model, run: Run) -> tuple[Catalogue, np.ndarray]:
        """Return the catalogue rows of the candidates, and the place of each among them."""
        imaging = index_imaging(self.legacy) if self.legacy else None
        parts, places = [], []
        for chunk in open_for(model, self.catalogue).chunks(CHUNK_ROWS):
            rows, place = _among(candidates, chunk)
            if len(rows):
                part = chunk.take(rows)
                parts.append(part if imaging is None else imaging.attach(part, run.threads))
                places.append(place)
        order = np.concatenate(places) if places else np.zeros(0, dtype=np.intp)
        if len(order) != len(candidates):
            raise ConfigError(
                f"--catalogue {self.catalogue}: has {len(order)} of the {len(candidates)} candidates. Name the "
                "catalogue that was predicted."
            )
        return Catalogue.concat(parts), order


def _among(candidates: Predicted, chunk: Catalogue) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a chunk that are candidates, and their places among these."""
    names = [name for name in chunk.key if name in candidates.ids]
    known = {row: i for i, row in enumerate(zip(*(candidates.ids[name].tolist() for name in names), strict=True))}
    keys = zip(*(chunk.key[name].tolist() for name in names), strict=True)
    found = [(i, known[key]) for i, key in enumerate(keys) if key in known]
    rows, places = np.array(found, dtype=np.intp).reshape(-1, 2).T
    return rows, places
