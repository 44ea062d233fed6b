"""Groups of features: what a group declares, and the registry that the recipe loops over.

A group is one file in ``features/groups/`` (or in any module that is imported before a recipe is built)::

    @feature_group("tilt", order=55)
    def tilt(setting: Setting) -> Iterator[FeaturePart]:
        if "tilt" in setting.options.more:
            yield Tilt(setting.bands)

where ``Tilt`` is a :class:`FeaturePart`. Nothing else has to be changed: the recipe, the model folder and the
explanations know names, bands and group from the parts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError
from ..options import FeatureOptions
from ..surveys.bands import BandSystem
from ..surveys.catalogue import Catalogue
from . import groups
from .photospectra import Spectra, narrow_sequence

if TYPE_CHECKING:
    from .templates import TemplateSet


Shares = Iterable[tuple[Iterable[str], float]]
"""Sets of bands and the share of a feature that each set has; the shares add up to 1."""


class FeaturePart(ABC):
    """Some features of one group.

    Attributes
    ----------
    names : tuple of str
        Names of the f features; each begins with the name of the group.
    weights : array of float64, shape (f, b)
        What part of each feature belongs to each band: rows sum to 1, or to 0 where a feature belongs to no band.
    """

    names: tuple[str, ...]
    weights: np.ndarray

    @abstractmethod
    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Compute the features of some rows, each row from its own numbers alone.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Filled; NaN where a feature is missing, never infinite.
        """

    def declare(self, bands: BandSystem, features: Iterable[tuple[str, Shares]]) -> None:
        """Set `names` and `weights`: each set of bands divides its share evenly.

        Parameters
        ----------
        bands : BandSystem
            The b bands.
        features : iterable of (str, shares)
            Name of each feature, and the sets of bands that it belongs to with their shares.
        """
        entries = list(features)
        self.names = tuple(name for name, _ in entries)
        self.weights = np.zeros((len(entries), len(bands)))
        for row, (_, shares) in zip(self.weights, entries, strict=True):
            for names, share in shares:
                columns = bands.indices(names)
                row[columns] += share / len(columns)


class FittedPart(FeaturePart):
    """Features that need whole rows and something learnt; made before the others, whose bands they may blank."""

    @abstractmethod
    def compute_rows(self, rows: Catalogue, out: np.ndarray, threads: int) -> Catalogue:
        """Compute the features of all rows.

        Parameters
        ----------
        rows : Catalogue
            n rows.
        out : array of float32, shape (n, f)
            Filled.
        threads : int
            Rows are shared out among so many threads.

        Returns
        -------
        Catalogue
            The rows that the other features see: bands that cannot be right are missing there.
        """

    def compute(self, spectra: Spectra, out: np.ndarray) -> None:
        """Refuse: these features are made by :meth:`compute_rows`.

        Parameters
        ----------
        spectra : Spectra
            n rows.
        out : array of float32, shape (f, n)
            Would be filled.
        """
        raise NotImplementedError("these features are made of whole rows: call compute_rows")


@dataclass(frozen=True)
class Setting:
    """What a recipe knows when its groups say which features they have.

    Parameters
    ----------
    bands : BandSystem
        The b bands.
    options : FeatureOptions
        The switches.
    has_errors, has_imaging : bool
        What every catalogue will have.
    templates : TemplateSet, optional
        The template bases, where they are learnt.
    """

    bands: BandSystem
    options: FeatureOptions
    has_errors: bool = True
    has_imaging: bool = True
    templates: TemplateSet | None = None

    @cached_property
    def sequence(self) -> tuple[str, ...]:
        """The narrow bands by rising wavelength, or nothing where they are too few for a photo-spectrum."""
        return narrow_sequence(self.bands)

    @property
    def lean(self) -> bool:
        """Whether groups that add nothing to template features step aside."""
        templates = self.templates
        asked = set(self.options.template_ranks)
        return self.options.lean and templates is not None and asked <= set(templates.ranks)


Maker = Callable[[Setting], Iterable[FeaturePart]]

_REGISTRY: dict[str, tuple[int, Maker]] = {}


def feature_group(name: str, *, order: int = 80) -> Callable[[Maker], Maker]:
    """Register a group of features; decorates the function that makes its parts.

    Parameters
    ----------
    name : str
        Name of the group, with which the names of its features begin.
    order : int
        Groups stand in this order in a recipe.

    Returns
    -------
    callable
        The decorator. What it decorates takes a :class:`Setting` and yields the :class:`FeaturePart` that the
        options ask for and the bands allow.

    Raises
    ------
    ConfigError
        If there is such a group already.
    """

    def register(maker: Maker) -> Maker:
        if name in _REGISTRY:
            raise ConfigError(f"there is a group of features '{name}' already: register yours under another name.")
        _REGISTRY[name] = (order, maker)
        return maker

    return register


def feature_groups() -> dict[str, Maker]:
    """Return what makes the features of each group, in the order of a recipe; finds the files in ``groups/``.

    Returns
    -------
    dict of str to callable
        From the name of a group to what makes its parts.
    """
    for module in iter_modules(groups.__path__):
        import_module(f"{groups.__name__}.{module.name}")
    return {name: maker for name, (_, maker) in sorted(_REGISTRY.items(), key=lambda item: item[1][0])}
