"""Shared rows: features, bins and trainings that the trials of a study in one process make once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..adaptation.folds import check_rows
from ..adaptation.regimes import get_regime
from ..adaptation.rows import Rows, TrainingRows, make_rows
from ..config import override
from ..features.recipe import FeatureRecipe
from ..options import FeatureOptions, FitOptions
from ..run import Run
from ..surveys.dataset import Dataset
from .space import Space

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
    switched = {}
    for name in _SWITCHES:
        entry = space.entries.get(f"features.{name}")
        ever = getattr(space.base.features, name) or (entry is not None and True in entry.choices)
        switched[name] = ever or getattr(features, name)
    lean = space.entries.get("features.lean")
    switched["lean"] = space.base.features.lean and features.lean and (lean is None or False not in lean.choices)
    entry = space.entries.get("features.colours")
    spacings = set(space.base.features.colours) | set(features.colours)
    for choice in entry.choices if entry is not None else ():
        spacings |= set(choice)
    return override(features, colours=tuple(sorted(spacings)), **switched)


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
        regime = get_regime(options.regime)
        wide = override(options, features=features.model_dump())

        def make() -> TrainingRows:
            rows = make_rows(self.dataset, regime, wide, run)
            check_rows(rows, regime, run)
            return replace(rows, bare=None)

        rows: TrainingRows = self._wide.once((features, options.sky), make)
        return rows
