"""The columns and the header of a candidate list.

The list as a file: FITS, VOTable or ECSV, with units, UCDs and a header that says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..output.write_columns import Column, quality_column, record_type
from ..output.writers import Head, plain_letters, table_writer
from .candidate_list import TargetList


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


def written(columns: Sequence[ListColumn]) -> tuple[tuple[Column, ...], np.ndarray]:
    """Return columns as they are written, and their rows as a structured array."""
    values = {column.name: _storable(column.values) for column in columns}
    heads = tuple(Column(c.name, values[c.name].dtype.str[1:], c.description, c.ucd, c.unit) for c in columns)
    rows = np.empty(len(columns[0].values), dtype=record_type(heads))
    for name, value in values.items():
        rows[name] = value
    return heads, rows


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
    quality = quality_column()
    made.append(ListColumn(quality.name, rows.quality.astype(np.int32), quality.description, quality.ucd))
    for name, value in rows.more.items():
        sentence, ucd = _MORE.get(name, ("From the predictions.", ""))
        if name.startswith("WHY_"):
            sentence = "What decided, from the predictions: log-odds, bands and their contributions."
        made.append(ListColumn(name, value, sentence, ucd))
    return made + list((more or {}).values())


def _storable(value: np.ndarray) -> np.ndarray:
    """Return a column as files hold it: text in plain letters, no wider than needed; integers of 2 bytes or more."""
    value = np.asarray(value)
    if value.dtype.kind in "OUT":
        value = np.array([b"" if v is None or v != v else plain_letters(str(v)).encode() for v in value], dtype="S")
    if value.dtype.kind == "S":
        return value.astype(f"S{max(int(np.strings.str_len(value).max(initial=1)), 1)}")
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
    columns, rows = written(list_columns(found, more))
    with table_writer(path, Head(columns, told, "TARGETS", list_cards(found)), overwrite=overwrite) as writer:
        writer.write(rows)
