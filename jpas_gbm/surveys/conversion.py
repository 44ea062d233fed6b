"""From the columns of a block to positions, magnitudes, types, keys and labels, each rule counted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import numpy as np

from ..errors import CatalogueError
from ..text import short
from .batches import Block, as_float, is_magnitude
from .catalogue import MORPHOLOGIES
from .columns import ROW, TILE, Layout, Vocabulary
from .curation import apply_label_rules, apply_rules
from .labels import as_ids, doubt_counts, redshift_counts
from .quality import QualityCount, one_a_row
from .schema import SurveySchema, spectype_words
from .scheme import LabelScheme, is_redshift
from .spelling import NULLS

_OTHER_NAMES = {"COMP": "SER", "SIMP": "REX"} | dict.fromkeys(("DUP", "GPSF", "GGAL", "NONE", "NAN"), MORPHOLOGIES[0])
"""Legacy Surveys types of older releases, and what stands for them now; those that tell no shape are UNKNOWN."""


def named(block: Block, layout: Layout) -> dict[str, np.ndarray]:
    """Return the plain columns of a block under the names of the survey file.

    Parameters
    ----------
    block : dict of str to array
        Columns as the file names them.
    layout : Layout
        Says which is which.

    Returns
    -------
    dict of str to array, shape (n,)
        The same arrays.

    Raises
    ------
    CatalogueError
        If one holds several values a row.
    """
    columns = {}
    for ours, theirs in layout.names.items():
        several = ours in layout.schema.extra and block[theirs].shape[1:] not in ((), (1,))
        columns[ours] = block[theirs] if several else one_a_row(block[theirs], f"{layout.place}[{theirs}]")
    return columns


_NOWHERE = (0.0, *(sign * value for value in (99.0, 999.0, 9999.0) for sign in (1, -1)))
"""Numbers that stand for no position where both coordinates have them."""


def position(columns: Mapping[str, np.ndarray], layout: Layout) -> tuple[np.ndarray, np.ndarray, list[QualityCount]]:
    """Return RA and Dec in degrees, float64 (n,) each, NaN where missing; and how many are placeholders.

    (0, 0), (-99, -99) and the like are no positions, and become missing.

    Parameters
    ----------
    columns : mapping of str to array
        By the names of the survey file.
    layout : Layout
        Gives the columns and their units.

    Returns
    -------
    ra, dec : array of float64, shape (n,)
        ICRS degrees.

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
    """Return the AB magnitude of the imaging survey, float32; NaN where it has no positive flux.

    Parameters
    ----------
    columns : mapping of str to array
        By the names of the survey file.
    layout : Layout
        Column and unit of the magnitude.
    rows : int
        Number of rows.

    Returns
    -------
    array of float32, shape (rows,)
        AB magnitude.
    """
    section = layout.schema.magnitude
    if section is None or section.column[0] not in columns:
        return np.full(rows, np.nan, dtype=np.float32)
    values = as_float(columns[section.column[0]]).astype(np.float64)
    if layout.maggies is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where(values > 0, -2.5 * np.log10(values * layout.maggies), np.nan)
    return np.where(is_magnitude(values), values, np.nan).astype(np.float32)


def source_rows(columns: Mapping[str, np.ndarray], layout: Layout, rows: int) -> tuple[np.ndarray, list[QualityCount]]:
    """Return which rows are sources of their own by the rules of the survey file, and what these left out.

    Parameters
    ----------
    columns : mapping of str to array
        By the names of the survey file.
    layout : Layout
        Gives the rules.
    rows : int
        Number of rows.

    Returns
    -------
    keep : array of bool, shape (rows,)
        True for sources.
    counts : list of QualityCount
        Rows that each rule left out.
    """
    rules = tuple(rule for rule in layout.schema.sources if rule.column[0] in columns)
    return apply_rules(columns, rules, rows, prefix="source_")


def morphology_codes(values: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Return codes of :data:`MORPHOLOGIES` for Legacy Surveys types, and the types that are none of them.

    A blank or unknown type is UNKNOWN, never PSF: point sources are what quasars are sought among.

    Parameters
    ----------
    values : array of str, shape (n,)

    Returns
    -------
    array of int8, shape (n,), dict of str to int
        The second has the rows of each unknown type.
    """
    types, which = np.unique(np.char.upper(np.char.strip(values.astype(str))), return_inverse=True)
    spelt = [_OTHER_NAMES.get(str(name), str(name)) for name in types]
    codes = np.array([MORPHOLOGIES.index(name) if name in MORPHOLOGIES else 0 for name in spelt], dtype=np.int8)
    counts = np.bincount(which, minlength=len(types))
    unknown = {str(t): int(c) for t, c, code in zip(types, counts, codes, strict=True) if code == 0}
    return codes[which], unknown


def morphology(columns: Mapping[str, np.ndarray], layout: Layout, rows: int) -> tuple[np.ndarray, list[QualityCount]]:
    """Return morphology codes, int8, and how many rows have no known type.

    Parameters
    ----------
    columns : mapping of str to array, shape (n,)
    layout : Layout
    rows : int
        n.

    Returns
    -------
    array of int8, shape (n,), list of QualityCount
    """
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

    Parameters
    ----------
    values : array, shape (n,)
        The column.
    name, place : str
        The column and the table, for messages.

    Returns
    -------
    array of int64, shape (n,)
        The ids.

    Raises
    ------
    CatalogueError
        If it holds empty entries, or floating point that is no whole number or not exact.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        row = int(np.flatnonzero(np.ma.getmaskarray(values))[0])
        raise CatalogueError(f"{place}[{name}]: row {row} is empty; an integer that names the row is needed in each.")
    try:
        return as_ids(np.ma.getdata(values), name)
    except CatalogueError as error:
        raise CatalogueError(f"{place}: {error}") from error


def row_key(columns: Mapping[str, np.ndarray], layout: Layout, start: int, rows: int) -> dict[str, np.ndarray]:
    """Return the row key as named integer columns; `start` is the number of the first row.

    Parameters
    ----------
    columns : mapping of str to array
        By the names of the survey file.
    layout : Layout
        Names the columns of the key.
    start : int
        Number of the first row in the file.
    rows : int
        Number of rows.

    Returns
    -------
    dict of str to array of int64, shape (rows,)
        By the columns of the key.

    Raises
    ------
    CatalogueError
        If a column of the key holds no integers.
    """
    key: dict[str, np.ndarray] = {}
    for name in layout.key:
        if name == ROW:
            key[name] = np.arange(start, start + rows, dtype=np.int64)
        elif name == TILE and layout.tiles_in_words:
            key[name] = numbered(columns[name], f"{layout.place}[{layout.names.get(name, name)}]", layout.tiles)
        else:
            key[name] = integers(columns[name], name, layout.place)
    return key


_SPELT = re.compile(r"([+-]?[0-9]{1,30})(\.0*)?")
"""An integer as text, also as floating point writes it."""
_FRACTION = re.compile(r"(?ai)(?![+-]?\d+$)[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?\d{1,3}(,\d{3})+|[+-]?inf(inity)?")
"""A number that is not written as an integer: with a point, an exponent or commas, or infinity."""


def numbered(names: np.ndarray, place: str = "tiles", told: dict[int, tuple[str, str]] | None = None) -> np.ndarray:
    """Return a number for each name, the same in every file, chunk and run, name by name.

    A name that spells an integer of 64 bits (2245, 02245, 2245.0) is that integer, as in a column of integers; of
    another it is made of a hash, below 2^53; an empty name, or a word for nothing such as NULL, is -1.

    Parameters
    ----------
    names : array of str, shape (n,)
        Such as STRIPE82-0170.
    place, told : str, dict of int to pair of str
        The column, for messages; what each number stood for in the blocks before, which is added to.

    Returns
    -------
    array of int64, shape (n,)

    Raises
    ------
    CatalogueError
        If two names have one number, as 0170 and 170 have, or -1 and nothing; if one is a number but no integer.
    """
    words = np.char.strip(np.ma.filled(names, "").astype(str))
    words, which = np.unique(np.where(np.isin(words, NULLS), "", words), return_inverse=True)
    numbers, told = np.full(len(words), -1, dtype=np.int64), {} if told is None else told
    for i, word in enumerate(map(str, words)):
        spelt, meant = _SPELT.fullmatch(word), word
        most = 1 << (53 if spelt and spelt[2] else 63)
        if spelt and -most <= int(spelt[1]) < most:
            numbers[i], meant = int(spelt[1]), spelt[1].lstrip("+" if int(spelt[1]) else "+-")
        elif _FRACTION.fullmatch(word):
            raise CatalogueError(
                f"{place}: holds {short(word)}, a number, and tiles are integers or names: write the digits of an "
                "integer and nothing else, or a letter before it where it is a name."
            )
        elif word:
            numbers[i] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") >> 11
        theirs = told.setdefault(int(numbers[i]), (meant, word))
        if theirs[0] != meant:
            same = " and ".join(f"'{one}'" if one else "an empty name" for one in (theirs[1], word))
            raise CatalogueError(f"{place}: {same} have one number here. Write both alike, or rename one.")
    return numbers[which]


def sky_cell(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Return the number of the 1 arcsec cell of the sky in which each position lies, int64.

    Equal positions have equal numbers whatever the file; positions that differ by less than an
    arcsecond may still lie on two sides of an edge, so measurements of one object are to be joined
    by a sky match. Rows without a position get -1 - row number.

    Parameters
    ----------
    ra, dec : array of float64, shape (n,)
        Degrees.

    Returns
    -------
    array of int64, shape (n,)
        Negative without a position.
    """
    arcsec = np.floor((np.nan_to_num(dec) + 90.0) * 3600.0)
    middle = np.deg2rad((arcsec + 0.5) / 3600.0 - 90.0)
    along = np.floor(np.mod(np.nan_to_num(ra), 360.0) * 3600.0 * np.cos(middle))
    cell = arcsec.astype(np.int64) * 1_296_001 + along.astype(np.int64)
    nowhere = ~(np.isfinite(ra) & np.isfinite(dec))
    return np.where(nowhere, -1 - np.arange(len(cell)), cell)


def class_words(scheme: LabelScheme | None = None, spectypes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what words for classes say: the spectral types GALAXY, QSO, STAR, or classes that are named themselves.

    Parameters
    ----------
    scheme : LabelScheme, optional
        The classes that may be named.
    spectypes : mapping of str to str, optional
        Words for spectral types; default: those of ``configs/aliases.yaml``.

    Returns
    -------
    dict of str to str
        By word, in capitals.
    """
    spectypes = spectype_words() if spectypes is None else spectypes
    known = {name.upper(): name for name in scheme.classes} if scheme else {}
    return known | {name.upper(): of for name, of in spectypes.items()}


def spectral_types(
    columns: Mapping[str, np.ndarray], layout: Layout, scheme: LabelScheme | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the spectral types GALAXY, QSO, STAR, or the classes that a table names itself.

    Parameters
    ----------
    columns : mapping of str to array, shape (n,)
    layout : Layout
    scheme : LabelScheme, optional
        The classes that may be named.

    Returns
    -------
    types : array of str, shape (n,)
        Blank where neither the survey file nor the scheme knows such.
    strange : array of bool, shape (n,)
        Words that are not known.
    """
    section = layout.schema.labels
    assert section is not None
    known = class_words(scheme, section.spectypes)
    values = np.char.upper(np.char.strip(columns[section.spectype[0]].astype(str)))
    words, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    types = np.array([known.get(str(name), "") for name in words], dtype=str)
    heard = layout.words.setdefault(section.spectype[0], Vocabulary(tuple(section.spectypes)))
    heard.hear(words, types != "", counts)
    return types[which], ((types == "") & (words != ""))[which]


def labels(
    columns: Mapping[str, np.ndarray], layout: Layout, scheme: LabelScheme
) -> tuple[np.ndarray, np.ndarray, list[QualityCount]]:
    """Return label codes (-1 where not trusted), redshifts, and what the label rules rejected.

    Parameters
    ----------
    columns : mapping of str to array, shape (n,)
        By the names of the survey file.
    layout : Layout
    scheme : LabelScheme

    Returns
    -------
    array of int8, array of float32, list of QualityCount
        The arrays have shape (n,).
    """
    schema = layout.schema
    assert schema.labels is not None
    z = as_float(columns[schema.labels.z[0]]).astype(np.float64)
    types, strange = spectral_types(columns, layout, scheme)
    # A filler, such as -9999 or 99, is the redshift of no class.
    stated, odd_z = z, ~np.isnan(z) & ~is_redshift(z)
    z = np.where(odd_z, np.nan, z)
    label, against = scheme.label(types, z), scheme.contradicted(types, z)
    keep, counts = apply_label_rules(dict(columns), schema, layout.place, _kinds(types, scheme))
    without = keep & (label < 0) & ~strange & ~against
    lost = without & odd_z & (scheme.label(types, np.ones(len(z))) >= 0)
    heard = [layout.words.setdefault(f"redshifts {of}", Vocabulary((), True)) for of in ("unknown", "that cost labels")]
    odd = f"of a class that is not known here, so without label ({layout.words[schema.labels.spectype[0]].strange()})"
    sentence = "of a class that their redshift contradicts"
    counts += [
        QualityCount("label_word", odd, int((keep & strange).sum()), "rows"),
        QualityCount("label_against", sentence, int((keep & against).sum()), "rows"),
        *redshift_counts(stated[keep & odd_z & (label >= 0)], stated[lost], heard),
        QualityCount(
            "label_class", "of no class of the scheme, or without redshift", int((without & ~lost).sum()), "rows"
        ),
    ]
    label = np.where(keep, label, np.int8(-1)).astype(np.int8)
    return label, z, counts + doubt_counts(label, z, scheme)


def _kinds(types: np.ndarray, scheme: LabelScheme) -> np.ndarray:
    """Return the spectral types of types and classes."""
    words, which = np.unique(types, return_inverse=True)
    kinds = [scheme.kind_of(str(w)) if w in scheme.classes and w not in scheme.spectypes else str(w) for w in words]
    return np.array(kinds, dtype=str)[which]


def extras(columns: Mapping[str, np.ndarray], schema: SurveySchema) -> dict[str, np.ndarray]:
    """Return the further columns that the survey file carries along; sentinels become NaN.

    Parameters
    ----------
    columns : mapping of str to array
        By the names of the survey file.
    schema : SurveySchema
        Names them and their sentinels.

    Returns
    -------
    dict of str to array, shape (n,)
        Those that the table has, but for arrays of several values a row.
    """
    found = {}
    for name in schema.extra:
        if name not in columns or columns[name].ndim > 1:
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
    """Return a column as it is; missing numbers NaN, but integers with missing ones as text, so that none changes.

    Parameters
    ----------
    values : array, shape (n,) or (n, width)

    Returns
    -------
    array
    """
    if not isinstance(values, np.ma.MaskedArray):
        return values
    data, mask = np.ma.getdata(values), np.ma.getmaskarray(values)
    if data.dtype.kind in "iu":
        return np.where(mask, "", data.astype(str))
    return np.where(mask, "", data) if data.dtype.kind in "US" else np.where(mask, np.nan, data.astype(np.float64))
