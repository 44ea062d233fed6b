"""Portraits: photo-spectra of a few objects of each class, each beside its mock twin."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..survey.catalogue import Catalogue
from ..survey.dataset import Dataset
from .evaluate import held_out
from .magnitudes import CUT, brighter

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
        ``bands`` (as :meth:`~jpas_gbm.survey.bands.BandSystem.to_dict`), ``survey``, ``source_survey``, ``split``,
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
