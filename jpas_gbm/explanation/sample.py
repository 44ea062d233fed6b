"""The rows that are explained, and what a reader must know before believing the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ExplanationError
from ..options import ExplainOptions
from ..surveys.catalogue import Catalogue
from ..surveys.classes import LabelScheme
from .attributions import Attributions
from .restframe import FEWEST

_STREAM = 41


def quasar_classes(scheme: LabelScheme) -> tuple[str, ...]:
    """Return the classes that redshift parts within one spectral type: QSO_high and QSO_low."""
    return tuple(name for of in scheme.spectypes.values() if len(of) == 2 for name in of)


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows that are explained.

    Parameters
    ----------
    rows : Catalogue
        In the order of the catalogue they were drawn from.
    y : array of int8, shape (n,)
        The class that a row counts as: its label, or the class predicted where it has none.
    labelled : bool
        Whether classes are labels.
    available : dict of str to int
        How many rows of each class there were to draw from.
    sentence : str
        How the rows were drawn.
    """

    rows: Catalogue
    y: np.ndarray
    labelled: bool
    available: dict[str, int]
    sentence: str

    def __len__(self) -> int:
        return len(self.rows)

    def counts(self, scheme: LabelScheme) -> dict[str, int]:
        """Return how many rows of each class were drawn."""
        return scheme.counts(self.y)

    def to_dict(self, scheme: LabelScheme) -> dict[str, Any]:
        """Return what a reader must know of the rows."""
        return {
            "drawn": self.counts(scheme),
            "available": self.available,
            "classes_from": "labels" if self.labelled else "predictions",
            "rule": self.sentence,
        }


def brighter_rows(catalogue: Catalogue, cut: float | None) -> Catalogue:
    """Return the rows that are not fainter than the cut; without a cut all of them.

    Raises
    ------
    ExplanationError
        If none is left.
    """
    if cut is None or np.isposinf(cut):
        chosen = catalogue
    else:
        with np.errstate(invalid="ignore"):
            chosen = catalogue.take(np.asarray(catalogue.mag <= cut))
    if not len(chosen):
        raise ExplanationError(
            f"none of the {len(catalogue)} rows has a magnitude of {cut} or brighter: there is nothing to explain. "
            "Give another --cut (inf takes all rows) or another --split."
        )
    return chosen


def draw_sample(
    catalogue: Catalogue, y: np.ndarray, scheme: LabelScheme, options: ExplainOptions, seed: int, *, labelled: bool
) -> Sample:
    """Draw a stratified sample: so many rows of each class, and the quasars (nearly) all.

    Parameters
    ----------
    catalogue : Catalogue
        n rows.
    y : array of int, shape (n,)
        The class of each; rows of class -1 are left out.
    scheme : LabelScheme
        Names of the classes.
    options : ExplainOptions
        ``per_class`` and ``quasars``: most rows of a class.
    seed : int
        Seed of the draw.
    labelled : bool
        Whether classes are labels.

    Raises
    ------
    ExplanationError
        If there is no row.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM]))
    quasars = quasar_classes(scheme)
    chosen = []
    for code, name in enumerate(scheme.classes):
        mine = np.flatnonzero(y == code)
        most = options.quasars if name in quasars else options.per_class
        chosen.append(rng.permutation(mine)[:most] if most and len(mine) > most else mine)
    places = np.sort(np.concatenate(chosen))
    if not len(places):
        raise ExplanationError("no row has a class: there is nothing to explain. Give labelled rows or a --catalogue.")
    words = [
        f"at most {most} rows of {of}" if most else f"all rows of {of}"
        for most, of in ((options.quasars, "each class of quasars"), (options.per_class, "each other class"))
    ]
    return Sample(
        rows=catalogue.take(places),
        y=y[places].astype(np.int8),
        labelled=labelled,
        available=scheme.counts(y),
        sentence=f"stratified by {'label' if labelled else 'predicted class'}: {words[0]}, {words[1]}, drawn at random",
    )


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
