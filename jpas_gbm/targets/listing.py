"""The list as a file: FITS, VOTable or ECSV, with units, UCDs and a header that says what it promises."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError, did_you_mean
from ..files import atomic_file, dump_json

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
