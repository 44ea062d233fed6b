"""A list as it is observed: which candidates fibres reach, in which order, what waits in reserve, in which columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from string import Formatter
from typing import Any, Literal, cast

import numpy as np
from pydantic import Field, model_validator

from ..config import Options, find_config, parse_options, read_yaml
from ..errors import ConfigError, ListError, did_you_mean
from ..output.writers import Card, Column, Companion, Head, write_whole
from ..surveys.positions import SkyIndex
from ..text import count
from .footprint import cell_places, cells_of
from .records import Interval, Part, bin_names, stacked
from .rule import KINDS, ListKeywords, ListOptions
from .target_list import Candidates, TargetList

_PER_CELL = 10


class ObservingOptions(Options):
    """How a list is observed."""

    separation: float | None = Field(
        None, gt=0, le=3600, description="Fibres cannot stand nearer than this, arcsec: the likelier candidate stays."
    )
    subset: int | None = Field(None, ge=1, description="Keep so many of the candidates, drawn at random.")
    reserve: int = Field(0, ge=0, description="The next likeliest rows, in a table of their own.")
    priorities: int | None = Field(None, ge=1, le=1000, description="Levels of the column PRIORITY; 1 comes first.")
    density_map: str | None = Field(None, description="Where the candidates of each HEALPix cell are written.")
    table_format: str | None = Field(None, description="A column map: a YAML file, or weave, desi.")

    def files(self, out: str | Path | None) -> dict[str, Path]:
        """Return where the further tables of a list go, by the options that ask for them.

        Parameters
        ----------
        out : path or None
            Of the list.

        Returns
        -------
        dict of str to Path
        """
        out, found = Path(out or "list.fits"), {}
        if self.reserve or self.separation is not None:
            found["--reserve"] = out.with_name(f"{out.stem}_reserve{out.suffix}")
        if self.table_format is not None:
            found["--format"] = out.with_name(f"{out.stem}_{Path(self.table_format).stem}{out.suffix}")
        if self.density_map is not None:
            found["--density-map"] = Path(self.density_map)
        return found

    def longer(self, options: ListOptions, size: int) -> ListOptions:
        """Return the rule of a list that holds a list of so many rows and the reserve.

        Parameters
        ----------
        options : ListOptions
            Of the list.
        size : int

        Returns
        -------
        ListOptions
        """
        rule: dict[str, Any] = {**dict.fromkeys(KINDS), "number": size + self.reserve}
        rule |= {"bin_edges": (), "flag_known": False, "draws": 20, "noise_draws": 0}
        return ListOptions.model_validate(options.model_dump() | rule)


def observing_options(given: ListKeywords) -> tuple[ObservingOptions, ListKeywords]:
    """Part the options of observing from those of the list.

    Parameters
    ----------
    given : ListKeywords

    Returns
    -------
    ObservingOptions
    ListKeywords
        The others.
    """
    own = {name: value for name, value in given.items() if name in ObservingOptions.model_fields}
    own |= {name: str(own[name]) for name in ("density_map", "table_format") if own.get(name) is not None}
    rest = {name: value for name, value in given.items() if name not in own}
    made = parse_options(ObservingOptions, own, "targets")
    if made.table_format is not None:
        column_map(made.table_format)
    return made, cast(ListKeywords, rest)


@dataclass(frozen=True, eq=False)
class Observed:
    """A list to observe, and the candidates that wait.

    Parameters
    ----------
    found : TargetList
    reserve : Candidates, optional
        The column COLLIDES is the RANK of the listed candidate that is too near, or 0.
    """

    found: TargetList
    reserve: Candidates | None = None

    def beside(self, options: ObservingOptions, out: str | Path) -> dict[str | Path, Companion]:
        """Return what writes the further tables of a list.

        Parameters
        ----------
        options : ObservingOptions
        out : path
            Of the list.

        Returns
        -------
        dict of path to Companion
        """
        told = {"list": Path(out).name, "rule": self.found.rule, "provenance": self.found.provenance}
        made: dict[str | Path, Companion] = {}
        for option, path in options.files(out).items():
            cards: dict[str, Card] = {"CLASS": self.found.cls, "LIST": Path(out).name}
            if option == "--format":
                of = column_map(str(options.table_format))
                rows, name = formatted(self.found, of), of.extname
            elif option == "--reserve" and self.reserve is not None:
                rows, name = self.reserve, "RESERVE"
            else:
                (rows, more), name = density_map(self.found), "DENSITY"
                cards |= more
            made[path] = partial(write_whole, path, Head(rows.columns, told, name, cards), rows.records)
        return made


def observed(found: TargetList, options: ObservingOptions, longer: TargetList | None = None, seed: int = 0) -> Observed:
    """Return a list as it is observed: without collisions or thinned, with priorities, and its reserve.

    Parameters
    ----------
    found : TargetList
        With its candidates.
    options : ObservingOptions
    longer : TargetList, optional
        A longer list of the same field, for the reserve.
    seed : int
        Of the random subset and of the column RANDOM.

    Returns
    -------
    Observed

    Raises
    ------
    ListError
        If the subset would be larger than the list.
    """
    assert found.candidates is not None
    rows, notes = found.candidates.records, list(found.notes)
    near, kept = np.zeros(len(rows), dtype=np.int32), np.ones(len(rows), dtype=bool)
    if options.separation is not None:
        near = _collisions(rows, options.separation)
        kept = near == 0
        if not kept.all():
            notes.append(
                f"{count(int((~kept).sum()), 'candidate waits', 'candidates wait')} in the reserve, within "
                f"{options.separation:g} arcsec of a likelier one: the yield is that of the others."
            )
    rng = np.random.default_rng([seed, 17])
    random = rng.random(len(rows))
    if options.subset is not None:
        if options.subset > kept.sum():
            raise ListError(
                f"--subset {options.subset}: the list has {count(int(kept.sum()), 'candidate')}. Ask for fewer."
            )
        kept[rng.permutation(np.flatnonzero(kept))[options.subset :]] = False
        notes.append(
            f"a random subset of {options.subset} of {count(len(rows), 'candidate')}: the promise is kept by the whole "
            "list, and by the subset on average."
        )
    if options.table_format is not None:
        notes += [note] if (note := guesses(column_map(options.table_format))) else []
    parts = _parts(found, kept)
    expected = sum(part.expected_true for part in parts)
    candidates = _with_order(found.candidates, kept, random, options)
    changed = replace(
        found,
        size=int(kept.sum()),
        parts=parts,
        per_deg2=None if found.area is None else expected / found.area,
        notes=tuple(notes),
        candidates=candidates,
    )
    return Observed(changed, _reserve(changed, found.candidates.records[near > 0], longer, options))


def _collisions(rows: np.ndarray, radius: float) -> np.ndarray:
    """Return the RANK of the likelier row that each row is too near to, 0 for those that stay, int32 (n,)."""
    pairs = np.sort(SkyIndex(rows["RA"], rows["DEC"]).pairs(radius), axis=1)
    near = np.zeros(len(rows), dtype=np.int32)
    for first, second in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].tolist():
        if near[first] == 0 and near[second] == 0:
            near[second] = rows["RANK"][first]
    return near


def _parts(found: TargetList, kept: np.ndarray) -> tuple[Part, ...]:
    """Return the parts of a list of which some rows are kept."""
    assert found.candidates is not None
    rows = found.candidates.records
    names = rows.dtype.names or ()
    new = rows["KNOWN"] == b"" if "KNOWN" in names else np.ones(len(rows), dtype=bool)
    edges = (found.provenance.get("options") or {}).get("bin_edges") or ()
    of = np.array([bin_names(edges)[b] for b in rows["MAG_BIN"]]) if "MAG_BIN" in names else None
    parts = []
    for part in found.parts:
        here = new if of is None else new & (of == part.magnitudes)
        p = rows["PROBABILITY"].astype(np.float64)
        parts.append(_thinned(part, p[here & kept], p[here]))
    return tuple(parts)


def _thinned(part: Part, p: np.ndarray, before: np.ndarray) -> Part:
    """Return a part of which rows of probability `p` are left; yields spread as its own, and by drawing from it."""
    n = len(p)
    if n == len(before):
        return part
    if not n:
        return Part(part.magnitudes, part.field_rows, 0, 0.0, (0.0, 0.0))
    share, ratio = n / len(before), float(p.sum() / max(before.sum(), 1e-12))
    expected = min(part.expected_true * ratio, float(n))

    def scaled(interval: Interval | None, factor: float) -> Interval | None:
        known = interval is not None and None not in interval
        return (interval[0] * factor, interval[1] * factor) if known else interval  # type: ignore[index, operator]

    interval = part.interval
    if interval is not None and interval[0] is not None and interval[1] is not None:
        half = 0.5 * share * (interval[1] - interval[0])
        drawn = 1.96 * np.sqrt(n * p.mean() * (1 - p.mean()) * (1 - share))
        half = float(np.hypot(half, drawn))
        interval = (max(expected - half, 0.0), min(expected + half, float(n)))
    return replace(
        part,
        size=n,
        expected_true=expected,
        interval=interval,
        purity=expected / n,
        purity_interval=None if interval is None else scaled(interval, 1 / n),
        completeness=None if part.completeness is None else part.completeness * ratio,
        completeness_interval=scaled(part.completeness_interval, ratio),
        threshold=float(p.min()),
    )


def _with_order(candidates: Candidates, kept: np.ndarray, random: np.ndarray, options: ObservingOptions) -> Candidates:
    """Return the rows that are kept, ranked anew, with PRIORITY and RANDOM."""
    rows, n = candidates.records[kept].copy(), int(kept.sum())
    rows["RANK"] = np.arange(1, n + 1)
    taken = {column.name.upper() for column in candidates.columns}
    words = "Drawn from 0 to 1: rows below a share are a random subset."
    more = {Column("RANDOM" if "RANDOM" not in taken else "RANDOM_LIST", "f8", words, "stat.value"): random[kept]}
    if options.priorities is not None:
        name, words = "PRIORITY", f"From 1, the likeliest, to {options.priorities}."
        level = 1 + np.arange(n) * options.priorities // max(n, 1)
        more[Column(name if name not in taken else "PRIORITY_LIST", "i2", words, "meta.code")] = level
    return replace(candidates, columns=(*candidates.columns, *more), records=_joined(rows, more))


def _joined(rows: np.ndarray, more: Mapping[Column, np.ndarray]) -> np.ndarray:
    """Return records with further columns."""
    made = np.empty(len(rows), dtype=np.dtype([*rows.dtype.descr, *((c.name, c.dtype) for c in more)]))
    for name in rows.dtype.names or ():
        made[name] = rows[name]
    for column, values in more.items():
        made[column.name] = values
    return made


def _reserve(
    found: TargetList, collided: np.ndarray, longer: TargetList | None, options: ObservingOptions
) -> Candidates | None:
    """Return the rows that wait: those that collided, then the next likeliest."""
    if not options.reserve and options.separation is None:
        return None
    assert found.candidates is not None
    columns = found.candidates.columns[: len(collided.dtype.names or ())]
    rows = collided
    if longer is not None and longer.candidates is not None:
        theirs = longer.candidates.records
        taken = {*_places(found.candidates.records), *_places(collided)}
        fresh = np.array([place not in taken for place in _places(theirs)], dtype=bool)
        rows = stacked(collided, theirs[np.flatnonzero(fresh)[: options.reserve]])
        columns = tuple(replace(c, dtype=rows.dtype[c.name].str[1:]) for c in columns)
    listed = found.candidates.records
    near = np.zeros(len(rows), dtype=np.int32)
    if options.separation is not None and len(rows) and len(listed):
        here, there, _ = SkyIndex(listed["RA"], listed["DEC"]).nearest(rows["RA"], rows["DEC"], options.separation)
        near[here] = listed["RANK"][there]
    rows = rows.copy()
    rows["RANK"] = len(listed) + np.arange(1, len(rows) + 1)
    words = "RANK of the listed candidate that stands too near; 0: none."
    more = {Column("COLLIDES", "i4", words, "meta.number"): near}
    return Candidates((*columns, *more), _joined(rows, more))


def _places(rows: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(rows["RA"].tolist(), rows["DEC"].tolist(), strict=True))


def density_map(found: TargetList) -> tuple[Candidates, dict[str, str | float]]:
    """Return how many candidates each HEALPix cell of the footprint holds.

    Cells are the finest with some ten candidates each; rows without a candidate are cells of the footprint.

    Parameters
    ----------
    found : TargetList
        With its candidates.

    Returns
    -------
    cells : Candidates
        PIXEL, RA, DEC, AREA, CANDIDATES, EXPECTED and DENSITY.
    cards : dict of str to str or float
        What FITS readers of HEALPix maps look for.

    Raises
    ------
    ListError
        If the footprint is not known.
    """
    whole = None if found.candidates is None else found.candidates.footprint
    if whole is None or not len(whole.cells) or found.candidates is None:
        raise ListError("--density-map: too few rows of the predictions have a position. Predict with positions.")
    rows = found.candidates.records
    order = whole.order
    while order > 0 and len(np.unique(whole.cells >> (2 * (whole.order - order)))) * _PER_CELL > max(len(rows), 1):
        order -= 1
    cells, fine = np.unique(whole.cells >> (2 * (whole.order - order)), return_counts=True)
    of = np.searchsorted(cells, cells_of(rows["RA"], rows["DEC"], order))
    inside = (of < len(cells)) & (cells[np.minimum(of, len(cells) - 1)] == cells_of(rows["RA"], rows["DEC"], order))
    count = np.bincount(of[inside], minlength=len(cells))
    expected = np.bincount(of[inside], rows["PROBABILITY"][inside], minlength=len(cells))
    area = fine * (whole.area / len(whole.cells))
    of_cells = (cells, *cell_places(cells, order), area, count, expected, count / area)
    columns = (
        Column("PIXEL", "i8", f"HEALPix cell, nested, order {order}.", "pos.healpix"),
        Column("RA", "f8", "Of its centre, ICRS.", "pos.eq.ra;meta.main", "deg"),
        Column("DEC", "f8", "Of its centre, ICRS.", "pos.eq.dec;meta.main", "deg"),
        Column("AREA", "f8", "Of the footprint in it.", "phys.angArea", "deg2"),
        Column("CANDIDATES", "i4", "Candidates in it.", "meta.number"),
        Column("EXPECTED", "f4", "Sum of their probabilities.", "meta.number"),
        Column("DENSITY", "f4", "Candidates per square degree of the footprint.", "stat.value", "deg-2"),
    )
    records = _joined(np.empty(len(cells), dtype=[]), dict(zip(columns, of_cells, strict=True)))
    cards: dict[str, str | float] = {"PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "NSIDE": 1 << order}
    return Candidates(columns, records), cards | {"INDXSCHM": "EXPLICIT", "COORDSYS": "C"}


Type = Literal["text", "int16", "int32", "int64", "float32", "float64"]


class Entry(Options):
    """One column of a table for a survey: of a column of the list, a text with names of columns, or one value."""

    name: str = Field(description="Of the column.")
    type: Type = Field("float64", description="What its values are.")
    source: str | None = Field(None, description="Column of the list.")
    text: str | None = Field(None, description="Text with columns of the list in braces, such as {TILE_ID}-{NUMBER}.")
    value: str | float | None = Field(None, description="The same for every row.")
    scale: float = Field(1.0, description="The source times this,")
    offset: float = Field(0.0, description="plus this.")
    unit: str = Field("", description="As FITS spells it.")
    description: str = Field("", description="One sentence.")
    guess: bool = Field(False, description="Whether the survey's own rules must be asked.")

    @model_validator(mode="after")
    def _one_origin(self) -> Entry:
        if sum(one is not None for one in (self.source, self.text, self.value)) != 1:
            raise ConfigError(f"column {self.name}: give one of source, text and value.")
        return self


class ColumnMap(Options):
    """The table that a survey's tools read, column by column."""

    title: str = Field(description="What it is for.")
    extname: str = Field("TARGETS", description="Name of the FITS extension.")
    columns: tuple[Entry, ...] = Field(min_length=1, description="In order.")


def column_map(name: str) -> ColumnMap:
    """Read a column map.

    Parameters
    ----------
    name : str
        A YAML file, or the name of a shipped one: weave, desi.

    Returns
    -------
    ColumnMap

    Raises
    ------
    ConfigError
        If there is none, or it is wrong.
    """
    path = find_config(name if Path(name).suffix else f"list_{name}")
    return parse_options(ColumnMap, read_yaml(path), str(path))


def formatted(found: TargetList, of: ColumnMap) -> Candidates:
    """Return the candidates of a list in the columns of a map.

    Parameters
    ----------
    found : TargetList
        With its candidates.
    of : ColumnMap

    Returns
    -------
    Candidates

    Raises
    ------
    ListError
        If the list has not a column that the map names.
    """
    assert found.candidates is not None
    rows, made = found.candidates.records, {}
    for entry in of.columns:
        value = _entry_values(entry, rows)
        made[Column(entry.name, value.dtype.str[1:], entry.description or entry.name, "", entry.unit)] = value
    return Candidates(tuple(made), _joined(np.empty(len(rows), dtype=[]), made))


def guesses(of: ColumnMap) -> str:
    """Return a note on the columns of a map that are guesses; nothing where none is.

    Parameters
    ----------
    of : ColumnMap

    Returns
    -------
    str
    """
    names = [entry.name for entry in of.columns if entry.guess]
    if not names:
        return ""
    return f"{of.title}: {', '.join(names)} are guesses. Ask the survey, and give your own map with --format FILE.yaml."


def _entry_values(entry: Entry, rows: np.ndarray) -> np.ndarray:
    """Return the values of one column of a map."""
    known = rows.dtype.names or ()
    fields = [name for _, name, _, _ in Formatter().parse(entry.text or "") if name is not None]
    for name in [*fields, *([] if entry.source is None else [entry.source])]:
        if name not in known:
            raise ListError(
                f"--format: column {entry.name} is made of {name}, which the list has not."
                f"{did_you_mean(name, known)} It has: {', '.join(known)}."
            )
    if entry.text is not None:
        given = {name: _words(rows[name]) for name in fields}
        texts: Any = [entry.text.format(**{n: v[i] for n, v in given.items()}) for i in range(len(rows))]
    elif entry.source is not None:
        texts = _words(rows[entry.source]) if entry.type == "text" else rows[entry.source]
    else:
        texts = [entry.value] * len(rows)
    if entry.type == "text":
        return np.array([str(one).encode("ascii", "replace") for one in texts] or [b""], dtype="S")[: len(rows)]
    try:
        numbers = np.asarray(texts, dtype=np.float64 if entry.scale != 1 or entry.offset else None)
        numbers = numbers * entry.scale + entry.offset if entry.scale != 1 or entry.offset else numbers
        whole = entry.type.startswith("int")
        return (np.rint(numbers) if whole and numbers.dtype.kind == "f" else numbers).astype(entry.type)
    except ValueError as error:
        raise ListError(
            f"--format: column {entry.name} is of numbers, and {entry.source or entry.value} is not."
        ) from error


def _words(values: np.ndarray) -> list[Any]:
    return [one.decode() if isinstance(one, bytes) else one for one in values.tolist()]
