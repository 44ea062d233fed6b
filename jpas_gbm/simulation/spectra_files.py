"""Spectra from files: DESI coadds, SDSS spec files, tables of spectra and templates, as blocks of one grid."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CatalogueError
from ..store import native, number_columns
from ..surveys.formats.several import spelt_out
from ..surveys.packing import spelt_numbers
from ..surveys.units import check_f_lambda, check_wavelengths, vacuum_wavelengths

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

SPECTYPES = ("QSO", "GALAXY", "STAR")
"""The classes that spectra have."""


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
        return (self.ivar > 0) & np.isfinite(self.flux)


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


def read_spectra(files: Iterable[str | Path]) -> Iterator[SpectraBlock | Templates]:
    """Read spectra file by file; of what kind each file is, it says itself.

    Parameters
    ----------
    files : iterable of path
        DESI coadds (with the redrock file beside them), SDSS or BOSS spec files, redrock templates, ``.npz`` or
        Parquet tables of spectra, two-column text templates. A folder stands for its files. ``QSO=``, ``GALAXY=`` or
        ``STAR=`` before a path gives the class of spectra whose file does not say it.

    Yields
    ------
    SpectraBlock or Templates
        In the order of the files.

    Raises
    ------
    CatalogueError
        If a file is of no known kind, damaged, holds no spectrum, or does not say its class.
    """
    for path, given in spectra_paths(files):
        made = False
        for block in _reader(path)(path):
            check_wavelengths(block.wavelength, path)
            if isinstance(block, Templates):
                made = True
                yield _checked_templates(block, given, path)
            else:
                block = _checked_spectra(block, given, path)
                made = made or len(block) > 0
                yield block
        if not made:
            raise CatalogueError(f"{path}: holds no spectrum. Leave the file out.")


def spectra_paths(files: Iterable[str | Path]) -> Iterator[tuple[Path, str]]:
    """Yield each file that is meant, and the class given for it (empty: none).

    Parameters
    ----------
    files : iterable of path
        As :func:`read_spectra` takes them.

    Yields
    ------
    (Path, str)
        A file, and QSO, GALAXY, STAR or nothing.
    """
    for word in files:
        given, mark, rest = str(word).partition("=")
        given, rest = (given, rest) if mark and given in SPECTYPES else ("", str(word))
        for path in spelt_out(rest):
            if not path.exists():
                raise CatalogueError(f"{path}: there is no such file.")
            inside = sorted(filter(_is_spectra, path.iterdir())) if path.is_dir() else [path]
            if not inside:
                raise CatalogueError(f"{path}: is a folder without spectra (.fits, .npz, .parquet, .txt).")
            yield from ((each, given) for each in inside)


def _is_spectra(path: Path) -> bool:
    """Return whether a file of a folder holds spectra; redrock results and words for people stand there too."""
    if not _SPECTRA.fullmatch(path.name.lower()):
        return False
    prose = path.suffix.lower() in (".txt", ".dat") and not len(number_columns(path))
    if prose:
        logging.getLogger("jpas_gbm").warning("%s: holds no columns of numbers, and is left out.", path)
    return not prose


_SPECTRA = re.compile(r"(?!.*(redrock-|_redrock)|readme|licen[cs]e).*\.(fits(\.gz)?|npz|parquet|txt|dat)")


def _checked_spectra(block: SpectraBlock, given: str, path: Path) -> SpectraBlock:
    """Return the spectra that hold a good pixel, each with a class."""
    alive: np.ndarray = np.asarray(block.good.any(axis=1))
    if not alive.any() and len(block):
        raise CatalogueError(f"{path}: no spectrum of it has a good pixel (inverse variance above 0). Leave it out.")
    block = block.take(alive)
    return replace(block, spectype=np.array([_class(word or given, path) for word in block.spectype.tolist()], "U6"))


def _checked_templates(templates: Templates, given: str, path: Path) -> Templates:
    if not np.isfinite(templates.vectors).any(axis=1).all():
        raise CatalogueError(f"{path}: a template of it holds no number. Leave it out.")
    return replace(templates, spectype=_class(templates.spectype or given, path))


def _class(word: str, path: Path) -> str:
    if word.upper() in SPECTYPES:
        return word.upper()
    said = f"calls a spectrum '{word}'" if word else "does not say of which class its spectra are"
    raise CatalogueError(
        f"{path}: {said}; known are {', '.join(SPECTYPES)}. Say it before the path, as in STAR={path.name}; "
        "for a DESI coadd, put the redrock file beside it."
    )


def _reader(path: Path) -> Callable[[Path], Iterator[SpectraBlock | Templates]]:
    readers = dict.fromkeys((".txt", ".dat", ".csv", ".ascii"), _read_columns)
    readers |= {".npz": _read_npz, ".parquet": _read_parquet, ".pq": _read_parquet}
    readers |= {".fits": _read_fits, ".fit": _read_fits}
    ending = path.suffix.lower()
    if path.name.lower().endswith(".fits.gz") or ending in readers:
        return readers.get(ending, _read_fits)
    raise CatalogueError(f"{path}: is of no kind that holds spectra here: .fits, .npz, .parquet, .txt or .dat.")


def _read_fits(path: Path) -> Iterator[SpectraBlock | Templates]:
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as hdus:
            names = {hdu.name for hdu in hdus}
            if "FIBERMAP" in names and names & {"B_FLUX", "BRZ_FLUX"}:
                yield _desi(hdus, path)
            elif "BASIS_VECTORS" in names:
                yield _redrock(hdus, path)
            elif len(hdus) > 1 and _has(hdus[1], "loglam", "flux", "ivar"):
                yield _sdss(hdus, path)
            else:
                said = f"is a FITS file of no kind of spectra known here, with {', '.join(sorted(filter(None, names)))}"
                raise CatalogueError(f"{path}: {said}. Known are DESI coadds, SDSS spec files, redrock templates.")
    except CatalogueError:
        raise
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise CatalogueError(
            f"{path}: cannot be read as spectra ({error}). Fetch it again, or leave it out."
        ) from error


def _has(hdu: object, *names: str) -> bool:
    columns = getattr(hdu, "columns", None)
    return columns is not None and set(names) <= {name.lower() for name in columns.names}


def _text(values: np.ndarray) -> np.ndarray:
    return np.char.strip(np.asarray(values).astype(str))


def _sdss(hdus: HDUList, path: Path) -> SpectraBlock:
    """SDSS, BOSS and eBOSS: the coadd in extension 1, the pipeline's row in extension 2; vacuum wavelengths."""
    row = hdus[2].data if len(hdus) > 2 else None
    if row is None or not len(row):
        raise CatalogueError(f"{path}: lacks its second table, of class and redshift. Fetch it again, or leave it out.")
    table = hdus[1].data
    check_f_lambda(next(column.unit for column in hdus[1].columns if column.name.lower() == "flux"), path)
    column = {name.upper(): name for name in row.names}

    def value(*names: str, default: object = np.nan) -> np.ndarray:
        name = next((column[n] for n in names if n in column), None)
        return native(np.atleast_1d(row[name][:1])) if name else np.array([default])

    flux, ivar = native(table["flux"]).astype(np.float32), native(table["ivar"]).astype(np.float32)
    if "and_mask" in table.names:
        ivar = np.where(native(table["and_mask"]) != 0, np.float32(0), ivar)
    thing = value("THING_ID", default=-1).astype(np.int64)
    # Schlafly & Finkbeiner (2011): A_r = 2.285 E(B-V); SDSS lists the extinction of u g r i z.
    dust = value("EXTINCTION")
    ebv = dust[:, 2] / 2.285 if dust.ndim == 2 and dust.shape[1] == 5 else value("SFD_EBV", "EBV")
    plate, mjd, fibre = (int(value(n, default=0)[0]) for n in ("PLATE", "MJD", "FIBERID"))
    made = (plate * 100_000 + mjd) * 10_000 + fibre
    return SpectraBlock(
        vacuum_wavelengths(10.0 ** native(table["loglam"]).astype(np.float64), hdus[0].header), flux[None], ivar[None],
        (path.name,), np.where(thing > 0, thing, made), _text(value("CLASS", default="")),
        _text(value("SUBCLASS", default="")), value("Z").astype(np.float64),
        value("ZWARNING", default=0).astype(np.int64), value("PLUG_RA", "RA").astype(np.float64),
        value("PLUG_DEC", "DEC").astype(np.float64), np.where(ebv > 0, ebv, np.nan).astype(np.float64),
    )  # fmt: skip


def _desi(hdus: HDUList, path: Path) -> SpectraBlock:
    """DESI coadds: the arms merged by inverse variance, redshifts from the redrock file beside it."""
    from astropy.io import fits

    fibres = hdus["FIBERMAP"].data
    wavelength, flux, ivar = _merged_arms(hdus, path)
    n = len(fibres)
    beside = path.with_name(path.name.replace("coadd", "redrock", 1))
    if not beside.exists():
        beside = beside.with_suffix("") if beside.suffix == ".gz" else beside.with_name(f"{beside.name}.gz")
    spectype, subtype = np.full(n, "", dtype="U6"), np.full(n, "", dtype="U20")
    z, warning = np.full(n, np.nan), np.zeros(n, dtype=np.int64)
    if "coadd" in path.name and beside.exists():
        with fits.open(beside, memmap=False) as found:
            known = found["REDSHIFTS"].data
            if not len(known):
                raise CatalogueError(f"{beside}: its REDSHIFTS are empty. Run redrock again, or leave {path.name} out.")
            place = {int(t): i for i, t in enumerate(known["TARGETID"])}
            rows = np.array([place.get(int(t), -1) for t in fibres["TARGETID"]])
            has = rows >= 0
            spectype[has], subtype[has] = _text(known["SPECTYPE"])[rows[has]], _text(known["SUBTYPE"])[rows[has]]
            z[has], warning[has] = known["Z"][rows[has]], known["ZWARN"][rows[has]]
    return SpectraBlock(
        wavelength, flux, ivar, tuple(f"{path.name}[{i}]" for i in range(n)),
        native(fibres["TARGETID"]).astype(np.int64), spectype, subtype, z, warning,
        native(fibres["TARGET_RA"]).astype(np.float64),
        native(fibres["TARGET_DEC"]).astype(np.float64),
        native(fibres["EBV"]).astype(np.float64) if "EBV" in fibres.names else np.full(n, np.nan),
    )  # fmt: skip


def _merged_arms(hdus: HDUList, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the B, R and Z arms as one spectrum on the union of their grids, shapes (m,), (n, m), (n, m)."""
    arms = [arm for arm in ("BRZ", "B", "R", "Z") if f"{arm}_FLUX" in hdus]
    for arm in arms:
        check_f_lambda(hdus[f"{arm}_FLUX"].header.get("BUNIT"), path)
    grids = [native(hdus[f"{arm}_WAVELENGTH"].data).astype(np.float64) for arm in arms]
    # The arms share one step, 0.8 Å: rounding tells equal pixels.
    ticks = [np.round(grid * 10).astype(np.int64) for grid in grids]
    union = np.unique(np.concatenate(ticks))
    n = hdus[f"{arms[0]}_FLUX"].data.shape[0]
    weighted, ivar = np.zeros((n, len(union))), np.zeros((n, len(union)))
    for arm, tick in zip(arms, ticks, strict=True):
        weight = native(hdus[f"{arm}_IVAR"].data).astype(np.float64)
        if f"{arm}_MASK" in hdus:
            weight = np.where(native(hdus[f"{arm}_MASK"].data) != 0, 0.0, weight)
        flux = native(hdus[f"{arm}_FLUX"].data).astype(np.float64)
        weight = np.where(np.isfinite(flux), weight, 0.0)
        place = np.searchsorted(union, tick)
        weighted[:, place] += weight * np.where(weight > 0, flux, 0.0)
        ivar[:, place] += weight
    with np.errstate(invalid="ignore", divide="ignore"):
        flux = np.where(ivar > 0, weighted / ivar, np.nan)
    return union / 10.0, flux.astype(np.float32), ivar.astype(np.float32)


def _redrock(hdus: HDUList, path: Path) -> Templates:
    """Redrock templates: basis vectors at rest, and the coefficients of real spectra where the file has them."""
    head, vectors = hdus["BASIS_VECTORS"].header, native(hdus["BASIS_VECTORS"].data).astype(np.float32)
    grid = head["CRVAL1"] + head["CDELT1"] * np.arange(vectors.shape[1])
    many = hdus["ARCHETYPE_COEFF"].data if "ARCHETYPE_COEFF" in hdus else np.zeros((0, len(vectors)))
    subtype = str(head.get("RRSUBTYP", "")).strip()
    return Templates(
        10.0**grid if head.get("LOGLAM") else grid, vectors, native(many).astype(np.float32),
        tuple(f"{path.name}[{i}]" for i in range(len(many))), str(head["RRTYPE"]).strip(),
        (subtype,) * len(many), path.name,
    )  # fmt: skip


_GRID = ("wavelength", "loglam", "flux")
_KEYS = {
    "wavelength": ("wavelength", "wave", "lambda", "lam"),
    "loglam": ("loglam", "logwave"),
    "flux": ("flux",),
    "ivar": ("ivar",),
    "error": ("error", "err", "sigma", "flux_error", "flux_err", "fluxerr", "e_flux", "uncertainty", "noise"),
    "z": ("z", "redshift"),
    "id": ("targetid", "specid", "object_id", "id", "thing_id"),
    "spectype": ("spectype", "class", "cls"),
    "subtype": ("subtype", "subclass", "sub", "name"),
    "warning": ("zwarn", "zwarning", "redshift_warning"),
    "ra": ("ra", "target_ra"),
    "dec": ("dec", "target_dec"),
    "ebv": ("ebv",),
}


def _key(names: Iterable[str], what: str) -> str | None:
    known = {name.lower(): name for name in names}
    return next((known[key] for key in _KEYS[what] if key in known), None)


def _read_npz(path: Path) -> Iterator[SpectraBlock | Templates]:
    """Arrays of one grid: wavelength (or loglam), flux (n, m), and ivar, z, ids where spectra were observed."""
    try:
        with np.load(path, allow_pickle=False) as store:
            names = [name for name in store.files if _readable(store, name)]
            wave, log, flux = (_key(names, what) for what in _GRID)
            if flux is None or (wave is None and log is None):
                raise CatalogueError(f"{path}: has no flux on wavelengths. It has {', '.join(names)}.")
            grid = 10.0 ** store[log] if wave is None else np.asarray(store[wave], dtype=np.float64)
            values = np.atleast_2d(np.asarray(store[flux], dtype=np.float32))
            given = {what: store[key] for what in _KEYS if what not in _GRID and (key := _key(names, what))}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise CatalogueError(f"{path}: cannot be read as spectra ({error}).") from error
    if grid.ndim != 1:
        raise CatalogueError(f"{path}: its wavelengths are of shape {grid.shape}: one grid for all rows is expected.")
    for what in {"ivar", "error"} & given.keys():
        given[what] = np.atleast_2d(given[what])
    yield from _from_columns(path, grid, values, given)


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
    for what, values in {"flux": flux, "ivar": flux, "error": flux, **given}.items():
        if what in ("flux", "ivar", "error") and values.shape != (n, len(grid)):
            raise CatalogueError(f"{path}: {what} has {values.shape[-1]} pixels a row, wavelength has {len(grid)}.")
    if "error" in given and "ivar" not in given:
        error = np.asarray(given["error"], dtype=np.float64)
        given["ivar"] = np.divide(1.0, error**2, out=np.zeros_like(error), where=np.isfinite(error) & (error > 0))
    names = np.array([f"{path.name}[{i}]" for i in range(n)])
    text = {what: _text(given.get(what, np.full(n, ""))) for what in ("spectype", "subtype")}

    def number(what: str, whole: bool = False) -> np.ndarray:
        values = given.get(what, np.full(n, -1 if whole else np.nan))
        if values.dtype.kind in "US":
            values = spelt_numbers(values, whole, f"{path}[{what}]", 0)
        if whole and values.dtype.kind == "f" and (np.abs(values) > 2.0**53).any():
            raise CatalogueError(f"{path}: its ids are stored as floating point, which corrupts those above 2^53.")
        return np.ma.filled(np.ma.masked_invalid(values), -1).astype(np.int64) if whole else values.astype(np.float64)

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
        grid, flux, np.nan_to_num(np.asarray(given["ivar"], dtype=np.float32)), tuple(names.tolist()),
        number("id", whole=True), text["spectype"], text["subtype"], number("z"),
        np.nan_to_num(number("warning")).astype(np.int64), number("ra"), number("dec"), number("ebv"),
    )  # fmt: skip


def _read_parquet(path: Path) -> Iterator[SpectraBlock | Templates]:
    """A table with a spectrum in each row, as SPARCL exports it; rows of one grid become a block."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise CatalogueError(f"{path}: cannot be read as Parquet ({error}).") from error
    names = table.column_names
    held = {what: table[key].to_pylist() for what in _KEYS if (key := _key(names, what))}
    if (logs := held.pop("loglam", None)) and "wavelength" not in held:
        held["wavelength"] = [None if log is None else 10.0 ** np.asarray(log, dtype=np.float64) for log in logs]
    if not {"wavelength", "flux"} <= held.keys():
        raise CatalogueError(f"{path}: has no columns of wavelengths and fluxes. It has {', '.join(names)}.")
    grids: dict[bytes, list[int]] = {}
    for row, wave in enumerate(held.pop("wavelength")):
        pixels = {np.shape(held[what][row]) for what in ("flux", "ivar", "error") if what in held}
        if wave is None or pixels != {np.shape(wave)}:
            raise CatalogueError(
                f"{path}: row {row} has not as many fluxes, ivar or error as wavelengths. Drop the row."
            )
        grids.setdefault(np.asarray(wave, dtype=np.float64).tobytes(), []).append(row)
    for grid, rows in grids.items():
        given = {what: np.array([values[row] for row in rows]) for what, values in held.items()}
        yield from _from_columns(path, np.frombuffer(grid), given.pop("flux").astype(np.float32), given)


def _read_columns(path: Path) -> Iterator[SpectraBlock | Templates]:
    """A template as two columns of text: wavelength in Å at rest (or loglam), f_λ."""
    table = number_columns(path)
    if len(table) < 10:
        raise CatalogueError(f"{path}: is no template. Expected two columns, wavelength in Å and flux.")
    one = np.ones((1, 1), dtype=np.float32)
    yield Templates(table[:, 0], table[None, :, 1].astype(np.float32), one, (path.name,), "", (path.stem,), path.name)
