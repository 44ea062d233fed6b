"""What becomes of the rows of a chunk on their way through a model, and what is counted of all that have passed."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..atomic import atomic_folder
from ..errors import BundleError, CatalogueError
from ..explanation.objects import WhyColumns
from ..features.sky_sums import SkySums, joined, one_in
from ..inputs import CHUNK_ROWS, known_by, open_for, open_model
from ..model import Model
from ..output.hats import partition_file, write_about
from ..output.writers import Column, Head, prediction_cards
from ..predictions import WHOLE, KeptColumns, Predictions, id_checksum, is_bare, mixed_ids
from ..store import Made, Provenance
from ..surveys.catalogue import Catalogue
from ..surveys.imaging import optional_columns
from ..surveys.quality import QualityBit, QualityReport
from ..surveys.reader import index_imaging
from ..surveys.schema import Survey
from ..surveys.tables import Want
from .intervals import Intervals, prior_of
from .tiles import with_tiles

if TYPE_CHECKING:
    import pandas as pd

_SORTED = 2_000_000
"""Keys that are sorted at a time, at least."""


@dataclass(frozen=True)
class Tally:
    """What was counted of rows that have passed; tallies add up.

    Parameters
    ----------
    rows, ids, bare, matched : int
        Rows, checksum of their ids, those without imaging data, and those with an imaging source.
    seen : bool
        Whether any has a usable flux.
    classes, quality, optional, reading : dict of str to int, QualityReport
        Rows of each class, quality bit and with each optional band; what the reader counted.
    seconds : float
        Time that it took.
    sky : SkySums or None
        What tells whether they are like the rows that trained, where the model can say.
    """

    rows: int = 0
    ids: int = 0
    bare: int = 0
    matched: int = 0
    seen: bool = False
    classes: dict[str, int] = field(default_factory=dict)
    quality: dict[str, int] = field(default_factory=dict)
    optional: dict[str, int] = field(default_factory=dict)
    reading: QualityReport = field(default_factory=QualityReport)
    seconds: float = 0.0
    sky: SkySums | None = None

    @classmethod
    def of(cls, part: Predictions, rows: np.ndarray) -> Tally:
        """Count a chunk.

        Parameters
        ----------
        part : Predictions
            n rows.
        rows : structured array, shape (n,)
            As they are written.

        Returns
        -------
        Tally
            Without what the reader and the imaging tables counted.
        """
        quality = {str(bit.name): int(np.count_nonzero(part.quality & bit)) for bit in QualityBit}
        bare = int(np.count_nonzero(is_bare(part.catalogue)))
        lit = {name: n for name, v in optional_columns(part.catalogue).items() if (n := int(np.isfinite(v).sum()))}
        return cls(len(part), id_checksum(rows), bare, 0, False, part.counts(), quality, lit, sky=part.sums)

    def __add__(self, other: Tally) -> Tally:
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in ("classes", "quality", "optional")}
        summed: Any = {k: {one: a.get(one, 0) + b.get(one, 0) for one in {**a, **b}} for k, (a, b) in pairs.items()}
        return Tally(
            self.rows + other.rows,
            (self.ids + other.ids) % (1 << 64),
            self.bare + other.bare,
            self.matched + other.matched,
            self.seen or other.seen,
            **summed,
            reading=self.reading + other.reading,
            seconds=self.seconds + other.seconds,
            sky=joined(self.sky, other.sky),
        )


MAIN, MARGIN = "catalogue", "margin"
"""Which rows a partition holds: those of its pixel, or those of others near its border."""

Pixel = tuple[int, int]
"""Order and number of a HEALPix pixel."""


@dataclass(frozen=True)
class Partition:
    """A partition that is written.

    Parameters
    ----------
    pixel : (order, number)
    tally : Tally
        What was counted of it.
    columns, key : tuple of Column, tuple of str
        Of its rows, and those that name one; none where it is empty.
    file, keys : Path
        The rows as Parquet, and the hashes of their keys.
    """

    pixel: Pixel
    tally: Tally
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    file: Path
    keys: Path

    def hashes(self) -> Iterator[np.ndarray]:
        """Yield the hashes of the keys.

        Yields
        ------
        array of uint64, shape (n,)
        """
        if self.tally.rows:
            yield np.fromfile(self.keys, dtype=np.uint64)

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the columns of the key.

        Yields
        ------
        structured array, shape (n,)
        """
        import pyarrow.parquet as pq

        if self.tally.rows:
            table = pq.read_table(self.file, columns=list(self.key), partitioning=None)
            rows = np.empty(len(table), dtype=[(name, "i8") for name in self.key])
            for name in self.key:
                rows[name] = table[name].to_numpy()
            yield rows


class Passed(Protocol):
    """Rows that have passed: those of a spool, or of a partition.

    Parameters
    ----------
    *args, **kwargs
        As these have them.
    """

    @property
    def tally(self) -> Tally:
        """What was counted of them."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the rows; none where there are no rows."""

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the columns that name a row."""

    def hashes(self) -> Iterator[np.ndarray]:
        """Yield the hashes of the keys in pieces."""

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the rows, at least the columns of the key."""


@dataclass(frozen=True)
class Passage:
    """A model, and what else is told of each row.

    Parameters
    ----------
    model : Model
    why : WhyColumns or None
        The bands that decide.
    kept : KeptColumns or None
        Columns of the catalogue that are carried along.
    threads, ends, prior, share : int, Intervals or None, array of float32, shape (k,), or None, int
        How far probabilities may move, those of rows without any flux, and of how many rows one is counted for drift.
    """

    model: Model
    why: WhyColumns | None
    kept: KeptColumns | None
    threads: int
    ends: Intervals | None = None
    prior: np.ndarray | None = None
    share: int = 1

    def __call__(self, chunk: Catalogue) -> tuple[Predictions, tuple[Column, ...], np.ndarray]:
        """Predict a chunk.

        Parameters
        ----------
        chunk : Catalogue
            n rows, with their imaging.

        Returns
        -------
        predictions : Predictions
        columns : tuple of Column
            The same for every chunk.
        rows : structured array, shape (n,)
            As they are written.
        """
        matrix = self.model.features(chunk, self.threads, compare=self.why is not None)
        part = self.model.predict(chunk, threads=self.threads, matrix=matrix, share=self.share)
        more = {} if self.why is None else self.why.of(part, matrix)
        more |= {} if self.ends is None else self.ends.of(part)
        if self.prior is not None:
            unseen = np.isnan(part.probabilities[:, :1])
            part = replace(part, probabilities=np.where(unseen, self.prior, part.probabilities))
        columns = part.columns() if self.kept is None else self.kept.beside(part.columns())
        columns = sum((one.columns for one in (self.ends, self.why) if one is not None), columns)
        return part, columns, part.records(columns, {**({} if self.kept is None else self.kept.of(part)), **more})


@dataclass(frozen=True)
class Job:
    """What a worker needs to know, small enough to travel with every partition.

    Parameters
    ----------
    model, tiles, known : str, str or None, tuple of str
        The model folder and the zero points of tiles, as every worker sees them, and their checksums.
    survey, told : Survey, mapping
        Of the catalogue, and the units and cards of its files, which LSDB and Dask forget (:class:`FrameTable`).
    catalogue : str
        Its name for messages.
    kept, keep, want : KeptColumns or None, mapping, tuple of str
        Columns that are carried along, and all that are read.
    imaging, explain, pair, chunk_rows
        As :func:`~jpas_gbm.inference.stream.predict` has them.
    header, rows : mapping, int
        Provenance of the output, and the rows of the whole.
    folder : str
        Where partitions are gathered; empty where nothing is written.
    intervals, blank : bool, str
        As :func:`~jpas_gbm.inference.stream.predict` has them.
    """

    model: str
    tiles: str | None
    known: tuple[str, ...]
    survey: Survey
    told: Mapping[str, Mapping[str, str]]
    catalogue: str
    kept: KeptColumns | None
    keep: Mapping[str, Want]
    want: tuple[str, ...]
    imaging: tuple[str, ...] = ()
    explain: str | None = None
    pair: str | Sequence[str] | None = None
    chunk_rows: int = CHUNK_ROWS
    header: Made = field(default_factory=Provenance)
    rows: int = 0
    folder: str = ""
    intervals: bool = False
    blank: str = "nothing"

    @property
    def token(self) -> str:
        """A name that only the same work has."""
        told = repr([getattr(self, one.name) for one in fields(self) if one.name != "kept"])
        return hashlib.sha256(told.encode()).hexdigest()

    def __dask_tokenize__(self) -> str:
        return self.token


class Worker:
    """A process that has loaded the model of a job.

    Parameters
    ----------
    job : Job

    Raises
    ------
    BundleError
        If what it finds is another model than that of the job.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._refuse_other_model()
        model = with_tiles(open_model(job.model), job.tiles)
        # The folder may have been replaced between its checksum and its content.
        self._refuse_other_model()
        why = None if job.explain is None else WhyColumns(model, job.explain, job.pair, 1)
        ends = Intervals(model, 1) if job.intervals else None
        self.passage = Passage(model, why, job.kept, 1, ends, prior_of(model, job.blank), one_in(job.rows))
        self.imaging = index_imaging(list(job.imaging)) if job.imaging else None

    def _refuse_other_model(self) -> None:
        if tuple(known_by(self.job.model, self.job.tiles)) != self.job.known:
            raise BundleError(
                f"{self.job.model}: is not the model that this run began with (seen on {platform.node()}): the "
                "folder or the zero points were changed under way, or the worker sees others. Rows of two models "
                "would be mixed. Restore it and run the command again, which goes on, or add --overwrite to begin anew."
            )

    def predict(self, frame: pd.DataFrame) -> tuple[tuple[Column, ...], tuple[str, ...], np.ndarray, Tally]:
        """Predict rows.

        Parameters
        ----------
        frame : DataFrame
            One row or more.

        Returns
        -------
        columns, key : tuple of Column, tuple of str
        rows : structured array
        tally : Tally
        """
        import pandas as pd

        table = pd.DataFrame(frame).reset_index(drop=True)  # LSDB's frames are a subclass
        table.attrs.update(self.job.told)
        reader = open_for(self.passage.model, table, self.job.survey)
        reader.path, reader.keep = Path(self.job.catalogue), self.job.keep
        columns: tuple[Column, ...] = ()
        key: tuple[str, ...] = ()
        parts, tally = [], Tally()
        for chunk in reader.chunks(self.job.chunk_rows, 0, len(table)):
            if self.imaging is not None:
                before = self.imaging.matched
                chunk = self.imaging.attach(chunk, 1)
                tally = replace(tally, matched=tally.matched + self.imaging.matched - before)
            part, columns, rows = self.passage(chunk)
            key = tuple(part.catalogue.key)
            parts.append(rows)
            tally = tally + Tally.of(part, rows)
        return columns, key, np.concatenate(parts), replace(tally, reading=reader.counted, seen=reader.seen)


def refuse_repeated_keys(spools: Sequence[Passed], names: Sequence[str], path: str | Path) -> None:
    """Refuse rows of which one repeats the key of another, in bounded memory whatever their number.

    The hashes are sorted in passes, each of those in a range of its own, and rows of equal hashes are compared.

    Parameters
    ----------
    spools, names, path : sequence of Passed, sequence of str, path
        All rows; columns that name one; the catalogue, for the message.

    Raises
    ------
    CatalogueError
        Naming one.
    """
    total = sum(spool.tally.rows for spool in spools)
    passes = -(-total // max(_SORTED, total // 50)) if total else 0
    twice: list[np.ndarray] = []
    for i in range(passes):
        every = (keys for spool in spools for keys in spool.hashes())
        chosen = [keys[((keys >> np.uint64(32)) * np.uint64(passes)) >> np.uint64(32) == i] for keys in every]
        hashes = np.sort(np.concatenate(chosen))
        twice.append(hashes[1:][hashes[1:] == hashes[:-1]])
    suspects = np.concatenate(twice) if twice else np.zeros(0, dtype=np.uint64)
    if not len(suspects):
        return
    seen: set[tuple[int, ...]] = set()
    some = np.unique(suspects)[:1000]
    for rows in (rows for spool in spools for rows in spool.pieces()):
        for row in rows[np.isin(mixed_ids(rows, names), some)]:
            key = tuple(int(row[name]) for name in names)
            if key in seen:
                named = ", ".join(f"{name}={value}" for name, value in zip(names, key, strict=True))
                raise CatalogueError(
                    f"{path}: rows that repeat the key of another: {len(suspects):,} ({named}, say). Each row needs "
                    f"its own ({', '.join(names)}): join the tables without repeating rows."
                )
            seen.add(key)


_CARDS = {name: comment for name, comment in WHOLE.items() if name != "IDSUM"}
"""What is known of the whole before its last partition is done."""


def head_of(columns: Sequence[Column], header: Provenance) -> Head:
    """Return what is written of a partition besides its rows.

    Parameters
    ----------
    columns : sequence of Column
    header : mapping
        The provenance.

    Returns
    -------
    Head
    """
    return Head(tuple(columns), header, cards=prediction_cards(header), closing=_CARDS)


@dataclass(frozen=True)
class Gathered:
    """All partitions of a run, written.

    Parameters
    ----------
    made : str
        When the run began.
    parts : tuple of Partition
    margin : tuple of Partition or None
        Those of the margin, where the catalogue has one.
    threshold : float
        Of the margin, arcsec.
    folder : Path
        Where they stand.
    """

    made: str
    parts: tuple[Partition, ...]
    margin: tuple[Partition, ...] | None
    threshold: float
    folder: Path

    def place(self, out: str | Path, header: Provenance, overwrite: bool) -> None:
        """Make a HATS catalogue of them; with a margin, a collection of both.

        Parameters
        ----------
        out : path
            The folder.
        header, overwrite : mapping, bool
            The provenance; whether a folder that is there may be replaced.
        """
        name = Path(out).stem
        with atomic_folder(out, overwrite=overwrite) as made:
            if self.margin is None:
                self._one(made, name, MAIN, self.parts, header)
                return
            beside = f"{name}_{self.threshold:g}arcs"
            self._one(made / name, name, MAIN, self.parts, header)
            more = {
                "dataproduct_type": "margin",
                "hats_primary_table_url": name,
                "hats_margin_threshold": self.threshold,
            }
            self._one(made / beside, beside, MARGIN, self.margin, header, more)
            if not any(part.tally.rows for part in self.margin):
                shutil.copy(made / name / "dataset" / "_common_metadata", made / beside / "dataset")
            facts = head_of((), header).facts()
            told = {
                "obs_collection": name,
                "hats_primary_table_url": name,
                "all_margins": beside,
                "default_margin": beside,
                "hats_builder": facts.get("ORIGIN", "jpas-gbm"),
                "hats_creation_date": facts.get("DATE", ""),
                "hats_version": "v1.0",
            }
            lines = "".join(f"{key}={value}\n" for key, value in told.items())
            (made / "collection.properties").write_text(lines, encoding="utf-8")

    def _one(
        self,
        folder: Path,
        name: str,
        side: str,
        parts: Sequence[Partition],
        header: Provenance,
        more: Mapping[str, object] | None = None,
    ) -> None:
        """Move the partitions of a catalogue into their place."""
        full, rows = [part for part in parts if part.tally.rows], sum(part.tally.rows for part in parts)
        (folder / "dataset").mkdir(parents=True, exist_ok=True)
        for part in full:
            os.replace(part.file, partition_file(folder, part.pixel))
        columns = next((part.columns for part in full), ())
        write_about(folder, name, sorted(part.pixel for part in full), rows, head_of(columns, header), more)
