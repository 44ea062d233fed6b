"""How unlike the training rows a row is, and how far its probabilities can be believed then."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from .bases import Stored

COMPONENTS = 120


RARE = 0.0025
"""Share of judged rows beyond each of the two limits."""


MARGIN = 1e-6
"""By how much a distance must exceed its limit. The limit is the distance of a row itself, and the last
bits of a matrix product depend on how many rows are multiplied at once."""


_WIDEST = 4.0


_DIFFERENCE = re.compile(r"optional_[A-Z]\w*_[A-Z]\w*")
"""Colours of two optional bands. They are the difference of two features that are there too, exactly: a row that lacks
one band alone, of which mocks lose both, would break that and be unlike all that trained."""


_UNSEEN = 1e30
"""Scale of features that distances do not look at."""


_MOST = 20_000


_COMMON = 0.995
"""Share of judged rows, and of those that count, whose misfit and distance say nothing against their probabilities."""


_BIN, _BINS = 500, 4
"""Judged rows that an interval of signal-to-noise needs, and how many intervals there are at most. Bright rows show
what templates lack, so one limit for all would let a faint row be far off before it is doubted."""


_PER_MISFIT, _PER_DISTANCE, _DISTANCE_ALONE = 0.32, 0.09, 0.25
"""Doubt per ln of misfit and distance beyond those of common rows; of the distance where there are no templates. Their
ratio was learnt on kinds of simulated objects that neither bases nor trees had seen (benchmarks/kinds.py)."""


_RIGHT = 100
"""Labels that count as told by the features, beside those that say how many are not."""


_MOST_ASTRAY = 0.05


_PRICE = 0.02
"""What doubt may cost rows like those judged, in units of the log loss that their probabilities promise."""


@dataclass(frozen=True, eq=False, repr=False)
class Overlap(Stored):
    """Distance of a row to the training rows, and the limits beyond which it is unlike them.

    Features are centred and scaled robustly (missing values stand at the centre) and projected on
    the leading principal components of the training rows. A row is far if it is far from every class
    there (Mahalanobis, class means and covariances; Lee et al. 2018), or if too much of it lies
    outside that space (the Q statistic; Jackson and Mudholkar 1979).

    Parameters
    ----------
    centre, scale : array of float64, shape (f,)
        Robust middle and spread of each feature.
    components : array of float64, shape (d, f)
        Orthonormal rows.
    means : array of float64, shape (c, d)
        Of the classes that trained.
    whiteners : array of float64, shape (c, d, d)
        Inverse square roots of their covariances.
    limits : array of float64, shape (2,)
        Of both distances: what 99.75 % of validation rows keep to.
    misfit : int
        Place of the feature that says how badly the best template fits; -1 where there is none.
    misfit_edge, near_edge : float
        What 99.5 % of judged rows keep to, of the misfit and of the distance to the nearest class.
    strength : float
        Of the doubt beyond; 0 doubts nothing.
    shares : tuple of float
        Of the k classes, by which what is doubted is dealt out; empty where it never is.
    signal : int
        Place of the feature that is the signal-to-noise ratio of a row; -1 where there is none.
    knots, misfit_edges, near_edges : tuple of float
        ln of signal-to-noise, rising, and the edges of rows that have it; the logarithm is linear between. Empty where
        judged rows are too few.
    astray : float
        Share of the labelled rows whose class nothing in a row tells (a wrong label, a blend, a false match): every row
        is doubted as much.
    """

    centre: np.ndarray
    scale: np.ndarray
    components: np.ndarray
    means: np.ndarray
    whiteners: np.ndarray
    limits: np.ndarray
    misfit: int = -1
    misfit_edge: float = np.inf
    near_edge: float = np.inf
    strength: float = 0.0
    shares: tuple[float, ...] = ()
    signal: int = -1
    knots: tuple[float, ...] = ()
    misfit_edges: tuple[float, ...] = ()
    near_edges: tuple[float, ...] = ()
    astray: float = 0.0

    stored_as: ClassVar[str] = "overlap"

    def misfits(self, n_features: int, n_classes: int) -> Iterator[str]:
        """Yield what does not fit a model.

        Parameters
        ----------
        n_features : int
            Features f of the model.
        n_classes : int
            Its classes k.

        Yields
        ------
        str
        """
        d, c = len(self.components), len(self.means)
        shapes = {
            "centre": (n_features,), "scale": (n_features,), "components": (d, n_features), "means": (c, d),
            "whiteners": (c, d, d), "limits": (2,),
        }  # fmt: skip
        wrong = [name for name, shape in shapes.items() if getattr(self, name).shape != shape]
        if wrong:
            yield f"its overlap is not of {n_features} features ({', '.join(wrong)})"
        elif not all(np.isfinite(getattr(self, name)).all() for name in shapes) or (self.scale <= 0).any():
            yield "its overlap has parts that are not finite, or a scale that is not positive"
        elif not (-1 <= self.misfit < n_features and 0 <= self.strength < np.inf and 0 <= self.astray < 1):
            doubts = f"{self.strength} and {self.astray}"
            yield f"its overlap takes feature {self.misfit} of {n_features} for the misfit, or doubts {doubts}"
        elif self.strength + self.astray > 0 and (
            len(self.shares) != n_classes or not min(self.shares) >= 0 or not abs(sum(self.shares) - 1) < 1e-6
        ):
            yield f"its overlap deals out doubt by {self.shares}, no shares of {n_classes} classes"
        elif not (self.misfit_edge > 0 and self.near_edge > 0):
            yield f"its overlap has edges {self.misfit_edge} and {self.near_edge}, which are not positive"
        elif not (
            len(self.knots) == len(self.misfit_edges) == len(self.near_edges)
            and -1 <= self.signal < n_features
            and np.isfinite(self.knots).all()
            and (np.diff(self.knots) > 0).all()
            and all(0 < edge < np.inf for edge in (*self.misfit_edges, *self.near_edges))
        ):
            edges = f"{self.misfit_edges} and {self.near_edges} at {self.knots}"
            yield f"its overlap has edges {edges} of feature {self.signal}: not positive, not rising, or not as many"

    def distances(self, X: np.ndarray) -> np.ndarray:
        """Return mean squared distance to the nearest class, and mean square left out, float64 (n, 2).

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.

        Returns
        -------
        array of float64, shape (n, 2)
            In units of the scale, squared.
        """
        z = _scaled(X, self.centre, self.scale)
        inside = z @ self.components.T
        near = np.full(len(z), np.inf)
        for mean, whitener in zip(self.means, self.whiteners, strict=True):
            near = np.minimum(near, np.square((inside - mean) @ whitener).mean(axis=1))
        outside = np.maximum(np.square(z).sum(axis=1) - np.square(inside).sum(axis=1), 0) / z.shape[1]
        return np.stack([near, outside], axis=1)

    def low(self, X: np.ndarray) -> np.ndarray:
        """Return which rows are unlike the training rows, bool (n,); the same however they are cut into chunks.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.

        Returns
        -------
        array of bool, shape (n,)
        """
        return self.judge(X)[0]

    def judge(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows are unlike the training rows, and how far each is to be doubted.

        The doubt is the share of a row's probability that goes back to the classes at large (:meth:`tempered`): the
        chance that the row is of a kind that never trained, or astray. For common rows it is :attr:`astray` alone.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.

        Returns
        -------
        low : array of bool, shape (n,)
        doubt : array of float64, shape (n,)
            The same however rows are cut into chunks.
        """
        limits = self.limits * (1 + MARGIN) + MARGIN
        low, doubt = np.zeros(len(X), dtype=bool), np.zeros(len(X))
        for start in range(0, len(X), _MOST):
            rows = slice(start, start + _MOST)
            distances = self.distances(X[rows])
            low[rows] = np.any(distances > limits, axis=1)
            if self.strength > 0:
                doubt[rows] = self._doubt(X[rows], distances[:, 0])
        return low, doubt if self.astray == 0 else 1.0 - (1.0 - doubt) * (1.0 - self.astray)

    def beyond(self, X: np.ndarray, near: np.ndarray) -> np.ndarray:
        """Return ln of misfit and distance over what common rows of like signal-to-noise keep to, float64 (n, 2).

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.
        near : array of float64, shape (n,)
            Their :meth:`distances` to the nearest class.

        Returns
        -------
        array of float64, shape (n, 2)
            0 for rows that keep to it.
        """
        misfit_edge, near_edge = np.full(len(X), self.misfit_edge), np.full(len(X), self.near_edge)
        if self.knots:
            signal = _log(X[:, self.signal])
            known = np.isfinite(signal)
            for edge, at in ((misfit_edge, self.misfit_edges), (near_edge, self.near_edges)):
                edge[known] = np.exp(np.interp(signal[known], self.knots, np.log(at)))
        misfit = np.nan_to_num(self._misfit(X), nan=0.0, posinf=1e30)
        # Rounded: the last bits of a distance depend on how many rows are judged at once.
        ratio = np.stack([misfit / misfit_edge, near / near_edge], axis=1)
        return np.maximum(np.round(np.log(np.maximum(ratio, 1e-12)), 3), 0.0)

    def _misfit(self, X: np.ndarray) -> np.ndarray:
        return X[:, self.misfit].astype(np.float64) if self.misfit >= 0 else np.zeros(len(X))

    def _doubt(self, X: np.ndarray, near: np.ndarray) -> np.ndarray:
        weight = np.array([_PER_MISFIT, _PER_DISTANCE] if self.misfit >= 0 else [0.0, _DISTANCE_ALONE])
        return np.asarray(-np.expm1(-self.strength * (self.beyond(X, near) @ weight)))

    def tempered(self, p: np.ndarray, doubt: np.ndarray) -> np.ndarray:
        """Return probabilities of which a share is dealt out over the classes; the likeliest class stays.

        Parameters
        ----------
        p : array of float64, shape (n, k)
            Rows sum to 1.
        doubt : array of float64, shape (n,)
            The share, of :meth:`judge`; rows of none stay as they are, bit for bit.

        Returns
        -------
        array of float64, shape (n, k)
            What would make another class likelier is not dealt out.
        """
        rows = np.flatnonzero(doubt > 0)
        if not len(rows):
            return p
        out, own, base = p.copy(), p[rows], np.array(self.shares)
        top = own.argmax(axis=1)[:, None]
        lead = np.take_along_axis(own, top, axis=1) - own
        gain = np.maximum(base - base[top], 0.0)
        most = np.where(gain > 0, lead / np.maximum(lead + gain, 1e-300), 1.0).min(axis=1)
        share = np.minimum(doubt[rows], most * (1 - MARGIN))[:, None]
        out[rows] = (1.0 - share) * own + share * base
        return out

    def doubting(self, X: np.ndarray, p: np.ndarray, shares: np.ndarray, counted: np.ndarray | None = None) -> Overlap:
        """Return the overlap that doubts what lies beyond some rows, as strongly as these hardly feel.

        Were the probabilities of these rows right, doubt would cost them the Kullback-Leibler divergence from what it
        leaves; no label is read.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features of rows that did not train, as the model will meet them.
        p : array of float64, shape (n, k)
            Their probabilities before any doubt.
        shares : array, shape (k,)
            Of the classes where the model will be used.
        counted : array of bool, shape (n,), optional
            Rows that count: neither they nor all rows pay more. Default: all alike.

        Returns
        -------
        Overlap
            Of strength 1, or less where that costs more than 2 % of the log loss that the probabilities promise; 0 at
            worst.
        """
        counted = np.ones(len(X), dtype=bool) if counted is None or not counted.any() else counted
        made = self._with_edges(X, counted)
        made = replace(made, shares=tuple((np.asarray(shares) / np.sum(shares)).tolist()))
        price = _PRICE * np.array([_entropy(p).mean(), _entropy(p)[counted].mean()])
        for strength in _STRENGTHS:
            tried = replace(made, strength=strength)
            after = tried.tempered(p, tried.judge(X)[1])
            cost = (p * np.log(np.maximum(p, 1e-300) / np.maximum(after, 1e-300))).sum(axis=1)
            if cost.mean() <= price[0] and cost[counted].mean() <= price[1]:
                return tried
        return replace(made, strength=0.0)

    def allowing(self, p: np.ndarray, y: np.ndarray) -> Overlap:
        """Return the overlap that doubts all rows as much as labels are likeliest under.

        Parameters
        ----------
        p : array of float64, shape (n, k)
            Probabilities of labelled rows that did not train, as doubt leaves them.
        y : array of int8, shape (n,)
            Their classes.

        Returns
        -------
        Overlap
            Of astray 0 where labels go nowhere that the probabilities exclude.
        """
        from scipy.optimize import minimize_scalar  # no model needs it to predict

        told, dealt = p[np.arange(len(y)), y], np.array(self.shares)[y]

        def loss(share: float) -> float:
            mixed = np.maximum((1.0 - share) * told + share * dealt, 1e-300)
            return -float(np.log(mixed).sum() + _RIGHT * np.log1p(-share))

        share = float(minimize_scalar(loss, bounds=(0.0, _MOST_ASTRAY), method="bounded", options={"xatol": 1e-6}).x)
        return replace(self, astray=share) if loss(share) < loss(0.0) else self

    def _with_edges(self, X: np.ndarray, counted: np.ndarray) -> Overlap:
        """Return the overlap with the misfit and the distance that nearly all rows keep to, and nearly all counted.

        Both for all rows, and by their signal-to-noise where there are enough of them.
        """
        near = self.distances(X)[:, 0]
        misfit = self._misfit(X)
        made = replace(self, misfit_edge=_edge(misfit, counted), near_edge=_edge(near, counted))
        signal = _log(X[:, self.signal]) if self.signal >= 0 else np.full(len(X), np.nan)
        known = np.flatnonzero(np.isfinite(signal))
        parts = np.array_split(known[np.argsort(signal[known], kind="stable")], min(len(known) // _BIN, _BINS) or 1)
        knots = [float(np.median(signal[rows])) for rows in parts if len(rows)]
        edges = [tuple(_edge(values[rows], counted[rows]) for rows in parts) for values in (misfit, near)]
        if len(knots) < 2 or min(np.diff(knots)) <= 0 or not np.isfinite(edges).all():
            return made
        return replace(made, knots=tuple(knots), misfit_edges=edges[0], near_edges=edges[1])


_STRENGTHS = tuple(float(0.9**i) for i in range(30))


def _edge(values: np.ndarray, counted: np.ndarray) -> float:
    known = np.isfinite(values)
    parts = [values[rows].astype(np.float64) for rows in (known, known & counted) if rows.any()]
    return max((float(np.quantile(part, _COMMON)) for part in parts), default=np.inf) or 1e-6


def _log(signal: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(signal.astype(np.float64), 1e-3))


def _entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)


def _scaled(X: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    z = (X.astype(np.float64) - centre) / scale
    return np.clip(np.nan_to_num(z, nan=0.0, posinf=_WIDEST, neginf=-_WIDEST), -_WIDEST, _WIDEST)


def learn_overlap(
    X: np.ndarray,
    y: np.ndarray,
    judged: np.ndarray,
    *,
    components: int = COMPONENTS,
    seed: int = 0,
    names: Sequence[str] = (),
) -> Overlap | None:
    """Learn what training rows look like.

    Parameters
    ----------
    X : array of float32, shape (n, f)
        Features of the rows that trained.
    y : array of int, shape (n,)
        Their classes.
    judged : array of float32, shape (m, f)
        Features of rows that did not train, which set the limits: of the sky, if there are any.
    components : int
        Most principal components.
    seed : int
        Of the sample of at most 20,000 rows of each.
    names : sequence of str, optional
        Of the features: the last that ends in ``_misfit`` is that of the templates, ``snr_whole`` the signal-to-noise;
        colours of two optional bands are not looked at.

    Returns
    -------
    Overlap or None, where there are too few rows to say
    """
    rng = np.random.default_rng(seed)
    X, y = _sample(rng, X, y)
    judged = _sample(rng, judged)[0]
    components = min(components, X.shape[1], len(X) // 10)
    if components < 2 or len(judged) < 100:
        return None
    known = np.isfinite(X).any(axis=0)
    centre, low, high = np.zeros((3, X.shape[1]))
    centre[known], low[known], high[known] = np.nanquantile(X[:, known], [0.5, 0.1, 0.9], axis=0)
    scale = np.where(high > low, (high - low) / 2.563, 1.0)
    scale[[place for place, name in enumerate(names) if _DIFFERENCE.fullmatch(name)]] = _UNSEEN
    z = _scaled(X, centre, scale)
    vectors = np.linalg.eigh(np.cov(z, rowvar=False))[1][:, ::-1][:, :components].T
    inside = z @ vectors.T
    pooled = np.cov(inside, rowvar=False)
    means, whiteners = [], []
    for c in np.unique(y):
        own = inside[y == c]
        # A class of few rows has the covariance of all.
        trust = len(own) / (len(own) + 10.0 * components)
        spread = trust * np.cov(own, rowvar=False) + (1 - trust) * pooled if len(own) > 1 else pooled
        values, axes = np.linalg.eigh(spread)
        means.append(own.mean(axis=0))
        whiteners.append(axes / np.sqrt(np.maximum(values, 1e-6)))
    made = Overlap(centre, scale, vectors, np.stack(means), np.stack(whiteners), np.full(2, np.inf))
    limits = np.quantile(made.distances(judged), 1 - RARE, axis=0)
    misfit = max((place for place, name in enumerate(names) if name.endswith("_misfit")), default=-1)
    signal = list(names).index("snr_whole") if "snr_whole" in names else -1
    return replace(made, limits=limits, misfit=misfit, signal=signal)


def _sample(rng: np.random.Generator, *arrays: np.ndarray) -> list[np.ndarray]:
    n = len(arrays[0])
    rows = np.sort(rng.choice(n, _MOST, replace=False)) if n > _MOST else slice(None)
    return [array[rows] for array in arrays]
