"""Explaining: from a model and rows to an explanation.

The sample: which rows are explained, and what class each counts as.

Notes: what a reader must know before believing the numbers.

Refits: the same model again with other seeds, to see whether it would say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ExplanationError, FitError
from ..model import Model
from ..options import ExplainOptions
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from .attributions import Pair, Progress, attribute
from .blocks import Blocks
from .explanation import Explanation, assembled
from .objects import find_rows, object_told
from .sample import Sample, brighter_rows, draw_sample
from .summary import refit_importances


def refits_of(fitted: Model, dataset: Dataset, threads: int = 1) -> Callable[[int], Model]:
    """Return a function that fits a model's i-th sibling: its options on its data set, another seed.

    Parameters
    ----------
    fitted : Model
        Its card holds the options and the seed.
    dataset : Dataset
        What it was fitted on.
    threads : int
        Threads of the libraries.

    Raises
    ------
    ExplanationError
        If the card does not say how the model was fitted.
    """
    from ..adaptation.fit import fitted_with, refit

    try:
        fitted_with(fitted)
    except FitError as error:
        raise ExplanationError(f"{error} Or leave out --refits.") from error
    return lambda i: refit(fitted, dataset, seed=1 + i, threads=threads)


Refit = Callable[[int], Model]

_OBJECT_BANDS = 10


def explain_dataset(
    fitted: Model,
    dataset: Dataset,
    options: ExplainOptions | None = None,
    *,
    split: str = "test",
    seed: int = 0,
    refits: int = 0,
    refit: Refit | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Explanation:
    """Explain a stratified sample of the labelled target rows of a split.

    Parameters
    ----------
    fitted : Model
        The model.
    dataset : Dataset
        Where the rows are.
    options : ExplainOptions, optional
        Which rows, which pair of classes, how features become bands.
    split : {"test", "val", "train"}
        Which rows.
    seed : int
        Seed of the sample and of the resamples.
    refits : int
        How many models fitted again to judge stability by, besides this one.
    refit : callable, optional
        ``refit(i)`` gives the i-th of them.
    threads : int
        Threads of the libraries.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Raises
    ------
    ExplanationError
        If no row is left, neither class of the pair is among them, or contributions do not add up.
    FeatureMismatch
        If the model does not fit the data.
    """
    options = options or ExplainOptions()
    rows = dataset.target_rows(split)
    rows = rows.take(rows.label >= 0)
    if not len(rows):
        raise ExplanationError(
            f"the target has no labelled row in the split '{split}'. Prepare it with labels, or explain rows of a "
            "--catalogue."
        )
    rows = brighter_rows(rows, options.cut)
    sample = draw_sample(rows, rows.label, fitted.scheme, options, seed, labelled=True)
    about = {"split": f"the {split} split", "cut": options.cut, "data": dataset.provenance}
    return _explain_sample(
        fitted, sample, options, about, seed, refits if refit else 0, refit, threads=threads, progress=progress
    )


def explain_catalogue(
    fitted: Model,
    catalogue: Catalogue,
    options: ExplainOptions | None = None,
    *,
    name: str = "a catalogue",
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Explanation:
    """Explain rows of any catalogue of the model's survey, each counting as the class predicted for it.

    Parameters
    ----------
    fitted, options, seed, threads, progress
        As for :func:`explain_dataset`; ``per_class`` and ``quasars`` of 0 take every row.
    catalogue : Catalogue
        Labels are not read, redshifts are where it has them.
    name : str
        What the rows are, in words.
    """
    options = options or ExplainOptions()
    rows = brighter_rows(catalogue, options.cut)
    predicted = fitted.decide(fitted.probabilities(rows, threads))
    sample = draw_sample(rows, predicted, fitted.scheme, options, seed, labelled=False)
    about = {"split": name, "cut": options.cut}
    return _explain_sample(fitted, sample, options, about, seed, 0, None, threads=threads, progress=progress)


def explain_objects(
    fitted: Model,
    catalogue: Catalogue,
    names: Sequence[str],
    options: ExplainOptions | None = None,
    *,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Explanation:
    """Explain single objects, named by row key (TILE_ID/NUMBER) or object id (TARGETID).

    Raises
    ------
    ExplanationError
        If a name is not one, or is not there.
    """
    options = options or ExplainOptions()
    places, found_by = find_rows(catalogue, names)
    rows = catalogue.take(places)
    pair = Pair.of(fitted.classes, options.pair)
    told = attribute(fitted, rows, pair, options, threads=threads, progress=progress)
    labelled = bool((rows.label >= 0).all())
    y = np.where(rows.label >= 0, rows.label, fitted.decide(told.probabilities)).astype(np.int8)
    sample = Sample(rows, y, labelled, fitted.scheme.counts(y), "the objects asked for")
    explanation = assembled(told, sample, options, {"split": "objects asked for", "cut": None}, seed, None)
    blocks = Blocks.of(fitted.recipe.bands, options.blocks)
    objects = []
    for row, name in enumerate(found_by):
        label = fitted.classes[rows.label[row]] if rows.label[row] >= 0 else None
        objects.append(object_told(told, row, name, label, blocks, _OBJECT_BANDS))
    return replace(explanation, head={**explanation.head, "objects": objects, "notes": []})


def _explain_sample(
    fitted: Model,
    sample: Sample,
    options: ExplainOptions,
    about: Mapping[str, Any],
    seed: int,
    refits: int,
    refit: Refit | None,
    *,
    threads: int,
    progress: Progress | None,
) -> Explanation:
    pair = Pair.of(fitted.classes, options.pair)
    _require_pair(pair, sample, fitted)
    told = attribute(fitted, sample.rows, pair, options, threads=threads, progress=progress)
    more = None
    if refits and refit is not None:
        more = refit_importances(
            refit, refits, sample.rows, sample.y, pair, options, threads=threads, progress=progress
        )
    return assembled(told, sample, options, about, seed, more)


def _require_pair(pair: Pair, sample: Sample, fitted: Model) -> None:
    counts = sample.counts(fitted.scheme)
    if counts[pair.first] or counts[pair.second]:
        return
    there = ", ".join(f"{name} {n}" for name, n in counts.items() if n)
    raise ExplanationError(
        f"there is no row of {pair.first} or {pair.second} among those to explain ({there}): nothing can be said of "
        "what tells them apart. Ask for classes that are there with --pair, or take another --split or --cut."
    )
