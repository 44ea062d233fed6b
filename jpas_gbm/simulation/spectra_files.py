"""Spectra from files: DESI coadds, SDSS spec files, tables of spectra and templates, as blocks of one grid."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CatalogueError
from ..store import native
from ..surveys.formats.several import spelt_out
from ..surveys.spelling import check_f_lambda, check_wavelengths, number_columns, vacuum_wavelengths
from ..text import count
from .spectra_tables import TABLES, SpectraBlock, Templates, read_fits_image, read_fits_table, words_of

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

SPECTYPES = ("QSO", "GALAXY", "STAR")
"""The classes that spectra have."""


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
    readers = {**TABLES, ".fits": _read_fits, ".fit": _read_fits}
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
        (path.name,), np.where(thing > 0, thing, made), words_of(value("CLASS", default="")),
        words_of(value("SUBCLASS", default="")), value("Z").astype(np.float64),
        value("ZWARNING", default=0).astype(np.int64), value("PLUG_RA", "RA").astype(np.float64),
        value("PLUG_DEC", "DEC").astype(np.float64), np.where(ebv > 0, ebv, np.nan).astype(np.float64),
    )  # fmt: skip


def _desi(hdus: HDUList, path: Path) -> SpectraBlock:
    """DESI coadds: the arms merged by inverse variance, redshifts from the redrock file beside it."""
    from astropy.io import fits

    fibres = hdus["FIBERMAP"].data
    wavelength, flux, ivar = _merged_arms(hdus, path)
    if (n := len(fibres)) != len(flux):
        seen = count(len(flux), "spectrum", "spectra")
        raise CatalogueError(f"{path}: has {seen}, and {count(n, 'row')} in FIBERMAP. Fetch it again.")
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
            spectype[has], subtype[has] = words_of(known["SPECTYPE"])[rows[has]], words_of(known["SUBTYPE"])[rows[has]]
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
    fluxes, weights = [], []
    for arm in arms:
        flux, weight = (native(hdus[f"{arm}_{what}"].data).astype(np.float64) for what in ("FLUX", "IVAR"))
        if f"{arm}_MASK" in hdus:
            weight = np.where(native(hdus[f"{arm}_MASK"].data) != 0, 0.0, weight)
        weights.append(np.where(np.isfinite(flux), weight, 0.0))
        fluxes.append(np.where(weights[-1] > 0, flux, 0.0))
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
