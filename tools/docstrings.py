"""Check that all that is public in the package is documented: numpydoc's own validation, run over everything.

    python tools/docstrings.py [PREFIX ...]        # a line for each fault; all of it, or what lies below the prefixes

Functions, classes, methods and properties are looked at where they are defined. Each has a docstring with a summary,
its parameters with a type and a word on each, and what it returns or yields. A method owes nothing that the same
method of a base class in the package documents; models may describe their fields instead; an enumeration, and a
class that adds nothing to the constructor of its base, has no parameters of its own.
"""

import enum
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from numpydoc.validate import validate
from pydantic import BaseModel

import jpas_gbm

CHECKS = {"GL08", "SS03", "PR01", "PR02", "PR03", "RT01", "YD01"}
"""No docstring; no full stop; parameters missing, unknown, in another order; no Returns; no Yields."""

OPTIONAL = {"jpas_gbm.boosting.backends.catboost": "catboost"}
"""Modules that need a library that may be missing."""


def modules() -> Iterator[Any]:
    """Yield the modules of the package that can be imported here."""
    for found in pkgutil.walk_packages(jpas_gbm.__path__, "jpas_gbm."):
        lacking = found.name in OPTIONAL and importlib.util.find_spec(OPTIONAL[found.name]) is None
        if not found.name.endswith("__main__") and not lacking:
            yield importlib.import_module(found.name)


def public(module: Any) -> Iterator[tuple[str, Any, type | None]]:
    """Yield the full name, the object, and the class around it, of all that is public in a module."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing):
            yield f"{module.__name__}.{name}", thing, None
        elif inspect.isclass(thing):
            yield f"{module.__name__}.{name}", thing, None
            for inner, part in vars(thing).items():
                named = not inner.startswith("_") and getattr(part, "__name__", inner) == inner
                if named and isinstance(part, FunctionType | staticmethod | classmethod | property):
                    yield f"{module.__name__}.{name}.{inner}", part, thing


def inherits(name: str, owner: type) -> bool:
    """Return whether a base class of the package declares a method of this name, and so documents it."""
    return any(name in vars(base) for base in owner.__mro__[1:] if base.__module__.startswith("jpas_gbm."))


def described_elsewhere(thing: type) -> bool:
    """Return whether a class has no parameters of its own: an enumeration, or one made as its base is."""
    own = "__init__" in vars(thing) or inspect.get_annotations(thing)
    return issubclass(thing, enum.Enum) or (thing.__mro__[1] is not object and not own)


def known(thing: Any, code: str) -> set[str]:
    """Return the names of parameters of which numpydoc's verdict does not hold."""
    if not inspect.isclass(thing):
        return {"cls"} if code == "PR02" else set()
    annotated = {name for base in thing.__mro__ for name in inspect.get_annotations(base)}
    if code == "PR02":  # names behind an alias, and those of a TypedDict, are not in a signature
        return annotated
    private = {name for name in annotated if name.startswith("_")}
    fields = thing.model_fields.items() if issubclass(thing, BaseModel) else ()
    own = {name for base in thing.__mro__[1:] for name in inspect.get_annotations(base)}
    private |= own
    for name, field in fields:
        inner = field.annotation
        named = re.search(rf"^ +(\w+, )*{name}(, \w+)* :", thing.__doc__ or "", re.MULTILINE)
        if field.description or (named and field.alias) or (inspect.isclass(inner) and issubclass(inner, BaseModel)):
            private |= {name, field.alias or name}
    return private


def faults(name: str, thing: Any, owner: type | None) -> Iterator[str]:
    """Yield what the docstring of one object lacks."""
    if owner is not None and inherits(name.rpartition(".")[2], owner):
        return
    for code, message in validate(name)["errors"]:
        if code not in CHECKS:
            continue
        if code.startswith("PR") and inspect.isclass(thing) and described_elsewhere(thing):
            continue
        if code in ("PR01", "PR02"):
            names = set(re.findall(r"'\**(\w+)'", message)) - known(thing, code)
            if not names:
                continue
            message = f"{message.split('{')[0]}{', '.join(sorted(names))}"
        yield f"{code} {message}"


def main() -> int:
    """Print the faults; return 1 if there is one."""
    prefixes = tuple(f"jpas_gbm.{word}" for word in sys.argv[1:]) or ("jpas_gbm",)
    seen, found = 0, 0
    for module in modules():
        for name, thing, owner in public(module):
            if name.startswith(prefixes):
                seen += 1
                for fault in faults(name, thing, owner):
                    found += 1
                    print(f"{name}: {fault}")
    print(f"{seen} public functions, classes, methods and properties: {found or 'no'} faults in their docstrings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
