"""Catalogue: the one noun of this package, and what is always true of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import atomic_file
from ..errors import BundleError, CatalogueError, RepeatedKeys
from ..sealed import as_bytes
from ..store import dump_json, native
from ..text import count, html_table
from .bands import BandSystem
from .batches import read_plane, slices

MORPHOLOGIES = ("UNKNOWN", "PSF", "REX", "DEV", "EXP", "SER")
"""Legacy Surveys profile types; the code of a type is its place here."""

UNLABELLED = -1
"""The label of a row whose class is not known."""

_VECTORS: dict[str, tuple[type, Any]] = {
    "object_id": (np.int64, None),
    "ra": (np.float64, np.nan),
    "dec": (np.float64, np.nan),
    "mag": (np.float32, np.nan),
    "imaging_mag": (np.float32, np.nan),
    "morphology": (np.int8, 0),
    "label": (np.int8, UNLABELLED),
    "z": (np.float64, np.nan),
    "quality": (np.uint16, 0),
}
_PLANES = ("flux", "flux_err", "flux_mean")


def _freeze(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _plane(name: str, value: Any, shape: tuple[int, int]) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float32), np.nan)
    array = np.ascontiguousarray(native(np.asarray(value)), dtype=np.float32)
    if array.shape != shape:
        raise CatalogueError(f"{name} has shape {array.shape}, the catalogue needs {shape} (rows, bands).")
    if any(np.isinf(array[rows]).any() for rows in slices(len(array))):
        raise CatalogueError(f"{name} holds infinite values; missing values are NaN.")
    return array


IMAGING_EXTRA = "imaging_"
"""How the names of extra columns begin that hold optional bands of an imaging table, float32 AB or significances."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Photometry of n sources in b bands, with what is known of each.

    Missing is NaN: never inf, 99 or -99. Arrays are read-only and in native byte order, so that a
    catalogue can be shared without fear; verbs return a new one.

    Parameters
    ----------
    bands : BandSystem
        The b bands, in the order of the columns of `flux`.
    flux : array of float32, shape (n, b)
        f_nu in nJy (AB zero point 31.4). NaN where not observed.
    flux_err : array of float32, shape (n, b)
        1 σ in nJy; > 0 wherever `flux` is finite, or NaN throughout where the survey gives no errors.
    key : mapping of str to array of int64, shape (n,)
        The named columns whose tuple names a row, such as TILE_ID and NUMBER; unique, never glued.
    object_id : array of int64, shape (n,), optional
        Names the astronomical object (DESI's TARGETID); may repeat, and is the group of splits,
        weights and bootstraps. Default: the row's own number.
    ra, dec : array of float64, shape (n,), optional
        ICRS degrees.
    mag : array of float32, shape (n,), optional
        AB magnitude for cuts and bins (r of the Legacy Surveys where known, from any table).
    imaging_mag : array of float32, shape (n,), optional
        The same magnitude, only where imaging gives it to labelled and unlabelled sources alike: the
        one that features may use.
    morphology : array of int8, shape (n,), optional
        Code into :data:`MORPHOLOGIES`; 0 is unknown.
    label : array of int8, shape (n,), optional
        Code into the class list of the data set; -1 is unlabelled.
    z : array of float64, shape (n,), optional
        Redshift.
    quality : array of uint16, shape (n,), optional
        Bits of :class:`~jpas_gbm.surveys.quality.QualityBit`.
    flux_mean : array of float32, shape (n, b), optional
        Noise-free fluxes in nJy, where the survey is a simulation that has them.
    survey : str
        Name of the survey file that the catalogue was read with.
    photometry : str
        Which measurement the fluxes are, such as FLUX_APER_COR_3_0: a model refuses another.
    extra : mapping of str to array, shape (n,)
        Further columns to carry along.

    Raises
    ------
    CatalogueError
        If an array has another length, fluxes are infinite, an error is missing or not positive
        where the flux is finite, or a row key repeats.
    """

    bands: BandSystem
    flux: np.ndarray
    flux_err: np.ndarray
    key: Mapping[str, np.ndarray]
    object_id: np.ndarray = None  # type: ignore[assignment]
    ra: np.ndarray = None  # type: ignore[assignment]
    dec: np.ndarray = None  # type: ignore[assignment]
    mag: np.ndarray = None  # type: ignore[assignment]
    imaging_mag: np.ndarray = None  # type: ignore[assignment]
    morphology: np.ndarray = None  # type: ignore[assignment]
    label: np.ndarray = None  # type: ignore[assignment]
    z: np.ndarray = None  # type: ignore[assignment]
    quality: np.ndarray = None  # type: ignore[assignment]
    flux_mean: np.ndarray | None = None
    survey: str = "unknown"
    photometry: str = "unknown"
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.flux)
        shape = (n, len(self.bands))
        for name in _PLANES:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _freeze(_plane(name, value, shape)))
        self._check_errors()
        for name, (dtype, default) in _VECTORS.items():
            object.__setattr__(self, name, _freeze(self._vector(name, dtype, default, n)))
        object.__setattr__(self, "key", self._checked_key(n))
        extra = {name: _freeze(native(np.asarray(value))) for name, value in self.extra.items()}
        for name, value in extra.items():
            if value.shape[:1] != (n,):
                raise CatalogueError(f"extra column '{name}' has {value.shape[:1]} rows, the catalogue {n}.")
        object.__setattr__(self, "extra", extra)

    def _vector(self, name: str, dtype: type, default: Any, n: int) -> np.ndarray:
        value = getattr(self, name)
        if value is None:
            return np.arange(n, dtype=dtype) if default is None else np.full(n, default, dtype=dtype)
        array = np.asarray(value)
        if array.shape != (n,):
            raise CatalogueError(f"'{name}' has shape {array.shape}, the catalogue has {n} rows.")
        if name == "object_id" and array.dtype.kind == "f":
            raise CatalogueError(
                "'object_id' is stored as floating point: ids above 2^53 are corrupted by it. Read it as int64."
            )
        return np.ascontiguousarray(native(array), dtype=dtype)

    def _check_errors(self) -> None:
        if not self.has_errors:
            return
        bad, first = 0, (0, 0)
        for rows in slices(len(self)):
            with np.errstate(invalid="ignore"):
                here = np.argwhere(np.isfinite(self.flux[rows]) & ~(self.flux_err[rows] > 0))
            first = (rows.start + here[0, 0], here[0, 1]) if len(here) and not bad else first
            bad += len(here)
        if bad:
            raise CatalogueError(
                f"{bad} finite fluxes have no positive error; the first is row {first[0]}, "
                f"band {self.bands.names[first[1]]}."
            )

    def _checked_key(self, n: int) -> dict[str, np.ndarray]:
        if not self.key:
            raise CatalogueError("the catalogue has no row key.")
        key = {}
        for name, value in self.key.items():
            array = native(np.asarray(value))
            if array.dtype.kind not in "iu" or array.shape != (n,):
                raise CatalogueError(
                    f"row key '{name}' must be {n} integers, not {array.dtype} of shape {array.shape}."
                )
            key[name] = _freeze(np.ascontiguousarray(array, dtype=np.int64))
        if n > 1:
            order = np.lexsort(list(key.values()))
            same = np.logical_and.reduce([column[order][1:] == column[order][:-1] for column in key.values()])
            if same.any():
                row = order[1:][same][0]
                named = ", ".join(f"{name}={column[row]}" for name, column in key.items())
                raise RepeatedKeys(
                    f"{count(int(same.sum()), 'row repeats', 'rows repeat')} the key of another ({named}, say). "
                    f"Each row needs its own ({', '.join(key)})."
                )
        return key

    def __len__(self) -> int:
        return len(self.flux)

    def __repr__(self) -> str:
        return f"Catalogue({self.survey}, {count(len(self), 'row')}, {len(self.bands)} bands of {self.bands.name})"

    def _repr_html_(self) -> str:
        labels = int((self.label >= 0).sum())
        facts = (("bands", f"{len(self.bands)} of {self.bands.name}"), ("photometry", self.photometry))
        more = (("rows", f"{len(self):,}"), ("with a label", f"{labels:,}"))
        return html_table(("", self.survey), (*facts, *more), "Catalogue")

    @property
    def has_errors(self) -> bool:
        """Whether the survey gives photometric errors."""
        return len(self) == 0 or not all(np.isnan(self.flux_err[rows]).all() for rows in slices(len(self)))

    @property
    def observed(self) -> np.ndarray:
        """Which bands were observed, bool (n, b)."""
        return np.isfinite(self.flux)

    def replace(self, **changes: Any) -> Catalogue:
        """Return a catalogue with some fields changed.

        Parameters
        ----------
        **changes : field=value
            The new values, by name of the field.

        Returns
        -------
        Catalogue
            Checked anew; the other fields are shared.
        """
        return replace(self, **changes)

    def take(self, rows: np.ndarray | slice, **planes: np.ndarray | None) -> Catalogue:
        """Return the rows chosen by a mask, indices or a slice.

        Parameters
        ----------
        rows : array of bool, array of int or slice
            The rows to keep.
        **planes : flux, flux_err or flux_mean
            What these rows have instead of their own.

        Returns
        -------
        Catalogue
            In the order of `rows`.
        """
        changes: dict[str, Any] = {name: getattr(self, name)[rows] for name in _VECTORS}
        for name in _PLANES:
            value = planes.get(name, getattr(self, name))
            changes[name] = value if name in planes or value is None else value[rows]
        changes["key"] = {name: value[rows] for name, value in self.key.items()}
        changes["extra"] = {name: value[rows] for name, value in self.extra.items()}
        return replace(self, **changes)

    def select_bands(self, system: BandSystem) -> Catalogue:
        """Return the catalogue in another system whose bands it all has, matched by name.

        Parameters
        ----------
        system : BandSystem
            The bands wanted, in their order.

        Returns
        -------
        Catalogue
            With fluxes of shape (n, len(system)).

        Raises
        ------
        CatalogueError
            If bands of `system` are missing here.
        """
        if system.names == self.bands.names:
            return replace(self, bands=system)
        missing = [name for name in system.names if name not in self.bands]
        if missing:
            raise CatalogueError(
                f"{len(missing)} of {len(system)} bands of '{system.name}' are missing from "
                f"'{self.bands.name}': {', '.join(missing)}."
            )
        columns = self.bands.indices(system.names)
        changes: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[:, columns] for name in _PLANES
        }
        return replace(self, bands=system, **changes)

    def without_imaging(self, rows: np.ndarray | None = None) -> Catalogue:
        """Return the catalogue with imaging magnitude and morphology forgotten (in some rows).

        Parameters
        ----------
        rows : array of bool, shape (n,), optional
            The rows that forget; default: all.

        Returns
        -------
        Catalogue
            `mag` is kept.
        """
        rows = np.ones(len(self), dtype=bool) if rows is None else rows
        optional = {name: value for name, value in self.extra.items() if name.startswith(IMAGING_EXTRA)}
        return replace(
            self,
            extra={**self.extra, **{n: np.where(rows, np.float32(np.nan), value) for n, value in optional.items()}},
            imaging_mag=np.where(rows, np.float32(np.nan), self.imaging_mag),
            morphology=np.where(rows, np.int8(0), self.morphology),
        )

    @staticmethod
    def concat(parts: list[Catalogue], key: str = "ROW") -> Catalogue:
        """Return several catalogues of one band system as one, with a new row key.

        The old keys, which need not be unique together, are dropped unless all parts share their
        names and stay unique; `flux_mean` and extra columns are kept where all parts have them.

        Parameters
        ----------
        parts : list of Catalogue
            One or more, of the same bands.
        key : str
            Name of the row number that takes the place of keys that cannot be kept.

        Returns
        -------
        Catalogue
            Rows in the order of the parts.

        Raises
        ------
        CatalogueError
            If their bands differ.
        """
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        for part in parts[1:]:
            if part.bands.names != first.bands.names:
                both = f"'{first.bands.name}' and '{part.bands.name}'"
                raise CatalogueError(f"catalogues of {both} have different bands and cannot be joined.")
        changes: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _VECTORS}
        for name in _PLANES:
            planes = [getattr(part, name) for part in parts]
            changes[name] = None if any(plane is None for plane in planes) else np.concatenate(planes)
        shared = [name for name in first.extra if all(name in part.extra for part in parts)]
        changes["extra"] = {name: np.concatenate([part.extra[name] for part in parts]) for name in shared}
        with suppress(RepeatedKeys):
            if all(tuple(part.key) == tuple(first.key) for part in parts):
                joined = {name: np.concatenate([part.key[name] for part in parts]) for name in first.key}
                return replace(first, key=joined, **changes)
        return replace(first, key={key: np.arange(sum(map(len, parts)), dtype=np.int64)}, **changes)

    @classmethod
    def from_table(
        cls,
        table: Any,
        survey: str | None = None,
        *,
        bands: str | Mapping[str, str | tuple[str, str]] | None = None,
        columns: Mapping[str, str | Sequence[str] | Mapping[str, str]] | None = None,
        photometry: str | None = None,
    ) -> Catalogue:
        """Return an astropy Table or a pandas DataFrame as a catalogue.

        Parameters
        ----------
        table : astropy Table or pandas DataFrame
            n rows. Units of astropy columns count as those of a file do: they win over the survey file's.
        survey : str, optional
            Name of a survey file, or path to one; default: the one whose columns the table has.
        bands : str or mapping, optional
            Band system to keep; default: that of the survey file. Or the flux column of each band, or flux and
            error columns, where they are named otherwise.
        columns : mapping of str to str, optional
            Column of each of ra, dec, key, id, flux, error, relative_error, magnitude, morphology, class and z that
            is named otherwise than in the survey file; for fluxes and errors also a pattern such as ``f_{band}``.
            Such a table without the survey's key is named by its row numbers.
        photometry : str, optional
            Which measurement of the survey the fluxes are; default: the first that the table has.

        Returns
        -------
        Catalogue

        Raises
        ------
        CatalogueError
            If the table lacks something, or its values cannot be understood.
        ConfigError
            If columns of one's own are given without a survey, or for a role that does not exist.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"ra": [150.1], "dec": [2.2], **{f"dered_{b}": [19.0] for b in "ugriz"}})
        >>> Catalogue.from_table(frame)
        Catalogue(sdss_ugriz, 1 row, 5 bands of sdss_ugriz)
        """
        # Looked up when it is called: the reader stands upon this class.
        reader = import_module(".reader", __package__)
        made: Catalogue = reader.catalogue_of(table, survey, bands, columns, photometry)
        return made

    def fingerprint(self) -> str:
        """Return a checksum of every field, which tells catalogues apart but not how they are stored.

        Returns
        -------
        str
            SHA-256, hexadecimal.
        """
        digest = hashlib.sha256()
        for name in (one.name for one in fields(self)):
            value = getattr(self, name)
            columns = value if isinstance(value, Mapping) else {"": value}
            for column in sorted(columns):
                digest.update(f"{name}/{column}/".encode() + as_bytes(columns[column]))
        return digest.hexdigest()

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the catalogue as Parquet: one row a source, fluxes as fixed-size lists.

        Parameters
        ----------
        path : path
            The new file.
        overwrite : bool
            Whether a file there is replaced.

        Raises
        ------
        OutputExists
            If there is a file and `overwrite` is not set.
        """
        import pyarrow as pa
        from pyarrow import parquet as pq

        columns: dict[str, pa.Array] = {f"key:{name}": pa.array(value) for name, value in self.key.items()}
        columns |= {name: pa.array(getattr(self, name)) for name in _VECTORS}
        for name in _PLANES:
            if (value := getattr(self, name)) is not None:
                columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(value.ravel()), len(self.bands))
        columns |= {f"extra:{name}": pa.array(value) for name, value in self.extra.items()}
        head = {"bands": self.bands.to_dict(), "survey": self.survey, "photometry": self.photometry}
        table = pa.table(columns).replace_schema_metadata({"jpas_gbm": dump_json(head)})
        # Dictionaries make noisy floats larger than raw.
        split = {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in _PLANES if name in columns}
        with atomic_file(path, overwrite=overwrite) as temporary:
            pq.write_table(table, temporary, compression="zstd", use_dictionary=False, column_encoding=split)

    @classmethod
    def read(cls, path: str | Path) -> Catalogue:
        """Read a catalogue that :meth:`write` wrote.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Catalogue
            Equal to the one written.

        Raises
        ------
        BundleError
            If the file is missing, damaged or was not written by this package.
        """
        from pyarrow import ArrowException, parquet

        try:
            file = parquet.ParquetFile(path, memory_map=True)
            names = file.schema_arrow.names
            head = json.loads((file.schema_arrow.metadata or {})[b"jpas_gbm"])
            bands = BandSystem.from_dict(head["bands"])
            planes = {name: read_plane(file, name, len(bands)) for name in _PLANES if name in names}
            table = file.read([name for name in names if name not in _PLANES])
        except FileNotFoundError as error:
            raise BundleError(f"{path}: is missing. The data set is incomplete: prepare it again.") from error
        except (ArrowException, OSError, KeyError, ValueError) as error:
            raise BundleError(f"{path}: is not a catalogue that jpas-gbm wrote ({error}).") from error
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        return cls(
            bands=bands,
            key={n[4:]: column for n, column in columns.items() if n.startswith("key:")},
            extra={n[6:]: column for n, column in columns.items() if n.startswith("extra:")},
            survey=head["survey"],
            photometry=head["photometry"],
            **{name: columns[name] for name in _VECTORS},
            **planes,
        )
