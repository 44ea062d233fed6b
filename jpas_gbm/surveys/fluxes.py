"""From the numbers of a file to fluxes in nJy: units, magnitudes, sentinels, flags and errors, each rule counted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import CatalogueError
from .band_finder import BandLayout
from .bands import AB_ZERO_POINT, BandSystem, njy_per_unit
from .batches import MOST_MAGNITUDES, Block, as_float, flag_bits, is_magnitude
from .quality import QualityBit, QualityCount, calls_itself_no_error, doubted_depth, seem_magnitudes
from .schema import Photometry, QualitySection, all_schemas
from .spelling import refuse_unit, says_nothing, stated_unit
from .tables import ARRAY

_POGSON = 2.5 / np.log(10)


def flux_unit(rule: Photometry, stated: str | None, place: str = "", column: str = "") -> tuple[str, float]:
    """Return what fluxes are and the size of their unit in cgs; what the file states wins over the survey file.

    A file's plain "mag" does not tell asinh magnitudes from others, so there the survey file has the word.

    Parameters
    ----------
    rule : Photometry
        What the survey file says.
    stated : str, optional
        What the file says.
    place, column : str
        The table and the column, for messages.

    Returns
    -------
    kind : str
        One of those of ``Photometry.unit``.
    scale : float
        One unit in erg/s/cm2/Å or erg/s/cm2/Hz.

    Raises
    ------
    CatalogueError
        If a unit is stated that is not understood, or is none of fluxes.
    """
    if says_nothing(stated):
        return rule.unit, rule.scale
    found = stated_unit(stated)
    if found is None or found.kind == "ratio":
        raise refuse_unit(
            place, column, stated, "which is no flux density or AB magnitude that is read here (such as nJy, "
            "nanomaggy, 1e-19 erg/s/cm2/Angstrom or mag(AB))"
        )  # fmt: skip
    if found.kind == "ab_magnitude" and rule.unit == "asinh_magnitude":
        return rule.unit, rule.scale
    return found


@dataclass(frozen=True)
class FluxUnits:
    """In what the fluxes and errors of one file are.

    Parameters
    ----------
    kind : str
        What the fluxes are: f_lambda, f_nu, ab_magnitude or asinh_magnitude.
    scale : float
        Size of their unit in cgs.
    error_kind : str
        What the errors are: relative, absolute, magnitude or none.
    error_factor : float
        What brings errors to the unit of the fluxes, or relative ones to shares.
    """

    kind: str
    scale: float
    error_kind: str
    error_factor: float = 1.0


def _one(units: dict[str, tuple[str, float]], place: str) -> tuple[str, float]:
    """Return the unit that all columns share, or refuse them."""
    first, *others = units
    for other in others:
        if units[other] != units[first]:
            raise CatalogueError(
                f"{place}: the columns {first} and {other} are in different units. All bands need one unit: convert "
                "them, or mend the units in the file."
            )
    return units[first]


def flux_units(layout: BandLayout, place: str) -> FluxUnits:
    """Return in what fluxes and errors are, by the units that their columns state and else by the survey file.

    Parameters
    ----------
    layout : BandLayout
        Columns and their stated units.
    place : str
        The table, for messages.

    Returns
    -------
    FluxUnits
        Of fluxes and of errors.

    Raises
    ------
    CatalogueError
        If a stated unit is not understood or does not fit what the column holds, or columns differ in it.
    """
    rule, units = layout.rule, layout.units
    # Ratios to one band are in the unit of that band's flux.
    read = layout.flux.columns if layout.level is None else (layout.level,)
    kind, scale = _one({name: flux_unit(rule, units.get(name), place, name) for name in read}, place)
    if layout.error is None or layout.level is not None:
        # The paper's arrays have no columns to state units.
        return FluxUnits(kind, scale, rule.error_kind)
    errors = layout.error.columns
    found = _one({name: _error_unit(rule, kind, scale, units.get(name), place, name) for name in errors}, place)
    return FluxUnits(kind, scale, *found)


def _error_unit(
    rule: Photometry, kind: str, scale: float, stated: str | None, place: str, column: str
) -> tuple[str, float]:
    """Return what the errors of a column are, and what brings them to the unit of the fluxes."""
    magnitudes = "magnitude" in kind
    natural = "magnitude" if magnitudes else "absolute"
    if says_nothing(stated):
        if no_error := calls_itself_no_error(column):
            raise CatalogueError(
                f"{place}[{column}]: is named as errors of the fluxes, and calls itself '{no_error[0]}'. "
                "Inverse variances, variances and ratios are not read as errors: write a column of standard "
                f"deviations ({no_error[1]}), and name that."
            )
        if rule.error_kind == "relative" or magnitudes == ("magnitude" in rule.unit):
            return rule.error_kind, 1.0
        raise CatalogueError(
            f"{place}[{column}]: states no unit, and the fluxes state another than the survey file has for photometry "
            f"'{rule.name}', so what these errors are is not known. State their unit in the file."
        )
    found = stated_unit(stated)
    if found is not None and rule.error_kind == "relative" and found.kind == "ratio":
        return "relative", found.scale
    if found is not None and rule.error_kind != "relative":
        if found.kind == "ratio" and found.scale == 1 and magnitudes:
            return natural, 1.0
        if found.kind == "ab_magnitude" and magnitudes:
            return natural, 1.0
        if found.kind == kind:
            return natural, found.scale / scale
    expected = (
        "relative errors (no unit, or %)" if rule.error_kind == "relative" else "errors in the unit of the fluxes"
    )
    raise refuse_unit(place, column, stated, f"where {expected} are expected")


def njy_from_magnitudes(
    mag: np.ndarray, error: np.ndarray | None, kind: str, rule: Photometry, bands: BandSystem
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return fluxes and errors in nJy of AB or asinh magnitudes.

    An asinh magnitude m with softening b is the flux 2 b sinh(-m ln 10 / 2.5 - ln b) in units of that
    of magnitude 0 (Lupton, Gunn and Szalay 1999, AJ 118, 1406).

    Parameters
    ----------
    mag : array, shape (n, b)
        NaN where missing.
    error : array, shape (n, b), or None
        In magnitudes.
    kind : {"ab_magnitude", "asinh_magnitude"}
        Which of the two they are.
    rule : Photometry
        Gives `softening` and `ab_offset`.
    bands : BandSystem
        Names the b columns.

    Returns
    -------
    flux : array of float64, shape (n, b)
        nJy.
    error : array of float64, shape (n, b), or None
        nJy.

    Raises
    ------
    CatalogueError
        If a band has no softening.
    """
    mag = mag.astype(np.float64)
    zero = 10 ** (0.4 * (AB_ZERO_POINT - np.array([rule.ab_offset.get(name, 0.0) for name in bands.names])))
    if kind == "ab_magnitude":
        flux = zero * 10 ** (-0.4 * mag)
        return flux, None if error is None else flux * error / _POGSON
    lacking = [name for name in bands.names if name not in rule.softening]
    if lacking:
        raise CatalogueError(
            f"photometry '{rule.name}' is in asinh magnitudes, but the survey file gives no softening b for "
            f"{', '.join(lacking)}. Add it under 'softening'."
        )
    b = np.array([rule.softening[name] for name in bands.names])
    argument = -mag / _POGSON - np.log(b)
    flux = zero * 2 * b * np.sinh(argument)
    return flux, None if error is None else zero * 2 * b * np.cosh(argument) / _POGSON * error


@dataclass
class Fluxes:
    """Fluxes of some rows on their way to nJy.

    Parameters
    ----------
    flux, error : array, shape (n, b)
        NaN where missing; `error` is None where the survey gives none.
    mean : array, shape (n, b), optional
        Noise-free fluxes of a simulation.
    flagged : array of bool, shape (n,)
        Rows that lost a measured flux to its flags.
    counts : list of QualityCount
        What each rule rejected or mended.
    notes : list of str
        What is odd about all of them.
    """

    flux: np.ndarray
    error: np.ndarray | None = None
    mean: np.ndarray | None = None
    flagged: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    counts: list[QualityCount] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def reject(self, bad: np.ndarray, rule: str, sentence: str) -> None:
        """Make fluxes missing that are not so already, and count them.

        Parameters
        ----------
        bad : array of bool, shape (n, b)
            The fluxes that the rule is about.
        rule : str
            Its name.
        sentence : str
            What such fluxes are, for people.
        """
        bad = bad & ~np.isnan(self.flux)
        number = int(np.count_nonzero(bad))
        if number:
            self.flux[bad] = np.nan
        self.counts.append(QualityCount(rule, sentence, number))

    def note(self, rule: str, sentence: str, number: int, rows: bool = False) -> None:
        """Count what was only mended or noticed.

        Parameters
        ----------
        rule : str
            Its name.
        sentence : str
            What was noticed, for people.
        number : int
            Of fluxes or rows.
        rows : bool
            Whether rows were counted.
        """
        self.counts.append(QualityCount(rule, sentence, number, "rows" if rows else "fluxes"))


def _is_any(values: np.ndarray, sentinels: tuple[float, ...]) -> np.ndarray:
    hit = np.zeros(values.shape, dtype=bool)
    for sentinel in sentinels:
        hit |= values == sentinel
    return hit


def _listed(sentinels: tuple[float, ...]) -> str:
    return ", ".join(f"{sentinel:g}" for sentinel in sentinels)


def _raw(layout: BandLayout, block: Block, place: str) -> Fluxes:
    if not layout.rule.planes:
        flux = as_float(layout.flux.take(block, place))
        error = None if layout.error is None else as_float(layout.error.take(block, place))
        return Fluxes(flux, error)
    cube = block[ARRAY]
    order = np.array(layout.flux.positions)
    planes = {name: as_float(cube[:, order, i]) for i, name in enumerate(layout.rule.planes)}
    return Fluxes(planes["flux"], planes["relative_error"], planes.get("mean"))


def _reject_missing(fluxes: Fluxes, rules: QualitySection) -> None:
    fluxes.note("missing", "not observed (NaN or masked in the file)", int(np.isnan(fluxes.flux).sum()))
    fluxes.reject(np.isinf(fluxes.flux), "inf", "infinite flux, taken as missing")
    if rules.sentinels:
        hit = _is_any(fluxes.flux, rules.sentinels)
        fluxes.reject(hit, "sentinel", f"sentinel value ({_listed(rules.sentinels)}), taken as missing")
    if rules.zero_flux == "missing":
        fluxes.reject(fluxes.flux == 0, "zero_flux", "exactly 0, which this survey writes for missing")
    if fluxes.mean is not None:
        fluxes.reject(~np.isfinite(fluxes.mean), "mean", "no finite mean flux, taken as missing")


def _reject_flagged(fluxes: Fluxes, layout: BandLayout, block: Block, place: str) -> None:
    fluxes.flagged = np.zeros(len(fluxes.flux), dtype=bool)
    for rule, columns in layout.flags:
        bad = (flag_bits(columns.take(block, place), rule.column[0], place) & rule.reject) != 0
        measured = ~np.isnan(fluxes.flux)
        fluxes.flagged |= (bad & measured).any(axis=1)
        what = f" ({rule.meaning})" if rule.meaning else ""
        fluxes.reject(
            np.broadcast_to(bad, measured.shape),
            f"flag_{rule.column[0]}",
            f"rejected by {rule.column[0]} & {rule.reject}{what}",
        )


def _sigma(fluxes: Fluxes, rule: Photometry, units: FluxUnits) -> np.ndarray | None:
    """Return errors in the unit of the fluxes; magnitude errors stay magnitudes."""
    if fluxes.error is None or units.error_kind == "none":
        return fluxes.error
    error = fluxes.error if units.error_factor == 1 else fluxes.error * fluxes.error.dtype.type(units.error_factor)
    if units.error_kind != "relative":
        return error
    if "magnitude" in units.kind:
        return error * error.dtype.type(_POGSON)
    if fluxes.mean is not None:
        return error * np.maximum(np.abs(fluxes.mean), fluxes.mean.dtype.type(rule.mean_floor))
    return error * np.abs(fluxes.flux)


_NINES = tuple(float(digits) for digits in ("99", "999", "9999", "99999", "99.9", "99.99", "99.999", "999.9", "999.99"))
_HUGE = 1e10
"""Beyond what a survey writes a flux as: fluxes of 1e20 and the like stand for none."""


def _reject_fillers(fluxes: Fluxes, magnitudes: bool, layout: BandLayout) -> None:
    """Reject numbers that stand for missing though no survey file names them: one for both the flux and its error."""
    with np.errstate(invalid="ignore"):
        if magnitudes:
            offsets = np.array([layout.rule.ab_offset.get(name, 0.0) for name in layout.bands.names])
            beyond = ~is_magnitude(fluxes.flux + offsets)
            sentence = f"no AB magnitude (0 or less, {MOST_MAGNITUDES:g} or more), taken as missing"
            fluxes.reject(beyond, "no_magnitude", sentence)
        if fluxes.error is None or fluxes.mean is not None:
            return
        size = np.abs(fluxes.flux)
        known = _is_any(size, _NINES) | (size >= _HUGE) | ((fluxes.flux < 0) & (fluxes.error < 0))
        filler = known & (size == np.abs(fluxes.error))
    fluxes.reject(filler, "filler", "one number for flux and error (such as -999), taken as missing")


def _check_errors(fluxes: Fluxes, rules: QualitySection, magnitudes: bool) -> None:
    """Reject fluxes of which no error is known. A ratio to a negative flux is negative; else no error is."""
    if fluxes.error is None:
        return
    if rules.error_sentinels:
        hit = _is_any(fluxes.error, rules.error_sentinels)
        fluxes.reject(hit, "error_sentinel", f"sentinel error ({_listed(rules.error_sentinels)}), taken as missing")
    fluxes.reject(~np.isfinite(fluxes.error), "error_missing", "no finite error, taken as missing")
    with np.errstate(invalid="ignore"):
        negative = (fluxes.error < 0) & ~np.isnan(fluxes.flux)
        signed = negative & (fluxes.flux < 0) & (fluxes.error != -1)
    if rules.negative_error != "absolute" or magnitudes:
        fluxes.reject(negative, "negative_error", "negative error, taken as missing")
        return
    if signed.any():
        fluxes.error = np.where(signed, np.abs(fluxes.error), fluxes.error)
    fluxes.note("negative_error", "negative error of a negative flux, its sign dropped", int(np.count_nonzero(signed)))
    marks = "error of -1, or negative of a positive flux, taken as missing"
    fluxes.reject(negative & ~signed, "error_mark", marks)


def _scale(fluxes: Fluxes, level: np.ndarray) -> None:
    """Turn ratios to one band into fluxes: times that band's flux in each row, shape (n,)."""
    times = as_float(level).astype(fluxes.flux.dtype)[:, None]
    fluxes.reject(np.broadcast_to(~(times > 0), fluxes.flux.shape), "level", "a ratio to a band without positive flux")
    fluxes.flux *= times
    fluxes.error = None if fluxes.error is None else fluxes.error * times


def _in_njy(fluxes: Fluxes, layout: BandLayout, units: FluxUnits) -> None:
    kind, scale = units.kind, units.scale
    sigma = _sigma(fluxes, layout.rule, units)
    with np.errstate(over="ignore"):
        if kind in ("ab_magnitude", "asinh_magnitude"):
            flux, error = njy_from_magnitudes(fluxes.flux, sigma, kind, layout.rule, layout.bands)
        else:
            # In the precision of the file: a float32 needs no float64 on its way to float32.
            factor = njy_per_unit(kind, scale, layout.bands).astype(fluxes.flux.dtype)
            flux, error = fluxes.flux * factor, None if sigma is None else sigma * factor
            fluxes.mean = None if fluxes.mean is None else (fluxes.mean * factor).astype(np.float32)
        fluxes.flux = flux.astype(np.float32)
        fluxes.error = np.full_like(fluxes.flux, np.nan) if error is None else error.astype(np.float32)
    fluxes.reject(np.isinf(fluxes.flux), "overflow", "beyond what a flux can be, taken as missing")
    if error is not None:
        fluxes.reject(fluxes.error == 0, "zero_error", "error of exactly 0, taken as missing")
        fluxes.reject(np.isinf(fluxes.error), "error_overflow", "error beyond what it can be, taken as missing")
    fluxes.error[np.isnan(fluxes.flux)] = np.nan


def fluxes_in_njy(block: Block, layout: BandLayout, rules: QualitySection, place: str, first: bool = False) -> Fluxes:
    """Turn a block of a table into fluxes in nJy.

    The rules are applied in this order, and a flux is counted by the first that rejects it: missing,
    infinite, sentinel, zero, fillers, flags, sentinel error, no finite error, negative error, zero error.
    The units are those of :mod:`~jpas_gbm.surveys.fluxes`.

    Parameters
    ----------
    block : mapping of str to array
        Columns of consecutive rows.
    layout : BandLayout
        Where the bands stand among them.
    rules : QualitySection
        Of the survey file.
    place : str
        The table, for messages.
    first : bool
        Whether the block is the first of its table, which is asked whether it holds fluxes at all.

    Returns
    -------
    Fluxes
        `flux` and `error` float32 (n, b) in nJy, NaN where missing; `error` is NaN throughout where
        the survey gives none.

    Raises
    ------
    CatalogueError
        If an array changes its width, flags are no integers, or magnitudes stand where fluxes are expected.
    """
    fluxes = _raw(layout, block, place)
    units = flux_units(layout, place)
    if first and not layout.rule.planes and layout.level is None:
        _doubt_magnitudes(fluxes, layout, units, place)
    _reject_missing(fluxes, rules)
    _reject_fillers(fluxes, "magnitude" in units.kind, layout)
    _reject_flagged(fluxes, layout, block, place)
    _check_errors(fluxes, rules, "magnitude" in units.kind)
    if layout.level is not None:
        _scale(fluxes, block[layout.level])
    _in_njy(fluxes, layout, units)
    fluxes.notes += doubted_depth(fluxes.flux, fluxes.error, _taken(layout, units))  # type: ignore[arg-type]
    return fluxes


def _doubt_magnitudes(fluxes: Fluxes, layout: BandLayout, units: FluxUnits, place: str) -> None:
    """Refuse numbers to be read as fluxes that seem magnitudes, unless file or a survey file of one's own says what."""
    column = layout.flux.columns[0]
    if "magnitude" in units.kind or not says_nothing(layout.units.get(column)):
        return
    found = seem_magnitudes(fluxes.flux, fluxes.error)
    if found and any(layout.rule in schema.photometry for schema in all_schemas()):
        error = f" and '{layout.error.columns[0]} [mag]'" if layout.error and layout.error.columns else ""
        raise CatalogueError(
            f"{place}[{column}]: would be read as fluxes ({_taken(layout, units)}), and the numbers of its "
            f"{len(layout.bands)} bands lie between {found[0]:.2f} and {found[1]:.2f}, as magnitudes do. State the "
            f"unit: in the file (TUNIT), in the names of the columns ('{column} [mag(AB)]'{error}; '[1e-19 "
            "erg/s/cm2/Angstrom]' if they are such fluxes), or 'unit: ab_magnitude' and 'error_kind: magnitude' under "
            "'photometry' of a survey file of your own (--survey)."
        )


def _taken(layout: BandLayout, units: FluxUnits) -> str:
    """Return in what unit fluxes are read, and who says so, for people."""
    stated = layout.units.get(layout.level or layout.flux.columns[0])
    if not says_nothing(stated):
        return f"'{stated}', as the file states"
    size = {"f_lambda": f" x {units.scale:g} erg/s/cm2/Å", "f_nu": f" x {units.scale:g} erg/s/cm2/Hz"}
    return f"{units.kind}{size.get(units.kind, '')}, as the survey file has it for '{layout.rule.name}'"


def row_quality(fluxes: Fluxes, rules: QualitySection) -> np.ndarray:
    """Return the quality bits of each row that can be told from its fluxes, and count the rows.

    Parameters
    ----------
    fluxes : Fluxes
        After all rules; the counts are noted in it.
    rules : QualitySection
        Gives the fewest bands.

    Returns
    -------
    array of uint16, shape (n,)
        Bits of :class:`QualityBit`.
    """
    observed = np.count_nonzero(~np.isnan(fluxes.flux), axis=1)
    few = observed < rules.min_bands
    fluxes.note("flagged_rows", "with a flux rejected by flags (bit FLAGGED)", int(fluxes.flagged.sum()), rows=True)
    fluxes.note("few_bands", f"with fewer than {rules.min_bands} bands (bit FEW_BANDS)", int(few.sum()), rows=True)
    fluxes.note("no_band", "without any band", int((observed == 0).sum()), rows=True)
    bits = fluxes.flagged * np.uint16(QualityBit.FLAGGED) | few * np.uint16(QualityBit.FEW_BANDS)
    return bits.astype(np.uint16)
