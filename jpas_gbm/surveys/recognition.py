"""Telling by its columns of which survey a file is."""

from __future__ import annotations

from pathlib import Path

from ..errors import CatalogueError
from .bands import band_system
from .columns import ROW, Layout, find_layout, lacking_columns, listed, near_names, required_columns
from .formats.paper_table import find_array
from .schema import Kind, SurveySchema, all_schemas, load_schema
from .tables import RawTable, open_table


def _fitting(layout: Layout) -> tuple[int, int]:
    """Return how well a survey explains a file: bands shared less those not shared, then columns that it knows."""
    if layout.photometry is None or layout.schema.bands is None:
        return 0, len(layout.names)
    ours, theirs = set(band_system(layout.schema.bands.system).names), set(layout.photometry.found)
    return len(ours & theirs) - len(ours ^ theirs), len(layout.names)


def preferred_extensions() -> tuple[str, ...]:
    """Return the names of FITS extensions that any shipped survey looks for."""
    return tuple(name for schema in all_schemas() for name in schema.hdu)


def recognise_table(table: RawTable, kind: Kind | None = None) -> SurveySchema:
    """Return the shipped survey whose columns a table has.

    Parameters
    ----------
    table : RawTable
    kind : {"catalogue", "labels", "imaging"}, optional
        Prefer surveys of this kind where several would do.

    Raises
    ------
    CatalogueError
        If none or several would do. Where none would, the nearest is named with what the table
        lacks of it.
    """
    lacking = {schema.name: lacking_columns(table, schema) for schema in all_schemas()}
    complete = [load_schema(name) for name, names in lacking.items() if not names]
    if any(schema.kind == kind for schema in complete):
        complete = [schema for schema in complete if schema.kind == kind]
    fits: dict[str, tuple[int, int]] = {}
    problems: dict[str, CatalogueError] = {}
    for schema in complete:
        try:
            fits[schema.name] = _fitting(find_layout(table, schema))
        except CatalogueError as error:
            problems[schema.name] = error
    best = [name for name, score in fits.items() if score == max(fits.values())]
    if len(best) == 1:
        return load_schema(best[0])
    if best:
        raise CatalogueError(
            f"{table.path}: could be a table of {' or of '.join(best)}. Say which: --survey {best[0]}, for instance."
        )
    if problems:
        raise next(iter(problems.values()))
    raise CatalogueError(_unknown(table, lacking))


def _unknown(table: RawTable, lacking: dict[str, list[str]]) -> str:
    array = find_array(table.path)
    if array is not None:
        return f"{table.path}: holds the properties of the rows of {array.name}. Give that file: it finds this one."

    def share(name: str) -> float:
        schema = load_schema(name)
        keyed = 0 if (ROW,) in schema.key else len(schema.key[0])
        needed = len(required_columns(schema)) + keyed
        return len(lacking[name]) / (needed + (schema.kind == "catalogue"))

    nearest = min(lacking, key=share)
    near = f"The nearest is '{nearest}' ({load_schema(nearest).title}), of which it lacks "
    near += f"{', '.join(lacking[nearest])}.{near_names(lacking[nearest], table)}"
    if share(nearest) >= 1:
        near = "It has nothing in common with any of them."
    return (
        f"{table.place}: is a table of no survey that is known here ({', '.join(lacking)}). {near} "
        f"It has: {listed(table)}.{_other_tables(table)} "
        "For another survey, write a survey file (see configs/surveys) and name it with --survey."
    )


def _other_tables(table: RawTable) -> str:
    others = table.others
    if not others:
        return ""
    return f" The file also holds {', '.join(others)}: a survey file can name the table to read (hdu: NAME)."


def recognise(path: str | Path) -> SurveySchema:
    """Return the shipped survey whose columns a file has.

    Raises
    ------
    CatalogueError
        If the file cannot be read, or none or several surveys would do.
    """
    return recognise_table(open_table(path, preferred_extensions()))


def open_survey(
    path: str | Path, survey: str | None, kind: Kind | None = None, hdu: int | str | None = None
) -> tuple[RawTable, SurveySchema]:
    """Open a file as a table of a survey, recognised by its columns unless it is named.

    Raises
    ------
    CatalogueError
        If it is of no known survey, or of one of another kind than asked for.
    """
    if survey is None:
        table = open_table(path, hdu if hdu is not None else preferred_extensions())
        schema = recognise_table(table, kind)
    else:
        schema = load_schema(survey)
        table = open_table(path, hdu if hdu is not None else schema.hdu)
    if kind is not None and schema.kind != kind:
        raise CatalogueError(
            f"{path}: is read as '{schema.name}' ({schema.title}), a table of kind '{schema.kind}'; one of kind "
            f"'{kind}' is needed here."
        )
    return table, schema
