"""Files and folders that are written whole or not at all.

A result is made in a working folder beside its place, ``.NAME.xxxxxxxx.partial``, which holds a file that the process
has locked. When the result is whole it is flushed to the disk and moved into place in one step of the file system:

==================  ==========================================  ====================================================
\\                   a file                                      a folder
==================  ==========================================  ====================================================
nothing is there    hard link, which fails if a rival was first  rename, which fails if a rival was first
`overwrite`         ``os.replace``                              exchange of both folders (``renameat2`` of Linux)
==================  ==========================================  ====================================================

Where the platform or the file system cannot exchange folders, the old one is moved into the working folder first. A
kill between the two moves leaves it there, and the next run of the same output puts it back.

A lock ends with its process, however that ends. The next run of the same output therefore knows a working folder
that a dead run left, removes it and says so. Where the file system has no locks it is left alone.
A symbolic link as output is followed: the result stands where the link points, and the link stays.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .errors import OutputError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no such locks: leftovers stay there
    fcntl = None  # type: ignore[assignment]
log = logging.getLogger("jpas_gbm")
_LOCK, _OLD, _NEW = "lock", "old", "new"
_LONGEST, _PATIENCE = 200, 10.0  # letters of a name that the working folder repeats, of 255; seconds to wait for parts
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF)


def refuse_existing(path: str | Path, overwrite: bool) -> Path:
    """Return `path`, or raise if something stands there and may not be replaced.

    Parameters
    ----------
    path : path
    overwrite : bool

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If `path` exists and `overwrite` is false.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: already exists. Give another --out, or --overwrite to replace it.")
    return path


def _prefix(path: Path) -> str:
    return f".{path.name[:_LONGEST]}."


def lock_file(descriptor: int) -> bool | None:
    """Lock an open file, until it is closed or the process ends.

    Parameters
    ----------
    descriptor : int
        Of the open file.

    Returns
    -------
    bool or None
        False if another process has locked it; None if the file system has no locks.
    """
    if fcntl is None:  # pragma: no cover
        return None  # type: ignore[unreachable]
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def _working_folder(path: Path) -> Iterator[Path]:
    """Give a folder beside `path` that no other process touches; it is removed in the end."""
    with ExitStack() as stack:
        while True:
            folder = path.with_name(f"{_prefix(path)}{uuid.uuid4().hex[:8]}.partial")
            removal = stack.callback(shutil.rmtree, folder, ignore_errors=True)  # a signal may come between two lines
            folder.mkdir()
            try:
                lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            except FileNotFoundError:  # another process took the empty folder for a leftover
                continue
            stack.callback(os.close, lock)
            if lock_file(lock) is not False and (folder / _LOCK).exists():
                stack.callback(removal, folder, ignore_errors=True)  # before the lock ends
                break
        yield folder


def clear_leftovers(path: str | Path) -> None:
    """Remove what runs that were killed left beside an output, and name it in the log.

    An old folder that such a run had moved away is put back. A part that a run could resume would be taken up here.

    Parameters
    ----------
    path : path
        The output.
    """
    path = real_place(Path(path))
    pattern = re.compile(re.escape(_prefix(path)) + r"[0-9a-f]{8}\.partial")
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = [name for name in os.listdir(path.parent) if pattern.fullmatch(name)]
    for name in names:
        _clear(path.with_name(name), path)


def _clear(folder: Path, path: Path) -> None:
    lock = None
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        # Its maker locks it first, and removes the lock last or, killed, not at all.
        with contextlib.suppress(OSError):
            folder.rmdir()
        if (folder / _LOCK).exists():
            return
    except OSError:  # of another user
        return
    try:
        ours = lock is None or lock_file(lock)
        if ours is False:
            log.warning("%s: another run is writing this now; the first to finish stays, unless --overwrite.", path)
        if not ours:
            return
        if lock is not None and (old := folder / _OLD).exists() and not path.exists():
            os.rename(old, path)
            log.warning("%s: put back, a run that was killed had moved it away.", path)
        shutil.rmtree(folder, ignore_errors=True)
        log.warning("%s: removed, a run that was killed had left it.", folder)
    finally:
        if lock is not None:
            os.close(lock)


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        below = isinstance(error, FileExistsError | NotADirectoryError)
        why = ", it is or lies below a file" if below else f" ({error.strerror})"
        raise OutputError(f"{path.parent}: cannot make this folder{why}. Choose another --out.") from error


def real_place(path: Path) -> Path:
    """Follow a symbolic link at `path` to the place that it names.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Path
        `path` itself where it is no link.
    """
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def refuse_other_kind(path: Path, directory: bool) -> None:
    """Refuse to put a file in place of a folder, a folder in place of a file, or either in place of a device.

    Parameters
    ----------
    path : Path
        The place, links followed.
    directory : bool
        Whether a folder is to be written.

    Raises
    ------
    OutputError
        If something else stands there.
    """
    if path.is_symlink():
        raise OutputError(f"{path}: is a symbolic link that leads back to itself. Choose another --out.")
    if path.is_dir() and not directory:
        raise OutputError(f"{path}: is a folder, and a file is to be written. Name a file in it.")
    if path.is_file() and directory:
        raise OutputError(f"{path}: is a file, and a folder is to be written. Give another --out.")
    if path.exists() and not path.is_dir() and not path.is_file():
        raise OutputError(f"{path}: is a device, a pipe or a socket, no file. Choose another --out.")


def _flush(place: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems cannot flush folders
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def _flush_all(path: Path) -> None:
    """Flush a file, or a folder with all that is in it, to the disk."""
    for place in (path, *path.rglob("*")):
        if not place.is_symlink() and (place.is_file() or place.is_dir()):
            _flush(place)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; return False where the platform or the file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # pragma: no cover - not Linux
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code not in _UNSUPPORTED:
        raise OSError(code, os.strerror(code))
    return False


def _rival(path: Path) -> OutputError:
    return OutputError(
        f"{path}: another run has written this while this one was at work. That is kept, and the result of this run is "
        "not. Give another --out, or --overwrite to replace it."
    )


def _place_file(made: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(made, path)
        return
    try:
        os.link(made, path)
    except FileExistsError as error:
        raise _rival(path) from error
    except OSError:  # a file system without hard links
        if path.exists():
            raise _rival(path) from None
        os.rename(made, path)


def _place_folder(made: Path, path: Path, overwrite: bool) -> None:
    try:
        os.rename(made, path)  # goes where nothing is, or an empty folder
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
    if not overwrite:
        raise _rival(path)
    if _exchange(made, path):
        return
    old = made.with_name(_OLD)
    os.rename(path, old)
    try:
        os.rename(made, path)
    except OSError:
        os.rename(old, path)
        raise


@contextmanager
def _moved_into_place(wanted: tuple[Path, ...], overwrite: bool, directory: bool) -> Iterator[list[Path]]:
    """Give a temporary name for each path wanted; move all of them into place, the last one first."""
    paths = [real_place(path) for path in wanted]
    for path in paths:
        clear_leftovers(path)
        refuse_existing(path, overwrite)
        refuse_other_kind(path, directory)
        _make_parent(path)
    stood = any(path.exists() for path in paths)
    # What is made within another working folder is flushed with that.
    outermost = not any(parent.name.endswith(".partial") for parent in paths[0].absolute().parents)
    made: list[Path] = []
    placed: list[Path] = []
    try:
        with ExitStack() as stack:
            for path in paths:
                made.append(stack.enter_context(_working_folder(path)) / path.name)
            if directory:
                made[0].mkdir()
            yield made
            if outermost:
                for temporary in made:
                    _flush_all(temporary)
            for temporary, path in reversed([*zip(made, paths, strict=True)]):
                (_place_folder if directory else _place_file)(temporary, path, overwrite)
                placed.append(path)
            if outermost:
                for path in paths:
                    _flush(path.parent)
    except (OutputError, OSError) as error:
        if not overwrite and len(placed) < len(paths):
            while placed:
                placed.pop().unlink()
        if isinstance(error, OSError):
            if _elsewhere(error, paths):
                raise
            raise _failed(error, wanted[0], stood, bool(placed)) from error
        text = str(error)
        for temporary, path in zip(made, wanted, strict=False):  # what is in a working folder means nothing to anybody
            text = text.replace(str(temporary), str(path))
        raise OutputError(text) from error


def _elsewhere(error: OSError, paths: list[Path]) -> bool:
    """Return whether an error names a file that is no part of these outputs, such as an input."""
    name = error.filename
    return isinstance(name, str) and not any(
        _prefix(path) in name or Path(name) in (path, path.parent) for path in paths
    )


def _failed(error: OSError, path: Path, stood: bool, placed: bool) -> OutputError:
    """Return what to say of an output that could not be written."""
    state = "What was there before is unchanged" if stood else "Nothing was left there"
    state = "What is there may be incomplete after a failure of the power" if placed else state
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}). {state}; free some space or choose another --out."
    )


@contextmanager
def atomic_file(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name for a file; move it into place when the block ends well.

    Parameters
    ----------
    path : path
        Where the file is wanted. Missing parent folders are made.
    overwrite : bool
        Whether a file that is there may be replaced.

    Yields
    ------
    Path
        The name to write to; it keeps the suffix of `path`.

    Raises
    ------
    OutputError
        If the file exists and may not be replaced, was written by a rival meanwhile, or cannot be written (a full
        disk, say).
    """
    with _moved_into_place((Path(path),), overwrite, directory=False) as made:
        yield made[0]


@contextmanager
def atomic_files(path: str | Path, *companions: str | Path, overwrite: bool = False) -> Iterator[list[Path]]:
    """Give temporary names for a file and its companions; move all into place when the block ends well.

    The companions move first: where the file is, they are. A kill between the moves of an overwriting run leaves new
    companions beside an old file; their checksum of it tells (:func:`jpas_gbm.store.seal_companion`).

    Parameters
    ----------
    path : path
        Where the file is wanted.
    *companions : path
        Where the files are wanted that tell of it.
    overwrite : bool
        Whether files that are there may be replaced. Without it either all are new or none is written.

    Yields
    ------
    list of Path
        The names to write to, in the order of the arguments.

    Raises
    ------
    OutputError
        As for :func:`atomic_file`.
    """
    with _moved_into_place((Path(path), *map(Path, companions)), overwrite, directory=False) as made:
        yield made


@contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder; move it into place when the block ends well.

    Parameters
    ----------
    path : path
        Where the folder is wanted. Missing parent folders are made.
    overwrite : bool
        Whether a folder that is there may be replaced, with all that is in it.

    Yields
    ------
    Path
        The folder to write to.

    Raises
    ------
    OutputError
        As for :func:`atomic_file`.
    """
    with _moved_into_place((Path(path),), overwrite, directory=True) as made:
        yield made[0]


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder while its parts are moved or read; wait for another process that does so, some seconds at most."""
    with ExitStack() as stack:
        with contextlib.suppress(OSError):  # a platform that cannot open folders, or no folder yet
            stack.callback(os.close, descriptor := os.open(folder, os.O_RDONLY))
            until = time.monotonic() + _PATIENCE
            while lock_file(descriptor) is False and time.monotonic() < until:
                time.sleep(0.02)
        yield


@contextmanager
def atomic_parts(folder: Path, head: str) -> Iterator[Path]:
    """Give a temporary folder; its files and folders replace those of their names when the block ends well.

    They come to stand in ``folder/new`` in one step, and move from there to their places, the head last. After a kill
    between the moves :func:`parts` finds each where it is, and the next writing clears up.

    Parameters
    ----------
    folder : Path
        Where the files belong, among others that stay.
    head : str
        Name of the file that tells of the others.

    Yields
    ------
    Path
        The folder to write to.

    Raises
    ------
    OutputError
        As for :func:`atomic_file`.
    """
    new = folder / _NEW
    with _held(folder):
        with atomic_folder(new, overwrite=True) as made:
            yield made
        try:
            for path in sorted(new.iterdir(), key=lambda path: path == new / head):
                if (place := folder / path.name).is_dir():
                    os.rename(place, new / f".{path.name}")  # goes with the rest of the new
                os.replace(path, place)
            shutil.rmtree(new)
        except OSError as error:
            raise _failed(error, folder, True, True) from error


@contextmanager
def parts(folder: Path, head: str) -> Iterator[Callable[[str], Path]]:
    """Give what tells below which folder a file stands that :func:`atomic_parts` wrote; nothing moves meanwhile.

    Parameters
    ----------
    folder : Path
        Where the files belong.
    head : str
        Name of the file that tells of the others.

    Yields
    ------
    callable
        Takes the name of a file.
    """
    new = folder / _NEW
    with _held(folder):
        yield lambda name: new if (new / head).exists() and (new / name).exists() else folder
