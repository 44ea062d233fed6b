"""inspect: what a file holds, told to an astronomer before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..store import to_plain
from ..text import count as plural
from ..text import html_table
from .bands import AB_ZERO_POINT
from .batches import block_rows, flag_bits, join_blocks
from .catalogue import IMAGING_EXTRA, MORPHOLOGIES, UNLABELLED, Catalogue
from .columns import find_layout
from .formats.npy import find_array
from .inspection import BandFacts, CatalogueFacts, ClassFacts, ExtraFacts, FileInspection, FlagFacts, SkyBox, Spread
from .positions import overlap_duplicates
from .quality import QualityReport
from .reader import CatalogueReader, read_imaging, read_labels
from .recognition import (
    Source,
    as_list,
    as_table,
    fitting_table,
    open_survey,
    own_survey,
    preferred_extensions,
    read_table,
)
from .schema import OwnColumns, Survey, SurveySchema, load_schema
from .scheme import LabelScheme
from .spelling import ColumnNames
from .tables import RawTable

MOST_ROWS = 500_000
"""Rows of a catalogue that are looked at; of a longer one, the first."""


def inspect(
    files: Source | Sequence[Source],
    *,
    survey: Survey = None,
    columns: OwnColumns | None = None,
    strict: bool = False,
) -> Inspection:
    """Say what was understood of files.

    Parameters
    ----------
    files : path, astropy Table or DataFrame, or a list of these
        Catalogues, tables of labels or imaging tables, of any format that is read here.
    survey : str, optional
        Name of a survey file; default: recognised.
    columns : mapping of str to str, optional
        Columns that bear names of their own, by role: ``{"ra": "RA_deg"}``; the roles are those of
        :meth:`Catalogue.from_table`.
    strict : bool
        Refuse files of which there is anything to note, such as stale checksums.

    Returns
    -------
    Inspection
        What each file is, its rows, columns, bands, units, missing share of each band, flags, magnitudes,
        classes, redshifts, place on the sky and problems to know of. Of catalogues of more than 500,000
        rows the first are looked at.

    Raises
    ------
    CatalogueError
        If a file cannot be read or is of no known survey; the message names the nearest one and
        what the file lacks.
    """
    found = Inspection(tuple(_inspected(one, own_survey(one, survey, columns)) for one in as_list(files)))
    if strict:
        QualityReport.total(one.quality for one in found.files).refuse_notes()
    return found


def _inspected(source: Source, survey: Survey) -> FileInspection:
    """Say what was understood of one file."""
    if isinstance(source, str | Path):
        source = find_array(Path(source)) or source
    survey = None if survey is None else load_schema(survey)
    source = as_table(source, preferred_extensions() if survey is None else survey.hdu)
    if survey is None and _is_predicted(source):
        return _predictions(source)
    source = fitting_table(source) if survey is None else source
    table, schema = open_survey(source, survey)
    look = {"catalogue": _catalogue, "labels": _labels, "imaging": _imaging}[schema.kind]
    return look(source, table, schema, schema)


def _is_predicted(table: RawTable) -> bool:
    """Return whether a table has the columns of a prediction file, whoever wrote or cut it last."""
    names = table.columns.keys()
    return {"RA", "DEC", "CLASS", "QUALITY"} <= names and sum(name.startswith("P_") for name in names) > 1


def _predictions(table: RawTable) -> FileInspection:
    """Say what was understood of a file of predictions."""
    blocks = list(table.read({"RA": "float", "DEC": "float", "CLASS": "text"}))
    block = join_blocks(blocks) if blocks else {name: np.zeros(0) for name in ("RA", "DEC", "CLASS")}
    rows, whole = len(block["RA"]), table.cards.get("NROWS", "")
    names, counts = np.unique(block["CLASS"].astype(str), return_counts=True)
    problems = [f"trained as {table.cards['REGIME']}"] if table.cards.get("REGIME") else []
    if whole.isdigit() and int(whole) != rows:
        problems.append(f"a part of what was predicted: {rows:,} of {int(whole):,} rows")
    elif not whole.isdigit():
        problems.append("nothing in it says of what it is a part, nor which model made it: targets needs --model")
    return FileInspection(
        file=table.path.name,
        table=table.place,
        format=table.format,
        bytes=sum(file.stat().st_size for file in table.files),
        checksums=_sums(table),
        simulated=table.simulated,
        survey="predictions",
        title="predictions of jpas-gbm",
        kind="predictions",
        rows=rows,
        rows_read=rows,
        columns=tuple(table.columns.values()),
        key=(),
        magnitude=None,
        morphology=None,
        sky=SkyBox.of(block["RA"], block["DEC"]),
        quality=QualityReport.of(table.path.name, rows, notes=table.notes, simulated=table.simulated),
        problems=tuple(problems),
        predicted=dict(zip(names.tolist(), counts.tolist(), strict=True)),
    )


def _sums(table: RawTable) -> str:
    if table.verified:
        return "verified"
    return "wrong" if table.notes and "DATASUM" in table.cards else "none"


def _file(table: RawTable, schema: SurveySchema, rows_read: int, sky: SkyBox | None, **facts: Any) -> FileInspection:
    """Return what is known of any table, and the facts of its kind."""
    return FileInspection(
        file=table.path.name,
        table=table.place,
        format=table.format,
        bytes=sum(file.stat().st_size for file in table.files),
        checksums=_sums(table),
        roles={ours: theirs for ours, theirs in find_layout(table, schema).names.items() if ours != theirs},
        simulated=table.simulated,
        survey=schema.name,
        title=schema.title,
        kind=schema.kind,
        rows=rows_read if table.rows is None else table.rows,
        rows_read=rows_read,
        columns=tuple(table.columns.values()),
        sky=sky,
        **facts,
    )


def _classes(label: np.ndarray, z: np.ndarray, **more: Any) -> ClassFacts:
    scheme = LabelScheme()
    spreads = {name: Spread.of(z[label == code]) for code, name in enumerate(scheme.classes)}
    known = {name: spread for name, spread in spreads.items() if spread is not None}
    return ClassFacts(scheme.counts(label), int((label == UNLABELLED).sum()), known, **more)


def _catalogue(source: Source, table: RawTable, survey: Survey, schema: SurveySchema) -> FileInspection:
    reader = CatalogueReader(source, survey)
    chunks = reader.chunks(MOST_ROWS)
    catalogue = next(chunks, None)
    if catalogue is None or (reader.rows is None and len(catalogue) < MOST_ROWS):
        # The end of the file says whether it has any row and any flux at all.
        next(chunks, None)
    assert catalogue is not None
    facts = _catalogue_facts(reader, catalogue)
    sky = SkyBox.of(catalogue.ra, catalogue.dec)
    return _file(
        table,
        schema,
        len(catalogue),
        sky,
        key=tuple(catalogue.key),
        magnitude=Spread.of(catalogue.mag),
        morphology=shape_counts(catalogue.morphology) if schema.morphology else None,
        quality=reader.quality,
        problems=tuple(_problems(catalogue, reader, facts, sky)),
        catalogue=facts,
        classes=_classes(catalogue.label, catalogue.z) if schema.labels is not None else None,
    )


def _catalogue_facts(reader: CatalogueReader, catalogue: Catalogue) -> CatalogueFacts:
    layout = reader.photometry
    extra = {name: ExtraFacts.of(values) for name, values in catalogue.extra.items()}
    return CatalogueFacts(
        identity=reader.schema.identity,
        objects=len(np.unique(catalogue.object_id)) if reader.schema.identity != "row" else None,
        tiles=len(np.unique(catalogue.key["TILE_ID"])) if "TILE_ID" in catalogue.key else None,
        photometry=layout.rule.name,
        unit=layout.unit,
        kind=layout.rule.unit,
        errors=layout.rule.error_kind,
        band_system=catalogue.bands.name,
        bands_ordered_by=layout.ordered_by,
        bands_of_file=layout.found,
        bands_dropped=tuple(name for name in layout.found if name not in catalogue.bands),
        bands=tuple(_bands(catalogue)),
        complete_rows=int(catalogue.observed.all(axis=1).sum()),
        missing_patterns=len(np.unique(np.packbits(~catalogue.observed, axis=1), axis=0)),
        negative_share=share_of(catalogue.flux < 0, catalogue.observed),
        negative_rows=float((catalogue.flux < 0).any(axis=1).mean()),
        flags=tuple(_flags(reader, len(catalogue))),
        overlap_duplicates=int((~overlap_duplicates(catalogue, 0.5)).sum()),
        extra={name: facts for name, facts in extra.items() if facts is not None},
        simulation_means=catalogue.flux_mean is not None,
    )


def _bands(catalogue: Catalogue) -> Iterator[BandFacts]:
    for i, band in enumerate(catalogue.bands):
        flux, error = catalogue.flux[:, i], catalogue.flux_err[:, i]
        seen = np.isfinite(flux)
        sigma = float(np.median(error[seen])) if seen.any() and catalogue.has_errors else None
        yield BandFacts(
            name=band.name,
            pivot=band.pivot,
            missing=float(1 - seen.mean()) if len(seen) else 0.0,
            median_njy=float(np.median(flux[seen])) if seen.any() else None,
            depth_5sigma=None if not sigma else float(AB_ZERO_POINT - 2.5 * np.log10(5 * sigma)),
            median_snr=None if sigma is None else float(np.median(flux[seen] / error[seen])),
        )


def _flags(reader: CatalogueReader, rows: int) -> Iterator[FlagFacts]:
    """Count the bits of each flag column over the rows that were looked at."""
    rules, place = reader.photometry.flags, reader.layout.place
    if not rules:
        return
    bits = {rule.column[0]: np.zeros(64, dtype=np.int64) for rule, _ in rules}
    totals, start = dict.fromkeys(bits, 0), 0
    for block in reader.table.read({name: "int" for _, columns in rules for name in columns.columns}):
        take = min(block_rows(block), rows - start)
        for rule, columns in rules:
            name = rule.column[0]
            values = flag_bits(columns.take(block, place), name, place)[:take]
            # Few values occur, in many fluxes.
            for value, count in zip(*np.unique(values, return_counts=True), strict=True):
                bits[name] += count * (int(value) >> np.arange(64) & 1)
            totals[name] += values.size
        start += take
        if start >= rows:
            break
    for rule, _ in rules:
        name = rule.column[0]
        shares = {str(1 << bit): float(n / totals[name]) for bit, n in enumerate(bits[name].tolist()) if n}
        yield FlagFacts(name, rule.reject, rule.meaning, shares)


def _problems(
    catalogue: Catalogue, reader: CatalogueReader, facts: CatalogueFacts, sky: SkyBox | None
) -> Iterable[str]:
    """Yield what a person must know of a catalogue."""
    if reader.rows is not None and reader.rows > len(catalogue):
        yield f"only the first {len(catalogue):,} of {reader.rows:,} rows were looked at"
    if not catalogue.has_errors:
        yield "no photometric errors: S/N, σ and template features will step aside"
    dark = int((~catalogue.observed.any(axis=1)).sum())
    if dark:
        yield f"{plural(dark, 'row has', 'rows have')} no usable flux in any band: nothing can be said of them"
    gone = [band.name for band in facts.bands if band.missing == 1]
    if gone:
        yield f"no flux at all in {', '.join(gone)}"
    if facts.overlap_duplicates:
        seen = plural(facts.overlap_duplicates, "source was", "sources were")
        yield f"{seen} seen by a second tile (within 0.5 arcsec)"
    if facts.objects is not None and facts.objects < len(catalogue):
        what = (" of an object", "repeat") if facts.identity == "id" else (" at the place of another", "row")
        yield f"{plural(len(catalogue) - facts.objects, what[1])}{what[0]}: they go to one side of a split together"
    if "no card" in facts.bands_ordered_by:
        yield "nothing in the file names the bands of its arrays: the order of the release is taken on trust"
    if reader.photometry.assumed:
        yield reader.photometry.assumed
    for name, reason in reader.schema.unused.items():
        if ColumnNames(tuple(reader.table.columns), "").find((name,)) is not None:
            yield f"{name} is not used: {reason}"
    yield from (note for file in reader.quality.files.values() for note in file.notes)
    if sky is None:
        yield "no position: labels and imaging cannot be matched on the sky"
    if reader.schema.survey:
        yield f"its measurements are of '{reader.schema.survey}', whose models take it"
    if reader.schema.name.startswith("sdss") and not facts.photometry.startswith("dered"):
        yield "magnitudes are not corrected for Galactic extinction, as dered_* are (u differs by 0.1-0.2)"


def _labels(source: Source, table: RawTable, survey: Survey, schema: SurveySchema) -> FileInspection:
    labels, quality = read_labels(source, survey)
    assert schema.labels is not None
    spelt = ColumnNames(tuple(table.columns), table.place).find(schema.labels.spectype) or ""
    types = read_table(source, (spelt,)).iloc[:, 0].astype(str).value_counts()
    spectypes = {str(kind): int(count) for kind, count in types.items()}
    classes = _classes(labels.label, labels.z, ids=len(labels.all_ids), spectypes=spectypes)
    return _file(
        table,
        schema,
        next(iter(quality.files.values())).rows,
        SkyBox.of(labels.ra, labels.dec),
        key=(),
        magnitude=Spread.of(labels.mag),
        morphology=shape_counts(labels.morphology) if schema.morphology else None,
        quality=quality,
        problems=(
            *(f"no label of class {name}" for name, count in classes.counts.items() if not count),
            *next(iter(quality.files.values())).notes,
        ),
        classes=classes,
    )


def _imaging(source: Source, table: RawTable, survey: Survey, schema: SurveySchema) -> FileInspection:
    imaging, quality = read_imaging(source, survey)
    shapes = shape_counts(imaging.morphology)
    more = {IMAGING_EXTRA + name: ExtraFacts.of(values) for name, values in imaging.more.items()}
    return _file(
        table,
        schema,
        len(imaging),
        SkyBox.of(imaging.ra, imaging.dec),
        key=tuple(imaging.key),
        magnitude=Spread.of(imaging.mag),
        morphology=shapes,
        optional={name: facts for name, facts in more.items() if facts is not None},
        quality=quality,
        problems=(
            *(() if set(shapes) - {"UNKNOWN"} else ("no morphology of a known type",)),
            *next(iter(quality.files.values())).notes,
        ),
    )


def shape_counts(codes: np.ndarray) -> dict[str, int]:
    """Return how many sources each morphological type has, without the types that none has.

    Parameters
    ----------
    codes : array of int8, shape (n,)
        Codes of :data:`MORPHOLOGIES`.

    Returns
    -------
    dict of str to int
        By name of the type.
    """
    counts = np.bincount(codes, minlength=len(MORPHOLOGIES))
    return {name: int(count) for name, count in zip(MORPHOLOGIES, counts, strict=True) if count}


def share_of(part: np.ndarray, whole: np.ndarray) -> float:
    """Return the share of `whole` (a mask) that is also `part`; 0 where nothing is.

    Parameters
    ----------
    part, whole : array of bool, shape (n,)
        Two masks.

    Returns
    -------
    float
        From 0 to 1.
    """
    total = int(whole.sum())
    return float((part & whole).sum()) / total if total else 0.0


@dataclass(frozen=True)
class Inspection:
    """What was understood of some files.

    Parameters
    ----------
    files : tuple of FileInspection
        In the order in which they were given.
    """

    files: tuple[FileInspection, ...]

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.files))

    def _repr_html_(self) -> str:
        header = ("file", "survey", "kind", "rows", "problems")
        rows = [(one.file, one.survey, one.kind, f"{one.rows:,}", "; ".join(one.problems)) for one in self.files]
        return html_table(header, rows)

    def lines(self) -> list[str]:
        """Return what was understood as lines of text, a blank one after each file.

        Returns
        -------
        list of str
        """
        return [line for one in self.files for line in (*one.lines(), "")]

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold.

        Returns
        -------
        dict
        """
        return to_plain(self)
