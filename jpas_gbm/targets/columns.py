"""The columns and the header of a candidate list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..survey.quality import QualityBit
from .listing import ListColumn, write_list
from .target_list import TargetList

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
