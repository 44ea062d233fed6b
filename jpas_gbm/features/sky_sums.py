"""What is counted of rows, to hold a catalogue against those that trained: whole numbers, which add up."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from pydantic import PlainSerializer, PlainValidator

from ..errors import FitError
from ..surveys.bands import AB_ZERO_POINT, BandSystem
from ..surveys.catalogue import Catalogue
from ..surveys.positions import mixed_columns
from .bases import Stored
from .shift import Means

SAMPLE = 1_000
"""Rows that a domain AUC is measured on, of each side, at most."""

UNIT = 1_000
"""Steps per magnitude, and per ln of an error, in which deviations are summed: sums of whole numbers are exact."""

OBSERVED, N_OFFSET, OFFSET, N_NOISE, NOISE = range(5)
"""What is summed of each band: fluxes that are there, deviations of flux and of ln error, and how many of each."""

TAILS = ("rows", "imaging", "imaging faint", "imaging bright", "known", "faint", "bright", "fitted", "misfit")
"""What is counted of each tile: rows, those of known magnitude (imaging, mean flux) beyond limits, and of misfit."""

KNOWN = TAILS.index("known")
"""Rows with a usable flux."""

WIDEST_OFFSET, WIDEST_NOISE = 0.5, 1.5
"""Deviations beyond these, in mag and in ln of an error, count as these."""

_LEAST_SNR = 5.0
_BLOCK = 8_192
_MOST_BINS, _ROWS_OF_BIN, _LEAST_IN_BIN = 20, 100, 10
_MAG = 2.5 / np.log(10)
_FAINTEST = 40.0
_ENOUGH = 5_000
"""Rows that are counted of any catalogue, if there are so many."""


def one_in(rows: int | None) -> int:
    """Return of how many rows one is counted: of long catalogues one in up to 16, so that it costs next to nothing.

    Parameters
    ----------
    rows : int or None
        Of the whole catalogue; None where it is not known, and all are counted.

    Returns
    -------
    int
    """
    return 1 if rows is None else int(np.clip(rows // _ENOUGH, 1, 16))


def key_hash(rows: Catalogue) -> np.ndarray:
    """Return a number that a row's key determines and that looks random, uint64 (n,).

    Parameters
    ----------
    rows : Catalogue
        n rows.

    Returns
    -------
    array of uint64, shape (n,)
    """
    return mixed_columns((rows.key[name] for name in sorted(rows.key)), len(rows))


def _packed(array: np.ndarray) -> str:
    """Return an array as text: type, shape, compressed bytes."""
    content = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 1)).decode()
    return f"{array.dtype.str} {','.join(map(str, array.shape))} {content}"


def _unpacked(value: object) -> np.ndarray:
    """Return the array of a text, or the array itself."""
    if isinstance(value, np.ndarray):
        return value
    try:
        kind, shape, content = str(value).split(" ")
        sides, dtype, stream = [int(n) for n in shape.split(",")], np.dtype(kind), zlib.decompressobj()
        size = math.prod(sides) * dtype.itemsize
        raw = stream.decompress(base64.b64decode(content), max(size, 0) + 1)
        if len(raw) != size or not stream.eof:
            raise ValueError(f"{len(raw):,} bytes instead of {size:,}")
        return np.frombuffer(raw, dtype=dtype).reshape(sides)
    except (zlib.error, TypeError, OverflowError) as error:
        raise ValueError(f"a packed array is damaged ({error})") from error


Packed = Annotated[np.ndarray, PlainValidator(_unpacked), PlainSerializer(_packed)]
"""An array that JSON holds as text."""


@dataclass(frozen=True, eq=False)
class SkySums:
    """What was counted of rows, by tile, and a sample of them; sums of parts add up, whatever the parts.

    Parameters
    ----------
    tiles : array of int64, shape (t,)
        Ascending; -1 stands for rows that name none.
    tails : array of int64, shape (t, 9)
        As in :data:`TAILS`.
    bands : array of int64, shape (t, 5, b)
        Of each band what :data:`OBSERVED` and the following say, in 1/1000 mag and 1/1000 of ln error.
    hashes : array of uint64, shape (s,)
        Of the keys of the sample: the least of all, ascending.
    sample : array of float16, shape (s, d)
        What is known of these rows: deviations of fluxes by band, brightness and misfit. Errors are left out: they tell
        a tile from any other.
    """

    tiles: Packed
    tails: Packed
    bands: Packed
    hashes: Packed
    sample: Packed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SkySums) and all(
            np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")
            for ours, theirs in zip(vars(self).values(), vars(other).values(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: SkySums) -> SkySums:
        tiles, place = np.unique(np.concatenate([self.tiles, other.tiles]), return_inverse=True)
        tails = np.zeros((len(tiles), len(TAILS)), np.int64)
        bands = np.zeros((len(tiles), *self.bands.shape[1:]), np.int64)
        for at, of in ((place[: len(self.tiles)], self), (place[len(self.tiles) :], other)):
            tails[at] += of.tails
            bands[at] += of.bands
        hashes, first = np.unique(np.concatenate([self.hashes, other.hashes]), return_index=True)
        sample = np.concatenate([self.sample, other.sample])[first[:SAMPLE]]
        return SkySums(tiles, tails, bands, hashes[:SAMPLE], sample)

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return int(self.tails[:, 0].sum())

    @property
    def missing(self) -> Means:
        """The share of rows that lack each band, of those with any."""
        rows = np.broadcast_to(self.tails[:, KNOWN, None], self.bands[:, OBSERVED].shape)
        return Means.of(rows, rows - self.bands[:, OBSERVED])

    @property
    def blank(self) -> Means:
        """The share of rows without a usable flux, of one column."""
        rows = self.tails[:, :1]
        return Means.of(rows, rows - self.tails[:, KNOWN : KNOWN + 1])

    def beside(self, known: SkySums | None) -> SkySums:
        """Return these sums without what of their sample no longer counts beside rows that are known.

        Parameters
        ----------
        known : SkySums or None
            Of the rows before.

        Returns
        -------
        SkySums
            Added to `known` they give the same.
        """
        if known is None or len(known.hashes) < SAMPLE:
            return self
        kept = self.hashes < known.hashes[-1]
        return replace(self, hashes=self.hashes[kept], sample=self.sample[kept])


def joined(ours: SkySums | None, theirs: SkySums | None) -> SkySums | None:
    """Return the sum of what was counted, where anything was.

    Parameters
    ----------
    ours, theirs : SkySums or None

    Returns
    -------
    SkySums or None
    """
    return theirs if ours is None else ours if theirs is None else ours + theirs


@dataclass(frozen=True, eq=False, repr=False)
class Reference(Stored):
    """What the rows look like that a model was trained for.

    Fluxes are compared with the mean of the bands on either side, errors with those of rows of the same brightness
    (the mean flux over observed bands), so that other kinds of sources or another depth change little.

    Parameters
    ----------
    kind : {"sky", "mocks"}
        What the rows are.
    names : tuple of str
        Of the b bands, by wavelength.
    edges : array of float64, shape (m + 1,)
        Of bins of brightness, mag; what lies outside is not compared.
    offset, noise : array of float32, shape (m, b)
        Median deviation of a flux from its neighbours, mag, and of ln error, in each bin; NaN where too few.
    scatter : array of float64, shape (2, b)
        Standard deviation of rows about these.
    limits : array of float64, shape (5,)
        Magnitude of imaging that 99 % and 1 % of rows keep to, the same of brightness, and the misfit of 99 %.
    tiles, tails, bands, sample : array
        Of the rows themselves, as :class:`SkySums` has them.
    """

    kind: str
    names: tuple[str, ...]
    edges: np.ndarray
    offset: np.ndarray
    noise: np.ndarray
    scatter: np.ndarray
    limits: np.ndarray
    tiles: np.ndarray
    tails: np.ndarray
    bands: np.ndarray
    sample: np.ndarray

    stored_as: ClassVar[str] = "reference"

    @property
    def sums(self) -> SkySums:
        """What was counted of the rows."""
        return SkySums(self.tiles, self.tails, self.bands, np.zeros(0, np.uint64), self.sample)

    def misfits(self, system: BandSystem) -> Iterator[str]:
        """Yield what does not fit a model.

        Parameters
        ----------
        system : BandSystem
            Of the model.

        Yields
        ------
        str
        """
        b, m, t = len(system), len(self.edges) - 1, len(self.tiles)
        shapes = {"offset": (m, b), "noise": (m, b), "scatter": (2, b), "limits": (5,)}
        shapes |= {"tails": (t, len(TAILS)), "bands": (t, 5, b), "sample": (len(self.sample), b + 2)}
        if wrong := [name for name, shape in shapes.items() if getattr(self, name).shape != shape]:
            yield f"its reference is not of {b} bands ({', '.join(wrong)})"
        elif self.names != system.by_wavelength or self.kind not in ("sky", "mocks"):
            yield f"its reference is of other bands, or of '{self.kind}'"
        elif not (np.isfinite(self.edges).all() and (np.diff(self.edges) >= 0).all()):
            yield "its reference has bins of brightness that do not rise"
        elif any(part.dtype.kind not in "iu" for part in (self.tiles, self.tails, self.bands)):
            yield "its reference counts in other than whole numbers"
        elif (np.diff(self.tiles) <= 0).any() or min(
            self.tails.min(initial=0), self.bands[:, [0, 1, 3]].min(initial=0)
        ) < 0:
            yield "its reference has tiles out of order, or counts below 0"
        elif not (self.scatter >= 0).all() or np.isnan(self.limits).any() or np.isinf(self.scatter).any():
            yield "its reference has a scatter or limits that are no numbers"
        elif np.isinf(self.offset).any() or np.isinf(self.noise).any():
            yield "its reference has infinite deviations"

    def count(self, rows: Catalogue, misfit: np.ndarray | None = None) -> SkySums:
        """Count rows.

        Parameters
        ----------
        rows : Catalogue
            n rows in the bands of the model, as the survey gives them.
        misfit : array, shape (n,), optional
            Of their best templates.

        Returns
        -------
        SkySums
        """
        n, b = len(rows), len(self.names)
        misfit = np.full(n, np.nan, np.float32) if misfit is None else misfit
        tile = rows.key["TILE_ID"] if "TILE_ID" in rows.key else np.full(n, -1, dtype=np.int64)
        order, hashes = np.argsort(tile, kind="stable"), key_hash(rows)
        known, least = np.zeros(0, np.int64), np.sort(hashes)[:SAMPLE]
        tiles = np.unique(tile).astype(np.int64)
        tails, bands = np.zeros((len(tiles), len(TAILS)), np.int64), np.zeros((len(tiles), 5, b), np.int64)
        sample = np.zeros((len(least), b + 2), np.float16)
        for start in range(0, n, _BLOCK):
            at = order[start : start + _BLOCK]
            bright, offset, noise, seen = _values(rows, at, self.names)
            place = np.searchsorted(self.edges[1:-1], bright)
            outside = (bright < self.edges[0]) | (bright > self.edges[-1])
            offset = offset - self.offset[place]
            noise = noise - self.noise[place]
            offset[outside] = noise[outside] = np.nan
            offset = np.clip(offset, -WIDEST_OFFSET, WIDEST_OFFSET)
            noise = np.clip(noise, -WIDEST_NOISE, WIDEST_NOISE)
            known, first = np.unique(tile[at], return_index=True)
            where = np.searchsorted(tiles, known)
            parts = (seen, *_whole(offset), *_whole(noise))
            for i, part in enumerate(parts):
                bands[where, i] += np.add.reduceat(part, first, axis=0, dtype=np.int64)
            beyond = self._beyond(rows.imaging_mag[at], bright, misfit[at])
            tails[where] += np.add.reduceat(beyond, first, axis=0, dtype=np.int64)
            chosen = np.flatnonzero(hashes[at] <= least[-1])
            told = (offset, bright[:, None], np.log(np.maximum(misfit[at], 1e-6))[:, None])
            found = np.concatenate([part[chosen] for part in told], axis=1)
            sample[np.searchsorted(least, hashes[at][chosen])] = found.astype(np.float16)
        return SkySums(tiles, tails, bands, least, sample)

    def _beyond(self, imaging: np.ndarray, bright: np.ndarray, misfit: np.ndarray) -> np.ndarray:
        """Return for each row what is counted of its tile, bool (n, 9)."""
        with np.errstate(invalid="ignore"):
            return np.stack(
                [
                    np.ones(len(bright), dtype=bool),
                    np.isfinite(imaging),
                    imaging > self.limits[0],
                    imaging < self.limits[1],
                    np.isfinite(bright),
                    bright > self.limits[2],
                    bright < self.limits[3],
                    np.isfinite(misfit),
                    misfit > self.limits[4],
                ],
                axis=1,
            )


def _whole(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which values are known, and the values in whole steps, 0 where not known."""
    known = np.isfinite(values)
    return known, np.rint(np.where(known, values, np.float32(0)) * np.float32(UNIT)).astype(np.int32)


def _values(
    rows: Catalogue, at: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return brightness (n,), flux against its neighbours in mag, ln error and what is observed (n, b)."""
    order = np.array([rows.bands.index(name) for name in names])
    flux, error = (np.take(np.take(plane, at, axis=0), order, axis=1) for plane in (rows.flux, rows.flux_err))
    seen = np.isfinite(flux)
    count = seen.sum(axis=1)
    mean = np.where(seen, flux, np.float32(0)).sum(axis=1, dtype=np.float64) / np.maximum(count, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        bright = np.where(mean > 0, AB_ZERO_POINT - 2.5 * np.log10(np.where(mean > 0, mean, 1.0)), _FAINTEST)
        bright[count == 0] = np.nan
        sure = (flux > 0) & ~(flux < np.float32(_LEAST_SNR) * error)
        magnitude = np.log(np.where(sure, flux, np.float32(np.nan))) * np.float32(-_MAG)
        noise = np.log(error)
    offset = np.full_like(magnitude, np.nan)
    offset[:, 1:-1] = magnitude[:, 1:-1] - np.float32(0.5) * (magnitude[:, :-2] + magnitude[:, 2:])
    return bright, offset, noise, seen


def learn_reference(rows: Catalogue, fitted: Catalogue, misfit: np.ndarray | None, kind: str) -> Reference:
    """Learn what rows look like.

    Parameters
    ----------
    rows : Catalogue
        n rows in the bands of the model, as the survey gives them.
    fitted, misfit : Catalogue, array of shape (m,), optional
        Some of these rows, and the misfit of their best templates.
    kind : {"sky", "mocks"}
        What the rows are.

    Returns
    -------
    Reference

    Raises
    ------
    FitError
        If there are no rows.
    """
    if not len(rows):
        raise FitError("there are no rows that a catalogue could be compared with.")
    names = tuple(rows.bands.by_wavelength)
    bright, offset, noise, _ = _values(rows, np.arange(len(rows)), names)
    known = bright[np.isfinite(bright)] if np.isfinite(bright).any() else np.zeros(1)
    bins = int(np.clip(len(known) // _ROWS_OF_BIN, 1, _MOST_BINS))
    edges = np.quantile(known, np.linspace(0, 1, bins + 1))
    place = np.searchsorted(edges[1:-1], bright)
    middles = [np.stack([_median(part[place == i]) for i in range(bins)]) for part in (offset, noise)]
    scatter = []
    for part, middle, widest in zip((offset, noise), middles, (WIDEST_OFFSET, WIDEST_NOISE), strict=True):
        left = np.clip(part - middle[place], -widest, widest)
        scatter.append([float(np.std(one[np.isfinite(one)])) if np.isfinite(one).any() else 0.0 for one in left.T])
    limits = [*_ends(rows.imaging_mag), *_ends(bright), _ends(np.zeros(0) if misfit is None else misfit)[0]]
    b = len(names)
    none = np.zeros((0, len(TAILS)), np.int64), np.zeros((0, 5, b), np.int64), np.zeros((0, b + 2), np.float16)
    made = Reference(
        kind, names, edges, middles[0], middles[1], np.array(scatter), np.array(limits), np.zeros(0, np.int64), *none
    )
    sums, few = made.count(rows), made.count(fitted, misfit)
    # The misfit is known of some rows alone: what is counted of it, and the sample, are of these.
    tails = sums.tails.copy()
    tails[np.searchsorted(sums.tiles, few.tiles), -2:] = few.tails[:, -2:]
    return replace(made, tiles=sums.tiles, tails=tails, bands=sums.bands, sample=few.sample)


def _median(values: np.ndarray) -> np.ndarray:
    """Return the median of each column, float32 (b,); NaN where few values are known."""
    found = np.full(values.shape[1], np.nan, np.float32)
    enough = np.isfinite(values).sum(axis=0) >= _LEAST_IN_BIN
    if enough.any():
        found[enough] = np.nanmedian(values[:, enough], axis=0)
    return found


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Return what 99 % and 1 % of values keep to; infinite where few are known."""
    known = values[np.isfinite(values)].astype(np.float64)
    if len(known) < _ROWS_OF_BIN:
        return np.inf, -np.inf
    high, low = np.quantile(known, [0.99, 0.01])
    return float(high), float(low)
