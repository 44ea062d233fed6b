"""Where in one file each thing that a survey file speaks of stands, and what its columns come to.

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
from .audit import QualityCount
from .band_finder import BandLayout, find_bands, lacking_photometry
from .bands import degrees_per_unit, refuse_unit, says_nothing, stated_unit
from .catalogue import MORPHOLOGIES
from .curation import apply_label_rules, apply_rules
from .fluxes import as_float, flux_units
from .labels import LabelScheme, as_ids, doubt_counts
from .schema import Names, SurveySchema
from .tables import Block, ColumnNames, RawTable, Want, canonical

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
    degrees : tuple of two floats
        Degrees in one unit of right ascension and of declination.
    maggies : float, optional
        Maggies in one unit of the magnitude's column, where that holds fluxes; None where magnitudes.
    unchecked : tuple of str
        Rules of the survey file that found no column, for people.
    words : mapping of str to Vocabulary
        What was understood so far of the columns of words, by the survey file's name.
    """

    schema: SurveySchema
    place: str
    names: Mapping[str, str]
    key: tuple[str, ...]
    photometry: BandLayout | None = None
    degrees: tuple[float, float] = (1.0, 1.0)
    maggies: float | None = None
    unchecked: tuple[str, ...] = ()
    words: dict[str, Vocabulary] = field(default_factory=dict, compare=False, repr=False)

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
    """

    known: tuple[str, ...]
    some: bool = False
    odd: str = ""

    def hear(self, words: np.ndarray, understood: np.ndarray) -> None:
        """Take in the distinct words of a block, text (m,), and which of them are known."""
        said = words != ""
        self.some = self.some or bool((said & understood).any())
        strange = words[said & ~understood]
        self.odd = self.odd or (str(strange[0]) if len(strange) else "")


def refuse_unknown_words(layout: Layout) -> None:
    """Refuse a file in which a column holds words, and none that is known.

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
    """Return the columns, each with its spellings, that a table of a survey must have beside its fluxes."""
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
    ra, dec = (_degrees(table, known[spelt[0]]) for spelt in (schema.ra, schema.dec))
    photometry = find_bands(table, schema, bands) if schema.kind == "catalogue" else None
    if photometry is not None:
        flux_units(photometry, table.place)
    _refuse_duplicates(table)
    unchecked = tuple(_unchecked(table, schema, known, photometry))
    return Layout(schema, table.place, known, key, photometry, (ra, dec), _maggies(table, schema, known), unchecked)


def _refuse_duplicates(table: RawTable) -> None:
    """Refuse the archive's tables of sources that its main tables have as well."""
    named = re.search(r"\[([^\]]*)\]", table.place)
    prefixes = {name.rpartition(".")[0].rpartition(".")[2] for name in table.columns}
    for name in (named[1] if named else "", table.path.name, *prefixes):
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
    """Yield the rules of a survey file that find no column, each with the nearest one.

    Raises
    ------
    CatalogueError
        If a join renamed the column of one.
    """
    labelled = schema.labels is not None and {schema.labels.spectype[0], schema.labels.z[0]} <= known.keys()
    rules = (*schema.sources, *(schema.labels.rules if labelled and schema.labels else ()))
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


def _maggies(table: RawTable, schema: SurveySchema, known: Mapping[str, str]) -> float | None:
    """Return the maggies in one unit of the magnitude's column, or None where it holds magnitudes.

    Raises
    ------
    CatalogueError
        If it states a unit that is none of AB magnitudes or of f_nu, or the redshift states one.
    """
    if schema.labels is not None and schema.labels.z[0] in known:
        name = known[schema.labels.z[0]]
        unit = table.columns[name].unit
        found = stated_unit(unit)
        if not says_nothing(unit) and (found is None or found != ("ratio", 1)):
            raise refuse_unit(table.place, name, unit, "where a redshift without unit is expected")
    section = schema.magnitude
    if section is None or section.column[0] not in known:
        return None
    name = known[section.column[0]]
    unit = table.columns[name].unit
    if says_nothing(unit):
        return 1e-9 if section.unit == "nanomaggies" else None
    found = stated_unit(unit)
    if found is not None and found.kind == "ab_magnitude":
        return None
    if found is None or found.kind != "f_nu":
        raise refuse_unit(table.place, name, unit, "where nanomaggies, Jy or AB magnitudes are expected")
    return found.scale / 10**-19.44


def _degrees(table: RawTable, name: str) -> float:
    """Return the degrees in one unit of a column of angles; no unit is degrees."""
    degrees = degrees_per_unit(table.columns[name].unit)
    if degrees is None:
        what = "which is no angle that is read here: positions are ICRS in deg, rad, arcsec or hours"
        raise refuse_unit(table.place, name, table.columns[name].unit, what)
    return degrees


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
    known += [rule.column for rule in schema.sources]
    return known + [(name,) for name in schema.extra] + [c for o in schema.optional.values() for c in o.columns]


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


_OTHER_NAMES = {"COMP": "SER", "SIMP": "REX"} | dict.fromkeys(("DUP", "GPSF", "GGAL", "NONE", "NAN"), MORPHOLOGIES[0])
"""Legacy Surveys types of older releases, and what stands for them now; those that tell no shape are UNKNOWN."""


def named(block: Block, layout: Layout) -> dict[str, np.ndarray]:
    """Return the plain columns of a block under the names of the survey file."""
    return {ours: block[theirs] for ours, theirs in layout.names.items()}


_NOWHERE = (0.0, *(sign * value for value in (99.0, 999.0, 9999.0) for sign in (1, -1)))
"""Numbers that stand for no position where both coordinates have them."""


def position(columns: Mapping[str, np.ndarray], layout: Layout) -> tuple[np.ndarray, np.ndarray, list[QualityCount]]:
    """Return RA and Dec in degrees, float64 (n,) each, NaN where missing; and how many are placeholders.

    (0, 0), (-99, -99) and the like are no positions, and become missing.

    Raises
    ------
    CatalogueError
        If a declination is beyond a pole or a right ascension beyond 360.
    """
    schema, place = layout.schema, layout.place
    ra, dec = (as_float(columns[name[0]]).astype(np.float64) for name in (schema.ra, schema.dec))
    nowhere = (ra == dec) & np.isin(ra, _NOWHERE)
    ra[nowhere] = dec[nowhere] = np.nan
    ra, dec = ra * layout.degrees[0], dec * layout.degrees[1]
    with np.errstate(invalid="ignore"):
        odd = np.flatnonzero((np.abs(dec) > 90) | (ra < -180) | (ra > 360))
    if len(odd):
        raise CatalogueError(
            f"{place}: row {odd[0]} lies at {schema.ra[0]} = {ra[odd[0]]:g}, {schema.dec[0]} = {dec[odd[0]]:g} "
            f"({len(odd)} such rows): degrees from 0 to 360 and from -90 to 90 are needed. Are the columns swapped?"
        )
    sentence = "at a placeholder such as RA = Dec = 0, taken as without position: they join nothing"
    return ra, dec, [QualityCount("no_position", sentence, int(nowhere.sum()), "rows")]


def magnitude(columns: Mapping[str, np.ndarray], layout: Layout, rows: int) -> np.ndarray:
    """Return the AB magnitude of the imaging survey, float32; NaN where it has no positive flux."""
    section = layout.schema.magnitude
    if section is None or section.column[0] not in columns:
        return np.full(rows, np.nan, dtype=np.float32)
    values = as_float(columns[section.column[0]]).astype(np.float64)
    if layout.maggies is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where(values > 0, -2.5 * np.log10(values * layout.maggies), np.nan)
    return np.where(np.isfinite(values) & (np.abs(values) < 90), values, np.nan).astype(np.float32)


def source_rows(columns: Mapping[str, np.ndarray], layout: Layout, rows: int) -> tuple[np.ndarray, list[QualityCount]]:
    """Return which rows are sources of their own by the rules of the survey file, and what these left out."""
    rules = tuple(rule for rule in layout.schema.sources if rule.column[0] in columns)
    return apply_rules(columns, rules, rows, prefix="source_")


def morphology_codes(values: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Return codes of :data:`MORPHOLOGIES` for Legacy Surveys types, and the types that are none of them.

    A blank or unknown type is UNKNOWN, never PSF: point sources are what quasars are sought among.
    """
    types, which = np.unique(np.char.upper(np.char.strip(values.astype(str))), return_inverse=True)
    spelt = [_OTHER_NAMES.get(str(name), str(name)) for name in types]
    codes = np.array([MORPHOLOGIES.index(name) if name in MORPHOLOGIES else 0 for name in spelt], dtype=np.int8)
    counts = np.bincount(which, minlength=len(types))
    unknown = {str(t): int(c) for t, c, code in zip(types, counts, codes, strict=True) if code == 0}
    return codes[which], unknown


def morphology(columns: Mapping[str, np.ndarray], layout: Layout, rows: int) -> tuple[np.ndarray, list[QualityCount]]:
    """Return morphology codes, int8, and how many rows have no known type."""
    name = layout.schema.morphology[0] if layout.schema.morphology else None
    if name is None or name not in columns:
        return np.zeros(rows, dtype=np.int8), []
    codes, unknown = morphology_codes(columns[name])
    heard = layout.words.setdefault(name, Vocabulary(MORPHOLOGIES[1:]))
    heard.some = heard.some or bool(codes.any()) or any(word in _OTHER_NAMES for word in unknown)
    heard.hear(np.array([*unknown, ""]), np.zeros(len(unknown) + 1, dtype=bool))
    blank = unknown.pop("", 0)
    known = ", ".join(MORPHOLOGIES[1:])
    return codes, [
        QualityCount("morphology_blank", "of blank morphology, taken as unknown", blank, "rows"),
        QualityCount("morphology_other", f"of a morphology other than {known}", sum(unknown.values()), "rows"),
    ]


def integers(values: np.ndarray, name: str, place: str) -> np.ndarray:
    """Return a column of ids as int64.

    Raises
    ------
    CatalogueError
        If it is stored as floating point or holds empty entries.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        row = int(np.flatnonzero(np.ma.getmaskarray(values))[0])
        raise CatalogueError(f"{place}[{name}]: row {row} is empty; an integer that names the row is needed in each.")
    try:
        return as_ids(np.ma.getdata(values), name)
    except CatalogueError as error:
        raise CatalogueError(f"{place}: {error}") from error


def row_key(columns: Mapping[str, np.ndarray], layout: Layout, start: int, rows: int) -> dict[str, np.ndarray]:
    """Return the row key as named integer columns; `start` is the number of the first row."""
    if layout.key == (ROW,):
        return {ROW: np.arange(start, start + rows, dtype=np.int64)}
    return {name: integers(columns[name], name, layout.place) for name in layout.key}


def sky_cell(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Return the number of the 1 arcsec cell of the sky in which each position lies, int64.

    Equal positions have equal numbers; positions that differ by less than an arcsecond may still lie on two sides of an
    edge, so measurements of one object are to be joined by a sky match. Rows without a position get -1 - row number.
    """
    arcsec = np.floor((np.nan_to_num(dec) + 90.0) * 3600.0)
    middle = np.deg2rad((arcsec + 0.5) / 3600.0 - 90.0)
    along = np.floor(np.mod(np.nan_to_num(ra), 360.0) * 3600.0 * np.cos(middle))
    cell = arcsec.astype(np.int64) * 1_296_001 + along.astype(np.int64)
    nowhere = ~(np.isfinite(ra) & np.isfinite(dec))
    return np.where(nowhere, -1 - np.arange(len(cell)), cell)


def spectral_types(columns: Mapping[str, np.ndarray], layout: Layout) -> np.ndarray:
    """Return the spectral types GALAXY, QSO, STAR; blank where the survey file knows none such."""
    section = layout.schema.labels
    assert section is not None
    known = {name.upper(): of for name, of in section.spectypes.items()}
    values = np.char.upper(np.char.strip(columns[section.spectype[0]].astype(str)))
    words, which = np.unique(values, return_inverse=True)
    types = np.array([known.get(str(name), "") for name in words], dtype=str)
    layout.words.setdefault(section.spectype[0], Vocabulary(tuple(section.spectypes))).hear(words, types != "")
    return types[which]


def labels(
    columns: Mapping[str, np.ndarray], layout: Layout, scheme: LabelScheme
) -> tuple[np.ndarray, np.ndarray, list[QualityCount]]:
    """Return label codes (-1 where not trusted), redshifts, and what the label rules rejected."""
    schema = layout.schema
    assert schema.labels is not None
    z = as_float(columns[schema.labels.z[0]]).astype(np.float64)
    types = spectral_types(columns, layout)
    label = scheme.label(types, z)
    keep, counts = apply_label_rules(dict(columns), schema, layout.place, types)
    strange = int((keep & (label < 0)).sum())
    counts.append(QualityCount("label_class", "of no class of the scheme, or without redshift", strange, "rows"))
    label = np.where(keep, label, np.int8(-1)).astype(np.int8)
    return label, z, counts + doubt_counts(label, z, scheme)


def extras(columns: Mapping[str, np.ndarray], schema: SurveySchema) -> dict[str, np.ndarray]:
    """Return the further columns that the survey file carries along; sentinels become NaN."""
    found = {}
    for name in schema.extra:
        if name not in columns:
            continue
        values = columns[name]
        if values.dtype.kind == "f" or isinstance(values, np.ma.MaskedArray):
            values = as_float(values)
            values[np.isin(values, schema.extra_sentinels)] = np.nan
        found[name] = values
    return found


def kept_name(name: str) -> str:
    """Return the name under which a catalogue carries a column of its file that is kept as it is.

    Parameters
    ----------
    name : str
        As the file spells it.

    Returns
    -------
    str
    """
    return f"kept:{name}"


def kept(values: np.ndarray) -> np.ndarray:
    """Return a column as it is; missing numbers NaN, but integers with missing ones as text, so that none changes."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    data, mask = np.ma.getdata(values), np.ma.getmaskarray(values)
    if data.dtype.kind in "iu":
        return np.where(mask, "", data.astype(str))
    return np.where(mask, "", data) if data.dtype.kind in "US" else np.where(mask, np.nan, data.astype(np.float64))
