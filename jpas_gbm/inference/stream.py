"""Predicting a catalogue of any length: in chunks, in order, in bounded memory; and the bands that decide each row."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ..errors import CatalogueError, ConfigError, OutputError, whole_number
from ..explanation.objects import EXPLAINED_ROWS, WhyColumns
from ..features.drift import Drift, judge
from ..features.sky_sums import one_in
from ..inputs import CHUNK_ROWS, about_model, content_of, contents_of, known_by, marks_of, open_for, open_model
from ..model import Model
from ..output.hats import HATS, write_hats
from ..output.writers import Column, Head, prediction_cards, table_writer, writer_class
from ..predictions import WHOLE, KeptColumns
from ..run import Progress, claim_file, claim_folder, thread_count
from ..store import Provenance, provenance, sha256
from ..surveys.columns import ROW
from ..surveys.formats.parquet import attributes
from ..surveys.imaging import MADE_OF, RADIUS
from ..surveys.reader import CatalogueReader, index_imaging
from ..surveys.recognition import Source, as_list, own_survey
from ..surveys.schema import OwnColumns
from ..text import bare_words, count
from .cluster import claim_cluster, footers, gathered
from .intervals import Intervals, prior_of
from .passing import Job, Passage, Passed, Tally, refuse_repeated_keys
from .spool import Plan, Shard, Spool, shards_of
from .tiles import MAKE, with_tiles

if TYPE_CHECKING:
    from dask.distributed import Client


@dataclass(frozen=True)
class PredictionSummary:
    """What was predicted and written.

    Parameters
    ----------
    out : str
        The file.
    rows : int
        Its rows.
    classes : mapping of str to int
        Rows of each most probable class.
    quality : mapping of str to int
        Rows with each quality bit.
    reading : mapping of str to object
        What the reader counted.
    imaging : int or None
        Rows with an imaging source, where an imaging table was given.
    columns : tuple of str
        Names of the columns.
    notes : tuple of str
        What is to be known of the catalogue's file.
    seconds : float
        Wall time.
    warnings : tuple of str
        What a person should know of the files: what was not checked, or not given.
    shard : str
        Which part of the catalogue it is; empty for the whole.
    drift : Drift or None
        In what the rows differ from those that trained; None of a part, which is judged with the others.
    tiles : str
        The zero points of tiles that were given, if any.
    """

    out: str
    rows: int
    classes: Mapping[str, int]
    quality: Mapping[str, int]
    reading: Mapping[str, object]
    imaging: int | None
    columns: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    warnings: tuple[str, ...] = ()
    shard: str = ""
    drift: Drift | None = None
    tiles: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return the fields as a dictionary that JSON can hold.

        Returns
        -------
        dict of str to object
            By the names of the fields.
        """
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the summary as lines for the terminal.

        Returns
        -------
        list of str
        """
        counts = ", ".join(f"{name} {n:,}" for name, n in self.classes.items())
        notes = [f"Warning: {note}" for note in self.notes]
        order = "by place on the sky" if self.out.endswith(HATS) else "in input order"
        rate = f", {self.rows / self.seconds:,.0f} rows a second" if self.seconds > 1 else ""
        lines = [f"{count(self.rows, 'row')} {order}{rate} ({counts})", *notes, f"predictions: {self.out}"]
        if self.shard:
            none = "" if self.rows else " It has no rows: the table has fewer chunks (--chunk-rows) than shards."
            lines.append(f"This is {self.shard}.{none} When all are done, join them: the same command with --merge.")
        if unknown := self.quality.get("UNKNOWN_TILE"):
            how = f"'{MAKE}', then predict with --tiles ZP"
            lies = f"{count(unknown, 'row lies', 'rows lie')} in tiles without a zero point of their own"
            lines.append(f"{lies}, in {self.tiles} neither" if self.tiles else f"{lies}: measure it with {how}")
        if self.drift is not None:
            head = ["The catalogue differs from what trained:"] if self.drift else []
            lines += [*head, *(f"  {line}" if head else line for line in self.drift.lines()), *self.drift.further()]
        return [*lines, *(f"Warning: {warning}" for warning in self.warnings if warning not in self.notes)]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><td>{name}</td><td>{n:,}</td></tr>" for name, n in self.classes.items())
        return f"<table><caption>{self.out}: {count(self.rows, 'row')}</caption>{cells}</table>"


def predict(
    model: Model | str | Path,
    catalogue: Source,
    out: str | Path,
    *,
    legacy: Source | Sequence[Source] | None = None,
    survey: str | Path | None = None,
    columns: OwnColumns | None = None,
    chunk_rows: int = CHUNK_ROWS,
    explain: str | None = None,
    pair: str | Sequence[str] | None = None,
    tiles: str | Path | None = None,
    keep: str | Sequence[str] | None = None,
    intervals: bool = False,
    blank: str = "nothing",
    strict: bool = False,
    shard: str | None = None,
    merge: bool = False,
    cluster: str | int | Client | None = None,
    threads: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PredictionSummary:
    """Classify a whole catalogue in bounded memory, in its order; a run that is interrupted goes on.

    Parameters
    ----------
    model, catalogue : Model or path, path or table
        FITS, VOTable, Parquet, CSV, HDF5 or the paper's .npy; a folder or wildcard of such files, or a HATS catalogue.
    out : path
        FITS, Parquet, VOTable, CSV or ECSV by suffix; .hats is a HATS catalogue, whose rows stand by place on the sky.
    legacy, survey, columns : path or sequence of path, str, mapping of str to str
        Tractor tables: magnitude and morphology within 1 arcsec; survey file, where not clear; own columns, by role.
    chunk_rows, explain, pair, tiles : int, str, str, path
        Rows in memory at a time; rows (``all``, or classes) that are told the bands that decide against ``runner-up``
        (default), ``all`` others, or of two classes (:class:`WhyColumns`); zero points, by ``calibrate-tiles``.
    keep, intervals, blank, strict : str or sequence of str, bool, {"nothing", "prior"}, bool
        Columns to carry along, or ``all``; ids are kept anyway. Add P_LO and P_HI of each class (:class:`Intervals`);
        what rows without any flux get. Refuse a catalogue of which there is anything to note.
    shard, merge, cluster : str, bool, int or str or dask.distributed.Client
        Do only the I-th of N parts beside `out`; join them; so many processes or a Dask scheduler's, for HATS.
    threads, overwrite, progress : int, bool, callable
        0 is all cores; whether `out` may be replaced; ``progress("predict", rows done, rows, 0 while not known)``.

    Returns
    -------
    PredictionSummary
    """
    tables, part = [] if legacy is None else as_list(legacy), None if shard is None else Shard.read(shard)
    _claim(out, overwrite, (model, catalogue, tiles, *tables), pair if explain is None else None, part, merge)
    claim_cluster(cluster, catalogue, out, model, part is not None or merge)
    given: dict[str, object] = {"columns": columns, "explain": explain, "pair": pair, "keep": keep, "survey": survey}
    given |= {"intervals": intervals or None, "blank": None if blank == "nothing" else blank}
    threads, chunk_rows = thread_count(threads), whole_number("chunk_rows", chunk_rows)
    known, opened = known_by(model, tiles), with_tiles(open_model(model), tiles)
    why = None if explain is None else WhyColumns(opened, explain, pair, threads)
    reader = open_for(opened, catalogue, own_survey(catalogue, survey, columns), strict)
    kept, at = KeptColumns(reader, keep, out), None if cluster is None else (cluster, str(model), str(catalogue))
    stream = _Stream(opened, reader, tables, why, intervals, blank, kept, threads, tiles, chunk_rows, known, given)
    return stream.run(out, part, merge, overwrite, progress, at)


_Cluster = tuple["str | int | Client", str, str | Path]
"""The workers, the model folder and the catalogue."""


def _claim(
    out: str | Path,
    overwrite: bool,
    given: Sequence[object],
    idle: str | Sequence[str] | None,
    part: Shard | None,
    merge: bool,
) -> None:
    """Refuse an output that cannot be written or would replace an input, and options that say nothing or too much."""
    if part is not None and merge:
        raise ConfigError("--shard does a part and --merge joins all: give one of them.")
    if idle is not None:
        raise ConfigError(f"--pair {idle} says what --explain compares. Give --explain as well, such as --explain all.")
    inputs = [one for one in given if isinstance(one, str | Path)]
    if Path(out).suffix.lower() == HATS:
        claim_folder(out, "HATS catalogue", overwrite, inputs)
        return
    for path in (out, *([f"{out}.json"] if str(out).lower().endswith(".csv") else [])):
        claim_file(path, overwrite, inputs)
    writer_class(out)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def kept_if_interrupted(spool: Spool) -> Iterator[None]:
    """Keep the rows of a spool where its run is interrupted or the disk is full; remove them where it fails otherwise.

    Parameters
    ----------
    spool : Spool
        That the block adds to.

    Yields
    ------
    None

    Raises
    ------
    KeyboardInterrupt, OutputError
        As the block raised them, saying what is kept.
    """
    try:
        yield
    except (KeyboardInterrupt, OSError, OutputError, MemoryError) as error:
        rows = spool.tally.rows
        if not rows:
            spool.remove()
            raise
        spool.release()
        kept = f"{count(rows, 'row is', 'rows are')} kept in {spool.folder}: the same command goes on from there"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"{str(error) or 'interrupted'}; {kept}.") from error
        if isinstance(error, OSError):
            said = f"{error.filename or spool.folder}: cannot be "
            if error.errno in _FULL:
                raise OutputError(f"{said}written ({error.strerror}). Free some space; {kept}.") from error
            raise OutputError(f"{said}read or written ({error.strerror or error}); {kept}.") from error
        raise type(error)(f"{error} {kept[0].upper()}{kept[1:]}.") from error
    except BaseException:
        spool.remove()
        raise


@dataclass(frozen=True)
class _Stream:
    """A catalogue that passes a model in chunks."""

    model: Model
    reader: CatalogueReader
    tables: Sequence[Source]
    why: WhyColumns | None
    intervals: bool
    blank: str
    kept: KeptColumns
    threads: int
    tiles: str | Path | None
    chunk_rows: int
    known: Sequence[str]
    given: Mapping[str, object]

    def run(
        self,
        out: str | Path,
        shard: Shard | None,
        merge: bool,
        overwrite: bool,
        progress: Progress | None,
        cluster: _Cluster | None = None,
    ) -> PredictionSummary:
        """Predict all rows or those of a shard, or join shards; or all on a cluster."""
        if cluster is not None:
            return self.on_cluster(cluster, out, overwrite, progress)
        plan = self._plan(out)
        if (shard or merge) and self.reader.rows is None:
            raise ConfigError(
                f"{self.reader.path}: --shard needs to know the number of rows before reading, which "
                f"{self.reader.table.format} does not tell. Convert it to Parquet or FITS."
            )
        if merge:
            spools = shards_of(out, plan)
            try:
                return self._write(out, spools, plan, overwrite)
            finally:
                for spool in spools:
                    spool.release()
        plan = {**plan, "shard": shard and [shard.number, shard.of]}
        spool = Spool(f"{out}.unfinished" if shard is None else shard.folder(out), plan, overwrite=overwrite)
        with kept_if_interrupted(spool):
            self._predict(spool, shard, progress)
            self._refuse_changed(plan)
            if shard is None:
                told = self._write(out, [spool], plan, overwrite)
        if shard is None:
            spool.remove()
            return told
        spool.release()
        return self._summary(spool.folder, spool.tally, spool.columns, None, str(shard))

    def on_cluster(
        self, at: _Cluster, out: str | Path, overwrite: bool, progress: Progress | None
    ) -> PredictionSummary:
        """Predict the partitions of a HATS catalogue on a cluster."""
        cluster, model, catalogue = at
        reader, plan, start = self.reader, {**self._plan(out), "cluster": True}, time.perf_counter()
        if reader.layout.key == (ROW,):
            raise ConfigError(
                f"{reader.path}: no column names its rows, which could not be told apart once they are spread over a "
                "cluster. Name one with --column, or predict without --cluster."
            )
        places = [str(Path(one).resolve()) for one in self.tables if isinstance(one, str | Path)]
        job = Job(
            str(Path(model).resolve()),
            None if self.tiles is None else str(Path(self.tiles).resolve()),
            tuple(self.known),
            reader.schema,
            attributes(reader.table),
            reader.path.name,
            self.kept,
            dict(reader.keep),
            tuple({**reader.layout.want, **reader.keep}),
            tuple(places),
            None if self.why is None else ",".join(self.why.names),
            cast("str | Sequence[str] | None", self.given["pair"]),
            self.chunk_rows,
            self._header("", footers),
            reader.rows or 0,
            intervals=self.intervals,
            blank=self.blank,
        )
        with gathered(catalogue, out, plan, job, cluster, overwrite, progress) as found:
            self._refuse_changed(plan)
            tally, columns = self._checked(found.parts)
            drift = judge(self.model.reference, tally.sky, tally.quality.get("NO_PHOTOMETRY", 0))
            found.place(out, {**job.header, "made": found.made, "drift": drift.to_dict()}, overwrite)
        return self._summary(out, replace(tally, seconds=time.perf_counter() - start), columns, drift)

    def _plan(self, out: str | Path) -> Plan:
        """Return what this run is known again by."""
        return {
            "model": self.known[0],
            "tiles": self.known[1],
            "catalogue": marks_of(self.reader.table),
            "imaging": [marks_of(one) for one in self.tables],
            "rows": self.reader.rows,
            "survey": self.reader.schema.of,
            "chunk_rows": self.chunk_rows,
            "options": {name: str(value) for name, value in self.given.items() if value is not None},
            "format": Path(out).suffix.lower(),
            "shard": None,
        }

    def _refuse_changed(self, plan: Plan) -> None:
        """Refuse files that were written to since the plan was made."""
        tiles = known_by(self.model, self.tiles)[1]
        for path, same in (
            (self.reader.path, marks_of(self.reader.table) == plan["catalogue"]),
            (self.tiles, tiles == plan["tiles"]),
        ):
            if not same:
                raise CatalogueError(
                    f"{path}: was changed while it was read; nothing was written. Run the command again."
                )

    def _predict(self, spool: Spool, shard: Shard | None, progress: Progress | None) -> None:
        """Predict the rows that a spool lacks, chunk by chunk."""
        reader, start = self.reader, time.perf_counter()
        ends = Intervals(self.model, self.threads) if self.intervals else None
        prior, share = prior_of(self.model, self.blank), one_in(self.reader.rows)
        passage = Passage(self.model, self.why, self.kept, self.threads, ends, prior, share)
        first, last = (0, None) if shard is None else shard.part(reader.rows or 0, self.chunk_rows)
        done, total = spool.tally, reader.rows or 0 if last is None else last - first
        step = self.chunk_rows if self.why is None else min(self.chunk_rows, EXPLAINED_ROWS)
        if progress is not None:
            progress("predict", done.rows, total)
        reader.seen = done.seen
        if done.rows and done.rows == total:
            return
        imaging = index_imaging(self.tables) if self.tables else None
        for chunk in reader.chunks(step, first + done.rows, last):
            chunk = chunk if imaging is None else imaging.attach(chunk, self.threads)
            part, columns, rows = passage(chunk)
            if not spool.columns:
                # The first chunk is predicted before anything is written: it says which columns there are.
                spool.begin(columns, tuple(part.catalogue.key))
            counted = Tally.of(part, rows)
            tally = replace(
                replace(spool.tally, sky=None) + counted,
                sky=None if counted.sky is None else counted.sky.beside(spool.tally.sky),
                reading=done.reading + reader.counted,
                seen=reader.seen,
                matched=done.matched + (0 if imaging is None else imaging.matched),
                seconds=done.seconds + time.perf_counter() - start,
            )
            spool.add(rows, tally)
            if progress is not None:
                progress("predict", tally.rows, total)
        if not spool.columns:
            spool.begin((), ())

    def _checked(self, parts: Sequence[Passed]) -> tuple[Tally, tuple[Column, ...]]:
        """Refuse rows that cannot be written as a whole; return what was counted of them, and their columns."""
        reader, tally = self.reader, sum((part.tally for part in parts), Tally())
        reader.counted, reader.seen = tally.reading, tally.seen
        reader.refuse_empty(tally.rows)
        columns, keys = next((part.columns, part.key) for part in parts if part.columns)
        if keys != (ROW,):
            refuse_repeated_keys(parts, keys, reader.path)
        if self.tables and not tally.matched:
            index_imaging(self.tables).require_matches(reader.path, tally.rows)
        return tally, columns

    def _write(self, out: str | Path, spools: Sequence[Spool], plan: Plan, overwrite: bool) -> PredictionSummary:
        """Check the whole and write it."""
        if len(spools) > 1 or spools[0].taken:
            self.reader.layout.words.clear()  # which words are known was not heard of the rows that others read
        tally, columns = self._checked(spools)
        header = self._header(min(spool.made for spool in spools))
        drift = judge(self.model.reference, tally.sky, tally.quality.get("NO_PHOTOMETRY", 0))
        header["drift"] = drift.to_dict()
        head = Head(columns, header, cards=prediction_cards(header), closing=WHOLE)
        closing: dict[str, str | int] = {"NROWS": tally.rows, "NCOLS": len(columns), "IDSUM": f"{tally.ids:016x}"}

        def pieces() -> Iterator[np.ndarray]:
            for spool in spools:
                yield from spool.pieces()

        if Path(out).suffix.lower() == HATS:
            write_hats(out, head, pieces, closing, overwrite=overwrite)
        else:
            with table_writer(out, head, overwrite=overwrite) as writer:
                for rows in pieces():
                    writer.write(rows)
                writer.closing = closing
        return self._summary(out, tally, columns, drift)

    def _header(self, made: str, content: Callable[[Sequence[Path]], str] = content_of) -> Provenance:
        """Return the provenance; `content` is the checksum of the files of the catalogue."""
        reader, about = self.reader, about_model(self.model)
        tables = contents_of(reader.table, content=content) | contents_of(*self.tables)
        if self.tiles is not None:
            tables[str(self.tiles)] = sha256(self.tiles)
        return provenance(
            inputs=tables,
            made=made,
            model=about,
            survey=reader.schema.of,
            radius=RADIUS,
            simulated=about["simulated"] or reader.table.simulated,
            notes=list(reader.table.notes),
        )

    def _summary(
        self, out: str | Path, tally: Tally, columns: Sequence[Column], drift: Drift | None, shard: str = ""
    ) -> PredictionSummary:
        self.reader.counted = tally.reading
        quality = self.reader.quality if not shard else tally.reading
        return PredictionSummary(
            out=str(out),
            rows=tally.rows,
            classes={name: tally.classes.get(name, 0) for name in self.model.classes},
            quality=tally.quality,
            reading=quality.to_dict(),
            imaging=tally.matched if self.tables else None,
            columns=tuple(column.name for column in columns),
            notes=tuple(quality.notes()),
            seconds=tally.seconds,
            warnings=(*quality.notes(), *self._forgotten(tally)),
            shard=shard,
            drift=drift,
            tiles="" if self.tiles is None else str(self.tiles),
        )

    def _forgotten(self, tally: Tally) -> list[str]:
        """Return what to say of rows without the imaging, or without bands of it, that the model was trained with."""
        made, end = self.model.recipe, "judged without. --legacy takes such a table."
        if made.has_imaging and tally.bare and not self.tables:
            return [f"{bare_words(tally.bare, tally.rows)}: {end}"]
        dark = [one for one in made.options.optional or () if not {*MADE_OF[one]} & {*tally.optional}]
        lack = f"none of the rows has {' or '.join(dark)} of an imaging survey, with which the model was trained: {end}"
        return [lack] if dark and tally.rows else []
