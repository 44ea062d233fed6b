"""The rows that are explained, and what a reader must know before believing the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import ExplanationError
from ..options import ExplainOptions
from ..surveys.catalogue import Catalogue
from ..surveys.classes import LabelScheme
from .attributions import Attributions
from .content import NotDefined, PhysicsScore, SampleFacts, StageSplit
from .ridge import FEWEST

_STREAM = 41


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows that are explained.

    Parameters
    ----------
    rows : Catalogue
        In the order of the catalogue they were drawn from.
    y : array of int8, shape (n,)
        The class that a row counts as: its label, or the class predicted where it has none.
    facts : SampleFacts
        How they were drawn.
    """

    rows: Catalogue
    y: np.ndarray
    facts: SampleFacts

    def __len__(self) -> int:
        return len(self.rows)


def brighter_rows(catalogue: Catalogue, cut: float | None) -> Catalogue:
    """Return the rows that are not fainter than the cut; without a cut all of them.

    Parameters
    ----------
    catalogue : Catalogue
    cut : float or None
        Faintest magnitude; None and inf take all rows.

    Returns
    -------
    Catalogue

    Raises
    ------
    ExplanationError
        If none is left.
    """
    with np.errstate(invalid="ignore"):
        chosen = catalogue if cut is None or np.isposinf(cut) else catalogue.take(np.asarray(catalogue.mag <= cut))
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
        The classes; those that redshift parts within a spectral type are the quasars.
    options : ExplainOptions
        ``per_class`` and ``quasars``: most rows of a class.
    seed : int
        Seed of the draw.
    labelled : bool
        Whether classes are labels.

    Returns
    -------
    Sample

    Raises
    ------
    ExplanationError
        If there is no row.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM]))
    chosen = []
    for code, name in enumerate(scheme.classes):
        mine = np.flatnonzero(y == code)
        most = options.quasars if name in scheme.parted else options.per_class
        chosen.append(rng.permutation(mine)[:most] if most and len(mine) > most else mine)
    places = np.sort(np.concatenate(chosen))
    if not len(places):
        raise ExplanationError("no row has a class: there is nothing to explain. Give labelled rows or a --catalogue.")
    words = [
        f"at most {most} rows of {of}" if most else f"all rows of {of}"
        for most, of in ((options.quasars, "each class of quasars"), (options.per_class, "each other class"))
    ]
    by = "label" if labelled else "predicted class"
    facts = SampleFacts(
        drawn=scheme.counts(y[places]),
        available=scheme.counts(y),
        classes_from="labels" if labelled else "predictions",
        rule=f"stratified by {by}: {words[0]}, {words[1]}, drawn at random",
    )
    return Sample(catalogue.take(places), y[places].astype(np.int8), facts)


def reader_notes(
    found: Attributions,
    sample: Sample,
    options: ExplainOptions,
    physics: PhysicsScore | None,
    stages: Mapping[str, StageSplit | NotDefined],
) -> tuple[str, ...]:
    """Return what is missing from an explanation, and why, in sentences.

    Parameters
    ----------
    found : Attributions
    sample : Sample
        The same rows.
    options : ExplainOptions
    physics : PhysicsScore or None
    stages : mapping of str to StageSplit or NotDefined

    Returns
    -------
    tuple of str
    """
    pair, counts = found.pair, sample.facts.drawn
    notes = [
        f"no {name} among the {len(sample)} rows: means are over the other class alone, and what needs {name} "
        "is left out."
        for name in pair.names
        if not counts[name]
    ]
    both = np.isin(sample.y, [pair.a, pair.b])
    unknown = int((both & ~np.isfinite(sample.rows.z)).sum())
    if unknown:
        notes.append(
            f"{unknown} of {int(both.sum())} rows of {pair.first} and {pair.second} have no redshift: they count "
            "nowhere in rest frame, physics score and ridge."
        )
    if physics is None and counts[pair.first]:
        low, high = options.z_range
        notes.append(f"there is no physics score: fewer than {FEWEST} {pair.first} have {low:g} < z < {high:g}.")
    for stage in stages.values():
        if stage.defined and not np.any(stage.sky.mean_abs):
            notes.append("the sky added no trees: boosting on target rows did not pay on validation.")
    if sample.facts.classes_from == "predictions":
        notes.append("rows count as the class predicted for them, not as a class that is known.")
    return tuple(notes)
