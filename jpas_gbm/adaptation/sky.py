"""The sky as mocks meet it: the shift measured with and without labels, and mocks observed under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import override
from ..features.bases import TemplateBank, learn_bank
from ..features.pseudo_twins import FEWEST_SOURCES, Matcher, PseudoTwins, well_measured
from ..features.shift import DomainShift, TwinlessReport
from ..features.variations import FEWEST_TWINS, Variations, learn_shift, widen
from ..options import FitOptions, SkyOptions, TemplateOptions, TwinlessOptions
from ..run import Run
from ..surveys.catalogue import MORPHOLOGIES, Catalogue
from ..surveys.dataset import Dataset
from ..surveys.imaging import forget_groups
from ..surveys.scheme import LabelScheme
from .band_shifts import BandShifts, measure_band_shifts


def twin_fluxes(dataset: Dataset, sky: Catalogue) -> np.ndarray:
    """Return the noise-free mock flux of the twin of each target row, NaN where there is none, float32 (n, b).

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    sky : Catalogue
        Rows of the target.

    Returns
    -------
    array of float32, shape (n, b)
    """
    flux = np.full(sky.flux.shape, np.nan, dtype=np.float32)
    twins = dataset.twins
    if not len(twins) or twins.flux_mean is None:
        return flux
    ids, first = np.unique(twins.object_id, return_index=True)
    place = np.minimum(np.searchsorted(ids, sky.object_id), len(ids) - 1)
    has = ids[place] == sky.object_id
    flux[has] = twins.flux_mean[first[place[has]]]
    return flux


def measure_shift(dataset: Dataset, train: Catalogue, run: Run) -> DomainShift | None:
    """Measure zero points, class offsets and variations on the twins of objects of the train split.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    train : Catalogue
        Labelled target rows that train.
    run : Run
        Seed, threads and journal.

    Returns
    -------
    DomainShift or None
    """
    with run.stage("shift measured on twins", rows=len(train)) as entry:
        shift = learn_shift(train, twin_fluxes(dataset, train), dataset.scheme.families)
        entry["measured"] = shift is not None
    if shift is None:
        run.note(
            f"fewer than {FEWEST_TWINS} labelled target objects that train have a twin in the mocks (or there are no "
            "errors or noise-free fluxes): zero points and variations are not measured, mocks keep their own noise."
        )
    return shift


_OBSERVED_MOCKS = 10_000


def measure_without_labels(
    dataset: Dataset, sky: Catalogue, options: FitOptions, run: Run
) -> tuple[DomainShift, TwinlessReport | BandShifts] | None:
    """Measure the shift on sources of the sky beside their best templates, or, without errors, beside mock stars.

    No label is read.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    sky : Catalogue
        Rows of the target.
    options : FitOptions
        Of the fit.
    run : Run
        Seed, threads and journal.

    Returns
    -------
    shift : DomainShift
    report : TwinlessReport or BandShifts
        None for both where there are too few sources.
    """
    if not sky.has_errors:
        return measure_band_shifts(dataset, sky, options, run)
    draw = np.random.default_rng(np.random.SeedSequence([run.tree_seed, 71]))
    mocks = dataset.source_rows("train")
    few = mocks.take(np.sort(draw.permutation(len(mocks))[:_OBSERVED_MOCKS]))
    plain = override(options.sky, forget_imaging=0.0)

    def observe(theirs: Catalogue, shift: DomainShift) -> Catalogue:
        return observe_again(few, theirs, plain, draw, shift)

    with run.stage("shift measured without labels", rows=len(sky)) as entry:
        twins = PseudoTwins(mocks, dataset.scheme, options.sky.twinless, run.tree_seed)
        measured = twins.measure(sky, observe) if mocks.has_errors else None
        entry["measured"] = measured is not None
    if measured is None:
        run.note(
            f"fewer than {FEWEST_SOURCES} unlabelled sources are measured well enough and sure of their template (or "
            "there are no errors): zero points and variations are not measured, mocks keep their own noise."
        )
        return None
    for note in measured[1].notes:
        run.note(note)
    return measured


_NEIGHBOURS = 300


def realisations(source: Catalogue, options: SkyOptions) -> int:
    """Return how many noise realisations of the mocks train: those asked for, or what `most_rows` allows.

    Mocks whose noise-free fluxes or errors are not known have but the one that they are.

    Parameters
    ----------
    source : Catalogue
        Mocks.
    options : SkyOptions
        What is done to mocks.

    Returns
    -------
    int
    """
    if not options.renoise or source.flux_mean is None or not source.has_errors:
        return 1
    return max(1, min(options.realisations, options.most_rows // max(len(source), 1)))


def brightness(catalogue: Catalogue) -> np.ndarray:
    """Return log10 of the mean flux of each row in nJy, float64 (n,); -inf where it is not positive.

    Parameters
    ----------
    catalogue : Catalogue
        Any rows.

    Returns
    -------
    array of float64, shape (n,)
    """
    flux = catalogue.flux if catalogue.flux_mean is None else catalogue.flux_mean
    observed = np.isfinite(flux)
    count = np.maximum(observed.sum(axis=1), 1)
    mean = np.where(observed, flux, 0).sum(axis=1, dtype=np.float64) / count
    with np.errstate(divide="ignore"):
        return np.log10(np.maximum(mean, 0.0))


def draw_donors(source: Catalogue, target: Catalogue, rng: np.random.Generator) -> np.ndarray:
    """Draw a target row of like brightness for each source row, intp (n,).

    The donor is one of the 300 target rows nearest in mean flux, so that noise and gaps go with the
    brightness that they were measured at.

    Parameters
    ----------
    source : Catalogue
        Mocks.
    target : Catalogue
        Rows of the survey.
    rng : numpy.random.Generator
        Stream of this step.

    Returns
    -------
    array of intp, shape (n,)
    """
    theirs = brightness(target)
    order = np.argsort(theirs, kind="stable")
    place = np.searchsorted(theirs[order], brightness(source))
    window = min(_NEIGHBOURS, len(target))
    start = np.clip(place - window // 2, 0, len(target) - window)
    return order[start + rng.integers(window, size=len(source))]


def observe_again(
    source: Catalogue,
    target: Catalogue,
    options: SkyOptions,
    rng: np.random.Generator,
    shift: DomainShift | None = None,
    anew: bool = False,
) -> Catalogue:
    """Return the mocks as the target's own conditions would have shown them.

    Parameters
    ----------
    source : Catalogue
        Mocks.
    target : Catalogue
        Rows of the survey, labelled or not, zero points corrected; labels are not read.
    options : SkyOptions
        ``renoise``: where mocks have noise-free means, these are seen through the donor's errors;
        ``copy_missing``: bands that the donor lacks are taken away; ``forget_imaging``: a share of rows
        loses magnitude and morphology; ``forget_optional``: and each group of optional bands.
    rng : numpy.random.Generator
        Stream of this stage.
    shift : DomainShift, optional
        Class offsets and variations that renoised mocks are given.
    anew : bool
        Whether mocks that no target row lends its noise get new noise of their own.

    Returns
    -------
    Catalogue
    """
    donors = draw_donors(source, target, rng) if len(target) else None
    seen = source
    if donors is not None and options.renoise and source.flux_mean is not None and target.has_errors:
        seen = _renoise(seen, target, donors, rng, shift)
    elif anew and source.flux_mean is not None:
        noise = source.flux_err * rng.standard_normal(source.flux.shape, dtype=np.float32)
        seen = seen.replace(flux=np.where(source.observed, source.flux_mean + noise, np.float32(np.nan)))
    if donors is not None and options.copy_missing:
        gone = ~target.observed[donors]
        gone[gone.all(axis=1)] = False
        nan = np.float32(np.nan)
        seen = seen.replace(flux=np.where(gone, nan, seen.flux), flux_err=np.where(gone, nan, seen.flux_err))
    if options.forget_imaging > 0:
        seen = seen.without_imaging(rng.random(len(seen)) < options.forget_imaging)
    return forget_groups(seen, options.forget_optional, rng)


def _relative_floor(target: Catalogue) -> float:
    """Return the part of the error that grows with the flux: what the brightest fluxes state."""
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = target.flux_err[target.flux > 0] / target.flux[target.flux > 0]
    relative = relative[np.isfinite(relative)]
    return float(np.quantile(relative, 0.005)) if len(relative) else 0.0


def _renoise(
    source: Catalogue, target: Catalogue, donors: np.ndarray, rng: np.random.Generator, shift: DomainShift | None
) -> Catalogue:
    """See noise-free fluxes through the donors' errors; where a donor has none, the mock's own stay."""
    assert source.flux_mean is not None
    mean = source.flux_mean if shift is None else _varied(source.flux_mean, np.maximum(source.label, 0), shift, rng)
    floor = np.float32(_relative_floor(target))
    theirs = target.flux_err[donors]
    part = np.where(np.isfinite(theirs), theirs, 0) ** 2 - (floor * np.nan_to_num(target.flux[donors])) ** 2
    background = np.sqrt(np.maximum(part, (np.float32(0.3) * theirs) ** 2))
    err = np.where(np.isfinite(theirs), np.sqrt(background**2 + (floor * mean) ** 2), source.flux_err)
    flux = mean + err * _noise(mean.shape, shift, rng)
    if shift is not None:
        flux += mean * np.float32(shift.scatter) * rng.standard_normal(mean.shape, dtype=np.float32)
        if len(shift.outliers):
            hit = rng.random(mean.shape, dtype=np.float32) < shift.outlier_rate
            flux[hit] = mean[hit] * rng.choice(shift.outliers, int(hit.sum())).astype(np.float32)
    stated = np.where(np.isfinite(theirs), np.sqrt(background**2 + (floor * flux) ** 2), err)
    known = np.isfinite(flux) & np.isfinite(stated)
    nan = np.float32(np.nan)
    return source.replace(flux=np.where(known, flux, nan), flux_err=np.where(known, stated, nan))


def _varied(mean: np.ndarray, kind: np.ndarray, shift: DomainShift, rng: np.random.Generator) -> np.ndarray:
    """Return noise-free fluxes with the offsets and a draw of the variations of their class."""
    strength = rng.standard_normal((len(mean), shift.modes.shape[1]), dtype=np.float32)
    varied = 1 + np.einsum("nm,nmb->nb", strength, shift.modes[kind].astype(np.float32))
    return mean * shift.offsets[kind].astype(np.float32) * np.maximum(varied, np.float32(0.05))


def _noise(shape: tuple[int, ...], shift: DomainShift | None, rng: np.random.Generator) -> np.ndarray:
    """Return noise in units of the errors: normal, or as the twins' pulls are spread about their own width."""
    if shift is None:
        return rng.standard_normal(shape, dtype=np.float32)
    # The target's errors were scaled to the width of the pulls when it was corrected.
    pulls = (shift.pulls / shift.error_factor).astype(np.float32)
    return pulls[rng.integers(len(pulls), size=shape, dtype=np.int16)]


_ROUNDS = 3
FEWEST_TILES = 3
"""Fewer tiles of known zero points, or tiles at all, do not say what is common to them."""


class TileSources:
    """Well measured sources of each tile, so many at most; which ones depends on their keys and not on chunks.

    Parameters
    ----------
    options : TwinlessOptions
        What is well measured.
    rank : int
        Of the templates that are to be fitted.
    most : int
        Sources of a tile.
    """

    def __init__(self, options: TwinlessOptions, rank: int, most: int) -> None:
        self.options, self.rank, self.most = options, rank, most
        self.tile, self._hash = np.zeros(0, np.int64), np.zeros(0, np.uint64)
        self.flux = self.error = np.zeros((0, 0), np.float32)

    def add(self, rows: Catalogue) -> None:
        """Take what is well measured of some rows.

        Parameters
        ----------
        rows : Catalogue
            Of the sky, with ``TILE_ID`` in their key.
        """
        rows = rows.take(well_measured(rows, self.options, self.rank))
        if not len(self.flux):
            self.flux = self.error = np.zeros((0, len(rows.bands)), np.float32)
        self.tile = np.concatenate([self.tile, rows.key["TILE_ID"]])
        self._hash = np.concatenate([self._hash, key_hash(rows)])
        self.flux, self.error = np.concatenate([self.flux, rows.flux]), np.concatenate([self.error, rows.flux_err])
        order = np.lexsort([self._hash, self.tile])
        rank = np.arange(len(order)) - np.searchsorted(self.tile[order], self.tile[order])
        kept = order[rank < self.most]
        self.tile, self._hash = self.tile[kept], self._hash[kept]
        self.flux, self.error = self.flux[kept], self.error[kept]


def key_hash(rows: Catalogue) -> np.ndarray:
    """Return a number that a row's key determines and that looks random, uint64 (n,).

    Parameters
    ----------
    rows : Catalogue
        n rows.

    Returns
    -------
    array of uint64, shape (n,)

    Notes
    -----
    The finaliser of splitmix64 (Steele, Lea and Flood 2014), once for each part of the key.
    """
    found = np.zeros(len(rows), dtype=np.uint64)
    for name in sorted(rows.key):
        found = (found ^ rows.key[name].astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            found = (found ^ (found >> np.uint64(shift))) * np.uint64(factor)
        found ^= found >> np.uint64(31)
    return found


@dataclass(frozen=True, eq=False)
class TileZeroPoints:
    """Zero points of t tiles in b bands, from their own sources.

    Parameters
    ----------
    tiles : array of int64, shape (t,)
        Ascending.
    relative : array of float64, shape (t, b)
        Sky over mock flux, over what is common to all tiles; without a grey part.
    error : array of float64, shape (t,)
        1 σ of them, relative, mean over bands.
    sources : array of int64, shape (t,)
        Sources that were sure of their template.
    """

    tiles: np.ndarray
    relative: np.ndarray
    error: np.ndarray
    sources: np.ndarray


def tile_zero_points(
    sources: TileSources, bank: TemplateBank, scheme: LabelScheme, shift: DomainShift
) -> TileZeroPoints:
    """Measure zero points of tiles on sources beside their best templates; no label is read.

    What all tiles seem to have in common is an error of the templates: it is what tiles of known zero points show
    beyond these, or, where fewer than three are known, the mean of all.

    Parameters
    ----------
    sources : TileSources
        Rows as the survey gives them.
    bank : TemplateBank
        Templates with the offsets and variations of the shift.
    scheme : LabelScheme
        The classes.
    shift : DomainShift
        What is common to all tiles, the noise, and zero points of the tiles that are known.

    Returns
    -------
    TileZeroPoints
        Of every tile that has a source; all 1 where there are fewer than three tiles.
    """
    options = sources.options
    tiles, place = np.unique(sources.tile, return_inverse=True)
    bands = len(shift.common)
    logs, prior = np.zeros((len(tiles), bands)), np.eye(bands) / options.prior**2
    error, counts = np.full(len(tiles), options.prior), np.zeros(len(tiles), dtype=np.int64)
    shares = np.bincount(bank.group, bank.count, minlength=len(scheme)) + 1.0
    matcher = Matcher(scheme, options.floor, np.ones((len(MORPHOLOGIES), len(scheme))), shares / shares.sum())
    unknown = np.zeros(len(place), dtype=np.int8)
    for number in range(_ROUNDS if len(tiles) >= FEWEST_TILES else 0):
        factor = shift.common * np.exp(logs[place])
        flux, err = sources.flux / factor, sources.error * (shift.error_factor / factor)
        sure = options.sure_first if number == 0 else options.sure
        fitted = matcher.beside(bank, flux, err, unknown, place, len(tiles), sure)
        counts = np.bincount(place[fitted.rows], minlength=len(tiles))
        if not len(fitted.rows):
            break
        normal = fitted.information.sum(axis=1) + prior
        logs = logs + np.linalg.solve(normal, (fitted.score.sum(axis=1) - logs @ prior)[..., None])[..., 0]
        logs -= logs.mean(axis=1, keepdims=True)
        error = np.sqrt(np.diagonal(np.linalg.inv(normal), axis1=1, axis2=2)).mean(axis=1)
    known = np.isin(tiles, shift.tiles)
    if known.sum() >= FEWEST_TILES:
        given = np.log(shift.zero_points[np.searchsorted(shift.tiles, tiles[known])] / shift.common)
        logs = logs - (logs[known] - (given - given.mean(axis=1, keepdims=True))).mean(axis=0)
    else:
        logs = logs - logs.mean(axis=0)
    return TileZeroPoints(tiles, np.exp(logs), error, counts)


_MOST_OF_TILE = 600


def with_unlabelled_tiles(
    shift: DomainShift, parts: Sequence[Catalogue | None], dataset: Dataset, options: FitOptions, run: Run
) -> DomainShift:
    """Return the shift with zero points of tiles that hold no twin, from their own sources.

    Parameters
    ----------
    shift : DomainShift
        Measured on twins.
    parts : sequence of Catalogue
        Rows of the sky that may be seen, as the survey gives them; no label is read.
    dataset : Dataset
        Its mocks teach the templates.
    options : FitOptions
        Of the fit.
    run : Run
        Seed and journal.

    Returns
    -------
    DomainShift
        Itself where every tile has twins.
    """
    rows = [part for part in parts if part is not None and len(part)]
    if not any(shift.unknown(part).any() for part in rows):
        return shift
    twinless, scheme = options.sky.twinless, dataset.scheme
    fitting = override(TemplateOptions(), floor=twinless.floor, wild=0.0)
    mocks = dataset.source_rows("train")
    bank = learn_bank(mocks, scheme, min(twinless.rank, len(mocks.bands) - 2), fitting, run.tree_seed)
    bank = widen(bank, Variations(shift.offsets, shift.modes[:, : fitting.most_modes], 0.0))
    sources = TileSources(twinless, bank.rank, _MOST_OF_TILE)
    for part in rows:
        sources.add(part)
    found = tile_zero_points(sources, bank, scheme, shift)
    grown = shift.with_tiles(found.tiles, found.relative)
    new = len(grown.tiles) - len(shift.tiles)
    run.note(f"{new} tile(s) without a twin have zero points from their own sources, without labels.")
    return grown
