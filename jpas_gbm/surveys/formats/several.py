"""Tables in many files: a folder, a wildcard or a HATS catalogue is read as one table, file after file."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...errors import CatalogueError
from ...text import count, globbed, named_table
from ..band_finder import stated_orders
from ..batches import Block
from ..packing import check_file
from ..tables import FORMATS, MASK, SEVERAL, Column, Extension, RawTable, Want, open_file
from .npy import beside as properties_of

_HATS = ("hats.properties", "properties")
_COLLECTION = "collection.properties"
_PIXEL = re.compile(r"Norder=(\d+)/(?:.*/)?Npix=(\d+)")
_SIDE = (".json", ".txt", ".md", ".log", ".html", ".png", ".sha256", ".md5")
"""Suffixes of files that stand beside tables and are none."""


def spelt_out(word: str | Path) -> list[Path]:
    """Return what a wildcard names, where the shell left it as it is; the path itself where it is none.

    Parameters
    ----------
    word : path
        As it was given; a name that is there is no wildcard, whatever its letters.

    Returns
    -------
    list of Path
        Sorted by name; of ``FILE[NAME]`` each with the name of its table.

    Raises
    ------
    CatalogueError
        If nothing is of such a name.
    """
    path, table = named_table(word)
    found = globbed(path) if glob.has_magic(str(path)) else [path]
    if not found:
        raise CatalogueError(f"{path}: there is no file of such a name.")
    return found if table is None else [Path(f"{one}[{table}]") for one in found]


def _primary(path: Path) -> Path:
    """Return the catalogue of a HATS collection, which holds its margins beside it."""
    lines = (path / _COLLECTION).read_text(encoding="utf-8", errors="replace").splitlines()
    named = dict(line.split("=", 1) for line in lines if "=" in line).get("hats_primary_table_url", "").strip()
    if not named or not (path / named).is_dir():
        raise CatalogueError(
            f"{path}: is a HATS collection whose catalogue is not there ({_COLLECTION} says hats_primary_table_url="
            f"{named}). Copy the whole collection, or name the folder of the catalogue itself."
        )
    return path / named


def table_files(path: str | Path) -> list[Path]:
    """Return the files of a folder, a wildcard or a HATS catalogue, in the order in which they are read.

    Parameters
    ----------
    path : path
        A folder; what stands in the folders below it is read only of a HATS catalogue, by order and pixel. A wildcard
        is resolved as a shell does; folders of such a name are read only where no file has it. Files are sorted by
        name. Tables of properties beside arrays are left to these.

    Returns
    -------
    list of Path

    Raises
    ------
    CatalogueError
        If there are none.
    """
    path, _ = named_table(path)
    if not path.is_dir():
        named = spelt_out(path)
        found = [one for one in named if one.is_file()]
        if not found:  # folders; a pipe or a device is left to who opens it
            return [file for one in named for file in (table_files(one) if one.is_dir() else [one])]
        return _tables(found) or found
    if (path / _COLLECTION).is_file():
        path = _primary(path)
    if any((path / name).is_file() for name in _HATS):
        # A partition may be a folder of several files.
        pixels = [(int(at[1]), int(at[2]), file) for file in path.rglob("*.parquet")
                  if (at := _PIXEL.search(file.as_posix()))]  # fmt: skip
        if not pixels:
            raise CatalogueError(f"{path}: is a HATS catalogue without partitions (Norder=*/Dir=*/Npix=*.parquet).")
        return [file for _, _, file in sorted(pixels)]
    found = _tables([file for file in path.iterdir() if file.is_file()])
    if not found:
        below = sorted(one.name for one in path.iterdir() if one.is_dir())
        more = f" Folders below it ({_some(below)}) are not looked into: a wildcard names their files." if below else ""
        raise CatalogueError(f"{path}: is a folder without table files. Name a table file or a folder of such.{more}")
    return found


def _tables(files: Sequence[Path]) -> list[Path]:
    """Return the tables among files, sorted by name, without those of the properties of arrays."""
    tables = [file for file in files if file.name[0] not in "._" and file.suffix not in _SIDE]
    beside = {other.absolute() for file in tables if file.suffix == ".npy" for other in properties_of(file)}
    return sorted(file for file in tables if file.absolute() not in beside)


@FORMATS.register(SEVERAL)
class SeveralFiles(RawTable):
    """Several files of the same columns, one after the other, as one table.

    Parameters
    ----------
    path : Path
        The folder or wildcard that they were named by.
    hdu : Extension
        Of FITS files.

    Raises
    ------
    CatalogueError
        If a file cannot be read, or its columns or bands are not those of the first.
    """

    format = "several files"

    def __init__(self, path: Path, hdu: Extension = None) -> None:
        path = path if path.name else path.absolute()  # "." has no name to call it by
        self.path, self.place = path, path.name
        self._hdu, self._files = hdu, tuple(table_files(path))
        first = self._open(self._files[0])
        self.format = f"{first.format}, {count(len(self._files), 'file')}"  # type: ignore[misc]
        self.columns, self.cards, self.repeated = _unmasked(first.columns), first.cards, first.repeated
        self._rows: list[int | None] = []
        self._simulated = False
        notes: dict[str, None] = {}
        for file in self._files:
            table = first if file == self._files[0] else self._open(file)
            self._refuse_other(table)
            # Names of tiles, say, of which one file has those alone that are digits.
            self.columns |= {n: of for n, of in table.columns.items() if n in self.columns and of.kind == "text"}
            self._rows.append(table.rows)
            self._simulated = self._simulated or table.simulated
            notes.update(dict.fromkeys(f"{file.name}: {note}" for note in table._notes))
        deeper = set(path.rglob(f"*{self._files[0].suffix}")) if self._files[0].parent == path else set()
        if deeper := {file for file in deeper if file.parent != path and file.is_file()}:
            folders = sorted({str(file.parent.relative_to(path)) for file in deeper})
            notes[f"{count(len(deeper), 'file')} in the folders below ({_some(folders)}) is not read"] = None
        self._notes, self._verified = tuple(notes), dict[Path, bool]()
        self.rows = None if None in self._rows else sum(rows or 0 for rows in self._rows)

    def _open(self, file: Path) -> RawTable:
        check_file(file)
        return open_file(file, self._hdu)

    def _refuse_other(self, table: RawTable) -> None:
        """Refuse a file that is not of the same columns, of the same kinds, as the first."""
        ours, theirs = self.columns, _unmasked(table.columns)
        lacking, more = [n for n in ours if n not in theirs], [n for n in theirs if n not in ours]
        changed = [n for n in ours if n in theirs and not _alike(ours[n], theirs[n])]
        orders, other = stated_orders(self.cards), stated_orders(table.cards)
        changed += [name for name in {**orders, **other} if orders.get(name) != other.get(name)]
        if not (lacking or more or changed):
            return
        told = (("lacks", lacking), ("has besides", more), ("has of another kind", changed))
        said = "; ".join(f"{what} {_some(names)}" for what, names in told if names)
        raise CatalogueError(
            f"{self.path}: the columns change between files: {table.path.name} {said}, compared with "
            f"{self._files[0].name}. Files that are read as one table are of one survey and have the same columns: "
            "name those that belong together, such as with a wildcard, and write a column alike in all."
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        return self._files

    @property
    def simulated(self) -> bool:
        """Whether any of the files says that it is simulated."""
        return self._simulated

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person must know of the files, each note with the name of its file."""
        for file in self._files:
            if file not in self._verified:
                self._note(self._open(file))
        return self._notes

    @property
    def verified(self) -> bool:
        """Whether all files have checksums and they are right; they are compared now, unless reading did."""
        self.notes  # noqa: B018
        return all(self._verified.values())

    def _note(self, table: RawTable) -> None:
        self._verified[table.path] = table.verified
        self._notes = tuple(dict.fromkeys((*self._notes, *(f"{table.path.name}: {note}" for note in table.notes))))

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns of one file after the other."""
        return self.blocks_from(want, 0)

    def blocks_from(self, want: Mapping[str, Want], start: int) -> Iterator[Block]:
        """Yield the wanted columns of row `start` and those behind it; files before it are not read."""
        for file, rows in zip(self._files, self._rows, strict=True):
            if rows is not None and (rows == 0 or rows <= start):
                start -= rows
                continue
            table, read = self._open(file), 0
            for block in table.read(want, start):
                read += len(next(iter(block.values())))
                yield block
            if start == 0:
                self._note(table)
            start = 0 if rows is not None else max(0, start - read)


def _unmasked(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Return columns without the masks beside them, which one file has where another has nothing to hide."""
    return {name: of for name, of in columns.items() if not (name.endswith(MASK) and name[: -len(MASK)] in columns)}


def _alike(ours: Column, theirs: Column) -> bool:
    """Return whether two columns hold the same; a number may look like an integer in one of two, a name too."""
    pair = {ours.kind, theirs.kind}
    kinds = ours.kind == theirs.kind or pair <= {"int", "float", "bool"} or pair == {"int", "text"}
    return kinds and ours.width == theirs.width and (ours.unit or "") == (theirs.unit or "")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
