"""Inspection: what was understood of files, as plain values and as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..text import count
from .quality import QualityReport
from .schema import Identity, Kind
from .tables import Column


@dataclass(frozen=True)
class Spread:
    """Count, extremes and percentiles of the finite values of a column.

    Parameters
    ----------
    count : int
        Finite values.
    min, p5, median, p95, max : float
        In the unit of the column.
    """

    count: int
    min: float
    p5: float
    median: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread | None:
        """Return the spread of the finite values, or None if there is none.

        Parameters
        ----------
        values : array, shape (n,)
            Numbers; NaN is left aside.

        Returns
        -------
        Spread or None
        """
        good = values[np.isfinite(values)]
        return cls(len(good), *map(float, np.percentile(good, [0, 5, 50, 95, 100]))) if len(good) else None


@dataclass(frozen=True)
class ExtraFacts:
    """What a further column of a catalogue holds; one of the three is known.

    Parameters
    ----------
    share : float, optional
        Share of rows that are 1, of a flag.
    values : int, optional
        Number of different values, of a text or integer.
    spread : Spread, optional
        Of a number.
    """

    share: float | None = None
    values: int | None = None
    spread: Spread | None = None

    @classmethod
    def of(cls, values: np.ndarray) -> ExtraFacts | None:
        """Return what a column holds, or None if nothing is known of it.

        Parameters
        ----------
        values : array, shape (n,)
            Numbers or text.

        Returns
        -------
        ExtraFacts or None
        """
        if values.dtype.kind not in "fiub":
            return cls(values=len(np.unique(values)))
        numbers = values[np.isfinite(values)].astype(np.float64)
        if len(numbers) and np.isin(numbers, (0, 1)).all():
            return cls(share=float(numbers.mean()))
        if len(numbers) and (numbers == np.round(numbers)).all():
            return cls(values=len(np.unique(numbers)))
        spread = Spread.of(numbers)
        return None if spread is None else cls(spread=spread)


@dataclass(frozen=True)
class SkyBox:
    """The box on the sky that holds all positions.

    Parameters
    ----------
    ra : (float, float)
        Degrees; where RA runs through 0 it begins before and ends after it.
    dec : (float, float)
        Degrees.
    square_degrees : float
        Area of the box.
    without_position : int
        Rows that have none.
    """

    ra: tuple[float, float]
    dec: tuple[float, float]
    square_degrees: float
    without_position: int

    @classmethod
    def of(cls, ra: np.ndarray, dec: np.ndarray) -> SkyBox | None:
        """Return the box of the positions, or None if there is none.

        Parameters
        ----------
        ra, dec : array, shape (n,)
            ICRS degrees, NaN where missing.

        Returns
        -------
        SkyBox or None
        """
        good = np.isfinite(ra) & np.isfinite(dec)
        if not good.any():
            return None
        turned = np.sort(np.mod(ra[good], 360.0))
        # The box is what the widest empty stretch of the circle leaves over.
        gaps = np.diff(np.append(turned, turned[0] + 360.0))
        widest = int(gaps.argmax())
        start, stop = turned[(widest + 1) % len(turned)], turned[widest]
        low, high = np.sin(np.deg2rad([dec[good].min(), dec[good].max()]))
        area = ((stop - start) % 360.0) * np.rad2deg(1.0) * (high - low)
        box = (float(dec[good].min()), float(dec[good].max()))
        return cls((float(start), float(stop)), box, float(area), int((~good).sum()))


_UNITS = {
    "f_lambda": "f_λ (as the survey file says)",
    "f_nu": "f_ν (as the survey file says)",
    "ab_magnitude": "AB magnitudes",
    "asinh_magnitude": "asinh magnitudes",
}


def _entry(name: str, text: str) -> str:
    return f"  {name:<12} {text}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if share >= 5e-5 else f"{100 * share:.1g} %"


@dataclass(frozen=True)
class BandFacts:
    """What the rows looked at hold of one band.

    Parameters
    ----------
    name : str
        As the system spells it.
    pivot : float
        Å.
    missing : float
        Share of the rows.
    median_njy, depth_5sigma, median_snr : float, optional
        Median flux (nJy), AB magnitude of 5 times the median error, and median signal to noise.
    """

    name: str
    pivot: float
    missing: float
    median_njy: float | None
    depth_5sigma: float | None
    median_snr: float | None


@dataclass(frozen=True)
class FlagFacts:
    """How often each bit of a column of flags is set, and which are rejected.

    Parameters
    ----------
    column : str
        Its name in the survey file.
    reject : int
        Bit mask.
    meaning : str
        Of the rejected bits.
    bits : mapping of str to float
        Share of the fluxes by bit (1, 2, 4, ...).
    """

    column: str
    reject: int
    meaning: str
    bits: Mapping[str, float]


@dataclass(frozen=True)
class CatalogueFacts:
    """What a catalogue holds beside what any table has.

    Parameters
    ----------
    identity : {"id", "position", "row"}
        What tells rows to be one object.
    objects, tiles : int, optional
        How many there are, where ids or tiles say so.
    photometry, unit, kind, errors : str
        Name of the measurement, its unit as the file states it (or None), what it is, and what its errors are.
    band_system, bands_ordered_by : str
        The bands kept, and what the order in the file was read from.
    bands_of_file, bands_dropped : tuple of str
        Names in the order of the file, and those of them that are left out.
    bands : tuple of BandFacts
        Of the bands kept.
    complete_rows, missing_patterns : int
        Rows with all bands, and different sets of missing ones.
    negative_share, negative_rows : float
        Of the fluxes, and of the rows with one.
    flags : tuple of FlagFacts
        One for each column of flags.
    overlap_duplicates : int
        Rows of sources that another tile saw better.
    extra : mapping of str to ExtraFacts
        Further columns by name.
    simulation_means : bool
        Whether there are noise-free fluxes.
    """

    identity: Identity
    objects: int | None
    tiles: int | None
    photometry: str
    unit: str | None
    kind: str
    errors: str
    band_system: str
    bands_ordered_by: str
    bands_of_file: tuple[str, ...]
    bands_dropped: tuple[str, ...]
    bands: tuple[BandFacts, ...]
    complete_rows: int
    missing_patterns: int
    negative_share: float
    negative_rows: float
    flags: tuple[FlagFacts, ...]
    overlap_duplicates: int
    extra: Mapping[str, ExtraFacts]
    simulation_means: bool

    def lines(self, rows: int) -> Iterator[str]:
        """Yield bands, photometry, gaps, depths and flags as lines of text; `rows` were looked at.

        Parameters
        ----------
        rows : int
            Rows that were looked at.

        Yields
        ------
        str
            One line.
        """
        text = f"{len(self.bands)} of {self.band_system}, by {self.bands_ordered_by}"
        if self.bands_dropped:
            text += f"; not kept: {', '.join(self.bands_dropped[:6])}" + (" ..." if len(self.bands_dropped) > 6 else "")
        yield _entry("bands", text)
        errors = "no errors" if self.errors == "none" else f"{self.errors} errors"
        yield _entry(
            "photometry", f"{self.photometry} in {self.unit or _UNITS[self.kind]}, {errors}; read as f_ν in nJy"
        )
        share = float(np.mean([band.missing for band in self.bands]))
        complete = f"{self.complete_rows:,} of {rows:,} rows have all bands"
        yield _entry("missing", f"{_percent(share) if share else '0 %'} of the fluxes; {complete}")
        if share:
            patterns = f"{self.missing_patterns:,} different patterns"
            yield _entry("  by band", f"{self._range('missing', _percent)}; {patterns}")
        if any(band.depth_5sigma is not None for band in self.bands):
            yield _entry("depth", self._range("depth_5sigma", "{:.2f}".format) + " AB (5 σ of the median error)")
            yield _entry("S/N", self._range("median_snr", "{:.1f}".format) + " (median of each band)")
        if self.negative_share:
            text = f"{_percent(self.negative_share)} of the fluxes, in {_percent(self.negative_rows)} of the rows"
            yield _entry("negative", text)
        for flag in self.flags:
            bits = ", ".join(f"{bit}: {_percent(share)}" for bit, share in flag.bits.items()) or "none set"
            yield _entry("flags", f"{flag.column} bits {bits}; {flag.reject} rejects")
        if self.simulation_means:
            yield _entry("simulation", "noise-free fluxes beside the noisy ones")

    def _range(self, name: str, form: Callable[[float], str]) -> str:
        """Return the least and the greatest value over the bands, with their names."""
        known = [(getattr(band, name), band.name) for band in self.bands if getattr(band, name) is not None]
        if not known:
            return "unknown"
        (low, first), (high, last) = min(known, key=lambda pair: pair[0]), max(known, key=lambda pair: pair[0])
        return f"{form(low)} ({first}) to {form(high)} ({last})"


@dataclass(frozen=True)
class ClassFacts:
    """Classes and redshifts of a table.

    Parameters
    ----------
    counts : mapping of str to int
        Rows of each class.
    unlabelled : int
        Rows without.
    redshift : mapping of str to Spread
        Of the classes that have any.
    ids : int, optional
        Objects that a label table names.
    spectypes : mapping of str to int
        Rows of each spectral type as a label table spells it.
    """

    counts: Mapping[str, int]
    unlabelled: int
    redshift: Mapping[str, Spread]
    ids: int | None = None
    spectypes: Mapping[str, int] | None = None

    def lines(self) -> Iterator[str]:
        """Yield classes and redshifts as lines of text.

        Yields
        ------
        str
            One line.
        """
        if not any(self.counts.values()):
            yield _entry("labels", "none")
            return
        text = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        if self.spectypes is not None:
            text = f"{sum(self.counts.values()):,} trusted: {text}"
        elif self.unlabelled:
            text += f"; without: {self.unlabelled:,}"
        yield _entry("labels", text)
        if self.spectypes is not None:
            yield _entry("  in the file", ", ".join(f"{n or 'blank'} {c:,}" for n, c in self.spectypes.items()))
        ranges = [f"{name} {spread.min:.3f} to {spread.max:.3f}" for name, spread in self.redshift.items()]
        if ranges:
            yield _entry("redshift", ", ".join(ranges))


@dataclass(frozen=True)
class FileInspection:
    """What was understood of one file.

    Parameters
    ----------
    file, table, format : str
        Name of the file, its table, its format.
    bytes : int
        Size of the file; 0 for a table in memory.
    checksums : {"verified", "none"}
    simulated : bool
        Whether the file says so of itself.
    survey, title : str
        Name of the survey file and its line for people.
    kind : {"catalogue", "labels", "imaging"}
        What the table is.
    rows, rows_read : int
        Rows of the table, and of those looked at.
    columns : tuple of Column
        All of the file.
    key : tuple of str
        Row key.
    magnitude : Spread, optional
        AB.
    morphology : mapping of str to int, optional
        Sources of each type.
    sky : SkyBox, optional
        Where the rows lie.
    quality : QualityReport
        What was rejected or mended.
    problems : tuple of str
        What to know of.
    catalogue : CatalogueFacts, optional
        Facts of a catalogue.
    classes : ClassFacts, optional
        Facts of what has labels.
    predicted : mapping of str to int, optional
        Rows of each class, in a table of predictions.
    roles : mapping of str to str
        Columns of other names that were taken, by what they are.
    optional : mapping of str to ExtraFacts
        Bands and measures of an imaging table that its rows may lack, as a catalogue's extra columns name them.
    """

    file: str
    table: str
    format: str
    bytes: int
    checksums: str
    simulated: bool
    survey: str
    title: str
    kind: Kind | Literal["predictions"]
    rows: int
    rows_read: int
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    magnitude: Spread | None
    morphology: Mapping[str, int] | None
    sky: SkyBox | None
    quality: QualityReport
    problems: tuple[str, ...]
    catalogue: CatalogueFacts | None = None
    classes: ClassFacts | None = None
    predicted: Mapping[str, int] | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, ExtraFacts] = field(default_factory=dict)

    def __repr__(self) -> str:
        problems = count(len(self.problems), "problem")
        return f"FileInspection({self.file}: {self.title}, {count(self.rows, 'row')}, {problems})"

    def lines(self) -> list[str]:
        """Return what was understood as lines of text.

        Returns
        -------
        list of str
        """
        lines = [f"{self.file}: {self.title} ({self.survey})", *self._file_lines()]
        if self.catalogue is not None:
            lines += self.catalogue.lines(self.rows_read)
        if self.classes is not None:
            lines += self.classes.lines()
        if self.predicted is not None:
            lines.append(_entry("predicted", ", ".join(f"{name} {n:,}" for name, n in self.predicted.items())))
        lines += self._source_lines()
        quality = self.quality.lines()[1:]
        if quality:
            lines += ["  quality", *(f"  {line}" for line in quality)]
        return lines + [f"  note: {problem}" for problem in self.problems if f"  note: {problem}" not in quality]

    def _file_lines(self) -> list[str]:
        facts = [f"{self.format}, {self.bytes / 2**20:,.1f} MiB", f"table {self.table}"]
        facts += ["checksums verified"] if self.checksums == "verified" else []
        facts += ["simulated"] if self.simulated else []
        rows = f"{self.rows:,}, {count(len(self.columns), 'column')}"
        if self.key:
            rows += f"; key {', '.join(self.key)}"
        if self.catalogue is not None and self.catalogue.objects is not None:
            rows += f"; {count(self.catalogue.objects, 'object')} by {self.catalogue.identity}"
        if self.catalogue is not None and self.catalogue.tiles:
            rows += f"; {count(self.catalogue.tiles, 'tile')}"
        spelt = ", ".join(f"{ours} from {theirs}" for ours, theirs in self.roles.items())
        return [_entry("file", ", ".join(facts)), _entry("rows", rows)] + ([_entry("spelt", spelt)] if spelt else [])

    def _source_lines(self) -> Iterator[str]:
        mag = self.magnitude
        if mag is not None:
            text = f"{mag.min:.2f} to {mag.max:.2f}, median {mag.median:.2f}"
            yield _entry("magnitude", f"{text}, 90 % within {mag.p5:.2f} to {mag.p95:.2f} ({count(mag.count, 'row')})")
        for name, facts in {**(self.catalogue.extra if self.catalogue else {}), **self.optional}.items():
            yield _entry(name, _extra_text(facts))
        if self.morphology:
            yield _entry("morphology", ", ".join(f"{name} {count:,}" for name, count in self.morphology.items()))
        if self.sky is not None:
            (west, east), (south, north) = self.sky.ra, self.sky.dec
            through = " through 0" if west > east else ""
            text = f"RA {west:.3f}{through} to {east:.3f}, Dec {south:+.3f} to {north:+.3f}"
            yield _entry("sky", f"{text}, a box of {self.sky.square_degrees:,.1f} deg²")


def _extra_text(facts: ExtraFacts) -> str:
    if facts.share is not None:
        return f"set in {_percent(facts.share)} of the rows"
    if facts.spread is not None:
        spread = facts.spread
        return f"{spread.min:.4g} to {spread.max:.4g}, median {spread.median:.4g} ({count(spread.count, 'row')})"
    return f"{facts.values:,} different values"
