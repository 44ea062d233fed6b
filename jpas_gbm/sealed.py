"""Sealed folders, and files with companions: what was written, whole and unchanged, or an error that names the damage.

A sealed folder has a head, a JSON file such as ``model.json``::

    {"kind": "model", "format": 2, ..., "optional": {"shift": "shift.npz"},
     "files": {"card.json": {"size": 5120, "sha256": "..."}, ...}, "checksum": "..."}

``checksum`` is the SHA-256 of the head without it, as canonical JSON (sorted names, no spaces, UTF-8). ``files`` lists
every file of the folder, and what it does not list is not read. ``optional`` maps what a folder of this kind may have
to its file; a reader leaves out what it does not know, so that a later version may add to it without another format.

A file with a companion, such as ``list.fits`` with ``list.json``, is sealed the same way: the companion lists the file.
"""

from __future__ import annotations

import hashlib
import json
import math
import stat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

import numpy as np

from .errors import BundleError, ConfigError
from .store import Json, damage, dump_json, from_plain, head_checksum, read_json, sha256, to_plain

T = TypeVar("T")
_MEND = "make it again or restore it."


@dataclass(frozen=True)
class FileMark:
    """What a file is known again by.

    Parameters
    ----------
    sha256 : str
        Checksum as hexadecimal text.
    size : int, optional
        Bytes; older formats do not say.
    """

    sha256: str
    size: int | None = None

    @classmethod
    def of(cls, path: Path) -> FileMark:
        """Return the mark of a file.

        Parameters
        ----------
        path : Path

        Returns
        -------
        FileMark
        """
        return cls(sha256(path), path.stat().st_size)

    def fits(self, path: Path) -> bool:
        """Return whether a file is the one marked.

        Parameters
        ----------
        path : Path

        Returns
        -------
        bool
        """
        return self.size in (None, path.stat().st_size) and self.sha256 == sha256(path)


@dataclass(frozen=True)
class _Seal:
    """What every head has beside the record of its kind."""

    files: dict[str, FileMark]
    optional: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Form(Generic[T]):
    """What a sealed folder of one kind is.

    Parameters
    ----------
    kind : str
        What it holds, in words, such as ``model``.
    head : str
        Name of its head, such as ``model.json``.
    format : int
        Version that is written. It rises with a change that an older reader would misread; the reader of every older
        version is kept, and a folder of that version stays in the tests.
    record : type
        The dataclass of what the head says.
    remedy : str
        How to make such a folder, as a sentence.
    older : mapping of int to callable, optional
        For each older format, what turns its head into one of this format (the size of a file may be missing). Such
        heads have no checksum.
    """

    kind: str
    head: str
    format: int
    record: type[T]
    remedy: str
    older: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Sealed(Generic[T]):
    """A folder whose head and files were found whole.

    Parameters
    ----------
    folder : Path
    head : record
        What the head says.
    files : tuple of str
        Names of the files, relative to the folder.
    optional : mapping of str to str
        Files that a folder of this kind may have, by what they are.
    """

    folder: Path
    head: T
    files: tuple[str, ...]
    optional: Mapping[str, str]

    def path(self, name: str) -> Path:
        """Return the path of a listed file.

        Parameters
        ----------
        name : str
            Relative to the folder.

        Returns
        -------
        Path

        Raises
        ------
        BundleError
            If the head does not list it.
        """
        if name not in self.files:
            raise BundleError(f"{self.folder}: its head does not list {name}. The folder is incomplete: {_MEND}")
        return self.folder / name

    def arrays(self, part: str) -> dict[str, np.ndarray] | None:
        """Return the arrays of an optional ``.npz`` file, or None if this folder has none.

        Parameters
        ----------
        part : str
            Name in ``optional``.

        Returns
        -------
        dict of str to array, or None

        Raises
        ------
        BundleError
            If the file cannot be read.
        """
        if part not in self.optional:
            return None
        return read_arrays(self.path(self.optional[part]))


_ARRAY_KINDS = "biufSU"
_SMALL, _MOST_PACKED = 1 << 26, 100
"""Bytes of arrays that any file may hold, and how many times its size a larger one may."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` file; what their headers promise is checked before memory is asked for.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to array
        Of numbers and text.

    Raises
    ------
    BundleError
        If it is no such file, or holds something else.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is no regular file")
        with zipfile.ZipFile(path) as file:
            members = file.infolist()
            most = max(_SMALL, _MOST_PACKED * path.stat().st_size)
            if sum(member.file_size for member in members) > most:
                raise ValueError(f"it would unpack to more than {most:,} bytes")
            found = {member.filename.removesuffix(".npy"): _read_array(file, member) for member in members}
        if len(found) < len(members):
            raise ValueError("it holds two arrays of one name")
        return found
    except FileNotFoundError as error:
        raise BundleError(f"{path}: is missing. The folder is incomplete: {_MEND}") from error
    # Headers are Python literals within a compressed archive: there is no end to how they may be wrong.
    except Exception as error:
        raise BundleError(f"{path}: is damaged ({error}). The folder is incomplete: {_MEND}") from error


def _read_array(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with file.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"{member.filename} is of version {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        promised = math.prod(shape) * dtype.itemsize
        if dtype.kind not in _ARRAY_KINDS or min(shape, default=0) < 0 or promised > member.file_size:
            raise ValueError(f"{member.filename} is of type {dtype} and shape {shape} in {member.file_size:,} bytes")
    with file.open(member) as stream:
        array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):
            raise ValueError(f"{member.filename} goes on behind its array")
        return array


def _head_checksum(head: Mapping[str, Any]) -> str:
    return head_checksum({name: value for name, value in head.items() if name != "checksum"})


def _write_head(path: Path, head: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    marks = {name: to_plain(FileMark.of(place)) for name, place in files.items()}
    plain = json.loads(dump_json({**head, "files": marks}))
    path.write_text(dump_json({**plain, "checksum": _head_checksum(plain)}), encoding="utf-8")


def _read_head(path: Path) -> dict[str, Json]:
    head = read_json(path)
    if not isinstance(head, dict):
        raise BundleError(f"{path}: is damaged (it holds no mapping). Restore it, or make it again.")
    return head


def _check_head(path: Path, head: Mapping[str, Any]) -> None:
    if head.get("checksum") != _head_checksum(head):
        raise BundleError(f"{path} does not match its own checksum. The file was changed: {_MEND}")


def seal(folder: Path, form: Form[T], head: T, optional: Mapping[str, str] | None = None) -> None:
    """Write the head of a folder that is otherwise complete.

    Parameters
    ----------
    folder : Path
        As :func:`jpas_gbm.atomic.atomic_folder` gives it, with all its files.
    form : Form
        Its kind.
    head : record
        What the head says.
    optional : mapping of str to str, optional
        Files that a folder of this kind may have, by what they are.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    about = {"kind": form.kind, "format": form.format, **to_plain(head), "optional": dict(optional or {})}
    _write_head(folder / form.head, about, files)


def open_sealed(folder: str | Path, form: Form[T]) -> Sealed[T]:
    """Read the head of a folder and check it and every file that it lists.

    Parameters
    ----------
    folder : path
    form : Form
        The kind wanted.

    Returns
    -------
    Sealed
        The head and the names of the files.

    Raises
    ------
    BundleError
        If the folder is missing, incomplete, changed, of another kind or of a version that is not read.
    """
    folder = Path(folder)
    path = folder / form.head
    if not folder.is_dir():
        raise BundleError(f"{folder}: there is no such {form.kind} folder. {form.remedy}")
    if not path.is_file():
        raise BundleError(f"{folder}: is no {form.kind} folder (it has no {form.head}). {form.remedy}")
    head = _read_head(path)
    version = head.get("format")
    if not isinstance(version, int) or (version != form.format and version not in form.older):
        known = " and ".join(map(str, sorted({*form.older, form.format})))
        raise BundleError(
            f"{folder}: is a {form.kind} of format {version}, this version reads {known}. "
            f"Use the version that wrote it, or make it again. {form.remedy}"
        )
    try:
        if version == form.format:
            _check_head(path, head)
            if head["kind"] != form.kind:
                raise BundleError(f"{folder}: holds a {head['kind']}, not a {form.kind}. {form.remedy}")
        else:
            head = form.older[version](head)
        names, record = from_plain(_Seal, head), from_plain(form.record, head)
    except (KeyError, TypeError, AttributeError, ValueError, ConfigError) as error:
        raise BundleError(f"{path}: is damaged ({damage(error)}). Restore the folder, or make it again.") from error
    for name, mark in names.files.items():
        _check_file(folder, name, mark)
    return Sealed(folder, record, tuple(names.files), names.optional)


def _check_file(folder: Path, name: str, mark: FileMark) -> None:
    """Refuse a listed file that is not there, not the one listed, or no regular file of this folder."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or any(letter in name for letter in "\\:"):
        raise BundleError(f"{folder}: its head lists {name!r}, which is outside of the folder and is not read. {_MEND}")
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise BundleError(f"{path}: is a symbolic link and may lead out of the folder. Put the file itself there.")
    if not path.exists():
        raise BundleError(f"{path}: is missing. The folder is incomplete: {_MEND}")
    if not stat.S_ISREG(path.stat().st_mode):
        raise BundleError(f"{path}: is no regular file. The folder was changed: {_MEND}")
    if not mark.fits(path):
        raise BundleError(f"{path} does not match its checksum. The file was changed or truncated: {_MEND}")


def check_checksums(folder: str | Path, expected: Mapping[str, str]) -> None:
    """Compare files below a folder with checksums that were written beside them.

    Parameters
    ----------
    folder : path
    expected : mapping of str to str
        As :func:`jpas_gbm.store.folder_checksums` returned it.

    Raises
    ------
    BundleError
        If a file is missing, differs, or is no regular file of the folder.
    """
    for name, checksum in expected.items():
        _check_file(Path(folder), name, FileMark(checksum))


def seal_companion(path: Path, about: Mapping[str, object], *files: Path) -> None:
    """Write the JSON companion of finished files, with their checksums and its own.

    Parameters
    ----------
    path : Path
        Where the companion goes, as :func:`jpas_gbm.atomic.atomic_files` gives it.
    about : mapping
        What it says.
    *files : Path
        The files that it tells of.
    """
    _write_head(path, about, {file.name: file for file in files})


def read_companion(path: str | Path, *files: str | Path) -> dict[str, Json]:
    """Read a companion that :func:`seal_companion` wrote, or an older version before there were checksums.

    Parameters
    ----------
    path : path
        The companion.
    *files : path
        Files that it must belong to; they may have been renamed.

    Returns
    -------
    dict
        What it says.

    Raises
    ------
    BundleError
        If it is missing, was changed, or belongs to another file.
    """
    path = Path(path)
    about = _read_head(path)
    if "checksum" not in about:  # older versions tied companions to their files by name alone
        return about
    _check_head(path, about)
    try:
        marks = from_plain(_Seal, about).files.values()
    except ValueError as error:
        raise BundleError(f"{path}: is damaged ({damage(error)}). Restore it, or make it again.") from error
    for file in map(Path, files):
        if not any(mark.fits(file) for mark in marks):
            raise BundleError(
                f"{path}: does not belong to {file}. One of them was changed or is of another run: make both again."
            )
    return about


def as_bytes(value: Any) -> bytes:
    """Return what stands for a value in a checksum; text counts as text, however wide its characters are stored.

    Parameters
    ----------
    value : array, text, number or what has a ``to_dict``

    Returns
    -------
    bytes
    """
    if not isinstance(value, np.ndarray):
        return repr(value.to_dict() if hasattr(value, "to_dict") else value).encode()
    if value.dtype.kind in "OUS":
        return repr(value.astype(str).tolist()).encode()
    return f"{value.dtype.str}{value.shape}".encode() + hashlib.sha256(np.ascontiguousarray(value).data).digest()
