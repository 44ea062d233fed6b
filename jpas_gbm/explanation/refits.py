"""Refits: the same model again with other seeds, to see whether it would say the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..config import FitOptions, parse_options
from ..errors import ExplanationError
from ..fitted import FittedClassifier
from ..survey.dataset import Dataset


def refits_of(fitted: FittedClassifier, dataset: Dataset, threads: int = 1) -> Callable[[int], FittedClassifier]:
    """Return a function that fits a model's i-th sibling: its options on its data set, another seed.

    Parameters
    ----------
    fitted : FittedClassifier
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
    made: Mapping[str, Any] = fitted.card.get("provenance") or {}
    options, seed = made.get("options"), made.get("seed")
    if not options or seed is None:
        raise ExplanationError(
            "the model's card does not say with which options and seed it was fitted, so it cannot be fitted again. "
            "Leave out --refits, or fit the model with this version."
        )
    known = parse_options(FitOptions, dict(options), "the model's card")

    def refit(i: int) -> FittedClassifier:
        from ..adaptation.fit import fit

        return fit(dataset, known, seed=int(seed) + 1 + i, threads=threads)

    return refit
