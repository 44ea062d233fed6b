"""Observed spectra and templates as blocks of one grid, and how tables of numbers hold them."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CatalogueError
from ..store import native
from ..surveys.bands import vacuum_wavelengths
from ..surveys.formats.csv import number_columns
from ..surveys.formats.fits import pixel_wavelengths
from ..surveys.formats.parquet import units_of
from ..surveys.packing import as_text, spelt_numbers
from ..surveys.spelling import (
    angstroms,
    check_f_lambda,
    degrees_per_unit,
    says_nothing,
    stated_unit,
)

if TYPE_CHECKING:
    from astropy.io.fits import BinTableHDU, Header


@dataclass(frozen=True, eq=False)
class SpectraBlock:
    """Some observed spectra on one wavelength grid, and what is known of each.

    Parameters
    ----------
    wavelength : array of float64, shape (m,)
        Vacuum wavelengths in Å, increasing, in the observer's frame.
    flux : array of float32, shape (n, m)
        f_λ in any unit (1e-17 erg / s / cm² / Å in archives); NaN where nothing was measured.
    ivar : array of float32, shape (n, m)
        Inverse variance of `flux`; 0 where masked.
    name : tuple of str
        What each spectrum is called in messages and as the parent of mocks: file and row.
    object_id : array of int64, shape (n,)
        TARGETID, THING_ID, or an id that plate, MJD and fibre make; -1 where there is none.
    spectype, subtype : array of str, shape (n,)
        QSO, GALAXY or STAR (empty where unknown), and the pipeline's subclass.
    z : array of float64, shape (n,)
        Redshift; NaN where unknown.
    warning : array of int64, shape (n,)
        ZWARN or ZWARNING; 0 is good.
    ra, dec : array of float64, shape (n,)
        Degrees; NaN where unknown.
    ebv : array of float64, shape (n,)
        E(B-V) of the Galaxy in front, as the file gives it; NaN where it does not.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    name: tuple[str, ...]
    object_id: np.ndarray
    spectype: np.ndarray
    subtype: np.ndarray
    z: np.ndarray
    warning: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    ebv: np.ndarray

    def __len__(self) -> int:
        return len(self.name)

    def take(self, rows: np.ndarray) -> SpectraBlock:
        """Return some of the spectra: indices or a mask, shape (k,) or (n,).

        Parameters
        ----------
        rows : array of int, shape (k,), or of bool, shape (n,)
            Which.

        Returns
        -------
        SpectraBlock
        """
        index = np.arange(len(self))[rows]
        fields = ("flux", "ivar", "object_id", "spectype", "subtype", "z", "warning", "ra", "dec", "ebv")
        changed = {name: getattr(self, name)[index] for name in fields}
        return replace(self, name=tuple(self.name[i] for i in index), **changed)

    @property
    def good(self) -> np.ndarray:
        """Pixels that were measured, bool (n, m)."""
        return (self.ivar > 0) & np.isfinite(self.ivar) & np.isfinite(self.flux)


@dataclass(frozen=True, eq=False)
class Templates:
    """Noise-free spectra at rest: sums of a few vectors.

    Parameters
    ----------
    wavelength : array of float64, shape (m,)
        Vacuum wavelengths in Å, increasing.
    vectors : array of float32, shape (k, m)
        f_λ in any unit; NaN outside a template's range.
    coefficients : array of float32, shape (n, k)
        Of the n templates; none (n = 0) where a file holds vectors alone.
    name : tuple of str
        What each template is called.
    spectype : str
        QSO, GALAXY or STAR; empty where unknown.
    subtype : tuple of str
        Of each template.
    file : str
        Where they are from.
    """

    wavelength: np.ndarray
    vectors: np.ndarray
    coefficients: np.ndarray
    name: tuple[str, ...]
    spectype: str
    subtype: tuple[str, ...]
    file: str

    def __len__(self) -> int:
        return len(self.name)


_GRID = ("wavelength", "loglam", "flux")
_KEYS = {
    "wavelength": ("wavelength", "wave", "lambda", "lam"),
    "loglam": ("loglam", "logwave"),
    "flux": ("flux",),
    "ivar": ("ivar", "flux_ivar", "ivar_flux", "invvar", "inv_var", "inverse_variance"),
    "mask": (
        *("mask", "and_mask", "andmask", "qual", "bad", "badpix", "bad_pix", "bad_pixel", "bpm", "pixmask"),
        "pix_mask",
    ),
    "error": (
        *("error", "errors", "err", "errs", "sigma", "sigmas", "uncertainty", "uncertainties", "noise"),
        *("flux_error", "flux_err", "flux_errs", "fluxerr", "flux_sigma", "e_flux", "err_flux", "error_flux"),
    ),
    "z": ("z", "redshift", "z_spec", "zspec", "zsp", "z_best", "zbest", "z_value", "z_vi", "vi_z", "z_pipe"),
    "id": ("targetid", "specid", "object_id", "id", "thing_id"),
    "spectype": ("spectype", "class", "cls"),
    "subtype": ("subtype", "subclass", "sub", "name"),
    "warning": ("zwarn", "zwarning", "redshift_warning"),
    "ra": ("ra", "target_ra"),
    "dec": ("dec", "target_dec"),
    "ebv": ("ebv", "e(b-v)", "e_b_v", "e_bv", "ebmv", "sfd_ebv", "ebv_sfd"),
}


def _key(names: Iterable[str], what: str) -> str | None:
    known = {name.lower(): name for name in names}
    return next((known[key] for key in _KEYS[what] if key in known), None)


_WHOSE = "(flux|flam|f_?lambda|spec|data|f)?"
_ERRORS = "err(or)?s?|sig(ma)?s?|unc(ert(aint(y|ies))?)?|std(ev)?|var(iance)?s?|stat|noise|weights?|(e|d|delta)(?=_?f)"
_MASKS = r"mask|flag|quality|good|bad|(^|_)dq(_|$)"


def _refuse_unread(path: Path, arrays: Iterable[str], held: Iterable[str]) -> None:
    """Refuse errors and masks of names that are not read: observed spectra would be templates, bad pixels good."""
    for name in arrays:
        if re.fullmatch(f"{_WHOSE}_?({_ERRORS})_?{_WHOSE}", name.lower()) and not {"ivar", "error"} & set(held):
            what, mend = "be of errors", "'error' if it holds standard deviations, 'ivar' if inverse variances (1 over"
            mend += " variances), or leave it out of templates at rest"
        elif re.search(_MASKS, name.lower()) and "mask" not in held:
            what, mend = "say which pixels are bad", "'mask' if it is 0 where a pixel is good, or leave it out"
        else:
            continue
        raise CatalogueError(f"{path}: '{name}' seems to {what}, and is read under no such name. Name it {mend}.")


def _error_kind(name: str) -> str | None:
    """Return whether an image of that name holds inverse variances or errors; None for neither."""
    return next((what for what in ("ivar", "error", "mask") if _key([name], what)), None)


def _read_npz(path: Path) -> Iterator[SpectraBlock | Templates]:
    """Arrays of one grid: wavelength (or loglam), flux (n, m), and ivar, z, ids where spectra were observed."""
    try:
        with np.load(path, allow_pickle=False) as store:
            names = [name for name in store.files if _readable(store, name)]
            wave, log, flux = (_key(names, what) for what in _GRID)
            if flux is None or (wave is None and log is None):
                raise CatalogueError(f"{path}: has no flux on wavelengths. It has {', '.join(names)}.")
            grid = 10.0 ** store[log] if wave is None else np.asarray(store[wave], dtype=np.float64)
            held = {what: store[key] for what in _KEYS if what not in _GRID and (key := _key(names, what))}
            held |= {"flux": store[flux], "wavelength": grid}
            arrays = [name for name in names if store[name].shape[-1:] == grid.shape]
            said = {
                name.lower(): str(store[name]) for name in names if "unit" in name.lower() and store[name].ndim == 0
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CatalogueError(f"{path}: cannot be read as spectra ({error}). Fetch or write it again.") from error
    _refuse_unread(path, arrays, held)
    if grid.ndim != 1:
        raise CatalogueError(f"{path}: its wavelengths are of shape {grid.shape}: one grid for all rows is expected.")
    units = {what: word for what in held for name, word in said.items() if name.rpartition("_")[0] in _KEYS[what]}
    bare = [said[name] for name in ("unit", "units", "bunit") if stated_unit(said.get(name))]
    units |= {"flux": bare[0]} if bare and "flux" not in units else {}
    held = _in_units(held, units, path)
    for what in {"ivar", "error", "mask"} & held.keys():
        held[what] = np.atleast_2d(held[what])
    yield from _from_columns(path, held.pop("wavelength"), np.atleast_2d(held.pop("flux")), held)


def _in_units(held: dict[str, Any], units: Mapping[str, str | None], path: Path) -> dict[str, Any]:
    """Bring columns, arrays or lists of them, to Å, to the unit of the fluxes and to degrees; refuse other units."""
    flux = check_f_lambda(units.get("flux"), path)
    sizes = {"wavelength": angstroms(units.get("wavelength"), path)}
    for what, words, power in (("error", "errors", 1), ("ivar", "inverse variances", -2)):
        sizes[what] = (check_f_lambda(units.get(what), path, words) / flux) ** power
    for what in ("ra", "dec"):
        if (size := degrees_per_unit(units.get(what))) is None:
            raise CatalogueError(
                f"{path}: its {what} is in {units[what]!r}; degrees are expected, or radians or hours."
            )
        sizes[what] = size
    for what, kinds in (("z", ("ratio",)), ("ebv", ("ratio", "ab_magnitude"))):
        if not says_nothing(units.get(what)) and getattr(stated_unit(units[what]), "kind", "") not in kinds:
            raise CatalogueError(
                f"{path}: its {what} is in {units[what]!r}, which it cannot be. Mend the unit or values."
            )
    for what, size in sizes.items():
        if what in held and np.isfinite(size) and size != 1.0:
            values = [None if v is None else np.array(v, dtype=np.float64) * size for v in held[what]]
            held[what] = values if isinstance(held[what], list) else np.array(values)
    return held


def _readable(store: np.lib.npyio.NpzFile, name: str) -> bool:
    """Return whether an array is of numbers or text: nothing is unpickled."""
    try:
        store[name]
    except ValueError:
        return False
    return True


def _from_columns(
    path: Path, grid: np.ndarray, flux: np.ndarray, given: dict[str, np.ndarray]
) -> Iterator[SpectraBlock | Templates]:
    """Yield the rows of a table: observed where there are inverse variances, else templates at rest, by class."""
    n = len(flux)
    for what, values in given.items():
        if values.dtype.kind == "O" and values.ndim == 1:
            words = np.array(["" if value is None else str(value) for value in values])
            given[what] = values.astype(np.float64) if any(isinstance(v, float) for v in values) else words
        elif values.ndim == 0:
            given[what] = np.full(n, values)
    if len({n, *map(len, given.values())}) > 1:
        raise CatalogueError(f"{path}: its arrays have different numbers of rows.")
    for what, values in {"flux": flux, **given}.items():
        if what in ("flux", "ivar", "error", "mask") and values.shape != (n, len(grid)):
            raise CatalogueError(f"{path}: {what} has {values.shape[-1]} pixels a row, wavelength has {len(grid)}.")
    if "error" in given and "ivar" not in given:
        error = np.asarray(given["error"], dtype=np.float64)
        given["ivar"] = np.divide(1.0, error**2, out=np.zeros_like(error), where=np.isfinite(error) & (error > 0))
    flux, given = _of_usual_size(np.asarray(flux, dtype=np.float64), given)
    if "mask" in given and "ivar" in given:
        given["ivar"] = np.where(np.asarray(given["mask"]) != 0, 0.0, given["ivar"])
    elif "mask" in given:
        flux = np.where(np.asarray(given["mask"]) != 0, np.float32(np.nan), flux)
    names = np.array([f"{path.name}[{i}]" for i in range(n)])
    text = {what: as_text(np.asarray(given.get(what, np.full(n, "")))) for what in ("spectype", "subtype")}

    def number(what: str, whole: bool = False) -> np.ndarray:
        values = given.get(what, np.full(n, -1 if whole else np.nan))
        if values.dtype.kind in "US":
            values = spelt_numbers(values, whole, f"{path}[{what}]", 0)
        if whole and values.dtype.kind == "f" and (np.abs(values) > 2.0**53).any():
            raise CatalogueError(f"{path}: its ids are stored as floating point, which corrupts those above 2^53.")
        if whole and values.dtype.kind == "u" and (values > np.iinfo(np.int64).max).any():
            raise CatalogueError(f"{path}: its ids exceed 2^63 - 1 and are no 64-bit object ids. Leave the column out.")
        values = values if values.dtype.kind == "f" else np.ma.asarray(values).astype(np.int64 if whole else np.float64)
        return (
            np.ma.filled(np.ma.masked_invalid(values), -1).astype(np.int64) if whole else np.asarray(values, np.float64)
        )

    if "ivar" not in given:
        if (np.abs(np.nan_to_num(number("z"))) > 0.01).any():
            raise CatalogueError(f"{path}: has redshifts, as observed spectra do, and neither ivar nor error. Add one.")
        for kind in np.unique(text["spectype"]):
            rows = text["spectype"] == kind
            own = tuple(text["subtype"][rows].tolist())
            eye = np.eye(int(rows.sum()), dtype=np.float32)
            yield Templates(grid, flux[rows], eye, tuple(names[rows].tolist()), str(kind), own, path.name)
        return
    yield SpectraBlock(
        grid, flux, np.nan_to_num(given["ivar"].astype(np.float32), posinf=0.0, neginf=0.0), tuple(names.tolist()),
        number("id", whole=True), text["spectype"], text["subtype"], number("z"),
        np.nan_to_num(number("warning")).astype(np.int64), number("ra"), number("dec"), number("ebv"),
    )  # fmt: skip


def _of_usual_size(flux: np.ndarray, given: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return fluxes, float32, and their errors with the level of each row near 1 where it is far from it.

    What a unit is does not matter, and inverse variances of fluxes in cgs or SI are beyond what 32 bits hold.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        level = np.nanmedian(np.where(np.isfinite(flux) & (flux != 0), np.abs(flux), np.nan), axis=1, keepdims=True)
        size = np.where((level < 1e-6) | (level > 1e6), 10.0 ** -np.rint(np.log10(level)), 1.0)
        powers = {what: power for what, power in (("ivar", -2), ("error", 1)) if what in given}
        scaled = {what: np.asarray(given[what], dtype=np.float64) * size**power for what, power in powers.items()}
        return (flux * size).astype(np.float32), given | scaled


def _read_parquet(path: Path) -> Iterator[SpectraBlock | Templates]:
    """A table with a spectrum in each row, as SPARCL exports it; rows of one grid become a block."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise CatalogueError(f"{path}: cannot be read as Parquet ({error}).") from error
    keys = {what: key for what in _KEYS if (key := _key(table.column_names, what))}
    if "flux" in keys and not pa.types.is_nested(table.schema.field(keys["flux"]).type):
        raise CatalogueError(
            f"{path}: has a pixel of a spectrum in each row. Write lists, one spectrum a row, or FITS or text."
        )
    units = units_of(table.schema)
    held = {what: table[key].to_pylist() for what, key in keys.items()}
    held = _in_units(held, {what: units.get(key) for what, key in keys.items()}, path)
    _refuse_unread(path, [field.name for field in table.schema if pa.types.is_nested(field.type)], held)
    yield from _from_rows(path, held, table.column_names)


def read_fits_table(table: BinTableHDU, first: Header, path: Path) -> Iterator[SpectraBlock | Templates]:
    """Read a table with a spectrum in each row, or with the pixels of one; of one, headers may give class and redshift.

    Parameters
    ----------
    table : BinTableHDU
        With a column of fluxes.
    first : Header
        Of the file.
    path : Path
        For messages.

    Yields
    ------
    SpectraBlock or Templates

    Raises
    ------
    CatalogueError
        If it has no wavelengths, or states units of another kind.
    """
    keys = {what: key for what in _KEYS if (key := _key(table.columns.names, what))}
    held = {what: list(_unmasked(table, key)) for what, key in keys.items()}
    held = _in_units(held, {what: table.columns[key].unit for what, key in keys.items()}, path)
    arrays = table.columns.names
    if np.shape(held["flux"][:1])[1:]:
        arrays = [name for name in arrays if table.data[name].ndim > 1 or table.data[name].dtype.kind == "O"]
    else:
        held = {what: [np.array(values)] for what, values in held.items()}
    _refuse_unread(path, arrays, held)
    for head in (table.header, first) if len(held["flux"]) == 1 else ():
        held |= _stated_once(head, held)
    yield from _from_rows(path, held, table.columns.names, {**first, **table.header})


def _unmasked(table: BinTableHDU, key: str) -> np.ndarray:
    """Return a column; integers of one number in each row are floats where they hold TNULL, which is missing."""
    values, null = native(table.data[key]), table.columns[key].null
    return np.where(values == null, np.nan, values) if null not in (None, "") and values.ndim == 1 else values


def _stated_once(header: Header, held: Mapping[str, object]) -> dict[str, list[Any]]:
    """Return what a header says of its one spectrum and columns do not: class, redshift, id, place."""
    known = [what for what in _KEYS if what not in (*_GRID, "ivar", "error", *held)]
    return {what: [header[key]] for what in known if (key := _key(header, what))}


def read_fits_image(images: Sequence[Any], first: Header, path: Path) -> Iterator[SpectraBlock | Templates]:
    """Read an image of one row: a spectrum on pixels whose wavelengths the header gives, linear or logarithmic.

    Parameters
    ----------
    images : sequence of HDU
        Those of the file that hold pixels. The one named FLUX, SCI or SPECTRUM, else the first, is the fluxes; one
        named IVAR, or as columns of errors are, makes it an observed spectrum; without it is a template at rest.
        Headers may give class and redshift.
    first : Header
        Of the file.
    path : Path
        For messages.

    Yields
    ------
    SpectraBlock or Templates

    Raises
    ------
    CatalogueError
        If the image has several rows, no image is named as fluxes and the first is named as errors are, or its header
        gives no wavelengths that are known here.
    """
    image = next((one for one in images if one.name in ("FLUX", "SCI", "SPECTRUM")), images[0])
    if _error_kind(image.name):
        raise CatalogueError(
            f"{path}: its first image is named {image.name}, which is no flux, and none is named FLUX, SCI or "
            "SPECTRUM. Name the image that holds the fluxes."
        )
    header = first + image.header
    flux = np.squeeze(native(image.data))
    if flux.ndim != 1:
        raise CatalogueError(
            f"{path}: is an image of {' x '.join(map(str, image.shape))} pixels, and does not say which of its rows is "
            "a spectrum and which its errors. Write one spectrum in each file, or a table."
        )
    units = {"flux": header.get("BUNIT")}
    held = {"flux": [flux.astype(np.float64)], "wavelength": [pixel_wavelengths(header, len(flux), path)]}
    for other in images:
        if what := _error_kind(other.name):
            held.setdefault(what, [np.squeeze(native(other.data)).astype(np.float64)])
            units.setdefault(what, other.header.get("BUNIT"))
    _refuse_unread(path, [hdu.name for hdu in images], held)
    held = _in_units(held, units, path)
    held |= _stated_once(header, held)
    air = {"AIRORVAC": "air"} if str(header.get("CTYPE1", "")).strip().upper().startswith("AWAV") else {}
    yield from _from_rows(path, held, [hdu.name for hdu in images], {**header, **air})


def _from_rows(
    path: Path, held: dict[str, list[Any]], names: Sequence[str], header: Mapping[str, object] = MappingProxyType({})
) -> Iterator[SpectraBlock | Templates]:
    """Yield spectra that stand one in a row; rows of one grid become a block."""
    if (logs := held.pop("loglam", None)) and "wavelength" not in held:
        held["wavelength"] = [None if log is None else 10.0 ** np.asarray(log, dtype=np.float64) for log in logs]
    if not {"wavelength", "flux"} <= held.keys():
        raise CatalogueError(f"{path}: has no columns of wavelengths and fluxes. It has {', '.join(names)}.")
    grids: dict[bytes, list[int]] = {}
    for row, wave in enumerate(held.pop("wavelength")):
        pixels = {np.shape(held[what][row]) for what in ("flux", "ivar", "error", "mask") if what in held}
        if wave is None or pixels != {np.shape(wave)}:
            raise CatalogueError(
                f"{path}: row {row} has not as many fluxes, ivar, error or mask as wavelengths. Drop the row."
            )
        grids.setdefault(np.asarray(wave, dtype=np.float64).tobytes(), []).append(row)
    for grid, rows in grids.items():
        given = {what: np.array([values[row] for row in rows]) for what, values in held.items()}
        wave = vacuum_wavelengths(np.frombuffer(grid), header, path)
        yield from _from_columns(path, wave, given.pop("flux").astype(np.float64), given)


_STATED_Z = re.compile(
    r"(?im)^[^\d\s.+-].*?(?<![\w.])(?:z|z_[a-z]+|redshift)\s*[=:]\s*([+-]?\d+\.?\d*)(?![\d.]|\s*(-|–|to\b|<))"
)
_AT_REST = re.compile(r"(?i)\bat rest\b|\brest[- ]?frame")
_NO_F_LAMBDA = re.compile(r"^(f|flux)_?nu\b|^(nu|lam|lambda)_?f|photon|count|^adu|electron|(^|_)mag")
_IN_F_NU = re.compile(
    r"(?im)^[^\d\s.+-](?!.*f_?lam).*"
    r"((?<![a-z])(f_?nu|[mun]?jy|\S{,30}jansky)s?|(/|\bper) ?hz|(?<![a-z])hz(\^|\*\*)?\(?-1)(?![a-z]).*"
)  # HZ 43 is a star


def _read_columns(path: Path) -> Iterator[SpectraBlock | Templates]:
    """A template as two columns of text: wavelength in Å at rest (or loglam), f_λ."""
    table, value, unit, text, names = number_columns(path, ("flux", "f_lambda", "flam", "flambda", "fl", "f"))
    if len(table) < 10:
        raise CatalogueError(f"{path}: is no template. Expected two columns, wavelength in Å and flux.")
    stated = () if _AT_REST.search(text) else _STATED_Z.finditer(text)
    z = next((found[0].strip() for found in stated if abs(float(found[1])) > 0.01), None)
    if odd := next((name for name in names if any(_key([name], what) for what in ("ivar", "error", "z"))), z):
        raise CatalogueError(
            f"{path}: states {odd!r}, as observed spectra do, and a spectrum in text is a template at rest. Write it "
            "as .npz or a table with wavelength, flux, ivar or error, and z; or leave that out if it is at rest."
        )
    _refuse_unread(path, names, ())
    for word in (unit, value.replace("_", ""), value.rpartition("_")[2]):  # a name may say it, as f_nu or flux_jy
        check_f_lambda(word if word == unit or stated_unit(word) else None, path)
    told = "" if stated_unit(unit) else value if _NO_F_LAMBDA.search(value) else (_IN_F_NU.search(text) or [""])[0]
    if told:
        raise CatalogueError(f"{path}: says {told.strip()!r}; f_λ is expected. Convert its fluxes, or mend that line.")
    flux, _ = _of_usual_size(table[None, :, 1], {})
    yield Templates(table[:, 0], flux, np.ones((1, 1), np.float32), (path.name,), "", (path.stem,), path.name)


TABLES = {
    **dict.fromkeys((".txt", ".dat", ".csv", ".ascii"), _read_columns),
    ".npz": _read_npz,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
}
"""What reads spectra of a file, by the ending of its name."""
