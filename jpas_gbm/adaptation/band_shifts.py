"""The shift where photometry has no errors: stars of the sky beside mock stars of like colours, band by band.

Without errors no template can be fitted. A plain model of mock colours says which sources are stars beyond doubt; the
median difference of these from the mock stars nearest in colour is taken off the sky, and all is done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..boosting.booster import StagedBooster
from ..boosting.training import train
from ..config import override
from ..features.bases import TemplateBank, learn_bank
from ..features.pseudo_twins import Matcher, well_measured
from ..features.recipe import FeatureRecipe
from ..features.shift import DomainShift
from ..features.sky_sums import key_hash
from ..features.variations import Variations, standard_pulls, widen
from ..options import FitOptions, TemplateOptions, TwinlessOptions
from ..run import Run
from ..scores.losses import softmax
from ..surveys.audit import SPLITS
from ..surveys.catalogue import MORPHOLOGIES, UNLABELLED, Catalogue
from ..surveys.dataset import Dataset
from ..surveys.scheme import LabelScheme
from ..text import count

FEWEST_STARS = 100
"""Fewer stars beyond doubt measure no shift."""

LARGEST = 0.3
"""A shift larger than this (root mean square over bands, relative) is no calibration, and is refused."""

_ROUNDS = 10
_NEIGHBOURS = 20
_SURE = (0.9, 0.5)
"""Least probability of a star, and what serves where a shift leaves too few of these."""
_TREES = 250
_MOST = {"mocks": 20_000, "mock stars": 6_000, "stars": 3_000}


@dataclass(frozen=True)
class BandShifts:
    """What stars of the sky say of its bands, without labels and without errors.

    Parameters
    ----------
    bands : tuple of str
        Names of the b bands.
    shift : tuple of float
        Sky over mock flux of each band, natural logarithm, without a grey part.
    stars : int
        Sources that were stars beyond doubt in the last round.
    last_step : float
        Root mean square over bands of what the last round still changed.
    """

    bands: tuple[str, ...]
    shift: tuple[float, ...]
    stars: int
    last_step: float

    @property
    def size(self) -> float:
        """Root mean square of the shift over bands."""
        return float(np.sqrt(np.mean(np.square(self.shift))))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done, in sentences."""
        if self.size > LARGEST:
            return (
                f"stars of the sky differ from mock stars by {self.size:.2f} from band to band (limit {LARGEST:g}): "
                "this is no calibration, so nothing is corrected. Compare units, bands and curves of mocks and sky.",
            )
        return (
            f"no photometric errors: shifts of bands, {self.size:.3f} from band to band, are those of {self.stars:,} "
            "sources that a plain model is sure are stars, against mock stars of like colours. They are what makes "
            "stars alike (zero points, dust, templates) and not a calibration.",
        )

    def to_dict(self) -> dict[str, object]:
        """Return a form that JSON can hold, for the model card.

        Returns
        -------
        dict
        """
        shift = {band: round(value, 5) for band, value in zip(self.bands, self.shift, strict=True)}
        return {
            "stars": self.stars,
            "size": self.size,
            "last_step": self.last_step,
            "taken": ["band shifts"] if self.size <= LARGEST else [],
            "band_shifts": shift,
            "notes": list(self.notes),
        }


def measure_band_shifts(
    dataset: Dataset, sky: Catalogue, options: FitOptions, run: Run
) -> tuple[DomainShift, BandShifts] | None:
    """Measure how the bands of the sky differ from those of mocks, on unlabelled stars and without errors.

    Parameters
    ----------
    dataset : Dataset
        Its mocks that train teach the plain model.
    sky : Catalogue
        Rows of the sky; labels are not read.
    options : FitOptions
        Of the fit.
    run : Run
        Seed, threads and journal.

    Returns
    -------
    shift : DomainShift
        Common to all tiles; no offsets, no variations.
    report : BandShifts
        None for both where fewer than :data:`FEWEST_STARS` stars are found, or the shift is no calibration.

    Notes
    -----
    What moves along the sequence of stars (dust, metallicity) cannot be told from what moves the bands.
    """
    draw = np.random.default_rng(np.random.SeedSequence([run.tree_seed, 83]))
    codes = [dataset.scheme.code(name) for name in dataset.scheme.stars]
    mocks = dataset.source_rows("train")
    mocks = mocks.take(np.sort(draw.permutation(len(mocks))[: _MOST["mocks"]]))
    own = _colours(mocks.flux[np.isin(mocks.label, codes)])
    own = own[np.sort(draw.permutation(len(own))[: _MOST["mock stars"]])]
    whole = np.flatnonzero((sky.flux > 0).all(axis=1))
    rows = sky.take(np.sort(draw.permutation(whole)[: 4 * _MOST["stars"]]))
    with run.stage("band shifts of stars", rows=len(rows)) as entry:
        found = None
        if len(own) >= FEWEST_STARS and len(rows) >= FEWEST_STARS:
            recipe = FeatureRecipe.build(mocks.bands, options.features, has_errors=False, has_imaging=False)
            trees = _plain_trees(recipe, mocks, len(dataset.scheme), options, run)
            found = _iterated(recipe, trees, own, rows, codes, run)
        entry["measured"] = found is not None
    if found is None:
        run.note(
            f"fewer than {FEWEST_STARS} sources with all bands are stars beyond doubt (or the mocks have too few "
            "stars): shifts of bands are not measured."
        )
        return None
    run.note(*found.notes)
    return (_as_shift(found, len(dataset.scheme)), found) if found.size <= LARGEST else None


def _colours(flux: np.ndarray) -> np.ndarray:
    """Return logarithms of fluxes over their geometric mean, of rows that are positive in all bands, float64 (n, b)."""
    light = np.log(flux[(flux > 0).all(axis=1)].astype(np.float64))
    return np.asarray(light - light.mean(axis=1, keepdims=True))


def _plain_trees(recipe: FeatureRecipe, mocks: Catalogue, classes: int, options: FitOptions, run: Run) -> StagedBooster:
    """Grow trees on fluxes and colours of mocks."""
    growth = override(options.boosting, rounds=min(_TREES, options.boosting.rounds), patience=0)
    X = recipe.compute(mocks, threads=run.threads).X
    return train(
        growth.backend, X, mocks.label, options=growth, n_classes=classes,
        feature_names=recipe.names, seed=run.tree_seed, threads=run.threads,
    )  # fmt: skip


def _iterated(
    recipe: FeatureRecipe, trees: StagedBooster, own: np.ndarray, rows: Catalogue, codes: list[int], run: Run
) -> BandShifts | None:
    """Take stars, compare, correct, and again; None where there are too few stars."""
    near = cKDTree(own)
    moved, step, stars = np.zeros(len(rows.bands)), np.zeros(len(rows.bands)), 0
    for _ in range(_ROUNDS):
        mended = rows.replace(flux=(rows.flux * np.exp(-moved)).astype(np.float32))
        p = softmax(trees.margins(recipe.compute(mended, threads=run.threads).X, threads=run.threads))
        likely = p[:, codes].sum(axis=1)
        sure = next((at for least in _SURE if len(at := np.flatnonzero(likely > least)) >= FEWEST_STARS), None)
        if sure is None:
            return None
        theirs = _colours(mended.flux[sure[: _MOST["stars"]]])
        _, like = near.query(theirs, k=min(_NEIGHBOURS, len(own)))
        step = np.median(theirs - np.median(own[like], axis=1), axis=0)
        step -= step.mean()
        moved, stars = moved + step, len(sure)
    return BandShifts(rows.bands.names, tuple(moved.tolist()), stars, float(np.sqrt(np.mean(step**2))))


def _as_shift(found: BandShifts, classes: int) -> DomainShift:
    bands, common = len(found.bands), np.exp(np.array(found.shift))
    return DomainShift(
        bands=found.bands,
        tiles=np.zeros(0, dtype=np.int64),
        zero_points=np.ones((0, bands)),
        common=common,
        offsets=np.ones((classes, bands)),
        modes=np.zeros((classes, 1, bands)),
        scatter=0.0,
        pulls=standard_pulls(),
        outlier_rate=0.0,
        outliers=np.zeros(0),
    )


_TILE_ROUNDS = 3


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
        Of every tile with a source that is sure of its template; of none where fewer than three tiles have any.
    """
    options = sources.options
    tiles, place = np.unique(sources.tile, return_inverse=True)
    bands = len(shift.common)
    logs, prior = np.zeros((len(tiles), bands)), np.eye(bands) / options.prior**2
    error, counts = np.full(len(tiles), options.prior), np.zeros(len(tiles), dtype=np.int64)
    shares = np.bincount(bank.group, bank.count, minlength=len(scheme)) + 1.0
    matcher = Matcher(scheme, options.floor, np.ones((len(MORPHOLOGIES), len(scheme))), shares / shares.sum())
    unknown = np.zeros(len(place), dtype=np.int8)
    for number in range(_TILE_ROUNDS if len(tiles) >= FEWEST_TILES else 0):
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
    told = counts > 0
    tiles, logs, error, counts = tiles[told], logs[told], error[told], counts[told]
    known = np.isin(tiles, shift.tiles)
    if known.sum() >= FEWEST_TILES:
        given = np.log(shift.zero_points[np.searchsorted(shift.tiles, tiles[known])] / shift.common)
        logs = logs - (logs[known] - (given - given.mean(axis=1, keepdims=True))).mean(axis=0)
    elif len(tiles):
        logs = logs - logs.mean(axis=0)
    return TileZeroPoints(tiles, np.exp(logs), error, counts)


def learners(dataset: Dataset) -> Catalogue:
    """Return all mocks, of which only those that train keep their label: what templates are learnt from, not copied.

    Parameters
    ----------
    dataset : Dataset
        With its mocks.

    Returns
    -------
    Catalogue
    """
    train = dataset.source_split == SPLITS.index("train")
    return dataset.source.replace(label=np.where(train, dataset.source.label, np.int8(UNLABELLED)))


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
    mocks = learners(dataset)
    bank = learn_bank(mocks, scheme, min(twinless.rank, len(mocks.bands) - 2), fitting, run.tree_seed)
    bank = widen(bank, Variations(shift.offsets, shift.modes[:, : fitting.most_modes], 0.0))
    sources = TileSources(twinless, bank.rank, _MOST_OF_TILE)
    for part in rows:
        sources.add(part)
    found = tile_zero_points(sources, bank, scheme, shift)
    grown = shift.with_tiles(found.tiles, found.relative)
    new = len(grown.tiles) - len(shift.tiles)
    run.note(f"{count(new, 'tile')} without a twin: zero points there are from their own sources, without labels.")
    return grown
