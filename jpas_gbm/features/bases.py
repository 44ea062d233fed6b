"""Low-rank bases of spectral shapes: one per class and redshift bin, or per class and colour bin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import BundleError
from ..options import TemplateOptions
from ..surveys.bands import BandSystem
from ..surveys.batches import slices
from ..surveys.catalogue import Catalogue
from ..surveys.scheme import LabelScheme, default_scheme
from .chi2 import normalise_rows

LEAST_ROWS = 8
"""A class or bin with fewer rows gets no templates of its own."""

_LEAST_BANDS = 4
_TINY = 1e-8


@dataclass(frozen=True, eq=False)
class TemplateBank:
    """T low-rank Gaussian models of normalised fluxes in b bands.

    Model t says that a row's normalised fluxes are ``basis[t] @ c`` plus noise, where the first
    coefficient (of the mean shape) is 1 ± the amplitude prior and the others are 0 ± sqrt(variance).

    Parameters
    ----------
    bands : tuple of str
        Names of the b bands.
    scheme : LabelScheme
        Classes that labels 0, 1, ... stand for.
    group : array of int64, shape (T,)
        Class of each template, ascending.
    place : array of int64, shape (T,)
        Number of the redshift or colour bin within the class; two templates may share one.
    z : array, shape (T, 3)
        Lower edge, centre and upper edge of the redshift bin; NaN where the class has none.
    count : array, shape (T,)
        Rows of the source in the bin: the prior within the class.
    basis : array, shape (T, b, d)
        Mean shape, then the `modes` of the class, then principal components by falling variance, then
        zeros where another template has more of them.
    variance : array, shape (T, d)
        Prior variance of the coefficients.
    modes : array of int64, shape (T,)
        How many columns are variations that observing adds (see :mod:`jpas_gbm.features.variations`).
    rank : int
        Mean shape and principal components together.
    """

    bands: tuple[str, ...]
    scheme: LabelScheme
    group: np.ndarray
    place: np.ndarray
    z: np.ndarray
    count: np.ndarray
    basis: np.ndarray
    variance: np.ndarray
    modes: np.ndarray
    rank: int

    def __len__(self) -> int:
        return len(self.group)

    @property
    def present(self) -> list[int]:
        """Labels of the classes that have templates."""
        return sorted(set(self.group.tolist()))

    def of_classes(self, names: Sequence[str]) -> np.ndarray:
        """Return which templates are of some classes.

        Parameters
        ----------
        names : sequence of str
            Names of classes of the scheme.

        Returns
        -------
        array of bool, shape (T,)
        """
        return np.isin(self.group, [self.scheme.code(name) for name in names])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the bands as arrays by name, for a file.

        The scheme is written where it is not that of the survey, so that the arrays, and with them the hash of a
        recipe, are those of the versions that knew no other.

        Returns
        -------
        dict of str to array
        """
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {"classes": np.array(self.scheme.classes), "rank": np.array(self.rank)}
        if self.scheme != default_scheme():
            arrays["scheme"] = np.array(json.dumps(self.scheme.to_dict()))
        return arrays

    @classmethod
    def from_arrays(cls, bands: tuple[str, ...], arrays: Mapping[str, np.ndarray]) -> TemplateBank:
        """Rebuild from :meth:`to_arrays`.

        Parameters
        ----------
        bands : tuple of str
            Names of the b bands.
        arrays : mapping of str to array
            What was written.

        Returns
        -------
        TemplateBank

        Raises
        ------
        ValueError
            If the basis has other bands or templates.
        KeyError
            If an array is missing.
        """
        plain = {name: np.asarray(arrays[name]) for name in _ARRAYS}
        if plain["basis"].shape[:2] != (len(plain["group"]), len(bands)):
            raise ValueError(f"basis of shape {plain['basis'].shape}")
        written = json.loads(str(arrays["scheme"])) if "scheme" in arrays else None
        scheme = default_scheme() if written is None else LabelScheme.from_dict(written)
        return cls(bands=bands, scheme=scheme, rank=int(arrays["rank"]), **plain)


_ARRAYS = ("group", "place", "z", "count", "basis", "variance", "modes")


def z_bins(z: np.ndarray, options: TemplateOptions) -> list[tuple[float, float]]:
    """Return edges in ln(1 + z) of bins that hold at least ``options.bin_rows`` rows each.

    Bins start at the lowest redshift; a bin too poor grows upward, the last joins the one before.

    Parameters
    ----------
    z : array, shape (n,)
        Redshifts above -1.
    options : TemplateOptions
        Widths of the bins and fewest rows in one.

    Returns
    -------
    list of (float, float)
        Lower and upper edge of each bin, rising.
    """
    scale = np.sort(np.log1p(z))
    centre = np.log1p(options.fine_at)
    edges = [scale[0]]
    while edges[-1] < scale[-1]:
        near = abs(edges[-1] - centre) < options.fine_span
        edges.append(edges[-1] + (options.fine_step if near else options.z_step))
    edges[-1] = max(edges[-1], scale[-1]) + 1e-9
    places = np.searchsorted(scale, edges)
    kept = [0]
    for i in range(1, len(edges)):
        if places[i] - places[kept[-1]] >= options.bin_rows:
            kept.append(i)
    kept = [*kept[: max(1, len(kept) - 1)], len(edges) - 1]
    return [(float(edges[a]), float(edges[b])) for a, b in pairwise(kept)]


def colour_bins(shapes: np.ndarray, bins: int) -> list[np.ndarray]:
    """Return row numbers of bins made by halving the widest bin along its first principal component.

    Halving at the median needs no random start: the same rows make the same bins.

    Parameters
    ----------
    shapes : array, shape (n, b)
        Normalised fluxes.
    bins : int
        Most bins.

    Returns
    -------
    list of array of int
        Row numbers of each bin, ascending.
    """
    soft = np.arcsinh(3.0 * shapes)
    parts = [np.arange(len(shapes))]
    while len(parts) < bins:
        spreads = [soft[rows].var(axis=0).sum() * len(rows) if len(rows) >= 2 * LEAST_ROWS else 0.0 for rows in parts]
        widest = int(np.argmax(spreads))
        if spreads[widest] < _TINY:
            break
        rows = parts.pop(widest)
        centred = soft[rows] - soft[rows].mean(axis=0)
        _, vectors = np.linalg.eigh(centred.T @ centred)
        order = np.argsort(centred @ vectors[:, -1], kind="stable")
        parts += [np.sort(rows[order[: len(rows) // 2]]), np.sort(rows[order[len(rows) // 2 :]])]
    return sorted(parts, key=lambda rows: tuple(shapes[rows].mean(axis=0)))


def _oriented(vectors: np.ndarray) -> np.ndarray:
    """Give each column the sign that makes its largest element positive: libraries differ in it."""
    largest = vectors[np.argmax(abs(vectors), axis=0), np.arange(vectors.shape[1])]
    return vectors * np.where(largest < 0, -1.0, 1.0)


def _packed(mean: np.ndarray, covariance: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1][: rank - 1], _oriented(vectors[:, ::-1][:, : rank - 1])
    # A direction without variance is a zero vector of unit variance: it fits nothing and costs nothing.
    real = values > _TINY
    basis = np.concatenate([mean[:, None], np.where(real, vectors, 0.0)], axis=1)
    return basis, np.concatenate([[1.0], np.where(real, values, 1.0)])


def exact_basis(shapes: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean shape and principal components (b, rank) of noise-free shapes, and their variances (rank,).

    Parameters
    ----------
    shapes : array, shape (n, b)
        Noise-free normalised fluxes.
    rank : int
        Vectors wanted, the mean shape included.

    Returns
    -------
    basis : array of float64, shape (b, rank)
        Mean shape, then principal components by falling variance; zeros where there are fewer.
    variance : array of float64, shape (rank,)
        Variance along each; 1 for the mean shape and for zeros.
    """
    mean = shapes.mean(axis=0)
    centred = shapes - mean
    return _packed(mean, centred.T @ centred / max(len(shapes) - 1, 1), rank)


def noisy_basis(x: np.ndarray, weight: np.ndarray, rank: int, iterations: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return the basis and variances of shapes seen through noise and gaps.

    Expectation-maximisation of a low-rank Gaussian with a known error per value (as in extreme
    deconvolution, Bovy, Hogg and Roweis 2011): noise is not taken for variety, gaps weigh nothing.

    Parameters
    ----------
    x, weight : array, shape (n, b)
        Normalised fluxes and 1/σ²; both 0 where missing.
    rank : int
        Vectors wanted, the mean shape included.
    iterations : int
        Rounds of expectation and maximisation.

    Returns
    -------
    basis : array of float64, shape (b, rank)
        Mean shape, then principal components by falling variance.
    variance : array of float64, shape (rank,)
        Variance along each; 1 for the mean shape.
    """
    total = np.maximum(weight.sum(axis=0), 1e-300)
    mean = (weight * x).sum(axis=0) / total
    excess = np.maximum((weight * (x - mean) ** 2 - (weight > 0)).sum(axis=0) / total, _TINY)
    start = np.where(weight > 0, (x - mean) * np.minimum(1.0, np.sqrt(weight * excess)), 0.0)
    basis, variance = _packed(mean, start.T @ start / len(x) + _TINY * np.eye(len(mean)), rank)
    for _ in range(iterations):
        normal = np.einsum("bi,nb,bj->nij", basis, weight, basis, optimize=True) + np.diag(1.0 / variance)
        pull = (weight * x) @ basis
        pull[:, 0] += 1.0 / variance[0]
        spread = np.linalg.inv(normal)
        c = np.einsum("nij,nj->ni", spread, pull)
        second = np.einsum("ni,nj->nij", c, c) + spread
        left = np.einsum("nb,nij->bij", weight, second, optimize=True) + _TINY * np.eye(rank)
        vectors = np.linalg.solve(left, ((weight * x).T @ c)[..., None])[..., 0]
        centre = c.mean(axis=0)
        covariance = second.mean(axis=0) - np.outer(centre, centre)
        basis, variance = _packed(vectors @ centre, vectors @ covariance @ vectors.T, rank)
    return basis, variance


def _has_redshifts(z: np.ndarray) -> bool:
    known = np.isfinite(z) & (z > -1)
    if known.mean() < 0.9:
        return False
    low, high = np.percentile(np.log1p(z[known]), [5, 95])
    return bool(high - low > 0.02)


def _class_bins(
    z: np.ndarray, shapes: np.ndarray, options: TemplateOptions
) -> Iterator[tuple[np.ndarray, int, tuple[float, float, float]]]:
    """Yield rows, number and redshift range of each template of a class."""
    if not _has_redshifts(z):
        for place, rows in enumerate(colour_bins(shapes, options.colour_bins)):
            yield rows, place, (np.nan, np.nan, np.nan)
        return
    scale = np.where(np.isfinite(z) & (z > -1), np.log1p(z), np.nan)
    for place, (low, high) in enumerate(z_bins(np.expm1(scale[np.isfinite(scale)]), options)):
        rows = np.flatnonzero((scale >= low) & (scale < high))
        middle = float(np.median(scale[rows]))
        # Many objects of one redshift, the lowest, put the median on the edge: the centre stays inside the bin.
        centre = float(np.expm1(middle if middle > low else 0.5 * (low + high)))
        parts = colour_bins(shapes[rows], 2) if len(rows) >= 2 * options.part_rows else [np.arange(len(rows))]
        for part in parts:
            yield rows[part], place, (float(np.expm1(low)), centre, float(np.expm1(high)))


def _shapes(source: Catalogue, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    if source.flux_mean is not None:
        shapes = np.empty((len(rows), source.flux_mean.shape[1]))
        for part in slices(len(rows)):
            mean = source.flux_mean[rows[part]]
            shapes[part] = normalise_rows(np.where(np.isfinite(mean), mean, 0.0), np.zeros_like(mean), 0.0)[0]
        return shapes, None
    return normalise_rows(source.flux[rows], source.flux_err[rows], 0.03)


def learn_bank(source: Catalogue, scheme: LabelScheme, rank: int, options: TemplateOptions, seed: int) -> TemplateBank:
    """Learn the templates of every class that the source holds.

    Parameters
    ----------
    source : Catalogue
        Labelled rows; noise-free fluxes (`flux_mean`) are used where the catalogue has them, else
        the noisy ones through :func:`noisy_basis`.
    scheme : LabelScheme
        The classes of labels 0, 1, ...
    rank : int
        Vectors in each basis, the mean shape included.
    options : TemplateOptions
        How templates are cut and fitted.
    seed : int
        Draws the rows of bins that hold more than ``options.most_rows``.

    Returns
    -------
    TemplateBank
        Of T templates, none where no class has :data:`LEAST_ROWS` rows.
    """
    usable, labelled = np.zeros(len(source), dtype=bool), np.flatnonzero(source.label >= 0)
    for part in slices(len(labelled)):
        usable[labelled[part]] = (_shapes(source, labelled[part])[0] != 0).sum(axis=1) > rank
    rng = np.random.default_rng(seed)
    group, number, z, count, basis, variance = [], [], [], [], [], []
    for label in range(len(scheme)):
        mine = np.flatnonzero(usable & (source.label == label))
        if len(mine) < LEAST_ROWS:
            continue
        # Of one class at a time: shapes are double precision, of all mocks several times what these are stored in.
        x, weight = _shapes(source, mine)
        for rows, place, interval in _class_bins(source.z[mine], x, options):
            chosen = rows
            if len(rows) > options.most_rows:
                chosen = np.sort(rng.choice(chosen, options.most_rows, replace=False))
            learnt = exact_basis(x[chosen], rank) if weight is None else noisy_basis(x[chosen], weight[chosen], rank)
            group.append(label)
            number.append(place)
            z.append(interval)
            count.append(float(len(rows)))
            basis.append(learnt[0])
            variance.append(learnt[1])
    return TemplateBank(
        bands=source.bands.names,
        scheme=scheme,
        group=np.array(group, dtype=np.int64),
        place=np.array(number, dtype=np.int64),
        z=np.array(z, dtype=np.float64).reshape(-1, 3),
        count=np.array(count, dtype=np.float64),
        basis=np.array(basis, dtype=np.float64).reshape(-1, len(source.bands), rank),
        variance=np.array(variance, dtype=np.float64).reshape(-1, rank),
        modes=np.zeros(len(group), dtype=np.int64),
        rank=rank,
    )


def allowed_ranks(ranks: tuple[int, ...], bands: BandSystem) -> tuple[tuple[int, ...], str]:
    """Return the ranks that a band system can carry, rising, and a note where they are fewer or lower.

    A fit of rank r needs r + 2 bands to leave a misfit that says something.

    Parameters
    ----------
    ranks : tuple of int
        Ranks that are asked for.
    bands : BandSystem
        The bands.

    Returns
    -------
    ranks : tuple of int
        Those that the bands can carry, rising; empty where there are too few bands.
    note : str
        What was lowered or left out and why; empty where nothing was.
    """
    wanted = sorted(set(ranks))
    most = len(bands) - 2
    if len(bands) < _LEAST_BANDS:
        return (), (
            f"template features step aside: '{bands.name}' has {len(bands)} bands, a fit needs {_LEAST_BANDS} or more."
        )
    kept = tuple(rank for rank in wanted if rank <= most) or (most,)
    if kept == tuple(wanted):
        return kept, ""
    return kept, (
        f"template ranks {', '.join(map(str, wanted))} became {', '.join(map(str, kept))}: '{bands.name}' has "
        f"{len(bands)} bands, a fit of rank r needs r + 2."
    )


def _numbers(value: Any) -> np.ndarray:
    array: np.ndarray = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array of {array.dtype} where numbers are needed")
    return array


_READERS: dict[str, Callable[[Any], Any]] = {
    "np.ndarray": _numbers,
    "float": float,
    "int": int,
    "str": str,
    "tuple[str, ...]": lambda value: tuple(str(item) for item in value),
    "tuple[int, ...]": lambda value: tuple(int(item) for item in value),
    "tuple[float, ...]": lambda value: tuple(float(item) for item in value),
}


class Stored:
    """Base of frozen dataclasses whose fields are arrays, numbers, texts and tuples of these.

    Attributes
    ----------
    stored_as : str
        What error messages call the thing.
    """

    stored_as: ClassVar[str] = "arrays"

    def __repr__(self) -> str:
        said = [f"{name} {array.shape}" for name, array in self.to_arrays().items() if array.ndim]
        return f"{type(self).__name__}({', '.join(said)})"

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fields by name, in a form that ``numpy.savez`` can hold.

        Returns
        -------
        dict of str to array
        """
        return {of.name: np.asarray(getattr(self, of.name)) for of in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from :meth:`to_arrays`.

        Parameters
        ----------
        arrays : mapping of str to array
            Those of fields that have a default may be missing.

        Returns
        -------
        Self

        Raises
        ------
        BundleError
            If an array is missing or does not fit its field.
        """
        try:
            given = {
                of.name: _READERS[str(of.type)](arrays[of.name])
                for of in fields(cls)  # type: ignore[arg-type]
                if of.name in arrays or of.default is MISSING
            }
            return cls(**given)
        except (KeyError, ValueError, TypeError) as error:
            raise BundleError(
                f"the {cls.stored_as} of the model: damaged ({error}). Restore the model or fit again."
            ) from error
