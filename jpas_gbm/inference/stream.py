"""Predicting a catalogue of any length: in chunks, in order, in bounded memory; and the bands that decide each row."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from ..errors import CatalogueError, ConfigError, did_you_mean
from ..explanation.attributions import EVERY, RUNNER_UP, Attributions, Pair, attribute
from ..inputs import CHUNK_ROWS, about_model, open_for, open_model
from ..model import Model
from ..options import ExplainOptions
from ..output.writers import Column, Head, prediction_cards, table_writer, writer_class
from ..predictions import WHOLE, KeptColumns, Predictions, id_checksum, is_bare
from ..run import Progress, Run, claim_file, thread_count
from ..store import provenance
from ..surveys.audit import QualityBit
from ..surveys.positions import RADIUS
from ..surveys.reader import CatalogueReader, index_imaging
from ..surveys.recognition import Source, as_list, own_survey
from ..surveys.schema import OwnColumns
from .tiles import with_tiles

_KEYS_CHECKED = 50_000_000

TOP_BANDS = 3
"""Bands named for a row of a prediction table."""

ALL = "all"


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
            For the terminal.
        """
        counts = ", ".join(f"{name} {n}" for name, n in self.classes.items())
        notes = [f"Warning: {note}" for note in self.notes]
        lines = [f"{self.rows} rows in input order ({counts})", *notes, f"predictions: {self.out}"]
        if unknown := self.quality.get("UNKNOWN_TILE"):
            lines.append(
                f"{unknown} rows lie in tiles without a zero point of their own: measure it with 'jpas-gbm "
                "calibrate-tiles CATALOGUE --model MODEL --out ZP', then predict with --tiles ZP"
            )
        return [*lines, *(f"Warning: {warning}" for warning in self.warnings)]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><td>{name}</td><td>{n:,}</td></tr>" for name, n in self.classes.items())
        return f"<table><caption>{self.out}: {self.rows:,} rows</caption>{cells}</table>"


def predict(
    model: Model | str | Path,
    catalogue: str | Path,
    out: str | Path,
    *,
    legacy: Sequence[str | Path] | str | Path | None = None,
    survey: str | None = None,
    columns: OwnColumns | None = None,
    chunk_rows: int = CHUNK_ROWS,
    explain: str | None = None,
    pair: str | Sequence[str] | None = None,
    tiles: str | Path | None = None,
    keep: str | Sequence[str] | None = None,
    strict: bool = False,
    threads: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PredictionSummary:
    """Classify a whole catalogue in bounded memory; the rows of the result are its rows, in its order.

    Parameters
    ----------
    model : Model or path
    catalogue : path
        FITS, VOTable, Parquet, CSV or the paper's .npy.
    out : path
        FITS, Parquet, VOTable, CSV or ECSV by suffix.
    legacy : path or sequence of path, optional
        Tractor tables: magnitude and morphology for rows within 1 arcsec of a source.
    survey, columns : str, mapping of str to str, optional
        Name of the survey file, where the catalogue does not give itself away; its columns of other names, by role.
    chunk_rows, explain, pair : int, str, str
        Rows in memory at a time; add the bands that decide, for rows of these classes (names with commas) or ``all``:
        between the class and ``runner-up`` (default), ``all`` others, or two classes (:class:`WhyColumns`).
    tiles : path, optional
        Zero points of tiles that the model does not know, as ``calibrate-tiles`` wrote them.
    keep : str or sequence of str, optional
        Columns to carry along (names with commas), or ``all``; ids such as TARGETID are kept without being named.
    strict, threads, overwrite, progress
        Refuse a catalogue of which there is anything to note, such as stale checksums; 0 is all cores; whether `out`
        may be replaced; called as ``progress("predict", rows done, rows, 0 while not known)``.

    Returns
    -------
    PredictionSummary

    Raises
    ------
    JpasGbmError
        If catalogue or tiles do not fit the model, a row key repeats, no row is in the imaging tables, or `out` fails.
    """
    tables = [] if legacy is None else as_list(legacy)
    _claim(out, overwrite, (model, catalogue, tiles, *tables), pair if explain is None else None)
    model, threads = with_tiles(open_model(model), tiles), thread_count(threads)
    why = None if explain is None else WhyColumns(model, explain, pair, threads)
    reader = open_for(model, catalogue, own_survey(catalogue, survey, columns))
    if strict:
        reader.table.refuse_notes()
    kept = KeptColumns(reader, keep, out)
    return _Stream(model, reader, tables, why, kept, threads, tiles).write(out, chunk_rows, overwrite, progress)


def _claim(out: str | Path, overwrite: bool, given: Sequence[object], idle: str | Sequence[str] | None) -> None:
    """Refuse an output that cannot be written or would replace an input, and a pair that nothing compares."""
    if idle is not None:
        raise ConfigError(f"--pair {idle} says what --explain compares. Give --explain as well, such as --explain all.")
    inputs = [one for one in given if isinstance(one, str | Path)]
    for path in (out, *([f"{out}.json"] if str(out).lower().endswith(".csv") else [])):
        claim_file(path, overwrite, inputs)
    writer_class(out)


@dataclass(frozen=True)
class _Stream:
    """A catalogue that passes a model in chunks."""

    model: Model
    reader: CatalogueReader
    tables: Sequence[Source]
    why: WhyColumns | None
    kept: KeptColumns
    threads: int
    tiles: str | Path | None = None

    def write(self, out: str | Path, chunk_rows: int, overwrite: bool, progress: Progress | None) -> PredictionSummary:
        """Predict chunk by chunk and write each when it is done."""
        start, model, reader, why, kept = time.perf_counter(), self.model, self.reader, self.why, self.kept
        imaging = index_imaging(self.tables) if self.tables else None
        # The first chunk is predicted before the file is opened: it says which columns there are, and a
        # model that refuses the catalogue leaves nothing behind.
        chunks = (
            model.predict(chunk if imaging is None else imaging.attach(chunk, self.threads), threads=self.threads)
            for chunk in reader.chunks(chunk_rows)
        )
        parts = ((part, {} if why is None else why.of(part)) for part in chunks)
        first = next(parts)
        columns = kept.beside(first[0].columns()) + (() if why is None else why.columns)
        inputs = [reader.path, *(one for one in (*self.tables, self.tiles) if isinstance(one, str | Path))]
        about = about_model(model)
        header = provenance(
            inputs=inputs,
            model=about,
            survey=reader.schema.name,
            radius=RADIUS,
            simulated=about["simulated"] or reader.table.simulated,
            notes=list(reader.table.notes),
        )
        counted = _Counts(model.classes)
        head = Head(columns, header, cards=prediction_cards(header), closing=WHOLE)
        with table_writer(out, head, overwrite=overwrite) as writer:
            for part, more in chain([first], parts):
                rows = part.records(columns, {**kept.of(part), **more})
                writer.write(rows)
                counted.add(part, rows)
                if progress is not None:
                    progress("predict", counted.rows, reader.rows or 0)
            counted.check_keys(reader.path)
            if imaging is not None:
                imaging.require_matches(reader.path, counted.rows)
            writer.closing = {"NROWS": counted.rows, "NCOLS": len(columns), "IDSUM": f"{counted.ids:016x}"}
        return PredictionSummary(
            out=str(out),
            rows=counted.rows,
            classes=counted.classes,
            quality=counted.quality,
            reading=reader.quality.to_dict(),
            imaging=None if imaging is None else imaging.matched,
            columns=tuple(column.name for column in columns),
            notes=tuple(reader.quality.notes()),
            seconds=time.perf_counter() - start,
            warnings=(*reader.quality.notes(), *self._forgotten(counted)),
        )

    def _forgotten(self, counted: _Counts) -> list[str]:
        """Return what to say of rows without the imaging that the model was trained with."""
        if self.tables or not counted.bare or not self.model.recipe.has_imaging:
            return []
        return [
            f"{counted.bare:,} of {counted.rows:,} rows have neither magnitude nor morphology of an imaging survey, "
            "with which the model was trained: they are judged without. Give its table with --legacy."
        ]


class _Counts:
    """Rows of each class and quality bit, and the row keys, of the chunks that have passed."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.rows = self.ids = self.bare = 0
        self.classes = dict.fromkeys(classes, 0)
        self.quality = {str(bit.name): 0 for bit in QualityBit}
        self._keys: list[np.ndarray] = []

    def add(self, part: Predictions, rows: np.ndarray) -> None:
        """Count a chunk, of which `rows` are written."""
        self.rows += len(part)
        self.bare += int(np.count_nonzero(is_bare(part.catalogue)))
        self.ids = (self.ids + id_checksum(rows)) % (1 << 64)
        for name, n in part.counts().items():
            self.classes[name] += n
        for bit in QualityBit:
            self.quality[str(bit.name)] += int(np.count_nonzero(part.quality & bit))
        self._names = tuple(part.catalogue.key)
        if self._names != ("ROW",) and self.rows <= _KEYS_CHECKED:
            self._keys.append(np.stack(list(part.catalogue.key.values())))

    def check_keys(self, path: str | Path) -> None:
        """Refuse a catalogue in which a row key repeats; a chunk by itself was checked when it was read."""
        if len(self._keys) < 2:
            return
        keys = np.concatenate(self._keys, axis=1)
        order = np.lexsort(keys[::-1])
        keys = keys[:, order]
        same = np.flatnonzero((keys[:, 1:] == keys[:, :-1]).all(axis=0))
        if len(same):
            named = ", ".join(f"{name}={value}" for name, value in zip(self._names, keys[:, same[0]], strict=True))
            raise CatalogueError(
                f"{path}: {len(same)} rows repeat the key of another ({named}, say). Each row needs its own "
                f"({', '.join(self._names)}): join the tables without repeating rows."
            )


class WhyColumns:
    """Columns of a prediction table that name the bands that decide each chosen row.

    A question is a pair of classes of a row, and a prefix of its columns: ``WHY`` sets the most probable class against
    the next, ``WHY_2`` and further against the others, ``WHY_Z`` holds, for rows of the two classes that redshift
    parts (QSO_high, QSO_low), the first against the second; a pair that is asked for is ``WHY`` alone. Of each,
    ``WHY_FOR`` and ``WHY_AGAINST`` (bytes) name the classes, ``WHY_LOG_ODDS`` (float32) is the log-odds before
    calibration, and for i from 1 to `top`, ``WHY_BAND_i`` (bytes) and ``WHY_CONTRIB_i`` (float32) are the band of i-th
    largest |contribution| to it and the signed contribution. Rows without the question have empty names and NaN.

    Parameters
    ----------
    model : Model
    which : str
        ``all``, or names of classes with commas: the rows whose most probable class is one of them.
    pair : str or pair of str, optional
        Two classes, ``runner-up`` (the default) or ``all``.
    threads : int
        Threads of features and trees.
    top : int
        How many bands of each row.

    Raises
    ------
    ConfigError
        If there is no such class.
    ExplanationError
        If the pair is not two classes of the model.
    """

    def __init__(
        self,
        model: Model,
        which: str = ALL,
        pair: str | Sequence[str] | None = None,
        threads: int = 1,
        top: int = TOP_BANDS,
    ) -> None:
        self.model, self.threads = model, threads
        asked = pair not in (None, RUNNER_UP, EVERY)
        self.pair, self._asked = Pair.of(model.scheme, pair if asked else None), asked
        further = range(2, len(model.classes)) if pair == EVERY else ()
        self._ranked = () if asked else ("WHY", *(f"WHY_{i}" for i in further))
        self.top = min(top, len(model.recipe.bands))
        self.names = [name.strip() for name in which.split(",")]
        allowed = (ALL, *model.classes)
        for name in self.names:
            if name not in allowed:
                raise ConfigError(
                    f"--explain {name}: there is no such class.{did_you_mean(name, allowed)} "
                    f"Allowed: {', '.join(allowed)}."
                )

    @property
    def columns(self) -> tuple[Column, ...]:
        """Name, type, description and UCD of each column."""
        first, second = self.pair.names
        one = f"{first} and {second}" + ("" if self._asked else ", for rows of either")
        words = {"WHY": "the most probable class and the next"}
        words |= {
            f"WHY_{i}": f"the most probable class and the {i + 1}. of them" for i in range(2, len(self._ranked) + 1)
        }
        return tuple(
            column
            for prefix, of in {**{p: words[p] for p in self._ranked}, "WHY" if self._asked else "WHY_Z": one}.items()
            for column in self._of_question(prefix, of)
        )

    def _of_question(self, prefix: str, of: str) -> list[Column]:
        """Return the columns of one question."""
        names = f"S{max(map(len, self.model.classes))}"
        text = f"S{max(map(len, self.model.recipe.bands.names))}"
        columns = [
            Column(f"{prefix}_FOR", names, f"Class that positive contributions speak for: of {of}.", "src.class"),
            Column(f"{prefix}_AGAINST", names, "Class that it is set against.", "src.class"),
            Column(
                f"{prefix}_LOG_ODDS",
                "f4",
                f"ln P({prefix}_FOR)/P({prefix}_AGAINST) before calibration; NaN where not explained.",
                "stat.value;src.class",
            ),
        ]
        for i in range(1, self.top + 1):
            rank = "largest" if i == 1 else f"{i}. largest"
            sentence = f"Band of the {rank} contribution to {prefix}_LOG_ODDS."
            columns.append(Column(f"{prefix}_BAND_{i}", text, sentence, "meta.id;instr.bandpass"))
            sentence = f"Its signed contribution (TreeSHAP, margin units); positive speaks for {prefix}_FOR."
            columns.append(Column(f"{prefix}_CONTRIB_{i}", "f4", sentence, "stat.value"))
        return columns

    def of(self, predictions: Predictions) -> dict[str, np.ndarray]:
        """Return the columns of some rows by name.

        Parameters
        ----------
        predictions : Predictions
            n rows.

        Returns
        -------
        dict of str to array, shape (n,)
        """
        n = len(predictions)
        codes = [self.model.classes.index(name) for name in self.names if name != ALL]
        chosen = np.arange(n) if ALL in self.names else np.flatnonzero(np.isin(predictions.label, codes))
        table = {
            one.name: np.full(n, b"" if one.dtype.startswith("S") else np.nan, dtype=one.dtype) for one in self.columns
        }
        if not len(chosen):
            return table
        rows = predictions.catalogue.take(chosen)
        found = attribute(self.model, rows, self.pair, ExplainOptions(detail_rows=1), Run(threads=self.threads))
        order = np.argsort(-predictions.probabilities[chosen], axis=1, kind="stable")
        for rank, prefix in enumerate(self._ranked, start=1):
            self._fill(table, prefix, found, chosen, order[:, 0], order[:, rank])
        usual = np.full(len(chosen), True) if self._asked else np.isin(order[:, 0], (self.pair.a, self.pair.b))
        a, b = (np.full(len(chosen), code) for code in (self.pair.a, self.pair.b))
        self._fill(table, "WHY" if self._asked else "WHY_Z", found, chosen, a, b, usual)
        return table

    def _fill(
        self,
        table: dict[str, np.ndarray],
        prefix: str,
        found: Attributions,
        chosen: np.ndarray,
        a: np.ndarray,
        b: np.ndarray,
        having: np.ndarray | slice = slice(None),
    ) -> None:
        """Fill in the columns of a question: classes `a` against `b` of the rows that have it."""
        at, rows, a, b = np.arange(len(chosen))[having], chosen[having], a[having], b[having]
        values = found.bands[at, a] - found.bands[at, b]
        order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, : self.top]
        classes, bands = (np.array(names, dtype="S") for names in (self.model.classes, self.model.recipe.bands.names))
        table[f"{prefix}_FOR"][rows], table[f"{prefix}_AGAINST"][rows] = classes[a], classes[b]
        table[f"{prefix}_LOG_ODDS"][rows] = found.margins[at, a] - found.margins[at, b]
        for i in range(self.top):
            table[f"{prefix}_BAND_{i + 1}"][rows] = bands[order[:, i]]
            table[f"{prefix}_CONTRIB_{i + 1}"][rows] = np.take_along_axis(values, order[:, i : i + 1], axis=1)[:, 0]
