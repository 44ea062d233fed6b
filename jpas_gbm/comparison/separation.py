"""Mocks beside the sky: class balance by magnitude, photo-spectra with mock twins, and separation band by band."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, PlainSerializer, PlainValidator
from scipy.stats import rankdata

from ..surveys.bands import BandSystem
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from ..surveys.scheme import LabelScheme
from .evaluation import CUT
from .judged_rows import brighter, held_out

_MOST_BINS = 9
_OUTSIDE = 0.002
_DIGITS = 5

Known = float | None
Row = tuple[Known, ...]
Bands = Annotated[
    BandSystem,
    PlainValidator(lambda value: value if isinstance(value, BandSystem) else BandSystem.from_dict(value)),
    PlainSerializer(BandSystem.to_dict),
]


def rounded(values: np.ndarray) -> Row:
    """Return values to a few digits, None where they are not finite.

    Parameters
    ----------
    values : array, shape (n,)
        Numbers.

    Returns
    -------
    tuple of float or None
        As many.
    """
    return tuple(_number(v) for v in np.asarray(values, dtype=np.float64))


def _number(value: float) -> Known:
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None


@dataclass(frozen=True)
class BalanceSide:
    """Labelled rows of one domain by class and magnitude.

    Parameters
    ----------
    survey : str
    rows : int
        Labelled rows.
    without_magnitude : int
        Of them, those in no bin.
    classes : mapping of str to int
        Rows of each class.
    counts : tuple of tuple of int
        By class and bin; empty where no magnitude is known.
    """

    survey: str
    rows: int
    without_magnitude: int
    classes: Mapping[str, int]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Balance:
    """Rows of both domains by class and magnitude.

    Parameters
    ----------
    classes : tuple of str
    edges : tuple of float
        A bin holds lower < m <= upper; the end bins hold what lies beyond. Empty where no magnitude is known.
    source, target : BalanceSide
    unlabelled : int
        Unlabelled target rows.
    """

    classes: tuple[str, ...]
    edges: tuple[float, ...]
    source: BalanceSide
    target: BalanceSide
    unlabelled: int

    @property
    def sides(self) -> tuple[BalanceSide, BalanceSide]:
        """Source and target."""
        return self.source, self.target


def balance_edges(mag: np.ndarray, most: int = _MOST_BINS) -> np.ndarray:
    """Return edges of magnitude bins, whole or half magnitudes wide or more, that hold all but a few stragglers.

    Parameters
    ----------
    mag : array, shape (n,)
        NaN counts nowhere.
    most : int
        Largest number of bins.

    Returns
    -------
    array, shape (bins + 1,)
        Empty where no magnitude is known.
    """
    known = np.asarray(mag, dtype=np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return np.empty(0)
    low, high = np.quantile(known, [_OUTSIDE, 1 - _OUTSIDE])
    for width in (0.5, 1.0, 2.0, 4.0, 8.0):
        first, last = np.floor(low / width), max(np.ceil(high / width), np.floor(low / width) + 1)
        if last - first <= most:
            break
    return width * np.arange(first, last + 1)


def _counts(rows: Catalogue, edges: np.ndarray, k: int) -> tuple[tuple[int, ...], ...]:
    """Count rows by class and bin; those outside the bins go to the nearest, those without magnitude nowhere."""
    used = (rows.label >= 0) & np.isfinite(rows.mag)
    place = np.clip(np.searchsorted(edges, rows.mag[used], side="left") - 1, 0, len(edges) - 2)
    counts = np.zeros((k, len(edges) - 1), dtype=np.int64)
    np.add.at(counts, (rows.label[used].astype(np.int64), place), 1)
    return tuple(tuple(row) for row in counts.tolist())


def _balance_side(rows: Catalogue, edges: np.ndarray, scheme: LabelScheme) -> BalanceSide:
    counts = _counts(rows, edges, len(scheme.classes)) if len(edges) > 1 else ()
    lost = int((~np.isfinite(rows.mag)).sum())
    return BalanceSide(rows.survey, len(rows), lost, scheme.counts(rows.label), counts)


def class_balance(dataset: Dataset) -> Balance:
    """Count the labelled rows of both domains by class and magnitude.

    Parameters
    ----------
    dataset : Dataset
        Twins, which never train, are not counted.

    Returns
    -------
    Balance
        Of all splits together.
    """
    scheme = dataset.scheme
    target = dataset.target.take(dataset.target.label >= 0)
    source = dataset.source.take(dataset.source.label >= 0)
    edges = balance_edges(np.concatenate([source.mag, target.mag]))
    both = _balance_side(source, edges, scheme), _balance_side(target, edges, scheme)
    return Balance(tuple(scheme.classes), tuple(edges.tolist()), *both, int((dataset.target.label < 0).sum()))


PLACES = (0.9, 0.5)
"""Quantiles of the median S/N, within its class, of the objects shown: a bright one and one in the middle."""

_TRIED = 25


@dataclass(frozen=True)
class Twin:
    """The mock row made from an object.

    Parameters
    ----------
    level : float
        Factor between this row and its noise-free fluxes (or the sky's, where they are not known).
    flux, flux_err : tuple of float or None
        In nJy by band, with the level taken out; None where not observed.
    mean : tuple of float or None, or None
        The noise-free fluxes, where the mocks have them.
    """

    level: float
    flux: Row
    flux_err: Row
    mean: Row | None


@dataclass(frozen=True)
class ShownObject:
    """A labelled object of the sky.

    Parameters
    ----------
    cls : str
        Its class, saved as ``class``.
    key : mapping of str to int
        Columns that identify its row.
    object_id : str
    z, mag, snr : float or None
        Redshift, magnitude, and median S/N over the observed bands.
    flux, flux_err : tuple of float or None
        In nJy by band; None where not observed.
    twin : Twin or None
    """

    cls: Annotated[str, Field(alias="class")]
    key: Mapping[str, int]
    object_id: str
    z: Known
    mag: Known
    snr: Known
    flux: Row
    flux_err: Row
    twin: Twin | None


@dataclass(frozen=True)
class Portraits:
    """Photo-spectra of a few objects of each class, with those of their mock twins.

    Parameters
    ----------
    bands : BandSystem
        Of every photo-spectrum.
    survey, source_survey : str
        Of the sky and of the mocks.
    split : str
        Where the objects are from.
    cut : float or None
        Faintest magnitude.
    classes : tuple of str
    objects : tuple of ShownObject
        The bright before the faint of each class.
    """

    bands: Bands
    survey: str
    source_survey: str
    split: str
    cut: float | None
    classes: tuple[str, ...]
    objects: tuple[ShownObject, ...]


def median_snr(rows: Catalogue) -> np.ndarray:
    """Return each row's median S/N over its observed bands, float64 (n,); 0 where nothing was observed.

    Without photometric errors the median flux stands in.

    Parameters
    ----------
    rows : Catalogue
        n rows.

    Returns
    -------
    array of float64, shape (n,)
        Median S/N.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = rows.flux / rows.flux_err if rows.has_errors else rows.flux
    empty = np.asarray(~np.isfinite(ratio).any(axis=1))
    ratio = np.where(empty[:, None], 0.0, ratio)
    return np.asarray(np.nanmedian(ratio, axis=1), dtype=np.float64)


def _chosen(snr: np.ndarray, gaps: np.ndarray, twin: np.ndarray, places: tuple[float, ...]) -> list[int]:
    """Return one row near each quantile of S/N, one with a twin if any is near, and the last with gaps."""
    order = np.argsort(snr, kind="stable")
    chosen: list[int] = []
    for i, place in enumerate(places):
        centre = place * (len(order) - 1)
        near = [int(row) for row in order[np.argsort(np.abs(np.arange(len(order)) - centre), kind="stable")]]
        near = [row for row in near if row not in chosen][:_TRIED]
        if not near:
            break
        wants_gaps = i == len(places) - 1 and i > 0
        chosen.append(max(near, key=lambda row: (twin[row], wants_gaps == (gaps[row] > 0), -near.index(row))))
    return chosen


def twin_level(noisy: np.ndarray, err: np.ndarray, mean: np.ndarray) -> float:
    """Return the factor between a mock row and its noise-free fluxes, by weighted least squares.

    Parameters
    ----------
    noisy, err, mean : array, shape (b,)
        NaN counts nowhere. The level is 1 where it cannot be told.

    Returns
    -------
    float
        The factor.
    """
    used = np.isfinite(noisy) & np.isfinite(mean)
    weight = np.where(np.isfinite(err[used]) & (err[used] > 0), 1 / np.maximum(err[used], 1e-30) ** 2, 1.0)
    m = mean[used].astype(np.float64)
    top, bottom = (weight * noisy[used] * m).sum(), (weight * m * m).sum()
    level = top / bottom if bottom > 0 else np.nan
    return float(level) if np.isfinite(level) and level > 0 else 1.0


def _twin(twins: Catalogue, row: int, flux: np.ndarray) -> Twin:
    noisy, err = twins.flux[row].astype(np.float64), twins.flux_err[row].astype(np.float64)
    mean = None if twins.flux_mean is None else twins.flux_mean[row].astype(np.float64)
    # A mock row has a level of its own: it is put on that of the noise-free fluxes, or else on the sky's.
    level = twin_level(noisy, err, flux if mean is None else mean)
    noise_free = None if mean is None else rounded(mean)
    return Twin(float(f"{level:.4g}"), rounded(noisy / level), rounded(err / level), noise_free)


def portraits(
    dataset: Dataset, split: str = "test", cut: float | None = CUT, places: tuple[float, ...] = PLACES
) -> Portraits:
    """Choose objects of each class and return their photo-spectra, with those of their mock twins.

    Parameters
    ----------
    dataset : Dataset
        Twins are the mock rows of the same object that were kept out of training.
    split : str
        From which labelled target rows.
    cut : float, optional
        Faintest magnitude.
    places : tuple of float
        Where in the order of median S/N of a class, 0 to 1, its objects are taken: the nearest that has a
        twin, the last one with missing bands where there is such.

    Returns
    -------
    Portraits
        As many objects of each class as there are places, where it has so many.

    Raises
    ------
    DatasetError
        If no row of the split is bright enough.
    """
    rows = held_out(dataset, split)
    rows = rows.take(brighter(rows.mag, cut))
    snr, gaps = median_snr(rows), (~rows.observed).sum(axis=1)
    ids, first = np.unique(dataset.twins.object_id, return_index=True)
    at = np.searchsorted(ids, rows.object_id).clip(max=max(len(ids) - 1, 0))
    has_twin = ids[at] == rows.object_id if len(ids) else np.zeros(len(rows), dtype=bool)
    objects = []
    for code, name in enumerate(dataset.scheme.classes):
        members = np.flatnonzero((rows.label == code) & (snr > 0))
        for row in members[_chosen(snr[members], gaps[members], has_twin[members], places)].tolist():
            flux = rows.flux[row].astype(np.float64)
            key = {column: int(value[row]) for column, value in rows.key.items()}
            z, mag, level = _number(rows.z[row]), _number(rows.mag[row]), _number(snr[row])
            twin = _twin(dataset.twins, int(first[at[row]]), flux) if has_twin[row] else None
            spectrum = rounded(flux), rounded(rows.flux_err[row])
            objects.append(ShownObject(name, key, str(rows.object_id[row]), z, mag, level, *spectrum, twin))
    target, classes = dataset.target, tuple(dataset.scheme.classes)
    return Portraits(target.bands, target.survey, dataset.source.survey, split, cut, classes, tuple(objects))


_MOST_ROWS = 6000
_FEWEST = 20


@dataclass(frozen=True)
class Separation:
    """How far mocks and sky are apart, band by band.

    Parameters
    ----------
    bands : BandSystem
    source_rows, target_rows : int
        Rows compared.
    classes : tuple of str
        Classes compared.
    area : tuple of float or None
        By band, the chance that a sky object is brighter there than a mock of its class, relative to its own median
        flux (0.5: alike), mean over classes as common as in the sky.
    error : tuple of float or None
        Of `area`, if both were alike.
    missing_source, missing_target : tuple of float or None
        Shares of rows in which the band is missing.
    """

    bands: Bands
    source_rows: int
    target_rows: int
    classes: tuple[str, ...]
    area: Row
    error: Row
    missing_source: Row
    missing_target: Row


def shapes(rows: Catalogue) -> np.ndarray:
    """Return fluxes in units of the row's median, which takes the level out, float64 (n, b).

    Parameters
    ----------
    rows : Catalogue
        n rows of b bands.

    Returns
    -------
    array of float64, shape (n, b)
        NaN where a band is missing.
    """
    flux = rows.flux.astype(np.float64)
    empty = np.asarray(~np.isfinite(flux).any(axis=1))
    level = np.nanmedian(np.where(empty[:, None], 1.0, flux), axis=1)
    return flux / np.where(level > 0, level, np.nan)[:, None]


def brighter_in_sky(source: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return the chance that a target value exceeds a source value, and its error if both were alike.

    Parameters
    ----------
    source, target : array, shape (n,) and (m,)
        NaN counts nowhere.

    Returns
    -------
    tuple of float
        Area under the ROC, 0.5 for like distributions (Mann and Whitney 1947); NaN with too few rows.
    """
    source, target = source[np.isfinite(source)], target[np.isfinite(target)]
    n, m = len(source), len(target)
    if min(n, m) < _FEWEST:
        return float("nan"), float("nan")
    ranks = rankdata(np.concatenate([source, target]))
    area = (ranks[n:].sum() - m * (m + 1) / 2) / (n * m)
    return float(area), float(np.sqrt((n + m + 1) / (12 * n * m)))


def band_separation(dataset: Dataset, seed: int = 0, most: int = _MOST_ROWS) -> Separation:
    """Compare the shapes of mocks and of labelled train and validation rows of the sky, band by band.

    Parameters
    ----------
    dataset : Dataset
        The rows.
    seed : int
        Seed of the samples.
    most : int
        Rows of either domain.

    Returns
    -------
    Separation
        Areas under the ROC by band, and what is missing.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 83]))
    source = _sample(dataset.source_rows("train"), most, rng)
    target = dataset.target_rows("train", "val")
    target = _sample(target.take(target.label >= 0), most, rng)
    x, y = shapes(source), shapes(target)
    b = len(dataset.target.bands)
    area, variance, total = np.zeros(b), np.zeros(b), np.zeros(b)
    compared = []
    for code, name in enumerate(dataset.scheme.classes):
        mocks, sky = x[source.label == code], y[target.label == code]
        if min(len(mocks), len(sky)) < _FEWEST:
            continue
        compared.append(name)
        for i in range(b):
            chance, error = brighter_in_sky(mocks[:, i], sky[:, i])
            if np.isfinite(chance):
                area[i] += len(sky) * chance
                variance[i] += (len(sky) * error) ** 2
                total[i] += len(sky)
    with np.errstate(invalid="ignore", divide="ignore"):
        area, error_of_area = area / total, np.sqrt(variance) / total
    missing = [rounded((~rows.observed).mean(axis=0)) if len(rows) else (None,) * b for rows in (source, target)]
    sizes = len(source), len(target)
    return Separation(dataset.target.bands, *sizes, tuple(compared), rounded(area), rounded(error_of_area), *missing)


def _sample(rows: Catalogue, most: int, rng: np.random.Generator) -> Catalogue:
    if len(rows) <= most:
        return rows
    return rows.take(np.sort(rng.choice(len(rows), most, replace=False)))
