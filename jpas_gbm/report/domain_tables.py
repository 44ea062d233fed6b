"""Tables of a model's domain report: strata of the sky, and features that tell mocks from sky."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .tables import Cell, Table
from .words import count, number, span

_MOST = 12


def strata_table(card: Mapping[str, Any]) -> Table | None:
    """Return the figures of each stratum of target validation, where the model's card tells them."""
    found = (card.get("domain") or {}).get("coverage")
    if not found or "log_loss" not in found:
        return None
    classes = list(found["classes"])
    rows = []
    for one in [*found["strata"], found]:
        ends = one.get("p_sky")
        head = "all" if ends is None else f"{number(ends[0], 2)} to {number(ends[1], 2)}"
        rows.append(
            (
                Cell(head),
                Cell(f"{one['n']:,}"),
                Cell(f"{one['mocks']:,}"),
                *(Cell(f"{one['classes'][name]:,}") for name in classes),
                Cell(number(one["log_loss"]), span(one["interval"])),
                Cell(number(one["accuracy"])),
                Cell(number(one["macro_f1"])),
            )
        )
    return Table(
        "Target validation in strata by P(sky), what a classifier between mocks and sky says: from sources like the "
        "mocks to sources unlike them, with the mocks that train in the same range (those with imaging, if others were "
        "made to forget it). A class of which mocks hold more than the sky is like the mocks for that alone. Macro-F1 "
        "is over the classes that a stratum holds; in brackets, 95 % bootstrap intervals over objects.",
        ("P(sky)", "sky", "mocks", *classes, "log loss", "accuracy", "macro-F1"),
        tuple(rows),
    )


def features_table(card: Mapping[str, Any]) -> Table | None:
    """Return the features that tell mocks from sky best; strong, those that tell domains and not classes."""
    found = (card.get("domain") or {}).get("features")
    if not found or not found.get("top"):
        return None
    only = [one["feature"] for one in found["domain_only"]]
    shown = {one["feature"]: one for one in [*found["top"], *found["domain_only"][:_MOST]]}
    rows = []
    for name, one in shown.items():
        strong = name in only
        note = f"{one['group']}; domains, not classes" if strong else one["group"]
        rows.append((Cell(name, note, strong), Cell(number(one["domain"])), Cell(number(one["classes"]))))
    told = f"{count(len(only), 'feature')} of all {'does' if len(only) == 1 else 'do'} so" if only else "None does so"
    return Table(
        "Areas under the ROC of single features: between mocks and sky, and the largest between one class and the "
        f"rest (labels of the {found['labels']}, training split). A feature tells domains apart and not classes where "
        f"the first is at least 0.55 and above the second. {told}.",
        ("feature", "mocks and sky", "classes"),
        tuple(rows),
    )
