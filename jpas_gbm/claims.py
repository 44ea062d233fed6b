"""Where results go: refused before any work is done where something else would be lost.

Each verb claims its outputs first. What is written later, in :mod:`jpas_gbm.atomic`, is checked again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .atomic import clear_leftovers, real_place, refuse_existing, refuse_other_kind
from .errors import OutputError

HEADS = {
    "model": "model.json",
    "data set": "dataset.json",
    "evaluation": "metrics.json",
    "explanation": "explanation.json",
    "simulated survey": "shift.json",
    "mocks": "mocks.json",
    "study": "study.json",
    "fetched sky": "fetch.json",
}
"""The file that tells a folder of each kind."""

Inputs = Iterable[str | Path | None]


def claim_folder(out: str | Path, kind: str, overwrite: bool, inputs: Inputs = ()) -> Path:
    """Refuse a folder that cannot be made, or whose replacement would destroy something else.

    What a run that was killed left beside it is cleared first.

    Parameters
    ----------
    out : path
        The folder wanted.
    kind : str
        What will be in it, one of :data:`HEADS`: with `overwrite`, only a folder of that kind is replaced.
    overwrite : bool
        Whether a folder that is there may be replaced.
    inputs : iterable of path or None
        Files and folders that are read.

    Returns
    -------
    Path
        The folder wanted.

    Raises
    ------
    OutputError
        If it exists and may not be replaced, is or holds an input, is of another kind, or cannot be made.
    """
    path = _claim(out, overwrite, inputs, directory=True)
    if path.exists() and any(path.iterdir()) and not (path / HEADS[kind]).is_file():
        raise OutputError(
            f"{out}: holds other things than a {kind} (there is no {HEADS[kind]}), and --overwrite would destroy them. "
            "Give another --out, or remove the folder yourself."
        )
    return path


def claim_file(out: str | Path, overwrite: bool, inputs: Inputs = ()) -> Path:
    """Refuse a file that cannot be made, or whose replacement would destroy something else.

    Parameters
    ----------
    out : path
        The file wanted.
    overwrite, inputs
        As for :func:`claim_folder`.

    Returns
    -------
    Path
        The file wanted.

    Raises
    ------
    OutputError
        As for :func:`claim_folder`.
    """
    return _claim(out, overwrite, inputs, directory=False)


def claim_room(out: str | Path) -> Path:
    """Refuse a folder that results cannot be put into: it cannot be made, or belongs to another result.

    Parameters
    ----------
    out : path
        The folder wanted; it may exist.

    Returns
    -------
    Path
        The folder wanted.

    Raises
    ------
    OutputError
        If it is a file, holds a result of another kind, or cannot be made.
    """
    path = place_named(out)
    refuse_other_kind(real_place(path), directory=True)
    for kind, head in HEADS.items():
        if (path / head).is_file():
            raise OutputError(f"{out}: is the folder of a {kind} ({head}). Give another --out.")
    _check_parent(path)
    return path


def place_named(out: str | Path) -> Path:
    """Return the place that a word names.

    Parameters
    ----------
    out : path

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If it is empty: it would be the folder that one is in.
    """
    if not str(out).strip():
        raise OutputError("--out is empty. Name where the result goes.")
    return Path(out)


def _claim(out: str | Path, overwrite: bool, inputs: Inputs, directory: bool) -> Path:
    path = place_named(out)
    clear_leftovers(path)
    refuse_existing(path, overwrite)
    _check_parent(path)
    refuse_other_kind(real_place(path), directory)
    place, here = path.resolve(), Path.cwd().resolve()
    if not place.exists():
        return path
    if place == here or place in here.parents:
        raise OutputError(f"--out {out}: is or holds the folder that you are in. Give another --out.")
    for name in inputs:
        known = None if name is None else Path(name).resolve()
        if known is not None and (known == place or place in known.parents):
            raise OutputError(
                f"--out {out}: {'is' if known == place else 'holds'} {name}, which is read: --overwrite would "
                "destroy it. Give another --out."
            )
    return path


def _check_parent(path: Path) -> None:
    """Refuse a path below a file, or below a folder that may not be written to."""
    parent = next((above for above in path.absolute().parents if above.exists()), None)
    if parent is None:
        return
    if not parent.is_dir():
        raise OutputError(f"{path}: {parent} is a file, so nothing can be made in it. Give another --out.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: you may not write to {parent}. Give another --out.")
