"""Predictions: what a model says of each row of a catalogue, in the order of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .errors import CatalogueError, FeatureMismatch
from .features.recipe import FeatureMatrix
from .output.writers import Column, prediction_columns, probability_name, record_type, to_pandas, to_table
from .surveys.audit import QualityBit
from .surveys.bands import BandSystem
from .surveys.catalogue import Catalogue
from .surveys.reader import CatalogueReader
from .surveys.recognition import Source
from .surveys.schema import load_schema, survey_names

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

_PHOTOZ = "_z_quasar"
_SHOWN = 5


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
    """

    classes: tuple[str, ...]
    catalogue: Catalogue
    probabilities: np.ndarray
    thresholds: np.ndarray
    spread: np.ndarray | None
    photoz: np.ndarray | None
    quality: np.ndarray

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

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {n}" for name, n in self.counts().items())
        return f"<Predictions: {len(self):,} rows of {self.catalogue.survey} ({counts})>"

    def _repr_html_(self) -> str:
        shown = self.to_pandas(slice(0, _SHOWN)).to_html(index=False, float_format="{:.4g}".format)
        return f"<p>{len(self):,} rows of {self.catalogue.survey}; the first {min(_SHOWN, len(self))}:</p>{shown}"

    def counts(self) -> dict[str, int]:
        """Return how many rows have each class as their most probable one."""
        return dict(zip(self.classes, np.bincount(self.label, minlength=len(self.classes)).tolist(), strict=True))

    def columns(self, *, imaging: bool = False) -> tuple[Column, ...]:
        """Return the columns of a table of these rows.

        Parameters
        ----------
        imaging : bool
            Whether an imaging table was matched: there is a column of magnitudes then, even if no row has one.

        Returns
        -------
        tuple of Column
            Row key, object id where the survey has one, position, magnitude where there is one, probabilities,
            classes, entropy, spread and photometric redshift where the model gives them, quality bits.
        """
        schema = load_schema(self.catalogue.survey) if self.catalogue.survey in survey_names() else None
        return prediction_columns(
            tuple(self.catalogue.key),
            self.classes,
            object_id=schema.object_id[0] if schema is not None and schema.identity == "id" else None,
            magnitude=imaging
            or (schema is not None and schema.magnitude is not None)
            or bool(np.isfinite(self.catalogue.mag).any()),
            spread=self.spread is not None,
            photoz=self.photoz is not None,
        )

    def records(
        self, columns: Sequence[Column] | None = None, more: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """Return the rows as a structured array.

        Parameters
        ----------
        columns : sequence of Column, optional
            Default: :meth:`columns`.
        more : mapping of str to array of length n, optional
            Values of further columns by name.

        Returns
        -------
        structured array, shape (n,)
        """
        columns = self.columns() if columns is None else columns
        table = np.empty(len(self), dtype=record_type(columns))
        names = np.array(self.classes, dtype="S")
        values: dict[str, np.ndarray | None] = {
            **{probability_name(name): self.probabilities[:, i] for i, name in enumerate(self.classes)},
            "RA": self.catalogue.ra,
            "DEC": self.catalogue.dec,
            "MAG": self.catalogue.mag,
            "CLASS": names[self.label],
            "CLASS_THRESHOLDED": names[np.argmax(self.probabilities * self.thresholds, axis=1)],
            "ENTROPY": self.entropy,
            "SPREAD": self.spread,
            "PHOTOZ_QSO": self.photoz,
            "QUALITY": self.quality,
            **(more or {}),
            **self.catalogue.key,
        }
        for column in columns:
            table[column.name] = values.get(column.name, self.catalogue.object_id)
        return table

    def to_pandas(self, rows: slice | None = None) -> pd.DataFrame:
        """Return the rows as a DataFrame with the columns of a prediction file, class names as text.

        Parameters
        ----------
        rows : slice, optional
            Some of the rows; all by default.

        Returns
        -------
        pandas.DataFrame
        """
        return to_pandas(self.columns(), self.records()[rows or slice(None)])

    def to_table(self) -> Table:
        """Return the rows as an astropy Table with units, descriptions and UCDs.

        Returns
        -------
        astropy.table.Table
        """
        return to_table(self.columns(), self.records(), {"survey": self.catalogue.survey})


def photometric_redshift(matrix: FeatureMatrix) -> np.ndarray | None:
    """Return the redshift of each row were it a quasar, float32 (n,), where the features have template fits.

    It is a by-product of the fit of highest rank: the feature whose name ends in ``_z_quasar``.
    """
    named = [i for i, name in enumerate(matrix.names) if name.endswith(_PHOTOZ)]
    return np.array(matrix.X[:, named[-1]], dtype=np.float32) if named else None


def quality_bits(
    catalogue: Catalogue,
    magnitudes: Sequence[float] | None = None,
    unlike: np.ndarray | None = None,
    unknown_tile: np.ndarray | None = None,
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
    unknown_tile : array of bool, shape (n,), optional
        Rows of tiles that the model has no zero point of.
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
    if unknown_tile is not None:
        bits[unknown_tile] |= np.uint16(QualityBit.UNKNOWN_TILE)
    return bits


def open_rows(
    source: Source, bands: BandSystem, trained_for: str | None = None, survey: str | None = None
) -> CatalogueReader:
    """Open a file or a table with the bands that a model needs.

    Parameters
    ----------
    source : path, astropy Table or DataFrame
    bands : BandSystem
        The bands that the model was trained on.
    trained_for : str, optional
        Survey that the model was trained for, where it says so.
    survey : str, optional
        Name of the survey file, where the source does not give itself away.

    Returns
    -------
    CatalogueReader

    Raises
    ------
    CatalogueError
        If the source cannot be understood.
    FeatureMismatch
        If it is of another survey than the model, or lacks bands.
    """
    reader = CatalogueReader(source, survey)
    name = reader.schema.name
    if trained_for is not None and name != trained_for:
        raise FeatureMismatch(
            f"{reader.path}: is read as a catalogue of '{name}', the model was trained for '{trained_for}'. Bands, "
            f"depths and photometry differ: refusing to predict. Fit a model on '{name}'; if the file is of "
            f"'{trained_for}' after all, say so with --survey {trained_for}."
        )
    if set(bands.names) <= set(reader.bands.names):
        return reader
    # The survey file's default may leave out bands that the source has and the model needs.
    try:
        return CatalogueReader(source, survey or reader.schema, bands.name)
    except CatalogueError as error:
        raise FeatureMismatch(
            f"{error} The model was trained on the {len(bands)} bands of '{bands.name}': refusing to predict. Fit a "
            "model on the bands that the catalogue has."
        ) from error


def is_bare(catalogue: Catalogue) -> np.ndarray:
    """Return which rows have neither imaging magnitude nor morphology.

    Parameters
    ----------
    catalogue : Catalogue
        n rows.

    Returns
    -------
    array of bool, shape (n,)
    """
    return np.isnan(catalogue.imaging_mag) & (catalogue.morphology == 0)
