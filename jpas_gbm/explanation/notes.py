"""Notes: what a reader must know before believing the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .attributions import Attributions
from .options import ExplainOptions
from .physics import FEWEST
from .sample import Sample


def reader_notes(told: Attributions, sample: Sample, options: ExplainOptions, head: Mapping[str, Any]) -> list[str]:
    """Return what is missing from an explanation, and why, in sentences.

    Parameters
    ----------
    told : Attributions
    sample : Sample
    options : ExplainOptions
    head : mapping
        The sections made so far.
    """
    notes = []
    pair = told.pair
    counts = sample.counts(told.fitted.scheme)
    for name in pair.names:
        if not counts[name]:
            notes.append(
                f"no {name} among the {len(sample)} rows: means are over the other class alone, and what needs {name} "
                "is left out."
            )
    both = np.isin(sample.y, [pair.a, pair.b])
    unknown = int((both & ~np.isfinite(sample.rows.z)).sum())
    if unknown:
        notes.append(
            f"{unknown} of {int(both.sum())} rows of {pair.first} and {pair.second} have no redshift: they count "
            "nowhere in rest frame, physics score and ridge."
        )
    if head["physics"] is None and counts[pair.first]:
        low, high = options.z_range
        notes.append(f"there is no physics score: fewer than {FEWEST} {pair.first} have {low:g} < z < {high:g}.")
    for one in head["stages"].values():
        if one["defined"] and not np.any(one["sky"]["mean_abs"]):
            notes.append("the sky added no trees: boosting on target rows did not pay on validation.")
    if not sample.labelled:
        notes.append("rows count as the class predicted for them, not as a class that is known.")
    return notes
