"""Telling by its columns of which survey a file or a table in memory is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Union
from weakref import WeakKeyDictionary

import numpy as np

from ..errors import CatalogueError
from .bands import band_system
from .batches import as_float, join_blocks
from .columns import ROW, Layout, find_layout, lacking_columns, listed, near_names, required_columns
from .formats.npy import find_array
from .formats.several import table_files
from .packing import is_several
from .quality import one_a_row
from .schema import (
    Kind,
    OwnColumns,
    Survey,
    SurveySchema,
    aliases,
    all_schemas,
    check_roles,
    load_schema,
    with_columns,
)
from .spelling import ColumnNames, canonical
from .tables import MASK, BesideTable, Extension, RawTable, open_table

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

Source = Union[str, Path, RawTable, "Table", "pd.DataFrame"]
"""What a catalogue may be given as: a path, or a table in memory."""


def _fitting(layout: Layout) -> tuple[int, int]:
    """Return how well a survey explains a file: bands shared less those not shared, then columns that it knows."""
    if layout.photometry is None or layout.schema.bands is None:
        return 0, len(layout.names)
    ours, theirs = set(band_system(layout.schema.bands.system).names), set(layout.photometry.found)
    return len(ours & theirs) - len(ours ^ theirs), len(layout.names)


def preferred_extensions() -> tuple[str, ...]:
    """Return the names of FITS extensions that any shipped survey looks for.

    Returns
    -------
    tuple of str
        In the order of the survey files.
    """
    return tuple(name for schema in all_schemas() for name in schema.hdu)


class UnknownTable(CatalogueError):
    """A table that no survey file knows."""


def recognise_table(
    table: RawTable, kind: Kind | None = None, columns: OwnColumns = MappingProxyType({})
) -> SurveySchema:
    """Return the shipped survey whose columns a table has.

    Parameters
    ----------
    table : RawTable
    kind : {"catalogue", "labels", "imaging"}, optional
        Prefer surveys of this kind where several would do.
    columns : mapping, optional
        Columns of one's own, as :func:`~jpas_gbm.surveys.schema.with_columns` takes them.

    Returns
    -------
    SurveySchema

    Raises
    ------
    CatalogueError
        If none or several would do. Where none would, the nearest is named with what the table
        lacks of it.
    """
    offered = [
        schema
        for schema in all_schemas()
        if schema.recognised
        and (not schema.beside or set(schema.beside) & set(table.others))
        and (not schema.formats or table.format.startswith(schema.formats))
    ]
    schemas = {s.name: with_columns(s, columns) if columns else s for s in offered}
    lacking = {name: lacking_columns(with_beside(table, schema), schema) for name, schema in schemas.items()}
    complete = [schemas[name] for name, names in lacking.items() if not names]
    if find_array(table.path) is not None:
        complete = [schema for schema in complete if not schema.generic]
    for wanted in (lambda schema: schema.kind == kind, lambda schema: not schema.generic):
        complete = list(filter(wanted, complete)) or complete
    fits: dict[str, tuple[int, int]] = {}
    problems: dict[str, CatalogueError] = {}
    for schema in complete:
        try:
            fits[schema.name] = _fitting(find_layout(with_beside(table, schema), schema))
        except CatalogueError as error:
            problems[schema.name] = error
    best = [name for name, score in fits.items() if score == max(fits.values())]
    if problems and best:
        # A spoilt redshift catalogue has all that imaging needs, and is none.
        asks = {name: len(required_columns(schemas[name])) for name in (*best, *problems)}
        spoilt = max(problems, key=asks.__getitem__)
        if asks[spoilt] > max(asks[name] for name in best):
            raise problems[spoilt]
    if len(best) == 1:
        return schemas[best[0]]
    if best:
        raise CatalogueError(
            f"{table.path}: could be a table of {' or of '.join(best)}. Say which: --survey {best[0]}, for instance."
        )
    if problems:
        raise next(iter(problems.values()))
    raise UnknownTable(_unknown(table, lacking))


def fitting_table(table: RawTable, kind: Kind | None = None) -> RawTable:
    """Return the first table of a file, or the one other that is of a survey where the first is of none or empty.

    Parameters
    ----------
    table : RawTable
        One that was named, or has a name that survey files look for, stays, as does a spectrum.
    kind : {"catalogue", "labels", "imaging"}, optional

    Returns
    -------
    RawTable

    Raises
    ------
    CatalogueError
        If several others are of a survey.
    """
    plain, name = table.format not in ("FITS", "HDF5"), table.place.rpartition("[")[2].rstrip("]")
    kept = plain or table.chosen or not table.others or name in preferred_extensions() or _no_catalogue(table)
    fits = dict[str, RawTable]()
    try:
        if kept or (recognise_table(table, kind).name and table.rows != 0):
            return table
    except UnknownTable:
        pass
    except CatalogueError:
        return table  # of a survey, though spoilt
    for other in table.others:
        with suppress(CatalogueError):
            schema = recognise_table(found := open_table(table.path, other), kind)
            fits |= {other: found} if kind in (None, schema.kind) else {}
    filled = {other: found for other, found in fits.items() if found.rows != 0}
    if len(filled) > 1:
        named = "', '".join(f"{table.path}[{one}]" for one in filled)
        raise CatalogueError(
            f"{table.place}: is of no survey or empty, and several others of the file are of one. Name one: '{named}'."
        )
    return next(iter((filled or fits).values()), table)


def with_beside(table: RawTable, schema: SurveySchema) -> RawTable:
    """Return a table with the columns of the one that a survey file puts beside it, where the file has that.

    Parameters
    ----------
    table : RawTable
        As it was opened.
    schema : SurveySchema
        Names the tables that stand beside.

    Returns
    -------
    RawTable
    """
    there = next((name for name in schema.beside if name in table.others), None)
    if there is None:
        return table
    known = _BESIDE.setdefault(table, {})
    if there not in known:
        known[there] = open_table(table.path, there)
    return BesideTable(table, known[there])


_BESIDE: WeakKeyDictionary[RawTable, dict[str, RawTable]] = WeakKeyDictionary()
"""Tables that were opened beside others of their file, so that recognising one opens each once."""


def _with_files(table: RawTable, schema: SurveySchema) -> RawTable:
    """Return a table with the columns of the files that a survey file puts beside it, where they are there."""
    stem, ending = re.fullmatch(r"(.*?)((?:\.fits|\.fit)?(?:\.gz|\.bz2)?)", table.path.name).groups()  # type: ignore[union-attr]
    for part in schema.beside_files:
        path = table.path.with_name(f"{stem}{part}{ending}")
        if path.is_file():
            table = BesideTable(table, open_table(path))
    return table


def _no_catalogue(table: RawTable) -> str:
    """Return what a table is that is known to be none of a survey, such as a spectrum."""
    names = ColumnNames(tuple(table.columns), table.place)
    others = (one for one in aliases().others if all(names.find((column,)) is not None for column in one.columns))
    return next((other.is_ for other in others), "")


def _unknown(table: RawTable, lacking: dict[str, list[str]]) -> str:
    if not table.columns:
        return f"{table.place}: has no columns. Give a table with the columns of a survey; it may have no rows."
    array = find_array(table.path)
    if array is not None:
        return f"{table.path}: holds the properties of the rows of {array.name}. Give that file: it finds this one."
    if is_ := _no_catalogue(table):
        return f"{table.place}: is {is_}. It has: {listed(table)}."

    def share(name: str) -> float:
        schema = load_schema(name)
        keyed = 0 if (ROW,) in schema.key else len(schema.key[0])
        needed = len(required_columns(schema)) + keyed
        return len(lacking[name]) / (needed + (schema.kind == "catalogue"))

    nearest = min(lacking, key=lambda name: (share(name), -len(_measured(table, load_schema(name)))))
    near = f"The nearest is '{nearest}' ({load_schema(nearest).title}), of which it lacks "
    more = _other_fluxes(table, load_schema(nearest), lacking[nearest]) or near_names(lacking[nearest], table)
    near += f"{', '.join(lacking[nearest])}.{more}"
    if share(nearest) >= 1:
        near = "It has nothing in common with any of them."
    return (
        f"{table.place}: is a table of no survey that is known here ({', '.join(lacking)}). {near} "
        f"It has: {listed(table)}.{_other_tables(table)} "
        "For another survey or other names of columns, 'jpas-gbm survey init FILE' drafts a survey file: mend it, and "
        "name it with --survey."
    )


_MEASURED = re.compile(r"(?:FLUX|MAG)(?:_[A-Z][A-Z0-9_]*)?")


def _measured(table: RawTable, schema: SurveySchema) -> list[str]:
    """Return the fluxes and errors of a table that are named as those of a survey of the archive, without bands."""
    if schema.bands is None or not any(_MEASURED.fullmatch(str(rule.flux)) for rule in schema.photometry):
        return []
    bands, found = band_system(schema.bands.system).names, list[str]()
    for name, column in table.columns.items():
        plain = canonical(name)
        band = next((band.upper() for band in bands if plain.endswith(f"_{band.upper()}")), "")
        stem, width = plain.removesuffix(f"_{band}") if band else plain, 1 if band else column.width
        found += [stem] * (width or 0) * (_MEASURED.fullmatch(stem) is not None) * (width in (1, len(bands)))
    many = [stem for stem in dict.fromkeys(found) if 2 * found.count(stem) > len(bands)]
    return sorted(many, key=lambda stem: "ERR" in stem)


def _other_fluxes(table: RawTable, schema: SurveySchema, lacking: Sequence[str]) -> str:
    """Return which fluxes a table has that lacks nothing of a survey but the fluxes or their errors."""
    found = _measured(table, schema) if len(lacking) == 1 and _MEASURED.fullmatch(lacking[0]) else []
    pairs = ", ".join(f"{rule.flux} with {rule.error}" for rule in schema.photometry if rule.flux and rule.error)
    return (
        f" All else of it is there, but of fluxes and errors the table has {', '.join(found)}, and the first that is "
        f"there is read of {pairs}. To read others, name both in a survey file of your own (--survey): 'extends: "
        f"{schema.name}', and under 'photometry' name, flux ({found[0]}, say), error, unit, scale and error_kind."
    ) if found else ""  # fmt: skip


def _other_tables(table: RawTable) -> str:
    how = "" if table.format == "VOTable" else f" (read as '{table.path}[NAME]', in quotes)"
    return f" The file also holds {', '.join(table.others)}{how}." if table.others else ""


def as_list(sources: Source | Sequence[Source]) -> list[Source]:
    """Return one source or several as a list; an empty sequence stays empty, wildcards of arrays are their files.

    Parameters
    ----------
    sources : path, table, or sequence of them
        One or several.

    Returns
    -------
    list
        Of paths and tables.
    """
    given = list(sources) if isinstance(sources, list | tuple) else [sources]
    # Each array of mocks has its table beside it: several are no parts of one table.
    found: list[Source] = []
    for one in given:
        files = table_files(one) if isinstance(one, str | Path) and is_several(one) else []
        found += files if any(file.suffix == ".npy" for file in files) else [one]
    return found


def as_table(source: Source, hdu: Extension = None) -> RawTable:
    """Open a file as a table, or take one that is in memory.

    Parameters
    ----------
    source : path, astropy Table, pandas DataFrame or RawTable
        A RawTable comes back as it is.
    hdu : int, str or sequence of str, optional
        Extension of a FITS file.

    Returns
    -------
    RawTable

    Raises
    ------
    CatalogueError
        If a file cannot be read, or the source is of another type.
    """
    if isinstance(source, str | Path):
        return open_table(source, hdu)
    if isinstance(source, RawTable):
        return source
    kind = f"{type(source).__module__.partition('.')[0]}.{type(source).__name__}".removeprefix("builtins.")
    if kind.startswith("pandas.") and hasattr(source, "columns"):
        from .formats.parquet import FrameTable

        return FrameTable(source)
    if kind.startswith("astropy.") and hasattr(source, "itercols"):
        from .formats.votable import ArrayTable

        return ArrayTable.of(source)
    raise CatalogueError(f"a catalogue is read from a path, an astropy Table or a pandas DataFrame, not from {kind}.")


def recognise(source: Source) -> SurveySchema:
    """Return the shipped survey whose columns a file or table has.

    Parameters
    ----------
    source : path, astropy Table, pandas DataFrame or RawTable
        What is to be told.

    Returns
    -------
    SurveySchema
        The only one, or the one that fits best.

    Raises
    ------
    CatalogueError
        If the file cannot be read, or none or several surveys would do.
    """
    return recognise_table(fitting_table(as_table(source, preferred_extensions())))


def own_survey(
    source: Source, survey: Survey = None, columns: OwnColumns | None = None, kind: Kind | None = None
) -> Survey:
    """Return the survey of a file some of whose columns are named by hand.

    Parameters
    ----------
    source : path, astropy Table or DataFrame
    survey : str or SurveySchema, optional
        Default: the one whose columns the file has, with those of `columns` in place of its own.
    columns : mapping, optional
        As :func:`~jpas_gbm.surveys.schema.with_columns` takes them; none: `survey` is given back.
    kind : {"catalogue", "labels", "imaging"}, optional
        What is needed.

    Returns
    -------
    str or SurveySchema or None
        For whatever takes a survey.

    Raises
    ------
    CatalogueError, ConfigError
        If a column is not in the file, a role is unknown, or no survey fits.
    """
    if not columns:
        return survey
    schema = None if survey is None else load_schema(survey)
    table = require_named(source, columns, schema)
    return with_columns(schema, columns) if schema else recognise_table(table, kind, columns)


def open_survey(
    source: Source, survey: Survey, kind: Kind | None = None, hdu: Extension = None
) -> tuple[RawTable, SurveySchema]:
    """Open a file or table as one of a survey, recognised by its columns unless it is named.

    Parameters
    ----------
    source : path, astropy Table or pandas DataFrame
        What is to be read.
    survey : str or SurveySchema, optional
        Name of a survey file, or a path to one.
    kind : {"catalogue", "labels", "imaging"}, optional
        What is needed.
    hdu : int, str or sequence of str, optional
        Extension of a FITS file.

    Returns
    -------
    table : RawTable
    schema : SurveySchema

    Raises
    ------
    CatalogueError
        If it is of no known survey, or of one of another kind than asked for.
    """
    if survey is None:
        table = as_table(source, hdu if hdu is not None else preferred_extensions())
        schema = recognise_table(table := fitting_table(table, kind), kind)
    else:
        schema = load_schema(survey)
        table = as_table(source, hdu if hdu is not None else schema.hdu)
    if kind is not None and schema.kind != kind:
        raise CatalogueError(
            f"{table.path}: is read as '{schema.name}' ({schema.title}), a table of kind '{schema.kind}'; one of kind "
            f"'{kind}' is needed here."
        )
    return _with_files(with_beside(table, schema), schema), schema


def read_table(source: Source, columns: Sequence[str] | None = None, hdu: int | str | None = None) -> pd.DataFrame:
    """Read plain columns of any table as a pandas DataFrame, ids as integers.

    Parameters
    ----------
    source : path, astropy Table or pandas DataFrame
        Any format that is read here.
    columns : sequence of str, optional
        Names, in any case and without prefix; default: all plain columns. They keep the names
        asked for.
    hdu : int or str, optional
        Extension of a FITS file.

    Returns
    -------
    DataFrame

    Raises
    ------
    CatalogueError
        If a column is missing, when the nearest is named, or holds several values a row.
    """
    import pandas as pd

    table = as_table(source, hdu)
    names = ColumnNames(tuple(table.columns), table.place)
    masks = {f"{name}{MASK}" for name in table.columns}
    plain = [name for name, column in table.columns.items() if column.width in (None, 1) and name not in masks]
    found = {name: names.find((name,)) for name in (plain if columns is None else columns)}
    for name, theirs in found.items():
        if theirs is None:
            raise CatalogueError(
                f"{table.place}: has no column '{name}'.{names.nearest(name)} It has: {', '.join(plain)}."
            )
    theirs_of = {name: str(theirs) for name, theirs in found.items()}
    blocks = list(table.read({t: "int" if table.columns[t].kind == "int" else "any" for t in theirs_of.values()}))
    block = join_blocks(blocks) if blocks else dict.fromkeys(theirs_of.values(), np.zeros(0))
    values = {name: one_a_row(block[theirs], f"{table.place}[{theirs}]") for name, theirs in theirs_of.items()}
    return pd.DataFrame({name: as_float(v) if isinstance(v, np.ma.MaskedArray) else v for name, v in values.items()})


def require_named(source: Source, columns: OwnColumns, schema: SurveySchema | None = None) -> RawTable:
    """Open a table that has each column which was named by hand.

    Parameters
    ----------
    source : path, astropy Table or DataFrame
    columns : mapping
        As :func:`~jpas_gbm.surveys.schema.with_columns` takes them.
    schema : SurveySchema, optional
        Says which table of a file to open.

    Returns
    -------
    RawTable

    Raises
    ------
    CatalogueError, ConfigError
        If a column is not there, or a role is unknown.
    """
    check_roles(columns)
    table = as_table(source, schema.hdu if schema else preferred_extensions())
    whole = _with_files(with_beside(table, schema), schema) if schema else table
    names = ColumnNames(tuple(whole.columns), table.place)
    for role, named in columns.items():
        for name in [named] if isinstance(named, str) else [*(named.values() if isinstance(named, Mapping) else named)]:
            if "{band}" not in name and name not in ("position", "ROW") and names.find((name,)) is None:
                raise CatalogueError(
                    f"{table.place}: has no column '{name}' for {role}.{names.nearest(name)} It has: {listed(table)}."
                )
    return table
