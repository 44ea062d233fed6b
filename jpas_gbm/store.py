"""JSON on disk, checksums of files, and how a result was made: versions, seed, options and what went in."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import platform
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, TypeVar, cast

import numpy as np

from . import __version__
from .atomic import atomic_file
from .errors import BundleError
from .text import named_table

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What a JSON file holds."""

_LARGEST_JSON = 1 << 26


def sha256(path: str | Path) -> str:
    """Return the SHA-256 checksum of a file as hexadecimal text.

    Parameters
    ----------
    path : path

    Returns
    -------
    str
    """
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def native(array: np.ndarray) -> np.ndarray:
    """Return an array in the machine's byte order (FITS arrays are big-endian).

    XGBoost reads big-endian arrays as garbage without a word, so nothing else enters the package.

    Parameters
    ----------
    array : array of any type and shape

    Returns
    -------
    array
        `array` itself if its byte order is the machine's.
    """
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _no_nan(value: Any) -> Any:
    """Replace non-finite floats by None: NaN is not JSON."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _no_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_no_nan(v) for v in value]
    return value


def dump_json(value: Any) -> str:
    """Return strict, indented JSON; NumPy values become plain ones and NaN becomes null.

    Parameters
    ----------
    value : object

    Returns
    -------
    str
    """
    return json.dumps(_no_nan(value), indent=1, default=_plain, allow_nan=False) + "\n"


_SEALS = ("sealed", "seal")
"""Two names, so that a damaged one is missed."""


def head_checksum(head: Mapping[str, object]) -> str:
    """Return the SHA-256 of a JSON mapping as canonical text: sorted names, no spaces, UTF-8.

    Parameters
    ----------
    head : mapping

    Returns
    -------
    str
    """
    text = json.dumps(head, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: str | Path, value: Any, *, overwrite: bool = False, sealed: bool = False) -> None:
    """Write `value` as JSON, whole or not at all.

    Parameters
    ----------
    path : path
    value : object
        As for :func:`dump_json`.
    overwrite : bool
        Whether a file that is there may be replaced.
    sealed : bool
        Whether a mapping gets a checksum of itself, which :func:`read_json` checks and takes off.

    Raises
    ------
    OutputError
        If the file exists and may not be replaced, or cannot be written.
    """
    text = dump_json(value)
    if sealed:
        text = dump_json({**json.loads(text), "sealed": True, "seal": head_checksum(json.loads(text))})
    with atomic_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file that this package wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    object

    Raises
    ------
    BundleError
        If it is missing, is not JSON or is no regular file.
    """
    path = Path(path)
    try:
        # A pipe would be waited for, and may be opened; what else is no file of some size is refused.
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise BundleError(f"{path}: is no regular file. Put the file itself there, or make it again.")
        if found.st_size > _LARGEST_JSON:
            raise BundleError(
                f"{path}: has {found.st_size:,} bytes; this package writes no JSON above {_LARGEST_JSON:,}. "
                "Restore it or make it again."
            )
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except FileNotFoundError as error:
        raise BundleError(f"{path}: is missing. The folder is incomplete: make it again.") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: is not valid JSON ({error}). Restore it or make it again.") from error
    if not isinstance(value, dict) or not any(name in value for name in _SEALS):
        return value
    plain = {name: part for name, part in value.items() if name not in _SEALS}
    if value.get("sealed") is not True or value.get("seal") != head_checksum(plain):
        raise BundleError(f"{path} does not match its own checksum. The file was changed: make it again or restore it.")
    return plain


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(kind: type) -> TypeAdapter[Any]:
    """Return the reader and writer of a dataclass, made once."""
    from pydantic import TypeAdapter

    return _ADAPTERS.get(kind) or _ADAPTERS.setdefault(kind, TypeAdapter(kind))


def to_plain(result: Any) -> dict[str, Json]:
    """Return a dataclass, and the dataclasses in it, as what JSON holds.

    Parameters
    ----------
    result : dataclass

    Returns
    -------
    dict
        By the names of the fields.
    """
    how: dict[str, Any] = {"mode": "json", "by_alias": True, "fallback": _plain, "warnings": "none"}
    return cast(dict[str, Json], _adapter(type(result)).dump_python(result, **how))


def from_plain(kind: type[T], value: object) -> T:
    """Build a dataclass, and the dataclasses in it, from what :func:`to_plain` returned; other names are left out.

    Parameters
    ----------
    kind : type
        The dataclass.
    value : object

    Returns
    -------
    kind

    Raises
    ------
    ValueError
        If a field is missing or of another type.
    """
    return cast(T, _adapter(kind).validate_python(value))


def damage(error: Exception) -> str:
    """Return in words the first thing that is wrong with a record.

    Parameters
    ----------
    error : Exception
        As :func:`from_plain` raises it.

    Returns
    -------
    str
    """
    first: dict[str, Any] = next(iter(getattr(error, "errors", list)()), {})
    at = ".".join(map(str, first.get("loc", ()))) or "the whole"
    return f"{at}: {first.get('msg', repr(error))}"


def read_record(path: str | Path, kind: type[T]) -> T:
    """Read a dataclass whose plain form :func:`write_json` wrote.

    Parameters
    ----------
    path : path
        The JSON file.
    kind : type
        The dataclass.

    Returns
    -------
    kind
        With every field checked against its type.

    Raises
    ------
    BundleError
        If the file is missing, is not JSON or holds something else.
    """
    return as_record(read_json(path), kind, path)


def as_record(value: object, kind: type[T], path: str | Path) -> T:
    """Build a dataclass from its plain form, as a file holds it.

    Parameters
    ----------
    value : object
        As :func:`to_plain` returned it.
    kind : type
        The dataclass.
    path : path
        Where it was read.

    Returns
    -------
    kind
        With every field checked against its type.

    Raises
    ------
    BundleError
        If it is something else.
    """
    try:
        return from_plain(kind, value)
    except ValueError as error:
        raise BundleError(
            f"{path}: cannot be read ({damage(error)}): it was changed, or another version wrote it. Make it again."
        ) from error


def folder_checksums(folder: str | Path) -> dict[str, str]:
    """Return the checksum of every file below a folder.

    Parameters
    ----------
    folder : path

    Returns
    -------
    dict of str to str
        ``{relative name: sha256}``, sorted by name.
    """
    folder = Path(folder)
    return {os.fspath(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


_LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "lightgbm", "xgboost-cpu", "xgboost", "catboost",
              "astropy", "optuna")  # fmt: skip


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries whose behaviour a result depends on.

    Returns
    -------
    dict of str to str
    """
    found = {}
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def made_now() -> str:
    """Return the time at which something is made, UTC and ISO 8601; SOURCE_DATE_EPOCH stands for it where it is set.

    Returns
    -------
    str
        To the second.
    """
    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    now = dt.datetime.fromtimestamp(int(stated), dt.UTC) if stated.isdecimal() else dt.datetime.now(dt.UTC)
    return now.isoformat(timespec="seconds")


class AsMapping:
    """Makes a record take any mapping where a TypedDict stands, with what that does not name, and records in it."""

    def __get_pydantic_core_schema__(self, source: object, handler: Any) -> Any:
        from pydantic import AfterValidator

        return handler(Annotated[dict[str, Any], AfterValidator(self._with_records)])

    def _with_records(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        for part in filter(None, map(value.get, ("provenance", "data", "model"))):
            if not isinstance(part, Mapping):
                raise ValueError("a record of what went in is no mapping")
            self._with_records(part)
        return value


class Provenance(TypedDict, total=False):
    """How a result was made.

    Parameters
    ----------
    software, version, python, made : str
        The time is UTC, ISO 8601.
    libraries, inputs : mapping of str to str
        Versions by library; checksums of the files that were read by name.
    seed, options : int, mapping
        As they were resolved; the verb's own model of options reads them.
    data, model : Provenance
        Of the data set and of the model that went in.
    simulated : bool
        Whether the data say so of themselves.
    notes : sequence of str
        What a person should know of the rows.
    magnitude : str or None
        Band and survey of the rows' magnitude.
    regime, chosen, rule, features : str, str, str, mapping
        Of a model: how it was trained, what was kept, how it decides, and what it takes.
    about, drift, shift : mapping
        What a study varies, how the sky differs from what trained, what a simulation drew.
    """

    software: str
    version: str | None
    python: str
    libraries: Mapping[str, str]
    made: str | None
    seed: int | None
    options: Mapping[str, Any]
    inputs: Mapping[str, str] | None
    data: Provenance
    model: Provenance
    simulated: bool
    notes: Sequence[str]
    magnitude: str | None
    regime: str | None
    chosen: str | None
    rule: str
    features: Mapping[str, Any] | None
    about: Mapping[str, Json]
    drift: Mapping[str, object]
    shift: Mapping[str, object]


Made = Annotated[Provenance, AsMapping()]
"""A provenance as a field of a record."""


def names_apart(files: Iterable[Any]) -> dict[Any, str]:
    """Name each file, with as many of the folders above as tell it from others of its name, and table.

    Parameters
    ----------
    files : iterable of path

    Returns
    -------
    dict of path to str
    """
    tables = {one: named_table(one) for one in files}
    plain, real = {file: os.path.abspath(file) for file, _ in tables.values()}, os.path.realpath
    # Named as they were given, but where `..` behind a link leads elsewhere than it reads.
    parts = {file: Path(one if real(one) == real(file) else real(file)).parts for file, one in plain.items()}
    deepest = max(map(len, parts.values()), default=0)
    times = [Counter(one[-n:] for one in set(parts.values())) for n in range(1, deepest)]
    made = {}
    for one, (file, of) in tables.items():
        least = next((n for n, of_ends in enumerate(times, 1) if of_ends[parts[file][-n:]] == 1), 0)
        made[one] = f"{Path(*parts[file][-least:])}{f'[{of}]' if of else ''}"
    return made


def provenance(
    *,
    seed: int | None = None,
    options: Mapping[str, Json] | None = None,
    inputs: Iterable[str | Path] | Mapping[str, str] = (),
    **more: object,
) -> Provenance:
    """Describe how a result is being made, in a form that JSON can hold.

    Parameters
    ----------
    seed : int, optional
        The seed that every random stream of the run was spawned from.
    options : mapping, optional
        The resolved options.
    inputs : iterable of path, or mapping of path to str
        Files that were read, or their checksums; each is named, with its folder where another has its name. The
        SHA-256 of ``FILE[NAME]`` is that of the whole file.
    **more
        Anything else worth recording.

    Returns
    -------
    Provenance
        With `more`.
    """
    given: Mapping[Any, str] = inputs if isinstance(inputs, Mapping) else dict.fromkeys(inputs, "")
    made = {
        "software": "jpas-gbm",
        "version": __version__,
        "python": platform.python_version(),
        "libraries": library_versions(),
        "made": made_now(),
        "seed": seed,
        "options": dict(options or {}),
        "inputs": {name: given[one] or sha256(named_table(one)[0]) for one, name in names_apart(given).items()},
    }
    return cast(Provenance, made | more)


def magnitude_name(made: Provenance | None) -> str:
    """Return what the magnitude of a result's rows is: band and survey.

    Parameters
    ----------
    made : Provenance or None
        Of a data set, or of a result of one.

    Returns
    -------
    str
        Such as ``r (Legacy Surveys)``; ``magnitude`` where the record does not tell.
    """
    model = (made := made or {}).get("model") or {}
    places = (made.get("data") or {}, model.get("data") or {}, made, model)
    return next((str(one["magnitude"]) for one in places if one.get("magnitude")), "magnitude")
