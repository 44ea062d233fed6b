"""How a result was made: versions, seed, options and the checksums of what went in."""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from . import __version__
from .files import sha256

_LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "lightgbm", "xgboost-cpu", "xgboost", "astropy", "optuna")


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries whose behaviour a result depends on."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def provenance(
    *,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    inputs: Iterable[str | Path] = (),
    **more: Any,
) -> dict[str, Any]:
    """Describe how a result is being made, as a dictionary that JSON can hold.

    Parameters
    ----------
    seed : int, optional
        The seed that every random stream of the run was spawned from.
    options : mapping, optional
        The resolved options.
    inputs : iterable of path
        Files that were read; each is named (without its folder) with its SHA-256.
    **more
        Anything else worth recording.
    """
    return {
        "software": "jpas-gbm",
        "version": __version__,
        "python": platform.python_version(),
        "libraries": library_versions(),
        "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "options": dict(options or {}),
        "inputs": {Path(path).name: sha256(path) for path in inputs},
        **more,
    }
