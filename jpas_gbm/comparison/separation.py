"""Portraits: photo-spectra of a few objects of each class, each beside its mock twin.

Class balance: how many rows of each class mocks and sky have at each magnitude.

Domain separation: how far mocks and sky are apart, band by band.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata

from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from .evaluation import CUT, brighter, held_out

_MOST_BINS = 9
_OUTSIDE = 0.002


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


def _counts(rows: Catalogue, edges: np.ndarray, k: int) -> list[list[int]]:
    """Count rows by class and bin; those outside the bins go to the nearest, those without magnitude nowhere."""
    used = (rows.label >= 0) & np.isfinite(rows.mag)
    place = np.clip(np.searchsorted(edges, rows.mag[used], side="left") - 1, 0, len(edges) - 2)
    counts = np.zeros((k, len(edges) - 1), dtype=np.int64)
    np.add.at(counts, (rows.label[used].astype(np.int64), place), 1)
    return counts.tolist()


def class_balance(dataset: Dataset) -> dict[str, Any]:
    """Count the labelled rows of both domains by class and magnitude.

    Parameters
    ----------
    dataset : Dataset
        Twins, which never train, are not counted.

    Returns
    -------
    dict
        ``classes``, ``edges`` (a bin holds lower < m <= upper; the end bins hold what lies beyond),
        ``source`` and ``target``: survey, rows, ``without_magnitude`` and ``counts`` by class and bin;
        ``unlabelled``: the number of unlabelled target rows.
    """
    classes = dataset.scheme.classes
    labelled = dataset.target.take(dataset.target.label >= 0)
    source = dataset.source.take(dataset.source.label >= 0)
    edges = balance_edges(np.concatenate([source.mag, labelled.mag]))
    sides = {}
    for name, rows in (("source", source), ("target", labelled)):
        sides[name] = {
            "survey": rows.survey,
            "rows": len(rows),
            "without_magnitude": int((~np.isfinite(rows.mag)).sum()),
            "classes": dataset.scheme.counts(rows.label),
            "counts": _counts(rows, edges, len(classes)) if len(edges) > 1 else [],
        }
    unlabelled = int((dataset.target.label < 0).sum())
    return {"classes": list(classes), "edges": edges.tolist(), **sides, "unlabelled": unlabelled}


PLACES = (0.9, 0.5)
"""Quantiles of the median S/N, within its class, of the objects shown: a bright one and one in the middle."""

_DIGITS = 5
_TRIED = 25


def median_snr(rows: Catalogue) -> np.ndarray:
    """Return each row's median S/N over its observed bands, float64 (n,); 0 where nothing was observed.

    Without photometric errors the median flux stands in.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = rows.flux / rows.flux_err if rows.has_errors else rows.flux
    empty = np.asarray(~np.isfinite(ratio).any(axis=1))
    ratio = np.where(empty[:, None], 0.0, ratio)
    return np.asarray(np.nanmedian(ratio, axis=1), dtype=np.float64)


def _chosen(snr: np.ndarray, gaps: np.ndarray, twin: np.ndarray, places: tuple[float, ...]) -> list[int]:
    """Return one row near each quantile of S/N, one with a twin if any is near, and the last with gaps."""
    order = np.argsort(snr, kind="stable")
    found: list[int] = []
    for i, place in enumerate(places):
        centre = place * (len(order) - 1)
        near = [int(row) for row in order[np.argsort(np.abs(np.arange(len(order)) - centre), kind="stable")]]
        near = [row for row in near if row not in found][:_TRIED]
        if not near:
            break
        wants_gaps = i == len(places) - 1 and i > 0
        found.append(max(near, key=lambda row: (twin[row], wants_gaps == (gaps[row] > 0), -near.index(row))))
    return found


def twin_level(noisy: np.ndarray, err: np.ndarray, mean: np.ndarray) -> float:
    """Return the factor between a mock row and its noise-free fluxes, by weighted least squares.

    Parameters
    ----------
    noisy, err, mean : array, shape (b,)
        NaN counts nowhere. The level is 1 where it cannot be told.
    """
    used = np.isfinite(noisy) & np.isfinite(mean)
    weight = np.where(np.isfinite(err[used]) & (err[used] > 0), 1 / np.maximum(err[used], 1e-30) ** 2, 1.0)
    m = mean[used].astype(np.float64)
    top, bottom = (weight * noisy[used] * m).sum(), (weight * m * m).sum()
    level = top / bottom if bottom > 0 else np.nan
    return float(level) if np.isfinite(level) and level > 0 else 1.0


def _twin(twins: Catalogue, row: int, flux: np.ndarray) -> dict[str, Any]:
    noisy, err = twins.flux[row].astype(np.float64), twins.flux_err[row].astype(np.float64)
    mean = None if twins.flux_mean is None else twins.flux_mean[row].astype(np.float64)
    # A mock row has a level of its own: it is put on that of the noise-free fluxes, or else on the sky's.
    level = twin_level(noisy, err, flux if mean is None else mean)
    return {
        "level": float(f"{level:.4g}"),
        "flux": rounded(noisy / level),
        "flux_err": rounded(err / level),
        "mean": None if mean is None else rounded(mean),
    }


def rounded(values: np.ndarray) -> list[float | None]:
    """Return values to a few digits, None where they are not finite."""
    return [float(f"{v:.{_DIGITS}g}") if np.isfinite(v) else None for v in np.asarray(values, dtype=np.float64)]


def _number(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None


def portraits(
    dataset: Dataset, split: str = "test", cut: float | None = CUT, places: tuple[float, ...] = PLACES
) -> dict[str, Any]:
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
    dict
        ``bands`` (as :meth:`~jpas_gbm.surveys.bands.BandSystem.to_dict`), ``survey``, ``source_survey``, ``split``,
        ``cut``, ``classes``, and ``objects``: class, key, object_id, z, mag, snr, ``flux``, ``flux_err`` in nJy
        by band (None: not observed) and ``twin`` (or None): ``level`` of the mock row, its ``flux`` and
        ``flux_err`` with the level taken out, and the noise-free ``mean`` where the mocks have it.

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
    twin = ids[at] == rows.object_id if len(ids) else np.zeros(len(rows), dtype=bool)
    objects = []
    for code, name in enumerate(dataset.scheme.classes):
        members = np.flatnonzero((rows.label == code) & (snr > 0))
        for i in _chosen(snr[members], gaps[members], twin[members], places):
            row = int(members[i])
            flux = rows.flux[row].astype(np.float64)
            objects.append(
                {
                    "class": name,
                    "key": {column: int(value[row]) for column, value in rows.key.items()},
                    "object_id": str(rows.object_id[row]),
                    "z": _number(rows.z[row]),
                    "mag": _number(rows.mag[row]),
                    "snr": _number(snr[row]),
                    "flux": rounded(flux),
                    "flux_err": rounded(rows.flux_err[row]),
                    "twin": _twin(dataset.twins, int(first[at[row]]), flux) if twin[row] else None,
                }
            )
    return {
        "bands": dataset.target.bands.to_dict(),
        "survey": dataset.target.survey,
        "source_survey": dataset.source.survey,
        "split": split,
        "cut": cut,
        "classes": list(dataset.scheme.classes),
        "objects": objects,
    }


_MOST_ROWS = 6000
_FEWEST = 20


def shapes(rows: Catalogue) -> np.ndarray:
    """Return fluxes in units of the row's median, which takes the level out, float64 (n, b)."""
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


def band_separation(dataset: Dataset, seed: int = 0, most: int = _MOST_ROWS) -> dict[str, Any]:
    """Compare the shapes of mocks and of labelled train and validation rows of the sky, band by band.

    Parameters
    ----------
    dataset : Dataset
    seed : int
        Seed of the samples.
    most : int
        Rows of either domain.

    Returns
    -------
    dict
        ``bands``, rows of either domain, ``classes`` compared; by band ``area``: the chance that a sky object
        is brighter there than a mock of its class, relative to its own median flux (0.5: alike), mean over
        classes as common as in the sky; ``error`` of it if both were alike; and the shares of rows in which
        the band is missing, ``missing_source`` and ``missing_target``.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 83]))
    source = _sample(dataset.source_rows("train"), most, rng)
    target = dataset.target_rows("train", "val")
    target = _sample(target.take(target.label >= 0), most, rng)
    x, y = shapes(source), shapes(target)
    b = len(dataset.target.bands)
    area, error, total = np.zeros(b), np.zeros(b), np.zeros(b)
    compared = []
    for code, name in enumerate(dataset.scheme.classes):
        mine, theirs = x[source.label == code], y[target.label == code]
        if min(len(mine), len(theirs)) < _FEWEST:
            continue
        compared.append(name)
        for i in range(b):
            one, its_error = brighter_in_sky(mine[:, i], theirs[:, i])
            if np.isfinite(one):
                area[i] += len(theirs) * one
                error[i] += (len(theirs) * its_error) ** 2
                total[i] += len(theirs)
    with np.errstate(invalid="ignore", divide="ignore"):
        area, error = area / total, np.sqrt(error) / total
    return {
        "bands": dataset.target.bands.to_dict(),
        "source_rows": len(source),
        "target_rows": len(target),
        "classes": compared,
        "area": rounded(area),
        "error": rounded(error),
        "missing_source": rounded((~source.observed).mean(axis=0)) if len(source) else [None] * b,
        "missing_target": rounded((~target.observed).mean(axis=0)) if len(target) else [None] * b,
    }


def _sample(rows: Catalogue, most: int, rng: np.random.Generator) -> Catalogue:
    if len(rows) <= most:
        return rows
    return rows.take(np.sort(rng.choice(len(rows), most, replace=False)))
