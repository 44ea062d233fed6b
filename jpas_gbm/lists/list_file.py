"""The columns and the header of a candidate list.

The list as a file: FITS, VOTable or ECSV, with units, UCDs and a header that says what it promises.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError, did_you_mean
from ..store import atomic_file, dump_json
from ..surveys.quality import QualityBit
from .candidate_list import TargetList

SUFFIXES = {
    ".fits": "fits",
    ".fit": "fits",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".ecsv": "ecsv",
}
"""Formats of a list by suffix."""


@dataclass(frozen=True, eq=False)
class ListColumn:
    """One column of a list.

    Parameters
    ----------
    name : str
    values : array, shape (n,)
        Numbers or text.
    description : str
    ucd : str
        IVOA Unified Content Descriptor; empty for none.
    unit : str
        As FITS and VOTable spell it; empty for none.
    """

    name: str
    values: np.ndarray
    description: str
    ucd: str = ""
    unit: str = ""


def list_format(path: str | Path) -> str:
    """Return the format of a list by its suffix.

    Raises
    ------
    OutputError
        If the suffix is not known.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(
            f"{path}: cannot tell the format of a list by the suffix '{suffix}'.{did_you_mean(suffix, SUFFIXES)} "
            f"Known: {', '.join(SUFFIXES)}."
        )
    return SUFFIXES[suffix]


def write_list(
    path: str | Path,
    columns: Sequence[ListColumn],
    cards: Mapping[str, Any],
    told: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write a list.

    Parameters
    ----------
    path : path
        The suffix chooses the format.
    columns : sequence of ListColumn
    cards : mapping of str to str or number
        Short facts for people: FITS cards, VOTable INFOs, ECSV metadata.
    told : mapping
        Everything, as JSON can hold it: the rule, the yield, the provenance.
    overwrite : bool

    Raises
    ------
    OutputError
        If the suffix is unknown, the file exists, or it cannot be written.
    """
    kind = list_format(path)
    write = {"fits": _write_fits, "votable": _write_votable, "ecsv": _write_ecsv}[kind]
    with atomic_file(path, overwrite=overwrite) as temporary:
        write(temporary, columns, cards, json.loads(dump_json(dict(told))))


def _write_fits(path: Path, columns: Sequence[ListColumn], cards: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    from astropy.io import fits

    kinds = {"i": {8: "K", 4: "J", 2: "I"}, "f": {8: "D", 4: "E"}}
    made = []
    for column in columns:
        values = column.values
        if values.dtype.kind in "SU":
            code = f"{max(int(np.strings.str_len(values).max(initial=1)), 1)}A"
        else:
            code = kinds[values.dtype.kind][values.dtype.itemsize]
        made.append(fits.Column(column.name, code, unit=column.unit or None, array=values))
    table = fits.BinTableHDU.from_columns(made, name="TARGETS")
    for number, column in enumerate(columns, start=1):
        if column.ucd:
            table.header[f"TUCD{number}"] = column.ucd
        table.header[f"TCOMM{number}"] = column.description
    table.header["RADESYS"] = "ICRS"
    for name, value in cards.items():
        table.header[name] = _ascii(value) if isinstance(value, str) else value
    table.header["PROVENAN"] = json.dumps(told, separators=(",", ":"))
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, checksum=True)


def _ascii(text: str) -> str:
    """Return text as a FITS card can hold it: letters without their accents, ? for what has no plain form."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in plain)


def _write_votable(
    path: Path, columns: Sequence[ListColumn], cards: Mapping[str, Any], told: Mapping[str, Any]
) -> None:
    from astropy.io.votable.tree import CooSys, Field, Info, Resource, TableElement, VOTableFile

    file = VOTableFile(version="1.4")
    resource = Resource(type="results")
    file.resources.append(resource)
    resource.coordinate_systems.append(CooSys(ID="icrs", system="ICRS"))
    for name, value in {**cards, "provenance": json.dumps(told, separators=(",", ":"))}.items():
        resource.infos.append(Info(name=name, value=str(value)))
    table = TableElement(file, name="targets")
    resource.tables.append(table)
    kinds = {"i8": "long", "i4": "int", "i2": "short", "f8": "double", "f4": "float"}
    for column in columns:
        values = column.values
        extra: dict[str, str] = {"datatype": kinds.get(values.dtype.str[1:], "char")}
        if values.dtype.kind in "SU":
            extra["arraysize"] = str(max(int(np.strings.str_len(values).max(initial=1)), 1))
        if column.unit:
            extra["unit"] = column.unit
        if column.ucd:
            extra["ucd"] = column.ucd
        if column.ucd.startswith("pos.eq"):
            extra["ref"] = "icrs"
        field = Field(file, name=column.name, ID=column.name, **extra)
        field.description = column.description
        table.fields.append(field)
    table.create_arrays(len(columns[0].values))
    for column in columns:
        values = column.values
        table.array[column.name] = values.astype(str) if values.dtype.kind == "S" else values
        if values.dtype.kind == "f":
            table.array.mask[column.name] = False
    table.format = "tabledata"
    file.to_xml(str(path))


def _write_ecsv(path: Path, columns: Sequence[ListColumn], cards: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    from astropy.table import Column, Table

    made = []
    for column in columns:
        values = np.strings.decode(column.values, "ascii") if column.values.dtype.kind == "S" else column.values
        meta = {"ucd": column.ucd} if column.ucd else {}
        made.append(
            Column(values, name=column.name, unit=column.unit or None, description=column.description, meta=meta)
        )
    Table(made, meta={**cards, "provenance": told}).write(path, format="ascii.ecsv", overwrite=True)


_MORE = {
    "SPREAD": ("Scatter of the probability of the likeliest class over the ensemble.", "stat.stdev;stat.probability"),
    "PHOTOZ_QSO": ("Photometric redshift, were it a quasar.", "src.redshift.phot"),
}


def list_columns(found: TargetList, more: Mapping[str, ListColumn] | None = None) -> list[ListColumn]:
    """Return the columns of a list: ids, position, magnitude, probabilities, sets, warnings, explanations.

    Parameters
    ----------
    found : TargetList
    more : mapping of str to ListColumn, optional
        Further columns, such as those of noise draws.
    """
    rows, told = found.rows, found.told
    classes, n = told["classes"], len(found)
    column = classes.index(told["class"])
    part = "meta.id;meta.main" if len(rows.ids) == 1 else "meta.id.part"
    made = [ListColumn("RANK", np.arange(1, n + 1, dtype=np.int32), "Place in the list, from 1.", "meta.number")]
    made += [ListColumn(name, value, "Names the row of the catalogue.", part) for name, value in rows.ids.items()]
    made += [
        ListColumn("RA", rows.ra, "Right ascension, ICRS.", "pos.eq.ra;meta.main", "deg"),
        ListColumn("DEC", rows.dec, "Declination, ICRS.", "pos.eq.dec;meta.main", "deg"),
        ListColumn("MAG", rows.mag, "AB magnitude of the imaging survey (r).", "phot.mag;em.opt.R", "mag"),
        ListColumn(
            "PROBABILITY",
            found.p[:, column].astype(np.float32),
            f"Probability of {told['class']} for the class mix of the field: the list is sorted by it.",
            "stat.probability",
        ),
    ]
    for c, name in enumerate(classes):
        sentence = f"Probability of {name} for the class mix of the field."
        made.append(ListColumn(f"P_{name.upper()}", found.p[:, c].astype(np.float32), sentence, "stat.probability"))
        if c == column:
            sentence = f"Probability of {name} as the model gave it, for the class mix of its labels."
            made.append(
                ListColumn(f"P_{name.upper()}_MODEL", rows.p[:, c].astype(np.float32), sentence, "stat.probability")
            )
    sure = 100 * told["coverage_of_sets"]
    sets = np.array(["+".join(np.array(classes)[row]) or "none" for row in found.sets], dtype="S")
    made += [
        ListColumn("SET", sets, f"Classes of the conformal set that covers {sure:g} % of each class.", "src.class"),
        ListColumn(
            "SET_SIZE", found.sets.sum(axis=1).astype(np.int16), "Classes in SET; 0: unlike all.", "meta.number"
        ),
    ]
    if len(told["parts"]) > 1:
        made.append(
            ListColumn("MAG_BIN", found.bin.astype(np.int16), "Magnitude bin of the rule, from 0.", "meta.code")
        )
    bits = ", ".join(f"{bit.value} {str(bit.name).lower()}" for bit in QualityBit)
    made.append(ListColumn("QUALITY", rows.quality.astype(np.int32), f"Quality bits: {bits}.", "meta.code.qual"))
    for name, value in rows.more.items():
        sentence, ucd = _MORE.get(name, ("From the predictions.", ""))
        if name.startswith("WHY_"):
            sentence = "What decided, from the predictions: log-odds, bands and their contributions."
        made.append(ListColumn(name, _written(value), sentence, ucd))
    return made + list((more or {}).values())


def _written(value: np.ndarray) -> np.ndarray:
    """Return values as a list can hold them: text as bytes, numbers of 2, 4 or 8 bytes."""
    value = np.asarray(value)
    if value.dtype.kind in "OUT":
        text = np.array(["" if v is None or v != v else str(v) for v in value])
        return np.strings.encode(text.astype(str), "ascii") if len(text) else np.zeros(0, dtype="S1")
    return value.astype(np.int16) if value.dtype.itemsize == 1 else value


def list_cards(found: TargetList) -> dict[str, Any]:
    """Return the short header of a list: rule, yield with interval, promise, software."""
    told = found.told
    part = told["parts"][0] if len(told["parts"]) == 1 else None
    expected = sum(one["expected_true"] for one in told["parts"])
    cards: dict[str, Any] = {
        "CLASS": told["class"],
        "RULE": told["rule"],
        "NFIELD": sum(one["field_rows"] for one in told["parts"]),
        "NEXPECT": round(expected, 3),
    }
    if part is not None:
        cards |= {
            "NEXP_LO": part["interval"][0],
            "NEXP_HI": part["interval"][1],
            "PURITY": round(part["purity"], 5),
            "PUR_LO": round(part["purity_interval"][0], 5),
            "PUR_HI": round(part["purity_interval"][1], 5),
            "COMPLETE": round(part["completeness"], 5),
            "THRESH": round(part["threshold"], 7),
        }
    if found.footprint is not None:
        cards["AREADEG2"] = round(found.footprint.area, 6)
    trust = told["mix"]["trust"]
    cards |= {
        "PROMISE": told["promise"],
        "MIXFROM": told["mix"]["source"],
        "MIXTRUST": "given" if trust is None else "yes" if trust["trusted"] else "no",
        "ORIGIN": f"jpas-gbm {told['provenance']['version']}",
        "DATE": told["provenance"]["made"][:19],
    }
    return cards


def write_target_list(
    found: TargetList,
    path: str | Path,
    *,
    more: Mapping[str, ListColumn] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a list with its header; curves stay out of it (see the ``.json`` beside it)."""
    told = {name: value for name, value in found.told.items() if name != "curves"}
    write_list(path, list_columns(found, more), list_cards(found), told, overwrite=overwrite)
