"""Parquet files, read in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import CatalogueError
from ..packing import is_packed
from ..tables import FORMATS, Block, Extension, RawTable, Want, repeated_names
from ._arrow import BATCH_ROWS, block_of, column_of, first_line


@FORMATS.register("parquet")
class ParquetTable(RawTable):
    """A Parquet file, read by row groups.

    Parameters
    ----------
    path : Path
    hdu : Extension
        Without meaning here.

    Raises
    ------
    CatalogueError
        If it is damaged or truncated.
    """

    format = "Parquet"
    suffixes = (".parquet",)

    def __init__(self, path: Path, hdu: Extension = None) -> None:
        self.path, self.place = path, path.name
        if is_packed(path):
            raise CatalogueError(f"{path}: is a packed Parquet file, which is not read here. Unpack it first.")
        try:
            with pq.ParquetFile(path) as file:
                schema, self.rows = file.schema_arrow, file.metadata.num_rows
            fields = [column_of(field) for field in schema]
        except (pa.ArrowException, OSError, ValueError, OverflowError, TypeError) as error:
            raise CatalogueError(
                f"{path}: is not a readable Parquet file ({first_line(error)}). It may be truncated: fetch it again."
            ) from error
        self.columns = {field.name: field for field in reversed(fields)}
        self.columns = {field.name: self.columns[field.name] for field in fields}
        self.repeated = repeated_names([field.name for field in fields])
        self.cards = {
            key.decode("utf-8", "replace"): value.decode("utf-8", "replace")
            for key, value in (schema.metadata or {}).items()
            if len(value) < 80
        }

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes is a Parquet file."""
        return head.startswith(b"PAR1")

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows."""
        start = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for group in range(file.metadata.num_row_groups):
                    # One row group at a time: one call for all of them holds what it has read until the end.
                    batches = file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(want), use_threads=False)
                    for batch in batches:
                        yield block_of(batch, want, self.place, start)
                        start += len(batch)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise CatalogueError(
                f"{self.path}: is damaged near row {start} ({first_line(error)}). Fetch or write it again."
            ) from error
