"""What a release of a survey is: where it answers, and what its tables mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from ..config import Options, configs_folder, parse_options, read_yaml
from ..errors import ArchiveError, CatalogueError, ConfigError, did_you_mean
from ..output.writers import Card, Column, Head, table_writer
from ..surveys.batches import Block as Rows
from ..surveys.columns import find_layout
from ..surveys.schema import SurveySchema
from ..surveys.spelling import ColumnNames, canonical
from ..surveys.tables import RawTable, Want

if TYPE_CHECKING:
    pass

_PIECE = 20_000
_NULL = {np.dtype(np.int32): -(2**31), np.dtype(np.int64): -(2**63)}


class Release(Options):
    """One release in an archive: where it answers, in which tables, and how it is asked."""

    title: str = Field(description="One line for people.")
    url: str = Field(description="Address of the TAP service, without /sync.")
    survey: str = Field(description="Survey file that says which columns are needed.")
    tables: tuple[str, ...] = Field(min_length=1, description="Tables to try; the first that has the columns is read.")
    login: str | None = Field(None, description="Address that a login is sent to, where one is needed.")
    filters: str | None = Field(None, description="Table that names the bands of array columns.")
    macro: str | None = Field(None, description="What stands before :: where ADQL picks a band of an array.")
    units: dict[str, str] = Field({}, description="Unit of the fluxes of a table, where the archive states none.")
    tile: str = Field("TILE_ID", description="Integer column that parts the table into blocks.")
    number: str = Field("NUMBER", description="Integer column that names a row within a tile.")
    rows_sync: int = Field(10_000, ge=2, description="Most rows that the service gives at once (sync).")
    rows_async: int = Field(100_000, ge=2, description="Rows that are asked for at once (async).")
    timeout: float = Field(300.0, gt=0, description="Seconds without a byte after which the server counts as silent.")
    patience: float = Field(3600.0, gt=0, description="Seconds that one answer or one job may take in all.")
    tries: int = Field(5, ge=1, description="How often one thing is asked before giving up.")
    pause: float = Field(2.0, ge=0, description="Seconds before the second try; doubled before each further one.")
    seen: str = Field("", description="What is known of this entry, and how; for people.")


class _Releases(Options):
    releases: dict[str, Release] = Field(description="The releases by name.")


def releases(config: str | Path | None = None) -> dict[str, Release]:
    """Return the releases that are known.

    Parameters
    ----------
    config : path, optional
        A YAML file of one's own; default: the shipped ``archives.yaml``.

    Returns
    -------
    dict of str to Release

    Raises
    ------
    ConfigError
        If the file is missing or wrong.
    """
    path = Path(config) if config is not None else configs_folder() / "archives.yaml"
    return parse_options(_Releases, read_yaml(path), path.name).releases


def find_release(name: str, config: str | Path | None = None) -> Release:
    """Return a release by name.

    Parameters
    ----------
    name : str
    config : path, optional
        As for :func:`releases`.

    Returns
    -------
    Release

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    known = releases(config)
    if name not in known:
        raise ConfigError(
            f"--release {name}: there is no such release.{did_you_mean(name, known)} Known: {', '.join(known)}. "
            "Others go into a file like configs/archives.yaml, named with --config."
        )
    return known[name]


@dataclass(frozen=True)
class SkyTable:
    """A table as far as a survey file understands it: which columns are wanted, and their names in our files.

    Parameters
    ----------
    name : str
        For messages.
    schema : SurveySchema
    names : mapping of str to str
        Our name of each column wanted, by the table's.
    want : mapping of str to Want
        As what a column is read, by the table's name.
    units : mapping of str to str
        As the table states them, by our name.
    cards : mapping of str to str
        Such as BAND0.
    values : int
        Numbers in a row, about.
    """

    name: str
    schema: SurveySchema
    names: Mapping[str, str]
    want: Mapping[str, Want]
    units: Mapping[str, str]
    cards: Mapping[str, str]
    values: int

    @classmethod
    def of(
        cls, name: str, table: RawTable, schema: SurveySchema, cards: Mapping[str, str], keys: Sequence[str] = ()
    ) -> SkyTable:
        """Understand a table.

        Parameters
        ----------
        name : str
            For messages.
        table : RawTable
        schema : SurveySchema
        cards : mapping of str to str
            What is known of it besides, such as BAND0.
        keys : sequence of str
            Further integer columns that are wanted.

        Returns
        -------
        SkyTable

        Raises
        ------
        CatalogueError
            If columns are lacking.
        """
        table.cards = {**table.cards, **cards}
        layout = find_layout(table, schema)
        ours = {theirs: name for name, theirs in layout.names.items()}
        want = dict(layout.want)
        spelt = ColumnNames(tuple(table.columns), name)
        for key in keys:
            theirs = spelt.find((key,))
            if theirs is None:
                raise CatalogueError(f"{name}: lacks {key}, by which its rows are asked for.")
            want[theirs] = "int"
        names = {theirs: ours.get(theirs, canonical(theirs)) for theirs in want}
        units = {names[theirs]: table.columns[theirs].unit or "" for theirs in want}
        widths = [table.columns[theirs].width for theirs in want]
        values = sum(1 if width is None else width or len(cards) for width in widths)
        return cls(name, schema, names, want, units, dict(cards), values)

    def theirs(self, ours: str) -> str:
        """Return the bare name that the table has for a column, as ADQL takes it.

        Parameters
        ----------
        ours : str
            As the survey file writes it.

        Returns
        -------
        str
        """
        spelt = [(canonical(theirs), canonical(name)) for theirs, name in self.names.items()]
        return next(theirs for theirs, name in spelt if canonical(ours) in (theirs, name))

    def positions(self, records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return RA and Dec of records as they stand in the table.

        Parameters
        ----------
        records : structured array, shape (n,)

        Returns
        -------
        tuple of two arrays of float64, shape (n,)
            Degrees.
        """
        return records[self.schema.ra[0]], records[self.schema.dec[0]]

    def records(self, rows: Rows, spelt: Mapping[str, str] | None = None) -> np.ndarray:
        """Return rows as records with our names.

        Numbers stay as they came; arrays have 32 bits, as in a catalogue, other integers 64, with a marked value where
        one is missing.

        Parameters
        ----------
        rows : Rows
        spelt : mapping of str to str, optional
            How the rows spell the table's columns; default: as the table does.

        Returns
        -------
        structured array, shape (n,)
        """
        arrays = {}
        for theirs, ours in self.names.items():
            arrays[ours] = _column(rows[(spelt or {}).get(theirs, theirs)], self.want[theirs])
        dtype = np.dtype([(ours, plain.dtype, plain.shape[1:]) for ours, plain in arrays.items()])
        records = np.empty(len(next(iter(arrays.values()))), dtype=dtype)
        for ours, plain in arrays.items():
            records[ours] = plain
        return records

    def write(self, path: Path, pieces: Sequence[np.ndarray], about: Mapping[str, object]) -> int:
        """Write records as a FITS table, piece by piece, whole or not at all.

        Parameters
        ----------
        path : Path
        pieces : sequence of structured array
            Their types may differ in width.
        about : mapping
            Provenance.

        Returns
        -------
        int
            The rows written.

        Raises
        ------
        ArchiveError
            If arrays of the pieces have different lengths.
        OutputError
            If the file cannot be written.
        """
        cards: dict[str, Card] = dict(self.cards)
        columns, dtype = [], []
        for number, name in enumerate(pieces[0].dtype.names or (), start=1):
            shapes = {piece.dtype[name].shape for piece in pieces}
            if len(shapes) > 1:
                widths = " and ".join(str(*shape) for shape in sorted(shapes))
                raise ArchiveError(
                    f"{self.name}[{name}]: some rows have {widths} values. The table changed on the way: fetch it "
                    "again with --refresh."
                )
            kind, shape = np.result_type(*(piece.dtype[name].base for piece in pieces)), shapes.pop()
            if kind in _NULL:
                cards[f"TNULL{number}"] = _NULL[kind]
            form = kind.str.lstrip("<>=|")
            columns.append(Column(name, f"({shape[0]},){form}" if shape else form, "", unit=self.units[name]))
            dtype.append((name, kind, shape))
        head = Head(tuple(columns), about, next(iter(self.schema.hdu), "CATALOGUE"), cards)
        with table_writer(path, head) as writer:
            for piece in pieces:
                for start in range(0, len(piece), _PIECE):
                    writer.write(piece[start : start + _PIECE].astype(np.dtype(dtype)))
        return sum(map(len, pieces))


def _column(values: np.ndarray, want: Want) -> np.ndarray:
    """Return a column without a mask: text as bytes, missing floats NaN, missing integers the smallest there is."""
    missing, plain = np.ma.getmaskarray(values), np.ma.getdata(values)
    if plain.dtype.kind in "US":
        texts = np.char.encode(plain.astype(str), "ascii", "replace") if len(plain) else plain.astype("S1")
        return texts if texts.dtype.itemsize else texts.astype("S1")
    if plain.dtype.kind in "iub" or want == "int":
        if plain.dtype.kind == "f":
            missing = missing | ~np.isfinite(plain)
        dtype = np.dtype(np.int64 if plain.ndim == 1 else np.int32)
        return np.where(missing, _NULL[dtype], np.where(missing, 0, plain).astype(dtype))
    if missing.any():
        plain = np.where(missing, np.nan, plain).astype(plain.dtype)
    # Parsers make float64 of arrays of undeclared length, whatever the archive holds; catalogues are float32.
    return plain.astype(np.float32) if plain.ndim == 2 else plain


def band_order(array: np.ndarray, single: Sequence[np.ndarray], bands: Sequence[str]) -> list[str]:
    """Find which entry of an array is which band, by rows in which both the array and each band by name are known.

    A band whose values stand in one entry alone, in every row, has that entry. Bands that none of the rows has are
    placed by the order of the bands, if all others stand in that order.

    Parameters
    ----------
    array : array of float, shape (n, k)
    single : sequence of array of float, shape (n,)
        The values of each band.
    bands : sequence of str
        Their names, in the order of the archive's table of filters.

    Returns
    -------
    list of str
        The names of the k entries.

    Raises
    ------
    CatalogueError
        If the rows do not tell.
    """
    placed: dict[int, str] = {}
    for band, values in zip(bands, single, strict=True):
        telling = np.isfinite(values) & (np.abs(values) != 99) & (values != 0)
        same = (array == values[:, None]) | (np.isnan(array) & np.isnan(values)[:, None])
        fits = np.flatnonzero(same.all(axis=0) & telling.any())
        if len(fits) == 1:
            if placed.setdefault(int(fits[0]), band) != band:
                raise CatalogueError(f"{band} and {placed[int(fits[0])]} stand in one entry")
        elif telling.any():
            raise CatalogueError(f"{band} stands in {len(fits) or 'none'} of its {array.shape[1]} entries")
    if len(placed) < array.shape[1]:
        in_order = len(bands) == array.shape[1] and all(bands[entry] == band for entry, band in placed.items())
        if not in_order or not placed:
            unseen = [band for band in bands if band not in placed.values()]
            raise CatalogueError(f"no row has {', '.join(unseen)}")
        return list(bands)
    return [placed[entry] for entry in range(array.shape[1])]
