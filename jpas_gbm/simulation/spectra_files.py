"""Spectra from files: DESI coadds, SDSS spec files, tables and templates; as blocks of one grid, or put on ours."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CatalogueError
from ..store import native
from ..surveys.bands import vacuum_wavelengths
from ..surveys.formats.several import spelt_out
from ..surveys.packing import as_text, is_packed, open_content
from ..surveys.schema import spectype_words
from ..surveys.spelling import angstroms, check_f_lambda
from ..text import count, named_table
from .spectra import milky_way
from .spectra_tables import TABLES, SpectraBlock, Templates, read_fits_image, read_fits_table
from .throughput import STEP, WAVELENGTH, wrong_unit

if TYPE_CHECKING:
    from astropy.io.fits import FITS_rec, HDUList

SPECTYPES = ("QSO", "GALAXY", "STAR")  # the classes that spectra have


def check_wavelengths(grid: np.ndarray, place: object) -> None:
    """Refuse wavelengths of spectra that do not increase, or are not in Å.

    Parameters
    ----------
    grid : array of float64, shape (m,)
        As if in Å.
    place : path or str
        For the message.

    Raises
    ------
    CatalogueError
        If they are not.
    """
    if len(grid) < 10 or not np.isfinite(grid).all() or (np.diff(grid) <= 0).any():
        raise CatalogueError(f"{place}: its wavelengths do not increase from pixel to pixel, or are fewer than 10.")
    if not 0 < grid[0] < 30_000.0:
        raise CatalogueError(f"{place}: its wavelengths begin at {grid[0]:g}; Å are expected, from 0 to 30,000.")
    if unit := wrong_unit(grid[-1]):
        raise CatalogueError(f"{place}: its wavelengths end at {grid[-1]:g}; that looks like {unit}. Å are expected.")


def read_spectra(files: Iterable[str | Path]) -> Iterator[SpectraBlock | Templates]:
    """Read spectra file by file; of what kind each file is, it says itself.

    Parameters
    ----------
    files : iterable of path
        DESI coadds (with the redrock file beside them), SDSS or BOSS spec files, redrock templates, ``.npz``,
        Parquet or FITS tables of spectra, FITS images of one, tables of two columns (text or FITS). A folder stands
        for its files.
        ``QSO=``, ``GALAXY=`` or ``STAR=`` before a path gives the class of spectra whose file does not say it.

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
    seen: dict[Path, str] = {}
    for word in files:
        given, mark, rest = str(word).partition("=")
        named = mark and given.upper() in SPECTYPES and not Path(word).exists()
        given, rest = (given.upper(), rest) if named else ("", str(word))
        for path in spelt_out(rest):
            if not path.exists():
                whole = "names a table of a file, and spectra are read of files: save it as one of its own."
                raise CatalogueError(f"{path}: {whole if named_table(path)[1] else 'there is no such file.'}")
            inside = sorted(filter(_is_spectra, path.iterdir())) if path.is_dir() else [path]
            folders = [each.name for each in path.iterdir() if each.is_dir()] if path.is_dir() else []
            hint = f" Folders in it are not entered: give {path}/*/* or such." if folders else ""
            if not inside:
                raise CatalogueError(f"{path}: is a folder without spectra (.fits, .npz, .parquet, .txt).{hint}")
            if folders:
                logging.getLogger("jpas_gbm").warning("%s: has folders in it.%s", path, hint)
            for each in inside:
                if (place := each.resolve()) not in seen:
                    yield each, given
                elif seen[place] != given:
                    raise CatalogueError(f"{each}: is given twice, as {seen[place] or given} and as something else.")
                seen[place] = given


def _is_spectra(path: Path) -> bool:
    """Return whether a file of a folder holds spectra; redrock results and words for people stand there too."""
    if not _SPECTRA.fullmatch(path.name.lower()):
        return False
    prose = path.suffix.lower() in (".txt", ".dat") and not re.search(
        rb"(?m)^\s*[\d.]+[\s,;]+[-+\d.]", path.read_bytes()
    )
    if prose:
        logging.getLogger("jpas_gbm").warning("%s: holds no columns of numbers, and is left out.", path)
    return not prose


_SPECTRA = re.compile(r"(?!.*(redrock-|_redrock)|readme|licen[cs]e).*\.(fits?(\.gz)?|npz|parquet|pq|txt|dat)")


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
    # One letter may be a type of stars.
    if known := {name.upper(): of for name, of in spectype_words().items() if len(name) > 2}.get(word.upper()):
        return known
    said = f"calls a spectrum '{word}'" if word else "does not say of which class its spectra are"
    raise CatalogueError(
        f"{path}: {said}; known are {', '.join(SPECTYPES)}. Say it before the path, as in STAR={path.name}; "
        "for a DESI coadd, put the redrock file beside it."
    )


def _reader(path: Path) -> Callable[[Path], Iterator[SpectraBlock | Templates]]:
    readers = {**TABLES, ".fits": _read_fits, ".fit": _read_fits}
    ending = path.suffix.lower()
    if path.name.lower().endswith(".fits.gz") or ending in readers:
        return readers.get(ending, _read_fits)
    raise CatalogueError(f"{path}: is of no kind that holds spectra here: .fits, .npz, .parquet, .txt or .dat.")


def _read_fits(path: Path) -> Iterator[SpectraBlock | Templates]:
    try:
        with _opened(path) as hdus:
            names = {hdu.name for hdu in hdus}
            if "FIBERMAP" in names and names & {"B_FLUX", "R_FLUX", "Z_FLUX", "BRZ_FLUX"}:
                yield _desi(hdus, path)
            elif "BASIS_VECTORS" in names:
                yield _redrock(hdus, path)
            elif len(hdus) > 1 and _has(hdus[1], "loglam", "flux", "ivar") and hdus[1].data["loglam"].ndim == 1:
                yield _sdss(hdus, path)
            elif (table := next((one for one in hdus if _has(one, "flux")), None)) is not None:
                yield from read_fits_table(table, hdus[0].header, path)
            elif images := [hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS", 0)]:
                yield from read_fits_image(images, hdus[0].header, path)
            else:
                held = ", ".join(sorted(filter(None, names)))
                known = "DESI coadds, SDSS spec files, redrock templates, tables and images of spectra"
                what = f"{path}: is a FITS file of no kind of spectra known here, with {held}."
                raise CatalogueError(f"{what} Known are {known}.")
    except CatalogueError:
        raise
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise CatalogueError(
            f"{path}: cannot be read as spectra ({error}). Fetch it again, or leave it out."
        ) from error


def _opened(path: Path) -> HDUList:
    """Open a FITS file, whole: what is truncated is refused, and where checksums do not fit it is said."""
    from astropy.io import fits

    content = io.BytesIO(open_content(path).read()) if is_packed(path) else path
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        hdus = fits.open(content, memmap=False, checksum=True, lazy_load_hdus=False)
    words = [str(one.message) for one in told]
    if any("truncated" in word for word in words):
        raise CatalogueError(f"{path}: is truncated or damaged. Fetch it again, or leave it out.")
    if wrong := [word for word in words if re.search("(check|data)sum verification failed", word, re.IGNORECASE)]:
        logging.getLogger("jpas_gbm").warning("%s: %s Fetch it again if it was not changed.", path, wrong[0].strip())
    return hdus


def _has(hdu: object, *names: str) -> bool:
    columns = getattr(hdu, "columns", None)
    return columns is not None and set(names) <= {name.lower() for name in columns.names}


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
        found = native(np.atleast_1d(row[name][:1])) if name else np.array([default])
        return found[:, 0] if found.shape[1:] == (1,) else found

    flux, ivar = native(table["flux"]).astype(np.float32), native(table["ivar"]).astype(np.float32)
    if "and_mask" in table.names:
        ivar = np.where(native(table["and_mask"]) != 0, np.float32(0), ivar)
    thing = value("THING_ID", default=-1).astype(np.int64)
    # Schlafly & Finkbeiner (2011): A_r = 2.285 E(B-V); SDSS lists the extinction of u g r i z.
    dust = value("EXTINCTION")
    ebv = dust[:, 2] / 2.285 if dust.ndim == 2 and dust.shape[1] == 5 else value("SFD_EBV", "EBV")

    def whole(name: str) -> int:
        return int(word) if (word := str(value(name, default="")[0]).strip().removesuffix(".0")).isdigit() else 0

    plate, mjd, fibre = map(whole, ("PLATE", "MJD", "FIBERID"))  # SDSS-V has fields in place of plates
    made = (plate * 100_000 + mjd) * 10_000 + fibre if plate and fibre else whole("SDSS_ID") or whole("CATALOGID") or -1
    if made < 0 and thing[0] <= 0:
        logging.getLogger("jpas_gbm").warning("%s: names no object (THING_ID, SDSS_ID), and is one of its own.", path)
    return SpectraBlock(
        vacuum_wavelengths(10.0 ** native(table["loglam"]).astype(np.float64), hdus[0].header, path),
        flux[None], ivar[None],
        (path.name,), np.where(thing > 0, thing, made), as_text(value("CLASS", default="")),
        as_text(value("SUBCLASS", default="")), value("Z").astype(np.float64),
        value("ZWARNING", default=0).astype(np.int64), value("PLUG_RA", "RA", "RACAT").astype(np.float64),
        value("PLUG_DEC", "DEC", "DECCAT").astype(np.float64), ebv.astype(np.float64),
    )  # fmt: skip


def _desi(hdus: HDUList, path: Path) -> SpectraBlock:
    """DESI coadds: the arms merged by inverse variance, redshifts from the redrock file beside it."""
    fibres = hdus["FIBERMAP"].data
    wavelength, flux, ivar = _merged_arms(hdus, path)
    if (n := len(fibres)) != len(flux):
        seen = count(len(flux), "spectrum", "spectra")
        raise CatalogueError(f"{path}: has {seen}, and {count(n, 'row')} in FIBERMAP. Fetch it again.")
    spectype, subtype = np.full(n, "", dtype="U6"), np.full(n, "", dtype="U20")
    z, warning = np.full(n, np.nan), np.zeros(n, dtype=np.int64)
    ids = native(fibres["TARGETID"]).astype(np.int64)
    if (beside := _redrock_beside(path)) is not None:
        known = _redshifts(beside, path)
        place = {target: i for i, target in enumerate(known["TARGETID"].tolist())}
        rows = np.array([place.get(target, -1) for target in ids.tolist()])
        has = rows >= 0
        if not has.any():
            raise CatalogueError(
                f"{beside}: has the redshift of no TARGETID of {path.name}. Give the file of this coadd."
            )
        spectype[has] = as_text(known["SPECTYPE"])[rows[has]]
        z[has], warning[has] = known["Z"][rows[has]], known["ZWARN"][rows[has]]
        if "SUBTYPE" in known.names:
            subtype[has] = as_text(known["SUBTYPE"])[rows[has]]
    else:
        has = np.ones(n, dtype=bool)
    science = ids > 0
    if "OBJTYPE" in fibres.names:
        science &= as_text(fibres["OBJTYPE"]) == "TGT"
    status = next((name for name in ("COADD_FIBERSTATUS", "FIBERSTATUS") if name in fibres.names), None)
    sound = np.ones(n, dtype=bool) if status is None else native(fibres[status]) == 0
    if not (used := has & science & sound).all():
        left = {"of sky or no target": ~science, f"of a fibre with a problem ({status} is not 0)": science & ~sound}
        left[f"that {getattr(beside, 'name', '')} lacks"] = science & sound & ~has
        reasons = ", ".join(f"{rows.sum()} {why}" for why, rows in left.items() if rows.any())
        logging.getLogger("jpas_gbm").warning(
            "%s: %d of %d spectra are left out: %s.", path, n - used.sum(), n, reasons
        )
    block = SpectraBlock(
        wavelength, flux, ivar, tuple(f"{path.name}[{i}]" for i in range(n)),
        ids, spectype, subtype, z, warning,
        *(native(fibres[name]).astype(np.float64) if name in fibres.names else np.full(n, np.nan)
          for name in ("TARGET_RA", "TARGET_DEC", "EBV")),
    )  # fmt: skip
    return block.take(used)


def _redrock_beside(path: Path) -> Path | None:
    """Return the file of redshifts beside a coadd, packed or not; None where there is none."""
    beside = path.with_name(path.name.replace("coadd", "redrock", 1))
    both = (beside, beside.with_suffix("") if beside.suffix == ".gz" else beside.with_name(f"{beside.name}.gz"))
    return next((each for each in both if "coadd" in path.name and each.exists()), None)


def _redshifts(beside: Path, path: Path) -> FITS_rec:
    """Return redrock's table."""
    with _opened(beside) as found:
        table = found["REDSHIFTS"].data if "REDSHIFTS" in found else None
    if table is None or (lacking := {"TARGETID", "Z", "ZWARN", "SPECTYPE"} - set(table.names)):
        told = "no table REDSHIFTS" if table is None else f"no {', '.join(sorted(lacking))}"
        raise CatalogueError(
            f"{beside}: has {told}, as redrock writes it. Run redrock again, or leave {path.name} out."
        )
    if not len(table):
        raise CatalogueError(f"{beside}: its REDSHIFTS are empty. Run redrock again, or leave {path.name} out.")
    return table


def _merged_arms(hdus: HDUList, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the B, R and Z arms as one spectrum on the union of their grids, shapes (m,), (n, m), (n, m)."""
    arms = [arm for arm in ("BRZ", "B", "R", "Z") if f"{arm}_FLUX" in hdus]
    parts = [_arm(hdus, arm, path) for arm in arms]
    # The arms share one step, 0.8 Å: rounding tells equal pixels.
    ticks = [np.round(grid * 10).astype(np.int64) for grid, *_ in parts]
    fluxes, weights = [flux for _, flux, *_ in parts], [weight for *_, weight, _ in parts]
    union = np.unique(np.concatenate(ticks))
    unit = next((size for *_, size in parts if np.isfinite(size)), 1.0)
    for k, (*_, size) in enumerate(parts):
        if np.isfinite(size) and size != unit:
            fluxes[k], weights[k] = fluxes[k] * (size / unit), weights[k] * (size / unit) ** -2
    if len({len(flux) for flux in fluxes}) > 1:
        told = ", ".join(f"{len(flux)} in {arm}" for arm, flux in zip(arms, fluxes, strict=True))
        raise CatalogueError(f"{path}: its arms have different numbers of spectra ({told}). Fetch it again.")
    weighted, ivar = np.zeros((2, len(fluxes[0]), len(union)))
    scales = _arm_scales(arms, ticks, fluxes, weights)
    for tick, flux, weight, scale in zip(ticks, fluxes, weights, scales, strict=True):
        place = np.searchsorted(union, tick)
        weight = weight / scale[:, None] ** 2
        weighted[:, place] += weight * flux * scale[:, None]
        ivar[:, place] += weight
    if (rows := np.flatnonzero((np.array(scales) != 1.0).any(axis=0))).size:
        told = ", ".join(f"{path.name}[{row}]" for row in rows[:5])
        logging.getLogger("jpas_gbm").warning(
            "%s: the arms of %d of %d spectra do not join, and are scaled to R: %s%s.",
            path, len(rows), len(ivar), told, " ..." if len(rows) > 5 else "",
        )  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        flux = np.where(ivar > 0, weighted / ivar, np.nan)
    return union / 10.0, flux.astype(np.float32), ivar.astype(np.float32)


def _arm(hdus: HDUList, arm: str, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return wavelengths, fluxes, inverse variances and the unit of fluxes of an arm, NaN where none is stated."""
    size = check_f_lambda(hdus[f"{arm}_FLUX"].header.get("BUNIT"), path)
    parts = ("WAVELENGTH", "FLUX", "IVAR", *(("MASK",) if f"{arm}_MASK" in hdus else ()))
    if lacking := [f"{arm}_{part}" for part in parts if f"{arm}_{part}" not in hdus]:
        raise CatalogueError(f"{path}: lacks {', '.join(lacking)}. Fetch it again.")
    grid, flux, weight, *mask = (native(hdus[f"{arm}_{part}"].data).astype(np.float64) for part in parts)
    grid = grid * angstroms(hdus[f"{arm}_WAVELENGTH"].header.get("BUNIT"), path)
    if {grid.shape, *(each.shape[1:] for each in (flux, weight, *mask))} != {grid.shape}:
        raise CatalogueError(f"{path}: the tables of its arm {arm} have different numbers of pixels. Fetch it again.")
    order = slice(None, None, -1 if grid[0] > grid[-1] else 1)
    check_wavelengths(grid[order], f"{path}, arm {arm}")
    good = np.isfinite(flux) & np.isfinite(weight) & (weight > 0)
    good &= (mask[0] == 0) if mask else True
    return grid, np.where(good, flux, 0.0), np.where(good, weight, 0.0), size


# A step of a tenth, 5 sigma from none, between levels that are known to a twentieth.
_ARM_STEP, _ARM_SURE, _ARM_NOISE = 0.1, 5.0, 0.05


def _arm_scales(
    arms: list[str], ticks: list[np.ndarray], fluxes: list[np.ndarray], weights: list[np.ndarray]
) -> list[np.ndarray]:
    """Return what makes each arm as bright as R where they overlap, (n,) each; 1 where noise may be why they differ.

    Each half of an overlap must show the step, as one cosmic ray does not; the lesser one is taken. Faint spectra,
    whose levels are not known to a twentieth, stay as they are: what differs there is the sky taken off, no factor.
    """
    scales = [np.ones(len(flux)) for flux in fluxes]
    for moved in (k for k, arm in enumerate(arms) if "R" in arms and arm in ("B", "Z")):
        k = arms.index("R")
        _, own, other = np.intersect1d(ticks[moved], ticks[k], return_indices=True)
        logs = []
        for half in (slice(None, len(own) // 2), slice(len(own) // 2, None)):
            flux = np.stack([fluxes[moved][:, own[half]], fluxes[k][:, other[half]]])
            weight = np.stack([weights[moved][:, own[half]], weights[k][:, other[half]]])
            with np.errstate(invalid="ignore", divide="ignore"):
                both = np.where((weight > 0).all(axis=0), 1.0 / (1.0 / weight).sum(axis=0), 0.0)
                total = both.sum(axis=1)
                level = (both * flux).sum(axis=2) / total
                noise = np.sqrt((both**2 * np.where(both > 0, 1.0 / weight, 0.0)).sum(axis=2)) / total
                known = (level > 0).all(axis=0) & (noise < _ARM_NOISE * level).all(axis=0)
                known &= np.abs(level[1] - level[0]) > _ARM_SURE * np.hypot(*noise)
                logs.append(np.where(known, np.log(level[1] / level[0]), 0.0))
        least = np.where(np.abs(logs[0]) < np.abs(logs[1]), *logs)
        scales[moved] = np.exp(np.where((logs[0] * logs[1] > 0) & (np.abs(least) > _ARM_STEP), least, 0.0))
    return scales


_EDGES = np.append(WAVELENGTH, WAVELENGTH[-1] * np.exp(STEP)) * np.exp(-STEP / 2)


def rebinned(wavelength: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """Return spectra as means over the pixels of the simulation's grid.

    Parameters
    ----------
    wavelength : array of float64, shape (m,)
        Å, increasing.
    spectra : array, shape (n, m)
        f_λ; NaN outside a spectrum's range.

    Returns
    -------
    array of float32, shape (n, len(WAVELENGTH))
        NaN in pixels that are not wholly covered, nor between samples that are 2 % and 10 usual steps apart.
    """
    out = np.full((len(spectra), len(WAVELENGTH)), np.nan, dtype=np.float32)
    for row, values in zip(out, np.asarray(spectra, dtype=np.float64), strict=True):
        good = np.isfinite(values)
        if good.sum() < 2:
            continue
        x, y = wavelength[good], values[good]
        total = np.append(0.0, np.cumsum(np.diff(x) * (y[1:] + y[:-1]) / 2))
        inside = (x[0] <= _EDGES) & (x[-1] >= _EDGES)
        if inside.sum() < 2:
            continue
        # Between samples the integral is quadratic; pixels are wider than samples, or the spectrum is smooth.
        left = np.clip(np.searchsorted(x, _EDGES[inside], side="right") - 1, 0, len(x) - 2)
        part = _EDGES[inside] - x[left]
        slope = (y[left + 1] - y[left]) / (x[left + 1] - x[left])
        integral = total[left] + part * (y[left] + slope * part / 2)
        first = int(np.argmax(inside))
        step = np.diff(x) / x[1:]
        gap = ((step > 0.02) & (step > 10 * np.median(step)))[left]
        integral[gap] = np.nan
        row[first : first + inside.sum() - 1] = np.diff(integral) / np.diff(_EDGES[inside])
    return out


SKY_LINES = ((5565.0, 5590.0), (6290.0, 6310.0))  # Å, [O I] of the night sky


def at_rest(block: SpectraBlock, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a spectrum without Galactic dust, at rest on the simulation's grid: flux and inverse variance.

    Parameters
    ----------
    block : SpectraBlock
        Observed spectra.
    row : int
        Which one.

    Returns
    -------
    flux, weight : array of float64, shape (len(WAVELENGTH),)
        0 where nothing was measured, or a line of the night sky stands.
    """
    observed, z = block.wavelength, float(block.z[row])
    good = block.good[row]
    for low, high in SKY_LINES:
        good = good & ~((observed > low) & (observed < high))
    flux, weight = block.flux[row, good].astype(np.float64), block.ivar[row, good].astype(np.float64)
    if block.ebv[row] > 0:
        seen = np.exp(-0.921034 * block.ebv[row] * milky_way(observed[good]))
        flux, weight = flux / seen, weight * seen**2
    pixel = np.rint(np.log(observed[good] / (1 + z) / WAVELENGTH[0]) / STEP).astype(int)
    inside = (pixel >= 0) & (pixel < len(WAVELENGTH))
    total = np.bincount(pixel[inside], weight[inside], len(WAVELENGTH))
    sums = np.bincount(pixel[inside], (weight * flux)[inside], len(WAVELENGTH))
    return np.where(total > 0, sums / np.maximum(total, 1e-300), 0.0), total


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
