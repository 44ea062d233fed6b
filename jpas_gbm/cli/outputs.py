"""Where results go: refused before any work is done, where something else would be lost."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import OutputError
from ..files import refuse_existing

HEADS = {
    "model": "model.json",
    "data set": "dataset.json",
    "evaluation": "metrics.json",
    "explanation": "explanation.json",
    "simulated survey": "shift.json",
    "study": "study.json",
}
"""The file that tells a folder of each kind."""

Inputs = Iterable[str | None]


def claim_folder(out: str, kind: str, overwrite: bool, inputs: Inputs = ()) -> None:
    """Refuse a folder that cannot be made, or whose replacement would destroy something else.

    Parameters
    ----------
    out : str
        The folder wanted.
    kind : str
        What will be in it, one of :data:`HEADS`: with `overwrite`, only a folder of that kind is replaced.
    overwrite : bool
        Whether a folder that is there may be replaced.
    inputs : iterable of str or None
        Files and folders that are read.

    Raises
    ------
    OutputError
        If it exists and may not be replaced, is or holds an input, is of another kind, or cannot be made.
    """
    path = _claim(out, overwrite, inputs)
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(f"{out}: is a file, and the {kind} is a folder. Give another --out.")
    if any(path.iterdir()) and not (path / HEADS[kind]).is_file():
        raise OutputError(
            f"{out}: holds other things than a {kind} (there is no {HEADS[kind]}), and --overwrite would destroy them. "
            "Give another --out, or remove the folder yourself."
        )


def claim_file(out: str, overwrite: bool, inputs: Inputs = ()) -> None:
    """Refuse a file that cannot be made, or whose replacement would destroy something else.

    As :func:`claim_folder`, for a file.
    """
    path = _claim(out, overwrite, inputs)
    if path.is_dir():
        raise OutputError(f"{out}: is a folder, and a file is to be written. Name a file in it.")


def claim_room(out: str) -> None:
    """Refuse a folder that results cannot be put into: it cannot be made, or belongs to another result.

    Raises
    ------
    OutputError
        If it is a file, holds a result of another kind, or cannot be made.
    """
    path = place_named(out)
    if path.exists() and not path.is_dir():
        raise OutputError(f"{out}: is a file, and the results are a folder. Give another --out.")
    for kind, head in HEADS.items():
        if (path / head).is_file():
            raise OutputError(f"{out}: is the folder of a {kind} ({head}). Give another --out.")
    _check_parent(path)


def _claim(out: str, overwrite: bool, inputs: Inputs) -> Path:
    path = place_named(out)
    refuse_existing(path, overwrite)
    _check_parent(path)
    place = path.resolve()
    if path.exists():
        here = Path.cwd().resolve()
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


def place_named(out: str) -> Path:
    """Return the place that a word names.

    Raises
    ------
    OutputError
        If it is empty: it would be the folder that one is in.
    """
    if not out.strip():
        raise OutputError("--out is empty. Name where the result goes.")
    return Path(out)


def _check_parent(path: Path) -> None:
    """Refuse a path below a file, or below a folder that may not be written to."""
    parent = next((one for one in path.absolute().parents if one.exists()), None)
    if parent is None:
        return
    if not parent.is_dir():
        raise OutputError(f"{path}: {parent} is a file, so nothing can be made in it. Give another --out.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: you may not write to {parent}. Give another --out.")
