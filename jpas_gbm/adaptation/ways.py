"""Ways: the manners of using mocks and target labels that a fit may choose among.

A way is a class in one file: its name, its options, its candidates and how they train. An instance is a candidate, the
way with its values. :func:`register_way` makes it one that ``fit`` tries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Self, TypeVar

from ..boosting.backend import get_backend
from ..boosting.booster import Member, StagedBooster
from ..config import Options, parse_options
from ..errors import ConfigError, did_you_mean
from ..features.shift import TwinlessReport
from ..options import FitOptions
from .stages import Stages


class Way(ABC):
    """A manner of adapting; an instance is a candidate.

    Attributes
    ----------
    way : str
        Its name.
    recipes : tuple of str
        The values of the option ``recipe`` under which it is tried: ``auto`` tries all that name it.
    Own : type of Options
        Options of its own, given as ``ways: {name: {option: value}}``.
    """

    way: ClassVar[str]
    recipes: ClassVar[tuple[str, ...]] = ("auto",)
    Own: ClassVar[type[Options]] = Options

    @classmethod
    def candidates(cls, options: FitOptions, gammas: tuple[float, ...]) -> Sequence[Self]:
        """Return what a fit tries of this way; by default nothing.

        Parameters
        ----------
        options : FitOptions
            Of the fit.
        gammas : tuple of float
            Usable tempers of the importance weights of mocks.

        Returns
        -------
        sequence of Way
        """
        return ()

    @abstractmethod
    def members(self, stages: Stages) -> list[Member]:
        """Return the models of this candidate, trained now if they were not before.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        list of Member
        """

    @classmethod
    def own(cls, options: FitOptions) -> Options:
        """Return the way's own options out of those of a fit.

        Parameters
        ----------
        options : FitOptions
            Options of the fit.

        Returns
        -------
        Options

        Raises
        ------
        ConfigError
            If one is unknown or wrong.
        """
        return parse_options(cls.Own, dict(options.ways.get(cls.way, {})), f"ways.{cls.way}")

    @property
    def anchored(self) -> bool:
        """Whether labels that calibrate begin from what mocks and unlabelled rows say of its probabilities."""
        return True

    @property
    def name(self) -> str:
        """What it is, in a few characters: ``continue(gamma=0.25)``."""
        values = [(one.name, getattr(self, one.name)) for one in fields(self)]  # type: ignore[arg-type]
        words = (f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values)
        return f"{self.way}({', '.join(words)})" if values else self.way

    def plain(self, booster: StagedBooster) -> list[Member]:
        """Return the one member of a way that is a single booster over the features.

        Parameters
        ----------
        booster : StagedBooster
            The trees.

        Returns
        -------
        list of Member
        """
        return [Member("plain", booster, None, self.name)]


class OneBooster(Way):
    """A way that is a single booster over the features."""

    @abstractmethod
    def booster(self, stages: Stages) -> StagedBooster:
        """Return the trees, grown now if they were not before.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        StagedBooster
        """

    def members(self, stages: Stages) -> list[Member]:
        """Return the one booster.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        list of Member
        """
        return self.plain(self.booster(stages))


_WAYS: dict[str, type[Way]] = {}
W = TypeVar("W", bound=type[Way])


def register_way(way: W) -> W:
    """Add a way to those that ``fit`` tries, in place of another of its name; usable as a decorator.

    Parameters
    ----------
    way : type of Way
        The class.

    Returns
    -------
    type of Way
        The same.
    """
    _WAYS[way.way] = way
    return way


def recipes() -> list[str]:
    """Return the values that the option ``recipe`` may have.

    Returns
    -------
    list of str
    """
    return list(dict.fromkeys(recipe for way in _WAYS.values() for recipe in way.recipes))


def check_ways(options: FitOptions) -> None:
    """Refuse a recipe or a way that nobody registered, and a library that is not installed.

    Parameters
    ----------
    options : FitOptions
        Of the fit.

    Raises
    ------
    ConfigError
        With the nearest known name; or if an option of a way is unknown or wrong, or a library of trees is missing.
    """
    for name in {options.boosting.backend, *options.backends}:
        get_backend(name)
    for what, names, known in (("recipe", [options.recipe], recipes()), ("ways", options.ways, list(_WAYS))):
        for name in names:
            if name not in known:
                raise ConfigError(
                    f"option '{what}' has the unknown value '{name}'.{did_you_mean(name, known)} "
                    f"Allowed: {', '.join(known)}."
                )
    for name in options.ways:
        _WAYS[name].own(options)


def singles(options: FitOptions, gammas: tuple[float, ...]) -> list[Way]:
    """Return the adapting candidates that are no means, for the recipe of the options.

    Parameters
    ----------
    options : FitOptions
        Of the fit.
    gammas : tuple of float
        Usable tempers of the importance weights of mocks.

    Returns
    -------
    list of Way
        In the order of registration.
    """
    return [one for way in _WAYS.values() if options.recipe in way.recipes for one in way.candidates(options, gammas)]


@dataclass(frozen=True)
class Mean(Way):
    """The mean of the margins of other candidates, made of those that were scored (:func:`~.named_path.means`).

    Parameters
    ----------
    parts : tuple of Way
        The candidates that are averaged.
    """

    way = "mean"
    parts: tuple[Way, ...] = ()

    @property
    def anchored(self) -> bool:
        """Whether all parts are."""
        return all(part.anchored for part in self.parts)

    @property
    def name(self) -> str:
        """The names of the parts: ``mean[continue(gamma=0) + pool(weight=3)]``."""
        return f"mean[{' + '.join(part.name for part in self.parts)}]"

    def members(self, stages: Stages) -> list[Member]:
        """Return the members of all parts.

        Parameters
        ----------
        stages : Stages
            Rows, options and finished trainings.

        Returns
        -------
        list of Member
        """
        return [member for part in self.parts for member in part.members(stages)]


def ensemble(candidate: Way, stages: Stages) -> list[Member]:
    """Return the members of a candidate for every seed and library of the ensemble.

    Parameters
    ----------
    candidate : Way
        What was chosen.
    stages : Stages
        Rows, options and finished trainings.

    Returns
    -------
    list of Member
        By library, then seed.
    """
    options, seed = stages.options, stages.run.tree_seed
    backends = options.backends or (options.boosting.backend,)
    each = [stages.member(seed + 7919 * i, backend) for backend in backends for i in range(options.seeds)]
    return [member for one in each for member in candidate.members(one)]


def doubts_templates(stages: Stages) -> bool:
    """Say whether what unlabelled sky shows looks like errors of the templates, so that trees without them join.

    Parameters
    ----------
    stages : Stages
        Rows, and what was measured of the sky.

    Returns
    -------
    bool
    """
    found = stages.rows.measured
    return isinstance(found, TwinlessReport) and found.doubted and has_plain_trees(stages)


def has_plain_trees(stages: Stages) -> bool:
    """Say whether trees that see no templates may stand beside those that do.

    Parameters
    ----------
    stages : Stages
        Options and features.

    Returns
    -------
    bool
    """
    return stages.options.plain_member and stages.has_plain_features
