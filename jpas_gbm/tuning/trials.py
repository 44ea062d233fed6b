"""The trials of a study: how their values are drawn, how each ended, the rows and trainings that they share."""

from __future__ import annotations

import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from ..adaptation.fit import prepare_rows
from ..adaptation.rows import Rows, TrainingRows
from ..config import override
from ..features.recipe import FeatureRecipe
from ..options import FeatureOptions, FitOptions, TuneOptions, Value
from ..run import Run
from ..surveys.dataset import Dataset
from .result import COUNTED, Trial
from .space import Space

if TYPE_CHECKING:
    import pandas as pd


FEWEST_FOR_IMPORTANCE = 8


def outcome(trial: FrozenTrial) -> str:
    """Return complete, pruned, failed, interrupted, repeated, surplus, running or waiting.

    Parameters
    ----------
    trial : FrozenTrial
        A trial of the library.

    Returns
    -------
    str
    """
    if trial.state != TrialState.FAIL:
        return str(trial.state.name.lower())
    return str(trial.user_attrs.get("outcome", "interrupted"))


def trial_table(trials: Sequence[FrozenTrial], space: Space, metrics: Sequence[str]) -> pd.DataFrame:
    """Return one row per trial that was begun: outcome, losses, losses of each step, figures, values.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        All trials of the study.
    space : Space
        What the study varies.
    metrics : sequence of str
        Names of the study's figures.

    Returns
    -------
    pd.DataFrame
    """
    import pandas as pd

    rows = []
    for trial in trials:
        kind, attrs = outcome(trial), trial.user_attrs
        if kind == "waiting":
            continue
        values = trial.values if kind == "complete" else [None] * len(metrics)
        row: dict[str, Any] = {"trial": trial.number, "outcome": kind}
        row |= {f"loss_{name}": value for name, value in zip(metrics, values, strict=True)}
        row |= {f"step_{step}": loss for step, loss in attrs.get("steps", {}).items()}
        row |= attrs.get("figures", {})
        row |= {name: attrs.get(name) for name in ("candidate", "seconds", "reason", "worker")}
        row |= {f"value:{name}": trial.params.get(name) for name in space.entries}
        rows.append(row)
    return pd.DataFrame(rows)


def trial_history(trials: Sequence[FrozenTrial]) -> tuple[Trial, ...]:
    """Return each trial's losses, values and the best loss so far, in order.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        All trials of the study.

    Returns
    -------
    tuple of Trial
    """
    history: list[Trial] = []
    best: float | None = None
    for trial in trials:
        kind, attrs = outcome(trial), trial.user_attrs
        if kind not in COUNTED:
            continue
        losses = tuple(trial.values) if kind == "complete" else None
        if losses is not None:
            best = losses[0] if best is None else min(best, losses[0])
        steps, seconds = attrs.get("steps", {}), attrs.get("seconds")
        history.append(Trial(trial.number, kind, losses, steps, best, seconds, dict(trial.params)))
    return tuple(history)


def importances(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Return each option's share of the variance of the loss on the first step, largest first.

    By functional ANOVA (Hutter et al. 2014, ICML) over all trials, those given up included: those that
    did all the work are too few and too alike. Empty if there are fewer than 8.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        All trials of the study.

    Returns
    -------
    dict of str to float
    """
    scored = [
        t for t in trials if outcome(t) in ("complete", "pruned") and "0" in t.user_attrs.get("steps", {}) and t.params
    ]
    if len(scored) < FEWEST_FOR_IMPORTANCE:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bare = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for t in scored:
            value = t.user_attrs["steps"]["0"]
            bare.add_trial(optuna.trial.create_trial(value=value, params=t.params, distributions=t.distributions))
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        shares = optuna.importance.get_param_importances(bare, evaluator=evaluator)
    return {name: float(value) for name, value in shares.items()}


def outcome_counts(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """Return how many trials ended each way.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        All trials of the study.

    Returns
    -------
    dict of str to int
    """
    return dict(Counter(outcome(trial) for trial in trials if outcome(trial) != "waiting"))


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


_SWITCHES = ("fluxes", "snr", "ratios", "lines", "templates", "imaging")


class Recent(OrderedDict[Hashable, Any]):
    """A dictionary that keeps the entries used last.

    Parameters
    ----------
    size : int
        How many entries it keeps.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __getitem__(self, key: Hashable) -> Any:
        self.move_to_end(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Hashable, value: Any) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._size:
            self.popitem(last=False)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what is kept under a key, made now if it is not there.

        Parameters
        ----------
        key : Hashable
            Hashable.
        make : callable
            Makes the thing.

        Returns
        -------
        object
        """
        if key not in self:
            self[key] = make()
        return self[key]


def widest(space: Space, features: FeatureOptions) -> FeatureOptions:
    """Return feature options that include those of every trial of a space.

    The groups that a trial leaves out are then columns not taken, instead of features made anew.

    Parameters
    ----------
    space : Space
        What the study varies.
    features : FeatureOptions
        Of one trial.

    Returns
    -------
    FeatureOptions
    """
    switched = dict[str, Any]()
    for name in _SWITCHES:
        entry = space.entries.get(f"features.{name}")
        ever = getattr(space.base.features, name) or (entry is not None and True in entry.choices)
        switched[name] = ever or getattr(features, name)
    lean = space.entries.get("features.lean")
    switched["lean"] = space.base.features.lean and features.lean and (lean is None or False not in lean.choices)
    for name in ("colours", "lean_colours"):
        spacings = {*getattr(space.base.features, name), *getattr(features, name)}
        entry = space.entries.get(f"features.{name}")
        for choice in entry.choices if entry is not None else ():
            spacings |= set(choice)
        switched[name] = tuple(sorted(spacings))
    return override(features, **switched)


def take_columns(rows: TrainingRows, options: FeatureOptions) -> TrainingRows | None:
    """Return the rows with the features of narrower options, or None if they hold others.

    The result is the same bits as features made with those options: no feature looks at another.

    Parameters
    ----------
    rows : TrainingRows
        The rows of a fit.
    options : FeatureOptions
        Of the features wanted.

    Returns
    -------
    TrainingRows or None
    """
    wide = rows.recipe
    if options.optional is None:  # those that mocks and sky share, as the rows have them
        options = override(options, optional=wide.options.optional if options.imaging else ())
    recipe = FeatureRecipe.build(wide.bands, options, wide.has_errors, wide.has_imaging)
    if options.templates and wide.templates is not None:
        recipe = replace(recipe, templates=wide.templates)
    place = {name: i for i, name in enumerate(wide.names)}
    if not set(recipe.names) <= set(place):
        return None
    columns = np.array([place[name] for name in recipe.names])
    if recipe.names == wide.names:
        return replace(rows, recipe=recipe)
    return rows.map(lambda part: replace(part, X=np.ascontiguousarray(part.X[:, columns])), recipe=recipe)


def thin_mocks(rows: TrainingRows, share: float, seed: int) -> TrainingRows:
    """Return the rows with a share of the objects among the mocks; all rows of an object go together.

    Parameters
    ----------
    rows : TrainingRows
        The rows of a fit.
    share : float
        Share of the objects kept.
    seed : int
        Seed of the draw.

    Returns
    -------
    TrainingRows
    """
    if share >= 1:
        return rows

    def thin(part: Rows) -> Rows:
        objects = np.unique(part.groups)
        kept = np.random.default_rng(seed).permutation(objects)[: max(2, round(share * len(objects)))]
        return part.take(np.isin(part.groups, kept))

    return rows.map(thin, "source_train", "source_val")


@dataclass
class RowsCache:
    """The rows of the trials of one study, in one process: features, bins and boosters are made once and shared.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    space : Space
        What trials may vary: decides which features are made ahead.
    """

    dataset: Dataset
    space: Space
    _wide: Recent = field(default_factory=lambda: Recent(4))
    _narrow: Recent = field(default_factory=lambda: Recent(8))

    def rows(self, options: FitOptions, share: float, run: Run) -> tuple[TrainingRows, Recent]:
        """Return the rows of a trial, and the trainings on them that are kept.

        Parameters
        ----------
        options : FitOptions
            Features, sky options and regime count.
        share : float
            Share of the mocks.
        run : Run
            The same seed each time; its journal gets an entry per part that is made now.

        Returns
        -------
        rows : TrainingRows
        kept : Recent
        """

        def make() -> tuple[TrainingRows, Recent]:
            seed, features = run.tree_seed, widest(self.space, options.features)
            narrow = take_columns(thin_mocks(self._wide_rows(features, options, run), share, seed), options.features)
            if narrow is None:
                narrow = thin_mocks(self._wide_rows(options.features, options, run), share, seed)
            return narrow, Recent(48)

        rows: tuple[TrainingRows, Recent] = self._narrow.once((options.features, options.sky, share), make)
        return rows

    def _wide_rows(self, features: FeatureOptions, options: FitOptions, run: Run) -> TrainingRows:
        # Mocks are prepared as a fit of the study's own options would, whatever else a trial varies.
        boosting = self.space.base.boosting.model_dump()
        wide = override(options, features=features.model_dump(), boosting=boosting, crossfit=0)

        def make() -> TrainingRows:
            return replace(prepare_rows(self.dataset, wide, run).folds.first.rows, bare=None)

        rows: TrainingRows = self._wide.once((features, options.sky), make)
        return rows
