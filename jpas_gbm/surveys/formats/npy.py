"""The paper's pair of files: a .npy array of fluxes beside a table of the properties of its rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import CatalogueError
from ...store import native
from ..batches import Block, rebatch
from ..packing import is_packed, open_content
from ..tables import ARRAY, BLOCK_BYTES, FORMATS, Column, Extension, Kind, RawTable, Want, open_table


def beside(path: Path) -> list[Path]:
    """Return the tables that may be the properties of a .npy file, by their names.

    Parameters
    ----------
    path : Path
        The .npy file.

    Returns
    -------
    list of Path
        Sorted by name; empty where there is none.
    """
    stem = re.sub(r"[_-]?flux\+?[_-]?noise$", "", path.stem, flags=re.IGNORECASE)
    named = re.compile(re.escape(stem) + r"[_-]?prop\w*\.(csv|parquet|fits)", re.IGNORECASE)
    found = sorted(other for other in path.absolute().parent.iterdir() if named.fullmatch(other.name))
    return found or [other for other in [path.with_name(f"{stem}.csv")] if other.is_file()]


def find_properties(path: Path) -> Path:
    """Return the properties file beside a .npy file: Mock_a_FLUX+NOISE.npy has Mock_a_PROPS.csv.

    Parameters
    ----------
    path : Path
        The .npy file.

    Returns
    -------
    Path
        The one table that belongs to it.

    Raises
    ------
    CatalogueError
        If there is none, or more than one could be it.
    """
    found = beside(path)
    stem = re.sub(r"[_-]?flux\+?[_-]?noise$", "", path.stem, flags=re.IGNORECASE)
    if not found:
        raise CatalogueError(
            f"{path}: the table of its properties is missing: {stem}_PROPS.csv, with one line for each row of the "
            "array, must stand beside it."
        )
    if len(found) > 1:
        names = " and ".join(other.name for other in found)
        raise CatalogueError(f"{path}: {names} could both be its properties. Leave one of them in the folder.")
    return found[0]


def find_array(path: Path) -> Path | None:
    """Return the .npy file to which a properties file belongs, if it stands beside it.

    Parameters
    ----------
    path : Path
        The properties file.

    Returns
    -------
    Path or None
        The .npy file.
    """
    stem = re.sub(r"[_-]?prop\w*$", "", path.stem, flags=re.IGNORECASE)
    beside = path.parent / f"{stem}_FLUX+NOISE.npy"
    return beside if stem != path.stem and beside.is_file() else None


@FORMATS.register("npy")
class PaperTable(RawTable):
    """A .npy array (rows, bands, planes) and the properties of its rows, as one table.

    Parameters
    ----------
    path : Path
        Of the array.
    hdu : Extension
        Without meaning here.

    Raises
    ------
    CatalogueError
        If the array is pickled, truncated or of another shape, or the properties have another
        number of rows.
    """

    format = "NPY+CSV"
    suffixes = (".npy",)

    def __init__(self, path: Path, hdu: Extension = None) -> None:
        self.path, self.place = path, path.name
        self._understand()
        self.fields = self._structured() if self._dtype.names else {}
        if not self.fields and (len(self._shape) != 3 or self._dtype.kind != "f"):
            raise CatalogueError(
                f"{path}: holds {self._dtype} of shape {self._shape}; floating point of shape "
                "(rows, bands, planes) is needed, as in the paper's ..._FLUX+NOISE.npy, or a structured array."
            )
        self.rows = self._rows = self._shape[0]
        if not self.fields:
            self.bands, self.planes = self._shape[1:]
        whole = {ARRAY: Column(ARRAY, "float", self.bands * self.planes)} if self.planes else self.fields
        plain = any(column.width is None for column in self.fields.values())
        self.properties = None if plain and not beside(path) else open_table(find_properties(path))
        if self.properties is None:
            self.columns = whole
            return
        if type(self.properties) is PaperTable:
            raise CatalogueError(f"{path}: its properties {self.properties.path.name} are an array too.")
        self.cards, self._notes = self.properties.cards, self.properties.notes
        self.repeated = self.properties.repeated | (whole.keys() & self.properties.columns.keys())
        self.columns = {**self.properties.columns, **whole}

    def _structured(self) -> dict[str, Column]:
        """Return the fields of a structured array as columns."""
        kinds: dict[str, Kind] = {"f": "float", "i": "int", "u": "int", "b": "bool", "U": "text", "S": "text"}
        if len(self._shape) != 1:
            raise CatalogueError(
                f"{self.path}: is a structured array of shape {self._shape}; one record a row, of shape (rows,), is "
                "needed."
            )
        fields = {}
        for name in self._dtype.names or ():
            base, shape = self._dtype[name].base, self._dtype[name].shape
            if base.kind in kinds:
                fields[name] = Column(name, kinds[base.kind], int(np.prod(shape)) if shape else None)
        return fields

    @property
    def files(self) -> tuple[Path, ...]:
        """The array and its properties."""
        return (self.path, *(self.properties.files if self.properties else ()))

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes is a NumPy array."""
        return head.startswith(b"\x93NUMPY")

    def _understand(self) -> None:
        """Note type, shape and place of the values, as far as the file bears them out."""
        try:
            with open_content(self.path) as stream:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                self._shape, self._fortran, self._dtype = read(stream)
                self._start = stream.tell()
        except CatalogueError:
            raise
        except Exception as error:
            # A damaged header is parsed as Python, which fails in many ways.
            raise CatalogueError(
                f"{self.path}: is not a readable .npy array ({error}). It is truncated or damaged: fetch it again."
            ) from error
        if is_packed(self.path):
            raise CatalogueError(f"{self.path}: is a packed .npy array, which is not read here. Unpack it first.")
        if self._dtype.hasobject:
            raise CatalogueError(
                f"{self.path}: holds pickled objects, which are never read: save a plain or structured array."
            )
        values = 1
        for length in self._shape:
            values *= length
        needed, there = self._start + values * self._dtype.itemsize, self.path.stat().st_size
        if min(self._shape, default=0) < 0:
            raise CatalogueError(
                f"{self.path}: is not a readable .npy array: its shape is {self._shape}. Fetch it again."
            )
        if there < needed:
            raise CatalogueError(
                f"{self.path}: is not a readable .npy array: it is truncated, {there:,} bytes where an array of shape "
                f"{self._shape} needs {needed:,}. Fetch it again."
            )

    def _mapped(self) -> np.ndarray:
        if 0 in self._shape or self._dtype.itemsize == 0:
            return np.zeros(self._shape, dtype=self._dtype)
        order: Literal["F", "C"] = "F" if self._fortran else "C"
        return np.memmap(self.path, dtype=self._dtype, mode="r", offset=self._start, shape=self._shape, order=order)

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows; the array as (n, bands, planes)."""
        each = self._dtype.itemsize * (1 if self.fields else self.bands * self.planes)
        step = max(1, BLOCK_BYTES // max(1, each))
        start = 0
        for block in self._beside(want, step):
            stop = start + len(next(iter(block.values())))
            if stop > self._rows:
                self._refuse_lengths(f"more than {self._rows:,}")
            # A fresh map for each block: pages of an old one would stay in memory.
            if ARRAY in want and self.planes:
                block[ARRAY] = np.array(self._mapped()[start:stop])
            for name in want.keys() & self.fields.keys():
                block[name] = _field_values(self._mapped()[name][start:stop])
            yield {name: block[name] for name in want}
            start = stop
        if start < self._rows:
            self._refuse_lengths(f"{start:,}")

    def _beside(self, want: Mapping[str, Want], step: int) -> Iterator[Block]:
        """Yield what is wanted of the properties; without any of them the rows are still counted."""
        if self.properties is None:
            for start in range(0, self._rows, step):
                yield {ARRAY: np.arange(start, min(start + step, self._rows))}
            return
        others = {name: kind for name, kind in want.items() if name != ARRAY and name not in self.fields}
        known = set(self.properties.columns) - self.properties.repeated
        counted: Mapping[str, Want] = others or {min(known): "any"} if known else {}
        yield from rebatch(self.properties.read(counted), step)

    def _refuse_lengths(self, found: str) -> None:
        assert self.properties is not None
        raise CatalogueError(
            f"{self.path}: has {self._rows:,} rows, its properties {self.properties.path.name} {found}. "
            "They do not belong together, or one of them is truncated."
        )


def _field_values(values: np.ndarray) -> np.ndarray:
    """Return a field of a structured array as a column of its own memory."""
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "U":
        return np.strings.strip(np.array(values))
    plain = np.array(native(values))
    return plain.reshape(len(plain), -1) if plain.ndim > 2 else plain
