"""Registries: the things of one kind that the package knows by name, each in a file of its own."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from importlib import metadata
from typing import Generic, TypeVar

from .errors import ConfigError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind, imported when they are first asked for.

    A name is known if something was registered under it, if a module of that name stands in `folder`,
    or if an installed distribution has an entry point of that name in the group `jpas_gbm.<last part
    of folder>`. The module or entry point registers its thing when it is imported.

    Parameters
    ----------
    kind : str
        What the things are, for messages.
    folder : str
        Sub-package that holds one module for each, as a dotted path within the package.
    """

    def __init__(self, kind: str, folder: str) -> None:
        self.kind = kind
        self._package = f"jpas_gbm.{folder}"
        self._group = f"jpas_gbm.{folder.rsplit('.', 1)[-1]}"
        self._things: dict[str, T] = {}

    def __repr__(self) -> str:
        return f"Registry({self.kind}: {', '.join(self.names())})"

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that makes a thing known under `name`.

        Parameters
        ----------
        name : str

        Returns
        -------
        callable
            Gives back what it decorates.

        Raises
        ------
        ConfigError
            If another thing has that name.
        """

        def add(thing: T) -> T:
            if name in self._things:
                raise ConfigError(f"there are two {self.kind}s of the name '{name}': rename one.")
            self._things[name] = thing
            return thing

        return add

    def unregister(self, name: str) -> None:
        """Forget what was registered under `name`, if anything was.

        Parameters
        ----------
        name : str
        """
        self._things.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """Return every known name, sorted; nothing is imported.

        Returns
        -------
        tuple of str
        """
        installed = {point.name for point in metadata.entry_points(group=self._group)}
        return tuple(sorted({*self._things, *self._modules(), *installed}))

    def _modules(self) -> set[str]:
        """Return the names of the modules in the folder, whose __init__ should be empty; those with a _ are helpers."""
        names = {module.name for module in pkgutil.iter_modules(importlib.import_module(self._package).__path__)}
        return {name for name in names if not name.startswith("_")}

    def check(self, name: str) -> str:
        """Return `name` if it is known; nothing is imported.

        Parameters
        ----------
        name : str

        Returns
        -------
        str

        Raises
        ------
        ConfigError
            If it is not; the nearest known name is told.
        """
        if name in self._things or name in self._modules() or name in self.names():
            return name
        known = self.names()
        raise ConfigError(f"there is no {self.kind} '{name}'.{did_you_mean(name, known)} Allowed: {', '.join(known)}.")

    def get(self, name: str) -> T:
        """Return the thing of a name, importing its module if need be.

        Parameters
        ----------
        name : str

        Returns
        -------
        object

        Raises
        ------
        ConfigError
            If there is none, or its module registers nothing of that name.
        """
        self.check(name)
        if name not in self._things:
            if name in self._modules():
                importlib.import_module(f"{self._package}.{name}")
            else:
                next(iter(metadata.entry_points(group=self._group, name=name))).load()
        if name not in self._things:
            raise ConfigError(
                f"the module of the {self.kind} '{name}' registers nothing of that name: decorate its class with "
                f"register('{name}')."
            )
        return self._things[name]
