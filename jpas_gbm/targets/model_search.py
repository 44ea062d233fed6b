"""Finding the model that made a prediction file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import BundleError, TargetError
from ..files import read_json


def find_model(model: Mapping[str, Any], places: Sequence[str | Path]) -> Path:
    """Return the model folder that a prediction file speaks of, by its card.

    Parameters
    ----------
    model : mapping
        What the predictions say of their model.
    places : sequence of path
        Folders to look at, and in.

    Raises
    ------
    TargetError
        If it is in none of them.
    """
    looked = []
    for place in dict.fromkeys(Path(place).resolve() for place in places):
        for head in sorted([*place.glob("model.json"), *place.glob("*/model.json")]):
            looked.append(head.parent)
            if _is(head.parent, model):
                return head.parent
    raise TargetError(
        f"the model of these predictions (regime {model.get('regime')}, made {model.get('made')}) was not found beside "
        f"them or here ({len(looked)} model folder(s) looked at). Name it with --model."
    )


def _is(folder: Path, model: Mapping[str, Any]) -> bool:
    try:
        card = read_json(folder / "card.json")
    except BundleError:
        return False
    made = card.get("provenance") or {}
    return bool(
        made.get("made") == model.get("made")
        and made.get("seed") == model.get("seed")
        and card.get("features") == model.get("features")
    )
