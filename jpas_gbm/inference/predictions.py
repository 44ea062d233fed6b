"""Predictions: what a model says of each row of a catalogue, in the order of its rows.

Imaging magnitudes and morphology for catalogue rows that pass by in chunks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import CatalogueError
from ..model import is_bare
from ..output.write_columns import Column, probability_name, record_type
from ..surveys.bands import BandSystem
from ..surveys.catalogue import Catalogue
from ..surveys.labels import ImagingTable
from ..surveys.quality import QualityBit
from ..surveys.reader import read_imaging


def _unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    lon, lat = np.deg2rad(ra), np.deg2rad(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


class ImagingIndex:
    """An imaging table, searched by position: built once, asked for each chunk.

    Each row takes the nearest imaging source within the radius. Unlike the mutual match that makes
    a data set (where overlaps are merged first), rows may share a source: a source seen on two
    overlapping tiles has two rows, and both are given its magnitude. So the answer for a row
    depends on that row alone, and not on the size of the chunks.

    Parameters
    ----------
    table : ImagingTable
        Magnitude and morphology by position.
    radius : float
        In arcsec.
    """

    def __init__(self, table: ImagingTable, radius: float) -> None:
        from scipy.spatial import cKDTree

        self.rows = np.flatnonzero(np.isfinite(table.ra) & np.isfinite(table.dec))
        self.table = table
        self.radius = radius
        self.matched = 0
        # A tree of sky positions needs no balance or tight boxes, and builds twice as fast without.
        vectors = _unit_vectors(table.ra[self.rows], table.dec[self.rows])
        self._tree = cKDTree(vectors, balanced_tree=False, compact_nodes=False)

    @classmethod
    def read(cls, paths: Sequence[str | Path], radius: float) -> ImagingIndex:
        """Read Tractor tables (or others of kind imaging) and index them."""
        return cls(ImagingTable.concat([read_imaging(path)[0] for path in paths]), radius)

    def attach(self, catalogue: Catalogue, threads: int = 1) -> Catalogue:
        """Return the catalogue with magnitude and morphology of the matched rows."""
        here = np.flatnonzero(np.isfinite(catalogue.ra) & np.isfinite(catalogue.dec))
        chord = 2 * np.sin(np.deg2rad(self.radius / 3600) / 2)
        vectors = _unit_vectors(catalogue.ra[here], catalogue.dec[here])
        distance, place = self._tree.query(vectors, distance_upper_bound=chord, workers=threads)
        near = np.isfinite(distance)
        here, there = here[near], self.rows[place[near]]
        self.matched += len(here)
        mag, imaging_mag = catalogue.mag.copy(), catalogue.imaging_mag.copy()
        morphology = catalogue.morphology.copy()
        imaging_mag[here], morphology[here] = self.table.mag[there], self.table.morphology[there]
        mag[here] = np.where(np.isfinite(self.table.mag[there]), self.table.mag[there], mag[here])
        return catalogue.replace(mag=mag, imaging_mag=imaging_mag, morphology=morphology)

    def require_matches(self, path: str | Path, rows: int) -> None:
        """Refuse an imaging table that has none of the catalogue's sources.

        Raises
        ------
        CatalogueError
            If no row was matched.
        """
        if rows and not self.matched:
            raise CatalogueError(
                f"{path}: none of its {rows:,} rows lies within {self.radius:g} arcsec of the {len(self.rows):,} "
                "sources of the imaging table. Check that both cover the same field, or leave out --legacy."
            )


_PHOTOZ = "_z_quasar"


class Fitted(Protocol):
    """What predicting needs of a model."""

    @property
    def bands(self) -> BandSystem:
        """Bands that the features need."""

    @property
    def photometry(self) -> str:
        """Which measurement the target's fluxes are."""

    @property
    def thresholds(self) -> np.ndarray:
        """Class factors of the thresholded decision, shape (k,)."""

    @property
    def card(self) -> Mapping[str, Any]:
        """The model card."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order."""

    @property
    def members(self) -> Sequence[Any]:
        """The ensemble."""

    @property
    def rule(self) -> Any:
        """Decision that validation chose."""

    def features(self, catalogue: Catalogue, threads: int = 1) -> Any:
        """Return the features of a catalogue, or refuse it."""

    def judge(self, X: np.ndarray, bare: np.ndarray, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities, float64 (n, k), and the spread of the members, (n,)."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities, decisions and warnings for each of n rows.

    Parameters
    ----------
    classes : tuple of str
        Names of the k classes.
    catalogue : Catalogue
        The rows: ids, positions, magnitudes.
    probabilities : array of float32, shape (n, k)
        Rows sum to 1 within single precision.
    thresholds : array, shape (k,)
        Class factors of the thresholded decision.
    spread : array of float32, shape (n,), optional
        Standard deviation over ensemble members of the probability of the most probable class.
    photoz : array of float32, shape (n,), optional
        Redshift of each row, were it a quasar.
    quality : array of uint16, shape (n,)
        Bits of :class:`~jpas_gbm.surveys.quality.QualityBit`.
    more : mapping of str to array, each of length n
        Columns that :class:`MoreColumns` gave, by name.
    """

    classes: tuple[str, ...]
    catalogue: Catalogue
    probabilities: np.ndarray
    thresholds: np.ndarray
    spread: np.ndarray | None
    photoz: np.ndarray | None
    quality: np.ndarray
    more: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def label(self) -> np.ndarray:
        """Code of the most probable class, intp (n,)."""
        return np.argmax(self.probabilities, axis=1)

    @property
    def entropy(self) -> np.ndarray:
        """Entropy of the probabilities in nats, float64 (n,)."""
        p = self.probabilities.astype(np.float64)
        return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=1)

    def records(self, columns: Sequence[Column]) -> np.ndarray:
        """Return the rows as a structured array of the columns asked for."""
        table = np.empty(len(self), dtype=record_type(columns))
        names = np.array(self.classes, dtype="S")
        values: dict[str, Any] = {probability_name(c): self.probabilities[:, i] for i, c in enumerate(self.classes)}
        values |= {
            "RA": self.catalogue.ra,
            "DEC": self.catalogue.dec,
            "MAG": self.catalogue.mag,
            "CLASS": names[self.label],
            "CLASS_THRESHOLDED": names[np.argmax(self.probabilities * self.thresholds, axis=1)],
            "ENTROPY": self.entropy,
            "SPREAD": self.spread,
            "PHOTOZ_QSO": self.photoz,
            "QUALITY": self.quality,
            **self.more,
        }
        for column in columns:
            key = self.catalogue.key.get(column.name)
            table[column.name] = key if key is not None else values.get(column.name, self.catalogue.object_id)
        return table


class MoreColumns(Protocol):
    """Columns beside those of every prediction file, worked out chunk by chunk: explanations, say."""

    @property
    def columns(self) -> Sequence[Column]:
        """What they are."""

    def of(self, predictions: Predictions) -> Mapping[str, np.ndarray]:
        """Return them by name for the rows of a chunk."""


def predict_catalogue(fitted: Fitted, catalogue: Catalogue, threads: int = 1) -> Predictions:
    """Classify the rows of a catalogue that is in memory.

    Decisions are taken on the probabilities as they are written, in single precision, so that a
    file agrees with itself.

    Parameters
    ----------
    fitted : Fitted
        The model.
    catalogue : Catalogue
        n rows of the survey, bands and photometry that the model was trained for.
    threads : int
        Threads of features and trees.

    Raises
    ------
    FeatureMismatch
        If bands are missing or the fluxes are another measurement.
    """
    matrix = fitted.features(catalogue, threads)
    p, spread = fitted.judge(matrix.X, is_bare(catalogue), threads)
    return Predictions(
        classes=tuple(fitted.classes),
        catalogue=catalogue,
        probabilities=p.astype(np.float32),
        thresholds=np.asarray(fitted.thresholds, dtype=np.float64),
        spread=spread.astype(np.float32) if len(fitted.members) > 1 else None,
        photoz=photometric_redshift(matrix),
        quality=quality_bits(catalogue, fitted.card.get("magnitude_range"), low_overlap(fitted, matrix.X)),
    )


def photometric_redshift(matrix: Any) -> np.ndarray | None:
    """Return the redshift of each row were it a quasar, float32 (n,), where the features have template fits.

    It is a by-product of the fit of highest rank: the feature whose name ends in ``_z_quasar``.
    """
    named = [i for i, name in enumerate(getattr(matrix, "names", ())) if name.endswith(_PHOTOZ)]
    return np.array(matrix.X[:, named[-1]], dtype=np.float32) if named else None


def low_overlap(fitted: Fitted, X: np.ndarray) -> np.ndarray | None:
    """Return which rows are unlike those that trained the model, bool (n,), where it can tell."""
    overlap = getattr(fitted, "overlap", None)
    return None if overlap is None else overlap.low(X)


def quality_bits(
    catalogue: Catalogue, magnitudes: Sequence[float] | None = None, unlike: np.ndarray | None = None
) -> np.ndarray:
    """Return the reader's quality bits with those that only predicting knows, uint16 (n,).

    Parameters
    ----------
    catalogue : Catalogue
        n rows.
    magnitudes : (brightest, faintest), optional
        Range of the model's training rows.
    unlike : array of bool, shape (n,), optional
        Rows that are unlike the training rows.
    """
    bits = catalogue.quality.copy()
    bits[np.isnan(catalogue.imaging_mag)] |= np.uint16(QualityBit.NO_IMAGING)
    bits[catalogue.morphology == 0] |= np.uint16(QualityBit.UNKNOWN_MORPHOLOGY)
    if magnitudes is not None:
        with np.errstate(invalid="ignore"):
            outside = (catalogue.mag < magnitudes[0]) | (catalogue.mag > magnitudes[1])
        bits[outside] |= np.uint16(QualityBit.OUTSIDE_MAGNITUDES)
    if unlike is not None:
        bits[unlike] |= np.uint16(QualityBit.LOW_OVERLAP)
    return bits
