"""Where in one file each thing that a survey file speaks of stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..errors import CatalogueError, did_you_mean
from .band_finder import find_bands, lacking_photometry
from .band_layout import BandLayout
from .schema import Names, SurveySchema
from .tables import ColumnNames, RawTable, Want

ROW = "ROW"
"""Row key of tables whose rows have no name of their own: the row number, from 0."""


@dataclass(frozen=True)
class Layout:
    """What a catalogue, label or imaging file holds, and under which names.

    Parameters
    ----------
    schema : SurveySchema
    place : str
        The table, for messages.
    names : mapping of str to str
        The file's column for each column of the survey file that was found; columns with several
        spellings are named by the first.
    key : tuple of str
        Row key, as the survey file names it; ``(ROW,)`` for the row number.
    photometry : BandLayout, optional
        Where the bands stand, in a catalogue.
    """

    schema: SurveySchema
    place: str
    names: Mapping[str, str]
    key: tuple[str, ...]
    photometry: BandLayout | None = None

    @cached_property
    def want(self) -> dict[str, Want]:
        """The columns to read, and as what."""
        schema, want = self.schema, {}
        kinds: dict[str, Want] = {schema.ra[0]: "float", schema.dec[0]: "float"}
        kinds |= dict.fromkeys((*schema.morphology[:1], *(schema.labels.spectype[:1] if schema.labels else ())), "text")
        kinds |= dict.fromkeys(schema.labels.z[:1] if schema.labels else (), "float")
        kinds |= dict.fromkeys(schema.magnitude.column[:1] if schema.magnitude else (), "float")
        kinds |= dict.fromkeys((*self.key, *schema.object_id[:1]), "int")
        for ours, theirs in self.names.items():
            want[theirs] = kinds.get(ours, "any")
        return want | (self.photometry.want if self.photometry else {})


def required_columns(schema: SurveySchema) -> list[Names]:
    """Return the columns, each with its spellings, that a table of a survey must have beside its fluxes."""
    required = [schema.ra, schema.dec]
    if schema.identity == "id":
        required.append(schema.object_id)
    if schema.kind == "labels" and schema.labels is not None:
        required += [schema.labels.spectype, schema.labels.z]
        required += [rule.column for rule in schema.labels.rules if not rule.optional]
    if schema.kind == "imaging":
        required += [schema.magnitude.column] if schema.magnitude else []
        required += [schema.morphology] if schema.morphology else []
    return list(dict.fromkeys(required))


def find_key(names: ColumnNames, schema: SurveySchema) -> tuple[str, ...] | None:
    """Return the first row key of a survey whose columns a table has, or None."""
    for key in schema.key:
        if key == (ROW,) or all(names.find((name,)) is not None for name in key):
            return key
    return None


def lacking_columns(table: RawTable, schema: SurveySchema) -> list[str]:
    """Return what a table lacks to be one of a survey, as the survey file spells it."""
    names = ColumnNames(tuple(table.columns), table.place)
    lacking = [spellings[0] for spellings in required_columns(schema) if names.find(spellings) is None]
    if find_key(names, schema) is None:
        lacking += [name for name in schema.key[0] if names.find((name,)) is None]
    if schema.kind == "catalogue":
        lacking += lacking_photometry(table, schema)
    return list(dict.fromkeys(lacking))


def find_layout(table: RawTable, schema: SurveySchema, bands: str | None = None) -> Layout:
    """Find what a survey file speaks of among the columns of a table.

    Parameters
    ----------
    table : RawTable
    schema : SurveySchema
    bands : str, optional
        Band system to keep; default: that of the survey file.

    Raises
    ------
    CatalogueError
        If something that the survey file calls for is missing; all of it is named.
    """
    lacking = lacking_columns(table, schema)
    if lacking:
        raise CatalogueError(
            f"{table.place}: is not a table of '{schema.name}' ({schema.title}): it lacks {', '.join(lacking)}."
            f"{near_names(lacking, table)} It has: {listed(table)}."
        )
    names = ColumnNames(tuple(table.columns), table.place)
    key = find_key(names, schema) or (ROW,)
    found = {spelt[0]: names.find(spelt) for spelt in _known_columns(schema, key)}
    known = {ours: theirs for ours, theirs in found.items() if theirs is not None}
    for ours in (*key, *schema.object_id):
        _refuse_float(table, known.get(ours))
    return Layout(
        schema,
        table.place,
        known,
        key,
        find_bands(table, schema, bands) if schema.kind == "catalogue" else None,
    )


def _refuse_float(table: RawTable, name: str | None) -> None:
    if name is not None and table.columns[name].kind == "float":
        raise CatalogueError(
            f"{table.place}[{name}]: is stored as floating point. Ids above 2^53 (DESI's are) are corrupted by it, and "
            "rows would be matched to the wrong objects. Write it again as a 64-bit integer from the original table."
        )


def _known_columns(schema: SurveySchema, key: tuple[str, ...]) -> list[Names]:
    known: list[Names] = [schema.ra, schema.dec, *((name,) for name in key if name != ROW)]
    if schema.identity == "id":
        known.append(schema.object_id)
    known += [schema.morphology] if schema.morphology else []
    known += [schema.magnitude.column] if schema.magnitude else []
    if schema.labels is not None:
        known += [schema.labels.spectype, schema.labels.z, *(rule.column for rule in schema.labels.rules)]
    return known + [(name,) for name in schema.extra]


def near_names(lacking: Sequence[str], table: RawTable) -> str:
    """Return a hint at columns whose names are nearly those that lack, or an empty string."""
    for name in lacking:
        hint = did_you_mean(name, table.columns)
        if hint:
            return hint.replace("Did you mean", f"Is '{name}' what the file calls")
    return ""


def listed(table: RawTable, most: int = 30) -> str:
    """Return the column names of a table for a message."""
    names = list(table.columns)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
