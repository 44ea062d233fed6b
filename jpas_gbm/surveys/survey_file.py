"""Survey files for people: those that are shipped, as text, and a draft for a table that none of them describes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..atomic import atomic_file
from ..config import configs_folder, find_config
from ..errors import ConfigError, did_you_mean
from .bands import band_system, band_system_names, own_table
from .columns import ROW
from .quality import calls_itself_no_error
from .recognition import Source, as_table, preferred_extensions
from .schema import ROLES, SurveySchema, aliases, all_schemas, spectype_words, survey_names
from .spelling import ColumnNames, stated_unit, unit_of
from .tables import RawTable

_ERRORS = re.compile(r"err|^e_|_e_|^e$|_e$|[ed]mag|sig|unc|ivar|noise|std|rms", re.IGNORECASE)
_FEWEST_OWN = 3
"""Bands of no known system that are told by their columns."""
_KEYS = (("TILE_ID", "NUMBER"), ("BRICKID", "OBJID"), ("plate", "mjd", "fiberid"), ("plate", "mjd", "fiber_id"))


@dataclass(frozen=True)
class SurveyDraft:
    """A survey file that was guessed from a table, to be read and edited.

    Parameters
    ----------
    text : str
        YAML; what was guessed and what is to be filled in is marked in comments.
    notes : tuple of str
        What was found, guessed and not found.
    """

    text: str
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return what was found, guessed and not found.

        Returns
        -------
        list of str
        """
        return list(self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Return text and notes.

        Returns
        -------
        dict
        """
        return {"text": self.text, "notes": list(self.notes)}

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the file.

        Parameters
        ----------
        path : path
        overwrite : bool
            Whether a file that is there may be replaced.

        Returns
        -------
        Path

        Raises
        ------
        OutputError
            If it is there and may not be replaced, or cannot be written.
        """
        with atomic_file(path, overwrite=overwrite) as temporary:
            temporary.write_text(self.text, encoding="utf-8")
        return Path(path)


@dataclass(frozen=True)
class Text:
    """Text that is printed as it is.

    Parameters
    ----------
    text : str
    """

    text: str

    def lines(self) -> list[str]:
        """Return its lines.

        Returns
        -------
        list of str
        """
        return self.text.rstrip("\n").split("\n")

    def to_dict(self) -> dict[str, str]:
        """Return the text.

        Returns
        -------
        dict
        """
        return {"text": self.text}


def list_surveys() -> Text:
    """Return the shipped surveys, one a line: name, kind and title.

    Returns
    -------
    Text
    """
    schemas = all_schemas()
    wide = max(len(schema.name) for schema in schemas)
    return Text("\n".join(f"{schema.name:{wide}}  {schema.kind:9}  {schema.title}" for schema in schemas))


def show_survey(name: str) -> Text:
    """Return a shipped survey file as it stands, the start of one's own.

    Parameters
    ----------
    name : str

    Returns
    -------
    Text

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in survey_names():
        known = survey_names()
        raise ConfigError(f"there is no survey file '{name}'.{did_you_mean(name, known)} Shipped: {', '.join(known)}.")
    return Text((configs_folder() / "surveys" / f"{name}.yaml").read_text(encoding="utf-8"))


def show_config(name: str) -> Text:
    """Return a shipped configuration as it stands.

    Parameters
    ----------
    name : str
        Such as ``ssda`` or ``tune``.

    Returns
    -------
    Text

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    return Text(find_config(name).read_text(encoding="utf-8"))


def survey_json_schema_text() -> Text:
    """Return the JSON schema of survey files, for editors that check while one types.

    Returns
    -------
    Text
    """
    schema = SurveySchema.model_json_schema()
    schema["properties"].pop("name")
    schema["properties"]["extends"] = {"type": "string", "description": "Survey file to start from."}
    # A file that extends another states only what differs; Names may stand alone.
    schema["required"] = ["title"]
    return Text(json.dumps(schema, indent=2, ensure_ascii=False))


def draft_survey(source: Source) -> SurveyDraft:
    """Guess a survey file from the columns of a table.

    Positions, classes, redshifts and morphology are sought under the spellings of ``configs/aliases.yaml``, bands
    under the names of the shipped band systems, or else where columns of fluxes and errors differ in a word alone.

    Parameters
    ----------
    source : path, astropy Table or DataFrame

    Returns
    -------
    SurveyDraft

    Raises
    ------
    CatalogueError
        If the table cannot be read.
    """
    table = as_table(source, preferred_extensions())
    names = ColumnNames(tuple(table.columns), table.place)
    found = {role: names.find(spelt) for role, spelt in aliases().spellings.items()}
    if not found["class"] and (shape := found["morphology"]) and _holds_classes(table, shape):
        found |= {"class": shape, "morphology": None}
    bands = _bands(table)
    kind = "catalogue" if bands else "labels" if found["class"] else "imaging"
    key = next((key for key in _KEYS if all(names.find((one,)) for one in key)), (ROW,))
    target = names.find(("TARGETID",))
    by_id = target is not None and table.columns[target].kind == "int"
    lines = [f"# Drafted from {table.place}: read it, and mend what is marked.", f"title: {table.path.stem}"]
    lines += [f"kind: {kind}", "", f"key: [[{', '.join(key)}]]"]
    if bands and found["tile"] and found["tile"] not in key and table.columns[found["tile"]].kind in ("int", "text"):
        lines.append(f"tile: {found['tile']}   # GUESS: the pointing of a row, which has zero points of its own")
    lines += [f"object_id: {target if by_id else 'position'}"] if kind != "imaging" else []
    lines += [f"{role}: {found[role] or 'TO_FILL   # no column of a known spelling'}" for role in ("ra", "dec")]
    notes = [f"{role}: {found[role] or 'not found, to be filled in'}" for role in ("ra", "dec", "class", "z")]
    if bands:
        lines[2:2] = bands.known
        lines += ["", *bands.lines]
        notes += bands.notes
    else:
        notes.append("bands: no column names hold the bands of a known system; own bands go under bands: table")
    if found["morphology"]:
        lines.append(f"morphology: {found['morphology']}")
    if found["class"] and found["z"] and found["z"] not in (bands.columns if bands else ()):
        lines += ["", "labels:", f"  spectype: {found['class']}", f"  z: {found['z']}"]
        if zwarn := found["zwarn"]:
            lines += ["  rules:", f'    - {{column: "{zwarn}", equals: 0, reason: redshift with a warning}}']
    return SurveyDraft("\n".join(lines) + "\n", tuple(notes))


def _holds_classes(table: RawTable, column: str) -> bool:
    """Return whether a column that is called as one of shapes holds spectral types."""
    words = {word.upper() for word in spectype_words()}
    first = next(iter(table.read({column: "text"})), {}).get(column, np.zeros(0, dtype=str))
    return len(first) > 0 and bool(np.mean([str(word).strip().upper() in words for word in first]) > 0.5)


@dataclass(frozen=True)
class _Bands:
    """What was found of the photometry: band system, lines of the survey file, notes, and the columns of the fluxes."""

    system: str
    lines: list[str]
    notes: list[str]
    columns: tuple[str, ...]

    @property
    def known(self) -> list[str]:
        """The line that says of which survey the rows are, for people to complete."""
        shipped = [one for one in all_schemas() if one.kind == "catalogue" and one.bands]
        names = [one.name for one in shipped if one.bands and self.system in (one.bands.system, one.default_bands)]
        return [f"# survey: {' or '.join(names)}   # if it is: models of it take this table"] if names else []


def _is_of_errors(pattern: str, others: Iterable[str] = ()) -> bool:
    """Return whether columns of a pattern are of errors, or of what errors are made of; e or d may precede another."""
    if re.match(r"e|d", pattern, re.IGNORECASE) and pattern[1:].lstrip("_").lower() in map(str.lower, others):
        return True
    words = pattern.replace("{band}", "")
    return bool(_ERRORS.search(words)) or calls_itself_no_error(words) is not None


def _bands(table: RawTable) -> _Bands | None:
    """Return the bands system whose names most columns hold, with the patterns of fluxes and errors."""
    best: tuple[int, str, str, Counter[str]] = (0, "", "", Counter())
    filled = (0, 0)
    for name in (name for name in band_system_names() if not own_table(name)):
        patterns = _patterns(table, _spelt(name))
        plain = {pattern: n for pattern, n in patterns.items() if not _is_of_errors(pattern, patterns)}
        for pattern, number in plain.items():
            # Of systems that share bands, the one that the table fills most.
            size = len(band_system(name))
            if 2 * number > size and (number, -size) > filled:
                best, filled = (number, name, pattern, patterns), (number, -size)
    number, name, pattern, patterns = best
    if not number:
        return _shipped_arrays(table) or _own_bands(table)
    errors = [p for p in patterns if p != pattern and _is_of_errors(p, patterns)]
    error = max(errors, default=None, key=lambda p: (patterns[p], calls_itself_no_error(p) is None))
    notes = [f"bands: {number} of {len(band_system(name))} of {name}, as {pattern}"]
    spelt = {word: band for word, band in _spelt(name).items() if pattern.replace("{band}", word) in table.columns}
    others = ", ".join(f"{word}: {band}" for word, band in spelt.items() if word != band)
    aliases_of = [f"  aliases: {{{others}}}"] if others else []
    columns = tuple(pattern.replace("{band}", word) for word in spelt)
    return _drafted(table, [name, *aliases_of], notes, pattern, error, columns)


def _spelt(system: str) -> dict[str, str]:
    """Return the names of the bands of a system, and what shipped surveys call them, with the band that each is."""
    names = band_system(system).names
    of = [schema.bands.aliases for schema in all_schemas() if schema.bands and schema.bands.system == system]
    more = {word: band for aliases_of in of for word, band in aliases_of.items() if band in names}
    return more | dict(zip(names, names, strict=True))


def _shipped_arrays(table: RawTable) -> _Bands | None:
    """Return the arrays of fluxes and errors that a shipped survey has, where the table has such and another key."""
    names = ColumnNames(tuple(table.columns), table.place)
    for schema in all_schemas():
        for rule in schema.photometry:
            arrays = [one for one in (rule.flux, rule.error) if isinstance(one, str) and "{band}" not in one]
            if schema.bands is None or rule.flux not in arrays or any(names.find((one,)) is None for one in arrays):
                continue
            whole = schema.model_dump(mode="json", exclude_unset=True, include={"bands", "quality"})
            one = rule.model_dump(mode="json", exclude_unset=True)
            plain = {"bands": whole["bands"], "photometry": [one], "quality": whole.get("quality", {})}
            lines = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).rstrip().split("\n")
            notes = [f"bands: arrays {rule.flux}, as those of {schema.name}", f"unit: {rule.unit}, as there"]
            return _Bands(schema.bands.system, lines, [*notes, f"errors: {rule.error or 'none'}"], ())
    return None


def _own_bands(table: RawTable) -> _Bands | None:
    """Return bands of no known system: what columns of fluxes, each with one of errors, differ in."""
    places = set(map(str.lower, (*aliases().spellings["ra"], *aliases().spellings["dec"])))
    found: dict[str, list[str]] = {}
    for column in table.columns:
        for word in {*re.split(r"[^A-Za-z0-9]+", column), column} - {""} if column.lower() not in places else ():
            pattern = re.sub(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", "{band}", column)
            if pattern.count("{band}") == 1:
                found.setdefault(pattern, []).append(word)
    many = {pattern: words for pattern, words in found.items() if len(words) >= _FEWEST_OWN}
    errors = {pattern: set(words) for pattern, words in many.items() if _is_of_errors(pattern, many)}
    pairs = [(flux, error, [word for word in many[flux] if word in errors[error]])
             for flux in many.keys() - errors.keys() for error in errors]  # fmt: skip
    pattern, error, bands = max(
        pairs,
        default=("", "", []),
        key=lambda pair: (len(pair[2]), calls_itself_no_error(pair[1]) is None, len(pair[0]), -len(pair[1])),
    )
    if len(bands) < _FEWEST_OWN:
        return None
    lines = [re.sub(r"[^A-Za-z0-9]", "_", table.path.stem) + "_bands"]
    lines += ["  table:   # name: [pivot, width, narrow or broad]; Å"]
    lines += [f"    {band}: [TO_FILL, TO_FILL, narrow]" for band in bands]
    notes = [f"bands: {len(bands)} of no known system, as {pattern}; pivots and widths are to be filled in"]
    return _drafted(table, lines, notes, pattern, error, tuple(pattern.replace("{band}", band) for band in bands))


def _drafted(
    table: RawTable, bands: list[str], notes: list[str], pattern: str, error: str | None, columns: tuple[str, ...]
) -> _Bands:
    """Return the lines of a draft from the band system, lines on its bands, and the patterns of their columns."""
    system, *own = bands
    unit, scale, why = _unit(table, [column for column in columns if column in table.columns])
    kind = "none" if error is None else "magnitude" if unit == "ab_magnitude" else "absolute"
    lines = [
        "bands:",
        f"  system: {system}",
        *own,
        "",
        "photometry:",
        f"  - name: {pattern.replace('{band}', '').strip('_') or 'flux'}   # a model refuses another measurement",
    ]
    lines.append(f'    flux: "{pattern}"')
    if error and (no_error := calls_itself_no_error(error.replace("{band}", ""))):
        why_not = f"no errors ({no_error[0]}): write columns of {no_error[1]} and name these, or say error_kind: none"
        lines.append(f"    error: TO_FILL   # {error} holds {why_not}")
        notes = [*notes, f"{error}: holds {why_not}"]
        error = "to be filled in"
    elif error:
        lines.append(f'    error: "{error}"')
    lines += [f"    unit: {unit}   # {why}", *([f"    scale: {scale:g}"] if unit.startswith("f_") else [])]
    lines += [f"    error_kind: {kind}", "", "quality:", "  sentinels: [99, -99, -9999]   # GUESS", "  min_bands: 1"]
    return _Bands(system, lines, [*notes, f"unit: {unit} ({why})", f"errors: {error or 'none found'}"], columns)


def _patterns(table: RawTable, spelt: Mapping[str, str]) -> Counter[str]:
    """Count how many bands stand in columns of each pattern; letters may touch names of more than one letter."""
    found: dict[str, set[str]] = {}
    for column in table.columns:
        for word, band in spelt.items():
            before, behind = (".*", r"\D.*") if len(word) > 1 else (".*[^A-Za-z0-9]|[ed]", "[^A-Za-z0-9].*")
            if match := re.fullmatch(rf"(|{before}){re.escape(word)}(|{behind})", column):
                found.setdefault(f"{match[1]}{{band}}{match[2]}", set()).add(band)
    return Counter({pattern: len(bands) for pattern, bands in found.items()})


def _unit(table: RawTable, columns: list[str]) -> tuple[str, float, str]:
    """Return what fluxes are, the size of their unit, and how that is known."""
    stated = unit_of(columns[0], table.columns[columns[0]].unit, table.place)
    known = stated_unit(stated)
    if known is not None:
        return known[0], known[1], f"the file states {stated}"
    block = next(iter(table.read(dict.fromkeys(columns, "float"))), {})
    values = np.ma.masked_invalid(np.ma.stack(list(block.values()))).compressed() if block else np.zeros(0)
    middle = float(np.median(values)) if len(values) else np.nan
    if 10 < middle < 30:
        return "ab_magnitude", 1.0, f"GUESS: the median is {middle:.1f}, as of AB magnitudes"
    return "f_nu", 1e-32, "GUESS: taken as nJy; say f_lambda, f_nu or ab_magnitude, and the size of the unit in cgs"


def own_columns(words: Sequence[str] | None) -> dict[str, str | list[str]]:
    """Return columns of one's own from words such as ``ra=RA_deg`` or ``key=TILE,ID``.

    Parameters
    ----------
    words : sequence of str, optional

    Returns
    -------
    dict
        For :func:`~jpas_gbm.surveys.recognition.own_survey`.

    Raises
    ------
    ConfigError
        If a word has another form.
    """
    columns: dict[str, str | list[str]] = {}
    for word in words or ():
        role, equals, name = word.partition("=")
        if not equals or not name:
            raise ConfigError(f"--column {word}: write ROLE=NAME, with ROLE one of {', '.join(ROLES)}.")
        columns[role] = name.split(",") if role == "key" else name
    return columns
