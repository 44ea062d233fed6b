"""Predictions as a HATS catalogue: Parquet partitions by place on the sky, as LSDB reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..atomic import atomic_folder
from ..errors import OutputError
from .write_tables import ParquetWriter
from .writers import Column, Head, record_type

HATS = ".hats"
"""Suffix of an output that is such a catalogue, a folder."""

HATS_ROWS = 500_000
"""Rows of a partition of a HATS catalogue, at most, where the sky can be parted further."""

_FINEST = 8
HEALPIX = Column("_healpix_29", "i8", "HEALPix pixel of order 29, nested.", "pos.healpix")
"""The column by which rows of a HATS catalogue are sorted."""


def write_hats(
    out: str | Path,
    head: Head,
    pieces: Callable[[], Iterator[np.ndarray]],
    closing: Mapping[str, str | int],
    *,
    overwrite: bool = False,
) -> None:
    """Write rows as a HATS catalogue: Parquet partitions by place on the sky, as LSDB reads them.

    Rows are sorted by place within a partition; those of one place keep their order. Memory holds one partition.

    Parameters
    ----------
    out : path
        The folder.
    head : Head
        Columns, RA and DEC in degrees among them; the provenance stands in every partition.
    pieces : callable
        Gives the rows, in pieces, twice.
    closing : mapping of str to str or int
        Values of the cards that are known at the end.
    overwrite : bool
        Whether a folder that is there may be replaced.

    Raises
    ------
    OutputError
        If a row has no position, or the folder cannot be written.
    """
    counts = np.zeros(12 << (2 * _FINEST), dtype=np.int64)
    for rows in pieces():
        counts += np.bincount(_pixels(rows, out) >> (2 * (29 - _FINEST)), minlength=len(counts))
    partitions = _partitions(counts)
    part_of = np.empty(len(counts), dtype=np.int32)
    for i, (order, pixel) in enumerate(partitions):
        part_of[pixel << (2 * (_FINEST - order)) : (pixel + 1) << (2 * (_FINEST - order))] = i
    head = replace(head, columns=(HEALPIX, *head.columns))
    dtype = record_type(head.columns)
    with atomic_folder(out, overwrite=overwrite) as folder:
        for rows in pieces():
            pixels = _pixels(rows, out)
            made = np.empty(len(rows), dtype=dtype)
            made[HEALPIX.name] = pixels
            for name in rows.dtype.names or ():
                made[name] = rows[name]
            which = part_of[pixels >> (2 * (29 - _FINEST))]
            for i in np.unique(which):
                with open(folder / f"{i}.rows", "ab") as stream:
                    stream.write(made[which == i].tobytes())
        for i, at in enumerate(partitions):
            gathered = folder / f"{i}.rows"
            rows = np.fromfile(gathered, dtype=dtype)
            gathered.unlink()
            with open(partition_file(folder, at), "w+b") as stream:
                write_partition(stream, rows, head, closing)
        write_about(folder, Path(out).stem, partitions, int(counts.sum()), head)


def partition_file(folder: Path, pixel: tuple[int, int]) -> Path:
    """Return the file of a partition, and make the folder that it is in.

    Parameters
    ----------
    folder : Path
        Of the catalogue.
    pixel : (order, number)

    Returns
    -------
    Path
    """
    order, number = pixel
    place = folder / "dataset" / f"Norder={order}" / f"Dir={number // 10_000 * 10_000}" / f"Npix={number}.parquet"
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def write_partition(
    stream: BinaryIO, rows: np.ndarray, head: Head, closing: Mapping[str, str | int], group_rows: int = 0
) -> None:
    """Write the rows of a partition, sorted by place.

    Parameters
    ----------
    stream : binary file
        Open for writing.
    rows : structured array, shape (n,)
        Of the head's columns, :data:`HEALPIX` among them.
    head : Head
    closing : mapping of str to str or int
        Values of the cards that are known at the end.
    group_rows : int
        Rows of a row group; 0: all are one.
    """
    rows = rows[np.argsort(rows[HEALPIX.name], kind="stable")]
    writer = ParquetWriter(stream, head)
    for start in range(0, len(rows), group_rows or len(rows) or 1):
        writer.write(rows[start : start + (group_rows or len(rows))])
    writer.closing = closing
    writer.close()


def write_about(
    folder: Path,
    name: str,
    partitions: Sequence[tuple[int, int]],
    rows: int,
    head: Head,
    more: Mapping[str, object] | None = None,
) -> None:
    """Write what a HATS catalogue says of its partitions, which stand in the folder already.

    Parameters
    ----------
    folder : Path
        Of the catalogue.
    name : str
        Of the catalogue.
    partitions : sequence of (order, pixel)
        Those with rows.
    rows : int
        Of all.
    head : Head
    more : mapping, optional
        Further properties, or others than those of a catalogue of objects.
    """
    import pyarrow.parquet as pq

    if partitions:
        schema = pq.read_schema(partition_file(folder, partitions[-1]))
        pq.write_metadata(schema, folder / "dataset" / "_common_metadata")
    listed = "".join(f"{order},{pixel}\n" for order, pixel in partitions)
    (folder / "partition_info.csv").write_text(f"Norder,Npix\n{listed}", encoding="utf-8")
    facts = {**_properties(name, rows, list(partitions), head), **(more or {})}
    (folder / "hats.properties").write_text("".join(f"{k}={v}\n" for k, v in facts.items()), encoding="utf-8")


def _pixels(rows: np.ndarray, out: str | Path) -> np.ndarray:
    """Return the pixel of order 29 of each row."""
    from astropy import units
    from astropy_healpix import lonlat_to_healpix

    lost = int((~(np.isfinite(rows["RA"]) & np.isfinite(rows["DEC"]))).sum())
    if lost:
        raise OutputError(
            f"{out}: rows without a position ({lost} of {len(rows)}) have no place in a HATS catalogue. Write Parquet."
        )
    lon, lat = (np.ascontiguousarray(rows[name]) * units.deg for name in ("RA", "DEC"))
    return np.asarray(lonlat_to_healpix(lon, lat, 1 << 29, order="nested"), dtype=np.int64)


def _partitions(counts: np.ndarray) -> list[tuple[int, int]]:
    """Return order and pixel of the partitions that have rows, parted until none has too many."""
    left, found = [(0, pixel) for pixel in range(12)], []
    while left:
        order, pixel = left.pop()
        span = 1 << (2 * (_FINEST - order))
        rows = int(counts[pixel * span : (pixel + 1) * span].sum())
        if rows > HATS_ROWS and order < _FINEST:
            left += [(order + 1, 4 * pixel + i) for i in range(4)]
        elif rows:
            found.append((order, pixel))
    return sorted(found)


def _properties(name: str, rows: int, partitions: list[tuple[int, int]], head: Head) -> dict[str, object]:
    """Return what hats.properties says."""
    return {
        "obs_collection": name,
        "dataproduct_type": "object",
        "hats_nrows": rows,
        "hats_col_ra": "RA",
        "hats_col_dec": "DEC",
        "hats_col_healpix": HEALPIX.name,
        "hats_col_healpix_order": 29,
        "hats_max_rows": HATS_ROWS,
        "hats_order": max((order for order, _ in partitions), default=0),
        "hats_npix_suffix": ".parquet",
        "moc_sky_fraction": f"{sum(0.25**order for order, _ in partitions) / 12:.6g}",
        "hats_builder": head.facts().get("ORIGIN", "jpas-gbm"),
        "hats_creation_date": head.facts().get("DATE", ""),
        "hats_version": "v1.0",
    }
