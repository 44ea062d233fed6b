"""The paper's pair of files: a .npy array of fluxes beside a table of the properties of its rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ...errors import CatalogueError
from ..tables import ARRAY, BLOCK_BYTES, FORMATS, Block, Column, Extension, RawTable, Want, open_table, rebatch


def find_properties(path: Path) -> Path:
    """Return the properties file beside a .npy file: Mock_a_FLUX+NOISE.npy has Mock_a_PROPS.csv.

    Raises
    ------
    CatalogueError
        If there is none, or more than one could be it.
    """
    stem = re.sub(r"[_-]?flux\+?[_-]?noise$", "", path.stem, flags=re.IGNORECASE)
    named = re.compile(re.escape(stem) + r"[_-]?prop\w*\.(csv|parquet|fits)", re.IGNORECASE)
    found = sorted(other for other in path.parent.iterdir() if named.fullmatch(other.name))
    found = found or [other for other in [path.with_name(f"{stem}.csv")] if other.is_file()]
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
    """Return the .npy file to which a properties file belongs, if it stands beside it."""
    stem = re.sub(r"[_-]?prop\w*$", "", path.stem, flags=re.IGNORECASE)
    beside = path.with_name(f"{stem}_FLUX+NOISE.npy")
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
        self._array = self._mapped()
        if self._array.ndim != 3 or self._array.dtype.kind != "f":
            raise CatalogueError(
                f"{path}: holds {self._array.dtype} of shape {self._array.shape}; floating point of shape "
                "(rows, bands, planes) is needed, as in the paper's ..._FLUX+NOISE.npy."
            )
        self.rows = self._rows = len(self._array)
        self.bands, self.planes = self._array.shape[1:]
        self.properties = open_table(find_properties(path))
        self.cards = self.properties.cards
        whole = Column(ARRAY, "float", self.bands * self.planes)
        self.columns = {ARRAY: whole, **self.properties.columns}

    @property
    def files(self) -> tuple[Path, ...]:
        """The array and its properties."""
        return (self.path, *self.properties.files)

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes is a NumPy array."""
        return head.startswith(b"\x93NUMPY")

    def _mapped(self) -> np.ndarray:
        try:
            return np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise CatalogueError(
                f"{self.path}: is not a readable .npy array ({error}). It is truncated, or holds pickled objects, "
                "which are never read: save a plain array."
            ) from error

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows; the array as (n, bands, planes)."""
        step = max(1, BLOCK_BYTES // max(1, self._array[:1].nbytes))
        others = {name: kind for name, kind in want.items() if name != ARRAY}
        # Without any property the rows of the file are still counted, by its first column.
        counted: Mapping[str, Want] = others or {next(iter(self.properties.columns)): "any"}
        start = 0
        for block in rebatch(self.properties.blocks(counted), step):
            stop = start + len(next(iter(block.values())))
            if stop > self._rows:
                self._refuse_lengths(f"more than {self._rows:,}")
            if ARRAY in want:
                # A fresh map for each block: pages of an old one would stay in memory.
                block[ARRAY] = np.array(self._mapped()[start:stop])
            yield {name: block[name] for name in want}
            start = stop
        if start < self._rows:
            self._refuse_lengths(f"{start:,}")

    def _refuse_lengths(self, found: str) -> None:
        raise CatalogueError(
            f"{self.path}: has {self._rows:,} rows, its properties {self.properties.path.name} {found}. "
            "They do not belong together, or one of them is truncated."
        )
