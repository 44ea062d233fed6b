"""Sampling: how the values of a trial are drawn, from the seed of the study and the number of the trial."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from ..options import TuneOptions, Value

_MOCK_GROWN = ("boosting.", "features.", "sky.", "domain.")


class NumberedSampler(BaseSampler):
    """A TPE sampler that is seeded anew for each trial, with the study's seed and the trial's number.

    A sampler seeded once repeats its trials when a study is taken up again, and gives two processes the
    same trials; this one goes on as if it had never stopped.

    Parameters
    ----------
    seed : int
        Seed of the study.
    startup : int
        Trials drawn at random before it learns.
    interrupted : int
        Interrupted trials so far. Each is tried again under another number: numbers less these are those of a
        study that was never interrupted.
    """

    def __init__(self, seed: int, startup: int, interrupted: int = 0) -> None:
        self._seed = seed
        self._startup = startup
        self._interrupted = interrupted
        self._made: tuple[int, BaseSampler] | None = None

    def _of(self, number: int) -> BaseSampler:
        if self._made is None or self._made[0] != number:
            seed = int(np.random.SeedSequence([self._seed, number - self._interrupted]).generate_state(1)[0])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # experimental arguments
                made = TPESampler(
                    seed=seed, n_startup_trials=self._startup, multivariate=True, constant_liar=True, n_ei_candidates=48
                )
            self._made = number, made
        return self._made[1]

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
        """Return the values that are drawn together.

        Parameters
        ----------
        study : object
            The library's study.
        trial : object
            A trial of the library.

        Returns
        -------
        object
        """
        return self._of(trial.number).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        """Draw values together.

        Parameters
        ----------
        study : object
            The library's study.
        trial : object
            A trial of the library.
        search_space : object
            Distributions by name.

        Returns
        -------
        object
        """
        return self._of(trial.number).sample_relative(study, trial, search_space)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """Draw one value.

        Parameters
        ----------
        study : object
            The library's study.
        trial : object
            A trial of the library.
        param_name : str
            Dotted name.
        param_distribution : object
            Its distribution.

        Returns
        -------
        object
        """
        return self._of(trial.number).sample_independent(study, trial, param_name, param_distribution)


class ExploringSampler(NumberedSampler):
    """Draws at random: for trials that would repeat another."""

    def _of(self, number: int) -> BaseSampler:
        seeds = np.random.SeedSequence([self._seed, number - self._interrupted, 1])
        return RandomSampler(seed=int(seeds.generate_state(1)[0]))


def reused(number: int, tried: Iterable[Any], options: TuneOptions) -> dict[str, Value]:
    """Return the values that a trial takes over from the best so far: those that its mock-grown trees depend on.

    Parameters
    ----------
    number : int
        Number of trials so far.
    tried : iterable of FrozenTrial
        All trials.
    options : TuneOptions
        How often, and from when.

    Returns
    -------
    dict of str to Value
    """
    if not options.reuse_every or number < options.startup or number % options.reuse_every:
        return {}
    whole = [one for one in tried if one.state == TrialState.COMPLETE]
    if not whole:
        return {}
    best = min(whole, key=lambda one: (one.values[0], one.number))
    return {name: value for name, value in best.params.items() if name.startswith(_MOCK_GROWN)}
