"""Error-aware probabilities: what a classifier would say had the noise fallen otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import TargetError
from ..fitted import FittedClassifier
from ..survey.catalogue import Catalogue

_ROWS = 20_000
Progress = Callable[[str, int, int], None]


class NoisyProbabilities(NamedTuple):
    """Mean and standard deviation over noise draws of every class's probability, float64 (n, k) each."""

    mean: np.ndarray
    spread: np.ndarray


def noise_probabilities(
    fitted: FittedClassifier,
    catalogue: Catalogue,
    draws: int = 8,
    *,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> NoisyProbabilities:
    """Propagate photometric errors into probabilities.

    Each draw adds to every flux a normal deviate of its error and asks the model again. A flux that
    was measured has its noise already, so a draw is noisier than the data by a factor of sqrt(2): the
    spread says how far a second measurement could move the probability, and the mean is drawn
    towards indecision. It is a warning beside the probability, not a better probability.

    The cost is `draws` predictions of these rows, features and all.

    Parameters
    ----------
    fitted : FittedClassifier
    catalogue : Catalogue
        n rows with errors.
    draws : int
        At least 2.
    seed : int
    threads : int
    progress : callable, optional
        Called as ``progress("noise", rows done, rows)``.

    Raises
    ------
    TargetError
        If the survey gives no errors, or fewer than 2 draws are asked for.
    """
    if draws < 2:
        raise TargetError(f"{draws} noise draw(s) have no spread: ask for 2 or more.")
    if not catalogue.has_errors:
        raise TargetError(
            f"the catalogue ({catalogue.survey}) gives no photometric errors, so none can be propagated. "
            "Leave out --noise-draws."
        )
    mean = np.empty((len(catalogue), len(fitted.classes)))
    spread = np.empty_like(mean)
    rng = np.random.default_rng(seed)
    for start in range(0, len(catalogue), _ROWS):
        rows = slice(start, min(start + _ROWS, len(catalogue)))
        part = catalogue.take(rows)
        drawn = []
        for _ in range(draws):
            noise = rng.standard_normal(part.flux.shape, dtype=np.float32)
            seen = part.replace(flux=part.flux + noise * part.flux_err)
            drawn.append(fitted.probabilities(seen, threads))
        mean[rows], spread[rows] = np.mean(drawn, axis=0), np.std(drawn, axis=0, ddof=1)
        if progress is not None:
            progress("noise", rows.stop, len(catalogue))
    return NoisyProbabilities(mean, spread)
