"""RowsCache: features, bins and boosters made once and shared by the trials that need the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...config import FeatureOptions, FitOptions, override
from ...features.recipe import FeatureRecipe
from ...survey.dataset import Dataset
from ..checks import check_rows
from ..journal import Journal
from ..regimes import get_regime
from ..rows import Rows, TrainingRows, make_rows
from ..streams import Streams
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
        """Return what is kept under a key, made now if it is not there."""
        if key not in self:
            self[key] = make()
        return self[key]


def widest(space: Space, features: FeatureOptions) -> FeatureOptions:
    """Return feature options that include those of every trial of a space.

    The groups that a trial leaves out are then columns not taken, instead of features made anew.
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
    """
    wide = rows.recipe
    recipe = FeatureRecipe.build(wide.bands, options, wide.has_errors, wide.has_imaging)
    if options.templates and wide.templates is not None:
        recipe = replace(recipe, templates=wide.templates)
    place = {name: i for i, name in enumerate(wide.names)}
    if not set(recipe.names) <= set(place):
        return None
    columns = np.array([place[name] for name in recipe.names])
    same = recipe.names == wide.names

    def narrow(part: Rows | None) -> Rows | None:
        return part if part is None or same else replace(part, X=np.ascontiguousarray(part.X[:, columns]))

    return replace(
        rows,
        recipe=recipe,
        source_train=narrow(rows.source_train),
        source_val=narrow(rows.source_val),
        target_train=narrow(rows.target_train),
        target_val=narrow(rows.target_val),
        unlabelled=narrow(rows.unlabelled),
        bare=narrow(rows.bare),
    )


def thin_mocks(rows: TrainingRows, share: float, seed: int) -> TrainingRows:
    """Return the rows with a share of the objects among the mocks; all rows of an object go together."""
    if share >= 1:
        return rows

    def thin(part: Rows | None) -> Rows | None:
        if part is None:
            return None
        objects = np.unique(part.groups)
        kept = np.random.default_rng(seed).permutation(objects)[: max(2, round(share * len(objects)))]
        return part.take(np.isin(part.groups, kept))

    return replace(rows, source_train=thin(rows.source_train), source_val=thin(rows.source_val))


@dataclass
class RowsCache:
    """The rows of the trials of one study, in one process.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    space : Space
        What trials may vary: decides which features are made ahead.
    streams : Streams
        The random streams of a fit with the study's seed.
    threads : int
        Threads of the feature kernels.
    """

    dataset: Dataset
    space: Space
    streams: Streams
    threads: int
    _wide: Recent = field(default_factory=lambda: Recent(4))
    _narrow: Recent = field(default_factory=lambda: Recent(8))

    def rows(self, options: FitOptions, share: float, journal: Journal) -> tuple[TrainingRows, Recent]:
        """Return the rows of a trial, and the trainings on them that are kept.

        Parameters
        ----------
        options : FitOptions
            Features, sky options and regime count.
        share : float
            Share of the mocks.
        journal : Journal
            Gets an entry per part that is made now.
        """
        key = (options.features, options.sky, share)

        def make() -> tuple[TrainingRows, Recent]:
            features = widest(self.space, options.features)
            whole = self._wide_rows(features, options, journal)
            narrow = take_columns(thin_mocks(whole, share, self.streams.trees), options.features)
            if narrow is None:
                narrow = thin_mocks(self._wide_rows(options.features, options, journal), share, self.streams.trees)
            return narrow, Recent(48)

        found: tuple[TrainingRows, Recent] = self._narrow.once(key, make)
        return found

    def _wide_rows(self, features: FeatureOptions, options: FitOptions, journal: Journal) -> TrainingRows:
        regime = get_regime(options.regime)
        wide = override(options, features=features.model_dump())

        def make() -> TrainingRows:
            rows = make_rows(self.dataset, regime, wide, self.streams.rows(), self.threads, journal)
            check_rows(rows, regime, wide, journal)
            return replace(rows, bare=None)

        found: TrainingRows = self._wide.once((features, options.sky), make)
        return found
