"""Where in one file each thing that a survey file speaks of stands.

Positions, magnitudes, morphology, ids, keys and labels; fluxes have a module of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

import numpy as np

from ..errors import CatalogueError, did_you_mean
from .band_finder import BandLayout, find_bands, lacking_photometry, table_names
from .fluxes import flux_units
from .quality import CONVERT, OTHER_FRAMES, refuse_frame
from .schema import Names, SurveySchema, aliases
from .spelling import ColumnNames, canonical, degrees_per_unit, refuse_unit, says_nothing, stated_unit, unit_of
from .tables import RawTable, Want

TILE = "TILE_ID"
"""Column of a row key that names the tile, field or pointing: what lies in one has zero points of its own."""

ROW = "ROW"
"""Row key of tables whose rows have no name of their own: the row number, from 0."""


@dataclass(frozen=True)
class Layout:
    """What a catalogue, label or imaging file holds, and under which names.

    Parameters
    ----------
    schema : SurveySchema
        The survey.
    place : str
        The table, for messages.
    names : mapping of str to str
        The file's column for each column of the survey file that was found; columns with several
        spellings are named by the first.
    key : tuple of str
        Row key, as the survey file names it; ``(ROW,)`` for the row number.
    photometry : BandLayout, optional
        Where the bands stand, in a catalogue.
    tiles_in_words : bool
        Whether the column of the tile is text.
    degrees : tuple of two floats
        Degrees in one unit of right ascension and of declination.
    maggies : float, optional
        Maggies in one unit of the magnitude's column, where that holds fluxes; None where magnitudes.
    unchecked : tuple of str
        Rules of the survey file that found no column, for people.
    words, tiles : mapping of str to Vocabulary, dict of int to pair of str
        What was read in the columns of words, by name; which names of tiles were read, by number.
    """

    schema: SurveySchema
    place: str
    names: Mapping[str, str]
    key: tuple[str, ...]
    photometry: BandLayout | None = None
    tiles_in_words: bool = False
    degrees: tuple[float, float] = (1.0, 1.0)
    maggies: float | None = None
    unchecked: tuple[str, ...] = ()
    words: dict[str, Vocabulary] = field(default_factory=dict, compare=False, repr=False)
    tiles: dict[int, tuple[str, str]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def want(self) -> dict[str, Want]:
        """The columns to read, and as what."""
        schema, want = self.schema, {}
        kinds: dict[str, Want] = {schema.ra[0]: "float", schema.dec[0]: "float"}
        kinds |= dict.fromkeys((*schema.morphology[:1], *(schema.labels.spectype[:1] if schema.labels else ())), "text")
        kinds |= dict.fromkeys(schema.labels.z[:1] if schema.labels else (), "float")
        kinds |= dict.fromkeys(schema.magnitude.column[:1] if schema.magnitude else (), "float")
        kinds |= {part[0]: "float" for one in schema.optional.values() for part in one.columns}
        kinds |= dict.fromkeys((*self.key, *schema.object_id[:1]), "int")
        kinds |= {TILE: "text"} if self.tiles_in_words else {}
        for ours, theirs in self.names.items():
            want[theirs] = kinds.get(ours, "any")
        return want | (self.photometry.want if self.photometry else {})


@dataclass
class Vocabulary:
    """Whether any word of a column was one that is known, over the blocks of a file.

    Parameters
    ----------
    known : tuple of str
        The words that are known.
    some : bool
        Whether one was there.
    odd : str
        A word that was there and is not known.
    rows : dict of str to int
        In how many rows each such word stood.
    """

    known: tuple[str, ...]
    some: bool = False
    odd: str = ""
    rows: dict[str, int] = field(default_factory=dict)

    def hear(self, words: np.ndarray, understood: np.ndarray, counts: np.ndarray | None = None) -> None:
        """Take in the distinct words of a block, text (m,), and which of them are known.

        Parameters
        ----------
        words : array of str, shape (m,)
        understood : array of bool, shape (m,)
        counts : array of int, shape (m,), optional
            Their rows.
        """
        said = words != ""
        self.some = self.some or bool((said & understood).any())
        places = np.flatnonzero(said & ~understood)
        self.odd = self.odd or (str(words[places[0]]) if len(places) else "")
        for place in places:
            more = 0 if counts is None else int(counts[place])
            self.rows[str(words[place])] = self.rows.get(str(words[place]), 0) + more

    def strange(self, most: int = 5) -> str:
        """Return the words that are not known, the most frequent first, with the rows of each.

        Parameters
        ----------
        most : int
            More are not named.

        Returns
        -------
        str
        """
        order = sorted(self.rows, key=lambda word: (-self.rows[word], word))
        return ", ".join([*(f"'{w}' {self.rows[w]:,}" for w in order[:most]), *(["..."] if len(order) > most else [])])


def refuse_unknown_words(layout: Layout) -> None:
    """Refuse a file in which a column holds words, and none that is known.

    Parameters
    ----------
    layout : Layout
        Of a file that was read to its end.

    Raises
    ------
    CatalogueError
        Quoting one.
    """
    for name, words in layout.words.items():
        if words.odd and not words.some:
            raise CatalogueError(
                f"{layout.place}[{layout.names[name]}]: holds no word that is known here ('{words.odd}', say). Known: "
                f"{', '.join(words.known)}. Mend the column, or say in a survey file of your own what its words mean."
            )


def required_columns(schema: SurveySchema) -> list[Names]:
    """Return the columns, each with its spellings, that a table of a survey must have beside its fluxes.

    Parameters
    ----------
    schema : SurveySchema
        The survey.

    Returns
    -------
    list of tuple of str
        Spellings of each column, the preferred first.
    """
    required = [schema.ra, schema.dec]
    if schema.identity == "id":
        required.append(schema.object_id)
    if schema.kind == "labels" and schema.labels is not None:
        required += [schema.labels.spectype, schema.labels.z]
        required += [rule.column for rule in schema.labels.rules if not rule.optional]
    if schema.kind == "imaging":
        told = [name for name in (schema.magnitude and schema.magnitude.column, schema.morphology) if name]
        required += told or [one.column for one in schema.optional.values()]
    return list(dict.fromkeys(required))


def find_key(names: ColumnNames, schema: SurveySchema) -> tuple[str, ...] | None:
    """Return the first row key of a survey whose columns a table has, or None.

    Parameters
    ----------
    names : ColumnNames
        Those of the table.
    schema : SurveySchema
        The survey.

    Returns
    -------
    tuple of str or None
        As the survey file spells them.
    """
    for key in schema.key:
        if key == (ROW,) or all(names.find((name,)) is not None for name in key):
            return key
    return None


def lacking_columns(table: RawTable, schema: SurveySchema) -> list[str]:
    """Return what a table lacks to be one of a survey, as the survey file spells it.

    Parameters
    ----------
    table : RawTable
        As it was opened.
    schema : SurveySchema
        The survey.

    Returns
    -------
    list of str
        Empty where nothing lacks.
    """
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
        As it was opened.
    schema : SurveySchema
        The survey.
    bands : str, optional
        Band system to keep; default: that of the survey file.

    Returns
    -------
    Layout
        Under which names all of it stands.

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
    known |= _redshift(table, schema, known)
    rules = (*schema.sources, *(schema.labels.rules if schema.labels else ()))
    further = {name: names.find((name,)) for rule in rules for name in rule.column[1:] if name not in known}
    known |= {ours: theirs for ours, theirs in further.items() if theirs and theirs not in known.values()}
    if schema.tile and TILE not in key and (tile := names.find(schema.tile)) is not None:
        key, known[TILE] = (TILE, *key), tile
    in_words = TILE in known and table.columns[known[TILE]].kind == "text"
    ra, dec = (_degrees(table, known[spelt[0]]) for spelt in (schema.ra, schema.dec))
    refuse_frame(table.cards, known[schema.ra[0]], table.place)
    photometry = find_bands(table, schema, bands) if schema.kind == "catalogue" else None
    if photometry is not None:
        flux_units(photometry, table.place)
    _refuse_duplicates(table)
    unchecked = tuple(_unchecked(table, schema, known, photometry))
    size = _maggies(table, schema, known)
    return Layout(schema, table.place, known, key, photometry, in_words, (ra, dec), size, unchecked)


def _redshift(table: RawTable, schema: SurveySchema, known: Mapping[str, str]) -> dict[str, str]:
    """Return the column of the redshift in place of one called z that is a magnitude beside g, r and i.

    Raises
    ------
    CatalogueError
        If there is no other.
    """
    section = schema.labels
    if section is None or len(section.z) == 1 or canonical(known.get(section.z[0], "")) != "Z":
        return {}
    if not {"G", "R", "I"} <= set(map(canonical, table.columns)):
        return {}
    name = known[section.z[0]]
    others = [spelt for spelt in section.z if canonical(spelt) != "Z"]
    other = ColumnNames(tuple(table.columns), table.place).find(others)
    if other is None:
        raise CatalogueError(
            f"{table.place}[{name}]: stands beside g, r and i, so it seems to be a magnitude and no redshift. Name the "
            f"column of the redshift (--column z=NAME; z={name} if it is one)."
        )
    return {section.z[0]: other}


def _refuse_duplicates(table: RawTable) -> None:
    """Refuse the archive's tables of sources that its main tables have as well."""
    for name in table_names(table, table.columns):
        if name.lower().startswith("duplicated"):
            raise CatalogueError(
                f"{table.place}: '{name}' lists second detections of sources that stand in the main table as well "
                f"(the archive's Duplicated... tables). Give the main table ({name[len('duplicated') :]})."
            )


_JOINED = r"[_.]?(?:[1-9]|x|y|l|r|left|right)"
"""Endings that joins give to names which both tables have."""


def _unchecked(
    table: RawTable, schema: SurveySchema, known: Mapping[str, str], photometry: BandLayout | None
) -> Iterator[str]:
    """Yield that there is another redshift, and the rules of a survey file that find no column, with the nearest one.

    Raises
    ------
    CatalogueError
        If a join renamed the column of one.
    """
    tile = ColumnNames(tuple(table.columns), table.place).find(schema.tile) if "tile" in schema.by_hand else None
    if tile not in (None, known.get(TILE)):
        yield (
            f"{tile} is not read as the tile: the row key names that already, {known[TILE]}. To read it, name also the "
            "columns that tell the rows of one tile apart (--column key=NUMBER, say)"
        )
    labelled = schema.labels is not None and {schema.labels.spectype[0], schema.labels.z[0]} <= known.keys()
    rules = (*schema.sources, *(schema.labels.rules if labelled and schema.labels else ()))
    if labelled and schema.labels:
        z, redshifts = known[schema.labels.z[0]], set(map(canonical, schema.labels.z))
        if others := [name for name in table.columns if canonical(name) in redshifts and name != z]:
            yield f"{z} is read as the redshift; {' and '.join(others)} is there too, and is not read"
    sought = [(rule.column, rule.reason, rule.usual) for rule in rules if rule.column[0] not in known]
    if photometry is not None:
        flagged = {rule.column for rule, _ in photometry.flags}
        flags = [flag for flag in schema.quality.flags if flag.column not in flagged]
        sought += [(flag.column, flag.meaning or "flagged", True) for flag in flags]
    for column, reason, usual in sought:
        spelt = re.compile("|".join(re.escape(canonical(name)) + _JOINED for name in column), re.IGNORECASE)
        renamed = [name for name in table.columns if spelt.fullmatch(canonical(name))]
        if renamed:
            raise CatalogueError(
                f"{table.place}: has no {column[0]}, by which '{schema.name}' knows: {reason}. It has "
                f"{' and '.join(renamed)}: a join renamed it. Call the right one {column[0]} again."
            )
        near = get_close_matches(canonical(column[0]), [canonical(name) for name in table.columns], 1, 0.75)
        if usual or near:
            yield f"{column[0]} is not there, so not checked: {reason}{f' (is it {near[0]}?)' if near else ''}"


def check_redshift(name: str, stated: str | None, place: str) -> None:
    """Refuse a column of redshifts that states a unit.

    Parameters
    ----------
    name : str
    stated : str, optional
        Its unit, as the file states it beside the name.
    place : str
        The table, for messages.

    Raises
    ------
    CatalogueError
        If there is one.
    """
    unit = unit_of(name, stated, place)
    if not says_nothing(unit) and stated_unit(unit) != ("ratio", 1):
        raise refuse_unit(place, name, unit, "where a redshift without unit is expected")


def _maggies(table: RawTable, schema: SurveySchema, known: Mapping[str, str]) -> float | None:
    """Return the maggies in one unit of the magnitude's column, or None where it holds magnitudes.

    Raises
    ------
    CatalogueError
        If it states a unit that is none of AB magnitudes or of f_nu, or the redshift states one.
    """
    if schema.labels is not None and schema.labels.z[0] in known:
        name = known[schema.labels.z[0]]
        check_redshift(name, table.columns[name].unit, table.place)
    section = schema.magnitude
    if section is None or section.column[0] not in known:
        return None
    name = known[section.column[0]]
    unit = unit_of(name, table.columns[name].unit, table.place)
    if says_nothing(unit):
        return 1e-9 if section.unit == "nanomaggies" else None
    found = stated_unit(unit)
    if found is not None and found.kind == "ab_magnitude":
        return None
    if found is None or found.kind != "f_nu":
        raise refuse_unit(table.place, name, unit, "where nanomaggies, Jy or AB magnitudes are expected")
    return found.scale / 10**-19.44


_NAMED_ANGLE = re.compile(r"[\W_](radians?|rad|hours?|hourangle|hms|dms|arcsec|mas)\W?$", re.IGNORECASE)
"""Endings of names that state a unit of angle other than the degree, such as ra_rad or RA (hours)."""


def _degrees(table: RawTable, name: str) -> float:
    """Return the degrees in one unit of a column of angles; no unit is degrees."""
    unit = unit_of(name, table.columns[name].unit, table.place)
    if says_nothing(unit) and (named := _NAMED_ANGLE.search(name)):
        unit = named[1].lower()
    degrees = degrees_per_unit(unit)
    if degrees is None:
        what = "which is no angle that is read here: positions are ICRS in deg, rad, arcsec or hours"
        raise refuse_unit(table.place, name, unit, what)
    return degrees


def _known_columns(schema: SurveySchema, key: tuple[str, ...]) -> list[Names]:
    known: list[Names] = [schema.ra, schema.dec, *((name,) for name in key if name != ROW)]
    if schema.identity == "id":
        known.append(schema.object_id)
    known += [schema.morphology] if schema.morphology else []
    known += [schema.magnitude.column] if schema.magnitude else []
    if schema.labels is not None:
        known += [schema.labels.spectype, schema.labels.z, *(rule.column for rule in schema.labels.rules)]
    known += [rule.column for rule in schema.sources]
    return known + [(name,) for name in schema.extra] + [c for o in schema.optional.values() for c in o.columns]


def near_names(lacking: Sequence[str], table: RawTable) -> str:
    """Return a hint at columns whose names are nearly those that lack, or an empty string.

    Parameters
    ----------
    lacking : sequence of str
        Columns that are missing.
    table : RawTable
        The table.

    Returns
    -------
    str
        One sentence, with a blank in front.
    """
    frames = {card.removeprefix("frame of "): of for card, of in table.cards.items() if card.startswith("frame of ")}
    sought = set(lacking) & set(aliases().spellings["ra"])
    if sought and (other := next((name for name, frame in frames.items() if OTHER_FRAMES.match(frame)), None)):
        return f" Its positions '{other}' are of {frames[other]}; ICRS is read. {CONVERT}."
    for name in lacking:
        hint = did_you_mean(name, table.columns)
        if hint:
            return hint.replace("Did you mean", f"Is '{name}' what the file calls")
    return ""


def listed(table: RawTable, most: int = 30) -> str:
    """Return the column names of a table for a message.

    Parameters
    ----------
    table : RawTable
    most : int
        Names told before the rest is counted.

    Returns
    -------
    str
    """
    names = list(table.columns)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more or "no columns"
